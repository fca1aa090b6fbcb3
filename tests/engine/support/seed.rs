//! What the shared engine holds: images, containers, networks and volumes that carry a canary in every place where
//! people keep what is nobody's business.
//!
//! A canary is `canary-<place>`, or `shown-<place>` where the class of the place is one that the profile `dashboard` shows.
//! Names that a client has to know to ask for a thing carry none.

use std::path::Path;

use serde_json::{Value, json};

use super::client::{self, PATIENCE};
use super::engine::Engine;
use super::eventually;
use super::tar::Tar;

/// Flags of dockerd that show in `/info`.
pub(crate) const DAEMON_FLAGS: [&str; 6] = [
    "--label",
    "owner=canary-daemon-label",
    "--insecure-registry",
    "canary-insecure-registry.test:5000",
    "--registry-mirror",
    "https://canary-registry-mirror.test/",
];

/// Environment of dockerd that shows in `/info`. The proxy is not there, so that nothing asks a registry.
pub(crate) const DAEMON_ENVIRONMENT: [(&str, &str); 3] = [
    ("HTTP_PROXY", "http://user:password@canary-daemon-proxy.test:9"),
    ("HTTPS_PROXY", "http://user:password@canary-daemon-proxy.test:9"),
    ("NO_PROXY", "canary-daemon-no-proxy.test"),
];

/// The image with only a shell in it.
pub(crate) const BASE: &str = "base:1";

/// The image built on it, with canaries of its own.
pub(crate) const IMAGE: &str = "shop/web:1";

/// How many lines the container `story` has written to each of its outputs.
pub(crate) const STORY_LINES: usize = 300;

/// Fills an engine.
///
/// | container | what it is |
/// |---|---|
/// | `web` | running and healthy; every option that a running container can have |
/// | `terminal` | running with a terminal, reading its input |
/// | `ticker` | running, writes a line five times a second |
/// | `story` | ended with 0; a log of known length on both outputs |
/// | `odd` | never started; options that no engine here could honour |
/// | `broken` | could not be started; the engine's error quotes its command |
pub(crate) fn plant(engine: &Engine) {
    let socket = engine.socket();
    import(&socket);
    build(&socket);
    make(&socket, "/networks/create", network());
    make(&socket, "/volumes/create", volume());
    std::fs::create_dir_all(engine.directory().join("canary-bind-source")).unwrap();
    container(&socket, "web", web(engine.directory()));
    container(
        &socket,
        "terminal",
        json!({"Image": BASE, "Tty": true, "OpenStdin": true,
        "Cmd": ["sh", "-c", "echo canary-terminal-log; cat"]}),
    );
    container(
        &socket,
        "ticker",
        json!({"Image": BASE,
        "Cmd": ["sh", "-c", "n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.2; done"]}),
    );
    container(
        &socket,
        "story",
        json!({"Image": BASE, "Cmd": ["sh", "-c", format!(
        "n=0; while [ $n -lt {STORY_LINES} ]; do n=$((n+1)); echo out $n; echo error $n >&2; done")]}),
    );
    create(&socket, "odd", &odd());
    create(&socket, "broken", &json!({"Image": BASE, "Entrypoint": ["/nonexistent/canary-state-error"]}));
    let failed = client::post(&socket, "/containers/broken/start", &Value::Null);
    assert!(failed.text().contains("canary-state-error"), "{}", failed.text());
    exec(&socket);
    let inspect = |name: &str| client::get(&socket, &format!("/containers/{name}/json")).json();
    let settled = eventually(PATIENCE, || {
        inspect("web")["State"]["Health"]["Status"] == "healthy" && inspect("story")["State"]["Status"] == "exited"
    });
    assert!(settled, "{:#}", inspect("web")["State"]);
}

/// Creates a container and starts it.
#[track_caller]
pub(crate) fn container(socket: &Path, name: &str, body: Value) {
    create(socket, name, &body);
    let started = client::post(socket, &format!("/containers/{name}/start"), &Value::Null);
    assert_eq!(started.status(), 204, "{}", started.text());
}

/// Creates a container and leaves it at that.
#[track_caller]
pub(crate) fn create(socket: &Path, name: &str, body: &Value) {
    make(socket, &format!("/containers/create?name={name}"), body.clone());
}

/// A POST that must create something.
#[track_caller]
fn make(socket: &Path, target: &str, body: Value) {
    let answer = client::post(socket, target, &body);
    assert_eq!(answer.status(), 201, "{target}: {}", answer.text());
}

/// The image `base:1`: a static busybox under the names that the tests use, imported without a registry.
#[track_caller]
pub(crate) fn import(socket: &Path) {
    let busybox = std::fs::read(super::engine::find("busybox").unwrap()).unwrap();
    let mut tar = Tar::default()
        .directory("tmp", 0o1777)
        .directory("etc", 0o755)
        .file("etc/passwd", 0o644, b"root:x:0:0::/:/bin/sh\nshown-user:x:1000:1000::/:/bin/sh\n")
        .file("etc/group", 0o644, b"root:x:0:\nshown-group:x:1000:\n")
        .directory("bin", 0o755)
        .file("bin/busybox", 0o755, &busybox);
    for name in ["sh", "cat", "echo", "sleep", "stty", "tty", "true", "wget"] {
        tar = tar.link(&format!("bin/{name}"), "busybox");
    }
    let (repository, tag) = BASE.split_once(':').unwrap();
    let target = format!("/images/create?fromSrc=-&repo={repository}&tag={tag}&message=canary-import-message");
    load(socket, &target, &tar.finish());
}

/// A POST of an archive, of which the progress must not end in an error.
#[track_caller]
pub(crate) fn load(socket: &Path, target: &str, archive: &[u8]) {
    let answer = client::request(socket, "POST", target, &["Content-Type: application/x-tar"], archive);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert!(!answer.text().contains("\"error\""), "{}", answer.text());
}

/// The image `shop/web:1`: canaries in its configuration and in its history.
#[track_caller]
fn build(socket: &Path) {
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

/// A volume with options, on a file server with a password.
fn volume() -> Value {
    json!({
        "Name": "archive", "Driver": "local",
        "Labels": {"owner": "canary-volume-label"},
        "DriverOpts": {"type": "nfs", "device": ":/canary-volume-device", "o": "addr=192.0.2.1,password=canary-volume-option"},
    })
}

/// The container that stands for a real one. `directory` is on the engine's machine.
fn web(directory: &Path) -> Value {
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
            "Binds": [format!("{}:/canary-bind-target:ro", directory.join("canary-bind-source").display())],
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

/// A container of options that would not start.
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

/// A process in `web` whose command line and environment are canaries; it goes on running.
#[track_caller]
fn exec(socket: &Path) {
    let body = json!({"Cmd": ["sh", "-c", "while :; do sleep 1000; done", "canary-exec-command"], "Env": ["TOKEN=canary-exec-env"]});
    let created = client::post(socket, "/containers/web/exec", &body).json();
    let id = created["Id"].as_str().unwrap();
    let started = client::post(socket, &format!("/exec/{id}/start"), &json!({"Detach": true}));
    assert_eq!(started.status(), 200, "{}", started.text());
}
