//! The memory for documents: a budget that the exchanges of all workers and listeners share.
//!
//! What is buffered of an answer is leased first: the document and what the filter leaves of it, the element of a list, the
//! record of a stream. If the budget is used up, an exchange waits a little and is then refused, so that many large documents
//! at a time take longer and do not end the process.
//!
//! What waits for a client has a part of its own: the bodies of requests, and the answers to those that are still being sent.
//! A client may take minutes, and keeps nobody waiting but others that send bodies.
//!
//! A small lease, which is enough for most answers, does not wait for large ones: [`accounts`] says who has what, and who is next.
//! What streams read ahead of their clients is counted in [`read_ahead`].

mod accounts;
mod read_ahead;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Sleep;

use self::accounts::{Account, Accounts, Asked, Division};
pub(super) use self::read_ahead::{ReadAhead, ReadAheadLease, UNLEASED_READ};

/// How long an exchange waits for memory at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// What waits for clients has one part in so many.
const CLIENT_PART: usize = 6;

/// Why a lease could not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// Other exchanges used all of the budget for too long.
    Busy,
    /// It would be larger than a lease may be.
    TooLarge {
        /// The largest lease, in bytes.
        limit: usize,
    },
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("the memory for documents is in use"),
            Self::TooLarge { limit } => {
                write!(f, "the answer needs more memory than the {limit} bytes that one may have")
            }
        }
    }
}

/// The memory that all documents may use.
#[derive(Debug)]
pub struct MemoryBudget {
    patience: Duration,
    division: Division,
    accounts: Mutex<Accounts>,
    /// The part of what waits for clients. `None` in that part.
    of_clients: Option<Arc<Self>>,
    /// What streams read ahead; beside the budget.
    read_ahead: Arc<ReadAhead>,
}

impl MemoryBudget {
    /// A budget of `total` bytes, for documents of which the largest need `largest` bytes. Streams may read `read_ahead` bytes beside
    /// that. Nobody waits for memory longer than for the engine, which is `response_timeout`.
    pub fn new(total: usize, read_ahead: usize, largest: usize, response_timeout: Duration) -> Self {
        let of_clients = total / CLIENT_PART;
        let read_ahead = Arc::new(ReadAhead::new(read_ahead));
        let part = Self::undivided(of_clients, largest, response_timeout, read_ahead.clone());
        let rest = Self::undivided(total - of_clients, largest, response_timeout, read_ahead);
        Self { of_clients: Some(Arc::new(part)), ..rest }
    }

    /// A budget without a part for clients.
    fn undivided(total: usize, largest: usize, response_timeout: Duration, read_ahead: Arc<ReadAhead>) -> Self {
        let accounts = Accounts::new(total, largest);
        let patience = PATIENCE.min(response_timeout);
        Self { patience, division: accounts.division(), accounts: Mutex::new(accounts), of_clients: None, read_ahead }
    }

    /// How many bytes are leased, and how many may be.
    pub fn usage(&self) -> (usize, usize) {
        let (used, limit) = self.of_clients.as_ref().map_or((0, 0), |part| part.usage());
        (used + self.accounts().used(), limit + self.division.own + self.division.shared)
    }

    /// The part of what waits for clients.
    pub(super) fn of_clients(self: &Arc<Self>) -> &Arc<Self> {
        self.of_clients.as_ref().unwrap_or(self)
    }

    /// An empty lease.
    pub(super) fn lease(self: &Arc<Self>) -> MemoryLease {
        MemoryLease { budget: self.clone(), account: Account::empty(), timer: None }
    }

    /// A lease for an answer that has not been asked for. Waits for it.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub(super) async fn admit(self: &Arc<Self>) -> Result<MemoryLease, MemoryError> {
        let (mut lease, start) = (self.lease(), self.division.small);
        lease.grow(0, start).await?;
        lease.pause(start);
        Ok(lease)
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        // No code that holds the lock panics.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of the budget. It goes back when the lease is dropped.
#[derive(Debug)]
pub(super) struct MemoryLease {
    budget: Arc<MemoryBudget>,
    account: Account,
    /// Runs while it waits.
    timer: Option<Pin<Box<Sleep>>>,
}

impl MemoryLease {
    /// Waits until the lease has `size` bytes; until then it needs `held`. It does not shrink by that, unless it waits and has
    /// more than it needs.
    ///
    /// Cancel safety: when dropped, the lease has its old size, the new one, or what it needs.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub(super) async fn grow(&mut self, held: usize, size: usize) -> Result<(), MemoryError> {
        poll_fn(|cx| self.poll_grow(cx, held, size)).await
    }

    /// As [`Self::grow`].
    pub(super) fn poll_grow(
        &mut self,
        cx: &mut Context<'_>,
        held: usize,
        size: usize,
    ) -> Poll<Result<(), MemoryError>> {
        if size <= self.size() {
            return Poll::Ready(Ok(()));
        }
        if size > self.limit() {
            return Poll::Ready(Err(MemoryError::TooLarge { limit: self.limit() }));
        }
        let asked = self.budget.accounts().ask(&mut self.account, held, size, cx.waker());
        if asked == Asked::Waits {
            let patience = self.budget.patience;
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
            ready!(timer.as_mut().poll(cx));
            self.budget.accounts().give_up(&mut self.account);
        }
        self.timer = None;
        Poll::Ready(if asked == Asked::Granted { Ok(()) } else { Err(MemoryError::Busy) })
    }

