//! What an engine has: generated containers, and what they use and what names them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

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

    /// Whether one of so many times has come.
    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of several.
    pub(crate) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// This many hexadecimal digits.
    pub(crate) fn hex(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b"0123456789abcdef"[self.below(16)])).collect()
    }
}

pub(crate) type Labels = BTreeMap<String, String>;

/// Labels of these keys and values.
pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A container.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    /// What it was called first, if it was renamed.
    pub(crate) old_name: Option<String>,
    /// The image as its maker wrote it, and its id.
    pub(crate) image: (String, String),
    pub(crate) labels: Labels,
    pub(crate) state: &'static str,
    pub(crate) health: &'static str,
    pub(crate) exit_code: usize,
    /// The names of its volumes.
    pub(crate) volumes: Vec<String>,
    /// The ids and names of its networks.
    pub(crate) networks: Vec<(String, String)>,
    /// The ports in it and on the host.
    pub(crate) ports: Vec<(usize, usize)>,
    /// The names of the containers that are linked to it.
    pub(crate) links: Vec<String>,
    pub(crate) created: usize,
}

/// An image.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Its id without the algorithm.
    pub(crate) id: String,
    pub(crate) tags: Vec<String>,
    pub(crate) labels: Labels,
    /// The id of the image that it is made of.
    pub(crate) parent: Option<String>,
    pub(crate) created: usize,
}

/// A volume.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) labels: Labels,
}

/// A network.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) driver: &'static str,
}

/// A service of a swarm, with one task.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    /// The id of its task.
    pub(crate) task: String,
}

/// All that an engine has.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) containers: Vec<Container>,
    pub(crate) images: Vec<Image>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) networks: Vec<Network>,
    pub(crate) services: Vec<Service>,
}

/// The label of the containers that clients see.
pub(crate) const PROJECT: &str = "com.docker.compose.project";

/// How well a container can be.
const HEALTH: [&str; 4] = ["none", "healthy", "unhealthy", "starting"];

/// The node of all tasks.
pub(crate) const NODE: &str = "node0000000000000000000aa";

/// The exec of a container.
pub(crate) fn exec_of(container: &Container) -> String {
    container.id.chars().rev().collect()
}

impl Container {
    /// A container with a name and labels, generated otherwise. It uses what the world has.
    pub(crate) fn generated(
        numbers: &mut Numbers,
        world: &World,
        name: &str,
        pairs: &[(&str, &str)],
        created: usize,
    ) -> Self {
        let mut labels = labels(pairs);
        // Some lists are longer than a chunk.
        let longest = if numbers.one_in(8) { 2000 } else { 60 };
        let length = 1 + numbers.below(longest);
        labels.insert("note".to_owned(), numbers.hex(length));
        let image = numbers.of(&world.images).clone();
        let some = |numbers: &mut Numbers| numbers.one_in(3);
        let volumes = world.volumes.iter().filter(|_| some(numbers)).map(|volume| volume.name.clone()).collect();
        let networks: BTreeMap<String, String> = world
            .networks
            .iter()
            .filter(|_| some(numbers))
            .map(|network| (network.name.clone(), network.id.clone()))
            .collect();
        let state = *numbers.of(&["running", "running", "exited", "paused", "created"]);
        Self {
            id: numbers.hex(64),
            name: name.to_owned(),
            old_name: None,
            image: (image.tags.first().cloned().unwrap_or_else(|| format!("sha256:{}", image.id)), image.id),
            labels,
            state,
            health: if state == "running" { *numbers.of(&HEALTH) } else { "none" },
            exit_code: if state == "exited" { numbers.below(3) } else { 0 },
            volumes,
            networks: networks.into_iter().map(|(name, id)| (id, name)).collect(),
            ports: if some(numbers) { vec![(80, 8000 + numbers.below(5))] } else { Vec::new() },
            links: Vec::new(),
            created,
        }
    }

    /// All names, as the engine keeps them: its own, and those of links to it.
    pub(crate) fn names(&self) -> Vec<String> {
        let aliases = self.links.iter().map(|name| format!("/{name}/alias"));
        [format!("/{}", self.name)].into_iter().chain(aliases).collect()
    }

