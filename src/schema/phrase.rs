//! Known texts of which a part is always the same: what may be said of a text that is hidden.
//!
//! A pattern such as `port {} is already in use` is a text with holes. What is said of a text that matches it is written
//! beside it and never taken from the text. Only what comes before the first hole and behind the last one decides whether a
//! text matches, so what is in a hole cannot change it. Two patterns that one text could match must say the same; otherwise
//! the start or the end of a hidden value could choose between them. The work for a text is bounded by the length of the
//! patterns, whatever the length of the text.

use std::fmt;

/// What stands for a variable part of a pattern.
const HOLE: &str = "{}";
/// How many bytes must come before the first hole: a text is known by its start.
const SHORTEST_START: usize = 4;

/// A table of patterns, of which no two contradict each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Phrases(Vec<Phrase>);

/// A pattern and what is said of the texts that match it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    start: String,
    /// `None` if the pattern has no hole.
    end: Option<String>,
    says: String,
}

/// Why a pattern cannot be in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhraseError {
    /// It has a hole at or near its start.
    Start,
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
    /// [`PhraseError::Start`], [`PhraseError::Says`].
    pub fn new(pattern: &str, says: &str) -> Result<Self, PhraseError> {
        if says.trim().is_empty() || says.contains(HOLE) {
            return Err(PhraseError::Says);
        }
        let start = pattern.split(HOLE).next().unwrap_or_default();
        let end = pattern.rsplit_once(HOLE).map(|(_, end)| end.to_owned());
        if start.len() < SHORTEST_START {
            return Err(PhraseError::Start);
        }
        Ok(Self { start: start.to_owned(), end, says: says.to_owned() })
    }

    fn matches(&self, text: &str) -> bool {
        match &self.end {
            None => text == self.start,
            Some(end) => text.strip_prefix(self.start.as_str()).is_some_and(|rest| rest.ends_with(end.as_str())),
        }
    }

    /// Whether one text could match both. May be true although none does.
    fn overlaps(&self, other: &Self) -> bool {
        let starts = |one: &Self, two: &Self| two.start.starts_with(&one.start);
        let ends = |one: &str, two: &str| one.ends_with(two) || two.ends_with(one);
        match (&self.end, &other.end) {
            (None, _) => other.matches(&self.start),
            (_, None) => self.matches(&other.start),
            (Some(one), Some(two)) => (starts(self, other) || starts(other, self)) && ends(one, two),
        }
    }
}

impl Phrases {
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
        self.0.iter().find(|phrase| phrase.matches(text)).map(|phrase| phrase.says.as_str())
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
    fn a_pattern_begins_with_constant_text_and_what_is_said_has_no_hole() {
        check_error(&[("{} is gone", "gone")], &PhraseError::Start);
        check_error(&[("a {} is gone", "gone")], &PhraseError::Start);
        check_error(&[("thing {} is gone", "{} is gone")], &PhraseError::Says);
        check_error(&[("thing {} is gone", " ")], &PhraseError::Says);
    }
}
