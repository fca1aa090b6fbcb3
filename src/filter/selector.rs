//! Selectors: the paths of rules, in JSONPath (RFC 9535), compiled.
//!
//! The library `jsonpath-rust` parses the text. Our own code matches names, indexes, slices, wildcards and descendants;
//! the library evaluates filter expressions (`[?…]`), on one value at a time. The library silently misreads some texts.
//! They are refused here, because a rule that never matches hides nothing.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, JpQuery, Literal, Segment as ParsedSegment,
    Selector as ParsedSelector, SingularQuery, SingularQuerySegment, Test as ParsedTest, TestFunction,
};
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use regex::Regex;
use serde_json::Value;

use super::FilterError;

/// The member of a [`Question`] that holds an array with the value to test.
const ASKED: &str = "asked";
/// The member of a [`Question`] that holds the whole document.
const DOCUMENT: &str = "document";

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

/// A filter expression (RFC 9535 §2.3.5).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Test {
    /// Selects the elements of the array [`ASKED`] for which the expression is true. A `$` in the expression means
    /// [`DOCUMENT`].
    query: JpQuery,
    /// Whether the expression refers to the whole document (`$`).
    pub(super) absolute: bool,
}

/// The input of filter expressions: the value to test, and the whole document if an expression refers to it.
#[derive(Debug)]
pub(super) struct Question(Value);

impl Question {
    /// Makes the input for values of `document`.
    pub(super) fn new(document: Value) -> Self {
        let mut members = serde_json::Map::new();
        members.insert(ASKED.to_owned(), Value::Array(Vec::new()));
        members.insert(DOCUMENT.to_owned(), document);
        Self(Value::Object(members))
    }

    /// Sets the value to test.
    pub(super) fn ask(&mut self, value: Value) {
        if let Some(asked) = self.0.get_mut(ASKED) {
            *asked = Value::Array(vec![value]);
        }
    }
}

