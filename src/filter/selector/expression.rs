//! Filter expressions (RFC 9535 §2.3.5): compiled once for each rule, evaluated on one value at a time.
//!
//! The library parses them. It could evaluate them too, but it compiles the pattern of a `match()` or `search()` again for
//! each value, and takes what it cannot compile for "no match".

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::ops::ControlFlow;

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, Literal, Segment as ParsedSegment, Selector as ParsedSelector,
    SingularQuery, SingularQuerySegment, Test as ParsedTest, TestFunction,
};
use regex::Regex;
use serde_json::{Number, Value};

use super::{Pick, Segment, SelectorError, segment};
use crate::filter::FilterError;

/// How much work the expressions of all rules may be for one document, in steps: a value that is looked at, or a few bytes
/// of text. A document of 16 MiB needs a fraction of it; an expression that looks at the whole document for each of its
/// values (`$..`) would need the square.
const WORK_LIMIT: usize = 1 << 26;
/// How many bytes of text that are read make one step.
const BYTES_PER_STEP: usize = 8;

/// A filter expression.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::filter) struct Test {
    logical: Logical,
    /// Whether the expression refers to the whole document (`$`).
    pub(in crate::filter) absolute: bool,
}

/// What is true or false.
#[derive(Clone, Debug, PartialEq)]
enum Logical {
    Any(Vec<Logical>),
    All(Vec<Logical>),
    Not(Box<Logical>),
    /// The query selects something.
    Exists(NodeQuery),
    /// The value is a text that matches.
    Matches(Operand, TextPattern),
    Compared(Operand, Relation, Operand),
}

/// How two values compare (RFC 9535 §2.3.5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What has a value, or none ("Nothing" in RFC 9535 §2.4.1).
#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Literal(Value),
    /// The only value that the query selects: a query for one value, or `value()`.
    Only(NodeQuery),
    Length(Box<Operand>),
    Count(NodeQuery),
}

/// Selects values from the value to test, or from the whole document.
#[derive(Clone, Debug, PartialEq)]
struct NodeQuery {
    absolute: bool,
    segments: Vec<Segment>,
}

/// The pattern of `match()` or `search()`, compiled.
#[derive(Clone, Debug)]
struct TextPattern {
    /// As the rule has it.
    written: String,
    regex: Regex,
}

impl PartialEq for TextPattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.written, self.regex.as_str()) == (&other.written, other.regex.as_str())
    }
}

/// The input of filter expressions: the value to test, and the whole document if an expression refers to it.
#[derive(Debug)]
pub(in crate::filter) struct Question {
    asked: Value,
    document: Value,
    /// How many steps have been made.
    work: Cell<usize>,
}

impl Question {
    /// Makes the input for values of `document`.
    pub(in crate::filter) fn new(document: Value) -> Self {
        Self { asked: Value::Null, document, work: Cell::new(0) }
    }

    /// Sets the value to test, which was read from `length` bytes of text.
    ///
    /// # Errors
    /// [`FilterError::TooMuchWork`].
    pub(in crate::filter) fn ask(&mut self, value: Value, length: usize) -> Result<(), FilterError> {
        self.asked = value;
        self.read(length)
    }

    /// Sets the value to test to a text. The memory of the last one is used again.
    ///
    /// # Errors
    /// [`FilterError::TooMuchWork`].
    pub(in crate::filter) fn ask_text(&mut self, text: &str) -> Result<(), FilterError> {
        if let Value::String(asked) = &mut self.asked {
            asked.clear();
            asked.push_str(text);
        } else {
            self.asked = Value::from(text);
        }
        self.read(text.len())
    }

    /// Counts one step.
    fn step(&self) -> Result<(), FilterError> {
        self.steps(1)
    }

    /// Counts the reading of a text.
    fn read(&self, length: usize) -> Result<(), FilterError> {
        self.steps(length / BYTES_PER_STEP)
    }

    fn steps(&self, count: usize) -> Result<(), FilterError> {
        let work = self.work.get().saturating_add(count);
        self.work.set(work);
        if work > WORK_LIMIT { Err(FilterError::TooMuchWork) } else { Ok(()) }
    }
}

