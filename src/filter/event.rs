//! What a profile shows of an event.
//!
//! An event mixes what a plan cannot tell apart by names alone. Its `Action` is a word, but for execs the whole command
//! line follows it; its attributes are a few that the engine sets and, of containers and images, all labels. Which of
//! them an attribute is depends on the type of the event, and a label may be called as an attribute is. So an event is
//! first made plain: the command line is cut off, labels that are not shown go, and what an engine sets stays only
//! if it looks as the engine writes it. Then it goes through the plan of its schema like every other document.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::plan::{CompileError, Explained, Plan};
use super::{FilterError, Limits, Report, Rule, Show};
use crate::schema::{Catalogue, Class};

/// The schema of events.
const SCHEMA: &str = "Event";

/// What events of one type have.
struct Kind {
    name: &'static str,
    /// The class of what it is about, if that is not shown wherever events are: without it the event goes.
    about: Option<Class>,
    /// The attributes that the engine sets, with what they look like. All others are labels.
    attributes: &'static [(&'static str, Look)],
}

/// What the value of an attribute looks like. It must not look like a label of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Digits, and a sign.
    Number,
    /// Hexadecimal digits.
    Hex,
    /// The name of a container or an image: letters, digits and `/ . _ : @ + -`.
    Name,
    /// Anything: events of this type have no labels.
    Any,
}

/// Every type of event with attributes that an engine sets. A type that is not here has labels only.
const KINDS: &[Kind] = &[
    Kind {
        name: "container",
        about: None,
        attributes: &[
            ("containerExitCode", Look::Number),
            ("execDuration", Look::Number),
            ("execID", Look::Hex),
            ("exitCode", Look::Number),
            ("height", Look::Number),
            ("image", Look::Name),
            ("imageID", Look::Name),
            ("imageRef", Look::Name),
            ("name", Look::Name),
            ("oldName", Look::Name),
            ("podId", Look::Hex),
            ("reclaimed", Look::Number),
            ("signal", Look::Number),
            ("width", Look::Number),
        ],
    },
    Kind { name: "image", about: None, attributes: &[("name", Look::Name), ("reclaimed", Look::Number)] },
    Kind {
        name: "volume",
        about: None,
        attributes: &[
            ("container", Look::Any),
            ("destination", Look::Any),
            ("driver", Look::Any),
            ("propagation", Look::Any),
            ("read/write", Look::Any),
            ("reclaimed", Look::Number),
        ],
    },
    Kind {
        name: "network",
        about: Some(Class::Topology),
        attributes: &[("container", Look::Any), ("name", Look::Any), ("reclaimed", Look::Number), ("type", Look::Any)],
    },
    Kind { name: "plugin", about: None, attributes: &[("name", Look::Any)] },
    // The name of either is that of a host.
    Kind { name: "daemon", about: Some(Class::Topology), attributes: &[("name", Look::Any)] },
    Kind {
        name: "node",
        about: Some(Class::Topology),
        attributes: &[
            ("availability.new", Look::Any),
            ("availability.old", Look::Any),
            ("leader.new", Look::Any),
            ("leader.old", Look::Any),
            ("name", Look::Any),
            ("role.new", Look::Any),
            ("role.old", Look::Any),
            ("state.new", Look::Any),
            ("state.old", Look::Any),
        ],
    },
    Kind {
        name: "service",
        about: None,
        attributes: &[
            ("image.new", Look::Any),
            ("image.old", Look::Any),
            ("name", Look::Any),
            ("replicas.new", Look::Number),
            ("replicas.old", Look::Number),
            ("updatestate.new", Look::Any),
            ("updatestate.old", Look::Any),
        ],
    },
    Kind { name: "secret", about: None, attributes: &[("name", Look::Any)] },
    Kind { name: "config", about: None, attributes: &[("name", Look::Any)] },
    Kind { name: "pod", about: None, attributes: &[("name", Look::Name), ("podId", Look::Hex)] },
    Kind { name: "builder", about: None, attributes: &[("reclaimed", Look::Number)] },
];

/// The members that are looked at. Another spelling of one of them is one to some readers, so it is refused.
const MEMBERS: [&str; 4] = ["Action", "Actor", "Type", "status"];

/// What happens to every event. Immutable, shared between exchanges.
#[derive(Debug)]
pub struct EventFilter {
    plan: Plan,
    show: Show,
}

