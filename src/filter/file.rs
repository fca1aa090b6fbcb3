//! Rule text: one entry of a list of rules in a filter file.

use super::{Action, Replacement, Rule};
use crate::yaml::{Mistake, Node, Value};

/// The actions by their names in filter files.
const ACTIONS: [(&str, Action); 6] = [
    ("keep", Action::Keep),
    ("blank", Action::Blank),
    ("remove", Action::Remove),
    ("redact", Action::Redact),
    ("mask", Action::Mask),
    ("hash", Action::Hash),
];
const EXPECTED: &str = "exactly one of keep, blank, remove, redact, mask, hash, replace with a path";

/// Reads a list of rules.
///
/// # Errors
/// Every mistake in it.
pub fn parse_rules(node: &Node) -> Result<Vec<Rule>, Vec<Mistake>> {
    let items = node.list("a list of rules").map_err(|mistake| vec![mistake])?;
    let (mut rules, mut mistakes) = (Vec::with_capacity(items.len()), Vec::new());
    for item in items {
        match parse_rule(item) {
            Ok(rule) => rules.push(rule),
            Err(wrong) => mistakes.extend(wrong),
        }
    }
    if mistakes.is_empty() { Ok(rules) } else { Err(mistakes) }
}

/// Reads one rule: `on` a schema, one action with a path, and for `replace` what to replace `with`.
///
/// # Errors
/// Every mistake in it. Whether the schema exists is for the caller to say.
pub fn parse_rule(node: &Node) -> Result<Rule, Vec<Mistake>> {
    let entries = node.mapping("a rule").map_err(|mistake| vec![mistake])?;
    let mut mistakes = Vec::new();
    let (mut on, mut acts, mut with) = (None, Vec::new(), None);
    for (key, value) in entries {
        match key.name.as_str() {
            "on" => match value.text("the name of a schema or an operation") {
                Ok(text) => on = Some(text.to_owned()),
                Err(mistake) => mistakes.push(mistake),
            },
            "with" => with = Some(value),
            "replace" => acts.push((None, value)),
            name => match ACTIONS.iter().find(|(known, _)| *known == name) {
                Some((_, action)) => acts.push((Some(action.clone()), value)),
                None => {
                    let message = format!("unknown key {name:?}, expected on, with, or {EXPECTED}");
                    mistakes.push(Mistake::new(&key.place, message));
                }
            },
        }
    }
    if !entries.iter().any(|(key, _)| key.name == "on") {
        mistakes.push(node.mistake("no on: expected the schema or operation the rule is for"));
    }
    let mut acts = acts.into_iter();
    let (Some((action, path)), None) = (acts.next(), acts.next()) else {
        mistakes.push(node.mistake(format!("expected {EXPECTED}")));
        return Err(mistakes);
    };
    let action = match (action, with) {
        (Some(action), None) => Some(action),
        (Some(_), Some(with)) => {
            mistakes.push(with.mistake("`with` goes with `replace` only"));
            None
        }
        (None, None) => {
            mistakes.push(node.mistake("no with: expected the value to replace with"));
            None
        }
        (None, Some(with)) => replacement(with).map_err(|mistake| mistakes.push(mistake)).ok(),
    };
    let selector = path
        .text("a path in quotes")
        .and_then(|text| text.parse().map_err(|error: super::SelectorError| path.mistake(error.to_string())));
    let selector = selector.map_err(|mistake| mistakes.push(mistake)).ok();
    match (on, action, selector) {
        (Some(on), Some(action), Some(selector)) if mistakes.is_empty() => {
            Ok(Rule { place: node.place.clone(), on, selector, action })
        }
        _ => Err(mistakes),
    }
}

/// What stands behind `with`: text in quotes is a text, anything else the JSON it looks like, or else a text.
fn replacement(node: &Node) -> Result<Action, Mistake> {
    match &node.value {
        Value::Null => Ok(Action::Replace("null".parse().map_err(|_| node.mistake("expected one JSON value"))?)),
        Value::Scalar { text, quoted: true } => Ok(Action::Replace(Replacement::text(text))),
        Value::Scalar { text, quoted: false } => {
            Ok(Action::Replace(text.parse().unwrap_or_else(|_| Replacement::text(text))))
        }
        Value::Sequence(items) if items.is_empty() => {
            Ok(Action::Replace("[]".parse().map_err(|_| node.mistake("expected one JSON value"))?))
        }
        Value::Mapping(entries) if entries.is_empty() => {
            Ok(Action::Replace("{}".parse().map_err(|_| node.mistake("expected one JSON value"))?))
        }
        Value::Sequence(_) | Value::Mapping(_) => {
            Err(node.mistake(format!("found {}, expected one JSON value, in quotes if it is a text", node.kind())))
        }
    }
}
