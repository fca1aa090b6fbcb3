//! What the operator should know about the configuration at start.

use std::fmt;
use std::path::PathBuf;

use super::compat::{CompatNote, RunAs, Table};

/// A line or two of the summary. Those about a drop-in mode are indented below its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The variables of another proxy are set, but a file or a profile is named.
    VariablesIgnored {
        /// The other proxy.
        proxy: &'static str,
        /// The file or the profile.
        preferred: String,
    },
    /// One variable is set that another proxy reads, and perhaps other programs.
    Hint {
        /// The variable.
        variable: &'static str,
        /// The other proxy.
        table: &'static Table,
    },
    /// A variable has a name like ours, and is not ours.
    Unknown(String),
    /// A drop-in mode is in effect.
    Mode {
        /// Its name.
        name: &'static str,
        /// The variables that are set.
        set: Vec<String>,
    },
    /// About the drop-in mode.
    Compat(CompatNote),
    /// The drop-in mode takes precedence over the default configuration file.
    DefaultFileIgnored(PathBuf),
    /// The process was not started as root, and cannot become this user.
    KeepsUser(RunAs),
    /// `DOCKER_TLS` is set without `DOCKER_TLS_VERIFY`: the engine at this address need not prove that it is the right one.
    EngineUnverified(String),
    /// What is said of listeners that name nothing of that kind, and there are none.
    Unused(&'static str),
    /// `DOCKER_CERT_PATH` is set, and no variable asks for TLS.
    CertificatesUnused,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VariablesIgnored { proxy, preferred } => {
                write!(f, "note: the variables of {proxy} are set, but ignored: {preferred} takes precedence")
            }
            Self::Hint { variable, table } => write!(
                f,
                "note: {variable} is set and ignored: one variable does not tell that {} is replaced; if it is, set \
                 DOCKVEIL_COMPAT={}",
                table.about, table.name
            ),
            Self::Unknown(name) => write!(f, "warning: {name} is not a variable of dockveil and has no effect"),
            Self::Mode { name, set } => write!(f, "compat: {name}\n  set: {}", set.join(", ")),
            Self::Compat(note) => write!(f, "  {note}"),
            Self::DefaultFileIgnored(file) => write!(f, "  {} is not read", file.display()),
            Self::KeepsUser(RunAs { user, group }) => {
                write!(f, "  not started as root: keeps its user, does not become {user}:{group}")
            }
            Self::EngineUnverified(address) => write!(
                f,
                "warning: whoever answers at {address} is taken for the engine: DOCKER_TLS is set, and DOCKER_TLS_VERIFY is not"
            ),
            Self::Unused(what) => write!(f, "note: {what} has no effect: each listener names its own"),
            Self::CertificatesUnused => f.write_str(
                "warning: the connection to the engine is plain, as that of the docker command: DOCKER_CERT_PATH is set, but \
                 neither DOCKER_TLS_VERIFY nor DOCKER_TLS",
            ),
        }
    }
}
