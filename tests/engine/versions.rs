//! Clients of other API versions than the engine's, and targets that are no URIs.

use std::collections::BTreeSet;
use std::path::Path;

use dockveil::api::{ApiVersion, changes};
use dockveil::route::{self, Route};
use serde_json::Value;

use crate::harness::{Outcome, Test, tests};
use crate::support::client::{self, Connection};
use crate::support::engine;
use crate::support::proxy::Proxy;

pub(crate) const TESTS: &[Test] = tests![
    old_clients_are_served_by_an_engine_that_refuses_them,
    what_has_not_changed_between_two_versions_has_the_same_shape,
    targets_are_read_as_the_engine_reads_them
];

/// Reads of the seeded engine.
const TARGETS: &[&str] = &[
    "/version",
    "/info",
    "/containers/json?all=1&size=1",
    "/containers/web/json?size=1",
    "/containers/web/top",
    "/containers/web/changes",
    "/images/json?all=1",
    "/images/shop/web:1/json",
    "/images/shop/web:1/history",
    "/networks",
    "/networks/host",
    "/volumes",
    "/plugins",
    "/swarm",
    "/nodes",
    "/services",
    "/tasks",
    "/secrets",
    "/configs",
];

/// The route of a GET.
fn route(target: &str) -> Route {
    route::find("GET", target).unwrap().unwrap_or_else(|| panic!("{target} is no operation"))
}

/// Whether a GET means the same in two versions, the older one first.
fn is_same(target: &str, versions: (ApiVersion, ApiVersion)) -> bool {
    let route = route(target);
    changes::built_in().unwrap().is_same(route.operation, versions, |name| route.query.get(name).is_some())
}

/// A version in the answer to `/version`.
fn version(socket: &Path, name: &str) -> ApiVersion {
    client::get(socket, "/version").json()[name].as_str().unwrap().parse().unwrap()
}

/// Docker from 25 on refuses versions below the one that a variable names. Older ones accept all.
fn old_clients_are_served_by_an_engine_that_refuses_them() -> Outcome {
    let engine = engine::refusing_below("versions", "1.44")?;
    let proxy = Proxy::start(&engine.socket(), "open");
    let (oldest, newest) = (version(&engine.socket(), "MinAPIVersion"), version(&engine.socket(), "ApiVersion"));
    let oldest = oldest.max(ApiVersion::MIN);
    for minor in [24, 30, 40, 43, 44] {
        let asked = ApiVersion::new(minor);
        for target in TARGETS.iter().filter(|target| !target.contains("web") && asked <= newest) {
            let versioned = format!("/v{asked}{target}");
            let direct = client::get(&engine.socket(), &versioned);
            let through = client::get(&proxy.socket(), &versioned);
            if asked >= oldest {
                assert_eq!(through.status(), direct.status(), "{versioned}: {}", through.text());
                continue;
            }
            assert_eq!(direct.status(), 400, "{versioned}: {}", direct.text());
            if is_same(target, (asked, oldest)) {
                let served = client::get(&engine.socket(), &format!("/v{oldest}{target}"));
                assert_eq!(through.status(), served.status(), "{versioned}: {}", through.text());
                assert_eq!(keys(&through.json()), keys(&served.json()), "{versioned}");
            } else {
                // The words are the engine's.
                assert_eq!((through.status(), through.json()), (400, direct.json()), "{versioned}");
            }
        }
    }
    Ok(())
}

/// The names of all members in a document, each with those around it.
fn keys(document: &Value) -> BTreeSet<String> {
    fn collect(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let path = format!("{path}.{name}");
                    collect(value, &path, found);
                    found.insert(path);
                }
            }
            Value::Array(elements) => elements.iter().for_each(|value| collect(value, &format!("{path}[*]"), found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = BTreeSet::new();
    collect(document, "$", &mut found);
    found
}

/// What `filters/versions.yaml` says about this engine: a newer version leaves nothing out unless the table says so.
fn what_has_not_changed_between_two_versions_has_the_same_shape() -> Outcome {
    let engine = engine::read_only()?;
    let socket = engine.socket();
    let (oldest, newest) = (version(&socket, "MinAPIVersion").max(ApiVersion::MIN), version(&socket, "ApiVersion"));
    let mut compared = 0;
    for target in TARGETS {
        let mut last: Option<(ApiVersion, BTreeSet<String>)> = None;
        for minor in oldest.minor()..=newest.minor() {
            let asked = ApiVersion::new(minor);
            let answer = client::get(&socket, &format!("/v{asked}{target}"));
            let found = if answer.status() == 200 { Some(keys(&answer.json())) } else { None };
            if let (Some((before, older)), Some(found)) = (&last, &found)
                && is_same(target, (*before, asked))
            {
                let gone: Vec<&String> = older.difference(found).collect();
                assert!(gone.is_empty(), "{target} from {before} to {asked}: {gone:?}");
                compared += 1;
            }
            last = found.map(|found| (asked, found));
        }
    }
    assert!(compared > 100, "{compared} pairs of answers");
    Ok(())
}

/// The status of the answer to a request line and fields.
fn status(socket: &Path, request: &str) -> u16 {
    let mut connection = Connection::open(socket);
    connection.send(request);
    connection.read_head().status
}

fn targets_are_read_as_the_engine_reads_them() -> Outcome {
    let engine = engine::read_only()?;
    let proxy = Proxy::start(&engine.socket(), "open");
    let [direct, through] = [engine.socket(), proxy.socket()];
    for target in [
        r#"/containers/json?filters={"health":["unhealthy"],"label":["autoheal=true"]}"#,
        r#"/containers/json?filters={"name":["a|b","^c","`d`","é"]}"#,
        "/networks/é",
        "http:/info",
        "http:///info",
        "http://any.host/containers/json",
        "https://any.host:99/version",
        "x:/_ping",
    ] {
        for request in [format!("GET {target} HTTP/1.0\r\n\r\n"), format!("GET {target} HTTP/1.1\r\nHost: d\r\n\r\n")] {
            assert_eq!(status(&through, &request), status(&direct, &request), "{request:?}");
        }
    }
    Ok(())
}
