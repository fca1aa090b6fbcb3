//! Rules, as profiles have them.
//!
//! ```yaml
//! - on: Measurement
//!   mask: "$.Source.Arguments[*]"
//! - on: Measurement
//!   replace: "$.Source.Paths"
//!   with: "[]"
//! - on: Measurement
//!   blank: $.Novelty
//!   unknown: true                      # no schema has it yet
//! ```

use super::{Action, Replacement, Selector, SelectorError};
use crate::quoting;
use crate::yaml::{Diagnostic, Diagnostics, Key, Location, Node, Value};

/// One rule: what happens to each match of a path in the documents of one schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The line it is on.
    pub location: Location,
    /// The name of the schema whose documents it is for.
    pub on: String,
    /// The locations in such a document.
    pub selector: Selector,
    /// What happens there.
    pub action: Action,
}

/// The actions, as keys of a rule.
const ACTIONS: [&str; 7] = ["keep", "blank", "remove", "redact", "mask", "hash", "replace"];

/// Reads a list of rules. `is_schema` says whether a schema exists.
///
/// # Errors
/// Every error in all of them.
pub fn parse_rules(node: &Node, is_schema: impl Fn(&str) -> bool) -> Result<Vec<Rule>, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let mut rules = Vec::new();
    for item in node.list("a list of rules")? {
        rules.extend(diagnostics.ok(parse_rule(item, &is_schema)));
    }
    diagnostics.finish(rules)
}

/// Reads one rule.
///
/// # Errors
/// Every error in it.
pub fn parse_rule(node: &Node, is_schema: impl Fn(&str) -> bool) -> Result<Rule, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let raw = RawRule::read(node, &mut diagnostics)?;
    let on = raw.schema(node, is_schema, &mut diagnostics);
    let selected = raw.selected(node, &mut diagnostics);
    let replacement = raw.replacement(node, &mut diagnostics);
    let action = selected.as_ref().and_then(|(name, _)| Action::named(name, replacement));
    let rule = match (on, selected, action) {
        (Some(on), Some((_, selector)), Some(action)) => {
            Some(Rule { location: node.location.clone(), on, selector, action })
        }
        (_, _, _) => None,
    };
    diagnostics.finish_option(rule)
}

/// Whether a rule says that its path may lead to what no schema knows.
pub fn accepts_unknown(rule: &Node) -> bool {
    rule.mapping("a rule").is_ok_and(|members| members.iter().any(|(key, _)| key.name == "unknown"))
}

/// The path of a rule, as written.
pub fn path_of(rule: &Node) -> Option<&Node> {
    let members = rule.mapping("a rule").ok()?;
    members.iter().find(|(key, _)| ACTIONS.contains(&key.name.as_str())).map(|(_, path)| path)
}

/// The keys of a rule as written. Nothing here has been checked.
#[derive(Default)]
struct RawRule<'n> {
    on: Option<&'n Node>,
    with: Option<(&'n Key, &'n Node)>,
    actions: Vec<(&'n Key, &'n Node)>,
}

impl<'n> RawRule<'n> {
    fn read(node: &'n Node, diagnostics: &mut Diagnostics) -> Result<Self, Diagnostic> {
        let mut raw = Self::default();
        for (key, value) in node.mapping("a rule: `on` and an action with a path")? {
            match key.name.as_str() {
                "on" => raw.on = Some(value),
                "with" => raw.with = Some((key, value)),
                "unknown" => {
                    if value.text("`true`")? != "true" {
                        diagnostics.push(value.diagnostic("found another value, expected `true`"));
                    }
                }
                name if ACTIONS.contains(&name) => raw.actions.push((key, value)),
                name => {
                    let expected = ACTIONS.join(", ");
                    let found = quoting::value(name);
                    let message = format!("unknown key {found:?}, expected on, with, unknown or an action: {expected}");
                    diagnostics.report(&key.location, message);
                }
            }
        }
        Ok(raw)
    }

    /// The name of the schema.
    fn schema(&self, node: &Node, is_schema: impl Fn(&str) -> bool, diagnostics: &mut Diagnostics) -> Option<String> {
        let Some(on) = self.on else {
            diagnostics.push(node.diagnostic("expected `on` with the name of a schema"));
            return None;
        };
        let name = diagnostics.ok(on.text("the name of a schema"))?;
        if is_schema(name) {
            return Some(name.to_owned());
        }
        diagnostics.push(on.diagnostic(format!("unknown schema {:?}", quoting::value(name))));
        None
    }

    /// The name of the one action, and its path.
    fn selected(&self, node: &Node, diagnostics: &mut Diagnostics) -> Option<(&'n str, Selector)> {
        match self.actions.as_slice() {
            [(key, path)] => {
                let parsed = path
                    .text("a path")
                    .and_then(|text| text.parse().map_err(|error: SelectorError| path.diagnostic(error.to_string())));
                diagnostics.ok(parsed).map(|selector| (key.name.as_str(), selector))
            }
            [] => {
                diagnostics.push(node.diagnostic(format!("expected an action: one of {}", ACTIONS.join(", "))));
                None
            }
            [_, more @ ..] => {
                for (key, _) in more {
                    diagnostics.report(&key.location, "a second action, expected one");
                }
                None
            }
        }
    }

    /// The value of `with`, which belongs to `replace`.
    fn replacement(&self, node: &Node, diagnostics: &mut Diagnostics) -> Option<Replacement> {
        let replaces = matches!(self.actions.as_slice(), [(key, _)] if key.name == "replace");
        match (replaces, self.with) {
            (true, Some((_, value))) => diagnostics.ok(replacement(value)),
            (true, None) => {
                diagnostics.push(node.diagnostic("expected `with` and the new value"));
                None
            }
            (false, Some((key, _))) => {
                diagnostics.report(&key.location, "`with` belongs to `replace` only");
                None
            }
            (false, None) => None,
        }
    }
}

/// Reads JSON text, or plain words for a text. Quoted text is JSON too if it parses: `'"1"'` is the text `1`.
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
    fn all_errors_are_reported_at_once() {
        check_diagnostics(
            "- {on: B, mask: $.a}\n- {on: A}\n- {on: A, mask: $.a, keep: $.b}\n- {mask: a, whith: 1}\n- x\n",
            &[
                "f.yaml:1:8: unknown schema \"B\"",
                "f.yaml:2:3: expected an action: one of keep,",
                "f.yaml:3:22: a second action, expected one",
                "f.yaml:4:3: expected `on`",
                "f.yaml:4:10: bad path: ",
                "f.yaml:4:13: unknown key \"whith\", expected on, with, unknown or an action: keep,",
                "f.yaml:5:3: found text, expected a rule",
            ],
        );
        check_diagnostics("- {on: A, replace: $.a}", &["f.yaml:1:3: expected `with`"]);
        check_diagnostics("- {on: A, mask: $.a, with: 1}", &["f.yaml:1:22: `with` belongs to `replace` only"]);
        check_diagnostics("- {on: A, replace: $.a, with: [1]}", &["f.yaml:1:31: found a list, expected a value"]);
        check_diagnostics("- {on: A, mask: '$[?match(@.a, \"[\")]'}", &["f.yaml:1:17: bad path: bad pattern"]);
        check_diagnostics("a: 1", &["f.yaml:1:1: found a mapping, expected a list of rules"]);
    }
}
