//! `explain`: shows what happens to one request, and which line decides it.

use std::collections::BTreeMap;
use std::io::Write;

mod asking;

use self::asking::AskedProfile;
use super::{CommandError, FAILED, OK, load, profile_named};
use crate::api::objects::PathObject;
use crate::api::{ApiVersion, Operation, errors, lists};
use crate::cli::{self, Environment};
use crate::config::{ConfiguredApi, ConfiguredListener, DEFAULT_PROFILE, configured_api, configured_listeners};
use crate::filter::{Explained, NamesShown, RecordFilter, Treatment};
use crate::policy::{Decision, Denial, Policy};
use crate::profile::{ListedName, Profile, StreamFiltering};
use crate::route::{self, Dropped, NO_SUCH_HOST, Route, TargetError, answers_to};
use crate::schema::{Catalogue, Class, NameList};
use crate::yaml::{Diagnostic, Location};

/// Explains the request in `arguments`.
///
/// # Errors
/// [`CommandError`].
pub fn explain(
    arguments: &cli::ExplainArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<u8, CommandError> {
    let client = asking::described(&arguments.client)?;
    let filters = load(&arguments.files, environment)?;
    let api = configured_api(&arguments.files, environment)?;
    let request = arguments.request.join(" ");
    let (_, target) = method_and_target(&request);
    let hosts: Vec<String> = arguments.host.iter().cloned().chain(route::host(target)).collect();
    let listeners = if arguments.profile.is_none() || !hosts.is_empty() {
        configured_listeners(&arguments.files, environment)?
    } else {
        Vec::new()
    };
    let asked = match (&arguments.profile, &client) {
        (Some(name), _) => AskedProfile { name: name.clone(), listeners: &listeners },
        (None, None) => asking::first(&listeners, out)?,
        (None, Some(client)) => match asking::find(client, &listeners, out)? {
            Some(asked) => asked,
            None => return Ok(OK),
        },
    };
    let policy = Policy::compile(profile_named(&filters, &asked.name)?, &filters.catalogue)?;
    if arguments.profile.is_none() && (asked.name != DEFAULT_PROFILE || client.is_some()) {
        writeln!(out, "profile   {}", asked.name)?;
    }
    if !write_hosts(&hosts, asked.listeners, &asked.name, out)? {
        writeln!(out, "decision  403: {NO_SUCH_HOST}")?;
        return Ok(OK);
    }
    explain_request(&request, &policy, &filters.catalogue, &api, out)
}

/// Which listeners of a profile answer to the hosts that a request names. Returns whether one does, or none has the profile.
fn write_hosts(
    hosts: &[String],
    listeners: &[ConfiguredListener],
    profile: &str,
    out: &mut dyn Write,
) -> Result<bool, CommandError> {
    if hosts.is_empty() {
        return Ok(true);
    }
    let (mut is_served, mut is_answered) = (false, false);
    for listener in listeners.iter().filter(|listener| listener.profiles().any(|name| name == profile)) {
        let answers = hosts.iter().all(|host| answers_to(&listener.hosts, host));
        (is_served, is_answered) = (true, is_answered || answers);
        let verb = if answers { "answers to" } else { "does not answer to" };
        let listed = if listener.hosts.is_empty() { "any".to_owned() } else { listener.hosts.join(", ") };
        writeln!(out, "host      {} {verb} {}  (`hosts`: {listed})", listener.address, hosts.join(" and "))?;
    }
    if !is_served {
        writeln!(out, "host      no listener of the configuration has the profile {profile}")?;
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
    let (method, target) = method_and_target(request);
    let mut route = match route::find(method, target) {
        Ok(Some(route)) => route,
        Ok(None) => {
            writeln!(out, "route     none\ndecision  404: no such operation")?;
            return Ok(FAILED);
        }
        Err(error) => {
            let status = if error == TargetError::Libpod { 404 } else { 400 };
            writeln!(out, "route     none\ndecision  {status}: {}", error.public())?;
            return Ok(FAILED);
        }
    };
    let asked: Vec<&'static str> = route.query.pairs().map(|(name, _)| name).collect();
    policy.trim(&mut route);
    write_route(&route, api, out)?;
    write_dropped(target, &route, &asked, out)?;
    if policy.lookup(&route).is_some() {
        writeln!(out, "lookup    the engine is asked first: only the exact name or the whole id is found")?;
    }
    write_objects(&route, policy, out)?;
    // A denied request is denied in any version.
    if !matches!(policy.decide(&route), Decision::Deny(_)) && write_refused_version(&route, api, out)? {
        return Ok(FAILED);
    }
    write_decision(&route, policy, catalogue, out)?;
    Ok(OK)
}

/// Writes that clients may not use the version that a request names. Returns whether that is so.
fn write_refused_version(route: &Route, api: &ConfiguredApi, out: &mut dyn Write) -> Result<bool, CommandError> {
    let (min, max) = (api.range.min(), api.range.max());
    let (text, key) = match route.version {
        Some(version) if version > max => (errors::too_new(version, max), "max"),
        Some(version) if version < min => (errors::too_old(version, min), "min"),
        Some(_) | None => return Ok(false),
    };
    writeln!(out, "decision  400: {text}")?;
    match api.lines.get(key) {
        Some(location) => writeln!(out, "          by {location} (`api: {{{key}}}`)")?,
        None => writeln!(out, "          {max} is the newest version that this program knows")?,
    }
    Ok(true)
}

/// Writes which objects the request can be about, and the lines that say so.
fn write_objects(route: &Route, policy: &Policy, out: &mut dyn Write) -> Result<(), CommandError> {
    let Some(objects) = policy.objects(route.operation) else { return Ok(()) };
    let kind = objects.path.map(PathObject::kind);
    for (kind, restriction, location) in policy.profile().objects.iter().filter(|(of, ..)| Some(*of) == kind) {
        writeln!(out, "objects   {kind}: {restriction} ({location}); others are answered like none")?;
    }
    for restriction in policy.bound(route.operation) {
        let line = policy.profile().allow.get(route.operation.id);
        let line = line.map(|location| format!(" ({location})")).unwrap_or_default();
        writeln!(out, "objects   {restriction}{line}; others are denied")?;
    }
    let is_changed = objects.answer.is_some_and(|answer| policy.visibility().changes(answer));
    if is_changed {
        writeln!(out, "objects   the answer has no trace of objects that the profile does not show")?;
    }
    Ok(())
}

/// Writes what a policy decides about a route, and why.
fn write_decision(
    route: &Route,
    policy: &Policy,
    catalogue: &Catalogue,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let (profile, operation) = (policy.profile(), route.operation);
    match policy.decide(route) {
        Decision::Deny(Denial::NotAllowed) => {
            writeln!(out, "decision  403: {}", policy.refusal(route, Denial::NotAllowed).public())?;
            writeln!(out, "          the profile is {}", profile.location)?;
            if let Some(location) = profile.deny.get(operation.id) {
                writeln!(out, "          denied by {location}")?;
            }
            if !operation.about.is_empty() {
                writeln!(out, "          {}", operation.about)?;
            }
        }
        Decision::Deny(Denial::Erases) => {
            writeln!(out, "decision  403: {}", policy.refusal(route, Denial::Erases).public())?;
            write_erased(operation, profile, catalogue, out)?;
        }
        Decision::Deny(denial @ Denial::Parameter(_)) => {
            writeln!(out, "decision  403: {}", policy.refusal(route, denial).public())?;
            match profile.parameters.get(operation.id).and_then(|contents| contents.location.as_ref()) {
                Some(location) => writeln!(out, "          by {location}")?,
                None => writeln!(out, "          no known client sends it, and no line of `parameters` names it")?,
            }
        }
        Decision::Deny(
            denial @ (Denial::Body
            | Denial::Oracle
            | Denial::Pattern
            | Denial::Filters
            | Denial::Name
            | Denial::Unlimited(_)
            | Denial::Bound
            | Denial::AllTags),
        ) => {
            writeln!(out, "decision  403: {}", policy.refusal(route, denial).public())?;
            write_deciding(route, policy, catalogue, out)?;
        }
        Decision::Relay(reason) => {
            writeln!(out, "decision  relay: passes untouched ({})", reason.as_str())?;
            write_edit(operation, policy, out)?;
            write_stream(operation, profile, out)?;
            write_deciding(route, policy, catalogue, out)?;
            write_permission(route, profile, out)?;
        }
        Decision::Filter(_) => {
            writeln!(out, "decision  filter")?;
            write_edit(operation, policy, out)?;
            write_deciding(route, policy, catalogue, out)?;
            write_permission(route, profile, out)?;
            write_shown(&explained(profile, catalogue, operation.filtered_schema())?, profile, out)?;
        }
        Decision::Records(_) => {
            writeln!(out, "decision  filter: each record as it passes")?;
            write_stream(operation, profile, out)?;
            write_deciding(route, policy, catalogue, out)?;
            write_permission(route, profile, out)?;
            write_shown(&explained(profile, catalogue, operation.filtered_schema())?, profile, out)?;
        }
    }
    Ok(())
}

/// The line that says whether the records of a stream are filtered.
fn write_stream(operation: &Operation, profile: &Profile, out: &mut dyn Write) -> Result<(), CommandError> {
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
        Some(location) => writeln!(out, "          by {location} (`{key}: {word}`)")?,
        None => writeln!(out, "          by default: no line says `{key}: filtered`")?,
    }
    Ok(())
}

/// The lines of rules and allow-lists that decide whether a request passes: without any one of them it would be the other way
/// round.
fn write_deciding(
    route: &Route,
    policy: &Policy,
    catalogue: &Catalogue,
    out: &mut dyn Write,
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
            writeln!(out, "          by {location}")?;
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
fn write_edit(operation: &Operation, policy: &Policy, out: &mut dyn Write) -> Result<(), CommandError> {
    let Some(edit) = policy.edit(operation) else { return Ok(()) };
    let edits = &policy.profile().edits;
    let inspect = edit.inspect.id;
    writeln!(out, "edit      the hidden values of the object, which {inspect} returns, are put back into the body")?;
    if let Some(location) = &edits.location {
        writeln!(out, "          by {location} (`edits`)")?;
    }
    for field in edits.settable(operation) {
        writeln!(out, "          may set {}, by {}", field.path, field.location)?;
    }
    Ok(())
}

/// The fields that an operation would erase, each with the line that hides or changes it.
fn write_erased(
    operation: &Operation,
    profile: &Profile,
    catalogue: &Catalogue,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    for part in operation.writes_back {
        let part_path = format!("$.{}", part.path.join("."));
        let is_inside = |path: &str| {
            path.strip_prefix(&part_path).is_some_and(|rest| rest.starts_with(['.', '[']) || rest.is_empty())
        };
        let mut fields = explained(profile, catalogue, Some(part.schema))?;
        fields.retain(|field| field.class.is_some() && is_inside(&field.path) && !field.treatment.is_whole());
        writeln!(out, "\n{} of {} is not shown as it is:", part_path, part.schema)?;
        if !profile.show.unknown {
            writeln!(out, "  fields that nobody has classified are hidden")?;
        }
        write_shown(&fields, profile, out)?;
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
fn write_route(route: &Route, api: &ConfiguredApi, out: &mut dyn Write) -> Result<(), CommandError> {
    let operation = route.operation;
    write!(out, "route     {}  {} {}", operation.id, operation.method.as_str(), operation.template)?;
    match route.version {
        Some(version) => writeln!(out, "  API {version}")?,
        None => writeln!(out, "  {}", own_version(api))?,
    }
    if !route.name.is_empty() {
        writeln!(out, "name      {}", route.name)?;
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
fn write_dropped(target: &str, route: &Route, asked: &[&'static str], out: &mut dyn Write) -> Result<(), CommandError> {
    let operation = route.operation;
    for (name, why) in route::dropped(target, operation) {
        let name = if name.is_empty() { "a parameter" } else { &name };
        match why {
            Dropped::Unknown => writeln!(out, "dropped   {name}: {} has no such parameter", operation.id)?,
            Dropped::Repeated => writeln!(out, "dropped   {name}, given again: the engine reads the first one")?,
        }
    }
    for name in asked.iter().filter(|name| route.query.get(name).is_none()) {
        let why = "the profile does not allow it, and without it the request asks for the same or for less";
        writeln!(out, "dropped   {name}: {why}")?;
    }
    Ok(())
}

/// The line of the profile that allows the operation, and what a request may contain.
fn write_permission(route: &Route, profile: &Profile, out: &mut dyn Write) -> Result<(), CommandError> {
    if let Some(location) = profile.allow.get(route.operation.id) {
        writeln!(out, "          allowed by {location}")?;
    }
    let contents = profile.contents(route.operation);
    match (contents.names().as_slice(), &contents.location) {
        ([], None) => {}
        ([], Some(location)) => writeln!(out, "          no parameters ({location})")?,
        (names, None) => writeln!(out, "          may have {}", names.join(", "))?,
        (names, Some(location)) => writeln!(out, "          may have {} ({location})", names.join(", "))?,
    }
    Ok(())
}

/// What decides about classes and entries by name, and then the fields.
fn write_shown(fields: &[Explained], profile: &Profile, out: &mut dyn Write) -> Result<(), CommandError> {
    let is_listed = |treatment: &Treatment, list: NameList| matches!(treatment, Treatment::Listed(known) | Treatment::AllBut(known) if *known == list);
    writeln!(out, "\nclasses")?;
    for class in Class::ALL.iter().filter(|class| fields.iter().any(|field| field.class == Some(**class))) {
        let shown = if profile.show.classes.contains(*class) { "shown" } else { "hidden" };
        match profile.classes.get(class) {
            Some(location) => writeln!(out, "  {:9}  {shown:6}  by {location}", class.as_str())?,
            None => writeln!(out, "  {:9}  {shown}", class.as_str())?,
        }
    }
    let default = |line: &Option<Location>| line.as_ref().map_or("by default".to_owned(), |line| format!("by {line}"));
    let unknown = if profile.show.unknown { "shown" } else { "hidden" };
    writeln!(out, "  {:9}  {unknown:6}  {}", "unknown", default(&profile.lines.unknown))?;
    let masked = if profile.show.mask { "masked in what is shown" } else { "not masked" };
    writeln!(out, "  credentials are {masked}, {}", default(&profile.lines.mask))?;
    for list in lists::ALL.into_iter().filter(|list| fields.iter().any(|field| is_listed(&field.treatment, *list))) {
        writeln!(out, "\n{list} by name")?;
        let names: Vec<&ListedName> = profile.lines.names.iter().filter(|named| named.list == list).collect();
        let width = names.iter().map(|named| named.name.len()).max().unwrap_or(0).min(50);
        for ListedName { name, location, .. } in names {
            let (word, name) = match (name.strip_prefix('!'), name.strip_suffix('=')) {
                (Some(name), _) => ("hidden", name),
                (None, Some(name)) => ("name only", name),
                (None, None) => ("shown", name.as_str()),
            };
            writeln!(out, "  {name:width$}  {word:6}  by {location}")?;
        }
    }
    write_fields(fields, out)
}

/// The fields, grouped by the top-level member that they are in.
fn write_fields(fields: &[Explained], out: &mut dyn Write) -> Result<(), CommandError> {
    let mut groups: BTreeMap<&str, Vec<&Explained>> = BTreeMap::new();
    for field in fields {
        groups.entry(group(&field.path)).or_default().push(field);
    }
    for (group, fields) in groups {
        writeln!(out, "\n{group}")?;
        let width = fields.iter().map(|field| field.path.len()).max().unwrap_or(0).min(60);
        for field in fields {
            let class = field.class.map_or("rule", |class| class.as_str());
            write!(out, "  {:width$}  {class:9}  {}", field.path, field.treatment)?;
            match &field.location {
                Some(location) => writeln!(out, "  ({location})")?,
                None => writeln!(out)?,
            }
        }
    }
    Ok(())
}

/// The first step of a path.
fn group(path: &str) -> &str {
    let behind = path.strip_prefix('$').unwrap_or(path);
    let start = path.len() - behind.len();
    let end = behind.char_indices().skip(1).find(|(_, c)| matches!(c, '.' | '[')).map_or(behind.len(), |(at, _)| at);
    path.get(..start + end).unwrap_or(path)
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
