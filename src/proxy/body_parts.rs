//! Parts of bodies that reach the host or are not known, kept to compare those of an edit with those that the client was shown.
//!
//! Clients and engines write these parts, so what is kept of them has a limit. What is beyond it is not known.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use crate::filter::fold;
use crate::members::{UnexpectedShape, each_element, each_member, text, try_each_element};

/// How deep a part may nest.
const DEPTH: usize = 32;

/// The longest part, in bytes. A tree of it takes many times as much memory.
const LENGTH: usize = 64 * 1024;

/// How much is kept of all parts of an object, in bytes.
const KEPT: usize = 1 << 20;

/// What a text or a part takes beside its bytes, in bytes.
const ENTRY: usize = 64;

/// What stands for nothing in a member.
pub(super) const EMPTY: [&str; 6] = ["null", "false", "0", "\"\"", "{}", "[]"];

/// Parts of bodies: paths, each with what stands there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BodyParts {
    /// The paths and the values, each once: a mount is what stands at many paths.
    texts: HashMap<String, usize>,
    /// The numbers of a path and of a value.
    parts: HashSet<(usize, usize)>,
    /// What is kept, in bytes.
    size: usize,
}

impl BodyParts {
    /// How many bytes they are.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// The number of a value, if it is one of the parts.
    pub(super) fn value(&self, value: &str) -> Option<usize> {
        if self.parts.is_empty() { None } else { self.number(&compared(value)?) }
    }

    /// Whether the value with this number is a part at a path.
    pub(super) fn has(&self, path: &str, value: Option<usize>) -> bool {
        let part = self.number(path).zip(value);
        part.is_some_and(|part| self.parts.contains(&part))
    }

    /// Whether a value at a path is a part; of a list, whether each element is one.
    pub(super) fn has_all(&self, path: &str, value: &str) -> bool {
        let Some((path, value)) =
            StandingPart::of(path, value).and_then(|part| Some((self.number(&part.path)?, part.value)))
        else {
            return false;
        };
        let has = |value| self.value(value).is_some_and(|value| self.parts.contains(&(path, value)));
        match value {
            StandingValue::One(value) => has(value),
            StandingValue::Each(list) => {
                try_each_element(list, |element| if has(element) { Ok(()) } else { Err(UnexpectedShape) }).is_ok()
            }
        }
    }

    /// Keeps a value, and returns its number. `None` if it cannot be compared, or if that is too much.
    pub(super) fn keep_value(&mut self, value: &str) -> Option<usize> {
        if self.is_full() { None } else { self.keep(&compared(value)?) }
    }

    /// Adds the value with this number at a path.
    pub(super) fn add(&mut self, path: &str, value: Option<usize>) {
        let part = value.and_then(|value| Some((self.keep(path)?, value)));
        self.add_part(part);
    }

    fn add_part(&mut self, part: Option<(usize, usize)>) {
        if let Some(part) = part.filter(|_| !self.is_full())
            && self.parts.insert(part)
        {
            self.size += ENTRY;
        }
    }

    /// Adds a value at a path; of a list, each element.
    pub(super) fn add_all(&mut self, path: &str, value: &str) {
        let Some((path, value)) =
            StandingPart::of(path, value).and_then(|part| Some((self.keep(&part.path)?, part.value)))
        else {
            return;
        };
        let mut add = |value| {
            let value = self.keep_value(value);
            self.add_part(value.map(|value| (path, value)));
        };
        match value {
            StandingValue::One(value) => add(value),
            // It was read before.
            StandingValue::Each(list) => drop(each_element(list, add)),
        }
    }

    /// Adds those of another body.
    pub(super) fn extend(&mut self, other: &Self) {
        let texts: HashMap<usize, &String> = other.texts.iter().map(|(text, number)| (*number, text)).collect();
        for (path, value) in &other.parts {
            if let (Some(path), Some(value)) = (texts.get(path), texts.get(value)) {
                let part = self.keep(path).zip(self.keep(value));
                self.add_part(part);
            }
        }
    }

    const fn is_full(&self) -> bool {
        self.size >= KEPT
    }

    fn number(&self, text: &str) -> Option<usize> {
        self.texts.get(text).copied()
    }

    fn keep(&mut self, text: &str) -> Option<usize> {
        if let Some(number) = self.number(text) {
            return Some(number);
        }
        let (number, size) = (self.texts.len(), self.size + text.len() + ENTRY);
        if size > KEPT {
            return None;
        }
        self.size = size;
        self.texts.insert(text.to_owned(), number);
        Some(number)
    }
}

/// What stands at a path.
struct StandingPart<'p> {
    path: Cow<'p, str>,
    value: StandingValue<'p>,
}

