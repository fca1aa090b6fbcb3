//! Streams and hijacked connections: every byte passes as it is, and nothing becomes a tunnel unless the daemon's answer proves it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use dockveil::api::OPERATIONS;

use crate::harness::{Test, tests};
use crate::support::client::{body_of, get, status, target_of};
use crate::support::daemon::{Reply, handing, json, wait_until_closed};
use crate::support::proxy::{Bench, changing, short_timeouts};
use crate::support::tunnel::UPGRADED;

pub(crate) const TESTS: &[Test] = tests![
    a_stream_passes_byte_for_byte_with_its_chunks,
    long_runs_of_data_pass_byte_for_byte,
    the_head_and_each_event_arrive_before_the_daemon_sends_more,
    a_stream_that_is_cut_short_has_no_end,
    the_connection_to_the_daemon_is_closed_when_the_client_leaves_a_stream,
    no_tunnel_without_proof,
    a_detached_exec_is_answered_with_nothing,
    a_101_without_a_request_for_it_is_no_tunnel,
    a_tunnel_passes_both_ways_and_each_way_ends_on_its_own,
    the_last_bytes_of_the_daemon_arrive_while_the_client_keeps_its_direction_open,
    the_daemon_may_end_its_direction_and_still_receive,
    attach_drops_its_body_and_exec_needs_none,
    a_silent_stream_has_no_timeout,
    a_wait_has_no_timeout,
    a_wait_is_filtered_when_it_ends,
    the_connection_to_the_daemon_is_closed_when_the_client_leaves_a_tunnel,
    the_connection_to_the_daemon_is_closed_when_the_client_leaves_before_the_answer,
    one_sample_of_stats_is_a_document,
    a_stream_needs_http_1_1,
    an_old_client_is_refused_before_the_engine_has_done_anything
];

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: canary\r\nTransfer-Encoding: chunked\r\n\r\n";
const RAW: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";

fn attach(upgrade: bool) -> String {
    let upgrade = if upgrade { "Connection: Upgrade\r\nUpgrade: tcp\r\n" } else { "" };
    format!("POST /containers/web/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\n{upgrade}\r\n")
}

fn exec(upgrade: bool) -> String {
    let upgrade = if upgrade { "Connection: Upgrade\r\nUpgrade: tcp\r\n" } else { "" };
    format!(
        "POST /exec/abc/start HTTP/1.1\r\nHost: d\r\n{upgrade}Content-Type: application/json\r\nContent-Length: 16\r\n\r\n{{\"Detach\":false}}"
    )
}

/// Reads all that a client sends until it ends its direction.
fn all_from(daemon: &mut UnixStream) -> String {
    let mut text = String::new();
    daemon.read_to_string(&mut text).unwrap();
    text
}

fn a_stream_passes_byte_for_byte_with_its_chunks() {
    let body = "3\r\nabc\r\n5\r\nd\0e\nf\r\n0\r\n\r\n";
    let bench = Bench::start(move |_| Reply::Close(format!("{CHUNKED}{body}").into_bytes()));
    let mut client = bench.client();
    client.send(get("/containers/web/logs?stdout=1&follow=1"));
    let answer = client.rest();
    assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer:?}");
    assert!(!answer.contains("canary") && answer.contains("Connection: close"), "{answer}");
    assert!(
        bench.daemon.requests()[0]
            .starts_with("GET /v1.51/containers/web/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: docker\r\n")
    );
}

/// As long as this are runs of data that are moved from one connection to the other without being read.
const LONG: usize = 300_000;

/// So many bytes of which no two parts are alike.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A body with chunks of these sizes, without its end.
fn chunks(sizes: &[usize]) -> Vec<u8> {
    let chunk = |size: &usize| [format!("{size:x}\r\n").as_bytes(), &noise(*size), b"\r\n"].concat();
    sizes.iter().flat_map(chunk).collect()
}

