//! Filters documents of a schema that has several kinds; see [`crate::schema::Variants`].
//!
//! A plan cannot tell the members of such a document apart by names alone. So a document is first *normalised*: texts are
//! cut to their word, or credentials behind it masked, free entries that are not shown go, and a member stays only if documents of this kind and action have
//! it and its value looks like it.
//! Then it goes through the plan of its schema like every other document.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::credential::{MASK, mask};
use super::json::{Cursor, DepthBudget, JsonString, KeySet, Stop};
use super::plan::{CompileError, Explained, Plan, Treatment, equal_folded};
use super::{DocumentLimits, ExpressionWork, FilterError, Report, Rule, Show};
use crate::schema::{Catalogue, Entries, Step, VariantKind, Variants};

/// What happens to the documents of a schema with several kinds. Immutable, shared between exchanges.
#[derive(Debug)]
pub struct VariantFilter {
    plan: Plan,
    show: Show,
    variants: Variants,
}

impl VariantFilter {
    /// Compiles what `show` and `rules` make of such documents.
    ///
    /// # Errors
    /// As [`Plan::compile`].
    pub fn compile(
        catalogue: &Catalogue,
        variants: &Variants,
        show: &Show,
        rules: &[Rule],
    ) -> Result<Self, CompileError> {
        let plan = Plan::compile(catalogue, &variants.schema, &show_of_plan(variants, show), rules)?;
        Ok(Self { plan, show: show.clone(), variants: variants.clone() })
    }

    /// Explains what a filter with the same arguments does; see [`Plan::explain`].
    ///
    /// # Errors
    /// As [`Plan::compile`].
    pub fn explain(
        catalogue: &Catalogue,
        variants: &Variants,
        show: &Show,
        rules: &[Rule],
    ) -> Result<Vec<Explained>, CompileError> {
        let plan = show_of_plan(variants, show);
        let is_listed = plan.classes != show.classes;
        let [outer, inner] = &variants.entries.path;
        let entries = format!("$.{outer}.{inner}.*");
        let keys = format!("{entries}~");
        let words: Vec<String> = variants.words.members.iter().map(|name| format!("$.{name}")).collect();
        let cuts = !show.classes.contains(variants.words.rest);
        // A member that no kind has is an entry.
        let object = format!("$.{outer}.{inner}");
        let names = variants.kinds.values().flat_map(VariantKind::names);
        let members: BTreeSet<String> = names.map(|name| format!("{object}{}", Step::Member(name.clone()))).collect();
        let is_entry = |path: &str| path.starts_with(&object) && path != keys && !members.contains(path);
        let shows_entries = show.classes.contains(variants.entries.class);
        let mut explained = Plan::explain(catalogue, &variants.schema, &plan, rules)?;
        for line in explained.iter_mut().filter(|line| line.treatment == Treatment::Shown) {
            if is_listed && line.path == entries {
                line.treatment = Treatment::Listed(variants.entries.list);
            } else if !shows_entries && line.class.is_some() && line.path.len() > object.len() && is_entry(&line.path) {
                line.treatment = if is_listed { Treatment::Listed(variants.entries.list) } else { Treatment::Removed };
            } else if is_listed && line.path == keys {
                line.treatment = Treatment::WithEntry;
            } else if cuts && words.contains(&line.path) {
                line.treatment = Treatment::Word;
            }
        }
        Ok(explained)
    }

    /// This filter with other limits for each document.
    #[must_use]
    pub fn with_limits(self, limits: DocumentLimits) -> Self {
        Self { plan: self.plan.with_limits(limits), ..self }
    }

    /// How the work of its filter expressions grows with the length of a document.
    pub fn expressions(&self) -> ExpressionWork {
        self.plan.expressions()
    }

    /// The most memory that filtering documents of `length` bytes in all takes, in bytes; see [`Plan::memory`].
    pub fn memory(&self, length: usize) -> usize {
        // And the normalised document.
        self.plan.memory(length).saturating_add(length)
    }

    /// Filters one document and appends what is left to `out`, which an error leaves as it was. Returns whether anything
    /// is left: a document about what is hidden goes as a whole.
    ///
    /// # Errors
    /// [`FilterError`]: the document must be withheld.
    pub fn apply(&self, document: &[u8], out: &mut Vec<u8>, report: &mut Report) -> Result<bool, FilterError> {
        let mut normalised = Vec::with_capacity(document.len());
        let mut found = Report::default();
        if !self.normalise(document, &mut normalised, &mut found)? {
            report.add(&found);
            return Ok(false);
        }
        found.add(&self.plan.apply(&normalised, out)?);
        report.add(&found);
        Ok(true)
    }

