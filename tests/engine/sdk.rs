//! Every method of three SDKs, called once at an engine and once through a profile that allows and shows everything. What the
//! methods return and raise is the same, but for ids, times and figures.
//!
//! The programs in `tests/clients` call the methods and print one JSON document for each call. They take the list of methods
//! from the SDK itself, and fail if one of them is not called. So the test knows nothing of any SDK: it compares two lists.
//! testcontainers, which is built on two of them, runs containers, and is compared in the same way.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::sync::LazyLock;
use std::time::Duration;

use regex::{Captures, Regex};
use serde_json::{Value, json};

use crate::harness::{self, Ignored, Outcome, Test, tests};
use crate::support::cli;
use crate::support::engine::{self, Engine, REGISTRY};
use crate::support::process::Folder;
use crate::support::proxy::Proxy;
use crate::support::tar::Tar;
use crate::support::{at_once, client, installed, seed};

pub(crate) const TESTS: &[Test] = tests![
    every_method_of_the_sdk_for_python_does_the_same,
    every_method_of_dockerode_does_the_same,
    every_method_of_bollard_does_the_same,
    testcontainers_for_python_runs_containers,
    testcontainers_for_node_runs_containers,
    what_an_engine_answers_in_any_order_is_compared_without_it,
];

/// How long a program may run. It takes a sixth of that on an idle machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A call whose outcome differs, and why that is right.
struct Difference {
    /// What the trace calls it.
    call: &'static str,
    /// A part of what the engine does.
    direct: &'static str,
    /// A part of what comes through the proxy.
    through: &'static str,
    /// Why.
    reason: &'static str,
}

fn every_method_of_the_sdk_for_python_does_the_same() -> Outcome {
    let python = installed::client("python/bin/python")?;
    let plugin = installed::client("plugin/rootfs/plugin")?;
    let plugin = Path::new(&plugin).ancestors().nth(2).unwrap().display().to_string();
    let differences = [Difference {
        call: "APIClient.import_image_from_stream",
        direct: "header line too long",
        through: "malformed request",
        reason: "the SDK sends a Content-Length and a Transfer-Encoding, which is request smuggling (RFC 9112 §6.3)",
    }];
    check("python", &[&python, &installed::script("methods.py"), REGISTRY, &plugin], &differences)
}

fn every_method_of_dockerode_does_the_same() -> Outcome {
    let dockerode = installed::client("node_modules/dockerode/package.json")?;
    let node = installed::client("python/bin/node")?;
    let modules = format!("NODE_PATH={}", Path::new(&dockerode).ancestors().nth(2).unwrap().display());
    check("dockerode", &["env", &modules, &node, &installed::script("methods.js"), REGISTRY], &[])
}

fn every_method_of_bollard_does_the_same() -> Outcome {
    let program = installed::client("bollard-methods")?;
    let folder = Folder::new("bollard");
    let archive = folder.path().join("plugin.tar");
    std::fs::write(&archive, plugin()?).unwrap();
    let source = Path::new(&program).with_file_name("bollard-source").display().to_string();
    check("bollard", &[&program, &source, REGISTRY, archive.to_str().unwrap()], &[])
}

/// What testcontainers is told: to leave out a container of its own, from a public registry, that removes others.
const ALONE: &str = "TESTCONTAINERS_RYUK_DISABLED=true";

fn testcontainers_for_python_runs_containers() -> Outcome {
    let python = installed::client("python/bin/python")?;
    check("testcontainers-python", &["env", ALONE, &python, &installed::script("containers.py")], &[])
}

fn testcontainers_for_node_runs_containers() -> Outcome {
    let package = installed::client("node_modules/testcontainers/package.json")?;
    let node = installed::client("python/bin/node")?;
    let modules = format!("NODE_PATH={}", Path::new(&package).ancestors().nth(2).unwrap().display());
    check("testcontainers-node", &["env", ALONE, &modules, &node, &installed::script("containers.js")], &[])
}

