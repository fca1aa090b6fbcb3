//! What a policy exposes: what its clients may ask and see, and what to beware of.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Value, json};

use super::json::location;
use super::layout::one_line;
use crate::api::{Operation, ResponseKind, StreamKind, lists};
use crate::policy::Policy;
use crate::profile::{OpenedBy, Profile, RequestContents, StreamFiltering};
use crate::schema::Class;

/// What it means if a client can create containers.
const CREATES: &str = "a client can create a container that mounts the whole host, and read everything";

/// The same, where clients see only some objects.
const KEEPS_OFF_HOST: &str = "a client can create containers, and what reaches the host is denied in them";

/// Why an operation is denied although the profile allows it.
const ERASES: &str =
    "clients send back the whole spec that they have read, and would erase the parts that this profile hides";

/// What opens any such operation.
const HIDES_NOTHING: &str = "`show: all` (DOCKVEIL_SHOW=all in place of another proxy) hides nothing";

/// What opens an operation that reaches the host where only some objects are shown.
const OPENS_HOST: &str = "`parameters: {ID: all}` opens one, and with it everything that is hidden";

/// What that means for a rule, and what is to be written.
const LINE_BREAKS: &str = "so a text of several lines can escape the rule; (.|\\n|\\r)* matches any text";

/// What it means if a client can edit a service of which it does not see everything.
const EDITS_SERVICES: &str = "no secrecy against a client that may change the image or the command of a service: it can run a command that \
                              prints what is hidden";

/// What it means if a client can open tunnels to BuildKit.
const BUILDKIT: &str = "tunnels to BuildKit, of which nothing is seen, filtered or logged: a client can run commands in builds, also \
                        on the network of the host, and read images, build caches and results";

/// What a policy allows and shows.
#[derive(Debug)]
pub(super) struct PolicyExposure<'p> {
    profile: &'p Profile,
    /// The ids of the operations, sorted.
    allows: Vec<&'static str>,
    shows: Vec<&'static str>,
    hides: Vec<&'static str>,
    remarks: Remarks,
}

/// Lines about a policy, a listener or the whole configuration.
#[derive(Debug, Default)]
pub(super) struct Remarks(Vec<Remark>);

/// A line about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remark {
    /// Whether it is to be feared.
    pub(super) is_warning: bool,
    /// What is to be known.
    pub(super) text: String,
}

impl Remarks {
    /// Adds what is to be known.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.0.push(Remark { is_warning: false, text: text.into() });
    }

    /// Adds what is to be feared.
    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.0.push(Remark { is_warning: true, text: text.into() });
    }

    /// Adds others.
    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Remark> {
        self.0.iter()
    }

    /// The notes, and the warnings.
    pub(super) fn to_json(&self) -> [Value; 2] {
        [false, true].map(|is_warning| {
            self.0.iter().filter(|remark| remark.is_warning == is_warning).map(|remark| json!(remark.text)).collect()
        })
    }
}

impl fmt::Display for Remarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|Remark { is_warning, text }| {
            writeln!(f, "  {}{}", if *is_warning { "warning: " } else { "" }, one_line(text))
        })
    }
}

impl<'p> PolicyExposure<'p> {
    /// What a policy allows and shows.
    pub(super) fn of(policy: &'p Policy) -> Self {
        let operations: Vec<&Operation> = policy.operations().collect();
        let mut allows: Vec<&str> = operations.iter().map(|operation| operation.id).collect();
        allows.sort_unstable();
        let classes = |shown: bool| {
            Class::ALL.iter().filter(|class| policy.shows(**class) == shown).map(|class| class.as_str()).collect()
        };
        let (shows, hides) = (classes(true), classes(false));
        Self { profile: policy.profile(), allows, shows, hides, remarks: remarks_about(policy, &operations) }
    }

    /// What to beware of.
    pub(super) fn remarks(&self) -> &Remarks {
        &self.remarks
    }

