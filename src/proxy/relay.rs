//! A stream that is relayed byte for byte, chunk framing included: logs, progress, and events and stats that are not
//! filtered.
//!
//! What arrives in one read leaves in one write.

use std::io;

use super::access_log::AccessLog;
use super::body::{Outgoing, OutgoingBuffer};
use super::downstream::Downstream;
use super::stream_request::StreamError;
use crate::policy::RelayReason;
use crate::socket::Socket;

/// Relays a body until the engine ends it. If the client leaves, the relay ends at once.
pub(super) async fn relay(
    engine: &Socket,
    client: &Downstream,
    reason: RelayReason,
    log: &mut AccessLog,
) -> Result<(), StreamError> {
    tokio::select! {
        ended = copy_down(engine, client, reason, log) => {
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
    loop {
        match copy_once(engine, client, reason).await? {
            0 => return Ok(()),
            count => log.sent(count),
        }
    }
}

/// Copies what has arrived; returns the number of bytes, zero at the end.
async fn copy_once(engine: &Socket, client: &Downstream, reason: RelayReason) -> Result<usize, StreamError> {
    // Holds what the client does not take at once. A client that keeps up costs no buffer.
    let mut rest = OutgoingBuffer::default();
    let mut client_left = false;
    let read = engine.read_some(|bytes| {
        let bytes = Outgoing::relayed(bytes, reason);
        match client.try_send(bytes) {
            Ok(sent) => rest.push(bytes.skip(sent)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => rest.push(bytes),
            Err(_) => client_left = true,
        }
    });
    let count = read.await.map_err(StreamError::Broken)?;
    if client_left || client.send(rest.unsent()).await.is_err() {
        return Err(StreamError::ClientLeft);
    }
    Ok(count)
}
