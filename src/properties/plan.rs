//! What a plan promises about every document.

use serde_json::Value;

use super::reference;
use crate::filter::{FilterError, Plan, Report, Rule, Show};
use crate::schema::Catalogue;

#[cfg(test)]
mod tests;

/// The key of the digests.
pub(super) const HASH_KEY: [u8; 32] = [1; 32];

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
            assert_eq!(whole.trim_ascii_end(), twice, "apply and apply_next agree");
        }
        Err(
            FilterError::NotJson
            | FilterError::TooLarge { .. }
            | FilterError::TooDeep { .. }
            | FilterError::DuplicateKey
            | FilterError::Expression
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
