//! Requests about what two engines have, or one of them, or neither.

use std::collections::BTreeMap;

use dockveil::api::{OPERATIONS, Operation, queries};
use serde_json::json;

use super::world::{Container, NODE, Numbers, PROJECT, World, exec_of};

/// A request, and the keys of `filters` in it.
pub(crate) struct Generated {
    pub(crate) text: String,
    pub(crate) filters: Vec<(&'static str, String)>,
}

/// Texts that could name something in these worlds, by what they name.
struct Names<'w> {
    worlds: &'w [World; 2],
}

impl Names<'_> {
    /// A name, an id, the start of an id, or what is none of these.
    fn some(numbers: &mut Numbers, names: &[String], ids: &[String]) -> String {
        let length = 1 + numbers.below(12);
        match numbers.below(6) {
            0 => numbers.hex(length),
            1 | 2 if !names.is_empty() => numbers.of(names).clone(),
            3 if !ids.is_empty() => numbers.of(ids).clone(),
            _ if !ids.is_empty() => {
                let id = numbers.of(ids);
                id[..length.min(id.len())].to_owned()
            }
            _ => numbers.hex(length),
        }
    }

    fn all<T: Clone>(&self, of: impl Fn(&World) -> Vec<T>) -> Vec<T> {
        self.worlds.iter().flat_map(of).collect()
    }

    fn container(&self, numbers: &mut Numbers) -> String {
        let names = self.all(|world| world.containers.iter().map(|one| one.name.clone()).collect());
        let ids = self.all(|world| world.containers.iter().map(|one| one.id.clone()).collect());
        Self::some(numbers, &names, &ids)
    }

    /// The name of a link: that of a container and an alias in it.
    fn link(&self, numbers: &mut Numbers) -> String {
        let links: Vec<String> =
            self.all(|world| world.containers.iter().flat_map(|one: &Container| one.links.clone()).collect());
        if links.is_empty() { "web-0/alias".to_owned() } else { format!("{}/alias", numbers.of(&links)) }
    }

    fn image(&self, numbers: &mut Numbers) -> String {
        let names = self.all(|world| world.images.iter().flat_map(|one| one.tags.clone()).collect());
        let ids: Vec<String> = self.all(|world| world.images.iter().map(|one| one.id.clone()).collect());
        let name = Self::some(numbers, &names, &ids);
        if numbers.one_in(8) && !name.contains(':') { format!("sha256:{name}") } else { name }
    }

    fn volume(&self, numbers: &mut Numbers) -> String {
        let names: Vec<String> = self.all(|world| world.volumes.iter().map(|one| one.name.clone()).collect());
        numbers.of(&names).clone()
    }

    fn network(&self, numbers: &mut Numbers) -> String {
        let names = self.all(|world| world.networks.iter().map(|one| one.name.clone()).collect());
        let ids = self.all(|world| world.networks.iter().map(|one| one.id.clone()).collect());
        Self::some(numbers, &names, &ids)
    }

    fn service(&self, numbers: &mut Numbers) -> String {
        let names = self.all(|world| world.services.iter().map(|one| one.name.clone()).collect());
        let ids = self.all(|world| world.services.iter().map(|one| one.id.clone()).collect());
        Self::some(numbers, &names, &ids)
    }

    fn task(&self, numbers: &mut Numbers) -> String {
        let ids: Vec<String> = self.all(|world| world.services.iter().map(|one| one.task.clone()).collect());
        if ids.is_empty() { numbers.hex(25) } else { Self::some(numbers, &[], &ids) }
    }

    /// A label as filters name one: of containers, of other objects, or an attribute of events.
    fn label(&self, numbers: &mut Numbers) -> String {
        let words = [
            PROJECT,
            "com.docker.compose.project=shop",
            "com.docker.compose.project=other",
            "dashboard.hide",
            "note",
            "a",
            "hide",
            "image=image0:1",
            "exitCode=1",
        ];
        let containers = self.all(|world| world.containers.clone());
        match (containers.is_empty(), numbers.below(6)) {
            (false, 0) => format!("container={}", numbers.of(&containers).id),
            (false, 1) => {
                let old = containers.iter().filter_map(|one| one.old_name.clone()).collect::<Vec<_>>();
                if old.is_empty() { "oldName".to_owned() } else { format!("oldName=/{}", numbers.of(&old)) }
            }
            (false, 2) => format!("name={}", numbers.of(&containers).name),
            _ => (*numbers.of(&words)).to_owned(),
        }
    }

    /// A regular expression for names.
    fn expression(&self, numbers: &mut Numbers, name: String) -> String {
        match numbers.below(6) {
            0 => format!("^/?{name}$"),
            1 => "secret".to_owned(),
            2 => "^/?web|net|vol".to_owned(),
            3 => format!("{}|alias", name),
            4 => name.chars().take(2).collect(),
            _ => name,
        }
    }

    /// A value of a key of `filters` of an operation.
    fn value(&self, numbers: &mut Numbers, operation: &str, key: &str) -> String {
        let word = |numbers: &mut Numbers, words: &[&str]| (*numbers.of(words)).to_owned();
        match (operation, key) {
            (_, "label" | "label!" | "node.label") => self.label(numbers),
            ("ContainerList", "before" | "since") if numbers.one_in(4) => self.link(numbers),
            ("ContainerList", "before" | "since" | "id") | ("SystemEvents", "container") => self.container(numbers),
            ("ContainerList", "name") => {
                let name = self.container(numbers);
                self.expression(numbers, name)
            }
            ("ImageList", "before" | "since") | (_, "ancestor" | "image") => self.image(numbers),
            (_, "reference") => word(numbers, &["image*", "secret-*", "extra*", "image0:1", "*:1"]),
            ("VolumeList", "name") | (_, "volume") => {
                let name = self.volume(numbers);
                if key == "name" { self.expression(numbers, name) } else { name }
            }
            ("NetworkList", "id" | "name") | (_, "network") => {
                let name = self.network(numbers);
                if key == "network" { name } else { self.expression(numbers, name) }
            }
            ("ServiceList", "id" | "name") | (_, "service") => self.service(numbers),
            ("TaskList", "id" | "name") => self.task(numbers),
            (_, "node") => word(numbers, &[NODE, "node", "other"]),
            (_, "status") => word(numbers, &["running", "exited", "created", "paused", "bogus"]),
            (_, "health") => word(numbers, &["healthy", "unhealthy", "none", "starting"]),
            (_, "exited") => word(numbers, &["0", "1", "2", "x"]),
            (_, "publish" | "expose") => word(numbers, &["80", "8000/tcp", "8000-8003/tcp", "1-9000", "x"]),
            (_, "until") => word(numbers, &["1", "50", "1000"]),
            (_, "type") if operation == "SystemEvents" => {
                word(numbers, &["container", "network", "volume", "image", "service"])
            }
            (_, "type") => word(numbers, &["custom", "builtin"]),
            (_, "event") => word(numbers, &["create", "start", "die", "rename", "exec_create", "connect", "mount"]),
            (_, "driver" | "scope") => word(numbers, &["local", "bridge", "overlay", "swarm"]),
            (_, "mode") => word(numbers, &["replicated", "global"]),
            (_, "desired-state") => word(numbers, &["running", "shutdown"]),
            (_, "runtime") => word(numbers, &["container", "plugin"]),
            (_, "isolation") => word(numbers, &["default", "hyperv"]),
            _ => word(numbers, &["true", "false", "1", "0", "x"]),
        }
    }
}

