//! An engine through `ssh`, for which a stand-in is on the `PATH`: what it is asked, that it ends with its connection, and what is said
//! if it fails. `tests/engine/ssh.rs` has a real one.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Test, tests};
use crate::support::client::{Client, PATIENCE, body, closing_get, get, status};
use crate::support::daemon::{Daemon, Reply, handing, json, wait_until_closed};
use crate::support::program::{Program, command};
use crate::support::proxy::Folder;
use crate::support::tunnel::{UPGRADED, passes_both_ways};

pub(crate) const TESTS: &[Test] = tests![
    ssh_is_asked_as_by_the_docker_command,
    ssh_does_not_speak_for_the_service,
    a_tunnel_through_ssh_passes_both_ways_and_ends_the_process,
    a_stream_that_is_left_ends_the_process,
    what_ssh_cuts_does_not_look_complete,
    an_ssh_that_fails_is_502_and_told_to_the_operator,
    a_password_is_an_error_that_does_not_quote_it
];

const PROFILE: &str =
    "profiles: [{profile: all, allow: [Ping, ContainerList, ContainerLogs, ContainerAttach], show: all}]\n";
const UPSTREAM: &str = "ssh://me@engine.example:2222";

/// The program, a daemon, and a stand-in for ssh that reaches it.
struct SshBench {
    folder: Folder,
    program: Program,
    _daemon: Daemon,
}

