//! Edits through the filter: commands change what they see of an object of a swarm, and nothing else.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Outcome, Test, tests};
use crate::read_first::{add_label, changed, swarm};
use crate::support::proxy::Proxy;
use crate::support::{cli, client, engine};

pub(crate) const TESTS: &[Test] = tests![an_edit_changes_what_it_sees_and_nothing_else];

/// Commands that read first, each with the path of the object and the paths in it that change.
const COMMANDS: &[(&[&str], &str, &[&str])] = &[
    (&["service", "scale", "--detach", "shop=0"], "/services/shop", &["$.Spec.Mode.Replicated.Replicas"]),
    (
        &["service", "update", "--detach", "--no-resolve-image", "--image", "other:2", "shop"],
        "/services/shop",
        &["$.Spec.TaskTemplate.ContainerSpec.Image"],
    ),
    (
        &["service", "update", "--detach", "--label-add", "tier=front", "shop"],
        "/services/shop",
        &["$.Spec.Labels.tier"],
    ),
    (
        &["service", "update", "--detach", "--limit-memory", "96M", "shop"],
        "/services/shop",
        &["$.Spec.TaskTemplate.Resources.Limits.MemoryBytes"],
    ),
    (
        &["service", "update", "--detach", "--publish-add", "8080:80", "shop"],
        "/services/shop",
        &["$.Endpoint.Ports", "$.Endpoint.Spec.Ports", "$.Endpoint.VirtualIPs", "$.Spec.EndpointSpec.Ports"],
    ),
    (&["service", "update", "--detach", "--label-rm", "tier", "shop"], "/services/shop", &["$.Spec.Labels.tier"]),
    (&["node", "update", "--label-add", "rack=a", "NODE"], "/nodes/NODE", &["$.Spec.Labels.rack"]),
    (&["node", "update", "--availability", "pause", "NODE"], "/nodes/NODE", &["$.Spec.Availability"]),
    (&["swarm", "update", "--task-history-limit", "3"], "/swarm", &["$.Spec.Orchestration.TaskHistoryRetentionLimit"]),
];

/// Commands that fill a hidden place, each with its path in the body.
const FILLING: &[(&[&str], &str, &str)] = &[
    (
        &["service", "update", "--detach", "--env-add", "MORE=1", "shop"],
        "/services/shop",
        "$.TaskTemplate.ContainerSpec.Env[0]",
    ),
    (&["service", "update", "--detach", "--label-add", "owner=me", "shop"], "/services/shop", "$.Labels.*"),
    (
        &["service", "update", "--detach", "--args", "echo hello", "shop"],
        "/services/shop",
        "$.TaskTemplate.ContainerSpec.Args[0]",
    ),
    (&["node", "update", "--label-add", "owner=me", "NODE"], "/nodes/NODE", "$.Labels.*"),
];

/// A command with the id of the node.
fn of_node<'c>(command: &[&'c str], node: &'c str) -> Vec<&'c str> {
    command.iter().map(|word| if *word == "NODE" { node } else { *word }).collect()
}

fn read(socket: &Path, target: &str) -> Value {
    client::get(socket, target).json()
}

/// Runs a command through a proxy that must change these paths of an object, as the engine has it, and no others.
#[track_caller]
fn check(direct: &Path, proxy: &Proxy, command: &[&str], target: &str, expected: &[&str]) {
    let before = read(direct, target);
    let done = cli::docker(&proxy.socket(), command, "");
    assert!(done.status.success(), "{command:?}: {}", cli::outputs(&done));
    let found: Vec<String> = changed(&before, &read(direct, target)).into_iter().collect();
    // The engine assigns addresses and ports when it comes to it.
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    let of_spec = |paths: &[&str]| -> Vec<String> {
        paths.iter().filter(|path| !path.starts_with("$.Endpoint")).map(|path| (*path).to_owned()).collect()
    };
    assert_eq!(of_spec(&found), of_spec(expected), "{command:?}");
}

