//! Metrics and health: what they say, that nothing hidden is in them, and that nobody can make them large.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustix::net::{AddressFamily, SocketType};
use rustix::process::Signal;
use rustls::{ClientConnection, StreamOwned};

use crate::harness::{Ignored, Outcome, Test, tests};
use crate::support::authority::{Authority, Identity, Names, SECRET_NUMBER};
use crate::support::client::{Client, PATIENCE, body, closing_get, get, status};
use crate::support::daemon::{Daemon, Reply, handing, json};
use crate::support::program::{Program, command, free_port};
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[Test] = tests![
    what_happens_is_counted,
    promtool_finds_no_fault_in_the_metrics,
    the_document_lists_every_metric,
    nothing_but_metrics_and_health_is_answered,
    slow_connections_for_metrics_keep_no_probe_waiting,
    clients_that_do_not_read_metrics_keep_no_probe_waiting,
    an_engine_that_is_down_differs_from_one_that_hangs,
    an_engine_is_up_when_its_whole_answer_to_a_ping_has_come,
    no_engine_makes_lines_of_its_own_nor_paints_a_terminal,
    an_engine_whose_name_is_not_resolved_is_down_and_told_as_such,
    an_engine_that_goes_and_comes_back_is_told_once,
    what_expires_is_told_by_the_check_the_log_and_the_metrics,
    a_certificate_that_expires_while_it_is_in_use_is_told,
    a_client_with_which_there_is_no_tls_is_counted,
    whoever_asks_the_engine_is_asked_once,
    a_reload_that_fails_is_told,
    a_reload_moves_the_metrics,
    no_client_makes_series_of_its_own
];

/// The program with metrics at the socket `metrics` of a folder, and more of a configuration.
pub(crate) fn measured(folder: &Folder, text: &str) -> Program {
    started(folder, &config(folder, text))
}

/// The same with a second listener, `some`, whose clients see the container `shown` and no other.
pub(crate) fn measured_with_some(folder: &Folder, text: &str) -> Program {
    let some = format!("[{{listen: unix://{}, profile: some}}, ", folder.path("some").display());
    let profile = "profiles:\n  - {profile: some, extends: dashboard, containers: {only: [{name: shown}]}}\n";
    started(
        folder,
        &config(folder, &format!("{profile}{text}")).replacen("listeners: [", &format!("listeners: {some}"), 1),
    )
}

/// The program with this configuration, and a log with details.
pub(crate) fn started(folder: &Folder, config: &str) -> Program {
    std::fs::write(folder.path("dockveil.yaml"), config).unwrap();
    let path = folder.path("dockveil.yaml").display().to_string();
    Program::start(command(&[("DOCKVEIL_LOG", "debug")], &["--config", &path]))
}

fn config(folder: &Folder, text: &str) -> String {
    let [engine, listener, metrics] =
        ["engine", "listener", "metrics"].map(|name| format!("unix://{}", folder.path(name).display()));
    format!("upstream: {engine}\nlisteners: [{{listen: {listener}}}]\nmetrics: {metrics}\n{text}")
}

/// The answer at a socket to a request for this target.
#[track_caller]
pub(crate) fn ask(path: &Path, target: &str) -> (u16, String) {
    let mut client = Client::connect_when_listening(path);
    client.send(closing_get(target));
    let answer = client.rest();
    (status(&answer), body(&answer).0)
}

/// The metrics, without comments.
#[track_caller]
fn series(folder: &Folder) -> Vec<String> {
    let (status, text) = ask(&folder.path("metrics"), "/metrics");
    assert_eq!(status, 200, "{text}");
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// Waits until the metrics have a line that starts like this; returns the rest of it.
#[track_caller]
pub(crate) fn wait_for(folder: &Folder, start: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = series(folder);
        if let Some(rest) = found.iter().find_map(|line| line.strip_prefix(start)) {
            return rest.to_owned();
        }
        assert!(Instant::now() < deadline, "{start} is not in {found:#?}");
    }
}

