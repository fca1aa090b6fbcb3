//! Route to decision.
//!
//! A [`Profile`] is what an operator wrote. A [`Policy`] is the same, compiled: for each operation that the profile allows,
//! what happens to the response. [`Policy::decide`] has no effect and looks at nothing but the route.

mod guard;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use self::guard::Visible;
use crate::api::queries::{self, QueryTable};
use crate::api::{Operation, Response, Stream, operation};
use crate::filter::{Action, CompileError, DocumentLimits, Plan, RecordFilter, Rule};
use crate::profile::{Profile, StreamMode};
use crate::route::Route;
use crate::schema::{Catalogue, Class, ClassSet, Words};
use crate::yaml::{Diagnostic, Diagnostics};

/// Everything that the clients of one listener may ask and see, ready to be applied.
#[derive(Debug)]
pub struct Policy {
    profile: Profile,
    allowed: HashMap<&'static str, Allowed>,
    queries: &'static QueryTable,
}

/// One operation that is allowed.
#[derive(Clone, Debug)]
struct Allowed {
    handling: Handling,
    /// How a stream is handled, where parameters ask for a stream instead of a document.
    streamed: Option<Handling>,
    /// The classes of the fields that rules hide in the response.
    hidden_by_rules: ClassSet,
    /// The actions of events, if the response is events.
    words: Option<Words>,
}

/// How the response of an allowed operation is handled.
#[derive(Clone, Debug)]
enum Handling {
    /// Every response is JSON and goes through the plan.
    Filter(Arc<Plan>),
    /// No response can be filtered, or none should be.
    Relay(RelayReason),
    /// Every response is a stream, and each record goes through the filter.
    Records(RecordFilter),
}

/// What happens to one exchange.
#[derive(Clone, Debug)]
pub enum Decision {
    /// The engine never sees the request.
    Deny(Denial),
    /// The response goes to the client as it is.
    Relay(RelayReason),
    /// The response is JSON and goes through the plan: whole, or element by element where the operation returns an array.
    Filter(Arc<Plan>),
    /// The response is a stream, and each record goes through the filter as it passes.
    Records(RecordFilter),
}

/// Why a request is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The profile does not allow the operation.
    NotAllowed,
    /// A query parameter reads what the profile hides.
    Oracle,
    /// The `filters` parameter does not parse, so that what it reads is unknown.
    Filters,
}

impl Denial {
    /// The message for the client.
    pub const fn public(self) -> &'static str {
        match self {
            Self::NotAllowed => "denied by policy",
            Self::Oracle => "denied by policy: this query parameter reads hidden fields",
            Self::Filters => "denied by policy: the filters of this request cannot be parsed",
        }
    }
}

/// Why a response is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayReason {
    /// It is a line of text, such as the answer to a ping.
    Text,
    /// It has no body.
    Empty,
    /// It is a stream that is not filtered.
    Stream,
    /// The connection becomes two byte pipes.
    Hijack,
    /// It is an archive or other binary data.
    Archive,
}

impl RelayReason {
    /// The text for logs and people.
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
    /// Compiles the plans of everything that `profile` allows.
    ///
    /// # Errors
    /// A diagnostic for every rule that cannot be compiled for its schema, and for schemas that the catalogue does not have.
    pub fn compile(profile: &Profile, catalogue: &Catalogue) -> Result<Self, Diagnostics> {
        Self::compile_within(profile, catalogue, DocumentLimits::default())
    }

    /// As [`Policy::compile`], with limits on each document.
    ///
    /// # Errors
    /// As [`Policy::compile`].
    pub fn compile_within(
        profile: &Profile,
        catalogue: &Catalogue,
        limits: DocumentLimits,
    ) -> Result<Self, Diagnostics> {
        let queries = queries::built_in()?;
        let mut compiler =
            PolicyCompiler { profile, catalogue, limits, plans: BTreeMap::new(), diagnostics: Diagnostics::default() };
        let mut allowed = HashMap::new();
        for operation in profile.allow.keys().filter_map(|id| operation(id)) {
            allowed.extend(compiler.allowed(operation, queries).map(|entry| (operation.id, entry)));
        }
        compiler.check_unused_rules();
        compiler.diagnostics.finish(Self { profile: profile.clone(), allowed, queries })
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
        self.allowed.contains_key(id)
    }

