//! A stream whose records are filtered as they pass.
//!
//! The two sockets are those of [`super::relay`]. What the daemon frames is undone, each record goes through its filter
//! and leaves as a chunk of its own as soon as it is whole. An engine drops events for a reader that is slow, and waits
//! for it before it does; so the daemon is read whether or not the client keeps up, and what the client has not taken
//! waits here, up to a limit. Whatever goes wrong ends the stream without its last chunk, which no reader takes for an
//! end.

use std::fmt;
use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::io::Interest;
use tokio::time::Instant;

use super::relay::{EVENT_TYPES, Failure};
use super::trace::Trace;
use super::{Error, headers};
use crate::filter::{FilterError, RecordFilter, Report};
use crate::socket::Socket;
use crate::stream::chunks::{BadChunk, BodyDecoder};
use crate::stream::records::{MARK, Marks, RecordError, RecordSplitter};
use crate::upstream::raw::{Framing, Head};

/// How many bytes may wait for the client: some thousand events.
const BACKLOG: usize = 1024 * 1024;
/// How long the daemon waits for a client that is so far behind; as long as it would wait by itself.
const GRACE: Duration = Duration::from_millis(100);

/// What each record goes through.
#[derive(Clone, Debug)]
pub(super) struct Filtering {
    /// What becomes of it.
    pub(super) filter: RecordFilter,
    /// How long it may be, in bytes.
    pub(super) limit: usize,
}

/// A body that is rewritten record by record.
pub(super) struct Rewriter {
    kind: Option<&'static str>,
    body: BodyDecoder,
    records: RecordSplitter,
    marks: Marks,
    filter: RecordFilter,
    report: Report,
    /// One record, while it is rewritten.
    record: Vec<u8>,
}

/// Why a body could not be rewritten to its end. Names no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unreadable {
    Chunk,
    Record(RecordError<FilterError>),
    Cut,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk => f.write_str("withheld: the stream is not plainly chunked"),
            Self::Record(error) => write!(f, "withheld: {error}"),
            Self::Cut => f.write_str("the daemon cut the stream short"),
        }
    }
}

impl From<BadChunk> for Unreadable {
    fn from(_: BadChunk) -> Self {
        Self::Chunk
    }
}

impl From<RecordError<FilterError>> for Unreadable {
    fn from(error: RecordError<FilterError>) -> Self {
        Self::Record(error)
    }
}

impl Rewriter {
    /// For the answer with this head. Statistics name no type; what does must be a run of JSON objects.
    ///
    /// # Errors
    /// [`Error::NotJson`] if it is something else, [`Error::Framing`] if its end cannot be told from a cut.
    pub(super) fn new(head: &Head, Filtering { filter, limit }: &Filtering) -> Result<Self, Error> {
        let body = match head.framing {
            Framing::Chunked => BodyDecoder::chunked(),
            Framing::Length(length) => BodyDecoder::of_length(length),
            Framing::Close => return Err(Error::Framing),
        };
        if head.field("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(Error::NotJson);
        }
        let kind = match head.field("content-type") {
            None => None,
            Some(value) => {
                let name = value.split(';').next().unwrap_or_default().trim();
                Some(*EVENT_TYPES.iter().find(|known| **known == name).ok_or(Error::NotJson)?)
            }
        };
        let marks = if kind == Some("application/json-seq") { Marks::Required } else { Marks::Forbidden };
        Ok(Self {
            kind,
            body,
            records: RecordSplitter::new(marks, *limit),
            marks,
            filter: filter.clone(),
            report: Report::default(),
            record: Vec::new(),
        })
    }

    /// The head that goes down: our own framing, named fields of the daemon's.
    pub(super) fn head_down(&self, head: &Head) -> Vec<u8> {
        let mut down = b"HTTP/1.1 200 OK\r\n".to_vec();
        let mut line = |name: &str, value: &str| {
            for part in [name, ": ", value, "\r\n"] {
                down.extend_from_slice(part.as_bytes());
            }
        };
        for (name, value) in head.fields.iter().filter(|(name, _)| headers::passes_down(name)) {
            line(name, value);
        }
        if let Some(kind) = self.kind {
            line("Content-Type", kind);
        }
        line("Transfer-Encoding", "chunked");
        line("Connection", "close");
        down.extend_from_slice(b"\r\n");
        down
    }

