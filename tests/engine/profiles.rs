//! Real clients, each run twice: at the engine, and through the profile that is made for it. What it shows is the same, but
//! for what the profile hides; and of the canaries it shows at the engine none is left.
//!
//! `.ci/clients` installs them. Those that cannot be had are replayed, in `tests/it/clients.rs`.

mod monitors;
mod prometheus;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::support::docker::{self, Running};
use super::support::engine::Engine;
use super::support::proxy::Proxy;
use super::support::{assert_no_canary, client, engine, eventually, installed, seed};

/// The shared engine with a proxy.
fn stage(profile: &str) -> Option<(&'static Engine, Proxy)> {
    let engine = engine::shared()?;
    Some((engine, Proxy::start(&engine.socket(), profile)))
}

/// The different canaries in a text.
pub(crate) fn canaries(text: &str) -> BTreeSet<&str> {
    let starts = text.match_indices("canary-").map(|(at, _)| &text[at..]);
    starts.map(|rest| rest.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next().unwrap_or(rest)).collect()
}

/// Holds what a client showed at the engine and through a profile to the row of `docs/clients.md` that begins with it.
#[track_caller]
fn check_canaries(row: &str, direct: &str, through: &str) {
    assert_no_canary(&format!("{row} through its profile"), through);
    let before = canaries(direct);
    assert!(!before.is_empty(), "{row} shows no canary at the engine, so that it proves nothing");
    // The figures of the table are those of one engine; others show a few more or less.
    let engine = client::get(&engine::shared().unwrap().socket(), "/version").json();
    if engine["Version"].as_str().is_some_and(|version| version.starts_with("20.10.")) {
        let table = include_str!("../../docs/clients.md");
        let found = table.lines().find(|line| line.starts_with(&format!("| {row} ")));
        let end = format!("| {} → 0 |", before.len());
        assert!(found.is_some_and(|line| line.ends_with(&end)), "{row}: {found:?} should end in {end}: {before:?}");
    }
}

/// JSON without what changes from one look to the next: the order of mounts, and the health probes that ran.
#[track_caller]
pub(crate) fn parse(text: &str) -> Value {
    fn order(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.iter_mut().for_each(|(name, member)| match (name.as_str(), &mut *member) {
                    ("ExecIDs" | "Start" | "End", member) => *member = Value::Null,
                    ("Log", Value::Array(probes)) => {
                        probes.truncate(1);
                        probes.iter_mut().for_each(order);
                    }
                    ("Mounts" | "mounts", Value::Array(mounts)) => {
                        // The name last: where it is hidden, what is left of these is the same.
                        let key = |mount: &Value| ["Type", "RW", "Mode", "Name"].map(|part| mount[part].to_string());
                        mounts.sort_by_key(key);
                        mounts.iter_mut().for_each(order);
                    }
                    (_, member) => order(member),
                })
            }
            Value::Array(items) => items.iter_mut().for_each(order),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut value = serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"));
    order(&mut value);
    value
}

/// Collects the paths of what is in `direct` and hidden in `through`. Anything else that is not equal is a failure.
#[track_caller]
pub(crate) fn hidden(path: &str, direct: &Value, through: &Value, found: &mut BTreeSet<String>) {
    match (direct, through) {
        (direct, through) if direct == through => {}
        (Value::Object(direct), Value::Object(through)) => {
            for (name, value) in direct {
                match through.get(name) {
                    Some(other) => hidden(&format!("{path}.{name}"), value, other, found),
                    None => drop(found.insert(format!("{path}.{name}"))),
                }
            }
            let added: Vec<_> = through.keys().filter(|name| !direct.contains_key(*name)).collect();
            assert!(added.is_empty(), "{path} has {added:?}, which the engine did not say");
        }
        (Value::Array(direct), Value::Array(through)) if direct.len() == through.len() => {
            direct.iter().zip(through).for_each(|(one, other)| hidden(&format!("{path}[*]"), one, other, found));
        }
        (Value::Array(direct), Value::Array(through)) => {
            let known = |item: &Value| direct.contains(item) || item == "[redacted]";
            assert!(through.iter().all(known), "{path}: {through:?} is not of {direct:?}");
            found.insert(path.to_owned());
        }
        (direct, through) => {
            let blank = [json!(""), json!(0), json!(false), json!(null), json!("[redacted]"), json!("'[redacted]'")];
            assert!(blank.contains(through), "{path}: {through}, where the engine says {direct}");
            found.insert(path.to_owned());
        }
    }
}

