//! `catalogue`: every field of a schema, with its type, its class and the versions that have it.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::{CommandError, OK, api_version, argument_error, json, load};
use crate::api::{ApiVersion, FieldFacts, FieldTable, OPERATIONS, operation};
use crate::cli::{self, Environment, Output};
use crate::schema::{Catalogue, Field, Leaf, Schema};
use crate::yaml::unknown_or;

/// Writes the list of schemas, or the fields of the schema that `arguments` name.
///
/// # Errors
/// [`CommandError`].
pub fn catalogue(
    arguments: &cli::CatalogueArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<u8, CommandError> {
    let filters = load(&arguments.files, environment)?;
    let version = arguments.api.as_deref().map(api_version).transpose()?;
    let Some(name) = &arguments.schema else {
        match arguments.output.output {
            Output::Text => list(&filters.catalogue, version, out)?,
            Output::Json => json::write(&list_to_json(&filters.catalogue, version), out)?,
        }
        return Ok(OK);
    };
    let named = operation(name).and_then(|operation| operation.schema()).unwrap_or(name);
    let Some(schema) = filters.catalogue.schema(named) else {
        let names = filters.catalogue.names();
        let names = names.chain(OPERATIONS.iter().filter(|known| known.schema().is_some()).map(|known| known.id));
        let expected = "one that `dockveil catalogue` lists";
        return Err(argument_error("SCHEMA", unknown_or("schema", name, names, expected)).into());
    };
    let table = FieldTable::built_in();
    let described = DescribedSchema::of(&filters.catalogue, &table, schema, version);
    match arguments.output.output {
        Output::Text => write!(out, "{described}")?,
        Output::Json => json::write(&described.to_json(), out)?,
    }
    Ok(OK)
}

/// The schema that has the fields of `schema`: itself, or the one that it is another name for.
fn described<'c>(catalogue: &'c Catalogue, schema: &'c Schema) -> &'c Schema {
    schema.root().nested.as_deref().and_then(|name| catalogue.schema(name)).unwrap_or(schema)
}

/// A schema in the list: its name, how many fields it has, and the operations that answer with it.
fn listed(
    catalogue: &Catalogue,
    version: Option<ApiVersion>,
) -> impl Iterator<Item = (&str, usize, Vec<&'static str>)> {
    let table = FieldTable::built_in();
    catalogue.schemas().map(move |schema| {
        let described = described(catalogue, schema);
        let is_in = |path: &str| is_in(table.find(described.name(), path), version);
        let count = described.leaves().iter().filter(|leaf| is_in(&leaf.path)).count();
        let answering = OPERATIONS.iter().filter(|operation| operation.schema() == Some(schema.name()));
        (schema.name(), count, answering.map(|operation| operation.id).collect())
    })
}

/// Writes every schema.
fn list(catalogue: &Catalogue, version: Option<ApiVersion>, out: &mut dyn Write) -> io::Result<()> {
    let width = catalogue.names().map(str::len).max().unwrap_or(0);
    for (name, count, answering) in listed(catalogue, version) {
        writeln!(out, "{name:width$}  {count:3} fields  {}", answering.join(", "))?;
    }
    Ok(())
}

fn list_to_json(catalogue: &Catalogue, version: Option<ApiVersion>) -> Value {
    let schemas = listed(catalogue, version)
        .map(|(name, fields, operations)| json!({ "name": name, "fields": fields, "operations": operations }));
    json!({ "schemas": schemas.collect::<Vec<_>>() })
}

/// Whether a version has a field. A field that the table lacks, of a class file of the operator, may be in any.
fn is_in(facts: Option<FieldFacts<'_>>, version: Option<ApiVersion>) -> bool {
    facts.zip(version).is_none_or(|(facts, version)| facts.is_in(version))
}

/// Writes the fields of a schema that `version` has, or all, each with type, class and versions; then the schemas that
/// nest in it.
///
/// # Errors
/// Those of `out`.
pub fn describe(
    catalogue: &Catalogue,
    table: &FieldTable<'_>,
    schema: &Schema,
    version: Option<ApiVersion>,
    out: &mut dyn Write,
) -> io::Result<()> {
    write!(out, "{}", DescribedSchema::of(catalogue, table, schema, version))
}

/// The fields of a schema, and the schemas that nest in it.
struct DescribedSchema<'c, 't> {
    name: &'c str,
    version: Option<ApiVersion>,
    fields: Vec<(FieldFacts<'t>, Leaf)>,
    /// The places where other schemas nest, each with the name of the schema.
    nested: Vec<(String, String)>,
}

impl<'c, 't> DescribedSchema<'c, 't> {
    fn of(
        catalogue: &'c Catalogue,
        table: &'t FieldTable<'_>,
        schema: &'c Schema,
        version: Option<ApiVersion>,
    ) -> Self {
        let described = described(catalogue, schema);
        let find = |path: &str| table.find(described.name(), path);
        let unknown = FieldFacts { kind: "-", versions: None };
        let leaves = described.leaves().into_iter().filter(|leaf| is_in(find(&leaf.path), version));
        let fields = leaves.map(|leaf| (find(&leaf.path).unwrap_or(unknown), leaf)).collect();
        let mut inside = BTreeSet::new();
        nested(described.root(), &mut "$".to_owned(), &mut inside);
        let nested = inside.into_iter().filter(|(path, _)| is_in(find(path), version)).collect();
        Self { name: schema.name(), version, fields, nested }
    }

    fn to_json(&self) -> Value {
        let fields = self.fields.iter().map(|(facts, leaf)| {
            let versions = facts.versions.map(|versions| {
                json!({ "first": versions.first.to_string(), "last": versions.last.map(|last| last.to_string()) })
            });
            json!({ "path": leaf.path, "type": facts.kind, "class": leaf.class.as_str(), "versions": versions })
        });
        let nested = self.nested.iter().map(|(path, schema)| json!({ "path": path, "schema": schema }));
        json!({
            "schema": self.name, "api": self.version.map(|version| version.to_string()),
            "fields": fields.collect::<Vec<_>>(), "nested": nested.collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for DescribedSchema<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.fields.iter().map(|(_, leaf)| leaf.path.len()).max().unwrap_or(0);
        let kind = self.fields.iter().map(|(facts, _)| facts.kind.len()).max().unwrap_or(0);
        match self.version {
            Some(version) => writeln!(f, "{}  API {version}", self.name)?,
            None => writeln!(f, "{}", self.name)?,
        }
        for (facts, leaf) in &self.fields {
            writeln!(f, "  {:path$}  {:kind$}  {:9}  {facts}", leaf.path, facts.kind, leaf.class)?;
        }
        self.nested.iter().try_for_each(|(path, name)| writeln!(f, "  {path}  is {name}"))
    }
}

/// Collects the places where other schemas nest, each with the name of the schema.
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
            Err(CommandError::Diagnostics(diagnostics)) => return Err(diagnostics.iter().next().unwrap().to_string()),
            Err(error @ (CommandError::Io(_) | CommandError::Server(_))) => panic!("{error:?}"),
        }
        Ok(String::from_utf8(out).unwrap())
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
        assert!(printed(Some("SystemDataUsage"), Some("1.52")).unwrap().contains("$.VolumeUsage.Items[*]  is Volume"));
        assert!(!printed(Some("SystemDataUsage"), Some("1.51")).unwrap().contains("$.VolumeUsage.Items[*]  is Volume"));
        assert!(printed(None, None).unwrap().contains("ContainerInspect"));
    }

    #[test]
    fn another_name_of_a_schema_has_the_same_fields() {
        let [network, summary] = ["Network", "NetworkSummary"].map(|schema| printed(Some(schema), None).unwrap());
        assert_eq!(summary, network.replacen("Network", "NetworkSummary", 1));
    }

    #[test]
    fn an_unknown_schema_or_version_is_an_error() {
        assert_eq!(
            printed(Some("ContainerInspct"), None),
            Err("SCHEMA: unknown schema \"ContainerInspct\", did you mean \"ContainerInspect\"?".to_owned())
        );
        assert_eq!(printed(None, Some("new")), Err("--api: found \"new\", expected a version such as 1.44".to_owned()));
    }
}
