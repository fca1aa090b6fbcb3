//! Dockveil as a drop-in for another socket proxy: clients see what the engine shows them, except for what is hidden, and
//! with one more variable they see all of it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Outcome, Test, tests};
use crate::profiles::{SHOWN_IN_PART, canaries, check_same, hidden, is_hidden, parse, without_outcomes};
use crate::support::engine::Engine;
use crate::support::proxy::Proxy;
use crate::support::{assert_no_canary, at_once, cli, client, engine, installed, now, seed};

pub(crate) const TESTS: &[Test] = tests![
    the_sdk_for_python_sees_the_same,
    glances_sees_the_same,
    docker_sees_the_same_in_place_of_11notes,
    docker_sees_the_same_in_place_of_tecnativa,
    docker_sees_the_same_in_place_of_linuxserver,
    docker_sees_everything_again_with_one_variable,
    what_is_not_opened_is_denied,
    a_container_is_restarted_where_a_variable_says_so,
    docker_sees_the_same_events,
    every_read_of_11notes_is_served,
];

/// Another socket proxy, and its settings.
struct OtherProxy {
    /// The name in the log.
    name: &'static str,
    /// The variable that names the engine's socket.
    engine: &'static str,
    /// The variables that are set.
    variables: &'static [(&'static str, &'static str)],
    /// Whether clients may read the changed files of a container and the history of an image.
    changes: bool,
}

/// As in its Compose file: everything that reads.
const NOTES: OtherProxy =
    OtherProxy { name: "11notes", engine: "SOCKET_PROXY_DOCKER_SOCKET", variables: &[], changes: true };

/// What a dashboard needs.
const TECNATIVA: OtherProxy = OtherProxy {
    name: "tecnativa",
    engine: "SOCKET_PATH",
    variables: &[
        ("CONTAINERS", "1"),
        ("IMAGES", "1"),
        ("INFO", "1"),
        ("NETWORKS", "1"),
        ("SYSTEM", "1"),
        ("VOLUMES", "1"),
        ("POST", "0"),
    ],
    changes: true,
};

/// What writes, and no section to write to.
const TECNATIVA_WRITES: OtherProxy =
    OtherProxy { name: "tecnativa", engine: "SOCKET_PATH", variables: &[("POST", "1")], changes: false };

/// The same for a proxy with separate variables for logs and processes.
const LINUXSERVER: OtherProxy = OtherProxy {
    name: "linuxserver",
    engine: "SOCKET_PATH",
    variables: &[
        ("CONTAINERS", "1"),
        ("IMAGES", "1"),
        ("INFO", "1"),
        ("NETWORKS", "1"),
        ("SYSTEM", "1"),
        ("VOLUMES", "1"),
        ("ALLOW_LOGS", "1"),
        ("ALLOW_TOP", "1"),
    ],
    changes: false,
};

impl OtherProxy {
    /// Starts dockveil in its place, with further variables.
    #[track_caller]
    fn replaced(&self, engine: &Engine, more: &[(&str, &str)]) -> Proxy {
        let proxy = Proxy::drop_in((self.engine, &engine.socket()), &[self.variables, more].concat());
        let line = format!("compat: {}\n", self.name);
        assert!(proxy.log().contains(&line), "{}", proxy.log());
        proxy
    }
}

/// Canaries of the class `host`, which all these proxies show.
const HOST: [&str; 1] = ["canary-sysctl"];

/// Fails if a text contains a canary of a hidden class.
#[track_caller]
fn assert_no_secret(what: &str, text: &str) {
    assert_no_canary(what, &HOST.iter().fold(text.to_owned(), |text, shown| text.replace(shown, "")));
}

/// Commands that a proxy for reading denies.
const DENIED: &[&[&str]] = &[
    &["restart", "web"],
    &["stop", "web"],
    &["kill", "web"],
    &["rm", "--force", "web"],
    &["exec", "web", "true"],
    &["attach", "ticker"],
    &["cp", "web:/etc/passwd", "-"],
    &["export", "web"],
    &["run", "--rm", seed::BASE, "true"],
    &["commit", "web"],
    &["volume", "create", "shop"],
    &["network", "rm", "shop"],
    &["image", "rm", "shop/web:1"],
];

