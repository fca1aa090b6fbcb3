//! A strict cursor over JSON text (RFC 8259): whatever it passes is valid; anything else is an error, never a guess.
//!
//! The cursor builds nothing. The first byte of a value says what it is, and its start and end are all that is kept of it, so
//! that it can leave as the bytes it came in. Our own code, because byte-exact output, duplicate keys and limits are what this
//! program is for.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};

use wide::u8x16;

use super::FilterError;
use super::plan::{KeyDigest, KeyText};

/// Up to this many keys of an object are compared in pairs to find duplicates; more are sorted.
const PAIRWISE_LIMIT: usize = 64;

/// From this many keys on, an object is checked for duplicates before its end as well.
const MANY: usize = 4096;

/// Why the cursor stopped: the text ended before the value, or a [`FilterError`]. It fits into a register, so that functions of
/// the walk return it as cheaply as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    End,
    NotJson,
    /// No document is longer than 4 GiB; see [`KeySet::push`].
    TooLarge {
        limit: u32,
    },
    /// No limit is higher; see [`DepthBudget::new`].
    TooDeep {
        limit: u16,
    },
    DuplicateKey,
    Expression,
    TooMuchWork,
    NotAnArray,
}

/// The text is not JSON.
pub(super) const NOT_JSON: Stop = Stop::NotJson;

const _: () = assert!(size_of::<Result<bool, Stop>>() <= size_of::<u64>());

impl From<FilterError> for Stop {
    fn from(error: FilterError) -> Self {
        match error {
            FilterError::NotJson => Self::NotJson,
            FilterError::TooLarge { limit } => Self::TooLarge { limit: u32::try_from(limit).unwrap_or(u32::MAX) },
            FilterError::TooDeep { limit } => Self::TooDeep { limit: u16::try_from(limit).unwrap_or(u16::MAX) },
            FilterError::DuplicateKey => Self::DuplicateKey,
            FilterError::Expression => Self::Expression,
            FilterError::TooMuchWork => Self::TooMuchWork,
            FilterError::NotAnArray => Self::NotAnArray,
        }
    }
}

impl From<Stop> for FilterError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::End | Stop::NotJson => Self::NotJson,
            Stop::TooLarge { limit } => Self::TooLarge { limit: limit as usize },
            Stop::TooDeep { limit } => Self::TooDeep { limit: limit.into() },
            Stop::DuplicateKey => Self::DuplicateKey,
            Stop::Expression => Self::Expression,
            Stop::TooMuchWork => Self::TooMuchWork,
            Stop::NotAnArray => Self::NotAnArray,
        }
    }
}

/// A position in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'d> {
    text: &'d [u8],
    at: usize,
}

/// A string as it is written in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonString<'d> {
    /// Where its opening quote is.
    at: usize,
    /// The text between the quotes; valid UTF-8.
    inside: &'d [u8],
    /// Whether it is written without escapes.
    is_plain: bool,
}

