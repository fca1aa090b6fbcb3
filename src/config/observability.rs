//! What operators see of a running server: `log` of the configuration file.

use super::raw::expected;
use crate::cli::{Environment, LogFormat};
use crate::yaml::{Diagnostics, Members};

/// What operators see of a running server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observability {
    /// How the lines of the log are written.
    pub log_format: LogFormat,
}

/// What a file says about it.
#[derive(Clone, Debug, Default)]
pub(super) struct RawObservability {
    log_format: Option<LogFormat>,
}

/// The keys of a configuration file that are read here.
pub(super) const KEYS: [&str; 1] = ["log"];

impl RawObservability {
    /// Reads it from the members of a file.
    pub(super) fn read(members: &Members<'_>, diagnostics: &mut Diagnostics) -> Self {
        let log = members.get("log").and_then(|node| diagnostics.members(node, "settings of the log", &["format"]));
        let format = log.as_ref().and_then(|log| log.get("format"));
        let log_format = format.and_then(|node| {
            let known = node
                .text(LogFormat::EXPECTED)
                .and_then(|text| LogFormat::find(text).ok_or_else(|| expected(node, text, LogFormat::EXPECTED)));
            diagnostics.ok(known)
        });
        Self { log_format }
    }

    /// What holds: what the variables say wins over the file.
    pub(super) fn with(self, environment: &Environment) -> Observability {
        // The program has started its log by this variable: an error in it has been reported.
        let of_variable = environment.log_format().unwrap_or_default();
        Observability { log_format: of_variable.or(self.log_format).unwrap_or_default() }
    }
}
