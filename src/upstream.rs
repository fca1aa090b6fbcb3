//! Connections to the engine, over a Unix socket, TCP, TLS or `ssh`.
//!
//! A document is fetched by hyper-util's client, which pools connections. A stream has a connection of its own: see
//! [`raw`].
//!
//! There was a pool of our own, which drove each connection in the task of its exchange. It was replaced because it was
//! less than 10 % cheaper: 9 % of the user instructions of a ping (41,854 to 46,085) and 2 % of those of an inspect (234,216
//! to 238,989), both under `valgrind --tool=callgrind` without a log, and no measurable difference in CPU time (`cargo
//! bench --bench exchange -- ping --beside FILE`).

mod client_body;
mod connector;
pub mod raw;
mod ssh;
mod tls;
mod waiting;

use std::error::Error as _;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, Scheme};
use hyper::{HeaderMap, Request, Response, Uri};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub use self::client_body::ClientBody;
use self::connector::Connector;
pub use self::ssh::SshFault;
pub use self::waiting::measured;
use crate::api::{ApiRange, ApiVersion};
use crate::endpoint::{EngineAddress, EngineEndpoint};
use crate::socket::{Keepalive, Socket};
use crate::stream::responses::ResponseError;
use crate::tls::{EngineTls, TlsFault};

/// How long a connection may be idle and still be used again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest buffer of a connection, in bytes. The head of an answer must fit.
const BUFFER_LIMIT: usize = 32 * 1024;
/// The newest API version of the engine, in each of its answers.
const API_VERSION: HeaderName = HeaderName::from_static("api-version");

/// Why the engine gave no usable answer.
#[derive(Clone, Debug)]
pub enum UpstreamError {
    /// It cannot be connected to.
    Unavailable(std::io::ErrorKind),
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
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(std::io::ErrorKind::NotFound) => f.write_str("cannot connect: no such socket"),
            Self::Unavailable(kind) => write!(f, "cannot connect: {kind}"),
            Self::Tls(fault) => write!(f, "{fault}"),
            Self::Ssh(fault) => write!(f, "{fault}"),
            Self::Timeout(limit) => write!(f, "no answer within {limit:?}"),
            Self::Broken(why) => write!(f, "connection broken: {why}"),
            Self::Unanswered => f.write_str("connection closed before the answer"),
            Self::Malformed(error) => write!(f, "{error}"),
            Self::Version => f.write_str("no API version in the answer to a ping"),
        }
    }
}

impl std::error::Error for UpstreamError {}

impl From<legacy::Error> for UpstreamError {
    fn from(error: legacy::Error) -> Self {
        Self::cause(error.source())
            .unwrap_or_else(|| Self::Broken(error.source().map_or_else(|| error.to_string(), ToString::to_string)))
    }
}

impl From<hyper::Error> for UpstreamError {
    fn from(error: hyper::Error) -> Self {
        // The text of a hyper error holds nothing that was sent.
        Self::cause(error.source()).unwrap_or_else(|| Self::Broken(error.to_string()))
    }
}

