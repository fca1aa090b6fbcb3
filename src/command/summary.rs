//! What a configuration exposes.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use crate::api::{ApiRange, Operation, ResponseKind, StreamKind, lists};
use crate::config::{ClientLimits, ClientRule, Config, DocumentMemory, Limits, Listener, ListenerLimits, is_loopback};
use crate::policy::Policy;
use crate::profile::{RequestContents, StreamFiltering};
use crate::schema::Class;
use crate::socket::Address;

/// What it means if a client can create containers.
const CREATES: &str = "a client can create a container that mounts the whole host, and read everything";
/// Why an operation is denied although the profile allows it.
const ERASES: &str =
    "clients send back the whole spec that they have read, and would erase the parts that this profile hides";
/// What opens any such operation.
const HIDES_NOTHING: &str = "`show: all` (DOCKVEIL_SHOW=all in place of another proxy) hides nothing";

/// What it means if a client can edit a service of which it does not see everything.
const EDITS_SERVICES: &str = "no secrecy against a client that may change the image or the command of a service: it can run a command that \
                              prints what is hidden";

/// What it means if a client can open tunnels to BuildKit.
const BUILDKIT: &str = "tunnels to BuildKit, of which nothing is seen, filtered or logged: a client can run commands in builds, also \
                        on the network of the host, and read images, build caches and results";

/// What the clients of each listener may request and see.
pub fn summary(config: &Config) -> String {
    let mut text = format!("engine  {}\n", config.upstream);
    of_memory(&mut text, &config.limits);
    of_versions(&mut text, &config.api);
    for note in &config.startup.notes {
        line(&mut text, format_args!("{note}"));
    }
    // Listeners that share a policy are one group.
    for listeners in config.listeners.chunk_by(|one, next| Arc::ptr_eq(&one.policy, &next.policy)) {
        text.push('\n');
        for listener in listeners {
            match &listener.clients {
                Some(rules) => of_rules(&mut text, listener, rules),
                None => {
                    line(&mut text, format_args!("listen  {}  profile {}", listener.address, listener.policy.name()))
                }
            }
        }
        let Some(first) = listeners.first() else { continue };
        if first.clients.is_none() {
            text.push_str(&of_policy(&first.policy));
        }
        listeners.iter().for_each(|listener| of_access(&mut text, listener));
    }
    of_listed(&mut text, config);
    text.push('\n');
    text
}

/// The API versions that clients may use, if the configuration says so.
fn of_versions(text: &mut String, api: &ApiRange) {
    if *api != ApiRange::default() {
        let pin = api.pin().map(|pin| format!(", {pin} for requests that name none")).unwrap_or_default();
        line(text, format_args!("api     {} to {}{pin}", api.min(), api.max()));
    }
}

/// How much memory documents may use.
fn of_memory(text: &mut String, limits: &Limits) {
    let memory = DocumentMemory::of(limits);
    line(text, format_args!("memory  {memory}"));
    // A document, and what the filter leaves of it; a part is for small ones alone.
    if memory.bytes / 5 * 2 < limits.element.bytes() {
        line(
            text,
            format_args!(
                "  warning: a document of more than two fifths of that is withheld, whatever `element` allows"
            ),
        );
    }
}

/// The clients that a listener lists, in the order in which their lines are looked at.
fn of_rules(text: &mut String, listener: &Listener, rules: &[ClientRule]) {
    line(text, format_args!("listen  {}  its clients:", listener.address));
    for rule in rules {
        line(text, format_args!("  {rule}"));
    }
    line(text, format_args!("  all others are denied"));
}

/// The profiles of clients that listeners list, each once.
fn of_listed(text: &mut String, config: &Config) {
    let mut known: Vec<&Arc<Policy>> = Vec::new();
    for policy in config.listeners.iter().filter(|listener| listener.clients.is_some()).flat_map(Listener::policies) {
        if !known.iter().any(|known| Arc::ptr_eq(known, policy)) {
            known.push(policy);
            line(text, format_args!("\nprofile {}", policy.name()));
            text.push_str(&of_policy(policy));
        }
    }
}

