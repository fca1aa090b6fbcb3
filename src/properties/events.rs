//! Events.

use std::sync::LazyLock;

use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::Outcome;
use crate::filter::{FilterError, RecordFilter, Report};
use crate::policy::{Decision, Policy};
use crate::profile::Profiles;
use crate::route::find;

/// One profile, and what it shows.
struct Case {
    filter: RecordFilter,
    command: bool,
    labels: bool,
    listed: bool,
    /// Whether it masks what looks like a credential.
    masks: bool,
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let case = |keys: &str, command: bool, labels: bool, listed: bool| {
        let catalogue = crate::api::catalogue::built_in().ok()?;
        let text = format!("profile: p\nallow: [SystemEvents]\nevents: filtered\n{keys}");
        let profiles = Profiles::parse(&[("p.yaml", &text)], &catalogue).ok()?;
        let policy = Policy::compile(profiles.get("p")?, &catalogue).ok()?;
        let route = find("GET", "/events").ok()??;
        let Decision::Records(filter) = policy.decide(&route) else { return None };
        Some(Case { filter, command, labels, listed, masks: !keys.contains("mask-values: false") })
    };
    let cases = [
        case("show: []\n", false, false, false),
        case("show: [identity, state, topology]\nlabels: [app, 'com.example.*']\n", false, false, true),
        case("show: [identity, state, topology, free-text]\nmask-values: false\n", false, true, true),
        case("show: [identity, state, topology, command]\n", true, false, false),
        case("hide: [secret, command]\nunknown: hide\n", false, true, true),
    ];
    cases.into_iter().flatten().collect()
});

/// The text in place of a hidden value. No engine writes an attribute like it.
const CANARY: &str = "canary ; 1";

/// An event that passes is an object, stays as it is when it is filtered again, and shows no command line, no label that the
/// profile does not list, and no member that the API does not have. An event that cannot be read is refused and writes
/// nothing.
///
/// # Panics
/// If that is not so.
pub(super) fn an_event_shows_nothing_that_is_hidden(bytes: &[u8]) -> Outcome {
    assert_eq!(CASES.len(), 5, "the profiles have no errors");
    let mut outcome = Outcome::Refused;
    for case in CASES.iter() {
        let Ok(left) = filtered(&case.filter, bytes) else { continue };
        outcome = Outcome::Accepted;
        // An event about what is hidden goes.
        let Some(left) = left else { continue };
        let is_object = serde_json::from_slice::<IgnoredAny>(&left).is_ok() && left.starts_with(b"{");
        assert!(is_object, "an object leaves: {:?}", String::from_utf8_lossy(&left));
        // A number may be one that no tree has.
        let Ok(event) = serde_json::from_slice::<Map<String, Value>>(&left) else { continue };
        let before: Option<Value> = serde_json::from_slice(bytes).ok();
        // What an attribute is depends on the type, which may be hidden.
        if before.as_ref().is_some_and(|before| before.get("Type") == event.get("Type")) {
            assert_eq!(filtered(&case.filter, &left), Ok(Some(left)), "filtering twice equals once");
        }
        for name in ["Action", "status"] {
            let action = event.get(name).and_then(Value::as_str).unwrap_or_default();
            assert!(case.command || is_word(action), "a command line is cut off: {action:?}");
        }
        let Some(before) = before else { continue };
        check_additions(&event, &before, case);
        check_attributes(before.clone(), case);
        check_canaries(before, case);
    }
    outcome
}

/// What is left of an event; nothing if it goes.
fn filtered(filter: &RecordFilter, event: &[u8]) -> Result<Option<Vec<u8>>, FilterError> {
    let (mut out, mut report) = (Vec::new(), Report::default());
    let left = filter.apply(event, &mut out, &mut report);
    assert_eq!(left == Ok(true), !out.is_empty(), "only an event that stays is written");
    Ok(left?.then_some(out))
}

/// An action without a command line.
fn is_word(action: &str) -> bool {
    let probed = ["healthy", "none", "starting", "unhealthy"];
    !action.contains(':') || action.strip_prefix("health_status: ").is_some_and(|found| probed.contains(&found))
}

