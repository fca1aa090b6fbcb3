//! A stream that is filtered record by record: events and stats.
//!
//! The engine's framing is removed. Each record is filtered as soon as it is complete, and leaves as a chunk of its own. An
//! engine first waits for a slow reader and then drops events. So we read from the engine even if the client is slow, and
//! keep what the client has not taken, up to a limit. Any error ends the stream without its last chunk, so no client takes
//! it for the end.

use std::fmt;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::access_log::AccessLog;
use super::body::OutgoingBuffer;
use super::downstream::Downstream;
use super::memory::{MemoryBudget, MemoryError, MemoryLease, UNLEASED_READ};
use super::seen::StreamFilter;
use super::stream_request::StreamError;
use super::{Error, headers, work};
use crate::filter::{FilterError, Report};
use crate::socket::Socket;
use crate::stream::chunks::{BadChunk, BodyDecoder};
use crate::stream::records::{Marks, RecordError, RecordSplitter};
use crate::upstream::raw::{BodyFraming, ResponseHead};

/// How many bytes may wait for the client: some thousand events.
const BACKLOG_LIMIT: usize = 1024 * 1024;
/// How long the backlog of a client may stay over the limit. Meanwhile we do not read from the engine, which waits as long
/// for any reader.
const BACKLOG_TIMEOUT: Duration = Duration::from_millis(100);

/// After how many bytes of the engine the other connections of the worker have a turn.
const TURN: usize = 128 * 1024;

/// How records are filtered.
#[derive(Clone, Debug)]
pub(super) struct RecordFiltering {
    /// The filter of each record.
    pub(super) filter: StreamFilter,
    /// The longest record, in bytes.
    pub(super) limit: usize,
    /// The memory for long records and slow clients.
    pub(super) memory: Arc<MemoryBudget>,
}

/// Rewrites a body record by record.
pub(super) struct RecordRewriter {
    content_type: Option<&'static str>,
    body: BodyDecoder,
    records: RecordSplitter,
    marks: Marks,
    filter: StreamFilter,
    report: Report,
    /// Records that arrived together and are long work.
    long: Vec<Vec<u8>>,
    budget: Arc<MemoryBudget>,
}

/// Why a body could not be rewritten to its end. Names no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RewriteError {
    Chunk,
    Record(RecordError<FilterError>),
    Cut,
    SlowClient,
    Memory(MemoryError),
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk => f.write_str("withheld: malformed chunk framing"),
            Self::Record(error) => write!(f, "withheld: {error}"),
            Self::Cut => f.write_str("the engine cut the stream short"),
            Self::SlowClient => f.write_str("the client is too slow"),
            Self::Memory(error) => write!(f, "withheld: {error}"),
        }
    }
}

impl RewriteError {
    /// The reason in the log and in metrics, in one word.
    fn reason(self) -> &'static str {
        match self {
            Self::Chunk => "framing",
            Self::Record(_) => "unfilterable",
            Self::Cut => "engine-broken",
            Self::SlowClient => "client-slow",
            Self::Memory(MemoryError::Busy) => "memory-busy",
            Self::Memory(MemoryError::TooLarge { .. }) => "memory-limit",
        }
    }
}

impl From<BadChunk> for RewriteError {
    fn from(_: BadChunk) -> Self {
        Self::Chunk
    }
}

impl From<RecordError<FilterError>> for RewriteError {
    fn from(error: RecordError<FilterError>) -> Self {
        Self::Record(error)
    }
}

impl From<RewriteError> for StreamError {
    fn from(error: RewriteError) -> Self {
        Self::Broken(error.reason(), io::Error::other(error.to_string()))
    }
}

/// Whether more of a body is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyProgress {
    Open,
    Ended,
}

impl RecordRewriter {
    /// Rewrites the answer with this head, which must be a sequence of JSON objects.
    ///
    /// # Errors
    /// [`Error::NotJson`] if its media type or encoding is another, [`Error::Framing`] if it does not mark the end of the body.
    pub(super) fn new(head: &ResponseHead, filtering: &RecordFiltering) -> Result<Self, Error> {
        let body = match head.framing {
            BodyFraming::Chunked => BodyDecoder::chunked(),
            BodyFraming::Length(length) => BodyDecoder::of_length(length),
            BodyFraming::Close => return Err(Error::Framing),
        };
        let content_type = headers::record_type(head).map_err(|()| Error::NotJson)?;
        let marks = if content_type == Some("application/json-seq") { Marks::Required } else { Marks::Forbidden };
        Ok(Self {
            content_type,
            body,
            records: RecordSplitter::new(marks, filtering.limit),
            marks,
            filter: filtering.filter.clone(),
            report: Report::default(),
            long: Vec::new(),
            budget: filtering.memory.clone(),
        })
    }

