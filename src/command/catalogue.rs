//! `catalogue`: every field of a schema, with its type, its class and the versions that have it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use super::{Error, OK, load};
use crate::api::{ApiVersion, OPERATIONS, operation};
use crate::cli::{self, Environment};
use crate::schema::{Catalogue, Field, Schema};
use crate::yaml::{Diagnostic, Location, unknown_or};

/// Type and versions of every field, by schema.
const FIELDS: &str = include_str!("../../filters/fields.tsv");

/// What the table says of one field.
#[derive(Clone, Copy)]
struct Known {
    kind: &'static str,
    /// As the table has them: `1.24`, `1.24-1.51`, or `-`.
    versions: &'static str,
}

impl Known {
    /// Whether a version has the field; one of which no version is known may be in any.
    fn is_in(self, version: ApiVersion) -> bool {
        let (first, last) = self.versions.split_once('-').unwrap_or((self.versions, ""));
        !first.parse().is_ok_and(|first: ApiVersion| version < first)
            && !last.parse().is_ok_and(|last: ApiVersion| version > last)
    }
}

/// The part of the table that is about one schema, by path.
fn known(schema: &str) -> BTreeMap<&'static str, Known> {
    let lines = FIELDS.lines().filter(|line| !line.starts_with('#'));
    let fields = lines.skip_while(|line| *line != schema).skip(1).take_while(|line| line.contains('\t'));
    fields
        .filter_map(|line| {
            let mut columns = line.split('\t');
            Some((columns.next()?, Known { kind: columns.next()?, versions: columns.next()? }))
        })
        .collect()
}

/// Lists the schemas, or the fields of the one that `arguments` name.
///
/// # Errors
/// [`Error`].
pub fn catalogue(arguments: &cli::CatalogueArgs, environment: &Environment, out: &mut dyn Write) -> Result<u8, Error> {
    let filters = load(&arguments.files, environment)?;
    let flag = |name: &str, message: String| Error::from(Diagnostic::new(&Location::file(name), message));
    let version = match &arguments.api {
        None => None,
        Some(text) => Some(
            text.parse::<ApiVersion>()
                .map_err(|_| flag("--api", format!("found {text:?}, expected a version such as 1.44")))?,
        ),
    };
    let Some(name) = &arguments.schema else {
        list(&filters.catalogue, version, out)?;
        return Ok(OK);
    };
    let named = operation(name).and_then(|operation| operation.schema()).unwrap_or(name);
    let Some(schema) = filters.catalogue.schema(named) else {
        let names = filters.catalogue.schemas().map(Schema::name);
        let names = names.chain(OPERATIONS.iter().filter(|known| known.schema().is_some()).map(|known| known.id));
        let expected = "one that `dockveil catalogue` lists";
        return Err(flag("SCHEMA", unknown_or("schema", name, names, expected)));
    };
    fields(&filters.catalogue, schema, version, out)?;
    Ok(OK)
}

/// The schema that has the fields of `schema`: itself, or the one that it is another name of.
fn described<'c>(catalogue: &'c Catalogue, schema: &'c Schema) -> &'c Schema {
    schema.root().nested.as_deref().and_then(|name| catalogue.schema(name)).unwrap_or(schema)
}

/// Every schema, with the number of its fields and the operations that answer with it.
fn list(catalogue: &Catalogue, version: Option<ApiVersion>, out: &mut dyn Write) -> Result<(), Error> {
    let width = catalogue.schemas().map(|schema| schema.name().len()).max().unwrap_or(0);
    for schema in catalogue.schemas() {
        let described = described(catalogue, schema);
        let known = known(described.name());
        let is_in = |path: &str| version.is_none_or(|version| known.get(path).is_none_or(|known| known.is_in(version)));
        let count = described.leaves().iter().filter(|leaf| is_in(&leaf.path)).count();
        let answering = OPERATIONS.iter().filter(|operation| operation.schema() == Some(schema.name()));
        let answering: Vec<&str> = answering.map(|operation| operation.id).collect();
        writeln!(out, "{:width$}  {count:3} fields  {}", schema.name(), answering.join(", "))?;
    }
    Ok(())
}

