//! The client's connection after the HTTP reader: of a stream, of a tunnel, or of a malformed request.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::Interest;

use super::Proxy;
use super::access_log::AccessLog;
use super::body::{Outgoing, OutgoingBuffer, Unread};
use super::message::Message;
use super::respond;
use crate::api::ApiVersion;
use crate::clients::LoggedClient;
use crate::socket::Socket;

/// How many bytes of a client are held before its stream is open. The rest waits in its socket.
const EARLY_LIMIT: usize = 16 * 1024;
/// How long a client has to read the last bytes of a connection that we end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What is said of a request that has come too soon after others. The metrics count it.
#[derive(Debug)]
pub struct TooSoon {
    /// What the client reads.
    pub message: String,
    /// How long it should wait.
    pub wait: Duration,
    /// How many before it have neither a line in the log nor a record in the audit file; `None` if this one has neither, too.
    pub suppressed: Option<u64>,
}

/// The client's connection. It sends [`Outgoing`] and nothing else.
#[derive(Debug)]
pub struct Downstream {
    socket: Arc<Socket>,
    /// What the client sent after its request.
    early: Vec<u8>,
}

impl Downstream {
    /// Takes over `socket`. `early` has been read from it after the last request.
    pub fn new(socket: Arc<Socket>, early: Vec<u8>) -> Self {
        Self { socket, early }
    }

    /// Answers a request of `client` whose head or framing is malformed, and ends the connection. Logs it.
    pub async fn refuse_malformed(
        self,
        status: u16,
        message: impl Into<Message>,
        proxy: &Proxy,
        client: &Arc<LoggedClient>,
    ) {
        let mut log = AccessLog::start(&proxy.observer, client);
        log.reason("malformed");
        self.refuse(status, message.into(), proxy.advertised(), log).await;
    }

    /// Answers a request of `client` whose head or framing is malformed, and which has come too soon after others; ends the connection.
    pub async fn refuse_too_soon(self, too_soon: TooSoon, proxy: &Proxy, client: &Arc<LoggedClient>) {
        let mut log = AccessLog::start(&proxy.observer, client);
        log.too_soon(too_soon.suppressed);
        let (wait, message) = (Some(too_soon.wait), too_soon.message.into());
        let response = refusal(429, wait, message, proxy.advertised(), &mut log);
        self.end_with(response, log).await;
    }

    /// Answers with an error and ends the connection. `engine` is the API version in the answer, and `log` the line of the exchange.
    pub(super) async fn refuse(self, status: u16, message: Message, engine: Option<ApiVersion>, mut log: AccessLog) {
        let response = refusal(status, busy_wait(status), message, engine, &mut log);
        self.end_with(response, log).await;
    }

    /// Sends the last answer and ends the connection.
    async fn end_with(self, response: OutgoingBuffer, log: AccessLog) {
        // A client that is gone reads nothing, and one that reads nothing is not waited for.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.send(response.unsent())).await;
        // The line does not wait until the client has left.
        drop(log);
        self.close().await;
    }

    /// Answers a client that has sent nothing, because there is no room, and says why in the log. Nothing is waited for.
    pub fn refuse_at_once(self, status: u16, message: String, proxy: &Proxy, client: &Arc<LoggedClient>) {
        let mut log = AccessLog::start(&proxy.observer, client);
        log.no_room("busy", &message);
        let response = refusal(status, busy_wait(status), message.into(), proxy.advertised(), &mut log);
        // There is room for it, unless the client is gone.
        let _ = self.try_send(response.unsent());
    }

    /// Ends the connection after its last answer. A client that goes on sending can read that answer all the same.
    pub async fn end(self) {
        if self.socket.has_unread_bytes() {
            self.close().await;
        }
    }

