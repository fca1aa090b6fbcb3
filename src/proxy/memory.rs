//! The memory for documents: a budget that the exchanges of all workers and listeners share.
//!
//! What is buffered of an answer is leased first: the document and what the filter leaves of it, the element of a list, the
//! record of a stream. If the budget is used up, an exchange waits a little and is then refused, so that many large documents
//! at a time take longer and do not end the process.
//!
//! Leases grow while a document arrives, because its size is not known before. So that they do not all wait for each other, a
//! part of the budget is set aside for the oldest lease that may still grow. It completes, and then the next one is the oldest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::time::Sleep;

/// How long an exchange waits for memory at most.
const PATIENCE: Duration = Duration::from_secs(5);
/// What an exchange leases before it asks the engine, in bytes: enough for most answers.
const START: usize = 256 * 1024;

/// Why a lease could not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// Other exchanges used all of the budget for too long.
    Busy,
    /// It would be larger than the whole budget.
    TooLarge {
        /// The budget, in bytes.
        budget: usize,
    },
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("the memory for documents is in use"),
            Self::TooLarge { budget } => {
                write!(f, "the answer needs more memory than the {budget} bytes for all documents")
            }
        }
    }
}

/// The memory that all documents may use.
#[derive(Debug)]
pub struct MemoryBudget {
    /// In bytes.
    total: usize,
    /// How much the oldest lease can count on, in bytes.
    set_aside: usize,
    patience: Duration,
    state: Mutex<Leases>,
}

#[derive(Debug, Default)]
struct Leases {
    /// In bytes, of all leases.
    used: usize,
    /// The leases that may still grow, the oldest first.
    growing: BTreeMap<u64, Growing>,
    /// Those of them that wait.
    waiting: BTreeSet<u64>,
    /// The number of the newest lease.
    next: u64,
}

#[derive(Debug)]
struct Growing {
    /// In bytes.
    size: usize,
    /// The size that it waits for.
    wanted: usize,
    waker: Option<Waker>,
}

impl MemoryBudget {
    /// A budget of `total` bytes, for documents of which the largest need `largest` bytes. Nobody waits for memory longer than
    /// for the engine, which is `response_timeout`.
    pub fn new(total: usize, largest: usize, response_timeout: Duration) -> Self {
        let patience = PATIENCE.min(response_timeout);
        Self { total, set_aside: largest.min(total / 2), patience, state: Mutex::default() }
    }

    /// An empty lease.
    pub(super) fn lease(self: &Arc<Self>) -> MemoryLease {
        let mut leases = self.leases();
        leases.next += 1;
        MemoryLease { budget: self.clone(), id: leases.next, size: 0, is_growing: false, timer: None }
    }

    /// A lease for an answer that has not been asked for. Waits for it.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub(super) async fn admit(self: &Arc<Self>) -> Result<MemoryLease, MemoryError> {
        let (mut lease, start) = (self.lease(), START.min(self.total / 8));
        lease.grow(start).await?;
        lease.settle(start);
        Ok(lease)
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        // No code that holds the lock panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the lease `id` may have `more` bytes now.
    fn fits(&self, leases: &Leases, id: u64, more: usize) -> bool {
        let kept = match leases.growing.first_key_value() {
            Some((oldest, lease)) if *oldest != id => self.set_aside.saturating_sub(lease.size),
            Some(_) | None => 0,
        };
        leases.used.saturating_add(more).saturating_add(kept) <= self.total
    }

    /// Gives what is free to those that wait, the oldest first.
    fn share(&self, leases: &mut Leases) {
        while let Some(id) = leases.waiting.first().copied() {
            let Some(Growing { size, wanted, .. }) = leases.growing.get(&id) else { return };
            let more = wanted.saturating_sub(*size);
            if !self.fits(leases, id, more) {
                return;
            }
            leases.waiting.remove(&id);
            leases.used += more;
            if let Some(lease) = leases.growing.get_mut(&id) {
                lease.size += more;
                lease.waker.take().into_iter().for_each(Waker::wake);
            }
        }
    }
}

