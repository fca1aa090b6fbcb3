//! A cursor over JSON text that is already known to be valid.
//!
//! `serde_json` has read every byte before a cursor is made, so that the cursor finds the ends of things by the few
//! characters that matter and asks nothing twice. Should a text turn out not to be what was said of it, that is an
//! error and never a guess.

use std::borrow::Cow;

use super::FilterError;
use super::plan::hash;

/// More keys than this are sorted to find two of one name; fewer are compared each with those before it.
const FEW: usize = 64;

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'d> {
    text: &'d str,
    at: usize,
}

impl<'d> Cursor<'d> {
    /// At the start of `text`.
    pub(super) fn new(text: &'d str) -> Self {
        Self { text, at: 0 }
    }

    /// How many bytes are behind it.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The same text, at another place.
    pub(super) fn back_to(self, at: usize) -> Self {
        Self { at, ..self }
    }

    /// The byte here.
    #[inline]
    pub(super) fn peek(&self) -> Result<u8, FilterError> {
        self.text.as_bytes().get(self.at).copied().ok_or(FilterError::NotJson)
    }

    /// The first byte here or later that is not whitespace; the cursor is then at it.
    #[inline]
    pub(super) fn token(&mut self) -> Result<u8, FilterError> {
        loop {
            let byte = self.peek()?;
            if byte > b' ' {
                return Ok(byte);
            }
            self.at += 1;
        }
    }

    /// Passes the byte here.
    #[inline]
    pub(super) fn pass(&mut self) {
        self.at += 1;
    }

    /// Passes the colon between key and value.
    #[inline]
    pub(super) fn colon(&mut self) -> Result<(), FilterError> {
        let found = self.token()?;
        self.pass();
        if found == b':' { Ok(()) } else { Err(FilterError::NotJson) }
    }

    /// The text from `start` to here.
    #[inline]
    pub(super) fn since(&self, start: usize) -> Result<&'d str, FilterError> {
        self.between(start, self.at)
    }

    /// The text from `start` to `end`.
    #[inline]
    pub(super) fn between(&self, start: usize, end: usize) -> Result<&'d str, FilterError> {
        self.text.get(start..end).ok_or(FilterError::NotJson)
    }

    /// Where the text ends.
    pub(super) fn end(&self) -> usize {
        self.text.len()
    }

    /// Passes the string here. Returns its text with the quotes, and whether there are escapes in it.
    #[inline]
    pub(super) fn string(&mut self) -> Result<(&'d str, bool), FilterError> {
        let (start, mut escaped) = (self.at, false);
        self.pass();
        loop {
            match self.quote_or_backslash()? {
                b'"' => {
                    self.pass();
                    return Ok((self.since(start)?, escaped));
                }
                _ => {
                    escaped = true;
                    self.at += 2;
                }
            }
        }
    }

    /// Goes to the next quote or backslash, eight bytes at a time.
    #[inline]
    fn quote_or_backslash(&mut self) -> Result<u8, FilterError> {
        let bytes = self.text.as_bytes();
        while let Some(chunk) = bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_le_bytes(*chunk);
            let found = zero_bytes(word ^ repeat(b'"')) | zero_bytes(word ^ repeat(b'\\'));
            if found != 0 {
                self.at += (found.trailing_zeros() / 8) as usize;
                return self.peek();
            }
            self.at += 8;
        }
        loop {
            match self.peek()? {
                byte @ (b'"' | b'\\') => return Ok(byte),
                _ => self.pass(),
            }
        }
    }

    /// Passes the scalar here and returns its text.
    #[inline]
    pub(super) fn scalar(&mut self) -> Result<&'d str, FilterError> {
        if self.peek()? == b'"' {
            return Ok(self.string()?.0);
        }
        let start = self.at;
        while let Some(byte) = self.text.as_bytes().get(self.at) {
            if matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r') {
                break;
            }
            self.pass();
        }
        self.since(start)
    }

    /// Passes the value here, whatever it is, and returns its text. `room` is how deep it may nest.
    pub(super) fn skip(&mut self, room: Room) -> Result<&'d str, FilterError> {
        if !matches!(self.peek()?, b'{' | b'[') {
            return self.scalar();
        }
        let (start, mut depth) = (self.at, 0);
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => {
                    depth += 1;
                    room.check(depth)?;
                }
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.pass();
            if depth == 0 {
                return self.since(start);
            }
        }
    }

    /// Passes the value here like [`Self::skip`], and makes certain that no object in it has two members of one name.
    pub(super) fn checked(&mut self, room: Room, keys: &mut Keys<'d>) -> Result<&'d str, FilterError> {
        if !matches!(self.peek()?, b'{' | b'[') {
            return self.scalar();
        }
        let start = self.at;
        // For each container around: its keys, if it is an object.
        let mut around: Vec<Option<Open>> = Vec::new();
        let mut is_key = false;
        loop {
            let byte = self.peek()?;
            match byte {
                b'"' => {
                    let (text, escaped) = self.string()?;
                    if let (true, Some(Some(open))) = (is_key, around.last_mut()) {
                        keys.push(key(text, escaped)?, open)?;
                        is_key = false;
                    }
                    continue;
                }
                b'{' | b'[' => {
                    is_key = byte == b'{';
                    around.push(is_key.then(|| keys.open()));
                    room.check(around.len())?;
                }
                b'}' | b']' => {
                    if let Some(open) = around.pop().flatten() {
                        keys.close(open)?;
                    }
                    is_key = false;
                }
                b',' => is_key = matches!(around.last(), Some(Some(_))),
                _ => {}
            }
            self.pass();
            if around.is_empty() {
                return self.since(start);
            }
        }
    }

    /// How many elements the array here has.
    pub(super) fn count(mut self, room: Room) -> Result<i64, FilterError> {
        self.pass();
        let mut length = 0;
        loop {
            match self.token()? {
                b']' => return Ok(length),
                b',' => self.pass(),
                _ => {
                    length += 1;
                    self.skip(room)?;
                }
            }
        }
    }
}

