//! JSON text, read strictly and without making anything of it (RFC 8259).
//!
//! The walk needs the bytes of every value as they came: where a value starts and where it ends. Positions are offsets
//! into the text; whoever asks stays inside it.

use std::collections::HashSet;

use super::FilterError;

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The text ends here, and the value does not.
    End,
    /// It cannot be filtered.
    Wrong(FilterError),
}

const NOT_JSON: Stop = Stop::Wrong(FilterError::NotJson);

/// The text of a document, and how deep it may nest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'t> {
    pub(super) bytes: &'t [u8],
    pub(super) depth: usize,
}

/// A string as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quoted {
    /// The offset behind the closing quote.
    pub(super) end: usize,
    /// Whether there is an escape in it.
    pub(super) escaped: bool,
}

impl<'t> Text<'t> {
    /// The bytes from `start` to `end`.
    pub(super) fn slice(self, start: usize, end: usize) -> &'t [u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// The offset of the next byte that is no white space.
    #[inline]
    pub(super) fn space(self, mut at: usize) -> usize {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(at) {
            at += 1;
        }
        at
    }

    /// The byte at `at`.
    #[inline]
    pub(super) fn byte(self, at: usize) -> Result<u8, Stop> {
        self.bytes.get(at).copied().ok_or(Stop::End)
    }

    /// The offset behind `byte`, which must be next after white space.
    #[inline]
    pub(super) fn expect(self, at: usize, byte: u8) -> Result<usize, Stop> {
        let at = self.space(at);
        if self.byte(at)? == byte { Ok(at + 1) } else { Err(NOT_JSON) }
    }