/// Runs a program at two engines of its own, directly and through the proxy at the same time, and compares what it prints.
#[track_caller]
fn check(name: &str, program: &[&str], differences: &[Difference]) -> Outcome {
    let [direct, through] = at_once([false, true], |is_proxied| -> Result<(Vec<Part>, Output), Ignored> {
        let engine = engine::newest_with_registry(&format!("{name}-{is_proxied}"))?;
        seed::import(&engine.socket());
        push_plugin(&engine)?;
        let proxy = is_proxied.then(|| Proxy::start(&engine.socket(), "open"));
        let socket = proxy.as_ref().map_or_else(|| engine.socket(), Proxy::socket);
        std::fs::create_dir_all(socket.with_file_name("client")).unwrap();
        let inside = engine.inside();
        let program: Vec<&str> = inside.iter().map(String::as_str).chain(program.iter().copied()).collect();
        let output = cli::run_within(LIMIT, &socket, &program, "");
        let folders = [engine.folder(), socket.parent().unwrap()];
        Ok((parts(&String::from_utf8_lossy(&output.stdout), &folders), output))
    });
    let (direct, through) = (direct?, through?);
    for output in [&direct.1, &through.1].iter().filter(|output| !output.status.success()) {
        harness::note(&String::from_utf8_lossy(&output.stderr));
    }
    compare(&direct.0, &through.0, differences);
    for output in [direct.1, through.1] {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn what_an_engine_answers_in_any_order_is_compared_without_it() {
    let settled = |value: &Value| {
        let mut value = value.clone();
        settle(&mut value);
        value
    };
    let any = [
        json!([{"Name": "host"}, {"Name": "bridge"}]),
        json!([{"attrs": {"RepoTags": ["b:1"]}}, {"attrs": {"RepoTags": ["a:1"]}}]),
        json!([{"ID": "1", "Spec": {"Name": "web"}}, {"ID": "2", "Spec": {"Name": "db"}}]),
        json!({"Mounts": [{"Type": "bind", "Destination": "/b"}, {"Type": "volume", "Name": "v", "Destination": "/a"}]}),
        json!([{"IP": "::", "PrivatePort": 80}, {"IP": "0.0.0.0", "PrivatePort": 80}, {"PrivatePort": 79}]),
        json!([{"Path": "/tmp", "Kind": 0}, {"Path": "/etc", "Kind": 0}]),
        json!([{"stream": "Loaded image: b:1\n"}, {"stream": "Loaded image: a:1\n"}]),
        json!("{\"stream\":\"Loaded image: b:1\\n\"}\r\n{\"stream\":\"Loaded image: a:1\\n\"}\r\n"),
    ];
    for value in any {
        assert_eq!(settled(&value), settled(&reversed(&value)), "{value}");
    }
    let ordered = [
        json!([{"CreatedBy": "RUN b"}, {"CreatedBy": "RUN a"}]),
        json!([{"stream": "Step 2/2\n"}, {"stream": "Step 1/2\n"}]),
        json!(["b", "a"]),
        json!([{"Untagged": "b:1"}, {"Deleted": "a"}]),
    ];
    for value in ordered {
        assert_ne!(settled(&value), settled(&reversed(&value)), "{value}");
    }
}

/// A value whose lists are the other way round: also that of the documents in a text, one a line.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Array(elements) => elements.iter().rev().map(reversed).collect(),
        Value::Object(members) => members.iter().map(|(name, member)| (name.clone(), reversed(member))).collect(),
        Value::String(text) if text.contains("\r\n") => {
            text.lines().rev().map(|line| format!("{line}\r\n")).collect::<String>().into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// The archive of the plugin that `.ci/clients` builds.
fn plugin() -> Result<Vec<u8>, Ignored> {
    let program = std::fs::read(installed::client("plugin/rootfs/plugin")?).unwrap();
    let config = std::fs::read(installed::client("plugin/config.json")?).unwrap();
    let archive = Tar::default().file("config.json", 0o644, &config).directory("rootfs", 0o755);
    Ok(archive.file("rootfs/plugin", 0o755, &program).finish())
}

/// Puts the plugin into the registry, as `shop/plugin:1`.
#[track_caller]
fn push_plugin(engine: &Engine) -> Result<(), Ignored> {
    let (socket, name) = (engine.socket(), format!("{REGISTRY}/shop/plugin:1"));
    let headers = ["Content-Type: application/x-tar"];
    let created = client::request(&socket, "POST", &format!("/plugins/create?name={name}"), &headers, &plugin()?);
    assert_eq!(created.status(), 204, "{}", created.text());
    let pushed = client::request(&socket, "POST", &format!("/plugins/{name}/push"), &["X-Registry-Auth: e30="], b"");
    assert!(pushed.status() == 200 && !pushed.text().contains("\"error\""), "{}", pushed.text());
    client::delete(&socket, &format!("/plugins/{name}"));
    Ok(())
}

/// The documents that a program prints about one part of its work. Each part stands for itself: if one breaks off, the others
/// can still be compared.
type Part = Vec<Value>;

/// What a program has printed, with names for what differs between two runs. `folders` are those of this run.
#[track_caller]
fn parts(text: &str, folders: &[&Path]) -> Vec<Part> {
    let text =
        folders.iter().fold(text.to_owned(), |text, folder| text.replace(&folder.display().to_string(), "<folder>"));
    let mut parts = vec![Part::new()];
    for line in text.lines() {
        let mut document: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        settle(&mut document);
        if document.get("part").is_some() {
            parts.push(Part::new());
        }
        parts.last_mut().unwrap().push(document);
    }
    for part in &mut parts {
        let mut names = Names::default();
        part.iter_mut().for_each(|document| names.rename(document));
    }
    parts
}

/// Fails if the outcomes of two calls differ, except for the differences that are expected, each of which must be there.
#[track_caller]
fn compare(direct: &[Part], through: &[Part], expected: &[Difference]) {
    let mut seen = vec![false; expected.len()];
    let mut unexpected = Vec::new();
    for (direct, through) in direct.iter().zip(through) {
        compare_part(direct, through, expected, &mut seen, &mut unexpected);
    }
    let unseen: Vec<_> =
        expected.iter().zip(seen).filter(|(_, seen)| !seen).map(|(one, _)| (one.call, one.reason)).collect();
    let shown = unexpected[..unexpected.len().min(40)].join("\n");
    assert!(unexpected.is_empty(), "{} calls differ, at the engine and through the proxy:\n{shown}", unexpected.len());
    assert!(unseen.is_empty(), "differences that are expected and not there: {unseen:?}");
    assert_eq!(direct.len(), through.len());
}

/// Compares one part, up to the place from which on its two runs do different things.
fn compare_part(
    direct: &Part,
    through: &Part,
    expected: &[Difference],
    seen: &mut [bool],
    unexpected: &mut Vec<String>,
) {
    for (direct, through) in direct.iter().zip(through).filter(|(direct, through)| direct != through) {
        let matches = |one: &Difference| {
            direct["call"] == one.call
                && direct.to_string().contains(one.direct)
                && through.to_string().contains(one.through)
        };
        if let Some(known) = expected.iter().position(matches) {
            seen[known] = true;
        } else {
            let mut places = Vec::new();
            places_that_differ(direct, through, "$", &mut places);
            unexpected.push(format!("{} {}\n  {}", direct["call"], direct["note"], places.join("\n  ")));
        }
        if direct["call"] != through["call"] {
            return;
        }
    }
    if direct.len() != through.len() {
        unexpected.push(format!(
            "{}: {} calls | {}",
            direct.first().unwrap_or(&Value::Null),
            direct.len(),
            through.len()
        ));
    }
}

/// What an engine lists in any order is ordered by it: members of an element, or of its `attrs` or `Spec`. Images are sorted
/// by seconds, objects of a swarm by their ids; networks, volumes, mounts, ports and changes come as a map of Go has them.
const KEYS: [&str; 9] = ["RepoTags", "Names", "Name", "Destination", "PrivatePort", "IP", "Type", "Path", "Kind"];

/// What stands for an element in the order of its list. It is the same for elements whose order says something.
fn order(element: &Value) -> Vec<String> {
    // An archive of several images is loaded in any order, too.
    if let Some(loaded) = element["stream"].as_str().filter(|line| line.starts_with("Loaded image")) {
        return vec![loaded.to_owned()];
    }
    let of = [element, &element["attrs"], &element["Spec"], &element["attrs"]["Spec"]];
    of.iter().flat_map(|of| KEYS.map(|key| of[key].to_string())).collect()
}

/// Puts what an engine lists in any order into one, and takes figures and progress away.
fn settle(value: &mut Value) {
    match value {
        // The version of an object in a swarm.
        Value::Object(members)
            if members.get("call").and_then(Value::as_str).is_some_and(|call| call.ends_with(".version")) =>
        {
            members.values_mut().for_each(take_figures);
        }
        Value::Object(members) => members.iter_mut().for_each(|(name, member)| {
            if FIGURES.contains(&name.as_str()) {
                take_figures(member);
            }
            settle(member);
        }),
        Value::Array(elements) => {
            // How often progress is told, and in which order, depends on the time that it takes.
            elements.retain(|element| element["progressDetail"].is_null() || !element["aux"].is_null());
            elements.sort_by_cached_key(order);
            elements.iter_mut().for_each(settle);
        }
        // Records that a program has not read, one a line.
        Value::String(text) if text.contains("progressDetail") || text.contains("Loaded image") => {
            let records: Option<Vec<Value>> = text.lines().map(|line| serde_json::from_str(line).ok()).collect();
            *value = records.map_or_else(|| Value::String(std::mem::take(text)), Value::Array);
            if value.is_array() {
                settle(value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Replaces all numbers, also those in texts.
fn take_figures(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(take_figures),
        Value::Array(elements) => elements.iter_mut().for_each(take_figures),
        Value::Number(number) => *number = 0.into(),
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => "0".clone_into(text),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Lists the places where two values differ, with what each has there.
fn places_that_differ(left: &Value, right: &Value, path: &str, places: &mut Vec<String>) {
    match (left, right) {
        (left, right) if left == right => {}
        (Value::Object(members), Value::Object(others)) => {
            for name in members.keys().chain(others.keys().filter(|name| !members.contains_key(*name))) {
                places_that_differ(&left[name], &right[name], &format!("{path}.{name}"), places);
            }
        }
        (Value::Array(elements), Value::Array(others)) if elements.len() == others.len() => {
            for (at, (element, other)) in elements.iter().zip(others).enumerate() {
                places_that_differ(element, other, &format!("{path}[{at}]"), places);
            }
        }
        (left, right) => places.push(format!("{path}: {left} | {right}")),
    }
}

/// What stands for a text that differs between two runs.
#[derive(Clone, Copy)]
enum Name {
    /// This text.
    Fixed(&'static str),
    /// The number of the id, in the order of appearance: the same id at two places stays the same.
    Number,
    /// The same, if the text is the short form of an id that has appeared. It may as well be a word.
    NumberIfKnown,
}

/// Patterns of what differs between two runs, and what stands for it.
static PATTERNS: LazyLock<Vec<(Regex, Name)>> = LazyLock::new(|| {
    [
        (r"SWMTKN-1-[0-9a-z]+-[0-9a-z]+", Name::Fixed("<token>")),
        (r"SWMKEY-1-[0-9A-Za-z+/]+", Name::Fixed("<key>")),
        (r"2\d{3}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| ?[+-]\d\d:?\d\d( UTC)?)?", Name::Fixed("<time>")),
        (r"(Less than a second|About a minute|\d+ seconds?)", Name::Fixed("<duration>")),
        (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", Name::Fixed("<mac>")),
        (r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----", Name::Fixed("<certificate>")),
        (r"^[0-9A-Za-z+/]{80,}={0,2}$", Name::Fixed("<public key>")),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", Name::Fixed("<uuid>")),
        (r"\b[0-9a-f]{12,64}\b", Name::Number),
        (r"\b[0-9a-z]{25}\b", Name::Number),
        (r"\b[0-9a-z]{12}\b", Name::NumberIfKnown),
    ]
    .map(|(pattern, name)| (Regex::new(pattern).unwrap(), name))
    .into()
});

/// Members whose numbers are times, process ids, versions or samples, and everything in them. Only their types are compared.
const FIGURES: [&str; 16] = [
    "PID",
    "SpaceReclaimed",
    "execDuration",
    "Created",
    "Index",
    "NEventsListener",
    "NFd",
    "NGoroutines",
    "Pid",
    "Processes",
    "SystemTime",
    "blkio_stats",
    "cpu_stats",
    "memory_stats",
    "networks",
    "precpu_stats",
];

/// The names that one run has given to ids.
#[derive(Default)]
struct Names(BTreeMap<String, usize>);

impl Names {
    /// Renames what is in one value.
    fn rename(&mut self, value: &mut Value) {
        match value {
            Value::Object(members) => {
                *members = std::mem::take(members)
                    .into_iter()
                    .map(|(name, mut member)| {
                        let name = self.name(&name);
                        self.rename(&mut member);
                        (name, member)
                    })
                    .collect();
            }
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.rename(element)),
            Value::String(text) => *text = self.name(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A text with names for what differs.
    fn name(&mut self, text: &str) -> String {
        PATTERNS.iter().fold(text.to_owned(), |text, (pattern, name)| {
            let named = pattern.replace_all(&text, |found: &Captures<'_>| self.of(&found[0], *name));
            named.into_owned()
        })
    }

    /// What stands for one text.
    fn of(&mut self, text: &str, name: Name) -> String {
        let short: String = text.chars().take(12).collect();
        let next = self.0.len();
        match name {
            Name::Fixed(fixed) => fixed.to_owned(),
            Name::Number => format!("<{}>", self.0.entry(short).or_insert(next)),
            Name::NumberIfKnown => self.0.get(&short).map_or_else(|| text.to_owned(), |number| format!("<{number}>")),
        }
    }
}
