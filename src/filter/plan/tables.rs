//! The table of a plan: its states, and where members and elements lead.

use super::names::{KeyDigest, Names};
use super::{Plan, equals_folded_name};
use crate::filter::selector::Pick;
use crate::schema::{Class, NameList};

/// The index of a state in [`Plan::states`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::filter) struct StateId(pub(super) u32);

impl StateId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What happens to a value, by its type.
#[derive(Clone, Debug)]
pub(in crate::filter) struct State {
    pub(in crate::filter) string: Effect,
    pub(in crate::filter) number: Effect,
    pub(in crate::filter) boolean: Effect,
    pub(in crate::filter) null: Effect,
    pub(in crate::filter) object: Effect,
    pub(in crate::filter) array: Effect,
    /// What stands for a hidden value.
    pub(in crate::filter) hidden: HiddenForm,
    /// Why something is hidden here.
    pub(in crate::filter) cause: Cause,
    /// Whether a rule keeps what is here.
    pub(in crate::filter) is_kept: bool,
    /// Whether an allow-list shows what is here.
    pub(in crate::filter) is_listed: bool,
    /// Whether it is never written, whatever its value is. Set when the plan is complete.
    pub(in crate::filter) is_dropped: bool,
    /// The rule that decided, as the index of its action in [`Plan::actions`], if a rule did.
    pub(in crate::filter) action: usize,
    pub(in crate::filter) members: Option<Box<MemberTable>>,
    pub(in crate::filter) elements: Option<Box<ElementTable>>,
}

/// What happens to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::filter) enum Effect {
    /// Its text is copied.
    Copy,
    /// It is hidden: [`State::hidden`] stands in its place.
    Hide,
    /// A rule's action writes what replaces it.
    Act,
    /// Its text is copied without what looks like a credential. Only of scalars.
    Mask,
    /// Its members or elements are looked at one by one.
    Walk,
    /// The same, and it is hidden unless something in it is shown by name: kept by a rule, or listed.
    WalkForNamed,
}

impl Effect {
    /// Whether members or elements are looked at.
    pub(super) fn is_walk(self) -> bool {
        match self {
            Self::Walk | Self::WalkForNamed => true,
            Self::Copy | Self::Hide | Self::Act | Self::Mask => false,
        }
    }
}

/// What stands for a hidden value. It depends on the schema and never on the value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::filter) enum HiddenForm {
    /// Nothing: the member or element is not written.
    Absent,
    /// This JSON text.
    Text(Box<[u8]>),
}

/// Why something is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::filter) enum Cause {
    /// Its class is not shown.
    Class(Class),
    /// No schema knows it, or its shape is not the schema's.
    Unknown,
    /// A rule.
    Rule,
}

/// Which entries of a list a location shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::filter) struct Listing {
    pub(super) list: NameList,
    /// Whether it shows every entry that is not excluded, and not only those in the allow-list.
    pub(super) is_open: bool,
}

/// The states that the members of an object lead to.
///
/// `targets` has a row for each name, then one for each name in folded form, then one for keys in the allow-list, then
/// one for all other keys. A row has a column for each combination of conditions that are true.
#[derive(Clone, Debug)]
pub(in crate::filter) struct MemberTable {
    pub(in crate::filter) names: Names,
    pub(super) folded: Vec<(String, usize)>,
    pub(super) list: Option<Listing>,
    /// Whether no name of the list has a row, or not all of them have: then keys are looked up in it.
    pub(super) asks_list: bool,
    pub(in crate::filter) conditions: Vec<Condition>,
    pub(super) targets: Vec<StateId>,
    /// The row of all other keys.
    pub(super) other: usize,
    /// For each row, whether the name of its member may be shown alone. Empty if the list has no such names.
    pub(super) named: Vec<bool>,
}

/// The states that the elements of an array lead to: a row for all of them, then one for those in the allow-list.
#[derive(Clone, Debug)]
pub(in crate::filter) struct ElementTable {
    pub(in crate::filter) list: Option<Listing>,
    pub(in crate::filter) conditions: Vec<Condition>,
    /// Whether a condition counts from the end.
    pub(in crate::filter) needs_length: bool,
    pub(super) targets: Vec<StateId>,
}

