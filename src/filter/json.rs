//! A cursor over JSON text, strict (RFC 8259): whatever it passes is valid, and what is not is an error, never a guess.
//!
//! It makes nothing of what it reads. Values are told apart by their first byte and found again by where they start
//! and end, so that they can leave as the bytes they came in.

use std::borrow::Cow;

use super::FilterError;
use super::plan::Ends;

/// An object with more keys than this is sorted to find two of one name; fewer are compared with those before them.
const FEW: usize = 64;

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The text ends here, and the value does not.
    End,
    /// It cannot be filtered.
    Wrong(FilterError),
}

/// What is no JSON.
pub(super) const NOT_JSON: Stop = Stop::Wrong(FilterError::NotJson);

impl From<FilterError> for Stop {
    fn from(error: FilterError) -> Self {
        Self::Wrong(error)
    }
}

impl From<Stop> for FilterError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::End => Self::NotJson,
            Stop::Wrong(error) => error,
        }
    }
}

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'d> {
    text: &'d [u8],
    at: usize,
}

/// A string as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quoted<'d> {
    /// What is between the quotes; UTF-8.
    inside: &'d [u8],
    /// How many escapes are in it.
    escapes: usize,
}

impl<'d> Cursor<'d> {
    /// At the start of `text`.
    pub(super) fn new(text: &'d [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// How many bytes are behind it.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The same text, at another place.
    pub(super) fn back_to(self, at: usize) -> Self {
        Self { at, ..self }
    }

    /// The byte here.
    #[inline]
    pub(super) fn peek(&self) -> Result<u8, Stop> {
        self.text.get(self.at).copied().ok_or(Stop::End)
    }

    /// The first byte here or later that is not whitespace; the cursor is then at it.
    #[inline]
    pub(super) fn token(&mut self) -> Result<u8, Stop> {
        loop {
            match self.peek()? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Ok(byte),
            }
        }
    }

    /// Passes the byte here.
    #[inline]
    pub(super) fn pass(&mut self) {
        self.at += 1;
    }

    /// Makes certain that nothing but whitespace follows.
    pub(super) fn finish(&mut self) -> Result<(), Stop> {
        match self.token() {
            Err(Stop::End) => Ok(()),
            Ok(_) | Err(Stop::Wrong(_)) => Err(NOT_JSON),
        }
    }

    /// The text from `start` to here.
    #[inline]
    pub(super) fn since(&self, start: usize) -> Result<&'d [u8], Stop> {
        self.between(start, self.at)
    }

    /// The text from `start` to `end`.
    #[inline]
    pub(super) fn between(&self, start: usize, end: usize) -> Result<&'d [u8], Stop> {
        self.text.get(start..end).ok_or(NOT_JSON)
    }

    /// Passes the opening bracket here. Whether an item follows; the cursor is at it, or behind `closing`.
    #[inline]
    pub(super) fn first(&mut self, closing: u8) -> Result<bool, Stop> {
        self.pass();
        if self.token()? != closing {
            return Ok(true);
        }
        self.pass();
        Ok(false)
    }

    /// Passes the comma behind an item. Whether there is one; if not, the cursor is behind `closing`.
    #[inline]
    pub(super) fn more(&mut self, closing: u8) -> Result<bool, Stop> {
        let found = self.token()?;
        self.pass();
        match found {
            b',' => self.token().map(|_| true),
            byte if byte == closing => Ok(false),
            _ => Err(NOT_JSON),
        }
    }

    /// Passes the key here, the colon behind it, and the whitespace up to the value.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Quoted<'d>, Stop> {
        if self.peek()? != b'"' {
            return Err(NOT_JSON);
        }
        let key = self.string()?;
        if self.token()? != b':' {
            return Err(NOT_JSON);
        }
        self.pass();
        self.token()?;
        Ok(key)
    }

    /// Passes the string here.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Quoted<'d>, Stop> {
        self.pass();
        let start = self.at;
        let (mut escapes, mut ascii) = (0, true);
        loop {
            match self.plain(&mut ascii)? {
                b'"' => break,
                b'\\' => {
                    escapes += 1;
                    self.escape()?;
                }
                _ => return Err(NOT_JSON),
            }
        }
        let inside = self.since(start)?;
        self.pass();
        if !ascii && std::str::from_utf8(inside).is_err() {
            return Err(NOT_JSON);
        }
        Ok(Quoted { inside, escapes })
    }

    /// Goes to the next quote, backslash or control character, eight bytes at a time. `ascii` becomes false if there
    /// may be something else than ASCII on the way.
    #[inline]
    fn plain(&mut self, ascii: &mut bool) -> Result<u8, Stop> {
        while let Some(chunk) = self.text.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_le_bytes(*chunk);
            *ascii &= word & HIGH == 0;
            let found = below(word ^ repeat(b'"'), 1) | below(word ^ repeat(b'\\'), 1) | below(word, 0x20);
            if found != 0 {
                self.at += (found.trailing_zeros() / 8) as usize;
                return self.peek();
            }
            self.at += 8;
        }
        loop {
            match self.peek()? {
                byte @ (b'"' | b'\\' | 0..0x20) => return Ok(byte),
                byte => *ascii &= byte.is_ascii(),
            }
            self.pass();
        }
    }

    /// Passes the escape here.
    fn escape(&mut self) -> Result<(), Stop> {
        self.pass();
        let kind = self.peek()?;
        self.pass();
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                for _ in 0..4 {
                    if !self.peek()?.is_ascii_hexdigit() {
                        return Err(NOT_JSON);
                    }
                    self.pass();
                }
                Ok(())
            }
            _ => Err(NOT_JSON),
        }
    }

    /// Passes the number, `true`, `false` or `null` here.
    #[inline]
    fn word(&mut self) -> Result<(), Stop> {
        match self.peek()? {
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number(),
        }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Stop> {
        for expected in word {
            if self.peek()? != *expected {
                return Err(NOT_JSON);
            }
            self.pass();
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Stop> {
        if self.peek()? == b'-' {
            self.pass();
        }
        match self.peek()? {
            b'0' => self.pass(),
            _ => self.digits()?,
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.pass();
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.pass();
            if let b'+' | b'-' = self.peek()? {
                self.pass();
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Stop> {
        if !self.peek()?.is_ascii_digit() {
            return Err(NOT_JSON);
        }
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.pass();
        }
        Ok(())
    }

    /// Passes the value here, whatever it is. `room` is how deep it may nest.
    pub(super) fn skip(&mut self, room: Room) -> Result<(), Stop> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' => {
                let room = room.inside()?;
                let mut more = self.first(b'}')?;
                while more {
                    self.key()?;
                    self.skip(room)?;
                    more = self.more(b'}')?;
                }
                Ok(())
            }
            b'[' => {
                let room = room.inside()?;
                let mut more = self.first(b']')?;
                while more {
                    self.skip(room)?;
                    more = self.more(b']')?;
                }
                Ok(())
            }
            _ => self.word(),
        }
    }

    /// Passes the value here like [`Self::skip`], and makes certain that no object in it has two members of one name.
    pub(super) fn checked(&mut self, room: Room, keys: &mut Keys<'d>) -> Result<(), Stop> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' => {
                let room = room.inside()?;
                let mut open = keys.open();
                let mut more = self.first(b'}')?;
                while more {
                    let key = self.key()?;
                    keys.push(key.name()?, &mut open)?;
                    self.checked(room, keys)?;
                    more = self.more(b'}')?;
                }
                keys.close(open)
            }
            b'[' => {
                let room = room.inside()?;
                let mut more = self.first(b']')?;
                while more {
                    self.checked(room, keys)?;
                    more = self.more(b']')?;
                }
                Ok(())
            }
            _ => self.word(),
        }
    }

    /// How many elements the array here has.
    pub(super) fn count(mut self, room: Room) -> Result<i64, Stop> {
        let mut length = 0;
        let mut more = self.first(b']')?;
        while more {
            length += 1;
            self.skip(room)?;
            more = self.more(b']')?;
        }
        Ok(length)
    }
}