impl Test {
    /// Whether the expression is true for the value.
    ///
    /// # Errors
    /// [`FilterError::Expression`] if the library cannot evaluate the expression. It is then unknown whether the rule
    /// matches, so the document must be withheld.
    pub(super) fn is_true(&self, question: &Question) -> Result<bool, FilterError> {
        match js_path_process(&self.query, &question.0) {
            Ok(found) => Ok(!found.is_empty()),
            Err(_) => Err(FilterError::Expression),
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

/// Shortens the library's error message to one line: what it expected, and where.
fn reason(message: &str) -> String {
    let column = message.split_once("-->").and_then(|(_, rest)| rest.lines().next()?.split(':').nth(1));
    let expected = message.lines().filter_map(|line| line.trim().strip_prefix("= ")).next_back();
    match (column, expected) {
        (Some(column), Some(expected)) => format!("{} at character {}", expected.trim(), column.trim()),
        (Some(_) | None, _) => message.lines().map(str::trim).collect::<Vec<_>>().join(" "),
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
        ParsedSelector::Filter(filter) => Pick::Test(test(filter)?),
    })
}

/// Compiles a filter expression.
fn test(filter: Filter) -> Result<Test, SelectorError> {
    let mut compiler = ExpressionCompiler { absolute: false };
    let filter = compiler.filter(filter)?;
    let asked = ParsedSegment::Selector(ParsedSelector::Name(ASKED.to_owned()));
    let picked = ParsedSegment::Selector(ParsedSelector::Filter(filter));
    Ok(Test { query: JpQuery::new(vec![asked, picked]), absolute: compiler.absolute })
}

/// Checks a filter expression, and rewrites it so that the library evaluates it as RFC 9535 defines.
struct ExpressionCompiler {
    /// Whether the expression refers to the whole document.
    absolute: bool,
}

impl ExpressionCompiler {
    fn filter(&mut self, filter: Filter) -> Result<Filter, SelectorError> {
        Ok(match filter {
            Filter::Or(parts) => Filter::Or(self.filters(parts)?),
            Filter::And(parts) => Filter::And(self.filters(parts)?),
            Filter::Atom(atom) => Filter::Atom(self.atom(atom)?),
        })
    }

    fn filters(&mut self, parts: Vec<Filter>) -> Result<Vec<Filter>, SelectorError> {
        parts.into_iter().map(|part| self.filter(part)).collect()
    }

    fn atom(&mut self, atom: FilterAtom) -> Result<FilterAtom, SelectorError> {
        match atom {
            FilterAtom::Filter { expr, not } => Ok(FilterAtom::filter(self.filter(*expr)?, not)),
            FilterAtom::Test { expr, not } => Ok(FilterAtom::test(self.test(*expr)?, not)),
            FilterAtom::Comparison(comparison) => self.comparison(*comparison),
        }
    }

    fn test(&mut self, test: ParsedTest) -> Result<ParsedTest, SelectorError> {
        match test {
            ParsedTest::Function(function) => match *function {
                TestFunction::Search(text, pattern) => self.pattern_test(text, pattern, TestFunction::Search),
                TestFunction::Match(text, pattern) => self.pattern_test(text, pattern, TestFunction::Match),
                TestFunction::Length(_) | TestFunction::Count(_) | TestFunction::Value(_) => {
                    Err(SelectorError::new("length(), count() and value() must be compared with something"))
                }
                TestFunction::Custom(name, _) => Err(unknown_function(&name)),
            },
            query @ (ParsedTest::RelQuery(_) | ParsedTest::AbsQuery(_)) => self.query(query),
        }
    }

    /// A query inside an expression. A `$` in it is made to mean the document.
    fn query(&mut self, query: ParsedTest) -> Result<ParsedTest, SelectorError> {
        match query {
            ParsedTest::RelQuery(segments) => {
                // The library applies such a filter to the value itself instead of its children.
                if segments.first().is_some_and(has_filter) {
                    return Err(SelectorError::new("a filter right after `@` is not supported"));
                }
                Ok(ParsedTest::RelQuery(self.segments(segments)?))
            }
            ParsedTest::AbsQuery(query) => {
                self.absolute = true;
                let document = ParsedSegment::Selector(ParsedSelector::Name(DOCUMENT.to_owned()));
                let mut segments = vec![document];
                segments.extend(self.segments(query.segments)?);
                Ok(ParsedTest::AbsQuery(JpQuery::new(segments)))
            }
            ParsedTest::Function(_) => Err(SelectorError::new("expected a query, found a function")),
        }
    }

    fn segments(&mut self, segments: Vec<ParsedSegment>) -> Result<Vec<ParsedSegment>, SelectorError> {
        segments.into_iter().map(|segment| self.segment(segment)).collect()
    }

    fn segment(&mut self, segment: ParsedSegment) -> Result<ParsedSegment, SelectorError> {
        Ok(match segment {
            ParsedSegment::Descendant(below) => ParsedSegment::Descendant(Box::new(self.segment(*below)?)),
            ParsedSegment::Selector(one) => ParsedSegment::Selector(self.selector(one)?),
            ParsedSegment::Selectors(many) => {
                ParsedSegment::Selectors(many.into_iter().map(|one| self.selector(one)).collect::<Result<_, _>>()?)
            }
        })
    }

    fn selector(&mut self, selector: ParsedSelector) -> Result<ParsedSelector, SelectorError> {
        Ok(match selector {
            ParsedSelector::Filter(filter) => ParsedSelector::Filter(self.filter(filter)?),
            ParsedSelector::Name(_)
            | ParsedSelector::Wildcard
            | ParsedSelector::Index(_)
            | ParsedSelector::Slice(..) => selector,
        })
    }

    /// A call of `match()` or `search()`, with a pattern that is sure to compile.
    fn pattern_test(
        &mut self,
        text: FnArg,
        pattern: FnArg,
        function: PatternFunction,
    ) -> Result<ParsedTest, SelectorError> {
        let text = self.value(text)?;
        let FnArg::Literal(Literal::String(written)) = &pattern else {
            return Err(SelectorError::new("the pattern of match() or search() must be a text in quotes"));
        };
        Regex::new(written).map_err(|error| {
            let last = error.to_string().lines().last().map(|line| line.trim().to_owned()).unwrap_or_default();
            SelectorError::new(format!("bad pattern {written:?}: {last}"))
        })?;
        if !library_accepts(written, function) {
            return Err(SelectorError::new(format!("bad pattern {written:?}")));
        }
        Ok(ParsedTest::Function(Box::new(function(text, pattern))))
    }

    /// An argument that is one value: a literal, the result of a function, or a query that selects at most one value.
    fn value(&mut self, argument: FnArg) -> Result<FnArg, SelectorError> {
        match argument {
            FnArg::Literal(_) => Ok(argument),
            FnArg::Test(test) => match *test {
                ParsedTest::Function(function) => {
                    Ok(FnArg::Test(Box::new(ParsedTest::Function(Box::new(self.function(*function)?)))))
                }
                query @ (ParsedTest::RelQuery(_) | ParsedTest::AbsQuery(_)) => {
                    if !is_singular(&query) {
                        return Err(SelectorError::new("expected an argument that is a query for one value"));
                    }
                    Ok(FnArg::Test(Box::new(self.query(query)?)))
                }
            },
            FnArg::Filter(_) => Err(SelectorError::new("expected a value, found an expression")),
        }
    }

    /// An argument that is a query for any number of values.
    fn nodes(&mut self, argument: FnArg) -> Result<FnArg, SelectorError> {
        match argument {
            FnArg::Test(test) => Ok(FnArg::Test(Box::new(self.query(*test)?))),
            FnArg::Literal(_) | FnArg::Filter(_) => Err(SelectorError::new("expected an argument that is a query")),
        }
    }

    /// A call of a function that returns a value.
    fn function(&mut self, function: TestFunction) -> Result<TestFunction, SelectorError> {
        Ok(match function {
            TestFunction::Length(argument) => TestFunction::Length(Box::new(self.value(*argument)?)),
            TestFunction::Value(argument) => TestFunction::Value(self.nodes(argument)?),
            TestFunction::Count(_) => {
                return Err(SelectorError::new("count() must be compared with a number"));
            }
            TestFunction::Search(..) | TestFunction::Match(..) => {
                return Err(SelectorError::new("match() and search() return true or false, not a value"));
            }
            TestFunction::Custom(name, _) => return Err(unknown_function(&name)),
        })
    }

    fn comparison(&mut self, comparison: Comparison) -> Result<FilterAtom, SelectorError> {
        let (left, right) = comparison.vals();
        match (left.clone(), right.clone()) {
            (Comparable::Function(TestFunction::Count(counted)), number) => {
                self.count(&comparison, counted, number, Side::Left)
            }
            (number, Comparable::Function(TestFunction::Count(counted))) => {
                self.count(&comparison, counted, number, Side::Right)
            }
            (left, right) => {
                let (left, right) = (self.comparable(left)?, self.comparable(right)?);
                Ok(FilterAtom::cmp(Box::new(rebuilt(&comparison, left, right))))
            }
        }
    }

    /// A comparison with `count()`, which is on this `side` of it.
    ///
    /// If a query selects nothing, its count is zero (RFC 9535 §2.4.6), but the library has no value for it. The result
    /// of the comparison for zero is therefore added to the expression.
    fn count(
        &mut self,
        comparison: &Comparison,
        counted: FnArg,
        number: Comparable,
        side: Side,
    ) -> Result<FilterAtom, SelectorError> {
        let Comparable::Literal(Literal::Int(number)) = number else {
            return Err(SelectorError::new("count() must be compared with a whole number"));
        };
        let counted = self.nodes(counted)?;
        let FnArg::Test(query) = counted.clone() else {
            return Err(SelectorError::new("expected an argument that is a query"));
        };
        let count = Comparable::Function(TestFunction::Count(counted));
        let literal = Comparable::Literal(Literal::Int(number));
        let (zero, left, right) = match side {
            Side::Left => (0.cmp(&number), count, literal),
            Side::Right => (number.cmp(&0), literal, count),
        };
        let compared = Filter::Atom(FilterAtom::cmp(Box::new(rebuilt(comparison, left, right))));
        let some = Filter::Atom(FilterAtom::test((*query).clone(), false));
        let none = Filter::Atom(FilterAtom::test(*query, true));
        let whole =
            if holds(comparison, zero) { Filter::Or(vec![compared, none]) } else { Filter::And(vec![compared, some]) };
        Ok(FilterAtom::filter(whole, false))
    }

    fn comparable(&mut self, comparable: Comparable) -> Result<Comparable, SelectorError> {
        Ok(match comparable {
            Comparable::Literal(_) | Comparable::SingularQuery(SingularQuery::Current(_)) => comparable,
            Comparable::Function(function) => Comparable::Function(self.function(function)?),
            Comparable::SingularQuery(SingularQuery::Root(segments)) => {
                self.absolute = true;
                let document = SingularQuerySegment::Name(DOCUMENT.to_owned());
                let segments = std::iter::once(document).chain(segments).collect();
                Comparable::SingularQuery(SingularQuery::Root(segments))
            }
        })
    }
}

/// A side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// Makes a call of `match()` or `search()` from a text and a pattern.
type PatternFunction = fn(FnArg, FnArg) -> TestFunction;

/// Whether a comparison is true if its sides have this order.
fn holds(comparison: &Comparison, order: Ordering) -> bool {
    match comparison {
        Comparison::Eq(..) => order.is_eq(),
        Comparison::Ne(..) => order.is_ne(),
        Comparison::Gt(..) => order.is_gt(),
        Comparison::Gte(..) => order.is_ge(),
        Comparison::Lt(..) => order.is_lt(),
        Comparison::Lte(..) => order.is_le(),
    }
}

/// Makes the same comparison between other sides.
fn rebuilt(comparison: &Comparison, left: Comparable, right: Comparable) -> Comparison {
    match comparison {
        Comparison::Eq(..) => Comparison::Eq(left, right),
        Comparison::Ne(..) => Comparison::Ne(left, right),
        Comparison::Gt(..) => Comparison::Gt(left, right),
        Comparison::Gte(..) => Comparison::Gte(left, right),
        Comparison::Lt(..) => Comparison::Lt(left, right),
        Comparison::Lte(..) => Comparison::Lte(left, right),
    }
}

/// The error for a function that RFC 9535 does not define.
fn unknown_function(name: &str) -> SelectorError {
    SelectorError::new(format!("{name}() is not a function of RFC 9535"))
}

/// Whether a segment has a filter expression among its selectors.
fn has_filter(segment: &ParsedSegment) -> bool {
    let is_filter = |selector: &ParsedSelector| matches!(selector, ParsedSelector::Filter(_));
    match segment {
        ParsedSegment::Descendant(below) => has_filter(below),
        ParsedSegment::Selector(one) => is_filter(one),
        ParsedSegment::Selectors(many) => many.iter().any(is_filter),
    }
}

/// Whether a query selects at most one value in any document (RFC 9535 §2.3.5.1, a singular query).
fn is_singular(query: &ParsedTest) -> bool {
    let single = |segment: &ParsedSegment| {
        matches!(segment, ParsedSegment::Selector(ParsedSelector::Name(_) | ParsedSelector::Index(_)))
    };
    match query {
        ParsedTest::RelQuery(segments) => segments.iter().all(single),
        ParsedTest::AbsQuery(query) => query.segments.iter().all(single),
        ParsedTest::Function(_) => false,
    }
}

/// Whether the library can compile a pattern.
///
/// The library takes a pattern that it cannot compile for one that matches nothing. With an empty alternative in front,
/// every pattern that compiles matches the empty text.
fn library_accepts(pattern: &str, function: PatternFunction) -> bool {
    let itself = FnArg::Test(Box::new(ParsedTest::RelQuery(Vec::new())));
    let with_empty = FnArg::Literal(Literal::String(format!("|{pattern}")));
    let call = ParsedTest::Function(Box::new(function(itself, with_empty)));
    let filter = Filter::Atom(FilterAtom::test(call, false));
    let query = JpQuery::new(vec![ParsedSegment::Selector(ParsedSelector::Filter(filter))]);
    js_path_process(&query, &Value::Array(vec![Value::from("")])).is_ok_and(|found| !found.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        check_refused("$.a[", "at character");
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

    #[track_caller]
    fn check_test(expression: &str, value: Value, expected: bool) {
        let selector: Selector = format!("$[?{expression}]").parse().unwrap();
        let [Segment { picks, .. }] = selector.segments() else { panic!("{expression}") };
        let [Pick::Test(test)] = picks.as_slice() else { panic!("{expression}") };
        let mut question = Question::new(json!({"d": {"e": 1, "l": [1, 2]}}));
        question.ask(value);
        assert_eq!(test.is_true(&question), Ok(expected), "{expression}");
    }

    #[test]
    fn an_expression_is_evaluated_on_the_value() {
        check_test("@.a == 1", json!({"a": 1}), true);
        check_test("@.a == 1", json!({"a": 2}), false);
        check_test("@.a", json!({"a": null}), true);
        check_test("!@.a", json!({"b": null}), true);
        check_test("@ == 'x'", json!("x"), true);
        check_test("@[0] == 1", json!([1]), true);
        check_test("@.a.b[?@.c == 2]", json!({"a": {"b": [{"c": 2}]}}), true);
        check_test("match(@, 'a.c')", json!("abc"), true);
        check_test("match(@, 'b')", json!("abc"), false);
        check_test("search(@, 'b')", json!("abc"), true);
        check_test("length(@) == 3", json!("abc"), true);
        check_test("value(@..a) == 1", json!({"b": {"a": 1}}), true);
    }

    #[test]
    fn a_dollar_in_an_expression_is_the_document() {
        check_test("@ == $.d.e", json!(1), true);
        check_test("@ == $.d.e", json!(2), false);
        check_test("$.d.e", json!(2), true);
        check_test("$.asked", json!(2), false);
        check_test("count($.d.l[?@ > 1]) == 1", json!(2), true);
    }

    #[test]
    fn counting_nothing_is_zero() {
        for (expression, for_none, for_two) in [
            ("count(@.*) == 0", true, false),
            ("count(@.*) != 0", false, true),
            ("count(@.*) < 1", true, false),
            ("count(@.*) <= 0", true, false),
            ("count(@.*) > 1", false, true),
            ("count(@.*) >= 0", true, true),
            ("count(@.*) != 2", true, false),
            ("0 == count(@.*)", true, false),
            ("1 > count(@.*)", true, false),
            ("2 <= count(@.*)", false, true),
            ("!(count(@.*) == 0)", false, true),
        ] {
            check_test(expression, json!({}), for_none);
            check_test(expression, json!(1), for_none);
            check_test(expression, json!({"a": 1, "b": 2}), for_two);
        }
    }
}