fn what_happens_is_counted() {
    let folder = Folder::new();
    let (answer, connections) = handing(
        "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    let _daemon = Daemon::start(&folder.path("engine"), move |request| {
        if request.contains("/events") {
            return answer(request);
        }
        if request.contains("/info") {
            return json("{");
        }
        json(r#"[{"Id":"0a","Command":"canary","Labels":{"a":"canary"},"NewIn2099":"canary"}]"#)
    });
    let _program = measured(&folder, "");
    let mut client = Client::connect_when_listening(&folder.path("listener"));
    for target in ["/_ping", "/containers/json", "/info", "/containers/a/export", "/containers/json"] {
        client.send(get(target));
        client.message(false);
    }
    let mut stream = Client::connect(&folder.path("listener"));
    stream.send(get("/events"));
    stream.read_until("\r\n\r\n");
    let listener = format!("unix://{}", folder.path("listener").display());
    let engine = format!("unix://{}", folder.path("engine").display());
    let exchange = |operation: &str, decision: &str, status: &str| {
        format!(
            "dockveil_exchanges_total{{decision=\"{decision}\",listener=\"{listener}\",operation=\"{operation}\",profile=\"dashboard\",status=\"{status}\"}} "
        )
    };
    // The line of an exchange, and its count, come when the last byte is with the system.
    assert_eq!(wait_for(&folder, &format!("dockveil_streams{{listener=\"{listener}\"}} ")), "1");
    let found = series(&folder);
    let value = |start: &str| {
        let found = found.iter().find_map(|line| line.strip_prefix(start));
        found.unwrap_or_else(|| panic!("{start} is not in {found:#?}")).to_owned()
    };
    assert_eq!(value(&exchange("SystemPing", "relay", "200")), "1");
    assert_eq!(value(&exchange("ContainerList", "filter", "200")), "2");
    assert_eq!(value(&exchange("SystemInfo", "filter", "502")), "1");
    assert_eq!(value(&exchange("ContainerExport", "deny", "403")), "1");
    assert_eq!(value("dockveil_hidden_fields_total{class=\"command\",profile=\"dashboard\"} "), "2");
    assert_eq!(value("dockveil_hidden_fields_total{class=\"unknown\",profile=\"dashboard\"} "), "2");
    assert_eq!(value("dockveil_withheld_total{reason=\"unfilterable\"} "), "1");
    assert_eq!(value(&format!("dockveil_connections{{listener=\"{listener}\"}} ")), "2");
    assert_eq!(value(&format!("dockveil_engine_up{{engine=\"{engine}\"}} ")), "1");
    assert_eq!(value(&format!("dockveil_engine_info{{api=\"1.51\",engine=\"{engine}\"}} ")), "1");
    let count = format!("dockveil_own_seconds_count{{listener=\"{listener}\",operation=\"ContainerList\"}} ");
    assert_eq!(value(&count), "2");
    assert!(value("dockveil_memory_limit_bytes ").parse::<u64>().unwrap() > 0);
    drop((client, stream, connections));
    wait_for(&folder, &format!("dockveil_connections{{listener=\"{listener}\"}} 0"));
    wait_for(&folder, &format!("dockveil_streams{{listener=\"{listener}\"}} 0"));
}

/// A tool of Prometheus.
pub(crate) fn promtool() -> Result<Command, Ignored> {
    let there = Command::new("promtool").arg("--version").output();
    there.map(|_| Command::new("promtool")).map_err(|_| Ignored::Missing("no promtool on this machine".to_owned()))
}

