//! Answers without hidden objects.
//!
//! A list loses the elements of hidden objects. In a document, the numbers that count objects are computed anew from what is
//! visible, or removed where that cannot be done, and references to containers that may be hidden are blanked.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::facts::{own_name, read_container_summary, read_object, refers_to_container, service_of_task};
use super::{Surroundings, VisibleObjects};
use crate::api::objects::{ObjectAnswer, ObjectKind};

/// How one answer is filtered.
#[derive(Clone, Debug)]
pub struct ObjectView {
    pub(super) visibility: Arc<VisibleObjects>,
    answer: ObjectAnswer,
    pub(super) around: Surroundings,
    /// How many more elements of a list are shown.
    left: Option<usize>,
}

/// What a client sees of an element of a list, or of a record of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElementSeen {
    /// Nothing.
    Hidden,
    /// All of it.
    Whole,
    /// This instead.
    Rewritten(Vec<u8>),
}

impl ObjectView {
    /// Filters an answer, given what must be known beside it. Of a list of containers, at most `limit` are shown.
    pub fn new(
        visibility: Arc<VisibleObjects>,
        answer: ObjectAnswer,
        around: Surroundings,
        limit: Option<usize>,
    ) -> Self {
        Self { visibility, answer, around, left: limit }
    }

    /// What is seen of the next element of a list.
    pub fn element(&mut self, element: &[u8]) -> ElementSeen {
        match self.answer {
            ObjectAnswer::Containers => self.container(element),
            ObjectAnswer::Images => {
                let is_visible = self.shows(ObjectKind::Image, element);
                if is_visible { rewritten(element, |image| self.image(image)) } else { ElementSeen::Hidden }
            }
            ObjectAnswer::Networks => {
                let is_visible = self.shows(ObjectKind::Network, element);
                let members = |network: &mut Map<String, Value>| {
                    network.remove("Containers");
                    forget_swarm(network);
                };
                if is_visible { rewritten(element, members) } else { ElementSeen::Hidden }
            }
            ObjectAnswer::History => self.layer(element),
            ObjectAnswer::Services if self.shows(ObjectKind::Service, element) => self.service(element),
            ObjectAnswer::Tasks if self.shows_task(element) => rewritten(element, |task| self.task(task)),
            ObjectAnswer::Services
            | ObjectAnswer::Tasks
            | ObjectAnswer::Container
            | ObjectAnswer::Image
            | ObjectAnswer::Volumes
            | ObjectAnswer::Volume
            | ObjectAnswer::Network
            | ObjectAnswer::Task
            | ObjectAnswer::Events
            | ObjectAnswer::Usage
            | ObjectAnswer::Info => ElementSeen::Hidden,
        }
    }

    /// The names of other containers in the document of a container, of which it must be known whether they are visible. None of
    /// any other document.
    pub fn unknown_references(&self, document: &[u8]) -> HashSet<String> {
        if self.answer == ObjectAnswer::Container { containers_referred_to(document) } else { HashSet::new() }
    }

    /// Notes that containers with these names are visible.
    pub fn know_references(&mut self, visible: HashSet<String>) {
        self.around.references = visible;
    }

    /// What is seen of a document. `None` if it cannot be read.
    pub fn document(&self, document: &[u8]) -> Option<Vec<u8>> {
        let mut value: Value = serde_json::from_slice(document).ok()?;
        let members = value.as_object_mut()?;
        match self.answer {
            ObjectAnswer::Container => forget_other_containers(members, &self.around.references),
            ObjectAnswer::Image => self.image(members),
            ObjectAnswer::Volumes => self.volumes(members),
            ObjectAnswer::Volume => self.volume(members),
            ObjectAnswer::Network => self.network(members),
            ObjectAnswer::Task => self.task(members),
            ObjectAnswer::Usage => self.usage(members),
            ObjectAnswer::Info => self.info(members),
            ObjectAnswer::Containers
            | ObjectAnswer::Images
            | ObjectAnswer::History
            | ObjectAnswer::Networks
            | ObjectAnswer::Services
            | ObjectAnswer::Tasks
            | ObjectAnswer::Events => return None,
        }
        serde_json::to_vec(&value).ok()
    }

    fn container(&mut self, element: &[u8]) -> ElementSeen {
        let Some(container) = read_container_summary(element) else { return ElementSeen::Hidden };
        if !self.visibility.shows_listed(&container) || self.left == Some(0) {
            return ElementSeen::Hidden;
        }
        let seen = if container.refers { rewritten(element, forget_in_summary) } else { ElementSeen::Whole };
        if seen != ElementSeen::Hidden {
            self.left = self.left.map(|left| left - 1);
        }
        seen
    }

