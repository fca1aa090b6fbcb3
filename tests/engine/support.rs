//! What the engine tests share.

#[expect(dead_code, reason = "shared with the tests without an engine, which use more of it")]
#[path = "../it/support/authority.rs"]
pub(crate) mod authority;
pub(crate) mod cli;
pub(crate) mod client;
pub(crate) mod engine;
pub(crate) mod installed;
#[expect(dead_code, reason = "shared with the tests without an engine, which use more of it")]
#[path = "../it/support/leaves.rs"]
pub(crate) mod leaves;
pub(crate) mod process;
pub(crate) mod proxy;
#[path = "../support/recorded.rs"]
#[expect(dead_code, reason = "what clients read is checked in the tests without an engine")]
pub(crate) mod recorded;
pub(crate) mod seed;
pub(crate) mod tar;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A variable of the test run's environment.
#[expect(clippy::disallowed_methods, reason = "a test run has no command line of its own")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether a condition becomes true in time. It is checked again and again, so this is for what gives no sign when it
/// happens; where there is an event, a line or an end of a process, a test waits for that.
pub(crate) fn eventually(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + timeout;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Does the same with each of `items` at the same time, for work that waits for an engine or a client. Returns the results
/// in the order of the items.
pub(crate) fn at_once<I: Send, T: Send, const N: usize>(items: [I; N], work: impl Fn(I) -> T + Sync) -> [T; N] {
    std::thread::scope(|scope| {
        let work = &work;
        let running = items.map(|item| scope.spawn(move || work(item)));
        running.map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// The time, as the parameters of the API take it: seconds since 1970 with nine decimal places.
pub(crate) fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}

/// An address of this machine that only this run uses: every port of it is free.
pub(crate) fn loopback(last: u8) -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 1, low, last)
}

/// Fails if a text contains a canary, and shows where.
#[track_caller]
pub(crate) fn assert_no_canary(what: &str, text: &str) {
    if let Some(at) = text.to_ascii_lowercase().find("canary") {
        let start = text.floor_char_boundary(at.saturating_sub(120));
        let end = text.ceil_char_boundary((at + 80).min(text.len()));
        panic!("{what} leaks: …{}…", &text[start..end]);
    }
}
