//! The configuration file as written, before profiles are looked up.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::clients::{self, RawClient};
use super::files;
use super::hosts::{host, origin};
use super::observability::{self, RawObservability};
use super::tls::{self, ListenerTls};
use super::upstream::{RawUpstream, upstream};
use super::{ByteLimit, LONGEST_TIMEOUT, Limits, ListenerLimits, Timeouts};
use crate::api::{ApiRange, ApiVersion};
use crate::endpoint::{EngineAddress, EngineAddressError};
use crate::quoting;
use crate::socket::{Address, AddressError, Keepalive, PassedSocket, SocketFolder, SocketOwner};
use crate::yaml::{self, Diagnostic, Diagnostics, Location, Node};

/// The shortest time that something may be waited for.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// How many connections a limit may allow.
pub(super) const CONNECTIONS: std::ops::RangeInclusive<usize> = 1..=1_000_000;

/// The contents of a configuration file.
#[derive(Debug, Default)]
pub(super) struct RawConfig {
    pub(super) upstream: Option<RawUpstream>,
    pub(super) listeners: Vec<RawListener>,
    /// Where `listeners` is.
    pub(super) listeners_location: Option<Location>,
    /// Directories of filter files, and where they are written.
    pub(super) filters: Vec<(PathBuf, Location)>,
    /// Profiles inside the file.
    pub(super) profiles: Vec<Node>,
    pub(super) limits: Limits,
    /// Where `limits.connections` is.
    pub(super) connections_location: Option<Location>,
    pub(super) timeouts: Timeouts,
    pub(super) keepalive: Keepalive,
    pub(super) api: ConfiguredApi,
    pub(super) observability: RawObservability,
    /// Whether the files are not to be watched.
    pub(super) unwatched: bool,
}

/// One listener of a configuration file.
#[derive(Clone, Debug)]
pub(super) struct RawListener {
    pub(super) location: Location,
    pub(super) address: Address,
    pub(super) mode: Option<u32>,
    pub(super) owner: SocketOwner,
    pub(super) folder: SocketFolder,
    /// The name of the socket of the service manager that it must have, and where it is written.
    pub(super) fd_name: Option<(String, Location)>,
    /// The socket of the service manager that it has.
    pub(super) passed: Option<Arc<PassedSocket>>,
    pub(super) tls: Option<ListenerTls>,
    /// Whether nobody is warned that anyone who reaches it can use it.
    pub(super) insecure: bool,
    /// Its engine.
    pub(super) upstream: Option<RawUpstream>,
    pub(super) profile: Option<(String, Location)>,
    pub(super) origins: Vec<String>,
    pub(super) hosts: Vec<String>,
    pub(super) connections: Option<(usize, Location)>,
    pub(super) limits: ListenerLimits,
    /// The lines of `clients`, if there is such a key.
    pub(super) clients: Option<Vec<RawClient>>,
}

impl RawListener {
    /// A listener of which only the address is given.
    pub(super) fn at(address: Address, location: Location) -> Self {
        Self {
            location,
            address,
            mode: None,
            owner: SocketOwner::default(),
            folder: SocketFolder::default(),
            fd_name: None,
            passed: None,
            tls: None,
            insecure: false,
            upstream: None,
            profile: None,
            origins: Vec::new(),
            hosts: Vec::new(),
            connections: None,
            limits: ListenerLimits::default(),
            clients: None,
        }
    }
}

impl RawConfig {
    /// Reads a file. What cannot be read is reported and left out.
    pub(super) fn read(path: &Path, diagnostics: &mut Diagnostics) -> Self {
        let Some((name, text)) = diagnostics.ok(file(path)) else { return Self::default() };
        Self::parse(&name, &text, folder_of(path), diagnostics)
    }

