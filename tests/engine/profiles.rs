//! Real clients, each run twice: at the engine, and through the profile for it. Both times a client shows the same, except
//! for what the profile hides, and through the profile it shows no canary.
//!
//! `.ci/clients` installs the clients. Requests of other clients are replayed in `tests/it/clients.rs`.

pub(crate) mod monitors;
pub(crate) mod prometheus;
pub(crate) mod scripts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Ignored, Outcome, Test, tests};
use crate::support::cli::{self, Running};
use crate::support::engine::Engine;
use crate::support::proxy::Proxy;
use crate::support::{assert_no_canary, at_once, client, engine, installed, now, seed};

pub(crate) const TESTS: &[Test] = tests![
    compose_of_the_system_shows_a_project_and_cannot_change_it,
    compose_v2_shows_a_project_and_cannot_change_it,
    glances_shows_the_same_but_for_commands,
    an_mcp_server_shows_the_same_but_for_what_is_hidden,
    another_mcp_server_shows_the_same_but_for_what_is_hidden,
    docker_shows_the_same_but_for_what_is_hidden,
    what_docker_may_not_do_is_denied_without_a_canary,
    docker_shows_the_same_processes_without_commands,
    docker_shows_the_same_events_without_labels,
    docker_follows_logs_through_a_profile_for_reading,
    the_sdk_for_python_shows_the_same_but_for_what_is_hidden,
    dockerode_shows_the_same_but_for_what_is_hidden,
    bollard_shows_the_same_but_for_what_is_hidden,
];

/// The engine for tests that only read, and a proxy in front of it.
fn behind(profile: &str) -> Result<(&'static Engine, Proxy), Ignored> {
    let engine = engine::read_only()?;
    Ok((engine, Proxy::start(&engine.socket(), profile)))
}

/// The distinct canaries in a text.
pub(crate) fn canaries(text: &str) -> BTreeSet<&str> {
    let starts = text.match_indices("canary-").map(|(at, _)| &text[at..]);
    starts.map(|rest| rest.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next().unwrap_or(rest)).collect()
}

/// Checks what a client shows at the engine and through a profile: the canaries, and their number in the row of
/// `docs/clients.md` that begins with the client.
#[track_caller]
fn check_canaries(row: &str, direct: &str, through: &str) {
    assert_no_canary(&format!("{row} through its profile"), through);
    let before = canaries(direct);
    assert!(!before.is_empty(), "{row} shows no canary at the engine, which proves nothing");
    // The table has the numbers for one version of the engine. Others show a few more or less.
    let engine = client::get(&engine::read_only().unwrap().socket(), "/version").json();
    if engine["Version"].as_str().is_some_and(|version| version.starts_with("20.10.")) {
        let table = include_str!("../../docs/clients.md");
        let found = table.lines().find(|line| line.starts_with(&format!("| {row} ")));
        let end = format!("| {} → 0 |", before.len());
        assert!(found.is_some_and(|line| line.ends_with(&end)), "{row}: {found:?} should end in {end}: {before:?}");
    }
}

/// JSON without what differs between two reads: the order of mounts, and the health probes that ran.
#[track_caller]
pub(crate) fn parse(text: &str) -> Value {
    fn order(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.iter_mut().for_each(|(name, member)| match (name.as_str(), &mut *member) {
                    ("ExecIDs" | "docker_execids" | "Start" | "End", member) => *member = Value::Null,
                    ("Log", Value::Array(probes)) => {
                        probes.truncate(1);
                        probes.iter_mut().for_each(order);
                    }
                    ("Mounts" | "mounts" | "docker_mounts", Value::Array(mounts)) => {
                        // The name comes last: if it is hidden, what remains of the mounts is the same.
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

/// Collects the paths of what `direct` has and `through` hides. Any other difference is a failure.
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
            // A client may leave out what the engine writes as null, and write the blank that stands for it.
            let mut added = through.iter().filter(|(name, value)| !direct.contains_key(*name) && !is_blank(value));
            assert!(added.next().is_none(), "{path} has members that the engine does not show: {through:?}");
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
            assert!(is_blank(through), "{path}: {through}, and the engine shows {direct}");
            found.insert(path.to_owned());
        }
    }
}

/// Whether a path, or something around it, is among the hidden ones.
pub(crate) fn is_hidden(path: &str, found: &BTreeSet<String>) -> bool {
    let is_around = |outer: &String| path.strip_prefix(outer.as_str()).is_some_and(|rest| rest.starts_with(['.', '[']));
    found.contains(path) || found.iter().any(is_around)
}

/// Whether a value says nothing: it is the zero of a type, an object of such values, or stands for a text.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(text) => ["", "[redacted]", "'[redacted]'", "0001-01-01T00:00:00Z"].contains(&text.as_str()),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_blank),
    }
}

