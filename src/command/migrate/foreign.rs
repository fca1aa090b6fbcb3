//! Proxies without a drop-in mode: wollomatic/socket-proxy and FoxxMD/docker-proxy-filter.

use std::collections::BTreeMap;
use std::time::Duration;

use super::patterns::{Matched, compile, matched};
use super::sheet::Sheet;
use super::source::Source;
use crate::api::{Method, OPERATIONS, Operation, ResponseKind};
use crate::socket::Address;
use crate::yaml::{Diagnostic, Diagnostics, nearest};

/// The methods that wollomatic/socket-proxy has patterns for, and that there are operations with.
const METHODS: [Method; 5] = [Method::Get, Method::Head, Method::Post, Method::Put, Method::Delete];
/// The methods without operations.
const EMPTY_METHODS: [&str; 4] = ["PATCH", "CONNECT", "TRACE", "OPTIONS"];
/// What can be told about where a bind mount leads.
const MOUNTING: [&str; 5] = ["ContainerCreate", "ContainerUpdate", "ServiceCreate", "ServiceUpdate", "VolumeCreate"];

/// The names of its options but for those of methods.
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

/// The options of wollomatic/socket-proxy: `-name=value`, or `SP_NAME=value` where no argument says otherwise.
struct Options<'s> {
    source: &'s Source,
    arguments: BTreeMap<String, Vec<String>>,
}

impl<'s> Options<'s> {
    fn read(source: &'s Source, diagnostics: &mut Diagnostics) -> Self {
        let mut arguments: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut rest = source.arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            let Some(argument) = argument.strip_prefix("--").or(argument.strip_prefix('-')) else {
                diagnostics.report(&source.location, format!("found the argument {argument:?}, expected -name=value"));
                continue;
            };
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None if ["allowhealthcheck", "logjson", "stoponwatchdog"].contains(&argument) => {
                    (argument, "true".to_owned())
                }
                None => (argument, rest.next().cloned().unwrap_or_default()),
            };
            arguments.entry(name.to_owned()).or_default().push(value);
        }
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

    /// The patterns of a method.
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

/// Whether a text is the name of a method, alone or with a number: `GET`, `GET_0`.
fn numbered(text: &str, method: &str) -> bool {
    let rest = text.strip_prefix(method);
    rest.is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix('_').is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()))
    })
}

