//! A stream of JSON objects, one behind the other, split into records as chunks arrive.
//!
//! That is what engines send as `application/json`, `application/jsonl`, `application/x-ndjson` and, with a mark before
//! each object, as `application/json-seq` (RFC 7464). A record ends with its closing brace: it leaves without waiting
//! for the line feed behind it.

use std::fmt;

/// The mark before each record of `application/json-seq`.
pub const MARK: u8 = 0x1e;

/// Splits a stream into its records. Holds one unfinished record, of `limit` bytes at most.
///
/// Whether a record is valid JSON is for the caller to say: here strings and brackets are told apart, which is enough
/// to find the end of an object, and to find it wrong in none that is valid.
#[derive(Debug)]
pub struct Records {
    held: Vec<u8>,
    location: Location,
    marked: bool,
    limit: usize,
}

/// Where in the stream the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Location {
    /// Between records.
    Between,
    /// Behind a mark.
    Marked,
    /// In a record, inside this many brackets.
    Record { depth: usize },
    /// In a string of a record.
    Text { depth: usize },
    /// Behind a backslash in a string.
    Escape { depth: usize },
}

/// Why a stream is not a run of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordsError<E> {
    /// Something that is no object, or an object without its mark, or a mark where there should be none.
    NotARecord,
    /// A record is longer than the limit.
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The stream ended inside a record.
    Truncated,
    /// The caller refused a record.
    Record(E),
}

impl<E: fmt::Display> fmt::Display for RecordsError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecord => f.write_str("not a run of JSON objects"),
            Self::TooLong { limit } => write!(f, "a record longer than {limit} bytes"),
            Self::Truncated => f.write_str("a record is cut short"),
            Self::Record(error) => write!(f, "record: {error}"),
        }
    }
}

impl Records {
    /// A splitter that refuses a record of more than `limit` bytes. `marked` says that there is a [`MARK`] before each
    /// record; otherwise there may be none.
    pub fn new(marked: bool, limit: usize) -> Self {
        Self { held: Vec::new(), location: Location::Between, marked, limit }
    }

    /// Takes the next chunk and shows each record that is now whole to `record`: the object, nothing around it.
    ///
    /// # Errors
    /// [`RecordsError`]; the stream is then of no more use. What came whole before has been shown.
    pub fn push<E>(
        &mut self,
        chunk: &[u8],
        mut record: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), RecordsError<E>> {
        let mut start = 0;
        for (at, byte) in chunk.iter().enumerate() {
            let before = self.location;
            self.location = self.after(*byte).ok_or(RecordsError::NotARecord)?;
            if before.is_between() {
                start = at;
                continue;
            }
            if self.location == Location::Between {
                self.hold(chunk.get(start..=at).unwrap_or_default())?;
                record(&self.held).map_err(RecordsError::Record)?;
                self.held.clear();
            }
        }
        if self.location.is_between() {
            // A burst of large records should not cost a silent stream its memory.
            self.held = Vec::new();
            return Ok(());
        }
        self.hold(chunk.get(start..).unwrap_or_default())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`RecordsError::Truncated`] if it ended inside a record, or behind a mark.
    pub fn finish<E>(self) -> Result<(), RecordsError<E>> {
        if self.location == Location::Between { Ok(()) } else { Err(RecordsError::Truncated) }
    }

