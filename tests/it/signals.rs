//! The signals of the program: what stops it, how fast, and what it leaves.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{Test, tests};
use crate::support::client::{Client, PATIENCE, closing_get, get, status};
use crate::support::daemon::{Daemon, handing, json};
use crate::support::program::{Program, UnreadProgram, between, command, command_after, free_port};
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[Test] = tests![
    the_listeners_close_at_once_while_exchanges_finish,
    a_second_signal_ends_the_wait_for_exchanges,
    a_request_that_came_before_the_signal_is_answered,
    a_program_leaves_the_socket_of_its_successor,
    a_signal_during_the_start_ends_it,
    a_signal_ends_a_health_check_that_waits_for_its_configuration,
    signals_without_a_meaning_are_logged,
    a_limit_of_file_sizes_does_not_end_the_program
];

/// More time than anything here takes, and less than the shutdown timeout.
const SOON: Duration = Duration::from_secs(8);

/// An answer of the engine.
const LIST: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]";

fn the_listeners_close_at_once_while_exchanges_finish() {
    let folder = Folder::new();
    let (answer, connections) = handing("");
    let _daemon = Daemon::start(&folder.path("engine"), answer);
    let port = free_port();
    let start = || {
        let mut command = between(&folder);
        command.args(["--listen", &format!("tcp://127.0.0.1:{port}")]);
        Program::start(command)
    };
    let program = start();
    program.listening();
    let mut client = Client::connect(&folder.path("listener"));
    client.send(get("/containers/json"));
    let mut engine = connections.next();
    let stopped = Instant::now();
    program.signal(Signal::TERM);
    program.line_with("stopping");
    while folder.path("listener").exists() || TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(stopped.elapsed() < SOON, "a listener is open");
        std::thread::yield_now();
    }
    // A successor takes both addresses while the first still has work.
    let successor = start();
    successor.listening();
    engine.write_all(LIST.as_bytes()).unwrap();
    let answer = client.rest();
    assert!(status(&answer) == 200 && answer.ends_with("0\r\n\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    let (ended, _) = program.ended();
    assert!(ended.success() && stopped.elapsed() < SOON, "{ended}");
    let mut client = Client::connect(&folder.path("listener"));
    client.send(closing_get("/_ping"));
    assert_eq!(status(&client.rest()), 200);
    assert!(successor.stop().0.success());
    assert!(!folder.path("listener").exists());
}

fn a_second_signal_ends_the_wait_for_exchanges() {
    for signals in [[Signal::TERM, Signal::TERM], [Signal::INT, Signal::TERM], [Signal::TERM, Signal::QUIT]] {
        let folder = Folder::new();
        let (answer, connections) = handing("");
        let _daemon = Daemon::start(&folder.path("engine"), answer);
        let program = Program::between(&folder);
        program.listening();
        let mut client = Client::connect(&folder.path("listener"));
        client.send(get("/containers/json"));
        let _engine = connections.next();
        let stopped = Instant::now();
        program.signal(signals[0]);
        program.line_with("stopping");
        program.signal(signals[1]);
        let (ended, log) = program.ended();
        assert!(ended.success() && stopped.elapsed() < SOON, "{ended}");
        assert!(log.iter().any(|line| line.contains("a second signal")), "{log:?}");
        assert!(!folder.path("listener").exists());
    }
}

fn a_request_that_came_before_the_signal_is_answered() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = Program::between(&folder);
    program.listening();
    let mut known = Client::connect(&folder.path("listener"));
    known.send(get("/_ping"));
    known.response();
    // While the program does not run, one request comes over a connection that is idle, and one over a new connection.
    program.signal(Signal::STOP);
    known.send(get("/containers/json"));
    let mut new = Client::connect(&folder.path("listener"));
    new.send(get("/containers/json"));
    program.signal(Signal::TERM);
    program.signal(Signal::CONT);
    for client in [&mut known, &mut new] {
        let answer = client.rest();
        assert!(status(&answer) == 200 && answer.ends_with("0\r\n\r\n"), "{answer}");
    }
    assert!(program.ended().0.success());
}

