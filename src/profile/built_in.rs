//! The built-in profiles: the files in `filters/profile`, each named like its profile.

use crate::embedded::{self, FileGroup};
use crate::yaml::{Diagnostic, Node};

/// Where the files are.
const FOLDER: &str = "profile/";

/// The names of the built-in profiles.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    embedded::names().filter_map(name)
}

/// The files of the built-in profiles.
#[derive(Debug, Default)]
pub(super) struct ProfileFiles {
    /// Opened for the first file.
    group: Option<FileGroup>,
}

impl ProfileFiles {
    /// The file of the profile called `wanted`.
    ///
    /// # Errors
    /// There is no such profile, or the program is damaged.
    pub(super) fn document(&mut self, wanted: &str) -> Result<Node, Diagnostic> {
        let file = embedded::names().find(|file| name(file) == Some(wanted)).unwrap_or(wanted);
        let group = match self.group.take() {
            Some(group) => group,
            None => FileGroup::with(file)?,
        };
        self.group.insert(group).document(file)
    }
}

/// The name of the profile in a file, if there is one in it.
fn name(file: &'static str) -> Option<&'static str> {
    file.strip_prefix(FOLDER)?.rsplit('/').next()?.strip_suffix(".yaml")
}