    /// The end of the string whose opening quote is at `at`.
    #[inline]
    pub(super) fn string(self, at: usize) -> Result<Quoted, Stop> {
        if self.byte(at)? != b'"' {
            return Err(NOT_JSON);
        }
        let mut at = at + 1;
        let mut escaped = false;
        loop {
            at += plain(self.bytes.get(at..).unwrap_or_default());
            match self.byte(at)? {
                b'"' => return Ok(Quoted { end: at + 1, escaped }),
                b'\\' => {
                    escaped = true;
                    match self.byte(at + 1)? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                        b'u' => {
                            for digit in at + 2..at + 6 {
                                if !self.byte(digit)?.is_ascii_hexdigit() {
                                    return Err(NOT_JSON);
                                }
                            }
                            at += 6;
                        }
                        _ => return Err(NOT_JSON),
                    }
                }
                _ => return Err(NOT_JSON),
            }
        }
    }

    /// The end of the number, `true`, `false` or `null` at `at`. One that ends with the text may go on behind it.
    #[inline]
    pub(super) fn word(self, at: usize) -> Result<usize, Stop> {
        match self.byte(at)? {
            b't' => self.literal(at, b"true"),
            b'f' => self.literal(at, b"false"),
            b'n' => self.literal(at, b"null"),
            _ => self.number(at),
        }
    }

    fn literal(self, at: usize, word: &[u8]) -> Result<usize, Stop> {
        let rest = self.bytes.get(at..).unwrap_or_default();
        if rest.starts_with(word) {
            Ok(at + word.len())
        } else if word.starts_with(rest) {
            Err(Stop::End)
        } else {
            Err(NOT_JSON)
        }
    }

    fn digits(self, mut at: usize) -> Result<usize, Stop> {
        if !self.byte(at)?.is_ascii_digit() {
            return Err(NOT_JSON);
        }
        while self.bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        Ok(at)
    }

    fn number(self, at: usize) -> Result<usize, Stop> {
        let mut at = if self.byte(at)? == b'-' { at + 1 } else { at };
        at = if self.byte(at)? == b'0' { at + 1 } else { self.digits(at)? };
        if self.bytes.get(at) == Some(&b'.') {
            at = self.digits(at + 1)?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(at) {
            at += 1;
            if matches!(self.byte(at)?, b'+' | b'-') {
                at += 1;
            }
            at = self.digits(at)?;
        }
        Ok(at)
    }

    /// The end of the value at `at`, whatever it is. `depth` is how deep it stands.
    pub(super) fn skip(self, at: usize, depth: usize) -> Result<usize, Stop> {
        match self.byte(at)? {
            b'"' => Ok(self.string(at)?.end),
            b'{' => self.skip_members(at, depth),
            b'[' => self.skip_elements(at, depth, Self::skip),
            _ => self.word(at),
        }
    }

    /// As [`Text::skip`], for a value that is copied: no object in it may have two members of one name.
    pub(super) fn check(self, at: usize, depth: usize) -> Result<usize, Stop> {
        match self.byte(at)? {
            b'{' => {
                let mut seen = Seen::default();
                let mut next = self.deeper(at, depth)?;
                next = self.space(next);
                if self.byte(next)? == b'}' {
                    return Ok(next + 1);
                }
                loop {
                    let start = self.space(next);
                    let key = self.string(start)?;
                    seen.add(self.key(start, key)?)?;
                    let value = self.space(self.expect(key.end, b':')?);
                    let end = self.space(self.check(value, depth + 1)?);
                    match self.byte(end)? {
                        b',' => next = end + 1,
                        b'}' => return Ok(end + 1),
                        _ => return Err(NOT_JSON),
                    }
                }
            }
            b'[' => self.skip_elements(at, depth, Self::check),
            _ => self.skip(at, depth),
        }
    }

    /// The offset behind an opening bracket at `at`, if nesting may go one deeper.
    pub(super) fn deeper(self, at: usize, depth: usize) -> Result<usize, Stop> {
        if depth >= self.depth { Err(Stop::Wrong(FilterError::TooDeep { limit: self.depth })) } else { Ok(at + 1) }
    }

    fn skip_members(self, at: usize, depth: usize) -> Result<usize, Stop> {
        let mut next = self.space(self.deeper(at, depth)?);
        if self.byte(next)? == b'}' {
            return Ok(next + 1);
        }
        loop {
            let key = self.string(self.space(next))?;
            let value = self.space(self.expect(key.end, b':')?);
            let end = self.space(self.skip(value, depth + 1)?);
            match self.byte(end)? {
                b',' => next = end + 1,
                b'}' => return Ok(end + 1),
                _ => return Err(NOT_JSON),
            }
        }
    }

    fn skip_elements(
        self,
        at: usize,
        depth: usize,
        each: fn(Self, usize, usize) -> Result<usize, Stop>,
    ) -> Result<usize, Stop> {
        let mut next = self.space(self.deeper(at, depth)?);
        if self.byte(next)? == b']' {
            return Ok(next + 1);
        }
        loop {
            let end = self.space(each(self, self.space(next), depth + 1)?);
            match self.byte(end)? {
                b',' => next = end + 1,
                b']' => return Ok(end + 1),
                _ => return Err(NOT_JSON),
            }
        }
    }

    /// The text of the string at `at`, decoded if it has to be.
    pub(super) fn key(self, at: usize, key: Quoted) -> Result<std::borrow::Cow<'t, str>, Stop> {
        decoded(self.slice(at, key.end), key.escaped)
    }
}

/// The text of a string with its quotes.
pub(super) fn decoded(quoted: &[u8], escaped: bool) -> Result<std::borrow::Cow<'_, str>, Stop> {
    if escaped {
        return serde_json::from_slice::<String>(quoted).map(Into::into).map_err(|_| NOT_JSON);
    }
    let inside = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    std::str::from_utf8(inside).map(Into::into).map_err(|_| NOT_JSON)
}

/// How many bytes at the start of `bytes` are neither quotes, backslashes nor control characters.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c)) | control;
        if found != 0 {
            // The lowest mark is exact; those above it may be carried into.
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len())
}

/// The names of one object's members, to refuse one that comes twice.
#[derive(Debug, Default)]
pub(super) struct Seen<'t> {
    few: Vec<std::borrow::Cow<'t, str>>,
    many: HashSet<std::borrow::Cow<'t, str>>,
}

impl<'t> Seen<'t> {
    /// Takes the next name.
    pub(super) fn add(&mut self, key: std::borrow::Cow<'t, str>) -> Result<(), Stop> {
        let twice = if self.many.is_empty() && self.few.len() < 32 {
            let twice = self.few.contains(&key);
            self.few.push(key);
            twice
        } else {
            self.many.extend(self.few.drain(..));
            !self.many.insert(key)
        };
        if twice { Err(Stop::Wrong(FilterError::DuplicateKey)) } else { Ok(()) }
    }
}
