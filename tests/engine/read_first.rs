//! Commands that read an object of a swarm, change one thing in it and send it back whole.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Outcome, Test, tests};
use crate::support::proxy::Proxy;
use crate::support::{cli, client, engine, seed};

pub(crate) const TESTS: &[Test] = tests![a_command_that_reads_first_loses_nothing_of_what_is_hidden];

/// The variables that open the swarm to writing.
const WRITES: [(&str, &str); 8] = [
    ("POST", "1"),
    ("SERVICES", "1"),
    ("NODES", "1"),
    ("SWARM", "1"),
    ("SECRETS", "1"),
    ("CONFIGS", "1"),
    ("INFO", "1"),
    ("TASKS", "1"),
];

/// A service of which a drop-in mode hides variables, arguments, labels, the source of a mount and a health check.
const SERVICE: &[&str] = &[
    "service",
    "create",
    "--detach",
    "--no-resolve-image",
    "--name",
    "shop",
    "--replicas",
    "1",
    "--restart-condition",
    "none",
    "--env",
    "TOKEN=canary-env",
    "--label",
    "owner=canary-label",
    "--container-label",
    "inner=canary-inner",
    "--mount",
    "type=tmpfs,destination=/canary-target",
    // Two that are shown alike, and one more that the command cannot tell from them.
    "--mount",
    "type=volume,source=canary-data,destination=/canary-data",
    "--mount",
    "type=volume,source=canary-more,destination=/canary-more",
    "--health-cmd",
    "test canary-health",
    "--health-interval",
    "5s",
    "--limit-memory",
    "64M",
    seed::BASE,
    "sleep",
    "1000",
    "canary-argument",
];

/// Commands that read first, each with the paths in what it changes.
const COMMANDS: &[(&[&str], &str, &[&str])] = &[
    (&["service", "scale", "--detach", "shop=0"], "/services/shop", &["$.Spec.Mode.Replicated.Replicas"]),
    (
        &["service", "update", "--detach", "--label-add", "tier=front", "shop"],
        "/services/shop",
        &["$.Spec.Labels.tier"],
    ),
    (
        &["service", "update", "--detach", "--env-add", "MORE=1", "shop"],
        "/services/shop",
        &["$.Spec.TaskTemplate.ContainerSpec.Env"],
    ),
    (&["node", "update", "--label-add", "rack=a", "NODE"], "/nodes/NODE", &["$.Spec.Labels.rack"]),
    (&["node", "update", "--availability", "pause", "NODE"], "/nodes/NODE", &["$.Spec.Availability"]),
    (&["swarm", "update", "--task-history-limit", "3"], "/swarm", &["$.Spec.Orchestration.TaskHistoryRetentionLimit"]),
    (&["swarm", "join-token", "--quiet", "--rotate", "worker"], "/swarm", &["$.JoinTokens.Worker"]),
];

/// A swarm of one node, with one object of each kind that can be updated.
pub(crate) fn swarm(socket: &Path) -> String {
    seed::import(socket);
    let docker = |arguments: &[&str]| cli::stdout(socket, &[&["docker"], arguments].concat());
    docker(&["swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377"]);
    let secret = json!({"Name": "key", "Labels": {"owner": "canary-secret-label"}, "Data": "Y2FuYXJ5"});
    assert_eq!(client::post(socket, "/secrets/create", &secret).status(), 201);
    let config = json!({"Name": "page", "Labels": {"owner": "canary-config-label"}, "Data": "Y2FuYXJ5"});
    assert_eq!(client::post(socket, "/configs/create", &config).status(), 201);
    docker(SERVICE);
    let node = docker(&["node", "ls", "--quiet"]).trim().to_owned();
    docker(&["node", "update", "--label-add", "owner=canary-node-label", &node]);
    node
}

