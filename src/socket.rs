//! One connected socket, Unix or TCP, and the address of one.

mod carrier;
mod passed;
#[cfg(target_os = "linux")]
mod splice;
mod wait_timer;

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::errno::Errno;
use rustix::net::sockopt;
use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, SocketType};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};

pub use self::carrier::{Breakage, BrokenConnection, Carrier};
pub use self::passed::{PassedListener, PassedSocket, PassedSockets};
pub use self::wait_timer::WaitTimer;

/// The most that one read takes, in bytes.
pub const READ_SIZE: usize = 256 * 1024;

/// How long to wait before a Unix socket whose queue is full is tried again, at first and at most.
const FIRST_CONNECT_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// What reports that the other side has ended its direction: of urgent bytes only the end is reported, whether or not others have
/// arrived. Only Linux knows them.
#[cfg(target_os = "linux")]
const END: Interest = Interest::PRIORITY;
#[cfg(not(target_os = "linux"))]
const END: Interest = Interest::READABLE;

/// How long a TCP client that has ended its direction may go on reading. It cannot be distinguished from one that is gone.
const HALF_CLOSED_TIME: Duration = Duration::from_secs(1);

/// How long it takes until a TCP connection has broken whose other side does not answer a probe: two seconds, and as much as the timers of
/// the system are late.
const PROOF_TIME: Duration = Duration::from_millis(2500);

/// How often to look whether the other side has closed.
const CLOSED_INTERVAL: Duration = Duration::from_millis(50);

/// How much may wait in the system for each socket. It counts as memory of a control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketBuffers {
    /// As much as the system lets wait by itself, which over TCP may be some megabytes.
    OfSystem,
    /// About as much as on a Unix socket by itself.
    Large,
    /// Little.
    Small,
}

/// What the system lets wait on a Unix socket by itself, in bytes: `net.core.wmem_default`, socket(7).
const UNIX_SEND_BUFFER: usize = 208 * 1024;

/// What the system is told of sockets, in bytes; zero if it is told nothing. It takes that twice, because it counts what it needs itself.
#[derive(Debug)]
struct BufferSizes<N> {
    unix_send: N,
    tcp_send: N,
    tcp_receive: N,
}

/// What the system is told now: all sockets of the process are in one control group.
static BUFFER_SIZES: BufferSizes<AtomicUsize> =
    BufferSizes { unix_send: AtomicUsize::new(0), tcp_send: AtomicUsize::new(0), tcp_receive: AtomicUsize::new(0) };

impl SocketBuffers {
    /// What the system is told. Over TCP a segment of the loopback interface must have room, and be acknowledged at once: with half of
    /// that, 40 ms go by for each. What comes over a Unix socket counts for whoever sends it.
    fn told(self) -> BufferSizes<usize> {
        match self {
            Self::OfSystem => BufferSizes { unix_send: 0, tcp_send: 0, tcp_receive: 0 },
            Self::Large => BufferSizes { unix_send: 0, tcp_send: 128 * 1024, tcp_receive: 128 * 1024 },
            Self::Small => BufferSizes { unix_send: 16 * 1024, tcp_send: 64 * 1024, tcp_receive: 32 * 1024 },
        }
    }

    /// The most that waits on a Unix socket, in bytes. The last piece may be more than there was room for, by half.
    pub fn most_of_unix(self) -> usize {
        let told = self.told().unix_send;
        let room = if told == 0 { UNIX_SEND_BUFFER } else { 2 * told };
        room + room / 2
    }

    /// The most that waits on a TCP connection in both directions, in bytes, if the system is told. The last segment to be sent may be
    /// more than there was room for.
    pub fn most_of_tcp(self) -> usize {
        let BufferSizes { tcp_send, tcp_receive, .. } = self.told();
        if tcp_send == 0 { self.most_of_unix() } else { 2 * tcp_send + 64 * 1024 + 2 * tcp_receive }
    }

    /// Makes it so for all sockets from now on.
    pub fn use_from_now_on(self) {
        let told = self.told();
        BUFFER_SIZES.unix_send.store(told.unix_send, Ordering::Relaxed);
        BUFFER_SIZES.tcp_send.store(told.tcp_send, Ordering::Relaxed);
        BUFFER_SIZES.tcp_receive.store(told.tcp_receive, Ordering::Relaxed);
    }

    /// Tells the system of a Unix socket. It takes any size.
    fn apply_to_unix(socket: impl AsFd) {
        let size = BUFFER_SIZES.unix_send.load(Ordering::Relaxed);
        if size > 0 {
            let _ = sockopt::set_socket_send_buffer_size(socket, size);
        }
    }

