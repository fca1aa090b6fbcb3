//! `ssh://user@host`: what the docker command makes of such an address, and what it refuses.
//!
//! The arguments are those of docker 28.5 (`cli/connhelper`), which quotes what the shell at the other end reads.
//! `tests/engine/ssh.rs` compares them with those of the command itself. User and host go to `ssh` as they are written, so only
//! letters, digits and a few signs are accepted: ssh puts them into commands of its configuration (`ProxyCommand`, `Match exec`).

use std::fmt;
use std::net::Ipv6Addr;

/// An engine that `ssh` reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshAddress {
    /// The user, if it is named.
    user: Option<String>,
    /// A name of the configuration of ssh, a host name or an IP address (IPv6 without brackets).
    host: String,
    /// The port, if it is named.
    port: Option<u16>,
    /// The path of the engine's socket on that host, if it is named.
    path: Option<String>,
}

/// Why a text is not an [`SshAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SshAddressError {
    /// A password.
    Password,
    /// A user with other characters than ssh can be given safely.
    User,
    /// No host, or one with other characters than ssh can be given safely.
    Host,
    /// A port that is no number from 1 to 65535.
    Port,
    /// A path with a quote, `%`, or a character that cannot be printed.
    Path,
    /// Parameters behind `?`, or something behind `#`.
    Query,
}

impl fmt::Display for SshAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password => "found ssh:// with a password, expected none: ssh proves who it is with a key",
            Self::User => "expected a user of letters, digits and . _ - + @ after ssh://",
            Self::Host => "expected ssh://user@host with a host of letters, digits and . _ - :",
            Self::Port => "expected a port from 1 to 65535 after ssh://host",
            Self::Path => "expected a path without quotes after ssh://host",
            Self::Query => "expected ssh://user@host:port/path, without parameters",
        })
    }
}

impl std::error::Error for SshAddressError {}

impl SshAddress {
    /// Parses what is behind `ssh://`.
    ///
    /// # Errors
    /// [`SshAddressError`].
    pub(super) fn parse(rest: &str) -> Result<Self, SshAddressError> {
        let (authority, path) = match rest.find('/').and_then(|at| rest.split_at_checked(at)) {
            Some((authority, path)) => (authority, path),
            None => (rest, ""),
        };
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        // First: whatever else is wrong, the text holds a password.
        if user.is_some_and(|user| user.contains(':')) {
            return Err(SshAddressError::Password);
        }
        if rest.contains(['?', '#']) {
            return Err(SshAddressError::Query);
        }
        let user = user.filter(|user| !user.is_empty());
        if !user.is_none_or(|user| is_plain(user, "._-+@")) {
            return Err(SshAddressError::User);
        }
        let (host, port) = host_and_port(place)?;
        // A quote would end the one that the path is put into. The docker command decodes what is behind `%`.
        if path.contains(['\'', '%']) || path.chars().any(char::is_control) {
            return Err(SshAddressError::Path);
        }
        let path = Some(path).filter(|path| !path.trim_matches('/').is_empty());
        Ok(Self { user: user.map(str::to_owned), host, port, path: path.map(str::to_owned) })
    }

    /// The arguments of `ssh`, in the order of the docker command's.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut option = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                arguments.extend([name.to_owned(), value.clone()]);
            }
        };
        option("-l", &self.user);
        option("-p", &self.port.map(|port| port.to_string()));
        let host = self.path.as_ref().map(|path| format!("'--host=unix://{path}' ")).unwrap_or_default();
        arguments.extend(["-o ConnectTimeout=30", "-T", "--", &self.host].map(str::to_owned));
        arguments.push(format!("docker {host}system dial-stdio"));
        arguments
    }
}

/// Whether a text is made of letters, digits and these signs, and is no option.
fn is_plain(text: &str, signs: &str) -> bool {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || signs.contains(character);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain)
}

/// The host and the port of `host`, `host:port`, `[::1]` or `[::1]:port`.
fn host_and_port(place: &str) -> Result<(String, Option<u16>), SshAddressError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(SshAddressError::Host)?;
            host.parse::<Ipv6Addr>().map_err(|_| SshAddressError::Host)?;
            (host, port.strip_prefix(':').or(Some(port).filter(|port| port.is_empty())).ok_or(SshAddressError::Host)?)
        }
        None => {
            let (host, port) = place.split_once(':').unwrap_or((place, ""));
            if !is_plain(host, "._-") {
                return Err(SshAddressError::Host);
            }
            (host, port)
        }
    };
    let port = match port {
        "" => None,
        port => {
            let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
            Some(port.parse().ok().filter(|port| is_number && *port > 0).ok_or(SshAddressError::Port)?)
        }
    };
    Ok((host.to_owned(), port))
}

/// As it parses.
impl fmt::Display for SshAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ssh://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.path.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_displayed_as_it_parses_and_gives_the_arguments_of_the_docker_command() {
        // Recorded from docker 28.5.2 of Debian, with a stand-in for ssh.
        const DIAL: &str = "docker system dial-stdio";
        const TIMEOUT: &str = "-o ConnectTimeout=30";
        for (text, displayed, expected) in [
            ("host", "host", &[TIMEOUT, "-T", "--", "host", DIAL][..]),
            ("host:", "host", &[TIMEOUT, "-T", "--", "host", DIAL]),
            ("host/", "host", &[TIMEOUT, "-T", "--", "host", DIAL]),
            ("me@host:2222", "me@host:2222", &["-l", "me", "-p", "2222", TIMEOUT, "-T", "--", "host", DIAL]),
            (
                "me@host/run/x.sock",
                "me@host/run/x.sock",
                &["-l", "me", TIMEOUT, "-T", "--", "host", "docker '--host=unix:///run/x.sock' system dial-stdio"],
            ),
            ("[::1]:22", "[::1]:22", &["-p", "22", TIMEOUT, "-T", "--", "::1", DIAL]),
        ] {
            let address = SshAddress::parse(text).unwrap();
            assert_eq!(address.arguments(), expected, "{text}");
            assert_eq!(address.to_string(), format!("ssh://{displayed}"));
        }
    }

    #[test]
    fn nothing_becomes_an_option_or_a_command() {
        use SshAddressError::{Host, Password, Path, Port, Query, User};
        for (text, expected) in [
            ("", Host),
            ("me@", Host),
            ("-oProxyCommand=x", Host),
            ("me@-oProxyCommand=x", Host),
            ("-oProxyCommand=x@host", User),
            ("a b@host", User),
            ("me;id@host", User),
            ("$(id)@host", User),
            ("`id`@host", User),
            ("me%40@host", User),
            ("me@ho st", Host),
            ("me@$(id)", Host),
            ("me@host;id", Host),
            ("me@ho%73t", Host),
            ("me@::1", Host),
            ("me@[::1", Host),
            ("me@[host]", Host),
            ("me@[::1]x", Host),
            ("host:0", Port),
            ("host:+1", Port),
            ("host:22x", Port),
            ("host:65536", Port),
            ("me:secret@host", Password),
            ("me:se@cret@host?x", Password),
            ("host?x=1", Query),
            ("host/a#b", Query),
            ("host/a'b", Path),
            ("host/a%27b", Path),
            ("host/a\nb", Path),
        ] {
            assert_eq!(SshAddress::parse(text), Err(expected), "{text}");
        }
    }
}
