//! What the bodies of requests may hold, from `filters/bodies.yaml`: their members, and which of them name objects or reach the host.

mod form;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use form::TEXT_FORMS;
pub use form::{TextForm, is_template};

use super::objects::ObjectKind;
use super::operations::{Operation, operation, unknown_operation};
use crate::embedded;
use crate::schema::{FieldPath, Part, Step};
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
    /// It is the name of a container that a task is attached to.
    Attached,
    /// It is that, or `container:alias`.
    Link,
    /// The same, and the name is looked up by the container that has the link.
    LateLink,
    /// It is the name of a container, or `container:mode`.
    VolumesFrom,
    /// It is `container:` and a name, or a word that names nothing.
    ContainerMode,
    /// The same, for the namespace of processes.
    ProcessMode,
    /// The same, for that of control groups.
    GroupMode,
    /// It is `container:` and a name, or the name of a network, or a word that names nothing.
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

/// What the container of a body has of another one that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shares {
    /// Nothing.
    Nothing,
    /// The namespace of its processes, and so their environment.
    Processes,
    /// Its environment: engines before 29 give it to those that link to it.
    Environment,
    /// Its control groups.
    ControlGroups,
    /// Its volumes, or another of its namespaces.
    Other,
}

/// The names of the forms in the table.
const FORMS: [(&str, NameForm); 15] = [
    ("container", NameForm::Container),
    ("attached", NameForm::Attached),
    ("link", NameForm::Link),
    ("late-link", NameForm::LateLink),
    ("volumes-from", NameForm::VolumesFrom),
    ("container-mode", NameForm::ContainerMode),
    ("process-mode", NameForm::ProcessMode),
    ("group-mode", NameForm::GroupMode),
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
            Self::Container
            | Self::Attached
            | Self::Link
            | Self::LateLink
            | Self::VolumesFrom
            | Self::ContainerMode
            | Self::ProcessMode
            | Self::GroupMode => &[ObjectKind::Container],
            Self::NetworkMode => &[ObjectKind::Container, ObjectKind::Network],
            Self::Network | Self::ServiceNetwork => &[ObjectKind::Network],
            Self::Bind | Self::Volume => &[ObjectKind::Volume],
            Self::Mount => &[ObjectKind::Volume, ObjectKind::Image],
            Self::Image => &[ObjectKind::Image],
        }
    }

    /// What the container of a body has of the one that a text of this form names.
    pub const fn shares(self) -> Shares {
        match self {
            Self::Attached | Self::VolumesFrom | Self::ContainerMode | Self::NetworkMode => Shares::Other,
            Self::ProcessMode => Shares::Processes,
            Self::GroupMode => Shares::ControlGroups,
            Self::Link => Shares::Environment,
            Self::Container
            | Self::LateLink
            | Self::Network
            | Self::ServiceNetwork
            | Self::Bind
            | Self::Volume
            | Self::Mount
            | Self::Image => Shares::Nothing,
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
    /// One of these texts, or nothing.
    Words(Vec<String>),
    /// A text of this form, or nothing.
    Form(TextForm),
}

impl HostRule {
    /// Whether a text may stand there.
    pub fn allows(&self, text: &str) -> bool {
        match self {
            Self::Null | Self::Empty => false,
            Self::Words(words) => words.iter().any(|word| word == text),
            Self::Form(form) => form.allows(text),
        }
    }
}

/// What may stand at a place of a body. What is not listed may not.
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
    /// Whether a text, a number or a boolean here names nothing and reaches nothing.
    pub is_inert: bool,
    /// Whether anything may stand here.
    pub is_open: bool,
    /// What may stand here, because it reaches the host.
    pub host: Option<HostRule>,
    /// What the keys of a map may be, because they reach the host.
    pub host_keys: Option<HostRule>,
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

    /// Whether something is had of a container that is named here or below.
    pub fn borrows(&self) -> bool {
        self.names.is_some_and(|form| form.shares() != Shares::Nothing) || self.inside().any(Self::borrows)
    }

    /// Whether a text, a number or a boolean may stand here.
    pub fn takes_scalar(&self) -> bool {
        self.is_inert || self.is_open || self.names.is_some() || self.host.is_some()
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
    /// It borrows from a container that reaches the host, uses what the client does not see, or borrows itself.
    Borrowed,
    /// It links to a container, or joins its processes, which shows the environment of that.
    Environment,
    /// It names an object of this kind that the client does not see, or that does not exist. The engine would take the request
    /// all the same, and perhaps make the object.
    NotShown(ObjectKind),
}

/// A body, or a part of several, as the table has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct BodyEntry {
    /// The places that are parts.
    like: Vec<(FieldPath, String)>,
    inert: Vec<FieldPath>,
    names: Vec<(FieldPath, NameForm)>,
    host: Vec<(FieldPath, HostRule)>,
}

