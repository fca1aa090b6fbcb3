//! The ways in which a hidden value can differ.

use serde_json::{Value, json};

use super::lens::{Location, Step};

/// A way in which a hidden value can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mutation {
    SameLength,
    Longer,
    Empty,
    Null,
    Text,
    Number,
    Boolean,
    Array,
    Object,
    OneMore,
    TenMore,
    Absent,
}

pub(crate) const MUTATIONS: [Mutation; 12] = [
    Mutation::SameLength,
    Mutation::Longer,
    Mutation::Empty,
    Mutation::Null,
    Mutation::Text,
    Mutation::Number,
    Mutation::Boolean,
    Mutation::Array,
    Mutation::Object,
    Mutation::OneMore,
    Mutation::TenMore,
    Mutation::Absent,
];

/// A name that no profile lists, no schema has and no engine writes.
const UNLISTED: &str = "interference-unlisted";

impl Mutation {
    /// Whether a location can be changed in this way.
    pub(crate) fn applies(self, location: &Location) -> bool {
        match self {
            Self::OneMore | Self::TenMore => true,
            Self::Absent => location.may_be_absent && !location.is_shown,
            Self::SameLength
            | Self::Longer
            | Self::Empty
            | Self::Null
            | Self::Text
            | Self::Number
            | Self::Boolean
            | Self::Array
            | Self::Object => !location.is_shown,
        }
    }

    /// `document` with these locations changed.
    pub(crate) fn changed(self, document: &Value, locations: &[&Location]) -> Value {
        let mut changed = document.clone();
        // From the end, so that what is inside is changed before what is around it, and later elements before earlier ones.
        for location in locations.iter().rev() {
            self.change(&mut changed, &location.steps);
        }
        changed
    }

    /// Changes the value that `steps` lead to.
    fn change(self, document: &mut Value, steps: &[Step]) {
        let Some((last, parents)) = steps.split_last() else {
            if let Some(value) = self.of(document) {
                *document = value;
            }
            return;
        };
        let parent = parents.iter().try_fold(document, |value, step| match (step, value) {
            (Step::Member(name), Value::Object(members)) => members.get_mut(name),
            (Step::Element(index), Value::Array(elements)) => elements.get_mut(*index),
            (Step::Member(_) | Step::Element(_), _) => None,
        });
        match (last, parent) {
            (Step::Member(name), Some(Value::Object(members))) => {
                match members.get(name).and_then(|value| self.of(value)) {
                    Some(value) => drop(members.insert(name.clone(), value)),
                    None => drop(members.remove(name)),
                }
            }
            (Step::Element(index), Some(Value::Array(elements))) => {
                match elements.get(*index).and_then(|value| self.of(value)) {
                    Some(value) => elements[*index] = value,
                    None => drop(elements.remove(*index)),
                }
            }
            (Step::Member(_) | Step::Element(_), _) => {}
        }
    }

    /// What takes the place of a value; `None` if nothing does.
    fn of(self, value: &Value) -> Option<Value> {
        Some(match self {
            Self::SameLength => of_same_length(value),
            Self::Longer => longer(value),
            Self::Empty => match value {
                Value::String(_) => json!(""),
                Value::Number(_) => json!(0),
                Value::Bool(_) => json!(false),
                Value::Array(_) => json!([]),
                Value::Object(_) => json!({}),
                Value::Null => Value::Null,
            },
            Self::Null => Value::Null,
            Self::Text => json!("text"),
            Self::Number => json!(-1.5),
            Self::Boolean => json!(true),
            Self::Array => json!(["text", {"a": [1]}, null]),
            Self::Object => json!({"a": {"b": [1]}, UNLISTED: "text"}),
            Self::OneMore => with_more(value, 1),
            Self::TenMore => with_more(value, 10),
            Self::Absent => return None,
        })
    }
}

fn of_same_length(value: &Value) -> Value {
    match value {
        Value::String(text) => json!("~".repeat(text.chars().count())),
        Value::Number(_) => json!(7),
        Value::Bool(value) => json!(!value),
        Value::Null | Value::Array(_) | Value::Object(_) => value.clone(),
    }
}

fn longer(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(format!("{text}{}", "x".repeat(3_000))),
        Value::Number(_) => json!(1_234_567_890_123_u64),
        Value::Bool(_) | Value::Null => json!("x".repeat(3_000)),
        Value::Array(_) | Value::Object(_) => with_more(value, 40),
    }
}

/// `value` with `count` more members or elements, like those it has.
fn with_more(value: &Value, count: usize) -> Value {
    let mut value = value.clone();
    match &mut value {
        Value::Object(members) => {
            let sample = members.values().next().cloned().unwrap_or_else(|| json!("more"));
            members.extend((0..count).map(|number| (format!("{UNLISTED}-{number}"), sample.clone())));
        }
        Value::Array(elements) => {
            // A text may be listed by its name, so a text that is added has a name of its own.
            let sample = elements.iter().find(|element| !element.is_string()).cloned();
            let more = |number| sample.clone().unwrap_or_else(|| json!(format!("{UNLISTED}-{number}=more")));
            elements.extend((0..count).map(more));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    value
}
