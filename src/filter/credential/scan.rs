//! One pass over a text that tells which shapes it can have.
//!
//! Every shape has *anchors*: texts of which one stands wherever the shape does. The pass looks for all anchors at once.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::LazyLock;

use wide::u8x16;

use super::pattern::{self, PATTERNS};
use super::token::{self, PLAIN_PREFIXES, TOKENS};
use super::{command, encoded, userinfo};
use crate::filter::json::{CHUNK, within};

/// The kinds of shapes that a text can have, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Candidates(u64);

impl Candidates {
    pub(super) const NONE: Self = Self(0);
    pub(super) const TOKEN: Self = Self(1);
    pub(super) const PAIR: Self = Self(1 << 1);
    pub(super) const USERINFO: Self = Self(1 << 2);
    pub(super) const COMMAND: Self = Self(1 << 3);
    pub(super) const ENCODED: Self = Self(1 << 4);
    pub(super) const DIGEST: Self = Self(1 << 5);
    pub(super) const BOT: Self = Self(1 << 6);
    pub(super) const BASIC: Self = Self(1 << 7);
    /// Everything.
    pub(super) const ALL: Self = Self(u64::MAX);

    /// The pattern number `index`.
    pub(super) const fn pattern(index: usize) -> Self {
        Self(1 << (8 + index))
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

const _: () = assert!(PATTERNS.len() <= 64 - 8, "every pattern has a bit");

/// The anchors of names with values: every name that [`super::pair`] knows holds one.
const NAME_WORDS: &[&str] = &[
    "pass",
    "pwd",
    "psw",
    "pw",
    "kennwort",
    "secret",
    "token",
    "key",
    "auth",
    "cred",
    "bearer",
    "jwt",
    "dsn",
    "hook",
    "cookie",
    "salt",
    "seed",
    "license",
    "licence",
    "signature",
    "conn",
    "sas",
    "slack",
    "discord",
    "sig",
    "code",
    "appid",
    "session",
    "sessid",
    "mnemonic",
    "pepper",
    "hmac",
    "totp",
    "psk",
    "phrase",
    "_pat",
    "_pin",
    "plex",
    "snmp",
    "community",
    "api_hash",
    "apprise",
    "shoutrrr",
    "notification",
    "contrasena",
    "heslo",
    "mdp",
    "salasana",
    "senha",
    "wachtwoord",
    ";p=",
    "&p=",
];

/// The fewest bytes of a text with a token.
pub(super) const TOKEN_LEAST: usize = 16;

/// Finds every anchor, whatever its case: an Aho–Corasick automaton as a table.
///
/// Our own code, because the pass needs to know what an anchor means, not which one it is. That makes the table small, quick
/// to build, and two look-ups for each byte.
struct Scanner {
    /// The column of each byte. Bytes that no anchor has share the first.
    columns: [u8; 256],
    /// The table: a row of [`WIDTH`] for each state, with the state that each column leads to. A state is the start of its
    /// row, so that the next step is one addition and one look-up.
    targets: Vec<u32>,
    /// The first state in which an anchor ends; all after it are such states.
    found: u32,
    /// What the anchors that end in each state mean.
    meanings: Vec<Candidates>,
    /// The tokens whose prefix ends in each state, as indexes in [`TOKENS`].
    tokens: Vec<Vec<u16>>,
    beginnings: Beginnings,
}

/// A table of hashes with a bit for the first three bytes of each anchor. It tells where an anchor may begin.
///
/// Most texts have no such place, and need no automaton. The automaton is slower, because each of its steps waits for the one
/// before. Anchors of one byte are not in the table: [`class::ANCHOR`] tells of them.
struct Beginnings(Box<[u64; 1 << (BEGINNINGS - 6)]>);

/// The logarithm of the number of bits of [`Beginnings`].
const BEGINNINGS: u32 = 15;

impl Default for Beginnings {
    fn default() -> Self {
        Self(Box::new([0; 1 << (BEGINNINGS - 6)]))
    }
}

impl Beginnings {
    /// Adds an anchor. Returns `None` if it is too short.
    fn add(&mut self, anchor: &[u8]) -> Option<()> {
        match anchor {
            [one] if classes(&[*one]) & class::ANCHOR != 0 => {}
            [one, two] => (0..=u8::MAX).for_each(|three| self.set([*one, *two, three, 0])),
            [one, two, three, ..] => self.set([*one, *two, *three, 0]),
            _ => return None,
        }
        Some(())
    }

    fn set(&mut self, beginning: [u8; 4]) {
        let at = Self::hash(beginning);
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    /// Whether an anchor may begin with these bytes. The fourth does not count.
    #[inline]
    fn has(&self, beginning: [u8; 4]) -> bool {
        let at = Self::hash(beginning);
        self.0.get(at / 64).is_none_or(|word| word & 1 << (at % 64) != 0)
    }

    /// The index of the first place in a text where an anchor of more than one byte may begin.
    #[inline]
    fn first_in(&self, text: &[u8]) -> Option<usize> {
        let found = text.array_windows().position(|beginning| self.has(*beginning));
        found.or_else(|| {
            // The last three bytes, and the last two, may be an anchor too.
            let three = text.last_chunk().filter(|[one, two, three]| self.has([*one, *two, *three, 0]));
            let two = text.last_chunk().filter(|[one, two]| self.has([*one, *two, 0, 0]));
            three.map(|_| text.len() - 3).or_else(|| two.map(|_| text.len() - 2))
        })
    }

    /// Whether an anchor of more than one byte may begin at `start`.
    #[inline]
    fn is_at(&self, text: &[u8], start: usize) -> bool {
        match text.get(start..).unwrap_or_default() {
            [one, two, three, ..] => self.has([*one, *two, *three, 0]),
            [one, two] => self.has([*one, *two, 0, 0]),
            [_] | [] => false,
        }
    }

    /// The same for small and capital letters, and whatever the fourth byte is.
    #[inline]
    fn hash(beginning: [u8; 4]) -> usize {
        // The product has no bit of the fourth byte.
        const MULTIPLIER: u32 = 0x0037_79b9 << 8;
        let folded = u32::from_le_bytes(beginning) | 0x2020_2020;
        (folded.wrapping_mul(MULTIPLIER) >> (u32::BITS - BEGINNINGS)) as usize
    }
}

/// The most different bytes of all anchors, and one.
const WIDTH: usize = 64;

/// The scanner; `None` if there are too many anchors.
static SCANNER: LazyLock<Option<Scanner>> = LazyLock::new(Scanner::new);

impl Scanner {
    fn new() -> Option<Self> {
        let mut new = Tree { columns: [0; 256], ..Tree::default() };
        new.add_state();
        for (index, token) in TOKENS.iter().enumerate() {
            let state = new.add(token.prefix, Candidates::TOKEN)?;
            new.tokens.get_mut(state)?.push(u16::try_from(index).ok()?);
        }
        for word in NAME_WORDS {
            new.add(word, Candidates::PAIR.with(Candidates::COMMAND))?;
        }
        for anchor in command::anchors() {
            new.add(anchor, Candidates::COMMAND)?;
        }
        for anchor in encoded::ANCHORS {
            new.add(anchor, Candidates::ENCODED)?;
        }
        for anchor in userinfo::ANCHORS {
            new.add(anchor, Candidates::USERINFO)?;
        }
        for (index, pattern) in PATTERNS.iter().enumerate() {
            for anchor in pattern.anchors {
                new.add(anchor, Candidates::pattern(index))?;
            }
        }
        new.link()?;
        new.table()
    }

    /// The shapes that the anchors in a text announce. `classes` are the classes of its bytes.
    fn meanings(&self, text: &[u8], classes: u8) -> Candidates {
        if classes & class::SEPARATOR == 0 {
            return self.meanings_of_words(text);
        }
        let (mut all, mut read) = (Candidates::NONE, 0);
        while let Some(rest) = text.get(read..) {
            let start = if classes & class::ANCHOR != 0 { Some(0) } else { self.beginnings.first_in(rest) };
            let Some(start) = start else { break };
            let (found, end) = self.run(text, read + start);
            (all, read) = (all.with(found), end);
        }
        all
    }

    /// [`Self::meanings`] of a text without separators: no anchor that begins within a word is part of a shape in it.
    ///
    /// Tokens, and JSON in base64, begin where a word does. What else is a shape without separators has an anchor that begins
    /// with a mark; tests demand it of the patterns. The other shapes have separators in them.
    fn meanings_of_words(&self, text: &[u8]) -> Candidates {
        let (mut all, mut read) = (Candidates::NONE, 0);
        let (chunks, rest) = text.as_chunks::<CHUNK>();
        let mut last = [0; CHUNK];
        last.iter_mut().zip(rest).for_each(|(slot, byte)| *slot = *byte);
        let mut is_in_word = 0;
        for (chunk, at) in chunks.iter().chain([&last]).zip((0..).step_by(CHUNK)) {
            let words = letters_and_digits(u8x16::new(*chunk)).to_bitmask();
            let mut starts = !(words & (words << 1 | is_in_word)) & u32::from(u16::MAX);
            is_in_word = words >> (CHUNK - 1);
            if text.len() - at < CHUNK {
                starts &= (1 << (text.len() - at)) - 1;
            }
            while starts != 0 {
                let start = at + starts.trailing_zeros() as usize;
                starts &= starts - 1;
                if start >= read && self.beginnings.is_at(text, start) {
                    let (found, end) = self.run(text, start);
                    (all, read) = (all.with(found), end);
                }
            }
        }
        all
    }

    /// Runs the automaton from `start` until no anchor can go on. Returns what was found, and where it ends: nothing before
    /// that place is to be read again.
    fn run(&self, text: &[u8], start: usize) -> (Candidates, usize) {
        let (mut all, mut state) = (Candidates::NONE, 0);
        let behind = text.get(start..).unwrap_or_default();
        let read = behind.iter().position(|byte| {
            state = self.next(state, *byte);
            if state >= self.found {
                all = all.with(self.meanings.get(state as usize / WIDTH).copied().unwrap_or(Candidates::ALL));
            }
            state == 0
        });
        // Past the end, if the text ended first.
        (all, start + read.unwrap_or(behind.len()) + 1)
    }

    /// The state after a byte.
    #[inline(always)]
    fn next(&self, state: u32, byte: u8) -> u32 {
        let column = self.columns.get(usize::from(byte)).copied().unwrap_or_default();
        self.targets.get(state as usize + usize::from(column)).copied().unwrap_or_default()
    }
}

/// The automaton as it is built: states by their numbers, from the first.
struct Tree {
    beginnings: Beginnings,
    columns: [u8; 256],
    rows: Vec<[u16; WIDTH]>,
    meanings: Vec<Candidates>,
    tokens: Vec<Vec<u16>>,
}

impl Default for Tree {
    fn default() -> Self {
        let (rows, meanings, tokens) = Default::default();
        Self { beginnings: Beginnings::default(), columns: [0; 256], rows, meanings, tokens }
    }
}

impl Tree {
    fn add_state(&mut self) -> usize {
        self.rows.push([0; WIDTH]);
        self.meanings.push(Candidates::NONE);
        self.tokens.push(Vec::new());
        self.rows.len() - 1
    }

    /// Adds the states of an anchor to the tree of all anchors. Returns the last one.
    fn add(&mut self, anchor: &str, meaning: Candidates) -> Option<usize> {
        self.beginnings.add(anchor.as_bytes())?;
        let mut state = 0;
        for byte in anchor.bytes() {
            let column = self.column(byte)?;
            let next = *self.rows.get(state)?.get(column)?;
            state = match next {
                0 => {
                    let new = self.add_state();
                    let id = u16::try_from(new).ok()?;
                    *self.rows.get_mut(state)?.get_mut(column)? = id;
                    new
                }
                known => usize::from(known),
            };
        }
        let known = self.meanings.get_mut(state)?;
        *known = known.with(meaning);
        Some(state)
    }

    /// The column of a byte of an anchor, which gets one if it has none.
    fn column(&mut self, byte: u8) -> Option<usize> {
        let known = usize::from(*self.columns.get(usize::from(byte))?);
        if known != 0 {
            return Some(known);
        }
        let next = self.columns.iter().max()?.checked_add(1).filter(|next| usize::from(*next) < WIDTH)?;
        for case in [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()] {
            *self.columns.get_mut(usize::from(case))? = next;
        }
        Some(usize::from(next))
    }

    /// Makes the tree an automaton: where an anchor does not go on, another that began later may.
    fn link(&mut self) -> Option<()> {
        let mut fallbacks = vec![0; self.rows.len()];
        let mut queue = VecDeque::from([0_usize]);
        while let Some(state) = queue.pop_front() {
            let fallback: usize = *fallbacks.get(state)?;
            let meaning = self.meanings.get(state)?.with(*self.meanings.get(fallback)?);
            *self.meanings.get_mut(state)? = meaning;
            if fallback != state {
                let inherited = self.tokens.get(fallback)?.clone();
                self.tokens.get_mut(state)?.extend(inherited);
            }
            let otherwise = *self.rows.get(fallback)?;
            for (target, other) in self.rows.get_mut(state)?.iter_mut().zip(otherwise) {
                match *target {
                    0 => *target = other,
                    child => {
                        queue.push_back(usize::from(child));
                        *fallbacks.get_mut(usize::from(child))? = if state == 0 { 0 } else { usize::from(other) };
                    }
                }
            }
        }
        Some(())
    }

    /// The table, with the states last in which an anchor ends.
    fn table(self) -> Option<Scanner> {
        let is_found = |state: &usize| self.meanings.get(*state).is_some_and(|meaning| *meaning != Candidates::NONE);
        let states = 0..self.rows.len();
        let (found, others): (Vec<usize>, Vec<usize>) = states.partition(is_found);
        let first = u32::try_from(others.len() * WIDTH).ok()?;
        let order = [others, found].concat();
        let mut starts = vec![0_u32; order.len()];
        for (place, state) in order.iter().enumerate() {
            *starts.get_mut(*state)? = u32::try_from(place * WIDTH).ok()?;
        }
        let mut targets = Vec::with_capacity(order.len() * WIDTH);
        for state in &order {
            for target in self.rows.get(*state)? {
                targets.push(*starts.get(usize::from(*target))?);
            }
        }
        let meanings = order.iter().map(|state| self.meanings.get(*state).copied()).collect::<Option<_>>()?;
        let tokens = order.iter().map(|state| self.tokens.get(*state).cloned()).collect::<Option<_>>()?;
        let (columns, beginnings) = (self.columns, self.beginnings);
        Some(Scanner { columns, targets, found: first, meanings, tokens, beginnings })
    }
}

/// What the bytes of a text tell about it.
mod class {
    /// A byte that is neither a letter, a digit nor a mark within words.
    pub(super) const SEPARATOR: u8 = 1;
    /// A capital letter, or a mark within words: `_`, `-`, `.` and `/`.
    pub(super) const MARK: u8 = 1 << 1;
    /// A byte that numbers, dates and times do not have.
    pub(super) const WORD: u8 = 1 << 2;
    /// A byte that is an anchor by itself.
    pub(super) const ANCHOR: u8 = 1 << 3;
}

/// The class of each byte.
static CLASSES: [u8; 256] = {
    let mut classes = [class::SEPARATOR | class::WORD; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(clippy::indexing_slicing, reason = "every byte is an index, and this runs in the compiler")]
        match byte {
            b'0'..=b'9' => classes[byte as usize] = 0,
            b'a'..=b'z' => classes[byte as usize] = class::WORD,
            b'-' | b'.' | b'T' | b'Z' => classes[byte as usize] = class::MARK,
            b':' | b'+' => classes[byte as usize] = class::SEPARATOR,
            b'A'..=b'Z' | b'_' | b'/' => classes[byte as usize] = class::MARK | class::WORD,
            b'@' | b'*' | b'|' => classes[byte as usize] = class::SEPARATOR | class::WORD | class::ANCHOR,
            _ => {}
        }
        match byte.checked_add(1) {
            Some(next) => byte = next,
            None => break classes,
        }
    }
};

/// The classes of all bytes of a text together.
#[inline]
fn classes(text: &[u8]) -> u8 {
    plain_classes(text).unwrap_or_else(|| any_classes(text))
}

/// [`classes`] of a text that is long enough and has nothing but small letters and digits, sixteen bytes at a time.
#[inline]
fn plain_classes(text: &[u8]) -> Option<u8> {
    let small = |chunk: &[u8; CHUNK]| within(u8x16::new(*chunk), b'a', b'z');
    let is_plain = |chunk: &[u8; CHUNK]| {
        let plain = small(chunk) | within(u8x16::new(*chunk), b'0', b'9');
        plain.to_bitmask() == u32::from(u16::MAX)
    };
    let last = text.last_chunk()?;
    let (chunks, _) = text.as_chunks();
    if !is_plain(last) || !chunks.iter().all(is_plain) {
        return None;
    }
    let has_letter = chunks.iter().chain([last]).any(|chunk| small(chunk).to_bitmask() != 0);
    Some(if has_letter { class::WORD } else { 0 })
}

/// [`classes`] of any text, by a table.
fn any_classes(text: &[u8]) -> u8 {
    let of = |byte: &u8| CLASSES.get(usize::from(*byte)).copied().unwrap_or(u8::MAX);
    let eight = |[a, b, c, d, e, f, g, h]: &[u8; 8]| of(a) | of(b) | of(c) | of(d) | of(e) | of(f) | of(g) | of(h);
    match text.last_chunk() {
        Some(last) => text.as_chunks().0.iter().fold(eight(last), |all, chunk| all | eight(chunk)),
        None => text.iter().fold(0, |all, byte| all | of(byte)),
    }
}

/// Whether a text is too short for a token and has no separator: then it has no shape of a credential.
///
/// The text is the first `length` bytes of `chunk`. If this is false, [`candidates`] decides.
#[inline]
pub(in crate::filter) fn is_short_word(chunk: &[u8; TOKEN_LEAST], length: usize) -> bool {
    if length >= TOKEN_LEAST {
        return false;
    }
    let bytes = u8x16::new(*chunk);
    let words = letters_and_digits(bytes) | within(bytes, b'-', b'/') | bytes.simd_eq(u8x16::splat(b'_'));
    // The first separator is behind the text.
    (words.to_bitmask().trailing_ones() as usize) >= length
}

/// Which bytes are letters or digits.
#[inline(always)]
fn letters_and_digits(bytes: u8x16) -> u8x16 {
    within(bytes | u8x16::splat(0x20), b'a', b'z') | within(bytes, b'0', b'9')
}

/// The characters of a digest, as `sha256:…`.
const SHA256: usize = 7 + 64;

/// The shapes that `text` can have: a superset of those it has.
#[inline]
pub(super) fn candidates(text: &[u8]) -> Candidates {
    let digest = if text.len() == SHA256 { text.strip_prefix(b"sha256:") } else { None };
    let word = digest.unwrap_or(text);
    let classes = classes(word);
    let is_clean = match classes & (class::SEPARATOR | class::MARK) {
        // A number, a date or a time.
        _ if classes & class::WORD == 0 => text.len() < pattern::DIGEST_LEAST,
        // One word of small letters and digits, or a digest: a token if it begins like one.
        0 => text.len() < TOKEN_LEAST || !PLAIN_PREFIXES.iter().any(|prefix| word.starts_with(prefix.as_bytes())),
        // Words without anything that separates them: a token if they are long enough.
        class::MARK => text.len() < TOKEN_LEAST,
        _ => false,
    };
    if is_clean { Candidates::NONE } else { with_anchors(text, classes) }
}

/// The shapes that a text can have, by the anchors in it.
fn with_anchors(text: &[u8], classes: u8) -> Candidates {
    let Some(scanner) = &*SCANNER else { return Candidates::ALL };
    let mut all = scanner.meanings(text, classes);
    // These have no anchor.
    if text.len() >= pattern::DIGEST_LEAST && classes & class::SEPARATOR != 0 && pattern::digests(text).next().is_some()
    {
        all = all.with(Candidates::DIGEST);
    }
    if encoded::is_basic(text) {
        all = all.with(Candidates::BASIC);
    }
    if text.len() >= pattern::BOT_LEAST && classes & class::MARK != 0 && pattern::bots(text).next().is_some() {
        all = all.with(Candidates::BOT);
    }
    all
}

/// Finds the tokens in a text.
pub(super) fn tokens(text: &str, spans: &mut Vec<Range<usize>>) {
    let Some(scanner) = &*SCANNER else { return spans.push(0..text.len()) };
    let (mut state, mut end) = (0, 0);
    for (at, byte) in text.bytes().enumerate() {
        state = scanner.next(state, byte);
        if state < scanner.found {
            continue;
        }
        let tokens = scanner.tokens.get(state as usize / WIDTH);
        for token in tokens.into_iter().flatten().filter_map(|index| TOKENS.get(usize::from(*index))) {
            let start = (at + 1).saturating_sub(token.prefix.len());
            if start >= end
                && let Some(found) = token::at(text, start, token)
            {
                end = found.end;
                spans.push(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_of_a_text_without_separators_begins_with_a_mark() {
        for anchor in PATTERNS.iter().flat_map(|pattern| pattern.anchors) {
            let begins_with_letter = anchor.starts_with(|first: char| first.is_ascii_alphanumeric());
            // A space is in every shape of these, or a quote.
            let words = ["password", "passwd", "passphrase", "secret", "token", "api", "login", "sudo", "identified"];
            let others = ["chpasswd", "htpasswd", "openssl", "pbkdf2_"];
            let has_separators =
                classes(anchor.as_bytes()) & class::SEPARATOR != 0 || words.contains(anchor) || others.contains(anchor);
            assert!(!begins_with_letter || has_separators, "{anchor}");
        }
        assert!(TOKENS.iter().all(|token| token.prefix.starts_with(|first: char| first.is_ascii_alphanumeric())));
    }

    #[test]
    fn every_anchor_is_found_wherever_it_stands() {
        let words = NAME_WORDS.iter().map(|word| (*word, Candidates::PAIR));
        let commands = command::anchors().map(|anchor| (anchor, Candidates::COMMAND));
        let encoded = encoded::ANCHORS.iter().map(|anchor| (*anchor, Candidates::ENCODED));
        let users = userinfo::ANCHORS.iter().map(|anchor| (*anchor, Candidates::USERINFO));
        let tokens = TOKENS.iter().map(|token| (token.prefix, Candidates::TOKEN));
        let patterns = PATTERNS.iter().enumerate();
        let patterns =
            patterns.flat_map(|(index, it)| it.anchors.iter().map(move |it| (*it, Candidates::pattern(index))));
        for (anchor, meaning) in words.chain(commands).chain(encoded).chain(users).chain(tokens).chain(patterns) {
            for written in [anchor.to_owned(), anchor.to_ascii_uppercase(), anchor.to_ascii_lowercase()] {
                for before in ["", "x", "pass to", ": : : ", "@"] {
                    for after in ["", "-", " and so on"] {
                        let text = format!("a b, {before}{written}{after}");
                        assert!(candidates(text.as_bytes()).has(meaning), "{text:?}");
                    }
                }
            }
        }
    }
}
