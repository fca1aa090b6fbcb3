//! What `deploy/` offers: the Compose files read by Compose itself, and the stack on a swarm of one node.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use super::image;
use super::support::{assert_no_canary, client, docker, engine, eventually, installed, seed, variable};

/// Variables that the files ask for.
const VARIABLES: [(&str, &str); 5] = [
    ("DOCKER_GID", "999"),
    ("KEY", "key"),
    ("DD_API_KEY", "key"),
    ("SECRET_ENCRYPTION_KEY", "key"),
    ("ZABBIX_SERVER", "zabbix"),
];

/// Has Compose read every file of a folder and resolve it.
fn check_read(program: &str, folder: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    assert!(!files.is_empty());
    for file in files {
        let read = Command::new(program).arg("--file").arg(&file).args(["config", "--quiet"]).envs(VARIABLES).output();
        let read = read.unwrap();
        assert!(read.status.success(), "{program} {}: {}", file.display(), installed::told(&read));
    }
}

#[test]
fn compose_v2_reads_every_file() {
    if let Some(program) = installed::client("docker-compose") {
        check_read(&program, "compose");
        check_read(&program, "swarm");
    }
}

#[test]
fn compose_of_the_system_reads_every_file() {
    if let Some(program) = installed::of_the_system("docker-compose") {
        check_read(&program, "compose");
    }
}

/// The stack as it is but for its client, whose image no registry is here for; probes are more often.
fn stack(socket: &Path) -> String {
    let text = include_str!("../../deploy/swarm/stack.yaml");
    let (before, rest) = text.split_once("\n  prometheus:\n    image:").unwrap();
    let (_, after) = rest.split_once("\nnetworks:").unwrap();
    format!("{before}\nnetworks:{after}")
        .replace("\"/var/run/docker.sock:", &format!("\"{}:", socket.display()))
        .replace("    read_only: true\n", "    read_only: true\n    healthcheck: {interval: 1s}\n")
}

#[test]
fn the_stack_answers_on_the_overlay_network_of_a_swarm() {
    let Some(engine) = engine::private("swarm") else { return };
    let Some(binary) = variable("DOCKVEIL_STATIC_BINARY") else {
        return engine::without("DOCKVEIL_STATIC_BINARY does not name a static binary");
    };
    let socket = engine.socket();
    seed::import(&socket);
    image::build(&socket, &std::fs::read(binary).unwrap(), "test", "");
    let docker = |arguments: &[&str]| installed::shown(&socket, &[&["docker"], arguments].concat());
    docker(&["swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377"]);
    let file = engine.directory().join("stack.yaml");
    std::fs::write(&file, stack(&socket)).unwrap();
    let group = format!("DOCKER_GID={}", std::fs::metadata(&socket).unwrap().gid());
    let file = file.to_str().unwrap();
    installed::shown(
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
    let asked = "until wget -qO- http://tasks.node:2375/containers/json && wget -qO- http://swarm:2375/services; do sleep 1; done";
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
        asked,
        "canary-command",
    ]);
    let mut said = String::new();
    let answered = eventually(client::PATIENCE * 2, || {
        let logs = docker::run(&socket, &["service", "logs", "--raw", "looker"], "");
        said = String::from_utf8_lossy(&logs.stdout).into_owned();
        said.contains("\"Names\":[\"/looker.1.") && said.contains("\"Name\":\"veil_node\"")
    });
    assert!(answered, "{said}\n{}", docker(&["service", "ps", "--no-trunc", "looker", "veil_node", "veil_swarm"]));
    assert_no_canary("what dockveil says on the overlay network", &said);
    assert!(client::get(&socket, "/services").text().contains("canary-label"));
}
