//! The files of `filters/` inside the program.
//!
//! `build.rs` reads and checks them, with the parsers of this program, and packs them: the program reads no YAML of its own. The files
//! stay the only source. In `build.rs`, a module of the same name reads the files themselves.

use crate::packed::Unpacker;
use crate::yaml::{Diagnostic, Location, Node};

/// The packed files: their names and lengths, then the files themselves.
static ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/filters.packed"));

/// The tree of a YAML file. `name` is its path in `filters/`; its nodes are in `built-in:NAME`.
///
/// # Errors
/// The program has no such file, or is damaged; a test makes sure that it is not.
pub fn document(name: &str) -> Result<Node, Diagnostic> {
    let file = format!("built-in:{name}");
    find(name).and_then(|packed| Node::unpack(&file, packed)).ok_or_else(|| damaged(name))
}

/// A table that `build.rs` has packed in a form of its own.
///
/// # Errors
/// As [`document`], and if `unpack` returns `None`.
pub fn table<T>(name: &str, unpack: impl FnOnce(&'static [u8]) -> Option<T>) -> Result<T, Diagnostic> {
    find(name).and_then(unpack).ok_or_else(|| damaged(name))
}

/// The names of the files, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    entries().map(|(name, _)| name)
}

/// The bytes of a file.
fn find(name: &str) -> Option<&'static [u8]> {
    entries().find(|(known, _)| *known == name).map(|(_, packed)| packed)
}

/// The files and their names.
fn entries() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    let mut archive = Unpacker::new(ARCHIVE);
    std::iter::from_fn(move || Some((archive.text()?, archive.raw()?)))
}

/// The error for a file that is not as `build.rs` has packed it.
fn damaged(name: &str) -> Diagnostic {
    Diagnostic::new(&Location::file(&format!("built-in:{name}")), "this file is damaged in the program")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::api::{catalogue, errors};
    use crate::schema::Class;
    use crate::yaml;

    /// The YAML files in `filters/` and in the folders inside it, by their paths.
    fn files(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                files(&entry.path(), &format!("{name}/"), found);
            } else if name.ends_with(".yaml") {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_file_is_in_the_program_as_it_is_parsed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("filters");
        let mut expected = BTreeSet::new();
        files(&folder, "", &mut expected);
        // The tests of these tables compare them with their files.
        let of_catalogue = catalogue::FILES.map(str::to_owned).into_iter().chain(Class::ALL.map(catalogue::class_file));
        for file in of_catalogue.filter(|file| *file != "lists.yaml" && *file != "fields.tsv") {
            assert!(expected.remove(&file), "{file}");
        }
        expected.insert(catalogue::TABLE.to_owned());
        assert_eq!(names().map(str::to_owned).collect::<BTreeSet<_>>(), expected);
        for file in names().filter(|name| ![catalogue::TABLE, errors::FILE].contains(name)) {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            assert_eq!(document(file), yaml::parse(&format!("built-in:{file}"), &text), "{file}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        let expected = "built-in:no.yaml: this file is damaged in the program";
        assert_eq!(document("no.yaml").unwrap_err().to_string(), expected);
        assert!(document(catalogue::TABLE).is_err() && table("lists.yaml", |_| None::<()>).is_err());
    }
}
