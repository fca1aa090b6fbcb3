//! Streams and hijacked connections, byte by byte: what comes through the proxy is what the engine sent.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::client::{self, Answer, Connection, PATIENCE};
use super::support::engine::Engine;
use super::support::proxy::Proxy;
use super::support::{assert_no_canary, engine, eventually, seed};

/// What a client sends to have a connection handed over.
pub(crate) const UPGRADE: [&str; 2] = ["Connection: Upgrade", "Upgrade: tcp"];

/// The shared engine with a proxy that allows a session.
fn session() -> Option<(&'static Engine, Proxy)> {
    let engine = engine::shared()?;
    Some((engine, Proxy::start(&engine.socket(), "session")))
}

/// Everything that a client could tell one transport of a hijacked connection from another by.
#[derive(Debug, PartialEq)]
pub(crate) struct Transcript {
    pub(crate) status: u16,
    pub(crate) kind: Option<String>,
    upgrade: Option<String>,
    pub(crate) output: String,
}

/// Talks over a hijacked connection whose other end is `cat`: a line, its echo, end of input, the rest.
#[track_caller]
fn converse(connection: &mut Connection, head: &client::Head, echo: &[u8]) -> Transcript {
    connection.send("hello\n");
    let first = connection.take(echo.len(), PATIENCE).unwrap_or_default();
    connection.send("again\n");
    connection.half_close();
    let output = [first, connection.rest()].concat();
    Transcript {
        status: head.status,
        kind: head.get("content-type").map(str::to_owned),
        upgrade: head.get("upgrade").map(str::to_owned),
        output: String::from_utf8_lossy(&output).into_owned(),
    }
}

