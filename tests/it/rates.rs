//! How many requests a listener and each of its clients may send, and how many streams a listener may have open.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use dockveil::config::Config;
use dockveil::socket::Address;

use crate::callers::{ask_from, connect_from, loaded};
use crate::harness::{Test, tests};
use crate::metrics::{self, started};
use crate::reload::{Reloadable, of_listener};
use crate::support::client::{Client, get, rest, status};
use crate::support::daemon::{Daemon, Reply, handing, json};
use crate::support::proxy::{Bench, Folder};

pub(crate) const TESTS: &[Test] = tests![
    a_request_too_many_is_429_and_says_when_to_come_back,
    a_new_connection_gives_a_client_no_new_requests,
    a_client_takes_nothing_from_another_and_one_that_is_denied_takes_nothing_from_the_listener,
    pings_are_answered_whatever_else_is_sent_but_not_without_limit,
    a_line_of_clients_may_say_something_else,
    a_reload_changes_limits_and_forgets_nothing,
    a_head_that_is_refused_counts_as_a_request,
    a_body_that_is_refused_is_no_second_request,
    a_flood_of_requests_writes_one_line_and_is_counted,
    what_a_flood_left_out_is_told_after_a_minute,
    a_listener_has_no_more_streams_than_it_may_have
];

const LIST: &str = "/containers/json";
const PROFILES: &str = "profiles: [{profile: lists, allow: [Ping, ContainerList, ContainerCreate]}]\n";

/// A program with one listener at a Unix socket, or at a port of the loopback addresses, with these keys.
fn bench(is_tcp: bool, keys: &str) -> Bench {
    bench_with(is_tcp, keys, |_| {})
}

/// As [`bench`], with a change of the configuration.
fn bench_with(is_tcp: bool, keys: &str, change: impl FnOnce(&mut Config)) -> Bench {
    Bench::with(
        |_| json("[]"),
        |config| {
            let folder = Folder::new();
            let Address::Unix(socket) = config.listeners[0].address.clone() else { panic!("a Unix socket") };
            let listen = if is_tcp { "tcp://127.0.0.1:0".to_owned() } else { format!("unix://{}", socket.display()) };
            let text = format!("listeners:\n  - {{listen: \"{listen}\", hosts: [\"*\"], {keys}}}\n{PROFILES}");
            config.listeners = loaded(&folder, &text).listeners;
            change(config);
        },
    )
}

/// The status of a request over a connection that stays open.
fn ask(client: &mut Client, target: &str) -> u16 {
    client.send(get(target));
    status(&client.message(false))
}

/// How often the daemon was asked for anything but a ping.
fn asked(bench: &Bench) -> usize {
    bench.daemon.requests().iter().filter(|request| !request.contains("/_ping")).count()
}

fn a_request_too_many_is_429_and_says_when_to_come_back() {
    for (keys, whose) in [
        ("profile: lists, per_client: {requests: {rate: 1/h, burst: 3}}", "client"),
        ("profile: lists, requests: {rate: 1/h, burst: 3}", "listener"),
    ] {
        let bench = bench(false, keys);
        let mut client = bench.client();
        assert_eq!([0; 3].map(|_| ask(&mut client, LIST)), [200; 3]);
        // Every request is refused, allowed or not, with a body or not, and the connection goes on.
        let create = "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"Image\":\"web\"}";
        for request in [get(LIST), get("/info"), get("/nothing"), create.to_owned()] {
            client.send(&request);
            let answer = client.message(false);
            assert_eq!(status(&answer), 429, "{request}: {answer}");
            let wait = answer.split_once("retry-after: ").unwrap().1.split_once("\r\n").unwrap().0;
            assert!((3590..=3600).contains(&wait.parse::<u64>().unwrap()), "{answer}");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.contains("content-type: application/json") && !head.contains("connection: close"), "{head}");
            let said = format!("too many requests: 1/h and 3 at once are the limit of this {whose} (requests)");
            assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["message"], said);
        }
        client.send(format!("HEAD {LIST} HTTP/1.1\r\nHost: d\r\n\r\n"));
        assert_eq!(status(&client.message(true)), 429);
        assert_eq!(asked(&bench), 3, "{:?}", bench.daemon.requests());
    }
}

fn a_new_connection_gives_a_client_no_new_requests() {
    let bench = bench(false, "profile: lists, per_client: {requests: 5/h}");
    let statuses: Vec<u16> = (0..40).map(|_| status(&bench.ask(get(LIST)))).collect();
    assert_eq!((&statuses[..5], &statuses[5..]), (&[200; 5][..], &[429; 35][..]));
}

