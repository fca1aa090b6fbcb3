//! Route → decision.
//!
//! A [`Profile`] is what an operator wrote. A [`Policy`] is a compiled profile: it knows, for each operation that the
//! profile allows, how the response is handled. [`Policy::decide`] looks at nothing but the route and has no side effect.

mod guard;
mod lookup;
mod plans;
mod refusal;
mod shown;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use fnv::FnvHashMap;

use self::guard::Visible;
pub use self::lookup::{Lookup, LookupKind};
use self::plans::Plans;
pub use self::refusal::Refusal;
use self::shown::selects_by_name;
use crate::api::bodies::{BodyShape, body_of, is_template};
use crate::api::errors::{self, ErrorTable};
use crate::api::objects::{ObjectKind, OperationObjects, Reach, objects_of};
use crate::api::queries::{self, QueryTable, ReadField};
use crate::api::{DocumentPart, ELEMENT_KEYS, EditedObject, Operation, ResponseKind, StreamKind, operation};
use crate::filter::{Action, CompileError, DocumentLimits, Lens, Plan, ReaderOfEdits, RecordFilter, Rule, Show};
use crate::profile::{Profile, RequestContents, StreamFiltering};
use crate::route::Route;
use crate::schema::{Catalogue, Class, ClassSet, Schema};
use crate::visibility::{Restriction, VisibleObjects};
use crate::yaml::{Diagnostic, Diagnostics, Location};

/// The operation whose body says what a container lends to others.
const LENDER: &str = "ContainerCreate";

/// What the clients of one listener can ask and see: a compiled profile.
#[derive(Debug)]
pub struct Policy {
    profile: Arc<Profile>,
    /// The allowed operations by their ids.
    allowed: FnvHashMap<&'static str, Allowed>,
    queries: &'static QueryTable,
    plans: Plans,
    /// Which objects clients see.
    visibility: Arc<VisibleObjects>,
    /// What the body of a new container holds, if bodies may borrow from containers.
    lent: Option<Arc<BodyShape>>,
    /// Whether a client that sees a container is shown its environment. False if no body that is checked borrows.
    shows_environment: bool,
}

/// An allowed operation.
#[derive(Debug)]
struct Allowed {
    operation: &'static Operation,
    /// What a request may contain.
    contents: RequestContents,
    /// How the response is handled.
    handling: Handling,
    /// How the response is handled instead if the request's parameters ask for a stream.
    streamed: Option<Handling>,
    /// The classes that have fields in the response that rules hide.
    hidden_by_rules: ClassSet,
    /// Whether a client that changes one thing would erase others: it sends back what it has read, and the profile hides some
    /// of that.
    erases: bool,
    /// How hidden values are put back into what such a client sends. `None` if that is not so, or not needed.
    edit: Option<Edit>,
    /// How a path must name the object, found when it is first asked for. `None` inside: in any way that the engine understands.
    lookup: OnceLock<Option<Lookup>>,
    /// What the body holds, if it must be checked.
    body: Option<Arc<BodyShape>>,
    /// The kind of which clients see only some, while the operation is not limited to those.
    unlimited: Option<ObjectKind>,
    /// Whether the operation reaches the host, while clients see only some objects.
    reaches_host: bool,
    /// Whether what the operation makes has a hidden environment, while clients see only some objects.
    copies_environment: bool,
    /// Whose parameters must not reach the host.
    limited: Option<&'static OperationObjects>,
    /// The objects that the operation may be about; all of these must show one.
    bound: Vec<Restriction>,
}

/// How hidden values are put back into what a client sends that has read a part of an object and changed it.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Puts them back.
    pub lens: Arc<Lens>,
    /// The operation that returns the object.
    pub inspect: &'static Operation,
}

impl Allowed {
    /// Why all requests of the operation are denied. `None` if that is not so.
    fn closed(&self) -> Option<Denial> {
        if self.erases {
            return Some(Denial::Erases);
        }
        let reaches_host = self.reaches_host.then_some(Denial::Host);
        self.unlimited
            .map(Denial::Unlimited)
            .or(reaches_host)
            .or(self.copies_environment.then_some(Denial::Environment))
    }

    /// How the response to a request is handled.
    fn handling(&self, route: &Route) -> Handling {
        self.streamed.filter(|_| route.streams()).unwrap_or(self.handling)
    }
}

/// How the response of an allowed operation is handled.
#[derive(Clone, Copy, Debug)]
enum Handling {
    /// It is JSON, and the plan of this schema filters it.
    Filter(&'static str),
    /// It passes unchanged.
    Relay(RelayReason),
    /// It is a stream, and the plan of this schema is applied to each record.
    Records(&'static str),
    /// It is the stream of events, which have this schema.
    Events(&'static str),
}

/// What happens to one request and its response.
#[derive(Clone, Debug)]
pub enum Decision {
    /// The request does not reach the engine.
    Deny(Denial),
    /// The response reaches the client unchanged.
    Relay(RelayReason),
    /// The response is JSON, and the plan filters it: as a whole, or element by element if the operation returns an array.
    Filter(Arc<Plan>),
    /// The response is a stream, and the filter is applied to each record as it passes.
    Records(RecordFilter),
}

/// Why a request is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The profile does not allow the operation.
    NotAllowed,
    /// Clients send back what they have read, and the profile hides some of that, so it would be erased.
    Erases,
    /// The profile does not allow this query parameter.
    Parameter(&'static str),
    /// The profile does not allow a body.
    Body,
    /// A query parameter reads fields that the profile hides, so the response would reveal them.
    Oracle,
    /// The key of a label filter is a pattern, which some engines match against every label.
    Pattern,
    /// The parameter `filters` cannot be parsed, so what it reads is unknown.
    Filters,
    /// A parameter or a filter names no image, but what an engine could read as a place on the host.
    Place,
    /// The path does not name the object by its whole id, and the profile hides its name.
    Name,
    /// The profile shows only some objects of this kind, and the operation is not limited to them.
    Unlimited(ObjectKind),
    /// The profile shows only some objects, and the operation reaches the host, where nothing is hidden.
    Host,
    /// The profile shows only some objects and hides environments, and what the operation makes shows that of a container.
    Environment,
    /// The profile shows only some objects, and this query parameter reaches the host.
    HostParameter(&'static str),
    /// The profile allows the operation for other objects only.
    Bound,
    /// The request is about all tags of a name, and the profile limits the operation to some images.
    AllTags,
    /// What the request starts names an object of this kind that the client does not see, and has not used it by now: another one
    /// may have got the name.
    Reused(ObjectKind),
}

impl Denial {
    /// The text for the client.
    pub fn public(self) -> Cow<'static, str> {
        let text = match self {
            Self::NotAllowed => "denied by policy",
            Self::Erases => {
                "denied by policy: the profile hides parts of the spec, and this write would erase them: it needs `edits: restore` \
                 or `show: all` in the profile, or DOCKVEIL_SHOW=all in place of another proxy"
            }
            Self::Parameter(name) => {
                return Cow::Owned(format!(
                    "denied by policy: the profile does not allow the query parameter {name:?}"
                ));
            }
            Self::Body => "denied by policy: the profile does not allow a body with this request",
            Self::Oracle => "denied by policy: this query parameter reads hidden fields",
            Self::Pattern => "denied by policy: the key of a label filter must not contain * ? [ ] or \\",
            Self::Filters => "denied by policy: the filters of this request cannot be parsed",
            Self::Place => "denied by policy: a parameter or a filter names what could be a place on the host",
            Self::Name => "denied by policy: the names of these objects are hidden, use a whole id",
            Self::Unlimited(kind) => {
                return Cow::Owned(format!(
                    "denied by policy: the profile shows only some {kind}, and this operation is not limited to them"
                ));
            }
            Self::Host => "denied by policy: the profile shows only some objects, and this operation reaches the host",
            Self::Environment => {
                "denied by policy: the profile shows only some objects, and what this operation makes shows the environment of a \
                 container"
            }
            Self::HostParameter(name) => {
                return Cow::Owned(format!(
                    "denied by policy: the profile shows only some objects, and the query parameter {name:?} could reach the host"
                ));
            }
            Self::AllTags => "denied by policy: the profile limits this operation to some images, name one tag",
            Self::Reused(kind) => {
                return Cow::Owned(format!(
                    "denied by policy: the profile shows only some {kind}, and what this starts names one that may be hidden"
                ));
            }
            Self::Bound => {
                "denied by policy: the profile allows this operation for some objects only, not for this one"
            }
        };
        Cow::Borrowed(text)
    }
}

impl Denial {
    /// The reason in the log, in one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAllowed => "not-allowed",
            Self::Erases => "erases",
            Self::Parameter(_) => "parameter",
            Self::Body => "body",
            Self::Oracle => "oracle",
            Self::Pattern => "pattern",
            Self::Filters => "filters",
            Self::Place => "place",
            Self::Name => "name",
            Self::Unlimited(_) => "unlimited",
            Self::Host => "reaches-host",
            Self::Environment => "environment",
            Self::HostParameter(_) => "host-parameter",
            Self::Bound => "bound",
            Self::AllTags => "all-tags",
            Self::Reused(_) => "reused-name",
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public())
    }
}

/// Why a response is relayed unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayReason {
    /// It is plain text, such as the response to a ping.
    Text,
    /// It has no body.
    Empty,
    /// It is a stream that the profile does not filter, or that cannot be filtered.
    Stream,
    /// The connection carries raw bytes in both directions.
    Hijack,
    /// It is an archive or other binary data.
    Archive,
    /// It is JSON of which the profile hides nothing.
    Shown,
}