/// One frame of multiplexed output.
pub(crate) fn frame(stream: u8, text: &str) -> Vec<u8> {
    let mut frame = vec![stream, 0, 0, 0];
    frame.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// Creates an exec in `web` and returns its id.
#[track_caller]
fn exec(socket: &Path, body: &Value) -> String {
    let created = client::post(socket, "/containers/web/exec", body);
    assert_eq!(created.status(), 201, "{}", created.text());
    created.json()["Id"].as_str().unwrap().to_owned()
}

/// An exec that echoes its input.
fn cat() -> Value {
    json!({"AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Cmd": ["cat"]})
}

/// Removes a container.
fn remove(engine: &Engine, name: &str) {
    client::request(&engine.socket(), "DELETE", &format!("/containers/{name}?force=1"), &[], b"");
}

#[test]
fn logs_are_the_engines_bytes() {
    let Some((engine, proxy)) = session() else { return };
    for name in ["story", "terminal", "web"] {
        for query in [
            "stdout=1&stderr=1",
            "stdout=1",
            "stderr=1&timestamps=1",
            "stdout=1&stderr=1&tail=7",
            "stdout=0",
            "follow=0&stdout=1",
        ] {
            for prefix in ["", "/v1.24", "/v1.41"] {
                let target = format!("{prefix}/containers/{name}/logs?{query}");
                let direct = client::get(&engine.socket(), &target);
                let through = client::get(&proxy.socket(), &target);
                assert_eq!(through.status(), direct.status(), "{target}");
                assert_eq!(
                    through.head.get("content-type").is_some(),
                    direct.head.get("content-type").is_some(),
                    "{target}"
                );
                assert!(through.complete, "{target}");
                if direct.status() == 200 {
                    assert!(through.body == direct.body, "{target}: {:?}", through.text());
                }
            }
        }
    }
}

#[test]
fn a_whole_log_arrives() {
    let Some((_engine, proxy)) = session() else { return };
    let log = client::get(&proxy.socket(), "/containers/story/logs?stdout=1");
    let expected: Vec<u8> = (1..=seed::STORY_LINES).flat_map(|n| frame(1, &format!("out {n}\n"))).collect();
    assert!(log.body == expected, "{}", log.text());
}

#[test]
fn a_followed_log_arrives_line_by_line() {
    let Some((_engine, proxy)) = session() else { return };
    let mut connection = Connection::open(&proxy.socket());
    let head = connection.ask("GET", "/containers/ticker/logs?stdout=1&follow=1&tail=1", &[], b"");
    assert_eq!(head.status, 200);
    for _ in 0..5 {
        let chunk = connection.chunk(Duration::from_secs(5)).expect("a line five times a second");
        assert_eq!(chunk.first(), Some(&1));
        assert_eq!(chunk.last(), Some(&b'\n'));
    }
}

/// Attaches to a container that echoes its input, through `socket`.
#[track_caller]
pub(crate) fn attach(engine: &Engine, socket: &Path, name: &str, headers: &[&str]) -> Transcript {
    remove(engine, name);
    seed::create(
        &engine.socket(),
        name,
        &json!({"Image": seed::BASE, "Cmd": ["cat"], "OpenStdin": true, "StdinOnce": true,
        "AttachStdin": true, "AttachStdout": true, "HostConfig": {"NetworkMode": "none"}}),
    );
    let mut connection = Connection::open(socket);
    let head =
        connection.ask("POST", &format!("/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1"), headers, b"");
    assert_eq!(client::post(&engine.socket(), &format!("/containers/{name}/start"), &Value::Null).status(), 204);
    let transcript = converse(&mut connection, &head, &frame(1, "hello\n"));
    let ended = client::post(&engine.socket(), &format!("/containers/{name}/wait"), &Value::Null);
    assert_eq!(ended.json()["StatusCode"], 0);
    remove(engine, name);
    transcript
}

#[test]
fn attach_is_two_pipes_with_upgrade_and_without() {
    let Some((engine, proxy)) = session() else { return };
    for (name, headers, status) in [("attach-upgrade", &UPGRADE[..], 101), ("attach-plain", &[], 200)] {
        let direct = attach(engine, &engine.socket(), name, headers);
        let through = attach(engine, &proxy.socket(), name, headers);
        assert_eq!(through, direct);
        assert_eq!(through.status, status);
        assert_eq!(through.output.as_bytes(), [frame(1, "hello\n"), frame(1, "again\n")].concat());
    }
}

/// Starts an exec that echoes its input, through `socket`.
#[track_caller]
pub(crate) fn start(engine: &Engine, socket: &Path, headers: &[&str]) -> Transcript {
    let id = exec(socket, &cat());
    let mut connection = Connection::open(socket);
    let head = connection.ask("POST", &format!("/exec/{id}/start"), headers, br#"{"Detach":false,"Tty":false}"#);
    let transcript = converse(&mut connection, &head, &frame(1, "hello\n"));
    let ended =
        eventually(PATIENCE, || client::get(&engine.socket(), &format!("/exec/{id}/json")).json()["ExitCode"] == 0);
    assert!(ended);
    transcript
}

#[test]
fn exec_is_two_pipes_with_upgrade_and_without() {
    let Some((engine, proxy)) = session() else { return };
    for (headers, status) in [(&UPGRADE[..], 101), (&[], 200)] {
        let direct = start(engine, &engine.socket(), headers);
        let through = start(engine, &proxy.socket(), headers);
        assert_eq!(through, direct);
        assert_eq!(through.status, status);
        assert_eq!(through.output.as_bytes(), [frame(1, "hello\n"), frame(1, "again\n")].concat());
    }
}

#[test]
fn output_goes_on_after_the_clients_input_has_ended() {
    let Some((_engine, proxy)) = session() else { return };
    let body = json!({"AttachStdin": true, "AttachStdout": true, "Cmd": ["sh", "-c", "cat; sleep 1; echo last"]});
    let id = exec(&proxy.socket(), &body);
    let mut connection = Connection::open(&proxy.socket());
    let head = connection.ask("POST", &format!("/exec/{id}/start"), &UPGRADE, b"{}");
    assert_eq!(head.status, 101);
    connection.half_close();
    assert_eq!(connection.rest(), frame(1, "last\n"));
}

#[test]
fn input_sent_too_early_is_held_until_the_engine_listens() {
    let Some((_engine, proxy)) = session() else { return };
    let id = exec(&proxy.socket(), &cat());
    let mut connection = Connection::open(&proxy.socket());
    connection.send(format!(
        "POST /exec/{id}/start HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}early\n"
    ));
    assert_eq!(connection.head().status, 101);
    connection.half_close();
    assert_eq!(connection.rest(), frame(1, "early\n"));
}

/// After an answer that handed nothing over, a second request on the same connection is a request like any other, or none.
#[track_caller]
fn check_no_tunnel(connection: &mut Connection) {
    let _ = connection.ends_within(Duration::from_millis(500));
    assert_no_canary("the request after", &String::from_utf8_lossy(connection.held()));
}

#[test]
fn an_answer_that_is_not_a_stream_opens_no_tunnel() {
    let Some((_engine, proxy)) = session() else { return };
    let detached = exec(&proxy.socket(), &json!({"Cmd": ["true"]}));
    for (path, body, statuses) in [
        ("/exec/nope/start", "{}", [404, 404]),
        ("/containers/nope/attach?stream=1&stdin=1", "", [404, 404]),
        ("/containers/odd/attach?stream=x&stdin=1&stdout=1&detachKeys=nonsense,", "", [400, 404]),
        (&format!("/exec/{detached}/start"), r#"{"Detach":true}"#, [200, 200]),
    ] {
        let mut connection = Connection::open(&proxy.socket());
        connection.send(format!(
            "POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}GET /v1.41/containers/web/json HTTP/1.1\r\nHost: docker\r\n\r\n",
            body.len()
        ));
        let head = connection.head();
        assert!(statuses.contains(&head.status), "{path}: {}", head.raw);
        let (body, complete) = connection.body(&head, PATIENCE);
        assert!(complete, "{path}: {} {}", head.raw, String::from_utf8_lossy(&body));
        check_no_tunnel(&mut connection);
    }
}

#[test]
fn a_detached_exec_is_answered_and_is_no_stream() {
    let Some((engine, proxy)) = session() else { return };
    let id = exec(&proxy.socket(), &json!({"Cmd": ["sh", "-c", "exit 5"]}));
    let started = client::post(&proxy.socket(), &format!("/exec/{id}/start"), &json!({"Detach": true}));
    assert_eq!((started.status(), started.body.len(), started.complete), (200, 0, true), "{}", started.text());
    let code = || client::get(&engine.socket(), &format!("/exec/{id}/json")).json()["ExitCode"].clone();
    assert!(eventually(PATIENCE, || code() == 5));
    assert_eq!(client::get(&proxy.socket(), &format!("/exec/{id}/json")).json()["ExitCode"], 5);
}

#[test]
fn a_websocket_is_refused_and_opens_no_tunnel() {
    let Some((_engine, proxy)) = session() else { return };
    let mut connection = Connection::open(&proxy.socket());
    connection.send(
        "GET /v1.41/containers/ticker/attach/ws?stream=1&stdout=1 HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
         GET /v1.41/containers/web/json HTTP/1.1\r\nHost: docker\r\n\r\n",
    );
    let head = connection.head();
    assert!((400..500).contains(&head.status), "{}", head.raw);
    assert!(connection.body(&head, PATIENCE).1);
    check_no_tunnel(&mut connection);
}

/// Makes a container live and die; its events are all that a filter on its name selects.
#[track_caller]
fn live_and_die(engine: &Engine, name: &str) {
    seed::container(
        &engine.socket(),
        name,
        json!({"Image": seed::BASE, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}),
    );
    client::post(&engine.socket(), &format!("/containers/{name}/wait"), &Value::Null);
    remove(engine, name);
}

#[test]
fn events_are_the_engines_bytes_as_they_happen() {
    let Some((engine, proxy)) = session() else { return };
    let target = "/events?filters=%7B%22container%22%3A%7B%22mayfly%22%3Atrue%7D%7D";
    let mut direct = Connection::open(&engine.socket());
    let mut through = Connection::open(&proxy.socket());
    assert_eq!(direct.ask("GET", target, &[], b"").status, 200);
    let head = through.ask("GET", target, &[], b"");
    assert_eq!(head.status, 200);
    assert_eq!(head.get("content-type"), Some("application/json"));
    live_and_die(engine, "mayfly");
    loop {
        let expected = direct.chunk(PATIENCE).unwrap();
        let event = through.chunk(Duration::from_secs(5)).expect("the same event");
        assert_eq!(String::from_utf8_lossy(&event), String::from_utf8_lossy(&expected));
        if String::from_utf8_lossy(&expected).contains("\"Action\":\"destroy\"") {
            break;
        }
    }
}

#[test]
fn past_events_are_the_engines_bytes() {
    let Some((engine, proxy)) = session() else { return };
    live_and_die(engine, "moth");
    for query in ["since=1&until=2", "since=1&until=4102444800&filters=%7B%22container%22%3A%7B%22moth%22%3Atrue%7D%7D"]
    {
        // The second never ends by itself: what is there is there at once.
        let ask = |socket: &Path| -> Answer {
            client::exchange(socket, "GET", &format!("/events?{query}"), &[], b"", Duration::from_secs(2))
        };
        let (direct, through) = (ask(&engine.socket()), ask(&proxy.socket()));
        assert_eq!((through.status(), through.complete), (direct.status(), direct.complete));
        assert_eq!(String::from_utf8_lossy(&through.body), String::from_utf8_lossy(&direct.body));
    }
}

#[test]
fn statistics_come_once_or_every_second() {
    let Some((_engine, proxy)) = session() else { return };
    let once = client::get(&proxy.socket(), "/containers/web/stats?stream=0");
    assert!(once.complete && once.json()["pids_stats"]["current"].is_number(), "{}", once.text());
    let mut connection = Connection::open(&proxy.socket());
    assert_eq!(connection.ask("GET", "/containers/web/stats", &[], b"").status, 200);
    for _ in 0..3 {
        let chunk = connection.chunk(Duration::from_secs(10)).expect("a sample every second");
        let sample: Value = serde_json::from_slice(&chunk).unwrap();
        assert!(sample["cpu_stats"]["cpu_usage"]["total_usage"].is_number(), "{sample:#}");
    }
}

#[test]
fn the_head_of_a_wait_comes_before_its_end() {
    let Some((engine, proxy)) = session() else { return };
    remove(engine, "waited");
    seed::container(
        &engine.socket(),
        "waited",
        json!({"Image": seed::BASE, "Cmd": ["sleep", "1000"], "StopSignal": "SIGKILL",
        "HostConfig": {"NetworkMode": "none"}}),
    );
    let mut connection = Connection::open(&proxy.socket());
    let head = connection.ask("POST", "/containers/waited/wait", &[], b"");
    assert_eq!(head.status, 200);
    assert_eq!(client::post(&engine.socket(), "/containers/waited/stop", &Value::Null).status(), 204);
    let (body, complete) = connection.body(&head, PATIENCE);
    assert!(complete);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["StatusCode"], 137);
    remove(engine, "waited");
}

#[test]
fn a_client_that_leaves_takes_its_upstream_connection_with_it() {
    let Some((_engine, proxy)) = session() else { return };
    assert_eq!(client::get(&proxy.socket(), "/_ping").status(), 200);
    let idle = || proxy.sockets();
    // The connection that the ping was made with may stay, for the next request.
    let before = idle();
    let id = exec(&proxy.socket(), &cat());
    for (method, target, headers, body) in [
        ("GET", "/events", &[][..], ""),
        ("GET", "/containers/ticker/logs?stdout=1&follow=1", &[], ""),
        ("GET", "/containers/story/logs?stdout=1&follow=1&tail=0", &[], ""),
        ("GET", "/containers/web/stats", &[], ""),
        ("POST", "/containers/web/wait", &[], ""),
        ("POST", "/containers/terminal/attach?stream=1&stdin=1&stdout=1", &UPGRADE, ""),
        ("POST", &format!("/exec/{id}/start"), &UPGRADE, "{}"),
    ] {
        let mut connections: Vec<Connection> =
            (0..if body.is_empty() { 4 } else { 1 }).map(|_| Connection::open(&proxy.socket())).collect();
        for connection in &mut connections {
            let head = connection.ask(method, target, headers, body.as_bytes());
            assert!(matches!(head.status, 200 | 101), "{target}: {}", head.raw);
        }
        let during = idle();
        drop(connections);
        let gone = eventually(Duration::from_secs(1), || idle() <= before + 1);
        assert!(gone, "{target}: {before} sockets before, {during} during, {} after", idle());
    }
}
