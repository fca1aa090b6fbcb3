//! Profile files as written, and how they become profiles.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::built_in::{self, ProfileFiles};
use super::{BuiltInProfiles, DecidingLines, Edits, ListedName, OpenedBy, Profile, RequestContents, StreamFiltering};
use crate::api::objects::{ObjectKind, PathObject, objects_of};
use crate::api::{OPERATIONS, Operation, groups, lists, operation, operations_named, unknown_operation};
use crate::filter::{Rule, Show, accepts_unknown, parse_rule, path_of, reach};
use crate::quoting;
use crate::schema::{Catalogue, Class, ClassSet, NameList};
use crate::visibility::Restriction;
use crate::yaml::{Diagnostic, Diagnostics, Location, Members, Node, unknown, unknown_or};

/// The keys of a profile file.
const KEYS: [&str; 23] = [
    "profile",
    "about",
    "extends",
    "allow",
    "deny",
    "parameters",
    "containers",
    "images",
    "volumes",
    "networks",
    "services",
    "show",
    "hide",
    "unknown",
    "labels",
    "env",
    "annotations",
    "options",
    "mask-values",
    "rules",
    "events",
    "stats",
    "edits",
];

/// The classes that a profile file shows or hides.
#[derive(Clone, Debug)]
enum RawClasses {
    /// `show: all`, with the line of the value.
    All(Location),
    /// `show: [..]`: each class with its line, and the line of the key.
    Show(Vec<(Class, Location)>, Location),
    /// `hide: [..]`: each class with its line, and the line of the key.
    Hide(Vec<(Class, Location)>, Location),
    /// Neither key.
    Nothing,
}

/// A profile file as written. The profile that it extends has not been looked up.
#[derive(Clone, Debug)]
pub(super) struct RawProfile {
    pub(super) name: String,
    pub(super) location: Location,
    about: String,
    extends: Option<(String, Location)>,
    allow: NamedOperations,
    deny: NamedOperations,
    parameters: BTreeMap<&'static str, RequestContents>,
    objects: Vec<(ObjectKind, Restriction, Location)>,
    classes: RawClasses,
    unknown: Option<(bool, Location)>,
    names: Vec<ListedName>,
    mask: Option<(bool, Location)>,
    rules: Vec<Rule>,
    /// The entries of lists that a rule hides by name: they are hidden in every schema.
    hidden_names: Vec<(NameList, String, Location)>,
    events: Option<(StreamFiltering, Location)>,
    stats: Option<(StreamFiltering, Location)>,
    edits: Option<Edits>,
}

/// Profile files as written, by the names of their profiles.
#[derive(Debug, Default)]
pub(super) struct RawProfiles {
    pub(super) by_name: BTreeMap<String, RawProfile>,
    /// The names of those that have errors.
    pub(super) broken: BTreeSet<String>,
    /// The names of the built-in profiles that are not read.
    pub(super) unread: BTreeSet<&'static str>,
}

impl RawProfiles {
    /// Reads built-in profiles and more. Reports every error in them. A duplicate name is an error.
    pub(super) fn read(
        built_in: BuiltInProfiles<'_>,
        documents: &[Node],
        catalogue: &Catalogue,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut profiles = Self::default();
        let own: Vec<RawProfile> =
            documents.iter().filter_map(|document| profiles.read_one(document, catalogue, diagnostics)).collect();
        if built_in != BuiltInProfiles::None {
            profiles.unread = built_in::names().collect();
        }
        let mut wanted: Vec<String> = own.iter().map(|raw| raw.name.clone()).collect();
        wanted.extend(own.iter().filter_map(RawProfile::parent));
        match built_in {
            BuiltInProfiles::None => {}
            BuiltInProfiles::Named(names) => wanted.extend(names.iter().cloned()),
            BuiltInProfiles::All => wanted.extend(built_in::names().map(str::to_owned)),
        }
        let mut files = ProfileFiles::default();
        while let Some(name) = wanted.pop() {
            if !profiles.unread.remove(name.as_str()) {
                continue;
            }
            let document = diagnostics.ok(files.document(&name));
            if let Some(raw) = document.and_then(|document| profiles.read_one(&document, catalogue, diagnostics)) {
                wanted.extend(raw.parent());
                profiles.by_name.insert(raw.name.clone(), raw);
            }
        }
        for raw in own {
            profiles.add(raw, diagnostics);
        }
        profiles
    }

