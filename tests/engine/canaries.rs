//! What the profile `dashboard` shows of a seeded engine: enough to draw a dashboard, and no canary.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Outcome, Test, tests};
use crate::support::proxy::Proxy;
use crate::support::{assert_no_canary, client, engine, seed};

pub(crate) const TESTS: &[Test] = tests![
    without_the_proxy_every_canary_is_there,
    fewer_classes_show_less,
    a_dashboard_sees_state_and_no_canary,
    no_read_of_any_version_shows_a_canary,
    every_version_that_the_engine_speaks_is_served,
    no_spelling_and_no_method_shows_a_canary,
    the_engine_is_not_named_in_a_header,
];

/// Every GET of the API, with the names of the seed. Streams have parameters that end them.
const READS: [&str; 51] = [
    "/_ping",
    "/version",
    "/info",
    "/system/df",
    "/system/df?type=container&verbose=1",
    "/containers/json",
    "/containers/json?all=1&size=1",
    "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22owner%3Dcanary-label%22%5D%7D",
    "/containers/web/json",
    "/containers/web/json?size=1",
    "/containers/terminal/json",
    "/containers/odd/json",
    "/containers/broken/json",
    "/containers/missing/json",
    "/containers/web/top",
    "/containers/web/top?ps_args=eww",
    "/containers/web/changes",
    "/containers/web/stats?stream=0&one-shot=1",
    "/containers/web/logs?stdout=1&stderr=1",
    "/containers/web/logs?stdout=1&stderr=1&details=1",
    "/containers/web/archive?path=/etc/passwd",
    "/containers/web/export",
    "/containers/web/attach/ws?logs=1",
    "/containers/web/checkpoints",
    "/images/json",
    "/images/json?all=1&digests=1&manifests=1",
    "/images/shop/web:1/json",
    "/images/shop/web:1/history",
    "/images/shop/web:1/get",
    "/images/get?names=shop/web:1",
    "/images/missing/json",
    "/networks",
    "/networks/",
    "/networks/shop",
    "/networks/shop?verbose=1",
    "/volumes",
    "/volumes/archive",
    "/volumes/data",
    "/plugins",
    "/swarm",
    "/swarm/unlockkey",
    "/nodes",
    "/services",
    "/tasks",
    "/secrets",
    "/configs",
    "/events?since=0&until=1",
    "/debug/vars",
    "/debug/pprof/cmdline",
    "/debug/pprof/goroutine?debug=2",
    "/exec/missing/json",
];

/// Other spellings of a request for the container `web`, or for a list.
const SPELLINGS: [&str; 26] = [
    "/%63ontainers/json?all=1",
    "/containers/%77eb/json",
    "/containers/web%2Fjson",
    "/containers%2Fweb/json",
    "/containers/web/json/",
    "/containers/json/",
    "//containers/web/json",
    "/containers//web/json",
    "/containers/./web/json",
    "/containers/ticker/../web/json",
    "/containers/ticker/%2e%2e/web/json",
    "/containers/%2Fweb/json",
    "/containers/web/json?",
    "/containers/web/json?size=1&size=0",
    "/containers/web/json#x",
    "/containers/web/json;x=1",
    "/containers/web/json%00",
    "/containers/web/json%zz",
    "/v1.41//containers/web/json",
    "/V1.41/containers/web/json",
    "/v01.41/containers/web/json",
    "/v1.41/v1.41/containers/web/json",
    "/v1.041/containers/web/json",
    "/v1/containers/web/json",
    "/v1.41/containers/web/json/../json",
    "http://docker/containers/web/json",
];

/// Sends a request through the proxy. Neither the head nor the body of the response may contain a canary.
#[track_caller]
fn check(socket: &Path, method: &str, target: &str) -> client::Response {
    let response = client::request(socket, method, target, &[], b"");
    assert_no_canary(&format!("{method} {target}"), &response.text());
    let status = response.status();
    assert!((200..=599).contains(&status) && status != 502, "{method} {target}: {}", response.text());
    assert!(response.complete, "{method} {target}: {}", response.text());
    response
}

/// The version prefixes of a path: none, and every version from 1.24 to one that no engine knows yet.
fn prefixes() -> impl Iterator<Item = String> {
    std::iter::once(String::new()).chain((24..=56).map(|minor| format!("/v1.{minor}")))
}

/// The element of a list of containers that has this name.
#[track_caller]
fn named<'list>(list: &'list Value, name: &str) -> &'list Value {
    let is_named = |container: &&Value| container["Names"].as_array().unwrap().contains(&format!("/{name}").into());
    let found = list.as_array().unwrap().iter().find(is_named);
    found.unwrap_or_else(|| panic!("no {name} in {list:#}"))
}

/// The fields whose canaries the engine itself shows.
const FIELDS: &str = "env env-url env-name env-json command entrypoint label label-name label-directory health-output \
    health-command bind-source bind-target tmpfs tmpfs-option mount-target mount-label log-tag log-labels log-env log-option \
    endpoint-option working-directory volume-target network-option network-label volume-option \
    volume-device volume-label device device-option sysctl seccomp security-option cgroup-parent container-id-file shell \
    driver-option driver-device state-error exec-command exec-env image-env image-history image-label image-author \
    image-volume image-onbuild build-argument import-message daemon-label daemon-proxy daemon-no-proxy registry-mirror \
    insecure-registry log error-log";

