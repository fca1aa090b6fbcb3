//! How the engine of these tests finds what a request names, and what it answers.

use serde_json::{Value, json};

use super::world::{Container, Image, Network, Service, World, exec_of};
use crate::support::daemon::{self, Reply};

/// What the engine finds under a name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<T> {
    One(T),
    None,
    /// The start of several ids, or the name of several objects.
    Several,
}

impl<T> Found<T> {
    /// The one that `is_it` says, or else the only one that it says next.
    fn first<'o>(objects: &'o [T], ways: &[&dyn Fn(&T) -> bool]) -> Found<&'o T> {
        for is_it in ways {
            let mut found = objects.iter().filter(|object| is_it(object));
            match (found.next(), found.next()) {
                (Some(one), None) => return Found::One(one),
                (Some(_), Some(_)) => return Found::Several,
                (None, _) => {}
            }
        }
        Found::None
    }
}

/// Why the engine refuses a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failure {
    /// What it names does not exist.
    Absent,
    /// It is wrong.
    Invalid,
    /// Something else is in the way.
    Conflict,
}

impl Failure {
    fn reply(self) -> Reply {
        let (status, text) = match self {
            Self::Absent => ("404 Not Found", "No such thing: canary"),
            Self::Invalid => ("400 Bad Request", "invalid: canary"),
            Self::Conflict => ("409 Conflict", "in use by canary"),
        };
        daemon::with_status(status, &json!({ "message": text }).to_string())
    }
}

/// The value of a parameter, decoded.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
}

/// Whether a parameter is true.
pub(crate) fn flag(query: &str, name: &str) -> bool {
    parameter(query, name).is_some_and(|value| !["", "0", "false"].contains(&value.as_str()))
}

