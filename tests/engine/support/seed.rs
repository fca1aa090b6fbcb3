//! The objects in a seeded engine: images, containers, networks and volumes, with a canary in every field that may hold
//! something private.
//!
//! A canary is `canary-<field>`, or `shown-<field>` if the profile `dashboard` shows the class of the field. The names by
//! which clients ask for an object are no canaries.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::client::{self, TIMEOUT};
use super::engine::Engine;
use super::eventually;
use super::tar::Tar;

/// Flags of dockerd that `/info` shows.
pub(crate) const DAEMON_FLAGS: [&str; 6] = [
    "--label",
    "owner=canary-daemon-label",
    "--insecure-registry",
    "canary-insecure-registry.test:5000",
    "--registry-mirror",
    "https://canary-registry-mirror.test/",
];

/// Environment variables of dockerd that `/info` shows. The proxy does not exist, so that no registry is asked.
pub(crate) const DAEMON_ENVIRONMENT: [(&str, &str); 3] = [
    ("HTTP_PROXY", "http://user:password@canary-daemon-proxy.test:9"),
    ("HTTPS_PROXY", "http://user:password@canary-daemon-proxy.test:9"),
    ("NO_PROXY", "canary-daemon-no-proxy.test"),
];

/// The image that holds a shell and nothing else.
pub(crate) const BASE: &str = "base:1";

/// An image based on it, with canaries of its own.
pub(crate) const IMAGE: &str = "shop/web:1";

/// The containers of the seed.
pub(crate) const CONTAINERS: [&str; 7] = ["web", "idle", "terminal", "ticker", "story", "odd", "broken"];

/// The number of lines that the container `story` has written to each of its outputs.
pub(crate) const STORY_LINES: usize = 300;

/// Fills an engine.
///
/// | container | what it is |
/// |---|---|
/// | `web` | runs and is healthy; has every option that a running container can have |
/// | `idle` | runs the same two processes all the time |
/// | `terminal` | runs with a terminal and reads its input |
/// | `ticker` | runs and writes a line five times a second |
/// | `story` | has exited with 0; its log has a known length on both outputs |
/// | `odd` | was never started; has options that no engine here could apply |
/// | `broken` | failed to start; the engine's error quotes its command |
pub(crate) fn populate(engine: &Engine) {
    let socket = engine.socket();
    import(&socket);
    build(&socket);
    create_object(&socket, "/networks/create", network());
    create_object(&socket, "/volumes/create", volume());
    std::fs::create_dir_all(engine.folder().join("canary-bind-source")).unwrap();
    start(&socket, "web", &web(engine.folder()));
    start(&socket, "idle", &detached(&["sh", "-c", "while :; do sleep 1000; done", "canary-command"]));
    start(
        &socket,
        "terminal",
        &json!({"Image": BASE, "Tty": true, "OpenStdin": true, "Cmd": ["sh", "-c", "echo canary-terminal-log; cat"]}),
    );
    start(
        &socket,
        "ticker",
        &json!({"Image": BASE, "Cmd": ["sh", "-c", "n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.2; done"]}),
    );
    start(
        &socket,
        "story",
        &json!({"Image": BASE, "Cmd": ["sh", "-c", format!(
        // A busy Docker 28.5 may lose what a process has written if it ends at once.
        "sleep 0.3; n=0; while [ $n -lt {STORY_LINES} ]; do n=$((n+1)); echo out $n; echo error $n >&2; done; sleep 0.3")]}),
    );
    create(&socket, "odd", &odd());
    create(&socket, "broken", &json!({"Image": BASE, "Entrypoint": ["/nonexistent/canary-state-error"]}));
    let failed = client::post(&socket, "/containers/broken/start", &Value::Null);
    assert!(failed.text().contains("canary-state-error"), "{}", failed.text());
    start_exec(&socket);
    assert_eq!(wait(&socket, "story"), 0);
    let state = || client::get(&socket, "/containers/web/json").json()["State"].clone();
    assert!(eventually(TIMEOUT, || state()["Health"]["Status"] == "healthy"), "{:#}", state());
}

/// A container of the base image without a network, which ends at once when it is stopped.
pub(crate) fn detached(command: &[&str]) -> Value {
    json!({"Image": BASE, "Cmd": command, "StopSignal": "SIGKILL", "HostConfig": {"NetworkMode": "none"}})
}

/// Creates a container and starts it.
#[track_caller]
pub(crate) fn start(socket: &Path, name: &str, body: &Value) {
    create(socket, name, body);
    let started = client::post(socket, &format!("/containers/{name}/start"), &Value::Null);
    assert_eq!(started.status(), 204, "{}", started.text());
}