    /// As a JSON document.
    pub(super) fn to_json(&self) -> Value {
        let Self { profile, allows, shows, hides, remarks } = self;
        let [notes, warnings] = remarks.to_json();
        json!({
            "name": profile.name, "at": location(&profile.location), "about": profile.about, "allows": allows,
            "shows": shows, "hides": hides, "notes": notes, "warnings": warnings,
        })
    }
}

impl fmt::Display for PolicyExposure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = |found: &[&str]| if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
        writeln!(f, "  allows: {}", self.allows.join(", "))?;
        writeln!(f, "  shows:  {}", classes(&self.shows))?;
        // A profile that shows every class may have rules all the same.
        let is_ruled = self.profile.rules.iter().any(|rule| rule.action.hides());
        let hides =
            if self.hides.is_empty() && is_ruled { "what its rules hide".to_owned() } else { classes(&self.hides) };
        writeln!(f, "  hides:  {hides}")?;
        self.remarks.fmt(f)
    }
}

/// What there is to say of a policy beside operations and classes.
fn remarks_about(policy: &Policy, operations: &[&Operation]) -> Remarks {
    let mut remarks = Remarks::default();
    let ids = |of: &dyn Fn(&Operation) -> bool| {
        operations.iter().filter(|operation| of(operation)).map(|operation| operation.id).collect::<Vec<_>>().join(", ")
    };
    if policy.profile().show.unknown {
        remarks.warn("shows fields that are in no class file");
    }
    of_names(&mut remarks, policy);
    of_masks(&mut remarks, policy);
    of_rules(&mut remarks, policy);
    of_patterns(&mut remarks, policy);
    let mutating = ids(&|operation| operation.mutating);
    if !mutating.is_empty() {
        remarks.warn(format!("can change things: {mutating}"));
    }
    of_objects(&mut remarks, policy);
    of_erasing(&mut remarks, policy);
    of_editing(&mut remarks, policy);
    of_contents(&mut remarks, operations, policy);
    let calling = ids(&Operation::calls_out);
    if !calling.is_empty() {
        remarks.warn(format!("makes the engine call hosts that a client names: {calling}"));
    }
    let mut creating = operations.iter().filter(|operation| operation.creates_containers()).peekable();
    if creating.peek().is_some() {
        if creating.any(|operation| policy.may_reach_host(operation)) {
            remarks.warn(CREATES);
        } else {
            remarks.note(KEEPS_OFF_HOST);
        }
    }
    let filtered: Vec<&str> = operations.iter().filter_map(|operation| filtered(operation, policy)).collect();
    if !filtered.is_empty() {
        remarks.note(format!("streams filtered: {}", filtered.join(", ")));
    }
    let untouched: BTreeSet<String> = operations.iter().filter_map(|operation| untouched(operation, policy)).collect();
    for shown in untouched {
        remarks.warn(format!("passes untouched: {shown}"));
    }
    remarks
}

/// The allow-lists of a policy.
fn of_names(remarks: &mut Remarks, policy: &Policy) {
    let show = &policy.profile().show;
    for (list, class) in [
        (lists::LABELS, Class::FreeText),
        (lists::ENV, Class::Secret),
        (lists::ANNOTATIONS, Class::FreeText),
        (lists::OPTIONS, Class::Secret),
    ] {
        let globs = show.names.of(list);
        if globs.has_exclusions() || (!globs.is_empty() && !policy.shows(class)) {
            let alone = if globs.has_names_only() { "  (NAME= shows the name, not the value)" } else { "" };
            remarks.note(format!("{list} shown: {globs}{alone}"));
        }
        if globs.shows_all() {
            let rest = if show.mask { "except values that look like credentials" } else { "credentials included" };
            remarks.warn(format!("`{}: [\"*\"]` shows all {list}, {rest}", list.key()));
        }
    }
}

/// Whether credentials stay in the texts of a profile that hides secrets.
fn of_masks(remarks: &mut Remarks, policy: &Policy) {
    if !policy.profile().show.mask && !policy.shows(Class::Secret) {
        remarks.warn("`mask-values: false`: what looks like a credential is not masked in shown texts");
    }
}

