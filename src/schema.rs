//! What JSON documents contain, in general: schemas, how they nest, and the class of every field.
//!
//! A [`Catalogue`] is read from a file of schemas and from class files. A field has exactly one class. A schema that
//! occurs inside others is described once, so a field is treated alike wherever it occurs. Some schemas have documents
//! of several kinds; see [`Variants`]. Nothing here is about Docker: what Docker's documents contain is in `filters/`,
//! which the module `api` reads.

mod class;
mod element_key;
mod list;
mod on_demand;
mod packed;
mod path;
mod phrase;
mod types;
mod variant;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use class::{Class, ClassSet, UnknownClass};
pub use element_key::ElementKey;
pub use list::NameList;
use on_demand::OnDemand;
use packed::FieldUnpacker;
use path::Path;
pub(crate) use path::{Part, Step, write_member};
pub use path::{Path as FieldPath, PathError as FieldPathError};
pub use phrase::{Phrase, PhraseError, Phrases};
pub use types::{JsonType, Presence, TypeSet, UnknownType};
pub use variant::{Entries, ValueFormat, VariantKind, VariantWords, Variants};

use crate::quoting;
use crate::yaml::{self, Diagnostic, Diagnostics, Location, Node, Value};

/// Every schema, with the class of every field. No schema contains itself.
///
/// A schema of the program itself is unpacked when it is first asked for.
#[derive(Clone, Debug)]
pub struct Catalogue {
    schemas: BTreeMap<Cow<'static, str>, SchemaEntry>,
    /// How documents differ by kind, by the names of their schemas.
    variants: BTreeMap<Cow<'static, str>, OnDemand<Variants>>,
    /// The members that hold the entries of lists, by their names.
    lists: BTreeMap<String, NameList>,
    unpacker: Arc<FieldUnpacker>,
}

/// A schema of a catalogue, and what is known of it before it is unpacked.
#[derive(Clone, Debug)]
struct SchemaEntry {
    /// The names of the schemas that nest in its fields, each once.
    inner: Vec<Cow<'static, str>>,
    /// The number of its fields.
    size: usize,
    schema: OnDemand<Schema>,
}

impl SchemaEntry {
    fn read(schema: Schema, inner: Vec<Cow<'static, str>>) -> Self {
        Self { inner, size: schema.root.count(), schema: OnDemand::read(schema) }
    }
}

/// The files that a catalogue is read from, each as file name and text, but for the file of lists.
#[derive(Clone, Copy, Debug, Default)]
pub struct CatalogueFiles<'f> {
    /// The schemas and where they nest.
    pub schemas: (&'f str, &'f str),
    /// The class files.
    pub classes: &'f [(&'f str, &'f str)],
    /// What replaces hidden texts.
    pub blanks: Option<(&'f str, &'f str)>,
    /// The types of each field, and whether it is always written: a line each, in columns separated by tabs. The first three
    /// are schema, path and types; the sixth is `always` for a member that is written even if it is empty.
    pub fields: Option<(&'f str, &'f str)>,
    /// The members that hold entries of each list, parsed, and the lists themselves.
    pub lists: Option<(&'f Node, &'f [NameList])>,
    /// How the documents of one schema differ by kind.
    pub variants: Option<(&'f str, &'f str)>,
}

impl Catalogue {
    /// Reads a file of schemas and any number of class files, each given as file name and text.
    ///
    /// # Errors
    /// Every error in all the files, in the order of their locations.
    pub fn parse(schemas: (&str, &str), classes: &[(&str, &str)]) -> Result<Self, Diagnostics> {
        Self::parse_files(CatalogueFiles { schemas, classes, ..CatalogueFiles::default() })
    }

