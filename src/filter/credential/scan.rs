//! One pass over a text that tells which shapes it can have.
//!
//! Every shape has *anchors*: texts of which one stands wherever the shape does. The pass looks for all anchors at once.

use std::ops::Range;
use std::sync::LazyLock;

use wide::u8x16;

use super::pattern::{self, PATTERNS};
use super::token::{self, PLAIN_PREFIXES, TOKENS, Token};
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
    /// The text as a whole.
    pub(super) const WHOLE: Self = Self(1 << 7);
    pub(super) const PADDED: Self = Self(1 << 8);
    pub(super) const LONG: Self = Self(1 << 9);
    /// Everything.
    pub(super) const ALL: Self = Self(u64::MAX);

    /// The pattern number `index`.
    pub(super) const fn pattern(index: usize) -> Self {
        Self(1 << (10 + index))
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

const _: () = assert!(PATTERNS.len() <= 64 - 10, "every pattern has a bit");

/// The anchors of names with values: every name that [`super::pair`] knows holds one. Of some words these are the ends, which begin
/// as fewer other words do: most texts that are shown have `con` in them, and few have `onn`.
const NAME_WORDS: &[&str] = &[
    "pass",
    "pwd",
    "psw",
    "pw",
    "ennwort",
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
    "cense",
    "cence",
    "gnature",
    "onn",
    "sas",
    "slack",
    "iscord",
    "sig",
    "code",
    "ppid",
    "ssion",
    "ssid",
    "mnemonic",
    "pepper",
    "hmac",
    "otp",
    "psk",
    "phrase",
    "_pat",
    "_pin",
    "lex",
    "snmp",
    "munity",
    "_hash",
    "pprise",
    "trrr",
    "otification",
    "rasena",
    "eslo",
    "mdp",
    "asana",
    "enha",
    "wachtwoord",
    // A short name, with what can stand behind it.
    ";p=",
    ";p:",
    ";p%",
    ";p ",
    ";p\t",
    "&p=",
    "&p:",
    "&p%",
    "&p ",
    "&p\t",
];

/// The fewest bytes of a text with a token.
pub(super) const TOKEN_LEAST: usize = 16;

/// An anchor: a text that announces some shapes.
struct Anchor {
    text: &'static str,
    meaning: Candidates,
    /// The token that begins with it.
    token: Option<&'static Token>,
    /// Of its beginning.
    hash: u16,
    /// The anchor before this one in the list of its slot, and one; zero if there is none.
    before: u16,
}

impl Anchor {
    /// Whether a text begins with it, whatever its case.
    fn begins(&self, text: &[u8]) -> bool {
        let anchor = self.text.as_bytes();
        let beginning = text.get(..anchor.len()).unwrap_or_default();
        // The first bytes, whose hash is the same, differ last.
        let differs = |(one, other): (&u8, &u8)| !one.eq_ignore_ascii_case(other);
        beginning.len() == anchor.len() && !anchor.iter().zip(beginning).rev().any(differs)
    }
}

/// Finds every anchor, whatever its case, by a hash of its first three bytes.
///
/// Our own code, because the pass needs to know where an anchor begins and what it means. Nearly every place in a text is no
/// beginning of any, which one look into a small table tells.
struct Scanner {
    anchors: Vec<Anchor>,
    /// The last anchor of each slot, and one; zero if there is none.
    slots: Box<[u16; 1 << SLOTS]>,
    beginnings: Beginnings,
    /// The anchors of one byte, which are in no slot.
    bytes: Vec<(u8, Candidates)>,
}

/// The anchors of one byte. All are separators.
const BYTES: [u8; 3] = *b"@*|";

/// The logarithm of the number of slots of [`Scanner`]: a few for each anchor.
const SLOTS: u32 = 10;

/// A table of hashes with a bit for the first three bytes of each anchor. It tells where an anchor may begin.
struct Beginnings(Box<[u64; 1 << (BEGINNINGS - 6)]>);

/// The logarithm of the number of bits of [`Beginnings`].
const BEGINNINGS: u32 = 16;

impl Beginnings {
    fn set(&mut self, beginning: [u8; 4]) {
        let at = hash(beginning);
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    /// Whether an anchor may begin with these bytes. The fourth does not count.
    #[inline]
    fn has(&self, beginning: [u8; 4]) -> bool {
        let at = hash(beginning);
        self.0.get(at / 64).is_none_or(|word| word & 1 << (at % 64) != 0)
    }
}

/// The same for small and capital letters, and whatever the fourth byte is. Below 2 to the power of [`BEGINNINGS`].
#[inline]
fn hash(beginning: [u8; 4]) -> usize {
    // The product has no bit of the fourth byte.
    const MULTIPLIER: u32 = 0x0037_79b9 << 8;
    let folded = u32::from_le_bytes(beginning) | 0x2020_2020;
    (folded.wrapping_mul(MULTIPLIER) >> (u32::BITS - BEGINNINGS)) as usize
}

/// The slot of the anchors with this hash.
fn slot(hash: usize) -> usize {
    hash >> (BEGINNINGS - SLOTS)
}

/// The last `length` bytes of an anchor, or all: what holds an anchor holds its end.
pub(super) fn end(anchor: &'static str, length: usize) -> &'static str {
    anchor.len().checked_sub(length).and_then(|from| anchor.get(from..)).unwrap_or(anchor)
}

/// The scanner; `None` if there are too many anchors.
static SCANNER: LazyLock<Option<Scanner>> = LazyLock::new(Scanner::new);

impl Scanner {
    fn new() -> Option<Self> {
        let (slots, beginnings) = (Box::new([0; 1 << SLOTS]), Beginnings(Box::new([0; 1 << (BEGINNINGS - 6)])));
        let mut new = Self { anchors: Vec::new(), slots, beginnings, bytes: Vec::new() };
        for token in TOKENS {
            new.add(token.prefix, Candidates::TOKEN, Some(token))?;
        }
        for word in NAME_WORDS {
            new.add(word, Candidates::PAIR.with(Candidates::COMMAND), None)?;
        }
        for anchor in command::anchors() {
            new.add(anchor, Candidates::COMMAND, None)?;
        }
        for anchor in encoded::ANCHORS {
            new.add(anchor, Candidates::ENCODED, None)?;
        }
        for anchor in pattern::PADDED {
            new.add(anchor, Candidates::PADDED, None)?;
        }
        for anchor in userinfo::ANCHORS {
            // Of a scheme, `//` and what stands before it are enough.
            new.add(end(anchor, 5), Candidates::USERINFO, None)?;
        }
        for (index, pattern) in PATTERNS.iter().enumerate() {
            for anchor in pattern.anchors {
                new.add(anchor, Candidates::pattern(index), None)?;
            }
        }
        Some(new)
    }

    fn add(&mut self, text: &'static str, meaning: Candidates, token: Option<&'static Token>) -> Option<()> {
        let beginning = match text.as_bytes() {
            [one] if BYTES.contains(one) => {
                self.bytes.push((*one, meaning));
                return Some(());
            }
            [one, two] => {
                // A token goes on with a character of its alphabet.
                let goes_on = |three: &u8| token.is_none_or(|token| token.has(*three));
                (0..=u8::MAX).filter(goes_on).for_each(|three| self.beginnings.set([*one, *two, three, 0]));
                [*one, *two, 0, 0]
            }
            [one, two, three, ..] => [*one, *two, *three, 0],
            [] | [_] => return None,
        };
        if token.is_none() || text.len() > 2 {
            self.beginnings.set(beginning);
        }
        let hash = hash(beginning);
        let last = self.slots.get_mut(slot(hash))?;
        self.anchors.push(Anchor { text, meaning, token, hash: u16::try_from(hash).ok()?, before: *last });
        *last = u16::try_from(self.anchors.len()).ok()?;
        Some(())
    }

    /// Calls `found` with each anchor of more than one byte that `text` begins with.
    #[inline]
    fn each_at(&self, text: &[u8], mut found: impl FnMut(&Anchor)) {
        let (two, three) = match text {
            [one, two, three, ..] => (hash([*one, *two, 0, 0]), hash([*one, *two, *three, 0])),
            [one, two] => (hash([*one, *two, 0, 0]), hash([*one, *two, 0, 0])),
            [_] | [] => return,
        };
        let mut each = |hash| {
            let mut number = self.slots.get(slot(hash)).copied().unwrap_or_default();
            while let Some(anchor) = usize::from(number).checked_sub(1).and_then(|index| self.anchors.get(index)) {
                if usize::from(anchor.hash) == hash && anchor.begins(text) {
                    found(anchor);
                }
                number = anchor.before;
            }
        };
        each(two);
        if three != two {
            each(three);
        }
    }

    /// What the anchors at `start` mean.
    #[inline(never)]
    fn meaning_at(&self, text: &[u8], start: usize) -> Candidates {
        let mut all = Candidates::NONE;
        self.each_at(text.get(start..).unwrap_or_default(), |anchor| all = all.with(anchor.meaning));
        all
    }

    /// The shapes that the anchors in a text announce.
    fn meanings(&self, text: &[u8]) -> Candidates {
        let mut all = Candidates::NONE;
        let [one, two, three] = BYTES;
        if memchr::memchr3(one, two, three, text).is_some() {
            let here = self.bytes.iter().filter(|(byte, _)| text.contains(byte));
            all = here.fold(all, |all, (_, meaning)| all.with(*meaning));
        }
        self.everywhere(text, |start| all = all.with(self.meaning_at(text, start)));
        all
    }

    /// Calls `found` with each place where an anchor of more than one byte may begin.
    #[inline]
    fn everywhere(&self, text: &[u8], mut found: impl FnMut(usize)) {
        let (mut at, mut windows) = (0, text.array_windows());
        while let Some(next) = windows.position(|window| self.beginnings.has(*window)) {
            found(at + next);
            at += next + 1;
        }
        // The last three bytes, and the last two, may be an anchor too.
        let three = text.last_chunk().filter(|[one, two, three]| self.beginnings.has([*one, *two, *three, 0]));
        let two = text.last_chunk().filter(|[one, two]| self.beginnings.has([*one, *two, 0, 0]));
        three.map(|_| text.len() - 3).into_iter().chain(two.map(|_| text.len() - 2)).for_each(found);
    }

    /// [`Self::meanings`] of a text without separators: no anchor that begins within a word is part of a shape in it.
    ///
    /// Tokens, and JSON in base64, begin where a word does. What else is a shape without separators has an anchor that begins
    /// with a mark; tests demand it of the patterns. The other shapes have separators in them.
    fn meanings_in_word(&self, text: &[u8]) -> Candidates {
        let Some(last) = text.len().checked_sub(CHUNK) else { return self.meanings(text) };
        let (mut all, mut read, mut is_in_word) = (Candidates::NONE, 0, 0);
        while read < text.len() {
            // The last sixteen bytes may be read in part.
            let at = read.min(last);
            let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk) else { break };
            let words = letters_and_digits(u8x16::new(*chunk)).to_bitmask();
            let mut starts = !(words & (words << 1 | is_in_word)) & ALL & u32::MAX << (read - at);
            is_in_word = words >> (CHUNK - 1);
            read = at + CHUNK;
            while starts != 0 {
                let start = at + starts.trailing_zeros() as usize;
                starts &= starts - 1;
                let beginning = text.get(start..).and_then(<[u8]>::first_chunk);
                if beginning.is_none_or(|beginning| self.beginnings.has(*beginning)) {
                    all = all.with(self.meaning_at(text, start));
                }
            }
        }
        all
    }
}

/// Whether a text has nothing but small letters and digits, and enough of them to look at sixteen at a time.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let is_plain = |chunk: &[u8; CHUNK]| {
        let bytes = u8x16::new(*chunk);
        (within(bytes, b'a', b'z') | within(bytes, b'0', b'9')).to_bitmask() == ALL
    };
    // Most texts that are not are told by their end.
    text.last_chunk().is_some_and(is_plain) && text.as_chunks().0.iter().all(is_plain)
}

