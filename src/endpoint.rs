//! How an engine is reached: by a socket, by TLS over TCP, or by the `ssh` of the system.

mod ssh;

use std::fmt;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use self::ssh::{SshAddress, SshAddressError};
use crate::quoting;
use crate::socket::{Address, AddressError};
use crate::tls::EngineTls;

/// The address of an engine: `unix:///run/docker.sock`, `tcp://engine:2376` or `ssh://user@host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineAddress {
    /// A Unix socket, or TCP.
    Socket(Address),
    /// What `ssh` reaches.
    Ssh(SshAddress),
}

/// Why a text is not an [`EngineAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineAddressError {
    /// Of a scheme that is not `ssh`.
    Socket(AddressError),
    /// Behind `ssh://`.
    Ssh(SshAddressError),
}

impl fmt::Display for EngineAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(AddressError::Scheme) => {
                f.write_str("expected unix:///path, tcp://host:port or ssh://user@host")
            }
            Self::Socket(error) => write!(f, "{error}"),
            Self::Ssh(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for EngineAddressError {}

impl FromStr for EngineAddress {
    type Err = EngineAddressError;

    fn from_str(text: &str) -> Result<Self, EngineAddressError> {
        match text.strip_prefix("ssh://") {
            Some(rest) => SshAddress::parse(rest).map(Self::Ssh).map_err(EngineAddressError::Ssh),
            None => text.parse().map(Self::Socket).map_err(EngineAddressError::Socket),
        }
    }
}

impl fmt::Display for EngineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => write!(f, "{address}"),
            Self::Ssh(address) => write!(f, "{address}"),
        }
    }
}

/// The host and the port that the docker command takes if `DOCKER_HOST` has none. The port is the same with TLS.
const DOCKER_HOST_NAME: &str = "localhost";
const DOCKER_PORT: &str = "2375";
/// The socket that `unix://` alone means.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

impl EngineAddress {
    /// Parses the value of `DOCKER_HOST` as the docker command does: without a scheme it is TCP, without a host it is
    /// `localhost`, and without a port it is 2375, whether or not there is TLS.
    ///
    /// # Errors
    /// [`EngineAddressError`]; also for what the docker command accepts and this program has no use for: a user, a path or
    /// parameters behind a host, and a relative path of a socket.
    pub fn of_docker_host(text: &str) -> Result<Self, EngineAddressError> {
        let text = text.trim();
        let (scheme, place) = text.split_once("://").unwrap_or(("tcp", text));
        match scheme {
            "unix" if place.is_empty() => format!("unix://{DOCKER_SOCKET}").parse(),
            "tcp" => docker_place(place).parse(),
            _ => text.parse(),
        }
    }

    /// The address of its socket, if it has one on this side.
    pub fn socket(&self) -> Option<&Address> {
        match self {
            Self::Socket(address) => Some(address),
            Self::Ssh(_) => None,
        }
    }
}

/// The URL of a place behind `tcp://`, with the host and the port that the docker command puts in.
fn docker_place(place: &str) -> String {
    let place = place.strip_suffix('/').unwrap_or(place);
    if place.parse::<Ipv6Addr>().is_ok() {
        return format!("tcp://[{place}]:{DOCKER_PORT}");
    }
    let (host, port) = match place.rsplit_once(':') {
        // The colon is within an IPv6 address.
        Some((_, rest)) if rest.ends_with(']') => (place, ""),
        Some(parts) => parts,
        None => (place, ""),
    };
    let host = if host.is_empty() { DOCKER_HOST_NAME } else { host };
    let port = if port.is_empty() { DOCKER_PORT } else { port };
    format!("tcp://{host}:{port}")
}

/// How an engine is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineEndpoint {
    /// Its address.
    pub address: EngineAddress,
    /// The TLS of connections to it, over TCP.
    pub tls: Option<EndpointTls>,
}

/// The TLS of connections to an engine, and the files that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointTls {
    /// Ready to be used.
    pub tls: EngineTls,
    /// The file of the authorities, of the certificate and of its key, as far as they are named. They need not exist all.
    pub files: Vec<PathBuf>,
}

impl EngineEndpoint {
    /// Whether another one names the same address and the same files, whatever is in these.
    pub fn has_same_names(&self, other: &Self) -> bool {
        let files = |endpoint: &Self| endpoint.tls.as_ref().map(|tls| (tls.files.clone(), tls.tls.verifies()));
        self.address == other.address && files(self) == files(other)
    }

    /// The path of its Unix socket.
    pub fn socket_path(&self) -> Option<&Path> {
        match self.address.socket() {
            Some(Address::Unix(path)) => Some(path),
            Some(Address::Tcp { .. }) | None => None,
        }
    }
}

impl From<Address> for EngineEndpoint {
    fn from(address: Address) -> Self {
        Self { address: EngineAddress::Socket(address), tls: None }
    }
}

/// As in the summary: `tcp://engine:2376 over TLS (ca.pem, cert.pem, key.pem)`.
impl fmt::Display for EngineEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        let Some(EndpointTls { files, .. }) = &self.tls else { return Ok(()) };
        let files: Vec<String> = files.iter().map(|file| quoting::path(file)).collect();
        write!(f, " over TLS ({})", files.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_host_means_what_it_means_to_the_docker_command() {
        // What docker 28.2 and 28.5 say that they cannot connect to.
        for (text, expected) in [
            ("tcp://127.0.0.1", "tcp://127.0.0.1:2375"),
            ("tcp://127.0.0.1/", "tcp://127.0.0.1:2375"),
            ("tcp://127.0.0.1:", "tcp://127.0.0.1:2375"),
            ("tcp://engine", "tcp://engine:2375"),
            ("tcp://", "tcp://localhost:2375"),
            ("tcp://:9", "tcp://localhost:9"),
            ("127.0.0.1", "tcp://127.0.0.1:2375"),
            ("127.0.0.1:7", "tcp://127.0.0.1:7"),
            ("engine", "tcp://engine:2375"),
            ("tcp://::1", "tcp://[::1]:2375"),
            ("tcp://[::1]:7", "tcp://[::1]:7"),
            (" tcp://127.0.0.1:5 ", "tcp://127.0.0.1:5"),
            ("unix://", "unix:///var/run/docker.sock"),
            ("unix:///a", "unix:///a"),
            ("ssh://me@engine", "ssh://me@engine"),
            // The docker command refuses it. It can mean one thing only.
            ("tcp://[::1]", "tcp://[::1]:2375"),
        ] {
            let parsed = EngineAddress::of_docker_host(text);
            assert_eq!(parsed.map(|address| address.to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_docker_host_cannot_mean_here_is_an_error() {
        let (host, scheme) = (AddressError::HostPort, AddressError::Scheme);
        for (text, expected) in [
            ("tcp://me:canary@engine:1", host),
            ("tcp://me@engine", host),
            ("tcp://engine/base", host),
            ("tcp://engine:1/base", host),
            ("tcp://engine?x=1", host),
            ("tcp://engine:70000", host),
            ("tcp://[::1", host),
            ("tcp://::1:2375:x", host),
            ("unix://a", AddressError::RelativePath),
            ("http://engine:1", scheme),
            ("TCP://engine:1", scheme),
            ("fd://", scheme),
        ] {
            assert_eq!(EngineAddress::of_docker_host(text), Err(EngineAddressError::Socket(expected)), "{text}");
        }
        // Our own settings name the port.
        assert_eq!("tcp://engine".parse::<EngineAddress>(), Err(EngineAddressError::Socket(host)));
    }
}
