//! Engines that the tests start for themselves, Docker or Podman: in private folders and namespaces, removed when their
//! owner is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::process::{self, Folder, Process};
use super::{client, eventually, installed, seed, variable};
use crate::harness::Ignored;

/// Starts Docker inside its namespaces. Arguments: the engine's folder, the parent of its control groups, and further
/// flags of dockerd.
///
/// The shell stays, because it is process 1 there and reaps what containers leave behind. With `DOCKVEIL_ENGINE_ROOT`, a
/// folder with the unpacked packages of another Debian, `/usr` is the one in that folder. With `REGISTRY`, the path of
/// Debian's docker-registry, an empty registry listens on port 5000 of the same network namespace, which only this engine has.
///
/// All that it keeps is in memory: it waits for the disk after every change, and a disk may be slow.
const DOCKER: &str = r#"
folder=$1 parent=$2; shift 2
[ -z "$DOCKVEIL_ENGINE_ROOT" ] || mount --bind "$DOCKVEIL_ENGINE_ROOT/usr" /usr
busybox ip link set lo up
for directory in data exec registry; do
  mkdir "$folder/$directory"
  mount -t tmpfs tmpfs "$folder/$directory"
done
if [ -n "$REGISTRY" ]; then
  cat >"$folder/registry.yaml" <<END
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: "$folder/registry"}}
http: {addr: "127.0.0.1:5000"}
END
  "$REGISTRY" serve "$folder/registry.yaml" </dev/null &
fi
dockerd --config-file "$folder/daemon.json" --data-root "$folder/data" --exec-root "$folder/exec" \
  --pidfile "$folder/docker-pid" --host "unix://$folder/docker.sock" --cgroup-parent "/$parent" \
  --bridge none --iptables=false --ip6tables=false "$@" </dev/null &
wait
"#;

/// The same for Podman, which takes its settings from files: it neither reads nor changes those of the machine's own.
///
/// Its layers are in memory, where an overlay is always possible, and so is what it keeps in fixed places. `runroot` may
/// not be longer than 50 characters. The runtime works with one kind of control groups at a time. With
/// `DOCKVEIL_ENGINE_ROOT`, `/etc/containers` also comes from that folder.
const PODMAN: &str = r#"
folder=$1
if [ -n "$DOCKVEIL_ENGINE_ROOT" ]; then
  mount --bind "$DOCKVEIL_ENGINE_ROOT/etc/containers" /etc/containers
  mount --bind "$DOCKVEIL_ENGINE_ROOT/usr" /usr
fi
busybox ip link set lo up
umount /sys/fs/cgroup/unified 2>/dev/null
mkdir "$folder/data" "$folder/networks"
for directory in "$folder/data" /dev/shm /run /var/lib; do
  mount -t tmpfs tmpfs "$directory"
done
cat >"$folder/containers.conf" <<END
[containers]
log_driver = "k8s-file"
[network]
network_config_dir = "$folder/networks"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
END
cat >"$folder/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "$folder/data/layers"
runroot = "/run/containers"
END
export CONTAINERS_CONF="$folder/containers.conf" CONTAINERS_STORAGE_CONF="$folder/storage.conf"
podman --tmpdir "$folder/data/tmp" system service --time=0 "unix://$folder/docker.sock" </dev/null &
wait
"#;

/// A running engine. Dropping it kills it, with its containers, and removes its folder.
pub(crate) struct Engine {
    process: Process,
    folder: Folder,
}

