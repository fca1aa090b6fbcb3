//! A YAML file as a tree in which every node knows its line.
//!
//! The readers of configuration walk this tree themselves, because a person with five mistakes in a file is to
//! read about all five: a reader that stops at the first would make them start the program five times.

mod diagnostics;
mod members;
mod nearest;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use diagnostics::{Diagnostic, Diagnostics};
pub use members::Members;
pub use nearest::{nearest, unknown, unknown_or};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// How deep collections may nest.
const DEPTH_LIMIT: usize = 64;
/// How many values the aliases of a document may bring in.
const ALIAS_LIMIT: usize = 10_000;

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// The file, as the operator named it; `built-in:…` for a file inside the program.
    pub file: Arc<str>,
    /// Counted from one; zero where a file as a whole is meant.
    pub line: u32,
    /// Counted from one, in characters; zero where a line or file as a whole is meant.
    pub column: u32,
}

impl Location {
    /// A place that is a whole file, or an argument on the command line.
    pub fn file(file: &str) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}", self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// One value of a YAML file.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it starts.
    pub location: Location,
    /// What it is.
    pub value: Value,
}

/// The shape of a [`Node`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A plain or quoted scalar. Plain `null`, `~` and nothing at all are [`Value::Null`].
    Scalar {
        /// The text, escapes resolved.
        text: String,
        /// Written in quotes or as a block: certainly text.
        quoted: bool,
    },
    /// An empty value.
    Null,
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order written; no key occurs twice.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Where it is written.
    pub location: Location,
    /// Its text.
    pub name: String,
}

impl Node {
    /// What this is, for a message: `a list`, `a mapping`, `text`, `nothing`.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar { .. } => "text",
            Value::Null => "nothing",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }

    /// A mistake here.
    pub fn diagnostic(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(&self.location, message)
    }

    /// The text of a scalar.
    ///
    /// # Errors
    /// A mistake that says `what` was expected.
    pub fn text(&self, what: &str) -> Result<&str, Diagnostic> {
        match &self.value {
            Value::Scalar { text, .. } => Ok(text),
            Value::Null | Value::Sequence(_) | Value::Mapping(_) => {
                Err(self.diagnostic(format!("found {}, expected {what}", self.kind())))
            }
        }
    }

    /// The items of a list.
    ///
    /// # Errors
    /// A mistake that says `what` was expected.
    pub fn list(&self, what: &str) -> Result<&[Node], Diagnostic> {
        match &self.value {
            Value::Sequence(items) => Ok(items),
            Value::Scalar { .. } | Value::Null | Value::Mapping(_) => {
                Err(self.diagnostic(format!("found {}, expected {what}", self.kind())))
            }
        }
    }

    /// The entries of a mapping.
    ///
    /// # Errors
    /// A mistake that says `what` was expected.
    pub fn mapping(&self, what: &str) -> Result<&[(Key, Node)], Diagnostic> {
        match &self.value {
            Value::Mapping(entries) => Ok(entries),
            Value::Scalar { .. } | Value::Null | Value::Sequence(_) => {
                Err(self.diagnostic(format!("found {}, expected {what}", self.kind())))
            }
        }
    }
}

/// Reads one YAML document. `file` is the name that places carry.
///
/// Anchors, aliases, tags and second documents are refused: a file that decides what is hidden says each thing
/// where it is read.
///
/// # Errors
/// The first thing that is not such a document.
pub fn parse(file: &str, text: &str) -> Result<Node, Diagnostic> {
    read(file, text, None)
}

/// As [`parse`], for a file that was not written for us: aliases become copies of what they stand for, tags are left out.
///
/// # Errors
/// The first thing that is not such a document.
pub fn parse_foreign(file: &str, text: &str) -> Result<Node, Diagnostic> {
    read(file, text, Some(Anchors::default()))
}

fn read(file: &str, text: &str, anchors: Option<Anchors>) -> Result<Node, Diagnostic> {
    let file: Arc<str> = file.into();
    let mut reader = Reader { file: file.clone(), parser: Parser::new_from_str(text), anchors };
    let mut document = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            other @ (Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd) => {
                if document.is_some() {
                    return Err(Diagnostic::new(&reader.location(span), "a second document, expected one"));
                }
                document = Some(reader.node(other, span, 0)?);
            }
        }
    }
    Ok(document.unwrap_or(Node { location: Location { file, line: 1, column: 1 }, value: Value::Null }))
}

struct Reader<'t> {
    file: Arc<str>,
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    /// `None` where anchors are mistakes.
    anchors: Option<Anchors>,
}

/// The values that aliases may stand for.
#[derive(Default)]
struct Anchors {
    known: BTreeMap<usize, Node>,
    copied: usize,
}

impl Anchors {
    /// A copy of the value behind an alias; `None` if there is none, or were too many.
    fn copy(&mut self, anchor: usize) -> Option<Node> {
        let node = self.known.get(&anchor)?;
        self.copied += count(node);
        (self.copied <= ALIAS_LIMIT).then(|| node.clone())
    }
}

