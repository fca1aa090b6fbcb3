//! One connection: requests one after another, until it ends or becomes a stream.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::{Mutex, watch};

use super::clients::{AdmittedClient, ClientPlace, OpenStream, TooManyRequests};
use super::rate::{REPORT_INTERVAL, RateNews};
use super::request_reader::{ClientTimeouts, RefusedRequest, RequestReader};
use super::slots::{ConnectionSlot, ConnectionState};
use super::worker::Served;
use crate::api::Operation;
use crate::clients::{ClientRefusal, LoggedClient};
use crate::proxy::{
    Answer, Delivery, Downstream, Filtered, NOT_ADMITTED, Proxy, StreamCut, StreamRequest, StreamSubject, TooSoon,
    Withdrawn,
};
use crate::socket::{AcceptedSocket, Keepalive, Socket};
use crate::stream::requests::RequestError;

/// How often to look whether the client still sees what a stream is about, if that can change. All streams look at the same time, so
/// that the engine is asked for them together.
const SUBJECT_INTERVAL: Duration = Duration::from_secs(2);
/// How long a request that changes something goes on without its client.
const UNSAFE_REQUEST_TIME: Duration = Duration::from_secs(1);
/// How long after it was opened a connection has for its first request, if its listener closes.
const FIRST_REQUEST_TIME: Duration = Duration::from_millis(500);
/// How much the HTTP parser may hold, in bytes, if heads may not be longer.
const PARSER_BUFFER: usize = 400 << 10;
/// By how much the reader may prolong a head, in bytes: no target is longer than this after it.
const ESCAPES: usize = 64 << 10;
/// What a client reads that has as many connections as it may have.
const TOO_MANY_CONNECTIONS: &str = "too many connections of this client";

/// What holds for every connection.
#[derive(Debug)]
pub(super) struct ConnectionSettings {
    /// The longest head of a request, in bytes.
    pub(super) head_limit: usize,
    /// How long to wait for the client.
    pub(super) timeouts: ClientTimeouts,
    /// For connections over TCP.
    pub(super) keepalive: Keepalive,
}

impl ConnectionSettings {
    /// What a client reads of a request that is malformed, too long or too slow, with the limit.
    ///
    /// `is_ending`: a head has less time when the connection is to end.
    fn said(&self, error: RequestError, is_ending: bool) -> Cow<'static, str> {
        let text = error.public();
        if error == RequestError::TooLarge {
            Cow::Owned(RequestError::too_large(self.head_limit))
        } else if error == RequestError::Slow && !is_ending {
            Cow::Owned(format!("{text}: it took more than {:?} (timeouts.head)", self.timeouts.head))
        } else {
            Cow::Borrowed(text)
        }
    }
}

/// Serves a connection to its end. When its listener closes, an exchange may finish and a stream is cut.
pub(super) async fn serve(accepted: AcceptedSocket, mut served: Served, slot: ConnectionSlot) {
    let (slot, opened) = (Arc::new(slot), Instant::now());
    let mut closing = served.closing.clone();
    let proxies = served.proxies.borrow_and_update().clone();
    let admitted = tokio::select! {
        // In this order: who is known at once is told why there is no room.
        biased;
        admitted = proxies.admit(accepted, served, &slot) => admitted,
        () = closes(&mut closing, slot.state(), opened) => None,
        () = slot.state().must_end() => None,
    };
    let settings = proxies.settings.clone();
    drop(proxies);
    let Some(client) = admitted else { return };
    slot.state().turn_away(client.is_turned_away());
    // In its own box, so that a connection that has become a stream no longer holds the HTTP parser.
    let socket = client.socket.clone();
    let reader = RequestReader::new(socket.clone(), settings.head_limit, settings.timeouts, slot.state().clone());
    let parser = parser(settings.head_limit);
    let entrance = Entrance { client: Arc::new(Mutex::new(client)), slot: slot.clone() };
    let requests = Box::pin(serve_requests(parser, socket, reader, entrance.clone(), (closing.clone(), opened)));
    let (reader, stream) = requests.await;
    let (refused, is_unused) = (reader.error(), reader.is_unused());
    let downstream = reader.into_downstream();
    let Some(mut client) = Arc::into_inner(entrance.client).map(Mutex::into_inner) else { return };
    if let Some(stream) = stream {
        carry_stream(stream, downstream, client, slot, closing);
        return;
    }
    let state = slot.state();
    let ended = async {
        if let Some(refused) = refused {
            refuse(refused, downstream, &mut client, &slot, &settings).await;
        } else if is_unused && !state.has_slot() {
            // Nothing has been read, and others wait for the room that it takes.
            downstream.refuse_at_once(503, slot.shortage(), &client.proxy, &client.logged);
        } else if state.is_ending() {
            downstream.end().await;
        }
    };
    tokio::select! {
        // In this order: the last answer is sent, but nobody waits for its client if others wait for the slot.
        biased;
        () = ended => {}
        () = state.must_end() => {}
    }
}

