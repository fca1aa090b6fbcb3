//! Whether an engine answers, so that the log says once when that changes.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the log says at most that an engine does not answer any more.
const PAUSE: Duration = Duration::from_secs(10);

/// What is known of an engine. The start and a reload report those that they do not know; only what changes later is told.
#[derive(Debug, Default)]
pub(super) struct Reachability {
    /// The discriminant of a [`LastAnswer`].
    state: AtomicU8,
    /// When the log said last that it does not answer.
    told: Mutex<Option<Instant>>,
}

/// What was known last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum LastAnswer {
    /// Nobody has asked it. Zero, as that is how it begins.
    Unknown = 0,
    /// It answers.
    Up = 1,
    /// It does not, and the log has said so, or will.
    Down = 2,
    /// It does not, and the log has not said so, because it said that a short time ago.
    DownUntold = 3,
}

impl Reachability {
    /// It has answered. Whether the log is to say so.
    pub(super) fn answers(&self) -> bool {
        // Nearly always: no write, which would take the line of the cache from other workers.
        if self.state.load(Ordering::Relaxed) == LastAnswer::Up as u8 {
            return false;
        }
        self.state.swap(LastAnswer::Up as u8, Ordering::Relaxed) == LastAnswer::Down as u8
    }

    /// It does not answer. Whether the log is to say so.
    pub(super) fn fails(&self, now: Instant) -> bool {
        let (unknown, down) = (LastAnswer::Unknown as u8, LastAnswer::Down as u8);
        // Whoever reports it at the start says so.
        let found = self.state.compare_exchange(unknown, down, Ordering::Relaxed, Ordering::Relaxed);
        if found.is_ok() || found == Err(down) {
            return false;
        }
        // No code that holds the lock panics.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have said so meanwhile.
        if self.state.load(Ordering::Relaxed) == down {
            return false;
        }
        let is_due = told.is_none_or(|told| now.saturating_duration_since(told) >= PAUSE);
        self.state.store(if is_due { LastAnswer::Down } else { LastAnswer::DownUntold } as u8, Ordering::Relaxed);
        if is_due {
            *told = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time_limit::within_time_limit;

    #[test]
    fn a_change_is_told_once_and_not_too_often() {
        let (engine, start) = (Reachability::default(), Instant::now());
        // (seconds, whether it answers, whether that is told)
        for (seconds, is_up, expected) in [
            (0, false, false),
            (1, false, false),
            // It was reported as down at the start.
            (2, true, true),
            (3, true, false),
            (4, false, true),
            (5, false, false),
            (6, true, true),
            // It comes and goes: one pair in some seconds.
            (7, false, false),
            (8, true, false),
            (9, false, false),
            (10, false, false),
            // It stays away.
            (14, false, true),
            (15, false, false),
            (16, true, true),
            (30, true, false),
            (31, false, true),
            (32, true, true),
        ] {
            let found = if is_up { engine.answers() } else { engine.fails(start + Duration::from_secs(seconds)) };
            assert_eq!(found, expected, "after {seconds} s");
        }
        let engine = Reachability::default();
        assert!(!engine.answers(), "the start reports it");
        assert!(engine.fails(start), "it is gone");
    }

    #[test]
    fn of_many_that_notice_one_tells() {
        within_time_limit(|| (0..100).for_each(|_| one_of_many_tells()));
    }

    fn one_of_many_tells() {
        let engine = Reachability::default();
        engine.answers();
        let count = |notice: &(dyn Fn() -> bool + Sync)| {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(notice)).collect();
                threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum::<usize>()
            })
        };
        assert_eq!(count(&|| engine.fails(Instant::now())), 1);
        assert_eq!(count(&|| engine.answers()), 1);
    }
}