fn promtool_finds_no_fault_in_the_metrics() -> Outcome {
    let mut promtool = promtool()?;
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json(r#"[{"Id":"0a","Command":"a"}]"#));
    let _program = measured(&folder, "");
    ask(&folder.path("listener"), "/containers/json");
    let (_, text) = ask(&folder.path("metrics"), "/metrics");
    let mut child = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let said = child.wait_with_output().unwrap();
    assert!(said.status.success(), "{}\n{text}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

/// The names of all metrics.
pub(crate) fn names(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

fn the_document_lists_every_metric() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let daemon = Daemon::start(&folder.path("engine"), |_| json("{"));
    let (config, _) = with_tls(&folder, &authority, &authority.server(), &authority.revocations(&[], 2100));
    let _program = started(&folder, &config);
    let listener = folder.path("listener");
    // A denial, what is withheld, and what hides something.
    for target in ["/containers/a/export", "/info", "/version"] {
        ask(&listener, target);
    }
    daemon.stop();
    assert_eq!(ask(&listener, "/containers/json").0, 503);
    let _daemon = Daemon::start(&folder.path("engine"), |_| json(r#"[{"Id":"0a","Command":"a"}]"#));
    assert_eq!(ask(&listener, "/containers/json").0, 200);
    let deadline = Instant::now() + PATIENCE;
    let text = loop {
        let (_, text) = ask(&folder.path("metrics"), "/metrics");
        if text.contains("dockveil_engine_info") && text.contains("dockveil_hidden_fields_total") {
            break text;
        }
        assert!(Instant::now() < deadline, "{text}");
    };
    let document = include_str!("../../docs/operating.md");
    let section = document.split("\n## Metrics\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let listed: BTreeSet<&str> = cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`')).collect();
    assert_eq!(listed, names(&text));
}

fn nothing_but_metrics_and_health_is_answered() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let port = free_port();
    let path = folder.path("dockveil.yaml");
    std::fs::write(&path, config(&folder, "")).unwrap();
    // An argument wins over the file.
    let metrics = format!("tcp://127.0.0.1:{port}");
    let arguments = ["--config", path.to_str().unwrap(), "--metrics", &metrics];
    let program = Program::start(command(&[("DOCKVEIL_METRICS", "tcp://127.0.0.1:1")], &arguments));
    program.listening();
    let ask = |request: &str| crate::support::client::ask_port(port, request);
    let line = |method: &str, target: &str| format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for (request, expected) in [
        (line("GET", "/metrics"), 200),
        (line("HEAD", "/metrics"), 200),
        (line("GET", "/livez"), 200),
        (line("GET", "/readyz"), 200),
        (line("GET", "/readyz?verbose"), 200),
        (line("GET", "/metrics?a=canary"), 200),
        (line("GET", "/"), 404),
        (line("GET", "/metrics/"), 404),
        (line("GET", "/containers/json"), 404),
        (line("GET", "/_ping"), 404),
        (line("POST", "/metrics"), 405),
        (line("CANARY", "/livez"), 405),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), 403),
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n".to_owned(), 403),
        ("GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 403),
        (format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\na: {}\r\n\r\n", "b".repeat(20_000)), 431),
    ] {
        let answer = ask(&request);
        assert_eq!(status(&answer), expected, "{}: {answer}", &request[..request.len().min(80)]);
        assert!(!answer.contains("canary") && !answer.contains("evil"), "{answer}");
        assert_eq!(request.starts_with("HEAD"), expected == 200 && body(&answer).0.is_empty(), "{answer}");
    }
    assert!(!folder.path("metrics").exists(), "the address of the file is not used");
    assert_eq!(daemon.requests(), [""; 0]);
}

/// Nothing, or half a head, on more connections than there may be, opened again as soon as they are closed.
fn slow_connections_for_metrics_keep_no_probe_waiting() {
    const LIMIT: usize = 16;
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = measured(&folder, "");
    program.listening();
    let path = folder.path("metrics");
    for sent in ["", "GET /livez HTTP/1.1\r\nHost: l"] {
        let slow = || {
            let mut client = Client::connect(&path);
            client.send(sent);
            client
        };
        let held: Vec<Client> = (0..LIMIT).map(|_| slow()).collect();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 * LIMIT {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        // Until it is closed.
                        slow().rest();
                    }
                });
            }
            let answers: Vec<String> = (0..20)
                .map(|_| {
                    let mut client = Client::connect(&path);
                    client.send(closing_get("/livez"));
                    client.rest()
                })
                .collect();
            is_over.store(true, Ordering::Relaxed);
            // The last ones wait for nobody.
            let _last: Vec<Client> = (0..3 * LIMIT).map(|_| slow()).collect();
            assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 200 ")), "{sent:?}: {answers:?}");
        });
        drop(held);
    }
    // Clients are served meanwhile, and live on.
    assert_eq!(ask(&folder.path("listener"), "/_ping").0, 200);
}

/// They have sent whole requests, and the answers are longer than what the system keeps of such a connection by itself.
fn clients_that_do_not_read_metrics_keep_no_probe_waiting() {
    const LIMIT: usize = 16;
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let more: String =
        (0..20).map(|at| format!("  - listen: unix://{}\n", folder.path(&at.to_string()).display())).collect();
    let address = SocketAddr::new("127.0.0.1".parse().unwrap(), free_port());
    let engine = folder.path("engine").display().to_string();
    let program = started(&folder, &format!("upstream: unix://{engine}\nmetrics: tcp://{address}\nlisteners:\n{more}"));
    program.listening();
    let slow = || {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 2304).unwrap();
        rustix::net::connect(&socket, &address).unwrap();
        let mut client = TcpStream::from(socket);
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        client
    };
    let _held: Vec<TcpStream> = (0..3 * LIMIT).map(|_| slow()).collect();
    let begun = Instant::now();
    let mut probe = TcpStream::connect(address).unwrap();
    probe.set_read_timeout(Some(PATIENCE)).unwrap();
    probe.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    probe.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

