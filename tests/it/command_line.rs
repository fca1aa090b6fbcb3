//! The command line: what a wrong argument says by its exit code, and a configuration on standard input.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use rustix::process::Signal;

use crate::harness::{Test, tests};
use crate::support::client::{Client, get, status};
use crate::support::daemon::{Daemon, json};
use crate::support::program::{Program, command, command_after};
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[Test] = tests![
    every_wrong_argument_ends_with_64,
    every_option_of_every_command_is_tried_with_a_wrong_value,
    an_error_in_the_configuration_ends_with_78_whatever_the_arguments_are,
    the_documented_exit_codes_are_those_that_the_program_returns,
    a_configuration_on_standard_input_has_places_in_its_errors,
    a_configuration_on_standard_input_is_kept_when_it_is_read_again,
    every_page_of_the_manual_is_written_into_a_directory
];

/// Arguments with values that are wrong by themselves.
const WRONG: &[&[&str]] = &[
    &["nothing"],
    &["--nothing"],
    &["serve", "--upstream", "nonsense", "--listen", "nonsense", "--metrics", "nonsense", "--api", "max=new"],
    &["serve", "--profile", "nothing"],
    &["serve", "--hosts", "nothing:1"],
    &["check", "--upstream", "nonsense", "--listen", "nonsense", "--metrics", "nonsense", "--api", "nonsense"],
    &["check", "--profile", "nothing"],
    &["check", "--hosts", "http://nothing"],
    &["explain"],
    &["explain", "--profile", "nothing", "/info"],
    &["explain", "--as", "nonsense", "/info"],
    &["explain", "--profile", "dashboard", "--as", "uid=1", "/info"],
    &["filter"],
    &["filter", "--operation", "Nothing"],
    &["filter", "--operation", "ContainerExport"],
    &["filter", "--operation", "ContainerInspect", "--profile", "nothing"],
    &["filter", "--operation", "ContainerInspect", "--api", "new"],
    &["filter", "--operation", "ContainerInspect", "--config", "-"],
    &["filter", "--operation", "SessionInspect"],
    &["healthcheck", "--target", "nonsense"],
    &["healthcheck", "--every", "0"],
    &["catalogue", "ContainerInspct"],
    &["catalogue", "--api", "new"],
    &["migrate", "--service", "nothing"],
    &["migrate", "--as", "nothing"],
    &["completions", "nothing"],
    &["check", "--output", "nothing"],
    &["explain", "--output", "nothing", "/info"],
    &["profiles", "--output", "nothing"],
    &["catalogue", "--output", "nothing"],
    &["man", "nothing"],
    &["schema", "nothing"],
    &["profiles", "nothing"],
    &["demo", "nothing"],
];

/// Options that take any text, or a file, which is a part of the configuration.
const ANY: &[(&str, &str)] = &[("*", "--config"), ("*", "--filters"), ("explain", "--host"), ("man", "--directory")];

/// What `migrate` reads.
const COMPOSE: &str = "services:\n  proxy:\n    image: tecnativa/docker-socket-proxy\n";