/// What the options of wollomatic/socket-proxy come to.
pub(super) fn wollomatic(source: &Source) -> Result<Sheet, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let options = Options::read(source, &mut diagnostics);
    let mut wrong = |text: String| diagnostics.report(&source.location, text);
    let mut parse = |text: String| match text.parse::<Address>() {
        Ok(address) => Some(address),
        Err(error) => {
            wrong(format!("found {text:?}, {error}"));
            None
        }
    };
    let upstream = parse(format!("unix://{}", options.get("socketpath").unwrap_or("/var/run/docker.sock")));
    let from = options.get("allowfrom").unwrap_or("127.0.0.1/32");
    let own = options.get("proxysocketendpoint");
    let listener = match own {
        Some(path) => parse(format!("unix://{path}")),
        None => {
            let address = options.get("listenip").unwrap_or("127.0.0.1");
            // Whom it let in from the loopback address alone reaches it there.
            let address = if from == "127.0.0.1/32" { "127.0.0.1" } else { address };
            let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
            parse(format!("tcp://{address}:{}", options.get("proxyport").unwrap_or("2375")))
        }
    };
    let (Some(upstream), Some(listener)) = (upstream, listener) else {
        return Err(diagnostics);
    };
    let mut sheet = Sheet::new("wollomatic/socket-proxy", upstream);
    let mode = options.get("proxysocketendpointfilemode").map(|text| u32::from_str_radix(text, 8));
    match mode {
        Some(Ok(mode)) if mode <= 0o777 => sheet.listen(listener, Some(mode)),
        None => sheet.listen(listener, Some(0o600)),
        Some(Ok(_) | Err(_)) => {
            wrong("proxysocketendpointfilemode: expected an octal mode such as 0600".to_owned());
        }
    }
    match options.get("shutdowngracetime").unwrap_or("10").parse() {
        // A configuration file takes no longer time.
        Ok(seconds) if seconds <= 7 * 24 * 3600 => sheet.timeouts.shutdown = Duration::from_secs(seconds),
        Ok(_) | Err(_) => wrong("shutdowngracetime: expected a number of seconds, at most seven days".to_owned()),
    }
    for method in METHODS {
        let sources = options.patterns(method.as_str());
        let mut compiled = Vec::new();
        for pattern in &sources {
            match compile(pattern) {
                Ok(pattern) => compiled.push(pattern),
                Err(error) => wrong(format!("the pattern {pattern:?} of {}: {error}", method.as_str())),
            }
        }
        let why = format!("-allow{}", method.as_str());
        for operation in OPERATIONS.iter().filter(|operation| operation.method == method) {
            match matched(operation, &compiled, &sources) {
                Matched::Nothing => {}
                Matched::Names(name) => {
                    let why = format!("{why}; was open for some names only, {name} for one");
                    sheet.left_out.insert(operation.id, why);
                }
                Matched::Whole if is_raw(operation) => {
                    let why = format!("{why}; was open: bytes from which nothing can be cut");
                    sheet.left_out.insert(operation.id, why);
                }
                Matched::Whole if options.get("allowbindmountfrom").is_some() && MOUNTING.contains(&operation.id) => {
                    let why = format!("{why}; was open for bind mounts below certain folders only");
                    sheet.left_out.insert(operation.id, why);
                }
                Matched::Whole => {
                    sheet.allow.insert(operation.id, why.clone());
                }
            }
        }
    }
    let method = |method: &&&str| !options.patterns(method).is_empty();
    for method in EMPTY_METHODS.iter().filter(method) {
        sheet.differences.push(format!("-allow{method}: the engine has no operation with this method"));
    }
    if own.is_none() && from != "127.0.0.1/32" {
        sheet.differences.push(format!(
            "-allowfrom={from}: not supported, whoever reaches the listener is let in: put it on a network that only \
             the client is on"
        ));
    }
    for (name, why) in WOLLOMATIC_OPTIONS {
        if options.get(name).is_some() {
            sheet.differences.push(format!("-{name}: {why}"));
        }
    }
    sheet.differences.push(
        "patterns are read as the operations they match: a path that is no operation is refused, and the version in \
         front of a path is the client's choice"
            .to_owned(),
    );
    diagnostics.finish(sheet)
}

/// The options that are something else here, or nothing.
const WOLLOMATIC_OPTIONS: &[(&str, &str)] = &[
    ("allowbindmountfrom", "not supported: what could mount is left out below"),
    ("allowhealthcheck", "`dockveil healthcheck` asks the listener itself"),
    ("loglevel", "set by DOCKVEIL_LOG: error, warn, info, debug or off"),
    ("logjson", "not supported: the log is lines of text"),
    ("watchdoginterval", "not needed: the engine is found again by itself, with 503 until then"),
    ("stoponwatchdog", "not supported: it does not stop, and `dockveil healthcheck` fails"),
    ("proxycontainername", "not supported: labels of other containers open nothing"),
    ("dockerlabelprefix", "not supported: labels of other containers open nothing"),
];

