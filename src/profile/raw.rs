//! Profile files as written, and how they become profiles.

use std::collections::{BTreeMap, BTreeSet};

use super::{Profile, StreamHandling};
use crate::api::{OPERATIONS, lists, operation, operations_named, unknown_operation};
use crate::filter::{NamesShown, Rule, Show, parse_rule};
use crate::schema::{Catalogue, Class, ClassSet, Schema};
use crate::yaml::{Diagnostic, Diagnostics, Location, Members, Node, unknown, unknown_or};

/// The keys of a profile file.
const KEYS: [&str; 15] = [
    "profile",
    "about",
    "extends",
    "allow",
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
];

/// What a profile file says about classes.
#[derive(Clone, Debug)]
enum RawClasses {
    /// `show: all`.
    All(Location),
    /// `show: [..]`: these classes, each with its line, and the line of the key.
    Show(Vec<(Class, Location)>, Location),
    /// `hide: [..]`: all classes but these, each with its line, and the line of the key.
    Hide(Vec<(Class, Location)>, Location),
    /// Neither.
    Nothing,
}

/// One profile file as written, before the profile that it extends is looked up.
#[derive(Clone, Debug)]
pub(super) struct RawProfile {
    pub(super) name: String,
    pub(super) location: Location,
    about: String,
    extends: Option<(String, Location)>,
    allow: BTreeMap<&'static str, Location>,
    classes: RawClasses,
    unknown: Option<bool>,
    names: NamesShown,
    mask: Option<bool>,
    rules: Vec<Rule>,
    events: Option<StreamHandling>,
    stats: Option<StreamHandling>,
}

impl RawProfile {
    /// Reads a file; `None` when it has no name. Other mistakes leave the part out.
    pub(super) fn read(document: &Node, catalogue: &Catalogue, diagnostics: &mut Diagnostics) -> Option<Self> {
        let members = diagnostics.members(document, "a profile", &KEYS)?;
        let text = |name: &str, what: &str, diagnostics: &mut Diagnostics| {
            let node = members.get(name)?;
            diagnostics.ok(node.text(what)).map(|text| (text.to_owned(), node.location.clone()))
        };
        let named = text("profile", "the name of the profile", diagnostics);
        let about = text("about", "what the profile is for", diagnostics).map(|(about, _)| about).unwrap_or_default();
        let extends = text("extends", "the name of a profile", diagnostics);
        let allow = members.get("allow").map(|node| allowed(node, diagnostics)).unwrap_or_default();
        let classes = RawClasses::read(members, diagnostics);
        let unknown = members.get("unknown").and_then(|node| diagnostics.ok(shown_or_hidden(node)));
        let mut names = NamesShown::default();
        for list in lists::ALL {
            names.extend(list, globs(members, list.key(), diagnostics));
        }
        let mask = members.get("mask-values").and_then(|node| diagnostics.ok(yes_or_no(node)));
        let rules = members.get("rules").map(|node| rules(node, catalogue, diagnostics)).unwrap_or_default();
        let mut streams = |name: &str| members.get(name).and_then(|node| diagnostics.ok(streams(node)));
        let (events, stats) = (streams("events"), streams("stats"));
        let Some((name, location)) = named else {
            if members.get("profile").is_none() {
                diagnostics.push(document.diagnostic("expected `profile`, the name of the profile"));
            }
            return None;
        };
        Some(Self { name, location, about, extends, allow, classes, unknown, names, mask, rules, events, stats })
    }

    /// The profile with all that it extends: operations, labels, variables and rules are added; `show` adds classes,
    /// `hide` takes them away.
    pub(super) fn profile(&self, raw_profiles: &BTreeMap<String, Self>) -> Result<Profile, Diagnostic> {
        let mut chain = vec![self];
        let mut seen = BTreeSet::from([self.name.as_str()]);
        let mut last = self;
        while let Some((parent, location)) = &last.extends {
            let Some(raw) = raw_profiles.get(parent) else {
                let message = unknown("profile", parent, raw_profiles.keys().map(String::as_str));
                return Err(Diagnostic::new(location, message));
            };
            if !seen.insert(&raw.name) {
                return Err(Diagnostic::new(location, format!("the profile {parent:?} extends itself")));
            }
            chain.push(raw);
            last = raw;
        }
        let mut profile = Profile {
            name: self.name.clone(),
            location: self.location.clone(),
            about: self.about.clone(),
            allow: BTreeMap::new(),
            show: Show { mask: true, ..Show::default() },
            classes: BTreeMap::new(),
            rules: Vec::new(),
            events: StreamHandling::default(),
            stats: StreamHandling::default(),
        };
        for raw in chain.into_iter().rev() {
            for (id, location) in &raw.allow {
                profile.allow.entry(id).or_insert_with(|| location.clone());
            }
            raw.classes.add_to(&mut profile, raw.extends.is_none(), &raw.location);
            profile.show.unknown = raw.unknown.unwrap_or(profile.show.unknown);
            profile.show.mask = raw.mask.unwrap_or(profile.show.mask);
            profile.show.names.merge(&raw.names);
            profile.rules.extend(raw.rules.iter().cloned());
            profile.events = raw.events.unwrap_or(profile.events);
            profile.stats = raw.stats.unwrap_or(profile.stats);
        }
        Ok(profile)
    }
}

