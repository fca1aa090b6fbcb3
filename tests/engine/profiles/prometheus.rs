//! What Prometheus discovers: the same targets at the engine and through a profile, with fewer labels.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::support::proxy::Proxy;
use super::super::support::{client, engine, eventually, installed, seed};
use super::{check_canaries, stage};

/// The labels of one target before any relabelling.
type Labels = BTreeMap<String, String>;

/// A Prometheus that runs until it is dropped.
struct Prometheus {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Prometheus {
    /// Starts it with these jobs, and keeps what it writes in a folder beside a proxy's socket.
    fn start(program: &str, beside: &Path, jobs: &[String]) -> Prometheus {
        let folder = beside.with_file_name("prometheus");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("prometheus.yml"), format!("scrape_configs:\n{}", jobs.concat())).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        Prometheus { child, port, folder }
    }

    /// The targets of a job whose labels are as asked for, in the order of their labels; none while it does not answer.
    fn targets(&self, job: &str, asked: impl Fn(&Labels) -> bool) -> Vec<Labels> {
        let targets: Value = serde_json::from_str(&page(self.port, "/api/v1/targets")).unwrap_or_default();
        let targets = targets["data"]["activeTargets"].as_array().cloned().unwrap_or_default().into_iter();
        let labels =
            targets.map(|target| serde_json::from_value::<Labels>(target["discoveredLabels"].clone()).unwrap());
        let mut found: Vec<_> = labels.filter(|labels| labels["job"] == job && asked(labels)).collect();
        // By what is the same on both sides.
        found.sort_by_key(|labels| {
            let same = labels.iter().filter(|(label, _)| !label.contains("_label_") && *label != "job");
            same.map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>()
        });
        found
    }

    /// What it has logged.
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of a GET of a page on this machine; empty while nobody listens.
fn page(port: u16, target: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let asked = write!(stream, "GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        let _ = asked.and_then(|()| stream.read_to_string(&mut answer));
    }
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// Targets are the same, but for labels that begin in one of these ways: they are missing. Gives those that are.
#[track_caller]
fn check_targets(direct: &[Labels], through: &[Labels], may_be_missing: &[&str]) -> BTreeSet<String> {
    assert_eq!(through.len(), direct.len(), "{direct:#?}\n{through:#?}");
    let mut missing = BTreeSet::new();
    for (direct, through) in direct.iter().zip(through) {
        let added: Vec<_> = through.keys().filter(|label| !direct.contains_key(*label)).collect();
        assert!(added.is_empty(), "{added:?}");
        for (label, value) in direct {
            match through.get(label) {
                Some(other) => assert!(other == value || label == "job", "{label}: {other} and {value}"),
                None => {
                    assert!(may_be_missing.iter().any(|start| label.starts_with(start)), "{label} is missing");
                    missing.insert(label.clone());
                }
            }
        }
    }
    missing
}

/// One Prometheus with two jobs, which discover the same containers at the engine and through the profile.
#[test]
fn prometheus_finds_the_same_containers_with_fewer_labels() {
    let Some(program) = installed::client("prometheus") else { return };
    let Some((engine, proxy)) = stage("prometheus") else { return };
    let job = |name: &str, socket: &Path| {
        let socket = socket.display();
        format!("  - job_name: {name}\n    docker_sd_configs: [{{host: \"unix://{socket}\", refresh_interval: 1s}}]\n")
    };
    let jobs = [job("direct", &engine.socket()), job("through", &proxy.socket())];
    let prometheus = Prometheus::start(&program, &proxy.socket(), &jobs);
    let discovered = |job: &str| prometheus.targets(job, |labels| labels["__meta_docker_container_name"] == "/web");
    let both = eventually(client::PATIENCE, || !discovered("direct").is_empty() && !discovered("through").is_empty());
    assert!(both, "{}", prometheus.log());
    let (direct, through) = (discovered("direct"), discovered("through"));
    check_targets(&direct, &through, &["__meta_docker_container_label_", "__meta_docker_network_label_"]);
    for target in &through {
        assert_eq!(target["__meta_docker_container_label_com_docker_compose_project"], "shop");
    }
    check_canaries("Prometheus 2.42.0, docker_sd", &format!("{direct:?}"), &format!("{through:?}"));
}

/// One Prometheus with two jobs for each role, which discover the same swarm of one node.
#[test]
fn prometheus_finds_the_same_swarm_with_fewer_labels() {
    let Some(program) = installed::client("prometheus") else { return };
    let Some(engine) = engine::private("prometheus-swarm") else { return };
    let socket = engine.socket();
    seed::import(&socket);
    let docker = |arguments: &[&str]| installed::shown(&socket, &[&["docker"], arguments].concat());
    docker(&["swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377"]);
    let node = docker(&["info", "--format", "{{.Swarm.NodeID}}"]);
    let labels = ["--label-add", "owner=canary-node-label", "--label-add", "prometheus-zone=a"];
    docker(&[&["node", "update"], &labels[..], &[node.trim()]].concat());
    docker(&["network", "create", "--driver", "overlay", "--label", "owner=canary-network-label", "mesh"]);
    let service = json!({
        "Name": "shop",
        "Labels": {"owner": "canary-service-label", "prometheus-job": "shop", "com.docker.stack.namespace": "stack"},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": seed::BASE, "Command": ["sh", "-c", "while :; do sleep 1000; done", "canary-command"],
                "Hostname": "shop", "Env": ["TOKEN=canary-env"], "StopGracePeriod": 0,
                "Labels": {"owner": "canary-container-label", "prometheus-path": "/metrics"},
            },
            "Networks": [{"Target": "mesh"}],
        },
        "Mode": {"Replicated": {"Replicas": 2}},
        "EndpointSpec": {"Ports": [{"Protocol": "tcp", "TargetPort": 9100, "PublishMode": "host"}]},
    });
    let made = client::post(&socket, "/services/create", &service);
    assert_eq!(made.status(), 201, "{}", made.text());
    let tasks = || client::get(&socket, "/tasks?filters=%7B%22desired-state%22:%5B%22running%22%5D%7D").json();
    let run = eventually(client::PATIENCE * 2, || {
        tasks().as_array().unwrap().iter().filter(|task| task["Status"]["State"] == "running").count() == 2
    });
    assert!(run, "{:#}", tasks());

