//! What a release is made of: the workflow, the packages and the scripts that make them fit together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use dockveil::yaml::{self, Node, Value};

use crate::harness::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    both_packages_hold_the_same_files,
    a_package_starts_nothing_by_itself,
    what_packages_hold_is_made_by_the_script,
    the_workflow_is_read_and_calls_scripts_that_exist,
    every_step_is_a_script_that_a_shell_reads,
    every_action_is_pinned_to_a_commit,
    everything_is_published_only_after_it_was_checked,
    one_version_and_one_compiler_are_named_everywhere
];

/// A path of the repository.
fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root(path)).unwrap()
}

/// A part of `Cargo.toml`, from its heading to the next one.
fn section(heading: &str) -> String {
    let manifest = read("Cargo.toml");
    let (_, behind) = manifest.split_once(&format!("\n{heading}\n")).unwrap();
    let is_heading = |line: &&str| line.starts_with('[') && line.ends_with(']') && !line.contains(' ');
    behind.lines().take_while(|line| !is_heading(line)).collect::<Vec<_>>().join("\n")
}

/// The texts in quotes of a line.
fn quoted(line: &str) -> Vec<String> {
    line.split('"').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}

/// The sources and destinations of a package. A destination that is a folder gets the name of the source.
fn assets(heading: &str) -> BTreeSet<(String, String)> {
    let text = section(heading);
    let lines = text.split("assets = [").nth(1).unwrap().split("\n]").next().unwrap().lines();
    let pairs = lines.map(quoted).filter(|texts| texts.len() >= 3);
    pairs
        .map(|texts| {
            let name = texts[0].rsplit('/').next().unwrap();
            let destination = texts[1].trim_start_matches('/');
            let is_folder = destination.ends_with('/');
            (texts[0].clone(), format!("{destination}{}", if is_folder { name } else { "" }))
        })
        .collect()
}

fn both_packages_hold_the_same_files() {
    let deb = assets("[package.metadata.deb]");
    let rpm = assets("[package.metadata.generate-rpm]");
    assert!(deb.len() >= 8, "{deb:?}");
    // Debian keeps the licence and finds the units by itself, and has another folder for the completions of zsh.
    let mut rpm: BTreeSet<_> = rpm
        .into_iter()
        .filter(|(source, _)| source != "target/package/doc/LICENSE" && source != "target/package/units/*")
        .collect();
    let completion = "target/package/completions/_dockveil".to_owned();
    assert!(rpm.remove(&(completion.clone(), "usr/share/zsh/site-functions/_dockveil".to_owned())));
    rpm.insert((completion, "usr/share/zsh/vendor-completions/_dockveil".to_owned()));
    assert_eq!(deb, rpm);
}

fn a_package_starts_nothing_by_itself() {
    assert!(section("[package.metadata.deb]").contains("enable = false, start = false"));
    // Only a service that runs is started again, after an upgrade.
    let of_deb = ["postinst", "postrm"].map(|name| read(&format!("deploy/packages/{name}"))).concat();
    let scripts = format!("{}{of_deb}", section("[package.metadata.generate-rpm]"));
    let lines: Vec<&str> = scripts.lines().filter(|line| line.contains("systemctl")).collect();
    assert!(lines.len() > 2, "{lines:?}");
    for line in lines {
        let verb = line.split("systemctl ").nth(1).unwrap().split(' ').find(|word| !word.starts_with("--")).unwrap();
        assert!(["daemon-reload", "disable", "try-restart"].contains(&verb), "{line}");
    }
}

fn what_packages_hold_is_made_by_the_script() {
    let script = read(".ci/release");
    for (source, _) in assets("[package.metadata.deb]").into_iter().chain(assets("[package.metadata.generate-rpm]")) {
        // Nothing is taken from the repository itself: its files have other times on each machine.
        let made = source.strip_prefix("target/").unwrap_or_else(|| panic!("{source} is not made"));
        let folder = made.trim_start_matches("package/").split('/').next().unwrap();
        let is_made =
            made == "release/dockveil" || script.contains(&format!("\"$package/{folder}")) && script.contains(folder);
        assert!(is_made, "nothing makes {source}");
    }
    // The unit of the repository is for a program in /usr/local, and the script adapts it.
    let unit = read("deploy/systemd/dockveil.service");
    assert!(unit.contains("=/usr/local/bin/dockveil ") && script.contains("s,/usr/local/bin/,/usr/bin/,"));
}

/// The workflow as a tree.
fn workflow() -> Node {
    yaml::parse("release.yml", &read(".github/workflows/release.yml")).unwrap()
}

