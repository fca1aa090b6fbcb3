//! The clients that the tests run: those that `.ci/clients` installs, and those of the system.

use std::path::{Path, PathBuf};

use super::{engine, variable};
use crate::harness::Ignored;

/// The path of a client in the folder that `.ci/clients` fills: `DOCKVEIL_CLIENTS`, or `target/clients`.
///
/// # Errors
/// It is not there.
pub(crate) fn client(name: &str) -> Result<String, Ignored> {
    let folder = variable("DOCKVEIL_CLIENTS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients"), PathBuf::from);
    let client = folder.join(name);
    let missing = || Ignored::Missing(format!("no {name}, which .ci/clients installs"));
    client.is_file().then(|| client.display().to_string()).ok_or_else(missing)
}

/// The path of a program of the system.
///
/// # Errors
/// There is none.
pub(crate) fn program(name: &str) -> Result<String, Ignored> {
    let found = engine::find(name).map(|path| path.display().to_string());
    found.ok_or_else(|| Ignored::Missing(format!("no {name} on this machine")))
}

/// The path of the static binary that goes into the image.
///
/// # Errors
/// The variable that names it is not set.
pub(crate) fn static_binary() -> Result<PathBuf, Ignored> {
    let missing = || Ignored::Missing("DOCKVEIL_STATIC_BINARY does not name a static binary".to_owned());
    variable("DOCKVEIL_STATIC_BINARY").map(PathBuf::from).ok_or_else(missing)
}

/// The path of a file in `tests/clients`.
pub(crate) fn script(name: &str) -> String {
    format!("{}/tests/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}
