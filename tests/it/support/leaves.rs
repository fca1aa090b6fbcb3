//! Takes a document apart: every value and every key that is data, with the field of the catalogue it belongs to.

use dockveil::schema::{Catalogue, Class, Field};
use serde_json::Value;

/// One value, or one key of a map, of a document.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// The innermost schema that has the field.
    pub(crate) schema: String,
    /// The path of the field in that schema, as class files write it.
    pub(crate) path: String,
    /// The path from the root of the document, through all schemas around it.
    pub(crate) from_root: String,
    /// Its class; `None` if no class file has the field.
    pub(crate) class: Option<Class>,
    /// The value, or the key.
    pub(crate) value: Value,
}

impl Leaf {
    /// `Schema $.path`.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.schema, self.path)
    }
}

/// The leaves of a document of `schema`. A null and an empty object or array have none.
pub(crate) fn leaves(catalogue: &Catalogue, schema: &str, document: &Value) -> Vec<Leaf> {
    let mut walk = Walk { catalogue, found: Vec::new() };
    let root = catalogue.schema(schema).unwrap_or_else(|| panic!("no schema {schema}")).root();
    walk.field(
        root,
        &Position { schema: schema.to_owned(), path: "$".to_owned(), from_root: "$".to_owned() },
        document,
    );
    walk.found
}

/// Where in a document the walk is.
struct Position {
    schema: String,
    path: String,
    from_root: String,
}

impl Position {
    /// The position one step further.
    fn then(&self, step: &str) -> Self {
        let below = |path: &str| format!("{path}{step}");
        Self { schema: self.schema.clone(), path: below(&self.path), from_root: below(&self.from_root) }
    }
}

struct Walk<'c> {
    catalogue: &'c Catalogue,
    found: Vec<Leaf>,
}

impl Walk<'_> {
    fn push(&mut self, at: Position, class: Option<Class>, value: &Value) {
        let Position { schema, path, from_root } = at;
        self.found.push(Leaf { schema, path, from_root, class, value: value.clone() });
    }

    fn field(&mut self, field: &Field, at: &Position, value: &Value) {
        if let Some(nested) = &field.nested {
            let root = self.catalogue.schema(nested).unwrap().root();
            let at = Position { schema: nested.clone(), path: "$".to_owned(), from_root: at.from_root.clone() };
            return self.field(root, &at, value);
        }
        if let Some((class, _)) = &field.opaque {
            return self.whole(&at.then("..*"), Some(*class), value);
        }
        match value {
            Value::Null => {}
            Value::Object(members) if members.is_empty() => {}
            Value::Array(elements) if elements.is_empty() => {}
            Value::Object(members) => {
                for (name, below) in members {
                    match (field.members.get(name), &field.any_member) {
                        (Some(known), _) => self.field(known, &at.then(&step(name)), below),
                        (None, Some(any)) => {
                            let class = field.key_class.as_ref().map(|(class, _)| *class);
                            self.push(at.then(".*~"), class, &Value::from(name.as_str()));
                            self.field(any, &at.then(".*"), below);
                        }
                        (None, None) => self.whole(&at.then(&step(name)), None, below),
                    }
                }
            }
            Value::Array(elements) => {
                for element in elements {
                    match &field.elements {
                        Some(known) => self.field(known, &at.then("[*]"), element),
                        None => self.whole(&at.then("[*]"), None, element),
                    }
                }
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) => {
                self.push(at.then(""), field.class.as_ref().map(|(class, _)| *class), value);
            }
        }
    }

    /// A value that is one field with all that is in it. One that no class file has counts even if it is empty.
    fn whole(&mut self, at: &Position, class: Option<Class>, value: &Value) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (name, below) in members {
                    self.push(at.then(""), class, &Value::from(name.as_str()));
                    self.whole(at, class, below);
                }
            }
            Value::Array(elements) if !elements.is_empty() => {
                elements.iter().for_each(|element| self.whole(at, class, element));
            }
            Value::Null | Value::Object(_) | Value::Array(_) if class.is_some() => {}
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                self.push(at.then(""), class, value)
            }
        }
    }
}

/// A step to a member, as class files write it.
pub(crate) fn step(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { format!(".{name}") } else { format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'")) }
}
