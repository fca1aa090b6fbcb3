//! Warnings in the answers to requests that create or update something.
//!
//! Where a profile hides them, those that `filters/errors.yaml` knows are said as far as they are constant. The others are left
//! out, as every hidden element is.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::api::errors;

/// The members that hold warnings.
const MEMBERS: [&str; 2] = ["Warnings", "Warning"];

/// Adds the known warnings of a document to what the filter left of it, unless the filter shows them.
pub(super) fn add_known(document: &[u8], filtered: Vec<u8>) -> Vec<u8> {
    let known = known_in(document);
    if known.is_empty() {
        return filtered;
    }
    let Some(with_known) = added(&known, &filtered) else { return filtered };
    with_known
}

/// The known warnings of a document, as JSON, by the member they are in.
fn known_in(document: &[u8]) -> BTreeMap<&'static str, String> {
    let (Ok(table), Ok(members)) =
        (errors::built_in(), serde_json::from_slice::<BTreeMap<String, &RawValue>>(document))
    else {
        return BTreeMap::new();
    };
    let known = |text: &String| table.warnings().say(text).map(str::to_owned);
    let of_member = |name: &'static str| {
        let value = members.get(name)?.get();
        if let Ok(texts) = serde_json::from_str::<Vec<String>>(value) {
            let known: Vec<String> = texts.iter().filter_map(known).collect();
            return (!known.is_empty()).then(|| serde_json::json!(known).to_string());
        }
        let text = serde_json::from_str::<String>(value).ok()?;
        known(&text).map(|known| serde_json::json!(known).to_string())
    };
    MEMBERS.into_iter().filter_map(|name| Some((name, of_member(name)?))).collect()
}

/// What the filter left, with these warnings where it left none. `None` if it left no object.
fn added(known: &BTreeMap<&'static str, String>, filtered: &[u8]) -> Option<Vec<u8>> {
    let OrderedMembers(mut members) = serde_json::from_slice(filtered).ok()?;
    for (name, warnings) in known {
        match members.iter_mut().find(|(member, _)| member == name) {
            Some((_, value)) if ["[]", "null", "\"\""].contains(&value.as_str()) => value.clone_from(warnings),
            Some(_) => {}
            None => members.push(((*name).to_owned(), warnings.clone())),
        }
    }
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("{}:{value}", serde_json::json!(name))).collect();
    let end = if filtered.ends_with(b"\n") { "\n" } else { "" };
    Some(format!("{{{}}}{end}", members.join(",")).into_bytes())
}

/// The members of an object in their order, each with its JSON text.
struct OrderedMembers(Vec<(String, String)>);

impl<'de> Deserialize<'de> for OrderedMembers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OrderedMembersVisitor;
        impl<'de> Visitor<'de> for OrderedMembersVisitor {
            type Value = OrderedMembers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OrderedMembers, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.push((name, value.get().to_owned()));
                }
                Ok(OrderedMembers(members))
            }
        }
        from.deserialize_map(OrderedMembersVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, filtered: &str, expected: &str) {
        let out = add_known(document.as_bytes(), filtered.as_bytes().to_vec());
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{document}");
    }

    #[test]
    fn known_warnings_are_said_where_the_filter_left_none() {
        let known = "Published ports are discarded when using host network mode";
        let document = format!("{{\"Id\":\"a\",\"Warnings\":[\"canary\",\"{known}\"]}}\n");
        let expected = format!("{{\"Id\":\"a\",\"Warnings\":[\"{known}\"]}}\n");
        check(&document, "{\"Id\":\"a\",\"Warnings\":[]}\n", &expected);
        check(&document, "{\"Id\":\"a\",\"Warnings\":null}\n", &expected);
        check(&document, "{\"Id\":\"a\"}\n", &expected);
        // The profile shows them.
        check(&document, &document, &document);
        check(&format!("{{\"Warning\":\"{known}\"}}"), "{\"Warning\":\"\"}", &format!("{{\"Warning\":\"{known}\"}}"));
    }

    #[test]
    fn unknown_warnings_change_nothing() {
        let filtered = "{ \"Id\" : \"a\", \"Warnings\": []}\n";
        for warnings in ["null", "[]", "[\"canary\"]", "\"canary\"", "{}", "[1]", "[[\"canary\"]]"] {
            check(&format!("{{\"Id\":\"a\",\"Warnings\":{warnings}}}"), filtered, filtered);
        }
        check("[]", "[]", "[]");
    }
}
