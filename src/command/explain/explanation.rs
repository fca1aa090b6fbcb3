//! What `explain` has to say, as text and as JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::command::json::{location, shown};
use crate::command::layout::one_line;
use crate::filter::Explained;
use crate::schema::{Class, NameList};
use crate::yaml::Location;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decided {
    /// It is answered with an error of this status.
    Refused(u16),
    /// Its answer passes untouched.
    Relayed,
    /// Its answer is filtered.
    Filtered,
}

/// All that is said of a request.
#[derive(Debug, Default)]
pub(super) struct Explanation {
    statements: Vec<Statement>,
    decided: Option<(Decided, Cow<'static, str>)>,
    shown: Vec<ShownDocument>,
}

/// A line with a label, and lines below it.
#[derive(Debug)]
struct Statement {
    label: &'static str,
    text: Cow<'static, str>,
    details: Vec<Cow<'static, str>>,
}

/// What is shown of a document.
#[derive(Debug, Default)]
pub(super) struct ShownDocument {
    /// What it is, if it is not the answer.
    pub(super) title: Option<String>,
    /// The classes of its fields.
    pub(super) classes: Vec<(Class, bool, Option<Location>)>,
    /// Whether fields are shown that nobody has classified.
    pub(super) unknown: (bool, Option<Location>),
    /// Whether credentials are masked.
    pub(super) mask: (bool, Option<Location>),
    /// The entries of allow-lists.
    pub(super) names: Vec<(NameList, Vec<NamedEntry>)>,
    /// Its fields.
    pub(super) fields: Vec<Explained>,
}

/// An entry of an allow-list.
#[derive(Debug)]
pub(super) struct NamedEntry {
    /// The name, or a pattern.
    pub(super) name: String,
    /// `shown`, `hidden` or `name only`.
    pub(super) what: &'static str,
    /// The line.
    pub(super) location: Location,
}

impl Explanation {
    /// Says something under a label, which has at most nine letters.
    pub(super) fn say(&mut self, label: &'static str, text: impl Into<Cow<'static, str>>) {
        self.statements.push(Statement { label, text: text.into(), details: Vec::new() });
    }

    /// Adds a line below what was said last.
    pub(super) fn detail(&mut self, text: impl Into<Cow<'static, str>>) {
        if let Some(last) = self.statements.last_mut() {
            last.details.push(text.into());
        }
    }

    /// Says what happens to the request. `text` is the answer, or how it is filtered, and may be empty.
    pub(super) fn decide(&mut self, decided: Decided, text: impl Into<Cow<'static, str>>) {
        let text = text.into();
        self.say("decision", decided.with(&text));
        self.decided = Some((decided, text));
    }

    /// Adds what is shown of a document.
    pub(super) fn show(&mut self, document: ShownDocument) {
        self.shown.push(document);
    }

    /// As a JSON document.
    pub(super) fn to_json(&self) -> Value {
        let statements = self
            .statements
            .iter()
            .map(|statement| json!({ "about": statement.label, "text": statement.text, "details": statement.details }));
        let statements: Vec<Value> = statements.collect();
        let documents: Vec<Value> = self.shown.iter().map(ShownDocument::to_json).collect();
        let decision = self.decided.as_ref().map(|(decided, text)| {
            let (action, status) = match decided {
                Decided::Refused(status) => ("refuse", Some(*status)),
                Decided::Relayed => ("relay", None),
                Decided::Filtered => ("filter", None),
            };
            json!({ "action": action, "status": status, "text": text })
        });
        json!({ "decision": decision, "statements": statements, "documents": documents })
    }
}

impl Decided {
    /// As in the text.
    fn with(self, text: &str) -> String {
        let word = match self {
            Self::Refused(status) => status.to_string(),
            Self::Relayed => "relay".to_owned(),
            Self::Filtered => "filter".to_owned(),
        };
        if text.is_empty() { word } else { format!("{word}: {text}") }
    }
}

/// The lines, with the fields grouped by the top-level member that they are in.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Statement { label, text, details } in &self.statements {
            line(f, format_args!("{label:9} {text}"))?;
            for detail in details {
                line(f, format_args!("          {detail}"))?;
            }
        }
        self.shown.iter().try_for_each(|document| document.fmt(f))
    }
}