    /// Whether an object of a list is visible.
    pub(super) fn shows(&self, kind: ObjectKind, element: &[u8]) -> bool {
        let Some(object) = read_object(kind, element) else { return !self.visibility.restricts(kind) };
        // Of the references of an image, the answer may have only some.
        if kind == ObjectKind::Image
            && let Some(images) = &self.around.images
        {
            return images.contains(&object.id);
        }
        let is_used = self.around.containers.as_ref().is_some_and(|containers| containers.uses(kind, &object));
        self.visibility.shows(kind, &object.facts, is_used)
    }

    /// A layer of an image: one of those below the first is known by the id and the tags of the image that it was made as.
    fn layer(&mut self, element: &[u8]) -> ElementSeen {
        let is_first = self.left != Some(0);
        self.left = Some(0);
        if is_first {
            return ElementSeen::Whole;
        }
        rewritten(element, |layer| {
            set_if_there(layer, "Id", json!("<missing>"));
            set_if_there(layer, "Tags", Value::Null);
        })
    }

    /// A service: how many of its tasks run, which is what their containers do.
    fn service(&self, element: &[u8]) -> ElementSeen {
        if self.visibility.restricts(ObjectKind::Service) {
            return ElementSeen::Whole;
        }
        rewritten(element, |service| {
            service.remove("ServiceStatus");
        })
    }

    fn shows_task(&self, element: &[u8]) -> bool {
        let Some(services) = &self.around.services else { return !self.visibility.restricts(ObjectKind::Service) };
        service_of_task(element).is_some_and(|service| services.contains(&service))
    }

    /// An image: how many containers use it, and what it shares with others.
    fn image(&self, image: &mut Map<String, Value>) {
        let id = image.get("Id").and_then(Value::as_str).unwrap_or_default();
        let users = self.around.containers.as_ref().map(|containers| containers.images.get(id).copied().unwrap_or(0));
        let count = users.map_or(json!(-1), |users| json!(users));
        // An engine that counts them not says -1.
        if image.get("Containers").is_some_and(|count| count.as_i64() != Some(-1)) {
            image.insert("Containers".to_owned(), count);
        }
        if let Some(Value::Array(manifests)) = image.get_mut("Manifests") {
            manifests.iter_mut().filter_map(|manifest| manifest.get_mut("ImageData")).for_each(|data| self.users(data));
        }
        if self.visibility.restricts(ObjectKind::Image) {
            set_if_there(image, "SharedSize", json!(-1));
            for name in ["ParentId", "Parent"] {
                set_if_there(image, name, json!(""));
            }
        }
    }

    /// The ids of the containers that use a platform of an image.
    fn users(&self, data: &mut Value) {
        if let Some(Value::Array(ids)) = data.get_mut("Containers") {
            let containers = self.around.containers.as_ref();
            let is_visible = |id: &str| containers.is_some_and(|containers| containers.has(id));
            ids.retain(|id| id.as_str().is_some_and(is_visible));
        }
    }

    fn volumes(&self, document: &mut Map<String, Value>) {
        let Some(Value::Array(volumes)) = document.get_mut("Volumes") else { return };
        volumes.retain_mut(|volume| {
            let is_visible = self.shows_value(ObjectKind::Volume, volume);
            if let Value::Object(volume) = volume {
                self.volume(volume);
            }
            is_visible
        });
    }

    /// A volume: how many containers use it. Where they are not known, that is left out.
    fn volume(&self, volume: &mut Map<String, Value>) {
        match &self.around.containers {
            None => {
                volume.remove("UsageData");
            }
            Some(containers) => {
                let name = volume.get("Name").and_then(Value::as_str).unwrap_or_default();
                let users = containers.volumes.get(name).copied().unwrap_or(0);
                if let Some(Value::Object(data)) = volume.get_mut("UsageData") {
                    set_if_there(data, "RefCount", json!(users));
                }
            }
        }
    }

    fn shows_value(&self, kind: ObjectKind, value: &Value) -> bool {
        serde_json::to_vec(value).is_ok_and(|element| self.shows(kind, &element))
    }

    fn network(&self, network: &mut Map<String, Value>) {
        if let Some(Value::Object(members)) = network.get_mut("Containers") {
            let containers = self.around.containers.as_ref();
            members.retain(|id, _| containers.is_some_and(|containers| containers.has(id)));
        }
        forget_swarm(network);
        // How many addresses are in use.
        network.remove("Status");
        if let Some(Value::Object(ipam)) = network.get_mut("IPAM") {
            ipam.remove("Status");
        }
    }

