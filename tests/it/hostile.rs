//! Documents that no engine should send: withheld, or survived without a canary.

use crate::support::client::{get, status};
use crate::support::daemon::{Reply, json};
use crate::support::fixture;
use crate::support::proxy::Bench;

/// What a client gets when the daemon answers `target` with a file of `fixtures/hostile`.
fn answer(target: &str, file: &str) -> String {
    let body = std::fs::read(fixture::root().join("hostile").join(file)).unwrap();
    let bench = Bench::start(move |_| {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        Reply::Keep([head.as_bytes(), &body].concat())
    });
    bench.ask(get(target))
}

#[track_caller]
fn check(file: &str, inspect: u16, list: u16) {
    for (target, expected) in [("/containers/web/json", inspect), ("/containers/json", list)] {
        let answer = answer(target, file);
        assert_eq!(status(&answer), expected, "{file} {target}: {answer}");
        assert!(!answer.to_lowercase().contains("canary"), "{file} {target}: {answer}");
    }
}

#[test]
fn what_is_not_one_json_document_is_withheld() {
    for file in [
        "bad_utf8.json",
        "deep_nesting.json",
        "duplicate_keys.json",
        "duplicate_keys_escaped.json",
        "empty.json",
        "not_json.txt",
        "truncated.json",
        "two_documents.json",
    ] {
        check(file, 502, 502);
    }
    // An array is no container, though it is the list that has bytes behind its end.
    assert_eq!(status(&answer("/containers/web/json", "trailing_bytes.json")), 502);
}

#[test]
fn bytes_behind_a_list_are_not_passed_on() {
    let answer = answer("/containers/json", "trailing_bytes.json");
    assert!(!answer.contains("canary") && !answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[test]
fn odd_documents_are_survived() {
    for file in ["kelvin_key.json", "lone_surrogate.json", "null_document.json"] {
        let answer = answer("/containers/web/json", file);
        assert!([200, 502].contains(&status(&answer)), "{file}: {answer}");
        assert!(!answer.to_lowercase().contains("canary"), "{file}: {answer}");
    }
    // A text where a truth value should be is shown as one of its class; containers and hidden fields are emptied.
    let answer = answer("/containers/web/json", "wrong_types.json");
    let body =
        r#"{"Id":[],"Name":{},"State":"","Config":{"Env":"","Labels":[],"Tty":"canary-text-for-boolean"},"Mounts":{}}"#;
    assert!(answer.ends_with(&format!("\r\n\r\n{body}\n")), "{answer}");
}

#[test]
fn numbers_beyond_every_type_leave_as_they_came() {
    let body = fixture::root().join("hostile/huge_numbers.json");
    let body = std::fs::read_to_string(body).unwrap();
    let answer = answer("/containers/web/stats?stream=0", "huge_numbers.json");
    assert!(body.contains("18446744073709551615") && answer.contains("\"current\":18446744073709551615"), "{answer}");
    assert!(answer.contains("\"limit\":340282366920938463463374607431768211455"), "{answer}");
}

#[test]
fn every_hostile_document_is_looked_at() {
    let files = std::fs::read_dir(fixture::root().join("hostile")).unwrap();
    let text = include_str!("hostile.rs");
    for file in files {
        let name = file.unwrap().file_name().into_string().unwrap();
        // The others are for framings of streams, which are relayed.
        assert!(text.contains(&name) || name.ends_with(".mux") || name.ends_with(".ndjson"), "{name}");
    }
}

#[test]
fn what_the_daemon_says_in_headers_stays_there() {
    let bench = Bench::start(|_| {
        Reply::Keep(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nServer: canary\r\nLocation: /canary\r\n\
              ETag: canary\r\nDocker-Plugin-Name: canary\r\nX-Docker-Container-Path-Stat: canary\r\nSet-Cookie: canary\r\n\
              Content-Type: application/json; canary=1\r\nTrailer: X-Canary\r\nTransfer-Encoding: chunked\r\n\r\n\
              2\r\n[]\r\n0\r\nX-Canary: canary\r\n\r\n"
                .to_vec(),
        )
    });
    let answer = bench.ask(get("/containers/json"));
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(!answer.to_lowercase().contains("canary"), "{answer}");
    assert!(answer.to_lowercase().contains("api-version: 1.51\r\n"), "{answer}");
}

#[test]
fn a_name_in_another_case_is_hidden_too() {
    let bench = Bench::start(|_| {
        json(
            r#"{"Id":"1","Config":{"env":["canary=1"],"\u0045nv":["canary=2"],"ENV":["canary=3"]},"PATH":"canary","State":{}}"#,
        )
    });
    let answer = bench.ask(get("/containers/web/json"));
    assert!(!answer.contains("canary"), "{answer}");
}
