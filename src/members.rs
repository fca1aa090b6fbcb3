//! The members of objects and the elements of arrays, looked at one after another, and rewritten.
//!
//! Nothing is kept of them: an engine could send millions in one document, and a list of them would take many times the memory
//! of their text. What is rewritten goes into one text.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Why a text could not be looked at: it is not JSON, or neither an object nor an array as expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnexpectedShape;

/// Calls `look` with the name of each member of an object and its value as it is written.
///
/// # Errors
/// [`UnexpectedShape`]; `look` may have seen some of them.
pub fn each_member<'d>(object: &'d str, look: impl FnMut(&str, &'d str)) -> Result<(), UnexpectedShape> {
    let mut from = serde_json::Deserializer::from_str(object);
    EachMember(look).deserialize(&mut from).and_then(|()| from.end()).map_err(|_| UnexpectedShape)
}

/// Calls `look` with each element of an array as it is written.
///
/// # Errors
/// [`UnexpectedShape`]; `look` may have seen some of them.
pub fn each_element<'d>(array: &'d str, look: impl FnMut(&'d str)) -> Result<(), UnexpectedShape> {
    let mut from = serde_json::Deserializer::from_str(array);
    EachElement(look).deserialize(&mut from).and_then(|()| from.end()).map_err(|_| UnexpectedShape)
}

/// As [`each_member`], up to the first for which `look` returns an error. What is behind it is still read as JSON.
///
/// # Errors
/// That of `look`, or [`UnexpectedShape`].
pub fn try_each_member<'d, E: From<UnexpectedShape>>(
    object: &'d str,
    mut look: impl FnMut(&str, &'d str) -> Result<(), E>,
) -> Result<(), E> {
    let mut result = Ok(());
    each_member(object, |name, value| {
        if result.is_ok() {
            result = look(name, value);
        }
    })?;
    result
}

/// As [`each_element`], up to the first for which `look` returns an error. What is behind it is still read as JSON.
///
/// # Errors
/// That of `look`, or [`UnexpectedShape`].
pub fn try_each_element<'d, E: From<UnexpectedShape>>(
    array: &'d str,
    mut look: impl FnMut(&'d str) -> Result<(), E>,
) -> Result<(), E> {
    let mut result = Ok(());
    each_element(array, |element| {
        if result.is_ok() {
            result = look(element);
        }
    })?;
    result
}

/// The value of the member `name` of an object, as it is written; `None` if it has none.
///
/// # Errors
/// [`UnexpectedShape`], also if there are two of them.
pub fn member<'d>(object: &'d str, name: &str) -> Result<Option<&'d str>, UnexpectedShape> {
    let (mut found, mut count) = (None, 0);
    each_member(object, |member, value| {
        if member == name {
            (found, count) = (Some(value), count + 1);
        }
    })?;
    if count < 2 { Ok(found) } else { Err(UnexpectedShape) }
}

