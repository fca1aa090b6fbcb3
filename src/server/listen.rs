//! A listener, opened once and shared by all workers.

use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::socket::{Address, Socket, SocketOwner};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

/// A listener that is open.
#[derive(Debug)]
pub(super) struct Bound {
    address: Address,
    listener: Listener,
    /// Removes the socket from the file system in the end.
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else may have removed it; there is nothing left to do then.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Bound {
    /// Opens a listener. `mode` and `owner` are those of a Unix socket.
    ///
    /// # Errors
    /// What the system said; a Unix socket on which somebody listens is in use.
    pub(super) fn open(address: &Address, mode: Option<u32>, owner: SocketOwner) -> io::Result<Self> {
        match address {
            Address::Unix(path) => {
                let listener = open_unix(path, mode, owner)?;
                listener.set_nonblocking(true)?;
                rustix::net::listen(&listener, BACKLOG)?;
                let file = SocketFile(path.clone());
                Ok(Self { address: address.clone(), listener: Listener::Unix(listener), _file: Some(file) })
            }
            Address::Tcp { host, port } => {
                let listener = TcpListener::bind((host.as_str(), *port))?;
                listener.set_nonblocking(true)?;
                rustix::net::listen(&listener, BACKLOG)?;
                let port = listener.local_addr()?.port();
                let address = Address::Tcp { host: host.clone(), port };
                Ok(Self { address, listener: Listener::Tcp(listener), _file: None })
            }
        }
    }

    /// Where it listens; a port the system chose is filled in.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The same listener for a worker.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn share(&self) -> io::Result<Shared> {
        Ok(Shared(match &self.listener {
            Listener::Unix(listener) => Listener::Unix(listener.try_clone()?),
            Listener::Tcp(listener) => Listener::Tcp(listener.try_clone()?),
        }))
    }
}

/// Opens a Unix socket so that it never stands there with other rights than it is to have: it is made under another
/// name, and gets its own when it is ready.
fn open_unix(path: &Path, mode: Option<u32>, owner: SocketOwner) -> io::Result<UnixListener> {
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket stands there"));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there already"));
        }
    }
    if let Some(folder) = path.parent()
        && !folder.exists()
    {
        std::fs::create_dir_all(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let made = path.with_file_name(name);
    // Left by a process of our number that was killed.
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

/// A listener on its way to a worker.
#[derive(Debug)]
pub(super) struct Shared(Listener);

impl Shared {
    /// The listener inside the worker's runtime.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn into_acceptor(self) -> io::Result<Acceptor> {
        match self.0 {
            Listener::Unix(listener) => Ok(Acceptor::Unix(tokio::net::UnixListener::from_std(listener)?)),
            Listener::Tcp(listener) => Ok(Acceptor::Tcp(tokio::net::TcpListener::from_std(listener)?)),
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
    /// What the system said.
    pub(super) async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Unix(listener) => Ok(Socket::Unix(listener.accept().await?.0)),
            Self::Tcp(listener) => {
                let (socket, _) = listener.accept().await?;
                // A socket that is gone already says so at its first use.
                let _ = socket.set_nodelay(true);
                Ok(Socket::Tcp(socket))
            }
        }
    }
}
