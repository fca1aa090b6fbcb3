//! The framing of requests.

use super::Outcome;
use super::arrival::for_each_arrival;
use crate::stream::requests::{RequestError, RequestFraming};

/// How long a head may be here; short, so that short inputs go over it.
const HEAD_LIMIT: usize = 1024;

/// What comes out of a connection: the length of each whole request, and whether what follows is refused.
type SplitRequests = (Vec<usize>, Result<(), RequestError>);

/// Requests are split apart in the same way however their bytes arrive, and every reader agrees on where each of them ends:
/// one that lets the length win and one that lets the chunks win, one that takes bare line feeds, folded lines, spaces
/// before colons or chunk extensions, and the parser that reads the head next.
///
/// # Panics
/// If one does not.
pub(super) fn a_request_ends_at_the_same_byte_for_every_reader(bytes: &[u8]) -> Outcome {
    let whole = split(&[bytes]);
    for_each_arrival(bytes, |pieces| {
        let (lengths, end) = split(pieces);
        assert_eq!(lengths, whole.0, "requests that passed, in {} pieces", pieces.len());
        // A head over the limit may have another fault as well, which a reader of the whole finds first.
        if bytes.len() < HEAD_LIMIT {
            assert_eq!(end, whole.1, "in {} pieces", pieces.len());
        } else {
            assert_eq!(end.is_err(), whole.1.is_err(), "in {} pieces", pieces.len());
        }
    });
    let mut start = 0;
    for length in &whole.0 {
        let rest = bytes.get(start..).unwrap_or_default();
        check_request(rest, *length);
        start += length;
    }
    match whole.1 {
        Ok(()) => Outcome::Accepted,
        Err(_) => Outcome::Refused,
    }
}

/// Feeds `pieces` as a connection would.
fn split(pieces: &[&[u8]]) -> SplitRequests {
    let mut framing = RequestFraming::new(HEAD_LIMIT);
    let (mut held, mut lengths, mut current) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            let passed = match framing.pass(&held) {
                Ok(passed) => passed,
                Err(error) => return (lengths, Err(error)),
            };
            assert!(passed <= held.len(), "no more bytes pass than arrived");
            held.drain(..passed);
            current += passed;
            if framing.in_head() && current > 0 {
                lengths.push(std::mem::take(&mut current));
            }
            if passed == 0 || held.is_empty() {
                break;
            }
        }
        assert!(held.len() < HEAD_LIMIT, "an unfinished head keeps to its limit");
    }
    (lengths, Ok(()))
}

/// Checks that every reader takes the request at the start of `bytes` to be `length` bytes long.
fn check_request(bytes: &[u8], length: usize) {
    let text = String::from_utf8_lossy(bytes);
    let head = Head::read(bytes);
    assert!(head.length <= HEAD_LIMIT, "a head keeps to its limit: {text:?}");
    for end in head.ends(bytes) {
        assert_eq!(end, Some(length), "a reader ends the request elsewhere: {text:?}");
    }
    let mut framing = RequestFraming::new(HEAD_LIMIT);
    assert!(framing.pass(bytes).is_ok_and(|passed| passed >= length.min(head.length)), "it passes: {text:?}");
    // The next parser gets the head with the target in another form.
    let (mut passed, start) = framing.rewritten_head(bytes).unwrap_or_default();
    let target = String::from_utf8_lossy(passed.get(start_of_target(&passed)..).unwrap_or_default()).into_owned();
    passed.extend_from_slice(bytes.get(start..).unwrap_or_default());
    let head_length = head.length + passed.len() - bytes.len();
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Request::new(&mut fields);
    let found = parsed.parse(&passed);
    assert_eq!(found, Ok(httparse::Status::Complete(head_length)), "the next parser reads another head: {text:?}");
    let words: Vec<&[u8]> =
        head.request_line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty()).collect();
    assert_eq!(words.len(), 3, "a request line has three words: {text:?}");
    assert_eq!(parsed.method.map(str::as_bytes), words.first().copied(), "one method: {text:?}");
    let expected = if target.is_empty() { words.get(1).copied() } else { Some(target.as_bytes()) };
    assert_eq!(parsed.path.map(str::as_bytes), expected, "one target: {text:?}");
    let path = parsed.path.map(|path| path.strip_prefix("http://").unwrap_or(path));
    assert!(path.is_some_and(|path| path.contains('/') && !path.contains('#')), "a path: {text:?}");
    let hosts = head.values(b"host").count();
    assert!(hosts == 1 || (hosts == 0 && parsed.version == Some(0)), "one host: {text:?}");
}

/// Where the target of a request line begins.
fn start_of_target(line: &[u8]) -> usize {
    line.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1)
}

/// A head as a lenient reader takes it: lines end at a line feed, a line that begins with white space goes on from the one
/// before, and there may be white space before a colon.
struct Head<'b> {
    length: usize,
    request_line: &'b [u8],
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<'b> Head<'b> {
    fn read(bytes: &'b [u8]) -> Self {
        let (mut length, mut lines) = (0, Vec::new());
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            length += line.len();
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let mut lines = lines.into_iter();
        let request_line = lines.next().unwrap_or_default();
        let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for line in lines {
            if line.first().is_some_and(u8::is_ascii_whitespace)
                && let Some((_, value)) = fields.last_mut()
            {
                value.extend_from_slice(line);
                continue;
            }
            let mut parts = line.splitn(2, |byte| *byte == b':');
            let name = parts.next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
            fields.push((name, parts.next().unwrap_or_default().trim_ascii().to_vec()));
        }
        Self { length, request_line, fields }
    }

    fn values(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// Where the request ends by each of the readings that its fields allow.
    fn ends(&self, bytes: &[u8]) -> Vec<Option<usize>> {
        let mut ends = Vec::new();
        for value in self.values(b"content-length") {
            for one in value.split(|byte| *byte == b',') {
                let digits = one.trim_ascii();
                let digits = digits.strip_prefix(b"+").unwrap_or(digits);
                let digits: String =
                    digits.iter().take_while(|byte| byte.is_ascii_digit()).map(|byte| char::from(*byte)).collect();
                ends.push(digits.parse::<usize>().ok().and_then(|length| self.length.checked_add(length)));
            }
        }
        for value in self.values(b"transfer-encoding") {
            if value.to_ascii_lowercase().windows(7).any(|window| window == b"chunked") {
                let body = bytes.get(self.length..).unwrap_or_default();
                ends.push(end_of_chunks(body).map(|end| self.length + end));
            }
        }
        if ends.is_empty() {
            ends.push(Some(self.length));
        }
        ends
    }
}

/// Where a chunked body ends for a reader that takes extensions, trailers and bare line feeds.
fn end_of_chunks(body: &[u8]) -> Option<usize> {
    let line = |from: usize| {
        let rest = body.get(from..)?;
        let length = rest.iter().position(|byte| *byte == b'\n')?;
        Some((rest.get(..length)?.trim_ascii(), from + length + 1))
    };
    let mut at = 0;
    loop {
        let (size, behind) = line(at)?;
        let digits: String =
            size.iter().take_while(|byte| byte.is_ascii_hexdigit()).map(|byte| char::from(*byte)).collect();
        let size = usize::from_str_radix(&digits, 16).ok()?;
        at = behind;
        if size == 0 {
            loop {
                let (trailer, behind) = line(at)?;
                at = behind;
                if trailer.is_empty() {
                    return Some(at);
                }
            }
        }
        (_, at) = line(at.checked_add(size)?)?;
    }
}