impl UpstreamError {
    /// The reason in the log and in metrics, in one word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "engine-down",
            Self::Tls(_) => "engine-tls",
            Self::Ssh(_) => "engine-ssh",
            Self::Timeout(_) => "engine-timeout",
            Self::Broken(_) | Self::Unanswered => "engine-broken",
            Self::Malformed(_) | Self::Version => "engine-malformed",
        }
    }

    /// What a read or a write of the engine's socket reported.
    fn of_io(error: &std::io::Error) -> Self {
        Self::cause(Some(error)).unwrap_or_else(|| Self::Broken(error.to_string()))
    }

    /// What the connector or a connection reported, wherever it is in a chain of errors.
    fn cause(mut error: Option<&(dyn std::error::Error + 'static)>) -> Option<Self> {
        while let Some(found) = error {
            let inner = found.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            let inner = inner.map(|inner| inner as &(dyn std::error::Error + 'static));
            if let Some(known) = found.downcast_ref::<Self>().or_else(|| inner?.downcast_ref()) {
                return Some(known.clone());
            }
            // A request that waited for a connection which closed before it was sent.
            if found.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
                return Some(Self::Unanswered);
            }
            error = found.source();
        }
        None
    }
}

/// The engine: what its connections share, in all workers.
#[derive(Debug)]
pub struct Engine {
    endpoint: EngineEndpoint,
    /// The TLS of new connections, which a reload renews.
    tls: RwLock<Option<EngineTls>>,
    connect_timeout: Duration,
    response_timeout: Duration,
    keepalive: Keepalive,
    /// The API versions that clients may use.
    api: ApiRange,
    /// The minor number of its newest API version; 0 while it is unknown.
    version: AtomicU16,
    /// The minor number of the oldest API version that it accepts; 0 while it is unknown.
    oldest: AtomicU16,
}

impl Engine {
    /// The engine at `endpoint`. The timeouts are for a connection, and for the head of an answer; clients may use the
    /// versions in `api`.
    pub fn new(
        endpoint: EngineEndpoint,
        connect_timeout: Duration,
        response_timeout: Duration,
        keepalive: Keepalive,
        api: ApiRange,
    ) -> Self {
        Self {
            tls: RwLock::new(endpoint.tls.as_ref().map(|tls| tls.tls.clone())),
            endpoint,
            connect_timeout,
            response_timeout,
            keepalive,
            api,
            version: AtomicU16::new(0),
            oldest: AtomicU16::new(0),
        }
    }

    /// Whether another one is configured in the same way, whatever is in the files of its TLS.
    pub fn is_like(&self, other: &Self) -> bool {
        let settings = |engine: &Self| (engine.connect_timeout, engine.response_timeout, engine.keepalive, engine.api);
        self.endpoint.has_same_names(&other.endpoint) && settings(self) == settings(other)
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
        self.response_timeout
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
    pub fn advertise(&self, headers: &mut HeaderMap) {
        let max = self.api.max();
        if version_in(headers).is_some_and(|version| version > max)
            && let Ok(value) = HeaderValue::try_from(max.to_string())
        {
            headers.insert(API_VERSION, value);
        }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`UpstreamError::Unavailable`], [`UpstreamError::Tls`], [`UpstreamError::Ssh`] or [`UpstreamError::Timeout`]; the API
    /// version is then forgotten.
    pub async fn connect(&self) -> Result<Socket, UpstreamError> {
        let connected = tokio::time::timeout(self.connect_timeout, self.open()).await;
        let connected = connected.unwrap_or(Err(UpstreamError::Timeout(self.connect_timeout)));
        if connected.is_err() {
            self.forget();
        }
        connected
    }

    async fn open(&self) -> Result<Socket, UpstreamError> {
        let address = match self.address() {
            EngineAddress::Socket(address) => address,
            EngineAddress::Ssh(address) => return ssh::open(address),
        };
        let socket = Socket::connect(address, self.keepalive).await;
        let socket = socket.map_err(|error| UpstreamError::Unavailable(error.kind()))?;
        // Not in the condition: the lock would be held meanwhile.
        let tls = self.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
        match tls {
            Some(tls) => tls::open(&tls, address, socket).await,
            None => Ok(socket),
        }
    }

    /// Forgets the versions: the engine that comes back may be another.
    fn forget(&self) {
        self.version.store(0, Ordering::Relaxed);
        self.oldest.store(0, Ordering::Relaxed);
    }

    /// Learns the version from the head of an answer, if it names exactly one.
    fn learn(&self, headers: &HeaderMap) {
        if let Some(version) = version_in(headers)
            && self.version.swap(version.minor(), Ordering::Relaxed) != version.minor()
        {
            self.oldest.store(0, Ordering::Relaxed);
            tracing::debug!(%version, "API version of the engine");
        }
    }
}

/// The version with this minor number, unless it is 0.
fn known(minor: &AtomicU16) -> Option<ApiVersion> {
    Some(minor.load(Ordering::Relaxed)).filter(|minor| *minor != 0).map(ApiVersion::new)
}

/// The API version in the head of an answer, if it names exactly one.
fn version_in(headers: &HeaderMap) -> Option<ApiVersion> {
    let mut values = headers.get_all(API_VERSION).iter();
    let value = values.next().filter(|_| values.next().is_none());
    value?.to_str().ok()?.parse().ok()
}

/// A request to the engine: without a body, with the client's, which is passed on as it arrives, or with one made from it.
///
/// It has no trailers: the framing of clients' requests refuses them.
pub type UpstreamRequest = Request<RequestContent>;

type RequestContent = Either<Empty<Bytes>, Either<ClientBody, Full<Bytes>>>;

/// The connections of one worker to the engine.
#[derive(Clone, Debug)]
pub struct Upstream {
    engine: Arc<Engine>,
    /// Uses a connection for one request after another.
    pooled: Client<Connector, RequestContent>,
    /// Uses a new connection for each request.
    unpooled: Client<Connector, RequestContent>,
}

impl Upstream {
    /// No connections are open. At most `idle_limit` are kept open while they are idle.
    pub fn new(engine: Arc<Engine>, idle_limit: usize) -> Self {
        let client = |idle_limit| {
            Client::builder(TokioExecutor::new())
                .set_host(false)
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(idle_limit)
                // A request is sent again here, once, and not over one idle connection after another.
                .retry_canceled_requests(false)
                .http1_max_buf_size(BUFFER_LIMIT)
                .build(Connector::new(engine.clone()))
        };
        Self { pooled: client(idle_limit), unpooled: client(0), engine }
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
        if let Some(version) = self.engine.version() {
            return Ok(version);
        }
        let mut request = Request::new(Either::Left(Empty::new()));
        *request.uri_mut() = Uri::from_static("/_ping");
        // What the answer says, because another connection that ends may make the engine's version unknown meanwhile.
        version_in(self.ask(request).await?.headers()).ok_or(UpstreamError::Version)
    }

    /// Asks whether the engine answers, over a new connection.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn ping(&self) -> Result<(), UpstreamError> {
        let mut request = Request::new(Either::Left(Empty::new()));
        *request.uri_mut() = Uri::from_static("/_ping");
        let answer = self.ask(request).await?;
        // An engine that cannot work says so by an error.
        if answer.status().is_success() { Ok(()) } else { Err(UpstreamError::Broken(answer.status().to_string())) }
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// An idempotent request without a body (RFC 9110 §9.2.2) goes over a pooled connection. If that closes before a byte of
    /// the answer comes, the request is sent once more, over a new one. Every other request gets a new connection and is
    /// sent once.
    /// Cancel safety: when dropped, the connection is closed, which tells the engine that nobody waits.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn send(&self, request: UpstreamRequest) -> Result<Response<UpstreamBody>, UpstreamError> {
        let timeout = self.engine.response_timeout;
        let (mut parts, incoming) = self.ask(request).await?.into_parts();
        self.engine.advertise(&mut parts.headers);
        let body = UpstreamBody { incoming, timeout, waiting_since: None, waited: Duration::ZERO };
        Ok(Response::from_parts(parts, body))
    }

    /// As [`Self::send`], with the head as it came.
    async fn ask(&self, mut request: UpstreamRequest) -> Result<Response<Incoming>, UpstreamError> {
        request.headers_mut().insert(HOST, const { HeaderValue::from_static("docker") });
        *request.uri_mut() = absolute(std::mem::take(request.uri_mut()))?;
        let since = Instant::now();
        let answer = tokio::time::timeout(self.engine.response_timeout, self.exchange(request)).await;
        waiting::ended(since);
        let answer = answer.map_err(|_| UpstreamError::Timeout(self.engine.response_timeout))??;
        self.engine.learn(answer.headers());
        Ok(answer)
    }

    async fn exchange(&self, request: UpstreamRequest) -> Result<Response<Incoming>, UpstreamError> {
        let is_repeatable = matches!(request.body(), Either::Left(_)) && request.method().is_idempotent();
        if !is_repeatable {
            return Ok(self.unpooled.request(request).await?);
        }
        let again = copy_of(&request);
        match self.pooled.request(request).await.map_err(UpstreamError::from) {
            Err(UpstreamError::Unanswered) => Ok(self.unpooled.request(again).await?),
            answer => answer,
        }
    }
}

/// The form of a target that the HTTP client takes. It is not sent: the engine reads the path and the query.
fn absolute(target: Uri) -> Result<Uri, UpstreamError> {
    let mut parts = target.into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::from_static("docker"));
    Uri::from_parts(parts).map_err(|error| UpstreamError::Broken(error.to_string()))
}