/// What changed between two documents, without versions and times.
pub(crate) fn changed(before: &Value, after: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    compare("$", before, after, &mut found);
    let is_count = |path: &String| {
        ["$.Version", "$.UpdatedAt", "$.PreviousSpec", "$.UpdateStatus"].iter().any(|start| path.starts_with(start))
    };
    found.into_iter().filter(|path| !is_count(path)).collect()
}

/// Collects the paths where two documents differ.
fn compare(path: &str, before: &Value, after: &Value, found: &mut BTreeSet<String>) {
    match (before, after) {
        (Value::Object(one), Value::Object(other)) => {
            for name in one.keys().chain(other.keys()) {
                let of = |object: &serde_json::Map<String, Value>| object.get(name).cloned().unwrap_or_default();
                compare(&format!("{path}.{name}"), &of(one), &of(other), found);
            }
        }
        _ if before == after => {}
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// Sends the labels of a secret or config back with one more, as the SDKs do: the specification that was read, and the
/// version that it had.
pub(crate) fn add_label(socket: &Path, kind: &str, name: &str) -> client::Response {
    let read = client::get(socket, &format!("/{kind}/{name}")).json();
    let mut spec = read["Spec"].clone();
    spec["Labels"]["more"] = json!("1");
    let (id, version) = (read["ID"].as_str().unwrap(), &read["Version"]["Index"]);
    client::post(socket, &format!("/{kind}/{id}/update?version={version}"), &spec)
}

fn a_command_that_reads_first_loses_nothing_of_what_is_hidden() -> Outcome {
    let engine = engine::private("read-first")?;
    let direct = engine.socket();
    let node = swarm(&direct);
    let proxy = |more: &[(&str, &str)]| Proxy::drop_in(("SOCKET_PATH", &direct), &[&WRITES, more].concat());
    let (hiding, showing) = (proxy(&[]), proxy(&[("DOCKVEIL_SHOW", "all")]));
    let warning =
        "warning: denied although allowed: ConfigUpdate, NodeUpdate, SecretUpdate, ServiceUpdate, SwarmUpdate: clients";
    assert!(!showing.log().contains("denied although allowed"), "{}", showing.log());
    let said: String = hiding.log().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(warning), "{said}");

    for (command, target, expected) in COMMANDS {
        let command: Vec<&str> = command.iter().map(|word| if *word == "NODE" { &node } else { *word }).collect();
        let target = target.replace("NODE", &node);
        let read = || client::get(&direct, &target).json();
        let before = read();
        let refused = cli::docker(&hiding.socket(), &command, "");
        let text = cli::outputs(&refused);
        assert!(!refused.status.success() && text.contains("would erase them"), "{command:?}: {text}");
        assert_eq!(changed(&before, &read()), BTreeSet::new(), "{command:?} was refused");
        assert_eq!(read()["Version"], before["Version"], "{command:?} was refused");

        let done = cli::docker(&showing.socket(), &command, "");
        assert!(done.status.success(), "{command:?}: {}", cli::outputs(&done));
        let expected: BTreeSet<String> = expected.iter().map(|path| (*path).to_owned()).collect();
        assert_eq!(changed(&before, &read()), expected, "{command:?}");
    }
    for (kind, name) in [("secrets", "key"), ("configs", "page")] {
        let read = || client::get(&direct, &format!("/{kind}/{name}")).json();
        let before = read();
        let refused = add_label(&hiding.socket(), kind, name);
        assert_eq!(refused.status(), 403, "{}", refused.text());
        assert!(refused.text().contains("would erase them"), "{}", refused.text());
        assert_eq!(read(), before, "{kind}");
        let done = add_label(&showing.socket(), kind, name);
        assert_eq!(done.status(), 200, "{}", done.text());
        assert_eq!(changed(&before, &read()), ["$.Spec.Labels.more".to_owned()].into(), "{kind}");
    }
    let service = client::get(&direct, "/services/shop").text();
    for canary in ["canary-env", "canary-label", "canary-inner", "canary-target", "canary-health", "canary-argument"] {
        assert!(service.contains(canary), "{canary} is gone: {service}");
    }
    Ok(())
}