    /// Writes the document without free text behind words and without free entries that are not shown. Returns `false` if
    /// it is about what is hidden.
    fn normalise(&self, document: &[u8], out: &mut Vec<u8>, report: &mut Report) -> Result<bool, FilterError> {
        let Variants { tag, action, words, entries, kinds, .. } = &self.variants;
        let depth = DepthBudget::new(self.plan.limits.depth);
        let document = Object::read(document, depth, words.members.iter().chain([tag, action, outer(entries)]))?;
        let kind = document.get(tag)?.and_then(|kind| text(kind).ok());
        let action = document.get(action)?.and_then(|action| text(action).ok()).unwrap_or_default();
        let topic = kind.and_then(|kind| kinds.get(&*kind)).map(|kind| Topic { kind, word: word(&action) });
        if let Some(class) = topic.and_then(|topic| topic.kind.about)
            && !self.show.classes.contains(class)
        {
            report.count_class(class);
            return Ok(false);
        }
        let cuts = !self.show.classes.contains(words.rest);
        let masks = self.show.mask && words.rest.may_hold_credentials();
        let mut members = ObjectWriter::open(out);
        for member in document.members() {
            let (name, value) = member?;
            let name = name.text()?;
            // What is not of the shape expected here stays as it is, and the plan hides it.
            if (cuts || masks)
                && words.members.iter().any(|word| *word == name)
                && let Ok(whole) = text(value)
            {
                let shown = if cuts { Cow::Borrowed(words.word(&whole)) } else { mask(&name, &whole) };
                if *shown != *whole {
                    report.count_class(words.rest);
                }
                members.text(&name, &shown)?;
            } else if name == *outer(entries) && is_object(value) {
                self.outer(value, depth, topic, members.name(&name)?, report)?;
            } else {
                members.name(&name)?.extend_from_slice(value);
            }
        }
        members.close();
        Ok(true)
    }

    /// Writes the object that holds the object of entries.
    fn outer(
        &self,
        value: &[u8],
        depth: DepthBudget,
        topic: Option<Topic<'_>>,
        out: &mut Vec<u8>,
        report: &mut Report,
    ) -> Result<(), FilterError> {
        let [_, inner] = &self.variants.entries.path;
        let mut members = ObjectWriter::open(out);
        for member in Object::read(value, depth, [inner])?.members() {
            let (name, value) = member?;
            let name = name.text()?;
            if name == *inner && is_object(value) {
                self.entries(value, depth, topic, members.name(&name)?, report)?;
            } else {
                members.name(&name)?.extend_from_slice(value);
            }
        }
        members.close();
        Ok(())
    }

    /// Writes the members of the kind and the action, and the free entries that are shown.
    fn entries(
        &self,
        value: &[u8],
        depth: DepthBudget,
        topic: Option<Topic<'_>>,
        out: &mut Vec<u8>,
        report: &mut Report,
    ) -> Result<(), FilterError> {
        let mut members = ObjectWriter::open(out);
        for member in Object::read(value, depth, [])?.members() {
            let (name, value) = member?;
            let name = &*name.text()?;
            let format = topic.and_then(|topic| topic.kind.format(topic.word, name));
            let shown = match text(value) {
                Ok(text) => Some(text)
                    .filter(|text| format.is_some_and(|format| format.matches(text)) || self.shows_entry(name)),
                Err(error) if is_text(value) && self.shows_entry(name) => return Err(error),
                Err(_) => None,
            };
            match shown {
                Some(text) => members.text(name, &text)?,
                None if self.show.names.of(self.variants.entries.list).shows_name_only(name)
                    && !self.show.classes.contains(self.variants.entries.class) =>
                {
                    members.text(name, MASK)?;
                    report.count_class(self.variants.entries.class);
                }
                None => report.count_class(self.variants.entries.class),
            }
        }
        members.close();
        Ok(())
    }

    fn shows_entry(&self, name: &str) -> bool {
        let entries = &self.variants.entries;
        let names = self.show.names.of(entries.list);
        names.matches(name) || (self.show.classes.contains(entries.class) && !names.excludes(name))
    }
}

/// What a document is about.
#[derive(Clone, Copy)]
struct Topic<'d> {
    kind: &'d VariantKind,
    /// The word of its action.
    word: &'d str,
}

