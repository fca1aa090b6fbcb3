//! Profile and rules to automaton: a subset construction over the fields of a schema and the positions of the rules.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::rc::Rc;

use super::fold::{equal_folded, equals_folded_name, fold};
use super::listed::ListIndex;
use super::names::Names;
use super::tables::{Cause, Condition, Effect, ElementTable, HiddenForm, Listing, MemberTable, State, StateId};
use super::{CompileError, Plan, is_listed};
use crate::filter::action::HashKey;
use crate::filter::selector::{Pick, Segment};
use crate::filter::show::{Glob, Show};
use crate::filter::{Action, DocumentLimits, ExpressionWork, Rule};
use crate::schema::{Blank, Catalogue, Class, Field, JsonType, NameList, Presence, Schema, TypeSet};

/// The most states of a plan.
pub(super) const STATE_LIMIT: usize = 1 << 14;
/// The most steps of rules that are looked at to make the tables of a plan.
pub(super) const WORK_LIMIT: usize = 1 << 22;
/// The most different conditions (filter expressions, indexes, slices) that may meet at one location.
pub(super) const CONDITION_LIMIT: usize = 8;

/// The most entries of an allow-list that are found like members of the schema.
pub(super) const LISTED_LIMIT: usize = 64;

/// What stands for a hidden time: JSON text, as the next.
pub(in crate::filter) const BLANK_TIME: &str = "\"0001-01-01T00:00:00Z\"";
/// What stands for a hidden value of an enumeration.
pub(in crate::filter) const BLANK_WORD: &str = "\"unknown\"";

/// A field, compared by identity.
#[derive(Clone, Copy)]
struct FieldRef<'c>(&'c Field);

impl PartialEq for FieldRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for FieldRef<'_> {}

impl Hash for FieldRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::from_ref(self.0).hash(state);
    }
}

/// What holds at a location before any rule is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Layer {
    /// Shown, with everything below.
    Shown,
    /// As the schema and the classes say.
    Known(Reached),
    /// Removed, with everything below: because of a class, or because it is unknown.
    Hidden(Option<Class>),
}

/// How a field of the schema was reached.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Reached {
    /// Whether it is written whatever its value is, so that a blank stands for it when it is hidden. It is removed otherwise.
    is_always: bool,
    /// Whether it is the whole document: an object stays, whatever of it is shown.
    is_root: bool,
    /// Whether it is in an allow-list: shown whatever its class.
    is_listed: bool,
    /// Whether a rule keeps it or something around it: shown whatever its class, with everything below that the schema
    /// knows.
    is_kept: bool,
    /// The list of its members or elements.
    list: Option<NameList>,
}

/// A position of a rule: how far it has matched on the path to a location.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Position {
    rule: usize,
    /// The number of its steps that were taken.
    taken: usize,
    /// Whether a name on the path was another spelling of the rule's name.
    is_folded: bool,
}

/// What makes two states the same.
#[derive(Clone, PartialEq, Eq, Hash)]
enum StateKey<'c> {
    /// A rule hides what is here.
    Hidden { rule: usize, form: Option<HiddenForm> },
    /// Anything else.
    Subset(Subset<'c>),
}

/// A set of positions together with the field and layer they stand at.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Subset<'c> {
    field: Option<FieldRef<'c>>,
    layer: Layer,
    positions: Rc<[Position]>,
    /// The rule that keeps what is here.
    kept_by: Option<usize>,
}

/// How a member's key was found.
#[derive(Clone, Copy)]
enum KeyMatch<'k> {
    /// It is a name of the table.
    Exact(&'k str),
    /// It is none, but folds to this.
    Folded(&'k str),
    /// It is none, and in the allow-list.
    Listed,
    /// It is none.
    Other,
}

/// A key that is another spelling of a name, or of several, and is not taken for it.
struct Ambiguous;

/// The conditions on the children of a location, and for each position that has one, which.
struct Conditions {
    all: Vec<Condition>,
    of: Vec<Option<usize>>,
}

/// Which kind of children a step leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Children {
    Members,
    Elements,
}

/// The members of a field by their names in folded form, sorted by those.
pub(super) struct Spellings<'c>(Vec<(String, &'c Field)>);

impl<'c> Spellings<'c> {
    pub(super) fn of(field: &'c Field) -> Self {
        let mut members: Vec<(String, &Field)> = field.members.iter().map(|(name, it)| (fold(name), it)).collect();
        members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Self(members)
    }

    /// The members whose names fold to this.
    pub(super) fn find(&self, folded: &str) -> impl Iterator<Item = &'c Field> {
        let first = self.0.partition_point(|(known, _)| known.as_str() < folded);
        let found = self.0.get(first..).unwrap_or_default().iter();
        found.take_while(move |(known, _)| known == folded).map(|(_, field)| *field)
    }
}

/// A fast hash for the keys of states and for addresses. It must not be used for anything that a client sends.
///
/// It takes eight bytes in one step. With the hash of `fnv`, which takes one, a start needs 8 % more instructions.
#[derive(Default)]
struct StateHasher(u64);

impl StateHasher {
    fn mix(&mut self, number: u64) {
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(MULTIPLIER);
    }
}

