//! The lines that wait to be written: as many as the limit allows.

use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::whole_lines::{WaitingWriter, count_lines, write_lines};

/// How many bytes of lines may wait.
const WAITING_LIMIT: usize = 1024 * 1024;
/// How many bytes of lines are written at once, without gathering more.
const GATHERED_LIMIT: usize = WAITING_LIMIT / 4;
/// How long lines gather before they are written, unless they are many or somebody waits for them: each write has a price of its own,
/// and so has waking the thread.
const GATHER_TIME: Duration = Duration::from_millis(10);
/// How large a buffer is kept after a burst, in bytes.
const KEPT_CAPACITY: usize = 64 * 1024;

/// A bounded queue of lines with one thread that writes them. Pushing never waits for the thread.
#[derive(Debug, Default)]
pub(super) struct LineQueue {
    state: Mutex<QueueState>,
    /// Lines have come, or are not to gather any longer.
    pushed: Condvar,
    /// All lines have been written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: Vec<u8>,
    /// How many lines have been dropped and not reported.
    dropped: u64,
    /// How many have been dropped since the start.
    dropped_since_start: u64,
    /// Whether the thread is awake: it then takes new lines without being notified.
    is_writing: bool,
    /// Whether lines are not to gather any longer: somebody waits until all are written, or they are many.
    is_urgent: bool,
}

impl LineQueue {
    /// Adds whole lines, or drops them if too many wait.
    pub(super) fn push(&self, lines: &[u8]) {
        let mut state = self.lock();
        if state.waiting.len() + lines.len() > WAITING_LIMIT {
            let count = count_lines(lines);
            state.dropped += count;
            state.dropped_since_start += count;
            return;
        }
        state.waiting.extend_from_slice(lines);
        if !state.is_writing {
            state.is_writing = true;
            drop(state);
            self.pushed.notify_one();
        } else if state.waiting.len() > GATHERED_LIMIT && !state.is_urgent {
            state.is_urgent = true;
            drop(state);
            self.pushed.notify_one();
        }
    }

    /// How many lines have been dropped since the start.
    pub(super) fn dropped_since_start(&self) -> u64 {
        self.lock().dropped_since_start
    }

    /// Waits until all lines are written, or until `timeout`.
    pub(super) fn wait_until_written(&self, timeout: Duration) {
        let mut state = self.lock();
        state.is_urgent = state.is_writing;
        self.pushed.notify_one();
        let _ = self.written.wait_timeout_while(state, timeout, |state| state.is_writing);
    }

    /// Writes lines as they come, for ever. Calls `report_dropped` with the number of lines that have been dropped once
    /// there is room again.
    pub(super) fn write_to(&self, out: impl Write, report_dropped: impl Fn(u64)) {
        let (mut out, mut is_in_line, mut lines) = (WaitingWriter(out), false, Vec::new());
        // Those that could not be written.
        let mut lost = 0;
        loop {
            if lines.capacity() > KEPT_CAPACITY {
                lines = Vec::new();
            }
            lines.clear();
            let dropped = self.next(&mut lines);
            let (written, error) = write_lines(&mut out, &lines, &mut is_in_line);
            lost += dropped;
            if error.is_some() {
                // An error of the log cannot be logged until it can be written again.
                let unwritten = count_lines(&lines) - written;
                self.lock().dropped_since_start += unwritten;
                lost += unwritten;
            } else if lost > 0 {
                report_dropped(std::mem::take(&mut lost));
            }
        }
    }

    /// Waits for lines and swaps them into `lines`, which is empty; returns how many have been dropped.
    fn next(&self, lines: &mut Vec<u8>) -> u64 {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            (state.is_writing, state.is_urgent) = (false, false);
            self.written.notify_all();
            let wait = self.pushed.wait_while(state, |state| !state.is_writing);
            state = wait.unwrap_or_else(PoisonError::into_inner);
            let wait = self.pushed.wait_timeout_while(state, GATHER_TIME, |state| !state.is_urgent);
            (state, _) = wait.unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut state.waiting, lines);
        std::mem::take(&mut state.dropped)
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::time_limit::within_time_limit;