/// The docker command shows the same as at the engine, except for secrets, and changes nothing.
fn check(other: &OtherProxy) -> Outcome {
    let engine = engine::read_only()?;
    let proxy = other.replaced(engine, &[]);
    check_same(other.name, &engine.socket(), &proxy.socket());
    let before = client::get(&engine.socket(), "/containers/web/json").json()["State"]["StartedAt"].clone();
    let mut shown = BTreeSet::new();
    for (arguments, expected) in SHOWN_IN_PART {
        let program = [&["docker"], *arguments].concat();
        let direct = cli::stdout(&engine.socket(), &program);
        let through = cli::stdout(&proxy.socket(), &program);
        assert_no_secret(&format!("{}: {arguments:?}", other.name), &through);
        let mut found = BTreeSet::new();
        hidden("$", &parse(&direct), &parse(&through), &mut found);
        for path in *expected {
            // Lists keep their length, and their elements are hidden.
            let is_hidden = is_hidden(path, &found) || found.contains(&format!("{path}[*]"));
            assert!(is_hidden, "{}: {arguments:?}: {path} is not hidden: {found:?}", other.name);
        }
        shown.extend(canaries(&direct).into_iter().map(str::to_owned));
    }
    assert!(shown.len() > 30, "the engine shows too few canaries to prove anything: {shown:?}");
    for arguments in tables(other, &["top", "idle"]) {
        let program = [&["docker"], arguments].concat();
        let direct = cli::stdout(&engine.socket(), &program);
        let through = cli::stdout(&proxy.socket(), &program);
        assert!(direct.contains("canary-"), "{arguments:?}: {direct}");
        assert_no_secret(&format!("{}: {arguments:?}", other.name), &through);
        assert_eq!(through.lines().count(), direct.lines().count(), "{}: {arguments:?}: {through}", other.name);
    }
    let list = cli::stdout(&proxy.socket(), &["docker", "ps", "--all", "--no-trunc"]);
    assert_no_secret(&format!("{}: ps", other.name), &list);
    for arguments in DENIED {
        let denied = cli::docker(&proxy.socket(), arguments, "");
        assert!(!denied.status.success(), "{}: {arguments:?}: {}", other.name, cli::outputs(&denied));
        assert_no_secret(&format!("{}: {arguments:?}", other.name), &cli::outputs(&denied));
    }
    let started = |socket: &Path| client::get(socket, "/containers/web/json").json()["State"]["StartedAt"].clone();
    assert_eq!(started(&proxy.socket()), before, "{}: web was restarted", other.name);
    Ok(())
}

/// Commands that print a row for each object, with secrets in it: `top`, and what else this proxy allows.
fn tables(other: &OtherProxy, top: &'static [&'static str]) -> Vec<&'static [&'static str]> {
    let mut commands = vec![top];
    if other.changes {
        commands.push(&["diff", "web"]);
        commands.push(&["history", "--no-trunc", "--format", "{{.ID}} {{.Size}} {{.CreatedBy}}", "shop/web:1"]);
    }
    commands
}

/// With `DOCKVEIL_SHOW=all` the docker command shows the same as at the engine.
#[track_caller]
fn check_all(engine: &Engine, other: &OtherProxy) {
    let proxy = other.replaced(engine, &[("DOCKVEIL_SHOW", "all")]);
    for arguments in SHOWN_IN_PART.iter().map(|(arguments, _)| *arguments) {
        let program = [&["docker"], arguments].concat();
        let direct = cli::stdout(&engine.socket(), &program);
        assert_eq!(parse(&cli::stdout(&proxy.socket(), &program)), parse(&direct), "{arguments:?}");
    }
    // These columns of `ps` do not change while the processes run.
    for arguments in tables(other, &["top", "idle", "-o", "pid,ppid,user,args"]) {
        let program = [&["docker"], arguments].concat();
        // The engine returns the changed files in any order.
        let rows =
            |socket: &Path| -> BTreeSet<String> { cli::stdout(socket, &program).lines().map(str::to_owned).collect() };
        assert_eq!(rows(&proxy.socket()), rows(&engine.socket()), "{}: {arguments:?}", other.name);
    }
}

fn docker_sees_the_same_in_place_of_11notes() -> Outcome {
    check(&NOTES)
}

fn docker_sees_the_same_in_place_of_tecnativa() -> Outcome {
    check(&TECNATIVA)
}

fn docker_sees_the_same_in_place_of_linuxserver() -> Outcome {
    check(&LINUXSERVER)
}

fn docker_sees_everything_again_with_one_variable() -> Outcome {
    let engine = engine::read_only()?;
    [NOTES, TECNATIVA, LINUXSERVER].iter().for_each(|other| check_all(engine, other));
    Ok(())
}

