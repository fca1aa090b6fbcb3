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

use std::collections::{BTreeMap, BTreeSet};
use std::io::Error;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use miniz_oxide::deflate::compress_to_vec;
use program::api::{bodies, catalogue, changes, errors, groups, objects, queries};
use program::packed::Packer;
use program::yaml::{Diagnostic, Diagnostics, Location, Node};
use program::{api, packed, quoting, schema, yaml};

/// A part of the program, found at the same paths as there.
#[path = "src"]
mod program {
    pub mod api;
    pub mod packed;
    pub mod quoting;
    pub mod schema;
    pub mod yaml;
}

/// Stands in for the module `embedded` of the program. It reads the files themselves, because nothing is packed yet.
mod embedded {
    use super::{Diagnostic, Location, Node, yaml};

    pub fn document(file: &str) -> Result<Node, Diagnostic> {
        yaml::parse(&format!("built-in:{file}"), &super::text(file))
    }

    pub fn table<T>(file: &str, _: impl FnOnce(&'static [u8]) -> Option<T>) -> Result<T, Diagnostic> {
        Err(Diagnostic::new(&Location::file(file), "this is only in the program"))
    }

    pub fn stored(file: &str) -> Result<&'static [u8], Diagnostic> {
        Err(Diagnostic::new(&Location::file(file), "this is only in the program"))
    }

    pub fn text(_: &str) -> &'static str {
        ""
    }
}

/// The files of which starts read trees: they are not compressed.
const NEEDED: [&str; 4] = ["bodies.yaml", "groups.yaml", "lists.yaml", "objects.yaml"];
/// The folders whose files are compressed together.
const FOLDERS: [&str; 2] = ["compat", "profile"];
/// The texts that only commands read. Those of the demo come in addition.
const TEXTS: [&str; 2] = ["fields.tsv", "schema.json"];
/// How hard the compression tries, of 10.
const EFFORT: u8 = 10;

/// Files that the program has together: their names, and what is packed of them.
type FileGroup = BTreeMap<String, Vec<u8>>;

#[expect(clippy::disallowed_methods, reason = "Cargo names the folder of what is built in the environment")]
fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=filters");
    println!("cargo::rerun-if-changed=fixtures/demo");
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

/// All files in compact form. Reports every error in them.
fn pack(diagnostics: &mut Diagnostics) -> Result<Vec<u8>, Error> {
    let mut needed = documents(&NEEDED.map(str::to_owned), diagnostics);
    if let Some(catalogue) = diagnostics.ok(catalogue::of_files(text)) {
        needed.insert(catalogue::TABLE.to_owned(), packed_by(|packer| catalogue.pack(packer)));
    }
    let table = embedded::document(queries::FILE).map_err(Diagnostics::from);
    if let Some(table) = diagnostics.ok(table.and_then(|document| queries::QueryTable::read(&document))) {
        needed.insert(queries::FILE.to_owned(), packed_by(|packer| table.pack(packer)));
    }
    needed.insert("compat/variables".to_owned(), telling_variables(diagnostics)?);
    let mut of_answers = documents(&[changes::FILE.to_owned()], diagnostics);
    let table = embedded::document(errors::FILE).map_err(Diagnostics::from);
    if let Some(table) = diagnostics.ok(table.and_then(|document| errors::ErrorTable::read(&document))) {
        of_answers.insert(errors::FILE.to_owned(), packed_by(|packer| table.pack(packer)));
    }
    let mut compressed = vec![of_answers, texts()?];
    for folder in FOLDERS {
        let mut names = Vec::new();
        add_names(folder, &mut names)?;
        compressed.push(documents(&names, diagnostics));
    }
    check(diagnostics);
    Ok(packed_by(|packer| {
        pack_group(&needed, false, packer);
        compressed.iter().for_each(|group| pack_group(group, true, packer));
    }))
}

/// The variables that tell that another proxy is replaced: a start reads its table only if one of them is set.
fn telling_variables(diagnostics: &mut Diagnostics) -> Result<Vec<u8>, Error> {
    let mut files = Vec::new();
    add_names("compat", &mut files)?;
    let mut names = BTreeSet::new();
    for file in files.iter().filter(|file| !file.starts_with("compat/fork/")) {
        let Some(document) = diagnostics.ok(embedded::document(file)) else { continue };
        for (key, node) in diagnostics.ok(document.mapping("a table of variables")).unwrap_or_default() {
            if ["marks", "words"].contains(&key.name.as_str()) {
                names.extend(diagnostics.texts(node, "names").into_iter().map(|(name, _)| name.to_owned()));
            }
        }
    }
    Ok(packed_by(|packer| packer.list(names.iter(), |packer, name| packer.text(name))))
}

/// The trees of YAML files. Reports every error in them.
fn documents(names: &[String], diagnostics: &mut Diagnostics) -> FileGroup {
    let mut group = FileGroup::new();
    for name in names {
        if let Some(document) = diagnostics.ok(embedded::document(name)) {
            group.insert(name.clone(), packed_by(|packer| document.pack(packer)));
        }
    }
    group
}

/// The texts that only commands read.
fn texts() -> Result<FileGroup, Error> {
    let mut group: FileGroup = TEXTS.map(|name| (name.to_owned(), text(name).into_bytes())).into();
    for entry in fs::read_dir("fixtures/demo")? {
        let entry = entry?;
        group.insert(format!("demo/{}", entry.file_name().display()), fs::read(entry.path())?);
    }
    Ok(group)
}

/// Writes a group: the names, the length of all files if they are compressed, and the files.
fn pack_group(group: &FileGroup, is_compressed: bool, packer: &mut Packer) {
    let files = packed_by(|packer| group.values().for_each(|file| packer.raw(file)));
    packer.list(group.keys(), |packer, name| packer.text(name));
    packer.count(if is_compressed { files.len() } else { 0 });
    packer.raw(&if is_compressed { compress_to_vec(&files, EFFORT) } else { files });
}

/// Reports errors in the files that are packed as trees, which the program reads only when it needs them. Only tests compile the rules
/// of profiles.
fn check(diagnostics: &mut Diagnostics) {
    diagnostics.ok(groups::built_in());
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

/// The text of a file in `filters/`. If it cannot be read, the build fails.
fn text(file: &str) -> String {
    fs::read_to_string(Path::new("filters").join(file)).unwrap_or_else(|error| {
        println!("cargo::error=cannot read filters/{file}: {error}");
        String::new()
    })
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
