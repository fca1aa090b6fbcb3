//! The log: every exchange leaves one line, at once, and none is lost.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::support::client::{Client, get, status};
use super::support::daemon::{Daemon, json};
use super::support::proxy::Folder;

/// The program as it is installed, and the lines of its log.
struct Program {
    child: Child,
    lines: Receiver<String>,
    folder: Folder,
    _daemon: Daemon,
}

impl Program {
    /// Starts it and waits until it listens.
    fn start() -> Self {
        let folder = Folder::new();
        let daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
        let url = |name: &str| format!("unix://{}", folder.path(name).display());
        let mut child = Command::new(env!("CARGO_BIN_EXE_dockveil"))
            .args(["serve", "--upstream", &url("engine"), "--listen", &url("listener"), "--profile", "dashboard"])
            .env("DOCKVEIL_LOG", "info")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines(child.stderr.take().unwrap());
        let program = Self { child, lines, folder, _daemon: daemon };
        // What it says of the engine is its first line, and comes when it listens.
        while !program.line().contains("engine reached") {}
        program
    }

    /// The next line.
    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// A new connection to it.
    fn client(&self) -> Client {
        Client::connect(&self.folder.path("listener"))
    }

    /// Tells it to stop, waits until it has, and answers the lines not read yet.
    fn stop(&mut self) -> Vec<String> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        std::iter::from_fn(|| self.lines.recv_timeout(Duration::from_secs(20)).ok()).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines as they come; they end with the program.
fn lines(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines() {
            // A test that has ended reads no more.
            let _ = sender.send(line.unwrap());
        }
    });
    receiver
}

#[test]
fn the_line_of_an_exchange_is_out_at_once() {
    let program = Program::start();
    let mut client = program.client();
    // Nothing else happens that could bring a line out: neither another exchange nor the end of a connection.
    for _ in 0..3 {
        client.send(get("/_ping"));
        assert_eq!(status(&client.response()), 200);
        let line = program.line();
        assert!(
            line.contains("INFO exchange operation=\"SystemPing\" decision=\"relay\" status=200 bytes=2"),
            "{line}"
        );
    }
}

#[test]
fn no_line_is_lost_when_the_program_stops() {
    const CLIENTS: usize = 8;
    const EXCHANGES: usize = 50;
    let mut program = Program::start();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let mut client = program.client();
            scope.spawn(move || {
                // All at once, so that many lines are made in one turn.
                client.send(get("/containers/json").repeat(EXCHANGES));
                let mut answered = 0;
                while answered < EXCHANGES {
                    assert_eq!(status(&client.read_until("\r\n\r\n")), 200);
                    client.read_until("0\r\n\r\n");
                    answered += 1;
                }
            });
        }
    });
    let lines = program.stop();
    let exchanges = lines.iter().filter(|line| line.contains("INFO exchange operation=\"ContainerList\""));
    assert_eq!(exchanges.count(), CLIENTS * EXCHANGES);
    assert!(lines.iter().any(|line| line.ends_with("INFO stopping")));
}
