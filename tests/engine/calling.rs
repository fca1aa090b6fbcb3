//! Clients that are known by the container that they run in: real containers of a real engine, over its network and over a
//! socket that is mounted into them.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Outcome, Test, tests};
use crate::support::engine::Engine;
use crate::support::proxy::Proxy;
use crate::support::{cli, client, engine, installed, seed};

pub(crate) const TESTS: &[Test] = tests![
    a_container_has_the_profile_that_its_labels_select,
    an_address_that_went_to_another_container_is_that_one,
    a_container_of_podman_has_the_profile_that_its_labels_select
];

/// What lists cannot inspect, and the other way round.
const PROFILES: &str = "profiles:\n  - {profile: lists, allow: [Ping, ContainerList], show: [identity]}\n  - {profile: inspects, \
                        allow: [Ping, ContainerInspect], show: [identity]}\n";
const CLIENTS: &str = "[{container: {label: dockveil.profile}, profiles: [lists, inspects]}, {container: {project: shop}, \
                       profile: inspects}]";
const LIST: &str = "/containers/json";
const INSPECT: &str = "/containers/labelled/json";

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum May {
    List,
    Inspect,
    Nothing,
    /// It is not known who it is.
    Unknown,
}

/// The program in the namespaces of an engine, on a socket and at port 2375 of its network.
fn start(engine: &Engine) -> Proxy {
    let upstream = engine.socket().display().to_string();
    Proxy::start_inside(engine, move |socket| {
        format!(
            "upstream: unix://{upstream}\nlisteners:\n  - listen: unix://{}\n    mode: \"0666\"\n    clients: {CLIENTS}\n  - listen: \
             tcp://0.0.0.0:2375\n    hosts: [\"*\"]\n    clients: {CLIENTS}\n{PROFILES}",
            socket.display()
        )
    })
}

/// A folder with curl and the libraries that it needs, for containers that have nothing.
fn install_curl(folder: &Path) -> Result<(), crate::harness::Ignored> {
    let curl = installed::program("curl")?;
    let script = "set -e; cp \"$1\" \"$2/curl\"; ldd \"$1\" | grep -o '/[^ ]*' | xargs -I '{}' cp -L '{}' \"$2\"; cd \"$2\"; mv ld-linux* ld.so";
    let done = Command::new("sh").args(["-c", script, "sh", &curl]).arg(folder).status().unwrap();
    assert!(done.success());
    Ok(())
}

/// A container on the network, with this address, which sleeps. The folder of the program is mounted at `/proxy`.
fn sleeper(proxy: &Proxy, labels: &Value, address: &str) -> Value {
    json!({
        "Image": seed::BASE, "Cmd": ["sleep", "1000"], "StopSignal": "SIGKILL", "Labels": labels,
        "HostConfig": {"NetworkMode": "callers", "Binds": [format!("{}:/proxy", proxy.folder().display())]},
        "NetworkingConfig": {"EndpointsConfig": {"callers": {"IPAMConfig": {"IPv4Address": address}}}},
    })
}

/// What two answers say that a client may do: to a list, and to an inspection.
fn may(ask: impl Fn(&str) -> String) -> May {
    let [list, inspect] = [LIST, INSPECT].map(ask);
    let denied = |answer: &str| answer.contains("denied by policy") || answer.contains("403 Forbidden");
    match (denied(&list), denied(&inspect)) {
        (false, true) if list.contains("/labelled") => May::List,
        (true, false) if inspect.contains("\"Id\"") => May::Inspect,
        (true, true) if list.contains("it is not known which container") => May::Unknown,
        (true, true) => May::Nothing,
        _ => panic!("{list}\n{inspect}"),
    }
}

/// What a container may do over the network: its own wget says so.
fn may_over_network(engine: &Path, name: &str, gateway: &str) -> May {
    may(|target| {
        let url = format!("http://{gateway}:2375{target}");
        cli::outputs(&cli::docker(engine, &["exec", name, "wget", "-q", "-O", "-", &url], ""))
    })
}

/// What a container may do over the socket.
fn may_over_socket(engine: &Path, name: &str) -> May {
    may(|target| {
        let url = format!("http://d{target}");
        let curl =
            ["/proxy/ld.so", "--library-path", "/proxy", "/proxy/curl", "-sS", "--unix-socket", "/proxy/docker.sock"];
        cli::outputs(&cli::docker(engine, &[&["exec", name], &curl[..], &[&url]].concat(), ""))
    })
}

