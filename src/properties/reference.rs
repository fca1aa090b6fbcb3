//! A slow and simple model of the filter, which the plans are compared with.
//!
//! It works as one would first think of it: the document is a tree, the path library finds the matches of each path, and
//! one recursion decides about each value. It knows nothing of plans, and takes no other spelling of a name for that name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jsonpath_rust::JsonPath;
use jsonpath_rust::parser::model::{Segment, Selector};
use jsonpath_rust::parser::parse_json_path;
use serde_json::{Map, Value};

use super::plan::HASH_KEY;
use crate::api::lists;
use crate::filter::{Action, Globs, Plan, Rule, Show};
use crate::schema::{Blank, Catalogue, Class, Field, JsonType, Presence, Schema, TypeSet};

/// What is left of a document when only `rules` decide; `None` if nothing is.
pub(super) fn left_by_rules(rules: &[Rule], document: &Value) -> Option<Value> {
    let mut reference = Reference::new(None, Show { unknown: true, ..Show::default() }, rules);
    reference.decide("", document, None);
    let root = ValueContext { field: None, visibility: Visibility::Shown };
    reference.value(root, "$".to_owned(), document).value
}

/// What is left of a document of `schema`; `None` if nothing is.
pub(super) fn left_by_classes(
    catalogue: &Catalogue,
    schema: &Schema,
    show: &Show,
    rules: &[Rule],
    document: &Value,
) -> Option<Value> {
    let mut reference = Reference::new(Some(catalogue), show.clone(), rules);
    reference.decide("", document, Some(schema.name()));
    let root = ValueContext {
        field: Some(schema.root()),
        visibility: Visibility::BySchema(BySchema { always: true, root: true, ..BySchema::default() }),
    };
    reference.value(root, "$".to_owned(), document).value
}

/// The model, with what it has found out about one document.
struct Reference<'c> {
    catalogue: Option<&'c Catalogue>,
    show: Show,
    rules: &'c [Rule],
    /// The last rule that matches a place, by its normalized path (RFC 9535 §2.7).
    decided: BTreeMap<String, usize>,
}

/// What is known of a value before its own members: its field, and what holds for it.
#[derive(Clone, Copy)]
struct ValueContext<'c> {
    field: Option<&'c Field>,
    visibility: Visibility,
}

/// What holds at a place unless a rule decides.
#[derive(Clone, Copy, PartialEq)]
enum Visibility {
    /// Shown, with everything below.
    Shown,
    /// The schema and the classes decide.
    BySchema(BySchema),
    /// Hidden, with everything below.
    Hidden,
}

/// How the schema describes a place.
#[derive(Clone, Copy, Default, PartialEq)]
struct BySchema {
    /// Written whatever its value is: blanked when hidden, where others are removed.
    always: bool,
    /// The whole document, which stays if it is an object.
    root: bool,
    /// In an allow-list: shown whatever its class.
    lifted: bool,
    /// Kept by a rule here or above.
    kept: bool,
    /// The allow-list for what is below.
    name: AllowList,
}

/// The allow-list for the contents of a member.
#[derive(Clone, Copy, Default, PartialEq)]
enum AllowList {
    Labels,
    Env,
    Annotations,
    Options,
    #[default]
    Other,
}

/// What is left of a value, and whether a rule or an allow-list kept part of it.
struct Remainder {
    value: Option<Value>,
    kept: bool,
}

impl<'c> Reference<'c> {
    fn new(catalogue: Option<&'c Catalogue>, show: Show, rules: &'c [Rule]) -> Self {
        Self { catalogue, show, rules, decided: BTreeMap::new() }
    }

    /// Finds the matches of the rules for `schema` in a document that stands at `path`; of all rules without one.
    fn decide(&mut self, path: &str, document: &Value, schema: Option<&str>) {
        for (at, rule) in self.rules.iter().enumerate() {
            if schema.is_some_and(|schema| schema != rule.on) {
                continue;
            }
            for found in document.query_only_path(&as_the_rfc_counts(rule.selector.as_str())).unwrap_or_default() {
                let context = match path {
                    "" => found,
                    _ => format!("{path}{}", found.strip_prefix('$').unwrap_or(&found)),
                };
                let last = self.decided.entry(context).or_insert(at);
                *last = at.max(*last);
            }
        }
    }