impl<'d> Cursor<'d> {
    /// At the start of `text`.
    pub(super) fn new(text: &'d [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// The number of bytes passed.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The same text at another position.
    pub(super) fn back_to(self, at: usize) -> Self {
        Self { at, ..self }
    }

    /// The byte here.
    #[inline]
    pub(super) fn peek(&self) -> Result<u8, Stop> {
        self.text.get(self.at).copied().ok_or(Stop::End)
    }

    /// Skips whitespace and returns the byte after it, which the cursor is then at.
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

    /// Checks that nothing but whitespace follows.
    pub(super) fn finish(&mut self) -> Result<(), Stop> {
        match self.token() {
            Err(Stop::End) => Ok(()),
            Ok(_) | Err(_) => Err(NOT_JSON),
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

    /// Passes the opening bracket here. Returns whether an item follows; the cursor is then at it, else past `closing`.
    #[inline]
    pub(super) fn first(&mut self, closing: u8) -> Result<bool, Stop> {
        self.pass();
        if self.token()? != closing {
            return Ok(true);
        }
        self.pass();
        Ok(false)
    }

    /// Passes the comma after an item. Returns whether there is one; if not, the cursor is past `closing`.
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

    /// Passes the key here, its colon, and the whitespace before the value.
    #[inline]
    pub(super) fn key(&mut self) -> Result<JsonString<'d>, Stop> {
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

    /// Passes the key here and its colon, if it is ASCII without escapes and no whitespace stands before the colon, and returns
    /// its text. If not, nothing is passed: then [`Self::key`] decides.
    #[inline(always)]
    pub(super) fn plain_key(&mut self) -> Option<&'d [u8]> {
        let mut ahead = *self;
        let name = if self.text.get(self.at) == Some(&b'"') { ahead.plain_string()? } else { return None };
        if ahead.text.get(ahead.at) != Some(&b':') {
            return None;
        }
        self.at = ahead.at + 1;
        Some(name)
    }

    /// Passes this key and its colon. Returns `false` if the text here is different; then nothing is passed.
    #[inline(always)]
    pub(super) fn expected_key(&mut self, key: &KeyText) -> bool {
        let is_here = self.text.get(self.at..).is_some_and(|text| key.begins(text));
        if is_here {
            self.at += key.len();
        }
        is_here
    }

    /// Passes the comma here if an item follows it without whitespace. Returns whether it does; if not, nothing is passed.
    #[inline(always)]
    pub(super) fn passes_comma(&mut self) -> bool {
        let next = self.text.get(self.at..).and_then(<[u8]>::first_chunk);
        let passes = matches!(next, Some([b',', next]) if *next > b' ');
        self.at += usize::from(passes);
        passes
    }

    /// Passes `byte` if it is here. Returns whether it is.
    #[inline(always)]
    pub(super) fn passes(&mut self, byte: u8) -> bool {
        let is_here = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(is_here);
        is_here
    }

    /// [`Self::more`], with the position of the comma or bracket.
    #[inline(never)]
    pub(super) fn more_at(&mut self, closing: u8) -> Result<(bool, usize), Stop> {
        self.token()?;
        let at = self.at;
        Ok((self.more(closing)?, at))
    }

    /// The sixteen bytes from `start`, if there are as many.
    #[inline]
    pub(super) fn chunk_at(&self, start: usize) -> Option<&'d [u8; CHUNK]> {
        self.text.get(start..).and_then(<[u8]>::first_chunk)
    }

    /// Passes the string here if it is ASCII without escapes, and returns its text. If it may be another, nothing is passed: then
    /// [`Self::string`] decides.
    #[inline(always)]
    pub(super) fn plain_string(&mut self) -> Option<&'d [u8]> {
        let behind = self.text.get(self.at + 1..)?;
        let mut length = 0;
        for chunk in behind.as_chunks().0 {
            let stops = stops(chunk);
            if stops != 0 {
                length += stops.trailing_zeros() as usize;
                let (inside, rest) = behind.split_at_checked(length)?;
                if rest.first() != Some(&b'"') {
                    return None;
                }
                self.at += length + 2;
                return Some(inside);
            }
            length += CHUNK;
        }
        None
    }

