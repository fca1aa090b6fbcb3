//! Proxies without a drop-in mode: wollomatic/socket-proxy and FoxxMD/docker-proxy-filter.

use std::collections::BTreeMap;
use std::time::Duration;

use super::migration::Migration;
use super::patterns::{Matched, compile, matched};
use super::source::Source;
use super::{UNFILTERABLE, is_unfilterable};
use crate::api::{Method, OPERATIONS, Operation};
use crate::config::LONGEST_TIMEOUT;
use crate::socket::Address;
use crate::yaml::{Diagnostic, Diagnostics, nearest};

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
struct Options<'s> {
    source: &'s Source,
    arguments: BTreeMap<String, Vec<String>>,
}

impl<'s> Options<'s> {
    /// Reads the options. Unknown names are errors.
    fn read(source: &'s Source, diagnostics: &mut Diagnostics) -> Self {
        let arguments = arguments(source, diagnostics);
        let methods = || METHODS.iter().map(|method| method.as_str()).chain(EMPTY_METHODS);
        let known: Vec<String> =
            OPTIONS.into_iter().map(ToOwned::to_owned).chain(methods().map(|m| format!("allow{m}"))).collect();
        for name in arguments.keys().filter(|name| !known.contains(name)) {
            let expected =
                nearest(name, known.iter().map(String::as_str)).map(|near| format!(", did you mean -{near}?"));
            let message = format!("unknown argument -{name}{}", expected.unwrap_or_default());
            diagnostics.report(&source.location, message);
        }
        let variables = source.variables.names().filter_map(|name| Some((name, name.strip_prefix("SP_")?)));
        for (name, option) in variables {
            let pattern =
                methods().any(|method| option.strip_prefix("ALLOW_").is_some_and(|rest| numbered(rest, method)));
            if !pattern && !OPTIONS.contains(&option.to_ascii_lowercase().as_str()) {
                diagnostics.report(&source.location, format!("unknown variable {name}"));
            }
        }
        Self { source, arguments }
    }

    /// The value of an option, the last one if there are several.
    fn get(&self, name: &str) -> Option<&str> {
        let argument = self.arguments.get(name).and_then(|values| values.last());
        let variable = || self.source.variables.get(&format!("SP_{}", name.to_uppercase()));
        argument.map(String::as_str).or_else(variable).filter(|value| !value.is_empty())
    }

    /// The patterns for a method.
    fn patterns(&self, method: &str) -> Vec<String> {
        if let Some(values) = self.arguments.get(&format!("allow{method}")) {
            return values.clone();
        }
        let names = self.source.variables.names();
        let names = names.filter(|name| name.strip_prefix("SP_ALLOW_").is_some_and(|rest| numbered(rest, method)));
        let values = names.filter_map(|name| self.source.variables.get(name));
        values.filter(|value| !value.is_empty()).map(ToOwned::to_owned).collect()
    }
}

/// The arguments by name. A flag has the value `true`.
fn arguments(source: &Source, diagnostics: &mut Diagnostics) -> BTreeMap<String, Vec<String>> {
    let mut arguments: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut rest = source.arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(argument) = argument.strip_prefix("--").or(argument.strip_prefix('-')) else {
            let message = format!("found the argument {argument:?}, expected -name=value");
            diagnostics.report(&source.location, message);
            continue;
        };
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None if FLAGS.contains(&argument) => (argument, "true".to_owned()),
            None => (argument, rest.next().cloned().unwrap_or_default()),
        };
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
pub(super) fn wollomatic(source: &Source) -> Result<Migration, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let options = Options::read(source, &mut diagnostics);
    let upstream = format!("unix://{}", options.get("socketpath").unwrap_or("/var/run/docker.sock"));
    let upstream = diagnostics.ok(options.address(&upstream));
    let listener = diagnostics.ok(options.address(&options.listener()));
    let mode = diagnostics.ok(options.mode());
    let shutdown = diagnostics.ok(options.shutdown());
    let mut migration = upstream.map(|upstream| Migration::new("wollomatic/socket-proxy", upstream));
    if let Some(migration) = &mut migration {
        if let Some(listener) = listener {
            migration.listen(listener, mode);
        }
        migration.timeouts.shutdown = shutdown.unwrap_or(migration.timeouts.shutdown);
        for method in METHODS {
            options.allow(method, migration, &mut diagnostics);
        }
        migration.differences.extend(options.differences());
    }
    diagnostics.finish_option(migration)
}

