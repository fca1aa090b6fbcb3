//! The program in front of Podman and its API for Docker clients.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::harness::{Ignored, Outcome, Test, tests};
use crate::streams::{self, UPGRADE, frame};
use crate::support::client::{self, Connection, Response, TIMEOUT};
use crate::support::engine::Engine;
use crate::support::proxy::Proxy;
use crate::support::{assert_no_canary, cli, engine, eventually, seed, variable};
use crate::{denied, drift, events};

pub(crate) const TESTS: &[Test] = tests![
    a_dashboard_sees_what_podman_has_and_no_canary,
    every_field_of_a_live_answer_of_podman_is_in_the_catalogue,
    podmans_own_api_is_not_found,
    what_podman_reads_differently_is_read_as_docker_does_or_refused,
    nothing_of_podman_can_be_erased_by_a_client_that_reads_first,
    a_label_filter_cannot_match_hidden_labels_by_a_pattern,
    ids_that_a_client_does_not_see_cannot_be_found,
    logs_of_podman_are_its_bytes,
    events_of_podman_tell_what_happens_and_no_more,
    a_label_called_like_an_attribute_of_podman_does_not_come_out,
    attach_and_exec_of_podman_are_two_pipes,
    the_docker_command_works_with_podman,
    quadlets_become_units,
];

/// The seeded Podman for tests that only read, so that two reads of the whole engine can be compared.
fn read_only() -> Result<&'static Engine, Ignored> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    engine::shared(&ENGINE, || engine::start_podman("podman-read-only").inspect(populate), "podman")
}

/// The seeded Podman for tests that make containers. Each looks only at its own, and at the objects of the seed.
fn read_write() -> Result<&'static Engine, Ignored> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    engine::shared(&ENGINE, || engine::start_podman("podman-read-write").inspect(populate), "podman")
}

/// A Podman with a proxy in front of it that has this profile.
fn behind(engine: &'static Engine, profile: &str) -> (&'static Engine, Proxy) {
    (engine, Proxy::start(&engine.socket(), profile))
}

/// Fills a Podman with an image, a network, a volume, a secret, and two containers: `web` runs, and `story` has exited.
fn populate(engine: &Engine) {
    let socket = engine.socket();
    seed::import(&socket);
    // Before version 5 Podman ignores the tag of an import.
    if client::get(&socket, &format!("/images/{}/json", seed::BASE)).status() == 404 {
        seed::create_object(&socket, "/images/base/tag?repo=base&tag=1", Value::Null);
    }
    seed::create_object(
        &socket,
        "/networks/create",
        json!({"Name": "shop", "Driver": "bridge", "Labels": {"owner": "canary-network-label"},
                "IPAM": {"Config": [{"Subnet": "172.31.78.0/24"}]}}),
    );
    seed::create_object(
        &socket,
        "/volumes/create",
        json!({"Name": "archive", "Driver": "local", "Labels": {"owner": "canary-volume-label"},
                "DriverOpts": {"type": "nfs", "device": ":/canary-volume-device", "o": "addr=192.0.2.1,password=canary-volume-option"}}),
    );
    // The text in Base64 is canary-secret-data.
    let secret = json!({"Name": "key", "Data": "Y2FuYXJ5LXNlY3JldC1kYXRh", "Labels": {}});
    assert_eq!(client::post(&socket, "/secrets/create", &secret).status(), 200);
    std::fs::create_dir_all(engine.folder().join("canary-bind-source")).unwrap();
    let web = json!({
        "Image": seed::BASE,
        "Entrypoint": ["sh", "-c", "echo canary-log; echo canary-error-log >&2; while :; do sleep 1000; done", "canary-entrypoint"],
        "Cmd": ["canary-command"],
        "Env": ["TOKEN=canary-env", "DATABASE_URL=postgres://shop:canary-env-url@db/shop", "canary-env-name=1"],
        "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "owner": "canary-label",
            "canary-label-name": "1", "com.docker.compose.project.working_dir": "/home/canary-label-directory"},
        "WorkingDir": "/tmp/canary-working-directory", "StopSignal": "SIGKILL",
        "HostConfig": {
            "NetworkMode": "none", "CgroupParent": engine.control_group(),
            "Binds": [format!("{}:/canary-bind-target:ro", engine.folder().join("canary-bind-source").display())],
            "Tmpfs": {"/canary-tmpfs": "size=65536"},
            "Mounts": [{"Type": "volume", "Source": "data", "Target": "/canary-mount-target"}],
        },
    });
    seed::start(&socket, "web", &web);
    let log = || client::get(&socket, "/containers/web/logs?stdout=1&stderr=1").text();
    assert!(eventually(TIMEOUT, || ["canary-log", "canary-error-log"].iter().all(|line| log().contains(line))));
    let script = "n=0; while [ $n -lt 50 ]; do n=$((n+1)); echo out $n; echo error $n >&2; done";
    seed::start(&socket, "story", &detached(engine, &["sh", "-c", script]));
    assert_eq!(seed::wait(&socket, "story"), 0);
    // For a moment it is "stopped".
    let state = || client::get(&socket, "/containers/story/json").json()["State"]["Status"].clone();
    assert!(eventually(TIMEOUT, || state() == "exited"), "{}", state());
}

