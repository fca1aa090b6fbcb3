//! `explain`: shows what happens to one request, and which line decides it.

use std::collections::BTreeMap;
use std::io::Write;

use super::{CommandError, FAILED, OK, load, profile_named};
use crate::cli::{self, Environment};
use crate::filter::{Explained, RecordFilter};
use crate::policy::{Decision, Denial, Policy};
use crate::profile::Profile;
use crate::route::{self, Route, TargetError};
use crate::schema::Catalogue;
use crate::yaml::Diagnostic;

/// Explains the request in `arguments`.
///
/// # Errors
/// [`CommandError`].
pub fn explain(
    arguments: &cli::ExplainArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<u8, CommandError> {
    let filters = load(&arguments.files, environment)?;
    let policy = Policy::compile(profile_named(&filters, &arguments.profile)?, &filters.catalogue)?;
    explain_request(&arguments.request, &policy, &filters.catalogue, out)
}

/// Explains what a policy does with a request: a method and a target.
fn explain_request(
    request: &str,
    policy: &Policy,
    catalogue: &Catalogue,
    out: &mut dyn Write,
) -> Result<u8, CommandError> {
    let (method, target) = request.trim().split_once(' ').unwrap_or(("GET", request.trim()));
    let mut route = match route::find(method, target.trim()) {
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
    policy.trim(&mut route);
    write_route(&route, out)?;
    if policy.lookup(&route).is_some() {
        writeln!(out, "lookup    the engine is asked first: only the exact name or the whole id is found")?;
    }
    write_decision(&route, policy, catalogue, out)?;
    Ok(OK)
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
            writeln!(out, "decision  403: denied, profile {} does not allow it ({})", profile.name, profile.location)?;
            if let Some(location) = profile.deny.get(operation.id) {
                writeln!(out, "          denied by {location}")?;
            }
            if !operation.about.is_empty() {
                writeln!(out, "          {}", operation.about)?;
            }
        }
        Decision::Deny(
            denial @ (Denial::Erases
            | Denial::Parameter(_)
            | Denial::Body
            | Denial::Oracle
            | Denial::Pattern
            | Denial::Filters
            | Denial::Name),
        ) => {
            writeln!(out, "decision  403: {}", denial.public())?;
        }
        Decision::Relay(reason) => {
            writeln!(out, "decision  relay: passes untouched ({})", reason.as_str())?;
            write_permission(route, profile, out)?;
        }
        Decision::Filter(_) => {
            writeln!(out, "decision  filter")?;
            write_permission(route, profile, out)?;
            write_fields(&explained(profile, catalogue, operation.filtered_schema())?, out)?;
        }
        Decision::Records(_) => {
            writeln!(out, "decision  filter: each record as it passes")?;
            write_permission(route, profile, out)?;
            write_fields(&explained(profile, catalogue, operation.filtered_schema())?, out)?;
        }
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
fn write_route(route: &Route, out: &mut dyn Write) -> Result<(), CommandError> {
    let operation = route.operation;
    write!(out, "route     {}  {} {}", operation.id, operation.method.as_str(), operation.template)?;
    match route.version {
        Some(version) => writeln!(out, "  API {version}")?,
        None => writeln!(out, "  API of the engine")?,
    }
    if !route.name.is_empty() {
        writeln!(out, "name      {}", route.name)?;
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
            explain_request(&format!("GET /containers/{name}/json"), &policy, &filters.catalogue, &mut out).unwrap();
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
                explain_request(&request, &policy, &filters.catalogue, &mut out).unwrap();
                let text = String::from_utf8(out).unwrap();
                assert!(text.contains("403: denied") && text.contains(operation.about), "{}: {text}", operation.id);
                denied += 1;
            }
        }
        assert!(denied > 100, "{denied} denials");
    }
}
