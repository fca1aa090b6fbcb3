//! What the engine tests are made with.

pub(crate) mod client;
pub(crate) mod docker;
pub(crate) mod engine;
pub(crate) mod installed;
#[expect(dead_code, reason = "shared with the tests without an engine, which look at more")]
#[path = "../it/support/leaves.rs"]
pub(crate) mod leaves;
pub(crate) mod proxy;
pub(crate) mod seed;
pub(crate) mod tar;

use std::time::{Duration, Instant};

/// A variable of the test run's environment.
#[expect(clippy::disallowed_methods, reason = "a test run has no command line of its own")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Asks `holds` again and again until it is true or `patience` is over.
pub(crate) fn eventually(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Fails if a text holds a canary, and shows where.
#[track_caller]
pub(crate) fn assert_no_canary(what: &str, text: &str) {
    if let Some(at) = text.to_ascii_lowercase().find("canary") {
        let start = text.floor_char_boundary(at.saturating_sub(120));
        let end = text.ceil_char_boundary((at + 80).min(text.len()));
        panic!("{what} leaks: …{}…", &text[start..end]);
    }
}