    /// Tells the system of a TCP connection. It takes any size.
    fn apply_to_tcp(socket: impl AsFd) {
        let [send, receive] =
            [&BUFFER_SIZES.tcp_send, &BUFFER_SIZES.tcp_receive].map(|size| size.load(Ordering::Relaxed));
        if send > 0 {
            let _ = sockopt::set_socket_send_buffer_size(&socket, send);
            let _ = sockopt::set_socket_recv_buffer_size(&socket, receive);
        }
    }
}

/// What a move of bytes from one socket to another has done.
#[derive(Debug, PartialEq, Eq)]
pub enum Moved {
    /// Some bytes have arrived, or the end.
    Bytes {
        /// How many have been taken; zero at the end.
        taken: usize,
        /// The last of them, for which there was no room.
        unsent: Vec<u8>,
    },
    /// Nothing: the system does not move bytes between these sockets, or has no descriptor left for it. Read them.
    Unsupported,
}

thread_local! {
    // Room that is not written to takes no memory until something is read into it.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(READ_SIZE));
}

/// Where to listen or to connect: `unix:///run/docker.sock` or `tcp://127.0.0.1:2375`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// The path of a Unix socket; absolute.
    Unix(PathBuf),
    /// A name or IP address (IPv6 without brackets), and a port.
    Tcp {
        /// Name or IP address.
        host: String,
        /// Port; 0 lets the system choose one to listen on.
        port: u16,
    },
}

/// Who owns a Unix socket that is listened on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOwner {
    /// The number of a user; the user of the process if `None`.
    pub user: Option<u32>,
    /// The number of a group; the group of the process if `None`.
    pub group: Option<u32>,
}

impl SocketOwner {
    /// This owner, with what `other` says where this one says nothing.
    pub fn or(self, other: Self) -> Self {
        Self { user: self.user.or(other.user), group: self.group.or(other.group) }
    }
}

/// What is known of the directory of a Unix socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SocketFolder {
    /// Nothing: the operator says who may write it.
    #[default]
    Any,
    /// It must belong to this user, and only he may write it: others could have made it before.
    Own,
    /// It is for the socket alone, so it may be given to the user that a process started as root becomes.
    ForSocket,
}

/// Why a text is not an [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Neither `unix://` nor `tcp://`.
    Scheme,
    /// A Unix socket path that is not absolute.
    RelativePath,
    /// A Unix socket path longer than the 107 bytes a socket address holds.
    LongPath,
    /// No host, no port, or something after the port.
    HostPort,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "expected unix:///path or tcp://host:port",
            Self::RelativePath => "expected an absolute path after unix://",
            Self::LongPath => "the path is longer than the 107 bytes a socket address holds",
            Self::HostPort => "expected tcp://host:port and nothing after the port",
        })
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix://") {
            return match path {
                path if !path.starts_with('/') => Err(AddressError::RelativePath),
                path if path.len() > 107 => Err(AddressError::LongPath),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let rest = text.strip_prefix("tcp://").ok_or(AddressError::Scheme)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = rest.rsplit_once(':').ok_or(AddressError::HostPort)?;
        let port = port.parse().map_err(|_| AddressError::HostPort)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(host) if host.parse::<std::net::Ipv6Addr>().is_ok() => host,
            Some(_) => return Err(AddressError::HostPort),
            None if host.is_empty() || host.contains([':', '/', '[', ']', '@', '?', '#', ' ']) => {
                return Err(AddressError::HostPort);
            }
            None => host,
        };
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

impl Address {
    /// Whether a listener at one of them can keep another from the other: both have the same port and host, or the host of one is
    /// every address.
    pub fn is_in_the_way_of(&self, other: &Self) -> bool {
        let address = |host: &str| host.parse::<IpAddr>().ok();
        // Every address of IPv6 has those of IPv4, and not the other way round.
        let is_within = |one: &str, every: &str| match (address(one), address(every)) {
            (_, Some(every)) if !every.is_unspecified() => false,
            (Some(IpAddr::V6(one)), Some(IpAddr::V4(_))) => one.is_unspecified(),
            (_, every) => every.is_some(),
        };
        match (self, other) {
            (Self::Tcp { host: one, port }, Self::Tcp { host: other, port: other_port }) => {
                port == other_port && (one == other || is_within(one, other) || is_within(other, one))
            }
            (Self::Unix(_), _) | (_, Self::Unix(_)) => false,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

/// How to find out that the other side of a silent TCP connection is gone: the system asks it for a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// How long a connection is silent before the first probe; zero for no probes. The system counts whole seconds.
    pub idle: Duration,
    /// How long to wait between two probes.
    pub interval: Duration,
    /// How many probes may go unanswered.
    pub probes: u32,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 3 }
    }
}

impl Keepalive {
    /// Probes a connection as soon as the system can: when it has been silent for a second. It breaks a second later if nothing
    /// comes back.
    const PROOF: Self = Self { idle: Duration::from_secs(1), interval: Duration::from_secs(1), probes: 1 };

