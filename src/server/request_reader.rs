//! The reader between a client's socket and the HTTP parser: it passes one strictly checked request at a time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::slots::ConnectionState;
use crate::proxy::{Delivery, Downstream};
use crate::socket::{Socket, WaitTimer};
use crate::stream::requests::{RequestError, RequestFraming};

/// How long a head may take to arrive when the connection is to end. A request that waits for its slot waits longer. An overflow
/// connection has no such time: others wait for its place, and whoever sends half a head could keep them all waiting.
const LAST_HEAD_TIMEOUT: Duration = Duration::from_millis(500);

/// How much of a request is read at a time, in bytes. Of a body, the parser passes on as much as it has got, and the more it gets the
/// more it asks for: an engine that reads nothing would have it hold a megabyte.
const READ_LIMIT: usize = 16 * 1024;

/// How long to wait for a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientTimeouts {
    /// For a whole head, from its first byte.
    pub(super) head: Duration,
    /// For the next request, for the next byte of a body, and for room to send more of an archive or of progress, if that is longer
    /// than for a document.
    pub(super) idle: Duration,
    /// For room to send more of a document.
    pub(super) write: Duration,
}

/// A request that has been refused while it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RefusedRequest {
    /// Why.
    pub(super) error: RequestError,
    /// Whether no part of it has passed: nobody else knows that there was a request.
    pub(super) is_new: bool,
}

