//! Sockets that the service manager has opened and passed to this process (`LISTEN_FDS` in sd_listen_fds(3)).

use crate::quoting;
use std::io;
use std::net::TcpListener;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketType, getsockname, sockopt};

use super::Address;

/// The name of a socket to which nobody has given one.
const UNNAMED: &str = "unknown";
/// No service manager passes more sockets. Room is made for all of them before the first is looked at.
const MOST_SOCKETS: u64 = 4096;

/// A listening stream socket of the service manager. It is closed on exec, and does not block.
#[derive(Debug)]
pub struct PassedSocket {
    /// Its name, `FileDescriptorName=` in the socket unit.
    pub name: String,
    /// Where it listens. The host is an IP address.
    pub address: Address,
    /// The socket.
    pub listener: PassedListener,
}

/// A listening socket of a kind.
#[derive(Debug)]
pub enum PassedListener {
    /// A Unix socket.
    Unix(UnixListener),
    /// A TCP socket.
    Tcp(TcpListener),
}

impl PassedListener {
    /// Checks what a descriptor is, and lets it close on exec and not block. Returns where it listens, too.
    ///
    /// # Errors
    /// What is wrong with it, as the rest of a sentence.
    fn open(descriptor: OwnedFd) -> Result<(Address, Self), String> {
        let failed = |error: io::Error| format!("cannot be used: {error}");
        if let Err(error) = fcntl_setfd(&descriptor, FdFlags::CLOEXEC) {
            // Nothing has this number, so there is nothing to close.
            let _ = descriptor.into_raw_fd();
            return Err(failed(error.into()));
        }
        if sockopt::socket_type(&descriptor) != Ok(SocketType::STREAM) {
            return Err("is no stream socket".to_owned());
        }
        if !is_listening(&descriptor) {
            return Err("does not listen, expected a listening socket (Accept=no)".to_owned());
        }
        let bound = getsockname(&descriptor).map_err(|error| failed(error.into()))?;
        match bound.address_family() {
            AddressFamily::UNIX => {
                let listener = UnixListener::from(descriptor);
                listener.set_nonblocking(true).map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                let path = address.as_pathname().ok_or("has no path, expected a socket in a file")?;
                Ok((Address::Unix(path.to_owned()), Self::Unix(listener)))
            }
            AddressFamily::INET | AddressFamily::INET6 => {
                let listener = TcpListener::from(descriptor);
                listener.set_nonblocking(true).map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                Ok((Address::Tcp { host: address.ip().to_string(), port: address.port() }, Self::Tcp(listener)))
            }
            _ => Err("is neither a Unix socket nor one of TCP".to_owned()),
        }
    }
}

/// Whether a socket listens.
#[cfg(not(target_vendor = "apple"))]
fn is_listening(descriptor: &OwnedFd) -> bool {
    sockopt::socket_acceptconn(descriptor) == Ok(true)
}

/// Whether a socket may listen: the systems of Apple do not say. On one that does not, no connection can be accepted.
#[cfg(target_vendor = "apple")]
fn is_listening(_: &OwnedFd) -> bool {
    true
}

/// All sockets that were passed.
#[derive(Clone, Debug, Default)]
pub struct PassedSockets {
    /// Those that can be used.
    pub sockets: Vec<Arc<PassedSocket>>,
    /// What is wrong with the others.
    pub errors: Vec<String>,
}

/// Sockets are the same if they are one.
impl PartialEq for PassedSockets {
    fn eq(&self, other: &Self) -> bool {
        let same = |(own, other): (&Arc<PassedSocket>, &Arc<PassedSocket>)| Arc::ptr_eq(own, other);
        self.errors == other.errors
            && self.sockets.len() == other.sockets.len()
            && self.sockets.iter().zip(&other.sockets).all(same)
    }
}

impl Eq for PassedSockets {}

impl PassedSockets {
    /// Takes the sockets that were passed to this process, whose variables must not have changed since. `count` is how many these
    /// say there are; `None` if they say nothing, or something else than a number. They can be taken once: a second call returns none.
    pub fn take(count: Option<u64>) -> Self {
        static ARE_TAKEN: AtomicBool = AtomicBool::new(false);
        let mut passed = Self::default();
        if ARE_TAKEN.swap(true, Ordering::SeqCst) {
            return passed;
        }
        if let Some(count) = count.filter(|count| *count > MOST_SOCKETS) {
            passed.errors.push(format!("found {count}, expected at most {MOST_SOCKETS} sockets"));
            return passed;
        }
        let descriptors = match sd_listen_fds::get() {
            Ok(descriptors) => descriptors,
            Err(error) => {
                passed.errors.push(error.to_string());
                return passed;
            }
        };
        for (name, descriptor) in descriptors {
            let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| UNNAMED.to_owned());
            match PassedListener::open(descriptor.into_std()) {
                Ok((address, listener)) => passed.sockets.push(Arc::new(PassedSocket { name, address, listener })),
                Err(error) => {
                    passed.errors.push(format!("the socket {:?} that was passed {error}", quoting::value(&name)))
                }
            }
        }
        passed
    }
}
