//! Connections to the engine, over a Unix socket, TCP, TLS or `ssh`.
//!
//! A request that changes nothing goes over a connection that is kept for the next one: see [`kept`]. Others have a connection of
//! their own; one with a body, which goes up while the answer comes down, is sent by hyper. A stream has a connection of its own,
//! too: see [`raw`].
//!
//! hyper-util's client pooled the connections before. It drives each in a task of its own, and hands requests and answers over
//! through channels; with it, a ping took 80,000 user instructions in place of 47,400, and an inspect of 9.5 kB 371,000 in place of
//! 321,000 (`valgrind --tool=callgrind`, a quick build at opt-level 3, without a log). A part of that is the look-ups that were saved
//! at the same time.

mod checked;
mod client_body;
mod kept;
pub mod raw;
mod reachability;
mod ssh;
mod tls;
mod waiting;

use std::error::Error as _;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::http::uri::InvalidUri;
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;

use self::checked::CheckedConnection;
pub use self::client_body::{ClientBody, ClientMeter};
use self::kept::{KeptAnswer, KeptBody, KeptConnection, KeptConnections};
use self::reachability::Reachability;
pub use self::ssh::SshFault;
pub use self::waiting::measured;
use crate::api::{ApiRange, ApiVersion};
use crate::endpoint::{EngineAddress, EngineEndpoint};
use crate::socket::{self, Address, Keepalive, Socket, WaitTimer};
use crate::stream::fields::{HeaderFields, visible};
use crate::stream::responses::ResponseError;
use crate::tls::{EngineTls, TlsFault};

/// The largest buffer of a connection, in bytes. The head of an answer must fit.
const BUFFER_LIMIT: usize = 32 * 1024;
/// The longest body of an answer to a ping, in bytes. Engines send `OK`.
const PING_BODY_LIMIT: usize = 4096;
/// The newest API version of the engine, in each of its answers.
const API_VERSION: &str = "api-version";

/// The id of an exchange.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why the engine gave no usable answer.
#[derive(Clone, Debug)]
pub enum UpstreamError {
    /// It cannot be connected to, for this reason.
    Unavailable(String),
    /// There is no TLS with it.
    Tls(TlsFault),
    /// The ssh that should reach it has failed.
    Ssh(SshFault),
    /// It did not answer within this time.
    Timeout(Duration),
    /// The connection broke, or what came over it was not HTTP.
    Broken(String),
    /// The connection was closed before a byte of the answer came.
    Unanswered,
    /// The answer is malformed or ambiguous.
    Malformed(ResponseError),
    /// Its answer to a ping names no API version.
    Version,
    /// It was not to blame: the client's body is malformed, or has not come to its end.
    ClientBody,
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => f.write_str(why),
            Self::Tls(fault) => write!(f, "{fault}"),
            Self::Ssh(fault) => write!(f, "{fault}"),
            Self::Timeout(limit) => write!(f, "no answer within {limit:?}"),
            Self::Broken(why) => write!(f, "connection broken: {why}"),
            Self::Unanswered => f.write_str("connection closed before the answer"),
            Self::Malformed(error) => write!(f, "{error}"),
            Self::Version => f.write_str("no API version in the answer to a ping"),
            Self::ClientBody => f.write_str("the request body is incomplete or malformed"),
        }
    }
}

impl std::error::Error for UpstreamError {}

/// An error, and what caused it.
fn causes<'e>(
    error: Option<&'e (dyn std::error::Error + 'static)>,
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(error, |error: &&'e (dyn std::error::Error + 'static)| (*error).source())
}

impl From<hyper::Error> for UpstreamError {
    fn from(error: hyper::Error) -> Self {
        // What hyper reads here is the engine's, and what fails in its user is the body of a client's request, which it reads, too.
        if error.is_user() && causes(error.source()).any(|cause| cause.is::<hyper::Error>()) {
            return Self::ClientBody;
        }
        // The text of a hyper error holds nothing that was sent.
        Self::cause(error.source()).unwrap_or_else(|| Self::Broken(error.to_string()))
    }
}

impl UpstreamError {
    /// Every reason.
    pub const REASONS: [&str; 6] =
        ["engine-down", "engine-tls", "engine-ssh", "engine-timeout", "engine-broken", "engine-malformed"];