impl RelayReason {
    /// The text for the log and for `dockveil explain`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Empty => "no body",
            Self::Stream => "stream",
            Self::Hijack => "hijacked connection",
            Self::Archive => "archive",
            Self::Shown => "nothing is hidden",
        }
    }

    /// The reason in the log, in one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Empty => "empty",
            Self::Stream => "stream",
            Self::Hijack => "hijack",
            Self::Archive => "archive",
            Self::Shown => "shown",
        }
    }
}

impl Policy {
    /// Compiles a profile, with the default limits on each document.
    ///
    /// # Errors
    /// A diagnostic for every rule that cannot be compiled for its schema, and for every unknown schema.
    pub fn compile(profile: &Profile, catalogue: &Catalogue) -> Result<Self, Diagnostics> {
        Self::compile_within(profile, catalogue, DocumentLimits::default())
    }

    /// Compiles a profile, with these limits on each document.
    ///
    /// # Errors
    /// As [`Policy::compile`].
    pub fn compile_within(
        profile: &Profile,
        catalogue: &Catalogue,
        limits: DocumentLimits,
    ) -> Result<Self, Diagnostics> {
        Self::compile_unless(Plan::certainly_compiles, profile, catalogue, limits)
    }

    /// As [`Policy::compile`], and compiles every plan right away. The errors are the same.
    ///
    /// # Errors
    /// As [`Policy::compile`].
    pub(crate) fn compile_eagerly(profile: &Profile, catalogue: &Catalogue) -> Result<Self, Diagnostics> {
        Self::compile_unless(|_, _, _| false, profile, catalogue, DocumentLimits::default())
    }

    /// Compiles a profile. A plan that certainly compiles, by its catalogue, schema and rules, waits until somebody asks for it.
    fn compile_unless(
        is_certain: fn(&Catalogue, &str, &[Rule]) -> bool,
        profile: &Profile,
        catalogue: &Catalogue,
        limits: DocumentLimits,
    ) -> Result<Self, Diagnostics> {
        let queries = queries::built_in()?;
        let restrictions: Vec<(ObjectKind, Restriction)> =
            profile.objects.iter().map(|(kind, restriction, _)| (*kind, restriction.clone())).collect();
        let visibility = VisibleObjects::new(&restrictions);
        let plans = Plans::new(Arc::new(profile.clone()), catalogue, limits, queries);
        let diagnostics = Diagnostics::default();
        let mut compiler = PolicyCompiler { profile, catalogue, visibility, plans, diagnostics };
        let mut allowed = FnvHashMap::default();
        for operation in profile.allow.keys().filter_map(|id| operation(id)) {
            allowed.extend(compiler.allowed(operation, queries).map(|entry| (operation.id, entry)));
        }
        compiler.check_plans(is_certain);
        compiler.check_unused_rules();
        let lent = compiler.lent(&allowed);
        let is_asked = lent.is_some() || allowed.values().any(|allowed| allowed.copies_environment);
        let shows_environment = is_asked && compiler.shows_environment(&allowed) == Some(true);
        if shows_environment {
            allowed.values_mut().for_each(|allowed| allowed.copies_environment = false);
        }
        let PolicyCompiler { visibility, plans, diagnostics, .. } = compiler;
        let profile = plans.profile().clone();
        diagnostics.finish(Self {
            profile,
            allowed,
            queries,
            plans,
            visibility: Arc::new(visibility),
            lent,
            shows_environment,
        })
    }

    /// The name of the profile.
    pub fn name(&self) -> &str {
        &self.profile.name
    }

    /// The profile that the policy was compiled from.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Whether requests of the operation called `id` can pass.
    pub fn allows(&self, id: &str) -> bool {
        self.allowed.get(id).is_some_and(|allowed| allowed.closed().is_none())
    }

