//! Makes the table of all fields, `filters/fields.tsv`, from the OpenAPI documents, from recordings and from overrides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use dockveil::api::lists::ALL;
use dockveil::api::{OPERATIONS, Operation, ResponseKind};
use dockveil::schema::{Catalogue, CatalogueFiles, Field};
use serde_json::Value;

use super::openapi::{Documents, ERROR, is_same};
use super::versions::{VersionSet, minor};
use super::walk::{self, FieldName, FieldWalk, Found, Known, Tree};
use crate::harness::{Test, tests};
use crate::support::fixture::snake;
use crate::support::leaves::step;

pub(crate) const TESTS: &[Test] = tests![a_field_is_held_by_its_member];

/// The sources of the table.
pub(crate) struct Sources {
    pub(crate) catalogue: Catalogue,
    pub(crate) documents: Documents,
    pub(crate) overrides: Vec<Override>,
    /// The members that engines always write, with the first and the last version in which they do.
    pub(crate) always: BTreeMap<FieldName, (u16, Option<u16>)>,
    pub(crate) recordings: Vec<RecordedAnswer>,
}

/// A line of `fixtures/overrides.tsv`: what the documents leave out, or say wrongly.
pub(crate) struct Override {
    name: FieldName,
    statement: Statement,
}

/// What a line says.
enum Statement {
    /// The field is of this type, if one is given, and in these versions, if any is known.
    Is { kind: Option<String>, versions: Option<(u16, Option<u16>)> },
    /// No engine sends what the documents of these versions have here and below.
    DocumentError(VersionSet),
}

/// One recorded answer.
pub(crate) struct RecordedAnswer {
    /// The file below `fixtures/`.
    path: String,
    /// The folder of the engine.
    engine: String,
    /// The minor version that was asked for.
    minor: u16,
    /// The schema of its documents.
    schema: &'static str,
    /// The documents in it: of an array its elements, of a stream its lines.
    documents: Vec<Value>,
}

impl Sources {
    /// Reads the sources in a folder that is, or is like, this repository.
    pub(crate) fn read(repository: &Path) -> Self {
        let read = |path: &str| {
            std::fs::read_to_string(repository.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        let mut classes: Vec<(String, String)> = std::fs::read_dir(repository.join("filters/class"))
            .unwrap()
            .map(|entry| format!("filters/class/{}", entry.unwrap().file_name().to_str().unwrap()))
            .map(|path| (path.clone(), read(&path)))
            .collect();
        classes.sort();
        let classes: Vec<(&str, &str)> = classes.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let names = ["schemas", "blanks", "lists", "events"];
        let texts = names.map(|name| read(&format!("filters/{name}.yaml")));
        let [schemas, blanks, lists, events] = [0, 1, 2, 3].map(|index| (names[index], texts[index].as_str()));
        let lists = dockveil::yaml::parse(lists.0, lists.1).unwrap();
        let catalogue = Catalogue::parse_files(CatalogueFiles {
            schemas,
            classes: &classes,
            blanks: Some(blanks),
            fields: None,
            lists: Some((&lists, &ALL)),
            variants: Some(events),
        });
        Self {
            catalogue: catalogue.unwrap_or_else(|diagnostics| panic!("{diagnostics:#?}")),
            documents: Documents::parse(&read("fixtures/openapi.tsv")),
            overrides: overrides(&read("fixtures/overrides.tsv")),
            always: always(&read("fixtures/always.tsv")),
            recordings: recordings(&repository.join("fixtures")),
        }
    }
}

/// Reads the lines of a file of overrides.
pub(crate) fn overrides(text: &str) -> Vec<Override> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [schema, path, kind, first, last] = columns.try_into().unwrap_or_else(|_| panic!("five columns: {line:?}"));
        let last = (!last.is_empty()).then(|| minor(last));
        let statement = match (kind, first) {
            ("error", first) => Statement::DocumentError(VersionSet::range(minor(first), last.unwrap())),
            (kind, "-") => Statement::Is { kind: Some(kind.to_owned()), versions: None },
            (kind, first) => Statement::Is {
                kind: (!kind.is_empty()).then(|| kind.to_owned()),
                versions: Some((minor(first), last)),
            },
        };
        Override { name: (schema.to_owned(), path.to_owned()), statement }
    };
    lines.map(parse).collect()
}