/// The part of a text before its first colon.
fn word(text: &str) -> &str {
    text.split(':').next().unwrap_or_default()
}

/// What the plan shows. Free entries in the allow-list are chosen before the plan, which cannot tell what is one; those
/// that are left pass it, unless a rule hides them.
fn show_of_plan(variants: &Variants, show: &Show) -> Show {
    let entries = &variants.entries;
    let classes = if show.names.of(entries.list).is_empty() { show.classes } else { show.classes.with(entries.class) };
    Show { classes, ..show.clone() }
}

/// The member of the document that holds the object of entries.
fn outer(entries: &Entries) -> &String {
    let [outer, _] = &entries.path;
    outer
}

/// An object. Its members are read from its text each time, because there may be millions.
#[derive(Clone, Copy)]
struct Object<'d> {
    text: &'d [u8],
    depth: DepthBudget,
}

impl<'d> Object<'d> {
    /// Reads the whole object that `text` is. Refuses two members of one name, and a member that is another spelling of one
    /// of `names`.
    fn read<'n>(
        text: &'d [u8],
        depth: DepthBudget,
        names: impl IntoIterator<Item = &'n String> + Clone,
    ) -> Result<Self, FilterError> {
        let object = Self { text, depth };
        let mut keys = KeySet::default();
        let mut open = keys.open();
        let mut members = object.members();
        while let Some((name, _)) = members.read()? {
            let found = name.text()?;
            let is_other_spelling = |name: &&String| found != **name && equal_folded(&found, name);
            if names.clone().into_iter().any(|name| is_other_spelling(&name)) {
                return Err(FilterError::DuplicateKey);
            }
            keys.push(name, name.hash(), members.cursor, &mut open)?;
        }
        keys.close(members.cursor, open)?;
        members.cursor.finish()?;
        Ok(object)
    }

    fn get(self, name: &str) -> Result<Option<&'d [u8]>, FilterError> {
        for member in self.members() {
            let (known, value) = member?;
            if known.text()? == name {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The members in their order, each value as its text.
    fn members(self) -> ObjectReader<'d> {
        ObjectReader { cursor: Cursor::new(self.text), depth: self.depth, has_begun: false, has_ended: false }
    }
}

/// Reads the members of an object.
struct ObjectReader<'d> {
    cursor: Cursor<'d>,
    depth: DepthBudget,
    has_begun: bool,
    has_ended: bool,
}

impl<'d> ObjectReader<'d> {
    fn read(&mut self) -> Result<Option<(JsonString<'d>, &'d [u8])>, Stop> {
        let is_there = if std::mem::replace(&mut self.has_begun, true) {
            self.cursor.more(b'}')?
        } else {
            match self.cursor.token()? {
                b'{' => self.cursor.first(b'}')?,
                _ => return Err(FilterError::NotJson.into()),
            }
        };
        if !is_there {
            return Ok(None);
        }
        let name = self.cursor.key()?;
        let start = self.cursor.at();
        self.cursor.skip(self.depth.inside()?)?;
        Ok(Some((name, self.cursor.since(start)?)))
    }
}

impl<'d> Iterator for ObjectReader<'d> {
    type Item = Result<(JsonString<'d>, &'d [u8]), FilterError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let read = self.read().map_err(FilterError::from).transpose();
        self.has_ended = !matches!(read, Some(Ok(_)));
        read
    }
}

fn is_object(value: &[u8]) -> bool {
    value.starts_with(b"{")
}

fn is_text(value: &[u8]) -> bool {
    value.starts_with(b"\"")
}

/// The text that a value is.
fn text(value: &[u8]) -> Result<Cow<'_, str>, FilterError> {
    if is_text(value) { Ok(Cursor::new(value).string()?.text()?) } else { Err(FilterError::NotJson) }
}

