//! Known texts of which a part is always the same: what may be said of a text that is hidden.
//!
//! A pattern such as `port {} is already in use` is a text with holes. What is said of a text that matches it is written
//! beside it and never taken from the text. Two patterns that one text could match must say the same; otherwise the start or
//! the end of a hidden value could choose between them. The work for a text is bounded by the length of the patterns and of
//! a word, whatever the length of the text.
//!
//! There are two kinds of holes:
//!
//! - `{}` is anything. Only what comes before the first one and behind the last one decides whether a text matches, so what is
//!   in it cannot change what is said. A pattern must not begin with it.
//! - `{word}` is one word: what has no space and no quote in it, such as the name of a container. All of the text around words
//!   decides. So it may stand anywhere, where whoever writes the text puts nothing but a word there. Behind words, one `{}` may
//!   end the pattern.

use std::fmt;

use crate::packed::{Packer, Unpacker};

/// What stands for a variable part of a pattern.
const HOLE: &str = "{}";
/// What stands for a variable part of a pattern that is one word.
const WORD: &str = "{word}";
/// The longest word, in bytes.
const LONGEST_WORD: usize = 1024;
/// How many bytes must come before the first hole: a text is known by its start.
const SHORTEST_START: usize = 4;

/// A table of patterns, of which no two contradict each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Phrases(Vec<Phrase>);

/// A pattern and what is said of the texts that match it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    form: PhraseForm,
    says: String,
}

/// What a text must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PhraseForm {
    /// It is this text.
    Whole(String),
    /// It has this start and this end.
    Around(String, String),
    /// It has these texts, with a word between any two of them. If it is `open`, anything may follow the last one.
    Words { texts: Vec<String>, open: bool },
}

/// The kinds of forms in a packed table.
const WHOLE: u32 = 0;
const AROUND: u32 = 1;
const WORDS: u32 = 2;
const OPEN_WORDS: u32 = 3;

/// Why a pattern cannot be in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhraseError {
    /// It has a hole at or near its start.
    Start,
    /// It is not certain where a word in it ends, or a hole for anything comes before one.
    Word,
    /// What is said has a hole, or is empty.
    Says,
    /// A text could match both this pattern and an earlier one, of which something else is said.
    Contradiction {
        /// What is said of the earlier pattern.
        other: String,
    },
}

impl fmt::Display for PhraseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => write!(f, "a pattern needs {SHORTEST_START} characters before its first {HOLE}"),
            Self::Word => {
                write!(f, "behind {WORD} comes a space, a quote, `: ` or the end, and {HOLE} only at the end")
            }
            Self::Says => write!(f, "what is said must be a text without {HOLE}"),
            Self::Contradiction { other } => write!(f, "a text could match this and a pattern that says {other:?}"),
        }
    }
}

impl std::error::Error for PhraseError {}

impl Phrase {
    /// A pattern, and what is said of the texts that match it.
    ///
    /// # Errors
    /// [`PhraseError::Start`], [`PhraseError::Word`], [`PhraseError::Says`].
    pub fn new(pattern: &str, says: &str) -> Result<Self, PhraseError> {
        if says.trim().is_empty() || [HOLE, WORD].iter().any(|hole| says.contains(hole)) {
            return Err(PhraseError::Says);
        }
        Ok(Self { form: PhraseForm::of(pattern)?, says: says.to_owned() })
    }

    /// Whether one text could match both. May be true although none does.
    fn overlaps(&self, other: &Self) -> bool {
        match (&self.form, &other.form) {
            (PhraseForm::Whole(text), form) | (form, PhraseForm::Whole(text)) => form.matches(text),
            (one, two) => one.may_meet(two),
        }
    }
}

impl PhraseForm {
    fn of(pattern: &str) -> Result<Self, PhraseError> {
        if pattern.contains(WORD) {
            return Self::of_words(pattern);
        }
        let start = pattern.split(HOLE).next().unwrap_or_default().to_owned();
        if start.len() < SHORTEST_START {
            return Err(PhraseError::Start);
        }
        Ok(match pattern.rsplit_once(HOLE) {
            Some((_, end)) => Self::Around(start, end.to_owned()),
            None => Self::Whole(start),
        })
    }

