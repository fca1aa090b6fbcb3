//! A client as an operator describes it: `uid=1000`, `certificate=cn=traefik`, `container=name=web`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{Caller, CallingContainer, ClientMatch, ClientSelector};
use crate::quoting;
use crate::socket::{Address, Peer};
use crate::tls::{CertificateNames, KeyPin, SPIFFE};
use crate::visibility::PROJECT;
use crate::yaml::unknown;

/// The keys of a description.
const KEYS: [&str; 5] = ["uid", "gid", "address", "certificate", "container"];
/// What is said of a certificate, and of a container.
const OF_CERTIFICATE: [&str; 5] = ["cn", "dns", "uri", "spiffe", "key"];
const OF_CONTAINER: [&str; 4] = ["project", "label", "name", "image"];
/// The number of no user and no group.
const NO_ID: u32 = u32::MAX;

/// A client as an operator describes it. What is not said of it is not so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribedClient {
    /// The description, as written.
    texts: Vec<String>,
    uid: Option<u32>,
    /// The group of the process, and its supplementary ones.
    gids: Vec<u32>,
    address: Option<IpAddr>,
    certificate: Option<CertificateNames>,
    container: Option<CallingContainer>,
}

impl DescribedClient {
    /// Reads a description: each text is `key=value`.
    ///
    /// # Errors
    /// What is wrong with each text, and with all of them together.
    pub fn parse(texts: &[String]) -> Result<Self, Vec<String>> {
        let mut client = Self { texts: texts.to_vec(), ..Self::default() };
        let mut errors: Vec<String> = texts.iter().filter_map(|text| client.add(text).err()).collect();
        let is_process = client.uid.is_some() || !client.gids.is_empty();
        if is_process && (client.address.is_some() || client.certificate.is_some()) {
            let message =
                "a client of a Unix socket has uid and gid, one of a TCP listener address and certificate: found both";
            errors.push(message.to_owned());
        }
        if errors.is_empty() { Ok(client) } else { Err(errors) }
    }

    /// Adds one fact.
    fn add(&mut self, text: &str) -> Result<(), String> {
        let form = || {
            format!("found {:?}, expected one of {}, then `=` and what it is", quoting::value(text), KEYS.join(", "))
        };
        let (key, value) = text.split_once('=').filter(|(_, value)| !value.is_empty()).ok_or_else(form)?;
        match key {
            "uid" => set(&mut self.uid, id(key, value)?, key),
            "gid" => {
                self.gids.push(id(key, value)?);
                Ok(())
            }
            "address" => {
                let expected =
                    || format!("address: found {:?}, expected an address such as 172.20.0.5", quoting::value(value));
                set(&mut self.address, value.parse().map_err(|_| expected())?, key)
            }
            "certificate" => self.add_name(value),
            "container" => self.add_fact(value),
            _ => Err(unknown("key", key, KEYS)),
        }
    }

    /// Adds what the certificate says.
    fn add_name(&mut self, text: &str) -> Result<(), String> {
        let (key, value) = inner("certificate", text, &OF_CERTIFICATE, "cn=traefik")?;
        let names = self.certificate.get_or_insert_default();
        match key {
            "cn" => set(&mut names.cn, value.to_owned(), "certificate=cn"),
            "dns" => {
                names.dns.push(value.to_ascii_lowercase());
                Ok(())
            }
            "spiffe" if !value.starts_with(SPIFFE) => Err(format!(
                "certificate=spiffe: found {:?}, expected a SPIFFE id such as spiffe://example.org/web",
                quoting::value(value)
            )),
            "uri" | "spiffe" => {
                names.uris.push(value.to_owned());
                Ok(())
            }
            _ => {
                let expected = || {
                    format!(
                        "certificate=key: found {:?}, expected sha256: and 64 hexadecimal digits",
                        quoting::value(value)
                    )
                };
                set(&mut names.key, KeyPin::parse(value).ok_or_else(expected)?, "certificate=key")
            }
        }
    }

