//! Connections to the engine, over a Unix socket or TCP.
//!
//! A document is fetched over a pooled connection that hyper drives inside the task of the exchange: there is no task per
//! connection, and no hand-over between two. A stream has a connection of its own: see [`raw`].

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
use http_body_util::{BodyExt, Either, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use crate::api::ApiVersion;
use crate::socket::{Address, Socket};

/// The most idle connections of a pool.
const IDLE_LIMIT: usize = 64;
/// How long a connection may be idle and still be used again.
const IDLE_AGE: Duration = Duration::from_secs(30);
/// The newest API version of the engine, in each of its answers.
const API_VERSION: HeaderName = HeaderName::from_static("api-version");

/// Why the engine gave no usable answer.
#[derive(Debug)]
pub enum UpstreamError {
    /// It cannot be connected to.
    Unavailable(std::io::ErrorKind),
    /// It did not answer in time.
    Timeout,
    /// The connection broke, or what came over it was not HTTP.
    Broken(String),
    /// Its answer to a ping names no API version.
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
        // The text of a hyper error holds nothing that was sent.
        Self::Broken(error.to_string())
    }
}

/// The engine: what its connections share, in all workers.
#[derive(Debug)]
pub struct Engine {
    address: Address,
    connect_timeout: Duration,
    response_timeout: Duration,
    /// The minor number of its newest API version; 0 while it is unknown.
    version: AtomicU16,
}

impl Engine {
    /// The engine at `address`. The timeouts are for a connection, and for the head of an answer.
    pub fn new(address: Address, connect_timeout: Duration, response_timeout: Duration) -> Self {
        Self { address, connect_timeout, response_timeout, version: AtomicU16::new(0) }
    }

    /// Its address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How long to wait for the head of an answer, and for each chunk of its body.
    pub fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// Its newest API version, if that is known.
    pub fn version(&self) -> Option<ApiVersion> {
        Some(self.version.load(Ordering::Relaxed)).filter(|minor| *minor != 0).map(ApiVersion::new)
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`UpstreamError::Unavailable`] or [`UpstreamError::Timeout`]; the API version is then forgotten.
    pub async fn connect(&self) -> Result<Socket, UpstreamError> {
        let error = match tokio::time::timeout(self.connect_timeout, Socket::connect(&self.address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => UpstreamError::Unavailable(error.kind()),
            Err(_) => UpstreamError::Timeout,
        };
        self.forget();
        Err(error)
    }

    /// Forgets the version: the engine that comes back may be another.
    fn forget(&self) {
        self.version.store(0, Ordering::Relaxed);
    }

    /// Learns the version from the header field of an answer.
    fn learn(&self, value: Option<&HeaderValue>) {
        let version = value.and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<ApiVersion>().ok());
        if let Some(version) = version
            && self.version.swap(version.minor(), Ordering::Relaxed) != version.minor()
        {
            tracing::debug!(%version, "API version of the engine");
        }
    }
}

/// A request as it goes up: without a body, or with the client's as it arrives.
///
/// It has no trailers: the framing of clients' requests refuses them.
pub type UpstreamRequest = Request<RequestContent>;

type RequestContent = Either<Empty<Bytes>, Incoming>;

/// A connection and its driver. It is large, so its box is handed on.
struct PooledConnection {
    sender: http1::SendRequest<RequestContent>,
    driver: http1::Connection<TokioIo<Socket>, RequestContent>,
}

impl PooledConnection {
    /// Drives the connection; returns whether it has ended.
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        Pin::new(&mut self.driver).poll(cx).is_ready()
    }
}

impl fmt::Debug for PooledConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PooledConnection")
    }
}

/// A connection that can be used again.
#[derive(Debug)]
struct IdleConnection {
    connection: Box<PooledConnection>,
    since: Instant,
}

/// The connections of one worker to the engine.
#[derive(Clone, Debug)]
pub struct Upstream {
    engine: Arc<Engine>,
    idle: Arc<Mutex<Vec<IdleConnection>>>,
}

