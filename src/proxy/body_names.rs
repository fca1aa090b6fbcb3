//! The names of objects in the body of a request.
//!
//! The body is read once, member by member, against its shape, and written anew from that: every member with the name that the
//! table gives it, once. So the engine cannot read another name in it than the one that is looked up. Values that name nothing
//! stay as they are written.

use std::collections::HashSet;

use super::body_parts::{BodyParts, EMPTY, compared, quoted};
use super::named::is_name;
use crate::api::bodies::{BodyFault, BodyShape, HostRule, NameForm, Shares};
use crate::api::is_reference;
use crate::api::objects::ObjectKind;
use crate::filter::fold;
use crate::members::{UnexpectedShape, each_element, each_member, text, try_each_element};

/// How many objects a body may name.
const LIMIT: usize = 200;

/// The options of a bind that keep to its volume. Others can name more paths of the host: Podman writes to `upperdir`.
const BIND_OPTIONS: [&str; 19] = [
    "ro",
    "rw",
    "z",
    "Z",
    "nocopy",
    "volume-nocopy",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "consistent",
    "cached",
    "delegated",
    "default",
    "nodev",
    "noexec",
    "nosuid",
];

/// The modes of networks that every engine has, which name none that a client could make.
pub(super) const BUILT_IN_MODES: [&str; 4] = ["default", "bridge", HOST_NETWORK, "none"];

/// The mode and the network that are those of the host.
pub(super) const HOST_NETWORK: &str = "host";

/// What a name in a body is replaced by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum NamedKind {
    /// The whole id of the container that it names.
    Container,
    /// The name of the container that it names.
    ContainerName,
    /// The whole id of the network.
    Network,
    /// The name of the volume.
    Volume,
    /// The reference or the whole id of the image.
    Image,
}

impl From<UnexpectedShape> for BodyFault {
    fn from(_: UnexpectedShape) -> Self {
        Self::Unread
    }
}

/// A name in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NameInBody {
    pub(super) object: NamedKind,
    pub(super) name: String,
    /// What the container that the body is about has of this one.
    pub(super) shares: Shares,
    /// What it is a part of, as that is compared with what an object has already: a mount, or the use of a network.
    pub(super) whole: Option<String>,
    /// What stands before it in the text, and behind it.
    before: &'static str,
    behind: String,
}

impl NameInBody {
    /// Whether another body has the same name in the same way: a hidden volume stays where it is mounted, and as it is.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        (self.key(), &self.whole) == (other.key(), &other.whole)
    }

    /// What tells for which object it stands, and for what.
    pub(super) fn key(&self) -> (NamedKind, &str, Shares) {
        (self.object, &self.name, self.shares)
    }

    /// How many bytes of text it is.
    pub(super) fn size(&self) -> usize {
        self.name.len() + self.behind.len() + self.whole.as_ref().map_or(0, String::len)
    }

    /// The text with another name in it.
    fn with(&self, name: &str) -> String {
        format!("{}{name}{}", self.before, self.behind)
    }
}

/// A body that has been read: pieces of the new one, each but the last with a name behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BodyNames {
    pieces: Vec<String>,
    pub(super) names: Vec<NameInBody>,
    /// The names that are keys of one map, by their numbers.
    maps: Vec<Vec<usize>>,
    /// What passed only because everything does, if that is noted.
    pub(super) parts: BodyParts,
}

/// What of a body passes although it reaches the host, or is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Passing {
    /// These parts. An object that the client edits has them already, and the client was shown them.
    Parts(BodyParts),
    /// Everything, because the profile says so.
    Everything,
    /// Everything, which is noted: it is what an object has.
    Noted,
}

/// The most memory that reading a body takes beside it, in bytes: the new body, and the names of members, which may be short.
pub(super) const fn reading_memory(length: usize) -> usize {
    length.saturating_mul(32)
}

impl BodyNames {
    /// Reads a body. Only the names of objects of kinds that `restricts` says are kept apart.
    pub(super) fn read(
        body: &[u8],
        shape: &BodyShape,
        restricts: &dyn Fn(ObjectKind) -> bool,
        passing: &Passing,
    ) -> Result<Self, BodyFault> {
        let body = str::from_utf8(body).map_err(|_| BodyFault::Unread)?.trim_ascii();
        if !body.starts_with('{') {
            return Err(BodyFault::Unread);
        }
        let mut reader = BodyReader {
            restricts,
            passing,
            found: Self::default(),
            piece: String::new(),
            path: Vec::new(),
            mount: None,
            whole: None,
        };
        reader.object(body, shape)?;
        reader.found.pieces.push(reader.piece);
        Ok(reader.found)
    }

    /// Writes the body with these names in the places of its own, in their order.
    pub(super) fn write(&self, replacements: &[String]) -> Result<Vec<u8>, BodyFault> {
        let texts: Vec<String> =
            self.names.iter().zip(replacements).map(|(name, replacement)| name.with(replacement)).collect();
        for map in &self.maps {
            let keys: Vec<&String> = map.iter().filter_map(|number| texts.get(*number)).collect();
            if keys.iter().collect::<HashSet<_>>().len() < keys.len() {
                return Err(BodyFault::Unread);
            }
        }
        let mut body = String::new();
        for (number, piece) in self.pieces.iter().enumerate() {
            body.push_str(piece);
            if let Some(text) = texts.get(number) {
                body.push_str(&quoted(text));
            }
        }
        Ok(body.into_bytes())
    }
}

/// The mount that is being read.
struct MountPart<'b> {
    written: &'b str,
    /// Its number among the parts of bodies, as soon as that is looked for.
    number: Option<Option<usize>>,
}

/// Reads one body. It goes as deep as the shape of the body does: what is not known passes as it is written, or not at all.
struct BodyReader<'b, 'r> {
    restricts: &'r dyn Fn(ObjectKind) -> bool,
    passing: &'r Passing,
    found: BodyNames,
    /// What is written since the last name.
    piece: String,
    /// The steps to the value, for faults.
    path: Vec<String>,
    /// The mount that is being read. It passes as one part: what it mounts, where, and whether that may be written.
    mount: Option<MountPart<'b>>,
    /// What the names that are being read are a part of.
    whole: Option<String>,
}

