//! CodesWhat/sockguard, which is configured by a file of rules with globs, or by the variables of Tecnativa's proxy.

use regex::Regex;

use super::compose::member;
use super::foxxmd::leave_out_containers;
use super::migration::{Migration, OpenedOperations, OtherProfile, shortened};
use super::rules::{RequestRule, RuleSet};
use super::source::Source;
use crate::api::{Operation, RequestBody};
use crate::config::compat::{Means, tables};
use crate::quoting;
use crate::socket::Address;
use crate::yaml::{Diagnostic, Diagnostics, Location, Node, Value};

/// Where its image expects the configuration.
const FILE: &str = "/etc/sockguard/sockguard.yaml";
/// What it allows without a configuration.
const DEFAULT_RULES: [(&str, &str); 4] =
    [("GET", "/_ping"), ("HEAD", "/_ping"), ("GET", "/version"), ("GET", "/events")];
/// What becomes of its checks of bodies.
const BODIES: &str = "its checks of bodies have none like them here: operations with a body are left out below";
/// Why an operation is left out whose requests it looks into.
const INSPECTED: &str = "was open for some requests only: it looked into their parameters and bodies";

/// The migration of sockguard.
pub(super) fn migration(source: &Source) -> Result<Migration, Diagnostics> {
    match &source.document {
        Some(document) => of_file(document),
        None => of_variables(source),
    }
}

/// The migration of its configuration file.
fn of_file(document: &Node) -> Result<Migration, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let socket = text_at(document, &["upstream", "socket"]).unwrap_or("/var/run/docker.sock");
    let upstream = diagnostics.ok(address(&format!("unix://{socket}"), &place(document, &["upstream", "socket"])));
    let mut migration = Migration::new("CodesWhat/sockguard", upstream.ok_or_else(|| diagnostics.clone())?);
    let rules = rules_of(document, &mut diagnostics);
    migration.opened = opened(rules.unwrap_or_else(default_rules));
    let profiles =
        at(document, &["clients", "profiles"]).and_then(|node| node.list("profiles").ok()).unwrap_or_default();
    for profile in profiles {
        let name = member(profile, "name").and_then(|node| node.text("a name").ok()).unwrap_or("unnamed");
        let rules = rules_of(profile, &mut diagnostics).unwrap_or_default();
        migration.others.push(OtherProfile::new(name, opened(rules)));
    }
    listen(document, &mut migration, &mut diagnostics);
    migration.differences.extend(differences(document));
    let has = |path: &[&str]| profiles.iter().any(|profile| at(profile, path).is_some());
    if has(&["limits", "rate", "endpoint_costs"]) || has(&["limits", "priority"]) {
        migration.differences.push(
            "clients.profiles.limits: every request counts once, and no client comes first: endpoint_costs and priority are left out"
                .to_owned(),
        );
    }
    if !profiles.is_empty() {
        migration.differences.push(
            "clients.profiles: each is a profile of its own here. Who gets it by address, user, certificate or label is not written for \
             you: list them under `clients` of the listener. It has the profile that `allowed_profiles` or `default_profile` names alone"
                .to_owned(),
        );
    }
    let selecting = ["visible_resource_labels", "name_patterns", "image_patterns"];
    let set = |name: &&str| {
        at(document, &["response", name]).is_some_and(|node| node.list("texts").is_ok_and(|list| !list.is_empty()))
    };
    let mut selected: Vec<&str> = selecting.into_iter().filter(set).collect();
    selected.extend(text_at(document, &["ownership", "owner"]).map(|_| "ownership"));
    leave_out_containers(&mut migration, &selected);
    diagnostics.finish(migration)
}

