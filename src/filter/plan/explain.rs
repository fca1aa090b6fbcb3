//! What a plan does, for people: an entry for each field and each rule.

use std::collections::BTreeSet;
use std::fmt;

use super::Plan;
use super::fold::fold;
use super::tables::{Effect, HiddenForm, Listing, MemberTable, RowKey, State, StateId};
use crate::filter::show::Show;
use crate::filter::{Action, Rule};
use crate::schema::{Catalogue, Class, Field, NameList, Part, Schema, Step, write_member};
use crate::yaml::Location;

/// What happens to one field, or what one rule does.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The field as class files write it, or the path of the rule.
    pub path: String,
    /// The class of the field; `None` for a rule.
    pub class: Option<Class>,
    /// What happens.
    pub treatment: Treatment,
    /// The line that decided: of a rule if one did, else of the class file.
    pub location: Option<Location>,
}

/// What happens to a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Treatment {
    /// It is shown.
    Shown,
    /// It is shown without what looks like a credential.
    Masked,
    /// It is blanked.
    Blanked,
    /// It is removed.
    Removed,
    /// Entries whose names the profile lists are shown.
    Listed(NameList),
    /// Entries are shown whose names the profile does not exclude.
    AllBut(NameList),
    /// It is shown, except in entries that a rule names.
    AllButNamed,
    /// A key is shown if its entry is.
    WithEntry,
    /// Of a text, the word before its colon is shown.
    Word,
    /// The action of a rule.
    Rule(Action),
}

impl Treatment {
    /// Whether the field is shown as it is.
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Shown | Self::Rule(Action::Keep) => true,
            Self::Masked
            | Self::Blanked
            | Self::Removed
            | Self::Listed(_)
            | Self::AllBut(_)
            | Self::AllButNamed
            | Self::WithEntry
            | Self::Word
            | Self::Rule(_) => false,
        }
    }

    /// Whether the field is hidden by its class.
    pub fn is_hidden(&self) -> bool {
        match self {
            Self::Blanked | Self::Removed => true,
            Self::Shown
            | Self::Masked
            | Self::Listed(_)
            | Self::AllBut(_)
            | Self::AllButNamed
            | Self::WithEntry
            | Self::Word
            | Self::Rule(_) => false,
        }
    }
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shown => f.write_str("shown"),
            Self::Masked => f.write_str("shown, credentials masked"),
            Self::Blanked => f.write_str("hidden: blank"),
            Self::Removed => f.write_str("hidden: removed"),
            Self::Listed(list) => write!(f, "{list} in the allow-list are shown"),
            Self::AllBut(list) => write!(f, "{list} are shown, except those that are excluded"),
            Self::AllButNamed => f.write_str("shown, except in entries that a rule names"),
            Self::WithEntry => f.write_str("shown with its entry"),
            Self::Word => f.write_str("shown up to its colon"),
            Self::Rule(action) => write!(f, "rule: {}", action.as_str()),
        }
    }
}

/// Explains every field of a schema and every rule about it. With `paths`, members are left out in which none of these is.
pub(super) fn explain<'e>(
    plan: &'e Plan,
    catalogue: &'e Catalogue,
    schema: &'e Schema,
    show: &'e Show,
    rules: &'e [Rule],
    paths: Option<&'e [&'e str]>,
) -> Vec<Explained> {
    let mut explainer = Explainer {
        plan,
        catalogue,
        show,
        rules,
        path: "$".to_owned(),
        paths,
        schemas: vec![schema.name()],
        lines: Vec::new(),
    };
    explainer.field(schema.root(), plan.root, None);
    let mut lines = explainer.lines;
    let about = catalogue.with_nested(schema.name());
    for rule in rules.iter().filter(|rule| about.contains(&rule.on.as_str())) {
        let path = rule.selector.to_string();
        lines.push(Explained {
            path: if rule.on == schema.name() { path } else { format!("{}: {path}", rule.on) },
            class: None,
            treatment: Treatment::Rule(rule.action.clone()),
            location: Some(rule.location.clone()),
        });
    }
    lines
}

