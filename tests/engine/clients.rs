//! The docker command through a profile that allows a session in a container.

use std::process::Output;

use serde_json::json;

use crate::harness::{Ignored, Outcome, Test, tests};
use crate::support::cli::{self, Running};
use crate::support::engine::Engine;
use crate::support::proxy::Proxy;
use crate::support::{client, engine, seed};

pub(crate) const TESTS: &[Test] = tests![
    ps_shows_what_runs,
    logs_of_an_ended_container_are_the_same_on_both_outputs,
    logs_can_be_followed,
    exec_carries_input_output_and_exit_code,
    exec_has_a_terminal_of_the_right_size,
    attach_talks_to_a_container_until_its_input_ends,
    attach_to_a_terminal_can_be_left_with_the_detach_keys,
    events_are_shown_as_they_happen,
    stats_are_shown_once_and_again,
    run_feeds_its_container_and_ends_with_it,
    run_of_an_image_that_cannot_be_pulled_fails,
    what_the_profile_does_not_allow_is_denied_by_policy,
];

/// The engine for tests that write, and a proxy in front of it with the profile for sessions.
fn session() -> Result<(&'static Engine, Proxy), Ignored> {
    let engine = engine::read_write()?;
    Ok((engine, Proxy::start(&engine.socket(), "session")))
}

/// The standard output of a command that must have ended with this code.
#[track_caller]
fn stdout(output: Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn ps_shows_what_runs() -> Outcome {
    let (_engine, proxy) = session()?;
    let names = stdout(cli::docker(&proxy.socket(), &["ps", "--format", "{{.Names}} {{.Image}} {{.State}}"], ""), 0);
    assert!(names.lines().any(|line| line == "web shop/web:1 running"), "{names}");
    Ok(())
}

fn logs_of_an_ended_container_are_the_same_on_both_outputs() -> Outcome {
    let (engine, proxy) = session()?;
    for arguments in [["logs", "story"], ["logs", "web"], ["logs", "terminal"]] {
        let direct = cli::docker(&engine.socket(), &arguments, "");
        let through = cli::docker(&proxy.socket(), &arguments, "");
        assert_eq!(through, direct);
        assert_eq!(through.status.code(), Some(0));
    }
    Ok(())
}

fn logs_can_be_followed() -> Outcome {
    let (_engine, proxy) = session()?;
    let mut logs = Running::docker(&proxy.socket(), &["logs", "--follow", "--tail", "1", "ticker"]);
    let number = |line: String| -> u64 { line.trim_start_matches("tick ").parse().unwrap() };
    let first = number(logs.expect(&["tick"]));
    for next in first + 1..first + 6 {
        assert_eq!(number(logs.expect(&["tick"])), next);
    }
    Ok(())
}

fn exec_carries_input_output_and_exit_code() -> Outcome {
    let (_engine, proxy) = session()?;
    let socket = proxy.socket();
    let input = "a line\n".repeat(20_000);
    assert!(stdout(cli::docker(&socket, &["exec", "-i", "web", "cat"], &input), 0) == input);
    assert_eq!(stdout(cli::docker(&socket, &["exec", "web", "sh", "-c", "echo done; exit 3"], ""), 3), "done\n");
    let both = cli::docker(&socket, &["exec", "web", "sh", "-c", "echo out; echo error >&2"], "");
    assert_eq!((both.stdout.as_slice(), both.stderr.as_slice()), (b"out\n".as_slice(), b"error\n".as_slice()));
    stdout(cli::docker(&socket, &["exec", "--detach", "web", "true"], ""), 0);
    Ok(())
}

fn exec_has_a_terminal_of_the_right_size() -> Outcome {
    let (_engine, proxy) = session()?;
    let line = "stty rows 33 cols 99; docker exec -it web sh -c \
        'while [ \"$(stty size)\" != \"33 99\" ]; do sleep 0.1; done; tty; echo ready; read line; echo read-$line; exit 3'";
    let mut terminal = Running::in_terminal(&proxy.socket(), line);
    terminal.expect(&["/dev/pts/"]);
    terminal.expect(&["ready"]);
    terminal.send("typed\r");
    terminal.expect(&["read-typed"]);
    assert_eq!(terminal.end(), Some(3));
    Ok(())
}

fn attach_talks_to_a_container_until_its_input_ends() -> Outcome {
    let (engine, proxy) = session()?;
    let body = json!({"Image": seed::BASE, "Cmd": ["cat"], "OpenStdin": true, "StdinOnce": true,
        "HostConfig": {"NetworkMode": "none", "AutoRemove": true}});
    seed::start(&engine.socket(), "echoing", &body);
    let mut attached = Running::docker(&proxy.socket(), &["attach", "echoing"]);
    attached.send("hello\n");
    attached.expect(&["hello"]);
    attached.send("again\n");
    attached.expect(&["again"]);
    assert_eq!(attached.end(), Some(0));
    Ok(())
}

fn attach_to_a_terminal_can_be_left_with_the_detach_keys() -> Outcome {
    let (engine, proxy) = session()?;
    let body = json!({"Image": seed::BASE, "Tty": true, "OpenStdin": true,
        "Cmd": ["sh", "-c", "while :; do echo prompt; sleep 0.2; done & cat"], "HostConfig": {"NetworkMode": "none"}});
    seed::start(&engine.socket(), "screen", &body);
    let mut terminal = Running::in_terminal(&proxy.socket(), "docker attach screen");
    terminal.expect(&["prompt"]);
    terminal.send("typed\r");
    terminal.expect(&["typed"]);
    terminal.send("\x10\x11");
    terminal.expect(&["read escape sequence"]);
    let state = client::get(&engine.socket(), "/containers/screen/json").json();
    assert_eq!(state["State"]["Status"], "running");
    seed::remove(&engine.socket(), "screen");
    Ok(())
}

fn events_are_shown_as_they_happen() -> Outcome {
    let (engine, proxy) = session()?;
    let mut events = Running::docker(
        &proxy.socket(),
        &["events", "--since", "1", "--filter", "container=gnat", "--format", "{{.Action}} {{.Actor.Attributes.name}}"],
    );
    let body = json!({"Image": seed::BASE, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "AutoRemove": true}});
    seed::start(&engine.socket(), "gnat", &body);
    for action in ["create gnat", "start gnat", "die gnat", "destroy gnat"] {
        events.expect(&[action]);
    }
    Ok(())
}

