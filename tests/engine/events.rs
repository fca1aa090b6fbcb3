//! Events and statistics through the profile `dashboard`: it shows what happens, and hides labels and commands.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Ignored, Outcome, Test, tests};
use crate::support::cli::{self, Running};
use crate::support::client::{self, Connection, Response, TIMEOUT};
use crate::support::engine::Engine;
use crate::support::proxy::Proxy;
use crate::support::{assert_no_canary, engine, now, seed};

pub(crate) const TESTS: &[Test] = tests![
    docker_events_tells_what_happens_and_no_more,
    past_events_are_those_of_the_engine_without_what_is_hidden,
    a_label_called_like_an_attribute_does_not_come_out,
    health_is_told_and_its_command_is_not,
    events_cannot_be_asked_for_by_what_is_hidden,
    docker_stats_goes_on,
];

/// The engine for tests that write, and a proxy in front of it with the profile `dashboard`.
fn dashboard() -> Result<(&'static Engine, Proxy), Ignored> {
    let engine = engine::read_write()?;
    Ok((engine, Proxy::start(&engine.socket(), "dashboard")))
}

/// Runs a container with labels, of which one is shown, and a command in it with a canary. Then removes it.
#[track_caller]
fn run_and_remove(engine: &Engine, name: &str) {
    let socket = engine.socket();
    let labels = json!({"owner": "canary-event-label", "canary-event-label-name": "1", "exitCode": "canary-event-exit",
                        "execID": "canary-event-exec", "com.docker.compose.service": name});
    let mut body = seed::detached(&["sleep", "1000"]);
    body["Labels"] = labels;
    seed::start(&socket, name, &body);
    let body = json!({"AttachStdout": true, "Cmd": ["sh", "-c", "true canary-event-command"]});
    let created = client::post(&socket, &format!("/containers/{name}/exec"), &body).json();
    let id = created["Id"].as_str().unwrap();
    client::post(&socket, &format!("/exec/{id}/start"), &json!({"Detach": false}));
    assert_eq!(client::post(&socket, &format!("/containers/{name}/stop"), &Value::Null).status(), 204);
    seed::remove(&socket, name);
}

/// The events of such a container, in this order.
const LIFE: [&str; 7] = ["create", "start", "exec_create", "exec_start", "kill", "die", "destroy"];

fn docker_events_tells_what_happens_and_no_more() -> Outcome {
    let (engine, proxy) = dashboard()?;
    let mut all = Running::docker(&proxy.socket(), &["events", "--format", "{{json .}}"]);
    let arguments = [
        "events",
        "--since",
        "1",
        "--filter",
        "container=firefly",
        "--filter",
        "type=container",
        "--format",
        "{{.Action}} {{.Actor.Attributes.name}}",
    ];
    let mut named = Running::docker(&proxy.socket(), &arguments);
    // The health probe of `web` is an exec each second: it shows that the first stream is open. The second one is told of
    // what came before.
    all.expect(&["\"exec_start\"", "\"name\":\"web\""]);
    run_and_remove(engine, "firefly");
    for action in LIFE {
        named.expect(&[&format!("{action} firefly")]);
        let event = all.expect(&[&format!("\"{action}\""), "\"name\":\"firefly\""]);
        assert_no_canary("docker events", &event);
        let event: Value = serde_json::from_str(&event).unwrap();
        assert_eq!(event["Actor"]["Attributes"]["com.docker.compose.service"], "firefly", "{event:#}");
        assert_eq!(event["Actor"]["Attributes"]["image"], seed::BASE, "{event:#}");
    }
    Ok(())
}

/// The events of a container before a time, as a stream that ends.
#[track_caller]
fn past(socket: &Path, until: &str, prefix: &str, accept: &str) -> Response {
    let target = format!("{prefix}/events?since=1&until={until}&filters=%7B%22container%22%3A%5B%22glowworm%22%5D%7D");
    client::request(socket, "GET", &target, &[&format!("Accept: {accept}")], b"")
}

