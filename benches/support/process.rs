//! The measured processes: how they start, what they cost, and that they end.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};

/// The running processes, for the watchdog.
static RUNNING: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// A process of ours. Ends when dropped.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command`.
    pub(crate) fn start(command: &mut Command) -> io::Result<Process> {
        let child = command.spawn()?;
        RUNNING.lock().unwrap().push(child.id() as i32);
        Ok(Process { child })
    }

    /// Requests `/_ping` on the Unix socket until the answer is 200; returns how long that took.
    ///
    /// # Errors
    /// No such answer within ten seconds, or the process has ended.
    pub(crate) fn first_answer(&mut self, socket: &Path) -> io::Result<Duration> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if ping(socket).unwrap_or(false) {
                return Ok(start.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("ended with {status}")));
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer on {}", socket.display())))
    }

    /// CPU time of all its threads so far, in seconds: what the scheduler has counted, in nanoseconds. The user and system times of
    /// the process are counted in ticks of 10 ms, which is a large part of a short run.
    pub(crate) fn cpu(&self) -> f64 {
        let threads = fs::read_dir(self.folder().join("task")).unwrap();
        // A thread may have ended since.
        let spent = threads.filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("schedstat")).ok());
        spent.map(|spent| spent.split_whitespace().next().unwrap().parse::<f64>().unwrap()).sum::<f64>() / 1e9
    }

    /// Resident memory now and at its peak, in KiB.
    pub(crate) fn memory(&self) -> (f64, f64) {
        let status = fs::read_to_string(self.folder().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse::<f64>().unwrap()
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// What the system says about it.
    pub(crate) fn folder(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.child.id()))
    }

    /// The pipes of a process that was started with them.
    pub(crate) fn pipes(&mut self) -> (ChildStdin, BufReader<ChildStdout>) {
        (self.child.stdin.take().unwrap(), BufReader::new(self.child.stdout.take().unwrap()))
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("stopped with {status}"))) }
    }

    /// Waits until it ends; returns all that it printed.
    pub(crate) fn output(mut self) -> io::Result<String> {
        let (_, output) = self.pipes();
        self.output_ended(output)
    }

    /// Waits until it ends; returns the rest of `output`.
    pub(crate) fn output_ended(mut self, mut output: BufReader<ChildStdout>) -> io::Result<String> {
        let mut text = String::new();
        output.read_to_string(&mut text)?;
        let status = self.child.wait()?;
        if status.success() { Ok(text) } else { Err(io::Error::other(format!("{status}: {text}"))) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = self.child.id() as i32;
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
        RUNNING.lock().unwrap().retain(|running| *running != pid);
    }
}

/// Ends the bench and all that it started after `limit`.
pub(crate) fn watchdog(limit: Duration, folder: PathBuf) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        for pid in RUNNING.lock().unwrap().iter().filter_map(|pid| Pid::from_raw(*pid)) {
            kill_process(pid, Signal::KILL).unwrap_or_default();
        }
        fs::remove_dir_all(folder).unwrap_or_default();
        writeln!(io::stderr(), "exchange: stopped after {limit:?}").unwrap_or_default();
        std::process::exit(1);
    });
}

/// Limits the open descriptors of this process and of those that it starts.
pub(crate) fn limit_descriptors(count: u64) -> io::Result<()> {
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum: Some(count) })?)
}

/// This program again, in another role.
pub(crate) fn ourselves(role: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(role).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Whether a program (ELF, 64 bit) needs no loader: it has no program header of type 3, `PT_INTERP`.
pub(crate) fn is_static(program: &[u8]) -> bool {
    let number = |at: usize, length: usize| {
        program
            .get(at..at + length)
            .unwrap_or_default()
            .iter()
            .rev()
            .fold(0, |sum, byte| sum * 256 + usize::from(*byte))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).all(|header| number(table + header * size, 4) != 3)
}

/// Whether `/_ping` is answered with 200.
fn ping(socket: &Path) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.starts_with("HTTP/1.1 200"))
}

/// A temporary directory, removed when dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// Makes one.
    pub(crate) fn new() -> io::Result<Folder> {
        let path = std::env::temp_dir().join(format!("dockveil-exchange-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}