    /// Takes what has arrived and appends the chunks that it makes; answers whether the body has ended.
    fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, Unreadable> {
        let Self { body, records, marks, filter, report, record, .. } = self;
        while let Some(data) = body.data(&mut bytes)? {
            records.push(data, |found| {
                record.clear();
                if *marks == Marks::Required {
                    record.push(MARK);
                }
                if filter.apply(found, record, report)? {
                    record.push(b'\n');
                    out.extend_from_slice(format!("{:x}\r\n", record.len()).as_bytes());
                    out.extend_from_slice(record);
                    out.extend_from_slice(b"\r\n");
                }
                Ok(())
            })?;
        }
        if !self.body.has_ended() {
            return Ok(false);
        }
        // The end of the body must not be inside a record.
        std::mem::replace(&mut self.records, RecordSplitter::new(Marks::Forbidden, 0)).finish::<FilterError>()?;
        out.extend_from_slice(b"0\r\n\r\n");
        Ok(true)
    }

    /// Carries the body to its end. `behind` is what came of it with the head. The client leaving ends it at once.
    ///
    /// Cancel safety: dropped, the stream has a cut and no end.
    pub(super) async fn carry(
        mut self,
        daemon: &Socket,
        client: &Socket,
        behind: Vec<u8>,
        trace: &mut Option<Trace>,
    ) -> Result<(), Failure> {
        let mut waiting = Waiting { bytes: Vec::new(), from: 0, full: None };
        let mut end = ended(self.push(&behind, &mut waiting.bytes));
        drop(behind);
        let result = loop {
            let sent = waiting.write(client);
            if let Some(trace) = trace {
                trace.sent(*sent.as_ref().unwrap_or(&0));
            }
            if sent.is_err() {
                break Err(Failure::ClientLeft);
            }
            if waiting.is_empty()
                && let Some(end) = end.take()
            {
                break end;
            }
            let full = if end.is_none() { waiting.full() } else { None };
            tokio::select! {
                read = daemon.read_some(|bytes| end = ended(self.push(bytes, &mut waiting.bytes))),
                    if end.is_none() && full.is_none() => match read {
                        Ok(1..) => {}
                        Ok(0) => end = Some(Err(broken(Unreadable::Cut))),
                        Err(error) => end = Some(Err(Failure::Broken(error))),
                    },
                ready = client.ready(Interest::WRITABLE), if !waiting.is_empty() => {
                    if ready.is_err() {
                        break Err(Failure::ClientLeft);
                    }
                }
                () = left(client) => break Err(Failure::ClientLeft),
                () = until(full) => break Err(Failure::Broken(io::Error::other("the client is too slow"))),
            }
        };
        if let Some(trace) = trace {
            trace.hid(&self.report);
        }
        if result.is_ok() {
            let _ = client.finish();
        }
        result
    }
}

/// The end that a push came to, if it did.
fn ended(pushed: Result<bool, Unreadable>) -> Option<Result<(), Failure>> {
    match pushed {
        Ok(false) => None,
        Ok(true) => Some(Ok(())),
        Err(error) => Some(Err(broken(error))),
    }
}

fn broken(error: Unreadable) -> Failure {
    Failure::Broken(io::Error::other(error.to_string()))
}

/// Waits for the client to leave. What it sends behind its request is not read as a request: the head said that we close.
async fn left(client: &Socket) {
    while matches!(client.read_some(|_| {}).await, Ok(1..)) {}
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}

/// What waits for the client to take it.
struct Waiting {
    bytes: Vec<u8>,
    from: usize,
    /// When it has been full for too long.
    full: Option<Instant>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.from == self.bytes.len()
    }

    /// Writes what the client takes now; answers how many bytes that were.
    fn write(&mut self, client: &Socket) -> io::Result<usize> {
        let mut sent = 0;
        while let Some(rest) = self.bytes.get(self.from..).filter(|rest| !rest.is_empty()) {
            match client.try_write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.from += written;
                    sent += written;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if self.is_empty() {
            // A silent stream holds no buffer.
            (self.bytes, self.from) = (Vec::new(), 0);
        } else if self.from > BACKLOG / 4 {
            self.bytes.drain(..self.from);
            self.from = 0;
        }
        Ok(sent)
    }

    /// Until when there may be as much as there is now, if that is too much.
    fn full(&mut self) -> Option<Instant> {
        if self.bytes.len() - self.from <= BACKLOG {
            self.full = None;
        } else if self.full.is_none() {
            self.full = Some(Instant::now() + GRACE);
        }
        self.full
    }
}
