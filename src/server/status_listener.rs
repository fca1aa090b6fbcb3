//! The listener of `metrics`: it answers `/metrics`, `/livez` and `/readyz`, and nothing else.
//!
//! It has a thread of its own, so that it answers while the workers are busy. Nothing that it says comes from a document of the
//! engine.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::Instant;

use super::listen::{Acceptor, BoundListener, ListenerHandle};
use super::runtime;
use super::slots::{ConnectionOrigin, ConnectionState, SlotLimits, Slots};
use super::socket_file::{SocketFile, SocketFileSettings};
use super::status::{ServerStatus, StatusReport};
use crate::config::accepted_hosts;
use crate::route;
use crate::socket::{AcceptedSocket, Address, Keepalive, Socket, SocketOwner};

/// How many connections may be open. For one more, one ends that waits for its request.
const CONNECTION_LIMIT: usize = 16;
/// The descriptors that all of this takes: those, as many that are ending, the listener twice, the runtime, and a connection to an
/// engine.
pub(super) const DESCRIPTORS: usize = 2 * CONNECTION_LIMIT + 8;
/// How long a connection may take, with its answer. An engine that hangs takes two seconds of that.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take if others wait for the place of its connection: a probe sends it at once.
const REQUEST_TIME: Duration = Duration::from_millis(50);
/// The same for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(3);
/// How much of an answer the system should keep until the client reads it, in bytes. It may keep less.
const ANSWER_BUFFER: usize = 1 << 20;
/// How much of a request is read, in bytes.
const REQUEST_LIMIT: usize = 16 * 1024;

/// The media type of metrics (the text format of Prometheus, version 0.0.4).
const METRICS_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// That of other text.
const TEXT_TYPE: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The listener, with its thread. It is closed when dropped.
#[derive(Debug)]
pub(super) struct StatusListener {
    /// As configured: the port may be 0.
    configured: Address,
    bound: Option<BoundListener>,
    closing: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl StatusListener {
    /// Opens a listener at an address. A Unix socket belongs to `owner`. It does not answer yet: threads come after privileges
    /// have been dropped.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) fn open(
        address: &Address,
        owner: SocketOwner,
        is_stopped: &mut dyn FnMut() -> bool,
    ) -> io::Result<Self> {
        let settings = SocketFileSettings { owner, ..SocketFileSettings::default() };
        let bound = BoundListener::open_at(address, settings, is_stopped)?;
        Ok(Self { configured: address.clone(), bound: Some(bound), closing: watch::Sender::new(false), thread: None })
    }

    /// Its address as configured.
    pub(super) fn configured(&self) -> &Address {
        &self.configured
    }

    /// Whether nobody can connect to it any more, because its path leads nowhere or elsewhere.
    pub(super) fn is_lost(&self) -> bool {
        self.bound.as_ref().is_some_and(BoundListener::is_lost)
    }

    /// Its address, with the port that the system chose.
    pub(super) fn address(&self) -> &Address {
        self.bound.as_ref().map_or(&self.configured, BoundListener::address)
    }

    /// The file of its socket.
    pub(super) fn file(&self) -> Option<&SocketFile> {
        self.bound.as_ref().and_then(BoundListener::file)
    }

    /// Starts the thread that answers.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) fn start(&mut self, status: Arc<ServerStatus>) -> io::Result<()> {
        let Some(bound) = &self.bound else { return Ok(()) };
        let (handle, closing) = (bound.share()?, self.closing.subscribe());
        let hosts: Arc<[String]> = accepted_hosts(&self.configured, Vec::new(), &[]).into();
        let runtime = runtime().build()?;
        let serve = move || {
            runtime.block_on(accept(handle, status, hosts, closing));
            runtime.shutdown_background();
        };
        self.thread = Some(std::thread::Builder::new().name("metrics".to_owned()).spawn(serve)?);
        Ok(())
    }
}

impl Drop for StatusListener {
    fn drop(&mut self) {
        self.closing.send_replace(true);
        if let Some(bound) = self.bound.take() {
            bound.close(drop);
        }
        if let Some(thread) = self.thread.take() {
            // It waits for nothing but this. One that panicked has reported it.
            let _ = thread.join();
        }
    }
}