    /// The largest size that it may have, in bytes.
    fn limit(&self) -> usize {
        self.budget.division.shared
    }

    /// What to lease for `length` bytes that take at most `worst`, in bytes. The worst case is rare: where it is more than any
    /// lease can count on, as much will do, if there is room for the bytes and for what the filter leaves of them.
    pub(super) fn enough(&self, length: usize, worst: usize) -> usize {
        worst.min(self.budget.division.set_aside).max(length.saturating_mul(2))
    }

    /// As [`Self::enough`], and twice as much as it has where it can count on that: so that a document of unknown size does
    /// not ask for each chunk.
    pub(super) fn ahead(&self, length: usize, worst: usize) -> usize {
        self.size().saturating_mul(2).min(self.budget.division.set_aside).max(self.enough(length, worst))
    }

    /// Its size, in bytes.
    pub(super) fn size(&self) -> usize {
        self.account.size()
    }

    /// What streams read ahead.
    pub(super) fn read_ahead(&self) -> Arc<ReadAhead> {
        self.budget.read_ahead.clone()
    }

    /// What is buffered has this size and does not grow any more.
    pub(super) fn settle(&mut self, size: usize) {
        self.budget.accounts().settle(&mut self.account, size);
    }

    /// Needs `size` bytes for now, and more later. Gives back what is more than that; returns whether it has as much.
    pub(super) fn pause(&mut self, size: usize) -> bool {
        if size < self.size() || self.account.is_growing() {
            self.budget.accounts().pause(&mut self.account, size);
        }
        size <= self.size()
    }
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        self.budget.accounts().close(&mut self.account);
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
    use std::task::Waker;

    use super::*;
    use crate::time_limit::within_time_limit;

    /// Of these, 400 are set aside for the oldest large lease.
    fn budget() -> Arc<MemoryBudget> {
        patient(PATIENCE)
    }

    /// The same, for leases that wait as long as that.
    fn patient(patience: Duration) -> Arc<MemoryBudget> {
        Arc::new(MemoryBudget::undivided(800, 400, patience, Arc::new(ReadAhead::new(0))))
    }

    /// Whether the lease has the size at once.
    fn has(lease: &mut MemoryLease, size: usize) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(lease.poll_grow(&mut cx, 0, size), Poll::Ready(Ok(())))
    }

    /// Runs a test that waits.
    fn run(test: impl Future<Output = ()> + Send + 'static) {
        within_time_limit(|| {
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
        });
    }

    #[test]
    fn what_is_leased_comes_back() {
        let budget = budget();
        let (mut first, mut second) = (budget.lease(), budget.lease());
        assert!(has(&mut first, 400) && has(&mut second, 300));
        second.settle(200);
        assert!(first.pause(50) && !first.pause(60));
        drop((first, second));
        assert!(has(&mut budget.lease(), budget.division.shared));
    }

    #[test]
    fn more_than_a_lease_may_have_is_refused_at_once() {
        let mut lease = budget().lease();
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(lease.poll_grow(&mut cx, 0, 701), Poll::Ready(Err(MemoryError::TooLarge { limit: 700 })));
    }

    #[test]
    fn a_worst_case_takes_as_much_as_a_lease_can_count_on() {
        let mut lease = budget().lease();
        assert_eq!([lease.enough(10, 40), lease.enough(150, 600), lease.enough(250, 1000)], [40, 400, 500]);
        assert!(has(&mut lease, 150));
        assert_eq!([lease.ahead(10, 40), lease.ahead(100, 400), lease.ahead(250, 1000)], [300, 400, 500]);
    }

    /// Documents that together need many times the budget, all growing at a time, complete one after another.
    #[test]
    fn leases_do_not_wait_for_each_other() {
        run(async {
            let budget = budget();
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..5 {
                let budget = budget.clone();
                tasks.spawn(async move {
                    let mut lease = budget.lease();
                    for size in [10, 20, 50, 100, 200, 400] {
                        lease.grow(size / 8, size).await?;
                        tokio::task::yield_now().await;
                    }
                    lease.settle(200);
                    tokio::task::yield_now().await;
                    Ok::<_, MemoryError>(())
                });
            }
            while let Some(ended) = tasks.join_next().await {
                ended.unwrap().unwrap();
            }
        });
    }

    #[test]
    fn waiting_has_an_end_and_a_lease_that_waits_can_be_dropped() {
        run(async {
            let budget = patient(Duration::from_millis(20));
            let mut full = budget.lease();
            full.grow(0, 700).await.unwrap();
            let start = tokio::time::Instant::now();
            assert_eq!(budget.lease().grow(0, 200).await, Err(MemoryError::Busy));
            assert!(start.elapsed() >= budget.patience);
            let mut dropped = budget.lease();
            assert!(!has(&mut dropped, 200));
            drop(dropped);
            let mut next = budget.lease();
            assert!(!has(&mut next, 200));
            // Meanwhile, small ones pass.
            drop(budget.admit().await.unwrap());
            drop(full);
            assert!(has(&mut next, 200));
        });
    }
}
