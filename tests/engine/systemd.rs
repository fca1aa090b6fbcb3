//! The units of `deploy/systemd` under systemd itself, that of Debian 13 and a newer one, each as process 1 of namespaces of its own.
//! No engine is there: what the policy allows is answered 503, and what it denies 403.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::{Ignored, Outcome, Test, tests};
use crate::support::process::{Folder, Process, remove_control_groups};
use crate::support::{cli, client, engine, eventually};

pub(crate) const TESTS: &[Test] = tests![
    the_first_client_starts_the_service_and_none_is_refused_while_it_restarts,
    a_reload_lasts_until_it_is_in_force_and_fails_if_the_configuration_has_an_error,
    the_units_are_valid_and_expose_little,
    a_service_without_a_sign_of_life_is_started_again,
];

/// Starts systemd. Arguments: the folder with the packages of a Debian, the folder of the test, the name of its control group.
///
/// It has a group for clients and one for the engine's socket, an empty `/run`, and the units and nothing else in `/etc`.
const SYSTEMD: &str = r#"
set -e
root=$1 folder=$2 group=$3
while read -r _ where kind _; do [ "$kind" != cgroup2 ] || groups=$where; done </proc/mounts
mkdir "$groups/$group"
echo $$ >"$groups/$group/cgroup.procs"
exec unshare --mount --net --uts --ipc --pid --cgroup --fork --kill-child --mount-proc --propagation private \
  env container=test sh -ec '