/// The bodies of all operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct BodyTable {
    /// The parts, by their names. Each names only parts that are listed before it.
    parts: BTreeMap<String, BodyEntry>,
    /// The bodies, by the ids of their operations. `None`: it names nothing, and does not reach the host.
    bodies: HashMap<&'static str, Option<BodyEntry>>,
}

/// What the body of an operation may hold. `None` if it names no object, and does not reach the host.
///
/// # Errors
/// Every error in the table. A test makes sure that there is none.
pub fn body_of(operation: &Operation) -> Result<Option<BodyShape>, Diagnostics> {
    let table = BUILT_IN.as_ref().map_err(Clone::clone)?;
    let entry = table.bodies.get(operation.id).and_then(Option::as_ref);
    Ok(entry.map(|entry| {
        let mut shape = BodyShape::default();
        table.add(&mut shape, &[], entry);
        shape
    }))
}

/// Checks the table.
///
/// # Errors
/// Every error in it.
pub fn check() -> Result<(), Diagnostics> {
    BUILT_IN.as_ref().map(|_| ()).map_err(Clone::clone)
}

impl BodyTable {
    /// Adds what stands at a place of a shape.
    fn add(&self, shape: &mut BodyShape, at: &[Step], entry: &BodyEntry) {
        let steps = |path: &FieldPath| [at, &path.steps].concat();
        for (path, part) in &entry.like {
            if let Some(part) = self.parts.get(part) {
                self.add(shape, &steps(path), part);
            }
        }
        for path in &entry.inert {
            let place = shape.at(&steps(path));
            place.is_inert |= path.part == Part::Value;
            place.is_open |= path.part == Part::Everything;
        }
        for (path, form) in &entry.names {
            let place = shape.at(&steps(path));
            if path.part == Part::Keys {
                place.entries.get_or_insert_default();
                place.keys = Some(*form);
            } else {
                place.names = Some(*form);
            }
        }
        for (path, rule) in &entry.host {
            let place = shape.at(&steps(path));
            let rule = Some(rule.clone());
            if path.part == Part::Keys {
                place.entries.get_or_insert_default();
                place.host_keys = rule;
            } else {
                place.host = rule;
            }
        }
    }
}

/// Reads the table.
fn read(document: &Node) -> Result<BodyTable, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let mut table = BodyTable::default();
    let Some(members) = diagnostics.members(document, "the table of bodies", &["parts", "bodies", "nothing"]) else {
        return diagnostics.finish(table);
    };
    let parts = members.get("parts").map(|node| node.mapping("parts of bodies"));
    for (key, node) in parts.and_then(|entries| diagnostics.ok(entries)).unwrap_or_default() {
        let part = entry(node, &table.parts, &mut diagnostics).unwrap_or_default();
        table.parts.insert(key.name.clone(), part);
    }
    let bodies = members.get("bodies").map(|node| node.mapping("bodies of operations"));
    for (key, node) in bodies.and_then(|entries| diagnostics.ok(entries)).unwrap_or_default() {
        let entry = entry(node, &table.parts, &mut diagnostics).unwrap_or_default();
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
    match table.bodies.insert(operation.id, entry) {
        None => Ok(()),
        Some(_) => Err(format!("duplicate operation {id}")),
    }
}