impl Options<'_> {
    /// Parses a URL.
    fn address(&self, text: &str) -> Result<Address, Diagnostic> {
        text.parse().map_err(|error| self.error(format!("found {text:?}, {error}")))
    }

    /// An error in the options.
    fn error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(&self.source.location, message)
    }

    /// The addresses that clients may have.
    fn clients(&self) -> &str {
        self.get("allowfrom").unwrap_or(LOOPBACK)
    }

    /// The URL of its listener.
    fn listener(&self) -> String {
        if let Some(path) = self.get("proxysocketendpoint") {
            return format!("unix://{path}");
        }
        // Clients that may come from the loopback address only reach it there.
        let address = match self.get("listenip") {
            Some(address) if self.clients() != LOOPBACK => address,
            Some(_) | None => "127.0.0.1",
        };
        let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        format!("tcp://{address}:{}", self.get("proxyport").unwrap_or("2375"))
    }

    /// The permissions of its socket.
    fn mode(&self) -> Result<u32, Diagnostic> {
        let Some(text) = self.get("proxysocketendpointfilemode") else { return Ok(0o600) };
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
        mode.ok_or_else(|| self.error("proxysocketendpointfilemode: expected an octal mode such as 0600"))
    }

    /// The time that exchanges have to finish.
    fn shutdown(&self) -> Result<Duration, Diagnostic> {
        let seconds = self.get("shutdowngracetime").unwrap_or("10").parse().ok();
        let time = seconds.map(Duration::from_secs).filter(|time| *time <= LONGEST_TIMEOUT);
        time.ok_or_else(|| self.error("shutdowngracetime: expected a number of seconds, at most seven days"))
    }

    /// Allows the operations that the patterns for one method match.
    fn allow(&self, method: Method, migration: &mut Migration, diagnostics: &mut Diagnostics) {
        let sources = self.patterns(method.as_str());
        let mut compiled = Vec::new();
        for pattern in &sources {
            let result = compile(pattern);
            let result =
                result.map_err(|error| self.error(format!("bad pattern {pattern:?} for {}: {error}", method.as_str())));
            compiled.extend(diagnostics.ok(result));
        }
        let option = format!("-allow{}", method.as_str());
        let limits_mounts = self.get("allowbindmountfrom").is_some();
        for operation in OPERATIONS.iter().filter(|operation| operation.method == method) {
            let reason = match matched(operation, &compiled, &sources) {
                Matched::Nothing => continue,
                Matched::Names(name) => format!("was open for some names only, such as {name}"),
                Matched::Whole if is_unfilterable(operation) => UNFILTERABLE.to_owned(),
                Matched::Whole if limits_mounts && operation.can_mount_host_paths() => {
                    "was open for bind mounts of certain folders only".to_owned()
                }
                Matched::Whole => {
                    migration.allow.insert(operation.id, option.clone());
                    continue;
                }
            };
            migration.left_out.insert(operation.id, format!("{option}; {reason}"));
        }
    }

    /// What else differs.
    fn differences(&self) -> Vec<String> {
        let mut differences = Vec::new();
        for method in EMPTY_METHODS.iter().filter(|method| !self.patterns(method).is_empty()) {
            differences.push(format!("-allow{method}: the engine has no operation with this method"));
        }
        let from = self.clients();
        if self.get("proxysocketendpoint").is_none() && from != LOOPBACK {
            differences.push(format!(
                "-allowfrom={from}: not supported: anyone who reaches the listener can use it, so put it on a network that \
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

/// The options that mean something else here, or nothing.
const WOLLOMATIC_OPTIONS: &[(&str, &str)] = &[
    ("allowbindmountfrom", "not supported: operations that can mount are left out below"),
    ("allowhealthcheck", "`dockveil healthcheck` asks the listener itself"),
    ("loglevel", "set DOCKVEIL_LOG to error, warn, info, debug or off"),
    ("logjson", "not supported: the log is lines of text"),
    ("watchdoginterval", "not needed: while the engine is unreachable, the answer is 503"),
    ("stoponwatchdog", "not supported: dockveil does not stop, but `dockveil healthcheck` fails"),
    ("proxycontainername", "not supported: labels of other containers allow nothing"),
    ("dockerlabelprefix", "not supported: labels of other containers allow nothing"),
];

/// The migration of FoxxMD/docker-proxy-filter.
pub(super) fn foxxmd(source: &Source) -> Result<Migration, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let get = |name: &str| source.variables.get(name).filter(|value| !value.is_empty());
    let error = |message: String| Diagnostic::new(&source.location, message);
    let url = get("PROXY_URL").unwrap_or_default();
    let host = url.strip_prefix("http://").unwrap_or_default().trim_end_matches('/');
    let port = if host.rsplit(']').next().is_some_and(|rest| rest.contains(':')) { "" } else { ":80" };
    let upstream = format!("tcp://{host}{port}").parse::<Address>();
    let upstream =
        diagnostics.ok(upstream.map_err(|_| error(format!("PROXY_URL: found {url:?}, expected http://host:port"))));
    let listener = format!("tcp://0.0.0.0:{}", get("PORT").unwrap_or("2375")).parse::<Address>();
    let listener = diagnostics.ok(listener.map_err(|reason| error(format!("PORT: {reason}"))));
    let (Some(upstream), Some(listener)) = (upstream, listener) else { return Err(diagnostics) };
    let mut migration = match &source.behind {
        Some(behind) => super::migration_of(behind)?.in_front("FoxxMD/docker-proxy-filter", &behind.notes),
        None => pass_through(upstream),
    };
    migration.listen(listener, None);
    let selected = ["CONTAINER_NAMES", "CONTAINER_LABELS"].into_iter().filter(|name| get(name).is_some());
    leave_out_containers(&mut migration, &selected.collect::<Vec<_>>());
    let scrubbed = get("SCRUB_ENVS").is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1");
    migration.differences.push(if scrubbed {
        "SCRUB_ENVS emptied the environment where one container is inspected: here it is hidden everywhere".to_owned()
    } else {
        "SCRUB_ENVS was off: here environments are hidden; `env` in the profile shows some by name".to_owned()
    });
    if get("RUST_LOG").is_some() {
        migration.differences.push("RUST_LOG: the log level is set by DOCKVEIL_LOG".to_owned());
    }
    diagnostics.finish(migration)
}

/// Leaves out the operations that show containers, if variables select some of the containers.
fn leave_out_containers(migration: &mut Migration, selected: &[&str]) {
    if selected.is_empty() {
        return;
    }
    let why = format!("was open for the containers of {} only", selected.join(" and "));
    for operation in OPERATIONS.iter().filter(|operation| operation.shows_containers()) {
        if migration.allow.remove(operation.id).is_some() {
            migration.left_out.insert(operation.id, why.clone());
        }
    }
    migration.differences.extend(selected.iter().map(|name| {
        format!(
            "{name}: not supported: dockveil hides what is in a container, not the container itself. Operations that show \
             containers are left out below: allow them if the client may see all containers"
        )
    }));
}

/// FoxxMD/docker-proxy-filter in front of an unknown proxy: every read is passed through.
fn pass_through(upstream: Address) -> Migration {
    let mut migration = Migration::new("FoxxMD/docker-proxy-filter", upstream);
    for operation in OPERATIONS {
        if !is_read(operation) {
            let why = "was passed to the proxy behind it, which may have allowed it";
            migration.left_out.insert(operation.id, why.to_owned());
        } else if is_unfilterable(operation) {
            migration.left_out.insert(operation.id, UNFILTERABLE.to_owned());
        } else {
            migration.allow.insert(operation.id, "was passed through".to_owned());
        }
    }
    migration.differences.push(
        "it left it to the proxy behind it to allow operations, and that one still does. dockveil needs no proxy behind it: \
         set `upstream` to the engine's socket, and keep below what the client uses"
            .to_owned(),
    );
    migration
}

/// Whether an operation only reads.
fn is_read(operation: &Operation) -> bool {
    matches!(operation.method, Method::Get | Method::Head) && !operation.mutating
}
