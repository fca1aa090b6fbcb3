//! The container that a client runs in, as the engine says. It is asked anew for each connection: an address or a process may
//! belong to another container a moment later. Clients that wait at the same time are looked up together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use serde::Deserialize;

use super::Proxy;
use super::batches::{Batches, each_within};
use super::objects::KEPT_LIMIT;
use crate::api::objects::ObjectKind;
use crate::clients::CallingContainer;
use crate::route::{Query, Route, find};
use crate::socket::Peer;
use crate::visibility::{ContainerSummary, Facts, read_container_summary, read_object};

/// How many ids in the path of a control group are looked up: containers may be inside others.
const NESTED_LIMIT: usize = 4;
/// How long a whole id is.
const ID_LENGTH: usize = 64;
/// How long the engine may take to tell of one container. It answers in milliseconds.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(1);
/// For whom the engine is asked, in the log and among those who take turns.
const CLIENTS: &str = "the containers of clients";

/// The engine does not say whose the connection is.
const NO_ANSWER: CallingContainer = CallingContainer::Unknown("the engine gave no usable answer");
/// The process has ended, or it is in no PID namespace that this one sees.
const NO_PROCESS: CallingContainer = CallingContainer::Unknown("its process cannot be seen");

/// The addresses of a container of a list.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Addresses {
    network_settings: Option<Networks>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Networks {
    networks: Option<BTreeMap<String, Option<EndpointAddresses>>>,
}

#[derive(Deserialize)]
struct EndpointAddresses {
    #[serde(rename = "IPAddress")]
    ipv4: Option<String>,
    #[serde(rename = "GlobalIPv6Address")]
    ipv6: Option<String>,
}

/// The first process of a container.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedProcess {
    state: ProcessState,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ProcessState {
    running: bool,
    pid: u32,
}

/// The look-ups of clients of one listener in one worker.
#[derive(Debug, Default)]
pub struct CallerLookUps {
    /// The container that has an address.
    addresses: Batches<IpAddr, CallingContainer>,
    /// The container with an id.
    ids: Batches<String, LookedUp>,
}

/// What the engine says of an id in the path of a control group.
#[derive(Clone, Debug)]
enum LookedUp {
    /// A container.
    Container {
        facts: Facts,
        /// The number of its first process, if it runs.
        first: Option<u32>,
    },
    /// There is no such container.
    Absent,
}

impl Proxy {
    /// The container that a client runs in.
    pub async fn calling_container(&self, peer: &Peer, look_ups: &CallerLookUps) -> CallingContainer {
        let Ok(Some(route)) = find("GET", "/containers/json") else { return NO_ANSWER };
        match peer {
            Peer::Address(address) => {
                let look_up = async |addresses| self.containers_at(&route, addresses).await;
                look_ups.addresses.find(address.ip().to_canonical(), look_up).await.unwrap_or(NO_ANSWER)
            }
            Peer::Process { uid, pid: Some(pid), .. } => self.container_around(&route, *pid, *uid, &look_ups.ids).await,
            Peer::Process { pid: None, .. } => NO_PROCESS,
            Peer::Gone => CallingContainer::Unknown("the client is gone"),
        }
    }

    /// For each of several addresses, the running container that has it on one of its networks. None if the engine gives no usable
    /// answer.
    async fn containers_at(&self, route: &Route, addresses: BTreeSet<IpAddr>) -> BTreeMap<IpAddr, CallingContainer> {
        let add = |sought: &mut SoughtAddresses, element: &[u8]| {
            sought.add(element);
            sought.kept
        };
        let listed = self
            .each_of("ContainerList", route, Query::default(), CLIENTS, (SoughtAddresses::new(addresses), add))
            .await;
        listed.map(|(sought, _memory)| sought.callers()).unwrap_or_default()
    }

    /// The container in whose control group a process is. The engine says which process is the first one of a container, and
    /// both must be in the group of that container: whoever may make control groups can call them what they like.
    async fn container_around(
        &self,
        route: &Route,
        pid: u32,
        uid: u32,
        look_ups: &Batches<String, LookedUp>,
    ) -> CallingContainer {
        let Some(groups) = groups_of(pid, Some(uid)) else { return NO_PROCESS };
        let ids = ids_in(&groups);
        if ids.is_empty() {
            return CallingContainer::Outside;
        }
        for id in ids.into_iter().take(NESTED_LIMIT) {
            let look_up = async |ids| self.containers_called(route, ids).await;
            let (facts, first) = match look_ups.find(id.clone(), look_up).await {
                Some(LookedUp::Container { facts, first }) => (facts, first),
                Some(LookedUp::Absent) => continue,
                None => return NO_ANSWER,
            };
            let is_inside =
                first.and_then(|pid| groups_of(pid, None)).is_some_and(|first| are_in_one(&groups, &first, &id));
            // In the meantime, its number may have gone to another process.
            return if is_inside && groups_of(pid, Some(uid)).as_ref() == Some(&groups) {
                CallingContainer::Inside { id, facts: Box::new(facts) }
            } else {
                CallingContainer::Unknown("its control group is not that of the container")
            };
        }
        CallingContainer::Unknown("the engine does not know its container")
    }

