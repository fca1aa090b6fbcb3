//! `filter`: applies a profile to the body of a response.

use std::io::{self, Read, Write};
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use super::{CommandError, FAILED, OK, api_version, argument_error, diff, load, profile_named};
use crate::api::{self, Operation, ResponseKind, StreamKind};
use crate::cli::{self, Environment};
use crate::filter::{FilterError, Plan, RecordFilter, Report};
use crate::policy::{Decision, Policy};
use crate::profile::{Profile, StreamFiltering};
use crate::schema::Catalogue;
use crate::yaml::{Diagnostic, Location};

/// Filters one document, or a sequence of events, from `input` to `out`.
///
/// # Errors
/// [`CommandError`]. If a document is withheld, the reason is written to `err` and the exit status is [`FAILED`].
pub fn filter(
    arguments: &cli::FilterArgs,
    environment: &Environment,
    input: &mut dyn Read,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CommandError> {
    let filters = load(&arguments.files, environment)?;
    let profile = profile_named(&filters, &arguments.profile)?;
    let operation = operation(arguments)?;
    let filter = BodyFilter::compile(profile, operation, &filters.catalogue)?;
    write_notes(profile, operation, err);
    let mut text = Vec::new();
    input.read_to_end(&mut text)?;
    let documents = match filter.split(&text) {
        Ok(documents) => documents,
        Err(error) => return withheld(error, err),
    };
    for document in documents {
        let filtered = match filter.apply(document) {
            Ok(filtered) => filtered,
            Err(error) => return withheld(error, err),
        };
        if arguments.diff {
            write_diff(document, &filtered, out)?;
        } else if !filtered.is_empty() {
            out.write_all(&filtered)?;
            writeln!(out)?;
        }
    }
    Ok(OK)
}

/// Writes why a document is withheld.
fn withheld(error: FilterError, err: &mut dyn Write) -> Result<u8, CommandError> {
    // The exit status says it too, whether or not anybody reads the text.
    let _ = writeln!(err, "withheld: {error}");
    Ok(FAILED)
}

/// The operation that the arguments name.
fn operation(arguments: &cli::FilterArgs) -> Result<&'static Operation, Diagnostic> {
    let id = &arguments.operation;
    let operation = api::operation(id).ok_or_else(|| argument_error("--operation", api::unknown_operation(id)))?;
    if operation.filtered_schema().is_none() {
        return Err(argument_error("--operation", format!("the response of {id} is not a JSON document")));
    }
    let Some(text) = &arguments.api else { return Ok(operation) };
    let version = api_version(text)?;
    let versions = operation.versions;
    if version < versions.first || versions.last.is_some_and(|last| version > last) {
        return Err(argument_error("--api", format!("API {version} does not have the operation {id}")));
    }
    Ok(operation)
}

/// Says what the profile does not do by itself.
fn write_notes(profile: &Profile, operation: &Operation, err: &mut dyn Write) {
    let (name, id) = (&profile.name, operation.id);
    // Nothing depends on a note.
    if !profile.allow.contains_key(id) {
        let _ = writeln!(err, "note: profile {name} does not allow {id}; this is what it would show");
    }
    if operation.response == ResponseKind::Stream(StreamKind::Events) && profile.events == StreamFiltering::Untouched {
        let _ =
            writeln!(err, "note: profile {name} leaves events untouched; this is what `events: filtered` would show");
    }
}

/// What is applied to the body of one operation.
enum BodyFilter {
    /// To one document.
    Document(Arc<Plan>),
    /// To each element of one array.
    Array(Arc<Plan>),
    /// To each record of a sequence.
    Records(RecordFilter),
}

impl BodyFilter {
    /// Compiles `profile` as if it allowed the operation and filtered its stream.
    fn compile(profile: &Profile, operation: &Operation, catalogue: &Catalogue) -> Result<Self, CommandError> {
        let mut profile = profile.clone();
        profile.allow.entry(operation.id).or_insert_with(|| Location::file("--operation"));
        (profile.events, profile.stats) = (StreamFiltering::Filtered, StreamFiltering::Filtered);
        let policy = Policy::compile(&profile, catalogue)?;
        match (policy.decide_operation(operation.id), operation.response) {
            (Decision::Filter(plan), ResponseKind::Array(_)) => Ok(Self::Array(plan)),
            (Decision::Filter(plan), _) => Ok(Self::Document(plan)),
            (Decision::Records(filter), _) => Ok(Self::Records(filter)),
            (Decision::Deny(_) | Decision::Relay(_), _) => {
                Err(argument_error("--operation", format!("the response of {} is not filtered", operation.id)).into())
            }
        }
    }

    /// The documents in a text.
    fn split<'t>(&self, text: &'t [u8]) -> Result<Vec<&'t [u8]>, FilterError> {
        match self {
            Self::Document(_) | Self::Array(_) => Ok(vec![text]),
            Self::Records(_) => {
                let records = serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>();
                let bytes = |record: &'t RawValue| record.get().as_bytes();
                records.map(|record| record.map(bytes).map_err(|_| FilterError::NotJson)).collect()
            }
        }
    }

    /// What is left of a document; nothing of a record that is hidden.
    fn apply(&self, document: &[u8]) -> Result<Vec<u8>, FilterError> {
        let mut filtered = Vec::with_capacity(document.len());
        match self {
            Self::Document(plan) => plan.apply(document, &mut filtered).map(drop)?,
            Self::Array(plan) => plan.apply_array(document, &mut filtered).map(drop)?,
            Self::Records(filter) => filter.apply(document, &mut filtered, &mut Report::default()).map(drop)?,
        }
        Ok(filtered)
    }
}

/// Writes what changed, a line for each difference.
fn write_diff(before: &[u8], after: &[u8], out: &mut dyn Write) -> io::Result<()> {
    let before: Value = serde_json::from_slice(before)?;
    let after = if after.is_empty() { Value::Null } else { serde_json::from_slice(after)? };
    for line in diff::diff(&before, &after) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
