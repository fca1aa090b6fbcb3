//! Route to decision.
//!
//! A [`Profile`] is what an operator wrote; a [`Policy`] is the same, compiled: for each operation it allows, what is
//! to be done with the response. To decide has no effect and looks at nothing but the route.

mod guard;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::api::{Operation, Response, Stream, operation};
use crate::filter::{Action, EventFilter, Limits, Plan, RecordFilter, Rule};
use crate::profile::{Profile, Streams};
use crate::route::Route;
use crate::schema::{Catalogue, Class, ClassSet};
use crate::yaml::{Diagnostic, Diagnostics};

/// The schema of the engine's error responses.
const ERROR: &str = "Error";

/// All that one listener's clients may ask and see, ready to be applied.
#[derive(Debug)]
pub struct Policy {
    profile: Profile,
    allowed: HashMap<&'static str, Allowed>,
    error: Arc<Plan>,
}

/// One operation that is allowed.
#[derive(Clone, Debug)]
struct Allowed {
    way: Way,
    /// The way of a stream, where parameters ask for a stream in place of a document.
    streamed: Option<Way>,
    /// The classes of what rules hide in its response.
    ruled: ClassSet,
}

/// What is to be done with the response of an operation that is allowed.
#[derive(Clone, Debug)]
enum Way {
    /// Every response is JSON.
    Filter(Arc<Plan>),
    /// No response can be filtered, or none is to be.
    Relay(Reason),
    /// Every response is a stream of records.
    Records(RecordFilter),
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
    pub fn compile(profile: &Profile, catalogue: &Catalogue) -> Result<Self, Diagnostics> {
        Self::compile_within(profile, catalogue, Limits::default())
    }

    /// As [`Policy::compile`]; a document may cost no more than `limits`.
    ///
    /// # Errors
    /// As [`Policy::compile`].
    pub fn compile_within(profile: &Profile, catalogue: &Catalogue, limits: Limits) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let mut plans: BTreeMap<&str, Arc<Plan>> = BTreeMap::new();
        let mut plan = |schema: &'static str, diagnostics: &mut Diagnostics| {
            if let Some(plan) = plans.get(schema) {
                return Some(Arc::clone(plan));
            }
            let compiled = Plan::compile(catalogue, schema, &profile.show, &profile.rules);
            let compiled = compiled.map_err(|error| Diagnostic::new(&profile.location, error.to_string()));
            let plan = Arc::new(diagnostics.ok(compiled)?.with_limits(limits));
            plans.insert(schema, Arc::clone(&plan));
            Some(plan)
        };
        let error = plan(ERROR, &mut diagnostics);
        let mut allowed = HashMap::new();
        for known in profile.allow.keys().filter_map(|id| operation(id)) {
            let mut streamed = None;
            let way = match (relayed(known), known.filtered_schema()) {
                (Relayed::Never, Some(schema)) => plan(schema, &mut diagnostics).map(Way::Filter),
                (Relayed::Events, Some(_)) if profile.events == Streams::Filtered => {
                    let compiled = EventFilter::compile(catalogue, &profile.show, &profile.rules);
                    let compiled = compiled.map_err(|error| Diagnostic::new(&profile.location, error.to_string()));
                    let filter = diagnostics.ok(compiled).map(|filter| filter.with_limits(limits));
                    filter.map(|filter| Way::Records(RecordFilter::Event(Arc::new(filter))))
                }
                (Relayed::Stats, Some(schema)) => {
                    let plan = plan(schema, &mut diagnostics);
                    streamed = match (&plan, profile.stats) {
                        (Some(plan), Streams::Filtered) => Some(Way::Records(RecordFilter::Document(Arc::clone(plan)))),
                        (Some(_) | None, _) => Some(Way::Relay(Reason::Stream)),
                    };
                    plan.map(Way::Filter)
                }
                (Relayed::Events, _) => Some(Way::Relay(Reason::Stream)),
                (Relayed::Always(reason), _) => Some(Way::Relay(reason)),
                // There is no such response; if there were one, its operation would stay denied.
                (Relayed::Never | Relayed::Stats, None) => None,
            };
            let ruled = if guard::concerns(known) {
                diagnostics.ok(ruled(known, profile, catalogue)).unwrap_or(ClassSet::ALL)
            } else {
                ClassSet::EMPTY
            };
            allowed.extend(way.map(|way| (known.id, Allowed { way, streamed, ruled })));
        }
        // A rule for an operation that is not allowed yet is compiled as well: a mistake in it is no smaller.
        for schema in profile.rules.iter().filter_map(|rule| catalogue.schema(&rule.on)) {
            if !plans.contains_key(schema.name()) {
                let compiled = Plan::compile(catalogue, schema.name(), &profile.show, &profile.rules);
                diagnostics.ok(compiled.map_err(|error| Diagnostic::new(&profile.location, error.to_string())));
            }
        }
        diagnostics.finish_option(error.map(|error| Self { profile: profile.clone(), allowed, error }))
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

    /// What the engine's error responses go through, whatever the operation.
    pub fn error_plan(&self) -> &Arc<Plan> {
        &self.error
    }

    /// What is to be done with one exchange.
    pub fn decide(&self, route: &Route) -> Decision {
        let Some(allowed) = self.allowed.get(route.operation.id) else {
            return Decision::Deny(Denial::NotAllowed);
        };
        let way = allowed.streamed.as_ref().filter(|_| route.streams()).unwrap_or(&allowed.way);
        let untouched = matches!(way, Way::Relay(_));
        if let Err(denial) = guard::check(route, &self.profile.show, allowed.ruled, untouched) {
            return Decision::Deny(denial);
        }
        match way {
            Way::Filter(plan) => Decision::Filter(Arc::clone(plan)),
            Way::Relay(reason) => Decision::Relay(*reason),
            Way::Records(filter) => Decision::Records(filter.clone()),
        }
    }
}

