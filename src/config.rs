//! Arguments, environment and files made into one checked, immutable [`Config`].
//!
//! A start with mistakes reports all of them, each with its place and what was expected there, and starts nothing.

pub mod compat;
mod read;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::cli::{ConfigFiles, Environment, ServeArgs};
use crate::filter;
use crate::policy::Policy;
use crate::profile::Profiles;
use crate::schema::Catalogue;
use crate::socket::{Address, SocketOwner};
use crate::yaml::{Diagnostic, Diagnostics, Location, Node};

use self::compat::{Compat, RunAs};

/// Where an engine listens unless somebody says otherwise.
const DEFAULT_UPSTREAM: &str = "unix:///var/run/docker.sock";
/// The profile of a listener that names none.
const DEFAULT_PROFILE: &str = "dashboard";

/// Everything that serving takes.
#[derive(Debug)]
pub struct Config {
    /// The engine.
    pub upstream: Address,
    /// Where clients come in; at least one.
    pub listeners: Vec<Listener>,
    /// How much anything may take.
    pub limits: Limits,
    /// How long anything may take.
    pub timeouts: Timeouts,
    /// What starting takes beyond listening.
    pub startup: Startup,
}

/// What starting takes beyond listening.
#[derive(Debug, Default)]
pub struct Startup {
    /// Who a process that is root becomes when all listeners are open; nobody else if not said.
    pub run_as: Option<RunAs>,
    /// Whether to end at once when the engine's socket may not be opened.
    pub must_reach_engine: bool,
    /// What a person who starts it should know beyond what is exposed.
    pub notes: Vec<String>,
}

/// One way in.
#[derive(Debug)]
pub struct Listener {
    /// Where it listens.
    pub address: Address,
    /// The permissions of a Unix socket; 0660 if not said.
    pub mode: Option<u32>,
    /// The user and group of a Unix socket.
    pub owner: SocketOwner,
    /// What its clients may ask and see.
    pub policy: Arc<Policy>,
    /// Origins of web pages that may send requests; none but these.
    pub origins: Vec<String>,
    /// Names under which clients may address it; any if empty.
    pub hosts: Vec<String>,
}

/// A number of bytes, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteLimit(usize);

impl ByteLimit {
    /// This many bytes, or one for none.
    pub const fn new(bytes: usize) -> Self {
        Self(if bytes == 0 { 1 } else { bytes })
    }

    /// How many.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

/// How much anything may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One document, or one element of a list.
    pub element: ByteLimit,
    /// How deep a document may nest.
    pub depth: usize,
    /// The head of a request.
    pub head: ByteLimit,
    /// Connections at a time; as many as there are descriptors for if not said.
    pub connections: Option<usize>,
}

impl Limits {
    /// What one document may cost.
    fn of_a_document(self) -> filter::DocumentLimits {
        filter::DocumentLimits { size: self.element.bytes(), depth: self.depth }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { element: ByteLimit(16 << 20), depth: 128, head: ByteLimit(64 << 10), connections: None }
    }
}

/// How long anything may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Connecting to the engine.
    pub connect: Duration,
    /// A request head, from its first byte.
    pub head: Duration,
    /// Between two requests of a connection, and between two bytes of a request body.
    pub idle: Duration,
    /// The head of an answer, and the time between two pieces of a document.
    pub response: Duration,
    /// What is under way when we are told to stop.
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(10),
            head: seconds(10),
            idle: seconds(60),
            response: seconds(60),
            shutdown: seconds(10),
        }
    }
}

/// The knowledge of the program and of the directories added to it.
#[derive(Debug)]
pub struct Filters {
    /// Schemas and classes.
    pub catalogue: Catalogue,
    /// Profiles.
    pub profiles: Profiles,
}

