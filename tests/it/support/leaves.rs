//! A document taken apart by the catalogue: every value and every key that is data, each with the field it is.

use dockveil::schema::{Catalogue, Class, Field};
use serde_json::Value;

/// One value, or one key of a map, of a document.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// The schema that has the field: the innermost one.
    pub(crate) schema: String,
    /// The field as class files write it; of an unknown one, the way to it.
    pub(crate) path: String,
    /// Its class; `None` if no class file knows it.
    pub(crate) class: Option<Class>,
    /// What is there.
    pub(crate) value: Value,
}

impl Leaf {
    /// `Schema $.path`.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.schema, self.path)
    }
}

/// The leaves of a document of `schema`. Nulls and empty containers have none.
pub(crate) fn leaves(catalogue: &Catalogue, schema: &str, document: &Value) -> Vec<Leaf> {
    let mut walk = Walk { catalogue, found: Vec::new() };
    let root = catalogue.schema(schema).unwrap_or_else(|| panic!("no schema {schema}")).root();
    walk.field(root, schema, "$", document);
    walk.found
}

struct Walk<'c> {
    catalogue: &'c Catalogue,
    found: Vec<Leaf>,
}

impl Walk<'_> {
    fn push(&mut self, schema: &str, path: String, class: Option<Class>, value: &Value) {
        self.found.push(Leaf { schema: schema.to_owned(), path, class, value: value.clone() });
    }

    fn field(&mut self, field: &Field, schema: &str, path: &str, value: &Value) {
        if let Some(nested) = &field.nested {
            let root = self.catalogue.schema(nested).unwrap().root();
            return self.field(root, nested, "$", value);
        }
        if let Some((class, _)) = &field.opaque {
            return self.whole(schema, &format!("{path}..*"), Some(*class), value);
        }
        match value {
            Value::Null => {}
            Value::Object(members) if members.is_empty() => {}
            Value::Array(elements) if elements.is_empty() => {}
            Value::Object(members) => {
                for (name, below) in members {
                    let member = format!("{path}{}", step(name));
                    match (field.members.get(name), &field.any_member) {
                        (Some(known), _) => self.field(known, schema, &member, below),
                        (None, Some(any)) => {
                            let class = field.key_class.as_ref().map(|(class, _)| *class);
                            self.push(schema, format!("{path}.*~"), class, &Value::from(name.as_str()));
                            self.field(any, schema, &format!("{path}.*"), below);
                        }
                        (None, None) => self.whole(schema, &member, None, below),
                    }
                }
            }
            Value::Array(elements) => {
                for element in elements {
                    match &field.elements {
                        Some(known) => self.field(known, schema, &format!("{path}[*]"), element),
                        None => self.whole(schema, &format!("{path}[*]"), None, element),
                    }
                }
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) => {
                let class = field.class.as_ref().map(|(class, _)| *class);
                self.push(schema, path.to_owned(), class, value);
            }
        }
    }

    /// A value of which all that is in it is one field; of an unknown one, also when nothing is in it.
    fn whole(&mut self, schema: &str, path: &str, class: Option<Class>, value: &Value) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (name, below) in members {
                    self.push(schema, path.to_owned(), class, &Value::from(name.as_str()));
                    self.whole(schema, path, class, below);
                }
            }
            Value::Array(elements) if !elements.is_empty() => {
                elements.iter().for_each(|element| self.whole(schema, path, class, element));
            }
            Value::Null | Value::Object(_) | Value::Array(_) if class.is_some() => {}
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                self.push(schema, path.to_owned(), class, value)
            }
        }
    }
}

/// A step to a member, as class files write it.
fn step(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { format!(".{name}") } else { format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'")) }
}