/// A part of the budget. It goes back when the lease is dropped.
#[derive(Debug)]
pub(super) struct MemoryLease {
    budget: Arc<MemoryBudget>,
    id: u64,
    /// As far as this lease knows, in bytes.
    size: usize,
    /// Whether it has asked for more since it settled.
    is_growing: bool,
    /// Runs while it waits.
    timer: Option<Pin<Box<Sleep>>>,
}

impl MemoryLease {
    /// Waits until the lease has `size` bytes. It never shrinks by that.
    ///
    /// Cancel safety: when dropped, the lease has its old size or the new one.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub(super) async fn grow(&mut self, size: usize) -> Result<(), MemoryError> {
        poll_fn(|cx| self.poll_grow(cx, size)).await
    }

    /// As [`Self::grow`].
    pub(super) fn poll_grow(&mut self, cx: &mut Context<'_>, size: usize) -> Poll<Result<(), MemoryError>> {
        if size <= self.size {
            return Poll::Ready(Ok(()));
        }
        if size > self.budget.total {
            return Poll::Ready(Err(MemoryError::TooLarge { budget: self.budget.total }));
        }
        if self.ask(size, cx.waker()) {
            self.timer = None;
            return Poll::Ready(Ok(()));
        }
        let patience = self.budget.patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(timer.as_mut().poll(cx));
        self.timer = None;
        let mut leases = self.budget.leases();
        leases.waiting.remove(&self.id);
        self.budget.share(&mut leases);
        Poll::Ready(Err(MemoryError::Busy))
    }

    /// Asks for a size; returns whether the lease has it.
    fn ask(&mut self, size: usize, waker: &Waker) -> bool {
        self.is_growing = true;
        let mut leases = self.budget.leases();
        let known = Growing { size: self.size, wanted: size, waker: None };
        let lease = leases.growing.entry(self.id).or_insert(known);
        lease.wanted = size;
        self.size = lease.size;
        if self.size < size {
            lease.waker = Some(waker.clone());
            leases.waiting.insert(self.id);
            self.budget.share(&mut leases);
            self.size = leases.growing.get(&self.id).map_or(0, |lease| lease.size);
        }
        self.size >= size
    }

    /// The largest size that it may have, in bytes.
    pub(super) fn limit(&self) -> usize {
        self.budget.total
    }

    /// What to lease for `length` bytes that take at most `worst`, in bytes. The worst case is rare: where it is more than the
    /// whole budget, the whole budget will do, if there is room for the bytes and for what the filter leaves of them.
    pub(super) fn enough(&self, length: usize, worst: usize) -> usize {
        worst.min(self.limit()).max(length.saturating_mul(2))
    }

    /// Its size, in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Settles at `size` if the lease is as large; returns whether it is.
    pub(super) fn keep(&mut self, size: usize) -> bool {
        if size < self.size || (size == self.size && self.is_growing) {
            self.settle(size);
        }
        size <= self.size
    }

    /// What is buffered has this size and does not grow for now, so nothing need be set aside for it.
    pub(super) fn settle(&mut self, size: usize) {
        let mut leases = self.budget.leases();
        leases.waiting.remove(&self.id);
        let known = leases.growing.remove(&self.id).map_or(self.size, |lease| lease.size);
        // If the filter has made it larger than expected, it is there already.
        leases.used = leases.used - known + size;
        (self.size, self.is_growing) = (size, false);
        self.budget.share(&mut leases);
    }
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        let mut leases = self.budget.leases();
        leases.waiting.remove(&self.id);
        // It may have been given more than it knows of.
        let size = leases.growing.remove(&self.id).map_or(self.size, |lease| lease.size);
        leases.used -= size;
        self.budget.share(&mut leases);
    }
}

/// From this size on, a buffer has a mapping of its own, in bytes.
const LARGE: usize = 32 * 1024;
/// The size of a buffer that every allocator maps on its own, in bytes: more than the 32 MiB up to which glibc adapts to what a
/// program frees (`DEFAULT_MMAP_THRESHOLD_MAX`, mallopt(3)).
const OWN_MAPPING: usize = 33 << 20;

/// An empty buffer for `size` bytes.
///
/// A large one is a mapping of its own, which goes back to the system as soon as it is dropped. It takes addresses for more
/// than that, and memory only for what is written. On the heap of the allocator, large documents would leave holes that are
/// kept: 800 MiB after 300 documents of 3 MB at a time.
pub(super) fn buffer(size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Where addresses are limited, it gets what it needs.
    if size < LARGE || bytes.try_reserve_exact(size.max(OWN_MAPPING)).is_err() {
        bytes.reserve_exact(size);
    }
    bytes
}