fn an_engine_that_is_down_differs_from_one_that_hangs() {
    let folder = Folder::new();
    let _program = measured(&folder, "");
    let metrics = folder.path("metrics");
    let engine = format!("unix://{}", folder.path("engine").display());
    let (status, text) = ask(&metrics, "/readyz");
    assert_eq!(status, 503);
    assert_eq!(text, format!("not ready\nengine {engine}: down (cannot connect: no such socket)\n"));
    let (status, text) = ask(&metrics, "/livez");
    assert_eq!((status, text.as_str()), (200, "live\n"), "dockveil itself is well");
    // It accepts, and never answers.
    let hanging = UnixListener::bind(folder.path("engine")).unwrap();
    let expected = format!("not ready\nengine {engine}: hangs (no answer within 2s)\n");
    let deadline = Instant::now() + PATIENCE;
    let mut started = Instant::now();
    loop {
        let (status, text) = ask(&metrics, "/readyz");
        assert_eq!(status, 503);
        if text == expected {
            break;
        }
        assert!(Instant::now() < deadline, "{text}");
        started = Instant::now();
    }
    assert!(started.elapsed() < Duration::from_secs(5), "the answer takes {:?}", started.elapsed());
    let down = format!("dockveil_engine_up{{engine=\"{engine}\"}} 0");
    assert!(series(&folder).contains(&down));
    drop(hanging);
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let deadline = Instant::now() + PATIENCE;
    while ask(&metrics, "/readyz") != (200, "ready\n".to_owned()) {
        assert!(Instant::now() < deadline, "it is not ready again");
    }
    let (_, text) = ask(&metrics, "/readyz?verbose");
    assert!(text.contains(&format!("engine {engine}: up, API 1.51\n")), "{text}");
    assert!(text.contains("memory of documents: 0 of ") && text.contains("configuration: loaded 20"), "{text}");
}

/// What an engine does after it has answered.
#[derive(Clone, Copy)]
enum After {
    Waits,
    Closes,
    /// It sends the rest slowly: no pause is as long as the limit.
    Drips(&'static str),
}

/// An engine that answers each request with these bytes.
fn answering(path: &Path, answer: String, after: After) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = crate::support::client::read_whole(&mut stream, "\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
            match after {
                After::Waits => held.push(stream),
                After::Closes => drop(stream),
                After::Drips(rest) => drop(std::thread::spawn(move || {
                    for byte in rest.bytes() {
                        std::thread::sleep(Duration::from_millis(300));
                        let _ = stream.write_all(&[byte]);
                    }
                })),
            }
        }
    });
}

fn an_engine_is_up_when_its_whole_answer_to_a_ping_has_come() {
    const HANGS: &str = "hangs (no answer within 2s)";
    let long = "a".repeat(4097);
    let at_limit = "a".repeat(4096);
    let folder = Folder::new();
    let cases = [
        ("200 OK", "Content-Length: 2\r\n", "OK", After::Waits, "up, API 1.44"),
        ("200 OK", "Transfer-Encoding: chunked\r\n", "2\r\nOK\r\n0\r\n\r\n", After::Waits, "up, API 1.44"),
        ("200 OK", "Connection: close\r\n", "OK", After::Closes, "up, API 1.44"),
        ("204 No Content", "", "", After::Waits, "up, API 1.44"),
        ("200 OK", "Content-Length: 4096\r\n", &at_limit, After::Waits, "up, API 1.44"),
        ("200 OK", "Content-Length: 2\r\n", "", After::Waits, HANGS),
        ("200 OK", "Content-Length: 2\r\n", "O", After::Waits, HANGS),
        ("200 OK", "Transfer-Encoding: chunked\r\n", "2\r\nOK\r\n", After::Waits, HANGS),
        ("200 OK", "Connection: close\r\n", "OK", After::Waits, HANGS),
        ("200 OK", "Content-Length: 10\r\n", "", After::Drips("aaaaaaaaaa"), HANGS),
        ("200 OK", "Content-Length: 4097\r\n", &long, After::Waits, "broken (answers with more than 4096 bytes)"),
        ("200 OK", "Connection: close\r\n", &long, After::Waits, "broken (answers with more than 4096 bytes)"),
        (
            "200 OK",
            "Content-Length: 2\r\n",
            "O",
            After::Closes,
            "broken (connection broken: the connection ended in the middle of an answer)",
        ),
        ("404 Not Found", "Content-Length: 2\r\n", "no", After::Waits, "broken (answers with 404 Not Found)"),
        (
            "500 Internal Server Error",
            "Content-Length: 2\r\n",
            "",
            After::Waits,
            "broken (answers with 500 Internal Server Error)",
        ),
        ("302 Found", "Content-Length: 0\r\n", "", After::Waits, "broken (answers with 302 Found)"),
    ];
    let mut listeners = Vec::new();
    for (number, (status, fields, body, after, _)) in cases.iter().enumerate() {
        let engine = folder.path(&format!("engine{number}"));
        answering(&engine, format!("HTTP/1.1 {status}\r\nApi-Version: 1.44\r\n{fields}\r\n{body}"), *after);
        let listener = folder.path(&format!("listener{number}"));
        listeners.push(format!(
            "{{listen: \"unix://{}\", upstream: \"unix://{}\"}}",
            listener.display(),
            engine.display()
        ));
    }
    let metrics = folder.path("metrics");
    let _program = started(
        &folder,
        &format!("listeners: [{}]\nmetrics: \"unix://{}\"\n", listeners.join(", "), metrics.display()),
    );
    let (status, text) = ask(&metrics, "/readyz?verbose");
    let series = series(&folder);
    assert_eq!(status, 503, "{text}");
    for (number, (.., expected)) in cases.iter().enumerate() {
        let engine = format!("unix://{}", folder.path(&format!("engine{number}")).display());
        assert!(text.contains(&format!("engine {engine}: {expected}\n")), "{number}: {expected} is not in {text}");
        let up = u8::from(expected.starts_with("up"));
        assert!(series.contains(&format!("dockveil_engine_up{{engine=\"{engine}\"}} {up}")), "{number}: {series:#?}");
    }
}

