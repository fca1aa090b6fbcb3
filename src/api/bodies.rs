//! What the bodies of requests hold, from `filters/bodies.yaml`: their members, and which of them name objects.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use super::objects::ObjectKind;
use super::operations::{Operation, operation, unknown_operation};
use crate::embedded;
use crate::schema::{Catalogue, Field, FieldPath, Part, Step};
use crate::yaml::{Diagnostic, Diagnostics, Key, Members, Node, unknown};

/// The file of the built-in table.
const FILE: &str = "bodies.yaml";

/// The built-in table, read once.
static BUILT_IN: LazyLock<Result<BodyTable, Diagnostics>> = LazyLock::new(|| read(&embedded::document(FILE)?));

/// How a text in a body names an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameForm {
    /// It is the name of a container.
    Container,
    /// It is that, or `container:alias`.
    Link,
    /// The same, and the name is looked up by the container that has the link.
    LateLink,
    /// It is the name of a container, or `container:mode`.
    VolumesFrom,
    /// It is `container:` and a name, or a word that names nothing.
    ContainerMode,
    /// It is that, or the name of a network.
    NetworkMode,
    /// It is the name of a network.
    Network,
    /// It is the name of a network, and services can use that of the host by its id.
    ServiceNetwork,
    /// It is a volume or a path of the host, a colon, and the rest.
    Bind,
    /// It is the name of a volume.
    Volume,
    /// It is an object with `Type` and `Source`.
    Mount,
    /// It is the reference of an image.
    Image,
}

/// The names of the forms in the table.
const FORMS: [(&str, NameForm); 12] = [
    ("container", NameForm::Container),
    ("link", NameForm::Link),
    ("late-link", NameForm::LateLink),
    ("volumes-from", NameForm::VolumesFrom),
    ("container-mode", NameForm::ContainerMode),
    ("network-mode", NameForm::NetworkMode),
    ("network", NameForm::Network),
    ("service-network", NameForm::ServiceNetwork),
    ("bind", NameForm::Bind),
    ("volume", NameForm::Volume),
    ("mount", NameForm::Mount),
    ("image", NameForm::Image),
];

impl NameForm {
    /// The kinds of objects that a text of this form may name.
    pub const fn kinds(self) -> &'static [ObjectKind] {
        match self {
            Self::Container | Self::Link | Self::LateLink | Self::VolumesFrom | Self::ContainerMode => {
                &[ObjectKind::Container]
            }
            Self::NetworkMode => &[ObjectKind::Container, ObjectKind::Network],
            Self::Network | Self::ServiceNetwork => &[ObjectKind::Network],
            Self::Bind | Self::Volume => &[ObjectKind::Volume],
            Self::Mount => &[ObjectKind::Volume, ObjectKind::Image],
            Self::Image => &[ObjectKind::Image],
        }
    }
}

/// What may stand at a place that reaches the host, unless the profile lets the request do that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRule {
    /// Nothing but `null`.
    Null,
    /// Nothing, whatever its type.
    Empty,
    /// This text, or nothing.
    Word(String),
}

/// What may stand at a place of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyShape {
    /// The members and their names, by their names in lower case: Go takes those that differ in case only for one.
    pub members: BTreeMap<String, (String, Self)>,
    /// The values of a map.
    pub entries: Option<Box<Self>>,
    /// The elements of an array.
    pub elements: Option<Box<Self>>,
    /// How a text here names an object.
    pub names: Option<NameForm>,
    /// How the keys of a map name objects.
    pub keys: Option<NameForm>,
    /// Whether anything may stand here.
    pub is_open: bool,
    /// What may stand here, because it reaches the host.
    pub host: Option<HostRule>,
}

impl BodyShape {
    /// The kinds of objects that are named here and below.
    pub fn kinds(&self) -> Vec<ObjectKind> {
        let here = [self.names, self.keys].into_iter().flatten().flat_map(NameForm::kinds).copied();
        let mut kinds: Vec<ObjectKind> = here.chain(self.inside().flat_map(Self::kinds)).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }

    /// Whether something here or below may reach the host.
    pub fn reaches_host(&self) -> bool {
        self.host.is_some() || self.inside().any(Self::reaches_host)
    }

    /// The places one step below.
    fn inside(&self) -> impl Iterator<Item = &Self> {
        let members = self.members.values().map(|(_, shape)| shape);
        members.chain(self.entries.as_deref()).chain(self.elements.as_deref())
    }

