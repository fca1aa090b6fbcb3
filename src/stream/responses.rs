//! Strict framing of the engine's answers on one connection, checked on the bytes as they came.
//!
//! An HTTP library accepts what it can make sense of: a length beside a chunked body, chunk extensions with any byte in them,
//! bare line feeds. Somebody who can put bytes into an answer could then decide where it ends. So everything ambiguous is
//! refused here, as [`super::requests`] refuses it of clients.
//!
//! Source: RFC 9112 §2.2, §4, §5, §6.3, §7.1.

use std::fmt;

use super::chunks::{ChunkState, shorter};
use super::requests::{check_field, line_feed, parse_length};

/// The longest head of an answer, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;
/// The most header fields that a head may have.
const FIELD_LIMIT: usize = 64;
/// The most interim heads before the final one.
const INTERIM_LIMIT: u8 = 8;
/// About how many header fields a head has.
const TYPICAL_FIELDS: usize = 16;

/// How the end of a body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// It has this many bytes.
    Length(u64),
    /// It is chunked.
    Chunked,
    /// It ends with the connection.
    Close,
}

/// Why an answer is malformed or ambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The head is longer than the limit, or has too many fields.
    TooLarge,
    /// A line of the head does not end in CR LF, or a field is malformed.
    Line,
    /// The status line is not `HTTP/1.x NNN`.
    StatusLine,
    /// The length of the body is given twice, or is not a number.
    Length,
    /// A transfer coding other than `chunked`, or on HTTP/1.0.
    Coding,
    /// More interim answers than an engine has a reason for.
    Interim,
    /// A chunked body that is malformed, or has extensions or trailers.
    Chunk,
    /// Bytes after the end of the answer.
    Surplus,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the head of the answer is too long or has too many fields",
            Self::Line => "the head of the answer is malformed",
            Self::StatusLine => "the status line of the answer is malformed",
            Self::Length => "the length of the answer is ambiguous or not a number",
            Self::Coding => "the answer has an unknown transfer coding",
            Self::Interim => "the answer has too many interim ones before it",
            Self::Chunk => "the chunked body of the answer is malformed",
            Self::Surplus => "bytes after the end of the answer",
        })
    }
}

impl std::error::Error for ResponseError {}

/// A head that is complete and has one meaning.
#[derive(Debug, PartialEq, Eq)]
pub struct CheckedHead<'h> {
    /// The status code.
    pub status: u16,
    /// How the body is framed, if the answer has one.
    pub framing: BodyFraming,
    /// Whether the connection ends after the answer.
    pub closes: bool,
    /// The names and values of the header fields, in order.
    pub fields: Vec<(&'h [u8], &'h [u8])>,
    /// The length of the head, its empty line included.
    pub length: usize,
}

impl<'h> CheckedHead<'h> {
    /// Checks the head at the start of `bytes`, if it is complete.
    ///
    /// # Errors
    /// [`ResponseError`].
    pub fn parse(bytes: &'h [u8]) -> Result<Option<Self>, ResponseError> {
        let mut lines = Lines { bytes, at: 0 };
        let Some(line) = lines.next()? else { return Ok(None) };
        let (status, is_http_10) = status_line(line)?;
        let (mut declared, mut chunked, mut closes) = (None, false, is_http_10);
        let mut fields = Vec::with_capacity(TYPICAL_FIELDS);
        loop {
            let Some(line) = lines.next()? else { return Ok(None) };
            if line.is_empty() {
                let framing = match (declared, chunked) {
                    (Some(_), true) => return Err(ResponseError::Length),
                    (Some(length), false) => BodyFraming::Length(length),
                    (None, true) => BodyFraming::Chunked,
                    (None, false) => BodyFraming::Close,
                };
                return Ok(Some(Self { status, framing, closes, fields, length: lines.at }));
            }
            if fields.len() >= FIELD_LIMIT {
                return Err(ResponseError::TooLarge);
            }
            let (name, value) = check_field(line).map_err(|_| ResponseError::Line)?;
            fields.push((name, value));
            if name.eq_ignore_ascii_case(b"content-length") {
                let length = parse_length(value).map_err(|_| ResponseError::Length)?;
                if declared.replace(length).is_some() {
                    return Err(ResponseError::Length);
                }
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                if chunked || is_http_10 || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(ResponseError::Coding);
                }
                chunked = true;
            } else if name.eq_ignore_ascii_case(b"connection") {
                closes |=
                    value.split(|byte| *byte == b',').any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
            }
        }
    }
}

/// Finds the final head of an answer, behind interim ones.
#[derive(Debug, Default)]
pub struct FinalHead {
    /// How many interim heads have come.
    interim: u8,
}