    /// Ends the connection so that the client can read the last bytes: its own bytes are read first, for a second.
    pub(super) async fn close(&self) {
        let _ = self.socket.finish();
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.discard_input()).await;
    }

    /// Sends all of `bytes`. Cancel safety: when dropped, a part has been sent.
    ///
    /// # Errors
    /// The client is gone.
    pub(super) async fn send(&self, bytes: Outgoing<'_>) -> io::Result<()> {
        self.socket.write_all(bytes.bytes()).await
    }

    /// Sends what there is room for and returns its length; `WouldBlock` if there is none.
    ///
    /// # Errors
    /// The client is gone.
    pub(super) fn try_send(&self, bytes: Outgoing<'_>) -> io::Result<usize> {
        self.socket.try_write(bytes.bytes())
    }

    /// As [`Unread::poll_move`].
    ///
    /// # Errors
    /// The error of the engine's connection.
    pub(super) fn poll_move(
        &self,
        cx: &mut Context<'_>,
        bytes: Unread<'_>,
    ) -> Poll<io::Result<Option<(usize, OutgoingBuffer)>>> {
        bytes.poll_move(cx, &self.socket)
    }

    /// Sends as much of `buffer` as there is room for; returns how much.
    ///
    /// # Errors
    /// The client is gone.
    pub(super) fn flush(&self, buffer: &mut OutgoingBuffer) -> io::Result<usize> {
        let before = buffer.len();
        while !buffer.is_empty() {
            match self.try_send(buffer.unsent()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => buffer.mark_sent(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(before - buffer.len())
    }

    /// Ends our direction; the client may go on sending.
    pub(super) fn finish(&self) {
        // A client that is gone needs no end.
        let _ = self.socket.finish();
    }

    /// Waits until there is room to send. Cancel safety: nothing is lost.
    ///
    /// # Errors
    /// The client is gone.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// As [`Socket::poll_read_some`].
    ///
    /// # Errors
    /// The client is gone.
    pub(super) fn poll_read_some<T>(
        &self,
        cx: &mut Context<'_>,
        limit: usize,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Poll<io::Result<T>> {
        self.socket.poll_read_some(cx, limit, take)
    }

    /// Takes the bytes that the client has sent so far.
    pub(super) fn take_early(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.early)
    }

    /// Waits until the client ends its direction. Holds what it sends, up to a limit.
    ///
    /// Cancel safety: what has been read is held.
    pub(super) async fn hold_input(&mut self) {
        loop {
            if self.early.len() >= EARLY_LIMIT {
                return self.socket.left().await;
            }
            let (socket, early) = (&self.socket, &mut self.early);
            let room = EARLY_LIMIT - early.len();
            match socket.read_up_to(room, |bytes| early.extend_from_slice(bytes)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Waits until the client ends its direction. Discards what it sends: the head of a stream announces that the connection
    /// closes, so no further request is read.
    ///
    /// Cancel safety: nothing that matters is lost.
    pub(super) async fn discard_input(&self) {
        while matches!(self.socket.read_some(|_| {}).await, Ok(1..)) {}
    }

    /// Waits until the client has closed both directions.
    pub(super) async fn closed(&self) {
        self.socket.closed().await;
    }

    /// Waits until the system reports that the client is gone, and not just done sending. It cannot always tell.
    pub(super) async fn gone(&self) {
        while let Ok(ready) = self.socket.ready(Interest::ERROR).await {
            if ready.is_error() || ready.is_write_closed() {
                break;
            }
        }
    }
}

/// How long a client should wait after an answer with this status that says that there is no room.
fn busy_wait(status: u16) -> Option<Duration> {
    (status == 503).then_some(Duration::from_secs(1))
}

/// The whole answer to a request that is refused outside the HTTP writer, which `log` counts as sent. `wait` is how long the client
/// should wait before it tries again.
fn refusal(
    status: u16,
    wait: Option<Duration>,
    message: Message,
    engine: Option<ApiVersion>,
    log: &mut AccessLog,
) -> OutgoingBuffer {
    log.status(status);
    log.sent(message.length());
    log.complete();
    OutgoingBuffer::error_response(status, wait.map(respond::retry_after), message, engine, &log.id())
}
