//! The whole program between a scripted daemon and a raw client.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dockveil::config::{ByteLimit, Config, Limits, Listener, Startup, Timeouts};
use dockveil::policy::Policy;
use dockveil::profile::Profiles;
use dockveil::server::{self, Running};
use dockveil::socket::{Address, SocketOwner};

use super::client::Client;
use super::daemon::{Daemon, Reply};

/// A profile with everything the tests ask for.
const PROFILE: &str = "profile: test\nabout: For tests.\nallow: [Ping, SystemVersion, ContainerList, ContainerInspect, \
                       ContainerStats, ContainerLogs, ContainerAttach, ContainerExec, ExecStart, ExecInspect, \
                       ContainerWait, ContainerStart, ContainerCreate, ContainerExport, \
                       SystemEvents, SystemInfo, ImageCreate, ImageInspect, NetworkList, NetworkInspect, VolumeInspect]\nshow: [identity, state, topology]\n";

/// A folder that goes when the test ends.
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

    /// A path inside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program, its daemon, and where to reach it.
pub(crate) struct Bench {
    /// The daemon; tests may replace it.
    pub(crate) daemon: Daemon,
    running: Option<Running>,
    /// The folder of the sockets.
    pub(crate) folder: Folder,
}

impl Bench {
    /// Starts both; everything but pings is answered by `answer`.
    pub(crate) fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(answer, |_| {})
    }

    /// As [`Bench::start`], with the configuration changed.
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

    /// As [`Bench::start`], with this profile, called `test`.
    pub(crate) fn profiled(profile: &str, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(answer, |config| config.listeners[0].policy = policy_of(profile))
    }

    /// A new connection to the listener.
    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.folder.path("listener"))
    }

    /// Sends `bytes` over a new connection and reads to its end. Ends our direction behind them.
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

/// What the tests' profile allows and shows.
pub(crate) fn policy() -> Arc<Policy> {
    policy_of(PROFILE)
}

/// What the profile `test` in this file allows and shows.
fn policy_of(profile: &str) -> Arc<Policy> {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let profiles = Profiles::parse(&[("test.yaml", profile)], &catalogue).unwrap();
    Arc::new(Policy::compile(profiles.get("test").unwrap(), &catalogue).unwrap())
}

fn config(daemon: &Path, listener: &Path) -> Config {
    Config {
        upstream: Address::Unix(daemon.to_owned()),
        listeners: vec![Listener {
            address: Address::Unix(listener.to_owned()),
            mode: None,
            owner: SocketOwner::default(),
            policy: policy(),
            origins: Vec::new(),
            hosts: Vec::new(),
        }],
        limits: Limits {
            element: ByteLimit::new(1 << 20),
            depth: 128,
            head: ByteLimit::new(64 << 10),
            connections: None,
        },
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            head: Duration::from_secs(1),
            idle: Duration::from_secs(10),
            response: Duration::from_secs(2),
            shutdown: Duration::from_millis(200),
        },
        startup: Startup::default(),
    }
}