/// How a listener may be reached.
fn of_access(text: &mut String, listener: &Listener) {
    let address = &listener.address;
    if !listener.hosts.is_empty() {
        line(text, format_args!("  host names at {address}: {}", listener.hosts.join(", ")));
    }
    if let Some(engine) = &listener.upstream {
        line(text, format_args!("  engine of {address}: {engine}"));
    }
    if let Some(connections) = listener.connections {
        line(text, format_args!("  connections at {address}: {connections} at most"));
    }
    let ListenerLimits { streams, requests, per_client } = &listener.limits;
    if let Some(streams) = streams {
        line(text, format_args!("  streams at {address}: {streams} at most"));
    }
    if let Some(requests) = requests {
        line(text, format_args!("  requests at {address}: {requests} at most"));
    }
    if *per_client != ClientLimits::default() {
        line(text, format_args!("  each client at {address}: {per_client}"));
    }
    if !listener.origins.is_empty() {
        line(text, format_args!("  origins at {address}: {}", listener.origins.join(", ")));
    }
    let Address::Tcp { host, .. } = address else { return };
    match &listener.clients {
        None if !is_loopback(host) => {
            line(text, format_args!("  warning: anyone who reaches {address} can use it: there is no authentication"));
        }
        Some(rules) if rules.iter().any(|rule| !rule.selector.addresses.is_empty()) => {
            let rest = "whoever can send from such an address, or forge it, is that client";
            line(text, format_args!("  warning: an address is no proof of identity: {rest}"));
        }
        Some(_) | None => {}
    }
    if listener.hosts.is_empty() {
        let rest = "a web page can reach it by DNS rebinding";
        line(text, format_args!("  warning: {address} accepts any host name, because no `hosts` are listed: {rest}"));
    }
}

/// What one policy allows and shows.
pub(super) fn of_policy(policy: &Policy) -> String {
    let mut text = String::new();
    let operations: Vec<&Operation> = policy.operations().collect();
    let mut ids: Vec<&str> = operations.iter().map(|operation| operation.id).collect();
    ids.sort_unstable();
    line(&mut text, format_args!("  allows: {}", ids.join(", ")));
    let classes = |shown: bool| {
        let found: Vec<&str> =
            Class::ALL.iter().filter(|class| policy.shows(**class) == shown).map(|class| class.as_str()).collect();
        if found.is_empty() { "nothing".to_owned() } else { found.join(", ") }
    };
    line(&mut text, format_args!("  shows:  {}", classes(true)));
    line(&mut text, format_args!("  hides:  {}", classes(false)));
    if policy.profile().show.unknown {
        line(&mut text, format_args!("  warning: shows fields that are in no class file"));
    }
    of_names(&mut text, policy);
    let mutating: Vec<&str> =
        operations.iter().filter(|operation| operation.mutating).map(|operation| operation.id).collect();
    if !mutating.is_empty() {
        line(&mut text, format_args!("  warning: can change things: {}", mutating.join(", ")));
    }
    of_objects(&mut text, policy);
    of_erasing(&mut text, policy);
    of_editing(&mut text, policy);
    of_contents(&mut text, &operations, policy);
    let calling: Vec<&str> =
        operations.iter().filter(|operation| operation.calls_out()).map(|operation| operation.id).collect();
    if !calling.is_empty() {
        let calling = calling.join(", ");
        line(&mut text, format_args!("  warning: makes the engine call hosts that a client names: {calling}"));
    }
    if operations.iter().any(|operation| operation.creates_containers()) {
        line(&mut text, format_args!("  warning: {CREATES}"));
    }
    let filtered: Vec<&str> = operations.iter().filter_map(|operation| filtered(operation, policy)).collect();
    if !filtered.is_empty() {
        line(&mut text, format_args!("  streams filtered: {}", filtered.join(", ")));
    }
    let untouched: BTreeSet<String> = operations.iter().filter_map(|operation| untouched(operation, policy)).collect();
    for shown in untouched {
        line(&mut text, format_args!("  warning: passes untouched: {shown}"));
    }
    text
}

/// The allow-lists of a policy.
fn of_names(text: &mut String, policy: &Policy) {
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
            line(text, format_args!("  {list} shown: {globs}{alone}"));
        }
        if globs.shows_all() {
            let rest = if show.mask { "except values that look like credentials" } else { "credentials included" };
            line(text, format_args!("  warning: `{}: [\"*\"]` shows all {list}, {rest}", list.key()));
        }
    }
}

/// Which objects clients see, and what is denied because it would not be limited to them.
fn of_objects(text: &mut String, policy: &Policy) {
    for (kind, restriction, _) in &policy.profile().objects {
        line(text, format_args!("  {kind}: {restriction}"));
    }
    for (id, restrictions) in &policy.profile().bound {
        for restriction in restrictions.iter().filter(|_| policy.allows(id)) {
            line(text, format_args!("  {id}: {restriction}"));
        }
    }
    let unlimited: Vec<&str> = policy.unlimited().map(|(operation, _)| operation.id).collect();
    if !unlimited.is_empty() {
        let ids = unlimited.join(", ");
        line(
            text,
            format_args!("  warning: denied although allowed, because they are not limited to visible objects: {ids}"),
        );
    }
}

