//! How a path must name an object whose id or name the profile hides.

use crate::api::Operation;
use crate::api::queries::{IdForm, PathName, ReadField};
use crate::schema::{Catalogue, Class};

use super::plans::Plans;

/// The check that a path names an object exactly.
///
/// Engines also find an object by the beginning of its id, and some by a name that is of a hidden class. The answers differ
/// if there is none, one or more, so a client could find what it does not see. The check asks the engine for the object and
/// compares.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The operation that returns the object.
    pub inspect: &'static Operation,
    /// Where the document of the object has its id: the names of members, the outer one first. Empty if it has none.
    pub id: Vec<String>,
    /// Where it has its names. Empty if a path may not contain them.
    pub names: Vec<Vec<String>>,
    /// What kind of names these are.
    pub kind: LookupKind,
    form: IdForm,
}

/// How names in paths are compared with those of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupKind {
    /// They are the same, but for a slash before that of the object. The request then names the object by its id.
    Name,
    /// They are references of an image: a name has a tag, if only `latest`, and may have a registry.
    Reference,
}

impl Lookup {
    /// The check for a name in a path, under a profile with these plans. `None` if none is needed.
    pub(super) fn of(name: &PathName, plans: &Plans, catalogue: &Catalogue) -> Option<Self> {
        let inspect = name.inspect?;
        let is_shown = |fields: &[ReadField]| fields.is_empty() || fields.iter().any(|field| plans.shows(field));
        if is_shown(&name.ids) && is_shown(&name.names) {
            return None;
        }
        let is_identity = |field: &ReadField| class(catalogue, field) == Some(Class::Identity);
        let may_name = is_shown(&name.names) || name.names.iter().all(is_identity);
        let of_inspect = |fields: &[ReadField]| -> Vec<Vec<String>> {
            fields.iter().filter(|field| Some(field.schema.as_str()) == inspect.schema()).map(members).collect()
        };
        let kind = if name.id == IdForm::Digest { LookupKind::Reference } else { LookupKind::Name };
        Some(Self {
            inspect,
            id: of_inspect(&name.ids).into_iter().next().unwrap_or_default(),
            names: if may_name { of_inspect(&name.names) } else { Vec::new() },
            kind,
            form: name.id,
        })
    }

    /// Whether a path may contain this text: a whole id, or a name if names may be in it.
    pub(super) fn may_be_named(&self, text: &str) -> bool {
        !self.names.is_empty() || self.form.matches(text)
    }

    /// Whether a text must be compared. A whole id need not be, unless it could be a name that may not be in the path.
    pub(super) fn is_needed(&self, text: &str) -> bool {
        self.names.is_empty() || !self.form.matches(text)
    }
}

/// The names of the members on the way to a field.
fn members(field: &ReadField) -> Vec<String> {
    field.path.split('.').skip(1).map(|step| step.trim_end_matches("[*]").to_owned()).collect()
}

/// The class of a field, also of a nested schema.
fn class(catalogue: &Catalogue, field: &ReadField) -> Option<Class> {
    let mut at = catalogue.schema(&field.schema)?.root();
    for step in field.path.split('.').skip(1) {
        while let Some(nested) = at.nested.as_deref() {
            at = catalogue.schema(nested)?.root();
        }
        let name = step.trim_end_matches("[*]");
        at = at.members.get(name)?;
        if step.ends_with("[*]") {
            at = at.elements.as_deref()?;
        }
    }
    at.class.as_ref().map(|(class, _)| *class)
}