impl SshBench {
    /// With a stand-in that does this once it has written down its arguments. `%` stands for what reaches the daemon.
    fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static, script: &str) -> Self {
        Self::start_with(&[], answer, script)
    }

    /// As [`Self::start`], with these variables.
    fn start_with(
        variables: &[(&str, &str)],
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
        script: &str,
    ) -> Self {
        let folder = Folder::new();
        let daemon = Daemon::start(&folder.path("engine"), answer);
        std::fs::create_dir(folder.path("bin")).unwrap();
        let ourselves = std::env::current_exe().unwrap();
        let dial = format!("{} __dial-stdio {}", ourselves.display(), daemon.path.display());
        let noted =
            format!("for argument in \"$@\"; do echo \"$argument\"; done > {}/$$", folder.path("started").display());
        let ssh = folder.path("bin/ssh");
        std::fs::create_dir(folder.path("started")).unwrap();
        std::fs::write(&ssh, format!("#!/bin/sh\n{noted}\n{}\n", script.replace('%', &dial))).unwrap();
        std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", folder.path("bin").display());
        let program = Self::program(&folder, &[variables, &[("PATH", &path)]].concat());
        Self { folder, program, _daemon: daemon }
    }

    /// The program with these variables.
    fn program(folder: &Folder, variables: &[(&str, &str)]) -> Program {
        let listener = folder.path("listener").display().to_string();
        let text =
            format!("upstream: {UPSTREAM}\nlisteners: [{{listen: \"unix://{listener}\", profile: all}}]\n{PROFILE}");
        std::fs::write(folder.path("dockveil.yaml"), text).unwrap();
        let config = folder.path("dockveil.yaml").display().to_string();
        let program = Program::start(command(variables, &["--config", &config]));
        program.listening();
        program
    }

    fn client(&self) -> Client {
        Client::connect(&self.folder.path("listener"))
    }

    fn ask(&self, request: &str) -> String {
        let mut client = self.client();
        client.send(request);
        client.rest()
    }

    /// The numbers of the processes that were started, and what each was asked.
    fn started(&self) -> Vec<(u32, Vec<String>)> {
        let entries = std::fs::read_dir(self.folder.path("started")).unwrap().map(|entry| entry.unwrap().path());
        let read = |path: PathBuf| {
            let lines = std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
            (path.file_name().unwrap().to_str().unwrap().parse().unwrap(), lines)
        };
        entries.map(read).collect()
    }

    /// The numbers of the processes that are children of the program, among them those that have ended and were not waited for.
    fn children(&self) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.program.id())).unwrap();
        let children = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("children")));
        let numbers = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        children.flat_map(|text| numbers(text.unwrap_or_default())).collect()
    }

    /// Waits until the program has no child, running or not.
    #[track_caller]
    fn wait_until_childless(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.children().is_empty() {
            assert!(Instant::now() < deadline, "still there: {:?}", self.children());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn ssh_is_asked_as_by_the_docker_command() {
    let bench = SshBench::start(|_| json("[]"), "exec %");
    let mut client = bench.client();
    for _ in 0..5 {
        client.send(get("/containers/json"));
        let answer = client.message(false);
        assert_eq!((status(&answer), body(&answer).0.as_str()), (200, "[]"), "{answer}");
    }
    // One for the worker that asked for the version, and one for the worker of the client, at most.
    let started = bench.started();
    assert!((1..=2).contains(&started.len()), "{started:?}");
    let expected =
        ["-l", "me", "-p", "2222", "-o ConnectTimeout=30", "-T", "--", "engine.example", "docker system dial-stdio"];
    for (_, arguments) in &started {
        assert_eq!(arguments, &expected);
    }
    // The first may have ended: the worker that asked for the version may not need it again.
    assert!((1..=started.len()).contains(&bench.children().len()), "{:?}", bench.children());
    let SshBench { program, .. } = bench;
    assert!(program.stop().0.success());
    let deadline = Instant::now() + PATIENCE;
    for (process, _) in started {
        while std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(Instant::now() < deadline, "{process} has survived");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What the service manager tells this process is not for its children: they could report to it, or take its sockets for theirs.
fn ssh_does_not_speak_for_the_service() {
    let of_manager = [
        ("NOTIFY_SOCKET", "/nowhere/notify"),
        ("WATCHDOG_PID", "1"),
        ("WATCHDOG_USEC", "1000000"),
        ("LISTEN_PID", "1"),
        ("LISTEN_PIDFDID", "1"),
        ("LISTEN_FDS", "1"),
        ("LISTEN_FDNAMES", "docker"),
    ];
    let variables = [&of_manager[..], &[("SSH_AUTH_SOCK", "/run/agent")]].concat();
    let bench = SshBench::start_with(&variables, |_| json("[]"), "env >\"$0.env\"; exec %");
    assert_eq!(status(&bench.ask(&closing_get("/containers/json"))), 200);
    let told = std::fs::read_to_string(bench.folder.path("bin/ssh.env")).unwrap();
    assert!(told.lines().any(|line| line == "SSH_AUTH_SOCK=/run/agent"), "{told}");
    let inherited = |line: &&str| of_manager.iter().any(|(name, _)| line.starts_with(&format!("{name}=")));
    assert_eq!(told.lines().filter(inherited).collect::<Vec<_>>(), Vec::<&str>::new());
}

fn a_tunnel_through_ssh_passes_both_ways_and_ends_the_process() {
    let (answer, connections) = handing(UPGRADED);
    let bench = SshBench::start(answer, "exec %");
    let mut client = bench.client();
    passes_both_ways(&mut client, &connections);
    // What is idle is kept for the next request. It ends as soon as the engine closes it.
    let tunnels: Vec<u32> = bench.started().into_iter().map(|(process, _)| process).collect();
    let gone = |process: u32| !bench.children().contains(&process.to_string());
    let deadline = Instant::now() + PATIENCE;
    while !tunnels.iter().any(|process| gone(*process)) {
        assert!(Instant::now() < deadline, "no process has ended: {tunnels:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

const LOGS: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";

fn a_stream_that_is_left_ends_the_process() {
    // The second does not end by itself.
    for script in ["exec %", "%; exec sleep 1000"] {
        let (answer, connections) = handing(LOGS);
        let bench = SshBench::start(answer, script);
        let mut client = bench.client();
        client.send(get("/containers/web/logs?stdout=1&follow=1"));
        client.read_until("\r\n\r\n");
        let mut daemon = connections.next();
        daemon.write_all(b"one").unwrap();
        client.read_until("one");
        let started = bench.started().len();
        drop(client);
        wait_until_closed(daemon);
        // Only what is kept for documents is left.
        let deadline = Instant::now() + PATIENCE;
        while bench.children().len() >= started {
            assert!(Instant::now() < deadline, "{script}: {:?}", bench.children());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Of a body that ends with its connection, only the exit status of ssh tells whether it was cut.
fn what_ssh_cuts_does_not_look_complete() {
    for (is_cut, expected) in [(true, true), (false, false)] {
        let (answer, connections) = handing(LOGS);
        // As ssh does if its connection is lost.
        let bench = SshBench::start(
            answer,
            "%; status=$?; [ $status = 0 ] || { echo 'Connection to engine closed by remote host.' >&2; exit 255; }",
        );
        let mut client = bench.client();
        client.send(get("/containers/web/logs?stdout=1&follow=1"));
        client.read_until("\r\n\r\n");
        let mut daemon = connections.next();
        daemon.write_all(b"one").unwrap();
        client.read_until("one");
        if is_cut {
            // The last one that was started dials for the stream.
            for dialling in dialling(&bench.folder) {
                kill_process(Pid::from_raw(dialling).unwrap(), Signal::KILL).unwrap();
            }
        } else {
            drop(daemon);
        }
        client.rest();
        let line = bench.program.line_with("msg=\"exchange");
        let is_told = line.contains("exchange broken")
            && line.contains("ssh: Connection to engine closed by remote host. (exit status 255)");
        assert_eq!(is_told, expected, "{line}");
    }
}

/// The processes that dial for a folder.
fn dialling(folder: &Folder) -> Vec<i32> {
    let engine = folder.path("engine").display().to_string();
    let entries =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let dials = |process: &i32| {
        let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.get(1..3) == Some(&[b"__dial-stdio", engine.as_bytes()])
    };
    entries.filter(dials).collect()
}

fn an_ssh_that_fails_is_502_and_told_to_the_operator() {
    let long = "x".repeat(1000);
    for (script, expected) in [
        ("echo 'Warning: something.' >&2; echo 'me@engine.example: Permission denied (publickey).' >&2; exit 255".to_owned(), "ssh: me@engine.example: Permission denied (publickey). (exit status 255)".to_owned()),
        ("printf 'bash: \\033[31mdocker\\033[0m: not found\\r\\n' >&2; exit 127".to_owned(), "ssh: bash: ?[31mdocker?[0m: not found (exit status 127)".to_owned()),
        (format!("echo {long} >&2; exit 255"), format!("ssh: {}… (exit status 255)", "x".repeat(200))),
        ("exit 3".to_owned(), "ssh: it says nothing (exit status 3)".to_owned()),
        ("kill -KILL $$".to_owned(), "ssh: it says nothing (ended by a signal)".to_owned()),
        // Nobody answers a question.
        ("test -t 0 || sh -c \"$SSH_ASKPASS\" || { echo \"$SSH_ASKPASS_REQUIRE: Host key verification failed.\" >&2; exit 255; }".to_owned(), "ssh: force: Host key verification failed. (exit status 255)".to_owned()),
    ] {
        let bench = SshBench::start(|_| json("[]"), &script);
        check(&bench, &expected);
        bench.wait_until_childless();
    }
    let folder = Folder::new();
    std::fs::create_dir(folder.path("empty")).unwrap();
    let program = SshBench::program(&folder, &[("PATH", folder.path("empty").to_str().unwrap())]);
    let daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    check(&SshBench { folder, program, _daemon: daemon }, "ssh: there is no ssh on this machine");
}

/// What a document and a stream answer if ssh fails, and the log.
#[track_caller]
fn check(bench: &SshBench, expected: &str) {
    for target in ["/containers/json", "/containers/web/logs?stdout=1"] {
        let answer = bench.ask(&closing_get(target));
        assert_eq!(status(&answer), 502, "{expected}: {answer}");
        let (said, _) = body(&answer);
        assert_eq!(said.trim_end(), "{\"message\":\"no SSH connection to the docker daemon\"}", "{expected}");
        let line = bench.program.line_with("level=warn");
        assert!(line.contains(&format!("engine: {expected}")), "{expected}: {line}");
    }
}

fn a_password_is_an_error_that_does_not_quote_it() {
    let folder = Folder::new();
    let path = folder.path("dockveil.yaml");
    std::fs::write(&path, "upstream: \"ssh://me:canary-password@host\"\n").unwrap();
    for (code, variables, arguments) in [
        (78, &[][..], &["check", "--config", path.to_str().unwrap()][..]),
        (78, &[("DOCKER_HOST", "ssh://me:canary-password@host")], &["check"]),
        (64, &[], &["check", "--upstream", "ssh://me:canary-password@host"]),
        (78, &[("DOCKVEIL_UPSTREAM", "ssh://me:canary-password@host/?x")], &["check"]),
    ] {
        check_unquoted(code, variables, arguments, "with a password, expected none");
    }
    // Nor in an address that has no use for one.
    for (code, variables, arguments) in [
        (78, &[("DOCKER_HOST", "tcp://me:canary-password@host:1")][..], &["check"][..]),
        (78, &[("DOCKER_HOST", "me:canary-p@ssword@host")], &["check"]),
        (64, &[], &["check", "--upstream", "http://me:canary-password@host"]),
        (64, &[], &["check", "--listen", "tcp://me:canary-password@host:1"]),
        (64, &[], &["check", "--metrics", "tcp://me:canary-password@host:1"]),
        (64, &[], &["check", "--hosts", "http://me:canary-password@host:1"]),
        (64, &[], &["healthcheck", "--target", "tcp://me:canary-password@127.0.0.1:1"]),
        (64, &[], &["healthcheck", "--target", "tcp://canary-token@127.0.0.1:1"]),
        (64, &[], &["healthcheck", "--target", "ssh://me:canary-password@host"]),
        (64, &[], &["healthcheck", "--target", "me:canary-p://ssword@host:1"]),
        (78, &[("DOCKVEIL_COMPAT", "tecnativa"), ("SOCKET_PATH", "tcp://me:canary-password@host:1")], &["check"]),
    ] {
        check_unquoted(code, variables, arguments, "expected ");
    }
    for line in ["hosts: [\"https://me:canary@host\"]", "origins: [\"https://me:canary@host\"]"] {
        std::fs::write(&path, format!("listeners: [{{listen: \"unix:///a\", {line}}}]\n")).unwrap();
        check_unquoted(78, &[], &["check", "--config", path.to_str().unwrap()], "expected ");
    }
    for line in [
        "hectorm/cetusguard -backend-addr tcp://me:canary@host:1",
        "hectorm/cetusguard -frontend-addr tcp://me:canary@host:1",
        "wollomatic/socket-proxy tcp://me:canary@host:1",
        "-e SOCKGUARD_LISTEN_ADDRESS=me:canary@host:1 codeswhat/sockguard",
        "-e CONTAINERS=1 -e SOCKET_PATH=tcp://me:canary@host:1 tecnativa/docker-socket-proxy",
    ] {
        std::fs::write(&path, format!("docker run {line}\n")).unwrap();
        check_unquoted(78, &[], &["migrate", path.to_str().unwrap()], "expected ");
    }
}

/// Demands an error with this text that does not quote the password.
#[track_caller]
fn check_unquoted(code: i32, variables: &[(&str, &str)], arguments: &[&str], expected: &str) {
    let run = command(variables, arguments).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert_eq!(run.status.code(), Some(code), "{said}");
    assert!(said.contains(expected) && !said.contains("canary"), "{said}");
}