/// A path may hold anything.
fn no_engine_makes_lines_of_its_own_nor_paints_a_terminal() {
    let folder = Folder::new();
    let engine = format!("unix://{}", folder.path("engine").display());
    let name = format!("\"{engine}\\e[31m\\nready\\u202e\"");
    let _program = started(&folder, &config(&folder, "").replacen(&engine, &name, 1));
    let expected = format!("engine {engine}\\u{{1b}}[31m\\nready\\u{{202e}}: down (cannot connect: no such socket)\n");
    for target in ["/readyz", "/readyz?verbose"] {
        let (status, text) = ask(&folder.path("metrics"), target);
        assert_eq!(status, 503);
        assert!(text.starts_with(&format!("not ready\n{expected}")), "{text:?}");
    }
}

fn an_engine_whose_name_is_not_resolved_is_down_and_told_as_such() {
    let folder = Folder::new();
    let engine = format!("unix://{}", folder.path("engine").display());
    // Whether or not somebody answers for names here.
    let program = started(&folder, &config(&folder, "").replace(&engine, "tcp://no-engine.invalid:2375"));
    let line = program.line_with("engine unreachable");
    assert!(line.contains("cannot resolve no-engine.invalid: ") && !line.contains("uncategorized"), "{line}");
    let (status, text) = ask(&folder.path("metrics"), "/readyz");
    assert_eq!(status, 503);
    let expected = "not ready\nengine tcp://no-engine.invalid:2375: down (cannot resolve no-engine.invalid: ";
    assert!(text.starts_with(expected), "{text}");
    let (status, text) = ask(&folder.path("listener"), "/containers/json");
    assert_eq!((status, text.as_str()), (503, "{\"message\":\"docker daemon unavailable\"}\n"));
    let line = program.line_with("operation=ContainerList");
    assert!(line.contains("error=\"engine: cannot resolve no-engine.invalid: "), "{line}");
}

/// Whoever notices it: a document, a stream, or a question for its health.
fn an_engine_that_goes_and_comes_back_is_told_once() {
    for (listener, target) in [("listener", "/containers/json"), ("listener", "/events"), ("metrics", "/readyz")] {
        let folder = Folder::new();
        let daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
        let program = measured(&folder, "");
        program.line_with("engine reached");
        daemon.stop();
        for _ in 0..3 {
            ask(&folder.path(listener), target);
        }
        let line = program.line_with("the engine does not answer any more");
        assert!(line.contains("level=warn") && line.contains("engine=unix://") && line.contains("error="), "{line}");
        let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
        let deadline = Instant::now() + PATIENCE;
        while ask(&folder.path("listener"), "/containers/json").0 != 200 {
            assert!(Instant::now() < deadline);
        }
        ask(&folder.path("listener"), "/containers/json");
        let line = program.line_with("the engine answers again");
        assert!(line.contains("level=info") && line.contains("engine=unix://"), "{line}");
        let (_, rest) = program.stop();
        let is_told = |line: &&String| line.contains("answer any more") || line.contains("answers again");
        assert_eq!(rest.iter().find(is_told), None);
    }
}

/// A configuration with a listener that has TLS, its files, and the port.
pub(crate) fn with_tls(folder: &Folder, authority: &Authority, server: &Identity, crl: &str) -> (String, u16) {
    let port = free_port();
    for (name, text) in [
        ("cert.pem", &server.certificate),
        ("key.pem", &server.key),
        ("ca.pem", &authority.pem()),
        ("crl.pem", &crl.to_owned()),
    ] {
        std::fs::write(folder.path(name), text).unwrap();
    }
    let tls = "certificate: cert.pem, key: key.pem, client_ca: ca.pem, crl: crl.pem";
    let listener = format!("listeners: [{{listen: \"tcp://127.0.0.1:{port}\", tls: {{{tls}}}}}, ");
    (config(folder, "").replace("listeners: [", &listener), port)
}

/// The value of a series.
fn value(folder: &Folder, name: &str) -> Option<String> {
    series(folder).iter().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
}

