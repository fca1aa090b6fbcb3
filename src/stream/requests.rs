//! Strict framing of the requests on one client connection, checked before anything else reads them.
//!
//! A proxy is safe only if it never reads a request differently from the engine. Go's server accepts bare line feeds,
//! folded headers, a length beside a chunked body and more. Everything ambiguous is refused here, on the bytes as they
//! came. One request head and exactly its body pass. Bytes after them wait until the next request is read, so early bytes
//! of a hijacked stream are never taken for a request, nor a request for early bytes.
//!
//! This code is ours because it must be stricter than any HTTP library's parser.
//!
//! Source: RFC 9112 §2.2, §3, §5, §6.3, §7.1.

use std::fmt;

use super::chunks::{ChunkState, shorter};
use super::target::{RequestTarget, RequestTargetError};

/// How many header fields a head may have.
const FIELD_LIMIT: usize = 100;

/// Follows the framing of a client's requests, one after another.
#[derive(Debug)]
pub struct RequestFraming {
    state: RequestState,
    limit: usize,
    /// How much of an incomplete head has been searched for its end.
    searched: usize,
    /// The target to read in place of the one in the last head, if that is not what a URI may be.
    target: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestState {
    /// Before or in a head.
    Head,
    /// In a body with this many bytes left.
    Body(u64),
    /// In a chunked body; its end is [`RequestState::Head`].
    Chunked(ChunkState),
}

/// Why a request is malformed or ambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The head is longer than the limit.
    TooLarge,
    /// The head has too many fields.
    TooManyFields,
    /// A line of the head does not end in CR LF.
    Line,
    /// The request line is not `METHOD target HTTP/1.x`.
    RequestLine,
    /// The target cannot be read.
    Target(RequestTargetError),
    /// An HTTP version other than 1.0 and 1.1.
    Version,
    /// A header field is folded, or its name is not a token directly before the colon.
    Field,
    /// The value of a header field has a control character.
    Control,
    /// No `Host`, or more than one.
    Host,
    /// The length of the body is given twice, or is not a number.
    Length,
    /// A transfer coding other than `chunked`, or on HTTP/1.0.
    Coding,
    /// A chunked body that is malformed, or has extensions or trailers.
    Chunk,
    /// An expectation other than `100-continue`.
    Expectation,
    /// The head did not arrive in time.
    Slow,
}

impl RequestError {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::TooLarge | Self::TooManyFields => 431,
            Self::Target(error) => error.status(),
            Self::Version => 505,
            Self::Coding => 501,
            Self::Expectation => 417,
            Self::Slow => 408,
            Self::Line | Self::RequestLine | Self::Field | Self::Control | Self::Host | Self::Length | Self::Chunk => {
                400
            }
        }
    }

    /// The text of the answer to a head that is longer than `limit` bytes.
    pub fn too_large(limit: usize) -> String {
        format!("{}: more than {limit} bytes (limits.head)", Self::TooLarge.public())
    }

    /// The text of the answer.
    pub fn public(self) -> &'static str {
        match self {
            Self::TooLarge => "request header fields too large",
            Self::TooManyFields => "too many request header fields: more than 100",
            Self::Line => "malformed request: every line of the head must end in CR LF",
            Self::RequestLine => "malformed request line: expected METHOD /path HTTP/1.1",
            Self::Target(error) => error.public(),
            Self::Version => "unsupported HTTP version: expected HTTP/1.1",
            Self::Field => "malformed request header field",
            Self::Control => "malformed request header field: its value has a control character",
            Self::Host => "malformed request: expected exactly one Host field",
            Self::Length => "malformed request: the length of the body is ambiguous or not a number",
            Self::Coding => "unsupported transfer coding",
            Self::Chunk => "malformed request: the chunked body is malformed",
            Self::Expectation => "unsupported expectation",
            Self::Slow => "the request head did not arrive in time",
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.public())
    }
}

