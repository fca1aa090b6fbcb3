//! hectorm/cetusguard, which is configured by rules: methods and a regular expression for paths.

use std::collections::BTreeMap;

use super::container::Located;
use super::migration::{Migration, OpenedOperations, shortened};
use super::rules::{RequestRule, RuleSet, compile};
use super::source::Source;
use super::wollomatic::arguments;
use crate::quoting;
use crate::socket::Address;
use crate::yaml::{Diagnostic, Diagnostics, Location, unknown};

/// The variable, and the argument, of rules.
const RULES: &str = "CETUSGUARD_RULES";
/// The methods of HTTP, which start a rule.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE", "OPTIONS"];
/// The arguments. The variable of each is `CETUSGUARD_` and its name in capitals, with `_` for `-`.
const OPTIONS: [&str; 12] = [
    "backend-addr",
    "backend-tls-cacert",
    "backend-tls-cert",
    "backend-tls-key",
    "frontend-addr",
    "frontend-tls-cacert",
    "frontend-tls-cert",
    "frontend-tls-key",
    "log-level",
    "no-builtin-rules",
    "rules",
    "rules-file",
];
/// The rules that it has of its own. Those for Podman's own API are left out: dockveil refuses it.
const BUILT_IN: &str = "GET,HEAD %API_PREFIX_PING%\nGET %API_PREFIX_VERSION%\nGET %API_PREFIX_INFO%";
/// How often the variables in a pattern are replaced, which may hold others.
const REPLACEMENTS: usize = 12;
/// The size of a pattern without variables, in bytes.
const PATTERN_LIMIT: usize = 1 << 16;

/// The variables in patterns, except for those of [`SECTIONS`].
const VARIABLES: [(&str, &str); 28] = [
    (
        "DOMAIN",
        r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*)",
    ),
    ("IPV4", r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3})"),
    ("IPV6", r"(?:\[[a-fA-F0-9]{0,4}(?::[a-fA-F0-9]{0,4}){2,7}\])"),
    ("IP", "(?:%IPV4%|%IPV6%)"),
    ("DOMAIN_OR_IP", "(?:%DOMAIN%|%IP%)"),
    ("HOST", "(?:%DOMAIN_OR_IP%(?::[0-9]+)?)"),
    ("IMAGE_ID", "%_OBJECT_ID%"),
    ("IMAGE_COMPONENT", r"(?:[a-zA-Z0-9]+(?:(?:\.|_{1,2}|-+)[a-zA-Z0-9]+)*)"),
    ("IMAGE_TAG", "(?:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})"),
    ("IMAGE_DIGEST", "(?:[a-zA-Z][a-zA-Z0-9]*(?:[_.+-][a-zA-Z][a-zA-Z0-9]*)*:[a-fA-F0-9]{32,})"),
    ("IMAGE_NAME", "(?:(?:%HOST%/)?%IMAGE_COMPONENT%(?:/%IMAGE_COMPONENT%)*)"),
    ("IMAGE_REFERENCE", "(?:%IMAGE_NAME%(?::%IMAGE_TAG%)?(?:@%IMAGE_DIGEST%)?)"),
    ("IMAGE_ID_OR_REFERENCE", "(?:%IMAGE_ID%|%IMAGE_REFERENCE%)"),
    ("CONTAINER_ID", "%_OBJECT_ID%"),
    ("CONTAINER_NAME", "%_OBJECT_NAME%"),
    ("CONTAINER_ID_OR_NAME", "(?:%CONTAINER_ID%|%CONTAINER_NAME%)"),
    ("VOLUME_ID", "%_OBJECT_ID%"),
    ("PLUGIN_ID", "%_OBJECT_ID%"),
    ("VOLUME_ID_OR_NAME", "(?:%_OBJECT_ID%|%_OBJECT_NAME%)"),
    ("VOLUME_NAME", "%_OBJECT_NAME%"),
    ("NETWORK_ID", "%_OBJECT_ID%"),
    ("NETWORK_NAME", "(?:[^/]+)"),
    ("NETWORK_ID_OR_NAME", "(?:%NETWORK_ID%|%NETWORK_NAME%)"),
    ("PLUGIN_ID_OR_NAME", "(?:%_OBJECT_ID%|%IMAGE_NAME%)"),
    ("PLUGIN_NAME", "%IMAGE_NAME%"),
    ("_API_VERSION", r"(?:/v[0-9]+(?:\.[0-9]+)*)"),
    ("_OBJECT_ID", "(?:[a-fA-F0-9]+)"),
    ("_OBJECT_NAME", "(?:[a-zA-Z0-9][a-zA-Z0-9_.-]+)"),
];
/// The parts of the API that have a variable, `%API_PREFIX_…%`.
const SECTIONS: [&str; 25] = [
    "auth",
    "build",
    "commit",
    "configs",
    "containers",
    "debug",
    "distribution",
    "events",
    "exec",
    "grpc",
    "images",
    "info",
    "networks",
    "nodes",
    "ping",
    "plugins",
    "secrets",
    "services",
    "session",
    "swarm",
    "system",
    "tasks",
    "version",
    "volumes",
    "libpod",
];

