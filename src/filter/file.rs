//! Rules as filter files have them.
//!
//! ```yaml
//! - on: ContainerInspect
//!   mask: "$.Config.Env[*]"
//! - on: ContainerInspect
//!   replace: "$.HostConfig.Binds"
//!   with: "[]"
//! ```

use super::{Action, Replacement, Rule};
use crate::yaml::{Diagnostic, Diagnostics, Key, Node, Value};

/// The actions, as keys of a rule.
const ACTIONS: [&str; 7] = ["keep", "blank", "remove", "redact", "mask", "hash", "replace"];

/// Reads a list of rules. `knows` says whether there is a schema of a name.
///
/// # Errors
/// Every mistake in all of them.
pub fn parse_rules(node: &Node, knows: impl Fn(&str) -> bool) -> Result<Vec<Rule>, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let items = node.list("a list of rules")?;
    let rules = items.iter().filter_map(|item| diagnostics.ok(parse_rule(item, &knows))).collect();
    diagnostics.finish(rules)
}

/// Reads one rule.
///
/// # Errors
/// Every mistake in it.
pub fn parse_rule(node: &Node, knows: impl Fn(&str) -> bool) -> Result<Rule, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let entries = node.mapping("a rule: `on` and an action with a path")?;
    let (mut on, mut with) = (None, None);
    let mut actions: Vec<&(Key, Node)> = Vec::new();
    for entry in entries {
        match (entry.0.name.as_str(), &entry.1) {
            ("on", value) => on = Some(value),
            ("with", value) => with = Some((&entry.0, value)),
            (name, _) if ACTIONS.contains(&name) => actions.push(entry),
            (name, _) => {
                let expected = ACTIONS.join(", ");
                let message = format!("unknown key {name:?}, expected on, with or an action: {expected}");
                diagnostics.report(&entry.0.location, message);
            }
        }
    }
    let on = match on {
        Some(on) => diagnostics.ok(schema_name(on, knows)),
        None => diagnostics.ok(Err(node.diagnostic("expected `on` with the name of a schema"))),
    };
    let found = match actions.as_slice() {
        [(name, path)] => diagnostics.ok(selector(path)).map(|selector| (name, selector)),
        [] => diagnostics.ok(Err(node.diagnostic(format!("expected an action: one of {}", ACTIONS.join(", "))))),
        [_, more @ ..] => {
            for (name, _) in more {
                diagnostics.report(&name.location, "a second action, expected one");
            }
            None
        }
    };
    let is_replace = actions.iter().any(|(name, _)| name.name == "replace");
    let replacement = match (is_replace, with) {
        (true, Some((_, value))) => diagnostics.ok(replacement(value)),
        (true, None) => diagnostics.ok(Err(node.diagnostic("expected `with` and the value to put in place"))),
        (false, Some((key, _))) => {
            diagnostics.report(&key.location, "`with` goes with `replace` only");
            None
        }
        (false, None) => None,
    };
    let action = found.as_ref().and_then(|(name, _)| action(&name.name, replacement));
    let rule = match (on, found, action) {
        (Some(on), Some((_, selector)), Some(action)) => {
            Some(Rule { location: node.location.clone(), on, selector, action })
        }
        _ => None,
    };
    diagnostics.finish_option(rule)
}

fn schema_name(on: &Node, knows: impl Fn(&str) -> bool) -> Result<String, Diagnostic> {
    let name = on.text("the name of a schema")?;
    if knows(name) { Ok(name.to_owned()) } else { Err(on.diagnostic(format!("unknown schema {name:?}"))) }
}

fn selector(path: &Node) -> Result<super::Selector, Diagnostic> {
    path.text("a path")?.parse().map_err(|error: super::SelectorError| path.diagnostic(error.to_string()))
}

fn action(name: &str, replacement: Option<Replacement>) -> Option<Action> {
    match name {
        "keep" => Some(Action::Keep),
        "blank" => Some(Action::Blank),
        "remove" => Some(Action::Remove),
        "redact" => Some(Action::Redact),
        "mask" => Some(Action::Mask),
        "hash" => Some(Action::Hash),
        "replace" => replacement.map(Action::Replace),
        _ => None,
    }
}