    /// The reason in the log and in metrics, in one word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "engine-down",
            Self::Tls(_) => "engine-tls",
            Self::Ssh(_) => "engine-ssh",
            Self::Timeout(_) => "engine-timeout",
            Self::Broken(_) | Self::Unanswered => "engine-broken",
            Self::Malformed(_) | Self::Version => "engine-malformed",
            Self::ClientBody => "body-incomplete",
        }
    }

    /// There is no connection, because the system reported this. Its texts hold nothing that was sent.
    fn unavailable(error: &std::io::Error) -> Self {
        let is_missing = error.kind() == std::io::ErrorKind::NotFound;
        let why = if is_missing { "no such socket".to_owned() } else { error.to_string() };
        Self::Unavailable(format!("cannot connect: {why}"))
    }

    /// What a read or a write of the engine's socket reported.
    fn of_io(error: &std::io::Error) -> Self {
        Self::cause(Some(error)).unwrap_or_else(|| Self::Broken(error.to_string()))
    }

    /// What the connector or a connection reported, wherever it is in a chain of errors.
    fn cause(error: Option<&(dyn std::error::Error + 'static)>) -> Option<Self> {
        for found in causes(error) {
            let inner = found.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            let inner = inner.map(|inner| inner as &(dyn std::error::Error + 'static));
            if let Some(known) = found.downcast_ref::<Self>().or_else(|| inner?.downcast_ref()) {
                return Some(known.clone());
            }
        }
        None
    }
}

/// Why a ping has no good answer.
#[derive(Debug)]
pub enum PingFault {
    /// There is no whole answer.
    Unanswered(UpstreamError),
    /// The answer has this status.
    Status(StatusCode),
    /// The body of the answer is longer than any engine's.
    TooLong,
}

impl fmt::Display for PingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered(error) => write!(f, "{error}"),
            Self::Status(status) => write!(f, "answers with {status}"),
            Self::TooLong => write!(f, "answers with more than {PING_BODY_LIMIT} bytes"),
        }
    }
}

impl std::error::Error for PingFault {}

/// How long the engine is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineTimeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the head of an answer, and for each chunk of its body.
    pub response: Duration,
    /// For the head of an answer for which the engine may work for long, if that is longer.
    pub work: Duration,
}

/// The engine: what its connections share, in all workers.
#[derive(Debug)]
pub struct Engine {
    endpoint: EngineEndpoint,
    /// The TLS of new connections, which a reload renews.
    tls: RwLock<Option<EngineTls>>,
    timeouts: EngineTimeouts,
    keepalive: Keepalive,
    /// The API versions that clients may use.
    api: ApiRange,
    /// The minor number of its newest API version; 0 while it is unknown.
    version: AtomicU16,
    /// The minor number of the oldest API version that it accepts; 0 while it is unknown.
    oldest: AtomicU16,
    /// Whether it answers, for the log.
    reachability: Reachability,
}

impl Engine {
    /// The engine at `endpoint`. Clients may use the versions in `api`.
    pub fn new(endpoint: EngineEndpoint, timeouts: EngineTimeouts, keepalive: Keepalive, api: ApiRange) -> Self {
        Self {
            tls: RwLock::new(endpoint.tls.as_ref().map(|tls| tls.tls.clone())),
            endpoint,
            timeouts,
            keepalive,
            api,
            version: AtomicU16::new(0),
            oldest: AtomicU16::new(0),
            reachability: Reachability::default(),
        }
    }

    /// Whether another one is configured in the same way, whatever is in the files of its TLS.
    pub fn is_like(&self, other: &Self) -> bool {
        let settings = |engine: &Self| (engine.timeouts, engine.keepalive, engine.api);
        self.endpoint.has_same_names(&other.endpoint) && settings(self) == settings(other)
    }

    /// Whether it is the engine that `before` was, and clients may use the API versions of then.
    pub fn serves_still(&self, before: &Self) -> bool {
        let is_wide = self.api.min() <= before.api.min() && before.api.max() <= self.api.max();
        self.endpoint.has_same_names(&before.endpoint) && is_wide
    }

    /// The API versions that clients may use.
    pub fn api(&self) -> &ApiRange {
        &self.api
    }

    /// How it is reached.
    pub fn endpoint(&self) -> &EngineEndpoint {
        &self.endpoint
    }

    /// Its address.
    pub fn address(&self) -> &EngineAddress {
        &self.endpoint.address
    }