impl Engine {
    /// Runs one of the scripts above in namespaces of its own, and waits until the engine answers a ping, and until the
    /// registry listens that `environment` may name. The end of `unshare` ends process 1 there, and with it every process
    /// and every mount.
    ///
    /// # Errors
    /// The end of the engine's log, if it does not answer.
    fn start(name: &str, script: &str, flags: &[&str], environment: &[(&str, &str)]) -> Result<Engine, String> {
        let folder = Folder::new(name);
        fs::write(folder.path().join("daemon.json"), "{}").unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "private", "sh", "-c", script, "engine"])
            .arg(folder.path())
            .arg(folder.unique_name())
            .args(flags)
            .envs(environment.iter().copied())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let process = Process::spawn(&mut command, &folder, "engine");
        let engine = Engine { process, folder };
        let socket = engine.socket();
        let has_registry = environment.iter().any(|(name, _)| *name == "REGISTRY");
        let answers = eventually(Duration::from_secs(60), || {
            UnixStream::connect(&socket).is_ok()
                && client::get(&socket, "/_ping").status() == 200
                && (!has_registry || engine.registry_listens())
        });
        if answers { Ok(engine) } else { Err(format!("the engine does not answer:\n{}", engine.log_end())) }
    }

    /// Whether somebody listens at [`REGISTRY`] in the engine's network.
    fn registry_listens(&self) -> bool {
        // 127.0.0.1:5000, and the state in which a socket listens (proc_net_tcp in the documentation of Linux).
        let sockets = fs::read_to_string(format!("/proc/{}/net/tcp", self.process.id())).unwrap_or_default();
        sockets.lines().any(|line| line.contains(": 0100007F:1388 00000000:0000 0A "))
    }

    /// The socket where the engine listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// The engine's folder, from which containers may mount.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The beginning of a command that runs in the engine's network, where the ports of its containers are published.
    pub(crate) fn inside(&self) -> [String; 2] {
        ["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.process.id())]
    }

    /// The arguments of `nsenter` for the namespaces of the engine and its containers.
    pub(crate) fn namespaces(&self) -> [String; 3] {
        let id = self.process.id();
        [("net", "net"), ("pid", "pid_for_children"), ("mount", "mnt")]
            .map(|(option, name)| format!("--{option}=/proc/{id}/ns/{name}"))
    }

    /// The parent of the control groups of the engine's containers.
    pub(crate) fn control_group(&self) -> String {
        format!("/{}", self.folder.unique_name())
    }

    /// The last lines of the engine's log.
    fn log_end(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.process.kill();
        process::remove_control_groups(&self.folder.unique_name());
    }
}

/// The seeded engine for tests that only read; the most that they do is to run an exec. Nothing in it changes but what the
/// seed itself does: health probes run, and a container writes lines. Two reads of the whole engine can therefore be
/// compared.
///
/// # Errors
/// What is missing on this machine.
pub(crate) fn read_only() -> Result<&'static Engine, Ignored> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    shared(&ENGINE, || start_docker("read-only").inspect(seed::populate), "dockerd")
}

/// The seeded engine for tests that make containers and images. They run at the same time, so each looks only at what
/// it has made, under names of its own, and at the objects of the seed.
///
/// # Errors
/// What is missing on this machine.
pub(crate) fn read_write() -> Result<&'static Engine, Ignored> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    shared(&ENGINE, || start_docker("read-write").inspect(seed::populate), "dockerd")
}

/// An engine that lasts as long as the run. The first test that needs it starts it; `program` is what that takes.
///
/// # Errors
/// What is missing on this machine.
#[track_caller]
pub(crate) fn shared(
    engine: &'static OnceLock<Result<Engine, String>>,
    start: impl FnOnce() -> Result<Engine, String>,
    program: &str,
) -> Result<&'static Engine, Ignored> {
    check(program)?;
    Ok(engine.get_or_init(start).as_ref().unwrap_or_else(|error| panic!("{error}")))
}

/// An empty Docker for one test.
///
/// # Errors
/// What is missing on this machine.
#[track_caller]
pub(crate) fn private(name: &str) -> Result<Engine, Ignored> {
    check("dockerd")?;
    Ok(start_docker(name).unwrap_or_else(|error| panic!("{error}")))
}

/// As [`private`], of a Docker that takes TLS on port 2376 of its own network, from clients with a certificate of an authority:
/// with `--tlsverify` and the files `ca.pem`, `cert.pem` and `key.pem` of a folder.
#[track_caller]
pub(crate) fn with_tls(name: &str, certificates: &Path) -> Result<Engine, Ignored> {
    check("dockerd")?;
    let [ca, certificate, key] =
        ["ca.pem", "cert.pem", "key.pem"].map(|name| certificates.join(name).display().to_string());
    let files = ["--tlscacert", &ca, "--tlscert", &certificate, "--tlskey", &key];
    let flags = [&["--tlsverify", "--host", "tcp://127.0.0.1:2376"][..], &files].concat();
    Ok(Engine::start(name, DOCKER, &flags, &[]).unwrap_or_else(|error| panic!("{error}")))
}

