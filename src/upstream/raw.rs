//! The head of a stream's answer, read from the socket, so that the body can be relayed as the bytes in which it arrives.
//!
//! Such a connection is never used for a second request.

use super::UpstreamError;
use crate::socket::Socket;
use crate::stream::fields::HeaderFields;
pub use crate::stream::responses::BodyFraming;
use crate::stream::responses::{CheckedHead, FinalHead};

/// Fields that engines write, that decide nothing and do not pass.
const UNREAD_FIELDS: [&[u8]; 6] = [b"date", b"server", b"connection", b"cache-control", b"pragma", b"expires"];

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// How the body is framed.
    pub framing: BodyFraming,
    /// The header fields that somebody reads.
    pub headers: HeaderFields,
}

/// The most that is read with the head, in bytes. The rest of the body waits at the engine.
const READ_LIMIT: usize = 16 * 1024;

/// Reads the head of the answer. Bytes after it are left in `buffer`.
///
/// Cancel safety: what has been read is in `buffer`. Call it again with the same buffer.
///
/// # Errors
/// [`UpstreamError::Broken`] if the connection ends first, [`UpstreamError::Malformed`] if the head is malformed.
pub async fn read_head(socket: &Socket, buffer: &mut Vec<u8>) -> Result<ResponseHead, UpstreamError> {
    let mut heads = FinalHead::default();
    loop {
        if let Some(head) = take_head(&mut heads, buffer)? {
            return Ok(head);
        }
        match socket.read_up_to(READ_LIMIT, |bytes| buffer.extend_from_slice(bytes)).await {
            Ok(0) => return Err(broken("the connection ended before the head of the answer")),
            Ok(_) => {}
            Err(error) => return Err(UpstreamError::of_io(&error)),
        }
    }
}

/// A connection that is broken, and why.
pub(super) fn broken(why: &str) -> UpstreamError {
    UpstreamError::Broken(why.to_owned())
}

/// Takes the final head, and what comes before it, from the front of `buffer`, if it is complete.
fn take_head(heads: &mut FinalHead, buffer: &mut Vec<u8>) -> Result<Option<ResponseHead>, UpstreamError> {
    let mut rest = buffer.as_slice();
    let head = heads.take(&mut rest).map_err(UpstreamError::Malformed)?;
    let head =
        head.map(|head| ResponseHead { status: head.status, framing: head.framing, headers: read_fields(&head) });
    let taken = buffer.len() - rest.len();
    buffer.drain(..taken);
    Ok(head)
}

/// The header fields of a head, except for those that nobody reads.
pub(super) fn read_fields(head: &CheckedHead<'_>) -> HeaderFields {
    let mut headers = HeaderFields::with_capacity(head.fields.len(), head.length);
    for (name, value) in &head.fields {
        if !UNREAD_FIELDS.iter().any(|unread| name.eq_ignore_ascii_case(unread)) {
            headers.push(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &str, expected: Option<(u16, BodyFraming)>) {
        let taken = take_head(&mut FinalHead::default(), &mut head.into());
        assert_eq!(taken.ok().flatten().map(|head| (head.status, head.framing)), expected);
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
        let taken = take_head(&mut FinalHead::default(), &mut b"HTTP/1.1 200 OK\r\nContent-Le".into());
        assert!(matches!(taken, Ok(None)));
    }

    #[test]
    fn fields_are_found_whatever_their_case() {
        let mut buffer = b"HTTP/1.1 200 OK\r\nAPI-Version: 1.51\r\n\r\nrest".into();
        let head = take_head(&mut FinalHead::default(), &mut buffer).unwrap().unwrap();
        assert_eq!((head.headers.text("api-version"), buffer.as_slice()), (Some("1.51"), &b"rest"[..]));
    }
}
