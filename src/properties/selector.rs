//! Paths.

use serde_json::Value;

use super::Outcome;
use super::arrival::sections;
use super::plan::{can_be_compared, rule, rules_agree_with_the_reference};
use crate::filter::{Selector, SelectorError};

/// Stands in for a document that is not JSON, so that a mutation of the path is not lost.
const DOCUMENT: &str = r#"{"a":{"b":[1,2,{"c":"x"}],"d e":"y","a":1},"list":[1,{},{"a":1},[1,2,3],"s",null,true,1.5],"t":[{"a":1,"b":2},{"a":2},{"b":"A=1"}]}"#;

/// The input has two sections: a path and a document. A rule with the path changes the places that the path library finds.
/// A path that is refused has a reason of one line.
///
/// In one way the library deviates from RFC 9535, and the reference makes up for it: see [`super::reference::as_the_rfc_counts`].
///
/// # Panics
/// If the rule changes another place.
pub(super) fn a_path_matches_what_the_library_matches(bytes: &[u8]) -> Outcome {
    let Some([path, document]) = sections::<2>(bytes) else { return Outcome::Unusable };
    let Ok(path) = str::from_utf8(path) else { return Outcome::Unusable };
    let path = path.strip_suffix('\n').unwrap_or(path);
    let parsed: Result<Selector, SelectorError> = path.parse();
    if let Err(error) = &parsed {
        let message = error.to_string();
        assert!(message.starts_with("bad path: ") && !message.contains('\n'), "a reason of one line: {message:?}");
        return Outcome::Refused;
    }
    assert_eq!(parsed.as_ref().map(Selector::as_str), Ok(path), "a selector keeps its text");
    let document = serde_json::from_slice::<Value>(document).or_else(|_| serde_json::from_str(DOCUMENT));
    let Ok(document) = document else { panic!("the document of the property is JSON") };
    let mut compared = false;
    for action in ["redact", "remove", "mask"] {
        let Some(rule) = rule(action, path) else { panic!("a path that was read can be read again") };
        let rules = [rule];
        compared |= can_be_compared(None, &rules, &document) && rules_agree_with_the_reference(&rules, &document);
    }
    if compared { Outcome::Accepted } else { Outcome::Unusable }
}
