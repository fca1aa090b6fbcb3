//! The program under test: a child process that listens on a Unix socket of its own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use dockveil::api::OPERATIONS;

use super::client::TIMEOUT;
use super::engine::Engine;
use super::process::{Folder, Process};
use super::{eventually, loopback};
use crate::harness;

/// A profile for work in a container, which no built-in profile allows. It shows little, because what these tests compare
/// comes through streams.
const SESSION: &str = "\
profile: session
about: What a session in a container needs, for the engine tests.
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

/// A profile with most operations of `dashboard` that shows one class only.
const BARE: &str = "\
profile: bare
about: Whether containers run, and nothing else, for the engine tests.
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

/// A profile that hides variables, commands, labels and paths of what a swarm has, and lets clients edit it.
const EDITING: &str = "\
profile: editing
about: Edits what it does not see whole, for the engine tests.
allow: [read, ServiceUpdate, NodeUpdate, SwarmUpdate, SecretUpdate, ConfigUpdate]
show: [topology, host, identity, state]
labels: [tier, rack, more]
edits: restore
";

/// The same, with variables and labels that clients may set.
const SETTING: &str = "\
profile: setting
about: Sets what it does not see, for the engine tests.
extends: editing
edits:
  set:
    ServiceUpdate: [\"$.TaskTemplate.ContainerSpec.Env\"]
    NodeUpdate: [\"$.Labels\"]
";

/// A running dockveil. Dropping it kills it and removes its folder.
pub(crate) struct Proxy {
    process: Process,
    folder: Folder,
}

impl Proxy {
    /// Starts the program in front of an engine's socket, with a built-in profile, `session`, `bare` or `open`.
    #[track_caller]
    pub(crate) fn start(engine: &Path, profile: &str) -> Proxy {
        let folder = new_folder();
        Proxy::spawn(serve(engine, profile, &folder), folder)
    }

    /// Starts the program with a listener for each of these built-in profiles: one process, because reading the profiles takes
    /// most of the time to start. The sockets are found by [`Proxy::socket_of`].
    #[track_caller]
    pub(crate) fn start_with_all(engine: &Path, profiles: &[&str]) -> Proxy {
        let folder = new_folder();
        let listen = |name: &str, profile: &str| {
            let socket = folder.path().join(format!("{name}.sock"));
            format!("  - {{listen: \"unix://{}\", profile: {profile}}}\n", socket.display())
        };
        let listeners: String = profiles.iter().map(|profile| listen(profile, profile)).collect();
        let first = listen("docker", "dashboard");
        let file = folder.path().join("dockveil.yaml");
        let text = format!("upstream: unix://{}\nlisteners:\n{first}{listeners}", engine.display());
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dockveil"));
        command.args(["serve", "--config"]).arg(&file).env_remove("DOCKER_HOST").env_remove("DOCKVEIL_CONFIG");
        Proxy::spawn(command, folder)
    }

    /// Starts the program with a configuration file, made for the socket where it listens.
    #[track_caller]
    pub(crate) fn start_configured(text: impl FnOnce(&Path) -> String) -> Proxy {
        let folder = new_folder();
        let file = folder.path().join("dockveil.yaml");
        fs::write(&file, text(&folder.path().join("docker.sock"))).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dockveil"));
        command.args(["serve", "--config"]).arg(&file).env_remove("DOCKER_HOST").env_remove("DOCKVEIL_CONFIG");
        Proxy::spawn(command, folder)
    }

    /// As [`Proxy::start_configured`], with this `PATH`.
    #[track_caller]
    pub(crate) fn start_with_path(path: &str, text: impl FnOnce(&Path) -> String) -> Proxy {
        let folder = new_folder();
        let file = folder.path().join("dockveil.yaml");
        fs::write(&file, text(&folder.path().join("docker.sock"))).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dockveil"));
        command.args(["serve", "--config"]).arg(&file).env_remove("DOCKER_HOST").env_remove("DOCKVEIL_CONFIG");
        command.env("PATH", path);
        Proxy::spawn(command, folder)
    }

    /// As [`Proxy::start_configured`], in the namespaces of an engine for networks, processes and mounts: like a program beside
    /// dockerd, which sees its containers.
    #[track_caller]
    pub(crate) fn start_inside(engine: &Engine, text: impl FnOnce(&Path) -> String) -> Proxy {
        let folder = new_folder();
        let file = folder.path().join("dockveil.yaml");
        fs::write(&file, text(&folder.path().join("docker.sock"))).unwrap();
        let mut command = Command::new("nsenter");
        command.args(engine.namespaces()).arg(env!("CARGO_BIN_EXE_dockveil"));
        command.args(["serve", "--config"]).arg(&file).env_remove("DOCKER_HOST").env_remove("DOCKVEIL_CONFIG");
        Proxy::spawn(command, folder)
    }

    /// As [`Proxy::start`], with a second listener on a free port of loopback. Returns its address, too.
    #[track_caller]
    pub(crate) fn start_on_tcp(engine: &Path, profile: &str) -> (Proxy, String) {
        let address = TcpListener::bind((loopback(1), 0)).unwrap().local_addr().unwrap();
        let folder = new_folder();
        let mut command = serve(engine, profile, &folder);
        command.args(["--listen", &format!("tcp://{address}")]);
        (Proxy::spawn(command, folder), format!("tcp://{address}"))
    }

    /// Starts the program as a drop-in for another socket proxy: with its environment variables and no others. `engine`
    /// is the variable that names the engine's socket, and its value.
    ///
    /// These proxies listen on a fixed port, which tests cannot share. 11notes also listens on a socket in a volume, and
    /// gets a network of its own for the port. For the others `--listen` replaces the port.
    #[track_caller]
    pub(crate) fn drop_in(engine: (&str, &Path), variables: &[(&str, &str)]) -> Proxy {
        let folder = new_folder();
        let mut command = Command::new("unshare");
        command.args(["--net", env!("CARGO_BIN_EXE_dockveil")]).env_clear();
        if engine.0 == "SOCKET_PROXY_DOCKER_SOCKET" {
            command.env("SOCKET_PROXY_VOLUME", folder.path());
        } else {
            command.args(["--listen", &format!("unix://{}", folder.path().join("docker.sock").display())]);
        }
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env(engine.0, engine.1).envs(variables.iter().copied());
        Proxy::spawn(command, folder)
    }

    /// Starts a command that listens on `docker.sock` in a folder, and waits until it has looked for its engine: it then
    /// listens at every address, and has written what it exposes.
    #[track_caller]
    fn spawn(mut command: Command, folder: Folder) -> Proxy {
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Process::spawn(command.stdout(log.try_clone().unwrap()).stderr(log), &folder, "dockveil");
        let mut proxy = Proxy { process, folder };
        let has_looked = eventually(TIMEOUT, || proxy.log().contains(" engine=") || !proxy.is_running());
        assert!(has_looked && proxy.is_running(), "dockveil did not start:\n{}", proxy.log());
        proxy
    }

    /// The socket where clients connect.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// The socket for one of the profiles of [`Proxy::start_with_all`].
    pub(crate) fn socket_of(&self, profile: &str) -> PathBuf {
        self.folder.path().join(format!("{profile}.sock"))
    }

    /// The folder of the socket, in which a test may keep files for a client.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether the process still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// What the program has printed and logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The number of child processes, with those that have ended and that nobody has waited for.
    pub(crate) fn children(&self) -> usize {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
        let children = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default());
        children.map(|children| children.split_whitespace().count()).sum()
    }

    /// The number of sockets that the process holds, the one where it listens included.
    pub(crate) fn sockets(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap();
        let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            harness::note(&format!("--- the program's log ---\n{}", self.log()));
        }
    }
}

