//! The type and the versions of every field, from `filters/fields.tsv`.
//!
//! `tests/it/catalogue` generates the file from OpenAPI documents and recordings. `dockveil catalogue` prints what is read
//! here. The catalogue reads types and presence for itself: plans hide a value of another type, and a hidden member that
//! is always written has a blank.

use std::collections::BTreeMap;
use std::fmt;

use super::{ApiVersion, Versions};
use crate::embedded;

/// The generated file, of which the compiler reads the first line. The program has it packed.
const TABLE: &str = include_str!("../../filters/fields.tsv");

/// The minor number of the newest API version in the table, from the end of its first line. A test checks the line.
pub(super) const NEWEST: u16 = {
    let (_, number) = TABLE.as_bytes().split_at("# API 1.24 to 1.".len());
    match number {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', b'\n', ..] => (*tens - b'0') as u16 * 10 + (*ones - b'0') as u16,
        _ => 0,
    }
};

/// The type and the versions of fields, by schema and path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldTable<'t> {
    rows: BTreeMap<(&'t str, &'t str), FieldFacts<'t>>,
}

/// The type and the versions of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldFacts<'t> {
    /// A JSON type, or several separated by `|`; `map-key`; `any` if a driver or plugin decides; or the name of a nested
    /// schema.
    pub kind: &'t str,
    /// The versions that have the field; `None` if no version is known.
    pub versions: Option<Versions>,
}

impl FieldTable<'static> {
    /// Reads the built-in table.
    pub fn built_in() -> Self {
        Self::parse(embedded::text("fields.tsv"))
    }
}

impl<'t> FieldTable<'t> {
    /// Reads a table. Skips comments and malformed lines.
    pub fn parse(text: &'t str) -> Self {
        Self { rows: text.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect() }
    }

    /// Finds a field by its schema and its path, as written in class files.
    pub fn find(&self, schema: &str, path: &str) -> Option<FieldFacts<'t>> {
        self.rows.get(&(schema, path)).copied()
    }
}

/// Reads a line: schema, path, type, first and last version. The last column, `presence`, is not read.
fn row(line: &str) -> Option<((&str, &str), FieldFacts<'_>)> {
    let mut columns = line.split('\t');
    let mut next = || columns.next();
    let (name, kind, first, last) = ((next()?, next()?), next()?, next()?, next()?);
    let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
    let versions = if first == "-" { None } else { Some(Versions { first: first.parse().ok()?, last }) };
    Some((name, FieldFacts { kind, versions }))
}

impl FieldFacts<'_> {
    /// Whether `version` has the field. Returns true if no version of the field is known.
    pub fn is_in(&self, version: ApiVersion) -> bool {
        self.versions.is_none_or(|Versions { first, last }| first <= version && last.is_none_or(|last| version <= last))
    }
}

/// Writes `1.24+`, `1.24-1.51`, or `-` if no version is known.
impl fmt::Display for FieldFacts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.versions {
            Some(Versions { first, last: Some(last) }) => write!(f, "{first}-{last}"),
            Some(Versions { first, last: None }) => write!(f, "{first}+"),
            None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(row: &str, expected: &str, versions: [(u16, bool); 3]) {
        let table = FieldTable::parse(row);
        let facts = table.find("Schema", "$.Field").unwrap();
        assert_eq!(facts.to_string(), expected);
        for (version, is_in) in versions {
            assert_eq!(facts.is_in(ApiVersion::new(version)), is_in, "{row:?} in 1.{version}");
        }
    }

    #[test]
    fn a_row_has_a_type_and_versions() {
        check("Schema\t$.Field\tstring\t1.30\t", "1.30+", [(29, false), (30, true), (99, true)]);
        check("Schema\t$.Field\tstring\t1.30\t1.51", "1.30-1.51", [(29, false), (51, true), (52, false)]);
        check("Schema\t$.Field\tstring\t-\t", "-", [(24, true), (51, true), (99, true)]);
        let table = FieldTable::parse("# a comment\nSchema\t$.Field\tmap-key\t-\t\n\nSchema\t$.Other\tstring\n");
        assert_eq!(table.rows.keys().collect::<Vec<_>>(), [&("Schema", "$.Field")]);
    }

    #[test]
    fn every_line_of_the_table_is_a_row() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(FieldTable::built_in().rows.len(), lines);
        assert!(TABLE.starts_with(&format!("# API {} to {}\n", ApiVersion::MIN, ApiVersion::NEWEST)));
    }

    #[test]
    fn every_field_of_the_catalogue_is_in_the_table() {
        let table = FieldTable::built_in();
        for schema in crate::api::catalogue::built_in().unwrap().schemas() {
            for leaf in schema.leaves() {
                assert!(table.find(schema.name(), &leaf.path).is_some(), "{} {}", schema.name(), leaf.path);
            }
        }
    }
}
