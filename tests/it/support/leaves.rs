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
    /// The same from the document on, through all schemas around it.
    pub(crate) from_root: String,
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
    walk.field(root, &Way { schema: schema.to_owned(), path: "$".to_owned(), from_root: "$".to_owned() }, document);
    walk.found
}

/// Where the walk is.
struct Way {
    schema: String,
    path: String,
    from_root: String,
}

impl Way {
    /// One step further.
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
    fn push(&mut self, way: Way, class: Option<Class>, value: &Value) {
        let Way { schema, path, from_root } = way;
        self.found.push(Leaf { schema, path, from_root, class, value: value.clone() });
    }

    fn field(&mut self, field: &Field, way: &Way, value: &Value) {
        if let Some(nested) = &field.nested {
            let root = self.catalogue.schema(nested).unwrap().root();
            let way = Way { schema: nested.clone(), path: "$".to_owned(), from_root: way.from_root.clone() };
            return self.field(root, &way, value);
        }
        if let Some((class, _)) = &field.opaque {
            return self.whole(&way.then("..*"), Some(*class), value);
        }
        match value {
            Value::Null => {}
            Value::Object(members) if members.is_empty() => {}
            Value::Array(elements) if elements.is_empty() => {}
            Value::Object(members) => {
                for (name, below) in members {
                    match (field.members.get(name), &field.any_member) {
                        (Some(known), _) => self.field(known, &way.then(&step(name)), below),
                        (None, Some(any)) => {
                            let class = field.key_class.as_ref().map(|(class, _)| *class);
                            self.push(way.then(".*~"), class, &Value::from(name.as_str()));
                            self.field(any, &way.then(".*"), below);
                        }
                        (None, None) => self.whole(&way.then(&step(name)), None, below),
                    }
                }
            }
            Value::Array(elements) => {
                for element in elements {
                    match &field.elements {
                        Some(known) => self.field(known, &way.then("[*]"), element),
                        None => self.whole(&way.then("[*]"), None, element),
                    }
                }
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) => {
                self.push(way.then(""), field.class.as_ref().map(|(class, _)| *class), value);
            }
        }
    }

    /// A value of which all that is in it is one field; of an unknown one, also when nothing is in it.
    fn whole(&mut self, way: &Way, class: Option<Class>, value: &Value) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (name, below) in members {
                    self.push(way.then(""), class, &Value::from(name.as_str()));
                    self.whole(way, class, below);
                }
            }
            Value::Array(elements) if !elements.is_empty() => {
                elements.iter().for_each(|element| self.whole(way, class, element));
            }
            Value::Null | Value::Object(_) | Value::Array(_) if class.is_some() => {}
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                self.push(way.then(""), class, value)
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