/// The newest Docker there is, empty, with a registry of its own at [`REGISTRY`], for tests that need one engine only, whatever
/// the others run with: that of `DOCKVEIL_ENGINE_ROOT`, or else the newest that `.ci/engines` has unpacked.
///
/// # Errors
/// What is missing on this machine.
#[track_caller]
pub(crate) fn newest_with_registry(name: &str) -> Result<Engine, Ignored> {
    check("dockerd")?;
    let registry = installed::client("docker-registry")?;
    let root = newest_root()?;
    let environment = [("DOCKVEIL_ENGINE_ROOT", root.to_str().unwrap()), ("REGISTRY", &registry)];
    // Renaming a running container takes the default network, without which the other engines do.
    Ok(Engine::start(name, DOCKER, &["--bridge="], &environment).unwrap_or_else(|error| panic!("{error}")))
}

/// The registry of [`newest_with_registry`], as its engine reaches it.
pub(crate) const REGISTRY: &str = "127.0.0.1:5000";

/// As [`private`], of a Docker that refuses API versions below `version`, if it is 25 or newer.
#[track_caller]
pub(crate) fn refusing_below(name: &str, version: &str) -> Result<Engine, Ignored> {
    check("dockerd")?;
    let mut environment = vec![("DOCKER_MIN_API_VERSION", version)];
    // A newer engine than that of the machine, if there is one.
    let newer = concat!(env!("CARGO_MANIFEST_DIR"), "/target/engines/sid");
    if variable("DOCKVEIL_ENGINE_ROOT").is_none() && Path::new(newer).is_dir() {
        environment.push(("DOCKVEIL_ENGINE_ROOT", newer));
    }
    Ok(Engine::start(name, DOCKER, &[], &environment).unwrap_or_else(|error| panic!("{error}")))
}

/// The folder with the packages of the newest Docker there is: that of `DOCKVEIL_ENGINE_ROOT`, or else the newest that
/// `.ci/engines` has unpacked.
///
/// # Errors
/// There is none.
pub(crate) fn newest_root() -> Result<PathBuf, Ignored> {
    let unpacked =
        ["sid", "trixie"].map(|suite| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/engines").join(suite));
    let root = variable("DOCKVEIL_ENGINE_ROOT").map(PathBuf::from);
    let root = root.or_else(|| unpacked.into_iter().find(|root| root.join("usr/sbin/dockerd").is_file()));
    let root = root.and_then(|root| root.canonicalize().ok());
    root.ok_or_else(|| Ignored::Missing("no newer engine, which .ci/engines unpacks".to_owned()))
}

/// Starts a Docker without objects.
fn start_docker(name: &str) -> Result<Engine, String> {
    Engine::start(name, DOCKER, &seed::DAEMON_FLAGS, &seed::DAEMON_ENVIRONMENT)
}

/// Starts a Podman without objects.
///
/// # Errors
/// The end of its log, if it does not answer.
pub(crate) fn start_podman(name: &str) -> Result<Engine, String> {
    Engine::start(name, PODMAN, &[], &[])
}

/// Checks that this machine can run an engine of the tests' own.
///
/// # Errors
/// What is missing.
pub(crate) fn check(engine: &str) -> Result<(), Ignored> {
    for program in [engine, "docker", "busybox", "unshare"] {
        find(program).ok_or_else(|| Ignored::Missing(format!("no {program} on this machine")))?;
    }
    if is_root() { Ok(()) } else { Err(Ignored::Missing("an engine of the tests' own needs root".to_owned())) }
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The path of a program, searched as a shell would.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = variable("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Held while an engine measures its disk use. Docker before version 23 refuses a request for that while it serves another.
pub(crate) fn disk_usage_lock() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}