impl RequestFraming {
    /// A new connection. A head may be `limit` bytes long.
    pub fn new(limit: usize) -> Self {
        Self { state: RequestState::Head, limit, searched: 0, target: None }
    }

    /// Whether a head with this request line and a `Host` is longer than `limit` bytes.
    pub fn exceeds(limit: usize, method: &str, target: &str) -> bool {
        let head = format!("{method} {target} HTTP/1.1\r\nHost:\r\n\r\n");
        Self::new(limit).head_length(head.as_bytes()) == Err(RequestError::TooLarge)
    }

    /// Whether the next byte belongs to a head.
    pub fn in_head(&self) -> bool {
        self.state == RequestState::Head
    }

    /// How many bytes of `bytes` may pass now. `bytes` is all that has arrived and not passed.
    ///
    /// Never more than the rest of one request. Zero means that a head is incomplete: call it again with more.
    ///
    /// # Errors
    /// [`RequestError`]; the connection cannot be used after it.
    pub fn pass(&mut self, bytes: &[u8]) -> Result<usize, RequestError> {
        let head = if self.state == RequestState::Head {
            let Some(length) = self.head_length(bytes)? else { return Ok(0) };
            self.searched = 0;
            (self.state, self.target) = check_head(bytes.get(..length).unwrap_or_default())?;
            length
        } else {
            0
        };
        let body = self.body(bytes.get(head..).unwrap_or_default())?;
        Ok(head + body)
    }

    /// The head that has just passed, at the start of `bytes`, as it is to be read: with a target that any HTTP library can
    /// read. Returns it with its length in `bytes`; `None` if nothing changes.
    pub fn rewritten_head(&mut self, bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
        let target = self.target.take()?;
        let mut spaces = bytes.iter().enumerate().filter(|(_, byte)| **byte == b' ').map(|(at, _)| at);
        let (start, end) = (spaces.next()? + 1, spaces.next()?);
        Some(([bytes.get(..start)?, target.as_bytes()].concat(), end))
    }

    /// The length of the head at the start of `bytes`, if it is complete.
    fn head_length(&mut self, bytes: &[u8]) -> Result<Option<usize>, RequestError> {
        let mut from = self.searched;
        while let Some(offset) = bytes.get(from..).and_then(line_feed) {
            let end = from + offset;
            match bytes.get(..end).unwrap_or_default() {
                [.., b'\n', b'\r'] => {
                    return if end < self.limit { Ok(Some(end + 1)) } else { Err(RequestError::TooLarge) };
                }
                [b'\r'] => return Err(RequestError::RequestLine),
                [.., b'\r'] => {}
                _ => return Err(RequestError::Line),
            }
            from = end + 1;
        }
        self.searched = bytes.len();
        if bytes.len() >= self.limit { Err(RequestError::TooLarge) } else { Ok(None) }
    }

