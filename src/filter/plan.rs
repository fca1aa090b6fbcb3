//! What a profile shows of one schema, and its rules, as one table.
//!
//! A [`Plan`] is a deterministic automaton over the way from the root of a document to a value. Each [`Node`] says
//! what happens to a value of each type that is reached there and, for arrays and objects that are walked, which
//! node each member and element leads to. Rules are the other half of a node: the set of (rule, steps taken) that
//! may still match further down. All of it is worked out at load; applying a plan looks things up.
//!
//! What holds at a place, from the strongest:
//!
//! 1. The last rule that matches the place. One that hides swallows everything below. A `keep` shows everything below
//!    that the schema knows, whatever its class, unless another rule hides it; and all there is below a place that the
//!    schema does not know.
//! 2. The nearest `keep` above.
//! 3. The class of the field. Hidden members with a fixed name are blanked, so that typed clients keep decoding;
//!    hidden elements and hidden members of maps are removed. Without a catalogue everything is shown.
//! 4. What no schema knows is removed, unless unknown members are shown.
//!
//! A member of a map goes with its value when no class is given for the keys: when nothing of the value is shown the
//! key is removed too. When the keys have a class it decides: shown keys stay and their hidden values are blanked,
//! hidden keys are removed with their values, whatever those are.
//!
//! Keys are compared exactly where something is shown and without regard to case where something is hidden, because
//! clients written in Go take `ENV` for `Env`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use super::action::HashKey;
use super::selector::{Pick, Segment};
use super::show::{Globs, Show};
use super::{Action, Limits, Rule};
use crate::schema::{Blank, Catalogue, Class, Field, Schema};
use crate::yaml::Location;

/// How many nodes a plan may have.
const NODE_LIMIT: usize = 1 << 14;
/// How deep a document may nest at most, whatever the limit.
const DEEPEST: usize = 512;
/// How many steps of rules may be looked at to make the tables of a plan.
const WORK_LIMIT: usize = 1 << 22;
/// How many different conditions (filter expressions, indexes, slices) may meet at one place.
const CONDITION_LIMIT: usize = 8;

/// Everything that happens to the documents of one schema. Immutable, shared between exchanges.
#[derive(Debug)]
pub struct Plan {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
    pub(super) actions: Vec<Action>,
    pub(super) labels: Globs,
    pub(super) env: Globs,
    pub(super) annotations: Globs,
    pub(super) options: Globs,
    pub(super) limits: Limits,
    pub(super) key: HashKey,
    /// Whether a filter expression looks at the whole document.
    pub(super) absolute: bool,
}

/// The place of a node in [`Plan::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(pub(super) u32);

/// What happens to a value, by its type.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) scalar: Outcome,
    pub(super) null: Outcome,
    pub(super) object: Outcome,
    pub(super) array: Outcome,
    /// Why something is hidden here.
    pub(super) why: Why,
    /// Whether a rule brought this here: a container that is shown only for what rules keep in it is then shown.
    pub(super) kept: bool,
    /// Whether a walked container is shown only if a rule keeps something in it.
    pub(super) probe: bool,
    /// The rule that decided here, as the place of its action in [`Plan::actions`], if one did.
    pub(super) action: usize,
    /// What a blank is here.
    pub(super) blank: Blank,
    pub(super) members: Option<Box<Members>>,
    pub(super) elements: Option<Box<Elements>>,
}

/// What happens to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its text is copied.
    Copy,
    /// The zero of its type stands in its place.
    Blank,
    /// The member or element is not written.
    Remove,
    /// A rule's action writes what stands in its place.
    Act,
    /// Its text is copied, but for what looks like a credential in it. Only of scalars.
    Mask,
    /// Its members or elements are looked at one by one.
    Walk,
}

/// Why something is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its class is not shown.
    Class(Class),
    /// No schema knows it, or its shape is not the schema's.
    Unknown,
    /// A rule.
    Rule,
}

/// Which nodes the members of an object lead to.
///
/// `targets` has a row for each name, then one for each name in folded form, then one for keys in the allow-list,
/// then one for all other keys. A row has a column for each combination of conditions that are true.
#[derive(Clone, Debug)]
pub(super) struct Members {
    pub(super) names: Names,
    pub(super) folded: Vec<(String, usize)>,
    pub(super) list: Option<List>,
    pub(super) conditions: Vec<Condition>,
    targets: Vec<NodeId>,
    other: usize,
}

/// Which nodes the elements of an array lead to: a row for all of them, then one for those in the allow-list.
#[derive(Clone, Debug)]
pub(super) struct Elements {
    pub(super) list: Option<List>,
    pub(super) conditions: Vec<Condition>,
    /// Whether a condition counts from the end.
    pub(super) needs_length: bool,
    targets: Vec<NodeId>,
}

/// A condition on an element or member that only the document can answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    /// Only indexes, slices and tests; true if one of them is.
    pub(super) picks: Vec<Pick>,
}

/// One of the allow-lists of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum List {
    Labels,
    Env,
    Annotations,
    Options,
}

impl Plan {
    /// Compiles what `show` and `rules` make of the documents of `schema`. Rules for other schemas apply where those
    /// are nested in this one. Of rules that match one place the last one holds.
    ///
    /// # Errors
    /// [`CompileError`], and there is no plan.
    pub fn compile(catalogue: &Catalogue, schema: &str, show: &Show, rules: &[Rule]) -> Result<Self, CompileError> {
        let Some(found) = catalogue.schema(schema) else {
            return Err(CompileError::UnknownSchema { name: schema.to_owned() });
        };
        let mut builder = Builder::new(Some(catalogue), show.clone(), rules);
        let mut plan = builder.tables(found)?;
        simplify(&mut plan.nodes);
        Ok(plan)
    }