impl Hasher for StateHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            self.mix(chunk.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.mix(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.mix(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    fn finish(&self) -> u64 {
        // The upper bits are the best mixed ones, and a table looks at the lower ones first.
        self.0.rotate_left(26)
    }
}

/// A field that says nothing about what it holds.
static SHAPELESS: Field = Field {
    class: None,
    key_class: None,
    members: BTreeMap::new(),
    any_member: None,
    elements: None,
    opaque: None,
    nested: None,
    blank: Blank::OfType,
    list: None,
    types: TypeSet::UNKNOWN,
    presence: Presence::Sometimes,
};

/// How a whole document is reached.
const ROOT: Reached = Reached { is_always: true, is_root: true, is_listed: false, is_kept: false, list: None };

/// The subset construction.
pub(super) struct Compiler<'c> {
    catalogue: Option<&'c Catalogue>,
    show: &'c Show,
    rules: &'c [Rule],
    interned: HashMap<StateKey<'c>, StateId, BuildHasherDefault<StateHasher>>,
    worklist: Vec<(StateId, Subset<'c>)>,
    states: Vec<State>,
    work: usize,
    /// Whether there are rules of schemas that nest in that of the plan.
    has_rules_of_nested: bool,
    /// Whether rules start at a field or below it.
    nested_rules: HashMap<*const Field, bool, BuildHasherDefault<StateHasher>>,
    /// What most subsets have.
    no_positions: Rc<[Position]>,
}

impl<'c> Compiler<'c> {
    pub(super) fn new(catalogue: Option<&'c Catalogue>, show: &'c Show, rules: &'c [Rule]) -> Self {
        Self {
            catalogue,
            show,
            rules,
            interned: HashMap::default(),
            worklist: Vec::new(),
            states: Vec::new(),
            work: 0,
            has_rules_of_nested: false,
            nested_rules: HashMap::default(),
            no_positions: Rc::new([]),
        }
    }

    /// The plan for the documents of a schema, with every state as it was made.
    pub(super) fn compile(mut self, schema: &'c Schema) -> Result<Plan, CompileError> {
        let positions = self.starts(schema.name());
        let nested = self.catalogue.map(|catalogue| catalogue.with_nested(schema.name())).unwrap_or_default();
        let is_nested = |name: &str| nested.iter().any(|known| *known == name && *known != schema.name());
        self.has_rules_of_nested = self.rules.iter().any(|rule| is_nested(&rule.on));
        let root = self.transition(Some(FieldRef(schema.root())), Layer::Known(ROOT), positions)?;
        self.finish(root, Some(schema.name()))
    }

    /// The plan of the rules alone.
    pub(super) fn compile_rules(mut self) -> Result<Plan, CompileError> {
        let positions = (0..self.rules.len()).map(|rule| Position { rule, taken: 0, is_folded: false }).collect();
        let root = self.transition(None, Layer::Shown, positions)?;
        self.finish(root, None)
    }

    /// The positions with which the documents of a schema begin.
    fn starts(&self, schema: &str) -> Vec<Position> {
        let of_schema = self.rules.iter().enumerate().filter(|(_, rule)| rule.on == schema);
        of_schema.map(|(rule, _)| Position { rule, taken: 0, is_folded: false }).collect()
    }

    /// Works through the worklist and takes the plan out.
    fn finish(mut self, root: StateId, schema: Option<&str>) -> Result<Plan, CompileError> {
        while let Some((id, subset)) = self.worklist.pop() {
            let state = self.build(&subset)?;
            if let Some(slot) = self.states.get_mut(id.index()) {
                *slot = state;
            }
        }
        let is_of_schema = |rule: &&Rule| schema.is_none_or(|name| rule.on == name);
        let expressions = if self.states.iter().any(State::has_expressions) {
            let nested = self.catalogue.zip(schema).map(|(catalogue, name)| catalogue.with_nested(name));
            let works = self
                .rules
                .iter()
                .filter(|rule| nested.as_ref().is_none_or(|nested| nested.contains(&rule.on.as_str())));
            works.map(|rule| rule.selector.work()).max().unwrap_or(ExpressionWork::Unbounded)
        } else {
            ExpressionWork::None
        };
        Ok(Plan {
            states: self.states,
            root,
            expressions,
            copies_everything: false,
            actions: self.rules.iter().map(|rule| rule.action.clone()).collect(),
            lists: ListIndex::new(&self.show.names),
            limits: DocumentLimits::default(),
            key: HashKey::random().map_err(|_| CompileError::NoRandom)?,
            is_absolute: self.rules.iter().filter(is_of_schema).any(|rule| rule.selector.is_absolute()),
        })
    }

    /// The state for a location: interned, or new and put on the worklist.
    fn transition(
        &mut self,
        field: Option<FieldRef<'c>>,
        layer: Layer,
        positions: Vec<Position>,
    ) -> Result<StateId, CompileError> {
        let (mut field, mut layer, mut positions) = self.enter_nested(field, layer, positions)?;
        let last_match = positions
            .iter()
            .filter(|position| self.is_match(position))
            .max_by_key(|position| (position.rule, !position.is_folded));
        let mut kept_by = None;
        if let Some(Position { rule, is_folded, .. }) = last_match.copied() {
            let hides = self.rules.get(rule).is_some_and(|rule| rule.action.hides());
            match (hides, is_folded, layer) {
                // Another spelling of a name is unknown. What is removed anyway needs nothing in its place.
                (true, true, Layer::Hidden(_)) => return self.transition(None, layer, Vec::new()),
                (true, ..) => {
                    let form = self.form_of_rule(rule, field, layer);
                    return self.intern(StateKey::Hidden { rule, form });
                }
                (false, ..) => (layer, kept_by) = (kept_layer(field, layer), Some(rule)),
            }
        }
        positions.retain(|position| !self.is_match(position));
        positions.sort_unstable();
        positions.dedup_by_key(|position| (position.rule, position.taken));
        layer = self.opaque_layer(field, layer);
        match layer {
            Layer::Known(_) => {}
            Layer::Shown | Layer::Hidden(_) => {
                let has_nested_rules = field.is_some_and(|field| self.has_nested_rules(field.0));
                if !has_nested_rules && !positions.iter().any(|position| self.matters(position, layer)) {
                    field = None;
                    positions.clear();
                }
            }
        }
        let positions = if positions.is_empty() { self.no_positions.clone() } else { positions.into() };
        self.intern(StateKey::Subset(Subset { field, layer, positions, kept_by }))
    }

    /// The layer of a field whose class holds for everything in it.
    fn opaque_layer(&self, field: Option<FieldRef<'c>>, layer: Layer) -> Layer {
        match (layer, field.and_then(|field| field.0.opaque.as_ref())) {
            (Layer::Known(reached), Some((class, _))) if self.shows(*class, reached) => Layer::Shown,
            (Layer::Known(reached), Some((class, _))) if !reached.is_always => Layer::Hidden(Some(*class)),
            (Layer::Shown | Layer::Hidden(_) | Layer::Known(_), _) => layer,
        }
    }

    /// Goes on into the schema that nests here, whose rules begin.
    fn enter_nested(
        &self,
        field: Option<FieldRef<'c>>,
        layer: Layer,
        mut positions: Vec<Position>,
    ) -> Result<(Option<FieldRef<'c>>, Layer, Vec<Position>), CompileError> {
        let nested = field.and_then(|field| field.0.nested.as_deref());
        let (Some(catalogue), Some(name)) = (self.catalogue, nested) else { return Ok((field, layer, positions)) };
        let starts = self.starts(name);
        for rule in starts.iter().filter_map(|position| self.rules.get(position.rule)) {
            if rule.selector.is_absolute() {
                return Err(CompileError::AbsoluteInNested { location: rule.location.clone() });
            }
        }
        positions.extend(starts);
        let root = catalogue.schema(name).map_or(&SHAPELESS, Schema::root);
        Ok((Some(FieldRef(root)), layer, positions))
    }

    fn intern(&mut self, key: StateKey<'c>) -> Result<StateId, CompileError> {
        if let Some(id) = self.interned.get(&key) {
            return Ok(*id);
        }
        if self.states.len() >= STATE_LIMIT {
            return Err(CompileError::TooManyStates);
        }
        let id = StateId(u32::try_from(self.states.len()).map_err(|_| CompileError::TooManyStates)?);
        match &key {
            StateKey::Hidden { rule, form } => self.states.push(self.hidden_state(*rule, form.clone())),
            StateKey::Subset(subset) => {
                self.states.push(State::of(Effect::Hide, Cause::Unknown));
                self.worklist.push((id, subset.clone()));
            }
        }
        self.interned.insert(key, id);
        Ok(id)
    }

    /// What stands for a value that a rule blanks: of a field, what stands for it when it is hidden by its class. Nothing
    /// stands for what is in something hidden. `None` where no schema says what is shown: there it is the zero of the
    /// value's own type.
    fn form_of_rule(&self, rule: usize, field: Option<FieldRef<'c>>, layer: Layer) -> Option<HiddenForm> {
        let blanks = self.rules.get(rule).is_some_and(|rule| rule.action == Action::Blank);
        match (blanks, field, layer) {
            (true, Some(field), Layer::Known(reached)) => Some(self.hidden_form(field.0, reached)),
            (true, _, Layer::Hidden(_)) => Some(HiddenForm::Absent),
            (_, _, _) => None,
        }
    }

    /// The state of a location where a rule hides the value.
    fn hidden_state(&self, rule: usize, form: Option<HiddenForm>) -> State {
        let state = |effect| State { action: rule, ..State::of(effect, Cause::Rule) };
        match (self.rules.get(rule).map(|rule| &rule.action), form) {
            (Some(Action::Blank), Some(form)) => {
                State { is_kept: form != HiddenForm::Absent, hidden: form, ..state(Effect::Hide) }
            }
            (Some(Action::Remove) | None, _) => state(Effect::Hide),
            (
                Some(Action::Keep | Action::Blank | Action::Redact | Action::Mask | Action::Hash | Action::Replace(_)),
                _,
            ) => State { is_kept: true, ..state(Effect::Act) },
        }
    }

    /// What stands for a field when it is hidden.
    fn hidden_form(&self, field: &Field, reached: Reached) -> HiddenForm {
        let mut text = Vec::new();
        if reached.is_always && self.write_blank(field, &mut text) {
            HiddenForm::Text(text.into())
        } else {
            HiddenForm::Absent
        }
    }

    /// Writes the blank of a field: the zero of its type; of an object, its members that are always written. Returns `false`
    /// if there is none.
    fn write_blank(&self, field: &Field, out: &mut Vec<u8>) -> bool {
        let nested = field.nested.as_deref().and_then(|name| self.catalogue?.schema(name));
        let field = nested.map_or(field, Schema::root);
        let has = |one| field.types.contains(one);
        let text: &[u8] = match field.blank {
            Blank::Absent => return false,
            Blank::Time => BLANK_TIME.as_bytes(),
            Blank::Unknown => BLANK_WORD.as_bytes(),
            Blank::OfType if !field.members.is_empty() => {
                self.write_blank_object(field, out);
                return true;
            }
            Blank::OfType if is_object(field) => b"{}",
            Blank::OfType if field.elements.is_some() => b"[]",
            Blank::OfType if has(JsonType::Object) => b"{}",
            Blank::OfType if has(JsonType::Array) => b"[]",
            Blank::OfType if has(JsonType::String) => b"\"\"",
            Blank::OfType if has(JsonType::Number) => b"0",
            Blank::OfType if has(JsonType::Boolean) => b"false",
            Blank::OfType => return false,
        };
        out.extend_from_slice(text);
        true
    }

    fn write_blank_object(&self, object: &Field, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut separator: &[u8] = b"";
        for (name, member) in object.members.iter().filter(|(_, member)| member.presence == Presence::Always) {
            let mut value = Vec::new();
            if self.write_blank(member, &mut value) {
                out.extend_from_slice(separator);
                write_key(name, out);
                out.append(&mut value);
                separator = b",";
            }
        }
        out.push(b'}');
    }

    /// The state of a subset, with its tables.
    fn build(&mut self, subset: &Subset<'c>) -> Result<State, CompileError> {
        let is_active = !subset.positions.is_empty() || subset.field.is_some();
        let mut state = match subset.layer {
            Layer::Shown => {
                let walked = if is_active { Effect::Walk } else { Effect::Copy };
                State { object: walked, array: walked, ..State::of(Effect::Copy, Cause::Rule) }
            }
            Layer::Hidden(class) => {
                let cause = class.map_or(Cause::Unknown, Cause::Class);
                let walked = if is_active { Effect::WalkForNamed } else { Effect::Hide };
                State { object: walked, array: walked, ..State::of(Effect::Hide, cause) }
            }
            Layer::Known(reached) => {
                let field = subset.field.map_or(&SHAPELESS, |field| field.0);
                let has_rules = !subset.positions.is_empty() || self.has_nested_rules(field);
                self.field_state(field, reached, has_rules)
            }
        };
        if let Some(rule) = subset.kept_by {
            (state.is_kept, state.action) = (true, rule);
        }
        if state.object.is_walk() {
            state.members = Some(Box::new(self.member_table(subset)?));
        }
        if state.array.is_walk() {
            state.elements = Some(Box::new(self.element_table(subset)?));
        }
        Ok(state)
    }

    /// The state of a field as the classes have it. `has_rules` says that rules may match below.
    fn field_state(&self, field: &Field, reached: Reached, has_rules: bool) -> State {
        let class = field.opaque.as_ref().or(field.class.as_ref()).map(|(class, _)| *class);
        let is_shown = class.is_some_and(|class| self.shows(class, reached));
        let may_be_masked = reached.is_listed || class.is_some_and(Class::may_hold_credentials);
        let is_masked = is_shown && self.show.mask && may_be_masked && !reached.is_kept;
        let types = if field.types.is_empty() { TypeSet::SCALARS } else { field.types };
        let scalar = |one: JsonType, shown: Effect| {
            if is_shown && types.contains(one) { shown } else { Effect::Hide }
        };
        let text = if is_masked { Effect::Mask } else { Effect::Copy };
        // Objects and arrays are walked where the schema has them, and where rules may keep something in them.
        let is_composite = is_composite(field);
        let shows_inside = reached.is_kept || self.shows_any(field);
        let may_show_inside = has_rules || (is_composite && self.may_show_by_name(field, reached));
        let is_visible = is_shown || (is_composite && (shows_inside || reached.is_root));
        let composite = |one: JsonType, has_items: bool| {
            let is_open = is_shown && !is_composite && field.types.contains(one);
            let shows_by_class = is_visible && (has_items || is_open);
            if shows_by_class {
                Effect::Walk
            } else if has_rules || (has_items && may_show_inside) {
                Effect::WalkForNamed
            } else {
                Effect::Hide
            }
        };
        let object = composite(JsonType::Object, is_object(field));
        let array = composite(JsonType::Array, field.elements.is_some());
        State {
            string: scalar(JsonType::String, text),
            number: scalar(JsonType::Number, Effect::Copy),
            boolean: scalar(JsonType::Boolean, Effect::Copy),
            null: if is_visible { Effect::Copy } else { Effect::Hide },
            object,
            array,
            hidden: self.hidden_form(field, reached),
            is_listed: reached.is_listed && is_shown,
            ..State::of(Effect::Hide, self.cause(field, class, is_shown && !is_masked))
        }
    }

    /// Why something is hidden at a field: its class or, of what only leads to other fields, the class of the first of them.
    /// Where the class is shown only what is not of the schema's shape is hidden.
    fn cause(&self, field: &Field, class: Option<Class>, is_shown: bool) -> Cause {
        match class.or_else(|| first_class(field)) {
            Some(class) if !is_shown => Cause::Class(class),
            Some(_) | None => Cause::Unknown,
        }
    }

    /// Whether an allow-list can show something below a field. `reached` has the list of the field itself.
    fn may_show_by_name(&self, field: &Field, reached: Reached) -> bool {
        let list = reached.list.filter(|list| !self.show.names.of(*list).is_empty());
        let items = || field.any_member.as_deref().into_iter().chain(field.elements.as_deref());
        let nested =
            |field: &Field| field.nested.as_deref().and_then(|name| Some(self.catalogue?.schema(name)?.root()));
        let below = |field: &Field, list: Option<NameList>| {
            let field = nested(field).unwrap_or(field);
            self.may_show_by_name(field, Reached { list, ..Reached::default() })
        };
        (list.is_some() && items().any(|item| item.class.is_some()))
            || field.members.values().any(|member| below(member, member.list))
            || items().any(|item| below(item, list.filter(|_| item.any_member.is_some())))
    }

    fn member_table(&mut self, subset: &Subset<'c>) -> Result<MemberTable, CompileError> {
        let mut names: BTreeSet<&str> = BTreeSet::new();
        if let Some(field) = subset.field {
            names.extend(field.0.members.keys().map(String::as_str));
        }
        for segment in subset.positions.iter().filter_map(|position| self.segment(position)) {
            names.extend(segment.picks.iter().filter_map(|pick| match pick {
                Pick::Name(name) => Some(name.as_str()),
                Pick::Any | Pick::Index(_) | Pick::Slice(_) | Pick::Test(_) => None,
            }));
        }
        let spellings = Spellings::of(subset.field.map_or(&SHAPELESS, |field| field.0));
        let folds: BTreeSet<String> = names.iter().map(|name| fold(name)).collect();
        let list = self.list_of_members(subset);
        let conditions = self.conditions(subset, Children::Members)?;
        let known = names.len();
        names.extend(self.listed_names(list).filter(|name| !folds.contains(&fold(name))));
        let asks_list = list.is_some_and(|list| list.is_open || self.names_of(list).len() > names.len() - known);
        let mut keys: Vec<KeyMatch<'_>> = names.iter().map(|name| KeyMatch::Exact(name)).collect();
        keys.extend(folds.iter().map(|fold| KeyMatch::Folded(fold)));
        keys.extend(list.map(|_| KeyMatch::Listed));
        let other = keys.len();
        keys.push(KeyMatch::Other);
        let named =
            keys.iter().filter(|_| self.has_names_only(list)).map(|key| self.may_be_named(&spellings, *key)).collect();
        let mut targets = Vec::new();
        for key in keys {
            for truths in 0..1_usize << conditions.all.len() {
                self.spend(subset)?;
                let (field, layer) = self.member(subset, &spellings, key);
                let positions = self.advance(subset, &conditions, truths, Some(key));
                targets.push(self.transition(field, layer, positions)?);
            }
        }
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        // A row that equals the last one is as good as none.
        let row = |row: usize| targets.get(row << conditions.all.len()..(row + 1) << conditions.all.len());
        let differs = |index: &usize| list.is_some() || row(*index) != row(other);
        let folded = folds.into_iter().zip(names.len()..).filter(|(_, index)| differs(index)).collect();
        let (names, conditions) = (Names::new(names), conditions.all);
        Ok(MemberTable { names, folded, list, asks_list, conditions, targets, other, named })
    }

    /// The names of a list that get rows of their own, as members of the schema have. Patterns get none, nor do the names of a
    /// list of more than [`LISTED_LIMIT`] entries.
    fn listed_names(&self, list: Option<Listing>) -> impl Iterator<Item = &'c str> {
        let shown = list.filter(|listing| !listing.is_open).map_or(&[][..], |listing| self.names_of(listing));
        let shown = if shown.len() <= LISTED_LIMIT { shown } else { &[] };
        shown.iter().filter_map(Glob::only_match)
    }

    /// What a list shows, without regard to exclusions.
    fn names_of(&self, listing: Listing) -> &'c [Glob] {
        let show: &'c Show = self.show;
        show.names.of(listing.list).shown()
    }

    /// Whether a list shows some names alone, where it does not show every entry.
    fn has_names_only(&self, list: Option<Listing>) -> bool {
        list.is_some_and(|listing| !listing.is_open && self.show.names.of(listing.list).has_names_only())
    }

    /// Whether a key is that of an entry: no member of the schema, in no spelling, and none that is shown.
    fn may_be_named(&self, spellings: &Spellings<'c>, key: KeyMatch<'_>) -> bool {
        match key {
            KeyMatch::Exact(name) => matches!(self.alike(spellings, &fold(name)), Ok(None)),
            KeyMatch::Other => true,
            KeyMatch::Folded(_) | KeyMatch::Listed => false,
        }
    }

    fn element_table(&mut self, subset: &Subset<'c>) -> Result<ElementTable, CompileError> {
        let list = self.list_of_elements(subset);
        let conditions = self.conditions(subset, Children::Elements)?;
        let mut targets = Vec::new();
        for is_listed in [false, true] {
            if is_listed && list.is_none() {
                continue;
            }
            for truths in 0..1_usize << conditions.all.len() {
                self.spend(subset)?;
                let (field, layer) = self.element(subset, is_listed);
                let positions = self.advance(subset, &conditions, truths, None);
                targets.push(self.transition(field, layer, positions)?);
            }
        }
        let needs_length = conditions.all.iter().flat_map(|condition| &condition.picks).any(|pick| match pick {
            Pick::Index(index) => *index < 0,
            Pick::Slice(slice) => slice.needs_length(),
            Pick::Name(_) | Pick::Any | Pick::Test(_) => false,
        });
        Ok(ElementTable { list, conditions: conditions.all, needs_length, targets })
    }

    /// Counts the cost of one entry of a table.
    fn spend(&mut self, subset: &Subset<'c>) -> Result<(), CompileError> {
        self.work += 1 + subset.positions.len();
        if self.work > WORK_LIMIT { Err(CompileError::TooManyStates) } else { Ok(()) }
    }

    /// The next step of a rule.
    fn segment(&self, position: &Position) -> Option<&'c Segment> {
        self.rules.get(position.rule)?.selector.segments().get(position.taken)
    }

    fn is_match(&self, position: &Position) -> bool {
        self.rules.get(position.rule).is_some_and(|rule| rule.selector.segments().len() == position.taken)
    }

    /// Whether what a position may come to changes anything below a location.
    fn matters(&self, position: &Position, layer: Layer) -> bool {
        let Some(rule) = self.rules.get(position.rule) else { return false };
        match layer {
            Layer::Shown => rule.action.hides(),
            Layer::Hidden(_) => !position.is_folded && !matches!(rule.action, Action::Remove | Action::Blank),
            Layer::Known(_) => true,
        }
    }

    /// The conditions at a location.
    fn conditions(&self, subset: &Subset<'c>, children: Children) -> Result<Conditions, CompileError> {
        let mut conditions = Conditions { all: Vec::new(), of: Vec::new() };
        for position in &*subset.positions {
            let picks: Vec<Pick> = self.segment(position).map_or(&[][..], |segment| &segment.picks).to_vec();
            let is_certain = picks.contains(&Pick::Any);
            let picks: Vec<Pick> = picks
                .into_iter()
                .filter(|pick| match pick {
                    Pick::Test(_) => !is_certain,
                    Pick::Index(_) | Pick::Slice(_) => children == Children::Elements && !is_certain,
                    Pick::Name(_) | Pick::Any => false,
                })
                .collect();
            if picks.is_empty() {
                conditions.of.push(None);
                continue;
            }
            let condition = Condition { picks };
            let known = conditions.all.iter().position(|known| *known == condition);
            conditions.of.push(Some(known.unwrap_or(conditions.all.len())));
            if known.is_none() {
                conditions.all.push(condition);
            }
            if let (true, Some(rule)) = (conditions.all.len() > CONDITION_LIMIT, self.rules.get(position.rule)) {
                return Err(CompileError::TooManyConditions { location: rule.location.clone() });
            }
        }
        Ok(conditions)
    }

    /// The positions after one step down: to a member by its key, or to an element.
    fn advance(
        &self,
        subset: &Subset<'c>,
        conditions: &Conditions,
        truths: usize,
        key: Option<KeyMatch<'_>>,
    ) -> Vec<Position> {
        let mut next = Vec::new();
        for (position, condition) in subset.positions.iter().zip(&conditions.of) {
            let Some(segment) = self.segment(position) else { continue };
            if segment.descendant {
                next.push(*position);
            }
            let hides = self.rules.get(position.rule).is_some_and(|rule| rule.action.hides());
            let mut is_exact = condition.is_some_and(|condition| truths & (1 << condition) != 0);
            let mut is_folded = false;
            for pick in &segment.picks {
                match (pick, key) {
                    (Pick::Any, _) => is_exact = true,
                    (Pick::Name(name), Some(KeyMatch::Exact(key))) => {
                        is_exact |= name == key;
                        is_folded |= hides && equal_folded(name, key);
                    }
                    (Pick::Name(name), Some(KeyMatch::Folded(key))) => {
                        is_folded |= hides && equals_folded_name(name, key);
                    }
                    (Pick::Name(_), Some(KeyMatch::Listed | KeyMatch::Other) | None)
                    | (Pick::Index(_) | Pick::Slice(_) | Pick::Test(_), _) => {}
                }
            }
            if is_exact || is_folded {
                let is_folded = position.is_folded || !is_exact;
                next.push(Position { taken: position.taken + 1, is_folded, ..*position });
            }
        }
        next
    }

    /// Whether a class is shown at a field.
    fn shows(&self, class: Class, reached: Reached) -> bool {
        reached.is_listed || reached.is_kept || self.show.classes.contains(class)
    }

    /// The layer of what no schema knows.
    fn unknown(&self) -> Layer {
        if self.show.unknown { Layer::Shown } else { Layer::Hidden(None) }
    }

    /// The layer inside an object or array where the schema does not have one.
    fn stray(&self, field: &Field, reached: Reached, one: JsonType) -> Layer {
        let Some((class, _)) = field.opaque.as_ref().or(field.class.as_ref()) else { return Layer::Hidden(None) };
        match self.shows(*class, reached) {
            true if field.types.contains(one) && !is_composite(field) => self.unknown(),
            true => Layer::Hidden(None),
            false => Layer::Hidden(Some(*class)),
        }
    }

    /// The field and layer of a member. `spellings` are those of the field of the object.
    fn member(
        &self,
        subset: &Subset<'c>,
        spellings: &Spellings<'c>,
        key: KeyMatch<'_>,
    ) -> (Option<FieldRef<'c>>, Layer) {
        let field = subset.field.map_or(&SHAPELESS, |field| field.0);
        let named = match key {
            KeyMatch::Exact(name) => {
                field.members.get(name).map_or_else(|| self.alike(spellings, &fold(name)), |it| Ok(Some(it)))
            }
            KeyMatch::Folded(folded) => self.alike(spellings, folded),
            KeyMatch::Listed | KeyMatch::Other => Ok(None),
        };
        let Ok(named) = named else { return (None, under(subset, Layer::Hidden(None))) };
        let below = named.or(field.any_member.as_deref());
        let Layer::Known(reached) = subset.layer else { return (below.map(FieldRef), subset.layer) };
        let is_kept = reached.is_kept;
        let is_listed = self.is_listed(subset, key);
        let is_open = self.list_of_members(subset).is_some_and(|listing| listing.is_open);
        let layer = match (named, below) {
            (Some(member), _) => {
                let is_always = member.presence == Presence::Always;
                Layer::Known(Reached { is_always, is_kept, list: member.list, ..Reached::default() })
            }
            (None, Some(value)) if is_open && !is_listed => Layer::Hidden(first_class(value)),
            (None, Some(_)) if is_kept => Layer::Known(Reached { is_kept, ..Reached::default() }),
            (None, Some(value)) => self.map_member(field, value, is_listed && !is_open),
            (None, None) => match &field.key_class {
                _ if !is_object(field) => self.stray(field, reached, JsonType::Object),
                Some((class, _)) if is_kept || self.show.classes.contains(*class) => {
                    return (Some(FieldRef(&SHAPELESS)), Layer::Known(Reached { is_kept, ..Reached::default() }));
                }
                Some((class, _)) => Layer::Hidden(Some(*class)),
                None => self.unknown(),
            },
        };
        (below.map(FieldRef), layer)
    }

    /// The named member that a key of another spelling stands for: none, or an error if that is not certain.
    fn alike(&self, spellings: &Spellings<'c>, folded: &str) -> Result<Option<&'c Field>, Ambiguous> {
        let mut alike = spellings.find(folded);
        match (alike.next(), alike.next()) {
            (None, _) => Ok(None),
            (Some(one), None) if self.show.unknown => Ok(Some(one)),
            (Some(_), _) => Err(Ambiguous),
        }
    }

    /// Whether a key is in the allow-list of a location.
    fn is_listed(&self, subset: &Subset<'c>, key: KeyMatch<'_>) -> bool {
        match key {
            KeyMatch::Listed => true,
            KeyMatch::Exact(name) => match self.list_of_members(subset) {
                Some(listing) => is_listed(&self.show.names, listing, name),
                None => false,
            },
            KeyMatch::Folded(_) | KeyMatch::Other => false,
        }
    }

    /// The layer of a value of a map.
    fn map_member(&self, map: &Field, value: &Field, is_listed: bool) -> Layer {
        if is_listed {
            return Layer::Known(Reached { is_listed, ..Reached::default() });
        }
        match &map.key_class {
            // A key that is shown stays, whatever its value.
            Some((class, _)) if self.show.classes.contains(*class) => {
                Layer::Known(Reached { is_always: true, ..Reached::default() })
            }
            Some((class, _)) => Layer::Hidden(Some(*class)),
            None => {
                let is_leaf = value.class.is_some() || value.opaque.is_some();
                if is_leaf || self.shows_any(value) {
                    Layer::Known(Reached::default())
                } else {
                    Layer::Hidden(first_class(value))
                }
            }
        }
    }

    /// The field and layer of an element.
    fn element(&self, subset: &Subset<'c>, is_listed: bool) -> (Option<FieldRef<'c>>, Layer) {
        let field = subset.field.map_or(&SHAPELESS, |field| field.0);
        let below = field.elements.as_deref();
        let Layer::Known(reached) = subset.layer else { return (below.map(FieldRef), subset.layer) };
        let is_open = self.list_of_elements(subset).is_some_and(|listing| listing.is_open);
        let layer = match below {
            Some(below) if is_open && !is_listed => Layer::Hidden(first_class(below)),
            Some(below) => {
                let is_listed = is_listed && !is_open;
                // An array of maps is one map in parts.
                let list = reached.list.filter(|_| below.any_member.is_some());
                Layer::Known(Reached { is_listed, is_kept: reached.is_kept, list, ..Reached::default() })
            }
            None => self.stray(field, reached, JsonType::Array),
        };
        (below.map(FieldRef), layer)
    }

    /// Whether a field, or anything below it, can be shown.
    fn shows_any(&self, field: &Field) -> bool {
        let is_shown = |classified: &Option<(Class, _)>| {
            classified.as_ref().is_some_and(|(class, _)| self.show.classes.contains(*class))
        };
        let nested = || field.nested.as_deref().and_then(|name| self.catalogue?.schema(name));
        // The members of a map go with their keys.
        let hides_keys = field.key_class.is_some() && !is_shown(&field.key_class);
        let values = field.any_member.as_deref().filter(|_| !hides_keys);
        self.show.unknown
            || is_shown(&field.class)
            || is_shown(&field.key_class)
            || is_shown(&field.opaque)
            || field.members.values().chain(values).chain(field.elements.as_deref()).any(|below| self.shows_any(below))
            || nested().is_some_and(|schema| self.shows_any(schema.root()))
    }

    /// Whether rules of a nested schema start at a field or below it.
    fn has_nested_rules(&mut self, field: &'c Field) -> bool {
        if !self.has_rules_of_nested {
            return false;
        }
        if let Some(known) = self.nested_rules.get(&std::ptr::from_ref(field)) {
            return *known;
        }
        let mut found = false;
        if let (Some(catalogue), Some(name)) = (self.catalogue, field.nested.as_deref()) {
            let inner = catalogue.schema(name);
            found = !self.starts(name).is_empty() || inner.is_some_and(|schema| self.has_nested_rules(schema.root()));
        }
        for below in field.fields_below() {
            found = found || self.has_nested_rules(below);
        }
        self.nested_rules.insert(std::ptr::from_ref(field), found);
        found
    }

    /// What the keys of a map are looked up in.
    fn list_of_members(&self, subset: &Subset<'c>) -> Option<Listing> {
        let any = subset.field?.0.any_member.as_deref();
        self.list_of(subset, any?)
    }

    /// What the elements of an array are looked up in.
    fn list_of_elements(&self, subset: &Subset<'c>) -> Option<Listing> {
        let elements = subset.field?.0.elements.as_deref();
        self.list_of(subset, elements?)
    }

    /// The list of a location, if it can show a value of `below` that its class hides, or hide one that its class shows.
    fn list_of(&self, subset: &Subset<'c>, below: &Field) -> Option<Listing> {
        let Layer::Known(Reached { list: Some(list), is_kept, .. }) = subset.layer else { return None };
        let (class, _) = below.class.as_ref()?;
        let names = self.show.names.of(list);
        let is_open = is_kept || self.show.classes.contains(*class);
        let decides = if is_open { names.has_exclusions() } else { !names.is_empty() };
        decides.then_some(Listing { list, is_open })
    }
}

