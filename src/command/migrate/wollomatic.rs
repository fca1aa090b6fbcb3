//! wollomatic/socket-proxy, which is configured by regular expressions: of arguments and variables for everybody, and of labels
//! for the containers that have them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::container::{Located, ProxyContainer};
use super::migration::{MigratedClient, Migration, OpenedOperations, OtherProfile, PROFILE};
use super::rules::{RequestRule, RuleSet, compile};
use super::source::Source;
use crate::api::{Method, Operation};
use crate::clients::{AddressRange, RangeError};
use crate::config::LONGEST_TIMEOUT;
use crate::quoting;
use crate::socket::Address;
use crate::yaml::{Diagnostic, Diagnostics, Location, nearest};

/// The methods that wollomatic/socket-proxy has patterns for, and that operations use.
const METHODS: [Method; 5] = [Method::Get, Method::Head, Method::Post, Method::Put, Method::Delete];
/// The methods that no operation uses.
const EMPTY_METHODS: [&str; 4] = ["PATCH", "CONNECT", "TRACE", "OPTIONS"];
/// The address range that wollomatic/socket-proxy accepts clients from if nothing is set.
const LOOPBACK: &str = "127.0.0.1/32";

/// The names of its options, except for those of methods.
const OPTIONS: [&str; 15] = [
    "allowfrom",
    "allowbindmountfrom",
    "allowhealthcheck",
    "dockerlabelprefix",
    "listenip",
    "logjson",
    "loglevel",
    "proxycontainername",
    "proxyport",
    "proxysocketendpoint",
    "proxysocketendpointfilemode",
    "shutdowngracetime",
    "socketpath",
    "stoponwatchdog",
    "watchdoginterval",
];

/// The options that need no value.
const FLAGS: [&str; 3] = ["allowhealthcheck", "logjson", "stoponwatchdog"];

/// The options of wollomatic/socket-proxy: arguments `-name=value`, else variables `SP_NAME=value`.
struct WollomaticOptions<'s> {
    source: &'s Source,
    arguments: BTreeMap<String, Vec<Located>>,
}

impl<'s> WollomaticOptions<'s> {
    /// Reads the options. Unknown names are errors.
    fn read(source: &'s Source, diagnostics: &mut Diagnostics) -> Self {
        let arguments = arguments(source, &FLAGS, diagnostics);
        let methods = || METHODS.iter().map(|method| method.as_str()).chain(EMPTY_METHODS);
        let known: Vec<String> =
            OPTIONS.into_iter().map(ToOwned::to_owned).chain(methods().map(|m| format!("allow{m}"))).collect();
        for (name, values) in arguments.iter().filter(|(name, _)| !known.contains(name)) {
            let expected =
                nearest(name, known.iter().map(String::as_str)).map(|near| format!(", did you mean -{near}?"));
            let message = format!("unknown argument -{}{}", quoting::value(name), expected.unwrap_or_default());
            diagnostics.report(values.first().map_or(source.location(), |value| &value.location), message);
        }
        let variables = source.variables.names().filter_map(|name| Some((name, name.strip_prefix("SP_")?)));
        for (name, option) in variables {
            let pattern =
                methods().any(|method| option.strip_prefix("ALLOW_").is_some_and(|rest| numbered(rest, method)));
            if !pattern && !OPTIONS.contains(&option.to_ascii_lowercase().as_str()) {
                diagnostics.report(&source.place(name), format!("unknown variable {}", quoting::value(name)));
            }
        }
        Self { source, arguments }
    }

    /// The value of an option, the last one if there are several.
    fn get(&self, name: &str) -> Option<&str> {
        let argument = self.arguments.get(name).and_then(|values| values.last());
        let variable = || self.source.variables.get(&format!("SP_{}", name.to_uppercase()));
        argument.map(|value| value.text.as_str()).or_else(variable).filter(|value| !value.is_empty())
    }

    /// Where an option is set.
    fn place(&self, name: &str) -> Location {
        let argument = self.arguments.get(name).and_then(|values| values.last());
        let variable = || self.source.place(&format!("SP_{}", name.to_uppercase()));
        argument.map(|value| value.location.clone()).unwrap_or_else(variable)
    }

    /// The patterns for a method.
    fn patterns(&self, method: &str) -> Vec<Located> {
        if let Some(values) = self.arguments.get(&format!("allow{method}")) {
            return values.clone();
        }
        let names = self.source.variables.names();
        let names = names.filter(|name| name.strip_prefix("SP_ALLOW_").is_some_and(|rest| numbered(rest, method)));
        let values = names.filter_map(|name| {
            let text = self.source.variables.get(name).filter(|value| !value.is_empty())?.to_owned();
            Some(Located { text, location: self.source.place(name) })
        });
        values.collect()
    }
}

