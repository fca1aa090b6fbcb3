//! Filter expressions (RFC 9535 §2.3.5): compiled once for each rule, evaluated on the text of one value at a time.
//!
//! The library parses them. It could evaluate them too, but it needs a tree of the document, which takes up to a hundred times
//! the memory of the text. It compiles the pattern of a `match()` or `search()` again for each value, and takes what it cannot
//! compile for "no match".

mod compile;
mod question;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::ControlFlow;

use regex::Regex;
use serde_json::Number;

pub(in crate::filter) use self::question::Question;
use super::{Pick, Segment};
use crate::filter::FilterError;
use crate::filter::value::{ChildPlace, TextValue, order};

/// A filter expression.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::filter) struct Test {
    logical: Logical,
    /// Whether the expression refers to the whole document (`$`).
    pub(in crate::filter) absolute: bool,
    /// Whether its work is certainly in proportion to the length of the value that it is about.
    pub(in crate::filter) is_linear: bool,
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
    /// The JSON text of a value.
    Literal(Box<[u8]>),
    /// The only value that the query selects: a query for one value, or `value()`.
    Only(NodeQuery),
    Length(Box<Operand>),
    Count(NodeQuery),
}

/// The value of an operand.
#[derive(Clone, Copy, Debug)]
enum Term<'v> {
    Value(TextValue<'v>),
    /// A length, or a count.
    Size(usize),
}

/// Selects values from the value to test, or from the whole document.
#[derive(Clone, Debug, PartialEq)]
struct NodeQuery {
    absolute: bool,
    /// Each selects one value at most.
    single: Vec<SingleStep>,
    /// What follows.
    rest: Vec<Segment>,
}

/// A segment that selects one value at most.
#[derive(Clone, Debug, PartialEq)]
enum SingleStep {
    /// The member with this name.
    Name(String),
    /// The element at this index. A negative index counts from the end.
    Index(i64),
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

impl Test {
    /// Whether the expression is true for the value.
    ///
    /// # Errors
    /// [`FilterError::TooMuchWork`], and [`FilterError::NotJson`] if a number that it compares is too large to be one. It is then
    /// unknown whether the rule matches, so the document must be withheld.
    pub(in crate::filter) fn is_true(&self, question: &Question<'_>) -> Result<bool, FilterError> {
        self.logical.is_true(question.asked(), question)
    }
}

impl Test {
    /// Adds the patterns in it that a text with line breaks may escape, each with whether it stands behind a `!`.
    pub(super) fn short_patterns<'t>(&'t self, found: &mut Vec<(&'t str, bool)>) {
        self.logical.short_patterns(false, found);
    }
}

impl TextPattern {
    /// Whether it has a `.`, which matches no line break (RFC 9485), and not one that stands beside those: `(.|\n|\r)`.
    fn has_dot(&self) -> bool {
        let mut pattern = self.written.replace('\n', r"\n").replace('\r', r"\r");
        for any in [r"(.|\n|\r)", r"(.|\r|\n)", r"(\n|.|\r)", r"(\n|\r|.)", r"(\r|.|\n)", r"(\r|\n|.)"] {
            pattern = pattern.replace(any, "()");
        }
        let (mut is_escaped, mut in_class) = (false, false);
        pattern.chars().any(|c| {
            let is_plain = !std::mem::replace(&mut is_escaped, false);
            match c {
                '\\' => is_escaped = is_plain,
                '[' if is_plain => in_class = true,
                ']' if is_plain => in_class = false,
                _ => {}
            }
            c == '.' && is_plain && !in_class
        })
    }
}

impl Logical {
    fn short_patterns<'t>(&'t self, is_negated: bool, found: &mut Vec<(&'t str, bool)>) {
        match self {
            Self::Any(all) | Self::All(all) => all.iter().for_each(|one| one.short_patterns(is_negated, found)),
            Self::Not(inner) => inner.short_patterns(!is_negated, found),
            Self::Exists(query) => query.short_patterns(found),
            Self::Matches(operand, pattern) => {
                found.extend(pattern.has_dot().then_some((pattern.written.as_str(), is_negated)));
                operand.short_patterns(found);
            }
            Self::Compared(left, _, right) => [left, right].iter().for_each(|operand| operand.short_patterns(found)),
        }
    }