    /// The media type of the rewritten body, if it has one.
    pub(super) fn content_type(&self) -> Option<&'static str> {
        self.content_type
    }

    /// Takes what has arrived and adds the resulting chunks to `out`, except those of [`Self::long`].
    fn push(&mut self, mut bytes: &[u8], out: &mut OutgoingBuffer) -> Result<BodyProgress, RewriteError> {
        let Self { body, records, marks, filter, report, long, .. } = self;
        let mut filtered = 0;
        while let Some(data) = body.data(&mut bytes)? {
            records.push(data, |record| {
                filtered += record.len();
                if long.is_empty() && !work::is_long(filtered, filter.expressions()) {
                    return out.push_record(record, *marks, filter, report);
                }
                long.push(std::mem::take(record));
                Ok(())
            })?;
        }
        if !body.has_ended() {
            return Ok(BodyProgress::Open);
        }
        // The body must not end inside a record.
        std::mem::replace(records, RecordSplitter::new(*marks, 0)).finish::<FilterError>()?;
        Ok(BodyProgress::Ended)
    }

    /// Filters the long records on a helper thread and adds the resulting chunks to `out`.
    async fn push_long(
        &mut self,
        client: &Downstream,
        name: &str,
        out: &mut OutgoingBuffer,
    ) -> Result<(), StreamError> {
        let (long, mut filter, marks) = (std::mem::take(&mut self.long), self.filter.clone(), self.marks);
        let filtered = work::on_helper(name, move || {
            let (mut out, mut report) = (OutgoingBuffer::default(), Report::default());
            let result =
                long.into_iter().try_for_each(|record| out.push_record(&record, marks, &mut filter, &mut report));
            (out, report, filter, result)
        });
        let (filtered, report, filter, result) = tokio::select! {
            filtered = filtered => filtered,
            () = client.discard_input() => return Err(StreamError::ClientLeft),
        };
        out.append(filtered);
        self.filter = filter;
        self.report.add(&report);
        Ok(result.map_err(|error| RewriteError::Record(RecordError::Record(error)))?)
    }

    /// Carries the body to its end. `start` has arrived with the head. If the client leaves, it ends at once.
    ///
    /// Cancel safety: when dropped, the stream has a cut and no end.
    pub(super) async fn run(
        mut self: Box<Self>,
        engine: &Socket,
        client: &Downstream,
        start: Vec<u8>,
        log: &mut AccessLog,
    ) -> Result<(), StreamError> {
        let result = self.copy(engine, client, start, log).await;
        log.hidden(&self.report);
        if result.is_ok() {
            client.finish();
        }
        result
    }

    /// The memory to lease before more is read, in bytes: none while little is held. A record that has begun is held, and what
    /// the filter leaves of it is added to the backlog.
    fn memory_needed(&self, backlog: &OutgoingBuffer, memory: &MemoryLease) -> usize {
        let held = self.records.held() + self.long.iter().map(Vec::len).sum::<usize>();
        if held + backlog.len() <= SMALL {
            return 0;
        }
        let length = held + SMALL + backlog.len();
        memory.enough(length, self.filter.memory(held + SMALL) + backlog.len())
    }

    async fn copy(
        &mut self,
        engine: &Socket,
        client: &Downstream,
        start: Vec<u8>,
        log: &mut AccessLog,
    ) -> Result<(), StreamError> {
        let mut backlog = OutgoingBuffer::default();
        let mut progress = self.push(&start, &mut backlog).map_err(StreamError::from);
        drop(start);
        let (mut has_ended, mut taken, mut deadline) = (false, 0, None);
        let mut memory = self.budget.lease();
        let name = log.client();
        loop {
            log.sent(client.flush(&mut backlog).map_err(|_| StreamError::ClientLeft)?);
            if !self.long.is_empty() {
                // An error in what came after them comes second.
                let pushed = Box::pin(self.push_long(client, &name, &mut backlog)).await;
                progress = pushed.and(progress);
                continue;
            }
            if matches!(progress, Ok(BodyProgress::Ended)) && !has_ended {
                has_ended = true;
                backlog.push_last_chunk();
                continue;
            }
            // What was complete before an error still leaves.
            if backlog.is_empty() && !matches!(progress, Ok(BodyProgress::Open)) {
                progress?;
                return Ok(());
            }
            // An engine that sends all the time must not keep other connections from their turn.
            if taken > TURN {
                taken = 0;
                tokio::task::yield_now().await;
            }
            let is_open = matches!(progress, Ok(BodyProgress::Open));
            deadline = backlog_deadline(&backlog, deadline).filter(|_| is_open);
            let needed = self.memory_needed(&backlog, &memory);
            let held = self.records.held() + backlog.len();
            let has_memory = memory.pause(needed);
            // What is waited for only now and then is in boxes, so that a silent stream has no room for it.
            let late = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
            let grow = (is_open && !has_memory).then(|| Box::pin(memory.grow(held, needed)));
            tokio::select! {
                grown = if_any(grow) => grown.map_err(RewriteError::Memory)?,
                read = engine.read_up_to(
                    UNLEASED_READ,
                    |bytes| progress = self.push(bytes, &mut backlog).map_err(StreamError::from),
                ),
                    if is_open && deadline.is_none() && has_memory => match read {
                        Ok(count @ 1..) => taken += count,
                        Ok(0) => progress = Err(RewriteError::Cut.into()),
                        Err(error) => progress = Err(StreamError::Broken("engine-broken", error)),
                    },
                ready = client.writable(), if !backlog.is_empty() => ready.map_err(|_| StreamError::ClientLeft)?,
                () = client.discard_input() => return Err(StreamError::ClientLeft),
                () = if_any(late) => return Err(RewriteError::SlowClient.into()),
            }
        }
    }
}

/// How much a stream holds without a lease, in bytes.
const SMALL: usize = 64 * 1024;

/// Until when the backlog may stay over the limit; `None` if it is below.
fn backlog_deadline(backlog: &OutgoingBuffer, since: Option<Instant>) -> Option<Instant> {
    if backlog.len() <= BACKLOG_LIMIT {
        return None;
    }
    since.or_else(|| Some(Instant::now() + BACKLOG_TIMEOUT))
}

/// Waits for a future, for ever if there is none.
async fn if_any<T>(future: Option<impl Future<Output = T>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}
