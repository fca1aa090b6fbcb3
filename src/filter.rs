//! Rules applied to one JSON document.
//!
//! A [`Plan`] is what a profile shows of one schema, together with its rules, compiled into one table; applying it
//! is a walk through the document's text. What the plan shows leaves as the bytes it came in, what it hides is
//! skipped, and nothing becomes a tree of values, but for the elements that a filter expression asks about.

mod action;
mod apply;
mod credential;
mod event;
mod file;
mod json;
mod plan;
mod record;
mod selector;
mod show;

#[cfg(test)]
mod tests;

use std::fmt;

pub use action::{Action, BadReplacement, Replacement};
pub use credential::looks_like_credential;
pub use event::{EventFilter, without_command};
pub use file::{parse_rule, parse_rules};
pub use plan::{CompileError, Explained, Plan};
pub use record::RecordFilter;
pub use selector::{Selector, SelectorError};
pub use show::{Globs, Show};

use crate::schema::Class;
use crate::yaml::Location;

/// One rule of a filter file: what happens to each match of a path in the documents of one schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Where it is written.
    pub location: Location,
    /// The name of the schema whose documents it is for.
    pub on: String,
    /// Which places in such a document.
    pub selector: Selector,
    /// What happens there.
    pub action: Action,
}

/// What a document may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many bytes one document may have.
    pub size: usize,
    /// How deep arrays and objects may nest.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { size: 16 << 20, depth: 128 }
    }
}

/// How much was hidden; never what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Places hidden because their class is not shown, in the order of [`Class::ALL`].
    pub by_class: [u64; Class::ALL.len()],
    /// Places hidden because no schema knows them, or because their shape is not the schema's.
    pub unknown: u64,
    /// Places that a rule changed.
    pub by_rule: u64,
}

impl Report {
    /// Everything that was hidden or changed.
    pub fn hidden(&self) -> u64 {
        self.by_class.iter().sum::<u64>().saturating_add(self.unknown).saturating_add(self.by_rule)
    }

    /// Adds the counts of another document.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.by_class.iter_mut().zip(other.by_class) {
            *mine = mine.saturating_add(theirs);
        }
        self.unknown = self.unknown.saturating_add(other.unknown);
        self.by_rule = self.by_rule.saturating_add(other.by_rule);
    }
}

/// Why a document cannot be filtered for certain. The document is then withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterError {
    /// It is not one JSON value in UTF-8.
    NotJson,
    /// It has more bytes than the limit.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// It nests deeper than the limit.
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// An object has two members of one name: which of them a reader takes is not certain.
    DuplicateKey,
    /// It is a JSON value, but no array where one was expected.
    NotAnArray,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => write!(f, "document: expected one JSON value"),
            Self::TooLarge { limit } => write!(f, "document: over the limit of {limit} bytes"),
            Self::TooDeep { limit } => write!(f, "document: nested deeper than {limit}"),
            Self::DuplicateKey => write!(f, "document: an object with two members of one name"),
            Self::NotAnArray => write!(f, "document: expected an array"),
        }
    }
}

impl std::error::Error for FilterError {}
