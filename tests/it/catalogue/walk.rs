//! Finds the field of the catalogue for every place in OpenAPI documents or recordings.

use std::collections::{BTreeMap, BTreeSet};

use dockveil::schema::{Catalogue, Field};
use serde_json::Value;

use super::openapi::Documents;
use super::versions::VersionSet;
use crate::support::leaves::step;

/// A schema, and a field of it as class files write it.
pub(crate) type FieldName = (String, String);

/// What documents or recordings have at one place, and at the places below it.
#[derive(Default)]
pub(crate) struct Tree {
    /// JSON types and definitions, each with the versions that have it.
    kinds: BTreeMap<String, VersionSet>,
    /// By step, as class files write it.
    below: BTreeMap<String, Self>,
    /// How often something was recorded here, by minor version.
    times: BTreeMap<u16, usize>,
    /// How often it was an object.
    objects: BTreeMap<u16, usize>,
}

/// What the definitions and operations of documents say, by name.
pub(crate) fn documented(documents: &Documents) -> BTreeMap<String, Tree> {
    let mut trees = BTreeMap::<String, Tree>::new();
    for (fact, stated) in &documents.facts {
        let tree = trees.entry(fact.name.clone()).or_default();
        let steps = steps(&fact.path).into_iter();
        let place = steps.fold(tree, |tree, step| tree.below.entry(step.to_owned()).or_default());
        let versions = place.kinds.entry(fact.kind.clone()).or_default();
        *versions = versions.or(stated.versions);
        // No document describes 1.24: it had what the oldest one has, unless an override says otherwise.
        if versions.has(25) {
            *versions = versions.or(VersionSet::one(24));
        }
    }
    trees
}

impl Tree {
    /// Adds a value that was recorded for 1.`minor`. A null may stand for any type.
    pub(crate) fn add(&mut self, value: &Value, minor: u16) {
        *self.times.entry(minor).or_default() += 1;
        let kind = match value {
            Value::Null => "any",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(elements) => {
                elements.iter().for_each(|element| self.below.entry("[*]".to_owned()).or_default().add(element, minor));
                "array"
            }
            Value::Object(members) => {
                *self.objects.entry(minor).or_default() += 1;
                for (name, member) in members {
                    self.below.entry(step(name)).or_default().add(member, minor);
                }
                "object"
            }
        };
        let known = self.kinds.entry(kind.to_owned()).or_default();
        *known = known.or(VersionSet::one(minor));
    }

    /// How often the member at `step` was recorded for 1.`minor`.
    fn times(&self, step: &str, minor: u16) -> usize {
        self.below.get(step).and_then(|member| member.times.get(&minor)).copied().unwrap_or_default()
    }

    /// The versions in which an object was recorded here without the member at `step`.
    fn lacking(&self, step: &str) -> VersionSet {
        let lacking = self.objects.iter().filter(|(minor, objects)| self.times(step, **minor) < **objects);
        lacking.fold(VersionSet::NONE, |all, (minor, _)| all.or(VersionSet::one(*minor)))
    }

    /// Whether objects of one version were recorded here with the member at `step` and without it.
    fn varies(&self, step: &str) -> bool {
        self.objects.iter().any(|(minor, objects)| (1..*objects).contains(&self.times(step, *minor)))
    }
}

/// What is known of a field.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Known {
    /// JSON types, `map-key`, `any`; of a place where a schema nests, the name of that schema.
    pub(crate) kinds: BTreeSet<String>,
    /// The versions that have it.
    pub(crate) versions: VersionSet,
}

impl Known {
    /// Adds what another source knows.
    pub(crate) fn add(&mut self, kind: &str, versions: VersionSet) {
        self.kinds.insert(kind.to_owned());
        self.versions = self.versions.or(versions);
    }
}

/// What a walk has found.
#[derive(Default)]
pub(crate) struct Found {
    /// The fields of the catalogue.
    pub(crate) known: BTreeMap<FieldName, Known>,
    /// Places that no class file has.
    pub(crate) unclassified: BTreeMap<FieldName, VersionSet>,
    /// Members of the catalogue that some recorded object does not have, and the versions of these objects.
    pub(crate) lacking: BTreeMap<FieldName, VersionSet>,
    /// Members that some recorded object has and another one of the same version does not have.
    pub(crate) varying: BTreeSet<FieldName>,
}

/// A walk over documents and the catalogue at the same time.
pub(crate) struct FieldWalk<'s> {
    catalogue: &'s Catalogue,
    definitions: &'s BTreeMap<String, Tree>,
    found: Found,
}

/// Trees that describe one place, each in some versions.
type Trees<'s> = Vec<(&'s Tree, VersionSet)>;

/// Where a walk is.
#[derive(Clone)]
struct Place<'s> {
    schema: String,
    path: String,
    /// `None` where the catalogue has nothing.
    field: Option<&'s Field>,
}

impl<'s> FieldWalk<'s> {
    /// A walk that looks up the definitions that trees name in `definitions`.
    pub(crate) fn new(catalogue: &'s Catalogue, definitions: &'s BTreeMap<String, Tree>) -> Self {
        Self { catalogue, definitions, found: Found::default() }
    }

    /// What was found.
    pub(crate) fn found(self) -> Found {
        self.found
    }

