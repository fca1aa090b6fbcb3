//! The tables in `filters/compat`: which operations each variable of another socket proxy allows.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::api::operations_named;
use crate::api::unknown_operation;
use crate::config::{Timeouts, raw};
use crate::embedded::{self, FileGroup};
use crate::packed::Unpacker;
use crate::quoting;
use crate::socket::Address;
use crate::yaml::{Diagnostics, Members, Node};

use super::{RunAs, value};

/// The files inside the program, in the order in which they are tried.
const FILES: [&str; 3] = ["compat/11notes.yaml", "compat/linuxserver.yaml", "compat/tecnativa.yaml"];

/// The files of forks, which `migrate` reads and no drop-in mode.
const FORKS: [&str; 4] = [
    "compat/fork/fluencelabs.yaml",
    "compat/fork/mjmccans.yaml",
    "compat/fork/nextcloud.yaml",
    "compat/fork/zoeyvid.yaml",
];

/// The keys of a file.
const KEYS: [&str; 19] = [
    "compat",
    "about",
    "image",
    "images",
    "engine",
    "extends",
    "without",
    "partly",
    "marks",
    "words",
    "prefixes",
    "listen",
    "run_as",
    "timeouts",
    "shares",
    "allow",
    "raw",
    "variables",
    "ineffective",
];
/// The keys of one variable.
const VARIABLE_KEYS: [&str; 11] =
    ["means", "methods", "default", "needs", "on", "allow", "with_post", "raw", "same", "different", "missing"];

/// The variables of one other proxy, and what they mean here.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its short name, which is reported at start.
    pub name: String,
    /// Its full name.
    pub about: String,
    /// The name of its image, without registry and tag.
    pub image: String,
    /// Other images that read the same variables.
    pub images: Vec<String>,
    /// The engine, if no variable names it.
    pub engine: Option<Address>,
    /// The variables that no other program reads: one of them tells that it is replaced.
    pub marks: Vec<String>,
    /// Variables that another program may read as well. It takes two of them to tell that it is replaced.
    pub words: Vec<String>,
    /// A variable with such a prefix belongs to it, or is misspelt.
    pub prefixes: Vec<String>,
    /// Where it listened on TCP.
    pub listen: Vec<Address>,
    /// Its limits of time.
    pub timeouts: Timeouts,
    /// The user that a process started as root becomes, if no variable says.
    pub run_as: Option<RunAs>,
    /// The operations that it always allowed.
    pub allow: Vec<&'static str>,
    /// As `allow`, for responses that no filter can read; they need `DOCKVEIL_SHOW=all`.
    pub raw: Vec<&'static str>,
    /// Operations that it allowed for some objects or requests only, each with which.
    pub partly: BTreeMap<&'static str, String>,
    /// The proxy whose variables it reads too.
    pub shares: Option<SharedVariables>,
    /// Its variables.
    pub variables: BTreeMap<String, Variable>,
    /// Variables that people set although it does not read them, each with what to know about that.
    pub ineffective: BTreeMap<String, String>,
}

/// One proxy reads all variables of another, and more. If only shared ones are set, they are read as those of the other.
#[derive(Debug, PartialEq, Eq)]
pub struct SharedVariables {
    /// The short name of the other proxy.
    pub with: String,
    /// What differs for shared variables.
    pub differs: String,
}

/// One variable of another proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its meaning.
    pub means: Means,
    /// The methods that it opens, for a switch for writing; all if empty.
    pub methods: Vec<String>,
    /// Its value when it is not set.
    pub default: String,
    /// Another switch that must be on.
    pub needs: Option<String>,
    /// The words that are on, if it is not read as HAProxy reads a boolean.
    pub on: Vec<String>,
    /// The operations that it allows.
    pub allow: Vec<&'static str>,
    /// The operations that it allows together with the switch for writing.
    pub with_post: Vec<&'static str>,
    /// The operations that it allows if everything is shown.
    pub raw: Vec<&'static str>,
    /// Whether it means what it meant for the other proxy.
    pub verdict: Verdict,
}