/// Answers a request that was refused while it was read, and ends the connection. One that is new counts as a request of its client
/// and of its listener.
async fn refuse(
    RefusedRequest { error, is_new }: RefusedRequest,
    downstream: Downstream,
    client: &mut AdmittedClient,
    slot: &Arc<ConnectionSlot>,
    settings: &ConnectionSettings,
) {
    // The limits of now. Who is not admitted any more learns nothing else either.
    client.refresh(slot).await;
    let counted = if is_new { client.count_request(false) } else { Ok(()) };
    let (proxy, logged) = (&client.proxy, &client.logged);
    if let Err(refusal) = counted {
        downstream.refuse_too_soon(too_soon(&refusal, proxy, logged), proxy, logged).await;
        return;
    }
    tracing::debug!(%error, "request refused");
    let said = settings.said(error, slot.state().is_ending());
    downstream.refuse_malformed(error.status(), said, proxy, logged).await;
}

/// What is said of a request that comes too soon.
fn too_soon(refusal: &TooManyRequests, proxy: &Proxy, logged: &LoggedClient) -> TooSoon {
    let suppressed = report(refusal, proxy, logged);
    TooSoon { message: refusal.to_string(), wait: refusal.exceeded.wait, suppressed }
}

/// Says in the log whose requests are too many, and after a while how many more there were. Returns how many were counted only before
/// this one; `None` if it is counted only, too: a client must not fill the log and the audit file.
fn report(refusal: &TooManyRequests, proxy: &Proxy, logged: &LoggedClient) -> Option<u64> {
    let RateNews { suppressed, further } = refusal.exceeded.news.as_ref()?;
    let (text, client, listener) = (refusal.to_string(), logged.name.clone(), proxy.observer.listener.clone());
    tracing::warn!(client = &*client, listener = &*listener, "{text}; further ones are only counted, for a minute");
    // Those beyond the rate of a listener may be of anybody.
    let client = Some(client).filter(|_| refusal.is_of_client());
    let further = further.clone();
    tokio::spawn(async move {
        tokio::time::sleep(REPORT_INTERVAL).await;
        let suppressed = further.load(Ordering::Relaxed);
        if suppressed > 0 {
            tracing::warn!(
                client = client.as_deref(),
                listener = &*listener,
                suppressed,
                "{text}; so many more have no line"
            );
        }
    });
    Some(*suppressed)
}

/// Carries a stream to its end, in a task of its own. It is refused if its client has too many.
fn carry_stream(
    AllowedStream { request: mut stream, by }: AllowedStream,
    downstream: Downstream,
    client: AdmittedClient,
    slot: Arc<ConnectionSlot>,
    closing: watch::Receiver<bool>,
) {
    match client.open_stream() {
        Ok(open) => {
            let (operation, subject) = (stream.operation(), stream.take_subject());
            // In boxes, so that it is in the task once and not in each future that it passes.
            let held = Box::new(HeldStream { operation, subject, client, allowed_by: by, closing, slot, open });
            tokio::spawn(stream.run(Box::pin(cut_of_stream(held)), downstream));
        }
        Err(refusal) => {
            let client = Box::new(client);
            tokio::spawn(async move {
                stream.refuse_busy(downstream, refusal).await;
                drop((client, slot));
            });
        }
    }
}