    /// Reads all files of a catalogue.
    ///
    /// # Errors
    /// Every error in all the files, in the order of their locations.
    pub fn parse_files(files: CatalogueFiles<'_>) -> Result<Self, Diagnostics> {
        let mut reader = CatalogueReader::default();
        reader.schemas_file(files.schemas);
        for (file, text) in files.classes {
            if let Some(document) = reader.diagnostics.ok(yaml::parse(file, text)) {
                reader.class_file(&document);
            }
        }
        if let Some(file) = files.blanks {
            reader.blanks_file(file);
        }
        if let Some((file, text)) = files.fields {
            reader.fields_file(file, text);
        }
        let lists = files.lists.and_then(|(document, lists)| reader.lists_file(document, lists)).unwrap_or_default();
        reader.set_lists(&lists);
        let mut variants = BTreeMap::new();
        if let Some(file) = files.variants {
            let found = Variants::parse(file, files.lists.map_or(&[], |(_, lists)| lists));
            let found = reader.diagnostics.ok(found);
            variants.extend(found.map(|found| (found.schema.clone().into(), OnDemand::read(found))));
        }
        let mut inner = reader.inner;
        let entries = reader.schemas.into_iter().map(|(name, schema)| {
            let inner = inner.remove(&name).unwrap_or_default();
            (name.into(), SchemaEntry::read(schema, inner))
        });
        let schemas = entries.collect();
        reader.diagnostics.finish(Self { schemas, variants, lists, unpacker: Arc::default() })
    }

    /// Adds class files.
    ///
    /// # Errors
    /// Every error in the files. A field with two classes is an error.
    pub fn with_class_files(mut self, files: &[Node]) -> Result<Self, Diagnostics> {
        let mut reader = CatalogueReader::default();
        for name in files.iter().flat_map(classified_schemas) {
            if let Some(schema) = self.schema(name) {
                reader.schemas.insert(name.to_owned(), schema.clone());
            }
        }
        files.iter().for_each(|document| reader.class_file(document));
        reader.set_lists(&self.lists);
        for (name, schema) in reader.schemas {
            if let Some(entry) = self.schemas.get_mut(name.as_str()) {
                *entry = SchemaEntry::read(schema, std::mem::take(&mut entry.inner));
            }
        }
        reader.diagnostics.finish(self)
    }

    /// The same catalogue, of which nothing is unpacked. What was never packed is shared.
    #[must_use]
    pub fn still_packed(&self) -> Self {
        let entry = |entry: &SchemaEntry| SchemaEntry { schema: entry.schema.still_packed(), ..entry.clone() };
        Self {
            schemas: self.schemas.iter().map(|(name, found)| (name.clone(), entry(found))).collect(),
            variants: self.variants.iter().map(|(name, found)| (name.clone(), found.still_packed())).collect(),
            ..self.clone()
        }
    }

    /// How the documents of a schema differ by kind. `None` if they are all of one kind.
    pub fn variants(&self, name: &str) -> Option<&Variants> {
        self.variants.get(name)?.get(|packed| self.unpacker.variants(packed))
    }

    /// Finds a schema by its name.
    pub fn schema(&self, name: &str) -> Option<&Schema> {
        let (name, entry) = self.schemas.get_key_value(name)?;
        entry.schema.get(|packed| Some(Schema { name: name.clone(), root: self.unpacker.root(packed)? }))
    }

    /// All schemas, in the order of their names.
    pub fn schemas(&self) -> impl Iterator<Item = &Schema> {
        self.names().filter_map(|name| self.schema(name))
    }

    /// The names of all schemas, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.schemas.keys().map(|name| &**name)
    }

    /// Whether there is a schema of this name.
    pub fn has_schema(&self, name: &str) -> bool {
        self.schemas.contains_key(name)
    }

    /// The names of a schema and of all schemas nested in it, at any depth.
    pub fn with_nested<'c>(&'c self, name: &'c str) -> Vec<&'c str> {
        let mut names = vec![name];
        let mut done = 0;
        while let Some(outer) = names.get(done) {
            for inner in self.schemas.get(*outer).map(|entry| entry.inner.as_slice()).unwrap_or_default() {
                if !names.contains(&&**inner) {
                    names.push(inner);
                }
            }
            done += 1;
        }
        names
    }

    /// The number of lists that members belong to.
    pub fn list_count(&self) -> usize {
        self.lists.values().map(|list| list.index()).collect::<BTreeSet<_>>().len()
    }

    /// The number of fields of a schema and of all schemas nested in it, each counted once.
    pub fn size(&self, name: &str) -> usize {
        let entries = self.with_nested(name).into_iter().filter_map(|name| self.schemas.get(name));
        entries.map(|entry| entry.size).sum()
    }
}

