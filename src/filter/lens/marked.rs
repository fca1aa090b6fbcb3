//! A document as a tree in which every value knows what a plan leaves of it.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::filter::FilterError;
use crate::filter::apply::Alteration;
use crate::filter::json::{Cursor, DepthBudget, Stop};
use crate::filter::plan::{BLANK_TIME, BLANK_WORD};

/// A value, and what a plan leaves of it.
#[derive(Debug)]
pub(super) struct Marked<'d> {
    /// Its text.
    pub(super) text: &'d [u8],
    pub(super) content: MarkedContent<'d>,
    pub(super) left: Left<'d>,
}

/// What is in a value.
#[derive(Debug)]
pub(super) enum MarkedContent<'d> {
    /// A text, decoded.
    Text(Cow<'d, str>),
    /// A number, `true`, `false` or `null`.
    Word,
    Object(Vec<(Cow<'d, str>, Marked<'d>)>),
    Array(Vec<Marked<'d>>),
}

/// What a plan leaves of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left<'d> {
    /// All of it, except for what is altered inside.
    Whole,
    /// Nothing.
    Nothing,
    /// This JSON text in its place.
    Text(&'d [u8]),
}

/// Reads a document with its alterations.
///
/// # Errors
/// [`FilterError`] if it is not JSON, nests too deep, or has a duplicate key.
pub(super) fn read<'d>(text: &'d [u8], alterations: &'d [Alteration], depth: usize) -> Result<Marked<'d>, FilterError> {
    let mut reader = MarkedReader { cursor: Cursor::new(text), alterations };
    reader.cursor.token()?;
    let value = reader.value(DepthBudget::new(depth))?;
    reader.cursor.finish()?;
    Ok(value)
}

struct MarkedReader<'d> {
    cursor: Cursor<'d>,
    /// Those that were not reached yet.
    alterations: &'d [Alteration],
}

impl<'d> MarkedReader<'d> {
    fn value(&mut self, depth: DepthBudget) -> Result<Marked<'d>, Stop> {
        let start = self.cursor.at();
        let left = match self.alterations.split_first() {
            Some((first, rest)) if first.start == start => {
                self.alterations = rest;
                first.left.as_deref().map_or(Left::Nothing, Left::Text)
            }
            Some(_) | None => Left::Whole,
        };
        let content = match self.cursor.peek()? {
            b'{' => self.object(depth.inside()?)?,
            b'[' => self.array(depth.inside()?)?,
            b'"' => MarkedContent::Text(self.cursor.string()?.text()?),
            _ => {
                self.cursor.skip(depth)?;
                MarkedContent::Word
            }
        };
        Ok(Marked { text: self.cursor.since(start)?, content, left })
    }

    fn object(&mut self, depth: DepthBudget) -> Result<MarkedContent<'d>, Stop> {
        let (mut members, mut names) = (Vec::new(), HashSet::new());
        let mut more = self.cursor.first(b'}')?;
        while more {
            let name = self.cursor.key()?.text()?;
            if !names.insert(name.clone()) {
                return Err(FilterError::DuplicateKey.into());
            }
            members.push((name, self.value(depth)?));
            more = self.cursor.more(b'}')?;
        }
        Ok(MarkedContent::Object(members))
    }

    fn array(&mut self, depth: DepthBudget) -> Result<MarkedContent<'d>, Stop> {
        let mut elements = Vec::new();
        let mut more = self.cursor.first(b']')?;
        while more {
            elements.push(self.value(depth)?);
            more = self.cursor.more(b']')?;
        }
        Ok(MarkedContent::Array(elements))
    }
}