    /// What a plan of the same arguments does and why: an entry for each field of the schema and of those nested in
    /// it, by its path from the root of the document, then one for each rule about any of them.
    ///
    /// # Errors
    /// As [`Plan::compile`].
    pub fn explain(
        catalogue: &Catalogue,
        schema: &str,
        show: &Show,
        rules: &[Rule],
    ) -> Result<Vec<Explained>, CompileError> {
        let Some(found) = catalogue.schema(schema) else {
            return Err(CompileError::UnknownSchema { name: schema.to_owned() });
        };
        let mut builder = Builder::new(Some(catalogue), show.clone(), rules);
        let plan = builder.tables(found)?;
        Ok(builder.explain(&plan, found))
    }

    /// Compiles rules alone, whatever schemas they are for: everything is shown that no rule hides.
    ///
    /// # Errors
    /// [`CompileError`], and there is no plan.
    pub fn compile_rules(rules: &[Rule]) -> Result<Self, CompileError> {
        let mut builder = Builder::new(None, Show { unknown: true, ..Show::default() }, rules);
        let states = (0..rules.len()).map(|rule| State { rule, taken: 0, folded: false }).collect();
        let root = builder.arrive(None, Layer::Shown, states)?;
        let mut plan = builder.finish(root, None)?;
        simplify(&mut plan.nodes);
        Ok(plan)
    }

    /// This plan with other limits. The walk needs stack for each level, so there is a depth that none may exceed.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        let depth = limits.depth.min(DEEPEST);
        Self { limits: Limits { depth, ..limits }, ..self }
    }

    /// This plan with a known key for `hash`, for tests: digests are then the same in every process.
    #[must_use]
    pub fn with_hash_key(self, key: [u8; 32]) -> Self {
        Self { key: HashKey::known(key), ..self }
    }

    /// Whether every document leaves as it came.
    pub fn shows_everything(&self) -> bool {
        self.node(self.root).is_some_and(|node| node.is_copy())
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0 as usize)
    }

    pub(super) fn globs(&self, list: List) -> &Globs {
        match list {
            List::Labels => &self.labels,
            List::Env => &self.env,
            List::Annotations => &self.annotations,
            List::Options => &self.options,
        }
    }
}

/// What happens to one field, or what one rule does.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The field as class files write it, or the path of the rule.
    pub path: String,
    /// The class of the field; `None` for a rule.
    pub class: Option<Class>,
    /// What happens.
    pub outcome: String,
    /// The line that decided: of a rule if one did, else of the class file.
    pub location: Option<Location>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq)]
pub enum CompileError {
    /// The catalogue has no schema of this name.
    UnknownSchema {
        /// The name.
        name: String,
    },
    /// The rules together need too large a table.
    TooManyStates,
    /// Too many filter expressions, indexes and slices are about the elements or members of one place.
    TooManyConditions {
        /// One of the rules.
        location: Location,
    },
    /// A rule has a `$` inside a filter expression, and its documents stand inside others: which one is meant is not
    /// certain.
    AbsoluteInNested {
        /// The rule.
        location: Location,
    },
    /// The system gave no random key for digests.
    NoRandom,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownSchema { name } => write!(f, "unknown schema {name:?}"),
            Self::TooManyStates => write!(f, "the rules combine in too many ways, expected fewer `..` or filters"),
            Self::TooManyConditions { location } => write!(
                f,
                "{location}: more than {CONDITION_LIMIT} different filters, indexes and slices meet at one place, expected \
                 them joined in fewer rules"
            ),
            Self::AbsoluteInNested { location } => {
                write!(f, "{location}: `$` inside a filter of a schema that is nested in others, expected only `@`")
            }
            Self::NoRandom => write!(f, "the system gave no random key"),
        }
    }
}

impl std::error::Error for CompileError {}

impl Node {
    /// Whether a rule decided what happens here.
    fn is_decided(&self) -> bool {
        self.kept || self.scalar == Outcome::Act || (self.is_removed() && self.why == Why::Rule)
    }

    /// Whether the value's text is copied, whatever it is.
    fn is_copy(&self) -> bool {
        [self.scalar, self.null, self.object, self.array] == [Outcome::Copy; 4]
    }

    /// Whether the member or element is not written, whatever it is.
    pub(super) fn is_removed(&self) -> bool {
        [self.scalar, self.null, self.object, self.array] == [Outcome::Remove; 4]
    }
}

impl Members {
    /// The node for the member in `row`, with the conditions in `truths` true.
    pub(super) fn target(&self, row: usize, truths: usize) -> Option<NodeId> {
        self.targets.get((row << self.conditions.len()) | truths).copied()
    }

    /// The row of a key that is none of the names.
    pub(super) fn other_row(&self, key: &str, plan: &Plan) -> usize {
        if !self.folded.is_empty() {
            let found = if key.is_ascii() {
                self.folded.iter().find(|(name, _)| name.eq_ignore_ascii_case(key))
            } else {
                self.folded.iter().find(|(name, _)| folds_to(key, name))
            };
            if let Some((_, row)) = found {
                return *row;
            }
        }
        match self.list {
            Some(list) if plan.globs(list).matches(key) => self.other.saturating_sub(1),
            Some(_) | None => self.other,
        }
    }
}

impl Elements {
    /// The node for an element, in the allow-list or not, with the conditions in `truths` true.
    pub(super) fn target(&self, listed: bool, truths: usize) -> Option<NodeId> {
        self.targets.get((usize::from(listed) << self.conditions.len()) | truths).copied()
    }
}

/// Names, each found by its exact bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    names: Vec<(Ends, String)>,
    /// One more than the place of a name, or zero; a power of two of them, at least half of them zero.
    slots: Vec<u32>,
}

impl Names {
    fn new(names: Vec<String>) -> Self {
        if names.is_empty() {
            return Self::default();
        }
        let names: Vec<(Ends, String)> = names.into_iter().map(|name| (Ends::of(name.as_bytes()), name)).collect();
        let mut slots = vec![0_u32; (names.len() * 4).next_power_of_two()];
        let mask = slots.len().wrapping_sub(1);
        for (number, (ends, _)) in (1_u32..).zip(&names) {
            let mut at = ends.hash();
            while let Some(slot) = slots.get_mut(at & mask) {
                if *slot == 0 {
                    *slot = number;
                    break;
                }
                at = at.wrapping_add(1);
            }
        }
        Self { names, slots }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The place of `key` among them.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let ends = Ends::of(key);
        let mut at = ends.hash();
        loop {
            let location = (*self.slots.get(at & mask)? as usize).checked_sub(1)?;
            let (known, name) = self.names.get(location)?;
            if *known == ends && (ends.is_all() || name.as_bytes() == key) {
                return Some(location);
            }
            at = at.wrapping_add(1);
        }
    }
}

