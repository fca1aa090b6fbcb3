//! The requests on one client connection, told apart strictly before anything else reads them.
//!
//! A proxy is safe only if it can never read a request differently from the engine behind it. Go's server takes bare
//! line feeds, folded headers, a length beside a chunked body and more; whatever could be read in two ways is refused
//! here, on the bytes as they came. What passes is one request head and exactly its body: bytes behind them wait until
//! they are asked for, so that early bytes of a hijacked stream are never taken for a request, nor a request for them.
//!
//! Source: RFC 9112 §2.2, §3, §5, §6.3, §7.1.

use std::fmt;

use super::chunks::{Chunk, shorter};

/// How many header fields a head may have.
const FIELD_LIMIT: usize = 100;

/// Follows the framing of a client's bytes, one request after another.
#[derive(Debug)]
pub struct Requests {
    state: State,
    limit: usize,
    /// How much of an unfinished head has been looked at.
    looked: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before or in a head.
    Head,
    /// In a body with this many bytes to come.
    Body(u64),
    /// In a chunked body; never at its end, which is before the next head.
    Chunked(Chunk),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The head is longer than the limit, or has too many fields.
    TooLarge,
    /// A line of the head does not end in CR LF, or holds control characters.
    Line,
    /// The request line is not `METHOD /target HTTP/1.x`.
    RequestLine,
    /// An HTTP version other than 1.0 and 1.1.
    Version,
    /// A header field is folded, or its name is not a token directly before the colon.
    Field,
    /// No `Host`, or more than one.
    Host,
    /// The length of the body is said twice, or is not a number.
    Length,
    /// A transfer coding other than `chunked`, or on HTTP/1.0.
    Coding,
    /// A chunked body that is not plainly chunked.
    Chunk,
    /// An expectation other than `100-continue`.
    Expectation,
    /// The head did not arrive in time.
    Slow,
}

impl Refusal {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::TooLarge => 431,
            Self::Version => 505,
            Self::Coding => 501,
            Self::Expectation => 417,
            Self::Slow => 408,
            Self::Line | Self::RequestLine | Self::Field | Self::Host | Self::Length | Self::Chunk => 400,
        }
    }

    /// The text of the answer.
    pub fn public(self) -> &'static str {
        match self {
            Self::TooLarge => "request header fields too large",
            Self::Line => "malformed request: every line of the head must end in CR LF",
            Self::RequestLine => "malformed request line: expected METHOD /path HTTP/1.1",
            Self::Version => "unsupported HTTP version: expected HTTP/1.1",
            Self::Field => "malformed request header field",
            Self::Host => "malformed request: expected exactly one Host field",
            Self::Length => "malformed request: the length of the body is ambiguous",
            Self::Coding => "unsupported transfer coding",
            Self::Chunk => "malformed request: the chunked body is malformed",
            Self::Expectation => "unsupported expectation",
            Self::Slow => "the request head did not arrive in time",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.public())
    }
}

impl Requests {
    /// A new connection, whose heads may be `limit` bytes long.
    pub fn new(limit: usize) -> Self {
        Self { state: State::Head, limit, looked: 0 }
    }

    /// Whether the next byte starts a head.
    pub fn between(&self) -> bool {
        self.state == State::Head
    }

    /// How many bytes of `bytes`, all that has not passed yet, may pass now.
    ///
    /// Never goes beyond the end of one request. Zero means that a head has not wholly arrived: ask again with more.
    ///
    /// # Errors
    /// [`Refusal`]; the connection is then of no more use.
    pub fn pass(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let head = if self.state == State::Head {
            let Some(length) = self.head_length(bytes)? else { return Ok(0) };
            self.looked = 0;
            self.state = check_head(bytes.get(..length).unwrap_or_default())?;
            length
        } else {
            0
        };
        let body = self.body(bytes.get(head..).unwrap_or_default())?;
        Ok(head + body)
    }

    /// The length of the head at the start of `bytes`, if it is all there.
    fn head_length(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        let mut from = self.looked;
        while let Some(offset) = bytes.get(from..).unwrap_or_default().iter().position(|byte| *byte == b'\n') {
            let end = from + offset;
            match bytes.get(..end).unwrap_or_default() {
                [.., b'\n', b'\r'] => {
                    return if end < self.limit { Ok(Some(end + 1)) } else { Err(Refusal::TooLarge) };
                }
                [b'\r'] => return Err(Refusal::RequestLine),
                [.., b'\r'] => {}
                _ => return Err(Refusal::Line),
            }
            from = end + 1;
        }
        self.looked = bytes.len();
        if bytes.len() >= self.limit { Err(Refusal::TooLarge) } else { Ok(None) }
    }