    /// Passes the string here.
    #[inline]
    pub(super) fn string(&mut self) -> Result<JsonString<'d>, Stop> {
        let at = self.at;
        // Most strings are ASCII without escapes.
        match self.plain_string() {
            Some(inside) => Ok(JsonString { at, inside, is_plain: true }),
            None => self.any_string(),
        }
    }

    /// [`Self::string`] for every string.
    #[inline(never)]
    fn any_string(&mut self) -> Result<JsonString<'d>, Stop> {
        let (at, start) = (self.at, self.at + 1);
        let (mut is_plain, mut is_ascii) = (true, true);
        self.at = start;
        loop {
            match self.stop()? {
                b'"' => break,
                b'\\' => {
                    is_plain = false;
                    self.escape()?;
                }
                byte if !byte.is_ascii() => {
                    is_ascii = false;
                    self.pass();
                }
                _ => return Err(NOT_JSON),
            }
        }
        let inside = self.since(start)?;
        self.pass();
        if !is_ascii && std::str::from_utf8(inside).is_err() {
            return Err(NOT_JSON);
        }
        Ok(JsonString { at, inside, is_plain })
    }

    /// Moves to the next byte of a string that [`is_stop`].
    #[inline]
    fn stop(&mut self) -> Result<u8, Stop> {
        while let Some(chunk) = self.text.get(self.at..).and_then(<[u8]>::first_chunk::<CHUNK>) {
            let stop = stops(chunk).trailing_zeros() as usize;
            if let Some(byte) = chunk.get(stop) {
                self.at += stop;
                return Ok(*byte);
            }
            self.at += CHUNK;
        }
        loop {
            match self.peek()? {
                byte if is_stop(byte) => return Ok(byte),
                _ => self.pass(),
            }
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
    #[inline(always)]
    pub(super) fn word(&mut self) -> Result<(), Stop> {
        // Four bytes are compared at once.
        const TRUE: u32 = u32::from_le_bytes(*b"true");
        const NULL: u32 = u32::from_le_bytes(*b"null");
        const FALS: u32 = u32::from_le_bytes(*b"fals");
        let text = self.text.get(self.at..).unwrap_or_default();
        let first = text.first_chunk().map_or(0, |first| u32::from_le_bytes(*first));
        let length = match (first, first as u8, (first >> 8) as u8) {
            (TRUE | NULL, ..) => 4,
            (FALS, ..) if text.get(4) == Some(&b'e') => 5,
            (_, b'1'..=b'9', _) => self.whole_number(),
            (_, b'0', b',' | b'}' | b']') => 1,
            _ => 0,
        };
        self.at += length;
        if length > 0 { Ok(()) } else { self.any_word() }
    }

    /// The length of the number here if it is a whole number of few digits, which something else follows that is no part of it.
    /// Zero decides nothing.
    #[inline]
    fn whole_number(&self) -> usize {
        let Some(chunk) = self.chunk_at(self.at) else { return 0 };
        let digits = within(u8x16::new(*chunk), b'0', b'9').to_bitmask().trailing_ones() as usize;
        if let Some(b',' | b'}' | b']') = chunk.get(digits) { digits } else { 0 }
    }

    /// [`Self::word`] for whatever is here.
    #[inline(never)]
    fn any_word(&mut self) -> Result<(), Stop> {
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
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        Ok(())
    }

    /// Passes the value here. `depth` bounds its nesting.
    #[inline]
    pub(super) fn skip(&mut self, depth: DepthBudget) -> Result<(), Stop> {
        match self.peek()? {
            b'{' | b'[' => self.skip_composite(depth.inside()?),
            _ => self.skip_scalar(),
        }
    }

    /// Passes the value here, which is no object or array.
    #[inline]
    pub(super) fn skip_scalar(&mut self) -> Result<(), Stop> {
        if self.peek()? == b'"' { self.string().map(|_| ()) } else { self.word() }
    }

    /// Passes the object or array here. `depth` bounds the nesting inside.
    fn skip_composite(&mut self, depth: DepthBudget) -> Result<(), Stop> {
        if self.peek()? == b'{' {
            let mut more = self.first(b'}')?;
            while more {
                self.key()?;
                self.skip(depth)?;
                more = self.more(b'}')?;
            }
        } else {
            let mut more = self.first(b']')?;
            while more {
                self.skip(depth)?;
                more = self.more(b']')?;
            }
        }
        Ok(())
    }

    /// Passes the value here like [`Self::skip`], and checks that a reader can decode it: no
    /// object has a duplicate key, and no string half a surrogate pair.
    #[inline]
    pub(super) fn checked(&mut self, depth: DepthBudget, keys: &mut KeySet) -> Result<(), Stop> {
        match self.peek()? {
            b'{' | b'[' => self.checked_composite(depth.inside()?, keys),
            _ => self.checked_scalar(),
        }
    }

    /// Passes the value here, which is no object or array, and checks that a reader can decode it.
    #[inline]
    pub(super) fn checked_scalar(&mut self) -> Result<(), Stop> {
        // Readers disagree about half a surrogate pair, so a shown string must decode.
        if self.peek()? == b'"' { self.string()?.decodes() } else { self.word() }
    }

    /// Passes the object here like [`Self::checked`]. `depth` bounds the nesting inside; `found` gets each key and the text of
    /// its value.
    pub(super) fn checked_members(
        &mut self,
        depth: DepthBudget,
        keys: &mut KeySet,
        mut found: impl FnMut(JsonString<'d>, &'d [u8]),
    ) -> Result<(), Stop> {
        let mut open = keys.open();
        let mut more = self.first(b'}')?;
        while more {
            let key = self.key()?;
            // Readers disagree about half a surrogate pair in a key, too.
            key.decodes()?;
            keys.push(key, key.hash(), *self, &mut open)?;
            let start = self.at;
            self.checked(depth, keys)?;
            found(key, self.since(start)?);
            more = self.more(b'}')?;
        }
        keys.close(*self, open)
    }

    /// Passes the object or array here like [`Self::checked`]. `depth` bounds the nesting inside.
    fn checked_composite(&mut self, depth: DepthBudget, keys: &mut KeySet) -> Result<(), Stop> {
        if self.peek()? == b'{' {
            self.checked_members(depth, keys, |_, _| {})
        } else {
            let mut more = self.first(b']')?;
            while more {
                self.checked(depth, keys)?;
                more = self.more(b']')?;
            }
            Ok(())
        }
    }

    /// The number of elements of the array here.
    pub(super) fn count(mut self, depth: DepthBudget) -> Result<i64, Stop> {
        let mut length = 0;
        let mut more = self.first(b']')?;
        while more {
            length += 1;
            self.skip(depth)?;
            more = self.more(b']')?;
        }
        Ok(length)
    }
}

impl<'d> JsonString<'d> {
    /// The bytes of the text, if it is written without escapes.
    #[inline]
    pub(super) fn plain(&self) -> Option<&'d [u8]> {
        self.is_plain.then_some(self.inside)
    }

    /// A hash of the text as it is written.
    #[inline]
    pub(super) fn hash(&self) -> usize {
        KeyDigest::of(self.inside).hash()
    }

    /// Whether the string at `place` is written like this one.
    #[inline]
    fn is_written_at(&self, place: u32, cursor: Cursor<'_>) -> bool {
        let other = cursor.text.get(place as usize..).and_then(|text| text.get(1..self.inside.len().saturating_add(2)));
        matches!(other, Some([inside @ .., b'"']) if inside == self.inside)
    }

    /// Whether it stands for this text.
    #[inline]
    pub(super) fn is(&self, text: &str) -> Result<bool, Stop> {
        if self.is_plain { Ok(self.inside == text.as_bytes()) } else { Ok(self.text()? == text) }
    }

    /// Checks that its escapes decode.
    #[inline]
    fn decodes(&self) -> Result<(), Stop> {
        if self.is_plain { Ok(()) } else { self.text().map(|_| ()) }
    }

    /// The text, with its escapes decoded.
    pub(super) fn text(&self) -> Result<Cow<'d, str>, Stop> {
        let text = std::str::from_utf8(self.inside).map_err(|_| NOT_JSON)?;
        if self.is_plain {
            return Ok(Cow::Borrowed(text));
        }
        decoded(text).map(Cow::Owned).ok_or(NOT_JSON)
    }
}

