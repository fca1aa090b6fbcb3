//! The `filters` parameter.

use std::fmt::Write as _;
use std::sync::LazyLock;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Outcome;
use super::json::JsonMembers;
use crate::api::operation;
use crate::filter::looks_like_credential;
use crate::policy::{Decision, Denial, Policy};
use crate::profile::Profiles;
use crate::route::{Route, find};

/// Profiles, each of which shows all that those before it show; the last one masks nothing, so it comes alone.
const PROFILES: [&str; 5] = [
    "show: []\n",
    "show: [identity, state]\n",
    "show: [identity, state]\nlabels: [app, 'com.example.*']\n",
    "show: [identity, state, topology, host, host-path, command, free-text]\n",
    "show: all\n",
];

/// What the third profile shows of labels.
const LISTED: usize = 2;

/// The policies of the profiles, which allow every operation that lists.
static POLICIES: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    let Ok(catalogue) = crate::api::catalogue::built_in() else { return Vec::new() };
    let policy = |keys: &&str| {
        let text = format!(
            "profile: p\nevents: filtered\n{keys}allow: [ContainerList, ImageList, VolumeList, NetworkList, SystemEvents, \
             ServiceList, TaskList, NodeList, SecretList, ConfigList, PluginList, ImageSearch, ContainerPrune, ImagePrune, \
             VolumePrune, NetworkPrune, BuildPrune]\n"
        );
        let profiles = Profiles::parse(&[("p.yaml", &text)], &catalogue).ok()?;
        Policy::compile(profiles.get("p")?, &catalogue).ok()
    };
    PROFILES.iter().filter_map(policy).collect()
});

/// The input is the id of an operation, a line feed, and the text of `filters`. Filters are read if a second reader takes
/// them for an object of lists, or of objects of booleans. They are allowed if each value by itself is, in either form,
/// whatever the boolean; a profile that shows more allows more; a filter by labels is allowed if the allow-list names them;
/// and the engine gets the text that was decided on.
///
/// # Panics
/// If that is not so.
pub(super) fn filters_are_allowed_part_by_part(bytes: &[u8]) -> Outcome {
    assert_eq!(POLICIES.len(), PROFILES.len(), "the profiles have no errors");
    let Ok(text) = str::from_utf8(bytes) else { return Outcome::Unusable };
    let Some((id, text)) = text.split_once('\n') else { return Outcome::Unusable };
    let text = text.strip_suffix('\n').unwrap_or(text);
    // A mutation of the text is not lost with the operation.
    let id = if operation(id).is_some() { id } else { "ContainerList" };
    let Some(route) = route(id, text).filter(|_| !text.is_empty()) else { return Outcome::Unusable };
    assert_eq!(route.query.get("filters"), Some(text), "what is decided on is what goes upstream");
    let read = read(text);
    let mut narrower = false;
    let mut outcome = Outcome::Refused;
    for (number, policy) in POLICIES.iter().enumerate() {
        let denial = denial(policy, &route);
        let Some(filters) = &read else {
            assert_eq!(denial, Some(Denial::Filters), "filters with no reading, profile {number}");
            continue;
        };
        assert_ne!(denial, Some(Denial::Filters), "filters with a reading, profile {number}");
        let allowed = denial.is_none();
        if number < PROFILES.len() - 1 {
            // Masks are only looked for where labels are shown.
            assert!(allowed || !narrower, "profile {number} shows more and allows less");
            narrower = allowed;
        }
        let each = filters.iter().all(|(key, values)| {
            let forms = values
                .iter()
                .flat_map(|value| [json!({key: [value]}), json!({key: {value: true}}), json!({key: {value: false}})]);
            let none = [json!({key: []}), json!({key: {}})].into_iter().filter(|_| values.is_empty());
            let decided: Vec<bool> = forms.chain(none).filter_map(|form| is_allowed(policy, id, &form)).collect();
            decided.chunks(3).for_each(|forms| {
                assert!(forms.iter().all(|form| Some(form) == forms.first()), "one filter, two forms: {key:?}");
            });
            decided.into_iter().all(|allowed| allowed)
        });
        assert_eq!(allowed, each, "all of it is allowed if each part is, profile {number}");
        if allowed {
            filters.iter().for_each(|(key, values)| check_key(number, key, values));
            outcome = Outcome::Accepted;
        }
    }
    outcome
}

/// What an allowed filter may ask.
fn check_key(profile: usize, key: &str, values: &[String]) {
    let plain = |c: char| c.is_ascii_lowercase() || "-_.!".contains(c);
    assert!(!key.is_empty() && key.chars().all(plain), "a filter of the API: {key:?}");
    let is_label = matches!(key, "label" | "label!" | "node.label");
    for value in values {
        let (name, guess) = value.split_once('=').map_or((value.as_str(), None), |(name, guess)| (name, Some(guess)));
        let is_listed = profile == LISTED && (name == "app" || name.starts_with("com.example."));
        let is_everywhere = value == "com.docker.compose.config-hash";
        if is_label {
            assert!(!name.contains(['*', '?', '[', ']', '\\']), "a pattern of labels: {value:?}");
        }
        if is_label && profile <= LISTED {
            assert!(is_listed || is_everywhere, "a label that is hidden: {value:?}");
        }
        if is_label && profile < PROFILES.len() - 1 {
            assert!(
                !guess.is_some_and(|guess| looks_like_credential(name, guess)),
                "a guess at what is masked: {value:?}"
            );
        }
        if key == "event" && profile <= LISTED {
            let probed = ["healthy", "none", "starting", "unhealthy"];
            let is_word = !value.contains(':');
            let is_health = value.strip_prefix("health_status: ").is_some_and(|found| probed.contains(&found));
            assert!(is_word || is_health, "a guess at a command line: {value:?}");
        }
    }
}

/// The request of an operation with these filters; `None` if no target says so.
fn route(id: &str, filters: &str) -> Option<Route> {
    let operation = operation(id)?;
    let mut target = format!("{}?filters=", operation.template);
    for byte in filters.bytes() {
        let _ = write!(target, "%{byte:02X}");
    }
    find(operation.method.as_str(), &target).ok()?
}

fn denial(policy: &Policy, route: &Route) -> Option<Denial> {
    match policy.decide(route) {
        Decision::Deny(denial) => Some(denial),
        Decision::Relay(_) | Decision::Filter(_) | Decision::Records(_) => None,
    }
}

/// Whether filters are allowed; `None` if they are too long for a target.
fn is_allowed(policy: &Policy, id: &str, filters: &Value) -> Option<bool> {
    Some(denial(policy, &route(id, &filters.to_string())?).is_none())
}

/// The keys with their values, also those of one name; `None` if the text is nothing that an engine reads.
fn read(text: &str) -> Option<Vec<(String, Vec<String>)>> {
    let JsonMembers(members) = serde_json::from_str(text).ok()?;
    members.into_iter().map(|(key, values)| Some((key, read_values(values)?))).collect()
}

fn read_values(values: &RawValue) -> Option<Vec<String>> {
    if let Ok(values) = serde_json::from_str::<Vec<String>>(values.get()) {
        return Some(values);
    }
    let JsonMembers(members) = serde_json::from_str(values.get()).ok()?;
    members.into_iter().map(|(value, flag)| matches!(flag.get(), "true" | "false").then_some(value)).collect()
}
