//! Splits a top-level array into its elements as chunks arrive.
//!
//! The largest element bounds the memory used. The first element leaves before the last has arrived.

use std::fmt;

/// Splits a stream that holds one array, or `null`, into its elements.
///
/// The caller decides what an element is and where it ends: see [`ArraySplitter::push`].
#[derive(Debug)]
pub struct ArraySplitter {
    held: Vec<u8>,
    state: ArrayState,
    limit: usize,
    /// How far the incomplete element in `held` has been read.
    scan: ElementScan,
    /// The length of the last element. When fewer bytes are left of a chunk, the next one is probably incomplete.
    usual: usize,
    written: u64,
}

/// Reads an element to where it may end, each byte once: in however many chunks it arrives, the caller tries it once when
/// it begins and once when it ends. Knows brackets and strings; whether the element is valid is for the caller to say.
#[derive(Clone, Copy, Debug, Default)]
struct ElementScan {
    /// How many bytes it has read.
    length: usize,
    /// How many brackets are open.
    depth: usize,
    text: TextState,
}

/// Whether the next byte is in a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum TextState {
    #[default]
    Outside,
    Inside,
    /// After a backslash.
    Escape,
}

impl ElementScan {
    /// The scan of an element from its start.
    fn of(bytes: &[u8]) -> Self {
        let mut scan = Self::default();
        scan.may_end(bytes);
        scan
    }

    /// Reads the next bytes. Returns whether the element may end among them: with the bracket that closes it, or before
    /// what follows it in an array. Reads no further than that.
    fn may_end(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        let may_end = loop {
            if self.text == TextState::Inside {
                // Most of a text is in strings.
                let Some(at) = memchr::memchr2(b'"', b'\\', rest) else {
                    rest = &[];
                    break false;
                };
                rest = rest.get(at..).unwrap_or_default();
            }
            let Some((byte, behind)) = rest.split_first() else { break false };
            rest = behind;
            if self.ends_with(*byte) {
                break true;
            }
        };
        self.length += bytes.len() - rest.len();
        may_end
    }

    /// Reads the next byte. Returns whether the element may end with it, or before it.
    fn ends_with(&mut self, byte: u8) -> bool {
        match (self.text, byte) {
            (TextState::Inside, b'"') => self.text = TextState::Outside,
            (TextState::Inside, b'\\') => self.text = TextState::Escape,
            (TextState::Inside, _) => {}
            (TextState::Escape, _) | (TextState::Outside, b'"') => self.text = TextState::Inside,
            (TextState::Outside, b'{' | b'[') => self.depth += 1,
            (TextState::Outside, b'}' | b']') => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            (TextState::Outside, byte) => return self.depth == 0 && (byte == b',' || is_space(&byte)),
        }
        false
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArrayState {
    /// Before the opening bracket.
    Start,
    /// After the opening bracket: an element or the closing bracket.
    First,
    /// After a comma: an element.
    Next,
    /// After an element: a comma or the closing bracket.
    AfterElement,
    /// After the closing bracket: white space, of which the first line feed is kept.
    AfterArray,
    /// After that line feed: white space.
    AfterLineFeed,
    /// In the word `null`.
    Null,
}

/// Why a stream cannot be split into elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayError<E> {
    /// The stream is not one array: something else comes before, between or after the elements.
    NotArray,
    /// An element is longer than the limit.
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The stream ended inside the array.
    Truncated,
    /// The caller refused an element.
    Element(E),
}

impl<E: fmt::Display> fmt::Display for ArrayError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotArray => f.write_str("not one array"),
            Self::TooLong { limit } => write!(f, "an element longer than {limit} bytes"),
            Self::Truncated => f.write_str("the array is cut short"),
            Self::Element(error) => write!(f, "element: {error}"),
        }
    }
}