fn what_expires_is_told_by_the_check_the_log_and_the_metrics() {
    let soon = SystemTime::now() + Duration::from_secs(3 * 24 * 3600);
    for (until, told) in [(None, "has expired"), (Some(soon), "expires in 2 days")] {
        let (folder, authority) = (Folder::new(), Authority::new());
        let server = until.map_or_else(|| authority.server_between(2020, 2021), |until| authority.server_until(until));
        let (config, port) = with_tls(&folder, &authority, &server, &authority.revocations(&[], 2021));
        let own = authority.expired(Names { cn: "a", dns: &[], uris: &[] });
        std::fs::write(folder.path("own.pem"), &own.certificate).unwrap();
        std::fs::write(folder.path("own-key.pem"), &own.key).unwrap();
        let engine = "{address: \"tcp://127.0.0.1:1\", ca: ca.pem, cert: own.pem, key: own-key.pem}";
        let config = config.replace(&format!("unix://{}", folder.path("engine").display()), engine);
        let program = started(&folder, &config);
        let expected = [
            format!("the certificate of tcp://127.0.0.1:{port} {told}: clients refuse it"),
            format!("crl.pem at tcp://127.0.0.1:{port} has expired: clients of its authority are refused"),
            "our certificate for tcp://127.0.0.1:1 has expired: the engine refuses it".to_owned(),
        ];
        let warned = || {
            let lines = std::iter::from_fn(|| Some(program.line_with("level=warn")));
            // There is nobody at the address of the engine.
            let lines: Vec<String> = lines.filter(|line| !line.contains("unreachable")).take(3).collect();
            for text in &expected {
                assert!(lines.iter().any(|line| line.contains(text)), "{text}: {lines:#?}");
            }
        };
        warned();
        program.signal(Signal::HUP);
        program.line_with("configuration reloaded");
        let path = folder.path("dockveil.yaml").display().to_string();
        for output in ["text", "json"] {
            let arguments = ["check", "--config", &path, "--output", output];
            let printed = command(&[("COLUMNS", "10000")], &arguments).output().unwrap();
            let words = String::from_utf8(printed.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
            for text in &expected {
                assert!(words.contains(text), "{output}: {text}: {words}");
            }
        }
        let name = |address: &str, file: &str| {
            format!("dockveil_tls_expiry_timestamp_seconds{{address=\"{address}\",file=\"{file}\"}}")
        };
        let at = format!("tcp://127.0.0.1:{port}");
        assert_eq!(value(&folder, &name(&at, "crl")).as_deref(), Some("1609459200"));
        assert_eq!(value(&folder, &name("tcp://127.0.0.1:1", "cert")).as_deref(), Some("1609459200"));
        let found: f64 = value(&folder, &name(&at, "certificate")).unwrap().parse().unwrap();
        let end = until.unwrap_or(SystemTime::UNIX_EPOCH + Duration::from_secs(1_609_459_200));
        assert!((found - end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()).abs() < 1.5, "{found}");
    }
}

fn a_certificate_that_expires_while_it_is_in_use_is_told() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let server = authority.server_until(SystemTime::now() + Duration::from_secs(5));
    let (config, port) = with_tls(&folder, &authority, &server, &authority.revocations(&[], 2100));
    let program = started(&folder, &config);
    program.line_with(&format!("the certificate of tcp://127.0.0.1:{port} expires in 0 minutes"));
    program.line_with(&format!("the certificate of tcp://127.0.0.1:{port} has expired"));
}

