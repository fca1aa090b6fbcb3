//! Where the path of a rule leads, by what the catalogue knows of a schema.
//!
//! A path that leads nowhere is most often misspelt, and what it should hide is shown.

use std::fmt;

use super::Rule;
use super::selector::{Pick, Segment, Selector};
use crate::quoting;
use crate::schema::{Catalogue, Field, NameList, Schema, Step};
use crate::yaml;

/// The most fields that one path may lead to at a time: more than any schema has.
const FIELDS_LIMIT: usize = 1 << 16;

/// Why a path can match nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadsNowhere {
    /// The schema.
    schema: String,
    /// The part of the path that leads somewhere.
    known: String,
    /// What is wrong with what follows.
    reason: String,
}

impl fmt::Display for LeadsNowhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { schema, known, reason } = self;
        write!(f, "the path matches nothing in {schema}: {known} has {reason}; `unknown: true` accepts it all the same")
    }
}

impl std::error::Error for LeadsNowhere {}

/// Checks that documents of the rule's schema can have what its path selects.
///
/// # Errors
/// [`LeadsNowhere`] if the catalogue knows nothing there.
pub fn check(catalogue: &Catalogue, rule: &Rule) -> Result<(), LeadsNowhere> {
    let Some(schema) = catalogue.schema(&rule.on) else { return Ok(()) };
    let mut here = vec![Place { field: schema.root(), list: None }];
    for (number, segment) in rule.selector.segments().iter().enumerate() {
        let there = step(catalogue, &here, segment);
        // A name at any depth could be a key of any map, or be inside what the catalogue does not describe. It is more
        // likely a field whose name is misspelt, if there is one like it.
        let is_guess = segment.descendant && !there.is_named && misspelt(catalogue, &here, segment).is_some();
        if there.is_anything && !is_guess {
            return Ok(());
        }
        if there.places.is_empty() || is_guess {
            let known = prefix(&rule.selector, number);
            let reason = reason(catalogue, &here, segment);
            return Err(LeadsNowhere { schema: rule.on.clone(), known, reason });
        }
        here = there.places;
    }
    Ok(())
}

/// The entries of lists that a rule selects by name.
pub fn named_entries(catalogue: &Catalogue, rule: &Rule) -> Vec<(NameList, String)> {
    let Some(schema) = catalogue.schema(&rule.on) else { return Vec::new() };
    let Some((last, before)) = rule.selector.segments().split_last() else { return Vec::new() };
    let mut here = vec![Place { field: schema.root(), list: None }];
    for segment in before {
        here = step(catalogue, &here, segment).places;
    }
    let mut found = Vec::new();
    for name in last.picks.iter().filter_map(name) {
        let lists = here.iter().map(|place| place.resolved(catalogue));
        let lists = lists.filter(|place| place.field.any_member.is_some() && !place.field.members.contains_key(name));
        let entry = of_variant(catalogue, rule, before, name).into_iter();
        found.extend(lists.filter_map(|place| place.list).chain(entry).map(|list| (list, name.to_owned())));
    }
    found
}

/// The list of an entry among the members of a document that differs by kind.
fn of_variant(catalogue: &Catalogue, rule: &Rule, before: &[Segment], name: &str) -> Option<NameList> {
    let variants = catalogue.variants(&rule.on)?;
    let is_member = variants.kinds.values().flat_map(|kind| kind.names()).any(|known| known == name);
    let names: Vec<&str> = before.iter().filter_map(|segment| single(&segment.picks)).collect();
    let is_inside = before.len() == variants.entries.path.len() && names == variants.entries.path;
    (is_inside && !is_member).then_some(variants.entries.list)
}

/// A field that a path leads to.
#[derive(Clone, Copy)]
struct Place<'c> {
    field: &'c Field,
    /// The list of its members.
    list: Option<NameList>,
}

impl<'c> Place<'c> {
    /// The same in the schema that nests here, if one does.
    fn resolved(self, catalogue: &'c Catalogue) -> Self {
        let nested = self.field.nested.as_deref().and_then(|name| catalogue.schema(name)).map(Schema::root);
        Self { field: nested.unwrap_or(self.field), ..self }
    }

    fn below(field: &'c Field) -> Self {
        Self { field, list: field.list }
    }

    /// The elements. An array of maps is one map in parts.
    fn elements(self) -> Option<Self> {
        let elements = self.field.elements.as_deref()?;
        Some(Self { field: elements, list: elements.list.or(self.list) })
    }