impl Upstream {
    /// A pool without connections.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, idle: Arc::default() }
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
        let request = Request::get("/_ping").body(Either::Left(Empty::new()));
        let request = request.map_err(|error| UpstreamError::Broken(error.to_string()))?;
        drop(self.send(request).await?);
        self.engine.version().ok_or(UpstreamError::Version)
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// An idempotent request without a body (RFC 9110 §9.2.2) goes over a pooled connection. If that turns out to be dead,
    /// the request is sent again over another. Every other request gets a new connection.
    /// Cancel safety: when dropped, the connection is closed, which tells the engine that nobody waits.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn send(&self, mut request: UpstreamRequest) -> Result<Response<UpstreamBody>, UpstreamError> {
        request.headers_mut().insert(HOST, const { HeaderValue::from_static("docker") });
        let answer = tokio::time::timeout(self.engine.response_timeout, self.exchange(request)).await;
        answer.map_err(|_| UpstreamError::Timeout)?
    }

    async fn exchange(&self, mut request: UpstreamRequest) -> Result<Response<UpstreamBody>, UpstreamError> {
        let is_repeatable = match request.body() {
            Either::Left(_) => request.method().is_idempotent(),
            Either::Right(_) => false,
        };
        while is_repeatable && let Some(connection) = self.reuse().await {
            let again = repeat(&request);
            match self.send_over(connection, request).await {
                Ok(response) => return Ok(response),
                Err(_) => request = again,
            }
        }
        let socket = self.engine.connect().await?;
        let (sender, driver) = http1::handshake(TokioIo::new(socket)).await?;
        self.send_over(Box::new(PooledConnection { sender, driver }), request).await
    }

    /// A live connection of the pool.
    async fn reuse(&self) -> Option<Box<PooledConnection>> {
        loop {
            let IdleConnection { mut connection, since } =
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            let dead = std::future::poll_fn(|cx| Poll::Ready(connection.drive(cx))).await;
            if dead {
                // The engine closed it, perhaps because it was restarted.
                self.engine.forget();
            } else if since.elapsed() < IDLE_AGE && connection.sender.is_ready() {
                return Some(connection);
            }
        }
    }

    async fn send_over(
        &self,
        mut connection: Box<PooledConnection>,
        request: UpstreamRequest,
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

    fn keep(&self, connection: Box<PooledConnection>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_LIMIT {
            idle.push(IdleConnection { connection, since: Instant::now() });
        }
    }
}

/// A copy of a request without a body.
fn repeat(request: &UpstreamRequest) -> UpstreamRequest {
    let mut again = Request::new(Either::Left(Empty::new()));
    again.method_mut().clone_from(request.method());
    again.uri_mut().clone_from(request.uri());
    again.headers_mut().clone_from(request.headers());
    again
}

/// The body of an answer, with the connection it comes over.
///
/// When the body has been read to its end, the connection goes back to the pool. When it is dropped before, the connection
/// is closed.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    connection: Option<Box<PooledConnection>>,
    upstream: Upstream,
}

impl UpstreamBody {
    /// Reads the body to its end. `None` if it is longer than `limit` bytes.
    ///
    /// # Errors
    /// [`UpstreamError::Broken`] if it is cut short, [`UpstreamError::Timeout`] if a chunk does not come in time.
    pub async fn collect(mut self, limit: usize) -> Result<Option<Vec<u8>>, UpstreamError> {
        let expected = usize::try_from(self.incoming.size_hint().lower()).unwrap_or(usize::MAX);
        if expected > limit {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(expected);
        while let Some(frame) = self.next().await? {
            if bytes.len() + frame.len() > limit {
                return Ok(None);
            }
            bytes.extend_from_slice(&frame);
        }
        Ok(Some(bytes))
    }

    /// The next chunk, or `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let timeout = self.upstream.engine.response_timeout;
        let frame = tokio::time::timeout(timeout, self.frame()).await.map_err(|_| UpstreamError::Timeout)?;
        Ok(frame.transpose()?.and_then(|frame| frame.into_data().ok()))
    }

    /// The body has been read to its end: its connection can be used again.
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
            // Only driving the connection brings the next frame. A connection that has ended has brought all of them.
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
                // Trailers are not passed on.
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