/// What no variable opens is denied, and the docker command shows the reason.
fn what_is_not_opened_is_denied() -> Outcome {
    let engine = engine::read_only()?;
    let denied: [(&OtherProxy, &[&str]); 4] = [
        (&LINUXSERVER, &["diff", "web"]),
        (&LINUXSERVER, &["plugin", "ls"]),
        (&TECNATIVA, &["service", "ls"]),
        (&NOTES, &["secret", "ls"]),
    ];
    for (other, arguments) in denied {
        let proxy = other.replaced(engine, &[]);
        let text = cli::outputs(&cli::docker(&proxy.socket(), arguments, ""));
        assert!(text.to_lowercase().contains("denied by policy"), "{}: {arguments:?}: {text}", other.name);
    }
    Ok(())
}

/// One variable allows clients to restart containers, and to change nothing else.
fn a_container_is_restarted_where_a_variable_says_so() -> Outcome {
    let engine = engine::read_write()?;
    seed::start(&engine.socket(), "phoenix", &seed::detached(&["sleep", "1000"]));
    let started = || client::get(&engine.socket(), "/containers/phoenix/json").json()["State"]["StartedAt"].clone();
    // With POST=0 the variable has no effect for Tecnativa's proxy.
    let proxy = TECNATIVA.replaced(engine, &[("ALLOW_RESTARTS", "1")]);
    let text = cli::outputs(&cli::docker(&proxy.socket(), &["restart", "phoenix"], ""));
    assert!(text.to_lowercase().contains("denied by policy"), "{text}");
    for other in [TECNATIVA_WRITES, LINUXSERVER] {
        let proxy = other.replaced(engine, &[("ALLOW_RESTARTS", "1")]);
        let before = started();
        assert_eq!(cli::stdout(&proxy.socket(), &["docker", "restart", "phoenix"]), "phoenix\n");
        assert_ne!(started(), before, "{}", other.name);
        for arguments in [&["start", "odd"][..], &["rm", "--force", "phoenix"], &["exec", "phoenix", "true"]] {
            let text = cli::outputs(&cli::docker(&proxy.socket(), arguments, ""));
            assert!(text.to_lowercase().contains("denied by policy"), "{}: {arguments:?}: {text}", other.name);
        }
    }
    seed::remove(&engine.socket(), "phoenix");
    Ok(())
}

/// Events arrive with names, and without labels and commands.
fn docker_sees_the_same_events() -> Outcome {
    let engine = engine::read_write()?;
    let mut body = seed::detached(&["true"]);
    body["Labels"] = json!({"owner": "canary-label"});
    seed::run_and_remove(&engine.socket(), "hornet", &body);
    let until = now();
    let events = |socket: &Path, format: &str| {
        let program =
            ["docker", "events", "--since", "1", "--until", &until, "--filter", "container=hornet", "--format", format];
        cli::stdout(socket, &program)
    };
    let actions = "{{.Type}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}} {{.Actor.Attributes.image}}";
    assert!(events(&engine.socket(), actions).contains("container destroy"));
    assert!(events(&engine.socket(), "{{json .}}").contains("canary-label"));
    for other in [NOTES, TECNATIVA, LINUXSERVER] {
        let proxy = other.replaced(engine, &[]);
        assert_eq!(events(&proxy.socket(), actions), events(&engine.socket(), actions), "{}", other.name);
        assert_no_secret("docker events", &events(&proxy.socket(), "{{json .}}"));
        let proxy = other.replaced(engine, &[("DOCKVEIL_SHOW", "all")]);
        assert_eq!(events(&proxy.socket(), "{{json .}}"), events(&engine.socket(), "{{json .}}"), "{}", other.name);
    }
    Ok(())
}

/// The script for the Python SDK reads what a dashboard reads, and makes two calls that these proxies deny.
fn the_sdk_for_python_sees_the_same() -> Outcome {
    let python = installed::client("python/bin/python")?;
    let engine = engine::read_only()?;
    let script = installed::script("sdk.py");
    let program = [&python, script.as_str(), "web", "terminal", "story"];
    let printed = cli::stdout(&engine.socket(), &program);
    let direct = parse(&without_outcomes(&cli::with_our_least_version(&printed)));
    let check = |other: OtherProxy| {
        let shown = |more: &[(&str, &str)]| -> (Value, Value, String) {
            let proxy = other.replaced(engine, more);
            let text = cli::stdout(&proxy.socket(), &program);
            let mut value = parse(&text);
            let outcomes = value["denied"].take();
            (value, outcomes, text)
        };
        let (all, _, _) = shown(&[("DOCKVEIL_SHOW", "all")]);
        assert_eq!(all, direct, "{}", other.name);
        let (through, outcomes, text) = shown(&[]);
        assert_no_secret(other.name, &text);
        let mut found = BTreeSet::new();
        hidden("$", &direct, &through, &mut found);
        for path in ["$.inspect.Config.Env", "$.containers[*].labels.owner", "$.image.Config.Env", "$.top.command"] {
            assert!(is_hidden(path, &found), "{}: {path} is not hidden: {found:?}", other.name);
        }
        for (call, outcome) in outcomes.as_object().unwrap() {
            let denied = outcome.as_str().unwrap().starts_with("403: ");
            assert_eq!(denied, ["exec", "archive"].contains(&call.as_str()), "{}: {call}: {outcomes}", other.name);
        }
    };
    // Each waits for samples of statistics most of the time.
    std::thread::scope(|scope| {
        for other in [NOTES, TECNATIVA, LINUXSERVER] {
            let check = &check;
            scope.spawn(move || check(other));
        }
    });
    Ok(())
}

