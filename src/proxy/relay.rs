//! A stream, carried on the two sockets themselves.
//!
//! Logs, progress and hijacked connections pass byte for byte, chunk framing included, and what arrives in one read
//! leaves in one write; so do events and stats, where they are not filtered (see [`super::records`]). The client's socket
//! is taken from the HTTP reader, the daemon's was never with one, and neither is used for a second request: whatever a
//! client sends behind a stream's request cannot reach the daemon as a request of its own.
//!
//! A connection becomes a tunnel in both directions only when the *answer* proves that the daemon has handed over its
//! side: 101 to a request that asked for it, or 200 with a stream's content type and no length. Bytes the client sends
//! before that are held, since the daemon would lose them.

use std::fmt;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use tokio::io::Interest;

use super::body::error_document;
use super::records::{Filtering, Rewriter};
use super::trace::Trace;
use super::{Error, headers, respond};
use crate::api::{ApiVersion, Operation, Response as Returned, Stream};
use crate::socket::Socket;
use crate::upstream::raw::{self, Framing, Head};
use crate::upstream::{Engine, UpstreamError};

/// How many bytes of a client are held before its stream is open.
const EARLY_LIMIT: usize = 64 * 1024;
/// How long a client may go on sending once the daemon has ended its direction.
const LINGER: Duration = Duration::from_secs(60);

/// The media types of events that differ in framing only; a client's choice among them is passed on.
pub(super) const EVENT_TYPES: [&str; 4] =
    ["application/json", "application/jsonl", "application/x-ndjson", "application/json-seq"];

/// What opens a stream.
#[derive(Debug)]
pub(super) struct Opening<'r> {
    /// The operation.
    pub(super) operation: &'static Operation,
    /// The canonical target.
    pub(super) target: &'r str,
    /// The header fields that go up.
    pub(super) fields: &'r HeaderMap,
    /// What the client accepts.
    pub(super) accept: Option<&'r HeaderValue>,
    /// Whether the client asks for its connection to be upgraded.
    pub(super) upgrade: bool,
}

/// A stream that is to be opened, and needs the client's socket for it.
pub struct Takeover {
    engine: Arc<Engine>,
    operation: &'static Operation,
    upgrade: bool,
    request: Vec<u8>,
    filtering: Option<Filtering>,
    trace: Option<Trace>,
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Takeover").field("operation", &self.operation.id).finish_non_exhaustive()
    }
}

/// What an answer turned out to be.
enum Opened {
    /// A tunnel in both directions.
    Tunnel,
    /// A body that goes down, framed as it came.
    Stream,
    /// A body whose records are filtered.
    Records(Box<Rewriter>),
    /// Nothing but the head.
    Empty,
}

