//! Kinds of named entries that a profile may show by name.

use std::fmt;

/// A kind of named entries, such as the members of one sort of map, of which a profile may show some by their names.
///
/// Whoever knows what the documents are about defines the lists and says which members hold entries of each; see
/// [`super::Field::list`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameList {
    index: u8,
    key: &'static str,
    noun: &'static str,
}

impl NameList {
    /// The list number `index`. Files call it `key`; people call its entries `noun`, a plural.
    pub const fn new(index: u8, key: &'static str, noun: &'static str) -> Self {
        Self { index, key, noun }
    }

    /// The number of the list, counted from zero.
    pub fn index(self) -> usize {
        usize::from(self.index)
    }

    /// The name of the list in files.
    pub const fn key(self) -> &'static str {
        self.key
    }
}

impl fmt::Display for NameList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.noun)
    }
}