/// How much deeper a document may nest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    limit: usize,
    used: usize,
}

impl Room {
    /// All of `limit`.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: 0 }
    }

    /// What is left inside a container.
    #[inline]
    pub(super) fn inside(self) -> Result<Self, FilterError> {
        self.check(1)?;
        Ok(Self { used: self.used + 1, ..self })
    }

    /// Whether it is enough for `depth`.
    #[inline]
    fn check(self, depth: usize) -> Result<(), FilterError> {
        if self.used + depth > self.limit { Err(FilterError::TooDeep { limit: self.limit }) } else { Ok(()) }
    }
}

/// The keys met so far in the objects that are open, the innermost last.
#[derive(Debug, Default)]
pub(super) struct Keys<'d>(Vec<(usize, Cow<'d, str>)>);

/// One object that is open.
#[derive(Debug)]
pub(super) struct Open {
    /// Where its keys start.
    from: usize,
    /// A bit for each key it has, the same for equal keys.
    marks: [u64; 4],
}

impl<'d> Keys<'d> {
    /// Begins an object.
    #[inline]
    pub(super) fn open(&self) -> Open {
        Open { from: self.0.len(), marks: [0; 4] }
    }

    /// Adds a key of the innermost object. Whether it has it already is found here while there are few, and when the
    /// object is closed if there are many.
    ///
    /// # Errors
    /// [`FilterError::DuplicateKey`] if it has.
    #[inline]
    pub(super) fn push(&mut self, key: Cow<'d, str>, open: &mut Open) -> Result<(), FilterError> {
        let hash = hash(key.as_bytes());
        let bit = 1 << (hash % 64);
        if let Some(word) = open.marks.get_mut(hash / 64 % 4) {
            if *word & bit != 0 {
                let keys = self.0.get(open.from..).unwrap_or_default();
                if keys.len() <= FEW && keys.iter().any(|(known, name)| *known == hash && *name == key) {
                    return Err(FilterError::DuplicateKey);
                }
            }
            *word |= bit;
        }
        self.0.push((hash, key));
        Ok(())
    }

    /// Ends the innermost object.
    ///
    /// # Errors
    /// [`FilterError::DuplicateKey`] if two of its keys are equal.
    #[inline]
    pub(super) fn close(&mut self, open: Open) -> Result<(), FilterError> {
        let keys = self.0.get_mut(open.from..).unwrap_or_default();
        if keys.len() > FEW {
            keys.sort_unstable();
            if keys.iter().zip(keys.iter().skip(1)).any(|(one, next)| one == next) {
                return Err(FilterError::DuplicateKey);
            }
        }
        self.0.truncate(open.from);
        Ok(())
    }
}

/// The name that the text of a string stands for.
#[inline]
pub(super) fn key(text: &str, escaped: bool) -> Result<Cow<'_, str>, FilterError> {
    if escaped {
        return serde_json::from_str(text).map(Cow::Owned).map_err(|_| FilterError::NotJson);
    }
    text.get(1..text.len().saturating_sub(1)).map(Cow::Borrowed).ok_or(FilterError::NotJson)
}

/// A word of eight equal bytes.
const fn repeat(byte: u8) -> u64 {
    0x0101_0101_0101_0101 * byte as u64
}

/// A word whose lowest set bit is in the lowest byte of `word` that is zero; zero if none is.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(repeat(1)) & !word & repeat(0x80)
}