root=$1 folder=$2
mount -t tmpfs tmpfs "$folder/over"
mkdir "$folder/over/upper" "$folder/over/work"
busybox=$(command -v busybox)
"$busybox" cp "$busybox" "$folder/over/busybox"
run() { "$folder/over/busybox" "$@"; }
run ip link set lo up
run mount -t overlay -o "lowerdir=$root/usr,upperdir=$folder/over/upper,workdir=$folder/over/work" overlay /usr
run mkdir -p /usr/local/bin
run cp "$folder/dockveil" /usr/local/bin/
for directory in /run /var /etc; do run mount -t tmpfs tmpfs "$directory"; done
run mkdir -p /var/log /var/lib /var/tmp /var/cache /etc/dockveil /etc/systemd/system
run ln -s /run /var/run
run cp "$folder/passwd" "$folder/group" "$folder/nsswitch.conf" /etc/
run cp "$folder/dockveil.yaml" /etc/dockveil/
run cp "$folder"/units/* /etc/systemd/system/
echo uninitialized >/etc/machine-id
run umount -R /sys/fs/cgroup 2>/dev/null || while run umount /sys/fs/cgroup 2>/dev/null; do :; done
run mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec /usr/lib/systemd/systemd --system --unit=dockveil-test.target --log-target=console --show-status=0
' systemd "$root" "$folder"
"#;

/// A running systemd with the units. Dropping it kills it, and all that it has started.
struct Systemd {
    process: Process,
    folder: Folder,
    /// Process 1 in there.
    init: u32,
}

impl Drop for Systemd {
    fn drop(&mut self) {
        self.process.kill();
        remove_control_groups(&self.folder.unique_name());
    }
}

impl Systemd {
    /// Starts the systemd in the folder with the packages of a Debian.
    fn start(name: &str, root: &Path) -> Self {
        let folder = Folder::new(name);
        let path = folder.path();
        for directory in ["units", "over"] {
            fs::create_dir(path.join(directory)).unwrap();
        }
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd");
        for unit in ["dockveil.service", "dockveil.socket"] {
            fs::copy(deploy.join(unit), path.join("units").join(unit)).unwrap();
        }
        fs::write(path.join("units/dockveil-test.target"), "[Unit]\nDefaultDependencies=no\n").unwrap();
        fs::copy(env!("CARGO_BIN_EXE_dockveil"), path.join("dockveil")).unwrap();
        fs::write(path.join("passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n").unwrap();
        fs::write(path.join("group"), "root:x:0:\ndocker:x:4243:\ndocker-clients:x:4242:\nnogroup:x:65534:\n").unwrap();
        fs::write(path.join("nsswitch.conf"), "passwd: files systemd\ngroup: files systemd\n").unwrap();
        // What a reload changes is up to the test alone.
        let config = fs::read_to_string(deploy.join("dockveil.yaml")).unwrap();
        fs::write(path.join("dockveil.yaml"), format!("watch: false\n{config}")).unwrap();
        let log = fs::File::create(path.join("log")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", SYSTEMD, "systemd"]).arg(root).arg(path).arg(folder.unique_name());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let process = Process::spawn(&mut command, &folder, "systemd");
        let mut systemd = Self { process, folder, init: 0 };
        let children = format!("/proc/{0}/task/{0}/children", systemd.process.id());
        let is_up = eventually(Duration::from_secs(30), || {
            let child = fs::read_to_string(&children).unwrap_or_default();
            systemd.init = child.split_whitespace().next().and_then(|child| child.parse().ok()).unwrap_or(0);
            systemd.init != 0 && systemd.run("systemctl", &["show-environment"]).status.success()
        });
        let log = fs::read_to_string(systemd.folder.path().join("log")).unwrap_or_default();
        assert!(is_up, "systemd is not up: {log}");
        systemd
    }

    /// The path of a file, for processes outside.
    fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    /// Runs a program in there.
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let target = self.init.to_string();
        let mut command = Command::new("timeout");
        command.args(["--kill-after=1", "60", "nsenter", "--target", &target, "--mount", "--pid", "--net", "--cgroup"]);
        command.arg(program).args(arguments).output().unwrap()
    }

    /// Runs `systemctl`, which must succeed.
    #[track_caller]
    fn control(&self, arguments: &[&str]) {
        let output = self.run("systemctl", arguments);
        assert!(output.status.success(), "{arguments:?}: {}{}", cli::outputs(&output), self.journal());
    }

    /// A property of the service.
    fn property(&self, name: &str) -> String {
        let output = self.run("systemctl", &["show", "--value", "--property", name, "dockveil.service"]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What the service has said.
    fn journal(&self) -> String {
        cli::outputs(&self.run("journalctl", &["--no-pager", "--unit=dockveil.service", "--unit=dockveil.socket"]))
    }

    /// The status of the answer to a client on the socket.
    fn ask(&self, target: &str) -> u16 {
        client::get(&self.path("/run/dockveil/docker.sock"), target).status()
    }

    /// Changes the configuration.
    fn edit(&self, change: impl FnOnce(String) -> String) {
        let path = self.path("/etc/dockveil/dockveil.yaml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, change(text)).unwrap();
    }
}

/// The folders with the packages of Debians whose systemd knows `notify-reload`.
fn roots() -> Result<Vec<PathBuf>, Ignored> {
    if !engine::is_root() {
        return Err(Ignored::Missing("systemd in namespaces needs root".to_owned()));
    }
    for program in ["busybox", "unshare", "nsenter"] {
        engine::find(program).ok_or_else(|| Ignored::Missing(format!("no {program} on this machine")))?;
    }
    let engines = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/engines");
    let found = ["trixie", "sid"]
        .map(|suite| engines.join(suite))
        .into_iter()
        .filter_map(|root| root.join("usr/lib/systemd/systemd").is_file().then(|| root.canonicalize().ok()).flatten());
    let found: Vec<PathBuf> = found.collect();
    if found.is_empty() {
        return Err(Ignored::Missing("no systemd, which .ci/engines unpacks".to_owned()));
    }
    Ok(found)
}

/// Does something with each systemd, all of them at once. `name` is that of the test.
fn with_each(name: &str, work: impl Fn(&Systemd) + Sync) -> Outcome {
    let roots = roots()?;
    std::thread::scope(|scope| {
        let work = &work;
        let running = roots.iter().enumerate().map(|(number, root)| {
            scope.spawn(move || work(&Systemd::start(&format!("systemd-{name}-{number}"), root)))
        });
        for one in running.collect::<Vec<_>>() {
            one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    Ok(())
}

/// `docker-cli` allows it, and `prometheus` denies it.
const VERSION: &str = "/version";

fn the_first_client_starts_the_service_and_none_is_refused_while_it_restarts() -> Outcome {
    with_each("restart", |systemd| {
        systemd.control(&["start", "dockveil.socket"]);
        let socket = fs::metadata(systemd.path("/run/dockveil/docker.sock")).unwrap();
        assert_eq!((socket.uid(), socket.gid(), socket.mode() & 0o777), (0, 4242, 0o660));
        assert_eq!(systemd.property("ActiveState"), "inactive");
        // The answer to the first request is that of the service which it has started.
        assert_eq!([VERSION, "/swarm"].map(|target| systemd.ask(target)), [503, 403]);
        assert_eq!(
            ["ActiveState", "SubState", "Type", "StatusText"].map(|name| systemd.property(name)),
            ["active", "running", "notify-reload", "serving unix:///run/dockveil/docker.sock, tcp://127.0.0.1:2375"]
        );
        let process = systemd.property("MainPID");
        let status = fs::read_to_string(systemd.path(&format!("/proc/{process}/status"))).unwrap();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        let user: u32 = field("Uid:").split_whitespace().next().unwrap().parse().unwrap();
        assert!((61184..=65519).contains(&user), "it is a dynamic user: {user}");
        assert_eq!(field("Groups:").split_whitespace().next(), Some("4243"));
        assert_eq!(["NoNewPrivs:", "Seccomp:", "CapBnd:"].map(field), ["1", "2", "0000000000000000"]);
        let (has_ended, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !has_ended.load(Ordering::Relaxed) {
                        // A connection that is refused, or cut without an answer, panics.
                        assert_eq!(systemd.ask(VERSION), 503);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for _ in 0..3 {
                let before = answered.load(Ordering::Relaxed);
                systemd.control(&["restart", "dockveil.service"]);
                let goes_on = eventually(Duration::from_secs(10), || answered.load(Ordering::Relaxed) > before + 8);
                assert!(goes_on, "{}", systemd.journal());
            }
            has_ended.store(true, Ordering::Relaxed);
        });
        systemd.control(&["stop", "dockveil.service", "dockveil.socket"]);
        assert_eq!((systemd.property("Result"), systemd.property("NRestarts")), ("success".into(), "0".into()));
        assert!(!systemd.path("/run/dockveil/docker.sock").exists());
    })
}

fn a_reload_lasts_until_it_is_in_force_and_fails_if_the_configuration_has_an_error() -> Outcome {
    with_each("reload", |systemd| {
        systemd.control(&["start", "dockveil.socket", "dockveil.service"]);
        let process = systemd.property("MainPID");
        for round in 0..4 {
            let (before, after, expected) =
                if round % 2 == 0 { ("docker-cli", "dashboard", 403) } else { ("dashboard", "docker-cli", 503) };
            systemd.edit(|text| text.replace(&format!("profile: {before}"), &format!("profile: {after}")));
            systemd.control(&["reload", "dockveil.service"]);
            // `docker-cli` shows processes, and `dashboard` does not.
            assert_eq!(systemd.ask("/containers/x/top"), expected, "{round}");
        }
        systemd.edit(|text| text.replace("profile: docker-cli", "profile: docker-cly"));
        let output = systemd.run("systemctl", &["reload", "dockveil.service"]);
        assert!(!output.status.success(), "{}", cli::outputs(&output));
        let said = || systemd.property("StatusText");
        let is_said = eventually(Duration::from_secs(10), || said().contains("unknown profile \"docker-cly\""));
        assert!(is_said, "{}{}", said(), systemd.journal());
        assert_eq!((systemd.ask("/containers/x/top"), systemd.property("ActiveState")), (503, "active".into()));
        systemd.edit(|text| text.replace("docker-cly", "dashboard"));
        systemd.control(&["reload", "dockveil.service"]);
        assert_eq!(systemd.ask("/containers/x/top"), 403);
        assert!(said().starts_with("serving unix:///run/dockveil/docker.sock, "), "{}", said());
        assert_eq!(systemd.property("MainPID"), process);
    })
}

fn the_units_are_valid_and_expose_little() -> Outcome {
    with_each("units", |systemd| {
        let verified = systemd.run("systemd-analyze", &["verify", "dockveil.service", "dockveil.socket"]);
        assert!(verified.status.success() && cli::outputs(&verified).trim().is_empty(), "{}", cli::outputs(&verified));
        // In tenths. What is left is what it is for: sockets, the group of the engine's, and the network of this machine.
        let exposed = ["security", "--no-pager", "--threshold=12", "dockveil.service"];
        let exposed = systemd.run("systemd-analyze", &exposed);
        assert!(exposed.status.success(), "{}", cli::outputs(&exposed));
    })
}

fn a_service_without_a_sign_of_life_is_started_again() -> Outcome {
    with_each("watchdog", |systemd| {
        // As in the unit, with less patience.
        let folder = systemd.path("/etc/systemd/system/dockveil.service.d");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("watchdog.conf"), "[Service]\nWatchdogSec=2\n").unwrap();
        systemd.control(&["daemon-reload"]);
        systemd.control(&["start", "dockveil.socket", "dockveil.service"]);
        let process = systemd.property("MainPID");
        // As long as it gives signs of life, it is left alone.
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!((systemd.property("MainPID"), systemd.property("NRestarts")), (process.clone(), "0".into()));
        systemd.control(&["kill", "--kill-whom=main", "--signal=STOP", "dockveil.service"]);
        let is_new = eventually(Duration::from_secs(30), || systemd.property("NRestarts") == "1");
        assert!(is_new, "{}", systemd.journal());
        assert_eq!(systemd.ask(VERSION), 503);
        assert_ne!(systemd.property("MainPID"), process);
    })
}
