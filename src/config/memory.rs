//! The memory that the control group of this process may use: what documents may use of it, and how many connections the rest is
//! enough for.
//!
//! A container, a systemd unit and a Kubernetes pod each are a control group. Both versions of the interface are read. A group
//! is also bound by the groups that it is in. What the system holds for a connection counts, too: what was sent and nobody reads.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{ByteLimit, Config, Limits, Listener};
use crate::endpoint::{EngineAddress, EngineEndpoint};
use crate::socket::{Address, SocketBuffers};

/// The memory for documents if no control group sets a limit, in bytes.
const WITHOUT_LIMIT: usize = 64 << 20;
/// The most that a limit of a control group leads to, in bytes.
const MOST: usize = 1 << 30;
/// What the program takes without any connection, in bytes: its pages, its threads, and what they read into.
const PROCESS: u64 = 8 << 20;
/// What streams may read ahead, as a part of the memory for documents. It is beside that.
const READ_AHEAD_PART: usize = 16;
/// What a connection takes beside its head and what the system holds for it, in bytes: the HTTP parsers, a piece of a body on its way
/// up and another on its way down, what waits in a writer, and what the allocator keeps of heads that are over.
const CONNECTION: usize = 176 << 10;
/// If there is memory for so many connections with large buffers, they have these.
const PLENTY: usize = 512;
/// What TLS takes beside that on one side of a connection, in bytes.
const TLS: usize = 160 << 10;
/// What a process of `ssh` takes that nothing else shares, in bytes.
const SSH: usize = 3 << 20;
/// Where the interfaces are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// How much memory documents may use at a time, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentMemory {
    /// In bytes.
    pub bytes: usize,
    /// Where the number is from.
    pub source: MemorySource,
}

/// Why documents may use so much memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemorySource {
    /// The configuration says so.
    Configured,
    /// It is half of what the control group may use, in bytes.
    ControlGroup(u64),
    /// Nothing sets a limit.
    Default,
}

impl DocumentMemory {
    /// The longest document that has room, in bytes. A sixth of the memory is for bodies of requests, an eighth of the rest for small
    /// documents, and half of what is left for what the filter leaves.
    pub fn longest_document(&self) -> usize {
        let of_documents = self.bytes - self.bytes / 6;
        (of_documents - of_documents / 8) / 2
    }

    /// What streams may read ahead of their clients beside documents with so much memory; in bytes.
    pub fn read_ahead(memory: usize) -> usize {
        memory / READ_AHEAD_PART
    }

    /// What the limits say, or else the control group.
    pub fn of(limits: &Limits) -> Self {
        Self::of_limits(limits, control_group_limit())
    }

    fn of_limits(limits: &Limits, group: Option<u64>) -> Self {
        match limits.memory {
            Some(limit) => Self { bytes: limit.bytes(), source: MemorySource::Configured },
            None => Self::of_group(group),
        }
    }

    fn of_group(limit: Option<u64>) -> Self {
        // The other half is for connections, and for what the system holds for them.
        let half = limit.and_then(|limit| usize::try_from(limit / 2).ok());
        match (limit, half) {
            (Some(limit), Some(bytes)) => {
                let bytes = ByteLimit::new(bytes.min(MOST)).bytes();
                Self { bytes, source: MemorySource::ControlGroup(limit) }
            }
            (_, _) => Self { bytes: WITHOUT_LIMIT, source: MemorySource::Default },
        }
    }
}

impl fmt::Display for DocumentMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for all documents", Size(self.bytes as u64))?;
        match self.source {
            MemorySource::Configured => Ok(()),
            MemorySource::ControlGroup(limit) => write!(f, "; the control group may use {}", Size(limit)),
            MemorySource::Default => f.write_str("; no control group sets a limit"),
        }
    }
}

/// How many connections there is memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionMemory {
    /// What connections may use, in bytes.
    pub bytes: usize,
    /// What one takes at most, in bytes.
    pub each: usize,
    /// How much of it may wait in the system.
    pub buffers: SocketBuffers,
    /// Whether a control group sets the limit.
    pub is_of_group: bool,
}

impl ConnectionMemory {
    /// What a control group leaves beside the documents. If none sets a limit, half of what the machine has: others need it, too.
    pub fn of(config: &Config) -> Self {
        Self::within(config, control_group_limit(), machine_memory())
    }

