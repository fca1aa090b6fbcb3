//! The path of a rule: JSONPath (RFC 9535), compiled.
//!
//! The path library parses the text. Names, indexes, slices, wildcards and descendants are matched by our own walk;
//! a filter expression (`[?…]`) is asked of the library, about one value at a time. What the library would
//! misread in silence is refused here, because a rule that never matches hides nothing.

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

/// The member under which the asked value stands, in an array of its own.
const ASKED: &str = "asked";
/// The member under which the whole document stands.
const DOCUMENT: &str = "document";

/// Which places of a document a rule is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    text: String,
    segments: Vec<Segment>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    /// Whether it may be taken from any depth (`..`).
    pub(super) descendant: bool,
    /// What it picks of an object or array: the union of these.
    pub(super) picks: Vec<Pick>,
}

/// What a step picks.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pick {
    /// The member of this name.
    Name(String),
    /// Every member and element.
    Any,
    /// The element at an index; from the end if negative.
    Index(i64),
    /// Elements by range.
    Slice(Slice),
    /// The members and elements for which an expression is true.
    Test(Test),
}

/// A range of elements, as RFC 9535 §2.3.4 defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
}

impl Slice {
    /// Whether it can only be told once the length of the array is known.
    pub(super) fn needs_length(self) -> bool {
        self.step < 0 || self.start.is_some_and(i64::is_negative) || self.end.is_some_and(i64::is_negative)
    }

    /// Whether the element at `index` of `length` elements is in it.
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

/// A filter expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Test {
    /// Picks the elements of the `asked` array for which the expression is true; `$` inside it is `document`.
    query: JpQuery,
    /// Whether it looks at the whole document.
    pub(super) absolute: bool,
}

/// A value to ask filter expressions about, and the document it is from if they look at it.
#[derive(Debug)]
pub(super) struct Question(Value);

impl Question {
    /// A question about values of `document`.
    pub(super) fn new(document: Value) -> Self {
        let mut members = serde_json::Map::new();
        members.insert(ASKED.to_owned(), Value::Array(Vec::new()));
        members.insert(DOCUMENT.to_owned(), document);
        Self(Value::Object(members))
    }

    /// Puts `value` in the place of the value asked about.
    pub(super) fn ask(&mut self, value: Value) {
        if let Some(asked) = self.0.get_mut(ASKED) {
            *asked = Value::Array(vec![value]);
        }
    }
}

impl Test {
    /// Whether the expression is true of the value asked about.
    ///
    /// # Errors
    /// [`FilterError::Expression`] if the library cannot evaluate it: whether the rule matches is then not known, so the
    /// document must be withheld.
    pub(super) fn is_true(&self, question: &Question) -> Result<bool, FilterError> {
        match js_path_process(&self.query, &question.0) {
            Ok(found) => Ok(!found.is_empty()),
            Err(_) => Err(FilterError::Expression),
        }
    }
}