/// The command that starts the program with a built-in profile, or one of the tests' own, on a socket in `folder`.
#[track_caller]
fn serve(engine: &Path, profile: &str, folder: &Folder) -> Command {
    let filters = folder.path().join("filters");
    fs::create_dir_all(filters.join("profile")).unwrap();
    let hiding =
        open().replace("profile: open", "profile: hiding").replace("show: all", "show: [identity, state, topology]");
    let own = [("session", SESSION), ("bare", BARE), ("editing", EDITING), ("setting", SETTING)];
    for (name, text) in own.into_iter().chain([("open", open().as_str()), ("hiding", &hiding)]) {
        fs::write(filters.join(format!("profile/{name}.yaml")), text).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockveil"));
    command
        .arg("serve")
        .args(["--upstream", &format!("unix://{}", engine.display())])
        .args(["--listen", &format!("unix://{}", folder.path().join("docker.sock").display())])
        .args(["--profile", profile, "--filters"])
        .arg(filters)
        .env_remove("DOCKER_HOST")
        .env_remove("DOCKVEIL_CONFIG");
    command
}

/// The profile `open`, which allows and shows everything: dockveil as a plain proxy.
fn open() -> String {
    // A ping includes that without a body.
    let ids = OPERATIONS.iter().map(|operation| operation.id).filter(|id| *id != "SystemPingHead");
    let ids: Vec<&str> = ids.collect();
    let writing = OPERATIONS.iter().filter(|operation| operation.mutating);
    let parameters: Vec<String> = writing.map(|operation| format!("{}: all", operation.id)).collect();
    format!(
        "profile: open\nabout: Everything, for the engine tests.\nallow: [{}]\nshow: all\nevents: untouched\nstats: untouched\n\
         parameters: {{{}}}\nlabels: [\"*\"]\nenv: [\"*\"]\nmask-values: false\n",
        ids.join(", "),
        parameters.join(", ")
    )
}

/// A folder for one proxy.
#[track_caller]
fn new_folder() -> Folder {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    Folder::new(&format!("proxy-{}", COUNT.fetch_add(1, Ordering::Relaxed)))
}
