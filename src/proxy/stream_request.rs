//! Opening a stream, and what the engine's answer proves.
//!
//! A stream is carried on the two sockets themselves. The client's socket is taken from the HTTP reader; the engine's is
//! new. Neither is used for a second request, so nothing that a client sends after the request of a stream can reach the
//! engine as a request.
//!
//! A connection becomes a tunnel only when the *answer* proves that the engine has hijacked its side: 101 to a request for
//! an upgrade, or 200 with the content type of a stream and no length. Bytes that the client sends before that are held,
//! because the engine would lose them.

use std::fmt;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::HeaderMap;
use hyper::header::{ACCEPT, CONTENT_TYPE, UPGRADE};

use super::access_log::AccessLog;
use super::body::{Outgoing, OutgoingBuffer, StreamFraming};
use super::downstream::Downstream;
use super::memory::{MemoryLease, ReadAhead};
use super::message::{ERROR_LIMIT, Message};
use super::objects::StreamSubject;
use super::records::{RecordFiltering, RecordRewriter};
use super::relay::{StreamEnd, StreamEnds, relay};
use super::request_id::{REQUEST_ID, RequestId};
use super::tunnel::tunnel;
use super::{Error, headers, respond};
use crate::api::{Method, Operation, ResponseKind, StreamKind, Upgrade};
use crate::policy::{Policy, RelayReason};
use crate::socket::Socket;
use crate::stream::chunks::BodyDecoder;
use crate::stream::responses::ResponseError;
use crate::upstream::raw::{self, BodyFraming, ResponseHead};
use crate::upstream::{Engine, UpstreamError};

/// The parts of a request that opens a stream.
#[derive(Debug)]
pub(super) struct StreamParts<'r> {
    /// The operation.
    pub(super) operation: &'static Operation,
    /// The canonical target.
    pub(super) target: &'r str,
    /// The client's header fields.
    pub(super) headers: &'r HeaderMap,
    /// The id of the exchange.
    pub(super) id: &'r RequestId,
    /// The client's body.
    pub(super) body: &'r [u8],
}

/// What the client gets of the body of a stream.
#[derive(Debug)]
pub(super) enum StreamBody {
    /// The bytes as they are.
    Relayed(RelayReason),
    /// The records that the filter leaves.
    Filtered(RecordFiltering),
}

/// A stream that is to be opened, once it has the client's connection.
pub struct StreamRequest {
    engine: Arc<Engine>,
    /// What is said of the engine's errors.
    policy: Arc<Policy>,
    operation: &'static Operation,
    /// The protocol to which the request asks the engine to upgrade the connection.
    upgrade: Option<Upgrade>,
    /// The request, as it is sent.
    request: Vec<u8>,
    /// The memory of the request, until it has been sent.
    memory: MemoryLease,
    stream_body: StreamBody,
    /// What it is about, if that can be hidden while it is open.
    subject: Option<Box<StreamSubject>>,
    log: AccessLog,
}

impl fmt::Debug for StreamRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamRequest").field("operation", &self.operation.id).finish_non_exhaustive()
    }
}

/// What a client reads whose connection is not admitted any more.
pub const NOT_ADMITTED: &str = "this listener does not admit this connection any more: connect again";
/// What a client reads whose request was allowed by a configuration that holds no more.
pub(super) const RELOADED: &str = "the configuration of this listener has changed: send the request again";

/// Why this program cuts a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamCut {
    /// After a reload its client would see less.
    LessShown,
    /// Its client could not connect any more.
    NotAdmitted,
    /// What it is about is hidden now.
    Hidden,
    /// Its listener closes.
    Closing,
}

impl StreamCut {
    /// In one word.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::LessShown => "reload",
            Self::NotAdmitted => "not-admitted",
            Self::Hidden => "hidden",
            Self::Closing => "closing",
        }
    }

    /// What a client reads whose stream has not begun.
    pub(super) fn public(self) -> &'static str {
        match self {
            // That it is hidden, and not gone, is not for the client.
            Self::LessShown | Self::Hidden => RELOADED,
            Self::NotAdmitted => NOT_ADMITTED,
            Self::Closing => "this listener closes: connect again",
        }
    }

    /// In words.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::LessShown => "the stream is cut: it shows less now",
            Self::NotAdmitted => "the stream is cut: its client is not admitted any more",
            Self::Hidden => "the stream is cut: what it is about is hidden now",
            Self::Closing => "the stream is cut: its listener closes",
        }
    }
}