/// Whether a text is too short for a token and has no separator: then it has no shape of a credential.
///
/// The text is the first `length` bytes of `chunk`. If this is false, [`candidates`] decides.
#[inline]
pub(in crate::filter) fn is_short_word(chunk: &[u8; TOKEN_LEAST], length: usize) -> bool {
    // The first separator is behind the text.
    length < TOKEN_LEAST && (words(chunk).trailing_ones() as usize) >= length
}

/// Whether a text has no separators.
fn is_word(text: &[u8]) -> bool {
    match text.last_chunk() {
        Some(last) => text.as_chunks().0.iter().all(|chunk| words(chunk) == ALL) && words(last) == ALL,
        None => text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(byte)),
    }
}

/// All bits of a chunk.
const ALL: u32 = (1 << CHUNK) - 1;

/// Which bytes are no separators: letters, digits, and the marks within words. A bit each.
#[inline(always)]
fn words(chunk: &[u8; CHUNK]) -> u32 {
    let bytes = u8x16::new(*chunk);
    // Dots, dashes and slashes stand before the digits.
    (letters(bytes) | within(bytes, b'-', b'9') | bytes.simd_eq(u8x16::splat(b'_'))).to_bitmask()
}

/// Which bytes are letters or digits.
#[inline(always)]
fn letters_and_digits(bytes: u8x16) -> u8x16 {
    letters(bytes) | within(bytes, b'0', b'9')
}

