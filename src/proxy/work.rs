//! Where the filter works: short work on the worker's own thread, long work on a helper thread.
//!
//! A worker serves all its connections on one thread. A document of 16 MiB, or a rule with an expression, would make the
//! others wait for tens of milliseconds, or for seconds. Such work moves to a helper thread, so that the system gives
//! both a turn. There are as many helpers as processors; more work waits for one in the order in which it came.

use std::future::pending;
use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// The most bytes that are filtered on the thread of a worker. The slowest plan without an expression takes some
/// milliseconds for them.
const INLINE_LIMIT: usize = 128 * 1024;
/// The same for a plan with filter expressions, whose work may be the square of the length.
const INLINE_EXPRESSION_LIMIT: usize = 2 * 1024;

/// One permit for each helper thread of the process.
static HELPERS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, usize::from)));

/// Whether filtering so many bytes is long work. `has_expressions` says whether the plan evaluates any.
pub(super) fn is_long(length: usize, has_expressions: bool) -> bool {
    length > if has_expressions { INLINE_EXPRESSION_LIMIT } else { INLINE_LIMIT }
}

/// Does long work on a helper thread.
///
/// Cancel safety: when dropped before the work has begun, it never begins; later it is done, and its result dropped.
pub(super) async fn on_helper<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // Never closed.
    let permit = HELPERS.acquire().await;
    let done = spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    match done.await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The server stops: nobody waits for the result.
        Err(_) => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    use super::*;
    use crate::time_limit::within_time_limit;

    #[test]
    fn other_work_of_the_thread_goes_on_meanwhile() {
        within_time_limit(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (send, receive) = mpsc::channel();
            let result = runtime.block_on(async {
                // On the same thread, this would wait for itself.
                let long = on_helper(move || receive.recv().unwrap());
                let other = async { send.send(7).unwrap() };
                tokio::join!(long, other).0
            });
            assert_eq!(result, 7);
        });
    }

    #[test]
    fn work_that_nobody_waits_for_never_begins() {
        within_time_limit(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let count = u32::try_from(available_parallelism().map_or(1, usize::from)).unwrap();
                let all = HELPERS.acquire_many(count).await.unwrap();
                {
                    let work = std::pin::pin!(on_helper(|| panic!("this was dropped")));
                    let mut context = Context::from_waker(Waker::noop());
                    assert!(work.poll(&mut context).is_pending(), "every helper is busy");
                }
                drop(all);
                on_helper(|| ()).await;
            });
        });
    }
}
