//! A field that no class file has: an engine of tomorrow sends it in every object of every answer.

use dockveil::filter::{Plan, Show};
use dockveil::profile::Profiles;
use dockveil::schema::ClassSet;
use serde_json::{Value, json};

use crate::harness::{Test, tests};
use crate::support::built_in::{catalogue, plan, profiles};
use crate::support::fixture;
use crate::support::leaves::leaves;

pub(crate) const TESTS: &[Test] =
    tests![a_new_field_comes_out_of_no_built_in_profile, a_new_field_comes_out_where_only_some_classes_are_hidden];

/// A name that no engine uses.
const NEW: &str = "TomorrowsField";
/// What it holds.
const VALUE: &str = "tomorrows-value";

/// The document with a new member in every object. Adds the number of objects to `count`.
fn grown(document: &Value, count: &mut usize) -> Value {
    match document {
        Value::Object(members) => {
            let old = members.iter().map(|(name, value)| (name.clone(), grown(value, count)));
            let mut members: serde_json::Map<String, Value> = old.collect();
            members.insert(NEW.to_owned(), json!({"deep": [VALUE]}));
            *count += 1;
            Value::Object(members)
        }
        Value::Array(elements) => Value::Array(elements.iter().map(|element| grown(element, count)).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => document.clone(),
    }
}

fn applied(plan: &Plan, document: &str) -> String {
    let mut out = Vec::new();
    plan.apply(document.as_bytes(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// How often the new member is in a text.
fn occurrences(text: &str) -> usize {
    text.matches(&format!("\"{NEW}\"")).count()
}

fn a_new_field_comes_out_of_no_built_in_profile() {
    let mut objects = 0;
    for fixture in fixture::all() {
        let grown: Vec<String> =
            fixture.documents().iter().map(|document| grown(document, &mut objects).to_string()).collect();
        for profile in profiles().iter() {
            // Every profile lets errors through.
            if fixture.operation.is_some_and(|operation| !profile.allow.contains_key(operation.id)) {
                continue;
            }
            let plan = plan(&profile.name, fixture.schema());
            for document in &grown {
                let text = applied(&plan, document);
                if !text.contains(NEW) && !text.contains(VALUE) {
                    continue;
                }
                let left = leaves(catalogue(), fixture.schema(), &serde_json::from_str(&text).unwrap());
                // A field that includes all below it is treated by its own class.
                let left = left.iter().filter(|leaf| !leaf.path.ends_with("..*"));
                let new = left.filter(|leaf| leaf.class.is_none() || leaf.value == VALUE);
                let new: Vec<String> = new.map(|leaf| leaf.name()).collect();
                assert!(new.is_empty(), "{} {}: {new:?}", profile.name, fixture.path);
            }
        }
    }
    assert!(objects > 10_000, "{objects} objects");
}

fn a_new_field_comes_out_where_only_some_classes_are_hidden() {
    let file = "profile: open\nallow: [ContainerList]\nhide: [secret]\n";
    let profiles = Profiles::parse(&[("open.yaml", file)], catalogue()).unwrap();
    let open = &profiles.get("open").unwrap().show;
    // It shows every class, and nothing that has none.
    let strict = Show { classes: ClassSet::ALL, ..Show::default() };
    let plans = [open, &strict].map(|show| Plan::compile(catalogue(), "ContainerInspect", show, &[]).unwrap());
    for fixture in fixture::all().iter().filter(|fixture| fixture.answers("ContainerInspect")) {
        for document in fixture.documents() {
            let mut objects = 0;
            let new = grown(document, &mut objects).to_string();
            let [open, strict] = plans.each_ref().map(|plan| occurrences(&applied(plan, &new)));
            let is_right = open > 10 && open <= objects && strict < open;
            assert!(is_right, "{}: {open}, {strict} of {objects}", fixture.path);
        }
    }
}