/// What an answer turned out to be.
enum Opened {
    /// A connection that is hijacked.
    Tunnel(RelayReason, StreamFraming),
    /// A body that is relayed, framed as it came.
    Relay(RelayReason),
    /// A body that is filtered record by record.
    Records(Box<RecordRewriter>),
    /// Only a head: what is started runs detached.
    Empty,
}

/// How a stream is carried to its end.
type Carried<'c> = Pin<Box<dyn Future<Output = Result<(), StreamError>> + Send + 'c>>;

/// A stream whose head the client has.
struct StartedStream {
    engine: Socket,
    opened: Opened,
    /// Where a relayed body ends.
    body: StreamEnd,
    /// What has arrived of records.
    start: Vec<u8>,
    /// The memory for what is read before the client has room for it.
    read_ahead: Arc<ReadAhead>,
}

impl StartedStream {
    /// Carries the stream to its end. What that needs is in one box.
    fn carry<'c>(self, client: &'c mut Downstream, log: &'c mut AccessLog) -> Carried<'c> {
        let Self { engine, opened, body, start, read_ahead } = self;
        match opened {
            Opened::Empty => Box::pin(async {
                client.close().await;
                Ok(())
            }),
            Opened::Relay(reason) => Box::pin(async move {
                let ends = StreamEnds { engine: &engine, client, read_ahead: &read_ahead };
                relay(ends, body, reason, log).await
            }),
            Opened::Records(rewriter) => Box::pin(async move { rewriter.run(&engine, client, start, log).await }),
            Opened::Tunnel(reason, _) => {
                Box::pin(async move { tunnel(&engine, client, &read_ahead, reason, log).await })
            }
        }
    }
}

/// Why a stream did not come to its end.
#[derive(Debug)]
pub(super) enum StreamError {
    /// It was not opened. The client has read nothing yet.
    NotOpened(Error),
    /// It broke off, on the engine's side or on ours: the reason in one word, and in words.
    Broken(&'static str, io::Error),
    /// The client left.
    ClientLeft,
}

impl From<Error> for StreamError {
    fn from(error: Error) -> Self {
        Self::NotOpened(error)
    }
}

impl From<UpstreamError> for StreamError {
    fn from(error: UpstreamError) -> Self {
        Self::NotOpened(Error::Upstream(error))
    }
}

impl StreamRequest {
    pub(super) fn new(
        engine: Arc<Engine>,
        policy: Arc<Policy>,
        parts: &StreamParts<'_>,
        (stream_body, subject): (StreamBody, Option<Box<StreamSubject>>),
        memory: MemoryLease,
        log: AccessLog,
    ) -> Self {
        let operation = parts.operation;
        // Docker's own protocol goes by any name, as at the engine. Without the others there is no stream.
        let upgrade = operation.response.upgrade().filter(|_| parts.headers.contains_key(UPGRADE));
        let request = request_bytes(parts, upgrade);
        Self { engine, policy, operation, upgrade, request, memory, stream_body, subject, log }
    }

    /// The operation that opens it.
    pub fn operation(&self) -> &'static Operation {
        self.operation
    }

    /// What it is about, if that can be hidden while it is open.
    pub fn take_subject(&mut self) -> Option<Box<StreamSubject>> {
        self.subject.take()
    }

    /// It has waited so long for the engine until now.
    pub(super) fn spent(&mut self, engine: Duration) {
        self.log.spent(engine);
    }

