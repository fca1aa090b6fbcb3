//! Events and stats through the profile `dashboard`: what happens is told, whose labels and which commands is not.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::support::client::{self, Answer, Connection, PATIENCE};
use super::support::docker::{self, Running};
use super::support::engine::Engine;
use super::support::proxy::Proxy;
use super::support::{assert_no_canary, engine, seed};

/// The shared engine with a proxy for a dashboard.
fn dashboard() -> Option<(&'static Engine, Proxy)> {
    let engine = engine::shared()?;
    Some((engine, Proxy::start(&engine.socket(), "dashboard")))
}

/// A container with labels to hide and one to show, in which a command runs that nobody else should read of.
#[track_caller]
fn live_and_die(engine: &Engine, name: &str) {
    let socket = engine.socket();
    let remove = || client::request(&socket, "DELETE", &format!("/containers/{name}?force=1"), &[], b"");
    remove();
    let labels = json!({"owner": "canary-event-label", "canary-event-label-name": "1", "exitCode": "canary-event-exit",
                        "execID": "canary-event-exec", "com.docker.compose.service": name});
    let body = json!({"Image": seed::BASE, "Cmd": ["sleep", "1000"], "StopSignal": "SIGKILL", "Labels": labels,
                      "HostConfig": {"NetworkMode": "none"}});
    seed::container(&socket, name, body);
    let body = json!({"AttachStdout": true, "Cmd": ["sh", "-c", "true canary-event-command"]});
    let created = client::post(&socket, &format!("/containers/{name}/exec"), &body).json();
    let id = created["Id"].as_str().unwrap();
    client::post(&socket, &format!("/exec/{id}/start"), &json!({"Detach": false}));
    assert_eq!(client::post(&socket, &format!("/containers/{name}/stop"), &Value::Null).status(), 204);
    remove();
}

/// What happens to such a container, in this order.
const LIFE: [&str; 7] = ["create", "start", "exec_create", "exec_start", "kill", "die", "destroy"];

#[test]
fn docker_events_tells_what_happens_and_no_more() {
    let Some((engine, proxy)) = dashboard() else { return };
    let mut all = Running::start(&proxy.socket(), &["events", "--format", "{{json .}}"]);
    let arguments = [
        "events",
        "--filter",
        "container=firefly",
        "--filter",
        "type=container",
        "--format",
        "{{.Action}} {{.Actor.Attributes.name}}",
    ];
    let mut named = Running::start(&proxy.socket(), &arguments);
    // The health probe of `web` is an exec each second: the streams are open.
    assert_no_canary("docker events", &all.expect("exec_start"));
    live_and_die(engine, "firefly");
    for action in LIFE {
        named.expect(&format!("{action} firefly"));
        let event = all.expect(&format!("\"{action}\""));
        assert_no_canary("docker events", &event);
        let event: Value = serde_json::from_str(&event).unwrap();
        if event["Actor"]["Attributes"]["name"] == "firefly" {
            assert_eq!(event["Actor"]["Attributes"]["com.docker.compose.service"], "firefly", "{event:#}");
            assert_eq!(event["Actor"]["Attributes"]["image"], seed::BASE, "{event:#}");
        }
    }
}

/// The past events of a container, of a stream that ends by itself.
#[track_caller]
fn past(socket: &Path, prefix: &str, accept: &str) -> Answer {
    let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let target = format!("{prefix}/events?since=1&until={until}&filters=%7B%22container%22%3A%5B%22glowworm%22%5D%7D");
    client::exchange(socket, "GET", &target, &[&format!("Accept: {accept}")], b"", PATIENCE)
}

