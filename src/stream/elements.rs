//! A top-level array, split into its elements as chunks arrive.
//!
//! Memory is bounded by the largest element, and the first element leaves before the last has arrived.

use std::fmt;

/// Below this size an element that has not ended is asked again at every chunk; above it, only once it has doubled,
/// so that a large element is not read over and over.
const EAGER: usize = 64 * 1024;

/// Splits a stream that holds one array, or the word `null`, into its elements.
///
/// What an element is, and where it ends, is for the caller to say: see [`Elements::push`].
#[derive(Debug)]
pub struct Elements {
    held: Vec<u8>,
    state: State,
    limit: usize,
    /// How long `held` must be before it is worth asking again.
    ask_at: usize,
    written: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the opening bracket.
    Start,
    /// Behind the opening bracket: an element or the closing bracket.
    First,
    /// Behind a comma: an element.
    Next,
    /// Behind an element: a comma or the closing bracket.
    Behind,
    /// Behind the closing bracket: white space, of which the first line feed is kept.
    End,
    /// Behind that line feed: white space.
    Over,
    /// In the word `null`.
    Null,
}

/// Why a stream is not an array of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementsError<E> {
    /// Not an array: something else before, between or behind its elements.
    NotAnArray,
    /// One element is longer than the limit.
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The stream ended inside the array.
    Truncated,
    /// The caller refused an element.
    Element(E),
}

impl<E: fmt::Display> fmt::Display for ElementsError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnArray => f.write_str("not one array"),
            Self::TooLong { limit } => write!(f, "an element longer than {limit} bytes"),
            Self::Truncated => f.write_str("the array is cut short"),
            Self::Element(error) => write!(f, "element: {error}"),
        }
    }
}

impl Elements {
    /// A splitter that refuses an element of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { held: Vec::new(), state: State::Start, limit, ask_at: 0, written: 0 }
    }

    /// Takes the next chunk and appends to `out` what can be said by now of the resulting array.
    ///
    /// `element` gets bytes that start with an element. It answers how many of them the element is and appends what
    /// is to stand in its place (nothing: the element goes), or `None`, `out` untouched, when the element has not
    /// ended yet.
    ///
    /// # Errors
    /// [`ElementsError`]; the stream is then of no more use.
    pub fn push<E>(
        &mut self,
        chunk: &[u8],
        out: &mut Vec<u8>,
        element: impl FnMut(&[u8], &mut Vec<u8>) -> Result<Option<usize>, E>,
    ) -> Result<(), ElementsError<E>> {
        if self.held.is_empty() {
            let used = self.advance(chunk, out, element)?;
            self.held.extend_from_slice(chunk.get(used..).unwrap_or_default());
        } else {
            self.held.extend_from_slice(chunk);
            if self.held.len() < self.ask_at && self.held.len() <= self.limit {
                return Ok(());
            }
            let held = std::mem::take(&mut self.held);
            let used = self.advance(&held, out, element)?;
            self.held = held;
            self.held.drain(..used);
        }
        self.ask_at = if self.held.len() < EAGER { 0 } else { self.held.len().saturating_mul(2) };
        if self.held.len() > self.limit {
            return Err(ElementsError::TooLong { limit: self.limit });
        }
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`ElementsError::Truncated`] if the array has not ended; what [`Elements::push`] says of bytes still held.
    pub fn finish<E>(
        mut self,
        out: &mut Vec<u8>,
        element: impl FnMut(&[u8], &mut Vec<u8>) -> Result<Option<usize>, E>,
    ) -> Result<(), ElementsError<E>> {
        let held = std::mem::take(&mut self.held);
        let used = self.advance(&held, out, element)?;
        match self.state {
            State::End | State::Over => Ok(()),
            State::Null => {
                let rest = held.get(used..).unwrap_or_default();
                let Some(space) = rest.strip_prefix(b"null").filter(|space| space.iter().all(is_space)) else {
                    return Err(ElementsError::NotAnArray);
                };
                out.extend_from_slice(b"null");
                out.extend(space.iter().find(|byte| **byte == b'\n'));
                Ok(())
            }
            State::Start | State::First | State::Next | State::Behind => Err(ElementsError::Truncated),
        }
    }

    /// Goes as far through `bytes` as they allow; answers how many were used.
    fn advance<E>(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        mut element: impl FnMut(&[u8], &mut Vec<u8>) -> Result<Option<usize>, E>,
    ) -> Result<usize, ElementsError<E>> {
        let mut rest = bytes;
        loop {
            if self.state == State::Null {
                if rest.len() > 64 {
                    return Err(ElementsError::NotAnArray);
                }
                break;
            }
            let Some((&byte, behind)) = rest.split_first() else { break };
            match (self.state, byte) {
                (State::End, b'\n') => {
                    out.push(b'\n');
                    (self.state, rest) = (State::Over, behind);
                }
                (_, byte) if is_space(&byte) => rest = behind,
                (State::Start, b'[') => {
                    out.push(b'[');
                    (self.state, rest) = (State::First, behind);
                }
                (State::Start, b'n') => self.state = State::Null,
                (State::First | State::Behind, b']') => {
                    out.push(b']');
                    (self.state, rest) = (State::End, behind);
                }
                (State::Behind, b',') => (self.state, rest) = (State::Next, behind),
                (State::First | State::Next, _) => {
                    let before = out.len();
                    if self.written > 0 {
                        out.push(b',');
                    }
                    let start = out.len();
                    let Some(used) = element(rest, out).map_err(ElementsError::Element)? else {
                        out.truncate(before);
                        break;
                    };
                    if used > self.limit {
                        out.truncate(before);
                        return Err(ElementsError::TooLong { limit: self.limit });
                    }
                    if out.len() == start {
                        out.truncate(before);
                    } else {
                        self.written += 1;
                    }
                    rest = rest.get(used..).unwrap_or_default();
                    self.state = State::Behind;
                }
                (State::Start | State::Behind | State::End | State::Over | State::Null, _) => {
                    return Err(ElementsError::NotAnArray);
                }
            }
        }
        Ok(bytes.len() - rest.len())
    }
}