fn past_events_are_those_of_the_engine_without_what_is_hidden() -> Outcome {
    let (engine, proxy) = dashboard()?;
    run_and_remove(engine, "glowworm");
    let until = now();
    for prefix in ["", "/v1.24", "/v1.40"] {
        for accept in ["*/*", "application/jsonl", "application/x-ndjson", "application/json-seq"] {
            let direct = past(&engine.socket(), &until, prefix, accept);
            let through = past(&proxy.socket(), &until, prefix, accept);
            let what = format!("{prefix} {accept}");
            assert_eq!((through.status(), through.complete), (direct.status(), true), "{what}: {}", through.text());
            assert_eq!(through.head.get("content-type"), direct.head.get("content-type"), "{what}");
            assert!(direct.text().contains("canary-event-command") && direct.text().contains("canary-event-label"));
            assert_no_canary(&what, &through.text());
            let separators = |response: &Response| -> Vec<u8> {
                response.body.iter().copied().filter(|byte| matches!(byte, b'\n' | 0x1e)).collect()
            };
            assert_eq!(separators(&through), separators(&direct), "{what}");
            let events = |response: &Response| -> Vec<Value> {
                let text = String::from_utf8_lossy(&response.body).into_owned();
                text.lines().map(|line| serde_json::from_str(line.trim_start_matches('\u{1e}')).unwrap()).collect()
            };
            let (before, after) = (events(&direct), events(&through));
            let actions: BTreeSet<&str> = after.iter().map(|event| event["Action"].as_str().unwrap()).collect();
            assert!(LIFE.iter().all(|action| actions.contains(action)), "{actions:?}");
            assert_eq!(before.len(), after.len(), "{what}");
            for (before, after) in before.iter().zip(&after) {
                for path in
                    ["/Type", "/Actor/ID", "/id", "/from", "/time", "/timeNano", "/scope", "/Actor/Attributes/name"]
                {
                    assert_eq!(after.pointer(path), before.pointer(path), "{what} {path}");
                }
            }
        }
    }
    Ok(())
}

/// Values that look like those of attributes: numbers, and hexadecimal too. The names are those of all attributes.
pub(crate) const LABELS_LIKE_ATTRIBUTES: [(&str, &str); 16] = [
    ("oldName", "918273645001"),
    ("signal", "918273645002"),
    ("exitCode", "918273645003"),
    ("execID", "918273645004"),
    ("execDuration", "918273645005"),
    ("image", "918273645006"),
    ("name", "918273645007"),
    ("imageID", "918273645008"),
    ("imageRef", "918273645009"),
    ("height", "918273645010"),
    ("width", "918273645011"),
    ("podId", "918273645012"),
    ("containerExitCode", "918273645013"),
    ("reclaimed", "918273645014"),
    ("container", "918273645015"),
    ("oomKilled", "918273645016"),
];

/// Runs a container with these labels through everything that has attributes of its own. Returns all its events, as one
/// client gets them.
#[track_caller]
pub(crate) fn life_with_labels_like_attributes(engine: &Engine, proxy: &Proxy) -> [Vec<Value>; 2] {
    let socket = engine.socket();
    let mut body = seed::detached(&["sleep", "1000"]);
    body["Labels"] = LABELS_LIKE_ATTRIBUTES.into_iter().collect();
    seed::create(&socket, "mayfly", &body);
    // Podman sends no head before the first event.
    let connections = [&socket, &proxy.socket()].map(|socket| {
        let mut connection = Connection::open(socket);
        connection.send("GET /events?since=1 HTTP/1.1\r\nHost: docker\r\n\r\n");
        connection
    });
    assert_eq!(client::post(&socket, "/containers/mayfly/start", &Value::Null).status(), 204);
    let id = seed::exec(&socket, "mayfly", &json!({"AttachStdout": true, "Cmd": ["true"]}));
    client::post(&socket, &format!("/exec/{id}/start"), &json!({"Detach": false}));
    client::post(&socket, "/containers/mayfly/resize?h=24&w=80", &Value::Null);
    client::post(&socket, "/commit?container=mayfly&repo=mayfly&tag=1&comment=a&pause=0", &json!({}));
    client::delete(&socket, "/images/mayfly:1");
    assert_eq!(client::post(&socket, "/containers/mayfly/rename?name=mimic", &Value::Null).status(), 204);
    client::post(&socket, "/containers/mimic/kill?signal=KILL", &Value::Null);
    seed::wait(&socket, "mimic");
    seed::remove(&socket, "mimic");
    connections.map(|mut connection| {
        assert_eq!(connection.read_head().status, 200);
        let (mut events, mut is_removed) = (Vec::new(), false);
        while !is_removed {
            let chunk = connection.read_chunk(TIMEOUT).expect("the event of the end");
            for event in
                String::from_utf8(chunk).unwrap().lines().map(|line| serde_json::from_str::<Value>(line).unwrap())
            {
                let name = &event["Actor"]["Attributes"]["name"];
                is_removed |= *name == "mimic" && ["destroy", "remove"].iter().any(|action| event["Action"] == *action);
                if ["mayfly", "mimic", "mayfly:1"].iter().any(|ours| *name == *ours) {
                    events.push(event);
                }
            }
        }
        events
    })
}

