//! The catalogue inside the program: every schema of the API with the class of every field.
//!
//! It is read from files in `filters/`, so that a reviewer reads YAML and not code: `schemas.yaml` (schemas and how they
//! nest), `class/*.yaml` (the class of every field), `blanks.yaml` (what stands for hidden texts), `lists.yaml` (which
//! members hold labels, variables, annotations and options) and `events.yaml` (the types of events).

use super::lists;
use crate::schema::{Catalogue, CatalogueFiles};
use crate::yaml::Diagnostics;

/// The schemas: file name and text.
const SCHEMAS: (&str, &str) = ("built-in:schemas.yaml", include_str!("../../filters/schemas.yaml"));
/// What stands for hidden texts.
const BLANKS: (&str, &str) = ("built-in:blanks.yaml", include_str!("../../filters/blanks.yaml"));
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

/// The built-in catalogue.
///
/// # Errors
/// Every mistake in the files; none in a program whose tests pass.
pub fn built_in() -> Result<Catalogue, Diagnostics> {
    built_in_with(&[])
}

/// The built-in catalogue and the operator's own class files, which add to it. Each file is a name and a text.
///
/// # Errors
/// Every mistake in all the files. A second class for a field is one.
pub fn built_in_with(files: &[(&str, &str)]) -> Result<Catalogue, Diagnostics> {
    Catalogue::parse_files(CatalogueFiles {
        schemas: SCHEMAS,
        classes: &[CLASSES, files].concat(),
        blanks: Some(BLANKS),
        lists: Some((lists::FILE, &lists::ALL)),
        variants: Some(EVENTS),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Field;

    #[test]
    fn the_built_in_catalogue_has_no_mistakes() {
        let catalogue = built_in();
        let found: Vec<String> = catalogue.as_ref().err().into_iter().flatten().map(ToString::to_string).collect();
        assert_eq!(found, Vec::<String>::new());
        for schema in catalogue.unwrap().schemas() {
            let nests = schema.root().nested.is_some() || schema.root().children().next().is_some();
            assert!(nests || !schema.leaves().is_empty(), "{} has no field", schema.name());
        }
    }

    /// Calls `look` with each field of the catalogue and its place.
    fn each_field(look: &mut dyn FnMut(&str, &Field)) {
        fn walk(path: &str, field: &Field, look: &mut dyn FnMut(&str, &Field)) {
            look(path, field);
            for (step, below) in field.children() {
                walk(&format!("{path}{step}"), below, look);
            }
        }
        for schema in built_in().unwrap().schemas() {
            walk(schema.name(), schema.root(), look);
        }
    }

    #[test]
    fn the_keys_of_every_map_have_a_class() {
        each_field(&mut |path, field| {
            assert_eq!(field.any_member.is_some(), field.key_class.is_some(), "{path}: `.*` and `.*~` go together");
        });
    }

    /// Typed clients read `Id` and `ID` alike, so a class that depends on the case would not hold.
    #[test]
    fn members_that_differ_only_in_case_are_alike() {
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
