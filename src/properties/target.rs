//! Request targets.

use super::Outcome;
use crate::api::{ApiVersion, OPERATIONS, Operation, ParameterKind, RequestBody};
use crate::route::{Route, find};
use crate::stream::target::LONGEST;

/// How long a path may be; one that is written anew may be longer than the client's.
const PATH_LIMIT: usize = 8 << 10;

/// The input is a method, a space and a target. A target that is routed has one reading: what goes upstream is canonical,
/// is routed to the same operation with the same names and parameters, and stays as it is when it is written again; decoded
/// once it is the client's path, which a path cleaner leaves alone; and the operation is the one that the engine chooses.
/// A target that is not routed leads to no operation of the engine either.
///
/// # Panics
/// If that is not so.
pub(super) fn a_target_has_one_reading(bytes: &[u8]) -> Outcome {
    let Ok(text) = str::from_utf8(bytes) else { return Outcome::Unusable };
    let Some((method, target)) = text.strip_suffix('\n').unwrap_or(text).split_once(' ') else {
        return Outcome::Unusable;
    };
    let behind_authority = without_authority(target);
    let (path, query) = behind_authority.split_once('?').unwrap_or((behind_authority, ""));
    match find(method, target) {
        Err(error) => {
            assert!(!error.public().is_empty(), "a refusal has a reason");
            Outcome::Refused
        }
        Ok(None) => {
            let decoded = decoded(path, false).unwrap_or_default();
            assert_eq!(chosen(method, without_version(&decoded)), None, "the engine has an operation: {text:?}");
            Outcome::Refused
        }
        Ok(Some(route)) => {
            check(method, path, query, &route);
            Outcome::Accepted
        }
    }
}

fn check(method: &str, path: &str, query: &str, route: &Route) {
    let version = route.version.unwrap_or(ApiVersion::NEWEST);
    let written = upstream(route, version);
    let canonical = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:@%?&=".contains(&byte);
    assert!(written.bytes().all(canonical), "a canonical target: {written:?}");
    let is_short = written.len() <= LONGEST && written.split('?').next().is_some_and(|path| path.len() <= PATH_LIMIT);
    if is_short {
        let again = find(method, &written);
        assert_eq!(again, Ok(Some(Route { version: Some(version), ..route.clone() })), "the same route: {written:?}");
        let again = again.ok().flatten().map(|route| upstream(&route, version));
        assert_eq!(again.as_ref(), Some(&written), "writing twice equals writing once");
    }

    let (written_path, written_query) = written.split_once('?').unwrap_or((&written, ""));
    let Some(client_path) = decoded(path, false) else { panic!("a routed path can be decoded: {path:?}") };
    let prefix = format!("/v{version}");
    let client_path = match route.version {
        Some(_) => client_path.strip_prefix(&prefix),
        None => Some(client_path.as_str()),
    };
    let Some(client_path) = client_path else { panic!("the version is the client's: {path:?}") };
    let upstream_path = decoded(written_path, false);
    let upstream_path = upstream_path.as_deref().and_then(|path| path.strip_prefix(&prefix));
    // The one path that has two spellings.
    let client_path = if client_path == "/networks/" { "/networks" } else { client_path };
    assert_eq!(upstream_path, Some(client_path), "the same path, decoded once");
    let segments = client_path.strip_suffix('/').unwrap_or(client_path).split('/').skip(1);
    for segment in segments {
        assert!(!matches!(segment, "" | "." | ".."), "a path cleaner changes {client_path:?}");
        assert!(!segment.contains(['%', '\\']) && !segment.contains(char::is_control), "{client_path:?}");
    }
    let is_link = route.operation.id == "ContainerDelete" && route.name.contains('/');
    if is_link {
        assert!(
            route.query.flag("link") == Some(true) && route.name.matches('/').count() == 1,
            "a link: {client_path:?}"
        );
    } else {
        assert_eq!(chosen(method, client_path), Some(route.operation.id), "the engine's operation");
    }
    check_parameters(query, written_query, route);
}