    fn of_words(pattern: &str) -> Result<Self, PhraseError> {
        let (pattern, open) = pattern.strip_suffix(HOLE).map_or((pattern, false), |shorter| (shorter, true));
        let texts: Vec<String> = pattern.split(WORD).map(str::to_owned).collect();
        let is_certain = |text: &String| text.starts_with(ends_word) || text.starts_with(": ");
        let (inner, last) = (texts.iter().skip(1).rev().skip(1), texts.last());
        let is_last = last.is_some_and(|last| is_certain(last) || (last.is_empty() && !open));
        if pattern.contains(HOLE) || !inner.into_iter().all(is_certain) || !is_last {
            return Err(PhraseError::Word);
        }
        // A pattern of words needs a text by which it is known, too.
        if texts.iter().map(String::len).max().unwrap_or_default() < SHORTEST_START {
            return Err(PhraseError::Start);
        }
        Ok(Self::Words { texts, open })
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Whole(whole) => text == whole,
            Self::Around(start, end) => {
                text.strip_prefix(start.as_str()).is_some_and(|rest| rest.ends_with(end.as_str()))
            }
            Self::Words { texts, open } => {
                let Some((first, others)) = texts.split_first() else { return false };
                let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
                for next in others {
                    match behind_word(rest, next).and_then(|rest| rest.strip_prefix(next.as_str())) {
                        Some(behind) => rest = behind,
                        None => return false,
                    }
                }
                *open || rest.is_empty()
            }
        }
    }

    /// Whether a text could have both forms.
    fn may_meet(&self, other: &Self) -> bool {
        let ((start, end), (other_start, other_end)) = (self.borders(), other.borders());
        let starts = start.starts_with(other_start) || other_start.starts_with(start);
        let ends = end.ends_with(other_end) || other_end.ends_with(end);
        // Nearly all patterns differ there.
        starts && ends && self.may_meet_between(other)
    }

    /// What all texts of this form begin and end with.
    fn borders(&self) -> (&str, &str) {
        match self {
            Self::Whole(text) => (text, text),
            Self::Around(start, end) => (start, end),
            Self::Words { texts, open } => {
                let end = texts.last().filter(|_| !open).map_or("", String::as_str);
                (texts.first().map_or("", String::as_str), end)
            }
        }
    }

    /// As [`PhraseForm::may_meet`], piece by piece.
    fn may_meet_between(&self, other: &Self) -> bool {
        let (one, two) = (self.pieces(), other.pieces());
        let (rows, columns) = (one.len() + 1, two.len() + 1);
        // Whether what is left of both could be the same text, from the ends.
        let mut meets = vec![false; rows * columns];
        for (row, column) in (0..rows).rev().flat_map(|row| (0..columns).rev().map(move |column| (row, column))) {
            let at = |row: usize, column: usize| meets.get(row * columns + column).copied().unwrap_or_default();
            let found = match (one.get(row), two.get(column)) {
                (None, None) => true,
                (Some(PhrasePiece::Byte(a)), Some(PhrasePiece::Byte(b))) => a == b && at(row + 1, column + 1),
                (Some(hole @ (PhrasePiece::Word | PhrasePiece::Any)), Some(piece)) => {
                    at(row + 1, column)
                        || (hole.may_hold(*piece) && at(row, column + 1))
                        || (matches!(piece, PhrasePiece::Word | PhrasePiece::Any) && at(row, column + 1))
                }
                (Some(piece), Some(hole @ (PhrasePiece::Word | PhrasePiece::Any))) => {
                    at(row, column + 1) || (hole.may_hold(*piece) && at(row + 1, column))
                }
                (Some(PhrasePiece::Word | PhrasePiece::Any), None) => at(row + 1, column),
                (None, Some(PhrasePiece::Word | PhrasePiece::Any)) => at(row, column + 1),
                (Some(PhrasePiece::Byte(_)), None) | (None, Some(PhrasePiece::Byte(_))) => false,
            };
            if let Some(cell) = meets.get_mut(row * columns + column) {
                *cell = found;
            }
        }
        meets.first().copied().unwrap_or(true)
    }

    /// The form as bytes and holes.
    fn pieces(&self) -> Vec<PhrasePiece> {
        let bytes = |text: &str| text.bytes().map(PhrasePiece::Byte).collect::<Vec<_>>();
        match self {
            Self::Whole(text) => bytes(text),
            Self::Around(start, end) => [bytes(start), vec![PhrasePiece::Any], bytes(end)].concat(),
            Self::Words { texts, open } => {
                let mut pieces = Vec::new();
                for (number, text) in texts.iter().enumerate() {
                    pieces.extend((number > 0).then_some(PhrasePiece::Word));
                    pieces.extend(bytes(text));
                }
                pieces.extend(open.then_some(PhrasePiece::Any));
                pieces
            }
        }
    }
}

/// One byte of a form, or a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PhrasePiece {
    Byte(u8),
    Word,
    Any,
}

