//! Who is asking: what is known of a client, and which clients a line of `clients` names.
//!
//! A line names clients by what the system, the certificate or the engine says of them, never by what they say themselves.
//! What is not known of a client is never taken for anything: see [`ClientSelector::matches`].

mod certificate;
mod described;
mod range;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

pub use self::certificate::CertificateSelector;
pub use self::described::DescribedClient;
pub use self::range::{AddressRange, RangeError};
use crate::socket::Peer;
use crate::tls::{CertificateNames, KeyPin};
use crate::visibility::{Facts, ObjectSelector};

/// The clients that a line names. All that it says must be true of a client. A line that says nothing names nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSelector {
    /// The user that the process runs as.
    pub uid: Option<u32>,
    /// A group that the process runs as, or one of its supplementary groups.
    pub gid: Option<u32>,
    /// Where the connection comes from: one of these.
    pub addresses: Vec<AddressRange>,
    /// What the certificate says.
    pub certificate: Option<CertificateSelector>,
    /// The container that it runs in: all of these must select it. Empty for any client, in a container or not.
    pub container: Vec<ObjectSelector>,
}

/// The container that a client runs in, as the engine says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CallingContainer {
    /// Nobody has asked.
    #[default]
    Unasked,
    /// It cannot be found out, for this reason.
    Unknown(&'static str),
    /// It runs in none.
    Outside,
    /// This one.
    Inside {
        /// Its whole id.
        id: String,
        /// Its names, its image and its labels.
        facts: Box<Facts>,
    },
}

/// What is known of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What the system says of the other end of the connection.
    pub peer: Peer,
    /// The supplementary groups of the process, as far as they are known.
    pub groups: Vec<u32>,
    /// What its certificate says, if it has proved that it has one.
    pub certificate: Option<Box<CertificateNames>>,
    /// The container that it runs in.
    pub container: CallingContainer,
}

impl From<Peer> for Caller {
    fn from(peer: Peer) -> Self {
        Self { peer, groups: Vec::new(), certificate: None, container: CallingContainer::Unasked }
    }
}

impl Caller {
    /// Whether it connects from this machine over TCP.
    pub fn is_loopback(&self) -> bool {
        matches!(self.peer, Peer::Address(address) if address.ip().to_canonical().is_loopback())
    }

    /// What counts as one client: the best proof of who it is.
    pub fn id(&self) -> CallerId {
        if let CallingContainer::Inside { id, .. } = &self.container {
            return CallerId::Container(id.clone());
        }
        match (self.certificate.as_deref(), &self.peer) {
            (Some(CertificateNames { key: Some(key), .. }), _) => CallerId::Key(*key),
            (_, Peer::Process { uid, .. }) => CallerId::User(*uid),
            (_, Peer::Address(address)) => CallerId::Address(network(address.ip())),
            (_, Peer::Gone) => CallerId::Nobody,
        }
    }
}

/// For the log: `certificate traefik 172.20.0.5:4711`, `uid 1000 pid 7`.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(certificate) = &self.certificate {
            write!(f, "certificate {certificate} ")?;
        }
        if let CallingContainer::Inside { id, facts } = &self.container {
            write!(f, "container {} ", facts.names.first().unwrap_or(id))?;
        }
        write!(f, "{}", self.peer)
    }
}

/// A client in the log.
#[derive(Debug)]
pub struct LoggedClient {
    /// Who it is: `certificate traefik 172.20.0.5:4711`, `uid 1000 pid 7`.
    pub name: Arc<str>,
    /// The same in parts.
    pub identity: ClientIdentity,
}

impl From<&Caller> for LoggedClient {
    fn from(caller: &Caller) -> Self {
        Self { name: caller.to_string().into(), identity: caller.into() }
    }
}

/// A client in the audit file. What is not known of it is null.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ClientIdentity {
    /// Where the connection comes from.
    pub address: Option<IpAddr>,
    /// The port there.
    pub port: Option<u16>,
    /// The user of the process.
    pub uid: Option<u32>,
    /// The group of the process.
    pub gid: Option<u32>,
    /// The number of the process.
    pub pid: Option<u32>,
    /// The name in the certificate.
    pub certificate: Option<String>,
    /// The name of the container.
    pub container: Option<String>,
}