    /// Reads the text of a file. Paths in it are relative to `folder`.
    pub(super) fn parse(name: &str, text: &str, folder: &Path, diagnostics: &mut Diagnostics) -> Self {
        let Some(node) = yaml::parse_reporting(name, text, diagnostics) else { return Self::default() };
        let keys = ["upstream", "listeners", "filters", "profiles", "limits", "timeouts", "keepalive", "api", "watch"];
        let keys: Vec<&str> = keys.into_iter().chain(observability::KEYS).collect();
        let Some(members) = diagnostics.members(&node, "a configuration", &keys) else { return Self::default() };
        let upstream = members.get("upstream").and_then(|node| upstream(node, folder, diagnostics));
        let mut listeners = Vec::new();
        let listeners_location = members.get_or_empty("listeners").map(|node| node.location.clone());
        if let Some(list) = members.get("listeners").and_then(|node| diagnostics.ok(node.list("a list of listeners"))) {
            listeners.extend(list.iter().filter_map(|node| listener(node, folder, diagnostics)));
        }
        let filters = members.get("filters").map(|node| diagnostics.texts(node, "directories")).unwrap_or_default();
        let filters = filters.into_iter().map(|(text, node)| (folder.join(text), node.location.clone())).collect();
        let profiles = members.get("profiles").and_then(|node| diagnostics.ok(node.list("a list of profiles")));
        let profiles = profiles.unwrap_or_default().to_vec();
        let (limits, connections_location) =
            members.get("limits").map(|node| limits(node, diagnostics)).unwrap_or_default();
        let timeouts = members.get("timeouts").map(|node| timeouts(node, diagnostics)).unwrap_or_default();
        let keepalive = members.get("keepalive").map(|node| keepalive(node, diagnostics)).unwrap_or_default();
        let api = members.get("api").map(|node| api(node, diagnostics)).unwrap_or_default();
        let observability = RawObservability::read(&members, folder, diagnostics);
        let watch = members.get("watch").and_then(|node| diagnostics.ok(node.boolean()));
        let unwatched = watch == Some(false);
        Self {
            upstream,
            listeners,
            listeners_location,
            filters,
            profiles,
            limits,
            connections_location,
            timeouts,
            keepalive,
            api,
            observability,
            unwatched,
        }
    }
}