/// Parses the body of one operation, or a part.
fn entry(node: &Node, parts: &BTreeMap<String, BodyEntry>, diagnostics: &mut Diagnostics) -> Option<BodyEntry> {
    let members = diagnostics.members(node, "what a body holds", &["inert", "names", "host", "like"])?;
    let mut entry = BodyEntry::default();
    for (text, node) in members.get("inert").map(|node| diagnostics.texts(node, "paths")).unwrap_or_default() {
        entry.inert.extend(diagnostics.ok(text.parse().map_err(|error| node.diagnostic(format!("{error}")))));
    }
    for (path, node) in paths(members, "names", diagnostics) {
        let form = diagnostics.ok(node.one_of("form of a name", &FORMS));
        entry.names.extend(form.map(|form| (path, form)));
    }
    for (path, node) in paths(members, "host", diagnostics) {
        entry.host.extend(host_rule(node, diagnostics).map(|rule| (path, rule)));
    }
    for (path, node) in paths(members, "like", diagnostics) {
        let part = diagnostics.ok(node.text("the name of a part"));
        let known = |part: &str| match parts.contains_key(part) {
            true => Ok(part.to_owned()),
            false => Err(node.diagnostic(unknown("part before this one", part, parts.keys().map(String::as_str)))),
        };
        entry.like.extend(part.and_then(|part| diagnostics.ok(known(part))).map(|part| (path, part)));
    }
    Some(entry)
}

/// Parses what may stand at a place that reaches the host.
fn host_rule(node: &Node, diagnostics: &mut Diagnostics) -> Option<HostRule> {
    if node.list("").is_ok() {
        let words = diagnostics.texts(node, "words");
        return Some(HostRule::Words(words.into_iter().map(|(word, _)| word.to_owned()).collect()));
    }
    let rules = [("null", HostRule::Null), ("empty", HostRule::Empty)].into_iter();
    let rules: Vec<(&str, HostRule)> =
        rules.chain(TEXT_FORMS.map(|(name, form)| (name, HostRule::Form(form)))).collect();
    diagnostics.ok(node.one_of("rule", &rules))
}

