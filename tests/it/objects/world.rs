//! An engine with generated containers, and what uses and what names them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::daemon::{self, Reply};

/// Numbers that look random and are the same in every run.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }

    /// This many hexadecimal digits.
    pub(crate) fn hex(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b"0123456789abcdef"[self.below(16)])).collect()
    }
}

/// A container.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: usize,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) state: &'static str,
    pub(crate) volumes: Vec<usize>,
    pub(crate) networks: Vec<usize>,
    /// The names of containers that are linked to it.
    pub(crate) links: Vec<String>,
    pub(crate) created: usize,
}

/// All that an engine has.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) containers: Vec<Container>,
}

/// The label of the containers that clients see.
pub(crate) const PROJECT: &str = "com.docker.compose.project";

const IMAGES: usize = 6;
const VOLUMES: usize = 6;
const NETWORKS: usize = 4;

/// The id of the image, network or exec with a number.
fn id_of(kind: char, number: usize) -> String {
    let start: String = match kind {
        'i' => format!("{:x}", 0xa0 + number),
        'n' => format!("{:x}", 0xb0 + number),
        _ => format!("{:x}", 0xc0 + number),
    };
    format!("{start:0<64}")
}

/// The exec of a container.
fn exec_of(container: &Container) -> String {
    let turned: String = container.id.chars().rev().collect();
    turned
}

impl Container {
    /// A container with a name and labels, generated otherwise.
    pub(crate) fn generated(numbers: &mut Numbers, name: &str, labels: &[(&str, &str)], created: usize) -> Self {
        let mut labels: BTreeMap<String, String> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let length = 1 + numbers.below(1200);
        labels.insert("note".to_owned(), numbers.hex(length));
        let several = |numbers: &mut Numbers, all: usize| (0..all).filter(|_| numbers.below(3) == 0).collect();
        Self {
            id: numbers.hex(64),
            name: name.to_owned(),
            image: numbers.below(IMAGES),
            labels,
            state: ["running", "running", "exited", "paused", "created"][numbers.below(5)],
            volumes: several(numbers, VOLUMES),
            networks: several(numbers, NETWORKS),
            links: Vec::new(),
            created,
        }
    }

    fn summary(&self) -> Value {
        let aliases = self.links.iter().map(|name| format!("/{name}/alias"));
        let names: Vec<String> = [format!("/{}", self.name)].into_iter().chain(aliases).collect();
        json!({
            "Id": self.id, "Names": names, "Image": image_name(self.image),
            "ImageID": format!("sha256:{}", id_of('i', self.image)), "Command": "sleep 1", "Created": self.created,
            "Ports": [], "Labels": self.labels, "State": self.state, "Status": "Up",
            "HostConfig": {"NetworkMode": "default"},
            "NetworkSettings": {"Networks": self.endpoints()}, "Mounts": self.mounts(),
        })
    }

    fn document(&self) -> Value {
        json!({
            "Id": self.id, "Created": "2026-01-01T00:00:00Z", "Path": "sleep", "Args": ["1"],
            "State": {"Status": self.state, "Running": self.state == "running", "ExitCode": 0},
            "Image": format!("sha256:{}", id_of('i', self.image)), "Name": format!("/{}", self.name), "RestartCount": 0,
            "HostConfig": {"NetworkMode": "default", "Links": self.links, "VolumesFrom": null},
            "Mounts": self.mounts(), "Config": {"Image": image_name(self.image), "Labels": self.labels, "Env": ["A=b"]},
            "NetworkSettings": {"Networks": self.endpoints()},
        })
    }

    fn endpoints(&self) -> Value {
        let of =
            |network: &usize| (network_name(*network), json!({"NetworkID": id_of('n', *network), "IPAddress": ""}));
        self.networks.iter().map(of).collect::<serde_json::Map<String, Value>>().into()
    }

    fn mounts(&self) -> Vec<Value> {
        let of =
            |volume: &usize| json!({"Type": "volume", "Name": volume_name(*volume), "Destination": "/v", "RW": true});
        self.volumes.iter().map(of).collect()
    }

    /// What an engine says of something that happens to it.
    fn event(&self, kind: &str, action: &str, actor: &str, attributes: Value) -> Value {
        json!({"Type": kind, "Action": action, "Actor": {"ID": actor, "Attributes": attributes},
               "scope": "local", "time": 1_700_000_000, "timeNano": 1_700_000_000_000_000_000_u64})
    }

    /// What has happened to it, in order.
    fn events(&self) -> Vec<Value> {
        let mut own = self.labels.clone();
        own.insert("image".to_owned(), image_name(self.image));
        own.insert("name".to_owned(), self.name.clone());
        let of = |action: &str| self.event("container", action, &self.id, json!(own));
        let mut events = vec![of("create"), of("start"), of("exec_create: sh"), of("die")];
        events.extend(self.networks.iter().map(|network| {
            let attributes = json!({"container": self.id, "name": network_name(*network), "type": "bridge"});
            self.event("network", "connect", &id_of('n', *network), attributes)
        }));
        events.extend(self.volumes.iter().map(|volume| {
            let attributes = json!({"container": self.id, "driver": "local"});
            self.event("volume", "unmount", &volume_name(*volume), attributes)
        }));
        events
    }
}

