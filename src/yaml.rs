//! A YAML file as a tree in which every node knows its location.
//!
//! This tree is our own, and not that of a YAML library or serde, because errors need the line and column of every node,
//! because a file with five errors should report all five, and because duplicate keys, aliases, tags and second documents
//! have to be refused.

mod diagnostics;
mod members;
mod nearest;
mod packed;
mod parse;

use crate::quoting;
use std::fmt;
use std::sync::Arc;

pub use diagnostics::{Diagnostic, Diagnostics};
pub use members::Members;
pub use nearest::{nearest, unknown, unknown_or};
pub use parse::{parse, parse_foreign, parse_reporting};

/// A position in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// The file, as the operator named it; `built-in:…` for a file inside the program. Also the name of a command-line
    /// argument or an environment variable.
    pub file: Arc<str>,
    /// Counted from one; zero for the file as a whole.
    pub line: u32,
    /// Counted from one, in characters; zero for the line or file as a whole.
    pub column: u32,
    /// Whether it is a command-line argument: then the error is in how the program was called.
    pub is_argument: bool,
}

impl Location {
    /// A file as a whole, or an environment variable.
    pub fn file(file: &str) -> Self {
        Self { file: quoting::name(file).into(), line: 0, column: 0, is_argument: false }
    }

    /// A command-line argument, such as `--profile`.
    pub fn argument(name: &str) -> Self {
        Self { is_argument: true, ..Self::file(name) }
    }

    /// A line of a file, counted from one.
    pub fn line(file: &str, line: u32) -> Self {
        Self { line, ..Self::file(file) }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}", self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// One value of a YAML file.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it starts.
    pub location: Location,
    /// The value.
    pub value: Value,
}

/// The value of a [`Node`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A scalar, except for [`Value::Null`].
    Scalar {
        /// The text, with escapes resolved.
        text: String,
        /// Whether it is written in quotes or as a block, and is therefore certainly text.
        quoted: bool,
    },
    /// A missing value, or a plain `null` or `~`.
    Null,
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order written. No key occurs twice.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Where it is written.
    pub location: Location,
    /// Its text.
    pub name: String,
}

impl Node {
    /// An error at this node.
    pub fn diagnostic(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(&self.location, message)
    }

    /// The text of a scalar.
    ///
    /// # Errors
    /// If it is not a scalar; the message says that `what` was expected.
    pub fn text(&self, what: &str) -> Result<&str, Diagnostic> {
        match &self.value {
            Value::Scalar { text, .. } => Ok(text),
            Value::Null | Value::Sequence(_) | Value::Mapping(_) => Err(self.expected(what)),
        }
    }

    /// What its text stands for in a table. `what` is the kind of the entries, such as `rule`.
    ///
    /// # Errors
    /// If it is not a scalar, or not in the table.
    pub fn one_of<T: Clone>(&self, what: &str, table: &[(&str, T)]) -> Result<T, Diagnostic> {
        let text = self.text(what)?;
        let found = table.iter().find(|(name, _)| *name == text).map(|(_, value)| value.clone());
        found.ok_or_else(|| self.diagnostic(unknown(what, text, table.iter().map(|(name, _)| *name))))
    }

    /// Whether it says `true` or `false`.
    ///
    /// # Errors
    /// If it says neither.
    pub fn boolean(&self) -> Result<bool, Diagnostic> {
        match self.text("`true` or `false`")? {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(self.diagnostic(format!("found {:?}, expected `true` or `false`", quoting::value(other)))),
        }
    }

    /// The items of a list.
    ///
    /// # Errors
    /// If it is not a list; the message says that `what` was expected.
    pub fn list(&self, what: &str) -> Result<&[Node], Diagnostic> {
        match &self.value {
            Value::Sequence(items) => Ok(items),
            Value::Scalar { .. } | Value::Null | Value::Mapping(_) => Err(self.expected(what)),
        }
    }

    /// The entries of a mapping.
    ///
    /// # Errors
    /// If it is not a mapping; the message says that `what` was expected.
    pub fn mapping(&self, what: &str) -> Result<&[(Key, Node)], Diagnostic> {
        match &self.value {
            Value::Mapping(entries) => Ok(entries),
            Value::Scalar { .. } | Value::Null | Value::Sequence(_) => Err(self.expected(what)),
        }
    }

    /// An error that says what this node is and what was expected.
    pub fn expected(&self, what: &str) -> Diagnostic {
        self.diagnostic(format!("found {}, expected {what}", self.kind()))
    }

    /// What this is, for a message: `a list`, `a mapping`, `text`, `nothing`.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar { .. } => "text",
            Value::Null => "nothing",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}
