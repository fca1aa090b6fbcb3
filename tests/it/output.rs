//! What commands print for programs (`--output json`), and in colour for people.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Test, tests};
use crate::support::program::command;
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[Test] = tests![
    every_command_prints_one_document_that_says_what_its_text_says,
    a_decision_has_an_action_a_status_and_a_place,
    metrics_and_the_audit_file_are_told,
    errors_have_a_place,
    a_document_is_not_broken_into_lines_and_has_no_colour,
    whatever_the_summary_warns_of_is_in_the_document
];

/// The exit code and what is printed.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(&[], arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[track_caller]
fn document(arguments: &[&str]) -> Value {
    let (code, printed) = run(&[arguments, &["--output", "json"]].concat());
    assert!(code == Some(0) && printed.ends_with("}\n"), "{arguments:?}: {code:?}: {printed}");
    serde_json::from_str(&printed).unwrap()
}

/// The texts in a document, without places and keys.
fn texts(document: &Value, found: &mut Vec<String>) {
    match document {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(members) => {
            let said = members
                .iter()
                .filter(|(name, _)| !["about", "action", "api", "at", "by", "versions"].contains(&name.as_str()));
            said.for_each(|(_, value)| texts(value, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Words are compared, because lines of text are broken.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn every_command_prints_one_document_that_says_what_its_text_says() {
    let listen = ["--listen", "unix:///nowhere/docker.sock"];
    for arguments in [
        &["check", listen[0], listen[1]][..],
        &["check", listen[0], listen[1], "--profile", "watchtower"],
        &["check", "--listen", "tcp://0.0.0.0:0", "--api", "max=1.44"],
        &["profiles"],
        &["catalogue"],
        &["catalogue", "ContainerInspect"],
        &["catalogue", "ContainerInspect", "--api", "1.24"],
        &["explain", "/containers/json"],
        &["explain", "--profile", "traefik", "/containers/web/json?size=1&nonsense=1"],
        &["explain", "POST /services/web/update?version=1"],
        &["explain", "/containers/web/logs"],
    ] {
        let (code, text) = run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}");
        let (text, mut said) = (words(&text), Vec::new());
        texts(&document(arguments), &mut said);
        let missing: Vec<&String> = said.iter().filter(|said| !text.contains(&words(said))).collect();
        assert!(missing.is_empty() && said.len() > 3, "{arguments:?}: not in the text: {missing:#?}");
    }
}

fn a_decision_has_an_action_a_status_and_a_place() {
    let decision = |request: &str| document(&["explain", "--profile", "dashboard", request])["decision"].clone();
    assert_eq!(decision("/containers/json"), json!({"action": "filter", "status": null, "text": ""}));
    assert_eq!(decision("/_ping")["action"], json!("relay"));
    let denied = decision("DELETE /containers/web");
    assert_eq!((&denied["action"], &denied["status"]), (&json!("refuse"), &json!(403)));
    assert!(denied["text"].as_str().unwrap().contains("does not allow ContainerDelete"), "{denied}");

    let explained = document(&["explain", "--profile", "dashboard", "/containers/web/json"]);
    let fields = explained["documents"][0]["fields"].as_array().unwrap();
    let env = fields.iter().find(|field| field["path"] == "$.Config.Env[*]").unwrap();
    assert_eq!((&env["class"], &env["by"]["file"]), (&json!("secret"), &json!("built-in:class/secret.yaml")));
    assert!(env["by"]["line"].as_u64().unwrap() > 0, "{env}");

    let checked = document(&["check", "--profile", "watchtower", "--listen", "tcp://0.0.0.0:0"]);
    let profile = &checked["profiles"][0];
    assert_eq!((&profile["name"], &checked["listeners"][0]["profile"]), (&json!("watchtower"), &json!("watchtower")));
    assert!(profile["allows"].as_array().unwrap().contains(&json!("ContainerList")), "{profile}");
    let warned = |of: &Value| of["warnings"].as_array().unwrap().len();
    assert!(warned(profile) > 1 && warned(&checked["listeners"][0]) > 0, "{checked}");
    assert!(checked["memory"].as_u64().unwrap() > 1 << 20, "{checked}");
    assert_eq!((&checked["metrics"], &checked["audit"]), (&Value::Null, &Value::Null));
}

/// Wherever it is said: in the file, by a variable, or by an option.
fn metrics_and_the_audit_file_are_told() {
    let folder = Folder::new();
    let config = folder.path("dockveil.yaml").display().to_string();
    let audit = folder.path("audit.jsonl").display().to_string();
    let listeners = "listeners: [{listen: unix:///nowhere/docker.sock}]\n";
    for (file, variables, options, expected) in [
        ("metrics: tcp://127.0.0.1:9\naudit: {file: audit.jsonl}\n", &[][..], &[][..], "tcp://127.0.0.1:9"),
        (
            "metrics: tcp://127.0.0.1:9\n",
            &[("DOCKVEIL_METRICS", "unix:///m"), ("DOCKVEIL_AUDIT", &audit)],
            &[],
            "unix:///m",
        ),
        ("audit: {file: audit.jsonl}\n", &[], &["--metrics", "tcp://0.0.0.0:9"], "tcp://0.0.0.0:9"),
    ] {
        std::fs::write(&config, format!("{listeners}{file}")).unwrap();
        let arguments = [&["check", "--config", &config], options].concat();
        let printed = |arguments: &[&str]| {
            let output = command(variables, arguments).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let text = printed(&arguments);
        let lines: Vec<&str> =
            text.lines().filter(|line| line.starts_with("metrics") || line.starts_with("audit")).collect();
        assert_eq!(lines, [format!("metrics {expected}"), format!("audit   {audit}")], "{text}");
        let is_warned_of = text.contains("anyone who reaches tcp://0.0.0.0:9 can read the metrics");
        assert_eq!(is_warned_of, expected.contains("0.0.0.0"), "{text}");
        let document: Value =
            serde_json::from_str(&printed(&[&arguments[..], &["--output", "json"]].concat())).unwrap();
        assert_eq!((&document["metrics"], &document["audit"]), (&json!(expected), &json!(audit)));
        let is_noted =
            document["notes"].to_string().contains("anyone who reaches tcp://0.0.0.0:9 can read the metrics");
        assert_eq!(is_noted, is_warned_of, "{document}");
    }
}

/// Every note and warning of a document, wherever it is.
pub(crate) fn remarks_in(document: &Value, keys: &[&str]) -> Vec<String> {
    match document {
        Value::Array(items) => items.iter().flat_map(|item| remarks_in(item, keys)).collect(),
        Value::Object(members) => {
            let of = |(name, value): (&String, &Value)| match (name.as_str(), value) {
                (name, Value::Array(texts)) if keys.contains(&name) => {
                    texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
                }
                _ => remarks_in(value, keys),
            };
            members.iter().flat_map(of).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn whatever_the_summary_warns_of_is_in_the_document() {
    let folder = Folder::new();
    let config = folder.path("dockveil.yaml").display().to_string();
    let text = "listeners:\n  - {listen: \"tcp://0.0.0.0:9\", profile: dashboard-live}\n  - {listen: \"tcp://127.0.0.1:8\", hosts: [\"*\"], profile: own}\nprofiles:\n  - {profile: own, allow: [all], labels: [\"*\"]}\nlimits: {memory: 8MiB}\nmetrics: tcp://0.0.0.0:10\n";
    std::fs::write(&config, text).unwrap();
    let printed = |arguments: &[&str]| {
        let variables = [("DOCKVEIL_UNKNOWN_THING", "1"), ("DOCKER_CERT_PATH", "/nowhere"), ("COLUMNS", "10000")];
        let arguments = [&["check", "--upstream", "tcp://e:1", "--config", &config], arguments].concat();
        let output = command(&variables, &arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let document = serde_json::from_str(&printed(&["--output", "json"])).unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let remarks: Vec<String> = remarks_in(&document, &["warnings"]).iter().map(|text| words(text)).collect();
    for remark in remarks_in(&document, &["notes", "warnings"]) {
        assert!(!remark.contains("warning: ") && !remark.contains("note: "), "{remark}");
    }
    let text = printed(&[]);
    // A line that is broken begins with a warning, and goes on deeper.
    let warnings: Vec<String> = text.split("warning: ").skip(1).map(words).collect();
    assert!(warnings.len() > 8, "{text}");
    for warning in warnings {
        assert!(remarks.iter().any(|remark| warning.starts_with(remark)), "{warning}\n{remarks:#?}");
    }
}

fn errors_have_a_place() {
    let folder = Folder::new();
    let file = folder.path("a.yaml");
    std::fs::write(&file, "listeners:\n  - {listen: unix:///a, profil: dashboard}\nwatch: maybe\n").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [&["check", "--config", file][..], &["explain", "--config", file, "/info"]] {
        let (code, printed) = run(&[arguments, &["--output", "json"]].concat());
        assert_eq!(code, Some(78), "{printed}");
        let errors: Value = serde_json::from_str(&printed).unwrap();
        let first = &errors["errors"][0];
        assert_eq!(first["at"], json!({"file": file, "line": 2, "column": 25}), "{errors}");
        assert_eq!(first["message"], json!("unknown key \"profil\", did you mean \"profile\"?"));
        assert_eq!(errors["errors"].as_array().unwrap().len(), 2, "{errors}");
    }
    let (code, printed) = run(&["catalogue", "ContainerInspct", "--output", "json"]);
    let errors: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (code, &errors["errors"][0]["at"]),
        (Some(64), &json!({"file": "SCHEMA", "line": null, "column": null}))
    );
}

fn a_document_is_not_broken_into_lines_and_has_no_colour() {
    let (_, printed) = run(&["profiles", "--output", "json"]);
    assert!(printed.lines().any(|line| line.len() > 120) && !printed.contains('\u{1b}'), "{printed}");
    let (_, text) = run(&["profiles"]);
    assert!(text.lines().all(|line| line.chars().count() <= 100) && !text.contains('\u{1b}'), "{text}");
}
