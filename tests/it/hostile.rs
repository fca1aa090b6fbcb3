//! Documents that no engine should send: they are withheld, or come out without a canary.

use std::sync::{Arc, Mutex};

use crate::harness::{Test, tests};
use crate::support::client::{body, closing_get, get, status};
use crate::support::daemon::{Reply, json};
use crate::support::fixture;
use crate::support::proxy::Bench;

pub(crate) const TESTS: &[Test] = tests![
    what_is_not_one_json_document_is_withheld,
    bytes_after_a_list_are_not_passed_on,
    odd_documents_do_no_harm,
    numbers_that_fit_no_type_pass_unchanged,
    events_are_filtered_up_to_one_that_is_cut_short,
    logs_pass_byte_for_byte_whatever_their_frames,
    every_hostile_document_has_a_test,
    headers_of_the_daemon_are_not_passed_on,
    an_answer_with_two_meanings_is_withheld,
    a_member_in_another_case_is_hidden_too,
    a_hidden_member_that_occurs_twice_stays_hidden
];

/// What a client gets for `target` if the daemon answers with a file of `fixtures/hostile`.
fn answer(target: &str, file: &str) -> String {
    let body = std::fs::read(fixture::root().join("hostile").join(file)).unwrap();
    let bench = Bench::start(move |_| {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        Reply::Keep([head.as_bytes(), &body].concat())
    });
    bench.ask(get(target))
}

/// Demands these statuses for the file as the answer to an inspect and to a list.
#[track_caller]
fn check(file: &str, inspect: u16, list: u16) {
    for (target, expected) in [("/containers/web/json", inspect), ("/containers/json", list)] {
        let answer = answer(target, file);
        assert_eq!(status(&answer), expected, "{file} {target}: {answer}");
        assert!(!answer.to_lowercase().contains("canary"), "{file} {target}: {answer}");
    }
}

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
    // This file is a list with bytes after its end, and no container.
    assert_eq!(status(&answer("/containers/web/json", "trailing_bytes.json")), 502);
}

fn bytes_after_a_list_are_not_passed_on() {
    let answer = answer("/containers/json", "trailing_bytes.json");
    assert!(!answer.contains("canary") && !answer.ends_with("0\r\n\r\n"), "{answer}");
}

