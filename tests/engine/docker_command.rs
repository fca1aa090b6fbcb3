//! The docker command with buildx and Compose, from end to end. Each step of six scripts runs at an engine, at one behind
//! dockveil with everything allowed and shown, and at one behind dockveil as a drop-in with `DOCKVEIL_SHOW=all`. Exit codes and
//! both outputs are the same, or the difference is in a list here, with its reason.
//!
//! The scripts are in `tests/clients/docker`: each line is a step, run by a shell in a folder of its own.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::harness::{Ignored, Outcome, Test, note, tests};
use crate::support::engine::Engine;
use crate::support::proxy::Proxy;
use crate::support::{at_once, engine, installed, seed};

pub(crate) const TESTS: &[Test] = tests![
    containers_are_the_same,
    networks_volumes_and_the_rest_are_the_same,
    images_are_the_same,
    builds_are_the_same,
    compose_is_the_same,
    a_swarm_is_the_same,
    every_difference_is_of_a_step,
];

/// The scripts, by their names.
const SCRIPTS: [(&str, &str); 6] = [
    ("containers", include_str!("../clients/docker/containers.sh")),
    ("objects", include_str!("../clients/docker/objects.sh")),
    ("images", include_str!("../clients/docker/images.sh")),
    ("builds", include_str!("../clients/docker/builds.sh")),
    ("compose", include_str!("../clients/docker/compose.sh")),
    ("swarm", include_str!("../clients/docker/swarm.sh")),
];

/// What stands between the docker command and an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing.
    Direct,
    /// dockveil, with everything allowed and shown.
    Open,
    /// dockveil in place of Tecnativa's proxy, with every section open and `DOCKVEIL_SHOW=all`.
    DropIn,
}

/// A step that is not the same through dockveil.
struct Difference {
    /// The step.
    step: &'static str,
    /// What its outputs have through dockveil, and not at the engine.
    has: &'static str,
    /// Why that is right.
    reason: &'static str,
}

/// Why a filter that dockveil does not know is denied, whatever is shown.
const UNKNOWN_FILTER: &str = "what an unknown filter reads is not known, so it is denied; the engine refuses it too";

/// All that may differ. A step that is listed must differ.
const DIFFERENCES: &[Difference] = &[
    Difference { step: "docker ps --filter nosuch=1", has: "denied by policy", reason: UNKNOWN_FILTER },
    Difference {
        step: "docker container prune --force --filter nosuch=1",
        has: "denied by policy",
        reason: UNKNOWN_FILTER,
    },
    Difference { step: "docker images --filter nosuch=1", has: "denied by policy", reason: UNKNOWN_FILTER },
    Difference {
        step: "docker image prune --force --filter nosuch=1",
        has: "denied by policy",
        reason: UNKNOWN_FILTER,
    },
];

/// The variables of Tecnativa's proxy that open its sections.
const SECTIONS: [&str; 24] = [
    "AUTH",
    "BUILD",
    "COMMIT",
    "CONFIGS",
    "CONTAINERS",
    "DISTRIBUTION",
    "EVENTS",
    "EXEC",
    "GRPC",
    "IMAGES",
    "INFO",
    "NETWORKS",
    "NODES",
    "PING",
    "PLUGINS",
    "POST",
    "SECRETS",
    "SERVICES",
    "SESSION",
    "SWARM",
    "SYSTEM",
    "TASKS",
    "VERSION",
    "VOLUMES",
];

fn containers_are_the_same() -> Outcome {
    check("containers")
}

fn networks_volumes_and_the_rest_are_the_same() -> Outcome {
    check("objects")
}

fn images_are_the_same() -> Outcome {
    check("images")
}

fn builds_are_the_same() -> Outcome {
    check("builds")
}

fn compose_is_the_same() -> Outcome {
    check("compose")
}

fn a_swarm_is_the_same() -> Outcome {
    check("swarm")
}

fn every_difference_is_of_a_step() {
    for listed in DIFFERENCES {
        assert!(SCRIPTS.iter().any(|(_, script)| script.lines().any(|line| line == listed.step)), "{}", listed.step);
    }
}