/// A copy of a request without a body.
fn copy_of(request: &UpstreamRequest) -> UpstreamRequest {
    let mut copy = Request::new(Either::Left(Empty::new()));
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy
}

/// The body of an answer. When it is dropped before its end, the connection is closed.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    /// How long to wait for each chunk.
    timeout: Duration,
    /// Since when a chunk is waited for.
    waiting_since: Option<Instant>,
    /// How long chunks were waited for where nobody measured that.
    waited: Duration,
}

impl UpstreamBody {
    /// How long chunks were waited for since this was last asked, outside [`measured`].
    pub fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }

    /// Reads the body to its end, or up to `limit` bytes, so that its connection can be used again.
    ///
    /// # Errors
    /// [`UpstreamError::Broken`] if it is cut short, [`UpstreamError::Timeout`] if a chunk does not come in time.
    pub async fn discard(mut self, limit: usize) -> Result<(), UpstreamError> {
        let mut read = 0;
        while read <= limit
            && let Some(chunk) = self.next().await?
        {
            read += chunk.len();
        }
        Ok(())
    }

    /// The next chunk, or `None` at the end.
    ///
    /// # Errors
    /// [`UpstreamError::Broken`] if the body is cut short, [`UpstreamError::Timeout`] if the chunk does not come in time.
    pub async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let limit = self.timeout;
        let Ok(frame) = tokio::time::timeout(limit, self.frame()).await else {
            self.waiting_since.take().map(waiting::ended);
            return Err(UpstreamError::Timeout(limit));
        };
        Ok(frame.transpose()?.and_then(|frame| frame.into_data().ok()))
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let this = self.get_mut();
        loop {
            let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) else {
                this.waiting_since.get_or_insert_with(Instant::now);
                return Poll::Pending;
            };
            if let Some(since) = this.waiting_since.take() {
                this.waited += waiting::ended(since);
            }
            match frame {
                // Trailers are not passed on.
                Some(Ok(frame)) if !frame.is_data() => {}
                frame => return Poll::Ready(frame.map(|frame| frame.map_err(UpstreamError::from))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
