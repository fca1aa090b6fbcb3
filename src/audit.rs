//! The audit file: a line of JSON for each exchange, and for the start of each stream.
//!
//! Its records have a version and always the same members, which `docs/operating.md` lists. A thread of its own writes them, so that
//! no exchange waits for a disk. If they cannot be written, exchanges go on: what is lost is counted, and the log says so once.
//!
//! The file is opened again when it is asked for, and when another file is at its path, or none: a file that has been moved away is
//! not written any more.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clients::ClientIdentity;
use crate::log::{count_lines, is_harmless, push_escape, time_text, write_lines};
use crate::quoting;
use crate::schema::Class;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::ser::Formatter;

/// The version of the records. A member more does not change it; another meaning does.
const VERSION: u8 = 1;
/// The permissions of a file that is made.
const MODE: u32 = 0o600;
/// How many bytes of records may wait.
const WAITING_LIMIT: usize = 4 << 20;
/// How long records gather before they are written, so that the thread is not woken for each of them.
const GATHER_TIME: Duration = Duration::from_millis(1);
/// How large a buffer is kept after a burst, in bytes.
const KEPT_CAPACITY: usize = 64 * 1024;
/// The most links that lead to a file.
const LINK_LIMIT: usize = 40;

/// One record.
#[derive(Debug, serde::Serialize)]
pub struct AuditRecord<'r> {
    /// `exchange`, or `stream-opened`.
    pub event: &'static str,
    /// The id of the exchange.
    pub request_id: &'r str,
    /// Who sent the request.
    pub client: &'r ClientIdentity,
    /// The address of the listener.
    pub listener: &'r str,
    /// The name of the profile.
    pub profile: &'r str,
    /// The method of the request.
    pub method: &'static str,
    /// The id of the operation.
    pub operation: &'static str,
    /// The API version that the client asked for.
    pub api: Option<String>,
    /// `deny`, `relay` or `filter`.
    pub decision: &'static str,
    /// Why, in one word.
    pub reason: Option<&'static str>,
    /// Why the request is denied, in words.
    pub denied: Option<&'r str>,
    /// What opens it.
    pub opened_by: Option<&'r str>,
    /// The path of a request that is denied.
    pub path: Option<&'r str>,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the client.
    pub received_bytes: u64,
    /// Bytes for the client.
    pub sent_bytes: u64,
    /// What was hidden.
    pub hidden: HiddenCounts,
    /// Microseconds from the head of the request until now.
    pub elapsed_us: u64,
    /// How many of them were work.
    pub own_us: u64,
    /// How many of them were spent waiting for the engine.
    pub engine_us: u64,
    /// `complete`, `aborted` by the client, or `broken`; none for a stream that has begun.
    pub end: Option<&'static str>,
    /// Why the answer was withheld or broken off.
    pub error: Option<&'r str>,
    /// How many requests before this one came too soon as well, and have no record. Only if there are any.
    #[serde(skip_serializing_if = "is_zero")]
    pub suppressed: u64,
}

/// Whether a number is left out of a record.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A record with its version and its time.
#[derive(serde::Serialize)]
struct VersionedRecord<'r> {
    version: u8,
    time: &'r str,
    #[serde(flatten)]
    record: &'r AuditRecord<'r>,
}

/// How many values were hidden, by class. As JSON, only classes of which there are any.
#[derive(Clone, Copy, Debug)]
pub struct HiddenCounts {
    /// In the order of [`Class::ALL`].
    pub by_class: [u64; Class::ALL.len()],
    /// Fields without a class.
    pub unknown: u64,
    /// What rules changed.
    pub by_rule: u64,
}

impl Serialize for HiddenCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let classes = Class::ALL.map(Class::as_str).into_iter().zip(self.by_class);
        let mut map = serializer.serialize_map(None)?;
        for (name, count) in classes.chain([("unknown", self.unknown), ("rule", self.by_rule)]) {
            if count > 0 {
                map.serialize_entry(name, &count)?;
            }
        }
        map.end()
    }
}

/// An audit file. When it is dropped, what waits is written, and its thread ends.
#[derive(Debug)]
pub struct AuditLog {
    queue: Arc<RecordQueue>,
    /// Device and inode of the file, if opening has made it.
    made: Option<(u64, u64)>,
}