fn long_runs_of_data_pass_byte_for_byte() {
    let sizes = [LONG, 3, 4 * LONG, 65_535, 65_536, LONG, LONG + 1, 16, 2 * LONG];
    let length = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let logs = get("/containers/web/logs?stdout=1&follow=1");
    let end = b"0\r\n\r\n".to_vec();
    for (what, opening, head, body, expected) in [
        ("chunks", &logs, CHUNKED, [chunks(&sizes), end.clone()].concat(), None),
        ("small chunks", &logs, CHUNKED, [chunks(&[1000; 2000]), end.clone()].concat(), None),
        ("a length", &logs, &*length(5 * LONG), noise(5 * LONG), None),
        ("no length", &logs, "HTTP/1.1 200 OK\r\n\r\n", noise(5 * LONG), None),
        ("a tunnel", &attach(true), UPGRADED, noise(5 * LONG), None),
        // No byte behind the end passes, and nothing that breaks the framing or follows it.
        (
            "bytes behind the end",
            &logs,
            CHUNKED,
            [chunks(&sizes), end, noise(LONG)].concat(),
            Some(chunks(&sizes).len() + 5),
        ),
        ("bytes behind a length", &logs, &*length(3 * LONG), noise(5 * LONG), Some(3 * LONG)),
        ("a malformed chunk", &logs, CHUNKED, [chunks(&sizes), noise(LONG)].concat(), None),
        ("a chunk cut short", &logs, CHUNKED, chunks(&sizes)[..2 * LONG].to_vec(), None),
    ] {
        for pause in [Duration::ZERO, Duration::from_millis(2)] {
            let (answer, connections) = handing(head);
            let bench = Bench::start(answer);
            let mut client = bench.client();
            client.send(opening);
            client.read_until("\r\n\r\n");
            let mut daemon = connections.next();
            let sent = body.clone();
            let sending = std::thread::spawn(move || daemon.write_all(&sent));
            let mut arrived = Vec::new();
            let mut piece = vec![0; 50_000];
            // A client that is slow has no room for what has arrived.
            while let Ok(count @ 1..) = client.0.read(&mut piece) {
                arrived.extend_from_slice(&piece[..count]);
                std::thread::sleep(pause);
            }
            let _ = sending.join().unwrap();
            let expected = &body[..expected.unwrap_or(body.len())];
            if what == "a malformed chunk" {
                // Up to the last whole chunk, at most.
                assert!(expected.starts_with(&arrived) && arrived.len() <= chunks(&sizes).len(), "{what}, {pause:?}");
                assert!(arrived.len() > 2 * LONG, "{what}, {pause:?}");
            } else {
                assert_eq!(arrived.len(), expected.len(), "{what}, {pause:?}");
                assert!(arrived == expected, "{what}, {pause:?}");
            }
        }
    }
}

fn the_head_and_each_event_arrive_before_the_daemon_sends_more() {
    let (answer, connections) = handing(CHUNKED);
    let bench = Bench::start(answer);
    let mut client = bench.client();
    client.send(get("/events"));
    client.read_until("\r\n\r\n");
    let mut daemon = connections.next();
    for _ in 0..5 {
        daemon.write_all(b"3\r\n{}\n\r\n").unwrap();
        client.read_until("{}\n\r\n");
    }
}

fn a_stream_that_is_cut_short_has_no_end() {
    let bench = Bench::start(|_| Reply::Close(format!("{CHUNKED}10\r\nabc").into_bytes()));
    let mut client = bench.client();
    client.send(get("/events"));
    let answer = client.rest();
    assert!(answer.ends_with("10\r\nabc"), "{answer:?}");
}

fn the_connection_to_the_daemon_is_closed_when_the_client_leaves_a_stream() {
    let (answer, connections) = handing(CHUNKED);
    let bench = Bench::start(answer);
    for target in ["/events", "/containers/web/logs?stdout=1&follow=1", "/containers/web/stats"] {
        let mut client = bench.client();
        client.send(get(target));
        client.read_until("\r\n\r\n");
        drop(client);
        assert_eq!(all_from(&mut connections.next()), "", "{target}");
    }
}