impl<'b> BodyReader<'b, '_> {
    fn value(&mut self, value: &'b str, shape: &BodyShape) -> Result<(), BodyFault> {
        self.check_host(value, shape)?;
        if matches!(shape.host, Some(HostRule::Null | HostRule::Empty)) {
            self.piece.push_str(value);
            return Ok(());
        }
        self.check_separators(value)?;
        match (value.as_bytes().first(), shape.names) {
            _ if shape.is_open => self.piece.push_str(value),
            (Some(b'{'), Some(NameForm::Mount)) => {
                self.mount = Some(MountPart { written: value, number: None });
                self.object(value, shape)?;
                self.mount = None;
            }
            (Some(b'{'), _) => return self.object(value, shape),
            (Some(b'['), _) => return self.array(value, shape),
            (Some(b'"'), Some(form)) => return self.text(value, form),
            (_, _) => {
                if !shape.takes_scalar() && !EMPTY.contains(&value) {
                    self.refuse(value, self.here(), BodyFault::Unknown)?;
                }
                self.piece.push_str(value);
            }
        }
        Ok(())
    }

    /// Refuses a value that reaches the host.
    fn check_host(&mut self, value: &str, shape: &BodyShape) -> Result<(), BodyFault> {
        match &shape.host {
            Some(rule) if !keeps_off_host(value, rule) => self.refuse(value, self.here(), BodyFault::Host),
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses a text in a mount that could set another option: Podman joins all of them to one text, with commas in between.
    fn check_separators(&mut self, value: &str) -> Result<(), BodyFault> {
        let separates = |text: &str| text.contains([',', '"']) || text.contains(char::is_control);
        let is_text = self.mount.is_some() && value.starts_with('"');
        if is_text && text(value).is_none_or(|text| separates(&text)) {
            self.refuse(value, self.here(), BodyFault::Form)?;
        }
        Ok(())
    }

    /// Does something one step below.
    fn below(&mut self, step: String, work: impl FnOnce(&mut Self) -> Result<(), BodyFault>) -> Result<(), BodyFault> {
        self.path.push(step);
        let result = work(self);
        self.path.pop();
        result
    }

    fn here(&self) -> String {
        format!("${}", self.path.concat())
    }

    /// Refuses what stands at a path, unless it passes.
    fn refuse(&mut self, value: &str, path: String, fault: fn(String) -> BodyFault) -> Result<(), BodyFault> {
        match self.passing {
            Passing::Everything => Ok(()),
            Passing::Noted => {
                let parts = &mut self.found.parts;
                match &mut self.mount {
                    Some(MountPart { written, number }) => {
                        let number = *number.get_or_insert_with(|| parts.keep_value(written));
                        parts.add(&path, number);
                    }
                    None => parts.add_all(&path, value),
                }
                Ok(())
            }
            Passing::Parts(known) => {
                let is_known = match &mut self.mount {
                    Some(MountPart { written, number }) => {
                        known.has(&path, *number.get_or_insert_with(|| known.value(written)))
                    }
                    None => known.has_all(&path, value),
                };
                if is_known { Ok(()) } else { Err(fault(path)) }
            }
        }
    }

    fn object(&mut self, value: &'b str, shape: &BodyShape) -> Result<(), BodyFault> {
        let mut members = Vec::new();
        each_member(value, |name, value| members.push((name.to_owned(), value)))?;
        let is_mount = shape.names == Some(NameForm::Mount);
        let source = if is_mount { self.form_of_source(value, &members)? } else { None };
        let uses_network = shape.members.values().any(|(_, inside)| inside.names == Some(NameForm::ServiceNetwork));
        if is_mount || uses_network {
            self.whole = Some(compared(value).ok_or(BodyFault::Unread)?);
        }
        let (mut seen, mut keys) = (HashSet::new(), Vec::new());
        self.piece.push('{');
        let mut separator = "";
        for (name, value) in members {
            let known = shape.members.get(&fold(&name));
            if !seen.insert(known.map_or(&name, |(known, _)| known).clone()) {
                return Err(BodyFault::Unread);
            }
            let entries = shape.entries.as_deref();
            match (known, entries) {
                (Some((known, inside)), _) => {
                    self.piece.push_str(&format!("{separator}{}:", quoted(known)));
                    let form = source.filter(|_| known == "Source");
                    self.below(format!(".{known}"), |reader| match form {
                        Some(form) if value.starts_with('"') => {
                            reader.check_host(value, inside)?;
                            reader.check_separators(value)?;
                            reader.text(value, form)
                        }
                        Some(_) | None => reader.value(value, inside),
                    })?;
                }
                (None, Some(entries)) => {
                    self.piece.push_str(separator);
                    if shape.host_keys.as_ref().is_some_and(|rule| !rule.allows(&name)) {
                        let entry = format!("{{{}:{value}}}", quoted(&name));
                        self.refuse(&entry, format!("{}.*~", self.here()), BodyFault::Host)?;
                    }
                    self.key(&name, shape.keys, &mut keys)?;
                    self.piece.push(':');
                    self.below(".*".to_owned(), |reader| reader.value(value, entries))?;
                }
                // It is as good as absent: clients of a newer version write what they do not set.
                (None, None) if value == "null" => continue,
                (None, None) if *self.passing != Passing::Everything && is_empty(value) => continue,
                (None, None) => {
                    self.refuse(value, format!("{}.{name}", self.here()), BodyFault::Unknown)?;
                    self.piece.push_str(&format!("{separator}{}:{value}", quoted(&name)));
                }
            }
            separator = ",";
        }
        if is_mount || uses_network {
            self.whole = None;
        }
        self.piece.push('}');
        if keys.len() > 1 {
            self.found.maps.push(keys);
        }
        Ok(())
    }

    fn array(&mut self, value: &'b str, shape: &BodyShape) -> Result<(), BodyFault> {
        let Some(inside) = shape.elements.as_deref() else {
            let mut is_empty = true;
            each_element(value, |_| is_empty = false)?;
            if !is_empty {
                self.refuse(value, format!("{}[*]", self.here()), BodyFault::Unknown)?;
            }
            self.piece.push_str(value);
            return Ok(());
        };
        let mut separator = '[';
        try_each_element(value, |element| {
            self.piece.push(separator);
            separator = ',';
            self.below("[*]".to_owned(), |reader| reader.value(element, inside))
        })?;
        self.piece.push_str(if separator == ',' { "]" } else { "[]" });
        Ok(())
    }

    /// The key of a map. Numbers of names are added to `keys`.
    fn key(&mut self, name: &str, form: Option<NameForm>, keys: &mut Vec<usize>) -> Result<(), BodyFault> {
        let number = self.found.names.len();
        self.below(".*~".to_owned(), |reader| reader.check_separators(&quoted(name)))?;
        match form {
            Some(form) => self.below(".*~".to_owned(), |reader| reader.text(&quoted(name), form))?,
            None => self.piece.push_str(&quoted(name)),
        }
        if self.found.names.len() > number {
            keys.push(number);
        }
        Ok(())
    }

    /// How the `Source` of a mount names an object. `None` if it names none.
    fn form_of_source(&mut self, mount: &str, members: &[(String, &str)]) -> Result<Option<NameForm>, BodyFault> {
        let kind = members.iter().find(|(name, _)| fold(name) == "type").and_then(|(_, value)| text(value));
        let path = format!("{}.Type", self.here());
        match kind.as_deref() {
            Some("tmpfs") => Ok(None),
            Some("bind" | "npipe") => self.refuse(mount, path, BodyFault::Host).map(|()| None),
            Some("volume") => Ok(Some(NameForm::Volume)),
            Some("image") => Ok(Some(NameForm::Image)),
            // What another type mounts is not known.
            Some(_) | None => self.refuse(mount, path, BodyFault::Form).map(|()| None),
        }
    }

    /// A text that may name an object.
    fn text(&mut self, written: &str, form: NameForm) -> Result<(), BodyFault> {
        let value = text(written).ok_or(BodyFault::Unread)?;
        if form == NameForm::Bind && !has_known_options(&value) {
            self.refuse(written, self.here(), BodyFault::Form)?;
        }
        let shares = if *self.passing == Passing::Everything { Shares::Nothing } else { form.shares() };
        let is_looked_up = |kind| (self.restricts)(kind) || form == NameForm::ServiceNetwork;
        match split(&value, form) {
            _ if value.is_empty() => {}
            TextReading::Names(name) if name.object == NamedKind::Container && shares != Shares::Nothing => {
                return self.name(NameInBody { shares, ..name });
            }
            TextReading::Names(name) if is_looked_up(kind_of(name.object)) => return self.name(name),
            TextReading::Names(name) if name.object == NamedKind::Image && !is_reference(&name.name) => {
                self.refuse(written, self.here(), BodyFault::Form)?;
            }
            TextReading::Host => self.refuse(written, self.here(), BodyFault::Host)?,
            TextReading::Unknown => self.refuse(written, self.here(), BodyFault::Form)?,
            TextReading::Names(_) | TextReading::Nothing => {}
        }
        self.piece.push_str(written);
        Ok(())
    }

    fn name(&mut self, mut name: NameInBody) -> Result<(), BodyFault> {
        if self.found.names.len() == LIMIT {
            return Err(BodyFault::TooMany);
        }
        name.whole.clone_from(&self.whole);
        self.found.pieces.push(std::mem::take(&mut self.piece));
        self.found.names.push(name);
        Ok(())
    }
}

const fn kind_of(object: NamedKind) -> ObjectKind {
    match object {
        NamedKind::Container | NamedKind::ContainerName => ObjectKind::Container,
        NamedKind::Network => ObjectKind::Network,
        NamedKind::Volume => ObjectKind::Volume,
        NamedKind::Image => ObjectKind::Image,
    }
}

/// Whether a value stands for nothing, whatever its type.
fn is_empty(value: &str) -> bool {
    match value.as_bytes().first() {
        Some(b'{') => each_member(value, |_, _| {}).is_ok() && value.bytes().all(|byte| !matches!(byte, b'"')),
        Some(b'[') => value
            .strip_prefix('[')
            .and_then(|value| value.strip_suffix(']'))
            .is_some_and(|inside| inside.trim().is_empty()),
        _ => EMPTY.contains(&value),
    }
}

/// Whether a value keeps off the host.
fn keeps_off_host(value: &str, rule: &HostRule) -> bool {
    let is_allowed = || match value.as_bytes().first() {
        Some(b'"') => text(value).is_some_and(|text| rule.allows(&text)),
        Some(b'{' | b'[') => false,
        _ => rule.allows(value),
    };
    match rule {
        _ if value == "null" => true,
        HostRule::Null => false,
        HostRule::Empty | HostRule::Words(_) | HostRule::Form(_) => is_empty(value) || is_allowed(),
    }
}

/// What a text names.
enum TextReading {
    Names(NameInBody),
    Nothing,
    /// Something of the host: one of its paths, or of its namespaces.
    Host,
    /// It may name something in a way that is not known.
    Unknown,
}

/// Finds the name in a text.
fn split(value: &str, form: NameForm) -> TextReading {
    let named = |object, name: &str, behind: &str| {
        TextReading::Names(NameInBody {
            object,
            name: name.to_owned(),
            shares: Shares::Nothing,
            before: "",
            whole: None,
            behind: behind.to_owned(),
        })
    };
    match form {
        NameForm::Container | NameForm::Attached => named(NamedKind::Container, value, ""),
        NameForm::Network | NameForm::ServiceNetwork if value == HOST_NETWORK => TextReading::Host,
        NameForm::Network | NameForm::ServiceNetwork if BUILT_IN_MODES.contains(&value) => TextReading::Nothing,
        NameForm::Network | NameForm::ServiceNetwork => named(NamedKind::Network, value, ""),
        NameForm::Volume => named(NamedKind::Volume, value, ""),
        NameForm::Image => named(NamedKind::Image, value, ""),
        NameForm::Link => {
            let (name, alias) = link(value);
            named(NamedKind::Container, name, &format!(":{alias}"))
        }
        NameForm::LateLink => {
            let (name, alias) = link(value);
            named(NamedKind::ContainerName, name, &format!(":{alias}"))
        }
        NameForm::VolumesFrom => {
            let (name, behind) = value.split_at(value.find(':').unwrap_or(value.len()));
            named(NamedKind::Container, name, behind)
        }
        NameForm::ContainerMode | NameForm::ProcessMode | NameForm::GroupMode | NameForm::NetworkMode => {
            match value.strip_prefix("container:") {
                Some(name) => {
                    let (name, behind) = (name.to_owned(), String::new());
                    TextReading::Names(NameInBody {
                        object: NamedKind::Container,
                        name,
                        shares: Shares::Nothing,
                        whole: None,
                        before: "container:",
                        behind,
                    })
                }
                None if value == HOST_NETWORK => TextReading::Host,
                // Podman joins a namespace by its path.
                None if value.contains(':') => TextReading::Unknown,
                None if form == NameForm::NetworkMode && !BUILT_IN_MODES.contains(&value) => {
                    named(NamedKind::Network, value, "")
                }
                None => TextReading::Nothing,
            }
        }
        NameForm::Bind => match value.split_once(':') {
            // Podman also takes a path from where it runs.
            Some((source, _)) if !is_name(source) => TextReading::Host,
            Some((source, rest)) => named(NamedKind::Volume, source, &format!(":{rest}")),
            None => TextReading::Nothing,
        },
        NameForm::Mount => TextReading::Unknown,
    }
}

/// Whether all options behind a volume and its place are known to keep to that volume.
fn has_known_options(value: &str) -> bool {
    let mut options = value.splitn(3, ':').skip(2).flat_map(|options| options.split(','));
    options.all(|option| option.is_empty() || BIND_OPTIONS.contains(&option))
}

/// The container and the alias in a link. Without an alias, it is the name. What an engine shows of links has paths in both.
fn link(value: &str) -> (&str, &str) {
    match value.split_once(':') {
        None => (value, value.trim_start_matches('/')),
        Some((name, alias)) if name.starts_with('/') => (name, alias.rsplit('/').next().unwrap_or(alias)),
        Some((name, alias)) => (name, alias),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::api::bodies::{TextForm, body_of};
    use crate::api::operation;

    /// What goes up if containers, networks, volumes and images are restricted, and each name is replaced by `<object name>`.
    fn written(id: &str, body: &str) -> Result<String, BodyFault> {
        written_if(id, body, |kind| kind != ObjectKind::Service)
    }

    fn written_if(id: &str, body: &str, restricts: impl Fn(ObjectKind) -> bool) -> Result<String, BodyFault> {
        written_by(id, body, restricts, false)
    }

    fn written_by(
        id: &str,
        body: &str,
        restricts: impl Fn(ObjectKind) -> bool,
        is_whole: bool,
    ) -> Result<String, BodyFault> {
        let passing = if is_whole { Passing::Everything } else { nothing() };
        let shape = body_of(operation(id).unwrap()).unwrap().unwrap();
        let found = BodyNames::read(body.as_bytes(), &shape, &restricts, &passing)?;
        let replacements: Vec<String> =
            found.names.iter().map(|name| format!("<{:?} {}>", name.object, name.name)).collect();
        found.write(&replacements).map(|body| String::from_utf8(body).unwrap())
    }

    /// Nothing passes that reaches the host, or is not known.
    fn nothing() -> Passing {
        Passing::Parts(BodyParts::default())
    }

    #[track_caller]
    fn check(id: &str, body: &str, expected: &str) {
        assert_eq!(written(id, body).as_deref(), Ok(expected), "{body}");
    }

    #[track_caller]
    fn check_fault(id: &str, body: &str, expected: &BodyFault) {
        assert_eq!(written(id, body).as_ref(), Err(expected), "{body}");
    }

    #[test]
    fn every_name_in_a_body_is_found() {
        check(
            "NetworkConnect",
            r#"{"Container":"web","EndpointConfig":{"NetworkID":"n","Links":["db:data"],"Aliases":["web"]}}"#,
            r#"{"Container":"<Container web>","EndpointConfig":{"NetworkID":"<Network n>","Links":["<ContainerName db>:data"],"Aliases":["web"]}}"#,
        );
        check(
            "NetworkDisconnect",
            r#"{"Container": "web", "Force": true}"#,
            r#"{"Container":"<Container web>","Force":true}"#,
        );
        check("NetworkCreate", r#"{"ConfigFrom":{"Network":"n"}}"#, r#"{"ConfigFrom":{"Network":"<Network n>"}}"#);
        check(
            "VolumeCreate",
            r#"{"Name":"v","Labels":{"Name":"w"}}"#,
            r#"{"Name":"<Volume v>","Labels":{"Name":"w"}}"#,
        );
        for (member, name, expected) in [
            ("Cgroup", "container:a", "container:<Container a>"),
            ("CgroupnsMode", "container:a", "container:<Container a>"),
            ("IpcMode", "shareable", "shareable"),
            ("NetworkMode", "container:a:b", "container:<Container a:b>"),
            ("NetworkMode", "mine", "<Network mine>"),
            ("NetworkMode", "none", "none"),
            ("NetworkMode", "Container", "<Network Container>"),
            ("PidMode", "container:a", "container:<Container a>"),
            ("UTSMode", "container:a", "container:<Container a>"),
            ("UsernsMode", "container:a", "container:<Container a>"),
            ("PidMode", "", ""),
        ] {
            let body = |value: &str| format!(r#"{{"HostConfig":{{"{member}":"{value}"}}}}"#);
            check("ContainerCreate", &body(name), &body(expected));
        }
        for (member, name, expected) in [
            ("Binds", "v:/data:ro", "<Volume v>:/data:ro"),
            ("Binds", "v:/data:z,rshared,nocopy", "<Volume v>:/data:z,rshared,nocopy"),
            ("Binds", "/data", "/data"),
            ("Links", "db", "<Container db>:db"),
            ("Links", "db:data", "<Container db>:data"),
            ("Links", "/db:/web/data", "<Container /db>:data"),
            ("VolumesFrom", "db", "<Container db>"),
            ("VolumesFrom", "db:ro", "<Container db>:ro"),
        ] {
            let body = |value: &str| format!(r#"{{"HostConfig":{{"{member}":["{value}"]}}}}"#);
            check("ContainerCreate", &body(name), &body(expected));
        }
        check("ContainerCreate", r#"{"Image":"a:1"}"#, r#"{"Image":"<Image a:1>"}"#);
        check("ContainerCreate", r#"{"Volumes":{"v:/a":{},"/b":{}}}"#, r#"{"Volumes":{"<Volume v>:/a":{},"/b":{}}}"#);
        check(
            "ContainerCreate",
            r#"{"NetworkingConfig":{"EndpointsConfig":{"n":{"NetworkID":"m"},"default":null}}}"#,
            r#"{"NetworkingConfig":{"EndpointsConfig":{"<Network n>":{"NetworkID":"<Network m>"},"default":null}}}"#,
        );
        let service = |network: &str, image: &str, container: &str| {
            format!(
                r#"{{"Networks":[{{"Target":"{network}"}}],"TaskTemplate":{{"ContainerSpec":{{"Image":"{image}"}},"Networks":[{{"Target":"{network}"}}],"NetworkAttachmentSpec":{{"ContainerID":"{container}"}}}}}}"#
            )
        };
        for id in ["ServiceCreate", "ServiceUpdate"] {
            check(id, &service("n", "i", "c"), &service("<Network n>", "<Image i>", "<Container c>"));
        }
    }

    #[test]
    fn a_mount_is_read_by_its_type() {
        let body = |mount: &str| format!(r#"{{"HostConfig":{{"Mounts":[{{{mount}}}]}}}}"#);
        for (mount, expected) in [
            (r#""Type":"volume","Source":"v""#, r#""Type":"volume","Source":"<Volume v>""#),
            (r#""Source":"v","TYPE":"volume""#, r#""Source":"<Volume v>","Type":"volume""#),
            (r#""Type":"volume""#, r#""Type":"volume""#),
            (r#""Type":"image","Source":"i""#, r#""Type":"image","Source":"<Image i>""#),
            (r#""Type":"tmpfs","Target":"/v""#, r#""Type":"tmpfs","Target":"/v""#),
        ] {
            check("ContainerCreate", &body(mount), &body(expected));
        }
        let of_unknown_type = BodyFault::Form("$.HostConfig.Mounts[*].Type".to_owned());
        for mount in
            [r#""Source":"v""#, r#""Type":"cluster","Source":"v""#, r#""Type":"Volume","Source":"v""#, r#""Type":1"#]
        {
            check_fault("ContainerCreate", &body(mount), &of_unknown_type);
        }
        check_fault("ContainerCreate", &body(r#""Type":"tmpfs","type":"volume","Source":"v""#), &BodyFault::Unread);
    }

    /// The texts in a value, each with another in its place.
    fn with_each_text(value: &Value, change: &dyn Fn(&str) -> String) -> Vec<Value> {
        match value {
            Value::String(text) => vec![Value::String(change(text))],
            Value::Array(elements) => {
                let with = |(number, element): (usize, &Value)| {
                    let changed = with_each_text(element, change).into_iter();
                    changed.map(move |changed| (number, changed)).collect::<Vec<_>>()
                };
                let changed = elements.iter().enumerate().flat_map(with);
                changed
                    .map(|(number, changed)| {
                        let mut list = elements.clone();
                        list[number] = changed;
                        Value::Array(list)
                    })
                    .collect()
            }
            Value::Object(members) => {
                let mut found = Vec::new();
                for (name, value) in members {
                    for changed in with_each_text(value, change) {
                        let mut object = members.clone();
                        object.insert(name.clone(), changed);
                        found.push(Value::Object(object));
                    }
                    // Keys of maps are texts, too.
                    if name.starts_with("key") {
                        let mut object = members.clone();
                        object.remove(name);
                        object.insert(change(name), value.clone());
                        found.push(Value::Object(object));
                    }
                }
                found
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
        }
    }

    /// A value that a shape takes, with everything that it may have.
    fn filled(shape: &BodyShape) -> Value {
        let of_rule = |rule: &HostRule| match rule {
            HostRule::Null | HostRule::Empty => Value::Null,
            HostRule::Words(words) => Value::from(words[0].as_str()),
            HostRule::Form(TextForm::Assignment | TextForm::PlainAssignment) => "key=v".into(),
            HostRule::Form(TextForm::NotNegative | TextForm::Group) => "1".into(),
            HostRule::Form(TextForm::Sysctl) => "net.a".into(),
            HostRule::Form(TextForm::TmpfsOptions) => "size".into(),
            HostRule::Form(TextForm::PrivateSubnet) => "10.0.0.0/8".into(),
            HostRule::Form(TextForm::Label | TextForm::TmpfsPlace | TextForm::PathInside | TextForm::Plain) => {
                "key".into()
            }
        };
        if let Some(rule) = &shape.host {
            return of_rule(rule);
        }
        if let Some(elements) = &shape.elements {
            return Value::Array(vec![filled(elements)]);
        }
        let mut object: serde_json::Map<String, Value> =
            shape.members.values().map(|(name, inside)| (name.clone(), filled(inside))).collect();
        if let Some(entries) = &shape.entries {
            let key = shape.host_keys.as_ref().map_or_else(|| "key".into(), of_rule);
            object.insert(key.as_str().unwrap().to_owned(), filled(entries));
        }
        if object.is_empty() { Value::from("key") } else { Value::Object(object) }
    }

    /// What a body has at these steps; `[]` is an element.
    fn at_steps(steps: &[&str], value: Value) -> Value {
        steps.iter().rev().fold(value, |value, step| match *step {
            "[]" => Value::Array(vec![value]),
            name => Value::Object([(name.to_owned(), value)].into_iter().collect()),
        })
    }

    /// The shape at these steps.
    fn shape_at<'s>(shape: &'s BodyShape, steps: &[&str]) -> &'s BodyShape {
        steps.iter().fold(shape, |shape, step| match *step {
            "[]" => shape.elements.as_deref().unwrap(),
            name => &shape.members[&fold(name)].1,
        })
    }

    #[test]
    fn no_text_of_a_mount_can_hold_an_option() {
        let mut tried = 0;
        for (id, steps) in [
            ("ContainerCreate", &["HostConfig", "Mounts", "[]"][..]),
            ("ServiceCreate", &["TaskTemplate", "ContainerSpec", "Mounts", "[]"]),
            ("ServiceUpdate", &["TaskTemplate", "ContainerSpec", "Mounts", "[]"]),
        ] {
            let shape = body_of(operation(id).unwrap()).unwrap().unwrap();
            for kind in ["volume", "image", "tmpfs"] {
                let mut mount = filled(shape_at(&shape, steps));
                mount["Type"] = kind.into();
                let body = |mount: Value| at_steps(steps, mount).to_string();
                assert!(written(id, &body(mount.clone())).is_ok(), "{mount}: {:?}", written(id, &body(mount.clone())));
                for injected in [",volume-opt=device=/etc", "\",a", "\na", "\r"] {
                    for with in with_each_text(&mount, &|text| format!("{text}{injected}")) {
                        // What restricts nothing is the weakest profile that restricts anything.
                        let refused = written_if(id, &body(with.clone()), |_| false);
                        assert!(matches!(refused, Err(BodyFault::Form(_) | BodyFault::Host(_))), "{with}: {refused:?}");
                        tried += 1;
                    }
                }
            }
        }
        // Type, source, target, consistency, propagation, three of other kinds, a label with its key, a driver.
        assert!(tried >= 3 * 3 * 4 * 10, "{tried}");
    }

    /// The places of a shape that reach the host, each with a body that has only that, and the rule.
    fn host_places(shape: &BodyShape, at: &dyn Fn(Value) -> Value, found: &mut Vec<(Value, HostRule)>) {
        let reaching = |rule: &HostRule| match rule {
            HostRule::Null => serde_json::json!([]),
            HostRule::Empty => serde_json::json!({"a": "b"}),
            HostRule::Words(_) => "fluentd".into(),
            HostRule::Form(TextForm::Assignment) => "*".into(),
            HostRule::Form(TextForm::Label) => "PODMAN_SYSTEMD_UNIT".into(),
            HostRule::Form(TextForm::Group) => "keep-groups".into(),
            HostRule::Form(TextForm::NotNegative) => Value::from(-1),
            HostRule::Form(TextForm::Sysctl) => "kernel.core_pattern".into(),
            HostRule::Form(TextForm::TmpfsPlace) => "/a:rbind".into(),
            HostRule::Form(TextForm::TmpfsOptions) => "rbind".into(),
            HostRule::Form(TextForm::PathInside) => "../a".into(),
            HostRule::Form(TextForm::PrivateSubnet) => "8.8.8.0/24".into(),
            HostRule::Form(TextForm::Plain | TextForm::PlainAssignment) => "a={{.Node.ID}}".into(),
        };
        if let Some(rule) = &shape.host {
            found.push((at(reaching(rule)), rule.clone()));
        }
        if let Some(rule) = &shape.host_keys {
            let key = reaching(rule).as_str().unwrap().to_owned();
            found.push((at(Value::Object([(key, Value::from("a"))].into_iter().collect())), rule.clone()));
        }
        for (name, inside) in shape.members.values() {
            // A mount is read by its type.
            let of_mount = (shape.names == Some(NameForm::Mount)).then(|| ("Type".to_owned(), Value::from("volume")));
            let with = |value| at(Value::Object([(name.clone(), value)].into_iter().chain(of_mount.clone()).collect()));
            host_places(inside, &with, found);
        }
        for (inside, is_list) in [(&shape.elements, true), (&shape.entries, false)] {
            let Some(inside) = inside else { continue };
            // The key is one that passes.
            let key = match &shape.host_keys {
                Some(HostRule::Words(words)) => words[0].clone(),
                _ => "a".to_owned(),
            };
            let with = |value| match is_list {
                true => at(Value::Array(vec![value])),
                false => at(Value::Object([(key.clone(), value)].into_iter().collect())),
            };
            host_places(inside, &with, found);
        }
    }

    #[test]
    fn each_place_that_reaches_the_host_is_guarded_in_each_operation() {
        let mut count = 0;
        for operation in crate::api::OPERATIONS {
            let Some(shape) = body_of(operation).unwrap() else { continue };
            let mut places = Vec::new();
            host_places(&shape, &|value| value, &mut places);
            count += places.len();
            for (body, rule) in places {
                let body = body.to_string();
                let refused = written_if(operation.id, &body, |_| false);
                assert!(matches!(refused, Err(BodyFault::Host(_))), "{} {body} {rule:?}: {refused:?}", operation.id);
                let up = written_by(operation.id, &body, |_| false, true);
                assert!(up.is_ok(), "{} {body}: {up:?}", operation.id);
            }
        }
        assert!(count > 130, "{count}");
    }

    /// What was found to reach the host of some engine.
    #[test]
    fn known_ways_to_the_host_are_closed() {
        for (id, body) in [
            ("ContainerCreate", r#"{"HostConfig":{"LogConfig":{"Type":"k8s-file","Config":{"path":"/etc/a"}}}}"#),
            ("ContainerCreate", r#"{"HostConfig":{"LogConfig":{"Config":{"path":"/etc/a"}}}}"#),
            ("ContainerCreate", r#"{"HostConfig":{"LogConfig":{"Type":"fluentd"}}}"#),
            ("ContainerCreate", r#"{"HostConfig":{"LogConfig":{"Type":"passthrough"}}}"#),
            ("ContainerCreate", r#"{"HostConfig":{"LogConfig":{"Type":"JSON-file"}}}"#),
            ("ContainerCreate", r#"{"HostConfig":{"ContainerIDFile":"/etc/a"}}"#),
            ("ContainerCreate", r#"{"Env":["A=b","*"]}"#),
            ("ContainerCreate", r#"{"Env":["ENGINE_SECRET"]}"#),
            ("ContainerCreate", r#"{"HostConfig":{"BlkioDeviceReadBps":[{"Path":"/dev/a","Rate":1}]}}"#),
            ("ContainerCreate", r#"{"HostConfig":{"OomScoreAdj":-1000}}"#),
            ("ContainerCreate", r#"{"HostConfig":{"SecurityOpt":["no-new-privileges","seccomp=unconfined"]}}"#),
            ("ContainerCreate", r#"{"HostConfig":{"SecurityOpt":["systempaths=unconfined"]}}"#),
            ("ContainerCreate", r#"{"HostConfig":{"StorageOpt":{"overlay.mount_program":"/a"}}}"#),
            ("ContainerCreate", r#"{"Labels":{"io.containers.autoupdate":"local"}}"#),
            ("ContainerUpdate", r#"{"Devices":[{"PathOnHost":"/dev/sda"}]}"#),
            ("ContainerUpdate", r#"{"DeviceCgroupRules":["a *:* rwm"]}"#),
            ("ContainerUpdate", r#"{"BlkioWeightDevice":[{"Path":"/dev/a","Weight":10}]}"#),
            ("ContainerUpdate", r#"{"CgroupParent":"/"}"#),
            ("ContainerExec", r#"{"Env":["*"]}"#),
            ("NetworkCreate", r#"{"Options":{"com.docker.network.bridge.name":"br0"}}"#),
            ("NetworkCreate", r#"{"Options":{"parent":"eth0"}}"#),
            ("NetworkCreate", r#"{"Driver":"macvlan"}"#),
            ("NetworkCreate", r#"{"Driver":"ipvlan"}"#),
            ("NetworkCreate", r#"{"IPAM":{"Config":[{"Subnet":"0.0.0.0/0"}]}}"#),
            ("NetworkCreate", r#"{"IPAM":{"Driver":"other"}}"#),
            ("NetworkConnect", r#"{"EndpointConfig":{"DriverOpts":{"host_interface_name":"eth0"}}}"#),
            (
                "ServiceCreate",
                r#"{"TaskTemplate":{"LogDriver":{"Name":"fluentd","Options":{"fluentd-address":"unix:///a"}}}}"#,
            ),
            ("ServiceUpdate", r#"{"TaskTemplate":{"LogDriver":{"Name":"syslog"}}}"#),
            ("ServiceUpdate", r#"{"TaskTemplate":{"ContainerSpec":{"Env":["A"]}}}"#),
            ("ServiceCreate", r#"{"TaskTemplate":{"ContainerSpec":{"Hostname":"{{.Node.Hostname}}"}}}"#),
            ("ServiceCreate", r#"{"TaskTemplate":{"ContainerSpec":{"Env":["A={{.Node.ID}}"]}}}"#),
            (
                "ServiceUpdate",
                r#"{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"volume","Target":"/\u007b{.Node.ID}}"}]}}}"#,
            ),
            (
                "ServiceUpdate",
                r#"{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"volume","VolumeOptions":{"Labels":{"a":"{{.Node.ID}}"}}}]}}}"#,
            ),
            ("ImageCommit", r#"{"Labels":{"PODMAN_SYSTEMD_UNIT":"a"}}"#),
        ] {
            let refused = written_if(id, body, |_| false);
            assert!(matches!(refused, Err(BodyFault::Host(_))), "{id} {body}: {refused:?}");
        }
        for (id, body) in [
            ("ContainerUpdate", r#"{"Env":["A=b"]}"#),
            ("ContainerCreate", r#"{"EnvMerge":["A"]}"#),
            ("VolumeUpdate", r#"{"Name":"a"}"#),
            ("ExecStart", r#"{"Privileged":true}"#),
            ("NetworkCreate", r#"{"ConfigOnly":{"a":1}}"#),
            ("ContainerCreate", r#"{"Env":"A=b"}"#),
            ("ContainerCreate", r#"{"HostConfig":"a"}"#),
        ] {
            let refused = written_if(id, body, |_| false);
            assert!(matches!(refused, Err(BodyFault::Unknown(_))), "{id} {body}: {refused:?}");
        }
    }

    /// Clients of a newer version write what they do not set.
    #[test]
    fn an_unknown_member_that_stands_for_nothing_is_left_out() {
        for value in ["null", "false", "0", "\"\"", "{}", "[]", "{ }", "[ ]"] {
            for id in ["ContainerCreate", "ServiceUpdate", "NetworkCreate", "ContainerUpdate"] {
                check(id, &format!(r#"{{"New":{value}}}"#), "{}");
            }
        }
        check("ContainerCreate", r#"{"HostConfig":{"New":0,"Memory":0}}"#, r#"{"HostConfig":{"Memory":0}}"#);
    }

    /// Two ways to read a body: what the engine reads must be what was looked up.
    #[test]
    fn no_body_can_be_read_in_two_ways() {
        for name in ["container", "CONTAINER", "\\u0043ontainer"] {
            let body = format!(r#"{{"{name}":"a"}}"#);
            check("NetworkConnect", &body, r#"{"Container":"<Container a>"}"#);
        }
        // The long s and the Kelvin sign.
        check(
            "ContainerCreate",
            "{\"Ho\u{17f}tConfig\":{\"NetworkMode\":\"n\"}}",
            r#"{"HostConfig":{"NetworkMode":"<Network n>"}}"#,
        );
        check(
            "NetworkConnect",
            "{\"EndpointConfig\":{\"Lin\u{212a}s\":[\"a\"]}}",
            r#"{"EndpointConfig":{"Links":["<ContainerName a>:a"]}}"#,
        );
        for (id, body) in [
            ("NetworkConnect", r#"{"Container":"a","Container":"b"}"#),
            ("NetworkConnect", r#"{"Container":"a","container":"b"}"#),
            ("NetworkConnect", r#"{"Container":null,"container":"b"}"#),
            ("NetworkConnect", r#"{"EndpointConfig":{},"endpointconfig":{"NetworkID":"b"}}"#),
            ("NetworkConnect", r#"{"Container":"a"}{"Container":"b"}"#),
            ("NetworkConnect", r#"{"Container":"a"} x"#),
            ("NetworkConnect", r#"{"Container":"\ud800"}"#),
            ("NetworkConnect", r#"["Container"]"#),
            ("NetworkConnect", "null"),
            ("NetworkConnect", ""),
            ("NetworkConnect", "{"),
            ("NetworkConnect", "\u{feff}{}"),
            ("ContainerCreate", r#"{"Volumes":{"/a":{},"/a":{}}}"#),
            ("ContainerCreate", "{\"HostConfig\":{},\"Ho\u{17f}tConfig\":{}}"),
        ] {
            check_fault(id, body, &BodyFault::Unread);
        }
        let shape = body_of(operation("NetworkConnect").unwrap()).unwrap().unwrap();
        assert_eq!(BodyNames::read(b"{\"Container\":\"\xff\"}", &shape, &|_| true, &nothing()), Err(BodyFault::Unread));
        // Two names of one network would be one key.
        let two = r#"{"NetworkingConfig":{"EndpointsConfig":{"a":{},"b":{}}}}"#;
        let shape = body_of(operation("ContainerCreate").unwrap()).unwrap().unwrap();
        let found = BodyNames::read(two.as_bytes(), &shape, &|_| true, &nothing()).unwrap();
        assert_eq!(found.write(&["x".to_owned(), "x".to_owned()]), Err(BodyFault::Unread));
        assert!(found.write(&["x".to_owned(), "y".to_owned()]).is_ok());
    }

    #[test]
    fn what_is_not_known_could_name_something() {
        let unknown = |path: &str| BodyFault::Unknown(path.to_owned());
        for (id, body, path) in [
            ("NetworkConnect", r#"{"Containers":["a"]}"#, "$.Containers"),
            ("NetworkConnect", r#"{"EndpointConfig":{"New":1}}"#, "$.EndpointConfig.New"),
            // Engines up to 27 read these at the top if `HostConfig` is not there.
            ("ContainerCreate", r#"{"NetworkMode":"container:a"}"#, "$.NetworkMode"),
            ("ContainerCreate", r#"{"HostConfig":null,"Binds":["v:/v"]}"#, "$.Binds"),
            ("ContainerCreate", r#"{"volumesfrom":["a"]}"#, "$.volumesfrom"),
            ("ContainerCreate", r#"{"Labels":{"a":{"b":1}}}"#, "$.Labels.*.b"),
            ("ContainerCreate", r#"{"Hostname":["a"]}"#, "$.Hostname[*]"),
            ("ContainerCreate", r#"{"Hostname":{"a":1}}"#, "$.Hostname.a"),
            ("ContainerCreate", r#"{"Cmd":{"a":1}}"#, "$.Cmd.a"),
        ] {
            check_fault(id, body, &unknown(path));
        }
        for form in ["ns:/proc/1/ns/net", "slirp4netns:a", "Container:a", "bridge:a"] {
            let fault = BodyFault::Form("$.HostConfig.NetworkMode".to_owned());
            check_fault("ContainerCreate", &format!(r#"{{"HostConfig":{{"NetworkMode":"{form}"}}}}"#), &fault);
        }
        // Clients write what they do not set as null.
        check("ContainerCreate", r#"{"New":null,"Tty":false}"#, r#"{"Tty":false}"#);
        let many: Vec<String> = (0..LIMIT + 1).map(|number| format!("\"a{number}\"")).collect();
        let body = format!(r#"{{"HostConfig":{{"VolumesFrom":[{}]}}}}"#, many.join(","));
        check_fault("ContainerCreate", &body, &BodyFault::TooMany);
    }

    #[test]
    fn what_names_nothing_stays_as_it_is_written() {
        let body = r#"{"Hostname":"\u0041","Memory":12345678901234567890123,"StopTimeout":1e0,"Env":[ "A=\n" ],"Cmd":"sh","ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":null},"HostConfig":{"PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"1"}]},"LogConfig":{"Type":"local","Config":{"max-size":"c"}},"ConsoleSize":[0,0],"Ulimits":[{"Name":"a","Soft":1}],"Privileged":false}}"#;
        check("ContainerCreate", body, &body.replace("[ \"", "[\"").replace("\" ]", "\"]"));
        let named = r#"{"Image":"a","HostConfig":{"NetworkMode":"container:a","Binds":["v:/v"],"Links":["/a:/b/c"]}}"#;
        for kind in ObjectKind::ALL {
            let up = written_if("ContainerCreate", named, |restricted| restricted == kind).unwrap();
            let replaced = up.matches('<').count();
            let expected = match kind {
                // The container lends its network and its environment, whatever is restricted.
                ObjectKind::Container | ObjectKind::Network | ObjectKind::Service => 2,
                ObjectKind::Image | ObjectKind::Volume => 3,
            };
            assert_eq!(replaced, expected, "{kind}: {up}");
        }
    }

    #[test]
    fn a_bind_has_only_options_that_keep_to_the_volume() {
        let binds = |bind: &str| format!(r#"{{"HostConfig":{{"Binds":["{bind}"]}}}}"#);
        let keys = |bind: &str| format!(r#"{{"Volumes":{{"{bind}":{{}}}}}}"#);
        let form = |path: &str| BodyFault::Form(path.to_owned());
        for option in [
            "O",
            "U",
            "idmap",
            "upperdir=/etc",
            "workdir=/w",
            "O,upperdir=/etc,workdir=/w",
            "ro,O",
            "exec",
            "RO",
            " ro",
            "ro:O",
        ] {
            for restricted in ObjectKind::ALL {
                let written = |body: &str| written_if("ContainerCreate", body, |kind| kind == restricted);
                let bind = format!("v:/h:{option}");
                assert_eq!(written(&binds(&bind)), Err(form("$.HostConfig.Binds[*]")), "{bind}");
                assert_eq!(written(&keys(&bind)), Err(form("$.Volumes.*~")), "{bind}");
            }
        }
        for source in ["/", "./../etc", ".", "~/a", "a/b", "", "\\\\pipe"] {
            for body in [binds(&format!("{source}:/h")), keys(&format!("{source}:/h:ro"))] {
                assert!(matches!(written("ContainerCreate", &body), Err(BodyFault::Host(_))), "{body}");
            }
        }
        for option in BIND_OPTIONS {
            let bind = binds(&format!("v:/h:{option}"));
            check("ContainerCreate", &bind, &bind.replace("v:", "<Volume v>:"));
        }
        // What may pass is looked up all the same.
        let open = written_by("ContainerCreate", &binds("v:/h:O,upperdir=/etc"), |_| true, true);
        assert_eq!(open, Ok(binds("<Volume v>:/h:O,upperdir=/etc")));
    }

    #[test]
    fn what_reaches_the_host_needs_the_profile() {
        let host = |member: &str, value: &str| format!(r#"{{"HostConfig":{{"{member}":{value}}}}}"#);
        for (member, value) in [
            ("Privileged", "true"),
            ("Privileged", "1"),
            ("CapAdd", r#"["ALL"]"#),
            ("CapAdd", r#""ALL""#),
            ("Devices", r#"[{"PathOnHost":"/dev/sda"}]"#),
            ("SecurityOpt", r#"["apparmor=unconfined"]"#),
            ("MaskedPaths", "[]"),
            ("ReadonlyPaths", "[ ]"),
            ("Runtime", r#""other""#),
            ("CgroupParent", r#""/""#),
            ("Annotations", r#"{"a":"b"}"#),
            ("NetworkMode", r#""host""#),
            ("PidMode", r#""host""#),
            ("IpcMode", r#""host""#),
            ("IpcMode", r#""container:a""#),
            ("UsernsMode", r#""host""#),
            ("Binds", r#"["/:/host"]"#),
            ("Mounts", r#"[{"Type":"bind","Source":"/"}]"#),
            ("Mounts", r#"[{"type":"bind","source":"/"}]"#),
            ("Mounts", r#"[{"Type":"volume","VolumeOptions":{"DriverConfig":{"Options":{"device":"/"}}}}]"#),
        ] {
            let body = host(member, value);
            for restricted in [ObjectKind::Container, ObjectKind::Volume, ObjectKind::Network, ObjectKind::Image] {
                let refused = written_if("ContainerCreate", &body, |kind| kind == restricted);
                assert!(matches!(&refused, Err(BodyFault::Host(path)) if path.contains(member)), "{body} {refused:?}");
            }
            let up = written_by("ContainerCreate", &body, |_| true, true);
            assert!(up.is_ok(), "{body}: {up:?}");
        }
        for (member, value) in [
            ("Privileged", "false"),
            ("CapAdd", "[ ]"),
            ("Devices", "null"),
            ("MaskedPaths", "null"),
            ("Annotations", "{ }"),
            ("Runtime", r#""runc""#),
            ("CgroupParent", r#""""#),
            ("PidMode", r#""private""#),
        ] {
            assert!(written("ContainerCreate", &host(member, value)).is_ok(), "{member} {value}");
        }
        for body in [r#"{"Driver":"nfs"}"#, r#"{"DriverOpts":{"o":"bind"}}"#, r#"{"ClusterVolumeSpec":{"Group":"a"}}"#]
        {
            assert!(matches!(written("VolumeCreate", body), Err(BodyFault::Host(_))), "{body}");
        }
        check("VolumeCreate", r#"{"Driver":"local","DriverOpts":{}}"#, r#"{"Driver":"local","DriverOpts":{}}"#);
    }

    /// What the profile lets pass whole is looked up all the same, where its form is known.
    #[test]
    fn a_body_that_passes_whole_has_its_names_replaced() {
        let body = r#"{"Image":"a","New":{"B":[1]},"HostConfig":{"NetworkMode":"ns:/a","PidMode":"container:a","Binds":["/a:/b","v:/b"]}}"#;
        let up = written_by("ContainerCreate", body, |_| true, true).unwrap();
        let expected = body.replace(r#""Image":"a""#, r#""Image":"<Image a>""#);
        let expected = expected.replace("container:a", "container:<Container a>").replace("\"v:/b", "\"<Volume v>:/b");
        assert_eq!(up, expected);
        assert_eq!(written_by("ContainerCreate", r#"{"New":1,"New":2}"#, |_| true, true), Err(BodyFault::Unread));
    }

    /// The members that the docker command sends, whose zeros stand for nothing.
    #[test]
    fn the_body_of_the_docker_command_is_known() {
        let body = r#"{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":true,"AttachStderr":true,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["sleep","1"],"Image":"busybox","Volumes":{},"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{},"HostConfig":{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"","Config":{}},"NetworkMode":"default","PortBindings":{},"RestartPolicy":{"Name":"no","MaximumRetryCount":0},"AutoRemove":false,"VolumeDriver":"","VolumesFrom":null,"ConsoleSize":[0,0],"CapAdd":null,"CapDrop":null,"CgroupnsMode":"","Dns":[],"DnsOptions":[],"DnsSearch":[],"ExtraHosts":null,"GroupAdd":null,"IpcMode":"","Cgroup":"","Links":null,"OomScoreAdj":0,"PidMode":"","Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,"SecurityOpt":null,"UTSMode":"","UsernsMode":"","ShmSize":0,"Isolation":"","CpuShares":0,"Memory":0,"NanoCpus":0,"CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":[],"BlkioDeviceReadBps":[],"BlkioDeviceWriteBps":[],"BlkioDeviceReadIOps":[],"BlkioDeviceWriteIOps":[],"CpuPeriod":0,"CpuQuota":0,"CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"","Devices":[],"DeviceCgroupRules":null,"DeviceRequests":null,"KernelMemory":0,"KernelMemoryTCP":0,"MemoryReservation":0,"MemorySwap":0,"MemorySwappiness":-1,"OomKillDisable":false,"PidsLimit":0,"Ulimits":null,"CpuCount":0,"CpuPercent":0,"IOMaximumIOps":0,"IOMaximumBandwidth":0,"MaskedPaths":null,"ReadonlyPaths":null},"NetworkingConfig":{"EndpointsConfig":{"default":{"IPAMConfig":null,"Links":null,"Aliases":null,"MacAddress":"","DriverOpts":null,"GwPriority":0,"NetworkID":"","EndpointID":"","Gateway":"","IPAddress":"","IPPrefixLen":0,"IPv6Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DNSNames":null}}}}"#;
        let expected = body.replace(r#""Image":"busybox""#, r#""Image":"<Image busybox>""#);
        check("ContainerCreate", body, &expected);
    }

    /// What the docker command 28.2 sends without options, recorded, and docker-py for Compose.
    #[test]
    fn the_bodies_of_clients_go_up_as_they_are() {
        for (id, body) in [
            (
                "ServiceCreate",
                r#"{"Name":"s","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"bb:1","Args":["sleep","1000"],"Init":false,"DNSConfig":{}},"Resources":{"Limits":{},"Reservations":{}},"Placement":{},"ForceUpdate":0},"Mode":{"Replicated":{}},"EndpointSpec":{"Mode":"vip"}}"#,
            ),
            (
                "NetworkCreate",
                r#"{"Driver":"bridge","Scope":"","IPAM":{"Driver":"default","Options":{},"Config":[]},"Internal":false,"Attachable":false,"Ingress":false,"ConfigOnly":false,"ConfigFrom":null,"Options":{},"Labels":{},"Name":"n","CheckDuplicate":true}"#,
            ),
            ("VolumeCreate", r#"{"Driver":"local"}"#),
            (
                "ContainerUpdate",
                r#"{"CpuShares":0,"Memory":94371840,"NanoCpus":0,"CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":null,"BlkioDeviceReadBps":null,"BlkioDeviceWriteBps":null,"BlkioDeviceReadIOps":null,"BlkioDeviceWriteIOps":null,"CpuPeriod":0,"CpuQuota":0,"CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"","Devices":null,"DeviceCgroupRules":null,"DeviceRequests":null,"MemoryReservation":0,"MemorySwap":-1,"MemorySwappiness":null,"OomKillDisable":null,"PidsLimit":null,"Ulimits":null,"CpuCount":0,"CpuPercent":0,"IOMaximumIOps":0,"IOMaximumBandwidth":0,"RestartPolicy":{"Name":"","MaximumRetryCount":0}}"#,
            ),
            (
                "ContainerExec",
                r#"{"User":"","Privileged":false,"Tty":false,"AttachStdin":false,"AttachStderr":true,"AttachStdout":true,"Detach":false,"DetachKeys":"","Env":null,"WorkingDir":"","Cmd":["id"]}"#,
            ),
            ("ExecStart", r#"{"Detach":false,"Tty":false}"#),
            (
                "ContainerCreate",
                r#"{"Tty":false,"OpenStdin":false,"StdinOnce":false,"AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Cmd":["sleep","1000"],"Healthcheck":{"Test":["CMD","id"]},"Image":"bb:1","Volumes":{"/data":{}},"NetworkDisabled":false,"Env":["A=b"],"ExposedPorts":{"80/tcp":{}},"Labels":{"com.docker.compose.project":"shop"},"HostConfig":{"NetworkMode":"shop_net","VolumesFrom":[],"Binds":["shop_data:/data:rw"],"PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8081"}]},"Links":[],"LogConfig":{"Type":"","Config":{}},"RestartPolicy":{"Name":"always","MaximumRetryCount":0}},"NetworkingConfig":{"EndpointsConfig":{"shop_net":{"Aliases":["web"],"IPAMConfig":{}}}}}"#,
            ),
        ] {
            let up = written_if(id, body, |_| false).unwrap();
            let [up, sent] = [up.as_str(), body].map(|text| serde_json::from_str::<Value>(text).unwrap());
            assert_eq!(up, sent, "{id}");
        }
    }
}