impl Test {
    /// Compiles a filter expression.
    pub(super) fn compile(filter: Filter) -> Result<Self, SelectorError> {
        let mut compiler = ExpressionCompiler { absolute: false };
        let logical = compiler.filter(filter)?;
        Ok(Self { logical, absolute: compiler.absolute })
    }

    /// Whether the expression is true for the value.
    ///
    /// # Errors
    /// [`FilterError::TooMuchWork`]. It is then unknown whether the rule matches, so the document must be withheld.
    pub(in crate::filter) fn is_true(&self, question: &Question) -> Result<bool, FilterError> {
        self.logical.is_true(&question.asked, question)
    }
}

impl Logical {
    fn is_true(&self, asked: &Value, question: &Question) -> Result<bool, FilterError> {
        match self {
            Self::Any(parts) => has(parts, true, asked, question),
            Self::All(parts) => Ok(!has(parts, false, asked, question)?),
            Self::Not(part) => Ok(!part.is_true(asked, question)?),
            Self::Exists(query) => Ok(query.each(asked, question, &mut |_| ControlFlow::Break(()))?.is_break()),
            Self::Matches(text, pattern) => match text.value(asked, question)?.as_deref() {
                Some(Value::String(text)) => {
                    question.read(text.len())?;
                    Ok(pattern.regex.is_match(text))
                }
                _ => Ok(false),
            },
            Self::Compared(left, relation, right) => {
                let (left, right) = (left.value(asked, question)?, right.value(asked, question)?);
                Ok(relation.holds(left.as_deref(), right.as_deref()))
            }
        }
    }
}

/// Whether one of the parts is `wanted`.
fn has(parts: &[Logical], wanted: bool, asked: &Value, question: &Question) -> Result<bool, FilterError> {
    for part in parts {
        if part.is_true(asked, question)? == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Operand {
    /// Its value; `None` if it has none.
    fn value<'v>(&'v self, asked: &'v Value, question: &'v Question) -> Result<Option<Cow<'v, Value>>, FilterError> {
        Ok(match self {
            Self::Literal(value) => Some(Cow::Borrowed(value)),
            Self::Only(query) => query.only(asked, question)?.map(Cow::Borrowed),
            Self::Length(operand) => {
                let length = match operand.value(asked, question)?.as_deref() {
                    Some(Value::String(text)) => {
                        question.read(text.len())?;
                        Some(text.chars().count())
                    }
                    Some(Value::Array(elements)) => Some(elements.len()),
                    Some(Value::Object(members)) => Some(members.len()),
                    Some(Value::Null | Value::Bool(_) | Value::Number(_)) | None => None,
                };
                length.map(|length| Cow::Owned(Value::from(length)))
            }
            Self::Count(query) => {
                let mut count = 0_usize;
                let counted = query.each(asked, question, &mut |_| {
                    count = count.saturating_add(1);
                    ControlFlow::Continue(())
                });
                counted.map(|_| Some(Cow::Owned(Value::from(count))))?
            }
        })
    }
}

impl NodeQuery {
    /// The value that it selects, if that is one and no more.
    fn only<'v>(&self, asked: &'v Value, question: &'v Question) -> Result<Option<&'v Value>, FilterError> {
        let mut only = None;
        let ended = self.each(asked, question, &mut |found| match only.replace(found) {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        })?;
        Ok(only.filter(|_| ended.is_continue()))
    }

    /// Calls `found` with each value that it selects until that says `Break`.
    fn each<'v>(
        &self,
        asked: &'v Value,
        question: &'v Question,
        found: &mut dyn FnMut(&'v Value) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, FilterError> {
        let start = if self.absolute { &question.document } else { asked };
        each(&self.segments, start, question, found)
    }
}