    /// Visits a document of `schema`, or an array of them.
    pub(crate) fn document(&mut self, schema: &str, is_array: bool, tree: &'s Tree, versions: VersionSet) {
        let mut trees = vec![(tree, versions)];
        if is_array {
            let arrays = self.resolved(trees);
            trees =
                arrays.into_iter().filter_map(|(tree, versions)| Some((tree.below.get("[*]")?, versions))).collect();
        }
        let root = self.catalogue.schema(schema).unwrap_or_else(|| panic!("no schema {schema}")).root();
        self.visit(Place { schema: schema.to_owned(), path: "$".to_owned(), field: Some(root) }, trees);
    }

    /// The trees, and those of the definitions that they name.
    fn resolved(&self, trees: Trees<'s>) -> Trees<'s> {
        let (mut resolved, mut waiting) = (Vec::new(), trees);
        while let Some((tree, versions)) = waiting.pop() {
            let definitions =
                tree.kinds.iter().filter_map(|(kind, stated)| Some((self.definitions.get(kind)?, *stated)));
            waiting.extend(definitions.map(|(definition, stated)| (definition, stated.and(versions))));
            if !versions.is_empty() {
                resolved.push((tree, versions));
            }
        }
        resolved
    }

    /// The JSON types at a place.
    fn kinds(&self, trees: &Trees<'s>) -> Vec<(&'s str, VersionSet)> {
        let kinds = trees.iter().flat_map(|(tree, versions)| {
            tree.kinds.iter().map(|(kind, stated)| (kind.as_str(), stated.and(*versions)))
        });
        kinds.filter(|(kind, versions)| !self.definitions.contains_key(*kind) && !versions.is_empty()).collect()
    }

    /// Records a field: the place, and what `end` adds to its path.
    fn record(&mut self, place: &Place, end: &str, kind: &str, versions: VersionSet) {
        let name = (place.schema.clone(), format!("{}{end}", place.path));
        self.found.known.entry(name).or_default().add(kind, versions);
    }

    /// Records a place that no class file has.
    fn record_unclassified(&mut self, place: &Place, versions: VersionSet) {
        let known = self.found.unclassified.entry((place.schema.clone(), place.path.clone())).or_default();
        *known = known.or(versions);
    }

    /// Visits a place and all that is below it.
    fn visit(&mut self, mut place: Place<'s>, trees: Trees<'s>) {
        let trees = self.resolved(trees);
        let kinds = self.kinds(&trees);
        let versions = kinds.iter().fold(VersionSet::NONE, |all, (_, versions)| all.or(*versions));
        if versions.is_empty() {
            return;
        }
        let Some(mut field) = place.field else { return self.record_unclassified(&place, versions) };
        if let Some(inner) = &field.nested {
            self.record(&place, "", inner, versions);
            field = self.catalogue.schema(inner).unwrap().root();
            place = Place { schema: inner.clone(), path: "$".to_owned(), field: Some(field) };
        }
        if field.opaque.is_some() {
            return self.record(&place, "..*", "any", versions);
        }
        let is_way = !field.members.is_empty() || field.any_member.is_some() || field.elements.is_some();
        for (kind, versions) in kinds {
            match kind {
                "object" | "array" | "any" if is_way => {}
                _ if field.class.is_some() => self.record(&place, "", kind, versions),
                _ => self.record_unclassified(&place, versions),
            }
        }
        for name in field.members.keys().map(|name| step(name)) {
            let lacking = trees.iter().fold(VersionSet::NONE, |all, (tree, _)| all.or(tree.lacking(&name)));
            if !lacking.is_empty() {
                let known =
                    self.found.lacking.entry((place.schema.clone(), format!("{}{name}", place.path))).or_default();
                *known = known.or(lacking);
            }
            if trees.iter().any(|(tree, _)| tree.varies(&name)) {
                self.found.varying.insert((place.schema.clone(), format!("{}{name}", place.path)));
            }
        }
        let steps: BTreeSet<&str> = trees.iter().flat_map(|(tree, _)| tree.below.keys().map(String::as_str)).collect();
        for step in steps {
            let below: Trees<'s> =
                trees.iter().filter_map(|(tree, versions)| Some((tree.below.get(step)?, *versions))).collect();
            let named = field.members.get(member(step));
            let (field, step) = match (step, &field.any_member) {
                ("[*]", _) => (field.elements.as_deref(), step),
                (".*", any) => (any.as_deref(), step),
                (_, Some(any)) if named.is_none() => (Some(&**any), ".*"),
                (_, _) => (named, step),
            };
            if step == ".*" && field.is_some() {
                let keys = self.resolved(below.clone());
                let versions = self.kinds(&keys).iter().fold(VersionSet::NONE, |all, (_, versions)| all.or(*versions));
                if !versions.is_empty() {
                    self.record(&place, ".*~", "map-key", versions);
                }
            }
            self.visit(Place { schema: place.schema.clone(), path: format!("{}{step}", place.path), field }, below);
        }
    }
}

/// The steps of a path, each as class files write it.
fn steps(path: &str) -> Vec<&str> {
    let (mut steps, mut rest) = (Vec::new(), path.strip_prefix('$').unwrap());
    while !rest.is_empty() {
        let end = match rest.strip_prefix("['") {
            Some(name) => name.find("']").unwrap() + "['']".len(),
            None => rest[1..].find(['.', '[']).map_or(rest.len(), |end| end + 1),
        };
        let (step, after) = rest.split_at(end);
        steps.push(step);
        rest = after;
    }
    steps
}

/// The name in a step to a member.
fn member(step: &str) -> &str {
    step.strip_prefix("['").and_then(|name| name.strip_suffix("']")).unwrap_or(&step[1..])
}
