//! Connections to the engine that are kept: one request after another goes over each, none of which has a body.
//!
//! A connection belongs to the exchange that uses it, and is driven by its task. When it is idle, nobody waits for it: whether the
//! engine has closed it is seen when it is to be used again, and from time to time.

use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::SizeHint;
use hyper::StatusCode;
use tokio::time::Instant;

use super::raw::{broken, read_fields};
use super::{Engine, UpstreamError};
use crate::socket::{Socket, WaitTimer};
use crate::stream::chunks::BodyDecoder;
use crate::stream::fields::HeaderFields;
use crate::stream::responses::{BodyFraming, CheckedHead, FinalHead, ResponseError};

/// How long a connection may be idle and still be used again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How soon an engine closes a connection that is not to be used again. One that closes later is idle.
const CLOSE_TIME: Duration = Duration::from_secs(1);
/// The most that one read takes, in bytes.
const READ_LIMIT: usize = 32 * 1024;

/// The idle connections of one worker to an engine.
#[derive(Debug)]
pub(super) struct KeptConnections {
    engine: Arc<Engine>,
    /// How many are kept.
    limit: usize,
    idle: Mutex<IdleConnections>,
}

#[derive(Debug, Default)]
struct IdleConnections {
    /// The one that was used last is the last.
    connections: Vec<KeptConnection>,
    /// Whether somebody looks after them.
    is_watched: bool,
}

impl KeptConnections {
    /// None yet, and at most `limit` at a time.
    pub(super) fn new(engine: Arc<Engine>, limit: usize) -> Self {
        Self { engine, limit, idle: Mutex::default() }
    }

    /// One that is open, as far as is known.
    pub(super) fn take(&self) -> Option<KeptConnection> {
        let mut idle = self.lock();
        while let Some(connection) = idle.connections.pop() {
            // The runtime learns of surplus bytes later than the system, and they must not be taken for the next answer.
            if connection.is_silent() {
                return Some(connection);
            }
            // What the runtime does not know yet may be anything, and the next answer tells the engine's version.
            if !connection.is_open() {
                self.closed(&connection);
            }
        }
        None
    }

    /// Forgets what is known of the engine if it has closed the connection that was used last: it may come back as another.
    pub(super) fn notice_closed(&self) {
        let mut idle = self.lock();
        while let Some(connection) = idle.connections.pop_if(|connection| !connection.is_open()) {
            self.closed(&connection);
        }
    }

    /// Keeps a connection for the next request.
    fn keep(self: &Arc<Self>, connection: KeptConnection) {
        let mut idle = self.lock();
        if idle.connections.len() >= self.limit {
            return;
        }
        idle.connections.push(connection);
        // Without a runtime, the server has ended.
        if !idle.is_watched && tokio::runtime::Handle::try_current().is_ok() {
            idle.is_watched = true;
            tokio::spawn(watch(Arc::downgrade(self)));
        }
    }

    /// Drops connections that are closed, or have been idle for too long; returns whether any are left.
    fn clean(&self) -> bool {
        let mut idle = self.lock();
        idle.connections.retain(|connection| {
            if !connection.is_open() {
                self.closed(connection);
                return false;
            }
            connection.last_read.elapsed() < IDLE_TIMEOUT
        });
        idle.is_watched = !idle.connections.is_empty();
        idle.is_watched
    }

    /// The engine has closed a connection. If that was idle, the engine may be restarting as another version.
    fn closed(&self, connection: &KeptConnection) {
        if connection.last_read.elapsed() > CLOSE_TIME {
            self.engine.forget();
        }
    }

    fn lock(&self) -> MutexGuard<'_, IdleConnections> {
        // No code that holds the lock panics.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after idle connections until there are none.
async fn watch(kept: Weak<KeptConnections>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT / 4).await;
        if !kept.upgrade().is_some_and(|kept| kept.clean()) {
            return;
        }
    }
}

/// A connection that can be used again after its answer.
#[derive(Debug)]
pub(super) struct KeptConnection {
    socket: Socket,
    timer: WaitTimer,
    /// Whether an answer has come over it before.
    is_used: bool,
    last_read: Instant,
}