/// Writes a key of an object, with its colon.
fn write_key(name: &str, out: &mut Vec<u8>) {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(name).to_string().as_bytes());
    }
    out.push(b':');
}

/// Whether the schema has an object or an array at a field.
fn is_composite(field: &Field) -> bool {
    is_object(field) || field.elements.is_some()
}

/// Whether the schema has an object at a field.
fn is_object(field: &Field) -> bool {
    !field.members.is_empty() || field.any_member.is_some() || field.key_class.is_some()
}

/// The layer where a rule keeps a value: of a field, what the schema knows of it; of anything else, everything.
fn kept_layer(field: Option<FieldRef<'_>>, layer: Layer) -> Layer {
    let is_described = field.is_some_and(|field| !std::ptr::eq(field.0, &SHAPELESS));
    match layer {
        Layer::Known(reached) if is_described => Layer::Known(Reached { is_kept: true, ..reached }),
        Layer::Hidden(_) if is_described => Layer::Known(Reached { is_kept: true, ..Reached::default() }),
        Layer::Shown | Layer::Known(_) | Layer::Hidden(_) => Layer::Shown,
    }
}

/// `otherwise` where the schema decides; the layer of the location where it does not.
fn under(subset: &Subset<'_>, otherwise: Layer) -> Layer {
    match subset.layer {
        Layer::Shown | Layer::Hidden(_) => subset.layer,
        Layer::Known(_) => otherwise,
    }
}

/// The class of the first classified field at a field or below it.
fn first_class(field: &Field) -> Option<Class> {
    let classified = field.class.as_ref().or(field.opaque.as_ref()).or(field.key_class.as_ref());
    classified.map(|(class, _)| *class).or_else(|| field.fields_below().find_map(first_class))
}