    /// Reads one file.
    fn read_one(
        &mut self,
        document: &Node,
        catalogue: &Catalogue,
        diagnostics: &mut Diagnostics,
    ) -> Option<RawProfile> {
        let errors = diagnostics.len();
        let raw = RawProfile::read(document, catalogue, diagnostics)?;
        if diagnostics.len() > errors {
            self.broken.insert(raw.name.clone());
        }
        Some(raw)
    }

    /// Adds a profile, unless its name is taken.
    fn add(&mut self, raw: RawProfile, diagnostics: &mut Diagnostics) {
        match self.by_name.entry(raw.name.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(raw);
            }
            Entry::Occupied(known) => {
                let known = &known.get().location;
                let message = format!("duplicate profile {:?}: {known} already defines it", quoting::value(&raw.name));
                diagnostics.report(&raw.location, message);
            }
        }
    }

    /// Error text for an unknown profile.
    fn unknown(&self, name: &str) -> String {
        let names: BTreeSet<&str> =
            self.by_name.keys().map(String::as_str).chain(self.unread.iter().copied()).collect();
        unknown("profile", name, names)
    }
}

impl RawProfile {
    /// The name of the profile that it extends.
    fn parent(&self) -> Option<String> {
        self.extends.as_ref().map(|(name, _)| name.clone())
    }

    /// Reads a profile file and reports every error in it. Returns `None` if the profile has no name.
    pub(super) fn read(document: &Node, catalogue: &Catalogue, diagnostics: &mut Diagnostics) -> Option<Self> {
        let members = diagnostics.members(document, "a profile", &KEYS)?;
        let text = |name: &str, what: &str, diagnostics: &mut Diagnostics| {
            let node = members.get(name)?;
            diagnostics.ok(node.text(what)).map(|text| (text.to_owned(), node.location.clone()))
        };
        let named = text("profile", "the name of the profile", diagnostics);
        let about =
            text("about", "a description of the profile", diagnostics).map(|(about, _)| about).unwrap_or_default();
        let extends = text("extends", "the name of a profile", diagnostics);
        let mut named_operations = |key: &str, can_be_bound| {
            let node = members.get(key);
            node.map(|node| NamedOperations::read(node, can_be_bound, diagnostics)).unwrap_or_default()
        };
        let (allow, deny) = (named_operations("allow", true), named_operations("deny", false));
        let parameters = members.get("parameters").map(|node| parameters(node, diagnostics)).unwrap_or_default();
        let objects = objects(members, diagnostics);
        let classes = RawClasses::read(members, diagnostics);
        let unknown = members.get("unknown").and_then(|node| located(node, diagnostics, shown_or_hidden));
        let mut names = Vec::new();
        for list in lists::ALL {
            names.extend(globs(members, list, diagnostics));
        }
        let mask = members.get("mask-values").and_then(|node| located(node, diagnostics, Node::boolean));
        let rules = members.get("rules").map(|node| rules(node, catalogue, diagnostics)).unwrap_or_default();
        let hiding = rules.iter().filter(|rule| rule.action.hides());
        let entries_of = |rule: &Rule| {
            let location = rule.location.clone();
            let entries = reach::named_entries(catalogue, rule).into_iter();
            entries.map(move |(list, name)| (list, name, location.clone())).collect::<Vec<_>>()
        };
        let hidden_names = hiding.flat_map(entries_of).collect();
        let mut filtering = |name: &str| {
            let node = members.get(name)?;
            located(node, diagnostics, stream_filtering)
        };
        let (events, stats) = (filtering("events"), filtering("stats"));
        let edits = members.get("edits").map(|node| Edits::read(node, catalogue, diagnostics));
        let Some((name, location)) = named else {
            if members.get("profile").is_none() {
                diagnostics.push(document.diagnostic("expected `profile`, the name of the profile"));
            }
            return None;
        };
        Some(Self {
            name,
            location,
            about,
            extends,
            allow,
            deny,
            parameters,
            objects,
            classes,
            unknown,
            names,
            mask,
            rules,
            hidden_names,
            events,
            stats,
            edits,
        })
    }