    fn value(&mut self, mut context: ValueContext<'c>, path: String, value: &Value) -> Remainder {
        let nested = context.field.and_then(|field| field.nested.as_deref());
        if let (Some(name), Some(catalogue)) = (nested, self.catalogue) {
            self.decide(&path, value, Some(name));
            context.field = catalogue.schema(name).map(Schema::root);
        }
        let mut kept = false;
        if let Some(rule) = self.decided.get(&path).and_then(|rule| self.rules.get(*rule)) {
            if rule.action != Action::Keep {
                let value = match (&rule.action, context.field, context.visibility) {
                    (Action::Blank, Some(field), Visibility::BySchema(known)) => self.form(field, known),
                    (Action::Blank, None, Visibility::BySchema(_)) | (Action::Blank, _, Visibility::Hidden) => None,
                    (action, _, _) => acted(action, value),
                };
                return Remainder { kept: value.is_some(), value };
            }
            kept = true;
            context.visibility = match (context.field, context.visibility) {
                (None, _) | (_, Visibility::Shown) => Visibility::Shown,
                (Some(_), Visibility::BySchema(known)) => Visibility::BySchema(BySchema { kept, ..known }),
                (Some(_), Visibility::Hidden) => Visibility::BySchema(BySchema { kept, ..BySchema::default() }),
            };
        }
        let left = self.by_layer(context, path, value);
        Remainder { kept: (kept && left.value.is_some()) || left.kept, ..left }
    }

    fn by_layer(&mut self, context: ValueContext<'c>, path: String, value: &Value) -> Remainder {
        let (field, visibility) = (context.field, context.visibility);
        let classes = field.and_then(|field| field.opaque.as_ref().or(field.class.as_ref()));
        let shown = |known: BySchema| {
            classes.is_none_or(|(class, _)| known.lifted || known.kept || self.show.classes.contains(*class))
        };
        let opaque = field.is_some_and(|field| field.opaque.is_some());
        let known = match visibility {
            Visibility::Shown => return self.inside(context, visibility, path, value),
            Visibility::BySchema(known) if opaque && shown(known) => {
                return self.inside(context, Visibility::Shown, path, value);
            }
            Visibility::Hidden => return self.probed(context, path, value),
            Visibility::BySchema(known) => known,
        };
        let Some(field) = field else { return self.probed(context, path, value) };
        let is_shown = classes.is_some() && shown(known);
        let form = self.form(field, known);
        let types = if field.types.is_empty() { TypeSet::SCALARS } else { field.types };
        let is_object = !field.members.is_empty() || field.any_member.is_some() || field.key_class.is_some();
        let is_composite = is_object || field.elements.is_some();
        let is_visible = is_shown || (is_composite && (known.kept || known.root || self.shows_some(field)));
        let Some(found) = type_of(value) else {
            let value = if is_visible { Some(Value::Null) } else { form };
            return Remainder { kept: known.lifted && is_shown, value };
        };
        if !value.is_object() && !value.is_array() {
            let value = if is_shown && types.contains(found) { Some(value.clone()) } else { form };
            return Remainder { kept: known.lifted && is_shown && value.is_some(), value };
        }
        let expected = if value.is_object() { is_object } else { field.elements.is_some() };
        let open = is_shown && !is_composite && field.types.contains(found);
        let visibility = match (expected, open && self.show.unknown) {
            (true, _) => visibility,
            (false, true) => Visibility::Shown,
            (false, false) => Visibility::Hidden,
        };
        let left = self.inside(ValueContext { field: Some(field), visibility }, visibility, path, value);
        if left.kept || ((expected || open) && is_visible) {
            return Remainder { kept: left.kept || (known.lifted && is_shown), ..left };
        }
        Remainder { value: form, kept: false }
    }

    /// What stands for a hidden field: the zero of its type if it is always written, else nothing.
    fn form(&self, field: &Field, known: BySchema) -> Option<Value> {
        if known.always { self.blank(field) } else { None }
    }