impl PhrasePiece {
    /// Whether a hole may hold this piece.
    fn may_hold(self, piece: Self) -> bool {
        match (self, piece) {
            (Self::Byte(_), _) => false,
            (Self::Any, _) | (Self::Word, Self::Word | Self::Any) => true,
            (Self::Word, Self::Byte(byte)) => !byte.is_ascii() || !ends_word(char::from(byte)),
        }
    }
}

/// Whether a word ends before this character.
fn ends_word(character: char) -> bool {
    character.is_whitespace() || matches!(character, '"' | '\'' | '`')
}

/// What is behind the word at the start of `text`, which `next` follows. `None` if there is no such word.
fn behind_word<'t>(text: &'t str, next: &str) -> Option<&'t str> {
    let end = text.char_indices().take(LONGEST_WORD + 1).find(|(_, c)| ends_word(*c)).map(|(at, _)| at);
    let end = end.or_else(|| Some(text.len()).filter(|length| *length <= LONGEST_WORD))?;
    let end = if next.starts_with(':') { end.checked_sub(1)? } else { end };
    text.split_at_checked(end).filter(|(word, _)| !word.is_empty()).map(|(_, behind)| behind)
}

impl Phrases {
    /// A table without patterns.
    pub const NONE: Self = Self(Vec::new());

    /// Adds a pattern.
    ///
    /// # Errors
    /// [`PhraseError::Contradiction`]; it is not added.
    pub fn add(&mut self, phrase: Phrase) -> Result<(), PhraseError> {
        if let Some(other) = self.0.iter().find(|known| known.says != phrase.says && known.overlaps(&phrase)) {
            return Err(PhraseError::Contradiction { other: other.says.clone() });
        }
        self.0.push(phrase);
        Ok(())
    }

    /// What is said of a text. `None` if it is unknown.
    pub fn say(&self, text: &str) -> Option<&str> {
        self.0.iter().find(|phrase| phrase.form.matches(text)).map(|phrase| phrase.says.as_str())
    }

    /// Writes the table in compact form.
    pub fn pack(&self, packer: &mut Packer) {
        packer.list(self.0.iter(), |packer, phrase| {
            packer.text(&phrase.says);
            let (kind, texts) = match &phrase.form {
                PhraseForm::Whole(text) => (WHOLE, vec![text]),
                PhraseForm::Around(start, end) => (AROUND, vec![start, end]),
                PhraseForm::Words { texts, open } => (if *open { OPEN_WORDS } else { WORDS }, texts.iter().collect()),
            };
            packer.number(kind);
            packer.list(texts.into_iter(), |packer, text| packer.text(text));
        });
    }