/// JSON text, or plain words for a text. What is quoted is JSON too if it reads as such; `'"1"'` is the text `1`.
fn replacement(value: &Node) -> Result<Replacement, Diagnostic> {
    match &value.value {
        Value::Scalar { text, .. } => Ok(text.parse().unwrap_or_else(|_| Replacement::text(text))),
        Value::Null => "null".parse().map_err(|_| value.diagnostic("expected a value")),
        Value::Sequence(_) | Value::Mapping(_) => {
            Err(value.diagnostic(format!("found {}, expected a value as JSON in quotes", value.kind())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn parse(text: &str) -> Result<Vec<Rule>, Vec<String>> {
        parse_rules(&yaml::parse("f.yaml", text).unwrap(), |name| name == "A")
            .map_err(|diagnostics| diagnostics.iter().map(ToString::to_string).collect())
    }

    #[track_caller]
    fn check(text: &str, path: &str, action: Action) {
        let rules = parse(text).unwrap();
        let [rule] = rules.as_slice() else { panic!("{rules:?}") };
        assert_eq!((rule.selector.as_str(), &rule.action, rule.on.as_str()), (path, &action, "A"));
    }

    #[track_caller]
    fn check_diagnostics(text: &str, expected: &[&str]) {
        let found = parse(text).unwrap_err();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found} / {expected}");
        }
    }

    #[test]
    fn every_action_has_a_name() {
        check("- {on: A, keep: $.a}", "$.a", Action::Keep);
        check("- {on: A, blank: $.a}", "$.a", Action::Blank);
        check("- {on: A, remove: $.a}", "$.a", Action::Remove);
        check("- {on: A, redact: $.a}", "$.a", Action::Redact);
        check("- {on: A, mask: '$.a[*]'}", "$.a[*]", Action::Mask);
        check("- {on: A, hash: $.a}", "$.a", Action::Hash);
    }

    #[test]
    fn a_replacement_is_json_or_words() {
        let replace = |json: &str| Action::Replace(json.parse().unwrap());
        check("- {on: A, replace: $.a, with: 1.50}", "$.a", replace("1.50"));
        check("- {on: A, replace: $.a, with: some words}", "$.a", replace("\"some words\""));
        check("- {on: A, replace: $.a, with: '{\"b\": []}'}", "$.a", replace("{\"b\": []}"));
        check("- {on: A, replace: $.a, with: '\"1\"'}", "$.a", replace("\"1\""));
        check("- {on: A, replace: $.a, with: }", "$.a", replace("null"));
        check("- {on: A, replace: $.a, with: ''}", "$.a", replace("\"\""));
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        check_diagnostics(
            "- {on: B, mask: $.a}\n- {on: A}\n- {on: A, mask: $.a, keep: $.b}\n- {mask: a, whith: 1}\n- x\n",
            &[
                "f.yaml:1:8: unknown schema \"B\"",
                "f.yaml:2:3: expected an action: one of keep,",
                "f.yaml:3:22: a second action, expected one",
                "f.yaml:4:3: expected `on`",
                "f.yaml:4:10: bad path: ",
                "f.yaml:4:13: unknown key \"whith\", expected on, with or an action: keep,",
                "f.yaml:5:3: found text, expected a rule",
            ],
        );
        check_diagnostics("- {on: A, replace: $.a}", &["f.yaml:1:3: expected `with`"]);
        check_diagnostics("- {on: A, mask: $.a, with: 1}", &["f.yaml:1:22: `with` goes with `replace` only"]);
        check_diagnostics("- {on: A, replace: $.a, with: [1]}", &["f.yaml:1:31: found a list, expected a value"]);
        check_diagnostics("- {on: A, mask: '$[?match(@.a, \"[\")]'}", &["f.yaml:1:17: bad path: bad pattern"]);
        check_diagnostics("a: 1", &["f.yaml:1:1: found a mapping, expected a list of rules"]);
    }
}