/// Reads a text as a file of rules; `None` if it is none.
pub(super) fn rules_file(name: &str, text: &str) -> Option<Vec<(String, Located)>> {
    let mut lines = text.lines().filter(|line| !is_comment(line)).peekable();
    lines.peek()?;
    let is_rule =
        |line: &str| split(line).is_some_and(|(methods, _)| methods.iter().all(|one| METHODS.contains(&one.as_str())));
    if !lines.all(is_rule) {
        return None;
    }
    let location = Location::line(name, 0);
    Some(vec![(RULES.to_owned(), Located { text: text.to_owned(), location })])
}

/// The migration of cetusguard.
pub(super) fn migration(source: &Source) -> Result<Migration, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let options = CetusGuardOptions { source, arguments: arguments(source, &["no-builtin-rules"], &mut diagnostics) };
    options.check_names(&mut diagnostics);
    let upstream = diagnostics.ok(options.upstream());
    let listeners: Vec<Address> =
        options.frontends().iter().filter_map(|text| diagnostics.ok(options.listener(text))).collect();
    let rules = options.rules(&mut diagnostics);
    let mut migration = upstream.map(|upstream| Migration::new("hectorm/cetusguard", upstream));
    if let Some(migration) = &mut migration {
        for listener in listeners {
            migration.listen(listener, Some(0o600));
        }
        migration.opened = OpenedOperations::of_rules(&RuleSet::new(rules), |_| None);
        migration.differences.extend(options.differences());
    }
    diagnostics.finish_option(migration)
}

/// Its options: arguments, else variables.
struct CetusGuardOptions<'s> {
    source: &'s Source,
    arguments: BTreeMap<String, Vec<Located>>,
}