/// What one client showed at the engine and through a profile, both as JSON.
#[track_caller]
fn check_json(row: &str, direct: &str, through: &str, same: &[&str], expected: &[&str]) {
    check_canaries(row, direct, through);
    let (direct, through) = (parse(direct), parse(through));
    for pointer in same {
        let value = direct.pointer(pointer).unwrap_or_else(|| panic!("{row} shows no {pointer}"));
        assert_eq!(through.pointer(pointer), Some(value), "{row}: {pointer}");
    }
    let mut found = BTreeSet::new();
    hidden("$", &direct, &through, &mut found);
    for path in expected {
        assert!(found.contains(*path), "{row}: {path} is not hidden: {found:?}");
    }
}

/// Commands whose output is the same: what is shown of fields that the profile shows.
const SAME: &[&[&str]] = &[
    &["version", "--format", "{{.Server.APIVersion}} {{.Server.Version}}"],
    &["info", "--format", "{{.ServerVersion}} {{.NCPU}} {{.MemTotal}} {{.OSType}} {{.Driver}} {{.OperatingSystem}}"],
    &[
        "ps",
        "--all",
        "--no-trunc",
        "--filter",
        "name=web",
        "--filter",
        "name=story",
        "--format",
        "{{.ID}} {{.Names}} {{.Image}} {{.State}} {{.Ports}} {{.Networks}} {{.Label \"com.docker.compose.project\"}}",
    ],
    &["ps", "--quiet", "--filter", "status=running", "--filter", "label=com.docker.compose.project=shop"],
    &["port", "web"],
    &["logs", "story"],
    &["logs", "--tail", "302", "--timestamps", "story"],
    &["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}}", "shop/web"],
    &["network", "ls", "--no-trunc", "--filter", "name=shop", "--format", "{{.ID}} {{.Name}} {{.Scope}}"],
    &["volume", "ls", "--filter", "name=data", "--format", "{{.Name}}"],
    &["stats", "--no-stream", "--format", "{{.Name}} {{.ID}}", "web", "ticker"],
    &["system", "df", "--format", "{{.Type}}"],
    &["inspect", "--format", "{{.State.Health.Status}} {{.RestartCount}} {{json .NetworkSettings.Ports}}", "web"],
];

/// The commands whose output is the same show the same at the engine and through a proxy.
#[track_caller]
pub(crate) fn check_same(name: &str, engine: &Path, proxy: &Path) {
    let told = |socket: &Path, arguments: &[&str]| -> String {
        let mut run = docker::run(socket, arguments, "");
        // An engine measures its disk for one client at a time, and fails for others.
        eventually(client::PATIENCE, || {
            run.status.success() || {
                run = docker::run(socket, arguments, "");
                false
            }
        });
        assert!(
            run.status.success() && !run.stdout.is_empty(),
            "{name}: docker {arguments:?}: {}",
            installed::told(&run)
        );
        installed::told(&run)
    };
    for arguments in SAME {
        assert_eq!(told(proxy, arguments), told(engine, arguments), "{name}: docker {arguments:?}");
    }
}

/// Commands that print JSON, of which a part is hidden, and some of the paths that are.
pub(crate) const SHOWN_IN_PART: &[(&[&str], &[&str])] = &[
    (
        &["inspect", "web"],
        &[
            "$[*].Config.Env",
            "$[*].Config.Cmd",
            "$[*].Config.Labels.owner",
            "$[*].Path",
            "$[*].Args",
            "$[*].HostConfig.Binds",
            "$[*].Mounts[*].Source",
            "$[*].State.Health.Log[*].Output",
            "$[*].LogPath",
        ],
    ),
    (&["image", "inspect", "shop/web:1"], &["$[*].Config.Env", "$[*].Author", "$[*].GraphDriver.Data.UpperDir"]),
    (&["network", "inspect", "shop"], &["$[*].Labels.owner", "$[*].Options.com.example.option"]),
    (&["volume", "inspect", "archive"], &["$[*].Options.o", "$[*].Labels.owner", "$[*].Mountpoint"]),
];

