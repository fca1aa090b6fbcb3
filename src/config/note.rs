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
    /// A profile is named for listeners that name none, and there are none.
    ProfileUnused,
    /// Host names are given for TCP listeners that name none, and there are none.
    HostsUnused,
    /// `DOCKER_CERT_PATH` is set, and no variable asks for TLS.
    CertificatesUnused,
}

impl Note {
    /// Whether it is to be feared.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Unknown(_) | Self::EngineUnverified(_) | Self::CertificatesUnused => true,
            Self::Compat(note) => note.is_warning(),
            Self::VariablesIgnored { .. }
            | Self::Hint { .. }
            | Self::Mode { .. }
            | Self::DefaultFileIgnored(_)
            | Self::KeepsUser(_)
            | Self::ProfileUnused
            | Self::HostsUnused => false,
        }
    }

    /// It as the summary has it: a line, or a heading and a line.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Mode { name, set } => vec![format!("compat: {name}"), format!("  set: {}", set.join(", "))],
            Self::VariablesIgnored { .. }
            | Self::Hint { .. }
            | Self::Unknown(_)
            | Self::Compat(_)
            | Self::DefaultFileIgnored(_)
            | Self::KeepsUser(_)
            | Self::EngineUnverified(_)
            | Self::ProfileUnused
            | Self::HostsUnused
            | Self::CertificatesUnused => vec![self.to_string()],
        }
    }

    /// What it says, without the word for what kind it is.
    pub fn text(&self) -> String {
        match self {
            Self::VariablesIgnored { proxy, preferred } => {
                format!("the variables of {proxy} are set, but ignored: {preferred} takes precedence")
            }
            Self::Hint { variable, table } => format!(
                "{variable} is set and ignored: one variable does not tell that {} is replaced; if it is, set DOCKVEIL_COMPAT={}",
                table.about, table.name
            ),
            Self::Unknown(name) => format!("{name} is not a variable of dockveil and has no effect"),
            Self::Mode { .. } => self.lines().join("\n"),
            Self::Compat(note) => note.to_string(),
            Self::DefaultFileIgnored(file) => format!("{} is not read", file.display()),
            Self::KeepsUser(RunAs { user, group }) => {
                format!("not started as root: keeps its user, does not become {user}:{group}")
            }
            Self::EngineUnverified(address) => format!(
                "whoever answers at {address} is taken for the engine: DOCKER_TLS is set, and DOCKER_TLS_VERIFY is not"
            ),
            Self::ProfileUnused => {
                "--profile or DOCKVEIL_PROFILE has no effect: every listener has `profile` or `clients` of its own"
                    .to_owned()
            }
            Self::HostsUnused => {
                "--hosts or DOCKVEIL_HOSTS has no effect: no TCP listener is without `hosts` of its own".to_owned()
            }
            Self::CertificatesUnused => "the connection to the engine is plain, as that of the docker command: \
                                         DOCKER_CERT_PATH is set, but neither DOCKER_TLS_VERIFY nor DOCKER_TLS"
                .to_owned(),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_below = matches!(self, Self::Compat(_) | Self::DefaultFileIgnored(_) | Self::KeepsUser(_));
        let is_heading = matches!(self, Self::Mode { .. });
        let kind = match self.is_warning() {
            true => "warning: ",
            false if is_below || is_heading => "",
            false => "note: ",
        };
        let indent = if is_below { "  " } else { "" };
        write!(f, "{indent}{kind}{}", self.text())
    }
}