    /// The operations whose requests can pass, in the order of their ids.
    pub fn operations(&self) -> impl Iterator<Item = &'static Operation> {
        self.profile.allow.keys().filter_map(|id| operation(id)).filter(|operation| self.allows(operation.id))
    }

    /// The operations that the profile allows and whose requests are denied all the same, because they would erase what it
    /// hides: see [`Denial::Erases`].
    pub fn erasing(&self) -> impl Iterator<Item = &'static Operation> {
        let erases = |id: &str| self.allowed.get(id).is_some_and(|allowed| allowed.erases);
        self.profile.allow.keys().filter_map(|id| operation(id)).filter(move |operation| erases(operation.id))
    }

    /// The operations that the profile allows and whose requests are denied all the same, because it shows only some objects of
    /// a kind and they are not limited to those: see [`Denial::Unlimited`].
    pub fn unlimited(&self) -> impl Iterator<Item = (&'static Operation, ObjectKind)> {
        let kind = |id: &str| self.allowed.get(id).and_then(|allowed| allowed.unlimited);
        let operations = self.profile.allow.keys().filter_map(|id| operation(id));
        operations.filter_map(move |operation| Some((operation, kind(operation.id)?)))
    }

    /// The operations that the profile allows and whose requests are denied all the same, because it shows only some objects and
    /// they reach the host or an environment: see [`Denial::Host`] and [`Denial::Environment`].
    pub fn reaching_host(&self) -> impl Iterator<Item = &'static Operation> {
        let is_closed = |allowed: &Allowed| matches!(allowed.closed(), Some(Denial::Host | Denial::Environment));
        let is_denied = move |id: &str| self.allowed.get(id).is_some_and(is_closed);
        self.profile.allow.keys().filter_map(|id| operation(id)).filter(move |operation| is_denied(operation.id))
    }

    /// Which objects clients see.
    pub fn visibility(&self) -> &Arc<VisibleObjects> {
        &self.visibility
    }

    /// What objects an allowed operation is about.
    pub fn objects(&self, operation: &Operation) -> Option<&'static OperationObjects> {
        self.allowed.get(operation.id).and_then(|allowed| objects_of(allowed.operation).ok()?)
    }

    /// What the body of an allowed operation may hold, if clients see only some objects, or the operation may be about some only.
    pub fn body(&self, operation: &Operation) -> Option<&Arc<BodyShape>> {
        self.allowed.get(operation.id)?.body.as_ref()
    }

    /// Whether the body of an operation may reach the host.
    pub fn may_reach_host(&self, operation: &Operation) -> bool {
        self.body(operation).is_none() || self.profile.contents(operation).is_whole()
    }

    /// What the body of a new container holds, if the bodies of allowed operations may borrow from containers and are checked.
    pub fn lent(&self) -> Option<&Arc<BodyShape>> {
        self.lent.as_ref()
    }

    /// Whether a client that sees a container is shown its environment.
    pub fn shows_environment(&self) -> bool {
        self.shows_environment
    }

    /// The objects that an operation may be about; all of these must show one. Empty if it may be about any visible one.
    pub fn bound(&self, operation: &Operation) -> &[Restriction] {
        self.allowed.get(operation.id).map(|allowed| allowed.bound.as_slice()).unwrap_or_default()
    }

    /// Whether this policy certainly allows and shows as much in the responses of an operation as `before` does. If it is
    /// hard to tell, it does not.
    pub fn covers(&self, before: &Self, operation: &Operation) -> bool {
        let (new, old) = (&self.profile, &before.profile);
        let (Some(here), Some(there)) = (self.allowed.get(operation.id), before.allowed.get(operation.id)) else {
            return false;
        };
        let classes = Class::ALL.iter().all(|class| self.shows(*class) || !before.shows(*class));
        let show = |show: &Show| Show { classes: ClassSet::default(), ..show.clone() };
        let rule = |rule: &Rule| Rule { location: Location::file(""), ..rule.clone() };
        let restrictions = |profile: &Profile| -> Vec<(ObjectKind, Restriction)> {
            profile.objects.iter().map(|(kind, restriction, _)| (*kind, restriction.clone())).collect()
        };
        let is_filtered = |untouched: StreamFiltering| untouched == StreamFiltering::Filtered;
        self.allows(operation.id)
            && classes
            && show(&new.show) == show(&old.show)
            && new.rules.iter().map(rule).eq(old.rules.iter().map(rule))
            && (!is_filtered(new.events) || is_filtered(old.events))
            && (!is_filtered(new.stats) || is_filtered(old.stats))
            && restrictions(new) == restrictions(old)
            && here.bound == there.bound
            && here.contents.covers(&there.contents)
            && self.fields(here.operation) == before.fields(there.operation)
            && self.lookup_of(here).is_some() == before.lookup_of(there).is_some()
    }

    /// A digest of the fields of a stream's records and their classes, which the operator can change.
    fn fields(&self, operation: &Operation) -> u64 {
        if !matches!(
            operation.response,
            ResponseKind::Stream(StreamKind::Events | StreamKind::Stats | StreamKind::Wait)
        ) {
            return 0;
        }
        let mut digest = DefaultHasher::new();
        let catalogue = self.plans.catalogue().still_packed();
        let schemas = operation.schema().map(|schema| catalogue.with_nested(schema)).unwrap_or_default();
        for leaf in schemas.into_iter().filter_map(|schema| catalogue.schema(schema)).flat_map(Schema::leaves) {
            (leaf.path, leaf.class.as_str()).hash(&mut digest);
        }
        digest.finish()
    }

    /// Whether the profile shows fields of a class.
    pub fn shows(&self, class: Class) -> bool {
        self.profile.show.classes.contains(class)
    }

    /// Whether a request of an operation may have a body.
    pub fn allows_body(&self, operation: &Operation) -> bool {
        self.allowed.get(operation.id).is_some_and(|allowed| allowed.contents.has_body())
    }

    /// Drops the parameters that the profile does not allow and without which the request means the same, or only asks for
    /// less. [`Policy::decide`] denies the others.
    ///
    /// Clients send the defaults of the engine, as `v=0` or an empty text: nobody has to allow these.
    pub fn trim(&self, route: &mut Route) {
        let Some(allowed) = self.allowed.get(route.operation.id) else { return };
        let parameters = route.operation.query;
        let is_superfluous = |name: &str, value: &str| {
            let known = parameters.iter().find(|known| known.name == name);
            known.is_some_and(|known| known.adds || known.is_default(value))
        };
        route.query.retain(|name, value| allowed.contents.has_parameter(name) || !is_superfluous(name, value));
    }

    /// Decides what happens to a request and its response. A body is not looked at: see [`Policy::allows_body`].
    pub fn decide(&self, route: &Route) -> Decision {
        let Some(allowed) = self.allowed.get(route.operation.id) else {
            return Decision::Deny(Denial::NotAllowed);
        };
        if let Some(denial) = allowed.closed() {
            return Decision::Deny(denial);
        }
        let mut names = route.query.pairs().map(|(name, _)| name);
        if let Some(name) = names.find(|name| !allowed.contents.has_parameter(name)) {
            return Decision::Deny(Denial::Parameter(name));
        }
        if let Err(denial) = guard::check(route, self.queries, &self.visible(allowed, route)) {
            return Decision::Deny(denial);
        }
        if let Some(kind) = guard::reads_hidden_objects(route, &self.visibility) {
            return Decision::Deny(Denial::Unlimited(kind));
        }
        if let Err(denial) = allowed.limited.map_or(Ok(()), |limited| guard::stays_off_host(route, limited)) {
            return Decision::Deny(denial);
        }
        if self.visibility.restricts(ObjectKind::Image)
            && self.objects(route.operation).is_none_or(|of| !guard::names_visible_image(route, of, &self.visibility))
        {
            return Decision::Deny(Denial::Unlimited(ObjectKind::Image));
        }
        if self.lookup_of(allowed).is_some_and(|lookup| !lookup.may_be_named(&route.name)) {
            return Decision::Deny(Denial::Name);
        }
        self.decision(allowed.handling(route))
    }

    /// What happens to an exchange. What cannot be filtered does not reach the engine: see [`Plans::plan`].
    fn decision(&self, handling: Handling) -> Decision {
        let decision = match handling {
            Handling::Filter(schema) => self.plans.plan(schema).map(Decision::Filter),
            Handling::Relay(reason) => Some(Decision::Relay(reason)),
            Handling::Records(schema) => {
                self.plans.plan(schema).map(|plan| Decision::Records(RecordFilter::Plain(plan)))
            }
            Handling::Events(schema) => self.plans.events(schema).map(Decision::Records),
        };
        decision.unwrap_or(Decision::Deny(Denial::NotAllowed))
    }

    /// How the path of an allowed operation must name the object. `None`: in any way that the engine understands.
    fn lookup_of<'p>(&self, allowed: &'p Allowed) -> Option<&'p Lookup> {
        let find = || {
            let name = self.queries.name(allowed.operation)?;
            Lookup::of(name, &self.plans, &self.plans.catalogue().still_packed())
        };
        allowed.lookup.get_or_init(find).as_ref()
    }

    /// What a client can see in the response to an allowed request.
    fn visible<'p>(&'p self, allowed: &'p Allowed, route: &Route) -> Visible<'p> {
        let operation = allowed.operation;
        Visible {
            show: &self.profile.show,
            hidden_by_rules: allowed.hidden_by_rules,
            plans: &self.plans,
            events: operation
                .schema()
                .filter(|_| is_events(operation))
                .and_then(|schema| self.plans.event_kinds(schema)),
            // Untouched events show everything that a filter on events can read.
            untouched: is_events(operation) && matches!(allowed.handling(route), Handling::Relay(_)),
        }
    }

    /// What the profile shows of an error document of the engine. `None` if it cannot be filtered.
    pub fn shown_error(&self, document: &[u8]) -> Option<Vec<u8>> {
        // The texts of errors name objects, and nothing tells which.
        let plan = self.plans.plan(errors::SCHEMA).filter(|_| !self.visibility.restricts_any())?;
        let mut shown = Vec::new();
        plan.apply(document, &mut shown).ok()?;
        Some(shown)
    }

    /// Whether the profile shows the texts of errors as they are, credentials included.
    pub fn shows_errors_in_full(&self) -> bool {
        let text = ReadField { schema: errors::SCHEMA.to_owned(), path: errors::TEXT.to_owned() };
        !self.visibility.restricts_any() && self.plans.shows(&text)
    }

    /// Whether known warnings are said in the answers of an operation, which creates or updates something. If the profile shows
    /// all warnings, they are there already. A rule about these answers has the last word.
    pub fn says_known_warnings(&self, operation: &Operation) -> bool {
        let schema = operation.schema();
        let is_ruled = |rule: &Rule| Some(rule.on.as_str()) == schema && rule.action != Action::Keep;
        operation.gives_warnings() && !self.profile.rules.iter().any(is_ruled)
    }

    /// What is said of error texts that are hidden.
    pub fn error_table(&self) -> &'static ErrorTable {
        errors::table()
    }

    /// Whether an allowed request means the same object for the engine as for the client, and its body goes up as it is: there is
    /// nothing to look up before, and nothing to put back.
    pub fn passes_as_named(&self, route: &Route) -> bool {
        let is_plain = |allowed: &Allowed| allowed.bound.is_empty() && allowed.body.is_none() && allowed.edit.is_none();
        !self.visibility.restricts_any()
            && self.allowed.get(route.operation.id).is_some_and(is_plain)
            && self.lookup(route).is_none()
    }

    /// How hidden values are put back into the body of an allowed request. `None` if it passes as it is.
    pub fn edit(&self, operation: &Operation) -> Option<&Edit> {
        self.allowed.get(operation.id)?.edit.as_ref()
    }

    /// The operations into whose requests hidden values are put back.
    pub fn editing(&self) -> impl Iterator<Item = &'static Operation> {
        self.operations().filter(|operation| self.edit(operation).is_some())
    }

    /// How to check that the path of an allowed request names the object exactly. `None` if it may name it in any way that
    /// the engine understands.
    pub fn lookup(&self, route: &Route) -> Option<&Lookup> {
        self.lookup_of(self.allowed.get(route.operation.id)?).filter(|lookup| lookup.is_needed(&route.name))
    }

    /// What happens to an exchange of the operation called `id`, if the request has no parameters and asks for no stream.
    pub fn decide_operation(&self, id: &str) -> Decision {
        match self.allowed.get(id) {
            Some(allowed) => match allowed.closed() {
                Some(denial) => Decision::Deny(denial),
                None => self.decision(allowed.handling),
            },
            None => Decision::Deny(Denial::NotAllowed),
        }
    }
}

