//! Text to tree.

use crate::quoting;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::{Diagnostic, Diagnostics, Key, Location, Node, Value};

/// The number of levels that collections may nest.
const DEPTH_LIMIT: usize = 64;
/// The number of values that the aliases of a document may copy.
const ALIAS_LIMIT: usize = 10_000;

/// Parses one YAML document. `file` is the name for locations.
///
/// Anchors, aliases, tags, duplicate keys and second documents are errors: in a file that decides what is hidden,
/// everything is written where it applies.
///
/// # Errors
/// The first error.
pub fn parse(file: &str, text: &str) -> Result<Node, Diagnostic> {
    let mut diagnostics = Diagnostics::default();
    match (parse_reporting(file, text, &mut diagnostics), diagnostics.iter().next()) {
        (_, Some(first)) => Err(first.clone()),
        (Some(node), None) => Ok(node),
        (None, None) => Err(Diagnostic::new(&Location::file(file), "not YAML")),
    }
}

/// As [`parse`], and reports all errors. There is a tree all the same, without what is wrong, if the rest can be read with certainty:
/// of keys that are there twice, the first is in it.
pub fn parse_reporting(file: &str, text: &str, diagnostics: &mut Diagnostics) -> Option<Node> {
    let mut wrong = Vec::new();
    let node = TreeReader::new(file, text, None, &mut wrong).document();
    wrong.into_iter().for_each(|wrong| diagnostics.push(wrong));
    diagnostics.ok(node)
}

/// As [`parse`], for a file that was not written for this program: aliases are replaced by what they stand for, tags and empty
/// documents are ignored.
///
/// # Errors
/// The first error.
pub fn parse_foreign(file: &str, text: &str) -> Result<Node, Diagnostic> {
    let mut wrong = Vec::new();
    let node = TreeReader::new(file, text, Some(Anchors::default()), &mut wrong).document();
    wrong.into_iter().next().map_or(node, Err)
}

/// Builds the tree from the events of the parser.
struct TreeReader<'t, 'w> {
    file: Arc<str>,
    parser: Parser<'t, StrInput<'t>>,
    /// `None` if anchors and tags are errors.
    anchors: Option<Anchors>,
    /// Errors behind which the rest can be read.
    wrong: &'w mut Vec<Diagnostic>,
}

/// The values that aliases may stand for.
#[derive(Default)]
struct Anchors {
    known: BTreeMap<usize, Node>,
    copied: usize,
}

impl Anchors {
    /// A copy of the value that an alias stands for; `None` if it is unknown or the limit is reached.
    fn copy(&mut self, anchor: usize) -> Option<Node> {
        let node = self.known.get(&anchor)?;
        self.copied += count(node);
        (self.copied <= ALIAS_LIMIT).then(|| node.clone())
    }
}

/// The number of values in a tree.
fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { .. } | Value::Null => 0,
        Value::Sequence(items) => items.iter().map(count).sum(),
        Value::Mapping(entries) => entries.iter().map(|(_, node)| count(node)).sum(),
    }
}

impl<'t, 'w> TreeReader<'t, 'w> {
    /// Starts reading a text.
    fn new(file: &str, text: &'t str, anchors: Option<Anchors>, wrong: &'w mut Vec<Diagnostic>) -> Self {
        Self { file: quoting::name(file).into(), parser: Parser::new_from_str(text), anchors, wrong }
    }

