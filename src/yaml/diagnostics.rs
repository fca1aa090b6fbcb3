//! Errors in files, each with its location, collected so that a reader reports all of them at once.

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
    /// An error at `location`. What `message` quotes of a file is a [`value`](crate::quoting::value).
    pub fn new(location: &Location, message: impl Into<String>) -> Self {
        Self { location: location.clone(), message: message.into() }
    }
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
