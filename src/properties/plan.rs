//! What a plan promises about every document.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::Value;

use super::Outcome;
use super::arrival::sections;
use super::reference;
use crate::api::lists;
use crate::filter::{Action, FilterError, Plan, Report, Rule, Show};
use crate::profile::Profiles;
use crate::schema::{Catalogue, CatalogueFiles, Field};
use crate::yaml::Location;

#[cfg(test)]
mod tests;

/// The key of the digests.
pub(super) const HASH_KEY: [u8; 32] = [1; 32];

/// Two small schemas with every kind of field: a nested schema, maps with and without a class for their keys, lists,
/// fields without a description inside, and members that have an allow-list.
const SCHEMAS: &str = "schemas:\n  A:\n    - $.Inner: B\n    - $.Boxes.*: B\n    - $.List[*]: B\n  B:\n";
const STATE: &str = "class: state\nfields:\n  A:\n    - $.State\n    - $.Codes[*]\n    - $.Open..*\n    - $.Ports.*~\n    - \
                     $.Ports.*\n    - $.Deep.Far.Ok\n    - $.Mixed\n    - $.Mixed[*]\n  B:\n    - $.Ok\n    - $.Oks[*]\n";
const SECRET: &str = "class: secret\nfields:\n  A:\n    - $.Key\n    - $.Env[*]\n    - $.Options.*\n    - $.Shut..*\n    - \
                      $.Blind.*~\n    - $.Blind.*\n    - $.Deep.Far.Key\n    - $.Rows[*][*]\n  B:\n    - $.Key\n    - $.Keys.*\n";
const FREE_TEXT: &str = "class: free-text\nfields:\n  A:\n    - $.Labels.*\n    - $.Annotations.*\n    - $.Note\n";

/// The catalogue of the small schemas, and that of the program.
static CATALOGUES: LazyLock<Option<(Catalogue, Catalogue)>> = LazyLock::new(|| {
    let lists_file = lists::document().ok()?;
    let small = Catalogue::parse_files(CatalogueFiles {
        schemas: ("schemas", SCHEMAS),
        classes: &[("state", STATE), ("secret", SECRET), ("free-text", FREE_TEXT)],
        lists: Some((&lists_file, &lists::ALL)),
        ..CatalogueFiles::default()
    });
    Some((small.ok()?, crate::api::catalogue::built_in().ok()?))
});

/// The input has three sections: the name of a schema (`A`, `B`, or one of the program's), the keys of a profile, and a
/// document. What the plan of the profile leaves of the document is what the reference leaves of it. Where nothing was
/// hidden the document leaves as it came, and without rules a document that was filtered stays as it is.
///
/// # Panics
/// If that is not so.
pub(super) fn a_plan_leaves_what_the_reference_leaves(bytes: &[u8]) -> Outcome {
    let Some((small, built_in)) = CATALOGUES.as_ref() else { panic!("the catalogues have no errors") };
    let Some([name, profile, document]) = sections::<3>(bytes) else { return Outcome::Unusable };
    let Some((name, profile)) = str::from_utf8(name).ok().zip(str::from_utf8(profile).ok()) else {
        return Outcome::Unusable;
    };
    let name = name.trim();
    let catalogue = if small.schema(name).is_some() { small } else { built_in };
    let Some(schema) = catalogue.schema(name) else { return Outcome::Unusable };
    let file = format!("profile: p\n{profile}");
    let Ok(profiles) = Profiles::parse(&[("p.yaml", &file)], catalogue) else { return Outcome::Unusable };
    let Some(profile) = profiles.get("p") else { return Outcome::Unusable };
    let Ok(plan) = Plan::compile(catalogue, name, &profile.show, &profile.rules) else { return Outcome::Unusable };
    if !check_stability(&plan, &profile.rules, document) {
        return Outcome::Refused;
    }
    let Ok(value) = serde_json::from_slice::<Value>(document) else { return Outcome::Refused };
    if !can_be_compared(Some(catalogue), &profile.rules, &value) {
        return Outcome::Accepted;
    }
    let show = Show { mask: false, ..profile.show.clone() };
    classes_agree_with_the_reference(catalogue, schema.name(), &show, &profile.rules, &value);
    rules_agree_with_the_reference(&profile.rules, &value);
    Outcome::Accepted
}