    /// The operations that are allowed, by their ids.
    pub fn operations(&self) -> impl Iterator<Item = &'static Operation> {
        self.profile.allow.keys().filter_map(|id| operation(id))
    }

    /// Whether fields of a class are shown.
    pub fn shows(&self, class: Class) -> bool {
        self.profile.show.classes.contains(class)
    }

    /// What happens to one exchange.
    pub fn decide(&self, route: &Route) -> Decision {
        let Some(allowed) = self.allowed.get(route.operation.id) else {
            return Decision::Deny(Denial::NotAllowed);
        };
        let handling = allowed.streamed.as_ref().filter(|_| route.streams()).unwrap_or(&allowed.handling);
        let visible = Visible {
            show: &self.profile.show,
            hidden_by_rules: allowed.hidden_by_rules,
            words: allowed.words.as_ref(),
        };
        // Events that pass untouched show everything that their filters read.
        let shows_all = allowed.words.is_some() && matches!(handling, Handling::Relay(_));
        let checked = if shows_all {
            guard::check_parameters(route, self.queries, &visible)
        } else {
            guard::check(route, self.queries, &visible)
        };
        if let Err(denial) = checked {
            return Decision::Deny(denial);
        }
        match handling {
            Handling::Filter(plan) => Decision::Filter(Arc::clone(plan)),
            Handling::Relay(reason) => Decision::Relay(*reason),
            Handling::Records(filter) => Decision::Records(filter.clone()),
        }
    }
}

/// Compiles what one profile allows. Operations of one schema share a plan.
struct PolicyCompiler<'p> {
    profile: &'p Profile,
    catalogue: &'p Catalogue,
    limits: DocumentLimits,
    plans: BTreeMap<&'static str, Arc<Plan>>,
    diagnostics: Diagnostics,
}

