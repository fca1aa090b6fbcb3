//! What query parameters read, from `filters/queries.yaml`, and how the engine reads their values.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::operations::{Operation, operation, unknown_operation};
use crate::schema::{ClassSet, UnknownClass};
use crate::yaml::{self, Diagnostic, Diagnostics, Members, Node};

/// The file inside the program.
const FILE: (&str, &str) = ("built-in:queries.yaml", include_str!("../../filters/queries.yaml"));

static BUILT_IN: LazyLock<Result<QueryTable, Diagnostics>> = LazyLock::new(|| QueryTable::parse(FILE));

/// The built-in table.
///
/// # Errors
/// Every mistake in the file; none in a program whose tests pass.
pub fn built_in() -> Result<&'static QueryTable, Diagnostics> {
    BUILT_IN.as_ref().map_err(Clone::clone)
}

/// Whether the engine reads the value of a parameter as true.
///
/// False are the empty text, `0`, `no`, `false` and `none`, in any case and with spaces around. Everything else is true,
/// `off` too.
pub fn is_true(value: &str) -> bool {
    let value = value.trim();
    !["", "0", "no", "false", "none"].iter().any(|no| value.eq_ignore_ascii_case(no))
}

/// What a parameter, or one key of `filters`, reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Fields of these classes. None: nothing that a profile could hide.
    Classes(ClassSet),
    /// The labels that its values name, each `key` or `key=value`.
    Labels,
    /// Actions of events, and the command line behind the colon of those that have one.
    Actions,
    /// More than a plan can filter.
    Unfiltered,
}

/// A parameter that reads more than the response shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingParameter {
    /// Its name.
    pub name: String,
    /// The operations it is a parameter of.
    pub operations: Vec<&'static str>,
    /// Whether it is harmless when present but false.
    pub is_flag: bool,
    /// What it reads.
    pub reads: Reads,
}

/// What parameters and keys of `filters` read, by operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryTable {
    parameters: Vec<ReadingParameter>,
    filters: BTreeMap<&'static str, BTreeMap<String, Reads>>,
    harmless_labels: Vec<String>,
}

impl QueryTable {
    /// Reads a table, given as file name and text.
    ///
    /// # Errors
    /// Every mistake in the file.
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
                self.parameters.extend(ReadingParameter::read(item, diagnostics));
            }
        }
        if let Some(node) = members.get("filters") {
            for (key, keys) in diagnostics.ok(node.mapping("keys of `filters` by operation")).unwrap_or_default() {
                let found = operation(&key.name);
                let found = found.ok_or_else(|| Diagnostic::new(&key.location, unknown_operation(&key.name)));
                let Some(operation) = diagnostics.ok(found) else { continue };
                let mut table = BTreeMap::new();
                for (key, reads) in diagnostics.ok(keys.mapping("what keys of `filters` read")).unwrap_or_default() {
                    table.extend(Reads::read(reads, diagnostics).map(|reads| (key.name.clone(), reads)));
                }
                self.filters.insert(operation.id, table);
            }
        }
        if let Some(node) = members.get("harmless-labels") {
            self.harmless_labels.extend(diagnostics.texts(node, "labels").into_iter().map(|(text, _)| text.to_owned()));
        }
    }

    /// The parameters of an operation that read something, other than `filters`.
    pub fn parameters(&self, operation: &Operation) -> impl Iterator<Item = &ReadingParameter> {
        let id = operation.id;
        self.parameters.iter().filter(move |parameter| parameter.operations.contains(&id))
    }

    /// What a key of `filters` of an operation reads, if it is known.
    pub fn filter(&self, operation: &Operation, key: &str) -> Option<Reads> {
        self.filters.get(operation.id)?.get(key).copied()
    }

    /// The keys of `filters` that are known of an operation, each with what it reads.
    pub fn filters(&self, operation: &Operation) -> impl Iterator<Item = (&str, Reads)> {
        self.filters.get(operation.id).into_iter().flatten().map(|(key, reads)| (key.as_str(), *reads))
    }

    /// Whether the presence of a label says nothing, whatever the profile shows.
    pub fn is_harmless_label(&self, label: &str) -> bool {
        self.harmless_labels.iter().any(|known| known == label)
    }

    /// Whether the table says anything about an operation.
    pub fn concerns(&self, operation: &Operation) -> bool {
        self.filters.contains_key(operation.id) || self.parameters(operation).next().is_some()
    }
}

impl ReadingParameter {
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
    fn the_table_knows_every_operation_that_has_filters_and_nothing_else() {
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
    fn mistakes_are_reported() {
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