impl CetusGuardOptions<'_> {
    /// Reports unknown arguments and variables.
    fn check_names(&self, diagnostics: &mut Diagnostics) {
        for (name, values) in self.arguments.iter().filter(|(name, _)| !OPTIONS.contains(&name.as_str())) {
            let place = values.first().map_or(self.source.location(), |value| &value.location);
            diagnostics.report(place, unknown("argument", name, OPTIONS));
        }
        let known: Vec<String> = OPTIONS.iter().map(|name| variable(name)).collect();
        let names = self.source.variables.names().filter(|name| name.starts_with("CETUSGUARD_"));
        for name in names.filter(|name| !known.iter().any(|one| one == name)) {
            diagnostics.report(&self.source.place(name), unknown("variable", name, known.iter().map(String::as_str)));
        }
    }

    /// The values of an option. An argument replaces the variable.
    fn values(&self, name: &str) -> Vec<Located> {
        if let Some(values) = self.arguments.get(name) {
            return values.clone();
        }
        let variable = variable(name);
        let text = self.source.variables.get(&variable).map(ToOwned::to_owned);
        text.map(|text| Located { text, location: self.source.place(&variable) }).into_iter().collect()
    }

    /// The last value of an option, if it is not empty.
    fn value(&self, name: &str) -> Option<Located> {
        self.values(name).pop().filter(|value| !value.text.is_empty())
    }

    /// The engine.
    fn upstream(&self) -> Result<Address, Diagnostic> {
        let other = |name: &str| {
            let text = self.source.variables.get(name)?.to_owned();
            Some(Located { text, location: self.source.place(name) })
        };
        let found = self.value("backend-addr").or_else(|| other("CONTAINER_HOST")).or_else(|| other("DOCKER_HOST"));
        let location = found.as_ref().map_or(self.source.location(), |value| &value.location);
        let text = found.as_ref().map_or("unix:///var/run/docker.sock", |value| value.text.as_str());
        text.parse().map_err(|error| {
            Diagnostic::new(location, format!("backend-addr: found {:?}, {error}", quoting::value(text)))
        })
    }

    /// The addresses of its listeners. Its image listens on all addresses.
    fn frontends(&self) -> Vec<Located> {
        let found = self.values("frontend-addr");
        if !found.is_empty() {
            return found;
        }
        let text = if self.source.container.image.is_some() { "tcp://:2375" } else { "tcp://127.0.0.1:2375" };
        vec![Located { text: text.to_owned(), location: self.source.location().clone() }]
    }

    /// A listener. One that asked clients for certificates listens on loopback: whose they were is not known.
    fn listener(&self, value: &Located) -> Result<Address, Diagnostic> {
        let text = value.text.replace("tcp://:", "tcp://[::]:");
        let found = text.parse::<Address>();
        let found = found.map_err(|error| {
            Diagnostic::new(&value.location, format!("frontend-addr: found {:?}, {error}", quoting::value(&text)))
        })?;
        Ok(match found {
            Address::Tcp { port, .. } if self.has_tls() => Address::Tcp { host: "127.0.0.1".to_owned(), port },
            address @ (Address::Tcp { .. } | Address::Unix(_)) => address,
        })
    }

    /// Whether its listeners speak TLS.
    fn has_tls(&self) -> bool {
        ["frontend-tls-cacert", "frontend-tls-cert", "frontend-tls-key"].iter().any(|name| self.value(name).is_some())
    }

    /// Its rules.
    fn rules(&self, diagnostics: &mut Diagnostics) -> Vec<RequestRule> {
        let off = self.value("no-builtin-rules").map(|value| value.text).unwrap_or_default();
        let mut rules = Vec::new();
        if !["1", "t", "T", "TRUE", "true", "True"].contains(&off.as_str()) {
            let text = Located { text: BUILT_IN.to_owned(), location: Location::file("built-in rule") };
            rules.extend(read_rules(&text, diagnostics));
        }
        for value in self.values("rules") {
            rules.extend(read_rules(&value, diagnostics));
        }
        rules
    }

    /// What else differs.
    fn differences(&self) -> Vec<String> {
        let mut differences = Vec::new();
        for file in self.values("rules-file") {
            differences.push(format!(
                "rules-file: {} was not read: what it opens is missing here; `dockveil migrate` reads such a file by itself",
                file.text
            ));
        }
        if self.has_tls() {
            differences.push(
                "frontend-tls-…: not converted: `tls` and `clients` of the listener say it; until they are added, it listens on \
                 loopback only"
                    .to_owned(),
            );
        }
        if ["backend-tls-cacert", "backend-tls-cert", "backend-tls-key"].iter().any(|name| self.value(name).is_some()) {
            differences.push("backend-tls-…: not converted: `ca`, `cert` and `key` of `upstream` say it; until they are added, nothing is \
                 encrypted"
                    .to_owned(),);
        }
        if self.value("log-level").is_some() {
            differences.push("log-level: set DOCKVEIL_LOG to error, warn, info, debug or off".to_owned());
        }
        differences.push(
            "each rule became the operations that it matches: a path that is no operation is refused, clients may use any API \
             version, and Podman's own API (libpod) is refused"
                .to_owned(),
        );
        differences
    }
}

