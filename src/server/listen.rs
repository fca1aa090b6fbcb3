//! Listening sockets, opened once and shared by all workers.

use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::socket::{Address, Socket, SocketOwner};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

/// An open listener.
#[derive(Debug)]
pub(super) struct BoundListener {
    address: Address,
    socket: ListeningSocket,
    /// Removes the socket file when dropped.
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum ListeningSocket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The file may have been removed already.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl BoundListener {
    /// Opens a listener. `mode` and `owner` are for a Unix socket.
    ///
    /// # Errors
    /// The error of the system. A Unix socket that another process listens on is in use.
    pub(super) fn open(address: &Address, mode: Option<u32>, owner: SocketOwner) -> io::Result<Self> {
        match address {
            Address::Unix(path) => {
                let listener = open_unix(path, mode, owner)?;
                listener.set_nonblocking(true)?;
                rustix::net::listen(&listener, BACKLOG)?;
                let file = SocketFile(path.clone());
                Ok(Self { address: address.clone(), socket: ListeningSocket::Unix(listener), _file: Some(file) })
            }
            Address::Tcp { host, port } => {
                let listener = TcpListener::bind((host.as_str(), *port))?;
                listener.set_nonblocking(true)?;
                rustix::net::listen(&listener, BACKLOG)?;
                let port = listener.local_addr()?.port();
                let address = Address::Tcp { host: host.clone(), port };
                Ok(Self { address, socket: ListeningSocket::Tcp(listener), _file: None })
            }
        }
    }

    /// Its address, with the port that the system chose.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// A handle on the same listener, for a worker.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) fn share(&self) -> io::Result<ListenerHandle> {
        Ok(ListenerHandle(match &self.socket {
            ListeningSocket::Unix(listener) => ListeningSocket::Unix(listener.try_clone()?),
            ListeningSocket::Tcp(listener) => ListeningSocket::Tcp(listener.try_clone()?),
        }))
    }
}

/// Opens a Unix socket that never has other permissions than it should: it is made under another name and renamed when it
/// is ready.
fn open_unix(path: &Path, mode: Option<u32>, owner: SocketOwner) -> io::Result<UnixListener> {
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is not a socket exists there"));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
        }
    }
    if let Some(directory) = path.parent()
        && !directory.exists()
    {
        std::fs::create_dir_all(directory)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let made = path.with_file_name(name);
    // A killed process with our process ID may have left it.
    let _ = std::fs::remove_file(&made);
    let listener = UnixListener::bind(&made)?;
    let made = SocketFile(made);
    std::fs::set_permissions(&made.0, std::fs::Permissions::from_mode(mode.unwrap_or(0o660)))?;
    if owner != SocketOwner::default() {
        std::os::unix::fs::chown(&made.0, owner.user, owner.group)?;
    }
    std::fs::rename(&made.0, path)?;
    Ok(listener)
}

/// A listener for a worker.
#[derive(Debug)]
pub(super) struct ListenerHandle(ListeningSocket);

impl ListenerHandle {
    /// The listener in the runtime of the worker.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) fn into_acceptor(self) -> io::Result<Acceptor> {
        match self.0 {
            ListeningSocket::Unix(listener) => Ok(Acceptor::Unix(tokio::net::UnixListener::from_std(listener)?)),
            ListeningSocket::Tcp(listener) => Ok(Acceptor::Tcp(tokio::net::TcpListener::from_std(listener)?)),
        }
    }
}

/// A listener that a worker accepts on.
#[derive(Debug)]
pub(super) enum Acceptor {
    Unix(tokio::net::UnixListener),
    Tcp(tokio::net::TcpListener),
}

impl Acceptor {
    /// The next connection. Cancel safety: none is lost.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Unix(listener) => Ok(Socket::Unix(listener.accept().await?.0)),
            Self::Tcp(listener) => {
                let (socket, _) = listener.accept().await?;
                // If the client is already gone, the first read reports it.
                let _ = socket.set_nodelay(true);
                Ok(Socket::Tcp(socket))
            }
        }
    }
}