fn a_client_with_which_there_is_no_tls_is_counted() {
    const WEB: Names<'_> = Names { cn: "web", dns: &[], uris: &[] };
    let other = Authority::called("other");
    let good = |authority: &Authority| Some(authority.client(WEB));
    let (expired, is_self_made, misused) = (
        |authority: &Authority| Some(authority.expired(WEB)),
        |_: &Authority| Some(other.client(WEB)),
        |authority: &Authority| Some(authority.for_anything_else(WEB, 500)),
    );
    // The certificate of the server, until when the list is good, the client or one without TLS, the reason, and what the log says.
    type Row<'r> = ((i32, i32), i32, &'r dyn Fn(&Authority) -> Option<Identity>, Option<(&'r str, &'r str)>);
    let rows: [Row<'_>; 7] = [
        ((2020, 2100), 2100, &good, None),
        (
            (2020, 2100),
            2021,
            &good,
            Some(("certificate", "the list of `crl` for the authority of the client's certificate")),
        ),
        ((2020, 2100), 2100, &expired, Some(("certificate", "has expired"))),
        ((2020, 2100), 2100, &is_self_made, Some(("certificate", "no authority in `client_ca` has issued"))),
        // Anybody can make one that says so much.
        ((2020, 2100), 2100, &misused, Some(("certificate", "the certificate of the client is not for clients"))),
        ((2020, 2021), 2100, &good, Some(("alert", "the client ends the connection (CertificateExpired)"))),
        ((2020, 2100), 2100, &|_| None, Some(("failed", "the client does not speak TLS"))),
    ];
    for (years, until, client, expected) in rows {
        let (folder, authority) = (Folder::new(), Authority::new());
        let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
        let server = authority.server_between(years.0, years.1);
        let (config, port) = with_tls(&folder, &authority, &server, &authority.revocations(&[], until));
        let program = started(&folder, &config);
        program.listening();
        let at = |reason: &str| {
            let name = "dockveil_tls_handshake_failures_total";
            value(&folder, &format!("{name}{{listener=\"tcp://127.0.0.1:{port}\",reason=\"{reason}\"}}")).unwrap()
        };
        let reasons = ["slow", "no-certificate", "certificate", "alert", "failed"];
        assert_eq!(reasons.map(at), ["0"; 5].map(str::to_owned), "they are there from the start");
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        match client(&authority) {
            Some(identity) => {
                let config = authority.client_config(Some(&identity), &[&rustls::version::TLS13]);
                let session = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
                let mut stream = StreamOwned::new(session, socket);
                let _ = stream.write_all(closing_get("/_ping").as_bytes());
                let _ = stream.read_to_end(&mut Vec::new());
            }
            None => {
                socket.write_all(closing_get("/_ping").as_bytes()).unwrap();
                let _ = socket.read_to_end(&mut Vec::new());
            }
        }
        if let Some((_, said)) = expected {
            let line = program.line_with("no TLS with a client");
            assert!(line.contains(said), "{line}");
            // Nothing that the client chose.
            assert!(!line.contains(&SECRET_NUMBER.to_string()) && line.len() < 400, "{line}");
        }
        let found: Vec<&str> = reasons.into_iter().filter(|reason| at(reason) != "0").collect();
        assert_eq!(
            found,
            expected.iter().map(|(reason, _)| *reason).collect::<Vec<_>>(),
            "{years:?} {until} {expected:?}"
        );
    }
}

fn whoever_asks_the_engine_is_asked_once() {
    let folder = Folder::new();
    let pings = Arc::new(AtomicUsize::new(0));
    let (counted, listener) = (pings.clone(), UnixListener::bind(folder.path("engine")).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, counted) = (stream.unwrap(), counted.clone());
            std::thread::spawn(move || {
                while crate::support::client::read_until(&mut stream, "\r\n\r\n").is_ok_and(|(_, is_there)| is_there) {
                    counted.fetch_add(1, Ordering::Relaxed);
                    let pong = "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Length: 2\r\n\r\nOK";
                    std::io::Write::write_all(&mut stream, pong.as_bytes()).unwrap();
                }
            });
        }
    });
    let program = measured(&folder, "");
    program.line_with("engine reached");
    let before = pings.load(Ordering::Relaxed);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for target in ["/readyz", "/metrics", "/readyz?verbose"].iter().cycle().take(30) {
                    assert_eq!(ask(&folder.path("metrics"), target).0, 200);
                }
            });
        }
    });
    // Once at first, and once for each two seconds.
    let most = 1 + usize::try_from(started.elapsed().as_secs()).unwrap() / 2;
    let asked = pings.load(Ordering::Relaxed) - before;
    assert!((1..=most).contains(&asked), "{asked} pings in {:?}", started.elapsed());
}

fn a_reload_that_fails_is_told() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = measured(&folder, "watch: false\n");
    program.listening();
    let path = folder.path("dockveil.yaml");
    let good = config(&folder, "watch: false\n");
    let counts = |ok: &str, failed: &str, last: &str| {
        let found = series(&folder);
        for expected in [
            format!("dockveil_reloads_total{{result=\"ok\"}} {ok}"),
            format!("dockveil_reloads_total{{result=\"failed\"}} {failed}"),
            format!("dockveil_config_last_reload_successful {last}"),
        ] {
            assert!(found.contains(&expected), "{expected}: {found:#?}");
        }
    };
    counts("0", "0", "1");
    std::fs::write(&path, format!("{good}canary: 1\nlimits: {{depth: canary}}\n")).unwrap();
    program.signal(Signal::HUP);
    program.line_with("configuration not reloaded");
    program.line_with("configuration not reloaded");
    counts("0", "1", "0");
    let (status, text) = ask(&folder.path("metrics"), "/readyz?verbose");
    assert_eq!(status, 200, "clients are served as before: {text}");
    let told = text.lines().find(|line| line.starts_with("reload: failed 20")).unwrap_or_else(|| panic!("{text}"));
    assert!(told.ends_with(", see the log; nothing has changed") && !text.contains("canary"), "{text}");
    assert_eq!(ask(&folder.path("metrics"), "/readyz").1, "ready\n");
    std::fs::write(&path, good).unwrap();
    program.signal(Signal::HUP);
    program.line_with("configuration reloaded");
    counts("1", "1", "1");
    assert!(!ask(&folder.path("metrics"), "/readyz?verbose").1.contains("reload: failed"));
}

