//! An HTTP/1.1 client over Unix sockets that shows the bytes as they are. Every read has a timeout.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::engine;

/// How long a test waits for what must happen. It is long because the machine may be busy; no test waits it out to pass.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The head of a response.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// The status code.
    pub(crate) status: u16,
    /// The status line and the headers as they came, without the empty line.
    pub(crate) raw: String,
}

impl Head {
    /// The value of a header, or `None`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.raw.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Whether the body is chunked.
    fn chunked(&self) -> bool {
        self.get("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }
}

/// A whole response.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    /// The head.
    pub(crate) head: Head,
    /// The body, its chunks joined.
    pub(crate) body: Vec<u8>,
    /// Whether the body ended as its framing requires.
    pub(crate) complete: bool,
}

impl Response {
    /// The status code.
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    /// Head and body as one text, to search for canaries.
    pub(crate) fn text(&self) -> String {
        format!("{}\n\n{}", self.head.raw, String::from_utf8_lossy(&self.body))
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }
}

/// A connection on which a test can send any bytes.
pub(crate) struct Connection {
    stream: UnixStream,
    /// Bytes that have arrived and were not read by the test.
    buffer: Vec<u8>,
    /// Whether the other side has ended the stream.
    ended: bool,
}

impl Connection {
    /// Connects.
    #[track_caller]
    pub(crate) fn open(socket: &Path) -> Connection {
        let stream = UnixStream::connect(socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
        Connection { stream, buffer: Vec::new(), ended: false }
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Ends our direction. The other stays open.
    #[track_caller]
    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Sends a request and reads the head of the response. A body has a `Content-Length`, and is JSON unless a header
    /// says otherwise.
    #[track_caller]
    pub(crate) fn request(&mut self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Head {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: docker\r\n");
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
            if !headers.iter().any(|header| header.starts_with("Content-Type:")) {
                head.push_str("Content-Type: application/json\r\n");
            }
        }
        head.push_str("\r\n");
        self.send([head.as_bytes(), body].concat());
        self.read_head()
    }

    /// Reads the head of a response.
    #[track_caller]
    pub(crate) fn read_head(&mut self) -> Head {
        self.next_head().unwrap_or_else(|| panic!("no response head, but the end of the connection"))
    }

    /// Reads the head of the next response. `None` is the end of the connection.
    #[track_caller]
    pub(crate) fn next_head(&mut self) -> Option<Head> {
        let Some(raw) = self.read_until(b"\r\n\r\n", TIMEOUT) else {
            let text = String::from_utf8_lossy(&self.buffer);
            assert!(self.ended && text.is_empty(), "no response head; ended: {}; got {text:?}", self.ended);
            return None;
        };
        let raw = String::from_utf8_lossy(&raw[..raw.len() - 4]).into_owned();
        let status = raw.split(' ').nth(1).and_then(|code| code.parse().ok());
        Some(Head { status: status.unwrap_or_else(|| panic!("no status in {raw:?}")), raw })
    }

    /// Reads the body that belongs to a head. The flag says whether it is complete, or ended early or not in time.
    pub(crate) fn read_body(&mut self, head: &Head) -> (Vec<u8>, bool) {
        let deadline = Instant::now() + TIMEOUT;
        let mut body = Vec::new();
        if matches!(head.status, 101 | 204 | 304) {
            return (body, true);
        }
        if head.chunked() {
            loop {
                match self.read_chunk(deadline.saturating_duration_since(Instant::now())) {
                    Some(chunk) if chunk.is_empty() => return (body, true),
                    Some(chunk) => body.extend_from_slice(&chunk),
                    None => return (body, false),
                }
            }
        }
        let length = head.get("content-length").map(|value| value.parse().unwrap());
        while length.is_none_or(|length| self.buffer.len() < length) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.fill(left) {
                break;
            }
        }
        let take = length.unwrap_or(usize::MAX).min(self.buffer.len());
        body = self.buffer.drain(..take).collect();
        (body, length.map_or(self.ended, |length| take == length))
    }

    /// Reads a chunk of a chunked body. The last one is empty; `None` is one that did not arrive whole.
    pub(crate) fn read_chunk(&mut self, timeout: Duration) -> Option<Vec<u8>> {
        let line = self.read_until(b"\r\n", timeout)?;
        let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).unwrap();
        let mut chunk = self.read_exact(size + 2, timeout)?;
        chunk.truncate(size);
        Some(chunk)
    }

    /// Reads up to and including `end`. `None`, with nothing read, if that does not arrive in time.
    pub(crate) fn read_until(&mut self, end: &[u8], timeout: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Some(self.buffer.drain(..at + end.len()).collect());
            }
            if !self.fill(deadline.saturating_duration_since(Instant::now())) {
                return None;
            }
        }
    }

    /// Reads that many bytes. `None`, with nothing read, if they do not arrive in time.
    pub(crate) fn read_exact(&mut self, count: usize, timeout: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + timeout;
        while self.buffer.len() < count {
            if !self.fill(deadline.saturating_duration_since(Instant::now())) {
                return None;
            }
        }
        Some(self.buffer.drain(..count).collect())
    }

    /// Reads until the other side ends the stream, which it must.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        assert!(self.ends(), "the stream did not end; got {:?}", String::from_utf8_lossy(&self.buffer));
        std::mem::take(&mut self.buffer)
    }

    /// Whether the other side ends the stream, cleanly or not.
    pub(crate) fn ends(&mut self) -> bool {
        let deadline = Instant::now() + TIMEOUT;
        while self.fill(deadline.saturating_duration_since(Instant::now())) {}
        self.ended
    }

    /// Waits for more bytes. False if the stream has ended, or nothing arrived in time.
    fn fill(&mut self, timeout: Duration) -> bool {
        if self.ended || timeout.is_zero() {
            return false;
        }
        self.stream.set_read_timeout(Some(timeout)).unwrap();
        let mut bytes = [0; 65_536];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.ended = true,
            Ok(count) => self.buffer.extend_from_slice(&bytes[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.ended = true,
        }
        !self.ended
    }
}

/// A request on a connection of its own, and its response.
#[track_caller]
pub(crate) fn request(socket: &Path, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Response {
    let _measuring = target.contains("/system/df").then(engine::disk_usage_lock);
    let mut connection = Connection::open(socket);
    let headers = [headers, &["Connection: close"]].concat();
    let head = connection.request(method, target, &headers, body);
    let (body, complete) = if method == "HEAD" { (Vec::new(), true) } else { connection.read_body(&head) };
    Response { head, body, complete }
}

/// A GET on a connection of its own.
#[track_caller]
pub(crate) fn get(socket: &Path, target: &str) -> Response {
    request(socket, "GET", target, &[], b"")
}

/// A POST of JSON, or of nothing for null, on a connection of its own.
#[track_caller]
pub(crate) fn post(socket: &Path, target: &str, body: &Value) -> Response {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    request(socket, "POST", target, &[], body.as_bytes())
}

/// A DELETE on a connection of its own.
#[track_caller]
pub(crate) fn delete(socket: &Path, target: &str) -> Response {
    request(socket, "DELETE", target, &[], b"")
}
