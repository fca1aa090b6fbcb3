//! The one line that an exchange leaves in the log.

use std::time::Instant;

use crate::filter::Report;

/// An exchange that is under way; writes its line when it is dropped.
///
/// Nothing a client or the engine chose is in it but sizes, times and statuses: no names, no query, no body.
#[derive(Debug)]
pub(super) struct Trace {
    operation: &'static str,
    decision: &'static str,
    status: u16,
    bytes: u64,
    hidden: u64,
    started: Instant,
    end: End,
}

#[derive(Debug)]
enum End {
    Open,
    Done,
    Broken(String),
}

impl Trace {
    /// An exchange that starts now.
    pub(super) fn start() -> Self {
        Self {
            operation: "-",
            decision: "deny",
            status: 0,
            bytes: 0,
            hidden: 0,
            started: Instant::now(),
            end: End::Open,
        }
    }

    /// Which operation it is.
    pub(super) fn operation(&mut self, operation: &'static str) {
        self.operation = operation;
    }

    /// What was decided.
    pub(super) fn decision(&mut self, decision: &'static str) {
        self.decision = decision;
    }

    /// What it was answered with.
    pub(super) fn status(&mut self, status: u16) {
        self.status = status;
    }

    /// How much was hidden.
    pub(super) fn hid(&mut self, report: &Report) {
        self.hidden = report.hidden();
    }

    /// How much has left.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// All has left.
    pub(super) fn done(&mut self) {
        self.end = End::Done;
    }

    /// It was given up for a reason of ours or the engine's.
    pub(super) fn broke(&mut self, error: &impl ToString) {
        self.end = End::Broken(error.to_string());
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let Self { operation, decision, status, bytes, hidden, .. } = *self;
        let elapsed_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        match &self.end {
            End::Done => tracing::info!(operation, decision, status, bytes, hidden, elapsed_us, "exchange"),
            End::Open => {
                tracing::info!(operation, decision, status, bytes, hidden, elapsed_us, "exchange left by the client");
            }
            End::Broken(error) => {
                tracing::warn!(operation, decision, status, bytes, hidden, elapsed_us, %error, "exchange broken");
            }
        }
    }
}
