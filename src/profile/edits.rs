//! What happens to the writes of clients that send back what they have read.

use std::collections::BTreeMap;

use crate::api::{Operation, operation, unknown_operation};
use crate::filter::has_place;
use crate::quoting;
use crate::schema::{Catalogue, FieldPath};
use crate::yaml::{Diagnostics, Location, Node};

/// What happens to the writes of clients that send back what they have read, where the profile hides some of that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edits {
    /// Whether hidden values are put back. Such a write is denied otherwise.
    pub restores: bool,
    /// For an operation, the hidden fields of its body that a client may set all the same.
    pub set: BTreeMap<&'static str, Vec<SettableField>>,
    /// The line that says so; `None` if none does.
    pub location: Option<Location>,
}

/// A hidden field that a client may set.
#[derive(Clone, Debug, PartialEq)]
pub struct SettableField {
    /// Its path in the body of the operation.
    pub path: FieldPath,
    /// The line.
    pub location: Location,
}

impl Edits {
    /// Reads `refuse`, `restore`, or a mapping with the key `set`, which stands for `restore`.
    pub(super) fn read(node: &Node, catalogue: &Catalogue, diagnostics: &mut Diagnostics) -> Self {
        let location = Some(node.location.clone());
        if let Ok(text) = node.text("") {
            let restores = text == "restore";
            if !restores && text != "refuse" {
                let expected = "expected `restore`, `refuse`, or a mapping with the key `set`";
                diagnostics.push(node.diagnostic(format!("found {:?}, {expected}", quoting::value(text))));
            }
            return Self { restores, set: BTreeMap::new(), location };
        }
        let members = diagnostics.members(node, "`edits`", &["set"]);
        let set = members.and_then(|members| members.get("set").map(|node| settable(node, catalogue, diagnostics)));
        if set.is_none() && members.is_some() {
            diagnostics.push(node.diagnostic("expected `set`, the fields that a client may set, by operation"));
        }
        Self { restores: true, set: set.unwrap_or_default(), location }
    }

    /// The fields that a client may set with an operation.
    pub fn settable(&self, operation: &Operation) -> &[SettableField] {
        self.set.get(operation.id).map_or(&[], Vec::as_slice)
    }
}

/// Reads the lists of fields by operation.
fn settable(
    node: &Node,
    catalogue: &Catalogue,
    diagnostics: &mut Diagnostics,
) -> BTreeMap<&'static str, Vec<SettableField>> {
    let mut found: BTreeMap<&'static str, Vec<SettableField>> = BTreeMap::new();
    for (key, value) in diagnostics.ok(node.mapping("lists of paths by operation")).unwrap_or_default() {
        let Some(operation) = operation(&key.name) else {
            diagnostics.report(&key.location, unknown_operation(&key.name));
            continue;
        };
        let Some(edited) = operation.edits() else {
            let message = format!(
                "{} is no edit: no client sends back what it has read, expected one such as ServiceUpdate",
                operation.id
            );
            diagnostics.report(&key.location, message);
            continue;
        };
        let mut fields = Vec::new();
        for (text, item) in diagnostics.texts(value, "paths in the body of the request") {
            let path: Result<FieldPath, _> = text.parse();
            let Some(path) = diagnostics.ok(path.map_err(|error| item.diagnostic(error.to_string()))) else { continue };
            if has_place(catalogue, edited.part.schema, edited.part.path, &path) {
                fields.push(SettableField { path, location: item.location.clone() });
            } else {
                let message = format!(
                    "found {:?}, which leads to no known field of the body of {}",
                    quoting::value(text),
                    operation.id
                );
                diagnostics.push(item.diagnostic(message));
            }
        }
        if found.insert(operation.id, fields).is_some() {
            diagnostics.report(&key.location, format!("duplicate operation {}", operation.id));
        }
    }
    found
}