/// Commands that change or read what nobody vetted, and those whose output nothing would be left of.
const REFUSED: &[&[&str]] = &[
    &["cp", "web:/etc/passwd", "-"],
    &["exec", "-it", "web", "true"],
    &["exec", "web", "true"],
    &["attach", "ticker"],
    &["diff", "web"],
    &["history", "shop/web:1"],
    &["kill", "web"],
    &["rm", "--force", "web"],
    &["run", "--rm", seed::BASE, "true"],
    &["commit", "web"],
    &["export", "web"],
    &["save", "shop/web:1"],
    &["pull", "127.0.0.1:9/nothing:1"],
];

#[test]
fn docker_shows_the_same_but_for_what_is_hidden() {
    let Some((engine, proxy)) = stage("docker-cli") else { return };
    check_same("docker-cli", &engine.socket(), &proxy.socket());
    let (mut direct_all, mut through_all) = (String::new(), String::new());
    for (arguments, expected) in SHOWN_IN_PART {
        let program = [&["docker"], *arguments].concat();
        let direct = installed::shown(&engine.socket(), &program);
        let through = installed::shown(&proxy.socket(), &program);
        let mut found = BTreeSet::new();
        hidden("$", &parse(&direct), &parse(&through), &mut found);
        for path in *expected {
            assert!(found.contains(*path), "docker {arguments:?}: {path} is not hidden: {found:?}");
        }
        direct_all.push_str(&direct);
        through_all.push_str(&through);
    }
    check_canaries("docker 28.2.2", &direct_all, &through_all);
    for arguments in REFUSED {
        let refused = docker::run(&proxy.socket(), arguments, "");
        assert!(!refused.status.success(), "docker {arguments:?}: {}", installed::told(&refused));
        let error = installed::told(&refused).to_lowercase();
        // Without a terminal -t is refused by the client itself; of an upgrade it says no more than the status; and while
        // it still sends a body, the end of the connection may reach it before the refusal.
        let known =
            ["denied by policy", "not a tty", "received 403", "broken pipe"].iter().any(|text| error.contains(text));
        assert!(known, "docker {arguments:?}: {error}");
        assert_no_canary(&format!("docker {arguments:?}"), &error);
    }
}

#[test]
fn docker_shows_the_same_processes_without_commands() {
    let Some((engine, proxy)) = stage("docker-cli") else { return };
    let rows = |socket: &Path| -> BTreeMap<String, Vec<String>> {
        let said = installed::shown(socket, &["docker", "top", "web"]);
        let (titles, rows) = said.split_once('\n').unwrap();
        assert_eq!(
            titles.split_whitespace().collect::<Vec<_>>(),
            ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
        );
        let rows = rows.lines().map(|row| row.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>());
        rows.map(|row| (row[1].clone(), row)).collect()
    };
    let (direct, through) = (rows(&engine.socket()), rows(&proxy.socket()));
    let canary = |rows: &BTreeMap<String, Vec<String>>| rows.values().flatten().any(|word| word.contains("canary-"));
    assert!(canary(&direct) && !canary(&through), "{direct:?} {through:?}");
    // Health probes come and go between the two looks.
    let both: Vec<_> = through.iter().filter_map(|(pid, row)| Some((direct.get(pid)?, row))).collect();
    assert!(!both.is_empty());
    for (direct, through) in both {
        assert_eq!((through.len(), &through[..3]), (7, &direct[..3]));
    }
}

#[test]
fn docker_shows_the_same_events_without_labels() {
    let Some((engine, proxy)) = stage("docker-cli") else { return };
    let body = json!({"Image": seed::BASE, "Cmd": ["true"], "Labels": {"owner": "canary-label"},
        "HostConfig": {"NetworkMode": "none", "AutoRemove": true}});
    seed::container(&engine.socket(), "midge", body);
    let said = |socket: &Path, format: &str| {
        let program =
            ["docker", "events", "--since", "1", "--until", "0s", "--filter", "container=midge", "--format", format];
        installed::shown(socket, &program)
    };
    let actions = "{{.Type}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}} {{.Actor.Attributes.image}}";
    assert!(eventually(client::PATIENCE, || said(&engine.socket(), actions).contains("container destroy")));
    assert_eq!(said(&proxy.socket(), actions), said(&engine.socket(), actions));
    let whole = "{{json .}}";
    assert!(said(&engine.socket(), whole).contains("canary-label"));
    assert_no_canary("docker events", &said(&proxy.socket(), whole));
}