/// The length and both ends of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    length: usize,
    first: u64,
    last: u64,
}

impl Ends {
    #[inline]
    pub(super) fn of(key: &[u8]) -> Self {
        let (first, last) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
                (Some(first), Some(last)) => {
                    (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
                }
                _ => (key.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)), 0),
            },
        };
        Self { length: key.len(), first, last }
    }

    /// Whether there is nothing between the ends.
    #[inline]
    fn is_all(self) -> bool {
        self.length <= 16
    }

    /// Not for use where whoever writes the keys could profit from collisions.
    #[inline]
    pub(super) fn hash(self) -> usize {
        const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = (self.first ^ self.last.rotate_left(23) ^ self.length as u64).wrapping_mul(MIX);
        // The upper half is the better mixed one.
        (mixed >> 32) as usize
    }
}

/// Makes equal what readers take for equal without regard to case.
fn fold(key: &str) -> String {
    key.chars().map(fold_one).collect()
}

/// Whether a key folds to `folded`.
fn folds_to(key: &str, folded: &str) -> bool {
    key.chars().map(fold_one).eq(folded.chars())
}

/// Folds each character by itself, as Go does.
fn fold_one(c: char) -> char {
    match c {
        '\u{212A}' => 'k',
        '\u{017F}' => 's',
        _ if c.is_ascii() => c.to_ascii_lowercase(),
        _ => {
            // Going up first brings characters together that have one capital letter, such as both small sigmas.
            let mut upper = c.to_uppercase();
            let c = if upper.len() == 1 { upper.next().unwrap_or(c) } else { c };
            let mut lower = c.to_lowercase();
            if lower.len() == 1 { lower.next().unwrap_or(c) } else { c }
        }
    }
}

/// A field by identity: plans of large schemas compare many.
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

/// What holds at a place before any rule there is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Layer {
    /// Shown, with everything below.
    Shown,
    /// As the schema and the classes have it.
    Known(Known),
    /// Removed, with everything below; because of a class or because it is unknown.
    Hidden(Option<Class>),
}

/// How a field of the schema was reached.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Known {
    /// Whether it is an element, or a member of a map: removed when hidden, where others are blanked.
    loose: bool,
    /// Whether it is in an allow-list: shown whatever its class.
    lifted: bool,
    /// Whether a rule keeps it or something around it: shown whatever its class, with all below that the schema knows.
    kept: bool,
    /// The allow-list for what is below.
    list: Option<List>,
}

/// A rule that may match further down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct State {
    rule: usize,
    /// How many of its steps have been taken.
    taken: usize,
    /// Whether a name on the way was another spelling.
    folded: bool,
}

/// What makes nodes the same.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Identity<'c> {
    /// A rule hides what is here.
    Act { rule: usize, blank: Blank },
    /// Anything else.
    Spot(Spot<'c>),
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Spot<'c> {
    field: Option<FieldRef<'c>>,
    layer: Layer,
    states: Rc<[State]>,
    /// The rule that keeps what is here.
    kept: Option<usize>,
}