impl<'d> Marked<'d> {
    /// The member of this name.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        match &self.content {
            MarkedContent::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            MarkedContent::Text(_) | MarkedContent::Word | MarkedContent::Array(_) => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.text == b"null"
    }

    pub(super) fn is_composite(&self) -> bool {
        match &self.content {
            MarkedContent::Object(_) | MarkedContent::Array(_) => true,
            MarkedContent::Text(_) | MarkedContent::Word => false,
        }
    }

    /// Whether a reader takes it for the absent member: the zero of a type, or an object of nothing else.
    pub(super) fn is_empty(&self) -> bool {
        match &self.content {
            MarkedContent::Text(text) => text.is_empty(),
            MarkedContent::Word => is_zero(self.text),
            MarkedContent::Object(members) => members.iter().all(|(_, value)| value.is_empty()),
            MarkedContent::Array(elements) => elements.is_empty(),
        }
    }

    /// Whether there is a scalar in it that is not empty.
    pub(super) fn has_content(&self) -> bool {
        match &self.content {
            MarkedContent::Text(_) | MarkedContent::Word => !self.is_empty(),
            MarkedContent::Object(members) => members.iter().any(|(_, value)| value.has_content()),
            MarkedContent::Array(elements) => elements.iter().any(Self::has_content),
        }
    }

    /// Whether what is left of it is empty in the same sense.
    pub(super) fn is_left_empty(&self) -> bool {
        match (self.left, &self.content) {
            (Left::Nothing, _) => true,
            (Left::Text(text), _) => is_blank(text) || plain(text).is_some_and(|left| left.is_empty()),
            (Left::Whole, MarkedContent::Object(members)) => members.iter().all(|(_, value)| value.is_left_empty()),
            (Left::Whole, MarkedContent::Array(elements)) => elements.iter().all(|one| one.left == Left::Nothing),
            (Left::Whole, MarkedContent::Text(_) | MarkedContent::Word) => self.is_empty(),
        }
    }

    /// What is left of it, in a form that is the same for equal values: keys in order, without what is empty, so that a member
    /// that a client left out equals one that it wrote as zero. `None` if nothing is left.
    pub(super) fn form_of_left(&self) -> Option<String> {
        match self.left {
            Left::Nothing => None,
            Left::Text(text) => plain(text).map(|left| left.form()),
            Left::Whole => Some(self.form_with(&Self::form_of_left)),
        }
    }

    /// The same of the whole value, whatever is left of it.
    pub(super) fn form(&self) -> String {
        self.form_with(&|value| Some(value.form()))
    }

    fn form_with(&self, form: &dyn Fn(&Self) -> Option<String>) -> String {
        match &self.content {
            MarkedContent::Text(text) => form_of_text(text),
            MarkedContent::Word => form_of_word(self.text),
            MarkedContent::Object(members) => {
                form_of_object(members.iter().filter_map(|(name, value)| Some((&**name, form(value)?))).collect())
            }
            MarkedContent::Array(elements) => form_of_array(elements.iter().filter_map(form)),
        }
    }
}

/// Whether a text stands for a hidden value that may not be empty.
fn is_blank(text: &[u8]) -> bool {
    text == BLANK_TIME.as_bytes() || text == BLANK_WORD.as_bytes()
}

pub(super) fn form_of_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The form of an object with members of these forms.
pub(super) fn form_of_object(mut members: Vec<(&str, String)>) -> String {
    let is_empty = |form: &str| matches!(form, "null" | "false" | "0" | "\"\"" | "{}" | "[]");
    members.retain(|(_, form)| !is_empty(form) && !is_blank(form.as_bytes()));
    members.sort_unstable();
    let members = members.into_iter().map(|(name, form)| format!("{}:{form}", form_of_text(name)));
    format!("{{{}}}", members.collect::<Vec<String>>().join(","))
}

/// The form of an array with elements of these forms.
pub(super) fn form_of_array(elements: impl Iterator<Item = String>) -> String {
    format!("[{}]", elements.collect::<Vec<String>>().join(","))
}

/// The value of a text that a plan has written.
pub(super) fn plain(text: &[u8]) -> Option<Marked<'_>> {
    read(text, &[], 64).ok()
}

/// Whether a number, `true`, `false` or `null` is a zero.
fn is_zero(word: &[u8]) -> bool {
    match word.first() {
        Some(b't') | None => false,
        Some(b'f' | b'n') => true,
        Some(_) => {
            let mantissa = word.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or_default();
            mantissa.iter().all(|byte| matches!(byte, b'0' | b'-' | b'.'))
        }
    }
}

/// The form of a number, `true`, `false` or `null`: equal numbers have one, where they are exact.
pub(super) fn form_of_word(text: &[u8]) -> String {
    if is_zero(text) && !matches!(text.first(), Some(b'f' | b'n')) {
        return "0".to_owned();
    }
    let text = String::from_utf8_lossy(text).into_owned();
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && number.abs() < 9e15 => format!("{number}"),
        Ok(_) | Err(_) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_empty() {
        for (text, expected) in [
            ("null", true),
            ("false", true),
            ("0", true),
            ("-0.0e7", true),
            ("\"\"", true),
            ("[]", true),
            (r#"{"a":{"b":0}}"#, true),
            ("true", false),
            ("0.1", false),
            ("10", false),
            ("[null]", false),
            ("\" \"", false),
        ] {
            assert_eq!(plain(text.as_bytes()).unwrap().is_empty(), expected, "{text}");
        }
    }

    #[test]
    fn equal_values_have_one_form() {
        let form = |text: &str| plain(text.as_bytes()).unwrap().form();
        assert_eq!(form(r#"{"b":[1.0,"\u0041"],"a":0}"#), form(r#"{ "b" : [1,"A"] }"#));
        assert_ne!(form("9007199254740993"), form("9007199254740992"));
        assert_ne!(form(r#"["1"]"#), form("[1]"));
    }

    #[test]
    fn a_duplicate_key_is_an_error() {
        assert_eq!(read(br#"{"a":1,"\u0061":1}"#, &[], 8).unwrap_err(), FilterError::DuplicateKey);
        assert_eq!(read(b"[[[]]]", &[], 2).unwrap_err(), FilterError::TooDeep { limit: 2 });
        assert!(read(b"{} {}", &[], 8).is_err() && read(br#""\ud800""#, &[], 8).is_err());
    }
}
