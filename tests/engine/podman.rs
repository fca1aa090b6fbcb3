//! The program in front of Podman, through the API that it has for Docker's clients.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use super::drift;
use super::streams::{self, UPGRADE, frame};
use super::support::client::{self, Answer, Connection, PATIENCE};
use super::support::docker;
use super::support::engine::Engine;
use super::support::proxy::Proxy;
use super::support::{assert_no_canary, engine, eventually, seed, variable};

/// The Podman that these tests share, seeded; `None`, said once, where there can be none.
///
/// # Panics
/// With `DOCKVEIL_ENGINE_TESTS=require`, where `None` would be the answer.
fn shared() -> Option<&'static Engine> {
    static SHARED: OnceLock<Option<Engine>> = OnceLock::new();
    let plant_in = |engine: &Engine| plant(engine);
    SHARED.get_or_init(|| engine::private_podman("podman").inspect(plant_in)).as_ref()
}

/// The shared Podman with a proxy of this profile.
fn behind(profile: &str) -> Option<(&'static Engine, Proxy)> {
    let engine = shared()?;
    Some((engine, Proxy::start(&engine.socket(), profile)))
}

/// Fills a Podman: an image, a network, a volume, a secret, and the containers `web`, which runs, and `story`, which has ended.
fn plant(engine: &Engine) {
    let socket = engine.socket();
    seed::import(&socket);
    // Before version 5 it ignores the tag that an import is given.
    if client::get(&socket, &format!("/images/{}/json", seed::BASE)).status() == 404 {
        made(&socket, "/images/base/tag?repo=base&tag=1", &Value::Null);
    }
    made(
        &socket,
        "/networks/create",
        &json!({"Name": "shop", "Driver": "bridge", "Labels": {"owner": "canary-network-label"},
                "IPAM": {"Config": [{"Subnet": "172.31.78.0/24"}]}}),
    );
    made(
        &socket,
        "/volumes/create",
        &json!({"Name": "archive", "Driver": "local", "Labels": {"owner": "canary-volume-label"},
                "DriverOpts": {"type": "nfs", "device": ":/canary-volume-device", "o": "addr=192.0.2.1,password=canary-volume-option"}}),
    );
    // The text in Base64 is canary-secret-data.
    let secret = json!({"Name": "key", "Data": "Y2FuYXJ5LXNlY3JldC1kYXRh", "Labels": {}});
    assert_eq!(client::post(&socket, "/secrets/create", &secret).status(), 200);
    std::fs::create_dir_all(engine.directory().join("canary-bind-source")).unwrap();
    let web = json!({
        "Image": seed::BASE,
        "Entrypoint": ["sh", "-c", "echo canary-log; echo canary-error-log >&2; while :; do sleep 1000; done", "canary-entrypoint"],
        "Cmd": ["canary-command"],
        "Env": ["TOKEN=canary-env", "DATABASE_URL=postgres://shop:canary-env-url@db/shop", "canary-env-name=1"],
        "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "owner": "canary-label",
            "canary-label-name": "1", "com.docker.compose.project.working_dir": "/home/canary-label-directory"},
        "WorkingDir": "/tmp/canary-working-directory", "StopSignal": "SIGKILL",
        "HostConfig": {
            "NetworkMode": "none", "CgroupParent": parent(engine),
            "Binds": [format!("{}:/canary-bind-target:ro", engine.directory().join("canary-bind-source").display())],
            "Tmpfs": {"/canary-tmpfs": "size=65536"},
            "Mounts": [{"Type": "volume", "Source": "data", "Target": "/canary-mount-target"}],
        },
    });
    seed::container(&socket, "web", web);
    let said = || client::get(&socket, "/containers/web/logs?stdout=1&stderr=1").text();
    assert!(eventually(PATIENCE, || ["canary-log", "canary-error-log"].iter().all(|line| said().contains(line))));
    let script = "n=0; while [ $n -lt 50 ]; do n=$((n+1)); echo out $n; echo error $n >&2; done";
    seed::container(&socket, "story", quiet(engine, &["sh", "-c", script]));
    let ended = client::post(&socket, "/containers/story/wait", &Value::Null);
    assert_eq!(ended.json()["StatusCode"], 0, "{}", ended.text());
}

