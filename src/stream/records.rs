//! Splits a sequence of JSON objects into records as chunks arrive.
//!
//! Engines send such a sequence as `application/json`, `application/jsonl`, `application/x-ndjson` and, with a mark
//! before each object, as `application/json-seq` (RFC 7464). A record ends with its closing brace: it leaves without
//! waiting for the line feed after it.

use std::fmt;

/// The mark before each record of `application/json-seq`.
pub const MARK: u8 = 0x1e;

/// Whether each record has a [`MARK`] before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// Every record has one, as in `application/json-seq`.
    Required,
    /// No record has one.
    Forbidden,
}

/// Splits a stream into its records. Holds one incomplete record, of `limit` bytes at most.
///
/// It tells strings from brackets and does not check that a record is valid JSON; the caller does. That is enough to find
/// the end of every valid object.
#[derive(Debug)]
pub struct RecordSplitter {
    held: Vec<u8>,
    position: StreamPosition,
    marks: Marks,
    limit: usize,
}

/// The position of the next byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamPosition {
    /// Between records.
    Between,
    /// After a mark.
    Marked,
    /// In a record, inside this many brackets.
    Record { depth: usize },
    /// In a string of a record.
    Text { depth: usize },
    /// After a backslash in a string.
    Escape { depth: usize },
}

/// Why a stream cannot be split into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError<E> {
    /// Something other than an object, an object without its mark, or an unexpected mark.
    NotRecord,
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

impl<E: fmt::Display> fmt::Display for RecordError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRecord => f.write_str("not a sequence of JSON objects"),
            Self::TooLong { limit } => write!(f, "a record longer than {limit} bytes"),
            Self::Truncated => f.write_str("a record is cut short"),
            Self::Record(error) => write!(f, "record: {error}"),
        }
    }
}

impl RecordSplitter {
    /// A splitter that refuses a record of more than `limit` bytes.
    pub fn new(marks: Marks, limit: usize) -> Self {
        Self { held: Vec::new(), position: StreamPosition::Between, marks, limit }
    }

