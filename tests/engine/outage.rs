//! An engine that goes away and comes back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::harness::{Outcome, Test, tests};
use crate::support::client::{Connection, TIMEOUT};
use crate::support::proxy::Proxy;
use crate::support::{client, engine, eventually, variable};

pub(crate) const TESTS: &[Test] = tests![
    an_engine_that_is_gone_is_503_until_it_is_back,
    an_engine_that_comes_late_is_found,
    a_stream_whose_engine_dies_breaks_and_does_not_end,
    no_request_hangs_while_the_engine_restarts_under_load,
];

/// Requests to send with and without an engine.
const TARGETS: [&str; 3] = ["/containers/json", "/v1.41/containers/json?all=1", "/version"];

/// Without an engine every request gets 503 and an error like the engine's.
#[track_caller]
fn check_unavailable(proxy: &mut Proxy) {
    for target in TARGETS {
        let response = client::get(&proxy.socket(), target);
        assert_eq!(response.status(), 503, "{target}: {}", response.text());
        assert_eq!(response.head.get("content-type"), Some("application/json"));
        assert!(response.json()["message"].is_string(), "{target}: {}", response.text());
    }
    assert!(proxy.is_running(), "{}", proxy.log());
}

/// With the engine back, every request is answered again.
#[track_caller]
fn check_served(proxy: &mut Proxy) {
    for target in TARGETS {
        let back = eventually(TIMEOUT, || client::get(&proxy.socket(), target).status() == 200);
        assert!(back, "{target} is not served: {}", client::get(&proxy.socket(), target).text());
    }
    assert!(proxy.is_running(), "{}", proxy.log());
}

fn an_engine_that_is_gone_is_503_until_it_is_back() -> Outcome {
    let engine = engine::private("outage")?;
    let mut proxy = Proxy::start(&engine.socket(), "dashboard");
    check_served(&mut proxy);
    drop(engine);
    check_unavailable(&mut proxy);
    let _engine = engine::private("outage")?;
    check_served(&mut proxy);
    Ok(())
}

fn an_engine_that_comes_late_is_found() -> Outcome {
    let engine = engine::private("late")?;
    let socket = engine.socket();
    drop(engine);
    let mut proxy = Proxy::start(&socket, "dashboard");
    check_unavailable(&mut proxy);
    let _engine = engine::private("late")?;
    check_served(&mut proxy);
    Ok(())
}

fn a_stream_whose_engine_dies_breaks_and_does_not_end() -> Outcome {
    let engine = engine::private("broken")?;
    let mut proxy = Proxy::start(&engine.socket(), "session");
    let mut events = Connection::open(&proxy.socket());
    let head = events.request("GET", "/events", &[], b"");
    assert_eq!(head.status, 200);
    drop(engine);
    let (_, complete) = events.read_body(&head);
    assert!(!complete, "a stream that was cut off ended cleanly");
    assert!(events.ends(), "a stream that was cut off stays open");
    check_unavailable(&mut proxy);
    Ok(())
}

/// Says that the load ends, whatever ends the test.
struct EndOfLoad<'b>(&'b AtomicBool);

impl Drop for EndOfLoad<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Every request is answered and every stream ends, whatever the engine does: the client waits for each no longer than
/// [`TIMEOUT`].
#[expect(clippy::print_stdout, reason = "how long it took is a figure")]
fn no_request_hangs_while_the_engine_restarts_under_load() -> Outcome {
    // With twenty, this takes a minute.
    let restarts = variable("DOCKVEIL_RESTARTS").map_or(2, |text| text.parse::<usize>().unwrap());
    let mut engine = Some(engine::private("restarted")?);
    let proxy = Proxy::start(&engine.as_ref().unwrap().socket(), "session");
    let (socket, has_ended) = (proxy.socket(), AtomicBool::new(false));
    let (answered, streams, longest) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let timed = |work: &dyn Fn()| {
        while !has_ended.load(Ordering::SeqCst) {
            let started = Instant::now();
            work();
            longest.fetch_max(u64::try_from(started.elapsed().as_millis()).unwrap(), Ordering::Relaxed);
        }
    };
    let ask = || {
        for target in TARGETS {
            let status = client::get(&socket, target).status();
            assert!([200, 502, 503, 504].contains(&status), "{target}: {status}");
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    let stream = || {
        let mut events = Connection::open(&socket);
        let head = events.request("GET", "/events", &[], b"");
        let (_, complete) = events.read_body(&head);
        assert!(head.status != 200 || !complete, "a stream that was cut off ended cleanly");
        streams.fetch_add(1, Ordering::Relaxed);
    };
    std::thread::scope(|scope| {
        let end = EndOfLoad(&has_ended);
        for _ in 0..8 {
            scope.spawn(|| timed(&ask));
        }
        for _ in 0..4 {
            scope.spawn(|| {
                while !has_ended.load(Ordering::SeqCst) {
                    stream()
                }
            });
        }
        for _ in 0..restarts {
            drop(engine.take());
            engine = Some(engine::private("restarted").unwrap_or_else(|_| panic!("it was there before")));
            assert!(eventually(TIMEOUT, || client::get(&socket, TARGETS[0]).status() == 200), "{}", proxy.log());
        }
        drop(end);
        // The streams end with it.
        drop(engine.take());
    });
    let [answered, streams, longest] = [&answered, &streams, &longest].map(|figure| figure.load(Ordering::Relaxed));
    println!(
        "{restarts} restarts, {answered} requests and {streams} streams, none hung; three requests took {longest} ms at most"
    );
    assert!(answered > 100, "hardly a request was sent");
    Ok(())
}
