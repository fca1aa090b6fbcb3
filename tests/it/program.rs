//! The program itself, as a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::support::client::{Client, status};
use crate::support::daemon::{Daemon, Reply, json};
use crate::support::fixture;
use crate::support::proxy::Folder;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockveil"));
    command.env_clear().env("DOCKVEIL_LOG", "info");
    command
}

/// A process that is ended with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs it to its end with `input`.
fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = program();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[test]
fn explain_says_why_a_target_of_podmans_own_api_is_refused() {
    for (request, said) in [
        ("GET /v4.3.1/libpod/info", "decision  404: podman's own api under /libpod is not supported"),
        ("GET /v4.3.1/info", "decision  400: api version must have the form v1.N"),
        ("GET /v1.44/nothing", "decision  404: there is no such operation"),
    ] {
        let run = run(&["explain", "--profile", "dashboard", request], b"");
        let out = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.code() == Some(1) && out.contains(said), "{request}: {out}");
    }
}

#[test]
fn an_engine_newer_than_the_catalogue_is_named_once_and_what_is_new_in_it_is_hidden() {
    let folder = Folder::new();
    let (engine, listener) = (folder.path("engine"), folder.path("listener"));
    let body =
        r#"[{"Id":"1","State":"running","NewIn199":{"Env":["canary"]},"Mounts":[{"Type":"new","NewIn199":"canary"}]}]"#;
    let daemon = Daemon::speaking(&engine, 99, move |_| {
        let head = "HTTP/1.1 200 OK\r\nApi-Version: 1.99\r\nContent-Type: application/json\r\n";
        Reply::Keep(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    });
    let url = |path: &std::path::Path| format!("unix://{}", path.display());
    let mut command = program();
    command.args(["--upstream", &url(&engine), "--listen", &url(&listener)]);
    let mut process = Process(command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    let mut log = BufReader::new(process.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("the engine at") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "nothing is said of the engine");
    }
    assert!(line.contains("WARN") && line.contains("API 1.99, newer than the 1.55"), "{line}");
    for (target, version) in [("/containers/json", 99), ("/v1.99/containers/json", 99), ("/v1.44/containers/json", 44)]
    {
        let mut client = Client::connect(&listener);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"));
        let answer = client.rest();
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(answer.contains("\"running\"") && !answer.contains("New") && !answer.contains("canary"), "{answer}");
        let sent = daemon.requests().pop().unwrap();
        assert!(sent.starts_with(&format!("GET /v1.{version}/containers/json ")), "{sent}");
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&process.0), rustix::process::Signal::TERM).unwrap();
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(process.0.wait().unwrap().success(), "{rest}");
    assert!(!rest.contains("newer"), "{rest}");
    assert!(!rest.contains("canary"), "{rest}");
    assert!(!listener.exists());
}

#[test]
fn an_engine_that_is_down_is_503_and_the_process_lives() {
    let folder = Folder::new();
    let (engine, listener) = (folder.path("engine"), folder.path("listener"));
    let url = |path: &std::path::Path| format!("unix://{}", path.display());
    let mut command = program();
    command.args(["--upstream", &url(&engine), "--listen", &url(&listener)]);
    let mut process = Process(command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    while !listener.exists() {
        assert!(process.0.try_wait().unwrap().is_none(), "it did not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    let ask = || {
        let mut client = Client::connect(&listener);
        client.send("GET /containers/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
        client.rest()
    };
    for _ in 0..3 {
        let answer = ask();
        assert_eq!(status(&answer), 503, "{answer}");
        assert!(
            answer.contains("application/json") && answer.ends_with("{\"message\":\"docker daemon unavailable\"}\n")
        );
    }
    let _daemon = Daemon::start(&engine, |_| json("[]"));
    assert_eq!(status(&ask()), 200);
    assert!(process.0.try_wait().unwrap().is_none());
}

#[test]
fn a_document_is_filtered_or_withheld_by_its_exit_code() {
    let document = &fixture::named("docker-28.5/v1.51/container_inspect.json").body;
    let filtered = run(&["filter", "--operation", "ContainerInspect", "--api", "1.51"], document);
    assert_eq!(filtered.status.code(), Some(0));
    let text = String::from_utf8(filtered.stdout).unwrap();
    assert!(text.contains("\"/canary-web\"") && !text.contains("CANARY_CONTAINERCONFIGENV"), "{text}");

    let changed = run(&["filter", "--operation", "ContainerInspect", "--diff"], document);
    assert_eq!(changed.status.code(), Some(0));
    let text = String::from_utf8(changed.stdout).unwrap();
    assert!(text.lines().any(|line| line == "~ $.Config.Env = []"), "{text}");
    assert!(text.lines().any(|line| line == "~ $.Mounts[0].Source = \"\""), "{text}");

    for withheld in [&document[..document.len() / 2], b"", b"canary", b"{\"Id\":1,\"Id\":\"canary\"}"] {
        let output = run(&["filter", "--operation", "ContainerInspect"], withheld);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
        assert!(!String::from_utf8_lossy(&output.stderr).to_lowercase().contains("canary"));
    }
    assert_eq!(
        run(&["filter", "--operation", "ContainerInspect", "--profile", "nobody"], b"{}").status.code(),
        Some(78)
    );
    assert_eq!(run(&["filter", "--operation", "Nothing"], b"{}").status.code(), Some(78));
    assert_eq!(run(&["filter"], b"{}").status.code(), Some(64));
}

#[test]
fn health_is_told_by_the_exit_code() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let target = |name: &str| format!("unix://{}", folder.path(name).display());
    let check = |name: &str| run(&["healthcheck", "--target", &target(name)], b"");
    let well = check("engine");
    assert_eq!(well.status.code(), Some(0), "{}", String::from_utf8_lossy(&well.stderr));
    assert_eq!(check("nobody").status.code(), Some(1));
}
