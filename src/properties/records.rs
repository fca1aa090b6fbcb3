//! Streams of JSON objects.

use serde_json::value::RawValue;

use super::Outcome;
use super::arrival::for_each_arrival;
use crate::stream::records::{MARK, Marks, RecordError, RecordSplitter};

/// A limit that some records of a short input are over.
const SHORT: usize = 40;

/// A stream is split into the same records however its bytes arrive; between them is only white space, and a mark before
/// each where there should be one; they are the objects that a JSON parser finds; and a limit ends the stream before the
/// first record that is longer.
///
/// # Panics
/// If that is not so.
pub(super) fn a_stream_is_split_into_its_objects(bytes: &[u8]) -> Outcome {
    let mut outcome = Outcome::Refused;
    for marks in [Marks::Forbidden, Marks::Required] {
        let whole = split(&[bytes], marks, usize::MAX);
        let short = split(&[bytes], marks, SHORT);
        for_each_arrival(bytes, |pieces| {
            assert_eq!(split(pieces, marks, usize::MAX), whole, "in {} pieces", pieces.len());
            assert_eq!(split(pieces, marks, SHORT), short, "in {} pieces", pieces.len());
        });
        let rest = check_places(bytes, &whole.0, marks);
        check_limit(&whole, &short, rest);
        if marks == Marks::Forbidden {
            check_against_the_parser(bytes, &whole);
        }
        if whole.1.is_ok() {
            outcome = Outcome::Accepted;
        }
    }
    outcome
}

/// The records of a stream, and how it ends.
type Split = (Vec<Vec<u8>>, Result<(), RecordError<()>>);

fn split(pieces: &[&[u8]], marks: Marks, limit: usize) -> Split {
    let (mut records, mut found) = (RecordSplitter::new(marks, limit), Vec::new());
    for piece in pieces {
        let pushed = records.push(piece, |record| {
            found.push(record.to_vec());
            Ok::<(), ()>(())
        });
        if pushed.is_err() {
            return (found, pushed);
        }
    }
    (found, records.finish())
}

/// Finds the records in the stream, in turn, with nothing between them that does not belong there. Returns what follows.
fn check_places<'b>(bytes: &'b [u8], records: &[Vec<u8>], marks: Marks) -> &'b [u8] {
    let mut rest = bytes;
    for record in records {
        let between = rest.iter().take_while(|byte| b" \t\r\n\x1e".contains(byte)).count();
        let (before, behind) = rest.split_at_checked(between).unwrap_or_default();
        let found = before.iter().filter(|byte| **byte == MARK).count();
        assert_eq!(found, usize::from(marks == Marks::Required), "one mark before each record, or none");
        assert!(behind.starts_with(record) && record.starts_with(b"{"), "a record is the next object of the stream");
        rest = behind.get(record.len()..).unwrap_or_default();
    }
    rest
}

/// With a limit come the same records up to the first that is longer.
fn check_limit(whole: &Split, short: &Split, rest: &[u8]) {
    let fit = whole.0.iter().take_while(|record| record.len() <= SHORT).count();
    assert_eq!(Some(short.0.as_slice()), whole.0.get(..fit), "records within the limit leave");
    let unfinished = rest.len().saturating_sub(rest.iter().take_while(|byte| **byte != b'{').count());
    let over = fit < whole.0.len() || (whole.1 == Err(RecordError::Truncated) && unfinished > SHORT);
    let expected = if over { Err(RecordError::TooLong { limit: SHORT }) } else { whole.1 };
    assert_eq!(short.1, expected, "the limit ends the stream");
}

/// A stream that a JSON parser reads as objects is those objects.
fn check_against_the_parser(bytes: &[u8], whole: &Split) {
    let parsed: Result<Vec<&RawValue>, _> = serde_json::Deserializer::from_slice(bytes).into_iter().collect();
    let Ok(parsed) = parsed else { return };
    if parsed.iter().all(|value| value.get().starts_with('{')) {
        let parsed: Vec<Vec<u8>> = parsed.iter().map(|value| value.get().as_bytes().to_vec()).collect();
        assert_eq!(*whole, (parsed, Ok(())), "the parser finds other objects");
    } else {
        assert_eq!(whole.1, Err(RecordError::NotRecord), "a value that is not an object is refused");
    }
}
