//! What hyper-util's client needs to connect to the engine.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

use super::{Engine, UpstreamError};
use crate::socket::Socket;
use crate::stream::responses::ResponseFraming;

/// How soon an engine closes a connection that is not to be used again. One that closes later is idle.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Opens connections to the engine, whatever the target.
#[derive(Clone, Debug)]
pub(super) struct Connector(Arc<Engine>);

impl Connector {
    /// For this engine.
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self(engine)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<EngineConnection>;
    type Error = UpstreamError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, UpstreamError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let engine = self.0.clone();
        Box::pin(async move {
            let socket = engine.connect().await?;
            let framing = ResponseFraming::default();
            Ok(TokioIo::new(EngineConnection { socket, engine, framing, is_used: false, last_read: Instant::now() }))
        })
    }
}

/// A connection to the engine. When the engine closes it while it is idle, the API version is forgotten: the engine may be
/// restarting as another version.
///
/// The framing of the answers is checked before the HTTP client reads them.
#[derive(Debug)]
pub(super) struct EngineConnection {
    socket: Socket,
    engine: Arc<Engine>,
    framing: ResponseFraming,
    /// Whether an answer has come over it before.
    is_used: bool,
    last_read: Instant,
}

impl EngineConnection {
    /// Checks what has arrived.
    fn check(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.last_read = Instant::now();
        self.is_used = true;
        self.framing
            .follow(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, UpstreamError::Malformed(error)))
    }

    /// What the end of the connection means. If the engine closed it in place of an answer, that need not be the fault of the
    /// request: the connection may have been idle, also without having been used, because the client keeps those that it opened
    /// for a request which then went over another one. If TLS or ssh has failed on a new one, that is why there is no answer.
    fn ended(&self, ended: io::Result<()>) -> io::Result<()> {
        if self.last_read.elapsed() > CLOSE_TIME {
            self.engine.forget();
        }
        let has_failed = || ended.as_ref().err().is_some_and(|error| UpstreamError::cause(Some(error)).is_some());
        if self.framing.is_unanswered() && (self.is_used || !has_failed()) {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, UpstreamError::Unanswered));
        }
        ended
    }

    /// The result of writing `bytes`. If they did not leave, they are no less part of a request without an answer.
    fn written(&mut self, bytes: &[u8], written: io::Result<usize>) -> io::Result<usize> {
        self.framing.sending(bytes);
        match written {
            Ok(count) => Ok(count),
            Err(error) => self.ended(Err(error)).map(|()| 0),
        }
    }
}

impl Connection for EngineConnection {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for EngineConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.socket).poll_read(cx, buf));
        let bytes = buf.filled().get(before..).unwrap_or_default();
        Poll::Ready(if read.is_err() || bytes.is_empty() { self.ended(read) } else { self.check(bytes) })
    }
}

impl AsyncWrite for EngineConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes));
        Poll::Ready(self.written(bytes, written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, slices));
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        Poll::Ready(self.written(first, written))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::api::ApiRange;
    use crate::socket::{AcceptedSocket, Address, Carrier, Keepalive};
    use crate::time_limit::within_time_limit;
    use crate::upstream::SshFault;

    const REQUEST: &[u8] = b"GET /_ping HTTP/1.1\r\n\r\n";
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    fn connection(socket: Socket) -> EngineConnection {
        let (limit, keepalive) = (Duration::from_secs(1), Keepalive::default());
        let address = Address::Unix("/nowhere".into());
        let engine = Engine::new(address.into(), limit, limit, keepalive, ApiRange::default());
        let (framing, last_read) = (ResponseFraming::default(), Instant::now());
        EngineConnection { socket, engine: Arc::new(engine), framing, is_used: false, last_read }
    }

    fn check(work: impl Future<Output = ()> + Send + 'static) {
        within_time_limit(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
        });
    }

    /// What the end of a connection is reported as, if it is an error that this program knows.
    async fn end_of(connection: &mut EngineConnection) -> Option<UpstreamError> {
        let read = connection.read(&mut [0; 100]).await;
        read.err().and_then(|error| UpstreamError::cause(Some(&error)))
    }

    /// The client may keep one that it has never used: it is as likely to have been closed while it was idle.
    #[test]
    fn a_connection_that_is_closed_in_place_of_an_answer_is_unanswered_whether_or_not_it_was_used() {
        check(async {
            for (is_used, is_read) in [(false, false), (false, true), (true, false), (true, true)] {
                let (ours, mut engines) = UnixStream::pair().unwrap();
                ours.set_nonblocking(true).unwrap();
                let socket = Socket::accepted(AcceptedSocket::Unix(ours), Keepalive::default()).unwrap();
                let mut connection = connection(socket);
                if is_used {
                    connection.write_all(REQUEST).await.unwrap();
                    engines.read_exact(&mut [0; REQUEST.len()]).unwrap();
                    std::io::Write::write_all(&mut engines, ANSWER).unwrap();
                    connection.read_exact(&mut [0; ANSWER.len()]).await.unwrap();
                }
                connection.write_all(REQUEST).await.unwrap();
                // What has not been read is reported as a reset in place of an end.
                if is_read {
                    engines.read_exact(&mut [0; REQUEST.len()]).unwrap();
                }
                drop(engines);
                let end = end_of(&mut connection).await;
                assert!(matches!(end, Some(UpstreamError::Unanswered)), "{is_used} {is_read}: {end:?}");
            }
        });
    }

    #[test]
    fn what_is_closed_before_a_request_has_simply_ended() {
        check(async {
            let (ours, engines) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            drop(engines);
            let socket = Socket::accepted(AcceptedSocket::Unix(ours), Keepalive::default()).unwrap();
            assert_eq!(connection(socket).read(&mut [0]).await.unwrap(), 0);
        });
    }

    /// Otherwise nobody would be told why ssh or TLS does not reach the engine.
    #[test]
    fn a_new_connection_says_why_it_broke() {
        check(async {
            let (socket, carrier) = Carrier::new().unwrap();
            let mut connection = connection(socket);
            connection.write_all(REQUEST).await.unwrap();
            let fault = SshFault::Ended { status: Some(255), said: String::new() };
            let broken = std::future::ready(Err(io::Error::other(UpstreamError::Ssh(fault.clone()))));
            carrier.carry(tokio::io::empty(), tokio::io::sink(), broken, Duration::ZERO).await;
            let end = end_of(&mut connection).await;
            assert!(matches!(&end, Some(UpstreamError::Ssh(found)) if *found == fault), "{end:?}");
        });
    }
}