    fn children(self) -> impl Iterator<Item = Self> {
        let members = self.field.members.values().chain(self.field.any_member.as_deref()).map(Self::below);
        members.chain(self.elements())
    }
}

/// What one segment leads to.
#[derive(Default)]
struct Found<'c> {
    places: Vec<Place<'c>>,
    /// Whether it leads into something whose content the catalogue does not describe.
    is_anything: bool,
    /// Whether it leads to a member with a name of its own, or does not name one.
    is_named: bool,
}

fn step<'c>(catalogue: &'c Catalogue, here: &[Place<'c>], segment: &Segment) -> Found<'c> {
    let mut found = Found::default();
    let starts = if segment.descendant { descendants(catalogue, here) } else { here.to_vec() };
    for place in starts {
        let place = place.resolved(catalogue);
        found.is_anything |= place.field.opaque.is_some();
        for pick in &segment.picks {
            match pick {
                Pick::Name(name) => {
                    let named = place.field.members.get(name);
                    found.is_named |= named.is_some();
                    let member = named.or(place.field.any_member.as_deref());
                    found.places.extend(member.map(Place::below));
                }
                Pick::Index(_) | Pick::Slice(_) => {
                    found.is_named = true;
                    found.places.extend(place.elements());
                }
                Pick::Any | Pick::Test(_) => {
                    found.is_named = true;
                    found.places.extend(place.children());
                }
            }
        }
    }
    found
}

/// The places and everything below them.
fn descendants<'c>(catalogue: &'c Catalogue, here: &[Place<'c>]) -> Vec<Place<'c>> {
    let mut all: Vec<Place<'c>> = Vec::new();
    let mut left: Vec<Place<'c>> = here.to_vec();
    let mut seen = std::collections::HashSet::new();
    while let Some(place) = left.pop() {
        let place = place.resolved(catalogue);
        if seen.insert(std::ptr::from_ref(place.field)) && all.len() < FIELDS_LIMIT {
            left.extend(place.children());
            all.push(place);
        }
    }
    all
}

/// What is wrong with a segment that leads nowhere.
fn reason(catalogue: &Catalogue, here: &[Place<'_>], segment: &Segment) -> String {
    match (segment.picks.iter().find_map(name), misspelt(catalogue, here, segment)) {
        (None, _) => "no members or elements there".to_owned(),
        (Some(wanted), Some(near)) => format!("no member {:?}, did you mean {near:?}?", quoting::value(wanted)),
        (Some(wanted), None) => format!("no member {:?}", quoting::value(wanted)),
    }
}

/// The member that the first name of a segment is most likely meant to be.
fn misspelt<'c>(catalogue: &'c Catalogue, here: &[Place<'c>], segment: &Segment) -> Option<&'c str> {
    let wanted = segment.picks.iter().find_map(name)?;
    let starts = if segment.descendant { descendants(catalogue, here) } else { here.to_vec() };
    let fields = starts.iter().map(|place| place.resolved(catalogue).field);
    let mut names: Vec<&str> = fields.flat_map(|field| field.members.keys().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    yaml::nearest(wanted, names.iter().copied()).or_else(|| longest_shared(wanted, &names))
}

/// The longest name with which `wanted` begins, or that begins with it, whatever the case.
fn longest_shared<'n>(wanted: &str, names: &[&'n str]) -> Option<&'n str> {
    const SHORTEST: usize = 3;
    let wanted = wanted.to_lowercase();
    let begins = |name: &&&str| {
        let name = name.to_lowercase();
        name.len().min(wanted.len()) >= SHORTEST && (wanted.starts_with(&name) || name.starts_with(&wanted))
    };
    names.iter().filter(begins).max_by_key(|name| name.len()).copied()
}

/// The first segments of a path.
fn prefix(selector: &Selector, segments: usize) -> String {
    let mut text = "$".to_owned();
    for segment in selector.segments().iter().take(segments) {
        text += if segment.descendant { ".." } else { "" };
        text += &match single(&segment.picks) {
            Some(name) => Step::Member(name.to_owned()).to_string(),
            None => "[*]".to_owned(),
        };
    }
    text
}

fn name(pick: &Pick) -> Option<&str> {
    match pick {
        Pick::Name(name) => Some(name),
        Pick::Any | Pick::Index(_) | Pick::Slice(_) | Pick::Test(_) => None,
    }
}

/// The only name among the picks of a segment.
fn single(picks: &[Pick]) -> Option<&str> {
    match picks {
        [pick] => name(pick),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::lists::{ANNOTATIONS, LABELS, OPTIONS};
    use crate::filter::Action;
    use crate::yaml::Location;

    fn rule(on: &str, path: &str) -> Rule {
        let selector = path.parse().unwrap();
        Rule { location: Location::file("f"), on: on.to_owned(), selector, action: Action::Blank }
    }

    #[track_caller]
    fn check(on: &str, path: &str, expected: Result<(), &str>) {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let found = super::check(&catalogue, &rule(on, path)).map_err(|wrong| wrong.to_string());
        let hint = "; `unknown: true` accepts it all the same";
        let expected = expected.map_err(|wrong| format!("the path matches nothing in {on}: {wrong}{hint}"));
        assert_eq!(found, expected, "{on} {path}");
    }

    #[test]
    fn every_path_to_something_known_is_accepted() {
        for (on, path) in [
            ("ContainerInspect", "$.Config.Env"),
            ("ContainerInspect", "$.Config.Env[*]"),
            ("ContainerInspect", "$.Config.Env[0]"),
            ("ContainerInspect", "$.Config.Env[?match(@, 'A=.*')]"),
            ("ContainerInspect", "$.Config.Labels['a.b']"),
            ("ContainerInspect", "$.Config['Env', 'Nothing']"),
            ("ContainerInspect", "$..Env"),
            ("ContainerInspect", "$..['homepage.widget.key']"),
            ("ContainerInspect", "$.*.*"),
            ("ContainerInspect", "$.NetworkSettings.Networks.*.IPAddress"),
            ("ContainerSummary", "$.Mounts[*].Source"),
            ("ContainerSummary", "$"),
            ("Service", "$.Spec.TaskTemplate.ContainerSpec.Env[1:2]"),
            ("SystemInfo", "$.RegistryConfig.IndexConfigs"),
        ] {
            check(on, path, Ok(()));
        }
    }

    #[test]
    fn a_path_to_nothing_is_refused_with_the_nearest_name() {
        check(
            "ContainerInspect",
            "$.Config.Enviroment[*]",
            Err("$.Config has no member \"Enviroment\", did you mean \"Env\"?"),
        );
        check("ContainerInspect", "$.Config.env", Err("$.Config has no member \"env\", did you mean \"Env\"?"));
        check("ContainerInspect", "$.config.Env", Err("$ has no member \"config\", did you mean \"Config\"?"));
        check("ContainerInspect", "$.Config.Zzz", Err("$.Config has no member \"Zzz\""));
        check("ContainerInspect", "$.Config.Hostname.a", Err("$.Config.Hostname has no member \"a\""));
        check("ContainerInspect", "$.Config.Hostname[*]", Err("$.Config.Hostname has no members or elements there"));
        check("ContainerInspect", "$..Enviroment", Err("$ has no member \"Enviroment\", did you mean \"Env\"?"));
        check("ContainerInspect", "$[0]", Err("$ has no members or elements there"));
        check(
            "ContainerSummary",
            "$.Mounts[*].Sorce",
            Err("$.Mounts[*] has no member \"Sorce\", did you mean \"Source\"?"),
        );
    }

    #[test]
    fn the_entries_of_a_list_are_found_by_name() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let found = |on: &str, path: &str| named_entries(&catalogue, &rule(on, path));
        let label = |name: &str| (LABELS, name.to_owned());
        assert_eq!(found("ContainerSummary", "$.Labels['a.b']"), [label("a.b")]);
        assert_eq!(found("ContainerInspect", "$.Config.Labels['a', 'b']"), [label("a"), label("b")]);
        assert_eq!(found("Event", "$.Actor.Attributes['a.b']"), [label("a.b")]);
        assert_eq!(found("Event", "$.Actor.Attributes.name"), []);
        assert_eq!(found("Volume", "$.Options.device"), [(OPTIONS, "device".to_owned())]);
        assert_eq!(found("ContainerInspect", "$.HostConfig.Annotations.a"), [(ANNOTATIONS, "a".to_owned())]);
        for path in ["$.Labels", "$.Labels.*", "$.Id", "$.Mounts[*].Source", "$.NetworkSettings.Networks.a"] {
            assert_eq!(found("ContainerSummary", path), [], "{path}");
        }
    }
}
