//! Errors in files, each with its location, collected so that a reader reports all of them at once.

use std::borrow::Cow;
use std::collections::{BTreeSet, btree_set};
use std::fmt;

use super::Location;

/// Something wrong in a file, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Where it is.
    pub location: Location,
    /// What was found and what was expected; lower case, no full stop.
    pub message: String,
}

impl Diagnostic {
    /// An error at `location`. Neither names the password of a URL: many a value is quoted that is in the wrong place.
    pub fn new(location: &Location, message: impl Into<String>) -> Self {
        let (mut location, mut message) = (location.clone(), message.into());
        if let Cow::Owned(file) = without_passwords(&location.file) {
            location.file = file.into();
        }
        if let Cow::Owned(shown) = without_passwords(&message) {
            message = shown;
        }
        Self { location, message }
    }
}

/// A text with `…` in place of what stands before the host of each URL in it, if that may hold a password. Of `ssh` alone, a user is
/// no secret.
fn without_passwords(text: &str) -> Cow<'_, str> {
    const SCHEME_END: &str = "://";
    let mut out = String::new();
    let mut rest = text;
    while let Some((scheme, url)) = rest.split_once(SCHEME_END) {
        out.push_str(scheme);
        out.push_str(SCHEME_END);
        rest = url;
        let url = url.get(..end_of_url(url)).unwrap_or(url);
        if let Some((user, _)) = url.rsplit_once('@')
            && (user.contains(':') || !scheme.ends_with("ssh"))
        {
            out.push('…');
            rest = rest.get(user.len()..).unwrap_or_default();
        }
    }
    if rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Where a URL ends in a text: at a space, or at a quote that is not escaped.
fn end_of_url(text: &str) -> usize {
    let mut is_escaped = false;
    let ends = |(_, character): &(usize, char)| {
        let ends = character.is_whitespace() || matches!(character, '"' | '\'' | '`') && !is_escaped;
        is_escaped = *character == '\\' && !is_escaped;
        ends
    };
    text.char_indices().find(ends).map_or(text.len(), |(end, _)| end)
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.message)
    }
}

/// The errors found so far, sorted by location, each once.
///
/// A reader that meets an error records it and reads on. At the end, [`finish`](Self::finish) returns what was read
/// only if there was no error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(BTreeSet<Diagnostic>);

impl Diagnostics {
    /// Adds one error.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.insert(diagnostic);
    }

    /// Adds an error at `location`.
    pub fn report(&mut self, location: &Location, message: impl Into<String>) {
        self.push(Diagnostic::new(location, message));
    }

    /// Adds the errors of a result, if it has any; otherwise returns its value. Like [`Result::ok`], but no error is
    /// lost.
    pub fn ok<T, E: Into<Self>>(&mut self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(errors) => {
                self.extend(errors.into());
                None
            }
        }
    }

    /// Whether there are no errors.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of errors.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether every error is in a command-line argument, and none in a file or a variable.
    pub fn are_in_arguments(&self) -> bool {
        !self.is_empty() && self.iter().all(|diagnostic| diagnostic.location.is_argument)
    }

    /// The errors, sorted by location.
    pub fn iter(&self) -> btree_set::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// Returns `value` if there are no errors.
    ///
    /// # Errors
    /// All that were collected.
    pub fn finish<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }

    /// As [`finish`](Self::finish), for a value that is missing because of an error. A missing value is never a success,
    /// whatever was collected.
    ///
    /// # Errors
    /// All that were collected.
    pub fn finish_option<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) => self.finish(value),
            None => Err(self),
        }
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        self.0.extend(diagnostics);
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = btree_set::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'d> IntoIterator for &'d Diagnostics {
    type Item = &'d Diagnostic;
    type IntoIter = btree_set::Iter<'d, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(BTreeSet::from([diagnostic]))
    }
}

/// One error per line.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|diagnostic| writeln!(f, "{diagnostic}"))
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, message: &str) -> Diagnostic {
        Diagnostic::new(&Location { line, ..Location::file("f") }, message)
    }

    #[test]
    fn no_password_of_a_url_is_named() {
        for (text, expected) in [
            ("found \"tcp://u:p@h\", expected a", "found \"tcp://…@h\", expected a"),
            ("found \"tcp://u:p\\\"q@h\", expected a@b", "found \"tcp://…@h\", expected a@b"),
            ("https://token@h/x and ssh://me:p@h, tcp://u:p@q@h", "https://…@h/x and ssh://…@h, tcp://…@h"),
            ("tcp://u:p@h://v:q@i", "tcp://…@i"),
            ("tcp://u:é@h", "tcp://…@h"),
            ("found \"ssh://me@host\", tcp://host:1 or a@b", "found \"ssh://me@host\", tcp://host:1 or a@b"),
            ("unix:///run/a", "unix:///run/a"),
            ("://", "://"),
        ] {
            let error = Diagnostic::new(&Location::file(text), text);
            assert_eq!((&*error.location.file, error.message.as_str()), (expected, expected));
        }
    }

    #[test]
    fn errors_are_sorted_by_location_and_each_is_reported_once() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(at(2, "b"));
        diagnostics.report(&at(1, "").location, "a");
        assert_eq!(diagnostics.ok(Err::<(), _>(at(2, "b"))), None);
        let found: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["f:1: a", "f:2: b"]);
        assert_eq!(diagnostics.to_string(), "f:1: a\nf:2: b\n");
    }

    #[test]
    fn a_value_is_returned_only_if_there_is_no_error() {
        let mut diagnostics = Diagnostics::default();
        assert_eq!(diagnostics.ok(Ok::<_, Diagnostic>(1)), Some(1));
        assert_eq!(diagnostics.clone().finish(1), Ok(1));
        assert_eq!(diagnostics.clone().finish_option(Some(1)), Ok(1));
        assert!(diagnostics.clone().finish_option(None::<u8>).is_err());
        diagnostics.push(at(1, "a"));
        assert!(diagnostics.clone().finish(1).is_err() && diagnostics.finish_option(Some(1)).is_err());
    }
}
