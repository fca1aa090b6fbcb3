//! An engine that goes away and comes back.

use crate::harness::{Outcome, Test, tests};
use crate::support::client::{Connection, TIMEOUT};
use crate::support::proxy::Proxy;
use crate::support::{client, engine, eventually};

pub(crate) const TESTS: &[Test] = tests![
    an_engine_that_is_gone_is_503_until_it_is_back,
    an_engine_that_comes_late_is_found,
    a_stream_whose_engine_dies_breaks_and_does_not_end,
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
