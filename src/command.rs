//! The subcommands that do not serve.
//!
//! Each writes to what it is given and answers with an exit code, so that tests read what a person would.

mod catalogue;
pub mod demo;
pub mod diff;
mod explain;
mod healthcheck;
pub mod migrate;
mod summary;

use std::io::{self, Read, Write};

use crate::api::ResponseKind;
use crate::cli::{self, Environment};
use crate::config::{self, Config, FilterSources, Filters};
use crate::filter::{DocumentLimits, FilterError, RecordFilter, Report};
use crate::policy::Policy;
use crate::profile::StreamMode;

use crate::yaml::{Diagnostic, Diagnostics, Location};

pub use self::catalogue::{catalogue, describe};
pub use self::explain::explain;
pub use self::healthcheck::healthcheck;
pub use self::summary::summary;

/// All is well.
pub const OK: u8 = 0;
/// A document was withheld, or nobody answers.
pub const FAILED: u8 = 1;
/// The arguments are wrong.
pub const USAGE: u8 = 64;
/// The program cannot do what it is for: it cannot listen, or a pipe broke.
pub const BROKEN: u8 = 70;
/// The configuration is wrong.
pub const CONFIGURATION: u8 = 78;

/// Why a command ended early.
#[derive(Debug)]
pub enum Error {
    /// The configuration is wrong.
    Diagnostics(Diagnostics),
    /// What it was to write to, or to read from, broke.
    Io(io::Error),
    /// The server did not start.
    Server(crate::server::Error),
}

impl From<Diagnostics> for Error {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Diagnostics(diagnostics)
    }
}

