//! A time limit for waits that follow one another.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep};

/// Wakes the task that waits when a time has passed.
///
/// Each wait has a time of its own. The timer of the runtime is not moved for each of them, which costs more than most waits: it
/// stays where it is until it fires, and is then set to the time of the wait under way.
#[derive(Debug, Default)]
pub struct WaitTimer(Option<Pin<Box<Sleep>>>);

impl WaitTimer {
    /// Whether a time has passed. If not, the task is woken then.
    pub fn has_passed(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        let timer = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        // Also if the task has had its turn, in which nothing of the runtime is ready any more: work that never ends must end.
        while pin!(unconstrained(timer.as_mut())).poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return true;
            }
            // The timer was set for an earlier wait.
            timer.as_mut().reset(deadline);
        }
        false
    }

    /// Waits for `work`, until `deadline` at most. `None` if it takes longer.
    ///
    /// Cancel safety: that of `work`.
    pub async fn within<T>(&mut self, deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.has_passed(deadline, cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time_limit::within_time_limit;

    #[test]
    fn work_that_never_waits_has_an_end() {
        within_time_limit(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let work = async {
                    loop {
                        tokio::task::coop::consume_budget().await;
                    }
                };
                let deadline = Instant::now() + Duration::from_millis(20);
                assert_eq!(WaitTimer::default().within::<()>(deadline, work).await, None);
            });
        });
    }

    #[test]
    fn each_wait_has_its_own_time() {
        within_time_limit(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let mut timer = WaitTimer::default();
                // A time far away, nearer ones, one that has passed, and later ones.
                for millis in [5, 20, 1, 0, 10, 10] {
                    let far = Instant::now() + Duration::from_secs(3600);
                    assert_eq!(timer.within(far, std::future::ready(millis)).await, Some(millis));
                    let deadline = Instant::now() + Duration::from_millis(millis);
                    assert_eq!(timer.within(deadline, std::future::pending::<()>()).await, None);
                    assert!(Instant::now() >= deadline, "{millis}");
                    // It fires in the middle of a wait that lasts longer.
                    let work = tokio::time::sleep(Duration::from_millis(2 * millis));
                    assert_eq!(timer.within(far, work).await, Some(()), "{millis}");
                }
            });
        });
    }
}