/// Checks what a client shows at the engine and through a profile, both as JSON: these pointers are the same, and these
/// paths are hidden.
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
        assert!(is_hidden(path, &found), "{row}: {path} is not hidden: {found:?}");
    }
}

/// Commands whose output is the same, because the profiles show the fields in it.
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

/// Each command of [`SAME`] prints the same at the engine and through a proxy.
#[track_caller]
pub(crate) fn check_same(name: &str, engine: &Path, proxy: &Path) {
    let printed = |socket: &Path, arguments: &[&str]| -> String {
        let output = cli::docker(socket, arguments, "");
        let text = cli::outputs(&output);
        assert!(output.status.success() && !output.stdout.is_empty(), "{name}: docker {arguments:?}: {text}");
        text
    };
    for arguments in SAME {
        let [direct, through] = at_once([engine, proxy], |socket| printed(socket, arguments));
        assert_eq!(through, direct, "{name}: docker {arguments:?}");
    }
}

/// Commands that print JSON with hidden parts, and the paths of some of these.
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

/// Commands that change something or read files, and those of whose output nothing would remain.
const DENIED: &[&[&str]] = &[
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

/// A command is denied, and the error shows no canary.
#[track_caller]
fn check_denied(proxy: &Path, arguments: &[&str]) {
    let denied = cli::docker(proxy, arguments, "");
    assert!(!denied.status.success(), "docker {arguments:?}: {}", cli::outputs(&denied));
    let error = cli::outputs(&denied).to_lowercase();
    // The command itself refuses -t without a terminal. For an upgrade it prints the status only. While it still sends
    // a body, it may see the end of the connection before the response.
    let known =
        ["denied by policy", "not a tty", "received 403", "broken pipe"].iter().any(|text| error.contains(text));
    assert!(known, "docker {arguments:?}: {error}");
    assert_no_canary(&format!("docker {arguments:?}"), &error);
}

fn docker_shows_the_same_but_for_what_is_hidden() -> Outcome {
    let (engine, proxy) = behind("docker-cli")?;
    check_same("docker-cli", &engine.socket(), &proxy.socket());
    let (mut direct_all, mut through_all) = (String::new(), String::new());
    for (arguments, expected) in SHOWN_IN_PART {
        let program = [&["docker"], *arguments].concat();
        let sockets = [&engine.socket(), &proxy.socket()];
        let [direct, through] = at_once(sockets, |socket| cli::stdout(socket, &program));
        let mut found = BTreeSet::new();
        hidden("$", &parse(&direct), &parse(&through), &mut found);
        for path in *expected {
            assert!(is_hidden(path, &found), "docker {arguments:?}: {path} is not hidden: {found:?}");
        }
        direct_all.push_str(&direct);
        through_all.push_str(&through);
    }
    check_canaries("docker 28.2.2", &direct_all, &through_all);
    Ok(())
}

fn what_docker_may_not_do_is_denied_without_a_canary() -> Outcome {
    let (_engine, proxy) = behind("docker-cli")?;
    DENIED.iter().for_each(|arguments| check_denied(&proxy.socket(), arguments));
    Ok(())
}

fn docker_shows_the_same_processes_without_commands() -> Outcome {
    let (engine, proxy) = behind("docker-cli")?;
    let rows = |socket: &Path| -> BTreeMap<String, Vec<String>> {
        let text = cli::stdout(socket, &["docker", "top", "web"]);
        let (titles, rows) = text.split_once('\n').unwrap();
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
    // A health probe may run at one of the two reads.
    let both: Vec<_> = through.iter().filter_map(|(pid, row)| Some((direct.get(pid)?, row))).collect();
    assert!(!both.is_empty());
    for (direct, through) in both {
        assert_eq!((through.len(), &through[..3]), (7, &direct[..3]));
    }
    Ok(())
}

fn docker_shows_the_same_events_without_labels() -> Outcome {
    let engine = engine::read_write()?;
    let proxy = Proxy::start(&engine.socket(), "docker-cli");
    let mut body = seed::detached(&["true"]);
    body["Labels"] = json!({"owner": "canary-label"});
    seed::run_and_remove(&engine.socket(), "midge", &body);
    let until = now();
    let events = |socket: &Path, format: &str| {
        let program =
            ["docker", "events", "--since", "1", "--until", &until, "--filter", "container=midge", "--format", format];
        cli::stdout(socket, &program)
    };
    let actions = "{{.Type}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}} {{.Actor.Attributes.image}}";
    assert!(events(&engine.socket(), actions).contains("container destroy"));
    assert_eq!(events(&proxy.socket(), actions), events(&engine.socket(), actions));
    let whole = "{{json .}}";
    assert!(events(&engine.socket(), whole).contains("canary-label"));
    assert_no_canary("docker events", &events(&proxy.socket(), whole));
    Ok(())
}

fn docker_follows_logs_through_a_profile_for_reading() -> Outcome {
    let (_engine, proxy) = behind("docker-cli")?;
    let mut logs = Running::docker(&proxy.socket(), &["logs", "--follow", "--tail", "1", "ticker"]);
    let number = |line: String| -> u64 { line.trim_start_matches("tick ").parse().unwrap() };
    let first = number(logs.expect(&["tick"]));
    for next in first + 1..first + 4 {
        assert_eq!(number(logs.expect(&["tick"])), next);
    }
    Ok(())
}

fn the_sdk_for_python_shows_the_same_but_for_what_is_hidden() -> Outcome {
    let python = installed::client("python/bin/python")?;
    let (engine, proxy) = behind("docker-cli")?;
    let script = installed::script("sdk.py");
    let program = [&python, script.as_str(), "web", "terminal", "story"];
    let (direct, through) = (cli::stdout(&engine.socket(), &program), cli::stdout(&proxy.socket(), &program));
    let direct = cli::with_our_least_version(&direct);
    let (direct, through) = (without_outcomes(&direct), without_denials(&through, &["exec", "archive"]));
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
    Ok(())
}

fn dockerode_shows_the_same_but_for_what_is_hidden() -> Outcome {
    let dockerode = installed::client("node_modules/dockerode/package.json")?;
    let node = installed::client("python/bin/node")?;
    let (engine, proxy) = behind("docker-cli")?;
    let modules = format!("NODE_PATH={}", Path::new(&dockerode).ancestors().nth(2).unwrap().display());
    let script = installed::script("sdk.js");
    let program = ["env", &modules, &node, script.as_str(), "web", "terminal", "story"];
    let (direct, through) = (cli::stdout(&engine.socket(), &program), cli::stdout(&proxy.socket(), &program));
    let (direct, through) = (without_outcomes(&direct), without_denials(&through, &["exec", "archive"]));
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
    Ok(())
}

fn bollard_shows_the_same_but_for_what_is_hidden() -> Outcome {
    let bollard = installed::client("bollard-client")?;
    let (engine, proxy) = behind("docker-cli")?;
    let program = [bollard.as_str(), "web", "terminal", "story"];
    let (direct, through) = (cli::stdout(&engine.socket(), &program), cli::stdout(&proxy.socket(), &program));
    let (direct, through) = (without_outcomes(&direct), without_denials(&through, &["exec"]));
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
    Ok(())
}

/// dockerbro speaks the protocol by itself, and the SDK for Python to the engine.
fn another_mcp_server_shows_the_same_but_for_what_is_hidden() -> Outcome {
    let _server = installed::client("python/bin/dockerbro")?;
    let python = installed::client("python/bin/python")?;
    let (engine, proxy) = behind("mcp")?;
    let script = installed::script("dockerbro.py");
    let program = [&python, script.as_str(), "web", "story"];
    let [direct, through] = at_once([&engine.socket(), &proxy.socket()], |socket| {
        let run = cli::run(socket, &program, "");
        assert!(run.status.success(), "{}", cli::outputs(&run));
        serde_json::from_slice::<Value>(&run.stdout).unwrap()
    });
    for same in ["server", "tools", "images", "containers"] {
        assert_eq!(through[same], direct[same], "{same}");
    }
    let lines = |shown: &Value, name: &str| {
        let lines = shown["inspected"][name].as_array().unwrap().iter();
        lines.map(|line| line.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for name in ["web", "story"] {
        let (direct, through) = (lines(&direct, name), lines(&through, name));
        assert_eq!((&through[..2], through.len()), (&direct[..2], direct.len()), "{through:?}");
        // A mount has its place in the container, and none on the host.
        let mounts = |lines: &[String]| {
            let found = lines.iter().filter_map(|line| line.split_once(" -> "));
            let mut found: Vec<(String, String)> = found.map(|(from, to)| (from.trim().into(), to.into())).collect();
            found.sort_by(|one, other| one.1.cmp(&other.1));
            found
        };
        let (before, after) = (mounts(&direct), mounts(&through));
        let places = |mounts: &[(String, String)]| mounts.iter().map(|(_, to)| to.clone()).collect::<Vec<_>>();
        assert_eq!(places(&after), places(&before));
        assert!(after.iter().all(|(from, _)| !from.contains(['/', '-'])), "{after:?}");
        assert!(name != "web" || before.iter().any(|(from, _)| from.contains("canary")), "{before:?}");
    }
    for (call, outcome) in through["denied"].as_object().unwrap() {
        let outcome = outcome.as_str().unwrap();
        assert!(
            outcome.starts_with("Error: 403 ") && outcome.contains("the profile mcp does not allow "),
            "{call}: {outcome}"
        );
    }
    Ok(())
}

fn an_mcp_server_shows_the_same_but_for_what_is_hidden() -> Outcome {
    let _server = installed::client("python/bin/mcp-server-docker")?;
    let python = installed::client("python/bin/python")?;
    let (engine, proxy) = behind("mcp")?;
    let script = installed::script("mcp.py");
    let program = [&python, script.as_str(), "web", "terminal", "story"];
    let [direct, run] = at_once([&engine.socket(), &proxy.socket()], |socket| cli::run(socket, &program, ""));
    for run in [&direct, &run] {
        assert!(run.status.success(), "{}", cli::outputs(run));
    }
    let direct = without_outcomes(&String::from_utf8(direct.stdout).unwrap());
    assert_no_canary("what the MCP server logs", &String::from_utf8_lossy(&run.stderr));
    let mut through: Value = serde_json::from_slice(&run.stdout).unwrap();
    // The profile shows where in a container something is mounted: the one path, and a canary here.
    let direct: Value = serde_json::from_str(&direct).unwrap();
    // Docker lists them in any order.
    let mounts = |shown: &Value| {
        let mut mounts = shown["containers"]["web"]["mounts"].as_array().unwrap().clone();
        mounts.sort_by_key(|mount| mount["Destination"].to_string());
        mounts
    };
    for field in ["Type", "Destination", "Mode", "RW", "Propagation"] {
        let of = |shown: &Value| mounts(shown).iter().map(|mount| mount[field].clone()).collect::<Vec<_>>();
        assert_eq!(of(&through), of(&direct), "{field}");
    }
    assert!(mounts(&direct).len() > 1, "{direct}");
    for mount in through["containers"]["web"]["mounts"].as_array_mut().unwrap() {
        mount["Destination"].take();
    }
    let outcomes = through["denied"].take();
    for (call, outcome) in outcomes.as_object().unwrap() {
        // The server logs the reason, and does not send it to the agent.
        assert!(outcome.as_str().is_some_and(|outcome| outcome.starts_with("error: ")), "{call}: {outcomes}");
    }
    let denied = String::from_utf8_lossy(&run.stderr).matches("(\"denied by policy: ").count();
    assert!(outcomes.as_object().unwrap().len() == 3 && denied >= 3, "{}", cli::outputs(&run));
    check_json(
        "mcp-server-docker 0.3.0",
        &direct.to_string(),
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
            "/containers/web/state/Health/Status",
            "/containers/web/state/Health/FailingStreak",
            "/containers/web/labels/com.docker.compose.project",
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
    Ok(())
}

/// What an SDK shows at the engine, without the outcomes of the calls that a profile denies: here they succeed.
#[track_caller]
pub(crate) fn without_outcomes(shown: &str) -> String {
    let mut shown: Value = serde_json::from_str(shown).unwrap();
    let outcomes = shown["denied"].take();
    assert!(outcomes.as_object().unwrap().values().all(|outcome| outcome == "done"), "{outcomes}");
    shown.to_string()
}

/// What an SDK shows through a profile, without the outcomes of the calls that it denies.
#[track_caller]
fn without_denials(shown: &str, calls: &[&str]) -> String {
    let mut shown: Value = serde_json::from_str(shown).unwrap();
    let outcomes = shown["denied"].take();
    for call in calls {
        // For a stream, dockerode has the status only.
        assert!(outcomes[call].as_str().is_some_and(|outcome| outcome.starts_with("403: ")), "{call}: {outcomes}");
    }
    shown.to_string()
}

fn glances_shows_the_same_but_for_commands() -> Outcome {
    let glances = installed::client("python/bin/glances")?;
    let (engine, proxy) = behind("glances")?;
    let program =
        [&glances, "--stdout-json", "containers", "--stop-after", "6", "--time", "2", "--disable-check-update"];
    // The last line, because Glances prints the first ones before it has read anything.
    let last = |socket: &Path| -> BTreeMap<String, Value> {
        let text = cli::stdout(socket, &program);
        let line = text.lines().rfind(|line| line.starts_with("{\"containers\"")).unwrap_or_else(|| panic!("{text}"));
        let line: Value = serde_json::from_str(line).unwrap();
        let rows = line["containers"].as_array().unwrap().iter().cloned();
        rows.map(|row| (row["name"].as_str().unwrap().to_owned(), row)).collect()
    };
    let [direct, through] = at_once([&engine.socket(), &proxy.socket()], |socket| last(socket));
    for name in ["web", "ticker", "terminal"] {
        let (direct, through) = (&direct[name], &through[name]);
        for field in ["id", "name", "status", "created", "ports", "image", "engine", "cpu_limit"] {
            assert_eq!(through[field], direct[field], "{name} {field}");
        }
        assert!(through["cpu_percent"].is_number(), "{name}: {through}");
        assert_eq!(through["command"], "[redacted]", "{name}");
    }
    check_canaries("Glances 4.5.8", &format!("{:?}", &direct["web"]), &format!("{through:?}"));
    Ok(())
}

/// The commands that Dockge runs (backend/stack.ts and backend/dockge-server.ts of 1.5.0), at the engine and through its profile.
#[track_caller]
fn check_dockge(compose: &str, file: &str, engine: &Engine) -> Outcome {
    let docker = installed::client("docker")?;
    let proxy = Proxy::start(&engine.socket(), "dockge");
    let shown = |program: &[&str]| at_once([&engine.socket(), &proxy.socket()], |socket| cli::stdout(socket, program));
    let rows = |text: &str| -> Value {
        // One document, or one in each line.
        let rows: Value = serde_json::from_str(text).unwrap_or_else(|_| text.lines().map(parse).collect());
        if rows.is_array() { rows.clone() } else { json!([rows]) }
    };
    let [direct, through] = shown(&[compose, "ls", "--all", "--format", "json"]).map(|text| rows(&text)[0].clone());
    for field in ["Name", "Status"] {
        assert!(direct[field].is_string() && through[field] == direct[field], "{field}: {direct} {through}");
    }
    let project = [compose, "--project-name", "stack", "--file", file, "ps", "--all", "--format", "json"];
    let [direct, through] = shown(&project).map(|text| rows(&text));
    let fields = |rows: &Value| -> BTreeSet<String> {
        let fields = ["ID", "Name", "Service", "Project", "Image", "State", "Health", "ExitCode"];
        rows.as_array().unwrap().iter().map(|row| fields.map(|field| row[field].to_string()).join(" ")).collect()
    };
    assert!(fields(&direct).len() == 2 && fields(&through) == fields(&direct), "{direct} {through}");
    let lines = |text: String| -> BTreeSet<String> {
        text.lines()
            .map(|line| serde_json::from_str(line).map_or(line.to_owned(), |row: Value| row["Name"].to_string()))
            .collect()
    };
    for command in [
        &[docker.as_str(), "network", "ls", "--format", "{{.Name}}"][..],
        &[docker.as_str(), "stats", "--format", "json", "--no-stream"],
    ] {
        let [direct, through] = shown(command).map(lines);
        assert!(!direct.is_empty() && through == direct, "{command:?}: {direct:?} {through:?}");
    }
    assert_no_canary("Dockge", &shown(&project)[1]);
    Ok(())
}

/// A Compose project of two containers, one of them with a secret.
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

/// Compose brings a project up at the engine. Through the profile it shows the project, and cannot change it.
fn check_compose(program: &str, name: &str) -> Outcome {
    let engine = engine::private(name)?;
    seed::import(&engine.socket());
    let proxy = Proxy::start(&engine.socket(), "docker-cli");
    let file = engine.folder().join("compose.yaml");
    std::fs::write(&file, PROJECT).unwrap();
    let file = file.to_str().unwrap();
    let compose = |socket: &Path, arguments: &[&str]| {
        cli::run(socket, &[&[program, "--project-name", "stack", "--file", file], arguments].concat(), "")
    };
    let up = compose(&engine.socket(), &["up", "--detach"]);
    assert!(up.status.success(), "{}", cli::outputs(&up));
    let containers = |query: &str| {
        let list = client::get(&engine.socket(), &format!("/containers/json?{query}")).json();
        let ids = list.as_array().unwrap().iter().map(|row| row["Id"].as_str().unwrap().to_owned());
        ids.collect::<BTreeSet<String>>()
    };
    let before = containers("all=1");
    assert_eq!(before.len(), 2);
    for id in containers("all=1&filters=%7B%22label%22%3A%5B%22com.docker.compose.service%3Dworker%22%5D%7D") {
        assert_eq!(seed::wait(&engine.socket(), &id), 0);
    }
    let sockets = [&engine.socket(), &proxy.socket()];
    for arguments in
        [&["ps", "--quiet"][..], &["ps", "--services"], &["logs", "--no-color", "worker"], &["images", "--quiet"]]
    {
        let [direct, through] = at_once(sockets, |socket| compose(socket, arguments));
        assert!(direct.status.success() && !direct.stdout.is_empty(), "{}", cli::outputs(&direct));
        assert_eq!(cli::outputs(&through), cli::outputs(&direct), "{program} {arguments:?}");
    }
    let [direct, through] = at_once(sockets, |socket| compose(socket, &["ps"]));
    assert!(cli::outputs(&direct).contains("sh -c"), "{}", cli::outputs(&direct));
    assert!(through.status.success() && !cli::outputs(&through).contains("sh -c"), "{}", cli::outputs(&through));
    assert!(cli::outputs(&through).contains("Up"), "{}", cli::outputs(&through));
    if name == "compose-v2" {
        check_dockge(program, file, &engine)?;
    }
    let writes: [&[&str]; 5] =
        [&["up", "--detach"], &["up", "--detach", "--force-recreate"], &["restart"], &["down"], &["stop"]];
    at_once(writes, |arguments| {
        // Compose 1 prints the error, and exits with 0.
        let text = cli::outputs(&compose(&proxy.socket(), arguments));
        assert!(text.to_lowercase().contains("denied by policy"), "{program} {arguments:?}: {text}");
    });
    assert_eq!(containers("all=1"), before);
    assert_eq!(containers("all=0").len(), 1);
    Ok(())
}

fn compose_of_the_system_shows_a_project_and_cannot_change_it() -> Outcome {
    let program = installed::program("docker-compose")?;
    check_compose(&program, "compose-system")
}

fn compose_v2_shows_a_project_and_cannot_change_it() -> Outcome {
    let program = installed::client("docker-compose")?;
    check_compose(&program, "compose-v2")
}