/// The value at a path of members, as it is written; `None` if it is not there, or null.
///
/// # Errors
/// [`UnexpectedShape`], also if a member on the way is there twice.
pub fn value_at<'d>(document: &'d str, path: &[impl AsRef<str>]) -> Result<Option<&'d str>, UnexpectedShape> {
    let mut at = document;
    for name in path {
        match member(at, name.as_ref())?.filter(|value| *value != "null") {
            Some(value) => at = value,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// The text that a value is; `None` if it is none. Borrowed where it has no escapes.
pub fn text(value: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str(value).ok().map(|NameOrText(text)| text)
}

/// Whether something was written in the place of a member or an element. If nothing was, it is left out.
pub type Written = Result<bool, UnexpectedShape>;

/// Writes a value as it is.
///
/// # Errors
/// None.
pub fn keep(value: &str, out: &mut String) -> Written {
    out.push_str(value);
    Ok(true)
}

/// Appends `separator` and what `rewrite` writes; nothing if it writes nothing.
fn write_part(out: &mut String, separator: char, rewrite: impl FnOnce(&mut String) -> Written) -> Written {
    let start = out.len();
    out.push(separator);
    let written = rewrite(out);
    if written != Ok(true) {
        out.truncate(start);
    }
    written
}

/// Writes an object in which the value of each member is what `rewrite` writes for its name and its value as it is written.
///
/// # Errors
/// [`UnexpectedShape`], also one of `rewrite`; something may have been written.
pub fn rewrite_members<'d>(
    object: &'d str,
    out: &mut String,
    mut rewrite: impl FnMut(&str, &'d str, &mut String) -> Written,
) -> Written {
    let mut separator = '{';
    try_each_member(object, |name, value| -> Result<(), UnexpectedShape> {
        let write = |out: &mut String| {
            write_name(name, out);
            out.push(':');
            rewrite(name, value, out)
        };
        if write_part(out, separator, write)? {
            separator = ',';
        }
        Ok(())
    })?;
    out.push_str(if separator == ',' { "}" } else { "{}" });
    Ok(true)
}

/// Writes an array in which each element is what `rewrite` writes.
///
/// # Errors
/// [`UnexpectedShape`], also one of `rewrite`; something may have been written.
pub fn rewrite_elements<'d>(
    array: &'d str,
    out: &mut String,
    mut rewrite: impl FnMut(&'d str, &mut String) -> Written,
) -> Written {
    let mut separator = '[';
    try_each_element(array, |element| -> Result<(), UnexpectedShape> {
        if write_part(out, separator, |out| rewrite(element, out))? {
            separator = ',';
        }
        Ok(())
    })?;
    out.push_str(if separator == ',' { "]" } else { "[]" });
    Ok(true)
}

/// As [`rewrite_members`], of a value that may be no object: then it is written as it is.
///
/// # Errors
/// Those of [`rewrite_members`].
pub fn rewrite_object<'d>(
    value: &'d str,
    out: &mut String,
    rewrite: impl FnMut(&str, &'d str, &mut String) -> Written,
) -> Written {
    if value.starts_with('{') { rewrite_members(value, out, rewrite) } else { keep(value, out) }
}

/// As [`rewrite_elements`], of a value that may be no array: then it is written as it is.
///
/// # Errors
/// Those of [`rewrite_elements`].
pub fn rewrite_array<'d>(
    value: &'d str,
    out: &mut String,
    rewrite: impl FnMut(&'d str, &mut String) -> Written,
) -> Written {
    if value.starts_with('[') { rewrite_elements(value, out, rewrite) } else { keep(value, out) }
}

/// Writes a value in which everything at a path is what `rewrite` writes. A step is the name of a member, or `*` for every member
/// of an object or every element of an array.
///
/// # Errors
/// [`UnexpectedShape`], also one of `rewrite`; something may have been written.
pub fn rewrite_at<'d>(
    value: &'d str,
    path: &[&str],
    out: &mut String,
    rewrite: &mut dyn FnMut(&'d str, &mut String) -> Written,
) -> Written {
    let Some((step, rest)) = path.split_first() else { return rewrite(value, out) };
    if *step == "*" && value.starts_with('[') {
        return rewrite_elements(value, out, |element, out| rewrite_at(element, rest, out, rewrite));
    }
    rewrite_object(value, out, |name, value, out| {
        if *step == "*" || name == *step { rewrite_at(value, rest, out, rewrite) } else { keep(value, out) }
    })
}

/// Appends the name of a member.
fn write_name(name: &str, out: &mut String) {
    if name.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\')) {
        out.extend(["\"", name, "\""]);
    } else {
        out.push_str(&serde_json::Value::from(name).to_string());
    }
}

/// Where `part` is in `whole`, of which it was borrowed.
pub fn place(whole: &str, part: &str) -> Range<usize> {
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

    /// What `rewrite` writes.
    fn written(rewrite: impl FnOnce(&mut String) -> Written) -> Result<String, UnexpectedShape> {
        let mut out = String::new();
        rewrite(&mut out).map(|_| out)
    }

    #[test]
    fn what_is_rewritten_is_in_its_place() {
        let text = r#"{"a": 1 , "b\"\u0009": {"c": [1, {"d": "x"}, [2]]}, "e": null}"#;
        let members = |rewrite: &dyn Fn(&str, &str, &mut String) -> Written| {
            written(|out| rewrite_members(text, out, |name, value, out| rewrite(name, value, out))).unwrap()
        };
        let all = r#"{"a":1,"b\"\t":{"c": [1, {"d": "x"}, [2]]},"e":null}"#;
        assert_eq!(members(&|_, value, out| keep(value, out)), all);
        assert_eq!(members(&|name, value, out| if name == "a" { keep(value, out) } else { Ok(false) }), r#"{"a":1}"#);
        assert_eq!(
            members(&|name, value, out| if name == "e" { keep(value, out) } else { Ok(false) }),
            r#"{"e":null}"#
        );
        assert_eq!(members(&|_, _, _| Ok(false)), "{}");
        assert_eq!(written(|out| rewrite_elements("[1, 2]", out, |_, _| Ok(false))).unwrap(), "[]");
        assert_eq!(written(|out| rewrite_elements("[1, 2 ]", out, keep)).unwrap(), "[1,2]");
        let at = |path: &[&str]| written(|out| rewrite_at(text, path, out, &mut |_, out| keep("0", out))).unwrap();
        assert_eq!(at(&["*", "c", "*", "d"]), r#"{"a":1,"b\"\t":{"c":[1,{"d":0},[2]]},"e":null}"#);
        assert_eq!(at(&["*", "c", "*", "*"]), r#"{"a":1,"b\"\t":{"c":[1,{"d":0},[0]]},"e":null}"#);
        assert_eq!(at(&["*"]), r#"{"a":0,"b\"\t":0,"e":0}"#);
        assert_eq!(at(&[]), "0");
    }

    #[test]
    fn what_cannot_be_rewritten_is_an_error() {
        let members = |text| written(|out| rewrite_members(text, out, |_, value, out| keep(value, out)));
        let elements = |text| written(|out| rewrite_elements(text, out, keep));
        for text in ["[", "{", "1", r#"{"a":}"#, "[1,]", ""] {
            assert_eq!([members(text), elements(text)], [Err(UnexpectedShape), Err(UnexpectedShape)], "{text}");
        }
        let refuse = |_: &str, _: &mut String| Err(UnexpectedShape);
        assert_eq!(written(|out| rewrite_elements("[1,2]", out, refuse)), Err(UnexpectedShape));
        assert_eq!(written(|out| rewrite_at(r#"{"a":1,"b":2}"#, &["a"], out, &mut { refuse })), Err(UnexpectedShape));
        assert_eq!(written(|out| rewrite_at("1", &["a", "*"], out, &mut { refuse })), Ok("1".to_owned()));
    }

    #[test]
    fn a_part_has_a_place() {
        let whole = r#"{"a": [1]}"#;
        let part = member(whole, "a").unwrap().unwrap();
        assert_eq!(&whole[place(whole, part)], "[1]");
    }
}
