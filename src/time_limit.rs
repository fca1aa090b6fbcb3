//! Time in unit tests: a limit for those that wait for a socket, a thread or a process, and the CPU time of a thread.

use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// More than any of them takes, on a busy machine too.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs the body of a test on a thread of its own, and fails if it has not ended within 30 seconds. The thread is then
/// left behind, and the run goes on.
///
/// # Panics
/// If `body` does, or takes too long.
#[track_caller]
pub(crate) fn within_time_limit(body: impl FnOnce() + Send + 'static) {
    within(LIMIT, body);
}

#[track_caller]
fn within(limit: Duration, body: impl FnOnce() + Send + 'static) {
    let (ended, end) = channel::<()>();
    let test = thread::spawn(move || {
        body();
        drop(ended);
    });
    match end.recv_timeout(limit) {
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            if let Err(panic) = test.join() {
                resume_unwind(panic);
            }
        }
        Err(RecvTimeoutError::Timeout) => panic!("the test exceeded its limit of {limit:?}"),
    }
}

/// The CPU time that this thread has used.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the test exceeded its limit of 20ms")]
    fn a_test_that_hangs_fails() {
        within(Duration::from_millis(20), || thread::park_timeout(Duration::from_secs(60)));
    }

    #[test]
    #[should_panic(expected = "the message of the test")]
    fn a_panic_is_that_of_the_test() {
        within_time_limit(|| panic!("the message of the test"));
    }

    #[test]
    fn a_test_that_ends_passes() {
        within_time_limit(|| ());
    }
}
