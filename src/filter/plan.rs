//! What a profile shows of one schema, and its rules, compiled into one table.
//!
//! A [`Plan`] is a deterministic automaton. Its input is the path from the root of a document to a value; each state says
//! what happens to a value of each type and, for objects and arrays that are walked, which state each member and element
//! leads to. The states come from a subset construction over two things: the fields of the schema, and the *positions* of
//! the rules (a rule and how many of its steps were taken). All of it happens when a plan is compiled; applying one looks things up.
//!
//! What holds at a location, strongest first:
//!
//! 1. The last rule that matches the location. A rule that hides swallows everything below. A `keep` shows everything
//!    below that the schema knows, whatever its class, unless another rule hides it. Below a location that the schema does
//!    not know, it shows everything.
//! 2. The nearest `keep` above.
//! 3. The class of the field. Without a catalogue everything is shown.
//! 4. What no schema knows is hidden, unless the profile shows unknown members. So is a value of a type that its field does
//!    not have.
//!
//! What stands for a hidden value depends on the schema and never on the value, so that nothing about it can be told: a
//! member that is always written is replaced by the blank of its type, and every other member is left out. An array or
//! object in which something can be shown stays with its elements or members, each of them shown or hidden; any other has
//! one form as a whole. Where an allow-list or a rule shows single entries, it stays only if one of them is there.
//!
//! A member of a map whose keys have no class goes with its value: when nothing of the value is shown, the key is removed
//! too. When the keys have a class, it decides: shown keys stay and their hidden values are blanked; hidden keys are
//! removed with their values.
//!
//! Keys are compared exactly where something is shown, and without regard to case where something is hidden, because
//! clients written in Go read `SECRET` as `Secret`.

mod certain;
mod compile;
mod explain;
mod fold;
mod listed;
mod names;
mod tables;
mod whole;

use std::fmt;

pub(super) use compile::{BLANK_TIME, BLANK_WORD};
pub use explain::{Explained, Treatment};
pub(crate) use fold::fold;
pub(super) use fold::{equal_folded, equals_folded_name};
pub(super) use names::{KeyDigest, KeyText};
pub(super) use tables::{Cause, Condition, Effect, ElementTable, HiddenForm, Listing, MemberTable, State, StateId};

use listed::ListIndex;

use super::action::HashKey;
use super::show::{NamesShown, Show};
use super::{Action, DocumentLimits, ExpressionWork, Rule};
use crate::quoting;
use crate::schema::{Catalogue, Schema};
use crate::yaml::Location;

/// The deepest nesting of a document, whatever the limit: the walk needs stack for each level.
const DEPTH_LIMIT: usize = 512;

/// Everything that happens to the documents of one schema. Immutable, shared between exchanges.
#[derive(Debug)]
pub struct Plan {
    pub(super) states: Vec<State>,
    pub(super) root: StateId,
    pub(super) actions: Vec<Action>,
    lists: ListIndex,
    pub(super) limits: DocumentLimits,
    pub(super) key: HashKey,
    /// Whether a filter expression looks at the whole document.
    pub(super) is_absolute: bool,
    /// What its filter expressions cost.
    expressions: ExpressionWork,
    /// Whether everything is shown as it comes.
    copies_everything: bool,
}

impl Plan {
    /// Compiles what `show` and `rules` make of the documents of `schema`. Rules for other schemas apply where those
    /// nest in this one. Of the rules that match one location the last one holds.
    ///
    /// # Errors
    /// [`CompileError`], and there is no plan.
    pub fn compile(catalogue: &Catalogue, schema: &str, show: &Show, rules: &[Rule]) -> Result<Self, CompileError> {
        let Some(schema) = catalogue.schema(schema) else {
            return Err(CompileError::UnknownSchema { name: schema.to_owned() });
        };
        let plan = compile::Compiler::new(Some(catalogue), show, rules).compile(schema)?;
        Ok(plan.simplified(catalogue, schema, show, rules))
    }

    /// Whether [`Plan::compile`] certainly has no error, whatever a profile shows: its rules are about other schemas, and there are
    /// not too many fields. `false` says nothing. The system may still have no random key.
    pub fn certainly_compiles(catalogue: &Catalogue, schema: &str, rules: &[Rule]) -> bool {
        certain::certainly_compiles(catalogue, schema, rules)
    }

    /// The same plan, ready to be applied. A state copies or skips a whole object or array where all of it is shown or hidden.
    fn simplified(mut self, catalogue: &Catalogue, schema: &Schema, show: &Show, rules: &[Rule]) -> Self {
        tables::simplify(&mut self.states);
        let about = catalogue.with_nested(schema.name());
        let has_hiding_rule = rules.iter().any(|rule| rule.action.hides() && about.contains(&rule.on.as_str()));
        // What no schema knows may come in any shape. So all of it must be shown, even where a schema has but one text, and no rule
        // may look for something in a shape that the schema does not have.
        self.copies_everything = show.unknown && !has_hiding_rule && whole::shows_whole(&self, catalogue, schema, &[]);
        self
    }

    /// Compiles rules alone, whatever schemas they are for. Everything is shown that no rule hides.
    ///
    /// # Errors
    /// [`CompileError`], and there is no plan.
    pub fn compile_rules(rules: &[Rule]) -> Result<Self, CompileError> {
        let show = Show { unknown: true, ..Show::default() };
        let mut plan = compile::Compiler::new(None, &show, rules).compile_rules()?;
        tables::simplify(&mut plan.states);
        Ok(plan)
    }

