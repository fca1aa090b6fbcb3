//! Connections to the daemon, over a Unix socket or TCP.
//!
//! A document is fetched over a pooled connection that hyper drives inside the exchange's own task: there is no task
//! per connection and no hand-over between two. A stream gets a connection of its own that nobody else ever uses:
//! see [`raw`].

pub mod raw;

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use crate::api::ApiVersion;
use crate::socket::{Address, Socket};

/// How many idle connections a pool keeps.
const IDLE_LIMIT: usize = 64;
/// How long a connection may have been idle to be used again.
const IDLE_AGE: Duration = Duration::from_secs(30);
/// The header in which every answer of an engine names the newest API version it speaks.
const API_VERSION: HeaderName = HeaderName::from_static("api-version");

/// Why the daemon gave no usable answer.
#[derive(Debug)]
pub enum UpstreamError {
    /// No connection could be made.
    Unavailable(std::io::ErrorKind),
    /// It did not answer in time.
    Timeout,
    /// The connection broke, or what came over it was not HTTP.
    Broken(String),
    /// It does not say which API version it speaks.
    Version,
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(kind) => write!(f, "cannot connect: {kind}"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Broken(why) => write!(f, "connection broken: {why}"),
            Self::Version => f.write_str("no API version in the answer to a ping"),
        }
    }
}

impl std::error::Error for UpstreamError {}

impl From<hyper::Error> for UpstreamError {
    fn from(error: hyper::Error) -> Self {
        // The text of a hyper error names what went wrong, never what was sent.
        Self::Broken(error.to_string())
    }
}

/// What all connections to one daemon have in common, over all workers.
#[derive(Debug)]
pub struct Engine {
    address: Address,
    connect: Duration,
    response: Duration,
    /// The minor number of the API version it speaks; 0 while that is unknown.
    version: AtomicU16,
}

impl Engine {
    /// The daemon at `address`; `connect` and `response` bound the wait for a connection and for the head of an answer.
    pub fn new(address: Address, connect: Duration, response: Duration) -> Self {
        Self { address, connect, response, version: AtomicU16::new(0) }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How long to wait for the head of an answer.
    pub fn response_timeout(&self) -> Duration {
        self.response
    }

    /// The API version it speaks, if that is known.
    pub fn version(&self) -> Option<ApiVersion> {
        Some(self.version.load(Ordering::Relaxed)).filter(|minor| *minor != 0).map(ApiVersion::new)
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`UpstreamError::Unavailable`] or [`UpstreamError::Timeout`]; what was known of the daemon is then forgotten.
    pub async fn open(&self) -> Result<Socket, UpstreamError> {
        let opened = match tokio::time::timeout(self.connect, Socket::connect(&self.address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => UpstreamError::Unavailable(error.kind()),
            Err(_) => UpstreamError::Timeout,
        };
        self.forget();
        Err(opened)
    }

    /// Forgets the version: the daemon went away, and what comes back may be another.
    fn forget(&self) {
        self.version.store(0, Ordering::Relaxed);
    }

    /// Learns the version from the headers of an answer.
    fn learn(&self, value: Option<&HeaderValue>) {
        let version = value.and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<ApiVersion>().ok());
        if let Some(version) = version
            && self.version.swap(version.minor(), Ordering::Relaxed) != version.minor()
        {
            tracing::debug!(%version, "engine API version");
        }
    }
}

/// The body of a request that goes up.
#[derive(Debug)]
pub enum RequestBody {
    /// None.
    Empty,
    /// The client's, as it comes.
    Client(Incoming),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Client(body) => loop {
                let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
                // Trailers of a request say nothing to the engine and stay here.
                if !matches!(&frame, Some(Ok(frame)) if !frame.is_data()) {
                    return Poll::Ready(frame);
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client(body) => body.size_hint(),
        }
    }
}

/// One connection with what drives it. It is large, so it stays where it is and its box is handed on.
struct Connection {
    sender: http1::SendRequest<RequestBody>,
    driver: http1::Connection<TokioIo<Socket>, RequestBody>,
}

impl Connection {
    /// Drives the connection; `true` when it has ended.
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        Pin::new(&mut self.driver).poll(cx).is_ready()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

/// A connection that waits to be used again.
#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

/// The connections of one worker to the daemon.
#[derive(Clone, Debug)]
pub struct Upstream {
    engine: Arc<Engine>,
    idle: Arc<Mutex<Vec<Idle>>>,
}

impl Upstream {
    /// No connections yet.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, idle: Arc::default() }
    }

    /// The daemon.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The N of the API version 1.N that the daemon speaks; asks it if that is not known.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn version(&self) -> Result<ApiVersion, UpstreamError> {
        if let Some(version) = self.engine.version() {
            return Ok(version);
        }
        let request = Request::get("/_ping").body(RequestBody::Empty);
        let request = request.map_err(|error| UpstreamError::Broken(error.to_string()))?;
        drop(self.send(request).await?);
        self.engine.version().ok_or(UpstreamError::Version)
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// What may be sent twice (RFC 9110 §9.2.2) and has no body goes over a pooled connection, and again over another
    /// one when that turns out to be dead. All else has a connection that nothing was sent over before.
    /// Cancel safety: dropped half-way, the connection is closed, which is how an engine learns that nobody waits.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn send(&self, mut request: Request<RequestBody>) -> Result<Response<UpstreamBody>, UpstreamError> {
        request.headers_mut().insert(HOST, const { HeaderValue::from_static("docker") });
        let answer = tokio::time::timeout(self.engine.response, self.exchange(request)).await;
        answer.map_err(|_| UpstreamError::Timeout)?
    }