/// A stream, and the places that it takes until it ends.
struct HeldStream {
    operation: &'static Operation,
    /// What it is about, if that can be hidden.
    subject: Option<Box<StreamSubject>>,
    client: AdmittedClient,
    /// What allowed it.
    allowed_by: Arc<Proxy>,
    /// Becomes `true` when the listener closes.
    closing: watch::Receiver<bool>,
    slot: Arc<ConnectionSlot>,
    open: OpenStream,
}

/// Waits until a stream must be cut. This holds its places, and returns them.
async fn cut_of_stream(mut held: Box<HeldStream>) -> (StreamCut, Box<HeldStream>) {
    let cut = must_be_cut(&mut held).await;
    (cut, held)
}

/// Waits until a stream must be cut: its listener closes, its client is not admitted any more, a reload shows it less, or what the
/// stream is about is hidden.
async fn must_be_cut(held: &mut HeldStream) -> StreamCut {
    let HeldStream { operation, subject, client, allowed_by, closing, slot, open } = held;
    // Since the stream was allowed, a reload may have been noticed already, while the rest of its request was received.
    let mut is_outdated = client.is_other(allowed_by);
    loop {
        if !is_outdated {
            tokio::select! {
                () = client.outdated() => {}
                () = hidden(client, subject.as_deref()) => return StreamCut::Hidden,
                _ = closing.wait_for(|closing| *closing) => return StreamCut::Closing,
            }
        }
        is_outdated = false;
        let is_admitted = tokio::select! {
            is_admitted = Box::pin(client.refresh(slot)) => is_admitted,
            _ = closing.wait_for(|closing| *closing) => return StreamCut::Closing,
        };
        if !is_admitted {
            return StreamCut::NotAdmitted;
        }
        if !client.proxy.serves_still(allowed_by, operation) {
            return StreamCut::LessShown;
        }
        client.count_stream(open);
    }
}

/// Waits until the client does not see any more what a stream is about. For ever if that cannot be hidden.
async fn hidden(client: &AdmittedClient, subject: Option<&StreamSubject>) {
    let Some(subject) = subject else { return pending().await };
    // In a box: other streams have no room for it.
    Box::pin(async {
        loop {
            tokio::time::sleep(until_next_look()).await;
            if client.proxy.hides(subject, &client.logged.name).await {
                return;
            }
        }
    })
    .await;
}

/// How long it is until streams look again.
fn until_next_look() -> Duration {
    let (now, interval) =
        (SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), SUBJECT_INTERVAL.as_nanos());
    SUBJECT_INTERVAL - Duration::from_nanos_u128(now.as_nanos() % interval)
}

/// The HTTP parser. It reads every head that passes the reader: an answer of its own to a malformed one has no body.
fn parser(head_limit: usize) -> http1::Builder {
    let mut parser = http1::Builder::new();
    // A client that has sent its request and ended its direction still reads the answer.
    parser.half_close(true).max_buf_size(PARSER_BUFFER.max(head_limit.saturating_add(ESCAPES)));
    parser
}

