//! What streams read before their clients have room for it.
//!
//! Nobody waits for it: a stream that gets no lease reads less at a time. So a client that takes nothing holds little, and those
//! that do so together hold no more than there is.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What a stream may read without a lease, in bytes.
pub(in crate::proxy) const UNLEASED_READ: usize = 32 * 1024;

/// The memory for what is read ahead, which all streams share.
#[derive(Debug)]
pub(in crate::proxy) struct ReadAhead {
    /// In bytes.
    left: AtomicUsize,
}

impl ReadAhead {
    /// Memory of `total` bytes.
    pub(super) fn new(total: usize) -> Self {
        Self { left: AtomicUsize::new(total) }
    }

    /// A lease of `size` bytes; `None` if so many are not left.
    pub(in crate::proxy) fn lease(&self, size: usize) -> Option<ReadAheadLease<'_>> {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(size));
        taken.ok().map(|_| ReadAheadLease { memory: self, size })
    }

    /// A lease for a read of up to `wanted` bytes, and how many it may take: with no lease, few.
    pub(in crate::proxy) fn for_read(&self, wanted: usize) -> (usize, Option<ReadAheadLease<'_>>) {
        let lease = if wanted > UNLEASED_READ { self.lease(wanted) } else { None };
        (if lease.is_some() { wanted } else { wanted.min(UNLEASED_READ) }, lease)
    }
}

/// A part of the memory. It goes back when the lease is dropped.
#[derive(Debug)]
pub(in crate::proxy) struct ReadAheadLease<'m> {
    memory: &'m ReadAhead,
    /// In bytes.
    size: usize,
}

impl ReadAheadLease<'_> {
    /// Gives back what is more than `size` bytes.
    pub(in crate::proxy) fn shrink(&mut self, size: usize) {
        let more = self.size.saturating_sub(size);
        self.size -= more;
        self.memory.left.fetch_add(more, Ordering::Relaxed);
    }
}

impl Drop for ReadAheadLease<'_> {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_small_once_nothing_is_left_and_large_again_once_something_is() {
        let memory = ReadAhead::new(100_000);
        let (limit, first) = memory.for_read(70_000);
        assert_eq!((limit, first.is_some()), (70_000, true));
        for wanted in [70_000, UNLEASED_READ, 10] {
            let (limit, lease) = memory.for_read(wanted);
            assert_eq!((limit, lease.is_none()), (wanted.min(UNLEASED_READ), true));
        }
        let mut first = first.unwrap();
        first.shrink(30_000);
        // It does not grow again.
        first.shrink(90_000);
        assert!(memory.lease(70_001).is_none());
        let second = memory.lease(70_000);
        assert!(second.is_some() && memory.lease(1).is_none());
        drop((first, second));
        assert_eq!(memory.left.into_inner(), 100_000);
    }
}
