//! The whole program, between a scripted daemon and a raw client.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use dockveil::api::OPERATIONS;
use dockveil::config::{ByteLimit, Config, ConfigFileSet, Limits, Listener, Startup, Timeouts};
use dockveil::policy::Policy;
use dockveil::profile::Profiles;
use dockveil::server::{self, Running};
use dockveil::socket::{Address, Keepalive};

use super::built_in::catalogue;
use super::client::Client;
use super::daemon::{Daemon, Reply};

/// A profile that allows all that the tests ask for.
const PROFILE: &str = "profile: test\nabout: For tests.\nallow: [Ping, SystemVersion, ContainerList, ContainerInspect, \
                       ContainerStats, ContainerLogs, ContainerAttach, ContainerExec, ExecStart, ExecInspect, \
                       ContainerWait, ContainerStart, ContainerCreate, ContainerExport, \
                       SystemEvents, SystemInfo, ImageCreate, ImageInspect, NetworkList, NetworkInspect, VolumeInspect]\nshow: [identity, state, topology]\n";

/// A folder that is removed when the test ends.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A new one.
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("dockveil-it-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The path of `name` in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program and its daemon.
pub(crate) struct Bench {
    /// The daemon. Tests may replace it.
    pub(crate) daemon: Daemon,
    running: Option<Running>,
    /// The folder with their sockets.
    pub(crate) folder: Folder,
}

impl Bench {
    /// Starts both. The daemon answers everything but pings with `answer`.
    pub(crate) fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(answer, |_| {})
    }

    /// As [`Bench::start`], with a change of the configuration.
    pub(crate) fn with(
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let folder = Folder::new();
        let daemon = Daemon::start(&folder.path("engine"), answer);
        let mut config = config(&daemon.path, &folder.path("listener"));
        change(&mut config);
        let running = server::start(config).unwrap();
        Self { daemon, running: Some(running), folder }
    }

    /// As [`Bench::start`], with the profile `test` of this text.
    pub(crate) fn profiled(profile: &str, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(answer, |config| config.listeners[0].policy = policy_of(profile))
    }

    /// A new connection to the listener.
    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.folder.path("listener"))
    }

    /// The addresses of the listeners.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.running.as_ref().unwrap().addresses()
    }

    /// Waits for longer than a client may be idle: twice, until a connection on which nothing is sent is closed.
    pub(crate) fn outlast_idle(&self) {
        assert_eq!([self.client().rest(), self.client().rest()], ["", ""]);
    }

    /// Sends `bytes` over a new connection, ends this direction, and reads to the end of the other.
    pub(crate) fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.client();
        client.send(bytes);
        client.0.shutdown(std::net::Shutdown::Write).unwrap();
        client.rest()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

/// Shortens the timeouts for idle clients, for their heads, and for the daemon's answers, so that a test can wait for them.
pub(crate) fn short_timeouts(config: &mut Config) {
    let short = Duration::from_millis(300);
    (config.timeouts.idle, config.timeouts.head) = (short, short);
    (config.timeouts.response, config.timeouts.work) = (short, short);
}

/// The policy of the profile that allows all that the tests ask for.
pub(crate) fn policy() -> Arc<Policy> {
    static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| policy_of(PROFILE));
    POLICY.clone()
}

/// The profile `test` for all that changes something.
pub(crate) fn changing() -> String {
    let ids: Vec<_> = OPERATIONS.iter().filter(|operation| operation.mutating).map(|operation| operation.id).collect();
    let parameters: Vec<_> = ids.iter().map(|id| format!("{id}: all")).collect();
    let (ids, parameters) = (ids.join(", "), parameters.join(", "));
    format!("profile: test\nallow: [{ids}]\nshow: all\nparameters: {{{parameters}}}\n")
}

/// The policy of the profile `test` in a text.
pub(crate) fn policy_of(profile: &str) -> Arc<Policy> {
    let profiles = Profiles::parse(&[("test.yaml", profile)], catalogue()).unwrap();
    Arc::new(Policy::compile(profiles.get("test").unwrap(), catalogue()).unwrap())
}

/// A configuration with one listener, in front of a daemon.
pub(crate) fn config(daemon: &Path, listener: &Path) -> Config {
    Config {
        upstream: Address::Unix(daemon.to_owned()).into(),
        listeners: vec![Listener::new(Address::Unix(listener.to_owned()), policy())],
        limits: Limits {
            element: ByteLimit::new(1 << 20),
            depth: 128,
            head: ByteLimit::new(80 << 10),
            memory: None,
            connections: None,
        },
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            head: Duration::from_secs(1),
            idle: Duration::from_secs(10),
            response: Duration::from_secs(2),
            work: Duration::from_secs(2),
            write: Duration::from_secs(10),
            shutdown: Duration::from_millis(200),
            // Most tests ask for what is absent, and none measures how long that takes.
            absent_tick: Duration::ZERO,
        },
        keepalive: Keepalive::default(),
        api: Default::default(),
        observability: Default::default(),
        startup: Startup::default(),
        files: ConfigFileSet::default(),
    }
}
