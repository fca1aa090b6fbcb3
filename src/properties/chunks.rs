//! The chunked coding.

use super::Outcome;
use super::arrival::for_each_arrival;
use crate::stream::chunks::BodyDecoder;
use crate::stream::requests::{RequestError, RequestFraming};

/// A chunked body has the same data however its bytes arrive, and the data that a second decoder finds; the reader of
/// requests ends it at the same byte; and bytes that are put into chunks come out again.
///
/// # Panics
/// If that is not so.
pub(super) fn a_chunked_body_is_read_in_one_way(bytes: &[u8]) -> Outcome {
    let expected = decoded(bytes);
    for_each_arrival(bytes, |pieces| {
        assert_eq!(data(BodyDecoder::chunked(), pieces), expected, "in {} pieces", pieces.len());
    });
    check_request(bytes, expected.as_ref());
    check_round_trip(bytes);
    match expected {
        Some(_) => Outcome::Accepted,
        None => Outcome::Refused,
    }
}

/// The data of a chunked body, and where it ended if it did.
type Decoded = Option<(Vec<u8>, Option<usize>)>;

/// What `body` makes of pieces; `None` if it refuses them.
fn data(mut body: BodyDecoder, pieces: &[&[u8]]) -> Decoded {
    let (mut found, mut end, mut used) = (Vec::new(), None, 0);
    for piece in pieces {
        let mut rest = *piece;
        while let Some(data) = body.data(&mut rest).ok()? {
            assert!(!data.is_empty(), "a run of data has data");
            found.extend_from_slice(data);
        }
        used += piece.len() - rest.len();
        assert!(rest.is_empty() || body.has_ended(), "only bytes behind the end are left");
        if body.has_ended() && end.is_none() {
            end = Some(used);
        }
    }
    Some((found, end))
}

/// The same by RFC 9112 §7.1, without extensions and trailers: one chunk after the other, from the whole text.
fn decoded(bytes: &[u8]) -> Decoded {
    let (mut found, mut rest) = (Vec::new(), bytes);
    loop {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, behind) = rest.split_at_checked(digits)?;
        if digits > 15 || (digits == 0 && !behind.is_empty()) {
            return None;
        }
        let Some(behind) = after(behind, b"\r\n")? else { return Some((found, None)) };
        let size = u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            let end = after(behind, b"\r\n")?.map(|rest| bytes.len() - rest.len());
            return Some((found, end));
        }
        let length = behind.len().min(usize::try_from(size).unwrap_or(usize::MAX));
        let (data, behind) = behind.split_at_checked(length)?;
        found.extend_from_slice(data);
        if (data.len() as u64) < size {
            return Some((found, None));
        }
        match after(behind, b"\r\n")? {
            Some(behind) => rest = behind,
            None => return Some((found, None)),
        }
    }
}

/// What stands behind `mark`: `Some(None)` if `bytes` end inside it, `None` if something else stands there.
fn after<'b>(bytes: &'b [u8], mark: &[u8]) -> Option<Option<&'b [u8]>> {
    match bytes.strip_prefix(mark) {
        Some(behind) => Some(Some(behind)),
        None => mark.starts_with(bytes).then_some(None),
    }
}

/// The reader of requests and the reader of bodies agree.
fn check_request(bytes: &[u8], expected: Option<&(Vec<u8>, Option<usize>)>) {
    let head = b"POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut requests = RequestFraming::new(1024);
    let passed = requests.pass(&[head, bytes].concat());
    match expected {
        None => assert_eq!(passed, Err(RequestError::Chunk), "both refuse"),
        Some((_, end)) => {
            assert_eq!(passed, Ok(head.len() + end.unwrap_or(bytes.len())), "both end at one byte");
            assert_eq!(requests.in_head(), end.is_some(), "both end");
        }
    }
}

/// Data that is put into chunks comes out again, also behind a length.
fn check_round_trip(data_in: &[u8]) {
    for size in [1, 10, 300] {
        let mut coded = Vec::new();
        for chunk in data_in.chunks(size) {
            coded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            coded.extend_from_slice(chunk);
            coded.extend_from_slice(b"\r\n");
        }
        coded.extend_from_slice(b"0\r\n\r\n");
        let length = coded.len();
        coded.extend_from_slice(b"behind");
        assert_eq!(data(BodyDecoder::chunked(), &[&coded]), Some((data_in.to_vec(), Some(length))), "chunks of {size}");
    }
    let coded = [data_in, b"behind"].concat();
    let found = data(BodyDecoder::of_length(data_in.len() as u64), &[&coded]);
    assert_eq!(found, Some((data_in.to_vec(), Some(data_in.len()))), "a body of a length");
}
