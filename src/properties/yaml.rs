//! YAML files.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Outcome;
use crate::yaml::{Node, Value, parse, parse_foreign};

/// How deep values may nest in a file of ours.
const DEEPEST: usize = 64;
/// How deep values may nest by the aliases of a foreign file, each of which is a copy: 10,000 values in all.
const DEEPEST_FOREIGN: usize = 256;

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
        let depth = check(node, lines);
        assert!(depth <= DEEPEST_FOREIGN, "aliases nest no deeper than their limit: {depth}");
        if depth <= DEEPEST {
            let Ok(again) = parse("g.yaml", &written(node)) else {
                panic!("what was read can be written: {}", written(node))
            };
            assert_eq!(written(&again), written(node), "the same tree in another style");
        }
    }
    match parse("f.yaml", text) {
        Ok(node) => {
            let depth = check(&node, lines);
            assert!(depth <= DEEPEST, "a tree keeps to its limit: {depth}");
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

/// Checks a tree and returns how deep it is; a value alone is not deep at all.
fn check(node: &Node, lines: u32) -> usize {
    let place = &node.location;
    assert!((1..=lines + 1).contains(&place.line) && place.column >= 1, "a place in the file: {place}");
    let below = |values: &mut dyn Iterator<Item = &Node>| values.map(|value| 1 + check(value, lines)).max();
    match &node.value {
        Value::Scalar { .. } | Value::Null => 0,
        Value::Sequence(items) => below(&mut items.iter()).unwrap_or_default(),
        Value::Mapping(entries) => {
            let names: BTreeSet<&str> = entries.iter().map(|(key, _)| key.name.as_str()).collect();
            assert_eq!(names.len(), entries.len(), "no key is there twice");
            below(&mut entries.iter().map(|(_, value)| value)).unwrap_or_default()
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
