//! The program under valgrind, with an engine on one side and a client on the other.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::Ignored;
use crate::{answers, documents, order, valgrind};

/// How long the client waits for the program, which is a hundred times slower than by itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// A label that `dashboard` shows, and the value of one that it hides.
const SHOWN: &str = "com.docker.compose.service";
const HIDDEN: &str = "demo-labelvalue";

/// valgrind, and the program that it runs.
pub(crate) struct Valgrind {
    binary: PathBuf,
}

impl Valgrind {
    /// Finds both.
    ///
    /// # Errors
    /// Something is missing, or the budgets are for other processors.
    pub(crate) fn find() -> Result<Self, Ignored> {
        if !is_supported() {
            return Err(Ignored::Missing("the budgets are for Linux on x86-64 with AVX2".to_owned()));
        }
        let binary = std::env::var_os("DOCKVEIL_STATIC_BINARY");
        let unset = || Ignored::Missing("DOCKVEIL_STATIC_BINARY does not name a static binary".to_owned());
        let binary = binary.map(PathBuf::from).filter(|path| path.is_file()).ok_or_else(unset)?;
        if let Some(program) = valgrind::missing() {
            return Err(Ignored::Missing(format!("no {program} on this machine")));
        }
        Ok(Self { binary })
    }

    /// The program.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }
}

/// Whether this processor has the instructions that the counted program uses.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn is_supported() -> bool {
    std::is_x86_feature_detected!("avx2")
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn is_supported() -> bool {
    false
}

/// One run of the program, in a folder of its own.
pub(crate) struct Run<'a> {
    valgrind: &'a Valgrind,
    number: usize,
    folder: PathBuf,
    /// The name of a profile in the folder, which takes the place of the built-in one.
    profile: Option<&'static str>,
}

impl<'a> Run<'a> {
    /// Prepares one.
    pub(crate) fn of(valgrind: &'a Valgrind) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("dockveil-instructions-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self { valgrind, number, folder, profile: None }
    }

    /// The same with a profile of this name and text.
    pub(crate) fn with_profile(mut self, name: &'static str, text: &str) -> Self {
        // Nothing else may change there: the program would read it again.
        let folder = self.folder.join("filters/profile");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.yaml")), text).unwrap();
        self.profile = Some(name);
        self
    }

    /// How many instructions a server takes that answers `rounds` requests for `target`, one after another, and stops.
    pub(crate) fn exchanges(self, target: &str, rounds: u64) -> u64 {
        self.answer(target, rounds);
        self.counted()
    }

    /// The addresses of the instructions that a server runs that answers one request for `target`, and stops.
    pub(crate) fn addresses(self, target: &str) -> BTreeSet<u64> {
        self.answer(target, 1);
        order::addresses(&self.folder.join("counts"))
    }

    /// Counts a server that answers `rounds` requests for `target`, one after another, and stops.
    fn answer(&self, target: &str, rounds: u64) {
        let path = |name: &str| self.folder.join(name);
        start_engine(UnixListener::bind(path("engine")).unwrap());
        let mut command = self.command();
        for (option, socket) in [("--upstream", "engine"), ("--listen", "listener")] {
            command.arg(option).arg(format!("unix://{}", path(socket).display()));
        }
        if let Some(profile) = self.profile {
            command.arg("--filters").arg(path("filters")).args(["--profile", profile]);
        }
        let mut program = Program(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        program.wait_for_engine();
        let mut client = UnixStream::connect(path("listener")).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..rounds {
            let body = get(&mut client, target);
            assert!(!body.contains(HIDDEN) && (body == "OK" || body.contains(SHOWN)), "{target}: {body}");
        }
        kill_process(Pid::from_child(&program.0), Signal::TERM).unwrap();
        assert!(program.0.wait().unwrap().success(), "the program stops by itself");
    }

    /// How many instructions the command `filter` takes for a list of containers.
    pub(crate) fn filter(self, list: &[u8]) -> u64 {
        fs::write(self.folder.join("list"), list).unwrap();
        let mut command = self.command();
        command.args(["filter", "--operation", "ContainerList"]);
        let output = command.stdin(fs::File::open(self.folder.join("list")).unwrap()).output().unwrap();
        let filtered = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && filtered.contains(SHOWN) && !filtered.contains(HIDDEN), "{filtered}");
        self.counted()
    }

    /// The program under valgrind. The runs take turns at the processors.
    fn command(&self) -> Command {
        let mut command = valgrind::counting(&self.valgrind.binary, &self.folder.join("counts"), self.number);
        command.stdout(Stdio::piped());
        command
    }

    /// What valgrind has written.
    fn counted(self) -> u64 {
        valgrind::counted(&self.folder.join("counts"))
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The running program. It is killed when a test fails.
struct Program(Child);

impl Program {
    /// Waits for the line of the log that says that the engine has answered. The rest of the log is read and dropped.
    fn wait_for_engine(&mut self) {
        let mut log = BufReader::new(self.0.stderr.take().unwrap());
        let (mut line, mut read) = (String::new(), String::new());
        while !line.contains(" engine=") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the program has ended:\n{read}");
            read.push_str(&line);
        }
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Answers the requests of one connection after another with what an engine answers, until the test ends.
fn start_engine(listener: UnixListener) {
    let answers = Arc::new([
        ("/_ping", answers::ping()),
        ("/version", answers::version()),
        ("/containers/json", answers::chunked(&[&documents::list(100)])),
        ("/containers/web/json", answers::chunked(&[&documents::inspect()])),
        ("/events", answers::chunked(&[SHOWN.as_bytes()])),
    ]);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, answers) = (stream.unwrap(), Arc::clone(&answers));
            thread::spawn(move || answer_all(stream, &*answers));
        }
    });
}

/// Answers the requests of one connection.
fn answer_all(mut stream: UnixStream, answers: &[(&str, Vec<u8>)]) {
    let mut read = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while read.read_line(&mut line).is_ok_and(|length| length > 0) {
        // The first line names the target; the head ends with an empty one.
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        while line.trim_end() != "" {
            line.clear();
            read.read_line(&mut line).unwrap_or_default();
        }
        line.clear();
        let path = target.split('?').next().unwrap_or_default();
        let (_, answer) = answers.iter().find(|(of, _)| answers::unversioned(path) == *of).unwrap();
        // The program may have stopped.
        let _ = stream.write_all(answer);
    }
}

/// The body of one answer, which must be 200.
fn get(client: &mut UnixStream, target: &str) -> String {
    client.write_all(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    let (mut answer, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
    loop {
        let length = client.read(&mut buffer).unwrap();
        assert!(length > 0, "the answer to {target} ends too early");
        answer.extend_from_slice(buffer.get(..length).unwrap_or_default());
        if let Some(body) = whole_body(&answer) {
            return body;
        }
    }
}

/// The body of an answer, with the sizes of its chunks, if it is whole.
fn whole_body(answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200 "), "{text}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let is_whole = match length {
        Some(length) => body.len() >= length.parse().unwrap(),
        None => body.ends_with("0\r\n\r\n"),
    };
    is_whole.then(|| body.to_owned())
}
