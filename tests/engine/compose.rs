//! The image as people run it: by Compose, on an internal network, with a socket that containers share.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::image;
use super::support::client::{self, PATIENCE};
use super::support::engine::Engine;
use super::support::{assert_no_canary, engine, eventually, seed, variable};

/// What all services of the image have: nothing to write to, no capability, and the image's own probe, more often.
const LOCKED: &str = "
    image: dockveil:test
    read_only: true
    cap_drop: [ALL]
    security_opt: [\"no-new-privileges:true\"]
    healthcheck: {interval: 1s}";

/// The services. `by-name` and `by-socket` are mediators in front of the first one: their engine is a name that only
/// the engine's own name server knows, and a socket in a volume that is new.
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
    // No network at all, the user of the image, and the programs of this machine.
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

/// A project of Compose. Dropping it takes it down.
struct Project {
    program: PathBuf,
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

    /// What `wget` in the client's container says of a target.
    fn ask(&self, options: &str, target: &str) -> Output {
        self.run(&["exec", "-T", "client", "sh", "-c", &format!("wget -q -O - {options} {target}")])
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.run(&["down", "--volumes", "--timeout", "0"]);
    }
}

/// The project on this engine, up; `None` where it cannot be.
fn up(engine: &Engine) -> Option<Project> {
    let Some(binary) = variable("DOCKVEIL_STATIC_BINARY") else {
        engine::without("DOCKVEIL_STATIC_BINARY does not name a static binary");
        return None;
    };
    let Some(program) = engine::find("docker-compose") else {
        engine::without("no docker-compose on this machine");
        return None;
    };
    let socket = engine.socket();
    image::build(&socket, &fs::read(binary).unwrap(), "test", "");
    let path = engine.directory().join("compose.yaml");
    fs::write(&path, file(&socket, fs::metadata(&socket).unwrap().gid())).unwrap();
    let project = Project { program, file: path, socket };
    let started = project.run(&["up", "--detach"]);
    assert!(started.status.success(), "{started:?}");
    Some(project)
}

/// The container of a service, as the engine has it.
#[track_caller]
fn container(engine: &Engine, service: &str) -> Value {
    let filter = format!(
        "%7B%22label%22%3A%5B%22com.docker.compose.service%3D{service}%22%2C%22com.docker.compose.project%3Dbox%22%5D%7D"
    );
    let list = client::get(&engine.socket(), &format!("/containers/json?filters={filter}")).json();
    let id = list[0]["Id"].as_str().unwrap_or_else(|| panic!("no {service}: {list:#}"));
    client::get(&engine.socket(), &format!("/containers/{id}/json")).json()
}

#[test]
fn clients_reach_the_image_by_name_and_over_a_shared_socket() {
    // An engine of its own: the tests of the shared one count its containers.
    let Some(engine) = engine::private("compose") else { return };
    seed::import(&engine.socket());
    let web = json!({"Image": seed::BASE, "Cmd": ["sh", "-c", "sleep 1000", "canary-command"], "Env": ["TOKEN=canary-env"],
                     "Labels": {"owner": "canary-label"}, "StopSignal": "SIGKILL", "HostConfig": {"NetworkMode": "none"}});
    seed::container(&engine.socket(), "web", web);
    assert!(client::get(&engine.socket(), "/containers/json").text().contains("canary-label"));
    let Some(project) = up(&engine) else { return };
    for service in ["dockveil", "by-name", "by-socket"] {
        let inspect = container(&engine, service);
        assert!(
            eventually(PATIENCE, || container(&engine, service)["State"]["Health"]["Status"] == "healthy"),
            "{inspect:#}"
        );
        assert_eq!(inspect["Config"]["User"], "1000:1000");
        assert_eq!(inspect["HostConfig"]["ReadonlyRootfs"], true);
        assert_eq!(inspect["HostConfig"]["CapDrop"][0], "ALL");
        let list = project.ask("", &format!("http://{service}:2375/containers/json?all=1"));
        let text = String::from_utf8_lossy(&list.stdout).into_owned();
        assert!(list.status.success() && text.contains("\"/web\""), "{service}: {list:?}");
        assert_no_canary(service, &text);
        let refused = project.ask("--post-data=", &format!("http://{service}:2375/containers/web/kill"));
        assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("403"), "{refused:?}");
    }
    // The docker command in a container that has nothing but the socket.
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
    // The client itself can reach nothing else: no engine, and no way out.
    let client = container(&engine, "client");
    assert_eq!(client["Mounts"].as_array().map(Vec::len), Some(0));
    let networks = client["NetworkSettings"]["Networks"].as_object().unwrap();
    assert_eq!(networks.keys().collect::<Vec<_>>(), ["box_docker"]);
    assert_eq!(client::get(&engine.socket(), "/networks/box_docker").json()["Internal"], true);
}