impl From<Diagnostic> for Error {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Diagnostics(diagnostic.into())
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<crate::server::Error> for Error {
    fn from(error: crate::server::Error) -> Self {
        Self::Server(error)
    }
}

impl Error {
    /// Says what is wrong; answers the exit code.
    pub fn report(&self, err: &mut dyn Write) -> u8 {
        // Where there is no standard error there is nobody to tell.
        match self {
            Self::Diagnostics(diagnostics) => {
                for diagnostic in diagnostics {
                    let _ = writeln!(err, "{diagnostic}");
                }
                let _ =
                    writeln!(err, "dockveil: {} in the configuration, nothing was started", count(diagnostics.len()));
                CONFIGURATION
            }
            // Whoever reads the output has read enough.
            Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => OK,
            Self::Io(error) => {
                let _ = writeln!(err, "dockveil: {error}");
                BROKEN
            }
            Self::Server(error) => {
                let _ = writeln!(err, "dockveil: {error}");
                BROKEN
            }
        }
    }
}

fn count(diagnostics: usize) -> String {
    if diagnostics == 1 { "1 mistake".to_owned() } else { format!("{diagnostics} mistakes") }
}

/// `serve`: listens until told to stop. The summary of what is exposed goes to `err`, where the log goes too.
///
/// # Errors
/// [`Error`].
pub fn serve(arguments: &cli::ServeArgs, environment: &Environment, err: &mut dyn Write) -> Result<u8, Error> {
    let config = Config::load(arguments, environment)?;
    write!(err, "{}", summary(&config))?;
    crate::server::run(config)?;
    Ok(OK)
}

/// `check`: reports every mistake, or what the configuration exposes.
///
/// # Errors
/// [`Error`].
pub fn check(arguments: &cli::ServeArgs, environment: &Environment, out: &mut dyn Write) -> Result<u8, Error> {
    let config = Config::load(arguments, environment)?;
    write!(out, "{}", summary(&config))?;
    Ok(OK)
}

/// `profiles`: what there is to choose from.
///
/// # Errors
/// [`Error`].
pub fn profiles(arguments: &cli::ProfilesArgs, environment: &Environment, out: &mut dyn Write) -> Result<u8, Error> {
    let filters = load(&arguments.files, environment)?;
    for profile in filters.profiles.iter() {
        let policy = Policy::compile(profile, &filters.catalogue)?;
        writeln!(out, "{}  ({})", profile.name, profile.location)?;
        writeln!(out, "  {}", profile.about)?;
        write!(out, "{}", summary::of_policy(&policy))?;
        writeln!(out)?;
    }
    Ok(OK)
}

/// `filter`: one document, or one event behind the other, from `input` to `out`.
///
/// # Errors
/// [`Error`]; that the document is withheld is none, but said on `err` and by the exit code.
pub fn filter(
    arguments: &cli::FilterArgs,
    environment: &Environment,
    input: &mut dyn Read,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, Error> {
    let filters = load(&arguments.files, environment)?;
    let flag = |name: &str, message: String| Error::from(Diagnostic::new(&Location::file(name), message));
    let location = Location::file("--profile");
    let profile = filters.profiles.get(&arguments.profile);
    let profile = profile.ok_or_else(|| flag("--profile", filters.profiles.unknown(&arguments.profile)))?;
    let id = &arguments.operation;
    let operation = crate::api::operation(id).ok_or_else(|| flag("--operation", crate::api::unknown_operation(id)))?;
    let schema = operation.filtered_schema();
    let schema = schema.ok_or_else(|| flag("--operation", format!("{id} does not answer with a JSON document")))?;
    if let Some(text) = &arguments.api {
        let version: crate::api::ApiVersion =
            text.parse().map_err(|_| flag("--api", format!("found {text:?}, expected a version such as 1.44")))?;
        let (first, last) = (operation.versions.first, operation.versions.last);
        if version < first || last.is_some_and(|last| version > last) {
            return Err(flag("--api", format!("{id} does not exist in API {version}")));
        }
    }
    let limits = config::Limits::default();
    let policy = filters.policy(&profile.name, &location, limits)?;
    if !policy.allows(operation.id) {
        writeln!(err, "note: {} is not allowed by profile {}; this is what its plan would show", id, profile.name)?;
    }
    let broken = |error: crate::filter::CompileError| flag("--profile", error.to_string());
    let (catalogue, show, rules) = (&filters.catalogue, &profile.show, &profile.rules);
    let plan = crate::filter::Plan::compile(catalogue, schema, show, rules).map_err(broken)?;
    let events = if matches!(operation.response, ResponseKind::Stream(crate::api::StreamKind::Events)) {
        if profile.events == StreamMode::Untouched {
            writeln!(
                err,
                "note: profile {} leaves events untouched; this is what `events: filtered` would show",
                profile.name
            )?;
        }
        Some(RecordFilter::compile(catalogue, schema, show, rules, DocumentLimits::default()).map_err(broken)?)
    } else {
        None
    };
    let mut text = Vec::new();
    input.read_to_end(&mut text)?;
    let documents = if events.is_some() { records(&text) } else { Ok(vec![&*text]) };
    let documents = match documents {
        Ok(documents) => documents,
        Err(error) => {
            writeln!(err, "withheld: {error}")?;
            return Ok(FAILED);
        }
    };
    for document in documents {
        let mut filtered = Vec::with_capacity(document.len());
        let applied = match &events {
            Some(events) => events.apply(document, &mut filtered, &mut Report::default()).map(drop),
            None if matches!(operation.response, ResponseKind::Array(_)) => {
                plan.apply_array(document, &mut filtered).map(drop)
            }
            None => plan.apply(document, &mut filtered).map(drop),
        };
        if let Err(error) = applied {
            writeln!(err, "withheld: {error}")?;
            return Ok(FAILED);
        }
        if arguments.diff {
            let parse = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(io::Error::from);
            let after = if filtered.is_empty() { serde_json::Value::Null } else { parse(&filtered)? };
            for line in diff::diff(&parse(document)?, &after) {
                writeln!(out, "{line}")?;
            }
        } else if !filtered.is_empty() {
            out.write_all(&filtered)?;
            writeln!(out)?;
        }
    }
    Ok(OK)
}

/// The JSON values that stand in a text one behind the other.
fn records(text: &[u8]) -> Result<Vec<&[u8]>, FilterError> {
    let values = serde_json::Deserializer::from_slice(text).into_iter::<&serde_json::value::RawValue>();
    values.map(|value| value.map(|value| value.get().as_bytes()).map_err(|_| FilterError::NotJson)).collect()
}

/// Loads the filter files that the arguments, the environment and the configuration file name.
fn load(files: &cli::ConfigFiles, environment: &Environment) -> Result<Filters, Diagnostics> {
    Filters::load(&FilterSources::find(files, environment)?)
}
