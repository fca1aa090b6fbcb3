//! What the profile `dashboard` denies, and the errors that clients get.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Outcome, Test, tests};
use crate::support::engine::Engine;
use crate::support::proxy::Proxy;
use crate::support::tar::Tar;
use crate::support::{assert_no_canary, client, engine, seed};

pub(crate) const TESTS: &[Test] = tests![
    what_a_dashboard_may_not_do_is_denied_and_not_done,
    an_upgrade_of_a_denied_operation_is_denied,
    an_error_for_a_missing_object_does_not_quote_its_name,
    an_error_for_a_bad_parameter_does_not_quote_it,
    an_import_through_watchtower_replaces_no_image,
    ids_that_a_client_does_not_see_cannot_be_found,
];

/// Requests that change something, or that read what a dashboard does not need.
const DENIED: [(&str, &str); 40] = [
    ("POST", "/containers/create?name=canary-created"),
    ("POST", "/containers/web/start"),
    ("POST", "/containers/web/stop"),
    ("POST", "/containers/web/kill"),
    ("POST", "/containers/web/restart"),
    ("POST", "/containers/web/pause"),
    ("POST", "/containers/web/rename?name=canary-renamed"),
    ("POST", "/containers/web/update"),
    ("POST", "/containers/web/attach?stream=1&stdin=1&stdout=1"),
    ("POST", "/containers/web/exec"),
    ("POST", "/containers/prune"),
    ("DELETE", "/containers/web?force=1"),
    ("PUT", "/containers/web/archive?path=/"),
    ("GET", "/containers/web/archive?path=/"),
    ("HEAD", "/containers/web/archive?path=/"),
    ("GET", "/containers/web/export"),
    ("GET", "/containers/web/attach/ws"),
    ("POST", "/images/create?fromImage=canary-image"),
    ("POST", "/images/load"),
    ("POST", "/images/prune"),
    ("POST", "/images/shop/web:1/push"),
    ("POST", "/images/shop/web:1/tag?repo=canary-tag"),
    ("DELETE", "/images/shop/web:1"),
    ("GET", "/images/shop/web:1/get"),
    ("GET", "/images/search?term=canary-term"),
    ("GET", "/distribution/canary-name/json"),
    ("POST", "/build"),
    ("POST", "/commit?container=web"),
    ("POST", "/auth"),
    ("POST", "/session"),
    ("POST", "/networks/create"),
    ("POST", "/networks/shop/connect"),
    ("DELETE", "/networks/shop"),
    ("POST", "/volumes/create"),
    ("DELETE", "/volumes/archive"),
    ("POST", "/swarm/init"),
    ("POST", "/services/create"),
    ("POST", "/plugins/pull?remote=canary-plugin"),
    ("GET", "/plugins/privileges?remote=canary-plugin"),
    ("GET", "/debug/pprof/cmdline"),
];

/// Sends a request. The status is one of these, and the body an error that quotes nothing of the request.
#[track_caller]
fn check(socket: &Path, method: &str, target: &str, headers: &[&str], statuses: &[u16]) {
    check_response(&client::request(socket, method, target, headers, b""), method, target, statuses);
}

/// Checks a response as [`check`] does.
#[track_caller]
fn check_response(response: &client::Response, method: &str, target: &str, statuses: &[u16]) {
    let text = response.text();
    assert!(statuses.contains(&response.status()), "{method} {target}: {text}");
    assert!(response.complete, "{method} {target}: {text}");
    assert_no_canary(target, &text);
    if method != "HEAD" {
        assert_eq!(response.head.get("content-type"), Some("application/json"), "{method} {target}: {text}");
        let error = response.json();
        assert!(error["message"].is_string() && error.as_object().unwrap().len() == 1, "{method} {target}: {text}");
    }
}

fn what_a_dashboard_may_not_do_is_denied_and_not_done() -> Outcome {
    let engine = engine::read_only()?;
    let proxy = Proxy::start(&engine.socket(), "dashboard");
    let state = || client::get(&engine.socket(), "/containers/web/json").json()["State"]["StartedAt"].clone();
    let before = state();
    for (method, target) in DENIED {
        for prefix in ["", "/v1.41", "/v1.24"] {
            // An operation that this version does not have is not found.
            let statuses: &[u16] = if prefix == "/v1.24" { &[403, 404] } else { &[403] };
            check(&proxy.socket(), method, &format!("{prefix}{target}"), &[], statuses);
        }
    }
    for target in
        ["/containers/create?name=canary-created", "/containers/web/exec", "/volumes/create", "/networks/create"]
    {
        let response = client::post(&proxy.socket(), target, &json!({"Name": "canary-body", "Cmd": ["canary-body"]}));
        check_response(&response, "POST", target, &[403]);
    }
    assert_eq!(state(), before);
    for gone in ["/containers/canary-created/json", "/containers/canary-renamed/json", "/images/canary-tag/json"] {
        assert_eq!(client::get(&engine.socket(), gone).status(), 404, "{gone}");
    }
    for kept in ["/networks/shop", "/volumes/archive", "/images/shop/web:1/json"] {
        assert_eq!(client::get(&engine.socket(), kept).status(), 200, "{kept}");
    }
    Ok(())
}

fn an_upgrade_of_a_denied_operation_is_denied() -> Outcome {
    let engine = engine::read_only()?;
    let proxy = Proxy::start(&engine.socket(), "dashboard");
    for protocol in ["tcp", "h2c", "websocket"] {
        let upgrade = format!("Upgrade: {protocol}");
        for target in
            ["/containers/web/attach?stream=1&stdout=1&logs=1", "/session", "/grpc", "/exec/canary-exec/start"]
        {
            check(&proxy.socket(), "POST", target, &["Connection: Upgrade", &upgrade], &[403]);
        }
    }
    Ok(())
}

