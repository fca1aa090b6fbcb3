//! The access log: one line for each exchange.
//!
//! | field | meaning |
//! |---|---|
//! | `operation` | the operation of the Docker API, `-` if the request matches none |
//! | `decision` | `deny`, `relay` or `filter` |
//! | `status` | the status of the answer; 0 if the client left before there was one |
//! | `bytes` | bytes of the body sent to the client; of a stream, all bytes after the head |
//! | `hidden` | places hidden or changed by the filter |
//! | `elapsed_us` | microseconds from the request head until the last byte of the answer is with the system |
//! | `client` | who sent it: the address, or the user and the process |
//! | `error` | why the answer was broken off, or the client was; only with `exchange broken` |
//!
//! The message is `exchange`, `exchange aborted by the client` or, as a warning, `exchange broken`. Apart from sizes,
//! times and statuses the line holds nothing that a client or the engine chose: no name, no query, no body. The line of a
//! request that the policy denies says more, so that an operator finds the client and what to change:
//!
//! | field | meaning |
//! |---|---|
//! | `denied` | which profile denies what, and why |
//! | `opened_by` | the key of the profile or the variable that opens it; empty if nothing does |
//! | `path` | the path of the request with its names and ids, up to its query |
//! | `listener` | the address of the listener |

use std::sync::Arc;
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
    client: Arc<str>,
    denied: Option<Box<DeniedRequest>>,
}

/// What the line of a denied request says in addition.
#[derive(Debug)]
pub(super) struct DeniedRequest {
    /// Why.
    pub(super) why: String,
    /// What opens it; empty if nothing does.
    pub(super) opened_by: String,
    /// Its path.
    pub(super) path: String,
    /// Where.
    pub(super) listener: Arc<str>,
}

/// How an exchange ended.
#[derive(Debug)]
enum ExchangeEnd {
    Aborted,
    Complete,
    Broken(String),
}

impl AccessLog {
    /// The line of an exchange with `client` that starts now.
    pub(super) fn start(client: &Arc<str>) -> Self {
        Self(Some(Entry {
            operation: "-",
            decision: "deny",
            status: 0,
            bytes: 0,
            hidden: 0,
            started: Instant::now(),
            end: ExchangeEnd::Aborted,
            client: client.clone(),
            denied: None,
        }))
    }

    /// The line of a connection that is refused with an answer of this status, whose body has `bytes` bytes.
    pub(super) fn of_refusal(status: u16, bytes: usize, client: &Arc<str>) -> Self {
        let mut log = Self::start(client);
        log.status(status);
        log.sent(bytes);
        log.complete();
        log
    }

    /// Who sent the request.
    pub(super) fn client(&self) -> Arc<str> {
        self.0.as_ref().map(|entry| entry.client.clone()).unwrap_or_default()
    }

    /// Sets the operation.
    pub(super) fn operation(&mut self, operation: &Operation) {
        self.set(|entry| entry.operation = operation.id);
    }

    /// Says why the policy denies the request.
    pub(super) fn denied(&mut self, denied: DeniedRequest) {
        self.set(|entry| entry.denied = Some(Box::new(denied)));
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
        let Entry { operation, decision, status, bytes, hidden, started, end, client, denied } = entry;
        let elapsed_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Some(denied) = denied {
            let DeniedRequest { why: denied, opened_by, path, listener } = *denied;
            tracing::info!(
                operation, decision, status, bytes, elapsed_us, denied, opened_by, path, %client, %listener, "exchange"
            );
            return;
        }
        match end {
            ExchangeEnd::Complete => {
                tracing::info!(operation, decision, status, bytes, hidden, elapsed_us, %client, "exchange");
            }
            ExchangeEnd::Aborted => {
                let message = "exchange aborted by the client";
                tracing::info!(operation, decision, status, bytes, hidden, elapsed_us, %client, "{message}");
            }
            ExchangeEnd::Broken(error) => {
                tracing::warn!(operation, decision, status, bytes, hidden, elapsed_us, %client, error, "exchange broken");
            }
        }
    }
}