    fn endpoints(&self) -> Value {
        let of = |(id, name): &(String, String)| (name.clone(), json!({"NetworkID": id, "IPAddress": ""}));
        self.networks.iter().map(of).collect::<Map<String, Value>>().into()
    }

    fn mounts(&self) -> Vec<Value> {
        let of =
            |name: &String| json!({"Type": "volume", "Name": name, "Destination": format!("/mnt/{name}"), "RW": true});
        self.volumes.iter().map(of).collect()
    }

    /// The answer of its inspect operation.
    pub(crate) fn document(&self) -> Value {
        json!({
            "Id": self.id, "Created": "2026-01-01T00:00:00Z", "Path": "sleep", "Args": ["1"],
            "State": {"Status": self.state, "Running": self.is_running(), "ExitCode": self.exit_code},
            "Image": format!("sha256:{}", self.image.1), "Name": format!("/{}", self.name), "RestartCount": 0,
            "HostConfig": {"NetworkMode": "default", "Links": self.links, "VolumesFrom": null},
            "Mounts": self.mounts(), "Config": {"Image": self.image.0, "Labels": self.labels, "Env": ["A=b"]},
            "NetworkSettings": {"Networks": self.endpoints()},
        })
    }

    /// Whether it runs. A paused one does.
    pub(crate) fn is_running(&self) -> bool {
        ["running", "paused"].contains(&self.state)
    }

    /// What has happened to it, in order.
    fn events(&self) -> Vec<Value> {
        let of = |name: &str, action: &str, more: &[(&str, &str)]| {
            let mut attributes = self.labels.clone();
            attributes.extend(labels(&[("image", &self.image.0), ("name", name)]));
            attributes.extend(labels(more));
            event("container", action, &self.id, json!(attributes))
        };
        let first = self.old_name.as_ref().unwrap_or(&self.name);
        let mut events = vec![of(first, "create", &[])];
        events.extend(self.networks.iter().map(|(id, name)| {
            event("network", "connect", id, json!({"container": self.id, "name": name, "type": "bridge"}))
        }));
        if let Some(old) = &self.old_name {
            events.push(of(&self.name, "rename", &[("oldName", &format!("/{old}"))]));
        }
        for action in ["start", "exec_create: sh", "exec_start: sh"] {
            events.push(of(&self.name, action, &[]));
        }
        events.extend(
            self.volumes
                .iter()
                .map(|name| event("volume", "mount", name, json!({"container": self.id, "driver": "local"}))),
        );
        events.push(of(&self.name, "die", &[("exitCode", &self.exit_code.to_string())]));
        events
    }
}

/// What an engine says of something that happens.
fn event(kind: &str, action: &str, actor: &str, attributes: Value) -> Value {
    json!({"Type": kind, "Action": action, "Actor": {"ID": actor, "Attributes": attributes},
           "scope": "local", "time": 1_700_000_000, "timeNano": 1_700_000_000_000_000_000_u64})
}

impl World {
    /// What both worlds have, and more. Containers are in the order in which they were made.
    pub(crate) fn with(&self, more: &Self) -> Self {
        let mut containers = [self.containers.as_slice(), &more.containers].concat();
        containers.sort_by_key(|container| container.created);
        Self {
            containers,
            images: [self.images.as_slice(), &more.images].concat(),
            volumes: [self.volumes.as_slice(), &more.volumes].concat(),
            networks: [self.networks.as_slice(), &more.networks].concat(),
            services: [self.services.as_slice(), &more.services].concat(),
        }
    }

    /// How many containers are so.
    pub(crate) fn count(&self, is_so: impl Fn(&Container) -> bool) -> usize {
        self.containers.iter().filter(|container| is_so(container)).count()
    }

