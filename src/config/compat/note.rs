//! What an operator who replaces another proxy should know.

use std::collections::BTreeMap;
use std::fmt;

use super::table::{Means, Table, Verdict, tables};
use super::{CHOICE, ExtraShow, Switches};
use crate::cli::Variables;

/// One difference to the other proxy, or one warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompatNote {
    /// A switch is on that was off for the other proxy, which reads words as zero.
    OpenHere {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
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

impl fmt::Display for CompatNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenHere { variable, value } => {
                write!(f, "{variable}={value}: HAProxy reads a word as 0, so this was closed there; it is open here")
            }
            Self::NotSupported { variable, reason } => write!(f, "{variable}: not supported: {reason}"),
            Self::SharedVariables { other, differs } => write!(
                f,
                "{} reads the same variables: to replace it, set {CHOICE}={}; {differs}",
                other.about, other.name
            ),
            Self::ShowsAll { proxy } => write!(
                f,
                "warning: DOCKVEIL_SHOW=all shows every environment, command line, label, path and archive that {proxy} \
                 let through"
            ),
            Self::LosesHidden => f.write_str(
                "warning: a client that re-creates containers from what it reads (updates by Watchtower, edits in \
                 Portainer, outposts of authentik) loses what is hidden: it needs DOCKVEIL_SHOW=all",
            ),
        }
    }
}

/// Switches that are on here and were off there.
pub(super) fn of_switches(switches: &Switches, variables: &Variables) -> Vec<CompatNote> {
    let table = switches.table;
    let on = switches.on.iter().filter(|name| table.variables.get(**name).is_some_and(|one| one.means != Means::Ipv4));
    on.filter_map(|variable| {
        let value = variables.get(variable).filter(|text| text.eq_ignore_ascii_case("true"))?;
        Some(CompatNote::OpenHere { variable, value: value.to_owned() })
    })
    .collect()
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
