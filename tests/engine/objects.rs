//! A profile that shows only some containers, at an engine on which they come, go and change their names.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{self, Outcome, Test, tests};
use crate::support::proxy::Proxy;
use crate::support::{cli, client, engine, seed, variable};

pub(crate) const TESTS: &[Test] = tests![
    a_client_sees_its_project_and_nothing_else,
    names_that_change_show_no_hidden_container,
    an_operation_is_bound_to_a_container
];

pub(crate) const PROJECT: &str = "com.docker.compose.project";

/// A file with a profile `p` of these keys.
fn configuration(engine: &Path, keys: &str) -> impl FnOnce(&Path) -> String {
    let (engine, keys) = (engine.display().to_string(), keys.to_owned());
    move |socket: &Path| {
        let keys = keys.replace('\n', "\n    ");
        format!(
            "upstream: unix://{engine}\nlisteners:\n  - {{listen: \"unix://{}\", profile: p}}\nprofiles:\n  - profile: p\n    {keys}\n",
            socket.display()
        )
    }
}

pub(crate) fn start(engine: &Path, keys: &str) -> Proxy {
    Proxy::start_configured(configuration(engine, keys))
}

/// Allows and shows everything of the containers of one project.
const SHOP: &str = "allow: all\nshow: all\ncontainers: {only: [{project: shop}], never: [{label: hide}]}\n\
                    images: {only: used}\nvolumes: {only: used}\nnetworks: {only: used}\nservices: {only: [{label: shop}]}";

/// A container that sleeps, with labels and a volume.
fn sleeper(labels: &[(&str, &str)], volume: &str) -> Value {
    let labels: serde_json::Map<String, Value> =
        labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    json!({
        "Image": seed::BASE, "Cmd": ["sleep", "1000"], "StopSignal": "SIGKILL", "Labels": labels,
        "HostConfig": {"NetworkMode": "none", "Binds": [format!("{volume}:/data")]},
    })
}

fn a_client_sees_its_project_and_nothing_else() -> Outcome {
    let engine = engine::private("objects")?;
    let socket = engine.socket();
    seed::import(&socket);
    // An image that only a hidden container uses.
    client::post(&socket, &format!("/images/{}/tag?repo=veiled-image&tag=1", seed::BASE), &Value::Null);
    let shop = [(PROJECT, "shop")];
    seed::start(&socket, "web", &sleeper(&shop, "shop-data"));
    seed::create(&socket, "stopped", &sleeper(&shop, "shop-data"));
    for number in 0..46 {
        let labels = [(PROJECT, "veiled-project"), ("owner", "veiled-owner")];
        seed::create(&socket, &format!("veiled-{number}"), &sleeper(&labels, "veiled-data"));
    }
    seed::start(&socket, "veiled-running", &sleeper(&[], "veiled-data"));
    seed::start(&socket, "veiled-never", &sleeper(&[(PROJECT, "shop"), ("hide", "1")], "veiled-data"));
    let proxy = start(&socket, SHOP);
    let docker = |arguments: &[&str]| cli::docker(&proxy.socket(), arguments, "");
    let shown = |arguments: &[&str]| cli::outputs(&docker(arguments));
    let names: Vec<String> =
        shown(&["ps", "--all", "--format", "{{.Names}}"]).split_whitespace().map(str::to_owned).collect();
    assert!(names.contains(&"web".to_owned()) && names.contains(&"stopped".to_owned()), "{names:?}");
    let info = client::get(&proxy.socket(), "/info").json();
    assert_eq!((info["Containers"].as_u64(), info["ContainersRunning"].as_u64()), (Some(2), Some(1)));
    for arguments in [
        &["ps", "--all", "--no-trunc", "--size"][..],
        &["ps", "--last", "30"],
        &["ps", "--all", "--filter", "volume=veiled-data"],
        &["volume", "ls"],
        &["network", "inspect", "none"],
        &["system", "df", "--verbose"],
        &["info"],
        &["events", "--since", "10m", "--until", "0s"],
        &["inspect", "web"],
        &["stats", "--no-stream", "--all", "--no-trunc"],
    ] {
        let output = shown(arguments);
        assert!(!output.contains("veiled"), "{arguments:?}: {output}");
    }
    // What is hidden is absent, whatever is asked.
    for command in ["inspect", "logs", "top", "stop", "start", "pause", "wait", "diff", "port", "export", "rm", "kill"]
    {
        let of = |name: &str| shown(&[command, name]).replace(name, "NAME");
        assert_eq!(of("veiled-running"), of("veiled-absent"), "{command}");
    }
    assert!(client::get(&socket, "/containers/veiled-running/json").json()["State"]["Running"].as_bool().unwrap());
    assert_eq!(shown(&["exec", "web", "echo", "hello"]).trim(), "hello");
    // The docker command sends filters as maps.
    for (filters, expected) in [
        (["since=web", "status=created"], "stopped"),
        (["before=stopped", "status=running"], "web"),
        (["ancestor=base:1", "status=running"], "web"),
    ] {
        let [first, second] = filters.map(|filter| format!("--filter={filter}"));
        let listed = shown(&["ps", "--all", "--format", "{{.Names}}", &first, &second]);
        assert_eq!(listed.trim(), expected, "{filters:?}");
    }
    // A container that the engine is to remove is gone when it cannot start, and who waits for that need not wait on.
    client::post(&socket, "/networks/create", &json!({"Name": "veiled-net"}));
    for network in ["veiled-net", "absent-net"] {
        let label = format!("{PROJECT}=shop");
        let run = docker(&["run", "--rm", "--label", &label, "--network", network, seed::BASE, "true"]);
        assert_eq!(run.status.code(), Some(125), "{run:?}");
    }
    // The label tells the engine which it may remove.
    let stopped = client::get(&socket, "/containers/stopped/json").json()["Id"].as_str().unwrap().to_owned();
    let pruned = shown(&["container", "prune", "--force"]);
    assert!(pruned.contains(&stopped) && pruned.matches('\n').count() < 6, "{pruned}");
    let left = client::get(&socket, "/containers/json?all=1").json();
    assert_eq!(left.as_array().unwrap().len(), 49, "{left}");
    let denied = shown(&["image", "prune", "--force"]);
    assert!(denied.contains("depends on all containers and images"), "{denied}");
    Ok(())
}