/// The records that wait to be written.
#[derive(Debug)]
struct RecordQueue {
    path: PathBuf,
    state: Mutex<RecordState>,
    /// There is something to do.
    pushed: Condvar,
    /// Nothing is left to do.
    done: Condvar,
    written: AtomicU64,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct RecordState {
    waiting: Vec<u8>,
    /// Whether the file is to be opened again.
    reopens: bool,
    /// Whether there will be no more records.
    is_closed: bool,
    /// Whether the thread is awake: it then takes new records without being notified.
    is_writing: bool,
}

impl AuditLog {
    /// Opens a file, or makes it, for this user alone. Starts the thread that writes it.
    ///
    /// # Errors
    /// The error of the system; also if there is anything but a file at the path.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, is_made) = open(path)?;
        let made = if is_made { Some(identity(&file.metadata()?)) } else { None };
        let queue = Arc::new(RecordQueue {
            path: path.to_owned(),
            state: Mutex::default(),
            pushed: Condvar::new(),
            done: Condvar::new(),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let of_thread = queue.clone();
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || of_thread.write_to(file))?;
        Ok(Self { queue, made })
    }

    /// Removes its file if opening has made it, and if nobody has put another one there or written to it.
    pub fn remove_made(&self) {
        let path = self.path();
        let is_ours = |found: std::fs::Metadata| self.made == Some(identity(&found)) && found.len() == 0;
        if std::fs::symlink_metadata(path).is_ok_and(is_ours) {
            // Somebody else may remove it at the same time.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Checks that a file can be opened, or made.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn check(path: &Path) -> io::Result<()> {
        open(path).map(drop)
    }

    /// Checks what can be told of a file without opening or making it: that nothing else is in its place, and that it has a
    /// directory, unless `makes` says that this one will be made. What this user may is not asked: another one may open it.
    ///
    /// # Errors
    /// [`Self::open`] would fail.
    pub fn check_place(path: &Path, makes: impl Fn(&Path) -> bool) -> io::Result<()> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() => return Ok(()),
            Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(_) => return Err(not_a_file()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) => {}
        }
        // A link may lead to where it is made, by others.
        let mut target = path.to_owned();
        for _ in 0..LINK_LIMIT {
            let Ok(to) = std::fs::read_link(&target) else { break };
            target = directory(&target).join(to);
        }
        let text = target.as_os_str().as_encoded_bytes();
        if text.ends_with(b"/") || text.ends_with(b"/.") {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if target.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected the path of a file"));
        }
        let directory = directory(&target);
        let is_missing = std::fs::metadata(directory).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        // Of `missing/../there` the system wants the first part to exist, too.
        let leads_there = directory.ancestors().all(|part| !part.ends_with("..") || part.exists());
        if is_missing && !(leads_there && makes(directory)) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "its directory does not exist"));
        }
        Ok(())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.queue.path
    }

    /// Adds a record. Never waits: if too many wait to be written, it is lost, and counted.
    pub fn push(&self, record: &AuditRecord<'_>) {
        let time = time_text();
        let mut line = Vec::with_capacity(1024);
        let mut serializer = serde_json::Serializer::with_formatter(&mut line, HarmlessTexts);
        // Writing a record of numbers and texts to a buffer does not fail.
        let _ = VersionedRecord { version: VERSION, time: &time, record }.serialize(&mut serializer);
        line.push(b'\n');
        self.queue.push(&line);
    }

    /// Opens the file again, once what waits is written.
    pub fn reopen(&self) {
        let mut state = self.queue.lock();
        state.reopens = true;
        self.queue.wake(state);
    }

    /// Waits until all records are written, or until `timeout`.
    pub fn flush(&self, timeout: Duration) {
        let is_busy = |state: &mut RecordState| state.is_writing;
        let _ = self.queue.done.wait_timeout_while(self.queue.lock(), timeout, is_busy);
    }

    /// How many records have been written, and how many have been lost.
    pub fn counts(&self) -> (u64, u64) {
        (self.queue.written.load(Ordering::Relaxed), self.queue.lost.load(Ordering::Relaxed))
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.is_closed = true;
        self.queue.wake(state);
    }
}

/// Opens the file at a path for appending, or makes it.
fn open(path: &Path) -> io::Result<(File, bool)> {
    // A pipe that nobody reads must not hold up the start.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.append(true).mode(MODE).custom_flags(flags);
    let (file, is_made) = match options.create_new(true).open(path) {
        // The target of a link that leads nowhere is made by whoever made the link.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            (options.create_new(false).create(true).open(path)?, false)
        }
        made => (made?, true),
    };
    if file.metadata()?.is_file() { Ok((file, is_made)) } else { Err(not_a_file()) }
}