fn image_name(number: usize) -> String {
    format!("image{number}:1")
}

pub(crate) fn volume_name(number: usize) -> String {
    format!("volume{number}")
}

pub(crate) fn network_name(number: usize) -> String {
    format!("network{number}")
}

impl World {
    /// The containers of two worlds, in the order in which they were made: those that both have, and more.
    pub(crate) fn with(&self, others: &[Container]) -> Self {
        let mut containers = [self.containers.as_slice(), others].concat();
        containers.sort_by_key(|container| container.created);
        Self { containers }
    }

    fn users(&self, uses: impl Fn(&Container) -> bool) -> usize {
        self.containers.iter().filter(|container| uses(container)).count()
    }

    fn image(&self, number: usize) -> Value {
        let users = self.users(|container| container.image == number);
        json!({"Id": format!("sha256:{}", id_of('i', number)), "ParentId": "", "RepoTags": [image_name(number)],
               "RepoDigests": [], "Created": 1, "Size": 1, "SharedSize": -1, "VirtualSize": 1, "Labels": null,
               "Containers": users,
               "Manifests": [{"ID": "m", "Kind": "image", "ImageData": {"Containers": self.ids_with(number)}}]})
    }

    fn ids_with(&self, image: usize) -> Vec<&str> {
        self.containers
            .iter()
            .filter(|container| container.image == image)
            .map(|container| container.id.as_str())
            .collect()
    }

    fn volume(&self, number: usize) -> Value {
        let users = self.users(|container| container.volumes.contains(&number));
        json!({"Name": volume_name(number), "Driver": "local", "Mountpoint": "/m", "Labels": null, "Scope": "local",
               "Options": null, "UsageData": {"RefCount": users, "Size": 1}})
    }

    fn network(&self, number: usize, with_members: bool) -> Value {
        let on = self.containers.iter().filter(|container| container.networks.contains(&number));
        let members =
            on.map(|container| (container.id.clone(), json!({"Name": container.name, "IPv4Address": "10.0.0.1/8"})));
        let members: serde_json::Map<String, Value> =
            if with_members { members.collect() } else { serde_json::Map::new() };
        json!({"Name": network_name(number), "Id": id_of('n', number), "Created": "2026-01-01T00:00:00Z", "Scope": "local",
               "Driver": "bridge", "Containers": members, "Options": {}, "Labels": {}})
    }

    fn usage(&self) -> Value {
        let images: Vec<Value> = (0..IMAGES).map(|number| self.image(number)).collect();
        let volumes: Vec<Value> = (0..VOLUMES).map(|number| self.volume(number)).collect();
        let containers: Vec<Value> = self.containers.iter().map(Container::summary).collect();
        json!({"LayersSize": 1, "Images": images, "Containers": containers, "Volumes": volumes, "BuildCache": [],
               "ContainerUsage": {"TotalCount": self.containers.len(), "ActiveCount": self.running(), "Items": containers},
               "ImageUsage": {"TotalCount": IMAGES, "ActiveCount": self.users(|container| container.image > 0), "Items": images},
               "VolumeUsage": {"TotalCount": VOLUMES, "Reclaimable": self.containers.len(), "Items": volumes}})
    }

    fn running(&self) -> usize {
        self.users(|container| container.state == "running")
    }

    fn info(&self) -> Value {
        let paused = self.users(|container| container.state == "paused");
        let (all, running) = (self.containers.len(), self.running());
        json!({"ID": "x", "Containers": all, "ContainersRunning": running, "ContainersPaused": paused,
               "ContainersStopped": all - running - paused, "Images": IMAGES, "NFd": 20 + running, "NGoroutines": 50 + all,
               "NCPU": 2, "OperatingSystem": "Debian"})
    }

    /// The containers that a text names, as engines find them: by the whole id, the name, or the start of the id.
    pub(crate) fn find(&self, text: &str) -> Vec<&Container> {
        let all = || self.containers.iter();
        let exact =
            all().find(|container| container.id == text).or_else(|| all().find(|container| container.name == text));
        match exact {
            Some(container) => vec![container],
            None => all().filter(|container| container.id.starts_with(text)).collect(),
        }
    }

    /// Whether a text names a network.
    pub(crate) fn has_network(&self, text: &str) -> bool {
        (0..NETWORKS).any(|number| network_name(number) == text || id_of('n', number).starts_with(text))
    }

    /// Whether a text names an image.
    pub(crate) fn has_image(&self, text: &str) -> bool {
        let bare = text.trim_start_matches("sha256:");
        (0..IMAGES).any(|number| image_name(number) == text || id_of('i', number).starts_with(bare))
    }

