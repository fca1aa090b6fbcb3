//! An engine of the tests' own, Docker or Podman: private directories, private namespaces, gone when its owner is.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::{client, seed, variable};

/// Starts the engine inside its namespaces. Arguments: the engine's directory, then what dockerd is told besides.
///
/// The shell stays: it is process 1 there, and reaps what containers leave behind. With DOCKVEIL_ENGINE_ROOT, a folder in
/// which packages of another Debian are unpacked, everything runs from there: `/usr` is that one's, inside.
const INSIDE: &str = r#"
D=$1; shift
[ -z "$DOCKVEIL_ENGINE_ROOT" ] || mount --bind "$DOCKVEIL_ENGINE_ROOT/usr" /usr
busybox ip link set lo up
dockerd --config-file "$D/daemon.json" --data-root "$D/data" --exec-root "$D/exec" --pidfile "$D/pid" \
  --host "unix://$D/docker.sock" --cgroup-parent "/${D##*/}" --bridge none --iptables=false --ip6tables=false "$@" </dev/null &
wait
"#;

/// The same for Podman, whose settings are files: nothing of the machine's own Podman is read or changed.
///
/// What it keeps in fixed places, and its layers, is in memory, where an overlay is always possible. Its runtime knows
/// one kind of control groups at a time. DOCKVEIL_ENGINE_ROOT means what it means for Docker, `/etc/containers` included.
const INSIDE_PODMAN: &str = r#"
D=$1
if [ -n "$DOCKVEIL_ENGINE_ROOT" ]; then
  mount --bind "$DOCKVEIL_ENGINE_ROOT/etc/containers" /etc/containers
  mount --bind "$DOCKVEIL_ENGINE_ROOT/usr" /usr
fi
busybox ip link set lo up
umount /sys/fs/cgroup/unified 2>/dev/null
mkdir "$D/data" "$D/networks"
for location in "$D/data" /dev/shm /run /var/lib; do
  mount -t tmpfs tmpfs "$location"
done
cat >"$D/containers.conf" <<END
[containers]
log_driver = "k8s-file"
[network]
network_config_dir = "$D/networks"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
END
cat >"$D/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "$D/data/layers"
runroot = "$D/data/run"
END
export CONTAINERS_CONF="$D/containers.conf" CONTAINERS_STORAGE_CONF="$D/storage.conf"
podman --tmpdir "$D/data/tmp" system service --time=0 "unix://$D/docker.sock" </dev/null &
wait
"#;

/// Keeps the engine for as long as our end of its standard input is open, so that no way of ending the test
/// process, a kill included, leaves one behind. With its process 1 an engine loses every process and every mount.
const KEEPER: &str = r#"
D=$1; INSIDE=$2; shift 2
unshare --mount --net --uts --ipc --pid --fork --kill-child --mount-proc --propagation private \
  sh -c "$INSIDE" inside "$D" "$@" >"$D/log" 2>&1 </dev/null &
ENGINE=$!
cat
kill -KILL $ENGINE
wait $ENGINE
for try in 1 2 3 4 5; do
  find /sys/fs/cgroup -depth -type d -path "*/${D##*/}*" -exec rmdir {} + && break
  sleep 0.2
done
rm -rf "$D"
"#;

/// A running engine. Dropping it kills it, with its containers, and removes its directory.
pub(crate) struct Engine {
    keeper: Child,
    directory: PathBuf,
}

impl Engine {
    /// Starts an engine in a directory of the given name and waits until it answers.
    ///
    /// # Errors
    /// What is missing on this machine, or the end of the engine's log if it did not come up.
    pub(crate) fn start(name: &str) -> Result<Engine, String> {
        missing("dockerd")?;
        Engine::launch(name, INSIDE, &seed::DAEMON_FLAGS, &seed::DAEMON_ENVIRONMENT)
    }

    /// As [`Engine::start`], with Podman in the place of Docker.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub(crate) fn start_podman(name: &str) -> Result<Engine, String> {
        missing("podman")?;
        Engine::launch(name, INSIDE_PODMAN, &[], &[])
    }

    /// Runs a shell script in the namespaces of a new engine and waits until it answers.
    fn launch(name: &str, script: &str, flags: &[&str], environment: &[(&str, &str)]) -> Result<Engine, String> {
        let directory = std::env::temp_dir().join(format!("dockveil-engine-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        fs::write(directory.join("daemon.json"), "{}").map_err(|error| error.to_string())?;
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&directory)
            .arg(script)
            .args(flags)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        let engine = Engine { keeper, directory };
        engine.wait()?;
        Ok(engine)
    }

    /// Where the engine listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("docker.sock")
    }

    /// A directory on the engine's side, for bind mounts.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits until the engine answers its ping.
    fn wait(&self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let socket = self.socket();
        while Instant::now() < deadline {
            if std::os::unix::net::UnixStream::connect(&socket).is_ok()
                && client::get(&socket, "/_ping").status() == 200
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        Err(format!("the engine did not come up:\n{}", lines[lines.len().saturating_sub(5)..].join("\n")))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The engine that all tests share, seeded; `None`, said once, where there can be none.
///
/// It is never dropped: its keeper sees the test process end.
///
/// # Panics
/// With `DOCKVEIL_ENGINE_TESTS=require`, where `None` would be the answer.
pub(crate) fn shared() -> Option<&'static Engine> {
    static SHARED: OnceLock<Result<Engine, String>> = OnceLock::new();
    let started = SHARED.get_or_init(|| {
        let engine = Engine::start("shared")?;
        seed::plant(&engine);
        Ok(engine)
    });
    usable(started.as_ref())
}

/// A Podman of one test's own, not seeded; `None` where there can be none.
pub(crate) fn private_podman(name: &str) -> Option<Engine> {
    usable(Engine::start_podman(name))
}

/// An engine of one test's own, not seeded; `None` where there can be none.
pub(crate) fn private(name: &str) -> Option<Engine> {
    usable(Engine::start(name))
}

/// Turns a reason for having no engine into the words or the failure that it calls for.
fn usable<E, R: AsRef<str>>(started: Result<E, R>) -> Option<E> {
    match started {
        Ok(engine) => Some(engine),
        Err(reason) => {
            without(reason.as_ref());
            None
        }
    }
}

/// Says, past the capture of test output, that tests do not run, once; or fails where they are required.
#[track_caller]
pub(crate) fn without(reason: &str) {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    assert!(!required(), "engine tests are required, and: {reason}");
    let mut said = SAID.lock().unwrap();
    if !said.iter().any(|earlier| earlier == reason) {
        said.push(reason.to_owned());
        let _ =
            std::io::stderr().write_all(format!("\nengine tests that pass without having run: {reason}\n").as_bytes());
    }
}

/// Whether a machine that cannot run these tests fails them.
pub(crate) fn required() -> bool {
    variable("DOCKVEIL_ENGINE_TESTS").is_some_and(|value| value == "require")
}

/// What this machine lacks for an engine of our own.
fn missing(engine: &str) -> Result<(), String> {
    for program in [engine, "docker", "busybox", "unshare"] {
        find(program).ok_or_else(|| format!("no {program} on this machine"))?;
    }
    let root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if root { Ok(()) } else { Err("a private engine needs root".to_owned()) }
}

/// Where a program is, searched as a shell would.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = variable("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}