/// Reads one listener. Paths are relative to `folder`.
fn listener(node: &Node, folder: &Path, diagnostics: &mut Diagnostics) -> Option<RawListener> {
    let keys = [
        "listen",
        "mode",
        "owner",
        "fd_name",
        "tls",
        "insecure",
        "upstream",
        "profile",
        "clients",
        "hosts",
        "origins",
        "connections",
    ];
    let keys = [&keys[..], &ListenerLimits::KEYS[..]].concat();
    let members = diagnostics.members(node, "a listener", &keys)?;
    let address = match members.get("listen") {
        Some(node) => diagnostics.ok(address_of(node)),
        None => {
            diagnostics.push(node.diagnostic("expected `listen` with unix:///path or tcp://host:port"));
            None
        }
    };
    let mode = members.get("mode").and_then(|node| diagnostics.ok(mode(node)));
    let owner = members.get("owner").and_then(|node| diagnostics.ok(owner(node))).unwrap_or_default();
    let upstream = members.get("upstream").and_then(|node| upstream(node, folder, diagnostics));
    let profile = members.get("profile").and_then(|node| diagnostics.ok(named(node)));
    // Without a value, it is no licence to serve everybody.
    let clients = members.get_or_empty("clients").map(|node| clients::clients(node, address.as_ref(), diagnostics));
    if let (Some((key, _)), Some(_)) = (members.entry("profile"), &clients) {
        diagnostics
            .report(&key.location, "`profile` and `clients` exclude each other: each client has a profile of its own");
    }
    let mut texts = |name: &str, what: &str, read: fn(&str, &Location) -> Result<String, Diagnostic>| -> Vec<String> {
        let found = members.get(name).map(|node| diagnostics.texts(node, what)).unwrap_or_default();
        found.into_iter().filter_map(|(text, node)| diagnostics.ok(read(text, &node.location))).collect()
    };
    let (hosts, origins) = (texts("hosts", "host names", host), texts("origins", "origins", origin));
    let connections = members
        .get("connections")
        .and_then(|node| diagnostics.ok(number(node, CONNECTIONS)).map(|number| (number, node.location.clone())));
    let limits = ListenerLimits::read(&members, diagnostics);
    // Without a value, the socket would not be the one that was meant.
    let fd_name = members.get_or_empty("fd_name").and_then(|node| diagnostics.ok(fd_name(node)));
    let kind = match &address {
        Some(Address::Tcp { .. }) => Some("a TCP listener"),
        Some(Address::Unix(_)) | None => fd_name.as_ref().map(|_| "a socket that the service manager has made"),
    };
    for (key, _) in ["mode", "owner"].iter().filter_map(|name| members.entry(name)) {
        if let Some(kind) = kind {
            diagnostics.report(&key.location, format!("{:?} does not apply to {kind}", quoting::value(&key.name)));
        }
    }
    let insecure = members.get("insecure").and_then(|node| diagnostics.ok(node.boolean())).unwrap_or_default();
    if let (Some(Address::Unix(_)), Some((key, _))) = (&address, members.entry("insecure")) {
        diagnostics.report(&key.location, "\"insecure\" does not apply to a Unix socket");
    }
    let tls = members.get_or_empty("tls").map(|node| tls::tls(node, folder, diagnostics));
    tls::check(&members, address.as_ref(), diagnostics);
    let (location, tls, address) = (node.location.clone(), tls.flatten(), address?);
    Some(RawListener {
        location,
        address,
        mode,
        owner,
        folder: SocketFolder::default(),
        fd_name,
        passed: None,
        tls,
        insecure,
        upstream,
        profile,
        origins,
        hosts,
        connections,
        limits,
        clients,
    })
}

/// Reads the name of a socket of the service manager; returns where it is, too.
fn fd_name(node: &Node) -> Result<(String, Location), Diagnostic> {
    const WHAT: &str = "the FileDescriptorName= of a socket unit";
    let text = node.text(WHAT)?;
    if text.is_empty() || text.contains(':') || text.contains(char::is_control) {
        return Err(expected(node, text, WHAT));
    }
    Ok((text.to_owned(), node.location.clone()))
}

/// Reads the name of a profile; returns where it is, too.
pub(super) fn named(node: &Node) -> Result<(String, Location), Diagnostic> {
    node.text("the name of a profile").map(|text| (text.to_owned(), node.location.clone()))
}

/// Reads `limits`; returns where `connections` is, too.
fn limits(node: &Node, diagnostics: &mut Diagnostics) -> (Limits, Option<Location>) {
    let mut limits = Limits::default();
    let Some(members) = diagnostics.members(node, "limits", &["element", "depth", "head", "memory", "connections"])
    else {
        return (limits, None);
    };
    let mut size = |name: &str, limit: &mut ByteLimit| {
        if let Some(found) = members.get(name).and_then(|node| diagnostics.ok(size(node))) {
            *limit = found;
        }
    };
    size("element", &mut limits.element);
    size("head", &mut limits.head);
    limits.memory = members.get("memory").and_then(|node| diagnostics.ok(self::size(node)));
    let mut number = |name: &str, range: std::ops::RangeInclusive<usize>| {
        members.get(name).and_then(|node| diagnostics.ok(number(node, range)))
    };
    limits.depth = number("depth", 8..=128).unwrap_or(limits.depth);
    limits.connections = number("connections", CONNECTIONS);
    (limits, members.get("connections").map(|node| node.location.clone()))
}