/// Answers requests until the connection ends, one is malformed, or one opens a stream.
async fn serve_requests(
    parser: http1::Builder,
    socket: Arc<Socket>,
    reader: RequestReader,
    entrance: Entrance,
    (closing, opened): (watch::Receiver<bool>, Instant),
) -> (RequestReader, Option<AllowedStream>) {
    let (delivery, is_safe) = (reader.delivery().clone(), AtomicBool::new(true));
    let (handed_out, is_closing) = (SyncMutex::new(None), closing.clone());
    let serving = Arc::new(Serving { entrance, delivery, handed_out, is_safe, closing: is_closing });
    let service = service_fn(|request: Request<Incoming>| {
        serving.is_safe.store(request.method().is_safe(), Ordering::Relaxed);
        // In a box, so that the connection can be polled in place and taken apart.
        Box::pin(serving.clone().answer(request))
    });
    let mut connection = parser.serve_connection(TokioIo::new(reader), service);
    let stream = {
        let mut is_ending = false;
        let mut end = pin!(must_end(serving.entrance.slot.state(), closing, opened));
        let mut left = pin!(client_left(&socket, &serving.is_safe));
        poll_fn(|cx| {
            let ended = connection.poll_without_shutdown(cx);
            if let Some(stream) = serving.handed_out.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Poll::Ready(Some(stream));
            }
            if let Poll::Ready(ended) = ended {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return Poll::Ready(None);
            }
            // Without an exchange, the parser has read the end itself.
            if left.as_mut().poll(cx).is_ready() {
                tracing::debug!("the client left before its answer");
                return Poll::Ready(None);
            }
            if !is_ending && end.as_mut().poll(cx).is_ready() {
                if serving.entrance.slot.state().is_turned_away() {
                    return Poll::Ready(None);
                }
                is_ending = true;
                serving.entrance.slot.state().end_after_exchange();
                // The reader then ends the connection, unless a request has come.
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    };
    (connection.into_parts().io.into_inner(), stream)
}

/// What the exchanges of a connection have in common.
struct Serving {
    entrance: Entrance,
    delivery: Delivery,
    /// A request that opens a stream is handed out here; its exchange never answers.
    handed_out: SyncMutex<Option<AllowedStream>>,
    /// Whether the last request changes nothing.
    is_safe: AtomicBool,
    /// Becomes `true` when the listener closes.
    closing: watch::Receiver<bool>,
}

impl Serving {
    /// The response to a request.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Filtered>, Infallible> {
        match self.entrance.answer(request, &self.delivery).await {
            EnteredRequest::Response(mut response) => {
                if self.entrance.slot.must_end_after_answer() || *self.closing.borrow() {
                    response.headers_mut().insert(CONNECTION, const { HeaderValue::from_static("close") });
                }
                Ok(response)
            }
            EnteredRequest::Stream(stream) => {
                *self.handed_out.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
                pending().await
            }
        }
    }
}

/// What becomes of a request.
enum EnteredRequest {
    /// It is answered.
    Response(Response<Filtered>),
    /// It opens a stream.
    Stream(AllowedStream),
}

/// A stream that is to be opened.
struct AllowedStream {
    request: Box<StreamRequest>,
    /// What allowed it.
    by: Arc<Proxy>,
}

/// What a request passes before it is answered.
#[derive(Clone)]
struct Entrance {
    client: Arc<Mutex<AdmittedClient>>,
    slot: Arc<ConnectionSlot>,
}

impl Entrance {
    /// The answer to a request. One without a slot waits a moment for it. A ping needs none: it may be a health check. One that
    /// is denied whatever it asks for needs none either.
    async fn answer(&self, request: Request<Incoming>, delivery: &Delivery) -> EnteredRequest {
        let slot = &self.slot;
        let mut client = self.client.lock().await;
        let Some(is_admitted) = self.refreshed(&mut client).await else {
            let (proxy, logged) = (&client.proxy, &client.logged);
            return EnteredRequest::Response(proxy.refuse_for_now("busy", slot.shortage(), &request, logged, delivery));
        };
        slot.state().turn_away(client.is_turned_away());
        let (proxy, place, logged) = (client.proxy.clone(), client.place.clone(), client.logged.clone());
        let found = Proxy::find(&request);
        let is_ping = found.is_ping();
        let counted = client.count_request(is_ping);
        drop(client);
        let (reason, refusal) = if !is_admitted {
            slot.state().end_after_exchange();
            ("not-admitted", NOT_ADMITTED.to_owned())
        } else if matches!(*place, ClientPlace::TooMany(_)) && !is_ping {
            slot.state().end_after_exchange();
            ("busy", TOO_MANY_CONNECTIONS.to_owned())
        } else if let Err(refusal) = counted {
            let too_soon = too_soon(&refusal, &proxy, &logged);
            return EnteredRequest::Response(
                Box::pin(proxy.refuse_too_soon(request, found, too_soon, &logged, delivery)).await,
            );
        } else if slot.state().has_slot() || is_ping || proxy.refused.is_some() || slot.admit().await {
            // On its next connection, it may be known.
            if proxy.refused == Some(ClientRefusal::UnknownContainer) {
                slot.state().end_after_exchange();
            }
            // A client that holds back its body does not keep what a reload takes away.
            let is_receiving = slot.state().is_receiving();
            let withdrawn = is_receiving
                .then(|| -> Withdrawn { Box::pin(self.clone().withdrawn(proxy.clone(), found.operation())) });
            return match proxy.exchange(request, found, &logged, delivery, withdrawn).await {
                Answer::Response(response) => EnteredRequest::Response(response),
                Answer::Stream(request) => EnteredRequest::Stream(AllowedStream { request, by: proxy }),
            };
        } else {
            ("busy", slot.shortage())
        };
        EnteredRequest::Response(proxy.refuse_for_now(reason, refusal, &request, &logged, delivery))
    }

    /// As [`AdmittedClient::refresh`]. `None` if others need the place of the connection before it is known who the client is.
    async fn refreshed(&self, client: &mut AdmittedClient) -> Option<bool> {
        let slot = &self.slot;
        if !client.renew(slot) {
            return Some(false);
        }
        if !client.needs_container() {
            return Some(true);
        }
        let _look_up = slot.look_up();
        tokio::select! {
            biased;
            () = slot.state().must_end() => None,
            is_admitted = Box::pin(client.refresh(slot)) => Some(is_admitted),
        }
    }
}

impl Entrance {
    /// Waits until a reload takes away what `before` let in: a request for `operation` of which a part is yet to be received. For
    /// ever if nothing does before all has been received.
    async fn withdrawn(self, before: Arc<Proxy>, operation: Option<&'static Operation>) {
        let mut client = self.client.lock().await;
        let is_covered = |proxy: &Proxy| operation.is_none_or(|operation| proxy.serves_still(&before, operation));
        loop {
            client.outdated().await;
            let is_admitted = client.refresh(&self.slot).await;
            if is_admitted && is_covered(&client.proxy) {
                continue;
            }
            self.slot.state().end_after_exchange();
            if self.slot.state().is_receiving() {
                return;
            }
            pending::<()>().await;
        }
    }
}

/// Waits until the listener closes, or another connection needs the slot of this one.
async fn must_end(state: &ConnectionState, mut closing: watch::Receiver<bool>, opened: Instant) {
    tokio::select! {
        () = closes(&mut closing, state, opened) => {}
        () = state.must_end() => {}
    }
}

/// Waits until the listener closes. A connection that has just been opened has a moment more: its first request is on its way.
async fn closes(closing: &mut watch::Receiver<bool>, state: &ConnectionState, opened: Instant) {
    // Without a sender, the server has ended.
    let _ = closing.wait_for(|closing| *closing).await;
    tokio::select! {
        () = state.first_request() => {}
        () = tokio::time::sleep_until((opened + FIRST_REQUEST_TIME).into()) => {}
    }
}

/// Waits until the client is gone, so that nobody waits for the answer: its exchange is given up.
///
/// A client may send a request that changes something and leave at once. Such a request has time to reach the engine.
async fn client_left(socket: &Socket, is_safe: &AtomicBool) {
    socket.left().await;
    if !is_safe.load(Ordering::Relaxed) {
        tokio::time::sleep(UNSAFE_REQUEST_TIME).await;
    }
}
