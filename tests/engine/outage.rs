//! An engine that goes away, and comes back.

use std::time::Duration;

use super::support::client::{Connection, PATIENCE};
use super::support::proxy::Proxy;
use super::support::{client, engine, eventually};

/// The reads that are asked with and without an engine.
const TARGETS: [&str; 3] = ["/containers/json", "/v1.41/containers/json?all=1", "/version"];

/// An answer in the engine's error form that says that there is no engine.
#[track_caller]
fn check_unavailable(proxy: &mut Proxy) {
    for target in TARGETS {
        let answer = client::get(&proxy.socket(), target);
        assert_eq!(answer.status(), 503, "{target}: {}", answer.text());
        assert_eq!(answer.head.get("content-type"), Some("application/json"));
        assert!(answer.json()["message"].is_string(), "{target}: {}", answer.text());
    }
    assert!(proxy.lives(), "{}", proxy.log());
}

/// Service without anybody's help, soon after the engine is there.
#[track_caller]
fn check_served(proxy: &mut Proxy) {
    for target in TARGETS {
        let back = eventually(PATIENCE, || client::get(&proxy.socket(), target).status() == 200);
        assert!(back, "{target} is not served: {}", client::get(&proxy.socket(), target).text());
    }
    assert!(proxy.lives(), "{}", proxy.log());
}

#[test]
fn an_engine_that_is_gone_is_503_until_it_is_back() {
    let Some(engine) = engine::private("outage") else { return };
    let mut proxy = Proxy::start(&engine.socket(), "dashboard");
    check_served(&mut proxy);
    drop(engine);
    check_unavailable(&mut proxy);
    let Some(_engine) = engine::private("outage") else { return };
    check_served(&mut proxy);
}

#[test]
fn an_engine_that_comes_late_is_found() {
    let Some(engine) = engine::private("late") else { return };
    let socket = engine.socket();
    drop(engine);
    let mut proxy = Proxy::start(&socket, "dashboard");
    check_unavailable(&mut proxy);
    let Some(_engine) = engine::private("late") else { return };
    check_served(&mut proxy);
}

#[test]
fn a_stream_whose_engine_dies_breaks_and_does_not_end() {
    let Some(engine) = engine::private("broken") else { return };
    let mut proxy = Proxy::start(&engine.socket(), "session");
    let mut events = Connection::open(&proxy.socket());
    let head = events.ask("GET", "/events", &[], b"");
    assert_eq!(head.status, 200);
    drop(engine);
    let (_, complete) = events.body(&head, PATIENCE);
    assert!(!complete, "a stream that was cut off came to a clean end");
    assert!(events.ends_within(Duration::from_secs(1)), "a stream that was cut off stays open");
    check_unavailable(&mut proxy);
}
