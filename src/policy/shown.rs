//! The fields that a profile shows in full.
//!
//! A parameter that reads one of these tells a client nothing that it could not read itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::filter::{Action, Explained, Rule, Treatment};
use crate::schema::Class;

/// The fields of one schema that a profile shows in full, whatever is in the document.
#[derive(Clone, Debug, Default)]
pub(super) struct ShownFields {
    /// Their paths.
    shown: BTreeSet<String>,
    /// The classes of fields that are hidden because of their class, by path.
    hidden: BTreeMap<String, Class>,
}

impl ShownFields {
    /// Those of an explanation, which is of rules that select by names alone. A field that a rule keeps counts only if
    /// `is_returned`: if an allowed operation returns documents of the schema.
    pub(super) fn new(explained: impl Iterator<Item = Explained>, is_returned: bool) -> Self {
        let mut fields = Self::default();
        for line in explained {
            let Some(class) = line.class else { continue };
            let is_shown = match line.treatment {
                Treatment::Shown => true,
                Treatment::Rule(Action::Keep) => is_returned,
                Treatment::Rule(_)
                | Treatment::Masked
                | Treatment::Blanked
                | Treatment::Removed
                | Treatment::Listed(_)
                | Treatment::AllBut(_)
                | Treatment::AllButNamed
                | Treatment::WithEntry
                | Treatment::Word => false,
            };
            if is_shown {
                fields.shown.insert(line.path);
            } else if line.treatment.is_hidden() {
                fields.hidden.insert(line.path, class);
            }
        }
        fields
    }

    /// The class of the field at a path, if it is hidden because of its class alone.
    pub(super) fn hidden_class(&self, path: &str) -> Option<Class> {
        self.hidden.get(path).copied()
    }

    /// Whether the field at a path is shown in full.
    pub(super) fn has(&self, path: &str) -> bool {
        self.shown.contains(path)
    }
}

/// Whether a rule selects fields by their names alone: not by an index, a slice or a condition.
pub(super) fn selects_by_name(rule: &Rule) -> bool {
    let text = rule.selector.to_string();
    // Every second piece is a name in quotes. An escaped quote makes the answer more careful.
    let unquoted: String = text.split(['\'', '"']).step_by(2).collect();
    !unquoted
        .split('[')
        .skip(1)
        .filter_map(|rest| rest.split(']').next())
        .any(|inside| inside.contains(|c: char| c.is_ascii_digit() || "?:-@".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profiles;

    #[track_caller]
    fn check(rule: &str, expected: bool) {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let text = format!("profile: p\nrules:\n  - {{on: ContainerInspect, blank: \"{rule}\"}}\n");
        let profiles = Profiles::parse(&[("p.yaml", &text)], &catalogue).unwrap();
        assert_eq!(selects_by_name(&profiles.get("p").unwrap().rules[0]), expected, "{rule}");
    }

    #[test]
    fn a_rule_with_an_index_or_a_condition_does_not_select_by_name() {
        for by_name in ["$.Name", "$['Name', 'Id']", "$.Config.Labels['a-b:1']", "$.Mounts[*].Name", "$..Env"] {
            check(by_name, true);
        }
        for other in
            ["$.Mounts[0]", "$.Mounts[-1]", "$.Mounts[1:]", "$['Name', ?@.a]", "$[?@.Name == 'a']", "$.Mounts[::2]"]
        {
            check(other, false);
        }
    }
}
