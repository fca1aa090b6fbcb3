//! What people look at first: the docker command through its profile prints what it prints at the engine, line by line, but for
//! what is hidden for a reason.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Outcome, Test, tests};
use crate::support::proxy::Proxy;
use crate::support::{assert_no_canary, cli, client, engine, installed, seed};

pub(crate) const TESTS: &[Test] = tests![
    the_docker_command_of_the_system_prints_no_empty_rows,
    the_newest_docker_command_prints_no_empty_rows,
    nothing_that_is_hidden_comes_out_of_the_first_look,
    an_agent_sees_health_mounts_and_labels,
];

/// Commands that print one fact a line, or a table.
const COMMANDS: &[&[&str]] = &[
    &["version"],
    &["version", "--format", "{{json .Server}}"],
    &["info"],
    &[
        "images",
        "--all",
        "--no-trunc",
        "--format",
        "{{.Repository}}|{{.Tag}}|{{.Digest}}|{{.ID}}|{{.CreatedAt}}|{{.Size}}",
    ],
    &["network", "ls", "--no-trunc"],
    &["volume", "ls"],
    &[
        "ps",
        "--all",
        "--no-trunc",
        "--format",
        "{{.ID}}|{{.Names}}|{{.Image}}|{{.State}}|{{.Ports}}|{{.LocalVolumes}}|{{.Networks}}",
    ],
    &["system", "df"],
    &["port", "web"],
    &["network", "inspect", "shop", "--format", "{{.Name}}|{{.Driver}}|{{.Scope}}|{{.IPAM.Driver}}|{{.Internal}}"],
    &["volume", "inspect", "archive", "--format", "{{.Name}}|{{.Driver}}|{{.Scope}}"],
    &[
        "inspect",
        "web",
        "--format",
        "{{.Driver}}|{{.Platform}}|{{.GraphDriver.Name}}|{{.HostConfig.LogConfig.Type}}|{{.HostConfig.Runtime}}",
    ],
    &["image", "inspect", "shop/web:1", "--format", "{{.Os}}|{{.Architecture}}|{{.GraphDriver.Name}}|{{.Size}}"],
];

/// Lines of `docker info` that differ, by how they begin, and why. A line with nothing before its colon belongs to the one
/// above it.
const INFO: &[(&str, &str)] = &[
    ("  Backing Filesystem:", "a line of the storage driver: with some drivers, names of pools and paths"),
    ("  Supports d_type:", "a line of the storage driver"),
    ("  Using metacopy:", "a line of the storage driver"),
    ("  Native Overlay Diff:", "a line of the storage driver"),
    ("  userxattr:", "a line of the storage driver"),
    ("  driver-type:", "a line of the storage driver"),
    (" CDI spec directories:", "paths of the host"),
    ("  /etc/cdi", "paths of the host"),
    ("  /var/run/cdi", "paths of the host"),
    (" Security Options:", "how the host protects itself"),
    ("  apparmor", "how the host protects itself"),
    ("  seccomp", "how the host protects itself"),
    ("   Profile:", "how the host protects itself"),
    ("  cgroupns", "how the host protects itself"),
    (" Docker Root Dir:", "a path of the host"),
    (" HTTP Proxy:", "the network around the host"),
    (" HTTPS Proxy:", "the network around the host"),
    (" No Proxy:", "the network around the host"),
    (" Labels:", "what the operator wrote about the host"),
    ("  owner=", "what the operator wrote about the host"),
    (" Insecure Registries:", "the network around the host"),
    ("  canary-insecure-registry.test:5000", "the network around the host"),
    ("  ::1/128", "the network around the host"),
    ("  127.0.0.0/8", "the network around the host"),
    (" Registry Mirrors:", "the network around the host"),
    ("  https://canary-registry-mirror.test/", "the network around the host"),
    ("WARNING: ", "a text that the engine writes about the host"),
    ("[DEPRECATION NOTICE]", "a text that the engine writes about the host"),
];