/// The fields of one schema, then the schemas inside it.
fn fields(
    catalogue: &Catalogue,
    schema: &Schema,
    version: Option<ApiVersion>,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let described = described(catalogue, schema);
    let known = known(described.name());
    let unknown = Known { kind: "-", versions: "-" };
    let rows: Vec<_> = described
        .leaves()
        .into_iter()
        .map(|leaf| {
            let known = known.get(leaf.path.as_str()).copied().unwrap_or(unknown);
            (leaf, known)
        })
        .filter(|(_, known)| version.is_none_or(|version| known.is_in(version)))
        .collect();
    let path = rows.iter().map(|(leaf, _)| leaf.path.len()).max().unwrap_or(0);
    let kind = rows.iter().map(|(_, known)| known.kind.len()).max().unwrap_or(0);
    match version {
        Some(version) => writeln!(out, "{}  API {version}", schema.name())?,
        None => writeln!(out, "{}", schema.name())?,
    }
    for (leaf, known) in rows {
        let and_later = if known.versions.contains('-') { "" } else { "+" };
        writeln!(out, "  {:path$}  {:kind$}  {:9}  {}{and_later}", leaf.path, known.kind, leaf.class, known.versions)?;
    }
    let mut inside = BTreeSet::new();
    nested(described.root(), &mut "$".to_owned(), &mut inside);
    for (path, name) in inside {
        writeln!(out, "  {path}  is {name}")?;
    }
    Ok(())
}

/// Collects where other schemas are.
fn nested(field: &Field, path: &mut String, found: &mut BTreeSet<(String, String)>) {
    if let Some(name) = &field.nested {
        found.insert((path.clone(), name.clone()));
    }
    let length = path.len();
    let members = field.members.iter().map(|(name, below)| (format!(".{name}"), below));
    let others = field.any_member.iter().map(|below| (".*".to_owned(), &**below));
    let elements = field.elements.iter().map(|below| ("[*]".to_owned(), &**below));
    for (step, below) in members.chain(others).chain(elements) {
        path.push_str(&step);
        nested(below, path, found);
        path.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(schema: Option<&str>, api: Option<&str>) -> Result<String, String> {
        let arguments = cli::CatalogueArgs {
            schema: schema.map(ToOwned::to_owned),
            api: api.map(ToOwned::to_owned),
            ..cli::CatalogueArgs::default()
        };
        let mut out = Vec::new();
        match catalogue(&arguments, &Environment::default(), &mut out) {
            Ok(code) => assert_eq!(code, OK),
            Err(Error::Diagnostics(diagnostics)) => return Err(diagnostics.iter().next().unwrap().to_string()),
            Err(error @ (Error::Io(_) | Error::Server(_))) => panic!("{error:?}"),
        }
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_schema_of_the_catalogue_has_its_fields_in_the_table() {
        for schema in crate::api::catalogue::built_in().unwrap().schemas() {
            let known = known(schema.name());
            let leaves = schema.leaves();
            assert_eq!(known.len(), leaves.len(), "{}", schema.name());
            assert!(leaves.iter().all(|leaf| known.contains_key(leaf.path.as_str())), "{}", schema.name());
        }
    }

    #[test]
    fn fields_have_type_class_and_versions() {
        let text = printed(Some("HealthConfig"), None).unwrap();
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "HealthConfig",
                "$.Interval integer state 1.24+",
                "$.Retries integer state 1.24+",
                "$.StartInterval integer state 1.44+",
                "$.StartPeriod integer state 1.29+",
                "$.Test[*] string command 1.24+",
                "$.Timeout integer state 1.24+",
            ]
        );
        assert!(printed(Some("ContainerList"), None).unwrap().contains("$.Mounts[*]  is MountPoint"));
    }

    #[test]
    fn a_version_has_its_own_fields() {
        let has =
            |api, field: &str| printed(Some("ImageInspect"), Some(api)).unwrap().contains(&format!("  $.{field} "));
        assert!(has("1.24", "Container") && !has("1.55", "Container") && has("1.55", "Id"));
        assert!(!printed(Some("HealthConfig"), Some("1.43")).unwrap().contains("StartInterval"));
        assert!(printed(None, None).unwrap().contains("ContainerInspect"));
    }

    #[test]
    fn what_there_is_not_is_said() {
        assert_eq!(
            printed(Some("ContainerInspct"), None),
            Err("SCHEMA: unknown schema \"ContainerInspct\", did you mean \"ContainerInspect\"?".to_owned())
        );
        assert_eq!(printed(None, Some("new")), Err("--api: found \"new\", expected a version such as 1.44".to_owned()));
    }
}
