//! The framing of responses.

use super::Outcome;
use super::arrival::for_each_arrival;
use crate::stream::chunks::BodyDecoder;
use crate::stream::responses::{BodyFraming, CheckedHead, ResponseError, ResponseFraming};

/// An answer is followed in the same way however its bytes arrive; the parser that reads its head next finds the same head;
/// and nothing in it makes another reader end the body elsewhere: the length is there once, or the chunks are, and the
/// decoder of streams ends them at the same byte.
///
/// # Panics
/// If that is not so.
pub(super) fn a_response_ends_at_the_same_byte_for_every_reader(bytes: &[u8]) -> Outcome {
    let whole = follow(&[bytes]);
    for_each_arrival(bytes, |pieces| assert_eq!(follow(pieces), whole, "in {} pieces", pieces.len()));
    match whole {
        Ok(has_ended) => {
            check_first(bytes, has_ended);
            Outcome::Accepted
        }
        Err(_) => Outcome::Refused,
    }
}

/// Whether an answer to a `GET` that arrives in these pieces has ended.
fn follow(pieces: &[&[u8]]) -> Result<bool, ResponseError> {
    let mut framing = ResponseFraming::default();
    framing.sending(b"GET / HTTP/1.1\r\n\r\n");
    pieces.iter().try_for_each(|piece| framing.follow(piece))?;
    Ok(framing.is_idle())
}

/// Checks the first head of an answer that was accepted, and where its body ends.
fn check_first(bytes: &[u8], has_ended: bool) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(Some(head)) = CheckedHead::parse(bytes) else { return };
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Response::new(&mut fields);
    assert_eq!(parsed.parse(bytes), Ok(httparse::Status::Complete(head.length)), "another head: {text:?}");
    assert_eq!(parsed.code, Some(head.status), "another status: {text:?}");
    assert_eq!(head.fields.len(), parsed.headers.len(), "other fields: {text:?}");
    let values = |name: &str| {
        let is_named = |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case(name);
        parsed.headers.iter().filter(is_named).map(|field| field.value).collect::<Vec<_>>()
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "two lengths: {text:?}");
    assert!(codings.iter().all(|coding| coding.eq_ignore_ascii_case(b"chunked")), "another coding: {text:?}");
    let behind = bytes.get(head.length..).unwrap_or_default();
    let has_body = !matches!(head.status, 100..200 | 204 | 304);
    let mut body = match head.framing {
        _ if !has_body => return,
        BodyFraming::Length(length) => BodyDecoder::of_length(length),
        BodyFraming::Chunked => BodyDecoder::chunked(),
        BodyFraming::Close => return assert!(!has_ended, "it ends with the connection: {text:?}"),
    };
    assert_eq!(body.follow(behind), Ok(behind.len()), "bytes behind the end: {text:?}");
    assert_eq!(body.has_ended(), has_ended, "another end: {text:?}");
}
