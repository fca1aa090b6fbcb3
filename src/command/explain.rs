//! `explain`: what happens to one request, and which line decided it.

use std::collections::BTreeMap;
use std::io::Write;

use super::{Error, FAILED, OK, load};
use crate::cli::{self, Environment};
use crate::filter::{Explained, Plan, RecordFilter};
use crate::policy::{Decision, Denial, Policy};
use crate::route::{self, Route, TargetError};
use crate::schema::Catalogue;
use crate::yaml::{Diagnostic, Location};

/// Says what happens to the request of `arguments`.
///
/// # Errors
/// [`Error`].
pub fn explain(arguments: &cli::ExplainArgs, environment: &Environment, out: &mut dyn Write) -> Result<u8, Error> {
    let filters = load(&arguments.files, environment)?;
    let Some(profile) = filters.profiles.get(&arguments.profile) else {
        let message = filters.profiles.unknown(&arguments.profile);
        return Err(Diagnostic::new(&Location::file("--profile"), message).into());
    };
    let policy = Policy::compile(profile, &filters.catalogue)?;
    of_request(&arguments.request, &policy, &filters.catalogue, out)
}

/// Says what a policy does with a request, a method and a target.
fn of_request(request: &str, policy: &Policy, catalogue: &Catalogue, out: &mut dyn Write) -> Result<u8, Error> {
    let profile = policy.profile();
    let (method, target) = request.trim().split_once(' ').unwrap_or(("GET", request.trim()));
    let route = match route::find(method, target.trim()) {
        Ok(Some(route)) => route,
        Ok(None) => {
            writeln!(out, "route     none\ndecision  404: there is no such operation")?;
            return Ok(FAILED);
        }
        Err(error) => {
            let status = if error == TargetError::Libpod { 404 } else { 400 };
            writeln!(out, "route     none\ndecision  {status}: {}", error.public())?;
            return Ok(FAILED);
        }
    };
    write_route(&route, out)?;
    let allowed = profile.allow.get(route.operation.id);
    match policy.decide(&route) {
        Decision::Deny(Denial::NotAllowed) => {
            writeln!(out, "decision  403: denied, profile {} does not allow it ({})", profile.name, profile.location)?;
            if !route.operation.about.is_empty() {
                writeln!(out, "          {}", route.operation.about)?;
            }
        }
        Decision::Deny(denial @ (Denial::Oracle | Denial::Filters)) => {
            writeln!(out, "decision  403: {}", denial.public())?
        }
        Decision::Relay(reason) => {
            writeln!(out, "decision  relay: passed on untouched ({})", reason.as_str())?;
            write_place(allowed, out)?;
        }
        decision @ (Decision::Filter(_) | Decision::Records(_)) => {
            let (show, rules) = (&profile.show, &profile.rules);
            let schema = route.operation.filtered_schema().unwrap_or_default();
            let (how, explained) = match decision {
                Decision::Records(_) => {
                    ("filter: each record as it passes", RecordFilter::explain(catalogue, schema, show, rules))
                }
                Decision::Filter(_) | Decision::Deny(_) | Decision::Relay(_) => {
                    ("filter", Plan::explain(catalogue, schema, show, rules))
                }
            };
            writeln!(out, "decision  {how}")?;
            write_place(allowed, out)?;
            write_fields(&explained.map_err(|error| Diagnostic::new(&profile.location, error.to_string()))?, out)?;
        }
    }
    Ok(OK)
}

fn write_route(route: &Route, out: &mut dyn Write) -> Result<(), Error> {
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

fn write_place(location: Option<&Location>, out: &mut dyn Write) -> Result<(), Error> {
    if let Some(location) = location {
        writeln!(out, "          allowed by {location}")?;
    }
    Ok(())
}

/// The fields, grouped by the member of the document they are in.
fn write_fields(fields: &[Explained], out: &mut dyn Write) -> Result<(), Error> {
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

    /// What the built-in profiles refuse because it cannot be made safe is refused with the reason.
    #[test]
    fn a_refusal_says_why() {
        let filters = load(&cli::ConfigFiles::default(), &Environment::default()).unwrap();
        let mut refused = 0;
        for profile in filters.profiles.iter() {
            let policy = Policy::compile(profile, &filters.catalogue).unwrap();
            let reasoned = OPERATIONS.iter().filter(|operation| !operation.about.is_empty());
            for operation in reasoned.filter(|operation| !profile.allow.contains_key(operation.id)) {
                let target = operation.template.replace(['{', '}'], "");
                let mut out = Vec::new();
                let request = format!("{} {target}", operation.method.as_str());
                of_request(&request, &policy, &filters.catalogue, &mut out).unwrap();
                let text = String::from_utf8(out).unwrap();
                assert!(text.contains("403: denied") && text.contains(operation.about), "{}: {text}", operation.id);
                refused += 1;
            }
        }
        assert!(refused > 100, "{refused} refusals");
    }
}