fn an_edit_changes_what_it_sees_and_nothing_else() -> Outcome {
    let engine = engine::private("edits")?;
    let direct = engine.socket();
    let node = swarm(&direct);
    let (editing, setting) = (Proxy::start(&direct, "editing"), Proxy::start(&direct, "setting"));
    let said: String = editing.log().split_whitespace().collect::<Vec<_>>().join(" ");
    let warning = "warning: no secrecy against a client that may change the image or the command of a service";
    assert!(said.contains(warning) && said.contains("edits: ConfigUpdate, NodeUpdate"), "{said}");

    what_is_written_back_as_it_is_shown_changes_nothing(&direct, &editing, &node);
    for (command, target, expected) in COMMANDS {
        check(&direct, &editing, &of_node(command, &node), &target.replace("NODE", &node), expected);
    }
    for (command, target, path) in FILLING {
        let (command, target) = (of_node(command, &node), target.replace("NODE", &node));
        let before = read(&direct, &target);
        let refused = cli::docker(&editing.socket(), &command, "");
        let text = cli::outputs(&refused);
        assert!(
            !refused.status.success() && text.contains(&format!("hides {path} in the body")),
            "{command:?}: {text}"
        );
        assert_eq!(read(&direct, &target)["Version"], before["Version"], "{command:?}");
    }
    // What a client may set is added to what it does not see.
    let env = "$.Spec.TaskTemplate.ContainerSpec.Env";
    check(&direct, &setting, FILLING[0].0, "/services/shop", &[env]);
    let service = read(&direct, "/services/shop");
    assert_eq!(service["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"], json!(["TOKEN=canary-env", "MORE=1"]));
    check(&direct, &setting, &of_node(FILLING[3].0, &node), &format!("/nodes/{node}"), &["$.Spec.Labels.owner"]);

    // The engine goes back by itself, whatever the body.
    let previous = read(&direct, "/services/shop")["PreviousSpec"].clone();
    let done = cli::docker(&editing.socket(), &["service", "rollback", "--detach", "shop"], "");
    assert!(done.status.success(), "{}", cli::outputs(&done));
    assert_eq!(read(&direct, "/services/shop")["Spec"], previous);

    for (kind, name) in [("secrets", "key"), ("configs", "page")] {
        let target = format!("/{kind}/{name}");
        let before = read(&direct, &target);
        let done = add_label(&editing.socket(), kind, name);
        assert_eq!(done.status(), 200, "{}", done.text());
        let after = read(&direct, &target);
        assert_eq!(changed(&before, &after), ["$.Spec.Labels.more".to_owned()].into(), "{kind}");
        assert!(after.to_string().contains("canary"), "{after}");
    }
    an_edit_of_another_version_has_the_answer_of_the_engine(&direct, &editing);
    let service = client::get(&direct, "/services/shop").text();
    for canary in ["canary-env", "canary-label", "canary-inner", "canary-target", "canary-health", "canary-argument"] {
        assert!(service.contains(canary), "{canary} is gone: {service}");
        assert!(!client::get(&editing.socket(), "/services/shop").text().contains(canary), "{canary} is shown");
    }
    Ok(())
}

/// Of every kind of object, in the oldest version with these operations and in the newest.
fn what_is_written_back_as_it_is_shown_changes_nothing(direct: &Path, editing: &Proxy, node: &str) {
    let targets = ["/services/shop", &format!("/nodes/{node}"), "/swarm", "/secrets/key", "/configs/page"];
    for (prefix, target) in ["", "/v1.30"].iter().flat_map(|prefix| targets.map(|target| (prefix, target))) {
        let before = read(direct, target);
        let shown = read(&editing.socket(), &format!("{prefix}{target}"));
        assert!(!shown.to_string().contains("canary-label") && shown["Spec"] != before["Spec"], "{shown}");
        let update = format!("{prefix}{target}/update?version={}", shown["Version"]["Index"]);
        let done = client::post(&editing.socket(), &update, &shown["Spec"]);
        assert_eq!(done.status(), 200, "{update}: {}", done.text());
        let after = read(direct, target);
        assert_eq!(after["Spec"], before["Spec"], "{update}");
        assert_ne!(after["Version"], before["Version"], "{update}: the engine took it");
    }
}

/// A version that was, one that may come, and texts that are none.
fn an_edit_of_another_version_has_the_answer_of_the_engine(direct: &Path, editing: &Proxy) {
    let before = read(direct, "/services/shop");
    let version = before["Version"]["Index"].as_u64().unwrap();
    let edit = json!({"Name": "shop", "TaskTemplate": {"ContainerSpec": {"Image": "other:3"}}});
    for other in
        [(version - 1).to_string(), (version + 1).to_string(), "x".to_owned(), String::new(), "%2b1".to_owned()]
    {
        let target = format!("/services/shop/update?version={other}");
        let of_engine = client::post(direct, &target, &before["Spec"]);
        let through = client::post(&editing.socket(), &target, &edit);
        assert!(of_engine.status() >= 400, "{other}: {}", of_engine.text());
        assert_eq!(through.status(), of_engine.status(), "{other}: {}", through.text());
        assert_eq!(read(direct, "/services/shop"), before, "{other}");
    }
}
