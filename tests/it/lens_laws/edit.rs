//! Random edits of what a client was shown.

use dockveil::schema::{Field, JsonType};
use serde_json::{Map, Value, json};

use crate::support::built_in::catalogue;

/// Numbers that are the same in every run.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap() % limit
    }
}

/// An edited view.
pub(super) struct Edited {
    pub(super) text: String,
    /// The same as a value; `None` if it has a key twice.
    pub(super) value: Option<Value>,
    /// Whether nothing was removed or reordered, nothing was changed in a list, and no text with a mask in it.
    pub(super) is_undoable: bool,
}

/// Changes one to three things.
pub(super) fn edited(random: &mut Random, schema: &str, part: &[&str], shown: &Value) -> Edited {
    let (mut value, mut is_undoable) = (shown.clone(), true);
    let mut twice = None;
    for _ in 0..=random.below(3) {
        let root = field_of(schema, part);
        let mut places = Vec::new();
        collect(root, &value, &mut Vec::new(), false, &mut places);
        let place = places.swap_remove(random.below(places.len()));
        let at = place.pointer.iter().fold(&mut value, |at, step| match step {
            Step::Member(name) => &mut at[name],
            Step::Element(index) => &mut at[*index],
        });
        is_undoable &= change(random, at, &place, &mut twice);
    }
    match twice.filter(|name: &String| value.get(name).is_some()) {
        Some(name) => {
            let mut text = value.to_string();
            text.truncate(text.len() - 1);
            Edited { text: format!("{text},{}:null}}", json!(name)), value: None, is_undoable: false }
        }
        None => Edited { text: value.to_string(), value: Some(value), is_undoable },
    }
}

#[derive(Clone)]
enum Step {
    Member(String),
    Element(usize),
}

/// A value in a view.
struct Place {
    pointer: Vec<Step>,
    field: Option<&'static Field>,
    is_in_list: bool,
}

/// The field at a part of the documents of a schema.
fn field_of(schema: &str, part: &[&str]) -> Option<&'static Field> {
    let root = catalogue().schema(schema).unwrap().root();
    part.iter().try_fold(nested(root), |field, name| field.members.get(*name).map(nested))
}

fn nested(mut field: &'static Field) -> &'static Field {
    while let Some(name) = field.nested.as_deref() {
        field = catalogue().schema(name).unwrap().root();
    }
    field
}

fn collect(
    field: Option<&'static Field>,
    value: &Value,
    pointer: &mut Vec<Step>,
    is_in_list: bool,
    found: &mut Vec<Place>,
) {
    let field = field.map(nested);
    found.push(Place { pointer: pointer.clone(), field, is_in_list });
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let below = field.and_then(|field| field.members.get(name).or(field.any_member.as_deref()));
                pointer.push(Step::Member(name.clone()));
                collect(below, value, pointer, is_in_list, found);
                pointer.pop();
            }
        }
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                pointer.push(Step::Element(index));
                collect(field.and_then(|field| field.elements.as_deref()), value, pointer, true, found);
                pointer.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Changes a value. Returns whether the change can be undone. `twice` takes the name of a member that is written twice.
fn change(random: &mut Random, value: &mut Value, place: &Place, twice: &mut Option<String>) -> bool {
    let number = random.below(1_000);
    match value {
        Value::Object(members) => change_object(random, members, place, twice),
        Value::Array(elements) => {
            match random.below(5) {
                0 => elements.reverse(),
                1 if !elements.is_empty() => drop(elements.remove(random.below(elements.len()))),
                2 if !elements.is_empty() => elements.push(elements[random.below(elements.len())].clone()),
                3 => elements.clear(),
                _ => {
                    let new = place.field.and_then(|field| field.elements.as_deref());
                    elements
                        .insert(random.below(elements.len() + 1), new.map_or(json!("new"), |new| sample(new, number)));
                    return !place.is_in_list;
                }
            }
            false
        }
        Value::String(text) => {
            let has_mask = text.contains("[redacted]");
            match random.below(6) {
                0 => *value = Value::Null,
                1 => text.push_str("[redacted]"),
                2 => *value = json!(number),
                3 => text.clear(),
                4 => *text = format!("password=edited-{number}"),
                _ => *text = format!("edited-{number}"),
            }
            !has_mask && !place.is_in_list && value.is_string()
        }
        Value::Number(_) => {
            *value = if random.below(4) == 0 { json!(0) } else { json!(number) };
            !place.is_in_list
        }
        Value::Bool(flag) => {
            *flag = !*flag;
            !place.is_in_list
        }
        Value::Null => {
            *value = json!(format!("edited-{number}"));
            false
        }
    }
}