/// Runs it with `input` until it ends, in an environment in which it would listen below `folder` and nowhere else.
fn run(folder: &Folder, arguments: &[&str], input: &str) -> Output {
    let directory = folder.path("").display().to_string();
    let mut command = command(&[("XDG_RUNTIME_DIR", &directory)], arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // If the arguments are wrong, it ends without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// The exit code, and what it says on standard error.
fn ended(folder: &Folder, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let output = run(folder, arguments, input);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn every_wrong_argument_ends_with_64() {
    let folder = Folder::new();
    for arguments in WRONG {
        let (code, said) = ended(&folder, arguments, COMPOSE);
        assert_eq!(code, Some(64), "{arguments:?}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(said.starts_with("error: ") || last.ends_with(" in the arguments"), "{arguments:?}: {said}");
        // Of several, each is reported.
        for option in arguments.iter().filter(|word| word.starts_with("--") && last.ends_with("in the arguments")) {
            let is_wrong = *option != "--operation" || arguments.len() == 3;
            assert!(!is_wrong || said.contains(option), "{arguments:?}: nothing about {option}: {said}");
        }
    }
}

/// The commands, and of one of them the options that take a value, each with the line of the help.
fn listed(folder: &Folder, arguments: &[&str], begin: &str) -> Vec<(String, String)> {
    let output = run(folder, arguments, "");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with(begin) && line.contains(['<', ' ']));
    lines.map(|line| (line.split_whitespace().next().unwrap().to_owned(), line.to_owned())).collect()
}

fn every_option_of_every_command_is_tried_with_a_wrong_value() {
    let folder = Folder::new();
    let help = String::from_utf8(run(&folder, &["--help"], "").stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands: BTreeSet<&str> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        assert!(WRONG.iter().any(|tried| tried[0] == command), "no wrong argument of {command} is tried");
        for (option, line) in listed(&folder, &[command, "--help"], "--") {
            let is_any = ANY.contains(&("*", &option)) || ANY.contains(&(command, &option));
            if is_any || !line.contains('<') {
                continue;
            }
            let is_tried = WRONG.iter().any(|tried| tried[0] == command && tried.contains(&option.as_str()));
            assert!(is_tried, "no wrong value of {option} of {command} is tried: {line}");
        }
    }
}

fn an_error_in_the_configuration_ends_with_78_whatever_the_arguments_are() {
    let folder = Folder::new();
    for arguments in [
        &["check", "--config", "-"][..],
        &["check", "--config", "-", "--profile", "nothing"],
        &["catalogue", "--config", "-", "Nothing"],
        &["explain", "--config", "-", "/info"],
        &["check", "--config", "/nothing"],
        &["check", "--filters", "/nothing"],
    ] {
        let (code, said) = ended(&folder, arguments, "nonsense: 1\n");
        assert_eq!(code, Some(78), "{arguments:?}: {said}");
        assert!(said.lines().last().unwrap().ends_with(" in the configuration"), "{said}");
    }
}

/// The codes in the first column of a table, or at the beginning of lines.
fn codes(text: &str) -> BTreeSet<i32> {
    text.lines().filter_map(|line| line.trim_start_matches(['|', ' ']).split(' ').next()?.parse().ok()).collect()
}

fn the_documented_exit_codes_are_those_that_the_program_returns() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let document = fs::read_to_string(document).unwrap();
    let table = document.split("\n## Exit codes\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let folder = Folder::new();
    let help = String::from_utf8(run(&folder, &["--help"], "").stdout).unwrap();
    assert_eq!(codes(table), codes(help.split("Exit status:\n").nth(1).unwrap()));
    let listener = format!("unix://{}", folder.path("listener").display());
    let engine = format!("unix://{}", folder.path("engine").display());
    fs::write(folder.path("file"), "").unwrap();
    let not_a_folder = format!("unix://{}/socket", folder.path("file").display());
    let returned = [
        (0, &["check"][..]),
        (0, &["--help"]),
        (0, &["--version"]),
        (1, &["filter", "--operation", "ContainerInspect"]),
        (1, &["healthcheck", "--target", &listener]),
        (1, &["explain", "/nothing"]),
        (1, &["explain", "/v1.99/info"]),
        (64, &["check", "--profile", "nothing"]),
        (70, &["serve", "--upstream", &engine, "--listen", &not_a_folder]),
        (78, &["check", "--config", "/nothing"]),
    ];
    for (code, arguments) in returned {
        let (found, said) = ended(&folder, arguments, "");
        assert_eq!(found, Some(code), "{arguments:?}: {said}");
    }
    assert_eq!(codes(table), returned.iter().map(|(code, _)| *code).collect());
}

fn a_configuration_on_standard_input_has_places_in_its_errors() {
    let folder = Folder::new();
    let (code, said) =
        ended(&folder, &["check", "--config", "-"], "upstream: unix:///e\nlisten: []\nlimits: {head: 1}\n");
    assert_eq!(code, Some(78), "{said}");
    assert!(said.starts_with("<stdin>:2:1: unknown key \"listen\""), "{said}");
    let directory = folder.path("").display().to_string();
    let text =
        "listeners: [{listen: tcp://127.0.0.1:1, profile: own}]\nprofiles: [{profile: own, allow: [Ping], show: []}]\n";
    for (variable, arguments) in [("", &["explain", "--config", "-", "/info"][..]), ("-", &["explain", "/info"])] {
        let mut command = command(&[("XDG_RUNTIME_DIR", &directory), ("DOCKVEIL_CONFIG", variable)], arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains("the profile is <stdin>:2:"), "{said}");
    }
    let bytes = b"upstream: \xff\n";
    let mut child =
        command(&[], &["check", "--config", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(78) && said.starts_with("<stdin>:1:11: not UTF-8"), "{said}");
}

fn a_configuration_on_standard_input_is_kept_when_it_is_read_again() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let place = folder.path("").display().to_string();
    fs::create_dir(folder.path("filters")).unwrap();
    let profile = |allow: &str| format!("profile: mine\nabout: Mine.\nallow: [{allow}]\nshow: [identity, state]\n");
    fs::write(folder.path("filters/mine.yaml"), profile("Ping")).unwrap();
    let config = format!(
        "upstream: unix://{place}/engine\nwatch: false\nfilters: [{place}/filters]\n\
         listeners: [{{listen: unix://{place}/listener, profile: mine}}]\n"
    );
    fs::write(folder.path("config"), config).unwrap();
    let program = Program::start(command_after(&format!("exec <{place}/config"), &["--config", "-"]));
    program.listening();
    fs::remove_file(folder.path("config")).unwrap();
    let mut client = Client::connect(&folder.path("listener"));
    let mut ask = || {
        client.send(get("/containers/json"));
        status(&client.message(false))
    };
    assert_eq!(ask(), 403);
    fs::write(folder.path("filters/mine.yaml"), profile("Ping, ContainerList")).unwrap();
    program.signal(Signal::HUP);
    let line = program.line_with("configuration ");
    assert!(line.contains("configuration reloaded"), "{line}");
    assert_eq!(ask(), 200);
}

fn every_page_of_the_manual_is_written_into_a_directory() {
    let folder = Folder::new();
    let directory = folder.path("new/man1").display().to_string();
    let (code, said) = ended(&folder, &["man", "--directory", &directory], "");
    assert_eq!(code, Some(0), "{said}");
    for (file, arguments) in [("dockveil.1", &["man"][..]), ("dockveil-migrate.1", &["man", "migrate"])] {
        let page = fs::read_to_string(folder.path("new/man1").join(file)).unwrap();
        assert!(page.contains("\n.SH NAME\n"), "{page}");
        let title = page.lines().find(|line| line.starts_with(".TH ")).unwrap();
        let printed = String::from_utf8(run(&folder, arguments, "").stdout).unwrap();
        assert!(printed.contains(title), "{title}");
    }
    let pages = fs::read_dir(folder.path("new/man1")).unwrap().count();
    assert!(pages > 10, "{pages}");
    fs::write(folder.path("file"), "").unwrap();
    let (code, said) = ended(&folder, &["man", "--directory", &folder.path("file").display().to_string()], "");
    assert!(code == Some(70) && said.contains("/file: "), "{said}");
}
