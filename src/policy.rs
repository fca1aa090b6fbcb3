//! Route to decision.
//!
//! A [`Profile`] is what an operator wrote; a [`Policy`] is the same, compiled: for each operation it allows, what is
//! to be done with the response. To decide has no effect and looks at nothing but the route.

mod guard;
mod profile;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use profile::{Profile, Profiles, schema_of, unknown_operation};

use crate::filter::{Limits, Plan};
use crate::route::{Operation, Response, Route, Stream, operation};
use crate::schema::{Catalogue, Class};
use crate::yaml::{Mistake, Mistakes};

/// The schema of the engine's error responses.
const ERROR: &str = "Error";

/// All that one listener's clients may ask and see, ready to be applied.
#[derive(Debug)]
pub struct Policy {
    profile: Profile,
    ways: HashMap<&'static str, Way>,
    error: Arc<Plan>,
}

/// What is to be done with the response of an operation that is allowed.
#[derive(Clone, Debug)]
enum Way {
    /// Every response is JSON.
    Filter(Arc<Plan>),
    /// No response can be filtered.
    Relay(Reason),
    /// One JSON document, unless the parameters ask for a stream of them.
    Either(Arc<Plan>, Reason),
}

/// What is to be done with one exchange.
#[derive(Clone, Debug)]
pub enum Decision {
    /// The engine does not hear of it.
    Deny(Denial),
    /// The response goes to the client as it comes.
    Relay(Reason),
    /// The response is JSON and goes through the plan: whole, or element by element where the operation answers with
    /// an array.
    Filter(Arc<Plan>),
}

/// Why a request is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The profile does not allow the operation.
    NotAllowed,
    /// A query parameter reads what the profile hides.
    Oracle,
    /// The `filters` parameter is not what the API says it is, so that nobody can tell what it reads.
    Filters,
}

impl Denial {
    /// What the client reads.
    pub const fn public(self) -> &'static str {
        match self {
            Self::NotAllowed => "denied by policy",
            Self::Oracle => "denied by policy: this query parameter reads hidden fields",
            Self::Filters => "denied by policy: the filters of this request cannot be read",
        }
    }
}

/// Why a response is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is a line of text, such as the answer to a ping.
    Text,
    /// It has no body.
    Empty,
    /// It is a stream, and streams are not touched.
    Stream,
    /// The connection becomes two byte pipes.
    Hijack,
    /// It is an archive or another run of octets.
    Archive,
}

impl Reason {
    /// For the log and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Empty => "no body",
            Self::Stream => "stream",
            Self::Hijack => "hijacked connection",
            Self::Archive => "archive",
        }
    }
}

impl Policy {
    /// Makes the plans of everything that `profile` allows.
    ///
    /// # Errors
    /// The rules that cannot be compiled for the schema they are about, and schemas that the catalogue does not have.
    pub fn compile(profile: &Profile, catalogue: &Catalogue) -> Result<Self, Vec<Mistake>> {
        Self::compile_within(profile, catalogue, Limits::default())
    }

    /// As [`Policy::compile`]; a document may cost no more than `limits`.
    ///
    /// # Errors
    /// As [`Policy::compile`].
    pub fn compile_within(profile: &Profile, catalogue: &Catalogue, limits: Limits) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Mistakes::default();
        let mut plans: BTreeMap<&str, Arc<Plan>> = BTreeMap::new();
        let mut plan = |schema: &'static str| {
            if let Some(plan) = plans.get(schema) {
                return Some(Arc::clone(plan));
            }
            let compiled = Plan::compile(catalogue, schema, &profile.show, &profile.rules);
            let compiled = compiled.map_err(|error| Mistake::new(&profile.place, error.to_string()));
            let plan = Arc::new(mistakes.keep(compiled)?.with_limits(limits));
            plans.insert(schema, Arc::clone(&plan));
            Some(plan)
        };
        let error = plan(ERROR);
        let mut ways = HashMap::new();
        for known in profile.allow.keys().filter_map(|id| operation(id)) {
            let way = match (schema_of(known), relayed(known)) {
                (Some(schema), None) => plan(schema).map(Way::Filter),
                (Some(schema), Some(reason)) => plan(schema).map(|plan| Way::Either(plan, reason)),
                (None, Some(reason)) => Some(Way::Relay(reason)),
                // No response is neither; if one were, its operation would stay denied.
                (None, None) => None,
            };
            ways.extend(way.map(|way| (known.id, way)));
        }
        // A rule for an operation that is not allowed yet is compiled as well: a mistake in it is no smaller.
        for schema in profile.rules.iter().filter_map(|rule| catalogue.schema(&rule.on)) {
            if !plans.contains_key(schema.name()) {
                let compiled = Plan::compile(catalogue, schema.name(), &profile.show, &profile.rules);
                mistakes.keep(compiled.map_err(|error| Mistake::new(&profile.place, error.to_string())));
            }
        }
        match (error, mistakes.is_empty()) {
            (Some(error), true) => Ok(Self { profile: profile.clone(), ways, error }),
            (Some(_) | None, _) => mistakes.or_value(()).and_then(|()| Err(Vec::new())),
        }
    }

    /// The name of the profile.
    pub fn name(&self) -> &str {
        &self.profile.name
    }

    /// What the operator wrote.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Whether the operation called `id` is allowed.
    pub fn allows(&self, id: &str) -> bool {
        self.ways.contains_key(id)
    }

    /// The operations that are allowed, by their ids.
    pub fn operations(&self) -> impl Iterator<Item = &'static Operation> {
        self.profile.allow.keys().filter_map(|id| operation(id))
    }

    /// Whether fields of a class are shown.
    pub fn shows(&self, class: Class) -> bool {
        self.profile.show.classes.contains(class)
    }

    /// What the engine's error responses go through, whatever the operation.
    pub fn error_plan(&self) -> &Arc<Plan> {
        &self.error
    }

    /// What is to be done with one exchange.
    pub fn decide(&self, route: &Route) -> Decision {
        let Some(way) = self.ways.get(route.operation.id) else {
            return Decision::Deny(Denial::NotAllowed);
        };
        if let Err(denial) = guard::check(route, &self.profile.show) {
            return Decision::Deny(denial);
        }
        match way {
            Way::Filter(plan) => Decision::Filter(Arc::clone(plan)),
            Way::Relay(reason) => Decision::Relay(*reason),
            Way::Either(_, reason) if route.streams() => Decision::Relay(*reason),
            Way::Either(plan, _) => Decision::Filter(Arc::clone(plan)),
        }
    }
}

/// Why responses of an operation can be relayed, if any can.
fn relayed(operation: &Operation) -> Option<Reason> {
    match operation.response {
        Response::Document(_) | Response::Array(_) => None,
        Response::Text => Some(Reason::Text),
        Response::Empty => Some(Reason::Empty),
        Response::Stream(Stream::Logs | Stream::Events | Stream::Stats | Stream::Progress | Stream::Wait) => {
            Some(Reason::Stream)
        }
        Response::Hijack | Response::WebSocket => Some(Reason::Hijack),
        Response::Tar | Response::Octets => Some(Reason::Archive),
    }
}