/// The paths of one member of the table, each with what stands there.
fn paths<'n>(members: Members<'n>, name: &str, diagnostics: &mut Diagnostics) -> Vec<(FieldPath, &'n Node)> {
    let entries = members.get(name).and_then(|node| diagnostics.ok(node.mapping("paths")));
    let mut found = Vec::new();
    for (Key { name, location }, node) in entries.unwrap_or_default() {
        let path = diagnostics.ok(name.parse().map_err(|error| Diagnostic::new(location, format!("{error}"))));
        found.extend(path.map(|path| (path, node)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::operations::{OPERATIONS, RequestBody};
    use crate::schema::Field;

    fn table() -> &'static BodyTable {
        BUILT_IN.as_ref().unwrap_or_else(|wrong| panic!("{wrong:?}"))
    }

    fn shape_of(id: &str) -> BodyShape {
        body_of(operation(id).unwrap()).unwrap().unwrap()
    }

    #[test]
    fn every_json_body_is_listed() {
        for operation in OPERATIONS {
            let has_body = matches!(operation.body, RequestBody::Json | RequestBody::OptionalJson);
            assert_eq!(table().bodies.contains_key(operation.id), has_body, "{}", operation.id);
        }
    }

    /// Whether a leaf of a schema is listed in a shape, or is inside something that must be empty or may be anything.
    fn is_listed(shape: &BodyShape, steps: &[Step], part: Part) -> bool {
        let holds_all = matches!(shape.host, Some(HostRule::Empty | HostRule::Null)) || shape.is_open;
        let Some((step, rest)) = steps.split_first() else {
            let keys = || shape.entries.is_some();
            return holds_all || if part == Part::Keys { keys() } else { shape.takes_scalar() };
        };
        let inside = match step {
            Step::Member(name) => shape.members.get(&name.to_ascii_lowercase()).map(|(_, inside)| inside),
            Step::AnyMember => shape.entries.as_deref(),
            Step::Elements => shape.elements.as_deref(),
        };
        holds_all || inside.is_some_and(|inside| is_listed(inside, rest, part))
    }

    /// The leaves of a schema, with those of the schemas that nest in it.
    fn leaves(field: &Field, at: &[Step], found: &mut Vec<(Vec<Step>, Part)>) {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        if let Some(schema) = field.nested.as_deref() {
            return leaves(catalogue.schema(schema).unwrap().root(), at, found);
        }
        if field.key_class.is_some() {
            found.push((at.to_vec(), Part::Keys));
        }
        let mut is_leaf = true;
        for (step, child) in field.children() {
            is_leaf = false;
            leaves(child, &[at, &[step]].concat(), found);
        }
        if is_leaf {
            found.push((at.to_vec(), Part::Value));
        }
    }

    /// Leaves of answers that no engine reads in a body.
    const NOT_READ: [(&str, &str); 2] = [("HostConfig", "$.PortBindings.*."), ("IPAM", "$.Options[*]")];

    #[test]
    fn every_leaf_of_a_schema_is_listed_in_the_part_of_its_name() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let (mut missing, mut count, mut parts) = (Vec::new(), 0, 0);
        for (name, entry) in &table().parts {
            let Some(schema) = catalogue.schema(name) else { continue };
            let mut shape = BodyShape::default();
            table().add(&mut shape, &[], entry);
            let mut found = Vec::new();
            leaves(schema.root(), &[], &mut found);
            for (steps, part) in found {
                let path = FieldPath { steps, part };
                let is_read = !NOT_READ.iter().any(|(of, start)| of == name && path.to_string().starts_with(start));
                if is_read && !is_listed(&shape, &path.steps, part) {
                    missing.push(format!("{name} {path}"));
                }
                count += 1;
            }
            parts += 1;
        }
        assert!(missing.is_empty(), "not listed in filters/bodies.yaml:\n{}", missing.join("\n"));
        assert!(count > 400 && parts == 12, "{count} {parts}");
    }

    /// Without this, the test above says nothing.
    #[test]
    fn a_leaf_that_is_not_listed_is_missing() {
        let shape = shape_of("ContainerCreate");
        for (path, expected) in [
            ("$.HostConfig.Memory", true),
            ("$.HostConfig.New", false),
            ("$.HostConfig.RestartPolicy.New", false),
            ("$.HostConfig.RestartPolicy", false),
            ("$.HostConfig.Devices[*].New", true),
            ("$.Env", false),
            ("$.New..*", false),
        ] {
            let path: FieldPath = path.parse().unwrap();
            assert_eq!(is_listed(&shape, &path.steps, path.part), expected, "{path}");
        }
    }

    /// An update could do otherwise what a new service may not.
    #[test]
    fn an_update_of_a_service_has_the_body_of_a_new_one() {
        assert_eq!(shape_of("ServiceUpdate"), shape_of("ServiceCreate"));
    }

    #[test]
    fn a_body_has_the_members_of_its_parts() {
        let shape = shape_of("ContainerCreate");
        let (name, host) = &shape.members["hostconfig"];
        assert_eq!(name, "HostConfig");
        assert_eq!(host.members["networkmode"].1.names, Some(NameForm::NetworkMode));
        assert_eq!(host.members["privileged"].1.host, Some(HostRule::Empty));
        assert!(host.members["memory"].1.takes_scalar() && !host.members.contains_key("image"));
        // At the top, old engines read the members of `HostConfig`.
        for name in ["binds", "networkmode", "volumesfrom", "pidmode", "links", "mounts"] {
            assert!(!shape.members.contains_key(name) && host.members.contains_key(name), "{name}");
        }
        assert!(shape.members["labels"].1.entries.is_some() && shape.members["cmd"].1.elements.is_some());
    }

    #[test]
    fn an_error_in_the_table_is_reported() {
        for (text, expected) in [
            ("parts:\n  A:\n    like:\n      $.a: B\n  B: {}\n", "part before this one"),
            ("parts:\n  A:\n    host:\n      $.a: empyt\n", "rule"),
            ("bodies:\n  ContainerCreate:\n    names:\n      $.a: contaner\n", "form of a name"),
            ("bodies:\n  ContainerCreate:\n    inert: [a]\n", "path"),
        ] {
            let wrong = read(&crate::yaml::parse("t.yaml", text).unwrap()).unwrap_err();
            assert!(format!("{wrong}").contains(expected), "{text}: {wrong}");
        }
    }
}