/// Checks what holds for every document, also for those that the reference does not understand. Returns whether the plan
/// takes the document.
fn check_stability(plan: &Plan, rules: &[Rule], document: &[u8]) -> bool {
    let mut once = Vec::new();
    let Ok(report) = plan.apply(document, &mut once) else {
        assert!(once.is_empty(), "an error writes nothing");
        return false;
    };
    if report.hidden() == 0 {
        let start = document.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        assert_eq!(Some(once.as_slice()), document.get(start..), "where nothing is hidden nothing changes");
    }
    assert!(!plan.copies_everything() || report.by_rule == 0, "what passes unread has nothing that a rule hides");
    assert!(str::from_utf8(&once).is_ok(), "what leaves is UTF-8");
    if rules.is_empty() {
        let mut twice = Vec::new();
        assert!(plan.apply(&once, &mut twice).is_ok(), "what leaves can be filtered again");
        assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&once), "filtering twice equals once");
    }
    true
}

/// Whether the reference understands the names in a document. It takes a name as it is written, where the filter takes
/// another spelling for it too.
pub(super) fn can_be_compared(catalogue: Option<&Catalogue>, rules: &[Rule], document: &Value) -> bool {
    let folded = |name: &str| name.to_uppercase().to_lowercase();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for schema in catalogue.iter().flat_map(|catalogue| catalogue.schemas()) {
        names_of_field(schema.root(), &mut |name| _ = known.insert(name.to_owned()));
    }
    for rule in rules {
        reference::names_of_path(rule.selector.as_str(), &mut |name| _ = known.insert(name.to_owned()));
    }
    let spellings: BTreeSet<String> = known.iter().map(|name| folded(name)).collect();
    let mut understood = true;
    names_of_value(document, &mut |name| {
        let is_spelling = spellings.contains(&folded(name)) && !known.contains(name);
        understood &= !is_spelling && !name.contains(['\u{17f}', '\u{212a}']);
    });
    understood && has_plain_numbers(document) && rules.iter().all(|rule| !has_fine_number(rule.selector.as_str()))
}

