//! The tables of `filters/compat`: what each variable of another socket proxy means in operations.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::api::operations_named;
use crate::api::unknown_operation;
use crate::config::{Timeouts, read};
use crate::socket::Address;
use crate::yaml::{self, Diagnostics, Members, Node};

use super::RunAs;

/// The files inside the program, in the order in which they are asked whether the variables are theirs.
const FILES: [(&str, &str); 3] = [
    ("built-in:compat/11notes.yaml", include_str!("../../../filters/compat/11notes.yaml")),
    ("built-in:compat/linuxserver.yaml", include_str!("../../../filters/compat/linuxserver.yaml")),
    ("built-in:compat/tecnativa.yaml", include_str!("../../../filters/compat/tecnativa.yaml")),
];

/// What one other proxy read, and what comes of it here.
#[derive(Debug)]
pub struct Table {
    /// Its short name, as reported at start.
    pub name: String,
    /// Its whole name.
    pub about: String,
    /// What its image is called, without registry and tag.
    pub image: String,
    /// The variables that only a person sets who runs it.
    pub marks: Vec<String>,
    /// A variable that begins like this belongs to it, or is misspelt.
    pub prefixes: Vec<String>,
    /// Where it listened on TCP.
    pub listen: Vec<Address>,
    /// How long it waited.
    pub timeouts: Timeouts,
    /// Who a process becomes that is started as root, where no variable says it.
    pub run_as: Option<RunAs>,
    /// What it served whatever its variables said.
    pub allow: Vec<&'static str>,
    /// As `allow`, of bytes that no filter can read.
    pub raw: Vec<&'static str>,
    /// Its variables.
    pub variables: BTreeMap<String, Variable>,
}

/// One variable of another proxy.
#[derive(Debug)]
pub struct Variable {
    /// What it says.
    pub means: Means,
    /// What it was when nobody set it.
    pub default: String,
    /// A switch that must be on as well.
    pub needs: Option<String>,
    /// The operations that it opens.
    pub allow: Vec<&'static str>,
    /// The operations that it opens together with the switch for writing.
    pub with_post: Vec<&'static str>,
    /// The operations that it opens when everything is to be shown.
    pub raw: Vec<&'static str>,
    /// Whether that is what it was there.
    pub verdict: Verdict,
}

/// What a variable says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// Whether a part of the API is open.
    Switch,
    /// Whether a part of the API that changes things is open, whatever the switch for writing says.
    Action,
    /// Whether anything may be changed.
    Post,
    /// The engine's socket.
    Socket,
    /// The folder of the proxy's own socket.
    Volume,
    /// Who the process becomes.
    User,
    /// The group it becomes.
    Group,
    /// How long connecting to the engine may take.
    Connect,
    /// A time that has no effect.
    Duration,
    /// How much is logged.
    Log,
    /// Whether to listen on IPv4 alone.
    Ipv4,
    /// Nothing, here or there.
    Nothing,
    /// Something that there is not here.
    Unsupported,
}

/// Whether a variable is here what it was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is; what it does.
    Same(String),
    /// On purpose not, and why.
    Different(String),
    /// There is nothing like it, and why.
    Missing(String),
}

impl Verdict {
    /// In a table for people: the verdict, and its reason.
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
/// The mistakes in the files, none in a program whose tests have passed.
pub fn tables() -> Result<&'static [Table], Diagnostics> {
    static TABLES: LazyLock<Result<Vec<Table>, Diagnostics>> = LazyLock::new(|| {
        let mut diagnostics = Diagnostics::default();
        let tables = FILES.iter().filter_map(|(file, text)| Table::parse(file, text, &mut diagnostics)).collect();
        diagnostics.finish(tables)
    });
    TABLES.as_deref().map_err(Clone::clone)
}