/// Runs a command, and again as long as the engine was ahead of it: it updates the objects of a swarm, too, and refuses a change
/// of a version that it has changed itself.
const IN_SEQUENCE: &str = r#"#!/bin/sh
error=$(mktemp -p .) output=$(mktemp -p .)
while
  "$@" >"$output" 2>"$error"; code=$?
  grep -q 'update out of sequence' "$error"
do :; done
cat "$output"; cat "$error" >&2; rm "$error" "$output"
exit $code
"#;

/// Runs a script in each mode, and compares what comes of its steps.
fn check(part: &str) -> Outcome {
    let (_, script) = SCRIPTS.iter().find(|(name, _)| *name == part).unwrap();
    let root = engine::newest_root()?;
    if !root.join("usr/bin/docker").is_file() {
        let missing = format!("no docker command in {}, which .ci/engines unpacks", root.display());
        return Err(Ignored::Missing(missing));
    }
    let (python, terminal) = (installed::program("python3")?, installed::script("terminal.py"));
    let steps: Vec<&str> = script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let modes = [Mode::Direct, Mode::Open, Mode::DropIn];
    let sites = at_once(modes, |mode| Site::new(part, mode));
    let mut outcomes = Vec::new();
    for (site, mode) in sites.into_iter().zip(modes) {
        let site = site?;
        site.install(&root, &python, &terminal);
        outcomes.push((mode, site));
    }
    let [direct, open, drop_in] = <[(Mode, Site); 3]>::try_from(outcomes).unwrap_or_else(|_| panic!("three modes"));
    let [direct, open, drop_in] = at_once([direct, open, drop_in], |(_, site)| site.run(&steps));
    let mut failures = compare(Mode::Open, &steps, &direct, &open);
    failures.extend(compare(Mode::DropIn, &steps, &direct, &drop_in));
    assert!(failures.is_empty(), "{} steps differ:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// The steps that differ and should not, or should and do not.
fn compare(mode: Mode, steps: &[&str], direct: &[String], through: &[String]) -> Vec<String> {
    let mut failures = Vec::new();
    let mut same = 0;
    for (step, (direct, through)) in steps.iter().zip(direct.iter().zip(through)) {
        let listed = DIFFERENCES.iter().find(|listed| listed.step == *step);
        same += usize::from(direct == through);
        let fault = match listed {
            None if direct == through => continue,
            None => String::new(),
            Some(listed) if through.contains(listed.has) && !direct.contains(listed.has) => continue,
            Some(listed) => format!("the listed difference ({}) is not there: {:?}\n", listed.reason, listed.has),
        };
        failures.push(format!("{mode:?}: $ {step}\n{fault}--- direct ---\n{direct}\n--- through ---\n{through}"));
    }
    note(&format!("{mode:?}: {same} of {} steps are the same", steps.len()));
    failures
}

/// A place where a script runs: an engine, what stands before it, and a folder.
struct Site {
    engine: Engine,
    proxy: Option<Proxy>,
    folder: PathBuf,
}

impl Site {
    /// Starts the engine and dockveil.
    fn new(part: &str, mode: Mode) -> Result<Site, Ignored> {
        let engine = engine::newest_with_registry(&format!("docker-{part}-{mode:?}").to_lowercase())?;
        let socket = engine.socket();
        let proxy = match mode {
            Mode::Direct => None,
            Mode::Open => Some(Proxy::start(&socket, "open")),
            Mode::DropIn => {
                let mut variables: Vec<(&str, &str)> = SECTIONS.iter().map(|name| (*name, "1")).collect();
                variables.push(("DOCKVEIL_SHOW", "all"));
                Some(Proxy::drop_in(("SOCKET_PATH", &socket), &variables))
            }
        };
        let folder = engine.folder().join("client");
        Ok(Site { engine, proxy, folder })
    }

    /// The socket for the docker command.
    fn socket(&self) -> PathBuf {
        self.proxy.as_ref().map_or_else(|| self.engine.socket(), Proxy::socket)
    }

    /// Puts the programs and files for a script into the folder.
    fn install(&self, root: &Path, python: &str, terminal: &str) {
        let (programs, plugins) = (self.folder.join("bin"), self.folder.join("config/cli-plugins"));
        for folder in [&programs, &plugins, &self.folder.join("work")] {
            fs::create_dir_all(folder).unwrap();
        }
        symlink(root.join("usr/bin/docker"), programs.join("docker")).unwrap();
        for name in ["docker-buildx", "docker-compose"] {
            symlink(root.join("usr/libexec/docker/cli-plugins").join(name), plugins.join(name)).unwrap();
        }
        let terminal = format!("#!/bin/sh\nexec {python} {terminal} \"$@\"\n");
        for (name, text) in [("terminal", terminal.as_str()), ("in-sequence", IN_SEQUENCE)] {
            let program = programs.join(name);
            fs::write(&program, text).unwrap();
            fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        }
        fs::write(self.folder.join("work/base.tar"), seed::base()).unwrap();
    }

    /// Runs the steps; returns the exit code and the outputs of each, without what differs between two runs.
    fn run(self, steps: &[&str]) -> Vec<String> {
        let socket = self.socket();
        let fixed = [
            (socket.display().to_string(), "<socket>"),
            (self.folder.display().to_string(), "<client>"),
            (self.engine.folder().display().to_string(), "<engine>"),
        ];
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.folder.join("bin").display());
        let outcome = |step: &&str| {
            let output = Command::new("timeout")
                .args(["--kill-after", "1", "100", "sh", "-c", step])
                .current_dir(self.folder.join("work"))
                .env_clear()
                .env("PATH", &path)
                .env("HOME", self.folder.join("work"))
                .env("DOCKER_HOST", format!("unix://{}", socket.display()))
                .env("DOCKER_CONFIG", self.folder.join("config"))
                .env("LC_ALL", "C.UTF-8")
                .env("TERM", "xterm")
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            normalised(&format!("[{:?}]\n{out}--- {error}", output.status.code()), &fixed)
        };
        steps.iter().map(outcome).collect()
    }
}

/// What is different in each run and has no identity: times, ages, addresses of interfaces, processes, sizes that depend on
/// times.
static VOLATILE: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?(Z|[+-]\d\d:?\d\d))?( (UTC|utc))?", "<time>"),
        (r"(Less than a second|About a minute|\d+ seconds?|\d+ minutes?)( ago)?", "<age>"),
        (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "<mac>"),
        (r#""([Pp]id|time|timeNano|Index|Size|SizeRw)": ?\d+"#, "\"$1\":<number>"),
        (r"\b\d+\.\d+s\b", "<seconds>"),
        (r"SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}", "<token>"),
        (r"SWMKEY-1-[0-9A-Za-z+/]{43}", "<key>"),
        (r"docker-import-\d+", "docker-import-<number>"),
        (r"0x[0-9a-f]{8,}", "<address>"),
        // Columns are as wide as what is in them.
        (r" {2,}", "  "),
        (r"-{4,}", "----"),
    ]
    .map(|(pattern, replacement)| (Regex::new(pattern).unwrap(), replacement))
    .into()
});

/// An id: hexadecimal digits, or those of the swarm.
static ID: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b([0-9a-f]{12,64}|[0-9a-z]{25})\b").unwrap());

/// A text without what differs between two runs: `fixed` texts are replaced, and ids are numbered as they come.
fn normalised(text: &str, fixed: &[(String, &str)]) -> String {
    let mut text = text.to_owned();
    for (found, replacement) in fixed {
        text = text.replace(found, replacement);
    }
    for (pattern, replacement) in VOLATILE.iter() {
        text = pattern.replace_all(&text, *replacement).into_owned();
    }
    let mut ids = HashMap::new();
    let number = |found: &Captures<'_>| {
        let (count, id) = (ids.len(), &found[0]);
        if !id.bytes().any(|byte| byte.is_ascii_digit()) {
            return id.to_owned();
        }
        format!("<id {}>", ids.entry(id[..12].to_owned()).or_insert(count + 1))
    };
    ID.replace_all(&text, number).into_owned()
}
