//! Whether files that a start makes are in the way of those that the configuration names for something else.

use std::path::{Path, PathBuf};

use super::{ConfigFileSet, MadeFile, files};
use crate::endpoint::EngineEndpoint;
use crate::quoting;
use crate::socket::Address;
use crate::yaml::Diagnostics;

/// What the audit file is called.
const AUDIT_FILE: &str = "the audit file";

/// Reports an audit file that is one of those that the configuration is read from: its records would end up in there.
pub(super) fn check_audit(made: &[MadeFile], read: &ConfigFileSet, diagnostics: &mut Diagnostics) {
    for file in made.iter().filter(|file| file.socket.is_none()) {
        if let Some(reads) = read.reading(&file.path) {
            let (path, place) = (quoting::path(&file.path), quoting::path(&reads));
            let message = if reads.is_dir() {
                format!("{path} would be in {place}, whose files are read, expected another path for the audit file")
            } else {
                format!("{path} leads to {place}, which is read, expected a path for the audit file only")
            };
            diagnostics.report(&file.location, message);
        }
    }
}

/// Reports an audit file in the place of a socket, and any file below another one or below the socket of an engine, in place of which
/// a start would make a directory. Sockets in one place have been reported. `passed` are the sockets of the service manager.
pub(super) fn check_overlaps(
    made: &[MadeFile],
    passed: &[MadeFile],
    engines: &[&EngineEndpoint],
    diagnostics: &mut Diagnostics,
) {
    let of_engines = engines.iter().filter_map(|engine| engine.socket_path());
    let of_engines = of_engines.map(|path| ("the socket of the engine", path));
    // Of an audit file that is a directory, its own check tells.
    let made = || made.iter().filter(|file| file.socket.is_some() || !file.path.is_dir());
    let others = passed.iter().chain(made()).map(|file| match file.socket {
        Some(_) => ("the socket", file.path.as_path()),
        None => (AUDIT_FILE, file.path.as_path()),
    });
    let mut places: Vec<(&str, &Path, PathBuf)> = Vec::new();
    for (what, path) in of_engines.chain(others) {
        let place = files::resolved(path);
        if !places.iter().any(|(.., known)| *known == place) {
            places.push((what, path, place));
        }
    }
    for file in made() {
        let (name, place) = (name(file), files::resolved(&file.path));
        for (what, path, other) in places.iter().filter(|(.., other)| place.starts_with(other)) {
            let path = quoting::path(path);
            if place != *other {
                diagnostics.report(&file.location, format!("{name} is below {what} {path}, which is no directory"));
            } else if file.socket.is_none() && *what != AUDIT_FILE {
                let message = format!("{name} is {what} {path}, expected a path for the audit file only");
                diagnostics.report(&file.location, message);
            }
        }
    }
}

/// What a file is called: its path, or the address of a socket.
fn name(file: &MadeFile) -> String {
    match file.socket {
        Some(_) => Address::Unix(file.path.clone()).to_string(),
        None => quoting::path(&file.path),
    }
}