impl Filters {
    /// Reads the files inside the program, those in the folders (`profile/*.yaml` and `class/*.yaml`, or the same files
    /// in the folder itself) and the profiles of the configuration. They add; a name or field that is taken is a
    /// mistake.
    ///
    /// # Errors
    /// Every mistake in all the files.
    pub fn load(sources: &Sources) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let (mut profiles, mut classes) = (Vec::new(), Vec::new());
        for folder in &sources.folders {
            for file in diagnostics.ok(read::yaml_files(folder)).unwrap_or_default() {
                let Some((name, text)) = diagnostics.ok(read::file(&file)) else { continue };
                if text.lines().any(|line| line.starts_with("class:")) {
                    classes.push((name, text));
                } else {
                    profiles.push((name, text));
                }
            }
        }
        fn borrowed(files: &[(String, String)]) -> Vec<(&str, &str)> {
            files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
        }
        let catalogue = match crate::api::catalogue::built_in_with(&borrowed(&classes)) {
            Ok(catalogue) => catalogue,
            Err(wrong) => {
                diagnostics.extend(wrong);
                // What the profiles say is checked against the program's own knowledge.
                crate::api::catalogue::built_in()?
            }
        };
        match Profiles::built_in_and(&borrowed(&profiles), &sources.profiles, &catalogue) {
            Ok(mut profiles) => {
                if let Some(compat) = &sources.compat
                    && let Some(base) = profiles.get(compat.base())
                {
                    profiles.add(compat.profile(base));
                }
                diagnostics.finish(Self { catalogue, profiles })
            }
            Err(wrong) => {
                diagnostics.extend(wrong);
                Err(diagnostics)
            }
        }
    }

    /// The policy of the profile called `name`, which `place` asks for.
    ///
    /// # Errors
    /// That there is no such profile, or what its rules cannot be compiled for.
    pub fn policy(&self, name: &str, location: &Location, limits: Limits) -> Result<Arc<Policy>, Diagnostics> {
        match self.profiles.get(name) {
            Some(profile) => Policy::compile_within(profile, &self.catalogue, limits.of_a_document()).map(Arc::new),
            None => Err(Diagnostic::new(location, self.profiles.unknown(name)).into()),
        }
    }
}

/// Where filters come from besides the program itself.
#[derive(Debug, Default)]
pub struct Sources {
    folders: Vec<PathBuf>,
    profiles: Vec<Node>,
    compat: Option<Compat>,
}

impl Sources {
    /// What arguments, environment and file name.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn find(files: &ConfigFiles, environment: &Environment) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let said = Said::find(files.config.as_deref(), None, environment, &mut diagnostics);
        diagnostics.finish(said.sources(&files.filters))
    }
}

/// What says what to serve: a file, or the variables of another socket proxy, or neither.
#[derive(Debug, Default)]
struct Said {
    file: Option<PathBuf>,
    raw: read::Raw,
    compat: Option<Compat>,
    notes: Vec<String>,
}

impl Said {
    /// A file that is named comes first, then variables of another proxy, then the file for when there is nothing else.
    fn find(
        file: Option<&Path>,
        profile: Option<&str>,
        environment: &Environment,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut said = Self { file: file.or(environment.config.as_deref()).map(Path::to_owned), ..Self::default() };
        match Compat::find(&environment.variables) {
            Err(wrong) => diagnostics.extend(wrong),
            Ok(None) => {}
            Ok(Some(compat)) => {
                let instead =
                    said.file.as_ref().map(|file| file.display().to_string()).or(profile.map(ToOwned::to_owned));
                match instead {
                    Some(instead) => said.notes.push(format!(
                        "note: the variables of {} are set and not read, because there is {instead}",
                        compat.table.about
                    )),
                    None => said.compat = Some(compat),
                }
            }
        }
        if let Some(compat) = &said.compat {
            said.raw = raw_of(compat);
            said.notes.push(format!("compat: {}", compat.table.name));
            let set: Vec<&str> = compat.set(&environment.variables).collect();
            said.notes.push(format!("  set: {}", set.join(", ")));
            said.notes.extend(compat.notes.iter().map(|note| format!("  {note}")));
            let unread = environment.default_config.as_ref().map(|file| format!("  {} is not read", file.display()));
            said.notes.extend(unread);
            if let Some(RunAs { user, group }) = said.compat.as_ref().and_then(|compat| compat.run_as)
                && !may_change_user()
                && rustix::process::geteuid().as_raw() != user
            {
                said.notes.push(format!("  not root: stays who it is, and does not become {user}:{group}"));
            }
        } else {
            said.file = said.file.or(environment.default_config.clone());
            said.raw = said.file.as_deref().map(|file| read::Raw::read(file, diagnostics)).unwrap_or_default();
        }
        said
    }

