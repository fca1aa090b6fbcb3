//! The JSON that a plan takes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Outcome;
use super::plan::{any_bytes_are_survived, plan_of_rules};
use crate::filter::{DocumentLimits, FilterError, Plan};

/// Plans that show everything: one copies values, one looks at every member and element, one asks about each, and one has
/// limits that some short inputs are over.
static PLANS: LazyLock<Vec<(Plan, DocumentLimits)>> = LazyLock::new(|| {
    let usual = DocumentLimits::default();
    let short = DocumentLimits { size: 60, depth: 4 };
    vec![
        (plan_of_rules(&[]), usual),
        (plan_of_rules(&[("redact", "$..['no such name'][-1]")]), usual),
        (plan_of_rules(&[("redact", "$..[?@ == 'no such text']")]), usual),
        (plan_of_rules(&[]).with_limits(short), short),
        (plan_of_rules(&[("redact", "$..['no such name'][-1]")]).with_limits(short), short),
    ]
});

/// Bytes pass if a second parser takes them for one JSON value in UTF-8 whose strings decode and in which no object has two
/// members of one name, within the limits; then they leave as they came. Everything else is refused.
///
/// # Panics
/// If that is not so.
pub(super) fn only_unambiguous_json_passes(bytes: &[u8]) -> Outcome {
    let fault = fault(bytes);
    for (number, (plan, limits)) in PLANS.iter().enumerate() {
        let mut out = Vec::new();
        let applied = plan.apply(bytes, &mut out);
        let within = bytes.len() <= limits.size && depth(bytes) <= limits.depth;
        // A value that is asked about becomes a tree, which has numbers of its own.
        let asked = number == 2;
        match (&applied, fault) {
            (Ok(report), None) if within => {
                assert_eq!(report.hidden(), 0, "nothing is hidden");
                let start = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                assert_eq!(Some(out.as_slice()), bytes.get(start..), "what no rule matches leaves as it came");
            }
            (Ok(_), _) => panic!("plan {number} passes what it should refuse: {fault:?}, within limits: {within}"),
            (Err(error), None) => {
                assert!(
                    !within || (asked && *error == FilterError::NotJson && !is_tree(bytes)),
                    "plan {number}: {error}"
                );
            }
            (Err(_), Some(_)) => {}
        }
        any_bytes_are_survived(plan, bytes);
    }
    if fault.is_none() { Outcome::Accepted } else { Outcome::Refused }
}

/// What is wrong with a text, in the eyes of serde_json.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    NotJson,
    DuplicateKey,
}

fn fault(bytes: &[u8]) -> Option<Fault> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Some(Fault::NotJson) };
    match serde_json::from_str::<&RawValue>(text) {
        Ok(value) => fault_of(value),
        Err(_) => Some(Fault::NotJson),
    }
}

/// Goes through a value member by member. Numbers stay as they are written: a reader decides what they are.
fn fault_of(value: &RawValue) -> Option<Fault> {
    let text = value.get();
    // Half a surrogate pair is no character.
    if text.starts_with('"') && serde_json::from_str::<String>(text).is_err() {
        return Some(Fault::NotJson);
    }
    if text.starts_with('[') {
        let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(text) else { return Some(Fault::NotJson) };
        return elements.into_iter().find_map(fault_of);
    }
    if text.starts_with('{') {
        let Ok(JsonMembers(members)) = serde_json::from_str::<JsonMembers<'_>>(text) else {
            return Some(Fault::NotJson);
        };
        let names: BTreeSet<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        if names.len() < members.len() {
            return Some(Fault::DuplicateKey);
        }
        return members.into_iter().find_map(|(_, value)| fault_of(value));
    }
    if text.starts_with('"') && serde_json::from_str::<String>(text).is_err() {
        return Some(Fault::NotJson);
    }
    None
}

/// The members of an object, also those of one name.
pub(super) struct JsonMembers<'d>(pub(super) Vec<(String, &'d RawValue)>);

impl<'de: 'd, 'd> Deserialize<'de> for JsonMembers<'d> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = JsonMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonMembers<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(JsonMembers(members))
            }
        }
        from.deserialize_map(Each)
    }
}

/// Whether a tree can be made of a text: its numbers are numbers of the tree.
fn is_tree(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(bytes).is_ok()
}

/// How deep a text nests, by its brackets.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    outside_strings(bytes, |byte| match byte {
        b'{' | b'[' => {
            depth += 1;
            deepest = deepest.max(depth);
        }
        b'}' | b']' => depth = depth.saturating_sub(1),
        _ => {}
    });
    deepest
}

/// A JSON text without the white space between its tokens.
pub(super) fn compacted(bytes: &[u8]) -> Vec<u8> {
    let (mut kept, mut inside, mut escaped) = (Vec::with_capacity(bytes.len()), false, false);
    for byte in bytes {
        if !inside && byte.is_ascii_whitespace() {
            continue;
        }
        kept.push(*byte);
        (inside, escaped) = match (inside, escaped, byte) {
            (true, false, b'\\') => (true, true),
            (inside, false, b'"') => (!inside, false),
            (inside, _, _) => (inside, false),
        };
    }
    kept
}

/// Shows `each` the bytes of a text that are in no string.
fn outside_strings(bytes: &[u8], mut each: impl FnMut(u8)) {
    let (mut inside, mut escaped) = (false, false);
    for byte in bytes {
        (inside, escaped) = match (inside, escaped, byte) {
            (true, false, b'\\') => (true, true),
            (inside, false, b'"') => (!inside, false),
            (inside, _, _) => {
                if !inside {
                    each(*byte);
                }
                (inside, false)
            }
        };
    }
}