/// The meaning of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// Allows a part of the API.
    Switch,
    /// Allows a part of the API that changes things, even if the switch for writing is off.
    Action,
    /// The switch for writing: allows to change things.
    Post,
    /// The engine's socket.
    Socket,
    /// The folder of the proxy's own socket.
    Volume,
    /// The user that the process becomes.
    User,
    /// The group that the process becomes.
    Group,
    /// The timeout for connecting to the engine.
    Connect,
    /// A time that has no effect.
    Duration,
    /// The log level.
    Log,
    /// Listens on IPv4 only.
    Ipv4,
    /// The port of its listener.
    Port,
    /// Cannot be on: what it opens cannot be expressed.
    Refused,
    /// Nothing, here or there.
    Nothing,
    /// Something that does not exist here.
    Unsupported,
}

impl Means {
    /// The meaning that a file calls so.
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "switch" => Self::Switch,
            "action" => Self::Action,
            "post" => Self::Post,
            "socket" => Self::Socket,
            "volume" => Self::Volume,
            "user" => Self::User,
            "group" => Self::Group,
            "connect" => Self::Connect,
            "duration" => Self::Duration,
            "log" => Self::Log,
            "ipv4" => Self::Ipv4,
            "port" => Self::Port,
            "refused" => Self::Refused,
            "nothing" => Self::Nothing,
            "unsupported" => Self::Unsupported,
            _ => return None,
        })
    }
}

/// Whether a variable means what it meant for the other proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, and what it does.
    Same(String),
    /// No, on purpose, and why.
    Different(String),
    /// It has no effect here, and why.
    Missing(String),
}

impl Verdict {
    /// The verdict and its reason, for a table in the documentation.
    pub fn words(&self) -> (&'static str, &str) {
        match self {
            Self::Same(why) => ("same", why),
            Self::Different(why) => ("different", why),
            Self::Missing(why) => ("not supported", why),
        }
    }
}

/// The tables inside the program.
///
/// # Errors
/// The errors in the files; none in a program whose tests pass.
pub fn tables() -> Result<&'static [Table], Diagnostics> {
    static TABLES: LazyLock<Result<Vec<Table>, Diagnostics>> = LazyLock::new(|| read_all(&FILES));
    TABLES.as_deref().map_err(Clone::clone)
}

/// Whether a variable of another proxy is set, according to `is_set`.
///
/// This needs the names of the variables only. The [`tables`] are not read, because nearly every start has no such variable.
///
/// # Errors
/// The program is damaged; a test makes sure that it is not.
pub(super) fn any_is_told(is_set: impl Fn(&str) -> bool) -> Result<bool, Diagnostics> {
    let unpack = |packed: &[u8]| Unpacker::new(packed).list(|packed| packed.text().map(&is_set));
    Ok(embedded::table("compat/variables", unpack)?.contains(&true))
}

/// The tables of forks, which have no drop-in mode.
///
/// # Errors
/// The errors in the files; none in a program whose tests pass.
pub fn forks() -> Result<&'static [Table], Diagnostics> {
    static TABLES: LazyLock<Result<Vec<Table>, Diagnostics>> = LazyLock::new(|| read_all(&FORKS));
    TABLES.as_deref().map_err(Clone::clone)
}

/// Reads the tables in files.
fn read_all(files: &[&str]) -> Result<Vec<Table>, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let mut tables = Vec::new();
    let group = diagnostics.ok(FileGroup::with(files.first().copied().unwrap_or_default()));
    for file in files {
        let document = group.as_ref().and_then(|group| diagnostics.ok(group.document(file)));
        tables.extend(document.and_then(|document| Table::read(&document, &mut diagnostics)));
    }
    diagnostics.finish(tables)
}