    fn hold<E>(&mut self, bytes: &[u8]) -> Result<(), RecordsError<E>> {
        if self.held.len() + bytes.len() > self.limit {
            return Err(RecordsError::TooLong { limit: self.limit });
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// The place behind `byte`; `None` if there should be none here.
    fn after(&self, byte: u8) -> Option<Location> {
        let inside = |depth| if depth == 0 { Location::Between } else { Location::Record { depth } };
        match (self.location, byte) {
            (Location::Between | Location::Marked, b' ' | b'\t' | b'\r' | b'\n') => Some(self.location),
            (Location::Between, MARK) => self.marked.then_some(Location::Marked),
            (Location::Between, b'{') => (!self.marked).then_some(Location::Record { depth: 1 }),
            (Location::Marked, b'{') => Some(Location::Record { depth: 1 }),
            (Location::Between | Location::Marked, _) => None,
            (Location::Record { depth }, b'"') => Some(Location::Text { depth }),
            (Location::Record { depth }, b'{' | b'[') => Some(Location::Record { depth: depth + 1 }),
            (Location::Record { depth }, b'}' | b']') => Some(inside(depth.saturating_sub(1))),
            (Location::Text { depth }, b'"') => Some(inside(depth)),
            (Location::Text { depth }, b'\\') => Some(Location::Escape { depth }),
            (Location::Escape { depth }, _) => Some(Location::Text { depth }),
            (Location::Record { .. } | Location::Text { .. }, _) => Some(self.location),
        }
    }
}

impl Location {
    /// Whether it is in no record.
    fn is_between(self) -> bool {
        matches!(self, Self::Between | Self::Marked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Split = (Vec<String>, Result<(), RecordsError<&'static str>>);

    /// The records of a stream that arrives in these pieces; one that holds `!` is refused.
    fn split<'t>(pieces: impl IntoIterator<Item = &'t [u8]>, marked: bool, limit: usize) -> Split {
        let mut records = Records::new(marked, limit);
        let mut found = Vec::new();
        for piece in pieces {
            let pushed = records.push(piece, |record| {
                let record = String::from_utf8(record.to_vec()).unwrap();
                if record.contains('!') {
                    return Err("no");
                }
                found.push(record);
                Ok(())
            });
            assert!(records.held.len() <= limit);
            if let Err(error) = pushed {
                return (found, Err(error));
            }
        }
        (found, records.finish())
    }

    /// The same records and the same end, whole, cut in two at every place, and in pieces of every size.
    #[track_caller]
    fn check_in(marked: bool, text: &str, records: &[&str], end: Result<(), RecordsError<&'static str>>) {
        let expected = (records.iter().map(|record| (*record).to_owned()).collect::<Vec<_>>(), end);
        for cut in 0..=text.len() {
            let (one, two) = text.as_bytes().split_at(cut);
            assert_eq!(split([one, two], marked, 100), expected, "{text:?} cut at {cut}");
        }
        for size in 1..=text.len().max(1) {
            assert_eq!(split(text.as_bytes().chunks(size), marked, 100), expected, "{text:?} in pieces of {size}");
        }
    }

    #[track_caller]
    fn check(text: &str, records: &[&str], end: Result<(), RecordsError<&'static str>>) {
        check_in(false, text, records, end);
    }

    #[test]
    fn records_are_told_apart_whatever_stands_between() {
        check("", &[], Ok(()));
        check("\n", &[], Ok(()));
        check("{}\n{\"a\":1}\n", &["{}", "{\"a\":1}"], Ok(()));
        check("{}{}", &["{}", "{}"], Ok(()));
        check(" {\"a\":[{},[]]}\r\n\r\n\t{ }", &["{\"a\":[{},[]]}", "{ }"], Ok(()));
    }

    #[test]
    fn brackets_and_quotes_in_strings_end_nothing() {
        check(r#"{"}":"\"}{"}{"\\":"]"}"#, &[r#"{"}":"\"}{"}"#, r#"{"\\":"]"}"#], Ok(()));
        check("{\"a\":\"\n{}\n\"}\n", &["{\"a\":\"\n{}\n\"}"], Ok(()));
        check("{\"é\":\"ü}\"}", &["{\"é\":\"ü}\"}"], Ok(()));
    }

    #[test]
    fn each_record_of_a_sequence_has_its_mark() {
        check_in(true, "\u{1e}{}\n\u{1e}{\"a\":1}\n", &["{}", "{\"a\":1}"], Ok(()));
        check_in(true, "\u{1e}{}\n{}\n", &["{}"], Err(RecordsError::NotARecord));
        check_in(true, "{}\n", &[], Err(RecordsError::NotARecord));
        check_in(true, "\u{1e}{}\n\u{1e}\u{1e}{}\n", &["{}"], Err(RecordsError::NotARecord));
        check_in(true, "\u{1e}{}\n\u{1e}", &["{}"], Err(RecordsError::Truncated));
        check("{}\n\u{1e}{}\n", &["{}"], Err(RecordsError::NotARecord));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["null", "[]", "1", "\"{}\"", "a{}", "}", "\0{}", "data: {}"] {
            check(text, &[], Err(RecordsError::NotARecord));
        }
        check("{},{}", &["{}"], Err(RecordsError::NotARecord));
    }

    #[test]
    fn a_stream_that_ends_inside_a_record_is_truncated() {
        for text in ["{", "{\"a", "{\"a\\", "{\"a\":[", "{\"a\":[]"] {
            check(text, &[], Err(RecordsError::Truncated));
        }
        check("{}\n{", &["{}"], Err(RecordsError::Truncated));
    }

    #[test]
    fn a_record_the_caller_refuses_ends_it() {
        check("{}{\"!\":1}{}", &["{}"], Err(RecordsError::Record("no")));
    }

    #[test]
    fn a_record_over_the_limit_is_too_long() {
        let text = |length: usize| format!("{{}}{{\"a\":\"{}\"}}{{}}", "a".repeat(length - 8));
        for size in 1..110 {
            let (found, end) = split(text(101).as_bytes().chunks(size), false, 100);
            assert_eq!((found.len(), end), (1, Err(RecordsError::TooLong { limit: 100 })), "in pieces of {size}");
            let (found, end) = split(text(100).as_bytes().chunks(size), false, 100);
            assert_eq!((found.len(), end), (3, Ok(())), "in pieces of {size}");
        }
    }

    #[test]
    fn a_record_leaves_with_its_last_brace() {
        let (mut records, mut found) = (Records::new(false, 100), 0);
        records
            .push(b"{\"a\":1}", |_| {
                found += 1;
                Ok::<(), ()>(())
            })
            .unwrap();
        assert_eq!(found, 1);
        assert_eq!(records.held.capacity(), 0);
    }
}
