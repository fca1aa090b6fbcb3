//! The built-in catalogue: every schema of the API with the class of every field.
//!
//! It is read from files in `filters/`, so that a reviewer reads YAML and not code: `schemas.yaml` (schemas and how they
//! nest), `class/*.yaml` (the class of every field), `blanks.yaml` (what replaces a hidden text), `lists.yaml` (which
//! members hold labels, variables, annotations and options) and `events.yaml` (types of events and their attributes).

use super::lists;
use crate::schema::{Catalogue, CatalogueFiles};
use crate::yaml::{Diagnostics, Node};

/// The schemas, as file name and text.
const SCHEMAS: (&str, &str) = ("built-in:schemas.yaml", include_str!("../../filters/schemas.yaml"));
/// What replaces hidden texts.
const BLANKS: (&str, &str) = ("built-in:blanks.yaml", include_str!("../../filters/blanks.yaml"));
/// The types of every field, and whether engines always write it.
const FIELDS: (&str, &str) = ("built-in:fields.tsv", include_str!("../../filters/fields.tsv"));
/// The types of events.
const EVENTS: (&str, &str) = ("built-in:events.yaml", include_str!("../../filters/events.yaml"));
/// The class files, one per class.
const CLASSES: &[(&str, &str)] = &[
    ("built-in:class/secret.yaml", include_str!("../../filters/class/secret.yaml")),
    ("built-in:class/command.yaml", include_str!("../../filters/class/command.yaml")),
    ("built-in:class/free-text.yaml", include_str!("../../filters/class/free-text.yaml")),
    ("built-in:class/host-path.yaml", include_str!("../../filters/class/host-path.yaml")),
    ("built-in:class/topology.yaml", include_str!("../../filters/class/topology.yaml")),
    ("built-in:class/host.yaml", include_str!("../../filters/class/host.yaml")),
    ("built-in:class/identity.yaml", include_str!("../../filters/class/identity.yaml")),
    ("built-in:class/state.yaml", include_str!("../../filters/class/state.yaml")),
];

/// Reads the built-in catalogue.
///
/// # Errors
/// Every error in the files. A test makes sure that there is none.
pub fn built_in() -> Result<Catalogue, Diagnostics> {
    built_in_with(&[])
}

/// Reads the built-in catalogue and adds the operator's own class files.
///
/// # Errors
/// Every error in all the files. A field with two classes is an error.
pub fn built_in_with(files: &[Node]) -> Result<Catalogue, Diagnostics> {
    Catalogue::parse_files(CatalogueFiles {
        schemas: SCHEMAS,
        classes: CLASSES,
        parsed_classes: files,
        blanks: Some(BLANKS),
        fields: Some(FIELDS),
        lists: Some((lists::FILE, &lists::ALL)),
        variants: Some(EVENTS),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Field;

    #[test]
    fn the_built_in_catalogue_has_no_errors() {
        let catalogue = built_in();
        let found: Vec<String> = catalogue.as_ref().err().into_iter().flatten().map(ToString::to_string).collect();
        assert_eq!(found, Vec::<String>::new());
        for schema in catalogue.unwrap().schemas() {
            let nests = schema.root().nested.is_some() || schema.root().children().next().is_some();
            assert!(nests || !schema.leaves().is_empty(), "{} has no field", schema.name());
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
