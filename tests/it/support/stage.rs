//! The whole program with one built-in profile, in front of an engine whose answer the test sets.

use std::sync::{Arc, Mutex};

use dockveil::config::ByteLimit;
use dockveil::policy::Policy;

use super::daemon::Reply;
use super::proxy::Bench;

/// The program and the engine.
pub(crate) struct Stage {
    /// Both of them.
    pub(crate) bench: Bench,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Stage {
    /// Starts both. The engine answers with an empty body until [`Stage::answer`] is called.
    pub(crate) fn new(policy: Arc<Policy>) -> Self {
        let answer = Arc::new(Mutex::new(Vec::new()));
        let current = answer.clone();
        let bench = Bench::with(
            move |_| Reply::Keep(current.lock().unwrap().clone()),
            |config| {
                config.listeners[0].policy = policy;
                config.limits.element = ByteLimit::new(16 << 20);
            },
        );
        let stage = Self { bench, answer };
        stage.answer("200 OK", b"");
        stage
    }

    /// From now on the engine answers with this head, without its length and end, and this body as JSON.
    pub(crate) fn answer(&self, head: &str, body: &[u8]) {
        self.answer_with(&format!("{head}\r\nContent-Type: application/json"), body);
    }

    /// As [`Stage::answer`], with a head that names the type of the body, if there is one.
    pub(crate) fn answer_with(&self, head: &str, body: &[u8]) {
        let head = if head.starts_with("204") {
            format!("HTTP/1.1 {head}\r\n\r\n")
        } else {
            format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len())
        };
        *self.answer.lock().unwrap() = [head.as_bytes(), body].concat();
    }
}
