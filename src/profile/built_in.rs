//! The built-in profiles: the files in `filters/profile`, each named like its profile.

use crate::embedded;
use crate::yaml::{Diagnostic, Node};

/// Where the files are.
const FOLDER: &str = "profile/";

/// The names of the built-in profiles.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    embedded::names().filter_map(name)
}

/// The file of a built-in profile. `None` if there is no such profile.
pub(super) fn document(wanted: &str) -> Option<Result<Node, Diagnostic>> {
    embedded::names().find(|file| name(file) == Some(wanted)).map(embedded::document)
}

/// The name of the profile in a file, if there is one in it.
fn name(file: &'static str) -> Option<&'static str> {
    file.strip_prefix(FOLDER)?.rsplit('/').next()?.strip_suffix(".yaml")
}