impl EventFilter {
    /// Compiles what `show` and `rules` make of events.
    ///
    /// # Errors
    /// As [`Plan::compile`].
    pub fn compile(catalogue: &Catalogue, show: &Show, rules: &[Rule]) -> Result<Self, CompileError> {
        let plan = Plan::compile(catalogue, SCHEMA, &of_plan(show), rules)?;
        Ok(Self { plan, show: show.clone() })
    }

    /// What a filter of the same arguments shows and hides, and by which line.
    ///
    /// # Errors
    /// As [`Plan::explain`].
    pub fn explain(catalogue: &Catalogue, show: &Show, rules: &[Rule]) -> Result<Vec<Explained>, CompileError> {
        let plan = of_plan(show);
        let listed = plan.classes != show.classes;
        let mut explained = Plan::explain(catalogue, SCHEMA, &plan, rules)?;
        for line in explained.iter_mut().filter(|line| line.outcome == "shown") {
            match line.path.as_str() {
                "$.Actor.Attributes.*" if listed => line.outcome = "labels in the allow-list are shown".to_owned(),
                "$.Actor.Attributes.*~" if listed => line.outcome = "shown with its label".to_owned(),
                "$.Action" | "$.status" if !show.classes.contains(Class::Command) => {
                    line.outcome = "shown up to its colon, before the command line".to_owned();
                }
                _ => {}
            }
        }
        Ok(explained)
    }

    /// This filter with other limits for each event.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { plan: self.plan.with_limits(limits), ..self }
    }

    /// Filters one event and adds what is left to `out`, which an error leaves as it was. Answers whether anything
    /// is left: an event about what is hidden goes.
    ///
    /// # Errors
    /// [`FilterError`], and the event is to be withheld.
    pub fn apply(&self, event: &[u8], out: &mut Vec<u8>, report: &mut Report) -> Result<bool, FilterError> {
        let mut plain = Vec::with_capacity(event.len());
        let mut found = Report::default();
        if !self.make_plain(event, &mut plain, &mut found)? {
            report.add(&found);
            return Ok(false);
        }
        found.add(&self.plan.apply(&plain, out)?);
        report.add(&found);
        Ok(true)
    }

    /// Writes the event without command lines and labels that are not shown; `false` if it is about what is hidden.
    fn make_plain(&self, event: &[u8], plain: &mut Vec<u8>, report: &mut Report) -> Result<bool, FilterError> {
        let event: Object<'_> = serde_json::from_slice(event).map_err(|_| FilterError::NotJson)?;
        event.check_spelling(&MEMBERS)?;
        let kind = event.get("Type").map(text).transpose()?;
        let kind = kind.and_then(|kind| KINDS.iter().find(|known| known.name == kind));
        if let Some(class) = kind.and_then(|kind| kind.about)
            && !self.show.classes.contains(class)
        {
            count(report, class);
            return Ok(false);
        }
        let mut members = Members::open(plain);
        for (name, value) in &event.0 {
            match &**name {
                "Action" | "status" if !self.show.classes.contains(Class::Command) => {
                    let action = text(value)?;
                    let word = without_command(&action);
                    if word.len() < action.len() {
                        count(report, Class::Command);
                    }
                    members.text(name, word)?;
                }
                "Actor" if value.get() != "null" => {
                    let plain = members.name(name)?;
                    self.actor(value, kind, plain, report)?;
                }
                _ => members.name(name)?.extend_from_slice(value.get().as_bytes()),
            }
        }
        members.close();
        Ok(true)
    }

    fn actor(
        &self,
        actor: &RawValue,
        kind: Option<&Kind>,
        plain: &mut Vec<u8>,
        report: &mut Report,
    ) -> Result<(), FilterError> {
        let actor: Object<'_> = object(actor)?;
        actor.check_spelling(&["Attributes"])?;
        let mut members = Members::open(plain);
        for (name, value) in &actor.0 {
            if name == "Attributes" && value.get() != "null" {
                self.attributes(&object(value)?, kind, members.name(name)?, report)?;
            } else {
                members.name(name)?.extend_from_slice(value.get().as_bytes());
            }
        }
        members.close();
        Ok(())
    }

    fn attributes(
        &self,
        attributes: &Object<'_>,
        kind: Option<&Kind>,
        plain: &mut Vec<u8>,
        report: &mut Report,
    ) -> Result<(), FilterError> {
        let mut members = Members::open(plain);
        for (name, value) in &attributes.0 {
            let value = text(value)?;
            let look = kind.and_then(|kind| kind.attributes.iter().find(|(known, _)| known == name));
            let is_set = look.is_some_and(|(_, look)| look.is_of(&value));
            if is_set || self.shows_label(name) {
                members.text(name, &value)?;
            } else {
                count(report, Class::FreeText);
            }
        }
        members.close();
        Ok(())
    }

    fn shows_label(&self, name: &str) -> bool {
        self.show.classes.contains(Class::FreeText) || self.show.labels.matches(name)
    }
}