impl Takeover {
    pub(super) fn new(engine: Arc<Engine>, opening: &Opening<'_>, body: &[u8]) -> Self {
        let Opening { operation, target, fields, accept, upgrade } = opening;
        let hijack = operation.response == Returned::Hijack;
        let mut request = Vec::with_capacity(512 + body.len());
        let mut line = |parts: &[&[u8]]| {
            for part in parts {
                request.extend_from_slice(part);
            }
            request.extend_from_slice(b"\r\n");
        };
        line(&[operation.method.as_str().as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1"]);
        line(&[b"Host: docker"]);
        for (name, value) in fields.iter() {
            line(&[name.as_str().as_bytes(), b": ", value.as_bytes()]);
        }
        if operation.response == Returned::Stream(Stream::Events)
            && let Some(accept) = accept.filter(|accept| EVENT_TYPES.iter().any(|known| *known == **accept))
        {
            line(&[b"Accept: ", accept.as_bytes()]);
        }
        if !body.is_empty() {
            line(&[b"Content-Length: ", body.len().to_string().as_bytes()]);
        } else if operation.method.as_str() == "POST" {
            line(&[b"Content-Length: 0"]);
        }
        if hijack && *upgrade {
            line(&[b"Connection: Upgrade\r\nUpgrade: tcp"]);
        } else if !hijack {
            line(&[b"Connection: close"]);
        }
        line(&[]);
        request.extend_from_slice(body);
        Self { engine, operation, upgrade: hijack && *upgrade, request, filtering: None, trace: None }
    }

    /// The same stream, its records filtered.
    pub(super) fn filtered(&mut self, filtering: Filtering) {
        self.filtering = Some(filtering);
    }

    pub(super) fn trace(&mut self, trace: Trace) {
        self.trace = Some(trace);
    }

    /// Opens the stream and carries it to its end. `early` is what the client has already sent behind its request.
    ///
    /// Cancel safety: dropped, both connections are closed, which the client sees as a cut.
    pub async fn run(self, client: Socket, early: Vec<u8>) {
        let mut trace = self.trace;
        let mut client = Client { socket: client, early };
        let Self { engine, operation, upgrade, filtering, .. } = self;
        let stream = Carrier { engine, operation, upgrade, filtering };
        let result = stream.carry(self.request, &mut client, &mut trace).await;
        let Err(failure) = result else {
            if let Some(trace) = &mut trace {
                trace.done();
            }
            return;
        };
        if let Some(trace) = &mut trace {
            match &failure {
                Failure::Refused(error) => trace.status(respond::public(error).0),
                Failure::Broken(error) => trace.broke(error),
                Failure::ClientLeft => {}
            }
        }
        if let Failure::Refused(error) = failure {
            if error.is_ours_or_the_engines() {
                tracing::warn!(%error, "stream not opened");
            }
            let _ = client.socket.write_all(&error_response(&error, stream.engine.version())).await;
            close(client.socket).await;
            if let Some(trace) = &mut trace {
                trace.done();
            }
        }
    }
}

/// Why a stream did not come to its end.
pub(super) enum Failure {
    /// It was not opened; nothing has been said to the client yet.
    Refused(Error),
    /// It broke off on the daemon's side.
    Broken(io::Error),
    /// The client went away.
    ClientLeft,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        Self::Refused(Error::Upstream(error))
    }
}

/// The client's socket, and what it sent before its stream was open.
struct Client {
    socket: Socket,
    early: Vec<u8>,
}

impl Client {
    /// Waits for the client to leave. What it sends meanwhile is held, up to a limit.
    ///
    /// Cancel safety: what has been read is held.
    async fn leave(&mut self) {
        loop {
            if self.early.len() >= EARLY_LIMIT {
                return pending().await;
            }
            let early = &mut self.early;
            match self.socket.read_some(|bytes| early.extend_from_slice(bytes)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }
}

struct Carrier {
    engine: Arc<Engine>,
    operation: &'static Operation,
    upgrade: bool,
    filtering: Option<Filtering>,
}

impl Carrier {
    async fn carry(&self, request: Vec<u8>, client: &mut Client, trace: &mut Option<Trace>) -> Result<(), Failure> {
        let daemon = self.engine.open().await?;
        daemon.write_all(&request).await.map_err(|error| UpstreamError::Broken(error.to_string()))?;
        drop(request);
        let mut behind = Vec::new();
        let head = self.answer(&daemon, &mut behind, client).await?;
        let opened = self.opened(&head)?;
        if let Some(trace) = trace {
            trace.status(head.status);
        }
        let mut down = self.head_down(&head, &opened);
        match opened {
            Opened::Empty => {
                write(&client.socket, &down).await?;
                close_client(client).await;
                Ok(())
            }
            Opened::Stream => {
                down.append(&mut behind);
                write(&client.socket, &down).await?;
                drop((head, down, behind));
                stream(&daemon, &client.socket, trace).await
            }
            Opened::Records(rewriter) => {
                write(&client.socket, &down).await?;
                drop((head, down));
                rewriter.carry(&daemon, &client.socket, behind, trace).await
            }
            Opened::Tunnel => {
                down.append(&mut behind);
                write(&client.socket, &down).await?;
                drop((head, down, behind));
                tunnel(&daemon, client, trace).await
            }
        }
    }

    /// Waits for the head of the answer, and for the client to leave: whichever is first.
    async fn answer(&self, daemon: &Socket, behind: &mut Vec<u8>, client: &mut Client) -> Result<Head, Failure> {
        // An old API version is silent until the container it waits for ends.
        let patience = match self.operation.response {
            Returned::Stream(Stream::Wait) => None,
            Returned::Document(_)
            | Returned::Array(_)
            | Returned::Ping
            | Returned::Text
            | Returned::Empty
            | Returned::Stream(Stream::Logs | Stream::Events | Stream::Stats | Stream::Progress)
            | Returned::Hijack
            | Returned::WebSocket
            | Returned::Tar
            | Returned::Octets => Some(self.engine.response_timeout()),
        };
        let late = async {
            match patience {
                Some(patience) => tokio::time::sleep(patience).await,
                None => pending().await,
            }
        };
        // A client that ends its direction still reads; in a hijack that is its right.
        let hijack = self.operation.response == Returned::Hijack;
        let left = async {
            client.leave().await;
            if hijack {
                pending::<()>().await;
            }
        };
        tokio::select! {
            head = raw::read_head(daemon, behind) => Ok(head?),
            () = late => Err(UpstreamError::Timeout.into()),
            () = left => Err(Failure::ClientLeft),
        }
    }

    /// What the head of the answer proves.
    fn opened(&self, head: &Head) -> Result<Opened, Error> {
        let hijack = self.operation.response == Returned::Hijack;
        match (head.status, head.framing) {
            (101, Framing::Close) if self.upgrade => Ok(Opened::Tunnel),
            (200, Framing::Close) if hijack && is_stream_type(head) => Ok(Opened::Tunnel),
            (200, Framing::Length(0)) if hijack => Ok(Opened::Empty),
            (200, _) if !hijack => match &self.filtering {
                Some(filtering) => Ok(Opened::Records(Box::new(Rewriter::new(head, filtering)?))),
                None => Ok(Opened::Stream),
            },
            (400..600, _) => Err(Error::Engine { status: head.status, operation: self.operation }),
            _ => Err(Error::Framing),
        }
    }

    /// The head that goes down: the daemon's status, framing and named fields, nothing else.
    fn head_down(&self, head: &Head, opened: &Opened) -> Vec<u8> {
        if let Opened::Records(rewriter) = opened {
            return rewriter.head_down(head);
        }
        let mut down = Vec::with_capacity(512);
        let mut line = |text: &str| {
            down.extend_from_slice(text.as_bytes());
            down.extend_from_slice(b"\r\n");
        };
        line(if head.status == 101 { "HTTP/1.1 101 UPGRADED" } else { "HTTP/1.1 200 OK" });
        for (name, value) in &head.fields {
            if headers::passes_down(name) || name.eq_ignore_ascii_case("content-type") {
                line(&format!("{name}: {value}"));
            }
        }
        match (opened, head.framing) {
            (Opened::Tunnel, _) if head.status == 101 => line("Connection: Upgrade\r\nUpgrade: tcp"),
            (Opened::Tunnel, _) => {}
            (Opened::Stream, Framing::Chunked) => line("Transfer-Encoding: chunked\r\nConnection: close"),
            (Opened::Stream, Framing::Length(length)) => {
                line(&format!("Content-Length: {length}\r\nConnection: close"))
            }
            (Opened::Stream, Framing::Close) => line("Connection: close"),
            (Opened::Empty | Opened::Records(_), _) => line("Content-Length: 0\r\nConnection: close"),
        }
        line("");
        down
    }
}

/// Whether the content type is one of those that an attached stream has.
fn is_stream_type(head: &Head) -> bool {
    let name = head.field("content-type").unwrap_or_default();
    matches!(name, "application/vnd.docker.raw-stream" | "application/vnd.docker.multiplexed-stream")
}

/// A body that goes down until the daemon ends it. The client leaving ends it at once.
async fn stream(daemon: &Socket, client: &Socket, trace: &mut Option<Trace>) -> Result<(), Failure> {
    let down = async {
        loop {
            match copy(daemon, client).await {
                Ok(0) => return Ok(()),
                Ok(count) => sent(trace, count),
                Err(Copy::Read(error)) => return Err(Failure::Broken(error)),
                Err(Copy::Write) => return Err(Failure::ClientLeft),
            }
        }
    };
    // What a client sends behind the request of a stream is not read as a request: the head said that we close.
    let left = async {
        loop {
            match client.read_some(|_| {}).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(Failure::ClientLeft),
            }
        }
    };
    let ended = tokio::select! {
        ended = down => ended,
        ended = left => ended,
    };
    if ended.is_ok() {
        let _ = client.finish();
    }
    ended
}

/// Bytes in both directions, each ended on its own.
async fn tunnel(daemon: &Socket, client: &mut Client, trace: &mut Option<Trace>) -> Result<(), Failure> {
    let early = std::mem::take(&mut client.early);
    let client = &client.socket;
    if daemon.write_all(&early).await.is_err() {
        // The daemon reads no more; what it still writes goes down.
        tracing::debug!("early bytes not taken");
    }
    drop(early);
    let up = async {
        loop {
            match copy(client, daemon).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(Copy::Read(_)) => return Err(Failure::ClientLeft),
                // The daemon reads no more; its own end comes down.
                Err(Copy::Write) => return pending().await,
            }
        }
        let _ = daemon.finish();
        Ok(())
    };
    let down = async {
        loop {
            match copy(daemon, client).await {
                Ok(0) => break,
                Ok(count) => sent(trace, count),
                Err(Copy::Read(error)) => return Err(Failure::Broken(error)),
                Err(Copy::Write) => return Err(Failure::ClientLeft),
            }
        }
        let _ = client.finish();
        Ok(())
    };
    // A client that is gone altogether, and not just done sending, is told by the system where it can tell.
    let gone = async {
        while let Ok(ready) = client.ready(Interest::ERROR).await {
            if ready.is_error() || ready.is_write_closed() {
                break;
            }
        }
        Err(Failure::ClientLeft)
    };
    tokio::pin!(up, down, gone);
    let (mut up_ended, mut down_ended) = (false, false);
    loop {
        tokio::select! {
            ended = &mut up, if !up_ended => { ended?; up_ended = true; }
            ended = &mut down, if !down_ended => { ended?; down_ended = true; }
            ended = &mut gone => return ended,
            // The daemon has ended, and closed its side for good: nobody reads what the client still sends.
            () = closed(daemon), if down_ended => return Ok(()),
            // The client has not only ended its direction but closed both.
            () = closed(client), if up_ended => return Err(Failure::ClientLeft),
            () = tokio::time::sleep(LINGER), if down_ended => return Ok(()),
        }
        if up_ended && down_ended {
            return Ok(());
        }
    }
}

/// Waits until the other side has closed both directions.
async fn closed(socket: &Socket) {
    while let Ok(ready) = socket.ready(Interest::WRITABLE).await {
        if ready.is_write_closed() {
            return;
        }
        // It is merely writable: there is no event to wait for but the next look.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Which side of a copy failed.
enum Copy {
    Read(io::Error),
    Write,
}

/// Copies what is there from one socket to the other; answers how many bytes that were, zero at the end.
///
/// Cancel safety: dropped while the receiver is slow, bytes are lost.
async fn copy(from: &Socket, to: &Socket) -> Result<usize, Copy> {
    // What the receiver does not take at once is kept for it; a receiver that keeps up costs no buffer.
    let mut kept = Vec::new();
    let mut broken = false;
    let read = from.read_some(|bytes| match to.try_write(bytes) {
        Ok(written) => kept.extend_from_slice(bytes.get(written..).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => kept.extend_from_slice(bytes),
        Err(_) => broken = true,
    });
    let read = read.await.map_err(Copy::Read)?;
    if broken || to.write_all(&kept).await.is_err() {
        return Err(Copy::Write);
    }
    Ok(read)
}

async fn write(client: &Socket, bytes: &[u8]) -> Result<(), Failure> {
    client.write_all(bytes).await.map_err(|_| Failure::ClientLeft)
}

fn sent(trace: &mut Option<Trace>, count: usize) {
    if let Some(trace) = trace {
        trace.sent(count);
    }
}

/// An error as a whole response, for a connection that has left the HTTP reader.
pub fn error_response(error: &Error, engine: Option<ApiVersion>) -> Vec<u8> {
    let (status, message) = respond::public(error);
    own_response(status, message, engine)
}

/// A response of our own as bytes. The connection ends behind it.
pub fn own_response(status: u16, message: &'static str, engine: Option<ApiVersion>) -> Vec<u8> {
    let reason = hyper::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let body = error_document(message);
    let version = engine.map(|version| format!("Api-Version: {version}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status} {}\r\n{version}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        reason.unwrap_or("Error"),
        body.len(),
    );
    [head.as_bytes(), &body].concat()
}

async fn close_client(client: &mut Client) {
    let _ = client.socket.finish();
    let _ = tokio::time::timeout(Duration::from_secs(1), client.socket.read_some(|_| {})).await;
}

/// Ends a connection so that the client can read what was written last: its own bytes are read first, for a second.
pub async fn close(socket: Socket) {
    let _ = socket.finish();
    let drain = async { while matches!(socket.read_some(|_| {}).await, Ok(1..)) {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), drain).await;
}