    /// Has the system ask the other side of a TCP connection whether it is there, and waits for as long as that takes at most. If
    /// the other side has not answered, the connection has broken by then. Afterwards, what `self` says holds.
    ///
    /// Cancel safety: when dropped, the connection goes on being probed each second.
    ///
    /// # Errors
    /// The error of the system.
    pub async fn prove(self, socket: impl AsFd) -> io::Result<()> {
        Self::PROOF.apply(&socket)?;
        tokio::time::sleep(PROOF_TIME).await;
        if self.idle.is_zero() {
            sockopt::set_socket_keepalive(&socket, false)?;
        }
        self.apply(&socket)
    }

    /// Sets the options of a TCP socket.
    ///
    /// # Errors
    /// The error of the system.
    fn apply(self, socket: impl AsFd) -> io::Result<()> {
        if self.idle.is_zero() {
            return Ok(());
        }
        sockopt::set_tcp_keepintvl(&socket, self.interval)?;
        sockopt::set_tcp_keepcnt(&socket, self.probes)?;
        // At last: if it has been silent for so long, it is probed at once.
        sockopt::set_tcp_keepidle(&socket, self.idle)?;
        sockopt::set_socket_keepalive(&socket, true)?;
        Ok(())
    }
}

/// Connects to the Unix socket at `path` if that takes no time. The connection blocks.
///
/// # Errors
/// The error of the system; `WouldBlock` if somebody listens there but the queue of connections is full.
pub fn connect_at_once(path: &Path) -> io::Result<std::os::unix::net::UnixStream> {
    let socket = new_unix_socket()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let stream = std::os::unix::net::UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// A Unix socket of which nothing waits, and which no other program inherits.
///
/// # Errors
/// The error of the system.
#[cfg(target_os = "linux")]
pub(crate) fn new_unix_socket() -> io::Result<OwnedFd> {
    let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// A Unix socket of which nothing waits, and which no other program inherits, unless one is started this very moment.
///
/// # Errors
/// The error of the system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn new_unix_socket() -> io::Result<OwnedFd> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// The addresses that a host stands for; it may be an address itself. The caller sets the time limit.
///
/// # Errors
/// Why the name cannot be resolved.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = match host.parse() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => tokio::net::lookup_host((host, port)).await.map_err(unresolved)?.collect(),
    };
    if found.is_empty() { Err(io::Error::other("it has no address")) } else { Ok(found) }
}

/// The error of a look-up without the words of the standard library before those of the system.
pub fn unresolved(error: io::Error) -> io::Error {
    match error.to_string().strip_prefix("failed to lookup address information: ") {
        Some(why) => io::Error::new(error.kind(), why),
        None => error,
    }
}

/// Who is at the other end of a connection, as the system says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The process that connected to a Unix socket, as it was then.
    Process {
        /// The user that it ran as.
        uid: u32,
        /// The group that it ran as.
        gid: u32,
        /// Its number. `None` if it is in no PID namespace that this process sees.
        pid: Option<u32>,
    },
    /// The address of a TCP connection.
    Address(SocketAddr),
    /// Nobody any more.
    Gone,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { uid, pid: Some(pid), .. } => write!(f, "uid {uid} pid {pid}"),
            Self::Process { uid, pid: None, .. } => write!(f, "uid {uid}"),
            // A socket for both families has IPv4 addresses as IPv6 ones.
            Self::Address(address) => write!(f, "{}", SocketAddr::new(address.ip().to_canonical(), address.port())),
            Self::Gone => f.write_str("gone"),
        }
    }
}

/// The supplementary groups of the process that connected to a socket, as they are now.
///
/// A number could belong to another process by now. The descriptor does not: as long as the system has a number for it, that
/// number is of the same process. Since it connected, the process may have become another program with other groups, as by `su`:
/// then its user or its group is another one.
fn groups_of_peer(socket: &UnixStream) -> Option<Vec<u32>> {
    let peer = socket.peer_cred().ok()?;
    let process = process_of_peer(socket).ok()?;
    let pid = number_of(&process)?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    (number_of(&process)? == pid).then_some(())?;
    groups_in(&status, peer.uid(), peer.gid())
}

/// The process that connected to a socket.
#[cfg(target_os = "linux")]
fn process_of_peer(socket: &UnixStream) -> Result<OwnedFd, Errno> {
    nix::sys::socket::getsockopt(socket, nix::sys::socket::sockopt::PeerPidfd)
}

/// Only Linux has descriptors of processes. Elsewhere the groups of a client are unknown: no line of `clients` finds it by them.
#[cfg(not(target_os = "linux"))]
fn process_of_peer(_: &UnixStream) -> Result<OwnedFd, Errno> {
    Err(Errno::ENOPROTOOPT)
}

