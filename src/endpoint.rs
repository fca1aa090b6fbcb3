//! How an engine is reached: by a socket, by TLS over TCP, or by the `ssh` of the system.

mod ssh;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use self::ssh::{SshAddress, SshAddressError};
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

impl EngineAddressError {
    /// Whether the text may hold a secret, so that no message quotes it.
    pub fn is_secret(self) -> bool {
        self == Self::Ssh(SshAddressError::Password)
    }
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

impl EngineAddress {
    /// The address of its socket, if it has one on this side.
    pub fn socket(&self) -> Option<&Address> {
        match self {
            Self::Socket(address) => Some(address),
            Self::Ssh(_) => None,
        }
    }
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
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        write!(f, " over TLS ({})", files.join(", "))
    }
}