/// How a member's key was found.
#[derive(Clone, Copy)]
enum Key<'k> {
    /// It is a name the table has.
    Exact(&'k str),
    /// It is none, but folds to this.
    Folded(&'k str),
    /// It is none and in the allow-list.
    Listed,
    /// It is none.
    Other,
}

/// A key that is another spelling of a name, or of several, and is not taken for it.
struct Ambiguous;

/// The conditions on the children of a place, and for each state that has some, which.
struct Conditions {
    all: Vec<Condition>,
    of: Vec<Option<usize>>,
}

struct Builder<'c> {
    catalogue: Option<&'c Catalogue>,
    show: Show,
    rules: &'c [Rule],
    nothing: &'c Field,
    known: HashMap<Identity<'c>, NodeId>,
    waiting: Vec<(NodeId, Spot<'c>)>,
    nodes: Vec<Node>,
    work: usize,
    /// Whether rules start somewhere below a field.
    nests: HashMap<*const Field, bool>,
}

/// A field that is only a shape.
static NOTHING: Field = Field {
    class: None,
    key_class: None,
    members: BTreeMap::new(),
    any_member: None,
    elements: None,
    opaque: None,
    nested: None,
    blank: Blank::OfType,
};

impl<'c> Builder<'c> {
    fn new(catalogue: Option<&'c Catalogue>, show: Show, rules: &'c [Rule]) -> Self {
        Self {
            catalogue,
            show,
            rules,
            nothing: &NOTHING,
            known: HashMap::new(),
            waiting: Vec::new(),
            nodes: Vec::new(),
            work: 0,
            nests: HashMap::new(),
        }
    }

    /// The states in which the documents of a schema begin.
    fn starts(&self, schema: &str) -> Vec<State> {
        let of_schema = self.rules.iter().enumerate().filter(|(_, rule)| rule.on == schema);
        of_schema.map(|(rule, _)| State { rule, taken: 0, folded: false }).collect()
    }

    /// The plan for the documents of a schema, with every node as it was made.
    fn tables(&mut self, schema: &'c Schema) -> Result<Plan, CompileError> {
        let states = self.starts(schema.name());
        let root = self.arrive(Some(FieldRef(schema.root())), Layer::Known(Known::default()), states)?;
        self.finish(root, Some(schema.name()))
    }

    fn finish(&mut self, root: NodeId, schema: Option<&str>) -> Result<Plan, CompileError> {
        while let Some((id, spot)) = self.waiting.pop() {
            let node = self.build(&spot)?;
            if let Some(location) = self.nodes.get_mut(id.0 as usize) {
                *location = node;
            }
        }
        let Show { labels, env, annotations, options, .. } = self.show.clone();
        Ok(Plan {
            nodes: std::mem::take(&mut self.nodes),
            root,
            actions: self.rules.iter().map(|rule| rule.action.clone()).collect(),
            labels,
            env,
            annotations,
            options,
            limits: Limits::default(),
            key: HashKey::random().map_err(|_| CompileError::NoRandom)?,
            absolute: self
                .rules
                .iter()
                .any(|rule| rule.selector.is_absolute() && schema.is_none_or(|name| rule.on == name)),
        })
    }

    /// The node for a place: made, and put aside to be built, unless it is known.
    fn arrive(
        &mut self,
        field: Option<FieldRef<'c>>,
        layer: Layer,
        states: Vec<State>,
    ) -> Result<NodeId, CompileError> {
        let (field, mut layer, mut states) = self.enter(field, layer, states)?;
        let decided =
            states.iter().filter(|state| self.is_match(state)).max_by_key(|state| (state.rule, !state.folded));
        let mut kept = None;
        if let Some(State { rule, folded, .. }) = decided.copied() {
            let hides = self.rules.get(rule).is_some_and(|rule| rule.action.hides());
            match (hides, folded, layer) {
                // Another spelling of a name is unknown: what is removed anyway needs no mark in its place.
                (true, true, Layer::Hidden(_)) => {
                    return self.arrive(None, layer, Vec::new());
                }
                (true, ..) => {
                    let blank = field.map_or(Blank::OfType, |field| field.0.blank);
                    return self.identify(Identity::Act { rule, blank });
                }
                (false, ..) => (layer, kept) = (self.kept(field, layer), Some(rule)),
            }
        }
        states.retain(|state| !self.is_match(state));
        states.sort_unstable();
        states.dedup_by_key(|state| (state.rule, state.taken));
        let mut field = field;
        match (layer, field.and_then(|field| field.0.opaque.as_ref())) {
            (Layer::Known(known), Some((class, _))) => {
                if self.shows(*class, known) {
                    layer = Layer::Shown;
                } else if known.loose {
                    layer = Layer::Hidden(Some(*class));
                }
            }
            (Layer::Shown | Layer::Hidden(_) | Layer::Known(_), _) => {}
        }
        match layer {
            Layer::Known(_) => {}
            Layer::Shown | Layer::Hidden(_) => {
                let nests = field.is_some_and(|field| self.nests_rules(field.0));
                if !nests && !states.iter().any(|state| self.matters(state, layer)) {
                    field = None;
                    states.clear();
                }
            }
        }
        self.identify(Identity::Spot(Spot { field, layer, states: states.into(), kept }))
    }

    /// What holds where a rule keeps a value: of a field, what the schema knows of it; of anything else, all.
    fn kept(&self, field: Option<FieldRef<'c>>, layer: Layer) -> Layer {
        let is_described = field.is_some_and(|field| !std::ptr::eq(field.0, self.nothing));
        match layer {
            Layer::Known(known) if is_described => Layer::Known(Known { kept: true, ..known }),
            Layer::Hidden(_) if is_described => Layer::Known(Known { loose: true, kept: true, ..Known::default() }),
            Layer::Shown | Layer::Known(_) | Layer::Hidden(_) => Layer::Shown,
        }
    }

    /// Goes on into the schema that is nested here, whose rules begin.
    fn enter(
        &self,
        field: Option<FieldRef<'c>>,
        layer: Layer,
        mut states: Vec<State>,
    ) -> Result<(Option<FieldRef<'c>>, Layer, Vec<State>), CompileError> {
        let nested = field.and_then(|field| field.0.nested.as_deref());
        let (Some(catalogue), Some(name)) = (self.catalogue, nested) else { return Ok((field, layer, states)) };
        let starts = self.starts(name);
        for rule in starts.iter().filter_map(|state| self.rules.get(state.rule)) {
            if rule.selector.is_absolute() {
                return Err(CompileError::AbsoluteInNested { location: rule.location.clone() });
            }
        }
        states.extend(starts);
        let root = catalogue.schema(name).map_or(self.nothing, |schema| schema.root());
        Ok((Some(FieldRef(root)), layer, states))
    }

    fn identify(&mut self, identity: Identity<'c>) -> Result<NodeId, CompileError> {
        if let Some(id) = self.known.get(&identity) {
            return Ok(*id);
        }
        if self.nodes.len() >= NODE_LIMIT {
            return Err(CompileError::TooManyStates);
        }
        let id = NodeId(u32::try_from(self.nodes.len()).map_err(|_| CompileError::TooManyStates)?);
        match &identity {
            Identity::Act { rule, blank } => self.nodes.push(self.acting(*rule, *blank)),
            Identity::Spot(spot) => {
                self.nodes.push(Node::of(Outcome::Remove, Why::Unknown));
                self.waiting.push((id, spot.clone()));
            }
        }
        self.known.insert(identity, id);
        Ok(id)
    }

    /// The node of a place where a rule hides the value.
    fn acting(&self, rule: usize, blank: Blank) -> Node {
        match self.rules.get(rule).map(|rule| &rule.action) {
            Some(Action::Blank) if blank == Blank::Absent => {
                Node { action: rule, ..Node::of(Outcome::Remove, Why::Rule) }
            }
            Some(Action::Remove) | None => Node { action: rule, ..Node::of(Outcome::Remove, Why::Rule) },
            Some(Action::Keep | Action::Blank | Action::Redact | Action::Mask | Action::Hash | Action::Replace(_)) => {
                Node { action: rule, kept: true, blank, ..Node::of(Outcome::Act, Why::Rule) }
            }
        }
    }

    fn build(&mut self, spot: &Spot<'c>) -> Result<Node, CompileError> {
        let active = !spot.states.is_empty() || spot.field.is_some();
        let mut node = match spot.layer {
            Layer::Shown => {
                let walked = if active { Outcome::Walk } else { Outcome::Copy };
                Node { object: walked, array: walked, ..Node::of(Outcome::Copy, Why::Rule) }
            }
            Layer::Hidden(class) => {
                let why = class.map_or(Why::Unknown, Why::Class);
                let walked = if active { Outcome::Walk } else { Outcome::Remove };
                Node { object: walked, array: walked, probe: true, ..Node::of(Outcome::Remove, why) }
            }
            Layer::Known(known) => {
                let field = spot.field.map_or(self.nothing, |field| field.0);
                self.known_node(field, known, !spot.states.is_empty())
            }
        };
        if let Some(rule) = spot.kept {
            (node.kept, node.action) = (true, rule);
        }
        if node.object == Outcome::Walk {
            node.members = Some(Box::new(self.members(spot)?));
        }
        if node.array == Outcome::Walk {
            node.elements = Some(Box::new(self.elements(spot)?));
        }
        Ok(node)
    }

    /// What the classes make of a field.
    fn known_node(&self, field: &Field, known: Known, active: bool) -> Node {
        let Some((class, _)) = field.opaque.as_ref().or(field.class.as_ref()) else {
            // Only a way to other fields: the shape stays, a scalar in its place is not the schema's.
            return Node {
                scalar: Outcome::Blank,
                null: Outcome::Copy,
                object: Outcome::Walk,
                array: Outcome::Walk,
                ..Node::of(Outcome::Walk, first_class(field).map_or(Why::Unknown, Why::Class))
            };
        };
        let known = Known { loose: known.loose || field.blank == Blank::Absent, ..known };
        let shown = self.shows(*class, known);
        let is_maskable = known.lifted || matches!(class, Class::Command | Class::FreeText);
        let masked = self.show.mask && is_maskable && !known.kept;
        let hide = if known.loose { Outcome::Remove } else { Outcome::Blank };
        let (scalar, null) = match (shown, known.loose) {
            (true, _) => (if masked { Outcome::Mask } else { Outcome::Copy }, Outcome::Copy),
            (false, true) => (Outcome::Remove, Outcome::Remove),
            (false, false) => (Outcome::Blank, Outcome::Copy),
        };
        // A container where the schema has a scalar is never copied; rules may keep something in it.
        let is_leaf = field.members.is_empty() && field.any_member.is_none() && field.elements.is_none();
        let container = match (active && is_leaf, shown) {
            (true, _) => Outcome::Walk,
            (false, true) => Outcome::Blank,
            (false, false) => hide,
        };
        let object = if field.members.is_empty() && field.any_member.is_none() { container } else { Outcome::Walk };
        let array = if field.elements.is_none() { container } else { Outcome::Walk };
        let why = if shown && !masked { Why::Unknown } else { Why::Class(*class) };
        let probe = !shown && known.loose && is_leaf;
        Node { scalar, null, object, array, probe, blank: field.blank, ..Node::of(scalar, why) }
    }

    fn members(&mut self, spot: &Spot<'c>) -> Result<Members, CompileError> {
        let mut names: BTreeSet<&str> = BTreeSet::new();
        if let Some(field) = spot.field {
            names.extend(field.0.members.keys().map(String::as_str));
        }
        for segment in spot.states.iter().filter_map(|state| self.segment(state)) {
            names.extend(segment.picks.iter().filter_map(|pick| match pick {
                Pick::Name(name) => Some(name.as_str()),
                Pick::Any | Pick::Index(_) | Pick::Slice(_) | Pick::Test(_) => None,
            }));
        }
        let folds: BTreeSet<String> = names.iter().map(|name| fold(name)).collect();
        let list = self.list_of_members(spot);
        let conditions = self.conditions(spot, false)?;
        let mut keys: Vec<Key<'_>> = names.iter().map(|name| Key::Exact(name)).collect();
        keys.extend(folds.iter().map(|fold| Key::Folded(fold)));
        keys.extend(list.map(|_| Key::Listed));
        let other = keys.len();
        keys.push(Key::Other);
        let mut targets = Vec::new();
        for key in keys {
            for truths in 0..1_usize << conditions.all.len() {
                self.spend(spot)?;
                let (field, layer) = self.member(spot, key);
                let states = self.step(spot, &conditions, truths, Some(key));
                targets.push(self.arrive(field, layer, states)?);
            }
        }
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        // A row that says the same as the last one is as good as none.
        let row = |row: usize| targets.get(row << conditions.all.len()..(row + 1) << conditions.all.len());
        let differs = |at: &usize| list.is_some() || row(*at) != row(other);
        let folded = folds.into_iter().zip(names.len()..).filter(|(_, at)| differs(at)).collect();
        Ok(Members { names: Names::new(names), folded, list, conditions: conditions.all, targets, other })
    }

    fn elements(&mut self, spot: &Spot<'c>) -> Result<Elements, CompileError> {
        let list = self.list_of_elements(spot);
        let conditions = self.conditions(spot, true)?;
        let mut targets = Vec::new();
        for listed in [false, true] {
            if listed && list.is_none() {
                continue;
            }
            for truths in 0..1_usize << conditions.all.len() {
                self.spend(spot)?;
                let (field, layer) = self.element(spot, listed);
                let states = self.step(spot, &conditions, truths, None);
                targets.push(self.arrive(field, layer, states)?);
            }
        }
        let needs_length = conditions.all.iter().flat_map(|condition| &condition.picks).any(|pick| match pick {
            Pick::Index(index) => *index < 0,
            Pick::Slice(slice) => slice.needs_length(),
            Pick::Name(_) | Pick::Any | Pick::Test(_) => false,
        });
        Ok(Elements { list, conditions: conditions.all, needs_length, targets })
    }

    /// Counts what an entry of a table costs.
    fn spend(&mut self, spot: &Spot<'c>) -> Result<(), CompileError> {
        self.work += 1 + spot.states.len();
        if self.work > WORK_LIMIT { Err(CompileError::TooManyStates) } else { Ok(()) }
    }

    /// The next step of a state.
    fn segment(&self, state: &State) -> Option<&'c Segment> {
        self.rules.get(state.rule)?.selector.segments().get(state.taken)
    }

    fn is_match(&self, state: &State) -> bool {
        self.rules.get(state.rule).is_some_and(|rule| rule.selector.segments().len() == state.taken)
    }

    /// Whether what a state may come to changes anything below a place.
    fn matters(&self, state: &State, layer: Layer) -> bool {
        let Some(rule) = self.rules.get(state.rule) else { return false };
        match layer {
            Layer::Shown => rule.action.hides(),
            Layer::Hidden(_) => !state.folded && rule.action != Action::Remove,
            Layer::Known(_) => true,
        }
    }

    /// What the conditions at a place are.
    fn conditions(&self, spot: &Spot<'c>, array: bool) -> Result<Conditions, CompileError> {
        let mut conditions = Conditions { all: Vec::new(), of: Vec::new() };
        for state in &*spot.states {
            let picks: Vec<Pick> = self.segment(state).map_or(&[][..], |segment| &segment.picks).to_vec();
            let certain = picks.contains(&Pick::Any);
            let picks: Vec<Pick> = picks
                .into_iter()
                .filter(|pick| match pick {
                    Pick::Test(_) => !certain,
                    Pick::Index(_) | Pick::Slice(_) => array && !certain,
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
            if let (true, Some(rule)) = (conditions.all.len() > CONDITION_LIMIT, self.rules.get(state.rule)) {
                return Err(CompileError::TooManyConditions { location: rule.location.clone() });
            }
        }
        Ok(conditions)
    }

    /// The states after one step down: to a member by its key, or to an element.
    fn step(&self, spot: &Spot<'c>, conditions: &Conditions, truths: usize, key: Option<Key<'_>>) -> Vec<State> {
        let mut next = Vec::new();
        for (state, condition) in spot.states.iter().zip(&conditions.of) {
            let Some(segment) = self.segment(state) else { continue };
            if segment.descendant {
                next.push(*state);
            }
            let hides = self.rules.get(state.rule).is_some_and(|rule| rule.action.hides());
            let mut exact = condition.is_some_and(|condition| truths & (1 << condition) != 0);
            let mut folded = false;
            for pick in &segment.picks {
                match (pick, key) {
                    (Pick::Any, _) => exact = true,
                    (Pick::Name(name), Some(Key::Exact(key))) => {
                        exact |= name == key;
                        folded |= hides && name.chars().map(fold_one).eq(key.chars().map(fold_one));
                    }
                    (Pick::Name(name), Some(Key::Folded(key))) => folded |= hides && folds_to(name, key),
                    (Pick::Name(_), Some(Key::Listed | Key::Other) | None)
                    | (Pick::Index(_) | Pick::Slice(_) | Pick::Test(_), _) => {}
                }
            }
            if exact || folded {
                next.push(State { taken: state.taken + 1, folded: state.folded || !exact, ..*state });
            }
        }
        next
    }

    /// Whether a class is shown at a field.
    fn shows(&self, class: Class, known: Known) -> bool {
        known.lifted || known.kept || self.show.classes.contains(class)
    }

    /// What no schema knows.
    fn unknown(&self) -> Layer {
        if self.show.unknown { Layer::Shown } else { Layer::Hidden(None) }
    }

    /// What is inside a container that a field should not be, or that is hidden as a whole.
    fn inside(&self, field: &Field, known: Known) -> Option<Layer> {
        let (class, _) = field.opaque.as_ref().or(field.class.as_ref())?;
        Some(Layer::Hidden((!self.shows(*class, known)).then_some(*class)))
    }

    /// The field and layer of a member.
    fn member(&self, spot: &Spot<'c>, key: Key<'_>) -> (Option<FieldRef<'c>>, Layer) {
        let field = spot.field.map_or(self.nothing, |field| field.0);
        let named = match key {
            Key::Exact(name) => {
                field.members.get_key_value(name).map_or_else(|| self.alike(field, &fold(name)), |it| Ok(Some(it)))
            }
            Key::Folded(folded) => self.alike(field, folded),
            Key::Listed | Key::Other => Ok(None),
        };
        let Ok(named) = named else { return (None, self.under(spot, Layer::Hidden(None))) };
        let below = named.map(|(_, field)| field).or(field.any_member.as_deref());
        let Layer::Known(known) = spot.layer else { return (below.map(FieldRef), spot.layer) };
        let layer = match (named, below) {
            (Some((name, _)), _) => {
                Layer::Known(Known { kept: known.kept, list: list_called(name), ..Known::default() })
            }
            (None, Some(_)) if known.kept => Layer::Known(Known { loose: true, kept: true, ..Known::default() }),
            (None, Some(value)) => self.map_member(field, value, self.is_listed(spot, key)),
            (None, None) => match (&field.key_class, self.inside(field, known)) {
                (_, Some(layer)) if field.members.is_empty() => layer,
                (Some((class, _)), _) if known.kept || self.show.classes.contains(*class) => {
                    return (
                        Some(FieldRef(self.nothing)),
                        Layer::Known(Known { kept: known.kept, ..Known::default() }),
                    );
                }
                (Some((class, _)), _) => Layer::Hidden(Some(*class)),
                (None, _) => self.unknown(),
            },
        };
        (below.map(FieldRef), layer)
    }

    /// The named member that a key of another spelling stands for: none, or an error if that is not certain.
    fn alike<'f>(&self, field: &'f Field, folded: &str) -> Result<Option<(&'f String, &'f Field)>, Ambiguous> {
        let mut alike = field.members.iter().filter(|(name, _)| folds_to(name, folded));
        match (alike.next(), alike.next()) {
            (None, _) => Ok(None),
            (Some(one), None) if self.show.unknown => Ok(Some(one)),
            (Some(_), _) => Err(Ambiguous),
        }
    }

    /// Whether a key is in the allow-list that holds here.
    fn is_listed(&self, spot: &Spot<'c>, key: Key<'_>) -> bool {
        match key {
            Key::Listed => true,
            Key::Exact(name) => match self.list_of_members(spot) {
                Some(list) => self.globs(list).matches(name),
                None => false,
            },
            Key::Folded(_) | Key::Other => false,
        }
    }

    /// A layer for what is neither known nor shown; under a layer that is not the schema's, that one stays.
    fn under(&self, spot: &Spot<'c>, otherwise: Layer) -> Layer {
        match spot.layer {
            Layer::Shown | Layer::Hidden(_) => spot.layer,
            Layer::Known(_) => otherwise,
        }
    }

    /// The layer of a value of a map.
    fn map_member(&self, map: &Field, value: &Field, lifted: bool) -> Layer {
        if lifted {
            return Layer::Known(Known { loose: true, lifted: true, ..Known::default() });
        }
        match &map.key_class {
            Some((class, _)) if self.show.classes.contains(*class) => Layer::Known(Known::default()),
            Some((class, _)) => Layer::Hidden(Some(*class)),
            None => {
                let is_leaf = value.class.is_some() || value.opaque.is_some();
                if is_leaf {
                    Layer::Known(Known { loose: true, ..Known::default() })
                } else if self.any_shown(value) {
                    Layer::Known(Known::default())
                } else {
                    Layer::Hidden(first_class(value))
                }
            }
        }
    }

    /// The field and layer of an element.
    fn element(&self, spot: &Spot<'c>, listed: bool) -> (Option<FieldRef<'c>>, Layer) {
        let field = spot.field.map_or(self.nothing, |field| field.0);
        let below = field.elements.as_deref();
        let Layer::Known(known) = spot.layer else { return (below.map(FieldRef), spot.layer) };
        let layer = match below {
            Some(below) => {
                // An array of maps is one map, cut up.
                let list = known.list.filter(|_| below.any_member.is_some());
                Layer::Known(Known { loose: true, lifted: listed, kept: known.kept, list })
            }
            None => self.inside(field, known).unwrap_or_else(|| self.unknown()),
        };
        (below.map(FieldRef), layer)
    }

    /// Whether anything below a field, or itself, can be shown.
    fn any_shown(&self, field: &Field) -> bool {
        let shown = |said: &Option<(Class, Location)>| {
            said.as_ref().is_some_and(|(class, _)| self.show.classes.contains(*class))
        };
        let nested = || field.nested.as_deref().and_then(|name| self.catalogue?.schema(name));
        self.show.unknown
            || shown(&field.class)
            || shown(&field.key_class)
            || shown(&field.opaque)
            || field
                .members
                .values()
                .chain(field.any_member.as_deref())
                .chain(field.elements.as_deref())
                .any(|below| self.any_shown(below))
            || nested().is_some_and(|schema| self.any_shown(schema.root()))
    }

    /// Whether rules of another schema start at a field or below it.
    fn nests_rules(&mut self, field: &'c Field) -> bool {
        if let Some(known) = self.nests.get(&std::ptr::from_ref(field)) {
            return *known;
        }
        let mut found = false;
        if let (Some(catalogue), Some(name)) = (self.catalogue, field.nested.as_deref()) {
            let inner = catalogue.schema(name);
            found = !self.starts(name).is_empty() || inner.is_some_and(|schema| self.nests_rules(schema.root()));
        }
        for below in field.members.values().chain(field.any_member.as_deref()).chain(field.elements.as_deref()) {
            found = found || self.nests_rules(below);
        }
        self.nests.insert(std::ptr::from_ref(field), found);
        found
    }

    /// The allow-list that the keys of a map are looked up in.
    fn list_of_members(&self, spot: &Spot<'c>) -> Option<List> {
        let any = spot.field?.0.any_member.as_deref();
        self.list_of(spot, any?)
    }

    /// The allow-list that the elements of an array are looked up in.
    fn list_of_elements(&self, spot: &Spot<'c>) -> Option<List> {
        let elements = spot.field?.0.elements.as_deref();
        self.list_of(spot, elements?)
    }

    /// The allow-list that holds at a place, if it can show a value of `below` that its class hides.
    fn list_of(&self, spot: &Spot<'c>, below: &Field) -> Option<List> {
        let Layer::Known(Known { list: Some(list), .. }) = spot.layer else { return None };
        let (class, _) = below.class.as_ref()?;
        (!self.globs(list).is_empty() && !self.show.classes.contains(*class)).then_some(list)
    }

    fn globs(&self, list: List) -> &Globs {
        match list {
            List::Labels => &self.show.labels,
            List::Env => &self.show.env,
            List::Annotations => &self.show.annotations,
            List::Options => &self.show.options,
        }
    }

    fn explain(&self, plan: &Plan, schema: &'c Schema) -> Vec<Explained> {
        let mut lines = Vec::new();
        let mut around = vec![schema.name()];
        self.explain_field(plan, schema.root(), plan.root, &mut "$".to_owned(), None, &mut around, &mut lines);
        let about = self.catalogue.map(|catalogue| catalogue.with_nested(schema.name())).unwrap_or_default();
        for rule in self.rules.iter().filter(|rule| about.contains(&rule.on.as_str())) {
            let path = rule.selector.to_string();
            lines.push(Explained {
                path: if rule.on == schema.name() { path } else { format!("{}: {path}", rule.on) },
                class: None,
                outcome: format!("rule: {}", rule.action.as_str()),
                location: Some(rule.location.clone()),
            });
        }
        lines
    }

    /// `around` holds the names of the schemas that the field stands in, the innermost last: one inside itself is
    /// explained once.
    #[expect(clippy::too_many_arguments, reason = "one recursion, which carries where it is and what it found")]
    fn explain_field(
        &self,
        plan: &Plan,
        field: &'c Field,
        id: NodeId,
        path: &mut String,
        above: Option<usize>,
        around: &mut Vec<&'c str>,
        lines: &mut Vec<Explained>,
    ) {
        let nested = field.nested.as_deref().filter(|name| !around.contains(name));
        if let Some(schema) = nested.and_then(|name| self.catalogue?.schema(name)) {
            around.push(schema.name());
            self.explain_field(plan, schema.root(), id, path, above, around, lines);
            around.pop();
            return;
        }
        let Some(node) = plan.node(id) else { return };
        let rule = if node.is_decided() { Some(node.action) } else { above };
        let mut keys = None;
        for (said, suffix) in [(&field.class, ""), (&field.key_class, ".*~"), (&field.opaque, "..*")] {
            let Some((class, location)) = said else { continue };
            let decided = rule.and_then(|rule| self.rules.get(rule));
            let (outcome, location) = match decided {
                Some(rule) => (format!("rule: {}", rule.action.as_str()), &rule.location),
                None => (self.outcome(node, *class, suffix == ".*~").to_owned(), location),
            };
            let path = format!("{path}{suffix}");
            keys = (suffix == ".*~").then_some(lines.len()).or(keys);
            lines.push(Explained { path, class: Some(*class), outcome, location: Some(location.clone()) });
        }
        let length = path.len();
        let member = |name: Option<&str>| {
            let members = node.members.as_deref();
            let row = match (members, name) {
                (Some(members), Some(name)) => members.names.find(name.as_bytes()).unwrap_or(members.other),
                (Some(members), None) => members.other,
                (None, _) => 0,
            };
            members.and_then(|members| members.target(row, 0)).unwrap_or(id)
        };
        for (name, below) in &field.members {
            path.push_str(&quoted(name));
            self.explain_field(plan, below, member(Some(name)), path, rule, around, lines);
            path.truncate(length);
        }
        if let Some(below) = &field.any_member {
            path.push_str(".*");
            let before = lines.len();
            self.explain_field(plan, below, member(None), path, rule, around, lines);
            // What rules keep in a member comes out under its key.
            let inside = lines.get(before..).unwrap_or_default();
            let keeping = inside.iter().find(|line| line.outcome == "rule: keep").map(|line| line.location.clone());
            if let (Some(keys), Some(location)) = (keys, keeping)
                && let Some(line) = lines.get_mut(keys).filter(|line| line.outcome.starts_with("hidden"))
            {
                (line.outcome, line.location) = ("rule: keep".to_owned(), location);
            }
            let list = node.members.as_deref().and_then(|members| members.list);
            mark_listed(list, lines.get_mut(before));
            path.truncate(length);
        }
        if let Some(below) = &field.elements {
            path.push_str("[*]");
            let target = node.elements.as_deref().and_then(|elements| elements.target(false, 0));
            let before = lines.len();
            self.explain_field(plan, below, target.unwrap_or(id), path, rule, around, lines);
            let list = node.elements.as_deref().and_then(|elements| elements.list);
            mark_listed(list, lines.get_mut(before));
            path.truncate(length);
        }
    }

    fn outcome(&self, node: &Node, class: Class, keys: bool) -> &'static str {
        if keys {
            return if self.show.classes.contains(class) { "shown" } else { "hidden: removed" };
        }
        match node.scalar {
            Outcome::Copy => "shown",
            Outcome::Mask => "shown, but for what looks like a credential",
            Outcome::Blank => "hidden: blank",
            Outcome::Remove | Outcome::Walk | Outcome::Act => "hidden: removed",
        }
    }
}

