//! What the OpenAPI documents of the Docker Engine API say about answers: members, types, and which members are required.
//!
//! `fixtures/openapi.tsv` keeps this for every version, without any text of the documents.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use dockveil::api::{OPERATIONS, Operation};
use dockveil::yaml::{self, Node, Value};

use super::versions::{VersionSet, minor};
use crate::support::leaves::step;

/// The name under which the answers with a status of 400 or more are kept.
pub(crate) const ERROR: &str = "error";

/// What the documents say, in all versions that were read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Documents {
    /// The versions that were read.
    pub(crate) versions: VersionSet,
    /// What they say.
    pub(crate) facts: BTreeMap<Fact, Stated>,
}

/// One statement of a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fact {
    /// A definition, an operation as `GET /info`, or [`ERROR`].
    pub(crate) name: String,
    /// Where in it, as class files write paths.
    pub(crate) path: String,
    /// What is there: a JSON type in lower case, or a definition, whose name begins with a capital.
    pub(crate) kind: String,
}

/// Where a statement is made.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Stated {
    /// The versions that make it.
    pub(crate) versions: VersionSet,
    /// Those of them in which the member is required.
    pub(crate) required: VersionSet,
}

impl Documents {
    /// Reads the kept file.
    pub(crate) fn parse(text: &str) -> Self {
        let versions = text.lines().find_map(|line| line.strip_prefix("# documents: ")).unwrap();
        let versions = VersionSet::read(versions, VersionSet::ALL);
        let facts = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [name, path, kind, stated, required] =
                columns.try_into().unwrap_or_else(|_| panic!("five columns: {line:?}"));
            let fact = Fact { name: name.to_owned(), path: path.to_owned(), kind: kind.to_owned() };
            let [stated, required] = [stated, required].map(|text| VersionSet::read(text, versions));
            (fact, Stated { versions: stated, required })
        });
        Self { versions, facts: facts.collect() }
    }

    /// The text of the kept file.
    pub(crate) fn write(&self) -> String {
        let versions = self.versions.write(VersionSet::ALL);
        let mut text = format!("{ABOUT}# documents: {versions}\n# name\tpath\ttype\tversions\trequired\n");
        for (Fact { name, path, kind }, stated) in &self.facts {
            let [versions, required] = [stated.versions, stated.required].map(|versions| versions.write(self.versions));
            writeln!(text, "{name}\t{path}\t{kind}\t{versions}\t{required}").unwrap();
        }
        text
    }

    /// Adds a document, or replaces what an earlier one of its version said.
    pub(crate) fn add(&mut self, file: &str, text: &str) {
        let document =
            yaml::parse_foreign(file, &without_texts(text)).unwrap_or_else(|diagnostic| panic!("{diagnostic}"));
        let version = VersionSet::one(minor(text_of(at(&document, &["info", "version"]))));
        self.versions = self.versions.or(version);
        for stated in self.facts.values_mut() {
            stated.versions = stated.versions.without(version);
            stated.required = stated.required.without(version);
        }
        let mut reader = Reader { document: &document, version, facts: &mut self.facts, waiting: BTreeSet::new() };
        reader.operations(file);
        reader.definitions();
        self.facts.retain(|_, stated| !stated.versions.is_empty());
    }
}

/// The document without descriptions and examples: they are not needed, and in some of them a quoted text or a bracket is
/// continued on lines that are not indented, which is no YAML.
fn without_texts(document: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut text = String::new();
    let mut lines = document.lines().peekable();
    while let Some(line) = lines.next() {
        let key = line.trim_start().trim_start_matches("- ");
        let named = ["description: ", "summary: ", "title: ", "example:", "examples:"]
            .iter()
            .find_map(|name| key.strip_prefix(name));
        let value = named.map(str::trim_start);
        let Some(value) = value else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let end = match value.chars().next() {
            Some('"') if !value[1..].ends_with('"') => Some('"'),
            Some('{') if !value.ends_with('}') => Some('}'),
            Some('[') if !value.ends_with(']') => Some(']'),
            Some(_) | None => None,
        };
        if let Some(end) = end {
            lines.find(|line| line.ends_with(end) && (end == '"' || line.trim_start().len() == 1)).unwrap();
        }
        while lines.next_if(|next| next.trim().is_empty() || indent(next) > indent(line)).is_some() {}
        text.push_str(line[..line.len() - value.len()].trim_end());
        text.push_str(" ''\n");
    }
    text
}

/// Reads one document.
struct Reader<'d> {
    document: &'d Node,
    version: VersionSet,
    facts: &'d mut BTreeMap<Fact, Stated>,
    /// Definitions that something read so far refers to.
    waiting: BTreeSet<String>,
}