    /// The place that steps lead to, made if it is not there.
    fn at(&mut self, steps: &[Step]) -> &mut Self {
        steps.iter().fold(self, |shape, step| match step {
            Step::Member(name) => {
                let member = shape.members.entry(name.to_ascii_lowercase());
                &mut member.or_insert_with(|| (name.clone(), Self::default())).1
            }
            Step::AnyMember => shape.entries.get_or_insert_default(),
            Step::Elements => shape.elements.get_or_insert_default(),
        })
    }

    /// Adds what a field of a catalogue has.
    fn add(&mut self, field: &Field, catalogue: &Catalogue) {
        if let Some(schema) = field.nested.as_deref().and_then(|name| catalogue.schema(name)) {
            return self.add(schema.root(), catalogue);
        }
        self.is_open |= field.opaque.is_some();
        if field.key_class.is_some() {
            self.entries.get_or_insert_default();
        }
        for (step, child) in field.children() {
            self.at(&[step]).add(child, catalogue);
        }
    }
}

/// Why a body that names objects is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It is not one JSON object, or has a member twice.
    Unread,
    /// It names more objects than are looked up.
    TooMany,
    /// It sets a member at this path that is not listed, and could name an object.
    Unknown(String),
    /// The text at this path has a form that could name an object.
    Form(String),
    /// What is set at this path reaches the host.
    Host(String),
    /// It names an object of this kind that the client does not see, or that does not exist. The engine would take the request
    /// all the same, and perhaps make the object.
    NotShown(ObjectKind),
}

/// The body of an operation, as the table has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct BodyEntry {
    /// The places whose members are those of a schema.
    like: Vec<(FieldPath, String)>,
    known: Vec<FieldPath>,
    names: Vec<(FieldPath, NameForm)>,
    host: Vec<(FieldPath, HostRule)>,
}

/// The bodies of all operations, by their ids. `None`: it names nothing, and does not reach the host.
type BodyTable = HashMap<&'static str, Option<BodyEntry>>;

/// What the body of an operation holds. `None` if it names no object, and does not reach the host.
///
/// # Errors
/// Every error in the table. A test makes sure that there is none.
pub fn body_of(operation: &Operation, catalogue: &Catalogue) -> Result<Option<BodyShape>, Diagnostics> {
    let table = BUILT_IN.as_ref().map_err(Clone::clone)?;
    Ok(table.get(operation.id).and_then(Option::as_ref).map(|entry| entry.shape(catalogue)))
}

/// Checks the table.
///
/// # Errors
/// Every error in it.
pub fn check() -> Result<(), Diagnostics> {
    BUILT_IN.as_ref().map(|_| ()).map_err(Clone::clone)
}

impl BodyEntry {
    fn shape(&self, catalogue: &Catalogue) -> BodyShape {
        let mut shape = BodyShape::default();
        for (path, schema) in &self.like {
            if let Some(schema) = catalogue.schema(schema) {
                shape.at(&path.steps).add(schema.root(), catalogue);
            }
        }
        for path in &self.known {
            let place = shape.at(&path.steps);
            place.is_open |= path.part == Part::Everything;
        }
        for (path, form) in &self.names {
            let place = shape.at(&path.steps);
            if path.part == Part::Keys {
                place.entries.get_or_insert_default();
                place.keys = Some(*form);
            } else {
                place.names = Some(*form);
            }
        }
        for (path, rule) in &self.host {
            shape.at(&path.steps).host = Some(rule.clone());
        }
        shape
    }
}

/// Reads the table.
fn read(document: &Node) -> Result<BodyTable, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let mut table = BodyTable::new();
    let Some(members) = diagnostics.members(document, "the table of bodies", &["bodies", "nothing"]) else {
        return diagnostics.finish(table);
    };
    let bodies = members.get("bodies").map(|node| node.mapping("bodies of operations"));
    for (key, node) in bodies.and_then(|entries| diagnostics.ok(entries)).unwrap_or_default() {
        let entry = entry(node, &mut diagnostics).unwrap_or_default();
        let error = |message: String| Diagnostic::new(&key.location, message);
        diagnostics.ok(add(&mut table, &key.name, Some(entry)).map_err(error));
    }
    for (id, node) in members.get("nothing").map(|node| diagnostics.texts(node, "ids")).unwrap_or_default() {
        diagnostics.ok(add(&mut table, id, None).map_err(|message| node.diagnostic(message)));
    }
    diagnostics.finish(table)
}