/// Skips and copies containers as a whole where all that is inside is removed or copied.
fn simplify(nodes: &mut [Node]) {
    let all = |nodes: &[Node], targets: &[NodeId], is: fn(&Node) -> bool| {
        targets.iter().all(|target| nodes.get(target.0 as usize).is_some_and(is))
    };
    // Most nodes were made before those below them, so few rounds do nearly all there is to do.
    for _ in 0..4 {
        for at in (0..nodes.len()).rev() {
            let Some(mut node) = nodes.get(at).cloned() else { continue };
            let probe = node.probe;
            let settle = |outcome: &mut Outcome, targets: Option<&[NodeId]>| {
                let Some(targets) = targets else { return };
                // An empty container is shown by itself, but not where it takes something kept inside to show it.
                if !probe && all(nodes, targets, Node::is_copy) {
                    *outcome = Outcome::Copy;
                } else if all(nodes, targets, Node::is_removed) {
                    *outcome = if probe { Outcome::Remove } else { Outcome::Blank };
                }
            };
            settle(&mut node.object, node.members.as_deref().map(|members| members.targets.as_slice()));
            settle(&mut node.array, node.elements.as_deref().map(|elements| elements.targets.as_slice()));
            if node.object != Outcome::Walk {
                node.members = None;
            }
            if node.array != Outcome::Walk {
                node.elements = None;
            }
            if let Some(location) = nodes.get_mut(at) {
                *location = node;
            }
        }
    }
}