fn a_client_takes_nothing_from_another_and_one_that_is_denied_takes_nothing_from_the_listener() {
    let bench =
        bench(true, "requests: 6/h, per_client: {requests: 4/h}, clients: [{address: 127.0.0.0/29, profile: lists}]");
    let Address::Tcp { port, .. } = bench.addresses()[0] else { panic!("no port") };
    let server = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
    let statuses = |source: &str| [0; 6].map(|_| status(&ask_from(source, server, LIST)));
    // No line names these. Each has its own requests, too: four of them are denied, and further ones not even looked at.
    for source in ["127.0.0.8", "127.0.0.9", "127.0.0.10"] {
        assert_eq!(statuses(source), [403, 403, 403, 403, 429, 429]);
    }
    assert_eq!(statuses("127.0.0.2"), [200, 200, 200, 200, 429, 429]);
    // What the client was refused has taken nothing from the listener.
    assert_eq!(statuses("127.0.0.3"), [200, 200, 429, 429, 429, 429]);
}

fn pings_are_answered_whatever_else_is_sent_but_not_without_limit() {
    let bench = bench(false, "profile: lists, requests: 4/h, per_client: {requests: 3/h}");
    let mut client = bench.client();
    let lists = [0; 5].map(|_| ask(&mut client, LIST));
    assert_eq!(lists, [200, 200, 200, 429, 429]);
    let pings = ["/_ping", "/v1.44/_ping", "/_ping", "/v1.44/_ping"].map(|target| ask(&mut client, target));
    assert_eq!(pings, [200, 200, 200, 429]);
}

fn a_line_of_clients_may_say_something_else() {
    let uid = rustix::process::getuid().as_raw();
    let lists = |keys: &str| {
        let bench = bench(false, keys);
        let mut client = bench.client();
        [0; 5].map(|_| ask(&mut client, LIST)).iter().filter(|status| **status == 200).count()
    };
    let clients = |limit: &str| format!("clients: [{{uid: {uid}, profile: lists{limit}}}]");
    assert_eq!(lists(&clients(", requests: 2/h")), 2);
    assert_eq!(lists(&format!("per_client: {{requests: 3/h}}, {}", clients(", requests: 2/h"))), 2);
    assert_eq!(lists(&format!("per_client: {{requests: 3/h}}, {}", clients(""))), 3);
    assert_eq!(lists(&format!("per_client: {{requests: 3/h}}, {}", clients(", requests: 1000/s"))), 5);
}

fn a_reload_changes_limits_and_forgets_nothing() {
    let uid = rustix::process::getuid().as_raw();
    let line = |uid: u32, limit: &str| format!("{{uid: {uid}, profile: lists, requests: {limit}}}");
    let clients = |lines: &[String]| of_listener(&format!("requests: 100/h, clients: [{}]", lines.join(", ")));
    let bench = Reloadable::start(&clients(&[line(uid, "2/h")]));
    let mut client = bench.client();
    let passed = |client: &mut Client| (0..10).take_while(|_| ask(client, LIST) == 200).count();
    assert_eq!(passed(&mut client), 2);
    for (lines, expected) in [
        (vec![line(uid, "2/h")], 0),
        (vec![line(uid, "5/h")], 3),
        // Before another line, and with fewer requests than were sent.
        (vec![line(uid + 1, "7/h"), line(uid, "3/h")], 0),
        (vec![line(uid, "4/h")], 1),
        (vec![line(uid, "{rate: 1000000/s, burst: 10}")], 10),
    ] {
        assert!(bench.reload(&clients(&lines)).contains("configuration reloaded"));
        assert_eq!(passed(&mut client), expected, "{lines:?}");
        if expected < 10 {
            assert_eq!(passed(&mut bench.client()), 0, "{lines:?}");
        }
    }
    // A head that is refused has the limits of now, too.
    let mut open = bench.client();
    assert_eq!(ask(&mut open, "/_ping"), 200);
    assert!(bench.reload(&clients(&[line(uid, "1/h")])).contains("configuration reloaded"));
    open.send("BAD\r\n\r\n");
    assert_eq!(status(&open.rest()), 429);
    // Those of the listener: 16 of this client have been served.
    let of_all = |limit: &str| of_listener(&format!("requests: {limit}, profile: lists"));
    for (limit, expected) in [("100/h", 10), ("27/h", 1), ("28/h", 1), ("1/h", 0)] {
        assert!(bench.reload(&of_all(limit)).contains("configuration reloaded"));
        assert_eq!(passed(&mut client), expected, "{limit}");
    }
}