fn odd_documents_do_no_harm() {
    for file in ["kelvin_key.json", "lone_surrogate.json", "null_document.json"] {
        let answer = answer("/containers/web/json", file);
        assert!([200, 502].contains(&status(&answer)), "{file}: {answer}");
        assert!(!answer.to_lowercase().contains("canary"), "{file}: {answer}");
    }
    // What is not of the type of its field is hidden: the blank of its type stands for it.
    let answer = answer("/containers/web/json", "wrong_types.json");
    let state = r#"{"Dead":false,"Error":"","ExitCode":0,"FinishedAt":"0001-01-01T00:00:00Z","OOMKilled":false,"Paused":false,"#;
    let state = format!(
        "{state}{}",
        r#""Pid":0,"Restarting":false,"Running":false,"StartedAt":"0001-01-01T00:00:00Z","Status":""}"#
    );
    let config = r#"{"Env":[],"Labels":{},"Tty":false}"#;
    let body = format!(r#"{{"Id":"","Name":"","State":{state},"Config":{config},"Mounts":[]}}"#);
    assert!(answer.ends_with(&format!("\r\n\r\n{body}\n")), "{answer}");
}

fn numbers_that_fit_no_type_pass_unchanged() {
    let body = fixture::root().join("hostile/huge_numbers.json");
    let body = std::fs::read_to_string(body).unwrap();
    let answer = answer("/containers/web/stats?stream=0", "huge_numbers.json");
    assert!(body.contains("18446744073709551615") && answer.contains("\"current\":18446744073709551615"), "{answer}");
    assert!(answer.contains("\"limit\":340282366920938463463374607431768211455"), "{answer}");
}

/// What a client gets for `target` if the daemon sends a file of `fixtures/hostile` as a stream.
fn stream(target: &str, file: &str) -> String {
    let profile = "profile: test\nallow: [ContainerLogs, SystemEvents]\nshow: [identity, state]\nevents: filtered\n";
    let body = std::fs::read(fixture::root().join("hostile").join(file)).unwrap();
    let bench = Bench::profiled(profile, move |_| {
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
        Reply::Close([head.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat())
    });
    let mut client = bench.client();
    client.send(get(target));
    client.rest()
}

fn events_are_filtered_up_to_one_that_is_cut_short() {
    let (events, ended) = body(&stream("/events", "no_newline.ndjson"));
    assert!(!ended && events.lines().count() == 1 && events.contains(r#""Action":"start""#), "{events}");
}

/// Nothing in them is filtered.
fn logs_pass_byte_for_byte_whatever_their_frames() {
    for file in ["bad_stream.mux", "truncated.mux"] {
        let recorded = std::fs::read(fixture::root().join("hostile").join(file)).unwrap();
        let answer = stream("/containers/web/logs?stdout=1", file);
        let expected = format!("{:x}\r\n{}\r\n0\r\n\r\n", recorded.len(), String::from_utf8_lossy(&recorded));
        assert!(answer.ends_with(&expected), "{file}: {answer:?}");
    }
}

fn every_hostile_document_has_a_test() {
    let files = std::fs::read_dir(fixture::root().join("hostile")).unwrap();
    let text = include_str!("hostile.rs");
    for file in files {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(text.contains(&name), "{name}");
    }
}

fn headers_of_the_daemon_are_not_passed_on() {
    let bench = Bench::start(|_| {
        Reply::Keep(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nServer: canary\r\nLocation: /canary\r\n\
              ETag: canary\r\nDocker-Plugin-Name: canary\r\nX-Docker-Container-Path-Stat: canary\r\nSet-Cookie: canary\r\n\
              Content-Type: application/json; canary=1\r\nTransfer-Encoding: chunked\r\n\r\n\
              2\r\n[]\r\n0\r\n\r\n"
                .to_vec(),
        )
    });
    let answer = bench.ask(get("/containers/json"));
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(!answer.to_lowercase().contains("canary"), "{answer}");
    assert!(answer.to_lowercase().contains("api-version: 1.51\r\n"), "{answer}");
}

/// The ends of heads, each with the start of a body of two bytes, that have more than one meaning or a malformed field.
const AMBIGUOUS: &[&str] = &[
    "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nBODY\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 12\r\n\r\n2\r\nBODY\r\n0\r\n\r\n",
    "Content-Length: 2\r\nContent-Length: 2\r\n\r\nBODY",
    "Content-Length: 2, 2\r\n\r\nBODY",
    "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nBODY\r\n0\r\n\r\n",
    "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nBODY\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n2;canary=\0\r\nBODY\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n2;canary\r\nBODY\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n2\r\nBODY\r\n0;\0canary\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n2\r\nBODY\r\n0\r\nX-Canary: canary\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n2\nBODY\n0\n\n",
    "Content-Length: 2\n\nBODY",
    "Content-Length: 2\r\nX-A: b\r\n canary\r\n\r\nBODY",
    "Content-Length: 2\r\nX-A: \0\r\n\r\nBODY",
    "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nBODY",
    "Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nBODY",
    "Content-Encoding: identity\r\nContent-Encoding: identity\r\nContent-Length: 2\r\n\r\nBODY",
    "Api-Version: canary\r\nContent-Length: 2\r\n\r\nBODY",
    "Api-Version: 1.51\r\nApi-Version: 1.51\r\nContent-Length: 2\r\n\r\nBODY",
    "Ostype: linux canary\r\nContent-Length: 2\r\n\r\nBODY",
    "Docker-Experimental: canary\r\nContent-Length: 2\r\n\r\nBODY",
    "Builder-Version: canary text\r\nContent-Length: 2\r\n\r\nBODY",
    "Swarm: canary/of/text\r\nContent-Length: 2\r\n\r\nBODY",
    "X-Docker-Container-Path-Stat: {canary}\r\nContent-Length: 2\r\n\r\nBODY",
    "Content-Type: application/json\r\nContent-Length: 2\r\n\r\nBODY",
];

fn an_answer_with_two_meanings_is_withheld() {
    for (target, media_type, content) in [
        ("/containers/web/json", "application/json", "{}"),
        ("/containers/json", "application/json", "[]"),
        ("/containers/web/stats?stream=0", "application/json", "{}"),
        ("/containers/web/export", "application/x-tar", "{}"),
        ("/containers/web/logs?stdout=1", "application/json", "{}"),
        ("/events", "application/json", "{}"),
    ] {
        let next = Arc::new(Mutex::new("Content-Length: 2\r\n\r\nBODY"));
        let current = next.clone();
        let bench = Bench::start(move |_| {
            let end = current.lock().unwrap().replace("BODY", content);
            Reply::Close(format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n{end}").into_bytes())
        });
        let ask = |target: &str| {
            let mut client = bench.client();
            client.send(closing_get(target));
            client.rest()
        };
        let answer = ask(target);
        assert!(status(&answer) == 200 && body(&answer).1, "{target}: {answer}");
        for end in AMBIGUOUS {
            *next.lock().unwrap() = end;
            let answer = ask(target);
            // What was checked before the fault may have left: then the answer has no end.
            assert!(status(&answer) == 502 || !body(&answer).1, "{target} {end:?}: {answer:?}");
            assert!(!answer.to_lowercase().contains("canary"), "{target} {end:?}: {answer:?}");
        }
    }
}

fn a_member_in_another_case_is_hidden_too() {
    let bench = Bench::start(|_| {
        json(
            r#"{"Id":"1","Config":{"env":["canary=1"],"\u0045nv":["canary=2"],"ENV":["canary=3"]},"PATH":"canary","State":{}}"#,
        )
    });
    let answer = bench.ask(get("/containers/web/json"));
    assert!(!answer.contains("canary"), "{answer}");
}

/// Nothing is left of these members, so two of a name are no reason to withhold the answer.
fn a_hidden_member_that_occurs_twice_stays_hidden() {
    for members in [
        r#""New":"canary-1","New":{"a":"canary-2"}"#,
        r#""New":["canary-1"],"N\u0065w":"canary-2","NEW":"canary-3""#,
        r#""Labels":{"secret":"canary-1","secret":"canary-2"}"#,
        r#""Labels":{"secret":"canary-1","s\u0065cret":["canary-2"],"canary-3":"","canary-3":""}"#,
        r#""HostConfig":{"NetworkMode":"bridge","New":"canary-1","New":"canary-2"}"#,
    ] {
        let bench = Bench::start(move |_| json(&format!(r#"[{{"Id":"1",{members},"State":"running"}}]"#)));
        let answer = bench.ask(get("/containers/json"));
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(answer.contains(r#""Id":"1""#) && answer.contains("running"), "{answer}");
        assert!(!answer.contains("canary"), "{answer}");
    }
}