impl Node {
    /// A node with one outcome for every type.
    fn of(outcome: Outcome, why: Why) -> Self {
        Self {
            scalar: outcome,
            null: outcome,
            object: outcome,
            array: outcome,
            why,
            kept: false,
            probe: false,
            action: 0,
            blank: Blank::OfType,
            members: None,
            elements: None,
        }
    }
}

/// Says of a hidden value that an allow-list may show it.
fn mark_listed(list: Option<List>, line: Option<&mut Explained>) {
    if let (Some(list), Some(line)) = (list, line)
        && line.outcome.starts_with("hidden")
    {
        line.outcome = listed(list).to_owned();
    }
}

fn listed(list: List) -> &'static str {
    match list {
        List::Labels => "labels in the allow-list are shown",
        List::Env => "variables in the allow-list are shown",
        List::Annotations => "annotations in the allow-list are shown",
        List::Options => "options in the allow-list are shown",
    }
}

/// The allow-list for what is in a member of this name.
fn list_called(name: &str) -> Option<List> {
    match name {
        "Labels" | "labels" => Some(List::Labels),
        "Env" | "env" => Some(List::Env),
        "Annotations" | "annotations" => Some(List::Annotations),
        // Options of drivers for volumes, networks, addresses, logs, storage, and of devices; only maps with a class count,
        // so that `Config` of a container is no such list.
        "Options" | "DriverOpts" | "Config" | "StorageOpt" => Some(List::Options),
        _ => None,
    }
}

/// The class of the first classified field at a field or below it.
fn first_class(field: &Field) -> Option<Class> {
    let said = field.class.as_ref().or(field.opaque.as_ref()).or(field.key_class.as_ref());
    let mut below = field.members.values().chain(field.any_member.as_deref()).chain(field.elements.as_deref());
    said.map(|(class, _)| *class).or_else(|| below.find_map(first_class))
}

/// A step to a member, as class files write it.
fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { format!(".{name}") } else { format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'")) }
}