/// One recursion over fields and states together.
struct Explainer<'e> {
    plan: &'e Plan,
    catalogue: &'e Catalogue,
    show: &'e Show,
    rules: &'e [Rule],
    /// The path to the field.
    path: String,
    /// The fields that are asked for; all if `None`.
    paths: Option<&'e [&'e str]>,
    /// The schemas that the field is in, the innermost last.
    schemas: Vec<&'e str>,
    lines: Vec<Explained>,
}

impl<'e> Explainer<'e> {
    /// Explains a field and all below it. `above` is the rule that decided above it.
    fn field(&mut self, field: &'e Field, id: StateId, above: Option<usize>) {
        let nested = field.nested.as_deref().filter(|name| !self.schemas.contains(name));
        if let Some(schema) = nested.and_then(|name| self.catalogue.schema(name)) {
            self.schemas.push(schema.name());
            self.field(schema.root(), id, above);
            self.schemas.pop();
            return;
        }
        let Some(state) = self.plan.state(id) else { return };
        let rule = if state.is_decided() { Some(state.action) } else { above };
        let keys = self.classes(field, state, rule);
        for (name, below) in &field.members {
            let members = state.members.as_deref();
            let target = members.and_then(|members| members.target(members.row(Some(name)), 0));
            self.below(|path| write_member(name, path), below, target.unwrap_or(id), rule);
        }
        if let Some(below) = &field.any_member {
            let members = state.members.as_deref();
            let target = members.and_then(|members| members.target(members.row_of_entries(), 0));
            let first = self.below(|path| Step::AnyMember.write_to(path), below, target.unwrap_or(id), rule);
            self.mark_removed(first, target);
            if let Some(members) = members {
                self.mark_named(first, field, members, rule);
            }
            self.keep_keys(keys, first);
            self.mark_listed(first, members.and_then(|members| members.list));
        }
        if let Some(below) = &field.elements {
            let elements = state.elements.as_deref();
            let is_open = elements.and_then(|elements| elements.list).is_some_and(|listing| listing.is_open);
            let target = elements.and_then(|elements| elements.target(is_open, 0));
            let first = self.below(|path| Step::Elements.write_to(path), below, target.unwrap_or(id), rule);
            self.mark_removed(first, target);
            self.mark_listed(first, elements.and_then(|elements| elements.list));
        }
    }

    /// Explains what is one step below, which `write` adds to the path; returns the index of its first line.
    fn below(&mut self, write: impl FnOnce(&mut String), below: &'e Field, id: StateId, rule: Option<usize>) -> usize {
        let (length, first) = (self.path.len(), self.lines.len());
        write(&mut self.path);
        if self.is_asked_for() {
            self.field(below, id, rule);
        }
        self.path.truncate(length);
        first
    }

    /// Whether a field that is asked for may be at the path or below it. Everything in a map or an array is, because what is in it
    /// decides what is said of its keys.
    fn is_asked_for(&self) -> bool {
        let Some(paths) = self.paths.filter(|_| !self.path.contains('*')) else { return true };
        paths.iter().any(|asked| asked.starts_with(&self.path))
    }

    /// A line for each class of a field; returns the index of the line about its keys.
    fn classes(&mut self, field: &'e Field, state: &State, rule: Option<usize>) -> Option<usize> {
        let mut keys = None;
        let rule = rule.and_then(|rule| self.rules.get(rule));
        let parts = [(&field.class, Part::Value), (&field.key_class, Part::Keys), (&field.opaque, Part::Everything)];
        for (classified, part) in parts {
            let Some((class, location)) = classified else { continue };
            let (treatment, location) = match (rule, part) {
                (Some(rule), _) => (Treatment::Rule(rule.action.clone()), &rule.location),
                (None, Part::Keys) => (self.keys(*class), location),
                (None, Part::Value | Part::Everything) => (value(state), location),
            };
            if part == Part::Keys {
                keys = Some(self.lines.len());
            }
            let path = format!("{}{}", self.path, part.as_str());
            self.lines.push(Explained { path, class: Some(*class), treatment, location: Some(location.clone()) });
        }
        keys
    }