/// Demands that no label is in the events through the proxy, and that the engine sets names last.
#[track_caller]
pub(crate) fn check_labels_like_attributes([direct, through]: &[Vec<Value>; 2]) {
    assert_eq!(direct.len(), through.len());
    for (name, value) in LABELS_LIKE_ATTRIBUTES {
        let is_label = |event: &&Value| event["Actor"]["Attributes"][name] == value;
        assert_eq!(through.iter().find(is_label), None, "{name}");
        assert!(!through.iter().any(|event| event.to_string().contains(value)), "{name}");
        let is_last = ["image", "name"].contains(&name);
        let is_set = direct.iter().filter(|event| event["Type"] == "container").any(|event| is_label(&event));
        assert!(!is_last || !is_set, "the engine sets {name} last");
    }
    for event in through.iter().filter(|event| event["Type"] == "container") {
        // Podman names the registry, too.
        let image = event["Actor"]["Attributes"]["image"].as_str().unwrap();
        assert!(image.ends_with(seed::BASE), "{event:#}");
    }
}

fn a_label_called_like_an_attribute_does_not_come_out() -> Outcome {
    let (engine, proxy) = dashboard()?;
    let events = life_with_labels_like_attributes(engine, &proxy);
    check_labels_like_attributes(&events);
    // Docker writes labels over these, so nobody can tell which of the two an event has.
    for (action, name) in [
        ("rename", "oldName"),
        ("kill", "signal"),
        ("die", "exitCode"),
        ("die", "execDuration"),
        ("exec_die", "execID"),
        ("commit", "imageID"),
    ] {
        let [direct, _] = &events;
        let event = direct.iter().find(|event| event["Action"] == action && event["Type"] == "container");
        let attributes = &event.unwrap_or_else(|| panic!("{action}: {direct:#?}"))["Actor"]["Attributes"];
        let (_, label) = LABELS_LIKE_ATTRIBUTES.iter().find(|(known, _)| *known == name).unwrap();
        assert_eq!(attributes[name], *label, "{action} {attributes:#}");
    }
    Ok(())
}

fn health_is_told_and_its_command_is_not() -> Outcome {
    let (engine, proxy) = dashboard()?;
    let mut connection = Connection::open(&proxy.socket());
    let target = "/events?since=1&filters=%7B%22container%22%3A%5B%22cricket%22%5D%7D";
    assert_eq!(connection.request("GET", target, &[], b"").status, 200);
    let mut body = seed::detached(&["sleep", "1000"]);
    body["Labels"] = json!({"com.docker.compose.service": "cricket", "owner": "canary-label"});
    body["Healthcheck"] = json!({"Test": ["CMD-SHELL", "true canary-health-command"], "Interval": 1_000_000_000_u64});
    seed::start(&engine.socket(), "cricket", &body);
    let mut actions = BTreeSet::new();
    let expected = ["exec_create", "exec_start", "exec_die", "health_status: healthy"];
    while !expected.iter().all(|action| actions.contains(*action)) {
        let event = connection.read_chunk(TIMEOUT).expect("an event of a probe each second");
        let event = String::from_utf8(event).unwrap();
        assert_no_canary("a probe", &event);
        let event: Value = serde_json::from_str(&event).unwrap();
        assert_eq!(event["Actor"]["Attributes"]["com.docker.compose.service"], "cricket", "{event:#}");
        let action = event["Action"].as_str().unwrap().to_owned();
        actions.insert(action);
    }
    seed::remove(&engine.socket(), "cricket");
    Ok(())
}

fn events_cannot_be_asked_for_by_what_is_hidden() -> Outcome {
    let (_engine, proxy) = dashboard()?;
    for filters in [
        "%7B%22label%22%3A%5B%22owner%3Dcanary-label%22%5D%7D",
        "%7B%22event%22%3A%5B%22exec_start%22%2C%22exec_create%3A%20%2Fbin%2Fsh%20-c%20e%22%5D%7D",
    ] {
        let response = client::get(&proxy.socket(), &format!("/events?filters={filters}"));
        assert_eq!(response.status(), 403, "{}", response.text());
    }
    let shown = cli::docker(
        &proxy.socket(),
        &["events", "--since", "1", "--until", "2", "--filter", "label=com.docker.compose.service=web"],
        "",
    );
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    Ok(())
}

fn docker_stats_goes_on() -> Outcome {
    let (_engine, proxy) = dashboard()?;
    let once = cli::docker(&proxy.socket(), &["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "web"], "");
    assert_eq!(once.status.code(), Some(0), "{once:?}");
    assert!(String::from_utf8_lossy(&once.stdout).starts_with("web "), "{once:?}");
    let mut stats = Running::docker(&proxy.socket(), &["stats", "--format", "{{.Name}} is using {{.PIDs}}", "ticker"]);
    for _ in 0..3 {
        stats.expect(&["ticker is using"]);
    }
    // Without a name the command shows all containers, and follows the events to find new ones.
    let mut stats = Running::docker(&proxy.socket(), &["stats", "--format", "{{.Name}} is using {{.PIDs}}"]);
    stats.expect(&["ticker is using"]);
    Ok(())
}