/// What the plan shows. Labels in the allow-list are chosen before it, because it cannot tell what is a label; those that
/// are left pass it, unless a rule hides them.
fn of_plan(show: &Show) -> Show {
    let classes = if show.labels.is_empty() { show.classes } else { show.classes.with(Class::FreeText) };
    Show { classes, ..show.clone() }
}

impl Look {
    /// Whether a value looks like this. An empty one says nothing, and does.
    fn is_of(self, value: &str) -> bool {
        match self {
            Self::Number => value.strip_prefix('-').unwrap_or(value).bytes().all(|byte| byte.is_ascii_digit()),
            Self::Hex => value.bytes().all(|byte| byte.is_ascii_hexdigit()),
            Self::Name => value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._:@+-".contains(&byte)),
            Self::Any => true,
        }
    }
}

/// The word that an action begins with: all before the first colon, behind which an exec has its command line.
///
/// What a health probe found is a word as well, and stays.
pub fn without_command(action: &str) -> &str {
    if let Some(("health_status", found)) = action.split_once(": ")
        && ["healthy", "none", "starting", "unhealthy"].contains(&found)
    {
        return action;
    }
    action.split(':').next().unwrap_or_default()
}

fn count(report: &mut Report, class: Class) {
    let at = Class::ALL.iter().position(|known| *known == class);
    if let Some(counter) = at.and_then(|at| report.by_class.get_mut(at)) {
        *counter += 1;
    }
}

/// The members of an object in the order they stand, each value as its text. No two have one name.
struct Object<'d>(Vec<(Cow<'d, str>, &'d RawValue)>);

impl<'d> Object<'d> {
    fn get(&self, name: &str) -> Option<&'d RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// Refuses a member that is one of `names` but for its case.
    fn check_spelling(&self, names: &[&str]) -> Result<(), FilterError> {
        let twin = |found: &str, name: &str| found != name && folds_to(found, name);
        let wrong = self.0.iter().any(|(found, _)| names.iter().any(|name| twin(found, name)));
        if wrong { Err(FilterError::DuplicateKey) } else { Ok(()) }
    }
}

impl<'de: 'd, 'd> Deserialize<'de> for Object<'d> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom("two members of one name"));
                    }
                    members.push((name, value));
                }
                Ok(Object(members))
            }
        }
        from.deserialize_map(InOrder)
    }
}

/// A name or text, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'d>(#[serde(borrow)] Cow<'d, str>);

/// Whether a reader that does not mind the case, as those in Go, takes `found` for `name`.
fn folds_to(found: &str, name: &str) -> bool {
    let folded = |c| match c {
        '\u{212A}' => 'k',
        '\u{017F}' => 's',
        c => c.to_ascii_lowercase(),
    };
    found.chars().map(folded).eq(name.chars().map(folded))
}

fn object(value: &RawValue) -> Result<Object<'_>, FilterError> {
    serde_json::from_str(value.get()).map_err(|_| FilterError::NotJson)
}

fn text(value: &RawValue) -> Result<Cow<'_, str>, FilterError> {
    serde_json::from_str(value.get()).map(|Name(text)| text).map_err(|_| FilterError::NotJson)
}