#[test]
fn docker_follows_logs_through_a_profile_to_look() {
    let Some((_engine, proxy)) = stage("docker-cli") else { return };
    let mut logs = Running::start(&proxy.socket(), &["logs", "--follow", "--tail", "1", "ticker"]);
    let number = |line: String| -> u64 { line.trim_start_matches("tick ").parse().unwrap() };
    let first = number(logs.expect("tick"));
    for next in first + 1..first + 4 {
        assert_eq!(number(logs.expect("tick")), next);
    }
}

#[test]
fn the_sdk_for_python_shows_the_same_but_for_what_is_hidden() {
    let Some(python) = installed::client("python/bin/python") else { return };
    let Some((engine, proxy)) = stage("docker-cli") else { return };
    let script = installed::script("sdk.py");
    let program = [&python, script.as_str(), "web", "terminal", "story"];
    let (direct, through) = (installed::shown(&engine.socket(), &program), installed::shown(&proxy.socket(), &program));
    let (direct, through) = (ran(&direct), refused(&through, &["exec", "archive"]));
    check_json(
        "Docker SDK for Python 7.2.0",
        &direct,
        &through,
        &[
            "/version",
            "/ping",
            "/info",
            "/list",
            "/logs",
            "/images",
            "/networks",
            "/network/Config",
            "/volumes",
            "/usage",
            "/top/titles",
            "/top/user",
            "/top/pid",
            "/containers/0/ports",
            "/containers/0/image",
            "/containers/0/health",
            "/containers/0/project",
            "/containers/2/status",
        ],
        &[
            "$.inspect.Config.Env",
            "$.top.command",
            "$.inspect.HostConfig.Binds",
            "$.containers[*].labels.owner",
            "$.image.Config.Env",
        ],
    );
}

#[test]
fn dockerode_shows_the_same_but_for_what_is_hidden() {
    let Some(dockerode) = installed::client("node_modules/dockerode/package.json") else { return };
    let Some(node) = installed::of_the_system("node") else { return };
    let Some((engine, proxy)) = stage("docker-cli") else { return };
    let modules = format!("NODE_PATH={}", Path::new(&dockerode).ancestors().nth(2).unwrap().display());
    let script = installed::script("sdk.js");
    let program = ["env", &modules, &node, script.as_str(), "web", "terminal", "story"];
    let (direct, through) = (installed::shown(&engine.socket(), &program), installed::shown(&proxy.socket(), &program));
    let (direct, through) = (ran(&direct), refused(&through, &["exec", "archive"]));
    check_json(
        "dockerode 5.0.1",
        &direct,
        &through,
        &[
            "/version",
            "/ping",
            "/info",
            "/containers",
            "/usage",
            "/top/titles",
            "/top/user",
            "/top/pid",
            "/logs",
            "/images",
            "/networks",
            "/volumes",
            "/list/0/Ports",
        ],
        &["$.inspect.Config.Env", "$.top.command", "$.list[*].Command", "$.list[*].Labels.owner"],
    );
}

#[test]
fn bollard_shows_the_same_but_for_what_is_hidden() {
    let Some(bollard) = installed::client("bollard-client") else { return };
    let Some((engine, proxy)) = stage("docker-cli") else { return };
    let program = [bollard.as_str(), "web", "terminal", "story"];
    let (direct, through) = (installed::shown(&engine.socket(), &program), installed::shown(&proxy.socket(), &program));
    let (direct, through) = (ran(&direct), refused(&through, &["exec"]));
    check_json(
        "bollard 0.21.1",
        &direct,
        &through,
        &[
            "/version",
            "/ping",
            "/cpus",
            "/containers",
            "/usage",
            "/top/titles",
            "/top/user",
            "/top/pid",
            "/logs",
            "/images",
            "/networks",
            "/volumes",
            "/list/0/Ports",
        ],
        &["$.inspect.Config.Env", "$.top.command", "$.list[*].Command", "$.image.Config.Env"],
    );
}