/// Reads `fixtures/always.tsv`.
fn always(text: &str) -> BTreeMap<FieldName, (u16, Option<u16>)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [schema, path, first, last] = columns.try_into().unwrap_or_else(|_| panic!("four columns: {line:?}"));
        ((schema.to_owned(), path.to_owned()), (minor(first), (!last.is_empty()).then(|| minor(last))))
    };
    lines.map(parse).collect()
}

/// The recordings in all folders `<engine>/v1.NN`.
fn recordings(fixtures: &Path) -> Vec<RecordedAnswer> {
    let entries = |folder: &Path| {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<BTreeSet<String>>()
    };
    let engines = entries(fixtures).into_iter().filter(|name| fixtures.join(name).is_dir());
    let folders = engines
        .flat_map(|engine| entries(&fixtures.join(&engine)).into_iter().map(move |version| (engine.clone(), version)));
    let mut found = Vec::new();
    for (engine, version) in folders.filter(|(_, version)| version.starts_with("v1.")) {
        for file in entries(&fixtures.join(&engine).join(&version)) {
            let (operation, kind) = (file.split('.').next().unwrap(), file.rsplit('.').next().unwrap());
            let path = format!("{engine}/{version}/{file}");
            let text = || std::fs::read_to_string(fixtures.join(&path)).unwrap();
            let values: Vec<Value> = match kind {
                "json" => vec![serde_json::from_str(&text()).unwrap_or_else(|error| panic!("{path}: {error}"))],
                "ndjson" => text().lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
                _ => continue,
            };
            let answered = OPERATIONS.iter().find(|known| snake(known.id) == operation);
            assert!(answered.is_some() || operation == "error", "{path}: no operation is called {operation}");
            let (schema, is_array) = answered.map_or(("Error", false), described);
            let documents = values.into_iter().flat_map(|value| match is_array {
                true => value.as_array().cloned().unwrap_or_default(),
                false => vec![value],
            });
            let documents = documents.collect();
            found.push(RecordedAnswer { path, engine: engine.clone(), minor: minor(&version[1..]), schema, documents });
        }
    }
    found
}

/// The schema of an operation's documents, and whether it answers with an array of them.
fn described(operation: &Operation) -> (&'static str, bool) {
    let schema = operation.schema().unwrap_or_else(|| panic!("{} does not answer with JSON", operation.id));
    (schema, matches!(operation.response, ResponseKind::Array(_)))
}

impl Sources {
    /// What the documents say.
    fn documented(&self) -> Found {
        let trees = walk::documented(&self.documents);
        let mut walk = FieldWalk::new(&self.catalogue, &trees);
        for (name, tree) in &trees {
            if name == ERROR {
                walk.document("Error", false, tree, VersionSet::ALL);
            } else if name.contains(' ') {
                let operation = OPERATIONS.iter().find(|known| is_same(name, known));
                let operation = operation.unwrap_or_else(|| panic!("src does not list {name}"));
                let (schema, is_array) = described(operation);
                let last = operation.versions.last.map_or(127, |last| last.minor());
                walk.document(schema, is_array, tree, VersionSet::range(operation.versions.first.minor(), last));
            }
        }
        walk.found()
    }

    /// What the recordings of one engine show.
    fn recorded(&self, engine: &str) -> Found {
        self.shown(self.recordings.iter().filter(|recording| recording.engine == engine))
    }

    /// The first recording of an engine that shows something.
    fn file_with(&self, engine: &str, shows: impl Fn(&Found) -> bool) -> &str {
        let mut recordings = self.recordings.iter().filter(|recording| recording.engine == engine);
        let found = recordings.find(|recording| shows(&self.shown([*recording].into_iter())));
        &found.unwrap().path
    }

