//! A field that no class file has: an engine of tomorrow sends it, at every level of every answer.

use dockveil::filter::{Plan, Show};
use dockveil::profile::Profiles;
use dockveil::schema::ClassSet;
use serde_json::{Value, json};

use crate::support::fixture;
use crate::support::leaves::leaves;

/// A name that no engine uses.
const NEW: &str = "TomorrowsField";

/// The document with a new member in every object; how many there are.
fn grown(document: &Value, count: &mut usize) -> Value {
    match document {
        Value::Object(members) => {
            let old = members.iter().map(|(name, value)| (name.clone(), grown(value, count)));
            let mut members: serde_json::Map<String, Value> = old.collect();
            members.insert(NEW.to_owned(), json!({"deep": ["tomorrows-value"]}));
            *count += 1;
            Value::Object(members)
        }
        Value::Array(elements) => Value::Array(elements.iter().map(|element| grown(element, count)).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => document.clone(),
    }
}

fn applied(plan: &Plan, document: &Value) -> String {
    let mut out = Vec::new();
    plan.apply(document.to_string().as_bytes(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// How often a new member is in a text.
fn times(text: &str) -> usize {
    text.matches(&format!("\"{NEW}\"")).count()
}

#[test]
fn a_new_field_comes_out_of_no_built_in_profile() {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let profiles = Profiles::built_in(&catalogue).unwrap();
    let fixtures = fixture::all();
    let mut looked_at = 0;
    for profile in profiles.iter() {
        for fixture in fixtures {
            let answered = fixture.answered().is_none_or(|operation| profile.allow.contains_key(operation.id));
            if !answered {
                continue;
            }
            let plan = Plan::compile(&catalogue, fixture.schema(), &profile.show, &profile.rules).unwrap();
            for document in fixture.documents() {
                let new = grown(document, &mut looked_at);
                let text = applied(&plan, &new);
                let left = leaves(&catalogue, fixture.schema(), &serde_json::from_str(&text).unwrap());
                // What is one field whatever is in it goes as its class says.
                let left = left.iter().filter(|leaf| !leaf.path.ends_with("..*"));
                let new = left.filter(|leaf| leaf.class.is_none() || leaf.value == "tomorrows-value");
                let new: Vec<String> = new.map(|leaf| leaf.name()).collect();
                assert!(new.is_empty(), "{} {}: {new:?}", profile.name, fixture.path);
            }
        }
    }
    assert!(looked_at > 10_000, "{looked_at} objects");
}

#[test]
fn a_new_field_comes_out_where_only_some_classes_are_hidden() {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let file = "profile: open\nallow: [ContainerList]\nhide: [secret]\n";
    let profiles = Profiles::parse(&[("open.yaml", file)], &catalogue).unwrap();
    let hiding = &profiles.get("open").unwrap().show;
    let showing = Show { classes: ClassSet::ALL, ..Show::default() };
    for fixture in fixture::all().iter().filter(|fixture| fixture.operation == "container_inspect") {
        let plans = [hiding, &showing].map(|show| Plan::compile(&catalogue, "ContainerInspect", show, &[]).unwrap());
        for document in fixture.documents() {
            let mut objects = 0;
            let new = grown(document, &mut objects);
            let [with, without] = plans.each_ref().map(|plan| times(&applied(plan, &new)));
            assert!(with > 10 && with <= objects && without < with, "{}: {with}, {without} of {objects}", fixture.path);
        }
    }
}
