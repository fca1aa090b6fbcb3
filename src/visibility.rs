//! Which objects a client sees: containers, images, volumes, networks and services that a profile selects.
//!
//! What is not visible does not exist for the client. [`VisibleObjects`] says which objects are: [`facts`] reads from a document
//! what it depends on, [`answers`] and [`events`] remove from the engine's answers every trace of the others. An object that
//! cannot be read is hidden.
//!
//! Labels and images of a container never change, so a verdict that depends on nothing else is remembered by its id. Names
//! change, so a verdict that depends on one is never used again.

mod answers;
mod events;
mod facts;
mod few;
mod selector;
mod usage;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

pub use self::answers::{ElementSeen, ObjectView};
pub use self::facts::{
    ContainerSummary, SeenObject, SeenTask, container_of_exec, facts_memory, read_container_summary, read_object,
    read_task,
};
pub use self::selector::{Facts, LabelFilters, ObjectSelector, PROJECT, Restriction};
use crate::api::objects::{ObjectAnswer, ObjectKind};

/// The objects that a client sees.
#[derive(Debug, Default)]
pub struct VisibleObjects {
    /// All of those of a kind must show an object.
    restrictions: HashMap<ObjectKind, Vec<Restriction>>,
    known: KnownContainers,
}

impl VisibleObjects {
    /// Shows the objects that all restrictions of their kind show.
    pub fn new(restrictions: &[(ObjectKind, Restriction)]) -> Self {
        let mut by_kind: HashMap<ObjectKind, Vec<Restriction>> = HashMap::new();
        for (kind, restriction) in restrictions {
            by_kind.entry(*kind).or_default().push(restriction.clone());
        }
        Self { restrictions: by_kind, known: KnownContainers::default() }
    }

    /// Whether some objects of a kind may be hidden.
    pub fn restricts(&self, kind: ObjectKind) -> bool {
        self.restrictions.contains_key(&kind)
    }

    /// Whether some objects of any kind may be hidden.
    pub fn restricts_any(&self) -> bool {
        !self.restrictions.is_empty()
    }

    /// Whether an object is visible. `is_used` says whether a visible container uses it.
    pub fn shows(&self, kind: ObjectKind, facts: &Facts, is_used: bool) -> bool {
        self.of(kind).iter().all(|restriction| restriction.shows(facts, is_used))
    }

    /// Whether every object of a kind with this name is visible, whatever else it is.
    pub fn shows_by_name(&self, kind: ObjectKind, name: &str) -> bool {
        let facts = Facts { names: vec![name.to_owned()], ..Facts::default() };
        // An image may have more names.
        let is_named_once = kind != ObjectKind::Image || !self.hides_by_name(kind);
        // What `only` says of labels may show more; what it says of this name is enough.
        is_named_once && !self.is_by_use(kind) && !self.hides_by_label(kind) && self.shows(kind, &facts, false)
    }

    /// The labels by which the engine's filters select exactly the visible objects of a kind. `None` if they cannot.
    pub fn labels(&self, kind: ObjectKind) -> Option<LabelFilters> {
        self.of(kind).iter().try_fold(LabelFilters::default(), |all, restriction| {
            let LabelFilters { with, without } = restriction.labels()?;
            let is_one = all.without.is_none() || without.is_none();
            let both = LabelFilters { with: [all.with, with].concat(), without: all.without.or(without) };
            is_one.then_some(both)
        })
    }

    /// Whether the visibility of a kind depends on what containers use.
    pub fn is_by_use(&self, kind: ObjectKind) -> bool {
        self.of(kind).iter().any(Restriction::is_by_use)
    }

    /// Whether an answer cannot be filtered without a list of containers.
    pub fn needs_containers(&self, answer: ObjectAnswer) -> bool {
        match answer {
            ObjectAnswer::Images => self.is_by_use(ObjectKind::Image),
            ObjectAnswer::Volumes => self.is_by_use(ObjectKind::Volume),
            ObjectAnswer::Networks => self.is_by_use(ObjectKind::Network),
            ObjectAnswer::Network => self.restricts(ObjectKind::Container),
            ObjectAnswer::Info | ObjectAnswer::Usage | ObjectAnswer::Events => self.restricts_any(),
            ObjectAnswer::Containers
            | ObjectAnswer::Container
            | ObjectAnswer::Image
            | ObjectAnswer::History
            | ObjectAnswer::Volume
            | ObjectAnswer::Services
            | ObjectAnswer::Tasks
            | ObjectAnswer::Task => false,
        }
    }