impl RawClasses {
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
                diagnostics.report(&hide.location, "`show` and `hide` exclude each other: expected one of them");
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

    /// Changes what `profile` shows; `first` says that it extends nothing.
    fn add_to(&self, profile: &mut Profile, first: bool, raw: &Location) {
        let mut decide = |class: Class, location: &Location| {
            profile.classes.insert(class, location.clone());
        };
        match self {
            Self::All(location) => {
                Class::ALL.into_iter().for_each(|class| decide(class, location));
                profile.show.classes = ClassSet::ALL;
                profile.show.unknown = true;
                profile.show.mask = false;
            }
            Self::Show(classes, key) => {
                if first {
                    Class::ALL.into_iter().for_each(|class| decide(class, key));
                }
                for (class, location) in classes {
                    decide(*class, location);
                    profile.show.classes = profile.show.classes.with(*class);
                }
            }
            Self::Hide(classes, key) => {
                if first {
                    Class::ALL.into_iter().for_each(|class| decide(class, key));
                    profile.show.classes = ClassSet::ALL;
                    profile.show.unknown = true;
                }
                let hidden: ClassSet = classes.iter().map(|(class, _)| *class).collect();
                for (class, location) in classes {
                    decide(*class, location);
                }
                profile.show.classes = profile.show.classes.iter().filter(|class| !hidden.contains(*class)).collect();
            }
            Self::Nothing => {
                if first {
                    Class::ALL.into_iter().for_each(|class| decide(class, raw));
                }
            }
        }
    }
}

/// Reads `unknown`.
fn shown_or_hidden(node: &Node) -> Result<bool, Diagnostic> {
    match node.text("`show` or `hide`")? {
        "show" => Ok(true),
        "hide" => Ok(false),
        other => Err(node.diagnostic(format!("found {other:?}, expected `show` or `hide`"))),
    }
}

/// Reads `mask-values`.
fn yes_or_no(node: &Node) -> Result<bool, Diagnostic> {
    match node.text("`true` or `false`")? {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(node.diagnostic(format!("found {other:?}, expected `true` or `false`"))),
    }
}

/// Reads `events` or `stats`.
fn streams(node: &Node) -> Result<StreamHandling, Diagnostic> {
    match node.text("`untouched` or `filtered`")? {
        "untouched" => Ok(StreamHandling::Untouched),
        "filtered" => Ok(StreamHandling::Filtered),
        other => Err(node.diagnostic(format!("found {other:?}, expected `untouched` or `filtered`"))),
    }
}

/// Reads `allow`.
fn allowed(node: &Node, diagnostics: &mut Diagnostics) -> BTreeMap<&'static str, Location> {
    let mut allow = BTreeMap::new();
    for (text, item) in diagnostics.texts(node, "operation ids") {
        let mut known = operations_named(text).peekable();
        if known.peek().is_none() {
            diagnostics.push(item.diagnostic(unknown_operation(text)));
        }
        for operation in known {
            if let Some(first) = allow.insert(operation.id, item.location.clone()) {
                diagnostics.push(item.diagnostic(format!("duplicate operation {text}: {first} already lists it")));
            }
        }
    }
    allow
}

/// Reads a list of names that may hold `*`.
fn globs(members: Members<'_>, name: &str, diagnostics: &mut Diagnostics) -> Vec<String> {
    let Some(node) = members.get(name) else { return Vec::new() };
    let mut found = Vec::new();
    for (text, item) in diagnostics.texts(node, "names, in which `*` stands for any text") {
        let wrong = text.chars().find(|c| "?[]{}=".contains(*c) || c.is_whitespace());
        match wrong {
            None if text.is_empty() => diagnostics.push(item.diagnostic("an empty name, expected one")),
            None => found.push(text.to_owned()),
            Some(c) => {
                diagnostics
                    .push(item.diagnostic(format!("{c:?} in {text:?}, expected a name in which only `*` is special")));
            }
        }
    }
    found
}

/// Reads `rules`. A rule may name an operation in place of a schema: then it is about the schema of its response.
fn rules(node: &Node, catalogue: &Catalogue, diagnostics: &mut Diagnostics) -> Vec<Rule> {
    let mut found = Vec::new();
    for item in diagnostics.ok(node.list("a list of rules")).unwrap_or_default() {
        match parse_rule(item, |_| true) {
            Err(wrong) => diagnostics.extend(wrong),
            Ok(mut rule) => match schema_named(&rule.on, catalogue) {
                Ok(schema) => {
                    rule.on = schema;
                    found.push(rule);
                }
                Err(message) => diagnostics.report(&rule.location, message),
            },
        }
    }
    found
}

/// The schema that `on` names, itself or by an operation.
fn schema_named(on: &str, catalogue: &Catalogue) -> Result<String, String> {
    if catalogue.schema(on).is_some() {
        return Ok(on.to_owned());
    }
    if let Some(operation) = operation(on) {
        return operation
            .filtered_schema()
            .map(ToOwned::to_owned)
            .ok_or_else(|| format!("the response of {on} is not a JSON document: no rule can apply"));
    }
    let names = catalogue.schemas().map(Schema::name);
    let names = names.chain(OPERATIONS.iter().map(|operation| operation.id));
    Err(unknown_or("schema", on, names, "a schema or an operation id, such as ContainerInspect"))
}