/// A client's socket, read one request at a time.
///
/// To the HTTP parser, a malformed request is the end of the connection; [`RequestReader::error`] returns the reason. Bytes
/// after a request stay here until the parser asks for the next one.
///
/// A connection that ends while it waits for a request looks at the socket once more, so that no request is lost that has
/// arrived by then. On a Unix socket, a later request fails when the client writes it.
#[derive(Debug)]
pub(super) struct RequestReader {
    socket: Arc<Socket>,
    framing: RequestFraming,
    /// Bytes that have been read and not passed.
    held: Vec<u8>,
    /// How many bytes at the front of `held` may pass.
    passing: usize,
    error: Option<RefusedRequest>,
    timeouts: ClientTimeouts,
    state: Arc<ConnectionState>,
    /// The answers that are sent over it.
    delivery: Delivery,
    /// Whether a byte has passed.
    is_used: bool,
    /// When the wait for the missing bytes began.
    waiting_since: Option<Instant>,
    timer: WaitTimer,
    /// Runs while the client does not take what is sent.
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl RequestReader {
    /// Reads from `socket`. A head may be `limit` bytes long.
    pub(super) fn new(
        socket: Arc<Socket>,
        limit: usize,
        timeouts: ClientTimeouts,
        state: Arc<ConnectionState>,
    ) -> Self {
        Self {
            socket,
            framing: RequestFraming::new(limit),
            held: Vec::new(),
            passing: 0,
            error: None,
            timeouts,
            state,
            delivery: Delivery::default(),
            is_used: false,
            waiting_since: None,
            timer: WaitTimer::default(),
            write_timer: None,
        }
    }

    /// The last request, if it was refused.
    pub(super) fn error(&self) -> Option<RefusedRequest> {
        self.error
    }

    /// The answers that are sent over it.
    pub(super) fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Whether no request has come.
    pub(super) fn is_unused(&self) -> bool {
        !self.is_used
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
        if self.held.is_empty() {
            // A long head is in the parser now, and in memory once.
            self.held = Vec::new();
        }
        self.passing -= count;
        self.state.mark_busy();
        self.state.receive(self.passing > 0 || !self.framing.in_head());
        self.is_used = true;
        self.waiting_since = None;
    }

    /// Reads into `buf` and keeps what may not pass yet. Returns whether something passed or the connection ended.
    fn take(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        let limit = READ_LIMIT.min(buf.remaining());
        let read = self.socket.poll_read_some(cx, limit, |bytes| buf.put_slice(bytes));
        if ready!(read).is_err() || buf.filled().len() == before {
            return Poll::Ready(Ok(true));
        }
        self.waiting_since = None;
        let read = buf.filled().get(before..).unwrap_or_default();
        let is_new = self.framing.in_head();
        let passed = if self.held.is_empty() { self.framing.pass(read) } else { Ok(0) };
        let passed = passed.unwrap_or_else(|error| {
            self.error = Some(RefusedRequest { error, is_new });
            0
        });
        if let Some((start, length)) = self.framing.rewritten_head(read) {
            self.held = start;
            self.passing = self.held.len() + passed - length;
            self.held.extend_from_slice(read.get(length..).unwrap_or_default());
            buf.set_filled(before);
            return Poll::Ready(Ok(false));
        }
        self.held.extend_from_slice(read.get(passed..).unwrap_or_default());
        buf.set_filled(before + passed);
        if passed > 0 {
            self.state.mark_busy();
            self.state.receive(!self.framing.in_head());
            self.is_used = true;
        }
        Poll::Ready(Ok(passed > 0 || self.error.is_some()))
    }

    /// Sends bytes. A client that takes none for too long is cut off.
    fn send(&mut self, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = self.socket.poll_write_shared(cx, slices) {
            self.write_timer = None;
            return Poll::Ready(written);
        }
        let ClientTimeouts { write, idle, .. } = self.timeouts;
        let timeout = if self.delivery.passes_through() { write.max(idle) } else { write };
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(timer.as_mut().poll(cx));
        self.delivery.cut();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// The wait for the client begins. Until a head is whole, another connection can have the slot.
    fn begin_wait(&self) -> Instant {
        if self.framing.in_head() {
            self.state.mark_idle();
        }
        Instant::now()
    }

    /// Whether the wait for the client is over: it has taken too long, or the connection must end.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let in_head = self.framing.in_head() && !self.held.is_empty();
        let is_idle = self.framing.in_head() && self.held.is_empty();
        let since = self.waiting_since.unwrap_or_else(|| self.begin_wait());
        self.waiting_since = Some(since);
        if self.state.is_ending() && (is_idle || in_head && !self.state.has_slot()) {
            return !self.has_last_request();
        }
        let timeout = match (in_head, self.state.is_ending()) {
            (true, true) => self.timeouts.head.min(LAST_HEAD_TIMEOUT),
            (true, false) => self.timeouts.head,
            // An overflow connection has its first request ready.
            (false, _) if is_idle && !self.state.has_slot() => self.timeouts.head.min(self.timeouts.idle),
            (false, _) => self.timeouts.idle,
        };
        if !self.timer.has_passed(since + timeout, cx) {
            return false;
        }
        if in_head {
            self.error = Some(RefusedRequest { error: RequestError::Slow, is_new: true });
        }
        !(is_idle && self.has_last_request())
    }

    /// Whether a request has arrived of which the runtime has not told yet. If not, the connection takes none any more.
    fn has_last_request(&self) -> bool {
        if self.socket.has_unread_bytes() {
            return true;
        }
        self.socket.refuse_input();
        if self.socket.has_unread_bytes() {
            // It has come in the meantime. No other one can.
            self.state.end_after_exchange();
            return true;
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
                let is_new = this.framing.in_head();
                match this.framing.pass(&this.held) {
                    Ok(passing) => this.passing = passing,
                    Err(error) => {
                        this.error = Some(RefusedRequest { error, is_new });
                        continue;
                    }
                }
                if let Some((start, length)) = this.framing.rewritten_head(&this.held) {
                    this.passing = start.len() + this.passing - length;
                    this.held.splice(..length, start);
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
                Poll::Ready(Ok(false)) => this.waiting_since = since.or_else(|| Some(this.begin_wait())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if this.is_over(cx) => return Poll::Ready(Ok(())),
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
        // A socket holds nothing back, and the parser flushes when it has nothing left to write.
        self.delivery.is_sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{ErrorKind, Write};
    use std::os::unix::net::UnixStream;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::socket::{AcceptedSocket, Keepalive};
    use crate::time_limit::within_time_limit;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: d\r\n\r\n";

    /// A reader, and its client.
    fn reader(idle: Duration) -> (RequestReader, UnixStream) {
        reader_of(ConnectionState::for_test(), idle)
    }

    /// The same, of a connection in this state.
    fn reader_of(state: ConnectionState, idle: Duration) -> (RequestReader, UnixStream) {
        let (client, server) = UnixStream::pair().unwrap();
        server.set_nonblocking(true).unwrap();
        let socket = Socket::accepted(AcceptedSocket::Unix(server), Keepalive::default()).unwrap();
        let timeouts = ClientTimeouts { head: Duration::from_secs(20), idle, write: Duration::from_secs(20) };
        (RequestReader::new(Arc::new(socket), 1024, timeouts, Arc::new(state)), client)
    }

    fn run(test: impl Future<Output = ()> + Send + 'static) {
        within_time_limit(|| {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
        });
    }

    /// The head that the parser gets for a request whose target is `raw`; `None` if the request is refused.
    async fn head_for(raw: &[u8]) -> Option<Vec<u8>> {
        let (mut reader, mut client) = reader(Duration::from_secs(20));
        client.write_all(&[b"GET ", raw, b" HTTP/1.0\r\n\r\n"].concat()).unwrap();
        let mut head = vec![0; 1024];
        let length = reader.read(&mut head).await.unwrap();
        head.truncate(length);
        assert_eq!(reader.error().is_some(), head.is_empty());
        Some(head).filter(|head| !head.is_empty())
    }

    #[test]
    fn the_parser_can_read_every_target_that_passes() {
        run(async {
            for byte in 0..=u8::MAX {
                for start in [&b"/a"[..], b"/a?b", b"http:/a", b"http://a/?", b"http://a"] {
                    let Some(head) = head_for(&[start, &[byte], b"c/d"].concat()).await else { continue };
                    let text = String::from_utf8(head).unwrap();
                    let target = text.split(' ').nth(1).unwrap();
                    let uri: hyper::Uri = target.parse().unwrap_or_else(|error| panic!("{target}: {error}"));
                    assert!(uri.path().starts_with('/'), "{target}");
                    assert_eq!(uri.host().is_some(), start.starts_with(b"http://"), "{target}");
                }
            }
        });
    }

    #[test]
    fn a_request_is_new_until_its_head_has_passed() {
        const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n";
        run(async {
            let all = String::from_utf8(REQUEST.to_vec()).unwrap();
            for (pieces, error, is_new) in [
                (vec!["BAD\r\n\r\n".to_owned()], RequestError::RequestLine, true),
                (vec!["BA".to_owned(), "D\r\n\r\n".to_owned()], RequestError::RequestLine, true),
                // The one before has passed, with it or alone.
                (vec![all.clone() + "BAD\r\n\r\n"], RequestError::RequestLine, true),
                (vec![all, "BAD\r\n\r\n".to_owned()], RequestError::RequestLine, true),
                (vec![CHUNKED.to_owned() + "x\r\n"], RequestError::Chunk, true),
                (vec![CHUNKED.to_owned(), "x\r\n".to_owned()], RequestError::Chunk, false),
                (vec![CHUNKED.to_owned() + "1\r\na\r\n", "x\r\n".to_owned()], RequestError::Chunk, false),
            ] {
                let (mut reader, mut client) = reader(Duration::from_secs(20));
                for piece in &pieces {
                    client.write_all(piece.as_bytes()).unwrap();
                    while reader.socket.has_unread_bytes() {
                        let mut buffer = [0; 256];
                        let mut buffer = ReadBuf::new(&mut buffer);
                        poll_fn(|cx| Poll::Ready(Pin::new(&mut reader).poll_read(cx, &mut buffer).is_ready())).await;
                        tokio::task::yield_now().await;
                    }
                }
                while reader.read(&mut [0; 256]).await.unwrap() > 0 {}
                assert_eq!(reader.error(), Some(RefusedRequest { error, is_new }), "{pieces:?}");
            }
        });
    }

    #[test]
    fn a_rewritten_request_passes_whole_and_the_next_one_waits() {
        run(async {
            let request = "GET http:/a?b={\"c\"} HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\n\r\n GET";
            let expected = "GET /a?b=%7B%22c%22%7D HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\n\r\n GET";
            for size in 1..=request.len() {
                let (mut reader, mut client) = reader(Duration::from_secs(20));
                let mut read = Vec::new();
                for piece in request.as_bytes().chunks(size) {
                    client.write_all(piece).unwrap();
                    let mut buffer = [0; 256];
                    let mut buffer = ReadBuf::new(&mut buffer);
                    poll_fn(|cx| {
                        let _ = Pin::new(&mut reader).poll_read(cx, &mut buffer);
                        Poll::Ready(())
                    })
                    .await;
                    read.extend_from_slice(buffer.filled());
                }
                client.write_all(REQUEST).unwrap();
                while read.len() < expected.len() {
                    read.push(reader.read_u8().await.unwrap());
                }
                assert_eq!(String::from_utf8(read).unwrap(), expected, "in pieces of {size}");
                request_is_next(&mut reader).await;
            }
        });
    }

    /// Whether a read is over now.
    async fn is_over_now(reader: &mut RequestReader) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *reader).poll_read(cx, &mut buffer).is_ready())).await
    }

    /// Reads one request.
    async fn request_is_next(reader: &mut RequestReader) {
        let mut read = [0; REQUEST.len()];
        assert_eq!(reader.read_exact(&mut read).await.unwrap(), REQUEST.len());
        assert_eq!(read, REQUEST);
    }

    #[test]
    fn a_request_that_has_arrived_when_the_connection_must_end_is_read() {
        run(async {
            let (mut reader, mut client) = reader(Duration::from_secs(20));
            assert!(!is_over_now(&mut reader).await);
            client.write_all(REQUEST).unwrap();
            reader.state.end();
            assert!(!is_over_now(&mut reader).await);
            request_is_next(&mut reader).await;
            assert!(reader.state.is_ending() && is_over_now(&mut reader).await);
        });
    }

    /// Sends a part of a request and lets the reader take it.
    async fn send_part(reader: &mut RequestReader, client: &mut UnixStream, part: &[u8]) {
        let before = reader.held.len();
        client.write_all(part).unwrap();
        while reader.held.len() < before + part.len() {
            assert!(!is_over_now(reader).await);
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_connection_may_give_way_until_a_head_is_whole() {
        run(async {
            let (mut reader, mut client) = reader(Duration::from_secs(20));
            assert!(!is_over_now(&mut reader).await);
            let idle_since = reader.state.idle_since();
            send_part(&mut reader, &mut client, &REQUEST[..5]).await;
            // From its first byte it is the head that is waited for. Further bytes change nothing.
            let head_since = reader.state.idle_since();
            assert!(reader.state.can_give_way() && head_since > idle_since);
            send_part(&mut reader, &mut client, &REQUEST[5..9]).await;
            assert!(reader.state.can_give_way() && reader.state.idle_since() == head_since);
            client.write_all(&REQUEST[9..]).unwrap();
            request_is_next(&mut reader).await;
            assert!(!reader.state.can_give_way());
            // The next one has come with the one before.
            client.write_all(&[REQUEST, &REQUEST[..5]].concat()).unwrap();
            request_is_next(&mut reader).await;
            assert!(!reader.state.can_give_way() && !is_over_now(&mut reader).await);
            assert!(reader.state.can_give_way());
        });
    }

    #[test]
    fn half_a_head_ends_soon_when_the_connection_must_end() {
        run(async {
            let (mut reader, mut client) = reader(Duration::from_secs(20));
            send_part(&mut reader, &mut client, &REQUEST[..5]).await;
            reader.state.end();
            // A head that is there in a moment is not lost. No other one follows.
            send_part(&mut reader, &mut client, &REQUEST[5..9]).await;
            client.write_all(&REQUEST[9..]).unwrap();
            request_is_next(&mut reader).await;
            assert!(is_over_now(&mut reader).await && reader.error().is_none());
        });
        run(async {
            let (mut reader, mut client) = reader(Duration::from_secs(20));
            send_part(&mut reader, &mut client, &REQUEST[..5]).await;
            reader.state.end();
            let (start, mut byte) = (Instant::now(), [0]);
            assert_eq!(reader.read(&mut byte).await.unwrap(), 0);
            let slow = RefusedRequest { error: RequestError::Slow, is_new: true };
            assert!(reader.error() == Some(slow) && start.elapsed() < Duration::from_secs(10));
        });
    }

    #[test]
    fn half_a_head_ends_at_once_when_an_overflow_connection_must_end() {
        run(async {
            for is_whole in [false, true] {
                let (mut reader, mut client) = reader_of(ConnectionState::of_overflow(), Duration::from_secs(20));
                send_part(&mut reader, &mut client, &REQUEST[..5]).await;
                if is_whole {
                    // It is there, although the runtime may not know yet.
                    client.write_all(&REQUEST[5..]).unwrap();
                }
                reader.state.end();
                if is_whole {
                    request_is_next(&mut reader).await;
                }
                // Nobody has asked for anything else, so there is no error of a request.
                assert!(is_over_now(&mut reader).await && reader.error().is_none());
                assert_eq!(reader.is_unused(), !is_whole);
            }
        });
    }

    #[test]
    fn a_request_after_the_end_is_refused_and_not_lost() {
        run(async {
            for idle in [Duration::ZERO, Duration::from_secs(20)] {
                let (mut reader, mut client) = reader(idle);
                if !idle.is_zero() {
                    reader.state.end();
                }
                assert_eq!(reader.read(&mut [0]).await.unwrap(), 0);
                // The socket is still open, but nothing more is taken.
                assert_eq!(client.write_all(REQUEST).unwrap_err().kind(), ErrorKind::BrokenPipe);
            }
        });
    }
}
