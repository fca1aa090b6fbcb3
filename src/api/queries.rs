//! What query parameters and names in paths read, from `filters/queries.yaml`, and which values the engine takes for true.

mod packed;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::operations::{Operation, operation, unknown_operation};
use crate::embedded;
use crate::quoting;
use crate::schema::{ClassSet, UnknownClass};
use crate::yaml::{Diagnostic, Diagnostics, Key, Members, Node};

/// The file of the built-in table, which `build.rs` checks and packs.
pub const FILE: &str = "queries.yaml";

/// The built-in table, read once.
static BUILT_IN: LazyLock<Result<QueryTable, Diagnostics>> =
    LazyLock::new(|| Ok(embedded::table(FILE, QueryTable::unpack)?));

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

/// A field of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadField {
    /// The name of the schema.
    pub schema: String,
    /// The path, as class files write it.
    pub path: String,
}

/// What a query parameter, or a key of `filters`, reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reads {
    /// All of these fields, and any fields of these classes. If both are empty: nothing that a profile could hide.
    Fields {
        /// Single fields.
        fields: Vec<ReadField>,
        /// Classes of other fields, or of what no answer shows.
        classes: ClassSet,
    },
    /// The labels that the values name, each as `key` or `key=value`.
    Labels,
    /// The same of events, whose attributes are matched like labels.
    Attributes,
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

/// How the engine finds the object that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathName {
    /// How the paths begin, up to the name.
    pub path: String,
    /// The form of a whole id.
    pub id: IdForm,
    /// The fields with the id, which the engine also finds by its beginning. Empty if it compares whole ids only.
    pub ids: Vec<ReadField>,
    /// The fields with the name. Empty if objects have no name.
    pub names: Vec<ReadField>,
    /// The operation that returns the object. `None` if a path reads nothing that could be hidden.
    pub inspect: Option<&'static Operation>,
}

/// The form of a whole id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdForm {
    /// There are no ids.
    #[default]
    Nothing,
    /// 64 hexadecimal digits.
    Hex,
    /// The same, with or without `sha256:` before them.
    Digest,
    /// 25 digits and small letters.
    Base36,
}

impl IdForm {
    const ALL: [(&'static str, Self); 4] =
        [("nothing", Self::Nothing), ("hex", Self::Hex), ("digest", Self::Digest), ("base36", Self::Base36)];

    /// Whether a text has the form of a whole id.
    pub fn matches(self, text: &str) -> bool {
        let is_hex =
            |text: &str| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match self {
            Self::Nothing => false,
            Self::Hex => is_hex(text),
            Self::Digest => is_hex(text.strip_prefix("sha256:").unwrap_or(text)),
            Self::Base36 => text.len() == 25 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z')),
        }
    }
}

/// What query parameters, the keys of `filters` and the names in paths read, by operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryTable {
    parameters: Vec<GuardedParameter>,
    /// By operation id, then by key.
    filters: BTreeMap<&'static str, BTreeMap<String, Reads>>,
    harmless_labels: Vec<String>,
    names: Vec<PathName>,
}

impl QueryTable {
    /// Reads a table from its file.
    ///
    /// # Errors
    /// Every error in the file.
    pub fn read(document: &Node) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let mut table = Self::default();
        let keys = ["parameters", "filters", "harmless-labels", "names"];
        if let Some(members) = diagnostics.members(document, "a table of queries", &keys) {
            table.read_members(members, &mut diagnostics);
        }
        diagnostics.finish(table)
    }

