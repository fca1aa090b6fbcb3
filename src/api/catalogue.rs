//! The built-in catalogue: every schema of the API with the class of every field.
//!
//! It is made of files in `filters/`, so that a reviewer reads YAML and not code: `schemas.yaml` (schemas and how they
//! nest), `class/*.yaml` (the class of every field), `blanks.yaml` (what replaces a hidden text), `fields.tsv` (the types of every
//! field), `lists.yaml` (which members hold labels, variables, annotations and options) and `events.yaml` (types of events and their
//! attributes). `build.rs` reads them and packs the whole.

use super::lists;
use crate::embedded;
use crate::schema::{Catalogue, CatalogueFiles, Class};
use crate::yaml::{self, Diagnostic, Diagnostics, Location, Node};

/// The name under which the program has the catalogue packed.
pub const TABLE: &str = "catalogue";

/// The files that the catalogue is made of, apart from those of the classes.
pub const FILES: [&str; 5] = ["schemas.yaml", "blanks.yaml", "fields.tsv", lists::FILE, "events.yaml"];

/// The built-in catalogue.
///
/// # Errors
/// The program is damaged. A test makes sure that it is not.
pub fn built_in() -> Result<Catalogue, Diagnostics> {
    let packed = embedded::stored(TABLE)?;
    let damaged = || Diagnostic::new(&Location::file(TABLE), "the catalogue is damaged in the program");
    Ok(Catalogue::unpack(packed, &lists::ALL).ok_or_else(damaged)?)
}

/// The built-in catalogue with the operator's own class files.
///
/// # Errors
/// Every error in the files. A field with two classes is an error.
pub fn built_in_with(files: &[Node]) -> Result<Catalogue, Diagnostics> {
    let catalogue = built_in()?;
    if files.is_empty() { Ok(catalogue) } else { catalogue.with_class_files(files) }
}

/// The name of the file of a class.
pub fn class_file(class: Class) -> String {
    format!("class/{class}.yaml")
}

/// Makes the catalogue of its files. `text` returns the text of one by its path in `filters/`.
///
/// # Errors
/// Every error in the files.
pub fn of_files(text: impl Fn(&str) -> String) -> Result<Catalogue, Diagnostics> {
    let name = |file: &str| format!("built-in:{file}");
    let classes = Class::ALL.map(class_file).map(|file| (name(&file), text(&file)));
    let classes: Vec<(&str, &str)> = classes.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let files = FILES.map(|file| (name(file), text(file)));
    let [schemas, blanks, fields, lists, events] = files.each_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    Catalogue::parse_files(CatalogueFiles {
        schemas,
        classes: &classes,
        blanks: Some(blanks),
        fields: Some(fields),
        lists: Some((&yaml::parse(lists.0, lists.1)?, &lists::ALL)),
        variants: Some(events),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Field;

    /// A file of this repository.
    fn text(file: &str) -> String {
        std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("filters").join(file)).unwrap()
    }

    #[test]
    fn the_files_have_no_errors_and_are_packed_whole() {
        let catalogue = of_files(text);
        let found: Vec<String> = catalogue.as_ref().err().into_iter().flatten().map(ToString::to_string).collect();
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(built_in(), catalogue);
        for schema in catalogue.unwrap().schemas() {
            let nests = schema.root().nested.is_some() || schema.root().children().next().is_some();
            assert!(nests || !schema.leaves().is_empty(), "{} has no field", schema.name());
        }
    }

    /// A class file of the operator gives its fields the same classes and lists as the same file inside the program.
    #[test]
    fn a_class_file_that_is_added_is_as_good_as_one_of_the_program() {
        let texts = Class::ALL.map(|class| (class_file(class), text(&class_file(class))));
        let classes: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let (schemas, lists) = (text("schemas.yaml"), lists::document().unwrap());
        let catalogue = |classes: &[(&str, &str)]| {
            let lists = Some((&lists, &lists::ALL[..]));
            let files =
                CatalogueFiles { schemas: ("schemas.yaml", &schemas), classes, lists, ..CatalogueFiles::default() };
            Catalogue::parse_files(files).unwrap()
        };
        let whole = catalogue(&classes);
        for number in 0..classes.len() {
            let mut others = classes.clone();
            let (name, text) = others.remove(number);
            let added = [yaml::parse(name, text).unwrap()];
            assert_eq!(catalogue(&others).with_class_files(&added).as_ref(), Ok(&whole), "{name}");
            assert!(whole.clone().with_class_files(&added).is_err(), "{name}");
        }
    }

    /// Calls `visit` with the path of each field of the catalogue and the field.
    fn each_field(visit: &mut dyn FnMut(&str, &Field)) {
        fn walk(path: &str, field: &Field, visit: &mut dyn FnMut(&str, &Field)) {
            visit(path, field);
            for (step, below) in field.children() {
                walk(&format!("{path}{step}"), below, visit);
            }
        }
        for schema in built_in().unwrap().schemas() {
            walk(schema.name(), schema.root(), visit);
        }
    }

    #[test]
    fn the_keys_of_every_map_have_a_class() {
        each_field(&mut |path, field| {
            assert_eq!(field.any_member.is_some(), field.key_class.is_some(), "{path}: `.*` and `.*~` go together");
        });
    }

    /// Clients written in Go take `Id` for `ID`, so both must have one class.
    #[test]
    fn members_that_differ_only_in_case_have_the_same_class() {
        each_field(&mut |path, field| {
            for (name, one) in &field.members {
                for (other, two) in field.members.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)) {
                    let class = |field: &Field| field.class.as_ref().map(|(class, _)| *class);
                    assert_eq!(class(one), class(two), "{path}: {name} and {other}");
                    assert_eq!(one.nested, two.nested, "{path}: {name} and {other}");
                }
            }
        });
    }
}