/// The arguments by name. A flag has the value `true`.
pub(super) fn arguments(
    source: &Source,
    flags: &[&str],
    diagnostics: &mut Diagnostics,
) -> BTreeMap<String, Vec<Located>> {
    let mut arguments: BTreeMap<String, Vec<Located>> = BTreeMap::new();
    let mut rest = source.arguments().iter();
    while let Some(argument) = rest.next() {
        let (text, location) = (&argument.text, &argument.location);
        let Some(text) = text.strip_prefix("--").or(text.strip_prefix('-')) else {
            diagnostics.report(
                location,
                format!("found {:?}, expected an argument such as -name=value", quoting::value(text)),
            );
            continue;
        };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None if flags.contains(&text) => (text, "true".to_owned()),
            None => (text, rest.next().map(|next| next.text.clone()).unwrap_or_default()),
        };
        let value = Located { text: value, location: location.clone() };
        arguments.entry(name.to_owned()).or_default().push(value);
    }
    arguments
}

/// Whether a text is the name of a method, alone or with a number: `GET`, `GET_0`.
fn numbered(text: &str, method: &str) -> bool {
    let rest = text.strip_prefix(method);
    rest.is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix('_').is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()))
    })
}

/// The migration of wollomatic/socket-proxy.
pub(super) fn migration(source: &Source) -> Result<Migration, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let options = WollomaticOptions::read(source, &mut diagnostics);
    let upstream = format!("unix://{}", options.get("socketpath").unwrap_or("/var/run/docker.sock"));
    let upstream = diagnostics.ok(options.address("socketpath", &upstream));
    let listener = diagnostics.ok(options.address("listenip", &options.listener()));
    let mode = diagnostics.ok(options.mode());
    let shutdown = diagnostics.ok(options.shutdown());
    let opened = options.default_operations(&mut diagnostics);
    let others = options.labelled_operations(&mut diagnostics);
    let mut migration = upstream.map(|upstream| Migration::new("wollomatic/socket-proxy", upstream));
    if let Some(migration) = &mut migration {
        if let Some(listener) = listener {
            migration.listen(listener, mode);
        }
        migration.timeouts.shutdown = shutdown.unwrap_or(migration.timeouts.shutdown);
        migration.opened = opened;
        options.add_clients(others, migration);
        migration.differences.extend(options.differences());
    }
    diagnostics.finish_option(migration)
}