    /// The containers that have these ids, as far as there are any.
    async fn containers_called(&self, route: &Route, ids: BTreeSet<String>) -> BTreeMap<String, LookedUp> {
        let called = async |id: String| {
            let read = |document: &[u8]| {
                let running = serde_json::from_slice::<InspectedProcess>(document).ok()?.state;
                Some((read_object(ObjectKind::Container, document)?, running))
            };
            match self.read(route, "ContainerInspect", &id, CLIENTS, read).await {
                Ok(Some((container, state))) if container.id == id => {
                    let first = Some(state.pid).filter(|pid| state.running && *pid > 0);
                    Some(LookedUp::Container { facts: container.facts, first })
                }
                Ok(_) => Some(LookedUp::Absent),
                Err(_) => None,
            }
        };
        each_within(INSPECT_TIMEOUT, ids, called).await
    }
}

/// The addresses of which somebody wants to know the container.
#[derive(Debug)]
struct SoughtAddresses {
    found: Vec<(IpAddr, AtAddress)>,
    /// The bytes of the elements that are kept.
    kept: usize,
}

impl SoughtAddresses {
    fn new(addresses: BTreeSet<IpAddr>) -> Self {
        Self { found: addresses.into_iter().map(|address| (address, AtAddress::Nobody)).collect(), kept: 0 }
    }

    /// Adds a container, as it is in the list.
    fn add(&mut self, element: &[u8]) {
        let addresses = addresses_of(element);
        for (address, at) in &mut self.found {
            let before = at.kept();
            match &addresses {
                Some(addresses) if !addresses.contains(address) => continue,
                Some(_) => at.add(read_container_summary(element), element.len()),
                // It may be the one.
                None => at.add(None, 0),
            }
            self.kept = self.kept + at.kept() - before;
        }
        // Those that take the most get no answer, and the others get theirs.
        while self.kept > KEPT_LIMIT {
            let Some((_, most)) = self.found.iter_mut().max_by_key(|(_, at)| at.kept()) else { break };
            self.kept -= most.kept();
            *most = AtAddress::Unreadable;
        }
    }

    /// For each address, what a client there runs in.
    fn callers(self) -> BTreeMap<IpAddr, CallingContainer> {
        self.found.into_iter().map(|(address, at)| (address, at.caller())).collect()
    }
}

/// What is known of the containers that may have an address.
#[derive(Debug)]
enum AtAddress {
    Nobody,
    /// One has it, which takes so many bytes of the list.
    One(Box<ContainerSummary>, usize),
    /// Several have it.
    Several,
    /// One may have it that cannot be read, or that takes too much memory.
    Unreadable,
}

impl AtAddress {
    /// Adds one that has it, with its bytes in the list. `None` is one that may have it, but cannot be read.
    fn add(&mut self, container: Option<ContainerSummary>, bytes: usize) {
        *self = match (&self, container) {
            (Self::Unreadable, _) | (_, None) => Self::Unreadable,
            (Self::Nobody, Some(container)) => Self::One(Box::new(container), bytes),
            (Self::One(..) | Self::Several, Some(_)) => Self::Several,
        };
    }

    /// The bytes of the list that are kept.
    fn kept(&self) -> usize {
        if let Self::One(_, bytes) = self { *bytes } else { 0 }
    }

    /// Which of them a client at the address runs in.
    fn caller(self) -> CallingContainer {
        match self {
            Self::Nobody => CallingContainer::Outside,
            Self::One(only, _) => CallingContainer::Inside { id: only.id, facts: Box::new(only.facts) },
            Self::Several => CallingContainer::Unknown("several containers have its address"),
            Self::Unreadable => NO_ANSWER,
        }
    }
}

