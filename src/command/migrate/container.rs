//! A container that may run another proxy, in whatever form it was written: a service of a Compose file, a `docker run`, a
//! quadlet, or lines of variables and arguments.

use std::net::IpAddr;

use crate::yaml::Location;

/// How a container is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceForm {
    /// A service of a Compose file.
    Service,
    /// A `docker run`.
    Run,
    /// A quadlet, for systemd and Podman.
    Quadlet,
    /// Variables and arguments, and nothing else.
    Lines,
    /// The configuration file of the other proxy.
    File,
}

/// A text of the input and where it is.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) text: String,
    pub(super) location: Location,
}

/// A container.
#[derive(Clone, Debug)]
pub(super) struct ProxyContainer {
    pub(super) form: SourceForm,
    /// The name of the service, or of the container.
    pub(super) name: String,
    pub(super) location: Location,
    pub(super) image: Option<String>,
    /// Its variables. Of several with one name, the last counts.
    pub(super) variables: Vec<(String, Located)>,
    /// The arguments of its program.
    pub(super) arguments: Vec<Located>,
    pub(super) labels: Vec<(String, Located)>,
    /// What is mounted.
    pub(super) mounts: Vec<Mount>,
    /// The ports that the host publishes.
    pub(super) ports: Vec<PublishedPort>,
    /// The names by which other containers reach it.
    pub(super) names: Vec<String>,
    /// The name that the engine gives the container, if that is certain.
    pub(super) given_name: Option<String>,
    /// The command of its health check, if it has one of its own.
    pub(super) probe: Option<String>,
    /// Whether it is privileged.
    pub(super) privileged: bool,
    /// Whether it restarts.
    pub(super) restarts: bool,
    /// What is uncertain.
    pub(super) notes: Vec<String>,
}

/// A file or folder of the host, or a volume, inside a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) source: String,
    pub(super) target: String,
}

/// A port of a container that the host publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublishedPort {
    /// The address of the host; `None` for all.
    pub(super) host: Option<String>,
    /// The ports of the container, the first and the last.
    pub(super) ports: (u16, u16),
}

impl ProxyContainer {
    /// A container of which nothing is known.
    pub(super) fn new(form: SourceForm, name: &str, location: Location) -> Self {
        Self {
            form,
            name: name.to_owned(),
            location,
            image: None,
            variables: Vec::new(),
            arguments: Vec::new(),
            labels: Vec::new(),
            mounts: Vec::new(),
            ports: Vec::new(),
            names: Vec::new(),
            given_name: None,
            probe: None,
            privileged: false,
            restarts: false,
            notes: Vec::new(),
        }
    }

    /// Makes every port public: the container shares the network of the host.
    pub(super) fn share_network(&mut self) {
        self.ports.push(PublishedPort { host: None, ports: (0, u16::MAX) });
    }

    /// Adds a note, once.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// What selects it among the containers of an engine, as a line of `clients` writes it. `None` if nothing is certain to do.
    pub(super) fn selector(&self) -> Option<String> {
        // A star would stand for any text.
        let is_plain = |text: &&String| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        match (&self.given_name, self.form) {
            (Some(name), _) => Some(name).filter(is_plain).map(|name| format!("{{name: \"{name}\"}}")),
            (None, SourceForm::Service) => Some(&self.name)
                .filter(is_plain)
                .map(|name| format!("{{label: \"com.docker.compose.service={name}\"}}")),
            (None, SourceForm::Run | SourceForm::Quadlet | SourceForm::Lines | SourceForm::File) => None,
        }
    }

    /// Whether a URL leads to it.
    pub(super) fn is_at(&self, url: &str) -> bool {
        let host = url.split_once("://").map_or(url, |(_, rest)| rest).split([':', '/']).next().unwrap_or_default();
        self.name == host || self.names.iter().any(|name| name == host)
    }

    /// Whether the engine's socket is mounted into it.
    pub(super) fn has_socket(&self) -> bool {
        self.mounts.iter().any(|mount| mount.source.ends_with(".sock") || mount.target.ends_with(".sock"))
    }

    /// The path of a socket as it is mounted: `/run` and `/var/run` are one folder in the images of other proxies, and two in
    /// ours.
    pub(super) fn mounted_path(&self, path: &str) -> Option<&str> {
        let same = |text: &str| text.strip_prefix("/var").unwrap_or(text).to_owned();
        let wanted = same(path);
        let mut found = self.mounts.iter().map(|mount| mount.target.as_str());
        found.find(|target| same(target) == wanted)
    }

    /// The names that requests to a port may use, if the host publishes it to itself only; otherwise none, which means any.
    pub(super) fn hosts_at(&self, port: u16) -> Vec<String> {
        let mut published = self.ports.iter().filter(|one| (one.ports.0..=one.ports.1).contains(&port)).peekable();
        if published.peek().is_none() || !published.all(PublishedPort::is_loopback) {
            return Vec::new();
        }
        let named = Some(&self.name).filter(|_| self.form == SourceForm::Service).into_iter().chain(&self.names);
        let mut hosts = crate::config::LOOPBACK_HOSTS.map(str::to_owned).to_vec();
        for name in named.filter(|name| is_host_name(name)) {
            if !hosts.contains(name) {
                hosts.push(name.clone());
            }
        }
        hosts
    }

