//! Prometheus discovers the same targets at the engine and through a profile, with fewer labels.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{behind, check_canaries};
use crate::harness::{Outcome, Test, tests};
use crate::support::client::TIMEOUT;
use crate::support::process::{Folder, Process};
use crate::support::proxy::Proxy;
use crate::support::{cli, client, engine, eventually, installed, loopback, seed};

pub(crate) const TESTS: &[Test] =
    tests![prometheus_finds_the_same_swarm_with_fewer_labels, prometheus_finds_the_same_containers_with_fewer_labels,];

/// The labels of a target before relabelling.
type Labels = BTreeMap<String, String>;

/// A running Prometheus. Dropping it kills it and removes its folder.
struct Prometheus {
    _process: Process,
    address: SocketAddr,
    folder: Folder,
}

impl Prometheus {
    /// Starts it with these jobs in a new folder. It listens on an address that ends in `last`.
    fn start(program: &str, name: &str, last: u8, jobs: &[String]) -> Prometheus {
        let folder = Folder::new(name);
        let configuration = folder.path().join("prometheus.yml");
        std::fs::write(&configuration, format!("scrape_configs:\n{}", jobs.concat())).unwrap();
        let address = SocketAddr::from((loopback(last), 9090));
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let process = Process::spawn(&mut command, &folder, "prometheus");
        Prometheus { _process: process, address, folder }
    }

    /// The targets of a job that satisfy a condition, ordered by their labels. There are none before Prometheus answers.
    fn targets(&self, job: &str, condition: impl Fn(&Labels) -> bool) -> Vec<Labels> {
        let targets: Value = serde_json::from_str(&page(self.address, "/api/v1/targets")).unwrap_or_default();
        let targets = targets["data"]["activeTargets"].as_array().cloned().unwrap_or_default().into_iter();
        let labels =
            targets.map(|target| serde_json::from_value::<Labels>(target["discoveredLabels"].clone()).unwrap());
        let mut found: Vec<_> = labels.filter(|labels| labels["job"] == job && condition(labels)).collect();
        // By the labels that are the same on both sides.
        found.sort_by_key(|labels| {
            let same = labels.iter().filter(|(label, _)| !label.contains("_label_") && *label != "job");
            same.map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>()
        });
        found
    }

    /// What it has logged.
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// The body of a page, by GET. It is empty while nobody listens at the address.
fn page(address: SocketAddr, target: &str) -> String {
    let mut response = String::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        let _ = stream.set_read_timeout(Some(TIMEOUT));
        let sent = write!(stream, "GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        let _ = sent.and_then(|()| stream.read_to_string(&mut response));
    }
    response.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// The targets on both sides are the same, except that labels with one of these prefixes may be missing. Returns the missing
/// labels.
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
fn prometheus_finds_the_same_containers_with_fewer_labels() -> Outcome {
    let program = installed::client("prometheus")?;
    let (engine, proxy) = behind("prometheus")?;
    let job = |name: &str, socket: &Path| {
        let socket = socket.display();
        format!("  - job_name: {name}\n    docker_sd_configs: [{{host: \"unix://{socket}\", refresh_interval: 1s}}]\n")
    };
    let jobs = [job("direct", &engine.socket()), job("through", &proxy.socket())];
    let prometheus = Prometheus::start(&program, "prometheus", 201, &jobs);
    let discovered = |job: &str| prometheus.targets(job, |labels| labels["__meta_docker_container_name"] == "/web");
    let both = eventually(TIMEOUT, || !discovered("direct").is_empty() && !discovered("through").is_empty());
    assert!(both, "{}", prometheus.log());
    let (direct, through) = (discovered("direct"), discovered("through"));
    check_targets(&direct, &through, &["__meta_docker_container_label_", "__meta_docker_network_label_"]);
    for target in &through {
        assert_eq!(target["__meta_docker_container_label_com_docker_compose_project"], "shop");
    }
    check_canaries("Prometheus 2.42.0, docker_sd", &format!("{direct:?}"), &format!("{through:?}"));
    Ok(())
}

/// One Prometheus with two jobs for each role, which discover the same swarm of one node.
fn prometheus_finds_the_same_swarm_with_fewer_labels() -> Outcome {
    let program = installed::client("prometheus")?;
    let engine = engine::private("prometheus-swarm")?;
    let socket = engine.socket();
    seed::import(&socket);
    let docker = |arguments: &[&str]| cli::stdout(&socket, &[&["docker"], arguments].concat());
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
    let created = client::post(&socket, "/services/create", &service);
    assert_eq!(created.status(), 201, "{}", created.text());
    let tasks = || client::get(&socket, "/tasks?filters=%7B%22desired-state%22:%5B%22running%22%5D%7D").json();
    let run = eventually(TIMEOUT * 2, || {
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
    let prometheus = Prometheus::start(&program, "prometheus-of-swarm", 202, &jobs);
    let discovered = |side: &str, role: &str| prometheus.targets(&format!("{side}-{role}"), |_| true);
    let all = eventually(TIMEOUT, || {
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
    Ok(())
}