pub(super) fn decoded(text: &str) -> String {
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

impl World {
    /// A container by its whole id, a name of its own or of a link, or the start of its id: `GetContainer` in
    /// `daemon/container.go` of moby.
    pub(crate) fn find(&self, text: &str) -> Found<&Container> {
        let bare = text.trim_start_matches('/');
        let is_named = |one: &Container| one.names().iter().any(|name| name.trim_start_matches('/') == bare);
        Found::first(&self.containers, &[&|one| one.id == text, &is_named, &|one| one.id.starts_with(text)])
    }

    /// An image by a reference or the start of its id: `daemon/images/image.go`.
    pub(crate) fn find_image(&self, text: &str) -> Found<&Image> {
        let tagged = if text.contains(':') { text.to_owned() } else { format!("{text}:latest") };
        let bare = text.strip_prefix("sha256:").unwrap_or(text).to_owned();
        Found::first(
            &self.images,
            &[&|one| one.id == bare, &|one| one.tags.contains(&tagged), &|one| {
                !bare.is_empty() && one.id.starts_with(&bare)
            }],
        )
    }

    /// A network by its whole id, its name, or the start of its id: `FindNetwork` in `daemon/network.go`.
    pub(crate) fn find_network(&self, text: &str) -> Found<&Network> {
        Found::first(&self.networks, &[&|one| one.id == text, &|one| one.name == text, &|one| one.id.starts_with(text)])
    }

    /// A service by its whole id, its name, or the start of its id: `getService` in `daemon/cluster/helpers.go`.
    pub(crate) fn find_service(&self, text: &str) -> Found<&Service> {
        Found::first(&self.services, &[&|one| one.id == text, &|one| one.name == text, &|one| one.id.starts_with(text)])
    }

    /// Answers a request.
    pub(crate) fn answer(&self, request: &str) -> Reply {
        let mut words = request.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<String> = path.split('/').skip(2).map(decoded).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let answered = match method {
            "GET" => self.read(&parts, query),
            _ => self.write(method, &parts, query),
        };
        answered.unwrap_or_else(Failure::reply)
    }

    fn read(&self, parts: &[&str], query: &str) -> Result<Reply, Failure> {
        Ok(match parts {
            ["containers", "json"] => {
                in_pieces(&self.listed(query)?.iter().map(|one| self.summary(one)).collect::<Vec<_>>())
            }
            ["containers", name @ .., "json"] => json_of(one(self.find(&name.join("/")))?.document()),
            ["containers", name, rest] => of_container(one(self.find(name))?, rest),
            ["exec", id, "json"] => {
                let container = self.containers.iter().find(|container| exec_of(container) == *id);
                let container = container.ok_or(Failure::Absent)?;
                json_of(json!({"ID": id, "ContainerID": container.id, "Running": true}))
            }
            ["images", "json"] => {
                in_pieces(&self.listed_images(query)?.iter().map(|one| self.image(one)).collect::<Vec<_>>())
            }
            ["images", name @ .., "json"] => json_of(Self::image_document(one(self.find_image(&name.join("/")))?)),
            ["images", name @ .., "history"] => json_of(self.history(one(self.find_image(&name.join("/")))?)),
            ["volumes"] => {
                let volumes: Vec<Value> = self.listed_volumes(query)?.iter().map(|one| self.volume(one)).collect();
                json_of(json!({"Volumes": volumes, "Warnings": null}))
            }
            ["volumes", name] => {
                let mut volume = self.volume(one(Found::first(&self.volumes, &[&|one| one.name == *name]))?);
                volume.as_object_mut().unwrap().remove("UsageData");
                json_of(volume)
            }
            ["networks"] => {
                in_pieces(&self.listed_networks(query)?.iter().map(|one| self.network(one, false)).collect::<Vec<_>>())
            }
            ["networks", name] => json_of(self.network(one(self.find_network(name))?, true)),
            ["services"] => {
                let with_status = flag(query, "status");
                let services = self.listed_services(query)?;
                in_pieces(&services.iter().map(|one| self.service(one, with_status)).collect::<Vec<_>>())
            }
            ["services", name] => json_of(self.service(one(self.find_service(name))?, false)),
            ["tasks"] => in_pieces(&self.listed_tasks(query)?.iter().map(|one| self.task(one)).collect::<Vec<_>>()),
            ["tasks", id] => json_of(self.task(one(Found::first(&self.services, &[&|one| one.task.starts_with(id)]))?)),
            ["system", "df"] => json_of(self.usage()),
            ["info"] => json_of(self.info()),
            ["events"] => lines(&self.listed_events(query)?),
            ["nodes" | "secrets" | "configs" | "plugins"] => json_of(json!([])),
            _ => return Err(Failure::Absent),
        })
    }

    /// What a write does in the end is not seen: the next request finds the same world.
    fn write(&self, method: &str, parts: &[&str], query: &str) -> Result<Reply, Failure> {
        let unless = |is_in_the_way: bool| if is_in_the_way { Err(Failure::Conflict) } else { Ok(empty()) };
        match (method, parts) {
            ("POST", ["containers", name, "rename"]) => {
                one(self.find(name))?;
                let wanted = format!("/{}", parameter(query, "name").unwrap_or_default());
                unless(self.containers.iter().any(|container| container.names().contains(&wanted)))
            }
            ("POST", ["containers" | "images" | "volumes" | "networks", "prune"]) => {
                Ok(json_of(json!({"SpaceReclaimed": self.containers.len()})))
            }
            ("POST", ["containers", name, "exec"]) => Ok(json_of(json!({"Id": exec_of(one(self.find(name))?)}))),
            ("POST", ["containers", name, _]) => one(self.find(name)).map(|_| empty()),
            ("DELETE", ["containers", name @ ..]) => one(self.find(&name.join("/"))).map(|_| empty()),
            ("DELETE", ["images", name @ ..]) => {
                let image = one(self.find_image(&name.join("/")))?;
                unless(self.count(|container| container.image.1 == image.id) > 0)
            }
            ("DELETE", ["volumes", name]) => {
                one(Found::first(&self.volumes, &[&|one| one.name == *name]))?;
                unless(self.count(|container| container.volumes.iter().any(|volume| volume == name)) > 0)
            }
            ("DELETE", ["networks", name]) => {
                let network = one(self.find_network(name))?;
                unless(self.count(|container| container.networks.iter().any(|(id, _)| *id == network.id)) > 0)
            }
            _ => Err(Failure::Absent),
        }
    }
}

/// The only object that was found.
fn one<T>(found: Found<T>) -> Result<T, Failure> {
    match found {
        Found::One(object) => Ok(object),
        Found::None => Err(Failure::Absent),
        Found::Several => Err(Failure::Invalid),
    }
}

/// What a container answers beside its document.
fn of_container(container: &Container, what: &str) -> Reply {
    match what {
        "top" => json_of(json!({"Titles": ["PID"], "Processes": [["1"]]})),
        "changes" => json_of(json!([{"Path": "/a", "Kind": 0}])),
        "stats" => json_of(json!({"id": container.id, "name": container.name, "pids_stats": {}})),
        "logs" => Reply::Close(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_vec(),
        ),
        _ => empty(),
    }
}

fn empty() -> Reply {
    Reply::Keep(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())
}

fn json_of(document: Value) -> Reply {
    daemon::json(&document.to_string())
}

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

/// An array in chunks that end anywhere.
fn in_pieces(elements: &[Value]) -> Reply {
    let body = serde_json::to_string(elements).unwrap();
    let mut reply = CHUNKED.to_owned().into_bytes();
    for piece in body.as_bytes().chunks(1000) {
        reply.extend(format!("{:x}\r\n", piece.len()).bytes());
        reply.extend(piece);
        reply.extend(b"\r\n");
    }
    reply.extend(b"0\r\n\r\n");
    Reply::Keep(reply)
}

/// A stream that ends.
fn lines(records: &[Value]) -> Reply {
    let chunk = |record: &Value| {
        let line = format!("{record}\n");
        format!("{:x}\r\n{line}\r\n", line.len())
    };
    Reply::Close(format!("{CHUNKED}{}0\r\n\r\n", records.iter().map(chunk).collect::<String>()).into_bytes())
}
