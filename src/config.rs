//! Arguments, environment and files, merged into one checked, immutable [`Config`].
//!
//! If there are errors, all of them are reported, each with its location and what was expected, and nothing starts.

mod clients;
pub mod compat;
pub mod expiry;
pub(crate) mod files;
mod filters;
mod hosts;
mod listener_limits;
mod memory;
mod note;
mod observability;
mod passed;
mod places;
mod raw;
mod settings;
mod source;
mod tls;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::api::ApiRange;
use crate::cli::{ConfigFiles, Environment, LogFormat, ServeArgs};
use crate::endpoint::{EngineAddress, EngineEndpoint};
use crate::filter;
use crate::policy::Policy;
use crate::socket::{Address, Keepalive, PassedSocket, SocketFolder, SocketOwner};
use crate::tls::ServerTls;
use crate::yaml::{Diagnostics, Location};

pub use self::clients::{ClientRule, ConfiguredClient};
pub use self::compat::RunAs;
pub use self::expiry::Expiry;
pub use self::files::ConfigFileSet;
pub use self::filters::{FilterSources, Filters};
pub use self::listener_limits::{ClientLimits, ListenerLimits, RateLimit};
pub use self::memory::{ConnectionMemory, DocumentMemory, MemorySource};
pub use self::note::Note;
pub use self::observability::Observability;
pub use self::raw::ConfiguredApi;
use self::raw::RawListener;
pub(crate) use self::raw::{text_of, unreadable};
use self::settings::Settings;
use self::source::ConfigSource;
pub(crate) use self::source::STANDARD_INPUT_NAME;
use self::upstream::RawUpstream;

/// The engine, if nothing names one.
const DEFAULT_UPSTREAM: &str = "unix:///var/run/docker.sock";
/// The profile of a listener that names none.
pub(crate) const DEFAULT_PROFILE: &str = "dashboard";

/// No timeout is longer.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Everything that is needed to serve.
#[derive(Debug)]
pub struct Config {
    /// The engine.
    pub upstream: EngineEndpoint,
    /// Where clients connect; at least one.
    pub listeners: Vec<Listener>,
    /// Limits of size, depth and number.
    pub limits: Limits,
    /// Limits of time.
    pub timeouts: Timeouts,
    /// How to find out that the other side of a TCP connection is gone.
    pub keepalive: Keepalive,
    /// The API versions that clients may use.
    pub api: ApiRange,
    /// What operators see.
    pub observability: Observability,
    /// What happens at start besides listening.
    pub startup: Startup,
    /// The files that it was read from.
    pub files: ConfigFileSet,
}

/// What happens at start besides listening.
#[derive(Debug, Default)]
pub struct Startup {
    /// The user that a process started as root becomes once all listeners are open; `None` to stay root.
    pub run_as: Option<RunAs>,
    /// What the operator should know, for the summary.
    pub notes: Vec<Note>,
    /// The files that it makes unless they exist.
    pub files: Vec<MadeFile>,
}

/// A file that a start makes unless it exists.
#[derive(Debug)]
pub struct MadeFile {
    /// Its path.
    pub path: PathBuf,
    /// Where it is configured.
    pub location: Location,
    /// What is known of the directory of a socket; `None` for the audit file.
    pub socket: Option<SocketFolder>,
}

impl MadeFile {
    /// The socket of a listener at `address`; `None` if that has no file.
    fn socket(address: &Address, location: &Location, folder: SocketFolder) -> Option<Self> {
        match address {
            Address::Unix(path) => Some(Self { path: path.clone(), location: location.clone(), socket: Some(folder) }),
            Address::Tcp { .. } => None,
        }
    }
}

/// One address to listen on, with its policy.
#[derive(Debug)]
pub struct Listener {
    /// The address.
    pub address: Address,
    /// The permissions of a Unix socket; 0660 if `None`.
    pub mode: Option<u32>,
    /// The user and group of a Unix socket.
    pub owner: SocketOwner,
    /// What is known of the directory of a Unix socket.
    pub folder: SocketFolder,
    /// The socket that the service manager has opened for it; `None` if it is opened by this process.
    pub passed: Option<Arc<PassedSocket>>,
    /// How it proves itself and what it trusts, if clients come over TLS.
    pub tls: Option<ServerTls>,
    /// Whether nobody is warned that anyone who reaches it can use it.
    pub insecure: bool,
    /// Its engine; that of the configuration if `None`.
    pub upstream: Option<EngineEndpoint>,
    /// What its clients may request and see. If it lists clients, those that it does not list: nothing.
    pub policy: Arc<Policy>,
    /// The clients that it serves, each with a policy of its own; the first line that names a client decides. `None` if it
    /// serves everybody.
    pub clients: Option<Arc<[ClientRule]>>,
    /// The origins whose web pages may send requests. If empty, no web page may.
    pub origins: Vec<String>,
    /// The host names that requests may use. If empty, any.
    pub hosts: Vec<String>,
    /// The most connections at a time; as many as all listeners may have if `None`.
    pub connections: Option<usize>,
    /// What its clients may have besides.
    pub limits: ListenerLimits,
}

impl Listener {
    /// A listener that serves everybody, at whatever host name.
    pub fn new(address: Address, policy: Arc<Policy>) -> Self {
        Self {
            address,
            mode: None,
            owner: SocketOwner::default(),
            folder: SocketFolder::default(),
            passed: None,
            tls: None,
            insecure: false,
            upstream: None,
            policy,
            clients: None,
            origins: Vec::new(),
            hosts: Vec::new(),
            connections: None,
            limits: ListenerLimits::default(),
        }
    }

    /// Whether anyone who reaches it from another machine can use it.
    pub fn is_open(&self) -> bool {
        let is_remote = match &self.address {
            Address::Tcp { host, .. } => !is_loopback(host),
            Address::Unix(_) => false,
        };
        is_remote && self.clients.is_none() && !self.tls.as_ref().is_some_and(ServerTls::authenticates)
    }

    /// Its policies: of everybody, or of each line of clients.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        let everybody = Some(&self.policy).filter(|_| self.clients.is_none());
        everybody.into_iter().chain(self.clients.iter().flat_map(|rules| rules.iter().map(|rule| &rule.policy)))
    }
}

/// An address to listen on as configured, before its profile is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredListener {
    /// The address.
    pub address: Address,
    /// Where it is configured.
    pub location: Location,
    /// Whether clients come over TLS and are asked for a certificate.
    pub has_tls: bool,
    /// The name of the profile of everybody, which may not exist. If it lists clients, each has its own instead.
    pub profile: String,
    /// The clients that it serves; the first line that names a client decides. `None` if it serves everybody.
    pub clients: Option<Vec<ConfiguredClient>>,
    /// The host names that requests may use. If empty, any.
    pub hosts: Vec<String>,
}

impl ConfiguredListener {
    /// The names of its profiles: of everybody, or of each line of clients.
    pub fn profiles(&self) -> impl Iterator<Item = &str> {
        let everybody = Some(self.profile.as_str()).filter(|_| self.clients.is_none());
        everybody.into_iter().chain(self.clients.iter().flatten().map(|client| client.profile.as_str()))
    }
}

/// The listeners that files and environment name, or the default ones. Where the engine is does not matter.
///
/// # Errors
/// Every error in them.
pub fn configured_listeners(
    files: &ConfigFiles,
    environment: &Environment,
) -> Result<Vec<ConfiguredListener>, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let settings = Settings::of(&ServeArgs { files: files.clone(), ..ServeArgs::default() }, environment);
    let source = ConfigSource::find(files, &settings, environment, &mut diagnostics);
    let raw = raw_listeners(&settings, environment, &source, &mut diagnostics);
    let hosts = more_hosts(&settings, &mut diagnostics);
    let listeners = raw.into_iter().map(|listener| ConfiguredListener {
        hosts: accepted_hosts(&listener.address, listener.hosts, &hosts),
        address: listener.address,
        location: listener.location,
        has_tls: listener.tls.is_some_and(|tls| tls.tls.asks_for_certificates()),
        profile: listener.profile.map_or_else(|| default_profile(&settings).0, |(name, _)| name),
        clients: listener.clients.map(|clients| clients.into_iter().map(ConfiguredClient::from).collect()),
    });
    diagnostics.finish(listeners.collect())
}

/// What a health check must know of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedListener {
    /// The address.
    pub address: Address,
    /// Whether clients come over TLS, as far as its files can be read.
    pub has_tls: bool,
    /// Whether it lists clients, and need not serve the check.
    pub lists_clients: bool,
}

/// The listeners that files and environment name, or the default ones, for a health check; and what is wrong with them.
///
/// A program that serves goes on with what it has when a file has become wrong. So what is wrong is left out: other keys, and the
/// keys and certificates of TLS. There are no listeners if nothing can be read of the file that names them.
pub fn checked_listeners(files: &ConfigFiles, environment: &Environment) -> (Vec<CheckedListener>, Diagnostics) {
    let mut diagnostics = Diagnostics::default();
    let settings = Settings::of(&ServeArgs { files: files.clone(), ..ServeArgs::default() }, environment);
    let source = ConfigSource::find(files, &settings, environment, &mut diagnostics);
    if !diagnostics.is_empty() && settings.listen.is_empty() && source.raw.listeners.is_empty() {
        return (Vec::new(), diagnostics);
    }
    let raw = raw_listeners(&settings, environment, &source, &mut diagnostics);
    let listeners = raw.into_iter().map(|listener| CheckedListener {
        address: listener.address,
        has_tls: listener.tls.is_some(),
        lists_clients: listener.clients.is_some(),
    });
    (listeners.collect(), diagnostics)
}

/// The API versions that files and environment name.
///
/// # Errors
/// Every error in them.
pub fn configured_api(files: &ConfigFiles, environment: &Environment) -> Result<ConfiguredApi, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let settings = Settings::of(&ServeArgs::default(), environment);
    let source = ConfigSource::find(files, &settings, environment, &mut diagnostics);
    let api = api_versions(source.raw.api, &settings, &mut diagnostics);
    diagnostics.finish(api)
}

/// The longest head of a request that the files and the environment allow, in bytes.
///
/// # Errors
/// Every error in them.
pub fn configured_head_limit(files: &ConfigFiles, environment: &Environment) -> Result<ByteLimit, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let settings = Settings::of(&ServeArgs::default(), environment);
    let source = ConfigSource::find(files, &settings, environment, &mut diagnostics);
    diagnostics.finish(source.raw.limits.head)
}