/// Whether the path library compares the numbers of a document like RFC 9535: it takes numbers for equal that differ by less
/// than 2.2e-16, and whole numbers that one floating-point number stands for.
fn has_plain_numbers(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| {
            let halves = number * 2.0;
            halves.fract() == 0.0 && (halves.abs() < 9e15 || halves.abs() > 1e20)
        }),
        Value::Array(elements) => elements.iter().all(has_plain_numbers),
        Value::Object(members) => members.values().all(has_plain_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// Whether a path may have a number that the library takes for another: a very small or very long one.
fn has_fine_number(path: &str) -> bool {
    let digits = path.split(|c: char| !c.is_ascii_digit()).map(str::len);
    path.to_ascii_lowercase().contains("e-") || digits.max().is_some_and(|longest| longest > 16)
}

fn names_of_field(field: &Field, add: &mut impl FnMut(&str)) {
    field.members.keys().for_each(|name| add(name));
    let below = field.members.values().chain(field.any_member.as_deref()).chain(field.elements.as_deref());
    for field in below {
        names_of_field(field, add);
    }
}

fn names_of_value(value: &Value, add: &mut impl FnMut(&str)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                add(name);
                names_of_value(member, add);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| names_of_value(element, add)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The plan of rules alone, each an action without a value and a path.
pub(super) fn plan_of_rules(rules: &[(&str, &str)]) -> Plan {
    let rules: Option<Vec<Rule>> = rules.iter().map(|(action, path)| rule(action, path)).collect();
    match rules.and_then(|rules| Plan::compile_rules(&rules).ok()) {
        Some(plan) => plan.with_hash_key(HASH_KEY),
        None => panic!("the rules of a property have no errors"),
    }
}

/// A rule for documents of any schema; `None` if there is no such action or the path is malformed.
pub(super) fn rule(action: &str, path: &str) -> Option<Rule> {
    let action = Action::named(action, None)?;
    Some(Rule { location: Location::file("property"), on: String::new(), selector: path.parse().ok()?, action })
}

/// A plan of rules alone leaves of a document what the reference leaves. Returns whether the rules make a plan.
///
/// # Panics
/// If it leaves anything else.
pub fn rules_agree_with_the_reference(rules: &[Rule], document: &Value) -> bool {
    let Ok(plan) = Plan::compile_rules(rules) else { return false };
    assert_leaves(&plan.with_hash_key(HASH_KEY), document, reference::left_by_rules(rules, document));
    true
}

/// A plan of classes and rules leaves of a document what the reference leaves. Returns whether they make a plan.
///
/// # Panics
/// If it leaves anything else.
pub fn classes_agree_with_the_reference(
    catalogue: &Catalogue,
    schema: &str,
    show: &Show,
    rules: &[Rule],
    document: &Value,
) -> bool {
    let Ok(plan) = Plan::compile(catalogue, schema, show, rules) else { return false };
    let Some(schema) = catalogue.schema(schema) else { return false };
    let expected = reference::left_by_classes(catalogue, schema, show, rules, document);
    assert_leaves(&plan.with_hash_key(HASH_KEY), document, expected);
    true
}

/// A plan refuses bytes that are not JSON and writes only JSON, and a value that arrives in two parts is filtered like
/// one that arrives whole.
///
/// # Panics
/// If one of these is not so.
pub fn any_bytes_are_survived(plan: &Plan, bytes: &[u8]) {
    let mut whole = Vec::new();
    let result = plan.apply(bytes, &mut whole);
    assert_eq!(result.is_err(), whole.is_empty(), "an error writes nothing");
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() && std::str::from_utf8(bytes).is_ok();
    match result {
        Ok(_) => {
            assert!(is_json, "bytes that are not JSON are refused");
            assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&whole).is_ok(), "only JSON is written");
            let mut twice = Vec::new();
            let mut report = Report::default();
            let padded = [bytes, b" "].concat();
            let consumed = plan.apply_next(&padded, &mut twice, &mut report);
            assert!(matches!(consumed, Ok(Some(_))), "a whole value is recognised");
            // A document that is removed is null, an element that is removed is nothing.
            let removed = twice.is_empty() && whole.trim_ascii_end() == b"null";
            assert!(removed || whole.trim_ascii_end() == twice, "apply and apply_next agree");
        }
        Err(
            FilterError::NotJson
            | FilterError::TooLarge { .. }
            | FilterError::TooDeep { .. }
            | FilterError::DuplicateKey
            | FilterError::Expression
            | FilterError::TooMuchWork
            | FilterError::NotAnArray,
        ) => {}
    }
    for split in 0..=bytes.len().min(64) {
        let mut parts = Vec::new();
        let mut report = Report::default();
        let first = plan.apply_next(bytes.get(..split).unwrap_or_default(), &mut parts, &mut report);
        match first {
            Ok(None) => assert!(parts.is_empty() && report == Report::default(), "an unfinished value has no effect"),
            Ok(Some(consumed)) => {
                let mut again = Vec::new();
                let more = plan.apply_next(bytes, &mut again, &mut Report::default());
                assert_eq!((more, again), (Ok(Some(consumed)), parts), "more bytes change nothing");
            }
            Err(_) => {
                let mut again = Vec::new();
                let more = plan.apply_next(bytes, &mut again, &mut Report::default());
                assert_eq!(
                    (more.is_err(), again.is_empty(), parts.is_empty()),
                    (true, true, true),
                    "more bytes do not undo an error"
                );
            }
        }
    }
}

fn assert_leaves(plan: &Plan, document: &Value, expected: Option<Value>) {
    for text in [document.to_string(), format!("{document:#}")] {
        let mut out = Vec::new();
        let result = plan.apply(text.as_bytes(), &mut out);
        let found = result.map(|_| serde_json::from_slice::<Value>(&out).ok());
        assert_eq!(found, Ok(Some(expected.clone().unwrap_or(Value::Null))), "document {text}");
    }
}
