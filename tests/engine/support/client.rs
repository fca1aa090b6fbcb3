//! An HTTP/1.1 client that hides nothing: raw bytes over a Unix socket, with a deadline on every read.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a test waits for bytes that must come. Generous: the machine may have two busy cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The head of a response, exactly as it came.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// The status code.
    pub(crate) status: u16,
    /// Status line and headers as bytes-turned-text, without the empty line.
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

    /// Whether the body is sent in chunks.
    fn chunked(&self) -> bool {
        self.get("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }
}

/// One whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The head.
    pub(crate) head: Head,
    /// The body, its chunks joined.
    pub(crate) body: Vec<u8>,
    /// Whether the body ended the way its framing says it must.
    pub(crate) complete: bool,
}

impl Answer {
    /// The status code.
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    /// Head and body as one text: where canaries are looked for.
    pub(crate) fn text(&self) -> String {
        format!("{}\n\n{}", self.head.raw, String::from_utf8_lossy(&self.body))
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }
}

/// A connection whose bytes the test decides itself.
pub(crate) struct Connection {
    stream: UnixStream,
    /// Bytes that have arrived and have not been taken.
    held: Vec<u8>,
    /// Whether the other side has ended the stream.
    ended: bool,
}

impl Connection {
    /// Connects.
    #[track_caller]
    pub(crate) fn open(socket: &Path) -> Connection {
        let stream = UnixStream::connect(socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
        Connection { stream, held: Vec::new(), ended: false }
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Ends our direction; theirs stays open.
    #[track_caller]
    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Sends a request with a body of known length (none if empty; JSON unless a header says otherwise) and reads the
    /// head of the response.
    #[track_caller]
    pub(crate) fn ask(&mut self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Head {
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
        self.head()
    }

    /// Reads the head of a response.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Head {
        let raw = self.take_until(b"\r\n\r\n", PATIENCE).unwrap_or_else(|| {
            panic!("no response head; ended: {}; got {:?}", self.ended, String::from_utf8_lossy(&self.held))
        });
        let raw = String::from_utf8_lossy(&raw[..raw.len() - 4]).into_owned();
        let status = raw.split(' ').nth(1).and_then(|code| code.parse().ok());
        Head { status: status.unwrap_or_else(|| panic!("no status in {raw:?}")), raw }
    }

    /// Reads the body that `head` announces, for at most `patience`.
    pub(crate) fn body(&mut self, head: &Head, patience: Duration) -> (Vec<u8>, bool) {
        let deadline = Instant::now() + patience;
        let mut body = Vec::new();
        if matches!(head.status, 101 | 204 | 304) {
            return (body, true);
        }
        if head.chunked() {
            loop {
                match self.chunk(deadline.saturating_duration_since(Instant::now())) {
                    Some(chunk) if chunk.is_empty() => return (body, true),
                    Some(chunk) => body.extend_from_slice(&chunk),
                    None => return (body, false),
                }
            }
        }
        let length = head.get("content-length").map(|value| value.parse().unwrap());
        while length.is_none_or(|length| self.held.len() < length) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.fill(left) {
                break;
            }
        }
        let take = length.unwrap_or(usize::MAX).min(self.held.len());
        body = self.held.drain(..take).collect();
        (body, length.map_or(self.ended, |length| take == length))
    }

    /// The next chunk of a chunked body; empty for the last one, `None` if it does not come whole.
    pub(crate) fn chunk(&mut self, patience: Duration) -> Option<Vec<u8>> {
        let line = self.take_until(b"\r\n", patience)?;
        let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).unwrap();
        let mut chunk = self.take(size + 2, patience)?;
        chunk.truncate(size);
        Some(chunk)
    }

    /// Bytes up to and including `end`, or `None` if they do not come in time; then nothing is taken.
    pub(crate) fn take_until(&mut self, end: &[u8], patience: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(at) = self.held.windows(end.len()).position(|window| window == end) {
                return Some(self.held.drain(..at + end.len()).collect());
            }
            if !self.fill(deadline.saturating_duration_since(Instant::now())) {
                return None;
            }
        }
    }

    /// Exactly `count` bytes, or `None` if they do not come in time.
    pub(crate) fn take(&mut self, count: usize, patience: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + patience;
        while self.held.len() < count {
            if !self.fill(deadline.saturating_duration_since(Instant::now())) {
                return None;
            }
        }
        Some(self.held.drain(..count).collect())
    }

    /// What has arrived and has not been taken.
    pub(crate) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Everything until the other side ends the stream.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        while self.fill(deadline.saturating_duration_since(Instant::now())) {}
        assert!(self.ended, "the stream did not end; got {:?}", String::from_utf8_lossy(&self.held));
        std::mem::take(&mut self.held)
    }

    /// Whether the other side ends the stream, cleanly or not, within `patience`.
    pub(crate) fn ends_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.fill(deadline.saturating_duration_since(Instant::now())) {}
        self.ended
    }

    /// Waits for more bytes. False when the stream has ended or nothing came in time.
    fn fill(&mut self, patience: Duration) -> bool {
        if self.ended || patience.is_zero() {
            return false;
        }
        self.stream.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 65_536];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => self.held.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.ended = true,
        }
        !self.ended
    }
}

/// One exchange on a connection of its own.
#[track_caller]
pub(crate) fn request(socket: &Path, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Answer {
    exchange(socket, method, target, headers, body, PATIENCE)
}

/// A GET on a connection of its own.
#[track_caller]
pub(crate) fn get(socket: &Path, target: &str) -> Answer {
    request(socket, "GET", target, &[], b"")
}

/// A POST of JSON on a connection of its own.
#[track_caller]
pub(crate) fn post(socket: &Path, target: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    request(socket, "POST", target, &[], body.as_bytes())
}

/// One exchange of which the body is read for at most `patience`: an endless stream is cut, and said not to be complete.
#[track_caller]
pub(crate) fn exchange(
    socket: &Path,
    method: &str,
    target: &str,
    headers: &[&str],
    body: &[u8],
    patience: Duration,
) -> Answer {
    let mut connection = Connection::open(socket);
    let headers = [headers, &["Connection: close"]].concat();
    let head = connection.ask(method, target, &headers, body);
    let (body, complete) = if method == "HEAD" { (Vec::new(), true) } else { connection.body(&head, patience) };
    Answer { head, body, complete }
}