/// How lines of the log are written, as far as a configuration with errors says.
pub fn configured_log_format(arguments: &ServeArgs, environment: &Environment) -> LogFormat {
    // They have been reported.
    let mut ignored = Diagnostics::default();
    let settings = Settings::of(arguments, environment);
    let source = ConfigSource::find(&arguments.files, &settings, environment, &mut ignored);
    source.raw.observability.with(&settings, environment, (&[], &[]), &mut Vec::new(), &mut ignored).log_format
}

/// A number of bytes, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteLimit(usize);

impl ByteLimit {
    /// A limit of `bytes`, or of one if `bytes` is zero.
    pub const fn new(bytes: usize) -> Self {
        Self(if bytes == 0 { 1 } else { bytes })
    }

    /// The number of bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

/// Limits of size, depth and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The size of one document, or of one element of a list.
    pub element: ByteLimit,
    /// The number of levels that a document may nest.
    pub depth: usize,
    /// The size of a request head.
    pub head: ByteLimit,
    /// What all documents may use at a time; as [`DocumentMemory`] finds it if `None`.
    pub memory: Option<ByteLimit>,
    /// The number of connections at a time, of all listeners; as many as the file descriptors allow if `None`.
    pub connections: Option<usize>,
}

impl Limits {
    /// The limits of one document.
    fn of_a_document(self) -> filter::DocumentLimits {
        filter::DocumentLimits { size: self.element.bytes(), depth: self.depth }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { element: ByteLimit(16 << 20), depth: 128, head: ByteLimit(80 << 10), memory: None, connections: None }
    }
}

/// Limits of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Connecting to the engine.
    pub connect: Duration,
    /// Receiving a request head, from its first byte.
    pub head: Duration,
    /// Waiting for the next request of a connection, for the next byte of a request body, or for a client to read more of an archive. A
    /// connection that waits for a request may be closed earlier if another one needs its slot.
    pub idle: Duration,
    /// Waiting for a response head, or for the next part of a document.
    pub response: Duration,
    /// Waiting for the head of a response for which the engine may work for long, if that is longer.
    pub work: Duration,
    /// Waiting for a client to read more of a document.
    pub write: Duration,
    /// Finishing what is in progress at shutdown.
    pub shutdown: Duration,
    /// An object that a client does not see is answered at a multiple of this time after its request: so how long its look-up
    /// took does not tell whether it exists. No file sets it.
    pub absent_tick: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(10),
            head: seconds(10),
            idle: seconds(600),
            response: seconds(60),
            work: seconds(600),
            write: seconds(60),
            shutdown: seconds(10),
            absent_tick: Duration::from_millis(10),
        }
    }
}

impl Config {
    /// The engine of a listener.
    pub fn engine_of<'c>(&'c self, listener: &'c Listener) -> &'c EngineEndpoint {
        listener.upstream.as_ref().unwrap_or(&self.upstream)
    }

    /// The engines of all listeners, each once.
    pub fn engines(&self) -> Vec<&EngineEndpoint> {
        let mut engines: Vec<&EngineEndpoint> = Vec::new();
        for engine in self.listeners.iter().map(|listener| self.engine_of(listener)) {
            if !engines.iter().any(|known| known.has_same_names(engine)) {
                engines.push(engine);
            }
        }
        engines
    }

    /// Reads arguments, environment and files.
    ///
    /// # Errors
    /// Every error in them.
    pub fn load(arguments: &ServeArgs, environment: &Environment) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let settings = Settings::of(arguments, environment);
        let mut source = ConfigSource::find(&arguments.files, &settings, environment, &mut diagnostics);
        source.notes.extend(source::check_variables(environment, &mut diagnostics));
        let engine = diagnostics.ok(engine(&settings, environment, &source));
        let upstream = engine
            .and_then(|engine| upstream::with_variables(engine, environment, &mut source.notes, &mut diagnostics));
        let mut raw = raw_listeners(&settings, environment, &source, &mut diagnostics);
        for listener in &mut raw {
            let Some(own) = listener.upstream.take_if(|own| own.endpoint.socket_path().is_none()) else { continue };
            let endpoint = upstream::with_variables(own.endpoint, environment, &mut source.notes, &mut diagnostics);
            listener.upstream = endpoint.map(|endpoint| RawUpstream { endpoint, ..own });
        }
        if let Some(passed) = &environment.passed {
            passed::assign(&mut raw, passed, source.compat.is_none(), &mut diagnostics);
        }
        source.notes.extend(unused_settings(&settings, &raw));
        check_addresses(upstream.as_ref(), &raw, &mut diagnostics);
        check_connections(&source.raw, &raw, &mut diagnostics);
        let files = file_set(&source, upstream.as_ref(), &raw, &settings);
        let sockets = |is_passed: bool| {
            let some = raw.iter().filter(move |listener| listener.passed.is_some() == is_passed);
            some.filter_map(|one| MadeFile::socket(&one.address, &one.location, one.folder)).collect::<Vec<_>>()
        };
        let (mut made, passed) = (sockets(false), sockets(true));
        let of_file = source.raw.observability.clone();
        let engines = engines(upstream.as_ref(), &raw);
        let others = (raw.as_slice(), engines.as_slice());
        let observability = of_file.with(&settings, environment, others, &mut made, &mut diagnostics);
        places::check_audit(&made, &files, &mut diagnostics);
        places::check_overlaps(&made, &passed, &engines, &mut diagnostics);
        let limits = source.raw.limits;
        let profile = default_profile(&settings);
        let hosts = more_hosts(&settings, &mut diagnostics);
        let used = used_profiles(&raw, &profile.0);
        let (listeners, wrong) = Filters::during(&source.filter_sources(&settings), &used, |filters| {
            let mut policies = Policies { filters, limits, known: BTreeMap::new() };
            compile(raw, &profile, &hosts, &mut policies, &mut diagnostics)
        });
        // Filters that are valid only in part serve nobody: the rest has been reported.
        let listeners = diagnostics.ok(wrong.finish(listeners)).flatten();
        let run_as = source.compat.as_ref().and_then(|compat| compat.run_as);
        let startup = Startup { run_as, notes: source.notes, files: made };
        let (timeouts, keepalive) = (source.raw.timeouts, source.raw.keepalive);
        let api = api_versions(source.raw.api, &settings, &mut diagnostics).range;
        let config = upstream.zip(listeners);
        let config = config.map(|(upstream, listeners)| Self {
            upstream,
            listeners,
            limits,
            timeouts,
            keepalive,
            api,
            observability,
            startup,
            files,
        });
        diagnostics.finish_option(config)
    }
}

/// All engines: that of the configuration, and those of listeners.
fn engines<'e>(upstream: Option<&'e EngineEndpoint>, listeners: &'e [RawListener]) -> Vec<&'e EngineEndpoint> {
    let own = listeners.iter().filter_map(|listener| listener.upstream.as_ref()).map(|upstream| &upstream.endpoint);
    upstream.into_iter().chain(own).collect()
}

/// The files that the configuration is read from.
fn file_set(
    source: &ConfigSource,
    upstream: Option<&EngineEndpoint>,
    listeners: &[RawListener],
    settings: &Settings,
) -> ConfigFileSet {
    let of_tls = listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| &tls.files);
    let engines = engines(upstream, listeners);
    let of_engines = engines.iter().filter_map(|engine| engine.tls.as_ref()).flat_map(|tls| &tls.files);
    let files = source.file.iter().chain(of_tls).chain(of_engines).cloned().collect();
    let folders = source.raw.filters.iter().map(|(folder, _)| folder).chain(&settings.filters).cloned().collect();
    ConfigFileSet::new(files, folders, !source.raw.unwatched)
}

/// The API versions that clients may use: each of the settings, else of the file.
fn api_versions(of_file: ConfiguredApi, settings: &Settings, diagnostics: &mut Diagnostics) -> ConfiguredApi {
    let texts: Vec<(&str, Location)> = settings.api.iter().map(|(text, at)| (text.as_str(), at.clone())).collect();
    raw::api_of_texts(of_file, &texts, diagnostics)
}

/// The engine: of the settings, else of the file, else of `DOCKER_HOST`, else the default.
fn engine(
    settings: &Settings,
    environment: &Environment,
    source: &ConfigSource,
) -> Result<EngineEndpoint, Diagnostics> {
    let address = match (&settings.upstream, &source.raw.upstream, &environment.docker_host) {
        (Some((text, location)), ..) => raw::engine_address(text, location),
        (None, Some(upstream), _) => return Ok(upstream.endpoint.clone()),
        (None, None, Some(text)) => {
            let (text, location) = (text.to_string_lossy(), Location::file("DOCKER_HOST"));
            EngineAddress::of_docker_host(&text).map_err(|error| raw::wrong_address(&text, error, &location))
        }
        (None, None, None) => raw::engine_address(DEFAULT_UPSTREAM, &Location::file("the default engine")),
    };
    Ok(EngineEndpoint { address: address?, tls: None })
}

/// The listeners of the settings, else of the file or the variables of another proxy. There are default listeners if none of them
/// says anything about listeners.
fn raw_listeners(
    settings: &Settings,
    environment: &Environment,
    source: &ConfigSource,
    diagnostics: &mut Diagnostics,
) -> Vec<RawListener> {
    if !settings.listen.is_empty() {
        let listener = |(text, location): &(String, Location)| {
            let profile = source.compat.as_ref().map(|compat| (compat.profile_name(), location.clone()));
            let address = diagnostics.ok(raw::address(text, location))?;
            let insecure = source.compat.is_some();
            Some(RawListener { profile, insecure, ..RawListener::at(address, location.clone()) })
        };
        return settings.listen.iter().filter_map(listener).collect();
    }
    match &source.raw.listeners_location {
        _ if !source.raw.listeners.is_empty() => source.raw.listeners.clone(),
        // A file that could not be read has been reported.
        None => default_listeners(environment),
        Some(location) => {
            if diagnostics.is_empty() {
                diagnostics.report(location, "no listeners, expected at least one");
            }
            Vec::new()
        }
    }
}

