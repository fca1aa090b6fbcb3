//! What the Docker API returns: its schemas, how they nest, and the class of every field.
//!
//! All of it is read from `filters/schemas.yaml` and `filters/class/*.yaml`, which are part of the program. A field
//! belongs to exactly one class, and a schema that stands inside another is described once, so that a field is
//! treated alike wherever it comes back.

mod class;
mod list;
mod path;
mod variant;

use std::collections::{BTreeMap, BTreeSet};

pub use class::{Class, ClassSet, UnknownClass};
pub use list::NameList;
use path::Path;
pub(crate) use path::{Part, Step};
pub use variant::{Entries, Kind, Look, Variants, Words};

use crate::yaml::{self, Diagnostic, Diagnostics, Location, Node, Value};

/// Every schema, with the class of every field. Schemas nest without cycles.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    schemas: BTreeMap<String, Schema>,
    variants: Vec<Variants>,
}

/// The files that a catalogue is read from, each as file name and text.
#[derive(Clone, Copy, Debug, Default)]
pub struct CatalogueFiles<'f> {
    /// The schemas and where they nest.
    pub schemas: (&'f str, &'f str),
    /// The classes of fields: any number of files.
    pub classes: &'f [(&'f str, &'f str)],
    /// What stands for hidden texts.
    pub blanks: Option<(&'f str, &'f str)>,
    /// Which members hold entries of which list, and the lists there are.
    pub lists: Option<((&'f str, &'f str), &'f [NameList])>,
    /// How the documents of one schema differ by kind.
    pub variants: Option<(&'f str, &'f str)>,
}

impl Catalogue {
    /// Reads a list of schemas and any number of class files, each given as file name and text.
    ///
    /// # Errors
    /// Every mistake in all the files, in the order of their locations.
    pub fn parse(schemas: (&str, &str), classes: &[(&str, &str)]) -> Result<Self, Diagnostics> {
        Self::parse_files(CatalogueFiles { schemas, classes, ..CatalogueFiles::default() })
    }

    /// Reads all files of a catalogue.
    ///
    /// # Errors
    /// Every mistake in all the files, in the order of their locations.
    pub fn parse_files(files: CatalogueFiles<'_>) -> Result<Self, Diagnostics> {
        let mut reader = CatalogueReader::default();
        reader.schemas_file(files.schemas);
        for file in files.classes {
            reader.class_file(*file);
        }
        if let Some(file) = files.blanks {
            reader.blanks_file(file);
        }
        if let Some((file, lists)) = files.lists {
            reader.lists_file(file, lists);
        }
        let mut variants = Vec::new();
        if let Some(file) = files.variants {
            match Variants::parse(file, files.lists.map_or(&[], |(_, lists)| lists)) {
                Ok(found) => variants.push(found),
                Err(wrong) => reader.diagnostics.extend(wrong),
            }
        }
        reader.diagnostics.finish(Self { schemas: reader.schemas, variants })
    }

    /// How the documents of the schema called `name` differ by kind, if they do.
    pub fn variants(&self, name: &str) -> Option<&Variants> {
        self.variants.iter().find(|variants| variants.schema == name)
    }

    /// The schema called `name`.
    pub fn schema(&self, name: &str) -> Option<&Schema> {
        self.schemas.get(name)
    }

    /// All of them, by name.
    pub fn schemas(&self) -> impl Iterator<Item = &Schema> {
        self.schemas.values()
    }

    /// The schema called `name`, and all that stand inside it.
    pub fn with_nested<'c>(&'c self, name: &'c str) -> Vec<&'c str> {
        let mut names = vec![name];
        let mut fields: Vec<&Field> = self.schema(name).map(Schema::root).into_iter().collect();
        while let Some(field) = fields.pop() {
            fields.extend(field.fields_below());
            if let Some(nested) = field.nested.as_deref().filter(|nested| !names.contains(nested)) {
                names.push(nested);
                fields.extend(self.schema(nested).map(Schema::root));
            }
        }
        names
    }
}

/// The shape of one kind of document.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    name: String,
    root: Field,
}