/// By what they hold, packed or not.
impl PartialEq for Catalogue {
    fn eq(&self, other: &Self) -> bool {
        let inner = |catalogue: &Self| -> Vec<Vec<Cow<'static, str>>> {
            catalogue.schemas.values().map(|entry| entry.inner.clone()).collect()
        };
        let sizes = |catalogue: &Self| catalogue.schemas.values().map(|entry| entry.size).collect::<Vec<_>>();
        let variants = |catalogue: &Self| -> Vec<Option<Variants>> {
            catalogue.variants.keys().map(|name| catalogue.variants(name).cloned()).collect()
        };
        self.names().eq(other.names())
            && self.schemas().eq(other.schemas())
            && inner(self) == inner(other)
            && sizes(self) == sizes(other)
            && variants(self) == variants(other)
            && self.lists == other.lists
    }
}

/// The names of schemas that a class file is about, as far as it can be read.
fn classified_schemas(file: &Node) -> impl Iterator<Item = &str> {
    let entries = file.mapping("a class file").unwrap_or_default();
    let fields = entries.iter().filter(|(key, _)| key.name == "fields");
    fields.flat_map(|(_, fields)| fields.mapping("paths by schema").unwrap_or_default()).map(|(key, _)| &*key.name)
}

/// The fields of one sort of document.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    name: Cow<'static, str>,
    root: Field,
}

impl Schema {
    /// The name of the schema.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The document as a whole.
    pub fn root(&self) -> &Field {
        &self.root
    }

    /// Every field that has a class, in the order of their names. The fields of a nested schema are not included.
    pub fn leaves(&self) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        self.root.collect(&mut "$".to_owned(), &mut leaves);
        leaves
    }
}

/// One field of a schema that has a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// The path of the field, as class files write it.
    pub path: String,
    /// The class of the field.
    pub class: Class,
    /// The line that sets the class.
    pub location: Location,
}

/// One place in the documents of a schema, with the fields inside it.
///
/// A field without `class` and `opaque` only leads to others. A field can have both a class and elements: some members
/// are a text in one version of an API and an array of texts in another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Field {
    /// The class of a scalar value, with the line that sets it.
    pub class: Option<(Class, Location)>,
    /// The class of the keys, if the field is a map whose keys are data.
    pub key_class: Option<(Class, Location)>,
    /// The members with a fixed name.
    pub members: BTreeMap<String, Field>,
    /// Every other member.
    pub any_member: Option<Box<Field>>,
    /// The elements of an array.
    pub elements: Option<Box<Field>>,
    /// The class of the value with everything inside it, keys included, whatever its shape. Excludes everything else.
    pub opaque: Option<(Class, Location)>,
    /// The name of the schema that the value belongs to. Excludes everything else.
    pub nested: Option<String>,
    /// What replaces the value if it is hidden.
    pub blank: Blank,
    /// The list to which the members or elements belong.
    pub list: Option<NameList>,
    /// The types that the value may have; none if they are not known.
    pub types: TypeSet,
    /// Whether the member is always written.
    pub presence: Presence,
}

/// What replaces a hidden value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Blank {
    /// The zero of the value's own JSON type: `""`, `0`, `false`, `{}` or `[]`.
    #[default]
    OfType,
    /// For a text: a time that clients can parse.
    Time,
    /// For a text: a value of the enumeration that says nothing.
    Unknown,
    /// Nothing. The member is removed.
    Absent,
}

impl Field {
    /// The field one step below, which is added if it is missing.
    fn below(&mut self, step: &Step) -> &mut Self {
        match step {
            Step::Member(name) => self.members.entry(name.clone()).or_default(),
            Step::AnyMember => self.any_member.get_or_insert_default(),
            Step::Elements => self.elements.get_or_insert_default(),
        }
    }

    /// The field that `steps` lead to.
    fn find_mut(&mut self, steps: &[Step]) -> Option<&mut Self> {
        steps.iter().try_fold(self, |field, step| match step {
            Step::Member(name) => field.members.get_mut(name),
            Step::AnyMember => field.any_member.as_deref_mut(),
            Step::Elements => field.elements.as_deref_mut(),
        })
    }

    /// The number of fields here and below.
    fn count(&self) -> usize {
        1 + self.fields_below().map(Self::count).sum::<usize>()
    }

    /// The fields one step below.
    pub(crate) fn fields_below(&self) -> impl Iterator<Item = &Self> {
        self.members.values().chain(self.any_member.as_deref()).chain(self.elements.as_deref())
    }