    /// A task tells the id of its container.
    fn task(&self, task: &mut Map<String, Value>) {
        if self.visibility.restricts(ObjectKind::Container)
            && let Some(Value::Object(status)) = task.get_mut("Status")
        {
            status.remove("ContainerStatus");
        }
    }

    fn info(&self, info: &mut Map<String, Value>) {
        let Some(containers) = &self.around.containers else { return info.clear() };
        if self.visibility.restricts(ObjectKind::Container) {
            let stopped = containers.ids.len() - containers.running - containers.paused;
            for (name, count) in [
                ("Containers", containers.ids.len()),
                ("ContainersRunning", containers.running),
                ("ContainersPaused", containers.paused),
                ("ContainersStopped", stopped),
            ] {
                set_if_there(info, name, json!(count));
            }
            // They grow with every container that runs.
            for name in ["NFd", "NGoroutines", "NEventsListener"] {
                info.remove(name);
            }
        }
        // Some storage drivers count the layers of all images and containers, and the space that they take.
        if let Some(Value::Array(rows)) = info.get_mut("DriverStatus") {
            rows.retain(|row| row.get(0).and_then(Value::as_str).is_some_and(|name| SETTINGS.contains(&name)));
        }
        if self.visibility.restricts(ObjectKind::Image) {
            if self.visibility.is_by_use(ObjectKind::Image) {
                set_if_there(info, "Images", json!(containers.images.len()));
            } else {
                info.remove("Images");
            }
        }
    }

    fn usage(&self, usage: &mut Map<String, Value>) {
        self.usage_of(ObjectKind::Image, usage, ("Images", "ImageUsage"), |image| self.image(image));
        self.usage_of_containers(usage);
        self.usage_of(ObjectKind::Volume, usage, ("Volumes", "VolumeUsage"), |volume| self.volume(volume));
        if self.visibility.restricts(ObjectKind::Image) {
            usage.remove("LayersSize");
            usage.remove("BuilderSize");
            set_if_there(usage, "BuildCache", json!([]));
            forget_totals(usage, "BuildCacheUsage");
            forget_items(usage, "BuildCacheUsage");
        }
    }

    /// Images or volumes in disk usage, each `forgotten` as far as it tells of containers. `old` and `new` are where old and new
    /// versions of the API have them.
    fn usage_of(
        &self,
        kind: ObjectKind,
        usage: &mut Map<String, Value>,
        (old, new): (&str, &str),
        forgotten: impl Fn(&mut Map<String, Value>),
    ) {
        for_each_list(usage, old, new, |objects| {
            objects.retain_mut(|object| {
                let is_visible = self.shows_value(kind, object);
                if let Value::Object(object) = object {
                    forgotten(object);
                }
                is_visible
            });
        });
        if self.visibility.restricts(kind) || self.visibility.restricts(ObjectKind::Container) {
            forget_totals(usage, new);
        }
    }

    fn usage_of_containers(&self, usage: &mut Map<String, Value>) {
        if !self.visibility.restricts(ObjectKind::Container) {
            return;
        }
        for_each_list(usage, "Containers", "ContainerUsage", |containers| {
            containers.retain_mut(|container| {
                let seen = serde_json::to_vec(container).ok().and_then(|text| read_container_summary(&text));
                if let Value::Object(container) = container {
                    forget_in_summary(container);
                }
                seen.is_some_and(|seen| self.visibility.shows_listed(&seen))
            });
        });
        forget_totals(usage, "ContainerUsage");
    }
}

/// What storage drivers say in `info` that does not depend on images or containers.
const SETTINGS: [&str; 8] = [
    "Backing Filesystem",
    "Supports d_type",
    "Using metacopy",
    "Native Overlay Diff",
    "userxattr",
    "driver-type",
    "Storage Driver",
    "Supports volatile",
];

/// The object in a text, rewritten.
fn rewritten(text: &[u8], rewrite: impl FnOnce(&mut Map<String, Value>)) -> ElementSeen {
    let Ok(mut object) = serde_json::from_slice::<Map<String, Value>>(text) else { return ElementSeen::Hidden };
    rewrite(&mut object);
    serde_json::to_vec(&object).map_or(ElementSeen::Hidden, ElementSeen::Rewritten)
}

/// Sets a member, unless the engine does not write it.
fn set_if_there(object: &mut Map<String, Value>, name: &str, value: Value) {
    if let Some(member) = object.get_mut(name) {
        *member = value;
    }
}