/// The operations that take filters.
fn filtering() -> Vec<&'static Operation> {
    let takes = |one: &&Operation| one.query.iter().any(|parameter| parameter.name == "filters");
    OPERATIONS.iter().filter(takes).collect()
}

/// Every key of every operation.
pub(crate) fn keys() -> Vec<(&'static str, String)> {
    let table = queries::built_in().unwrap();
    let of = |operation: &&'static Operation| {
        table.filters(operation).map(|(key, _)| (operation.id, key.to_owned())).collect::<Vec<_>>()
    };
    filtering().iter().flat_map(of).collect()
}

/// A text in a query, escaped.
fn escaped(text: &str) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:/,".contains(byte);
    text.bytes()
        .map(|byte| if is_plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") })
        .collect()
}

/// A request with some keys of the filters of some operation. In its turn comes each key.
fn with_filters(names: &Names<'_>, numbers: &mut Numbers, turn: Option<usize>) -> Generated {
    let operations = filtering();
    // Most are about containers, images, volumes, networks, services and events.
    let containers = dockveil::api::operation("ContainerList").unwrap();
    let in_turn = turn.map(|turn| keys().swap_remove(turn % keys().len()));
    let operation = loop {
        if let Some((operation, _)) = in_turn {
            break dockveil::api::operation(operation).unwrap();
        }
        let operation = if numbers.one_in(5) { containers } else { *numbers.of(&operations) };
        let is_about_objects =
            dockveil::api::objects::objects_of(operation).unwrap().is_some_and(|one| one.answer.is_some());
        if is_about_objects || numbers.one_in(6) {
            break operation;
        }
    };
    let table = queries::built_in().unwrap();
    let known: Vec<&str> = table.filters(operation).map(|(key, _)| key).collect();
    let mut filters: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for _ in 0..1 + usize::from(numbers.one_in(3)) {
        let key = match &in_turn {
            Some((_, key)) if filters.is_empty() => known.iter().copied().find(|known| known == key).unwrap(),
            Some(_) | None => *numbers.of(&known),
        };
        let value = names.value(numbers, operation.id, key);
        filters.entry(key).or_default().push(value);
    }
    let as_map =
        |values: &Vec<String>| json!(values.iter().map(|value| (value.clone(), true)).collect::<BTreeMap<_, _>>());
    let text = match numbers.one_in(4) {
        true => json!(filters.iter().map(|(key, values)| (key, as_map(values))).collect::<BTreeMap<_, _>>()),
        false => json!(filters),
    };
    let more = match operation.id {
        "ContainerList" if !numbers.one_in(4) => "&all=1",
        "ContainerList" => "&limit=2",
        "SystemEvents" => "&since=1&until=2",
        "ServiceList" => "&status=1",
        "ImageList" if numbers.one_in(2) => "&all=1",
        "ImageSearch" => "&term=a",
        _ => "",
    };
    Generated {
        text: closing(
            operation.method.as_str(),
            &format!("{}?filters={}{more}", operation.template, escaped(&text.to_string())),
        ),
        filters: filters.keys().map(|key| (operation.id, (*key).to_owned())).collect(),
    }
}