fn not_a_file() -> io::Error {
    io::Error::other("it is not a file")
}

/// The directory of a path.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Device and inode of a file.
fn identity(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Whether the file at a path is this one.
fn is_at(file: &File, path: &Path) -> bool {
    let found = std::fs::metadata(path).map(|found| identity(&found));
    matches!((found, file.metadata()), (Ok(found), Ok(open)) if found == identity(&open))
}

impl RecordQueue {
    fn lock(&self) -> MutexGuard<'_, RecordState> {
        // No code that holds the lock panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread if it sleeps.
    fn wake(&self, mut state: MutexGuard<'_, RecordState>) {
        if !state.is_writing {
            state.is_writing = true;
            drop(state);
            self.pushed.notify_one();
        }
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > WAITING_LIMIT {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.waiting.extend_from_slice(line);
        self.wake(state);
    }

    /// Writes records as they come, until the file is closed.
    fn write_to(&self, file: File) {
        let (mut file, mut outage, mut lines) = (Some(file), Outage::default(), Vec::new());
        outage.is_in_line = ends_in_line(&self.path);
        loop {
            if lines.capacity() > KEPT_CAPACITY {
                lines = Vec::new();
            }
            lines.clear();
            let (reopens, is_last) = self.next(&mut lines);
            // The file is opened only for a record. At the end of the program there is none, and no empty file is left behind.
            let is_elsewhere = || !file.as_ref().is_some_and(|file| is_at(file, &self.path));
            if reopens || !lines.is_empty() && is_elsewhere() {
                match open(&self.path) {
                    Ok((opened, _)) => {
                        file = Some(opened);
                        outage.is_in_line = ends_in_line(&self.path);
                    }
                    // What was open before has been moved away on purpose.
                    Err(error) => {
                        file = None;
                        outage.begins(&self.path, &error);
                    }
                }
            }
            let all = count_lines(&lines);
            let written = match file.as_mut().map(|file| write_lines(file, &lines, &mut outage.is_in_line)) {
                Some((written, None)) => written,
                Some((written, Some(error))) => {
                    outage.begins(&self.path, &error);
                    written
                }
                None => 0,
            };
            self.written.fetch_add(written, Ordering::Relaxed);
            self.lost.fetch_add(all - written, Ordering::Relaxed);
            if written == all && all > 0 {
                outage.ends(&self.path, self.lost.load(Ordering::Relaxed));
            }
            if is_last {
                self.done.notify_all();
                return;
            }
        }
    }

    /// Waits until there is something to do and swaps the records into `lines`, which is empty; returns whether the file is to be
    /// opened again, and whether there will be no more records.
    fn next(&self, lines: &mut Vec<u8>) -> (bool, bool) {
        let mut state = self.lock();
        if state.waiting.is_empty() && !state.reopens && !state.is_closed {
            state.is_writing = false;
            self.done.notify_all();
            let wait = self.pushed.wait_while(state, |state| !state.is_writing);
            drop(wait.unwrap_or_else(PoisonError::into_inner));
            std::thread::sleep(GATHER_TIME);
            state = self.lock();
        }
        std::mem::swap(&mut state.waiting, lines);
        (std::mem::take(&mut state.reopens), state.is_closed)
    }
}

/// A time in which records cannot be written.
#[derive(Debug, Default)]
struct Outage {
    is_on: bool,
    /// Whether the last line is in the file in part.
    is_in_line: bool,
}

impl Outage {
    /// Says so in the log, if it has not been said.
    fn begins(&mut self, path: &Path, error: &io::Error) {
        if !std::mem::replace(&mut self.is_on, true) {
            let file = quoting::path(path);
            tracing::error!(file, %error, "the audit file cannot be written: requests are served, and their records lost");
        }
    }

    /// Says in the log that it is over.
    fn ends(&mut self, path: &Path, lost: u64) {
        if std::mem::take(&mut self.is_on) {
            let file = quoting::path(path);
            tracing::warn!(
                file,
                lost,
                "the audit file can be written again; so many records have been lost since the start"
            );
        }
    }
}

/// Whether a file ends in the middle of a line.
fn ends_in_line(path: &Path) -> bool {
    let last = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::End(-1))?;
        let mut byte = [0];
        file.read_exact(&mut byte).map(|()| byte[0])
    });
    last.is_ok_and(|byte| byte != b'\n')
}

/// Writes texts of which no character ends a line, paints a terminal or turns the direction of what is read, wherever they are shown.
struct HarmlessTexts;