/// A container without a network. Podman takes the parent of its control group from the request.
fn detached(engine: &Engine, command: &[&str]) -> Value {
    let mut body = seed::detached(command);
    body["HostConfig"]["CgroupParent"] = json!(engine.control_group());
    body
}

/// What a dashboard reads, and similar requests.
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

/// The fields whose canaries Podman itself shows.
const FIELDS: &str = "env env-url env-name command entrypoint label label-name label-directory bind-source bind-target tmpfs \
    mount-target working-directory network-label volume-label volume-device volume-option";

fn a_dashboard_sees_what_podman_has_and_no_canary() -> Outcome {
    let (engine, proxy) = behind(read_only()?, "dashboard");
    let mut direct_text = String::new();
    for prefix in ["", "/v1.24", "/v1.40", "/v1.41"] {
        for target in READS {
            let target = format!("{prefix}{target}");
            let direct = client::get(&engine.socket(), &target);
            let through = client::get(&proxy.socket(), &target);
            assert_no_canary(&target, &through.text());
            assert!(!through.head.raw.to_ascii_lowercase().contains("libpod"), "{target}: {}", through.head.raw);
            assert_eq!(through.status(), direct.status(), "{target}: {} {}", through.text(), direct.text());
            direct_text.push_str(&direct.text());
        }
    }
    let missing: Vec<&str> =
        FIELDS.split_whitespace().filter(|field| !direct_text.contains(&format!("canary-{field}"))).collect();
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
    // A container that does not run has no statistics. Podman sends nothing before version 5, and since then an error with
    // the status 200.
    let target = "/containers/story/stats?stream=0";
    let (direct, through) = (client::get(&engine.socket(), target), client::get(&proxy.socket(), target));
    assert_eq!(direct.status(), 200, "{}", direct.text());
    assert_eq!(through.status(), if direct.body.is_empty() { 502 } else { 200 }, "{}", direct.text());
    assert!(!through.text().contains("container is"), "{}", through.text());
    assert_eq!(client::request(&proxy.socket(), "HEAD", "/_ping", &[], b"").status(), 200);
    Ok(())
}

fn every_field_of_a_live_answer_of_podman_is_in_the_catalogue() -> Outcome {
    let engine = read_only()?;
    let drift::Compared { unknown, known, schemas } = drift::compared(&engine.socket());
    assert!(unknown.is_empty(), "{} fields in no class file: {unknown:#?}", unknown.len());
    assert!(known > 1_000 && schemas.len() > 10, "{known} leaves of {schemas:?}");
    Ok(())
}

fn podmans_own_api_is_not_found() -> Outcome {
    let (engine, proxy) = behind(read_only()?, "dashboard");
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
            assert!(message.contains("podman's own api under /libpod is not supported"), "{target}: {message}");
            assert_no_canary(&target, &through.text());
        }
    }
    for field in ["env", "label", "volume-option"] {
        assert!(shown.contains(&format!("canary-{field}")), "Podman itself shows no {field}");
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
    Ok(())
}

/// Sends a GET to Podman and through the program, and checks both statuses.
#[track_caller]
fn check(engine: &Engine, proxy: &Proxy, target: &str, direct: u16, through: u16) -> Response {
    // The head is enough: some of these bodies do not end.
    assert_eq!(Connection::open(&engine.socket()).request("GET", target, &[], b"").status, direct, "Podman: {target}");
    let response = client::get(&proxy.socket(), target);
    assert_eq!(response.status(), through, "{target}: {}", response.text());
    assert_no_canary(target, &response.text());
    response
}