    fn is_true<'d>(&self, asked: TextValue<'d>, question: &Question<'d>) -> Result<bool, FilterError> {
        match self {
            Self::Any(parts) => has(parts, true, asked, question),
            Self::All(parts) => Ok(!has(parts, false, asked, question)?),
            Self::Not(part) => Ok(!part.is_true(asked, question)?),
            Self::Exists(query) => query.exists(asked, question),
            Self::Matches(text, pattern) => match text.string(asked, question)? {
                Some(text) => {
                    question.read(text.len())?;
                    Ok(pattern.regex.is_match(&text))
                }
                None => Ok(false),
            },
            Self::Compared(left, relation, right) => {
                let (left, right) = (left.value(asked, question)?, right.value(asked, question)?);
                relation.holds(left, right, question)
            }
        }
    }
}

/// Whether one of the parts is `wanted`.
fn has<'d>(
    parts: &[Logical],
    wanted: bool,
    asked: TextValue<'d>,
    question: &Question<'d>,
) -> Result<bool, FilterError> {
    for part in parts {
        if part.is_true(asked, question)? == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Operand {
    fn short_patterns<'t>(&'t self, found: &mut Vec<(&'t str, bool)>) {
        match self {
            Self::Literal(_) => {}
            Self::Only(query) | Self::Count(query) => query.short_patterns(found),
            Self::Length(operand) => operand.short_patterns(found),
        }
    }

    /// Its value; `None` if it has none.
    fn value<'v, 'd: 'v>(
        &'v self,
        asked: TextValue<'d>,
        question: &Question<'d>,
    ) -> Result<Option<Term<'v>>, FilterError> {
        Ok(match self {
            Self::Literal(text) => Some(Term::Value(TextValue::new(text))),
            Self::Only(query) => query.only(asked, question)?.map(Term::Value),
            Self::Length(operand) => match operand.value(asked, question)? {
                Some(Term::Value(value)) => length(value, question)?.map(Term::Size),
                Some(Term::Size(_)) | None => None,
            },
            Self::Count(query) => {
                let mut count = 0_usize;
                let counted = query.each(asked, question, &mut |_| {
                    count = count.saturating_add(1);
                    ControlFlow::Continue(())
                });
                counted.map(|_| Some(Term::Size(count)))?
            }
        })
    }

    /// The text that its value is; `None` if it is none.
    fn string<'v, 'd: 'v>(
        &'v self,
        asked: TextValue<'d>,
        question: &Question<'d>,
    ) -> Result<Option<Cow<'v, str>>, FilterError> {
        match self.value(asked, question)? {
            Some(Term::Value(value)) => value.string(),
            Some(Term::Size(_)) | None => Ok(None),
        }
    }
}

/// The length of a value (RFC 9535 §2.4.4): of a text in characters, of others in members or elements.
fn length(value: TextValue<'_>, question: &Question<'_>) -> Result<Option<usize>, FilterError> {
    question.read(value.length())?;
    if let Some(text) = value.string()? {
        return Ok(Some(text.chars().count()));
    }
    if value.is_object() {
        return value.members().map(Some);
    }
    if value.is_array() {
        return Ok(usize::try_from(value.elements()?).ok());
    }
    Ok(None)
}

impl NodeQuery {
    fn short_patterns<'t>(&'t self, found: &mut Vec<(&'t str, bool)>) {
        super::tests_in(&self.rest).for_each(|test| test.short_patterns(found));
    }

    fn new(absolute: bool, segments: Vec<Segment>) -> Self {
        let (mut single, mut rest) = (Vec::new(), segments.into_iter().peekable());
        while let Some(step) = rest.peek().and_then(SingleStep::of) {
            single.push(step);
            rest.next();
        }
        Self { absolute, single, rest: rest.collect() }
    }

    /// Whether it selects one value at most in any document.
    fn is_single(&self) -> bool {
        self.rest.is_empty()
    }

