//! Listeners and the connection to the engine, on Unix sockets and on TCP.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use dockveil::cli::{Environment, ServeArgs};
use dockveil::config::{Config, ConfigFileSet, Limits, Listener, Startup, Timeouts};
use dockveil::server;
use dockveil::socket::{Address, Keepalive, SocketOwner};

use crate::harness::{Test, tests};
use crate::support::client::{Client, ask_port, closing_get, get, status};
use crate::support::daemon::{Daemon, json};
use crate::support::proxy::{Bench, Folder, policy};

pub(crate) const TESTS: &[Test] = tests![
    mode_and_owner_of_a_socket_are_as_configured,
    a_socket_is_removed_when_its_server_stops,
    tcp_on_both_sides_filters_and_streams,
    a_listener_may_have_an_engine_of_its_own,
    a_web_page_cannot_reach_a_loopback_listener_by_a_name_of_its_own,
];

fn listener(address: Address) -> Listener {
    Listener::new(address, policy())
}

fn config(upstream: Address, listeners: Vec<Listener>) -> Config {
    let timeouts = Timeouts { shutdown: Duration::from_millis(200), ..Timeouts::default() };
    let limits = Limits::default();
    Config {
        upstream: upstream.into(),
        listeners,
        limits,
        timeouts,
        keepalive: Keepalive::default(),
        api: Default::default(),
        observability: Default::default(),
        startup: Startup::default(),
        files: ConfigFileSet::default(),
    }
}

fn mode_and_owner_of_a_socket_are_as_configured() {
    let me = std::fs::metadata("/proc/self").unwrap();
    let owner = (me.uid(), me.gid());
    let bench = Bench::with(
        |_| json("[]"),
        move |config| {
            config.listeners[0].mode = Some(0o604);
            config.listeners[0].owner = SocketOwner { user: Some(owner.0), group: Some(owner.1) };
        },
    );
    let found = std::fs::metadata(bench.folder.path("listener")).unwrap();
    assert_eq!((found.permissions().mode() & 0o777, found.uid(), found.gid()), (0o604, owner.0, owner.1));
    assert_eq!(status(&bench.ask(get("/containers/json"))), 200);
}

fn a_socket_is_removed_when_its_server_stops() {
    let folder = Folder::new();
    let path = folder.path("listener");
    let config = || config(Address::Unix(folder.path("engine")), vec![listener(Address::Unix(path.clone()))]);
    // The socket of a program that has ended is replaced.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let running = server::start(config()).unwrap();
    assert!(path.exists());
    assert!(server::start(config()).is_err(), "a socket that is in use was replaced");
    running.stop();
    assert!(!path.exists());
    std::fs::write(&path, "a file").unwrap();
    assert!(server::start(config()).is_err(), "a file that is no socket was replaced");
    assert_eq!(std::fs::read(&path).unwrap(), b"a file");
}

fn a_web_page_cannot_reach_a_loopback_listener_by_a_name_of_its_own() {
    let folder = Folder::new();
    // Nobody is there: a request that is let in gets a 503.
    let upstream = format!("unix://{}", folder.path("engine").display());
    for (hosts, refused, answered) in [
        (
            &[][..],
            &["evil.example", "127.0.0.1.evil.example:80", "dockveil", ":80", "\u{e9}", "."][..],
            &["localhost", "127.0.0.1:2375", "[::1]:80", "", " "][..],
        ),
        (&["dockveil"], &["evil.example"], &["dockveil:1", "LOCALHOST"]),
        (&["*"], &[], &["evil.example", "localhost"]),
    ] {
        let arguments = ServeArgs {
            upstream: Some(upstream.clone()),
            listen: vec!["tcp://127.0.0.1:0".to_owned()],
            hosts: hosts.iter().map(|name| (*name).to_owned()).collect(),
            ..ServeArgs::default()
        };
        let config = Config::load(&arguments, &Environment::default()).unwrap();
        let running = server::start(config).unwrap();
        let Address::Tcp { port, .. } = running.addresses()[0].clone() else { panic!("no port") };
        let ask = |request: String| status(&ask_port(port, &request));
        for (names, expected) in [(refused, 403), (answered, 503)] {
            for name in names {
                let request = format!("GET /_ping HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
                assert_eq!(ask(request), expected, "{hosts:?} {name}");
            }
        }
        assert_eq!(ask("GET /_ping HTTP/1.0\r\n\r\n".to_owned()), 503, "no browser sends a request without a host");
        running.stop();
    }
}

fn tcp_on_both_sides_filters_and_streams() {
    let engine = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = Address::Tcp { host: "localhost".to_owned(), port: engine.local_addr().unwrap().port() };
    std::thread::spawn(move || {
        for stream in engine.incoming() {
            std::thread::spawn(move || {
                let (mut stream, mut head) = (stream.unwrap(), Vec::new());
                let mut byte = [0];
                while stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                    if !head.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let head = String::from_utf8(std::mem::take(&mut head)).unwrap();
                    let answer = match head.split([' ', '?']).nth(1).unwrap() {
                        "/_ping" => "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Length: 2\r\n\r\nOK",
                        "/v1.51/events" => {
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n"
                        }
                        _ => {
                            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{\"Id\":\"1\",\"Path\":\"canary\"}\n"
                        }
                    };
                    stream.write_all(answer.as_bytes()).unwrap();
                    if head.contains("Connection: close") {
                        return;
                    }
                }
            });
        }
    });
    let local = |host: &str| listener(Address::Tcp { host: host.to_owned(), port: 0 });
    let running = server::start(config(upstream, vec![local("127.0.0.1")])).unwrap();
    let Address::Tcp { port, .. } = running.addresses()[0].clone() else { panic!("no port") };
    for target in ["/containers/web/json", "/v1.51/containers/a/json"] {
        let answer = ask_port(port, &closing_get(target));
        assert!(answer.ends_with("{\"Id\":\"1\",\"Path\":\"\"}\n"), "{answer}");
    }
    let answer = ask_port(port, &get("/events"));
    assert!(answer.ends_with("3\r\n{}\n\r\n0\r\n\r\n"), "{answer}");
    running.stop();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

fn a_listener_may_have_an_engine_of_its_own() {
    let folder = Folder::new();
    let _other = Daemon::start(&folder.path("engine"), |_| json("[{\"Id\":\"other\"}]"));
    let bench = Bench::with(
        |_| json("[{\"Id\":\"first\"}]"),
        |config| {
            for (name, engine) in [("listener", "engine"), ("down", "nothing")] {
                let listener = listener(Address::Unix(folder.path(name)));
                let upstream = Some(Address::Unix(folder.path(engine)));
                config.listeners.push(Listener { upstream: upstream.map(Into::into), ..listener });
            }
        },
    );
    let [other, down] = ["listener", "down"].map(|name| Client::connect(&folder.path(name)));
    let mut clients = [bench.client(), other, down];
    // Over and over; one that is down takes nothing from the others.
    for _ in 0..8 {
        for (client, expected) in clients.iter_mut().zip(["{\"Id\":\"first\"}", "{\"Id\":\"other\"}", "unavailable"]) {
            client.send(get("/containers/json"));
            let answer = client.message(false);
            assert!(answer.contains(expected), "{answer}");
        }
    }
}