impl Schema {
    /// Its name, as in `filters/schemas.yaml`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The document itself.
    pub fn root(&self) -> &Field {
        &self.root
    }

    /// Every classified field, in the order of their names. Fields of a nested schema belong to that schema.
    pub fn leaves(&self) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        self.root.collect(&mut Vec::new(), &mut leaves);
        leaves
    }
}

/// One classified field of a schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// Where it is, as class files write it.
    pub path: String,
    /// Its class.
    pub class: Class,
    /// The line that says so.
    pub location: Location,
}

/// One place in the documents of a schema, and what is below it.
///
/// A field with neither class nor `opaque` is only a way to others. A field may have a class and elements: the API
/// has members that are text in one version and an array of texts in another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Field {
    /// The class of the value, when it is not an object or array described below.
    pub class: Option<(Class, Location)>,
    /// The class of the keys, of a map whose keys are data.
    pub key_class: Option<(Class, Location)>,
    /// The members with a fixed name.
    pub members: BTreeMap<String, Field>,
    /// Every other member.
    pub any_member: Option<Box<Field>>,
    /// The elements of an array.
    pub elements: Option<Box<Field>>,
    /// The class of the value and all that is in it, keys too, whatever its shape. Nothing else is set beside it.
    pub opaque: Option<(Class, Location)>,
    /// The schema that is here. Nothing else is set beside it.
    pub nested: Option<String>,
    /// What stands in its place when it is hidden.
    pub blank: Blank,
    /// The list whose entries its members or elements are.
    pub list: Option<NameList>,
}

/// What stands in the place of a hidden value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Blank {
    /// The zero of the type that is found.
    #[default]
    OfType,
    /// Of a text, a time that readers can parse.
    Time,
    /// Of a text, the value of an enumeration that says nothing.
    Unknown,
    /// Nothing: the member is removed.
    Absent,
}

impl Field {
    /// The field one step below, made if it is not there yet.
    fn below(&mut self, step: &Step) -> &mut Self {
        match step {
            Step::Member(name) => self.members.entry(name.clone()).or_default(),
            Step::AnyMember => self.any_member.get_or_insert_default(),
            Step::Elements => self.elements.get_or_insert_default(),
        }
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

    /// The first line that says something about this field or one below it.
    fn first_location(&self) -> Option<&Location> {
        [&self.class, &self.key_class, &self.opaque]
            .into_iter()
            .find_map(|said| said.as_ref().map(|(_, location)| location))
            .or_else(|| self.fields_below().find_map(Self::first_location))
    }

    fn collect(&self, steps: &mut Vec<Step>, leaves: &mut Vec<Leaf>) {
        for (said, part) in
            [(&self.class, Part::Value), (&self.key_class, Part::Keys), (&self.opaque, Part::Everything)]
        {
            if let Some((class, location)) = said {
                let path = Path { steps: steps.clone(), part }.to_string();
                leaves.push(Leaf { path, class: *class, location: location.clone() });
            }
        }
        for (step, field) in self.children() {
            steps.push(step);
            field.collect(steps, leaves);
            steps.pop();
        }
    }

    /// Says that what `path` leads to has a class.
    fn classify(&mut self, path: &Path, class: Class, location: &Location) -> Result<(), Diagnostic> {
        let mut field = self;
        for step in &path.steps {
            field.open(location)?;
            field = field.below(step);
        }
        field.open(location)?;
        let beside = match path.part {
            Part::Everything => field.first_location(),
            Part::Value | Part::Keys => None,
        };
        if let Some(known) = beside {
            return Err(twice(location, known));
        }
        let said = match path.part {
            Part::Value => &mut field.class,
            Part::Keys => &mut field.key_class,
            Part::Everything => &mut field.opaque,
        };
        match said {
            Some((_, known)) => Err(twice(location, known)),
            None => {
                *said = Some((class, location.clone()));
                Ok(())
            }
        }
    }

    /// Sets the list of every member here and below that `by_name` has.
    fn set_lists(&mut self, by_name: &BTreeMap<String, NameList>) {
        for (name, member) in &mut self.members {
            member.list = by_name.get(name).copied();
            member.set_lists(by_name);
        }
        for below in self.any_member.iter_mut().chain(&mut self.elements) {
            below.set_lists(by_name);
        }
    }

    /// Says that another schema is where `path` leads to.
    fn nest(&mut self, path: &Path, schema: &str, location: &Location) -> Result<(), Diagnostic> {
        if path.part != Part::Value {
            return Err(Diagnostic::new(location, "a schema nests at `$`, a member, `.*` or `[*]`"));
        }
        let mut field = self;
        for step in &path.steps {
            field.open(location)?;
            field = field.below(step);
        }
        field.open(location)?;
        if field.children().next().is_some() {
            return Err(Diagnostic::new(location, "another schema nests below this one"));
        }
        field.nested = Some(schema.to_owned());
        Ok(())
    }

    /// Whether something may still be said about this field or one below it.
    fn open(&self, location: &Location) -> Result<(), Diagnostic> {
        if let Some(schema) = &self.nested {
            return Err(Diagnostic::new(location, format!("this is inside {schema}: classify it in that schema")));
        }
        match &self.opaque {
            Some((_, known)) => Err(twice(location, known)),
            None => Ok(()),
        }
    }
}

/// A field is in two lines.
fn twice(location: &Location, known: &Location) -> Diagnostic {
    Diagnostic::new(location, format!("classified twice: {known} has it already"))
}

/// Collects schemas and errors while files are read.
#[derive(Default)]
struct CatalogueReader {
    schemas: BTreeMap<String, Schema>,
    diagnostics: Diagnostics,
}

impl CatalogueReader {
    /// The members of a file's mapping that are called `names`, in that order; any other is an error.
    fn members<'n, const N: usize>(&mut self, node: &'n Node, names: [&str; N]) -> Option<[Option<&'n Node>; N]> {
        let members = self.diagnostics.members(node, "a mapping", &names)?;
        Some(names.map(|name| members.get_or_empty(name)))
    }