/// The classes of the fields that the rules of a profile hide in the response of an operation.
///
/// A rule that may hide a field and may not, or hides one that no class file knows, counts for all classes.
fn ruled(operation: &Operation, profile: &Profile, catalogue: &Catalogue) -> Result<ClassSet, Diagnostic> {
    let mut ruled = ClassSet::EMPTY;
    let Some(schema) = operation.filtered_schema() else { return Ok(ruled) };
    let schemas = catalogue.with_nested(schema);
    let is_hiding = |rule: &&Rule| rule.action != Action::Keep && schemas.contains(&rule.on.as_str());
    let mut hiding = profile.rules.iter().filter(is_hiding).peekable();
    if hiding.peek().is_none() {
        return Ok(ruled);
    }
    let explained = Plan::explain(catalogue, schema, &profile.show, &profile.rules);
    let explained = explained.map_err(|error| Diagnostic::new(&profile.location, error.to_string()))?;
    let fields: Vec<_> = explained.iter().filter_map(|line| Some((line.class?, line.location.as_ref()?))).collect();
    for rule in hiding {
        let mut hidden = fields.iter().filter(|(_, location)| **location == rule.location).peekable();
        match hidden.peek() {
            Some(_) => ruled = hidden.fold(ruled, |ruled, (class, _)| ruled.with(*class)),
            None => return Ok(ClassSet::ALL),
        }
    }
    Ok(ruled)
}

/// When responses of an operation are relayed.
enum Relayed {
    /// They are filtered.
    Never,
    /// They cannot be filtered.
    Always(Reason),
    /// They are events, which the profile decides on.
    Events,
    /// They are statistics: one document is filtered, the profile decides on a stream.
    Stats,
}

fn relayed(operation: &Operation) -> Relayed {
    match operation.response {
        Response::Document(_) | Response::Array(_) => Relayed::Never,
        Response::Ping | Response::Text => Relayed::Always(Reason::Text),
        Response::Empty => Relayed::Always(Reason::Empty),
        Response::Stream(Stream::Events) => Relayed::Events,
        Response::Stream(Stream::Stats) => Relayed::Stats,
        Response::Stream(Stream::Logs | Stream::Progress | Stream::Wait) => Relayed::Always(Reason::Stream),
        Response::Hijack | Response::WebSocket => Relayed::Always(Reason::Hijack),
        Response::Tar | Response::Octets => Relayed::Always(Reason::Archive),
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
            ("x", "denied by policy: the filters of this request cannot be read"),
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
        check(&policy, "GET", "/volumes?filters=x", "denied by policy: the filters of this request cannot be read");
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
