//! How many requests have come lately: a bucket of tokens for each client and each listener that has a limit.
//!
//! A bucket counts the tokens that have been taken, and not those that are left. So it knows nothing of its limit, which a
//! reload may change, and one from which nothing is missing can be forgotten.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::RateLimit;

/// Of the refusals of a bucket, one is logged and recorded in this time. The others are counted.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// A bucket of tokens. It refills as fast as its limit says.
#[derive(Debug)]
pub(super) struct TokenBucket(Mutex<BucketState>);

#[derive(Debug)]
struct BucketState {
    /// How many tokens were missing at `at`.
    missing: f64,
    at: Instant,
    /// When a refusal was last logged, and how many have come since then.
    reported: Option<(Instant, Arc<AtomicU64>)>,
}

/// Why a request must wait.
#[derive(Debug)]
pub(super) struct RateExceeded {
    /// How long it takes until there is a token.
    pub(super) wait: Duration,
    /// What the log tells of it, if it is the first such request for a while.
    pub(super) news: Option<RateNews>,
}

/// What is told of a refusal that is logged.
#[derive(Debug)]
pub(super) struct RateNews {
    /// How many came after the last one that was logged, and were counted only.
    pub(super) suppressed: u64,
    /// How many come after this one.
    pub(super) further: Arc<AtomicU64>,
}

impl TokenBucket {
    /// A full bucket.
    fn new(now: Instant) -> Self {
        Self(Mutex::new(BucketState { missing: 0.0, at: now, reported: None }))
    }

    /// Takes a token.
    fn take(&self, limit: RateLimit, now: Instant) -> Result<(), RateExceeded> {
        let mut state = self.state();
        state.refill(limit, now);
        let lacking = state.missing + 1.0 - f64::from(limit.burst());
        if lacking <= 0.0 {
            state.missing += 1.0;
            return Ok(());
        }
        Err(RateExceeded { wait: Duration::from_secs_f64(lacking / limit.per_second()), news: state.refused(now) })
    }

    /// Puts a token back that was taken for nothing.
    fn put_back(&self) {
        let mut state = self.state();
        state.missing = (state.missing - 1.0).max(0.0);
    }

    /// Whether no token is missing.
    fn is_full(&self, limit: RateLimit, now: Instant) -> bool {
        let mut state = self.state();
        state.refill(limit, now);
        state.missing == 0.0
    }

    /// Whether a refusal now would be told.
    fn would_tell(&self, now: Instant) -> bool {
        let is_told = |at: Instant| now.saturating_duration_since(at) < REPORT_INTERVAL;
        !self.state().reported.as_ref().is_some_and(|(at, _)| is_told(*at))
    }

    fn state(&self) -> MutexGuard<'_, BucketState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BucketState {
    /// Counts a refusal, unless it is to be logged.
    fn refused(&mut self, now: Instant) -> Option<RateNews> {
        let mut suppressed = 0;
        if let Some((at, further)) = &self.reported {
            if now.saturating_duration_since(*at) < REPORT_INTERVAL {
                further.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            suppressed = further.load(Ordering::Relaxed);
        }
        let further = Arc::<AtomicU64>::default();
        self.reported = Some((now, further.clone()));
        Some(RateNews { suppressed, further })
    }

    /// Adds what has come since it was last looked at. No more is missing than the bucket holds, whatever it held before.
    fn refill(&mut self, limit: RateLimit, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.missing = (self.missing - elapsed * limit.per_second()).clamp(0.0, f64::from(limit.burst()));
        self.at = self.at.max(now);
    }
}

/// What is counted of the requests of one client or listener. Pings are counted apart: however many requests there are, a health
/// check is answered, and however many pings there are, they are limited.
#[derive(Debug)]
pub(super) struct RequestRate {
    requests: TokenBucket,
    pings: TokenBucket,
}

impl RequestRate {
    /// Of somebody who has sent nothing yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { requests: TokenBucket::new(now), pings: TokenBucket::new(now) }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// There were too many. It is not counted.
    pub(super) fn count(&self, limit: RateLimit, is_ping: bool, now: Instant) -> Result<(), RateExceeded> {
        self.bucket(is_ping).take(limit, now)
    }

    /// Forgets a request that was counted, because something else has refused it.
    pub(super) fn forget(&self, is_ping: bool) {
        self.bucket(is_ping).put_back();
    }

    /// Whether it is as if nothing had ever come.
    pub(super) fn is_unused(&self, limit: RateLimit, now: Instant) -> bool {
        self.is_full(limit, now) && [&self.requests, &self.pings].iter().all(|bucket| bucket.would_tell(now))
    }

    /// Whether as many requests may come as of somebody new.
    pub(super) fn is_full(&self, limit: RateLimit, now: Instant) -> bool {
        self.requests.is_full(limit, now) && self.pings.is_full(limit, now)
    }