/// The number of a process. `None` if it has ended and nobody waits for it any more, or if this process does not see it.
fn number_of(process: &OwnedFd) -> Option<u32> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd())).ok()?;
    let number: i64 = info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()?;
    u32::try_from(number).ok().filter(|number| *number > 0)
}

/// The supplementary groups in `/proc/PID/status`. `None` if the process runs as another user or group.
fn groups_in(status: &str, uid: u32, gid: u32) -> Option<Vec<u32>> {
    let numbers = |key: &str| -> Option<Vec<u32>> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().map(|number| number.parse().ok()).collect()
    };
    // The real, the effective, the saved one, and that for files.
    let is_all = |key: &str, id: u32| Some(numbers(key)?.len() == 4 && numbers(key)?.iter().all(|found| *found == id));
    (is_all("Uid:", uid)? && is_all("Gid:", gid)?).then(|| numbers("Groups:"))?
}

/// An accepted connection of which no runtime knows.
#[derive(Debug)]
pub enum AcceptedSocket {
    /// Over a Unix socket.
    Unix(std::os::unix::net::UnixStream),
    /// Over TCP.
    Tcp(std::net::TcpStream),
}

/// A connected stream socket.
#[derive(Debug)]
pub enum Socket {
    /// Over a Unix socket.
    Unix(UnixStream),
    /// Over TCP, Nagle's algorithm off.
    Tcp(TcpStream),
    /// Over what is no socket, such as TLS or the pipes of a process: through a Unix socket within this process.
    Carried(UnixStream, Breakage),
}

impl Socket {
    /// Connects to the Unix socket at `path`. Tries again for as long as the queue of the listener is full: the caller sets the
    /// time limit.
    ///
    /// # Errors
    /// The error of the system.
    pub async fn connect_unix(path: &Path) -> io::Result<Self> {
        let mut pause = FIRST_CONNECT_PAUSE;
        loop {
            match UnixStream::connect(path).await {
                // No event reports that there is room again.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(pause).await,
                connected => {
                    let socket = connected?;
                    SocketBuffers::apply_to_unix(&socket);
                    return Ok(Self::Unix(socket));
                }
            }
            pause = LONGEST_CONNECT_PAUSE.min(pause * 2);
        }
    }

    /// Connects to the first of these addresses that takes the connection.
    ///
    /// # Errors
    /// The error of the system.
    pub async fn connect_tcp(places: &[SocketAddr], keepalive: Keepalive) -> io::Result<Self> {
        let socket = TcpStream::connect(places).await?;
        socket.set_nodelay(true)?;
        keepalive.apply(&socket)?;
        SocketBuffers::apply_to_tcp(&socket);
        Ok(Self::Tcp(socket))
    }

    /// A connection in the runtime of this thread. The socket must not block; `keepalive` is for TCP.
    ///
    /// # Errors
    /// The error of the system.
    pub fn accepted(socket: AcceptedSocket, keepalive: Keepalive) -> io::Result<Self> {
        match socket {
            AcceptedSocket::Unix(socket) => {
                SocketBuffers::apply_to_unix(&socket);
                Ok(Self::Unix(UnixStream::from_std(socket)?))
            }
            AcceptedSocket::Tcp(socket) => {
                SocketBuffers::apply_to_tcp(&socket);
                let socket = TcpStream::from_std(socket)?;
                // If the client is already gone, the first read reports it.
                let _ = socket.set_nodelay(true);
                let _ = keepalive.apply(&socket);
                Ok(Self::Tcp(socket))
            }
        }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        match self {
            Self::Tcp(socket) => socket.peer_addr().map_or(Peer::Gone, Peer::Address),
            // The other end is this process.
            Self::Carried(..) => Peer::Gone,
            Self::Unix(socket) => socket.peer_cred().map_or(Peer::Gone, |peer| {
                let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
                Peer::Process { uid: peer.uid(), gid: peer.gid(), pid }
            }),
        }
    }

    /// The supplementary groups of the process that connected to a Unix socket. None if the system does not say which process
    /// that was (before Linux 6.5), if it has ended, if this process does not see it, or if its user or group are others now.
    pub fn peer_groups(&self) -> Vec<u32> {
        match self {
            Self::Unix(socket) => groups_of_peer(socket).unwrap_or_default(),
            Self::Tcp(_) | Self::Carried(..) => Vec::new(),
        }
    }

    /// Whether the process that connected to a Unix socket has ended, so that its number may be that of another one. Before Linux
    /// 6.5, the system does not say.
    pub fn has_peer_ended(&self) -> bool {
        match self {
            Self::Unix(socket) => match process_of_peer(socket) {
                Ok(process) => number_of(&process).is_none(),
                Err(error) => error != Errno::ENOPROTOOPT,
            },
            Self::Tcp(_) | Self::Carried(..) => false,
        }
    }