    fn schemas_file(&mut self, (file, text): (&str, &str)) {
        let Some(document) = self.diagnostics.ok(yaml::parse(file, text)) else { return };
        let Some([schemas]) = self.members(&document, ["schemas"]) else { return };
        let Some(schemas) = schemas else {
            self.diagnostics.push(document.diagnostic("expected `schemas`"));
            return;
        };
        let Some(entries) = self.diagnostics.ok(schemas.mapping("schemas by name")) else { return };
        for (key, _) in entries {
            let schema = Schema { name: key.name.clone(), root: Field::default() };
            self.schemas.insert(key.name.clone(), schema);
        }
        for (key, node) in entries {
            if node.value == Value::Null {
                continue;
            }
            let Some(points) = self.diagnostics.ok(node.list("a list of `path: schema`, or nothing")) else { continue };
            for point in points {
                let Some(pairs) = self.diagnostics.ok(point.mapping("`path: schema`")) else { continue };
                for (path, inner) in pairs {
                    let result = self.nest(&key.name, path, inner);
                    self.diagnostics.ok(result);
                }
            }
        }
        if self.diagnostics.is_empty() {
            for (key, _) in entries {
                let cycle = self.check_cycle(&key.name, &key.location);
                let result = cycle.and_then(|()| self.check_same(&key.name, &key.location));
                self.diagnostics.ok(result);
            }
        }
    }

    /// One nesting point.
    fn nest(&mut self, outer: &str, path: &yaml::Key, inner: &Node) -> Result<(), Diagnostic> {
        let name = inner.text("the name of a schema")?;
        if !self.schemas.contains_key(name) {
            return Err(inner.diagnostic(format!("unknown schema {name:?}")));
        }
        let parsed = path.name.parse::<Path>().map_err(|error| Diagnostic::new(&path.location, error.to_string()))?;
        match self.schemas.get_mut(outer) {
            Some(schema) => schema.root.nest(&parsed, name, &path.location),
            None => Ok(()),
        }
    }

