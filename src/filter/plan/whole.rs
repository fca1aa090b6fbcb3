//! Whether a plan shows a part of its documents whole.

use std::collections::HashSet;

use super::Plan;
use super::compile::Spellings;
use super::fold::fold;
use super::tables::{Effect, RowKey, State, StateId};
use crate::schema::{Catalogue, Field, JsonType, Schema, TypeSet};

/// Whether a plan for documents of `schema` leaves the part at `path` as it comes: each field is shown, unknown fields too, nothing
/// is masked, and no rule hides anything there.
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
    /// The pairs of field and state that were looked at.
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
        let targets = members.targets_of(members.row(Some(name))).to_vec();
        !targets.is_empty() && targets.into_iter().all(|target| self.part(member, target, rest))
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
        // Something decides about what is in a value, although the value is hidden or the schema has no object or array there.
        if [state.object, state.array].contains(&Effect::WalkForNamed) {
            return false;
        }
        let types = types(field);
        let scalars =
            [(JsonType::String, state.string), (JsonType::Number, state.number), (JsonType::Boolean, state.boolean)];
        state.null == Effect::Copy
            && scalars.iter().all(|(one, effect)| !types.contains(*one) || *effect == Effect::Copy)
            && (!types.contains(JsonType::Object) || self.has_whole_members(field, state))
            && (!types.contains(JsonType::Array) || self.has_whole_elements(field, state))
    }

    /// Whether every member that an object may have is shown whole: those that the schema has, those that only a rule names, and all
    /// others.
    fn has_whole_members(&mut self, field: &Field, state: &State) -> bool {
        let Some(members) = state.members.as_deref().filter(|_| state.object == Effect::Walk) else {
            return state.object == Effect::Copy;
        };
        let spellings = Spellings::of(field);
        members.rows().all(|(key, row)| {
            let alike = |folded: &str| spellings.find(folded).next();
            let named = match key {
                RowKey::Name(name) => field.members.get(name).or_else(|| alike(&fold(name))),
                // Another spelling of two members at once, which no engine writes.
                RowKey::Folded(folded) if spellings.find(folded).nth(1).is_some() => return true,
                RowKey::Folded(folded) => alike(folded),
                RowKey::Other => None,
            };
            let below = named.or(field.any_member.as_deref());
            let targets = members.targets_of(row);
            !targets.is_empty() && targets.iter().all(|target| self.is_shown(below, *target))
        })
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

/// The types of the values of a field. Of one that only leads to others they may be in no table, and what is in an opaque one may have
/// any.
fn types(field: &Field) -> TypeSet {
    if field.opaque.is_some() {
        return TypeSet::ALL;
    }
    let has_members = !field.members.is_empty() || field.any_member.is_some() || field.key_class.is_some();
    let types = if has_members { field.types.with(JsonType::Object) } else { field.types };
    let types = if field.elements.is_some() { types.with(JsonType::Array) } else { types };
    if types.is_empty() { TypeSet::SCALARS } else { types }
}