    /// Merges the profile with those that it extends. Operations, named entries and rules are added up, and so are the
    /// restrictions to some objects, of which each hides more; `deny` takes
    /// operations away, in this profile and in those that extend it; `show` adds classes and `hide` removes them; every other
    /// key, and every entry of `parameters`, overrides that of the extended profile.
    ///
    /// # Errors
    /// Diagnostics if an extended profile does not exist, if the profile extends itself, if an operation is allowed by its id
    /// that is denied, or if `parameters` names an operation that is not allowed.
    pub(super) fn profile(&self, raw_profiles: &RawProfiles) -> Result<Profile, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let ancestry = self.ancestry(raw_profiles)?;
        let mut profile = Profile {
            name: self.name.clone(),
            location: self.location.clone(),
            about: self.about.clone(),
            allow: BTreeMap::new(),
            deny: BTreeMap::new(),
            parameters: BTreeMap::new(),
            objects: Vec::new(),
            bound: BTreeMap::new(),
            show: Show { mask: true, ..Show::default() },
            classes: BTreeMap::new(),
            rules: Vec::new(),
            events: StreamFiltering::default(),
            stats: StreamFiltering::default(),
            edits: Edits::default(),
            opened_by: OpenedBy::default(),
            lines: DecidingLines::default(),
        };
        if let Some(root) = ancestry.last() {
            root.classes.start(&mut profile, &root.location);
        }
        for raw in ancestry.into_iter().rev() {
            raw.add_to(&mut profile, &mut diagnostics);
        }
        for (id, contents) in &self.parameters {
            if let Some(location) = contents.location.as_ref().filter(|_| !profile.allow.contains_key(id)) {
                let message = format!("parameters of {id}, which the profile does not allow");
                diagnostics.report(location, message);
            }
        }
        diagnostics.finish(profile)
    }

    /// The names of this profile, of the one that it extends, and so on; none if one of them does not exist.
    pub(super) fn ancestors<'p>(&'p self, raw_profiles: &'p RawProfiles) -> impl Iterator<Item = &'p str> {
        self.ancestry(raw_profiles).unwrap_or_default().into_iter().map(|raw| raw.name.as_str())
    }

    /// This profile, the one that it extends, the one that this extends, and so on.
    fn ancestry<'p>(&'p self, raw_profiles: &'p RawProfiles) -> Result<Vec<&'p Self>, Diagnostic> {
        let mut ancestry = vec![self];
        let mut seen = BTreeSet::from([self.name.as_str()]);
        let mut last = self;
        while let Some((parent, location)) = &last.extends {
            let Some(raw) = raw_profiles.by_name.get(parent) else {
                return Err(Diagnostic::new(location, raw_profiles.unknown(parent)));
            };
            if !seen.insert(&raw.name) {
                return Err(Diagnostic::new(location, format!("profile {:?} extends itself", quoting::value(parent))));
            }
            ancestry.push(raw);
            last = raw;
        }
        Ok(ancestry)
    }

    /// Adds the keys of this file to `profile`, which has those of the extended profiles.
    fn add_to(&self, profile: &mut Profile, diagnostics: &mut Diagnostics) {
        for (id, named) in &self.deny.0 {
            profile.allow.remove(id);
            profile.deny.entry(id).or_insert_with(|| named.location.clone());
        }
        for (id, named) in &self.allow.0 {
            match profile.deny.get(id) {
                None => {
                    profile.allow.entry(id).or_insert_with(|| named.location.clone());
                }
                Some(denied) if named.by_id => {
                    diagnostics.report(&named.location, format!("{id} is allowed here and denied at {denied}"));
                }
                Some(_) => {}
            }
        }
        for (id, named) in &self.allow.0 {
            if let Some(restriction) = &named.bound {
                profile.bound.entry(id).or_default().push(restriction.clone());
            }
        }
        profile.objects.extend(self.objects.iter().cloned());
        profile.parameters.extend(self.parameters.iter().map(|(id, contents)| (*id, contents.clone())));
        self.classes.add_to(profile);
        decide(self.unknown.as_ref(), &mut profile.show.unknown, &mut profile.lines.unknown);
        decide(self.mask.as_ref(), &mut profile.show.mask, &mut profile.lines.mask);
        for ListedName { list, name, .. } in &self.names {
            profile.show.names.extend(*list, [name]);
        }
        profile.lines.names.extend(self.names.iter().cloned());
        profile.rules.extend(self.rules.iter().cloned());
        for (list, name, location) in &self.hidden_names {
            profile.show.names.exclude(*list, name);
            profile.lines.list(*list, &[format!("!{name}")], location);
        }
        decide(self.events.as_ref(), &mut profile.events, &mut profile.lines.events);
        decide(self.stats.as_ref(), &mut profile.stats, &mut profile.lines.stats);
        if let Some(edits) = &self.edits {
            profile.edits = edits.clone();
        }
    }
}