    /// Adds what the engine says of the container.
    fn add_fact(&mut self, text: &str) -> Result<(), String> {
        if text == "none" {
            return set(&mut self.container, CallingContainer::Outside, "container");
        }
        let (key, value) = inner("container", text, &OF_CONTAINER, "name=web or none")?;
        let inside = CallingContainer::Inside { id: "described".to_owned(), facts: Box::default() };
        let CallingContainer::Inside { facts, .. } = self.container.get_or_insert(inside) else {
            return Err(format!("container={}: a client that runs in no container has none", quoting::value(text)));
        };
        match key {
            "name" => facts.names.push(value.strip_prefix('/').unwrap_or(value).to_owned()),
            "image" => set(&mut facts.image, value.to_owned(), "container=image")?,
            _ => {
                let (label, value) = match key {
                    "project" => (PROJECT, value),
                    _ => value.split_once('=').unwrap_or((value, "")),
                };
                facts.labels.insert(label.to_owned(), value.to_owned());
            }
        }
        Ok(())
    }

    /// Whether such a client can connect to a listener.
    pub fn reaches(&self, listener: &Address, has_tls: bool) -> bool {
        match listener {
            Address::Unix(_) => self.address.is_none() && self.certificate.is_none(),
            Address::Tcp { .. } => {
                self.uid.is_none() && self.gids.is_empty() && (has_tls || self.certificate.is_none())
            }
        }
    }

    /// The same, as what is known of a client of this listener.
    pub fn caller(&self, listener: &Address) -> Caller {
        let peer = match (listener, self.address) {
            (Address::Unix(_), _) => {
                let gid = self.gids.first().copied().unwrap_or(NO_ID);
                Peer::Process { uid: self.uid.unwrap_or(NO_ID), gid, pid: None }
            }
            (Address::Tcp { .. }, Some(address)) => Peer::Address(SocketAddr::new(address, 0)),
            (Address::Tcp { .. }, None) => Peer::Gone,
        };
        let container = self.container.clone().unwrap_or_default();
        Caller { peer, groups: self.gids.clone(), certificate: self.certificate.clone().map(Box::new), container }
    }

    /// The keys that a line looks at and of which the description says nothing, if they alone keep the line from naming the
    /// client.
    pub fn unsaid(&self, line: &ClientSelector, listener: &Address) -> Vec<&'static str> {
        let said = ClientSelector {
            uid: line.uid.filter(|_| self.uid.is_some()),
            gid: line.gid.filter(|_| !self.gids.is_empty()),
            addresses: line.addresses.iter().filter(|_| self.address.is_some()).copied().collect(),
            certificate: line.certificate.clone().filter(|_| self.certificate.is_some()),
            container: line.container.iter().filter(|_| self.container.is_some()).cloned().collect(),
        };
        if said != ClientSelector::default() && said.matches(&self.caller(listener)) != ClientMatch::Named {
            return Vec::new();
        }
        let looked_at = [
            line.uid != said.uid,
            line.gid != said.gid,
            line.addresses != said.addresses,
            line.certificate != said.certificate,
            line.container != said.container,
        ];
        KEYS.into_iter().zip(looked_at).filter_map(|(key, is_unsaid)| is_unsaid.then_some(key)).collect()
    }
}

/// As written: `uid=1000, gid=990`.
impl fmt::Display for DescribedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts.join(", "))
    }
}

/// Sets what can be said once.
fn set<T>(place: &mut Option<T>, value: T, key: &str) -> Result<(), String> {
    if place.replace(value).is_some() { Err(format!("{key}: said twice")) } else { Ok(()) }
}

/// The number of a user or a group.
fn id(key: &str, text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| *number != NO_ID);
    number.ok_or_else(|| format!("{key}: found {:?}, expected a number from 0 to {}", quoting::value(text), NO_ID - 1))
}