/// Alters a list of disk usage, where old and new versions of the API have it.
fn for_each_list(usage: &mut Map<String, Value>, old: &str, new: &str, mut alter: impl FnMut(&mut Vec<Value>)) {
    if let Some(Value::Array(list)) = usage.get_mut(old) {
        alter(list);
    }
    if let Some(Value::Array(list)) = usage.get_mut(new).and_then(|usage| usage.get_mut("Items")) {
        alter(list);
    }
}

/// Removes the numbers about all objects of a kind.
fn forget_totals(usage: &mut Map<String, Value>, name: &str) {
    if let Some(Value::Object(totals)) = usage.get_mut(name) {
        totals.retain(|name, _| name == "Items");
    }
}

fn forget_items(usage: &mut Map<String, Value>, name: &str) {
    if let Some(Value::Object(totals)) = usage.get_mut(name) {
        totals.remove("Items");
    }
}

/// Removes from a container of a list what refers to others: links to it, and the network that it shares.
fn forget_in_summary(container: &mut Map<String, Value>) {
    if let Some(Value::Array(names)) = container.get_mut("Names") {
        names.retain(|name| name.as_str().is_some_and(|name| own_name(name).is_some()));
    }
    forget_modes(container);
    forget_links(container);
}

/// Removes from a network the tasks of all services on it, and the nodes on which they run.
fn forget_swarm(network: &mut Map<String, Value>) {
    network.remove("Services");
    network.remove("Peers");
}

/// The members of `HostConfig` that may join a namespace of another container.
const MODES: [&str; 7] = ["NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode", "CgroupnsMode", "Cgroup"];

/// The name of the container in a text that refers to one: in a mode, a link, or an entry of `VolumesFrom`.
fn referred_to(text: &str) -> Option<&str> {
    let name = text.strip_prefix("container:").unwrap_or(text).split(':').next()?;
    Some(name.strip_prefix('/').unwrap_or(name)).filter(|name| !name.is_empty())
}

/// The names of the containers that the document of a container refers to, as it writes them.
fn containers_referred_to(document: &[u8]) -> HashSet<String> {
    let mut found = HashSet::new();
    let Ok(Value::Object(mut container)) = serde_json::from_slice(document) else { return found };
    for_each_reference(&mut container, |text| {
        found.extend(referred_to(text).map(str::to_owned));
        true
    });
    found
}

/// Removes from a container what refers to others, except to those that are known to be visible.
fn forget_other_containers(container: &mut Map<String, Value>, visible: &HashSet<String>) {
    for_each_reference(container, |text| referred_to(text).is_some_and(|name| visible.contains(name)));
}

/// Calls `keeps` with every text of a container that refers to another, and blanks those that it does not keep.
fn for_each_reference(container: &mut Map<String, Value>, mut keeps: impl FnMut(&str) -> bool) {
    if let Some(Value::Object(config)) = container.get_mut("HostConfig") {
        for name in MODES {
            if let Some(mode) = config.get_mut(name)
                && mode.as_str().is_some_and(|mode| refers_to_container(mode) && !keeps(mode))
            {
                *mode = json!("");
            }
        }
        for name in ["Links", "VolumesFrom"] {
            keep_in_list(config, name, &mut keeps);
        }
    }
    let networks = container.get_mut("NetworkSettings").and_then(|settings| settings.get_mut("Networks"));
    if let Some(Value::Object(networks)) = networks {
        for endpoint in networks.values_mut().filter_map(Value::as_object_mut) {
            keep_in_list(endpoint, "Links", &mut keeps);
        }
    }
}

/// Leaves in a list what `keeps` says. A list of nothing is null.
fn keep_in_list(object: &mut Map<String, Value>, name: &str, keeps: &mut impl FnMut(&str) -> bool) {
    let Some(list) = object.get_mut(name) else { return };
    match list {
        Value::Array(texts) => {
            texts.retain(|text| text.as_str().is_some_and(&mut *keeps));
            if texts.is_empty() {
                *list = Value::Null;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => *list = Value::Null,
    }
}

/// Removes the links of a container on its networks.
fn forget_links(container: &mut Map<String, Value>) {
    let networks = container.get_mut("NetworkSettings").and_then(|settings| settings.get_mut("Networks"));
    if let Some(Value::Object(networks)) = networks {
        for endpoint in networks.values_mut().filter_map(Value::as_object_mut) {
            set_if_there(endpoint, "Links", Value::Null);
        }
    }
}

/// Blanks the modes that name another container.
fn forget_modes(container: &mut Map<String, Value>) {
    let Some(Value::Object(config)) = container.get_mut("HostConfig") else { return };
    for name in MODES {
        if let Some(mode) = config.get_mut(name)
            && mode.as_str().is_some_and(refers_to_container)
        {
            *mode = json!("");
        }
    }
}