    /// Opens the stream and carries it to its end, or until `cut` says why it is to be cut. If its client has read nothing by then, it
    /// is told. `cut` returns the places that the stream takes, too: they are dropped last.
    ///
    /// Cancel safety: when dropped, both connections are closed, which the client sees as a cut.
    pub async fn run<P>(
        mut self: Box<Self>,
        mut cut: Pin<Box<impl Future<Output = (StreamCut, P)>>>,
        mut client: Downstream,
    ) {
        // The line is written when the stream ends, whatever ends it.
        let mut log = std::mem::take(&mut self.log);
        let engine = self.engine.clone();
        // What ends before the stream begins is in a box: a stream may be silent for days, and keeps no more than it needs.
        let carried = async {
            let opened = Box::pin(self.open(&mut client, &mut log)).await?;
            opened.carry(&mut client, &mut log).await
        };
        let mut places = None;
        let ended = tokio::select! {
            ended = carried => ended,
            (cut, held) = &mut cut => {
                places = Some(held);
                if log.is_open() { Err(broken(cut.reason(), cut.why())) } else { Err(Error::Cut(cut).into()) }
            }
        };
        let Some(mut refused) = end(ended, client, engine, log) else { return };
        if places.is_some() {
            refused.await;
            return;
        }
        tokio::select! {
            () = &mut refused => {}
            // It goes on meanwhile: others may wait for what it does.
            held = &mut cut => {
                refused.await;
                drop(held);
            }
        }
    }

    /// Refuses the stream, because there are too many; the engine is not asked.
    pub async fn refuse_busy(mut self: Box<Self>, client: Downstream, message: String) {
        let mut log = std::mem::take(&mut self.log);
        log.no_room("busy", &message);
        client.refuse(503, message.into(), self.engine.advertised(), log).await;
    }

    /// Opens the stream: sends the request, and the head of the answer.
    async fn open(
        mut self: Box<Self>,
        client: &mut Downstream,
        log: &mut AccessLog,
    ) -> Result<StartedStream, StreamError> {
        // What arrives with the head is the start of the body.
        let mut start = Vec::new();
        let since = Instant::now();
        let asked = self.ask(&mut start, client).await;
        log.spent(since.elapsed());
        let (engine, head) = asked?;
        self.memory.settle(0);
        if (400..=599).contains(&head.status) {
            return Err(self.engine_error(&engine, &head, start).await.into());
        }
        let opened = self.opened(&head)?;
        if matches!(opened, Opened::Empty) {
            // Podman ends a line, Docker writes nothing.
            let body = short_body(&engine, head.framing, std::mem::take(&mut start)).await;
            if !body.is_some_and(|body| body.trim_ascii().is_empty()) {
                return Err(Error::Framing.into());
            }
        }
        log.opened(head.status);
        let mut out = head_down(&head, &opened, &log.id());
        let mut body = StreamEnd::of(head.framing);
        if let Opened::Relay(reason) | Opened::Tunnel(reason, _) = opened {
            if matches!(opened, Opened::Relay(_)) {
                start.truncate(body.follow(&start).map_err(|_| Error::Upstream(BAD_CHUNK))?);
            }
            out.push(Outgoing::relayed(&start, reason));
            log.sent(start.len());
            start = Vec::new();
        }
        client.send(out.unsent()).await.map_err(|_| StreamError::ClientLeft)?;
        Ok(StartedStream { engine, opened, body, start, read_ahead: self.memory.read_ahead() })
    }

    /// Sends the request on a connection of its own and waits for the head of the answer, or for the client to leave.
    async fn ask(
        &mut self,
        start: &mut Vec<u8>,
        client: &mut Downstream,
    ) -> Result<(Socket, ResponseHead), StreamError> {
        let request = std::mem::take(&mut self.request);
        let takes_over = self.operation.response.upgrade().is_some();
        let left = async {
            client.hold_input().await;
            // A client that has ended its direction still reads. In a hijacked connection that is its right.
            if takes_over {
                client.closed().await;
            }
        };
        tokio::select! {
            // An error that is there already is worth telling, whether or not the client has ended its direction.
            biased;
            asked = self.exchange_heads(&request, start) => asked,
            () = left => Err(StreamError::ClientLeft),
        }
    }