    fn bucket(&self, is_ping: bool) -> &TokenBucket {
        if is_ping { &self.pings } else { &self.requests }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(rate: &str, burst: u32) -> RateLimit {
        RateLimit::parse(rate, Some(burst)).unwrap()
    }

    /// Takes tokens until there is none; returns how many there were, and the wait for the next.
    fn drain(bucket: &TokenBucket, limit: RateLimit, now: Instant) -> (usize, Duration) {
        let mut taken = 0;
        loop {
            match bucket.take(limit, now) {
                Ok(()) => taken += 1,
                Err(exceeded) => return (taken, exceeded.wait),
            }
        }
    }

    #[test]
    fn a_burst_is_followed_by_the_rate() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let (bucket, limit) = (TokenBucket::new(start), limit("4/s", 10));
        assert_eq!(drain(&bucket, limit, at(0)), (10, Duration::from_millis(250)));
        assert_eq!(drain(&bucket, limit, at(125)), (0, Duration::from_millis(125)));
        assert_eq!(drain(&bucket, limit, at(250)).0, 1);
        assert_eq!(drain(&bucket, limit, at(1250)).0, 4);
        // It never holds more than its burst.
        assert_eq!(drain(&bucket, limit, at(3_600_000)).0, 10);
    }

    #[test]
    fn over_any_time_no_more_than_burst_and_rate_pass() {
        let start = Instant::now();
        let limit = limit("7/s", 3);
        for step in [1, 10, 99, 143, 500, 3000] {
            let bucket = TokenBucket::new(start);
            let mut passed = 0.0;
            for number in 0..300 {
                let elapsed = Duration::from_millis(number * step);
                passed += f64::from(u8::from(bucket.take(limit, start + elapsed).is_ok()));
                assert!(passed <= 3.0 + 7.0 * elapsed.as_secs_f64() + 1e-6, "{step} {number}");
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let start = Instant::now();
        let (bucket, limit) = (TokenBucket::new(start), limit("1/s", 1));
        let later = start + Duration::from_secs(5);
        assert!(bucket.take(limit, later).is_ok());
        for _ in 0..10 {
            assert!(bucket.take(limit, start).is_err());
            assert!(bucket.take(limit, later).is_err());
        }
    }

    #[test]
    fn another_limit_forgets_nothing() {
        let start = Instant::now();
        let bucket = TokenBucket::new(start);
        assert_eq!(drain(&bucket, limit("1/h", 10), start).0, 10);
        // The ten are still missing.
        assert_eq!(drain(&bucket, limit("1/h", 12), start).0, 2);
        assert_eq!(drain(&bucket, limit("5/s", 12), start), (0, Duration::from_millis(200)));
        // Of a smaller bucket, no more can be missing than it holds.
        assert_eq!(drain(&bucket, limit("5/s", 2), start), (0, Duration::from_millis(200)));
        assert_eq!(drain(&bucket, limit("5/s", 12), start).0, 10);
    }

    #[test]
    fn a_refusal_is_news_once_a_minute_and_tells_how_many_were_not() {
        let start = Instant::now();
        let (bucket, limit) = (TokenBucket::new(start), limit("1/h", 1));
        assert!(bucket.take(limit, start).is_ok());
        let news = |seconds| bucket.take(limit, start + Duration::from_secs(seconds)).unwrap_err().news;
        let first = news(0).unwrap();
        let suppressed = [1, 59, 60, 61, 119, 120, 200].map(|seconds| news(seconds).map(|news| news.suppressed));
        assert_eq!(suppressed, [None, None, Some(2), None, None, Some(2), Some(0)]);
        assert_eq!((first.suppressed, first.further.load(Ordering::Relaxed)), (0, 2));
    }

    #[test]
    fn pings_are_counted_apart_and_limited_all_the_same() {
        let start = Instant::now();
        let (rate, limit) = (RequestRate::new(start), limit("1/s", 2));
        assert!(rate.is_unused(limit, start));
        let count = |is_ping| (0..5).filter(|_| rate.count(limit, is_ping, start).is_ok()).count();
        assert_eq!((count(false), count(true)), (2, 2));
        rate.forget(false);
        assert_eq!((count(false), count(true)), (1, 0));
        let after = start + Duration::from_secs(59);
        assert!(!rate.is_unused(limit, after) && rate.is_full(limit, after), "a refusal has been told");
        assert!(rate.is_unused(limit, start + Duration::from_secs(60)));
        let rate = RequestRate::new(start);
        assert!(rate.count(limit, false, start).is_ok());
        assert!(!rate.is_unused(limit, start + Duration::from_millis(999)));
        assert!(rate.is_unused(limit, start + Duration::from_secs(2)));
    }
}