/// White space as JSON has it (RFC 8259 §2), which is less than ASCII has.
fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An element here is a run of letters; `x` goes, `!` is refused.
    fn letters(bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, &'static str> {
        let length = bytes.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        match bytes.get(length) {
            _ if bytes.first() == Some(&b'!') => Err("no"),
            None => Ok(None),
            Some(_) if length == 0 => Err("empty"),
            Some(_) => {
                if &bytes[..length] != b"x" {
                    out.extend_from_slice(bytes[..length].to_ascii_uppercase().as_slice());
                }
                Ok(Some(length))
            }
        }
    }

    fn split(text: &str, size: usize, limit: usize) -> Result<String, ElementsError<&'static str>> {
        let mut elements = Elements::new(limit);
        let mut out = Vec::new();
        for chunk in text.as_bytes().chunks(size) {
            elements.push(chunk, &mut out, letters)?;
        }
        elements.finish(&mut out, letters)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[track_caller]
    fn check(text: &str, expected: Result<&str, ElementsError<&'static str>>) {
        for size in 1..=text.len().max(1) {
            assert_eq!(split(text, size, 100), expected.map(str::to_owned), "in chunks of {size}");
        }
    }

    #[test]
    fn elements_leave_one_by_one() {
        check("[]", Ok("[]"));
        check(" [ ] ", Ok("[]"));
        check("[a]", Ok("[A]"));
        check("[ab , cd,\nef ]\r\n", Ok("[AB,CD,EF]\n"));
    }

    #[test]
    fn the_line_feed_at_the_end_stays() {
        check("[]\n", Ok("[]\n"));
        check("[a] \n\n ", Ok("[A]\n"));
        check("null \n\n", Ok("null\n"));
        check("null", Ok("null"));
    }

    #[test]
    fn white_space_is_what_json_calls_so() {
        check("\t\r\n [\t\r\n a\t\r\n ]\t\r", Ok("[A]"));
        for text in ["\u{c}[]", "[\u{c}]", "[a\u{c}]", "[]\u{c}", "[]\n\u{c}", "[]\u{b}", "null\u{c}"] {
            for size in 1..=text.len() {
                assert!(split(text, size, 100).is_err(), "{text:?} in chunks of {size}");
            }
        }
    }

    #[test]
    fn a_removed_element_takes_its_comma() {
        check("[x,a,x,x,b,x]", Ok("[A,B]"));
        check("[x]", Ok("[]"));
    }

    #[test]
    fn null_stays_null() {
        check("null\n", Ok("null\n"));
        check("nul", Err(ElementsError::NotAnArray));
        check("null x", Err(ElementsError::NotAnArray));
    }

    #[test]
    fn what_is_no_array_is_refused() {
        check("{}", Err(ElementsError::NotAnArray));
        check("[a b]", Err(ElementsError::NotAnArray));
        check("[a]]", Err(ElementsError::NotAnArray));
        check("[a][b]", Err(ElementsError::NotAnArray));
        check("[a,]", Err(ElementsError::Element("empty")));
        check("[,a]", Err(ElementsError::Element("empty")));
    }

    #[test]
    fn an_array_cut_short_is_truncated() {
        for text in ["", " ", "[", "[a", "[a,", "[a,b"] {
            check(text, Err(ElementsError::Truncated));
        }
    }

    #[test]
    fn an_element_the_caller_refuses_ends_it() {
        check("[a,!]", Err(ElementsError::Element("no")));
    }

    #[test]
    fn an_element_over_the_limit_is_too_long() {
        let text = format!("[{}]", "a".repeat(101));
        for size in 1..=text.len() {
            assert_eq!(split(&text, size, 100), Err(ElementsError::TooLong { limit: 100 }));
        }
        assert!(split(&format!("[{}]", "a".repeat(99)), 7, 100).is_ok());
    }

    #[test]
    fn the_first_element_leaves_before_the_last_arrives() {
        let (mut elements, mut out) = (Elements::new(100), Vec::new());
        elements.push(b"[a,b", &mut out, letters).unwrap();
        assert_eq!(out, b"[A");
    }

    #[test]
    fn a_large_element_is_not_asked_for_at_every_chunk() {
        let (mut elements, mut out, mut asked) = (Elements::new(1 << 22), Vec::new(), 0);
        elements.push(b"[", &mut out, letters).unwrap();
        for _ in 0..1024 {
            elements
                .push(&[b'a'; 1024], &mut out, |bytes, out| {
                    asked += 1;
                    letters(bytes, out)
                })
                .unwrap();
        }
        assert!(asked < 80, "asked {asked} times");
    }
}