    /// Whether bytes have arrived that were not read. Asks the system, and not the runtime, which may not know yet.
    pub fn has_unread_bytes(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(rustix::net::recv(self, &mut [0_u8; 1], flags), Ok((_, 1..)))
    }

    /// Whether nothing has arrived, neither bytes nor the end. Asks the system, and not the runtime, which may not know yet.
    pub fn is_silent(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        rustix::net::recv(self, &mut [0_u8; 1], flags).is_err_and(|error| error == rustix::io::Errno::AGAIN)
    }

    /// Refuses what the other side sends from now on: on a Unix socket, its writes fail. What it has sent can be read.
    ///
    /// On TCP and TLS it does nothing: the other side would not be told.
    pub fn refuse_input(&self) {
        match self {
            // It fails only on a connection that has ended.
            Self::Unix(socket) => drop(rustix::net::shutdown(socket, rustix::net::Shutdown::Read)),
            Self::Tcp(_) | Self::Carried(..) => {}
        }
    }

    /// Waits until the socket is ready for `interest`. Cancel safety: nothing is lost.
    ///
    /// # Errors
    /// The error of the system.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Self::Unix(socket) | Self::Carried(socket, _) => socket.ready(interest).await,
            Self::Tcp(socket) => socket.ready(interest).await,
        }
    }

    /// Waits until there is room to write. Only one task may wait. Cancel safety: nothing is lost.
    ///
    /// # Errors
    /// The error of the system.
    pub async fn writable(&self) -> io::Result<()> {
        poll_fn(|cx| match self {
            Self::Unix(socket) | Self::Carried(socket, _) => socket.poll_write_ready(cx),
            Self::Tcp(socket) => socket.poll_write_ready(cx),
        })
        .await
    }

    /// Waits for bytes, passes what has arrived to `take`, and returns the number of bytes, zero at the end. Only one task may
    /// read.
    ///
    /// All sockets of a thread share one buffer, so a silent socket holds none.
    /// Cancel safety: nothing is lost.
    ///
    /// # Errors
    /// The error of the system.
    pub async fn read_some(&self, take: impl FnMut(&[u8])) -> io::Result<usize> {
        self.read_up_to(READ_SIZE, take).await
    }

    /// As [`Self::read_some`], up to `limit` bytes: where they are kept, and nobody has leased memory for them.
    ///
    /// # Errors
    /// The error of the system.
    pub async fn read_up_to(&self, limit: usize, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
        poll_fn(|cx| {
            self.poll_read_some(cx, limit, |bytes| {
                take(bytes);
                bytes.len()
            })
        })
        .await
    }

    /// Waits for bytes and moves up to `limit` of what has arrived to another socket, as far as there is room. Nobody looks at them,
    /// so they are not copied. Only one task may read from this socket, and only one write to the other.
    ///
    /// # Errors
    /// The error of this socket. An error of the other one is reported by the write of what was not sent.
    pub fn poll_move_some(&self, cx: &mut Context<'_>, to: &Self, limit: usize) -> Poll<io::Result<Moved>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            match self.try_move(to, limit) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(self.cause(error))),
                Ok(Moved::Bytes { taken: 0, unsent }) => {
                    return Poll::Ready(self.ended_properly().map(|()| Moved::Bytes { taken: 0, unsent }));
                }
                Ok(moved) => return Poll::Ready(Ok(moved)),
            }
        }
    }

    /// As [`Self::poll_move_some`], of what has arrived; `WouldBlock` if nothing has.
    #[cfg(target_os = "linux")]
    fn try_move(&self, to: &Self, limit: usize) -> io::Result<Moved> {
        splice::try_move(self, to, limit)
    }

    /// Only Linux does.
    #[cfg(not(target_os = "linux"))]
    fn try_move(&self, _: &Self, _: usize) -> io::Result<Moved> {
        Ok(Moved::Unsupported)
    }

    /// Waits until there is something to read, or the end. Only one task may wait.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Unix(socket) | Self::Carried(socket, _) => socket.poll_read_ready(cx),
            Self::Tcp(socket) => socket.poll_read_ready(cx),
        }
    }

    /// What `work` does with the socket that is ready for `interest`. If that is `WouldBlock`, it is not ready any more.
    fn try_io<T>(&self, interest: Interest, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self {
            Self::Unix(socket) | Self::Carried(socket, _) => socket.try_io(interest, work),
            Self::Tcp(socket) => socket.try_io(interest, work),
        }
    }

    /// As [`AsyncRead::poll_read`], for a socket that is shared. Only one task may read.
    ///
    /// # Errors
    /// The error of the system.
    pub fn poll_read_shared(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            let room = buf.remaining();
            let mut count = 0;
            // A read that leaves room has emptied the socket. Reported as `WouldBlock`, it saves the next one, as in tokio.
            let mut take = |read: io::Result<usize>| {
                count = read?;
                if (1..room).contains(&count) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            };
            let read = self.try_io(Interest::READABLE, || {
                take(match self {
                    Self::Unix(socket) | Self::Carried(socket, _) => socket.try_read_buf(buf),
                    Self::Tcp(socket) => socket.try_read_buf(buf),
                })
            });
            match read {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(self.cause(error))),
                Err(_) if count == 0 => {}
                Ok(()) if count == 0 => return Poll::Ready(self.ended_properly()),
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Waits for bytes and passes up to `limit` of what has arrived to `take`, none at the end; returns what that returns. Only one
    /// task may read.
    ///
    /// All sockets of a thread share one buffer, so a silent socket holds none.
    ///
    /// # Errors
    /// The error of the system.
    pub fn poll_read_some<T>(
        &self,
        cx: &mut Context<'_>,
        limit: usize,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Poll<io::Result<T>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let room = scratch.spare_capacity_mut();
            let limit = limit.min(room.len());
            let mut read = ReadBuf::uninit(room.get_mut(..limit).unwrap_or_default());
            ready!(self.poll_read_shared(cx, &mut read))?;
            Poll::Ready(Ok(take(read.filled())))
        })
    }

    /// As [`AsyncWrite::poll_write_vectored`], for a socket that is shared. Only one task may write.
    ///
    /// # Errors
    /// The error of the system.
    pub fn poll_write_shared(&self, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            ready!(match self {
                Self::Unix(socket) | Self::Carried(socket, _) => socket.poll_write_ready(cx),
                Self::Tcp(socket) => socket.poll_write_ready(cx),
            })?;
            let written = match self {
                Self::Unix(socket) | Self::Carried(socket, _) => socket.try_write_vectored(slices),
                Self::Tcp(socket) => socket.try_write_vectored(slices),
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written.map_err(|error| self.cause(error))),
            }
        }
    }

    /// Reads what has arrived; `WouldBlock` if nothing has.
    ///
    /// # Errors
    /// The error of the system.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.try_read(buffer),
            Self::Tcp(socket) => socket.try_read(buffer),
            Self::Carried(socket, _) => match socket.try_read(buffer) {
                Ok(0) => self.ended_properly().map(|()| 0),
                read => read.map_err(|error| self.cause(error)),
            },
        }
    }

    /// Writes what there is room for and returns its length; `WouldBlock` if there is none.
    ///
    /// # Errors
    /// The error of the system.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.try_write(bytes),
            Self::Tcp(socket) => socket.try_write(bytes),
            Self::Carried(socket, _) => socket.try_write(bytes).map_err(|error| self.cause(error)),
        }
    }

    /// Whether the end that has just been read is a proper one: what is carried may have broken. Where bytes are left that nobody
    /// has read, the system reports a reset in place of an end: see [`Self::cause`].
    ///
    /// # Errors
    /// Why it broke, as a [`BrokenConnection`].
    fn ended_properly(&self) -> io::Result<()> {
        match self {
            Self::Carried(_, breakage) => breakage.error().map_or(Ok(()), Err),
            Self::Unix(_) | Self::Tcp(_) => Ok(()),
        }
    }

    /// Why a read or a write failed: because what is carried broke, if it did.
    fn cause(&self, error: io::Error) -> io::Error {
        match self {
            Self::Carried(_, breakage) if error.kind() != io::ErrorKind::WouldBlock => {
                breakage.error().unwrap_or(error)
            }
            Self::Carried(..) | Self::Unix(_) | Self::Tcp(_) => error,
        }
    }

    /// Writes all of `bytes`. Cancel safety: when dropped, a part has been written.
    ///
    /// # Errors
    /// The error of the system.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends our direction (`FIN`). The other stays open.
    ///
    /// # Errors
    /// The error of the system.
    pub fn finish(&self) -> io::Result<()> {
        match self {
            Self::Unix(socket) | Self::Carried(socket, _) => {
                rustix::net::shutdown(socket, rustix::net::Shutdown::Write)?
            }
            Self::Tcp(socket) => rustix::net::shutdown(socket, rustix::net::Shutdown::Write)?,
        }
        Ok(())
    }

    /// Waits until the other side has closed both directions. Cancel safety: nothing is lost.
    pub async fn closed(&self) {
        while let Ok(ready) = self.ready(Interest::WRITABLE).await {
            if ready.is_write_closed() {
                return;
            }
            // The socket is merely writable. No event reports a full close, so look again.
            tokio::time::sleep(CLOSED_INTERVAL).await;
        }
    }
}

