//! Selectors: the paths of rules, in JSONPath (RFC 9535), compiled.
//!
//! The library `jsonpath-rust` parses the text. Our own code matches it, filter expressions (`[?…]`) in [`expression`]. The
//! library silently misreads some texts. They are refused here, because a rule that never matches hides nothing.

mod expression;

use std::fmt;
use std::str::FromStr;

use jsonpath_rust::parser::model::{Segment as ParsedSegment, Selector as ParsedSelector};
use jsonpath_rust::parser::parse_json_path;

pub(super) use self::expression::{Question, Test};

/// Selects values in a document: a compiled JSONPath.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    text: String,
    segments: Vec<Segment>,
}

/// One segment of a path (RFC 9535 §2.5).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    /// Whether it is a descendant segment (`..`), which also selects at any depth below.
    pub(super) descendant: bool,
    /// What it selects from an object or array: the union of these.
    pub(super) picks: Vec<Pick>,
}

/// One selector of a segment (RFC 9535 §2.3).
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pick {
    /// The member with this name.
    Name(String),
    /// Every member and element.
    Any,
    /// The element at this index. A negative index counts from the end.
    Index(i64),
    /// The elements in a range.
    Slice(Slice),
    /// The members and elements for which an expression is true.
    Test(Test),
}

/// How the work of filter expressions grows with the length of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExpressionWork {
    /// There are no expressions.
    None,
    /// In proportion to it: each value is read a few times.
    Linear,
    /// It may be the square of it. A limit ends it.
    Unbounded,
}

/// A range of elements (RFC 9535 §2.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
}

impl Slice {
    /// Whether the range depends on the length of the array.
    pub(super) fn needs_length(self) -> bool {
        self.step < 0 || self.start.is_some_and(i64::is_negative) || self.end.is_some_and(i64::is_negative)
    }

    /// Whether the element at `index` is in the range, in an array of `length` elements.
    pub(super) fn contains(self, index: i64, length: i64) -> bool {
        let from_start = |bound: i64| if bound < 0 { length.saturating_add(bound) } else { bound };
        let (start, end) = (self.start.map(from_start), self.end.map(from_start));
        if self.step > 0 {
            let (lower, upper) = (start.unwrap_or(0).max(0), end.unwrap_or(length));
            (lower..upper).contains(&index) && (index - lower) % self.step == 0
        } else if self.step < 0 {
            let upper = start.unwrap_or(length - 1).min(length - 1);
            let lower = end.unwrap_or(-1).max(-1);
            lower < index && index <= upper && (upper - index) % self.step == 0
        } else {
            false
        }
    }
}

impl Selector {
    /// The path as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The segments, from the document down.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether a filter expression in the path refers to the whole document (`$`).
    pub(super) fn is_absolute(&self) -> bool {
        let picks = self.segments.iter().flat_map(|segment| &segment.picks);
        picks.into_iter().any(|pick| matches!(pick, Pick::Test(test) if test.absolute))
    }

    /// The patterns of `match()` and `search()` in it that a text with line breaks may escape, because a `.` stands for none, each
    /// with whether it stands behind a `!`.
    pub fn short_patterns(&self) -> Vec<(&str, bool)> {
        let mut found = Vec::new();
        tests_in(&self.segments).for_each(|test| test.short_patterns(&mut found));
        found
    }

    /// How the work of its filter expressions grows. Below `..` they are evaluated on values that are in each other.
    pub(super) fn work(&self) -> ExpressionWork {
        let tests = || tests_in(&self.segments);
        if tests().next().is_none() {
            ExpressionWork::None
        } else if tests().all(|test| test.is_linear) && !self.segments.iter().any(|segment| segment.descendant) {
            ExpressionWork::Linear
        } else {
            ExpressionWork::Unbounded
        }
    }
}

/// The filter expressions of segments, without those inside them.
fn tests_in(segments: &[Segment]) -> impl Iterator<Item = &Test> {
    segments.iter().flat_map(|segment| &segment.picks).filter_map(|pick| match pick {
        Pick::Test(test) => Some(test),
        Pick::Name(_) | Pick::Any | Pick::Index(_) | Pick::Slice(_) => None,
    })
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        check_whitespace(text)?;
        if !text.starts_with('$') {
            return Err(SelectorError::new("expected `$` first, as in $.a.b[*]"));
        }
        let query = parse_json_path(text).map_err(|error| SelectorError::new(reason(&error.to_string())))?;
        let segments = query.segments.into_iter().map(segment).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), segments })
    }
}

/// The reason why a text is not a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorError {
    message: String,
}

impl SelectorError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad path: {}", self.message)
    }
}