    fn within(config: &Config, group: Option<u64>, machine: Option<u64>) -> Self {
        let documents = DocumentMemory::of_limits(&config.limits, group).bytes;
        let documents = (documents + DocumentMemory::read_ahead(documents)) as u64;
        let bytes = match group {
            Some(limit) => limit.saturating_sub(documents + PROCESS),
            None => machine.map_or(u64::MAX, |memory| memory / 2),
        };
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let with = |buffers| Self { bytes, each: largest(config, buffers), buffers, is_of_group: group.is_some() };
        if group.is_none() {
            return with(SocketBuffers::OfSystem);
        }
        let (large, wanted) = (with(SocketBuffers::Large), config.limits.connections.unwrap_or(PLENTY));
        if large.connections() >= wanted { large } else { with(SocketBuffers::Small) }
    }

    /// How many connections have room at a time.
    pub fn connections(&self) -> usize {
        self.bytes / self.each.max(1)
    }
}

impl fmt::Display for ConnectionMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for connections, each of which may take {}", Size(self.bytes as u64), Size(self.each as u64))
    }
}

/// What a connection takes at most, in bytes.
fn largest(config: &Config, buffers: SocketBuffers) -> usize {
    let of_clients = config.listeners.iter().map(|listener| of_client(listener, buffers)).max();
    let of_engines = config.engines().into_iter().map(|engine| of_engine(engine, buffers)).max();
    CONNECTION + config.limits.head.bytes() + of_clients.unwrap_or(0) + of_engines.unwrap_or(0)
}

/// What the side of a client takes beside [`CONNECTION`], in bytes.
fn of_client(listener: &Listener, buffers: SocketBuffers) -> usize {
    // What is decrypted goes through a pair of sockets.
    let tls = if listener.tls.is_some() { 2 * buffers.most_of_unix() + TLS } else { 0 };
    of_socket(&listener.address, buffers) + tls
}

/// What the side of the engine takes beside [`CONNECTION`], in bytes.
fn of_engine(engine: &EngineEndpoint, buffers: SocketBuffers) -> usize {
    let pair = 2 * buffers.most_of_unix();
    match (&engine.address, &engine.tls) {
        (EngineAddress::Socket(address), None) => of_socket(address, buffers),
        (EngineAddress::Socket(address), Some(_)) => of_socket(address, buffers) + pair + TLS,
        (EngineAddress::Ssh(_), _) => pair + SSH,
    }
}

/// What the system holds for a connection, in bytes.
fn of_socket(address: &Address, buffers: SocketBuffers) -> usize {
    match address {
        Address::Unix(_) => buffers.most_of_unix(),
        Address::Tcp { .. } => buffers.most_of_tcp(),
    }
}

/// A number of bytes, in the unit in which it is written in a configuration.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 20 => write!(f, "{} MiB", bytes >> 20),
            bytes if bytes >= 1 << 10 => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

/// The limit of the control group of this process, in bytes; `None` if there is none.
fn control_group_limit() -> Option<u64> {
    let membership = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit_under(Path::new(MOUNT), &membership)
}

/// The memory of the machine, in bytes; `None` if the system does not say.
fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The smallest limit of the groups in `membership`, which has the lines of `/proc/self/cgroup`.
///
/// Source: cgroups(7); `memory.max` and `memory.high` of version 2, `memory.limit_in_bytes` of version 1.
fn limit_under(mount: &Path, membership: &str) -> Option<u64> {
    let groups = membership.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        if controllers.is_empty() {
            return Some((mount.to_owned(), path, &["memory.max", "memory.high"][..]));
        }
        let has_memory = controllers.split(',').any(|name| name == "memory");
        has_memory.then(|| (mount.join("memory"), path, &["memory.limit_in_bytes"][..]))
    });
    groups.filter_map(|(root, path, files)| limit_of(&root, path, files)).min()
}

