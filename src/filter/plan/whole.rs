//! Whether a plan shows a part of its documents whole.

use std::collections::HashSet;

use super::Plan;
use super::tables::{Effect, State, StateId};
use crate::schema::{Catalogue, Field, JsonType, Schema, TypeSet};

/// Whether a plan for documents of `schema` leaves the part at `path` as it comes: each field is shown, unknown fields too, and
/// nothing is masked.
///
/// Only values of the types that the schema gives a field are considered. A number where the schema has a text may be hidden.
pub(super) fn shows_whole(plan: &Plan, catalogue: &Catalogue, schema: &Schema, path: &[&str]) -> bool {
    let mut inspection = Inspection { plan, catalogue, seen: HashSet::new() };
    inspection.part(schema.root(), plan.root, path)
}

/// One recursion over fields and states together.
struct Inspection<'p> {
    plan: &'p Plan,
    catalogue: &'p Catalogue,
    /// The pairs of field and state that were looked at or are being looked at: a schema can contain itself.
    seen: HashSet<(*const Field, StateId)>,
}

impl Inspection<'_> {
    /// Whether the part at `path` below a field is shown whole.
    fn part(&mut self, field: &Field, id: StateId, path: &[&str]) -> bool {
        let Some((name, rest)) = path.split_first() else { return self.is_whole(field, id) };
        let catalogue = self.catalogue;
        let field = nested(catalogue, field);
        let (Some(state), Some(member)) = (self.plan.state(id), field.members.get(*name)) else { return false };
        if state.object == Effect::Copy {
            return true;
        }
        let Some(members) = state.members.as_deref() else { return false };
        let row = members.row(Some(name));
        let truths = 0..1_usize << members.conditions.len();
        truths
            .map(|truths| members.target(row, truths))
            .all(|target| target.is_some_and(|target| self.part(member, target, rest)))
    }

    /// Whether a field is shown with everything in it.
    fn is_whole(&mut self, field: &Field, id: StateId) -> bool {
        let catalogue = self.catalogue;
        let field = nested(catalogue, field);
        if !self.seen.insert((std::ptr::from_ref(field), id)) {
            return true;
        }
        let plan = self.plan;
        let Some(state) = plan.state(id) else { return false };
        if state.is_copied() {
            return true;
        }
        let has_members = !field.members.is_empty() || field.any_member.is_some() || field.key_class.is_some();
        let types = types(field, has_members);
        let scalars =
            [(JsonType::String, state.string), (JsonType::Number, state.number), (JsonType::Boolean, state.boolean)];
        state.null == Effect::Copy
            && scalars.iter().all(|(one, effect)| !types.contains(*one) || *effect == Effect::Copy)
            && (!types.contains(JsonType::Object) || self.has_whole_members(field, state))
            && (!types.contains(JsonType::Array) || self.has_whole_elements(field, state))
    }

    /// Whether every member that an object may have is shown whole.
    fn has_whole_members(&mut self, field: &Field, state: &State) -> bool {
        let Some(members) = state.members.as_deref().filter(|_| state.object == Effect::Walk) else {
            return state.object == Effect::Copy;
        };
        let width = members.conditions.len();
        let mut is_shown = |row: usize, below: Option<&Field>| {
            let targets = (0..1_usize << width).map(|truths| members.target(row, truths));
            let targets: Vec<Option<StateId>> = targets.collect();
            targets.into_iter().all(|target| target.is_some_and(|target| self.is_shown(below, target)))
        };
        let others = if members.list.is_some() { members.other.saturating_sub(1) } else { members.other };
        field.members.iter().all(|(name, below)| is_shown(members.row(Some(name)), Some(below)))
            && (others..=members.other).all(|row| is_shown(row, field.any_member.as_deref()))
    }

    /// Whether every element that an array may have is shown whole.
    fn has_whole_elements(&mut self, field: &Field, state: &State) -> bool {
        let Some(elements) = state.elements.as_deref().filter(|_| state.array == Effect::Walk) else {
            return state.array == Effect::Copy;
        };
        let targets = elements.targets.clone();
        targets.into_iter().all(|target| self.is_shown(field.elements.as_deref(), target))
    }

    /// Whether a member or element is shown whole: as the field that the schema has for it, or whatever it is.
    fn is_shown(&mut self, field: Option<&Field>, id: StateId) -> bool {
        match field {
            Some(field) => self.is_whole(field, id),
            None => self.plan.state(id).is_some_and(State::is_copied),
        }
    }
}

/// The field itself, or the root of the schema that nests there.
fn nested<'f>(catalogue: &'f Catalogue, mut field: &'f Field) -> &'f Field {
    while let Some(schema) = field.nested.as_deref().and_then(|name| catalogue.schema(name)) {
        field = schema.root();
    }
    field
}

/// The types of the values of a field. Of one that only leads to others they may be in no table.
fn types(field: &Field, has_members: bool) -> TypeSet {
    let types = if has_members { field.types.with(JsonType::Object) } else { field.types };
    let types = if field.elements.is_some() { types.with(JsonType::Array) } else { types };
    if types.is_empty() { TypeSet::SCALARS } else { types }
}
