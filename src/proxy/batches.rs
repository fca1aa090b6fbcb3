//! Look-ups that are asked together: however many clients wait, the engine is asked once for all of them, and has time for others
//! in between.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{MutexGuard as AsyncMutexGuard, OnceCell};
use tokio::time::Instant;

/// A batch counts for this many times as long as it takes: of all the time, the engine is asked for one part in so many.
const COST_FACTOR: u32 = 5;
/// But for no less and no more than this.
const COSTS: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(2)];
/// How much may be asked for at once, before there are pauses.
const BURST: Duration = Duration::from_secs(1);

/// How many keys of a batch are looked up at the same time.
const AT_ONCE: usize = 16;

/// Looks up each key by itself, some at the same time, so that one for which the engine takes long keeps no other waiting. What is not
/// found, or not in `limit`, is missing.
pub(super) async fn each_within<K, A, F>(limit: Duration, keys: BTreeSet<K>, look_up: impl Fn(K) -> F) -> BTreeMap<K, A>
where
    K: Ord + Clone,
    F: Future<Output = Option<A>>,
{
    let (keys, mut found): (Vec<K>, _) = (keys.into_iter().collect(), BTreeMap::new());
    for some in keys.chunks(AT_ONCE) {
        type Asked<K, F> = (K, Pin<Box<F>>);
        let mut asked: Vec<Asked<K, _>> =
            some.iter().map(|key| (key.clone(), Box::pin(tokio::time::timeout(limit, look_up(key.clone()))))).collect();
        poll_fn(|cx| {
            asked.retain_mut(|(key, look_up)| match look_up.as_mut().poll(cx) {
                Poll::Ready(answer) => {
                    found.extend(answer.ok().flatten().map(|answer| (key.clone(), answer)));
                    false
                }
                Poll::Pending => true,
            });
            if asked.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    found
}

/// Look-ups of one kind: `K` is what is looked up, `A` what is found.
#[derive(Debug)]
pub struct Batches<K, A> {
    /// The batch that has not begun.
    next: Mutex<Arc<Batch<K, A>>>,
    /// Until when those before it count. Locked while one is under way.
    turn: tokio::sync::Mutex<Instant>,
}

/// What is looked up together.
#[derive(Debug)]
struct Batch<K, A> {
    keys: Mutex<BTreeSet<K>>,
    found: OnceCell<BTreeMap<K, A>>,
}

impl<K, A> Default for Batch<K, A> {
    fn default() -> Self {
        Self { keys: Mutex::default(), found: OnceCell::new() }
    }
}

impl<K, A> Default for Batches<K, A> {
    fn default() -> Self {
        Self { next: Mutex::default(), turn: tokio::sync::Mutex::new(Instant::now()) }
    }
}

impl<K: Ord + Clone, A: Clone> Batches<K, A> {
    /// What is found for a key; `None` if nothing is. `look_up` finds it for several keys at once; it begins after this was
    /// called, so what it finds is not older.
    ///
    /// Cancel safety: when dropped, another one who waits for the same batch looks up for all of it.
    pub(super) async fn find(&self, key: K, look_up: impl AsyncFnOnce(BTreeSet<K>) -> BTreeMap<K, A>) -> Option<A> {
        let batch = {
            let next = lock(&self.next);
            lock(&next.keys).insert(key.clone());
            next.clone()
        };
        let found = batch
            .found
            .get_or_init(async || {
                let turn = self.turn.lock().await;
                if let Some(begin) = turn.checked_sub(BURST) {
                    tokio::time::sleep_until(begin).await;
                }
                let keys = {
                    let mut next = lock(&self.next);
                    // Whoever comes from here on is in the next batch.
                    if Arc::ptr_eq(&next, &batch) {
                        *next = Arc::default();
                    }
                    lock(&batch.keys).clone()
                };
                let _turn = Turn { begun: Instant::now(), counts_until: turn };
                look_up(keys).await
            })
            .await;
        found.get(&key).cloned()
    }
}

/// A batch that is under way. It counts when dropped, even if nobody waited for its end.
struct Turn<'t> {
    begun: Instant,
    counts_until: AsyncMutexGuard<'t, Instant>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let [least, most] = COSTS;
        let cost = (self.begun.elapsed() * COST_FACTOR).clamp(least, most);
        *self.counts_until = (*self.counts_until).max(self.begun) + cost;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that holds the lock panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::{mpsc, oneshot};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::time_limit::within_time_limit;

    /// A look-up that has begun: what is looked up, and what lets it end. Of a key it finds how manieth look-up it is.
    type Begun = (Vec<u8>, oneshot::Sender<usize>);

    #[test]
    fn one_that_takes_long_keeps_no_other_waiting() {
        run(async |_| {
            let limit = Duration::from_millis(100);
            let running = AtomicUsize::new(0);
            let look_up = async |key: u8| {
                assert!(running.fetch_add(1, Ordering::Relaxed) < AT_ONCE);
                tokio::task::yield_now().await;
                if key % 10 == 3 {
                    let _ = tokio::time::timeout(limit * 20, std::future::pending::<()>()).await;
                }
                running.fetch_sub(1, Ordering::Relaxed);
                (key != 4).then_some(key + 1)
            };
            let begun = Instant::now();
            let found = each_within(limit, (0..15).collect(), look_up).await;
            let expected: BTreeMap<u8, u8> =
                (0..15).filter(|key| ![3, 4, 13].contains(key)).map(|key| (key, key + 1)).collect();
            assert_eq!(found, expected);
            assert!(begun.elapsed() < limit * 10, "{:?}", begun.elapsed());
        });
    }

    struct BatchBench {
        batches: Arc<Batches<u8, usize>>,
        sender: mpsc::UnboundedSender<Begun>,
        begun: mpsc::UnboundedReceiver<Begun>,
    }

    impl BatchBench {
        fn new() -> Self {
            let (sender, begun) = mpsc::unbounded_channel();
            Self { batches: Arc::default(), sender, begun }
        }

        /// Somebody who waits for a key. Those above 99 are never found.
        async fn find(&self, key: u8) -> JoinHandle<Option<usize>> {
            let (batches, sender) = (self.batches.clone(), self.sender.clone());
            let look_up = async move |keys: BTreeSet<u8>| {
                let (end, ended) = oneshot::channel();
                sender.send((keys.iter().copied().collect(), end)).unwrap();
                let number = ended.await.unwrap();
                keys.into_iter().filter(|key| *key < 100).map(|key| (key, number)).collect()
            };
            let waiting = tokio::spawn(async move { batches.find(key, look_up).await });
            // It runs until it waits.
            tokio::task::yield_now().await;
            waiting
        }

        async fn next(&mut self) -> Begun {
            self.begun.recv().await.unwrap()
        }
    }

    fn run(test: impl AsyncFnOnce(BatchBench) + Send + 'static) {
        within_time_limit(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(test(BatchBench::new()));
        });
    }

    #[test]
    fn those_who_wait_are_looked_up_together_and_not_in_what_began_before_they_came() {
        run(async |mut bench: BatchBench| {
            let first = bench.find(1).await;
            let (keys, end) = bench.next().await;
            assert_eq!(keys, [1]);
            let others = [bench.find(1).await, bench.find(2).await, bench.find(100).await];
            assert!(bench.begun.try_recv().is_err(), "one at a time");
            end.send(0).unwrap();
            let (keys, end) = bench.next().await;
            assert_eq!((keys, first.await.unwrap()), (vec![1, 2, 100], Some(0)));
            end.send(1).unwrap();
            for (other, expected) in others.into_iter().zip([Some(1), Some(1), None]) {
                assert_eq!(other.await.unwrap(), expected);
            }
        });
    }

    #[test]
    fn who_leaves_leaves_the_look_up_to_the_others() {
        run(async |mut bench: BatchBench| {
            let waiting = [bench.find(0).await, bench.find(1).await, bench.find(2).await];
            let (_, end) = bench.next().await;
            end.send(0).unwrap();
            let [first, second, third] = waiting;
            let (keys, _held) = bench.next().await;
            assert_eq!((first.await.unwrap(), keys), (Some(0), vec![1, 2]));
            second.abort();
            let (keys, end) = bench.next().await;
            end.send(2).unwrap();
            assert_eq!((keys, third.await.unwrap()), (vec![1, 2], Some(2)));
        });
    }

    #[test]
    fn there_are_pauses_even_if_nobody_waits_for_the_end() {
        run(async |mut bench: BatchBench| {
            let begun = Instant::now();
            let burst = BURST.div_duration_f64(COSTS[0]) as usize;
            for number in 0..burst + 10 {
                let waiting = bench.find(1).await;
                let (_, end) = bench.next().await;
                if number % 2 == 0 {
                    waiting.abort();
                } else {
                    end.send(number).unwrap();
                }
                let _ = waiting.await;
            }
            // The last of them began when all before it had counted, but for a burst.
            assert!(begun.elapsed() >= COSTS[0] * 8, "{:?}", begun.elapsed());
        });
    }
}