    /// Sends the request and waits for the head of the answer. It may come before the engine has read all of the request.
    async fn exchange_heads(&self, request: &[u8], start: &mut Vec<u8>) -> Result<(Socket, ResponseHead), StreamError> {
        // Before it tells of progress, an engine may work for long.
        let is_progress = self.operation.response == ResponseKind::Stream(StreamKind::Progress);
        let timeout = if is_progress { self.engine.work_timeout() } else { self.engine.response_timeout() };
        let engine = self.engine.connect(timeout).await?;
        let is_sent = AtomicBool::new(false);
        let unread = async {
            // If the engine reads no more, its answer may say why.
            let Ok(sent) = tokio::time::timeout(timeout, engine.write_all(request)).await else { return };
            is_sent.store(sent.is_ok(), Ordering::Relaxed);
            // An old API version is silent until the container ends that it waits for.
            if self.operation.response == ResponseKind::Stream(StreamKind::Wait) && sent.is_ok() {
                return pending().await;
            }
            tokio::time::sleep(timeout).await;
        };
        let head = tokio::select! {
            head = raw::read_head(&engine, start) => {
                let mut head = head.inspect_err(|error| self.engine.notices(error))?;
                self.engine.answers();
                self.engine.advertise(&mut head.headers);
                head
            }
            () = unread => return Err(UpstreamError::Timeout(timeout).into()),
        };
        if head.status < 300 && !is_sent.load(Ordering::Relaxed) {
            return Err(Error::Framing.into());
        }
        Ok((engine, head))
    }

    /// What the head of the answer proves.
    fn opened(&self, head: &ResponseHead) -> Result<Opened, Error> {
        headers::check_answer(&head.headers)?;
        let reason = match &self.stream_body {
            StreamBody::Relayed(reason) => *reason,
            StreamBody::Filtered(filtering) if head.status == 200 => {
                return Ok(Opened::Records(Box::new(RecordRewriter::new(head, filtering)?)));
            }
            StreamBody::Filtered(_) => return Err(refusal(head)),
        };
        match (head.status, head.framing, self.operation.response.upgrade()) {
            (101, BodyFraming::Close, Some(protocol))
                if self.upgrade == Some(protocol) && headers::upgrades_to(head, protocol) =>
            {
                Ok(Opened::Tunnel(reason, StreamFraming::Upgraded(protocol)))
            }
            (200, BodyFraming::Close, Some(Upgrade::Tcp)) if headers::is_raw_stream(head) => {
                Ok(Opened::Tunnel(reason, StreamFraming::Hijacked))
            }
            (200, BodyFraming::Length(_) | BodyFraming::Chunked, Some(Upgrade::Tcp)) => Ok(Opened::Empty),
            (200, _, None) => Ok(Opened::Relay(reason)),
            (_, _, _) => Err(refusal(head)),
        }
    }

    /// The error that the engine answers with. `start` is what has arrived of its body.
    async fn engine_error(&self, engine: &Socket, head: &ResponseHead, start: Vec<u8>) -> Error {
        if let Err(error) = headers::check_answer(&head.headers) {
            return error;
        }
        let body = short_body(engine, head.framing, start).await;
        let (status, operation) = (head.status, self.operation);
        let message = Message::of_engine(&self.policy, operation, status, body.as_deref());
        Error::Engine { status, operation, message }
    }
}

/// A stream that broke off: why, in one word and in words.
pub(super) fn broken(reason: &'static str, why: &'static str) -> StreamError {
    StreamError::Broken(reason, io::Error::other(why))
}

/// Logs how a stream ended. If it was not opened, its client is to be told, and nothing is logged until then: returns what tells it.
fn end(
    ended: Result<(), StreamError>,
    client: Downstream,
    engine: Arc<Engine>,
    mut log: AccessLog,
) -> Option<Pin<Box<impl Future<Output = ()>>>> {
    match ended {
        Ok(()) => log.complete(),
        Err(StreamError::NotOpened(error)) => {
            return Some(Box::pin(async move {
                log.failed(&error);
                let (status, message) = respond::public(error);
                client.refuse(status, message, engine.advertised(), log).await;
            }));
        }
        Err(StreamError::Broken(reason, error)) => log.broken(reason, &error),
        Err(StreamError::ClientLeft) => {}
    }
    None
}

/// The error for a head that opens no stream.
fn refusal(head: &ResponseHead) -> Error {
    if head.status == 200 { Error::Framing } else { Error::Status }
}

