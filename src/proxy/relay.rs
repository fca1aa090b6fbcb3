//! A stream that is relayed byte for byte, chunk framing included: logs, progress, and events and stats that are not
//! filtered.
//!
//! What arrives in one read leaves in one write, unless its chunk framing is malformed. Of a stream that is fast, long runs of data
//! are neither read nor written, but moved from one connection to the other. How much is taken at a time depends on the memory for what
//! is read ahead: it may be that the client takes nothing of it.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::access_log::AccessLog;
use super::body::{Outgoing, OutgoingBuffer, Unread};
use super::downstream::Downstream;
use super::memory::{ReadAhead, ReadAheadLease};
use super::stream_request::{StreamError, broken};
use crate::policy::RelayReason;
use crate::socket::{READ_SIZE, Socket};
use crate::stream::chunks::{BadChunk, BodyDecoder, shorter};
use crate::upstream::raw::BodyFraming;

/// From how many bytes on a run of data is moved. To move less costs as much as to copy it.
const LONG_RUN: usize = 64 * 1024;

/// The most that one move takes, in bytes: about what a socket has room for. What it has no room for must be copied after all.
const MOVE_SIZE: usize = 128 * 1024;

/// How much is read after runs that were moved, in bytes: the framing before the next run, and little of that.
const FRAMING_SIZE: usize = 1024;

/// How fast a stream was at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Little had arrived.
    Slow,
    /// As much had arrived as was read, or a long run.
    Fast,
    /// A long run was moved.
    Moving,
}

/// Where the body of a stream ends. Its chunk framing is checked as it passes.
#[derive(Debug)]
pub(super) struct StreamEnd(Option<BodyDecoder>);

impl StreamEnd {
    /// The end of a body with this framing.
    pub(super) fn of(framing: BodyFraming) -> Self {
        Self(match framing {
            BodyFraming::Length(length) => Some(BodyDecoder::of_length(length)),
            BodyFraming::Chunked => Some(BodyDecoder::chunked()),
            BodyFraming::Close => None,
        })
    }

    /// The bytes to the end of the connection.
    fn never() -> Self {
        Self(None)
    }

    /// Follows what has arrived; returns how many of these bytes belong to the body.
    ///
    /// # Errors
    /// [`BadChunk`]; the body must not be relayed any further.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        self.0.as_mut().map_or(Ok(bytes.len()), |body| body.follow(bytes))
    }

    /// How many bytes of data come next, which need not be looked at.
    fn unframed(&self) -> u64 {
        self.0.as_ref().map_or(u64::MAX, BodyDecoder::unframed)
    }

    /// Passes over `count` of these bytes.
    fn skip(&mut self, count: usize) {
        if let Some(body) = &mut self.0 {
            body.skip(count);
        }
    }

    /// Whether the body has ended.
    fn is_reached(&self) -> bool {
        self.0.as_ref().is_some_and(BodyDecoder::has_ended)
    }

    /// Whether the body may end here because the connection does.
    fn may_be_here(&self) -> bool {
        self.0.as_ref().is_none_or(BodyDecoder::has_ended)
    }
}

/// The two ends of a stream, and what it may read ahead.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamEnds<'s> {
    pub(super) engine: &'s Socket,
    pub(super) client: &'s Downstream,
    pub(super) read_ahead: &'s ReadAhead,
}

/// Relays a body until it ends. If the client leaves, the relay ends at once.
pub(super) async fn relay(
    ends: StreamEnds<'_>,
    mut end: StreamEnd,
    reason: RelayReason,
    log: &mut AccessLog,
) -> Result<(), StreamError> {
    let client = ends.client;
    tokio::select! {
        ended = copy_body(ends, &mut end, reason, log) => {
            ended?;
            client.finish();
            Ok(())
        }
        () = client.discard_input() => Err(StreamError::ClientLeft),
    }
}

/// Copies bytes from the engine to the client until the engine ends its direction.
///
/// Cancel safety: when dropped while the client is slow, bytes are lost.
pub(super) async fn copy_down(
    ends: StreamEnds<'_>,
    reason: RelayReason,
    log: &mut AccessLog,
) -> Result<(), StreamError> {
    copy_body(ends, &mut StreamEnd::never(), reason, log).await
}

/// As [`copy_down`], to the end of a body.
async fn copy_body(
    ends: StreamEnds<'_>,
    end: &mut StreamEnd,
    reason: RelayReason,
    log: &mut AccessLog,
) -> Result<(), StreamError> {
    let mut pace = Pace::Slow;
    while !end.is_reached() {
        // A client that keeps up costs no buffer.
        let Passed { count, unsent, mut lease } = poll_fn(|cx| poll_pass(cx, ends, end, &mut pace, reason)).await?;
        if let Some(lease) = &mut lease {
            lease.shrink(unsent.len());
        }
        ends.client.send(unsent.unsent()).await.map_err(|_| StreamError::ClientLeft)?;
        match count {
            0 if end.may_be_here() => return Ok(()),
            0 => return Err(broken("engine-broken", "the engine cut the stream short")),
            count => log.sent(count),
        }
    }
    Ok(())
}

/// What has been passed on at once.
struct Passed<'s> {
    /// How many bytes; zero at the end.
    count: usize,
    /// Those of them for which the client has no room.
    unsent: OutgoingBuffer,
    /// Their memory, if they may be many.
    lease: Option<ReadAheadLease<'s>>,
}

/// Waits for bytes and passes on what has arrived.
fn poll_pass<'s>(
    cx: &mut Context<'_>,
    StreamEnds { engine, client, read_ahead }: StreamEnds<'s>,
    end: &mut StreamEnd,
    pace: &mut Pace,
    reason: RelayReason,
) -> Poll<Result<Passed<'s>, StreamError>> {
    let engine_broken = |error| StreamError::Broken("engine-broken", error);
    let run = shorter(end.unframed(), MOVE_SIZE);
    if *pace != Pace::Slow
        && run >= LONG_RUN
        && let Some(lease) = read_ahead.lease(run)
    {
        let moved = ready!(client.poll_move(cx, Unread::relayed(engine, run, reason))).map_err(engine_broken)?;
        if let Some((count, unsent)) = moved {
            end.skip(count);
            *pace = if count < LONG_RUN { Pace::Slow } else { Pace::Moving };
            return Poll::Ready(Ok(Passed { count, unsent, lease: Some(lease) }));
        }
    }
    let wanted = if *pace == Pace::Moving { run + FRAMING_SIZE } else { READ_SIZE };
    let (limit, lease) = read_ahead.for_read(wanted);
    let read = engine.poll_read_some(cx, limit, |bytes| {
        *pace = if bytes.len() < LONG_RUN.min(limit) { Pace::Slow } else { Pace::Fast };
        let length = end.follow(bytes).map_err(|BadChunk| broken("framing", "withheld: malformed chunk framing"))?;
        let mut unsent = OutgoingBuffer::default();
        let outgoing = Outgoing::relayed(bytes.get(..length).unwrap_or_default(), reason);
        match client.try_send(outgoing) {
            Ok(sent) => unsent.push(outgoing.skip(sent)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => unsent.push(outgoing),
            Err(_) => return Err(StreamError::ClientLeft),
        }
        Ok((bytes.len(), unsent))
    });
    read.map(|read| {
        let (count, unsent) = read.map_err(engine_broken)??;
        Ok(Passed { count, unsent, lease })
    })
}