/// The text that is written so between quotes. It is no longer than that, so it takes no more memory. `None` if an escape is no
/// character: half a surrogate pair.
pub(super) fn decoded(written: &str) -> Option<String> {
    let (mut text, mut rest) = (String::with_capacity(written.len()), written);
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let (kind, mut behind) = escape.split_at_checked(1)?;
        text.push(match kind {
            "b" => '\u{8}',
            "f" => '\u{c}',
            "n" => '\n',
            "r" => '\r',
            "t" => '\t',
            "u" => utf16(&mut behind)?,
            itself => itself.chars().next()?,
        });
        rest = behind;
    }
    text.push_str(rest);
    Some(text)
}

/// The character of an escape in UTF-16. `rest` begins with its first four digits, and is then behind it.
fn utf16(rest: &mut &str) -> Option<char> {
    let first = utf16_unit(rest)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first.into());
    }
    *rest = rest.strip_prefix("\\u")?;
    char::decode_utf16([first, utf16_unit(rest)?]).next()?.ok()
}

/// The number of four digits.
fn utf16_unit(rest: &mut &str) -> Option<u16> {
    let (digits, behind) = rest.split_at_checked(4)?;
    *rest = behind;
    u16::from_str_radix(digits, 16).ok()
}

/// How much deeper a value may nest.
#[derive(Clone, Copy, Debug)]
pub(super) struct DepthBudget {
    limit: u16,
    left: u16,
}