/// A POST that must create something.
#[track_caller]
fn made(socket: &Path, target: &str, body: &Value) {
    let answer = client::post(socket, target, body);
    assert_eq!(answer.status(), 201, "{target}: {}", answer.text());
}

/// The control group of the engine's containers.
fn parent(engine: &Engine) -> String {
    format!("/{}", engine.directory().file_name().unwrap().display())
}

/// A container without a network.
fn quiet(engine: &Engine, command: &[&str]) -> Value {
    json!({"Image": seed::BASE, "Cmd": command, "StopSignal": "SIGKILL",
           "HostConfig": {"NetworkMode": "none", "CgroupParent": parent(engine)}})
}

/// Reads that a dashboard does, and their like.
const READS: [&str; 23] = [
    "/_ping",
    "/version",
    "/info",
    "/system/df",
    "/containers/json",
    "/containers/json?all=1&size=1",
    "/containers/web/json",
    "/containers/web/json?size=1",
    "/containers/story/json",
    "/containers/missing/json",
    "/containers/web/stats?stream=0",
    "/containers/web/stats?stream=0&one-shot=1",
    "/images/json",
    "/images/json?all=1",
    "/images/base:1/json",
    "/images/missing/json",
    "/networks",
    "/networks/shop",
    "/networks/missing",
    "/volumes",
    "/volumes/archive",
    "/volumes/data",
    "/volumes/missing",
];

/// Places of the seed that Podman shows to whoever asks it.
const PLACES: &str = "env env-url env-name command entrypoint label label-name label-directory bind-source bind-target tmpfs \
    mount-target working-directory network-label volume-label volume-device volume-option";