impl KeptConnection {
    /// A new one.
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, timer: WaitTimer::default(), is_used: false, last_read: Instant::now() }
    }

    /// Whether nothing has arrived that nobody has asked for, nor the end, as far as the runtime knows.
    fn is_open(&self) -> bool {
        self.socket.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// As [`Self::is_open`], as far as the system knows. What arrives later is taken for the next answer: nobody can tell.
    fn is_silent(&self) -> bool {
        self.socket.is_silent()
    }

    /// Sends a request without a body, and waits for its answer until `deadline`. `is_head` says that it is a `HEAD`, whose answer
    /// has no body. After its end, `pool` keeps the connection.
    ///
    /// Cancel safety: when dropped, the connection is closed.
    ///
    /// # Errors
    /// [`UpstreamError::Unanswered`] if the connection was closed before a byte came; [`UpstreamError::Broken`],
    /// [`UpstreamError::Malformed`]; why TLS or ssh has failed. `None` if it takes too long.
    pub(super) async fn ask(
        mut self,
        request: &[u8],
        is_head: bool,
        deadline: Instant,
        pool: Option<&Arc<KeptConnections>>,
    ) -> Option<Result<KeptAnswer, UpstreamError>> {
        let Self { socket, timer, is_used, .. } = &mut self;
        let asked = async {
            let mut reader =
                AnswerReader { held: Vec::new(), heads: FinalHead::default(), is_head, is_answered: false };
            // If TLS or ssh has failed on a new connection, that is why there is no answer.
            let lost = |error: UpstreamError, is_answered: bool| {
                let says_why = !*is_used && !matches!(error, UpstreamError::Broken(_));
                if is_answered || says_why { error } else { UpstreamError::Unanswered }
            };
            let sent = socket.write_all(request).await;
            sent.map_err(|error| lost(UpstreamError::of_io(&error), false))?;
            loop {
                let read = poll_fn(|cx| socket.poll_read_some(cx, READ_LIMIT, |bytes| reader.take(bytes))).await;
                match read.unwrap_or_else(|error| Err(UpstreamError::of_io(&error))) {
                    Ok(Some(answer)) => return Ok(answer),
                    Ok(None) => {}
                    Err(error) => return Err(lost(error, reader.is_answered)),
                }
            }
        };
        let asked = timer.within(deadline, asked).await?;
        Some(asked.map(|ReadAnswer { status, headers, framing, closes, start }| {
            self.is_used = true;
            self.last_read = Instant::now();
            let pool = pool.filter(|_| !closes).cloned();
            let mut body = KeptBody { connection: Some(self), framing, start, pool };
            body.end_if_reached();
            KeptAnswer { status, headers, body }
        }))
    }
}

/// The head of an answer, and its body as it arrives.
#[derive(Debug)]
pub(super) struct KeptAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderFields,
    pub(super) body: KeptBody,
}

/// What has been read of an answer: the head, and the start of the body.
struct ReadAnswer {
    status: StatusCode,
    headers: HeaderFields,
    framing: BodyEnd,
    closes: bool,
    start: Bytes,
}

/// Reads up to the head of an answer.
struct AnswerReader {
    /// The start of a head that has not arrived completely.
    held: Vec<u8>,
    /// The heads before the final one.
    heads: FinalHead,
    is_head: bool,
    /// Whether a byte has arrived.
    is_answered: bool,
}

impl AnswerReader {
    /// Takes what has arrived; nothing is the end of the connection. Returns the answer once its head is complete.
    fn take(&mut self, bytes: &[u8]) -> Result<Option<ReadAnswer>, UpstreamError> {
        if bytes.is_empty() {
            return Err(broken("the connection ended before the head of the answer"));
        }
        self.is_answered = true;
        let mut held = std::mem::take(&mut self.held);
        // Without the end of a line, there is nothing new to check.
        if !held.is_empty() && held.len() < READ_LIMIT && !bytes.contains(&b'\n') {
            held.extend_from_slice(bytes);
            self.held = held;
            return Ok(None);
        }
        let is_held = !held.is_empty();
        if is_held {
            held.extend_from_slice(bytes);
        }
        let mut rest = if is_held { &held } else { bytes };
        match self.heads.take(&mut rest).map_err(UpstreamError::Malformed)? {
            // Nobody has asked for another protocol.
            Some(head) if head.status == 101 => Err(UpstreamError::Malformed(ResponseError::StatusLine)),
            Some(head) => self.answer(&head, rest).map(Some),
            None => {
                self.held = rest.to_vec();
                Ok(None)
            }
        }
    }