fn what_podman_reads_differently_is_read_as_docker_does_or_refused() -> Outcome {
    let (engine, proxy) = behind(read_only()?, "dashboard");
    // Podman accepts versions that Docker does not have.
    for version in ["v4.0.0-dev", "v1.40abc", "v1.10", "v2.0", "v1.99"] {
        check(engine, &proxy, &format!("/{version}/containers/json"), 200, 400);
    }
    // Podman does not decode paths before it compares them. The program sends them decoded.
    check(engine, &proxy, "/%63ontainers/json", 404, 200);
    check(engine, &proxy, "/containers/%77eb/json", 200, 200);
    check(engine, &proxy, "/containers%2Fjson", 404, 400);
    check(engine, &proxy, "/containers/web%2Fjson", 405, 400);
    // Podman accepts names of parameters in any case, takes the last of several values, and has parameters that Docker does
    // not have. What goes up is what Docker reads. `story` has ended.
    let has_story = |list: &Value| list.as_array().unwrap().iter().any(|one| one["Names"][0] == "/story");
    for (query, is_certain) in [("ALL=1", true), ("all=0&all=1", true), ("all=0&All=1", false)] {
        let target = format!("/containers/json?{query}");
        // Of two names that differ in case, Podman takes either.
        let direct = client::get(&engine.socket(), &target).json();
        assert!(!is_certain || has_story(&direct), "Podman: {target}: {direct:#}");
        let through = check(engine, &proxy, &target, 200, 200).json();
        assert!(!has_story(&through) && !through.as_array().unwrap().is_empty(), "{target}: {through:#}");
    }
    assert!(has_story(&check(engine, &proxy, "/containers/json?all=1&all=0", 200, 200).json()));
    // From Podman 4.6 on, these secrets would be shown.
    check(engine, &proxy, "/secrets/key?showsecret=true", 200, 403);
    check(engine, &proxy, "/secrets/key", 200, 403);
    let open = Proxy::start(&engine.socket(), "open");
    for query in ["showsecret=true", "ShowSecret=1"] {
        let target = format!("/secrets/key?{query}");
        let through = client::get(&open.socket(), &target).json();
        assert!(through["ID"].is_string() && through["SecretData"].as_str().is_none_or(str::is_empty), "{through:#}");
    }
    // The name of an image is the place of another store, which Podman makes.
    let place = engine.folder().join("elsewhere");
    let name = format!("containers-storage:[vfs@{0}+{0}]docker.io/library/x:1", place.display());
    let written: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for proxy in [&proxy, &open] {
        assert_eq!(client::get(&proxy.socket(), &format!("/images/{written}/json")).status(), 400);
        let filters: String = json!({"since": [name]}).to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(client::get(&proxy.socket(), &format!("/images/json?filters={filters}")).status(), 403);
        assert!(!place.exists());
    }
    client::get(&engine.socket(), &format!("/images/{written}/json"));
    assert!(place.exists(), "Podman does not make stores any more");
    // A list of processes that does not end.
    check(engine, &proxy, "/containers/web/top?stream=true&delay=1", 200, 403);
    let processes = |query: &str| client::get(&open.socket(), &format!("/containers/web/top{query}"));
    assert_eq!(processes("?Stream=true&delay=1").status(), processes("").status());
    // What Podman does not have is denied.
    for target in ["/swarm", "/services", "/nodes", "/plugins", "/containers/web/attach/ws"] {
        check(engine, &proxy, target, 404, 403);
    }
    // A filter of newer versions, on the first argument of a command.
    let response = client::get(&proxy.socket(), "/containers/json?filters=%7B%22command%22%3A%5B%22s.%22%5D%7D");
    assert_eq!(response.status(), 403, "{}", response.text());
    // Newer versions pass every request with this header to a gRPC server. The program does not send it on.
    let headers = ["Content-Type: application/grpc"];
    let response = client::request(&proxy.socket(), "GET", "/containers/json", &headers, b"");
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_no_canary("a list requested as gRPC", &response.text());
    Ok(())
}