impl WollomaticOptions<'_> {
    /// Parses the URL that an option amounts to.
    fn address(&self, name: &str, text: &str) -> Result<Address, Diagnostic> {
        text.parse().map_err(|error| self.error(name, format!("found {:?}, {error}", quoting::value(text))))
    }

    /// An error in an option.
    fn error(&self, name: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(&self.place(name), message)
    }

    /// The addresses that clients may have.
    fn clients(&self) -> &str {
        self.get("allowfrom").unwrap_or(LOOPBACK)
    }

    /// Whether the labels of other containers count: they are read of the networks that a named container is on.
    fn reads_labels(&self) -> bool {
        self.get("proxycontainername").is_some() && self.get("proxysocketendpoint").is_none()
    }

    /// The URL of its listener.
    fn listener(&self) -> String {
        if let Some(path) = self.get("proxysocketendpoint") {
            return format!("unix://{path}");
        }
        // Clients that may come from the loopback address only reach it there.
        let address = match self.get("listenip") {
            Some(address) if self.clients() != LOOPBACK || self.reads_labels() => address,
            Some(_) | None => "127.0.0.1",
        };
        let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        format!("tcp://{address}:{}", self.get("proxyport").unwrap_or("2375"))
    }

    /// The permissions of its socket.
    fn mode(&self) -> Result<u32, Diagnostic> {
        const NAME: &str = "proxysocketendpointfilemode";
        let Some(text) = self.get(NAME) else { return Ok(0o600) };
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
        mode.ok_or_else(|| self.error(NAME, format!("{NAME}: expected an octal mode such as 0600")))
    }

    /// The time that exchanges have to finish.
    fn shutdown(&self) -> Result<Duration, Diagnostic> {
        const NAME: &str = "shutdowngracetime";
        let seconds = self.get(NAME).unwrap_or("10").parse().ok();
        let time = seconds.map(Duration::from_secs).filter(|time| *time <= LONGEST_TIMEOUT);
        time.ok_or_else(|| self.error(NAME, format!("{NAME}: expected a number of seconds, at most seven days")))
    }

    /// What arguments and variables allow to everybody.
    fn default_operations(&self, diagnostics: &mut Diagnostics) -> OpenedOperations {
        let mut rules = Vec::new();
        for method in METHODS {
            for pattern in self.patterns(method.as_str()) {
                rules.extend(diagnostics.ok(rule(method, &pattern, format!("-allow{}", method.as_str()))));
            }
        }
        opened(rules, self.get("allowbindmountfrom").is_some())
    }

    /// What labels allow to the containers that have them.
    fn labelled_operations(&self, diagnostics: &mut Diagnostics) -> Vec<OtherProfile> {
        let prefix = format!("{}.allow.", self.get("dockerlabelprefix").unwrap_or("socket-proxy"));
        let labelled = self.source.labelled.iter().filter(|_| self.reads_labels());
        labelled.filter_map(|container| labelled_profile(container, &prefix, diagnostics)).collect()
    }

    /// Lists the clients of the listener: the containers with labels, each with a profile of its own, and then the addresses that
    /// everybody else may have.
    fn add_clients(&self, others: Vec<OtherProfile>, migration: &mut Migration) {
        let mut clients: Vec<MigratedClient> =
            others.iter().filter_map(|other| self.labelled_client(other, &mut migration.differences)).collect();
        let has_labelled = !others.is_empty();
        migration.others = others;
        let prefix = format!("{}.allow.", self.get("dockerlabelprefix").unwrap_or("socket-proxy"));
        let has_label =
            |container: &&ProxyContainer| container.labels.iter().any(|(name, _)| name.starts_with(&prefix));
        if !self.reads_labels() && self.source.labelled.iter().any(|container| has_label(&container)) {
            migration.differences.push(format!("labels {prefix}… had no effect: -proxycontainername is not set"));
        }
        if self.get("proxysocketendpoint").is_none() {
            let line = self.other_clients(has_labelled, migration);
            // A list of nobody would be none. Only this program itself has that address.
            let nobody =
                || MigratedClient { selector: "address: \"127.0.0.1\"".to_owned(), profile: PROFILE.to_owned() };
            let needs_one = has_labelled && clients.is_empty();
            clients.extend(line.or_else(|| needs_one.then(nobody)));
            migration.list_clients(clients);
        }
    }

    /// The line of a container with labels. `None` if it is not known what the engine calls it.
    fn labelled_client(&self, other: &OtherProfile, differences: &mut Vec<String>) -> Option<MigratedClient> {
        let OtherProfile { name, of, .. } = other;
        let container = self.source.labelled.iter().find(|container| container.name == *of);
        let start = format!("the labels of {of} allowed something to that container");
        let Some(selector) = container.and_then(ProxyContainer::selector) else {
            differences.push(format!(
                "{start}: it is in the profile {name}, but what the container is called is not known. Until you add a line \
                 `{{container: {{name: …}}, profile: {name}}}` to `clients`, it is denied"
            ));
            return None;
        };
        differences.push(format!(
            "{start}: it has the profile {name}, and is known by its address on a network that dockveil is on, too, and by \
             {selector}. Add `project` to that if another project has such a service"
        ));
        Some(MigratedClient { selector: format!("container: {selector}"), profile: name.clone() })
    }

    /// The line of everybody without labels, behind those with. `None` if the listener needs none.
    fn other_clients(&self, has_labelled: bool, migration: &mut Migration) -> Option<MigratedClient> {
        let (ranges, names) = self.client_addresses();
        let is_open = !migration.opened.allow.is_empty() || !migration.opened.bound.is_empty();
        if has_labelled && is_open && !names.is_empty() {
            let names = names.join(", ");
            migration.differences.push(format!(
                "-allowfrom: {names} was looked up for each request, which is not supported: what everybody may do is in the \
                 profile {PROFILE}. Until you add a line with an address or a container to `clients`, {names} is denied"
            ));
        }
        // Without labels, a list would shut out the names, and those on the machine itself need no line: the listener is there.
        let is_listed = has_labelled || names.is_empty() && self.clients() != LOOPBACK;
        let is_everybody = !has_labelled && ranges.iter().any(|range| range == "0.0.0.0/0");
        let ranges: Vec<String> = ranges.iter().map(|range| format!("\"{range}\"")).collect();
        (is_listed && !is_everybody && is_open && !ranges.is_empty()).then(|| MigratedClient {
            selector: format!("address: [{}]", ranges.join(", ")),
            profile: PROFILE.to_owned(),
        })
    }

    /// The addresses and ranges that clients may have, and the names of others.
    fn client_addresses(&self) -> (Vec<String>, Vec<String>) {
        let (mut ranges, mut names) = (Vec::new(), Vec::new());
        for text in self.clients().split(',').map(str::trim).filter(|text| !text.is_empty()) {
            match text.parse::<AddressRange>() {
                Ok(range) | Err(RangeError::Inside(range)) => ranges.push(range.to_string()),
                Err(RangeError::Form) => names.push(text.to_owned()),
            }
        }
        (ranges, names)
    }

    /// What else differs.
    fn differences(&self) -> Vec<String> {
        let mut differences = Vec::new();
        for method in EMPTY_METHODS.iter().filter(|method| !self.patterns(method).is_empty()) {
            differences.push(format!("-allow{method}: the engine has no operation with this method"));
        }
        let from = self.clients();
        let is_by_name = !self.client_addresses().1.is_empty() && !self.reads_labels();
        if self.get("proxysocketendpoint").is_none() && is_by_name {
            differences.push(format!(
                "-allowfrom={from}: names are not supported: anyone who reaches the listener can use it, so put it on a network that \
                 only the client is on"
            ));
        }
        let set = WOLLOMATIC_OPTIONS.iter().filter(|(name, _)| self.get(name).is_some());
        differences.extend(set.map(|(name, why)| format!("-{name}: {why}")));
        differences.push(
            "each pattern became the operations that it matches: a path that is no operation is refused, and clients may \
             use any API version"
                .to_owned(),
        );
        differences
    }
}