/// Answers connections until the listener closes.
async fn accept(
    handle: ListenerHandle,
    status: Arc<ServerStatus>,
    hosts: Arc<[String]>,
    mut closing: watch::Receiver<bool>,
) {
    let acceptor: Acceptor = match handle.into_acceptor() {
        Ok(acceptor) => acceptor,
        Err(error) => return tracing::error!(%error, "the listener of metrics cannot be used"),
    };
    // None has a slot: what is here is what clients have elsewhere until their first request.
    let limits = SlotLimits { slots: 0, overflow: CONNECTION_LIMIT, listeners: vec![None] };
    let (slots, open) = (Arc::new(Slots::new(&limits)), Arc::default());
    while let Some(socket) = acceptor.next(&mut closing).await {
        let from = ConnectionOrigin::from(&socket);
        let slot = loop {
            if let Some(slot) = slots.enter(0, from, &open) {
                break slot;
            }
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => return,
                () = slots.room() => {}
            }
        };
        let (status, hosts) = (status.clone(), hosts.clone());
        tokio::spawn(async move {
            let (state, opened, asked) = (slot.state().clone(), Instant::now(), OnceLock::new());
            let served = tokio::time::timeout(CONNECTION_TIMEOUT, serve(socket, status, hosts, (&state, &asked)));
            tokio::select! {
                // In this order: an answer that is there is sent.
                biased;
                _ = served => {}
                () = gives_way(&state, opened, &asked) => {}
            }
        });
    }
}

/// Waits until a connection must end for another one, and has had the time for its request, or for its answer. `asked` is when the
/// request came.
async fn gives_way(state: &ConnectionState, opened: Instant, asked: &OnceLock<Instant>) {
    state.must_end().await;
    let until = || asked.get().map_or(opened + REQUEST_TIME, |asked| *asked + ANSWER_TIME);
    while Instant::now() < until() {
        tokio::time::sleep_until(until()).await;
    }
}

/// Answers one request, and notes when it came.
async fn serve(
    socket: AcceptedSocket,
    status: Arc<ServerStatus>,
    hosts: Arc<[String]>,
    (state, asked): (&ConnectionState, &OnceLock<Instant>),
) {
    let Ok(socket) = Socket::accepted(socket, Keepalive::default()) else { return };
    // Without room for the whole answer, one who does not read it keeps the place of the connection for longer.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, ANSWER_BUFFER);
    let service = service_fn(|request| {
        asked.get_or_init(Instant::now);
        state.mark_busy();
        let (status, hosts) = (status.clone(), hosts.clone());
        async move { Ok::<_, Infallible>(answer(&request, &status, &hosts).await) }
    });
    let mut parser = http1::Builder::new();
    parser.keep_alive(false).max_buf_size(REQUEST_LIMIT);
    if let Err(error) = parser.serve_connection(TokioIo::new(socket), service).await {
        tracing::debug!(%error, "connection for metrics ended");
    }
}

async fn answer(request: &Request<Incoming>, status: &ServerStatus, hosts: &[String]) -> Response<Full<Bytes>> {
    let headers = request.headers();
    let host = headers.get(HOST).filter(|host| !host.is_empty()).map(|host| host.to_str().unwrap_or_default());
    // A web page could make its own name lead here.
    let mut names = host.into_iter().chain(request.uri().host());
    if headers.contains_key(ORIGIN) || !names.all(|name| route::answers_to(hosts, name)) {
        return text(StatusCode::FORBIDDEN, "not for web pages, and not under this host name\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
        response.headers_mut().insert(ALLOW, const { HeaderValue::from_static("GET, HEAD") });
        return response;
    }
    let is_verbose = request.uri().query().is_some_and(|query| query.split('&').any(|name| name == "verbose"));
    match request.uri().path() {
        "/metrics" => metrics(status).await,
        "/livez" => report(status.liveness().await),
        "/readyz" => report(status.readiness(is_verbose).await),
        _ => text(StatusCode::NOT_FOUND, "there are /metrics, /livez and /readyz\n"),
    }
}

async fn metrics(status: &ServerStatus) -> Response<Full<Bytes>> {
    match status.metrics().await {
        Ok(metrics) => of_type(StatusCode::OK, METRICS_TYPE, metrics),
        Err(error) => {
            tracing::error!(error, "the metrics cannot be written");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n")
        }
    }
}

fn report(StatusReport { is_good, text: said }: StatusReport) -> Response<Full<Bytes>> {
    text(if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, said)
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    of_type(status, TEXT_TYPE, text)
}

fn of_type(status: StatusCode, media_type: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response.headers_mut().insert(CACHE_CONTROL, const { HeaderValue::from_static("no-store") });
    response
}
