//! A connection to the engine for one request with a body, which the HTTP library sends while it reads the answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::UpstreamError;
use crate::socket::Socket;
use crate::stream::responses::ResponseFraming;

/// A connection to the engine. The framing of the answer is checked before the HTTP library reads it.
#[derive(Debug)]
pub(super) struct CheckedConnection {
    socket: Socket,
    framing: ResponseFraming,
}

impl CheckedConnection {
    /// A new connection.
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, framing: ResponseFraming::default() }
    }

    /// Checks what has arrived.
    fn check(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.framing
            .follow(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, UpstreamError::Malformed(error)))
    }
}

impl AsyncRead for CheckedConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        Poll::Ready(self.check(buf.filled().get(before..).unwrap_or_default()))
    }
}

impl AsyncWrite for CheckedConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.framing.sending(bytes);
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        self.framing.sending(first);
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
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