fn stats_are_shown_once_and_again() -> Outcome {
    let (_engine, proxy) = session()?;
    let socket = proxy.socket();
    let once = cli::docker(&socket, &["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "web"], "");
    let once = stdout(once, 0);
    let pids = once.trim().strip_prefix("web ").and_then(|count| count.parse::<u64>().ok());
    assert!(pids.is_some_and(|count| count > 0), "{once}");
    let mut stats = Running::docker(&socket, &["stats", "--format", "{{.Name}} is using {{.PIDs}}", "ticker"]);
    for _ in 0..3 {
        stats.expect(&["ticker is using"]);
    }
    Ok(())
}

fn run_feeds_its_container_and_ends_with_it() -> Outcome {
    let (_engine, proxy) = session()?;
    let socket = proxy.socket();
    let cat = cli::docker(&socket, &["run", "--rm", "--interactive", "--network", "none", seed::BASE, "cat"], "hi\n");
    assert_eq!(stdout(cat, 0), "hi\n");
    // A busy Docker 28.5 loses what a process has printed if it ends at once, through a proxy or not: 4 times in 686.
    let script = "sleep 0.3; echo bye; exit 7";
    let code = cli::docker(&socket, &["run", "--rm", "--network", "none", seed::BASE, "sh", "-c", script], "");
    assert_eq!(stdout(code, 7), "bye\n");
    Ok(())
}

fn run_of_an_image_that_cannot_be_pulled_fails() -> Outcome {
    let (_engine, proxy) = session()?;
    let run = cli::docker(&proxy.socket(), &["run", "127.0.0.1:9/nothing:1"], "");
    assert_eq!(run.status.code(), Some(125), "{run:?}");
    Ok(())
}

fn what_the_profile_does_not_allow_is_denied_by_policy() -> Outcome {
    let (_engine, proxy) = session()?;
    for arguments in [&["volume", "ls"][..], &["network", "ls"], &["kill", "web"], &["cp", "web:/etc/passwd", "-"]] {
        let refused = cli::docker(&proxy.socket(), arguments, "");
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let error = String::from_utf8_lossy(&refused.stderr).to_lowercase();
        assert!(error.contains("denied by policy"), "docker {arguments:?}: {error}");
    }
    Ok(())
}