    /// How many bytes of `bytes` belong to the body.
    fn body(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            match self.state {
                State::Head => return Ok(used),
                State::Body(left) => {
                    let taken = shorter(left, rest.len());
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::Head } else { State::Body(left) };
                    return Ok(used + taken);
                }
                State::Chunked(Chunk::Data(left)) => {
                    let taken = shorter(left, rest.len());
                    if taken == 0 {
                        return Ok(used);
                    }
                    self.state = State::Chunked(Chunk::after_data(left, taken));
                    used += taken;
                }
                State::Chunked(chunk) => {
                    let Some(&byte) = rest.first() else { return Ok(used) };
                    let next = chunk.after(byte).ok_or(Refusal::Chunk)?;
                    self.state = if next == Chunk::End { State::Head } else { State::Chunked(next) };
                    used += 1;
                }
            }
        }
    }
}

/// Checks a whole head, the empty line included, and says how its body is framed.
fn check_head(head: &[u8]) -> Result<State, Refusal> {
    let mut lines = Lines(head);
    let old = check_request_line(lines.next().ok_or(Refusal::RequestLine)?)?;
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
                return Err(Refusal::Length);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked {
                return Err(Refusal::Length);
            }
            if old || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::Coding);
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"expect") && !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Refusal::Expectation);
        }
    }
    if fields > FIELD_LIMIT {
        return Err(Refusal::TooLarge);
    }
    if hosts > 1 || (hosts == 0 && !old) {
        return Err(Refusal::Host);
    }
    match (length, chunked) {
        (Some(_), true) => Err(Refusal::Length),
        (None, true) => Ok(State::Chunked(Chunk::START)),
        (None | Some(0), false) => Ok(State::Head),
        (Some(length), false) => Ok(State::Body(length)),
    }
}

/// The lines of a head without their CR LF.
struct Lines<'h>(&'h [u8]);

impl<'h> Iterator for Lines<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let line = self.0.get(..end).unwrap_or_default();
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// Checks the request line; answers whether it is HTTP/1.0.
fn check_request_line(line: &[u8]) -> Result<bool, Refusal> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refusal::RequestLine);
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(Refusal::RequestLine);
    }
    let old = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        version if version.starts_with(b"HTTP/") => return Err(Refusal::Version),
        _ => return Err(Refusal::RequestLine),
    };
    // A fragment is cut off by the URI type behind us, and a target that is not an origin form names another host.
    let visible = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
    if !target.starts_with(b"/") || !target.iter().all(visible) {
        return Err(Refusal::RequestLine);
    }
    Ok(old)
}

/// Checks one header field; answers its name and its value without white space around it.
fn check_field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Refusal::Field)?;
    let (name, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or_default();
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(Refusal::Field);
    }
    if value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
        return Err(Refusal::Line);
    }
    Ok((name, value.trim_ascii()))
}