    /// Where its filters come from, with more folders.
    fn sources(self, folders: &[PathBuf]) -> Sources {
        let mut all = self.raw.filters;
        all.extend_from_slice(folders);
        Sources { folders: all, profiles: self.raw.profiles, compat: self.compat }
    }
}

/// Whether this process may become somebody else.
fn may_change_user() -> bool {
    rustix::process::geteuid().is_root()
}

/// The configuration file that would say what the variables say.
fn raw_of(compat: &Compat) -> read::Raw {
    let location = Location::file(&compat.profile_name());
    let run_as = compat.run_as.filter(|_| may_change_user());
    let owner =
        run_as.map_or_else(SocketOwner::default, |who| SocketOwner { user: Some(who.user), group: Some(who.group) });
    let listener = |address: &Address| {
        let unix = matches!(address, Address::Unix(_));
        read::Listener {
            // Made by the user it belongs to, under the usual mask: nobody else may write to it.
            mode: unix.then_some(0o600),
            owner: if unix { owner } else { SocketOwner::default() },
            profile: Some((compat.profile_name(), location.clone())),
            ..read::Listener::at(address.clone(), location.clone())
        }
    };
    read::Raw {
        upstream: Some(compat.upstream.clone()),
        listeners: compat.listeners.iter().map(listener).collect(),
        timeouts: compat.timeouts,
        ..read::Raw::default()
    }
}

impl Config {
    /// Reads everything.
    ///
    /// # Errors
    /// Every mistake in arguments, environment and files.
    pub fn load(arguments: &ServeArgs, environment: &Environment) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let mut said =
            Said::find(arguments.files.config.as_deref(), arguments.profile.as_deref(), environment, &mut diagnostics);
        let file = said.file.take();
        let upstream = match (&arguments.upstream, said.raw.upstream.take(), &environment.docker_host) {
            (Some(text), ..) => diagnostics.ok(read::address(text, &Location::file("--upstream"))),
            (None, Some(address), _) => Some(address),
            (None, None, Some(text)) => {
                diagnostics.ok(read::address(&text.to_string_lossy(), &Location::file("DOCKER_HOST")))
            }
            (None, None, None) => DEFAULT_UPSTREAM.parse().ok(),
        };
        let mut raw_listeners = std::mem::take(&mut said.raw.listeners);
        if !arguments.listen.is_empty() {
            let location = Location::file("--listen");
            let asked = arguments.listen.iter().filter_map(|text| diagnostics.ok(read::address(text, &location)));
            let profile = said.compat.as_ref().map(|compat| (compat.profile_name(), location.clone()));
            let listener =
                |address| read::Listener { profile: profile.clone(), ..read::Listener::at(address, location.clone()) };
            raw_listeners = asked.map(listener).collect();
        } else if raw_listeners.is_empty() && file.is_none() {
            let location = Location::file("the default listeners");
            raw_listeners = default_listeners(environment, &location);
        } else if raw_listeners.is_empty() && diagnostics.is_empty() {
            let location = Location::file(&file.map(|file| file.display().to_string()).unwrap_or_default());
            diagnostics.report(&location, "no listeners, expected at least one");
        }
        check_addresses(upstream.as_ref(), &raw_listeners, &mut diagnostics);
        let (limits, timeouts) = (said.raw.limits, said.raw.timeouts);
        let startup = Startup {
            run_as: said.compat.as_ref().and_then(|compat| compat.run_as),
            must_reach_engine: said.compat.is_some(),
            notes: std::mem::take(&mut said.notes),
        };
        let filters = match Filters::load(&said.sources(&arguments.files.filters)) {
            Ok(filters) => Some(filters),
            Err(wrong) => {
                diagnostics.extend(wrong);
                None
            }
        };
        let mut listeners: Vec<Listener> = Vec::with_capacity(raw_listeners.len());
        for listener in raw_listeners {
            let flag = Location::file("--profile");
            let (name, location) = match (&listener.profile, &arguments.profile) {
                (Some((name, location)), _) => (name.as_str(), location),
                (None, Some(name)) => (name.as_str(), &flag),
                (None, None) => (DEFAULT_PROFILE, &listener.location),
            };
            // Listeners of one profile share its policy.
            let known = listeners.iter().find(|known| known.policy.name() == name).map(|known| known.policy.clone());
            let compiled = known.map(Ok).or_else(|| Some(filters.as_ref()?.policy(name, location, limits)));
            match compiled {
                Some(Ok(policy)) => listeners.push(Listener {
                    address: listener.address,
                    mode: listener.mode,
                    owner: listener.owner,
                    policy,
                    origins: listener.origins,
                    hosts: listener.hosts,
                }),
                Some(Err(wrong)) => diagnostics.extend(wrong),
                None => {}
            }
        }
        let config = upstream.map(|upstream| Self { upstream, listeners, limits, timeouts, startup });
        diagnostics.finish_option(config)
    }
}