    /// Opens new connections with the TLS of this endpoint. Those that are open go on.
    pub fn renew(&self, endpoint: &EngineEndpoint) {
        let tls = endpoint.tls.as_ref().map(|tls| tls.tls.clone());
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
    }

    /// How long to wait for the head of an answer, and for each chunk of its body.
    pub fn response_timeout(&self) -> Duration {
        self.timeouts.response
    }

    /// How long to wait for the head of an answer for which the engine may work for long.
    pub fn work_timeout(&self) -> Duration {
        self.timeouts.work.max(self.timeouts.response)
    }

    /// Its newest API version, if that is known.
    pub fn version(&self) -> Option<ApiVersion> {
        known(&self.version)
    }

    /// The oldest API version that it accepts, if that is known.
    pub fn oldest(&self) -> Option<ApiVersion> {
        known(&self.oldest)
    }

    /// Sets the oldest API version that it accepts, which only a document of the engine's tells.
    pub fn learn_oldest(&self, version: ApiVersion) {
        self.oldest.store(version.minor(), Ordering::Relaxed);
    }

    /// The newest API version that clients may use, if the engine's is known: what answers of our own name.
    pub fn advertised(&self) -> Option<ApiVersion> {
        self.version().map(|version| self.api.newest_of(version))
    }

    /// Names the newest API version that clients may use in the head of an answer, in place of a newer one of the engine's.
    ///
    /// A field that is malformed or repeated stays, so that its answer is refused.
    pub fn advertise(&self, headers: &mut HeaderFields) {
        let max = self.api.max();
        if version_in(headers).is_some_and(|version| version > max) {
            headers.set(API_VERSION, max.to_string().as_bytes());
        }
    }

    /// Opens a connection, within the timeout of the configuration, and within `limit`.
    ///
    /// # Errors
    /// [`UpstreamError::Unavailable`], [`UpstreamError::Tls`], [`UpstreamError::Ssh`] or [`UpstreamError::Timeout`]; the API
    /// version is then forgotten.
    pub async fn connect(&self, limit: Duration) -> Result<Socket, UpstreamError> {
        let limit = limit.min(self.timeouts.connect);
        let connected = self.open_within(limit).await;
        if let Err(error) = &connected {
            self.forget();
            self.fails(error);
        }
        connected
    }

    async fn open_within(&self, limit: Duration) -> Result<Socket, UpstreamError> {
        let deadline = tokio::time::Instant::now() + limit;
        // An engine whose name nobody resolves has not been asked: it does not hang.
        let places = match self.address() {
            EngineAddress::Socket(Address::Tcp { host, port }) => {
                resolved(host, limit, socket::resolve(host, *port)).await?
            }
            EngineAddress::Socket(Address::Unix(_)) | EngineAddress::Ssh(_) => Vec::new(),
        };
        let opened = tokio::time::timeout_at(deadline, self.open(&places)).await;
        opened.unwrap_or(Err(UpstreamError::Timeout(limit)))
    }

    /// Opens a connection. `places` are those that the name of a TCP address stands for.
    async fn open(&self, places: &[SocketAddr]) -> Result<Socket, UpstreamError> {
        let address = match self.address() {
            EngineAddress::Socket(address) => address,
            EngineAddress::Ssh(address) => return ssh::open(address),
        };
        let socket = match address {
            Address::Unix(path) => Socket::connect_unix(path).await,
            Address::Tcp { .. } => Socket::connect_tcp(places, self.keepalive).await,
        };
        let socket = socket.map_err(|error| UpstreamError::unavailable(&error))?;
        // Not in the condition: the lock would be held meanwhile.
        let tls = self.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
        match tls {
            Some(tls) => tls::open(&tls, address, socket).await,
            None => Ok(socket),
        }
    }

    /// It has answered. The log says so if it had said that it does not.
    pub fn answers(&self) {
        if self.reachability.answers() {
            tracing::info!(engine = %self.address(), "the engine answers again");
        }
    }

    /// An exchange with it has failed. That there is no TLS or no ssh may turn out only when something is read.
    pub fn notices(&self, error: &UpstreamError) {
        if matches!(error, UpstreamError::Tls(_) | UpstreamError::Ssh(_)) {
            self.fails(error);
        }
    }