/// Creates a container.
#[track_caller]
pub(crate) fn create(socket: &Path, name: &str, body: &Value) {
    create_object(socket, &format!("/containers/create?name={name}"), body.clone());
}

/// Waits until a container has ended, and returns its exit code.
#[track_caller]
pub(crate) fn wait(socket: &Path, name: &str) -> i64 {
    let ended = client::post(socket, &format!("/containers/{name}/wait"), &Value::Null);
    ended.json()["StatusCode"].as_i64().unwrap_or_else(|| panic!("{name}: {}", ended.text()))
}

/// Runs a container to its end and removes it. When this returns, all its events have been written.
#[track_caller]
pub(crate) fn run_and_remove(socket: &Path, name: &str, body: &Value) {
    start(socket, name, body);
    wait(socket, name);
    remove(socket, name);
}

/// Creates an exec and returns its id.
#[track_caller]
pub(crate) fn exec(socket: &Path, container: &str, body: &Value) -> String {
    let created = client::post(socket, &format!("/containers/{container}/exec"), body);
    assert_eq!(created.status(), 201, "{}", created.text());
    created.json()["Id"].as_str().unwrap().to_owned()
}

/// Removes a container, if there is one, with its volumes.
pub(crate) fn remove(socket: &Path, name: &str) {
    client::delete(socket, &format!("/containers/{name}?force=1&v=1"));
}

/// A POST that must create something.
#[track_caller]
pub(crate) fn create_object(socket: &Path, target: &str, body: Value) {
    let answer = client::post(socket, target, &body);
    assert_eq!(answer.status(), 201, "{target}: {}", answer.text());
}

/// Imports the image `base:1`: a static busybox under the names that the tests use.
#[track_caller]
pub(crate) fn import(socket: &Path) {
    let (repository, tag) = BASE.split_once(':').unwrap();
    let target = format!("/images/create?fromSrc=-&repo={repository}&tag={tag}&message=canary-import-message");
    load(socket, &target, &base());
}

/// The archive of the base image.
#[track_caller]
pub(crate) fn base() -> Vec<u8> {
    let busybox = std::fs::read(super::engine::find("busybox").unwrap()).unwrap();
    let mut tar = Tar::default()
        .directory("tmp", 0o1777)
        .directory("etc", 0o755)
        .file("etc/passwd", 0o644, b"root:x:0:0::/:/bin/sh\nshown-user:x:1000:1000::/:/bin/sh\n")
        .file("etc/group", 0o644, b"root:x:0:\nshown-group:x:1000:\n")
        .directory("bin", 0o755)
        .file("bin/busybox", 0o755, &busybox);
    for name in ["sh", "cat", "echo", "ls", "sleep", "stty", "tty", "true", "wget"] {
        tar = tar.link(&format!("bin/{name}"), "busybox");
    }
    tar.finish()
}

/// A POST of an archive. The progress that comes back must not report an error.
#[track_caller]
pub(crate) fn load(socket: &Path, target: &str, archive: &[u8]) {
    let answer = client::request(socket, "POST", target, &["Content-Type: application/x-tar"], archive);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert!(!answer.text().contains("\"error\""), "{}", answer.text());
}

/// Waits for the next second. An engine lists images by the second in which they were made, and those of one in any order.
#[track_caller]
fn next_second() {
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let now = second();
    assert!(eventually(TIMEOUT, || second() > now), "time stands still");
}

/// Builds the image `shop/web:1`, with canaries in its configuration and its history.
#[track_caller]
fn build(socket: &Path) {
    next_second();
    let dockerfile = format!(
        "FROM {BASE}\n\
         MAINTAINER canary-image-author\n\
         ARG SECRET=canary-build-argument\n\
         ENV IMAGE_TOKEN=canary-image-env\n\
         LABEL image.key=canary-image-label\n\
         RUN true canary-image-history\n\
         VOLUME /canary-image-volume\n\
         ONBUILD RUN true canary-image-onbuild\n"
    );
    let context = Tar::default().file("Dockerfile", 0o644, dockerfile.as_bytes()).finish();
    load(socket, &format!("/build?t={IMAGE}&networkmode=none"), &context);
}

/// A network with options.
fn network() -> Value {
    json!({
        "Name": "shop", "Driver": "bridge",
        "Labels": {"owner": "canary-network-label"},
        "Options": {"com.example.option": "canary-network-option"},
        "IPAM": {"Driver": "default", "Config": [{"Subnet": "172.31.77.0/24"}]},
    })
}

