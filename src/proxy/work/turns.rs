//! Whose work is next: the clients have their turns one after another.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Work for a helper thread.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The work that waits for a helper thread.
#[derive(Default)]
pub(super) struct Turns {
    waiting: Mutex<WaitingWork>,
    /// Notified when work has come.
    come: Condvar,
}

#[derive(Default)]
struct WaitingWork {
    /// The work of each client that has any, in the order in which it came.
    jobs: BTreeMap<Arc<str>, BTreeMap<u64, Job>>,
    /// The clients that have any: the one whose turn is next is the first.
    clients: VecDeque<Arc<str>>,
    /// The number of the next work.
    next: u64,
}

/// Work that waits, or has been taken. When dropped before that, it is not done.
pub(super) struct WaitingJob {
    turns: Arc<Turns>,
    client: Arc<str>,
    number: u64,
}

impl Turns {
    /// Adds work for a client.
    pub(super) fn push(self: &Arc<Self>, client: &str, job: Job) -> WaitingJob {
        let client: Arc<str> = host(client).into();
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        let jobs = waiting.jobs.entry(client.clone()).or_default();
        jobs.insert(number, job);
        if jobs.len() == 1 {
            waiting.clients.push_back(client.clone());
        }
        drop(waiting);
        self.come.notify_one();
        WaitingJob { turns: self.clone(), client, number }
    }

    /// Waits for work: the oldest of the client whose turn it is.
    pub(super) fn next(&self) -> Job {
        let mut waiting = self.waiting();
        loop {
            if let Some(job) = waiting.take() {
                return job;
            }
            waiting = self.come.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, WaitingWork> {
        // No code that holds the lock panics.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitingWork {
    fn take(&mut self) -> Option<Job> {
        let client = self.clients.pop_front()?;
        let jobs = self.jobs.get_mut(&client)?;
        let (_, job) = jobs.pop_first()?;
        if jobs.is_empty() {
            self.jobs.remove(&client);
        } else {
            self.clients.push_back(client);
        }
        Some(job)
    }

    fn remove(&mut self, client: &Arc<str>, number: u64) -> Option<Job> {
        let jobs = self.jobs.get_mut(client)?;
        let job = jobs.remove(&number)?;
        if jobs.is_empty() {
            self.jobs.remove(client);
            self.clients.retain(|other| other != client);
        }
        Some(job)
    }
}

impl Drop for WaitingJob {
    fn drop(&mut self) {
        let job = self.turns.waiting().remove(&self.client, self.number);
        // What it holds is dropped without the lock.
        drop(job);
    }
}

/// The name of a client in the log without its port: all connections from one address have one turn.
fn host(client: &str) -> &str {
    match client.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => client,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::time_limit::within_time_limit;

    /// The order in which work is done that came in this order.
    fn order(clients: &[&str], dropped: &[usize]) -> Vec<usize> {
        let (turns, (send, done)) = (Arc::<Turns>::default(), mpsc::channel());
        let mut waiting: Vec<_> = clients
            .iter()
            .enumerate()
            .map(|(number, client)| {
                let send = send.clone();
                Some(turns.push(client, Box::new(move || send.send(number).unwrap())))
            })
            .collect();
        for number in dropped {
            waiting[*number] = None;
        }
        for _ in dropped.len()..clients.len() {
            turns.next()();
        }
        assert!(turns.waiting().jobs.is_empty() && turns.waiting().clients.is_empty());
        done.try_iter().collect()
    }

    #[test]
    fn clients_have_their_turns_one_after_another() {
        within_time_limit(|| {
            assert_eq!(order(&["a", "a", "a", "b", "c", "b"], &[]), [0, 3, 4, 1, 5, 2]);
            assert_eq!(order(&["10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "[::1]:4"], &[]), [0, 3, 1, 2]);
            assert_eq!(order(&["uid 0 pid 1", "uid 0 pid 1", "uid 0 pid 2"], &[]), [0, 2, 1]);
        });
    }

    #[test]
    fn what_is_dropped_has_no_turn() {
        within_time_limit(|| {
            assert_eq!(order(&["a", "a", "b", "c"], &[0, 2]), [1, 3]);
            assert_eq!(order(&["a", "b"], &[0, 1]), [0; 0]);
        });
    }
}
