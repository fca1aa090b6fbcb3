//! Programs that take their engine from `DOCKER_HOST`, above all the `docker` command.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::client::TIMEOUT;
use super::engine;

/// A program with an engine's socket and without a configuration.
fn command(program: &[&str], socket: &Path) -> Command {
    let mut command = command_at(program, &format!("unix://{}", socket.display()));
    command.env("DOCKER_CONFIG", socket.with_file_name("client"));
    command
}

/// A program with the address of an engine.
fn command_at(program: &[&str], host: &str) -> Command {
    let mut command = Command::new(program[0]);
    command
        .args(&program[1..])
        .env("DOCKER_HOST", host)
        .env_remove("DOCKER_CONTEXT")
        .env_remove("DOCKER_API_VERSION")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs `docker` to its end with `input` as its standard input.
#[track_caller]
pub(crate) fn docker(socket: &Path, arguments: &[&str], input: &str) -> Output {
    run(socket, &[&["docker"], arguments].concat(), input)
}

/// Runs a program to its end with `input` as its standard input. One that hangs is killed, and fails the test.
#[track_caller]
pub(crate) fn run(socket: &Path, program: &[&str], input: &str) -> Output {
    run_within(TIMEOUT * 2, socket, program, input)
}

/// The same with another time limit.
#[track_caller]
pub(crate) fn run_within(limit: Duration, socket: &Path, program: &[&str], input: &str) -> Output {
    let measures = program.windows(2).any(|words| words == ["system", "df"]);
    let _measuring = measures.then(engine::disk_usage_lock);
    let limit = limit.as_secs().to_string();
    finish(command(&[&["timeout", "--kill-after", "1", &limit], program].concat(), socket), input)
}

/// Runs a command to its end, which has a time limit.
#[track_caller]
fn finish(mut command: Command, input: &str) -> Output {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program may end without reading its input: that breaks the pipe.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_ne!(output.status.code(), Some(124), "{command:?} did not end: {}", outputs(&output));
    output
}

/// The standard output of a program that must succeed.
#[track_caller]
pub(crate) fn stdout(socket: &Path, program: &[&str]) -> String {
    let output = run(socket, program, "");
    assert!(output.status.success(), "{program:?}: {}", outputs(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What an SDK printed at the engine, with the least version of the API that it reads through the program: 1.24, below which
/// nothing is known.
pub(crate) fn with_our_least_version(printed: &str) -> String {
    printed.replace(r#""MinAPIVersion": "1.12""#, r#""MinAPIVersion": "1.24""#)
}

/// As [`stdout`], with the address of the engine.
#[track_caller]
pub(crate) fn stdout_at(host: &str, program: &[&str]) -> String {
    let limit = TIMEOUT.as_secs().to_string();
    let output = finish(command_at(&[&["timeout", "--kill-after", "1", &limit], program].concat(), host), "");
    assert!(output.status.success(), "{program:?}: {}", outputs(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Both outputs of a program as one text.
pub(crate) fn outputs(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A program that runs until it is dropped, read line by line.
pub(crate) struct Running {
    child: Child,
    /// The lines of its standard output. The channel closes when that ends.
    lines: Receiver<String>,
}

impl Running {
    /// Starts `docker`.
    #[track_caller]
    pub(crate) fn docker(socket: &Path, arguments: &[&str]) -> Running {
        Running::spawn(command(&[&["docker"], arguments].concat(), socket))
    }

    /// Starts a program behind words such as `env NAME=value`.
    #[track_caller]
    pub(crate) fn program(socket: &Path, before: &str, program: &[&str]) -> Running {
        let before: Vec<&str> = before.split(' ').collect();
        Running::spawn(command(&[&before, program].concat(), socket))
    }

    /// Starts a shell line in a terminal of its own. What the terminal shows is the standard output.
    #[track_caller]
    pub(crate) fn in_terminal(socket: &Path, line: &str) -> Running {
        Running::spawn(command(&["script", "--quiet", "--return", "--command", line, "/dev/null"], socket))
    }

    /// Starts a command and reads its standard output.
    #[track_caller]
    fn spawn(mut command: Command) -> Running {
        let mut child = command.spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Running { child, lines }
    }

    /// Waits for a line that contains all of these texts.
    #[track_caller]
    pub(crate) fn expect(&mut self, texts: &[&str]) -> String {
        let deadline = Instant::now() + TIMEOUT;
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if texts.iter().all(|text| line.contains(text)) => return line,
                Ok(line) => seen.push(line),
                Err(_) => {
                    let _ = self.child.kill();
                    let mut errors = String::new();
                    let _ = self.child.stderr.take().unwrap().read_to_string(&mut errors);
                    panic!("no line with {texts:?} in {seen:?}; standard error: {errors}");
                }
            }
        }
    }

    /// Types into the program.
    #[track_caller]
    pub(crate) fn send(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Ends the standard input and waits for the exit code.
    #[track_caller]
    pub(crate) fn end(mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap().code(),
                Err(RecvTimeoutError::Timeout) => panic!("the program did not end after its standard input had"),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