/// The migration of variables, without a configuration file.
fn of_variables(source: &Source) -> Result<Migration, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let get = |name: &str| source.variables.get(name).filter(|text| !text.is_empty());
    let socket = get("SOCKGUARD_UPSTREAM_SOCKET").or(get("SOCKET_PATH")).unwrap_or("/var/run/docker.sock");
    let upstream = diagnostics.ok(address(&format!("unix://{socket}"), &source.place("SOCKGUARD_UPSTREAM_SOCKET")));
    let listener = match get("SOCKGUARD_LISTEN_SOCKET") {
        Some(path) => address(&format!("unix://{path}"), &source.place("SOCKGUARD_LISTEN_SOCKET")),
        None => address(
            &tcp(get("SOCKGUARD_LISTEN_ADDRESS").unwrap_or("127.0.0.1:2375")),
            &source.place("SOCKGUARD_LISTEN_ADDRESS"),
        ),
    };
    let listener = diagnostics.ok(listener);
    let mut migration = Migration::new("CodesWhat/sockguard", upstream.ok_or_else(|| diagnostics.clone())?);
    migration.opened = opened(variable_rules(source));
    if let Some(listener) = listener {
        migration.listen(listener, Some(0o600));
    }
    if let Some(mount) = source.container.mounts.iter().find(|mount| FILE.starts_with(&mount.target)) {
        migration.differences.push(format!(
            "{}: was not read: the rules in it are missing here; `dockveil migrate` reads such a file by itself",
            mount.source
        ));
        // Without the rules of the file, nothing is certain to have been open.
        migration.opened = OpenedOperations::default();
    }
    let other = |name: &&str| {
        let known = ["SOCKGUARD_UPSTREAM_SOCKET", "SOCKGUARD_LISTEN_SOCKET", "SOCKGUARD_LISTEN_ADDRESS"];
        name.starts_with("SOCKGUARD_") && !known.contains(name)
    };
    let others = source.variables.names().filter(other);
    migration.differences.extend(others.map(|name| format!("{name}: was not read")));
    diagnostics.finish(migration)
}

/// The rules that variables of Tecnativa's proxy stand for. Each opens its section, and POST all methods of it.
fn variable_rules(source: &Source) -> Vec<RequestRule> {
    let on = |name: &str, default: bool| match source.variables.get(name) {
        None => default,
        Some(text) => ["1", "true", "yes"].contains(&text.to_ascii_lowercase().as_str()),
    };
    let table = tables().unwrap_or_default().iter().find(|table| table.name == "tecnativa");
    let sections = table.into_iter().flat_map(|table| table.switches()).filter(|(_, row)| row.means == Means::Switch);
    let methods = if on("POST", false) { "*" } else { "GET,HEAD" };
    let mut rules = Vec::new();
    for (section, _) in sections {
        let (path, default) = match section {
            "PING" => ("/_ping".to_owned(), true),
            "VERSION" | "EVENTS" => (format!("/{}", section.to_ascii_lowercase()), true),
            "INFO" => ("/info".to_owned(), false),
            _ => (format!("/{}/**", section.to_ascii_lowercase()), false),
        };
        if on(section, default) {
            rules.extend(rule(methods, &path, true, section.to_owned()));
        }
    }
    for (name, actions) in [
        ("ALLOW_START", &["start"][..]),
        ("ALLOW_STOP", &["stop"]),
        ("ALLOW_RESTART", &["restart", "stop", "kill"]),
        ("ALLOW_RESTARTS", &["restart", "stop", "kill"]),
        ("ALLOW_KILL", &["kill"]),
        ("ALLOW_PAUSE", &["pause"]),
        ("ALLOW_UNPAUSE", &["unpause"]),
    ] {
        for action in actions.iter().filter(|_| on(name, false)) {
            rules.extend(rule("POST", &format!("/containers/*/{action}"), true, name.to_owned()));
        }
    }
    for (name, method, path) in
        [("ALLOW_DELETE", "DELETE", "/containers/*"), ("ALLOW_PRUNE", "POST", "/containers/prune")]
    {
        if on(name, false) {
            rules.extend(rule(method, path, true, name.to_owned()));
        }
    }
    rules
}

/// The rules without a configuration.
fn default_rules() -> Vec<RequestRule> {
    DEFAULT_RULES.iter().filter_map(|(method, path)| rule(method, path, true, "its default".to_owned())).collect()
}

/// The operations that rules allow, less those whose requests it looks into.
fn opened(rules: Vec<RequestRule>) -> OpenedOperations {
    OpenedOperations::of_rules(&RuleSet::unversioned(rules), |operation| is_inspected(operation).then_some(INSPECTED))
}

/// Whether it looks into the requests of an operation.
fn is_inspected(operation: &Operation) -> bool {
    let has_body = match operation.body {
        RequestBody::None => false,
        RequestBody::Json
        | RequestBody::OptionalJson
        | RequestBody::Tar
        | RequestBody::OptionalTar
        | RequestBody::Raw => true,
    };
    // Of these it looks at registries, which are in the query.
    operation.mutating && (has_body || operation.calls_registry)
}