/// Where we listen if nothing says where: a socket of this user, and the loopback address.
fn default_listeners(environment: &Environment) -> Vec<RawListener> {
    let location = Location::file("the default listeners");
    let user = rustix::process::getuid();
    let (path, folder) = match &environment.runtime_directory {
        Some(directory) => (directory.join("dockveil"), SocketFolder::Any),
        None if user.is_root() => (PathBuf::from("/run/dockveil"), SocketFolder::Any),
        // Anybody may make this one first.
        None => (PathBuf::from(format!("/tmp/dockveil-{}", user.as_raw())), SocketFolder::Own),
    };
    let loopback = Address::Tcp { host: "127.0.0.1".to_owned(), port: 2375 };
    vec![
        RawListener { folder, ..RawListener::at(Address::Unix(path.join("docker.sock")), location.clone()) },
        RawListener::at(loopback, location),
    ]
}

/// The profile of listeners that name none; no location if it is the default.
fn default_profile(settings: &Settings) -> (String, Option<Location>) {
    match &settings.profile {
        Some((name, location)) => (name.clone(), Some(location.clone())),
        None => (DEFAULT_PROFILE.to_owned(), None),
    }
}

/// What the settings say of listeners that say nothing themselves, if there are none.
fn unused_settings(settings: &Settings, listeners: &[RawListener]) -> Vec<Note> {
    let takes_profile = |listener: &RawListener| listener.profile.is_none() && listener.clients.is_none();
    let takes_hosts =
        |listener: &RawListener| listener.hosts.is_empty() && matches!(listener.address, Address::Tcp { .. });
    let mut notes = Vec::new();
    if settings.profile.is_some() && !listeners.iter().any(takes_profile) {
        notes.push(Note::ProfileUnused);
    }
    if !settings.hosts.is_empty() && !listeners.iter().any(takes_hosts) {
        notes.push(Note::HostsUnused);
    }
    notes
}

/// The names of the profiles that listeners and their clients have.
fn used_profiles(listeners: &[RawListener], default: &str) -> BTreeSet<String> {
    let of_listeners = listeners.iter().map(|listener| listener.profile.as_ref().map_or(default, |(name, _)| name));
    let clients = listeners.iter().filter_map(|listener| listener.clients.as_ref()).flatten();
    of_listeners.map(str::to_owned).chain(clients.map(|client| client.profile.0.clone())).collect()
}

/// The policies of profiles. All that name a profile share its policy.
struct Policies<'f> {
    filters: &'f Filters,
    limits: Limits,
    /// Those that were asked for, by name.
    known: BTreeMap<String, Arc<Policy>>,
}

impl Policies<'_> {
    /// The policy of a profile that is named at `location`.
    ///
    /// # Errors
    /// As [`Filters::policy`].
    fn get(&mut self, name: &str, location: &Location) -> Result<Arc<Policy>, Diagnostics> {
        if let Some(known) = self.known.get(name) {
            return Ok(known.clone());
        }
        let policy = self.filters.policy(name, location, self.limits)?;
        self.known.insert(name.to_owned(), policy.clone());
        Ok(policy)
    }
}

/// Gives each listener the policy of its profile, or those of its clients.
fn compile(
    raw: Vec<RawListener>,
    (default, asked): &(String, Option<Location>),
    hosts: &[String],
    policies: &mut Policies<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::with_capacity(raw.len());
    for listener in raw {
        let (name, location) = match &listener.profile {
            Some((name, location)) => (name, location),
            None => (default, asked.as_ref().unwrap_or(&listener.location)),
        };
        let clients = listener
            .clients
            .map(|raw| clients::compile(raw, |(name, location)| diagnostics.ok(policies.get(name, location))));
        let policy = match &clients {
            Some(_) => clients::nobody(policies.filters),
            None => policies.get(name, location),
        };
        let hosts = accepted_hosts(&listener.address, listener.hosts, hosts);
        listeners.extend(diagnostics.ok(policy).map(|policy| Listener {
            mode: listener.mode,
            owner: listener.owner,
            folder: listener.folder,
            passed: listener.passed,
            tls: listener.tls.map(|tls| tls.tls),
            insecure: listener.insecure,
            upstream: listener.upstream.map(|upstream| upstream.endpoint),
            clients: clients.map(Arc::from),
            origins: listener.origins,
            hosts,
            connections: listener.connections.map(|(number, _)| number),
            limits: listener.limits,
            ..Listener::new(listener.address, policy)
        }));
    }
    listeners
}

/// The host names that requests to this machine itself use.
pub(crate) const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The host names that a listener accepts; any if there are none. `listed` are those of the file, `more` those of `--hosts`.
///
/// A web page can make its own name resolve to this machine (DNS rebinding). So a loopback listener answers to loopback names
/// unless something else is said.
pub(crate) fn accepted_hosts(address: &Address, listed: Vec<String>, more: &[String]) -> Vec<String> {
    let own = match address {
        Address::Tcp { host, .. } => Some(host.as_str()),
        Address::Unix(_) => None,
    };
    let mut names = listed;
    if let (Some(host), true) = (own, names.is_empty()) {
        if is_loopback(host) || !more.is_empty() {
            names.extend(LOOPBACK_HOSTS.map(str::to_owned));
            names.extend(Some(host.to_owned()).filter(|host| is_loopback(host)));
        }
        names.extend(more.iter().cloned());
    }
    if names.iter().any(|name| name == "*") {
        return Vec::new();
    }
    for name in &mut names {
        if let Ok(address) = name.parse::<Ipv6Addr>() {
            *name = format!("[{address}]");
        }
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.to_ascii_lowercase()));
    names
}

/// The host names of `--hosts`.
fn more_hosts(settings: &Settings, diagnostics: &mut Diagnostics) -> Vec<String> {
    let read = |(name, location): &(String, Location)| diagnostics.ok(hosts::host(name, location));
    settings.hosts.iter().filter_map(read).collect()
}

/// Whether only this machine can reach a host.
pub(crate) fn is_loopback(host: &str) -> bool {
    let is_loopback_address = |address: IpAddr| address.to_canonical().is_loopback();
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback_address)
}

/// Reports listeners with the same address, and a listener with the address of an engine.
fn check_addresses(upstream: Option<&EngineEndpoint>, listeners: &[RawListener], diagnostics: &mut Diagnostics) {
    for (number, listener) in listeners.iter().enumerate() {
        // The system chooses another port each time.
        let any_port = matches!(listener.address, Address::Tcp { port: 0, .. });
        if !any_port && listeners.iter().take(number).any(|other| collide(&other.address, &listener.address)) {
            diagnostics.report(&listener.location, format!("a second listener on {}", listener.address));
        }
        if upstream.is_some_and(|upstream| engine_is_at(upstream, &listener.address)) {
            diagnostics.report(&listener.location, format!("{} is the engine itself", listener.address));
        }
    }
    for RawUpstream { endpoint, location } in listeners.iter().filter_map(|listener| listener.upstream.as_ref()) {
        if let Some(listener) = listeners.iter().find(|listener| engine_is_at(endpoint, &listener.address)) {
            let engine = &endpoint.address;
            let message = format!("{engine} is the listener at {}, expected an engine", listener.location);
            diagnostics.report(location, message);
        }
    }
}

/// Whether a connection to an engine would reach a listener at `address`: see [`leads_to`].
fn engine_is_at(engine: &EngineEndpoint, address: &Address) -> bool {
    match &engine.address {
        EngineAddress::Socket(engine) => leads_to(engine, address),
        EngineAddress::Ssh(_) => false,
    }
}

/// Reports a limit of connections that leaves a listener without any, and a listener that may have more than all together.
fn check_connections(file: &raw::RawConfig, listeners: &[RawListener], diagnostics: &mut Diagnostics) {
    let (Some(limit), Some(location)) = (file.limits.connections, &file.connections_location) else { return };
    if limit < listeners.len() {
        let count = listeners.len();
        diagnostics
            .report(location, format!("found {limit}, expected at least one connection for each of {count} listeners"));
    }
    for (number, location) in listeners.iter().filter_map(|listener| listener.connections.as_ref()) {
        if *number > limit {
            diagnostics
                .report(location, format!("found {number}, expected no more than the {limit} of limits.connections"));
        }
    }
}

/// Whether a connection to `upstream` would reach a listener at `address`, as far as that can be told without a connection.
pub(crate) fn leads_to(upstream: &Address, address: &Address) -> bool {
    match (upstream, address) {
        (Address::Tcp { host: to, port }, Address::Tcp { host: at, port: listening }) => {
            let same = match (ip(to), ip(at)) {
                (Some(to), Some(at)) => to == at || at.is_unspecified() && (to.is_loopback() || to.is_unspecified()),
                _ => to.eq_ignore_ascii_case(at),
            };
            port == listening && same
        }
        (Address::Unix(to), Address::Unix(at)) => files::is_same_path(to, at),
        (Address::Tcp { .. }, Address::Unix(_)) | (Address::Unix(_), Address::Tcp { .. }) => false,
    }
}

/// Whether two listeners cannot both listen, as far as that can be told before they do.
fn collide(one: &Address, other: &Address) -> bool {
    let (Address::Tcp { host, port }, Address::Tcp { host: other_host, port: other_port }) = (one, other) else {
        return leads_to(one, other);
    };
    // Whether all addresses of IPv6 include those of IPv4 is up to the system.
    let covers = |all: IpAddr, one: IpAddr| all.is_unspecified() && all.is_ipv4() == one.is_ipv4();
    let same = match (ip(host), ip(other_host)) {
        (Some(host), Some(other)) => host == other || covers(host, other) || covers(other, host),
        _ => host.eq_ignore_ascii_case(other_host),
    };
    port == other_port && same
}