impl FinalHead {
    /// Takes heads from the front of `bytes`, up to the final one, and returns that if it is complete.
    ///
    /// # Errors
    /// [`ResponseError`].
    pub fn take<'h>(&mut self, bytes: &mut &'h [u8]) -> Result<Option<CheckedHead<'h>>, ResponseError> {
        while let Some(head) = CheckedHead::parse(bytes)? {
            *bytes = bytes.get(head.length..).unwrap_or_default();
            if head.status == 101 || !(100..200).contains(&head.status) {
                return Ok(Some(head));
            }
            self.interim += 1;
            if self.interim > INTERIM_LIMIT {
                return Err(ResponseError::Interim);
            }
        }
        Ok(None)
    }
}

/// The lines at the front of a head.
struct Lines<'h> {
    bytes: &'h [u8],
    at: usize,
}

impl<'h> Lines<'h> {
    /// The next line without its CR LF; `None` if it is incomplete.
    fn next(&mut self) -> Result<Option<&'h [u8]>, ResponseError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(end) = line_feed(rest) else {
            return if self.bytes.len() > HEAD_LIMIT { Err(ResponseError::TooLarge) } else { Ok(None) };
        };
        self.at += end + 1;
        if self.at > HEAD_LIMIT {
            return Err(ResponseError::TooLarge);
        }
        let line = rest.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(ResponseError::Line)?;
        Ok(Some(line))
    }
}

/// The status code of a status line, and whether its version is HTTP/1.0.
fn status_line(line: &[u8]) -> Result<(u16, bool), ResponseError> {
    let is_http_10 = line.starts_with(b"HTTP/1.0 ");
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "));
    let rest = rest.ok_or(ResponseError::StatusLine)?;
    let (code, reason) = rest.split_at_checked(3).ok_or(ResponseError::StatusLine)?;
    let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    if !code.iter().all(u8::is_ascii_digit) || !(reason.is_empty() || reason.starts_with(b" ")) {
        return Err(ResponseError::StatusLine);
    }
    if !reason.iter().all(is_text) {
        return Err(ResponseError::StatusLine);
    }
    let status = code.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    if (100..600).contains(&status) { Ok((status, is_http_10)) } else { Err(ResponseError::StatusLine) }
}

/// Follows the framing of the answers on one connection. Holds no more than an incomplete head.
#[derive(Debug, Default)]
pub struct ResponseFraming {
    state: AnswerState,
    /// The start of a head that has not arrived completely.
    held: Vec<u8>,
    /// The heads before the final one.
    heads: FinalHead,
    /// Whether the request is a `HEAD`, whose answer has no body.
    is_head: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum AnswerState {
    /// No request is open.
    #[default]
    Idle,
    /// Before or in the head of an answer.
    Head,
    /// In a body with this many bytes left.
    Body(u64),
    /// In a chunked body.
    Chunked(ChunkState),
    /// In a body that ends with the connection.
    UntilClose,
}

impl ResponseFraming {
    /// Bytes of a request are sent. The first of them open it.
    pub fn sending(&mut self, bytes: &[u8]) {
        if self.is_idle() {
            self.is_head = bytes.starts_with(b"HEAD ");
            self.heads = FinalHead::default();
            self.state = AnswerState::Head;
        }
    }

    /// Whether no answer is open: the last one has ended.
    pub fn is_idle(&self) -> bool {
        self.state == AnswerState::Idle
    }

    /// Follows what has arrived.
    ///
    /// # Errors
    /// [`ResponseError`]; the connection cannot be used after it.
    pub fn follow(&mut self, mut bytes: &[u8]) -> Result<(), ResponseError> {
        while !bytes.is_empty() {
            match self.state {
                AnswerState::Idle => return Err(ResponseError::Surplus),
                AnswerState::Head => bytes = self.head(bytes)?,
                AnswerState::Body(left) => {
                    let taken = shorter(left, bytes.len());
                    let left = left - taken as u64;
                    self.state = if left == 0 { AnswerState::Idle } else { AnswerState::Body(left) };
                    bytes = bytes.get(taken..).unwrap_or_default();
                }
                AnswerState::Chunked(ChunkState::Data(left)) => {
                    let taken = shorter(left, bytes.len());
                    self.state = AnswerState::Chunked(ChunkState::after_data(left, taken));
                    bytes = bytes.get(taken..).unwrap_or_default();
                }
                AnswerState::Chunked(chunk) => {
                    let next = chunk.after_framing(&mut bytes).ok_or(ResponseError::Chunk)?;
                    self.state = if next == ChunkState::End { AnswerState::Idle } else { AnswerState::Chunked(next) };
                }
                AnswerState::UntilClose => return Ok(()),
            }
        }
        Ok(())
    }

