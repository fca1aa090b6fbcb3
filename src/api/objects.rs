//! What objects each operation is about, from `filters/objects.yaml`: what a profile that shows only some objects checks.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::LazyLock;

use super::operations::{OPERATIONS, Operation, operation, unknown_operation};
use crate::embedded;
use crate::yaml::{Diagnostic, Diagnostics, Node, unknown};

/// The file of the built-in table.
const FILE: &str = "objects.yaml";

/// The kinds of objects of which a profile can show only some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Containers, and their execs.
    Container,
    /// Images.
    Image,
    /// Volumes.
    Volume,
    /// Networks.
    Network,
    /// Services of a swarm, and their tasks.
    Service,
}

impl ObjectKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Container, Self::Image, Self::Volume, Self::Network, Self::Service];

    /// The word for one.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::Service => "service",
        }
    }

    /// The word for several, which is the key of profiles.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Container => "containers",
            Self::Image => "images",
            Self::Volume => "volumes",
            Self::Network => "networks",
            Self::Service => "services",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathObject {
    /// An object of a kind.
    Of(ObjectKind),
    /// An exec, which belongs to a container.
    Exec,
    /// A task, which belongs to a service.
    Task,
}

impl PathObject {
    /// The kind that decides whether it is visible.
    pub const fn kind(self) -> ObjectKind {
        match self {
            Self::Of(kind) => kind,
            Self::Exec => ObjectKind::Container,
            Self::Task => ObjectKind::Service,
        }
    }
}

/// What of an answer is about objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectAnswer {
    /// A list of containers.
    Containers,
    /// A container, which refers to others.
    Container,
    /// A list of images.
    Images,
    /// An image and the containers that use it.
    Image,
    /// The layers of an image.
    History,
    /// A document with volumes.
    Volumes,
    /// A volume and how many containers use it.
    Volume,
    /// A list of networks.
    Networks,
    /// A network and the containers on it.
    Network,
    /// A list of services.
    Services,
    /// A list of tasks.
    Tasks,
    /// A task and its container.
    Task,
    /// Events.
    Events,
    /// Disk usage.
    Usage,
    /// Counts of objects.
    Info,
}

/// The names of the answers in the table.
const ANSWERS: [(&str, ObjectAnswer); 15] = [
    ("containers", ObjectAnswer::Containers),
    ("container", ObjectAnswer::Container),
    ("images", ObjectAnswer::Images),
    ("image", ObjectAnswer::Image),
    ("history", ObjectAnswer::History),
    ("volumes", ObjectAnswer::Volumes),
    ("volume", ObjectAnswer::Volume),
    ("networks", ObjectAnswer::Networks),
    ("network", ObjectAnswer::Network),
    ("services", ObjectAnswer::Services),
    ("tasks", ObjectAnswer::Tasks),
    ("task", ObjectAnswer::Task),
    ("events", ObjectAnswer::Events),
    ("usage", ObjectAnswer::Usage),
    ("info", ObjectAnswer::Info),
];

/// What an operation reaches beside the objects that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nothing, or what its body asks for: see [`super::bodies`].
    Objects,
    /// The environment of a container, which is in what the client makes with it.
    Environment,
    /// The host, on which nothing is hidden, or everything on it.
    Host,
}

/// The names of what is reached in the table.
const REACHES: [(&str, Reach); 3] =
    [("objects", Reach::Objects), ("environment", Reach::Environment), ("host", Reach::Host)];

/// What a query parameter may be where some objects are hidden, unless the profile lets the request reach the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterRule {
    /// Anything.
    Any,
    /// Not there.
    Unset,
    /// A name without a slash, which does not begin with a dot.
    Name,
    /// An address of the web, or `-` for the body.
    Url,
    /// With the parameter [`TAG`], a name that an image gets.
    NewImage,
}

/// The parameter with the tag of a name that an image gets.
pub const TAG: &str = "tag";