/// The value of a key.
#[track_caller]
fn member<'n>(node: &'n Node, key: &str) -> &'n Node {
    find(node, key).unwrap_or_else(|| panic!("no {key} at {}", node.location))
}

fn find<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    node.mapping("a mapping").unwrap().iter().find(|(known, _)| known.name == key).map(|(_, value)| value)
}

/// Every text of a tree under this key.
fn texts(node: &Node, key: &str, found: &mut Vec<String>) {
    match &node.value {
        Value::Mapping(entries) => {
            for (name, value) in entries {
                match &value.value {
                    Value::Scalar { text, .. } if name.name == key => found.push(text.clone()),
                    Value::Scalar { .. } | Value::Null | Value::Sequence(_) | Value::Mapping(_) => {
                        texts(value, key, found)
                    }
                }
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| texts(item, key, found)),
        Value::Scalar { .. } | Value::Null => {}
    }
}

fn the_workflow_is_read_and_calls_scripts_that_exist() {
    let mut commands = Vec::new();
    texts(&workflow(), "run", &mut commands);
    let words: BTreeSet<&str> = commands.iter().flat_map(|run| run.split_whitespace()).collect();
    let scripts: Vec<&&str> = words.iter().filter(|word| word.starts_with(".ci/")).collect();
    assert!(scripts.len() >= 5, "{scripts:?}");
    for script in scripts {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(root(script)).unwrap().permissions().mode();
        assert!(mode & 0o111 != 0, "{script} is no program");
    }
    // Nothing that somebody else names becomes a part of a command.
    for run in &commands {
        let inserted = run.split("${{").skip(1).map(|rest| rest.split("}}").next().unwrap().trim());
        for name in inserted {
            let is_ours = name.starts_with("matrix.") || name == "github.repository";
            assert!(is_ours, "{name} in {run}");
        }
    }
}

/// The workflow runs elsewhere, or by `.ci/workflow`: what is known of its steps here is that a shell takes them.
fn every_step_is_a_script_that_a_shell_reads() {
    let mut commands = Vec::new();
    texts(&workflow(), "run", &mut commands);
    assert!(commands.len() > 10, "{commands:?}");
    for run in &commands {
        // The values are put in before a shell reads it.
        let parts = run.split("${{").enumerate();
        let script: String = parts
            .map(|(number, part)| if number == 0 { part } else { part.split_once("}}").unwrap().1 })
            .collect::<Vec<_>>()
            .join("value");
        let output = Command::new("bash").args(["-euo", "pipefail", "-n", "-c", &script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn every_action_is_pinned_to_a_commit() {
    let mut actions = Vec::new();
    texts(&workflow(), "uses", &mut actions);
    assert!(actions.len() > 5, "{actions:?}");
    for action in actions {
        let (_, commit) = action.split_once('@').unwrap();
        assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{action}");
    }
}

fn everything_is_published_only_after_it_was_checked() {
    let workflow = workflow();
    let jobs = member(&workflow, "jobs");
    let names: BTreeSet<&str> = jobs.mapping("jobs").unwrap().iter().map(|(key, _)| key.name.as_str()).collect();
    let publish = member(jobs, "publish");
    let needed: BTreeSet<&str> =
        member(publish, "needs").list("jobs").unwrap().iter().map(|node| node.text("a job").unwrap()).collect();
    assert_eq!(needed, names.into_iter().filter(|name| *name != "publish").collect());
    assert_eq!(member(publish, "if").text("a condition").unwrap(), "github.ref_type == 'tag'");
    // What a job may write is said by that job, and nothing else may write.
    assert_eq!(member(&workflow, "permissions").mapping("rights").unwrap().len(), 0);
    for (job, rights) in [("build", 1), ("packages", 1), ("macos", 1), ("images", 2), ("publish", 3)] {
        assert_eq!(member(member(jobs, job), "permissions").mapping("rights").unwrap().len(), rights, "{job}");
    }
    let mut architectures = Vec::new();
    texts(member(jobs, "build"), "target", &mut architectures);
    assert_eq!(architectures, ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]);
}

fn one_version_and_one_compiler_are_named_everywhere() {
    let dockerfile = read("Dockerfile");
    let image = dockerfile.lines().find_map(|line| line.strip_prefix("FROM rust:")).unwrap();
    let image = image.split(' ').next().unwrap();
    assert_eq!(
        member(member(member(&workflow(), "jobs"), "build"), "container").text("an image").unwrap(),
        format!("rust:{image}")
    );
    assert!(image.starts_with(env!("CARGO_PKG_RUST_VERSION")), "{image}");
    let version = env!("CARGO_PKG_VERSION");
    assert!(read("CHANGELOG.md").contains(&format!("\n## {version} ")), "CHANGELOG.md says nothing of {version}");
}