/// The address that a host is, if that needs no look-up.
fn ip(host: &str) -> Option<IpAddr> {
    match host.parse::<IpAddr>() {
        Err(_) if host.eq_ignore_ascii_case("localhost") => Some(IpAddr::from([127, 0, 0, 1])),
        found => found.ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::api::ApiVersion;

    pub(in crate::config) fn load(text: &str) -> Result<Config, Vec<String>> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("dockveil-config-{}-{number}.yaml", std::process::id());
        let path = std::env::temp_dir().join(&name);
        std::fs::write(&path, text).unwrap();
        let files = ConfigFiles { config: Some(path.clone()), ..ConfigFiles::default() };
        let arguments = ServeArgs { files, ..ServeArgs::default() };
        let loaded = Config::load(&arguments, &Environment::default());
        let prefix = format!("{}:", path.display());
        std::fs::remove_file(&path).unwrap();
        loaded.map_err(|wrong| wrong.iter().map(|one| one.to_string().replace(&prefix, "")).collect())
    }

    #[test]
    fn a_whole_file_is_read() {
        let config = load(
            "upstream: tcp://engine:2375\nlisteners:\n  - listen: unix:///run/x.sock\n    mode: \"0600\"\n    owner: \"1:2\"\n    profile: dashboard-live\n    hosts: [a]\n    origins: [\"http://b\"]\nlimits: {element: 1MiB, depth: 64, head: 8KiB, memory: 8MiB, connections: 10}\ntimeouts: {connect: 1s, head: 500ms, idle: 2m, response: 3s, write: 4s, shutdown: 0s}\n",
        )
        .unwrap();
        let listener = &config.listeners[0];
        assert_eq!((listener.mode, listener.owner), (Some(0o600), SocketOwner { user: Some(1), group: Some(2) }));
        assert_eq!(listener.policy.name(), "dashboard-live");
        assert_eq!((config.limits.element.bytes(), config.limits.connections), (1 << 20, Some(10)));
        assert_eq!(config.limits.memory, Some(ByteLimit::new(8 << 20)));
        assert_eq!(
            (config.timeouts.head, config.timeouts.idle, config.timeouts.write),
            (Duration::from_millis(500), Duration::from_secs(120), Duration::from_secs(4))
        );
    }

    #[test]
    fn settings_that_no_listener_takes_are_noted() {
        let path = std::env::temp_dir().join(format!("dockveil-unused-{}.yaml", std::process::id()));
        for (listeners, expected) in [
            ("{listen: \"tcp://127.0.0.1:1\"}", [false, false]),
            ("{listen: \"tcp://127.0.0.1:1\", profile: dashboard}", [true, false]),
            ("{listen: \"tcp://127.0.0.1:1\", hosts: [a]}", [false, true]),
            ("{listen: unix:///a}", [false, true]),
            ("{listen: unix:///a, clients: [{uid: 1, profile: dashboard}]}", [true, true]),
            ("{listen: unix:///a, profile: dashboard}, {listen: \"tcp://127.0.0.1:1\"}", [false, false]),
        ] {
            std::fs::write(&path, format!("listeners: [{listeners}]\n")).unwrap();
            let arguments = ServeArgs {
                files: ConfigFiles { config: Some(path.clone()), ..ConfigFiles::default() },
                profile: Some("dashboard".to_owned()),
                hosts: vec!["a".to_owned()],
                ..ServeArgs::default()
            };
            let notes = Config::load(&arguments, &Environment::default()).unwrap().startup.notes;
            assert_eq!(
                [Note::ProfileUnused, Note::HostsUnused].map(|note| notes.contains(&note)),
                expected,
                "{listeners}"
            );
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_loopback_listener_answers_to_loopback_names_unless_others_are_listed() {
        const LOOPBACK: &[&str] = &["localhost", "127.0.0.1", "[::1]"];
        for (address, listed, more, expected) in [
            ("tcp://127.0.0.1:1", &[][..], &[][..], LOOPBACK),
            ("tcp://localhost:1", &[], &[], LOOPBACK),
            ("tcp://[::1]:1", &[], &[], LOOPBACK),
            ("tcp://127.0.0.5:1", &[], &[], &["localhost", "127.0.0.1", "[::1]", "127.0.0.5"]),
            ("tcp://127.0.0.1:1", &["dockveil"], &["other"], &["dockveil"]),
            ("tcp://127.0.0.1:1", &["*"], &[], &[]),
            (
                "tcp://127.0.0.1:1",
                &[],
                &["Dockveil", "dockveil", "::2"],
                &["localhost", "127.0.0.1", "[::1]", "Dockveil", "[::2]"],
            ),
            ("tcp://0.0.0.0:1", &[], &[], &[]),
            ("tcp://0.0.0.0:1", &[], &["a"], &["localhost", "127.0.0.1", "[::1]", "a"]),
            ("tcp://0.0.0.0:1", &[], &["a", "*"], &[]),
            ("tcp://dockveil:1", &["a"], &["b"], &["a"]),
            ("unix:///a", &[], &["a"], &[]),
            ("unix:///a", &["b"], &["a"], &["b"]),
        ] {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            let found = accepted_hosts(&address.parse().unwrap(), owned(listed), &owned(more));
            assert_eq!(found, expected, "{address} {listed:?} {more:?}");
        }
    }

    #[test]
    fn every_error_is_reported_with_its_location() {
        let wrong = load(
            "upstrem: x\nupstream: http://x\nlisteners:\n  - listen: unix://x\n    mode: \"999\"\n  - listen: tcp://127.0.0.1:1\n    profile: dashbord\nlimits: {element: big}\ntimeouts: {idle: soon}\n",
        )
        .unwrap_err();
        assert_eq!(
            wrong,
            [
                "1:1: unknown key \"upstrem\", did you mean \"upstream\"?",
                "2:11: found \"http://x\", expected unix:///path, tcp://host:port or ssh://user@host",
                "4:13: found \"unix://x\", expected an absolute path after unix://",
                "5:11: found \"999\", expected an octal mode in quotes, such as \"0660\"",
                "7:14: unknown profile \"dashbord\", did you mean \"dashboard\"?",
                "8:19: found \"big\", expected a size such as 64KiB or 16MiB",
                "9:18: found \"soon\", expected a time such as 500ms, 10s or 2m",
            ]
        );
    }

    #[test]
    fn a_directory_of_filters_that_cannot_be_read_is_reported_where_it_is_named() {
        let wrong = load("listeners: [{listen: \"unix:///a\"}]\nfilters:\n  - /nowhere/filters\n  - /nowhere/more\n")
            .unwrap_err();
        let error = "cannot be read: No such file or directory (os error 2)";
        assert_eq!(wrong, [format!("3:5: /nowhere/filters: {error}"), format!("4:5: /nowhere/more: {error}")]);
    }

    #[test]
    fn a_time_of_zero_is_an_error_where_nothing_could_be_served() {
        let listener = "listeners: [{listen: \"unix:///a\"}]\n";
        for unit in ["ms", "s", "m", "h"] {
            for name in ["connect", "head", "idle", "response", "write"] {
                let wrong = load(&format!("{listener}timeouts: {{{name}: 0{unit}}}\n")).unwrap_err();
                let said = format!(
                    "2:{}: found \"0{unit}\", expected a time such as 500ms, 10s or 2m: without time, nothing is served",
                    name.len() + 14
                );
                assert_eq!(wrong, [said]);
            }
            let config = load(&format!("{listener}timeouts: {{shutdown: 0{unit}}}\n")).unwrap();
            assert_eq!(config.timeouts.shutdown, Duration::ZERO);
        }
    }

    #[test]
    fn what_no_header_can_name_is_reported_where_it_stands() {
        let keys = "hosts: [dockveil:2375, \"*.x\", ::1]\n    origins: [app.example]";
        let wrong = load(&format!("listeners:\n  - listen: tcp://127.0.0.1:1\n    {keys}\n")).unwrap_err();
        let (host, origin) = (
            "expected a host name such as dockveil, 192.0.2.1 or ::1, or \"*\" for any",
            "expected an origin as browsers send it, such as https://app.example or http://localhost:3000",
        );
        assert_eq!(
            wrong,
            [
                format!("3:13: found \"dockveil:2375\", {host}; did you mean \"dockveil\"?"),
                format!("3:28: found \"*.x\", {host}"),
                format!("4:15: found \"app.example\", {origin}; did you mean \"https://app.example\"?"),
            ]
        );
        let arguments = |name: &str| ServeArgs {
            listen: vec!["unix:///a".to_owned()],
            hosts: vec![name.to_owned()],
            ..ServeArgs::default()
        };
        for name in ["a:1", "http://x", "", "a b", "*.x", "1.2.3.4/8"] {
            let wrong = Config::load(&arguments(name), &Environment::default()).unwrap_err();
            assert!(wrong.are_in_arguments() && wrong.iter().all(|one| one.to_string().starts_with("--hosts: found ")));
            let variables = [("DOCKVEIL_HOSTS", name)].into_iter().collect();
            let environment = Environment { variables, ..Environment::default() };
            let loaded = Config::load(&ServeArgs { hosts: Vec::new(), ..arguments("") }, &environment);
            assert_eq!(loaded.is_ok(), name.is_empty(), "an empty variable says nothing: {name}");
        }
    }

    #[test]
    fn limits_of_connections_must_leave_some_for_each_listener() {
        let listeners =
            "listeners:\n  - {listen: \"tcp://127.0.0.1:1\", connections: 3}\n  - {listen: \"tcp://127.0.0.1:2\"}\n";
        let config = load(&format!("{listeners}limits: {{connections: 3}}\n")).unwrap();
        let limits: Vec<Option<usize>> = config.listeners.iter().map(|listener| listener.connections).collect();
        assert_eq!((limits, config.limits.connections), (vec![Some(3), None], Some(3)));
        let wrong = load(&format!("{listeners}limits: {{connections: 1}}\n")).unwrap_err();
        assert_eq!(
            wrong,
            [
                "2:48: found 3, expected no more than the 1 of limits.connections",
                "4:23: found 1, expected at least one connection for each of 2 listeners",
            ]
        );
        let wrong = load("listeners:\n  - {listen: \"tcp://127.0.0.1:1\", connections: none}\n").unwrap_err();
        assert_eq!(wrong, ["2:48: found \"none\", expected a number from 1 to 1000000"]);
    }

    #[test]
    fn limits_of_listeners_and_clients_are_read_and_none_is_no_limit_by_mistake() {
        let listener = |keys: &str| format!("listeners:\n  - listen: unix:///run/a\n    {keys}\n");
        let config = load(&listener(
            "streams: 3\n    requests: 100/s\n    per_client: {connections: 2, requests: {rate: 20/m, burst: 5}}\n    \
             clients: [{uid: 1, profile: dashboard, streams: 1, requests: 1/h}]",
        ))
        .unwrap();
        let listener_limits = &config.listeners[0].limits;
        assert_eq!((listener_limits.streams, listener_limits.requests), (Some(3), RateLimit::parse("100/s", None)));
        let said = listener_limits.per_client.to_string();
        assert_eq!(said, "2 connections at most, 20/m and 5 at once requests at most");
        let rule = config.listeners[0].clients.as_ref().unwrap()[0].limits;
        let both = rule.or(listener_limits.per_client);
        assert_eq!(both.to_string(), "2 connections at most, 1 streams at most, 1/h requests at most");
        let rate = "expected a rate such as 20/s, 600/m or 1000/h";
        for (keys, expected) in [
            ("streams: 0", "3:14: found \"0\", expected a number from 1 to 1000000".to_owned()),
            ("streams:", "3:12: found nothing, expected a number from 1 to 1000000".to_owned()),
            ("requests: 20", format!("3:15: found \"20\", {rate}")),
            ("requests: 20/d", format!("3:15: found \"20/d\", {rate}")),
            ("requests:", format!("3:13: found nothing, {rate}")),
            ("requests: [20/s]", format!("3:15: found a list, {rate}")),
            ("requests: {burst: 3}", "3:15: expected `rate` with a rate such as 20/s, 600/m or 1000/h".to_owned()),
            ("requests: {rate: 1/s, burst: 0}", "3:34: found \"0\", expected a number from 1 to 1000000".to_owned()),
            ("requests: {rate: 1/s, burst: }", "3:32: found nothing, expected a number from 1 to 1000000".to_owned()),
            ("requests: {rate: 1/s, bursts: 3}", "3:27: unknown key \"bursts\", did you mean \"burst\"?".to_owned()),
            ("per_client: {requests: 0/s}", format!("3:28: found \"0/s\", {rate}")),
            ("per_client: {request: 1/s}", "3:18: unknown key \"request\", did you mean \"requests\"?".to_owned()),
            ("per_client:", "3:15: found nothing, expected limits of each client: a mapping with keys such as connections, streams, requests".to_owned()),
            ("clients: [{uid: 1, profile: dashboard, requests: }]", format!("3:52: found nothing, {rate}")),
        ] {
            assert_eq!(load(&listener(keys)).unwrap_err(), [expected], "{keys}");
        }
    }

    #[test]
    fn the_api_versions_of_clients_are_known_and_in_order() {
        let listener = "listeners: [{listen: \"tcp://127.0.0.1:1\"}]\n";
        let api = |text: &str| load(&format!("{listener}api: {text}\n")).map(|config| config.api);
        let version = |text: &str| text.parse::<ApiVersion>().unwrap();
        assert_eq!(load(listener).unwrap().api, ApiRange::default());
        let (found, newest) = (api("{min: 1.30, max: 1.44, pin: 1.41}").unwrap(), ApiVersion::NEWEST);
        assert_eq!((found.min(), found.max(), found.pin()), (version("1.30"), version("1.44"), Some(version("1.41"))));
        assert_eq!(api("{max: 1.44}").unwrap().min(), ApiVersion::MIN);
        assert_eq!(
            api("{min: 1.23, max: 9.9, pin: new, only: 1.44}").unwrap_err(),
            [
                format!("2:12: found \"1.23\", expected an API version from 1.24 to {newest}"),
                format!("2:23: found \"9.9\", expected an API version from 1.24 to {newest}"),
                format!("2:33: found \"new\", expected an API version from 1.24 to {newest}"),
                "2:38: unknown key \"only\", expected one of min, max, pin".to_owned(),
            ]
        );
        assert_eq!(api("{max: 1.99}").unwrap_err().len(), 1);
        assert_eq!(
            api("{min: 1.44, max: 1.43}").unwrap_err(),
            ["2:12: found 1.44, expected no more than the 1.43 of api.max"]
        );
        assert_eq!(
            api("{min: 1.30, max: 1.44, pin: 1.45}").unwrap_err(),
            ["2:34: found 1.45, expected a version from 1.30 to 1.44, which api allows"]
        );
    }

    #[test]
    fn what_a_file_leaves_out_variables_or_the_defaults_say() {
        let folder = std::env::temp_dir().join(format!("dockveil-parts-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("dockveil.yaml");
        let load = |text: &str, variables: &[(&'static str, &'static str)]| {
            std::fs::write(&path, text).unwrap();
            let files = ConfigFiles { config: Some(path.clone()), ..ConfigFiles::default() };
            let environment = Environment {
                runtime_directory: Some("/run/user/1".into()),
                variables: variables.iter().copied().collect(),
                ..Environment::default()
            };
            let config = Config::load(&ServeArgs { files, ..ServeArgs::default() }, &environment);
            config.map_err(|errors| errors.to_string()).map(|config| {
                let listeners = config.listeners.iter();
                let listeners = listeners.map(|one| format!("{} {}", one.address, one.policy.name()));
                (config.upstream.to_string(), listeners.collect::<Vec<_>>())
            })
        };
        let defaults = |profile: &str| {
            ["unix:///run/user/1/dockveil/docker.sock", "tcp://127.0.0.1:2375"]
                .map(|address| format!("{address} {profile}"))
        };
        let (upstream, listeners) = load("upstream: unix:///u\n", &[]).unwrap();
        assert_eq!((upstream.as_str(), listeners), ("unix:///u", defaults("dashboard").to_vec()));
        let own = "profiles: [{profile: own, allow: [Ping]}]\n";
        let (_, listeners) = load(own, &[("DOCKVEIL_PROFILE", "own")]).unwrap();
        assert_eq!(listeners, defaults("own"));
        let both = "upstream: unix:///u\nlisteners: [{listen: unix:///f}]\n";
        let variables = [
            ("DOCKVEIL_UPSTREAM", "unix:///v"),
            ("DOCKVEIL_LISTEN", "unix:///a,unix:///b"),
            ("DOCKVEIL_PROFILE", "mcp"),
        ];
        let (upstream, listeners) = load(both, &variables).unwrap();
        assert_eq!((upstream.as_str(), listeners), ("unix:///v", vec!["unix:///a mcp".into(), "unix:///b mcp".into()]));
        for text in ["listeners: []\n", "listeners:\n"] {
            let error = load(text, &[]).unwrap_err();
            assert!(error.contains("dockveil.yaml:1:"), "{text}: {error}");
        }
        let error = load("", &[("DOCKVEIL_LISTEN", "nowhere"), ("DOCKVEIL_PROFILE", "own")]).unwrap_err();
        assert!(error.contains("DOCKVEIL_LISTEN: "), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_argument_and_a_variable_replace_the_api_versions_of_the_file() {
        let range = |min: &str, max: &str, pin: &str| {
            let version = |text: &str| text.parse::<ApiVersion>().unwrap();
            ApiRange::new(version(min), version(max), Some(pin).filter(|pin| !pin.is_empty()).map(version)).unwrap()
        };
        let newest = ApiVersion::NEWEST.to_string();
        let found = |file: ApiRange, variable: &str, argument: &str| {
            let variables = [("DOCKVEIL_API", variable)].into_iter().filter(|(_, text)| !text.is_empty()).collect();
            let environment = Environment { variables, ..Environment::default() };
            let api = argument.split(',').filter(|text| !text.is_empty()).map(str::to_owned).collect();
            let mut diagnostics = Diagnostics::default();
            let arguments = ServeArgs { api, ..ServeArgs::default() };
            let file = ConfiguredApi { range: file, ..ConfiguredApi::default() };
            let found = api_versions(file, &Settings::of(&arguments, &environment), &mut diagnostics);
            if diagnostics.is_empty() { Ok(found.range) } else { Err(diagnostics.to_string()) }
        };
        let file = range("1.30", "1.44", "1.41");
        for (variable, argument, expected) in [
            ("", "", file),
            ("max=1.43", "", range("1.30", "1.43", "1.41")),
            ("max=1.43, pin=1.42", "", range("1.30", "1.43", "1.42")),
            ("max=1.43,min=1.24", "max=1.45,pin=1.45", range("1.24", "1.45", "1.45")),
        ] {
            assert_eq!(found(file, variable, argument), Ok(expected), "{variable} {argument}");
        }
        assert_eq!(found(ApiRange::default(), "max=1.44", ""), Ok(range("1.24", "1.44", "")));
        for (variable, argument, expected) in [
            (
                "1.44",
                "",
                format!(
                    "DOCKVEIL_API: found \"1.44\", expected min=, max= or pin= with an API version from 1.24 to {newest}\n"
                ),
            ),
            ("", "max=1.4x", format!("--api: found \"1.4x\", expected an API version from 1.24 to {newest}\n")),
            ("max=1.20", "", format!("DOCKVEIL_API: found \"1.20\", expected an API version from 1.24 to {newest}\n")),
            (
                "max=1.40",
                "",
                "DOCKVEIL_API: found 1.41, expected a version from 1.30 to 1.40, which api allows\n".to_owned(),
            ),
            ("max=1.41", "min=1.42", "--api: found 1.42, expected no more than the 1.41 of api.max\n".to_owned()),
        ] {
            assert_eq!(found(file, variable, argument), Err(expected), "{variable} {argument}");
        }
    }

    #[test]
    fn keepalive_is_counted_in_seconds() {
        let listener = "listeners: [{listen: \"tcp://127.0.0.1:1\"}]\n";
        let keepalive = |text: &str| load(&format!("{listener}keepalive: {text}\n")).map(|config| config.keepalive);
        assert_eq!(load(listener).unwrap().keepalive, Keepalive::default());
        let seconds = Duration::from_secs;
        let expected = Keepalive { idle: seconds(120), interval: seconds(5), probes: 9 };
        assert_eq!(keepalive("{idle: 2m, interval: 5s, probes: 9}"), Ok(expected));
        assert!(keepalive("{idle: 0s}").unwrap().idle.is_zero());
        assert_eq!(
            keepalive("{idle: 1500ms, interval: 0s, probes: 0, every: 1s}").unwrap_err(),
            [
                "2:19: found \"1500ms\", expected whole seconds from 0s to 9h",
                "2:37: found \"0s\", expected whole seconds from 1s to 9h",
                "2:49: found \"0\", expected a number from 1 to 127",
                "2:52: unknown key \"every\", expected one of idle, interval, probes",
            ]
        );
    }

    const TWO_LISTENERS: &str = "listeners:\n  - listen: unix:///run/a\n    clients: [{uid: 1000, gid: 990, profile: docker-cli}, {gid: 990, profile: monitoring}]\n  - listen: tcp://0.0.0.0:1\n    clients:\n      - {address: 172.20.0.0/16, profile: dashboard}\n      - {address: [\"::1\", 10.0.0.1], profile: monitoring}\n";

    #[test]
    fn each_line_of_clients_has_a_policy_of_its_own() {
        let config = load(TWO_LISTENERS).unwrap();
        let lines: Vec<Vec<String>> = config
            .listeners
            .iter()
            .map(|listener| {
                let rules = listener.clients.as_ref().unwrap();
                rules.iter().map(|rule| format!("{}: {}", rule.selector, rule.policy.name())).collect()
            })
            .collect();
        assert_eq!(
            lines,
            [
                ["uid 1000, gid 990: docker-cli", "gid 990: monitoring"],
                ["address 172.20.0.0/16: dashboard", "address ::1 or 10.0.0.1: monitoring"]
            ]
        );
        for listener in &config.listeners {
            assert_eq!((listener.policy.name(), listener.policy.operations().count()), ("nobody", 0));
        }
        // Those that name a profile share its policy.
        let [first, second] =
            [0, 1].map(|listener| config.listeners[listener].clients.as_ref().unwrap()[1].policy.clone());
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn every_error_in_clients_is_reported() {
        #[track_caller]
        fn check(listen: &str, clients: &str, expected: &[&str]) {
            let wrong = load(&format!("listeners:\n  - listen: {listen}\n    {clients}\n")).unwrap_err();
            assert_eq!(wrong, expected, "{clients}");
        }
        let unix = "unix:///run/a";
        check(unix, "clients:", &["3:12: found nothing, expected a list of clients"]);
        check(unix, "clients: []", &["3:14: no clients, expected at least one: the listener would serve nobody"]);
        check(unix, "clients: {uid: 1}", &["3:14: found a mapping, expected a list of clients"]);
        check(
            unix,
            "clients: [{uid: root, profile: dashbord}, {gid: -1, profile: [a]}, {uuid: 1, profile: dashboard}, {uid: 1}, {profile: dashboard}]",
            &[
                "3:21: found \"root\", expected a number from 0 to 4294967294",
                "3:36: unknown profile \"dashbord\", did you mean \"dashboard\"?",
                "3:53: found \"-1\", expected a number from 0 to 4294967294",
                "3:66: found a list, expected the name of a profile",
                "3:73: unknown key \"uuid\", did you mean \"uid\"?",
                "3:103: expected `profile` with the profile of these clients",
                "3:113: names no client, expected one of uid, gid, address, certificate, container",
            ],
        );
        check(
            unix,
            "clients: [{uid: 4294967295, profile: dashboard}, {address: 10.0.0.0/8, profile: dashboard}]",
            &[
                "3:21: found \"4294967295\", expected a number from 0 to 4294967294",
                "3:55: \"address\" does not apply to a Unix socket",
            ],
        );
        check(
            "tcp://127.0.0.1:1",
            "clients: [{uid: 0, profile: dashboard}, {address: 172.20.1.0/16, profile: dashboard}, {address: [], profile: dashboard}, {address: [a, 10.0.0.0/33], profile: dashboard}]",
            &[
                "3:16: \"uid\" does not apply to a TCP listener",
                "3:55: found \"172.20.1.0/16\", did you mean 172.20.0.0/16?",
                "3:101: no addresses, expected at least one",
                "3:137: found \"a\", expected an address or a range such as 172.20.0.0/16 or fd00::/8",
                "3:140: found \"10.0.0.0/33\", expected an address or a range such as 172.20.0.0/16 or fd00::/8",
            ],
        );
        check(
            unix,
            "profile: dashboard\n    clients: [{uid: 1, profile: dashboard}, {uid: 1, profile: monitoring}]",
            &[
                "3:5: `profile` and `clients` exclude each other: each client has a profile of its own",
                "4:45: never used: 4:15 names the same clients, and the first line wins",
            ],
        );
    }

    #[test]
    fn a_label_of_a_container_names_a_profile() {
        let listener = |clients: &str| format!("listeners:\n  - listen: unix:///run/a\n    clients: {clients}\n");
        let config = load(&listener(
            "[{container: {label: dockveil.profile, project: shop}, profiles: [homepage, dozzle]}, {container: {name: web}, uid: 0, profile: monitoring}]",
        ))
        .unwrap();
        let rules = config.listeners[0].clients.as_ref().unwrap();
        let lines: Vec<String> =
            rules.iter().map(|rule| format!("{}: {}", rule.selector, rule.policy.name())).collect();
        assert_eq!(
            lines,
            [
                "container label=dockveil.profile and project=shop, container label=dockveil.profile=homepage: homepage",
                "container label=dockveil.profile and project=shop, container label=dockveil.profile=dozzle: dozzle",
                "uid 0, container name=web: monitoring",
            ]
        );
        let needs = "needs `container: {label: NAME}`: the value of that label names one of these profiles";
        for (clients, expected) in [
            ("[{container: {label: a}, profiles: [dozle]}]", "unknown profile \"dozle\", did you mean \"dozzle\"?"),
            ("[{container: {label: a=b}, profiles: [dozzle]}]", needs),
            ("[{container: {label: \"a*\"}, profiles: [dozzle]}]", needs),
            ("[{uid: 0, profiles: [dozzle]}]", needs),
            ("[{container: {label: a}, profiles: []}]", "no profiles, expected at least one"),
            (
                "[{container: {label: a}, profile: dozzle, profiles: [dozzle]}]",
                "`profile` and `profiles` exclude each other",
            ),
            (
                "[{container: , profile: dozzle}]",
                "found nothing, expected a mapping with one of project, label, name, image",
            ),
            ("[{container: {nam: a}, profile: dozzle}]", "unknown key \"nam\", did you mean \"name\"?"),
        ] {
            let wrong = load(&listener(clients)).unwrap_err();
            assert!(
                wrong.len() == 1 && wrong[0].starts_with("3:") && wrong[0].ends_with(expected),
                "{clients}: {wrong:?}"
            );
        }
    }

    #[test]
    fn every_error_in_an_engine_is_reported() {
        #[track_caller]
        fn check(upstream: &str, expected: &[&str]) {
            let wrong = load(&format!("upstream: {upstream}\n")).unwrap_err();
            let folder = format!("{}/", std::env::temp_dir().display());
            let wrong: Vec<String> = wrong.iter().map(|wrong| wrong.replace(&folder, "/tmp/")).collect();
            assert_eq!(wrong, expected, "{upstream}");
        }
        check(
            "{address: \"tcp://a:1\", ca: nowhere/a, cert: nowhere/b}",
            &[
                "1:11: expected `key` with a file in PEM",
                "1:38: /tmp/nowhere/a: cannot be read: No such file or directory (os error 2)",
                "1:55: /tmp/nowhere/b: cannot be read: No such file or directory (os error 2)",
            ],
        );
        check("{ca: nowhere/a}", &["1:11: expected `address` with tcp://host:port"]);
        check("{address: \"tcp://a:1\", ca: }", &["1:11: expected `ca` with a file in PEM"]);
        check(
            "{address: \"unix:///a\", ca: nowhere/a}",
            &[
                "1:21: unix:///a is a Unix socket, which has no TLS, expected tcp://host:2376",
                "1:38: /tmp/nowhere/a: cannot be read: No such file or directory (os error 2)",
            ],
        );
        check(
            "{address: \"ssh://a\", cert: nowhere/a, key: nowhere/b}",
            &[
                "1:11: expected `ca` with a file in PEM",
                "1:21: ssh://a is reached by ssh, which needs no TLS, expected tcp://host:2376",
                "1:38: /tmp/nowhere/a: cannot be read: No such file or directory (os error 2)",
                "1:54: /tmp/nowhere/b: cannot be read: No such file or directory (os error 2)",
            ],
        );
        check(
            "{address: \"tcp://a..b:1\", ca: nowhere/a, keys: x}",
            &[
                "1:21: found \"a..b\", for which no certificate can be, expected tcp://host:2376",
                "1:41: /tmp/nowhere/a: cannot be read: No such file or directory (os error 2)",
                "1:52: unknown key \"keys\", did you mean \"key\"?",
            ],
        );
        assert_eq!(load("upstream: {address: \"ssh://a\"}\n").unwrap().upstream.to_string(), "ssh://a");
    }

    /// Which variables of the docker command are an error, and with which engine.
    #[test]
    fn tls_of_the_docker_command_is_never_ignored() {
        let load = |arguments: ServeArgs, variables: &[(&'static str, &'static str)]| {
            let docker_host =
                variables.iter().find(|(name, _)| *name == "DOCKER_HOST").map(|(_, value)| (*value).into());
            let variables = variables.iter().copied().collect();
            let environment = Environment { docker_host, variables, ..Environment::default() };
            Config::load(&arguments, &environment)
                .map(|config| config.upstream.to_string())
                .map_err(|errors| errors.to_string())
        };
        let upstream = |address: &str| ServeArgs { upstream: Some(address.to_owned()), ..ServeArgs::default() };
        let plain = "is a Unix socket, which has no TLS, expected tcp://host:2376";
        for (arguments, variables, expected) in [
            (
                ServeArgs::default(),
                &[("DOCKER_TLS_VERIFY", "1")][..],
                format!("DOCKER_TLS_VERIFY: unix:///var/run/docker.sock {plain}\n"),
            ),
            // Any value, as for the docker command.
            (
                ServeArgs::default(),
                &[("DOCKER_TLS_VERIFY", "0"), ("DOCKER_HOST", "unix:///a")],
                format!("DOCKER_TLS_VERIFY: unix:///a {plain}\n"),
            ),
            (
                ServeArgs::default(),
                &[("DOCKER_TLS", "1")],
                format!("DOCKER_TLS: unix:///var/run/docker.sock {plain}\n"),
            ),
            (upstream("unix:///b"), &[("DOCKER_TLS_VERIFY", "1")], format!("DOCKER_TLS_VERIFY: unix:///b {plain}\n")),
            (
                upstream("tcp://a:1"),
                &[("DOCKER_TLS_VERIFY", "1")],
                "DOCKER_TLS_VERIFY: expected DOCKER_CERT_PATH with a directory of ca.pem, cert.pem, key.pem\n"
                    .to_owned(),
            ),
            (
                upstream("tcp://a:1"),
                &[("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/nowhere")],
                "DOCKER_CERT_PATH: /nowhere/ca.pem: cannot be read: No such file or directory (os error 2)\n"
                    .to_owned(),
            ),
        ] {
            assert_eq!(load(arguments, variables), Err(expected), "{variables:?}");
        }
        // An empty variable says nothing, ssh needs no TLS, and without verification no file is needed.
        for (arguments, variables, expected) in [
            (upstream("tcp://a:1"), &[("DOCKER_TLS_VERIFY", "")][..], "tcp://a:1"),
            (upstream("tcp://a:1"), &[("DOCKER_CERT_PATH", "/nowhere")], "tcp://a:1"),
            (upstream("ssh://a"), &[("DOCKER_TLS_VERIFY", "1")], "ssh://a"),
            (
                upstream("tcp://a:1"),
                &[("DOCKER_TLS", "1"), ("DOCKER_CERT_PATH", "/nowhere")],
                "tcp://a:1 over TLS (/nowhere/ca.pem, /nowhere/cert.pem, /nowhere/key.pem)",
            ),
        ] {
            assert_eq!(load(arguments, variables).as_deref(), Ok(expected), "{variables:?}");
        }
    }

    #[test]
    fn the_variables_of_tls_are_about_the_engines_of_listeners_too() {
        let path = std::env::temp_dir().join(format!("dockveil-own-{}.yaml", std::process::id()));
        let listener =
            |number: u8, upstream: &str| format!("  - {{listen: unix:///{number}, upstream: \"{upstream}\"}}\n");
        let listeners = [listener(1, "tcp://b:1"), listener(2, "unix:///own"), listener(3, "ssh://c")].concat();
        std::fs::write(&path, format!("upstream: ssh://a\nlisteners:\n{listeners}")).unwrap();
        let load = |verify: &'static str| {
            let files = ConfigFiles { config: Some(path.clone()), ..ConfigFiles::default() };
            let variables = [(verify, "1"), ("DOCKER_CERT_PATH", "/nowhere")].into_iter().collect();
            let environment = Environment { variables, ..Environment::default() };
            let config = Config::load(&ServeArgs { files, ..ServeArgs::default() }, &environment)?;
            let engines = config.listeners.iter().map(|listener| config.engine_of(listener).to_string());
            Ok::<_, Diagnostics>(engines.collect::<Vec<_>>())
        };
        let files = "/nowhere/ca.pem, /nowhere/cert.pem, /nowhere/key.pem";
        let expected = [format!("tcp://b:1 over TLS ({files})"), "unix:///own".to_owned(), "ssh://c".to_owned()];
        assert_eq!(load("DOCKER_TLS").unwrap(), expected);
        let wrong = load("DOCKER_TLS_VERIFY").unwrap_err().to_string();
        assert_eq!(
            wrong,
            "DOCKER_CERT_PATH: /nowhere/ca.pem: cannot be read: No such file or directory (os error 2)\n"
        );
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn every_error_in_tls_is_reported() {
        #[track_caller]
        fn check(listener: &str, expected: &[&str]) {
            let wrong = load(&format!("listeners:\n  - {listener}\n")).unwrap_err();
            let folder = format!("{}/", std::env::temp_dir().display());
            let wrong: Vec<String> = wrong.iter().map(|wrong| wrong.replace(&folder, "/tmp/")).collect();
            assert_eq!(wrong, expected, "{listener}");
        }
        let tcp = "listen: tcp://127.0.0.1:1";
        check(
            &format!("{tcp}\n    tls: {{certificate: nowhere/a, key: nowhere/b}}"),
            &[
                "3:24: /tmp/nowhere/a: cannot be read: No such file or directory (os error 2)",
                "3:40: /tmp/nowhere/b: cannot be read: No such file or directory (os error 2)",
            ],
        );
        check(
            &format!(
                "{tcp}\n    tls: {{certificate: nowhere/a, key: nowhere/b, client_ca: , crl: , client_certificate: no}}"
            ),
            &[
                "3:10: expected `client_ca` with a file in PEM",
                "3:24: /tmp/nowhere/a: cannot be read: No such file or directory (os error 2)",
                "3:40: /tmp/nowhere/b: cannot be read: No such file or directory (os error 2)",
                "3:67: found nothing, expected a file in PEM",
                "3:91: found \"no\", expected required or optional",
            ],
        );
        check(
            &format!(
                "{tcp}\n    tls: {{certificate: nowhere/a, key: nowhere/b, crl: nowhere/c, client_certificate: optional}}"
            ),
            &[
                "3:24: /tmp/nowhere/a: cannot be read: No such file or directory (os error 2)",
                "3:40: /tmp/nowhere/b: cannot be read: No such file or directory (os error 2)",
                "3:51: \"crl\" needs `client_ca`, the authorities of clients",
                "3:56: /tmp/nowhere/c: cannot be read: No such file or directory (os error 2)",
                "3:67: \"client_certificate\" needs `client_ca`, the authorities of clients",
            ],
        );
        check("listen: unix:///run/a\n    insecure: true", &["3:5: \"insecure\" does not apply to a Unix socket"]);
        check(
            &format!("{tcp}\n    tls:"),
            &["3:8: found nothing, expected settings of TLS: a mapping with keys such as certificate, key, client_ca"],
        );
        check(
            "listen: unix:///run/a\n    tls: {}",
            &[
                "3:10: \"tls\" does not apply to a Unix socket",
                "3:10: expected `certificate` with a file in PEM",
                "3:10: expected `key` with a file in PEM",
            ],
        );
        check(
            &format!(
                "{tcp}\n    clients:\n      - {{certificate: {{cn: a}}, profile: dashboard}}\n      - {{certificate: {{}}, profile: dashboard}}\n      - {{certificate: {{cn: \"*\", dns: , spiffe: web, key: \"md5:1\", cnn: a}}, profile: dashboard}}"
            ),
            &[
                "4:10: \"certificate\" needs `client_ca` in `tls` of the listener, with the authority of its clients",
                "5:10: \"certificate\" needs `client_ca` in `tls` of the listener, with the authority of its clients",
                "5:23: names no certificate, expected one of cn, dns, uri, spiffe, key",
                "6:10: \"certificate\" needs `client_ca` in `tls` of the listener, with the authority of its clients",
                "6:28: found \"*\", expected the whole name, without a pattern",
                "6:36: found nothing, expected the whole name",
                "6:48: found \"web\", expected a SPIFFE id such as spiffe://example.org/web",
                "6:58: found \"md5:1\", expected sha256: and 64 hexadecimal digits",
                "6:67: unknown key \"cnn\", did you mean \"cn\"?",
            ],
        );
    }

    #[test]
    fn a_duplicate_listener_or_one_on_the_engine_is_an_error() {
        let wrong = load(
            "upstream: unix:///run/e.sock\nlisteners:\n  - listen: tcp://127.0.0.1:1\n  - listen: tcp://127.0.0.1:1\n  - listen: unix:///run/e.sock\n",
        )
        .unwrap_err();
        assert_eq!(
            wrong,
            ["4:5: a second listener on tcp://127.0.0.1:1", "5:5: unix:///run/e.sock is the engine itself"]
        );
    }

    #[test]
    fn metrics_on_a_listener_or_an_engine_are_an_error() {
        let listeners = "upstream: unix:///run/e.sock\nlisteners:\n  - listen: unix:///run/a\n  - listen: tcp://127.0.0.1:1\n    upstream: tcp://localhost:2\n";
        for (metrics, expected) in [
            ("unix:///run/e.sock", Some("is the engine itself")),
            ("unix:///run/../run/e.sock", Some("is the engine itself")),
            ("tcp://127.0.0.1:2", Some("is the engine itself")),
            ("unix:///run/a", Some("is the listener at 3:5, expected an address for metrics only")),
            ("unix:///run/e.sock2", None),
            ("tcp://127.0.0.1:3", None),
            ("tcp://127.0.0.1:0", None),
        ] {
            let wrong = load(&format!("{listeners}metrics: {metrics}\n")).err().unwrap_or_default();
            let expected: Vec<String> = expected.map(|text| format!("6:10: {metrics} {text}")).into_iter().collect();
            assert_eq!(wrong, expected, "{metrics}");
        }
    }

    #[test]
    fn an_audit_file_that_is_read_is_an_error() {
        use std::os::unix::fs::symlink;
        let folder = std::env::temp_dir().join(format!("dockveil-audit-read-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("filters/profile/more")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write("filters/own.yaml", "{extends: dashboard, profile: own}\n");
        write("key.pem", "");
        write("other", "");
        std::fs::hard_link(folder.join("filters/own.yaml"), folder.join("hard-filter")).unwrap();
        symlink("dockveil.yaml", folder.join("link")).unwrap();
        symlink("filters/profile", folder.join("profile-link")).unwrap();
        symlink("filters/later.yaml", folder.join("dangling")).unwrap();
        symlink("../later.yaml", folder.join("filters/linked.yaml")).unwrap();
        let config = folder.join("dockveil.yaml");
        let load = |audit: &str, variable: &str| {
            let text = format!(
                "audit: {{file: {audit}}}\nfilters: [filters]\nupstream: {{address: \"tcp://a:1\", ca: key.pem}}\n\
                 listeners:\n  - listen: tcp://127.0.0.1:1\n    tls: {{certificate: key.pem, key: key.pem}}\n"
            );
            let _ = std::fs::remove_file(folder.join("hard"));
            write("dockveil.yaml", &text);
            std::fs::hard_link(&config, folder.join("hard")).unwrap();
            let files = ConfigFiles { config: Some(config.clone()), ..ConfigFiles::default() };
            let arguments = ServeArgs { files, ..ServeArgs::default() };
            let environment = Environment {
                variables: [("DOCKVEIL_AUDIT", variable)].into_iter().collect(),
                ..Environment::default()
            };
            let wrong = Config::load(&arguments, &environment).unwrap_err();
            let texts = wrong.iter().map(|one| one.to_string().replace(&format!("{}/", folder.display()), ""));
            texts.filter(|text| text.contains("audit")).collect::<Vec<_>>()
        };
        for (audit, reads) in [
            ("dockveil.yaml", "dockveil.yaml"),
            ("./filters/../dockveil.yaml", "dockveil.yaml"),
            ("link", "dockveil.yaml"),
            ("hard", "dockveil.yaml"),
            ("filters/own.yaml", "filters/own.yaml"),
            ("filters/new.jsonl", "filters"),
            ("filters/profile/more/new.jsonl", "filters"),
            ("profile-link/new.jsonl", "filters"),
            ("dangling", "filters"),
            ("hard-filter", "filters/own.yaml"),
        ] {
            let message = match reads {
                "filters" => format!(
                    "{audit} would be in {reads}, whose files are read, expected another path for the audit file"
                ),
                _ => format!("{audit} leads to {reads}, which is read, expected a path for the audit file only"),
            };
            assert_eq!(load(audit, ""), [format!("dockveil.yaml:1:15: {message}")]);
            let variable = folder.join(audit).display().to_string();
            assert_eq!(load("other", &variable), [format!("DOCKVEIL_AUDIT: {message}")]);
        }
        for audit in ["other", "new", "filters.jsonl", "dockveil.yaml.jsonl"] {
            assert_eq!(load(audit, ""), [""; 0], "{audit}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn files_in_the_place_of_others_are_an_error() {
        let folder = std::env::temp_dir().join(format!("dockveil-places-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("a")).unwrap();
        std::os::unix::fs::symlink("a", folder.join("link")).unwrap();
        let wrong = |listen: &[&str], metrics: &str, audit: &str| {
            let listeners: Vec<String> = listen.iter().map(|path| format!("{{listen: \"unix://%/{path}\"}}")).collect();
            let lines = [("metrics: unix://%/", metrics), ("audit: {file: ", audit)];
            let lines = lines.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| match *key {
                "metrics: unix://%/" => format!("{key}{value}\n"),
                key => format!("{key}%/{value}}}\n"),
            });
            let text = format!(
                "upstream: unix://%/engine\nlisteners: [{}]\n{}",
                listeners.join(", "),
                lines.collect::<String>()
            );
            let found = load(&text.replace('%', &folder.display().to_string())).err().unwrap_or_default();
            found.iter().map(|error| error.replace(&format!("{}/", folder.display()), "")).collect::<Vec<_>>()
        };
        let below = |name: &str, what: &str| format!("{name} is below {what}, which is no directory");
        let audit_only = "expected a path for the audit file only";
        for (listen, metrics, audit, expected) in [
            (&["a/k"][..], "a/k2", "a/k3", vec![]),
            (&["a/k", "a/k/x/y"], "", "", vec![("2:", below("unix://a/k/x/y", "the socket a/k"))]),
            (&["link/k/x", "a/k"], "", "", vec![("2:", below("unix://link/k/x", "the socket a/k"))]),
            (&["a/k"], "a/k/m", "", vec![("3:10: ", below("unix://a/k/m", "the socket a/k"))]),
            (&["a/k/x"], "a/k", "", vec![("2:", below("unix://a/k/x", "the socket a/k"))]),
            (&["engine/k"], "", "", vec![("2:", below("unix://engine/k", "the socket of the engine engine"))]),
            (&["a/k"], "engine/m", "", vec![("3:10: ", below("unix://engine/m", "the socket of the engine engine"))]),
            (&["a/k"], "", "a/k", vec![("3:15: ", format!("a/k is the socket a/k, {audit_only}"))]),
            (&["a/k"], "a/m", "link/m", vec![("4:15: ", format!("link/m is the socket a/m, {audit_only}"))]),
            (
                &["a/k"],
                "",
                "engine",
                vec![("3:15: ", format!("engine is the socket of the engine engine, {audit_only}"))],
            ),
            (&["a/k"], "", "a/k/audit", vec![("3:15: ", below("a/k/audit", "the socket a/k"))]),
            (&["a/k/x"], "", "link/k", vec![("2:", below("unix://a/k/x", "the audit file link/k"))]),
            // That it is a directory is told by itself.
            (&["a/k/x"], "", "a", vec![]),
        ] {
            let found = wrong(listen, metrics, audit);
            let is_expected = found.len() == expected.len()
                && found
                    .iter()
                    .zip(&expected)
                    .all(|(found, (at, text))| found.starts_with(at) && found.ends_with(text));
            assert!(is_expected, "{listen:?} {metrics} {audit}: {found:?}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn listeners_that_cannot_both_listen_are_an_error() {
        let is_refused = |one: &str, other: &str| {
            let text = format!("listeners: [{{listen: \"{one}\"}}, {{listen: \"{other}\"}}]\n");
            let wrong = load(&text).err().unwrap_or_default();
            wrong.iter().any(|error| error.ends_with(&format!("a second listener on {other}")))
        };
        for (one, other, expected) in [
            ("tcp://127.0.0.1:1", "tcp://localhost:1", true),
            ("tcp://0.0.0.0:1", "tcp://127.0.0.2:1", true),
            ("tcp://[::]:1", "tcp://[::1]:1", true),
            ("tcp://dockveil:1", "tcp://Dockveil:1", true),
            ("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", false),
            ("tcp://127.0.0.1:1", "tcp://127.0.0.2:1", false),
            ("tcp://0.0.0.0:1", "tcp://[::1]:1", false),
            ("tcp://0.0.0.0:0", "tcp://0.0.0.0:0", false),
            ("unix:///run/a", "unix:///run/b", false),
            ("unix:///run/../run/a", "unix:///run/a", true),
            ("unix:///proc/self/cwd/../a", "unix:///a", false),
        ] {
            assert_eq!(is_refused(one, other), expected, "{one} {other}");
            assert_eq!(is_refused(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn a_listener_may_have_an_engine_of_its_own() {
        let listeners = "listeners:\n  - listen: unix:///run/a\n  - listen: unix:///run/b\n    upstream: tcp://other:2376\n  - listen: unix:///run/c\n    upstream: unix:///run/e.sock\n";
        let config = load(&format!("upstream: unix:///run/e.sock\n{listeners}")).unwrap();
        let engines = |listener: &Listener| config.engine_of(listener).to_string();
        let of_listeners: Vec<String> = config.listeners.iter().map(engines).collect();
        assert_eq!(of_listeners, ["unix:///run/e.sock", "tcp://other:2376", "unix:///run/e.sock"]);
        let each: Vec<String> = config.engines().iter().map(ToString::to_string).collect();
        assert_eq!(each, ["unix:///run/e.sock", "tcp://other:2376"]);
        let wrong = load(
            "listeners:\n  - listen: unix:///run/a\n    upstream: unix:///run/b\n  - {listen: \"unix:///run/b\", upstream: \"http://x\"}\n",
        )
        .unwrap_err();
        assert_eq!(
            wrong,
            [
                "3:15: unix:///run/b is the listener at 4:5, expected an engine",
                "4:41: found \"http://x\", expected unix:///path, tcp://host:port or ssh://user@host",
            ]
        );
    }

    #[test]
    fn an_upstream_that_leads_to_a_listener_is_recognised() {
        #[track_caller]
        fn check(upstream: &str, listener: &str, expected: bool) {
            assert_eq!(leads_to(&upstream.parse().unwrap(), &listener.parse().unwrap()), expected);
        }
        check("tcp://localhost:2375", "tcp://127.0.0.1:2375", true);
        check("tcp://127.0.0.2:2375", "tcp://0.0.0.0:2375", true);
        check("tcp://[::1]:2375", "tcp://[::]:2375", true);
        check("tcp://Engine:2375", "tcp://engine:2375", true);
        check("tcp://engine:2375", "tcp://0.0.0.0:2375", false);
        check("tcp://127.0.0.2:2375", "tcp://127.0.0.1:2375", false);
        check("tcp://localhost:2376", "tcp://127.0.0.1:2375", false);
        check("unix:///a", "unix:///a", true);
        check("unix:///a", "unix:///b", false);
        check("unix:///run/../run/a", "unix:///run/a", true);
        check("unix:///run/./nowhere/../a", "unix:///run//a", true);
        check("unix:///proc/self/../a", "unix:///proc/a", true);
    }

    #[test]
    fn mode_and_owner_of_a_tcp_listener_are_errors() {
        let wrong =
            load("listeners:\n  - listen: tcp://127.0.0.1:1\n    mode: \"0600\"\n    owner: \"1:2\"\n").unwrap_err();
        assert_eq!(
            wrong,
            ["3:5: \"mode\" does not apply to a TCP listener", "4:5: \"owner\" does not apply to a TCP listener",]
        );
    }

    #[test]
    fn profiles_can_be_in_the_configuration_file() {
        let listener = "listeners:\n  - {listen: \"tcp://127.0.0.1:1\", profile: own}\n";
        let config =
            load(&format!("{listener}profiles:\n  - {{profile: own, extends: dashboard, show: [host]}}\n")).unwrap();
        let policy = &config.listeners[0].policy;
        assert!(policy.shows(crate::schema::Class::Host) && policy.allows("ContainerList"));
        let wrong = load(&format!("{listener}profiles:\n  - profile: own\n    alow: []\n  - profile: dashboard\n"))
            .unwrap_err();
        assert_eq!(wrong[0], "5:5: unknown key \"alow\", did you mean \"allow\"?");
        assert!(wrong[1].starts_with("6:14: duplicate profile \"dashboard\": built-in:"), "{wrong:?}");
    }

    #[test]
    fn an_unknown_profile_is_reported_beside_errors_in_profiles() {
        let wrong = load(
            "listeners:\n  - {listen: \"tcp://127.0.0.1:1\", profile: dashbord}\n  - {listen: \"tcp://127.0.0.1:2\", \
             profile: wrong}\n  - {listen: \"tcp://127.0.0.1:3\", profile: child}\n  - {listen: \"tcp://127.0.0.1:4\", \
             profile: chld}\nprofiles:\n  - {profile: wrong, alow: []}\n  - {profile: child, extends: wrong, allow: \
             [lifecicle]}\n  - {profile: other, extends: nobody}\n",
        )
        .unwrap_err();
        assert_eq!(
            wrong,
            [
                "2:44: unknown profile \"dashbord\", did you mean \"dashboard\"?",
                "5:44: unknown profile \"chld\", did you mean \"child\"?",
                "7:22: unknown key \"alow\", did you mean \"allow\"?",
                "8:46: unknown operation or group \"lifecicle\", did you mean \"lifecycle\"?",
                "9:31: unknown profile \"nobody\", expected one of",
            ]
            .map(|start| wrong.iter().find(|one| one.starts_with(start)).map_or("", String::as_str))
        );
        assert_eq!(wrong.len(), 5, "{wrong:?}");
    }

    #[test]
    fn without_arguments_it_listens_for_the_current_user() {
        let environment = Environment { runtime_directory: Some("/run/user/1".into()), ..Environment::default() };
        let config = Config::load(&ServeArgs::default(), &environment).unwrap();
        let addresses: Vec<String> = config.listeners.iter().map(|listener| listener.address.to_string()).collect();
        assert_eq!(addresses, ["unix:///run/user/1/dockveil/docker.sock", "tcp://127.0.0.1:2375"]);
        assert_eq!(config.listeners[1].hosts, LOOPBACK_HOSTS);
        assert_eq!(
            (config.upstream.to_string().as_str(), config.listeners[0].policy.name()),
            (DEFAULT_UPSTREAM, "dashboard")
        );
    }
}
