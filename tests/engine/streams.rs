//! Streams and upgraded connections, byte by byte: the proxy passes on what the engine sends.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Ignored, Outcome, Test, tests};
use crate::support::client::{self, Connection, TIMEOUT};
use crate::support::engine::Engine;
use crate::support::proxy::Proxy;
use crate::support::{assert_no_canary, cli, engine, eventually, installed, now, seed};

pub(crate) const TESTS: &[Test] = tests![
    logs_are_the_engines_bytes,
    a_whole_log_arrives,
    a_followed_log_arrives_line_by_line,
    attach_is_two_pipes_with_upgrade_and_without,
    exec_is_two_pipes_with_upgrade_and_without,
    output_goes_on_after_the_clients_input_has_ended,
    input_sent_too_early_is_held_until_the_engine_listens,
    an_answer_that_is_not_a_stream_opens_no_tunnel,
    a_detached_exec_is_answered_and_is_no_stream,
    a_websocket_is_two_pipes,
    a_refused_websocket_opens_no_tunnel,
    events_are_the_engines_bytes_as_they_happen,
    past_events_are_the_engines_bytes,
    statistics_come_once_or_every_second,
    the_head_of_a_wait_comes_before_its_end,
    a_client_that_leaves_takes_its_upstream_connection_with_it,
];

/// The headers that ask for an upgrade.
pub(crate) const UPGRADE: [&str; 2] = ["Connection: Upgrade", "Upgrade: tcp"];

/// The engine for tests that write, and a proxy in front of it with the profile for sessions.
fn session() -> Result<(&'static Engine, Proxy), Ignored> {
    let engine = engine::read_write()?;
    Ok((engine, Proxy::start(&engine.socket(), "session")))
}

/// What a client sees of an upgraded connection.
#[derive(Debug, PartialEq)]
pub(crate) struct Transcript {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    upgrade: Option<String>,
    pub(crate) output: String,
}

/// Talks to `cat` over an upgraded connection: a line, its echo, another line, and the end of the input.
#[track_caller]
fn talk_to_cat(connection: &mut Connection, head: &client::Head, echo: &[u8]) -> Transcript {
    connection.send("hello\n");
    let first = connection.read_exact(echo.len(), TIMEOUT).unwrap_or_default();
    connection.send("again\n");
    connection.half_close();
    let output = [first, connection.read_to_end()].concat();
    Transcript {
        status: head.status,
        content_type: head.get("content-type").map(str::to_owned),
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
    seed::exec(socket, "web", body)
}

/// An exec that echoes its input.
fn cat() -> Value {
    json!({"AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Cmd": ["cat"]})
}

fn logs_are_the_engines_bytes() -> Outcome {
    let (engine, proxy) = session()?;
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
                    assert!(through.body == direct.body, "{target}: {}", through.text());
                }
            }
        }
    }
    Ok(())
}

fn a_whole_log_arrives() -> Outcome {
    let (_engine, proxy) = session()?;
    let log = client::get(&proxy.socket(), "/containers/story/logs?stdout=1");
    let expected: Vec<u8> = (1..=seed::STORY_LINES).flat_map(|n| frame(1, &format!("out {n}\n"))).collect();
    assert!(log.body == expected, "{}", log.text());
    Ok(())
}

fn a_followed_log_arrives_line_by_line() -> Outcome {
    let (_engine, proxy) = session()?;
    let mut connection = Connection::open(&proxy.socket());
    let head = connection.request("GET", "/containers/ticker/logs?stdout=1&follow=1&tail=1", &[], b"");
    assert_eq!(head.status, 200);
    for _ in 0..5 {
        let chunk = connection.read_chunk(TIMEOUT).expect("a line five times a second");
        assert_eq!(chunk.first(), Some(&1));
        assert_eq!(chunk.last(), Some(&b'\n'));
    }
    Ok(())
}