impl Table {
    /// Reads one file.
    fn read(document: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let members = diagnostics.members(document, "a table of variables", &KEYS)?;
        let text = |name: &str, diagnostics: &mut Diagnostics| text_of(document, members, name, diagnostics);
        let texts = |name: &str, diagnostics: &mut Diagnostics| -> Vec<String> {
            let found = members.get(name).map(|node| diagnostics.texts(node, "names")).unwrap_or_default();
            found.into_iter().map(|(text, _)| text.to_owned()).collect()
        };
        let (name, about, image) =
            (text("compat", diagnostics)?, text("about", diagnostics)?, text("image", diagnostics)?);
        let (marks, words) = (texts("marks", diagnostics), texts("words", diagnostics));
        let prefixes = texts("prefixes", diagnostics);
        let listen = members.get("listen").map(|node| diagnostics.texts(node, "addresses")).unwrap_or_default();
        let listen =
            listen.into_iter().filter_map(|(text, node)| diagnostics.ok(raw::address(text, &node.location))).collect();
        let run_as = members.get("run_as").and_then(|node| diagnostics.ok(raw::owner(node)));
        let run_as = run_as.and_then(|who| Some(RunAs { user: who.user?, group: who.group? }));
        let timeouts = members.get("timeouts").map(|node| raw::timeouts(node, diagnostics)).unwrap_or_default();
        let shares = members.get("shares").and_then(|node| SharedVariables::read(node, diagnostics));
        let (allow, raw) = (operations(members, "allow", diagnostics), operations(members, "raw", diagnostics));
        let base = members.get("extends").and_then(|node| extended(node, diagnostics));
        let without = texts("without", diagnostics);
        let variables = variables(members, base, &without, diagnostics);
        let mut ineffective = base.map(|base| base.ineffective.clone()).unwrap_or_default();
        ineffective.extend(notes_of(members, "ineffective", diagnostics));
        ineffective.retain(|name, _| !variables.contains_key(name));
        let engine = members.get("engine").and_then(|node| {
            let text = diagnostics.ok(node.text("an address"))?;
            diagnostics.ok(raw::address(text, &node.location))
        });
        Some(Self {
            name,
            about,
            image,
            images: texts("images", diagnostics),
            engine,
            partly: partly(members, diagnostics),
            marks,
            words,
            prefixes,
            listen,
            run_as,
            timeouts,
            shares,
            allow,
            raw,
            variables,
            ineffective,
        })
    }

    /// Whether this proxy reads all variables of another, and more.
    pub fn shares_with(&self, other: &Self) -> bool {
        self.shares.as_ref().is_some_and(|shares| shares.with == other.name)
    }

    /// The variables that allow something, or do not.
    pub fn switches(&self) -> impl Iterator<Item = (&str, &Variable)> {
        self.variables.iter().map(|(name, variable)| (name.as_str(), variable)).filter(|(_, variable)| {
            match variable.means {
                Means::Switch | Means::Action | Means::Post | Means::Ipv4 | Means::Refused => true,
                Means::Socket
                | Means::Volume
                | Means::User
                | Means::Group
                | Means::Connect
                | Means::Duration
                | Means::Log
                | Means::Port
                | Means::Nothing
                | Means::Unsupported => false,
            }
        })
    }

    /// The one variable with this meaning.
    pub fn meaning(&self, means: Means) -> Option<(&str, &Variable)> {
        let mut all = self.variables.iter().map(|(name, variable)| (name.as_str(), variable));
        all.find(|(_, variable)| variable.means == means)
    }
}

impl SharedVariables {
    /// Reads `shares`.
    fn read(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let members = diagnostics.members(node, "the name of a table and what differs", &["with", "differs"])?;
        let with = text_of(node, members, "with", diagnostics)?;
        Some(Self { with, differs: text_of(node, members, "differs", diagnostics)? })
    }
}

impl Variable {
    /// Whether a value of a switch is on, as the other proxy reads it.
    pub fn is_on(&self, text: &str) -> bool {
        if self.on.is_empty() {
            return value::is_on(text);
        }
        self.on.iter().any(|word| word.eq_ignore_ascii_case(text))
    }

    /// Reads one of `variables`.
    fn read(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let members = diagnostics.members(node, "a variable", &VARIABLE_KEYS)?;
        let means = text_of(node, members, "means", diagnostics)?;
        let Some(means) = Means::parse(&means) else {
            diagnostics.push(node.diagnostic(format!("unknown meaning {:?}", quoting::value(&means))));
            return None;
        };
        let mut verdicts = Vec::new();
        for (key, verdict) in [
            ("same", Verdict::Same as fn(String) -> Verdict),
            ("different", Verdict::Different),
            ("missing", Verdict::Missing),
        ] {
            if members.get(key).is_some() {
                verdicts.extend(text_of(node, members, key, diagnostics).map(verdict));
            }
        }
        let (Some(verdict), true) = (verdicts.pop(), verdicts.is_empty()) else {
            diagnostics.push(node.diagnostic("expected one of same, different, missing"));
            return None;
        };
        let needs = members.get("needs").and_then(|node| diagnostics.ok(node.text("a variable")));
        let mut texts = |name: &str| -> Vec<String> {
            let found = members.get(name).map(|node| diagnostics.texts(node, "words")).unwrap_or_default();
            found.into_iter().map(|(text, _)| text.to_owned()).collect()
        };
        let (on, methods) = (texts("on"), texts("methods"));
        Some(Self {
            means,
            default: text_of(node, members, "default", diagnostics)?,
            needs: needs.map(ToOwned::to_owned),
            on,
            methods,
            allow: operations(members, "allow", diagnostics),
            with_post: operations(members, "with_post", diagnostics),
            raw: operations(members, "raw", diagnostics),
            verdict,
        })
    }
}