/// The lines of a command.
fn lines(socket: &Path, program: &str, command: &[&str]) -> Vec<String> {
    let output = cli::run(socket, &[&[program], command].concat(), "");
    assert!(output.status.success(), "{command:?}: {}", cli::outputs(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// Whether a line of `docker info` may differ.
fn is_listed(line: &str) -> bool {
    INFO.iter().any(|(start, _)| line.starts_with(start))
}

/// Whether a line of `docker info` is compared. The numbers of goroutines and open files change all the time.
fn stays(line: &str) -> bool {
    !is_listed(line) && !["Goroutines:", "File Descriptors:"].iter().any(|word| line.contains(word))
}

/// A line with its words in order, if the command prints them in any.
fn in_order(line: &str) -> String {
    let Some(names) = line.strip_prefix(" Runtimes:") else { return line.to_owned() };
    let names: std::collections::BTreeSet<&str> = names.split_whitespace().collect();
    format!("{names:?}")
}

/// Compares every line of every command.
fn check(program: &str) -> Outcome {
    let engine = engine::read_only()?;
    let proxy = Proxy::start(&engine.socket(), "docker-cli");
    for command in COMMANDS {
        // Versions below 1.24 are nobody's through the program, and so it says.
        let in_words = |line: String| {
            line.replace("(minimum version 1.12)", "(minimum version 1.24)")
                .replace(r#""MinAPIVersion":"1.12""#, r#""MinAPIVersion":"1.24""#)
        };
        let direct: Vec<String> = lines(&engine.socket(), program, command).into_iter().map(in_words).collect();
        let through = lines(&proxy.socket(), program, command);
        if *command == ["info"] {
            let kept = |lines: &[String]| {
                lines.iter().filter(|line| stays(line)).map(|line| in_order(line)).collect::<Vec<_>>()
            };
            assert_eq!(kept(&through), kept(&direct), "{command:?}");
            let blank: Vec<&String> =
                through.iter().filter(|line| line.trim_end().ends_with(':') && !direct.contains(line)).collect();
            assert_eq!(blank, [" Docker Root Dir: "], "rows that are empty");
        } else {
            // Docker lists what was made in one second in any order.
            let sorted = |lines: &[String]| {
                let mut lines = lines.to_vec();
                lines.sort();
                lines
            };
            assert_eq!(sorted(&through), sorted(&direct), "{command:?}");
        }
        let is_empty_cell = |line: &String| line.starts_with('|') || line.ends_with('|') || line.contains("||");
        let empty = |lines: &[String]| lines.iter().filter(|line| is_empty_cell(line)).count();
        assert_eq!(empty(&through), empty(&direct), "{command:?}: {through:?}");
    }
    Ok(())
}

fn the_docker_command_of_the_system_prints_no_empty_rows() -> Outcome {
    check("docker")
}

fn the_newest_docker_command_prints_no_empty_rows() -> Outcome {
    check(&installed::client("docker")?)
}

fn nothing_that_is_hidden_comes_out_of_the_first_look() -> Outcome {
    let engine = engine::read_only()?;
    let proxy = Proxy::start(&engine.socket(), "docker-cli");
    let mut direct = String::new();
    for command in COMMANDS.iter().chain(&[
        &["inspect", "web"][..],
        &["image", "inspect", seed::IMAGE],
        &["volume", "inspect", "archive"],
    ]) {
        direct.push_str(&lines(&engine.socket(), "docker", command).join("\n"));
        let through = lines(&proxy.socket(), "docker", command).join("\n");
        assert_no_canary(&format!("{command:?}"), &through);
    }
    assert!(direct.contains("canary-"), "the engine shows no canary to prove anything");
    Ok(())
}

/// What AI agents ask for: whether a container is healthy, what is mounted where, and which labels its tools have written.
fn an_agent_sees_health_mounts_and_labels() -> Outcome {
    let engine = engine::read_only()?;
    let proxy = Proxy::start(&engine.socket(), "mcp");
    let inspect = |socket: &Path| client::get(socket, "/containers/web/json").json();
    let (direct, through) = (inspect(&engine.socket()), inspect(&proxy.socket()));
    for field in ["Status", "FailingStreak"] {
        assert_eq!(through["State"]["Health"][field], direct["State"]["Health"][field], "{field}");
    }
    for probe in through["State"]["Health"]["Log"].as_array().unwrap() {
        assert!([Value::Null, Value::from("")].contains(&probe["Output"]), "{probe}");
    }
    let mounts = |document: &Value| document["Mounts"].as_array().unwrap().clone();
    let places = |document: &Value| {
        let mut places: Vec<String> = mounts(document)
            .iter()
            .map(|mount| {
                ["Type", "Destination", "Mode", "RW", "Propagation", "Name"]
                    .map(|field| mount[field].to_string())
                    .join(" ")
            })
            .collect();
        places.sort();
        places
    };
    assert!(mounts(&direct).len() > 1, "{direct:#}");
    assert_eq!(places(&through), places(&direct));
    assert!(mounts(&through).iter().all(|mount| mount["Source"] == ""), "{through:#}");
    let labels = &through["Config"]["Labels"];
    assert_eq!(labels["com.docker.compose.project"], direct["Config"]["Labels"]["com.docker.compose.project"]);
    // A place in the container is shown, and is the only path that is.
    let text = mounts(&direct)
        .iter()
        .fold(through.to_string(), |text, mount| text.replace(&mount["Destination"].to_string(), "\"\""));
    assert_no_canary("what an agent reads", &text);
    Ok(())
}