    /// How many bytes of `bytes` belong to the body.
    fn body(&mut self, bytes: &[u8]) -> Result<usize, RequestError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match self.state {
                RequestState::Head => break,
                RequestState::Body(left) => {
                    let taken = shorter(left, rest.len());
                    let left = left - taken as u64;
                    self.state = if left == 0 { RequestState::Head } else { RequestState::Body(left) };
                    taken
                }
                RequestState::Chunked(ChunkState::Data(left)) => {
                    let taken = shorter(left, rest.len());
                    self.state = RequestState::Chunked(ChunkState::after_data(left, taken));
                    taken
                }
                RequestState::Chunked(chunk) => {
                    let next = chunk.after_framing(&mut rest).ok_or(RequestError::Chunk)?;
                    self.state = if next == ChunkState::End { RequestState::Head } else { RequestState::Chunked(next) };
                    0
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(bytes.len() - rest.len())
    }
}

/// Checks a complete head, including the empty line. Returns how its body is framed, and the target to read in place of its
/// own.
fn check_head(head: &[u8]) -> Result<(RequestState, Option<String>), RequestError> {
    let mut lines = HeadLines(head);
    let (version, target) = check_request_line(lines.next().ok_or(RequestError::RequestLine)?)?;
    let (mut hosts, mut fields) = (0, 0);
    let mut length = None;
    let mut chunked = false;
    for line in lines {
        if line.is_empty() {
            break;
        }
        fields += 1;
        let (name, value) = check_field(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if length.replace(parse_length(value)?).is_some() {
                return Err(RequestError::Length);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked {
                return Err(RequestError::Length);
            }
            if version == HttpVersion::Http10 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(RequestError::Coding);
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"expect") && !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(RequestError::Expectation);
        }
    }
    if fields > FIELD_LIMIT {
        return Err(RequestError::TooManyFields);
    }
    if hosts > 1 || (hosts == 0 && version == HttpVersion::Http11) {
        return Err(RequestError::Host);
    }
    let body = match (length, chunked) {
        (Some(_), true) => return Err(RequestError::Length),
        (None, true) => RequestState::Chunked(ChunkState::START),
        (None | Some(0), false) => RequestState::Head,
        (Some(length), false) => RequestState::Body(length),
    };
    Ok((body, target))
}

/// The versions of HTTP that clients may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HttpVersion {
    Http10,
    Http11,
}

/// The lines of a head without their CR LF.
struct HeadLines<'h>(&'h [u8]);

impl<'h> Iterator for HeadLines<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let end = line_feed(self.0)?;
        let line = self.0.get(..end).unwrap_or_default();
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// Checks the request line. Returns the HTTP version, and the target to read in place of the one in the line.
fn check_request_line(line: &[u8]) -> Result<(HttpVersion, Option<String>), RequestError> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(RequestError::RequestLine);
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(RequestError::RequestLine);
    }
    let version = match version {
        b"HTTP/1.1" => HttpVersion::Http11,
        b"HTTP/1.0" => HttpVersion::Http10,
        version if version.starts_with(b"HTTP/") => return Err(RequestError::Version),
        _ => return Err(RequestError::RequestLine),
    };
    let read = RequestTarget::parse(target).map_err(RequestError::Target)?;
    if read.host.is_none() && read.path_and_query.as_bytes() == target {
        return Ok((version, None));
    }
    Ok((version, Some(read.to_text()).filter(|read| read.as_bytes() != target)))
}

/// The position of the first line feed.
pub(super) fn line_feed(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes)
}

/// Checks one header field and returns its name and its trimmed value.
pub(super) fn check_field(line: &[u8]) -> Result<(&[u8], &[u8]), RequestError> {
    let colon = line.iter().position(|byte| !is_token(*byte)).ok_or(RequestError::Field)?;
    let (name, value) = line.split_at(colon);
    let value = value.strip_prefix(b":").filter(|_| !name.is_empty()).ok_or(RequestError::Field)?;
    // Without a branch for each byte, the compiler looks at many at a time.
    let is_control = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    if value.iter().fold(false, |found, byte| found | is_control(*byte)) {
        return Err(RequestError::Control);
    }
    Ok((name, value.trim_ascii()))
}

/// A `Content-Length`: digits and nothing else.
pub(super) fn parse_length(value: &[u8]) -> Result<u64, RequestError> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(RequestError::Length);
    }
    Ok(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

/// The bytes of names and methods (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    static TOKENS: [bool; 256] = tokens();
    TOKENS.get(usize::from(byte)).copied().unwrap_or(false)
}

