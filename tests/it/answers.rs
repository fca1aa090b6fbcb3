//! What a daemon may answer, and what of it reaches the client.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::{get, status};
use crate::support::daemon::{Daemon, Reply, json, with_status};
use crate::support::proxy::Bench;

const ELEMENT: &str = r#"{"Id":"1","Command":"canary-command","State":"running"}"#;

fn raw(head: &str, body: &str) -> Reply {
    Reply::Close(format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes())
}

#[track_caller]
fn check_withheld(answer: impl Fn(&str) -> Reply + Send + Sync + 'static, expected: u16) {
    let bench = Bench::start(answer);
    let answer = bench.ask(get("/containers/json"));
    assert_eq!(status(&answer), expected, "{answer}");
    assert!(!answer.contains("canary"), "{answer}");
    assert!(answer.contains(r#"{"message":""#), "{answer}");
}

#[test]
fn a_list_is_filtered_whatever_its_success_status() {
    for status_line in ["200 OK", "203 Non-Authoritative Information"] {
        let bench = Bench::start(move |_| with_status(status_line, &format!("[{ELEMENT}]")));
        let answer = bench.ask(get("/containers/json"));
        assert!(answer.contains(r#"[{"Id":"1","Command":"","State":"running"}]"#), "{answer}");
    }
}

#[test]
fn an_answer_that_names_no_type_is_filtered_or_withheld() {
    let bench = Bench::start(|_| raw("200 OK", &format!("[{ELEMENT}]")));
    let answer = bench.ask(get("/containers/json"));
    assert!(answer.contains(r#"[{"Id":"1","Command":"","State":"running"}]"#), "{answer}");
    assert!(answer.contains("content-type: application/json"), "{answer}");
    check_withheld(|_| raw("200 OK", "canary"), 502);
    check_withheld(|_| raw("200 OK", "[canary]"), 502);
    check_withheld(|_| raw("200 OK", ""), 502);
}

#[test]
fn the_line_feed_behind_a_document_stays() {
    let bench = Bench::start(|request| {
        json(if request.contains("/containers/json") { "[{\"Id\":\"1\"}]\n" } else { "{\"Id\":\"1\"}\n" })
    });
    let list = bench.ask(get("/containers/json"));
    assert!(list.contains("[{\"Id\":\"1\"}]\n"), "{list:?}");
    assert!(bench.ask(get("/containers/a/json")).ends_with("{\"Id\":\"1\"}\n"));
}

#[test]
fn what_cannot_be_filtered_is_withheld() {
    let list = format!("[{ELEMENT}]");
    check_withheld(|_| with_status("500 Internal Server Error", &format!("[{ELEMENT}]")), 500);
    check_withheld(|_| with_status("404 Not Found", r#"{"message":"canary"}"#), 404);
    check_withheld(|_| with_status("301 Moved Permanently", "canary"), 502);
    check_withheld(|_| with_status("206 Partial Content", "[]"), 502);
    check_withheld(|_| raw("200 OK\r\nContent-Type: text/plain", "canary"), 502);
    check_withheld(|_| raw("200 OK\r\nContent-Type: ", "[]"), 502);
    check_withheld(|_| json("canary"), 502);
    check_withheld(|_| json(r#"{"Command":"canary"}"#), 502);
    check_withheld(|_| json(r#"[{"Id":"1","Id":"canary"}]"#), 502);
    check_withheld(|_| json(&format!(r#"[{{"Id":"canary{}"}}]"#, "x".repeat(2 << 20))), 502);
    check_withheld(|_| json(&format!(r#"[{{"Id":{}1{}}}]"#, "[".repeat(500), "]".repeat(500))), 502);
    check_withheld(move |_| raw("200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip", &list), 502);
    check_withheld(|_| Reply::Close(b"canary\r\n\r\n".to_vec()), 502);
    check_withheld(|_| Reply::Close(Vec::new()), 502);
}

#[test]
fn the_first_element_leaves_before_the_last_arrives() {
    let bench = Bench::start(|_| {
        Reply::Then(
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n[{ELEMENT},\r\n", ELEMENT.len() + 2).into_bytes(),
            Box::new(|_| std::thread::sleep(Duration::from_millis(1500))),
        )
    });
    let started = Instant::now();
    let mut client = bench.client();
    client.send(get("/containers/json"));
    client.read_until(r#""State":"running"}"#);
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_daemon_that_is_down_is_503_and_comes_back_by_itself() {
    let mut bench = Bench::start(|_| json("[]"));
    let engine = bench.folder.path("engine");
    std::fs::remove_file(&engine).unwrap();
    let answer = bench.ask(get("/containers/json"));
    // The connection that was opened at start may still be there; the next one is not.
    let answer = if status(&answer) == 200 { bench.ask(get("/events")) } else { answer };
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("docker daemon unavailable"));
    bench.daemon = Daemon::speaking(&engine, 44, |_| json("[]"));
    assert_eq!(status(&bench.ask(get("/containers/json"))), 200);
}

#[test]
fn an_unversioned_request_is_pinned_again_after_the_daemon_came_back() {
    let mut bench = Bench::start(|_| {
        Reply::Close(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]".to_vec())
    });
    assert_eq!(status(&bench.ask(get("/containers/json"))), 200);
    assert!(bench.daemon.requests()[0].starts_with("GET /v1.51/"));
    let engine = bench.folder.path("engine");
    std::fs::remove_file(&engine).unwrap();
    assert_eq!(status(&bench.ask(get("/events"))), 503);
    bench.daemon = Daemon::speaking(&engine, 44, |_| raw("200 OK\r\nContent-Type: application/json", "[]"));
    assert_eq!(status(&bench.ask(get("/containers/json"))), 200);
    assert!(bench.daemon.requests()[0].starts_with("GET /v1.44/"), "{:?}", bench.daemon.requests());
    assert_eq!(status(&bench.ask(get("/v1.45/containers/json"))), 400);
}

#[test]
fn a_daemon_that_does_not_answer_is_504() {
    let bench = Bench::start(|_| Reply::Then(Vec::new(), Box::new(|_| std::thread::sleep(Duration::from_secs(5)))));
    assert_eq!(status(&bench.ask(get("/containers/json"))), 504);
    let mut client = bench.client();
    client.send(get("/events"));
    assert_eq!(status(&client.rest()), 504);
}

#[test]
fn connections_to_the_daemon_are_used_again() {
    let bench = Bench::start(|_| json("[]"));
    let mut client = bench.client();
    for _ in 0..20 {
        client.send(get("/containers/json"));
        client.read_until("[]");
    }
    assert!(bench.daemon.connections() <= 3, "{} connections", bench.daemon.connections());
}

#[test]
fn a_write_that_the_daemon_may_have_heard_is_not_sent_again() {
    // The first answer keeps the connection, which then dies under the next request.
    let asked = AtomicUsize::new(0);
    let bench = Bench::start(move |request| match (asked.fetch_add(1, Ordering::Relaxed), request) {
        (0 | 2, _) => json("[]"),
        (1, _) => Reply::Close(Vec::new()),
        (_, request) if request.starts_with("POST") => Reply::Close(Vec::new()),
        _ => json("[]"),
    });
    let mut client = bench.client();
    client.send(get("/containers/json"));
    client.read_until("[]");
    client.send(get("/containers/json"));
    client.read_until("[]");
    assert_eq!(bench.daemon.requests().len(), 3, "a read is asked again");
    client.send("POST /v1.44/containers/web/start HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    client.read_until("HTTP/1.1 50");
    let writes = bench.daemon.requests().iter().filter(|request| request.starts_with("POST")).count();
    assert_eq!(writes, 1, "a write is not");
}

#[test]
fn eight_inspects_at_once_names_of_one_letter_and_3_mb() {
    let long = "x".repeat(3 << 20);
    let bench = Bench::with(
        move |request| {
            let name = request.split('/').nth(3).unwrap().to_owned();
            json(&format!(r#"{{"Id":"{name}","Name":"{long}","Path":"canary"}}"#))
        },
        |config| config.limits.element = dockveil::config::ByteLimit::new(16 << 20),
    );
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            let bench = &bench;
            scope.spawn(move || {
                let answer = bench.ask(get(&format!("/containers/{name}/json")));
                assert!(answer.contains(&format!(r#"{{"Id":"{name}","#)), "{}", &answer[..200]);
                assert!(answer.contains(r#""Path":"""#) && answer.len() > 3 << 20);
            });
        }
    });
}
