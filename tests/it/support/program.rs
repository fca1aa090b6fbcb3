//! The program as a process.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::ops::Range;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::client::PATIENCE;
use super::proxy::Folder;

/// A port that is free now, and that the system gives to no connection: those of other tests take many of the ports that it chooses.
pub(crate) fn free_port() -> u16 {
    /// The system chooses ports from 32768 on.
    const PORTS: Range<u32> = 12_000..32_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut ports = std::iter::from_fn(|| {
        let next = std::process::id().wrapping_mul(131).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        u16::try_from(PORTS.start + next % PORTS.len() as u32).ok()
    });
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// The program, with these variables and no others, and these arguments.
pub(crate) fn command(variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockveil"));
    command.env_clear().envs(variables.iter().copied()).args(arguments);
    command
}

/// The program as [`command`] starts it, after a shell has run `first`, such as `umask 0`.
pub(crate) fn command_after(first: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{first}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_dockveil")]).args(arguments);
    command
}

/// The program on the socket `listener` of a folder, in front of the socket `engine` there.
pub(crate) fn between(folder: &Folder) -> Command {
    let [engine, listener] = ["engine", "listener"].map(|name| format!("unix://{}", folder.path(name).display()));
    command(&[("DOCKVEIL_LOG", "info")], &["--upstream", &engine, "--listen", &listener])
}

fn spawn(command: Command) -> Option<Child> {
    spawn_with(command, Stdio::null(), Stdio::null())
}

fn spawn_with(mut command: Command, input: Stdio, output: Stdio) -> Option<Child> {
    command.stdin(input).stdout(output).stderr(Stdio::piped());
    Some(command.spawn().unwrap())
}

/// Waits until a process ends, but not for longer than `limit`; returns how it ended.
#[track_caller]
pub(crate) fn end_within(child: &mut Child, limit: Duration) -> ExitStatus {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "it runs after {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A running program whose log nobody reads. It is killed when the test ends.
pub(crate) struct UnreadProgram(Option<Child>);

impl UnreadProgram {
    /// Starts a command whose standard error is `err`.
    pub(crate) fn start(mut command: Command, err: Stdio) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(err);
        Self(Some(command.spawn().unwrap()))
    }

    /// Tells it to stop; returns how it ended, which it must within `limit`.
    #[track_caller]
    pub(crate) fn stop_within(mut self, limit: Duration) -> ExitStatus {
        let child = self.0.as_mut().unwrap();
        kill_process(Pid::from_child(child), Signal::TERM).unwrap();
        end_within(child, limit)
    }
}

impl UnreadProgram {
    /// Reads its log from here on.
    pub(crate) fn read(mut self) -> Program {
        Program::reading(self.0.take().unwrap())
    }
}

impl Drop for UnreadProgram {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A running program. It is killed when the test ends.
pub(crate) struct Program {
    child: Child,
    log: Receiver<String>,
}

impl Program {
    /// Starts the program on the socket `listener` of a folder, in front of the socket `engine` there.
    pub(crate) fn between(folder: &Folder) -> Self {
        Self::start(between(folder))
    }

    /// As [`Program::between`], but nobody reads its log.
    pub(crate) fn between_unread(folder: &Folder) -> UnreadProgram {
        UnreadProgram(spawn(between(folder)))
    }

    /// Starts a command and reads its log.
    pub(crate) fn start(command: Command) -> Self {
        UnreadProgram(spawn(command)).read()
    }

    /// As [`Program::start`], with descriptors as its standard input and output.
    pub(crate) fn start_with(command: Command, input: Stdio, output: Stdio) -> Self {
        UnreadProgram(spawn_with(command, input, output)).read()
    }

    fn reading(mut child: Child) -> Self {
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in lines {
                // A test that has ended reads no more.
                let _ = sender.send(line.unwrap());
            }
        });
        Self { child, log }
    }

    /// Waits until it listens, and returns the lines of the log up to then. The last one is about the engine.
    pub(crate) fn listening(&self) -> Vec<String> {
        let mut lines = vec![self.line()];
        while !lines.last().unwrap().contains(" engine=") {
            lines.push(self.line());
        }
        lines
    }

    /// The next line of its log.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.log.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no line of the log: {error}"))
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for a line of its log that contains `text`, and returns it.
    #[track_caller]
    pub(crate) fn line_with(&self, text: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits until it ends, and returns how, with the lines of its log that were not read before.
    pub(crate) fn ended(mut self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait().unwrap();
        (status, std::iter::from_fn(|| self.log.recv_timeout(PATIENCE).ok()).collect())
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Tells it to stop, and returns how it ended and the lines of its log that were not read before.
    pub(crate) fn stop(self) -> (ExitStatus, Vec<String>) {
        self.signal(Signal::TERM);
        self.ended()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