    /// Whether an answer cannot be filtered without a list of services.
    pub fn needs_services(&self, answer: ObjectAnswer) -> bool {
        matches!(answer, ObjectAnswer::Tasks | ObjectAnswer::Events) && self.restricts(ObjectKind::Service)
    }

    /// Whether an answer cannot be filtered without a list of images. `lacks_references` says whether it leaves out some
    /// references of each.
    pub fn needs_images(&self, answer: ObjectAnswer, lacks_references: bool) -> bool {
        let kind = ObjectKind::Image;
        match answer {
            ObjectAnswer::Images => lacks_references && self.reads_names(kind),
            ObjectAnswer::Events => self.reads_label(kind, None) && !self.is_by_use(kind) && !self.hides_by_name(kind),
            ObjectAnswer::Containers
            | ObjectAnswer::Container
            | ObjectAnswer::Image
            | ObjectAnswer::History
            | ObjectAnswer::Volumes
            | ObjectAnswer::Volume
            | ObjectAnswer::Networks
            | ObjectAnswer::Network
            | ObjectAnswer::Services
            | ObjectAnswer::Tasks
            | ObjectAnswer::Task
            | ObjectAnswer::Usage
            | ObjectAnswer::Info => false,
        }
    }

    /// Whether an answer changes because objects are hidden.
    pub fn changes(&self, answer: ObjectAnswer) -> bool {
        let container = self.restricts(ObjectKind::Container);
        match answer {
            ObjectAnswer::Containers | ObjectAnswer::Container => container,
            ObjectAnswer::Volume => container || self.restricts(ObjectKind::Volume),
            ObjectAnswer::Task => container || self.restricts(ObjectKind::Network),
            ObjectAnswer::Images | ObjectAnswer::Image => container || self.restricts(ObjectKind::Image),
            ObjectAnswer::Volumes => container || self.restricts(ObjectKind::Volume),
            ObjectAnswer::Networks => {
                container || self.restricts(ObjectKind::Network) || self.restricts(ObjectKind::Service)
            }
            ObjectAnswer::Network => container || self.restricts(ObjectKind::Service),
            ObjectAnswer::History => self.restricts(ObjectKind::Image),
            ObjectAnswer::Services => container || self.restricts(ObjectKind::Service),
            ObjectAnswer::Tasks => {
                container || self.restricts(ObjectKind::Service) || self.restricts(ObjectKind::Network)
            }
            ObjectAnswer::Events | ObjectAnswer::Usage | ObjectAnswer::Info => self.restricts_any(),
        }
    }

    /// Whether the container with this whole id is visible, if that is known and cannot change.
    pub fn knows(&self, id: &str) -> Option<bool> {
        self.known.get(id)
    }

    /// Remembers whether the container with this whole id is visible, if that cannot change.
    pub fn remember(&self, id: &str, is_visible: bool) {
        if !self.reads_names(ObjectKind::Container) {
            self.known.insert(id, is_visible);
        }
    }

    /// Whether a container of a list is visible, which is remembered.
    ///
    /// A list has the id of the image in place of its name as soon as that name is of another image. If the name decides, the
    /// container is hidden unless it is known by something else.
    pub fn shows_listed(&self, container: &ContainerSummary) -> bool {
        let is_without_name = container.facts.image.as_ref().is_none_or(|image| *image == container.image);
        if is_without_name && self.reads_images(ObjectKind::Container) {
            return !self.reads_names(ObjectKind::Container) && self.knows(&container.id) == Some(true);
        }
        let is_visible = self.shows(ObjectKind::Container, &container.facts, false);
        self.remember(&container.id, is_visible);
        is_visible
    }

    /// Whether the visibility of a kind depends on names, which can change; of images, on references.
    pub fn reads_names(&self, kind: ObjectKind) -> bool {
        self.of(kind).iter().any(Restriction::reads_names)
    }

    /// Whether the visibility of a kind depends on the images of containers.
    fn reads_images(&self, kind: ObjectKind) -> bool {
        self.of(kind).iter().any(Restriction::reads_images)
    }

    /// Whether an object of a kind can be hidden because of one of its labels, whatever else it is.
    fn hides_by_label(&self, kind: ObjectKind) -> bool {
        self.of(kind).iter().any(Restriction::hides_by_label)
    }