fn a_reload_moves_the_metrics() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = measured(&folder, "");
    program.listening();
    ask(&folder.path("listener"), "/version");
    let version = "operation=\"SystemVersion\"";
    assert!(series(&folder).iter().any(|line| line.contains(version)));
    let path = folder.path("dockveil.yaml");
    let text = config(&folder, "");
    std::fs::write(&path, text.replace("/metrics\n", "/moved\n")).unwrap();
    program.line_with("configuration reloaded");
    let (status, moved) = ask(&folder.path("moved"), "/metrics");
    assert!(status == 200 && moved.contains(version), "what was counted stays: {moved}");
    assert!(!folder.path("metrics").exists());
    // An address that cannot be used changes nothing.
    std::fs::write(&path, text.replace("/metrics\n", "/dockveil.yaml\n")).unwrap();
    program.line_with("configuration not reloaded");
    assert_eq!(ask(&folder.path("moved"), "/livez").0, 200);
    std::fs::write(&path, text.replace("metrics: ", "#")).unwrap();
    program.line_with("configuration reloaded");
    assert!(!folder.path("moved").exists());
    // Where clients are served is no place for them.
    std::fs::write(&path, text.replace("/metrics\n", "/listener\n")).unwrap();
    let line = program.line_with("configuration not reloaded");
    assert!(line.contains("expected an address for metrics only"), "{line}");
}

fn no_client_makes_series_of_its_own() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |request| {
        if request.contains("canary-error") {
            let head = "HTTP/1.1 409 Canary\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\n";
            return Reply::Keep(format!("{head}Content-Length: 20\r\n\r\n{{\"message\":\"canary\"}}").into_bytes());
        }
        json(r#"[{"Id":"canary-id","Names":["/canary-name"],"Command":"canary","Labels":{"canary":"canary"}}]"#)
    });
    let _program = measured_with_some(&folder, "");
    let listeners = [folder.path("listener"), folder.path("some")];
    listeners.iter().for_each(|listener| drop(Client::connect_when_listening(listener)));
    let all_are_closed = || {
        for listener in &listeners {
            wait_for(&folder, &format!("dockveil_connections{{listener=\"unix://{}\"}} 0", listener.display()));
        }
    };
    let send = |number: usize| {
        let lines = [
            format!("GET /containers/canary{number}/json HTTP/1.1"),
            format!("GET /containers/canary-error{number}/json HTTP/1.1"),
            format!("GET /canary/{number} HTTP/1.1"),
            format!("CANARY{number} /containers/json HTTP/1.1"),
            format!("GET /v1.{}/containers/json HTTP/1.1", 24 + number),
            format!("GET /containers/json?canary={number} HTTP/1.1"),
            format!("GET /containers/json?filters=%7B%22label%22%3A%5B%22canary{number}%22%5D%7D HTTP/1.1"),
            format!("POST /containers/canary{number}/kill?signal=canary{number} HTTP/1.1"),
            format!("GET /_ping canary{number}"),
        ];
        for line in lines {
            let fields = format!(
                "Host: d\r\nX-Canary{number}: canary\r\nX-Request-Id: canary-{number}\r\nUser-Agent: canary{number}"
            );
            for listener in &listeners {
                let mut client = Client::connect(listener);
                client.send(format!("{line}\r\n{fields}\r\nConnection: close\r\n\r\n"));
                client.rest();
            }
        }
    };
    // What a series is called, without its value.
    let names = || -> BTreeSet<String> {
        let names = series(&folder).into_iter().map(|line| line.rsplit_once(' ').unwrap().0.to_owned());
        names.filter(|name| !name.contains("_bucket{")).collect()
    };
    for number in 0..4 {
        send(number);
    }
    all_are_closed();
    let before = names();
    for number in 4..12 {
        send(number);
    }
    all_are_closed();
    let after = names();
    let new: Vec<&String> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:#?}");
    let (_, text) = ask(&folder.path("metrics"), "/metrics");
    assert!(!text.to_ascii_lowercase().contains("canary"), "{text}");
    assert!(text.contains("profile=\"some\",status=\"404\""), "what is hidden was asked for: {text}");
    assert!(text.contains("status=\"409\"") && text.contains("decision=\"deny\""), "the requests are counted: {text}");
}
