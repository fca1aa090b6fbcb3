//! The command line: what a wrong argument says by its exit code, and a configuration on standard input.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Output, Stdio};

use dockveil::cli::{ConfigFiles, Environment, FilterArgs, SchemaFile, ServeArgs};
use dockveil::command::{self, schema_of, summary};
use dockveil::config::Config;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Test, tests};
use crate::support::client::{Client, get, status};
use crate::support::daemon::{Daemon, json};
use crate::support::program::{self, Program, command_after};
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[Test] = tests![
    every_wrong_argument_ends_with_64,
    every_option_of_every_command_is_tried_with_a_wrong_value,
    an_error_in_the_configuration_ends_with_78_whatever_the_arguments_are,
    the_documented_exit_codes_are_those_that_the_program_returns,
    a_configuration_on_standard_input_has_places_in_its_errors,
    a_configuration_on_standard_input_is_kept_when_it_is_read_again,
    completions_know_profiles_operations_schemas_and_proxies,
    check_names_each_file_that_a_start_cannot_make,
    check_makes_no_file_and_knows_which_folders_a_start_makes,
    a_configuration_in_a_pipe_is_read_once_by_every_command,
    a_configuration_in_a_pipe_stays_in_force_and_a_reload_says_why,
    every_page_of_the_manual_is_written_into_a_directory,
    no_text_of_a_file_harms_the_terminal,
    no_text_of_an_argument_or_a_variable_harms_the_terminal,
    no_message_names_the_password_of_a_url,
    no_error_in_a_file_names_the_password_of_a_url,
    output_that_cannot_be_written_ends_with_70,
    input_without_end_is_withheld_at_the_limit,
    a_sequence_of_events_may_be_longer_than_the_limit
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
    let mut command = program::command(&[("XDG_RUNTIME_DIR", &directory)], arguments);
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
        let mut command =
            program::command(&[("XDG_RUNTIME_DIR", &directory), ("DOCKVEIL_CONFIG", variable)], arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains("the profile is <stdin>:2:"), "{said}");
    }
    let bytes = b"upstream: \xff\n";
    let mut child = program::command(&[], &["check", "--config", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
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

fn completions_know_profiles_operations_schemas_and_proxies() {
    let folder = Folder::new();
    let script = |shell: &str| String::from_utf8(run(&folder, &["completions", shell], "").stdout).unwrap();
    fs::write(folder.path("dockveil.bash"), script("bash")).unwrap();
    // As bash calls it: the words until the cursor, and the last two of them.
    let complete = ". ./dockveil.bash; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                    _dockveil dockveil \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
                    echo \"${COMPREPLY[@]}\"";
    for (words, expected) in [
        (&["--profile", "dashboard-"][..], "dashboard-live"),
        (&["serve", "--profile", "traefik"], "traefik traefik-swarm"),
        (&["check", "--profile", "watch"], "watchtower"),
        (&["explain", "--profile", "drop-in"], "drop-in drop-in-view"),
        (&["filter", "--profile", "monit"], "monitoring"),
        (&["filter", "--operation", "ContainerI"], "ContainerInspect"),
        (&["filter", "--operation", "ContainerKi"], ""),
        (&["catalogue", "ContainerInsp"], "ContainerInspect"),
        (&["catalogue", "ContainerConf"], "ContainerConfig"),
        (&["catalogue", "ContainerLis"], "ContainerList"),
        (&["migrate", "--as", "cetus"], "cetusguard"),
    ] {
        let mut bash = std::process::Command::new("bash");
        bash.args(["--norc", "-c", complete, "bash", "dockveil"]).args(words).current_dir(folder.path(""));
        let said = String::from_utf8(bash.output().unwrap().stdout).unwrap();
        assert_eq!(said.trim_end(), expected, "{words:?}");
    }
    for (shell, words) in [
        ("zsh", &["--profile=", " traefik-swarm "][..]),
        ("zsh", &["--operation=", " ContainerInspect "]),
        ("zsh", &["::schema ", " ContainerConfig "]),
        ("fish", &["using_subcommand check", " -l profile ", "traefik-swarm"]),
        ("fish", &["using_subcommand filter", " -l operation ", "ContainerInspect"]),
        ("fish", &["using_subcommand catalogue", "-a \"ContainerConfig\""]),
        ("fish", &["using_subcommand completions", "-a \"powershell\""]),
    ] {
        let script = script(shell);
        let blocks = if shell == "fish" { "\ncomplete " } else { "\n'" };
        let is_found = script.split(blocks).any(|part| words.iter().all(|word| part.contains(word)));
        assert!(is_found, "{shell}: {words:?}: {script}");
    }
}

fn check_names_each_file_that_a_start_cannot_make() {
    let folder = Folder::new();
    let place = folder.path("").display().to_string();
    let place = place.trim_end_matches('/');
    fs::write(folder.path("file"), "").unwrap();
    fs::create_dir(folder.path("folder")).unwrap();
    for (target, name) in [("missing/audit", "link"), ("link", "links"), ("new/", "to-new")] {
        std::os::unix::fs::symlink(target, folder.path(name)).unwrap();
    }
    let config = folder.path("dockveil.yaml").display().to_string();
    for (text, variable, expected) in [
        (
            "audit: {file: missing/audit}",
            "",
            "2:15: cannot open the audit file %/missing/audit: its directory does not exist",
        ),
        (
            "audit: {file: missing/../audit}",
            "",
            "2:15: cannot open the audit file %/missing/../audit: its directory does not exist",
        ),
        ("audit: {file: link}", "", "2:15: cannot open the audit file %/link: its directory does not exist"),
        ("audit: {file: links}", "", "2:15: cannot open the audit file %/links: its directory does not exist"),
        ("audit: {file: folder}", "", "2:15: cannot open the audit file %/folder: is a directory"),
        ("audit: {file: new/}", "", "2:15: cannot open the audit file %/new/: is a directory"),
        ("audit: {file: new/.}", "", "2:15: cannot open the audit file %/new/.: is a directory"),
        ("audit: {file: to-new}", "", "2:15: cannot open the audit file %/to-new: is a directory"),
        ("audit: {file: /dev/null}", "", "2:15: cannot open the audit file /dev/null: it is not a file"),
        ("audit: {file: file/audit}", "", "2:15: cannot open the audit file %/file/audit: Not a directory"),
        (
            "",
            "/missing/audit",
            "DOCKVEIL_AUDIT: cannot open the audit file /missing/audit: its directory does not exist",
        ),
        ("metrics: unix://%/file/metrics", "", "2:10: cannot listen on unix://%/file/metrics: Not a directory"),
        ("metrics: unix://%/folder", "", "2:10: cannot listen on unix://%/folder: a file that is not a socket"),
        (
            "listeners: [{listen: unix://%/file}]",
            "",
            "2:13: cannot listen on unix://%/file: a file that is not a socket",
        ),
        ("listeners: [{listen: unix://%/file/a/b}]", "", "2:13: cannot listen on unix://%/file/a/b: Not a directory"),
        (
            "listeners: [{listen: unix:///run/..}]",
            "",
            "2:13: cannot listen on unix:///run/..: expected the path of a file",
        ),
        (
            "listeners: [{listen: unix://%/new/}]",
            "",
            "2:13: cannot listen on unix://%/new/: expected the path of a file",
        ),
    ] {
        let [text, expected] = [text, expected].map(|text| text.replace('%', place));
        let listener = if text.contains("listeners") {
            String::new()
        } else {
            format!("listeners: [{{listen: unix://{place}/l}}]")
        };
        fs::write(&config, format!("upstream: unix://{place}/engine\n{text}\n{listener}\n")).unwrap();
        let end = |command: &str| {
            let variables = [("DOCKVEIL_AUDIT", variable)];
            let output = program::command(&variables, &[command, "--config", &config]).output().unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        let (code, said) = end("check");
        let expected = if variable.is_empty() { format!("{config}:{expected}") } else { expected };
        assert!(code == Some(78) && said.starts_with(&expected), "{expected}: {code:?} {said}");
        let (code, said) = end("serve");
        assert_eq!(code, Some(70), "{expected}: {said}");
    }
    // All of them are named.
    let two = format!("audit: {{file: missing/audit}}\nlisteners: [{{listen: unix://{place}/file}}]\n");
    fs::write(&config, two).unwrap();
    let (code, said) =
        ended(&folder, &["check", "--config", &config, "--metrics", &format!("unix://{place}/folder")], "");
    assert!(
        code == Some(78)
            && said.contains("--metrics: cannot listen on ")
            && said.ends_with("3 errors in the configuration\n"),
        "{said}"
    );
}

fn check_makes_no_file_and_knows_which_folders_a_start_makes() {
    let folder = Folder::new();
    let place = folder.path("").display().to_string();
    let config = folder.path("dockveil.yaml").display().to_string();
    let text = format!(
        "upstream: unix://{place}/engine\naudit: {{file: new/audit}}\nmetrics: unix://{place}/more/metrics\n\
         listeners: [{{listen: unix://{place}/new/deeper/listener}}]\n"
    );
    fs::write(&config, text).unwrap();
    // The path of the audit file is relative to the working directory in the second case.
    for path in [&config, "dockveil.yaml"] {
        let mut check = program::command(&[], &["check", "--config", path]);
        let output = check.current_dir(folder.path("")).output().unwrap();
        assert!(output.status.success(), "{path}: {output:?}");
    }
    let names = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(names(&folder.path("")), ["dockveil.yaml"]);
    let program = Program::start(program::command(&[], &["--config", &config]));
    program.listening();
    // What serves does not make the next check fail.
    let (code, said) = ended(&folder, &["check", "--config", &config], "");
    assert_eq!(code, Some(0), "{said}");
    assert!(folder.path("new/audit").is_file() && folder.path("more/metrics").exists());
}

fn a_configuration_in_a_pipe_is_read_once_by_every_command() {
    let folder = Folder::new();
    let text = "listeners: [{listen: unix:///nowhere/listener, profile: own}]\nfilters: [filters]\n\
                profiles: [{profile: own, about: Mine., allow: [Ping], show: []}]\n";
    fs::create_dir(folder.path("filters")).unwrap();
    let read = |variables: &[(&str, &str)], arguments: &[&str], text: &str| {
        let mut command = program::command(variables, arguments);
        command.current_dir(folder.path("")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
        (output.status.code(), said)
    };
    for (arguments, code, expected) in [
        (&["check"][..], 0, "profile own"),
        (&["explain", "/_ping"], 0, "allowed by /dev/stdin:3:"),
        (&["profiles"], 0, "(/dev/stdin:3:"),
        (&["catalogue", "SystemPing"], 64, "unknown"),
        (&["healthcheck"], 1, "/nowhere/listener"),
    ] {
        let with_option: Vec<&str> = arguments.iter().copied().chain(["--config", "/dev/stdin"]).collect();
        let (found, said) = read(&[], &with_option, text);
        assert!(found == Some(code) && said.contains(expected), "{arguments:?}: {found:?} {said}");
        for variable in ["DOCKVEIL_CONFIG", "DOCKVEIL_DEFAULT_CONFIG"] {
            let (found, said) = read(&[(variable, "/dev/stdin")], arguments, text);
            assert!(found == Some(code) && said.contains(expected), "{arguments:?}: {found:?} {said}");
        }
    }
    // Its errors are those of the pipe, in the form that it asks for.
    let wrong = "log: {format: json}\nlisteners: [{listen: unix:///nowhere/listener, profile: none}]\n";
    let (found, said) = read(&[], &["--config", "/dev/stdin"], wrong);
    assert_eq!(found, Some(78), "{said}");
    assert!(said.contains("/dev/stdin:2:") && said.lines().all(|line| line.starts_with('{')), "{said}");
    let (found, said) = read(&[], &["check", "--config", "/dev/stdin"], "upstream: [");
    assert!(found == Some(78) && said.starts_with("/dev/stdin:"), "{said}");
}

fn a_configuration_in_a_pipe_stays_in_force_and_a_reload_says_why() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let place = folder.path("").display().to_string();
    let config = format!("upstream: unix://{place}/engine\nlisteners: [{{listen: unix://{place}/listener}}]\n");
    fs::write(folder.path("config"), &config).unwrap();
    let pipe = folder.path("pipe").display().to_string();
    let first = format!("mkfifo {pipe}; cat {place}/config >{pipe} &");
    let program = Program::start(command_after(&format!("{first} :"), &["--config", &pipe]));
    program.listening();
    program.signal(Signal::HUP);
    let line = program.line_with("configuration ");
    assert!(line.contains("not reloaded") && line.contains("pipe can be read only once"), "{line}");
    let mut client = Client::connect(&folder.path("listener"));
    let mut ask = || {
        client.send(get("/containers/json"));
        status(&client.message(false))
    };
    assert_eq!(ask(), 200);
    // A file in its place can be read.
    let config = config.replace("/listener}", "/listener, profile: own}");
    fs::write(folder.path("config"), format!("{config}profiles: [{{profile: own, allow: [Ping], show: []}}]\n"))
        .unwrap();
    fs::rename(folder.path("config"), &pipe).unwrap();
    let line = program.line_with("configuration reloaded");
    assert_eq!(ask(), 403, "{line}");
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

/// Characters that paint a terminal, end a line, turn the direction or are not seen.
const HARMFUL: &[char] = &[
    '\n', '\r', '\t', '\u{1}', '\u{7}', '\u{8}', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{200b}', '\u{200f}',
    '\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}', '\u{feff}',
];
/// What a line must not begin with.
const FORGED: &str = "listen  unix:///forged";

/// Whether all that is printed shows as itself, and no line is made by a text.
#[track_caller]
fn check_harmless(what: &str, said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said).into_owned();
    let found = said.chars().find(|c| *c != '\n' && (HARMFUL.contains(c) || c.is_control()));
    assert_eq!(found, None, "{what}: {said:?}");
    assert!(!said.lines().any(|line| line.trim_start().starts_with(FORGED)), "{what}: {said}");
    said
}

/// A text with harm in it, as it is written in double quotes of YAML.
fn harmful_in_yaml(c: char) -> String {
    format!("a\\U{:08x}b\\n{FORGED}", u32::from(c))
}

fn no_text_of_a_file_harms_the_terminal() {
    const FILES: &[&str] = &[
        "upstream: \"unix:///%\"",
        "metrics: \"unix:///%\"",
        "audit: {file: \"/%\"}",
        "listeners: [{listen: \"unix:///%\"}]",
        "listeners: [{listen: \"tcp://%:1\"}]",
        "listeners: [{listen: \"unix:///l\", upstream: \"unix:///%\"}]",
        "listeners: [{listen: \"unix:///l\", hosts: [\"%\"]}]",
        "listeners: [{listen: \"unix:///l\", profile: \"%\"}]",
        "listeners: [{listen: \"unix:///l\", clients: [{container: {name: \"%\"}, profile: dashboard}]}]",
        "listeners: [{listen: \"unix:///l\", clients: [{container: {label: \"%=1\"}, profile: dashboard}]}]",
        "profiles: [{profile: dashboard-live, about: \"%\", allow: [Ping]}]",
        "profiles: [{profile: own, about: \"%\", allow: [Ping, ContainerList]}]",
        "profiles: [{profile: \"%\", allow: [Ping]}]",
        "profiles: [{profile: own, allow: [\"%\"]}]",
        "profiles: [{profile: own, extends: dashboard, labels: [\"%\"]}]",
        "profiles: [{profile: own, extends: dashboard, env: [\"%\"]}]",
        "profiles: [{profile: own, extends: dashboard, containers: {only: [{name: \"%\"}]}}]",
        "profiles: [{profile: own, extends: dashboard, rules: [{on: ContainerInspect, redact: \"$.Config.Labels['%']\"}]}]",
        "\"%\": 1",
    ];
    let folder = Folder::new();
    let path = folder.path("dockveil.yaml");
    let path = path.to_str().unwrap();
    let mut accepted = 0;
    for (number, file) in FILES.iter().enumerate() {
        // Each character at each place takes long: all of them at one, and one after another at the others.
        let chars = if number == 3 { HARMFUL } else { &HARMFUL[number % HARMFUL.len()..][..1] };
        for text in chars.iter().map(|c| file.replace('%', &harmful_in_yaml(*c))) {
            let own =
                if text.contains("profile: own") { "listeners: [{listen: \"unix:///l\", profile: own}]\n" } else { "" };
            fs::write(path, format!("{own}{text}\n")).unwrap();
            for arguments in [
                &["check", "--config", path][..],
                &["explain", "--config", path, "GET /containers/json"],
                &["explain", "--config", path, "--as", "container=x", "--host", "h", "GET /containers/x/json"],
                &["profiles", "--config", path],
                &["healthcheck", "--config", path],
            ]
            .iter()
            .take(if number == 3 { 2 } else { 5 })
            {
                let Output { status, stdout, stderr } = program::command(&[], arguments).output().unwrap();
                accepted += u32::from(status.success() && arguments[0] == "check");
                check_harmless(&format!("{arguments:?} {text}"), &[stdout, stderr].concat());
            }
            // As a document, it is what it was.
            let arguments = &["check", "--config", path, "--output", "json"];
            let Output { stdout, .. } = program::command(&[], arguments).output().unwrap();
            serde_json::from_slice::<serde_json::Value>(&stdout).unwrap();
        }
    }
    assert!(accepted > 20, "{accepted}");
    for c in HARMFUL {
        let text = format!("a{c}b\n{FORGED}");
        let quoted = harmful_in_yaml(*c);
        for file in [
            format!("services: {{p: {{image: wollomatic/socket-proxy, command: [\"-evil{quoted}\"]}}}}"),
            format!("services: {{p: {{image: wollomatic/socket-proxy, command: [\"-allowGET=/{quoted}\"]}}}}"),
            format!(
                "services: {{p: {{image: tecnativa/docker-socket-proxy, environment: {{SOCKET_PATH: \"/{quoted}\", CONTAINERS: 1}}}}}}"
            ),
            format!(
                "services: {{\"{quoted}\": {{image: tecnativa/docker-socket-proxy, environment: {{CONTAINERS: \"{quoted}\"}}}}}}"
            ),
            format!("docker run -e 'CONTAINERS={text}' tecnativa/docker-socket-proxy"),
        ] {
            fs::write(path, &file).unwrap();
            let Output { status, stdout, stderr } = program::command(&[], &["migrate", path]).output().unwrap();
            let said = check_harmless(&format!("migrate {file:?}"), &[stdout.clone(), stderr].concat());
            if status.success() {
                // What is written is a configuration.
                fs::write(path, &stdout).unwrap();
                let checked = program::command(&[], &["check", "--config", path]).output().unwrap();
                assert!(checked.status.success(), "{said}: {}", String::from_utf8_lossy(&checked.stderr));
            }
        }
    }
    // The summary of the start.
    let socket = folder.path("a\u{1b}[31m\u{202e}\nlisten  unix:");
    fs::write(
        path,
        format!(
            "listeners: [{{listen: \"unix://{}\"}}]\n",
            socket
                .to_str()
                .unwrap()
                .escape_debug()
                .to_string()
                .replace("\\u{1b}", "\\e")
                .replace("\\u{202e}", "\\u202e")
        ),
    )
    .unwrap();
    let program = Program::start(program::command(&[], &["--config", path]));
    let mut lines = program.listening();
    lines.extend(program.stop().1);
    check_harmless("serve", lines.join("\n").as_bytes());
    assert!(lines.iter().any(|line| line.contains("a\\u{1b}[31m\\u{202e}\\nlisten  unix:")), "{lines:#?}");
}

/// Values with a password, whatever else is in it.
const WITH_PASSWORD: [&str; 12] = [
    "tcp://user:PASSWORD@host",
    "user:PASSWORD@host",
    "tcp://user:a'PASSWORD@host",
    "tcp://user:a`PASSWORD@host",
    "tcp://user:\"PASSWORD PASSWORD@host",
    "user:PASSWORD,PASSWORD@host",
    "tcp%3A//user%3APASSWORD%40host",
    "https://PASSWORD@host",
    "tcp://user:PASSWORD=PASSWORD@host",
    "user:PASSWORD @ host",
    "user:PASSWORD@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "tcp://user:PASSWORD, @host",
];

/// Three of these values for a place, others for the next one.
fn with_password(place: usize) -> impl Iterator<Item = &'static str> {
    (0..3).map(move |number| WITH_PASSWORD[(place * 3 + number) % WITH_PASSWORD.len()])
}

/// A URL may be in the wrong place.
fn no_message_names_the_password_of_a_url() {
    const VARIABLES: [&str; 13] = [
        "DOCKER_HOST",
        "DOCKVEIL_API",
        "DOCKVEIL_AUDIT",
        "DOCKVEIL_COMPAT",
        "DOCKVEIL_CONFIG",
        "DOCKVEIL_FILTERS",
        "DOCKVEIL_HOSTS",
        "DOCKVEIL_LISTEN",
        "DOCKVEIL_LOG",
        "DOCKVEIL_LOG_FORMAT",
        "DOCKVEIL_METRICS",
        "DOCKVEIL_PROFILE",
        "DOCKVEIL_UPSTREAM",
    ];
    // What other proxies read, and of it what an error or a note quotes.
    const OTHERS: [&str; 5] = ["CONTAINERS", "SOCKET_PATH", "DOCKVEIL_SHOW", "DOCKVEIL_LABELS", "DOCKVEIL_CONTAINERS"];
    let folder = Folder::new();
    let check = |what: &str, is_error: bool, Output { status, stdout, stderr }: Output| {
        let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        assert!(status.success() != is_error && !said.contains("PASSWORD"), "{what}: {status} {said}");
    };
    let mut places: Vec<Vec<&str>> = WRONG.iter().map(|wrong| wrong.to_vec()).collect();
    for command in ["serve", "check", "profiles", "catalogue"] {
        places.extend(["--config", "--filters"].map(|option| vec![command, option, "nothing"]));
    }
    places.push(vec!["migrate", "nothing"]);
    places.push(vec!["man", "--directory", "/dev/null/nothing"]);
    let is_place = |place: &&Vec<&str>| place.iter().any(|text| text.contains("nonsense") || text.contains("nothing"));
    for (number, place) in places.iter().filter(is_place).enumerate() {
        for value in with_password(number) {
            let arguments = place.iter().map(|text| text.replace("nonsense", value).replace("nothing", value));
            let arguments: Vec<String> = arguments.collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            check(&format!("{arguments:?}"), true, run(&folder, &arguments, COMPOSE));
        }
    }
    let asked = ["explain", "--profile", "dashboard", "--host", "tcp://user:PASSWORD@host", "/info"];
    check("explain --host", false, run(&folder, &asked, COMPOSE));
    for (number, name) in VARIABLES.iter().enumerate() {
        let commands = [&["check"][..], &["check", "--output", "json"], &["serve"]];
        for (value, arguments) in with_password(number).zip(commands) {
            // The audit file may have any name, but its folder is not there.
            let folder_of = if *name == "DOCKVEIL_AUDIT" { "/nowhere/" } else { "" };
            let value = format!("{folder_of}{value}");
            let mut command = program::command(&[(name, &value)], arguments);
            if *name != "DOCKVEIL_LISTEN" {
                command.env("DOCKVEIL_LISTEN", format!("unix://{}", folder.path("listener").display()));
            }
            let output = command.stdin(Stdio::null()).output().unwrap();
            check(&format!("{name}={value} {arguments:?}"), true, output);
        }
    }
    for name in OTHERS {
        for value in WITH_PASSWORD {
            // A label may have any name, but no question mark in it.
            let value = if name == "DOCKVEIL_LABELS" { format!("{value}?") } else { value.to_owned() };
            let mut command = program::command(&[("DOCKVEIL_COMPAT", "tecnativa"), (name, &value)], &["check"]);
            let Output { stdout, stderr, .. } = command.stdin(Stdio::null()).output().unwrap();
            let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
            assert!(said.contains(name) && !said.contains("PASSWORD"), "{name}={value}: {said}");
        }
    }
}

/// Documents with a value at each place that the schema of a file knows, and with a key that is none.
fn with_value(schema: &Value, place: &Value, value: &str, found: &mut Vec<Value>) {
    if let Some(name) = place["$ref"].as_str() {
        return with_value(schema, schema.pointer(name.trim_start_matches('#')).unwrap(), value, found);
    }
    let below = |place: &Value| {
        let mut found = Vec::new();
        with_value(schema, place, value, &mut found);
        found
    };
    for way in ["anyOf", "oneOf", "allOf"].iter().filter_map(|word| place[word].as_array()).flatten() {
        found.extend(below(way));
    }
    if place["items"].is_object() {
        found.extend(below(&place["items"]).into_iter().map(|item| json!([item])));
    }
    let Some(members) = place["properties"].as_object() else {
        return found.push(json!(value));
    };
    found.push(json!({ value: 1 }));
    for (name, member) in members {
        for inner in below(member) {
            let mut object = json!({});
            if members.contains_key("listen") {
                object["listen"] = json!("unix:///l");
            }
            object[name] = inner;
            found.push(object);
        }
    }
}

fn no_error_in_a_file_names_the_password_of_a_url() {
    let folder = Folder::new();
    let path = folder.path("dockveil.yaml");
    let said = |text: &str| {
        fs::write(&path, text).unwrap();
        let files = ConfigFiles { config: Some(path.clone()), ..ConfigFiles::default() };
        let arguments = ServeArgs { files, ..ServeArgs::default() };
        Config::load(&arguments, &Environment::default()).map_err(|wrong| wrong.to_string())
    };
    let [config, profile] = [SchemaFile::Config, SchemaFile::Profile].map(|file| schema_of(file).unwrap());
    let (mut tried, mut quoted) = (BTreeSet::new(), 0);
    for (number, value) in WITH_PASSWORD.iter().enumerate() {
        let (mut documents, mut profiles) = (Vec::new(), Vec::new());
        with_value(&config, &config, value, &mut documents);
        with_value(&profile, &profile, value, &mut profiles);
        let of_profile = |mut keys: Value| {
            if keys.is_object() && keys["profile"].is_null() {
                keys["profile"] = json!("own");
                keys["extends"] = if keys["extends"].is_null() { json!("dashboard") } else { keys["extends"].take() };
            }
            json!({ "listeners": [{"listen": "unix:///l", "profile": "own"}], "profiles": [keys] })
        };
        documents.extend(profiles.into_iter().map(of_profile));
        // In a list of names that is one text, and twice.
        let allowed = [json!({ "allow": [format!("Ping {value}")] }), json!({ "allow": [value, value] })];
        documents.extend(allowed.map(of_profile));
        for (_, document) in documents.iter().enumerate().filter(|(place, _)| (place + number) % 4 == 0) {
            let text = document.to_string();
            match said(&text) {
                Ok(config) if text.contains("audit") => {
                    let summary = summary(&config);
                    assert!(summary.contains("audit ") && !summary.contains("PASSWORD"), "{text}: {summary}");
                }
                Ok(_) => {}
                Err(wrong) => {
                    assert!(!wrong.contains("PASSWORD"), "{text}: {wrong}");
                    quoted += usize::from(wrong.contains('…'));
                    tried.insert(text.replace(&json!(value).to_string(), "@@"));
                }
            }
        }
    }
    assert!(tried.len() > 150 && quoted > 150, "{} {quoted}", tried.len());
}

fn no_text_of_an_argument_or_a_variable_harms_the_terminal() {
    const ARGUMENTS: &[&[&str]] = &[
        &["check", "--config", "/%"],
        &["check", "--listen", "%"],
        &["check", "--upstream", "unix:///%"],
        &["check", "--hosts", "%"],
        &["check", "--profile", "%"],
        &["check", "--%"],
        &["check", "--%=1"],
        &["%"],
        &["serve", "--config", "/%"],
        &["serve", "--%"],
        &["explain", "--host", "%", "/info"],
        &["explain", "--as", "certificate=cn:%", "/info"],
        &["explain", "--as", "%", "/info"],
        &["explain", "/%"],
        &["explain", "GET", "/info?%=1"],
        &["explain", "--output", "%", "/info"],
        &["filter", "--operation", "%"],
        &["healthcheck", "--target", "unix:///%"],
        &["healthcheck", "--target", "%"],
        &["migrate", "/%"],
        &["migrate", "--as", "%"],
        &["catalogue", "%"],
        &["man", "%"],
        &["man", "--directory", "/proc/%"],
        &["schema", "%"],
        &["completions", "%"],
    ];
    const VARIABLES: &[&str] = &[
        "DOCKVEIL_LOG",
        "DOCKVEIL_LOG_FORMAT",
        "DOCKVEIL_CONFIG",
        "DOCKER_HOST",
        "DOCKVEIL_LISTEN",
        "DOCKVEIL_PROFILE",
    ];
    let run = |what: &str, command: &mut std::process::Command| {
        let Output { stdout, stderr, .. } = command.stdin(Stdio::null()).output().unwrap();
        check_harmless(what, &[stdout, stderr].concat());
    };
    for (number, c) in HARMFUL.iter().cycle().take(2 * ARGUMENTS.len()).enumerate() {
        let harmful = format!("a{c}b\n{FORGED}");
        let arguments: Vec<String> =
            ARGUMENTS[number % ARGUMENTS.len()].iter().map(|text| text.replace('%', &harmful)).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&format!("{arguments:?}"), &mut program::command(&[], &arguments));
    }
    for (c, name) in HARMFUL.iter().zip(VARIABLES.iter().cycle()) {
        for first in ["check", "profiles", "serve"] {
            let harmful = format!("/a{c}b\n{FORGED}");
            // One that serves would not end.
            if first != "serve" || name.starts_with("DOCKVEIL_LOG") || *name == "DOCKVEIL_CONFIG" {
                run(&format!("{name} {harmful:?} {first}"), &mut program::command(&[(name, &harmful)], &[first]));
            }
        }
    }
}

/// What each command that prints something is called with.
const PRINTING: &[&[&str]] = &[
    &["check"],
    &["explain", "--profile", "dashboard", "GET /containers/json"],
    &["profiles"],
    &["catalogue"],
    &["catalogue", "ContainerSummary"],
    &["schema"],
    &["man"],
    &["completions", "bash"],
    &["completions", "elvish"],
    &["completions", "fish"],
    &["completions", "powershell"],
    &["completions", "zsh"],
    &["filter", "--operation", "ContainerList"],
    &["filter", "--operation", "SystemEvents"],
    &["migrate"],
];

fn output_that_cannot_be_written_ends_with_70() {
    let folder = Folder::new();
    let directory = folder.path("").display().to_string();
    let ended = |arguments: &[&str], out: Stdio| {
        let mut command = program::command(&[("XDG_RUNTIME_DIR", &directory)], arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(out).stderr(Stdio::piped()).spawn().unwrap();
        let input = match arguments {
            ["filter", "--operation", "ContainerList"] => "[{}]",
            ["filter", ..] => r#"{"Type":"container","Action":"start"}"#,
            _ => COMPOSE,
        };
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for arguments in PRINTING {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, said) = ended(arguments, full.into());
        assert!(code == Some(70) && said.contains("No space left"), "{arguments:?}: {code:?} {said}");
        // A reader who has read enough.
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let (code, said) = ended(arguments, writer.into());
        assert!(code == Some(0) && !said.contains("Broken pipe"), "{arguments:?}: {code:?} {said}");
    }
}

/// Bytes that do not end. Reading more than any limit is an error.
struct Endless {
    start: &'static [u8],
    byte: u8,
    left: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.start.is_empty() {
            return self.start.read(buffer);
        }
        self.left = self.left.checked_sub(buffer.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        buffer.fill(self.byte);
        Ok(buffer.len())
    }
}

/// Filters `input`; returns the exit code, what comes out, and what is said.
fn filtered(operation: &str, input: &mut dyn Read) -> (u8, String, String) {
    let arguments = FilterArgs {
        profile: "dashboard".to_owned(),
        operation: operation.to_owned(),
        files: ConfigFiles::default(),
        api: None,
        diff: false,
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = command::filter(&arguments, &Environment::default(), input, &mut out, &mut err)
        .unwrap_or_else(|error| panic!("{operation}: {error:?}"));
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn input_without_end_is_withheld_at_the_limit() {
    for (operation, start, byte, expected) in [
        ("ContainerInspect", "", b'\0', "withheld: document: over the limit of 16777216 bytes\n"),
        ("ContainerInspect", "{\"Id\":\"", b'a', "withheld: document: over the limit of 16777216 bytes\n"),
        ("ContainerList", "[{\"Id\":\"", b'a', "withheld: document: over the limit of 16777216 bytes\n"),
        ("SystemEvents", "{\"Type\":\"", b'a', "withheld: a record longer than 16777216 bytes\n"),
        ("SystemEvents", "", b'\0', "withheld: not a sequence of JSON objects\n"),
    ] {
        let mut input = Endless { start: start.as_bytes(), byte, left: 64 << 20 };
        let (code, out, said) = filtered(operation, &mut input);
        assert!(code == 1 && out.is_empty() && said == expected, "{operation}: {code} {out:?} {said:?}");
    }
}

fn a_sequence_of_events_may_be_longer_than_the_limit() {
    let text = "a".repeat(9 << 20);
    let event = format!(r#"{{"Type":"container","Action":"start","Actor":{{"Attributes":{{"own":"{text}"}}}}}}"#);
    let (code, out, said) = filtered("SystemEvents", &mut [event.as_str(); 2].join("\n").as_bytes());
    assert!(code == 0 && said.is_empty(), "{code} {said}");
    assert_eq!(out.lines().count(), 2);
}