/// Podman has no swarm, and the labels of its secrets cannot be changed. An update of a container leaves as it is what the
/// request does not have.
fn nothing_of_podman_can_be_erased_by_a_client_that_reads_first() -> Outcome {
    let socket = read_write()?.socket();
    for (method, target) in [
        ("POST", "/services/x/update?version=1"),
        ("POST", "/nodes/x/update?version=1"),
        ("POST", "/swarm/update?version=1"),
        ("POST", "/configs/x/update?version=1"),
        ("POST", "/secrets/key/update?version=1"),
        ("PUT", "/volumes/x?version=1"),
    ] {
        let status = client::request(&socket, method, target, &["Content-Type: application/json"], b"{}").status();
        // It answers 503 as an engine that is in no swarm does.
        assert!([404, 405, 501, 503].contains(&status), "{method} {target}: {status}");
    }
    let settings = || client::get(&socket, "/containers/web/json").json()["HostConfig"].clone();
    let before = settings();
    client::post(&socket, "/containers/web/update", &json!({}));
    assert_eq!(settings(), before);
    Ok(())
}

/// Podman matches a key with `*` against every label. With one that a profile shows in part, a client could guess the value
/// of any other: the label `owner` is hidden here.
fn a_label_filter_cannot_match_hidden_labels_by_a_pattern() -> Outcome {
    let (engine, proxy) = behind(read_only()?, "dashboard");
    let target = |key: &str| {
        let filters = json!({"label": [key]}).to_string();
        let escaped: String = filters.bytes().map(|byte| format!("%{byte:02x}")).collect();
        format!("/containers/json?all=1&filters={escaped}")
    };
    for (key, matches) in [("o*r=canary-label", 1), ("*wne*=canary-label", 1), ("o*r=canary-guess", 0)] {
        let direct = client::get(&engine.socket(), &target(key)).json();
        assert_eq!(direct.as_array().unwrap().len(), matches, "{key}: {direct:#}");
        assert_eq!(client::get(&proxy.socket(), &target(key)).status(), 403, "{key}");
    }
    for key in
        ["com.docker.compose.*=shop", "com.docker.compose.projec[t]=shop", "com.docker.compose.?roject", "a\\\\b"]
    {
        assert_eq!(client::get(&proxy.socket(), &target(key)).status(), 403, "{key}");
    }
    let plain = client::get(&proxy.socket(), &target("com.docker.compose.project=shop")).json();
    assert_eq!(plain.as_array().unwrap().len(), 1, "{plain:#}");
    Ok(())
}

fn ids_that_a_client_does_not_see_cannot_be_found() -> Outcome {
    let engine = read_write()?;
    denied::check_ids(engine, &detached(engine, &["true"]), &[404, 500]);
    Ok(())
}

