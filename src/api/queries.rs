//! What query parameters read, from `filters/queries.yaml`, and which values the engine takes for true.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::operations::{Operation, operation, unknown_operation};
use crate::schema::{ClassSet, UnknownClass};
use crate::yaml::{self, Diagnostic, Diagnostics, Key, Members, Node};

/// The built-in table, as file name and text.
const FILE: (&str, &str) = ("built-in:queries.yaml", include_str!("../../filters/queries.yaml"));

/// The built-in table, parsed once.
static BUILT_IN: LazyLock<Result<QueryTable, Diagnostics>> = LazyLock::new(|| QueryTable::parse(FILE));

/// Returns the built-in table.
///
/// # Errors
/// Every error in the file. A test makes sure that there is none.
pub fn built_in() -> Result<&'static QueryTable, Diagnostics> {
    BUILT_IN.as_ref().map_err(Clone::clone)
}

/// Whether the engine takes the value of a boolean parameter for true.
///
/// An empty value, `0`, `no`, `false` and `none` are false, in any case and with spaces around them. Every other value is
/// true, even `off`. Source: `httputils.BoolValue` in moby.
pub fn is_true(value: &str) -> bool {
    let value = value.trim();
    !["", "0", "no", "false", "none"].iter().any(|no| value.eq_ignore_ascii_case(no))
}

/// What a query parameter, or a key of `filters`, reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Fields of these classes. An empty set is nothing that a profile could hide.
    Classes(ClassSet),
    /// The labels that the values name, each as `key` or `key=value`.
    Labels,
    /// Actions of events. Some actions have a command line after a colon.
    Actions,
    /// More than any plan can filter.
    Unfiltered,
}

/// A query parameter that reads more than the response shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardedParameter {
    /// The name of the parameter.
    pub name: String,
    /// The ids of the operations that have it.
    pub operations: Vec<&'static str>,
    /// Whether the parameter is harmless if its value is false.
    pub is_flag: bool,
    /// What it reads.
    pub reads: Reads,
}

/// What query parameters and the keys of `filters` read, by operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryTable {
    parameters: Vec<GuardedParameter>,
    /// By operation id, then by key.
    filters: BTreeMap<&'static str, BTreeMap<String, Reads>>,
    harmless_labels: Vec<String>,
}

impl QueryTable {
    /// Reads a table from a file, given as file name and text.
    ///
    /// # Errors
    /// Every error in the file.
    pub fn parse((file, text): (&str, &str)) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let mut table = Self::default();
        if let Some(document) = diagnostics.ok(yaml::parse(file, text))
            && let Some(members) =
                diagnostics.members(&document, "a table of queries", &["parameters", "filters", "harmless-labels"])
        {
            table.read(members, &mut diagnostics);
        }
        diagnostics.finish(table)
    }

    fn read(&mut self, members: Members<'_>, diagnostics: &mut Diagnostics) {
        if let Some(node) = members.get("parameters") {
            for item in diagnostics.ok(node.list("parameters")).unwrap_or_default() {
                self.parameters.extend(GuardedParameter::read(item, diagnostics));
            }
        }
        if let Some(node) = members.get("filters") {
            for (id, keys) in diagnostics.ok(node.mapping("keys of `filters` by operation")).unwrap_or_default() {
                self.read_keys(id, keys, diagnostics);
            }
        }
        if let Some(node) = members.get("harmless-labels") {
            self.harmless_labels.extend(diagnostics.texts(node, "labels").into_iter().map(|(text, _)| text.to_owned()));
        }
    }

    /// Reads the keys of `filters` of one operation.
    fn read_keys(&mut self, id: &Key, keys: &Node, diagnostics: &mut Diagnostics) {
        let found = operation(&id.name).ok_or_else(|| Diagnostic::new(&id.location, unknown_operation(&id.name)));
        let Some(operation) = diagnostics.ok(found) else { return };
        let table = self.filters.entry(operation.id).or_default();
        for (key, reads) in diagnostics.ok(keys.mapping("what keys of `filters` read")).unwrap_or_default() {
            table.extend(Reads::read(reads, diagnostics).map(|reads| (key.name.clone(), reads)));
        }
    }

    /// The parameters of an operation, other than `filters`, that read more than the response shows.
    pub fn parameters(&self, operation: &Operation) -> impl Iterator<Item = &GuardedParameter> {
        let id = operation.id;
        self.parameters.iter().filter(move |parameter| parameter.operations.contains(&id))
    }

    /// What a key of an operation's `filters` reads. `None` if the table does not have the key.
    pub fn filter(&self, operation: &Operation, key: &str) -> Option<Reads> {
        self.filters.get(operation.id)?.get(key).copied()
    }

    /// The known keys of an operation's `filters`, each with what it reads.
    pub fn filters(&self, operation: &Operation) -> impl Iterator<Item = (&str, Reads)> {
        self.filters.get(operation.id).into_iter().flatten().map(|(key, reads)| (key.as_str(), *reads))
    }

    /// Whether it is safe to tell any client which objects have a label.
    pub fn is_harmless_label(&self, label: &str) -> bool {
        self.harmless_labels.iter().any(|known| known == label)
    }

    /// Whether the table has anything about an operation.
    pub fn covers(&self, operation: &Operation) -> bool {
        self.filters.contains_key(operation.id) || self.parameters(operation).next().is_some()
    }
}