/// Reads `timeouts`.
pub(super) fn timeouts(node: &Node, diagnostics: &mut Diagnostics) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let names = ["connect", "head", "idle", "response", "work", "write", "shutdown"];
    let Some(members) = diagnostics.members(node, "timeouts", &names) else { return timeouts };
    for (name, shortest, timeout) in [
        ("connect", SHORTEST_WAIT, &mut timeouts.connect),
        ("head", SHORTEST_WAIT, &mut timeouts.head),
        ("idle", SHORTEST_WAIT, &mut timeouts.idle),
        ("response", SHORTEST_WAIT, &mut timeouts.response),
        ("work", SHORTEST_WAIT, &mut timeouts.work),
        ("write", SHORTEST_WAIT, &mut timeouts.write),
        // Without time, everything is cut at once.
        ("shutdown", Duration::ZERO, &mut timeouts.shutdown),
    ] {
        if let Some(found) = members.get(name).and_then(|node| diagnostics.ok(time(node, shortest))) {
            *timeout = found;
        }
    }
    timeouts
}

/// Reads `keepalive`.
fn keepalive(node: &Node, diagnostics: &mut Diagnostics) -> Keepalive {
    let mut keepalive = Keepalive::default();
    let names = ["idle", "interval", "probes"];
    let Some(members) = diagnostics.members(node, "keepalive", &names) else { return keepalive };
    for (name, fewest, time) in [("idle", 0, &mut keepalive.idle), ("interval", 1, &mut keepalive.interval)] {
        if let Some(found) = members.get(name).and_then(|node| diagnostics.ok(seconds(node, fewest))) {
            *time = found;
        }
    }
    let probes = members.get("probes").and_then(|node| diagnostics.ok(number(node, 1..=127)));
    keepalive.probes = probes.and_then(|probes| u32::try_from(probes).ok()).unwrap_or(keepalive.probes);
    keepalive
}

/// The API versions that clients may use, and the lines that say so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfiguredApi {
    /// The versions.
    pub range: ApiRange,
    /// For `min`, `max` and `pin`: where it is written.
    pub lines: BTreeMap<String, Location>,
}

/// Reads `api`.
fn api(node: &Node, diagnostics: &mut Diagnostics) -> ConfiguredApi {
    const KEYS: [&str; 3] = ["min", "max", "pin"];
    let default = ApiRange::default();
    let Some(members) = diagnostics.members(node, "API versions", &KEYS) else { return ConfiguredApi::default() };
    let errors = diagnostics.len();
    let mut found = |name: &str| members.get(name).and_then(|node| diagnostics.ok(api_version(node)));
    let [min, max, pin] = KEYS.map(&mut found);
    if diagnostics.len() > errors {
        return ConfiguredApi::default();
    }
    let (least, most) = (min.unwrap_or(default.min()), max.unwrap_or(default.max()));
    let at = |name: &str| members.get(name).unwrap_or(node);
    let Some(range) = ApiRange::new(least, most, pin) else {
        let (key, message) = contradiction(least, most, pin);
        diagnostics.push(at(key).diagnostic(message));
        return ConfiguredApi::default();
    };
    let lines = KEYS.iter().filter_map(|name| Some(((*name).to_owned(), members.get(name)?.location.clone())));
    ConfiguredApi { range, lines: lines.collect() }
}

/// What is wrong with API versions that are no range, and the key that is to blame.
fn contradiction(min: ApiVersion, max: ApiVersion, pin: Option<ApiVersion>) -> (&'static str, String) {
    match pin.filter(|_| min <= max) {
        Some(pin) => ("pin", format!("found {pin}, expected a version from {min} to {max}, which api allows")),
        None => ("min", format!("found {min}, expected no more than the {max} of api.max")),
    }
}