    /// Reads a table that was packed. Nothing is checked again.
    pub fn unpack(packed: &mut Unpacker<'_>) -> Option<Self> {
        let phrase = |packed: &mut Unpacker<'_>| {
            let says = packed.text()?.to_owned();
            let kind = packed.number()?;
            let texts = packed.list(|packed| packed.text().map(str::to_owned))?;
            let form = match (kind, <[String; 1]>::try_from(texts)) {
                (WHOLE, Ok([text])) => PhraseForm::Whole(text),
                (AROUND, Err(texts)) => {
                    let [start, end] = texts.try_into().ok()?;
                    PhraseForm::Around(start, end)
                }
                (WORDS | OPEN_WORDS, Err(texts)) => PhraseForm::Words { texts, open: kind == OPEN_WORDS },
                _ => return None,
            };
            Some(Phrase { form, says })
        };
        packed.list(phrase).map(Self)
    }

    /// The number of patterns.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of patterns, each with what is said.
    fn table(patterns: &[(&str, &str)]) -> Result<Phrases, PhraseError> {
        let mut phrases = Phrases::default();
        for (pattern, says) in patterns {
            phrases.add(Phrase::new(pattern, says)?)?;
        }
        Ok(phrases)
    }

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(table(&[(pattern, "known")]).unwrap().say(text).is_some(), expected, "{pattern} {text}");
    }

    #[track_caller]
    fn check_error(patterns: &[(&str, &str)], expected: &PhraseError) {
        assert_eq!(table(patterns).as_ref(), Err(expected), "{patterns:?}");
    }

    #[test]
    fn a_pattern_matches_from_the_first_byte_to_the_last() {
        check("no such thing: {}", "no such thing: a", true);
        check("no such thing: {}", "no such thing: ", true);
        check("no such thing: {}", "no such thing:", false);
        check("no such thing: {}", "x no such thing: a", false);
        check("no such thing: {}", "No such thing: a", false);
        check("thing {} is gone", "thing a is gone", true);
        check("thing {} is gone", "thing a is gone: b", false);
        check("thing {} is gone", "thing  is gone", true);
        // The start and the end must not share a byte.
        check("thing {} is gone", "thing is gone", false);
        check("thing is gone", "thing is gone", true);
        check("thing is gone", "thing is gone.", false);
    }

    #[test]
    fn what_is_in_the_holes_does_not_matter() {
        let phrases =
            table(&[("thing {} meets {} at {} o'clock", "things meet"), ("thing {} is gone", "gone")]).unwrap();
        for hole in ["", "a", "\n", "{}", "thing x is gone", " is gone", "meets", &"é".repeat(100_000)] {
            assert_eq!(phrases.say(&format!("thing {hole} meets {hole} at {hole} o'clock")), Some("things meet"));
            assert_eq!(phrases.say(&format!("thing {hole} is gone")), Some("gone"));
        }
    }

    #[test]
    fn patterns_that_one_text_could_match_say_the_same() {
        let other = || PhraseError::Contradiction { other: "one".to_owned() };
        check_error(&[("thing {}", "one"), ("thing {} is gone", "two")], &other());
        check_error(&[("thing a is gone", "one"), ("thing {} is gone", "two")], &other());
        check_error(&[("thing {} is gone", "one"), ("thing a is gone", "two")], &other());
        check_error(&[("thing {} gone", "one"), ("thing called {} is gone", "two")], &other());
        check_error(&[("thing a", "one"), ("thing a", "two")], &other());
        assert!(table(&[("thing {}", "one"), ("thing {} is gone", "one")]).is_ok());
        assert!(table(&[("thing {} is gone", "one"), ("thing {} is here", "two")]).is_ok());
        assert!(table(&[("things: {}", "one"), ("thing: {}", "two")]).is_ok());
    }

    #[test]
    fn a_word_has_no_space_and_no_quote() {
        check("{word} is gone", "a is gone", true);
        check("{word} is gone", "a.b-c/d:1@é is gone", true);
        for other in
            ["a b is gone", " is gone", "a is gone: b", "a  is gone", "a\" is gone", "a\nis gone", "\u{a0} is gone"]
        {
            check("{word} is gone", other, false);
        }
        check("\"{word}\" is gone", "\"a\" is gone", true);
        check("\"{word}\" is gone", "\"a\"b\" is gone", false);
        check("thing {word}: {word}: no", "thing a: b:1: no", true);
        check("thing {word}: {word}: no", "thing a b: no", false);
        check("thing {word}: {}", "thing a: b c", true);
        check("thing {word}: {}", "thing a:b c", false);
        check("thing {word}", "thing a", true);
        check("thing {word}", "thing a b", false);
        check("{word} is gone", &format!("{} is gone", "a".repeat(LONGEST_WORD)), true);
        check("{word} is gone", &format!("{} is gone", "a".repeat(LONGEST_WORD + 1)), false);
    }

    #[test]
    fn patterns_with_words_that_one_text_could_match_say_the_same() {
        for (one, two) in [
            ("{word} is gone", "{word} is {word}"),
            ("{word} is gone", "thing is gone"),
            ("{word} is gone", "things{}"),
            ("thing {word} is gone", "thing {}"),
            ("thing {word}: {}", "thing a: {} gone"),
        ] {
            for pair in [[(one, "one"), (two, "two")], [(two, "one"), (one, "two")]] {
                check_error(&pair, &PhraseError::Contradiction { other: "one".to_owned() });
            }
        }
        for (one, two) in [
            ("{word} is gone", "no such thing: {}"),
            ("{word} is gone", "{word} is here"),
            ("thing {word} is gone", "thing {} is here"),
            ("thing {word} is gone", "thing a b {}"),
            ("\"{word}\" is gone", "{word} is gone"),
        ] {
            assert!(table(&[(one, "one"), (two, "two")]).is_ok(), "{one} {two}");
        }
    }

    #[test]
    fn it_is_certain_where_a_word_ends() {
        for pattern in
            ["{word}s is gone", "{word}{word} is gone", "{word}:is gone", "{} of {word} is gone", "thing {word}{}"]
        {
            check_error(&[(pattern, "gone")], &PhraseError::Word);
        }
        check_error(&[("{word} a", "gone")], &PhraseError::Start);
        check_error(&[("{word} is gone", "{word} is gone")], &PhraseError::Says);
    }

    #[test]
    fn a_pattern_begins_with_constant_text_and_what_is_said_has_no_hole() {
        check_error(&[("{} is gone", "gone")], &PhraseError::Start);
        check_error(&[("a {} is gone", "gone")], &PhraseError::Start);
        check_error(&[("thing {} is gone", "{} is gone")], &PhraseError::Says);
        check_error(&[("thing {} is gone", " ")], &PhraseError::Says);
    }
}
