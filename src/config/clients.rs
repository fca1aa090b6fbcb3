//! `clients` of a listener: which clients it serves, and the policy of each.

use std::fmt;
use std::sync::Arc;

use super::raw::{named, number};
use super::{ClientLimits, Filters};
use crate::api::objects::ObjectKind;
use crate::clients::{AddressRange, CertificateSelector, ClientSelector};
use crate::policy::Policy;
use crate::profile::Profiles;
use crate::quoting;
use crate::socket::Address;
use crate::tls::{KeyPin, SPIFFE};
use crate::visibility::ObjectSelector;
use crate::yaml::{Diagnostic, Diagnostics, Location, Members, Node, Value};

/// A line of `clients`: who it names, and what they get.
#[derive(Clone, Debug)]
pub struct ClientRule {
    /// Where it is.
    pub location: Location,
    /// The clients that it names.
    pub selector: ClientSelector,
    /// What they may request and see.
    pub policy: Arc<Policy>,
    /// What each of them may have at a time.
    pub limits: ClientLimits,
}

/// As in the summary: `uid 1000: profile docker-cli (dockveil.yaml:4:15)`.
impl fmt::Display for ClientRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: profile {}", self.selector, self.policy.name())?;
        if self.limits != ClientLimits::default() {
            write!(f, ", {}", self.limits)?;
        }
        write!(f, " ({})", self.location)
    }
}

/// A line of `clients` as configured, before its profile is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredClient {
    /// Where it is.
    pub location: Location,
    /// The clients that it names.
    pub selector: ClientSelector,
    /// The name of their profile, which may not exist.
    pub profile: String,
}

impl From<RawClient> for ConfiguredClient {
    fn from(raw: RawClient) -> Self {
        // One with an error has been reported.
        Self { location: raw.location, selector: raw.selector.unwrap_or_default(), profile: raw.profile.0 }
    }
}

/// A line of `clients` whose profiles have not been looked up.
#[derive(Clone, Debug)]
pub(super) struct RawClient {
    location: Location,
    /// `None` if it has an error.
    selector: Option<ClientSelector>,
    /// The name of a profile, and where it is.
    pub(super) profile: (String, Location),
    limits: ClientLimits,
}

/// Reads `clients` of the listener at `address`.
pub(super) fn clients(node: &Node, address: Option<&Address>, diagnostics: &mut Diagnostics) -> Vec<RawClient> {
    let Some(list) = diagnostics.ok(node.list("a list of clients")) else { return Vec::new() };
    if list.is_empty() {
        diagnostics.push(node.diagnostic("no clients, expected at least one: the listener would serve nobody"));
    }
    let read: Vec<RawClient> = list.iter().flat_map(|node| client(node, address, diagnostics)).collect();
    for (number, client) in read.iter().enumerate() {
        let is_same = |first: &&RawClient| first.selector.is_some() && first.selector == client.selector;
        if let Some(first) = read.iter().take(number).find(is_same) {
            let message = format!("never used: {} names the same clients, and the first line wins", first.location);
            diagnostics.report(&client.location, message);
        }
    }
    read
}

/// The keys that name clients.
const SELECTORS: [&str; 5] = ["uid", "gid", "address", "certificate", "container"];
/// The keys that name clients of a Unix socket only, and of a TCP listener only.
const OF_UNIX: [&str; 2] = ["uid", "gid"];
const OF_TCP: [&str; 2] = ["address", "certificate"];
/// The other keys of a line.
const OTHERS: [&str; 2] = ["profile", "profiles"];

