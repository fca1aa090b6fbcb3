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

    /// What the end of the connection means: an idle connection that the engine closed in place of an answer is not the
    /// fault of the request.
    fn ended(&self, ended: io::Result<()>) -> io::Result<()> {
        if self.last_read.elapsed() > CLOSE_TIME {
            self.engine.forget();
        }
        if self.is_used && self.framing.is_unanswered() {
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