impl<'d> Quoted<'d> {
    /// The bytes of the name, if it is written without escapes.
    #[inline]
    pub(super) fn plain(&self) -> Option<&'d [u8]> {
        (self.escapes == 0).then_some(self.inside)
    }

    /// The name that it stands for.
    #[inline]
    pub(super) fn name(&self) -> Result<Cow<'d, str>, Stop> {
        let text = std::str::from_utf8(self.inside).map_err(|_| NOT_JSON)?;
        if self.escapes == 0 {
            return Ok(Cow::Borrowed(text));
        }
        serde_json::from_str(&format!("\"{text}\"")).map(Cow::Owned).map_err(|_| NOT_JSON)
    }
}

/// How much deeper a document may nest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    limit: usize,
    left: usize,
}

impl Room {
    /// All of `limit`.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, left: limit }
    }

    /// What is left inside a container.
    #[inline]
    pub(super) fn inside(self) -> Result<Self, FilterError> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(FilterError::TooDeep { limit: self.limit }),
        }
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
    pub(super) fn push(&mut self, key: Cow<'d, str>, open: &mut Open) -> Result<(), Stop> {
        let hash = Ends::of(key.as_bytes()).hash();
        let bit = 1 << (hash % 64);
        if let Some(word) = open.marks.get_mut(hash / 64 % 4) {
            if *word & bit != 0 {
                let keys = self.0.get(open.from..).unwrap_or_default();
                if keys.len() <= FEW && keys.iter().any(|(known, name)| *known == hash && *name == key) {
                    return Err(FilterError::DuplicateKey.into());
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
    pub(super) fn close(&mut self, open: Open) -> Result<(), Stop> {
        let keys = self.0.get_mut(open.from..).unwrap_or_default();
        if keys.len() > FEW {
            keys.sort_unstable();
            if keys.iter().zip(keys.iter().skip(1)).any(|(one, next)| one == next) {
                return Err(FilterError::DuplicateKey.into());
            }
        }
        self.0.truncate(open.from);
        Ok(())
    }
}

/// The highest bit of each byte.
const HIGH: u64 = repeat(0x80);

/// A word of eight equal bytes.
const fn repeat(byte: u8) -> u64 {
    0x0101_0101_0101_0101 * byte as u64
}

/// A word whose lowest set bit is in the lowest byte of `word` that is below `limit`; zero if none is.
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(repeat(limit)) & !word & HIGH
}
