//! The units of `deploy/systemd` under systemd itself, those of Debian 12 and 13 and a newer one, each as process 1 of namespaces
//! of its own. No engine is there: what the policy allows is answered 503, and what it denies 403.

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
    the_service_has_folders_for_its_audit_file_and_its_metrics,
    a_service_without_a_sign_of_life_is_started_again,
];

/// Starts systemd in a root of its own: nothing of this machine is in its reach.
const SYSTEMD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine/support/systemd.sh");

/// What it finds there: a group for clients and one for the engine's socket, and the units and nothing else in `/etc`.
const PREPARE: &str = r#"
for directory in etc var; do mount -t tmpfs tmpfs "$new/$directory"; done
mkdir -p "$new/var/log" "$new/var/lib" "$new/var/tmp" "$new/var/cache" "$new/usr/local/bin"
mkdir -p "$new/etc/dockveil" "$new/etc/systemd/system"
ln -s /run "$new/var/run"
[ -e "$new/usr/bin/sh" ] || cp "$(command -v busybox)" "$new/usr/bin/sh"
cp "$folder/dockveil" "$new/usr/local/bin/"
cp "$folder/passwd" "$folder/group" "$folder/nsswitch.conf" "$new/etc/"
cp "$folder/dockveil.yaml" "$new/etc/dockveil/"
cp "$folder"/units/* "$new/etc/systemd/system/"
"#;

/// A running systemd with the units. Dropping it kills it, and all that it has started.
struct Systemd {
    process: Process,
    folder: Folder,
    /// Process 1 in there.
    init: u32,
    /// Which systemd it is.
    version: u32,
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
        fs::create_dir(path.join("units")).unwrap();
        fs::write(path.join("prepare"), PREPARE).unwrap();
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
        command.arg(SYSTEMD).arg(root).arg(path).arg(folder.unique_name()).arg("dockveil-test.target");
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let process = Process::spawn(&mut command, &folder, "systemd");
        let mut systemd = Self { process, folder, init: 0, version: 0 };
        let children = format!("/proc/{0}/task/{0}/children", systemd.process.id());
        let is_up = eventually(Duration::from_secs(30), || {
            let child = fs::read_to_string(&children).unwrap_or_default();
            systemd.init = child.split_whitespace().next().and_then(|child| child.parse().ok()).unwrap_or(0);
            systemd.init != 0 && systemd.run("systemctl", &["show-environment"]).status.success()
        });
        let log = fs::read_to_string(systemd.folder.path().join("log")).unwrap_or_default();
        assert!(is_up, "systemd is not up: {log}");
        systemd.must_reach_nothing();
        let told = cli::outputs(&systemd.run("systemctl", &["--version"]));
        systemd.version = told.split_whitespace().nth(1).and_then(|version| version.parse().ok()).unwrap();
        systemd
    }

    /// Demands that it reaches nothing of this machine: at its start, systemd empties `/tmp`.
    #[track_caller]
    fn must_reach_nothing(&self) {
        let mounts = fs::read_to_string(format!("/proc/{}/mounts", self.init)).unwrap();
        let mounted: Vec<Vec<&str>> = mounts.lines().map(|line| line.split(' ').collect()).collect();
        let of_machine = |mount: &&Vec<&str>| mount[0].starts_with("/dev/") || mount[2] == "devtmpfs";
        assert_eq!(mounted.iter().filter(of_machine).collect::<Vec<_>>(), Vec::<&Vec<&str>>::new());
        let is = |place: &str, kind: &str, option: &str| {
            mounted
                .iter()
                .any(|mount| mount[1] == place && mount[2] == kind && mount[3].split(',').any(|found| found == option))
        };
        let places = [
            ("/", "overlay", "rw"),
            ("/dev", "tmpfs", "rw"),
            ("/run", "tmpfs", "rw"),
            ("/tmp", "tmpfs", "rw"),
            ("/var", "tmpfs", "rw"),
            ("/proc/sys", "proc", "ro"),
            ("/sys", "sysfs", "ro"),
        ];
        for (place, kind, option) in places {
            assert!(is(place, kind, option), "{place}: {mounts}");
        }
        assert!(!self.path(self.folder.path().to_str().unwrap()).exists());
    }

    /// Whether it knows `Type=notify-reload`.
    fn waits_for_reloads(&self) -> bool {
        self.version >= 253
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

/// The folders with the packages of Debians.
fn roots() -> Result<Vec<PathBuf>, Ignored> {
    if !engine::is_root() {
        return Err(Ignored::Missing("systemd in namespaces needs root".to_owned()));
    }
    for program in ["busybox", "unshare", "nsenter"] {
        engine::find(program).ok_or_else(|| Ignored::Missing(format!("no {program} on this machine")))?;
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let found = ["systemd/bookworm", "engines/trixie", "engines/sid"]
        .map(|suite| target.join(suite))
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
            [
                "active",
                "running",
                if systemd.waits_for_reloads() { "notify-reload" } else { "notify" },
                "serving unix:///run/dockveil/docker.sock, tcp://127.0.0.1:2375"
            ]
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
            let is_in_force = || systemd.ask("/containers/x/top") == expected;
            let patience = Duration::from_secs(if systemd.waits_for_reloads() { 0 } else { 10 });
            assert!(eventually(patience, is_in_force), "{round}: {}", systemd.journal());
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
        let is_in_force = || said().starts_with("serving unix:///run/dockveil/docker.sock, ");
        // A systemd that waits sends the signal itself, too: a second reload may be in progress.
        assert!(eventually(Duration::from_secs(10), is_in_force), "{}", said());
        assert_eq!(systemd.ask("/containers/x/top"), 403);
        assert_eq!(systemd.property("MainPID"), process);
    })
}

fn the_units_are_valid_and_expose_little() -> Outcome {
    with_each("units", |systemd| {
        let verified = systemd.run("systemd-analyze", &["verify", "dockveil.service", "dockveil.socket"]);
        let told = cli::outputs(&verified);
        // It keeps the line before.
        let is_known = |line: &str| {
            !systemd.waits_for_reloads() && line.ends_with("Failed to parse service type, ignoring: notify-reload")
        };
        let unknown: Vec<&str> = told.lines().filter(|line| !line.trim().is_empty() && !is_known(line)).collect();
        assert!(verified.status.success() && unknown.is_empty(), "{told}");
        // In tenths. What is left is what it is for: sockets, the group of the engine's, and the network of this machine.
        let exposed = ["security", "--no-pager", "--threshold=12", "dockveil.service"];
        let exposed = systemd.run("systemd-analyze", &exposed);
        assert!(exposed.status.success(), "{}", cli::outputs(&exposed));
    })
}

/// As its comments say: where the service may write, and that nothing of another unit goes away with it.
fn the_service_has_folders_for_its_audit_file_and_its_metrics() -> Outcome {
    with_each("folders", |systemd| {
        let unit = fs::read_to_string(systemd.path("/etc/systemd/system/dockveil.service")).unwrap();
        let lines: Vec<&str> =
            unit.lines().filter_map(|line| line.strip_prefix("# For `")?.split('`').next()).collect();
        assert_eq!(
            lines,
            ["audit: {file: /var/log/dockveil/audit.jsonl}", "metrics: unix:///run/dockveil/service/metrics.sock"]
        );
        systemd.edit(|text| format!("{text}{}\n", lines.join("\n")));
        systemd.control(&["start", "dockveil.socket", "dockveil.service"]);
        assert_eq!(systemd.ask(VERSION), 503);
        let audit = systemd.path("/var/log/dockveil/audit.jsonl");
        let is_written =
            || fs::read_to_string(&audit).is_ok_and(|records| records.contains("\"operation\":\"SystemVersion\""));
        assert!(eventually(Duration::from_secs(10), is_written), "{}", systemd.journal());
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&audit), 0o600);
        let metrics = systemd.path("/run/dockveil/service/metrics.sock");
        let answer = client::get(&metrics, "/readyz");
        assert_eq!((answer.status(), mode(&metrics)), (503, 0o660));
        systemd.control(&["restart", "dockveil.service"]);
        assert_eq!(client::get(&metrics, "/livez").status(), 200);
        // The socket for clients stays, and so do the records.
        systemd.control(&["stop", "dockveil.service"]);
        assert!(!metrics.exists() && systemd.path("/run/dockveil/docker.sock").exists() && is_written());
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