/// Which bytes are letters.
#[inline(always)]
fn letters(bytes: u8x16) -> u8x16 {
    within(bytes | u8x16::splat(0x20), b'a', b'z')
}

/// Whether there are only letters and digits.
#[inline]
pub(super) fn within_word(chunk: &[u8; CHUNK]) -> bool {
    letters_and_digits(u8x16::new(*chunk)).to_bitmask() == ALL
}

/// Whether a text may have 32 letters and digits in a row: those hold sixteen that are looked at together.
fn has_long_word(text: &[u8]) -> bool {
    text.as_chunks().0.iter().any(within_word)
}

/// The characters of a digest, as `sha256:…`.
const SHA256: usize = 7 + 64;

/// The shapes that `text` can have: a superset of those it has.
#[inline]
pub(super) fn candidates(text: &[u8]) -> Candidates {
    let digest = if text.len() == SHA256 { text.strip_prefix(b"sha256:") } else { None };
    let word = digest.unwrap_or(text);
    // One word of small letters and digits, or a digest: a token if it begins like one, or a user and a password in base64.
    let begins_token = || PLAIN_PREFIXES.iter().any(|prefix| word.starts_with(prefix.as_bytes()));
    if is_plain(word) && !begins_token() && !encoded::is_basic(text) {
        return Candidates::NONE;
    }
    let is_word = is_word(text);
    // A word that is too short for a token, or a number, a date or a time.
    let is_clean =
        if is_word { text.len() < TOKEN_LEAST } else { text.len() < pattern::DIGEST_LEAST && is_number(text) };
    if is_clean { Candidates::NONE } else { with_anchors(text, is_word) }
}