/// The variable of an argument.
fn variable(name: &str) -> String {
    format!("CETUSGUARD_{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// Whether a line of a rules file says nothing.
fn is_comment(line: &str) -> bool {
    let line = line.trim_matches([' ', '\t']);
    line.is_empty() || line.starts_with('!')
}

/// Splits a line into methods and pattern.
fn split(line: &str) -> Option<(Vec<String>, &str)> {
    let (methods, pattern) = line.trim_matches([' ', '\t']).split_once([' ', '\t'])?;
    let is_method = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_uppercase());
    let pattern = pattern.trim_matches([' ', '\t']);
    (methods.split(',').all(is_method) && !pattern.is_empty())
        .then(|| (methods.split(',').map(ToOwned::to_owned).collect(), pattern))
}

/// Reads lines of rules.
fn read_rules(value: &Located, diagnostics: &mut Diagnostics) -> Vec<RequestRule> {
    let mut rules = Vec::new();
    // A value of several lines starts at its first one, and so does a file, which is located as a whole.
    let start = value.location.line.saturating_sub(1);
    for (line, number) in value.text.lines().zip(1_u32..).filter(|(line, _)| !is_comment(line)) {
        let location = Location::line(&value.location.file, start.saturating_add(number));
        let is_block = value.location.line == 0 || value.text.lines().count() > 1;
        let location = if is_block { location } else { value.location.clone() };
        let Some((methods, pattern)) = split(line) else {
            diagnostics
                .report(&location, format!("found {:?}, expected a rule such as `GET /version`", quoting::value(line)));
            continue;
        };
        let compiled = compile(&expanded(pattern))
            .map_err(|error| Diagnostic::new(&location, format!("bad pattern {:?}: {error}", quoting::value(pattern))));
        let text = shortened(&format!("{} {pattern}", methods.join(",")));
        let rule = |pattern_regex| RequestRule {
            methods,
            pattern: pattern_regex,
            text,
            words: pattern.to_owned(),
            allows: true,
        };
        rules.extend(diagnostics.ok(compiled).map(rule));
    }
    rules
}

/// A pattern without variables.
fn expanded(pattern: &str) -> String {
    let mut text = pattern.to_owned();
    for _ in 0..REPLACEMENTS {
        let mut next = text.clone();
        for section in SECTIONS {
            let path = if section == "ping" { "_ping" } else { section };
            let name = format!("%API_PREFIX_{}%", section.to_ascii_uppercase());
            next = next.replace(&name, &format!("%API_PREFIX%/{path}"));
        }
        next = next.replace("%API_PREFIX%", "%_API_VERSION%?");
        for (name, value) in VARIABLES {
            next = next.replace(&format!("%{name}%"), value);
        }
        if next == text || next.len() > PATTERN_LIMIT {
            return text;
        }
        text = next;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_in_patterns_are_replaced() {
        assert_eq!(expanded("%API_PREFIX_PING%"), r"(?:/v[0-9]+(?:\.[0-9]+)*)?/_ping");
        assert_eq!(expanded("%UNKNOWN%"), "%UNKNOWN%");
        let container = compile(&expanded("%API_PREFIX_CONTAINERS%/%CONTAINER_ID_OR_NAME%/json")).unwrap();
        assert!(container.is_match("/v1.44/containers/web/json") && !container.is_match("/containers/a/b/json"));
        let image = compile(&expanded("%API_PREFIX_IMAGES%/%IMAGE_ID_OR_REFERENCE%/json")).unwrap();
        assert!(image.is_match("/images/registry.example.com:5000/team/app/json"));
        assert!(!expanded("%IMAGE_ID_OR_REFERENCE%").contains('%'));
    }

    #[test]
    fn a_line_is_methods_and_a_pattern() {
        assert_eq!(split(" GET,HEAD \t/a b "), Some((vec!["GET".to_owned(), "HEAD".to_owned()], "/a b")));
        for line in ["GET", "get /a", "GET, /a", "A=1 b"] {
            assert!(split(line).is_none(), "{line}");
        }
        assert!(rules_file("f", "! Ping\n\nGET %API_PREFIX_PING%\n").is_some());
        for text in ["", "! only\n", "CONTAINERS=1\n", "GET /a\nhello\n", "RUN x\n"] {
            assert!(rules_file("f", text).is_none(), "{text}");
        }
    }
}
