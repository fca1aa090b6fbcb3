//! Statuses, methods and lengths: what a client reads of the framing of an answer.

use crate::harness::{Test, tests};
use crate::support::client::{body, content_length, status};
use crate::support::daemon::Reply;
use crate::support::proxy::Bench;

pub(crate) const TESTS: &[Test] = tests![
    every_status_and_method_has_the_framing_of_the_daemon,
    a_connection_is_used_again_after_an_answer_without_a_body,
    an_answer_with_a_trailer_is_withheld,
    an_error_in_a_stream_is_said_as_far_as_it_is_constant,
    known_warnings_are_said_and_others_are_left_out
];

const ALLOW: &str = "allow: [Ping, ContainerList, ContainerInspect, ContainerCreate, ContainerStart, ContainerStop, ContainerRename, \
                     ContainerDelete, ContainerArchive, ContainerArchiveInfo, PutContainerArchive, ContainerExport, ImageCreate, \
                     ImageBuild, NetworkConnect, ImageDelete]";
/// A profile that hides free text and looks up no names.
const HIDING: &str = "show: [identity, state, topology]";

/// The program with a profile, in front of a daemon that answers every request with these bytes.
fn bench(show: &str, answer: &str) -> Bench {
    let answer = answer.as_bytes().to_vec();
    Bench::profiled(&format!("profile: test\n{ALLOW}\n{show}\n"), move |_| Reply::Close(answer.clone()))
}

/// What a client reads for a request without a body, to the end of the connection.
fn ask(bench: &Bench, line: &str) -> String {
    let length = if line.starts_with("GET") || line.starts_with("HEAD") { "" } else { "Content-Length: 0\r\n" };
    let mut client = bench.client();
    client.send(format!("{line} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n{length}\r\n"));
    client.rest()
}

/// The framing of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framed {
    /// None, and no length.
    Nothing,
    /// A length, without a body: the answer to a HEAD.
    Announced(usize),
    /// This many bytes.
    Length(usize),
    /// Chunks.
    Chunked,
}

/// How an answer is framed. Panics if its bytes are not what its head says.
#[track_caller]
fn framing(line: &str, answer: &str) -> Framed {
    let (head, rest) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{line}: {answer:?}"));
    let has_no_body = line.starts_with("HEAD") || [204, 304].contains(&status(answer));
    if head.to_ascii_lowercase().contains("transfer-encoding") {
        assert!(!has_no_body && body(answer).1, "{line}: {answer}");
        return Framed::Chunked;
    }
    match content_length(head) {
        None => {
            assert_eq!(rest, "", "{line}: {answer}");
            Framed::Nothing
        }
        Some(length) if line.starts_with("HEAD") => {
            assert_eq!(rest, "", "{line}: {answer}");
            Framed::Announced(length)
        }
        Some(length) => {
            assert!(rest.len() == length && !has_no_body, "{line}: {answer}");
            Framed::Length(length)
        }
    }
}

fn every_status_and_method_has_the_framing_of_the_daemon() {
    let error = "{\"message\":\"No such container: a\"}\n";
    let said = "{\"message\":\"No such container\"}\n".len();
    let not_found =
        format!("404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", error.len());
    let not_found_get = format!("{not_found}{error}");
    let tar = "Content-Type: application/x-tar\r\n";
    let json = "Content-Type: application/json\r\n";
    let list = "[{\"Id\":\"a\"}]\n";
    let document = "{\"Id\":\"a\"}\n";
    for (line, answer, code, expected) in [
        ("POST /containers/a/start", "204 No Content\r\n\r\n".to_owned(), 204, Framed::Nothing),
        ("POST /containers/a/start", "304 Not Modified\r\n\r\n".to_owned(), 304, Framed::Nothing),
        ("POST /containers/a/stop", "304 Not Modified\r\nDate: x\r\n\r\n".to_owned(), 304, Framed::Nothing),
        ("POST /containers/a/rename?name=b", "204 No Content\r\n\r\n".to_owned(), 204, Framed::Nothing),
        ("DELETE /containers/a", "204 No Content\r\n\r\n".to_owned(), 204, Framed::Nothing),
        ("PUT /containers/a/archive?path=/", "200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(), 200, Framed::Length(0)),
        (
            "GET /_ping",
            "200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nOK".to_owned(),
            200,
            Framed::Length(2),
        ),
        (
            "HEAD /_ping",
            "200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n".to_owned(),
            200,
            Framed::Announced(0),
        ),
        (
            "HEAD /containers/a/archive?path=/",
            "200 OK\r\nX-Docker-Container-Path-Stat: e30=\r\n\r\n".to_owned(),
            200,
            Framed::Nothing,
        ),
        ("HEAD /containers/a/archive?path=/", not_found.clone(), 404, Framed::Nothing),
        ("GET /containers/a/archive?path=/", not_found_get.clone(), 404, Framed::Length(said)),
        ("GET /containers/a/json", not_found_get, 404, Framed::Length(said)),
        (
            "GET /containers/a/archive?path=/",
            format!("200 OK\r\n{tar}Content-Length: 4\r\n\r\nabcd"),
            200,
            Framed::Length(4),
        ),
        (
            "GET /containers/a/export",
            format!("200 OK\r\n{tar}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"),
            200,
            Framed::Chunked,
        ),
        (
            "GET /containers/a/json",
            format!("200 OK\r\n{json}Content-Length: 11\r\n\r\n{document}"),
            200,
            Framed::Length(11),
        ),
        ("GET /containers/json", format!("200 OK\r\n{json}Content-Length: 13\r\n\r\n{list}"), 200, Framed::Chunked),
    ] {
        let bench = bench(HIDING, &format!("HTTP/1.1 {answer}"));
        let answer = ask(&bench, line);
        assert_eq!((status(&answer), framing(line, &answer)), (code, expected), "{line}: {answer}");
    }
}

fn a_connection_is_used_again_after_an_answer_without_a_body() {
    for answer in ["204 No Content\r\n\r\n", "304 Not Modified\r\n\r\n"] {
        let bench = bench(HIDING, &format!("HTTP/1.1 {answer}"));
        let mut client = bench.client();
        for _ in 0..3 {
            client.send("POST /containers/a/start HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n");
            let head = client.read_until("\r\n\r\n");
            assert!(head.starts_with(&format!("HTTP/1.1 {}", &answer[..3])), "{head}");
        }
        // What follows is the next answer, and no byte of a body.
        client.send(
            "HEAD /containers/a/archive?path=/ HTTP/1.1\r\nHost: d\r\n\r\nGET /unknown HTTP/1.1\r\nHost: d\r\n\r\n",
        );
        client.read_until("\r\n\r\n");
        assert!(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 404"));
    }
}

/// No engine sends trailers, so they are a sign of something else.
fn an_answer_with_a_trailer_is_withheld() {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nTrailer: X-Canary\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bench = bench("show: all", &format!("{head}2\r\nab\r\n0\r\nX-Canary: canary\r\n\r\n"));
    let answer = ask(&bench, "GET /containers/a/export");
    assert!(status(&answer) == 502 && !answer.to_ascii_lowercase().contains("canary"), "{answer}");
}

/// A stream of progress that ends with an error, in chunks of this size.
fn progress(size: usize, text: &str) -> (String, String) {
    let steps = "{\"status\":\"Pulling from a\",\"id\":\"latest\"}\r\n{\"status\":\"Waiting\",\"progressDetail\":{},\"id\":\"1\"}\r\n";
    let failed = serde_json::json!({ "errorDetail": { "message": text }, "error": text });
    let whole = format!("{steps}{failed}\r\n");
    let chunks: String = whole
        .as_bytes()
        .chunks(size)
        .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), str::from_utf8(chunk).unwrap()))
        .collect();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    (format!("{head}{chunks}0\r\n\r\n"), whole)
}

