//! What a connection has still to send, and the log lines that wait for it.
//!
//! The HTTP writer takes an answer before the client does. An answer is complete once its last byte is with the system, and
//! only then its line is written. If the client does not read it and is cut off, the line says so.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::access_log::AccessLog;
use crate::filter::Report;

/// Why an answer of a client was cut off.
const UNREAD: &str = "the client does not read its answer";

/// The answers of one connection on their way.
#[derive(Clone, Debug, Default)]
pub struct Delivery(Arc<Deliveries>);

#[derive(Debug, Default)]
struct Deliveries {
    undelivered: Mutex<Undelivered>,
    /// Whether the last answer is an archive or tells of progress.
    passes_through: AtomicBool,
}

#[derive(Debug, Default)]
struct Undelivered {
    /// The lines of answers of which the HTTP writer has all bytes.
    written: Vec<AccessLog>,
    is_cut: bool,
}

impl Delivery {
    /// All bytes that the HTTP writer had are with the system.
    pub fn is_sent(&self) {
        let written = mem::take(&mut self.state().written);
        written.into_iter().for_each(|mut log| log.complete());
    }

    /// The client is cut off, because it takes no more bytes.
    pub fn cut(&self) {
        let mut state = self.state();
        state.is_cut = true;
        let written = mem::take(&mut state.written);
        drop(state);
        written.into_iter().for_each(|mut log| log.broken("client-slow", &UNREAD));
    }

    /// Whether what is on its way is an archive or tells of progress: who reads that may stop for a while, as whoever reads a stream.
    pub fn passes_through(&self) -> bool {
        self.0.passes_through.load(Ordering::Relaxed)
    }

    /// The line of an answer whose body is to be written now. `passes_through` says that it is an archive or tells of progress.
    pub(super) fn of(&self, log: AccessLog, passes_through: bool) -> DeliveryLog {
        self.0.passes_through.store(passes_through, Ordering::Relaxed);
        DeliveryLog { log, delivery: Some(self.clone()) }
    }

    fn state(&self) -> MutexGuard<'_, Undelivered> {
        // No code that holds the lock panics.
        self.0.undelivered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log line of an answer that the HTTP writer takes.
///
/// The default value writes nothing.
#[derive(Debug, Default)]
pub(super) struct DeliveryLog {
    log: AccessLog,
    /// `None` once the line is no longer up to this.
    delivery: Option<Delivery>,
}

impl DeliveryLog {
    /// The HTTP writer has so many bytes more.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.log.sent(bytes);
    }

    /// Sets the number of hidden places.
    pub(super) fn hidden(&mut self, report: &Report) {
        self.log.hidden(report);
    }

    /// Adds to the time spent on work and on waiting for the engine.
    pub(super) fn took(&mut self, own: Duration, engine: Duration) {
        self.log.took(own, engine);
    }

    /// The HTTP writer has all bytes: the line waits until they are sent.
    pub(super) fn written(&mut self) {
        if let Some(delivery) = self.delivery.take() {
            delivery.state().written.push(mem::take(&mut self.log));
        }
    }

    /// The answer is broken off, by us or by the engine.
    pub(super) fn broken(&mut self, reason: &'static str, error: &impl ToString) {
        self.log.broken(reason, error);
        self.delivery = None;
    }
}

impl Drop for DeliveryLog {
    fn drop(&mut self) {
        if self.delivery.take().is_some_and(|delivery| delivery.state().is_cut) {
            self.log.broken("client-slow", &UNREAD);
        }
    }
}