impl Socket {
    /// Waits until the other side has ended its direction. Cancel safety: nothing is lost.
    pub async fn ended(&self) {
        while let Ok(ready) = self.ready(END).await {
            if ready.is_read_closed() {
                return;
            }
            tokio::time::sleep(CLOSED_INTERVAL).await;
        }
    }

    /// Waits until the other side is gone, as far as the system tells: over a Unix socket, until it has closed both
    /// directions; over TCP and TLS, until a second after it has ended its own. Cancel safety: nothing is lost.
    pub async fn left(&self) {
        self.ended().await;
        match self {
            Self::Unix(_) => self.closed().await,
            Self::Tcp(_) | Self::Carried(..) => drop(tokio::time::timeout(HALF_CLOSED_TIME, self.closed()).await),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(socket) | Self::Carried(socket, _) => socket.as_fd(),
            Self::Tcp(socket) => socket.as_fd(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (before, room) = (buf.filled().len(), buf.remaining());
        let read = ready!(match this {
            Self::Unix(socket) | Self::Carried(socket, _) => Pin::new(socket).poll_read(cx, buf),
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
        });
        read.map_err(|error| this.cause(error))?;
        Poll::Ready(if buf.filled().len() == before && room > 0 { this.ended_properly() } else { Ok(()) })
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match this {
            Self::Unix(socket) | Self::Carried(socket, _) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
        };
        written.map_err(|error| this.cause(error))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match this {
            Self::Unix(socket) | Self::Carried(socket, _) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
        };
        written.map_err(|error| this.cause(error))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time_limit::within_time_limit;

    #[test]
    fn a_listener_is_in_the_way_of_one_at_the_same_place() {
        let tcp = |host: &str, port| Address::Tcp { host: host.to_owned(), port };
        for (one, other, expected) in [
            (tcp("127.0.0.1", 1), tcp("127.0.0.1", 1), true),
            (tcp("0.0.0.0", 1), tcp("127.0.0.1", 1), true),
            (tcp("127.0.0.1", 1), tcp("::", 1), true),
            (tcp("0.0.0.0", 1), tcp("::", 1), true),
            (tcp("0.0.0.0", 1), tcp("::1", 1), false),
            (tcp("0.0.0.0", 1), tcp("localhost", 1), true),
            (tcp("127.0.0.1", 1), tcp("localhost", 1), false),
            (tcp("127.0.0.1", 1), tcp("127.0.0.2", 1), false),
            (tcp("0.0.0.0", 1), tcp("0.0.0.0", 2), false),
            (tcp("0.0.0.0", 1), Address::Unix("/a".into()), false),
        ] {
            assert_eq!([one.is_in_the_way_of(&other), other.is_in_the_way_of(&one)], [expected; 2], "{one} {other}");
        }
    }

    /// Two connected sockets: Unix, or TCP.
    #[cfg(target_os = "linux")]
    fn connected(is_unix: bool) -> (Socket, std::fs::File) {
        let (ours, other) = if is_unix {
            let (ours, other) = std::os::unix::net::UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            (AcceptedSocket::Unix(ours), OwnedFd::from(other))
        } else {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let other = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let ours = listener.accept().unwrap().0;
            ours.set_nonblocking(true).unwrap();
            (AcceptedSocket::Tcp(ours), other.into())
        };
        (Socket::accepted(ours, Keepalive::default()).unwrap(), other.into())
    }

    /// Moves what has arrived, 100,000 bytes at most.
    #[cfg(target_os = "linux")]
    async fn move_some(from: &Socket, to: &Socket) -> io::Result<Moved> {
        poll_fn(|cx| from.poll_move_some(cx, to, 100_000)).await
    }

    /// `Unsupported` would be an answer too, but not from a system that the tests run on.
    #[test]
    #[cfg(target_os = "linux")]
    fn bytes_are_moved_until_there_is_no_room_and_the_rest_is_returned() {
        use std::io::{Read, Write};

        for (is_unix, to_unix) in [(true, true), (true, false), (false, true), (false, false)] {
            within_time_limit(move || {
                let sent: Vec<u8> = (0..2_000_000_u32).map(|at| (at % 251) as u8).collect();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let _guard = runtime.enter();
                let ((engine, mut daemon), (client, mut reader)) = (connected(is_unix), connected(to_unix));
                let bytes = sent.clone();
                let sending = std::thread::spawn(move || daemon.write_all(&bytes).unwrap());
                let (mut moved, mut left) = (0, Vec::new());
                // Nobody reads until there is no room.
                while left.is_empty() && moved < sent.len() {
                    let step = runtime.block_on(move_some(&engine, &client)).unwrap();
                    let Moved::Bytes { taken: taken @ 1..=100_000, unsent } = step else { panic!("{step:?}") };
                    (moved, left) = (moved + taken, unsent);
                }
                let reading = std::thread::spawn(move || {
                    let mut arrived = Vec::new();
                    reader.read_to_end(&mut arrived).unwrap();
                    arrived
                });
                loop {
                    runtime.block_on(client.write_all(&left)).unwrap();
                    let step = runtime.block_on(move_some(&engine, &client)).unwrap();
                    let Moved::Bytes { taken, unsent } = step else { panic!("{step:?}") };
                    left = unsent;
                    if taken == 0 {
                        break;
                    }
                }
                client.finish().unwrap();
                assert!(reading.join().unwrap() == sent, "{is_unix} {to_unix}");
                sending.join().unwrap();
            });
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn bytes_for_a_client_that_is_gone_are_for_nobody_else() {
        use std::io::{Read, Write};

        within_time_limit(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _guard = runtime.enter();
            for (secret, is_gone) in [("for one", true), ("for another", false)] {
                let ((engine, mut daemon), (client, mut reader)) = (connected(true), connected(true));
                daemon.write_all(secret.as_bytes()).unwrap();
                if is_gone {
                    drop(reader);
                    let step = runtime.block_on(move_some(&engine, &client)).unwrap();
                    assert_eq!(step, Moved::Bytes { taken: secret.len(), unsent: secret.into() });
                    assert!(runtime.block_on(client.write_all(secret.as_bytes())).is_err());
                } else {
                    runtime.block_on(move_some(&engine, &client)).unwrap();
                    drop(client);
                    let mut arrived = String::new();
                    reader.read_to_string(&mut arrived).unwrap();
                    assert_eq!(arrived, secret);
                }
            }
        });
    }

    #[test]
    fn a_process_that_has_ended_is_not_taken_for_another_one() {
        within_time_limit(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _guard = runtime.enter();
            let path = std::env::temp_dir().join(format!("dockveil-peer-{}.sock", std::process::id()));
            let _ = std::fs::remove_file(&path);
            let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
            // curl waits for an answer.
            let mut child = std::process::Command::new("curl")
                .args(["--silent", "--unix-socket", path.to_str().unwrap(), "http://d/"])
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            let (accepted, _) = listener.accept().unwrap();
            accepted.set_nonblocking(true).unwrap();
            let socket = Socket::accepted(AcceptedSocket::Unix(accepted), Keepalive::default()).unwrap();
            let Socket::Unix(stream) = &socket else { panic!("a Unix socket") };
            let supports = process_of_peer(stream).err() != Some(Errno::ENOPROTOOPT);
            let Peer::Process { pid, .. } = socket.peer() else { panic!("a process") };
            assert_eq!((pid, socket.has_peer_ended()), (Some(child.id()), false));
            child.kill().unwrap();
            child.wait().unwrap();
            std::fs::remove_file(&path).unwrap();
            assert_eq!((socket.has_peer_ended(), socket.peer_groups()), (supports, Vec::new()));
        });
    }

    #[test]
    fn groups_are_those_of_a_process_that_is_what_it_was() {
        let status = |uid: &str, gid: &str, groups: &str| {
            format!(
                "Name:\tGroups:\t9\nUmask:\t0022\nUid:\t{uid}\nGid:\t{gid}\nFDSize:\t64\nGroups:\t{groups}\nNStgid:\t7\n"
            )
        };
        let (same, group) = ("1000\t1000\t1000\t1000", "990\t990\t990\t990");
        for (text, expected) in [
            (status(same, group, "4 27 991 "), Some(vec![4, 27, 991])),
            (status(same, group, " "), Some(Vec::new())),
            // Another program, as by `su` or `sg`, or one that may become another user.
            (status("0\t0\t0\t0", group, "0 "), None),
            (status("1000\t0\t0\t0", group, "4 "), None),
            (status(same, "990\t991\t991\t991", "4 "), None),
            (status(same, group, "4 x"), None),
            (status(same, group, "4 ").replace("\nGroups", "\nGrps"), None),
            (String::new(), None),
        ] {
            assert_eq!(groups_in(&text, 1000, 990), expected, "{text}");
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Result<&str, AddressError>) {
        assert_eq!(text.parse::<Address>().map(|address| address.to_string()), expected.map(str::to_owned));
    }

    #[test]
    fn an_address_is_displayed_as_it_parses() {
        for text in ["unix:///run/docker.sock", "tcp://127.0.0.1:2375", "tcp://engine:0", "tcp://[::1]:2375"] {
            check(text, Ok(text));
        }
        check("tcp://127.0.0.1:2375/", Ok("tcp://127.0.0.1:2375"));
    }

    #[test]
    fn anything_but_an_address_is_refused() {
        check("/run/docker.sock", Err(AddressError::Scheme));
        check("http://127.0.0.1:2375", Err(AddressError::Scheme));
        check("unix://run/docker.sock", Err(AddressError::RelativePath));
        check(&format!("unix:///{}", "a".repeat(107)), Err(AddressError::LongPath));
        for text in
            ["tcp://", "tcp://:1", "tcp://h", "tcp://h:", "tcp://h:70000", "tcp://::1:1", "tcp://h:1/x", "tcp://[h]:1"]
        {
            check(text, Err(AddressError::HostPort));
        }
    }
}