    /// Whether an object of a kind can be hidden because of one of its names, whatever the others are.
    fn hides_by_name(&self, kind: ObjectKind) -> bool {
        self.of(kind).iter().any(Restriction::hides_by_name)
    }

    /// Whether the visibility of a kind depends on a label, if one is called `name`; without a name, whether it depends on any.
    fn reads_label(&self, kind: ObjectKind, name: Option<&str>) -> bool {
        self.of(kind).iter().any(|restriction| restriction.reads_label(name))
    }

    fn of(&self, kind: ObjectKind) -> &[Restriction] {
        self.restrictions.get(&kind).map(Vec::as_slice).unwrap_or_default()
    }
}

/// What an entry of a set takes beside its text, in bytes.
const ENTRY: usize = 64;

/// How many containers are known at most. A client that makes more forgets them all.
const KNOWN_LIMIT: usize = 32 * 1024;

/// Verdicts about containers by their ids, which are 32 bytes.
#[derive(Debug, Default)]
struct KnownContainers(Mutex<HashMap<[u8; 32], bool>>);

impl KnownContainers {
    fn get(&self, id: &str) -> Option<bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&bytes_of(id)?).copied()
    }

    fn insert(&self, id: &str, is_visible: bool) {
        let Some(id) = bytes_of(id) else { return };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_LIMIT {
            known.clear();
        }
        known.insert(id, is_visible);
    }
}

/// The bytes of a whole id of a container: 64 hexadecimal digits in lower case.
fn bytes_of(id: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = id.as_bytes().as_chunks::<2>() else { return None };
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes?.try_into().ok()
}

/// The containers that a client sees, and what they use: from a list of all containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VisibleContainers {
    ids: HashSet<String>,
    /// How many use each image, by its id.
    images: HashMap<String, usize>,
    /// How many use each volume, by its name.
    volumes: HashMap<String, usize>,
    /// The ids and names of the networks that they are on.
    networks: HashSet<String>,
    /// How many run, and how many are paused.
    running: usize,
    paused: usize,
    /// How many bytes of text all of this is.
    size: usize,
}

impl VisibleContainers {
    /// How many bytes of text they are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Adds a container of a list, if it is visible and its id is `wanted`. One that cannot be read is not visible.
    pub fn add(&mut self, visibility: &VisibleObjects, element: &[u8], wanted: impl Fn(&str) -> bool) {
        let Some(container) = read_container_summary(element) else { return };
        if !visibility.shows_listed(&container) || !wanted(&container.id) {
            return;
        }
        match container.state.as_str() {
            "running" => self.running += 1,
            "paused" => self.paused += 1,
            _ => {}
        }
        let texts = container.volumes.iter().chain(&container.networks).chain([&container.id, &container.image]);
        self.size += texts.map(|text| text.len() + ENTRY).sum::<usize>();
        *self.images.entry(container.image).or_default() += 1;
        for volume in container.volumes {
            *self.volumes.entry(volume).or_default() += 1;
        }
        self.networks.extend(container.networks);
        self.ids.insert(container.id);
    }

    /// Whether one of them uses an object.
    pub fn uses(&self, kind: ObjectKind, object: &SeenObject) -> bool {
        match kind {
            ObjectKind::Image => self.images.contains_key(&object.id),
            ObjectKind::Volume => self.volumes.contains_key(&object.id),
            ObjectKind::Network => {
                self.networks.contains(&object.id) || object.facts.names.iter().any(|name| self.networks.contains(name))
            }
            ObjectKind::Container | ObjectKind::Service => false,
        }
    }

    /// Whether a container is one of them.
    pub fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Their whole ids.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().map(String::as_str)
    }

    /// Adds a container, or takes it out.
    fn set(&mut self, id: &str, is_visible: bool) {
        if is_visible {
            self.ids.insert(id.to_owned());
        } else {
            self.ids.remove(id);
        }
    }
}

/// What must be known beside an answer to filter it.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The visible containers, if they are needed.
    pub containers: Option<Arc<VisibleContainers>>,
    /// The ids of the visible services, if they are needed.
    pub services: Option<Arc<HashSet<String>>>,
    /// The ids of the visible images, if the answer does not tell which they are.
    pub images: Option<Arc<HashSet<String>>>,
    /// The names of visible containers that a container refers to, as it writes them.
    pub references: HashSet<String>,
    /// Whether events may be missing that tell how containers are called.
    pub lacks_events: bool,
}