    /// What some recordings show.
    fn shown<'r>(&self, recordings: impl Iterator<Item = &'r RecordedAnswer>) -> Found {
        let mut trees = BTreeMap::<&str, Tree>::new();
        for recording in recordings {
            let tree = trees.entry(recording.schema).or_default();
            recording.documents.iter().for_each(|document| tree.add(document, recording.minor));
        }
        let none = BTreeMap::new();
        let mut walk = FieldWalk::new(&self.catalogue, &none);
        for (schema, tree) in &trees {
            walk.document(schema, false, tree, VersionSet::ALL);
        }
        walk.found()
    }
}

/// A row of the table: types, and the first and the last version, if any is known.
#[derive(Clone, Debug, Default, PartialEq)]
struct Row {
    kinds: BTreeSet<String>,
    versions: Option<(u16, Option<u16>)>,
}

impl Row {
    fn new(mut kinds: BTreeSet<String>, versions: Option<(u16, Option<u16>)>) -> Self {
        if kinds.len() > 1 {
            // Some document gives no type, or some recording has null.
            kinds.remove("any");
        }
        Self { kinds, versions }
    }

    /// What documents say of a field. The newest one is that of 1.`newest`.
    fn documented(known: Known, newest: u16) -> Self {
        let versions = known.versions.bounds().map(|(first, last)| (first, (last < newest).then_some(last)));
        Self::new(known.kinds, versions)
    }

    /// Whether 1.`minor` has the field, as far as is known.
    fn has(&self, minor: u16) -> bool {
        self.versions.is_none_or(|(first, last)| first <= minor && last.is_none_or(|last| minor <= last))
    }

    /// Whether a value of a type can be in the field.
    fn can_be(&self, kind: &str) -> bool {
        let is_number = kind == "integer" && self.kinds.contains("number");
        self.kinds.contains(kind) || self.kinds.contains("any") || is_number || kind == "any"
    }
}

/// A table in the making.
struct Draft<'s> {
    sources: &'s Sources,
    rows: BTreeMap<FieldName, Row>,
    /// The members that an engine was recorded to write in some objects and not in others.
    varying: BTreeSet<FieldName>,
    problems: Vec<String>,
    /// The newest version that a document describes.
    newest_document: u16,
    /// The newest version of all.
    newest: u16,
}

/// A field that only recordings have.
#[derive(Default)]
struct OnlyRecorded {
    kinds: BTreeSet<String>,
    /// The first version of each Docker engine that sends it, where that is known.
    firsts: Vec<Option<u16>>,
}

impl Sources {
    /// The text of the table.
    ///
    /// # Errors
    /// The fields that no class file has, and where the sources contradict each other.
    pub(crate) fn table(&self) -> Result<String, Vec<String>> {
        let newest = self.documents.versions.bounds().unwrap().1;
        let mut draft = Draft {
            sources: self,
            rows: BTreeMap::new(),
            varying: BTreeSet::new(),
            problems: Vec::new(),
            newest_document: newest,
            newest,
        };
        let fields = self.fields();
        let documented = self.documented();
        let rows = documented.known.into_iter().map(|(name, known)| (name, Row::documented(known, newest)));
        draft.rows = rows.collect();
        draft.apply_overrides(documented.unclassified, &fields);
        draft.apply_recordings();
        draft.finish(&fields)
    }

    /// Every field of the catalogue, and every place where a schema nests.
    fn fields(&self) -> BTreeSet<FieldName> {
        let mut found = BTreeSet::new();
        for schema in self.catalogue.schemas() {
            found.extend(schema.leaves().into_iter().map(|leaf| (schema.name().to_owned(), leaf.path)));
        }
        self.each_place(&mut |name, field, _| found.extend(field.nested.as_ref().map(|_| name.clone())));
        found
    }