/// A condition on an element or member that only the document can answer.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::filter) struct Condition {
    /// Only indexes, slices and tests. The condition is true if one of them is.
    pub(in crate::filter) picks: Vec<Pick>,
}

/// The keys that a row of a table is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum RowKey<'t> {
    /// This name.
    Name(&'t str),
    /// Every other spelling of names that fold to this.
    Folded(&'t str),
    /// Keys that are none of the names, whether or not they are in the allow-list.
    Other,
}

impl State {
    /// Whether a filter expression decides about members or elements.
    pub(super) fn has_expressions(&self) -> bool {
        let members = self.members.iter().flat_map(|table| &table.conditions);
        let elements = self.elements.iter().flat_map(|table| &table.conditions);
        members.chain(elements).flat_map(|condition| &condition.picks).any(|pick| matches!(pick, Pick::Test(_)))
    }

    /// A state with one effect for every type.
    pub(super) fn of(effect: Effect, cause: Cause) -> Self {
        Self {
            string: effect,
            number: effect,
            boolean: effect,
            null: effect,
            object: effect,
            array: effect,
            hidden: HiddenForm::Absent,
            cause,
            is_kept: false,
            is_listed: false,
            is_dropped: false,
            action: 0,
            members: None,
            elements: None,
        }
    }

    /// Whether a rule decided what happens here.
    pub(super) fn is_decided(&self) -> bool {
        self.is_kept || self.string == Effect::Act || (self.is_hidden() && self.cause == Cause::Rule)
    }

    /// The effects of all types.
    fn effects(&self) -> [Effect; 6] {
        [self.string, self.number, self.boolean, self.null, self.object, self.array]
    }

    /// Whether the value is hidden because of its class, and nothing stands in its place.
    pub(in crate::filter) fn is_left_out_by_class(&self) -> bool {
        let is_by_class = matches!(self.cause, Cause::Class(_));
        self.string == Effect::Hide && is_by_class && !self.is_kept && self.hidden == HiddenForm::Absent
    }

    /// Whether the value's text is copied, whatever its type.
    pub(super) fn is_copied(&self) -> bool {
        self.effects() == [Effect::Copy; 6]
    }

    /// Whether the value is hidden, whatever its type.
    fn is_hidden(&self) -> bool {
        self.effects() == [Effect::Hide; 6]
    }

    /// Whether the member or element is not written, whatever its type.
    fn is_absent(&self) -> bool {
        self.is_hidden() && self.hidden == HiddenForm::Absent
    }
}

impl MemberTable {
    /// The state for the member in `row`, with the conditions in the bit set `truths` true.
    pub(in crate::filter) fn target(&self, row: usize, truths: usize) -> Option<StateId> {
        self.targets.get((row << self.conditions.len()) | truths).copied()
    }

    /// The row of a key that is none of the names. The key is UTF-8, and has this digest.
    #[inline]
    pub(in crate::filter) fn other_row(&self, digest: KeyDigest, key: &[u8], plan: &Plan) -> usize {
        if let Some(row) = self.folded_row(key) {
            return row;
        }
        match self.list {
            Some(list) if self.asks_list && plan.lists(list, digest, key) => self.other.saturating_sub(1),
            Some(_) | None => self.other,
        }
    }

    /// The state for the member in `row`, if the table has no conditions.
    #[inline]
    pub(in crate::filter) fn only_target(&self, row: usize) -> Option<StateId> {
        self.targets.get(row).copied()
    }

    /// Whether the row of a key is not all that decides what happens to its member.
    #[inline]
    pub(in crate::filter) fn depends_on_values(&self) -> bool {
        !self.conditions.is_empty() || !self.named.is_empty()
    }

    /// Whether a row is that of a name which is certainly not the name of a credential.
    #[inline]
    pub(in crate::filter) fn is_harmless(&self, row: usize) -> bool {
        !self.names.is_sensitive(row)
    }

    /// The row of the names that fold to the same text as `key`.
    #[inline]
    fn folded_row(&self, key: &[u8]) -> Option<usize> {
        if self.folded.is_empty() {
            return None;
        }
        let key = std::str::from_utf8(key).ok()?;
        self.folded.iter().find(|(name, _)| equals_folded_name(key, name)).map(|(_, row)| *row)
    }

    /// Whether the name of a member in `row`, which leads to `state`, is shown alone: if its value is hidden because of its
    /// class, a fixed text takes its place.
    #[inline]
    pub(in crate::filter) fn shows_name_only(
        &self,
        row: usize,
        state: &State,
        name: impl FnOnce() -> String,
        plan: &Plan,
    ) -> bool {
        if self.named.is_empty() || !state.is_left_out_by_class() {
            return false;
        }
        let is_named = self.named.get(row).copied().unwrap_or_default();
        is_named && self.list.is_some_and(|list| plan.lists.shows_name_only(list, &name()))
    }

    /// The row of the member called `name`, or of all other keys.
    pub(super) fn row(&self, name: Option<&str>) -> usize {
        name.and_then(|name| self.names.find(name.as_bytes())).unwrap_or(self.other)
    }
}

impl MemberTable {
    /// Each row, and the keys that it is for.
    pub(super) fn rows(&self) -> impl Iterator<Item = (RowKey<'_>, usize)> {
        let names = self.names.iter().map(RowKey::Name).zip(0..);
        let folded = self.folded.iter().map(|(name, row)| (RowKey::Folded(name), *row));
        let listed = self.list.map(|_| (RowKey::Other, self.other.saturating_sub(1)));
        names.chain(folded).chain(listed).chain([(RowKey::Other, self.other)])
    }

    /// The states that a row leads to, whatever the conditions.
    pub(super) fn targets_of(&self, row: usize) -> &[StateId] {
        let width = self.conditions.len();
        self.targets.get(row << width..(row + 1) << width).unwrap_or_default()
    }

    /// The row of members that are no names of the table, of those that are shown if that depends on a list of exclusions.
    pub(super) fn row_of_entries(&self) -> usize {
        match self.list {
            Some(Listing { is_open: true, .. }) => self.other.saturating_sub(1),
            Some(_) | None => self.other,
        }
    }
}

impl ElementTable {
    /// The state for an element with the conditions in the bit set `truths` true.
    pub(in crate::filter) fn target(&self, is_listed: bool, truths: usize) -> Option<StateId> {
        self.targets.get((usize::from(is_listed) << self.conditions.len()) | truths).copied()
    }
}

/// Copies or skips objects and arrays as a whole where everything inside is copied or removed, and notes what is never written.
pub(super) fn simplify(states: &mut [State]) {
    // Most states come before those they lead to, so few rounds do nearly everything.
    for _ in 0..4 {
        let mut changed = false;
        for index in (0..states.len()).rev() {
            let Some(state) = states.get(index) else { continue };
            let members = state.members.as_deref().map(|members| members.targets.as_slice());
            let elements = state.elements.as_deref().map(|elements| elements.targets.as_slice());
            let (object, array) = (collapsed(state.object, members, states), collapsed(state.array, elements, states));
            let Some(state) = states.get_mut(index) else { continue };
            changed |= (state.object, state.array) != (object, array);
            (state.object, state.array) = (object, array);
            if !object.is_walk() {
                state.members = None;
            }
            if !array.is_walk() {
                state.elements = None;
            }
        }
        if !changed {
            break;
        }
    }
    for state in states {
        state.is_dropped = state.is_absent();
    }
}

/// The effect on an object or array whose members or elements lead to `targets`.
fn collapsed(effect: Effect, targets: Option<&[StateId]>, states: &[State]) -> Effect {
    let Some(targets) = targets else { return effect };
    let all = |is: fn(&State) -> bool| targets.iter().all(|target| states.get(target.index()).is_some_and(is));
    // An empty object or array is shown by itself, but not where only something named inside shows it.
    match effect {
        Effect::Walk if all(State::is_copied) => Effect::Copy,
        Effect::WalkForNamed if all(State::is_absent) => Effect::Hide,
        Effect::Copy | Effect::Hide | Effect::Act | Effect::Mask | Effect::Walk | Effect::WalkForNamed => effect,
    }
}