    /// The zero of a field's type; of an object, its members that are always written. `None` if it has none.
    fn blank(&self, field: &Field) -> Option<Value> {
        let nested = field.nested.as_deref().and_then(|name| self.catalogue?.schema(name));
        let field = nested.map_or(field, Schema::root);
        match field.blank {
            Blank::Absent => return None,
            Blank::Time => return Some("0001-01-01T00:00:00Z".into()),
            Blank::Unknown => return Some("unknown".into()),
            Blank::OfType => {}
        }
        let always = field.members.iter().filter(|(_, member)| member.presence == Presence::Always);
        let members: Map<String, Value> =
            always.filter_map(|(name, member)| Some((name.clone(), self.blank(member)?))).collect();
        let has = |one| field.types.contains(one);
        if !field.members.is_empty() || field.any_member.is_some() || field.key_class.is_some() {
            Some(Value::Object(members))
        } else if field.elements.is_some() {
            Some(Value::Array(Vec::new()))
        } else if has(JsonType::Object) {
            Some(Value::Object(Map::new()))
        } else if has(JsonType::Array) {
            Some(Value::Array(Vec::new()))
        } else if has(JsonType::String) {
            Some("".into())
        } else if has(JsonType::Number) {
            Some(0.into())
        } else if has(JsonType::Boolean) {
            Some(false.into())
        } else {
            None
        }
    }

    /// A value that is hidden but for what rules keep in it.
    fn probed(&mut self, context: ValueContext<'c>, path: String, value: &Value) -> Remainder {
        if !value.is_object() && !value.is_array() {
            return Remainder { value: None, kept: false };
        }
        let left = self.inside(context, Visibility::Hidden, path, value);
        Remainder { value: left.value.filter(|_| left.kept), kept: left.kept }
    }

