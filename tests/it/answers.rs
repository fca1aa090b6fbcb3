//! Answers of the daemon, and what the client gets of them.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Test, tests};
use crate::support::client::{PATIENCE, body, closing_get, get, read_until, status};
use crate::support::daemon::{Daemon, Reply, handing, json, with_status};
use crate::support::proxy::{Bench, policy_of, short_timeouts};

pub(crate) const TESTS: &[Test] = tests![
    a_list_is_filtered_with_any_status_of_success,
    an_answer_without_a_media_type_is_filtered_or_withheld,
    the_line_feed_after_a_document_stays,
    what_cannot_be_filtered_is_withheld,
    what_is_shown_in_full_is_passed_as_it_comes,
    what_is_shown_in_full_has_an_end_and_a_time_limit,
    the_first_element_is_sent_before_the_last_one_arrives,
    the_daemon_is_left_when_a_client_leaves_in_the_middle_of_a_list,
    the_answer_is_503_until_the_daemon_is_back,
    after_a_restart_of_the_daemon_requests_without_a_version_get_its_new_version,
    if_the_daemon_does_not_answer_in_time_the_answer_is_504,
    connections_to_the_daemon_are_reused,
    a_write_that_the_daemon_may_have_received_is_not_sent_again,
    endless_interim_answers_are_refused,
    a_read_that_makes_the_daemon_close_is_sent_twice_at_most,
    a_read_of_which_a_byte_was_answered_is_not_sent_again,
    a_read_never_fails_because_the_daemon_closes_an_idle_connection,
    a_daemon_whose_queue_is_full_is_tried_again,
    a_daemon_whose_queue_stays_full_is_given_up_in_time,
    eight_documents_of_3_mb_are_filtered_at_once
];

const ELEMENT: &str = r#"{"Id":"1","Command":"canary-command","State":"running"}"#;

/// An answer of which the head and the body are given as they are.
fn raw(head: &str, body: &str) -> Reply {
    Reply::Close(format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes())
}