    /// Every member of the catalogue, whether it is a field or only holds fields.
    fn members(&self) -> BTreeMap<FieldName, &Field> {
        let mut found = BTreeMap::new();
        self.each_place(&mut |name, field, is_member| found.extend(is_member.then(|| (name.clone(), field))));
        found
    }

    /// Calls `look` with every place of the catalogue, and with whether it is a member with a name.
    fn each_place<'c>(&'c self, look: &mut dyn FnMut(&FieldName, &'c Field, bool)) {
        fn walk<'c>(
            name: FieldName,
            field: &'c Field,
            is_member: bool,
            look: &mut dyn FnMut(&FieldName, &'c Field, bool),
        ) {
            look(&name, field, is_member);
            let below = |step: &str| (name.0.clone(), format!("{}{step}", name.1));
            for (member, field) in &field.members {
                walk(below(&step(member)), field, true, look);
            }
            for (step, field) in [(".*", &field.any_member), ("[*]", &field.elements)] {
                field.iter().for_each(|field| walk(below(step), field, false, look));
            }
        }
        for schema in self.catalogue.schemas() {
            walk((schema.name().to_owned(), "$".to_owned()), schema.root(), false, look);
        }
    }

    /// Whether 1.`minor` always writes a member.
    fn is_always(&self, member: &FieldName, minor: u16) -> bool {
        let always = self.always.get(member);
        always.is_some_and(|(first, last)| *first <= minor && last.is_none_or(|last| minor <= last))
    }
}

