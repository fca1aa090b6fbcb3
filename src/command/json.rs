//! What commands print with `--output json`.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::yaml::{Diagnostics, Location};

/// A place in a file. Lines and columns count from one; a whole file has neither.
pub(super) fn location(location: &Location) -> Value {
    let number = |number: u32| Some(number).filter(|number| *number > 0);
    json!({ "file": &*location.file, "line": number(location.line), "column": number(location.column) })
}

/// Whether something is shown, and the line that says so.
pub(super) fn shown((is_shown, by): &(bool, Option<Location>)) -> Value {
    json!({ "shown": is_shown, "by": by.as_ref().map(location) })
}

/// The errors of a configuration, or of arguments.
pub(super) fn errors(diagnostics: &Diagnostics) -> Value {
    let errors = diagnostics.iter().map(|error| json!({ "at": location(&error.location), "message": error.message }));
    json!({ "errors": errors.collect::<Vec<_>>() })
}

/// Writes a document, and a line end.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(document: &Value, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, document)?;
    writeln!(out)
}