fn a_container_has_the_profile_that_its_labels_select() -> Outcome {
    let engine = engine::private("calling")?;
    let socket = engine.socket();
    seed::import(&socket);
    let subnet =
        json!({"Name": "callers", "IPAM": {"Config": [{"Subnet": "172.31.78.0/24", "Gateway": "172.31.78.1"}]}});
    seed::create_object(&socket, "/networks/create", subnet);
    let proxy = start(&engine);
    install_curl(proxy.folder())?;
    let callers = [
        ("labelled", json!({"dockveil.profile": "lists"}), May::List),
        ("other", json!({"dockveil.profile": "inspects", "com.docker.compose.project": "else"}), May::Inspect),
        ("shop", json!({"com.docker.compose.project": "shop"}), May::Inspect),
        // The label names no profile that is listed.
        ("greedy", json!({"dockveil.profile": "everything"}), May::Nothing),
        ("stranger", json!({}), May::Nothing),
    ];
    for (number, (name, labels, _)) in callers.iter().enumerate() {
        seed::start(&socket, name, &sleeper(&proxy, labels, &format!("172.31.78.{}", 10 + number)));
    }
    for (name, _, expected) in &callers {
        let found = [may_over_network(&socket, name, "172.31.78.1"), may_over_socket(&socket, name)];
        assert_eq!(found, [*expected; 2], "{name}:\n{}", proxy.log());
    }
    // A process of the host: over the network it is in no container, over the socket it is in none whose name is known.
    let outside = |arguments: &[&str]| {
        let [nsenter, network] = engine.inside();
        cli::outputs(&Command::new(nsenter).arg(network).args(["curl", "-sS"]).args(arguments).output().unwrap())
    };
    assert_eq!(may(|target| outside(&[&format!("http://172.31.78.1:2375{target}")])), May::Nothing);
    let path = proxy.socket().display().to_string();
    // The program is in another PID namespace: it does not see this process, so it does not know.
    assert_eq!(may(|target| outside(&["--unix-socket", &path, &format!("http://d{target}")])), May::Unknown);
    // The log names the container.
    let log = proxy.log();
    assert!(
        log.contains("client=\"container labelled 172.31.78.10:")
            && log.contains("client=\"container labelled uid 0 pid "),
        "{log}"
    );
    Ok(())
}

fn an_address_that_went_to_another_container_is_that_one() -> Outcome {
    let engine = engine::private("address")?;
    let socket = engine.socket();
    seed::import(&socket);
    let subnet =
        json!({"Name": "callers", "IPAM": {"Config": [{"Subnet": "172.31.79.0/24", "Gateway": "172.31.79.1"}]}});
    seed::create_object(&socket, "/networks/create", subnet);
    let proxy = start(&engine);
    let [address, gateway] = ["172.31.79.10", "172.31.79.1"];
    seed::start(&socket, "labelled", &sleeper(&proxy, &json!({"dockveil.profile": "lists"}), address));
    assert_eq!(may_over_network(&socket, "labelled", gateway), May::List);
    // A connection that is kept: each line on the standard input of the shell sends a request over it.
    let request = "GET /containers/json HTTP/1.1\\r\\nHost: d\\r\\n\\r\\n";
    let line = format!("while read line; do printf '{request}'; done | busybox nc {gateway} 2375");
    let mut kept = cli::Running::docker(&socket, &["exec", "--interactive", "labelled", "sh", "-c", &line]);
    for _ in 0..2 {
        kept.send("again\n");
        kept.expect(&["200 OK"]);
    }
    seed::remove(&socket, "labelled");
    // The connection ends with its container: nobody can go on with it.
    kept.end();
    seed::start(&socket, "next", &sleeper(&proxy, &json!({"com.docker.compose.project": "shop"}), address));
    let found = may(|target| {
        let target = target.replace("labelled", "next");
        let url = format!("http://{gateway}:2375{target}");
        cli::outputs(&cli::docker(&socket, &["exec", "next", "wget", "-q", "-O", "-", &url], ""))
    });
    assert_eq!(found, May::Inspect, "{}", proxy.log());
    seed::remove(&socket, "next");
    seed::start(&socket, "last", &sleeper(&proxy, &json!({}), address));
    assert_eq!(may_over_network(&socket, "last", gateway), May::Nothing);
    Ok(())
}

fn a_container_of_podman_has_the_profile_that_its_labels_select() -> Outcome {
    engine::check("podman")?;
    let engine = engine::start_podman("podman-calling").unwrap_or_else(|error| panic!("{error}"));
    let socket = engine.socket();
    seed::import(&socket);
    // Before version 5 Podman ignores the tag of an import.
    if client::get(&socket, &format!("/images/{}/json", seed::BASE)).status() == 404 {
        seed::create_object(&socket, "/images/base/tag?repo=base&tag=1", Value::Null);
    }
    let proxy = start(&engine);
    install_curl(proxy.folder())?;
    let callers = [
        ("labelled", json!({"dockveil.profile": "lists"}), May::List),
        ("shop", json!({"com.docker.compose.project": "shop"}), May::Inspect),
        ("stranger", json!({}), May::Nothing),
    ];
    for (name, labels, _) in &callers {
        let body = json!({
            "Image": seed::BASE, "Cmd": ["sleep", "1000"], "StopSignal": "SIGKILL", "Labels": labels,
            "HostConfig": {"NetworkMode": "none", "Binds": [format!("{}:/proxy", proxy.folder().display())]},
        });
        seed::start(&socket, name, &body);
    }
    for (name, _, expected) in &callers {
        assert_eq!(may_over_socket(&socket, name), *expected, "{name}:\n{}", proxy.log());
    }
    Ok(())
}
