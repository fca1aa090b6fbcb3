//! Denies query parameters that read fields which the profile hides.
//!
//! A list filter that matches shows a row, and one that does not match hides it. A client that filters by a hidden field
//! can guess its value. `filters/queries.yaml` says what each parameter reads. A request passes if the profile shows all
//! of it. A key of `filters` that is not in the table never passes. Neither does a label filter whose key is a pattern:
//! Podman would match it against every label.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Denial;
use super::plans::Plans;
use crate::api::lists::{ANNOTATIONS, ENV, LABELS, OPTIONS};
use crate::api::objects::{ObjectKind, OperationObjects, ParameterRule, TAG};
use crate::api::queries::{QueryTable, Reads, is_true};
use crate::api::{Operation, has_transport};
use crate::filter::{Show, looks_like_credential};
use crate::route::{Query, Route};
use crate::schema::{Catalogue, Class, ClassSet, NameList, Schema, VariantKind, VariantWords, Variants};
use crate::visibility::VisibleObjects;

/// The longest value of `filters`, in bytes.
const FILTERS_LIMIT: usize = 64 * 1024;
/// The characters that make the key of a label filter a pattern. Podman matches a key with `*` anywhere in the key of a
/// label, and inside such a pattern reads the others as `filepath.Match` in Go does.
const PATTERN_CHARACTERS: [char; 5] = ['*', '?', '[', ']', '\\'];

/// The schemas of the objects whose labels a filter of an operation compares, if they are not in its response.
///
/// Source: `daemon/prune.go` of moby; `manager/controlapi/task.go` of swarmkit, which compares the labels of the service.
pub(super) fn labelled_elsewhere(operation: &Operation) -> &'static [&'static str] {
    match operation.id {
        "ContainerPrune" => &["ContainerSummary", "ContainerInspect"],
        "ImagePrune" => &["ImageSummary", "ImageInspect"],
        "NetworkPrune" => &["NetworkSummary", "NetworkInspect"],
        "VolumePrune" => &["Volume"],
        "TaskList" => &["Service"],
        _ => &[],
    }
}

/// What a client can see in the response of one operation.
pub(super) struct Visible<'p> {
    /// What the profile shows.
    pub(super) show: &'p Show,
    /// The classes that have fields in the response that rules hide.
    pub(super) hidden_by_rules: ClassSet,
    /// Which fields are shown in full, of those that parameters read.
    pub(super) plans: &'p Plans,
    /// What events are, if the response is events.
    pub(super) events: Option<&'p EventKinds>,
    /// Whether the response passes untouched, so that a key of `filters` reads nothing that is hidden.
    pub(super) untouched: bool,
}

/// What filters on events read beyond fields.
#[derive(Clone, Debug)]
pub(super) struct EventKinds {
    /// How actions are written.
    words: VariantWords,
    /// The classes of the attributes that the engine sets, by name. Every other attribute is a label.
    attributes: BTreeMap<String, ClassSet>,
}

impl EventKinds {
    /// Those of the schema that `variants` describe.
    pub(super) fn new(variants: &Variants, catalogue: &Catalogue) -> Self {
        let root = catalogue.schema(&variants.schema).map(Schema::root);
        let inside = variants.entries.path.iter().fold(root, |field, name| field?.members.get(name));
        let class = |name: &String| inside?.members.get(name)?.class.as_ref().map(|(class, _)| *class);
        let of_kinds = variants.kinds.values().flat_map(VariantKind::names);
        let names = of_kinds.chain(inside.into_iter().flat_map(|field| field.members.keys()));
        // An attribute without a class is one that nobody may read.
        let classes = |name: &String| class(name).map_or(ClassSet::ALL, |class| ClassSet::EMPTY.with(class));
        let attributes = names.map(|name| (name.clone(), classes(name))).collect();
        Self { words: variants.words.clone(), attributes }
    }
}

/// Checks that the query parameters read only what is visible.
///
/// # Errors
/// [`Denial::Oracle`] if one reads more, or if `filters` has an unknown key; [`Denial::Pattern`] if the key of a label filter
/// is a pattern; [`Denial::Filters`] if `filters` cannot be parsed; [`Denial::Place`] if one names a place on the host.
pub(super) fn check(route: &Route, table: &QueryTable, visible: &Visible<'_>) -> Result<(), Denial> {
    check_parameters(route, table, visible)?;
    check_filters(route, table, visible)
}

/// Checks the parameters other than `filters`.
///
/// # Errors
/// [`Denial::Oracle`] if one reads more than is visible.
fn check_parameters(route: &Route, table: &QueryTable, visible: &Visible<'_>) -> Result<(), Denial> {
    for parameter in table.parameters(route.operation) {
        let is_used = values(&route.query, &parameter.name).next().is_some();
        let is_harmless = parameter.is_flag && !values(&route.query, &parameter.name).any(is_true);
        if values(&route.query, &parameter.name).any(has_transport) {
            return Err(Denial::Place);
        }
        if is_used && !is_harmless && !visible.covers(&parameter.reads, &[], table) {
            return Err(Denial::Oracle);
        }
    }
    Ok(())
}