    /// The fields one step below, each with its step.
    pub(crate) fn children(&self) -> impl Iterator<Item = (Step, &Self)> {
        let members = self.members.iter().map(|(name, field)| (Step::Member(name.clone()), field));
        let others = self.any_member.iter().map(|field| (Step::AnyMember, &**field));
        let elements = self.elements.iter().map(|field| (Step::Elements, &**field));
        members.chain(others).chain(elements)
    }

    /// The line that sets the first class of this field or of one below it.
    fn first_location(&self) -> Option<&Location> {
        [&self.class, &self.key_class, &self.opaque]
            .into_iter()
            .find_map(|class| class.as_ref().map(|(_, location)| location))
            .or_else(|| self.fields_below().find_map(Self::first_location))
    }

    /// Appends every leaf of this field and those below it. `path` is that of this field.
    fn collect(&self, path: &mut String, leaves: &mut Vec<Leaf>) {
        for (class, part) in
            [(&self.class, Part::Value), (&self.key_class, Part::Keys), (&self.opaque, Part::Everything)]
        {
            if let Some((class, location)) = class {
                let path = format!("{path}{}", part.as_str());
                leaves.push(Leaf { path, class: *class, location: location.clone() });
            }
        }
        let length = path.len();
        for (name, member) in &self.members {
            write_member(name, path);
            member.collect(path, leaves);
            path.truncate(length);
        }
        let others = self.any_member.as_deref().into_iter().map(|below| (Step::AnyMember, below));
        for (step, below) in others.chain(self.elements.as_deref().map(|below| (Step::Elements, below))) {
            step.write_to(path);
            below.collect(path, leaves);
            path.truncate(length);
        }
    }

    /// Sets the class of the field that `path` leads to.
    ///
    /// # Errors
    /// A diagnostic at `location` if the field has a class already or is inside a nested schema.
    fn classify(&mut self, path: &Path, class: Class, location: &Location) -> Result<(), Diagnostic> {
        let field = self.open_path(path, location)?;
        let (slot, known) = match path.part {
            Part::Value => (&mut field.class, None),
            Part::Keys => (&mut field.key_class, None),
            Part::Everything => {
                let known = field.first_location().cloned();
                (&mut field.opaque, known)
            }
        };
        if let Some(known) = slot.as_ref().map(|(_, known)| known).or(known.as_ref()) {
            return Err(classified_twice(location, known));
        }
        *slot = Some((class, location.clone()));
        Ok(())
    }

    /// Sets the list of every member, here and below, whose name is in `by_name`.
    fn set_lists(&mut self, by_name: &BTreeMap<String, NameList>) {
        for (name, member) in &mut self.members {
            member.list = by_name.get(name).copied();
            member.set_lists(by_name);
        }
        for below in self.any_member.iter_mut().chain(&mut self.elements) {
            below.set_lists(by_name);
        }
    }

    /// Nests another schema in the field that `path` leads to.
    ///
    /// # Errors
    /// A diagnostic at `location` if `path` does not lead to a value, or leads to one that is described already.
    fn nest(&mut self, path: &Path, schema: &str, location: &Location) -> Result<(), Diagnostic> {
        if path.part != Part::Value {
            return Err(Diagnostic::new(location, "a schema can nest only at `$`, a member, `.*` or `[*]`"));
        }
        let field = self.open_path(path, location)?;
        if field.children().next().is_some() {
            return Err(Diagnostic::new(location, "another schema nests below this path"));
        }
        field.nested = Some(schema.to_owned());
        Ok(())
    }

    /// Follows a path and adds the fields that are missing.
    ///
    /// # Errors
    /// As [`Field::check_open`], for any field on the path.
    fn open_path(&mut self, path: &Path, location: &Location) -> Result<&mut Self, Diagnostic> {
        let mut field = self;
        for step in &path.steps {
            field.check_open(location)?;
            field = field.below(step);
        }
        field.check_open(location)?;
        Ok(field)
    }

    /// Checks that this field and those below it can still be described.
    ///
    /// # Errors
    /// A diagnostic at `location` if the field belongs to a nested schema or is opaque.
    fn check_open(&self, location: &Location) -> Result<(), Diagnostic> {
        if let Some(schema) = &self.nested {
            return Err(Diagnostic::new(location, format!("this field is inside {schema}: classify it there")));
        }
        match &self.opaque {
            Some((_, known)) => Err(classified_twice(location, known)),
            None => Ok(()),
        }
    }
}

