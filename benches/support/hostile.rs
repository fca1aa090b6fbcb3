//! An engine whose answers cost as much as answers can, and clients that ask for a mix of them.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::documents;

/// Bytes of a large document: a little below the limit.
const LARGE: usize = 15 << 20;

// By whole ids: a profile that hides names lets clients find an object by nothing shorter.
const LABELS_DOCUMENT: &str = "/containers/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/json";
const TEXT_DOCUMENT: &str = "/containers/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/json";
const CREDENTIALS_DOCUMENT: &str = "/containers/cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc/json";
/// An ordinary document.
const PLAIN_DOCUMENT: &str = "/containers/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee/json";
const NESTED_DOCUMENT: &str = "/containers/dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd/json";

/// Hostile answers: what they are, and the target of each.
pub(crate) const TARGETS: [(&str, &str); 8] = [
    ("event of 600,000 labels", "/events?since=0&until=1"),
    ("document of 15 MiB of labels", LABELS_DOCUMENT),
    ("document with a text of 15 MiB", TEXT_DOCUMENT),
    ("document with 15 MiB like credentials", CREDENTIALS_DOCUMENT),
    ("document of 15 MiB of nested arrays", NESTED_DOCUMENT),
    ("list of one element of 15 MiB", "/containers/json?limit=1"),
    ("list of 5,000", "/containers/json?limit=5000"),
    ("list of elements of 60 kB in chunks of one byte", "/containers/json?limit=2"),
];

/// An event of a container with so many labels, whose names are alike.
pub(crate) fn event(count: usize) -> Vec<u8> {
    let mut out = br#"{"Type":"container","Action":"start","Actor":{"ID":"c","Attributes":{"#.to_vec();
    labels(count, &mut out);
    out.extend_from_slice(b"}},\"time\":1}\n");
    out
}