fn a_program_leaves_the_socket_of_its_successor() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let first = Program::between(&folder);
    first.listening();
    // Without its file, nobody can tell that the first program listens.
    fs::rename(folder.path("listener"), folder.path("moved")).unwrap();
    let second = Program::between(&folder);
    second.listening();
    assert!(first.stop().0.success());
    let mut client = Client::connect(&folder.path("listener"));
    client.send(closing_get("/_ping"));
    assert_eq!(status(&client.rest()), 200);
    second.stop();
    assert!(!folder.path("listener").exists());
}

fn a_signal_during_the_start_ends_it() {
    let folder = Folder::new();
    let pipe = folder.path("config.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let path = pipe.display().to_string();
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        // Somebody has opened the pipe, but does not write; nobody has opened it.
        for is_open in [true, false] {
            let program = Program::start(command(&[("DOCKVEIL_LOG", "info")], &["--config", &path]));
            waits_for(&program, signal);
            // The pipe can be opened as soon as the program reads it.
            let writer = is_open.then(|| fs::OpenOptions::new().write(true).open(&pipe).unwrap());
            program.signal(signal);
            let (ended, log) = program.ended();
            assert!(ended.success() && log.is_empty(), "{signal:?} {is_open} {ended}: {log:?}");
            drop(writer);
        }
        let (input, writer) = std::io::pipe().unwrap();
        let serve = command(&[("DOCKVEIL_LOG", "info")], &["--config", "-"]);
        let program = Program::start_with(serve, input.into(), Stdio::null());
        waits_for(&program, signal);
        program.signal(signal);
        let (ended, log) = program.ended();
        assert!(ended.success() && log.is_empty(), "{signal:?} {ended}: {log:?}");
        drop(writer);
    }
}

fn a_signal_ends_a_health_check_that_waits_for_its_configuration() {
    let folder = Folder::new();
    let pipe = folder.path("config.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let program = Program::start(command(&[], &["healthcheck", "--config", &pipe.display().to_string()]));
        // The pipe can be opened as soon as the program reads it.
        let writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        program.signal(signal);
        assert_eq!(program.ended().0.signal(), Some(signal.as_raw()));
        drop(writer);
    }
}

/// Waits until a program has taken over a signal.
#[track_caller]
fn waits_for(program: &Program, signal: Signal) {
    let path = format!("/proc/{}/status", program.id());
    let is_caught = || {
        let status = fs::read_to_string(&path).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
    };
    let started = Instant::now();
    while !is_caught() {
        assert!(started.elapsed() < PATIENCE, "it does not wait for {signal:?}");
        std::thread::yield_now();
    }
}

fn signals_without_a_meaning_are_logged() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = Program::between(&folder);
    program.listening();
    let mut client = Client::connect(&folder.path("listener"));
    for (signal, name) in [(Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")] {
        program.signal(signal);
        let line = program.line_with("signal ignored");
        assert!(line.contains("level=info") && line.ends_with(&format!("signal={name}")), "{line}");
        client.send(get("/_ping"));
        assert_eq!(status(&client.response()), 200);
    }
    assert!(program.stop().0.success());
}

/// The log or the audit file reaches the limit, and clients are served all the same.
fn a_limit_of_file_sizes_does_not_end_the_program() {
    for is_audit in [false, true] {
        let folder = Folder::new();
        let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
        let [engine, listener] = ["engine", "listener"].map(|name| format!("unix://{}", folder.path(name).display()));
        let config = folder.path("dockveil.yaml").display().to_string();
        let file = folder.path("written");
        let audit = if is_audit { format!("audit: {{file: {}}}\n", file.display()) } else { String::new() };
        fs::write(&config, format!("upstream: {engine}\nlisteners: [{{listen: {listener}}}]\n{audit}")).unwrap();
        // In blocks of 512 bytes, or of 1024.
        let command = command_after("ulimit -f 8", &["--config", &config]);
        let err = if is_audit { Stdio::null() } else { fs::File::create(&file).unwrap().into() };
        let program = UnreadProgram::start(command, err);
        let mut client = Client::connect_when_listening(&folder.path("listener"));
        for number in 0..100 {
            client.send(get("/containers/json"));
            assert_eq!(status(&client.message(false)), 200, "{is_audit} {number}");
        }
        assert!(program.stop_within(SOON).success(), "{is_audit}");
        let length = fs::metadata(&file).unwrap().len();
        assert!([4096, 8192].contains(&length), "{is_audit}: {length} bytes");
    }
}