/// Where we listen when nobody says: a socket of this user's own, and the loopback address, by its own names alone so
/// that no web page reaches it by a name that it makes up.
fn default_listeners(environment: &Environment, location: &Location) -> Vec<read::Listener> {
    let user = rustix::process::getuid();
    let folder = match &environment.runtime_directory {
        Some(folder) => folder.join("dockveil"),
        None if user.is_root() => PathBuf::from("/run/dockveil"),
        None => PathBuf::from(format!("/tmp/dockveil-{}", user.as_raw())),
    };
    let loopback = Address::Tcp { host: "127.0.0.1".to_owned(), port: 2375 };
    let hosts = ["localhost", "127.0.0.1"].map(str::to_owned).to_vec();
    vec![
        read::Listener::at(Address::Unix(folder.join("docker.sock")), location.clone()),
        read::Listener { hosts, ..read::Listener::at(loopback, location.clone()) },
    ]
}

/// Refuses a listener that is there twice, and one that is the engine itself.
fn check_addresses(upstream: Option<&Address>, listeners: &[read::Listener], diagnostics: &mut Diagnostics) {
    for (number, listener) in listeners.iter().enumerate() {
        let fixed = !matches!(listener.address, Address::Tcp { port: 0, .. });
        if fixed && listeners.iter().take(number).any(|other| other.address == listener.address) {
            diagnostics.report(&listener.location, format!("a second listener on {}", listener.address));
        }
        if upstream.is_some_and(|upstream| leads_to(upstream, &listener.address)) {
            diagnostics.report(&listener.location, format!("{} is the engine itself", listener.address));
        }
    }
}