impl Table {
    fn parse(file: &str, text: &str, diagnostics: &mut Diagnostics) -> Option<Self> {
        let keys = [
            "compat",
            "about",
            "image",
            "marks",
            "prefixes",
            "listen",
            "run_as",
            "timeouts",
            "allow",
            "raw",
            "variables",
        ];
        let document = diagnostics.ok(yaml::parse(file, text))?;
        let members = diagnostics.members(&document, "a table of variables", &keys)?;
        let text = |name: &str, diagnostics: &mut Diagnostics| text_of(&document, members, name, diagnostics);
        let texts = |name: &str, diagnostics: &mut Diagnostics| -> Vec<String> {
            let found = members.get(name).map(|node| diagnostics.texts(node, "names")).unwrap_or_default();
            found.into_iter().map(|(text, _)| text.to_owned()).collect()
        };
        let (name, about, image) =
            (text("compat", diagnostics)?, text("about", diagnostics)?, text("image", diagnostics)?);
        let (marks, prefixes) = (texts("marks", diagnostics), texts("prefixes", diagnostics));
        let listen = members.get("listen").map(|node| diagnostics.texts(node, "addresses")).unwrap_or_default();
        let listen =
            listen.into_iter().filter_map(|(text, node)| diagnostics.ok(read::address(text, &node.location))).collect();
        let run_as = members.get("run_as").and_then(|node| diagnostics.ok(read::owner(node)));
        let run_as = run_as.and_then(|who| Some(RunAs { user: who.user?, group: who.group? }));
        let timeouts = members.get("timeouts").map(|node| read::timeouts(node, diagnostics)).unwrap_or_default();
        let (allow, raw) = (operations(members, "allow", diagnostics), operations(members, "raw", diagnostics));
        let mut variables = BTreeMap::new();
        let entries = members.get("variables").and_then(|node| diagnostics.ok(node.mapping("variables")));
        for (key, node) in entries.unwrap_or_default() {
            if let Some(variable) = Variable::read(node, diagnostics) {
                variables.insert(key.name.clone(), variable);
            }
        }
        Some(Self { name, about, image, marks, prefixes, listen, run_as, timeouts, allow, raw, variables })
    }

    /// The variables that say whether something is open.
    pub fn switches(&self) -> impl Iterator<Item = (&str, &Variable)> {
        self.variables.iter().map(|(name, variable)| (name.as_str(), variable)).filter(|(_, variable)| {
            match variable.means {
                Means::Switch | Means::Action | Means::Post | Means::Ipv4 => true,
                Means::Socket
                | Means::Volume
                | Means::User
                | Means::Group
                | Means::Connect
                | Means::Duration
                | Means::Log
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

impl Variable {
    fn read(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let keys = ["means", "default", "needs", "allow", "with_post", "raw", "same", "different", "missing"];
        let members = diagnostics.members(node, "a variable", &keys)?;
        let means = text_of(node, members, "means", diagnostics)?;
        let means = match means.as_str() {
            "switch" => Means::Switch,
            "action" => Means::Action,
            "post" => Means::Post,
            "socket" => Means::Socket,
            "volume" => Means::Volume,
            "user" => Means::User,
            "group" => Means::Group,
            "connect" => Means::Connect,
            "duration" => Means::Duration,
            "log" => Means::Log,
            "ipv4" => Means::Ipv4,
            "nothing" => Means::Nothing,
            "unsupported" => Means::Unsupported,
            other => {
                diagnostics.push(node.diagnostic(format!("unknown meaning {other:?}")));
                return None;
            }
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
        Some(Self {
            means,
            default: text_of(node, members, "default", diagnostics)?,
            needs: needs.map(ToOwned::to_owned),
            allow: operations(members, "allow", diagnostics),
            with_post: operations(members, "with_post", diagnostics),
            raw: operations(members, "raw", diagnostics),
            verdict,
        })
    }
}

fn text_of(whole: &Node, members: Members<'_>, name: &str, diagnostics: &mut Diagnostics) -> Option<String> {
    let Some(node) = members.get(name) else {
        diagnostics.push(whole.diagnostic(format!("expected `{name}`")));
        return None;
    };
    diagnostics.ok(node.text("text")).map(ToOwned::to_owned)
}

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
    fn the_tables_have_no_mistakes() {
        let names: Vec<&str> = tables().unwrap().iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["11notes", "linuxserver", "tecnativa"]);
        for table in tables().unwrap() {
            for mark in &table.marks {
                assert!(table.variables.contains_key(mark), "{}: {mark}", table.name);
            }
            for (name, variable) in &table.variables {
                let needed = variable.needs.as_ref();
                assert!(needed.is_none_or(|needed| table.variables.contains_key(needed)), "{name}");
                assert!(!variable.verdict.words().1.is_empty(), "{name}");
            }
        }
    }

    #[test]
    fn every_read_of_11notes_is_served_or_on_its_deny_list() {
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

    /// Every operation stands at the variable whose prefix its path has, and at no other but those of single actions.
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
    fn what_is_no_get_needs_post() {
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
