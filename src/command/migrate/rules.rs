//! Rules over requests, turned into sets of operations.

use std::collections::BTreeSet;

use regex::Regex;

use crate::api::{Method, OPERATIONS, Operation};

/// The version prefixes that are tried in front of every path.
const PREFIXES: [&str; 5] = ["", "/v1.24", "/v1.41", "/v1.44", "/v1.51"];
/// Names that objects may have.
const NAMES: [&str; 5] = [
    "web",
    "my-app_1.example",
    "4c01db0b339c",
    "4c01db0b339c9b2b1e4c0f8b5f7d4a3c2e1d0f9a8b7c6d5e4f3a2b1c0d9e8f7a",
    "DB",
];
/// References that images and plugins may have in addition.
const REFERENCES: [&str; 2] = ["library/nginx:1.27", "registry.example.com:5000/team/app"];
/// The number of words in rules that are tried as names. If more are denied, no operation is open for all names.
const WORD_LIMIT: usize = 50;
/// The version prefix of the API, as proxies cut it off.
const VERSION: &str = r"^/v\d+(\.\d+){0,2}(?P<rest>/.*)$";

/// For which names an operation matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Matched {
    /// For every name.
    Whole,
    /// For some names only, such as these, which the rules have. Perhaps for others that they do not have.
    Names(Vec<String>),
    /// For all names but some, such as this one.
    Except(String),
    /// For none.
    Nothing,
}

/// One rule.
#[derive(Clone, Debug)]
pub(super) struct RequestRule {
    /// The methods; all if empty.
    pub(super) methods: Vec<String>,
    /// Matches a path.
    pub(super) pattern: Regex,
    /// What to call it in a comment.
    pub(super) text: String,
    /// The pattern as written: names may be in it.
    pub(super) words: String,
    /// Whether it allows what it matches.
    pub(super) allows: bool,
}

impl RequestRule {
    /// Whether it is about requests with this method.
    fn is_of(&self, method: Method) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|one| one == method.as_str())
    }

    /// Whether a section of the API is named in it.
    fn names(&self, section: &str) -> bool {
        self.words.to_ascii_lowercase().contains(section)
    }
}

/// Rules of which the first that matches decides.
#[derive(Clone, Debug)]
pub(super) struct RuleSet {
    rules: Vec<RequestRule>,
    /// Cuts the version of the API off, if patterns match paths without it.
    version: Option<Regex>,
}

impl RuleSet {
    /// Rules that match whole paths.
    pub(super) fn new(rules: Vec<RequestRule>) -> Self {
        Self { rules, version: None }
    }

    /// Rules that match paths without the version of the API.
    pub(super) fn unversioned(rules: Vec<RequestRule>) -> Self {
        Self { rules, version: Regex::new(VERSION).ok() }
    }

    /// The rule that allows a request; `None` if none does, or one denies it first.
    fn allowing(&self, method: Method, path: &str) -> Option<&RequestRule> {
        let rest = self.version.as_ref().and_then(|version| version.captures(path)?.name("rest"));
        let path = rest.map_or(path, |rest| rest.as_str());
        let first = self.rules.iter().filter(|rule| rule.is_of(method)).find(|rule| rule.pattern.is_match(path));
        first.filter(|rule| rule.allows)
    }

    /// The operations that the rules allow, in whole or in part, each with the rule that allows it.
    pub(super) fn operations(&self) -> Vec<(&'static Operation, Matched, &RequestRule)> {
        let mut found = Vec::new();
        for operation in OPERATIONS {
            let (matched, rule) = self.matched(operation);
            found.extend(rule.filter(|_| matched != Matched::Nothing).map(|rule| (operation, matched, rule)));
        }
        found
    }