/// The addresses of a container of a list. `None` if they cannot be read.
fn addresses_of(element: &[u8]) -> Option<Vec<IpAddr>> {
    let addresses: Addresses = serde_json::from_slice(element).ok()?;
    let networks = addresses.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let texts = networks.into_values().flatten().flat_map(|endpoint| [endpoint.ipv4, endpoint.ipv6]).flatten();
    Some(texts.filter_map(|text| text.parse().ok()).map(|found: IpAddr| found.to_canonical()).collect())
}

/// The control groups of a process, of each hierarchy, and when it started. `None` if it cannot be read, has changed
/// meanwhile, or runs as another user than `uid`.
fn groups_of(pid: u32, uid: Option<u32>) -> Option<(String, Vec<String>)> {
    let started = || -> Option<String> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, behind) = stat.rsplit_once(')')?;
        behind.split_whitespace().nth(19).map(str::to_owned)
    };
    let before = started()?;
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let owner = std::fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    let is_same = started()? == before && uid.is_none_or(|uid| uid == owner);
    is_same.then(|| (before, text.lines().map(str::to_owned).collect()))
}

/// The id at the end of a part of the path of a control group: `ID`, `docker-ID.scope`, `libpod-payload-ID`. What is before it
/// does not matter: the group must be that of the container with this id.
fn id_in(part: &str) -> Option<&str> {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let (before, id) = part.split_at_checked(part.len().checked_sub(ID_LENGTH)?)?;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    Some(id).filter(|_| before.is_empty() || before.ends_with(['-', ':'])).filter(|id| id.bytes().all(is_digit))
}

/// The ids in the paths of control groups, each once, the outermost first.
fn ids_in((_, groups): &(String, Vec<String>)) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for id in groups.iter().flat_map(|group| group.split('/')).filter_map(id_in) {
        if !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
    }
    ids
}

/// The path of a control group up to the part that is called after a container.
fn up_to<'g>(group: &'g str, id: &str) -> Option<&'g str> {
    let mut end = 0;
    for part in group.split_inclusive('/') {
        end += part.len();
        if id_in(part.trim_end_matches('/')) == Some(id) {
            return group.get(..end).map(|path| path.trim_end_matches('/'));
        }
    }
    None
}