/// The names of the rules in the table.
const RULES: [(&str, ParameterRule); 5] = [
    ("any", ParameterRule::Any),
    ("unset", ParameterRule::Unset),
    ("name", ParameterRule::Name),
    ("url", ParameterRule::Url),
    ("new-image", ParameterRule::NewImage),
];

impl ParameterRule {
    /// Whether a value that is there reaches nothing of the host. What objects it names is not looked at.
    pub fn accepts(self, value: &str) -> bool {
        match self {
            Self::Any | Self::NewImage => true,
            Self::Unset => value.is_empty(),
            Self::Name => {
                let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
                !value.starts_with('.') && value.bytes().all(is_part)
            }
            Self::Url => {
                let is_address = ["http://", "https://"].iter().any(|scheme| value.starts_with(scheme));
                value.is_empty() || value == "-" || is_address
            }
        }
    }
}

/// What objects an operation is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationObjects {
    /// What the path names.
    pub path: Option<PathObject>,
    /// What of the answer is about objects.
    pub answer: Option<ObjectAnswer>,
    /// The query parameter that names a container.
    pub query: Option<String>,
    /// The kinds that must not be restricted.
    pub refuse: Vec<ObjectKind>,
    /// Why not, in words that follow a colon.
    pub because: Option<String>,
    /// The kind of which the operation removes what is not in use.
    pub prune: Option<ObjectKind>,
    /// The kind that must be restricted if containers are.
    pub needs: Option<ObjectKind>,
    /// What else it reaches. `None`: the table does not say so.
    pub reaches: Option<Reach>,
    /// What query parameters may be.
    pub parameters: BTreeMap<String, ParameterRule>,
}

impl OperationObjects {
    /// Whether the operation reaches the host, or everything on it. One that does more than read and does not say so does.
    pub fn reaches_host(&self, operation: &Operation) -> bool {
        match self.reaches {
            Some(Reach::Host) => true,
            Some(Reach::Objects | Reach::Environment) => false,
            None => !operation.is_read(),
        }
    }

    /// What a query parameter may be. Of an operation that does more than read, `None` of one that nobody has looked at.
    pub fn rule(&self, operation: &Operation, parameter: &str) -> Option<ParameterRule> {
        let rule = self.parameters.get(parameter).copied();
        rule.or_else(|| operation.is_read().then_some(ParameterRule::Any))
    }
}

/// The objects of all operations, by their ids.
type ObjectTable = HashMap<&'static str, OperationObjects>;

/// The built-in table, read once.
static BUILT_IN: LazyLock<Result<ObjectTable, Diagnostics>> = LazyLock::new(|| read(&embedded::document(FILE)?));

/// What objects an operation is about. `None` if the table does not know it.
///
/// # Errors
/// Every error in the table. A test makes sure that there is none.
pub fn objects_of(operation: &Operation) -> Result<Option<&'static OperationObjects>, Diagnostics> {
    BUILT_IN.as_ref().map(|table| table.get(operation.id)).map_err(Clone::clone)
}

/// Checks the table.
///
/// # Errors
/// Every error in it.
pub fn check() -> Result<(), Diagnostics> {
    BUILT_IN.as_ref().map(|_| ()).map_err(Clone::clone)
}

/// Reads the table.
fn read(document: &Node) -> Result<ObjectTable, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let mut table = ObjectTable::new();
    let Some(members) = diagnostics.members(document, "the table of objects", &["operations", "nothing"]) else {
        return diagnostics.finish(table);
    };
    let of_operations = members.get("operations").map(|node| node.mapping("objects of operations"));
    for (key, node) in of_operations.and_then(|entries| diagnostics.ok(entries)).unwrap_or_default() {
        let objects = objects(node, &mut diagnostics).unwrap_or_default();
        let error = |message: String| Diagnostic::new(&key.location, message);
        diagnostics.ok(add(&mut table, &key.name, objects).map_err(error));
    }
    for (id, node) in members.get("nothing").map(|node| diagnostics.texts(node, "ids")).unwrap_or_default() {
        diagnostics.ok(add(&mut table, id, OperationObjects::default()).map_err(|message| node.diagnostic(message)));
    }
    diagnostics.finish(table)
}