impl From<&Caller> for ClientIdentity {
    fn from(caller: &Caller) -> Self {
        let known = Self {
            certificate: caller.certificate.as_ref().map(ToString::to_string),
            container: match &caller.container {
                CallingContainer::Inside { id, facts } => Some(facts.names.first().unwrap_or(id).clone()),
                CallingContainer::Unasked | CallingContainer::Unknown(_) | CallingContainer::Outside => None,
            },
            ..Self::default()
        };
        match &caller.peer {
            Peer::Process { uid, gid, pid } => Self { uid: Some(*uid), gid: Some(*gid), pid: *pid, ..known },
            Peer::Address(address) => {
                Self { address: Some(address.ip().to_canonical()), port: Some(address.port()), ..known }
            }
            Peer::Gone => known,
        }
    }
}

/// What counts as one client, for its limits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CallerId {
    /// All that have a certificate with this key.
    Key(KeyPin),
    /// A container.
    Container(String),
    /// All processes of a user.
    User(u32),
    /// All connections from an address, of IPv6 from a [`network`].
    Address(IpAddr),
    /// Nobody that is known.
    Nobody,
}

/// The address, of IPv6 the network (64 bits): a machine may have all addresses of one.
pub fn network(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = u128::MAX << 64;
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & NETWORK).into()),
        address @ IpAddr::V4(_) => address,
    }
}

/// Whether a line names a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMatch {
    /// It does.
    Named,
    /// It does not.
    Other,
    /// That depends on the container that the client runs in, which is not known.
    Unknown,
}

/// What the lines of `clients` say of a client. Lines have numbers from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChosenLine {
    /// This line is the first that names it.
    Named(usize),
    /// This line depends on the container that the client runs in, which is not known, and no line before it names the client. It
    /// is denied, whatever the lines behind say.
    Unknown(usize),
    /// No line names it.
    Nobody,
}

impl ChosenLine {
    /// The first line that names a client, or may name it.
    pub fn find<'s>(lines: impl IntoIterator<Item = &'s ClientSelector>, caller: &Caller) -> Self {
        for (number, selector) in lines.into_iter().enumerate() {
            match selector.matches(caller) {
                ClientMatch::Named => return Self::Named(number),
                ClientMatch::Unknown => return Self::Unknown(number),
                ClientMatch::Other => {}
            }
        }
        Self::Nobody
    }
}

/// Why a listener does not serve a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRefusal {
    /// No line of `clients` names it.
    Unnamed,
    /// The lines depend on the container that it runs in, which is not known.
    UnknownContainer,
}

impl ClientRefusal {
    /// The text for the client.
    pub fn public(self) -> &'static str {
        match self {
            Self::Unnamed => "denied by policy: no line of `clients` names this client",
            Self::UnknownContainer => "denied by policy: it is not known which container this client runs in",
        }
    }

    /// Why, for the log.
    pub fn logged(self) -> &'static str {
        match self {
            Self::Unnamed => "no line of `clients` names this client",
            Self::UnknownContainer => "it is not known which container this client runs in",
        }
    }
}

impl ClientSelector {
    /// Whether this names a client.
    pub fn matches(&self, caller: &Caller) -> ClientMatch {
        let certificate = || match (&self.certificate, &caller.certificate) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(selector), Some(names)) => selector.matches(names),
        };
        if *self == Self::default() || !self.names_peer(caller) || !certificate() {
            return ClientMatch::Other;
        }
        match &caller.container {
            _ if self.container.is_empty() => ClientMatch::Named,
            CallingContainer::Unasked | CallingContainer::Unknown(_) => ClientMatch::Unknown,
            CallingContainer::Inside { facts, .. } if self.container.iter().all(|selector| selector.matches(facts)) => {
                ClientMatch::Named
            }
            CallingContainer::Inside { .. } | CallingContainer::Outside => ClientMatch::Other,
        }
    }

    /// Whether what the system says of the connection is what this says.
    fn names_peer(&self, caller: &Caller) -> bool {
        let (user, group, address) = match &caller.peer {
            Peer::Process { uid, gid, .. } => (Some(*uid), Some(*gid), None),
            Peer::Address(address) => (None, None, Some(address.ip())),
            Peer::Gone => (None, None, None),
        };
        let is_user = self.uid.is_none() || self.uid == user;
        let is_supplementary = |gid: u32| group.is_some() && caller.groups.contains(&gid);
        let is_group = self.gid.is_none_or(|gid| group == Some(gid) || is_supplementary(gid));
        let within = |address: IpAddr| self.addresses.iter().any(|range| range.contains(address));
        is_user && is_group && (self.addresses.is_empty() || address.is_some_and(within))
    }
}

