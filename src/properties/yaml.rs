//! YAML files.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Outcome;
use crate::yaml::{Node, Value, parse, parse_foreign};

/// A file that is read is one tree: written anew in another style, it is the same tree; no mapping has a key twice; every
/// place is in the file; and a file of ours that is read as a foreign one is that tree as well. A file that is refused is
/// refused for a place in it.
///
/// # Panics
/// If that is not so.
pub(super) fn a_file_has_one_tree(bytes: &[u8]) -> Outcome {
    let Ok(text) = str::from_utf8(bytes) else { return Outcome::Unusable };
    let lines = u32::try_from(text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count()).unwrap_or(u32::MAX);
    let foreign = parse_foreign("f.yaml", text);
    if let Ok(node) = &foreign {
        check(node, lines, 0);
        let Ok(again) = parse("g.yaml", &written(node)) else {
            panic!("what was read can be written: {}", written(node))
        };
        assert_eq!(written(&again), written(node), "the same tree in another style");
    }
    match parse("f.yaml", text) {
        Ok(node) => {
            assert_eq!(foreign, Ok(node), "the same tree as a foreign file");
            Outcome::Accepted
        }
        Err(diagnostic) => {
            let (place, message) = (&diagnostic.location, &diagnostic.message);
            assert_eq!(&*place.file, "f.yaml", "the file is named");
            assert!(place.line <= lines + 1 && !message.is_empty(), "a place in the file and a reason: {diagnostic}");
            if foreign.is_ok() { Outcome::Accepted } else { Outcome::Refused }
        }
    }
}

fn check(node: &Node, lines: u32, depth: usize) {
    let place = &node.location;
    assert!((1..=lines + 1).contains(&place.line) && place.column >= 1, "a place in the file: {place}");
    assert!(depth <= 80, "no tree is deeper than the limit");
    match &node.value {
        Value::Scalar { .. } | Value::Null => {}
        Value::Sequence(items) => items.iter().for_each(|item| check(item, lines, depth + 1)),
        Value::Mapping(entries) => {
            let names: BTreeSet<&str> = entries.iter().map(|(key, _)| key.name.as_str()).collect();
            assert_eq!(names.len(), entries.len(), "no key is there twice");
            entries.iter().for_each(|(_, value)| check(value, lines, depth + 1));
        }
    }
}

/// The tree in the one style that JSON shares with YAML, with every character beyond ASCII as an escape.
fn written(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Scalar { text, .. } => quoted(text),
        Value::Sequence(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Mapping(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", quoted(&key.name), written(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => _ = write!(out, "\\U{:08X}", u32::from(c)),
        }
    }
    out.push('"');
    out
}