/// Compiles one profile.
struct PolicyCompiler<'p> {
    profile: &'p Profile,
    catalogue: &'p Catalogue,
    visibility: VisibleObjects,
    plans: Plans,
    diagnostics: Diagnostics,
}

impl PolicyCompiler<'_> {
    /// Compiles an allowed operation, but not its plan. Returns `None` after an error.
    fn allowed(&mut self, operation: &'static Operation, queries: &'static QueryTable) -> Option<Allowed> {
        let (handling, streamed) = self.handling(operation)?;
        let hidden_by_rules =
            if queries.covers(operation) { self.hidden_by_rules(operation, queries) } else { ClassSet::EMPTY };
        let hides = operation.writes_back.iter().map(|part| self.hides_some(part)).collect::<Option<Vec<bool>>>()?;
        let hides = hides.contains(&true);
        let edit = if hides && self.profile.edits.restores { self.edit(operation)? } else { None };
        let bound = self.profile.bound.get(operation.id).cloned().unwrap_or_default();
        let is_limited = self.visibility.restricts_any() || !bound.is_empty();
        let objects = if is_limited { Some(self.diagnostics.ok(objects_of(operation))??) } else { None };
        let unlimited = objects.and_then(|objects| self.unlimited(objects));
        let contents = self.profile.contents(operation);
        let limited = objects.filter(|_| !contents.is_whole());
        let reaches_host =
            self.visibility.restricts_any() && limited.is_some_and(|objects| objects.reaches_host(operation));
        let reaches = |reach| limited.is_some_and(|objects| objects.reaches == Some(reach));
        let body = if is_limited { self.body(operation)? } else { None };
        Some(Allowed {
            operation,
            erases: hides && edit.is_none(),
            edit,
            contents,
            handling,
            streamed,
            hidden_by_rules,
            lookup: OnceLock::new(),
            body,
            unlimited,
            reaches_host,
            copies_environment: self.visibility.restricts_any() && reaches(Reach::Environment),
            limited,
            bound,
        })
    }

    /// How the response of an operation is handled, and how it is if the request asks for a stream. Returns `None` after an error.
    fn handling(&self, operation: &Operation) -> Option<(Handling, Option<Handling>)> {
        Some(match operation.response {
            ResponseKind::Document(schema) | ResponseKind::Array(schema) => (Handling::Filter(schema), None),
            ResponseKind::Stream(StreamKind::Events) => (self.events(operation)?, None),
            ResponseKind::Stream(StreamKind::Stats) => {
                let schema = operation.schema()?;
                let streamed = match self.profile.stats {
                    StreamFiltering::Filtered => Handling::Records(schema),
                    StreamFiltering::Untouched => Handling::Relay(RelayReason::Stream),
                };
                (Handling::Filter(schema), Some(streamed))
            }
            ResponseKind::Stream(StreamKind::Wait) => (Handling::Records(operation.schema()?), None),
            ResponseKind::Stream(StreamKind::Logs | StreamKind::Progress) => {
                (Handling::Relay(RelayReason::Stream), None)
            }
            ResponseKind::Ping | ResponseKind::Text => (Handling::Relay(RelayReason::Text), None),
            ResponseKind::Empty => (Handling::Relay(RelayReason::Empty), None),
            ResponseKind::Hijack | ResponseKind::Http2 | ResponseKind::WebSocket => {
                (Handling::Relay(RelayReason::Hijack), None)
            }
            ResponseKind::Tar | ResponseKind::Octets => (Handling::Relay(RelayReason::Archive), None),
        })
    }

    /// How events are handled.
    fn events(&self, operation: &Operation) -> Option<Handling> {
        match self.profile.events {
            // Those of hidden objects must be found.
            StreamFiltering::Untouched if !self.visibility.restricts_any() => {
                Some(Handling::Relay(RelayReason::Stream))
            }
            StreamFiltering::Filtered | StreamFiltering::Untouched => Some(Handling::Events(operation.schema()?)),
        }
    }

    /// The kind of which clients see only some objects, while an operation is not limited to those.
    fn unlimited(&self, objects: &OperationObjects) -> Option<ObjectKind> {
        let restricts = |kind: &ObjectKind| self.visibility.restricts(*kind);
        let follows = |kind: &ObjectKind| restricts(&ObjectKind::Container) && !restricts(kind);
        let cannot_tell = |kind: &ObjectKind| restricts(kind) && self.visibility.labels(*kind).is_none();
        let refused = objects.refuse.iter().copied().find(restricts).or(objects.prune.filter(cannot_tell));
        refused.or_else(|| objects.needs.filter(follows).map(|_| ObjectKind::Container))
    }

    /// What the body of an operation may hold, if clients see only some objects, or the operation may be about some only. Whatever
    /// the kind of those: they are reached by way of the host, too. Returns `None` after an error.
    fn body(&mut self, operation: &Operation) -> Option<Option<Arc<BodyShape>>> {
        let body = self.diagnostics.ok(body_of(operation))?;
        let is_limited = self.visibility.restricts_any() || self.profile.bound.contains_key(operation.id);
        Some(body.filter(|_| is_limited).map(Arc::new))
    }

    /// What the body of a new container holds, if bodies that are checked may borrow from containers.
    fn lent(&mut self, allowed: &FnvHashMap<&'static str, Allowed>) -> Option<Arc<BodyShape>> {
        if let Some(body) = allowed.get(LENDER).and_then(|lender| lender.body.clone()) {
            return Some(body);
        }
        allowed.values().filter_map(|allowed| allowed.body.as_ref()).find(|body| body.borrows())?;
        let body = self.diagnostics.ok(body_of(operation(LENDER)?))?;
        body.map(Arc::new)
    }

    /// Whether a client is shown the environment of every container that it sees. Not if it may only run commands there: an image may
    /// have none that prints it. Returns `None` after an error.
    fn shows_environment(&mut self, allowed: &FnvHashMap<&'static str, Allowed>) -> Option<bool> {
        let inspection = operation("ContainerInspect")?;
        let part = DocumentPart { schema: inspection.schema()?, path: &["Config", "Env"] };
        let is_open = allowed.get(inspection.id).is_some_and(|one| one.closed().is_none() && one.bound.is_empty());
        Some(is_open && !self.hides_some(&part)?)
    }

    /// Whether the profile hides anything in a part of a document, or alters it. Returns `None` after an error.
    fn hides_some(&mut self, part: &DocumentPart) -> Option<bool> {
        let plan = self.plan(part.schema)?;
        Some(!plan.shows_whole(self.catalogue, part.schema, part.path))
    }

    /// How hidden values are put back into what a client sends. Returns `None` after an error, and `Some(None)` if the operation
    /// edits no object.
    fn edit(&mut self, operation: &Operation) -> Option<Option<Edit>> {
        let Some(edited) = operation.edits() else { return Some(None) };
        let DocumentPart { schema, path } = edited.part;
        let plan = self.plan(schema)?;
        let Profile { show, rules, edits, .. } = self.profile;
        let explained = self.ok(Plan::explain(self.catalogue, schema, show, rules))?;
        let Some(mut lens) = Lens::new(plan, self.catalogue, (schema, path), &explained, ELEMENT_KEYS) else {
            return Some(None);
        };
        let EditedObject { templates, destinations, mut questions, kinds, .. } = edited;
        // Who is shown nodes as they are may ask.
        let nodes = DocumentPart { schema: "Node", path: &[] };
        if self.plans.names().any(|name| name == nodes.schema) && !self.hides_some(&nodes)? {
            questions = &[];
        }
        lens.read_by(ReaderOfEdits { templates, is_template, destinations, questions, kinds });
        for field in edits.settable(operation) {
            lens.let_set(&field.path);
        }
        Some(Some(Edit { lens: Arc::new(lens), inspect: edited.inspect }))
    }

    /// Returns the plan of a schema. Compiles it the first time.
    fn plan(&mut self, schema: &'static str) -> Option<Arc<Plan>> {
        let compiled = self.plans.compile(schema, self.catalogue);
        self.ok(compiled)?;
        self.plans.plan(schema)
    }

    /// Compiles the plans that may have errors, so that these are reported.
    fn check_plans(&mut self, is_certain: fn(&Catalogue, &str, &[Rule]) -> bool) {
        let (catalogue, rules) = (self.catalogue, &self.profile.rules);
        let is_certain = |schema: &str| is_certain(catalogue, schema, rules);
        for schema in self.plans.names().filter(|schema| !is_certain(schema)).collect::<Vec<_>>() {
            let compiled = self.plans.compile(schema, self.catalogue);
            self.ok(compiled);
        }
        let operations = self.profile.allow.keys().filter_map(|id| operation(id));
        for operation in operations.filter(|operation| is_events(operation)) {
            if let Some(Handling::Events(schema)) = self.events(operation)
                && !is_certain(schema)
            {
                let compiled = self.plans.compile_events(schema, catalogue);
                self.ok(compiled);
            }
        }
    }

    /// Compiles the rules for schemas that no allowed operation returns, so that errors in them are reported too.
    fn check_unused_rules(&mut self) {
        let Profile { show, rules, .. } = self.profile;
        let schemas: BTreeSet<&str> = rules.iter().map(|rule| rule.on.as_str()).collect();
        for schema in schemas.into_iter().filter(|schema| self.catalogue.has_schema(schema)) {
            if !self.plans.has_compiled(schema) {
                let compiled = Plan::compile(self.catalogue, schema, show, rules);
                self.ok(compiled);
            }
        }
    }

    /// Takes the result, or reports the error.
    fn ok<T>(&mut self, compiled: Result<T, CompileError>) -> Option<T> {
        self.diagnostics.ok(compiled.map_err(|error| Diagnostic::new(&self.profile.location, error.to_string())))
    }

    /// The classes that have fields that rules hide, of those that the parameters of an operation may read: in its response, in the
    /// objects whose labels it compares, and wherever else, if a parameter reads all of a class.
    fn hidden_by_rules(&mut self, operation: &Operation, queries: &QueryTable) -> ClassSet {
        let mut hidden = operation.filtered_schema().map_or(ClassSet::EMPTY, |schema| self.hidden_in(schema));
        for schema in guard::labelled_elsewhere(operation) {
            let labels = self.hidden_in(schema).iter().filter(|class| *class == Class::FreeText);
            hidden = labels.fold(hidden, ClassSet::with);
        }
        let read = queries.classes(operation);
        if read != ClassSet::EMPTY {
            let ruled: BTreeSet<&str> = self.profile.rules.iter().map(|rule| rule.on.as_str()).collect();
            for schema in ruled.into_iter().filter(|schema| self.catalogue.has_schema(schema)) {
                let of_class = self.hidden_in(schema).iter().filter(|class| read.contains(*class));
                hidden = of_class.fold(hidden, ClassSet::with);
            }
        }
        hidden
    }

    /// The classes that have fields in a schema that rules hide.
    ///
    /// If a rule hides fields on a condition, or hides a field without a class, this is every class.
    fn hidden_in(&mut self, schema: &str) -> ClassSet {
        let Profile { show, rules, .. } = self.profile;
        let schemas = self.catalogue.with_nested(schema);
        let is_hiding = |rule: &&Rule| rule.action != Action::Keep && schemas.contains(&rule.on.as_str());
        let hiding: Vec<&Rule> = rules.iter().filter(is_hiding).collect();
        if hiding.is_empty() {
            return ClassSet::EMPTY;
        }
        if !hiding.iter().all(|rule| selects_by_name(rule)) {
            return ClassSet::ALL;
        }
        let explained = self.ok(Plan::explain(self.catalogue, schema, show, rules));
        let Some(explained) = explained else { return ClassSet::ALL };
        let mut hidden = ClassSet::EMPTY;
        for rule in hiding {
            let by_rule = explained.iter().filter(|line| line.location.as_ref() == Some(&rule.location));
            let mut classes = by_rule.filter_map(|line| line.class).peekable();
            match classes.peek() {
                Some(_) => hidden = classes.fold(hidden, ClassSet::with),
                None => return ClassSet::ALL,
            }
        }
        hidden
    }
}