    /// It does not answer: no connection, or no answer to a ping. The log says so if it has answered before.
    fn fails(&self, error: &UpstreamError) {
        if self.reachability.fails(Instant::now()) {
            tracing::warn!(engine = %self.address(), %error, "the engine does not answer any more");
        }
    }

    /// Forgets the versions: the engine that comes back may be another.
    fn forget(&self) {
        self.version.store(0, Ordering::Relaxed);
        self.oldest.store(0, Ordering::Relaxed);
    }

    /// Learns the version from the head of an answer, if it names exactly one.
    fn learn(&self, headers: &HeaderFields) {
        if let Some(version) = version_in(headers)
            && self.version.swap(version.minor(), Ordering::Relaxed) != version.minor()
        {
            self.oldest.store(0, Ordering::Relaxed);
            tracing::debug!(%version, "API version of the engine");
        }
    }
}

/// The addresses that a look-up of a host finds within `limit`.
///
/// # Errors
/// [`UpstreamError::Unavailable`].
async fn resolved(
    host: &str,
    limit: Duration,
    look_up: impl Future<Output = std::io::Result<Vec<SocketAddr>>>,
) -> Result<Vec<SocketAddr>, UpstreamError> {
    let found = tokio::time::timeout(limit, look_up).await.map_err(|_| format!("no answer within {limit:?}"));
    let found = found.and_then(|found| found.map_err(|error| error.to_string()));
    found.map_err(|why| UpstreamError::Unavailable(format!("cannot resolve {host}: {why}")))
}

/// The version with this minor number, unless it is 0.
fn known(minor: &AtomicU16) -> Option<ApiVersion> {
    Some(minor.load(Ordering::Relaxed)).filter(|minor| *minor != 0).map(ApiVersion::new)
}

/// The API version in the head of an answer, if it names exactly one.
fn version_in(headers: &HeaderFields) -> Option<ApiVersion> {
    let mut values = headers.all(API_VERSION);
    let value = values.next().filter(|_| values.next().is_none());
    visible(value?)?.parse().ok()
}

/// A request to the engine.
///
/// It has no trailers: the framing of clients' requests refuses them.
#[derive(Debug)]
pub struct UpstreamRequest {
    /// The method.
    pub method: Method,
    /// The path and the query.
    pub target: String,
    /// The id of the exchange; `None` for a request of our own.
    pub id: Option<HeaderValue>,
    /// Further header fields.
    pub fields: HeaderMap,
    /// The body.
    pub body: Option<RequestContent>,
    /// Whether the engine may work for long before it answers.
    pub takes_long: bool,
}

/// An answer of the engine: its head, and its body as it arrives.
#[derive(Debug)]
pub struct EngineAnswer {
    /// The status.
    pub status: StatusCode,
    /// The header fields that somebody reads.
    pub headers: HeaderFields,
    /// The body.
    pub body: UpstreamBody,
}

/// The body of a request: the client's, which is passed on as it arrives, or one that is made from it.
pub type RequestContent = Either<ClientBody, Full<Bytes>>;