    /// Explains what a plan with the same arguments does: an entry for each field of the schema and of those nested in
    /// it, by its path from the root of the document, then one for each rule about any of them.
    ///
    /// It compiles such a plan again. One that is applied cannot explain itself: objects and arrays that are copied or
    /// removed as a whole have no state for each field in it.
    ///
    /// # Errors
    /// As [`Plan::compile`].
    pub fn explain(
        catalogue: &Catalogue,
        schema: &str,
        show: &Show,
        rules: &[Rule],
    ) -> Result<Vec<Explained>, CompileError> {
        let Some(schema) = catalogue.schema(schema) else {
            return Err(CompileError::UnknownSchema { name: schema.to_owned() });
        };
        let plan = compile::Compiler::new(Some(catalogue), show, rules).compile(schema)?;
        Ok(explain::explain(&plan, catalogue, schema, show, rules, None))
    }

    /// As [`Plan::compile`] and [`Plan::explain`] together, for less work. Only the fields at `paths` are certainly explained.
    ///
    /// # Errors
    /// As [`Plan::compile`].
    pub fn compile_explained(
        catalogue: &Catalogue,
        schema: &str,
        show: &Show,
        rules: &[Rule],
        paths: &[&str],
    ) -> Result<(Self, Vec<Explained>), CompileError> {
        let Some(schema) = catalogue.schema(schema) else {
            return Err(CompileError::UnknownSchema { name: schema.to_owned() });
        };
        let plan = compile::Compiler::new(Some(catalogue), show, rules).compile(schema)?;
        let explained = explain::explain(&plan, catalogue, schema, show, rules, Some(paths));
        Ok((plan.simplified(catalogue, schema, show, rules), explained))
    }

    /// Whether it leaves the part of a document at `path` as it comes: everything in it is shown, what no schema knows too,
    /// and nothing is masked. `schema` is the one that the plan was compiled for; `path` has the names of members.
    pub fn shows_whole(&self, catalogue: &Catalogue, schema: &str, path: &[&str]) -> bool {
        catalogue.schema(schema).is_some_and(|schema| whole::shows_whole(self, catalogue, schema, path))
    }

    /// Whether every document leaves as it came: each field is shown, unknown fields too, nothing is masked, and no rule hides.
    ///
    /// As in [`Plan::shows_whole`], only values of the types that the schema gives a field are considered. It is never true of a plan
    /// that hides unknown fields: an answer of an unexpected type may be full of them.
    pub fn copies_everything(&self) -> bool {
        self.copies_everything
    }

    /// This plan with other limits.
    #[must_use]
    pub fn with_limits(self, limits: DocumentLimits) -> Self {
        let depth = limits.depth.min(DEPTH_LIMIT);
        Self { limits: DocumentLimits { depth, ..limits }, ..self }
    }

    /// This plan with a known key for `hash`, for tests: digests are then the same in every process.
    #[must_use]
    pub fn with_hash_key(self, key: [u8; 32]) -> Self {
        Self { key: HashKey::known(key), ..self }
    }

    /// How the work of its filter expressions grows with the length of a document.
    pub fn expressions(&self) -> ExpressionWork {
        self.expressions
    }

    /// The most memory that filtering documents of `length` bytes in all takes, in bytes: the documents, what is left of them,
    /// and their keys. Filter expressions read the text, and remember the keys of what they are about.
    pub fn memory(&self, length: usize) -> usize {
        length.saturating_mul(if self.expressions == ExpressionWork::None { 4 } else { 5 })
    }

    pub(super) fn state(&self, id: StateId) -> Option<&State> {
        self.states.get(id.index())
    }

    /// Whether a location shows the entry called `name`, which is UTF-8 and has this digest.
    #[inline]
    pub(super) fn lists(&self, listing: Listing, digest: KeyDigest, name: &[u8]) -> bool {
        self.lists.shows(listing, digest, name)
    }
}

/// Whether a location shows the entry called `name`.
fn is_listed(names: &NamesShown, Listing { list, is_open }: Listing, name: &str) -> bool {
    let names = names.of(list);
    if is_open { !names.excludes(name) } else { names.matches(name) }
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq)]
pub enum CompileError {
    /// The catalogue has no schema of this name.
    UnknownSchema {
        /// The name.
        name: String,
    },
    /// The rules together need too many states.
    TooManyStates,
    /// Too many filter expressions, indexes and slices are about the elements or members of one location.
    TooManyConditions {
        /// One of the rules.
        location: Location,
    },
    /// A rule has a `$` inside a filter expression, and its documents stand inside others: which document it means is
    /// not certain.
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
            Self::UnknownSchema { name } => write!(f, "unknown schema {:?}", quoting::value(name)),
            Self::TooManyStates => write!(f, "the rules combine in too many ways, expected fewer `..` or filters"),
            Self::TooManyConditions { location } => write!(
                f,
                "{location}: more than {} different filters, indexes and slices meet at one location, expected them \
                 joined in fewer rules",
                compile::CONDITION_LIMIT
            ),
            Self::AbsoluteInNested { location } => {
                write!(f, "{location}: `$` inside a filter of a schema that is nested in others, expected only `@`")
            }
            Self::NoRandom => write!(f, "the system gave no random key"),
        }
    }
}

impl std::error::Error for CompileError {}