/// Bytes whose memory is leased.
pub(super) struct Leased {
    bytes: Vec<u8>,
    _lease: MemoryLease,
}

impl Leased {
    /// These bytes, which do not grow any more.
    pub(super) fn new(bytes: Vec<u8>, mut lease: MemoryLease) -> Self {
        lease.settle(bytes.len());
        Self { bytes, _lease: lease }
    }
}

impl AsRef<[u8]> for Leased {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time_limit::within_time_limit;

    fn budget(total: usize, largest: usize) -> Arc<MemoryBudget> {
        Arc::new(MemoryBudget::new(total, largest, PATIENCE))
    }

    /// Whether the lease has the size at once.
    fn has(lease: &mut MemoryLease, size: usize) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(lease.poll_grow(&mut cx, size), Poll::Ready(Ok(())))
    }

    fn used(budget: &MemoryBudget) -> usize {
        budget.leases().used
    }

    /// Runs a test that waits.
    fn run(test: impl Future<Output = ()> + Send + 'static) {
        within_time_limit(|| {
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
        });
    }

    #[test]
    fn what_is_leased_comes_back() {
        let budget = budget(100, 10);
        let (mut first, mut second) = (budget.lease(), budget.lease());
        assert!(has(&mut first, 40) && has(&mut second, 30));
        second.settle(20);
        first.settle(5);
        assert_eq!(used(&budget), 25);
        drop((first, second));
        assert_eq!((used(&budget), budget.leases().growing.len()), (0, 0));
    }

    #[test]
    fn more_than_the_whole_budget_is_refused_at_once() {
        let mut lease = budget(100, 10).lease();
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(lease.poll_grow(&mut cx, 101), Poll::Ready(Err(MemoryError::TooLarge { budget: 100 })));
    }

    #[test]
    fn the_oldest_can_count_on_what_is_set_aside() {
        run(async {
            let budget = budget(100, 40);
            let (mut oldest, mut others) = (budget.lease(), [budget.lease(), budget.lease(), budget.lease()]);
            assert!(has(&mut oldest, 1));
            let granted = others.iter_mut().filter_map(|lease| has(lease, 25).then_some(())).count();
            assert_eq!((granted, used(&budget)), (2, 51));
            assert!(has(&mut oldest, 40) && !has(&mut others[2], 25));
            // Once it is settled, the next one is the oldest.
            oldest.settle(10);
            assert!(has(&mut others[0], 40));
        });
    }

    /// Documents that together need many times the budget, all growing at a time, complete one after another.
    #[test]
    fn leases_do_not_wait_for_each_other() {
        run(async {
            let budget = budget(100, 40);
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..50 {
                let budget = budget.clone();
                tasks.spawn(async move {
                    let mut lease = budget.lease();
                    for size in [1, 2, 5, 10, 20, 40] {
                        lease.grow(size).await?;
                        tokio::task::yield_now().await;
                    }
                    lease.settle(20);
                    tokio::task::yield_now().await;
                    Ok::<_, MemoryError>(())
                });
            }
            while let Some(ended) = tasks.join_next().await {
                ended.unwrap().unwrap();
            }
            assert_eq!(used(&budget), 0);
        });
    }

    #[test]
    fn waiting_has_an_end_and_a_lease_that_waits_can_be_dropped() {
        run(async {
            let budget = Arc::new(MemoryBudget::new(100, 40, Duration::from_millis(20)));
            let mut full = budget.lease();
            full.grow(100).await.unwrap();
            let start = tokio::time::Instant::now();
            assert_eq!(budget.lease().grow(1).await, Err(MemoryError::Busy));
            assert!(start.elapsed() >= budget.patience);
            let mut dropped = budget.lease();
            assert!(!has(&mut dropped, 1));
            drop(dropped);
            let mut next = budget.lease();
            assert!(!has(&mut next, 1));
            drop(full);
            assert!(has(&mut next, 1));
            drop(next);
            assert_eq!((used(&budget), budget.leases().waiting.len()), (0, 0));
        });
    }
}