/// Whether who connects to `upstream` reaches a listener at `address`, as far as the texts tell.
fn leads_to(upstream: &Address, address: &Address) -> bool {
    match (upstream, address) {
        (Address::Tcp { host: to, port }, Address::Tcp { host: at, port: listening }) => {
            let ip = |host: &str| match host.parse::<IpAddr>() {
                Err(_) if host.eq_ignore_ascii_case("localhost") => Some(IpAddr::from([127, 0, 0, 1])),
                found => found.ok(),
            };
            let same = match (ip(to), ip(at)) {
                (Some(to), Some(at)) => to == at || at.is_unspecified() && (to.is_loopback() || to.is_unspecified()),
                _ => to.eq_ignore_ascii_case(at),
            };
            port == listening && same
        }
        (upstream, address) => upstream == address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, Vec<String>> {
        let name = format!("dockveil-config-{}-{}.yaml", std::process::id(), text.len());
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
            "upstream: tcp://engine:2375\nlisteners:\n  - listen: unix:///run/x.sock\n    mode: \"0600\"\n    owner: \"1:2\"\n    profile: dashboard-live\n    hosts: [a]\n    origins: [\"http://b\"]\nlimits: {element: 1MiB, depth: 64, head: 8KiB, connections: 10}\ntimeouts: {connect: 1s, head: 500ms, idle: 2m, response: 3s, shutdown: 0s}\n",
        )
        .unwrap();
        let listener = &config.listeners[0];
        assert_eq!((listener.mode, listener.owner), (Some(0o600), SocketOwner { user: Some(1), group: Some(2) }));
        assert_eq!(listener.policy.name(), "dashboard-live");
        assert_eq!((config.limits.element.bytes(), config.limits.connections), (1 << 20, Some(10)));
        assert_eq!(
            (config.timeouts.head, config.timeouts.idle),
            (Duration::from_millis(500), Duration::from_secs(120))
        );
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let wrong = load(
            "upstrem: x\nupstream: http://x\nlisteners:\n  - listen: unix://x\n    mode: \"999\"\n  - listen: tcp://127.0.0.1:1\n    profile: dashbord\nlimits: {element: big}\ntimeouts: {idle: soon}\n",
        )
        .unwrap_err();
        assert_eq!(
            wrong,
            [
                "1:1: unknown key \"upstrem\", did you mean \"upstream\"?",
                "2:11: found \"http://x\", expected unix:///path or tcp://host:port",
                "4:13: found \"unix://x\", expected an absolute path after unix://",
                "5:11: found \"999\", expected an octal mode in quotes, such as \"0660\"",
                "7:14: unknown profile \"dashbord\", did you mean \"dashboard\"?",
                "8:19: found \"big\", expected a size such as 64KiB or 16MiB",
                "9:18: found \"soon\", expected a time such as 500ms, 10s or 2m",
            ]
        );
    }

    #[test]
    fn a_listener_twice_or_on_the_engine_is_a_mistake() {
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
    fn an_engine_that_would_be_a_listener_of_ours_is_a_mistake() {
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
    }

    #[test]
    fn what_only_a_unix_socket_has_is_refused_at_a_port() {
        let wrong =
            load("listeners:\n  - listen: tcp://127.0.0.1:1\n    mode: \"0600\"\n    owner: \"1:2\"\n").unwrap_err();
        assert_eq!(
            wrong,
            [
                "3:5: \"mode\" of a TCP listener, expected it only at unix:///path",
                "4:5: \"owner\" of a TCP listener, expected it only at unix:///path",
            ]
        );
    }

    #[test]
    fn profiles_may_stand_in_the_file_itself() {
        let listener = "listeners:\n  - {listen: \"tcp://127.0.0.1:1\", profile: own}\n";
        let config =
            load(&format!("{listener}profiles:\n  - {{profile: own, extends: dashboard, show: [host]}}\n")).unwrap();
        let policy = &config.listeners[0].policy;
        assert!(policy.shows(crate::schema::Class::Host) && policy.allows("ContainerList"));
        let wrong = load(&format!("{listener}profiles:\n  - profile: own\n    alow: []\n  - profile: dashboard\n"))
            .unwrap_err();
        assert_eq!(wrong[0], "5:5: unknown key \"alow\", did you mean \"allow\"?");
        assert!(wrong[1].starts_with("6:14: the profile \"dashboard\" is in built-in:"), "{wrong:?}");
    }

    #[test]
    fn without_arguments_it_listens_for_this_user() {
        let environment = Environment { runtime_directory: Some("/run/user/1".into()), ..Environment::default() };
        let config = Config::load(&ServeArgs::default(), &environment).unwrap();
        let addresses: Vec<String> = config.listeners.iter().map(|listener| listener.address.to_string()).collect();
        assert_eq!(addresses, ["unix:///run/user/1/dockveil/docker.sock", "tcp://127.0.0.1:2375"]);
        assert_eq!(config.listeners[1].hosts, ["localhost", "127.0.0.1"]);
        assert_eq!(
            (config.upstream.to_string().as_str(), config.listeners[0].policy.name()),
            (DEFAULT_UPSTREAM, "dashboard")
        );
    }
}
