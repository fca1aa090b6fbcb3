//! The reader between a client's socket and the HTTP parser: it passes one strictly checked request at a time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::proxy::Downstream;
use crate::socket::Socket;
use crate::stream::requests::{RequestError, RequestFraming};

/// How long to wait for a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientTimeouts {
    /// For a whole head, from its first byte.
    pub(super) head: Duration,
    /// For the next request, and for the next byte of a body.
    pub(super) idle: Duration,
    /// For room to send more of an answer.
    pub(super) write: Duration,
}

/// A client's socket, read one request at a time.
///
/// To the HTTP parser, a malformed request is the end of the connection; [`RequestReader::error`] returns the reason. Bytes
/// after a request stay here until the parser asks for the next one.
#[derive(Debug)]
pub(super) struct RequestReader {
    socket: Arc<Socket>,
    framing: RequestFraming,
    /// Bytes that have been read and not passed.
    held: Vec<u8>,
    /// How many bytes at the front of `held` may pass.
    passing: usize,
    error: Option<RequestError>,
    timeouts: ClientTimeouts,
    /// When the wait for the missing bytes began.
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Runs while the client does not take what is sent.
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl RequestReader {
    /// Reads from `socket`. A head may be `limit` bytes long.
    pub(super) fn new(socket: Arc<Socket>, limit: usize, timeouts: ClientTimeouts) -> Self {
        Self {
            socket,
            framing: RequestFraming::new(limit),
            held: Vec::new(),
            passing: 0,
            error: None,
            timeouts,
            waiting_since: None,
            timer: None,
            write_timer: None,
        }
    }

    /// Why the last request was refused.
    pub(super) fn error(&self) -> Option<RequestError> {
        self.error
    }

    /// The connection, with the bytes after the last request. From here on it sends only what may leave.
    pub(super) fn into_downstream(self) -> Downstream {
        Downstream::new(self.socket, self.held)
    }

    /// Passes as much of `held` as may pass and fits.
    fn deliver(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.passing.min(buf.remaining());
        buf.put_slice(self.held.get(..count).unwrap_or_default());
        self.held.drain(..count);
        self.passing -= count;
    }

    /// Reads into `buf` and keeps what may not pass yet. Returns whether something passed or the connection ended.
    fn take(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        if ready!(self.socket.poll_read_shared(cx, buf)).is_err() || buf.filled().len() == before {
            return Poll::Ready(Ok(true));
        }
        self.waiting_since = None;
        let read = buf.filled().get(before..).unwrap_or_default();
        let passed = if self.held.is_empty() { self.framing.pass(read) } else { Ok(0) };
        let passed = passed.unwrap_or_else(|error| {
            self.error = Some(error);
            0
        });
        self.held.extend_from_slice(read.get(passed..).unwrap_or_default());
        buf.set_filled(before + passed);
        Poll::Ready(Ok(passed > 0 || self.error.is_some()))
    }

    /// Sends bytes. A client that takes none for too long is cut off.
    fn send(&mut self, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = self.socket.poll_write_shared(cx, slices) {
            self.write_timer = None;
            return Poll::Ready(written);
        }
        let timeout = self.timeouts.write;
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(timer.as_mut().poll(cx));
        tracing::debug!("the client does not read its answer");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whether the client has taken too long.
    fn has_timed_out(&mut self, cx: &mut Context<'_>) -> bool {
        let in_head = self.framing.in_head() && !self.held.is_empty();
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let deadline = since + if in_head { self.timeouts.head } else { self.timeouts.idle };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                if in_head {
                    self.error = Some(RequestError::Slow);
                }
                return true;
            }
            // The timer was set for an earlier wait.
            timer.as_mut().reset(deadline);
        }
        false
    }
}

impl AsyncRead for RequestReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.error.is_some() {
                return Poll::Ready(Ok(()));
            }
            if this.passing == 0 && !this.held.is_empty() {
                match this.framing.pass(&this.held) {
                    Ok(passing) => this.passing = passing,
                    Err(error) => {
                        this.error = Some(error);
                        continue;
                    }
                }
            }
            if this.passing > 0 {
                this.deliver(buf);
                return Poll::Ready(Ok(()));
            }
            // The timeout of a head runs from its first byte. Later bytes do not prolong it.
            let since = this.waiting_since.filter(|_| !this.held.is_empty());
            match this.take(cx, buf) {
                Poll::Ready(Ok(true)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(false)) => this.waiting_since = since.or_else(|| Some(Instant::now())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if this.has_timed_out(cx) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl AsyncWrite for RequestReader {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().send(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().send(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket holds nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.finish())
    }
}