impl ArraySplitter {
    /// A splitter that refuses an element of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { held: Vec::new(), state: ArrayState::Start, limit, scan: ElementScan::default(), usual: 0, written: 0 }
    }

    /// Takes the next chunk and appends to `out` all of the resulting array that is known by now.
    ///
    /// `element` gets bytes that start with an element. It returns the length of the element and appends its
    /// replacement to `out`; appending nothing removes the element. If the element is incomplete, it returns `None` and
    /// leaves `out` as it was.
    ///
    /// # Errors
    /// [`ArrayError`]; the splitter cannot be used after it.
    pub fn push<E>(
        &mut self,
        chunk: &[u8],
        out: &mut Vec<u8>,
        element: impl FnMut(&[u8], &mut Vec<u8>) -> Result<Option<usize>, E>,
    ) -> Result<(), ArrayError<E>> {
        if self.held.is_empty() {
            let used = self.advance(chunk, out, false, element)?;
            self.held.extend_from_slice(chunk.get(used..).unwrap_or_default());
            self.rescan();
        } else {
            let is_complete = self.state == ArrayState::Null || self.scan.may_end(chunk);
            self.held.extend_from_slice(chunk);
            if !is_complete && self.held.len() <= self.limit {
                return Ok(());
            }
            let (held, scan) = (std::mem::take(&mut self.held), self.scan);
            let used = self.advance(&held, out, false, element)?;
            self.held = held;
            if used == 0 {
                self.scan = scan;
            } else {
                self.held.drain(..used);
                self.rescan();
            }
        }
        if self.held.len() > self.limit {
            return Err(ArrayError::TooLong { limit: self.limit });
        }
        Ok(())
    }

    /// Reads the incomplete element in `held` as far as it goes, unless [`Self::advance`] has done so.
    fn rescan(&mut self) {
        if self.scan.length != self.held.len() {
            self.scan = ElementScan::of(&self.held);
        }
    }

    /// How many bytes have to be read with the caller's `element` when this chunk is pushed: none while an element goes on.
    pub fn due(&self, chunk: &[u8]) -> usize {
        let mut scan = self.scan;
        if self.held.is_empty() || scan.may_end(chunk) { self.held.len() + chunk.len() } else { 0 }
    }

    /// How many bytes have to be read with the caller's `element` when the stream ends.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`ArrayError::Truncated`] if the array has not ended; the errors of [`ArraySplitter::push`] for bytes still held.
    pub fn finish<E>(
        mut self,
        out: &mut Vec<u8>,
        element: impl FnMut(&[u8], &mut Vec<u8>) -> Result<Option<usize>, E>,
    ) -> Result<(), ArrayError<E>> {
        let held = std::mem::take(&mut self.held);
        let used = self.advance(&held, out, true, element)?;
        match self.state {
            ArrayState::AfterArray | ArrayState::AfterLineFeed => Ok(()),
            ArrayState::Null => {
                let rest = held.get(used..).unwrap_or_default();
                let Some(space) = rest.strip_prefix(b"null").filter(|space| space.iter().all(is_space)) else {
                    return Err(ArrayError::NotArray);
                };
                out.extend_from_slice(b"null");
                out.extend(space.iter().find(|byte| **byte == b'\n'));
                Ok(())
            }
            ArrayState::Start | ArrayState::First | ArrayState::Next | ArrayState::AfterElement => {
                Err(ArrayError::Truncated)
            }
        }
    }

    /// Reads as much of `bytes` as it can; returns how many bytes were used. `is_last`: no more bytes come.
    fn advance<E>(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        is_last: bool,
        mut element: impl FnMut(&[u8], &mut Vec<u8>) -> Result<Option<usize>, E>,
    ) -> Result<usize, ArrayError<E>> {
        let mut rest = bytes;
        self.scan = ElementScan::default();
        loop {
            if self.state == ArrayState::Null {
                if rest.len() > 64 {
                    return Err(ArrayError::NotArray);
                }
                break;
            }
            let Some((&byte, behind)) = rest.split_first() else { break };
            match (self.state, byte) {
                (ArrayState::AfterArray, b'\n') => {
                    out.push(b'\n');
                    (self.state, rest) = (ArrayState::AfterLineFeed, behind);
                }
                (_, byte) if is_space(&byte) => rest = behind,
                (ArrayState::Start, b'[') => {
                    out.push(b'[');
                    (self.state, rest) = (ArrayState::First, behind);
                }
                (ArrayState::Start, b'n') => self.state = ArrayState::Null,
                (ArrayState::First | ArrayState::AfterElement, b']') => {
                    out.push(b']');
                    (self.state, rest) = (ArrayState::AfterArray, behind);
                }
                (ArrayState::AfterElement, b',') => (self.state, rest) = (ArrayState::Next, behind),
                (ArrayState::First | ArrayState::Next, _) => {
                    // Reading it with the caller's `element` in vain costs more than looking for its end.
                    if rest.len() < self.usual && !is_last {
                        let mut scan = ElementScan::default();
                        if !scan.may_end(rest) {
                            self.scan = scan;
                            break;
                        }
                    }
                    let Some(used) = self.replace(rest, out, &mut element)? else { break };
                    self.usual = used;
                    rest = rest.get(used..).unwrap_or_default();
                    self.state = ArrayState::AfterElement;
                }
                (
                    ArrayState::Start
                    | ArrayState::AfterElement
                    | ArrayState::AfterArray
                    | ArrayState::AfterLineFeed
                    | ArrayState::Null,
                    _,
                ) => {
                    return Err(ArrayError::NotArray);
                }
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// Appends the replacement of the element at the start of `bytes`, with a comma where one belongs; returns the length
    /// of the element, or `None` if it is incomplete.
    fn replace<E>(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        mut element: impl FnMut(&[u8], &mut Vec<u8>) -> Result<Option<usize>, E>,
    ) -> Result<Option<usize>, ArrayError<E>> {
        let before = out.len();
        if self.written > 0 {
            out.push(b',');
        }
        let start = out.len();
        let used = element(bytes, out).map_err(ArrayError::Element)?;
        let too_long = used.is_some_and(|used| used > self.limit);
        if used.is_none() || too_long || out.len() == start {
            out.truncate(before);
        } else {
            self.written += 1;
        }
        if too_long { Err(ArrayError::TooLong { limit: self.limit }) } else { Ok(used) }
    }
}

/// White space in JSON (RFC 8259 §2): less than in ASCII.
fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In these tests an element is a run of letters; `x` is removed, `!` is refused.
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

    fn split(text: &str, size: usize, limit: usize) -> Result<String, ArrayError<&'static str>> {
        let mut elements = ArraySplitter::new(limit);
        let mut out = Vec::new();
        for chunk in text.as_bytes().chunks(size) {
            elements.push(chunk, &mut out, letters)?;
        }
        elements.finish(&mut out, letters)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[track_caller]
    fn check(text: &str, expected: Result<&str, ArrayError<&'static str>>) {
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
    fn only_the_white_space_of_json_is_accepted() {
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
        check("nul", Err(ArrayError::NotArray));
        check("null x", Err(ArrayError::NotArray));
    }

    #[test]
    fn anything_but_an_array_is_refused() {
        check("{}", Err(ArrayError::NotArray));
        check("[a b]", Err(ArrayError::NotArray));
        check("[a]]", Err(ArrayError::NotArray));
        check("[a][b]", Err(ArrayError::NotArray));
        check("[a,]", Err(ArrayError::Element("empty")));
        check("[,a]", Err(ArrayError::Element("empty")));
    }

    #[test]
    fn an_array_cut_short_is_truncated() {
        for text in ["", " ", "[", "[a", "[a,", "[a,b"] {
            check(text, Err(ArrayError::Truncated));
        }
    }

    #[test]
    fn an_element_the_caller_refuses_ends_it() {
        check("[a,!]", Err(ArrayError::Element("no")));
    }

    #[test]
    fn an_element_over_the_limit_is_too_long() {
        let text = format!("[{}]", "a".repeat(101));
        for size in 1..=text.len() {
            assert_eq!(split(&text, size, 100), Err(ArrayError::TooLong { limit: 100 }));
        }
        assert!(split(&format!("[{}]", "a".repeat(99)), 7, 100).is_ok());
    }

    #[test]
    fn the_first_element_leaves_before_the_last_arrives() {
        let (mut elements, mut out) = (ArraySplitter::new(100), Vec::new());
        elements.push(b"[a,b", &mut out, letters).unwrap();
        assert_eq!(out, b"[A");
    }

    /// How many bytes are read to split an array that arrives in chunks of this size.
    fn bytes_read(text: &str, size: usize) -> usize {
        let (mut elements, mut out, mut read) = (ArraySplitter::new(1 << 22), Vec::new(), 0);
        let mut count = |bytes: &[u8], out: &mut Vec<u8>| {
            let used = letters(bytes, out)?;
            read += used.unwrap_or(bytes.len());
            Ok::<_, &'static str>(used)
        };
        for chunk in text.as_bytes().chunks(size) {
            elements.push(chunk, &mut out, &mut count).unwrap();
        }
        elements.finish(&mut out, &mut count).unwrap();
        read
    }

    #[test]
    fn an_element_is_tried_when_it_begins_and_when_it_ends() {
        let [short, long] = [100, 100_000].map(|length| format!("[{}]", vec!["a".repeat(length); 10].join(",")));
        for text in [&short, &long] {
            for size in [1, 7, 1000, 65_536] {
                let read = bytes_read(text, size);
                assert!(read <= 2 * text.len(), "{read} of {} bytes are read in chunks of {size}", text.len());
            }
        }
    }

    #[test]
    fn an_element_leaves_with_the_byte_that_ends_it() {
        let (mut elements, mut out) = (ArraySplitter::new(100), Vec::new());
        for byte in b"[abc," {
            elements.push(&[*byte], &mut out, letters).unwrap();
        }
        assert_eq!(out, b"[ABC");
    }

    #[test]
    fn brackets_and_delimiters_in_strings_end_nothing() {
        for (text, ends) in [
            (r#"{"a":[1,{"b":"}]"}]}"#, 20),
            (r#"{"\"}":"\\"}"#, 12),
            (r#"["a",[],"]"]"#, 12),
            ("12,", 3),
            ("1 ", 2),
            (r#""a,]" "#, 6),
        ] {
            let mut scan = ElementScan::default();
            let found = text.bytes().position(|byte| scan.may_end(&[byte]));
            assert_eq!(found, Some(ends - 1), "{text}");
        }
    }
}
