//! What a profile hides in a document, as `dockveil explain` says it.

use std::collections::BTreeMap;

use dockveil::filter::{Action, Explained, RecordFilter, Treatment};
use dockveil::profile::Profile;
use dockveil::schema::{Field, NameList, Presence};
use serde_json::Value;

use crate::support::built_in::catalogue;
use crate::support::leaves::step;

/// One step from a value to one inside it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Member(String),
    Element(usize),
}

/// A location of a document where something is hidden.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    pub(crate) steps: Vec<Step>,
    /// The field from the root of the document, as class files write it.
    pub(crate) path: String,
    /// Whether it may be left out: an element, a member of a map, or a member that engines write only sometimes.
    pub(crate) may_be_absent: bool,
    /// Whether it is shown itself, and only what is added to it is hidden: more entries, or members that no schema has.
    pub(crate) is_shown: bool,
}

/// What one profile says about the fields of one schema.
pub(crate) struct Lens {
    profile: &'static Profile,
    lines: BTreeMap<String, Explained>,
}

impl Lens {
    pub(crate) fn new(profile: &'static Profile, schema: &str) -> Self {
        let lines = RecordFilter::explain(catalogue(), schema, &profile.show, &profile.rules).unwrap();
        let lines = lines.into_iter().filter(|line| line.class.is_some());
        Self { profile, lines: lines.map(|line| (line.path.clone(), line)).collect() }
    }

    /// The locations of a document of `schema`, each before those inside it.
    pub(crate) fn find(&self, schema: &str, document: &Value) -> Vec<Location> {
        let mut walk = Walk { lens: self, steps: Vec::new(), found: Vec::new() };
        walk.field(catalogue().schema(schema).unwrap().root(), "$", false, document);
        walk.found
    }

    /// The lines about a path and what is below it.
    fn lines(&self, path: &str) -> impl Iterator<Item = &Explained> {
        let from = self.lines.range(path.to_owned()..).take_while(move |(known, _)| known.starts_with(path));
        let is_below = move |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
        from.filter(move |(known, _)| is_below(&known[path.len()..])).map(|(_, line)| line)
    }

    /// Whether nothing at a path or below it can be shown.
    fn hides(&self, path: &str) -> bool {
        self.lines(path).all(|line| {
            if let Treatment::Rule(action) = &line.treatment {
                matches!(action, Action::Blank | Action::Remove | Action::Redact | Action::Replace(_))
            } else {
                line.treatment.is_hidden()
            }
        })
    }

    /// Whether a rule writes something at a path, so that whether the value is there can be seen.
    fn writes(&self, path: &str) -> bool {
        self.lines(path).any(|line| matches!(line.treatment, Treatment::Rule(Action::Redact | Action::Replace(_))))
    }

    /// The list by which entries directly below a path are shown.
    fn list(&self, path: &str) -> Option<NameList> {
        [".*", "[*]"].iter().find_map(|items| {
            let line = self.lines.get(&format!("{path}{items}"))?;
            if let Treatment::Listed(list) = line.treatment { Some(list) } else { None }
        })
    }
}

/// A walk over a document and the catalogue at once.
struct Walk<'l> {
    lens: &'l Lens,
    steps: Vec<Step>,
    found: Vec<Location>,
}

impl Walk<'_> {
    fn push(&mut self, path: &str, may_be_absent: bool, is_shown: bool) {
        self.found.push(Location { steps: self.steps.clone(), path: path.to_owned(), may_be_absent, is_shown });
    }

    fn field(&mut self, field: &Field, path: &str, may_be_absent: bool, value: &Value) {
        if let Some(nested) = &field.nested {
            return self.field(catalogue().schema(nested).unwrap().root(), path, may_be_absent, value);
        }
        if !self.steps.is_empty() && self.lens.hides(path) {
            return self.push(path, may_be_absent && !self.lens.writes(path), false);
        }
        match value {
            Value::Object(members) => self.members(field, path, members),
            Value::Array(elements) => self.elements(field, path, elements),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn members(&mut self, field: &Field, path: &str, members: &serde_json::Map<String, Value>) {
        let list = self.lens.list(path);
        let names = |list| self.lens.profile.show.names.of(list);
        let is_fixed = field.any_member.is_none() && !field.members.is_empty();
        if list.is_some() || (is_fixed && !self.lens.profile.show.unknown) {
            self.push(path, false, true);
        }
        for (name, value) in members {
            self.steps.push(Step::Member(name.clone()));
            match (field.members.get(name), &field.any_member, list) {
                (Some(member), ..) => {
                    let may_be_absent = member.presence == Presence::Sometimes;
                    self.field(member, &format!("{path}{}", step(name)), may_be_absent, value);
                }
                (None, Some(_), Some(list)) if names(list).matches(name) => {}
                (None, Some(_), Some(list)) if names(list).shows_name_only(name) => {
                    self.push(&format!("{path}.*"), false, false);
                }
                (None, Some(_), Some(_)) => self.push(&format!("{path}.*"), true, false),
                (None, Some(any), None) => self.field(any, &format!("{path}.*"), !self.shows_keys(path), value),
                (None, None, _) if self.lens.profile.show.unknown => {}
                (None, None, _) => self.push(&format!("{path}{}", step(name)), true, false),
            }
            self.steps.pop();
        }
    }

    /// Whether the keys of the map at a path are shown, so that whether a hidden value is there can be seen.
    fn shows_keys(&self, path: &str) -> bool {
        self.lens.lines.get(&format!("{path}.*~")).is_some_and(|line| !line.treatment.is_hidden())
    }

    fn elements(&mut self, field: &Field, path: &str, elements: &[Value]) {
        let list = self.lens.list(path);
        if list.is_some() {
            self.push(path, false, true);
        }
        let Some(below) = &field.elements else { return };
        for (index, value) in elements.iter().enumerate() {
            let name = value.as_str().map(|text| text.split('=').next().unwrap_or(text));
            self.steps.push(Step::Element(index));
            match (list, name) {
                (Some(list), Some(name)) if self.lens.profile.show.names.of(list).matches(name) => {}
                (Some(_), _) => self.push(&format!("{path}[*]"), true, false),
                (None, _) => self.field(below, &format!("{path}[*]"), true, value),
            }
            self.steps.pop();
        }
    }
}