/// Calls `found` with each value that `segments` select below `value` until that says `Break`.
fn each<'v>(
    segments: &[Segment],
    value: &'v Value,
    question: &'v Question,
    found: &mut dyn FnMut(&'v Value) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, FilterError> {
    question.step()?;
    let Some((segment, rest)) = segments.split_first() else { return Ok(found(value)) };
    for pick in &segment.picks {
        let ended = match pick {
            Pick::Name(name) => match value.get(name) {
                Some(member) => each(rest, member, question, found)?,
                None => ControlFlow::Continue(()),
            },
            Pick::Index(index) => match element(value, *index) {
                Some(element) => each(rest, element, question, found)?,
                None => ControlFlow::Continue(()),
            },
            Pick::Any => below(value, &mut |_, child| each(rest, child, question, found))?,
            Pick::Slice(slice) => {
                let length = i64::try_from(value.as_array().map_or(0, Vec::len)).unwrap_or(i64::MAX);
                below(value, &mut |index, child| {
                    question.step()?;
                    let is_in = index.is_some_and(|index| slice.contains(index, length));
                    if is_in { each(rest, child, question, found) } else { Ok(ControlFlow::Continue(())) }
                })?
            }
            Pick::Test(test) => below(value, &mut |_, child| {
                let is_true = test.logical.is_true(child, question)?;
                if is_true { each(rest, child, question, found) } else { Ok(ControlFlow::Continue(())) }
            })?,
        };
        if ended.is_break() {
            return Ok(ended);
        }
    }
    if segment.descendant {
        below(value, &mut |_, child| each(segments, child, question, found))
    } else {
        Ok(ControlFlow::Continue(()))
    }
}

