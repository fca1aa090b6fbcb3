//! Errors of the daemon: what a client reads of their texts.

use std::sync::{Arc, Mutex};

use crate::harness::{Test, tests};
use crate::support::client::{body, status};
use crate::support::daemon::Reply;
use crate::support::proxy::Bench;

pub(crate) const TESTS: &[Test] = tests![
    a_hidden_text_is_said_as_far_as_it_is_constant,
    a_missing_object_is_of_the_kind_that_the_operation_is_about,
    nothing_hidden_changes_a_byte_of_an_error,
    a_profile_that_shows_free_text_shows_errors_as_they_are,
    credentials_in_a_shown_error_are_masked,
    a_rule_can_show_errors_alone,
    an_error_is_read_whatever_its_form_and_framing,
    an_error_that_cannot_be_read_is_said_by_its_status
];

/// The operations of these tests.
const ALLOW: &str = "allow: [ContainerList, ContainerInspect, ContainerCreate, ContainerStart, ContainerAttach, ContainerLogs, \
                     SystemEvents, ImageCreate, ImageInspect, NetworkConnect, ExecStart, SwarmInit, ImageBuild]";

/// The requests of these tests: a list, a document, an answer without a body, and streams of every kind.
const REQUESTS: [(&str, &str); 8] = [
    ("GET /containers/json", ""),
    ("GET /containers/web/json", ""),
    ("POST /containers/create", r#"{"Image":"a"}"#),
    ("POST /containers/web/start", ""),
    ("GET /events", ""),
    ("GET /containers/web/logs?stdout=1", ""),
    ("POST /images/create?fromImage=a&tag=1", ""),
    ("POST /containers/web/attach?stream=1&stdout=1", ""),
];

/// The program with a profile, and a daemon that answers every request with the same bytes.
struct Front {
    bench: Bench,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Front {
    /// Starts both.
    fn with(show: &str) -> Self {
        let answer = Arc::new(Mutex::new(Vec::new()));
        let answers = answer.clone();
        let bench = Bench::profiled(&format!("profile: test\n{ALLOW}\n{show}\n"), move |_| {
            Reply::Close(answers.lock().unwrap().clone())
        });
        Self { bench, answer }
    }

    /// What the client reads for a request that the daemon answers with these bytes, without the date.
    fn ask(&self, (line, body): (&str, &str), answer: &[u8]) -> String {
        *self.answer.lock().unwrap() = answer.to_vec();
        let mut client = self.bench.client();
        client.send(request(line, body));
        let answer = client.rest();
        answer.split_inclusive('\n').filter(|line| !line.starts_with("date: ")).collect()
    }
}

/// An error as Docker writes it.
fn error(status: u16, text: &str) -> Vec<u8> {
    let body = serde_json::json!({ "message": text }).to_string() + "\n";
    let length = body.len();
    format!("HTTP/1.1 {status} Error\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// The bytes of a request with a body, or with none if it is empty.
fn request(line: &str, body: &str) -> String {
    let head = format!("{line} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n");
    if body.is_empty() && line.starts_with("GET") {
        return format!("{head}\r\n");
    }
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    format!("{head}{kind}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// The status and the message of an answer.
#[track_caller]
fn message(answer: &str) -> (u16, String) {
    let (text, is_whole) = body(answer);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert!(is_whole, "{answer}");
    (status(answer), document["message"].as_str().unwrap().to_owned())
}

/// What a profile shows that hides free text and looks up no names.
const HIDING: &str = "show: [identity, state, topology]";
const HIDDEN: &str = "the engine answered 500; its text is hidden by the profile";

fn a_hidden_text_is_said_as_far_as_it_is_constant() {
    let front = Front::with(HIDING);
    let not_found = "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create \
                     failed: unable to start container process: error during container init: exec: \"canary\": executable \
                     file not found in $PATH";
    let denied =
        "pull access denied for canary, repository does not exist or may require 'docker login': denied: canary";
    let swarm =
        "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one.";
    for (request, code, text, expected) in [
        (("POST /containers/web/start", ""), 400, not_found, "exec: executable file not found in $PATH"),
        (("GET /containers/web/logs?stdout=1", ""), 500, "canary", HIDDEN),
        (("GET /events", ""), 400, "invalid filter 'canary'", "Invalid filter"),
        (
            ("POST /containers/web/attach?stream=1", ""),
            409,
            "container canary is paused, unpause the container before attach",
            "container is paused, unpause the container before attach",
        ),
        (
            ("POST /images/create?fromImage=a", ""),
            404,
            denied,
            "pull access denied, repository does not exist or may require 'docker login'",
        ),
        (("POST /swarm/init", "{}"), 503, swarm, swarm),
    ] {
        let answer = front.ask(request, &error(code, text));
        assert_eq!(message(&answer), (code, expected.to_owned()), "{request:?}");
    }
}

fn a_missing_object_is_of_the_kind_that_the_operation_is_about() {
    let front = Front::with(HIDING);
    let create = ("POST /containers/create", r#"{"Image":"a"}"#);
    let connect = ("POST /networks/net/connect", r#"{"Container":"web"}"#);
    for (request, text, expected) in [
        (create, "No such image: canary:latest", "No such image"),
        (create, "canary", "No such image"),
        (("GET /containers/web/json", ""), "canary", "No such container"),
        (("GET /images/web/json", ""), "canary", "No such image"),
        (connect, "No such container: canary", "No such container"),
        (connect, "network canary not found", "network not found"),
        (connect, "canary", "network or container not found"),
        (("POST /exec/a/start", "{}"), "No such exec instance: canary", "No such exec instance"),
    ] {
        let answer = front.ask(request, &error(404, text));
        assert_eq!(message(&answer), (404, expected.to_owned()), "{request:?}");
    }
}

fn nothing_hidden_changes_a_byte_of_an_error() {
    let front = Front::with(HIDING);
    let long = "x".repeat(20_000);
    let holes = ["", "a", "No such image: a", "executable file not found in $PATH: unknown", "\"\n\u{1}é", &long];
    let texts = [
        "No such container: {}",
        "Container {} is not running",
        "failed to create task for container: {}: permission denied: unknown",
        "Conflict. The container name {} is already in use by container {}. You have to remove (or rename) that container to \
         be able to reuse that name.",
        "some text that is in no table: {}",
    ];
    for text in texts {
        for request in REQUESTS {
            let mut answers: Vec<String> =
                holes.iter().map(|hole| front.ask(request, &error(500, &text.replace("{}", hole)))).collect();
            answers.dedup();
            assert_eq!(answers.len(), 1, "{request:?} {text}: {answers:#?}");
        }
    }
}

fn a_profile_that_shows_free_text_shows_errors_as_they_are() {
    let text = "Container web (/srv/a) is \"not\" running\nexit 3";
    for show in ["show: [free-text, identity]", "show: all"] {
        let front = Front::with(show);
        for request in REQUESTS {
            let engine = error(409, text);
            let sent = body(&String::from_utf8(engine.clone()).unwrap());
            let answer = front.ask(request, &engine);
            assert_eq!((status(&answer), body(&answer)), (409, sent), "{show} {request:?}");
        }
    }
}

fn credentials_in_a_shown_error_are_masked() {
    let text = "mount failed: password=canary-secret https://user:canary-secret@host/";
    let front = Front::with("show: [free-text, identity]");
    for request in REQUESTS {
        let answer = front.ask(request, &error(500, text));
        let (code, shown) = message(&answer);
        assert!(code == 500 && shown.starts_with("mount failed: password=[redacted]"), "{answer}");
        assert!(!answer.contains("canary"), "{request:?} {answer}");
    }
}

fn a_rule_can_show_errors_alone() {
    let keep = Front::with("show: [state]\nrules:\n  - {on: Error, keep: $.message}");
    assert_eq!(message(&keep.ask(REQUESTS[0], &error(500, "a text"))), (500, "a text".to_owned()));
    let blank = Front::with("show: all\nrules:\n  - {on: Error, blank: $.message}");
    assert_eq!(message(&blank.ask(REQUESTS[0], &error(500, "a text"))), (500, HIDDEN.to_owned()));
}

fn an_error_is_read_whatever_its_form_and_framing() {
    let (hiding, showing) = (Front::with(HIDING), Front::with("show: [free-text, identity]"));
    let text = "Container a is not running";
    let podman = format!(r#"{{"cause":"canary","message":"{text}","response":409}}"#);
    let in_stream = format!(r#"{{"errorDetail":{{"message":"canary"}},"error":"{text}"}}"#);
    for (kind, whole) in [
        ("application/json", format!(r#"{{"message":"{text}"}}"#)),
        ("application/json", podman),
        ("application/json", in_stream),
        ("text/plain; charset=utf-8", format!("{text}\n")),
    ] {
        let (one, two) = whole.split_at(9);
        for rest in [
            format!("Content-Length: {}\r\n\r\n{whole}", whole.len()),
            format!("Transfer-Encoding: chunked\r\n\r\n9\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", two.len()),
            format!("\r\n{whole}"),
        ] {
            let engine = format!("HTTP/1.1 409 Conflict\r\nApi-Version: 1.51\r\nContent-Type: {kind}\r\n{rest}");
            for request in REQUESTS {
                let hidden = message(&hiding.ask(request, engine.as_bytes()));
                assert_eq!(hidden, (409, "container is not running".to_owned()), "{request:?} {engine}");
                let shown = message(&showing.ask(request, engine.as_bytes()));
                assert_eq!(shown, (409, text.to_owned()), "{request:?} {engine}");
            }
        }
    }
}

fn an_error_that_cannot_be_read_is_said_by_its_status() {
    let long = format!(r#"{{"message":"Container {} is not running"}}"#, "canary".repeat(20_000));
    let bodies = [
        format!("Content-Length: {}\r\n\r\n{long}", long.len()),
        "Content-Length: 0\r\n\r\n".to_owned(),
        "Content-Length: 100\r\n\r\n{\"message\":\"No such container: canary".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n5\r\ncanar".to_owned(),
        "Content-Length: 8\r\n\r\n{canary}".to_owned(),
        "Content-Length: 17\r\n\r\n{\"message\": 1234}".to_owned(),
        "Content-Length: 34\r\n\r\n{\"message\":\"a\",\"message\":\"canary\"}".to_owned(),
    ];
    for show in [HIDING, "show: all"] {
        let front = Front::with(show);
        for rest in &bodies {
            for request in REQUESTS {
                let head =
                    "HTTP/1.1 500 Internal Server Error\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\n";
                let answer = front.ask(request, format!("{head}{rest}").as_bytes());
                assert!(!answer.contains("canar"), "{show} {request:?} {:.200}", rest);
                assert_eq!(message(&answer), (500, HIDDEN.to_owned()), "{show} {request:?} {:.200}", rest);
            }
        }
    }
}
