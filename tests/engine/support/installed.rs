//! The clients that `.ci/clients` installs, each run with an engine of the test's choice.

use std::path::{Path, PathBuf};
use std::process::Output;

use super::{docker, engine, variable};

/// A client, or `None`, said once, where `.ci/clients` has not put it: `DOCKVEIL_CLIENTS`, else `target/clients`.
///
/// # Panics
/// With `DOCKVEIL_ENGINE_TESTS=require`, where `None` would be the answer.
pub(crate) fn client(name: &str) -> Option<String> {
    let folder = variable("DOCKVEIL_CLIENTS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients"), PathBuf::from);
    let client = folder.join(name);
    if client.is_file() {
        return client.to_str().map(str::to_owned);
    }
    engine::without(&format!("no {name}, which .ci/clients installs"));
    None
}

/// A client of the system, or `None`, said once, where it has none.
///
/// # Panics
/// As [`client`].
pub(crate) fn of_the_system(name: &str) -> Option<String> {
    let found = engine::find(name).and_then(|path| path.to_str().map(str::to_owned));
    if found.is_none() {
        engine::without(&format!("no {name} on this machine"));
    }
    found
}

/// A file of `tests/clients`.
pub(crate) fn script(name: &str) -> String {
    format!("{}/tests/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// What a client that must end well says on its standard output.
#[track_caller]
pub(crate) fn shown(socket: &Path, program: &[&str]) -> String {
    let run = docker::run_program(socket, program, "");
    assert!(run.status.success(), "{program:?}: {}", told(&run));
    String::from_utf8(run.stdout).unwrap()
}

/// Both outputs of a client, for a message.
pub(crate) fn told(run: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr))
}