/// Whether an operation returns events.
fn is_events(operation: &Operation) -> bool {
    matches!(operation.response, ResponseKind::Stream(StreamKind::Events))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::ParameterKind;
    use crate::api::objects::Reach;
    use crate::filter::Explained;
    use crate::profile::Profiles;
    use crate::route::find;
    use crate::time_limit::within_time_limit;

    /// Compiles one profile file.
    fn policy(text: &str) -> Policy {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let profiles = Profiles::parse(&[("p.yaml", text)], &catalogue).unwrap();
        Policy::compile(profiles.iter().next().unwrap(), &catalogue).unwrap()
    }

    /// The decision in a few words.
    fn decided(policy: &Policy, method: &str, target: &str) -> String {
        let mut route = find(method, target).unwrap().unwrap();
        policy.trim(&mut route);
        match policy.decide(&route) {
            Decision::Deny(denial) => denial.to_string(),
            Decision::Relay(reason) => format!("relay: {}", reason.as_str()),
            Decision::Filter(_) => "filter".to_owned(),
            Decision::Records(_) => "filter records".to_owned(),
        }
    }

    #[track_caller]
    fn check(policy: &Policy, method: &str, target: &str, expected: &str) {
        assert_eq!(decided(policy, method, target), expected, "{method} {target}");
    }

    /// A profile that allows and shows everything, and only some objects of a kind.
    fn restricted(kind: ObjectKind, parameters: &str) -> Policy {
        let only = format!("{}: {{only: [{{label: mine}}]}}", kind.key());
        policy(&format!("profile: p\nallow: [all]\nshow: all\nparameters: {{{parameters}}}\n{only}\n"))
    }

    /// Whatever kind is restricted, and however else the operation is limited. All of them, so also one that is new.
    #[test]
    fn what_reaches_the_host_is_denied_where_objects_are_hidden() {
        let mut closed = BTreeSet::new();
        let all = |operation: &Operation| format!("{}: all", operation.id);
        let reaches = |operation: &Operation| {
            let objects = objects_of(operation).unwrap().unwrap();
            !operation.is_read() && objects.reaches.is_none_or(|reach| reach == Reach::Host)
        };
        let reaching: Vec<&Operation> = crate::api::OPERATIONS.iter().filter(|operation| reaches(operation)).collect();
        let whole = reaching.iter().map(|operation| all(operation)).collect::<Vec<_>>().join(", ");
        for kind in ObjectKind::ALL {
            let (plain, whole) = (restricted(kind, ""), restricted(kind, &whole));
            for operation in &reaching {
                assert!(!plain.allows(operation.id), "{kind} {}", operation.id);
                let is_unlimited = whole.unlimited().any(|(denied, _)| denied.id == operation.id);
                assert_eq!(whole.allows(operation.id), !is_unlimited, "{kind} {}", operation.id);
                closed.insert(operation.id);
            }
        }
        for id in ["PluginCreate", "PluginEnable", "PluginPull", "PluginSet", "SwarmJoin", "SwarmInit", "SwarmUpdate"] {
            assert!(closed.contains(id), "{id}");
        }
        for id in ["ImageBuild", "Session", "Grpc", "NodeUpdate", "VolumeUpdate", "BuildPrune"] {
            assert!(closed.contains(id), "{id}");
        }
        assert!(policy("profile: p\nallow: [all]\nshow: all\n").allows("PluginCreate"));
    }

    /// A list of parameters opens no rule about the host, and every parameter has one.
    #[test]
    fn a_parameter_that_reaches_the_host_is_denied_where_objects_are_hidden() {
        const PATHS: [&str; 4] = ["/etc", "../../etc", "file:///etc", "a/b"];
        let taking = || crate::api::OPERATIONS.iter().filter(|operation| !operation.query.is_empty());
        let listing = |operation: &Operation| {
            let names: Vec<&str> = operation.query.iter().map(|parameter| parameter.name).collect();
            format!("{}: [{}]", operation.id, names.join(", "))
        };
        let listed: Vec<String> = taking().map(listing).collect();
        let whole: Vec<String> = taking().map(|operation| format!("{}: all", operation.id)).collect();
        let mut denied = BTreeSet::new();
        for kind in ObjectKind::ALL {
            let [listed, whole] = [&listed, &whole].map(|parameters| restricted(kind, &parameters.join(", ")));
            for operation in taking().filter(|operation| listed.allows(operation.id)) {
                let objects = objects_of(operation).unwrap().unwrap();
                for (parameter, value) in operation.query.iter().flat_map(|one| PATHS.map(|value| (one, value))) {
                    let path = operation.template.replace(['{', '}'], "");
                    let target = format!("{path}?{}={}", parameter.name, value.replace('/', "%2F"));
                    let Ok(route) = find(operation.method.as_str(), &target) else {
                        // No name of an image.
                        assert!(["fromImage", "repo", "names", "tag"].contains(&parameter.name), "{target}");
                        continue;
                    };
                    let route = route.unwrap();
                    let is_host =
                        |policy: &Policy| matches!(policy.decide(&route), Decision::Deny(Denial::HostParameter(_)));
                    let is_reviewed = operation.is_read() || objects.parameters.contains_key(parameter.name);
                    let is_closed = objects.parameters.get(parameter.name).is_some_and(|rule| !rule.accepts(value));
                    let is_default = parameter.is_default(value);
                    assert_eq!(is_host(&listed), !is_default && (is_closed || !is_reviewed), "{kind} {target}");
                    assert!(!is_host(&whole), "{kind} {target}");
                    denied.extend(is_host(&listed).then_some((operation.id, parameter.name)));
                }
            }
        }
        let expected = [
            ("CheckpointDelete", "dir"),
            ("CheckpointList", "dir"),
            ("ContainerStart", "checkpoint"),
            ("ContainerStart", "checkpoint-dir"),
            ("ImageCreate", "fromSrc"),
        ];
        assert_eq!(denied, BTreeSet::from(expected));
    }

    #[test]
    fn an_operation_for_some_objects_has_no_parameter_that_reaches_the_host() {
        let own = "allow: [{ContainerStart: {only: [{label: mine}]}}]\nshow: all\n";
        let bound = policy(&format!("profile: p\n{own}parameters: {{ContainerStart: [checkpoint-dir]}}\n"));
        let expected = Denial::HostParameter("checkpoint-dir").public();
        check(&bound, "POST", "/containers/a/start?checkpoint-dir=/etc", &expected);
        check(&bound, "POST", "/containers/a/start", "relay: no body");
    }

    /// A plan that is compiled for a request is the one that a start would have compiled, of every operation under every profile.
    #[test]
    fn every_plan_that_waits_for_a_request_compiles() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let (mut filtered, mut waiting) = (0, 0);
        let all = Profiles::parse(&[("p.yaml", "profile: p\nallow: [all]\nshow: [state]\n")], &catalogue).unwrap();
        for profile in Profiles::built_in(&catalogue).unwrap().iter().chain(all.iter()) {
            let policy = Policy::compile(profile, &catalogue).unwrap();
            let eager = Policy::compile_eagerly(profile, &catalogue).unwrap();
            for operation in policy.operations() {
                let schema = operation.schema().unwrap_or_default();
                waiting += usize::from(!policy.plans.has_compiled(schema) && eager.plans.has_compiled(schema));
                let decisions = [&policy, &eager].map(|policy| policy.decide_operation(operation.id));
                filtered += usize::from(matches!(decisions[0], Decision::Filter(_) | Decision::Records(_)));
                assert!(!matches!(decisions[0], Decision::Deny(_)), "{} {}", profile.name, operation.id);
                let [late, early] = decisions.map(|decision| format!("{decision:?}"));
                assert_eq!(late, early, "{} {}", profile.name, operation.id);
            }
            assert_eq!(policy.shows_errors_in_full(), eager.shows_errors_in_full(), "{}", profile.name);
        }
        assert!(filtered > 200 && waiting > 100, "{filtered} {waiting}");
    }

    #[test]
    fn threads_that_ask_at_once_get_one_plan() {
        within_time_limit(|| {
            let policy = policy("profile: p\nallow: [ContainerList]\n");
            assert!(!policy.plans.has_compiled("ContainerSummary"));
            let start = std::sync::Barrier::new(8);
            let ask = || {
                start.wait();
                match policy.decide_operation("ContainerList") {
                    Decision::Filter(plan) => plan,
                    other @ (Decision::Deny(_) | Decision::Relay(_) | Decision::Records(_)) => panic!("{other:?}"),
                }
            };
            let plans: Vec<Arc<Plan>> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(plans.iter().all(|plan| Arc::ptr_eq(plan, &plans[0])));
        });
    }

    /// The error may be in what no request has asked for yet: it is found at the start all the same.
    #[test]
    fn a_start_finds_what_does_not_compile() {
        let conditions = |on: &str, path: &str| -> String {
            (0..9).map(|number| format!("  - {{on: {on}, blank: \"{path}[?@.Name == 'a{number}']\"}}\n")).collect()
        };
        let nine = "more than 8 different filters, indexes and slices meet at one location";
        let absolute = "`$` inside a filter of a schema that is nested in others";
        for (allowed, rules, expected) in [
            ("ContainerInspect", conditions("ContainerInspect", "$.Mounts"), nine),
            ("ContainerList", conditions("ContainerInspect", "$.Mounts"), nine),
            ("SystemEvents", conditions("Event", "$.Actor"), nine),
            ("ContainerInspect", conditions("HostConfig", "$.Mounts"), nine),
            ("ContainerDelete", conditions("ContainerInspect", "$.Mounts"), nine),
            ("Ping", conditions("Error", "$"), nine),
            ("ContainerList", "  - {on: MountPoint, blank: \"$[?@ == $.Name]\"}\n".to_owned(), absolute),
        ] {
            let text = format!("profile: p\nallow: [{allowed}]\nevents: filtered\nrules:\n{rules}");
            let catalogue = crate::api::catalogue::built_in().unwrap();
            let profiles = Profiles::parse(&[("p.yaml", &text)], &catalogue).unwrap();
            let profile = profiles.get("p").unwrap();
            let found = Policy::compile(profile, &catalogue).unwrap_err();
            assert_eq!(Policy::compile_eagerly(profile, &catalogue).unwrap_err(), found, "{text}");
            assert!(found.to_string().contains(expected), "{text}{found}");
        }
    }

    /// Without rules, too many fields are the only reason.
    #[test]
    fn a_start_finds_a_class_file_with_too_many_fields() {
        let paths: String = (0..20_000).map(|number| format!("    - $.Config.Own{number}.A\n")).collect();
        let file = crate::yaml::parse("c.yaml", &format!("class: state\nfields:\n  Volume:\n{paths}")).unwrap();
        let catalogue = crate::api::catalogue::built_in_with(&[file]).unwrap();
        for (allowed, expected) in [("VolumeInspect", false), ("SystemDataUsage", false), ("ImageList", true)] {
            let text = format!("profile: p\nallow: [{allowed}]\nshow: [state]\n");
            let profiles = Profiles::parse(&[("p.yaml", &text)], &catalogue).unwrap();
            let compiled = Policy::compile(profiles.get("p").unwrap(), &catalogue);
            assert_eq!(compiled.is_ok(), expected, "{allowed}");
        }
    }

    #[test]
    fn every_built_in_schema_certainly_compiles_without_rules() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        for schema in catalogue.names() {
            assert!(Plan::certainly_compiles(&catalogue, schema, &[]), "{schema}: {} fields", catalogue.size(schema));
        }
        assert!(!Plan::certainly_compiles(&catalogue, "Nothing", &[]));
    }

    /// What a policy asks for is explained as if everything were.
    #[test]
    fn single_fields_are_explained_as_they_are_among_all() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let profiles = Profiles::built_in(&catalogue).unwrap();
        let fields =
            || crate::api::OPERATIONS.iter().flat_map(|operation| queries::built_in().unwrap().fields(operation));
        for name in ["dashboard", "drop-in", "docker-cli", "traefik"] {
            let Profile { show, rules, .. } = profiles.get(name).unwrap();
            let mut by_schema: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            fields().for_each(|field| by_schema.entry(&field.schema).or_default().push(&field.path));
            for (schema, paths) in by_schema {
                let all = Plan::explain(&catalogue, schema, show, rules).unwrap();
                let (_, some) = Plan::compile_explained(&catalogue, schema, show, rules, &paths).unwrap();
                for path in &paths {
                    let of = |lines: &[Explained]| -> Vec<Explained> {
                        lines.iter().filter(|line| line.path == *path).cloned().collect()
                    };
                    assert!(!of(&all).is_empty(), "{schema} {path}");
                    assert_eq!(of(&some), of(&all), "{name}: {schema} {path}");
                }
            }
        }
    }

    #[test]
    fn every_operation_that_is_not_allowed_is_denied() {
        let policy = policy("profile: p\nallow: [ContainerList]\n");
        for operation in crate::api::OPERATIONS.iter().filter(|operation| operation.id != "ContainerList") {
            let path = operation.template.replace(['{', '}'], "");
            check(&policy, operation.method.as_str(), &path, "denied by policy");
        }
    }

    #[test]
    fn json_is_filtered_and_other_responses_are_relayed() {
        let policy = policy(
            "profile: p\nallow: [Ping, ContainerList, ContainerInspect, ContainerStats, ContainerLogs, SystemEvents, \
             ContainerExport, ContainerAttach, ContainerAttachWebsocket, ContainerStart, ContainerWait, ImageCreate]\n",
        );
        for (method, target, expected) in [
            ("GET", "/_ping", "relay: text"),
            ("HEAD", "/_ping", "relay: no body"),
            ("GET", "/v1.44/containers/json", "filter"),
            ("GET", "/containers/web/json", "filter"),
            ("GET", "/containers/web/stats?stream=0", "filter"),
            ("GET", "/containers/web/stats?stream=0&one-shot=1", "filter"),
            ("GET", "/containers/web/stats?stream=off", "relay: stream"),
            ("GET", "/containers/web/stats", "relay: stream"),
            ("GET", "/containers/web/logs?stdout=1", "relay: stream"),
            ("GET", "/events", "relay: stream"),
            ("GET", "/containers/web/export", "relay: archive"),
            ("POST", "/containers/web/attach?stream=1", "relay: hijacked connection"),
            ("GET", "/containers/web/attach/ws", "relay: hijacked connection"),
            ("POST", "/containers/web/start", "relay: no body"),
            ("POST", "/containers/web/wait", "filter records"),
            ("POST", "/images/create?fromImage=a", "relay: stream"),
        ] {
            check(&policy, method, target, expected);
        }
    }

    #[test]
    fn events_and_stats_are_filtered_if_the_profile_says_so() {
        for (keys, events, stats) in [
            ("", "relay: stream", "relay: stream"),
            ("events: filtered\n", "filter records", "relay: stream"),
            ("stats: filtered\n", "relay: stream", "filter records"),
        ] {
            let policy = policy(&format!("profile: p\nallow: [SystemEvents, ContainerStats]\n{keys}"));
            check(&policy, "GET", "/events", events);
            check(&policy, "GET", "/containers/web/stats", stats);
            check(&policy, "GET", "/containers/web/stats?stream=0", "filter");
        }
    }

    #[test]
    fn filters_on_events_are_checked_unless_events_are_untouched() {
        const HIDDEN: &str = "denied by policy: this query parameter reads hidden fields";
        let text = "profile: p\nallow: [SystemEvents]\nshow: [identity]\nlabels: [app]\n";
        let (untouched, filtered) = (policy(text), policy(&format!("{text}events: filtered\n")));
        for (filters, expected) in [
            (r#"{%22label%22:[%22app=1%22]}"#, "filter records"),
            (r#"{%22label%22:[%22token=1%22]}"#, HIDDEN),
            (r#"{%22event%22:[%22exec_start%22,%22exec_create:%20sh%22]}"#, HIDDEN),
        ] {
            check(&untouched, "GET", &format!("/events?filters={filters}"), "relay: stream");
            check(&filtered, "GET", &format!("/events?filters={filters}"), expected);
        }
        for (filters, expected) in [(r#"{%22label%22:[%22a*%22]}"#, Denial::Pattern), ("x", Denial::Filters)] {
            check(&untouched, "GET", &format!("/events?filters={filters}"), &expected.public());
            check(&filtered, "GET", &format!("/events?filters={filters}"), &expected.public());
        }
    }

    /// Of every operation, under every built-in profile and under one that allows all operations.
    #[test]
    fn a_parameter_that_the_profile_does_not_allow_is_denied() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let ids: Vec<&str> = crate::api::OPERATIONS.iter().map(|operation| operation.id).collect();
        let ids: Vec<&str> = ids.into_iter().filter(|id| *id != "SystemPingHead").collect();
        let open = policy(&format!("profile: p\nallow: [{}]\nshow: all\n", ids.join(", ")));
        let built_in = Profiles::built_in(&catalogue).unwrap();
        let mut policies: Vec<Policy> =
            built_in.iter().map(|profile| Policy::compile(profile, &catalogue).unwrap()).collect();
        policies.push(open);
        let (mut allowed, mut dropped, mut denied) = (0, 0, 0);
        for policy in &policies {
            for operation in policy.operations() {
                let contents = policy.profile().contents(operation);
                for (parameter, value) in
                    operation.query.iter().flat_map(|known| ["", "0", "1", "x"].map(|value| (known, value)))
                {
                    let path = operation.template.replace("{id}", &"a".repeat(64)).replace(['{', '}'], "");
                    let target = format!("{path}?{}={value}", parameter.name);
                    let mut route = find(operation.method.as_str(), &target).unwrap().unwrap();
                    policy.trim(&mut route);
                    let is_denied = match policy.decide(&route) {
                        Decision::Deny(denial) => denial == Denial::Parameter(parameter.name),
                        Decision::Relay(_) | Decision::Filter(_) | Decision::Records(_) => false,
                    };
                    let says_nothing = match parameter.kind {
                        ParameterKind::Text => value.is_empty(),
                        ParameterKind::Flag => ["", "0"].contains(&value),
                        ParameterKind::Switch => ["1", "x"].contains(&value),
                        ParameterKind::List => false,
                    };
                    let (may_have, is_there) = (contents.has_parameter(parameter.name), !route.query.is_empty());
                    assert_eq!(is_there, may_have || !(says_nothing || parameter.adds), "{} {target}", policy.name());
                    assert_eq!(is_denied, is_there && !may_have, "{} {target}", policy.name());
                    *(if is_denied {
                        &mut denied
                    } else if is_there {
                        &mut allowed
                    } else {
                        &mut dropped
                    }) += 1;
                }
            }
        }
        assert!(allowed > 2000 && dropped > 50 && denied > 50, "{allowed} {dropped} {denied}");
    }

    /// What goes beyond the profile is either said, or was not needed.
    #[test]
    fn a_parameter_is_dropped_if_the_request_then_asks_for_less() {
        let policy = policy(
            "profile: p\nallow: [ContainerList, ContainerDelete, ImageCreate, ContainerLogs]\nshow: all\n\
             parameters: {ContainerList: [all], ContainerDelete: [v], ImageCreate: [fromImage], ContainerLogs: [stdout]}\n",
        );
        let up = |method: &str, target: &str| {
            let mut route = find(method, target).unwrap().unwrap();
            policy.trim(&mut route);
            match policy.decide(&route) {
                Decision::Deny(denial) => denial.to_string(),
                Decision::Relay(_) | Decision::Filter(_) | Decision::Records(_) => {
                    route.query.pairs().map(|(name, value)| format!("{name}={value} ")).collect()
                }
            }
        };
        let denied = |name: &str| format!("denied by policy: the profile does not allow the query parameter {name:?}");
        for (method, target, expected) in [
            ("GET", "/containers/json?all=1&size=1&limit=&trunc_cmd=0", "all=1 ".to_owned()),
            ("GET", "/containers/json?all=1&limit=1", denied("limit")),
            ("GET", "/containers/json?filters={}", denied("filters")),
            ("DELETE", "/containers/a?v=1&force=False&link=0", "v=1 ".to_owned()),
            ("DELETE", "/containers/a?force=1", denied("force")),
            ("DELETE", "/containers/a/b?link=1", denied("link")),
            ("POST", "/images/create?fromImage=a&fromSrc=&repo=&message=&platform=", "fromImage=a ".to_owned()),
            ("POST", "/images/create?fromImage=a&platform=b", denied("platform")),
            ("POST", "/images/create?fromImage=a&changes=", denied("changes")),
            ("GET", "/containers/a/logs?stdout=1&details=1&stderr=0", "stdout=1 ".to_owned()),
            ("GET", "/containers/a/logs?stdout=1&stderr=1", denied("stderr")),
        ] {
            assert_eq!(up(method, target), expected, "{target}");
        }
    }

    #[test]
    fn a_parameter_that_reads_hidden_fields_is_denied() {
        const HIDDEN: &str = "denied by policy: this query parameter reads hidden fields";
        let policy = policy("profile: p\nallow: [ContainerList, VolumeList]\nshow: [identity]\nlabels: [app]\n");
        check(&policy, "GET", r#"/containers/json?filters={%22label%22:[%22app=1%22]}"#, "filter");
        check(&policy, "GET", r#"/containers/json?filters={%22label%22:[%22token%22]}"#, HIDDEN);
        check(&policy, "GET", r#"/containers/json?filters={%22status%22:[%22running%22]}"#, HIDDEN);
        check(&policy, "GET", r#"/volumes?filters={%22name%22:[%22a%22]}"#, "filter");
        check(&policy, "GET", r#"/volumes?filters={%22driver%22:[%22a%22]}"#, HIDDEN);
        check(&policy, "GET", "/volumes?filters=x", "denied by policy: the filters of this request cannot be parsed");
    }

    /// Checks whether a client can filter a list by name and by state, under a profile with this rule.
    #[track_caller]
    fn check_rule(rule: &str, by_name: bool, by_state: bool) {
        let text = format!("profile: p\nallow: [ContainerList, VolumeList]\nshow: all\nrules:\n  - {rule}\n");
        let policy = policy(&text);
        for (key, expected) in [("name", by_name), ("status", by_state)] {
            let target = format!("/containers/json?filters={{%22{key}%22:[%22a%22]}}");
            assert_eq!(decided(&policy, "GET", &target) == "filter", expected, "{rule}: {key}");
        }
    }

    #[test]
    fn a_filter_cannot_read_what_a_rule_hides() {
        check_rule("{on: ContainerInspect, blank: $.Name}", true, true);
        check_rule("{on: ContainerSummary, keep: \"$.Names\"}", true, true);
        check_rule("{on: ContainerSummary, blank: \"$.Names\"}", false, true);
        check_rule("{on: ContainerList, hash: \"$.Names[*]\"}", false, true);
        check_rule("{on: ContainerList, remove: $.State}", true, false);
        check_rule("{on: ContainerSummary, blank: \"$.Names[?@ == '/a']\"}", false, false);
        check_rule("{on: ContainerSummary, blank: \"$.Names[0]\"}", false, false);
    }

    #[test]
    fn a_filter_cannot_read_what_a_rule_of_a_nested_schema_hides() {
        let policy = policy("profile: p\nallow: [VolumeList]\nshow: all\nrules:\n  - {on: Volume, redact: $.Name}\n");
        check(&policy, "GET", "/volumes?filters={%22dangling%22:[%22true%22]}", "filter");
        check(
            &policy,
            "GET",
            "/volumes?filters={%22name%22:[%22a%22]}",
            "denied by policy: this query parameter reads hidden fields",
        );
    }

    /// Every operation whose path names an object of which something could be hidden.
    #[test]
    fn a_path_names_a_hidden_object_exactly_or_not_at_all() {
        let ids: Vec<&str> = crate::api::OPERATIONS.iter().map(|operation| operation.id).collect();
        let ids: Vec<&str> = ids.into_iter().filter(|id| *id != "SystemPingHead").collect();
        let policy = |show: &str| policy(&format!("profile: p\nallow: [{}]\nshow: {show}\n", ids.join(", ")));
        let policies = [policy("[]"), policy("[identity]"), policy("[identity, topology]")];
        let mut guarded = 0;
        for operation in crate::api::OPERATIONS.iter().filter(|operation| operation.takes_name()) {
            let path = operation.template.replace("{checkpoint}", "c");
            let target = |name: &str| {
                let path =
                    ["{id}", "{name}", "{reference}"].iter().fold(path.clone(), |path, one| path.replace(one, name));
                find(operation.method.as_str(), &path).unwrap().unwrap()
            };
            let (short, hex, base36) = ("ab", "ab".repeat(32), "a".repeat(25));
            // What happens to a name, to a whole id of 64 digits, and to one of 25 characters: it passes, it is compared, or it
            // is denied.
            let ways = policies.each_ref().map(|policy| {
                [short, &hex, &base36].map(|name| match (policy.decide(&target(name)), policy.lookup(&target(name))) {
                    (Decision::Deny(Denial::Name), _) => "denied",
                    (Decision::Deny(Denial::Erases), _) => "erases",
                    (_, Some(_)) => "compared",
                    (_, None) => "passes",
                })
            });
            let free = ["passes"; 3];
            let expected = match operation.template.split('/').nth(1).unwrap() {
                _ if !operation.writes_back.is_empty() => [["erases"; 3]; 3],
                "containers" | "images" => [["compared", "passes", "compared"], free, free],
                "plugins" if operation.takes_reference() => [["compared", "passes", "compared"], free, free],
                "volumes" => [["compared"; 3], free, free],
                "networks" => [["denied", "compared", "denied"], ["denied", "compared", "denied"], free],
                "nodes" => [["denied", "denied", "compared"], ["denied", "denied", "compared"], free],
                "services" | "secrets" | "configs" => [["compared", "compared", "passes"], free, free],
                "tasks" => [["denied", "denied", "compared"], free, free],
                "exec" | "distribution" | "plugins" | "debug" | "pprof" => [free; 3],
                other => panic!("{other}"),
            };
            assert_eq!(ways, expected, "{}", operation.id);
            guarded += usize::from(ways[0] != free);
        }
        assert!(guarded > 60, "{guarded}");
    }

    /// Clients that see no ids ask by name: a lookup costs one more request to the engine.
    #[test]
    fn few_built_in_profiles_need_lookups() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let mut found = Vec::new();
        for profile in Profiles::built_in(&catalogue).unwrap().iter() {
            let policy = Policy::compile(profile, &catalogue).unwrap();
            let guarded = policy.operations().filter(|found| policy.lookup_of(&policy.allowed[found.id]).is_some());
            found.extend(guarded.map(|operation| format!("{} {}", profile.name, operation.id)));
        }
        assert_eq!(found, ["traefik-swarm NodeInspect", "uptime-kuma ContainerInspect"]);
    }

    #[test]
    fn a_filter_that_depends_on_hidden_objects_is_denied() {
        let text = "profile: p\nallow: [VolumeList, NetworkList, ImageList, ContainerList, SystemEvents]\nshow: all\n\
                    parameters: {ContainerList: all}\n";
        let (by_name, by_label) = ("containers: {only: [{name: web}]}\n", "containers: {only: [{label: web}]}\n");
        for (keys, target, kind) in [
            (by_label, "/volumes?filters={\"dangling\":[\"true\"]}", Some("containers")),
            (by_label, "/networks?filters={\"dangling\":[\"true\"]}", Some("containers")),
            ("services: {only: [{label: a}]}\n", "/networks?filters={\"dangling\":[\"true\"]}", Some("services")),
            ("volumes: {only: used}\n", "/volumes?filters={\"dangling\":[\"true\"]}", None),
            ("images: {only: used}\n", "/images/json?filters={\"dangling\":[\"true\"]}", Some("images")),
            (by_label, "/images/json?filters={\"dangling\":[\"true\"]}", None),
            (by_label, "/containers/json?filters={\"name\":[\"a\"],\"since\":[\"b\"]}", Some("containers")),
            (by_label, "/containers/json?before=b&filters={\"name\":{\"a\":true}}", Some("containers")),
            (by_label, "/containers/json?before=&filters={\"name\":[\"a\"]}", None),
            (by_label, "/containers/json?filters={\"label\":[\"a\"],\"since\":[\"b\"]}", None),
            (by_name, "/events?filters={\"label\":[\"a\",\"oldName=/b\"]}", Some("containers")),
            (by_label, "/events?filters={\"label\":[\"oldName=/b\"]}", None),
        ] {
            let limited = format!("denied by policy: the profile shows only some {}", kind.unwrap_or("-"));
            let (all, some) = (policy(text), policy(&format!("{text}{keys}")));
            assert!(decided(&all, "GET", target).starts_with("filter") || target.starts_with("/events"), "{target}");
            let decided = decided(&some, "GET", target);
            assert_eq!(decided.starts_with(&limited), kind.is_some(), "{keys}{target}: {decided}");
        }
    }

    #[test]
    fn a_filter_cannot_tell_what_hidden_containers_use() {
        let text = "profile: p\nallow: [VolumeList, NetworkList]\nshow: all\n";
        let (all, some) = (policy(text), policy(&format!("{text}containers: {{only: [{{name: web}}]}}\n")));
        for path in ["/volumes", "/networks"] {
            let target = format!("{path}?filters={{%22dangling%22:[%22true%22]}}");
            assert_eq!(decided(&all, "GET", &target), "filter");
            assert!(
                decided(&some, "GET", &target).starts_with("denied by policy: the profile shows only some containers")
            );
            assert_eq!(decided(&some, "GET", path), "filter");
        }
    }

    #[test]
    fn every_operation_can_be_allowed() {
        let ids: Vec<&str> = crate::api::OPERATIONS.iter().map(|operation| operation.id).collect();
        let ids: Vec<&str> = ids.into_iter().filter(|id| *id != "SystemPingHead").collect();
        let policy = policy(&format!("profile: p\nallow: [{}]\nshow: all\n", ids.join(", ")));
        for operation in crate::api::OPERATIONS {
            assert!(policy.allows(operation.id), "{}", operation.id);
        }
    }

    #[test]
    fn operations_of_one_schema_share_a_plan() {
        let policy = policy("profile: p\nallow: [VolumeInspect, VolumeCreate]\n");
        let plan = |method: &str, target: &str| match policy.decide(&find(method, target).unwrap().unwrap()) {
            Decision::Filter(plan) => plan,
            other @ (Decision::Deny(_) | Decision::Relay(_) | Decision::Records(_)) => panic!("{other:?}"),
        };
        assert!(Arc::ptr_eq(&plan("GET", "/volumes/a"), &plan("POST", "/volumes/create")));
    }
}
