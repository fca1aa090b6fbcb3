//! Rules applied to one JSON document.
//!
//! A [`Plan`] is what a profile shows of one schema, together with its rules, compiled into one table. Applying it is one
//! walk over the document's text: what the plan shows leaves as the bytes it came in, what it hides is skipped. Nothing
//! becomes a tree of values.
//!
//! This module knows JSON, selectors and plans. What the documents are about, it does not know: schemas, classes and lists
//! of names come from a [`crate::schema::Catalogue`].

mod action;
mod apply;
mod credential;
mod json;
mod lens;
mod plan;
pub mod reach;
mod record;
mod rule;
mod selector;
mod show;
mod value;
mod variant;

#[cfg(test)]
mod tests;

use std::fmt;

pub use action::{Action, BadReplacement, Replacement};
pub use credential::looks_like_credential;
pub use lens::{EditFault, EditRefusal, Lens, PutError, ReaderOfEdits, has_place};
pub(crate) use plan::fold;
pub use plan::{CompileError, Explained, Plan, Treatment};
pub use record::RecordFilter;
pub use rule::{Rule, accepts_unknown, parse_rule, parse_rules, path_of};
pub use selector::{ExpressionWork, Selector, SelectorError};
pub use show::{Glob, Globs, NamesShown, Show};
pub use variant::VariantFilter;

use crate::schema::Class;

/// Limits on one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentLimits {
    /// The most bytes a document may have.
    pub size: usize,
    /// The deepest that arrays and objects may nest.
    pub depth: usize,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self { size: 16 << 20, depth: 128 }
    }
}

/// How much was hidden, and never what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Locations hidden because their class is not shown, in the order of [`Class::ALL`].
    pub by_class: [u64; Class::ALL.len()],
    /// Locations hidden because no schema knows them, or because their shape is not the schema's.
    pub unknown: u64,
    /// Locations that a rule changed.
    pub by_rule: u64,
}

impl Report {
    /// The number of locations that were hidden or changed.
    pub fn hidden(&self) -> u64 {
        self.by_class.iter().sum::<u64>().saturating_add(self.unknown).saturating_add(self.by_rule)
    }

    /// Counts one location that is hidden because of its class.
    pub(crate) fn count_class(&mut self, class: Class) {
        if let Some(counter) = self.by_class.get_mut(class.index()) {
            *counter = counter.saturating_add(1);
        }
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

/// Why a document cannot be filtered with certainty. The document is then withheld.
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
    /// A filter expression could not be evaluated.
    Expression,
    /// Evaluating the filter expressions of the rules takes too much work.
    TooMuchWork,
    /// It is a JSON value, but not the array that was expected.
    NotAnArray,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => write!(f, "document: expected one JSON value"),
            Self::TooLarge { limit } => write!(f, "document: over the limit of {limit} bytes"),
            Self::TooDeep { limit } => write!(f, "document: nested deeper than {limit}"),
            Self::DuplicateKey => write!(f, "document: duplicate key in an object"),
            Self::Expression => write!(f, "document: a filter expression of a rule failed"),
            Self::TooMuchWork => write!(f, "document: the filter expressions of the rules take too long"),
            Self::NotAnArray => write!(f, "document: expected an array"),
        }
    }
}

impl std::error::Error for FilterError {}
