//! The access log: one line for each exchange.
//!
//! | field | meaning |
//! |---|---|
//! | `operation` | the operation of the Docker API, `-` if the request matches none |
//! | `decision` | `deny`, `relay` or `filter` |
//! | `status` | the status of the answer; 0 if the client left before there was one |
//! | `bytes` | bytes of the body sent to the client; of a stream, all bytes after the head |
//! | `hidden` | places hidden or changed by the filter |
//! | `elapsed_us` | microseconds from the request head to the end of the answer |
//! | `error` | why the answer was broken off; only with `exchange broken` |
//!
//! The message is `exchange`, `exchange aborted by the client` or, as a warning, `exchange broken`. Apart from sizes,
//! times and statuses the line holds nothing that a client or the engine chose: no name, no query, no body.

use std::time::Instant;

use crate::api::Operation;
use crate::filter::Report;

/// The log line of an exchange, written when it is dropped.
///
/// The default value writes nothing.
#[derive(Debug, Default)]
pub(super) struct AccessLog(Option<Entry>);

#[derive(Debug)]
struct Entry {
    operation: &'static str,
    decision: &'static str,
    status: u16,
    bytes: u64,
    hidden: u64,
    started: Instant,
    end: ExchangeEnd,
}

/// How an exchange ended.
#[derive(Debug)]
enum ExchangeEnd {
    Aborted,
    Complete,
    Broken(String),
}

impl AccessLog {
    /// The line of an exchange that starts now.
    pub(super) fn start() -> Self {
        Self(Some(Entry {
            operation: "-",
            decision: "deny",
            status: 0,
            bytes: 0,
            hidden: 0,
            started: Instant::now(),
            end: ExchangeEnd::Aborted,
        }))
    }

    /// The line of a connection that is refused with an answer of this status, whose body has `bytes` bytes.
    pub(super) fn of_refusal(status: u16, bytes: usize) -> Self {
        let mut log = Self::start();
        log.status(status);
        log.sent(bytes);
        log.complete();
        log
    }

    /// Sets the operation.
    pub(super) fn operation(&mut self, operation: &Operation) {
        self.set(|entry| entry.operation = operation.id);
    }

    /// Sets the decision.
    pub(super) fn decision(&mut self, decision: &'static str) {
        self.set(|entry| entry.decision = decision);
    }

    /// Sets the status of the answer.
    pub(super) fn status(&mut self, status: u16) {
        self.set(|entry| entry.status = status);
    }

    /// Sets the number of hidden places.
    pub(super) fn hidden(&mut self, report: &Report) {
        self.set(|entry| entry.hidden = report.hidden());
    }

    /// Adds to the number of bytes sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.set(|entry| entry.bytes += bytes as u64);
    }

    /// The answer was sent to its end.
    pub(super) fn complete(&mut self) {
        self.set(|entry| entry.end = ExchangeEnd::Complete);
    }

    /// The answer was broken off, by us or by the engine.
    pub(super) fn broken(&mut self, error: &impl ToString) {
        self.set(|entry| entry.end = ExchangeEnd::Broken(error.to_string()));
    }

    fn set(&mut self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = &mut self.0 {
            change(entry);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let Some(entry) = self.0.take() else { return };
        let Entry { operation, decision, status, bytes, hidden, started, end } = entry;
        let elapsed_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        match end {
            ExchangeEnd::Complete => tracing::info!(operation, decision, status, bytes, hidden, elapsed_us, "exchange"),
            ExchangeEnd::Aborted => {
                tracing::info!(
                    operation,
                    decision,
                    status,
                    bytes,
                    hidden,
                    elapsed_us,
                    "exchange aborted by the client"
                );
            }
            ExchangeEnd::Broken(error) => {
                tracing::warn!(operation, decision, status, bytes, hidden, elapsed_us, error, "exchange broken");
            }
        }
    }
}