#[test]
fn an_mcp_server_shows_the_same_but_for_what_is_hidden() {
    let Some(_server) = installed::client("python/bin/mcp-server-docker") else { return };
    let Some(python) = installed::client("python/bin/python") else { return };
    let Some((engine, proxy)) = stage("mcp") else { return };
    let script = installed::script("mcp.py");
    let program = [&python, script.as_str(), "web", "terminal", "story"];
    let direct = ran(&installed::shown(&engine.socket(), &program));
    let run = docker::run_program(&proxy.socket(), &program, "");
    assert!(run.status.success(), "{}", installed::told(&run));
    assert_no_canary("what the MCP server logs", &String::from_utf8_lossy(&run.stderr));
    let mut through: Value = serde_json::from_slice(&run.stdout).unwrap();
    let outcomes = through["refused"].take();
    for (call, outcome) in outcomes.as_object().unwrap() {
        // It tells the agent no reason; its log has it.
        assert!(outcome.as_str().is_some_and(|outcome| outcome.starts_with("error: ")), "{call}: {outcomes}");
    }
    let denied = String::from_utf8_lossy(&run.stderr).matches("(\"denied by policy\")").count();
    assert!(outcomes.as_object().unwrap().len() == 3 && denied >= 3, "{}", installed::told(&run));
    check_json(
        "mcp-server-docker 0.3.0",
        &direct,
        &through.to_string(),
        &[
            "/server",
            "/tools",
            "/labelled",
            "/usage",
            "/prompt",
            "/containers/web/id",
            "/containers/web/status",
            "/containers/web/ports",
            "/containers/web/networks",
            "/containers/web/config/image",
            "/containers/story/state/FinishedAt",
            "/images/shop~1web:1/repo_tags",
            "/images/shop~1web:1/size",
            "/networks/shop/id",
            "/volumes/archive/id",
        ],
        &[
            "$.containers.web.labels.owner",
            "$.containers.web.mounts[*].Source",
            "$.containers.web.state.Health.Log[*].Output",
            "$.images.shop/web:1.labels.image.key",
            "$.networks.shop.labels.owner",
            "$.volumes.archive.mountpoint",
        ],
    );
}

/// What an SDK showed at the engine, where no call is refused, without the outcomes of those calls.
#[track_caller]
pub(crate) fn ran(shown: &str) -> String {
    let mut shown: Value = serde_json::from_str(shown).unwrap();
    let outcomes = shown["refused"].take();
    assert!(outcomes.as_object().unwrap().values().all(|outcome| outcome == "done"), "{outcomes}");
    shown.to_string()
}

/// What an SDK showed through a profile that refuses these calls, without the outcomes of them.
#[track_caller]
fn refused(shown: &str, calls: &[&str]) -> String {
    let mut shown: Value = serde_json::from_str(shown).unwrap();
    let outcomes = shown["refused"].take();
    for call in calls {
        // Of a stream that was refused, dockerode says no more than the status.
        assert!(outcomes[call].as_str().is_some_and(|outcome| outcome.starts_with("403: ")), "{call}: {outcomes}");
    }
    shown.to_string()
}

#[test]
fn glances_shows_the_same_but_for_commands() {
    let Some(glances) = installed::client("python/bin/glances") else { return };
    let Some((engine, proxy)) = stage("glances") else { return };
    let program =
        [&glances, "--stdout-json", "containers", "--stop-after", "6", "--time", "2", "--disable-check-update"];
    // What it says first is from before it has looked.
    let last = |socket: &Path| -> BTreeMap<String, Value> {
        let said = installed::shown(socket, &program);
        let line = said.lines().rfind(|line| line.starts_with("{\"containers\"")).unwrap_or_else(|| panic!("{said}"));
        let line: Value = serde_json::from_str(line).unwrap();
        let rows = line["containers"].as_array().unwrap().iter().cloned();
        rows.map(|row| (row["name"].as_str().unwrap().to_owned(), row)).collect()
    };
    let (direct, through) = (last(&engine.socket()), last(&proxy.socket()));
    for name in ["web", "ticker", "terminal"] {
        let (direct, through) = (&direct[name], &through[name]);
        for field in ["id", "name", "status", "created", "ports", "image", "engine", "cpu_limit"] {
            assert_eq!(through[field], direct[field], "{name} {field}");
        }
        assert!(through["cpu_percent"].is_number(), "{name}: {through}");
        assert_eq!(through["command"], "[redacted]", "{name}");
    }
    check_canaries("Glances 4.5.8", &format!("{:?}", &direct["web"]), &format!("{through:?}"));
}