impl Draft<'_> {
    /// Replaces rows by what overrides say. `unclassified` are the places in documents that no class file has.
    fn apply_overrides(&mut self, mut unclassified: BTreeMap<FieldName, VersionSet>, fields: &BTreeSet<FieldName>) {
        for Override { name, statement } in &self.sources.overrides {
            let (schema, path) = name;
            let problem = match statement {
                Statement::DocumentError(versions) => {
                    let before = unclassified.len();
                    unclassified.retain(|(of, place), known| {
                        of != schema || !place.starts_with(path) || !known.without(*versions).is_empty()
                    });
                    (unclassified.len() == before).then_some("the documents do not have this error")
                }
                Statement::Is { .. } if !fields.contains(name) => Some("no class file has this field"),
                Statement::Is { kind, versions } => {
                    let row = self.rows.entry(name.clone()).or_default();
                    let kinds = kind.as_ref().map(|kind| kind.split('|').map(str::to_owned).collect());
                    let new = Row { kinds: kinds.unwrap_or_else(|| row.kinds.clone()), versions: *versions };
                    let is_same = *row == new;
                    *row = new;
                    is_same.then_some("the documents say the same without it")
                }
            };
            self.problems.extend(problem.map(|problem| format!("override {schema} {path}: {problem}")));
        }
        for ((schema, path), versions) in unclassified {
            let versions = versions.write(self.sources.documents.versions);
            self.problems.push(format!("{schema} {path} is documented for {versions} and in no class file"));
        }
    }

    /// Holds the rows against the recordings of every engine, and adds the fields that only recordings have.
    fn apply_recordings(&mut self) {
        let recordings = &self.sources.recordings;
        let mut others = BTreeMap::new();
        for engine in recordings.iter().map(|recording| recording.engine.as_str()).collect::<BTreeSet<&str>>() {
            let versions = recordings.iter().filter(|recording| recording.engine == engine);
            let newest = versions.map(|recording| recording.minor).max().unwrap();
            // Podman answers under the version numbers of Docker, but has fields of its own.
            let docker = engine.starts_with("docker-").then_some(newest);
            self.newest = self.newest.max(docker.unwrap_or_default());
            let found = self.sources.recorded(engine);
            for name in found.unclassified.keys() {
                let file = self.sources.file_with(engine, |found| found.unclassified.contains_key(name));
                let (schema, path) = name;
                self.problems.push(format!("{schema} {path} is in {file} and in no class file"));
            }
            let lacks = |found: &Found, name| found.lacking.get(name).is_some_and(|versions| versions.has(newest));
            for name in found.lacking.keys().filter(|name| docker.is_some() && lacks(&found, name)) {
                if self.sources.is_always(name, newest) {
                    let (file, (schema, path)) = (self.sources.file_with(engine, |found| lacks(found, name)), name);
                    self.problems.push(format!("{schema} {path} is in always.tsv, but not in every object of {file}"));
                }
            }
            self.varying.extend(found.varying);
            for (name, known) in found.known {
                match self.rows.get(&name) {
                    Some(row) => {
                        let problems = self.contradictions(&name, row, &known, engine, docker);
                        self.problems.extend(problems);
                    }
                    None => {
                        let first = self.first_recorded(&known);
                        let other: &mut OnlyRecorded = others.entry(name).or_default();
                        other.kinds.extend(known.kinds);
                        other.firsts.extend(docker.map(|_| first));
                    }
                }
            }
        }
        self.rows.extend(others.into_iter().map(|(name, OnlyRecorded { kinds, firsts })| {
            let first = firsts.into_iter().collect::<Option<Vec<u16>>>().and_then(|firsts| firsts.into_iter().min());
            (name, Row::new(kinds, first.map(|first| (first, None))))
        }));
    }

    /// Where the recordings of an engine show that a row is wrong. `docker` is the newest version of an engine of Docker;
    /// older versions say less, because an engine puts some of its newer fields into older versions too.
    fn contradictions(
        &self,
        name: &FieldName,
        row: &Row,
        recorded: &Known,
        engine: &str,
        docker: Option<u16>,
    ) -> Vec<String> {
        let (schema, path) = name;
        let mut problems = Vec::new();
        let wrong = docker.filter(|newest| recorded.versions.has(*newest) && !row.has(*newest));
        if let (Some(newest), Some((first, last))) = (wrong, row.versions) {
            let file = self
                .sources
                .file_with(engine, |found| found.known.get(name).is_some_and(|known| known.versions.has(newest)));
            let last = last.map_or("+".to_owned(), |last| format!("-1.{last}"));
            problems.push(format!("{schema} {path} is in {file}, but only 1.{first}{last} has it"));
        }
        for kind in recorded.kinds.iter().filter(|kind| !row.can_be(kind)) {
            let file = self
                .sources
                .file_with(engine, |found| found.known.get(name).is_some_and(|known| known.kinds.contains(kind)));
            let expected = Vec::from_iter(row.kinds.iter().map(String::as_str)).join(" or ");
            problems.push(format!("{schema} {path} is {kind} in {file}, expected {expected}"));
        }
        problems
    }

    /// The first version in which an engine has a field that no document has. It is known if that version is newer than
    /// the documents; an older one may have had the field before.
    fn first_recorded(&self, known: &Known) -> Option<u16> {
        let (first, last) = known.versions.bounds()?;
        (first..=last).find(|minor| *minor > self.newest_document && known.versions.has(*minor))
    }

    /// Adds the members that only hold fields: they have the versions of what is below them.
    fn add_holders(&mut self, members: &BTreeMap<FieldName, &Field>) {
        let held: BTreeSet<FieldName> =
            self.rows.keys().map(|(schema, path)| (schema.clone(), holder(path).to_owned())).collect();
        for (name, field) in members.iter().filter(|(name, _)| !held.contains(*name)) {
            let (schema, path) = name;
            let is_below = |of: &FieldName| {
                of.0 == *schema && of.1.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with(['.', '[']))
            };
            let below: Vec<_> =
                self.rows.iter().filter(|(name, _)| is_below(name)).map(|(_, row)| row.versions).collect();
            let first = below.iter().flatten().map(|(first, _)| *first).min();
            let last = below.iter().flatten().map(|(_, last)| last.unwrap_or(u16::MAX)).max();
            let versions = first.zip(last).map(|(first, last)| (first, (last < u16::MAX).then_some(last)));
            let kind = if field.elements.is_some() { "array" } else { "object" };
            self.rows.insert(name.clone(), Row { kinds: BTreeSet::from([kind.to_owned()]), versions });
        }
    }

    /// How engines write the member that holds a field: `always`, `sometimes`, or the versions in which it is always.
    fn presence(&self, (schema, path): &FieldName, row: &Row) -> String {
        let holder = holder(path);
        let member = (schema.clone(), holder.to_owned());
        let always = self.sources.always.get(&member);
        match (row.versions, always) {
            _ if holder == "$" => "always".to_owned(),
            _ if self.varying.contains(&member) => "sometimes".to_owned(),
            (None, _) | (_, None) => "sometimes".to_owned(),
            (Some((first, last)), Some((since, until))) => {
                let (since, until) = (first.max(*since), last.into_iter().chain(*until).min());
                match (since == first, until == last, until) {
                    _ if until.is_some_and(|until| until < since) => "sometimes".to_owned(),
                    (true, true, _) => "always".to_owned(),
                    (_, _, Some(until)) if until == since => format!("1.{since}"),
                    (_, _, None) => format!("1.{since}+"),
                    (_, _, Some(until)) => format!("1.{since}-1.{until}"),
                }
            }
        }
    }

    /// The text, if every one of `fields` has a row and there was no problem.
    fn finish(mut self, fields: &BTreeSet<FieldName>) -> Result<String, Vec<String>> {
        for (schema, path) in fields.iter().filter(|name| !self.rows.contains_key(*name)) {
            self.problems
                .push(format!("{schema} {path} is in a class file, but in no document, recording or override"));
        }
        let members = self.sources.members();
        for (schema, path) in self.sources.always.keys().filter(|name| !members.contains_key(*name)) {
            self.problems.push(format!("{schema} {path} is in always.tsv and in no class file"));
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        self.add_holders(&members);
        let mut text = format!("# API 1.24 to 1.{}\n{ABOUT}", self.newest);
        for (name, row) in &self.rows {
            let (schema, path) = name;
            let kinds = Vec::from_iter(row.kinds.iter().map(String::as_str)).join("|");
            let first = row.versions.map_or("-".to_owned(), |(first, _)| format!("1.{first}"));
            let last = row.versions.and_then(|(_, last)| last).map(|last| format!("1.{last}")).unwrap_or_default();
            writeln!(text, "{schema}\t{path}\t{kinds}\t{first}\t{last}\t{}", self.presence(name, row)).unwrap();
        }
        Ok(text)
    }
}