    fn read_members(&mut self, members: Members<'_>, diagnostics: &mut Diagnostics) {
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
        if let Some(node) = members.get("names") {
            for item in diagnostics.ok(node.list("names in paths")).unwrap_or_default() {
                self.names.extend(PathName::read(item, diagnostics));
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

    /// The classes of which parameters of an operation other than `filters` read all fields.
    pub fn classes(&self, operation: &Operation) -> ClassSet {
        self.parameters(operation).fold(ClassSet::EMPTY, |found, parameter| match &parameter.reads {
            Reads::Fields { classes, .. } => classes.iter().fold(found, ClassSet::with),
            Reads::Labels | Reads::Attributes | Reads::Actions | Reads::Unfiltered => found,
        })
    }

    /// What a key of an operation's `filters` reads. `None` if the table does not have the key.
    pub fn filter(&self, operation: &Operation, key: &str) -> Option<&Reads> {
        self.filters.get(operation.id)?.get(key)
    }

    /// The known keys of an operation's `filters`, each with what it reads.
    pub fn filters(&self, operation: &Operation) -> impl Iterator<Item = (&str, &Reads)> {
        self.filters.get(operation.id).into_iter().flatten().map(|(key, reads)| (key.as_str(), reads))
    }

    /// How the engine finds the object in the path of an operation. `None` if the path names none.
    pub fn name(&self, operation: &Operation) -> Option<&PathName> {
        self.names.iter().find(|name| operation.template.starts_with(&name.path))
    }

    /// The fields that the parameters, the keys of `filters` and the path of an operation read.
    pub fn fields(&self, operation: &Operation) -> impl Iterator<Item = &ReadField> {
        let parameters = self.parameters(operation).map(|parameter| &parameter.reads);
        let filters = self.filters(operation).map(|(_, reads)| reads);
        let read = parameters.chain(filters).flat_map(|reads| match reads {
            Reads::Fields { fields, .. } => fields.as_slice(),
            Reads::Labels | Reads::Attributes | Reads::Actions | Reads::Unfiltered => &[],
        });
        read.chain(self.name(operation).into_iter().flat_map(|name| name.ids.iter().chain(&name.names)))
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

impl ReadField {
    /// Parses the name of a schema and a path, with a space between them.
    fn parse(text: &str) -> Option<Self> {
        let (schema, path) = text.split_once(" $")?;
        Some(Self { schema: schema.to_owned(), path: format!("${path}") })
    }
}

impl PathName {
    fn read(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let members = diagnostics.members(node, "a name in a path", &["path", "id", "ids", "names", "inspect"])?;
        let path = diagnostics.ok(members.get("path").unwrap_or(node).text("the beginning of a path"))?.to_owned();
        let id = match members.get("id") {
            Some(node) => diagnostics.ok(node.one_of("form of an id", &IdForm::ALL))?,
            None => IdForm::Nothing,
        };
        let mut fields = |key: &str| {
            let mut found = Vec::new();
            for (text, item) in members.get(key).map(|node| diagnostics.texts(node, "fields")).unwrap_or_default() {
                let field = ReadField::parse(text);
                let field = field.ok_or_else(|| {
                    item.diagnostic(format!("found {:?}, expected a schema and a path", quoting::value(text)))
                });
                found.extend(diagnostics.ok(field));
            }
            found
        };
        let (ids, names) = (fields("ids"), fields("names"));
        let inspect = match members.get("inspect") {
            None => None,
            Some(node) => {
                let id = diagnostics.ok(node.text("an operation id"))?;
                let found = operation(id).ok_or_else(|| node.diagnostic(unknown_operation(id)));
                Some(diagnostics.ok(found)?)
            }
        };
        Some(Self { path, id, ids, names, inspect })
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
            Some(node) => diagnostics.ok(node.boolean())?,
        };
        let reads = Reads::read(members.get("reads").unwrap_or(node), diagnostics)?;
        Some(Self { name: name.to_owned(), operations, is_flag, reads })
    }
}

impl Reads {
    fn read(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match node.text("") {
            Ok("nothing") => Some(Self::Fields { fields: Vec::new(), classes: ClassSet::EMPTY }),
            Ok("labels") => Some(Self::Labels),
            Ok("attributes") => Some(Self::Attributes),
            Ok("actions") => Some(Self::Actions),
            Ok("unfiltered") => Some(Self::Unfiltered),
            Ok(other) => {
                let expected =
                    "expected a list of fields and classes, nothing, labels, attributes, actions or unfiltered";
                diagnostics.push(node.diagnostic(format!("found {:?}, {expected}", quoting::value(other))));
                None
            }
            Err(_) => {
                let (mut fields, mut classes) = (Vec::new(), ClassSet::EMPTY);
                for (text, item) in diagnostics.texts(node, "fields and classes") {
                    if let Some(field) = ReadField::parse(text) {
                        fields.push(field);
                        continue;
                    }
                    let class = text.parse().map_err(|error: UnknownClass| item.diagnostic(error.to_string()));
                    classes = classes.with(diagnostics.ok(class)?);
                }
                Some(Self::Fields { fields, classes })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::OPERATIONS;

    #[test]
    fn the_table_is_packed_whole() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("filters").join(FILE);
        let document = crate::yaml::parse(FILE, &std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(built_in(), Ok(&QueryTable::read(&document).unwrap()));
    }

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
    fn the_table_names_fields_of_the_catalogue_and_every_name_in_a_path() {
        let table = built_in().unwrap();
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let show = crate::filter::Show::default();
        for operation in OPERATIONS {
            assert_eq!(table.name(operation).is_some(), operation.takes_name(), "{}", operation.id);
            for field in table.fields(operation) {
                let known = crate::filter::Plan::explain(&catalogue, &field.schema, &show, &[]).unwrap();
                assert!(known.iter().any(|line| line.path == field.path), "{}: {field:?}", operation.id);
            }
        }
        for name in table.names.iter().filter(|name| name.inspect.is_some()) {
            let schema = name.inspect.unwrap().schema().unwrap();
            let has = |fields: &[ReadField]| fields.iter().any(|field| field.schema == schema);
            assert!(name.ids.is_empty() || has(&name.ids), "{}", name.path);
            assert!(name.names.is_empty() || has(&name.names), "{}", name.path);
        }
    }

    #[test]
    fn a_whole_id_has_one_form() {
        let hex = "0123456789abcdef".repeat(4);
        for (form, text, expected) in [
            (IdForm::Hex, hex.as_str(), true),
            (IdForm::Hex, &hex[1..], false),
            (IdForm::Hex, &hex.to_uppercase(), false),
            (IdForm::Hex, &format!("sha256:{hex}"), false),
            (IdForm::Digest, &format!("sha256:{hex}"), true),
            (IdForm::Digest, &hex, true),
            (IdForm::Digest, &format!("sha256:{}", &hex[1..]), false),
            (IdForm::Base36, "0123456789abcdefghijklmno", true),
            (IdForm::Base36, "0123456789abcdefghijklmn", false),
            (IdForm::Base36, "0123456789abcdefghijklm-o", false),
            (IdForm::Nothing, &hex, false),
        ] {
            assert_eq!(form.matches(text), expected, "{form:?} {text}");
        }
    }

    #[test]
    fn every_error_is_reported() {
        let text = "parameters:\n  - {parameter: a, of: [Nothing], flag: yes, reads: [public]}\n\
                    filters:\n  ContainerLst: {a: [state]}\n  ImageList: {b: some}\n";
        let found = QueryTable::read(&crate::yaml::parse("q.yaml", text).unwrap()).unwrap_err();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let starts = [
            "q.yaml:2:25: unknown operation \"Nothing\"",
            "q.yaml:2:41: found \"yes\", expected `true` or `false`",
            "q.yaml:4:3: unknown operation \"ContainerLst\", did you mean \"ContainerList\"?",
            "q.yaml:5:18: found \"some\", expected a list of fields and classes",
        ];
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}");
        }
    }
}
