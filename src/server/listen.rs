//! Listening sockets, opened once and shared by all workers.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rustix::net::{Shutdown, listen, shutdown};
use tokio::sync::watch;

use super::socket_file::{self, SocketFile, SocketFileSettings};
use crate::config::Listener;
use crate::socket::{AcceptedSocket, Address, PassedListener, SocketOwner, unresolved};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;
/// How long to wait after a connection could not be accepted.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// How often to look whether the start was stopped, while a name is resolved.
const STOP_INTERVAL: Duration = Duration::from_millis(20);

/// An open listener.
#[derive(Debug)]
pub(super) struct BoundListener {
    address: Address,
    socket: ListeningSocket,
    /// Removes the socket file when dropped.
    file: Option<SocketFile>,
    /// Whether it belongs to the service manager, which listens on when this process no longer does.
    is_passed: bool,
}

#[derive(Debug)]
enum ListeningSocket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl BoundListener {
    /// Opens a listener. A Unix socket belongs to `user` as far as the listener names no owner. `is_stopped` is asked again and
    /// again as long as a name is being resolved.
    ///
    /// # Errors
    /// The error of the system. A Unix socket that another process listens on is in use. `Interrupted` if the start was
    /// stopped.
    pub(super) fn open(
        listener: &Listener,
        user: SocketOwner,
        is_stopped: &mut dyn FnMut() -> bool,
    ) -> io::Result<Self> {
        if let Some(passed) = &listener.passed {
            tracing::info!(name = passed.name, address = %passed.address, "socket of the service manager taken");
            let socket = match &passed.listener {
                PassedListener::Unix(listener) => ListeningSocket::Unix(listener.try_clone()?),
                PassedListener::Tcp(listener) => ListeningSocket::Tcp(listener.try_clone()?),
            };
            return Ok(Self { address: listener.address.clone(), socket, file: None, is_passed: true });
        }
        let settings =
            SocketFileSettings { mode: listener.mode, owner: listener.owner.or(user), folder: listener.folder };
        Self::open_at(&listener.address, settings, is_stopped)
    }

    /// As [`Self::open`], at an address. `settings` are those of a Unix socket.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) fn open_at(
        address: &Address,
        settings: SocketFileSettings,
        is_stopped: &mut dyn FnMut() -> bool,
    ) -> io::Result<Self> {
        match address {
            Address::Unix(path) => {
                let (socket, file) = socket_file::open(path, settings, BACKLOG)?;
                let address = address.clone();
                Ok(Self { address, socket: ListeningSocket::Unix(socket), file: Some(file), is_passed: false })
            }
            Address::Tcp { host, port } => {
                let socket = TcpListener::bind(resolve(host, *port, is_stopped)?.as_slice())?;
                socket.set_nonblocking(true)?;
                listen(&socket, BACKLOG)?;
                let address = Address::Tcp { host: host.clone(), port: socket.local_addr()?.port() };
                Ok(Self { address, socket: ListeningSocket::Tcp(socket), file: None, is_passed: false })
            }
        }
    }

    /// Its address, with the port that the system chose.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The file of a Unix socket that this process has made.
    pub(super) fn file(&self) -> Option<&SocketFile> {
        self.file.as_ref()
    }

    /// Whether nobody can connect to it any more, because its path leads nowhere or elsewhere.
    pub(super) fn is_lost(&self) -> bool {
        self.file.as_ref().is_some_and(SocketFile::is_lost)
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

    /// Closes the listener for all that share it, at once. The connections that wait to be accepted go to `take`.
    pub(super) fn close(self, mut take: impl FnMut(AcceptedSocket)) {
        if self.is_passed {
            // Connections that wait are those of the successor.
            return;
        }
        // From here on clients find no socket, or that of a successor.
        drop(self.file);
        loop {
            match self.socket.accept() {
                Ok(socket) => take(socket),
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => break,
            }
        }
        // Workers may be too busy to close their handles.
        self.socket.shut_down();
    }
}

impl ListeningSocket {
    /// The next connection; `WouldBlock` if none waits.
    fn accept(&self) -> io::Result<AcceptedSocket> {
        match self {
            Self::Unix(listener) => {
                let (socket, _) = listener.accept()?;
                socket.set_nonblocking(true)?;
                Ok(AcceptedSocket::Unix(socket))
            }
            Self::Tcp(listener) => {
                let (socket, _) = listener.accept()?;
                socket.set_nonblocking(true)?;
                Ok(AcceptedSocket::Tcp(socket))
            }
        }
    }

    /// Ends the listening for all handles. Whoever waits for a connection gets an error.
    fn shut_down(&self) {
        // A listener that is not connected to anything may be reported as such. It is shut down all the same.
        let _ = match self {
            Self::Unix(listener) => shutdown(listener, Shutdown::Both),
            Self::Tcp(listener) => shutdown(listener, Shutdown::Both),
        };
    }
}

/// Whether an error of `accept` is about one connection, which is gone.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

/// The addresses of a host. Asks the system in a thread of its own if that may take time, so that the start can be stopped.
fn resolve(host: &str, port: u16, is_stopped: &mut dyn FnMut() -> bool) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (sender, receiver) = channel();
    let (name, host) = (host, host.to_owned());
    let resolving = std::thread::Builder::new().name("resolve".to_owned()).spawn(move || {
        let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // Nobody receives it if the start was stopped.
        let _ = sender.send(addresses);
    })?;
    loop {
        match receiver.recv_timeout(STOP_INTERVAL) {
            Ok(addresses) => {
                let _ = resolving.join();
                return addresses.map_err(|error| cannot_resolve(name, error));
            }
            Err(RecvTimeoutError::Timeout) if !is_stopped() => {}
            Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::Interrupted.into()),
            Err(RecvTimeoutError::Disconnected) => return Err(cannot_resolve(name, io::ErrorKind::Other.into())),
        }
    }
}

/// The error of a name that was not resolved.
fn cannot_resolve(name: &str, error: io::Error) -> io::Error {
    let error = unresolved(error);
    io::Error::new(error.kind(), format!("cannot resolve {name}: {error}"))
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
    /// The next connection, for the runtime of any worker; `None` once `closing` is `true`. As long as the system accepts none,
    /// it is asked again. Cancel safety: none is lost.
    pub(super) async fn next(&self, closing: &mut watch::Receiver<bool>) -> Option<AcceptedSocket> {
        loop {
            let accepted = tokio::select! {
                // In this order: a listener that has been shut down is always ready, and keeps the task busy.
                biased;
                _ = closing.wait_for(|closing| *closing) => return None,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok(socket) => return Some(socket),
                // It is closed meanwhile.
                Err(_) if *closing.borrow() => return None,
                Err(error) => {
                    // Most likely there is no descriptor left: connections must close first.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// The next connection. Cancel safety: none is lost.
    ///
    /// # Errors
    /// The error of the system.
    async fn accept(&self) -> io::Result<AcceptedSocket> {
        loop {
            let accepted = match self {
                Self::Unix(listener) => {
                    listener.accept().await.and_then(|(socket, _)| Ok(AcceptedSocket::Unix(socket.into_std()?)))
                }
                Self::Tcp(listener) => {
                    listener.accept().await.and_then(|(socket, _)| Ok(AcceptedSocket::Tcp(socket.into_std()?)))
                }
            };
            match accepted {
                Err(error) if is_of_one_connection(&error) => {}
                accepted => return accepted,
            }
        }
    }
}
