//! The documentation is true: its examples run, its configurations are accepted, its links lead somewhere, and its
//! picture shows what the demo prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Test, tests};
use crate::support::authority::{Authority, Identity};
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[Test] = tests![
    examples_run_and_print_what_the_documents_say,
    examples_that_are_not_run_are_listed_with_the_reason,
    commands_in_running_text_have_the_options_that_they_name,
    configurations_in_the_documents_are_accepted,
    links_lead_somewhere,
    files_named_in_documents_and_comments_exist,
    the_readme_is_short_and_shows_what_the_demo_prints,
    every_promise_names_tests_that_exist
];

/// The documents whose examples are run.
const WITH_EXAMPLES: [&str; 12] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/clients.md",
    "docs/comparison.md",
    "docs/configuration.md",
    "docs/drop-in.md",
    "docs/how-it-works.md",
    "docs/install.md",
    "docs/objects.md",
    "docs/operating.md",
    "docs/profiles.md",
];

/// The subcommands that need neither an engine nor a network.
const OFFLINE: [&str; 7] = ["catalogue", "check", "demo", "explain", "filter", "migrate", "profiles"];

const ENGINE: &str = "needs a Docker engine";
const NETWORK: &str = "installs or downloads";
const BUILD: &str = "builds or tests this repository";
const INSTALLS: &str = "writes into the home directory";

/// The examples that this test does not run, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo build --release", BUILD),
    ("cargo test", BUILD),
    ("DOCKER_HOST=tcp://127.0.0.1:2375 docker inspect some-container", ENGINE),
    (
        "curl -s --unix-socket /var/run/docker.sock http://d/containers/web/json | \
         dockveil filter --profile dashboard --operation ContainerInspect --diff",
        ENGINE,
    ),
    ("docker build -t dockveil .", ENGINE),
    ("docker build --build-arg COMPAT=11notes -t dockveil:11notes .", ENGINE),
    ("docker build --build-arg COMPAT=tecnativa --build-arg RUN_USER=0:0 -t dockveil:tecnativa .", ENGINE),
    (
        "docker run -d --read-only --cap-drop ALL --group-add \"$(stat -c %g /var/run/docker.sock)\" \
         -v /var/run/docker.sock:/var/run/docker.sock:ro -p 127.0.0.1:2375:2375 dockveil serve --hosts localhost",
        ENGINE,
    ),
    ("docker buildx build --platform linux/arm64 --build-context build=arm64 -t dockveil:arm64 .", ENGINE),
    ("apt-get install gcc-aarch64-linux-gnu && rustup target add aarch64-unknown-linux-gnu", NETWORK),
    ("export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc", NETWORK),
    (
        "install -D \"$(.ci/static aarch64-unknown-linux-gnu)\" arm64/out/dockveil && install -d arm64/out/run/dockveil",
        NETWORK,
    ),
    (
        "cosign verify-blob SHA256SUMS --bundle SHA256SUMS.sigstore.json \
         --certificate-identity-regexp '^https://github.com/dockveil/dockveil/.github/workflows/release.yml@refs/tags/v' \
         --certificate-oidc-issuer https://token.actions.githubusercontent.com",
        NETWORK,
    ),
    ("sha256sum --check --ignore-missing SHA256SUMS", NETWORK),
    ("cargo install --locked --path .", BUILD),
    ("dockveil man --directory ~/.local/share/man/man1", INSTALLS),
    ("mkdir -p ~/.local/share/bash-completion/completions", INSTALLS),
    ("dockveil completions bash > ~/.local/share/bash-completion/completions/dockveil", INSTALLS),
];

/// How long one example may take, in seconds.
const SECONDS: &str = "120";
/// What follows the comparison in the output of the demo: a port and a path that differ from run to run.
const SUGGESTIONS: &str = "\n\nTry it in another shell";

/// A fenced block of a document.
pub(crate) struct Block {
    pub(crate) file: &'static str,
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: String,
}

