//! A client that sends and receives raw bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use dockveil::api::{Operation, RequestBody};
use rustix::net::{RecvFlags, recv};

/// How long to wait for the program. No test waits for as long unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Client(pub(crate) UnixStream);

impl Client {
    /// Connects to the listener at `path`.
    pub(crate) fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Connects as soon as the listener at `path` is there.
    pub(crate) fn connect_when_listening(path: &Path) -> Self {
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(path).is_err() {
            assert!(Instant::now() < deadline, "nobody listens at {}", path.display());
            std::thread::yield_now();
        }
        Self::connect(path)
    }

    /// Sends bytes. If the listener has closed already, the next read finds that out.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref());
    }

    /// Reads up to and including `marker`. Panics if the connection ends before.
    pub(crate) fn read_until(&mut self, marker: &str) -> String {
        let (bytes, is_there) = read_until(&mut self.0, marker).unwrap();
        assert!(is_there, "ended after {:?}", String::from_utf8_lossy(&bytes));
        String::from_utf8(bytes).unwrap()
    }

    /// Reads a response that has a `Content-Length`.
    pub(crate) fn response(&mut self) -> String {
        let head = self.read_until("\r\n\r\n");
        let mut body = vec![0; content_length(&head).unwrap_or_else(|| panic!("no length in {head:?}"))];
        self.0.read_exact(&mut body).unwrap();
        head + &String::from_utf8(body).unwrap()
    }

    /// Reads one whole response, however its end is told, and leaves the connection open.
    #[track_caller]
    pub(crate) fn message(&mut self, is_to_head: bool) -> String {
        let mut message = self.read_until("\r\n\r\n");
        let fields = message.to_ascii_lowercase();
        if is_to_head || status(&message) == 204 {
            return message;
        }
        if fields.contains("transfer-encoding: chunked") {
            loop {
                let line = self.read_until("\r\n");
                let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
                let mut data = vec![0; size + 2];
                self.0.read_exact(&mut data).unwrap();
                message = message + &line + &String::from_utf8(data).unwrap();
                if size == 0 {
                    return message;
                }
            }
        }
        if let Some(length) = content_length(&message) {
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).unwrap();
            return message + &String::from_utf8(body).unwrap();
        }
        message + &self.rest()
    }

    /// Reads to the end of the connection, however it ends.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> String {
        rest(&mut self.0)
    }
}

/// A head without the id of its exchange, which is another one each time. `tests/it/log.rs` looks at that.
pub(crate) fn without_request_id(head: &[u8]) -> Vec<u8> {
    let is_id = |line: &[u8]| line.len() > 13 && line[..13].eq_ignore_ascii_case(b"x-request-id:");
    head.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_id(line)).flatten().copied().collect()
}

/// As [`read_whole`], without the id of the exchange.
pub(crate) fn read_until(stream: &mut (impl Read + AsFd), marker: &str) -> std::io::Result<(Vec<u8>, bool)> {
    read_whole(stream, marker).map(|(bytes, is_there)| (without_request_id(&bytes), is_there))
}

/// Reads from a connection up to and including `marker`, and not a byte more. Returns whether the marker came.
pub(crate) fn read_whole(stream: &mut (impl Read + AsFd), marker: &str) -> std::io::Result<(Vec<u8>, bool)> {
    let (mut bytes, mut ahead) = (Vec::new(), [0; 4096]);
    loop {
        // What is there is looked at first, and then read as far as it is wanted.
        let (_, there) = recv(&*stream, &mut ahead, RecvFlags::PEEK)?;
        let from = bytes.len();
        bytes.extend_from_slice(&ahead[..there]);
        let start = (from + 1).saturating_sub(marker.len());
        let found = bytes[start..].windows(marker.len()).position(|window| window == marker.as_bytes());
        let end = found.map(|position| start + position + marker.len());
        bytes.truncate(end.unwrap_or(bytes.len()));
        stream.read_exact(&mut ahead[..bytes.len() - from])?;
        if end.is_some() || there == 0 {
            return Ok((bytes, end.is_some()));
        }
    }
}

/// Reads to the end of a connection. It may end with a reset, but it must end.
#[track_caller]
pub(crate) fn rest(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(error.kind() != ErrorKind::WouldBlock, "the connection stays open after {text:?}");
    }
    String::from_utf8_lossy(&without_request_id(&bytes)).into_owned()
}

/// Sends a request to a TCP port of this machine and reads to the end of the connection, however it ends.
pub(crate) fn ask_port(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    rest(&mut stream)
}

/// A whole id of a container. An object is found by it whatever a profile shows.
pub(crate) const ID: &str = "4f0d3c6a5b7e8f901234567890abcdef4f0d3c6a5b7e8f901234567890abcdef";

/// A target of an operation, for an object with this id or called `web`. That of statistics asks for one sample.
pub(crate) fn target_of(operation: &Operation) -> String {
    let query = if operation.id == "ContainerStats" { "?stream=0" } else { "" };
    let path = ["{name}", "{reference}"]
        .iter()
        .fold(operation.template.replace("{id}", ID), |path, name| path.replace(name, "web"));
    path + query
}

/// The last fields and the body of a request for an operation.
pub(crate) fn body_of(operation: &Operation) -> &'static str {
    match operation.body {
        RequestBody::None => "\r\n",
        RequestBody::Json | RequestBody::OptionalJson => {
            "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        }
        RequestBody::Tar | RequestBody::OptionalTar | RequestBody::Raw => {
            "Content-Type: application/x-tar\r\nContent-Length: 4\r\n\r\n\0\0\0\0"
        }
    }
}

/// A GET request with nothing unusual.
pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: d\r\n\r\n")
}

/// A GET request after whose answer the connection is closed.
pub(crate) fn closing_get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
}

/// The status of a response.
#[track_caller]
pub(crate) fn status(response: &str) -> u16 {
    response.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status in {response:?}"))
}

/// The length that a head announces.
pub(crate) fn content_length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
}

/// The body of a response, joined if it came in chunks, and whether its end came too.
#[track_caller]
pub(crate) fn body(response: &str) -> (String, bool) {
    let (head, mut rest) = response.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    if !head.contains("transfer-encoding: chunked") {
        return (rest.to_owned(), content_length(&head).is_none_or(|length| length == rest.len()));
    }
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            assert_eq!(after, "\r\n", "bytes after the last chunk");
            return (body, true);
        }
        body.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").unwrap();
    }
    assert_eq!(rest, "", "half a chunk");
    (body, false)
}
