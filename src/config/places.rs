//! Whether files that a start makes are in the way of those that the configuration names for something else.

use super::{ConfigFileSet, MadeFile};
use crate::quoting;
use crate::yaml::Diagnostics;

/// Reports an audit file that is one of those that the configuration is read from: its records would end up in there.
pub(super) fn check_audit(made: &[MadeFile], read: &ConfigFileSet, diagnostics: &mut Diagnostics) {
    for file in made.iter().filter(|file| file.socket.is_none()) {
        if let Some(reads) = read.reading(&file.path) {
            let (path, reads) = (quoting::path(&file.path), quoting::path(&reads));
            let message = format!("{path} leads to {reads}, which is read, expected a path for the audit file only");
            diagnostics.report(&file.location, message);
        }
    }
}
