//! Folders and processes that are gone when the test process is, even if a test hangs or the process is killed.
//!
//! Everything is in one folder of this run. A shell, the cleaner, holds one end of a pipe. When the test process ends, the
//! pipe closes: the cleaner then kills the processes that are recorded in the folder, and removes it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// `sweep NAME` removes the control groups of that name, with those in them. They are busy until their processes have ended.
const SWEEP: &str = r#"
sweep() {
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    find /sys/fs/cgroup -depth -type d '(' -name "$1" -o -path "*/$1/*" ')' -exec rmdir {} + 2>/dev/null && return
    sleep 0.2
  done
}
"#;

/// The cleaner. Its argument is the folder of the run.
const CLEANER: &str = r#"
cat >/dev/null
for record in "$1"/*/*.pid; do
  kill -KILL "$(cat "$record")" 2>/dev/null
done
for folder in "$1"/*; do
  sweep "${1##*/}-${folder##*/}"
done
rm -rf "$1"
"#;

/// The folder of this run. The first call makes it and starts the cleaner.
fn root() -> &'static Path {
    static ROOT: OnceLock<(PathBuf, Child)> = OnceLock::new();
    let (root, _cleaner) = ROOT.get_or_init(|| {
        let root = std::env::temp_dir().join(format!("dockveil-tests-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let cleaner = Command::new("sh")
            .args(["-c", &format!("{SWEEP}{CLEANER}"), "cleaner"])
            .arg(&root)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // In a group of its own, which gets no SIGINT from the terminal.
            .process_group(0)
            .spawn()
            .unwrap();
        (root, cleaner)
    });
    root
}

/// A folder. Dropping it removes it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder `name`, which must not exist.
    #[track_caller]
    pub(crate) fn new(name: &str) -> Folder {
        let path = root().join(name);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Folder(path)
    }

    /// The absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A name that no other folder of any run has.
    pub(crate) fn unique_name(&self) -> String {
        format!("{}-{}", file_name(root()), file_name(&self.0))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A child process that goes on until it is dropped.
pub(crate) struct Process {
    child: Child,
    /// The file by which the cleaner finds it.
    record: PathBuf,
}

impl Process {
    /// Starts a command, out of reach of the terminal's signals, and records it under `name` in a folder.
    #[track_caller]
    pub(crate) fn spawn(command: &mut Command, folder: &Folder, name: &str) -> Process {
        let child = command.stdin(Stdio::null()).process_group(0).spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        let record = folder.path().join(format!("{name}.pid"));
        fs::write(&record, child.id().to_string()).unwrap();
        Process { child, record }
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.record);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Removes the control groups of a name, with those in them.
pub(crate) fn remove_control_groups(name: &str) {
    let _ = Command::new("sh").args(["-c", &format!("{SWEEP}sweep \"$1\""), "sweep", name]).status();
}