/// The member that holds the field at `path`: of elements, of the keys or values of a map, the array or the map.
fn holder(path: &str) -> &str {
    let ends = ["..*", ".*~", ".*", "[*]"];
    ends.iter().find_map(|end| path.strip_suffix(end)).map_or(path, holder)
}

/// How the table begins, after the versions it is about.
const ABOUT: &str = "\
# Every field of every answer, by schema: a generated file, see CONTRIBUTING.md.
# type: of the value; `map-key` for the keys of a map; `any` where a driver or plugin decides; the name of a schema
# where one nests.
# first, last: the versions that have the field. Without a last version the newest still has it. `-` where no version is
# known: the field is in no document of the API, but in recordings, most of them of Podman, or older than 1.24.
# presence: `always` if engines write the member even when it is empty, `sometimes` if they may leave it out, or the
# versions in which they always write it. Elements, keys and values are as the array or the map that holds them.
# schema\tpath\ttype\tfirst\tlast\tpresence
";

fn a_field_is_held_by_its_member() {
    for (path, member) in [
        ("$.Id", "$.Id"),
        ("$.Names[*]", "$.Names"),
        ("$.Labels.*~", "$.Labels"),
        ("$.Labels.*", "$.Labels"),
        ("$.DriverStatus[*][*]", "$.DriverStatus"),
        ("$.Ports.*[*].HostIp", "$.Ports.*[*].HostIp"),
        ("$.Statement..*", "$.Statement"),
        ("$.*..*", "$"),
    ] {
        assert_eq!(holder(path), member);
    }
}
