//! The files in `deploy/`: Compose reads its files, and the stack runs on a swarm of one node.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Outcome, Test, tests};
use crate::image;
use crate::support::client::TIMEOUT;
use crate::support::{assert_no_canary, cli, client, engine, eventually, installed, seed};

pub(crate) const TESTS: &[Test] = tests![
    compose_of_the_system_reads_every_file,
    compose_v2_reads_every_file,
    the_stack_answers_on_the_overlay_network_of_a_swarm,
];

/// Variables that the files need.
const VARIABLES: [(&str, &str); 11] = [
    ("DOCKER_GID", "999"),
    ("KEY", "key"),
    ("DD_API_KEY", "key"),
    ("SECRET_ENCRYPTION_KEY", "key"),
    ("ENCRYPTION_KEY", "key"),
    ("JWT_SECRET", "text"),
    ("STACKS", "/opt/stacks"),
    ("APP", "app"),
    ("AUTHENTIK_SECRET_KEY", "key"),
    ("PG_PASS", "text"),
    ("ZABBIX_SERVER", "zabbix"),
];

/// The YAML files in a folder of `deploy`.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

/// Runs a program, which must succeed, with the variables that the files need.
#[track_caller]
fn check_read(command: &mut Command) {
    let output = command.envs(VARIABLES).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", cli::outputs(&output));
}

/// Compose resolves a file, and prints nothing but errors.
#[track_caller]
fn check_file(program: &str, file: &Path) {
    check_read(Command::new(program).arg("--file").arg(file).args(["config", "--quiet"]));
}

fn compose_v2_reads_every_file() -> Outcome {
    let program = installed::client("docker-compose")?;
    files("compose").iter().chain(&files("swarm")).for_each(|file| check_file(&program, file));
    Ok(())
}

fn compose_of_the_system_reads_every_file() -> Outcome {
    let program = installed::program("docker-compose")?;
    let start = std::fs::read(&program).unwrap();
    let line = String::from_utf8_lossy(start.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
    if let Some(interpreter) = line.strip_prefix("#!") {
        // Compose 1 is a Python program, and most of its time goes into its start: one start reads all files.
        check_read(Command::new(interpreter.trim()).arg(installed::script("compose_v1.py")).args(files("compose")));
    } else {
        files("compose").iter().for_each(|file| check_file(&program, file));
    }
    Ok(())
}

/// The stack, with more frequent health probes and without its client, whose image would come from a registry.
fn stack(socket: &Path) -> String {
    let text = include_str!("../../deploy/swarm/stack.yaml");
    let (before, rest) = text.split_once("\n  prometheus:\n    image:").unwrap();
    let (_, after) = rest.split_once("\nnetworks:").unwrap();
    format!("{before}\nnetworks:{after}")
        .replace("\"/var/run/docker.sock:", &format!("\"{}:", socket.display()))
        .replace("    read_only: true\n", "    read_only: true\n    healthcheck: {interval: 1s}\n")
}

fn the_stack_answers_on_the_overlay_network_of_a_swarm() -> Outcome {
    let binary = installed::static_binary()?;
    let engine = engine::private("swarm")?;
    let socket = engine.socket();
    seed::import(&socket);
    image::build(&socket, &std::fs::read(binary).unwrap(), "test", "");
    let docker = |arguments: &[&str]| cli::stdout(&socket, &[&["docker"], arguments].concat());
    docker(&["swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377"]);
    let file = engine.folder().join("stack.yaml");
    std::fs::write(&file, stack(&socket)).unwrap();
    let group = format!("DOCKER_GID={}", std::fs::metadata(&socket).unwrap().gid());
    let file = file.to_str().unwrap();
    cli::stdout(
        &socket,
        &[
            "env",
            &group,
            "DOCKVEIL_IMAGE=dockveil:test",
            "docker",
            "stack",
            "deploy",
            "--resolve-image",
            "never",
            "-c",
            file,
            "veil",
        ],
    );
    let script = "until wget -qO- http://tasks.node:2375/containers/json && wget -qO- http://swarm:2375/services; do sleep 1; done";
    docker(&[
        "service",
        "create",
        "--detach",
        "--name",
        "looker",
        "--network",
        "veil_docker",
        "--restart-condition",
        "none",
        "--no-resolve-image",
        "--env",
        "TOKEN=canary-env",
        "--label",
        "owner=canary-label",
        seed::BASE,
        "sh",
        "-c",
        script,
        "canary-command",
    ]);
    let mut log = String::new();
    let answered = eventually(TIMEOUT * 2, || {
        let output = cli::docker(&socket, &["service", "logs", "--raw", "looker"], "");
        log = String::from_utf8_lossy(&output.stdout).into_owned();
        log.contains("\"Names\":[\"/looker.1.") && log.contains("\"Name\":\"veil_node\"")
    });
    assert!(answered, "{log}\n{}", docker(&["service", "ps", "--no-trunc", "looker", "veil_node", "veil_swarm"]));
    assert_no_canary("what a service reads on the overlay network", &log);
    assert!(client::get(&socket, "/services").text().contains("canary-label"));
    Ok(())
}
