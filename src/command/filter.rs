//! `filter`: applies a profile to the body of a response.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use serde_json::Value;

use super::{CommandError, FAILED, OK, api_version, argument_error, diff, load, profile_named};
use crate::api::{self, Operation, ResponseKind, StreamKind};
use crate::cli::{self, Environment};
use crate::config::Limits;
use crate::filter::{FilterError, Plan, RecordFilter, Report};
use crate::policy::{Decision, Policy};
use crate::profile::{Profile, StreamFiltering};
use crate::schema::Catalogue;
use crate::stream::records::{Marks, RecordError, RecordSplitter};
use crate::yaml::{Diagnostic, Location};

/// How much of a sequence of records is read at a time, in bytes.
const CHUNK_SIZE: usize = 64 << 10;

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
    let mut output = FilterOutput { out, as_diff: arguments.diff };
    let limit = Limits::default().element.bytes();
    let filtered = match filter {
        BodyFilter::Document(plan) => read_whole(input, limit).and_then(|document| {
            let mut filtered = Vec::with_capacity(document.len());
            plan.apply(&document, &mut filtered)?;
            output.write(&document, &filtered)
        }),
        BodyFilter::Array(plan) => read_whole(input, limit).and_then(|documents| {
            let mut filtered = Vec::with_capacity(documents.len());
            plan.apply_array(&documents, &mut filtered)?;
            output.write(&documents, &filtered)
        }),
        BodyFilter::Records(filter) => filter_records(&filter, input, limit, &mut output),
    };
    match filtered {
        Ok(()) => Ok(OK),
        Err(FilterFault::Withheld(error)) => {
            // The exit status says it too, whether or not anybody reads the text.
            let _ = writeln!(err, "withheld: {error}");
            Ok(FAILED)
        }
        Err(FilterFault::Io(error)) => Err(error.into()),
    }
}

/// Why not all of the input was filtered.
enum FilterFault {
    /// What is wrong with it.
    Withheld(String),
    /// It could not be read, or what is left of it not be written.
    Io(io::Error),
}

impl From<FilterError> for FilterFault {
    fn from(error: FilterError) -> Self {
        Self::Withheld(error.to_string())
    }
}

impl From<io::Error> for FilterFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for FilterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Withheld(error) => f.write_str(error),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl From<RecordError<Self>> for FilterFault {
    fn from(error: RecordError<Self>) -> Self {
        match error {
            RecordError::Record(fault) => fault,
            error @ (RecordError::NotRecord | RecordError::TooLong { .. } | RecordError::Truncated) => {
                Self::Withheld(error.to_string())
            }
        }
    }
}

/// Where the results go.
struct FilterOutput<'o> {
    out: &'o mut dyn Write,
    /// Whether only what changed is written.
    as_diff: bool,
}

impl FilterOutput<'_> {
    /// Writes what is left of a document, or what changed in it.
    fn write(&mut self, document: &[u8], filtered: &[u8]) -> Result<(), FilterFault> {
        if self.as_diff {
            write_diff(document, filtered, self.out)?;
        } else if !filtered.is_empty() {
            self.out.write_all(filtered)?;
            writeln!(self.out)?;
        }
        Ok(())
    }
}

/// Reads a whole document, or a whole list.
fn read_whole(input: &mut dyn Read, limit: usize) -> Result<Vec<u8>, FilterFault> {
    let mut text = Vec::new();
    input.take(limit as u64 + 1).read_to_end(&mut text)?;
    if text.len() > limit { Err(FilterError::TooLarge { limit }.into()) } else { Ok(text) }
}

/// Filters records as they arrive. Holds one record, of `limit` bytes at most.
fn filter_records(
    filter: &RecordFilter,
    input: &mut dyn Read,
    limit: usize,
    output: &mut FilterOutput<'_>,
) -> Result<(), FilterFault> {
    let mut records = RecordSplitter::new(Marks::Forbidden, limit);
    let mut chunk = vec![0; CHUNK_SIZE];
    loop {
        let length = match input.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if length == 0 {
            return Ok(records.finish()?);
        }
        records.push(chunk.get(..length).unwrap_or_default(), |record| {
            let mut filtered = Vec::with_capacity(record.len());
            filter.apply(record, &mut filtered, &mut Report::default())?;
            output.write(record, &filtered)
        })?;
    }
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