/// What the variables of FoxxMD/docker-proxy-filter come to.
pub(super) fn foxxmd(source: &Source) -> Result<Sheet, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let get = |name: &str| source.variables.get(name).filter(|value| !value.is_empty());
    let url = get("PROXY_URL").unwrap_or_default();
    let host = url.strip_prefix("http://").unwrap_or_default().trim_end_matches('/');
    let port = if host.rsplit(']').next().is_some_and(|rest| rest.contains(':')) { "" } else { ":80" };
    let upstream = diagnostics.ok(format!("tcp://{host}{port}").parse::<Address>().map_err(|_| {
        Diagnostic::new(&source.location, format!("PROXY_URL: found {url:?}, expected http://host:port"))
    }));
    let listener = format!("tcp://0.0.0.0:{}", get("PORT").unwrap_or("2375"));
    let listener = diagnostics
        .ok(listener.parse::<Address>().map_err(|error| Diagnostic::new(&source.location, format!("PORT: {error}"))));
    let (Some(upstream), Some(listener)) = (upstream, listener) else {
        return Err(diagnostics);
    };
    let mut sheet = match &source.behind {
        Some(behind) => super::sheet(behind)?.in_front("FoxxMD/docker-proxy-filter", &behind.notes),
        None => passed_on(upstream),
    };
    sheet.listen(listener, None);
    let selected = ["CONTAINER_NAMES", "CONTAINER_LABELS"].into_iter().filter(|name| get(name).is_some());
    let selected: Vec<&str> = selected.collect();
    if !selected.is_empty() {
        for operation in OPERATIONS.iter().filter(|operation| shows_containers(operation)) {
            if sheet.allow.remove(operation.id).is_some() {
                let why = format!("was open for the containers of {} only", selected.join(" and "));
                sheet.left_out.insert(operation.id, why);
            }
        }
    }
    for name in selected {
        sheet.differences.push(format!(
            "{name}: not supported, dockveil hides what is in a container and not that it is there: what shows \
             containers is left out below, to be opened when all of them may be seen"
        ));
    }
    let scrubbed = get("SCRUB_ENVS").is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1");
    sheet.differences.push(if scrubbed {
        "SCRUB_ENVS emptied the environment of one container read by itself: here it is hidden wherever it occurs"
            .to_owned()
    } else {
        "SCRUB_ENVS was off: here environments are hidden; `env` in the profile shows some by name".to_owned()
    });
    if get("RUST_LOG").is_some() {
        sheet.differences.push("RUST_LOG: the log level is set by DOCKVEIL_LOG".to_owned());
    }
    diagnostics.finish(sheet)
}

/// What FoxxMD/docker-proxy-filter passes on to a proxy that nobody knows.
fn passed_on(upstream: Address) -> Sheet {
    let mut sheet = Sheet::new("FoxxMD/docker-proxy-filter", upstream);
    for operation in OPERATIONS {
        let reads = matches!(operation.method, Method::Get | Method::Head) && !operation.mutating;
        let why = if is_raw(operation) && reads {
            "was open: bytes from which nothing can be cut".to_owned()
        } else if !reads {
            "was passed on to the proxy behind it, if that allows it".to_owned()
        } else {
            sheet.allow.insert(operation.id, "was passed on".to_owned());
            continue;
        };
        sheet.left_out.insert(operation.id, why);
    }
    sheet.differences.push(
        "it decided on no operation, but left that to the proxy behind it: that one still does. dockveil needs none \
         behind it: let `upstream` be the engine's socket, and keep below what the client uses"
            .to_owned(),
    );
    sheet
}

/// Whether an answer names containers. Streams of the engine name all of them.
fn shows_containers(operation: &Operation) -> bool {
    ["/containers", "/exec", "/events", "/system", "/networks", "/tasks", "/services"]
        .iter()
        .any(|prefix| operation.template.starts_with(prefix))
}

/// Whether what comes back is bytes from which nothing can be cut, beyond the output that a profile allows by its name.
fn is_raw(operation: &Operation) -> bool {
    let raw = match operation.response {
        ResponseKind::Tar | ResponseKind::Octets | ResponseKind::WebSocket => true,
        ResponseKind::Document(_)
        | ResponseKind::Array(_)
        | ResponseKind::Ping
        | ResponseKind::Text
        | ResponseKind::Empty
        | ResponseKind::Stream(_)
        | ResponseKind::Hijack => false,
    };
    raw || ["Debug", "Stray", "ContainerArchive"].iter().any(|prefix| operation.id.starts_with(prefix))
}
