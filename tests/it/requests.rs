//! Requests of clients, and what reaches the daemon of them.

use std::io::Read;
use std::time::Duration;

use dockveil::config::{ByteLimit, Config, Limits, Timeouts};

use crate::harness::{Test, tests};
use crate::support::built_in;
use crate::support::client::{PATIENCE, get, status};
use crate::support::daemon::{handing, json};
use crate::support::proxy::{Bench, short_timeouts};

pub(crate) const TESTS: &[Test] = tests![
    one_clean_request_reaches_the_daemon,
    a_malformed_or_ambiguous_request_does_not_reach_the_daemon,
    a_target_reaches_the_daemon_as_the_daemon_would_read_it,
    a_request_of_autoheal_reaches_the_daemon,
    the_host_in_a_target_must_be_listed_as_well,
    a_head_that_the_limit_allows_is_read_whatever_its_size,
    a_body_that_breaks_is_answered_once,
    a_denied_request_with_a_bad_body_is_denied,
    a_client_that_is_still_writing_reads_why_it_is_denied,
    requests_that_are_sent_at_once_are_answered_in_turn,
    a_bad_request_after_a_good_one_ends_the_connection,
    a_malformed_request_is_told_what_is_wrong_with_it,
    headers_of_32_kb_pass_and_2_mb_do_not,
    a_head_that_arrives_too_slowly_is_cut_off,
    web_pages_are_refused_unless_allowed,
    what_decides_about_a_request_is_said_once,
    only_listed_host_names_are_answered_to,
    beyond_the_limit_of_connections_the_answer_is_503
];

const LIST: &str =
    r#"[{"Id":"1","Names":["/web"],"Command":"canary-command","State":"running","Labels":{"a":"canary-label"}}]"#;

fn bench() -> Bench {
    Bench::start(|_| json(LIST))
}

