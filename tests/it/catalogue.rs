//! What the program knows of the API, held against the table of all fields in `fixtures/fields.tsv` and against recordings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use dockveil::api::Response;
use dockveil::schema::Catalogue;
use serde_json::Value;

use crate::support::fixture;
use crate::support::generated;
use crate::support::leaves::leaves;

/// A row of the table of all fields.
struct Row {
    operation: String,
    path: String,
    kind: String,
    /// The first and the last minor version.
    first: u16,
    last: u16,
}

/// The newest minor version of the table.
const NEWEST: u16 = 55;

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(fixture::root().join("fields.tsv")).unwrap();
    let minor = |version: &str| version.strip_prefix("1.").unwrap().parse().unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [operation, path, kind, first, last] = columns.try_into().unwrap();
            let (operation, path, kind) = (operation.to_owned(), path.to_owned(), kind.to_owned());
            Row { operation, path, kind, first: minor(first), last: minor(last) }
        })
        .collect()
}

/// The steps of a path: a name, `*` for any member, `[*]` for an element, `~` for the keys.
fn steps(path: &str) -> Vec<String> {
    let (mut steps, mut rest) = (Vec::new(), path.strip_prefix('$').unwrap());
    while !rest.is_empty() {
        let (step, after) = if let Some(after) = rest.strip_prefix("[*]") {
            ("[*]", after)
        } else if let Some(quoted) = rest.strip_prefix("['") {
            quoted.split_once("']").unwrap()
        } else if let Some(after) = rest.strip_prefix(".*~") {
            ("~", after)
        } else {
            let name = rest.strip_prefix('.').unwrap();
            name.split_at(name.find(['.', '[']).unwrap_or(name.len()))
        };
        steps.push(step.to_owned());
        rest = after;
    }
    steps
}

/// What a path of the table leads to.
enum Found {
    /// A classified field: the innermost schema, and the field as class files write it.
    Leaf(String, String),
    /// An object or array on the way to fields.
    Way,
    /// Nothing that a class file has.
    Nothing,
}

/// What a path from the documents of `schema` on leads to.
fn find(catalogue: &Catalogue, schema: &str, path: &str) -> Found {
    let root = catalogue.schema(schema).unwrap().root();
    let mut schema = root.nested.clone().unwrap_or_else(|| schema.to_owned());
    let mut field = catalogue.schema(&schema).unwrap().root();
    let mut way = "$".to_owned();
    for step in steps(path) {
        if field.opaque.is_some() {
            break;
        }
        if step == "~" {
            let leaf = field.key_class.as_ref().map(|_| Found::Leaf(schema, format!("{way}.*~")));
            return leaf.unwrap_or(Found::Nothing);
        }
        let below = match step.as_str() {
            "*" => field.any_member.as_deref().map(|below| (below, ".*".to_owned())),
            "[*]" => field.elements.as_deref().map(|below| (below, "[*]".to_owned())),
            name => field.members.get(name).map(|below| (below, member(name))),
        };
        let Some((below, step)) = below else { return Found::Nothing };
        way.push_str(&step);
        field = below;
        if let Some(nested) = &field.nested {
            (schema, way) = (nested.clone(), "$".to_owned());
            field = catalogue.schema(nested).unwrap().root();
        }
    }
    let has_more = !field.members.is_empty() || field.any_member.is_some() || field.elements.is_some();
    match (&field.opaque, &field.class) {
        (Some(_), _) => Found::Leaf(schema, format!("{way}..*")),
        (None, Some(_)) => Found::Leaf(schema, way),
        (None, None) if has_more => Found::Way,
        (None, None) => Found::Nothing,
    }
}

/// A step to a member, as class files write it.
fn member(name: &str) -> String {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        format!(".{name}")
    } else {
        format!("['{name}']")
    }
}

/// The schema of an operation's documents, and its path in the answer.
fn schema_of(operation: &str) -> (&'static str, &'static str) {
    if operation == "Error" {
        return ("Error", "$");
    }
    let operation = dockveil::api::operation(operation).unwrap_or_else(|| panic!("no operation {operation}"));
    let in_array = matches!(operation.response, Response::Array(_));
    (operation.schema().unwrap_or_else(|| panic!("{}", operation.id)), if in_array { "$[*]" } else { "$" })
}

/// Fields that documents have by mistake and no engine sends: schema of the answer, and how their paths begin.
const MISTAKES: &[(&str, &str)] = &[
    // A specification of a swarm inside a node, and one of a service inside a secret.
    ("Node", "$.Description.TLSInfo."),
    ("Secret", "$.Spec."),
    // An array of arrays of containers.
    ("SystemDataUsage", "$.Containers[*][*]"),
    // A range of addresses as a map with keys of any name.
    ("NetworkSummary", "$.IPAM.Config[*].*"),
    ("NetworkInspect", "$.IPAM.Config[*].*"),
    ("Task", "$.NetworksAttachments[*].Network.IPAM.Config[*].*"),
];