impl UpstreamRequest {
    /// A `GET` of our own.
    pub fn get(target: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            target: target.into(),
            id: None,
            fields: HeaderMap::new(),
            body: None,
            takes_long: false,
        }
    }

    /// The bytes that are sent, if it has no body.
    fn head(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(256 + self.target.len());
        let mut push = |parts: [&[u8]; 4]| parts.into_iter().for_each(|part| head.extend_from_slice(part));
        push([self.method.as_str().as_bytes(), b" ", self.target.as_bytes(), b" HTTP/1.1\r\n"]);
        for (name, value) in &self.fields {
            push([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
        if let Some(id) = &self.id {
            push([REQUEST_ID.as_str().as_bytes(), b": ", id.as_bytes(), b"\r\n"]);
        }
        // What else may have a body says that it has none (RFC 9110 §8.6).
        if self.method == Method::POST || self.method == Method::PUT {
            push([b"content-length: 0\r\n", b"", b"", b""]);
        }
        push([b"host: docker\r\n\r\n", b"", b"", b""]);
        head
    }
}

/// The connections of one worker to the engine.
#[derive(Clone, Debug)]
pub struct Upstream {
    engine: Arc<Engine>,
    kept: Arc<KeptConnections>,
}

impl Upstream {
    /// No connections are open. At most `idle_limit` are kept open while they are idle.
    pub fn new(engine: Arc<Engine>, idle_limit: usize) -> Self {
        Self { kept: Arc::new(KeptConnections::new(engine.clone(), idle_limit)), engine }
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The newest API version of the engine. Pings the engine if it is not known.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn version(&self) -> Result<ApiVersion, UpstreamError> {
        self.kept.notice_closed();
        if let Some(version) = self.engine.version() {
            return Ok(version);
        }
        // What the answer says, because another connection that ends may make the engine's version unknown meanwhile.
        version_in(&self.ask(UpstreamRequest::get("/_ping")).await?.headers).ok_or(UpstreamError::Version)
    }

    /// Asks whether the engine answers within `limit`. An answer counts once it is whole.
    ///
    /// Cancel safety: when dropped, the connection is closed.
    ///
    /// # Errors
    /// [`PingFault`].
    pub async fn ping(&self, limit: Duration) -> Result<(), PingFault> {
        let deadline = tokio::time::Instant::now() + limit;
        let answer = async {
            let EngineAnswer { status, body, .. } = self.ask_within(UpstreamRequest::get("/_ping"), limit).await?;
            // An engine that cannot work says so by an error, whatever its body.
            if !status.is_success() {
                return Ok::<_, UpstreamError>(Err(PingFault::Status(status)));
            }
            let whole = tokio::time::timeout_at(deadline, body.discard(PING_BODY_LIMIT)).await;
            let length = whole.unwrap_or(Err(UpstreamError::Timeout(limit)))?;
            Ok(if length > PING_BODY_LIMIT { Err(PingFault::TooLong) } else { Ok(()) })
        };
        match answer.await {
            Ok(pinged) => {
                self.engine.answers();
                pinged
            }
            Err(error) => {
                self.engine.fails(&error);
                Err(PingFault::Unanswered(error))
            }
        }
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// A safe request without a body (RFC 9110 §9.2.1) goes over a connection that is kept. If that closes before a byte of the answer
    /// comes, the request is sent once more, over a new one. Every other request gets a new connection and is sent once: between two
    /// deletions by name, the name may have passed to another container.
    /// Cancel safety: when dropped, the connection is closed, which tells the engine that nobody waits.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn send(&self, request: UpstreamRequest) -> Result<EngineAnswer, UpstreamError> {
        let mut answer = self.ask(request).await?;
        self.engine.advertise(&mut answer.headers);
        Ok(answer)
    }

    /// As [`Self::send`], with the head as it came.
    async fn ask(&self, request: UpstreamRequest) -> Result<EngineAnswer, UpstreamError> {
        let limit = if request.takes_long { self.engine.work_timeout() } else { self.engine.response_timeout() };
        let answer = self.ask_within(request, limit).await?;
        self.engine.answers();
        Ok(answer)
    }

    /// Sends a request and waits for the head of its answer, within `limit`.
    async fn ask_within(&self, request: UpstreamRequest, limit: Duration) -> Result<EngineAnswer, UpstreamError> {
        let since = Instant::now();
        let answer = match &request.body {
            None => {
                let answer = self.exchange(&request, since, limit).await;
                waiting::ended(since);
                answer
            }
            Some(body) => {
                let meter = match body {
                    Either::Left(body) => body.meter(),
                    Either::Right(_) => None,
                };
                let waited = || meter.as_ref().map(|meter| meter.waited()).unwrap_or_default();
                let before = waited();
                let answer = Box::pin(self.exchange_with_body(request, meter.as_deref(), limit)).await;
                // While the client sends, the engine waits, too.
                waiting::ended_besides(since, waited().saturating_sub(before));
                answer
            }
        };
        let answer = answer.inspect_err(|error| self.engine.notices(error))?;
        self.engine.learn(&answer.headers);
        Ok(answer)
    }

    /// Sends a request without a body.
    async fn exchange(
        &self,
        request: &UpstreamRequest,
        since: Instant,
        limit: Duration,
    ) -> Result<EngineAnswer, UpstreamError> {
        let (head, is_head, deadline) = (request.head(), request.method == Method::HEAD, since + limit);
        let pool = Some(&self.kept).filter(|_| request.method.is_safe());
        let connection = match pool.and_then(|pool| pool.take()) {
            Some(kept) => kept,
            None => self.connect(limit).await?,
        };
        let mut answer = connection.ask(&head, is_head, deadline.into(), pool).await;
        if let (Some(Err(UpstreamError::Unanswered)), Some(_)) = (&answer, pool) {
            let connection = self.connect(deadline.saturating_duration_since(Instant::now())).await?;
            answer = connection.ask(&head, is_head, deadline.into(), pool).await;
        }
        let KeptAnswer { status, headers, body } = answer.unwrap_or(Err(UpstreamError::Timeout(limit)))?;
        let body = UpstreamBody::new(IncomingAnswer::Kept(body), self.engine.response_timeout());
        Ok(EngineAnswer { status, headers, body })
    }

    /// A new connection.
    async fn connect(&self, limit: Duration) -> Result<KeptConnection, UpstreamError> {
        Ok(KeptConnection::new(Box::pin(self.engine.connect(limit)).await?))
    }

    /// Sends a request with a body, over a connection of its own. `meter` measures a body that the client is still sending: what it
    /// takes for that is not part of `limit`.
    async fn exchange_with_body(
        &self,
        request: UpstreamRequest,
        meter: Option<&ClientMeter>,
        limit: Duration,
    ) -> Result<EngineAnswer, UpstreamError> {
        let UpstreamRequest { method, target, id, fields, body, .. } = request;
        let mut request = Request::new(body.unwrap_or_else(|| Either::Right(Full::default())));
        *request.uri_mut() = target.parse().map_err(|error: InvalidUri| UpstreamError::Broken(error.to_string()))?;
        (*request.method_mut(), *request.headers_mut()) = (method, fields);
        request.headers_mut().insert(HOST, const { HeaderValue::from_static("docker") });
        if let Some(id) = id {
            request.headers_mut().insert(REQUEST_ID, id);
        }
        let exchange = async {
            let connection = CheckedConnection::new(self.engine.connect(limit).await?);
            let (mut sender, connection) =
                http1::Builder::new().max_buf_size(BUFFER_LIMIT).handshake(TokioIo::new(connection)).await?;
            // It ends when the answer has been read or is dropped.
            tokio::spawn(connection);
            Ok::<_, UpstreamError>(sender.send_request(request).await?)
        };
        let mut exchange = pin!(exchange);
        let answer = loop {
            let sent = meter.map(ClientMeter::bytes);
            match tokio::time::timeout(limit, exchange.as_mut()).await {
                Ok(answer) => break answer?,
                Err(_) if meter.is_some_and(|meter| meter.is_waiting() || Some(meter.bytes()) != sent) => {}
                Err(_) => return Err(UpstreamError::Timeout(limit)),
            }
        };
        let (parts, incoming) = answer.into_parts();
        let mut headers = HeaderFields::default();
        parts.headers.iter().for_each(|(name, value)| headers.push(name.as_str().as_bytes(), value.as_bytes()));
        let body =
            UpstreamBody::new(IncomingAnswer::Parsed(incoming, WaitTimer::default()), self.engine.response_timeout());
        Ok(EngineAnswer { status: parts.status, headers, body })
    }
}

/// The body of an answer. When it is dropped before its end, the connection is closed.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: IncomingAnswer,
    /// How long to wait for each chunk.
    timeout: Duration,
    /// Since when a chunk is waited for.
    waiting_since: Option<Instant>,
    /// How long chunks were waited for where nobody measured that.
    waited: Duration,
}

/// Where the body of an answer comes from.
#[derive(Debug)]
enum IncomingAnswer {
    /// From a connection that is kept.
    Kept(KeptBody),
    /// From the HTTP library, and what limits the wait for it.
    Parsed(Incoming, WaitTimer),
}

impl UpstreamBody {
    fn new(incoming: IncomingAnswer, timeout: Duration) -> Self {
        Self { incoming, timeout, waiting_since: None, waited: Duration::ZERO }
    }

    /// How long chunks were waited for since this was last asked, outside [`measured`].
    pub fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }

    /// Reads the body to its end, or until more than `limit` bytes have come, so that its connection can be used again. Returns the
    /// number of bytes read.
    ///
    /// # Errors
    /// [`UpstreamError::Broken`] if it is cut short, [`UpstreamError::Timeout`] if a chunk does not come in time.
    pub async fn discard(mut self, limit: usize) -> Result<usize, UpstreamError> {
        let mut read = 0;
        while read <= limit
            && let Some(chunk) = self.next().await?
        {
            read += chunk.len();
        }
        Ok(read)
    }

    /// The next chunk, or `None` at the end.
    ///
    /// # Errors
    /// [`UpstreamError::Broken`] if the body is cut short, [`UpstreamError::Timeout`] if the chunk does not come in time.
    pub async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Self::next`].
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, UpstreamError>> {
        if let Poll::Ready(data) = self.poll_data(cx) {
            return Poll::Ready(data.transpose());
        }
        let Some(deadline) = self.waiting_since.map(|since| since + self.timeout) else { return Poll::Pending };
        let timer = match &mut self.incoming {
            IncomingAnswer::Kept(body) => body.timer(),
            IncomingAnswer::Parsed(_, timer) => Some(timer),
        };
        if !timer.is_some_and(|timer| timer.has_passed(deadline.into(), cx)) {
            return Poll::Pending;
        }
        self.waiting_since.take().map(waiting::ended);
        Poll::Ready(Err(UpstreamError::Timeout(self.timeout)))
    }

    /// The next chunk, or `None` at the end.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UpstreamError>>> {
        let polled = match &mut self.incoming {
            IncomingAnswer::Kept(body) => body.poll_data(cx),
            IncomingAnswer::Parsed(incoming, _) => poll_incoming(incoming, cx),
        };
        let Poll::Ready(data) = polled else {
            self.waiting_since.get_or_insert_with(Instant::now);
            return Poll::Pending;
        };
        if let Some(since) = self.waiting_since.take() {
            self.waited += waiting::ended(since);
        }
        Poll::Ready(data)
    }
}

/// The next chunk of a body that the HTTP library reads. Trailers are not passed on.
fn poll_incoming(incoming: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UpstreamError>>> {
    loop {
        match ready!(Pin::new(&mut *incoming).poll_frame(cx)).transpose()?.map(Frame::into_data) {
            Some(Ok(data)) => return Poll::Ready(Some(Ok(data))),
            Some(Err(_)) => {}
            None => return Poll::Ready(None),
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        self.get_mut().poll_data(cx).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        match &self.incoming {
            IncomingAnswer::Kept(body) => body.is_end_stream(),
            IncomingAnswer::Parsed(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.incoming {
            IncomingAnswer::Kept(body) => body.size_hint(),
            IncomingAnswer::Parsed(incoming, _) => incoming.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time_limit::within_time_limit;

    /// Why there is no connection to an engine at this address.
    fn fault(address: &str) -> UpstreamError {
        let address: EngineAddress = address.parse().unwrap();
        let wait = Duration::from_secs(20);
        let endpoint = EngineEndpoint { address, tls: None };
        let timeouts = EngineTimeouts { connect: wait, response: wait, work: wait };
        let engine = Engine::new(endpoint, timeouts, Keepalive::default(), ApiRange::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let fault = runtime.block_on(engine.connect(wait)).unwrap_err();
        runtime.shutdown_background();
        fault
    }

    /// No fault of the system is one of an unknown category for the operator.
    #[test]
    fn the_words_of_the_system_are_kept() {
        for number in 1..=133 {
            let error = std::io::Error::from_raw_os_error(number);
            let expected = if error.kind() == std::io::ErrorKind::NotFound {
                "cannot connect: no such socket".to_owned()
            } else {
                format!("cannot connect: {error}")
            };
            assert_eq!(UpstreamError::unavailable(&error).to_string(), expected);
            assert!(!expected.contains("uncategorized"), "{expected}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_resolved_is_told_and_an_engine_that_was_not_asked_does_not_hang() {
        within_time_limit(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let fault_of_silence =
                runtime.block_on(resolved("engine", Duration::from_millis(5), std::future::pending())).unwrap_err();
            assert_eq!(fault_of_silence.to_string(), "cannot resolve engine: no answer within 5ms");
            assert_eq!(fault_of_silence.reason(), "engine-down");
            for (address, expected) in [
                ("tcp://no-engine.invalid:1", "cannot resolve no-engine.invalid: "),
                ("tcp://127.0.0.1:1", "cannot connect: Connection refused (os error "),
                ("unix:///no/engine", "cannot connect: no such socket"),
            ] {
                let fault = fault(address);
                let text = fault.to_string();
                assert!(text.starts_with(expected), "{address}: {text}");
                assert!(!text.contains("uncategorized") && !text.contains("failed to lookup"), "{text}");
                assert_eq!(fault.reason(), "engine-down", "{text}");
            }
        });
    }
}
