//! What the service manager is told (sd_notify(3)): that the server is up, that it reads its configuration, that it stops, and
//! that it is alive.

use std::ffi::OsStr;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The longest status, in characters. The log says everything.
const STATUS_LENGTH: usize = 240;
/// How long a message may take. The service manager reads at once.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// The service manager of this process, if it has one. Without one, nobody is told anything.
#[derive(Debug, Default)]
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
    /// After how long without a sign of life the process is killed.
    watchdog: Option<Duration>,
    /// When it was last told that the process is alive.
    told: Option<Instant>,
}

impl ServiceManager {
    /// The one that listens at `socket`, a path, or a name after `@`. It expects a sign of life in each `watchdog`.
    ///
    /// If it cannot be reached, that is logged, and the server serves without.
    pub fn connect(socket: Option<&OsStr>, watchdog: Option<Duration>) -> Self {
        let connected = socket.map(|socket| {
            connect(socket).map_err(|error| tracing::warn!(%error, "the service manager cannot be told anything"))
        });
        Self { socket: connected.and_then(Result::ok), watchdog, told: None }
    }

    /// Says that the server is up, or that a reload has ended, and what it does now.
    pub(super) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", line(status)));
    }

    /// Says that the configuration is read from now on.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reading the configuration"));
    }

    /// Says that the server stops, which takes no longer than `limit`.
    pub(super) fn stopping(&self, limit: Duration) {
        let micros = limit.as_micros();
        self.send(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={micros}\nSTATUS=finishing what is in progress"));
    }

    /// Says that the configuration has an error, from a command that only checks it.
    pub fn misconfigured(&self, error: &str) {
        self.send(&format!("STATUS={}", line(&format!("the configuration has an error: {error}"))));
    }

    /// When it expects the next sign of life, with time to spare; `None` if it expects none.
    pub(super) fn next_sign_of_life(&self) -> Option<Instant> {
        let interval = self.watchdog.filter(|_| self.socket.is_some())? / 3;
        Some(self.told.map_or_else(Instant::now, |told| told + interval))
    }

    /// How long the workers have to answer before they are not alive.
    pub(super) fn patience(&self) -> Duration {
        self.watchdog.unwrap_or_default() / 3
    }

    /// Says that the process is alive, if it is, and when it is looked at again.
    pub(super) fn sign_of_life(&mut self, is_alive: bool) {
        self.told = Some(Instant::now());
        if is_alive {
            self.send("WATCHDOG=1");
        } else {
            tracing::error!("a worker does not answer: the service manager is told nothing");
        }
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(message.as_bytes())
        {
            tracing::debug!(%error, "the service manager cannot be told anything");
        }
    }
}

/// The beginning of a text, in one line: the rest would be further messages.
fn line(text: &str) -> String {
    let mut line: String = text.chars().take(STATUS_LENGTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() < text.len() {
        line.push('…');
    }
    line
}

fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    match address.as_encoded_bytes().strip_prefix(b"@") {
        Some(name) => connect_abstract(&socket, name)?,
        None => socket.connect(address)?,
    }
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn connect_abstract(socket: &UnixDatagram, name: &[u8]) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)
}

#[cfg(not(target_os = "linux"))]
fn connect_abstract(_socket: &UnixDatagram, _name: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_short_line() {
        assert_eq!(line("a\nREADY=0\r\tb"), "a READY=0  b");
        assert_eq!(line(&"é".repeat(240)), "é".repeat(240));
        assert_eq!(line(&"é".repeat(241)), "é".repeat(240) + "…");
    }
}