/// The API versions of `api`, with those that texts `key=version` name in place of them. Each text is an item of an argument
/// or a variable, which is its location.
pub(super) fn api_of_texts(
    api: ConfiguredApi,
    texts: &[(&str, Location)],
    diagnostics: &mut Diagnostics,
) -> ConfiguredApi {
    let (mut min, mut max, mut pin) = (api.range.min(), api.range.max(), api.range.pin());
    let mut lines = api.lines.clone();
    let errors = diagnostics.len();
    for (text, location) in texts {
        let what = known_versions();
        let (key, version) = text.split_once('=').unwrap_or((text, ""));
        match (key.trim(), parse_known(version.trim())) {
            ("min", Some(version)) => min = version,
            ("max", Some(version)) => max = version,
            ("pin", Some(version)) => pin = Some(version),
            ("min" | "max" | "pin", None) => {
                diagnostics.report(location, format!("found {:?}, expected {what}", quoting::value(version)));
            }
            (_, _) => {
                let message = format!("found {:?}, expected min=, max= or pin= with {what}", quoting::value(text));
                diagnostics.report(location, message);
            }
        }
        lines.insert(key.trim().to_owned(), location.clone());
    }
    match (ApiRange::new(min, max, pin), texts.last()) {
        (Some(range), _) => ConfiguredApi { range, lines },
        (None, Some((_, location))) if diagnostics.len() == errors => {
            diagnostics.report(location, contradiction(min, max, pin).1);
            api
        }
        (None, _) => api,
    }
}

/// Reads an API version that this program knows.
fn api_version(node: &Node) -> Result<ApiVersion, Diagnostic> {
    let what = known_versions();
    let text = node.text(&what)?;
    parse_known(text).ok_or_else(|| expected(node, text, &what))
}

/// The API versions that this program knows, in words.
fn known_versions() -> String {
    format!("an API version from {} to {}", ApiVersion::MIN, ApiVersion::NEWEST)
}

/// Parses an API version that this program knows.
fn parse_known(text: &str) -> Option<ApiVersion> {
    text.parse().ok().filter(|version| (ApiVersion::MIN..=ApiVersion::NEWEST).contains(version))
}

/// Splits a text into a number and its unit.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, unit.trim_start()))
}

/// An error at `node`: another text than expected.
pub(super) fn expected(node: &Node, text: &str, what: &str) -> Diagnostic {
    node.diagnostic(format!("found {:?}, expected {what}", quoting::value(text)))
}

/// Reads a size, in bytes or with a unit.
fn size(node: &Node) -> Result<ByteLimit, Diagnostic> {
    const WHAT: &str = "a size such as 64KiB or 16MiB";
    let text = node.text(WHAT)?;
    let factor = |unit: &str| match unit {
        "" | "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    split_unit(text)
        .and_then(|(number, unit)| number.checked_mul(factor(unit)?))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|bytes| (1024..=1 << 34).contains(bytes))
        .map(ByteLimit::new)
        .ok_or_else(|| expected(node, text, WHAT))
}

/// Reads a time with a unit, of at least `shortest`.
fn time(node: &Node, shortest: Duration) -> Result<Duration, Diagnostic> {
    const WHAT: &str = "a time such as 500ms, 10s or 2m";
    let text = node.text(WHAT)?;
    let what = if split_unit(text).is_some_and(|(number, _)| number == 0) && !shortest.is_zero() {
        format!("{WHAT}: without time, nothing is served")
    } else {
        WHAT.to_owned()
    };
    let factor = |unit: &str| match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    split_unit(text)
        .and_then(|(number, unit)| number.checked_mul(factor(unit)?))
        .map(Duration::from_millis)
        .filter(|time| (shortest..=LONGEST_TIMEOUT).contains(time))
        .ok_or_else(|| expected(node, text, &what))
}

/// Reads a time that the system counts in whole seconds.
fn seconds(node: &Node, fewest: u64) -> Result<Duration, Diagnostic> {
    let what = format!("whole seconds from {fewest}s to 9h");
    let text = node.text(&what)?;
    let is_whole = |time: &Duration| time.subsec_nanos() == 0 && (fewest..=9 * 3600).contains(&time.as_secs());
    time(node, Duration::ZERO).ok().filter(is_whole).ok_or_else(|| expected(node, text, &what))
}