    fn keys(&self, class: Class) -> Treatment {
        if self.show.classes.contains(class) { Treatment::Shown } else { Treatment::Removed }
    }

    /// Says of what is in a hidden map or array, whose items have no states, that it is removed.
    fn mark_removed(&mut self, first: usize, target: Option<StateId>) {
        for line in self.lines.get_mut(first..).unwrap_or_default().iter_mut().filter(|_| target.is_none()) {
            if line.treatment == Treatment::Blanked {
                line.treatment = Treatment::Removed;
            }
        }
    }

    /// Says of what is shown in a map that it is not, if that is so in an entry that a rule names.
    fn mark_named(&mut self, first: usize, map: &'e Field, members: &MemberTable, rule: Option<usize>) {
        let Some(entry) = map.any_member.as_deref() else { return };
        let usual = members.target(members.row_of_entries(), 0);
        let is_entry = |key: RowKey<'_>| match key {
            RowKey::Name(name) => !map.members.contains_key(name),
            RowKey::Folded(folded) => !map.members.keys().any(|name| fold(name) == folded),
            RowKey::Other => false,
        };
        let rows = members.rows().filter(|(key, _)| is_entry(*key));
        let targets: BTreeSet<StateId> = rows.filter_map(|(_, row)| members.target(row, 0)).collect();
        for target in targets.into_iter().filter(|target| Some(*target) != usual) {
            // The same lines once more, as they are there.
            let named = self.below(|path| Step::AnyMember.write_to(path), entry, target, rule);
            let lines = self.lines.split_off(named);
            for (line, there) in self.lines.get_mut(first..).unwrap_or_default().iter_mut().zip(lines) {
                if line.treatment.is_whole() && !there.treatment.is_whole() {
                    line.treatment = Treatment::AllButNamed;
                }
            }
        }
    }

    /// What rules keep in a member of a map comes out under its key.
    fn keep_keys(&mut self, keys: Option<usize>, first: usize) {
        let inside = self.lines.get(first..).unwrap_or_default();
        let keeping = inside.iter().find(|line| line.treatment == Treatment::Rule(Action::Keep));
        let Some(location) = keeping.map(|line| line.location.clone()) else { return };
        if let Some(line) = keys.and_then(|keys| self.lines.get_mut(keys)).filter(|line| line.treatment.is_hidden()) {
            (line.treatment, line.location) = (Treatment::Rule(Action::Keep), location);
        }
    }

    /// Says of a hidden value that an allow-list may show it, and of a shown one that an exclusion may hide it.
    fn mark_listed(&mut self, first: usize, listing: Option<Listing>) {
        let (Some(Listing { list, is_open }), Some(line)) = (listing, self.lines.get_mut(first)) else { return };
        match (is_open, line.treatment.is_hidden()) {
            (true, false) => line.treatment = Treatment::AllBut(list),
            (false, true) => line.treatment = Treatment::Listed(list),
            (true, true) | (false, false) => {}
        }
    }
}

/// What happens to the value of a field.
fn value(state: &State) -> Treatment {
    let effects = [state.string, state.number, state.boolean, state.object, state.array];
    if effects.contains(&Effect::Mask) {
        Treatment::Masked
    } else if effects.contains(&Effect::Copy) || effects.contains(&Effect::Walk) {
        Treatment::Shown
    } else {
        match state.hidden {
            HiddenForm::Text(_) => Treatment::Blanked,
            HiddenForm::Absent => Treatment::Removed,
        }
    }
}