/// The smallest limit of a group and of those that it is in. Inside a container the path may be that of the host, where there
/// is nothing, and the root is the group.
fn limit_of(root: &Path, path: &str, files: &[&str]) -> Option<u64> {
    let group = root.join(path.trim_start_matches('/'));
    let folders: Vec<PathBuf> =
        group.ancestors().take_while(|folder| folder.starts_with(root)).map(Path::to_owned).collect();
    let read = |file: PathBuf| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let limits = folders.iter().flat_map(|folder| files.iter().map(|file| folder.join(file))).filter_map(read);
    // Version 1 writes the largest number of pages for "no limit".
    limits.filter(|limit| *limit < 1 << 60).min()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// The limit that is found among these files.
    #[track_caller]
    fn check(files: &[(&str, &str)], membership: &str, expected: Option<u64>) {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("dockveil-cgroup-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mount = std::env::temp_dir().join(name);
        for (file, text) in files {
            let path = mount.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let found = limit_under(&mount, membership);
        let _ = std::fs::remove_dir_all(&mount);
        assert_eq!(found, expected, "{files:?} {membership:?}");
    }

    #[test]
    fn the_limit_of_version_2_is_read() {
        check(&[("memory.max", "134217728\n")], "0::/\n", Some(128 << 20));
        check(&[("a/b/memory.max", "max\n"), ("a/memory.max", "5000\n")], "0::/a/b\n", Some(5000));
        check(&[("a/memory.max", "5000\n"), ("a/memory.high", "4000\n")], "0::/a\n", Some(4000));
        // A container that does not see the path of its host.
        check(&[("memory.max", "5000\n")], "0::/system.slice/docker-1.scope\n", Some(5000));
        check(&[("memory.max", "max\n")], "0::/\n", None);
        check(&[], "0::/\n", None);
    }

    #[test]
    fn the_limit_of_version_1_is_read() {
        let membership = "5:cpu,cpuacct:/x\n4:memory:/a\n0::/\n";
        check(&[("memory/a/memory.limit_in_bytes", "5000\n")], membership, Some(5000));
        check(&[("memory/memory.limit_in_bytes", "5000\n")], membership, Some(5000));
        check(&[("memory/a/memory.limit_in_bytes", "9223372036854771712\n")], membership, None);
    }

    #[test]
    fn connections_get_what_is_left() {
        #[track_caller]
        fn check(lines: &str, group: Option<u64>, expected: (usize, usize, SocketBuffers)) {
            let upstream = if lines.contains("upstream") { "" } else { "upstream: unix:///run/e.sock\n" };
            let text = format!("{upstream}listeners: [{{listen: \"unix:///run/x.sock\"}}]\n{lines}");
            let config = super::super::tests::load(&text).unwrap();
            let found = ConnectionMemory::within(&config, group, Some(8 << 30));
            assert_eq!((found.bytes >> 20, found.connections(), found.buffers), expected, "{lines:?} {group:?}");
        }
        let (small, large) = (SocketBuffers::Small, SocketBuffers::Large);
        check("", None, (4096, 4766, SocketBuffers::OfSystem));
        check("", Some(64 << 20), (22, 64, small));
        check("", Some(128 << 20), (52, 151, small));
        check("", Some(1 << 30), (472, 549, large));
        // What is wanted has the buffers that it can have.
        check("limits: {connections: 60}", Some(128 << 20), (52, 60, large));
        check("limits: {connections: 70}", Some(128 << 20), (52, 151, small));
        check("limits: {memory: 16MiB}", Some(64 << 20), (39, 113, small));
        check("limits: {head: 1MiB}", Some(128 << 20), (52, 41, small));
        check("upstream: tcp://a:2375", Some(128 << 20), (52, 95, small));
        // A process for each of them.
        check("upstream: ssh://a@b", Some(128 << 20), (52, 15, small));
        // There is none left, and the server has some connections all the same.
        check("limits: {memory: 64MiB}", Some(64 << 20), (0, 0, small));
    }

    #[test]
    fn documents_get_half_of_the_limit() {
        for (limit, bytes, text) in [
            (Some(128 << 20), 64 << 20, "64 MiB for all documents; the control group may use 128 MiB"),
            (Some(64 << 30), 1 << 30, "1024 MiB for all documents; the control group may use 65536 MiB"),
            (None, 64 << 20, "64 MiB for all documents; no control group sets a limit"),
        ] {
            let memory = DocumentMemory::of_group(limit);
            assert_eq!((memory.bytes, memory.to_string().as_str()), (bytes, text));
        }
        let limits = Limits { memory: Some(ByteLimit::new(1 << 20)), ..Limits::default() };
        assert_eq!(DocumentMemory::of(&limits).to_string(), "1 MiB for all documents");
    }
}
