//! One connection: requests one after another, until it ends or becomes a stream.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use super::request_reader::RequestReader;
use super::worker::{ConnectionPermit, ServerState};
use crate::proxy::{Answer, Proxy, StreamRequest};
use crate::socket::Socket;

/// How long a request that changes something goes on without its client.
const UNSAFE_REQUEST_TIME: Duration = Duration::from_secs(1);

/// Serves a connection to its end. When the server stops, an exchange may finish and a stream is cut.
pub(super) async fn serve(
    socket: Socket,
    proxy: Arc<Proxy>,
    permit: ConnectionPermit,
    mut stopping: watch::Receiver<bool>,
) {
    // In its own box, so that a connection that has become a stream no longer holds the HTTP parser.
    let requests = Box::pin(serve_requests(socket, proxy, permit.state().clone(), stopping.clone()));
    let (reader, stream) = requests.await;
    let error = reader.error();
    let client = reader.into_downstream();
    if let Some(stream) = stream {
        tokio::spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = stream.run(client) => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        });
    } else if let Some(error) = error {
        tracing::debug!(%error, "request refused");
        client.refuse(error.status(), error.public(), permit.state().engine().version()).await;
    }
}

/// Answers requests until the connection ends, one is malformed, or one opens a stream.
async fn serve_requests(
    socket: Socket,
    proxy: Arc<Proxy>,
    state: Arc<ServerState>,
    mut stopping: watch::Receiver<bool>,
) -> (RequestReader, Option<Box<StreamRequest>>) {
    // A request that opens a stream is handed out here; its exchange never answers.
    let handed_out = Arc::new(Mutex::new(None));
    let is_safe = Arc::new(AtomicBool::new(true));
    let socket = Arc::new(socket);
    let service = service_fn(|request: Request<Incoming>| {
        let (proxy, handed_out) = (proxy.clone(), handed_out.clone());
        is_safe.store(request.method().is_safe(), Ordering::Relaxed);
        // In a box, so that the connection can be polled in place and taken apart.
        Box::pin(async move {
            match proxy.exchange(request).await {
                Answer::Response(response) => Ok::<_, Infallible>(response),
                Answer::Stream(stream) => {
                    *handed_out.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
                    pending().await
                }
            }
        })
    });
    let reader = RequestReader::new(socket.clone(), state.head_limit(), state.timeouts());
    // A client that has sent its request and ended its direction still reads the answer.
    let mut connection = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(reader), service);
    let stream = {
        let mut is_stopping = false;
        let mut stop = pin!(stopping.wait_for(|stopping| *stopping));
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
            if !is_stopping && stop.as_mut().poll(cx).is_ready() {
                is_stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    };
    (connection.into_parts().io.into_inner(), stream)
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