impl GuardedParameter {
    fn read(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let members = diagnostics.members(node, "a parameter", &["parameter", "of", "flag", "reads"])?;
        let name = diagnostics.ok(members.get("parameter").unwrap_or(node).text("the name of a parameter"))?;
        let mut operations = Vec::new();
        for (id, item) in diagnostics.texts(members.get("of").unwrap_or(node), "operation ids") {
            let found = operation(id).ok_or_else(|| item.diagnostic(unknown_operation(id)));
            operations.extend(diagnostics.ok(found).map(|operation| operation.id));
        }
        let is_flag = match members.get("flag") {
            None => false,
            Some(node) => match diagnostics.ok(node.text("`true` or `false`"))? {
                "true" => true,
                "false" => false,
                other => {
                    diagnostics.push(node.diagnostic(format!("found {other:?}, expected `true` or `false`")));
                    return None;
                }
            },
        };
        let reads = Reads::read(members.get("reads").unwrap_or(node), diagnostics)?;
        Some(Self { name: name.to_owned(), operations, is_flag, reads })
    }
}

impl Reads {
    fn read(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match node.text("") {
            Ok("nothing") => Some(Self::Classes(ClassSet::EMPTY)),
            Ok("labels") => Some(Self::Labels),
            Ok("actions") => Some(Self::Actions),
            Ok("unfiltered") => Some(Self::Unfiltered),
            Ok(other) => {
                let expected = "expected a list of classes, nothing, labels, actions or unfiltered";
                diagnostics.push(node.diagnostic(format!("found {other:?}, {expected}")));
                None
            }
            Err(_) => {
                let mut classes = ClassSet::EMPTY;
                for (text, item) in diagnostics.texts(node, "classes") {
                    let class = text.parse().map_err(|error: UnknownClass| item.diagnostic(error.to_string()));
                    classes = classes.with(diagnostics.ok(class)?);
                }
                Some(Self::Classes(classes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::OPERATIONS;

    #[test]
    fn the_table_covers_exactly_the_parameters_that_exist() {
        let table = built_in().unwrap();
        for operation in OPERATIONS {
            let has_filters = operation.query.iter().any(|parameter| parameter.name == "filters");
            assert_eq!(table.filters.contains_key(operation.id), has_filters, "{}", operation.id);
        }
        for parameter in &table.parameters {
            for id in &parameter.operations {
                let known = operation(id).unwrap().query.iter().any(|known| known.name == parameter.name);
                assert!(known, "{id} has no parameter {}", parameter.name);
            }
        }
    }

    #[test]
    fn every_error_is_reported() {
        let text = "parameters:\n  - {parameter: a, of: [Nothing], flag: yes, reads: [public]}\n\
                    filters:\n  ContainerLst: {a: [state]}\n  ImageList: {b: some}\n";
        let found = QueryTable::parse(("q.yaml", text)).unwrap_err();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let starts = [
            "q.yaml:2:25: unknown operation \"Nothing\"",
            "q.yaml:2:41: found \"yes\", expected `true` or `false`",
            "q.yaml:4:3: unknown operation \"ContainerLst\", did you mean \"ContainerList\"?",
            "q.yaml:5:18: found \"some\", expected a list of classes",
        ];
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}");
        }
    }
}
