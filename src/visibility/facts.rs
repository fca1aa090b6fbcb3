//! What visibility depends on, read from the engine's documents. `None` if a document cannot be read: the object is hidden.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::few::{FewElements, FewEntries, MOST};
use super::{ENTRY, Facts};
use crate::api::objects::ObjectKind;

/// An object of the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenObject {
    /// Its whole id; of a volume its name.
    pub id: String,
    /// What selectors look at.
    pub facts: Facts,
}

impl SeenObject {
    /// How many bytes of text it is.
    pub fn size(&self) -> usize {
        let labels = self.facts.labels.iter().flat_map(|(key, value)| [key, value]);
        self.facts.names.iter().chain(labels).chain([&self.id]).map(|text| text.len() + ENTRY).sum()
    }
}

/// A container of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerSummary {
    /// Its whole id.
    pub id: String,
    /// What selectors look at.
    pub facts: Facts,
    /// The id of its image.
    pub image: String,
    /// The names of its volumes.
    pub volumes: Vec<String>,
    /// The ids of its networks, or their names where it has no id.
    pub networks: Vec<String>,
    /// Its state.
    pub state: String,
    /// Whether it refers to other containers: by a link, or by a network that it shares.
    pub refers: bool,
}

type Labels = FewEntries<String>;

/// The most memory that reading what visibility depends on takes beside the document, in bytes: as much as the document for the
/// texts, and so much for the entries. Of a short document this is there only while a worker reads it, one at a time.
pub fn facts_memory(length: usize) -> usize {
    length.saturating_add(if length > SHORT { KINDS * MOST * OF_ENTRY } else { 0 })
}

/// A document that is no longer than this is short, in bytes.
const SHORT: usize = 64 * 1024;

/// How many lists and maps are read of one document, at most.
const KINDS: usize = 4;

/// What an entry takes at most, in bytes: a key and a value, their texts on the heap, and its share of a node of a tree.
const OF_ENTRY: usize = 192;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary<'d> {
    #[serde(borrow)]
    id: Cow<'d, str>,
    names: Option<FewElements<String>>,
    image: Option<String>,
    #[serde(rename = "ImageID")]
    image_id: Option<String>,
    labels: Option<Labels>,
    state: Option<String>,
    mounts: Option<FewElements<SummaryMount>>,
    network_settings: Option<SummaryNetworks>,
    host_config: Option<SummaryHostConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryMount {
    r#type: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryNetworks {
    networks: Option<FewEntries<Option<Endpoint>>>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "NetworkID")]
    network_id: Option<String>,
    #[serde(rename = "Links")]
    links: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryHostConfig {
    network_mode: Option<String>,
}

/// Reads an element of a list of containers.
pub fn read_container_summary(element: &[u8]) -> Option<ContainerSummary> {
    let summary: Summary<'_> = serde_json::from_slice(element).ok()?;
    let written = summary.names.unwrap_or_default().0;
    // A link is the name of the other container, a slash, and the alias of this one there.
    let names: Vec<String> = written.iter().filter_map(|name| own_name(name)).map(str::to_owned).collect();
    let networks = summary.network_settings.and_then(|settings| settings.networks).unwrap_or_default().0;
    let shares = summary.host_config.and_then(|config| config.network_mode);
    let links = networks.values().flatten().any(|endpoint| endpoint.links.is_some());
    let refers = names.len() != written.len() || links || shares.is_some_and(|mode| refers_to_container(&mode));
    Some(ContainerSummary {
        id: Some(summary.id.into_owned()).filter(|id| !id.is_empty())?,
        facts: Facts { names, image: summary.image, labels: summary.labels.unwrap_or_default().0 },
        image: summary.image_id.unwrap_or_default(),
        volumes: summary.mounts.unwrap_or_default().0.into_iter().filter_map(SummaryMount::volume).collect(),
        // Several networks can have one name, so it counts only where there is no id. Podman has the name in its place.
        networks: networks
            .into_iter()
            .map(|(name, endpoint)| {
                let id = endpoint.and_then(|endpoint| endpoint.network_id);
                id.filter(|id| !id.is_empty()).unwrap_or(name)
            })
            .collect(),
        state: summary.state.unwrap_or_default(),
        refers,
    })
}