/// Glances joins the words of each command, and fails if there are none.
fn glances_sees_the_same() -> Outcome {
    let glances = installed::client("python/bin/glances")?;
    let engine = engine::read_only()?;
    let (proxy, shown) = (TECNATIVA.replaced(engine, &[]), TECNATIVA.replaced(engine, &[("DOCKVEIL_SHOW", "command")]));
    let program =
        [&glances, "--stdout-json", "containers", "--stop-after", "4", "--time", "2", "--disable-check-update"];
    let web = |socket: &Path| -> Value {
        let text = cli::stdout(socket, &program);
        let line = text.lines().rfind(|line| line.starts_with("{\"containers\"")).unwrap_or_else(|| panic!("{text}"));
        let line: Value = serde_json::from_str(line).unwrap();
        line["containers"].as_array().unwrap().iter().find(|row| row["name"] == "web").unwrap().clone()
    };
    let [direct, through, shown] = at_once([&engine.socket(), &proxy.socket(), &shown.socket()], |socket| web(socket));
    for field in ["id", "status", "created", "ports", "image", "engine"] {
        assert_eq!(through[field], direct[field], "{field}");
    }
    assert_eq!(shown["command"], direct["command"]);
    assert_eq!(through["command"], "[redacted]");
    assert_no_secret("Glances", &through.to_string());
    Ok(())
}

/// Every read that 11notes/socket-proxy allows gets the engine's status. The reads that it denies, and files, are denied.
fn every_read_of_11notes_is_served() -> Outcome {
    const SERVED: &[&str] = &[
        "/_ping",
        "/version",
        "/info",
        "/system/df",
        "/events?since=1&until=2",
        "/containers/json?all=1&size=1",
        "/containers/web/json?size=1",
        "/containers/web/top",
        "/containers/web/logs?stdout=1&stderr=1",
        "/containers/web/changes",
        "/containers/web/stats?stream=0",
        "/containers/web/checkpoints",
        "/exec/EXEC/json",
        "/images/json",
        "/images/shop/web:1/json",
        "/images/shop/web:1/history",
        "/volumes",
        "/volumes/archive",
        "/networks",
        "/networks/shop",
        "/plugins",
        "/plugins/none/json",
        "/swarm",
        "/nodes",
        "/nodes/none",
        "/services",
        "/services/none",
        "/services/none/logs?stdout=1",
        "/tasks",
        "/tasks/none",
        "/tasks/none/logs?stdout=1",
        "/containers/none/json",
    ];
    const DENIED: &[&str] = &[
        "/secrets",
        "/secrets/none",
        "/configs",
        "/swarm/unlockkey",
        "/containers/web/export",
        "/containers/web/archive?path=/etc/passwd",
        "/images/get?names=base:1",
        "/images/base:1/get",
    ];
    let engine = engine::read_only()?;
    let exec = seed::exec(&engine.socket(), "web", &json!({"Cmd": ["true"]}));
    let proxy = NOTES.replaced(engine, &[]);
    for target in SERVED {
        let target = target.replace("EXEC", &exec);
        let (direct, through) = (client::get(&engine.socket(), &target), client::get(&proxy.socket(), &target));
        assert_eq!(through.status(), direct.status(), "GET {target}: {}", through.text());
        assert!(through.complete, "GET {target}");
        // The output of a program is not filtered.
        if !target.contains("/logs") {
            assert_no_secret(&format!("GET {target}"), &through.text());
        }
    }
    for target in DENIED {
        assert_eq!(client::get(&proxy.socket(), target).status(), 403, "GET {target}");
    }
    Ok(())
}