fn logs_of_podman_are_its_bytes() -> Outcome {
    let (engine, proxy) = behind(read_only()?, "session");
    for name in ["web", "story"] {
        for query in ["stdout=1&stderr=1", "stdout=1", "stderr=1", "stdout=1&stderr=1&tail=3", "stdout=1&follow=0"] {
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
    assert_eq!(connection.request("GET", "/containers/web/logs?stdout=1&follow=1", &[], b"").status, 200);
    assert_eq!(connection.read_chunk(TIMEOUT), Some(frame(1, "canary-log\n")));
    Ok(())
}

fn events_of_podman_tell_what_happens_and_no_more() -> Outcome {
    let (engine, proxy) = behind(read_write()?, "dashboard");
    let filter = "/events?filters=%7B%22container%22%3A%5B%22firefly%22%5D%7D";
    let (mut direct, mut through) = (Connection::open(&engine.socket()), Connection::open(&proxy.socket()));
    let mut body = detached(engine, &["sh", "-c", "sleep 1000", "canary-event-command"]);
    body["Labels"] = json!({"owner": "canary-event-label", "com.docker.compose.service": "firefly"});
    seed::create(&engine.socket(), "firefly", &body);
    // Podman sends no head before the first event.
    for connection in [&mut direct, &mut through] {
        connection.send(format!("GET {filter}&since=1 HTTP/1.1\r\nHost: docker\r\n\r\n"));
    }
    assert_eq!(client::post(&engine.socket(), "/containers/firefly/start", &Value::Null).status(), 204);
    let removed = client::delete(&engine.socket(), "/containers/firefly?force=1");
    assert_eq!(removed.status(), 204, "{}", removed.text());
    assert_eq!((direct.read_head().status, through.read_head().status), (200, 200));
    let mut seen = BTreeSet::new();
    while !seen.contains("remove") {
        let expected = direct.read_chunk(TIMEOUT).expect("an event");
        let event = through.read_chunk(TIMEOUT).expect("the same event");
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
    Ok(())
}

fn a_label_called_like_an_attribute_of_podman_does_not_come_out() -> Outcome {
    let (engine, proxy) = behind(read_write()?, "dashboard");
    let events = events::life_with_labels_like_attributes(engine, &proxy);
    events::check_labels_like_attributes(&events);
    let [direct, _] = &events;
    assert!(direct.iter().any(|event| event["Actor"]["Attributes"]["signal"] == "918273645002"), "{direct:#?}");
    Ok(())
}

fn attach_and_exec_of_podman_are_two_pipes() -> Outcome {
    let (engine, proxy) = behind(read_write()?, "session");
    let echoes = [frame(1, "hello\n"), frame(1, "again\n")].concat();
    for (headers, status) in [(&UPGRADE[..], 101), (&[], 200)] {
        for talk in [
            |engine: &Engine, socket: &Path, headers: &[&str]| streams::attach(engine, socket, "echo", headers),
            streams::start,
        ] {
            let mut direct = talk(engine, &engine.socket(), headers);
            let through = talk(engine, &proxy.socket(), headers);
            if through.content_type.as_deref() == Some("application/vnd.docker.multiplexed-stream") {
                // For a client that names no version, the program names the newest one that the engine has. In that of
                // Podman 5.8, frames have a media type of their own, which Podman does not send without a version.
                direct.content_type = through.content_type.clone();
            }
            assert_eq!(through, direct);
            assert_eq!((through.status, through.output.as_bytes()), (status, echoes.as_slice()));
        }
    }
    Ok(())
}

fn the_docker_command_works_with_podman() -> Outcome {
    let (_engine, proxy) = behind(read_write()?, "session");
    let stdout = |arguments: &[&str], input: &str, code: i32| {
        let run = cli::docker(&proxy.socket(), arguments, input);
        assert_eq!(run.status.code(), Some(code), "{arguments:?}: {run:?}");
        String::from_utf8(run.stdout).unwrap()
    };
    let listed = stdout(&["ps", "--all", "--format", "{{.Names}} {{.State}}"], "", 0);
    assert!(listed.lines().any(|line| line == "web running") && listed.contains("story exited"), "{listed}");
    assert!(stdout(&["logs", "story"], "", 0).ends_with("out 49\nout 50\n"));
    assert_eq!(stdout(&["exec", "--interactive", "web", "cat"], "a line\n", 0), "a line\n");
    assert_eq!(stdout(&["exec", "web", "sh", "-c", "echo done; exit 3"], "", 3), "done\n");
    assert_eq!(stdout(&["exec", "--detach", "web", "true"], "", 0), "");
    assert_eq!(stdout(&["inspect", "--format", "{{.State.Status}} {{.Config.Env}}", "web"], "", 0), "running []\n");
    Ok(())
}

/// The quadlets of `deploy/podman` become units. Podman has a program for that since version 4.4.
fn quadlets_become_units() -> Outcome {
    let root = variable("DOCKVEIL_ENGINE_ROOT").unwrap_or_default();
    let quadlet = format!("{root}/usr/libexec/podman/quadlet");
    if !Path::new(&quadlet).exists() {
        return Err(Ignored::NotApplicable(format!("this Podman has no {quadlet}")));
    }
    let mut command = if root.is_empty() {
        Command::new(quadlet)
    } else {
        // A program of another Debian, with the libraries of that one.
        let mut command = Command::new(format!("{root}/usr/lib64/ld-linux-x86-64.so.2"));
        command.args(["--library-path", &format!("{root}/usr/lib/x86_64-linux-gnu"), &quadlet]);
        command
    };
    let quadlets = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/podman");
    let run = command.args(["-dryrun", "-user"]).env("QUADLET_UNIT_DIRS", quadlets).output().unwrap();
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
    Ok(())
}
