//! Invariants that tests and fuzz targets share.
//!
//! The filter is held to a reference that works as one would at first think of it: the document as a tree, the
//! matches of each path found by the path library, and one recursion that decides for each value. It is slow, knows
//! nothing of plans, and does not take other spellings of a name into account.

use std::collections::BTreeMap;

use jsonpath_rust::JsonPath;
use serde_json::{Map, Value};

use crate::filter::{Action, FilterError, Plan, Report, Rule, Show};
use crate::schema::{Catalogue, Class, Field};

/// The key of digests in properties.
const HASH_KEY: [u8; 32] = [1; 32];

/// A plan of rules alone makes of a document what the reference makes of it. Whether there is such a plan.
///
/// # Panics
/// If it does not.
pub fn filter_agrees_on_rules(rules: &[Rule], document: &Value) -> bool {
    let Ok(plan) = Plan::compile_rules(rules) else { return false };
    let mut reference = Reference::new(None, Show { unknown: true, ..Show::default() }, rules);
    reference.decide("", document, None);
    let expected = reference.value(Location { field: None, layer: Layer::Shown }, "$".to_owned(), document).value;
    assert_agree(&plan.with_hash_key(HASH_KEY), document, expected);
    true
}

/// A plan of classes and rules makes of a document what the reference makes of it. Whether there is such a plan.
///
/// # Panics
/// If it does not.
pub fn filter_agrees_on_classes(
    catalogue: &Catalogue,
    schema: &str,
    show: &Show,
    rules: &[Rule],
    document: &Value,
) -> bool {
    let Ok(plan) = Plan::compile(catalogue, schema, show, rules) else { return false };
    let Some(root) = catalogue.schema(schema).map(crate::schema::Schema::root) else { return false };
    let mut reference = Reference::new(Some(catalogue), show.clone(), rules);
    reference.decide("", document, Some(schema));
    let location = Location { field: Some(root), layer: Layer::Known(Known::default()) };
    let expected = reference.value(location, "$".to_owned(), document).value;
    assert_agree(&plan.with_hash_key(HASH_KEY), document, expected);
    true
}

/// Whatever the bytes are, a plan either refuses them, or they are JSON and so is what it writes, and values that
/// arrive in two parts are filtered like values that arrive in one.
///
/// # Panics
/// If that is not so.
pub fn filter_survives(plan: &Plan, bytes: &[u8]) {
    let mut whole = Vec::new();
    let result = plan.apply(bytes, &mut whole);
    assert_eq!(result.is_err(), whole.is_empty(), "an error writes nothing");
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() && std::str::from_utf8(bytes).is_ok();
    match result {
        Ok(_) => {
            assert!(is_json, "what is no JSON is refused");
            assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&whole).is_ok(), "what is written is JSON");
            let mut twice = Vec::new();
            let mut report = Report::default();
            let padded = [bytes, b" "].concat();
            let consumed = plan.apply_next(&padded, &mut twice, &mut report);
            assert!(matches!(consumed, Ok(Some(_))), "a whole value is found whole");
            assert_eq!(whole.trim_ascii_end(), twice, "both ways agree");
        }
        Err(
            FilterError::NotJson
            | FilterError::TooLarge { .. }
            | FilterError::TooDeep { .. }
            | FilterError::DuplicateKey
            | FilterError::NotAnArray,
        ) => {}
    }
    for split in 0..=bytes.len().min(64) {
        let mut parts = Vec::new();
        let mut report = Report::default();
        let first = plan.apply_next(bytes.get(..split).unwrap_or_default(), &mut parts, &mut report);
        match first {
            Ok(None) => assert!(parts.is_empty() && report == Report::default(), "nothing happened"),
            Ok(Some(consumed)) => {
                let mut again = Vec::new();
                let more = plan.apply_next(bytes, &mut again, &mut Report::default());
                assert_eq!((more, again), (Ok(Some(consumed)), parts), "more bytes change nothing");
            }
            Err(_) => {
                let mut again = Vec::new();
                let more = plan.apply_next(bytes, &mut again, &mut Report::default());
                assert_eq!((more.is_err(), again.is_empty(), parts.is_empty()), (true, true, true), "an error stays");
            }
        }
    }
}

fn assert_agree(plan: &Plan, document: &Value, expected: Option<Value>) {
    for text in [document.to_string(), format!("{document:#}")] {
        let mut out = Vec::new();
        let result = plan.apply(text.as_bytes(), &mut out);
        let found = result.map(|_| serde_json::from_slice::<Value>(&out).ok());
        assert_eq!(found, Ok(Some(expected.clone().unwrap_or(Value::Null))), "document {text}");
    }
}