    let proxy = Proxy::start(&socket, "prometheus-swarm");
    let roles = ["services", "tasks", "nodes"];
    let job = |side: &str, role: &str, socket: &Path| {
        let host = format!("host: \"unix://{}\"", socket.display());
        let discovery = format!("{{{host}, role: {role}, port: 9100, refresh_interval: 1s}}");
        format!("  - job_name: {side}-{role}\n    dockerswarm_sd_configs: [{discovery}]\n")
    };
    let jobs: Vec<String> = [("direct", &socket), ("through", &proxy.socket())]
        .iter()
        .flat_map(|(side, socket)| roles.map(|role| job(side, role, socket)))
        .collect();
    let prometheus = Prometheus::start(&program, &proxy.socket(), &jobs);
    let discovered = |side: &str, role: &str| prometheus.targets(&format!("{side}-{role}"), |_| true);
    let all = eventually(client::PATIENCE, || {
        roles.iter().all(|role| !discovered("direct", role).is_empty() && !discovered("through", role).is_empty())
    });
    assert!(all, "{}", prometheus.log());
    let (mut direct_all, mut through_all, mut missing) = (String::new(), String::new(), BTreeSet::new());
    for role in roles {
        let (direct, through) = (discovered("direct", role), discovered("through", role));
        missing.extend(check_targets(
            &direct,
            &through,
            &[
                "__meta_dockerswarm_service_label_",
                "__meta_dockerswarm_container_label_",
                "__meta_dockerswarm_node_label_",
                "__meta_dockerswarm_network_label_",
            ],
        ));
        direct_all.push_str(&format!("{direct:?}"));
        through_all.push_str(&format!("{through:?}"));
    }
    for kind in ["service", "container", "node", "network"] {
        let label = format!("__meta_dockerswarm_{kind}_label_owner");
        assert!(missing.contains(&label), "{label} is not hidden: {missing:?}");
    }
    assert!(through_all.contains("\"__meta_dockerswarm_service_label_prometheus_job\": \"shop\""), "{through_all}");
    check_canaries("Prometheus 2.42.0, dockerswarm_sd", &direct_all, &through_all);
}