impl DepthBudget {
    /// The whole budget. The walk has no stack for more than a `u16`.
    pub(super) fn new(limit: usize) -> Self {
        let limit = u16::try_from(limit).unwrap_or(u16::MAX);
        Self { limit, left: limit }
    }

    /// The budget inside an object or array.
    #[inline]
    pub(super) fn inside(self) -> Result<Self, Stop> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(Stop::TooDeep { limit: self.limit }),
        }
    }
}

/// The keys of the open objects, the innermost object last: where each begins in the text. So an object of millions of keys
/// takes less memory here than its text does.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    places: Vec<u32>,
    /// Hashes keys where there are many. Nobody who writes a document can foresee its hashes.
    hasher: RandomState,
}

/// An open object.
#[derive(Debug, Default)]
pub(super) struct OpenObject {
    /// The index of its first key.
    from: usize,
    /// A bit for each key, the same for keys that are written alike.
    marks: [u64; 8],
    /// Whether a key has escapes, so that equal keys may be written in several ways.
    has_escapes: bool,
    /// How many of its keys are known to be different.
    checked: usize,
}

impl KeySet {
    /// Opens an object.
    #[inline]
    pub(super) fn open(&self) -> OpenObject {
        OpenObject { from: self.places.len(), ..OpenObject::default() }
    }

    /// Adds a key of the innermost object, in the text of `cursor`. Equal keys need equal hashes.
    ///
    /// A duplicate is found at once while there are few keys, and later if there are many or one has escapes.
    ///
    /// # Errors
    /// [`FilterError::DuplicateKey`] if the object has the key already, [`FilterError::TooLarge`] past 4 GiB.
    #[inline]
    pub(super) fn push(
        &mut self,
        key: JsonString<'_>,
        hash: usize,
        cursor: Cursor<'_>,
        open: &mut OpenObject,
    ) -> Result<(), Stop> {
        const LIMIT: usize = u32::MAX as usize;
        let place = u32::try_from(key.at).map_err(|_| FilterError::TooLarge { limit: LIMIT })?;
        let bit = 1 << (hash % 64);
        if let Some(word) = open.marks.get_mut(hash / 64 % 8) {
            if *word & bit != 0 {
                let known = self.places.get(open.from..).unwrap_or_default();
                if known.len() <= PAIRWISE_LIMIT && known.iter().any(|place| key.is_written_at(*place, cursor)) {
                    return Err(FilterError::DuplicateKey.into());
                }
            }
            *word |= bit;
        }
        open.has_escapes |= !key.is_plain;
        if self.places.len() == self.places.capacity() {
            self.grow(cursor, open)?;
        }
        self.places.push(place);
        Ok(())
    }

    /// Makes room for more keys: only a little, because they are to take less memory than the text. Where they have doubled
    /// since the last time, equal keys end it, so that a text of nothing but equal keys stays small.
    #[cold]
    fn grow(&mut self, cursor: Cursor<'_>, open: &mut OpenObject) -> Result<(), Stop> {
        let count = self.places.len() - open.from;
        if count > MANY && count / 2 > open.checked {
            self.check_all(cursor, open.from)?;
            open.checked = count;
        }
        self.places.reserve_exact((self.places.len() / 8).max(PAIRWISE_LIMIT));
        Ok(())
    }