    /// The next event and its position.
    fn next(&mut self) -> Result<(Event<'t>, Span), Diagnostic> {
        match self.parser.next_event() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => {
                let location = self.location(Span::empty(*error.marker()));
                Err(Diagnostic::new(&location, format!("not YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The location of an event.
    fn location(&self, span: Span) -> Location {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Location {
            file: self.file.clone(),
            line: number(span.start.line()),
            column: number(span.start.col()).saturating_add(1),
            is_argument: false,
        }
    }

    /// The one document of the text; an empty text is [`Value::Null`].
    fn document(mut self) -> Result<Node, Diagnostic> {
        let mut document = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                other @ (Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd) => {
                    let location = self.location(span);
                    let node = self.node(other, span, 0)?;
                    // In a foreign file, an empty document is nothing: many end with `---`.
                    let is_nothing = |node: &Node| node.value == Value::Null;
                    match document.as_ref().filter(|known| self.anchors.is_none() || !is_nothing(known)) {
                        None => document = Some(node),
                        Some(_) if self.anchors.is_some() && is_nothing(&node) => {}
                        Some(_) => return Err(Diagnostic::new(&location, "a second document, expected only one")),
                    }
                }
            }
        }
        let start = Location { file: self.file, line: 1, column: 1, is_argument: false };
        Ok(document.unwrap_or(Node { location: start, value: Value::Null }))
    }

    /// The node that starts with `event`.
    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Diagnostic> {
        let location = self.location(span);
        if depth > DEPTH_LIMIT {
            return Err(Diagnostic::new(&location, format!("nested deeper than {DEPTH_LIMIT} levels")));
        }
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.check_plain(&location, anchor, tag.as_ref());
                (anchor, scalar(text.into_owned(), style))
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_plain(&location, anchor, tag.as_ref());
                (anchor, Value::Sequence(self.items(depth)?))
            }
            Event::MappingStart(anchor, tag) => {
                self.check_plain(&location, anchor, tag.as_ref());
                (anchor, Value::Mapping(self.entries(depth)?))
            }
            Event::Alias(anchor) => {
                let Some(anchors) = &mut self.anchors else {
                    return Err(Diagnostic::new(&location, "aliases are not allowed, write it out"));
                };
                let copy = anchors.copy(anchor);
                return copy.ok_or_else(|| Diagnostic::new(&location, "an unknown alias, or too many aliases"));
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(Diagnostic::new(&location, "not YAML: expected a value")),
        };
        let node = Node { location, value };
        // The parser counts anchors from one.
        if let Some(anchors) = self.anchors.as_mut().filter(|_| anchor != 0) {
            anchors.known.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// Refuses anchors and tags, except in a foreign file.
    fn check_plain<T>(&mut self, location: &Location, anchor: usize, tag: Option<&T>) {
        if self.anchors.is_none() && (anchor != 0 || tag.is_some()) {
            self.wrong.push(Diagnostic::new(location, "anchors and tags are not allowed, write it out"));
        }
    }

    /// The items of a list, up to its end.
    fn items(&mut self, depth: usize) -> Result<Vec<Node>, Diagnostic> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(items);
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    /// The entries of a mapping, up to its end.
    fn entries(&mut self, depth: usize) -> Result<Vec<(Key, Node)>, Diagnostic> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut names = BTreeSet::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            let key = self.node(event, span, depth + 1)?;
            let name = key.text("a key")?.to_owned();
            let is_new = names.insert(name.clone());
            if !is_new {
                self.wrong.push(key.diagnostic(format!("duplicate key {:?}", quoting::value(&name))));
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            if !is_new {
                continue;
            }
            entries.push((Key { location: key.location, name }, node));
        }
    }
}

/// The value of a scalar.
fn scalar(text: String, style: ScalarStyle) -> Value {
    let quoted = style != ScalarStyle::Plain;
    if !quoted && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
        Value::Null
    } else {
        Value::Scalar { text, quoted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        assert_eq!(parse("f.yaml", text).unwrap_err().to_string(), expected);
    }

    #[test]
    fn every_node_knows_its_location() {
        let node = parse("f.yaml", "a: 1\nb:\n  - x\n  - 'y'\n").unwrap();
        let entries = node.mapping("m").unwrap();
        let (key, list) = entries.last().unwrap();
        assert_eq!((key.location.line, key.location.column), (2, 1));
        let last = list.list("l").unwrap().last().unwrap();
        assert_eq!((last.location.line, last.location.column), (4, 5));
        assert_eq!(last.value, Value::Scalar { text: "y".into(), quoted: true });
    }

    #[test]
    fn an_empty_value_is_null() {
        assert_eq!(parse("f.yaml", "").unwrap().value, Value::Null);
        assert_eq!(parse("f.yaml", "a:\n").unwrap().mapping("m").unwrap().first().unwrap().1.value, Value::Null);
    }

    #[test]
    fn a_duplicate_key_is_an_error() {
        check_error("a: 1\na: 2\n", "f.yaml:2:1: duplicate key \"a\"");
    }

    #[test]
    fn anchors_aliases_and_tags_are_errors() {
        check_error("a: &x 1\n", "f.yaml:1:4: anchors and tags are not allowed, write it out");
        check_error("a: !t 1\n", "f.yaml:1:4: anchors and tags are not allowed, write it out");
        check_error("a: 1\nb: *x\n", "f.yaml:2:4: not YAML: while parsing node, found unknown anchor");
    }

    #[test]
    fn no_error_hides_the_others() {
        let mut diagnostics = Diagnostics::default();
        let node = parse_reporting("f.yaml", "a: 1\na: {b: 2, b: 3}\nc: &x !t 4\nc:\nd: *x\ne: 1\n", &mut diagnostics);
        assert_eq!(node, None);
        let expected = [
            "f.yaml:2:11: duplicate key \"b\"",
            "f.yaml:2:1: duplicate key \"a\"",
            "f.yaml:3:4: anchors and tags are not allowed, write it out",
            "f.yaml:4:1: duplicate key \"c\"",
            "f.yaml:5:4: aliases are not allowed, write it out",
        ];
        let found: BTreeSet<String> = diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected.map(str::to_owned).into_iter().collect());
        let mut diagnostics = Diagnostics::default();
        let node = parse_reporting("f.yaml", "a: 1\na: 2\nb: 3\n", &mut diagnostics).unwrap();
        let entries = node.mapping("m").unwrap().iter().map(|(key, node)| (key.name.as_str(), node.text("").unwrap()));
        assert_eq!(entries.collect::<Vec<_>>(), [("a", "1"), ("b", "3")]);
        assert_eq!(diagnostics.len(), 1);
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
    fn a_second_document_is_an_error() {
        check_error("a: 1\n---\nb: 1\n", "f.yaml:3:1: a second document, expected only one");
    }

    #[test]
    fn an_empty_document_of_a_foreign_file_is_nothing() {
        for text in ["a: 1\n---\n", "---\n---\na: 1\n", "---\na: 1\n---\n---\n# end\n", "a: 1\n...\n"] {
            assert!(parse_foreign("f.yaml", text).unwrap().mapping("m").is_ok(), "{text}");
        }
        check_error("a: 1\n---\n", "f.yaml:3:1: a second document, expected only one");
        let error = parse_foreign("f.yaml", "a: 1\n---\nb: 1\n").unwrap_err();
        assert_eq!(error.to_string(), "f.yaml:3:1: a second document, expected only one");
    }

    #[test]
    fn deep_nesting_is_an_error() {
        assert!(parse("f.yaml", &"[".repeat(500)).is_err());
    }
}