impl Formatter for HarmlessTexts {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|character| !is_harmless(character)) {
            let (before, behind) = rest.split_at(at);
            out.write_all(before.as_bytes())?;
            let mut characters = behind.chars();
            let mut escaped = Vec::new();
            characters.next().into_iter().for_each(|character| push_escape(character, &mut escaped));
            out.write_all(&escaped)?;
            rest = characters.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time_limit::within_time_limit;

    /// What becomes of a file when its audit log is given up, and whether it is removed.
    #[test]
    fn only_a_new_file_is_removed_that_nobody_else_uses() {
        type Step = fn(&Path);
        let cases: [(&str, Step, Step, bool); 6] = [
            ("a new file", |_| {}, |_| {}, true),
            ("a file that was there", |path| std::fs::write(path, "").unwrap(), |_| {}, false),
            (
                "a link that leads nowhere",
                |path| std::os::unix::fs::symlink(path.with_extension("target"), path).unwrap(),
                |_| {},
                false,
            ),
            ("a new file with a record", |_| {}, |path| std::fs::write(path, "{}").unwrap(), false),
            (
                "another file in its place",
                |_| {},
                |path| {
                    std::fs::rename(path, path.with_extension("1")).unwrap();
                    std::fs::write(path, "").unwrap();
                },
                false,
            ),
            (
                "a link in its place",
                |_| {},
                |path| {
                    std::fs::rename(path, path.with_extension("1")).unwrap();
                    std::os::unix::fs::symlink(path.with_extension("1"), path).unwrap();
                },
                false,
            ),
        ];
        within_time_limit(move || {
            for (what, before, meanwhile, is_removed) in cases {
                let folder = AuditFolder::new("made");
                let path = folder.0.join("audit.jsonl");
                before(&path);
                let audit = AuditLog::open(&path).unwrap();
                meanwhile(&path);
                audit.remove_made();
                assert_eq!(path.symlink_metadata().is_err(), is_removed, "{what}");
            }
        });
    }

    /// A folder that is removed when dropped.
    struct AuditFolder(PathBuf);

    impl AuditFolder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("dockveil-audit-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for AuditFolder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn more_than_may_wait_is_lost_and_counted() {
        within_time_limit(|| {
            let folder = AuditFolder::new("lost");
            let path = folder.0.join("audit.jsonl");
            let audit = AuditLog::open(&path).unwrap();
            let page = [&[b'x'; 65_535][..], b"\n"].concat();
            // The thread may take some of them meanwhile, and none is both.
            for _ in 0..1000 {
                audit.queue.push(&page);
            }
            audit.flush(LONG);
            let (written, lost) = audit.counts();
            assert_eq!(written + lost, 1000);
            assert_eq!(std::fs::metadata(&path).unwrap().len(), written * 65_536);
        });
    }

    #[test]
    fn a_file_that_is_moved_or_asked_for_is_opened_again() {
        within_time_limit(|| {
            let folder = AuditFolder::new("moved");
            let (path, moved) = (folder.0.join("audit.jsonl"), folder.0.join("audit.jsonl.1"));
            let audit = AuditLog::open(&path).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, MODE);
            let push = |text: &str| {
                audit.queue.push(text.as_bytes());
                audit.flush(LONG);
            };
            push("a\n");
            std::fs::rename(&path, &moved).unwrap();
            push("b\n");
            let text = |path: &Path| std::fs::read_to_string(path).unwrap();
            assert_eq!((text(&moved).as_str(), text(&path).as_str()), ("a\n", "b\n"));
            std::fs::rename(&path, &moved).unwrap();
            audit.reopen();
            audit.flush(LONG);
            assert_eq!((text(&moved).as_str(), text(&path).as_str()), ("b\n", ""));
            // Where no file can be, records are lost until there can.
            std::fs::remove_file(&path).unwrap();
            std::fs::create_dir(&path).unwrap();
            push("c\n");
            push("d\n");
            assert_eq!(audit.counts(), (2, 2));
            std::fs::remove_dir(&path).unwrap();
            push("e\n");
            assert_eq!((audit.counts(), text(&path).as_str()), ((3, 2), "e\n"));
        });
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = AuditFolder::new("refused");
        assert!(AuditLog::open(&folder.0).is_err());
        assert!(AuditLog::open(Path::new("/dev/null")).is_err());
        assert!(AuditLog::open(&folder.0.join("no/such/folder")).is_err());
    }
}