fn no_tunnel_without_proof() {
    for refusal in [
        "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"message\":\"canary\"}",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\ncanary",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\ncanary",
        "HTTP/1.1 409 Conflict\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\ncanary",
    ] {
        for opening in [attach(true), attach(false), exec(true), exec(false)] {
            let bench = Bench::start(move |_| Reply::Keep(refusal.into()));
            let mut client = bench.client();
            client.send(format!("{opening}GET /containers/t1/json HTTP/1.1\r\nHost: d\r\n\r\n"));
            let head = client.read_until("\r\n\r\n");
            client.send("GET /containers/t2/json HTTP/1.1\r\nHost: d\r\n\r\n");
            let answer = head + &client.rest();
            assert_eq!(bench.daemon.requests().len(), 1, "{refusal:?} {opening:?}");
            assert!(!answer.contains("canary"), "{answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        }
    }
}

/// Docker answers with nothing, Podman with the end of a line.
fn a_detached_exec_is_answered_with_nothing() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=us-ascii\r\n";
    let length = |length: usize, body: &str| format!("{head}Content-Length: {length}\r\n\r\n{body}");
    let chunked = |body: &str| format!("{head}Transfer-Encoding: chunked\r\n\r\n{body}");
    for (answer, passes) in [
        (length(0, ""), true),
        (length(1, "\n"), true),
        (length(4, "\r\n \t"), true),
        (chunked("0\r\n\r\n"), true),
        (chunked("1\r\n\n\r\n0\r\n\r\n"), true),
        (length(6, "canary"), false),
        (length(7, "\ncanary"), false),
        (chunked("6\r\ncanary\r\n0\r\n\r\n"), false),
        // Blank, but too long.
        (length(100_000, &" ".repeat(100_000)), false),
        (length(usize::MAX, "\n"), false),
        // What is cut short, or malformed, or without a mark of its end.
        (length(2, "\n"), false),
        (chunked("1\r\n\n\r\n"), false),
        (chunked("canary"), false),
        (format!("{head}\r\n"), false),
    ] {
        for upgrade in [true, false] {
            let sent = answer.clone().into_bytes();
            let bench = Bench::start(move |_| Reply::Close(sent.clone()));
            let mut client = bench.client();
            client.send(exec(upgrade).replace("16\r\n\r\n{\"Detach\":false}", "15\r\n\r\n{\"Detach\":true}"));
            let text = client.rest();
            let start = &answer[..answer.len().min(150)];
            assert_eq!(status(&text), if passes { 200 } else { 502 }, "{start:?}: {text}");
            assert!(!text.contains("canary"), "{start:?}: {text}");
            assert_eq!(
                text.ends_with("\r\n\r\n") && text.contains("Content-Length: 0\r\n"),
                passes,
                "{start:?}: {text}"
            );
        }
    }
}

fn a_101_without_a_request_for_it_is_no_tunnel() {
    let bench = Bench::start(|_| Reply::Keep(UPGRADED.into()));
    assert_eq!(status(&bench.ask(attach(false))), 502);
}

fn a_tunnel_passes_both_ways_and_each_way_ends_on_its_own() {
    for (upgrade, head) in [(true, UPGRADED), (false, RAW)] {
        for opening in [attach(upgrade), exec(upgrade)] {
            let (answer, connections) = handing(&format!("{head}first\n"));
            let bench = Bench::start(answer);
            let mut client = bench.client();
            // Early bytes are held until the tunnel is open.
            client.send(format!("{opening}early "));
            let answer = client.read_until("first\n");
            assert_eq!(status(&answer), if upgrade { 101 } else { 200 });
            client.send("late");
            client.0.shutdown(Shutdown::Write).unwrap();
            let mut daemon = connections.next();
            assert_eq!(all_from(&mut daemon), "early late");
            daemon.write_all(b"answer").unwrap();
            drop(daemon);
            assert_eq!(client.rest(), "answer");
        }
    }
}

fn the_last_bytes_of_the_daemon_arrive_while_the_client_keeps_its_direction_open() {
    let bench = Bench::start(|_| Reply::Close(format!("{UPGRADED}last").into()));
    let mut client = bench.client();
    client.send(attach(true));
    assert!(client.rest().ends_with("last"));
}

fn the_daemon_may_end_its_direction_and_still_receive() {
    let (answer, connections) = handing(&format!("{UPGRADED}last"));
    let bench = Bench::start(answer);
    let mut client = bench.client();
    client.send(attach(true));
    let mut daemon = connections.next();
    daemon.shutdown(Shutdown::Write).unwrap();
    assert!(client.rest().ends_with("last"));
    client.send("sent after the end");
    client.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(all_from(&mut daemon), "sent after the end");
}

fn attach_drops_its_body_and_exec_needs_none() {
    let with = attach(true).replace("\r\n\r\n", "\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
    let without = "POST /exec/abc/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".to_owned();
    // As dockerode opens one without options.
    let chunked = attach(true).replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n");
    for opening in [with, without, chunked] {
        let (answer, connections) = handing(UPGRADED);
        let bench = Bench::start(answer);
        let mut client = bench.client();
        client.send(&opening);
        let mut daemon = connections.next();
        client.read_until("\r\n\r\n");
        client.send("late");
        client.0.shutdown(Shutdown::Write).unwrap();
        assert_eq!(all_from(&mut daemon), "late", "{opening:?}");
        drop(daemon);
        assert_eq!(client.rest(), "", "{opening:?}");
        let request = bench.daemon.requests().pop().unwrap();
        assert!(request.contains("Content-Length: 0\r\n") && request.contains("Upgrade: tcp\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\n") && !request.contains("chunked"), "{request}");
    }
}

fn a_silent_stream_has_no_timeout() {
    for (opening, head) in [(get("/events"), CHUNKED), (attach(true), UPGRADED), (attach(false), RAW)] {
        let (answer, connections) = handing(head);
        let bench = Bench::with(answer, short_timeouts);
        let mut client = bench.client();
        client.send(opening);
        client.read_until("\r\n\r\n");
        bench.outlast_idle();
        connections.next().write_all(b"4\r\nlate\r\n").unwrap();
        assert_eq!(client.rest(), "4\r\nlate\r\n");
    }
}

fn a_wait_has_no_timeout() {
    let (answer, connections) = handing("");
    let bench = Bench::with(answer, short_timeouts);
    let mut client = bench.client();
    client.send("POST /v1.24/containers/web/wait HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n");
    let mut daemon = connections.next();
    bench.outlast_idle();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n";
    daemon.write_all(format!("{head}{{\"StatusCode\":0}}").as_bytes()).unwrap();
    drop(daemon);
    assert!(client.rest().contains("{\"StatusCode\":0}\n"));
}

/// The profile shows the state, and an error text may quote anything.
fn a_wait_is_filtered_when_it_ends() {
    for (version, head) in [
        ("v1.24", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %\r\n\r\n"),
        ("v1.44", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ] {
        let body = r#"{"StatusCode":137,"Error":{"Message":"canary"},"New":"canary"}"#;
        let (answer, connections) = handing(&head.replace('%', &(body.len() + 1).to_string()));
        let bench = Bench::start(answer);
        let mut client = bench.client();
        client.send(format!("POST /{version}/containers/web/wait HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n"));
        let mut daemon = connections.next();
        // The head is there as soon as the engine waits: a client may start the container only then.
        assert!(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 200"));
        let body = format!("{body}\n");
        let sent = if version == "v1.44" { format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()) } else { body };
        daemon.write_all(sent.as_bytes()).unwrap();
        drop(daemon);
        let rest = client.rest();
        assert!(rest.contains(r#""StatusCode":137"#) && rest.ends_with("0\r\n\r\n"), "{rest}");
        assert!(!rest.contains("canary"), "{rest}");
    }
}

/// The end of one direction could be a half-close, so these tests wait until the daemon can no longer send either.
fn the_connection_to_the_daemon_is_closed_when_the_client_leaves_a_tunnel() {
    let (answer, connections) = handing(UPGRADED);
    let bench = Bench::start(answer);
    let mut client = bench.client();
    client.send(attach(true));
    client.read_until("\r\n\r\n");
    drop(client);
    wait_until_closed(connections.next());
}

fn the_connection_to_the_daemon_is_closed_when_the_client_leaves_before_the_answer() {
    let (answer, connections) = handing("");
    let bench = Bench::start(answer);
    for target in ["/events", "/containers/web/logs?stdout=1&follow=1"] {
        let mut client = bench.client();
        client.send(get(target));
        let daemon = connections.next();
        drop(client);
        wait_until_closed(daemon);
    }
}

fn one_sample_of_stats_is_a_document() {
    let bench = Bench::start(|_| json(r#"{"name":"/web","id":"1","canary":1}"#));
    let mut client = bench.client();
    client.send(get("/containers/web/stats?stream=false"));
    let answer = client.response();
    assert!(answer.ends_with(r#"{"name":"/web","id":"1"}"#), "{answer}");
}

fn a_stream_needs_http_1_1() {
    let bench = Bench::start(|_| Reply::Close(CHUNKED.into()));
    assert_eq!(status(&bench.ask("GET /events HTTP/1.0\r\n\r\n")), 505);
}

/// An answer without a length cannot be given to a client of HTTP/1.0: it could not tell its end from a cut.
fn an_old_client_is_refused_before_the_engine_has_done_anything() {
    let bench = Bench::profiled(&changing(), |_| Reply::Close(format!("{CHUNKED}2\r\n{{}}\r\n0\r\n\r\n").into_bytes()));
    let mut refused = BTreeSet::new();
    for operation in OPERATIONS.iter().filter(|operation| operation.mutating) {
        for rest in [body_of(operation), "\r\n"] {
            let before = bench.daemon.requests().len();
            let answer =
                bench.ask(format!("{} {} HTTP/1.0\r\n{rest}", operation.method.as_str(), target_of(operation)));
            if status(&answer) == 505 {
                refused.insert(operation.id);
                assert_eq!(bench.daemon.requests().len(), before, "{}: {rest:?}", operation.id);
            }
        }
    }
    assert!(
        ["ImageBuild", "ImageCreate", "ImageLoad", "ExecStart"].iter().all(|id| refused.contains(id)),
        "{refused:?}"
    );
}
