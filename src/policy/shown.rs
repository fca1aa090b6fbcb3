//! The fields that a profile shows in full.
//!
//! A parameter that reads one of these tells a client nothing that it could not read itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::queries::ReadField;
use crate::filter::{Action, CompileError, Explained, Rule, Treatment};
use crate::schema::{Catalogue, Class};

/// The fields that a profile shows in full, whatever is in the document.
#[derive(Clone, Debug, Default)]
pub(super) struct ShownFields {
    /// The paths, by schema.
    by_schema: BTreeMap<String, BTreeSet<String>>,
    /// The classes of fields that are hidden because of their class, by schema and path.
    hidden: BTreeMap<String, BTreeMap<String, Class>>,
}

impl ShownFields {
    /// Adds the fields of a schema, unless it has been added. A field that a rule keeps counts only if `is_returned`: if an
    /// allowed operation returns documents of the schema. `explain` explains the fields that will be asked for.
    ///
    /// # Errors
    /// Those of `explain`.
    pub(super) fn add(
        &mut self,
        catalogue: &Catalogue,
        schema: &str,
        rules: &[Rule],
        is_returned: bool,
        explain: impl FnOnce() -> Result<Vec<Explained>, CompileError>,
    ) -> Result<(), CompileError> {
        if self.by_schema.contains_key(schema) {
            return Ok(());
        }
        let schemas = catalogue.with_nested(schema);
        let is_hiding = |rule: &&Rule| rule.action != Action::Keep && schemas.contains(&rule.on.as_str());
        // Where such a rule hides is in no explanation.
        let (mut shown, mut hidden) = (BTreeSet::new(), BTreeMap::new());
        if rules.iter().filter(is_hiding).all(selects_by_name) {
            for line in explain()?.into_iter().filter(|line| line.class.is_some()) {
                let is_shown = match line.treatment {
                    Treatment::Shown => true,
                    Treatment::Rule(Action::Keep) => is_returned,
                    Treatment::Rule(_)
                    | Treatment::Masked
                    | Treatment::Blanked
                    | Treatment::Removed
                    | Treatment::Listed(_)
                    | Treatment::AllBut(_)
                    | Treatment::WithEntry
                    | Treatment::Word => false,
                };
                match line.class.filter(|_| line.treatment.is_hidden()) {
                    _ if is_shown => drop(shown.insert(line.path)),
                    Some(class) => drop(hidden.insert(line.path, class)),
                    None => {}
                }
            }
        }
        self.by_schema.insert(schema.to_owned(), shown);
        self.hidden.insert(schema.to_owned(), hidden);
        Ok(())
    }

    /// The class of a field, if it is hidden because of its class alone.
    pub(super) fn hidden_class(&self, field: &ReadField) -> Option<Class> {
        self.hidden.get(&field.schema)?.get(&field.path).copied()
    }

    /// Whether a field is shown in full. Of a schema that has not been added, none is.
    pub(super) fn has(&self, field: &ReadField) -> bool {
        self.by_schema.get(&field.schema).is_some_and(|shown| shown.contains(&field.path))
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
