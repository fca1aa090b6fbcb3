//! What `deploy/` offers to run: every configuration and every command line in it is one that the program takes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use dockveil::profile::Profiles;

use crate::harness::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    every_configuration_has_no_error,
    every_client_has_a_file_that_serves_its_profile,
    no_file_gives_the_engine_to_a_client_or_a_door_to_the_network,
    a_port_that_is_published_answers_to_listed_names_only,
    every_compose_file_is_started_as_a_project_of_its_own,
    every_example_restarts,
    the_image_says_what_it_is,
    units_start_the_program_with_options_that_it_knows
];

/// The folder.
fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// The files of a folder below it that end like this.
fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(deploy().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.to_str().unwrap().ends_with(end)).collect();
    found.sort();
    assert!(!found.is_empty(), "no {end} in {folder}");
    found
}

/// The command lines of `serve` in a file, each after `key`, as words.
fn served(path: &Path, key: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix(key)).map(str::trim);
    let words = |line: &str| -> Vec<String> {
        let line = line.replace(['[', ']', ',', '"'], " ");
        line.split_whitespace().skip_while(|word| *word != "serve").map(str::to_owned).collect()
    };
    lines.map(words).filter(|words| !words.is_empty()).collect()
}

/// Runs `dockveil check` with the options of a `serve`, and gives what it says.
#[track_caller]
fn check(what: &Path, options: &[String]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_dockveil"))
        .arg("check")
        .args(options)
        .env_remove("DOCKER_HOST")
        // What the image says.
        .env("DOCKVEIL_CONFIG", deploy().join("dockveil.yaml"))
        .output()
        .unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{}: {options:?}: {told}", what.display());
    told
}

/// The options behind `serve`.
fn options(words: &[String]) -> Vec<String> {
    words.iter().skip(1).cloned().collect()
}

fn every_configuration_has_no_error() {
    for path in [deploy().join("dockveil.yaml"), deploy().join("systemd/dockveil.yaml")] {
        check(&path, &["--config".to_owned(), path.to_str().unwrap().to_owned()]);
    }
}

fn every_client_has_a_file_that_serves_its_profile() {
    let mut served_profiles = BTreeSet::new();
    let stacks = files("swarm", "stack.yaml");
    let composed = files("compose", ".yaml");
    for path in composed.iter().chain(&stacks) {
        let commands = served(path, "command:");
        assert!(!commands.is_empty(), "{} serves nothing", path.display());
        for words in commands {
            let at = words.iter().position(|word| word == "--profile").unwrap() + 1;
            let said = check(path, &options(&words));
            assert!(said.contains(&format!("profile {}\n", words[at])), "{}: {said}", path.display());
            let file = path.file_stem().unwrap().to_str().unwrap();
            assert!(words[at] == file || stacks.contains(path), "{} serves {}", path.display(), words[at]);
            served_profiles.insert(words[at].clone());
        }
    }
    let profiles = Profiles::built_in(&dockveil::api::catalogue::built_in().unwrap()).unwrap();
    for profile in profiles.iter().filter(|profile| profile.location.file.contains("/client/")) {
        let name = profile.name.strip_suffix("-swarm").unwrap_or(&profile.name);
        assert!(served_profiles.contains(name), "no file serves {name}");
    }
}

fn no_file_gives_the_engine_to_a_client_or_a_door_to_the_network() {
    for path in files("compose", ".yaml").iter().chain(&files("swarm", "stack.yaml")) {
        let text = std::fs::read_to_string(path).unwrap();
        let mounts = text.matches("/var/run/docker.sock:/var/run/docker.sock:ro").count();
        assert_eq!(mounts, served(path, "command:").len(), "{} mounts the engine's socket elsewhere", path.display());
        let published = text.lines().filter(|line| line.contains("2375:") || line.contains(":2375\"]"));
        let open: Vec<&str> =
            published.filter(|line| line.contains("ports:") && !line.contains("127.0.0.1:")).collect();
        assert!(open.is_empty(), "{}: {open:?}", path.display());
        for word in ["read_only: true", "cap_drop: [ALL]"] {
            assert_eq!(text.matches(word).count(), mounts, "{}: {word}", path.display());
        }
    }
}