/// Heads that are refused before they are requests, with their statuses.
fn refused_heads() -> Vec<(String, u16)> {
    let head = |line: &str, fields: &str| format!("{line}\r\nHost: d\r\n{fields}\r\n");
    let line = "GET /containers/json HTTP/1.1";
    vec![
        ("BAD\r\n\r\n".to_owned(), 400),
        (format!("{line}\n\n"), 400),
        (head(line, "Host: e\r\n"), 400),
        (head(line, "a b: c\r\n"), 400),
        (head(line, "Content-Length: 1\r\nContent-Length: 1\r\n"), 400),
        (head(line, "Transfer-Encoding: chunked\r\n") + "x\r\n", 400),
        (head("GET nothing HTTP/1.1", ""), 400),
        // It ends in the middle, and the rest does not come.
        (line.to_owned(), 408),
        (head(&format!("GET /{} HTTP/1.1", "a".repeat(66_000)), ""), 414),
        (head(line, "Expect: a\r\n"), 417),
        (head(line, &"a: b\r\n".repeat(101)), 431),
        (head(line, &format!("a: {}\r\n", "b".repeat(90_000))), 431),
        (head(line, "Transfer-Encoding: gzip\r\n"), 501),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
    ]
}

fn a_head_that_is_refused_counts_as_a_request() {
    for (keys, whose) in [
        ("profile: lists, per_client: {requests: {rate: 1/h, burst: 2}}", "client"),
        ("profile: lists, requests: {rate: 1/h, burst: 2}", "listener"),
    ] {
        for (head, expected) in refused_heads() {
            let bench = bench_with(false, keys, |config| config.timeouts.head = Duration::from_millis(20));
            let refused = || {
                let mut client = bench.client();
                client.send(&head);
                client.rest()
            };
            assert_eq!([0; 2].map(|_| status(&refused())), [expected; 2], "{head:.60}");
            let answer = refused();
            assert_eq!(status(&answer), 429, "{head:.60}: {answer}");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let wait = head.split_once("Retry-After: ").unwrap().1.split_once("\r\n").unwrap().0;
            assert!(
                (3590..=3600).contains(&wait.parse::<u64>().unwrap()) && head.contains("Connection: close"),
                "{head}"
            );
            let said = format!("too many requests: 1/h and 2 at once are the limit of this {whose} (requests)");
            assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["message"], said);
            // What can be read has the same limit, and pings have their own.
            assert_eq!((status(&bench.ask(get(LIST))), status(&bench.ask(get("/_ping")))), (429, 200));
        }
        // The other way round, and on one connection.
        let bench = bench(false, keys);
        let mut client = bench.client();
        assert_eq!([0; 2].map(|_| ask(&mut client, LIST)), [200; 2]);
        client.send("BAD\r\n\r\n");
        assert_eq!(status(&client.rest()), 429);
    }
    // Who is denied takes nothing from the listener.
    let bench = bench(true, "requests: 2/h, clients: [{address: 127.0.0.0/29, profile: lists}]");
    let Address::Tcp { port, .. } = bench.addresses()[0] else { panic!("no port") };
    let server = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
    for _ in 0..4 {
        let mut client = connect_from("127.0.0.8", server);
        client.write_all(b"BAD\r\n\r\n").unwrap();
        assert_eq!(status(&rest(&mut client)), 400);
    }
    assert_eq!(status(&ask_from("127.0.0.2", server, LIST)), 200);
}

fn a_body_that_is_refused_is_no_second_request() {
    let bench = bench(false, "profile: lists, requests: 2/h");
    let mut client = bench.client();
    client.send(format!("GET {LIST} HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n"));
    // The request is under way.
    std::thread::sleep(Duration::from_millis(100));
    client.send("aa");
    assert_ne!(status(&client.rest()), 429);
    assert_eq!([0; 2].map(|_| status(&bench.ask(get(LIST)))), [200, 429]);
}