/// The error for a field that has two classes.
fn classified_twice(location: &Location, known: &Location) -> Diagnostic {
    Diagnostic::new(location, format!("classified twice: {known} already classifies it"))
}

/// Reads the files of a catalogue. Collects schemas and errors.
#[derive(Default)]
struct CatalogueReader {
    schemas: BTreeMap<String, Schema>,
    /// The names of the schemas that nest in each, each once.
    inner: BTreeMap<String, Vec<Cow<'static, str>>>,
    diagnostics: Diagnostics,
}

impl CatalogueReader {
    /// Returns the values of the keys `names` of a mapping, in that order. Reports any other key.
    fn members<'n, const N: usize>(&mut self, node: &'n Node, names: [&str; N]) -> Option<[Option<&'n Node>; N]> {
        let members = self.diagnostics.members(node, "a mapping", &names)?;
        Some(names.map(|name| members.get_or_empty(name)))
    }

    /// Reads the file of schemas: for each name, a list of `path: schema`.
    fn schemas_file(&mut self, (file, text): (&str, &str)) {
        let Some(document) = self.diagnostics.ok(yaml::parse(file, text)) else { return };
        let Some([schemas]) = self.members(&document, ["schemas"]) else { return };
        let Some(schemas) = schemas else {
            self.diagnostics.push(document.diagnostic("expected `schemas`"));
            return;
        };
        let Some(entries) = self.diagnostics.ok(schemas.mapping("schemas by name")) else { return };
        for (key, _) in entries {
            let schema = Schema { name: key.name.clone().into(), root: Field::default() };
            self.schemas.insert(key.name.clone(), schema);
        }
        for (key, node) in entries.iter().filter(|(_, node)| node.value != Value::Null) {
            self.nested_schemas(&key.name, node);
        }
        if self.diagnostics.is_empty() {
            for (key, _) in entries {
                let cycle = self.check_cycle(&key.name, &key.location);
                let result = cycle.and_then(|()| self.check_alias(&key.name, &key.location));
                self.diagnostics.ok(result);
            }
        }
    }

    /// Reads the list of `path: schema` of one schema.
    fn nested_schemas(&mut self, outer: &str, node: &Node) {
        for item in self.diagnostics.ok(node.list("a list of `path: schema`, or nothing")).unwrap_or_default() {
            for (path, inner) in self.diagnostics.ok(item.mapping("`path: schema`")).unwrap_or_default() {
                let result = self.nest(outer, path, inner);
                self.diagnostics.ok(result);
            }
        }
    }

    /// Reads one `path: schema`.
    fn nest(&mut self, outer: &str, path: &yaml::Key, inner: &Node) -> Result<(), Diagnostic> {
        let name = inner.text("the name of a schema")?;
        if !self.schemas.contains_key(name) {
            return Err(inner.diagnostic(format!("unknown schema {:?}", quoting::value(name))));
        }
        let parsed = path.name.parse::<Path>().map_err(|error| Diagnostic::new(&path.location, error.to_string()))?;
        let Some(schema) = self.schemas.get_mut(outer) else { return Ok(()) };
        schema.root.nest(&parsed, name, &path.location)?;
        let inner = self.inner.entry(outer.to_owned()).or_default();
        if !inner.iter().any(|known| *known == name) {
            inner.push(name.to_owned().into());
        }
        Ok(())
    }

    /// Refuses a schema that contains itself, because its plan would have no end.
    fn check_cycle(&self, name: &str, location: &Location) -> Result<(), Diagnostic> {
        let mut inside = BTreeSet::new();
        let mut waiting = vec![name];
        while let Some(next) = waiting.pop() {
            let mut fields: Vec<&Field> = self.schemas.get(next).map(Schema::root).into_iter().collect();
            while let Some(field) = fields.pop() {
                fields.extend(field.fields_below());
                if let Some(nested) = field.nested.as_deref() {
                    if nested == name {
                        return Err(Diagnostic::new(location, format!("schema {name} contains itself")));
                    }
                    if inside.insert(nested) {
                        waiting.push(nested);
                    }
                }
            }
        }
        Ok(())
    }

    /// Refuses to nest a schema that is only another name for a third one. A plan follows one such name at most.
    fn check_alias(&self, name: &str, location: &Location) -> Result<(), Diagnostic> {
        let mut fields: Vec<&Field> = self.schemas.get(name).map(Schema::root).into_iter().collect();
        while let Some(field) = fields.pop() {
            fields.extend(field.children().map(|(_, field)| field));
            let nested = field.nested.as_deref();
            let Some(same) = nested.and_then(|nested| self.schemas.get(nested)?.root.nested.as_deref()) else {
                continue;
            };
            let nested = nested.unwrap_or_default();
            return Err(Diagnostic::new(
                location,
                format!("{nested} inside {name} is another name for {same}: nest {same}"),
            ));
        }
        Ok(())
    }

    /// Reads a class file: a class, and lists of paths by schema.
    fn class_file(&mut self, document: &Node) {
        let Some([class, fields]) = self.members(document, ["class", "fields"]) else { return };
        let (Some(class), Some(fields)) = (class, fields) else {
            self.diagnostics.push(document.diagnostic("expected `class` and `fields`"));
            return;
        };
        let name = class.text("the name of a class");
        let parsed =
            name.and_then(|name| name.parse().map_err(|error: UnknownClass| class.diagnostic(error.to_string())));
        let Some(class) = self.diagnostics.ok(parsed) else { return };
        if fields.value == Value::Null {
            return;
        }
        self.each_path(fields, |reader, schema, path| reader.classify(schema, path, class));
    }

    /// Reads the file of blanks: lists of paths by schema, by what replaces the value.
    fn blanks_file(&mut self, (file, text): (&str, &str)) {
        let Some(document) = self.diagnostics.ok(yaml::parse(file, text)) else { return };
        let Some(lists) = self.members(&document, ["times", "unknown", "absent"]) else { return };
        for (list, blank) in lists.into_iter().zip([Blank::Time, Blank::Unknown, Blank::Absent]) {
            if let Some(list) = list {
                self.each_path(list, |reader, schema, path| reader.set_blank(schema, path, blank));
            }
        }
    }

    /// Reads the file of lists: names of members by the key of a list.
    fn lists_file(&mut self, document: &Node, lists: &[NameList]) -> Option<BTreeMap<String, NameList>> {
        let keys: Vec<&str> = lists.iter().map(|list| list.key()).collect();
        let members = self.diagnostics.members(document, "names of members by list", &keys)?;
        let mut by_name = BTreeMap::new();
        for list in lists {
            let Some(names) = members.get(list.key()) else { continue };
            for (name, item) in self.diagnostics.texts(names, "names of members") {
                if by_name.insert(name.to_owned(), *list).is_some() {
                    self.diagnostics.push(item.diagnostic(format!("duplicate member {:?}", quoting::value(name))));
                }
            }
        }
        Some(by_name)
    }

    /// Sets the list of every member whose name is in `by_name`.
    fn set_lists(&mut self, by_name: &BTreeMap<String, NameList>) {
        for schema in self.schemas.values_mut() {
            schema.root.set_lists(by_name);
        }
    }

    /// Reads lists of paths by schema. Calls `read` with each schema and path.
    fn each_path(&mut self, lists: &Node, mut read: impl FnMut(&mut Self, &str, &Node) -> Result<(), Diagnostic>) {
        let Some(entries) = self.diagnostics.ok(lists.mapping("paths by schema")) else { return };
        for (key, node) in entries {
            if !self.schemas.contains_key(&key.name) {
                self.diagnostics.report(&key.location, format!("unknown schema {:?}", quoting::value(&key.name)));
            }
            let Some(paths) = self.diagnostics.ok(node.list("a list of paths")) else { continue };
            for path in paths {
                let result = read(self, &key.name, path);
                self.diagnostics.ok(result);
            }
        }
    }

    /// Reads the table of fields. A line about a schema or field that no class file has says nothing here.
    fn fields_file(&mut self, file: &str, text: &str) {
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let location = Location::line(file, number);
            let columns: Vec<&str> = line.split('\t').collect();
            let (Some(schema), Some(path), Some(types)) = (columns.first(), columns.get(1), columns.get(2)) else {
                self.diagnostics.report(&location, "expected a schema, a path and types");
                continue;
            };
            let parsed = path.parse::<Path>().map_err(|error| Diagnostic::new(&location, error.to_string()));
            let Some(path) = self.diagnostics.ok(parsed) else { continue };
            let Some(root) = self.schemas.get_mut(*schema).map(|schema| &mut schema.root) else { continue };
            if path.part != Part::Keys
                && let Some(field) = root.find_mut(&path.steps)
                // Otherwise it is the name of the schema that nests here.
                && let Ok(types) = types.parse()
            {
                field.types = types;
            }
            if columns.get(5) == Some(&"always")
                && let Some(member) = root.find_mut(path.member())
            {
                member.presence = Presence::Always;
            }
        }
    }

    /// Sets what replaces the value at a path. The field must have a class.
    fn set_blank(&mut self, schema: &str, node: &Node, blank: Blank) -> Result<(), Diagnostic> {
        let path = node.text("a path")?.parse::<Path>().map_err(|error| node.diagnostic(error.to_string()))?;
        let Some(schema) = self.schemas.get_mut(schema) else { return Ok(()) };
        let mut field = &mut schema.root;
        for step in &path.steps {
            field = field.below(step);
        }
        if field.class.is_none() {
            return Err(node.diagnostic("expected a field that has a class"));
        }
        field.blank = blank;
        Ok(())
    }

    /// Sets the class of the field at a path.
    fn classify(&mut self, schema: &str, node: &Node, class: Class) -> Result<(), Diagnostic> {
        let path = node.text("a path")?.parse::<Path>().map_err(|error| node.diagnostic(error.to_string()))?;
        match self.schemas.get_mut(schema) {
            Some(schema) => schema.root.classify(&path, class, &node.location),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NESTED: &str = "schemas:\n  Inner:\n  Outer:\n    - $.List[*]: Inner\n    - $.One: Inner\n";

    fn parse(schemas: &str, classes: &[(&str, &str)]) -> Result<Catalogue, Vec<String>> {
        Catalogue::parse(("s.yaml", schemas), classes)
            .map_err(|diagnostics| diagnostics.iter().map(ToString::to_string).collect())
    }

    #[track_caller]
    fn check_diagnostics(schemas: &str, classes: &[(&str, &str)], expected: &[&str]) {
        assert_eq!(parse(schemas, classes).unwrap_err(), expected);
    }

    #[test]
    fn a_leaf_has_its_path_class_and_line() {
        let secret = "class: secret\nfields:\n  Inner:\n    - $.Env[*]\n    - \"$.Options.*\"\n";
        let state = "class: state\nfields:\n  Inner:\n    - $.Options.*~\n    - $['a b']..*\n    - $\n";
        let catalogue = parse(NESTED, &[("a.yaml", secret), ("b.yaml", state)]).unwrap();
        let leaves: Vec<String> = catalogue
            .schema("Inner")
            .unwrap()
            .leaves()
            .iter()
            .map(|leaf| format!("{} {} {}", leaf.path, leaf.class, leaf.location))
            .collect();
        assert_eq!(
            leaves,
            [
                "$ state b.yaml:6:7",
                "$.Env[*] secret a.yaml:4:7",
                "$.Options.*~ state b.yaml:4:7",
                "$.Options.* secret a.yaml:5:7",
                "$['a b']..* state b.yaml:5:7",
            ]
        );
        assert!(catalogue.schema("Outer").unwrap().leaves().is_empty());
        let list = catalogue.schema("Outer").unwrap().root().members.get("List").unwrap();
        assert_eq!(list.elements.as_ref().unwrap().nested.as_deref(), Some("Inner"));
    }

    #[test]
    fn all_errors_are_reported_at_once() {
        check_diagnostics(
            NESTED,
            &[
                ("a.yaml", "class: secret\nfields:\n  Inner:\n    - $.Env[*]\n    - $.Env[0]\n  Nowhere:\n    - $.a\n"),
                ("b.yaml", "class: state\nfields:\n  Inner:\n    - $.Env[*]\n    - $['Env'][*]\nother: 1\n"),
                ("c.yaml", "class: public\nfields:\n"),
            ],
            &[
                "a.yaml:5:7: bad path: expected `.name`, `['name']`, `.*` or `[*]` at character 6",
                "a.yaml:6:3: unknown schema \"Nowhere\"",
                "b.yaml:4:7: classified twice: a.yaml:4:7 already classifies it",
                "b.yaml:5:7: classified twice: a.yaml:4:7 already classifies it",
                "b.yaml:6:1: unknown key \"other\", expected one of class, fields",
                "c.yaml:1:8: unknown class \"public\", expected one of secret, command, free-text, host-path, topology, \
                 host, identity, state",
            ],
        );
    }

    #[test]
    fn a_field_inside_a_nested_schema_is_an_error() {
        check_diagnostics(
            NESTED,
            &[(
                "a.yaml",
                "class: state\nfields:\n  Outer:\n    - $.One.Id\n    - $.One\n    - $.List[*].a.b\n    - $.List\n",
            )],
            &[
                "a.yaml:4:7: this field is inside Inner: classify it there",
                "a.yaml:5:7: this field is inside Inner: classify it there",
                "a.yaml:6:7: this field is inside Inner: classify it there",
            ],
        );
    }

    #[test]
    fn an_opaque_field_excludes_all_fields_inside_it() {
        check_diagnostics(
            NESTED,
            &[(
                "a.yaml",
                "class: state\nfields:\n  Inner:\n    - $.a..*\n    - $.a\n    - $.a.b\n    - $.b.c\n    - $.b..*\n    - $.a..*\n",
            )],
            &[
                "a.yaml:5:7: classified twice: a.yaml:4:7 already classifies it",
                "a.yaml:6:7: classified twice: a.yaml:4:7 already classifies it",
                "a.yaml:8:7: classified twice: a.yaml:7:7 already classifies it",
                "a.yaml:9:7: classified twice: a.yaml:4:7 already classifies it",
            ],
        );
    }

    #[test]
    fn every_error_in_the_file_of_schemas_is_reported() {
        check_diagnostics(
            "schemas:\n  A:\n    - $.b: B\n    - $.b: A\n    - $..*: A\n    - $: A\n    - x\n  B: 1\n",
            &[],
            &[
                "s.yaml:4:7: this field is inside B: classify it there",
                "s.yaml:5:7: a schema can nest only at `$`, a member, `.*` or `[*]`",
                "s.yaml:6:7: another schema nests below this path",
                "s.yaml:7:7: found text, expected `path: schema`",
                "s.yaml:8:6: found text, expected a list of `path: schema`, or nothing",
            ],
        );
        check_diagnostics("schemas:\n  A:\n    - $.b: C\n", &[], &["s.yaml:3:12: unknown schema \"C\""]);
        check_diagnostics(
            "other:\n",
            &[],
            &["s.yaml:1:1: expected `schemas`", "s.yaml:1:1: unknown key \"other\", expected one of schemas"],
        );
    }

    #[test]
    fn a_schema_that_contains_itself_is_an_error() {
        check_diagnostics(
            "schemas:\n  A:\n    - $.b: B\n  B:\n    - $.c[*]: C\n  C:\n    - $.b: B\n",
            &[],
            &["s.yaml:4:3: schema B contains itself", "s.yaml:6:3: schema C contains itself"],
        );
    }

    #[test]
    fn a_schema_can_be_another_name_for_a_second_one_but_not_for_a_third() {
        let schemas = "schemas:\n  A:\n    - $: B\n  B:\n";
        let catalogue = parse(schemas, &[("a.yaml", "class: state\nfields:\n  B:\n    - $.c\n")]).unwrap();
        assert_eq!(catalogue.schema("A").unwrap().root().nested.as_deref(), Some("B"));
        assert_eq!(catalogue.with_nested("A"), ["A", "B"]);
        check_diagnostics(
            schemas,
            &[("a.yaml", "class: state\nfields:\n  A:\n    - $.c\n")],
            &["a.yaml:4:7: this field is inside B: classify it there"],
        );
        check_diagnostics(
            "schemas:\n  A:\n    - $: B\n  B:\n  C:\n    - $.d: A\n",
            &[],
            &["s.yaml:5:3: A inside C is another name for B: nest B"],
        );
        check_diagnostics("schemas:\n  A:\n    - $: A\n", &[], &["s.yaml:2:3: schema A contains itself"]);
    }

    #[test]
    fn a_file_that_is_not_yaml_is_reported_once() {
        let diagnostics = parse(NESTED, &[("a.yaml", "class: [")]).unwrap_err();
        assert_eq!(diagnostics.len(), 1);
    }
}