/// The operations that `allow` or `deny` names, by their ids.
#[derive(Clone, Debug, Default)]
struct NamedOperations(BTreeMap<&'static str, NamedOperation>);

/// Where a profile file names an operation.
#[derive(Clone, Debug)]
struct NamedOperation {
    location: Location,
    /// Whether its id is written, and not only a group that it belongs to.
    by_id: bool,
    /// The objects that it may be about. `None`: any.
    bound: Option<Restriction>,
}

impl NamedOperations {
    /// Reads a list of ids and groups, or a text with such names between commas, as `check` prints them. In `allow`, an item
    /// can be a mapping from such a name to the objects that the operations may be about.
    fn read(node: &Node, can_be_bound: bool, diagnostics: &mut Diagnostics) -> Self {
        let (mut found, mut seen) = (Self::default(), BTreeMap::new());
        if let Ok(text) = node.text("") {
            found.add_names(text, node, &mut seen, diagnostics);
            return found;
        }
        for item in diagnostics.ok(node.list("a list of ids or groups of operations")).unwrap_or_default() {
            match item.mapping("") {
                Ok(entries) if can_be_bound => {
                    for (key, objects) in entries {
                        found.add_bound(&key.name, item, objects, &mut seen, diagnostics);
                    }
                }
                Ok(_) | Err(_) => {
                    if let Some(text) = diagnostics.ok(item.text("one of a list of ids or groups of operations")) {
                        found.add_names(text, item, &mut seen, diagnostics);
                    }
                }
            }
        }
        found
    }

    /// Adds the operations that the names in a text stand for.
    fn add_names<'n>(
        &mut self,
        text: &'n str,
        item: &'n Node,
        seen: &mut BTreeMap<&'n str, &'n Location>,
        diagnostics: &mut Diagnostics,
    ) {
        for name in text.split(quoting::separators(text, &[',', ' ', '\n'])).filter(|name| !name.is_empty()) {
            if is_new(name, item, seen, diagnostics) {
                self.add(name, item, diagnostics, |_, _| None);
            }
        }
    }

    /// Adds the operations that a name stands for, if they are about these objects.
    fn add_bound<'n>(
        &mut self,
        name: &'n str,
        item: &'n Node,
        objects: &Node,
        seen: &mut BTreeMap<&'n str, &'n Location>,
        diagnostics: &mut Diagnostics,
    ) {
        if !is_new(name, item, seen, diagnostics) {
            return;
        }
        let mut read: BTreeMap<ObjectKind, Option<Restriction>> = BTreeMap::new();
        self.add(name, item, diagnostics, |operation, diagnostics| {
            let about = diagnostics.ok(objects_of(operation)).flatten();
            let Some(kind) = about.and_then(|about| about.path).map(PathObject::kind) else {
                let message =
                    format!("{} is about no single object, expected it without `only` and `never`", operation.id);
                diagnostics.push(item.diagnostic(message));
                return None;
            };
            read.entry(kind).or_insert_with(|| Restriction::read(kind, objects, diagnostics)).clone()
        });
    }

    /// Adds the operations that `name` stands for.
    fn add(
        &mut self,
        name: &str,
        item: &Node,
        diagnostics: &mut Diagnostics,
        mut bound: impl FnMut(&Operation, &mut Diagnostics) -> Option<Restriction>,
    ) {
        let operations = groups::operations_called(name);
        if operations.is_empty() {
            diagnostics.push(item.diagnostic(groups::unknown_name(name)));
        }
        let by_id = operations_named(name).next().is_some();
        for operation in operations {
            let (location, bound) = (item.location.clone(), bound(operation, diagnostics));
            match self.0.entry(operation.id) {
                Entry::Vacant(entry) => {
                    entry.insert(NamedOperation { location, by_id, bound });
                }
                // A binding holds, whatever else names the operation.
                Entry::Occupied(mut entry) => {
                    let known = entry.get_mut();
                    known.bound = known.bound.take().or(bound);
                    if by_id && !known.by_id {
                        (known.location, known.by_id) = (location, by_id);
                    }
                }
            }
        }
    }
}

