//! Replays the recorded requests of the clients that have a profile, byte for byte. What a client reads arrives as the engine
//! sent it, and what it does not need is denied. `docs/clients.md` states how many secrets each of them got before and gets
//! now.
//!
//! The comment of each profile states what its client requests and reads, and in which release. `tests/engine/profiles.rs`
//! runs the clients themselves, if they can be installed.

use std::collections::BTreeSet;
use std::fmt::Write;

use dockveil::schema::Class;
use jsonpath_rust::JsonPath;
use serde_json::{Value, json};

use crate::harness::{Test, tests};
use crate::support::built_in::{is_for_one_client, plan, policy, profile, profiles};
use crate::support::canary;
use crate::support::client::{self, closing_get, status};
use crate::support::fixture;
use crate::support::recorded::{self, Recorded, Request};
use crate::support::stage::Stage;

pub(crate) const TESTS: &[Test] = tests![
    each_recorded_request_is_answered_as_its_profile_promises,
    what_a_client_does_not_need_is_denied,
    every_client_profile_has_recorded_requests,
    events_say_what_happened_to_which_container,
    a_hidden_image_id_is_still_a_key,
    variables_are_an_array_with_only_those_that_a_profile_names,
    glances_gets_a_command_with_one_redacted_word,
    autoheal_restarts_and_does_nothing_else,
    in_place_of_another_proxy_clients_find_their_labels_without_passwords_and_commands,
    the_table_of_clients_states_how_many_secrets_are_left
];

/// The recordings that answer: the newest version of one engine.
const ENGINE: &str = "docker-28.5";
const VERSION: &str = "v1.51";

/// Classes whose canaries are secrets. The canaries of the others are names and addresses, which clients exist to see.
const SECRET: [Class; 4] = [Class::Secret, Class::Command, Class::FreeText, Class::HostPath];

/// Other requests that a profile denies: what it leaves out of what its client could ask for, and what others could.
const DENIED: &[(&str, &[&str])] = &[
    ("autoheal", &["POST /containers/web/stop", "POST /containers/web/kill", "GET /containers/web/json"]),
    ("beszel", &["GET /containers/web/logs?stdout=1&stderr=1&tail=200"]),
    ("caddy", &["GET /v1.51/configs", "GET /v1.51/configs/x"]),
    ("cadvisor", &["GET /v1.51/containers/json"]),
    ("datadog", &["GET /v1.51/images/x/history", "GET /v1.51/containers/web/logs?stdout=1"]),
    ("diun", &["GET /v1.51/containers/web/json"]),
    (
        "docker-cli",
        &[
            "POST /v1.51/containers/create",
            "POST /v1.51/containers/web/exec",
            "POST /v1.51/containers/web/attach",
            "GET /v1.51/containers/web/top?ps_args=aux",
            "GET /v1.51/containers/web/archive?path=/etc/passwd",
            "GET /v1.51/containers/web/export",
        ],
    ),
    (
        "dozzle",
        &["POST /v1.51/containers/web/restart", "POST /v1.51/containers/web/exec", "POST /v1.51/containers/create"],
    ),
    ("glances", &["GET /v1.51/containers/web/logs?stdout=1"]),
    ("homarr", &["POST /containers/x/restart", "DELETE /containers/x", "GET /containers/x/json"]),
    ("homepage", &["GET /containers/x/logs?stdout=1"]),
    (
        "mcp",
        &[
            "GET /v1.51/containers/x/logs?stdout=1&stderr=1&tail=100",
            "GET /v1.51/containers/x/top",
            "POST /v1.51/containers/create",
            "POST /v1.51/containers/x/start",
            "POST /v1.51/images/create?fromImage=x",
        ],
    ),
    ("netdata", &["GET /v1.51/containers/x/stats?stream=0"]),
    ("nginx-proxy", &["POST /v1.51/containers/web/kill?signal=HUP", "POST /v1.51/containers/web/restart?t=10"]),
    (
        "portainer",
        &[
            "POST /v1.51/containers/create",
            "POST /v1.51/containers/x/start",
            "DELETE /v1.51/containers/x",
            "POST /v1.51/containers/x/exec",
            "GET /v1.51/secrets",
            "GET /v1.51/swarm",
        ],
    ),
    ("prometheus", &["GET /v1.51/containers/web/json"]),
    ("prometheus-swarm", &["GET /v1.51/swarm"]),
    ("promtail", &["POST /v1.51/containers/web/exec"]),
    ("telegraf", &["GET /v1.51/containers/x/logs?follow=1&stdout=1&timestamps=1"]),
    ("traefik", &["GET /v1.51/info", "GET /v1.51/networks"]),
    ("traefik-swarm", &["GET /v1.51/containers/json", "GET /v1.51/secrets", "GET /v1.51/configs"]),
    ("uptime-kuma", &["GET /info", "GET /containers/web/logs?stdout=1"]),
    (
        "watchtower",
        &[
            "POST /v1.51/containers/x/stop",
            "DELETE /v1.51/containers/x",
            "POST /v1.51/containers/create?name=x",
            "POST /v1.51/containers/x/rename?name=y",
            "POST /v1.51/containers/x/exec",
        ],
    ),
    (
        "whats-up-docker",
        &["POST /containers/create?name=x", "POST /containers/x/stop", "POST /images/create?fromImage=x"],
    ),
    ("zabbix", &["GET /version", "GET /containers/web/logs?stdout=1", "POST /containers/web/restart"]),
];

