//! What an operator who replaces another proxy should know.

use std::collections::BTreeMap;
use std::fmt;

use super::table::{Means, Table, Variable, Verdict, tables};
use super::value::{self, Meant};
use super::{CHOICE, ExtraShow, Switches};
use crate::cli::{self, Variables};
use crate::quoting;
use crate::yaml::nearest;

/// One difference to the other proxy, or one warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompatNote {
    /// A switch is off although its value seems to mean something else, as for the other proxy.
    Off {
        /// The variable.
        variable: &'static str,
        /// Its value, if it is a word for on. Any other may be a secret.
        value: Option<String>,
        /// The other proxy.
        table: &'static Table,
    },
    /// A switch is on because of the number that its value starts with, as for the other proxy.
    On {
        /// The variable.
        variable: &'static str,
        /// The other proxy.
        table: &'static Table,
    },
    /// A switch is on and needs another one that is off, as for the other proxy.
    Needs {
        /// The variable.
        variable: &'static str,
        /// The other variable.
        needed: &'static str,
        /// A proxy that reads the same variables and needs no other one here.
        instead: Option<&'static Table>,
    },
    /// A variable is set that the other proxy does not read.
    NoEffect {
        /// The variable.
        variable: String,
        /// What to know about it.
        hint: String,
        /// The other proxy.
        table: &'static Table,
    },
    /// A variable is set that has no effect.
    NotSupported {
        /// The variable.
        variable: &'static str,
        /// Why it has no effect.
        reason: &'static str,
    },
    /// The variables could be meant for another proxy that reads the same ones.
    SharedVariables {
        /// The other proxy.
        other: &'static Table,
        /// What differs.
        differs: &'static str,
    },
    /// Everything that the other proxy let through is shown.
    ShowsAll {
        /// The other proxy.
        proxy: &'static str,
    },
    /// A client that re-creates containers from what it reads loses what is hidden.
    LosesHidden,
}

impl CompatNote {
    /// Whether it is to be feared.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Off { .. } | Self::NoEffect { .. } | Self::ShowsAll { .. } | Self::LosesHidden => true,
            Self::On { .. } | Self::Needs { .. } | Self::NotSupported { .. } | Self::SharedVariables { .. } => false,
        }
    }

    /// Whether it is about a variable whose value may not mean what it seems to.
    pub fn is_about_a_value(&self) -> bool {
        match self {
            Self::Off { .. } | Self::On { .. } | Self::Needs { .. } | Self::NoEffect { .. } => true,
            Self::NotSupported { .. } | Self::SharedVariables { .. } | Self::ShowsAll { .. } | Self::LosesHidden => {
                false
            }
        }
    }
}

impl fmt::Display for CompatNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off { variable, value, table } => {
                let value = value.as_ref().map(|value| format!("={}", quoting::value(value))).unwrap_or_default();
                let proxy = &table.about;
                let on = table.variables.get(*variable).map(words_for_on).unwrap_or_default();
                write!(f, "{variable}{value} is off, as in {proxy}, which reads only {on} as on: write {variable}=1")
            }
            Self::On { variable, table } => {
                write!(f, "{variable} starts with a number that is not 0, so it is on, as in {}", table.about)
            }
            Self::Needs { variable, needed, instead } => {
                write!(f, "{variable} has no effect without {needed}=1, there and here")?;
                let Some(instead) = instead else { return Ok(()) };
                write!(f, "; {} needs no {needed} for it: set {CHOICE}={}", instead.about, instead.name)
            }
            Self::NoEffect { variable, hint, table } => {
                write!(f, "{variable} is not a variable of {} and has no effect: {hint}", table.about)
            }
            Self::NotSupported { variable, reason } => write!(f, "{variable}: not supported: {reason}"),
            Self::SharedVariables { other, differs } => write!(
                f,
                "{} reads the same variables: to replace it, set {CHOICE}={}; {differs}",
                other.about, other.name
            ),
            Self::ShowsAll { proxy } => write!(
                f,
                "DOCKVEIL_SHOW=all shows every environment, command line, label, path and archive that {proxy} \
                 let through"
            ),
            Self::LosesHidden => f.write_str(
                "a client that re-creates containers from what it reads (updates by Watchtower, edits in \
                 Portainer, outposts of authentik) loses what is hidden: it needs DOCKVEIL_SHOW=all",
            ),
        }
    }
}

/// The values that are on.
fn words_for_on(variable: &Variable) -> String {
    if variable.on.is_empty() { "a number other than 0".to_owned() } else { variable.on.join(", ") }
}