#[test]
fn past_events_are_those_of_the_engine_without_what_is_hidden() {
    let Some((engine, proxy)) = dashboard() else { return };
    live_and_die(engine, "glowworm");
    std::thread::sleep(Duration::from_millis(1100));
    for prefix in ["", "/v1.24", "/v1.40"] {
        for accept in ["*/*", "application/jsonl", "application/x-ndjson", "application/json-seq"] {
            let direct = past(&engine.socket(), prefix, accept);
            let through = past(&proxy.socket(), prefix, accept);
            let what = format!("{prefix} {accept}");
            assert_eq!((through.status(), through.complete), (direct.status(), true), "{what}: {}", through.text());
            assert_eq!(through.head.get("content-type"), direct.head.get("content-type"), "{what}");
            assert!(direct.text().contains("canary-event-command") && direct.text().contains("canary-event-label"));
            assert_no_canary(&what, &through.text());
            let separators = |answer: &Answer| -> Vec<u8> {
                answer.body.iter().copied().filter(|byte| matches!(byte, b'\n' | 0x1e)).collect()
            };
            assert_eq!(separators(&through), separators(&direct), "{what}");
            let events = |answer: &Answer| -> Vec<Value> {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                text.lines().map(|line| serde_json::from_str(line.trim_start_matches('\u{1e}')).unwrap()).collect()
            };
            let (before, after) = (events(&direct), events(&through));
            let actions: BTreeSet<&str> = after.iter().map(|event| event["Action"].as_str().unwrap()).collect();
            assert!(LIFE.iter().all(|action| actions.contains(action)), "{actions:?}");
            for (before, after) in before.iter().zip(&after) {
                for path in
                    ["/Type", "/Actor/ID", "/id", "/from", "/time", "/timeNano", "/scope", "/Actor/Attributes/name"]
                {
                    assert_eq!(after.pointer(path), before.pointer(path), "{what} {path}");
                }
            }
        }
    }
}

#[test]
fn health_is_told_and_its_command_is_not() {
    let Some((_engine, proxy)) = dashboard() else { return };
    let mut connection = Connection::open(&proxy.socket());
    assert_eq!(connection.ask("GET", "/events?filters=%7B%22container%22%3A%5B%22web%22%5D%7D", &[], b"").status, 200);
    let mut actions = BTreeSet::new();
    while !["exec_create", "exec_start", "exec_die"].iter().all(|action| actions.contains(*action)) {
        let event = connection.chunk(PATIENCE).expect("a probe each second");
        let event = String::from_utf8(event).unwrap();
        assert_no_canary("a probe", &event);
        let event: Value = serde_json::from_str(&event).unwrap();
        assert_eq!(event["Actor"]["Attributes"]["com.docker.compose.service"], "web", "{event:#}");
        assert!(event["Actor"]["Attributes"]["execID"].is_string(), "{event:#}");
        actions.insert(event["Action"].as_str().unwrap().to_owned());
    }
}

#[test]
fn events_cannot_be_asked_for_by_what_is_hidden() {
    let Some((_engine, proxy)) = dashboard() else { return };
    for filters in [
        "%7B%22label%22%3A%5B%22owner%3Dcanary-label%22%5D%7D",
        "%7B%22event%22%3A%5B%22exec_start%22%2C%22exec_create%3A%20%2Fbin%2Fsh%20-c%20e%22%5D%7D",
    ] {
        let answer = client::get(&proxy.socket(), &format!("/events?filters={filters}"));
        assert_eq!(answer.status(), 403, "{}", answer.text());
    }
    let shown = docker::run(
        &proxy.socket(),
        &["events", "--since", "1", "--until", "2", "--filter", "label=com.docker.compose.service=web"],
        "",
    );
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
}

#[test]
fn docker_stats_goes_on() {
    let Some((_engine, proxy)) = dashboard() else { return };
    let once = docker::run(&proxy.socket(), &["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "web"], "");
    assert_eq!(once.status.code(), Some(0), "{once:?}");
    assert!(String::from_utf8_lossy(&once.stdout).starts_with("web "), "{once:?}");
    let mut stats = Running::start(&proxy.socket(), &["stats", "--format", "{{.Name}} is using {{.PIDs}}", "ticker"]);
    for _ in 0..3 {
        stats.expect("ticker is using");
    }
    // Of all containers: it follows the events to learn of new ones.
    let mut stats = Running::start(&proxy.socket(), &["stats", "--format", "{{.Name}} is using {{.PIDs}}"]);
    stats.expect("ticker is using");
}