#[test]
fn a_dashboard_sees_what_podman_has_and_no_canary() {
    let Some((engine, proxy)) = behind("dashboard") else { return };
    let mut direct_text = String::new();
    for prefix in ["", "/v1.24", "/v1.40", "/v1.41"] {
        for target in READS {
            let target = format!("{prefix}{target}");
            let mut said = String::new();
            // It fails to measure its disk while another test removes a container.
            let same = eventually(PATIENCE, || {
                let direct = client::get(&engine.socket(), &target);
                let through = client::get(&proxy.socket(), &target);
                assert_no_canary(&target, &through.text());
                assert!(!through.head.raw.to_ascii_lowercase().contains("libpod"), "{target}: {}", through.head.raw);
                direct_text.push_str(&direct.text());
                said = through.text();
                through.status() == direct.status()
            });
            assert!(same, "{target}: {said}");
        }
    }
    let missing: Vec<&str> =
        PLACES.split_whitespace().filter(|location| !direct_text.contains(&format!("canary-{location}"))).collect();
    assert!(missing.is_empty(), "Podman shows none of {missing:?}");

    let inspect = client::get(&proxy.socket(), "/containers/web/json").json();
    assert_eq!((&inspect["Name"], &inspect["State"]["Status"]), (&json!("/web"), &json!("running")));
    let list = client::get(&proxy.socket(), "/containers/json?all=1").json();
    let names: BTreeSet<&str> = list.as_array().unwrap().iter().map(|one| one["Names"][0].as_str().unwrap()).collect();
    assert!(names.contains("/web") && names.contains("/story"), "{list:#}");
    let web = list.as_array().unwrap().iter().find(|one| one["Names"][0] == "/web").unwrap();
    assert_eq!(web["Labels"], json!({"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}));
    let sample = client::get(&proxy.socket(), "/containers/web/stats?stream=0").json();
    assert!(sample["cpu_stats"]["cpu_usage"]["total_usage"].is_number(), "{sample:#}");
    // Of what does not run there are no figures: before version 5 there is nothing, and then an error under the status 200.
    let target = "/containers/story/stats?stream=0";
    let (direct, through) = (client::get(&engine.socket(), target), client::get(&proxy.socket(), target));
    assert_eq!(direct.status(), 200, "{}", direct.text());
    assert_eq!(through.status(), if direct.body.is_empty() { 502 } else { 200 }, "{}", direct.text());
    assert!(!through.text().contains("container is"), "{}", through.text());
    assert_eq!(client::request(&proxy.socket(), "HEAD", "/_ping", &[], b"").status(), 200);
}

#[test]
fn every_field_of_a_live_answer_of_podman_is_in_the_catalogue() {
    let Some(engine) = shared() else { return };
    let (unknown, known, schemas) = drift::compared(&engine.socket());
    assert!(unknown.is_empty(), "{} fields in no class file: {unknown:#?}", unknown.len());
    assert!(known > 1_000 && schemas.len() > 10, "{known} leaves of {schemas:?}");
}

#[test]
fn the_api_of_podmans_own_is_refused_by_name() {
    let Some((engine, proxy)) = behind("dashboard") else { return };
    let mut shown = String::new();
    for path in [
        "/libpod/info",
        "/libpod/containers/json?all=true",
        "/libpod/containers/web/json",
        "/libpod/volumes/json",
        "/libpod/generate/kube?names=web",
        "/libpod/events?stream=false&since=1",
    ] {
        for prefix in ["/v4.0.0", "/v5.0.0", "/v1.41"] {
            let target = format!("{prefix}{path}");
            let direct = client::get(&engine.socket(), &target);
            shown.push_str(&direct.text());
            let through = client::get(&proxy.socket(), &target);
            assert_eq!(through.status(), 404, "{target}: {}", through.text());
            let message = through.json()["message"].to_string();
            assert!(message.contains("/libpod is podman's own"), "{target}: {message}");
            assert_no_canary(&target, &through.text());
        }
    }
    for location in ["env", "label", "volume-option"] {
        assert!(shown.contains(&format!("canary-{location}")), "Podman itself shows no {location}");
    }
    for (method, target) in [
        ("POST", "/v4.0.0/libpod/containers/web/stop"),
        ("DELETE", "/v4.0.0/libpod/containers/web?force=true"),
        ("PUT", "/v4.0.0/libpod/containers/web/archive?path=/"),
        ("HEAD", "/v4.0.0/libpod/_ping"),
    ] {
        assert_eq!(client::request(&proxy.socket(), method, target, &[], b"").status(), 404, "{method} {target}");
    }
    assert_eq!(client::get(&engine.socket(), "/containers/web/json").json()["State"]["Status"], "running");
}

/// What Podman answers to a target, and what the program does with it.
#[track_caller]
fn check(engine: &Engine, proxy: &Proxy, target: &str, direct: u16, through: u16) -> Answer {
    let of_podman = client::exchange(&engine.socket(), "GET", target, &[], b"", Duration::from_secs(1));
    assert_eq!(of_podman.status(), direct, "Podman: {target}");
    let answer = client::get(&proxy.socket(), target);
    assert_eq!(answer.status(), through, "{target}: {}", answer.text());
    assert_no_canary(target, &answer.text());
    answer
}

#[test]
fn what_podman_reads_differently_is_read_as_docker_does_or_refused() {
    let Some((engine, proxy)) = behind("dashboard") else { return };
    // Versions of its own making, and none too old or too new.
    for version in ["v4.0.0-dev", "v1.40abc", "v1.10", "v2.0", "v1.99"] {
        check(engine, &proxy, &format!("/{version}/containers/json"), 200, 400);
    }
    // It compares paths as they are written; the program sends it one way of writing.
    check(engine, &proxy, "/%63ontainers/json", 404, 200);
    check(engine, &proxy, "/containers/%77eb/json", 200, 200);
    check(engine, &proxy, "/containers%2Fjson", 404, 400);
    check(engine, &proxy, "/containers/web%2Fjson", 405, 400);
    // It takes names of parameters in any case, and parameters that Docker does not have.
    let all = client::get(&engine.socket(), "/containers/json?ALL=1").json();
    assert!(all.as_array().unwrap().iter().any(|one| one["Names"][0] == "/story"), "{all:#}");
    check(engine, &proxy, "/containers/json?ALL=1", 200, 400);
    check(engine, &proxy, "/events?stream=false&since=1", 200, 200);
    check(engine, &proxy, "/secrets/key?showsecret=true", 200, 400);
    check(engine, &proxy, "/secrets/key?ShowSecret=1", 200, 400);
    check(engine, &proxy, "/secrets/key", 200, 403);
    // Processes without end.
    check(engine, &proxy, "/containers/web/top?stream=true&delay=1", 200, 400);
    // What it has no answer for is no more than that.
    for target in ["/swarm", "/services", "/nodes", "/plugins", "/containers/web/attach/ws"] {
        check(engine, &proxy, target, 404, 403);
    }
    // A filter that newer ones know, over the first argument.
    let answer = client::get(&proxy.socket(), "/containers/json?filters=%7B%22command%22%3A%5B%22s.%22%5D%7D");
    assert_eq!(answer.status(), 403, "{}", answer.text());
    // Newer ones give such a request to a gRPC server, whatever it asks for: the field does not go up.
    let answer = client::request(&proxy.socket(), "GET", "/containers/json", &["Content-Type: application/grpc"], b"");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_no_canary("a list asked for as gRPC", &answer.text());
}

#[test]
fn logs_of_podman_are_its_bytes() {
    let Some((engine, proxy)) = behind("session") else { return };
    for name in ["web", "story"] {
        for query in ["stdout=1&stderr=1", "stdout=1", "stderr=1&tail=3", "stdout=1&follow=0"] {
            let target = format!("/containers/{name}/logs?{query}");
            let (direct, through) = (client::get(&engine.socket(), &target), client::get(&proxy.socket(), &target));
            assert_eq!((through.status(), through.complete), (200, true), "{target}: {}", through.text());
            assert!(!direct.body.is_empty() && through.body == direct.body, "{target}: {}", through.text());
        }
    }
    let followed = client::get(&proxy.socket(), "/containers/story/logs?stdout=1&follow=1");
    let expected: Vec<u8> = (1..=50).flat_map(|n| frame(1, &format!("out {n}\n"))).collect();
    assert!(followed.complete && followed.body == expected, "{}", followed.text());
    let mut connection = Connection::open(&proxy.socket());
    assert_eq!(connection.ask("GET", "/containers/web/logs?stdout=1&follow=1", &[], b"").status, 200);
    assert_eq!(connection.chunk(PATIENCE), Some(frame(1, "canary-log\n")));
}

#[test]
fn events_of_podman_tell_what_happens_and_no_more() {
    let Some((engine, proxy)) = behind("dashboard") else { return };
    let filter = "/events?filters=%7B%22container%22%3A%5B%22firefly%22%5D%7D";
    let (mut direct, mut through) = (Connection::open(&engine.socket()), Connection::open(&proxy.socket()));
    let mut body = quiet(engine, &["sh", "-c", "sleep 1000", "canary-event-command"]);
    body["Labels"] = json!({"owner": "canary-event-label", "com.docker.compose.service": "firefly"});
    seed::create(&engine.socket(), "firefly", &body);
    // Neither sends its head before there is an event.
    for connection in [&mut direct, &mut through] {
        connection.send(format!("GET {filter}&since=1 HTTP/1.1\r\nHost: docker\r\n\r\n"));
    }
    assert_eq!(client::post(&engine.socket(), "/containers/firefly/start", &Value::Null).status(), 204);
    let removed = client::request(&engine.socket(), "DELETE", "/containers/firefly?force=1", &[], b"");
    assert_eq!(removed.status(), 204, "{}", removed.text());
    assert_eq!((direct.head().status, through.head().status), (200, 200));
    let mut seen = BTreeSet::new();
    while !seen.contains("remove") {
        let expected = direct.chunk(PATIENCE).expect("an event");
        let event = through.chunk(Duration::from_secs(5)).expect("the same event");
        assert!(String::from_utf8_lossy(&expected).contains("canary-event-label"));
        assert_no_canary("an event", &String::from_utf8_lossy(&event));
        let [expected, event] = [expected, event].map(|text| serde_json::from_slice::<Value>(&text).unwrap());
        for path in ["/Action", "/Type", "/Actor/ID", "/timeNano", "/Actor/Attributes/name", "/Actor/Attributes/image"]
        {
            assert_eq!(event.pointer(path), expected.pointer(path), "{path}: {event:#}");
        }
        assert_eq!(event["Actor"]["Attributes"]["com.docker.compose.service"], "firefly", "{event:#}");
        seen.insert(event["Action"].as_str().unwrap().to_owned());
    }
    assert!(["create", "start", "die"].iter().all(|action| seen.contains(*action)), "{seen:?}");
}

#[test]
fn attach_and_exec_of_podman_are_two_pipes() {
    let Some((engine, proxy)) = behind("session") else { return };
    let echoes = [frame(1, "hello\n"), frame(1, "again\n")].concat();
    for (headers, status) in [(&UPGRADE[..], 101), (&[], 200)] {
        for talk in [
            |engine: &Engine, socket: &Path, headers: &[&str]| streams::attach(engine, socket, "echo", headers),
            streams::start,
        ] {
            let mut direct = talk(engine, &engine.socket(), headers);
            let through = talk(engine, &proxy.socket(), headers);
            if through.kind.as_deref() == Some("application/vnd.docker.multiplexed-stream") {
                // Where the client names no version, the program names the one that the engine says it speaks. Since
                // 5.8 that is one at which frames have a name of their own; without any, they still have the old one.
                direct.kind = through.kind.clone();
            }
            assert_eq!(through, direct);
            assert_eq!((through.status, through.output.as_bytes()), (status, echoes.as_slice()));
        }
    }
}

#[test]
fn the_docker_command_works_with_podman() {
    let Some((_engine, proxy)) = behind("session") else { return };
    let said = |arguments: &[&str], input: &str, code: i32| {
        let run = docker::run(&proxy.socket(), arguments, input);
        assert_eq!(run.status.code(), Some(code), "{arguments:?}: {run:?}");
        String::from_utf8(run.stdout).unwrap()
    };
    let listed = said(&["ps", "--all", "--format", "{{.Names}} {{.State}}"], "", 0);
    assert!(listed.lines().any(|line| line == "web running") && listed.contains("story exited"), "{listed}");
    assert!(said(&["logs", "story"], "", 0).ends_with("out 49\nout 50\n"));
    assert_eq!(said(&["exec", "--interactive", "web", "cat"], "a line\n", 0), "a line\n");
    assert_eq!(said(&["exec", "web", "sh", "-c", "echo done; exit 3"], "", 3), "done\n");
    assert_eq!(said(&["inspect", "--format", "{{.State.Status}} {{.Config.Env}}", "web"], "", 0), "running []\n");
}

/// The quadlets of `deploy/podman` become units; Podman 4.3 knows none.
#[test]
fn quadlets_become_units() {
    let Some(root) = variable("DOCKVEIL_ENGINE_ROOT").map(PathBuf::from) else { return };
    // A program of another Debian, with the libraries of that one.
    let run = Command::new(root.join("usr/lib64/ld-linux-x86-64.so.2"))
        .arg("--library-path")
        .arg(root.join("usr/lib/x86_64-linux-gnu"))
        .arg(root.join("usr/libexec/podman/quadlet"))
        .args(["-dryrun", "-user"])
        .env("QUADLET_UNIT_DIRS", Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/podman"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    let units = String::from_utf8(run.stdout).unwrap();
    for part in [
        "---dockveil.service---",
        "---dockveil-network.service---",
        "podman network create --ignore --internal dockveil",
        "Requires=dockveil-network.service",
        "--security-opt=no-new-privileges",
        "--cap-drop all --read-only --userns keep-id:uid=1000,gid=1000",
        "-v %t/podman/podman.sock:/var/run/docker.sock",
        "--health-cmd",
        "localhost/dockveil serve --profile dashboard",
    ] {
        assert!(units.contains(part), "{part}: {units}");
    }
}