    /// For which names the rules allow an operation. The version prefix does not matter, as the client chooses it.
    fn matched(&self, operation: &Operation) -> (Matched, Option<&RequestRule>) {
        let rule_for = |name: &str| {
            let parts = operation.template.split('/').map(|part| if part.starts_with('{') { name } else { part });
            let path = parts.collect::<Vec<_>>().join("/");
            let prefixes = if self.version.is_some() { PREFIXES.get(..1) } else { PREFIXES.get(..) };
            let mut prefixes = prefixes.unwrap_or_default().iter();
            prefixes.find_map(|prefix| self.allowing(operation.method, &format!("{prefix}{path}")))
        };
        if !operation.takes_name() {
            let rule = rule_for("");
            return (if rule.is_some() { Matched::Whole } else { Matched::Nothing }, rule);
        }
        let references = REFERENCES.iter().filter(|_| operation.takes_reference());
        let usual: Vec<&str> = NAMES.iter().chain(references).copied().collect();
        // A name in the rules themselves makes the best example, and may be the one that is denied.
        let section = operation.template.split('/').nth(1).unwrap_or_default();
        let near = self.rules.iter().filter(|rule| rule.is_of(operation.method) && rule.names(section));
        let own: Vec<String> = near.flat_map(words).take(WORD_LIMIT).collect();
        let names = || own.iter().map(String::as_str).chain(usual.iter().copied());
        let denied: Vec<String> = self.rules.iter().filter(|rule| !rule.allows).flat_map(words).collect();
        if usual.iter().all(|name| rule_for(name).is_some()) {
            let closed = denied.iter().enumerate().find(|(at, name)| *at >= WORD_LIMIT || rule_for(name).is_none());
            let matched = closed.map_or(Matched::Whole, |(_, name)| Matched::Except(name.clone()));
            return (matched, rule_for("web"));
        }
        let mut seen = BTreeSet::new();
        let open: Vec<&str> = names().filter(|name| rule_for(name).is_some() && seen.insert(*name)).collect();
        match open.first() {
            Some(name) => (Matched::Names(open.iter().map(|name| (*name).to_owned()).collect()), rule_for(name)),
            None => (Matched::Nothing, None),
        }
    }
}

/// The words in a rule that may be names.
fn words(rule: &RequestRule) -> Vec<String> {
    let split = rule.words.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    let mut seen = BTreeSet::new();
    split.filter(|word| !word.is_empty() && seen.insert(*word)).map(ToOwned::to_owned).collect()
}

/// Compiles a pattern with anchors, as proxies add them: of several alternatives, the first gets `^` and the last gets `$`.
///
/// # Errors
/// The error in the pattern.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(&format!("^{pattern}$")).map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The operations that GET patterns match, those for some names only with that name.
    fn found(pattern: &str) -> Vec<String> {
        let rule = RequestRule {
            methods: vec!["GET".into()],
            pattern: compile(pattern).unwrap(),
            text: String::new(),
            words: pattern.into(),
            allows: true,
        };
        let rules = RuleSet::new(vec![rule]);
        let one = |(operation, matched, _): (&Operation, Matched, &RequestRule)| match matched {
            Matched::Whole => operation.id.to_owned(),
            Matched::Names(names) => format!("{} {}", operation.id, names[0]),
            Matched::Nothing | Matched::Except(_) => panic!("{pattern}"),
        };
        rules.operations().into_iter().map(one).collect()
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
        // Containers may have capital letters in their names.
        assert!(found("/containers/[a-z0-9_.-]+/top").iter().all(|one| one.starts_with("ContainerTop ")));
        // The pattern has no slash, and a reference may have one.
        assert_eq!(found("/images/[a-z]+/json"), ["ImageInspect images"]);
    }

    #[test]
    fn what_is_denied_for_one_name_is_not_open_for_all() {
        let rule = |pattern: &str, allows| RequestRule {
            methods: Vec::new(),
            pattern: compile(pattern).unwrap(),
            text: String::new(),
            words: pattern.to_owned(),
            allows,
        };
        let rules = vec![rule("/containers/vault/.*", false), rule("/containers/.*", true)];
        for (operation, matched, _) in RuleSet::unversioned(rules.clone()).operations() {
            let is_whole = !operation.takes_name() || operation.id == "ContainerDelete";
            let expected = if is_whole { Matched::Whole } else { Matched::Except("vault".to_owned()) };
            assert_eq!(matched, expected, "{operation:?}");
        }
        let turned = RuleSet::unversioned(vec![rules[1].clone(), rules[0].clone()]);
        assert!(turned.operations().iter().all(|(_, matched, _)| *matched == Matched::Whole));
        assert!(RuleSet::new(vec![rule(".*", false), rule(".*", true)]).operations().is_empty());
    }

    #[test]
    fn anchors_bind_tighter_than_alternatives() {
        // `^/version` or `/json$`.
        let found = found("/version|/json");
        assert!(found.contains(&"SystemVersion".to_owned()) && found.contains(&"ContainerInspect".to_owned()));
        assert!(compile("(").is_err());
    }
}
