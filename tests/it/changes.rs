//! Requests that change something: the engine may work for long, and so may a client send.

use std::time::Duration;

use dockveil::api::{OPERATIONS, Operation};
use dockveil::config::Config;

use crate::harness::{Test, tests};
use crate::support::client::{body_of, get, status, target_of};
use crate::support::daemon::{handing, json};
use crate::support::proxy::{Bench, changing, policy_of};

pub(crate) const TESTS: &[Test] = tests![
    what_changes_something_may_take_longer_than_what_reads,
    what_a_client_takes_to_send_a_body_is_no_part_of_a_timeout,
    an_engine_that_is_silent_after_a_body_is_given_up,
    the_engine_is_not_blamed_for_a_body_that_is_malformed_or_cut
];

/// The timeout of the engine, which is shorter than what a test takes.
const SHORT: Duration = Duration::from_millis(300);

/// The profile that allows everything, and these times for the engine.
fn with_timeouts(response: Duration, work: Duration) -> impl Fn(&mut Config) {
    move |config| {
        config.listeners[0].policy = policy_of(&changing());
        (config.timeouts.response, config.timeouts.work) = (response, work);
    }
}

/// What changes something and has an ordinary answer.
fn changes() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(|operation| operation.mutating && operation.response.upgrade().is_none())
}

fn what_changes_something_may_take_longer_than_what_reads() {
    // All are asked at once, so each answer takes a while even without that.
    let response = Duration::from_secs(1);
    let slow = move |_: &str| {
        std::thread::sleep(2 * response);
        json("{}")
    };
    let bench = Bench::with(slow, with_timeouts(response, Duration::from_secs(20)));
    // What is asked for first waits for the version of the engine.
    assert_eq!(status(&bench.ask("DELETE /containers/web HTTP/1.1\r\nHost: d\r\n\r\n")), 200);
    let asked: Vec<(&str, u16)> = std::thread::scope(|scope| {
        let ask = |operation: &'static Operation| {
            let request = format!(
                "{} {} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n{}",
                operation.method.as_str(),
                target_of(operation),
                body_of(operation)
            );
            let mut client = bench.client();
            scope.spawn(move || {
                client.send(request);
                (operation.id, status(&client.rest()))
            })
        };
        let asked: Vec<_> = changes().map(ask).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let late: Vec<_> = asked.iter().filter(|(_, status)| *status == 504).collect();
    assert!(late.is_empty(), "{late:?}");
    let answered = asked.iter().filter(|(_, status)| *status < 300).count();
    assert!(answered >= 40, "{asked:?}");
    // Nor are archives late, which the engine gathers first. Everything else is.
    let bench = Bench::with(slow, |config| {
        (config.timeouts.response, config.timeouts.work) = (response, Duration::from_secs(20));
    });
    assert_eq!(status(&bench.ask(get("/containers/web/export"))), 200);
    assert_eq!(status(&bench.ask(get("/containers/json"))), 504);
}

/// Each operation with a body of unknown length that passes as it arrives.
const UPLOADS: [&str; 4] =
    ["PUT /containers/web/archive?path=/", "POST /build", "POST /images/load", "POST /images/create?fromSrc=-&repo=a"];

/// The head of an upload, and the start of its chunks.
fn upload(line: &str) -> String {
    let fields = "Content-Type: application/x-tar\r\nTransfer-Encoding: chunked";
    format!("{line} HTTP/1.1\r\nHost: d\r\n{fields}\r\n\r\n")
}

fn what_a_client_takes_to_send_a_body_is_no_part_of_a_timeout() {
    for line in UPLOADS {
        // The daemon reads no chunks, so its answer comes with the head of the request, after all of the body has been sent.
        let answer = |_: &str| {
            std::thread::sleep(6 * SHORT);
            json("{}")
        };
        let bench = Bench::with(answer, with_timeouts(SHORT, SHORT));
        let mut client = bench.client();
        client.send(upload(line));
        for _ in 0..10 {
            std::thread::sleep(SHORT / 2);
            client.send("4\r\n\0\0\0\0\r\n");
        }
        std::thread::sleep(2 * SHORT);
        client.send("0\r\n\r\n");
        assert_eq!(status(&client.response()), 200, "{line}");
    }
}

fn an_engine_that_is_silent_after_a_body_is_given_up() {
    for line in UPLOADS {
        let (answer, _connections) = handing("");
        let bench = Bench::with(answer, with_timeouts(SHORT, SHORT));
        let mut client = bench.client();
        client.send(upload(line));
        client.send("4\r\n\0\0\0\0\r\n0\r\n\r\n");
        assert_eq!(status(&client.response()), 504, "{line}");
    }
}

fn the_engine_is_not_blamed_for_a_body_that_is_malformed_or_cut() {
    for line in UPLOADS {
        for rest in ["0\r\nX-Sum: 1\r\n\r\n", "4;a=b\r\n\0\0\0\0\r\n0\r\n\r\n", "no number\r\n", "4\r\n\0\0"] {
            let (answer, _connections) = handing("");
            let bench = Bench::with(answer, with_timeouts(SHORT, Duration::from_secs(20)));
            let answer = bench.ask(upload(line) + "4\r\n\0\0\0\0\r\n" + rest);
            assert_eq!(status(&answer), 400, "{line} {rest:?}: {answer}");
        }
    }
}
