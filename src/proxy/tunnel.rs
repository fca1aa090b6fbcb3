//! A hijacked connection: bytes in both directions, each of which ends on its own.

use std::future::{pending, poll_fn};
use std::io;
use std::time::Duration;

use super::access_log::AccessLog;
use super::downstream::Downstream;
use super::memory::ReadAhead;
use super::relay::{StreamEnds, copy_down};
use super::stream_request::StreamError;
use crate::policy::RelayReason;
use crate::socket::{READ_SIZE, Socket};
use crate::upstream::ClientMeter;

/// How long a client may go on sending after the engine has ended its direction.
const HALF_CLOSED_TIMEOUT: Duration = Duration::from_secs(60);

/// Carries bytes in both directions until both have ended.
pub(super) async fn tunnel(
    engine: &Socket,
    client: &mut Downstream,
    read_ahead: &ReadAhead,
    reason: RelayReason,
    log: &mut AccessLog,
) -> Result<(), StreamError> {
    let early = client.take_early();
    let client = &*client;
    let ends = StreamEnds { engine, client, read_ahead };
    let received = log.received();
    received.count(early.len());
    let up = async move {
        if engine.write_all(&early).await.is_err() {
            // The engine no longer reads. What it still writes is relayed.
            tracing::debug!("the engine did not take the client's first bytes");
        }
        drop(early);
        copy_up(ends, &received).await?;
        let _ = engine.finish();
        Ok::<_, StreamError>(())
    };
    let down = async {
        copy_down(ends, reason, log).await?;
        client.finish();
        Ok::<_, StreamError>(())
    };
    tokio::pin!(up, down);
    let (mut up_ended, mut down_ended) = (false, false);
    while !(up_ended && down_ended) {
        tokio::select! {
            ended = &mut up, if !up_ended => { ended?; up_ended = true; }
            ended = &mut down, if !down_ended => { ended?; down_ended = true; }
            () = client.gone() => return Err(StreamError::ClientLeft),
            // The engine has closed both directions: nobody reads what the client still sends.
            () = engine.closed(), if down_ended => return Ok(()),
            // The client has closed both directions, and not only its own.
            () = client.closed(), if up_ended => return Err(StreamError::ClientLeft),
            () = tokio::time::sleep(HALF_CLOSED_TIMEOUT), if down_ended => return Ok(()),
        }
    }
    Ok(())
}

/// Copies bytes from the client to the engine until the client ends its direction. If the engine no longer reads, waits
/// for its own end, which comes down.
///
/// Cancel safety: when dropped while the engine is slow, bytes are lost.
async fn copy_up(
    StreamEnds { engine, client, read_ahead }: StreamEnds<'_>,
    received: &ClientMeter,
) -> Result<(), StreamError> {
    loop {
        // Holds what the engine does not take at once.
        let mut rest = Vec::new();
        let mut engine_stopped = false;
        let read = poll_fn(|cx| {
            let (limit, lease) = read_ahead.for_read(READ_SIZE);
            let read = client.poll_read_some(cx, limit, |bytes| {
                match engine.try_write(bytes) {
                    Ok(written) => rest.extend_from_slice(bytes.get(written..).unwrap_or_default()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => rest.extend_from_slice(bytes),
                    Err(_) => engine_stopped = true,
                }
                bytes.len()
            });
            read.map_ok(|count| (count, lease))
        });
        let (count, mut lease) = read.await.map_err(|_| StreamError::ClientLeft)?;
        if count == 0 {
            return Ok(());
        }
        received.count(count);
        if let Some(lease) = &mut lease {
            lease.shrink(rest.len());
        }
        if engine_stopped || engine.write_all(&rest).await.is_err() {
            return pending().await;
        }
    }
}