/// Whether a text as a whole is a credential.
pub(super) fn is_credential(text: &[u8]) -> bool {
    encoded::is_basic(text) || pattern::is_tunnel(text)
}

/// Whether a text is a number, a date or a time.
fn is_number(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'.' | b':' | b'+' | b'T' | b'Z'))
}

/// The shapes that a text can have, by the anchors in it. `is_word` says whether it has no separators.
fn with_anchors(text: &[u8], is_word: bool) -> Candidates {
    let Some(scanner) = &*SCANNER else { return Candidates::ALL };
    let mut all = if is_word { scanner.meanings_in_word(text) } else { scanner.meanings(text) };
    // These have no anchor.
    let may_have_digest = text.len() >= pattern::DIGEST_LEAST && !is_word && has_long_word(text);
    if may_have_digest && pattern::digests(text).next().is_some() {
        all = all.with(Candidates::DIGEST);
    }
    if is_credential(text) {
        all = all.with(Candidates::WHOLE);
    }
    if text.len() >= pattern::LONG_LEAST && pattern::long_words(text).next().is_some() {
        all = all.with(Candidates::LONG);
    }
    if text.len() >= pattern::BOT_LEAST && pattern::bots(text).next().is_some() {
        all = all.with(Candidates::BOT);
    }
    all
}