/// A `Content-Length`: digits and nothing else.
fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::Length);
    }
    Ok(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in chunks of `size`, as a connection would; answers the requests told apart.
    fn requests(bytes: &[u8], size: usize) -> Result<Vec<String>, Refusal> {
        let mut framing = Requests::new(2048);
        let (mut held, mut told, mut current) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in bytes.chunks(size) {
            held.extend_from_slice(chunk);
            loop {
                let passed = framing.pass(&held)?;
                current.extend(held.drain(..passed));
                if framing.between() && !current.is_empty() {
                    told.push(String::from_utf8_lossy(&std::mem::take(&mut current)).into_owned());
                }
                if passed == 0 || held.is_empty() {
                    break;
                }
            }
        }
        Ok(told)
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<&[&str], Refusal>) {
        for size in 1..=bytes.len() {
            let told = requests(bytes, size);
            assert_eq!(
                told.as_deref(),
                expected.map(|list| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).as_deref(),
                "in chunks of {size}"
            );
        }
    }

    #[track_caller]
    fn check_refused(head: &str, refusal: Refusal) {
        check(head.as_bytes(), Err(refusal));
    }

    const GET: &str = "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n";

    #[test]
    fn requests_are_told_apart() {
        check(format!("{GET}{GET}").as_bytes(), Ok(&[GET, GET]));
        let post = "POST /x HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nhello";
        check(format!("{post}{GET}").as_bytes(), Ok(&[post, GET]));
        let chunked =
            "POST /x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
        check(format!("{chunked}{GET}").as_bytes(), Ok(&[chunked, GET]));
        check(b"GET /_ping HTTP/1.0\r\n\r\n", Ok(&["GET /_ping HTTP/1.0\r\n\r\n"]));
    }

    #[test]
    fn bytes_behind_a_request_wait() {
        let bytes = format!("{GET}early\n");
        let mut framing = Requests::new(2048);
        assert_eq!(framing.pass(bytes.as_bytes()), Ok(GET.len()));
        assert!(framing.between());
    }

    #[test]
    fn a_head_that_could_be_read_in_two_ways_is_refused() {
        check_refused("GET /_ping HTTP/1.1\nHost: d\n\n", Refusal::Line);
        check_refused("GET /_ping HTTP/1.1\r\nHost: d\n\r\n", Refusal::Line);
        check_refused("GET /_ping HTTP/1.1\r\nHost: d\r\nA: b\rc\r\n\r\n", Refusal::Line);
        check_refused("GET /_ping HTTP/1.1\r\nHost: d\r\nA: b\0c\r\n\r\n", Refusal::Line);
        check_refused("GET /_ping HTTP/1.1\r\nHost: d\r\n folded\r\n\r\n", Refusal::Field);
        check_refused("GET /_ping HTTP/1.1\r\nHost : d\r\n\r\n", Refusal::Field);
        check_refused("GET /_ping HTTP/1.1\r\nHost: d\r\nnocolon\r\n\r\n", Refusal::Field);
        check_refused("\r\nGET /_ping HTTP/1.1\r\nHost: d\r\n\r\n", Refusal::RequestLine);
    }

    #[test]
    fn a_length_said_twice_is_refused() {
        let head = |fields: &str| format!("POST /x HTTP/1.1\r\nHost: d\r\n{fields}\r\n\r\n");
        check_refused(&head("Content-Length: 5\r\nTransfer-Encoding: chunked"), Refusal::Length);
        check_refused(&head("Transfer-Encoding: chunked\r\nContent-Length: 5"), Refusal::Length);
        check_refused(&head("Content-Length: 5\r\nContent-Length: 6"), Refusal::Length);
        check_refused(&head("Content-Length: 5\r\nContent-Length: 5"), Refusal::Length);
        check_refused(&head("Content-Length: +0"), Refusal::Length);
        check_refused(&head("Content-Length: 5, 5"), Refusal::Length);
        check_refused(&head("Content-Length:"), Refusal::Length);
        check_refused(&head("Content-Length: 99999999999999999999"), Refusal::Length);
        check_refused(&head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), Refusal::Length);
        check_refused(&head("Transfer-Encoding: chunked, chunked"), Refusal::Coding);
        check_refused(&head("Transfer-Encoding: identity"), Refusal::Coding);
        check_refused(&head("Expect: something"), Refusal::Expectation);
        check_refused("POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::Coding);
    }

    #[test]
    fn one_host_is_needed() {
        check_refused("GET /_ping HTTP/1.1\r\n\r\n", Refusal::Host);
        check_refused("GET /_ping HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", Refusal::Host);
        check_refused("GET /_ping HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", Refusal::Host);
    }

    #[test]
    fn only_the_origin_form_passes() {
        for target in ["http://evil/containers/json", "x:/containers/json", "*", "d:80", "/info#x", "/a\u{e9}", ""] {
            check_refused(&format!("GET {target} HTTP/1.1\r\nHost: d\r\n\r\n"), Refusal::RequestLine);
        }
        check_refused("GET /a b HTTP/1.1\r\nHost: d\r\n\r\n", Refusal::RequestLine);
        check_refused("GET\t/a\tHTTP/1.1\r\nHost: d\r\n\r\n", Refusal::RequestLine);
        check_refused("GET /a\r\n\r\n", Refusal::RequestLine);
    }

    #[test]
    fn only_http_1_passes() {
        for version in ["HTTP/1.9", "HTTP/2.0", "HTTP/0.9", "HTTP/1.01"] {
            check_refused(&format!("GET / {version}\r\nHost: d\r\n\r\n"), Refusal::Version);
        }
        check_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refusal::Version);
        check_refused("GET / http/1.1\r\nHost: d\r\n\r\n", Refusal::RequestLine);
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
            check_refused(&chunked(body), Refusal::Chunk);
        }
    }

    #[test]
    fn a_head_over_the_limit_is_too_large() {
        let head = |length: usize| format!("GET /_ping HTTP/1.1\r\nHost: d\r\nA: {}\r\n\r\n", "a".repeat(length));
        check_refused(&head(2048), Refusal::TooLarge);
        assert!(requests(head(1900).as_bytes(), 100).is_ok());
        let many = format!("GET /_ping HTTP/1.1\r\nHost: d\r\n{}\r\n", "A: b\r\n".repeat(100));
        check_refused(&many, Refusal::TooLarge);
    }
}
