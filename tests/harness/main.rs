//! The test runner in `tests/support/harness.rs`, run over a suite of samples that pass, fail and hang.
//!
//! The binary runs itself: with `DOCKVEIL_HARNESS_SAMPLES` set, it is the suite of samples.
#![deny(dead_code)]
#![expect(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

#[path = "../support/harness.rs"]
mod harness;
mod runner;
mod samples;
mod sources;

use std::process::ExitCode;
use std::time::Duration;

use harness::{Missing, Suite};

/// The variable that makes this binary the suite of samples; `require` if none of them may lack anything.
const SAMPLES: &str = "DOCKVEIL_HARNESS_SAMPLES";

fn main() -> ExitCode {
    match std::env::var(SAMPLES) {
        Ok(value) => harness::run(&Suite {
            tests: &[samples::TESTS],
            limit: Duration::from_millis(500),
            threads: None,
            missing: if value == "require" { Missing::Fails } else { Missing::Ignores },
        }),
        Err(_) => harness::run(&Suite {
            tests: &[runner::TESTS, sources::TESTS],
            limit: Duration::from_secs(30),
            threads: None,
            missing: Missing::Fails,
        }),
    }
}
