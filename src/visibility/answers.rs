//! Answers without hidden objects.
//!
//! A list loses the elements of hidden objects. In a document, the numbers that count objects are computed anew from what is
//! visible, or removed where that cannot be done, and references to containers that may be hidden are blanked.

use std::collections::HashSet;
use std::sync::Arc;

use super::facts::{facts_memory, own_name, read_container_summary, read_object, read_task, refers_to_container};
use super::{Surroundings, VisibleObjects};
use crate::api::objects::{ObjectAnswer, ObjectKind};
use crate::members::{
    UnexpectedShape, Written, each_element, keep, member, rewrite_array, rewrite_at, rewrite_elements, rewrite_members,
    rewrite_object, text,
};

/// How one answer is filtered.
#[derive(Clone, Debug)]
pub struct ObjectView {
    pub(super) visibility: Arc<VisibleObjects>,
    pub(super) answer: ObjectAnswer,
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

    /// The most memory that filtering documents or elements of `length` bytes in all takes, in bytes: what is left of them, an
    /// element of a list in them, and what is read of that.
    pub fn memory(length: usize) -> usize {
        length.saturating_mul(2).saturating_add(facts_memory(length))
    }

    /// What is seen of the next element of a list.
    pub fn element(&mut self, element: &[u8]) -> ElementSeen {
        match self.answer {
            ObjectAnswer::Containers => self.container(element),
            ObjectAnswer::Images => self.image_of_list(element),
            ObjectAnswer::Networks => {
                let is_visible = self.shows(ObjectKind::Network, element);
                let hides_containers = self.visibility.restricts(ObjectKind::Container);
                let hidden: &[&str] = if hides_containers { &["Containers", "Services", "Peers"] } else { &OF_SWARM };
                let write = |network: &str, out: &mut String| without(network, hidden, out);
                if is_visible { rewritten(element, write) } else { ElementSeen::Hidden }
            }
            ObjectAnswer::History => self.layer(element),
            ObjectAnswer::Services if self.shows(ObjectKind::Service, element) => self.service(element),
            ObjectAnswer::Tasks if self.shows_task(element) => rewritten(element, |task, out| self.task(task, out)),
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

    /// The names of containers in the document of another container, or of an image, of which it must be known whether they are
    /// visible. None of any other document.
    pub fn unknown_references(&self, document: &[u8]) -> HashSet<String> {
        if self.answer == ObjectAnswer::Container {
            containers_referred_to(document)
        } else if self.answer == ObjectAnswer::Image && self.visibility.restricts(ObjectKind::Container) {
            str::from_utf8(document).ok().and_then(maker_of).into_iter().collect()
        } else {
            HashSet::new()
        }
    }

    /// Whether a document that is one object says itself that it is hidden, whatever was known before. This is not asked of what
    /// is visible by its use, and of what the client makes.
    pub fn hides(&self, document: &[u8]) -> bool {
        let kind = match self.answer {
            ObjectAnswer::Container => ObjectKind::Container,
            ObjectAnswer::Image => ObjectKind::Image,
            ObjectAnswer::Network => ObjectKind::Network,
            // It has no id: it went up by its name, which another one may have by now.
            ObjectAnswer::Volume => ObjectKind::Volume,
            ObjectAnswer::Containers
            | ObjectAnswer::Images
            | ObjectAnswer::History
            | ObjectAnswer::Volumes
            | ObjectAnswer::Networks
            | ObjectAnswer::Services
            | ObjectAnswer::Tasks
            | ObjectAnswer::Task
            | ObjectAnswer::Events
            | ObjectAnswer::Usage
            | ObjectAnswer::Info => return false,
        };
        if !self.visibility.restricts(kind) || self.visibility.is_by_use(kind) {
            return false;
        }
        let Some(object) = read_object(kind, document) else { return true };
        let is_visible = self.visibility.shows(kind, &object.facts, false);
        if kind == ObjectKind::Container {
            self.visibility.remember(&object.id, is_visible);
        }
        !is_visible
    }

    /// Notes that containers with these names are visible.
    pub fn know_references(&mut self, visible: HashSet<String>) {
        self.around.references = visible;
    }

    /// What is seen of a document. `None` if it cannot be read.
    pub fn document(&self, document: &[u8]) -> Option<Vec<u8>> {
        let document = std::str::from_utf8(document).ok()?;
        let mut out = String::with_capacity(document.len());
        let written = match self.answer {
            ObjectAnswer::Container => forget_other_containers(document, &self.around.references, &mut out),
            ObjectAnswer::Image => self.image(document, &mut out),
            ObjectAnswer::Volume => self.volume(document, &mut out),
            ObjectAnswer::Network => self.network(document, &mut out),
            ObjectAnswer::Task => self.task(document, &mut out),
            ObjectAnswer::Info => self.info(document, &mut out),
            ObjectAnswer::Volumes | ObjectAnswer::Usage => self.lists(document, &mut out),
            ObjectAnswer::Containers
            | ObjectAnswer::Images
            | ObjectAnswer::History
            | ObjectAnswer::Networks
            | ObjectAnswer::Services
            | ObjectAnswer::Tasks
            | ObjectAnswer::Events => return None,
        };
        written.ok().map(|_| out.into_bytes())
    }

    fn container(&mut self, element: &[u8]) -> ElementSeen {
        if self.left == Some(0) {
            return ElementSeen::Hidden;
        }
        let seen = self.container_of_list(element);
        if seen != ElementSeen::Hidden {
            self.left = self.left.map(|left| left - 1);
        }
        seen
    }

    pub(super) fn container_of_list(&self, element: &[u8]) -> ElementSeen {
        let container = read_container_summary(element).filter(|container| self.visibility.shows_listed(container));
        match container {
            None => ElementSeen::Hidden,
            Some(container) if container.refers => rewritten(element, forget_in_summary),
            Some(_) => ElementSeen::Whole,
        }
    }

    pub(super) fn image_of_list(&self, element: &[u8]) -> ElementSeen {
        let is_visible = self.shows(ObjectKind::Image, element);
        if is_visible { rewritten(element, |image, out| self.image(image, out)) } else { ElementSeen::Hidden }
    }

    pub(super) fn volume_of_list(&self, element: &[u8]) -> ElementSeen {
        let is_visible = self.shows(ObjectKind::Volume, element);
        if is_visible { rewritten(element, |volume, out| self.volume(volume, out)) } else { ElementSeen::Hidden }
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
        rewritten(element, |layer, out| {
            rewrite_members(layer, out, |name, value, out| match name {
                "Id" => keep("\"<missing>\"", out),
                "Tags" => keep("null", out),
                _ => keep(value, out),
            })
        })
    }

    /// A service: how many of its tasks run, which is what their containers do.
    fn service(&self, element: &[u8]) -> ElementSeen {
        if self.visibility.restricts(ObjectKind::Service) {
            return ElementSeen::Whole;
        }
        rewritten(element, |service, out| without(service, &["ServiceStatus"], out))
    }

    fn shows_task(&self, element: &[u8]) -> bool {
        let Some(services) = &self.around.services else { return !self.visibility.restricts(ObjectKind::Service) };
        read_task(element).is_some_and(|task| services.contains(&task.service))
    }

    /// An image: how many containers use it, which one it was made from, and what it shares with others.
    fn image(&self, image: &str, out: &mut String) -> Written {
        let id = member(image, "Id")?.and_then(text).unwrap_or_default();
        let containers = self.around.containers.as_ref();
        let users = containers.map(|containers| containers.images.get(&*id).copied().unwrap_or(0));
        let hides_images = self.visibility.restricts(ObjectKind::Image);
        let hides_containers = self.visibility.restricts(ObjectKind::Container);
        let is_visible = |id: &str| containers.is_some_and(|containers| containers.has(id));
        let hides_maker = hides_containers && maker_of(image).is_none_or(|id| !self.around.references.contains(&id));
        rewrite_members(image, out, |name, value, out| match name {
            "Container" if hides_maker => keep("\"\"", out),
            "Config" | "ContainerConfig" => rewrite_object(value, out, |name, value, out| {
                let is_of_maker = hides_maker && HOST_NAMES.contains(&name);
                keep(if is_of_maker || hides_images && name == "Image" { "\"\"" } else { value }, out)
            }),
            // An engine that counts them not says -1.
            "Containers" if hides_containers && value != "-1" => match users {
                Some(users) => write_count(users, out),
                None => keep("-1", out),
            },
            // The ids of the containers that use a platform of the image.
            "Manifests" if hides_containers => {
                rewrite_at(value, &["*", "ImageData", "Containers", "*"], out, &mut |id, out| {
                    keep_if(text(id).is_some_and(|id| is_visible(&id)), id, out)
                })
            }
            "SharedSize" if hides_images => keep("-1", out),
            "ParentId" | "Parent" if hides_images => keep("\"\"", out),
            _ => keep(value, out),
        })
    }

    /// A volume: how many containers use it. Where they are not known, that is left out.
    fn volume(&self, volume: &str, out: &mut String) -> Written {
        if !self.visibility.restricts(ObjectKind::Container) {
            return keep(volume, out);
        }
        let Some(containers) = &self.around.containers else { return without(volume, &["UsageData"], out) };
        let name = member(volume, "Name")?.and_then(text).unwrap_or_default();
        let users = containers.volumes.get(&*name).copied().unwrap_or(0);
        rewrite_at(volume, &["UsageData", "RefCount"], out, &mut |_, out| write_count(users, out))
    }

    fn network(&self, network: &str, out: &mut String) -> Written {
        let hides_containers = self.visibility.restricts(ObjectKind::Container);
        let containers = self.around.containers.as_ref();
        let is_visible = |id: &str| containers.is_some_and(|containers| containers.has(id));
        rewrite_members(network, out, |name, value, out| match name {
            "Containers" if hides_containers => {
                rewrite_object(value, out, |id, value, out| keep_if(is_visible(id), value, out))
            }
            // How many addresses are in use.
            "Status" => Ok(false),
            "IPAM" => rewrite_at(value, &["Status"], out, &mut |_, _| Ok(false)),
            name if OF_SWARM.contains(&name) => Ok(false),
            _ => keep(value, out),
        })
    }

    /// A task tells the id of its container, and has whole documents of the networks that it is on.
    fn task(&self, task: &str, out: &mut String) -> Written {
        let hides_containers = self.visibility.restricts(ObjectKind::Container);
        let hides_networks = self.visibility.restricts(ObjectKind::Network);
        rewrite_members(task, out, |name, value, out| match name {
            "Status" if hides_containers => rewrite_at(value, &["ContainerStatus"], out, &mut |_, _| Ok(false)),
            "NetworksAttachments" if hides_networks => rewrite_at(value, &["*", "Network"], out, &mut name_of_network),
            _ => keep(value, out),
        })
    }

    fn info(&self, info: &str, out: &mut String) -> Written {
        let Some(containers) = &self.around.containers else { return keep("{}", out) };
        let hides_containers = self.visibility.restricts(ObjectKind::Container);
        let hides_images = self.visibility.restricts(ObjectKind::Image);
        let all = containers.ids.len();
        rewrite_members(info, out, |name, value, out| match name {
            "Containers" if hides_containers => write_count(all, out),
            "ContainersRunning" if hides_containers => write_count(containers.running, out),
            "ContainersPaused" if hides_containers => write_count(containers.paused, out),
            "ContainersStopped" if hides_containers => write_count(all - containers.running - containers.paused, out),
            // They grow with every container that runs.
            "NFd" | "NGoroutines" | "NEventsListener" if hides_containers => Ok(false),
            // Some storage drivers count the layers of all images and containers, and the space that they take.
            "DriverStatus" => rewrite_array(value, out, |row, out| keep_if(is_setting(row), row, out)),
            "Images" if hides_images && self.visibility.is_by_use(ObjectKind::Image) => {
                write_count(containers.images.len(), out)
            }
            "Images" if hides_images => Ok(false),
            _ => keep(value, out),
        })
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

/// Whether a row of `DriverStatus` is a setting.
fn is_setting(row: &str) -> bool {
    let (mut is_first, mut is_setting) = (true, false);
    let read = each_element(row, |cell| {
        if std::mem::replace(&mut is_first, false) {
            is_setting = text(cell).is_some_and(|name| SETTINGS.contains(&&*name));
        }
    });
    read.is_ok() && is_setting
}

/// The object in a text, rewritten.
pub(super) fn rewritten(object: &[u8], rewrite: impl FnOnce(&str, &mut String) -> Written) -> ElementSeen {
    let mut out = String::with_capacity(object.len());
    let object = std::str::from_utf8(object).map_err(|_| UnexpectedShape);
    let written = object.and_then(|object| rewrite(object, &mut out));
    if written == Ok(true) { ElementSeen::Rewritten(out.into_bytes()) } else { ElementSeen::Hidden }
}

/// Writes a network of a swarm with nothing but its id and its name.
fn name_of_network(network: &str, out: &mut String) -> Written {
    rewrite_object(network, out, |name, value, out| match name {
        "ID" => keep(value, out),
        "Spec" => rewrite_object(value, out, |name, value, out| keep_if(name == "Name", value, out)),
        _ => Ok(false),
    })
}

/// Writes a value as it is, or nothing.
fn keep_if(is_kept: bool, value: &str, out: &mut String) -> Written {
    if is_kept { keep(value, out) } else { Ok(false) }
}

fn write_count(count: usize, out: &mut String) -> Written {
    keep(&count.to_string(), out)
}

/// Writes an object without these members.
fn without(object: &str, names: &[&str], out: &mut String) -> Written {
    rewrite_members(object, out, |name, value, out| keep_if(!names.contains(&name), value, out))
}

/// Writes a container of a list without what refers to others: links to it, and the network that it shares.
fn forget_in_summary(container: &str, out: &mut String) -> Written {
    rewrite_members(container, out, |name, value, out| match name {
        "Names" => rewrite_array(value, out, |name, out| {
            keep_if(text(name).is_some_and(|name| own_name(&name).is_some()), name, out)
        }),
        "HostConfig" => rewrite_object(value, out, |name, value, out| write_mode(name, value, out, &mut |_| false)),
        "NetworkSettings" => rewrite_at(value, &["Networks", "*", "Links"], out, &mut |_, out| keep("null", out)),
        _ => keep(value, out),
    })
}

/// The members of a network that tell the tasks of all services on it, and the nodes on which they run.
const OF_SWARM: [&str; 2] = ["Services", "Peers"];

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
    if let Ok(container) = std::str::from_utf8(document) {
        // Of what cannot be read, nothing is shown.
        let _ = keep_references(container, &mut String::new(), |text| {
            found.extend(referred_to(text).map(str::to_owned));
            true
        });
    }
    found
}

/// Writes a container without what refers to others, except to those that are known to be visible.
fn forget_other_containers(container: &str, visible: &HashSet<String>, out: &mut String) -> Written {
    keep_references(container, out, |text| referred_to(text).is_some_and(|name| visible.contains(name)))
}

/// The members of a container, and of its `Config`, that are copies of those of another one whose network it shares. That one
/// may share the network of a third.
const SHARED_PATHS: [&str; 3] = ["HostnamePath", "HostsPath", "ResolvConfPath"];
const HOST_NAMES: [&str; 2] = ["Hostname", "Domainname"];

/// Whether a container shares the network of another one.
fn shares_network(container: &str) -> Result<bool, UnexpectedShape> {
    let Some(config) = member(container, "HostConfig")?.filter(|config| config.starts_with('{')) else {
        return Ok(false);
    };
    Ok(member(config, "NetworkMode")?.and_then(text).is_some_and(|mode| refers_to_container(&mode)))
}

/// The id of the container that an image was made from.
fn maker_of(image: &str) -> Option<String> {
    let id = member(image, "Container").ok()?.and_then(text)?;
    Some(id.into_owned()).filter(|id| !id.is_empty())
}

/// Writes a container with those texts that refer to another for which `keeps` says so.
fn keep_references(container: &str, out: &mut String, mut keeps: impl FnMut(&str) -> bool) -> Written {
    let shares = shares_network(container)?;
    rewrite_members(container, out, |name, value, out| match name {
        name if shares && SHARED_PATHS.contains(&name) => keep("\"\"", out),
        "Config" if shares => rewrite_object(value, out, |name, value, out| {
            keep(if HOST_NAMES.contains(&name) { "\"\"" } else { value }, out)
        }),
        "HostConfig" => rewrite_object(value, out, |name, value, out| match name {
            "Links" | "VolumesFrom" => keep_in_list(value, out, &mut keeps),
            _ => write_mode(name, value, out, &mut keeps),
        }),
        "NetworkSettings" => {
            let path = ["Networks", "*", "Links"];
            rewrite_at(value, &path, out, &mut |links, out| keep_in_list(links, out, &mut keeps))
        }
        _ => keep(value, out),
    })
}

/// Writes a member of `HostConfig`: blank if it is a mode that names another container and is not kept.
fn write_mode(name: &str, value: &str, out: &mut String, keeps: &mut dyn FnMut(&str) -> bool) -> Written {
    let is_blank = MODES.contains(&name) && text(value).is_some_and(|mode| refers_to_container(&mode) && !keeps(&mode));
    keep(if is_blank { "\"\"" } else { value }, out)
}

/// Writes a list with those texts for which `keeps` says so. A list of nothing is null.
fn keep_in_list(list: &str, out: &mut String, keeps: &mut dyn FnMut(&str) -> bool) -> Written {
    if !list.starts_with('[') {
        return keep("null", out);
    }
    let start = out.len();
    rewrite_elements(list, out, |element, out| keep_if(text(element).is_some_and(|text| keeps(&text)), element, out))?;
    if out.get(start..) == Some("[]") {
        out.truncate(start);
        out.push_str("null");
    }
    Ok(true)
}