/// The operations into whose requests hidden values are put back, and what they may set all the same.
fn of_editing(text: &mut String, policy: &Policy) {
    let editing: Vec<&Operation> = policy.editing().collect();
    if editing.is_empty() {
        return;
    }
    let ids: Vec<&str> = editing.iter().map(|operation| operation.id).collect();
    line(text, format_args!("  edits: {}: hidden values are put back into what clients send back", ids.join(", ")));
    for operation in &editing {
        let settable = policy.profile().edits.settable(operation);
        if !settable.is_empty() {
            let paths: Vec<String> = settable.iter().map(|field| field.path.to_string()).collect();
            line(text, format_args!("  hidden fields that {} may set: {}", operation.id, paths.join(", ")));
        }
    }
    if editing.iter().any(|operation| operation.creates_containers()) {
        line(text, format_args!("  warning: {EDITS_SERVICES}"));
    }
}

/// The operations that are denied because they would erase what the profile hides.
fn of_erasing(text: &mut String, policy: &Policy) {
    let erasing: Vec<&str> = policy.erasing().map(|operation| operation.id).collect();
    if !erasing.is_empty() {
        let restorable = policy.erasing().any(|operation| operation.edits().is_some());
        let opening = if restorable { "`edits: restore` puts these back, " } else { "" };
        line(
            text,
            format_args!(
                "  warning: denied although allowed: {}: {ERASES}; {opening}{HIDES_NOTHING}",
                erasing.join(", ")
            ),
        );
    }
}

/// What requests that change things may contain, if the profile says so or if it is more than known clients send.
fn of_contents(text: &mut String, operations: &[&Operation], policy: &Policy) {
    for operation in operations.iter().filter(|operation| operation.mutating) {
        let contents = policy.profile().contents(operation);
        let beyond = contents.beyond(&RequestContents::usual(operation));
        if !beyond.is_empty() {
            let (id, beyond) = (operation.id, beyond.join(", "));
            line(text, format_args!("  warning: {id} can have more than known clients send: {beyond}"));
        } else if contents.location.is_some() {
            let names = contents.names();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            line(text, format_args!("  parameters of {}: {names}", operation.id));
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
        ResponseKind::Stream(StreamKind::Wait) => Some("exit codes of containers, and their error texts"),
        ResponseKind::Hijack | ResponseKind::WebSocket => {
            Some("attached streams: everything that a process prints and a client types")
        }
        ResponseKind::Http2 => Some(BUILDKIT),
        ResponseKind::Tar | ResponseKind::Octets => {
            Some("archives and profiler output, with files, environments and memory")
        }
        ResponseKind::Text => Some("debug pages of the engine"),
        ResponseKind::Document(_) | ResponseKind::Array(_) | ResponseKind::Ping | ResponseKind::Empty => None,
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

/// Appends a line.
fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = text.write_fmt(arguments);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profiles;

    /// The summary of a profile with these lines.
    fn summary_of(lines: &str) -> String {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let profiles = Profiles::parse(&[("p.yaml", &format!("profile: p\n{lines}"))], &catalogue).unwrap();
        of_policy(&Policy::compile(profiles.get("p").unwrap(), &catalogue).unwrap())
    }

    /// The lines about streams, of a profile with these lines.
    #[track_caller]
    fn check(lines: &str, expected: &[&str]) {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let text = format!("profile: p\nallow: [ContainerStats, SystemEvents]\n{lines}");
        let profiles = Profiles::parse(&[("p.yaml", &text)], &catalogue).unwrap();
        let policy = Policy::compile(profiles.get("p").unwrap(), &catalogue).unwrap();
        let summary = of_policy(&policy);
        let found: Vec<&str> = summary
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter(|line| ["untouched", "filtered"].iter().any(|word| line.contains(word)))
            .collect();
        assert_eq!(found, expected, "{lines}");
    }

    #[test]
    fn a_tunnel_to_buildkit_is_warned_of() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        for (allowed, is_warned) in [("Grpc", true), ("Session", true), ("ImageBuild, ExecStart", false)] {
            let text = format!("profile: p\nallow: [{allowed}]\n");
            let profiles = Profiles::parse(&[("p.yaml", &text)], &catalogue).unwrap();
            let summary = of_policy(&Policy::compile(profiles.get("p").unwrap(), &catalogue).unwrap());
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
            let summary = of_policy(&policy);
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
            assert_eq!(warned(lines), [expected], "{lines}");
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
