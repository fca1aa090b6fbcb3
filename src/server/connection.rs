//! One connection: requests one after another, until it ends or becomes a stream.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use super::clients::{AdmittedClient, ClientPlace, ListenerProxies};
use super::request_reader::{ClientTimeouts, RequestReader};
use super::slots::{ConnectionSlot, ConnectionState};
use crate::clients::ClientRefusal;
use crate::proxy::{Answer, Delivery, Proxy, StreamRequest};
use crate::socket::{AcceptedSocket, Keepalive, Socket};
use crate::stream::requests::RequestError;

/// How long a request that changes something goes on without its client.
const UNSAFE_REQUEST_TIME: Duration = Duration::from_secs(1);
/// How much the HTTP parser may hold, in bytes, if heads may not be longer.
const PARSER_BUFFER: usize = 400 << 10;
/// By how much the reader may prolong a head, in bytes: no target is longer than this after it.
const ESCAPES: usize = 64 << 10;
/// What a client reads that has as many connections or streams as its line of `clients` allows.
const TOO_MANY_CONNECTIONS: &str = "too many connections of this client";
const TOO_MANY_STREAMS: &str = "too many streams of this client";

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
    fn said(&self, error: RequestError) -> Cow<'static, str> {
        let text = error.public();
        if error == RequestError::TooLarge {
            Cow::Owned(format!("{text}: more than {} bytes (limits.head)", self.head_limit))
        } else if error == RequestError::Slow {
            Cow::Owned(format!("{text}: it took more than {:?} (timeouts.head)", self.timeouts.head))
        } else {
            Cow::Borrowed(text)
        }
    }
}

/// Serves a connection to its end. When the server stops, an exchange may finish and a stream is cut.
pub(super) async fn serve(
    accepted: AcceptedSocket,
    proxies: Arc<ListenerProxies>,
    slot: ConnectionSlot,
    settings: Arc<ConnectionSettings>,
    mut stopping: watch::Receiver<bool>,
) {
    let slot = Arc::new(slot);
    let admitted = tokio::select! {
        admitted = proxies.admit(accepted, &slot, &settings) => admitted,
        _ = stopping.wait_for(|stopping| *stopping) => None,
        () = slot.state().must_end() => None,
    };
    drop(proxies);
    let Some(AdmittedClient { socket, proxy, name, place }) = admitted else { return };
    let place = Arc::new(place);
    // In its own box, so that a connection that has become a stream no longer holds the HTTP parser.
    let socket = Arc::new(socket);
    let reader = RequestReader::new(socket.clone(), settings.head_limit, settings.timeouts, slot.state().clone(), name);
    let parser = parser(settings.head_limit);
    let entrance = Entrance { proxy: proxy.clone(), slot: slot.clone(), place: place.clone() };
    let requests = Box::pin(serve_requests(parser, socket, reader, entrance, stopping.clone()));
    let (reader, stream) = requests.await;
    let (error, is_unused) = (reader.error(), reader.is_unused());
    let client = reader.into_downstream();
    let engine = proxy.advertised();
    if let Some(stream) = stream {
        tokio::spawn(async move {
            let (_slot, stream_slot) = (slot, place.stream());
            let carried = async {
                match stream_slot {
                    Some(_held) => stream.run(client).await,
                    None => stream.refuse_busy(client, TOO_MANY_STREAMS).await,
                }
            };
            tokio::select! {
                () = carried => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        });
    } else if let Some(error) = error {
        tracing::debug!(%error, "request refused");
        client.refuse_malformed(error.status(), settings.said(error), engine).await;
    } else if is_unused && !slot.state().has_slot() {
        // Nothing has been read, and others wait for the room that it takes.
        client.refuse_at_once(503, slot.shortage(), engine);
    } else if slot.state().is_ending() {
        client.end().await;
    }
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
    stopping: watch::Receiver<bool>,
) -> (RequestReader, Option<Box<StreamRequest>>) {
    let (client, delivery) = (reader.client().clone(), reader.delivery().clone());
    // A request that opens a stream is handed out here; its exchange never answers.
    let handed_out = Arc::new(Mutex::new(None));
    let is_safe = Arc::new(AtomicBool::new(true));
    let has_stopped = stopping.clone();
    let service = service_fn(|request: Request<Incoming>| {
        let (entrance, handed_out) = (entrance.clone(), handed_out.clone());
        let (client, delivery) = (client.clone(), delivery.clone());
        let has_stopped = has_stopped.clone();
        is_safe.store(request.method().is_safe(), Ordering::Relaxed);
        // In a box, so that the connection can be polled in place and taken apart.
        Box::pin(async move {
            match entrance.answer(request, &client, &delivery).await {
                Answer::Response(mut response) => {
                    if entrance.slot.must_end_after_answer() || *has_stopped.borrow() {
                        response.headers_mut().insert(CONNECTION, const { HeaderValue::from_static("close") });
                    }
                    Ok::<_, Infallible>(response)
                }
                Answer::Stream(stream) => {
                    *handed_out.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
                    pending().await
                }
            }
        })
    });
    let mut connection = parser.serve_connection(TokioIo::new(reader), service);
    let stream = {
        let mut is_ending = false;
        let mut end = pin!(must_end(entrance.slot.state(), stopping));
        let mut left = pin!(client_left(&socket, &is_safe));
        poll_fn(|cx| {
            let ended = connection.poll_without_shutdown(cx);
            if let Some(stream) = handed_out.lock().unwrap_or_else(PoisonError::into_inner).take() {
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
                is_ending = true;
                entrance.slot.state().end_after_exchange();
                // The reader then ends the connection, unless a request has come.
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    };
    (connection.into_parts().io.into_inner(), stream)
}

/// What a request passes before it is answered.
#[derive(Clone)]
struct Entrance {
    proxy: Arc<Proxy>,
    slot: Arc<ConnectionSlot>,
    place: Arc<ClientPlace>,
}

impl Entrance {
    /// The answer to a request. One without a slot waits a moment for it. A ping needs none: it may be a health check.
    async fn answer(&self, request: Request<Incoming>, client: &Arc<str>, delivery: &Delivery) -> Answer {
        let Self { proxy, slot, place } = self;
        let is_ping = Proxy::is_ping(&request);
        let refusal = if matches!(**place, ClientPlace::TooMany) && !is_ping {
            slot.state().end_after_exchange();
            TOO_MANY_CONNECTIONS.to_owned()
        } else if slot.state().has_slot() || is_ping || slot.admit().await {
            // On its next connection, it may be known.
            if proxy.refused == Some(ClientRefusal::UnknownContainer) {
                slot.state().end_after_exchange();
            }
            return proxy.exchange(request, client, delivery).await;
        } else {
            slot.shortage()
        };
        tracing::warn!(%client, "{refusal}");
        Answer::Response(proxy.refuse_busy(refusal, client, delivery))
    }
}

/// Waits until the server stops, or another connection needs the slot of this one.
async fn must_end(state: &ConnectionState, mut stopping: watch::Receiver<bool>) {
    tokio::select! {
        _ = stopping.wait_for(|stopping| *stopping) => {}
        () = state.must_end() => {}
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