fn an_error_for_a_missing_object_does_not_quote_its_name() -> Outcome {
    let engine = engine::read_only()?;
    let proxy = Proxy::start(&engine.socket(), "dashboard");
    for target in ["/containers/canary-missing/json", "/v1.41/containers/canary-missing/json?size=1"] {
        check(&proxy.socket(), "GET", target, &[], &[404]);
    }
    for (method, target) in [("GET", "/canary-path"), ("GET", "/v1.41/canary-path/json"), ("PUT", "/containers/json")] {
        check(&proxy.socket(), method, target, &[], &[403, 404, 405]);
    }
    Ok(())
}

fn an_error_for_a_bad_parameter_does_not_quote_it() -> Outcome {
    let engine = engine::read_only()?;
    let proxy = Proxy::start(&engine.socket(), "dashboard");
    for target in [
        "/containers/json?limit=canary-limit",
        "/containers/json?filters=canary-filter",
        "/containers/json?filters=%7B%22canary-name%22%3A%5B%22x%22%5D%7D",
        "/containers/json?filters=%7B%22since%22%3A%5B%22canary-since%22%5D%7D",
    ] {
        check(&proxy.socket(), "GET", target, &[], &[400, 403, 404, 500]);
    }
    Ok(())
}

/// The profile `watchtower` lets its client pull. The same operation imports a file as an image, under any name.
fn an_import_through_watchtower_replaces_no_image() -> Outcome {
    let engine = engine::read_write()?;
    let proxy = Proxy::start(&engine.socket(), "watchtower");
    let id = || client::get(&engine.socket(), "/images/victim:1/json").json()["Id"].clone();
    let import = |socket: &Path, file: &str| {
        let archive = Tar::default().file(file, 0o644, file.as_bytes()).finish();
        let headers = ["Content-Type: application/x-tar"];
        client::request(socket, "POST", "/images/create?fromSrc=-&repo=victim&tag=1", &headers, &archive)
    };
    assert_eq!(import(&engine.socket(), "before").status(), 200);
    let before = id();
    assert!(before.is_string(), "{before}");
    check_response(&import(&proxy.socket(), "canary-import"), "POST", "/images/create", &[403]);
    for query in ["fromSrc=http://192.0.2.1/canary.tar&repo=victim&tag=1", "fromImage=victim&tag=1&changes=CMD+canary"]
    {
        check(&proxy.socket(), "POST", &format!("/images/create?{query}"), &[], &[403]);
    }
    assert_eq!(id(), before);
    // At the engine itself it works.
    assert_eq!(import(&engine.socket(), "after").status(), 200);
    assert_ne!(id(), before);
    assert_eq!(client::delete(&engine.socket(), "/images/victim:1?force=1").status(), 200);
    Ok(())
}

fn ids_that_a_client_does_not_see_cannot_be_found() -> Outcome {
    check_ids(engine::read_write()?, &seed::detached(&["true"]), &[400, 500]);
    Ok(())
}

/// Through the profile `uptime-kuma`, the beginning of an id is answered as if there were no such container, also where
/// several ids begin like that, to which the engine itself answers with one of `ambiguous`. A name and a whole id find
/// the container.
pub(crate) fn check_ids(engine: &Engine, container: &Value, ambiguous: &[u16]) {
    let (socket, proxy) = (engine.socket(), Proxy::start(&engine.socket(), "uptime-kuma"));
    // Among seventeen ids, two begin alike.
    let mut made: BTreeMap<String, (String, String)> = BTreeMap::new();
    let (twin, first) = (0..17)
        .find_map(|number| {
            let name = format!("twin-{number}");
            seed::create(&socket, &name, container);
            let id =
                client::get(&socket, &format!("/containers/{name}/json")).json()["Id"].as_str().unwrap().to_owned();
            let first = id[..1].to_owned();
            let twin = made.insert(first.clone(), (name, id));
            twin.map(|twin| (twin, first))
        })
        .expect("two ids that begin alike");
    let answer = |name: &str| {
        let response = client::get(&proxy.socket(), &format!("/containers/{name}/json"));
        let text = response.text();
        assert_no_canary(name, &text);
        // The date and the id are those of the answer.
        let is_its_own = |line: &&str| {
            let line = line.to_ascii_lowercase();
            line.starts_with("date:") || line.starts_with("x-request-id:")
        };
        (response.status(), text.lines().filter(|line| !is_its_own(line)).map(str::to_owned).collect::<Vec<_>>())
    };
    let absent = answer("missing");
    assert_eq!(absent.0, 404, "{absent:?}");
    let direct = |name: &str| client::get(&socket, &format!("/containers/{name}/json")).status();
    assert!(ambiguous.contains(&direct(&first)), "several containers: {}", direct(&first));
    assert_eq!(answer(&first), absent);
    for (name, id) in made.values().chain([&twin]) {
        assert_eq!(direct(&id[..12]), 200);
        for length in [1, 2, 12, 63] {
            assert_eq!(answer(&id[..length]), absent, "{}", &id[..length]);
        }
        assert_eq!((answer(name).0, answer(id).0), (200, 200), "{name}");
    }
    for (name, _) in made.values().chain([&twin]) {
        seed::remove(&socket, name);
    }
}