/// Checks the keys of `filters`.
///
/// # Errors
/// As [`check`].
fn check_filters(route: &Route, table: &QueryTable, visible: &Visible<'_>) -> Result<(), Denial> {
    for text in values(&route.query, "filters").filter(|text| !text.is_empty()) {
        for (key, values) in parse_filters(text)? {
            let reads = table.filter(route.operation, &key);
            let is_label = matches!(reads, Some(Reads::Labels | Reads::Attributes));
            if !is_label && values.iter().any(|value| has_transport(value)) {
                return Err(Denial::Place);
            }
            if is_label && values.iter().any(|value| is_pattern(value)) {
                return Err(Denial::Pattern);
            }
            if !visible.untouched && !reads.is_some_and(|reads| visible.covers(reads, &values, table)) {
                return Err(Denial::Oracle);
            }
        }
    }
    Ok(())
}

/// The kind of which a client sees only some objects, while the filters of its request depend on all of them.
///
/// Source: `daemon/list.go`, `daemon/network/filter.go` and `daemon/events/filter.go` of moby.
pub(super) fn reads_hidden_objects(route: &Route, visibility: &VisibleObjects) -> Option<ObjectKind> {
    let texts = values(&route.query, "filters").filter(|text| !text.is_empty());
    let keys: Vec<(String, Vec<String>)> = texts.filter_map(|text| parse_filters(text).ok()).flatten().collect();
    let has = |name: &str| keys.iter().any(|(key, _)| key == name);
    let restricted = |kinds: &[ObjectKind]| kinds.iter().copied().find(|kind| visibility.restricts(*kind));
    match route.operation.id {
        // Whether something is in use.
        "VolumeList" if has("dangling") => restricted(&[ObjectKind::Container]),
        "NetworkList" if has("dangling") => restricted(&[ObjectKind::Container, ObjectKind::Service]),
        // Whether another image is made of it.
        "ImageList" if has("dangling") => restricted(&[ObjectKind::Image]),
        // The list begins or ends at a container only if a name of it matches, and one of a hidden container that is linked to
        // it is one of its names.
        "ContainerList" if has("name") => {
            let ages = ["before", "since"];
            let has_age = ages.iter().any(|age| has(age) || values(&route.query, age).any(|value| !value.is_empty()));
            restricted(&[ObjectKind::Container]).filter(|_| has_age)
        }
        // What a container was called while it was hidden.
        "SystemEvents" if visibility.reads_names(ObjectKind::Container) => {
            let mut labels = keys.iter().filter(|(key, _)| key == "label").flat_map(|(_, labels)| labels);
            let is_old_name = |label: &String| label.split('=').next() == Some("oldName");
            labels.any(is_old_name).then_some(ObjectKind::Container)
        }
        _ => None,
    }
}

/// Checks that no query parameter reaches the host, or could because nobody has looked at it.
///
/// # Errors
/// [`Denial::HostParameter`] of the first that does.
pub(super) fn stays_off_host(route: &Route, objects: &OperationObjects) -> Result<(), Denial> {
    let is_kept = |name: &'static str, value: &str| {
        let known = route.operation.query.iter().find(|parameter| parameter.name == name);
        let is_default = known.is_some_and(|parameter| parameter.is_default(value));
        is_default || objects.rule(route.operation, name).is_some_and(|rule| rule.accepts(value))
    };
    match route.query.pairs().find(|(name, value)| !is_kept(name, value)) {
        Some((name, _)) => Err(Denial::HostParameter(name)),
        None => Ok(()),
    }
}

/// Whether every image that has the name which a request gives to another one is visible, if it gives one. It is taken from the
/// image that has it.
pub(super) fn names_visible_image(route: &Route, objects: &OperationObjects, visibility: &VisibleObjects) -> bool {
    let mut given = objects.parameters.iter().filter(|(_, rule)| **rule == ParameterRule::NewImage);
    given.all(|(parameter, _)| {
        let Some(name) = route.query.get(parameter) else { return true };
        // Engines do not agree on a name with a tag in it.
        let is_bare = !name.rsplit('/').next().unwrap_or(name).contains([':', '@']);
        let tag = route.query.get(TAG).filter(|tag| !tag.is_empty()).unwrap_or("latest");
        is_bare && visibility.shows_by_name(ObjectKind::Image, &format!("{name}:{tag}"))
    })
}

/// What a denied request reads that is hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HiddenRead {
    /// A label, whose name has letters, digits and `._-/` only.
    Label(String),
    /// Fields of these classes, which the profile hides.
    Classes {
        /// What reads them: a parameter, or a key of `filters`.
        what: String,
        /// The classes.
        classes: ClassSet,
    },
    /// What no key of a profile shows by itself: a rule hides it, or it is unknown.
    Other {
        /// What reads it.
        what: String,
    },
}

