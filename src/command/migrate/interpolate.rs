//! Values as Compose and shells interpolate them: `$NAME`, `${NAME:-default}`, `${NAME:?error}`, `${NAME:+other}`, nested, and
//! `$$` for a dollar.

use crate::quoting;
use std::collections::BTreeMap;

/// How deep defaults may nest.
const DEPTH_LIMIT: usize = 16;

/// The variables that are known, and what is noted about those that are not.
#[derive(Debug, Default)]
pub(super) struct Interpolation {
    /// The variables that the text itself sets.
    pub(super) known: BTreeMap<String, String>,
    /// What is uncertain, each once.
    pub(super) notes: Vec<String>,
    /// Whether a variable was missing.
    pub(super) incomplete: bool,
}

/// What follows a name inside braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    /// Nothing.
    Plain,
    /// `-` or `:-`: the rest is the default.
    Default,
    /// `?` or `:?`: the rest is the error if there is no value.
    Required,
    /// `+` or `:+`: the rest is used if there is a value.
    Alternative,
}

impl Interpolation {
    /// Adds a note, once.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The value of a text; `what` has this value, and is named in notes.
    pub(super) fn resolve(&mut self, text: &str, what: &str) -> String {
        self.resolve_at(text, what, 0)
    }

    fn resolve_at(&mut self, text: &str, what: &str, depth: usize) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(behind) = behind.strip_prefix('$') {
                out.push('$');
                rest = behind;
            } else if let Some((inside, behind)) = braces(behind) {
                out.push_str(&self.expression(inside, what, depth));
                rest = behind;
            } else {
                let (name, behind) = split_name(behind);
                match name {
                    // Without a name it is a dollar, as at the end of a pattern.
                    "" => out.push('$'),
                    name => out.push_str(&self.variable(name, what)),
                }
                rest = behind;
            }
        }
        out + rest
    }

    /// The value of what is inside braces.
    fn expression(&mut self, inside: &str, what: &str, depth: usize) -> String {
        let (name, behind) = split_name(inside);
        let (operator, word, empty_counts) = operator(behind);
        if name.is_empty() || (operator == Operator::Plain && !behind.is_empty()) || depth >= DEPTH_LIMIT {
            self.note(format!("{what}: ${{{}}} cannot be read, and was left as it is", quoting::value(inside)));
            return format!("${{{inside}}}");
        }
        let value = self.known.get(name).filter(|value| empty_counts || !value.is_empty()).cloned();
        if operator != Operator::Plain && value.is_none() {
            self.incomplete = true;
        }
        match (operator, value) {
            (Operator::Plain, _) => self.variable(name, what),
            (Operator::Alternative, Some(_)) => self.resolve_at(word, what, depth + 1),
            (Operator::Alternative, None) => {
                self.note(format!("{what}: {name} is not set in this file, and what takes its place was left out"));
                String::new()
            }
            (Operator::Default | Operator::Required, Some(value)) => value,
            (Operator::Default, None) => {
                self.note(format!("{what}: {name} is not set in this file, its default was used"));
                self.resolve_at(word, what, depth + 1)
            }
            (Operator::Required, None) => {
                self.note(format!("{what}: {name} is required and not set in this file: its value is missing here"));
                String::new()
            }
        }
    }

    /// The value of a variable; nothing if it is not known.
    fn variable(&mut self, name: &str, what: &str) -> String {
        if let Some(value) = self.known.get(name) {
            return value.clone();
        }
        self.incomplete = true;
        self.note(format!("{what}: ${{{name}}} is not set in this file and was removed"));
        String::new()
    }
}

/// Splits what follows a dollar into the inside of braces and the rest; `None` if there are no braces, or they are not closed.
fn braces(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('{')?;
    let mut open = 1_usize;
    let mut before = ' ';
    for (at, c) in inside.char_indices() {
        match c {
            '{' if before == '$' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            let (inside, behind) = inside.split_at_checked(at)?;
            return Some((inside, behind.strip_prefix('}')?));
        }
        before = c;
    }
    None
}

/// Splits a text into the name at its start and the rest.
fn split_name(text: &str) -> (&str, &str) {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at_checked(if starts { end } else { 0 }).unwrap_or((text, ""))
}

/// The operator at the start of a text, the word behind it, and whether an empty value counts as a value.
fn operator(text: &str) -> (Operator, &str, bool) {
    let (behind, empty_counts) = match text.strip_prefix(':') {
        Some(behind) => (behind, false),
        None => (text, true),
    };
    for (sign, operator) in [('-', Operator::Default), ('?', Operator::Required), ('+', Operator::Alternative)] {
        if let Some(word) = behind.strip_prefix(sign) {
            return (operator, word, empty_counts);
        }
    }
    (Operator::Plain, text, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str, notes: usize) {
        let known = [("SET", "s"), ("EMPTY", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut interpolation = Interpolation { known: known.into(), ..Interpolation::default() };
        assert_eq!(interpolation.resolve(text, "N"), expected, "{text}");
        assert_eq!(interpolation.notes.len(), notes, "{text}: {:?}", interpolation.notes);
    }

    #[test]
    fn unset_variables_take_their_defaults() {
        check("a$$b${X:-1}c${Y}d$Z.e$", "a$b1cd.e$", 3);
        check("${A:-${B:-1}}", "1", 2);
        check("${A-${SET}x}}", "sx}", 1);
        check("${A:-a}${A:-a}", "aa", 1);
        check("$1 ${", "$1 ${", 0);
    }

    #[test]
    fn what_follows_a_question_mark_is_no_default() {
        check("${A:?set it - see README}", "", 1);
        check("${SOCK:?no-path}", "", 1);
        check("${SET:?no-path}${SET?x}", "ss", 0);
        check("${EMPTY:?x}", "", 1);
        check("${EMPTY?x}", "", 0);
    }

    #[test]
    fn an_alternative_takes_the_place_of_a_value() {
        check("${A:+1}", "", 1);
        check("${SET:+1}${SET+${SET}2}", "1s2", 0);
        check("${EMPTY:+1}", "", 1);
        check("${EMPTY+1}", "1", 0);
    }

    #[test]
    fn known_variables_are_used_and_others_are_left() {
        check("$SET ${SET} ${EMPTY:-d} ${EMPTY-d}", "s s d ", 1);
        check("${1}${A!b}", "${1}${A!b}", 2);
        let deep = format!("{}x{}", "${A:-".repeat(40), "}".repeat(40));
        let mut interpolation = Interpolation::default();
        assert!(interpolation.resolve(&deep, "N").starts_with("${A:-"));
    }
}