/// As in a configuration, for the summary: `uid 1000, gid 990`.
impl fmt::Display for ClientSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.uid.map(|uid| format!("uid {uid}")));
        parts.extend(self.gid.map(|gid| format!("gid {gid}")));
        if !self.addresses.is_empty() {
            let ranges: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
            parts.push(format!("address {}", ranges.join(" or ")));
        }
        parts.extend(self.certificate.as_ref().map(|certificate| format!("certificate {certificate}")));
        parts.extend(self.container.iter().map(|container| format!("container {container}")));
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(uid: u32, gid: u32) -> Caller {
        Peer::Process { uid, gid, pid: Some(7) }.into()
    }

    fn at(address: &str) -> Caller {
        Peer::Address(address.parse().unwrap()).into()
    }

    fn ranges(texts: &[&str]) -> ClientSelector {
        ClientSelector { addresses: texts.iter().map(|text| text.parse().unwrap()).collect(), ..Default::default() }
    }

    #[track_caller]
    fn check(selector: &ClientSelector, caller: &Caller, is_named: bool) {
        let expected = if is_named { ClientMatch::Named } else { ClientMatch::Other };
        assert_eq!(selector.matches(caller), expected, "{selector} {caller:?}");
    }

    #[test]
    fn the_addresses_of_a_network_of_ipv6_count_as_one_client() {
        for (one, other, is_same) in [
            ("[2001:db8::1]:1", "[2001:db8::ffff:0:0:1]:2", true),
            ("[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false),
            ("10.0.0.1:1", "[::ffff:10.0.0.1]:2", true),
            ("10.0.0.1:1", "10.0.0.2:1", false),
        ] {
            assert_eq!(at(one).id() == at(other).id(), is_same, "{one} {other}");
        }
    }

    #[test]
    fn a_process_is_named_by_its_user_and_its_group() {
        let user = ClientSelector { uid: Some(1000), ..Default::default() };
        let group = ClientSelector { gid: Some(990), ..Default::default() };
        let both = ClientSelector { uid: Some(1000), gid: Some(990), ..Default::default() };
        for (caller, by_user, by_group) in [
            (process(1000, 990), true, true),
            (process(1000, 1), true, false),
            (process(0, 990), false, true),
            (process(990, 1000), false, false),
            (at("10.0.0.1:1000"), false, false),
            (Caller::from(Peer::Gone), false, false),
        ] {
            check(&user, &caller, by_user);
            check(&group, &caller, by_group);
            check(&both, &caller, by_user && by_group);
        }
    }

    #[test]
    fn a_process_is_named_by_its_supplementary_groups() {
        let group = ClientSelector { gid: Some(990), ..Default::default() };
        let with = |peer: Caller, groups: &[u32]| Caller { groups: groups.to_vec(), ..peer };
        check(&group, &with(process(1000, 1000), &[4, 990]), true);
        check(&group, &with(process(1000, 1000), &[4, 991]), false);
        check(&ClientSelector { uid: Some(990), ..Default::default() }, &with(process(1000, 1000), &[990]), false);
        check(&group, &with(at("10.0.0.1:1"), &[990]), false);
    }

    #[test]
    fn a_connection_is_named_by_its_address() {
        let some = ranges(&["172.20.0.0/16", "fd00::/8"]);
        for (address, is_named) in [
            ("172.20.0.0:1", true),
            ("172.20.255.255:1", true),
            ("172.21.0.0:1", false),
            ("172.19.255.255:1", false),
            ("[::ffff:172.20.1.2]:1", true),
            ("[::ffff:172.21.1.2]:1", false),
            ("[fd12::1]:1", true),
            ("[fe80::1%3]:1", false),
            // The compatible form is an address of its own, which nobody has.
            ("[::172.20.1.2]:1", false),
        ] {
            check(&some, &at(address), is_named);
        }
        check(&some, &process(0, 0), false);
        check(&some, &Caller::from(Peer::Gone), false);
    }

    #[test]
    fn a_line_that_says_nothing_names_nobody() {
        for caller in [process(0, 0), at("127.0.0.1:1"), Caller::from(Peer::Gone)] {
            check(&ClientSelector::default(), &caller, false);
        }
    }

    #[test]
    fn all_that_a_line_says_must_be_true() {
        // Such a line is an error of the configuration, because no client can be both.
        let impossible = ClientSelector { uid: Some(0), ..ranges(&["0.0.0.0/0", "::/0"]) };
        for caller in [process(0, 0), at("127.0.0.1:1")] {
            check(&impossible, &caller, false);
        }
    }
}