fn change_object(
    random: &mut Random,
    members: &mut Map<String, Value>,
    place: &Place,
    twice: &mut Option<String>,
) -> bool {
    let number = random.below(1_000);
    let name = members.keys().nth(random.below(members.len().max(1))).cloned();
    match (random.below(7), name) {
        (0, Some(name)) => {
            members.remove(&name);
            false
        }
        (1, Some(name)) => {
            members.insert(name, Value::Null);
            false
        }
        (2, Some(name)) if place.pointer.is_empty() => {
            *twice = Some(name);
            false
        }
        (3, Some(name)) => {
            let other: String = name
                .chars()
                .map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
                .collect();
            members.insert(other, json!(number));
            false
        }
        // A member that the schema has and the view may not have: often a hidden one.
        (4 | 5, _) => {
            let known = place.field.map(|field| &field.members).filter(|known| !known.is_empty());
            let Some((name, field)) = known.and_then(|known| known.iter().nth(random.below(known.len()))) else {
                members.insert(format!("new.{number}"), json!(format!("edited-{number}")));
                return !place.is_in_list;
            };
            let is_new = !members.contains_key(name);
            members.insert(name.clone(), sample(field, number));
            is_new && !place.is_in_list
        }
        _ => {
            members.insert(format!("Unknown{number}"), json!([{"a": number}]));
            !place.is_in_list
        }
    }
}

/// A value of a field.
fn sample(field: &'static Field, number: usize) -> Value {
    let field = nested(field);
    if let Some(elements) = field.elements.as_deref() {
        return json!([sample(elements, number)]);
    }
    if !field.members.is_empty() {
        let of_member = |(name, member)| (String::clone(name), sample(member, number));
        return field.members.iter().take(3).map(of_member).collect::<Map<String, Value>>().into();
    }
    if field.any_member.is_some() {
        return json!({ format!("key.{number}"): format!("edited-{number}") });
    }
    let has = |one| field.types.contains(one);
    match () {
        () if has(JsonType::String) => json!(format!("edited-{number}")),
        () if has(JsonType::Number) => json!(number + 1),
        () if has(JsonType::Boolean) => json!(true),
        () => json!(format!("edited-{number}")),
    }
}

/// A view without the members that are empty, as a client sends it that is written in Go. Entries of maps stay.
pub(super) fn without_empty(schema: &str, part: &[&str], value: &Value) -> Value {
    without_empty_members(field_of(schema, part), value)
}

fn without_empty_members(field: Option<&'static Field>, value: &Value) -> Value {
    let field = field.map(nested);
    match value {
        Value::Object(members) => {
            let is_map = field.is_some_and(|field| field.any_member.is_some() || field.key_class.is_some());
            let kept = members.iter().filter_map(|(name, value)| {
                let below = field.and_then(|field| field.members.get(name).or(field.any_member.as_deref()));
                let is_entry = is_map && field.is_some_and(|field| !field.members.contains_key(name));
                let value = without_empty_members(below, value);
                (is_entry || !is_empty(&value)).then(|| (name.clone(), value))
            });
            kept.collect::<Map<String, Value>>().into()
        }
        Value::Array(elements) => {
            let elements = elements
                .iter()
                .map(|one| without_empty_members(field.and_then(|field| field.elements.as_deref()), one));
            elements.collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
    }
}