/// The rules in a document or a client profile; `None` if it has none.
fn rules_of(node: &Node, diagnostics: &mut Diagnostics) -> Option<Vec<RequestRule>> {
    let list = diagnostics.ok(member(node, "rules")?.list("a list of rules"))?;
    if list.is_empty() {
        return None;
    }
    Some(list.iter().filter_map(|item| diagnostics.ok(rule_of(item))).collect())
}

/// One rule.
fn rule_of(item: &Node) -> Result<RequestRule, Diagnostic> {
    let text = |path: &[&str], what: &str| {
        at(item, path).ok_or_else(|| item.diagnostic(format!("expected `{what}`")))?.text(what)
    };
    let (method, path) = (text(&["match", "method"], "match.method")?, text(&["match", "path"], "match.path")?);
    let action = text(&["action"], "action")?;
    let allows = match action.to_ascii_lowercase().as_str() {
        "allow" => true,
        "deny" => false,
        _ => {
            return Err(
                item.diagnostic(format!("found the action {:?}, expected allow or deny", quoting::value(action)))
            );
        }
    };
    let found = rule(method, path, allows, shortened(&format!("{method} {path}")));
    found.ok_or_else(|| item.diagnostic(format!("bad path {:?}", quoting::value(path))))
}

/// A rule. Methods are separated by commas, `*` is any.
fn rule(methods: &str, path: &str, allows: bool, text: String) -> Option<RequestRule> {
    let methods: Vec<String> = methods.split(',').map(|method| method.trim().to_ascii_uppercase()).collect();
    let methods = if methods.iter().any(|method| method == "*") { Vec::new() } else { methods };
    Some(RequestRule { methods, pattern: Regex::new(&glob(path)).ok()?, text, words: path.to_owned(), allows })
}

/// A glob as a regular expression: `*` is any part of a segment, `**` anything, and `/**` also nothing.
fn glob(path: &str) -> String {
    let mut out = "^".to_owned();
    let mut rest = path;
    while let Some(c) = rest.chars().next() {
        let (pattern, length) = match c {
            '/' if rest.starts_with("/**") => ("(/.*)?".to_owned(), 3),
            '*' if rest.starts_with("**") => (".*".to_owned(), 2),
            '*' => ("[^/]*".to_owned(), 1),
            c => (regex::escape(&c.to_string()), c.len_utf8()),
        };
        out.push_str(&pattern);
        rest = rest.get(length..).unwrap_or_default();
    }
    out + "$"
}

/// Adds its listeners.
fn listen(document: &Node, migration: &mut Migration, diagnostics: &mut Diagnostics) {
    let listeners = member(document, "listeners").and_then(|node| node.list("listeners").ok()).unwrap_or_default();
    let default = member(document, "listen");
    let nodes: Vec<&Node> =
        if listeners.is_empty() { default.into_iter().collect() } else { listeners.iter().collect() };
    let fallback = text_at(document, &["clients", "default_profile"]);
    if nodes.is_empty() {
        migration.listen(Address::Tcp { host: "127.0.0.1".to_owned(), port: 2375 }, None);
        migration.give_profile(fallback);
        migration.limit_clients(fallback.and_then(|name| per_client(document, name)));
    }
    for node in nodes {
        let text = match text_at(node, &["socket"]).filter(|path| !path.is_empty()) {
            Some(path) => format!("unix://{path}"),
            None => tcp(text_at(node, &["address"]).unwrap_or("127.0.0.1:2375")),
        };
        let Some(found) = diagnostics.ok(address(&text, &node.location)) else { continue };
        let found = match found {
            // Clients had to have a certificate.
            Address::Tcp { port, .. } if text_at(node, &["tls", "cert_file"]).is_some() => {
                migration.differences.push(
                    "listen.tls: not converted: `tls` and `clients` of the listener say it; until they are added, it listens on \
                     loopback only"
                        .to_owned(),
                );
                Address::Tcp { host: "127.0.0.1".to_owned(), port }
            }
            found @ (Address::Tcp { .. } | Address::Unix(_)) => found,
        };
        let mode = text_at(node, &["socket_mode"]).and_then(|text| u32::from_str_radix(text, 8).ok());
        migration.listen(found, mode.filter(|mode| *mode <= 0o777).or(Some(0o600)));
        let allowed = member(node, "allowed_profiles").and_then(|node| node.list("profiles").ok()).unwrap_or_default();
        let profile = match allowed {
            [only] => only.text("a profile").ok(),
            _ => fallback,
        };
        migration.give_profile(profile);
        migration.limit_clients(profile.and_then(|name| per_client(document, name)));
    }
}

