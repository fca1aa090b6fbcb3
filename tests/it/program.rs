//! The program as a process.

use std::io::Write;
use std::process::{Output, Stdio};

use dockveil::api::ApiVersion;

use crate::harness::{Test, tests};
use crate::support::client::{Client, closing_get, status};
use crate::support::daemon::{Daemon, Reply, json};
use crate::support::fixture;
use crate::support::program::{Program, command};
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[Test] = tests![
    explain_states_why_a_target_of_podmans_own_api_is_denied,
    an_engine_newer_than_the_catalogue_is_logged_once_and_its_new_fields_are_hidden,
    while_the_engine_is_down_the_answer_is_503_and_the_program_goes_on,
    the_filter_command_reports_a_withheld_document_by_its_exit_code,
    healthcheck_reports_by_its_exit_code
];

/// Runs it with `input` until it ends.
fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = command(&[], arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // If the arguments are wrong, it ends without reading.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn explain_states_why_a_target_of_podmans_own_api_is_denied() {
    for (request, said) in [
        ("GET /v4.3.1/libpod/info", "decision  404: podman's own api under /libpod is not supported"),
        ("GET /v4.3.1/info", "decision  400: api version must have the form v1.N"),
        ("GET /v1.44/nothing", "decision  404: no such operation"),
    ] {
        let run = run(&["explain", "--profile", "dashboard", request], b"");
        let out = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.code() == Some(1) && out.contains(said), "{request}: {out}");
    }
}

fn an_engine_newer_than_the_catalogue_is_logged_once_and_its_new_fields_are_hidden() {
    let folder = Folder::new();
    let body =
        r#"[{"Id":"1","State":"running","NewIn199":{"Env":["canary"]},"Mounts":[{"Type":"new","NewIn199":"canary"}]}]"#;
    let daemon = Daemon::speaking(&folder.path("engine"), 99, move |_| {
        let head = "HTTP/1.1 200 OK\r\nApi-Version: 1.99\r\nContent-Type: application/json\r\n";
        Reply::Keep(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    });
    let program = Program::between(&folder);
    let line = program.listening().pop().unwrap();
    let newer = format!("newer than API {}", ApiVersion::NEWEST);
    assert!(line.contains("level=warn") && line.contains(&newer) && line.contains("api=1.99"), "{line}");
    let newest = ApiVersion::NEWEST.minor();
    for (target, version) in [("/containers/json", newest), ("/v1.44/containers/json", 44)] {
        let mut client = Client::connect(&folder.path("listener"));
        client.send(closing_get(target));
        let answer = client.rest();
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(answer.contains("\"running\"") && !answer.contains("New") && !answer.contains("canary"), "{answer}");
        let sent = daemon.requests().pop().unwrap();
        assert!(sent.starts_with(&format!("GET /v1.{version}/containers/json ")), "{sent}");
    }
    let (ended, log) = program.stop();
    let log = log.join("\n");
    assert!(ended.success(), "{log}");
    assert!(!log.contains("newer") && !log.contains("canary"), "{log}");
    assert!(!folder.path("listener").exists());
}

fn while_the_engine_is_down_the_answer_is_503_and_the_program_goes_on() {
    let folder = Folder::new();
    let mut program = Program::between(&folder);
    program.listening();
    let ask = || {
        let mut client = Client::connect(&folder.path("listener"));
        client.send(closing_get("/containers/json"));
        client.rest()
    };
    for _ in 0..3 {
        let answer = ask();
        assert_eq!(status(&answer), 503, "{answer}");
        assert!(
            answer.contains("application/json") && answer.ends_with("{\"message\":\"docker daemon unavailable\"}\n")
        );
    }
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    assert_eq!(status(&ask()), 200);
    assert!(program.is_running());
}

fn the_filter_command_reports_a_withheld_document_by_its_exit_code() {
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
        Some(64)
    );
    assert_eq!(run(&["filter", "--operation", "Nothing"], b"{}").status.code(), Some(64));
    assert_eq!(run(&["filter"], b"{}").status.code(), Some(64));
}

fn healthcheck_reports_by_its_exit_code() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let target = |name: &str| format!("unix://{}", folder.path(name).display());
    let check = |name: &str| run(&["healthcheck", "--target", &target(name)], b"");
    let well = check("engine");
    assert_eq!(well.status.code(), Some(0), "{}", String::from_utf8_lossy(&well.stderr));
    assert_eq!(check("nobody").status.code(), Some(1));
}