/// Adds an operation, or says why that is wrong.
fn add(table: &mut BodyTable, id: &str, entry: Option<BodyEntry>) -> Result<(), String> {
    let operation = operation(id).filter(|operation| operation.id == id).ok_or_else(|| unknown_operation(id))?;
    match table.insert(operation.id, entry) {
        None => Ok(()),
        Some(_) => Err(format!("duplicate operation {id}")),
    }
}

/// Parses the body of one operation.
fn entry(node: &Node, diagnostics: &mut Diagnostics) -> Option<BodyEntry> {
    let members = diagnostics.members(node, "what a body holds", &["like", "known", "names", "host"])?;
    let mut entry = BodyEntry::default();
    for (path, schema, _) in paths(members, "like", diagnostics) {
        entry.like.push((path, schema.to_owned()));
    }
    for (text, node) in members.get("known").map(|node| diagnostics.texts(node, "paths")).unwrap_or_default() {
        entry.known.extend(diagnostics.ok(text.parse().map_err(|error| node.diagnostic(format!("{error}")))));
    }
    for (path, text, node) in paths(members, "names", diagnostics) {
        let found = FORMS.iter().find(|(name, _)| *name == text).map(|(_, form)| *form);
        let form = found.ok_or_else(|| node.diagnostic(unknown("form of a name", text, FORMS.map(|(name, _)| name))));
        entry.names.extend(diagnostics.ok(form).map(|form| (path, form)));
    }
    for (path, text, _) in paths(members, "host", diagnostics) {
        let rule = match text {
            "null" => HostRule::Null,
            "empty" => HostRule::Empty,
            word => HostRule::Word(word.to_owned()),
        };
        entry.host.push((path, rule));
    }
    Some(entry)
}

/// The paths of one member of the table, each with its text.
fn paths<'n>(members: Members<'n>, name: &str, diagnostics: &mut Diagnostics) -> Vec<(FieldPath, &'n str, &'n Node)> {
    let entries = members.get(name).and_then(|node| diagnostics.ok(node.mapping("paths")));
    let mut found = Vec::new();
    for (Key { name, location }, node) in entries.unwrap_or_default() {
        let path = diagnostics.ok(name.parse().map_err(|error| Diagnostic::new(location, format!("{error}"))));
        let text = diagnostics.ok(node.text("a text"));
        found.extend(path.zip(text).map(|(path, text)| (path, text, node)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::operations::{OPERATIONS, RequestBody};

    #[test]
    fn every_json_body_is_listed() {
        let table = BUILT_IN.as_ref().unwrap_or_else(|wrong| panic!("{wrong:?}"));
        for operation in OPERATIONS {
            let has_body = matches!(operation.body, RequestBody::Json | RequestBody::OptionalJson);
            assert_eq!(table.contains_key(operation.id), has_body, "{}", operation.id);
        }
    }

    /// A body that names objects of a kind, and of no schema, would be all unknown members.
    #[test]
    fn every_schema_is_there_and_every_body_has_something_to_check() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        for (id, entry) in BUILT_IN.as_ref().unwrap() {
            let Some(entry) = entry else { continue };
            for (_, schema) in &entry.like {
                assert!(catalogue.schema(schema).is_some(), "{id}: {schema}");
            }
            let shape = entry.shape(&catalogue);
            assert!(!shape.kinds().is_empty() || shape.reaches_host(), "{id}");
        }
    }

    /// An update could do otherwise what a new service may not.
    #[test]
    fn an_update_of_a_service_has_the_body_of_a_new_one() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let shape = |id: &str| body_of(operation(id).unwrap(), &catalogue).unwrap().unwrap();
        assert_eq!(shape("ServiceUpdate"), shape("ServiceCreate"));
    }

    #[test]
    fn a_body_has_the_members_of_its_schemas() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let shape = body_of(operation("ContainerCreate").unwrap(), &catalogue).unwrap().unwrap();
        let (name, host) = &shape.members["hostconfig"];
        assert_eq!(name, "HostConfig");
        assert_eq!(host.members["networkmode"].1.names, Some(NameForm::NetworkMode));
        assert_eq!(host.members["privileged"].1.host, Some(HostRule::Empty));
        assert!(host.members["memory"].1 == BodyShape::default() && !host.members.contains_key("image"));
        // At the top, old engines read the members of `HostConfig`.
        for name in ["binds", "networkmode", "volumesfrom", "pidmode", "links", "mounts"] {
            assert!(!shape.members.contains_key(name) && host.members.contains_key(name), "{name}");
        }
        assert!(shape.members["labels"].1.entries.is_some() && shape.members["cmd"].1.elements.is_some());
    }
}
