//! How long an exchange waits for the engine.

use std::cell::Cell;
use std::time::{Duration, Instant};

tokio::task_local! {
    /// How long the work of the current task has waited for the engine, inside [`measured`].
    static WAITED: Cell<Duration>;
}

/// Does some work; returns how long it has waited for the engine, too.
pub async fn measured<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let work = async {
        let done = work.await;
        (done, WAITED.with(Cell::get))
    };
    WAITED.scope(Cell::default(), work).await
}

/// A wait for the engine that has come to an end. What is measured counts it; otherwise it comes back.
pub(super) fn ended(since: Instant) -> Duration {
    ended_besides(since, Duration::ZERO)
}

/// As [`ended`], without this time, in which something else was waited for.
pub(super) fn ended_besides(since: Instant, other: Duration) -> Duration {
    let time = since.elapsed().saturating_sub(other);
    match WAITED.try_with(|waited| waited.set(waited.get() + time)) {
        Ok(()) => Duration::ZERO,
        Err(_) => time,
    }
}