/// The rules, which show or hide fields whatever their class: a line for each schema, in the order in which they apply.
fn of_rules(remarks: &mut Remarks, policy: &Policy) {
    let mut schemas: Vec<(&str, Vec<String>)> = Vec::new();
    for rule in &policy.profile().rules {
        let said = format!("{} {}", rule.action.as_str(), rule.selector.as_str());
        match schemas.iter_mut().find(|(schema, _)| *schema == rule.on) {
            Some((_, rules)) => rules.push(said),
            None => schemas.push((&rule.on, vec![said])),
        }
    }
    for (schema, rules) in schemas {
        remarks.note(format!("rules for {schema}: {}", rules.join(", ")));
    }
}

/// The rules that may leave what has line breaks: those that hide what a pattern matches, and those that show what none does.
fn of_patterns(remarks: &mut Remarks, policy: &Policy) {
    for rule in &policy.profile().rules {
        let mut patterns = rule.selector.short_patterns();
        patterns.retain(|(_, is_negated)| rule.action.hides() || *is_negated);
        patterns.dedup();
        for (pattern, _) in patterns {
            let at = &rule.location;
            remarks.warn(format!("{at}: the dot in the pattern {pattern:?} matches no line break, {LINE_BREAKS}"));
        }
    }
}

/// Which objects clients see, and what is denied because it would not be limited to them.
fn of_objects(remarks: &mut Remarks, policy: &Policy) {
    for (kind, restriction, _) in &policy.profile().objects {
        remarks.note(format!("{kind}: {restriction}"));
    }
    for (id, restrictions) in &policy.profile().bound {
        for restriction in restrictions.iter().filter(|_| policy.allows(id)) {
            remarks.note(format!("{id}: {restriction}"));
        }
    }
    let unlimited: Vec<&str> = policy.unlimited().map(|(operation, _)| operation.id).collect();
    if !unlimited.is_empty() {
        let ids = unlimited.join(", ");
        remarks.warn(format!("denied although allowed, because they are not limited to visible objects: {ids}"));
    }
    let reaching: Vec<&str> = policy.reaching_host().map(|operation| operation.id).collect();
    if !reaching.is_empty() {
        let ids = reaching.join(", ");
        let opening = match policy.profile().opened_by {
            OpenedBy::Keys => format!(" ({OPENS_HOST})"),
            OpenedBy::Variables(_) => String::new(),
        };
        remarks.warn(format!(
            "denied although allowed, because they reach the host or a hidden environment{opening}: {ids}"
        ));
    }
}

/// The operations into whose requests hidden values are put back, and what they may set all the same.
fn of_editing(remarks: &mut Remarks, policy: &Policy) {
    let editing: Vec<&Operation> = policy.editing().collect();
    if editing.is_empty() {
        return;
    }
    let ids: Vec<&str> = editing.iter().map(|operation| operation.id).collect();
    remarks.note(format!("edits: {}: hidden values are put back into what clients send back", ids.join(", ")));
    for operation in &editing {
        let settable = policy.profile().edits.settable(operation);
        if !settable.is_empty() {
            let paths: Vec<String> = settable.iter().map(|field| field.path.to_string()).collect();
            remarks.note(format!("hidden fields that {} may set: {}", operation.id, paths.join(", ")));
        }
    }
    if editing.iter().any(|operation| operation.creates_containers()) {
        remarks.warn(EDITS_SERVICES);
    }
}

/// The operations that are denied because they would erase what the profile hides.
fn of_erasing(remarks: &mut Remarks, policy: &Policy) {
    let erasing: Vec<&str> = policy.erasing().map(|operation| operation.id).collect();
    if !erasing.is_empty() {
        let restorable = policy.erasing().any(|operation| operation.edits().is_some());
        let opening = if restorable { "`edits: restore` puts these back, " } else { "" };
        remarks.warn(format!("denied although allowed: {}: {ERASES}; {opening}{HIDES_NOTHING}", erasing.join(", ")));
    }
}

