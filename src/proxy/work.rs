//! Where the filter works: short work on the worker's own thread, long work on a helper thread.
//!
//! A worker serves all its connections on one thread. A document of 16 MiB, or a rule with an expression, would make the
//! others wait for tens of milliseconds, or for seconds. Such work moves to a helper thread, so that the system gives
//! both a turn. There are as many helpers as processors. More work waits: the clients have their turns one after another, so that
//! one with many long documents does not keep the others waiting for all of them.

mod turns;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, LazyLock};
use std::thread::{self, available_parallelism};

use tokio::sync::oneshot;

use self::turns::{Job, Turns};
use crate::filter::ExpressionWork;

/// The most bytes that are filtered on the thread of a worker. The slowest plan without an expression takes some
/// milliseconds for them.
const INLINE_LIMIT: usize = 128 * 1024;
/// The same for a plan with filter expressions that read each value a few times: half of that, because a pattern may take as long
/// as everything else. It is more than a chunk of a list has.
const INLINE_LINEAR_LIMIT: usize = 64 * 1024;
/// The same for a plan with other filter expressions, whose work may be the square of the length.
const INLINE_UNBOUNDED_LIMIT: usize = 2 * 1024;

/// The helper threads of the process.
///
/// They are ours, and not those of the runtime: the allocator keeps some memory for each thread, and the runtime starts more
/// threads than work at a time.
struct Helpers {
    /// How many there are.
    count: usize,
    turns: Arc<Turns>,
}

static HELPERS: LazyLock<Helpers> = LazyLock::new(|| {
    let turns = Arc::<Turns>::default();
    let start = |number| {
        let turns = turns.clone();
        let help = move || {
            loop {
                turns.next()();
            }
        };
        thread::Builder::new().name(format!("helper-{number}")).spawn(help)
    };
    let processors = available_parallelism().map_or(1, usize::from);
    let count = (0..processors).filter_map(|number| start(number).ok()).count();
    Helpers { count, turns }
});

/// Whether filtering so many bytes is long work. `expressions` is that of the plan.
pub(super) fn is_long(length: usize, expressions: ExpressionWork) -> bool {
    let limit = match expressions {
        ExpressionWork::None => INLINE_LIMIT,
        ExpressionWork::Linear => INLINE_LINEAR_LIMIT,
        ExpressionWork::Unbounded => INLINE_UNBOUNDED_LIMIT,
    };
    length > limit
}

/// Does long work for a client on a helper thread. `client` is its name in the log.
///
/// Cancel safety: when dropped before the work has begun, it never begins; later it is done, and its result dropped.
pub(super) async fn on_helper<T: Send + 'static>(client: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    // Late is better than never, if the system allows no more threads.
    if HELPERS.count == 0 {
        return work();
    }
    let (send, result) = oneshot::channel();
    let job: Job = Box::new(move || {
        // A client that has left meanwhile reads nothing.
        let _ = send.send(catch_unwind(AssertUnwindSafe(work)));
    });
    // Until a helper takes it, it can be dropped.
    let _waiting = HELPERS.turns.push(client, job);
    match result.await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => std::future::pending().await,
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
                let long = on_helper("", move || receive.recv().unwrap());
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
                let mut context = Context::from_waker(Waker::noop());
                // Every helper waits here.
                let mut busy = Vec::new();
                for number in 0..HELPERS.count {
                    let (go_on, wait) = mpsc::channel::<()>();
                    let (begun, has_begun) = mpsc::channel();
                    let mut work = Box::pin(on_helper("a", move || {
                        begun.send(()).unwrap();
                        wait.recv().unwrap_err();
                        number
                    }));
                    assert!(work.as_mut().poll(&mut context).is_pending());
                    has_begun.recv().unwrap();
                    busy.push((go_on, work));
                }
                {
                    let work = std::pin::pin!(on_helper("b", || panic!("this was dropped")));
                    assert!(work.poll(&mut context).is_pending());
                }
                for (number, (go_on, work)) in busy.into_iter().enumerate() {
                    drop(go_on);
                    assert_eq!(work.await, number);
                }
                on_helper("b", || ()).await;
            });
        });
    }

    #[test]
    fn a_panic_comes_back_and_its_helper_goes_on() {
        within_time_limit(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for _ in 0..=HELPERS.count {
                let work = || runtime.block_on(on_helper("", || panic!("a fault of the work")));
                assert!(catch_unwind(AssertUnwindSafe(work)).is_err());
            }
            assert_eq!(runtime.block_on(on_helper("", || 7)), 7);
        });
    }
}