fn a_flood_of_requests_writes_one_line_and_is_counted() {
    const CANARY: &str = "canary-secret";
    let list = get(&format!("/v1.44/containers/json?all={CANARY}"));
    let body = format!("{{\"Image\":\"{CANARY}\",\"Tty\":true}}");
    let create = format!(
        "POST /containers/create?name={CANARY} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nX-Registry-Auth: {CANARY}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let kept = [list, create, get("/nothing"), get("/events")].concat();
    // What is sent over each connection, how many answers there are, how many connections there are, and the status of those within
    // the rate.
    for (sent, answers, connections, within) in [
        ("BAD\r\n\r\n", 1, 40, 400),
        ("GET / HTTP/1.1\r\n\r\n", 1, 40, 400),
        ("PRI * HTTP/2.0\r\n\r\n", 1, 40, 505),
        (&get("/v1.44/nothing"), 1, 500, 404),
        (&get("/_ping"), 1, 40, 200),
        (&kept.repeat(250), 1000, 5, 0),
    ] {
        let folder = Folder::new();
        let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
        let audit = folder.path("audit.jsonl");
        let [engine, listener, metrics] =
            ["engine", "listener", "metrics"].map(|name| format!("unix://{}", folder.path(name).display()));
        let program = started(
            &folder,
            &format!(
                "upstream: {engine}\nlisteners: [{{listen: {listener}, requests: {{rate: 1/h, burst: 2}}}}]\nmetrics: {metrics}\n\
                 audit: {{file: {}}}\n",
                audit.display()
            ),
        );
        program.listening();
        let mut too_many = 0;
        for _ in 0..connections {
            let mut client = Client::connect_when_listening(&folder.path("listener"));
            client.send(sent);
            too_many += (0..answers).filter(|_| status(&client.message(false)) == 429).count();
        }
        assert_eq!(too_many, answers * connections - 2, "{sent:.40}");
        let counted = || {
            let (_, told) = metrics::ask(&folder.path("metrics"), "/metrics");
            let refused = told
                .lines()
                .filter(|line| line.starts_with("dockveil_exchanges_total{") && line.contains("status=\"429\""));
            refused.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum::<usize>()
        };
        let deadline = std::time::Instant::now() + crate::support::client::PATIENCE;
        while counted() != too_many {
            assert!(std::time::Instant::now() < deadline, "{sent:.40}: {} of {too_many}", counted());
        }
        let (_, lines) = program.stop();
        let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
        let exchanges = lines.iter().filter(|line| line.contains("msg=exchange") || line.contains("msg=\"exchange"));
        let told = lines.join("\n");
        // A ping that is answered has a line at `debug`.
        assert_eq!((exchanges.count(), count("status=429"), count("too many requests")), (3, 1, 1), "{told}");
        assert!(within == 0 || count(&format!("status={within}")) == 2, "{told}");
        let records = std::fs::read_to_string(&audit).unwrap();
        assert_eq!((records.lines().count(), records.matches("\"status\":429").count()), (3, 1), "{records}");
        assert!(!told.contains(CANARY) && !records.contains(CANARY), "{told}\n{records}");
    }
}

/// It takes a minute, and waits nearly all the time.
fn what_a_flood_left_out_is_told_after_a_minute() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let audit = folder.path("audit.jsonl");
    let [engine, listener] = ["engine", "listener"].map(|name| format!("unix://{}", folder.path(name).display()));
    let program = started(
        &folder,
        &format!(
            "upstream: {engine}\nlisteners: [{{listen: {listener}, per_client: {{requests: {{rate: 1/h, burst: 1}}}}}}]\n\
             audit: {{file: {}}}\n",
            audit.display()
        ),
    );
    program.listening();
    let mut client = Client::connect_when_listening(&folder.path("listener"));
    let statuses: Vec<u16> = (0..12).map(|_| ask(&mut client, LIST)).collect();
    assert_eq!((statuses[0], &statuses[1..]), (200, &[429; 11][..]));
    drop(client);
    std::thread::sleep(Duration::from_secs(60));
    let told = program.line_with("so many more have no line");
    assert!(told.contains("suppressed=10") && told.contains("client=") && told.contains("level=warn"), "{told}");
    let mut client = Client::connect_when_listening(&folder.path("listener"));
    assert_eq!([0; 3].map(|_| ask(&mut client, LIST)), [429; 3]);
    let (_, lines) = program.stop();
    assert_eq!(lines.iter().filter(|line| line.contains("status=429")).count(), 1, "{lines:#?}");
    let records = std::fs::read_to_string(&audit).unwrap();
    let suppressed: Vec<u64> = records
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["suppressed"].as_u64().unwrap_or_default())
        .collect();
    // Of the request that was served, of the first one too many, and of the first one after a minute.
    assert_eq!(suppressed, [0, 0, 10], "{records}");
}

fn a_listener_has_no_more_streams_than_it_may_have() {
    let (open, connections) =
        handing("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    let connections = std::sync::Mutex::new(connections);
    let answer = move |request: &str| -> Reply {
        // The connections are kept until the daemon is gone.
        let _kept = &connections;
        if request.contains("/events") { open(request) } else { json("[]") }
    };
    let bench = Bench::with(answer, |config| config.listeners[0].limits.streams = Some(2));
    let stream = || {
        let mut client = bench.client();
        client.send(get("/events"));
        let head = client.read_until("\r\n\r\n");
        (client, head)
    };
    let held = [stream(), stream()];
    assert_eq!(held.each_ref().map(|(_, head)| status(head)), [200, 200]);
    let (mut third, head) = stream();
    let body = third.rest();
    assert!(status(&head) == 503 && head.contains("Retry-After: 1\r\n"), "{head}");
    assert!(body.contains("too many streams: 2 in use, the limit of this listener (streams)"), "{body}");
    assert_eq!(ask(&mut bench.client(), LIST), 200, "it is no stream");
    drop(held);
    let deadline = std::time::Instant::now() + crate::support::client::PATIENCE;
    while status(&stream().1) != 200 {
        assert!(std::time::Instant::now() < deadline, "streams that have ended count");
    }
}