/// What the table says of one field.
#[derive(Default)]
struct Known {
    kinds: BTreeSet<String>,
    versions: Option<(u16, u16)>,
}

/// The fields of the table by schema and path, and the rows that lead to none.
fn table(catalogue: &Catalogue) -> (BTreeMap<(String, String), Known>, Vec<String>) {
    let (mut known, mut missing) = (BTreeMap::<_, Known>::new(), Vec::new());
    for row in rows() {
        let (schema, prefix) = schema_of(&row.operation);
        let path = format!("${}", row.path.strip_prefix(prefix).unwrap_or_else(|| panic!("{}", row.path)));
        match find(catalogue, schema, &path) {
            Found::Leaf(schema, path) => {
                let kind = if path.ends_with("..*") { "any" } else { row.kind.as_str() };
                let known = known.entry((schema, path)).or_default();
                known.kinds.insert(kind.to_owned());
                let (first, last) = known.versions.unwrap_or((row.first, row.last));
                known.versions = Some((first.min(row.first), last.max(row.last)));
            }
            Found::Way if row.kind == "object" || row.kind == "any" => {}
            Found::Way | Found::Nothing => missing.push(format!("{schema} {path}")),
        }
    }
    (known, missing)
}

#[test]
fn every_documented_field_has_a_class() {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let (known, missing) = table(&catalogue);
    assert!(known.len() > 1_000, "{}", known.len());
    let is_mistake = |field: &str, (schema, prefix): &(&str, &str)| {
        field.strip_prefix(schema).is_some_and(|path| path.trim_start().starts_with(prefix))
    };
    for diagnostic in MISTAKES {
        assert!(missing.iter().any(|field| is_mistake(field, diagnostic)), "{diagnostic:?} is no mistake any more");
    }
    let missing: Vec<&String> =
        missing.iter().filter(|field| !MISTAKES.iter().any(|diagnostic| is_mistake(field, diagnostic))).collect();
    assert!(missing.is_empty(), "{} fields in no class file: {missing:#?}", missing.len());
}

/// Adds the fields that no table has and only recordings show, as those of Podman.
fn add_recorded(catalogue: &Catalogue, known: &mut BTreeMap<(String, String), Known>) {
    let documented: BTreeSet<_> = known.keys().cloned().collect();
    for fixture in fixture::all() {
        for leaf in fixture.documents().iter().flat_map(|document| leaves(catalogue, fixture.schema(), document)) {
            let field = (leaf.schema, leaf.path);
            if !documented.contains(&field) {
                let kind = match leaf.value {
                    _ if field.1.ends_with("..*") => "any",
                    _ if field.1.ends_with(".*~") => "map-key",
                    Value::String(_) => "string",
                    Value::Bool(_) => "boolean",
                    Value::Number(_) => "integer",
                    Value::Null | Value::Array(_) | Value::Object(_) => "any",
                };
                known.entry(field).or_default().kinds.insert(kind.to_owned());
            }
        }
    }
}

#[test]
fn the_table_in_the_program_is_the_table_of_all_fields() {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let (mut known, _) = table(&catalogue);
    add_recorded(&catalogue, &mut known);
    let mut text = ABOUT.to_owned();
    for schema in catalogue.schemas() {
        writeln!(text, "{}", schema.name()).unwrap();
        for leaf in schema.leaves() {
            let field = known.remove(&(schema.name().to_owned(), leaf.path.clone())).unwrap_or_default();
            let kinds = if field.kinds.is_empty() { "any".to_owned() } else { Vec::from_iter(field.kinds).join("|") };
            let versions = match field.versions {
                None => "-".to_owned(),
                Some((first, NEWEST)) => format!("1.{first}"),
                Some((first, last)) => format!("1.{first}-1.{last}"),
            };
            writeln!(text, "{}\t{kinds}\t{versions}", leaf.path).unwrap();
        }
    }
    assert!(known.is_empty(), "{:#?}", known.keys());
    generated::check("filters/fields.tsv", &text);
}

/// How the table in the program begins.
const ABOUT: &str = "# Type and versions of every field, for `dockveil catalogue`. Made from fixtures/fields.tsv by tests/it/catalogue.rs.\n\
    # Schema, then its fields: path, type, first version and, if it is past, the last one; `-` for a field that only recordings\n\
    # of other engines (Podman) or structures without a document have.\n";
