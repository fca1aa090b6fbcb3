//! Which lines of profile files decide what is not listed beside its own location.

use crate::schema::NameList;
use crate::yaml::Location;

/// The lines that decide what the keys beside `allow`, `deny`, `parameters`, `show`, `hide` and `rules` say. `None` stands for
/// the default.
#[derive(Clone, Debug, Default)]
pub struct DecidingLines {
    /// The line of `events`.
    pub events: Option<Location>,
    /// The line of `stats`.
    pub stats: Option<Location>,
    /// The line that shows or hides what nobody has classified.
    pub unknown: Option<Location>,
    /// The line that masks credentials, or does not.
    pub mask: Option<Location>,
    /// The entries of allow-lists, in the order in which they are read.
    pub names: Vec<ListedName>,
}

/// An entry of an allow-list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedName {
    /// The list.
    pub list: NameList,
    /// The name as written: `*` stands for any text, `!` before it excludes.
    pub name: String,
    /// The line.
    pub location: Location,
}

impl DecidingLines {
    /// Adds entries of a list that one line, or one variable, names.
    pub fn list(&mut self, list: NameList, names: &[String], location: &Location) {
        let named = |name: &String| ListedName { list, name: name.clone(), location: location.clone() };
        self.names.extend(names.iter().map(named));
    }

    /// Everything is shown as it is, because one line says so.
    pub fn show_all(&mut self, location: &Location) {
        let line = || Some(location.clone());
        *self = Self { events: line(), stats: line(), unknown: line(), mask: line(), names: Vec::new() };
    }
}
