//! The type and the versions of every field, read from `filters/fields.tsv`.
//!
//! The file is generated from OpenAPI documents and recordings by `tests/it/catalogue`. No decision depends on it: it
//! tells people what `dockveil catalogue` knows.

use std::collections::BTreeMap;
use std::fmt;

use super::{ApiVersion, Versions};

/// The generated file.
const TABLE: &str = include_str!("../../filters/fields.tsv");

/// The minor number of the newest API version that the table is about, which ends its first line; zero if it does not.
pub(super) const NEWEST: u16 = {
    let (_, number) = TABLE.as_bytes().split_at("# API 1.24 to 1.".len());
    match number {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', b'\n', ..] => (*tens - b'0') as u16 * 10 + (*ones - b'0') as u16,
        _ => 0,
    }
};

/// Types and versions of fields, by schema and path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldTable<'t> {
    rows: BTreeMap<(&'t str, &'t str), FieldFacts<'t>>,
}

/// What is known of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldFacts<'t> {
    /// A JSON type, or several with `|` between them; `map-key`; `any` where a driver or plugin decides; the name of a
    /// schema where one nests.
    pub kind: &'t str,
    /// The versions that have the field; `None` if no version is known.
    pub versions: Option<Versions>,
}

impl FieldTable<'static> {
    /// The table inside the program.
    pub fn built_in() -> Self {
        Self::parse(TABLE)
    }
}

impl<'t> FieldTable<'t> {
    /// Reads a table. Lines that are no rows are left out.
    pub fn parse(text: &'t str) -> Self {
        Self { rows: text.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect() }
    }

    /// What is known of the field at `path`, written as in class files.
    pub fn find(&self, schema: &str, path: &str) -> Option<FieldFacts<'t>> {
        self.rows.get(&(schema, path)).copied()
    }
}

/// One line: schema, path, type, first and last version. The last column, `presence`, is for readers of the file.
fn row(line: &str) -> Option<((&str, &str), FieldFacts<'_>)> {
    let mut columns = line.split('\t');
    let mut next = || columns.next();
    let (name, kind, first, last) = ((next()?, next()?), next()?, next()?, next()?);
    let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
    let versions = if first == "-" { None } else { Some(Versions { first: first.parse().ok()?, last }) };
    Some((name, FieldFacts { kind, versions }))
}

impl FieldFacts<'_> {
    /// Whether `version` has the field. One of which no version is known may be in any.
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
    fn rows_have_a_type_and_versions() {
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