    async fn exchange(&self, mut request: Request<RequestBody>) -> Result<Response<UpstreamBody>, UpstreamError> {
        let is_repeatable = match request.body() {
            RequestBody::Empty => request.method().is_idempotent(),
            RequestBody::Client(_) => false,
        };
        while is_repeatable && let Some(connection) = self.reuse().await {
            let again = repeat(&request);
            match self.send_over(connection, request).await {
                Ok(response) => return Ok(response),
                Err(_) => request = again,
            }
        }
        let socket = self.engine.open().await?;
        let (sender, driver) = http1::handshake(TokioIo::new(socket)).await?;
        self.send_over(Box::new(Connection { sender, driver }), request).await
    }

    /// A pooled connection that is still alive.
    async fn reuse(&self) -> Option<Box<Connection>> {
        loop {
            let Idle { mut connection, since } = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            let dead = std::future::poll_fn(|cx| Poll::Ready(connection.drive(cx))).await;
            if dead {
                // The daemon closed it: it may have been started anew.
                self.engine.forget();
            } else if since.elapsed() < IDLE_AGE && connection.sender.is_ready() {
                return Some(connection);
            }
        }
    }

    async fn send_over(
        &self,
        mut connection: Box<Connection>,
        request: Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let response = {
            let mut answer = pin!(connection.sender.send_request(request));
            let driver = &mut connection.driver;
            let mut ended = false;
            std::future::poll_fn(|cx| {
                ended = ended || Pin::new(&mut *driver).poll(cx).is_ready();
                answer.as_mut().poll(cx)
            })
            .await?
        };
        self.engine.learn(response.headers().get(API_VERSION));
        let (parts, incoming) = response.into_parts();
        let mut body = UpstreamBody { incoming, connection: Some(connection), upstream: self.clone() };
        if body.incoming.is_end_stream() {
            std::future::poll_fn(|cx| {
                body.end(cx);
                Poll::Ready(())
            })
            .await;
        }
        Ok(Response::from_parts(parts, body))
    }

    fn keep(&self, connection: Box<Connection>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_LIMIT {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }
}

/// The same request without its body, which is empty.
fn repeat(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut again = Request::new(RequestBody::Empty);
    again.method_mut().clone_from(request.method());
    again.uri_mut().clone_from(request.uri());
    again.headers_mut().clone_from(request.headers());
    again
}

/// The body of an answer, with the connection it comes over.
///
/// The connection goes back to the pool when the body has been read to its end, and is closed when it is dropped before.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    connection: Option<Box<Connection>>,
    upstream: Upstream,
}

impl UpstreamBody {
    /// Reads the body to its end if it is no longer than `limit`, and answers it; `None` if it is longer.
    ///
    /// # Errors
    /// [`UpstreamError::Broken`] if it is cut short, [`UpstreamError::Timeout`] if it takes longer than an answer may.
    pub async fn collect(mut self, limit: usize) -> Result<Option<Vec<u8>>, UpstreamError> {
        let expected = usize::try_from(self.incoming.size_hint().lower()).unwrap_or(usize::MAX);
        if expected > limit {
            return Ok(None);
        }
        let within = self.upstream.engine.response;
        let mut bytes = Vec::with_capacity(expected);
        while let Some(frame) = self.next(within).await? {
            if bytes.len() + frame.len() > limit {
                return Ok(None);
            }
            bytes.extend_from_slice(&frame);
        }
        Ok(Some(bytes))
    }

    /// The next chunk, or `None` at the end. Cancel safety: nothing is lost.
    ///
    /// # Errors
    /// [`UpstreamError::Broken`] if the body is cut short, [`UpstreamError::Timeout`] after `within` without a byte.
    pub async fn next(&mut self, within: Duration) -> Result<Option<Bytes>, UpstreamError> {
        let chunk = std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx));
        match tokio::time::timeout(within, chunk).await {
            Err(_) => Err(UpstreamError::Timeout),
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => Err(error),
            Ok(Some(Ok(frame))) => Ok(frame.into_data().ok()),
        }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(mut connection) = self.connection.take()
            && !connection.drive(cx)
            && connection.sender.is_ready()
        {
            self.upstream.keep(connection);
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let this = self.get_mut();
        loop {
            // Only a connection that is driven brings the next frame; one that has ended has brought all of them.
            if this.connection.as_mut().is_some_and(|connection| connection.drive(cx)) {
                this.connection = None;
            }
            match ready!(Pin::new(&mut this.incoming).poll_frame(cx)) {
                Some(Ok(frame)) if frame.is_data() => {
                    if this.incoming.is_end_stream() {
                        this.end(cx);
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                // Trailers stay here.
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    this.connection = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {
                    this.end(cx);
                    return Poll::Ready(None);
                }
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