/// Whether a name is not in a list yet. Reports it if it is.
fn is_new<'n>(
    name: &'n str,
    item: &'n Node,
    seen: &mut BTreeMap<&'n str, &'n Location>,
    diagnostics: &mut Diagnostics,
) -> bool {
    let Some(first) = seen.insert(name, &item.location) else { return true };
    diagnostics
        .push(item.diagnostic(format!("duplicate operation {}: {first} already lists it", quoting::value(name))));
    false
}

/// Reads `containers`, `images` and so on.
fn objects(members: Members<'_>, diagnostics: &mut Diagnostics) -> Vec<(ObjectKind, Restriction, Location)> {
    let mut found = Vec::new();
    for kind in ObjectKind::ALL {
        if let Some((key, node)) = members.entry(kind.key()) {
            let restriction = Restriction::read(kind, node, diagnostics);
            found.extend(restriction.map(|restriction| (kind, restriction, key.location.clone())));
        }
    }
    found
}

impl RawClasses {
    /// Reads `show` or `hide`.
    fn read(members: Members<'_>, diagnostics: &mut Diagnostics) -> Self {
        let classes = |node: &Node, diagnostics: &mut Diagnostics| {
            let mut found = Vec::new();
            for (text, item) in diagnostics.texts(node, "classes") {
                let class = text.parse::<Class>().map_err(|error| item.diagnostic(error.to_string()));
                found.extend(diagnostics.ok(class).map(|class| (class, item.location.clone())));
            }
            found
        };
        match (members.entry("show"), members.entry("hide")) {
            (None, None) => Self::Nothing,
            (Some(_), Some((hide, _))) => {
                diagnostics.report(&hide.location, "`show` and `hide` exclude each other: use one of them");
                Self::Nothing
            }
            (Some((key, node)), None) => match node.text("") {
                Ok("all") => Self::All(node.location.clone()),
                Ok(_) => {
                    diagnostics.push(node.diagnostic("found text, expected `all` or a list of classes"));
                    Self::Nothing
                }
                Err(_) => Self::Show(classes(node, diagnostics), key.location.clone()),
            },
            (None, Some((key, node))) => Self::Hide(classes(node, diagnostics), key.location.clone()),
        }
    }