impl SummaryMount {
    /// The name of the volume, if it is one. Old engines do not say the type.
    fn volume(self) -> Option<String> {
        let is_volume = self.r#type.is_none_or(|kind| kind == "volume");
        self.name.filter(|name| is_volume && !name.is_empty())
    }
}

/// The name of a container itself, without the slash before it. `None` if it is that of a link.
pub(super) fn own_name(name: &str) -> Option<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    (!bare.contains('/')).then_some(bare)
}

/// Whether a mode joins the namespace of another container.
pub(super) fn refers_to_container(mode: &str) -> bool {
    mode.starts_with("container:")
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedContainer {
    id: String,
    name: String,
    config: ContainerConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerConfig {
    labels: Option<Labels>,
    image: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    id: String,
    repo_tags: Option<FewElements<String>>,
    repo_digests: Option<FewElements<String>>,
    /// Of an element of a list.
    labels: Option<Labels>,
    /// Of a single image.
    config: Option<ImageConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageConfig {
    labels: Option<Labels>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NamedObject {
    name: String,
    id: Option<String>,
    labels: Option<Labels>,
}

#[derive(Deserialize)]
struct InspectedService {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Spec")]
    spec: ServiceSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ServiceSpec {
    name: String,
    labels: Option<Labels>,
}

/// Reads an object: the answer of its inspect operation, or an element of a list. For a container, only the former.
pub fn read_object(kind: ObjectKind, document: &[u8]) -> Option<SeenObject> {
    let (id, names, image, labels) = match kind {
        ObjectKind::Container => {
            let container: InspectedContainer = serde_json::from_slice(document).ok()?;
            let name = own_name(&container.name)?.to_owned();
            (container.id, vec![name], container.config.image, container.config.labels)
        }
        ObjectKind::Image => {
            let image: Image = serde_json::from_slice(document).ok()?;
            let names = [image.repo_tags, image.repo_digests].into_iter().flatten().flat_map(|few| few.0).collect();
            let labels = image.labels.or(image.config.and_then(|config| config.labels));
            (image.id, names, None, labels)
        }
        ObjectKind::Volume => {
            let volume: NamedObject = serde_json::from_slice(document).ok()?;
            (volume.name.clone(), vec![volume.name], None, volume.labels)
        }
        ObjectKind::Network => {
            let network: NamedObject = serde_json::from_slice(document).ok()?;
            (network.id?, vec![network.name], None, network.labels)
        }
        ObjectKind::Service => {
            let service: InspectedService = serde_json::from_slice(document).ok()?;
            (service.id, vec![service.spec.name], None, service.spec.labels)
        }
    };
    let facts = Facts { names, image, labels: labels.unwrap_or_default().0 };
    Some(SeenObject { id, facts }).filter(|object| !object.id.is_empty())
}

#[derive(Deserialize)]
struct Exec {
    #[serde(rename = "ContainerID")]
    container: String,
}

/// The id of the container of an exec.
pub fn container_of_exec(document: &[u8]) -> Option<String> {
    Some(serde_json::from_slice::<Exec>(document).ok()?.container).filter(|id| !id.is_empty())
}

/// A task of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct SeenTask {
    /// Its whole id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The id of its service.
    #[serde(rename = "ServiceID")]
    pub service: String,
}

impl SeenTask {
    /// How many bytes of text it is.
    pub fn size(&self) -> usize {
        self.id.len() + self.service.len() + 2 * ENTRY
    }
}

/// Reads a task: the answer of its inspect operation, or an element of a list. `None` if it is of no service.
pub fn read_task(document: &[u8]) -> Option<SeenTask> {
    serde_json::from_slice::<SeenTask>(document).ok().filter(|task| !task.id.is_empty() && !task.service.is_empty())
}