/// Nothing is in the event that was not in it before, but for what stands in place of hidden values.
fn check_additions(left: &Map<String, Value>, before: &Value, case: &Case) {
    for (name, value) in left {
        let Some(was) = before.get(name) else { panic!("the member {name:?} is made up") };
        if let (Some(text), Some(was)) = (value.as_str(), was.as_str()) {
            assert!(text.is_empty() || was.starts_with(text) || case.masks, "{name}: {was:?} became {text:?}");
        }
    }
    let attributes = |event: Option<&Value>| event?.get("Attributes")?.as_object().cloned();
    let was = attributes(before.get("Actor")).unwrap_or_default();
    for (name, value) in attributes(left.get("Actor")).unwrap_or_default() {
        let same = was.get(&name) == Some(&value);
        let hidden =
            was.contains_key(&name) && (value == "" || (case.masks && value.to_string().contains("[redacted]")));
        assert!(same || hidden, "the attribute {name:?} became {value}");
    }
}

/// The same event with attributes that look like those of an engine. Only a name that the engine sets last is shown.
fn check_attributes(mut event: Value, case: &Case) {
    let text = |event: &Value, name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, action) = (text(&event, "Type"), text(&event, "Action"));
    let Some(attributes) = event.pointer_mut("/Actor/Attributes").and_then(Value::as_object_mut) else { return };
    if !matches!(kind.as_str(), "container" | "image" | "") || action.starts_with("prune") {
        return;
    }
    let value = |number: usize| format!("9182736450{number}9");
    let names: Vec<String> = attributes.keys().cloned().collect();
    for (number, one) in attributes.values_mut().enumerate() {
        *one = json!(value(number));
    }
    let Ok(Some(left)) = filtered(&case.filter, event.to_string().as_bytes()) else { return };
    let left = String::from_utf8_lossy(&left).into_owned();
    for (number, name) in names.iter().enumerate() {
        let is_last = name == "name" || (name == "image" && kind == "container");
        let is_listed = case.listed && (name == "app" || name.starts_with("com.example."));
        let may_show = is_last || is_listed || case.labels;
        assert!(may_show || !left.contains(&value(number)), "the label {name:?}: {left}");
    }
}

/// The same event with canaries where the profile hides.
fn check_canaries(mut event: Value, case: &Case) {
    let kind = event.get("Type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(members) = event.as_object_mut() else { return };
    let mut add = |name: &str, value: Value| {
        if members.get(name).is_some_and(Value::is_string) {
            members.insert(name.to_owned(), value);
        }
    };
    add("Action", json!(format!("exec_create: {CANARY}-command")));
    add("status", json!(format!("exec_start: {CANARY}-command")));
    members.insert("Zz".to_owned(), json!(format!("{CANARY}-unknown")));
    // Events of containers and images have labels among their attributes; those of a type that nobody knows have only
    // labels. What stands in the attributes of other types is the engine's.
    let mut names = Vec::new();
    if let Some(actor) = members.get_mut("Actor").and_then(Value::as_object_mut) {
        actor.insert("Zz".to_owned(), json!(format!("{CANARY}-unknown")));
        if let Some(attributes) = actor.get_mut("Attributes").and_then(Value::as_object_mut)
            && matches!(kind.as_str(), "container" | "image" | "")
        {
            for (number, (name, value)) in attributes.iter_mut().enumerate() {
                *value = json!(format!("{CANARY}-label-{number};"));
                names.push(name.clone());
            }
        }
    }
    let Ok(Some(left)) = filtered(&case.filter, event.to_string().as_bytes()) else { return };
    let left = String::from_utf8_lossy(&left).into_owned();
    assert!(case.command || !left.contains(&format!("{CANARY}-command")), "a command line: {left}");
    assert!(!left.contains(&format!("{CANARY}-unknown")), "an unknown member: {left}");
    for (number, name) in names.iter().enumerate() {
        let may_show = case.labels || (case.listed && (name == "app" || name.starts_with("com.example.")));
        assert!(may_show || !left.contains(&format!("{CANARY}-label-{number};")), "the label {name:?}: {left}");
    }
}
