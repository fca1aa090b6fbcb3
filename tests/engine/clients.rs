//! The docker command itself, through a profile that allows a session in a container.

use std::process::Output;

use serde_json::json;

use super::support::docker::{self, Running};
use super::support::engine::Engine;
use super::support::proxy::Proxy;
use super::support::{client, engine, seed};

/// The shared engine with a proxy that allows a session.
fn session() -> Option<(&'static Engine, Proxy)> {
    let engine = engine::shared()?;
    Some((engine, Proxy::start(&engine.socket(), "session")))
}

/// Standard output of a command that must have ended with this code.
#[track_caller]
fn output(run: Output, code: i32) -> String {
    assert_eq!(run.status.code(), Some(code), "{run:?}");
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn ps_shows_what_runs() {
    let Some((_engine, proxy)) = session() else { return };
    let names = output(docker::run(&proxy.socket(), &["ps", "--format", "{{.Names}} {{.Image}} {{.State}}"], ""), 0);
    assert!(names.lines().any(|line| line == "web shop/web:1 running"), "{names}");
}

#[test]
fn logs_of_an_ended_container_are_the_same_on_both_outputs() {
    let Some((engine, proxy)) = session() else { return };
    for arguments in [["logs", "story"], ["logs", "web"], ["logs", "terminal"]] {
        let direct = docker::run(&engine.socket(), &arguments, "");
        let through = docker::run(&proxy.socket(), &arguments, "");
        assert_eq!(through, direct);
        assert_eq!(through.status.code(), Some(0));
    }
}

#[test]
fn logs_can_be_followed() {
    let Some((_engine, proxy)) = session() else { return };
    let mut logs = Running::start(&proxy.socket(), &["logs", "--follow", "--tail", "1", "ticker"]);
    let number = |line: String| -> u64 { line.trim_start_matches("tick ").parse().unwrap() };
    let first = number(logs.expect("tick"));
    for next in first + 1..first + 6 {
        assert_eq!(number(logs.expect("tick")), next);
    }
}

#[test]
fn exec_carries_input_output_and_exit_code() {
    let Some((_engine, proxy)) = session() else { return };
    let socket = proxy.socket();
    let input = "a line\n".repeat(20_000);
    assert!(output(docker::run(&socket, &["exec", "-i", "web", "cat"], &input), 0) == input);
    assert_eq!(output(docker::run(&socket, &["exec", "web", "sh", "-c", "echo done; exit 3"], ""), 3), "done\n");
    let both = docker::run(&socket, &["exec", "web", "sh", "-c", "echo out; echo error >&2"], "");
    assert_eq!((both.stdout.as_slice(), both.stderr.as_slice()), (b"out\n".as_slice(), b"error\n".as_slice()));
    output(docker::run(&socket, &["exec", "--detach", "web", "true"], ""), 0);
}

#[test]
fn exec_has_a_terminal_of_the_right_size() {
    let Some((_engine, proxy)) = session() else { return };
    let line = "stty rows 33 cols 99; docker exec -it web sh -c \
        'while [ \"$(stty size)\" != \"33 99\" ]; do sleep 0.1; done; tty; echo ready; read line; echo read-$line; exit 3'";
    let mut terminal = Running::in_terminal(&proxy.socket(), line);
    terminal.expect("/dev/pts/");
    terminal.expect("ready");
    terminal.send("typed\r");
    terminal.expect("read-typed");
    assert_eq!(terminal.end(), Some(3));
}

#[test]
fn attach_talks_to_a_container_until_its_input_ends() {
    let Some((engine, proxy)) = session() else { return };
    seed::container(
        &engine.socket(),
        "echoing",
        json!({"Image": seed::BASE, "Cmd": ["cat"], "OpenStdin": true, "StdinOnce": true,
        "HostConfig": {"NetworkMode": "none", "AutoRemove": true}}),
    );
    let mut attached = Running::start(&proxy.socket(), &["attach", "echoing"]);
    attached.send("hello\n");
    attached.expect("hello");
    attached.send("again\n");
    attached.expect("again");
    assert_eq!(attached.end(), Some(0));
}

#[test]
fn attach_to_a_terminal_can_be_left_with_the_detach_keys() {
    let Some((engine, proxy)) = session() else { return };
    seed::container(
        &engine.socket(),
        "screen",
        json!({"Image": seed::BASE, "Tty": true, "OpenStdin": true,
        "Cmd": ["sh", "-c", "while :; do echo prompt; sleep 0.2; done & cat"], "HostConfig": {"NetworkMode": "none"}}),
    );
    let mut terminal = Running::in_terminal(&proxy.socket(), "docker attach screen");
    terminal.expect("prompt");
    terminal.send("typed\r");
    terminal.expect("typed");
    terminal.send("\x10\x11");
    terminal.expect("read escape sequence");
    let state = client::get(&engine.socket(), "/containers/screen/json").json();
    assert_eq!(state["State"]["Status"], "running");
    client::request(&engine.socket(), "DELETE", "/containers/screen?force=1", &[], b"");
}

#[test]
fn events_are_shown_as_they_happen() {
    let Some((engine, proxy)) = session() else { return };
    let mut events = Running::start(
        &proxy.socket(),
        &["events", "--since", "1", "--filter", "container=gnat", "--format", "{{.Action}} {{.Actor.Attributes.name}}"],
    );
    let body = json!({"Image": seed::BASE, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "AutoRemove": true}});
    seed::container(&engine.socket(), "gnat", body);
    for action in ["create gnat", "start gnat", "die gnat", "destroy gnat"] {
        events.expect(action);
    }
}

#[test]
fn stats_are_shown_once_and_again() {
    let Some((_engine, proxy)) = session() else { return };
    let socket = proxy.socket();
    let once = docker::run(&socket, &["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "web"], "");
    let once = output(once, 0);
    let pids = once.trim().strip_prefix("web ").and_then(|count| count.parse::<u64>().ok());
    assert!(pids.is_some_and(|count| count > 0), "{once}");
    let mut stats = Running::start(&socket, &["stats", "--format", "{{.Name}} is using {{.PIDs}}", "ticker"]);
    for _ in 0..3 {
        stats.expect("ticker is using");
    }
}

#[test]
fn run_feeds_its_container_and_ends_with_it() {
    let Some((_engine, proxy)) = session() else { return };
    let socket = proxy.socket();
    let cat = docker::run(&socket, &["run", "--rm", "--interactive", "--network", "none", seed::BASE, "cat"], "hi\n");
    assert_eq!(output(cat, 0), "hi\n");
    let code = docker::run(&socket, &["run", "--network", "none", seed::BASE, "sh", "-c", "echo bye; exit 7"], "");
    assert_eq!(output(code, 7), "bye\n");
}

#[test]
fn run_of_an_image_that_cannot_be_pulled_says_so() {
    let Some((_engine, proxy)) = session() else { return };
    let run = docker::run(&proxy.socket(), &["run", "127.0.0.1:9/nothing:1"], "");
    assert_eq!(run.status.code(), Some(125), "{run:?}");
}

#[test]
fn what_the_profile_does_not_allow_is_refused_by_name() {
    let Some((_engine, proxy)) = session() else { return };
    for arguments in [&["volume", "ls"][..], &["network", "ls"], &["kill", "web"], &["cp", "web:/etc/passwd", "-"]] {
        let refused = docker::run(&proxy.socket(), arguments, "");
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let error = String::from_utf8_lossy(&refused.stderr).to_lowercase();
        assert!(error.contains("denied by policy"), "docker {arguments:?}: {error}");
    }
}