/// Compose names a project after the folder: without a name, all files would be one, with one dockveil that each replaces.
fn every_compose_file_is_started_as_a_project_of_its_own() {
    for path in files("compose", ".yaml") {
        let text = std::fs::read_to_string(&path).unwrap();
        let client = path.file_stem().unwrap().to_str().unwrap();
        let named = format!("docker compose -p dockveil-{client} -f deploy/compose/{client}.yaml ");
        let commands = text.matches("docker compose ").count();
        assert!(commands > 0 && text.matches(&named).count() == commands, "{}", path.display());
    }
}

/// After a restart of the engine or the machine, clients find it again. A swarm restarts its tasks anyway.
fn every_example_restarts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents =
        ["README.md", "deploy/README.md", "docs/configuration.md", "docs/drop-in.md"].map(|name| root.join(name));
    let mut services = 0;
    for path in files("compose", ".yaml").iter().chain(&documents) {
        let text = std::fs::read_to_string(path).unwrap();
        let starts = ["\n  dockveil:\n", "\n  socket-proxy:\n"];
        for rest in starts.iter().flat_map(|start| text.split(start).skip(1)) {
            // What is indented deeper belongs to the service.
            let service: String = rest.split_inclusive('\n').take_while(|line| line.starts_with("    ")).collect();
            services += 1;
            assert!(service.contains("    restart: unless-stopped\n"), "{}: {service}", path.display());
        }
    }
    assert!(services > 25, "{services}");
    let unit = |name: &str| std::fs::read_to_string(deploy().join(name)).unwrap();
    assert!(unit("podman/dockveil.container").contains("\nRestart=on-failure\n"));
    assert!(unit("systemd/dockveil.service").contains("\nRestart=on-failure\n"));
}

fn the_image_says_what_it_is() {
    let dockerfile = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile")).unwrap();
    for (label, value) in [
        ("title", env!("CARGO_PKG_NAME")),
        ("description", env!("CARGO_PKG_DESCRIPTION")),
        ("source", env!("CARGO_PKG_REPOSITORY")),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("version", "${VERSION}"),
        ("revision", "${REVISION}"),
    ] {
        assert!(dockerfile.contains(&format!("org.opencontainers.image.{label}=\"{value}\"")), "{label}");
    }
    assert!(dockerfile.contains(concat!("\nARG VERSION=", env!("CARGO_PKG_VERSION"), "\n")));
}

fn a_port_that_is_published_answers_to_listed_names_only() {
    let mut published = 0;
    for path in files("compose", ".yaml").iter().chain(&files("swarm", "stack.yaml")) {
        let text = std::fs::read_to_string(path).unwrap();
        if !text.lines().any(|line| line.contains("ports:") && line.contains(":2375\"]")) {
            continue;
        }
        published += 1;
        for words in served(path, "command:") {
            let said = check(path, &options(&words));
            assert!(
                said.contains("host names at") && !said.contains("accepts any host name"),
                "{}: {said}",
                path.display()
            );
        }
    }
    assert!(published > 0);
    let unit = deploy().join("systemd/dockveil.yaml");
    let said = check(&unit, &["--config".to_owned(), unit.to_str().unwrap().to_owned()]);
    assert!(said.contains("host names at") && !said.contains("accepts any host name"), "{said}");
}

fn units_start_the_program_with_options_that_it_knows() {
    let unit = deploy().join("systemd/dockveil.service");
    let installed = "/etc/dockveil/dockveil.yaml";
    for words in served(&unit, "ExecStart=") {
        assert_eq!(options(&words), ["--config", installed]);
    }
    assert_eq!(served(&unit, "ExecStart=").len(), 1);
    assert!(std::fs::read_to_string(&unit).unwrap().contains(&format!("deploy/systemd/dockveil.yaml {installed}\n")));
    let quadlet = deploy().join("podman/dockveil.container");
    let words = served(&quadlet, "Exec=");
    assert_eq!(words.len(), 1);
    check(&quadlet, &options(&words[0]));
}