    /// Whether the host publishes a port on all its addresses.
    pub(super) fn is_public(&self, port: u16) -> bool {
        self.ports.iter().any(|one| (one.ports.0..=one.ports.1).contains(&port) && !one.is_loopback())
    }
}

/// Whether a text can be the name of a host.
fn is_host_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

impl Mount {
    /// A mount as `-v` and Compose write it; `None` for a volume without a name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (source, rest) = text.split_once(':')?;
        let target = rest.split(':').next().unwrap_or_default();
        target.starts_with('/').then(|| Self { source: source.to_owned(), target: target.to_owned() })
    }

    /// A mount as `--mount` writes it.
    pub(super) fn parse_options(text: &str) -> Option<Self> {
        let value = |names: &[&str]| {
            let mut pairs = text.split(',').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| names.contains(name)).map(|(_, value)| value.to_owned())
        };
        Some(Self { source: value(&["source", "src"])?, target: value(&["target", "destination", "dst"])? })
    }
}

impl PublishedPort {
    /// A port as `-p` and Compose write it: `[ADDRESS:][PORT:]PORT[/PROTOCOL]`, each port perhaps a range.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (rest, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (before, ports) = match rest.rsplit_once(':') {
            Some((before, ports)) => (before, ports),
            None => ("", rest),
        };
        let ports = range(ports).filter(|_| protocol.eq_ignore_ascii_case("tcp"))?;
        // What is before the port of the host is its address.
        let host = before.rsplit_once(':').map(|(host, _)| host.trim_matches(['[', ']']).to_owned());
        Some(Self { host: host.filter(|host| !host.is_empty()), ports })
    }

    /// Whether only the host itself reaches it.
    fn is_loopback(&self) -> bool {
        let is_loopback =
            |host: &String| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        self.host.as_ref().is_some_and(is_loopback)
    }
}

/// A port, or the first and the last of a range.
pub(super) fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address and the last port of a published port.
    fn port(text: &str) -> Option<(Option<String>, u16)> {
        PublishedPort::parse(text).map(|port| (port.host, port.ports.1))
    }

    #[test]
    fn a_port_has_an_address_or_none() {
        let at = |host: &str, port: u16| Some((Some(host.to_owned()), port));
        assert_eq!(port("127.0.0.1:2375:2375"), at("127.0.0.1", 2375));
        assert_eq!(port("127.0.0.1::2375/tcp"), at("127.0.0.1", 2375));
        assert_eq!(port("[::1]:1:2375"), at("::1", 2375));
        assert_eq!(port("::1:1:2375"), at("::1", 2375));
        assert_eq!(port("127.0.0.1:1-2:2375-2376"), at("127.0.0.1", 2376));
        assert_eq!(port("2375:2375"), Some((None, 2375)));
        assert_eq!(port("2375"), Some((None, 2375)));
        assert_eq!((port("1:2375/udp"), port("x"), port("")), (None, None, None));
    }

    #[test]
    fn names_are_listed_for_a_port_that_the_host_keeps_to_itself() {
        let mut container = ProxyContainer::new(SourceForm::Service, "proxy", Location::file("f"));
        container.names = vec!["docker-proxy".to_owned(), "a b".to_owned(), "proxy".to_owned()];
        let mut hosts = |ports: &[&str]| {
            container.ports = ports.iter().filter_map(|port| PublishedPort::parse(port)).collect();
            container.hosts_at(2375)
        };
        let own = ["localhost", "127.0.0.1", "[::1]", "proxy", "docker-proxy"];
        assert_eq!(hosts(&["127.0.0.1:2375:2375"]), own);
        assert_eq!(hosts(&["localhost:9000:2375", "::1:1:2370-2380"]), own);
        for open in [&["2375:2375"][..], &[], &["127.0.0.1:2376:2376"], &["127.0.0.1:1:2375", "2375:2375"]] {
            assert!(hosts(open).is_empty(), "{open:?}");
        }
    }

    #[test]
    fn a_socket_is_where_it_is_mounted() {
        let mut container = ProxyContainer::new(SourceForm::Run, "p", Location::file("f"));
        container.mounts.extend(Mount::parse("/var/run/docker.sock:/run/docker.sock:ro"));
        container.mounts.extend(Mount::parse_options("type=bind,source=/a,target=/b"));
        assert_eq!(container.mounted_path("/var/run/docker.sock"), Some("/run/docker.sock"));
        assert_eq!((container.mounted_path("/b"), container.mounted_path("/c")), (Some("/b"), None));
        assert!(container.has_socket() && Mount::parse("/data").is_none());
    }
}