/// Attaches to a new container that echoes its input, through `socket`.
#[track_caller]
pub(crate) fn attach(engine: &Engine, socket: &Path, name: &str, headers: &[&str]) -> Transcript {
    let body = json!({"Image": seed::BASE, "Cmd": ["cat"], "OpenStdin": true, "StdinOnce": true,
        "AttachStdin": true, "AttachStdout": true, "HostConfig": {"NetworkMode": "none"}});
    seed::create(&engine.socket(), name, &body);
    let mut connection = Connection::open(socket);
    let head = connection.request(
        "POST",
        &format!("/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1"),
        headers,
        b"",
    );
    assert_eq!(client::post(&engine.socket(), &format!("/containers/{name}/start"), &Value::Null).status(), 204);
    let transcript = talk_to_cat(&mut connection, &head, &frame(1, "hello\n"));
    assert_eq!(seed::wait(&engine.socket(), name), 0);
    seed::remove(&engine.socket(), name);
    transcript
}

fn attach_is_two_pipes_with_upgrade_and_without() -> Outcome {
    let (engine, proxy) = session()?;
    for (name, headers, status) in [("attach-upgrade", &UPGRADE[..], 101), ("attach-plain", &[], 200)] {
        let direct = attach(engine, &engine.socket(), name, headers);
        let through = attach(engine, &proxy.socket(), name, headers);
        assert_eq!(through, direct);
        assert_eq!(through.status, status);
        assert_eq!(through.output.as_bytes(), [frame(1, "hello\n"), frame(1, "again\n")].concat());
    }
    Ok(())
}

/// The exit code of an exec, once it has ended.
#[track_caller]
fn exit_code(engine: &Engine, id: &str) -> Value {
    let code = || client::get(&engine.socket(), &format!("/exec/{id}/json")).json()["ExitCode"].clone();
    assert!(eventually(TIMEOUT, || !code().is_null()), "the exec does not end");
    code()
}

/// Starts an exec that echoes its input, through `socket`.
#[track_caller]
pub(crate) fn start(engine: &Engine, socket: &Path, headers: &[&str]) -> Transcript {
    let id = exec(socket, &cat());
    let mut connection = Connection::open(socket);
    let head = connection.request("POST", &format!("/exec/{id}/start"), headers, br#"{"Detach":false,"Tty":false}"#);
    let transcript = talk_to_cat(&mut connection, &head, &frame(1, "hello\n"));
    assert_eq!(exit_code(engine, &id), 0);
    transcript
}

fn exec_is_two_pipes_with_upgrade_and_without() -> Outcome {
    let (engine, proxy) = session()?;
    for (headers, status) in [(&UPGRADE[..], 101), (&[], 200)] {
        let direct = start(engine, &engine.socket(), headers);
        let through = start(engine, &proxy.socket(), headers);
        assert_eq!(through, direct);
        assert_eq!(through.status, status);
        assert_eq!(through.output.as_bytes(), [frame(1, "hello\n"), frame(1, "again\n")].concat());
    }
    Ok(())
}

fn output_goes_on_after_the_clients_input_has_ended() -> Outcome {
    let (engine, proxy) = session()?;
    let script = "busybox mkfifo /tmp/output; cat; echo ended; cat /tmp/output";
    let body = json!({"AttachStdin": true, "AttachStdout": true, "Cmd": ["sh", "-c", script]});
    let id = exec(&proxy.socket(), &body);
    let mut connection = Connection::open(&proxy.socket());
    let head = connection.request("POST", &format!("/exec/{id}/start"), &UPGRADE, b"{}");
    assert_eq!(head.status, 101);
    connection.half_close();
    assert_eq!(connection.read_exact(frame(1, "ended\n").len(), TIMEOUT), Some(frame(1, "ended\n")));
    // The end of the input has arrived, and the output is still open.
    let id = exec(&engine.socket(), &json!({"Cmd": ["sh", "-c", "echo last >/tmp/output"]}));
    assert_eq!(client::post(&engine.socket(), &format!("/exec/{id}/start"), &json!({"Detach": true})).status(), 200);
    assert_eq!(connection.read_to_end(), frame(1, "last\n"));
    Ok(())
}

fn input_sent_too_early_is_held_until_the_engine_listens() -> Outcome {
    let (_engine, proxy) = session()?;
    let id = exec(&proxy.socket(), &cat());
    let mut connection = Connection::open(&proxy.socket());
    connection.send(format!(
        "POST /exec/{id}/start HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}early\n"
    ));
    assert_eq!(connection.read_head().status, 101);
    connection.half_close();
    assert_eq!(connection.read_to_end(), frame(1, "early\n"));
    Ok(())
}

/// After a response that is no upgrade, dockveil closes the connection or reads a second request in it, and filters that one
/// as any other.
#[track_caller]
fn check_no_tunnel(connection: &mut Connection) {
    let Some(head) = connection.next_head() else { return };
    let (body, complete) = connection.read_body(&head);
    assert!(complete && head.status == 200, "{} {}", head.raw, String::from_utf8_lossy(&body));
    assert_no_canary("the next response", &String::from_utf8_lossy(&body));
}

fn an_answer_that_is_not_a_stream_opens_no_tunnel() -> Outcome {
    let (_engine, proxy) = session()?;
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
        let head = connection.read_head();
        assert!(statuses.contains(&head.status), "{path}: {}", head.raw);
        let (body, complete) = connection.read_body(&head);
        assert!(complete, "{path}: {} {}", head.raw, String::from_utf8_lossy(&body));
        check_no_tunnel(&mut connection);
    }
    Ok(())
}