/// A key and its value behind `outer=`.
fn inner<'t>(outer: &str, text: &'t str, keys: &[&'static str], example: &str) -> Result<(&'t str, &'t str), String> {
    let form = || {
        let (found, keys) = (quoting::value(text), keys.join(", "));
        format!("{outer}: found {found:?}, expected one of {keys}, then `=` and its value, such as {outer}={example}")
    };
    let (key, value) = text.split_once('=').filter(|(_, value)| !value.is_empty()).ok_or_else(form)?;
    if keys.contains(&key) { Ok((key, value)) } else { Err(unknown("key", key, keys.iter().copied())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::objects::ObjectKind;
    use crate::clients::{AddressRange, CertificateSelector};
    use crate::visibility::ObjectSelector;

    fn described(texts: &[&str]) -> Result<DescribedClient, Vec<String>> {
        DescribedClient::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    /// Whether a line names a client at a listener.
    fn named(texts: &[&str], listener: &str, line: &ClientSelector) -> ClientMatch {
        line.matches(&described(texts).unwrap().caller(&listener.parse().unwrap()))
    }

    const UNIX: &str = "unix:///a";
    const TCP: &str = "tcp://127.0.0.1:1";

    #[test]
    fn a_described_client_is_named_like_one_that_connects() {
        let range: AddressRange = "172.20.0.0/16".parse().unwrap();
        let pin = format!("sha256:{}", "0f".repeat(32));
        let text = |text: &str| Some(text.to_owned());
        let of_certificate = |certificate| ClientSelector { certificate: Some(certificate), ..Default::default() };
        let uid = ClientSelector { uid: Some(1000), ..Default::default() };
        let gid = ClientSelector { gid: Some(990), ..Default::default() };
        let address = ClientSelector { addresses: vec![range], ..Default::default() };
        let cn = of_certificate(CertificateSelector { cn: text("traefik"), ..Default::default() });
        let dns = of_certificate(CertificateSelector { dns: text("Web.example"), ..Default::default() });
        let uri = of_certificate(CertificateSelector { uri: text("spiffe://a/b"), ..Default::default() });
        let spiffe = of_certificate(CertificateSelector { spiffe: text("spiffe://a/b"), ..Default::default() });
        let key = of_certificate(CertificateSelector { key: KeyPin::parse(&pin), ..Default::default() });
        let pinned = format!("certificate=key={pin}");
        for (texts, listener, line, expected) in [
            (&["uid=1000"][..], UNIX, &uid, true),
            (&["uid=1001"], UNIX, &uid, false),
            (&["gid=990"], UNIX, &uid, false),
            (&["uid=0", "gid=990"], UNIX, &gid, true),
            (&["uid=990"], UNIX, &gid, false),
            (&["gid=4", "gid=990"], UNIX, &gid, true),
            (&["address=172.20.0.5"], TCP, &address, true),
            (&["address=::ffff:172.20.0.5"], TCP, &address, true),
            (&["address=172.21.0.5"], TCP, &address, false),
            (&["certificate=cn=traefik"], TCP, &address, false),
            (&["certificate=cn=traefik"], TCP, &cn, true),
            (&["certificate=dns=traefik"], TCP, &cn, false),
            (&["certificate=dns=web.EXAMPLE", "certificate=dns=b"], TCP, &dns, true),
            (&["certificate=cn=web.example"], TCP, &dns, false),
            (&["certificate=uri=spiffe://a/b"], TCP, &spiffe, true),
            (&["certificate=spiffe=spiffe://a/b"], TCP, &uri, true),
            (&["certificate=spiffe=spiffe://a/b", "certificate=uri=https://c"], TCP, &spiffe, false),
            (&[&pinned], TCP, &key, true),
            (&["certificate=cn=traefik"], TCP, &key, false),
        ] {
            let expected = if expected { ClientMatch::Named } else { ClientMatch::Other };
            assert_eq!(named(texts, listener, line), expected, "{texts:?} {line}");
        }
    }

    #[test]
    fn a_described_container_is_named_by_what_is_said_of_it() {
        let line = |text: &str| ClientSelector {
            container: vec![ObjectSelector::parse(ObjectKind::Container, text).unwrap()],
            ..Default::default()
        };
        for (texts, selector, expected) in [
            (&["container=name=web"][..], "name=web", ClientMatch::Named),
            (&["container=name=/web"], "name=w*", ClientMatch::Named),
            (&["container=name=web2"], "name=web", ClientMatch::Other),
            (&["container=project=shop"], "project=shop", ClientMatch::Named),
            (&["container=label=com.docker.compose.project=shop"], "project=shop", ClientMatch::Named),
            (&["container=label=a=b=c"], "label=a=b=c", ClientMatch::Named),
            (&["container=label=a"], "label=a", ClientMatch::Named),
            (&["container=name=a", "container=image=nginx:latest"], "image=nginx", ClientMatch::Named),
            (&["container=none"], "name=*", ClientMatch::Other),
            (&["uid=1000"], "name=*", ClientMatch::Unknown),
        ] {
            for listener in [UNIX, TCP] {
                assert_eq!(named(texts, listener, &line(selector)), expected, "{texts:?} {selector}");
            }
        }
        let unsaid = |gid| {
            let line = ClientSelector { uid: Some(1), gid: Some(gid), ..line("name=a") };
            described(&["gid=1"]).unwrap().unsaid(&line, &UNIX.parse().unwrap())
        };
        assert_eq!(unsaid(1), ["uid", "container"]);
        // It is another one whatever the rest is.
        assert_eq!(unsaid(2), [""; 0]);
    }

    #[test]
    fn a_client_reaches_listeners_of_its_kind() {
        for (texts, expected) in [
            (&["uid=1"][..], [true, false, false]),
            (&["gid=1"], [true, false, false]),
            (&["address=10.0.0.1"], [false, true, true]),
            (&["certificate=cn=a"], [false, false, true]),
            (&["container=name=a"], [true, true, true]),
        ] {
            let client = described(texts).unwrap();
            let found = [(UNIX, false), (TCP, false), (TCP, true)]
                .map(|(address, has_tls)| client.reaches(&address.parse().unwrap(), has_tls));
            assert_eq!(found, expected, "{texts:?}");
        }
    }

    #[test]
    fn what_is_no_description_is_refused() {
        for (texts, expected) in [
            (
                &["uid"][..],
                "found \"uid\", expected one of uid, gid, address, certificate, container, then `=` and what it is",
            ),
            (
                &["uid="],
                "found \"uid=\", expected one of uid, gid, address, certificate, container, then `=` and what it is",
            ),
            (&["user=1"], "unknown key \"user\", expected one of uid, gid, address, certificate, container"),
            (&["uid=root"], "uid: found \"root\", expected a number from 0 to 4294967294"),
            (&["gid=4294967295"], "gid: found \"4294967295\", expected a number from 0 to 4294967294"),
            (&["uid=1", "uid=2"], "uid: said twice"),
            (&["address=10.0.0.0/8"], "address: found \"10.0.0.0/8\", expected an address such as 172.20.0.5"),
            (
                &["certificate=traefik"],
                "certificate: found \"traefik\", expected one of cn, dns, uri, spiffe, key, then `=` and its value, such as \
                 certificate=cn=traefik",
            ),
            (&["certificate=cm=a"], "unknown key \"cm\", did you mean \"cn\"?"),
            (
                &["certificate=spiffe=a"],
                "certificate=spiffe: found \"a\", expected a SPIFFE id such as spiffe://example.org/web",
            ),
            (
                &["certificate=key=sha1:0"],
                "certificate=key: found \"sha1:0\", expected sha256: and 64 hexadecimal digits",
            ),
            (&["certificate=cn=a", "certificate=cn=b"], "certificate=cn: said twice"),
            (
                &["container=web"],
                "container: found \"web\", expected one of project, label, name, image, then `=` and its value, such as \
                 container=name=web or none",
            ),
            (&["container=none", "container=name=a"], "container=name=a: a client that runs in no container has none"),
            (&["container=name=a", "container=none"], "container: said twice"),
            (
                &["uid=1", "address=10.0.0.1"],
                "a client of a Unix socket has uid and gid, one of a TCP listener address and certificate: found both",
            ),
        ] {
            assert_eq!(described(texts), Err(vec![expected.to_owned()]), "{texts:?}");
        }
        assert_eq!(described(&["uid", "gid=x"]).unwrap_err().len(), 2);
    }
}
