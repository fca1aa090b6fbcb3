//! The program under test, as a child process with a Unix socket of its own.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::eventually;

/// A profile of our own that lets a person work in a container, which no built-in profile does.
///
/// It shows no more than it must: what these tests see of a container comes through streams.
const SESSION: &str = "\
profile: session
about: Everything a session in a container needs, for the engine tests.
allow:
  - Ping
  - SystemVersion
  - SystemInfo
  - SystemEvents
  - ContainerList
  - ContainerCreate
  - ContainerStart
  - ContainerStop
  - ContainerDelete
  - ContainerInspect
  - ContainerLogs
  - ContainerAttach
  - ContainerAttachWebsocket
  - ContainerExec
  - ContainerResize
  - ContainerStats
  - ContainerWait
  - ExecInspect
  - ExecResize
  - ExecStart
  - ImageCreate
show: [identity, state]
";

/// The operations of the profile `dashboard` with hardly any of what it shows.
const BARE: &str = "\
profile: bare
about: Whether things run, and nothing else, for the engine tests.
allow:
  - Ping
  - SystemVersion
  - SystemInfo
  - SystemDataUsage
  - ContainerList
  - ContainerInspect
  - ContainerStats
  - ImageList
  - ImageInspect
  - VolumeList
  - VolumeInspect
  - NetworkList
  - NetworkInspect
show: [state]
";

/// A running dockveil. Dropping it kills it and removes its directory.
pub(crate) struct Proxy {
    child: Child,
    directory: PathBuf,
}

impl Proxy {
    /// Starts the program with a built-in profile, `session` or `bare`, in front of an engine.
    #[track_caller]
    pub(crate) fn start(engine: &Path, profile: &str) -> Proxy {
        let directory = directory();
        fs::create_dir_all(directory.join("filters/profile")).unwrap();
        for (name, text) in [("session", SESSION), ("bare", BARE)] {
            fs::write(directory.join(format!("filters/profile/{name}.yaml")), text).unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_dockveil"));
        command
            .arg("serve")
            .args(["--upstream", &format!("unix://{}", engine.display())])
            .args(["--listen", &format!("unix://{}", directory.join("docker.sock").display())])
            .args(["--profile", profile])
            .args(["--filters", &directory.join("filters").display().to_string()])
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKVEIL_CONFIG");
        Proxy::spawn(command, directory)
    }

    /// Starts the program with the variables of another socket proxy and no others, as the image exchanged for it would.
    ///
    /// `engine` is the variable that names the engine's socket. The port of these proxies is always the same, so it is opened
    /// in a network of its own, or, by a proxy that opens nothing else, replaced with a socket.
    #[track_caller]
    pub(crate) fn in_place(engine: (&str, &Path), variables: &[(&str, &str)]) -> Proxy {
        let directory = directory();
        let mut command = Command::new("unshare");
        command.args(["--net", env!("CARGO_BIN_EXE_dockveil")]).env_clear();
        if engine.0 == "SOCKET_PROXY_DOCKER_SOCKET" {
            command.env("SOCKET_PROXY_VOLUME", &directory);
        } else {
            command.args(["--listen", &format!("unix://{}", directory.join("docker.sock").display())]);
        }
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env(engine.0, engine.1).envs(variables.iter().copied());
        Proxy::spawn(command, directory)
    }

    /// Starts a command that listens in a directory, and waits until it does.
    #[track_caller]
    fn spawn(mut command: Command, directory: PathBuf) -> Proxy {
        let log = fs::File::create(directory.join("log")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut proxy = Proxy { child, directory };
        let socket = proxy.socket();
        let listens = eventually(Duration::from_secs(20), || UnixStream::connect(&socket).is_ok() || !proxy.lives());
        assert!(listens && proxy.lives(), "dockveil did not start:\n{}", proxy.log());
        proxy
    }

    /// Where clients connect.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("docker.sock")
    }

    /// Whether the process still runs.
    pub(crate) fn lives(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// What the program has printed and logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// How many sockets the process holds, the listening one included.
    pub(crate) fn sockets(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        files
            .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the program's log ---\n{}", self.log());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A new directory.
fn directory() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("dockveil-proxy-{}-{count}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    directory
}