/// Switches whose values are easily misread, and switches without effect.
pub(super) fn of_switches(switches: &Switches, variables: &Variables) -> Vec<CompatNote> {
    let table = switches.table;
    let mut notes = Vec::new();
    for (name, row) in table.switches() {
        let Some(text) = variables.get(name) else { continue };
        if switches.is_on(name) {
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            if row.on.is_empty() && !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                notes.push(CompatNote::On { variable: name, table });
            }
            if let Some(needed) = row.needs.as_deref().filter(|needed| !switches.is_on(needed)) {
                notes.push(CompatNote::Needs { variable: name, needed, instead: without_need(table, name) });
            }
            continue;
        }
        let value = match value::meant(text) {
            Meant::Off => continue,
            Meant::On => Some(text.to_owned()),
            Meant::Unknown => None,
        };
        notes.push(CompatNote::Off { variable: name, value, table });
    }
    notes
}

/// The proxy that reads the variables of `table` too, and needs no other variable for this one.
fn without_need(table: &Table, name: &str) -> Option<&'static Table> {
    let mut sharing = tables().unwrap_or_default().iter().filter(|other| other.shares_with(table));
    sharing.find(|other| other.variables.get(name).is_some_and(|row| row.needs.is_none()))
}

/// Variables that the other proxy does not read, although their names and values look as if it did.
pub(super) fn of_strangers(table: &'static Table, variables: &Variables) -> Vec<CompatNote> {
    let is_ours = |name: &str| name.starts_with(cli::PREFIX) || table.variables.contains_key(name);
    // An error already.
    let is_refused = |name: &str| table.prefixes.iter().any(|prefix| name.starts_with(prefix));
    let strangers = variables.names().filter(|name| !is_ours(name) && !is_refused(name));
    strangers
        .filter_map(|name| {
            let hint = hint(table, name, variables.get(name)?)?;
            Some(CompatNote::NoEffect { variable: name.to_owned(), hint, table })
        })
        .collect()
}

/// What to know about a variable that is not in `table`; `None` if it is probably not meant for that proxy.
fn hint(table: &Table, name: &str, text: &str) -> Option<String> {
    if let Some(why) = table.ineffective.get(name) {
        return Some(why.clone());
    }
    let switches = || table.switches().map(|(switch, _)| switch);
    let others = tables().unwrap_or_default().iter();
    if let Some(other) = others.clone().find(|other| other.marks.iter().chain(&other.words).any(|mark| mark == name)) {
        return Some(format!("it is one of {}", other.about));
    }
    if !matches!(text, "1" | "0") && value::meant(text) == Meant::Unknown {
        return None;
    }
    // Forks have variables such as CONTAINERS_CREATE.
    let section = switches().find(|switch| name.strip_prefix(*switch).is_some_and(|rest| rest.starts_with('_')));
    if let Some(section) = section {
        let has_post = table.variables.get("POST").is_some_and(|row| row.means == Means::Post);
        let post = if has_post { ", with POST also what it writes" } else { "" };
        return Some(format!("{section} opens that part of the API as a whole{post}"));
    }
    let near = nearest(name, switches()).filter(|near| near.len().abs_diff(name.len()) <= 1)?;
    Some(format!("did you mean {near}?"))
}

/// Variables that are set and not supported.
pub(super) fn of_missing(table: &'static Table, variables: &Variables) -> Vec<CompatNote> {
    let is_set = |name: &str| variables.get(name).is_some_and(|text| !matches!(text, "" | "0" | "false"));
    let set = table.variables.iter().filter(|(name, _)| is_set(name));
    set.filter_map(|(variable, row)| match &row.verdict {
        Verdict::Missing(reason) => Some(CompatNote::NotSupported { variable, reason }),
        Verdict::Same(_) | Verdict::Different(_) => None,
    })
    .collect()
}

/// The proxies whose variables include those of this table, unless the operator named this one.
pub(super) fn of_table(table: &'static Table, variables: &Variables) -> Vec<CompatNote> {
    if variables.get(CHOICE).is_some_and(|name| !name.is_empty()) {
        return Vec::new();
    }
    let sharing = tables().unwrap_or_default().iter().filter(|other| other.shares_with(table));
    sharing
        .filter_map(|other| Some(CompatNote::SharedVariables { other, differs: &other.shares.as_ref()?.differs }))
        .collect()
}

/// Warnings about what is shown, or not.
pub(super) fn of_shown(
    table: &'static Table,
    extra: &ExtraShow,
    allow: &BTreeMap<&'static str, String>,
) -> Option<CompatNote> {
    match (extra.all, allow.contains_key("ContainerCreate")) {
        (true, _) => Some(CompatNote::ShowsAll { proxy: &table.about }),
        (false, true) => Some(CompatNote::LosesHidden),
        (false, false) => None,
    }
}
