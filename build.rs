//! Checks the files in `filters/` and packs them for the program, with its own parsers. `src/embedded.rs` reads what is written here.
//!
//! An error in a file ends the build, with the file, the line and the column. The result depends on nothing but the sources, and is
//! written only to the folder that Cargo gives.

#![allow(
    dead_code,
    unfulfilled_lint_expectations,
    unreachable_pub,
    unused_imports,
    reason = "the modules are those of the program, of which only a part is needed here"
)]

use std::collections::BTreeMap;
use std::io::Error;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use program::api::{bodies, catalogue, changes, errors, groups, objects, queries};
use program::packed::Packer;
use program::yaml::{Diagnostic, Diagnostics, Location, Node};
use program::{api, packed, schema, yaml};

/// A part of the program, found at the same paths as there.
#[path = "src"]
mod program {
    pub mod api;
    pub mod packed;
    pub mod schema;
    pub mod yaml;
}

/// In the place of the module that reads what is packed here: it reads the files.
mod embedded {
    use super::{Diagnostic, Location, Node, yaml};

    pub fn document(file: &str) -> Result<Node, Diagnostic> {
        yaml::parse(&format!("built-in:{file}"), &super::text(file))
    }

    pub fn table<T>(file: &str, _: impl FnOnce(&'static [u8]) -> Option<T>) -> Result<T, Diagnostic> {
        Err(Diagnostic::new(&Location::file(file), "this is only in the program"))
    }
}

/// The files whose trees the program has, in the folder itself; all in `FOLDERS` come in addition.
const DOCUMENTS: [&str; 6] =
    ["bodies.yaml", "groups.yaml", "lists.yaml", "objects.yaml", "queries.yaml", "versions.yaml"];
const FOLDERS: [&str; 2] = ["compat", "profile"];

#[expect(clippy::disallowed_methods, reason = "Cargo names the folder of what is built in the environment")]
fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=filters");
    let mut diagnostics = Diagnostics::default();
    let written = pack(&mut diagnostics).and_then(|archive| {
        let folder = env::var_os("OUT_DIR").ok_or_else(|| Error::other("no OUT_DIR"))?;
        fs::write(Path::new(&folder).join("filters.packed"), archive)
    });
    for diagnostic in &diagnostics {
        println!("cargo::error={}", diagnostic.to_string().replace("built-in:", "filters/"));
    }
    if let Err(error) = &written {
        println!("cargo::error=cannot pack the files in filters: {error}");
    }
    if written.is_ok() && diagnostics.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All files in compact form, sorted by their names. Reports every error in the files.
fn pack(diagnostics: &mut Diagnostics) -> Result<Vec<u8>, Error> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    if let Some(catalogue) = diagnostics.ok(catalogue::of_files(text)) {
        files.insert(catalogue::TABLE.to_owned(), packed_by(|packer| catalogue.pack(packer)));
    }
    let table = embedded::document(errors::FILE).map_err(Diagnostics::from);
    if let Some(table) = diagnostics.ok(table.and_then(|document| errors::ErrorTable::read(&document))) {
        files.insert(errors::FILE.to_owned(), packed_by(|packer| table.pack(packer)));
    }
    let mut documents = DOCUMENTS.map(str::to_owned).to_vec();
    for folder in FOLDERS {
        add_names(folder, &mut documents)?;
    }
    for name in documents {
        if let Some(document) = diagnostics.ok(embedded::document(&name)) {
            files.insert(name, packed_by(|packer| document.pack(packer)));
        }
    }
    check(diagnostics);
    Ok(packed_by(|packer| {
        for (name, packed) in &files {
            packer.text(name);
            packer.raw(packed);
        }
    }))
}

/// Reports the errors in what the program has as trees and reads when it needs it. Rules of profiles are not compiled here: tests do that.
fn check(diagnostics: &mut Diagnostics) {
    diagnostics.ok(groups::built_in());
    diagnostics.ok(queries::built_in());
    diagnostics.ok(changes::built_in());
    diagnostics.ok(objects::check());
    diagnostics.ok(bodies::check());
}

/// The bytes that `write` writes.
fn packed_by(write: impl FnOnce(&mut Packer)) -> Vec<u8> {
    let mut packer = Packer::default();
    write(&mut packer);
    packer.finish()
}

/// The text of a file in `filters/`; empty, which is an error in it, if it cannot be read.
fn text(file: &str) -> String {
    fs::read_to_string(Path::new("filters").join(file)).unwrap_or_default()
}

/// Adds the names of the YAML files in a folder and in those inside it.
fn add_names(folder: &str, names: &mut Vec<String>) -> Result<(), Error> {
    for entry in fs::read_dir(Path::new("filters").join(folder))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{folder}/{name}");
        if entry.file_type()?.is_dir() {
            add_names(&path, names)?;
        } else if name.ends_with(".yaml") {
            names.push(path);
        }
    }
    Ok(())
}