    /// Sets what a profile shows that extends no other, before any class is added or removed: everything if it has the
    /// key `hide`, else nothing. The key decides every class, or the line of the name if there is no key.
    fn start(&self, profile: &mut Profile, name: &Location) {
        let location = match self {
            Self::All(location) | Self::Show(_, location) => location,
            Self::Hide(_, location) => {
                profile.show.classes = ClassSet::ALL;
                decide(Some(&(true, location.clone())), &mut profile.show.unknown, &mut profile.lines.unknown);
                location
            }
            Self::Nothing => name,
        };
        profile.classes = Class::ALL.into_iter().map(|class| (class, location.clone())).collect();
    }

    /// Adds classes to what `profile` shows, or removes them. The line of a class decides it from now on.
    fn add_to(&self, profile: &mut Profile) {
        match self {
            Self::All(location) => {
                profile.classes = Class::ALL.into_iter().map(|class| (class, location.clone())).collect();
                profile.show.classes = ClassSet::ALL;
                decide(Some(&(true, location.clone())), &mut profile.show.unknown, &mut profile.lines.unknown);
                decide(Some(&(false, location.clone())), &mut profile.show.mask, &mut profile.lines.mask);
            }
            Self::Show(classes, _) => {
                profile.classes.extend(classes.iter().cloned());
                profile.show.classes =
                    classes.iter().fold(profile.show.classes, |shown, (class, _)| shown.with(*class));
            }
            Self::Hide(classes, _) => {
                profile.classes.extend(classes.iter().cloned());
                let hidden: ClassSet = classes.iter().map(|(class, _)| *class).collect();
                profile.show.classes = profile.show.classes.iter().filter(|class| !hidden.contains(*class)).collect();
            }
            Self::Nothing => {}
        }
    }
}

/// Reads the value of a key, with its location.
fn located<T>(
    node: &Node,
    diagnostics: &mut Diagnostics,
    read: impl Fn(&Node) -> Result<T, Diagnostic>,
) -> Option<(T, Location)> {
    diagnostics.ok(read(node)).map(|value| (value, node.location.clone()))
}

/// Sets a value and the line that decides it, if a key sets it.
fn decide<T: Copy>(set: Option<&(T, Location)>, value: &mut T, line: &mut Option<Location>) {
    if let Some((new, location)) = set {
        (*value, *line) = (*new, Some(location.clone()));
    }
}

/// Reads `unknown`.
fn shown_or_hidden(node: &Node) -> Result<bool, Diagnostic> {
    match node.text("`show` or `hide`")? {
        "show" => Ok(true),
        "hide" => Ok(false),
        other => Err(node.diagnostic(format!("found {:?}, expected `show` or `hide`", quoting::value(other)))),
    }
}

/// Reads `events` or `stats`.
fn stream_filtering(node: &Node) -> Result<StreamFiltering, Diagnostic> {
    match node.text("`untouched` or `filtered`")? {
        "untouched" => Ok(StreamFiltering::Untouched),
        "filtered" => Ok(StreamFiltering::Filtered),
        other => Err(node.diagnostic(format!("found {:?}, expected `untouched` or `filtered`", quoting::value(other)))),
    }
}

/// Reads `parameters`.
fn parameters(node: &Node, diagnostics: &mut Diagnostics) -> BTreeMap<&'static str, RequestContents> {
    let mut found = BTreeMap::new();
    for (key, value) in diagnostics.ok(node.mapping("lists of parameters by operation")).unwrap_or_default() {
        match operation(&key.name) {
            Some(operation) => {
                let contents = RequestContents::read(operation, value, diagnostics);
                if found.insert(operation.id, contents).is_some() {
                    diagnostics.report(&key.location, format!("duplicate operation {}", operation.id));
                }
            }
            None => diagnostics.report(&key.location, unknown_operation(&key.name)),
        }
    }
    found
}