/// How long names change, and how often at least. `DOCKVEIL_RACE_STEPS` asks for more.
const RACE: Duration = Duration::from_secs(4);

fn names_that_change_show_no_hidden_container() -> Outcome {
    let engine = engine::private("races")?;
    let socket = engine.socket();
    seed::import(&socket);
    for (name, secret) in [("web-1", "shown"), ("web-2", "shown"), ("other", "veiled-secret")] {
        seed::create(&socket, name, &sleeper(&[("secret", secret)], "data"));
    }
    let proxy = start(&socket, "allow: all\nshow: all\ncontainers: {only: [{name: \"web-*\"}]}\nimages: {only: used}");
    let least: usize = variable("DOCKVEIL_RACE_STEPS").and_then(|steps| steps.parse().ok()).unwrap_or(0);
    let (is_over, steps, asked) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let hidden: String = client::get(&socket, "/containers/other/json").json()["Id"].as_str().unwrap().to_owned();
    let rename = |from: &str, to: &str| {
        let answer = client::post(&socket, &format!("/containers/{from}/rename?name={to}"), &Value::Null);
        assert_eq!(answer.status(), 204, "{}", answer.text());
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let end = Instant::now() + RACE;
            while Instant::now() < end || steps.load(Ordering::Relaxed) < least {
                // Under its other name it is hidden.
                rename("web-2", "resting");
                rename("resting", "web-2");
                seed::create(&socket, "veiled-new", &sleeper(&[("secret", "veiled-secret")], "data"));
                seed::remove(&socket, "veiled-new");
                steps.fetch_add(4, Ordering::Relaxed);
            }
            is_over.store(true, Ordering::Relaxed);
        });
        for worker in 0..2 {
            let (is_over, asked, proxy, hidden) = (&is_over, &asked, &proxy, &hidden);
            scope.spawn(move || {
                let targets = [
                    "/containers/json?all=1".to_owned(),
                    "/containers/web-2/json".to_owned(),
                    "/containers/resting/json".to_owned(),
                    "/containers/veiled-new/json".to_owned(),
                    format!("/containers/{hidden}/json"),
                    format!("/containers/{}/json", &hidden[..12]),
                    "/system/df".to_owned(),
                    "/events?since=1&until=1".to_owned(),
                ];
                let mut number = worker;
                while !is_over.load(Ordering::Relaxed) {
                    let target = &targets[number % targets.len()];
                    let answer = client::get(&proxy.socket(), target);
                    assert!(!answer.text().contains("veiled-secret"), "{target}: {}", answer.text());
                    let is_hidden = ["veiled", hidden, &hidden[..12]].iter().any(|name| target.contains(name));
                    let expected: &[u16] = if is_hidden { &[404] } else { &[200, 404] };
                    assert!(expected.contains(&answer.status()), "{target}: {}", answer.text());
                    number += 1;
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let (steps, asked) = (steps.into_inner(), asked.into_inner());
    harness::note(&format!("{steps} changes, {asked} requests"));
    assert!(steps > 20 && asked > 50, "{steps} {asked}");
    Ok(())
}

fn an_operation_is_bound_to_a_container() -> Outcome {
    let engine = engine::read_write()?;
    let socket = engine.socket();
    for name in ["amuled", "bystander"] {
        seed::start(&socket, name, &seed::detached(&["sleep", "1000"]));
    }
    let proxy = start(
        &socket,
        "allow: [Ping, ContainerList, {ContainerRestart: {only: [{name: amuled}]}}]\nshow: [identity, state]",
    );
    let started =
        |name: &str| client::get(&socket, &format!("/containers/{name}/json")).json()["State"]["StartedAt"].clone();
    let before = ["amuled", "bystander"].map(started);
    let restart = |name: &str| {
        let mut command = Command::new("docker");
        command
            .args(["restart", "--time", "0", name])
            .env("DOCKER_HOST", format!("unix://{}", proxy.socket().display()));
        command.output().unwrap()
    };
    assert!(restart("amuled").status.success());
    let denied = restart("bystander");
    assert!(
        String::from_utf8_lossy(&denied.stderr).contains("allows ContainerRestart for some objects only"),
        "{denied:?}"
    );
    let after = ["amuled", "bystander"].map(started);
    assert!(before[0] != after[0] && before[1] == after[1], "{before:?} {after:?}");
    for name in ["amuled", "bystander"] {
        seed::remove(&socket, name);
    }
    Ok(())
}