    /// Whether an object, the innermost one, has keys that [`Self::close`] must see.
    #[inline(always)]
    pub(super) fn has_keys_of(&self, open: &OpenObject) -> bool {
        self.places.len() > open.from
    }

    /// Closes the innermost object.
    ///
    /// # Errors
    /// [`FilterError::DuplicateKey`] if two of its keys are equal.
    #[inline]
    pub(super) fn close(&mut self, cursor: Cursor<'_>, open: OpenObject) -> Result<(), Stop> {
        if open.has_escapes || self.places.len() - open.from > PAIRWISE_LIMIT {
            self.check_all(cursor, open.from)?;
        }
        self.places.truncate(open.from);
        Ok(())
    }

    /// Refuses equal keys among those from `from` on.
    fn check_all(&self, cursor: Cursor<'_>, from: usize) -> Result<(), Stop> {
        let places = self.places.get(from..).unwrap_or_default();
        let mut hashes = Vec::with_capacity(places.len());
        for place in places {
            let hash = self.hasher.hash_one(&*text_at(*place, cursor)?);
            // As many bits of it as a word has room for beside the place.
            hashes.push(hash >> 32 << 32 | u64::from(*place));
        }
        hashes.sort_unstable();
        // Different keys of one hash are too few to matter.
        for same in hashes.chunk_by(|one, next| one >> 32 == next >> 32) {
            for (number, one) in same.iter().enumerate() {
                let one = text_at(*one as u32, cursor)?;
                for other in same.iter().skip(number + 1) {
                    if one == text_at(*other as u32, cursor)? {
                        return Err(FilterError::DuplicateKey.into());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The text of the key at `place`, read again.
fn text_at(place: u32, cursor: Cursor<'_>) -> Result<Cow<'_, str>, Stop> {
    cursor.back_to(place as usize).string()?.text()
}

/// How many bytes of a string are looked at at a time.
pub(super) const CHUNK: usize = 16;

/// Which bytes are between two others, or one of them.
#[inline(always)]
pub(super) fn within(bytes: u8x16, first: u8, last: u8) -> u8x16 {
    let distance = bytes - u8x16::splat(first);
    distance.min(u8x16::splat(last - first)).simd_eq(distance)
}

/// Whether a byte inside a string needs a closer look: a quote, a backslash, a control character, or a byte that is not ASCII.
const fn is_stop(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20 | 0x80..)
}

/// The bytes of `chunk` that [`is_stop`], a bit each.
#[inline(always)]
fn stops(chunk: &[u8; CHUNK]) -> u32 {
    let bytes = u8x16::new(*chunk);
    let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
    let is_control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    // The mask takes the highest bit of each byte. A byte that is not ASCII has that bit itself.
    (is(b'"') | is(b'\\') | is_control | bytes).to_bitmask()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every sequence of three of these.
    #[test]
    fn a_string_is_decoded_as_serde_json_decodes_it() {
        let parts = [
            "",
            "a",
            "\u{e9}",
            "\u{1f600}",
            r"\n",
            r#"\""#,
            r"\\",
            r"\/",
            r"\b",
            r"\f",
            r"\r",
            r"\t",
            r"\u0041",
            r"\u00E9",
            r"\u0000",
            r"\uffff",
            r"\ud83d",
            r"\udE00",
            r"\uDBFF",
            "u",
        ];
        let pairs = parts.iter().flat_map(|first| parts.iter().map(move |second| format!("{first}{second}")));
        for written in pairs.flat_map(|pair| parts.iter().map(move |third| format!("\"{pair}{third}\""))) {
            let found = Cursor::new(written.as_bytes()).string().and_then(|string| string.text());
            assert_eq!(found.ok().as_deref(), serde_json::from_str::<String>(&written).ok().as_deref(), "{written}");
        }
    }
}