/// A project of two containers, one with a secret.
const PROJECT: &str = r#"
services:
  shop:
    image: base:1
    network_mode: none
    init: false
    environment: {TOKEN: canary-env}
    labels: {owner: canary-label}
    command: ["sh", "-c", "echo started; while :; do sleep 1000; done", "canary-command"]
  worker:
    image: base:1
    network_mode: none
    command: ["sh", "-c", "echo worked"]
"#;

/// Compose brings a project up at the engine; through the profile it shows it, and cannot change it.
fn check_compose(program: &str, name: &str) {
    let Some(engine) = engine::private(name) else { return };
    seed::import(&engine.socket());
    let proxy = Proxy::start(&engine.socket(), "docker-cli");
    let file = engine.directory().join("compose.yaml");
    std::fs::write(&file, PROJECT).unwrap();
    let file = file.to_str().unwrap();
    let compose = |socket: &Path, arguments: &[&str]| {
        docker::run_program(socket, &[&[program, "--project-name", "stack", "--file", file], arguments].concat(), "")
    };
    let up = compose(&engine.socket(), &["up", "--detach"]);
    assert!(up.status.success(), "{}", installed::told(&up));
    let inspected = || {
        let list = client::get(&engine.socket(), "/containers/json?all=1").json();
        let ids = list.as_array().unwrap().iter().map(|row| row["Id"].as_str().unwrap().to_owned());
        ids.collect::<BTreeSet<String>>()
    };
    let before = inspected();
    assert_eq!(before.len(), 2);
    let ended =
        |socket: &Path| client::get(socket, "/containers/json?filters=%7B%22status%22:%5B%22exited%22%5D%7D").json();
    assert!(eventually(client::PATIENCE, || ended(&engine.socket()).as_array().unwrap().len() == 1));
    for arguments in
        [&["ps", "--quiet"][..], &["ps", "--services"], &["logs", "--no-color", "worker"], &["images", "--quiet"]]
    {
        let (direct, through) = (compose(&engine.socket(), arguments), compose(&proxy.socket(), arguments));
        assert!(direct.status.success() && !direct.stdout.is_empty(), "{}", installed::told(&direct));
        assert_eq!(installed::told(&through), installed::told(&direct), "{program} {arguments:?}");
    }
    let (direct, through) = (compose(&engine.socket(), &["ps"]), compose(&proxy.socket(), &["ps"]));
    assert!(installed::told(&direct).contains("sh -c"), "{}", installed::told(&direct));
    assert!(through.status.success() && !installed::told(&through).contains("sh -c"), "{}", installed::told(&through));
    assert!(installed::told(&through).contains("Up"), "{}", installed::told(&through));
    for arguments in
        [&["up", "--detach"][..], &["up", "--detach", "--force-recreate"], &["restart"], &["down"], &["stop"]]
    {
        let refused = compose(&proxy.socket(), arguments);
        // The older Compose says what went wrong, and ends with 0.
        let told = installed::told(&refused);
        assert!(told.to_lowercase().contains("denied by policy"), "{program} {arguments:?}: {told}");
        assert_eq!(inspected(), before, "{program} {arguments:?}");
    }
    let running = client::get(&engine.socket(), "/containers/json").json();
    assert_eq!(running.as_array().map(Vec::len), Some(1), "{running:#}");
}

#[test]
fn compose_of_the_system_shows_a_project_and_cannot_change_it() {
    let Some(program) = installed::of_the_system("docker-compose") else { return };
    check_compose(&program, "compose-system");
}

#[test]
fn compose_v2_shows_a_project_and_cannot_change_it() {
    let Some(program) = installed::client("docker-compose") else { return };
    check_compose(&program, "compose-v2");
}
