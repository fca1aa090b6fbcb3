//! Clients that leave, and clients that stop reading: nothing goes on for them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dockveil::config::{ByteLimit, Config};
use dockveil::socket::Address;

use crate::harness::{Test, tests};
use crate::support::client::{Client, PATIENCE, closing_get, get, read_until, rest, status};
use crate::support::daemon::{Daemon, Reply, handing, json, wait_until_closed};
use crate::support::program::{Program, command};
use crate::support::proxy::{Bench, Folder, policy_of, short_timeouts};

pub(crate) const TESTS: &[Test] = tests![
    the_daemon_is_left_when_a_client_leaves_before_its_document,
    the_daemon_is_left_when_a_client_leaves_in_a_silent_list_or_archive,
    a_client_over_tcp_that_leaves_is_noticed_too,
    a_client_that_has_only_ended_its_direction_is_answered,
    an_exchange_that_waits_for_a_connection_ends_with_its_client,
    a_document_that_is_not_read_is_cut_off,
    an_archive_or_progress_that_is_not_read_for_a_while_arrives_whole,
    the_log_says_which_answers_were_cut_off,
    a_stream_that_is_not_read_is_not_cut_off,
    an_exec_whose_body_the_daemon_does_not_read_is_given_up,
    an_exec_whose_body_the_daemon_does_not_read_ends_with_its_client
];

/// Longer than any test waits: what ends earlier has another reason.
fn no_timeouts(config: &mut Config) {
    let long = Duration::from_secs(600);
    (config.timeouts.response, config.timeouts.idle, config.timeouts.write) = (long, long, long);
}

fn post(target: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n")
}

fn the_daemon_is_left_when_a_client_leaves_before_its_document() {
    let (answer, connections) = handing("");
    let bench = Bench::with(answer, no_timeouts);
    for request in [get("/containers/web/json"), get("/containers/json"), get("/info"), post("/containers/web/start")] {
        let mut client = bench.client();
        client.send(&request);
        let daemon = connections.next();
        drop(client);
        wait_until_closed(daemon);
    }
}

fn the_daemon_is_left_when_a_client_leaves_in_a_silent_list_or_archive() {
    for (target, kind, start, marker) in [
        ("/containers/json", "application/json", "[{\"Id\":\"1\"},", "{\"Id\":\"1\"}"),
        ("/containers/web/export", "application/x-tar", "start", "start"),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let (answer, connections) = handing(&format!("{head}{:x}\r\n{start}\r\n", start.len()));
        let bench = Bench::with(answer, no_timeouts);
        let mut client = bench.client();
        client.send(get(target));
        client.read_until(marker);
        drop(client);
        wait_until_closed(connections.next());
    }
}

/// A connection to the second listener.
fn tcp_client(bench: &Bench) -> TcpStream {
    let Address::Tcp { port, .. } = bench.addresses()[1] else { panic!("no port") };
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn with_tcp(config: &mut Config) {
    no_timeouts(config);
    let first = &config.listeners[0];
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: 0 };
    let second = dockveil::config::Listener {
        owner: first.owner,
        ..dockveil::config::Listener::new(address, first.policy.clone())
    };
    config.listeners.push(second);
}

fn a_client_over_tcp_that_leaves_is_noticed_too() {
    let (answer, connections) = handing("");
    let bench = Bench::with(answer, with_tcp);
    let mut client = tcp_client(&bench);
    client.write_all(get("/containers/web/json").as_bytes()).unwrap();
    let daemon = connections.next();
    drop(client);
    wait_until_closed(daemon);
}

fn a_client_that_has_only_ended_its_direction_is_answered() {
    let bench = Bench::with(|_| json("[]"), with_tcp);
    for _ in 0..20 {
        assert_eq!(status(&bench.ask(get("/containers/json"))), 200);
        let mut client = tcp_client(&bench);
        client.write_all(get("/containers/json").as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(status(&rest(&mut client)), 200);
    }
    // Over a Unix socket it may take as long as it likes.
    let (answer, connections) = handing("");
    let bench = Bench::with(answer, no_timeouts);
    let mut client = bench.client();
    client.send(closing_get("/containers/json"));
    client.0.shutdown(Shutdown::Write).unwrap();
    let mut daemon = connections.next();
    // Twice the time for which such a client is looked after.
    assert!(client.0.set_read_timeout(Some(Duration::from_millis(100))).is_ok());
    assert!(std::io::Read::read(&mut client.0, &mut [0]).is_err());
    client.0.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]";
    daemon.write_all(head.as_bytes()).unwrap();
    assert_eq!(status(&client.rest()), 200);
}

fn an_exchange_that_waits_for_a_connection_ends_with_its_client() {
    let folder = Folder::new();
    let engine = UnixListener::bind(folder.path("engine")).unwrap();
    rustix::net::listen(&engine, 0).unwrap();
    let _waiting = UnixStream::connect(folder.path("engine")).unwrap();
    let program = Program::between(&folder);
    let mut client = Client::connect_when_listening(&folder.path("listener"));
    client.send(get("/containers/json"));
    // The program has read the request once it answers the next client, which needs no engine.
    let mut denied = Client::connect(&folder.path("listener"));
    denied.send(get("/nothing"));
    assert_eq!(status(&denied.response()), 404);
    drop(client);
    // The default timeouts are longer than a test waits for a line.
    while !program.line().contains("aborted by the client") {}
}