fn one_clean_request_reaches_the_daemon() {
    let bench = bench();
    let answer = bench.ask(
        "GET /%63ontainers/json?all=1 HTTP/1.1\r\nHost: d\r\nAccept-Encoding: gzip\r\nAccept: x/y\r\nRange: bytes=0-\r\n\
         If-None-Match: a\r\nX-Registry-Auth: e30=\r\nCookie: a\r\nExpect: 100-continue\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    );
    assert_eq!(status(&answer), 200);
    assert_eq!(bench.daemon.requests(), ["GET /v1.51/containers/json?all=1 HTTP/1.1\r\nhost: docker\r\n\r\n"]);
    assert!(!answer.contains("canary"), "{answer}");
    assert!(answer.contains(r#""State":"running""#), "{answer}");
}

fn a_malformed_or_ambiguous_request_does_not_reach_the_daemon() {
    let bench = bench();
    let list = "/containers/json";
    for (request, expected) in [
        (format!("GET {list} HTTP/1.1\nHost: d\n\n"), 400),
        (format!("GET {list} HTTP/1.1\r\nHost: d\r\nA: b\r\n c\r\n\r\n"), 400),
        (format!("GET {list} HTTP/1.1\r\nHost: d\r\nHost: e\r\n\r\n"), 400),
        (format!("GET {list} HTTP/1.1\r\n\r\n"), 400),
        (format!("GET http://a@evil{list} HTTP/1.1\r\nHost: d\r\n\r\n"), 400),
        (format!("GET http://evil:x{list} HTTP/1.1\r\nHost: d\r\n\r\n"), 400),
        (get("http://evil"), 400),
        (get("x:containers/json"), 400),
        (get("http://evil//containers/json"), 400),
        (get("http:/x/../containers/json"), 400),
        (get("http:/containers/json/"), 404),
        (get("/containers/json\t"), 400),
        (get("/containers/json\0"), 400),
        (get("/containers/json\r"), 400),
        (get("/containers/json\n"), 400),
        (get("/containers\\json"), 400),
        (get("*"), 400),
        ("OPTIONS * HTTP/1.1\r\nHost: d\r\n\r\n".to_owned(), 400),
        (format!("OPTIONS {list} HTTP/1.1\r\nHost: d\r\n\r\n"), 404),
        ("CONNECT d:80 HTTP/1.1\r\nHost: d\r\n\r\n".to_owned(), 400),
        (format!("CONNECT {list} HTTP/1.1\r\nHost: d\r\n\r\n"), 404),
        (format!("CONNECT http://d{list} HTTP/1.1\r\nHost: d\r\n\r\n"), 404),
        (get(&format!("/containers/json?filters={}", "\"".repeat(30_000))), 414),
        (format!("GET {list}#x HTTP/1.1\r\nHost: d\r\n\r\n"), 400),
        (format!("GET {list} HTTP/1.9\r\nHost: d\r\n\r\n"), 505),
        (
            format!(
                "POST {list} HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            400,
        ),
        (format!("POST {list} HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), 400),
        (format!("TRACE {list} HTTP/1.1\r\nHost: d\r\n\r\n"), 404),
        (format!("get {list} HTTP/1.1\r\nHost: d\r\n\r\n"), 404),
        (format!("HEAD {list} HTTP/1.1\r\nHost: d\r\n\r\n"), 404),
        (get("//containers/json"), 400),
        (get("/x/../containers/json"), 400),
        (get("/containers/%2e%2e/containers/json"), 400),
        (get("/containers/%zz/json"), 400),
        (get("/containers%2fjson"), 400),
        (get("/v1.44./containers/json"), 400),
        (get("/v01.044/containers/json"), 400),
        (get("/v1.44/v1.43/containers/json"), 404),
        (get("/containers/json/"), 404),
        (get("/Containers/json"), 404),
        (get("/libpod/containers/json"), 404),
        (get("/containers/json?all=1;x=2"), 400),
        (get("/containers/json?showsecret=%zz"), 400),
        (get("/images/json"), 403),
        (
            get("/containers/json?filters={\"label\":[\"token=a\"]}"
                .replace(['{', '}', '"', '[', ']'], "%22")
                .as_str()),
            403,
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
    ] {
        let answer = bench.ask(&request);
        assert_eq!(status(&answer), expected, "{request:?}: {answer}");
        assert!(
            expected == 404 && request.starts_with("HEAD") || answer.contains(r#"{"message":""#),
            "{request:?}: {answer}"
        );
    }
    assert_eq!(bench.daemon.requests(), [""; 0]);
}

fn a_target_reaches_the_daemon_as_the_daemon_would_read_it() {
    let bench = bench();
    for (target, expected) in [
        ("http:/containers/json", "/containers/json"),
        ("http:///containers/json?all=1", "/containers/json?all=1"),
        ("http://evil.example/containers/json", "/containers/json"),
        ("tcp://127.0.0.1:2375/v1.44/containers/json", "/containers/json"),
        ("x:/containers/json", "/containers/json"),
        (
            r#"/containers/json?filters={"name":["a|b","^c$","`d`","<e>"]}"#,
            "/containers/json?filters=%7B%22name%22:%5B%22a%7Cb%22%2C%22%5Ec%24%22%2C%22%60d%60%22%2C%22%3Ce%3E%22%5D%7D",
        ),
        (
            r#"/containers/json?filters={"name":["é漢"]}"#,
            "/containers/json?filters=%7B%22name%22:%5B%22%C3%A9%E6%BC%A2%22%5D%7D",
        ),
    ] {
        let before = bench.daemon.requests().len();
        let answer = bench.ask(get(target));
        assert_eq!(status(&answer), 200, "{target}: {answer}");
        let requests = bench.daemon.requests();
        let (_, sent) = requests[before].split_once("/v1.").unwrap();
        assert!(sent[2..].starts_with(&format!("{expected} HTTP/1.1\r\n")), "{target}: {sent}");
    }
}

/// The script of autoheal leaves the quotes and brackets of its filter as they are, and so does curl.
fn a_request_of_autoheal_reaches_the_daemon() {
    let request = "GET /containers/json?filters={\"health\":[\"unhealthy\"],\"label\":[\"autoheal=true\"]} HTTP/1.1\r\n\
                   Host: localhost\r\nUser-Agent: curl/8.9.1\r\nAccept: */*\r\n\r\n";
    let bench = Bench::with(|_| json(LIST), |config| config.listeners[0].policy = built_in::policy("autoheal"));
    let answer = bench.ask(request);
    assert_eq!(status(&answer), 200, "{answer}");
    let filters = "%7B%22health%22:%5B%22unhealthy%22%5D%2C%22label%22:%5B%22autoheal%3Dtrue%22%5D%7D";
    let expected = format!("GET /v1.51/containers/json?filters={filters} HTTP/1.1\r\nhost: docker\r\n\r\n");
    assert_eq!(bench.daemon.requests(), [expected]);
}

fn the_host_in_a_target_must_be_listed_as_well() {
    let bench = Bench::with(|_| json(LIST), |config| config.listeners[0].hosts = vec!["dockveil".into()]);
    let ask = |target: &str, fields: &str| {
        let version = if fields.is_empty() { "1.0" } else { "1.1" };
        status(&bench.ask(format!("GET {target} HTTP/{version}\r\n{fields}\r\n")))
    };
    let (listed, evil) = ("Host: dockveil\r\n", "Host: evil\r\n");
    for (target, fields, expected) in [
        ("http://dockveil:80/_ping", listed, 200),
        ("http://DOCKVEIL/_ping", listed, 200),
        ("http:/_ping", listed, 200),
        ("http:///_ping", listed, 200),
        ("http:/_ping", "", 200),
        ("http://dockveil/_ping", "", 200),
        // One of the two is not enough.
        ("http://evil/_ping", listed, 403),
        ("http://dockveil/_ping", evil, 403),
        ("http:/_ping", evil, 403),
        ("http:///_ping", evil, 403),
        ("http://evil/_ping", "", 403),
        ("http://dockveil@evil/_ping", listed, 400),
        ("http://dockveil:80@evil/_ping", listed, 400),
        ("http://evil\\@dockveil/_ping", listed, 400),
        ("http://dockveil.evil/_ping", listed, 403),
    ] {
        assert_eq!(ask(target, fields), expected, "{target} {fields:?}");
    }
}

fn a_head_that_the_limit_allows_is_read_whatever_its_size() {
    let bench = Bench::with(|_| json(LIST), |config| config.limits.head = ByteLimit::new(2 << 20));
    let field = "a".repeat(1 << 20);
    assert_eq!(status(&bench.ask(format!("GET /_ping HTTP/1.1\r\nHost: d\r\nA: {field}\r\n\r\n"))), 200);
    let many = "A: b\r\n".repeat(99);
    assert_eq!(status(&bench.ask(format!("GET /_ping HTTP/1.1\r\nHost: d\r\n{many}\r\n"))), 200);
    for length in [66_000, 1 << 20] {
        let answer = bench.ask(get(&format!("/_ping?{}", "a".repeat(length))));
        assert!(status(&answer) == 414 && answer.contains("target is too long"), "{answer}");
    }
}

fn a_body_that_breaks_is_answered_once() {
    let bench = bench();
    let head = "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n";
    for body in
        ["Transfer-Encoding: chunked\r\n\r\nzz\r\n", "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n"]
    {
        let answer = bench.ask(format!("{head}{body}"));
        assert!(status(&answer) == 400 && answer.matches("HTTP/1.1 ").count() == 1, "{answer}");
        assert!(answer.contains(r#"{"message":""#), "{answer}");
    }
}

fn a_denied_request_with_a_bad_body_is_denied() {
    let bench = bench();
    let post = |target: &str, kind: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: d\r\nContent-Type: {kind}\r\nContent-Length: 2\r\n\r\n{{}}")
    };
    for (request, expected) in [
        (post("/containers/web/stop", "application/json"), 403),
        (post("/containers/web/stop", "multipart/form-data"), 403),
        (post("/containers/web/start", "multipart/form-data"), 400),
        (post("/containers/create", "application/x-www-form-urlencoded"), 400),
        (post("/containers/create", "text/plain"), 400),
        (post("/containers/create", "multipart/form-data; boundary=a"), 400),
    ] {
        assert_eq!(status(&bench.ask(&request)), expected, "{request:?}");
    }
    assert_eq!(bench.daemon.requests(), [""; 0]);
}

fn a_client_that_is_still_writing_reads_why_it_is_denied() {
    // A socket holds only a part of this, so the client cannot write all of it before the program reads.
    let body = "x".repeat(1 << 20);
    let head = format!(
        "POST /containers/web/stop HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let bench = bench();
    let mut client = bench.client();
    client.send(&head);
    client.send(body);
    assert_eq!(status(&client.response()), 403);
    client.send(get("/_ping"));
    assert_eq!(status(&client.response()), 200, "the connection can be used after that");

    // A body that does not arrive is not waited for.
    let mut silent = bench.client();
    silent.send(head);
    assert_eq!(status(&silent.response()), 403);
}

fn requests_that_are_sent_at_once_are_answered_in_turn() {
    let bench = bench();
    let answers = bench.ask(format!("{}{}{}", get("/_ping"), get("/containers/json"), get("/_ping")));
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
    assert_eq!(bench.daemon.requests().len(), 1);
}

fn a_bad_request_after_a_good_one_ends_the_connection() {
    let bench = bench();
    let answers = bench.ask(format!("{}GET /containers/json HTTP/1.1\nHost: d\n\n{}", get("/_ping"), get("/_ping")));
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 1, "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 400 ").count(), 1, "{answers}");
}

fn a_malformed_request_is_told_what_is_wrong_with_it() {
    let bench = bench();
    let control = "malformed request header field: its value has a control character";
    let length = "malformed request: the length of the body is ambiguous or not a number";
    for (fields, expected, text) in [
        ("User-Agent: a\x1b[0m\r\n".to_owned(), 400, control),
        ("A: b\0c\r\n".to_owned(), 400, control),
        ("A: b\x7fc\r\n".to_owned(), 400, control),
        ("A: b\rc\r\n".to_owned(), 400, control),
        ("A: b\n".to_owned(), 400, "malformed request: every line of the head must end in CR LF"),
        ("A b\r\n".to_owned(), 400, "malformed request header field"),
        ("Content-Length: x\r\n".to_owned(), 400, length),
        ("Content-Length: 1\r\nContent-Length: 1\r\n".to_owned(), 400, length),
        ("A: b\r\n".repeat(100), 431, "too many request header fields: more than 100"),
    ] {
        let answer = bench.ask(format!("GET /_ping HTTP/1.1\r\nHost: d\r\n{fields}\r\n"));
        let message = format!("{{\"message\":\"{text}\"}}");
        assert!(status(&answer) == expected && answer.contains(&message), "{fields:?}: {answer}");
    }
}

fn headers_of_32_kb_pass_and_2_mb_do_not() {
    // The tests run with the default limit.
    assert_eq!(Limits::default().head, ByteLimit::new(80 << 10));
    let bench = bench();
    let with = |length: usize| format!("GET /_ping HTTP/1.1\r\nHost: d\r\nA: {}\r\n\r\n", "a".repeat(length));
    assert_eq!(status(&bench.ask(with(32 << 10))), 200);
    let refused = bench.ask(with(2 << 20));
    assert_eq!(status(&refused), 431);
    assert!(
        refused.contains(r#"{"message":"request header fields too large: more than 81920 bytes (limits.head)"}"#),
        "{refused}"
    );
}

fn a_head_that_arrives_too_slowly_is_cut_off() {
    assert_eq!(Timeouts::default().head, Duration::from_secs(10));
    let bench = Bench::with(|_| json(LIST), short_timeouts);
    let mut client = bench.client();
    client.send("GET /_ping HTTP/1.1\r\nHost: ");
    // The host name goes on until there is an answer.
    client.0.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let mut first = [0];
    while client.0.read(&mut first).is_err() {
        client.send("d");
    }
    client.0.set_read_timeout(Some(PATIENCE)).unwrap();
    let refused = format!("H{}", client.rest());
    assert_eq!(status(&refused), 408);
    assert!(
        refused.contains("did not arrive in time: it took more than ") && refused.contains("(timeouts.head)"),
        "{refused}"
    );
}

fn web_pages_are_refused_unless_allowed() {
    let page = "GET /_ping HTTP/1.1\r\nHost: d\r\nOrigin: http://evil.example\r\n\r\n";
    assert_eq!(status(&bench().ask(page)), 403);
    let allowing =
        Bench::with(|_| json(LIST), |config| config.listeners[0].origins = vec!["http://evil.example".into()]);
    assert_eq!(status(&allowing.ask(page)), 200);
    let second =
        "GET /_ping HTTP/1.1\r\nHost: d\r\nOrigin: http://evil.example\r\nOrigin: http://other.example\r\n\r\n";
    assert_eq!(status(&allowing.ask(second)), 403);
}

fn what_decides_about_a_request_is_said_once() {
    let allow = |config: &mut Config| config.listeners[0].origins = vec!["http://a".into()];
    let bench = Bench::with(|_| json(LIST), allow);
    let create = "POST /images/create?fromImage=a HTTP/1.1\r\nHost: d\r\n";
    for (start, field, end) in [
        ("GET /_ping HTTP/1.1\r\nHost: d\r\n", "Origin: http://a\r\n", "\r\n"),
        ("GET /events HTTP/1.1\r\nHost: d\r\n", "Accept: application/json-seq\r\n", "\r\n"),
        (create, "X-Registry-Auth: e30=\r\n", "Content-Length: 0\r\n\r\n"),
        (create, "X-Registry-Config: e30=\r\n", "Content-Length: 0\r\n\r\n"),
    ] {
        let answer = bench.ask(format!("{start}{field}{field}{end}"));
        assert_eq!(status(&answer), 400, "{field}: {answer}");
        assert_eq!(bench.daemon.requests(), [""; 0], "{field}");
    }
    // Other fields decide nothing.
    assert_eq!(status(&bench.ask("GET /_ping HTTP/1.1\r\nHost: d\r\nCookie: a\r\nCookie: b\r\n\r\n")), 200);
}

fn only_listed_host_names_are_answered_to() {
    let bench = Bench::with(|_| json(LIST), |config| config.listeners[0].hosts = vec!["dockveil".into()]);
    let ask = |host: &str| status(&bench.ask(format!("GET /_ping HTTP/1.1\r\nHost: {host}\r\n\r\n")));
    // No web page can send an empty host.
    assert_eq!((ask("dockveil"), ask("DOCKVEIL:2375"), ask("evil.example"), ask("")), (200, 200, 403, 200));
}

fn beyond_the_limit_of_connections_the_answer_is_503() {
    let (answer, connections) = handing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    let bench = Bench::with(answer, |config| config.limits.connections = Some(2));
    let mut streams = [bench.client(), bench.client()];
    let _engine = streams.each_mut().map(|client| {
        client.send(get("/events"));
        client.read_until("\r\n\r\n");
        connections.next()
    });
    let third = bench.ask(get("/version"));
    assert!(status(&third) == 503 && third.contains("too many connections"), "{third}");
    // It is told even if it asks for nothing.
    let mut silent = bench.client();
    silent.0.shutdown(std::net::Shutdown::Write).unwrap();
    let fourth = silent.rest();
    assert!(status(&fourth) == 503 && fourth.contains("too many connections"), "{fourth}");
}