/// How long the body of an error, or an empty one, may take. The engine writes it at once.
const ERROR_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads the body of an error, or an empty one. `None` if it is long, late, malformed, or does not come to its end.
async fn short_body(engine: &Socket, framing: BodyFraming, arrived: Vec<u8>) -> Option<Vec<u8>> {
    tokio::time::timeout(ERROR_TIMEOUT, whole_body(engine, framing, arrived)).await.ok().flatten()
}

/// As [`short_body`], however late it is.
async fn whole_body(engine: &Socket, framing: BodyFraming, mut arrived: Vec<u8>) -> Option<Vec<u8>> {
    let mut decoder = match framing {
        BodyFraming::Length(length) => Some(BodyDecoder::of_length(length)),
        BodyFraming::Chunked => Some(BodyDecoder::chunked()),
        BodyFraming::Close => None,
    };
    let mut body = Vec::new();
    loop {
        match &mut decoder {
            Some(decoder) => {
                let mut bytes = arrived.as_slice();
                while let Some(data) = decoder.data(&mut bytes).ok()? {
                    body.extend_from_slice(data);
                }
            }
            None => body.extend_from_slice(&arrived),
        }
        if body.len() > ERROR_LIMIT {
            return None;
        }
        if decoder.as_ref().is_some_and(BodyDecoder::has_ended) {
            return Some(body);
        }
        arrived.clear();
        if engine.read_up_to(ERROR_LIMIT, |bytes| arrived.extend_from_slice(bytes)).await.ok()? == 0 {
            return decoder.is_none().then_some(body);
        }
    }
}

/// The error for a body whose first bytes are malformed.
const BAD_CHUNK: UpstreamError = UpstreamError::Malformed(ResponseError::Chunk);

/// The request as it is sent to the engine.
fn request_bytes(parts: &StreamParts<'_>, upgrade: Option<Upgrade>) -> Vec<u8> {
    let StreamParts { operation, target, headers, id, body } = parts;
    let mut request = Vec::with_capacity(512 + body.len());
    let mut line = |parts: &[&[u8]]| {
        for part in parts {
            request.extend_from_slice(part);
        }
        request.extend_from_slice(b"\r\n");
    };
    line(&[operation.method.as_str().as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1"]);
    line(&[b"Host: docker"]);
    let mut fields = headers::of_request(headers, operation);
    fields.insert(REQUEST_ID, id.value());
    if !body.is_empty() {
        headers::describe_body(operation.body, &mut fields);
    }
    for (name, value) in &fields {
        line(&[name.as_str().as_bytes(), b": ", value.as_bytes()]);
    }
    if operation.response == ResponseKind::Stream(StreamKind::Events)
        && let Some(accept) = headers.get(ACCEPT).filter(|accept| headers::is_event_type(accept.as_bytes()))
    {
        line(&[b"Accept: ", accept.as_bytes()]);
    }
    if !body.is_empty() {
        line(&[b"Content-Length: ", body.len().to_string().as_bytes()]);
    } else if operation.method == Method::Post {
        line(&[b"Content-Length: 0"]);
    }
    if let Some(protocol) = upgrade {
        line(&[b"Connection: Upgrade\r\nUpgrade: ", protocol.as_str().as_bytes()]);
    } else if operation.response.upgrade().is_none() {
        line(&[b"Connection: close"]);
    }
    line(&[]);
    request.extend_from_slice(body);
    request
}

/// The head for the client.
fn head_down(head: &ResponseHead, opened: &Opened, id: &RequestId) -> OutgoingBuffer {
    let content_type = match opened {
        Opened::Records(rewriter) => rewriter.content_type(),
        Opened::Tunnel(..) | Opened::Relay(_) | Opened::Empty => head.headers.text(CONTENT_TYPE.as_str()),
    };
    let framing = match (opened, head.framing) {
        (Opened::Tunnel(_, framing), _) => *framing,
        (Opened::Relay(_), BodyFraming::Chunked) | (Opened::Records(_), _) => StreamFraming::Chunked,
        (Opened::Relay(_), BodyFraming::Length(length)) => StreamFraming::Length(length),
        (Opened::Relay(_), BodyFraming::Close) => StreamFraming::UntilClose,
        (Opened::Empty, _) => StreamFraming::Length(0),
    };
    OutgoingBuffer::stream_head(head, content_type, framing, id)
}