impl Selector {
    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its steps, from the document down.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether it asks about the document as a whole inside a filter expression.
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

/// Why a text is no selector.
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

/// The library's message as one line: the position and what it expected, without the drawing.
fn reason(message: &str) -> String {
    let column = message.split_once("-->").and_then(|(_, rest)| rest.lines().next()?.split(':').nth(1));
    let expected = message.lines().filter_map(|line| line.trim().strip_prefix("= ")).next_back();
    match (column, expected) {
        (Some(column), Some(expected)) => format!("{} at character {}", expected.trim(), column.trim()),
        (Some(_) | None, _) => message.lines().map(str::trim).collect::<Vec<_>>().join(" "),
    }
}

/// Refuses whitespace that the library drops or takes into a name.
///
/// It reads `$.a b` as the name `a b`, and drops whitespace beyond ASCII at the end of a name. RFC 9535 has no place
/// for either: between two names there is always punctuation, and a name with other characters stands in quotes.
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
                return Err(SelectorError::new(format!("{c:?} outside quotes")));
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

fn segment(parsed: ParsedSegment) -> Result<Segment, SelectorError> {
    let (descendant, parsed) = match parsed {
        ParsedSegment::Descendant(below) => (true, *below),
        ParsedSegment::Selector(_) | ParsedSegment::Selectors(_) => (false, parsed),
    };
    let picks = match parsed {
        ParsedSegment::Selector(one) => vec![one],
        ParsedSegment::Selectors(many) => many,
        ParsedSegment::Descendant(_) => return Err(SelectorError::new("`..` twice")),
    };
    let picks = picks.into_iter().map(pick).collect::<Result<_, _>>()?;
    Ok(Segment { descendant, picks })
}

fn pick(parsed: ParsedSelector) -> Result<Pick, SelectorError> {
    Ok(match parsed {
        ParsedSelector::Name(name) => Pick::Name(name),
        ParsedSelector::Wildcard => Pick::Any,
        ParsedSelector::Index(index) => Pick::Index(index),
        ParsedSelector::Slice(start, end, step) => Pick::Slice(Slice { start, end, step: step.unwrap_or(1) }),
        ParsedSelector::Filter(filter) => Pick::Test(test(filter)?),
    })
}

fn test(filter: Filter) -> Result<Test, SelectorError> {
    let mut reader = Reader { absolute: false };
    let filter = reader.filter(filter)?;
    let asked = ParsedSegment::Selector(ParsedSelector::Name(ASKED.to_owned()));
    let picked = ParsedSegment::Selector(ParsedSelector::Filter(filter));
    Ok(Test { query: JpQuery::new(vec![asked, picked]), absolute: reader.absolute })
}

/// Checks an expression and makes it say to the library what RFC 9535 means by it.
struct Reader {
    /// Whether the expression looks at the whole document.
    absolute: bool,
}

impl Reader {
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
                TestFunction::Search(text, pattern) => {
                    let (text, pattern) = self.pattern(text, pattern, "search")?;
                    Ok(ParsedTest::Function(Box::new(TestFunction::Search(text, pattern))))
                }
                TestFunction::Match(text, pattern) => {
                    let (text, pattern) = self.pattern(text, pattern, "match")?;
                    Ok(ParsedTest::Function(Box::new(TestFunction::Match(text, pattern))))
                }
                TestFunction::Length(_) | TestFunction::Count(_) | TestFunction::Value(_) => {
                    Err(SelectorError::new("the result of a function is to be compared with something"))
                }
                TestFunction::Custom(name, _) => Err(unknown_function(&name)),
            },
            query @ (ParsedTest::RelQuery(_) | ParsedTest::AbsQuery(_)) => self.query(query),
        }
    }

    /// A query inside an expression, `$` made to mean the document.
    fn query(&mut self, query: ParsedTest) -> Result<ParsedTest, SelectorError> {
        match query {
            ParsedTest::RelQuery(segments) => {
                // The library takes the value itself for the child that a filter is about.
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

    /// The arguments of match() or search(): a text, and a pattern that is certain to compile.
    fn pattern(&mut self, text: FnArg, pattern: FnArg, function: &str) -> Result<(FnArg, FnArg), SelectorError> {
        let text = self.value(text)?;
        let FnArg::Literal(Literal::String(written)) = &pattern else {
            return Err(SelectorError::new(format!("the pattern of {function}() must be a text in quotes")));
        };
        Regex::new(written).map_err(|error| {
            let last = error.to_string().lines().last().map(|line| line.trim().to_owned()).unwrap_or_default();
            SelectorError::new(format!("bad pattern {written:?}: {last}"))
        })?;
        if !library_takes(written, function == "search") {
            return Err(SelectorError::new(format!("bad pattern {written:?}")));
        }
        Ok((text, pattern))
    }

    /// An argument that stands for one value: a literal, a function's result, or a query for at most one place.
    fn value(&mut self, argument: FnArg) -> Result<FnArg, SelectorError> {
        match argument {
            FnArg::Literal(_) => Ok(argument),
            FnArg::Test(test) => match *test {
                ParsedTest::Function(function) => {
                    Ok(FnArg::Test(Box::new(ParsedTest::Function(Box::new(self.function(*function)?)))))
                }
                query @ (ParsedTest::RelQuery(_) | ParsedTest::AbsQuery(_)) => {
                    if !is_singular(&query) {
                        return Err(SelectorError::new("expected a query for one value, as an argument"));
                    }
                    Ok(FnArg::Test(Box::new(self.query(query)?)))
                }
            },
            FnArg::Filter(_) => Err(SelectorError::new("expected a value, found an expression")),
        }
    }

    /// An argument that stands for any number of places.
    fn nodes(&mut self, argument: FnArg) -> Result<FnArg, SelectorError> {
        match argument {
            FnArg::Test(test) => Ok(FnArg::Test(Box::new(self.query(*test)?))),
            FnArg::Literal(_) | FnArg::Filter(_) => Err(SelectorError::new("expected a query, as an argument")),
        }
    }

    /// A function whose result is a value.
    fn function(&mut self, function: TestFunction) -> Result<TestFunction, SelectorError> {
        Ok(match function {
            TestFunction::Length(argument) => TestFunction::Length(Box::new(self.value(*argument)?)),
            TestFunction::Value(argument) => TestFunction::Value(self.nodes(argument)?),
            TestFunction::Count(_) => {
                return Err(SelectorError::new("count() is to be compared with a number"));
            }
            TestFunction::Search(..) | TestFunction::Match(..) => {
                return Err(SelectorError::new("match() and search() are true or false, not values"));
            }
            TestFunction::Custom(name, _) => return Err(unknown_function(&name)),
        })
    }

    fn comparison(&mut self, comparison: Comparison) -> Result<FilterAtom, SelectorError> {
        let (left, right) = comparison.vals();
        match (left.clone(), right.clone()) {
            (Comparable::Function(TestFunction::Count(counted)), other) => {
                self.count(comparison, counted, other, false)
            }
            (other, Comparable::Function(TestFunction::Count(counted))) => self.count(comparison, counted, other, true),
            (left, right) => {
                let (left, right) = (self.comparable(left)?, self.comparable(right)?);
                Ok(FilterAtom::cmp(Box::new(rebuilt(&comparison, left, right))))
            }
        }
    }

    /// A comparison with count(). The library counts no places as nothing, where RFC 9535 §2.4.6 has zero, so what the
    /// comparison says about zero is written out beside it.
    fn count(
        &mut self,
        comparison: Comparison,
        counted: FnArg,
        other: Comparable,
        reversed: bool,
    ) -> Result<FilterAtom, SelectorError> {
        let Comparable::Literal(Literal::Int(number)) = other else {
            return Err(SelectorError::new("count() is to be compared with a whole number"));
        };
        let counted = self.nodes(counted)?;
        let FnArg::Test(places) = counted.clone() else {
            return Err(SelectorError::new("expected a query, as an argument"));
        };
        let count = Comparable::Function(TestFunction::Count(counted));
        let other = Comparable::Literal(Literal::Int(number));
        let (zero, left, right) =
            if reversed { (number.cmp(&0), other, count) } else { (0.cmp(&number), count, other) };
        let true_of_zero = match comparison {
            Comparison::Eq(..) => zero.is_eq(),
            Comparison::Ne(..) => zero.is_ne(),
            Comparison::Gt(..) => zero.is_gt(),
            Comparison::Gte(..) => zero.is_ge(),
            Comparison::Lt(..) => zero.is_lt(),
            Comparison::Lte(..) => zero.is_le(),
        };
        let compared = Filter::Atom(FilterAtom::cmp(Box::new(rebuilt(&comparison, left, right))));
        let some = Filter::Atom(FilterAtom::test((*places).clone(), false));
        let none = Filter::Atom(FilterAtom::test(*places, true));
        let whole = if true_of_zero { Filter::Or(vec![compared, none]) } else { Filter::And(vec![compared, some]) };
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

/// The same comparison of other things.
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

fn unknown_function(name: &str) -> SelectorError {
    SelectorError::new(format!("{name}() is no function of RFC 9535"))
}

/// Whether a segment has a filter among its selectors.
fn has_filter(segment: &ParsedSegment) -> bool {
    let is_filter = |selector: &ParsedSelector| matches!(selector, ParsedSelector::Filter(_));
    match segment {
        ParsedSegment::Descendant(below) => has_filter(below),
        ParsedSegment::Selector(one) => is_filter(one),
        ParsedSegment::Selectors(many) => many.iter().any(is_filter),
    }
}

/// Whether a query leads to at most one place, whatever the document.
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

/// Asks the library whether it can use a pattern: with an empty alternative in front, a pattern that compiles matches
/// the empty text, and one that does not compile matches nothing.
fn library_takes(pattern: &str, search: bool) -> bool {
    let itself = FnArg::Test(Box::new(ParsedTest::RelQuery(Vec::new())));
    let with_empty = FnArg::Literal(Literal::String(format!("|{pattern}")));
    let function =
        if search { TestFunction::Search(itself, with_empty) } else { TestFunction::Match(itself, with_empty) };
    let filter = Filter::Atom(FilterAtom::test(ParsedTest::Function(Box::new(function)), false));
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
    fn what_is_no_path_is_refused() {
        for path in
            ["", "a", "$.", "$a", "$.a.", "$[", "$['a]", "$[1", "$.a[?]", " $", "$ ", "$.1", "$[01]", "$..", "$. a"]
        {
            assert!(path.parse::<Selector>().is_err(), "{path}");
        }
        check_refused("$.a[", "at character");
    }

    #[test]
    fn what_the_library_would_misread_is_refused() {
        check_refused("$.a b", "whitespace inside a name");
        check_refused("$.a\u{a0}", "outside quotes");
        check_refused("$.a[?@.b c == 1]", "whitespace inside a name");
        check_refused("$.a[?@[?@.b == 1]]", "right after `@`");
        check_refused("$.a[?@..[?@.b == 1]]", "right after `@`");
        check_refused("$.a[?in(@.b, $.c)]", "no function of RFC 9535");
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
    fn every_kind_of_selector_is_read() {
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
    fn slices_hold_what_the_rfc_says() {
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
    fn expressions_are_asked_about_the_value() {
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
    fn a_dollar_inside_is_the_document() {
        check_test("@ == $.d.e", json!(1), true);
        check_test("@ == $.d.e", json!(2), false);
        check_test("$.d.e", json!(2), true);
        check_test("$.asked", json!(2), false);
        check_test("count($.d.l[?@ > 1]) == 1", json!(2), true);
    }

    #[test]
    fn counting_nothing_is_zero() {
        for (expression, of_none, of_two) in [
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
            check_test(expression, json!({}), of_none);
            check_test(expression, json!(1), of_none);
            check_test(expression, json!({"a": 1, "b": 2}), of_two);
        }
    }
}
