//! The files of `filters/` inside the program, and those of the demo.
//!
//! `build.rs` reads and checks them, with the parsers of this program, and packs them: the program reads no YAML of its own. The files
//! stay the only source. In `build.rs`, a module of the same name reads the files themselves.
//!
//! They are in groups. What every start needs is stored as it is. Any other group is compressed as a whole, and inflated when somebody
//! asks for it.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::packed::Unpacker;
use crate::yaml::{Diagnostic, Location, Node};

/// The groups, one after another: the names of the files; the length of the files together if they are compressed, or zero; the files,
/// each with its length.
static ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/filters.packed"));

/// A file of the group of texts, which only commands read.
const A_TEXT: &str = "fields.tsv";

/// Files that were packed together.
#[derive(Debug)]
pub struct FileGroup {
    names: Vec<&'static str>,
    files: Cow<'static, [u8]>,
}

impl FileGroup {
    /// Opens the group that has the file called `name`.
    ///
    /// # Errors
    /// The program has no such file, or is damaged; a test makes sure that it is not.
    pub fn with(name: &str) -> Result<Self, Diagnostic> {
        group_with(name).and_then(PackedGroup::open).ok_or_else(|| damaged(name))
    }

    /// The tree of a YAML file of the group. `name` is its path in `filters/`; its nodes are in `built-in:NAME`.
    ///
    /// # Errors
    /// The group has no such file.
    pub fn document(&self, name: &str) -> Result<Node, Diagnostic> {
        let file = format!("built-in:{name}");
        self.find(name).and_then(|packed| Node::unpack(&file, packed)).ok_or_else(|| damaged(name))
    }

    /// The bytes of a file.
    fn find(&self, name: &str) -> Option<&[u8]> {
        file_of(&self.names, &self.files, name)
    }
}

/// The bytes of one of several files, which lie one after another in the order of their names.
fn file_of<'f>(names: &[&str], files: &'f [u8], name: &str) -> Option<&'f [u8]> {
    let number = names.iter().position(|known| *known == name)?;
    let mut files = Unpacker::new(files);
    (0..number).try_for_each(|_| files.raw().map(drop))?;
    files.raw()
}

/// A group as the archive has it.
struct PackedGroup {
    names: Vec<&'static str>,
    /// The length of the inflated files, or zero.
    length: usize,
    files: &'static [u8],
}

impl PackedGroup {
    /// Inflates the files if they are compressed.
    fn open(self) -> Option<FileGroup> {
        let files = match self.length {
            0 => Cow::Borrowed(self.files),
            length => Cow::Owned(miniz_oxide::inflate::decompress_to_vec_with_limit(self.files, length).ok()?),
        };
        Some(FileGroup { names: self.names, files })
    }
}

/// The group that has the file called `name`.
fn group_with(name: &str) -> Option<PackedGroup> {
    let mut archive = Unpacker::new(ARCHIVE);
    std::iter::from_fn(|| packed_group(&mut archive)).find(|group| group.names.contains(&name))
}

/// Reads the next group.
fn packed_group(archive: &mut Unpacker<'static>) -> Option<PackedGroup> {
    let names = archive.list(Unpacker::text)?;
    Some(PackedGroup { names, length: archive.count()?, files: archive.raw()? })
}

/// The tree of a YAML file. `name` is its path in `filters/`; its nodes are in `built-in:NAME`.
///
/// # Errors
/// As [`FileGroup::with`].
pub fn document(name: &str) -> Result<Node, Diagnostic> {
    FileGroup::with(name)?.document(name)
}

/// A table that `build.rs` has packed in a form of its own.
///
/// # Errors
/// As [`FileGroup::with`], and if `unpack` returns `None`.
pub fn table<T>(name: &str, unpack: impl FnOnce(&[u8]) -> Option<T>) -> Result<T, Diagnostic> {
    FileGroup::with(name)?.find(name).and_then(unpack).ok_or_else(|| damaged(name))
}

/// A file that is stored as it is.
///
/// # Errors
/// As [`FileGroup::with`], and if the file is compressed.
pub fn stored(name: &str) -> Result<&'static [u8], Diagnostic> {
    let group = group_with(name).filter(|group| group.length == 0);
    group.and_then(|group| file_of(&group.names, group.files, name)).ok_or_else(|| damaged(name))
}

/// A text that only commands read. `name` is its path in `filters/`, or `demo/` and the name of a file of the demo.
///
/// It is empty if the program is damaged. A test makes sure that it is not.
pub fn text(name: &str) -> &'static str {
    static TEXTS: LazyLock<Option<FileGroup>> = LazyLock::new(|| FileGroup::with(A_TEXT).ok());
    let found = TEXTS.as_ref().and_then(|texts| texts.find(name));
    found.and_then(|text| str::from_utf8(text).ok()).unwrap_or_default()
}

/// The names of all files, group by group.
pub fn names() -> impl Iterator<Item = &'static str> {
    let mut archive = Unpacker::new(ARCHIVE);
    std::iter::from_fn(move || packed_group(&mut archive)).flat_map(|group| group.names)
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
    use crate::api::{catalogue, errors, queries};
    use crate::schema::Class;
    use crate::yaml;

    /// The files in a folder of the repository and in the folders inside it, by their paths after `prefix`.
    fn files(folder: &str, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let (path, is_folder) = entry.map(|entry| (entry.path(), entry.file_type().unwrap().is_dir())).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            if is_folder {
                files(&format!("{folder}/{name}"), &format!("{prefix}{name}/"), found);
            } else {
                found.insert(format!("{prefix}{name}"));
            }
        }
    }

    /// The text of a file by its name in the program.
    fn source(name: &str) -> String {
        let path = if name.starts_with("demo/") { format!("fixtures/{name}") } else { format!("filters/{name}") };
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
    }

    #[test]
    fn every_file_is_in_the_program_as_it_is_parsed() {
        let mut expected = BTreeSet::new();
        files("filters", "", &mut expected);
        files("fixtures/demo", "demo/", &mut expected);
        // The tests of these tables compare them with their files.
        let of_catalogue = catalogue::FILES.map(str::to_owned).into_iter().chain(Class::ALL.map(catalogue::class_file));
        for file in of_catalogue.filter(|file| *file != "lists.yaml" && *file != "fields.tsv") {
            assert!(expected.remove(&file), "{file}");
        }
        expected.insert(catalogue::TABLE.to_owned());
        expected.insert("compat/variables".to_owned());
        let names: Vec<&str> = names().collect();
        assert_eq!(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), expected);
        assert_eq!(names.len(), expected.len(), "a file is there twice");
        let tables = [catalogue::TABLE, errors::FILE, queries::FILE, "compat/variables"];
        for file in names.into_iter().filter(|name| !tables.contains(name)) {
            if file.ends_with(".yaml") {
                assert_eq!(document(file), yaml::parse(&format!("built-in:{file}"), &source(file)), "{file}");
            } else {
                assert_eq!(text(file), source(file), "{file}");
            }
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        let expected = "built-in:no.yaml: this file is damaged in the program";
        assert_eq!(document("no.yaml").unwrap_err().to_string(), expected);
        assert!(document(catalogue::TABLE).is_err() && text("no.json").is_empty());
        assert!(table("lists.yaml", |_| None::<()>).is_err());
    }
}
