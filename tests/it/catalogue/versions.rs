//! Sets of API versions, and how they are written: `1.25+`, `1.25-1.31`, `1.30`, or several of these with commas between them.

use std::fmt::Write;

use crate::harness::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![sets_of_versions_are_read_as_written];

/// A set of API versions, by their minor numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VersionSet(u128);

impl VersionSet {
    /// No version.
    pub(crate) const NONE: Self = Self(0);
    /// Every version that there can be.
    pub(crate) const ALL: Self = Self(u128::MAX);

    /// The version 1.`minor`.
    pub(crate) fn one(minor: u16) -> Self {
        Self(1 << minor)
    }

    /// All versions from `first` to `last`, both included.
    pub(crate) fn range(first: u16, last: u16) -> Self {
        (first..=last).map(Self::one).fold(Self::NONE, Self::or)
    }

    /// The versions in either set.
    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The versions in both sets.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The versions in this set but not in `other`.
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether 1.`minor` is in it.
    pub(crate) fn has(self, minor: u16) -> bool {
        !self.and(Self::one(minor)).is_empty()
    }

    /// Whether no version is in it.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The oldest and the newest version in it.
    pub(crate) fn bounds(self) -> Option<(u16, u16)> {
        let mut minors = (0..128).filter(|minor| self.has(*minor));
        let first = minors.next()?;
        Some((first, minors.next_back().unwrap_or(first)))
    }

    /// Writes the set in terms of the versions in `known`: a run of them that ends with the newest is open.
    pub(crate) fn write(self, known: Self) -> String {
        let mut text = String::new();
        let mut run: Option<(u16, u16)> = None;
        let (oldest, newest) = known.bounds().unwrap_or_default();
        for minor in (oldest..=newest + 1).filter(|minor| *minor > newest || known.has(*minor)) {
            if minor <= newest && self.has(minor) {
                run = Some((run.map_or(minor, |(first, _)| first), minor));
            } else if let Some((first, last)) = run.take() {
                text.push_str(if text.is_empty() { "" } else { "," });
                match (first, last) {
                    (first, last) if last == newest => write!(text, "1.{first}+"),
                    (first, last) if first == last => write!(text, "1.{first}"),
                    (first, last) => write!(text, "1.{first}-1.{last}"),
                }
                .unwrap();
            }
        }
        text
    }

    /// Reads a set that was written in terms of the versions in `known`.
    pub(crate) fn read(text: &str, known: Self) -> Self {
        let newest = known.bounds().unwrap().1;
        let runs = text.split(',').filter(|run| !run.is_empty()).map(|run| {
            match (run.strip_suffix('+'), run.split_once('-')) {
                (Some(first), _) => Self::range(minor(first), newest),
                (None, Some((first, last))) => Self::range(minor(first), minor(last)),
                (None, None) => Self::one(minor(run)),
            }
        });
        runs.fold(Self::NONE, Self::or).and(known)
    }
}

/// The N of `1.N`.
#[track_caller]
pub(crate) fn minor(version: &str) -> u16 {
    let number = version.strip_prefix("1.").and_then(|minor| minor.parse().ok()).filter(|minor| *minor < 128);
    number.unwrap_or_else(|| panic!("found {version:?}, expected a version such as 1.44"))
}

fn sets_of_versions_are_read_as_written() {
    let known = VersionSet::range(25, 55).or(VersionSet::one(57));
    for text in ["1.25+", "1.30", "1.25-1.31,1.39-1.51", "1.25,1.30+", "1.55+", "1.57+", "", "1.54-1.55"] {
        assert_eq!(VersionSet::read(text, known).write(known), text);
    }
    assert_eq!(VersionSet::range(24, 30).write(VersionSet::ALL), "1.24-1.30");
    assert_eq!(VersionSet::read("1.55+", known).bounds(), Some((55, 57)));
}