    fn list(&self, query: &str) -> Reply {
        let value = |name: &str| query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
        let all = value("all").is_some_and(|(_, value)| value == "1");
        let limit = value("limit").and_then(|(_, limit)| limit.parse::<usize>().ok()).unwrap_or(0);
        let filters = value("filters").map(|(_, text)| decoded(text)).unwrap_or_else(|| "{}".to_owned());
        let filters: Value = serde_json::from_str(&filters).unwrap();
        let mut found: Vec<&Container> = self.containers.iter().rev().collect();
        if let Some(id) = filters["id"][0].as_str() {
            found.retain(|container| container.id.contains(id));
        }
        let age = |name: &str| filters[name][0].as_str().map(str::to_owned);
        let before = value("before").map(|(_, text)| text.to_owned()).or_else(|| age("before"));
        for (text, is_before) in [(before, true), (age("since"), false)] {
            let Some(text) = text else { continue };
            let [one] = self.find(&text)[..] else { return absent() };
            found.retain(
                |container| if is_before { container.created < one.created } else { container.created > one.created },
            );
        }
        if !all && limit == 0 {
            found.retain(|container| ["running", "paused"].contains(&container.state));
        }
        if limit > 0 {
            found.truncate(limit);
        }
        daemon::json(&json!(found.into_iter().map(Container::summary).collect::<Vec<_>>()).to_string())
    }

    fn events(&self) -> Reply {
        let mut body = String::new();
        for container in &self.containers {
            for event in container.events() {
                let line = format!("{event}\n");
                body.push_str(&format!("{:x}\r\n{line}\r\n", line.len()));
            }
        }
        let head = "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        Reply::Close(format!("{head}{body}0\r\n\r\n").into_bytes())
    }

    fn of_container(&self, name: &str, rest: &[&str]) -> Reply {
        let found = self.find(name);
        let [container] = found[..] else {
            return if found.is_empty() {
                absent()
            } else {
                daemon::with_status("400 Bad Request", r#"{"message":"several"}"#)
            };
        };
        match rest {
            ["json"] => daemon::json(&container.document().to_string()),
            ["top"] => daemon::json(&json!({"Titles": ["PID"], "Processes": [["1"]]}).to_string()),
            ["changes"] => daemon::json(&json!([{"Path": "/a", "Kind": 0}]).to_string()),
            ["exec"] => daemon::json(&json!({"Id": exec_of(container)}).to_string()),
            ["stats"] => daemon::json(&json!({"id": container.id, "name": container.name, "pids_stats": {}}).to_string()),
            ["logs"] => Reply::Close(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                    .to_vec(),
            ),
            _ => Reply::Keep(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        }
    }

    /// Answers a request.
    pub(crate) fn answer(&self, request: &str) -> Reply {
        let target = request.split(' ').nth(1).unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.split('/').skip(2).collect();
        let one = |names: Vec<(String, String)>, document: &dyn Fn(usize) -> Value, text: &str| {
            let bare = text.trim_start_matches("sha256:");
            let found = names.iter().position(|(id, name)| id.starts_with(bare) || *name == text);
            found.map_or_else(absent, |number| daemon::json(&document(number).to_string()))
        };
        let numbers = |kind: char, count: usize, name: &dyn Fn(usize) -> String| -> Vec<(String, String)> {
            (0..count).map(|number| (id_of(kind, number), name(number))).collect()
        };
        match parts.as_slice() {
            ["containers", "json"] => self.list(query),
            ["containers", name, rest @ ..] => self.of_container(name, rest),
            ["exec", id, "json"] => match self.containers.iter().find(|container| exec_of(container) == *id) {
                Some(container) => {
                    daemon::json(&json!({"ID": id, "ContainerID": container.id, "Running": true}).to_string())
                }
                None => absent(),
            },
            ["images", "json"] => list_of(IMAGES, |number| self.image(number)),
            ["images", name, _] => one(numbers('i', IMAGES, &image_name), &|number| self.image(number), name),
            ["volumes"] => {
                let volumes: Vec<Value> = (0..VOLUMES).map(|number| self.volume(number)).collect();
                daemon::json(&json!({"Volumes": volumes, "Warnings": null}).to_string())
            }
            ["volumes", name] => one(
                (0..VOLUMES).map(|number| (volume_name(number), volume_name(number))).collect(),
                &|number| self.volume(number),
                name,
            ),
            ["networks"] => list_of(NETWORKS, |number| self.network(number, false)),
            ["networks", name] => {
                one(numbers('n', NETWORKS, &network_name), &|number| self.network(number, true), name)
            }
            ["system", "df"] => daemon::json(&self.usage().to_string()),
            ["info"] => daemon::json(&self.info().to_string()),
            ["events"] => self.events(),
            _ => absent(),
        }
    }
}

fn list_of(count: usize, document: impl Fn(usize) -> Value) -> Reply {
    daemon::json(&json!((0..count).map(document).collect::<Vec<_>>()).to_string())
}

fn absent() -> Reply {
    daemon::with_status("404 Not Found", r#"{"message":"No such thing: canary"}"#)
}

/// A value of a query, decoded.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'%' => {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
                rest = &after[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}
