//! The head of a stream's answer, read from the socket, so that the body can be relayed as the bytes in which it arrives.
//!
//! Such a connection is never used for a second request.

use super::UpstreamError;
use crate::socket::Socket;

/// The longest head of an answer, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;
/// The most header fields it may have.
const FIELD_LIMIT: usize = 64;

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// How the body is framed.
    pub framing: BodyFraming,
    /// The names and values of all fields, in order.
    pub fields: Vec<(String, String)>,
}

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

impl ResponseHead {
    /// The value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Reads the head of the answer. Bytes after it are left in `buffer`.
///
/// Cancel safety: what has been read is in `buffer`. Call it again with the same buffer.
///
/// # Errors
/// [`UpstreamError::Broken`] if the connection ends first, or the head is malformed.
pub async fn read_head(socket: &Socket, buffer: &mut Vec<u8>) -> Result<ResponseHead, UpstreamError> {
    loop {
        if let Some((head, length)) = parse_head(buffer)? {
            buffer.drain(..length);
            // An interim answer comes before the final one.
            if head.status == 101 || !(100..200).contains(&head.status) {
                return Ok(head);
            }
            continue;
        }
        if buffer.len() > HEAD_LIMIT {
            return Err(broken("the head of the answer is too long"));
        }
        match socket.read_some(|bytes| buffer.extend_from_slice(bytes)).await {
            Ok(0) => return Err(broken("the connection ended before the head of the answer")),
            Ok(_) => {}
            Err(error) => return Err(broken(&error.to_string())),
        }
    }
}

fn broken(why: &str) -> UpstreamError {
    UpstreamError::Broken(why.to_owned())
}

/// Parses the head at the start of `bytes`, if it is complete; returns it with its length.
fn parse_head(bytes: &[u8]) -> Result<Option<(ResponseHead, usize)>, UpstreamError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_LIMIT];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(broken("the head of the answer is malformed")),
    };
    let status = response.code.unwrap_or(0);
    let (mut declared, mut chunked) = (None, false);
    let mut fields = Vec::with_capacity(response.headers.len());
    for field in response.headers.iter() {
        let value = String::from_utf8_lossy(field.value).trim().to_owned();
        if field.name.eq_ignore_ascii_case("content-length") {
            let parsed = value.parse::<u64>().map_err(|_| broken("the length of the answer is malformed"))?;
            if declared.replace(parsed).is_some() {
                return Err(broken("the length of the answer is ambiguous"));
            }
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case("chunked") {
                return Err(broken("the answer has an unknown transfer coding"));
            }
            chunked = true;
        }
        fields.push((field.name.to_owned(), value));
    }
    let framing = match (declared, chunked) {
        (Some(_), true) => return Err(broken("the length of the answer is ambiguous")),
        (Some(length), false) => BodyFraming::Length(length),
        (None, true) => BodyFraming::Chunked,
        (None, false) => BodyFraming::Close,
    };
    Ok(Some((ResponseHead { status, framing, fields }, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &str, expected: Option<(u16, BodyFraming)>) {
        let parsed = parse_head(head.as_bytes());
        assert_eq!(parsed.ok().flatten().map(|(head, _)| (head.status, head.framing)), expected);
    }

    #[test]
    fn the_framing_of_an_answer_is_recognised() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Some((200, BodyFraming::Length(5))));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Some((200, BodyFraming::Chunked)));
        check("HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n\x01", Some((101, BodyFraming::Close)));
    }

    #[test]
    fn an_ambiguous_answer_is_refused() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", None);
        check("HTP/1.1 200 OK\r\n\r\n", None);
    }

    #[test]
    fn an_unfinished_head_waits() {
        check("HTTP/1.1 200 OK\r\nContent-Le", None);
        assert!(matches!(parse_head(b"HTTP/1.1 200 OK\r\nContent-Le"), Ok(None)));
    }

    #[test]
    fn fields_are_found_whatever_their_case() {
        let (head, length) = parse_head(b"HTTP/1.1 200 OK\r\nAPI-Version: 1.51\r\n\r\nrest").unwrap().unwrap();
        assert_eq!((head.field("api-version"), length), (Some("1.51"), 38));
    }
}
