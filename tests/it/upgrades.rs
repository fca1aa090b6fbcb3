//! Upgraded connections other than Docker's own: HTTP/2 of BuildKit, and WebSockets. The client's request decides what is
//! asked of the daemon, and the daemon's answer decides whether there is a tunnel.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::harness::{Test, tests};
use crate::support::client::status;
use crate::support::daemon::{Reply, handing, with_status};
use crate::support::proxy::{Bench, policy_of};

pub(crate) const TESTS: &[Test] = tests![
    a_tunnel_to_buildkit_passes_both_ways,
    a_body_does_not_go_into_a_tunnel_to_buildkit,
    a_websocket_passes_both_ways,
    what_the_client_does_not_ask_for_reaches_no_daemon,
    no_tunnel_without_the_upgrade_that_was_asked_for,
    a_websocket_of_the_listeners_own_origin_is_no_web_page,
];

const PROFILE: &str = "profile: test\nabout: For tests.\nallow: [Session, Grpc, ContainerAttachWebsocket, ContainerInspect]\nshow: [identity]\n";

/// A request of the docker command 28.5 for a tunnel to BuildKit, as `client/hijack.go` of its engine client writes it.
fn grpc(target: &str, fields: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: api.moby.localhost\r\nUser-Agent: buildx/0.29.1\r\nContent-Length: 0\r\n{fields}\
         Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    )
}

const H2C: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

/// A request of websocket-client for Python, as its `_handshake.py` writes it.
fn websocket(host: &str, origin: &str) -> String {
    format!(
        "GET /v1.51/containers/web/attach/ws?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nUpgrade: websocket\r\nHost: {host}\r\n\
         Origin: {origin}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade\r\n\r\n"
    )
}

const WEBSOCKET: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nServer: canary\r\n\r\n";

/// Talks both ways over a tunnel that `request` opens and the daemon answers with `head`; returns the head that the client
/// reads, and the request that the daemon reads.
#[track_caller]
fn talk(request: &str, head: &str) -> (String, String) {
    let (answer, connections) = handing(&format!("{head}first\0"));
    let bench = Bench::profiled(PROFILE, answer);
    let mut client = bench.client();
    client.send(format!("{request}early "));
    let down = client.read_until("first\0");
    client.send(b"late\xff\0");
    client.0.shutdown(Shutdown::Write).unwrap();
    let mut daemon = connections.next();
    let mut up = Vec::new();
    daemon.read_to_end(&mut up).unwrap();
    assert_eq!(up, b"early late\xff\0");
    daemon.write_all(b"last").unwrap();
    drop(daemon);
    assert_eq!(client.rest(), "last");
    let [asked] = <[String; 1]>::try_from(bench.daemon.requests()).unwrap();
    (down.strip_suffix("first\0").unwrap().to_owned(), asked)
}

fn a_tunnel_to_buildkit_passes_both_ways() {
    let session = "X-Docker-Expose-Session-Uuid: ab1\r\nX-Docker-Expose-Session-Name: here\r\nX-Docker-Expose-Session-Sharedkey: cd2\r\n\
                   X-Docker-Expose-Session-Grpc-Method: /moby.filesync.v1.FileSync/DiffCopy\r\n\
                   X-Docker-Expose-Session-Grpc-Method: /moby.filesync.v1.Auth/Credentials\r\n";
    for (target, sent, fields) in [
        ("/grpc", "/v1.51/grpc", ""),
        ("/v1.44/grpc", "/v1.44/grpc", ""),
        ("/session", "/v1.51/session", session),
        ("/v1.40/session", "/v1.40/session", session),
    ] {
        let (down, asked) = talk(&grpc(target, fields), H2C);
        assert_eq!(down, H2C, "{target}");
        let expected = format!("POST {sent} HTTP/1.1\r\nHost: docker\r\n");
        let rest = "Content-Length: 0\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
        assert!(asked.starts_with(&expected) && asked.ends_with(rest), "{asked}");
        let fields_up = asked.strip_prefix(&expected).unwrap().strip_suffix(rest).unwrap();
        assert_eq!(sorted(fields_up), sorted(fields), "{target}");
    }
}