/// Adds an operation, or says why that is wrong.
fn add(table: &mut ObjectTable, id: &str, objects: OperationObjects) -> Result<(), String> {
    let operation = operation(id).filter(|operation| operation.id == id).ok_or_else(|| unknown_operation(id))?;
    match table.insert(operation.id, objects) {
        None => Ok(()),
        Some(_) => Err(format!("duplicate operation {id}")),
    }
}

/// Parses the objects of one operation.
fn objects(node: &Node, diagnostics: &mut Diagnostics) -> Option<OperationObjects> {
    let members = diagnostics.members(
        node,
        "what an operation is about",
        &["path", "answer", "query", "refuse", "because", "prune", "needs", "reaches", "parameters"],
    )?;
    let mut text = |name: &str| members.get(name).and_then(|node| Some((diagnostics.ok(node.text("a name"))?, node)));
    let (path, query, needs, prune) = (text("path"), text("query"), text("needs"), text("prune"));
    let because = text("because").map(|(text, _)| text.to_owned());
    let path = path.and_then(|(text, node)| diagnostics.ok(path_object(text, node)));
    let needs = needs.and_then(|(text, node)| diagnostics.ok(kind(text, node)));
    let prune = prune.and_then(|(text, node)| diagnostics.ok(kind(text, node)));
    let answer = members.get("answer").and_then(|node| diagnostics.ok(node.one_of("answer", &ANSWERS)));
    let reaches = members.get("reaches").and_then(|node| diagnostics.ok(node.one_of("reach", &REACHES)));
    let rules = members.get("parameters").and_then(|node| diagnostics.ok(node.mapping("parameters")));
    let mut parameters = BTreeMap::new();
    for (key, node) in rules.unwrap_or_default() {
        let rule = diagnostics.ok(node.one_of("rule", &RULES));
        parameters.extend(rule.map(|rule| (key.name.clone(), rule)));
    }
    let mut refuse = Vec::new();
    for (text, node) in members.get("refuse").map(|node| diagnostics.texts(node, "kinds")).unwrap_or_default() {
        refuse.extend(diagnostics.ok(kind(text, node)));
    }
    Some(OperationObjects {
        path,
        answer,
        query: query.map(|(text, _)| text.to_owned()),
        refuse,
        because,
        prune,
        needs,
        reaches,
        parameters,
    })
}

/// Parses what a path names.
fn path_object(text: &str, node: &Node) -> Result<PathObject, Diagnostic> {
    match text {
        "exec" => Ok(PathObject::Exec),
        "task" => Ok(PathObject::Task),
        kind_of => kind(kind_of, node).map(PathObject::Of),
    }
}

/// Parses a kind.
fn kind(text: &str, node: &Node) -> Result<ObjectKind, Diagnostic> {
    let found = ObjectKind::ALL.into_iter().find(|kind| kind.noun() == text);
    found.ok_or_else(|| node.diagnostic(unknown("kind", text, ObjectKind::ALL.map(ObjectKind::noun))))
}