/// Whether two processes are in the control group of one container, in each hierarchy in which one of them is in such a group.
fn are_in_one((_, one): &(String, Vec<String>), (_, other): &(String, Vec<String>), id: &str) -> bool {
    let paths = |groups: &[String]| -> Vec<String> {
        groups.iter().filter_map(|group| up_to(group, id)).map(str::to_owned).collect()
    };
    let (one, other) = (paths(one), paths(other));
    !one.is_empty() && one == other
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A container of a list, of about so many bytes.
    fn element(number: u32, bytes: usize) -> Vec<u8> {
        let (id, address) = (format!("{number:064x}"), address(number));
        let networks = serde_json::json!({"demo": {"IPAddress": address, "GlobalIPv6Address": ""}});
        let labels = serde_json::json!({"long": "x".repeat(bytes)});
        let settings = serde_json::json!({"Networks": networks});
        let container = serde_json::json!({"Id": id, "Names": [format!("/c{number}")], "Image": "demo", "Labels": labels, "NetworkSettings": settings});
        container.to_string().into_bytes()
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + number).to_be_bytes())
    }

    /// What clients at the first `sought` addresses run in, if a container with so many bytes is at each of the first of them.
    fn callers(sought: u32, sizes: impl IntoIterator<Item = usize>) -> Vec<CallingContainer> {
        let mut all = SoughtAddresses::new((0..sought).map(address).collect());
        for (number, bytes) in (0..).zip(sizes) {
            all.add(&element(number, bytes));
            assert!(all.kept <= KEPT_LIMIT);
            assert_eq!(all.kept, all.found.iter().map(|(_, at)| at.kept()).sum::<usize>());
        }
        all.callers().into_values().collect()
    }

    fn is_inside(caller: &CallingContainer) -> bool {
        matches!(caller, CallingContainer::Inside { .. })
    }

    #[test]
    fn addresses_of_no_container_take_nothing_from_one_that_has_one() {
        let callers = callers(3_000, [100 << 10]);
        assert!(is_inside(&callers[0]));
        assert!(callers[1..].iter().all(|caller| *caller == CallingContainer::Outside));
    }

    #[test]
    fn the_containers_that_take_the_most_memory_get_no_answer() {
        // Whatever stands first.
        for sizes in [[KEPT_LIMIT, 10_000, 20_000, 5], [10_000, 20_000, 5, KEPT_LIMIT]] {
            for (caller, bytes) in callers(4, sizes).iter().zip(sizes) {
                assert_eq!(is_inside(caller), bytes < KEPT_LIMIT, "{bytes}");
            }
        }
        let many = callers(1_000, (0..1_000).map(|number| if number % 2 == 0 { 20_000 } else { 1_000 }));
        assert!(many.iter().skip(1).step_by(2).all(is_inside));
        let served = many.iter().step_by(2).filter(|caller| is_inside(caller)).count();
        assert!((300..500).contains(&served), "{served} of those that take 10 MB together");
    }

    #[test]
    fn an_address_that_two_containers_have_is_that_of_neither() {
        let mut all = SoughtAddresses::new([address(0), address(1)].into());
        for element in [element(0, 10), element(0, 1 << 20), element(1, 10)] {
            all.add(&element);
        }
        assert!(all.kept < 1 << 10, "{}", all.kept);
        let callers: Vec<_> = all.callers().into_values().collect();
        assert!(matches!(callers[0], CallingContainer::Unknown(_)) && is_inside(&callers[1]));
        let mut all = SoughtAddresses::new([address(0)].into());
        all.add(b"{}");
        all.add(b"[");
        assert_eq!(all.callers().into_values().next(), Some(NO_ANSWER));
    }

    fn groups(lines: &[&str]) -> (String, Vec<String>) {
        (String::new(), lines.iter().map(|line| (*line).to_owned()).collect())
    }

    #[test]
    fn an_id_is_found_in_the_names_that_engines_give() {
        let id = "0a".repeat(32);
        for (part, is_found) in [
            (id.clone(), true),
            (format!("docker-{id}.scope"), true),
            (format!("libpod-{id}.scope"), true),
            (format!("libpod-payload-{id}"), true),
            (format!("cri-containerd-{id}.scope"), true),
            (format!("system.slice:docker:{id}"), true),
            (format!("x{id}"), false),
            (format!("docker-{id}.scope2"), false),
            (format!("docker-{id}-x"), false),
            (format!("docker-{}.scope", &id[2..]), false),
            ("é".repeat(40), false),
            (id.to_uppercase(), false),
            ("docker".to_owned(), false),
        ] {
            assert_eq!(id_in(&part).is_some(), is_found, "{part}");
        }
        let inner = "0b".repeat(32);
        let nested = groups(&[&format!("0::/docker/{id}/docker/{inner}")]);
        assert_eq!(ids_in(&nested), [id, inner]);
        assert_eq!(ids_in(&groups(&["0::/user.slice/session-1.scope"])), Vec::<String>::new());
    }

    /// `/proc/PID/cgroup` of a client and of the first process of its container.
    ///
    /// The first two were recorded with Docker 20.10 (`--cgroup-parent /tests`) and Podman 4.3 of Debian 12, both with cgroupfs, and
    /// control groups of version 1. The others are what these engines make with version 2, with systemd, and without root.
    #[test]
    fn the_groups_that_engines_make_are_known() {
        let (id, pod) = ("0a".repeat(32), "0c".repeat(32));
        let user = "/user.slice/user-1000.slice/user@1000.service";
        let hybrid = |path: &str, unified: &str| {
            let names = ["name=systemd", "pids", "blkio", "freezer", "devices", "memory", "cpuset", "cpuacct", "cpu"];
            let lines = names.iter().zip((1..=9).rev()).map(|(name, number)| format!("{number}:{name}:{path}"));
            lines.chain([format!("0::{unified}")]).collect::<Vec<_>>().join("\n")
        };
        let unified = |path: String| format!("0::{path}");
        for (client, first) in [
            (
                hybrid(&format!("/tests/{id}"), &format!("/tests/{id}")),
                hybrid(&format!("/tests/{id}"), &format!("/tests/{id}")),
            ),
            (hybrid(&format!("/libpod_parent/libpod-{id}"), "/"), hybrid(&format!("/libpod_parent/libpod-{id}"), "/")),
            // The unified hierarchy beside those of version 1 has the service of the engine.
            (
                hybrid(&format!("/docker/{id}"), "/system.slice/containerd.service"),
                hybrid(&format!("/docker/{id}"), "/system.slice/containerd.service"),
            ),
            (unified(format!("/docker/{id}")), unified(format!("/docker/{id}"))),
            // An exec, beside the first process that has moved into a group below, as systemd does.
            (
                unified(format!("/system.slice/docker-{id}.scope")),
                unified(format!("/system.slice/docker-{id}.scope/init.scope")),
            ),
            // Rootless.
            (
                unified(format!("{user}/user.slice/docker-{id}.scope")),
                unified(format!("{user}/user.slice/docker-{id}.scope")),
            ),
            // Podman, as root, without, in a pod, and of a quadlet.
            (
                unified(format!("/machine.slice/libpod-{id}.scope/container")),
                unified(format!("/machine.slice/libpod-{id}.scope/container")),
            ),
            (
                unified(format!("{user}/user.slice/libpod-{id}.scope/container")),
                unified(format!("{user}/user.slice/libpod-{id}.scope/container")),
            ),
            (
                unified(format!("/machine.slice/machine-libpod_pod_{pod}.slice/libpod-{id}.scope/container")),
                unified(format!("/machine.slice/machine-libpod_pod_{pod}.slice/libpod-{id}.scope/container")),
            ),
            (
                unified(format!("{user}/app.slice/web.service/libpod-payload-{id}")),
                unified(format!("{user}/app.slice/web.service/libpod-payload-{id}")),
            ),
            // Seen from a namespace of control groups of our own.
            (unified(format!("/../docker-{id}.scope")), unified(format!("/../docker-{id}.scope"))),
        ] {
            let [client, first] = [client, first].map(|text| groups(&text.lines().collect::<Vec<_>>()));
            assert_eq!(ids_in(&client), std::slice::from_ref(&id), "{client:?}");
            assert!(are_in_one(&client, &first, &id), "{client:?}");
        }
        // The process that looks after a container is not in it.
        let conmon = groups(&[&format!("0::/machine.slice/libpod-conmon-{id}.scope")]);
        let inside = groups(&[&format!("0::/machine.slice/libpod-{id}.scope/container")]);
        assert!(!are_in_one(&conmon, &inside, &id));
        // The id of a pod may come before that of the container: the engine is asked for both.
        let in_pod = groups(&[&format!("0::/libpod_parent/{pod}/libpod-{id}")]);
        assert_eq!(ids_in(&in_pod), [pod, id]);
        for host in ["0::/", "0::/init.scope", "0::/user.slice/user-1000.slice/session-1.scope", "1:name=systemd:/"] {
            assert_eq!(ids_in(&groups(&[host])), Vec::<String>::new(), "{host}");
        }
    }

    /// Whoever may make control groups of its own can call one like the container of another.
    #[test]
    fn a_group_that_is_only_called_like_a_container_is_not_its_group() {
        let id = "0a".repeat(32);
        let first = groups(&[&format!("0::/system.slice/docker-{id}.scope")]);
        for (path, is_inside) in [
            (format!("0::/system.slice/docker-{id}.scope"), true),
            (format!("0::/system.slice/docker-{id}.scope/init"), true),
            (format!("0::/user.slice/user-1000.slice/docker-{id}.scope"), false),
            (format!("0::/system.slice/docker-{id}.scope2/docker-{id}.scope"), false),
            (format!("0::/system.slice/{id}"), false),
            ("0::/".to_owned(), false),
        ] {
            assert_eq!(are_in_one(&groups(&[&path]), &first, &id), is_inside, "{path}");
        }
        // In several hierarchies, all must be the same.
        let both = groups(&[&format!("4:memory:/docker/{id}"), &format!("3:pids:/docker/{id}")]);
        assert!(are_in_one(&both, &both, &id));
        assert!(!are_in_one(&groups(&[&format!("4:memory:/docker/{id}"), "3:pids:/"]), &both, &id));
    }

    #[test]
    fn the_groups_of_a_process_of_another_user_are_not_read() {
        let (me, pid) = (rustix::process::geteuid().as_raw(), std::process::id());
        assert!(groups_of(pid, Some(me)).is_some());
        assert_eq!(groups_of(pid, Some(me + 1)), None);
        assert_eq!(groups_of(u32::MAX, None), None);
    }

    #[test]
    fn a_container_has_the_addresses_of_its_networks() {
        let text = r#"{"Id":"a","NetworkSettings":{"Networks":{"a":{"IPAddress":"10.0.0.2","GlobalIPv6Address":""},"b":{"IPAddress":"","GlobalIPv6Address":"fd00::2"},"c":null}}}"#;
        let addresses = addresses_of(text.as_bytes()).unwrap();
        assert_eq!(addresses, ["10.0.0.2", "fd00::2"].map(|address| address.parse::<IpAddr>().unwrap()));
        assert_eq!(addresses_of(b"{}"), Some(Vec::new()));
        assert_eq!(addresses_of(b"["), None);
    }
}