/// dockerode 5 sends a body that is empty and chunked (docker-modem 5.0, `lib/modem.js`). The engine reads no body here, so none
/// goes up, nor could one stand in the tunnel.
fn a_body_does_not_go_into_a_tunnel_to_buildkit() {
    let request = |body: &str| {
        format!(
            "POST /session HTTP/1.1\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Uuid: ab1\r\nX-Docker-Expose-Session-Name: testcontainers\r\n\
             Transfer-Encoding: chunked\r\nConnection: Upgrade\r\nHost: localhost\r\n\r\n{body}"
        )
    };
    for body in ["0\r\n\r\n", "6\r\ncanary\r\n0\r\n\r\n"] {
        let (down, asked) = talk(&request(body), H2C);
        assert_eq!(down, H2C);
        assert!(asked.ends_with("Content-Length: 0\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), "{asked}");
        assert!(
            asked.contains("x-docker-expose-session-name: testcontainers\r\n") && !asked.contains("canary"),
            "{asked}"
        );
    }
}

/// The lines of some header fields, in one case and order.
fn sorted(fields: &str) -> Vec<String> {
    let mut lines: Vec<String> = fields.lines().map(str::to_ascii_lowercase).collect();
    lines.sort_unstable();
    lines
}

fn a_websocket_passes_both_ways() {
    let request = websocket("localhost", "http://localhost");
    let offered = request.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: tty\r\nCookie: a\r\n\r\n");
    let chosen = WEBSOCKET.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: tty\r\n\r\n");
    for (request, head, protocol) in [(&request, WEBSOCKET, ""), (&offered, &chosen, "sec-websocket-protocol: tty\r\n")]
    {
        let (down, asked) = talk(request, head);
        assert_eq!(
            down,
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{protocol}\
                 Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
        );
        assert_eq!(
            asked,
            format!(
                "GET /v1.51/containers/web/attach/ws?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: docker\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n{protocol}\
                 Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
        );
    }
}

fn what_the_client_does_not_ask_for_reaches_no_daemon() {
    let bench = Bench::profiled(PROFILE, |_| Reply::Keep(H2C.into()));
    let (grpc, websocket) = (grpc("/grpc", ""), websocket("localhost", "http://localhost"));
    for request in [
        grpc.replace("h2c", "tcp"),
        grpc.replace("h2c", "h2c, websocket"),
        grpc.replace("Upgrade: h2c\r\n", ""),
        grpc.replace("Connection: Upgrade", "Connection: close"),
        grpc.replace("HTTP/1.1", "HTTP/1.0"),
        websocket.replace("websocket\r\n", "h2c\r\n").replace("Origin: http://localhost\r\n", ""),
        websocket.replace("Sec-WebSocket-Version: 13\r\n", "").replace("Origin: http://localhost\r\n", ""),
        websocket.replace("Version: 13", "Version: 8").replace("Origin: http://localhost\r\n", ""),
        websocket.replace("dGhlIHNhbXBsZSBub25jZQ==", "{canary}").replace("Origin: http://localhost\r\n", ""),
        websocket.replace("GET", "POST"),
        grpc.replace("POST", "GET"),
    ] {
        let answer = bench.ask(format!("{request}GET /containers/a/json HTTP/1.1\r\nHost: d\r\n\r\n"));
        assert!((400..506).contains(&status(&answer)), "{request:?}: {answer}");
        assert!(answer.contains("{\"message\":\""), "{request:?}: {answer}");
        let asked = bench.daemon.requests();
        assert!(
            asked
                .iter()
                .all(|asked| asked.starts_with("GET /v1.51/containers/a/json HTTP/1.1\r\nhost: docker\r\n\r\n")),
            "{asked:?}"
        );
    }
}

fn no_tunnel_without_the_upgrade_that_was_asked_for() {
    const RAW: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\ncanary";
    let (grpc, websocket) = (grpc("/grpc", ""), websocket("localhost", "http://localhost"));
    let answers = |own: &str, other: &str| {
        [
            RAW.to_owned(),
            format!("{other}canary"),
            own.replace("101 Switching Protocols", "200 OK") + "canary",
            own.replace("\r\n\r\n", "\r\nContent-Length: 6\r\n\r\n") + "canary",
            own.replace("Upgrade: ", "X: ") + "canary",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"message\":\"canary\"}".to_owned(),
            "HTTP/1.1 400 Bad Request\r\n\r\ncanary".to_owned(),
        ]
    };
    let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    let mut of_websocket = answers(WEBSOCKET, H2C).to_vec();
    of_websocket.push(WEBSOCKET.replace(accept, "") + "canary");
    of_websocket.push(WEBSOCKET.replace(accept, "Sec-WebSocket-Accept: canary\r\n"));
    of_websocket.push(WEBSOCKET.replace(accept, &format!("{accept}{accept}")) + "canary");
    for (request, answers) in [(grpc, answers(H2C, WEBSOCKET).to_vec()), (websocket, of_websocket)] {
        for answer in answers {
            let reply = answer.clone();
            let bench = Bench::profiled(PROFILE, move |_| Reply::Keep(reply.clone().into()));
            let mut client = bench.client();
            client.send(format!("{request}GET /containers/t1/json HTTP/1.1\r\nHost: d\r\n\r\n"));
            let head = client.read_until("\r\n\r\n");
            client.send("GET /containers/t2/json HTTP/1.1\r\nHost: d\r\n\r\n");
            let read = head + &client.rest();
            assert!(status(&read) >= 400, "{answer:?}: {read}");
            assert_eq!(bench.daemon.requests().len(), 1, "{answer:?}");
            assert!(!read.contains("canary"), "{answer:?}: {read}");
            assert_eq!(read.matches("HTTP/1.1 ").count(), 1, "{answer:?}: {read}");
        }
    }
}

fn a_websocket_of_the_listeners_own_origin_is_no_web_page() {
    let refusing = |_: &str| with_status("404 Not Found", "{}");
    let any = Bench::profiled(PROFILE, refusing);
    let listed = Bench::with(refusing, |config| {
        config.listeners[0].policy = policy_of(PROFILE);
        config.listeners[0].hosts = vec!["dockveil".into()];
    });
    for (bench, host, origin, expected) in [
        (&any, "127.0.0.1:2375", "http://127.0.0.1:2375", 404),
        (&any, "[::1]:2375", "http://[::1]:2375", 404),
        (&any, "localhost", "http://localhost", 404),
        (&listed, "dockveil:2375", "http://dockveil:2375", 404),
        // A page of another port, of another host, and of a name that may have been pointed here.
        (&any, "127.0.0.1:2375", "http://127.0.0.1:8080", 403),
        (&any, "127.0.0.1:2375", "http://127.0.0.1", 403),
        (&any, "127.0.0.1:2375", "https://127.0.0.1:2375", 403),
        (&any, "127.0.0.1:2375", "null", 403),
        (&any, "127.0.0.1:2375", "http://evil.example", 403),
        (&any, "evil.example:2375", "http://evil.example:2375", 403),
        (&any, "127.0.0.1.evil.example", "http://127.0.0.1.evil.example", 403),
        (&listed, "evil.example", "http://evil.example", 403),
        (&listed, "dockveil", "http://dockveil\r\nOrigin: http://evil.example", 403),
    ] {
        assert_eq!(status(&bench.ask(websocket(host, origin))), expected, "{host} {origin}");
    }
    // Any other request of a web page is refused, even of the listener's own origin.
    let own = "Host: localhost\r\nOrigin: http://localhost\r\n";
    let request = format!("GET /containers/a/json HTTP/1.1\r\n{own}\r\n");
    assert_eq!(status(&any.ask(request)), 403);
    let request = format!("POST /grpc HTTP/1.1\r\n{own}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    assert_eq!(status(&any.ask(request)), 403);
}