/// Reads one line.
fn client(node: &Node, address: Option<&Address>, diagnostics: &mut Diagnostics) -> Vec<RawClient> {
    let errors = diagnostics.len();
    let keys = [&SELECTORS[..], &OTHERS[..], &ClientLimits::KEYS[..]].concat();
    let Some(members) = diagnostics.members(node, "a client", &keys) else { return Vec::new() };
    check_kind(&members, address, diagnostics);
    let selector = selector(&members, diagnostics);
    if !SELECTORS.iter().any(|name| members.get_or_empty(name).is_some()) && diagnostics.len() == errors {
        diagnostics.push(node.diagnostic(format!("names no client, expected one of {}", SELECTORS.join(", "))));
    }
    let selector = Some(selector).filter(|_| diagnostics.len() == errors);
    let profiles = profiles(node, &members, diagnostics);
    let limits = ClientLimits::read(&members, &ClientLimits::KEYS, diagnostics);
    let of_profile = |(profile, by_label): (_, Option<ObjectSelector>)| {
        let mut selector = selector.clone();
        if let Some(selector) = &mut selector {
            selector.container.extend(by_label);
        }
        RawClient { location: node.location.clone(), selector, profile, limits }
    };
    profiles.into_iter().map(of_profile).collect()
}

/// A profile by its name, and the containers that it is for if a label names it.
type NamedProfile = ((String, Location), Option<ObjectSelector>);

/// Reads `profile`, or `profiles` of which a label of the container names one.
fn profiles(node: &Node, members: &Members<'_>, diagnostics: &mut Diagnostics) -> Vec<NamedProfile> {
    match (members.get("profile"), members.entry("profiles")) {
        (Some(node), None) => diagnostics.ok(named(node)).map(|named| (named, None)).into_iter().collect(),
        (None, Some((_, list))) => by_label(list, members, diagnostics),
        (Some(_), Some((key, _))) => {
            diagnostics.report(&key.location, "`profile` and `profiles` exclude each other");
            Vec::new()
        }
        (None, None) => {
            diagnostics.push(node.diagnostic("expected `profile` with the profile of these clients"));
            Vec::new()
        }
    }
}

/// Reads `profiles`: each is for the containers whose label has its name.
fn by_label(list: &Node, members: &Members<'_>, diagnostics: &mut Diagnostics) -> Vec<NamedProfile> {
    let container = members.get("container").and_then(|node| node.mapping("").ok()).unwrap_or_default();
    let label = container.iter().find(|(key, _)| key.name == "label").and_then(|(_, node)| node.text("").ok());
    let Some(label) = label.filter(|label| !label.contains(['=', '*'])) else {
        let message = "needs `container: {label: NAME}`: the value of that label names one of these profiles";
        diagnostics.push(list.diagnostic(message));
        return Vec::new();
    };
    let names = diagnostics.texts(list, "profiles");
    if names.is_empty() {
        diagnostics.push(list.diagnostic("no profiles, expected at least one"));
    }
    let of_name = |(name, node): (&str, &Node)| {
        let selector = ObjectSelector::parse(ObjectKind::Container, &format!("label={label}={name}"));
        let selector = diagnostics.ok(selector.map_err(|message| node.diagnostic(message)))?;
        Some(((name.to_owned(), node.location.clone()), Some(selector)))
    };
    names.into_iter().filter_map(of_name).collect()
}

/// Reports keys that no client of such a listener can have.
fn check_kind(members: &Members<'_>, address: Option<&Address>, diagnostics: &mut Diagnostics) {
    let (keys, kind) = match address {
        Some(Address::Tcp { .. }) => (&OF_UNIX[..], "a TCP listener"),
        Some(Address::Unix(_)) => (&OF_TCP[..], "a Unix socket"),
        None => return,
    };
    for (key, _) in keys.iter().filter_map(|name| members.entry(name)) {
        diagnostics.report(&key.location, format!("{:?} does not apply to {kind}", quoting::value(&key.name)));
    }
}

/// Reads who is named.
fn selector(members: &Members<'_>, diagnostics: &mut Diagnostics) -> ClientSelector {
    // A key without a value is an error: the line would name more clients without it.
    let mut id = |name: &str| members.get_or_empty(name).and_then(|node| diagnostics.ok(id(node)));
    let (uid, gid) = (id("uid"), id("gid"));
    let addresses = members.get_or_empty("address").map(|node| addresses(node, diagnostics)).unwrap_or_default();
    let certificate = members.get_or_empty("certificate").and_then(|node| certificate(node, diagnostics));
    let container = members.get_or_empty("container");
    let container = container.and_then(|node| ObjectSelector::read(ObjectKind::Container, node, diagnostics));
    ClientSelector { uid, gid, addresses, certificate, container: container.into_iter().collect() }
}