impl std::error::Error for SelectorError {}

/// Shortens the library's error message to one line. It has the place, and what is expected there in words of a grammar, which
/// nobody knows.
fn reason(message: &str) -> String {
    match message.split_once("-->").and_then(|(_, rest)| rest.lines().next()?.split(':').nth(1)) {
        Some(column) => {
            let column = column.trim();
            format!("from character {column} on, it is no JSONPath (RFC 9535), such as $.a.b[*]")
        }
        None => message.lines().map(str::trim).collect::<Vec<_>>().join(" "),
    }
}

/// Refuses whitespace that the library drops or takes for a part of a name.
///
/// The library reads `$.a b` as the name `a b`, and drops non-ASCII whitespace after a name. RFC 9535 allows neither:
/// there is always punctuation between two names, and a name with such characters is in quotes.
fn check_whitespace(text: &str) -> Result<(), SelectorError> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || !c.is_ascii();
    let (mut quote, mut escaped, mut before, mut gap) = (None, false, None::<char>, false);
    for c in text.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(delimiter) => {
                if c == delimiter {
                    quote = None;
                }
            }
            None if c.is_ascii_whitespace() => gap = true,
            None if c.is_whitespace() || c.is_control() => {
                return Err(SelectorError::new(format!("found {c:?} outside quotes")));
            }
            None => {
                if gap && is_name(c) && before.is_some_and(is_name) {
                    return Err(SelectorError::new("whitespace inside a name: write it as ['a b']"));
                }
                if matches!(c, '\'' | '"') {
                    quote = Some(c);
                }
                (before, gap) = (Some(c), false);
            }
        }
    }
    Ok(())
}

/// Compiles one segment.
fn segment(parsed: ParsedSegment) -> Result<Segment, SelectorError> {
    let (descendant, parsed) = match parsed {
        ParsedSegment::Descendant(below) => (true, *below),
        ParsedSegment::Selector(_) | ParsedSegment::Selectors(_) => (false, parsed),
    };
    let picks = match parsed {
        ParsedSegment::Selector(one) => vec![one],
        ParsedSegment::Selectors(many) => many,
        ParsedSegment::Descendant(_) => return Err(SelectorError::new("found `..` twice")),
    };
    let picks = picks.into_iter().map(pick).collect::<Result<_, _>>()?;
    Ok(Segment { descendant, picks })
}