/// What a request reads that is hidden: why [`check`] found [`Denial::Oracle`]. `None` if nothing is.
pub(super) fn hidden_read(route: &Route, table: &QueryTable, visible: &Visible<'_>) -> Option<HiddenRead> {
    for parameter in table.parameters(route.operation) {
        let is_used = values(&route.query, &parameter.name).any(|value| !parameter.is_flag || is_true(value));
        if is_used && !visible.covers(&parameter.reads, &[], table) {
            return Some(visible.hidden(&parameter.reads, &[], format!("the parameter {}", parameter.name), table));
        }
    }
    for text in values(&route.query, "filters").filter(|text| !text.is_empty()) {
        for (key, values) in parse_filters(text).ok()? {
            match table.filter(route.operation, &key) {
                Some(reads) if visible.covers(reads, &values, table) => {}
                Some(reads) => return Some(visible.hidden(reads, &values, format!("the filter {key}"), table)),
                None => return Some(HiddenRead::Other { what: "a filter".to_owned() }),
            }
        }
    }
    None
}

/// Whether a text can be quoted in an answer and in a profile: the name of a label as people write it.
fn is_plain_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/'))
}

/// Whether the key of a label filter, given as `key` or `key=value`, is a pattern for an engine.
fn is_pattern(label: &str) -> bool {
    label.split('=').next().is_some_and(|key| key.contains(PATTERN_CHARACTERS))
}

/// The values of every parameter with this name in any case, because some engines ignore the case.
fn values<'q>(query: &'q Query, name: &str) -> impl Iterator<Item = &'q str> {
    query.pairs().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

impl Visible<'_> {
    /// Whether everything that a parameter or key with these values reads is visible.
    fn covers(&self, reads: &Reads, values: &[String], table: &QueryTable) -> bool {
        match reads {
            Reads::Fields { fields, classes } => {
                classes.iter().all(|class| self.shows_all_of(class))
                    && fields.iter().all(|field| self.plans.shows(field))
            }
            Reads::Unfiltered => false,
            Reads::Labels => self.shows_labels(values, table),
            Reads::Attributes => self.shows_labels(values, table) && self.shows_attributes(values),
            Reads::Actions => {
                let is_word = |value: &String| self.events.is_some_and(|events| events.words.word(value) == value);
                // A guess could tell what is masked in a command line.
                let shows_commands = self.shows_all_of(Class::Command) && !self.show.mask;
                self.shows_all_of(Class::State) && (shows_commands || values.iter().all(is_word))
            }
        }
    }

    /// What of all that a parameter or key with these values reads is hidden. `what` names it.
    fn hidden(&self, reads: &Reads, values: &[String], what: String, table: &QueryTable) -> HiddenRead {
        let classes = match reads {
            Reads::Fields { fields, classes } => {
                let hidden = fields.iter().filter(|field| !self.plans.shows(field));
                let of_fields: Option<ClassSet> = hidden.map(|field| self.plans.hidden_class(field)).collect();
                of_fields.map(|of_fields| {
                    classes.iter().filter(|class| !self.shows_all_of(*class)).fold(of_fields, ClassSet::with)
                })
            }
            Reads::Labels | Reads::Attributes => {
                let is_shown = |value: &&String| self.shows_labels(std::slice::from_ref(*value), table);
                let label = values.iter().find(|value| !is_shown(value)).and_then(|value| value.split('=').next());
                // What is excluded, or masked, is not opened by its name.
                let is_opened_by_name = |label: &&str| {
                    is_plain_name(label)
                        && !self.show.names.of(LABELS).matches(label)
                        && !self.show.names.of(LABELS).excludes(label)
                        && !self.hidden_by_rules.contains(Class::FreeText)
                };
                match label.filter(is_opened_by_name) {
                    Some(label) => return HiddenRead::Label(label.to_owned()),
                    None => return HiddenRead::Other { what: "a filter".to_owned() },
                }
            }
            Reads::Actions => {
                Some([Class::State, Class::Command].into_iter().filter(|class| !self.shows_all_of(*class)).collect())
            }
            Reads::Unfiltered => None,
        };
        let is_by_class = |classes: &ClassSet| classes.iter().all(|class| !self.show.classes.contains(class));
        match classes.filter(is_by_class).filter(|classes| *classes != ClassSet::EMPTY) {
            Some(classes) => HiddenRead::Classes { what, classes },
            None => HiddenRead::Other { what },
        }
    }

    /// Whether every label that the values name, as `key` or `key=value`, is visible.
    fn shows_labels(&self, values: &[String], table: &QueryTable) -> bool {
        if self.hidden_by_rules.contains(Class::FreeText) {
            return false;
        }
        let labels = self.show.names.of(LABELS);
        let key = |value: &String| value.split('=').next().unwrap_or_default().to_owned();
        let is_listed = |value: &String| labels.matches(&key(value));
        // Whatever else shows it.
        if values.iter().any(|value| labels.excludes(key(value))) {
            return false;
        }
        // Only a credential is masked, so only a guess that is one could hit a masked value. Whether it is depends on the
        // name of the label as well.
        let is_masked = |value: &String| {
            self.show.mask && value.split_once('=').is_some_and(|(name, guess)| looks_like_credential(name, guess))
        };
        let is_harmless = |value: &String| table.is_harmless_label(value) || is_listed(value);
        let shows_others = self.show.classes.contains(Class::FreeText);
        !values.iter().any(is_masked) && (shows_others || values.iter().all(is_harmless))
    }

    /// Whether the attributes of events with the names of these labels are visible too: the engine compares both.
    fn shows_attributes(&self, values: &[String]) -> bool {
        let Some(events) = self.events else { return false };
        let classes = |value: &String| events.attributes.get(value.split('=').next()?).copied();
        let mut classes = values.iter().filter_map(classes).flat_map(|classes| classes.iter().collect::<Vec<_>>());
        classes.all(|class| self.shows_all_of(class))
    }

    /// Whether every field of a class is visible.
    fn shows_all_of(&self, class: Class) -> bool {
        let excludes = |list: &NameList| self.show.names.of(*list).has_exclusions();
        let excludes = match class {
            Class::FreeText => [LABELS, ANNOTATIONS].iter().any(excludes),
            Class::Secret => [ENV, OPTIONS].iter().any(excludes),
            Class::Command | Class::HostPath | Class::Topology | Class::Host | Class::Identity | Class::State => false,
        };
        self.show.classes.contains(class) && !self.hidden_by_rules.contains(class) && !excludes
    }
}