/// How many values a value consists of.
fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { .. } | Value::Null => 0,
        Value::Sequence(items) => items.iter().map(count).sum(),
        Value::Mapping(entries) => entries.iter().map(|(_, node)| count(node)).sum(),
    }
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Diagnostic> {
        match self.parser.next_event() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => {
                let marker = *error.marker();
                Err(Diagnostic::new(&self.location(Span::empty(marker)), format!("not YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn location(&self, span: Span) -> Location {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Location {
            file: self.file.clone(),
            line: number(span.start.line()),
            column: number(span.start.col()).saturating_add(1),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Diagnostic> {
        let location = self.location(span);
        if depth > DEPTH_LIMIT {
            return Err(Diagnostic::new(&location, format!("nested deeper than {DEPTH_LIMIT}")));
        }
        let anchored = match &event {
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                *anchor
            }
            Event::Alias(_)
            | Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => 0,
        };
        let foreign = self.anchors.is_some();
        let plain = |anchor: usize, tagged: bool| {
            if !foreign && (anchor != 0 || tagged) {
                return Err(Diagnostic::new(&location, "anchors and tags are not read here"));
            }
            Ok(())
        };
        let value = match event {
            Event::Scalar(text, style, anchor, tag) => {
                plain(anchor, tag.is_some())?;
                let quoted = style != ScalarStyle::Plain;
                if !quoted && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    Value::Null
                } else {
                    Value::Scalar { text: text.into_owned(), quoted }
                }
            }
            Event::SequenceStart(anchor, tag) => {
                plain(anchor, tag.is_some())?;
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if event == Event::SequenceEnd {
                        break Value::Sequence(items);
                    }
                    items.push(self.node(event, span, depth + 1)?);
                }
            }
            Event::MappingStart(anchor, tag) => {
                plain(anchor, tag.is_some())?;
                self.entries(depth)?
            }
            Event::Alias(anchor) => {
                let copy = self.anchors.as_mut().map(|anchors| anchors.copy(anchor));
                return match copy {
                    Some(Some(node)) => Ok(node),
                    Some(None) => Err(Diagnostic::new(&location, "an alias of nothing, or too many of them")),
                    None => Err(Diagnostic::new(&location, "aliases are not read here")),
                };
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(Diagnostic::new(&location, "not YAML: a value was expected")),
        };
        let node = Node { location, value };
        if let Some(anchors) = self.anchors.as_mut().filter(|_| anchored != 0) {
            anchors.known.insert(anchored, node.clone());
        }
        Ok(node)
    }

    fn entries(&mut self, depth: usize) -> Result<Value, Diagnostic> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Value::Mapping(entries));
            }
            let key = self.node(event, span, depth + 1)?;
            let name = key.text("a key")?.to_owned();
            if entries.iter().any(|(known, _)| known.name == name) {
                return Err(key.diagnostic(format!("the key {name:?} stands here twice")));
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            entries.push((Key { location: key.location, name }, node));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_mistake(text: &str, expected: &str) {
        assert_eq!(parse("f.yaml", text).unwrap_err().to_string(), expected);
    }

    #[test]
    fn every_node_knows_its_place() {
        let node = parse("f.yaml", "a: 1\nb:\n  - x\n  - 'y'\n").unwrap();
        let entries = node.mapping("m").unwrap();
        let (key, list) = entries.last().unwrap();
        assert_eq!((key.location.line, key.location.column), (2, 1));
        let last = list.list("l").unwrap().last().unwrap();
        assert_eq!((last.location.line, last.location.column), (4, 5));
        assert_eq!(last.value, Value::Scalar { text: "y".into(), quoted: true });
    }

    #[test]
    fn nothing_is_null() {
        assert_eq!(parse("f.yaml", "").unwrap().value, Value::Null);
        assert_eq!(parse("f.yaml", "a:\n").unwrap().mapping("m").unwrap().first().unwrap().1.value, Value::Null);
    }

    #[test]
    fn a_key_twice_is_a_mistake() {
        check_mistake("a: 1\na: 2\n", "f.yaml:2:1: the key \"a\" stands here twice");
    }

    #[test]
    fn aliases_and_tags_are_mistakes() {
        check_mistake("a: &x 1\n", "f.yaml:1:4: anchors and tags are not read here");
        check_mistake("a: !t 1\n", "f.yaml:1:4: anchors and tags are not read here");
    }

    #[test]
    fn a_foreign_file_may_have_aliases_and_tags() {
        let node = parse_foreign("f.yaml", "a: &x [1, !t 2]\nb: *x\n").unwrap();
        let entries = node.mapping("m").unwrap();
        assert_eq!(entries[0].1.value, entries[1].1.value);
        assert!(parse_foreign("f.yaml", "b: *x\n").is_err());
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let below = format!("*a{}", n - 1);
            bomb += &format!("a{n}: &a{n} [{}]\n", [below.as_str(); 10].join(", "));
        }
        assert!(parse_foreign("f.yaml", &bomb).unwrap_err().to_string().contains("too many"));
    }

    #[test]
    fn a_second_document_is_a_mistake() {
        check_mistake("a: 1\n---\nb: 1\n", "f.yaml:3:1: a second document, expected one");
    }

    #[test]
    fn deep_nesting_is_a_mistake() {
        assert!(parse("f.yaml", &"[".repeat(500)).is_err());
    }
}