/// Compiles one selector of a segment.
fn pick(parsed: ParsedSelector) -> Result<Pick, SelectorError> {
    Ok(match parsed {
        ParsedSelector::Name(name) => Pick::Name(name),
        ParsedSelector::Wildcard => Pick::Any,
        ParsedSelector::Index(index) => Pick::Index(index),
        ParsedSelector::Slice(start, end, step) => Pick::Slice(Slice { start, end, step: step.unwrap_or(1) }),
        ParsedSelector::Filter(filter) => Pick::Test(Test::compile(filter)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_name(path: &str, name: &str) {
        let selector: Selector = path.parse().unwrap();
        let picks: Vec<&Pick> = selector.segments().iter().flat_map(|segment| &segment.picks).collect();
        assert_eq!(picks, [&Pick::Name(name.to_owned())], "{path}");
    }

    #[test]
    fn names_survive_the_parser() {
        check_name("$.a", "a");
        check_name("$.ümläut", "ümläut");
        check_name("$['a b']", "a b");
        check_name("$[ 'a' ]", "a");
        check_name("$[\"x\"]", "x");
        check_name("$['']", "");
        check_name("$['a\\'b']", "a'b");
        check_name("$['a\"b']", "a\"b");
        check_name("$[\"a\\\"b\"]", "a\"b");
        check_name("$[\"a'b\"]", "a'b");
        check_name("$['\\u0041\\u00e4']", "Aä");
        check_name("$['\\uD83D\\ude00']", "😀");
        check_name("$['\\\\n\\n\\t\\/']", "\\n\n\t/");
        check_name("$[' a ']", " a ");
        check_name("$['\u{a0}a\u{a0}']", "\u{a0}a\u{a0}");
        check_name("$['com.docker.compose.project']", "com.docker.compose.project");
        check_name("$['a]b[?@.c]']", "a]b[?@.c]");
        check_name("$['$.a..b']", "$.a..b");
        check_name("$['~']", "~");
    }

    #[track_caller]
    fn check_refused(path: &str, reason: &str) {
        let message = path.parse::<Selector>().unwrap_err().to_string();
        assert!(message.contains(reason), "{path}: {message}");
        assert!(!message.contains('\n'), "{message}");
    }

    #[test]
    fn a_malformed_path_is_refused() {
        for path in
            ["", "a", "$.", "$a", "$.a.", "$[", "$['a]", "$[1", "$.a[?]", " $", "$ ", "$.1", "$[01]", "$..", "$. a"]
        {
            assert!(path.parse::<Selector>().is_err(), "{path}");
        }
        check_refused("$.a[", "from character");
    }

    #[test]
    fn a_path_that_the_library_would_misread_is_refused() {
        check_refused("$.a b", "whitespace inside a name");
        check_refused("$.a\u{a0}", "outside quotes");
        check_refused("$.a[?@.b c == 1]", "whitespace inside a name");
        check_refused("$.a[?@[?@.b == 1]]", "right after `@`");
        check_refused("$.a[?@..[?@.b == 1]]", "right after `@`");
        check_refused("$.a[?in(@.b, $.c)]", "not a function of RFC 9535");
        check_refused("$.a[?match(@.*, 'x')]", "for one value");
        check_refused("$.a[?length(@..b) == 1]", "for one value");
    }

    #[test]
    fn a_bad_pattern_is_refused() {
        check_refused("$.a[?match(@.b, '[')]", "bad pattern");
        check_refused("$.a[?search(@.b, 'a{2,1}')]", "bad pattern");
        check_refused("$.a[?search(@.b, '\\\\')]", "bad pattern");
        check_refused("$.a[?match(@.b, 'a)|(b')]", "bad pattern");
        check_refused("$.a[?@.c == 1 && (@.d || !search(@.b, '*'))]", "bad pattern");
        check_refused("$.a[?@.c[?match(@.b, '(')]]", "bad pattern");
        check_refused("$.a[?match(@.b, @.c)]", "text in quotes");
        check_refused("$.a[?search(@.b, 1)]", "text in quotes");
        check_refused("$.a[?search(@.b, '(?:a{1000}){1000}')]", "bad pattern");
    }

    #[test]
    fn every_kind_of_path_is_accepted() {
        for path in [
            "$",
            "$.a.b",
            "$[0]",
            "$[-1]",
            "$[1:2]",
            "$[::-1]",
            "$[:]",
            "$[*]",
            "$.*",
            "$..a",
            "$..*",
            "$..[0]",
            "$['a','b',0]",
            "$[?@.a]",
            "$[?!@.a]",
            "$[?@.a == 'x' && (@.b > 1 || @.c != null)]",
            "$[?match(@.a, 'a.*b')]",
            "$[?search(@, '^x')]",
            "$[?length(@.a) > 1]",
            "$[?count(@.*) >= 2]",
            "$[?value(@..a) == 1]",
            "$.a[?@.b == $.c]",
            "$[?@.a == true]",
            "$[?@['a b'] == \"x\"]",
            "$[?@ == 1.5e3]",
            "$ .a [0]",
            "$[?$.a]",
        ] {
            assert!(path.parse::<Selector>().is_ok(), "{path}: {:?}", path.parse::<Selector>());
        }
    }

    #[track_caller]
    fn check_slice(path: &str, length: i64, expected: &[i64]) {
        let selector: Selector = path.parse().unwrap();
        let [Segment { picks, .. }] = selector.segments() else { panic!("{path}") };
        let [Pick::Slice(slice)] = picks.as_slice() else { panic!("{path}") };
        let found: Vec<i64> = (0..length).filter(|index| slice.contains(*index, length)).collect();
        assert_eq!(found, expected, "{path}");
        if !slice.needs_length() {
            let found: Vec<i64> = (0..length).filter(|index| slice.contains(*index, i64::MAX)).collect();
            assert_eq!(found, expected, "{path} without length");
        }
    }

    #[test]
    fn slices_select_what_the_rfc_defines() {
        check_slice("$[1:3]", 5, &[1, 2]);
        check_slice("$[3:]", 5, &[3, 4]);
        check_slice("$[1:5:2]", 7, &[1, 3]);
        check_slice("$[5:1:-2]", 7, &[3, 5]);
        check_slice("$[::-1]", 3, &[0, 1, 2]);
        check_slice("$[::-2]", 4, &[1, 3]);
        check_slice("$[-2:]", 5, &[3, 4]);
        check_slice("$[:-2]", 5, &[0, 1, 2]);
        check_slice("$[-9:9]", 3, &[0, 1, 2]);
        check_slice("$[9::-1]", 3, &[0, 1, 2]);
        check_slice("$[::0]", 3, &[]);
        check_slice("$[2:1]", 3, &[]);
        check_slice("$[::9007199254740991]", 3, &[0]);
        check_slice("$[::-9007199254740991]", 3, &[2]);
    }
}