/// Writes one object.
struct ObjectWriter<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> ObjectWriter<'o> {
    fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Writes a name. The caller writes its value.
    fn name(&mut self, name: &str) -> Result<&mut Vec<u8>, FilterError> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        serde_json::to_writer(&mut *self.out, name).map_err(|_| FilterError::NotJson)?;
        self.out.push(b':');
        Ok(self.out)
    }

    fn text(&mut self, name: &str, value: &str) -> Result<(), FilterError> {
        serde_json::to_writer(self.name(name)?, value).map_err(|_| FilterError::NotJson)
    }

    fn close(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::lists::LABELS;
    use crate::filter::NamesShown;
    use crate::schema::Class;

    const SHOWN: [Class; 3] = [Class::Identity, Class::State, Class::Topology];

    fn filter(classes: &[Class], labels: &[&str]) -> VariantFilter {
        let show = Show {
            classes: classes.iter().copied().collect(),
            names: NamesShown::default().with(LABELS, labels),
            ..Show::default()
        };
        compile(&show, &[])
    }

    /// The filter of the built-in catalogue for events.
    fn compile(show: &Show, rules: &[Rule]) -> VariantFilter {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        VariantFilter::compile(&catalogue, catalogue.variants("Event").unwrap(), show, rules).unwrap()
    }

    /// What is left of an event, if anything is.
    fn filtered(filter: &VariantFilter, event: &Value) -> Option<Value> {
        let mut out = Vec::new();
        let left = filter.apply(event.to_string().as_bytes(), &mut out, &mut Report::default()).unwrap();
        assert_eq!(left, !out.is_empty());
        left.then(|| serde_json::from_slice(&out).unwrap())
    }

    fn container(action: &str, attributes: Value) -> Value {
        json!({"Type": "container", "Action": action, "status": action, "id": "c0", "from": "web:1",
               "Actor": {"ID": "c0", "Attributes": attributes}, "scope": "local", "time": 1, "timeNano": 1_000_000_007})
    }

    /// The attributes that are left of those of an event of this type.
    #[track_caller]
    fn check(filter: &VariantFilter, kind: &str, before: Value, after: Value) {
        let mut event = container("create", before);
        event["Type"] = json!(kind);
        let left = filtered(filter, &event).unwrap_or_default();
        assert_eq!(left["Actor"]["Attributes"], after, "{kind}");
    }

    #[test]
    fn an_action_is_cut_at_its_colon() {
        for (action, word) in [
            ("exec_create: /bin/sh -c canary", "exec_create"),
            ("exec_start:canary", "exec_start"),
            ("exec_create: sh -c health_status: healthy", "exec_create"),
            ("health_status: canary", "health_status"),
            ("health_status: healthy: canary", "health_status"),
            ("health_status: healthy", "health_status: healthy"),
            ("health_status: unhealthy", "health_status: unhealthy"),
            ("exec_die", "exec_die"),
            (": canary", ""),
            ("", ""),
        ] {
            let left = filtered(&filter(&SHOWN, &[]), &container(action, json!({}))).unwrap();
            assert_eq!(left["Action"], word);
            assert_eq!(left["status"], word);
            let all = filter(&[&SHOWN[..], &[Class::Command]].concat(), &[]);
            assert_eq!(filtered(&all, &container(action, json!({}))).unwrap()["Action"], action);
        }
    }

    #[test]
    fn credentials_behind_the_colon_of_an_action_are_masked() {
        let filter = compile(&Show { classes: Class::ALL.into_iter().collect(), mask: true, ..Show::default() }, &[]);
        for (action, left) in [
            ("exec_create: mysql --password=hunter2 -e x", "exec_create: mysql --password=[redacted] -e x"),
            ("exec_start: curl https://a:hunter2@b/", "exec_start: curl https://a:[redacted]@b/"),
            ("exec_create: ls /", "exec_create: ls /"),
            ("health_status: healthy", "health_status: healthy"),
        ] {
            let event = filtered(&filter, &container(action, json!({}))).unwrap();
            assert_eq!((&event["Action"], &event["status"]), (&json!(left), &json!(left)));
        }
    }

    #[test]
    fn an_action_is_cut_wherever_its_colon_is_written() {
        let event = r#"{"Type":"container","Action":"exec_start\u003a canary","Actor":null}"#;
        let mut out = Vec::new();
        assert_eq!(filter(&SHOWN, &[]).apply(event.as_bytes(), &mut out, &mut Report::default()), Ok(true));
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"Type":"container","Action":"exec_start","Actor":null}"#);
    }

    #[test]
    fn labels_are_shown_by_the_allow_list() {
        let labels = json!({"app": "a", "com.example.b": "b", "token": "canary", "App": "canary", "name": "web"});
        let (listed, unlisted) = (filter(&SHOWN, &["app", "com.example.*"]), filter(&SHOWN, &[]));
        for kind in ["container", "image"] {
            check(&listed, kind, labels.clone(), json!({"app": "a", "com.example.b": "b", "name": "web"}));
            check(&unlisted, kind, labels.clone(), json!({"name": "web"}));
        }
        let excluding = filter(&SHOWN, &["app", "com.example.*", "!com.example.B", "!name"]);
        check(&excluding, "container", labels.clone(), json!({"app": "a", "name": "web"}));
        let excluding = filter(&[Class::FreeText, Class::Identity], &["!token", "!canary*"]);
        check(
            &excluding,
            "other",
            labels.clone(),
            json!({"app": "a", "com.example.b": "b", "App": "canary", "name": "web"}),
        );
        let all = filter(&[Class::FreeText, Class::Identity], &[]);
        check(&all, "other", labels.clone(), labels.clone());
        check(&listed, "other", labels, json!({"app": "a", "com.example.b": "b"}));
    }

    #[test]
    fn what_the_engine_sets_last_is_shown_by_its_class() {
        let set = json!({"name": "/web", "image": "r.io:5000/a/web:1@sha256:0f"});
        check(&filter(&SHOWN, &[]), "container", set.clone(), set.clone());
        check(&filter(&[Class::State], &[]), "container", set, json!({}));
        let volume = json!({"driver": "local"});
        check(&filter(&SHOWN, &[]), "volume", volume, json!({}));
    }

    #[test]
    fn an_attribute_belongs_to_the_actions_that_have_it() {
        let mounted = json!({"container": "c0", "destination": "/canary", "driver": "local", "read/write": "true"});
        let left = json!({"container": "c0", "read/write": "true"});
        for (kind, action, before, after) in [
            ("volume", "mount", mounted.clone(), left),
            ("volume", "unmount", mounted.clone(), json!({"container": "c0"})),
            ("volume", "create", mounted, json!({})),
            ("container", "prune", json!({"reclaimed": "1"}), json!({"reclaimed": "1"})),
            ("container", "prune: canary", json!({"reclaimed": "1"}), json!({"reclaimed": "1"})),
            ("container", "start", json!({"reclaimed": "1"}), json!({})),
            ("image", "pull", json!({"reclaimed": "1"}), json!({})),
            ("service", "update", json!({"name": "a", "replicas.new": "1"}), json!({"name": "a", "replicas.new": "1"})),
            ("service", "create", json!({"name": "a", "replicas.new": "1"}), json!({"name": "a"})),
        ] {
            let event = json!({"Type": kind, "Action": action, "Actor": {"ID": "a", "Attributes": before}});
            let left = filtered(&filter(&SHOWN, &[]), &event).unwrap();
            assert_eq!(left["Actor"]["Attributes"], after, "{kind} {action}");
        }
    }

    /// An engine sets these before it adds the labels, so a label of the same name takes their place.
    #[test]
    fn what_a_label_can_take_the_place_of_is_shown_only_if_it_is_listed() {
        for (action, name, value) in [
            ("rename", "oldName", "/canary"),
            ("die", "exitCode", "137"),
            ("die", "execDuration", "4"),
            ("exec_die", "exitCode", "0"),
            ("exec_die", "execID", "0af"),
            ("exec_create: sh", "execID", "0af"),
            ("exec_start: sh", "execID", "0af"),
            ("exec_detach", "execID", "0af"),
            ("kill", "signal", "9"),
            ("resize", "height", "24"),
            ("resize", "width", "80"),
            ("commit", "imageID", "sha256:0f"),
            ("commit", "imageRef", "a:1"),
            ("start", "podId", "0af"),
            ("died", "containerExitCode", "1"),
        ] {
            let event = container(action, json!({"name": "web", name: value}));
            let left = filtered(&filter(&SHOWN, &[]), &event).unwrap();
            assert_eq!(left["Actor"]["Attributes"], json!({"name": "web"}), "{action} {name}");
            let left = filtered(&filter(&SHOWN, &[name]), &event).unwrap();
            assert_eq!(left["Actor"]["Attributes"], json!({"name": "web", name: value}), "{action} {name}");
        }
    }

    #[test]
    fn podman_tells_health_apart() {
        let mut event = container("health_status", json!({"podId": "", "name": "web", "error": "canary"}));
        event["HealthStatus"] = json!("healthy");
        let left = filtered(&filter(&SHOWN, &[]), &event).unwrap();
        assert_eq!((&left["Action"], &left["HealthStatus"]), (&json!("health_status"), &json!("healthy")));
        assert_eq!(left["Actor"]["Attributes"], json!({"name": "web"}));
    }

    #[test]
    fn a_label_called_like_an_attribute_is_a_label() {
        let labels = json!({"driver": "canary", "destination": "/canary", "exitCode": "canary", "execID": "canary",
                            "signal": "canary 1", "updatestate.new": "canary", "comment": "canary", "name": "a name"});
        check(&filter(&SHOWN, &[]), "container", labels, json!({}));
        check(&filter(&SHOWN, &[]), "image", json!({"exitCode": "0", "container": "canary"}), json!({}));
        check(&filter(&SHOWN, &["driver"]), "container", json!({"driver": "d"}), json!({}));
    }

    #[test]
    fn an_event_about_what_is_hidden_goes() {
        for kind in ["network", "node", "daemon"] {
            let event =
                json!({"Type": kind, "Action": "update", "Actor": {"ID": "n", "Attributes": {"name": "canary"}}});
            assert_eq!(filtered(&filter(&[Class::Identity, Class::State], &[]), &event), None);
            assert_eq!(filtered(&filter(&SHOWN, &[]), &event).unwrap(), event);
        }
    }

    #[test]
    fn what_nobody_knows_goes() {
        let mut event = container("die", json!({}));
        event["HealthLog"] = json!("canary");
        event["Actor"]["Command"] = json!("canary");
        assert!(!filtered(&filter(&SHOWN, &["*"]), &event).unwrap().to_string().contains("canary"));
    }

    #[test]
    fn the_name_of_a_label_is_shown_alone() {
        let show = Show { names: NamesShown::default().with(LABELS, ["*.*=", "app.a"]), ..Show::default() };
        let filter = compile(&show, &[]);
        check(
            &filter,
            "container",
            json!({"app.a": "seen", "app.b": "canary", "exitCode": "1", "plain": "canary"}),
            json!({"app.a": "seen", "app.b": "[redacted]"}),
        );
    }

    #[test]
    fn a_rule_hides_a_label_of_the_allow_list() {
        let rules = crate::yaml::parse("p.yaml", "- {on: Event, redact: \"$.Actor.Attributes['app']\"}\n").unwrap();
        let rules = crate::filter::parse_rules(&rules, |_| true);
        let show = Show { names: NamesShown::default().with(LABELS, ["app", "b"]), ..Show::default() };
        let filter = compile(&show, &rules.unwrap());
        check(&filter, "container", json!({"app": "canary", "b": "b"}), json!({"app": "[redacted]", "b": "b"}));
    }

    #[test]
    fn an_event_of_an_uncertain_kind_is_withheld() {
        let filter = filter(&SHOWN, &["*"]);
        for event in [
            "",
            "null",
            "[]",
            "{} {}",
            r#"{"Action":"a","Action":"b"}"#,
            r#"{"Action":"a","action":"b"}"#,
            r#"{"Statu\u017f":"a"}"#,
            r#"{"Actor":{"attributes":{}}}"#,
            r#"{"Actor":{"Attributes":{"a":"1","a":"2"}}}"#,
            r#"{"Actor":{"Attributes":{"a":"\ud800"}}}"#,
            r#"{"time":1,"time":2}"#,
        ] {
            let mut out = b"before".to_vec();
            let applied = filter.apply(event.as_bytes(), &mut out, &mut Report::default());
            assert!(applied.is_err(), "{event}");
            assert_eq!(out, b"before", "{event}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_hidden() {
        let filter = filter(&SHOWN, &["*"]);
        for (event, left) in [
            (json!({"Action": 1, "status": ["a"]}), json!({"Action": ""})),
            (json!({"Action": null, "Type": null}), json!({"Action": null, "Type": null})),
            (json!({"Type": {"a": 1}, "time": "a"}), json!({"Type": ""})),
            (json!({"Actor": []}), json!({"Actor": {"Attributes": {}, "ID": ""}})),
            (json!({"Actor": {"Attributes": []}}), json!({"Actor": {"Attributes": {}}})),
            (
                json!({"Actor": {"Attributes": {"a": 1, "b": null, "c": "1"}}}),
                json!({"Actor": {"Attributes": {"c": "1"}}}),
            ),
        ] {
            assert_eq!(filtered(&filter, &event), Some(left), "{event}");
        }
    }

    #[test]
    fn what_was_hidden_is_counted() {
        let mut report = Report::default();
        let event = container("exec_start: canary", json!({"a": "canary", "b": "canary"})).to_string();
        filter(&SHOWN, &[]).apply(event.as_bytes(), &mut Vec::new(), &mut report).unwrap();
        assert_eq!(report.hidden(), 4);
    }
}