impl PolicyCompiler<'_> {
    /// An allowed operation; `None` if it stays denied.
    fn allowed(&mut self, operation: &Operation, queries: &QueryTable) -> Option<Allowed> {
        let (handling, streamed) = match operation.response {
            Response::Document(schema) | Response::Array(schema) => (Handling::Filter(self.plan(schema)?), None),
            Response::Stream(Stream::Events) => (self.events(operation)?, None),
            Response::Stream(Stream::Stats) => {
                let plan = self.plan(operation.schema()?)?;
                let streamed = match self.profile.stats {
                    StreamMode::Filtered => Handling::Records(RecordFilter::Plain(Arc::clone(&plan))),
                    StreamMode::Untouched => Handling::Relay(RelayReason::Stream),
                };
                (Handling::Filter(plan), Some(streamed))
            }
            Response::Stream(Stream::Logs | Stream::Progress | Stream::Wait) => {
                (Handling::Relay(RelayReason::Stream), None)
            }
            Response::Ping | Response::Text => (Handling::Relay(RelayReason::Text), None),
            Response::Empty => (Handling::Relay(RelayReason::Empty), None),
            Response::Hijack | Response::WebSocket => (Handling::Relay(RelayReason::Hijack), None),
            Response::Tar | Response::Octets => (Handling::Relay(RelayReason::Archive), None),
        };
        let hidden_by_rules = if queries.covers(operation) { self.hidden_by_rules(operation) } else { ClassSet::EMPTY };
        let variants = operation.schema().and_then(|schema| self.catalogue.variants(schema));
        let words = variants.map(|variants| variants.words.clone());
        Some(Allowed { handling, streamed, hidden_by_rules, words })
    }

    /// The plan of a schema, compiled once.
    fn plan(&mut self, schema: &'static str) -> Option<Arc<Plan>> {
        if let Some(plan) = self.plans.get(schema) {
            return Some(Arc::clone(plan));
        }
        let compiled = Plan::compile(self.catalogue, schema, &self.profile.show, &self.profile.rules);
        let plan = Arc::new(self.keep(compiled)?.with_limits(self.limits));
        self.plans.insert(schema, Arc::clone(&plan));
        Some(plan)
    }

    fn events(&mut self, operation: &Operation) -> Option<Handling> {
        match self.profile.events {
            StreamMode::Untouched => Some(Handling::Relay(RelayReason::Stream)),
            StreamMode::Filtered => {
                let Profile { show, rules, .. } = self.profile;
                let compiled = RecordFilter::compile(self.catalogue, operation.schema()?, show, rules, self.limits);
                self.keep(compiled).map(Handling::Records)
            }
        }
    }

    /// Compiles the rules for operations that are not allowed too: a mistake in one of them is a mistake all the same.
    fn check_unused_rules(&mut self) {
        let Profile { show, rules, .. } = self.profile;
        for schema in rules.iter().filter_map(|rule| self.catalogue.schema(&rule.on)) {
            if !self.plans.contains_key(schema.name()) {
                let compiled = Plan::compile(self.catalogue, schema.name(), show, rules);
                self.keep(compiled);
            }
        }
    }

    fn keep<T>(&mut self, compiled: Result<T, CompileError>) -> Option<T> {
        self.diagnostics.ok(compiled.map_err(|error| Diagnostic::new(&self.profile.location, error.to_string())))
    }

    /// The classes of the fields that rules hide in the response of an operation.
    ///
    /// A rule that hides a field on some condition, or hides one that no class file knows, counts for all classes.
    fn hidden_by_rules(&mut self, operation: &Operation) -> ClassSet {
        let Some(schema) = operation.filtered_schema() else { return ClassSet::EMPTY };
        let Profile { show, rules, .. } = self.profile;
        let schemas = self.catalogue.with_nested(schema);
        let is_hiding = |rule: &&Rule| rule.action != Action::Keep && schemas.contains(&rule.on.as_str());
        let hiding: Vec<&Rule> = rules.iter().filter(is_hiding).collect();
        if hiding.is_empty() {
            return ClassSet::EMPTY;
        }
        let explained = self.keep(Plan::explain(self.catalogue, schema, show, rules));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profiles;
    use crate::route::find;

    /// The policy of one profile file.
    fn policy(text: &str) -> Policy {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let profiles = Profiles::parse(&[("p.yaml", text)], &catalogue).unwrap();
        Policy::compile(profiles.iter().next().unwrap(), &catalogue).unwrap()
    }

    /// What it decides, in a word.
    fn decided(policy: &Policy, method: &str, target: &str) -> String {
        match policy.decide(&find(method, target).unwrap().unwrap()) {
            Decision::Deny(denial) => denial.public().to_owned(),
            Decision::Relay(reason) => format!("relay: {}", reason.as_str()),
            Decision::Filter(_) => "filter".to_owned(),
            Decision::Records(_) => "filter records".to_owned(),
        }
    }

    #[track_caller]
    fn check(policy: &Policy, method: &str, target: &str, expected: &str) {
        assert_eq!(decided(policy, method, target), expected, "{method} {target}");
    }

    #[test]
    fn what_is_not_allowed_is_denied() {
        let policy = policy("profile: p\nallow: [ContainerList]\n");
        for operation in crate::api::OPERATIONS.iter().filter(|operation| operation.id != "ContainerList") {
            let path = operation.template.replace(['{', '}'], "");
            check(&policy, operation.method.as_str(), &path, "denied by policy");
        }
    }

    #[test]
    fn json_is_filtered_and_everything_else_relayed_for_a_reason() {
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
            ("POST", "/containers/web/wait", "relay: stream"),
            ("POST", "/images/create?fromImage=a", "relay: stream"),
        ] {
            check(&policy, method, target, expected);
        }
    }

    #[test]
    fn streams_of_records_are_filtered_if_the_profile_says_so() {
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
    fn filters_of_events_are_read_where_events_are_filtered() {
        const HIDDEN: &str = "denied by policy: this query parameter reads hidden fields";
        let text = "profile: p\nallow: [SystemEvents]\nshow: [identity]\nlabels: [app]\n";
        let (untouched, filtered) = (policy(text), policy(&format!("{text}events: filtered\n")));
        for (filters, expected) in [
            (r#"{%22label%22:[%22app=1%22]}"#, "filter records"),
            (r#"{%22label%22:[%22token=1%22]}"#, HIDDEN),
            (r#"{%22event%22:[%22exec_start%22,%22exec_create:%20sh%22]}"#, HIDDEN),
            ("x", "denied by policy: the filters of this request cannot be parsed"),
        ] {
            check(&untouched, "GET", &format!("/events?filters={filters}"), "relay: stream");
            check(&filtered, "GET", &format!("/events?filters={filters}"), expected);
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

    /// Whether the rows of a list may be selected by name and by state, beside this rule.
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
    fn what_a_rule_hides_cannot_be_asked_for_either() {
        check_rule("{on: ContainerInspect, blank: $.Name}", true, true);
        check_rule("{on: ContainerSummary, keep: \"$.Names\"}", true, true);
        check_rule("{on: ContainerSummary, blank: \"$.Names\"}", false, true);
        check_rule("{on: ContainerList, hash: \"$.Names[*]\"}", false, true);
        check_rule("{on: ContainerList, remove: $.State}", true, false);
        check_rule("{on: ContainerSummary, blank: \"$.Names[?@ == '/a']\"}", false, false);
        check_rule("{on: ContainerSummary, blank: \"$.Names[0]\"}", false, false);
    }

    #[test]
    fn rules_of_a_schema_inside_the_response_count() {
        let policy = policy("profile: p\nallow: [VolumeList]\nshow: all\nrules:\n  - {on: Volume, redact: $.Name}\n");
        check(&policy, "GET", "/volumes?filters={%22dangling%22:[%22true%22]}", "filter");
        check(
            &policy,
            "GET",
            "/volumes?filters={%22name%22:[%22a%22]}",
            "denied by policy: this query parameter reads hidden fields",
        );
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