    /// The element of a list of containers. The image has its name only while the name is its own: `refreshImage` in
    /// `daemon/list.go` of moby.
    pub(crate) fn summary(&self, container: &Container) -> Value {
        let id = format!("sha256:{}", container.image.1);
        let has_name =
            self.images.iter().any(|image| image.id == container.image.1 && image.tags.contains(&container.image.0));
        json!({
            "Id": container.id, "Names": container.names(), "Image": if has_name { &container.image.0 } else { &id },
            "ImageID": id, "Command": "sleep 1", "Created": container.created,
            "Ports": container.ports.iter().map(|(private, public)| json!({"PrivatePort": private, "PublicPort": public, "Type": "tcp"})).collect::<Vec<_>>(),
            "Labels": container.labels, "State": container.state, "Status": "Up",
            "HostConfig": {"NetworkMode": "default"},
            "NetworkSettings": {"Networks": container.endpoints()}, "Mounts": container.mounts(),
        })
    }

    pub(crate) fn image(&self, image: &Image) -> Value {
        let parent = image.parent.as_ref().map(|id| format!("sha256:{id}")).unwrap_or_default();
        let users: Vec<&str> =
            self.containers.iter().filter(|one| one.image.1 == image.id).map(|one| one.id.as_str()).collect();
        json!({"Id": format!("sha256:{}", image.id), "ParentId": parent, "RepoTags": image.tags, "RepoDigests": [],
               "Created": image.created, "Size": 1, "SharedSize": -1, "VirtualSize": 1, "Labels": image.labels,
               "Containers": users.len(),
               "Manifests": [{"ID": "m", "Kind": "image", "ImageData": {"Containers": users}}]})
    }

    /// The answer of the inspect operation of an image.
    pub(crate) fn image_document(image: &Image) -> Value {
        let parent = image.parent.as_ref().map(|id| format!("sha256:{id}")).unwrap_or_default();
        json!({"Id": format!("sha256:{}", image.id), "Parent": parent, "RepoTags": image.tags, "RepoDigests": [],
               "Created": "2026-01-01T00:00:00Z", "Size": 1, "Config": {"Labels": image.labels}})
    }

    /// The layers of an image. Those of images that it is made of have their ids and tags: `daemon/images/image_history.go` of
    /// moby.
    pub(crate) fn history(&self, image: &Image) -> Value {
        let mut layers = Vec::new();
        let mut next = Some(image);
        for number in 0..3 {
            let id = next.map_or_else(|| "<missing>".to_owned(), |image| format!("sha256:{}", image.id));
            layers.push(json!({"Id": id, "Tags": next.map(|image| &image.tags), "Created": number, "CreatedBy": "RUN x", "Size": 1, "Comment": ""}));
            next = next.and_then(|image| self.images.iter().find(|one| Some(&one.id) == image.parent.as_ref()));
        }
        layers.into()
    }

    pub(crate) fn volume(&self, volume: &Volume) -> Value {
        let users = self.count(|container| container.volumes.contains(&volume.name));
        json!({"Name": volume.name, "Driver": "local", "Mountpoint": "/m", "Labels": volume.labels, "Scope": "local",
               "Options": null, "UsageData": {"RefCount": users, "Size": 1}})
    }

    pub(crate) fn network(&self, network: &Network, with_members: bool) -> Value {
        let is_on = |container: &&Container| container.networks.iter().any(|(id, _)| *id == network.id);
        let members: Map<String, Value> = self
            .containers
            .iter()
            .filter(|container| with_members && is_on(container))
            .map(|container| (container.id.clone(), json!({"Name": container.name, "IPv4Address": "10.0.0.1/8"})))
            .collect();
        json!({"Name": network.name, "Id": network.id, "Created": "2026-01-01T00:00:00Z", "Scope": "local",
               "Driver": network.driver, "Containers": members, "Options": {}, "Labels": network.labels,
               "Peers": [{"Name": format!("node{}", self.containers.len()), "IP": "10.0.0.1"}]})
    }

    /// A service. The engine counts the tasks that run, which all containers count as for a hidden service.
    pub(crate) fn service(&self, service: &Service, with_status: bool) -> Value {
        let mut document = json!({"ID": service.id, "Version": {"Index": 1}, "CreatedAt": "2026-01-01T00:00:00Z",
               "UpdatedAt": "2026-01-01T00:00:00Z",
               "Spec": {"Name": service.name, "Labels": service.labels, "Mode": {"Replicated": {"Replicas": 1}}}});
        if with_status {
            let running = if service.labels.contains_key("hide") { self.count(Container::is_running) } else { 1 };
            document["ServiceStatus"] = json!({"RunningTasks": running, "DesiredTasks": 1});
        }
        document
    }