/// An object that is being written.
struct Members<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Members<'o> {
    fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Writes a name; its value is for the caller to write.
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
    use crate::filter::Globs;

    const SHOWN: [Class; 3] = [Class::Identity, Class::State, Class::Topology];

    fn filter(classes: &[Class], labels: &[&str]) -> EventFilter {
        let show = Show {
            classes: classes.iter().copied().collect(),
            labels: labels.iter().copied().collect::<Globs>(),
            ..Show::default()
        };
        EventFilter::compile(&crate::api::catalogue::built_in().unwrap(), &show, &[]).unwrap()
    }

    /// What is left of an event, if anything is.
    fn filtered(filter: &EventFilter, event: &Value) -> Option<Value> {
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
    fn check(filter: &EventFilter, kind: &str, before: Value, after: Value) {
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
            assert_eq!(without_command(action), word);
            let left = filtered(&filter(&SHOWN, &[]), &container(action, json!({}))).unwrap();
            assert_eq!(left["Action"], word);
            assert_eq!(left["status"], word);
            let all = filter(&[&SHOWN[..], &[Class::Command]].concat(), &[]);
            assert_eq!(filtered(&all, &container(action, json!({}))).unwrap()["Action"], action);
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
        let all = filter(&[Class::FreeText, Class::Identity], &[]);
        check(&all, "other", labels.clone(), labels.clone());
        check(&listed, "other", labels, json!({"app": "a", "com.example.b": "b"}));
    }

    #[test]
    fn what_the_engine_sets_is_shown_by_its_class() {
        let set = json!({"name": "/web", "image": "r.io:5000/a/web:1@sha256:0f", "exitCode": "-1", "signal": "9",
                         "execID": "0af", "execDuration": "4", "oldName": "/old", "imageRef": ""});
        check(&filter(&SHOWN, &[]), "container", set.clone(), set.clone());
        let state = json!({"exitCode": "-1", "signal": "9", "execDuration": "4", "name": "", "image": "", "execID": "",
                           "oldName": "", "imageRef": ""});
        check(&filter(&[Class::State], &[]), "container", set, state);
        let volume = json!({"container": "c0", "destination": "/canary", "driver": "local", "read/write": "true"});
        let left = json!({"container": "c0", "destination": "", "driver": "", "read/write": "true"});
        check(&filter(&SHOWN, &[]), "volume", volume, left);
    }

    #[test]
    fn podman_tells_health_apart() {
        let mut event = container("health_status", json!({"podId": "", "name": "web", "error": "canary"}));
        event["HealthStatus"] = json!("healthy");
        let left = filtered(&filter(&SHOWN, &[]), &event).unwrap();
        assert_eq!((&left["Action"], &left["HealthStatus"]), (&json!("health_status"), &json!("healthy")));
        assert_eq!(left["Actor"]["Attributes"], json!({"podId": "", "name": "web"}));
    }

    #[test]
    fn a_label_called_like_an_attribute_is_a_label() {
        let labels = json!({"driver": "canary", "destination": "/canary", "exitCode": "canary", "execID": "canary",
                            "signal": "canary 1", "updatestate.new": "canary", "comment": "canary", "name": "a name"});
        check(&filter(&SHOWN, &[]), "container", labels, json!({}));
        check(&filter(&SHOWN, &[]), "image", json!({"exitCode": "0", "container": "canary"}), json!({}));
        check(&filter(&SHOWN, &["driver"]), "container", json!({"driver": "d"}), json!({"driver": ""}));
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
    fn a_rule_hides_a_label_of_the_allow_list() {
        let rules = crate::yaml::parse("p.yaml", "- {on: Event, redact: \"$.Actor.Attributes['app']\"}\n").unwrap();
        let rules = crate::filter::parse_rules(&rules, |_| true);
        let show = Show { labels: ["app", "b"].into_iter().collect(), ..Show::default() };
        let filter = EventFilter::compile(&crate::api::catalogue::built_in().unwrap(), &show, &rules.unwrap()).unwrap();
        check(&filter, "container", json!({"app": "canary", "b": "b"}), json!({"app": "[redacted]", "b": "b"}));
    }

    #[test]
    fn an_event_that_cannot_be_told_for_certain_is_withheld() {
        let filter = filter(&SHOWN, &["*"]);
        for event in [
            "",
            "null",
            "[]",
            "{} {}",
            r#"{"Action":1}"#,
            r#"{"Type":null}"#,
            r#"{"Action":"a","Action":"b"}"#,
            r#"{"Action":"a","action":"b"}"#,
            r#"{"Statu\u017f":"a"}"#,
            r#"{"Actor":[]}"#,
            r#"{"Actor":{"Attributes":[]}}"#,
            r#"{"Actor":{"attributes":{}}}"#,
            r#"{"Actor":{"Attributes":{"a":1}}}"#,
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
    fn what_was_hidden_is_counted() {
        let mut report = Report::default();
        let event = container("exec_start: canary", json!({"a": "canary", "b": "canary"})).to_string();
        filter(&SHOWN, &[]).apply(event.as_bytes(), &mut Vec::new(), &mut report).unwrap();
        assert_eq!(report.hidden(), 4);
    }
}
