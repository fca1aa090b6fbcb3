//! Regular expressions over paths, turned into sets of operations.

use regex::Regex;

use crate::api::Operation;

/// The version prefixes that are tried in front of every path.
const PREFIXES: [&str; 5] = ["", "/v1.24", "/v1.41", "/v1.44", "/v1.51"];
/// Names that objects may have.
const NAMES: [&str; 4] =
    ["web", "my-app_1.example", "4c01db0b339c", "4c01db0b339c9b2b1e4c0f8b5f7d4a3c2e1d0f9a8b7c6d5e4f3a2b1c0d9e8f7a"];
/// References that images and plugins may have in addition.
const REFERENCES: [&str; 2] = ["library/nginx:1.27", "registry.example.com:5000/team/app"];

/// For which names an operation matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Matched {
    /// For every name.
    Whole,
    /// For some names only, such as this one.
    Names(String),
    /// For none.
    Nothing,
}

/// Compiles a pattern with anchors, as wollomatic/socket-proxy adds them: of several alternatives, the first gets `^` and the
/// last gets `$`.
///
/// # Errors
/// The error in the pattern.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(&format!("^{pattern}$")).map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())
}

/// For which names the patterns match `operation`. The version prefix does not matter, as the client chooses it.
pub(super) fn matched(operation: &Operation, patterns: &[Regex], sources: &[String]) -> Matched {
    let matches = |name: &str| {
        let path: Vec<&str> =
            operation.template.split('/').map(|part| if part.starts_with('{') { name } else { part }).collect();
        let path = path.join("/");
        PREFIXES.iter().any(|prefix| {
            let path = format!("{prefix}{path}");
            patterns.iter().any(|pattern| pattern.is_match(&path))
        })
    };
    if !operation.takes_name() {
        return if matches("") { Matched::Whole } else { Matched::Nothing };
    }
    let references = REFERENCES.iter().filter(|_| operation.takes_reference());
    let usual: Vec<&str> = NAMES.iter().chain(references).copied().collect();
    if usual.iter().all(|name| matches(name)) {
        return Matched::Whole;
    }
    // A name in the pattern itself makes the best example.
    let own =
        sources.iter().flat_map(|source| source.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_'));
    let mut names = own.filter(|word| !word.is_empty()).chain(usual.iter().copied());
    match names.find(|name| matches(name)) {
        Some(name) => Matched::Names(name.to_owned()),
        None => Matched::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Method, OPERATIONS};

    /// The operations that GET patterns match, those for some names only with that name.
    fn found(pattern: &str) -> Vec<String> {
        let compiled = [compile(pattern).unwrap()];
        let reads = OPERATIONS.iter().filter(|operation| operation.method == Method::Get);
        reads
            .filter_map(|operation| match matched(operation, &compiled, &[pattern.to_owned()]) {
                Matched::Whole => Some(operation.id.to_owned()),
                Matched::Names(name) => Some(format!("{} {name}", operation.id)),
                Matched::Nothing => None,
            })
            .collect()
    }

    #[test]
    fn a_pattern_becomes_the_operations_that_it_matches() {
        assert_eq!(
            found("/v1\\..{1,2}/(version|containers/.*|events.*)"),
            [
                "SystemVersion",
                "SystemEvents",
                "ContainerList",
                "ContainerInspect",
                "ContainerTop",
                "ContainerLogs",
                "ContainerChanges",
                "ContainerExport",
                "ContainerStats",
                "ContainerArchive",
                "ContainerAttachWebsocket",
                "CheckpointList",
            ]
        );
        assert_eq!(found("/(v1\\.\\d+/)?containers/json"), ["ContainerList"]);
        assert_eq!(found("/v1.44/containers/[a-zA-Z0-9_.-]+/json"), ["ContainerInspect"]);
        assert!(found("/v2/.*").is_empty());
        assert_eq!(found(".*").len(), OPERATIONS.iter().filter(|operation| operation.method == Method::Get).count());
    }

    #[test]
    fn a_pattern_for_some_names_is_not_one_for_all() {
        assert_eq!(found("/containers/(frontend|api)/logs"), ["ContainerLogs frontend"]);
        assert_eq!(found("/containers/[a-f0-9]{64}/json"), [format!("ContainerInspect {}", NAMES[3])]);
        // The pattern has no slash, and a reference may have one.
        assert_eq!(found("/images/[a-z]+/json"), ["ImageInspect images"]);
    }

    #[test]
    fn anchors_bind_tighter_than_alternatives() {
        // `^/version` or `/json$`.
        let found = found("/version|/json");
        assert!(found.contains(&"SystemVersion".to_owned()) && found.contains(&"ContainerInspect".to_owned()));
        assert!(compile("(").is_err());
    }
}