/// A command line of a document.
#[derive(Debug)]
struct Example {
    place: String,
    command: String,
    /// The lines that follow it, if the document prints its output.
    output: Option<Vec<String>>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every document of the repository.
fn documents() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "docs", "deploy", "fixtures", "fuzz"] {
        let Ok(entries) = std::fs::read_dir(root().join(folder)) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    assert!(found.len() >= WITH_EXAMPLES.len(), "{found:?}");
    found
}

fn blocks(file: &'static str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let text = read(file);
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let inside: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
        blocks.push(Block {
            file,
            line: number + 1,
            language: language.trim().to_owned(),
            text: format!("{}\n", inside.join("\n")),
        });
    }
    blocks
}

pub(crate) fn all_blocks() -> impl Iterator<Item = Block> {
    WITH_EXAMPLES.into_iter().chain(["deploy/README.md"]).flat_map(blocks)
}

/// A line of a shell without its comment.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    for (at, character) in line.char_indices() {
        match (character, quote) {
            ('\'' | '"', None) => quote = Some(character),
            (closing, Some(open)) if closing == open => quote = None,
            ('#', None) if line.get(..at).is_some_and(|before| before.is_empty() || before.ends_with(' ')) => {
                return line.get(..at).unwrap().trim_end();
            }
            _ => {}
        }
    }
    line.trim_end()
}

/// The command lines of a block: each line of a script, each line behind `$ ` of a session.
fn examples(block: &Block) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let session = block.language == "console";
    let mut lines = block.text.lines().zip(block.line + 1..);
    while let Some((line, number)) = lines.next() {
        let mut command = match (session, line.strip_prefix("$ ")) {
            (true, Some(command)) => without_comment(command).to_owned(),
            (false, _) => without_comment(line).to_owned(),
            (true, None) => {
                let example = found.last_mut().unwrap();
                example.output.get_or_insert_default().push(line.to_owned());
                continue;
            }
        };
        while command.ends_with('\\') {
            command.pop();
            command.push_str(without_comment(lines.next().unwrap().0).trim_start());
        }
        if !command.is_empty() {
            found.push(Example { place: format!("{}:{number}", block.file), command, output: None });
        }
    }
    found
}

fn all_examples() -> Vec<Example> {
    let is_shell = |block: &Block| ["sh", "console"].contains(&block.language.as_str());
    all_blocks().filter(is_shell).flat_map(|block| examples(&block)).collect()
}

/// The command as it is run here; `None` if it needs more than every machine has. What serves is checked instead.
fn offline(command: &str) -> Option<String> {
    let serves = command.strip_prefix("sudo target/release/dockveil --").and_then(|rest| rest.strip_suffix(" &"));
    let command = match (serves, command.strip_prefix("cargo run --release -- ")) {
        (Some(options), _) => format!("dockveil check --{options}"),
        (None, Some(rest)) => format!("dockveil {rest}"),
        (None, None) => command.to_owned(),
    };
    let mut words = command.split_whitespace().skip_while(|word| word.contains('=') && !word.starts_with('-'));
    let runs = words.next() == Some("dockveil") && words.next().is_some_and(|word| OFFLINE.contains(&word));
    runs.then_some(command)
}