/// What requests that change things may contain, if the profile says so or if it is more than known clients send.
fn of_contents(remarks: &mut Remarks, operations: &[&Operation], policy: &Policy) {
    for operation in operations.iter().filter(|operation| operation.mutating) {
        let contents = policy.profile().contents(operation);
        let beyond = contents.beyond(&RequestContents::usual(operation));
        if !beyond.is_empty() {
            let (id, beyond) = (operation.id, beyond.join(", "));
            remarks.warn(format!("{id} can have more than known clients send: {beyond}"));
        } else if contents.location.is_some() {
            let names = contents.names();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            remarks.note(format!("parameters of {}: {names}", operation.id));
        }
    }
}

/// The name of the stream that an operation returns, if its records are filtered.
fn filtered(operation: &Operation, policy: &Policy) -> Option<&'static str> {
    let profile = policy.profile();
    let (stream, name) = match operation.response {
        ResponseKind::Stream(StreamKind::Events) => (profile.events, "events"),
        ResponseKind::Stream(StreamKind::Stats) => (profile.stats, "stats"),
        ResponseKind::Document(_)
        | ResponseKind::Array(_)
        | ResponseKind::Ping
        | ResponseKind::Text
        | ResponseKind::Empty
        | ResponseKind::Stream(StreamKind::Logs | StreamKind::Progress | StreamKind::Wait)
        | ResponseKind::Hijack
        | ResponseKind::Http2
        | ResponseKind::WebSocket
        | ResponseKind::Tar
        | ResponseKind::Octets => return None,
    };
    (stream == StreamFiltering::Filtered).then_some(name)
}

/// What passes untouched in the response of an operation.
fn untouched(operation: &Operation, policy: &Policy) -> Option<String> {
    let profile = policy.profile();
    let shown = match operation.response {
        ResponseKind::Stream(StreamKind::Events) if profile.events == StreamFiltering::Filtered => None,
        ResponseKind::Stream(StreamKind::Events) => return Some(events(policy)),
        ResponseKind::Stream(StreamKind::Logs) => Some("logs, with whatever programs print"),
        ResponseKind::Stream(StreamKind::Stats) if profile.stats == StreamFiltering::Filtered => None,
        ResponseKind::Stream(StreamKind::Stats) => {
            Some("stats as a stream: numbers, names of containers and interfaces")
        }
        ResponseKind::Stream(StreamKind::Progress) => {
            let errors = if policy.shows_errors_in_full() { " and error texts" } else { "" };
            return Some(format!("progress of pulls and builds, with image names{errors}"));
        }
        ResponseKind::Hijack | ResponseKind::WebSocket => {
            Some("attached streams: everything that a process prints and a client types")
        }
        ResponseKind::Http2 => Some(BUILDKIT),
        ResponseKind::Tar | ResponseKind::Octets => {
            Some("archives and profiler output, with files, environments and memory")
        }
        ResponseKind::Text => Some("debug pages of the engine"),
        ResponseKind::Document(_)
        | ResponseKind::Array(_)
        | ResponseKind::Ping
        | ResponseKind::Empty
        | ResponseKind::Stream(StreamKind::Wait) => None,
    };
    shown.map(str::to_owned)
}