    /// Refuses a schema that contains itself: its documents would have no end.
    fn check_cycle(&self, name: &str, location: &Location) -> Result<(), Diagnostic> {
        let mut inside = BTreeSet::new();
        let mut waiting = vec![name];
        while let Some(next) = waiting.pop() {
            let mut fields: Vec<&Field> = self.schemas.get(next).map(Schema::root).into_iter().collect();
            while let Some(field) = fields.pop() {
                fields.extend(field.fields_below());
                if let Some(nested) = field.nested.as_deref() {
                    if nested == name {
                        return Err(Diagnostic::new(location, format!("the schema {name} is inside itself")));
                    }
                    if inside.insert(nested) {
                        waiting.push(nested);
                    }
                }
            }
        }
        Ok(())
    }

    /// Refuses to nest a schema that is only another name for a third one, so that plans follow at most one name.
    fn check_same(&self, name: &str, location: &Location) -> Result<(), Diagnostic> {
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
                format!("{nested} inside {name} is the same as {same}: nest {same}"),
            ));
        }
        Ok(())
    }

    fn class_file(&mut self, (file, text): (&str, &str)) {
        let Some(document) = self.diagnostics.ok(yaml::parse(file, text)) else { return };
        let Some([class, fields]) = self.members(&document, ["class", "fields"]) else { return };
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

    fn blanks_file(&mut self, (file, text): (&str, &str)) {
        let Some(document) = self.diagnostics.ok(yaml::parse(file, text)) else { return };
        let Some(lists) = self.members(&document, ["times", "unknown", "absent"]) else { return };
        for (list, blank) in lists.into_iter().zip([Blank::Time, Blank::Unknown, Blank::Absent]) {
            if let Some(list) = list {
                self.each_path(list, |reader, schema, path| reader.set_blank(schema, path, blank));
            }
        }
    }

    /// The file that says which members hold entries of which list: the names of members by the key of a list.
    fn lists_file(&mut self, (file, text): (&str, &str), lists: &[NameList]) {
        let Some(document) = self.diagnostics.ok(yaml::parse(file, text)) else { return };
        let keys: Vec<&str> = lists.iter().map(|list| list.key()).collect();
        let Some(members) = self.diagnostics.members(&document, "names of members by list", &keys) else { return };
        let mut by_name = BTreeMap::new();
        for list in lists {
            let Some(names) = members.get(list.key()) else { continue };
            for (name, item) in self.diagnostics.texts(names, "names of members") {
                if by_name.insert(name.to_owned(), *list).is_some() {
                    self.diagnostics.push(item.diagnostic(format!("{name:?} is in two lists")));
                }
            }
        }
        for schema in self.schemas.values_mut() {
            schema.root.set_lists(&by_name);
        }
    }

    /// Calls `read` with each path of a file that has lists of paths by schema.
    fn each_path(&mut self, lists: &Node, mut read: impl FnMut(&mut Self, &str, &Node) -> Result<(), Diagnostic>) {
        let Some(entries) = self.diagnostics.ok(lists.mapping("paths by schema")) else { return };
        for (key, node) in entries {
            if !self.schemas.contains_key(&key.name) {
                self.diagnostics.report(&key.location, format!("unknown schema {:?}", key.name));
            }
            let Some(paths) = self.diagnostics.ok(node.list("a list of paths")) else { continue };
            for path in paths {
                let result = read(self, &key.name, path);
                self.diagnostics.ok(result);
            }
        }
    }

    /// One line of the file of blanks: a field that has a class.
    fn set_blank(&mut self, schema: &str, node: &Node, blank: Blank) -> Result<(), Diagnostic> {
        let path = node.text("a path")?.parse::<Path>().map_err(|error| node.diagnostic(error.to_string()))?;
        let Some(schema) = self.schemas.get_mut(schema) else { return Ok(()) };
        let mut field = &mut schema.root;
        for step in &path.steps {
            field = field.below(step);
        }
        if field.class.is_none() {
            return Err(node.diagnostic("expected a field that is in a class file"));
        }
        field.blank = blank;
        Ok(())
    }

    /// One line of a class file.
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
    fn leaves_carry_class_and_place() {
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
    fn all_mistakes_are_reported_at_once() {
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
                "b.yaml:4:7: classified twice: a.yaml:4:7 has it already",
                "b.yaml:5:7: classified twice: a.yaml:4:7 has it already",
                "b.yaml:6:1: unknown key \"other\", expected one of class, fields",
                "c.yaml:1:8: unknown class \"public\", expected one of secret, command, free-text, host-path, topology, \
                 host, identity, state",
            ],
        );
    }

    #[test]
    fn a_field_inside_a_nested_schema_is_a_mistake() {
        check_diagnostics(
            NESTED,
            &[(
                "a.yaml",
                "class: state\nfields:\n  Outer:\n    - $.One.Id\n    - $.One\n    - $.List[*].a.b\n    - $.List\n",
            )],
            &[
                "a.yaml:4:7: this is inside Inner: classify it in that schema",
                "a.yaml:5:7: this is inside Inner: classify it in that schema",
                "a.yaml:6:7: this is inside Inner: classify it in that schema",
            ],
        );
    }

    #[test]
    fn nothing_is_said_beside_an_opaque_field() {
        check_diagnostics(
            NESTED,
            &[(
                "a.yaml",
                "class: state\nfields:\n  Inner:\n    - $.a..*\n    - $.a\n    - $.a.b\n    - $.b.c\n    - $.b..*\n    - $.a..*\n",
            )],
            &[
                "a.yaml:5:7: classified twice: a.yaml:4:7 has it already",
                "a.yaml:6:7: classified twice: a.yaml:4:7 has it already",
                "a.yaml:8:7: classified twice: a.yaml:7:7 has it already",
                "a.yaml:9:7: classified twice: a.yaml:4:7 has it already",
            ],
        );
    }

    #[test]
    fn mistakes_in_the_list_of_schemas_are_reported() {
        check_diagnostics(
            "schemas:\n  A:\n    - $.b: B\n    - $.b: A\n    - $..*: A\n    - $: A\n    - x\n  B: 1\n",
            &[],
            &[
                "s.yaml:4:7: this is inside B: classify it in that schema",
                "s.yaml:5:7: a schema nests at `$`, a member, `.*` or `[*]`",
                "s.yaml:6:7: another schema nests below this one",
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
    fn a_schema_inside_itself_is_a_mistake() {
        check_diagnostics(
            "schemas:\n  A:\n    - $.b: B\n  B:\n    - $.c[*]: C\n  C:\n    - $.b: B\n",
            &[],
            &["s.yaml:4:3: the schema B is inside itself", "s.yaml:6:3: the schema C is inside itself"],
        );
    }

    #[test]
    fn a_schema_can_be_the_same_as_another_one() {
        let schemas = "schemas:\n  A:\n    - $: B\n  B:\n";
        let catalogue = parse(schemas, &[("a.yaml", "class: state\nfields:\n  B:\n    - $.c\n")]).unwrap();
        assert_eq!(catalogue.schema("A").unwrap().root().nested.as_deref(), Some("B"));
        assert_eq!(catalogue.with_nested("A"), ["A", "B"]);
        check_diagnostics(
            schemas,
            &[("a.yaml", "class: state\nfields:\n  A:\n    - $.c\n")],
            &["a.yaml:4:7: this is inside B: classify it in that schema"],
        );
        check_diagnostics(
            "schemas:\n  A:\n    - $: B\n  B:\n  C:\n    - $.d: A\n",
            &[],
            &["s.yaml:5:3: A inside C is the same as B: nest B"],
        );
        check_diagnostics("schemas:\n  A:\n    - $: A\n", &[], &["s.yaml:2:3: the schema A is inside itself"]);
    }

    #[test]
    fn a_file_that_is_not_yaml_is_one_mistake() {
        let diagnostics = parse(NESTED, &[("a.yaml", "class: [")]).unwrap_err();
        assert_eq!(diagnostics.len(), 1);
    }
}