    /// How many bytes of an incomplete record are held.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes the next chunk and calls `record` with each complete record: the object, without white space or mark. It may
    /// take the bytes away.
    ///
    /// # Errors
    /// [`RecordError`]; the splitter cannot be used after it. Records before the error have been passed to `record`.
    pub fn push<E>(
        &mut self,
        chunk: &[u8],
        mut record: impl FnMut(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), RecordError<E>> {
        let mut start = 0;
        for (at, byte) in chunk.iter().enumerate() {
            let before = self.position;
            self.position = self.after(*byte).ok_or(RecordError::NotRecord)?;
            if before.is_between() {
                start = at;
                continue;
            }
            if self.position == StreamPosition::Between {
                self.hold(chunk.get(start..=at).unwrap_or_default())?;
                record(&mut self.held).map_err(RecordError::Record)?;
                self.held.clear();
            }
        }
        if self.position.is_between() {
            // After a burst of large records, a silent stream holds no buffer.
            self.held = Vec::new();
            return Ok(());
        }
        self.hold(chunk.get(start..).unwrap_or_default())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`RecordError::Truncated`] if it ended inside a record, or after a mark.
    pub fn finish<E>(self) -> Result<(), RecordError<E>> {
        if self.position == StreamPosition::Between { Ok(()) } else { Err(RecordError::Truncated) }
    }

    fn hold<E>(&mut self, bytes: &[u8]) -> Result<(), RecordError<E>> {
        if self.held.len() + bytes.len() > self.limit {
            return Err(RecordError::TooLong { limit: self.limit });
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// The position after `byte`; `None` if `byte` does not belong here.
    fn after(&self, byte: u8) -> Option<StreamPosition> {
        let inside = |depth| if depth == 0 { StreamPosition::Between } else { StreamPosition::Record { depth } };
        match (self.position, byte) {
            (StreamPosition::Between | StreamPosition::Marked, b' ' | b'\t' | b'\r' | b'\n') => Some(self.position),
            (StreamPosition::Between, MARK) => (self.marks == Marks::Required).then_some(StreamPosition::Marked),
            (StreamPosition::Between, b'{') => {
                (self.marks == Marks::Forbidden).then_some(StreamPosition::Record { depth: 1 })
            }
            (StreamPosition::Marked, b'{') => Some(StreamPosition::Record { depth: 1 }),
            (StreamPosition::Between | StreamPosition::Marked, _) => None,
            (StreamPosition::Record { depth }, b'"') => Some(StreamPosition::Text { depth }),
            (StreamPosition::Record { depth }, b'{' | b'[') => Some(StreamPosition::Record { depth: depth + 1 }),
            (StreamPosition::Record { depth }, b'}' | b']') => Some(inside(depth.saturating_sub(1))),
            (StreamPosition::Text { depth }, b'"') => Some(inside(depth)),
            (StreamPosition::Text { depth }, b'\\') => Some(StreamPosition::Escape { depth }),
            (StreamPosition::Escape { depth }, _) => Some(StreamPosition::Text { depth }),
            (StreamPosition::Record { .. } | StreamPosition::Text { .. }, _) => Some(self.position),
        }
    }
}

impl StreamPosition {
    /// Whether it is outside a record.
    fn is_between(self) -> bool {
        matches!(self, Self::Between | Self::Marked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Separated = (Vec<String>, Result<(), RecordError<&'static str>>);

    /// The records of a stream that arrives in these pieces; a record with `!` is refused.
    fn split<'t>(pieces: impl IntoIterator<Item = &'t [u8]>, marks: Marks, limit: usize) -> Separated {
        let mut records = RecordSplitter::new(marks, limit);
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
    fn check_in(marks: Marks, text: &str, records: &[&str], end: Result<(), RecordError<&'static str>>) {
        let expected = (records.iter().map(|record| (*record).to_owned()).collect::<Vec<_>>(), end);
        for cut in 0..=text.len() {
            let (one, two) = text.as_bytes().split_at(cut);
            assert_eq!(split([one, two], marks, 100), expected, "{text:?} cut at {cut}");
        }
        for size in 1..=text.len().max(1) {
            assert_eq!(split(text.as_bytes().chunks(size), marks, 100), expected, "{text:?} in pieces of {size}");
        }
    }

    #[track_caller]
    fn check(text: &str, records: &[&str], end: Result<(), RecordError<&'static str>>) {
        check_in(Marks::Forbidden, text, records, end);
    }

    #[test]
    fn records_are_separated_whatever_comes_between() {
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
        check_in(Marks::Required, "\u{1e}{}\n\u{1e}{\"a\":1}\n", &["{}", "{\"a\":1}"], Ok(()));
        check_in(Marks::Required, "\u{1e}{}\n{}\n", &["{}"], Err(RecordError::NotRecord));
        check_in(Marks::Required, "{}\n", &[], Err(RecordError::NotRecord));
        check_in(Marks::Required, "\u{1e}{}\n\u{1e}\u{1e}{}\n", &["{}"], Err(RecordError::NotRecord));
        check_in(Marks::Required, "\u{1e}{}\n\u{1e}", &["{}"], Err(RecordError::Truncated));
        check("{}\n\u{1e}{}\n", &["{}"], Err(RecordError::NotRecord));
    }

    #[test]
    fn anything_but_an_object_is_refused() {
        for text in ["null", "[]", "1", "\"{}\"", "a{}", "}", "\0{}", "data: {}"] {
            check(text, &[], Err(RecordError::NotRecord));
        }
        check("{},{}", &["{}"], Err(RecordError::NotRecord));
    }

    #[test]
    fn a_stream_that_ends_inside_a_record_is_truncated() {
        for text in ["{", "{\"a", "{\"a\\", "{\"a\":[", "{\"a\":[]"] {
            check(text, &[], Err(RecordError::Truncated));
        }
        check("{}\n{", &["{}"], Err(RecordError::Truncated));
    }

    #[test]
    fn a_record_the_caller_refuses_ends_it() {
        check("{}{\"!\":1}{}", &["{}"], Err(RecordError::Record("no")));
    }

    #[test]
    fn a_record_over_the_limit_is_too_long() {
        let text = |length: usize| format!("{{}}{{\"a\":\"{}\"}}{{}}", "a".repeat(length - 8));
        for size in 1..110 {
            let (found, end) = split(text(101).as_bytes().chunks(size), Marks::Forbidden, 100);
            assert_eq!((found.len(), end), (1, Err(RecordError::TooLong { limit: 100 })), "in pieces of {size}");
            let (found, end) = split(text(100).as_bytes().chunks(size), Marks::Forbidden, 100);
            assert_eq!((found.len(), end), (3, Ok(())), "in pieces of {size}");
        }
    }

    #[test]
    fn a_record_leaves_with_its_closing_brace() {
        let (mut records, mut found) = (RecordSplitter::new(Marks::Forbidden, 100), 0);
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