    /// The value that the leading steps select.
    fn start<'d>(&self, asked: TextValue<'d>, question: &Question<'d>) -> Result<Option<TextValue<'d>>, FilterError> {
        if self.absolute { question.in_document(self) } else { self.from(asked, question) }
    }

    /// The value that the leading steps select below `value`.
    fn from<'d>(&self, value: TextValue<'d>, question: &Question<'d>) -> Result<Option<TextValue<'d>>, FilterError> {
        let mut found = value;
        for step in &self.single {
            question.step()?;
            let next = match step {
                SingleStep::Name(name) => question.member(found, name)?,
                SingleStep::Index(index) => question.element(found, *index)?,
            };
            match next {
                Some(value) => found = value,
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    fn exists<'d>(&self, asked: TextValue<'d>, question: &Question<'d>) -> Result<bool, FilterError> {
        Ok(self.each(asked, question, &mut |_| ControlFlow::Break(()))?.is_break())
    }

    /// The value that it selects, if that is one and no more.
    fn only<'d>(&self, asked: TextValue<'d>, question: &Question<'d>) -> Result<Option<TextValue<'d>>, FilterError> {
        if self.is_single() {
            return self.start(asked, question);
        }
        let mut only = None;
        let ended = self.each(asked, question, &mut |found| match only.replace(found) {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        })?;
        Ok(only.filter(|_| ended.is_continue()))
    }

    /// Calls `found` with each value that it selects until that says `Break`.
    fn each<'d>(
        &self,
        asked: TextValue<'d>,
        question: &Question<'d>,
        found: &mut dyn FnMut(TextValue<'d>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, FilterError> {
        match self.start(asked, question)? {
            Some(start) => each(&self.rest, start, question, found),
            None => Ok(ControlFlow::Continue(())),
        }
    }
}

impl SingleStep {
    /// The step that a segment is, if it is one.
    fn of(segment: &Segment) -> Option<Self> {
        match (segment.descendant, segment.picks.as_slice()) {
            (false, [Pick::Name(name)]) => Some(Self::Name(name.clone())),
            (false, [Pick::Index(index)]) => Some(Self::Index(*index)),
            (true | false, _) => None,
        }
    }
}

/// Calls `found` with each value that `segments` select below `value` until that says `Break`.
fn each<'d>(
    segments: &[Segment],
    value: TextValue<'d>,
    question: &Question<'d>,
    found: &mut dyn FnMut(TextValue<'d>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, FilterError> {
    question.step()?;
    let Some((segment, rest)) = segments.split_first() else { return Ok(found(value)) };
    let length = if segment.picks.iter().any(needs_length) { question.elements(value)? } else { i64::MAX };
    // Each child is read once, whatever selects it.
    question.below(value, &mut |place, child| {
        for pick in &segment.picks {
            if selects(pick, place, length, child, question)? && each(rest, child, question, found)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if segment.descendant { each(segments, child, question, found) } else { Ok(ControlFlow::Continue(())) }
    })
}

/// Whether what a selector selects in an array depends on the length of that.
fn needs_length(pick: &Pick) -> bool {
    match pick {
        Pick::Index(index) => *index < 0,
        Pick::Slice(slice) => slice.needs_length(),
        Pick::Name(_) | Pick::Any | Pick::Test(_) => false,
    }
}

/// Whether a selector selects a child of an object, or of an array of this length.
fn selects<'d>(
    pick: &Pick,
    place: ChildPlace<'d>,
    length: i64,
    child: TextValue<'d>,
    question: &Question<'d>,
) -> Result<bool, FilterError> {
    question.step()?;
    Ok(match (pick, place) {
        (Pick::Any, _) => true,
        (Pick::Name(name), ChildPlace::Member(key)) => key.is(name)?,
        (Pick::Index(index), ChildPlace::Element(at)) => {
            at == if *index < 0 { length.saturating_add(*index) } else { *index }
        }
        (Pick::Slice(slice), ChildPlace::Element(at)) => slice.contains(at, length),
        (Pick::Test(test), _) => test.logical.is_true(child, question)?,
        (Pick::Name(_), ChildPlace::Element(_)) | (Pick::Index(_) | Pick::Slice(_), ChildPlace::Member(_)) => false,
    })
}

impl Relation {
    /// Whether two values compare so. `None` is no value.
    fn holds(
        self,
        left: Option<Term<'_>>,
        right: Option<Term<'_>>,
        question: &Question<'_>,
    ) -> Result<bool, FilterError> {
        Ok(match self {
            Self::Equal => are_equal(left, right, question)?,
            Self::NotEqual => !are_equal(left, right, question)?,
            Self::Less => is_less(left, right, question)?,
            Self::LessOrEqual => is_less(left, right, question)? || are_equal(left, right, question)?,
            Self::Greater => is_less(right, left, question)?,
            Self::GreaterOrEqual => is_less(right, left, question)? || are_equal(left, right, question)?,
        })
    }
}

fn are_equal(left: Option<Term<'_>>, right: Option<Term<'_>>, question: &Question<'_>) -> Result<bool, FilterError> {
    Ok(match (left, right) {
        (None, None) => true,
        (Some(Term::Value(left)), Some(Term::Value(right))) => left.equals(right, &|length| question.read(length))?,
        (Some(left), Some(right)) => numbers(left, right, question)? == Some(Ordering::Equal),
        (Some(_), None) | (None, Some(_)) => false,
    })
}

/// Only numbers and texts have an order.
fn is_less(left: Option<Term<'_>>, right: Option<Term<'_>>, question: &Question<'_>) -> Result<bool, FilterError> {
    Ok(match (left, right) {
        (Some(Term::Value(left)), Some(Term::Value(right))) => left.is_less(right, &|length| question.read(length))?,
        (Some(left), Some(right)) => numbers(left, right, question)? == Some(Ordering::Less),
        (Some(_) | None, _) => false,
    })
}

/// How two numbers compare; `None` if one is none.
fn numbers(left: Term<'_>, right: Term<'_>, question: &Question<'_>) -> Result<Option<Ordering>, FilterError> {
    let number = |term: Term<'_>| match term {
        Term::Value(value) => {
            question.read(value.length())?;
            value.number()
        }
        Term::Size(size) => Ok(Some(Number::from(size))),
    };
    Ok(match (number(left)?, number(right)?) {
        (Some(left), Some(right)) => order(&left, &right),
        (Some(_) | None, _) => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::filter::Selector;
    use crate::filter::json::{Cursor, DepthBudget, KeySet};
    use crate::filter::selector::ExpressionWork;

    /// What an expression says about each element of a document, which is an array.
    fn answers(expression: &str, document: &str, elements: &[String]) -> Result<Vec<bool>, FilterError> {
        let selector: Selector = format!("$[?{expression}]").parse().unwrap();
        let [Segment { picks, .. }] = selector.segments() else { panic!("{expression}") };
        let [Pick::Test(test)] = picks.as_slice() else { panic!("{expression}") };
        let mut question = Question::new(TextValue::new(document.as_bytes()));
        let mut found = Vec::new();
        for element in elements {
            question.ask(Cursor::new(element.as_bytes()), DepthBudget::new(128), &mut KeySet::default())?;
            found.push(test.is_true(&question)?);
        }
        Ok(found)
    }

    #[track_caller]
    fn check_test(expression: &str, value: Value, expected: bool) {
        check_text(expression, &value.to_string(), Ok(expected));
    }

    /// As [`check_test`], of a value as it is written.
    #[track_caller]
    fn check_text(expression: &str, value: &str, expected: Result<bool, FilterError>) {
        let answers = answers(expression, r#"{"d": {"e": 1, "l": [1, 2]}}"#, &[value.to_owned()]);
        assert_eq!(answers, expected.map(|expected| vec![expected]), "{expression}: {value}");
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

    /// A dot matches no line break, so what escapes it must be found in the pattern.
    #[test]
    fn a_pattern_with_a_dot_is_one_that_line_breaks_escape() {
        for (pattern, text, is_short) in [
            ("S=.*", "S=a\nb", true),
            ("S=.*", "S=a\rb", true),
            (r"S=(.|\n|\r)*", "S=a\r\nb", false),
            ("S=(.|\n|\r)*", "S=a\r\nb", false),
            (r"S=(\r|.|\n)*", "S=a\r\nb", false),
            (r"S=(.|\n)*", "S=a\r\nb", true),
            ("S=[^b]*b", "S=a\r\nb", false),
        ] {
            let whole = TextPattern::whole(pattern).unwrap();
            assert_eq!((whole.has_dot(), whole.regex.is_match(text)), (is_short, !is_short), "{pattern:?}");
        }
        for (pattern, expected) in
            [(r"a\.b", false), (r"a\\.b", true), ("[.]", false), (r"[\].]", false), ("[a].", true)]
        {
            assert_eq!(TextPattern::search(pattern).unwrap().has_dot(), expected, "{pattern}");
        }
        check_test(r"match(@, 'S=(.|\n|\r)*')", json!("S=a\nb"), true);
        check_test("match(@, 'S=.*')", json!("S=a\nb"), false);
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

    /// What is told of a list of so many long texts, all of them different.
    fn asked_of_each(expression: &str, count: usize) -> Result<Vec<bool>, FilterError> {
        let elements: Vec<String> = (0..count).map(|number| format!("\"{number}{}\"", "x".repeat(50_000))).collect();
        answers(expression, &format!("[{}]", elements.join(",")), &elements)
    }

    #[test]
    fn an_expression_whose_work_is_the_square_of_the_document_is_not_evaluated() {
        assert_eq!(asked_of_each("count($[?@ == '']) == 1", 10), Ok(vec![false; 10]));
        assert_eq!(asked_of_each("count($[?@ == '']) == 1", 200), Err(FilterError::TooMuchWork));
        // Where a path in the document leads is the same for each element.
        assert_eq!(asked_of_each("@ < $[199] && @ != $[0]", 200).map(|answers| answers.len()), Ok(200));
    }

    /// Each comparison with a long value of the document costs what reading that costs.
    #[test]
    fn a_long_value_is_not_compared_with_too_many() {
        let (text, number) = (format!("\"\\u0061{}\"", "b".repeat(1_000_000)), format!("0.{}", "1".repeat(1_000_000)));
        for (long, element, expression) in [
            (&text, "\"\\u0061\"", "@ < $[0]"),
            (&text, "0", "$[0] == $[1]"),
            (&number, "1", "@ == $[0]"),
            (&number, "[1]", "length(@) == $[0]"),
        ] {
            let document = format!("[{long},{long}]");
            let compared =
                |count| answers(expression, &document, &vec![element.to_owned(); count]).map(|them| them.len());
            assert_eq!(compared(10), Ok(10), "{expression}");
            assert_eq!(compared(2_000), Err(FilterError::TooMuchWork), "{expression}");
        }
    }

    #[test]
    fn values_are_compared_as_they_are_meant_and_not_as_they_are_written() {
        for (expression, value, expected) in [
            ("@ == 'aA'", r#""\u0061A""#, true),
            ("@.a == 'x'", r#"{"\u0061":"\u0078"}"#, true),
            ("@.a == 'x'", r#"{ "b" : 1 , "a" : "x" }"#, true),
            ("@ == 'a\"b'", r#""a\"b""#, true),
            ("@ == 'a'", r#""a\u0000""#, false),
            ("@ == '/'", r#""\/""#, true),
            ("@ == 100", "1e2", true),
            ("@ == 100", "1.0E+2", true),
            ("@ == 0", "-0", true),
            ("@ == 0", "-0.0e9", true),
            ("@ == 0", "1e-999", true),
            ("@.a == @.b", r#"{"a":18446744073709551616,"b":1.8446744073709552e19}"#, true),
            ("@.a == @.b", r#"{"a":{"x":1,"y":[2]},"b":{"y":[2.0],"\u0078":1e0}}"#, true),
            ("@.a == @.b", r#"{"a":{"x":1,"y":2},"b":{"x":1}}"#, false),
            ("@.a == @.b", r#"{"a":{"x":1},"b":{"y":1}}"#, false),
            ("@.a == @.b", r#"{"a":[1,2],"b":[1]}"#, false),
            ("@.a == @.b", r#"{"a":[],"b":[ ]}"#, true),
            ("@.a == @.b", r#"{"a":{},"b":[]}"#, false),
            ("@.a == @.b", r#"{"a":"1","b":1}"#, false),
            ("@.a == @.b", r#"{"a":null,"b":false}"#, false),
            ("@.a < @.b", r#"{"a":"a","b":"ab"}"#, true),
            ("@.a < @.b", r#"{"a":"ab","b":"a"}"#, false),
            ("@.a < @.b", r#"{"a":"a","b":"a"}"#, false),
            ("@.a < @.b", r#"{"a":"","b":"\u0000"}"#, true),
            ("@.a < @.b", r#"{"a":"a!","b":"a\u0020"}"#, false),
            ("@.a < @.b", r#"{"a":"a","b":"\u0062"}"#, true),
            ("@.a < @.b", r#"{"a":"a","b":1}"#, false),
            ("@.a <= @.b", r#"{"a":"\u0061","b":"a"}"#, true),
            ("@.a < @.b", r#"{"a":"\ud83d\ude00","b":"\uffff"}"#, false),
            ("@[-1] == 3", "[ 1 , 2 , 3 ]", true),
            ("@[-4]", "[1,2,3]", false),
            ("@[1][0]", "[1,[2]]", true),
            ("@[0]", r#"{"0":1}"#, false),
            ("@['0']", "[1]", false),
            ("length(@) == 2", r#""\ud83d\ude00e""#, true),
            ("length(@) == 2", r#"{"a":[1,2,3],"b":{}}"#, true),
            ("length(@) == 0", "[ ]", true),
            ("length(@) == 1", "1", false),
            ("match(@, 'a.c')", r#""a\u0062c""#, true),
            ("search(@.a, 'b$')", r#"{"a":"a\u0062"}"#, true),
        ] {
            check_text(expression, value, Ok(expected));
        }
    }

    #[test]
    fn what_cannot_be_decided_is_an_error() {
        for value in [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":1}"#, r#"{"b":[{"a":1,"a":1}],"a":1}"#] {
            check_text("@.a == 1", value, Err(FilterError::DuplicateKey));
        }
        for value in ["{\"a\":1e999}", r#"{"a":"\ud800"}"#, r#"{"b":"\ud800","a":1}"#, r#"{"\ud800":1,"a":1}"#] {
            check_text("@.a == 1", value, Err(FilterError::NotJson));
        }
    }

    #[test]
    fn members_of_a_large_object_are_found_too() {
        for count in [1, 31, 32, 33, 100] {
            let members: Vec<String> = (0..count).map(|number| format!(r#""m{number}":{number}"#)).collect();
            let value = format!("{{{}}}", members.join(","));
            check_text(&format!("@.m{} == {}", count - 1, count - 1), &value, Ok(true));
            check_text("@.m0 == 0 && !@.m100 && !@.m", &value, Ok(true));
        }
    }

    #[test]
    fn the_work_of_an_expression_is_known_before() {
        let work = |path: &str| path.parse::<Selector>().unwrap().work();
        assert_eq!(work("$..a"), ExpressionWork::None);
        for path in [
            "$[?match(@.a.b, 'x') && !(@.c < 1 || @[0] != 'x')].b[?length(@) == 2]",
            "$.Mounts[?match(@.Source, '/(home|root|srv)/.*') || search(@.Name, '[A-Za-z0-9_.-]+-[^/]*secret$')]",
            "$[?@]",
        ] {
            assert_eq!(work(path), ExpressionWork::Linear, "{path}");
        }
        for path in [
            "$..a[?@.b]",
            "$[?@..b]",
            "$[?@.*]",
            "$[?@.a == @.b]",
            "$[?@ == $.a]",
            "$[?match(@, '(a{99}){99}')]",
            "$[?count(@.a[?@.b]) == 1]",
        ] {
            assert_eq!(work(path), ExpressionWork::Unbounded, "{path}");
        }
    }
}
