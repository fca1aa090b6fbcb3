//! What all clients of a listener have together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::rate::RequestRate;
use crate::config::ListenerLimits;

/// What the clients of a listener have, in all workers. A reload does not forget it.
#[derive(Debug)]
pub(super) struct ListenerUse {
    /// Their requests.
    pub(super) rate: RequestRate,
    streams: Arc<AtomicUsize>,
}

impl ListenerUse {
    /// Of a listener that has just been opened.
    pub(super) fn new() -> Self {
        Self { rate: RequestRate::new(Instant::now()), streams: Arc::default() }
    }
}

/// What the clients of a listener have, and what they may have.
#[derive(Clone, Debug)]
pub(super) struct ListenerShare {
    pub(super) limits: ListenerLimits,
    pub(super) used: Arc<ListenerUse>,
}

impl ListenerShare {
    /// Enters a stream.
    ///
    /// # Errors
    /// There are as many as the limit says; the limit.
    pub(super) fn stream(&self) -> Result<ListenerStream, usize> {
        let limit = self.limits.streams.unwrap_or(usize::MAX);
        let streams = &self.used.streams;
        let entered =
            streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < limit).then(|| open + 1));
        entered.map(|_| ListenerStream(streams.clone())).map_err(|_| limit)
    }
}

/// A stream of a listener. When dropped, it is no longer counted.
#[derive(Debug)]
pub(super) struct ListenerStream(Arc<AtomicUsize>);

impl Drop for ListenerStream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_count_until_they_end_whatever_the_limit_was() {
        let used = Arc::new(ListenerUse::new());
        let share = |streams| ListenerShare {
            limits: ListenerLimits { streams, ..ListenerLimits::default() },
            used: used.clone(),
        };
        let held: Vec<_> = (0..3).map(|_| share(None).stream().unwrap()).collect();
        assert_eq!(share(Some(3)).stream().unwrap_err(), 3);
        let fourth = share(Some(4)).stream().unwrap();
        drop(held);
        assert!(share(Some(2)).stream().is_ok() && share(Some(1)).stream().is_err());
        drop(fourth);
        assert!(share(Some(1)).stream().is_ok());
    }
}