fn without_the_proxy_every_canary_is_there() -> Outcome {
    let engine = engine::read_only()?;
    let reads: String = READS.map(|target| client::get(&engine.socket(), target).text()).concat();
    let missing: Vec<&str> =
        FIELDS.split_whitespace().filter(|field| !reads.contains(&format!("canary-{field}"))).collect();
    assert!(missing.is_empty(), "the engine shows none of {missing:?}");
    Ok(())
}

fn fewer_classes_show_less() -> Outcome {
    let engine = engine::read_only()?;
    let dashboard = Proxy::start(&engine.socket(), "dashboard");
    let shown = |proxy: &Proxy| -> String { READS.map(|target| check(&proxy.socket(), "GET", target).text()).concat() };
    let text = shown(&dashboard);
    for field in ["dns-search", "alias", "user"] {
        assert!(text.contains(&format!("shown-{field}")), "the dashboard shows no {field}");
    }
    let bare = Proxy::start(&engine.socket(), "bare");
    let text = shown(&bare);
    assert!(text.contains("\"running\""), "the class that is shown is missing: {text}");
    assert!(!text.contains("shown-"), "a class that is hidden is shown: {text}");
    Ok(())
}

fn a_dashboard_sees_state_and_no_canary() -> Outcome {
    let engine = engine::read_only()?;
    let proxy = Proxy::start(&engine.socket(), "dashboard");
    let socket = proxy.socket();

    let ping = check(&socket, "GET", "/_ping");
    assert_eq!((ping.status(), ping.body.as_slice()), (200, b"OK".as_slice()));
    let version = check(&socket, "GET", "/version");
    assert_eq!(version.status(), 200);
    let direct = client::get(&engine.socket(), "/version").json();
    assert_eq!(version.json()["ApiVersion"], direct["ApiVersion"]);

    let list = check(&socket, "GET", "/containers/json?all=1");
    assert_eq!(list.status(), 200);
    let list = list.json();
    for name in seed::CONTAINERS {
        named(&list, name);
    }
    let web = named(&list, "web");
    assert_eq!(web["Image"], seed::IMAGE);
    assert_eq!(web["State"], "running");
    assert!(web["Status"].as_str().unwrap().starts_with("Up "), "{web:#}");
    assert!(web["Ports"].as_array().unwrap().iter().any(|port| port["PublicPort"] == 18080), "{web:#}");
    assert_eq!(web["Labels"]["com.docker.compose.project"], "shop");
    assert_eq!(named(&list, "story")["State"], "exited");

    let id = web["Id"].as_str().unwrap();
    for name in ["web", id, &id[..12]] {
        let inspect = check(&socket, "GET", &format!("/containers/{name}/json"));
        assert_eq!(inspect.status(), 200);
        let inspect = inspect.json();
        assert_eq!(inspect["Id"], id);
        assert_eq!(inspect["Name"], "/web");
        assert_eq!(inspect["State"]["Status"], "running");
        assert_eq!(inspect["State"]["Health"]["Status"], "healthy");
        assert_eq!(inspect["Config"]["Image"], seed::IMAGE);
    }
    Ok(())
}

fn no_read_of_any_version_shows_a_canary() -> Outcome {
    let engine = engine::read_only()?;
    let proxy = Proxy::start(&engine.socket(), "dashboard");
    for prefix in prefixes() {
        // The engine takes a second for a sample of statistics, so there is only one, without a prefix.
        for target in READS.iter().filter(|target| prefix.is_empty() || !target.contains("/stats")) {
            check(&proxy.socket(), "GET", &format!("{prefix}{target}"));
        }
    }
    Ok(())
}

fn every_version_that_the_engine_speaks_is_served() -> Outcome {
    let engine = engine::read_only()?;
    let proxy = Proxy::start(&engine.socket(), "dashboard");
    for prefix in prefixes() {
        for target in ["/containers/json", "/containers/web/json"] {
            let target = format!("{prefix}{target}");
            let direct = client::get(&engine.socket(), &target).status();
            assert_eq!(check(&proxy.socket(), "GET", &target).status(), direct, "{target}");
        }
    }
    Ok(())
}

fn no_spelling_and_no_method_shows_a_canary() -> Outcome {
    let engine = engine::read_only()?;
    let proxy = Proxy::start(&engine.socket(), "dashboard");
    for target in SPELLINGS {
        for method in ["GET", "HEAD", "get", "OPTIONS", "POST"] {
            check(&proxy.socket(), method, target);
        }
    }
    for target in READS {
        check(&proxy.socket(), "HEAD", target);
    }
    Ok(())
}

fn the_engine_is_not_named_in_a_header() -> Outcome {
    let engine = engine::read_only()?;
    let proxy = Proxy::start(&engine.socket(), "dashboard");
    for target in ["/_ping", "/version", "/containers/json", "/containers/missing/json", "/nothing"] {
        let response = check(&proxy.socket(), "GET", target);
        assert!(!response.head.raw.contains("Docker/"), "{target}: {}", response.head.raw);
    }
    Ok(())
}