#[expect(clippy::indexing_slicing, reason = "the table has an entry for each byte")]
const fn tokens() -> [bool; 256] {
    let mut tokens = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        let is_mark = matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        );
        tokens[byte as usize] = byte.is_ascii_alphanumeric() || is_mark;
        byte += 1;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in chunks of `size`, as a connection would; returns the separate requests.
    fn requests(bytes: &[u8], size: usize) -> Result<Vec<String>, RequestError> {
        let mut framing = RequestFraming::new(2048);
        let (mut held, mut separated, mut current) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in bytes.chunks(size) {
            held.extend_from_slice(chunk);
            loop {
                let passed = framing.pass(&held)?;
                current.extend(held.drain(..passed));
                if framing.in_head() && !current.is_empty() {
                    separated.push(String::from_utf8_lossy(&std::mem::take(&mut current)).into_owned());
                }
                if passed == 0 || held.is_empty() {
                    break;
                }
            }
        }
        Ok(separated)
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<&[&str], RequestError>) {
        for size in 1..=bytes.len() {
            let separated = requests(bytes, size);
            assert_eq!(
                separated.as_deref(),
                expected.map(|list| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).as_deref(),
                "in chunks of {size}"
            );
        }
    }

    #[track_caller]
    fn check_refused(head: &str, refusal: RequestError) {
        check(head.as_bytes(), Err(refusal));
    }

    const GET: &str = "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n";

    #[test]
    fn requests_are_separated() {
        check(format!("{GET}{GET}").as_bytes(), Ok(&[GET, GET]));
        let post = "POST /x HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nhello";
        check(format!("{post}{GET}").as_bytes(), Ok(&[post, GET]));
        let chunked =
            "POST /x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
        check(format!("{chunked}{GET}").as_bytes(), Ok(&[chunked, GET]));
        check(b"GET /_ping HTTP/1.0\r\n\r\n", Ok(&["GET /_ping HTTP/1.0\r\n\r\n"]));
    }

    #[test]
    fn bytes_after_a_request_wait() {
        let bytes = format!("{GET}early\n");
        let mut framing = RequestFraming::new(2048);
        assert_eq!(framing.pass(bytes.as_bytes()), Ok(GET.len()));
        assert!(framing.in_head());
    }

    #[test]
    fn an_ambiguous_head_is_refused() {
        check_refused("GET /_ping HTTP/1.1\nHost: d\n\n", RequestError::Line);
        check_refused("GET /_ping HTTP/1.1\r\nHost: d\n\r\n", RequestError::Line);
        check_refused("GET /_ping HTTP/1.1\r\nHost: d\r\nA: b\rc\r\n\r\n", RequestError::Control);
        check_refused("GET /_ping HTTP/1.1\r\nHost: d\r\nA: b\0c\r\n\r\n", RequestError::Control);
        check_refused("GET /_ping HTTP/1.1\r\nHost: d\r\n folded\r\n\r\n", RequestError::Field);
        check_refused("GET /_ping HTTP/1.1\r\nHost : d\r\n\r\n", RequestError::Field);
        check_refused("GET /_ping HTTP/1.1\r\nHost: d\r\nnocolon\r\n\r\n", RequestError::Field);
        check_refused("\r\nGET /_ping HTTP/1.1\r\nHost: d\r\n\r\n", RequestError::RequestLine);
    }

    #[test]
    fn a_repeated_length_is_refused() {
        let head = |fields: &str| format!("POST /x HTTP/1.1\r\nHost: d\r\n{fields}\r\n\r\n");
        check_refused(&head("Content-Length: 5\r\nTransfer-Encoding: chunked"), RequestError::Length);
        check_refused(&head("Transfer-Encoding: chunked\r\nContent-Length: 5"), RequestError::Length);
        check_refused(&head("Content-Length: 5\r\nContent-Length: 6"), RequestError::Length);
        check_refused(&head("Content-Length: 5\r\nContent-Length: 5"), RequestError::Length);
        check_refused(&head("Content-Length: +0"), RequestError::Length);
        check_refused(&head("Content-Length: 5, 5"), RequestError::Length);
        check_refused(&head("Content-Length:"), RequestError::Length);
        check_refused(&head("Content-Length: 99999999999999999999"), RequestError::Length);
        check_refused(&head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), RequestError::Length);
        check_refused(&head("Transfer-Encoding: chunked, chunked"), RequestError::Coding);
        check_refused(&head("Transfer-Encoding: identity"), RequestError::Coding);
        check_refused(&head("Expect: something"), RequestError::Expectation);
        check_refused("POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", RequestError::Coding);
    }

    #[test]
    fn exactly_one_host_is_required() {
        check_refused("GET /_ping HTTP/1.1\r\n\r\n", RequestError::Host);
        check_refused("GET /_ping HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", RequestError::Host);
        check_refused("GET /_ping HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", RequestError::Host);
    }

    #[test]
    fn a_target_without_a_path_is_refused() {
        for (target, error) in [
            ("*", RequestTargetError::Path),
            ("d:80", RequestTargetError::Path),
            ("", RequestTargetError::Path),
            ("/info#x", RequestTargetError::Fragment),
            ("http://a@b/info", RequestTargetError::Authority),
            ("/a\tb", RequestTargetError::Byte),
            ("/a\0b", RequestTargetError::Byte),
        ] {
            check_refused(&format!("GET {target} HTTP/1.1\r\nHost: d\r\n\r\n"), RequestError::Target(error));
        }
        check_refused("GET /a b HTTP/1.1\r\nHost: d\r\n\r\n", RequestError::RequestLine);
        check_refused("GET\t/a\tHTTP/1.1\r\nHost: d\r\n\r\n", RequestError::RequestLine);
        check_refused("GET /a\r\n\r\n", RequestError::RequestLine);
    }

    #[test]
    fn a_head_is_rewritten_if_its_target_is_no_uri() {
        #[track_caller]
        fn check(head: &str, expected: Option<&str>) {
            let bytes = [head.as_bytes(), GET.as_bytes()].concat();
            let mut framing = RequestFraming::new(2048);
            assert_eq!(framing.pass(&bytes), Ok(head.len()));
            let rewritten = framing.rewritten_head(&bytes).map(|(mut start, length)| {
                start.extend_from_slice(&bytes[length..head.len()]);
                String::from_utf8(start).unwrap()
            });
            assert_eq!(rewritten.as_deref(), expected);
            assert_eq!(framing.rewritten_head(&bytes), None, "the next one is not");
        }
        check(GET, None);
        check("GET http:/info?a={} HTTP/1.0\r\nA: b c\r\n\r\n", Some("GET /info?a=%7B%7D HTTP/1.0\r\nA: b c\r\n\r\n"));
        check("GET tcp://a:1/é HTTP/1.0\r\n\r\n", Some("GET http://a/%C3%A9 HTTP/1.0\r\n\r\n"));
    }

    #[test]
    fn only_http_1_passes() {
        for version in ["HTTP/1.9", "HTTP/2.0", "HTTP/0.9", "HTTP/1.01"] {
            check_refused(&format!("GET / {version}\r\nHost: d\r\n\r\n"), RequestError::Version);
        }
        check_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", RequestError::Version);
        check_refused("GET / http/1.1\r\nHost: d\r\n\r\n", RequestError::RequestLine);
    }

    #[test]
    fn chunks_are_read_strictly() {
        let chunked = |body: &str| format!("POST /x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        for body in [
            "3;ext=1\r\nabc\r\n",
            "\r\n",
            "g\r\n",
            "3\nabc\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\n",
            "0\r\nTrailer: x\r\n\r\n",
            " 3\r\n",
            "1000000000000000\r\n",
            "-1\r\n",
        ] {
            check_refused(&chunked(body), RequestError::Chunk);
        }
    }

    #[test]
    fn a_head_over_the_limit_is_too_large() {
        let head = |length: usize| format!("GET /_ping HTTP/1.1\r\nHost: d\r\nA: {}\r\n\r\n", "a".repeat(length));
        check_refused(&head(2048), RequestError::TooLarge);
        assert!(requests(head(1900).as_bytes(), 100).is_ok());
        let many = format!("GET /_ping HTTP/1.1\r\nHost: d\r\n{}\r\n", "A: b\r\n".repeat(100));
        check_refused(&many, RequestError::TooManyFields);
    }
}