fn labels(count: usize, out: &mut Vec<u8>) {
    for at in 0..count {
        write!(out, r#"{}"com.{at:08}":"v""#, if at == 0 { "" } else { "," }).unwrap();
    }
}

/// A container with one label.
fn container(value: &str) -> Vec<u8> {
    format!(r#"{{"Id":"c","Config":{{"Labels":{{"a":"{value}"}}}}}}"#).into_bytes()
}

/// The bodies, which are made once.
struct Bodies {
    event: Vec<u8>,
    labels: Vec<u8>,
    text: Vec<u8>,
    credentials: Vec<u8>,
    nested: Vec<u8>,
    element: Vec<u8>,
    list: Vec<u8>,
    bytes: Vec<u8>,
    inspect: Vec<u8>,
    short_list: Vec<u8>,
}

impl Bodies {
    fn new() -> Bodies {
        let mut many = br#"{"Id":"c","Config":{"Labels":{"#.to_vec();
        labels(LARGE / 20, &mut many);
        many.extend_from_slice(b"}}}");
        let nest = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let nested = format!(r#"{{"Id":"c","Mounts":[{}]}}"#, vec![nest; LARGE / 201].join(","));
        let element = |size: usize| format!(r#"{{"Id":"c","Labels":{{"a":"{}"}}}}"#, "x".repeat(size));
        let bytes = format!("[{}]", vec![element(60_000); 4].join(","));
        Bodies {
            event: event(600_000),
            labels: many,
            text: container(&"x".repeat(LARGE)),
            credentials: container(&"password=a https://b:c eyJhbGci.eyJ ".repeat(LARGE / 40)),
            nested: nested.into_bytes(),
            element: format!("[{}]", element(LARGE)).into_bytes(),
            list: documents::list(5_000),
            bytes: bytes.bytes().flat_map(|byte| [b'1', b'\r', b'\n', byte, b'\r', b'\n']).collect(),
            inspect: documents::inspect(),
            short_list: documents::list(100),
        }
    }

    /// Writes the answer to one request.
    fn answer(&self, target: &str, client: &mut impl Write) -> io::Result<()> {
        let path = target.trim_start_matches("/v1.51");
        let body = match path.split_once("?limit=").unwrap_or((path, "")) {
            ("/_ping", _) => return whole(client, "text/plain", b"OK"),
            (LABELS_DOCUMENT, _) => &self.labels,
            (TEXT_DOCUMENT, _) => &self.text,
            (CREDENTIALS_DOCUMENT, _) => &self.credentials,
            (NESTED_DOCUMENT, _) => &self.nested,
            ("/containers/json", "1") => &self.element,
            ("/containers/json", "5000") => &self.list,
            ("/containers/json", "2") => return chunked(client, &self.bytes),
            ("/containers/json", _) => &self.short_list,
            (events, _) if events.starts_with("/events") => {
                let mut chunk = format!("{:x}\r\n", self.event.len()).into_bytes();
                chunk.extend_from_slice(&self.event);
                chunk.extend_from_slice(b"\r\n");
                return chunked(client, &chunk);
            }
            _ => &self.inspect,
        };
        whole(client, "application/json", body)
    }
}

/// What every answer begins with.
const HEAD: &str =
    "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nOstype: linux\r\nDocker-Experimental: false\r\nServer: bench\r\n";

fn whole(client: &mut impl Write, media_type: &str, body: &[u8]) -> io::Result<()> {
    write!(client, "{HEAD}Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n", body.len())?;
    client.write_all(body)
}

fn chunked(client: &mut impl Write, chunks: &[u8]) -> io::Result<()> {
    write!(client, "{HEAD}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    client.write_all(chunks)?;
    client.write_all(b"0\r\n\r\n")
}

/// Starts the engine, a thread for each connection. It ends with the bench.
pub(crate) fn engine(path: &Path) -> io::Result<()> {
    let (listener, bodies) = (UnixListener::bind(path)?, Arc::new(Bodies::new()));
    thread::spawn(move || {
        for client in listener.incoming() {
            let bodies = Arc::clone(&bodies);
            // A proxy that leaves is no error.
            thread::spawn(move || client.and_then(|client| serve(client, &bodies)).unwrap_or_default());
        }
    });
    Ok(())
}

/// Answers the requests of one connection, none of which has a body.
fn serve(mut client: UnixStream, bodies: &Bodies) -> io::Result<()> {
    let (mut held, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        while let Some(end) = held.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = held.drain(..end + 4).collect();
            let head = String::from_utf8_lossy(&head);
            bodies.answer(head.split(' ').nth(1).unwrap_or_default(), &mut client)?;
        }
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            read => held.extend_from_slice(&buffer[..read]),
        }
    }
}

/// One exchange of a soak, every kind in turn. Returns whether it was refused for want of memory, or an error if the connection
/// breaks.
///
/// # Panics
/// If the status is not the right one for the kind.
pub(crate) fn soak(socket: &Path, round: usize) -> io::Result<bool> {
    let mut client = UnixStream::connect(socket)?;
    client.set_read_timeout(Some(Duration::from_secs(30)))?;
    let (target, expected) = match round % 50 {
        0 if round.is_multiple_of(500) => (TARGETS[round / 500 % TARGETS.len()].1, &[200, 503][..]),
        0..10 => (PLAIN_DOCUMENT, &[200, 503][..]),
        10..20 => ("/containers/json?limit=100", &[200, 503][..]),
        20 => ("/containers/none/none/json", &[404][..]),
        21 => ("/images/json", &[403][..]),
        _ => ("/_ping", &[200][..]),
    };
    write!(client, "GET {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")?;
    let mut start = [0; 12];
    client.read_exact(&mut start)?;
    let status = String::from_utf8_lossy(&start).split(' ').nth(1).and_then(|status| status.parse().ok());
    assert!(status.is_some_and(|status| expected.contains(&status)), "{target}: {status:?}");
    // Now and then a client leaves early.
    if !round.is_multiple_of(7) {
        io::copy(&mut client, &mut io::sink())?;
    }
    Ok(status == Some(503))
}