/// The program with the profile of a client.
fn stage(profile: &str) -> Stage {
    Stage::new(policy(profile))
}

/// The body that a client gets when the engine answers with `body`.
#[track_caller]
fn ask(stage: &Stage, target: &str, body: &str) -> String {
    stage.answer("200 OK\r\nApi-Version: 1.51", body.as_bytes());
    // This direction stays open: a client that ends it has stopped listening to events.
    let mut client = stage.bench.client();
    client.send(closing_get(target));
    let answer = client.rest();
    assert_eq!(status(&answer), 200, "GET {target}: {answer}");
    let (body, is_whole) = client::body(&answer);
    assert!(is_whole, "GET {target}: {answer}");
    body
}

/// The recorded answer to an operation.
fn recording(operation: &str) -> String {
    let path = fixture::root().join(ENGINE).join(VERSION).join(format!("{operation}.json"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The canaries in a text that are secrets.
fn secrets(text: &str) -> BTreeSet<String> {
    let found = canary::found(ENGINE, text).into_iter();
    found.filter(|canary| SECRET.contains(&canary.class)).map(|canary| canary.token.clone()).collect()
}

/// What the engine answers to a request: head and body.
fn answered(request: &Request) -> (String, Vec<u8>) {
    let ok = |kind: &str| format!("200 OK\r\nApi-Version: 1.51\r\nContent-Type: {kind}");
    let read = |name: &str| std::fs::read(fixture::root().join(ENGINE).join(VERSION).join(name));
    match request.answer.as_str() {
        "" | "ping" => ("204 No Content\r\nApi-Version: 1.51".to_owned(), Vec::new()),
        "wait" => (ok("application/json"), b"{\"StatusCode\":0}\n".to_vec()),
        "pull" => (ok("application/json"), b"{\"status\":\"Pulling from shop/web\",\"id\":\"1\"}\r\n".to_vec()),
        "container_top" => (ok("application/json"), read("container_top.aux.json").unwrap()),
        "container_stats.stream" => (ok("application/json"), read("container_stats.json").unwrap()),
        name if name.ends_with(".mux") => (ok("application/vnd.docker.multiplexed-stream"), read(name).unwrap()),
        name if name.ends_with(".ndjson") => (ok("application/json"), read(name).unwrap()),
        name => (ok("application/json"), recording(name).into_bytes()),
    }
}

/// The documents of an answer: one, or each record of a stream.
fn documents(request: &Request, body: &str) -> Value {
    if request.answer.ends_with(".ndjson") || request.answer == "pull" {
        body.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str::<Value>(line).unwrap()).collect()
    } else {
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }
}

/// Sends a request as it is and reads the answer.
fn replay(stage: &Stage, request: &Request) -> String {
    let (head, body) = answered(request);
    stage.answer_with(&head, &body);
    let mut client = stage.bench.client();
    client.send(&request.bytes);
    client.message(request.has_method("HEAD"))
}

/// Every recorded request, byte for byte, through the profile for its client: it gets the status that the profile promises,
/// and what the client reads is what the engine sent. What is denied does not reach the engine.
fn each_recorded_request_is_answered_as_its_profile_promises() {
    let mut wrong = String::new();
    let mut replayed = 0;
    for client in recorded::all() {
        let stage = stage(&client.profile);
        for request in &client.requests {
            let before = stage.bench.daemon.requests().len();
            let answer = replay(&stage, request);
            let place = format!("{}: {} ({})", client.profile, request.line(), request.place);
            if status(&answer) != request.status {
                let _ = writeln!(wrong, "{place}: expected {}: {answer:.400}", request.status);
            } else if request.status == 403 {
                assert_eq!(stage.bench.daemon.requests().len(), before, "{place} reached the engine");
            } else if request.status == 200 && request.answer != "ping" {
                check_reads(&place, request, &answer, &mut wrong);
            }
            replayed += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(replayed > 300, "{replayed}");
}

/// Notes what a client reads of an answer and does not get as the engine sent it.
fn check_reads(place: &str, request: &Request, answer: &str, wrong: &mut String) {
    let (body, is_whole) = client::body(answer);
    assert!(is_whole, "{place}: {answer}");
    let sent = String::from_utf8(answered(request).1).unwrap();
    if request.answer.ends_with(".mux") {
        assert_eq!(body, sent, "{place}");
        return;
    }
    let (before, after) = (documents(request, &sent), documents(request, &body));
    for path in &request.reads {
        let (before, after) = (before.query(path).unwrap(), after.query(path).unwrap());
        assert!(!before.is_empty(), "{place}: the recording has no {path}");
        if after != before {
            let _ = writeln!(wrong, "{place}: {path}");
        }
    }
}

fn what_a_client_does_not_need_is_denied() {
    for (profile, requests) in DENIED {
        let stage = stage(profile);
        for request in *requests {
            let answer = stage.bench.ask(format!("{request} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n"));
            assert_eq!(status(&answer), 403, "{profile} {request}: {answer}");
        }
        assert_eq!(stage.bench.daemon.requests(), [""; 0], "{profile}");
    }
}

fn every_client_profile_has_recorded_requests() {
    let clients = profiles().iter().filter(|profile| is_for_one_client(profile));
    // A client that has no profile of its own goes through another.
    let own = |client: &&Recorded| is_for_one_client(profile(&client.profile));
    let replayed: Vec<&str> = recorded::all().iter().filter(own).map(|client| client.profile.as_str()).collect();
    assert_eq!(replayed, clients.map(|profile| profile.name.as_str()).collect::<Vec<_>>());
    for client in recorded::all() {
        assert!(client.requests.iter().any(|request| !request.reads.is_empty()), "{}", client.profile);
    }
}

/// What a client acts on arrives, and no label that is not addressed to it.
fn events_say_what_happened_to_which_container() {
    let type_container = "filters=%7B%22type%22:%7B%22container%22:true%7D%7D";
    let since = "since=1&until=2";
    for (profile, query) in [
        ("caddy", type_container),
        ("datadog", since),
        ("docker-cli", since),
        ("dozzle", since),
        ("nginx-proxy", ""),
        ("portainer", since),
        ("traefik", type_container),
        ("whats-up-docker", type_container),
    ] {
        let path = fixture::root().join(ENGINE).join(VERSION).join("system_events.ndjson");
        let sent = std::fs::read_to_string(path).unwrap();
        let shown = ask(&stage(profile), &format!("/v1.51/events?{query}"), &sent);
        let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let of_containers = |event: &Value| event["Type"] == "container";
        let before: Vec<Value> = sent.lines().map(parse).filter(of_containers).collect();
        let after: Vec<Value> = shown.lines().map(parse).filter(of_containers).collect();
        assert!(before.len() >= 5 && after.len() == before.len(), "{profile}: {shown}");
        for (before, after) in before.iter().zip(&after) {
            for field in ["id", "Type", "time", "timeNano", "scope"] {
                assert_eq!(after[field], before[field], "{profile} {field}: {after}");
            }
            assert_eq!(after["Actor"]["ID"], before["Actor"]["ID"], "{profile}: {after}");
            for field in ["Action", "status"] {
                let (before, after) = (before[field].as_str().unwrap(), after[field].as_str().unwrap());
                let word = if before.starts_with("exec_") { before.split(':').next().unwrap() } else { before };
                assert_eq!(after, word, "{profile} {field}");
            }
        }
        let mut left = secrets(&shown);
        left.remove("canary_containerlabeltraefikbasicauth_37");
        assert!(!secrets(&sent).is_empty() && left.is_empty(), "{profile}: {left:?}");
    }
}

/// Uptime Kuma takes an answer for a list of containers if its first row has this key, whatever its value.
fn a_hidden_image_id_is_still_a_key() {
    let list: Value =
        serde_json::from_str(&ask(&stage("uptime-kuma"), "/containers/json", &recording("container_list"))).unwrap();
    assert_eq!(list[0]["ImageID"], "");
    assert_eq!(list[0]["Names"], serde_json::json!([]));
}

/// Netdata's script fails on a `null` here; docker-gen reads variables by name.
fn variables_are_an_array_with_only_those_that_a_profile_names() {
    let inspect =
        r#"{"Id":"1","Name":"/web","Config":{"Env":["VIRTUAL_HOST=a.test","TOKEN=canary-env","NOMAD_JOB_NAME=j"]}}"#;
    for (profile, expected) in
        [("nginx-proxy", r#"["VIRTUAL_HOST=a.test"]"#), ("netdata", r#"["NOMAD_JOB_NAME=j"]"#), ("dozzle", "[]")]
    {
        let answer: Value = serde_json::from_str(&ask(&stage(profile), "/containers/web/json", inspect)).unwrap();
        assert_eq!(answer["Config"]["Env"].to_string(), expected, "{profile}");
    }
}

/// Glances joins the words of the command and fails if there are none.
fn glances_gets_a_command_with_one_redacted_word() {
    let inspect = r#"{"Id":"1","Config":{"Cmd":["sh","-c","canary-command"],"Entrypoint":["canary-entrypoint"]}}"#;
    let answer = ask(&stage("glances"), "/containers/web/json", inspect);
    assert_eq!(answer, r#"{"Id":"1","Config":{"Cmd":["[redacted]"],"Entrypoint":[]}}"#);
}

fn autoheal_restarts_and_does_nothing_else() {
    let stage = stage("autoheal");
    let answer = stage.bench.ask("POST /containers/web/restart?t=10 HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status(&answer), 200, "{answer}");
    let asked = stage.bench.daemon.requests();
    assert!(asked.len() == 1 && asked[0].starts_with("POST /v1.51/containers/web/restart?t=10 "), "{asked:?}");
}

/// Labels by which clients are configured, and whether they are shown in place of another socket proxy.
const LABELS: &[(&str, bool)] = &[
    ("com.getarcaneapp.arcane.icon", true),
    ("com.getarcaneapp.arcane.updater", true),
    ("crowdsec.enable", true),
    ("crowdsec.labels.type", true),
    ("dev.dozzle.name", true),
    ("dockhand.port.8080.url", true),
    ("dockhand.update", true),
    ("docker-volume-backup.archive-pre", false),
    ("docker-volume-backup.copy-post", false),
    ("docker-volume-backup.exec-label", true),
    ("docker-volume-backup.stop-during-backup", true),
    ("io.goauthentik.outpost-uuid", true),
    ("io.hass.type", true),
    ("ofelia.enabled", true),
    ("ofelia.job-exec.backup.command", false),
    ("ofelia.job-exec.backup.environment", false),
    ("ofelia.job-exec.backup.schedule", true),
    ("ofelia.job-run.backup.volume", false),
    ("ofelia.slack-webhook", false),
    ("ofelia.smtp-password", false),
    ("sablier.enable", true),
    ("sablier.group", true),
    ("supervisor_managed", true),
    ("tsdproxy.authkey", false),
    ("tsdproxy.authkeyfile", false),
    ("tsdproxy.dash.visible", true),
    ("tsdproxy.enable", true),
    ("tsdproxy.port.1", true),
];

/// In lists and inspections, for clients that create containers and for those that only look.
fn in_place_of_another_proxy_clients_find_their_labels_without_passwords_and_commands() {
    let labels: Value = LABELS.iter().map(|(name, _)| ((*name).to_owned(), Value::from("a"))).collect();
    for profile in ["drop-in", "drop-in-view"] {
        for (schema, pointer) in [("ContainerSummary", "/Labels"), ("ContainerInspect", "/Config/Labels")] {
            let document = json!({"Labels": labels, "Config": {"Labels": labels}}).to_string();
            let mut out = Vec::new();
            plan(profile, schema).apply(document.as_bytes(), &mut out).unwrap();
            let shown: Value = serde_json::from_slice(&out).unwrap();
            for (name, is_shown) in LABELS {
                let value = shown.pointer(pointer).unwrap().get(*name).and_then(Value::as_str);
                assert_eq!(value, is_shown.then_some("a"), "{profile} {schema} {name}");
            }
        }
    }
}

fn the_table_of_clients_states_how_many_secrets_are_left() {
    let table = include_str!("../../docs/clients.md");
    let (mut wrong, mut before_all, mut after_all) = (String::new(), 0, 0);
    for client in recorded::all().iter().filter(|client| is_for_one_client(profile(&client.profile))) {
        let stage = stage(&client.profile);
        let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
        let documents = |request: &&Request| request.status == 200 && !request.answer.contains('.');
        for request in client.requests.iter().filter(documents) {
            after.extend(secrets(&replay(&stage, request)));
            before.extend(secrets(&String::from_utf8_lossy(&answered(request).1)));
        }
        let how = if client.was_run { "recorded" } else { "from its source" };
        let release = client.release.split([',', ';']).next().unwrap();
        let end = format!("| {how}, {release} | {} → {} |", before.len(), after.len());
        let row = table.lines().find(|line| line.contains(&format!("| `{}` |", client.profile)));
        let start = format!("| {}", client.client);
        if !row.is_some_and(|row| row.starts_with(&start) && row.ends_with(&end)) {
            writeln!(wrong, "{}: {row:?} should be {start} … {end} {after:?}", client.profile).unwrap();
        }
        before_all += before.len();
        after_all += after.len();
    }
    assert!(wrong.is_empty(), "{wrong}");
    // Two values of labels, and six places in containers where something is mounted, which agents ask for.
    assert!(before_all > 300 && after_all == 8, "{before_all} → {after_all}");
}
