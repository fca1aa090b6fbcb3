//! What the lens knows of the documents: which objects are maps, how members are spelled, what identifies elements.

use std::collections::{BTreeMap, BTreeSet};

use crate::filter::plan::{Explained, fold};
use crate::schema::{Catalogue, ElementKey, Field, FieldPath, Step};

/// What may stand at a place of a document. A place that no schema knows has no members, no entries and no elements.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// The members with a fixed name.
    members: BTreeMap<String, Shape>,
    /// The values of a map.
    entries: Option<Box<Shape>>,
    /// The elements of an array.
    elements: Option<Box<Shape>>,
    /// Whether two of the members differ only in the case of their names.
    pub(super) has_aliases: bool,
    /// Whether the elements are texts `name=value`, each name once.
    pub(super) is_named: bool,
    /// The members that say which element an object in the array is, each as the names on the way to it.
    pub(super) key: Vec<Vec<&'static str>>,
    /// Whether the plan can hide any of these.
    pub(super) hides_key: bool,
    /// Whether the plan hides or alters any known field in the elements.
    pub(super) hides_in_elements: bool,
    /// Whether the plan hides or alters any known field in the members.
    pub(super) hides_in_members: bool,
    /// Whether an edit may set what is hidden here and below.
    pub(super) may_set: bool,
}

/// The shape of what no schema knows.
static UNKNOWN: Shape = Shape::unknown(false);
/// The same, where an edit may set what is hidden.
static UNKNOWN_AND_SETTABLE: Shape = Shape::unknown(true);

impl Shape {
    const fn unknown(may_set: bool) -> Self {
        Self {
            members: BTreeMap::new(),
            entries: None,
            elements: None,
            has_aliases: false,
            is_named: false,
            key: Vec::new(),
            hides_key: false,
            hides_in_elements: true,
            hides_in_members: true,
            may_set,
        }
    }

    /// The shape of the part at `part` of the documents of a schema, for a plan of which `explained` says what it does.
    /// `None` if the schema has no such part.
    pub(super) fn of(
        catalogue: &Catalogue,
        schema: &str,
        part: &[&str],
        explained: &[Explained],
        keys: &[ElementKey],
    ) -> Option<Self> {
        let schema = catalogue.schema(schema)?;
        let root = "$".to_owned();
        let mut place =
            SchemaPlace { catalogue, keys, explained, schema: schema.name(), path: root.clone(), whole_path: root };
        let mut field = schema.root();
        for name in part {
            field = place.enter(field);
            place = place.below(&Step::Member((*name).to_owned()));
            field = field.members.get(*name)?;
        }
        Some(place.shape(field))
    }

    /// Lets edits set what is hidden at a path and below it. Returns `false` if there is no such place.
    pub(super) fn let_set(&mut self, path: &FieldPath) -> bool {
        let mut at = self;
        for step in &path.steps {
            let next = match step {
                Step::Member(name) => at.members.get_mut(name),
                Step::AnyMember => at.entries.as_deref_mut(),
                Step::Elements => at.elements.as_deref_mut(),
            };
            match next {
                Some(next) => at = next,
                None => return false,
            }
        }
        at.let_set_all();
        true
    }

    fn let_set_all(&mut self) {
        self.may_set = true;
        let below = self.members.values_mut().chain(self.entries.as_deref_mut()).chain(self.elements.as_deref_mut());
        below.for_each(Self::let_set_all);
    }

    /// The member that a schema has by this name.
    pub(super) fn named(&self, name: &str) -> Option<&Self> {
        self.members.get(name)
    }

    /// The names of the members that a schema has.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// Whether its members are entries of a map, whose keys are data.
    pub(super) fn is_map(&self) -> bool {
        self.entries.is_some()
    }

    /// Whether it is an array.
    pub(super) fn is_array(&self) -> bool {
        self.elements.is_some()
    }

    /// The shape of a member, and whether it is an entry of a map.
    pub(super) fn member(&self, name: &str) -> (&Self, bool) {
        match (self.members.get(name), self.entries.as_deref()) {
            (Some(member), _) => (member, false),
            (None, Some(entry)) => (entry, true),
            (None, None) => (self.below_unknown(), false),
        }
    }

    /// The shape of an element.
    pub(super) fn element(&self) -> &Self {
        self.elements.as_deref().unwrap_or_else(|| self.below_unknown())
    }

    fn below_unknown(&self) -> &'static Self {
        if self.may_set { &UNKNOWN_AND_SETTABLE } else { &UNKNOWN }
    }
}

/// A place in a schema.
#[derive(Clone)]
struct SchemaPlace<'c> {
    catalogue: &'c Catalogue,
    keys: &'c [ElementKey],
    explained: &'c [Explained],
    /// The innermost schema, and the path in it.
    schema: &'c str,
    path: String,
    /// The path from the root of the document.
    whole_path: String,
}

impl<'c> SchemaPlace<'c> {
    /// The field itself, or the root of the schema that nests there, where the path begins anew.
    fn enter(&mut self, mut field: &'c Field) -> &'c Field {
        while let Some(schema) = field.nested.as_deref().and_then(|name| self.catalogue.schema(name)) {
            (self.schema, self.path, field) = (schema.name(), "$".to_owned(), schema.root());
        }
        field
    }

    fn below(&self, step: &Step) -> Self {
        let (path, whole_path) = (format!("{}{step}", self.path), format!("{}{step}", self.whole_path));
        Self { path, whole_path, ..self.clone() }
    }

    /// Whether anything that is known below this path is not shown as it is. What a rule hides may depend on the document.
    fn hides_below(&self, path: &str) -> bool {
        let is_hiding = |line: &Explained| match line.class {
            Some(_) => line.path.starts_with(path) && !line.treatment.is_whole(),
            None => !line.treatment.is_whole(),
        };
        self.explained.iter().any(is_hiding)
    }

    fn shape(mut self, field: &'c Field) -> Shape {
        let outside = self.clone();
        let field = self.enter(field);
        let below = |start: &str| self.hides_below(&format!("{}{start}", self.whole_path));
        let hides_in_elements = field.elements.is_some() && below("[*]");
        let hides_in_members = !field.members.is_empty() && below(".");
        let mut shape = Shape { hides_in_elements, hides_in_members, ..Shape::default() };
        for (step, child) in field.children() {
            let of_child = self.below(&step).shape(child);
            match step {
                Step::Member(name) => {
                    shape.members.insert(name, of_child);
                }
                Step::AnyMember => shape.entries = Some(Box::new(of_child)),
                Step::Elements => shape.elements = Some(Box::new(of_child)),
            }
        }
        if field.key_class.is_some() && shape.entries.is_none() {
            shape.entries = Some(Box::default());
        }
        let folded: BTreeSet<String> = shape.names().map(fold).collect();
        shape.has_aliases = !shape.is_map() && folded.len() < shape.members.len();
        shape.is_named = field.list.is_some() && field.elements.as_deref().is_some_and(|one| one.any_member.is_none());
        let is_here = |key: &&ElementKey| key.schema == outside.schema && key.path == outside.path;
        let key = self.keys.iter().find(is_here).map_or(&[][..], |key| key.members);
        shape.hides_key = key.iter().any(|member| below(&format!("[*].{member}")));
        shape.key = key.iter().map(|member| member.split('.').collect()).collect();
        shape
    }
}