/// A volume with options: it is on a file server that asks for a password.
fn volume() -> Value {
    json!({
        "Name": "archive", "Driver": "local",
        "Labels": {"owner": "canary-volume-label"},
        "DriverOpts": {"type": "nfs", "device": ":/canary-volume-device", "o": "addr=192.0.2.1,password=canary-volume-option"},
    })
}

/// A container with the options that real ones have. `folder` is the engine's.
fn web(folder: &Path) -> Value {
    json!({
        "Image": IMAGE,
        "Entrypoint": ["sh", "-c", "echo canary-log; echo canary-error-log >&2; while :; do sleep 1000; done", "canary-entrypoint"],
        "Cmd": ["canary-command"],
        "Env": ["TOKEN=canary-env", "DATABASE_URL=postgres://shop:canary-env-url@db/shop", "canary-env-name=1", "JSON={\"k\":\"canary-env-json\"}"],
        "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web",
            "owner": "canary-label", "canary-label-name": "1",
            "com.docker.compose.project.working_dir": "/home/canary-label-directory"},
        "Hostname": "shown-hostname", "Domainname": "shown-domainname.test",
        "User": "shown-user", "WorkingDir": "/tmp/canary-working-directory",
        "StopSignal": "SIGKILL",
        "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/canary-volume-target": {}},
        "Healthcheck": {"Test": ["CMD-SHELL", "echo canary-health-output; true canary-health-command"], "Interval": 1_000_000_000_u64},
        "HostConfig": {
            "Binds": [format!("{}:/canary-bind-target:ro", folder.join("canary-bind-source").display())],
            "Tmpfs": {"/canary-tmpfs": "size=65536"},
            "Mounts": [{"Type": "volume", "Source": "data", "Target": "/canary-mount-target", "VolumeOptions": {
                "Labels": {"owner": "canary-mount-label"}}}],
            "LogConfig": {"Type": "json-file", "Config": {"tag": "canary-log-tag", "labels": "canary-log-labels", "env": "canary-log-env"}},
            "NetworkMode": "shop", "PortBindings": {"80/tcp": [{"HostPort": "18080"}]},
            "ExtraHosts": ["shown-extra-host:192.0.2.7"], "Dns": ["192.0.2.8"],
            "DnsSearch": ["shown-dns-search.test"], "DnsOptions": ["shown-dns-option"],
            "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/canary-device", "CgroupPermissions": "r"}],
            "GroupAdd": ["shown-group"], "ContainerIDFile": "/run/canary-container-id-file",
            "Sysctls": {"kernel.domainname": "canary-sysctl"}, "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        },
        "NetworkingConfig": {"EndpointsConfig": {"shop": {
            "Aliases": ["shown-alias"], "DriverOpts": {"com.example.option": "canary-endpoint-option"}}}},
    })
}

/// A container with options that keep it from starting.
fn odd() -> Value {
    json!({
        "Image": IMAGE, "Cmd": ["true"], "Shell": ["/bin/sh", "-c", "canary-shell"], "OnBuild": ["RUN canary-onbuild"],
        "HostConfig": {
            "Tmpfs": {"/canary-tmpfs-target": "rw,context=canary-tmpfs-option"},
            "SecurityOpt": ["seccomp={\"comment\":\"canary-seccomp\"}", "label=type:canary-security-option"],
            "LogConfig": {"Type": "splunk", "Config": {"splunk-token": "canary-log-option", "splunk-url": "https://192.0.2.9"}},
            "CgroupParent": "/canary-cgroup-parent", "Links": ["ticker:odd-link"],
            "DeviceRequests": [{"Driver": "canary-device-driver", "DeviceIDs": ["canary-device-id"],
                "Options": {"k": "canary-device-option"}, "Capabilities": [["canary-device-capability"]]}],
            "MaskedPaths": ["/canary-masked-path"], "ReadonlyPaths": ["/canary-read-only-path"],
            "Mounts": [{"Type": "volume", "Source": "files", "Target": "/files", "VolumeOptions": {"DriverConfig": {"Name": "local",
                "Options": {"type": "nfs", "device": ":/canary-driver-device", "o": "addr=192.0.2.1,password=canary-driver-option"}}}}],
        },
    })
}

/// Starts a process in `web` that goes on running, with canaries in its command line and its environment.
#[track_caller]
fn start_exec(socket: &Path) {
    let body = json!({"Cmd": ["sh", "-c", "while :; do sleep 1000; done", "canary-exec-command"], "Env": ["TOKEN=canary-exec-env"]});
    let id = exec(socket, "web", &body);
    let started = client::post(socket, &format!("/exec/{id}/start"), &json!({"Detach": true}));
    assert_eq!(started.status(), 200, "{}", started.text());
}