/// The operations that the table does not know.
pub fn missing() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(|operation| !matches!(objects_of(operation), Ok(Some(_))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn every_operation_is_listed_once() {
        assert_eq!(BUILT_IN.as_ref().unwrap().len(), OPERATIONS.len());
        assert_eq!(missing().map(|operation| operation.id).collect::<Vec<_>>(), [""; 0]);
    }

    /// The table says of every path with an object what it names.
    #[test]
    fn every_name_in_a_path_is_looked_up_or_is_of_nothing_here() {
        for operation in OPERATIONS.iter().filter(|operation| operation.takes_name()) {
            let objects = objects_of(operation).unwrap().unwrap();
            let expected = match operation.template.split('/').nth(1).unwrap() {
                "containers" => Some(PathObject::Of(ObjectKind::Container)),
                "images" => Some(PathObject::Of(ObjectKind::Image)),
                "volumes" => Some(PathObject::Of(ObjectKind::Volume)),
                "networks" => Some(PathObject::Of(ObjectKind::Network)),
                "services" => Some(PathObject::Of(ObjectKind::Service)),
                "exec" => Some(PathObject::Exec),
                "tasks" => Some(PathObject::Task),
                "plugins" | "nodes" | "secrets" | "configs" | "distribution" | "debug" | "pprof" => None,
                other => panic!("{other}"),
            };
            assert_eq!(objects.path, expected, "{}", operation.id);
        }
    }

    /// Every operation that does more than read says whether it reaches the host, and what each of its parameters does.
    #[test]
    fn every_write_says_what_it_reaches() {
        for operation in OPERATIONS.iter().filter(|operation| !operation.is_read()) {
            let objects = objects_of(operation).unwrap().unwrap();
            assert!(objects.reaches.is_some(), "{}", operation.id);
            for parameter in operation.query.iter().filter(|_| objects.reaches != Some(Reach::Host)) {
                assert!(objects.parameters.contains_key(parameter.name), "{} {}", operation.id, parameter.name);
            }
        }
        for operation in OPERATIONS {
            let objects = objects_of(operation).unwrap().unwrap();
            for name in objects.parameters.keys() {
                let is_known = operation.query.iter().any(|parameter| parameter.name == name);
                assert!(is_known, "{} has no parameter {name}", operation.id);
            }
            assert!(objects.reaches.is_none() || !operation.is_read(), "{}", operation.id);
        }
    }

    /// Without a word, it reaches the host, and a parameter may be anything that does.
    #[test]
    fn a_write_that_says_nothing_reaches_the_host() {
        let nothing = OperationObjects::default();
        for operation in OPERATIONS {
            assert_eq!(nothing.reaches_host(operation), !operation.is_read(), "{}", operation.id);
            let is_open = nothing.rule(operation, "anything").is_some();
            assert_eq!(is_open, operation.is_read(), "{}", operation.id);
        }
    }

    #[test]
    fn a_parameter_that_keeps_its_rule_names_no_path_of_the_host() {
        for (rule, value, expected) in [
            (ParameterRule::Any, "/etc", true),
            (ParameterRule::Unset, "", true),
            (ParameterRule::Unset, "a", false),
            (ParameterRule::Name, "", true),
            (ParameterRule::Name, "cp-1.0_a", true),
            (ParameterRule::Name, "..", false),
            (ParameterRule::Name, ".hidden", false),
            (ParameterRule::Name, "a/b", false),
            (ParameterRule::Name, "a\\b", false),
            (ParameterRule::Url, "-", true),
            (ParameterRule::Url, "", true),
            (ParameterRule::Url, "https://a.test/b.tar", true),
            (ParameterRule::Url, "http://a.test/b.tar", true),
            (ParameterRule::Url, "file:///etc/a.tar", false),
            (ParameterRule::Url, "/etc/a.tar", false),
            (ParameterRule::Url, "./http://a", false),
            (ParameterRule::Url, "git@a.test:b", false),
        ] {
            assert_eq!(rule.accepts(value), expected, "{rule:?} {value}");
        }
    }

    #[test]
    fn every_error_of_a_table_is_reported() {
        let text = "operations:\n  ContainerLst: {}\n  ContainerList: {answer: container s}\n  ImageList: {path: imag}\n\
                    nothing: [ImageList, 1]\n";
        let document = yaml::parse("o.yaml", text).unwrap();
        let found: Vec<String> = read(&document).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "o.yaml:2:3: unknown operation \"ContainerLst\", did you mean \"ContainerList\"?",
                "o.yaml:3:27: unknown answer \"container s\", did you mean \"containers\"?",
                "o.yaml:4:21: unknown kind \"imag\", did you mean \"image\"?",
                "o.yaml:5:11: duplicate operation ImageList",
                "o.yaml:5:22: unknown operation \"1\", expected an operation id of the Docker API such as ContainerList",
            ]
        );
    }
}