fn a_detached_exec_is_answered_and_is_no_stream() -> Outcome {
    let (engine, proxy) = session()?;
    let id = exec(&proxy.socket(), &json!({"Cmd": ["sh", "-c", "exit 5"]}));
    let started = client::post(&proxy.socket(), &format!("/exec/{id}/start"), &json!({"Detach": true}));
    assert_eq!((started.status(), started.body.len(), started.complete), (200, 0, true), "{}", started.text());
    assert_eq!(exit_code(engine, &id), 5);
    assert_eq!(client::get(&proxy.socket(), &format!("/exec/{id}/json")).json()["ExitCode"], 5);
    Ok(())
}

/// The SDK for Python and its WebSocket client talk to a container, at the engine and through the proxy.
fn a_websocket_is_two_pipes() -> Outcome {
    let python = installed::client("python/bin/python")?;
    let engine = engine::read_write()?;
    let (proxy, address) = Proxy::start_on_tcp(&engine.socket(), "open");
    let body = json!({"Image": seed::BASE, "Cmd": ["cat"], "OpenStdin": true, "HostConfig": {"NetworkMode": "none"}});
    seed::start(&engine.socket(), "websocket", &body);
    let unix = |socket: PathBuf| format!("unix://{}", socket.display());
    for host in [unix(engine.socket()), unix(proxy.socket()), address] {
        let seen = cli::stdout_at(&host, &[&python, &installed::script("attach_ws.py"), "websocket"]);
        let seen: Value = serde_json::from_str(&seen).unwrap();
        assert_eq!(seen, json!({"status": 101, "kind": "binary", "seen": "a line\n", "protocol": null}), "{host}");
    }
    seed::remove(&engine.socket(), "websocket");
    Ok(())
}

fn a_refused_websocket_opens_no_tunnel() -> Outcome {
    let (_engine, proxy) = session()?;
    let handshake =
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (name, fields) in [
        ("nope", handshake),
        ("ticker", ""),
        ("ticker", "Upgrade: websocket\r\n"),
        ("ticker", &handshake.replace("13", "7")),
        ("ticker", &handshake.replace("websocket", "h2c")),
    ] {
        let mut connection = Connection::open(&proxy.socket());
        connection.send(format!(
            "GET /v1.41/containers/{name}/attach/ws?stream=1&stdout=1 HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\n\
             {fields}\r\nGET /v1.41/containers/web/json HTTP/1.1\r\nHost: docker\r\n\r\n",
        ));
        let head = connection.read_head();
        assert_eq!(head.status, if name == "nope" { 404 } else { 400 }, "{fields:?}: {}", head.raw);
        assert!(connection.read_body(&head).1, "{fields:?}");
        check_no_tunnel(&mut connection);
    }
    Ok(())
}

