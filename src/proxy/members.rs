//! The members of objects and the elements of arrays, looked at one after another.
//!
//! Nothing is kept of them: an engine could send millions in one document, and a list of them would take many times the memory
//! of their text.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Why a text could not be looked at: it is not JSON, or neither an object nor an array as expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnexpectedShape;

/// Calls `look` with the name of each member of an object and its value as it is written.
///
/// # Errors
/// [`UnexpectedShape`]; `look` may have seen some of them.
pub(super) fn each_member<'d>(object: &'d str, look: impl FnMut(&str, &'d str)) -> Result<(), UnexpectedShape> {
    let mut from = serde_json::Deserializer::from_str(object);
    EachMember(look).deserialize(&mut from).and_then(|()| from.end()).map_err(|_| UnexpectedShape)
}

/// Calls `look` with each element of an array as it is written.
///
/// # Errors
/// [`UnexpectedShape`]; `look` may have seen some of them.
pub(super) fn each_element<'d>(array: &'d str, look: impl FnMut(&'d str)) -> Result<(), UnexpectedShape> {
    let mut from = serde_json::Deserializer::from_str(array);
    EachElement(look).deserialize(&mut from).and_then(|()| from.end()).map_err(|_| UnexpectedShape)
}

/// The value of the member `name` of an object, as it is written; `None` if it has none.
///
/// # Errors
/// [`UnexpectedShape`], also if there are two of them.
pub(super) fn member<'d>(object: &'d str, name: &str) -> Result<Option<&'d str>, UnexpectedShape> {
    let (mut found, mut count) = (None, 0);
    each_member(object, |member, value| {
        if member == name {
            (found, count) = (Some(value), count + 1);
        }
    })?;
    if count < 2 { Ok(found) } else { Err(UnexpectedShape) }
}

/// The text that a value is; `None` if it is none. Borrowed where it has no escapes.
pub(super) fn text(value: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str(value).ok().map(|NameOrText(text)| text)
}

/// Where `part` is in `whole`, of which it was borrowed.
pub(super) fn place(whole: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start + part.len()
}

/// A text, borrowed where it has no escapes.
#[derive(Deserialize)]
struct NameOrText<'d>(#[serde(borrow)] Cow<'d, str>);

struct EachMember<F>(F);

impl<'d, F: FnMut(&str, &'d str)> DeserializeSeed<'d> for EachMember<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'d>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'d, F: FnMut(&str, &'d str)> Visitor<'d> for EachMember<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'d>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(NameOrText(name)) = map.next_key()? {
            (self.0)(&name, map.next_value::<&RawValue>()?.get());
        }
        Ok(())
    }
}

struct EachElement<F>(F);

impl<'d, F: FnMut(&'d str)> DeserializeSeed<'d> for EachElement<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'d>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'d, F: FnMut(&'d str)> Visitor<'d> for EachElement<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'d>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&RawValue>()? {
            (self.0)(element.get());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_once() {
        let find = |object| member(object, "a");
        assert_eq!(find(r#"{"b":{"a":1}, "\u0061" : [1, 2] }"#), Ok(Some("[1, 2]")));
        assert_eq!([find("{}"), find(r#"{"b":1}"#)], [Ok(None); 2]);
        for object in [r#"{"a":1,"a":1}"#, r#"{"a":1} 1"#, "[]", "1", "", "{", r#"{"a":}"#] {
            assert_eq!(find(object), Err(UnexpectedShape), "{object}");
        }
    }

    #[test]
    fn elements_come_as_they_are_written() {
        let mut elements = Vec::new();
        assert_eq!(each_element(r#"[1 , {"a": 2},"\n"]"#, |element| elements.push(element)), Ok(()));
        assert_eq!(elements, ["1", r#"{"a": 2}"#, r#""\n""#]);
        assert_eq!(text(elements[2]).as_deref(), Some("\n"));
        assert_eq!(text("1"), None);
    }

    #[test]
    fn a_part_has_a_place() {
        let whole = r#"{"a": [1]}"#;
        let part = member(whole, "a").unwrap().unwrap();
        assert_eq!(&whole[place(whole, part)], "[1]");
    }
}