/// Calls `visit` with each child of a value, and its index in an array, until that says `Break`.
fn below<'v>(
    value: &'v Value,
    visit: &mut dyn FnMut(Option<i64>, &'v Value) -> Result<ControlFlow<()>, FilterError>,
) -> Result<ControlFlow<()>, FilterError> {
    match value {
        Value::Array(elements) => {
            for (index, element) in (0..).zip(elements) {
                if visit(Some(index), element)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Value::Object(members) => {
            for member in members.values() {
                if visit(None, member)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(ControlFlow::Continue(()))
}

/// The element of an array at this index, which counts from the end if it is negative.
fn element(value: &Value, index: i64) -> Option<&Value> {
    let elements = value.as_array()?;
    let index = if index < 0 { i64::try_from(elements.len()).ok()?.checked_add(index)? } else { index };
    elements.get(usize::try_from(index).ok()?)
}

impl Relation {
    /// Whether two values compare so. `None` is no value.
    fn holds(self, left: Option<&Value>, right: Option<&Value>) -> bool {
        match self {
            Self::Equal => are_equal(left, right),
            Self::NotEqual => !are_equal(left, right),
            Self::Less => is_less(left, right),
            Self::LessOrEqual => is_less(left, right) || are_equal(left, right),
            Self::Greater => is_less(right, left),
            Self::GreaterOrEqual => is_less(right, left) || are_equal(left, right),
        }
    }
}

fn are_equal(left: Option<&Value>, right: Option<&Value>) -> bool {
    match (left, right) {
        (Some(Value::Number(left)), Some(Value::Number(right))) => order(left, right).is_some_and(Ordering::is_eq),
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| are_equal(Some(left), Some(right)))
        }
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            left.len() == right.len() && left.iter().all(|(name, left)| are_equal(Some(left), right.get(name)))
        }
        (left, right) => left == right,
    }
}

/// Only numbers and texts have an order.
fn is_less(left: Option<&Value>, right: Option<&Value>) -> bool {
    match (left, right) {
        (Some(Value::Number(left)), Some(Value::Number(right))) => order(left, right).is_some_and(Ordering::is_lt),
        (Some(Value::String(left)), Some(Value::String(right))) => left < right,
        _ => false,
    }
}

/// Compares whole numbers exactly, others as floating-point numbers.
fn order(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        (Some(_) | None, _) => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// Checks a filter expression and compiles it.
struct ExpressionCompiler {
    /// Whether the expression refers to the whole document.
    absolute: bool,
}

impl ExpressionCompiler {
    fn filter(&mut self, filter: Filter) -> Result<Logical, SelectorError> {
        Ok(match filter {
            Filter::Or(parts) => Logical::Any(self.filters(parts)?),
            Filter::And(parts) => Logical::All(self.filters(parts)?),
            Filter::Atom(atom) => self.atom(atom)?,
        })
    }

    fn filters(&mut self, parts: Vec<Filter>) -> Result<Vec<Logical>, SelectorError> {
        parts.into_iter().map(|part| self.filter(part)).collect()
    }

    fn atom(&mut self, atom: FilterAtom) -> Result<Logical, SelectorError> {
        let (logical, not) = match atom {
            FilterAtom::Filter { expr, not } => (self.filter(*expr)?, not),
            FilterAtom::Test { expr, not } => (self.test(*expr)?, not),
            FilterAtom::Comparison(comparison) => (self.comparison(*comparison)?, false),
        };
        Ok(if not { Logical::Not(Box::new(logical)) } else { logical })
    }

    fn test(&mut self, test: ParsedTest) -> Result<Logical, SelectorError> {
        match test {
            ParsedTest::Function(function) => match *function {
                TestFunction::Search(text, pattern) => {
                    Ok(Logical::Matches(self.value(text)?, TextPattern::search(&literal_pattern(pattern)?)?))
                }
                TestFunction::Match(text, pattern) => {
                    Ok(Logical::Matches(self.value(text)?, TextPattern::whole(&literal_pattern(pattern)?)?))
                }
                TestFunction::Length(_) | TestFunction::Count(_) | TestFunction::Value(_) => {
                    Err(SelectorError::new("length(), count() and value() must be compared with something"))
                }
                TestFunction::Custom(name, _) => Err(unknown_function(&name)),
            },
            query @ (ParsedTest::RelQuery(_) | ParsedTest::AbsQuery(_)) => Ok(Logical::Exists(self.query(query)?)),
        }
    }

    /// A query inside an expression.
    fn query(&mut self, query: ParsedTest) -> Result<NodeQuery, SelectorError> {
        let (absolute, parsed) = match query {
            ParsedTest::RelQuery(segments) => {
                // The library applies such a filter to the value itself instead of its children, and no test could compare.
                if segments.first().is_some_and(has_filter) {
                    return Err(SelectorError::new("a filter right after `@` is not supported"));
                }
                (false, segments)
            }
            ParsedTest::AbsQuery(query) => (true, query.segments),
            ParsedTest::Function(_) => return Err(SelectorError::new("expected a query, found a function")),
        };
        let segments: Vec<Segment> = parsed.into_iter().map(segment).collect::<Result<_, _>>()?;
        let mut picks = segments.iter().flat_map(|segment| &segment.picks);
        self.absolute |= absolute || picks.any(|pick| matches!(pick, Pick::Test(test) if test.absolute));
        Ok(NodeQuery { absolute, segments })
    }

    /// An argument that is one value: a literal, the result of a function, or a query that selects at most one value.
    fn value(&mut self, argument: FnArg) -> Result<Operand, SelectorError> {
        match argument {
            FnArg::Literal(literal) => Ok(Operand::Literal(value_of(literal)?)),
            FnArg::Test(test) => match *test {
                ParsedTest::Function(function) => self.function(*function),
                query @ (ParsedTest::RelQuery(_) | ParsedTest::AbsQuery(_)) => {
                    if !is_singular(&query) {
                        return Err(SelectorError::new("expected an argument that is a query for one value"));
                    }
                    Ok(Operand::Only(self.query(query)?))
                }
            },
            FnArg::Filter(_) => Err(SelectorError::new("expected a value, found an expression")),
        }
    }

    /// An argument that is a query for any number of values.
    fn nodes(&mut self, argument: FnArg) -> Result<NodeQuery, SelectorError> {
        match argument {
            FnArg::Test(test) => self.query(*test),
            FnArg::Literal(_) | FnArg::Filter(_) => Err(SelectorError::new("expected an argument that is a query")),
        }
    }

    /// A call of a function that returns a value.
    fn function(&mut self, function: TestFunction) -> Result<Operand, SelectorError> {
        Ok(match function {
            TestFunction::Length(argument) => Operand::Length(Box::new(self.value(*argument)?)),
            TestFunction::Value(argument) => Operand::Only(self.nodes(argument)?),
            TestFunction::Count(_) => {
                return Err(SelectorError::new("count() must be compared with a number"));
            }
            TestFunction::Search(..) | TestFunction::Match(..) => {
                return Err(SelectorError::new("match() and search() return true or false, not a value"));
            }
            TestFunction::Custom(name, _) => return Err(unknown_function(&name)),
        })
    }

    fn comparison(&mut self, comparison: Comparison) -> Result<Logical, SelectorError> {
        let (left, relation, right) = match comparison {
            Comparison::Eq(left, right) => (left, Relation::Equal, right),
            Comparison::Ne(left, right) => (left, Relation::NotEqual, right),
            Comparison::Gt(left, right) => (left, Relation::Greater, right),
            Comparison::Gte(left, right) => (left, Relation::GreaterOrEqual, right),
            Comparison::Lt(left, right) => (left, Relation::Less, right),
            Comparison::Lte(left, right) => (left, Relation::LessOrEqual, right),
        };
        let is_number = |side: &Comparable| matches!(side, Comparable::Literal(Literal::Int(_)));
        let is_count = |side: &Comparable| matches!(side, Comparable::Function(TestFunction::Count(_)));
        if (is_count(&left) && !is_number(&right)) || (is_count(&right) && !is_number(&left)) {
            return Err(SelectorError::new("count() must be compared with a whole number"));
        }
        Ok(Logical::Compared(self.comparable(left)?, relation, self.comparable(right)?))
    }

    /// A side of a comparison.
    fn comparable(&mut self, comparable: Comparable) -> Result<Operand, SelectorError> {
        let (absolute, parsed) = match comparable {
            Comparable::Literal(literal) => return Ok(Operand::Literal(value_of(literal)?)),
            Comparable::Function(TestFunction::Count(counted)) => return Ok(Operand::Count(self.nodes(counted)?)),
            Comparable::Function(function) => return self.function(function),
            Comparable::SingularQuery(SingularQuery::Current(segments)) => (false, segments),
            Comparable::SingularQuery(SingularQuery::Root(segments)) => (true, segments),
        };
        self.absolute |= absolute;
        let picks = parsed.into_iter().map(|segment| match segment {
            SingularQuerySegment::Name(name) => Pick::Name(name),
            SingularQuerySegment::Index(index) => Pick::Index(index),
        });
        let segments = picks.map(|pick| Segment { descendant: false, picks: vec![pick] }).collect();
        Ok(Operand::Only(NodeQuery { absolute, segments }))
    }
}

impl TextPattern {
    /// The pattern of `search()`, which matches any part of a text.
    fn search(written: &str) -> Result<Self, SelectorError> {
        Self::compile(written, &translated(written))
    }

    /// The pattern of `match()`, which matches a whole text.
    fn whole(written: &str) -> Result<Self, SelectorError> {
        Self::compile(written, &format!("^(?:{})$", translated(written)))
    }

    fn compile(written: &str, translated: &str) -> Result<Self, SelectorError> {
        // The pattern alone must be one: `a)|(b` is none, but is one in parentheses.
        let compiled = Regex::new(written).and_then(|_| Regex::new(translated));
        let regex = compiled.map_err(|error| {
            let last = error.to_string().lines().last().map(|line| line.trim().to_owned()).unwrap_or_default();
            SelectorError::new(format!("bad pattern {written:?}: {last}"))
        })?;
        Ok(Self { written: written.to_owned(), regex })
    }
}

/// An I-Regexp (RFC 9485) in the syntax of the `regex` crate: its `.` matches no carriage return (RFC 9485 §5.3).
fn translated(pattern: &str) -> String {
    let (mut out, mut chars, mut in_class) = (String::with_capacity(pattern.len()), pattern.chars(), false);
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                out.push(c);
                out.extend(chars.next());
                continue;
            }
            '[' if !in_class => in_class = true,
            ']' if in_class => in_class = false,
            '.' if !in_class => {
                out.push_str(r"[^\n\r]");
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

/// The text of a pattern, which must be in the rule: one from the document could be anything.
fn literal_pattern(pattern: FnArg) -> Result<String, SelectorError> {
    match pattern {
        FnArg::Literal(Literal::String(written)) => Ok(written),
        FnArg::Literal(_) | FnArg::Test(_) | FnArg::Filter(_) => {
            Err(SelectorError::new("the pattern of match() or search() must be a text in quotes"))
        }
    }
}

/// The value of a literal.
fn value_of(literal: Literal) -> Result<Value, SelectorError> {
    Ok(match literal {
        Literal::Int(number) => number.into(),
        Literal::Float(number) => {
            Value::Number(Number::from_f64(number).ok_or_else(|| SelectorError::new("a number is too large"))?)
        }
        Literal::String(text) => text.into(),
        Literal::Bool(truth) => truth.into(),
        Literal::Null => Value::Null,
    })
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::filter::Selector;

    #[track_caller]
    fn check_test(expression: &str, value: Value, expected: bool) {
        let selector: Selector = format!("$[?{expression}]").parse().unwrap();
        let [Segment { picks, .. }] = selector.segments() else { panic!("{expression}") };
        let [Pick::Test(test)] = picks.as_slice() else { panic!("{expression}") };
        let mut question = Question::new(json!({"d": {"e": 1, "l": [1, 2]}}));
        question.ask(value, 0).unwrap();
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

    #[test]
    fn a_dot_of_a_pattern_is_no_line_break() {
        check_test("match(@, 'a.c')", json!("a\rc"), false);
        check_test("match(@, 'a.c')", json!("a\nc"), false);
        check_test("match(@, 'a[.]c')", json!("a.c"), true);
        check_test("match(@, 'a[.]c')", json!("abc"), false);
        check_test("match(@, 'a|b')", json!("ab"), false);
        check_test("search(@, 'a\\\\.c')", json!("a.c"), true);
        check_test("match(@, 'a')", json!(1), false);
        check_test("match(@.b, 'a')", json!({}), false);
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        check_test("@ == 1", json!(1.0), true);
        check_test("@.a == @.b", json!({"a": [1, {"c": 2}], "b": [1.0, {"c": 2.0}]}), true);
        check_test("@.a < @.b", json!({"a": 9_007_199_254_740_992_u64, "b": 9_007_199_254_740_993_u64}), true);
        check_test("@.a == @.b", json!({"a": 0, "b": 1e-20}), false);
        check_test("@.a <= @.b", json!({"a": true, "b": true}), true);
        check_test("@.a < @.b", json!({"a": false, "b": true}), false);
        check_test("@.a == @.b", json!({}), true);
        check_test("@.a == @.b", json!({"a": null}), false);
        assert!("$[?@ == 1e999]".parse::<Selector>().is_err(), "no document has such a number");
    }

    #[test]
    fn a_node_list_may_have_a_value_twice() {
        check_test("count(@['a','a']) == 2", json!({"a": 1}), true);
        check_test("value(@['a','a']) == 1", json!({"a": 1}), false);
        check_test("value(@.*) == 1", json!({"a": 1}), true);
        check_test("value(@.*) == 1", json!({"a": 1, "b": 1}), false);
        check_test("count(@..*) == 3", json!({"a": [1, 2]}), true);
        check_test("count(@[::2]) == 2", json!([1, 2, 3]), true);
        check_test("@[-3]", json!([1, 2]), false);
    }

    /// What is told of a list of so many elements.
    fn asked_of_each(expression: &str, length: usize) -> Result<Vec<bool>, FilterError> {
        let selector: Selector = format!("$[?{expression}]").parse().unwrap();
        let [Segment { picks, .. }] = selector.segments() else { panic!("{expression}") };
        let [Pick::Test(test)] = picks.as_slice() else { panic!("{expression}") };
        let document = Value::Array((0..length).map(Value::from).collect());
        let mut question = Question::new(document.clone());
        let elements = document.as_array().unwrap().iter();
        elements.map(|element| question.ask(element.clone(), 8).and_then(|()| test.is_true(&question))).collect()
    }

    #[test]
    fn an_expression_whose_work_is_the_square_of_the_document_is_not_evaluated() {
        assert_eq!(asked_of_each("count($[?@ == 0]) == 1", 100), Ok(vec![true; 100]));
        assert_eq!(asked_of_each("count($[?@ == 0]) == 1", 20_000), Err(FilterError::TooMuchWork));
        assert!(asked_of_each("@ == $[0] || @ > 1", 20_000).is_ok());
    }
}
