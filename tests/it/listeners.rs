//! Where we listen and what we speak to: Unix sockets and TCP.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use dockveil::config::{Config, Limits, Listener, Startup, Timeouts};
use dockveil::server;
use dockveil::socket::{Address, SocketOwner};

use crate::support::client::{get, status};
use crate::support::daemon::json;
use crate::support::proxy::{Bench, Folder, policy};

fn listener(address: Address) -> Listener {
    Listener {
        address,
        mode: None,
        owner: SocketOwner::default(),
        policy: policy(),
        origins: Vec::new(),
        hosts: Vec::new(),
    }
}

fn config(upstream: Address, listeners: Vec<Listener>) -> Config {
    let timeouts = Timeouts { shutdown: Duration::from_millis(200), ..Timeouts::default() };
    Config { upstream, listeners, limits: Limits::default(), timeouts, startup: Startup::default() }
}

#[test]
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

#[test]
fn a_socket_goes_when_its_server_stops() {
    let folder = Folder::new();
    let path = folder.path("listener");
    let config = || config(Address::Unix(folder.path("engine")), vec![listener(Address::Unix(path.clone()))]);
    // One that nobody listens on any more makes room.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let running = server::start(config()).unwrap();
    assert!(path.exists());
    assert!(server::start(config()).is_err(), "somebody listens there");
    running.stop();
    assert!(!path.exists());
    std::fs::write(&path, "a file").unwrap();
    assert!(server::start(config()).is_err(), "something that is no socket stands there");
    assert_eq!(std::fs::read(&path).unwrap(), b"a file");
}

/// One request to `port`, read to the end of the connection.
fn ask(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
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
    assert!(ask(port, &get("/containers/web/json")).ends_with("{\"Id\":\"1\",\"Path\":\"\"}\n"));
    assert!(ask(port, &get("/v1.51/containers/a/json")).ends_with("{\"Id\":\"1\",\"Path\":\"\"}\n"));
    let mut events = TcpStream::connect(("127.0.0.1", port)).unwrap();
    events.write_all(get("/events").as_bytes()).unwrap();
    events.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut answer = String::new();
    events.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("3\r\n{}\n\r\n0\r\n\r\n"), "{answer}");
    running.stop();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}