impl ShownDocument {
    fn to_json(&self) -> Value {
        let classes = self.classes.iter().map(|(class, is_shown, by)| {
            json!({ "class": class.as_str(), "shown": is_shown, "by": by.as_ref().map(location) })
        });
        let names = self.names.iter().flat_map(|(list, names)| {
            names.iter().map(|NamedEntry { name, what, location: by }| {
                json!({ "list": list.key(), "name": name, "treatment": what, "by": location(by) })
            })
        });
        let fields = self.fields.iter().map(|field| {
            json!({
                "path": field.path, "class": field.class.map(Class::as_str), "treatment": field.treatment.to_string(),
                "by": field.location.as_ref().map(location),
            })
        });
        json!({
            "title": self.title,
            "classes": classes.collect::<Vec<_>>(),
            "unknown": shown(&self.unknown),
            "masked": json!({ "masked": self.mask.0, "by": self.mask.1.as_ref().map(location) }),
            "names": names.collect::<Vec<_>>(),
            "fields": fields.collect::<Vec<_>>(),
        })
    }

    fn write_names(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (list, names) in &self.names {
            writeln!(f, "\n{list} by name")?;
            // The sign of an exclusion, or of a name alone, counts.
            let length = |entry: &NamedEntry| entry.name.len() + usize::from(entry.what != "shown");
            let width = names.iter().map(length).max().unwrap_or(0).min(50);
            for NamedEntry { name, what, location } in names {
                line(f, format_args!("  {name:width$}  {what:6}  by {location}"))?;
            }
        }
        Ok(())
    }

    fn write_fields(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: BTreeMap<&str, Vec<&Explained>> = BTreeMap::new();
        for field in &self.fields {
            groups.entry(group(&field.path)).or_default().push(field);
        }
        for (group, fields) in groups {
            writeln!(f)?;
            line(f, format_args!("{group}"))?;
            let width = fields.iter().map(|field| field.path.len()).max().unwrap_or(0).min(60);
            for field in fields {
                let class = field.class.map_or("rule", |class| class.as_str());
                let by = field.location.as_ref().map(|location| format!("  ({location})")).unwrap_or_default();
                line(f, format_args!("  {:width$}  {class:9}  {}{by}", field.path, field.treatment))?;
            }
        }
        Ok(())
    }
}

/// What decides about classes and entries by name, and then the fields.
impl fmt::Display for ShownDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(title) = &self.title {
            writeln!(f, "\n{title}:")?;
            if !self.unknown.0 {
                writeln!(f, "  fields that nobody has classified are hidden")?;
            }
        }
        writeln!(f, "\nclasses")?;
        let word = |is_shown: bool| if is_shown { "shown" } else { "hidden" };
        for (class, is_shown, by) in &self.classes {
            match by {
                Some(location) => {
                    line(f, format_args!("  {:9}  {:6}  by {location}", class.as_str(), word(*is_shown)))?;
                }
                None => writeln!(f, "  {:9}  {}", class.as_str(), word(*is_shown))?,
            }
        }
        let default =
            |line: &Option<Location>| line.as_ref().map_or("by default".to_owned(), |line| format!("by {line}"));
        line(f, format_args!("  {:9}  {:6}  {}", "unknown", word(self.unknown.0), default(&self.unknown.1)))?;
        let masked = if self.mask.0 { "masked in shown labels, command lines and free text" } else { "not masked" };
        line(f, format_args!("  credentials are {masked}, {}", default(&self.mask.1)))?;
        self.write_names(f)?;
        self.write_fields(f)
    }
}

/// Writes one line, whatever is in it.
fn line(f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "{}", one_line(&text.to_string()))
}

/// The first step of a path.
fn group(path: &str) -> &str {
    let behind = path.strip_prefix('$').unwrap_or(path);
    let start = path.len() - behind.len();
    let end = behind.char_indices().skip(1).find(|(_, c)| matches!(c, '.' | '[')).map_or(behind.len(), |(at, _)| at);
    path.get(..start + end).unwrap_or(path)
}