/// A request without filters.
fn without_filters(names: &Names<'_>, numbers: &mut Numbers) -> (&'static str, String) {
    let limit = numbers.below(8);
    let of_container = |numbers: &mut Numbers, rest: &str| format!("/containers/{}{rest}", names.container(numbers));
    let get = |target: String| ("GET", target);
    match numbers.below(40) {
        0 => get("/containers/json".to_owned()),
        1 => get("/containers/json?all=1".to_owned()),
        2 => get(format!("/containers/json?limit={limit}")),
        3 => get(format!("/containers/json?all=1&before={}", names.container(numbers))),
        4 => get(format!("/containers/json?all=1&since={}", names.link(numbers))),
        5..=8 => get(of_container(numbers, "/json")),
        9 => get(of_container(numbers, "/top")),
        10 => get(of_container(numbers, "/stats?stream=0")),
        11 => get(of_container(numbers, "/logs?stdout=1")),
        12 => get(of_container(numbers, "/changes")),
        13 => {
            let execs: Vec<String> = names.all(|world| world.containers.iter().map(exec_of).collect());
            get(format!("/exec/{}/json", if execs.is_empty() { numbers.hex(64) } else { numbers.of(&execs).clone() }))
        }
        14 => get("/images/json".to_owned()),
        15 => get("/images/json?all=1&shared-size=1&manifests=1".to_owned()),
        16 | 17 => get(format!("/images/{}/json", names.image(numbers))),
        18 => get(format!("/images/{}/history", names.image(numbers))),
        19 => get("/volumes".to_owned()),
        20 => get(format!("/volumes/{}", names.volume(numbers))),
        21 => get("/networks".to_owned()),
        22 | 23 => get(format!("/networks/{}", names.network(numbers))),
        24 => get("/services?status=1".to_owned()),
        25 => get(format!("/services/{}", names.service(numbers))),
        26 => get("/tasks".to_owned()),
        27 => get(format!("/tasks/{}", names.task(numbers))),
        28 => get("/system/df".to_owned()),
        29 => get("/info".to_owned()),
        30 => get("/events?since=1&until=2".to_owned()),
        31 => ("POST", of_container(numbers, "/restart")),
        32 => {
            let name = names.container(numbers);
            ("POST", of_container(numbers, &format!("/rename?name={name}")))
        }
        33 => ("DELETE", of_container(numbers, "")),
        34 => ("DELETE", format!("/containers/{}?link=1", names.link(numbers))),
        35 => ("DELETE", format!("/images/{}", names.image(numbers))),
        36 => ("DELETE", format!("/volumes/{}", names.volume(numbers))),
        37 => ("DELETE", format!("/networks/{}", names.network(numbers))),
        38 => ("POST", format!("/{}/prune", numbers.of(&["containers", "images", "volumes", "networks"]))),
        _ => get(of_container(numbers, "/json?size=1")),
    }
}

/// A request. With a turn, it has that key of filters.
pub(crate) fn generated(worlds: &[World; 2], numbers: &mut Numbers, turn: Option<usize>) -> Generated {
    let names = Names { worlds };
    if turn.is_some() || numbers.one_in(2) {
        return with_filters(&names, numbers, turn);
    }
    let (method, target) = without_filters(&names, numbers);
    Generated { text: closing(method, &target), filters: Vec::new() }
}

/// A request without a body, after whose answer the connection is closed.
fn closing(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
}

/// A text that could name a container in one of these worlds, or in none.
pub(crate) fn container(worlds: &[World; 2], numbers: &mut Numbers) -> String {
    Names { worlds }.container(numbers)
}
