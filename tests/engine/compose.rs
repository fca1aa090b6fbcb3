//! The image under Compose: on an internal network, and with a socket that containers share.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::{Outcome, Test, tests};
use crate::image;
use crate::support::client::{self, TIMEOUT};
use crate::support::engine::Engine;
use crate::support::{assert_no_canary, engine, eventually, installed, seed};

pub(crate) const TESTS: &[Test] = tests![clients_reach_the_image_by_name_and_over_a_shared_socket];

/// The settings of every service with the image: a read-only root, no capabilities, and the probe of the image, more often.
const LOCKED: &str = "
    image: dockveil:test
    read_only: true
    cap_drop: [ALL]
    security_opt: [\"no-new-privileges:true\"]
    healthcheck: {interval: 1s}";

/// The Compose file. `by-name` and `by-socket` run dockveil in front of the service `dockveil`: they reach it by a name that
/// only the engine's name server knows, and over a socket in a new volume.
fn file(socket: &Path, group: u32) -> String {
    let first = format!(
        "
  dockveil:{LOCKED}
    command: [serve, --listen, \"tcp://0.0.0.0:2375\", --listen, \"unix:///run/dockveil/docker.sock\"]
    group_add: [\"{group}\"]
    volumes: [\"{}:/var/run/docker.sock\", \"socket:/run/dockveil\"]
    networks: [docker]",
        socket.display()
    );
    let second = |name: &str, upstream: &str, volumes: &str| {
        format!(
            "
  {name}:{LOCKED}
    command: [serve, --upstream, \"{upstream}\", --listen, \"tcp://0.0.0.0:2375\"]
    volumes: [{volumes}]
    depends_on: {{dockveil: {{condition: service_healthy}}}}
    networks: [docker]"
        )
    };
    // A client without a network, as the user of the image, with the programs of this machine.
    let over_socket = format!(
        "
  over-socket:
    image: {}
    user: \"1000:1000\"
    command: [sleep, \"1000\"]
    depends_on: {{dockveil: {{condition: service_healthy}}}}
    volumes: [\"socket:/run/dockveil\", \"/usr:/usr:ro\", \"/lib:/lib:ro\", \"/lib64:/lib64:ro\"]
    network_mode: none",
        seed::BASE
    );
    let by_name = second("by-name", "tcp://dockveil:2375", "");
    let by_socket = second("by-socket", "unix:///run/dockveil/docker.sock", "\"socket:/run/dockveil\"");
    format!(
        "services:{first}{by_name}{by_socket}{over_socket}
  client:
    image: {}
    command: [sleep, \"1000\"]
    depends_on: {{by-name: {{condition: service_healthy}}, by-socket: {{condition: service_healthy}}}}
    networks: [docker]
volumes:
  socket: {{}}
networks:
  docker: {{internal: true}}
",
        seed::BASE
    )
}

/// A Compose project. Dropping it takes it down.
struct Project {
    program: String,
    file: PathBuf,
    socket: PathBuf,
}

impl Project {
    /// Runs Compose to its end.
    fn run(&self, arguments: &[&str]) -> Output {
        Command::new("timeout")
            .args(["--kill-after", "1", "120"])
            .arg(&self.program)
            .args(["--project-name", "box", "--file"])
            .arg(&self.file)
            .args(arguments)
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            .env_remove("DOCKER_CONTEXT")
            .output()
            .unwrap()
    }

    /// Runs `wget` in the container of the service `client`.
    fn wget(&self, options: &str, target: &str) -> Output {
        self.run(&["exec", "-T", "client", "sh", "-c", &format!("wget -q -O - {options} {target}")])
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.run(&["down", "--volumes", "--timeout", "0"]);
    }
}

/// Builds the image from a static binary and brings the project up.
#[track_caller]
fn up(engine: &Engine, program: String, binary: &Path) -> Project {
    let socket = engine.socket();
    image::build(&socket, &fs::read(binary).unwrap(), "test", "");
    let path = engine.folder().join("compose.yaml");
    fs::write(&path, file(&socket, fs::metadata(&socket).unwrap().gid())).unwrap();
    let project = Project { program, file: path, socket };
    let started = project.run(&["up", "--detach"]);
    assert!(started.status.success(), "{started:?}");
    project
}

/// What the engine shows of the container of a service.
#[track_caller]
fn container(engine: &Engine, service: &str) -> Value {
    let filter = format!(
        "%7B%22label%22%3A%5B%22com.docker.compose.service%3D{service}%22%2C%22com.docker.compose.project%3Dbox%22%5D%7D"
    );
    let list = client::get(&engine.socket(), &format!("/containers/json?filters={filter}")).json();
    let id = list[0]["Id"].as_str().unwrap_or_else(|| panic!("no {service}: {list:#}"));
    client::get(&engine.socket(), &format!("/containers/{id}/json")).json()
}

fn clients_reach_the_image_by_name_and_over_a_shared_socket() -> Outcome {
    let (program, binary) = (installed::client("docker-compose")?, installed::static_binary()?);
    let engine = engine::private("compose")?;
    seed::import(&engine.socket());
    let mut web = seed::detached(&["sh", "-c", "sleep 1000", "canary-command"]);
    web["Env"] = json!(["TOKEN=canary-env"]);
    web["Labels"] = json!({"owner": "canary-label"});
    seed::start(&engine.socket(), "web", &web);
    assert!(client::get(&engine.socket(), "/containers/json").text().contains("canary-label"));
    let project = up(&engine, program, &binary);
    for service in ["dockveil", "by-name", "by-socket"] {
        let inspect = container(&engine, service);
        assert!(
            eventually(TIMEOUT, || container(&engine, service)["State"]["Health"]["Status"] == "healthy"),
            "{inspect:#}"
        );
        assert_eq!(inspect["Config"]["User"], "1000:1000");
        assert_eq!(inspect["HostConfig"]["ReadonlyRootfs"], true);
        assert_eq!(inspect["HostConfig"]["CapDrop"][0], "ALL");
        let list = project.wget("", &format!("http://{service}:2375/containers/json?all=1"));
        let text = String::from_utf8_lossy(&list.stdout).into_owned();
        assert!(list.status.success() && text.contains("\"/web\""), "{service}: {list:?}");
        assert_no_canary(service, &text);
        let refused = project.wget("--post-data=", &format!("http://{service}:2375/containers/web/kill"));
        assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("403"), "{refused:?}");
    }
    // The docker command in a container that can reach the socket and nothing else.
    let docker = engine::find("docker").unwrap();
    let over_socket = |arguments: &[&str]| {
        let command = ["exec", "-T", "over-socket", docker.to_str().unwrap(), "-H", "unix:///run/dockveil/docker.sock"];
        project.run(&[&command[..], arguments].concat())
    };
    let inspect = over_socket(&["inspect", "web"]);
    let text = String::from_utf8_lossy(&inspect.stdout).into_owned();
    assert!(inspect.status.success() && text.contains("\"/web\""), "{inspect:?}");
    assert_no_canary("over the socket", &text);
    let refused = over_socket(&["kill", "web"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("denied by policy"), "{refused:?}");
    // The client can reach nothing but the services: it has no engine, and no way out.
    let client = container(&engine, "client");
    assert_eq!(client["Mounts"].as_array().map(Vec::len), Some(0));
    let networks = client["NetworkSettings"]["Networks"].as_object().unwrap();
    assert_eq!(networks.keys().collect::<Vec<_>>(), ["box_docker"]);
    assert_eq!(client::get(&engine.socket(), "/networks/box_docker").json()["Internal"], true);
    Ok(())
}