    /// Reads heads; returns the bytes behind the final one, none if it is incomplete.
    fn head<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], ResponseError> {
        let mut held = std::mem::take(&mut self.held);
        let before = held.len();
        if before > 0 {
            held.extend_from_slice(bytes);
            // Without the end of a line, there is nothing new to check.
            if !bytes.contains(&b'\n') && held.len() <= HEAD_LIMIT {
                self.held = held;
                return Ok(&[]);
            }
        }
        let arrived = if before == 0 { bytes } else { &held };
        let mut rest = arrived;
        let Some(CheckedHead { status, framing, .. }) = self.heads.take(&mut rest)? else {
            self.held = rest.to_vec();
            return Ok(&[]);
        };
        self.state = match (status, framing) {
            // Nobody has asked for another protocol.
            (101, _) => return Err(ResponseError::StatusLine),
            (204 | 304, _) | (_, BodyFraming::Length(0)) => AnswerState::Idle,
            _ if self.is_head => AnswerState::Idle,
            (_, BodyFraming::Length(length)) => AnswerState::Body(length),
            (_, BodyFraming::Chunked) => AnswerState::Chunked(ChunkState::START),
            (_, BodyFraming::Close) => AnswerState::UntilClose,
        };
        let taken = arrived.len() - rest.len();
        Ok(bytes.get(taken.saturating_sub(before)..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows an answer to a request that starts with `request`, in pieces of every size; whether it has ended.
    #[track_caller]
    fn check(request: &str, answer: &[u8], expected: Result<bool, ResponseError>) {
        for size in 1..=answer.len().max(1) {
            let mut framing = ResponseFraming::default();
            framing.sending(request.as_bytes());
            let followed = answer.chunks(size).try_for_each(|piece| framing.follow(piece));
            let found = followed.map(|()| framing.is_idle());
            assert_eq!(found, expected, "{:?} in pieces of {size}", String::from_utf8_lossy(answer));
        }
    }

    #[test]
    fn an_answer_is_followed_to_its_end() {
        for (answer, ended) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.1 204\r\nA:\r\n\r\n", true),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", false),
            ("HTTP/1.0 200 OK\r\n\r\nuntil the end", false),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", true),
        ] {
            check("GET / HTTP/1.1\r\n\r\n", answer.as_bytes(), Ok(ended));
        }
        check("HEAD /_ping", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", Ok(true));
    }

    #[test]
    fn a_malformed_or_ambiguous_answer_is_refused() {
        use ResponseError::{Chunk, Coding, Length, Line, StatusLine, Surplus};
        for (answer, error) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Length),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", Length),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", Length),
            ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", Length),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Coding),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", Coding),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Coding),
            ("HTTP/1.1 200 OK\nContent-Length: 5\n\n", Line),
            ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Line),
            ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Line),
            ("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", Line),
            ("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", Line),
            ("HTTP/2 200 OK\r\n\r\n", StatusLine),
            ("HTTP/1.1 0200 OK\r\n\r\n", StatusLine),
            ("HTTP/1.1 999 OK\r\n\r\n", StatusLine),
            ("HTTP/1.1 101 Switching\r\n\r\n", StatusLine),
            ("HTTP/1.1 200 O\0K\r\n\r\n", StatusLine),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", Surplus),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\0\r\nabc\r\n0\r\n\r\n", Chunk),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n", Chunk),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", Chunk),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n", Chunk),
        ] {
            check("GET / HTTP/1.1\r\n\r\n", answer.as_bytes(), Err(error));
        }
    }

    #[test]
    fn a_head_without_an_end_is_too_large() {
        let mut framing = ResponseFraming::default();
        framing.sending(b"GET /");
        framing.follow(b"HTTP/1.1 200 OK\r\nA: ").unwrap();
        let followed = (0..2 * HEAD_LIMIT / 4096).try_for_each(|_| framing.follow(&[b'a'; 4096]));
        assert_eq!(followed, Err(ResponseError::TooLarge));
        assert!(framing.held.len() <= HEAD_LIMIT + 4096);
    }

    #[test]
    fn interim_answers_are_few() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n";
        let answer = |count: u8| interim.repeat(count.into()) + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
        check("GET /", answer(INTERIM_LIMIT).as_bytes(), Ok(true));
        check("GET /", answer(INTERIM_LIMIT + 1).as_bytes(), Err(ResponseError::Interim));
    }

    #[test]
    fn bytes_that_nobody_asked_for_are_surplus() {
        let mut framing = ResponseFraming::default();
        assert_eq!(framing.follow(b"HTTP/1.1 200 OK\r\n"), Err(ResponseError::Surplus));
    }

    #[test]
    fn fields_are_returned_in_order() {
        let head = CheckedHead::parse(b"HTTP/1.1 200 OK\r\nA: 1\r\nb:2 \r\n\r\nrest").unwrap().unwrap();
        let fields = head.fields;
        assert_eq!(fields, [(&b"A"[..], &b"1"[..]), (&b"b"[..], &b"2"[..])]);
        assert_eq!((head.status, head.framing, head.length), (200, BodyFraming::Close, 31));
    }
}
