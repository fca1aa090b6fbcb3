//! Real clients of another socket proxy, of which the image was exchanged and nothing else: they see what they see at the
//! engine but for what is hidden, and with one variable more, all of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Once;

use serde_json::{Value, json};

use super::profiles::{SHOWN_IN_PART, canaries, check_same, hidden, parse, ran};
use super::support::engine::Engine;
use super::support::proxy::Proxy;
use super::support::{assert_no_canary, client, docker, engine, eventually, installed, seed};

/// A proxy that is replaced.
struct Replaced {
    /// Its name, as the start says it.
    name: &'static str,
    /// The variable that names the engine's socket.
    engine: &'static str,
    /// What is set.
    variables: &'static [(&'static str, &'static str)],
    /// Whether it lets its clients read which files of a container have changed, and the history of an image.
    changes: bool,
}

/// As its Compose file has it: everything that reads.
const NOTES: Replaced =
    Replaced { name: "11notes", engine: "SOCKET_PROXY_DOCKER_SOCKET", variables: &[], changes: true };

/// What a dashboard is given.
const TECNATIVA: Replaced = Replaced {
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

/// The same, where logs and processes are variables of their own.
const LINUXSERVER: Replaced = Replaced {
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

impl Replaced {
    /// The program in its place, with these variables besides.
    #[track_caller]
    fn with(&self, engine: &Engine, more: &[(&str, &str)]) -> Proxy {
        let proxy = Proxy::in_place((self.engine, &engine.socket()), &[self.variables, more].concat());
        assert!(proxy.log().contains(&format!("compat: {}\n", self.name)), "{}", proxy.log());
        proxy
    }
}

/// Canaries of the class `host`, which these clients are shown, as they were before.
const HOST: [&str; 1] = ["canary-sysctl"];

/// Fails if a text holds a canary of a class that is hidden.
#[track_caller]
fn assert_no_secret(what: &str, text: &str) {
    assert_no_canary(what, &HOST.iter().fold(text.to_owned(), |text, shown| text.replace(shown, "")));
}

/// Commands that no proxy which only reads lets through.
const REFUSED: &[&[&str]] = &[
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

/// The docker command sees what it sees at the engine, secrets apart, and changes nothing.
#[track_caller]
fn check(replaced: &Replaced) {
    let Some(engine) = stage() else { return };
    let proxy = replaced.with(engine, &[]);
    check_same(replaced.name, &engine.socket(), &proxy.socket());
    let mut before = BTreeSet::new();
    for (arguments, expected) in SHOWN_IN_PART {
        let program = [&["docker"], *arguments].concat();
        let direct = installed::shown(&engine.socket(), &program);
        let through = installed::shown(&proxy.socket(), &program);
        assert_no_secret(&format!("{}: {arguments:?}", replaced.name), &through);
        let mut found = BTreeSet::new();
        hidden("$", &parse(&direct), &parse(&through), &mut found);
        for path in *expected {
            // A word that stands for a command is in a list as long as the command's.
            let is_hidden = found.contains(*path) || found.contains(&format!("{path}[*]"));
            assert!(is_hidden, "{}: {arguments:?}: {path} is not hidden: {found:?}", replaced.name);
        }
        before.extend(canaries(&direct).into_iter().map(str::to_owned));
    }
    assert!(before.len() > 30, "{before:?}");
    for arguments in in_rows(replaced) {
        let program = [&["docker"], arguments].concat();
        let direct = installed::shown(&engine.socket(), &program);
        let through = installed::shown(&proxy.socket(), &program);
        assert!(direct.contains("canary-"), "{arguments:?}: {direct}");
        assert_no_secret(&format!("{}: {arguments:?}", replaced.name), &through);
        assert_eq!(through.lines().count(), direct.lines().count(), "{}: {arguments:?}: {through}", replaced.name);
    }
    let list = installed::shown(&proxy.socket(), &["docker", "ps", "--all", "--no-trunc"]);
    assert_no_secret(&format!("{}: ps", replaced.name), &list);
    for arguments in REFUSED {
        let refused = docker::run(&proxy.socket(), arguments, "");
        assert!(!refused.status.success(), "{}: {arguments:?}: {}", replaced.name, installed::told(&refused));
        assert_no_secret(&format!("{}: {arguments:?}", replaced.name), &installed::told(&refused));
    }
    let inspect = |socket: &Path| client::get(socket, "/containers/web/json").json()["State"]["StartedAt"].clone();
    assert_eq!(inspect(&proxy.socket()), inspect(&engine.socket()), "{}: it still runs", replaced.name);
}

/// Commands whose rows keep their number, although what they say is a secret.
fn in_rows(replaced: &Replaced) -> Vec<&'static [&'static str]> {
    let mut commands: Vec<&[&str]> = vec![&["top", "idle"]];
    if replaced.changes {
        commands.push(&["diff", "web"]);
        commands.push(&["history", "shop/web:1"]);
    }
    commands
}

/// The shared engine, with a container that has the same two processes at every look.
fn stage() -> Option<&'static Engine> {
    static MADE: Once = Once::new();
    let engine = engine::shared()?;
    let body = json!({"Image": seed::BASE, "Cmd": ["sh", "-c", "while :; do sleep 1000; done", "canary-command"],
        "HostConfig": {"NetworkMode": "none"}});
    MADE.call_once(|| seed::container(&engine.socket(), "idle", body));
    Some(engine)
}

/// With `DOCKVEIL_SHOW=all` the docker command sees what it sees at the engine.
#[track_caller]
fn check_all(replaced: &Replaced) {
    let Some(engine) = stage() else { return };
    let proxy = replaced.with(engine, &[("DOCKVEIL_SHOW", "all")]);
    for arguments in SHOWN_IN_PART.iter().map(|(arguments, _)| *arguments) {
        let program = [&["docker"], arguments].concat();
        let direct = installed::shown(&engine.socket(), &program);
        assert_eq!(parse(&installed::shown(&proxy.socket(), &program)), parse(&direct), "{arguments:?}");
    }
    for arguments in in_rows(replaced) {
        let program = [&["docker"], arguments].concat();
        // In an order that the engine does not keep.
        let rows = |socket: &Path| -> BTreeSet<String> {
            installed::shown(socket, &program).lines().map(str::to_owned).collect()
        };
        // Ages and times go on between two looks.
        let same = eventually(client::PATIENCE, || rows(&proxy.socket()) == rows(&engine.socket()));
        assert!(same, "{}: {arguments:?}: {:?}", replaced.name, rows(&proxy.socket()));
    }
}

#[test]
fn docker_sees_the_same_in_place_of_11notes() {
    check(&NOTES);
}

#[test]
fn docker_sees_the_same_in_place_of_tecnativa() {
    check(&TECNATIVA);
}

#[test]
fn docker_sees_the_same_in_place_of_linuxserver() {
    check(&LINUXSERVER);
}

#[test]
fn docker_sees_everything_again_with_one_variable() {
    [NOTES, TECNATIVA, LINUXSERVER].iter().for_each(check_all);
}

/// What each variable of a part is for, seen from the docker command.
#[test]
fn what_is_not_opened_is_refused() {
    let Some(engine) = engine::shared() else { return };
    let refused: [(&Replaced, &[&str]); 4] = [
        (&LINUXSERVER, &["diff", "web"]),
        (&LINUXSERVER, &["plugin", "ls"]),
        (&TECNATIVA, &["service", "ls"]),
        (&NOTES, &["secret", "ls"]),
    ];
    for (replaced, arguments) in refused {
        let proxy = replaced.with(engine, &[]);
        let told = installed::told(&docker::run(&proxy.socket(), arguments, ""));
        assert!(told.to_lowercase().contains("denied by policy"), "{}: {arguments:?}: {told}", replaced.name);
    }
}

/// One variable opens restarts of containers, and nothing else that writes.
#[test]
fn a_container_is_restarted_where_a_variable_says_so() {
    let Some(engine) = engine::shared() else { return };
    let body = json!({"Image": seed::BASE, "Cmd": ["sh", "-c", "while :; do sleep 1000; done"], "StopSignal": "SIGKILL",
        "HostConfig": {"NetworkMode": "none"}});
    seed::container(&engine.socket(), "phoenix", body);
    let started = || client::get(&engine.socket(), "/containers/phoenix/json").json()["State"]["StartedAt"].clone();
    for replaced in [TECNATIVA, LINUXSERVER] {
        let proxy = replaced.with(engine, &[("ALLOW_RESTARTS", "1")]);
        let before = started();
        assert_eq!(installed::shown(&proxy.socket(), &["docker", "restart", "phoenix"]), "phoenix\n");
        assert_ne!(started(), before, "{}", replaced.name);
        for arguments in [&["start", "odd"][..], &["rm", "--force", "phoenix"], &["exec", "phoenix", "true"]] {
            let told = installed::told(&docker::run(&proxy.socket(), arguments, ""));
            assert!(told.to_lowercase().contains("denied by policy"), "{}: {arguments:?}: {told}", replaced.name);
        }
    }
    client::request(&engine.socket(), "DELETE", "/containers/phoenix?force=1", &[], b"");
}

/// Events arrive with their names and without labels and commands.
#[test]
fn docker_sees_the_same_events() {
    let Some(engine) = engine::shared() else { return };
    let body = json!({"Image": seed::BASE, "Cmd": ["true"], "Labels": {"owner": "canary-label"},
        "HostConfig": {"NetworkMode": "none", "AutoRemove": true}});
    seed::container(&engine.socket(), "moth", body);
    let said = |socket: &Path, format: &str| {
        let program =
            ["docker", "events", "--since", "1", "--until", "0s", "--filter", "container=moth", "--format", format];
        installed::shown(socket, &program)
    };
    let actions = "{{.Type}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}} {{.Actor.Attributes.image}}";
    assert!(eventually(client::PATIENCE, || said(&engine.socket(), actions).contains("container destroy")));
    assert!(said(&engine.socket(), "{{json .}}").contains("canary-label"));
    for replaced in [NOTES, TECNATIVA, LINUXSERVER] {
        let proxy = replaced.with(engine, &[]);
        assert_eq!(said(&proxy.socket(), actions), said(&engine.socket(), actions), "{}", replaced.name);
        assert_no_secret("docker events", &said(&proxy.socket(), "{{json .}}"));
        let proxy = replaced.with(engine, &[("DOCKVEIL_SHOW", "all")]);
        assert_eq!(said(&proxy.socket(), "{{json .}}"), said(&engine.socket(), "{{json .}}"), "{}", replaced.name);
    }
}

/// The SDK for Python, whose script reads what a dashboard does, and tries what only some may.
#[test]
fn the_sdk_for_python_sees_the_same() {
    let Some(python) = installed::client("python/bin/python") else { return };
    let Some(engine) = engine::shared() else { return };
    let script = installed::script("sdk.py");
    let program = [&python, script.as_str(), "web", "terminal", "story"];
    let direct = parse(&ran(&installed::shown(&engine.socket(), &program)));
    let check = |replaced: Replaced| {
        let shown = |more: &[(&str, &str)]| -> (Value, Value, String) {
            let proxy = replaced.with(engine, more);
            let said = installed::shown(&proxy.socket(), &program);
            let mut value = parse(&said);
            let outcomes = value["refused"].take();
            (value, outcomes, said)
        };
        let (all, _, _) = shown(&[("DOCKVEIL_SHOW", "all")]);
        assert_eq!(all, direct, "{}", replaced.name);
        let (through, outcomes, said) = shown(&[]);
        assert_no_secret(replaced.name, &said);
        let mut found = BTreeSet::new();
        hidden("$", &direct, &through, &mut found);
        for path in ["$.inspect.Config.Env", "$.containers[*].labels.owner", "$.image.Config.Env", "$.top.command"] {
            assert!(found.contains(path), "{}: {path} is not hidden: {found:?}", replaced.name);
        }
        for (call, outcome) in outcomes.as_object().unwrap() {
            let refused = outcome.as_str().unwrap().starts_with("403: ");
            assert_eq!(refused, ["exec", "archive"].contains(&call.as_str()), "{}: {call}: {outcomes}", replaced.name);
        }
    };
    // Each waits for samples most of the time.
    std::thread::scope(|scope| {
        for replaced in [NOTES, TECNATIVA, LINUXSERVER] {
            let check = &check;
            scope.spawn(move || check(replaced));
        }
    });
}

/// Glances joins the words of each command, and ends where there are none.
#[test]
fn glances_sees_the_same() {
    let Some(glances) = installed::client("python/bin/glances") else { return };
    let Some(engine) = engine::shared() else { return };
    let (proxy, shown) = (TECNATIVA.with(engine, &[]), TECNATIVA.with(engine, &[("DOCKVEIL_SHOW", "command")]));
    let program =
        [&glances, "--stdout-json", "containers", "--stop-after", "4", "--time", "2", "--disable-check-update"];
    let web = |socket: &Path| -> Value {
        let said = installed::shown(socket, &program);
        let line = said.lines().rfind(|line| line.starts_with("{\"containers\"")).unwrap_or_else(|| panic!("{said}"));
        let line: Value = serde_json::from_str(line).unwrap();
        line["containers"].as_array().unwrap().iter().find(|row| row["name"] == "web").unwrap().clone()
    };
    let [direct, through, shown] = std::thread::scope(|scope| {
        let sockets = [engine.socket(), proxy.socket(), shown.socket()];
        let web = &web;
        sockets.map(|socket| scope.spawn(move || web(&socket))).map(|running| running.join().unwrap())
    });
    for field in ["id", "status", "created", "ports", "image", "engine"] {
        assert_eq!(through[field], direct[field], "{field}");
    }
    assert_eq!(shown["command"], direct["command"]);
    assert_eq!(through["command"], "[redacted]");
    assert_no_secret("Glances", &through.to_string());
}

/// Every read that 11notes/socket-proxy passes on is answered as the engine answers it; the reads that it denies, and
/// files, are not.
#[test]
fn every_read_of_11notes_is_served() {
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
    let Some(engine) = engine::shared() else { return };
    let web = client::get(&engine.socket(), "/containers/web/json").json();
    let exec = web["ExecIDs"][0].as_str().unwrap();
    let proxy = NOTES.with(engine, &[]);
    for target in SERVED {
        let target = target.replace("EXEC", exec);
        let (direct, through) = (client::get(&engine.socket(), &target), client::get(&proxy.socket(), &target));
        assert_eq!(through.status(), direct.status(), "GET {target}: {}", through.text());
        assert!(through.complete, "GET {target}");
        // What a program prints is passed as it comes.
        if !target.contains("/logs") {
            assert_no_secret(&format!("GET {target}"), &through.text());
        }
    }
    for target in DENIED {
        assert_eq!(client::get(&proxy.socket(), target).status(), 403, "GET {target}");
    }
}