    /// A writer that blocks until it is opened.
    struct Gate {
        open: Receiver<()>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.open.recv().map_err(std::io::Error::other)?;
            self.text.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    struct Bench {
        queue: Arc<LineQueue>,
        open: Sender<()>,
        text: Arc<Mutex<Vec<u8>>>,
        dropped: Receiver<u64>,
    }

    impl Bench {
        fn start() -> Self {
            let queue = Arc::new(LineQueue::default());
            let (open, opened) = channel();
            let (tell, dropped) = channel();
            let text = Arc::new(Mutex::new(Vec::new()));
            let (gate, writer) = (Gate { open: opened, text: text.clone() }, queue.clone());
            std::thread::spawn(move || writer.write_to(gate, move |lines| tell.send(lines).unwrap()));
            Self { queue, open, text, dropped }
        }
    }

    #[test]
    fn lines_are_written_in_order() {
        within_time_limit(|| {
            let bench = Bench::start();
            bench.queue.push(b"a\n");
            bench.open.send(()).unwrap();
            bench.queue.wait_until_written(Duration::from_secs(20));
            bench.queue.push(b"b\nc\n");
            bench.open.send(()).unwrap();
            bench.queue.wait_until_written(Duration::from_secs(20));
            assert_eq!(*bench.text.lock().unwrap(), b"a\nb\nc\n");
        });
    }

    /// A writer that has no room for its first lines.
    struct FullDisk(usize);

    impl Write for FullDisk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            match self.0.checked_sub(1) {
                Some(left) => {
                    self.0 = left;
                    Err(std::io::ErrorKind::StorageFull.into())
                }
                None => Ok(bytes.len()),
            }
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_could_not_be_written_are_told_once_writing_works_again() {
        within_time_limit(|| {
            let (queue, (tell, told)) = (Arc::new(LineQueue::default()), channel());
            let written = queue.clone();
            std::thread::spawn(move || written.write_to(FullDisk(2), move |lines| tell.send(lines).unwrap()));
            for lines in ["a\nb\n", "c\n", "d\n"] {
                queue.push(lines.as_bytes());
                queue.wait_until_written(Duration::from_secs(20));
            }
            assert_eq!(told.recv(), Ok(3));
            assert_eq!(queue.dropped_since_start(), 3);
        });
    }

    #[test]
    fn nobody_waits_while_lines_gather() {
        within_time_limit(|| {
            let bench = Bench::start();
            let start = std::time::Instant::now();
            for _ in 0..100 {
                bench.queue.push(b"a\n");
                bench.open.send(()).unwrap();
                bench.queue.wait_until_written(Duration::from_secs(20));
            }
            assert!(start.elapsed() < GATHER_TIME * 100, "{:?}", start.elapsed());
        });
    }

    #[test]
    fn a_reader_who_does_not_read_costs_lines_and_no_time() {
        within_time_limit(|| {
            let bench = Bench::start();
            let page = [&[b'x'; 1023][..], b"\n"].concat();
            let pages = WAITING_LIMIT / page.len();
            // At least one page is dropped, whatever the thread has taken by now.
            for _ in 0..2 * pages + 1 {
                bench.queue.push(&page);
            }
            bench.queue.wait_until_written(Duration::from_millis(1));
            for _ in 0..100 {
                bench.open.send(()).unwrap();
            }
            bench.queue.wait_until_written(Duration::from_secs(20));
            let dropped: u64 = bench.dropped.try_iter().sum();
            let written = bench.text.lock().unwrap().len() / page.len();
            assert_eq!(usize::try_from(dropped).unwrap() + written, 2 * pages + 1);
            assert!(dropped > 0 && written >= pages, "{dropped} dropped, {written} written");
        });
    }
}