/// The rule of a pattern for one method.
fn rule(method: Method, pattern: &Located, text: String) -> Result<RequestRule, Diagnostic> {
    let compiled = compile(&pattern.text).map_err(|error| {
        Diagnostic::new(
            &pattern.location,
            format!("bad pattern {:?} for {}: {error}", quoting::value(&pattern.text), method.as_str()),
        )
    })?;
    let methods = vec![method.as_str().to_owned()];
    Ok(RequestRule { methods, pattern: compiled, text, words: pattern.text.clone(), allows: true })
}

/// The operations that rules allow. If bind mounts are limited to certain folders, what could mount others is left out.
fn opened(rules: Vec<RequestRule>, limits_mounts: bool) -> OpenedOperations {
    let reason = |operation: &Operation| {
        (limits_mounts && operation.can_mount_host_paths())
            .then_some("was open for bind mounts of certain folders only")
    };
    OpenedOperations::of_rules(&RuleSet::new(rules), reason)
}

/// What the labels of a container allow to it; `None` if it has none.
fn labelled_profile(container: &ProxyContainer, prefix: &str, diagnostics: &mut Diagnostics) -> Option<OtherProfile> {
    let mut rules = Vec::new();
    let mut limits_mounts = false;
    for (label, value) in container.labels.iter().filter(|(_, value)| !value.text.is_empty()) {
        let Some(rest) = label.strip_prefix(prefix) else { continue };
        let kind = rest.split('.').next().unwrap_or_default().to_ascii_uppercase();
        limits_mounts |= kind == "BINDMOUNTFROM";
        for method in METHODS.into_iter().filter(|method| method.as_str() == kind) {
            rules.extend(diagnostics.ok(rule(method, value, format!("label {label}"))));
        }
    }
    (!rules.is_empty()).then(|| OtherProfile::new(&container.name, opened(rules, limits_mounts)))
}

/// The options that mean something else here, or nothing.
const WOLLOMATIC_OPTIONS: &[(&str, &str)] = &[
    ("allowbindmountfrom", "not supported: operations that can mount are left out below"),
    ("allowhealthcheck", "`dockveil healthcheck` asks the listener itself"),
    ("loglevel", "set DOCKVEIL_LOG to error, warn, info, debug or off"),
    ("logjson", "`log: {format: json}` does that, or DOCKVEIL_LOG_FORMAT=json"),
    ("watchdoginterval", "not needed: while the engine is unreachable, the answer is 503"),
    ("stoponwatchdog", "not supported: dockveil does not stop, but `dockveil healthcheck` fails"),
    (
        "proxycontainername",
        "labels are read here, once, and become lines of `clients`; labels that change later, or are in another file, allow \
         nothing",
    ),
];
