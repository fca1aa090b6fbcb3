//! How much of an answer that passes piece by piece may wait in the HTTP writer for its client.
//!
//! By itself the writer asks for more as long as it has room, and of that it has much, for long heads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// Once so many bytes wait, no more are given.
const LIMIT: usize = 64 * 1024;

/// What the writer has of a body and has not sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Window(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// In bytes.
    count: usize,
    /// Who waits for room.
    waker: Option<Waker>,
}

impl Window {
    /// Waits until there is room for more.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.waiting();
        if waiting.count < LIMIT {
            return Poll::Ready(());
        }
        waiting.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// These bytes, which count until they have been sent.
    pub(super) fn count<B: AsRef<[u8]> + Send + 'static>(&self, bytes: B) -> Bytes {
        let length = bytes.as_ref().len();
        self.waiting().count += length;
        Bytes::from_owner(Counted { bytes, length, window: self.clone() })
    }

    /// How many bytes wait.
    pub(super) fn size(&self) -> usize {
        self.waiting().count
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code that holds the lock panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that count as long as somebody has them.
struct Counted<B> {
    bytes: B,
    length: usize,
    window: Window,
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Counted<B> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl<B> Drop for Counted<B> {
    fn drop(&mut self) {
        let waker = {
            let mut waiting = self.window.waiting();
            waiting.count -= self.length;
            if waiting.count < LIMIT { waiting.waker.take() } else { None }
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn there_is_room_again_once_enough_has_been_sent() {
        let (window, woken) = (Window::default(), Arc::new(Woken::default()));
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut given = Vec::new();
        while window.poll_room(&mut cx).is_ready() {
            given.push(window.count(Bytes::from_static(&[7; 30_000])));
        }
        assert!(given.iter().all(|bytes| bytes[..] == [7; 30_000]));
        assert_eq!((given.len(), woken.0.load(Ordering::Relaxed)), (3, 0));
        given.pop();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(window.poll_room(&mut cx).is_ready());
        drop(given);
        assert_eq!((window.size(), woken.0.load(Ordering::Relaxed)), (0, 1));
    }
}