/// What each client with a profile could have at a time, as `per_client` of a listener.
fn per_client(document: &Node, profile: &str) -> Option<String> {
    let profiles = at(document, &["clients", "profiles"])?.list("profiles").ok()?;
    let profile = profiles.iter().find(|node| text_at(node, &["name"]) == Some(profile))?;
    let count = |path: &[&str]| text_at(profile, path)?.parse::<f64>().ok().filter(|count| *count > 0.0);
    // A connection has one request at a time.
    let connections = count(&["limits", "concurrency", "max_inflight"]).map(|count| format!("connections: {count:.0}"));
    let requests = count(&["limits", "rate", "tokens_per_second"]).and_then(|rate| {
        let burst = count(&["limits", "rate", "burst"]).unwrap_or(rate).floor().max(1.0);
        let units = [(1.0, "s"), (60.0, "m"), (3600.0, "h")];
        // The first unit in which it is a whole number, or nearly one.
        let written = units.map(|(seconds, unit)| (rate * seconds, unit));
        let (count, unit) =
            written.into_iter().find(|(count, _)| *count >= 1.0 && count.fract() < 0.01).or(written.last().copied())?;
        Some(format!("requests: {{rate: {:.0}/{unit}, burst: {burst:.0}}}", count.floor().max(1.0)))
    });
    let limits: Vec<String> = connections.into_iter().chain(requests).collect();
    (!limits.is_empty()).then(|| format!("{{{}}}", limits.join(", ")))
}

/// What else differs.
fn differences(document: &Node) -> Vec<String> {
    let notes: [(&[&str], &str); 12] = [
        (&["response"], "answers are filtered by class here: secrets, commands, free text and paths are hidden"),
        (&["request_body"], BODIES),
        (&["insecure_allow_body_blind_writes"], BODIES),
        (&["mutations"], "not supported: dockveil adds nothing to what clients make"),
        (&["clients", "allowed_cidrs"], "not written for you: list them under `clients` of the listener, as `address`"),
        (
            &["clients", "container_labels"],
            "not supported: labels allow no paths; a line of `clients` gives a container with a label a profile",
        ),
        (&["clients", "global_concurrency"], "see `limits.connections`"),
        (&["metrics"], "not written for you: see `metrics`, which has an address of its own and other names"),
        (&["admin"], "not supported: there is no administrative interface"),
        (&["reload"], "changed files are noticed, and SIGHUP has them read again"),
        (&["policy_bundle"], "not supported: rules are in the configuration file only"),
        (
            &["log"],
            "set DOCKVEIL_LOG to error, warn, info, debug or off; see `log` for JSON, and `audit` for a file of its own",
        ),
    ];
    let is_off = |node: &Node| {
        member(node, "enabled").is_some_and(|node| node.text("a switch").is_ok_and(|text| text == "false"))
    };
    let set = notes
        .iter()
        .filter(|(path, _)| at(document, path).is_some_and(|node| node.value != Value::Null && !is_off(node)));
    set.map(|(path, why)| format!("{}: {why}", path.join("."))).collect()
}

/// The node below several keys.
fn at<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(node, |node, name| member(node, name))
}

/// The text below several keys.
fn text_at<'n>(node: &'n Node, path: &[&str]) -> Option<&'n str> {
    at(node, path)?.text("a text").ok()
}

/// Where the node below several keys is, or its parent if it is missing.
fn place(node: &Node, path: &[&str]) -> Location {
    at(node, path).unwrap_or(node).location.clone()
}

/// The URL of an address as Go writes it. `:2375` is all addresses.
fn tcp(address: &str) -> String {
    format!("tcp://{}{address}", if address.starts_with(':') { "[::]" } else { "" })
}

/// Parses a URL.
fn address(text: &str, location: &Location) -> Result<Address, Diagnostic> {
    text.parse().map_err(|error| Diagnostic::new(location, format!("found {:?}, {error}", quoting::value(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_matches_as_its_own() {
        let is_match = |pattern: &str, path: &str| Regex::new(&glob(pattern)).unwrap().is_match(path);
        assert!(is_match("/containers/**", "/containers") && is_match("/containers/**", "/containers/a/json"));
        assert!(!is_match("/containers/**", "/containersX") && is_match("/images/**/json", "/images/a/b/json"));
        assert!(
            is_match("/containers/*/json", "/containers/a/json")
                && !is_match("/containers/*/json", "/containers/a/b/json")
        );
        assert!(is_match("/a.b", "/a.b") && !is_match("/a.b", "/aXb"));
    }
}
