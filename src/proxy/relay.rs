//! A stream that is relayed byte for byte, chunk framing included: logs, progress, and events and stats that are not
//! filtered.
//!
//! What arrives in one read leaves in one write, unless its chunk framing is malformed.

use std::io;

use super::access_log::AccessLog;
use super::body::{Outgoing, OutgoingBuffer};
use super::downstream::Downstream;
use super::stream_request::{StreamError, broken};
use crate::policy::RelayReason;
use crate::socket::Socket;
use crate::stream::chunks::{BadChunk, BodyDecoder};
use crate::upstream::raw::BodyFraming;

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

    /// Whether the body has ended.
    fn is_reached(&self) -> bool {
        self.0.as_ref().is_some_and(BodyDecoder::has_ended)
    }

    /// Whether the body may end here because the connection does.
    fn may_be_here(&self) -> bool {
        self.0.as_ref().is_none_or(BodyDecoder::has_ended)
    }
}

/// Relays a body until it ends. If the client leaves, the relay ends at once.
pub(super) async fn relay(
    engine: &Socket,
    client: &Downstream,
    mut end: StreamEnd,
    reason: RelayReason,
    log: &mut AccessLog,
) -> Result<(), StreamError> {
    tokio::select! {
        ended = copy_body(engine, client, &mut end, reason, log) => {
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
    engine: &Socket,
    client: &Downstream,
    reason: RelayReason,
    log: &mut AccessLog,
) -> Result<(), StreamError> {
    copy_body(engine, client, &mut StreamEnd::never(), reason, log).await
}

/// As [`copy_down`], to the end of a body.
async fn copy_body(
    engine: &Socket,
    client: &Downstream,
    end: &mut StreamEnd,
    reason: RelayReason,
    log: &mut AccessLog,
) -> Result<(), StreamError> {
    while !end.is_reached() {
        match copy_once(engine, client, end, reason).await? {
            0 if end.may_be_here() => return Ok(()),
            0 => return Err(broken("engine-broken", "the engine cut the stream short")),
            count => log.sent(count),
        }
    }
    Ok(())
}

/// Copies what has arrived; returns the number of bytes, zero at the end.
async fn copy_once(
    engine: &Socket,
    client: &Downstream,
    end: &mut StreamEnd,
    reason: RelayReason,
) -> Result<usize, StreamError> {
    // Holds what the client does not take at once. A client that keeps up costs no buffer.
    let mut rest = OutgoingBuffer::default();
    let (mut client_left, mut is_malformed) = (false, false);
    let read = engine.read_some(|bytes| {
        let Ok(length) = end.follow(bytes) else {
            is_malformed = true;
            return;
        };
        let bytes = Outgoing::relayed(bytes.get(..length).unwrap_or_default(), reason);
        match client.try_send(bytes) {
            Ok(sent) => rest.push(bytes.skip(sent)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => rest.push(bytes),
            Err(_) => client_left = true,
        }
    });
    let count = read.await.map_err(|error| StreamError::Broken("engine-broken", error))?;
    if is_malformed {
        return Err(broken("framing", "withheld: malformed chunk framing"));
    }
    if client_left || client.send(rest.unsent()).await.is_err() {
        return Err(StreamError::ClientLeft);
    }
    Ok(count)
}
