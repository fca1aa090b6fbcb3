//! What operators see of a running server: `log`, `audit` and `metrics` of the configuration file.

use std::path::{Path, PathBuf};

use super::raw::{self, RawListener, expected};
use super::settings::Settings;
use super::{MadeFile, engine_is_at, leads_to};
use crate::cli::{Environment, LogFormat};
use crate::endpoint::EngineEndpoint;
use crate::socket::{Address, SocketFolder};
use crate::yaml::{Diagnostics, Location, Members, Node};

/// What operators see of a running server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observability {
    /// How the lines of the log are written.
    pub log_format: LogFormat,
    /// The audit file. `None` for none.
    pub audit: Option<PathBuf>,
    /// Where metrics and health are told. `None` for nowhere.
    pub metrics: Option<Address>,
}

/// What a file says about it.
#[derive(Clone, Debug, Default)]
pub(super) struct RawObservability {
    log_format: Option<LogFormat>,
    metrics: Option<(String, Location)>,
    audit: Option<(PathBuf, Location)>,
}

/// The keys of a configuration file that are read here.
pub(super) const KEYS: [&str; 3] = ["audit", "log", "metrics"];

impl RawObservability {
    /// Reads it from the members of a file. Paths are relative to `folder`.
    pub(super) fn read(members: &Members<'_>, folder: &Path, diagnostics: &mut Diagnostics) -> Self {
        let log = members.get("log").and_then(|node| diagnostics.members(node, "settings of the log", &["format"]));
        let format = log.as_ref().and_then(|log| log.get("format"));
        let log_format = format.and_then(|node| {
            let known = node
                .text(LogFormat::EXPECTED)
                .and_then(|text| LogFormat::find(text).ok_or_else(|| expected(node, text, LogFormat::EXPECTED)));
            diagnostics.ok(known)
        });
        let metrics = members.get("metrics").and_then(|node| {
            let text = diagnostics.ok(node.text("unix:///path or tcp://host:port"))?;
            Some((text.to_owned(), node.location.clone()))
        });
        let audit = members.get("audit").and_then(|node| audit(node, folder, diagnostics));
        Self { log_format, metrics, audit }
    }

    /// What holds: what arguments and variables say wins over the file. Metrics must be told elsewhere than listeners and engines are.
    /// Adds the files that a start makes for it.
    pub(super) fn with(
        self,
        settings: &Settings,
        environment: &Environment,
        (listeners, engines): (&[RawListener], &[&EngineEndpoint]),
        made: &mut Vec<MadeFile>,
        diagnostics: &mut Diagnostics,
    ) -> Observability {
        // The program has started its log by this variable: an error in it has been reported.
        let of_variable = environment.log_format().unwrap_or_default();
        let metrics = settings.metrics.clone().or(self.metrics).and_then(|(text, location)| {
            let address = diagnostics.ok(raw::address(&text, &location))?;
            let any_port = matches!(address, Address::Tcp { port: 0, .. });
            if let Some(listener) = listeners.iter().find(|listener| leads_to(&address, &listener.address) && !any_port)
            {
                let message =
                    format!("{address} is the listener at {}, expected an address for metrics only", listener.location);
                diagnostics.report(&location, message);
            }
            if engines.iter().any(|engine| engine_is_at(engine, &address)) {
                diagnostics.report(&location, format!("{address} is the engine itself"));
            }
            made.extend(MadeFile::socket(&address, &location, SocketFolder::Any));
            Some(address)
        });
        let audit = settings.audit.clone().or(self.audit).map(|(path, location)| {
            made.push(MadeFile { path: path.clone(), location, socket: None });
            path
        });
        Observability { log_format: of_variable.or(self.log_format).unwrap_or_default(), metrics, audit }
    }
}

/// Reads `audit`; returns where its path is, too.
fn audit(node: &Node, folder: &Path, diagnostics: &mut Diagnostics) -> Option<(PathBuf, Location)> {
    let members = diagnostics.members(node, "settings of the audit file", &["file"])?;
    match members.get("file") {
        Some(node) => diagnostics.ok(node.text("a path")).map(|text| (folder.join(text), node.location.clone())),
        None => {
            diagnostics.push(node.diagnostic("expected `file` with the path of the audit file"));
            None
        }
    }
}
