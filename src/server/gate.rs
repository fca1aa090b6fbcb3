//! What stands between a client's socket and the HTTP reader: passes one strictly checked request at a time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::socket::Socket;
use crate::stream::requests::{RequestError, RequestFraming};

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a head, from its first byte.
    pub(super) head: Duration,
    /// Between two requests, and between two bytes of a body.
    pub(super) idle: Duration,
}

/// A client's socket, read one request at a time.
///
/// A request that is refused reads as the end of the connection; [`Gate::refusal`] then says why. Bytes behind a
/// request stay here until the reader asks for the next one.
#[derive(Debug)]
pub(super) struct Gate {
    socket: Socket,
    requests: RequestFraming,
    held: Vec<u8>,
    /// How many bytes at the front of `held` may pass.
    passing: usize,
    refusal: Option<RequestError>,
    patience: Patience,
    /// Since when the bytes that are missing now are awaited.
    waiting: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Gate {
    /// Watches over `socket`; heads may be `limit` bytes long.
    pub(super) fn new(socket: Socket, limit: usize, patience: Patience) -> Self {
        Self {
            socket,
            requests: RequestFraming::new(limit),
            held: Vec::new(),
            passing: 0,
            refusal: None,
            patience,
            waiting: None,
            alarm: None,
        }
    }

    /// Why the last request was refused.
    pub(super) fn refusal(&self) -> Option<RequestError> {
        self.refusal
    }

    /// The socket, and the bytes that came behind the last request.
    pub(super) fn into_parts(self) -> (Socket, Vec<u8>) {
        (self.socket, self.held)
    }

    /// Passes on what may pass of `held`, as much as fits.
    fn deliver(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.passing.min(buf.remaining());
        buf.put_slice(self.held.get(..count).unwrap_or_default());
        self.held.drain(..count);
        self.passing -= count;
    }

    /// Reads into `buf` and keeps back what may not pass yet; `true` if something passed or the connection ended.
    fn take(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        if ready!(Pin::new(&mut self.socket).poll_read(cx, buf)).is_err() || buf.filled().len() == before {
            return Poll::Ready(Ok(true));
        }
        self.waiting = None;
        let read = buf.filled().get(before..).unwrap_or_default();
        let passed = if self.held.is_empty() { self.requests.pass(read) } else { Ok(0) };
        let passed = passed.unwrap_or_else(|refusal| {
            self.refusal = Some(refusal);
            0
        });
        self.held.extend_from_slice(read.get(passed..).unwrap_or_default());
        buf.set_filled(before + passed);
        Poll::Ready(Ok(passed > 0 || self.refusal.is_some()))
    }

    /// Ends the connection when the client has taken too long; `true` if it has.
    fn expired(&mut self, cx: &mut Context<'_>) -> bool {
        let in_head = self.requests.in_head() && !self.held.is_empty();
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let deadline = since + if in_head { self.patience.head } else { self.patience.idle };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if alarm.deadline() > deadline {
            alarm.as_mut().reset(deadline);
        }
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                if in_head {
                    self.refusal = Some(RequestError::Slow);
                }
                return true;
            }
            // It was set for an earlier wait.
            alarm.as_mut().reset(deadline);
        }
        false
    }
}

impl AsyncRead for Gate {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.refusal.is_some() {
                return Poll::Ready(Ok(()));
            }
            if this.passing == 0 && !this.held.is_empty() {
                match this.requests.pass(&this.held) {
                    Ok(passing) => this.passing = passing,
                    Err(refusal) => {
                        this.refusal = Some(refusal);
                        continue;
                    }
                }
            }
            if this.passing > 0 {
                this.deliver(buf);
                return Poll::Ready(Ok(()));
            }
            // The time of a head runs from its first byte: it is not prolonged by the ones that trickle in.
            let since = this.waiting.filter(|_| !this.held.is_empty());
            match this.take(cx, buf) {
                Poll::Ready(Ok(true)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(false)) => this.waiting = since.or_else(|| Some(Instant::now())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if this.expired(cx) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl AsyncWrite for Gate {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