/// A document, a list and an archive, each larger than the sockets and the program hold of it.
fn large_answers() -> [(&'static str, String); 3] {
    let long = "x".repeat(8 << 20);
    [
        ("/containers/web/json", format!("{{\"Id\":\"{long}\"}}")),
        ("/containers/json", format!("[{{\"Id\":\"{long}\"}}]")),
        ("/containers/web/export", long),
    ]
}

fn a_document_that_is_not_read_is_cut_off() {
    for (target, body) in large_answers() {
        let bench = Bench::with(
            move |_| json(&body),
            |config| {
                no_timeouts(config);
                config.timeouts.write = Duration::from_millis(200);
                // That of an archive.
                if target.ends_with("/export") {
                    config.timeouts.idle = Duration::from_millis(200);
                }
                config.limits.element = ByteLimit::new(16 << 20);
            },
        );
        let mut client = bench.client();
        client.send(get(target));
        wait_until_closed(client.0);
    }
}

/// As in `docker save image | (sleep 70; cat)`, or where a terminal stops a load.
fn an_archive_or_progress_that_is_not_read_for_a_while_arrives_whole() {
    let long = "x".repeat(8 << 20);
    let progress = r#"{"stream":"x"}"#.to_owned() + &"\n".repeat(8 << 20);
    for (request, body) in [
        (get("/containers/web/export"), long),
        (
            "POST /build HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\nContent-Length: 1\r\n\r\n\0"
                .to_owned(),
            progress,
        ),
    ] {
        let length = body.len();
        let bench = Bench::with(
            move |_| json(&body),
            |config| {
                no_timeouts(config);
                config.timeouts.write = Duration::from_millis(200);
                config.listeners[0].policy =
                    policy_of("profile: test\nallow: [ContainerExport, ImageBuild]\nshow: all\n");
            },
        );
        let mut client = bench.client();
        client.send(request);
        std::thread::sleep(Duration::from_millis(800));
        let (head, _) = read_until(&mut client.0, "\r\n\r\n").unwrap();
        let mut rest = vec![0; length];
        client.0.read_exact(&mut rest).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&head)));
    }
}

fn the_log_says_which_answers_were_cut_off() {
    let folder = Folder::new();
    let next = Arc::new(Mutex::new(String::new()));
    let answer = next.clone();
    let _daemon = Daemon::start(&folder.path("engine"), move |_| json(&answer.lock().unwrap()));
    let [engine, listener, file] = ["engine", "listener", "dockveil.yaml"].map(|name| folder.path(name));
    let (engine, listener) = (engine.display(), listener.display());
    let profile = "profile: cut\nabout: For tests.\nallow: [Ping, ContainerInspect, ContainerList, ContainerExport]\nshow: \
                   [identity]\n";
    std::fs::create_dir_all(folder.path("filters/profile")).unwrap();
    std::fs::write(folder.path("filters/profile/cut.yaml"), profile).unwrap();
    let lines = "    profile: cut\nfilters: [./filters]\ntimeouts: {write: 1s, idle: 1s}\n";
    let text = format!("upstream: unix://{engine}\nlisteners:\n  - listen: unix://{listener}\n{lines}");
    std::fs::write(&file, text).unwrap();
    let program = Program::start(command(&[("DOCKVEIL_LOG", "info")], &["--config", file.to_str().unwrap()]));
    program.listening();
    let line_about = |operation: &str| {
        let is_about_it = |line: &String| line.contains(&format!(" operation={operation} "));
        std::iter::repeat_with(|| program.line()).find(is_about_it).unwrap()
    };
    let operations = ["ContainerInspect", "ContainerList", "ContainerExport"];
    for ((target, body), operation) in large_answers().into_iter().zip(operations) {
        *next.lock().unwrap() = body;
        let mut client = Client::connect(&folder.path("listener"));
        client.send(get(target));
        let line = line_about(operation);
        assert!(line.contains("exchange broken") && line.contains("the client does not read its answer"), "{line}");
        // One that is read is complete.
        let mut client = Client::connect(&folder.path("listener"));
        client.send(closing_get(target));
        assert_eq!(status(&client.rest()), 200);
        let line = line_about(operation);
        assert!(line.contains(" status=200 ") && line.contains("msg=\"exchange\""), "{line}");
    }
}

fn a_stream_that_is_not_read_is_not_cut_off() {
    let long = "x".repeat(8 << 20);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", long.len());
    let bench = Bench::with(
        move |_| Reply::Keep(format!("{head}{long}").into_bytes()),
        |config| {
            short_timeouts(config);
            config.timeouts.write = config.timeouts.idle;
        },
    );
    let mut client = bench.client();
    client.send(get("/containers/web/logs?stdout=1"));
    client.read_until("\r\n\r\n");
    bench.outlast_idle();
    assert_eq!(client.rest().len(), 8 << 20);
}

/// The start of an exec with a body of which a daemon reads the first part.
fn exec() -> String {
    let body = "x".repeat(900 << 10);
    let head = "POST /exec/abc/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n";
    format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn an_exec_whose_body_the_daemon_does_not_read_is_given_up() {
    let (answer, connections) = handing("");
    let bench = Bench::with(answer, short_timeouts);
    let mut client = bench.client();
    client.send(exec());
    let _daemon = connections.next();
    assert_eq!(status(&client.rest()), 504);
}

fn an_exec_whose_body_the_daemon_does_not_read_ends_with_its_client() {
    let (answer, connections) = handing("");
    let bench = Bench::with(answer, no_timeouts);
    let mut client = bench.client();
    client.send(exec());
    let daemon = connections.next();
    drop(client);
    wait_until_closed(daemon);
}
