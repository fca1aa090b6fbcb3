//! The types of fields: a value of another type than the catalogue says is unknown, and unknown is hidden.

use std::collections::BTreeMap;

use dockveil::api::FieldTable;
use dockveil::filter::Plan;
use dockveil::profile::Profiles;
use dockveil::schema::Field;
use serde_json::{Value, json};

use crate::harness::{Test, tests};
use crate::support::built_in::catalogue;
use crate::support::fixture;
use crate::support::leaves::step;

pub(crate) const TESTS: &[Test] = tests![a_value_of_another_type_than_its_field_has_is_hidden];

/// A profile that shows every class.
const ALL: &str =
    "profile: all\nallow: [Ping]\nshow: [secret, command, free-text, host-path, topology, host, identity, state]\n";

/// The JSON types, each with two values.
fn samples() -> [(&'static str, Value, Value); 5] {
    [
        ("string", json!("one"), json!("another")),
        ("number", json!(11), json!(12.5)),
        ("boolean", json!(true), json!(false)),
        ("object", json!({"one": "one"}), json!({"another": [1]})),
        ("array", json!(["one"]), json!([{"another": 1}, 2])),
    ]
}

/// A place in a recorded answer: a field and a pointer to its value.
struct Place<'c> {
    document: &'static Value,
    root: &'static str,
    pointer: String,
    schema: &'c str,
    path: String,
    field: &'c Field,
}

/// Collects the first place of every field.
fn places<'c>(place: Place<'c>, value: &'static Value, found: &mut BTreeMap<(&'c str, String), Place<'c>>) {
    if let Some(nested) = place.field.nested.as_deref() {
        let schema = catalogue().schema(nested).unwrap();
        let inner = Place { schema: schema.name(), path: "$".to_owned(), field: schema.root(), ..place };
        return places(inner, value, found);
    }
    let below = |name: &str, step: &str, field: &'c Field| {
        let name = name.replace('~', "~0").replace('/', "~1");
        let pointer = format!("{}/{name}", place.pointer);
        Place { pointer, path: format!("{}{step}", place.path), field, ..place }
    };
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match (place.field.members.get(name), &place.field.any_member) {
                    (Some(field), _) => places(below(name, &step(name), field), value, found),
                    (None, Some(field)) => places(below(name, ".*", field), value, found),
                    (None, None) => {}
                }
            }
        }
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                if let Some(field) = &place.field.elements {
                    places(below(&index.to_string(), "[*]", field), value, found);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    found.entry((place.schema, place.path.clone())).or_insert(place);
}

/// The types that a field may have; `None` if a driver decides.
fn types(table: &FieldTable<'_>, place: &Place<'_>) -> Option<Vec<String>> {
    let field = place.field;
    let mut types = Vec::new();
    if field.opaque.is_some() {
        return None;
    }
    if !field.members.is_empty() || field.any_member.is_some() {
        types.push("object".to_owned());
    }
    if field.elements.is_some() {
        types.push("array".to_owned());
    }
    if field.class.is_some() {
        let kinds = table.find(place.schema, &place.path).unwrap().kind.split('|');
        types.extend(kinds.map(|kind| kind.replace("integer", "number")));
    }
    if types.iter().any(|kind| kind == "any") { None } else { Some(types) }
}

fn a_value_of_another_type_than_its_field_has_is_hidden() {
    let profiles = Profiles::parse(&[("all.yaml", ALL)], catalogue()).unwrap();
    let all = profiles.get("all").unwrap();
    let mut found = BTreeMap::new();
    for fixture in fixture::all() {
        let schema = catalogue().schema(fixture.schema()).unwrap();
        for document in fixture.documents() {
            let (schema, root) = (schema.name(), schema.root());
            let (pointer, path) = (String::new(), "$".to_owned());
            let place = Place { document, root: fixture.schema(), pointer, schema, path, field: root };
            places(place, document, &mut found);
        }
    }
    let table = FieldTable::built_in();
    let (mut plans, mut tried, mut wrong) = (BTreeMap::new(), 0, Vec::new());
    for ((schema, path), place) in &found {
        let Some(types) = types(&table, place) else { continue };
        let plan = plans
            .entry(place.root)
            .or_insert_with(|| Plan::compile(catalogue(), place.root, &all.show, &all.rules).unwrap());
        let read = |value: &Value| {
            let mut changed = place.document.clone();
            *changed.pointer_mut(&place.pointer).unwrap() = value.clone();
            let mut out = Vec::new();
            plan.apply(changed.to_string().as_bytes(), &mut out).unwrap();
            out
        };
        for (kind, one, another) in samples() {
            if !types.iter().any(|known| known == kind) {
                tried += 1;
                if read(&one) != read(&another) {
                    wrong.push(format!("{schema} {path} passes a {kind}, expected {}", types.join(" or ")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}: {wrong:#?}", wrong.len());
    assert!(found.len() > 900 && tried > 3_500, "{} fields, {tried} values", found.len());
}