    /// The members and elements of a value.
    fn inside(&mut self, context: ValueContext<'c>, visibility: Visibility, path: String, value: &Value) -> Remainder {
        let field = context.field;
        let mut kept = false;
        let value = match value {
            Value::Object(members) => {
                let mut left = Map::new();
                for (key, member) in members {
                    let below = self.member(field, visibility, key);
                    let path = format!("{path}[{}]", quoted(key));
                    if self.shows_name_only(field, visibility, key) && !self.decided.contains_key(&path) {
                        kept = true;
                        left.insert(key.clone(), "[redacted]".into());
                        continue;
                    }
                    let found = self.value(below, path, member);
                    kept |= found.kept;
                    if let Some(value) = found.value {
                        left.insert(key.clone(), value);
                    }
                }
                Value::Object(left)
            }
            Value::Array(elements) => {
                let mut left = Vec::new();
                for (at, element) in elements.iter().enumerate() {
                    let below = self.element(field, visibility, element);
                    let found = self.value(below, format!("{path}[{at}]"), element);
                    kept |= found.kept;
                    left.extend(found.value);
                }
                Value::Array(left)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        };
        Remainder { value: Some(value), kept }
    }

    fn member(&self, field: Option<&'c Field>, visibility: Visibility, key: &str) -> ValueContext<'c> {
        let named = field.and_then(|field| field.members.get(key));
        let any = field.and_then(|field| field.any_member.as_deref());
        let below = named.or(any);
        let Visibility::BySchema(known) = visibility else { return ValueContext { field: below, visibility } };
        let shows = |class: Class| self.show.classes.contains(class);
        let key_class = field.and_then(|field| field.key_class.as_ref()).map(|(class, _)| *class);
        let visibility = match (named, any, key_class) {
            (Some(_), ..) => {
                let always = named.is_some_and(|member| member.presence == Presence::Always);
                Visibility::BySchema(BySchema { always, name: called(key), kept: known.kept, ..BySchema::default() })
            }
            (None, Some(value), _) if self.is_excluded(known, value, Some(key)) => Visibility::Hidden,
            (None, Some(_), _) if known.kept => Visibility::BySchema(BySchema { kept: true, ..BySchema::default() }),
            (None, Some(value), _) if self.is_listed_key(known.name, value, key) => {
                Visibility::BySchema(BySchema { lifted: true, ..BySchema::default() })
            }
            (None, _, Some(class)) => {
                if known.kept || shows(class) {
                    Visibility::BySchema(BySchema { always: any.is_some(), kept: known.kept, ..BySchema::default() })
                } else {
                    Visibility::Hidden
                }
            }
            (None, Some(value), None) => {
                if value.class.is_some() || value.opaque.is_some() || self.shows_some(value) {
                    Visibility::BySchema(BySchema::default())
                } else {
                    Visibility::Hidden
                }
            }
            (None, None, None) if self.show.unknown => Visibility::Shown,
            (None, None, None) => Visibility::Hidden,
        };
        ValueContext { field: below, visibility }
    }

    fn is_listed_key(&self, name: AllowList, value: &Field, key: &str) -> bool {
        let Some((class, _)) = &value.class else { return false };
        self.is_listed(name, key) && !self.show.classes.contains(*class)
    }

    /// Whether the name of an entry is shown, and not its value, unless a rule says otherwise.
    fn shows_name_only(&self, field: Option<&Field>, visibility: Visibility, key: &str) -> bool {
        let (Some(field), Visibility::BySchema(known)) = (field, visibility) else { return false };
        let Some((class, _)) = field.any_member.as_ref().and_then(|value| value.class.as_ref()) else { return false };
        let shows = |class: Class| self.show.classes.contains(class);
        let shows_key = field.key_class.as_ref().is_some_and(|(class, _)| shows(*class));
        let is_entry = !field.members.contains_key(key) && !known.kept && !shows(*class) && !shows_key;
        is_entry && self.names(known.name).is_some_and(|names| names.shows_name_only(key))
    }

    fn is_listed(&self, name: AllowList, text: &str) -> bool {
        self.names(name).is_some_and(|names| names.matches(text))
    }

    /// Whether an entry is hidden by its name although its class, or a rule, shows it.
    fn is_excluded(&self, known: BySchema, value: &Field, name: Option<&str>) -> bool {
        let Some((class, _)) = &value.class else { return false };
        let excludes = |names: &Globs| name.map_or(names.has_exclusions(), |name| names.excludes(name));
        (known.kept || self.show.classes.contains(*class)) && self.names(known.name).is_some_and(excludes)
    }

    fn names(&self, name: AllowList) -> Option<&Globs> {
        match name {
            AllowList::Labels => Some(self.show.names.of(lists::LABELS)),
            AllowList::Env => Some(self.show.names.of(lists::ENV)),
            AllowList::Annotations => Some(self.show.names.of(lists::ANNOTATIONS)),
            AllowList::Options => Some(self.show.names.of(lists::OPTIONS)),
            AllowList::Other => None,
        }
    }

    fn element(&self, field: Option<&'c Field>, visibility: Visibility, element: &Value) -> ValueContext<'c> {
        let below = field.and_then(|field| field.elements.as_deref());
        let Visibility::BySchema(known) = visibility else { return ValueContext { field: below, visibility } };
        let visibility = match below {
            Some(value) => {
                let name = element.as_str().map(|text| text.split('=').next().unwrap_or(text));
                if self.is_excluded(known, value, name) {
                    return ValueContext { field: below, visibility: Visibility::Hidden };
                }
                let lifted = value.class.is_some() && name.is_some_and(|name| self.is_listed(known.name, name));
                let name = if value.any_member.is_some() { known.name } else { AllowList::Other };
                Visibility::BySchema(BySchema { lifted, kept: known.kept, name, ..BySchema::default() })
            }
            None if self.show.unknown => Visibility::Shown,
            None => Visibility::Hidden,
        };
        ValueContext { field: below, visibility }
    }

    /// Whether something at a field or below can be shown by its class.
    fn shows_some(&self, field: &Field) -> bool {
        let classes = [&field.class, &field.key_class, &field.opaque].into_iter().flatten();
        let nested = field.nested.as_deref().and_then(|name| self.catalogue?.schema(name));
        let keys = field.key_class.as_ref().is_none_or(|(class, _)| self.show.classes.contains(*class));
        let values = field.any_member.as_deref().filter(|_| keys);
        let below = field.members.values().chain(values).chain(field.elements.as_deref());
        self.show.unknown
            || classes.into_iter().any(|(class, _)| self.show.classes.contains(*class))
            || below.into_iter().chain(nested.map(Schema::root)).any(|field| self.shows_some(field))
    }
}

/// The type of a value; `None` of null.
fn type_of(value: &Value) -> Option<JsonType> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => JsonType::Boolean,
        Value::Number(_) => JsonType::Number,
        Value::String(_) => JsonType::String,
        Value::Array(_) => JsonType::Array,
        Value::Object(_) => JsonType::Object,
    })
}