fn an_error_in_a_stream_is_said_as_far_as_it_is_constant() {
    let denied = "pull access denied for canary, repository does not exist or may require 'docker login'";
    let said = "pull access denied, repository does not exist or may require 'docker login'";
    let unknown = "the engine failed; its text is hidden by the profile";
    let build = "POST /build HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/x-tar\r\nContent-Length: 1\r\n\r\na";
    let pull =
        "POST /images/create?fromImage=a&tag=1 HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    for (text, expected) in [(denied, said), ("canary", unknown)] {
        for size in [1, 7, 64, 100_000] {
            let (engine, whole) = progress(size, text);
            for request in [build, pull] {
                let ask = |show: &str| {
                    let bench = bench(show, &engine);
                    let mut client = bench.client();
                    client.send(request);
                    client.rest()
                };
                let answer = ask(HIDING);
                let (hidden, is_whole) = body(&answer);
                assert!(status(&answer) == 200 && is_whole && !hidden.contains("canary"), "{size}: {answer}");
                let (steps, error) = whole.split_at(whole.find("{\"error").unwrap());
                assert!(hidden.starts_with(steps) && error.contains(text), "{size}: {hidden}");
                let record: serde_json::Value = serde_json::from_str(&hidden[steps.len()..]).unwrap();
                assert_eq!(record, serde_json::json!({ "errorDetail": { "message": expected }, "error": expected }));
                assert_eq!(body(&ask("show: all")), (whole.clone(), true));
            }
        }
    }
    // What is no sequence of records breaks off.
    let bench = bench(HIDING, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\ncanary");
    let mut client = bench.client();
    client.send(pull);
    assert!(!client.rest().contains("canary"));
}

fn known_warnings_are_said_and_others_are_left_out() {
    let known = "Published ports are discarded when using host network mode";
    let request = "POST /containers/create HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let answered = |show: &str, warnings: &serde_json::Value| {
        let document = serde_json::json!({ "Id": "a", "Warnings": warnings }).to_string();
        let length = document.len();
        let head = format!("HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {length}");
        let bench = bench(show, &format!("{head}\r\n\r\n{document}"));
        let mut client = bench.client();
        client.send(request);
        let answer = client.rest();
        assert!(status(&answer) == 201 && body(&answer).1, "{answer}");
        serde_json::from_str::<serde_json::Value>(&body(&answer).0).unwrap()["Warnings"].clone()
    };
    let both = serde_json::json!(["canary", known]);
    assert_eq!(answered(HIDING, &both), serde_json::json!([known]));
    assert_eq!(answered("show: all", &both), both);
    // Unknown ones look like none, however many there are.
    let none = answered(HIDING, &serde_json::json!([]));
    for unknown in [serde_json::json!(null), serde_json::json!(["canary"]), serde_json::json!(["canary", "a", "b"])] {
        assert_eq!(answered(HIDING, &unknown), none);
    }
    let ruled = format!("{HIDING}\nrules:\n  - {{on: ContainerCreated, blank: $.Warnings}}");
    assert_eq!(answered(&ruled, &both), none);
}