/// The reference.
struct Reference<'c> {
    catalogue: Option<&'c Catalogue>,
    show: Show,
    rules: &'c [Rule],
    /// The last rule that matches a place, by its normalized path (RFC 9535 §2.7).
    decided: BTreeMap<String, usize>,
}

/// A place in the schema, and what holds there before rules.
#[derive(Clone, Copy)]
struct Location<'c> {
    field: Option<&'c Field>,
    layer: Layer,
}

#[derive(Clone, Copy, PartialEq)]
enum Layer {
    Shown,
    Known(Known),
    Hidden,
}

#[derive(Clone, Copy, Default, PartialEq)]
struct Known {
    loose: bool,
    lifted: bool,
    kept: bool,
    name: Name,
}

/// Which allow-list holds for what is in a member.
#[derive(Clone, Copy, Default, PartialEq)]
enum Name {
    Labels,
    Env,
    Annotations,
    Options,
    #[default]
    Other,
}

/// What is left of a value, and whether a rule kept something of it.
struct Left {
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
            for found in document.query_only_path(rule.selector.as_str()).unwrap_or_default() {
                let location = match path {
                    "" => found,
                    _ => format!("{path}{}", found.strip_prefix('$').unwrap_or(&found)),
                };
                let last = self.decided.entry(location).or_insert(at);
                *last = at.max(*last);
            }
        }
    }

    fn value(&mut self, mut location: Location<'c>, path: String, value: &Value) -> Left {
        let nested = location.field.and_then(|field| field.nested.as_deref());
        if let (Some(name), Some(catalogue)) = (nested, self.catalogue) {
            self.decide(&path, value, Some(name));
            location.field = catalogue.schema(name).map(crate::schema::Schema::root);
        }
        let mut kept = false;
        if let Some(rule) = self.decided.get(&path).and_then(|rule| self.rules.get(*rule)) {
            if rule.action != Action::Keep {
                let value = acted(&rule.action, value);
                return Left { kept: value.is_some(), value };
            }
            kept = true;
            location.layer = match (location.field, location.layer) {
                (None, _) | (_, Layer::Shown) => Layer::Shown,
                (Some(_), Layer::Known(known)) => Layer::Known(Known { kept, ..known }),
                (Some(_), Layer::Hidden) => Layer::Known(Known { loose: true, kept, ..Known::default() }),
            };
        }
        let left = self.by_layer(location, path, value);
        Left { kept: kept || left.kept, ..left }
    }

    fn by_layer(&mut self, location: Location<'c>, path: String, value: &Value) -> Left {
        let (field, layer) = (location.field, location.layer);
        let said = field.and_then(|field| field.opaque.as_ref().or(field.class.as_ref()));
        let shown = |known: Known| {
            said.is_none_or(|(class, _)| known.lifted || known.kept || self.show.classes.contains(*class))
        };
        let opaque = field.is_some_and(|field| field.opaque.is_some());
        let known = match layer {
            Layer::Shown => return self.inside(location, layer, path, value),
            Layer::Known(known) if opaque && shown(known) => return self.inside(location, Layer::Shown, path, value),
            Layer::Hidden => return self.probed(location, path, value),
            Layer::Known(known) if opaque && known.loose => return self.probed(location, path, value),
            Layer::Known(known) => known,
        };
        let (is_shown, has_class) = (shown(known), said.is_some());
        let leaf = field
            .is_none_or(|field| field.members.is_empty() && field.any_member.is_none() && field.elements.is_none());
        let described = field.is_some_and(|field| {
            (value.is_object() && (!field.members.is_empty() || field.any_member.is_some()))
                || (value.is_array() && field.elements.is_some())
        });
        let is_container = value.is_object() || value.is_array();
        if is_container && (described || !has_class) {
            return self.inside(location, layer, path, value);
        }
        if is_container && leaf {
            // A container where a scalar should be: only what rules keep in it.
            let hidden = Location { field, layer: Layer::Hidden };
            if !is_shown && known.loose {
                return self.probed(hidden, path, value);
            }
            return self.inside(hidden, Layer::Hidden, path, value);
        }
        if has_class && is_shown && !is_container {
            return Left { value: Some(value.clone()), kept: false };
        }
        if has_class && !is_shown && known.loose {
            return Left { value: None, kept: false };
        }
        Left { value: Some(zero(value)), kept: false }
    }

    /// A value that is hidden but for what rules keep in it.
    fn probed(&mut self, location: Location<'c>, path: String, value: &Value) -> Left {
        if !value.is_object() && !value.is_array() {
            return Left { value: None, kept: false };
        }
        let left = self.inside(location, Layer::Hidden, path, value);
        Left { value: left.value.filter(|_| left.kept), kept: left.kept }
    }

    /// The members and elements of a value.
    fn inside(&mut self, location: Location<'c>, layer: Layer, path: String, value: &Value) -> Left {
        let field = location.field;
        let mut kept = false;
        let value = match value {
            Value::Object(members) => {
                let mut left = Map::new();
                for (key, member) in members {
                    let below = self.member(field, layer, key);
                    let found = self.value(below, format!("{path}['{key}']"), member);
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
                    let below = self.element(field, layer, element);
                    let found = self.value(below, format!("{path}[{at}]"), element);
                    kept |= found.kept;
                    left.extend(found.value);
                }
                Value::Array(left)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        };
        Left { value: Some(value), kept }
    }

    fn member(&self, field: Option<&'c Field>, layer: Layer, key: &str) -> Location<'c> {
        let named = field.and_then(|field| field.members.get(key));
        let any = field.and_then(|field| field.any_member.as_deref());
        let below = named.or(any);
        let Layer::Known(known) = layer else { return Location { field: below, layer } };
        let shows = |class: Class| self.show.classes.contains(class);
        let key_class = field.and_then(|field| field.key_class.as_ref()).map(|(class, _)| *class);
        let layer = match (named, any, key_class) {
            (Some(_), ..) => Layer::Known(Known { name: called(key), kept: known.kept, ..Known::default() }),
            (None, Some(_), _) if known.kept => Layer::Known(Known { loose: true, kept: true, ..Known::default() }),
            (None, Some(value), _) if self.is_listed_key(known.name, value, key) => {
                Layer::Known(Known { loose: true, lifted: true, ..Known::default() })
            }
            (None, _, Some(class)) => {
                if known.kept || shows(class) {
                    Layer::Known(Known { kept: known.kept, ..Known::default() })
                } else {
                    Layer::Hidden
                }
            }
            (None, Some(value), None) => {
                if value.class.is_some() || value.opaque.is_some() {
                    Layer::Known(Known { loose: true, ..Known::default() })
                } else if self.shows_some(value) {
                    Layer::Known(Known::default())
                } else {
                    Layer::Hidden
                }
            }
            (None, None, None) if self.show.unknown => Layer::Shown,
            (None, None, None) => Layer::Hidden,
        };
        Location { field: below, layer }
    }

    fn is_listed_key(&self, name: Name, value: &Field, key: &str) -> bool {
        let Some((class, _)) = &value.class else { return false };
        self.is_listed(name, key) && !self.show.classes.contains(*class)
    }

    fn is_listed(&self, name: Name, text: &str) -> bool {
        match name {
            Name::Labels => self.show.labels.matches(text),
            Name::Env => self.show.env.matches(text),
            Name::Annotations => self.show.annotations.matches(text),
            Name::Options => self.show.options.matches(text),
            Name::Other => false,
        }
    }

    fn element(&self, field: Option<&'c Field>, layer: Layer, element: &Value) -> Location<'c> {
        let below = field.and_then(|field| field.elements.as_deref());
        let Layer::Known(known) = layer else { return Location { field: below, layer } };
        let layer = match below {
            Some(value) => {
                let name = element.as_str().map(|text| text.split('=').next().unwrap_or(text));
                let lifted = value.class.is_some() && name.is_some_and(|name| self.is_listed(known.name, name));
                let name = if value.any_member.is_some() { known.name } else { Name::Other };
                Layer::Known(Known { loose: true, lifted, kept: known.kept, name })
            }
            None if self.show.unknown => Layer::Shown,
            None => Layer::Hidden,
        };
        Location { field: below, layer }
    }

    /// Whether something at a field or below can be shown by its class.
    fn shows_some(&self, field: &Field) -> bool {
        let said = [&field.class, &field.key_class, &field.opaque].into_iter().flatten();
        let nested = field.nested.as_deref().and_then(|name| self.catalogue?.schema(name));
        let below = field.members.values().chain(field.any_member.as_deref()).chain(field.elements.as_deref());
        self.show.unknown
            || said.into_iter().any(|(class, _)| self.show.classes.contains(*class))
            || below.into_iter().chain(nested.map(crate::schema::Schema::root)).any(|field| self.shows_some(field))
    }
}

fn called(name: &str) -> Name {
    match name {
        "Labels" | "labels" => Name::Labels,
        "Env" | "env" => Name::Env,
        "Annotations" | "annotations" => Name::Annotations,
        "Options" | "DriverOpts" | "Config" | "StorageOpt" => Name::Options,
        _ => Name::Other,
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
    use super::*;
    use crate::schema::ClassSet;
    use crate::yaml::Location as Line;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use proptest::test_runner::{Config, TestRunner};

    /// Documents for each set of rules: making the rules takes longer than applying them.
    const DOCUMENTS: usize = 2;

    /// Runs `test` on generated values. It answers how many documents it looked at: at least `cases` of them, so that
    /// rules without a plan do not count. The three comparisons have 10,000 together.
    fn run<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> usize) {
        let looked_at = std::cell::Cell::new(0);
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
        let result = TestRunner::new(config).run(&strategy, |value| {
            looked_at.set(looked_at.get() + test(value));
            Ok(())
        });
        if let Err(error) = result {
            panic!("{error}");
        }
        assert!(looked_at.get() >= cases as usize, "only {} documents in {cases} cases", looked_at.get());
    }

    fn name() -> impl Strategy<Value = String> {
        select(vec!["a", "b", "c", "d e", "Labels", "Env", "Options"]).prop_map(str::to_owned)
    }

    fn document() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3..4_i64).prop_map(Value::from),
            select(vec![1.5, -2.0e30, 7.0]).prop_map(Value::from),
            select(vec!["", "x", "a", "A=1", "TZ=2", "TZ", "q\"\\\n=\u{e9}", "=",]).prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..5).prop_map(Value::from),
                vec((name(), inner), 0..5).prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn bound() -> impl Strategy<Value = String> {
        prop_oneof![Just(String::new()), (-4..5_i64).prop_map(|bound| bound.to_string())]
    }

    fn expression() -> impl Strategy<Value = String> {
        select(vec![
            "@.a",
            "!@.b",
            "@.a == 1",
            "@ == 'x'",
            "@.b != null",
            "@.a < 2 && @.b",
            "@.c || @ > 0",
            "@[0] == 1",
            "@['d e']",
            "match(@, '[a-z]')",
            "search(@.a, 'A|x')",
            "length(@) >= 2",
            "value(@..a) == 1",
            "@.a == $.a",
            "!($.b)",
            "@.*",
            "@..c",
            "@.a[?@ == 1]",
            "@ != @.a",
            "@.a == @.b",
        ])
        .prop_map(|expression| format!("?{expression}"))
    }

    fn pick() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => name().prop_map(|name| format!("'{name}'")),
            2 => Just("*".to_owned()),
            2 => (-3..4_i64).prop_map(|index| index.to_string()),
            1 => (bound(), bound()).prop_map(|(start, end)| format!("{start}:{end}")),
            1 => (bound(), bound(), -3..4_i64).prop_map(|(start, end, step)| format!("{start}:{end}:{step}")),
            1 => expression(),
        ]
    }

    fn segment() -> impl Strategy<Value = String> {
        let picks = prop_oneof![4 => vec(pick(), 1..2), 1 => vec(pick(), 2..4)];
        (prop_oneof![4 => Just(""), 1 => Just("..")], picks)
            .prop_map(|(descendant, picks)| format!("{descendant}[{}]", picks.join(",")))
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            4 => Just(Action::Keep),
            2 => Just(Action::Blank),
            2 => Just(Action::Remove),
            2 => Just(Action::Redact),
            2 => Just(Action::Mask),
            1 => Just(Action::Hash),
            1 => Just(Action::Replace("{\"a\":[1]}".parse().unwrap())),
        ]
    }

    fn rules(on: &'static [&'static str], count: usize) -> impl Strategy<Value = Vec<Rule>> {
        let rule = (vec(segment(), 0..4), action(), select(on)).prop_map(|(segments, action, on)| Rule {
            location: Line::file("case"),
            on: on.to_owned(),
            selector: format!("${}", segments.concat()).parse().unwrap(),
            action,
        });
        vec(rule, 0..count)
    }

    #[test]
    fn rules_do_what_the_reference_does() {
        run(4_000, (rules(&["A"], 6), vec(document(), DOCUMENTS)), |(rules, documents)| {
            documents.iter().filter(|document| filter_agrees_on_rules(&rules, document)).count()
        });
    }

    /// Lines of class files, of which those are kept that make a catalogue together.
    fn catalogue() -> impl Strategy<Value = Catalogue> {
        let step = prop_oneof![
            4 => name().prop_map(|name| format!("['{name}']")),
            1 => Just(".*".to_owned()),
            2 => Just("[*]".to_owned()),
        ];
        let suffix = prop_oneof![6 => Just(""), 1 => Just("..*"), 1 => Just(".*~")];
        let line = (any::<bool>(), select(vec!["A", "A", "B"]), vec(step, 0..4), suffix)
            .prop_map(|(state, schema, steps, suffix)| (state, schema, format!("${}{suffix}", steps.concat())));
        vec(line, 0..9).prop_map(|lines| {
            let mut found = read(&[]).unwrap();
            let mut good = Vec::new();
            for line in lines {
                good.push(line);
                match read(&good) {
                    Some(catalogue) => found = catalogue,
                    None => {
                        good.pop();
                    }
                }
            }
            found
        })
    }

    fn read(lines: &[(bool, &str, String)]) -> Option<Catalogue> {
        let class = |class: &str, state: bool| {
            let paths = |schema: &str| {
                let lines = lines.iter().filter(|line| line.0 == state && line.1 == schema);
                lines.map(|(_, _, path)| format!("\n    - \"{path}\"")).collect::<String>()
            };
            let fields = ["A", "B"].map(|schema| (schema, paths(schema)));
            let fields = fields.iter().filter(|(_, paths)| !paths.is_empty());
            let fields: String = fields.map(|(schema, paths)| format!("\n  {schema}:{paths}")).collect();
            format!("class: {class}\nfields:{fields}\n")
        };
        let schemas = "schemas:\n  A:\n    - $.b: B\n    - $.c[*]: B\n  B:\n";
        let (state, secret) = (class("state", true), class("secret", false));
        Catalogue::parse(("schemas", schemas), &[("state", &state), ("secret", &secret)]).ok()
    }

    fn show() -> impl Strategy<Value = Show> {
        let classes = prop_oneof![
            6 => Just(ClassSet::EMPTY.with(Class::State)),
            1 => Just(ClassSet::EMPTY),
            1 => Just(ClassSet::ALL),
        ];
        let globs = || select(vec![vec![], vec!["a", "T*"], vec!["*"]]);
        (classes, any::<bool>(), globs(), globs()).prop_map(|(classes, unknown, labels, env)| Show {
            classes,
            unknown,
            labels: labels.into_iter().collect(),
            options: env.clone().into_iter().collect(),
            env: env.into_iter().collect(),
            ..Show::default()
        })
    }

    #[test]
    fn classes_do_what_the_reference_does() {
        run(3_000, (catalogue(), show(), vec(document(), DOCUMENTS)), |(catalogue, show, documents)| {
            let agrees = |document: &&Value| filter_agrees_on_classes(&catalogue, "A", &show, &[], document);
            documents.iter().filter(agrees).count()
        });
    }

    #[test]
    fn classes_and_rules_do_what_the_reference_does() {
        let strategy = (catalogue(), show(), rules(&["A", "A", "B"], 5), vec(document(), DOCUMENTS));
        run(3_000, strategy, |(catalogue, show, rules, documents)| {
            let agrees = |document: &&Value| filter_agrees_on_classes(&catalogue, "A", &show, &rules, document);
            documents.iter().filter(agrees).count()
        });
    }

    #[test]
    fn bytes_of_any_kind_are_survived() {
        let pieces = vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"b\"",
            "\"\\u0061\"",
            "1",
            "-",
            "1.5e",
            "tru",
            "true",
            "null",
            " ",
            "\n",
            "\"",
            "\\",
            "\u{e9}",
            "\u{0}",
        ];
        let text = vec(select(pieces), 0..14).prop_map(|pieces| pieces.concat().into_bytes());
        let whole = document().prop_map(|document| document.to_string().into_bytes());
        let cut = (document(), any::<prop::sample::Index>()).prop_map(|(document, at)| {
            let mut bytes = document.to_string().into_bytes();
            bytes.truncate(at.index(bytes.len() + 1));
            bytes
        });
        let strategy = (rules(&["A"], 3), vec(prop_oneof![2 => text, 1 => whole, 1 => cut], 8));
        run(300, strategy, |(rules, texts)| {
            let Ok(plan) = Plan::compile_rules(&rules) else { return 0 };
            texts.iter().for_each(|text| filter_survives(&plan, text));
            texts.len()
        });
    }
}
