//! The expressions that the library has parsed, checked and compiled.

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, Literal, Segment as ParsedSegment, Selector as ParsedSelector,
    SingularQuery, SingularQuerySegment, Test as ParsedTest, TestFunction,
};
use regex::{Regex, RegexBuilder};
use serde_json::{Number, Value};

use super::{Logical, NodeQuery, Operand, Relation, Test, TextPattern};
use crate::filter::selector::{Pick, Segment, SelectorError, segment};
use crate::quoting;

/// The most memory that a small pattern takes, in bytes: some hundred states. `\w` and `\p{…}` take more.
const SMALL_PATTERN: usize = 16 << 10;

impl Test {
    /// Compiles a filter expression.
    pub(in crate::filter::selector) fn compile(filter: Filter) -> Result<Self, SelectorError> {
        let mut compiler = ExpressionCompiler { absolute: false, is_linear: true };
        let logical = compiler.filter(filter)?;
        Ok(Self { logical, absolute: compiler.absolute, is_linear: compiler.is_linear })
    }
}

/// Checks a filter expression and compiles it.
struct ExpressionCompiler {
    /// Whether the expression refers to the whole document.
    absolute: bool,
    /// Whether its work is certainly in proportion to the length of the value that it is about.
    is_linear: bool,
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
                    self.matches(text, TextPattern::search(&literal_pattern(pattern)?)?)
                }
                TestFunction::Match(text, pattern) => {
                    self.matches(text, TextPattern::whole(&literal_pattern(pattern)?)?)
                }
                TestFunction::Length(_) | TestFunction::Count(_) | TestFunction::Value(_) => {
                    Err(SelectorError::new("length(), count() and value() must be compared with something"))
                }
                TestFunction::Custom(name, _) => Err(unknown_function(&name)),
            },
            query @ (ParsedTest::RelQuery(_) | ParsedTest::AbsQuery(_)) => Ok(Logical::Exists(self.query(query)?)),
        }
    }

    fn matches(&mut self, text: FnArg, pattern: TextPattern) -> Result<Logical, SelectorError> {
        self.is_linear &= pattern.is_small();
        Ok(Logical::Matches(self.value(text)?, pattern))
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
        Ok(self.compiled(absolute, segments))
    }

    /// An argument that is one value: a literal, the result of a function, or a query that selects at most one value.
    fn value(&mut self, argument: FnArg) -> Result<Operand, SelectorError> {
        match argument {
            FnArg::Literal(literal) => Ok(Operand::Literal(text_of(literal)?)),
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
        let (left, right) = (self.comparable(left)?, self.comparable(right)?);
        // Each member of an object is looked up in the other one.
        self.is_linear &= !matches!((&left, &right), (Operand::Only(_), Operand::Only(_)));
        Ok(Logical::Compared(left, relation, right))
    }

    /// A side of a comparison.
    fn comparable(&mut self, comparable: Comparable) -> Result<Operand, SelectorError> {
        let (absolute, parsed) = match comparable {
            Comparable::Literal(literal) => return Ok(Operand::Literal(text_of(literal)?)),
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
        Ok(Operand::Only(self.compiled(absolute, segments)))
    }

    /// The query of these segments. What it finds in the document may be long, and what `..` finds may be read several times.
    fn compiled(&mut self, absolute: bool, segments: Vec<Segment>) -> NodeQuery {
        let query = NodeQuery::new(absolute, segments);
        self.is_linear &= !absolute && query.is_single();
        query
    }
}

impl TextPattern {
    /// The pattern of `search()`, which matches any part of a text.
    pub(super) fn search(written: &str) -> Result<Self, SelectorError> {
        Self::compile(written, &translated(written))
    }

    /// The pattern of `match()`, which matches a whole text.
    pub(super) fn whole(written: &str) -> Result<Self, SelectorError> {
        Self::compile(written, &format!("^(?:{})$", translated(written)))
    }

    fn compile(written: &str, translated: &str) -> Result<Self, SelectorError> {
        // The pattern alone must be one: `a)|(b` is none, but is one in parentheses.
        let compiled = Regex::new(written).and_then(|_| Regex::new(translated));
        let regex = compiled.map_err(|error| {
            let last = error.to_string().lines().last().map(|line| line.trim().to_owned()).unwrap_or_default();
            SelectorError::new(format!("bad pattern {:?}: {last}", quoting::value(written)))
        })?;
        Ok(Self { written: written.to_owned(), regex })
    }

    /// Whether it has few states. For a large one, a text may take as many steps as states for each character.
    fn is_small(&self) -> bool {
        RegexBuilder::new(self.regex.as_str()).size_limit(SMALL_PATTERN).build().is_ok()
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

/// The JSON text of a literal.
fn text_of(literal: Literal) -> Result<Box<[u8]>, SelectorError> {
    let value: Value = match literal {
        Literal::Int(number) => number.into(),
        Literal::Float(number) => {
            Value::Number(Number::from_f64(number).ok_or_else(|| SelectorError::new("a number is too large"))?)
        }
        Literal::String(text) => text.into(),
        Literal::Bool(truth) => truth.into(),
        Literal::Null => Value::Null,
    };
    Ok(value.to_string().into_bytes().into())
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
