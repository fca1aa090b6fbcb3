//! The `docker` command, pointed at a socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::client::PATIENCE;

/// A docker command, not started yet; its configuration is an empty directory.
fn command(program: &[&str], socket: &Path) -> Command {
    let mut command = Command::new(program[0]);
    command
        .args(&program[1..])
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        .env("DOCKER_CONFIG", socket.with_file_name("client"))
        .env_remove("DOCKER_CONTEXT")
        .env_remove("DOCKER_API_VERSION")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs `docker` to its end with `input` on its standard input; one that hangs is killed and fails the test.
#[track_caller]
pub(crate) fn run(socket: &Path, arguments: &[&str], input: &str) -> Output {
    run_program(socket, &[&["docker"], arguments].concat(), input)
}

/// As [`run`], any program that looks for its engine at `DOCKER_HOST`.
#[track_caller]
pub(crate) fn run_program(socket: &Path, program: &[&str], input: &str) -> Output {
    let limit = PATIENCE.as_secs().to_string();
    let limited = [&["timeout", "--kill-after", "1", &limit], program].concat();
    let output = finish(command(&limited, socket), input);
    assert_ne!(output.status.code(), Some(124), "{program:?} did not end: {output:?}");
    output
}

/// Feeds a command and waits for it.
fn finish(mut command: Command, input: &str) -> Output {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that ends without reading breaks the pipe; that is its right.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// A docker command that goes on until it is dropped, and its lines as they come.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts `docker`.
    #[track_caller]
    pub(crate) fn start(socket: &Path, arguments: &[&str]) -> Running {
        Running::spawn(command(&[&["docker"], arguments].concat(), socket))
    }

    /// Starts a shell line under a terminal of its own; what the terminal shows is its standard output.
    #[track_caller]
    pub(crate) fn in_terminal(socket: &Path, line: &str) -> Running {
        Running::spawn(command(&["script", "--quiet", "--return", "--command", line, "/dev/null"], socket))
    }

    /// Starts a command and listens to its standard output.
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

    /// Waits for a line that contains `text`.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(_) => {
                    let _ = self.child.kill();
                    let mut errors = String::new();
                    let _ = self.child.stderr.take().unwrap().read_to_string(&mut errors);
                    panic!("no line with {text:?} among {seen:?}; standard error: {errors}");
                }
            }
        }
    }

    /// Types into the command.
    #[track_caller]
    pub(crate) fn send(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Ends the command's standard input and waits for its exit code.
    #[track_caller]
    pub(crate) fn end(mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("docker did not end after its standard input had");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