/// A folder with the files that the examples name.
fn sandbox() -> Folder {
    let folder = Folder::new();
    let write = |name: &str, text: &str| {
        let path = folder.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("container.json", &read("fixtures/demo/container_inspect.api.json"));
    write("events.ndjson", &read("fixtures/demo/system_events.ndjson"));
    write("compose.yaml", COMPOSE);
    let first = |file, key| yaml_blocks(file).into_iter().find(|block| first_key(&block.text) == key).unwrap().text;
    write("dockveil.yaml", &first("docs/configuration.md", "upstream"));
    write("clients.yaml", &first("docs/configuration.md", "listeners"));
    write("filters/profile/my-dashboard.yaml", &first("docs/profiles.md", "profile"));
    write("filters/class/state.yaml", &first("docs/profiles.md", "class"));
    folder
}

/// A Compose file with another socket proxy.
const COMPOSE: &str = "\
services:
  socket-proxy:
    image: 11notes/socket-proxy:2.1.4
    user: \"0:991\"
    volumes: [\"/run/docker.sock:/run/docker.sock:ro\", \"proxy:/run/proxy\"]
";

/// Runs a command line in a shell that finds the program; gives the exit code and what it printed.
fn run(command: &str, folder: &Path) -> (Option<i32>, String, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_dockveil"));
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.parent().unwrap().display());
    let output = Command::new("timeout")
        .args([SECONDS, "sh", "-c", command])
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Whether `printed` is what a document says: `…` alone on a line stands for any lines, at the end of one for any rest.
fn agrees(said: &[String], printed: &[&str]) -> bool {
    match (said.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((line, rest)), _) if line == "…" => {
            (0..=printed.len()).any(|skipped| agrees(rest, printed.get(skipped..).unwrap()))
        }
        (Some((line, said)), Some((found, printed))) => {
            let same =
                line.strip_suffix('…').map_or(line.trim_end() == found.trim_end(), |start| found.starts_with(start));
            same && agrees(said, printed)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// What the demo prints up to its suggestions. It is then told to stop, and must end well.
fn demo() -> String {
    // `timeout` passes the signal on, and ends with the exit code of the program.
    let mut child = Command::new("timeout")
        .args([SECONDS, env!("CARGO_BIN_EXE_dockveil"), "demo"])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        writeln!(printed, "{line}").unwrap();
        if line.contains("docker ps") {
            break;
        }
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    printed.split(SUGGESTIONS).next().unwrap().trim_matches('\n').to_owned()
}

fn examples_run_and_print_what_the_documents_say() {
    let folder = sandbox();
    let (mut wrong, mut count) = (String::new(), 0);
    for example in all_examples() {
        let Some(command) = offline(&example.command) else { continue };
        count += 1;
        if command == "dockveil demo" {
            demo();
            continue;
        }
        let (code, out, err) = run(&command, &folder.path(""));
        let place = &example.place;
        if code != Some(0) {
            writeln!(wrong, "{place}: {command}: exit code {code:?}\n{out}{err}").unwrap();
        }
        if let Some(said) = &example.output
            && !agrees(said, &out.lines().collect::<Vec<_>>())
        {
            writeln!(wrong, "{place}: {command} prints\n{out}and not\n{}", said.join("\n")).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 15, "only {count} examples were run");
}

fn examples_that_are_not_run_are_listed_with_the_reason() {
    let found = all_examples().into_iter().map(|example| example.command).filter(|command| offline(command).is_none());
    let found: BTreeSet<String> = found.collect();
    let listed: BTreeSet<String> = NOT_RUN.iter().map(|(command, _)| (*command).to_owned()).collect();
    let missing: Vec<_> = found.difference(&listed).collect();
    let superfluous: Vec<_> = listed.difference(&found).collect();
    assert!(missing.is_empty() && superfluous.is_empty(), "not listed: {missing:#?}\nin no document: {superfluous:#?}");
}

/// `dockveil …` in running text and tables: the subcommand and its options exist.
fn commands_in_running_text_have_the_options_that_they_name() {
    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    let folder = Folder::new();
    let (mut wrong, mut count) = (String::new(), 0);
    for file in documents() {
        for (number, line) in read(&file).lines().enumerate() {
            for code in line.split('`').skip(1).step_by(2).filter(|code| code.starts_with("dockveil ")) {
                count += 1;
                let words: Vec<&str> = code.split(' ').map(|word| word.trim_matches(['[', ']', '…', ','])).collect();
                let subcommand = words.get(1).copied().filter(|word| !word.starts_with('-')).unwrap_or("serve");
                let help = helps.entry(subcommand.to_owned()).or_insert_with(|| {
                    let (code, out, _) = run(&format!("dockveil {subcommand} --help"), &folder.path(""));
                    if code == Some(0) { out } else { String::new() }
                });
                for word in words.iter().filter(|word| word.starts_with("--")) {
                    if !help.contains(&format!("{word} ")) && !help.contains(&format!("{word}\n")) {
                        writeln!(wrong, "{file}:{}: `{code}`: no option {word}", number + 1).unwrap();
                    }
                }
                if help.is_empty() {
                    writeln!(wrong, "{file}:{}: `{code}`: no subcommand {subcommand}", number + 1).unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 20, "only {count} commands were found");
}

fn yaml_blocks(file: &'static str) -> Vec<Block> {
    blocks(file).into_iter().filter(|block| block.language == "yaml").collect()
}

/// The first key of a YAML document.
pub(crate) fn first_key(text: &str) -> &str {
    let line = text.lines().find(|line| !line.trim_start().starts_with('#')).unwrap();
    line.split(':').next().unwrap()
}

fn configurations_in_the_documents_are_accepted() {
    let (mut wrong, mut count) = (String::new(), 0);
    for block in all_blocks().filter(|block| block.language == "yaml") {
        let folder = sandbox();
        let quiet = "--listen unix:///nowhere/docker.sock";
        let commands = match first_key(&block.text) {
            "profile" => {
                std::fs::write(folder.path("filters/profile/my-dashboard.yaml"), &block.text).unwrap();
                vec![format!("dockveil check --filters filters --profile my-dashboard {quiet}")]
            }
            "class" => {
                std::fs::write(folder.path("filters/class/state.yaml"), &block.text).unwrap();
                vec![format!("dockveil check --filters filters {quiet}")]
            }
            "upstream" | "listeners" => {
                let authority = Authority::new();
                let Identity { certificate, key, .. } = authority.server();
                std::fs::create_dir(folder.path("tls")).unwrap();
                let revoked = authority.revocations(&[], 2100);
                for (name, text) in [
                    ("cert.pem", &certificate),
                    ("key.pem", &key),
                    ("ca.pem", &authority.pem()),
                    ("revoked.pem", &revoked),
                    ("engine-ca.pem", &authority.pem()),
                    ("dockveil.pem", &certificate),
                    ("dockveil-key.pem", &key),
                ] {
                    std::fs::write(folder.path("tls").join(name), text).unwrap();
                }
                // A start finds the directories of the unit.
                let text = block.text.replace("/var/log/dockveil/", "");
                std::fs::write(folder.path("example.yaml"), text).unwrap();
                vec!["dockveil check --config example.yaml".to_owned()]
            }
            "services" => {
                assert!(dockveil::yaml::parse(block.file, &block.text).is_ok(), "{}:{}", block.file, block.line);
                served(&block.text).into_iter().map(|options| format!("dockveil check {options}")).collect()
            }
            other => panic!("{}:{}: an example that begins with {other:?}", block.file, block.line),
        };
        count += 1;
        for command in commands {
            let (code, out, err) = run(&command, &folder.path(""));
            if code != Some(0) {
                writeln!(wrong, "{}:{}: {command}: {code:?}\n{out}{err}", block.file, block.line).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 7, "only {count} configurations were checked");
}

/// The options of each `command: [serve, …]` in a Compose file.
fn served(text: &str) -> Vec<String> {
    let commands = text.lines().filter_map(|line| line.trim().strip_prefix("command: [serve"));
    // Inside the container the folder is mounted at `/filters`, here it is in the sandbox.
    commands.map(|line| line.replace([',', '"', ']'], " ").replace(" /filters", " filters")).collect()
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

fn anchors(text: &str) -> BTreeSet<String> {
    let mut inside = false;
    let headings = text.lines().filter(|line| {
        inside ^= line.starts_with("```");
        !inside && line.starts_with('#')
    });
    headings.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

fn links_lead_somewhere() {
    let (mut wrong, mut count) = (String::new(), 0);
    for file in documents() {
        let text = read(&file);
        for target in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if target.starts_with("https://") {
                continue;
            }
            count += 1;
            let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
            let to = if path.is_empty() { root().join(&file) } else { root().join(&file).parent().unwrap().join(path) };
            if !to.exists() {
                writeln!(wrong, "{file}: {target}: no such file").unwrap();
            } else if !fragment.is_empty() && !anchors(&std::fs::read_to_string(&to).unwrap()).contains(fragment) {
                writeln!(wrong, "{file}: {target}: no such heading").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 25, "only {count} links were found");
}

/// The text files below a folder, by their paths from the root of the repository.
fn files(folder: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            files(&path, found);
        } else if [".rs", ".yaml", ".md", ".service", ".container"].iter().any(|end| path.ends_with(end)) {
            found.push(path);
        }
    }
}

/// What a document says, or the comments of another file.
fn prose(file: &str, text: &str) -> String {
    let comment = match Path::new(file).extension().and_then(|extension| extension.to_str()) {
        Some("md") => "",
        Some("rs") => "//",
        _ => "#",
    };
    let lines = text.lines().filter_map(|line| line.find(comment).map(|at| line.get(at..).unwrap()));
    lines.collect::<Vec<_>>().join("\n")
}

fn files_named_in_documents_and_comments_exist() {
    let folders = ["src/", "tests/", "filters/", "fixtures/", "docs/", "deploy/", "benches/", "fuzz/", ".ci/"];
    let (mut wrong, mut count) = (String::new(), 0);
    let mut all = documents();
    for folder in ["src", "tests/engine", "tests/it", "filters", "deploy", "benches"] {
        files(folder, &mut all);
    }
    for file in all {
        for code in prose(&file, &read(&file)).split('`').skip(1).step_by(2) {
            let path = code.split("::").next().unwrap();
            let is_path = folders.iter().any(|folder| path.starts_with(folder));
            if is_path && !path.contains(['<', '*', '…', ' ', '{', '\n']) {
                count += 1;
                if !root().join(path).exists() {
                    writeln!(wrong, "{file}: `{code}`: no such file").unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 100, "only {count} files are named");
}

fn the_readme_is_short_and_shows_what_the_demo_prints() {
    let text = read("README.md");
    assert!(text.lines().count() <= 200, "{} lines", text.lines().count());
    let shown = blocks("README.md").into_iter().find(|block| block.text.contains("through dockveil")).unwrap();
    let printed = demo();
    assert_eq!(shown.text.trim_end(), printed, "README.md:{}", shown.line);
    // The script compares the whole picture, with its colours; this compares its words where there is no Python.
    let picture = read("docs/demo.svg");
    for cell in printed.lines().flat_map(|line| line.split("  ")).map(str::trim).filter(|cell| !cell.is_empty()) {
        let cell = cell.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        assert!(picture.contains(&cell), "docs/demo.svg has no {cell:?}: run docs/demo-svg.py");
    }
}

/// The documents with tables of which each row ends with the tests that prove it: how such a table begins, and how many rows
/// there are at least.
const PROVED: [(&str, &str, usize); 2] = [("SECURITY.md", "| promise |", 20), ("docs/leaks.md", "| way |", 45)];

/// Each row ends with the tests that prove it, each as `file::name`.
fn every_promise_names_tests_that_exist() {
    let mut wrong = String::new();
    for (file, heading, least) in PROVED {
        let text = read(file);
        let mut is_table = false;
        let rows: Vec<&str> = text
            .lines()
            .filter(|line| {
                let is_heading = line.starts_with(heading);
                is_table = is_heading || is_table && line.starts_with('|');
                // A row in bold begins a part of the table.
                is_table && !is_heading && !line.starts_with("|---") && !line.starts_with("| **")
            })
            .collect();
        assert!(rows.len() >= least, "{file}: {} rows", rows.len());
        for row in rows {
            let proofs = row.trim_end_matches('|').rsplit('|').next().unwrap();
            let named: Vec<&str> = proofs.split('`').skip(1).step_by(2).collect();
            assert!(!named.is_empty(), "{file}: no test is named: {row}");
            for name in named {
                check_test(file, name, &mut wrong);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Checks that a test exists, given as `file::name`.
fn check_test(document: &str, name: &str, wrong: &mut String) {
    let (file, test) = name.split_once("::").unwrap_or_else(|| panic!("{document}: not a test: {name}"));
    let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
    if !text.contains(&format!("fn {test}(")) {
        writeln!(wrong, "{document}: {name} does not exist").unwrap();
    }
}