/// Finds the tokens in a text.
pub(super) fn tokens(text: &str, spans: &mut Vec<Range<usize>>) {
    let Some(scanner) = &*SCANNER else { return spans.push(0..text.len()) };
    let mut end = 0;
    scanner.everywhere(text.as_bytes(), |start| {
        if start < end {
            return;
        }
        scanner.each_at(text.as_bytes().get(start..).unwrap_or_default(), |anchor| {
            if let Some(found) = anchor.token.and_then(|token| token::at(text, start, token)) {
                end = end.max(found.end);
                spans.push(found);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All anchors, with what each means.
    fn anchors() -> impl Iterator<Item = (&'static str, Candidates)> {
        let words = NAME_WORDS.iter().map(|word| (*word, Candidates::PAIR));
        let commands = command::anchors().map(|anchor| (anchor, Candidates::COMMAND));
        let encoded = encoded::ANCHORS.iter().map(|anchor| (*anchor, Candidates::ENCODED));
        let users = userinfo::ANCHORS.iter().map(|anchor| (*anchor, Candidates::USERINFO));
        let padded = pattern::PADDED.iter().map(|anchor| (*anchor, Candidates::PADDED));
        let tokens = TOKENS.iter().map(|token| (token.prefix, Candidates::TOKEN));
        let patterns = PATTERNS.iter().enumerate();
        let patterns =
            patterns.flat_map(|(index, it)| it.anchors.iter().map(move |it| (*it, Candidates::pattern(index))));
        words.chain(commands).chain(encoded).chain(users).chain(padded).chain(tokens).chain(patterns)
    }

    #[test]
    fn an_anchor_of_a_text_without_separators_begins_with_a_mark() {
        for anchor in PATTERNS.iter().flat_map(|pattern| pattern.anchors) {
            let begins_with_letter = anchor.starts_with(|first: char| first.is_ascii_alphanumeric());
            // A space is in every shape of these, or a quote.
            let words = ["password", "passwd", "passphrase", "secret", "token", "api", "login", "sudo", "identified"];
            let others = ["chpasswd", "htpasswd", "openssl", "pbkdf2_", "requestheader", "set-header", "add-header"];
            let headers = ["set_header", "add_header", "header_up", "header_down", "gi_param"];
            let has_separators = !is_word(anchor.as_bytes())
                || words.contains(anchor)
                || others.contains(anchor)
                || headers.contains(anchor);
            assert!(!begins_with_letter || has_separators, "{anchor}");
        }
        assert!(TOKENS.iter().all(|token| token.prefix.starts_with(|first: char| first.is_ascii_alphanumeric())));
    }

    #[test]
    fn an_anchor_of_one_byte_is_a_separator() {
        assert!(BYTES.iter().all(|byte| !is_word(&[*byte])));
    }

    #[test]
    fn every_program_has_an_anchor_in_its_name_or_subcommand() {
        assert!(command::tests::programs().all(|name| command::anchors().any(|anchor| name.contains(anchor))));
    }

    #[test]
    fn every_anchor_is_found_wherever_it_stands() {
        assert!(SCANNER.is_some());
        for (anchor, meaning) in anchors() {
            for written in [anchor.to_owned(), anchor.to_ascii_uppercase(), anchor.to_ascii_lowercase()] {
                // A token of which two characters are known goes on.
                let goes_on = if meaning == Candidates::TOKEN && anchor.len() == 2 { "a" } else { "" };
                for before in ["", "x", "pass to", ": : : ", "@"] {
                    for after in ["", "-", " and so on"].map(|after| format!("{goes_on}{after}")) {
                        let text = format!("a b, {before}{written}{after}");
                        assert!(candidates(text.as_bytes()).has(meaning), "{text:?}");
                    }
                }
            }
        }
    }
}