/// Reads what a certificate must say.
fn certificate(node: &Node, diagnostics: &mut Diagnostics) -> Option<CertificateSelector> {
    const KEYS: [&str; 5] = ["cn", "dns", "uri", "spiffe", "key"];
    let members = diagnostics.members(node, "a certificate", &KEYS)?;
    let mut text = |name: &str| -> Option<String> {
        let node = members.get_or_empty(name)?;
        match diagnostics.ok(node.text("the whole name"))? {
            text if text.is_empty() || text.contains('*') => {
                diagnostics.push(node.diagnostic(format!(
                    "found {:?}, expected the whole name, without a pattern",
                    quoting::value(text)
                )));
                None
            }
            text => Some(text.to_owned()),
        }
    };
    let [cn, dns, uri, spiffe, key] = KEYS.map(&mut text);
    if let (Some(id), Some(node)) = (&spiffe, members.get("spiffe"))
        && !id.starts_with(SPIFFE)
    {
        diagnostics.push(node.diagnostic(format!(
            "found {:?}, expected a SPIFFE id such as spiffe://example.org/web",
            quoting::value(id)
        )));
    }
    let pin = key.as_deref().and_then(KeyPin::parse);
    if let (Some(text), None, Some(node)) = (&key, pin, members.get("key")) {
        diagnostics.push(
            node.diagnostic(format!("found {:?}, expected sha256: and 64 hexadecimal digits", quoting::value(text))),
        );
    }
    let selector = CertificateSelector { cn, dns, uri, spiffe, key: pin };
    if KEYS.iter().all(|name| members.get_or_empty(name).is_none()) {
        diagnostics.push(node.diagnostic(format!("names no certificate, expected one of {}", KEYS.join(", "))));
    }
    Some(selector)
}

/// Reads the number of a user or a group.
fn id(node: &Node) -> Result<u32, Diagnostic> {
    // The system has no user of the last number: it stands for none.
    number(node, 0..=0xffff_fffe).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// Reads one range or several.
fn addresses(node: &Node, diagnostics: &mut Diagnostics) -> Vec<AddressRange> {
    let texts = match &node.value {
        Value::Scalar { text, .. } => vec![(text.as_str(), node)],
        Value::Sequence(items) if items.is_empty() => {
            diagnostics.push(node.diagnostic("no addresses, expected at least one"));
            Vec::new()
        }
        Value::Sequence(_) | Value::Mapping(_) | Value::Null => diagnostics.texts(node, "addresses"),
    };
    let range = |(text, node): (&str, &Node)| {
        text.parse().map_err(|error| node.diagnostic(format!("found {:?}, {error}", quoting::value(text))))
    };
    texts.into_iter().filter_map(|text| diagnostics.ok(range(text))).collect()
}

/// Looks up the profiles of `clients`.
pub(super) fn compile(
    raw: Vec<RawClient>,
    mut policy: impl FnMut(&(String, Location)) -> Option<Arc<Policy>>,
) -> Vec<ClientRule> {
    let rule = |RawClient { location, selector, profile, limits }| {
        // One with an error names nobody, and nothing starts.
        policy(&profile).map(|policy| ClientRule { location, selector: selector.unwrap_or_default(), policy, limits })
    };
    raw.into_iter().filter_map(rule).collect()
}

/// The policy of clients that no line names: it allows nothing and shows nothing.
///
/// # Errors
/// None in a program whose tests pass.
pub(super) fn nobody(filters: &Filters) -> Result<Arc<Policy>, Diagnostics> {
    let profiles =
        Profiles::parse(&[("clients", "{profile: nobody, about: Serves nobody., allow: []}")], &filters.catalogue)?;
    let profile = profiles.get("nobody").ok_or_else(Diagnostics::default)?;
    Policy::compile(profile, &filters.catalogue).map(Arc::new)
}