/// Reads a number in a range.
pub(super) fn number(node: &Node, range: std::ops::RangeInclusive<usize>) -> Result<usize, Diagnostic> {
    let what = format!("a number from {} to {}", range.start(), range.end());
    let text = node.text(&what)?;
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| expected(node, text, &what))
}

/// Reads `mode`.
fn mode(node: &Node) -> Result<u32, Diagnostic> {
    const WHAT: &str = "an octal mode in quotes, such as \"0660\"";
    let text = node.text(WHAT)?;
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777).ok_or_else(|| expected(node, text, WHAT))
}

/// Reads `owner`.
pub(super) fn owner(node: &Node) -> Result<SocketOwner, Diagnostic> {
    const WHAT: &str = "numbers uid:gid in quotes, such as \"1000:1000\"; either may be left out";
    let text = node.text(WHAT)?;
    let number = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    text.split_once(':')
        .and_then(|(user, group)| Some(SocketOwner { user: number(user)?, group: number(group)? }))
        .ok_or_else(|| expected(node, text, WHAT))
}

/// Reads an address.
fn address_of(node: &Node) -> Result<Address, Diagnostic> {
    address(node.text("unix:///path or tcp://host:port")?, &node.location)
}

/// Parses an address that is written at `location`.
pub(super) fn address(text: &str, location: &Location) -> Result<Address, Diagnostic> {
    text.parse().map_err(|error: AddressError| wrong_address(text, error, location))
}

/// Parses the address of an engine that is written at `location`.
pub(super) fn engine_address(text: &str, location: &Location) -> Result<EngineAddress, Diagnostic> {
    text.parse().map_err(|error: EngineAddressError| wrong_address(text, error, location))
}

/// The error for a text that is no address. A text with a password is not quoted.
pub(super) fn wrong_address(text: &str, error: impl Display, location: &Location) -> Diagnostic {
    Diagnostic::new(location, format!("found {:?}, {error}", quoting::value(text)))
}

/// Reads the configuration file; returns its name and text.
pub(super) fn file(path: &Path) -> Result<(String, String), Diagnostic> {
    let name = path.display().to_string();
    let bytes = std::fs::File::open(path).and_then(files::read_limited);
    let text = bytes.map_err(|error| unreadable(&name, &error)).and_then(|bytes| text_of(&name, bytes))?;
    Ok((name, text))
}

/// What paths in a configuration file are relative to: its folder. That of a descriptor, as of `<(…)`, holds no other files, so it is
/// the current one then.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|_| !is_descriptor(path)).unwrap_or(Path::new("."))
}

/// Whether a path is that of an open descriptor: `/dev/fd/0`, `/dev/stdin`, `/proc/self/fd/0`.
fn is_descriptor(path: &Path) -> bool {
    const STANDARD: [&str; 3] = ["/dev/stdin", "/dev/stdout", "/dev/stderr"];
    let is_of_process = |folder: &Path| folder.starts_with("/proc") && folder.ends_with("fd");
    STANDARD.iter().any(|name| path == Path::new(name))
        || path.parent().is_some_and(|folder| folder == Path::new("/dev/fd") || is_of_process(folder))
}

/// Reads a file of filters; returns its name and text.
pub(super) fn filter_file(path: &Path) -> Result<(String, String), Diagnostic> {
    let name = path.display().to_string();
    let bytes = files::read_named(path).map_err(|error| unreadable(&name, &error))?;
    let text = text_of(&name, bytes)?;
    Ok((name, text))
}