fn called(name: &str) -> AllowList {
    match name {
        "Labels" | "labels" => AllowList::Labels,
        "Env" | "env" => AllowList::Env,
        "Annotations" | "annotations" => AllowList::Annotations,
        "Options" | "DriverOpts" | "Config" | "StorageOpt" => AllowList::Options,
        _ => AllowList::Other,
    }
}

/// A name as normalized paths have it (RFC 9535 §2.7).
fn quoted(name: &str) -> String {
    let mut quoted = String::from("'");
    for c in name.chars() {
        match c {
            '\'' | '\\' => quoted.extend(['\\', c]),
            '\u{8}' => quoted.push_str("\\b"),
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\u{c}' => quoted.push_str("\\f"),
            '\r' => quoted.push_str("\\r"),
            c if c < ' ' => _ = write!(quoted, "\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// Shows `add` the names that a path has outside of filter expressions.
pub(super) fn names_of_path(path: &str, add: &mut impl FnMut(&str)) {
    fn of_segment(segment: &Segment, add: &mut impl FnMut(&str)) {
        let selectors = match segment {
            Segment::Descendant(below) => return of_segment(below, add),
            Segment::Selector(one) => std::slice::from_ref(one),
            Segment::Selectors(many) => many,
        };
        for selector in selectors {
            if let Selector::Name(name) = selector {
                add(name);
            }
        }
    }
    if let Ok(query) = parse_json_path(path) {
        query.segments.iter().for_each(|segment| of_segment(segment, add));
    }
}

/// A path for which the library finds what RFC 9535 means.
///
/// A known difference: where a query finds nothing, `count()` is zero (RFC 9535 §2.4.6), but the library takes it for the
/// special result Nothing, which is equal to no number and not less than any. So `$[?count(@.*) <= 2]` misses the values
/// that have no children. What a comparison says about zero is written out beside it; a test fails when a version of the
/// library counts as the RFC does, and this function can go.
pub(super) fn as_the_rfc_counts(path: &str) -> String {
    let Some(call) = find_outside_quotes(path, "count(") else { return path.to_owned() };
    let (before, from) = path.split_at(call);
    let Some((query, behind)) = inside_parentheses(from.get("count(".len()..).unwrap_or_default()) else {
        return path.to_owned();
    };
    let number = |text: &str| -> Option<i64> { text.trim().parse().ok() };
    let query = as_the_rfc_counts(query);
    // `count(…) < 2`, or `2 > count(…)`.
    let (before, comparison, zero, behind) = match operator_at_start(behind) {
        Some((operator, right)) => {
            let digits =
                right.len() - right.trim_start().trim_start_matches(|c: char| c == '-' || c.is_ascii_digit()).len();
            let (literal, behind) = right.split_at(digits);
            let Some(number) = number(literal) else { return path.to_owned() };
            (before, format!("count({query}) {operator} {number}"), holds(0, operator, number), behind)
        }
        None => {
            let Some((left, operator)) = operator_at_end(before) else { return path.to_owned() };
            let outside = left.trim_end().trim_end_matches(|c: char| c == '-' || c.is_ascii_digit());
            let Some(number) = number(left.get(outside.len()..).unwrap_or_default()) else { return path.to_owned() };
            (outside, format!("{number} {operator} count({query})"), holds(number, operator, 0), behind)
        }
    };
    let whole = if zero { format!("({comparison} || !{query})") } else { format!("({comparison} && {query})") };
    format!("{before}{whole}{}", as_the_rfc_counts(behind))
}

/// Where `mark` stands in a path, outside of texts in quotes.
fn find_outside_quotes(path: &str, mark: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    path.char_indices().find_map(|(at, c)| {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '\'' | '"') => quote = Some(c),
            None => return path.get(at..).filter(|rest| rest.starts_with(mark)).map(|_| at),
        }
        None
    })
}

/// What stands before the parenthesis that closes, and behind it.
fn inside_parentheses(text: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    let mut depth = 1;
    loop {
        let rest = text.get(from..)?;
        let next = [find_outside_quotes(rest, "("), find_outside_quotes(rest, ")")].into_iter().flatten().min()?;
        let at = from + next;
        depth = if text.get(at..)?.starts_with('(') { depth + 1 } else { depth - 1 };
        if depth == 0 {
            return Some((text.get(..at)?, text.get(at + 1..)?));
        }
        from = at + 1;
    }
}

/// The operators of comparisons; one that begins like another comes first.
const OPERATORS: [&str; 6] = ["==", "!=", "<=", ">=", "<", ">"];

fn operator_at_start(text: &str) -> Option<(&'static str, &str)> {
    let text = text.trim_start();
    OPERATORS.into_iter().find_map(|operator| Some((operator, text.strip_prefix(operator)?)))
}

fn operator_at_end(text: &str) -> Option<(&str, &'static str)> {
    let text = text.trim_end();
    OPERATORS.into_iter().find_map(|operator| Some((text.strip_suffix(operator)?, operator)))
}

fn holds(left: i64, operator: &str, right: i64) -> bool {
    match operator {
        "==" => left == right,
        "!=" => left != right,
        "<=" => left <= right,
        ">=" => left >= right,
        "<" => left < right,
        _ => left > right,
    }
}

/// What a rule that hides makes of a value.
fn acted(action: &Action, value: &Value) -> Option<Value> {
    const REDACTED: &str = "[redacted]";
    match action {
        Action::Keep => Some(value.clone()),
        Action::Blank => Some(zero(value)),
        Action::Remove => None,
        Action::Redact => Some(REDACTED.into()),
        Action::Mask => Some(match value {
            Value::Null => Value::Null,
            Value::String(text) => match text.split_once('=') {
                Some((name, _)) => format!("{name}={REDACTED}").into(),
                None => REDACTED.into(),
            },
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => REDACTED.into(),
        }),
        Action::Hash => Some(hashed(value)),
        Action::Replace(replacement) => serde_json::from_str(replacement.as_json()).ok(),
    }
}

/// The digest that the filter makes of a value that stands alone.
fn hashed(value: &Value) -> Value {
    let rule = "$".parse().ok().map(|selector| Rule {
        location: crate::yaml::Location::file("properties"),
        on: String::new(),
        selector,
        action: Action::Hash,
    });
    let mut out = Vec::new();
    if let Some(Ok(plan)) = rule.map(|rule| Plan::compile_rules(&[rule])) {
        let applied = plan.with_hash_key(HASH_KEY).apply(value.to_string().as_bytes(), &mut out);
        assert!(applied.is_ok(), "a value that was parsed is one");
    }
    serde_json::from_slice(&out).unwrap_or_default()
}

fn zero(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Bool(_) => false.into(),
        Value::Number(_) => 0.into(),
        Value::String(_) => "".into(),
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Object(_) => Value::Object(Map::new()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_library_still_counts_nothing_as_nothing() {
        let document = json!([1, {}, {"a": 1}, [1, 2, 3]]);
        let found = |path: &str| document.query_only_path(path).unwrap();
        assert_eq!(found("$[?count(@.*) <= 2]"), ["$[2]"], "the known difference is gone: drop `as_the_rfc_counts`");
        assert_eq!(found(&as_the_rfc_counts("$[?count(@.*) <= 2]")), ["$[0]", "$[1]", "$[2]"]);
    }

    #[test]
    fn only_comparisons_with_counts_are_written_anew() {
        for (path, expected) in [
            ("$.a[?@.b == 1]", "$.a[?@.b == 1]"),
            ("$['count(@) == 0']", "$['count(@) == 0']"),
            ("$[?count(@.*)==0]", "$[?(count(@.*) == 0 || !@.*)]"),
            ("$[?@.a && 2 <= count(@['(',')'])]", "$[?@.a && (2 <= count(@['(',')']) && @['(',')'])]"),
            (
                "$[?count(@.a[?count(@.*) > -1]) != 1 || @.b]",
                "$[?(count(@.a[?(count(@.*) > -1 || !@.*)]) != 1 || !@.a[?(count(@.*) > -1 || !@.*)]) || @.b]",
            ),
        ] {
            assert_eq!(as_the_rfc_counts(path), expected);
        }
    }
}