    /// The answer with this head. `start` is what has arrived of its body.
    fn answer(&self, head: &CheckedHead<'_>, start: &[u8]) -> Result<ReadAnswer, UpstreamError> {
        let malformed = || UpstreamError::Malformed(ResponseError::StatusLine);
        let status = StatusCode::from_u16(head.status).map_err(|_| malformed())?;
        let mut framing = match head.framing {
            _ if self.is_head || matches!(head.status, 204 | 304) => BodyEnd::Marked(BodyDecoder::of_length(0)),
            BodyFraming::Length(length) => BodyEnd::Marked(BodyDecoder::of_length(length)),
            BodyFraming::Chunked => BodyEnd::Marked(BodyDecoder::chunked()),
            BodyFraming::Close => BodyEnd::Connection,
        };
        let start = framing.decode(start)?;
        Ok(ReadAnswer { status, headers: read_fields(head), framing, closes: head.closes, start })
    }
}

/// Where a body ends.
#[derive(Debug)]
enum BodyEnd {
    /// Where its framing says.
    Marked(BodyDecoder),
    /// With the connection.
    Connection,
}

impl BodyEnd {
    /// The data in what has arrived, in one piece.
    ///
    /// # Errors
    /// [`UpstreamError::Malformed`]: its framing is malformed, or bytes come after it.
    fn decode(&mut self, mut bytes: &[u8]) -> Result<Bytes, UpstreamError> {
        let Self::Marked(decoder) = self else { return Ok(Bytes::copy_from_slice(bytes)) };
        let malformed = |_| UpstreamError::Malformed(ResponseError::Chunk);
        let first = decoder.data(&mut bytes).map_err(malformed)?.unwrap_or_default();
        let mut data = Cow::Borrowed(first);
        while let Some(next) = decoder.data(&mut bytes).map_err(malformed)? {
            if let Cow::Borrowed(first) = data {
                let mut joined = Vec::with_capacity(first.len() + next.len() + bytes.len());
                joined.extend_from_slice(first);
                data = Cow::Owned(joined);
            }
            data.to_mut().extend_from_slice(next);
        }
        if !bytes.is_empty() {
            return Err(UpstreamError::Malformed(ResponseError::Surplus));
        }
        Ok(match data {
            Cow::Borrowed(data) => Bytes::copy_from_slice(data),
            Cow::Owned(data) => data.into(),
        })
    }

    /// Whether the end has been reached.
    fn is_reached(&self) -> bool {
        match self {
            Self::Marked(decoder) => decoder.has_ended(),
            Self::Connection => false,
        }
    }
}

/// The body of an answer. When it has ended, its connection can be used again; when it is dropped before, that is closed.
#[derive(Debug)]
pub(super) struct KeptBody {
    /// `None` after the end.
    connection: Option<KeptConnection>,
    framing: BodyEnd,
    /// What has arrived and was not taken.
    start: Bytes,
    /// Keeps the connection after the end, unless the engine closes it.
    pool: Option<Arc<KeptConnections>>,
}