    /// The task of a service. Its container is the first one. It is on the first network, of which it has the whole document.
    pub(crate) fn task(&self, service: &Service) -> Value {
        let attached = self.networks.first().map(|network| {
            json!({"Network": {"ID": network.id, "Version": {"Index": 1}, "Spec": {"Name": network.name, "Labels": network.labels},
                   "DriverState": {"Name": network.driver, "Options": {"canary-option": "canary"}},
                   "IPAMOptions": {"Configs": [{"Subnet": "10.9.0.0/24"}]}}, "Addresses": ["10.9.0.5/24"]})
        });
        json!({"NetworksAttachments": attached.into_iter().collect::<Vec<_>>(), "ID": service.task, "Version": {"Index": 1}, "ServiceID": service.id, "NodeID": NODE, "Slot": 1,
               "Spec": {"ContainerSpec": {"Image": "image0:1"}}, "DesiredState": "running",
               "Status": {"State": "running", "ContainerStatus": {"ContainerID": self.containers.first().map(|one| &one.id)}}})
    }

    pub(crate) fn usage(&self) -> Value {
        let images: Vec<Value> = self.images.iter().map(|image| self.image(image)).collect();
        let volumes: Vec<Value> = self.volumes.iter().map(|volume| self.volume(volume)).collect();
        let containers: Vec<Value> = self.containers.iter().map(|container| self.summary(container)).collect();
        let running = self.count(Container::is_running);
        json!({"LayersSize": self.images.len(), "Images": images, "Containers": containers, "Volumes": volumes, "BuildCache": [],
               "ContainerUsage": {"TotalCount": containers.len(), "ActiveCount": running, "Items": containers},
               "ImageUsage": {"TotalCount": images.len(), "ActiveCount": running, "Items": images},
               "VolumeUsage": {"TotalCount": volumes.len(), "Reclaimable": containers.len(), "Items": volumes}})
    }

    pub(crate) fn info(&self) -> Value {
        let running = self.count(|container| container.state == "running");
        let paused = self.count(|container| container.state == "paused");
        let all = self.containers.len();
        json!({"ID": "x", "Containers": all, "ContainersRunning": running, "ContainersPaused": paused,
               "ContainersStopped": all - running - paused, "Images": self.images.len(), "NFd": 20 + running,
               "NGoroutines": 50 + all, "NCPU": 2, "OperatingSystem": "Debian", "Driver": "aufs",
               "DriverStatus": [["Backing Filesystem", "extfs"], ["Dirs", (self.images.len() + all).to_string()]]})
    }

    /// All that has happened.
    pub(crate) fn events(&self) -> Vec<Value> {
        let of_images = self.images.iter().flat_map(|image| {
            let of_tag = |tag: &String| {
                let mut attributes = image.labels.clone();
                attributes.insert("name".to_owned(), tag.clone());
                event("image", "pull", tag, json!(attributes))
            };
            // Neither engine finds the labels of an image that is gone.
            let id = format!("sha256:{}", image.id);
            let deleted = event("image", "delete", &id, json!({ "name": id }));
            image.tags.iter().map(of_tag).chain([deleted]).collect::<Vec<_>>()
        });
        let of_volumes =
            self.volumes.iter().map(|volume| event("volume", "create", &volume.name, json!({"driver": "local"})));
        let of_networks = self.networks.iter().map(|network| {
            event("network", "create", &network.id, json!({"name": network.name, "type": network.driver}))
        });
        let of_services =
            self.services.iter().map(|service| event("service", "create", &service.id, json!({"name": service.name})));
        let of_containers = self.containers.iter().flat_map(Container::events);
        let prune = event("container", "prune", "", json!({"reclaimed": self.containers.len().to_string()}));
        of_images.chain(of_volumes).chain(of_networks).chain(of_services).chain(of_containers).chain([prune]).collect()
    }
}