/// What untouched events show, above all what the profile hides everywhere else.
fn events(policy: &Policy) -> String {
    const LABELS: &str = "every label of every container and image";
    const COMMANDS: &str = "the command lines of execs and health probes";
    let hidden = match (policy.shows(Class::FreeText), policy.shows(Class::Command)) {
        (true, true) => return format!("events, with {LABELS} and {COMMANDS}"),
        (false, false) => format!("{LABELS} and {COMMANDS}"),
        (false, true) => LABELS.to_owned(),
        (true, false) => COMMANDS.to_owned(),
    };
    format!("events, with {hidden}, which this profile hides elsewhere; `events: filtered` hides them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profiles;

    /// The summary of a profile with these lines.
    fn summary_of(lines: &str) -> String {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let profiles = Profiles::parse(&[("p.yaml", &format!("profile: p\n{lines}"))], &catalogue).unwrap();
        PolicyExposure::of(&Policy::compile(profiles.get("p").unwrap(), &catalogue).unwrap()).to_string()
    }

    /// The lines about streams, of a profile with these lines.
    #[track_caller]
    fn check(lines: &str, expected: &[&str]) {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let text = format!("profile: p\nallow: [ContainerStats, SystemEvents]\n{lines}");
        let profiles = Profiles::parse(&[("p.yaml", &text)], &catalogue).unwrap();
        let policy = Policy::compile(profiles.get("p").unwrap(), &catalogue).unwrap();
        let summary = PolicyExposure::of(&policy).to_string();
        let found: Vec<&str> = summary
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter(|line| ["untouched", "filtered"].iter().any(|word| line.contains(word)))
            .collect();
        assert_eq!(found, expected, "{lines}");
    }

    #[test]
    fn a_pattern_that_line_breaks_escape_is_warned_of() {
        let count = |action: &str, test: &str| {
            let rule = format!("  - {{on: ContainerInspect, {action}: \"$.Config.Env[?{test}]\"}}\n");
            let summary = summary_of(&format!("allow: [ContainerInspect]\nshow: all\nrules:\n{rule}"));
            let warned: Vec<&str> = summary.lines().filter(|line| line.contains("line break")).collect();
            assert!(warned.iter().all(|line| line.contains("warning: p.yaml:5:5: ")), "{summary}");
            warned.len()
        };
        for (action, test, expected) in [
            ("remove", "match(@, 'S.*')", 1),
            ("blank", "search(@, '^S.*=')", 1),
            ("mask", "@ == 'a' || match(@, 'A=.*') && match(@, 'B=.')", 2),
            ("hash", "!match(@, 'S.*')", 1),
            ("keep", "!match(@, 'S.*')", 1),
            ("keep", "match(@, 'S.*')", 0),
            ("remove", "match(@, 'S(.|\\\\n|\\\\r)*')", 0),
            ("remove", "match(@, 'S(.|\\\\n)*')", 1),
            ("remove", "match(@, 'S[.]a')", 0),
            ("remove", "match(@, 'S[^=]*')", 0),
            ("remove", "@ == 'S.*'", 0),
        ] {
            assert_eq!(count(action, test), expected, "{action} {test}");
        }
    }

    #[test]
    fn nothing_is_hidden_only_if_no_rule_hides() {
        for (rules, hides) in [
            ("", "nothing"),
            ("rules: [{on: ContainerInspect, keep: $.Name}]\n", "nothing"),
            ("rules: [{on: ContainerInspect, remove: $.NetworkSettings.Networks.a}]\n", "what its rules hide"),
        ] {
            let summary = summary_of(&format!("allow: [ContainerInspect]\nshow: all\n{rules}"));
            assert!(summary.contains(&format!("  hides:  {hides}\n")), "{summary}");
        }
    }

    /// Two profiles with the same classes and other rules show something else, and so do their summaries.
    #[test]
    fn rules_and_masks_that_are_off_are_told() {
        let rules = "\
rules:
  - {on: ContainerInspect, keep: $.Config.Env}
  - {on: ContainerList, remove: \"$.Mounts[*]\"}
  - {on: ContainerInspect, mask: \"$.Config.Env[*]\"}
";
        let summary = summary_of(&format!("allow: [ContainerInspect]\n{rules}"));
        for expected in [
            "  rules for ContainerInspect: keep $.Config.Env, mask $.Config.Env[*]\n",
            "  rules for ContainerSummary: remove $.Mounts[*]\n",
        ] {
            assert!(summary.contains(expected), "{summary}");
        }
        const UNMASKED: &str =
            "warning: `mask-values: false`: what looks like a credential is not masked in shown texts";
        for (lines, is_warned) in [
            ("", false),
            ("mask-values: false\n", true),
            ("show: all\n", false),
            ("hide: [secret]\nmask-values: false\n", true),
        ] {
            let summary = summary_of(&format!("allow: [ContainerInspect]\n{lines}"));
            assert_eq!(summary.contains(UNMASKED), is_warned, "{summary}");
        }
    }

    #[test]
    fn a_tunnel_to_buildkit_is_warned_of() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        for (allowed, is_warned) in [("Grpc", true), ("Session", true), ("ImageBuild, ExecStart", false)] {
            let text = format!("profile: p\nallow: [{allowed}]\n");
            let profiles = Profiles::parse(&[("p.yaml", &text)], &catalogue).unwrap();
            let summary =
                PolicyExposure::of(&Policy::compile(profiles.get("p").unwrap(), &catalogue).unwrap()).to_string();
            let warning =
                "  warning: passes untouched: tunnels to BuildKit, of which nothing is seen, filtered or logged:";
            assert_eq!(summary.contains(warning), is_warned, "{summary}");
        }
    }

    #[test]
    fn a_list_that_shows_every_name_is_warned_of() {
        let warned = |lines: &str| {
            let catalogue = crate::api::catalogue::built_in().unwrap();
            let text = format!("profile: p\nallow: [ContainerInspect]\n{lines}");
            let profiles = Profiles::parse(&[("p.yaml", &text)], &catalogue).unwrap();
            let policy = Policy::compile(profiles.get("p").unwrap(), &catalogue).unwrap();
            let summary = PolicyExposure::of(&policy).to_string();
            summary.lines().filter_map(|line| line.strip_prefix("  warning: ")).map(str::to_owned).collect::<Vec<_>>()
        };
        for (lines, expected) in [
            ("labels: [\"*\"]", "`labels: [\"*\"]` shows all labels, except values that look like credentials"),
            ("env: [TZ, \"**\"]", "`env: [\"*\"]` shows all variables, except values that look like credentials"),
            ("env: [\"*\"]\nmask-values: false", "`env: [\"*\"]` shows all variables, credentials included"),
            (
                "show: [free-text]\nlabels: [\"*\"]",
                "`labels: [\"*\"]` shows all labels, except values that look like credentials",
            ),
        ] {
            let warned = warned(lines);
            let of_lists: Vec<&String> = warned.iter().filter(|warning| !warning.starts_with("`mask-values")).collect();
            assert_eq!(of_lists, [expected], "{lines}");
        }
        assert_eq!(warned("labels: [\"traefik.*\", \"*.enable\"]\nenv: [TZ]"), Vec::<String>::new());
    }

    /// The lines about requests that change things or reach other hosts, of a profile with these lines.
    #[track_caller]
    fn check_requests(lines: &str, expected: &[&str]) {
        let summary = summary_of(lines);
        let found: Vec<&str> = summary
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter(|line| ["can ", "parameters", "a client names"].iter().any(|word| line.contains(word)))
            .filter(|line| !line.contains("passes untouched"))
            .collect();
        assert_eq!(found, expected, "{lines}");
    }

    #[test]
    fn warnings_say_what_a_request_can_do() {
        const PULLS: &str = "warning: makes the engine call hosts that a client names: ImageCreate";
        const CHANGES: &str = "warning: can change things: ImageCreate";
        check_requests("allow: [ImageCreate]\n", &[CHANGES, PULLS]);
        check_requests(
            "allow: [ImageCreate]\nparameters: {ImageCreate: [fromImage]}\n",
            &[CHANGES, "parameters of ImageCreate: fromImage", PULLS],
        );
        check_requests(
            "allow: [ImageCreate]\nparameters: {ImageCreate: all}\n",
            &[
                CHANGES,
                "warning: ImageCreate can have more than known clients send: fromSrc, repo, message, changes, registry, a body",
                PULLS,
            ],
        );
        check_requests(
            "allow: [ContainerRestart]\nparameters: {ContainerRestart: []}\n",
            &["warning: can change things: ContainerRestart", "parameters of ContainerRestart: none"],
        );
        check_requests(
            "allow: [ImageSearch, DistributionInspect, ImageList]\n",
            &["warning: makes the engine call hosts that a client names: DistributionInspect, ImageSearch"],
        );
        check_requests(
            "allow: [ContainerCreate]\n",
            &[
                "warning: can change things: ContainerCreate",
                "warning: a client can create a container that mounts the whole host, and read everything",
            ],
        );
        // What is hidden cannot be reached by way of the host, unless the profile says so.
        const SOME: &str = "allow: [ContainerCreate]\ncontainers: {only: [{label: a}]}\n";
        const CREATES: &str = "warning: can change things: ContainerCreate";
        check_requests(SOME, &[CREATES, "a client can create containers, and what reaches the host is denied in them"]);
        check_requests(
            &format!("{SOME}parameters: {{ContainerCreate: all}}\n"),
            &[
                CREATES,
                "parameters of ContainerCreate: name, platform, a body",
                "warning: a client can create a container that mounts the whole host, and read everything",
            ],
        );
        // A service is containers too.
        check_requests(
            "allow: [ServiceUpdate]\nshow: all\n",
            &[
                "warning: can change things: ServiceUpdate",
                "warning: makes the engine call hosts that a client names: ServiceUpdate",
                "warning: a client can create a container that mounts the whole host, and read everything",
            ],
        );
    }

    /// An update of a service that would erase what is hidden is denied, so a client can change nothing by it.
    #[test]
    fn what_would_erase_hidden_parts_is_said_to_be_denied() {
        for (lines, expected) in [
            ("allow: [NodeUpdate, ServiceUpdate]\n", "  allows: \n"),
            ("allow: [NodeUpdate, ServiceUpdate]\nshow: all\nmask-values: true\n", "  allows: \n"),
            (
                "allow: [NodeUpdate, ServiceUpdate, ServiceList]\nshow: all\nenv: [\"!A\"]\n",
                "  allows: NodeUpdate, ServiceList\n",
            ),
        ] {
            let summary = summary_of(lines);
            let denied = if lines.contains("env") { "ServiceUpdate" } else { "NodeUpdate, ServiceUpdate" };
            assert!(summary.starts_with(expected), "{lines}: {summary}");
            assert!(
                summary.contains(&format!(
                    "  warning: denied although allowed: {denied}: {ERASES}; `edits: restore` puts"
                )),
                "{summary}"
            );
            assert_eq!(summary.contains("can change things: NodeUpdate\n"), lines.contains("env"), "{summary}");
            assert!(!summary.contains(CREATES), "{summary}");
        }
        assert!(!summary_of("allow: [NodeUpdate]\nshow: all\n").contains("denied"));
        // Nothing is put back into the body of this one.
        assert!(summary_of("allow: [VolumeUpdate]\n").contains(&format!("VolumeUpdate: {ERASES}; {HIDES_NOTHING}\n")));
    }

    #[test]
    fn warnings_say_what_untouched_streams_show() {
        const STATS: &str = "warning: passes untouched: stats as a stream: numbers, names of containers and interfaces";
        check(
            "show: [state]\n",
            &[
                "warning: passes untouched: events, with every label of every container and image and the command lines of \
                 execs and health probes, which this profile hides elsewhere; `events: filtered` hides them",
                STATS,
            ],
        );
        check(
            "show: [free-text]\n",
            &[
                "warning: passes untouched: events, with the command lines of execs and health probes, which this profile \
                 hides elsewhere; `events: filtered` hides them",
                STATS,
            ],
        );
        check(
            "hide: [free-text]\n",
            &[
                "warning: passes untouched: events, with every label of every container and image, which this profile hides \
                 elsewhere; `events: filtered` hides them",
                STATS,
            ],
        );
        check(
            "show: all\nstats: filtered\n",
            &[
                "streams filtered: stats",
                "warning: passes untouched: events, with every label of every container and image and the command lines of \
                 execs and health probes",
            ],
        );
        check("events: filtered\nstats: filtered\n", &["streams filtered: stats, events"]);
    }
}