impl KeptBody {
    /// What has arrived; `None` at the end.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UpstreamError>>> {
        loop {
            if !self.start.is_empty() {
                return Poll::Ready(Some(Ok(std::mem::take(&mut self.start))));
            }
            let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
            let framing = &mut self.framing;
            let decoded = connection.socket.poll_read_some(cx, READ_LIMIT, |bytes| match (bytes, &framing) {
                ([], BodyEnd::Connection) => Ok(None),
                ([], BodyEnd::Marked(_)) => Err(broken("the connection ended in the middle of an answer")),
                (bytes, _) => framing.decode(bytes).map(Some),
            });
            match ready!(decoded).unwrap_or_else(|error| Err(UpstreamError::of_io(&error))) {
                Ok(Some(data)) => {
                    connection.last_read = Instant::now();
                    self.start = data;
                    self.end_if_reached();
                }
                Ok(None) => self.connection = None,
                Err(error) => {
                    self.connection = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }

    /// What limits the wait for more; `None` after the end.
    pub(super) fn timer(&mut self) -> Option<&mut WaitTimer> {
        self.connection.as_mut().map(|connection| &mut connection.timer)
    }

    /// Gives the connection back if the body has ended.
    fn end_if_reached(&mut self) {
        if self.framing.is_reached()
            && let Some(connection) = self.connection.take()
            && let Some(pool) = self.pool.take()
        {
            pool.keep(connection);
        }
    }

    /// Whether nothing comes any more.
    pub(super) fn is_end_stream(&self) -> bool {
        self.start.is_empty() && self.connection.is_none()
    }

    /// How many bytes are still to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        let start = self.start.len() as u64;
        match &self.framing {
            BodyEnd::Marked(decoder) => {
                decoder.left().map_or_else(SizeHint::default, |left| SizeHint::with_exact(start + left))
            }
            BodyEnd::Connection => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::api::ApiRange;
    use crate::socket::{AcceptedSocket, Address, Carrier, Keepalive};
    use crate::time_limit::within_time_limit;
    use crate::upstream::{EngineTimeouts, SshFault};

    const REQUEST: &[u8] = b"GET /_ping HTTP/1.1\r\n\r\n";
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    fn check(work: impl Future<Output = ()> + Send + 'static) {
        within_time_limit(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
        });
    }

    fn pool() -> Arc<KeptConnections> {
        let limit = Duration::from_secs(1);
        let address = Address::Unix("/nowhere".into());
        let timeouts = EngineTimeouts { connect: limit, response: limit, work: limit };
        let engine = Engine::new(address.into(), timeouts, Keepalive::default(), ApiRange::default());
        Arc::new(KeptConnections::new(Arc::new(engine), 2))
    }

    /// A connection, and the engine's end of it.
    fn connection() -> (KeptConnection, UnixStream) {
        let (ours, engines) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (KeptConnection::new(Socket::accepted(AcceptedSocket::Unix(ours), Keepalive::default()).unwrap()), engines)
    }

    /// Asks, while the engine reads the request and sends `answer`.
    async fn ask(
        connection: KeptConnection,
        engine: &mut UnixStream,
        answer: &[u8],
        pool: &Arc<KeptConnections>,
    ) -> Result<KeptAnswer, UpstreamError> {
        engine.write_all(answer).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let asked = connection.ask(REQUEST, false, deadline, Some(pool)).await.unwrap();
        engine.read_exact(&mut [0; REQUEST.len()]).unwrap();
        asked
    }

    /// The data of a body, or its error.
    async fn data(body: &mut KeptBody) -> Result<String, UpstreamError> {
        let mut data = Vec::new();
        while let Some(next) = poll_fn(|cx| body.poll_data(cx)).await {
            data.extend_from_slice(&next?);
        }
        Ok(String::from_utf8(data).unwrap())
    }

    /// The runtime has not heard of it: no task has waited since.
    #[test]
    fn surplus_bytes_are_not_taken_for_the_next_answer() {
        check(async {
            for (surplus, expected) in [(&b""[..], true), (b"HTTP/1.1 200 OK\r\n", false)] {
                let pool = pool();
                let (connection, mut engine) = connection();
                ask(connection, &mut engine, ANSWER, &pool).await.unwrap();
                engine.write_all(surplus).unwrap();
                assert_eq!(pool.take().is_some(), expected, "{surplus:?}");
            }
        });
    }

    #[test]
    fn a_connection_is_kept_after_the_end_of_its_answer_and_not_before() {
        check(async {
            for (answer, expected) in [
                ("Content-Length: 2\r\n\r\nok", "ok"),
                ("Content-Length: 0\r\n\r\n", ""),
                ("Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", "abc"),
            ] {
                let (pool, (connection, mut engine)) = (pool(), connection());
                let answer = format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n{answer}");
                let mut asked = ask(connection, &mut engine, answer.as_bytes(), &pool).await.unwrap();
                assert_eq!(data(&mut asked.body).await.unwrap(), expected);
                let kept = pool.take().unwrap();
                let mut again = ask(kept, &mut engine, answer.as_bytes(), &pool).await.unwrap();
                assert_eq!(data(&mut again.body).await.unwrap(), expected);
                assert!(pool.take().is_some() && pool.take().is_none());
            }
            let (pool, (connection, mut engine)) = (pool(), connection());
            let asked = ask(connection, &mut engine, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", &pool).await;
            drop(asked.unwrap().body);
            assert!(pool.take().is_none());
            assert_eq!(engine.read(&mut [0]).unwrap(), 0, "an answer that nobody reads ends with its connection");
        });
    }

    #[test]
    fn a_connection_that_the_engine_ends_is_not_kept() {
        check(async {
            for head in ["HTTP/1.1 200 OK\r\nConnection: keep-alive, Close", "HTTP/1.0 200 OK"] {
                let (pool, (connection, mut engine)) = (pool(), connection());
                let answer = format!("{head}\r\nContent-Length: 2\r\n\r\nok");
                let mut asked = ask(connection, &mut engine, answer.as_bytes(), &pool).await.unwrap();
                assert_eq!(
                    (data(&mut asked.body).await.unwrap().as_str(), pool.take().is_none()),
                    ("ok", true),
                    "{head}"
                );
            }
            let (pool, (connection, mut engine)) = (pool(), connection());
            let mut asked = ask(connection, &mut engine, b"HTTP/1.1 200 OK\r\n\r\nto the", &pool).await.unwrap();
            engine.write_all(b" end").unwrap();
            drop(engine);
            assert_eq!((data(&mut asked.body).await.unwrap().as_str(), pool.take().is_none()), ("to the end", true));
            // One that is closed, or on which the engine says something, while it is idle.
            for said in [&b""[..], b"HTTP/1.1 408 Request Timeout\r\n\r\n"] {
                let (pool, (connection, mut engine)) = (self::pool(), self::connection());
                drop(ask(connection, &mut engine, ANSWER, &pool).await.unwrap());
                engine.write_all(said).unwrap();
                drop(engine);
                // The runtime hears of it.
                tokio::time::sleep(Duration::from_millis(1)).await;
                assert!(pool.take().is_none(), "{said:?}");
            }
        });
    }

    #[test]
    fn an_answer_with_two_readings_is_an_error() {
        check(async {
            for answer in [
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r\nok\r\n0\r\n\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n!",
                "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            ] {
                let (pool, (connection, mut engine)) = (pool(), connection());
                let asked = ask(connection, &mut engine, answer.as_bytes(), &pool).await;
                assert!(matches!(asked, Err(UpstreamError::Malformed(_))), "{answer}: {asked:?}");
                assert!(pool.take().is_none(), "{answer}");
            }
        });
    }

    #[test]
    fn a_connection_that_is_closed_in_place_of_an_answer_is_unanswered_whether_or_not_it_was_used() {
        check(async {
            for is_used in [false, true] {
                let (pool, (mut connection, mut engine)) = (pool(), connection());
                if is_used {
                    drop(ask(connection, &mut engine, ANSWER, &pool).await.unwrap());
                    connection = pool.take().unwrap();
                }
                drop(engine);
                let deadline = Instant::now() + Duration::from_secs(20);
                let asked = connection.ask(REQUEST, false, deadline, Some(&pool)).await.unwrap();
                assert!(matches!(asked, Err(UpstreamError::Unanswered)), "{is_used}: {asked:?}");
            }
            let (pool, (connection, mut engine)) = (pool(), connection());
            engine.write_all(b"H").unwrap();
            engine.shutdown(std::net::Shutdown::Write).unwrap();
            let deadline = Instant::now() + Duration::from_secs(20);
            let asked = connection.ask(REQUEST, false, deadline, Some(&pool)).await.unwrap();
            assert!(matches!(asked, Err(UpstreamError::Broken(_))), "{asked:?}");
        });
    }

    /// Otherwise nobody would be told why ssh or TLS does not reach the engine.
    #[test]
    fn a_new_connection_says_why_it_broke() {
        check(async {
            let (socket, carrier) = Carrier::new().unwrap();
            let fault = SshFault::Ended { status: Some(255), said: String::new() };
            let broken = std::future::ready(Err(std::io::Error::other(UpstreamError::Ssh(fault.clone()))));
            let deadline = Instant::now() + Duration::from_secs(20);
            let pool = pool();
            let asked = KeptConnection::new(socket).ask(REQUEST, false, deadline, Some(&pool));
            let carried = carrier.carry(tokio::io::empty(), tokio::io::sink(), broken, Duration::ZERO);
            let (asked, ()) = tokio::join!(asked, carried);
            assert!(matches!(&asked, Some(Err(UpstreamError::Ssh(found))) if *found == fault), "{asked:?}");
        });
    }

    #[test]
    fn an_engine_that_does_not_answer_is_given_up_in_time() {
        check(async {
            let (pool, (connection, _engine)) = (pool(), connection());
            let deadline = Instant::now() + Duration::from_millis(5);
            assert!(connection.ask(REQUEST, false, deadline, Some(&pool)).await.is_none());
            assert!(Instant::now() >= deadline);
        });
    }
}