/// Demands that a list is answered with this status and an error message, and that no canary comes out.
#[track_caller]
fn check_withheld(answer: impl Fn(&str) -> Reply + Send + Sync + 'static, expected: u16) {
    let bench = Bench::start(answer);
    let answer = bench.ask(get("/containers/json"));
    assert_eq!(status(&answer), expected, "{answer}");
    assert!(!answer.contains("canary"), "{answer}");
    assert!(answer.contains(r#"{"message":""#), "{answer}");
}

fn a_list_is_filtered_with_any_status_of_success() {
    for status_line in ["200 OK", "203 Non-Authoritative Information"] {
        let bench = Bench::start(move |_| with_status(status_line, &format!("[{ELEMENT}]")));
        let answer = bench.ask(get("/containers/json"));
        assert_eq!(body(&answer).0, r#"[{"Id":"1","Command":"","State":"running"}]"#, "{answer}");
    }
}

fn an_answer_without_a_media_type_is_filtered_or_withheld() {
    let bench = Bench::start(|_| raw("200 OK", &format!("[{ELEMENT}]")));
    let answer = bench.ask(get("/containers/json"));
    assert_eq!(body(&answer).0, r#"[{"Id":"1","Command":"","State":"running"}]"#, "{answer}");
    assert!(answer.contains("content-type: application/json"), "{answer}");
    check_withheld(|_| raw("200 OK", "canary"), 502);
    check_withheld(|_| raw("200 OK", "[canary]"), 502);
    check_withheld(|_| raw("200 OK", ""), 502);
}

fn the_line_feed_after_a_document_stays() {
    let bench = Bench::start(|request| {
        json(if request.contains("/containers/json") { "[{\"Id\":\"1\"}]\n" } else { "{\"Id\":\"1\"}\n" })
    });
    let list = bench.ask(get("/containers/json"));
    assert_eq!(body(&list).0, "[{\"Id\":\"1\"}]\n", "{list:?}");
    assert!(bench.ask(get("/containers/a/json")).ends_with("{\"Id\":\"1\"}\n"));
}

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

/// A profile that hides nothing.
const OPEN: &str = "profile: test\nallow: [ContainerList, ContainerInspect, SystemVersion]\nshow: all\n";

/// Bytes that a filter would refuse or write in another way.
const UNFILTERABLE: &str = "{ \"Id\" : \"1\", \"Id\" : \"2\",\t\"n\": 1.0e0, \"?\": [tru";

fn what_is_shown_in_full_is_passed_as_it_comes() {
    let long = format!("{UNFILTERABLE}{}", "x".repeat(3 << 20));
    let text = long.clone();
    let bench = Bench::profiled(OPEN, move |request| {
        match request.split([' ', '?']).nth(1).unwrap_or_default() {
        "/v1.51/containers/long/json" => json(&text),
        "/v1.51/containers/json" => Reply::Close(
            format!(
                "HTTP/1.1 203 X\r\nContent-Type: application/json; charset=utf-8\r\nServer: s\r\nTransfer-Encoding: chunked\r\n\r\n\
                 {:x}\r\n{UNFILTERABLE}\r\n3\r\nend\r\n0\r\n\r\n",
                UNFILTERABLE.len()
            )
            .into_bytes(),
        ),
        "/v1.51/containers/text/json" => raw("200 OK\r\nContent-Type: text/html\r\nContent-Length: 2", "{}"),
        "/v1.51/containers/none/json" => with_status("404 Not Found", r#"{"message":"No such container: none"}"#),
        "/v1.51/containers/partial/json" => with_status("206 Partial Content", "{}"),
        _ => json(UNFILTERABLE),
    }
    });
    let inspect = bench.ask(get("/containers/web/json"));
    assert_eq!(body(&inspect), (UNFILTERABLE.to_owned(), true), "{inspect}");
    assert!(inspect.contains(&format!("content-length: {}\r\n", UNFILTERABLE.len())), "{inspect}");
    assert!(inspect.contains("content-type: application/json\r\n"), "{inspect}");
    // Longer than any document that is filtered.
    assert_eq!(body(&bench.ask(get("/containers/long/json"))), (long, true));
    let list = bench.ask(get("/containers/json"));
    assert_eq!((status(&list), body(&list)), (203, (format!("{UNFILTERABLE}end"), true)), "{list}");
    assert!(list.contains("content-type: application/json\r\n") && !list.contains("server: s"), "{list}");
    // What is checked of every answer is checked of these.
    for (name, expected) in [("text", 502), ("none", 404), ("partial", 502)] {
        assert_eq!(status(&bench.ask(get(&format!("/containers/{name}/json")))), expected, "{name}");
    }
    // Something in it is not the engine's: the versions.
    assert_eq!(status(&bench.ask(get("/version"))), 502);
    // As soon as anything is hidden, the same bytes are withheld.
    let hiding = ["rules: [{on: ContainerSummary, remove: $.Command}]\n", "mask-values: true\n"];
    let profiles = hiding.map(|key| format!("{OPEN}{key}"));
    for profile in profiles.into_iter().chain([OPEN.replace("show: all", "show: [state]")]) {
        let bench = Bench::profiled(&profile, |_| json(&format!("[{UNFILTERABLE}")));
        assert_eq!(status(&bench.ask(get("/containers/json"))), 502, "{profile}");
    }
}

fn what_is_shown_in_full_has_an_end_and_a_time_limit() {
    // Without a length, an end could not be told from a cut: the document is read whole, and must be one.
    let bench = Bench::profiled(OPEN, |request| {
        raw("200 OK\r\nContent-Type: application/json", if request.contains("/web/") { "{}" } else { UNFILTERABLE })
    });
    assert_eq!(body(&bench.ask(get("/containers/web/json"))), ("{}".to_owned(), true));
    assert_eq!(status(&bench.ask(get("/containers/other/json"))), 502);
    let chunked = |body: &str| {
        Reply::Close(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n{body}").into_bytes())
    };
    // HTTP/1.0 has no chunks.
    let bench =
        Bench::profiled(OPEN, move |request| chunked(if request.contains("/web/") { "0\r\n\r\n" } else { "5\r\n" }));
    let old = bench.ask("GET /containers/web/json HTTP/1.0\r\n\r\n");
    assert!(old.to_ascii_lowercase().contains("content-length: 2\r\n") && old.ends_with("{}"), "{old}");
    // If the cut comes with the head, nothing may have been sent.
    let is_cut = |answer: &str| answer.is_empty() || body(answer) == ("{}".to_owned(), false);
    let cut = bench.ask(get("/containers/other/json"));
    assert!(is_cut(&cut), "{cut}");
    // The daemon falls silent in the middle.
    let (answer, _connections) = handing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n");
    let bench = Bench::with(answer, |config| {
        short_timeouts(config);
        config.listeners[0].policy = policy_of(OPEN);
    });
    let silent = bench.ask(get("/containers/web/json"));
    assert!(is_cut(&silent), "{silent}");
}

fn the_first_element_is_sent_before_the_last_one_arrives() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (answer, connections) = handing(&format!("{head}{:x}\r\n[{ELEMENT},\r\n", ELEMENT.len() + 2));
    let bench = Bench::start(answer);
    let mut client = bench.client();
    client.send(get("/containers/json"));
    client.read_until(r#""State":"running"}"#);
    connections.next().write_all(format!("{:x}\r\n{ELEMENT}]\r\n0\r\n\r\n", ELEMENT.len() + 1).as_bytes()).unwrap();
    assert!(client.read_until("0\r\n\r\n").contains(r#""State":"running"}"#));
}

fn the_daemon_is_left_when_a_client_leaves_in_the_middle_of_a_list() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n";
    let (answer, connections) = handing(head);
    let bench = Bench::start(answer);
    let mut client = bench.client();
    client.send(get("/containers/json"));
    let mut daemon = connections.next();
    let element = format!("{:x}\r\n{ELEMENT},\r\n", ELEMENT.len() + 1);
    daemon.write_all(element.as_bytes()).unwrap();
    client.read_until(r#""State":"running"}"#);
    drop(client);
    // Were it not left, this would not end.
    while daemon.write_all(element.as_bytes()).is_ok() {}
}

fn the_answer_is_503_until_the_daemon_is_back() {
    let mut bench = Bench::start(|_| json("[]"));
    assert_eq!(status(&bench.ask(get("/containers/json"))), 200);
    bench.daemon.stop();
    let answer = bench.ask(get("/containers/json"));
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("docker daemon unavailable"));
    bench.daemon = Daemon::start(&bench.folder.path("engine"), |_| json("[]"));
    assert_eq!(status(&bench.ask(get("/containers/json"))), 200);
}

fn after_a_restart_of_the_daemon_requests_without_a_version_get_its_new_version() {
    let mut bench = Bench::start(|_| json("[]"));
    assert_eq!(status(&bench.ask(get("/containers/json"))), 200);
    assert!(bench.daemon.requests()[0].starts_with("GET /v1.51/"));
    bench.daemon.stop();
    assert_eq!(status(&bench.ask(get("/events"))), 503);
    let answer = |_: &str| raw("200 OK\r\nContent-Type: application/json\r\nApi-Version: 1.44", "[]");
    bench.daemon = Daemon::speaking(&bench.folder.path("engine"), 44, answer);
    // An answer from before the restart may still arrive and teach the old version; the first new answer corrects it.
    assert_eq!(status(&bench.ask(get("/containers/json"))), 200);
    assert_eq!(status(&bench.ask(get("/containers/json"))), 200);
    let requests = bench.daemon.requests();
    assert!(requests.last().unwrap().starts_with("GET /v1.44/"), "{requests:?}");
    assert_eq!(status(&bench.ask(get("/v1.45/containers/json"))), 400);
}

fn if_the_daemon_does_not_answer_in_time_the_answer_is_504() {
    // The connections stay open, and nothing is sent on them.
    let (answer, _connections) = handing("");
    let bench = Bench::with(answer, short_timeouts);
    let late = bench.ask(get("/containers/json"));
    assert_eq!(status(&late), 504);
    assert!(late.contains(r#"{"message":"docker daemon did not answer within "#), "{late}");
    let mut client = bench.client();
    client.send(get("/events"));
    assert_eq!(status(&client.rest()), 504);
}

fn connections_to_the_daemon_are_reused() {
    let bench = Bench::start(|_| json("[]"));
    let mut client = bench.client();
    for _ in 0..20 {
        client.send(get("/containers/json"));
        client.read_until("[]");
    }
    assert!(bench.daemon.connections() <= 3, "{} connections", bench.daemon.connections());
}

fn a_write_that_the_daemon_may_have_received_is_not_sent_again() {
    // The first answer keeps the connection. The daemon closes it in place of the second.
    let asked = AtomicUsize::new(0);
    let profile = "profile: test\nallow: [ContainerList, ContainerStart, ContainerDelete, PutContainerArchive]\nshow: [identity]\n";
    let bench = Bench::profiled(profile, move |request| match (asked.fetch_add(1, Ordering::Relaxed), request) {
        (0 | 2, _) => json("[]"),
        (1, _) => Reply::Close(Vec::new()),
        (_, request) if request.starts_with("GET") => json("[]"),
        _ => Reply::Close(Vec::new()),
    });
    let mut client = bench.client();
    client.send(get("/containers/json"));
    client.read_until("[]");
    client.send(get("/containers/json"));
    client.read_until("[]");
    assert_eq!(bench.daemon.requests().len(), 3, "a read is sent again");
    // Also where it may be repeated, as HTTP has it: who deletes by a name may hit another container the second time.
    for (method, target) in [
        ("POST", "/containers/web/start"),
        ("DELETE", "/containers/web?force=1"),
        ("PUT", "/containers/web/archive?path=/"),
    ] {
        let request = format!("{method} /v1.44{target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(status(&bench.ask(request)), 502, "{method}");
        let writes = bench.daemon.requests().iter().filter(|request| request.starts_with(method)).count();
        assert_eq!(writes, 1, "a write is sent once: {method}");
    }
}

/// An engine that never comes to its answer is not listened to for long, whether the answer is read, streamed, or comes while a body
/// goes up.
fn endless_interim_answers_are_refused() {
    let bench = Bench::start(|_| {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000);
        Reply::Keep(interim.into_bytes())
    });
    for request in [
        get("/containers/web/json"),
        get("/events"),
        get("/containers/web/logs?stdout=1&follow=1"),
        "POST /v1.44/containers/create HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
            .to_owned(),
    ] {
        let mut client = bench.client();
        client.send(&request);
        assert_eq!(status(&client.response()), 502, "{request}");
    }
}

/// As many connections are idle as there are clients at a time.
fn fill_the_idle_pool(bench: &Bench, count: usize) {
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| assert_eq!(status(&bench.ask(get("/containers/json"))), 200));
        }
    });
    assert!(bench.daemon.connections() >= count);
}

/// Answers lists once `count` of them have been asked for, and everything else with `answer`.
fn lists_at_once(count: usize, answer: &'static [u8]) -> impl Fn(&str) -> Reply + Send + Sync + 'static {
    let (barrier, lists) = (Barrier::new(count), AtomicUsize::new(0));
    move |request| {
        if !request.contains("/containers/json") {
            return Reply::Close(answer.into());
        }
        if lists.fetch_add(1, Ordering::Relaxed) < count {
            barrier.wait();
        }
        json("[]")
    }
}

fn a_read_that_makes_the_daemon_close_is_sent_twice_at_most() {
    let bench = Bench::start(lists_at_once(40, b""));
    fill_the_idle_pool(&bench, 40);
    for target in ["/containers/web/json", "/info", "/networks/web"] {
        let before = bench.daemon.requests().len();
        assert_eq!(status(&bench.ask(get(target))), 502, "{target}");
        let sent = bench.daemon.requests().len() - before;
        assert!((1..=2).contains(&sent), "{target} was sent {sent} times");
    }
    assert_eq!(status(&bench.ask(get("/containers/json"))), 200);
}

fn a_read_of_which_a_byte_was_answered_is_not_sent_again() {
    for start in [&b"H"[..], b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"] {
        let bench = Bench::start(lists_at_once(8, start));
        fill_the_idle_pool(&bench, 8);
        assert_eq!(status(&bench.ask(get("/containers/web/json"))), 502, "{start:?}");
        assert_eq!(bench.daemon.requests().iter().filter(|request| request.contains("/web/json")).count(), 1);
    }
}

/// The daemon closes each connection after its answer. The program may have chosen it for another read by then.
fn a_read_never_fails_because_the_daemon_closes_an_idle_connection() {
    let head = "200 OK\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nContent-Length: 2";
    let bench = Bench::start(|_| raw(head, "{}"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = bench.client();
                for _ in 0..300 {
                    client.send(get("/containers/web/json"));
                    let answer = client.response();
                    assert_eq!(status(&answer), 200, "{answer}");
                }
            });
        }
    });
}

/// A daemon that takes no connection until it is told to, and whose queue is full.
struct FullQueue {
    listener: UnixListener,
    _waiting: Vec<UnixStream>,
}

impl FullQueue {
    fn at(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        // The queue takes one more than it is said to.
        let waiting = vec![UnixStream::connect(path).unwrap()];
        Self { listener, _waiting: waiting }
    }

    /// Takes all connections, and answers each with a list, as often as it is asked.
    fn serve(self) {
        for stream in self.listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                while let Ok((_, true)) = read_until(&mut stream, "\r\n\r\n") {
                    let head = "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Type: application/json";
                    stream.write_all(format!("{head}\r\nContent-Length: 2\r\n\r\n[]").as_bytes()).unwrap();
                }
            });
        }
    }
}

fn a_daemon_whose_queue_is_full_is_tried_again() {
    let bench = Bench::start(|_| json("[]"));
    bench.daemon.stop();
    let full = FullQueue::at(&bench.daemon.path);
    let mut client = bench.client();
    client.send(closing_get("/containers/json"));
    // There is no answer while the queue is full.
    client.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let error = client.0.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    std::thread::spawn(|| full.serve());
    client.0.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(status(&client.rest()), 200);
}

fn a_daemon_whose_queue_stays_full_is_given_up_in_time() {
    let timeout = Duration::from_millis(300);
    let bench = Bench::with(|_| json("[]"), |config| config.timeouts.connect = timeout);
    bench.daemon.stop();
    let _full = FullQueue::at(&bench.daemon.path);
    let start = Instant::now();
    assert_eq!(status(&bench.ask(get("/containers/json"))), 504);
    assert!(start.elapsed() >= timeout);
}

fn eight_documents_of_3_mb_are_filtered_at_once() {
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