/// The variables in `variables`, and those of the table that it extends.
fn variables(
    members: Members<'_>,
    base: Option<&Table>,
    without: &[String],
    diagnostics: &mut Diagnostics,
) -> BTreeMap<String, Variable> {
    let inherited = base.into_iter().flat_map(|base| &base.variables).filter(|(name, _)| !without.contains(name));
    let mut variables: BTreeMap<String, Variable> =
        inherited.map(|(name, variable)| (name.clone(), variable.clone())).collect();
    let entries = members.get("variables").and_then(|node| diagnostics.ok(node.mapping("variables")));
    for (key, node) in entries.unwrap_or_default() {
        if let Some(variable) = Variable::read(node, diagnostics) {
            variables.insert(key.name.clone(), variable);
        }
    }
    variables
}

/// The table that `extends` names.
fn extended(node: &Node, diagnostics: &mut Diagnostics) -> Option<&'static Table> {
    let name = diagnostics.ok(node.text("the name of a table"))?;
    let found = tables().unwrap_or_default().iter().find(|table| table.name == name);
    if found.is_none() {
        diagnostics.push(node.diagnostic(format!("unknown table {:?}", quoting::value(name))));
    }
    found
}

/// The operations in `partly`.
fn partly(members: Members<'_>, diagnostics: &mut Diagnostics) -> BTreeMap<&'static str, String> {
    let mut found = BTreeMap::new();
    for (name, why) in notes_of(members, "partly", diagnostics) {
        let before = found.len();
        found.extend(operations_named(&name).map(|operation| (operation.id, why.clone())));
        if let (true, Some(node)) = (found.len() == before, members.get("partly")) {
            diagnostics.push(node.diagnostic(unknown_operation(&name)));
        }
    }
    found
}

/// A mapping of names to what to know about each.
fn notes_of(members: Members<'_>, name: &str, diagnostics: &mut Diagnostics) -> BTreeMap<String, String> {
    let entries = members.get(name).and_then(|node| diagnostics.ok(node.mapping("names")));
    let mut found = BTreeMap::new();
    for (key, node) in entries.unwrap_or_default() {
        if let Some(text) = diagnostics.ok(node.text("what to know about it")) {
            found.insert(key.name.clone(), text.to_owned());
        }
    }
    found
}

/// The text of a required member.
fn text_of(whole: &Node, members: Members<'_>, name: &str, diagnostics: &mut Diagnostics) -> Option<String> {
    let Some(node) = members.get(name) else {
        diagnostics.push(whole.diagnostic(format!("expected `{name}`")));
        return None;
    };
    diagnostics.ok(node.text("text")).map(ToOwned::to_owned)
}

/// The operations in a list of ids.
fn operations(members: Members<'_>, name: &str, diagnostics: &mut Diagnostics) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (text, node) in members.get(name).map(|node| diagnostics.texts(node, "operation ids")).unwrap_or_default() {
        let before = found.len();
        found.extend(operations_named(text).map(|operation| operation.id));
        if found.len() == before {
            diagnostics.push(node.diagnostic(unknown_operation(text)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::{Method, OPERATIONS};

    fn table(name: &str) -> &'static Table {
        tables().unwrap().iter().find(|table| table.name == name).unwrap()
    }

    /// All operations that a variable lists, whatever else they need.
    fn listed(variable: &Variable) -> BTreeSet<&'static str> {
        [&variable.allow, &variable.with_post, &variable.raw].into_iter().flatten().copied().collect()
    }

    #[test]
    fn the_tables_have_no_errors() {
        let names: Vec<&str> = tables().unwrap().iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["11notes", "linuxserver", "tecnativa"]);
        for table in tables().unwrap() {
            assert!(table.shares.as_ref().is_none_or(|shares| names.contains(&shares.with.as_str())));
            for name in table.marks.iter().chain(&table.words) {
                assert!(table.variables.contains_key(name), "{}: {name}", table.name);
            }
            for (name, why) in &table.ineffective {
                let is_known = table.variables.contains_key(name);
                let is_refused = table.prefixes.iter().any(|prefix| name.starts_with(prefix));
                assert!(!is_known && !is_refused && !why.is_empty(), "{}: {name}", table.name);
            }
            for (name, variable) in &table.variables {
                let needed = variable.needs.as_ref();
                assert!(needed.is_none_or(|needed| table.variables.contains_key(needed)), "{name}");
                assert!(!variable.verdict.words().1.is_empty(), "{name}");
            }
        }
    }

    #[test]
    fn every_variable_that_tells_leads_to_the_tables() {
        let telling: Vec<&String> =
            tables().unwrap().iter().flat_map(|table| table.marks.iter().chain(&table.words)).collect();
        for name in &telling {
            assert!(any_is_told(|set| set == name.as_str()).unwrap(), "{name}");
        }
        assert!(!any_is_told(|set| !telling.iter().any(|name| set == name.as_str())).unwrap());
    }

    #[test]
    fn the_tables_of_forks_have_no_errors() {
        for table in forks().unwrap() {
            assert!(tables().unwrap().iter().all(|other| other.name != table.name && other.image != table.image));
            assert!(table.marks.is_empty() && table.words.is_empty(), "{} has no drop-in mode", table.name);
            assert!(table.engine.is_some() || table.meaning(Means::Socket).is_some(), "{}", table.name);
            for (name, variable) in &table.variables {
                let needed = variable.needs.as_ref();
                assert!(needed.is_none_or(|needed| table.variables.contains_key(needed)), "{}: {name}", table.name);
            }
            assert!(table.partly.keys().all(|id| !table.allow.contains(id)), "{}", table.name);
        }
    }

    #[test]
    fn every_read_is_allowed_for_11notes_or_on_its_deny_list() {
        let table = table("11notes");
        let denied = [
            "ContainerArchive",
            "ContainerArchiveInfo",
            "ContainerAttachWebsocket",
            "ContainerExport",
            "ConfigInspect",
            "ConfigList",
            "ImageGet",
            "ImageGetAll",
            "SecretInspect",
            "SecretList",
            "SwarmUnlockkey",
        ];
        for operation in OPERATIONS {
            let served = table.allow.contains(&operation.id) || table.raw.contains(&operation.id);
            let reads = matches!(operation.method, Method::Get | Method::Head);
            assert_eq!(served, reads && !denied.contains(&operation.id), "{}", operation.id);
        }
    }

    /// Every operation is listed with the variable for the prefix of its path, and with no other section.
    #[track_caller]
    fn check_sections(name: &str, elsewhere: &[(&str, &str)]) {
        let table = table(name);
        for operation in OPERATIONS {
            let first = operation.template.split('/').nth(1).unwrap();
            let section = first.trim_start_matches('_').to_uppercase();
            let at: Vec<&str> = table
                .switches()
                .filter(|(_, variable)| variable.means == Means::Switch && listed(variable).contains(operation.id))
                .map(|(name, _)| name)
                .collect();
            let expected = match elsewhere.iter().find(|(id, _)| *id == operation.id) {
                Some((_, variable)) => vec![*variable],
                None if ["DEBUG", "VARS", "PPROF"].contains(&section.as_str()) => Vec::new(),
                None => vec![section.as_str()],
            };
            assert_eq!(at, expected, "{}", operation.id);
        }
    }

    #[test]
    fn every_operation_is_at_the_variable_of_its_path() {
        check_sections("tecnativa", &[]);
        check_sections(
            "linuxserver",
            &[
                ("ContainerArchive", "ALLOW_ARCHIVE"),
                ("ContainerArchiveInfo", "ALLOW_ARCHIVE"),
                ("PutContainerArchive", "ALLOW_ARCHIVE"),
                ("ContainerChanges", "ALLOW_CHANGES"),
                ("ContainerExport", "ALLOW_EXPORT"),
                ("ContainerLogs", "ALLOW_LOGS"),
                ("ContainerTop", "ALLOW_TOP"),
            ],
        );
    }

    #[test]
    fn everything_but_get_and_head_needs_post() {
        for table in tables().unwrap() {
            for (name, variable) in table.switches().filter(|(_, variable)| variable.means == Means::Switch) {
                for id in &variable.allow {
                    let operation = crate::api::operation(id).unwrap();
                    assert!(matches!(operation.method, Method::Get | Method::Head), "{name}: {id}");
                    assert!(!operation.mutating, "{name}: {id}");
                }
            }
        }
    }
}