enum StandingValue<'p> {
    /// One part.
    One(&'p str),
    /// A list, of which each element is a part.
    Each(&'p str),
}

impl<'p> StandingPart<'p> {
    /// `None` if it is a list that cannot be read.
    fn of(path: &'p str, value: &'p str) -> Option<Self> {
        let mut is_list = false;
        if value.starts_with('[') {
            each_element(value, |_| is_list = true).ok()?;
        }
        Some(match is_list {
            true => Self { path: format!("{path}[*]").into(), value: StandingValue::Each(value) },
            false => Self { path: path.into(), value: StandingValue::One(value) },
        })
    }
}

/// A value as it is compared with another: its members in order, without the empty ones, which some clients leave out and others
/// write. `None` if it is long, nests deep, or has a member twice, in whatever case: then it is not certain what an engine reads in
/// it.
pub(super) fn compared(value: &str) -> Option<String> {
    compared_within(value, DEPTH)
}

fn compared_within(value: &str, depth: usize) -> Option<String> {
    let inside = |value: &str| compared_within(value, depth.checked_sub(1)?);
    match value.as_bytes().first()? {
        _ if value.len() > LENGTH => None,
        b'{' => {
            let (mut members, mut compared) = (Vec::new(), BTreeMap::new());
            each_member(value, |name, value| members.push((name.to_owned(), value))).ok()?;
            let names: HashSet<String> = members.iter().map(|(name, _)| fold(name)).collect();
            for (name, value) in &members {
                let value = inside(value)?;
                if !EMPTY.contains(&value.as_str()) {
                    compared.insert(quoted(name), value);
                }
            }
            let members_of: Vec<String> = compared.iter().map(|(name, value)| format!("{name}:{value}")).collect();
            (names.len() == members.len()).then(|| format!("{{{}}}", members_of.join(",")))
        }
        b'[' => {
            let mut elements = Vec::new();
            each_element(value, |element| elements.push(inside(element))).ok()?;
            Some(format!("[{}]", elements.into_iter().collect::<Option<Vec<String>>>()?.join(",")))
        }
        b'"' => text(value).map(|text| quoted(&text)),
        _ => Some(value.to_owned()),
    }
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of one value.
    fn parts(path: &str, value: &str) -> BodyParts {
        let mut parts = BodyParts::default();
        parts.add_all(path, value);
        parts
    }

    #[test]
    fn a_part_is_known_however_it_is_written() {
        let known = parts("$.a", r#"{"x":1,"y":{"z":[]},"w":"é"}"#);
        for (path, value, expected) in [
            ("$.a", r#"{"x":1,"y":{"z":[]},"w":"é"}"#, true),
            ("$.a", r#"{ "w" : "\u00e9", "x" : 1 }"#, true),
            ("$.a", r#"{"x":1,"w":"é","v":null}"#, true),
            ("$.b", r#"{"x":1,"w":"é"}"#, false),
            ("$.a", r#"{"x":2,"w":"é"}"#, false),
            ("$.a", r#"{"x":1,"w":"é","v":1}"#, false),
            ("$.a", r#"{"x":1,"w":"é","W":null}"#, false),
            ("$.a", r#"{"x":1,"#, false),
        ] {
            assert_eq!(known.has_all(path, value), expected, "{path} {value}");
        }
        let list = parts("$.a", r#"["x",{"y":1},[2]]"#);
        for (value, expected) in
            [(r#"[{"y":1}]"#, true), (r#"[[2],"x"]"#, true), (r#"["z","x"]"#, false), ("[]", false), (r#""x""#, false)]
        {
            assert_eq!(list.has_all("$.a", value), expected, "{value}");
        }
        assert!(!BodyParts::default().has_all("$.a", "[]"));
    }

    /// However long, deep or wide a part is, little is kept of it.
    #[test]
    fn what_is_kept_has_a_limit() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let deep_object = format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
        for value in [format!("[{deep}]"), deep_object, format!("\"{}\"", "x".repeat(LENGTH))] {
            let kept = parts("$.a", &value);
            assert!(!kept.has_all("$.a", &value) && kept.parts.is_empty());
        }
        let many: Vec<String> = (0..200_000).map(|number| number.to_string()).collect();
        let many = format!("[{}]", many.join(","));
        let kept = parts("$.a", &many);
        assert!(kept.size() <= KEPT + ENTRY && kept.has_all("$.a", "[0,1]") && !kept.has_all("$.a", &many));
        let mut one = BodyParts::default();
        let value = one.keep_value(&format!("\"{}\"", "x".repeat(10_000)));
        for number in 0..1_000 {
            one.add(&format!("$.a{number}"), value);
        }
        assert!(one.has("$.a999", value) && one.size() < 200_000, "a value is kept once");
    }
}