fn events_are_the_engines_bytes_as_they_happen() -> Outcome {
    let (engine, proxy) = session()?;
    // Docker sends the head before it listens for events: with a time it also tells what came in between.
    let target = format!("/events?since={}&filters=%7B%22container%22%3A%7B%22lacewing%22%3Atrue%7D%7D", now());
    let mut direct = Connection::open(&engine.socket());
    let mut through = Connection::open(&proxy.socket());
    assert_eq!(direct.request("GET", &target, &[], b"").status, 200);
    let head = through.request("GET", &target, &[], b"");
    assert_eq!(head.status, 200);
    assert_eq!(head.get("content-type"), Some("application/json"));
    seed::run_and_remove(&engine.socket(), "lacewing", &seed::detached(&["true"]));
    loop {
        let expected = direct.read_chunk(TIMEOUT).unwrap();
        let event = through.read_chunk(TIMEOUT).expect("the same event");
        assert_eq!(String::from_utf8_lossy(&event), String::from_utf8_lossy(&expected));
        if String::from_utf8_lossy(&expected).contains("\"Action\":\"destroy\"") {
            break;
        }
    }
    Ok(())
}

fn past_events_are_the_engines_bytes() -> Outcome {
    let (engine, proxy) = session()?;
    seed::run_and_remove(&engine.socket(), "bumblebee", &seed::detached(&["true"]));
    let filter = "filters=%7B%22container%22%3A%7B%22bumblebee%22%3Atrue%7D%7D";
    for query in ["since=1&until=2", &format!("since=1&until={}&{filter}", now())] {
        let target = format!("/events?{query}");
        let (direct, through) = (client::get(&engine.socket(), &target), client::get(&proxy.socket(), &target));
        assert_eq!((through.status(), through.complete), (direct.status(), true), "{target}");
        assert_eq!(String::from_utf8_lossy(&through.body), String::from_utf8_lossy(&direct.body), "{target}");
        assert_eq!(direct.text().contains("\"destroy\""), query.contains("bumblebee"), "{target}: {}", direct.text());
    }
    Ok(())
}

fn statistics_come_once_or_every_second() -> Outcome {
    let (_engine, proxy) = session()?;
    let once = client::get(&proxy.socket(), "/containers/web/stats?stream=0");
    assert!(once.complete && once.json()["pids_stats"]["current"].is_number(), "{}", once.text());
    let mut connection = Connection::open(&proxy.socket());
    assert_eq!(connection.request("GET", "/containers/web/stats", &[], b"").status, 200);
    for _ in 0..3 {
        let chunk = connection.read_chunk(TIMEOUT).expect("a sample every second");
        let sample: Value = serde_json::from_slice(&chunk).unwrap();
        assert!(sample["cpu_stats"]["cpu_usage"]["total_usage"].is_number(), "{sample:#}");
    }
    Ok(())
}

fn the_head_of_a_wait_comes_before_its_end() -> Outcome {
    let (engine, proxy) = session()?;
    seed::start(&engine.socket(), "waited", &seed::detached(&["sleep", "1000"]));
    let mut connection = Connection::open(&proxy.socket());
    let head = connection.request("POST", "/containers/waited/wait", &[], b"");
    assert_eq!(head.status, 200);
    assert_eq!(client::post(&engine.socket(), "/containers/waited/stop", &Value::Null).status(), 204);
    let (body, complete) = connection.read_body(&head);
    assert!(complete);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["StatusCode"], 137);
    seed::remove(&engine.socket(), "waited");
    Ok(())
}

fn a_client_that_leaves_takes_its_upstream_connection_with_it() -> Outcome {
    let (_engine, proxy) = session()?;
    assert_eq!(client::get(&proxy.socket(), "/_ping").status(), 200);
    // The upstream connection of the ping may stay open for the next request.
    let before = proxy.sockets();
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
            let head = connection.request(method, target, headers, body.as_bytes());
            assert!(matches!(head.status, 200 | 101), "{target}: {}", head.raw);
        }
        let during = proxy.sockets();
        drop(connections);
        let gone = eventually(TIMEOUT, || proxy.sockets() <= before + 1);
        assert!(gone, "{target}: {before} sockets before, {during} during, {} after", proxy.sockets());
    }
    Ok(())
}