/// What goes up is what the engine would have read of the client's query, less what it does not know.
fn check_parameters(query: &str, written: &str, route: &Route) {
    let pairs: Vec<(String, String)> =
        route.query.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert_eq!(parameters(written).as_ref(), Some(&pairs), "the same parameters upstream");
    let mut expected: Vec<(String, String)> = Vec::new();
    for (name, value) in raw_parameters(query) {
        let known = decoded(name, true).and_then(|name| route.operation.query.iter().find(|known| known.name == name));
        let Some(known) = known else {
            let refuses = route.operation.mutating && route.operation.body == RequestBody::None;
            let is_unread =
                ["abortSignal", "stream"].iter().any(|unread| decoded(name, true).as_deref() == Some(unread));
            assert!(!refuses || is_unread, "an unknown parameter of a write without a body: {name:?}");
            continue;
        };
        if known.kind == ParameterKind::List || !expected.iter().any(|(other, _)| other == known.name) {
            expected.push((known.name.to_owned(), decoded(value, true).unwrap_or_default()));
        }
    }
    assert_eq!(pairs, expected, "the values that the engine reads");
}

/// What follows the scheme and the authority of a target, as Go reads it.
fn without_authority(target: &str) -> &str {
    let Some((scheme, rest)) = target.split_once(':').filter(|_| !target.starts_with('/')) else { return target };
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(is_scheme) {
        return target;
    }
    match rest.strip_prefix("//") {
        Some(behind) => behind.find(['/', '?']).and_then(|at| behind.get(at..)).unwrap_or_default(),
        None => rest,
    }
}

fn upstream(route: &Route, version: ApiVersion) -> String {
    let mut written = String::new();
    route.upstream_target(version, &mut written);
    written
}

/// Decodes escapes once, as Go does; `plus` says that a plus is a space. `None` for what is no escape, or no UTF-8.
fn decoded(text: &str, plus: bool) -> Option<String> {
    String::from_utf8(decoded_bytes(text, plus)?).ok()
}

/// As [`decoded`], whether or not it is UTF-8.
pub(super) fn decoded_bytes(text: &str, plus: bool) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                bytes.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
                rest = behind;
            }
            b'+' if plus => bytes.push(b' '),
            other => bytes.push(*other),
        }
    }
    Some(bytes)
}

/// The parameters of a query; empty ones mean nothing.
fn parameters(query: &str) -> Option<Vec<(String, String)>> {
    raw_parameters(query).map(|(name, value)| Some((decoded(name, true)?, decoded(value, true)?))).collect()
}

/// The parameters of a query as they are written.
fn raw_parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// A path without a version in front.
fn without_version(path: &str) -> &str {
    let Some(rest) = path.strip_prefix("/v") else { return path };
    let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    if behind.len() < rest.len() && behind.starts_with('/') { behind } else { path }
}

/// The id of the operation that the engine chooses for a decoded path: of those whose template matches, the one with the
/// fewest names, then the one with the most literals.
fn chosen(method: &str, path: &str) -> Option<&'static str> {
    let path = if path == "/networks/" { "/networks" } else { path };
    let parts: Vec<&str> = path.split('/').collect();
    let matching = OPERATIONS.iter().filter(|operation| operation.method.as_str() == method).filter(|operation| {
        let template: Vec<&str> = operation.template.split('/').collect();
        matches(&template, &parts)
    });
    let rank = |operation: &&Operation| {
        let names = operation.template.matches('{').count();
        (names, std::cmp::Reverse(operation.template.split('/').count() - names))
    };
    matching.min_by_key(rank).map(|operation| operation.id)
}

/// Whether a path is one of a template.
fn matches(template: &[&str], path: &[&str]) -> bool {
    match (template.split_first(), path.split_first()) {
        (None, None) => true,
        (None, Some(_)) | (Some(_), None) => false,
        (Some((piece, pieces)), Some((part, parts))) if piece.starts_with('{') => {
            let longer = *piece == "{reference}" && matches(template, parts);
            !part.is_empty() && (matches(pieces, parts) || longer)
        }
        (Some((piece, pieces)), Some((part, parts))) => piece == part && matches(pieces, parts),
    }
}