/// The text of a file.
///
/// # Errors
/// It is not UTF-8, and where.
pub(crate) fn text_of(name: &str, bytes: Vec<u8>) -> Result<String, Diagnostic> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let good = String::from_utf8_lossy(good);
        let number = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
        let column = number(good.rsplit('\n').next().unwrap_or_default().chars().count());
        let location = Location { column, ..Location::line(name, number(good.matches('\n').count())) };
        Diagnostic::new(&location, "not UTF-8")
    })
}

/// The error for a file that cannot be read.
pub(crate) fn unreadable(name: &str, error: &std::io::Error) -> Diagnostic {
    Diagnostic::new(&Location::file(name), format!("cannot be read: {error}"))
}

/// The YAML files of a directory of filter files, and of its folders `class` and `profile`, sorted.
pub(super) fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let listed = |folder: &Path| -> std::io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            // As long as Emacs edits a file, a link to nowhere of this name is beside it.
            let is_lock = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".#"));
            if !is_lock && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    };
    let cannot = |error: std::io::Error| unreadable(&folder.display().to_string(), &error);
    let mut files = listed(folder).map_err(cannot)?;
    for inner in ["class", "profile"].map(|name| folder.join(name)).iter().filter(|inner| inner.is_dir()) {
        files.extend(listed(inner).map_err(cannot)?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_utf_8_is_found_where_it_is() {
        for (bytes, expected) in [
            (&b"\xff"[..], "f.yaml:1:1: not UTF-8"),
            (b"a: \xc3\xa9\xff", "f.yaml:1:5: not UTF-8"),
            (b"a: 1\nb: 2\n\xc3", "f.yaml:3:1: not UTF-8"),
            (b"a: 1\r\n \xc3\nb", "f.yaml:2:2: not UTF-8"),
        ] {
            assert_eq!(text_of("f.yaml", bytes.to_vec()).unwrap_err().to_string(), expected);
        }
        assert_eq!(text_of("f.yaml", "é\n".into()).unwrap(), "é\n");
    }

    #[test]
    fn paths_are_relative_to_the_folder_of_the_file_unless_that_is_a_descriptor() {
        for (path, expected) in [
            ("/etc/dockveil.yaml", "/etc"),
            ("dockveil.yaml", ""),
            ("-", ""),
            ("/dev/shm/a/dockveil.yaml", "/dev/shm/a"),
            ("/dev/shm/dockveil.yaml", "/dev/shm"),
            ("/dev/fd/a/dockveil.yaml", "/dev/fd/a"),
            ("/dev/dockveil.yaml", "/dev"),
            ("/dev/stdin.yaml", "/dev"),
            ("/proc/1/root/etc/dockveil.yaml", "/proc/1/root/etc"),
            ("/proc/self/cwd/dockveil.yaml", "/proc/self/cwd"),
            ("/srv/fd/dockveil.yaml", "/srv/fd"),
            ("/dev/fd/63", "."),
            ("/dev/stdin", "."),
            ("/proc/self/fd/0", "."),
            ("/proc/1/task/1/fd/0", "."),
        ] {
            assert_eq!(folder_of(Path::new(path)), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn no_file_of_the_configuration_is_read_without_a_limit() {
        let folder = std::env::temp_dir().join(format!("dockveil-long-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("long.yaml");
        std::fs::File::create(&path).unwrap().set_len(17 << 20).unwrap();
        let expected = format!("{}: cannot be read: it is longer than 16 MiB", path.display());
        assert_eq!(file(&path).unwrap_err().to_string(), expected);
        assert_eq!(filter_file(&path).unwrap_err().to_string(), expected);
        assert_eq!(files::read_limited(std::io::repeat(b'#')).unwrap_err().to_string(), "it is longer than 16 MiB");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_lock_of_an_editor_is_no_filter_file() {
        let folder = std::env::temp_dir().join(format!("dockveil-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("p.yaml"), "").unwrap();
        std::os::unix::fs::symlink("me@here.1", folder.join(".#p.yaml")).unwrap();
        assert_eq!(yaml_files(&folder).unwrap(), [folder.join("p.yaml")]);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
