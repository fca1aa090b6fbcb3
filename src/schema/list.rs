//! Lists of named entries, of which a profile can show some by name.

use std::fmt;

/// A list of named entries, such as labels. The entries are members of maps, or texts `name=value` in arrays, in any
/// number of schemas. A profile can show some of them by name.
///
/// The module that knows what the documents mean defines the lists. [`super::Field::list`] tells which fields hold the
/// entries of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameList {
    index: u8,
    key: &'static str,
    noun: &'static str,
}

impl NameList {
    /// Makes the list number `index`. Files call it `key`; messages call its entries `noun`, a plural.
    pub const fn new(index: u8, key: &'static str, noun: &'static str) -> Self {
        Self { index, key, noun }
    }

    /// The number of the list, from zero.
    pub fn index(self) -> usize {
        usize::from(self.index)
    }

    /// The key of the list in profile files.
    pub const fn key(self) -> &'static str {
        self.key
    }
}

impl fmt::Display for NameList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.noun)
    }
}