impl Reader<'_> {
    /// Reads the answers of the operations that answer with JSON.
    fn operations(&mut self, file: &str) {
        let mut unknown = Vec::new();
        for (template, methods) in entries(at(self.document, &["paths"])) {
            for (method, operation) in entries(methods).filter(|(method, _)| *method != "parameters") {
                let name = format!("{} {template}", method.to_ascii_uppercase());
                let Some(known) = OPERATIONS.iter().find(|known| is_same(&name, known)) else {
                    unknown.push(name);
                    continue;
                };
                for (status, response) in find(operation, "responses").into_iter().flat_map(entries) {
                    assert!(find(response, "$ref").is_none(), "{file}: {name}: shared responses are not read here");
                    match find(response, "schema") {
                        Some(schema) if !status.starts_with(['2', '1']) => self.schema(ERROR, "$", schema, false),
                        Some(schema) if known.schema().is_some() => self.schema(&name, "$", schema, false),
                        Some(_) | None => {}
                    }
                }
            }
        }
        assert!(unknown.is_empty(), "{file}: operations that src does not list: {unknown:?}");
    }

    /// Reads the definitions that are referred to, and those that they refer to.
    fn definitions(&mut self) {
        let mut read = BTreeSet::new();
        while let Some(name) = self.waiting.pop_first() {
            if read.insert(name.clone()) {
                self.schema(&name, "$", at(self.document, &["definitions", &name]), false);
            }
        }
    }

    fn state(&mut self, name: &str, path: &str, kind: &str, required: bool) {
        let fact = Fact { name: name.to_owned(), path: path.to_owned(), kind: kind.to_owned() };
        let stated = self.facts.entry(fact).or_default();
        stated.versions = stated.versions.or(self.version);
        if required {
            stated.required = stated.required.or(self.version);
        }
    }

    fn schema(&mut self, name: &str, path: &str, schema: &Node, required: bool) {
        if let Some(definition) = find(schema, "$ref") {
            let definition = text_of(definition).strip_prefix("#/definitions/").unwrap();
            assert!(definition.starts_with(|first: char| first.is_ascii_uppercase()), "{definition}");
            self.waiting.insert(definition.to_owned());
            return self.state(name, path, definition, required);
        }
        let parts = find(schema, "allOf").map(|parts| parts.list("schemas").unwrap()).unwrap_or_default();
        for part in parts {
            self.schema(name, path, part, required);
        }
        let names_required = find(schema, "required").map(|names| names.list("names").unwrap()).unwrap_or_default();
        let names_required: BTreeSet<&str> = names_required.iter().map(text_of).collect();
        let members = find(schema, "properties").into_iter().flat_map(entries);
        for (member, below) in members {
            self.schema(name, &format!("{path}{}", step(member)), below, names_required.contains(member));
        }
        // `true` and `{}` allow anything.
        let others = find(schema, "additionalProperties").filter(|others| matches!(others.value, Value::Mapping(_)));
        if let Some(others) = others {
            self.schema(name, &format!("{path}.*"), others, false);
        }
        if let Some(elements) = find(schema, "items") {
            self.schema(name, &format!("{path}[*]"), elements, false);
        }
        let kind = match find(schema, "type").map(|kind| &kind.value) {
            Some(Value::Scalar { text, .. }) => text.clone(),
            Some(Value::Sequence(kinds)) => kinds.iter().map(text_of).collect::<Vec<_>>().join("|"),
            Some(Value::Null | Value::Mapping(_)) => panic!("{name} {path}: a type"),
            None if find(schema, "properties").is_some() || others.is_some() => "object".to_owned(),
            None if !parts.is_empty() => return,
            None => "any".to_owned(),
        };
        self.state(name, path, &kind, required);
    }
}

/// Whether an operation of a document is one of ours; parameters may have other names.
pub(crate) fn is_same(name: &str, operation: &Operation) -> bool {
    let (method, template) = (operation.method.as_str(), operation.template);
    let Some((document_method, path)) = name.split_once(' ') else { return false };
    let is_parameter = |segment: &str| segment.starts_with('{');
    let segments = || path.split('/').zip(template.split('/'));
    document_method == method
        && path.split('/').count() == template.split('/').count()
        && segments().all(|(one, other)| one == other || is_parameter(one) && is_parameter(other))
}

/// The members of a mapping.
fn entries(node: &Node) -> impl Iterator<Item = (&str, &Node)> {
    let entries = node.mapping("a mapping").unwrap_or_else(|diagnostic| panic!("{diagnostic}"));
    entries.iter().map(|(key, node)| (key.name.as_str(), node))
}

/// The member of a mapping with this name, if there is one.
fn find<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    entries(node).find(|(key, _)| *key == name).map(|(_, node)| node)
}

/// The node at the end of `names`.
fn at<'n>(node: &'n Node, names: &[&str]) -> &'n Node {
    names.iter().fold(node, |node, name| find(node, name).unwrap_or_else(|| panic!("{}: no {name:?}", node.location)))
}

fn text_of(node: &Node) -> &str {
    node.text("text").unwrap_or_else(|diagnostic| panic!("{diagnostic}"))
}

/// How the kept file begins.
const ABOUT: &str = "\
# What the OpenAPI documents of the Docker Engine API say about answers with JSON: facts only, no text is kept.
# Generated: CONTRIBUTING.md says how to add a document.
#
# name: a definition, an operation, or `error` for every answer with a status of 400 or more
# path: where in it, written as in class files
# type: a JSON type in lower case, or the definition that describes the place
# versions: the documents that say so; `+` includes the newest one
# required: those of them in which the member is required
#
";
