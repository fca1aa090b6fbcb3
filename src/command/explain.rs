//! `explain`: shows what happens to one request, and which line decides it.

use std::io::Write;

mod asking;
mod explanation;

use self::asking::AskedProfile;
use self::explanation::{Decided, Explanation, NamedEntry, ShownDocument};
use super::{CommandError, FAILED, OK, json, load, profile_named};
use crate::api::objects::PathObject;
use crate::api::{ApiVersion, Operation, errors, lists};
use crate::cli::{self, Environment, Output};
use crate::config::{
    ConfiguredApi, ConfiguredListener, DEFAULT_PROFILE, configured_api, configured_head_limit, configured_listeners,
};
use crate::filter::{Explained, NamesShown, RecordFilter, Treatment};
use crate::policy::{Decision, Denial, Policy};
use crate::profile::{ListedName, Profile, StreamFiltering};
use crate::quoting;
use crate::route::{self, Dropped, NO_SUCH_HOST, Route, answers_to};
use crate::schema::{Catalogue, Class, NameList};
use crate::yaml::{Diagnostic, Location};

/// Explains the request in `arguments`.
///
/// # Errors
/// [`CommandError`]; what was found before it is written.
pub fn explain(
    arguments: &cli::ExplainArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<u8, CommandError> {
    let mut report = Explanation::default();
    let done = explain_asked(arguments, environment, &mut report);
    match arguments.output.output {
        Output::Text => write!(out, "{report}")?,
        // An error has a document of its own.
        Output::Json if done.is_err() => {}
        Output::Json => json::write(&report.to_json(), out)?,
    }
    done
}

fn explain_asked(
    arguments: &cli::ExplainArgs,
    environment: &Environment,
    report: &mut Explanation,
) -> Result<u8, CommandError> {
    let client = asking::described(&arguments.client)?;
    let filters = load(&arguments.files, environment)?;
    let api = configured_api(&arguments.files, environment)?;
    let request = arguments.request.join(" ");
    let (method, target) = method_and_target(&request);
    let head_limit = configured_head_limit(&arguments.files, environment)?.bytes();
    // The server looks at nothing else of such a request.
    if let Some((status, text)) = route::refused_head(method, target, head_limit) {
        report.say("route", "none");
        report.decide(Decided::Refused(status), text);
        return Ok(FAILED);
    }
    let hosts: Vec<String> = arguments.host.iter().cloned().chain(route::host(target)).collect();
    let listeners = if arguments.profile.is_none() || !hosts.is_empty() {
        configured_listeners(&arguments.files, environment)?
    } else {
        Vec::new()
    };
    let asked = match (&arguments.profile, &client) {
        (Some(name), _) => AskedProfile { name: name.clone(), listeners: &listeners },
        (None, None) => asking::first(&listeners, report)?,
        (None, Some(client)) => match asking::find(client, &listeners, report)? {
            Some(asked) => asked,
            None => return Ok(OK),
        },
    };
    let policy = Policy::compile(profile_named(&filters, &asked.name)?, &filters.catalogue)?;
    if arguments.profile.is_none() && (asked.name != DEFAULT_PROFILE || client.is_some()) {
        report.say("profile", asked.name.clone());
    }
    if !write_hosts(&hosts, asked.listeners, &asked.name, report)? {
        report.decide(Decided::Refused(403), NO_SUCH_HOST);
        return Ok(OK);
    }
    explain_route(&request, &policy, &filters.catalogue, &api, report)
}

/// Which listeners of a profile answer to the hosts that a request names. Returns whether one does, or none has the profile.
fn write_hosts(
    hosts: &[String],
    listeners: &[ConfiguredListener],
    profile: &str,
    report: &mut Explanation,
) -> Result<bool, CommandError> {
    if hosts.is_empty() {
        return Ok(true);
    }
    let (mut is_served, mut is_answered) = (false, false);
    let named: Vec<&str> = hosts.iter().map(|host| quoting::value(host)).collect();
    for listener in listeners.iter().filter(|listener| listener.profiles().any(|name| name == profile)) {
        let answers = hosts.iter().all(|host| answers_to(&listener.hosts, host));
        (is_served, is_answered) = (true, is_answered || answers);
        let verb = if answers { "answers to" } else { "does not answer to" };
        let listed = if listener.hosts.is_empty() { "any".to_owned() } else { listener.hosts.join(", ") };
        report.say("host", format!("{} {verb} {}  (`hosts`: {listed})", listener.address, named.join(" and ")));
    }
    if !is_served {
        report.say("host", format!("no listener of the configuration has the profile {profile}"));
    }
    Ok(is_answered || !is_served)
}

/// The method and the target of a request line. The method may be missing, and so may the protocol.
fn method_and_target(line: &str) -> (&str, &str) {
    let line = line.trim();
    let line = [" HTTP/1.1", " HTTP/1.0"].iter().find_map(|protocol| line.strip_suffix(protocol)).unwrap_or(line);
    match line.split_once(' ') {
        Some((method, target)) if method.bytes().all(|byte| byte.is_ascii_alphabetic()) => (method, target.trim()),
        Some(_) | None => ("GET", line.trim()),
    }
}

/// Explains what a policy does with a request line: a method and a target. `api` are the versions that clients may use.
///
/// # Errors
/// [`CommandError`].
pub fn explain_request(
    request: &str,
    policy: &Policy,
    catalogue: &Catalogue,
    api: &ConfiguredApi,
    out: &mut dyn Write,
) -> Result<u8, CommandError> {
    let mut report = Explanation::default();
    let done = explain_route(request, policy, catalogue, api, &mut report);
    write!(out, "{report}")?;
    done
}

fn explain_route(
    request: &str,
    policy: &Policy,
    catalogue: &Catalogue,
    api: &ConfiguredApi,
    report: &mut Explanation,
) -> Result<u8, CommandError> {
    let (method, target) = method_and_target(request);
    let mut route = match route::find(method, target) {
        Ok(Some(route)) => route,
        Ok(None) => {
            report.say("route", "none");
            report.decide(Decided::Refused(404), "no such operation");
            return Ok(FAILED);
        }
        Err(error) => {
            report.say("route", "none");
            report.decide(Decided::Refused(error.status()), error.public());
            return Ok(FAILED);
        }
    };
    let asked: Vec<&'static str> = route.query.pairs().map(|(name, _)| name).collect();
    policy.trim(&mut route);
    write_route(&route, api, report)?;
    write_dropped(target, &route, &asked, report)?;
    if policy.lookup(&route).is_some() {
        report.say("lookup", "the engine is asked first: only the exact name or the whole id is found");
    }
    write_objects(&route, policy, report)?;
    // A denied request is denied in any version.
    if !matches!(policy.decide(&route), Decision::Deny(_)) && write_refused_version(&route, api, report)? {
        return Ok(FAILED);
    }
    write_decision(&route, policy, catalogue, report)?;
    Ok(OK)
}

/// Writes that clients may not use the version that a request names. Returns whether that is so.
fn write_refused_version(route: &Route, api: &ConfiguredApi, report: &mut Explanation) -> Result<bool, CommandError> {
    let (min, max) = (api.range.min(), api.range.max());
    let (text, key) = match route.version {
        Some(version) if version > max => (errors::too_new(version, max), "max"),
        Some(version) if version < min => (errors::too_old(version, min), "min"),
        Some(_) | None => return Ok(false),
    };
    report.decide(Decided::Refused(400), text);
    match api.lines.get(key) {
        Some(location) => report.detail(format!("by {location} (`api: {{{key}}}`)")),
        None => report.detail(format!("{max} is the newest version that this program knows")),
    }
    Ok(true)
}

/// Writes which objects the request can be about, and the lines that say so.
fn write_objects(route: &Route, policy: &Policy, report: &mut Explanation) -> Result<(), CommandError> {
    let Some(objects) = policy.objects(route.operation) else { return Ok(()) };
    let kind = objects.path.map(PathObject::kind);
    for (kind, restriction, location) in policy.profile().objects.iter().filter(|(of, ..)| Some(*of) == kind) {
        report.say("objects", format!("{kind}: {restriction} ({location}); others are answered like none"));
    }
    for restriction in policy.bound(route.operation) {
        let line = policy.profile().allow.get(route.operation.id);
        let line = line.map(|location| format!(" ({location})")).unwrap_or_default();
        report.say("objects", format!("{restriction}{line}; others are denied"));
    }
    let is_changed = objects.answer.is_some_and(|answer| policy.visibility().changes(answer));
    if is_changed {
        report.say("objects", "the answer has no trace of objects that the profile does not show");
    }
    Ok(())
}

/// Writes what a policy decides about a route, and why.
fn write_decision(
    route: &Route,
    policy: &Policy,
    catalogue: &Catalogue,
    report: &mut Explanation,
) -> Result<(), CommandError> {
    let (profile, operation) = (policy.profile(), route.operation);
    match policy.decide(route) {
        Decision::Deny(Denial::NotAllowed) => {
            report.decide(Decided::Refused(403), policy.refusal(route, Denial::NotAllowed).public());
            report.detail(format!("the profile is {}", profile.location));
            if let Some(location) = profile.deny.get(operation.id) {
                report.detail(format!("denied by {location}"));
            }
            if !operation.about.is_empty() {
                report.detail(operation.about);
            }
        }
        Decision::Deny(Denial::Erases) => {
            report.decide(Decided::Refused(403), policy.refusal(route, Denial::Erases).public());
            write_erased(operation, profile, catalogue, report)?;
        }
        Decision::Deny(denial @ Denial::Parameter(_)) => {
            report.decide(Decided::Refused(403), policy.refusal(route, denial).public());
            match profile.parameters.get(operation.id).and_then(|contents| contents.location.as_ref()) {
                Some(location) => report.detail(format!("by {location}")),
                None => report.detail("no known client sends it, and no line of `parameters` names it"),
            }
        }
        Decision::Deny(
            denial @ (Denial::Body
            | Denial::Oracle
            | Denial::Pattern
            | Denial::Filters
            | Denial::Place
            | Denial::Name
            | Denial::Unlimited(_)
            | Denial::Host
            | Denial::Environment
            | Denial::HostParameter(_)
            | Denial::Bound
            | Denial::AllTags
            | Denial::Reused(_)),
        ) => {
            report.decide(Decided::Refused(403), policy.refusal(route, denial).public());
            write_deciding(route, policy, catalogue, report)?;
        }
        Decision::Relay(reason) => {
            report.decide(Decided::Relayed, format!("passes untouched ({})", reason.as_str()));
            write_edit(operation, policy, report)?;
            write_stream(operation, profile, report)?;
            write_deciding(route, policy, catalogue, report)?;
            write_permission(route, profile, report)?;
        }
        Decision::Filter(_) => {
            report.decide(Decided::Filtered, "");
            write_edit(operation, policy, report)?;
            write_deciding(route, policy, catalogue, report)?;
            write_permission(route, profile, report)?;
            report.show(shown(explained(profile, catalogue, operation.filtered_schema())?, profile));
        }
        Decision::Records(_) => {
            report.decide(Decided::Filtered, "each record as it passes");
            write_stream(operation, profile, report)?;
            write_deciding(route, policy, catalogue, report)?;
            write_permission(route, profile, report)?;
            report.show(shown(explained(profile, catalogue, operation.filtered_schema())?, profile));
        }
    }
    Ok(())
}

/// The line that says whether the records of a stream are filtered.
fn write_stream(operation: &Operation, profile: &Profile, report: &mut Explanation) -> Result<(), CommandError> {
    let (key, filtering, line) = match operation.schema() {
        Some("Event") => ("events", profile.events, &profile.lines.events),
        Some("ContainerStats") => ("stats", profile.stats, &profile.lines.stats),
        Some(_) | None => return Ok(()),
    };
    let word = match filtering {
        StreamFiltering::Filtered => "filtered",
        StreamFiltering::Untouched => "untouched",
    };
    match line {
        Some(location) => report.detail(format!("by {location} (`{key}: {word}`)")),
        None => report.detail(format!("by default: no line says `{key}: filtered`")),
    }
    Ok(())
}

/// The lines of rules and allow-lists that decide whether a request passes: without any one of them it would be the other way
/// round.
fn write_deciding(
    route: &Route,
    policy: &Policy,
    catalogue: &Catalogue,
    report: &mut Explanation,
) -> Result<(), CommandError> {
    if route.query.pairs().next().is_none() {
        return Ok(());
    }
    let is_denied = |policy: &Policy| matches!(policy.decide(route), Decision::Deny(_));
    let before = is_denied(policy);
    let mut profile = policy.profile().clone();
    // What other operations may do has no part in it.
    profile.allow.retain(|id, _| *id == route.operation.id);
    for location in removable(&profile) {
        let without = without(&profile, &location);
        if is_denied(&Policy::compile(&without, catalogue)?) != before {
            report.detail(format!("by {location}"));
        }
    }
    Ok(())
}

/// The lines of rules and of entries of allow-lists, each once.
fn removable(profile: &Profile) -> Vec<Location> {
    let rules = profile.rules.iter().map(|rule| &rule.location);
    let mut found: Vec<Location> = Vec::new();
    for location in rules.chain(profile.lines.names.iter().map(|named| &named.location)) {
        if !found.contains(location) {
            found.push(location.clone());
        }
    }
    found
}

/// A profile without one of those lines.
fn without(profile: &Profile, location: &Location) -> Profile {
    let mut profile = profile.clone();
    profile.rules.retain(|rule| rule.location != *location);
    profile.lines.names.retain(|named| named.location != *location);
    profile.show.names = NamesShown::default();
    for ListedName { list, name, .. } in &profile.lines.names {
        profile.show.names.extend(*list, [name]);
    }
    profile
}

/// What happens to the body of a request that sends back what the client has read.
fn write_edit(operation: &Operation, policy: &Policy, report: &mut Explanation) -> Result<(), CommandError> {
    let Some(edit) = policy.edit(operation) else { return Ok(()) };
    let edits = &policy.profile().edits;
    let inspect = edit.inspect.id;
    report.say("edit", format!("the hidden values of the object, which {inspect} returns, are put back into the body"));
    if let Some(location) = &edits.location {
        report.detail(format!("by {location} (`edits`)"));
    }
    for field in edits.settable(operation) {
        report.detail(format!("may set {}, by {}", field.path, field.location));
    }
    Ok(())
}

/// The fields that an operation would erase, each with the line that hides or changes it.
fn write_erased(
    operation: &Operation,
    profile: &Profile,
    catalogue: &Catalogue,
    report: &mut Explanation,
) -> Result<(), CommandError> {
    for part in operation.writes_back {
        let part_path = format!("$.{}", part.path.join("."));
        let is_inside = |path: &str| {
            path.strip_prefix(&part_path).is_some_and(|rest| rest.starts_with(['.', '[']) || rest.is_empty())
        };
        let mut fields = explained(profile, catalogue, Some(part.schema))?;
        fields.retain(|field| field.class.is_some() && is_inside(&field.path) && !field.treatment.is_whole());
        let title = format!("{part_path} of {} is not shown as it is", part.schema);
        report.show(ShownDocument { title: Some(title), ..shown(fields, profile) });
    }
    Ok(())
}

/// What a profile does with each field of a schema.
pub(super) fn explained(
    profile: &Profile,
    catalogue: &Catalogue,
    schema: Option<&str>,
) -> Result<Vec<Explained>, Diagnostic> {
    RecordFilter::explain(catalogue, schema.unwrap_or_default(), &profile.show, &profile.rules)
        .map_err(|error| Diagnostic::new(&profile.location, error.to_string()))
}

/// The operation, the API version and the name in the path.
fn write_route(route: &Route, api: &ConfiguredApi, report: &mut Explanation) -> Result<(), CommandError> {
    let operation = route.operation;
    let version = route.version.map_or_else(|| own_version(api), |version| format!("API {version}"));
    let method = operation.method.as_str();
    report.say("route", format!("{}  {method} {}  {version}", operation.id, operation.template));
    if !route.name.is_empty() {
        report.say("name", route.name.clone());
    }
    Ok(())
}

/// The version of a request that names none, with the line that says so.
fn own_version(api: &ConfiguredApi) -> String {
    let by =
        |key: &str| api.lines.get(key).map(|location| format!(" (`api: {{{key}}}`, {location})")).unwrap_or_default();
    match (api.range.pin(), api.range.max()) {
        (Some(pin), _) => format!("API {pin}, or that of the engine if it is older{}", by("pin")),
        (None, ApiVersion::NEWEST) => "API of the engine".to_owned(),
        (None, max) => format!("API of the engine, {max} at most{}", by("max")),
    }
}

/// The parameters that do not go to the engine, and why. `asked` are those that the operation has, of the client.
fn write_dropped(
    target: &str,
    route: &Route,
    asked: &[&'static str],
    report: &mut Explanation,
) -> Result<(), CommandError> {
    let operation = route.operation;
    for (name, why) in route::dropped(target, operation) {
        let name = if name.is_empty() { "a parameter" } else { &name };
        match why {
            Dropped::Unknown => report.say("dropped", format!("{name}: {} has no such parameter", operation.id)),
            Dropped::Repeated => report.say("dropped", format!("{name}, given again: the engine reads the first one")),
        }
    }
    for name in asked.iter().filter(|name| route.query.get(name).is_none()) {
        let why = "the profile does not allow it, and without it the request asks for the same or for less";
        report.say("dropped", format!("{name}: {why}"));
    }
    Ok(())
}

/// The line of the profile that allows the operation, and what a request may contain.
fn write_permission(route: &Route, profile: &Profile, report: &mut Explanation) -> Result<(), CommandError> {
    if let Some(location) = profile.allow.get(route.operation.id) {
        report.detail(format!("allowed by {location}"));
    }
    let contents = profile.contents(route.operation);
    match (contents.names().as_slice(), &contents.location) {
        ([], None) => {}
        ([], Some(location)) => report.detail(format!("no parameters ({location})")),
        (names, None) => report.detail(format!("may have {}", names.join(", "))),
        (names, Some(location)) => report.detail(format!("may have {} ({location})", names.join(", "))),
    }
    Ok(())
}

/// What decides about classes and entries by name, and the fields.
fn shown(fields: Vec<Explained>, profile: &Profile) -> ShownDocument {
    let is_listed = |treatment: &Treatment, list: NameList| matches!(treatment, Treatment::Listed(known) | Treatment::AllBut(known) if *known == list);
    let is_there = |class: &Class| fields.iter().any(|field| field.class == Some(*class));
    let classes = Class::ALL
        .into_iter()
        .filter(is_there)
        .map(|class| (class, profile.show.classes.contains(class), profile.classes.get(&class).cloned()));
    let named = lists::ALL.into_iter().filter(|list| fields.iter().any(|field| is_listed(&field.treatment, *list)));
    let entry = |named: &ListedName| {
        let (what, name) = match (named.name.strip_prefix('!'), named.name.strip_suffix('=')) {
            (Some(name), _) => ("hidden", name),
            (None, Some(name)) => ("name only", name),
            (None, None) => ("shown", named.name.as_str()),
        };
        NamedEntry { name: name.to_owned(), what, location: named.location.clone() }
    };
    let of_list = |list: NameList| profile.lines.names.iter().filter(move |named| named.list == list).map(entry);
    ShownDocument {
        title: None,
        classes: classes.collect(),
        unknown: (profile.show.unknown, profile.lines.unknown.clone()),
        mask: (profile.show.mask, profile.lines.mask.clone()),
        names: named.map(|list| (list, of_list(list).collect())).collect(),
        fields,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::OPERATIONS;

    #[test]
    fn a_lookup_is_explained() {
        let filters = load(&cli::ConfigFiles::default(), &Environment::default()).unwrap();
        let hex = "ab".repeat(32);
        for (profile, name, expected) in
            [("uptime-kuma", "web", true), ("uptime-kuma", hex.as_str(), false), ("dashboard", "web", false)]
        {
            let policy = Policy::compile(filters.profiles.get(profile).unwrap(), &filters.catalogue).unwrap();
            let mut out = Vec::new();
            explain_request(
                &format!("GET /containers/{name}/json"),
                &policy,
                &filters.catalogue,
                &ConfiguredApi::default(),
                &mut out,
            )
            .unwrap();
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.contains("\nlookup    "), expected, "{profile} {name}: {text}");
            assert_eq!(
                text.contains("\n          no parameters (built-in:profile/client/uptime-kuma.yaml:"),
                profile == "uptime-kuma"
            );
        }
    }

    /// Operations that no built-in profile allows because they cannot be made safe are denied with the reason.
    #[test]
    fn a_denial_says_why() {
        let filters = load(&cli::ConfigFiles::default(), &Environment::default()).unwrap();
        let mut denied = 0;
        for profile in filters.profiles.iter() {
            let policy = Policy::compile(profile, &filters.catalogue).unwrap();
            let reasoned = OPERATIONS.iter().filter(|operation| !operation.about.is_empty());
            for operation in reasoned.filter(|operation| !profile.allow.contains_key(operation.id)) {
                let target = operation.template.replace(['{', '}'], "");
                let mut out = Vec::new();
                let request = format!("{} {target}", operation.method.as_str());
                explain_request(&request, &policy, &filters.catalogue, &ConfiguredApi::default(), &mut out).unwrap();
                let text = String::from_utf8(out).unwrap();
                assert!(text.contains("403: denied") && text.contains(operation.about), "{}: {text}", operation.id);
                denied += 1;
            }
        }
        assert!(denied > 100, "{denied} denials");
    }
}