/// Reads a list of names, in which `*` stands for any text. A name behind `!` is an exclusion. A label with `=` behind it is
/// shown without its value.
fn globs(members: Members<'_>, list: NameList, diagnostics: &mut Diagnostics) -> Vec<ListedName> {
    let Some(node) = members.get(list.key()) else { return Vec::new() };
    let mut found: Vec<ListedName> = Vec::new();
    for (text, item) in diagnostics.texts(node, "names, in which `*` stands for any text") {
        let name = text.strip_prefix('!').unwrap_or(text);
        // Of labels, `NAME=` shows the name alone.
        let name = if name == text && list == lists::LABELS { text.strip_suffix('=').unwrap_or(text) } else { name };
        let is_alone = name.len() < text.len() && !text.starts_with('!');
        let opposite = if name == text || is_alone { format!("!{name}") } else { name.to_owned() };
        let wrong = name.chars().find(|c| "?[]{}=!".contains(*c) || c.is_whitespace());
        match wrong {
            None if name.is_empty() => {
                diagnostics.push(item.diagnostic(format!("found {:?}, expected a name", quoting::value(text))))
            }
            None if found.iter().any(|known| known.name == opposite) => {
                diagnostics.push(item.diagnostic(format!(
                    "the list has both {:?} and its exclusion, expected one",
                    quoting::value(name)
                )));
            }
            None => found.push(ListedName { list, name: text.to_owned(), location: item.location.clone() }),
            Some(c) => {
                let expected = "expected a name in which only `*`, and `!` before it, are special";
                diagnostics.push(item.diagnostic(format!("found {c:?} in {:?}, {expected}", quoting::value(text))));
            }
        }
    }
    found
}

/// Reads `rules`. A rule that names an operation applies to the schema of its response.
fn rules(node: &Node, catalogue: &Catalogue, diagnostics: &mut Diagnostics) -> Vec<Rule> {
    let mut found = Vec::new();
    for item in diagnostics.ok(node.list("a list of rules")).unwrap_or_default() {
        match parse_rule(item, |_| true) {
            Err(wrong) => diagnostics.extend(wrong),
            Ok(mut rule) => match schema_named(&rule.on, catalogue) {
                Ok(schema) => {
                    rule.on = schema;
                    let reached = if accepts_unknown(item) { Ok(()) } else { reach::check(catalogue, &rule) };
                    let path = path_of(item).unwrap_or(item);
                    diagnostics.ok(reached.map_err(|wrong| path.diagnostic(wrong.to_string())));
                    found.push(rule);
                }
                Err(message) => diagnostics.report(&rule.location, message),
            },
        }
    }
    found
}

/// Finds the schema that `on` names, either directly or by an operation.
fn schema_named(on: &str, catalogue: &Catalogue) -> Result<String, String> {
    if catalogue.has_schema(on) {
        let answers = || OPERATIONS.iter().filter_map(Operation::filtered_schema);
        let is_answer = OPERATIONS.iter().any(|operation| operation.schema() == Some(on));
        if is_answer && !answers().any(|answer| catalogue.with_nested(answer).contains(&on)) {
            return Err(format!("{on} is in no answer that is filtered: no rule can apply"));
        }
        return Ok(on.to_owned());
    }
    if let Some(operation) = operation(on) {
        return operation
            .filtered_schema()
            .map(ToOwned::to_owned)
            .ok_or_else(|| format!("the response of {on} is not a JSON document: no rule can apply"));
    }
    let names = catalogue.names().chain(OPERATIONS.iter().map(|operation| operation.id));
    Err(unknown_or("schema", on, names, "a schema or an operation id, such as ContainerInspect"))
}