/// Parses `filters`: `{"key": ["value"]}`, or `{"key": {"value": true}}` from older clients.
///
/// Returns every duplicate key and value, so all of them are checked, whichever of them the engine uses.
///
/// # Errors
/// [`Denial::Filters`] if the text is too long or has another shape.
fn parse_filters(text: &str) -> Result<Vec<(String, Vec<String>)>, Denial> {
    if text.len() > FILTERS_LIMIT {
        return Err(Denial::Filters);
    }
    serde_json::from_str::<FilterKeys>(text).map(|keys| keys.0).map_err(|_| Denial::Filters)
}

/// The keys of `filters`, each with its values.
struct FilterKeys(Vec<(String, Vec<String>)>);

impl<'de> Deserialize<'de> for FilterKeys {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct KeysVisitor;
        impl<'de> Visitor<'de> for KeysVisitor {
            type Value = FilterKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of filters")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FilterKeys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, FilterValues(values))) = map.next_entry()? {
                    keys.push((key, values));
                }
                Ok(FilterKeys(keys))
            }
        }
        from.deserialize_map(KeysVisitor)
    }
}

/// The values of one key of `filters`.
struct FilterValues(Vec<String>);

impl<'de> Deserialize<'de> for FilterValues {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct ValuesVisitor;
        impl<'de> Visitor<'de> for ValuesVisitor {
            type Value = FilterValues;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of values, or an object of values that are true")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<FilterValues, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = items.next_element()? {
                    values.push(value);
                }
                Ok(FilterValues(values))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FilterValues, A::Error> {
                let mut values = Vec::new();
                // The engine ignores the booleans.
                while let Some((value, _)) = map.next_entry::<String, bool>()? {
                    values.push(value);
                }
                Ok(FilterValues(values))
            }
        }
        from.deserialize_any(ValuesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, LazyLock, Mutex};

    use super::*;
    use crate::api::{OPERATIONS, Operation, operation, queries};
    use crate::filter::{DocumentLimits, NamesShown};
    use crate::profile::Profiles;
    use crate::route::find;

    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| crate::api::catalogue::built_in().unwrap());

    /// The plans of a profile that allows every operation and shows these classes.
    fn plans(classes: ClassSet) -> Arc<Plans> {
        static KNOWN: Mutex<Vec<(ClassSet, Arc<Plans>)>> = Mutex::new(Vec::new());
        let mut known = KNOWN.lock().unwrap();
        if let Some((_, found)) = known.iter().find(|(of, _)| *of == classes) {
            return found.clone();
        }
        let profiles = Profiles::parse(&[("p.yaml", "profile: p\nallow: [all]\n")], &CATALOGUE).unwrap();
        let mut profile = profiles.get("p").unwrap().clone();
        profile.show = Show { classes, ..Show::default() };
        let limits = DocumentLimits::default();
        let plans = Plans::new(Arc::new(profile), &CATALOGUE, limits, queries::built_in().unwrap());
        known.push((classes, Arc::new(plans)));
        known[known.len() - 1].1.clone()
    }

    /// Checks `parameters` of an operation under a profile that shows `classes` and has rules that hide `ruled`.
    fn checked(id: &str, parameters: &[(&str, &str)], classes: &[Class], ruled: &[Class]) -> Result<(), Denial> {
        let operation = operation(id).unwrap();
        let path = operation.template.replace("{id}", "x").replace("{reference}", "x").replace("{checkpoint}", "y");
        let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let query: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        let target = format!("/v1.44{path}?{}", query.join("&"));
        let route = find(operation.method.as_str(), &target).unwrap().unwrap();
        assert_eq!(route.operation.id, id, "{target}");
        let show = Show {
            classes: classes.iter().copied().collect(),
            names: NamesShown::default().with(LABELS, ["app", "com.example.*"]),
            ..Show::default()
        };
        let events = CATALOGUE.variants("Event").map(|variants| EventKinds::new(variants, &CATALOGUE));
        let hidden_by_rules: ClassSet = ruled.iter().copied().collect();
        let left = classes.iter().copied().filter(|class| !hidden_by_rules.contains(*class)).collect();
        let plans = plans(left);
        let visible =
            Visible { show: &show, hidden_by_rules, plans: &plans, events: events.as_ref(), untouched: false };
        check(&route, queries::built_in().unwrap(), &visible)
    }

    fn is_label(reads: &Reads) -> bool {
        matches!(reads, Reads::Labels | Reads::Attributes)
    }

    /// Checks that `parameters` pass if exactly these classes are shown, and that they fail if any of them is hidden.
    #[track_caller]
    fn check_needs(id: &str, parameters: &[(&str, &str)], needs: &[Class]) {
        assert_eq!(checked(id, parameters, needs, &[]), Ok(()), "{id} {parameters:?} shown");
        for missing in needs {
            let others: Vec<Class> = Class::ALL.into_iter().filter(|class| class != missing).collect();
            assert_eq!(
                checked(id, parameters, &others, &[]),
                Err(Denial::Oracle),
                "{id} {parameters:?} hides {missing}"
            );
            assert_eq!(
                checked(id, parameters, &Class::ALL, &[*missing]),
                Err(Denial::Oracle),
                "{id} {parameters:?}, {missing} hidden by a rule"
            );
        }
    }

    #[track_caller]
    fn check_filter(id: &str, filters: &str, expected: Result<(), Denial>) {
        let classes = [Class::Identity, Class::State, Class::Topology];
        assert_eq!(checked(id, &[("filters", filters)], &classes, &[]), expected, "{id} {filters}");
    }

    #[test]
    fn every_filter_needs_the_classes_it_reads() {
        use Class::{Command, Host, HostPath, Identity, State, Topology};
        let rows: &[(&str, &str, &[Class])] = &[
            ("ContainerList", "ancestor id name", &[Identity]),
            ("ContainerList", "exited health is-task status", &[State]),
            ("ContainerList", "before since", &[Identity, State]),
            ("ContainerList", "expose network publish", &[Topology]),
            ("ContainerList", "command", &[Command]),
            ("ContainerList", "isolation", &[Host]),
            ("ContainerList", "volume", &[HostPath, Identity]),
            ("ImageList", "dangling reference", &[Identity]),
            ("ImageList", "before since", &[Identity, State]),
            ("ImageList", "until", &[State]),
            ("VolumeList", "name", &[Identity]),
            ("VolumeList", "dangling", &[State]),
            ("VolumeList", "driver", &[Host]),
            ("NetworkList", "dangling id name", &[Topology]),
            ("NetworkList", "scope type", &[State]),
            ("NetworkList", "driver", &[Host]),
            ("ServiceList", "id name", &[Identity]),
            ("ServiceList", "mode runtime", &[State]),
            ("TaskList", "id service", &[Identity]),
            ("TaskList", "name", &[Identity, State]),
            ("TaskList", "node", &[Identity, Topology]),
            ("TaskList", "_up-to-date desired-state runtime", &[State]),
            ("NodeList", "id", &[Identity]),
            ("NodeList", "name", &[Topology]),
            ("NodeList", "membership role", &[State]),
            ("SecretList", "id name names", &[Identity]),
            ("ConfigList", "id name names", &[Identity]),
            ("PluginList", "capability", &[Identity]),
            ("PluginList", "enable enabled", &[State]),
            ("ContainerPrune", "all dangling until", &[State]),
            ("ImagePrune", "all dangling until", &[State]),
            ("VolumePrune", "all dangling until", &[State]),
            ("NetworkPrune", "all dangling until", &[State]),
            ("BuildPrune", "description", &[Command]),
            ("BuildPrune", "id parent", &[Identity]),
            ("BuildPrune", "inuse private shared type until", &[State]),
            ("ImageSearch", "is-automated is-official stars", &[]),
            ("SystemEvents", "config container image plugin secret service volume", &[Identity]),
            ("SystemEvents", "daemon network node", &[Topology]),
            ("SystemEvents", "event scope type", &[State]),
        ];
        for (id, keys, needs) in rows {
            for key in keys.split(' ') {
                check_needs(id, &[("filters", &format!("{{\"{key}\":[\"x\"]}}"))], needs);
                check_needs(id, &[("filters", &format!("{{\"{key}\":{{\"x\":true}}}}"))], needs);
            }
        }
        let tested = |id: &str, key: &str| {
            rows.iter().any(|(known, keys, _)| *known == id && keys.split(' ').any(|one| one == key))
        };
        for operation in OPERATIONS {
            for (key, reads) in queries::built_in().unwrap().filters(operation) {
                let id = operation.id;
                assert!(is_label(reads) || tested(id, key), "{id} {key} has no row above");
            }
        }
    }

    #[test]
    fn a_masked_label_cannot_be_guessed() {
        let target = "/containers/json?filters={%22label%22:[%22app=http%3A%2F%2Fu%3Aguess%40db%22]}";
        let route = find("GET", target).unwrap().unwrap();
        for classes in [ClassSet::EMPTY, ClassSet::EMPTY.with(Class::FreeText)] {
            for (mask, expected) in [(true, Err(Denial::Oracle)), (false, Ok(()))] {
                let names = NamesShown::default().with(LABELS, ["app"]);
                let show = Show { classes, names, mask, ..Show::default() };
                assert_eq!(check_shown(&route, &show), expected, "{classes:?} {mask}");
            }
        }
    }

    #[test]
    fn the_value_of_a_label_with_the_name_of_a_credential_cannot_be_guessed_at_all() {
        for (label, expected) in [
            ("app.password=hunter2", Err(Denial::Oracle)),
            ("app.password=", Err(Denial::Oracle)),
            ("app.password=true", Err(Denial::Oracle)),
            ("app.apiToken=a", Err(Denial::Oracle)),
            ("app.webhook=https://example.test", Err(Denial::Oracle)),
            ("app.tile.key=0123456789abcdef0123", Err(Denial::Oracle)),
            ("app.tile.key=name", Ok(())),
            ("app.password.length=8", Ok(())),
            ("app.password", Ok(())),
        ] {
            let escaped: String = label.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let target = format!("/containers/json?filters={{%22label%22:[%22{escaped}%22]}}");
            let route = find("GET", &target).unwrap().unwrap();
            let names = NamesShown::default().with(LABELS, ["app.*"]);
            let show = Show { names, mask: true, ..Show::default() };
            assert_eq!(check_shown(&route, &show), expected, "{label}");
        }
    }

    /// What [`check`] says of a route if only `show` makes anything visible.
    fn check_shown(route: &Route, show: &Show) -> Result<(), Denial> {
        let visible = Visible {
            show,
            hidden_by_rules: ClassSet::EMPTY,
            plans: &plans(ClassSet::EMPTY),
            events: None,
            untouched: false,
        };
        check(route, queries::built_in().unwrap(), &visible)
    }

    #[test]
    fn a_label_that_is_excluded_cannot_be_guessed() {
        for classes in [ClassSet::EMPTY, ClassSet::ALL] {
            for (label, expected) in [
                ("app.name=a", Ok(())),
                ("app.inner.a", Err(Denial::Oracle)),
                ("app.inner.a=b", Err(Denial::Oracle)),
                ("APP.inner.a=b", Err(Denial::Oracle)),
            ] {
                let target = format!("/containers/json?filters={{%22label%22:[%22{label}%22]}}");
                let route = find("GET", &target).unwrap().unwrap();
                let names = NamesShown::default().with(LABELS, ["app.*", "!app.inner.*"]);
                let show = Show { names, classes, ..Show::default() };
                assert_eq!(check_shown(&route, &show), expected, "{label}");
            }
        }
    }

    #[test]
    fn a_filter_cannot_read_a_label_of_which_the_name_is_shown_alone() {
        for (label, expected) in [("app.a=b", Ok(())), ("app.b=c", Err(Denial::Oracle)), ("app.b", Err(Denial::Oracle))]
        {
            let target = format!("/containers/json?filters={{%22label%22:[%22{label}%22]}}");
            let route = find("GET", &target).unwrap().unwrap();
            let show = Show { names: NamesShown::default().with(LABELS, ["app.a", "app.*="]), ..Show::default() };
            assert_eq!(check_shown(&route, &show), expected, "{label}");
        }
    }

    #[test]
    fn a_filter_on_labels_can_name_only_labels_that_are_shown() {
        for id in [
            "ContainerList",
            "ImageList",
            "VolumeList",
            "NetworkList",
            "ServiceList",
            "TaskList",
            "NodeList",
            "SecretList",
            "ConfigList",
            "ContainerPrune",
            "ImagePrune",
            "VolumePrune",
            "NetworkPrune",
            "SystemEvents",
        ] {
            check_filter(id, r#"{"label":["app"]}"#, Ok(()));
            check_filter(id, r#"{"label":["app=x=y","com.example.a"]}"#, Ok(()));
            check_filter(id, r#"{"label":{"app=x":true}}"#, Ok(()));
            check_filter(id, r#"{"label":["app","com.docker.compose.config-hash"]}"#, Ok(()));
            check_filter(id, r#"{"label":["com.docker.compose.config-hash=a"]}"#, Err(Denial::Oracle));
            check_filter(id, r#"{"label":["com.docker.compose.config-hash="]}"#, Err(Denial::Oracle));
            check_filter(id, r#"{"label":["token"]}"#, Err(Denial::Oracle));
            check_filter(id, r#"{"label":["token=a"]}"#, Err(Denial::Oracle));
            check_filter(id, r#"{"label":["app","token=a"]}"#, Err(Denial::Oracle));
            check_filter(id, r#"{"label":{"token=a":false}}"#, Err(Denial::Oracle));
            check_filter(id, r#"{"label":["App"]}"#, Err(Denial::Oracle));
            check_filter(id, r#"{"label":[""]}"#, Err(Denial::Oracle));
            let token = [("filters", r#"{"label":["token=a"]}"#)];
            assert_eq!(checked(id, &token, &[Class::FreeText], &[]), Ok(()), "{id}");
            assert_eq!(checked(id, &token, &Class::ALL, &[Class::FreeText]), Err(Denial::Oracle), "{id}");
        }
        check_filter("ContainerList", r#"{"label!":["token"]}"#, Err(Denial::Oracle));
        check_filter("NodeList", r#"{"node.label":["token"]}"#, Err(Denial::Oracle));
        check_filter("NodeList", r#"{"node.label":["app=1"]}"#, Ok(()));
    }

    /// Podman reads such a key as a pattern and matches it anywhere in the keys of labels, hidden ones included.
    #[test]
    fn a_label_filter_whose_key_is_a_pattern_is_denied_whatever_is_shown() {
        let table = queries::built_in().unwrap();
        let mut keys = 0;
        for operation in OPERATIONS {
            for (key, _) in table.filters(operation).filter(|(_, reads)| is_label(reads)) {
                for pattern in
                    ["com.example.*", "*=guess", "com.example.[a-z]", "com.example.?=a", "com.example.a]", "a\\\\b=c"]
                {
                    for filters in [
                        format!("{{\"{key}\":[\"{pattern}\"]}}"),
                        format!("{{\"{key}\":{{\"{pattern}\":true}}}}"),
                        format!("{{\"{key}\":[\"app\",\"{pattern}\"]}}"),
                    ] {
                        let checked = checked(operation.id, &[("filters", &filters)], &Class::ALL, &[]);
                        assert_eq!(checked, Err(Denial::Pattern), "{} {filters}", operation.id);
                    }
                }
                // In a value, engines compare these characters as they are.
                let value = format!("{{\"{key}\":[\"app=*[a]?\"]}}");
                assert_eq!(checked(operation.id, &[("filters", &value)], &Class::ALL, &[]), Ok(()), "{value}");
                keys += 1;
            }
        }
        assert!(keys > 15, "{keys}");
    }

    /// The engine compares attributes like labels: whoever names a label `destination` asks for paths of mounts.
    #[test]
    fn a_filter_on_labels_of_events_cannot_guess_a_hidden_attribute() {
        use Class::{FreeText, HostPath, Identity, State, Topology};
        for (label, needs) in [
            ("destination", HostPath),
            ("image", Identity),
            ("exitCode", State),
            ("driver", Class::Host),
            ("container", Identity),
        ] {
            let filters = format!("{{\"label\":[\"{label}=guess\"]}}");
            let checked = |classes: &[Class]| checked("SystemEvents", &[("filters", &filters)], classes, &[]);
            let others: Vec<Class> = Class::ALL.into_iter().filter(|class| *class != needs).collect();
            assert_eq!(checked(&others), Err(Denial::Oracle), "{label}");
            assert_eq!(checked(&[FreeText, needs]), Ok(()), "{label}");
            assert_eq!(checked(&[needs, Topology]), Err(Denial::Oracle), "{label}: not in the list of labels");
        }
        check_filter("SystemEvents", r#"{"label":["app=1"]}"#, Ok(()));
    }

    /// A field that a rule keeps is shown, though its class is not.
    #[test]
    fn a_filter_can_read_a_field_that_a_rule_keeps() {
        let policy = |lines: &str| {
            let text = format!("profile: p\nallow: [NodeList, ContainerList]\nshow: [identity, state]\n{lines}");
            let profiles = crate::profile::Profiles::parse(&[("p.yaml", &text)], &CATALOGUE).unwrap();
            crate::policy::Policy::compile(profiles.get("p").unwrap(), &CATALOGUE).unwrap()
        };
        let by_host = "/nodes?filters={%22name%22:[%22a%22]}";
        let by_port = "/containers/json?filters={%22publish%22:[%2280%22]}";
        for (lines, host, port) in [
            ("", false, false),
            ("rules: [{on: Node, keep: $.Description.Hostname}]\n", true, false),
            ("rules: [{on: Node, keep: \"$.Description[?@ == 'a']\"}]\n", false, false),
            ("rules: [{on: ContainerSummary, keep: \"$.Ports[*].PublicPort\"}]\n", false, false),
            ("rules: [{on: ContainerSummary, keep: \"$.Ports\"}]\n", false, true),
            ("rules: [{on: ContainerSummary, keep: \"$.Ports[0]\"}]\n", false, false),
            // Kept in documents that no allowed operation returns.
            ("rules: [{on: ContainerInspect, keep: \"$.NetworkSettings.Ports\"}]\n", false, false),
        ] {
            let policy = policy(lines);
            for (target, expected) in [(by_host, host), (by_port, port)] {
                let denied =
                    matches!(policy.decide(&find("GET", target).unwrap().unwrap()), crate::policy::Decision::Deny(_));
                assert_eq!(denied, !expected, "{lines} {target}");
            }
        }
    }

    #[test]
    fn duplicate_keys_are_all_checked() {
        check_filter("ContainerList", r#"{"label":["token"],"label":["app"]}"#, Err(Denial::Oracle));
        check_filter("ContainerList", r#"{"label":["app"],"label":["token"]}"#, Err(Denial::Oracle));
        check_filter("ContainerList", r#"{"name":["a"],"\u006cabel":["token"]}"#, Err(Denial::Oracle));
    }

    #[test]
    fn unknown_filters_are_denied_even_when_all_is_shown() {
        let unknown = [("filters", r#"{"environment":["x"]}"#)];
        let has_filters = |one: &&Operation| one.query.iter().any(|parameter| parameter.name == "filters");
        for id in OPERATIONS.iter().filter(has_filters).map(|operation| operation.id) {
            assert_eq!(checked(id, &unknown, &Class::ALL, &[]), Err(Denial::Oracle), "{id}");
        }
    }

    #[test]
    fn malformed_filters_are_denied() {
        for text in [
            "x",
            "null",
            "[]",
            "1",
            r#"{"name":"a"}"#,
            r#"{"name":[1]}"#,
            r#"{"name":null}"#,
            r#"{"name":{"a":1}}"#,
            r#"{"name":["a"]} x"#,
            r#"{"name":[["a"]]}"#,
            r#"{"name":["a"],}"#,
        ] {
            check_filter("ContainerList", text, Err(Denial::Filters));
        }
        let long = format!("{{\"name\":[\"{}\"]}}", "a".repeat(FILTERS_LIMIT));
        assert!(parse_filters(&long).is_err_and(|denial| denial == Denial::Filters));
        for text in ["", "{}", r#"{"name":[]}"#, r#"{"name":{}}"#] {
            check_filter("ContainerList", text, Ok(()));
        }
    }

    #[test]
    fn other_parameters_need_the_classes_they_read() {
        use Class::{Command, FreeText, HostPath, Identity, Secret};
        for value in ["aux", "axeww", ""] {
            check_needs("ContainerTop", &[("ps_args", value)], &[Secret, Command]);
        }
        check_needs("ContainerTop", &[], &[]);
        for (value, expected) in
            [("true", Err(Denial::Oracle)), ("1", Err(Denial::Oracle)), ("0", Ok(())), ("false", Ok(()))]
        {
            assert_eq!(checked("ContainerTop", &[("stream", value)], &Class::ALL, &[]), expected, "stream={value}");
        }
        for id in ["ContainerLogs", "ServiceLogs", "TaskLogs"] {
            for value in ["1", "true", "off", "yes"] {
                check_needs(id, &[("details", value)], &[Secret, FreeText]);
            }
            for value in ["", "0", "false", " No ", "NONE"] {
                check_needs(id, &[("details", value)], &[]);
            }
            check_needs(id, &[("stdout", "1"), ("follow", "1")], &[]);
        }
        check_needs("ImageAttestations", &[("statement", "1")], &[Secret]);
        check_needs("ImageAttestations", &[("statement", "0")], &[]);
        check_needs("CheckpointList", &[("dir", "/etc")], &[HostPath]);
        check_needs("CheckpointDelete", &[("dir", "/etc")], &[HostPath]);
        check_needs("ContainerStart", &[("checkpoint-dir", "/etc")], &[HostPath]);
        check_needs("ImageList", &[("filter", "a*")], &[Identity]);
        check_needs("ContainerList", &[("before", "a")], &[Identity]);
        check_needs("ContainerList", &[("since", "a")], &[Identity]);
        check_needs("ImageCommit", &[("container", "a")], &[Identity]);
        check_needs("ContainerList", &[("all", "1"), ("limit", "1"), ("size", "1")], &[]);
        check_needs("NetworkInspect", &[("verbose", "1")], &[]);
    }

    #[test]
    fn a_filter_on_actions_cannot_guess_a_hidden_command_line() {
        use Class::{Command, State};
        for events in [r#"["exec_start"]"#, r#"["die","health_status: unhealthy"]"#, "[]", r#"{"start":true}"#] {
            check_filter("SystemEvents", &format!("{{\"event\":{events}}}"), Ok(()));
        }
        for events in [
            r#"["exec_start","exec_create: /bin/sh -c ech"]"#,
            r#"["exec_create:"]"#,
            r#"["exec_start\u003a a"]"#,
            r#"["health_status: h"]"#,
            r#"{"exec_start: a":false}"#,
        ] {
            let filters = format!("{{\"event\":{events}}}");
            check_filter("SystemEvents", &filters, Err(Denial::Oracle));
            assert_eq!(checked("SystemEvents", &[("filters", &filters)], &[State, Command], &[]), Ok(()), "{events}");
            let ruled = checked("SystemEvents", &[("filters", &filters)], &[State, Command], &[Command]);
            assert_eq!(ruled, Err(Denial::Oracle), "{events}");
        }
    }
}
