//! Events without those of hidden objects.
//!
//! What is known of a container by a list or a look-up decides about its events. Of one that is not known, they carry its labels,
//! its name and its image, so that they decide by themselves, also after it is gone. That is so only if they tell all that a
//! restriction looks at: some events of Podman have no labels, and a container that has a label which hides it would be shown. So
//! where a label hides, the creation of a container must tell that it has none. What events say is never known beyond their stream.
//!
//! A label that is called like an attribute of the engine is not told from it: if a restriction looks at such a label, only the
//! containers count that are known, and those that were visible when the stream began. Events of volumes and networks name the
//! container that uses them, and a name of their own. Those of services tell their names alone.
//!
//! An event of an image tells its labels if Docker still finds the image, and none if Podman wrote it. Without labels, and where
//! they decide, it is seen if the image was visible when the stream began.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::answers::rewritten;
use super::few::FewEntries;
use super::{ElementSeen, Facts, ObjectView};
use crate::api::objects::ObjectKind;
use crate::members::rewrite_at;

/// The attributes that engines set beside the labels of a container or an image, of which a label can have the name.
///
/// Source: the calls of `LogContainerEventWithAttributes` in moby, `ConvertToEntitiesEvent` and the compatible API in Podman.
const SET_BY_ENGINES: [&str; 20] = [
    "comment",
    "containerExitCode",
    "error",
    "execDuration",
    "execID",
    "exitCode",
    "health_failing_streak",
    "health_log",
    "health_status",
    "height",
    "image",
    "imageID",
    "imageRef",
    "name",
    "network",
    "oldName",
    "podId",
    "reclaimed",
    "signal",
    "width",
];

/// The action that makes a container, whose event has all of its labels.
const CREATE: &str = "create";

/// An event, as far as it is about objects.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    r#type: String,
    action: String,
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes")]
    attributes: Option<FewEntries<String>>,
}

impl ObjectView {
    /// What is seen of an event.
    pub fn event(&mut self, record: &[u8]) -> ElementSeen {
        let Ok(Event { r#type: kind, action, actor }) = serde_json::from_slice(record) else {
            return ElementSeen::Hidden;
        };
        let attributes = actor.attributes.unwrap_or_default().0;
        let is_visible = match kind.as_str() {
            // An event of a prune counts what was removed, hidden or not.
            _ if action == "prune" => !self.visibility.restricts_any(),
            "container" => return self.container_event(record, &action, &actor.id, &attributes),
            "image" => self.shows_image(&actor.id, &attributes),
            "volume" => self.shows_use(ObjectKind::Volume, &actor.id, &attributes),
            "network" => self.shows_use(ObjectKind::Network, &actor.id, &attributes),
            "service" => self.shows_service(&action, &actor.id, &attributes),
            "plugin" | "daemon" | "node" | "secret" | "config" => true,
            "builder" => !self.visibility.restricts(ObjectKind::Image),
            // What a new engine adds may be about anything.
            _ => false,
        };
        if is_visible { ElementSeen::Whole } else { ElementSeen::Hidden }
    }

    fn container_event(
        &mut self,
        record: &[u8],
        action: &str,
        id: &str,
        attributes: &BTreeMap<String, String>,
    ) -> ElementSeen {
        let kind = ObjectKind::Container;
        if !self.visibility.restricts(kind) {
            return ElementSeen::Whole;
        }
        let facts = of_event(attributes, "name");
        let is_known = match self.visibility.knows(id) {
            Some(is_visible) => Some(is_visible),
            // What it is called may have changed since the stream began.
            None => (!self.visibility.reads_names(kind) && self.shows_container(id)).then_some(true),
        };
        let is_visible = match is_known {
            Some(is_visible) => is_visible,
            None if self.reads_attribute(kind) || !self.is_told(action, &facts) => return ElementSeen::Hidden,
            None => {
                let is_visible = self.visibility.shows(kind, &facts, false);
                self.note(id, is_visible);
                is_visible
            }
        };
        match attributes.get("oldName") {
            _ if !is_visible => ElementSeen::Hidden,
            // A container that was hidden under its old name.
            Some(_)
                if self.visibility.reads_names(kind)
                    && !self.visibility.shows(kind, &of_event(attributes, "oldName"), false) =>
            {
                without_old_name(record)
            }
            Some(_) | None => ElementSeen::Whole,
        }
    }

    /// Whether an event of a container tells all that decides whether the container is visible.
    fn is_told(&self, action: &str, facts: &Facts) -> bool {
        let (kind, visibility) = (ObjectKind::Container, &self.visibility);
        let labels = !visibility.reads_label(kind, None)
            || !facts.labels.is_empty() && (action == CREATE || !visibility.hides_by_label(kind));
        let names = !visibility.reads_names(kind) || facts.names.iter().any(|name| !name.is_empty());
        let images = !visibility.reads_images(kind) || facts.image.as_ref().is_some_and(|image| !image.is_empty());
        labels && names && images
    }

    /// Whether the event of a volume or network is seen, which may be about a container, too. It does not tell the labels of
    /// the volume or network.
    fn shows_use(&self, kind: ObjectKind, id: &str, attributes: &BTreeMap<String, String>) -> bool {
        let shows_user = match attributes.get("container") {
            // Whether it is still called as it was when the stream began is not known.
            Some(_) if self.around.lacks_events && self.visibility.reads_names(ObjectKind::Container) => false,
            Some(container) => self.shows_container(container),
            // What containers use now is not known.
            None => !self.visibility.is_by_use(kind),
        };
        let name = attributes.get("name").map_or(id, String::as_str).to_owned();
        let is_used = attributes.contains_key("container");
        let facts = Facts { names: vec![name], ..Facts::default() };
        shows_user && !self.visibility.reads_label(kind, None) && self.visibility.shows(kind, &facts, is_used)
    }

    /// Whether the event of an image is seen, which tells one of its names, and may lack its labels.
    fn shows_image(&self, id: &str, attributes: &BTreeMap<String, String>) -> bool {
        let (kind, visibility) = (ObjectKind::Image, &self.visibility);
        // What containers use now is not known, nor what else the image is called.
        if visibility.is_by_use(kind) || visibility.hides_by_name(kind) {
            return false;
        }
        let facts = of_event(attributes, "name");
        let shows = |names| visibility.shows(kind, &Facts { names, image: None, labels: facts.labels.clone() }, false);
        let is_by_labels = visibility.reads_label(kind, None);
        if is_by_labels && (facts.labels.is_empty() || self.reads_attribute(kind)) {
            let images = self.around.images.as_ref();
            let is_known = images.is_some_and(|images| images.contains(id) || images.contains(&format!("sha256:{id}")));
            return is_known && (!visibility.reads_names(kind) || shows(facts.names.clone()));
        }
        shows(if facts.names.is_empty() { vec![id.to_owned()] } else { facts.names.clone() })
    }

    /// Whether the visibility of a kind depends on a label that is not told from an attribute of the engine.
    fn reads_attribute(&self, kind: ObjectKind) -> bool {
        SET_BY_ENGINES.iter().any(|name| self.visibility.reads_label(kind, Some(name)))
    }

    /// Whether the event of a service is seen, which tells its name and not its labels. Names of services never change. Labels
    /// do, with an update: from then on it is not known whether the service is visible.
    fn shows_service(&mut self, action: &str, id: &str, attributes: &BTreeMap<String, String>) -> bool {
        let kind = ObjectKind::Service;
        if !self.visibility.restricts(kind) {
            return true;
        }
        if !self.visibility.reads_label(kind, None) {
            return attributes.get("name").is_some_and(|name| self.visibility.shows_by_name(kind, name));
        }
        let Some(services) = self.around.services.as_mut().filter(|services| services.contains(id)) else {
            return false;
        };
        if action != "create" && action != "remove" {
            std::sync::Arc::make_mut(services).remove(id);
            return false;
        }
        true
    }

    fn shows_container(&self, id: &str) -> bool {
        !self.visibility.restricts(ObjectKind::Container)
            || self.around.containers.as_ref().is_some_and(|containers| containers.has(id))
    }

    /// Notes whether a container is visible from now on.
    fn note(&mut self, id: &str, is_visible: bool) {
        let Some(containers) = &mut self.around.containers else { return };
        if containers.has(id) != is_visible {
            std::sync::Arc::make_mut(containers).set(id, is_visible);
        }
    }
}

/// What selectors look at in the container of an event.
fn of_event(attributes: &BTreeMap<String, String>, name: &str) -> Facts {
    let name = attributes.get(name).map(|name| name.trim_start_matches('/').to_owned());
    Facts {
        names: name.into_iter().collect(),
        image: attributes.get("image").cloned(),
        labels: attributes
            .iter()
            .filter(|(key, _)| !SET_BY_ENGINES.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    }
}

/// A record without the old name of a container.
fn without_old_name(record: &[u8]) -> ElementSeen {
    rewritten(record, |record, out| rewrite_at(record, &["Actor", "Attributes", "oldName"], out, &mut |_, _| Ok(false)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use super::*;
    use crate::api::objects::ObjectAnswer;
    use crate::visibility::{ObjectSelector, Restriction, Surroundings, VisibleObjects};

    /// The view of the events of an engine on which the service `s1` and the image `sha256:1` were visible when the stream
    /// began. Selectors begin with `only ` or `never `.
    fn view(kind: ObjectKind, selectors: &[&str]) -> ObjectView {
        let these = |word: &str| {
            let texts = selectors.iter().filter_map(|text| text.strip_prefix(word));
            texts.map(|text| ObjectSelector::parse(kind, text).unwrap()).collect::<Vec<_>>()
        };
        let restrictions = [(kind, Restriction::selected(these("only "), these("never ")))];
        let one = |id: &str| Some(Arc::new(HashSet::from([id.to_owned()])));
        let around = Surroundings { services: one("s1"), images: one("sha256:1"), ..Surroundings::default() };
        ObjectView::new(Arc::new(VisibleObjects::new(&restrictions)), ObjectAnswer::Events, around, None)
    }

    /// Whether the event of an object is seen.
    fn is_seen(view: &mut ObjectView, kind: &str, action: &str, id: &str, attributes: &serde_json::Value) -> bool {
        let record = serde_json::json!({"Type": kind, "Action": action, "Actor": {"ID": id, "Attributes": attributes}});
        view.event(record.to_string().as_bytes()) == ElementSeen::Whole
    }

    /// Whether events of services are seen, one after another.
    #[track_caller]
    fn check(selector: &str, events: &[(&str, &str, &str, bool)]) {
        let mut view = view(ObjectKind::Service, &[&format!("only {selector}")]);
        for (action, id, name, expected) in events {
            let is_seen = is_seen(&mut view, "service", action, id, &serde_json::json!({ "name": name }));
            assert_eq!(is_seen, *expected, "{selector}: {action} {id} {name}");
        }
    }

    /// Docker writes the labels of an image into an event while it finds the image, and Podman writes none.
    #[test]
    fn an_event_of_an_image_without_labels_is_seen_if_the_image_is_known_to_be_visible() {
        const HIDE: &str = "never label=hide";
        for (selectors, id, attributes, expected) in [
            (&[HIDE][..], "sha256:2", r#"{"name":"sha256:2"}"#, false),
            (&[HIDE], "sha256:2", r#"{"name":"sha256:2","a":"b"}"#, true),
            (&[HIDE], "sha256:2", r#"{"name":"sha256:2","hide":""}"#, false),
            (&[HIDE], "sha256:1", r#"{"name":"sha256:1"}"#, true),
            (&[HIDE], "1", r#"{"name":"1","image":"","podId":""}"#, true),
            (&[HIDE], "2", r#"{"name":"2","image":"","podId":""}"#, false),
            (&[HIDE], "sha256:2", "null", false),
            (&["only label=a"], "sha256:1", "{}", true),
            (&["only label=a"], "sha256:2", r#"{"a":""}"#, true),
            (&["only label=a"], "sha256:2", "{}", false),
            // Labels that are called like attributes.
            (&["never label=image"], "sha256:2", r#"{"a":"b"}"#, false),
            (&["only label=name=a"], "sha256:2", r#"{"name":"a"}"#, false),
            // Where names decide as well, both must.
            (&["only reference=a", HIDE], "sha256:1", r#"{"name":"a:latest"}"#, true),
            (&["only reference=a", HIDE], "sha256:1", r#"{"name":"b:latest"}"#, false),
            (&["only reference=a", HIDE], "sha256:2", r#"{"name":"a:latest"}"#, false),
            // Where they alone do, labels are not wanted.
            (&["only reference=a"], "sha256:2", r#"{"name":"a:latest"}"#, true),
            (&["only reference=a"], "a:latest", "{}", true),
        ] {
            let attributes: serde_json::Value = serde_json::from_str(attributes).unwrap();
            for action in ["delete", "untag", "pull"] {
                let mut view = view(ObjectKind::Image, selectors);
                let is_seen = is_seen(&mut view, "image", action, id, &attributes);
                assert_eq!(is_seen, expected, "{selectors:?}: {action} {id} {attributes}");
            }
        }
    }

    #[test]
    fn an_event_without_labels_makes_no_hidden_container_visible() {
        let id = "a".repeat(64);
        let mut view = view(ObjectKind::Container, &["never label=hide"]);
        let mut sees =
            |action: &str, attributes: serde_json::Value| is_seen(&mut view, "container", action, &id, &attributes);
        assert!(!sees("create", serde_json::json!({"name": "web", "image": "a", "hide": ""})));
        assert!(!sees("died", serde_json::json!({"name": "web", "image": "a"})));
        assert!(!sees("remove", serde_json::json!({"name": "web", "image": "a", "hide": ""})));
        assert_eq!(view.visibility.knows(&id), None);
    }

    /// Of a container that is not known, of every form of a restriction, for every action, and however much an engine tells.
    #[test]
    fn no_event_makes_a_container_visible_that_a_look_up_would_hide() {
        const ACTIONS: [&str; 8] =
            ["create", "start", "die", "exec_died", "exec_die", "health_status", "resize", "commit"];
        let full: BTreeMap<String, String> = [
            ("hide", "yes"),
            ("other", "a"),
            (super::super::PROJECT, "theirs"),
            ("name", "secret"),
            ("image", "secret:1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let mut more = full.clone();
        more.extend(SET_BY_ENGINES.iter().map(|name| ((*name).to_owned(), "mine".to_owned())));
        more.extend([("name", "secret"), ("image", "secret:1")].map(|(key, value)| (key.to_owned(), value.to_owned())));
        let (mut hidden, mut tried) = (0, 0);
        for selectors in [
            &["never label=hide"][..],
            &["never label=hide=yes"],
            &["never label=h*"],
            &["never project=theirs"],
            &["never name=secret"],
            &["never image=secret:*"],
            &["never image=secret:1"],
            &["never name=secret", "never label=hide"],
            &["only label=mine"],
            &["only project=mine"],
            &["only name=web"],
            &["only image=web"],
            &["only label=other", "never label=hide"],
            // Attributes, as labels.
            &["only label=exitCode"],
            &["only label=comment"],
            &["only label=imageID=mine"],
            &["only label=height"],
            &["only label=*=mine"],
            &["only label=w*"],
        ] {
            for whole in [&full, &more] {
                let styles = (0..1_u32 << full.len()).map(|kept| {
                    let is_kept =
                        |name: &&String| full.keys().position(|key| key == *name).is_none_or(|at| kept >> at & 1 == 1);
                    whole.keys().filter(is_kept).map(|key| (key.clone(), whole[key].clone())).collect()
                });
                for attributes in styles.collect::<Vec<BTreeMap<String, String>>>() {
                    for action in ACTIONS {
                        let labels = ["hide", "other", super::super::PROJECT];
                        let has_all = labels.iter().all(|label| attributes.contains_key(*label));
                        // Engines tell all labels of what they make, or none.
                        if action == CREATE && !has_all && labels.iter().any(|label| attributes.contains_key(*label)) {
                            continue;
                        }
                        let id = "a".repeat(64);
                        let mut view = view(ObjectKind::Container, selectors);
                        view.around.containers = Some(Arc::default());
                        let mut sees = |of: &str, action: &str, id: &str, attributes: &serde_json::Value| {
                            is_seen(&mut view, of, action, id, attributes)
                        };
                        let place = format!("{selectors:?} {action} {attributes:?}");
                        assert!(!sees("container", action, &id, &serde_json::json!(attributes)), "{place}");
                        assert!(!sees("container", "exec_died", &id, &serde_json::json!({})), "{place}");
                        let used = serde_json::json!({"container": id, "name": "n"});
                        assert!(!sees("network", "connect", "n1", &used), "{place}");
                        assert_eq!(view.visibility.knows(&id), None, "{place}");
                        hidden += 1;
                    }
                    tried += 1;
                }
            }
        }
        assert!(hidden > 5_000 && tried > 1_000, "{hidden} {tried}");
    }

    /// What a list or a look-up has found stays, whatever an event tells.
    #[test]
    fn an_event_without_labels_changes_nothing_of_what_is_known() {
        let (shown, hidden, new) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
        for selector in ["never label=hide", "only label=show"] {
            let mut view = view(ObjectKind::Container, &[selector]);
            view.around.containers = Some(Arc::default());
            view.visibility.remember(&shown, true);
            view.visibility.remember(&hidden, false);
            for (id, attributes, expected) in [
                (&shown, serde_json::json!({"name": "a", "image": "b"}), true),
                (&shown, serde_json::json!({"name": "a", "image": "b", "other": ""}), true),
                (&hidden, serde_json::json!({"name": "a", "image": "b"}), false),
                (&hidden, serde_json::json!({"name": "a", "image": "b", "show": ""}), false),
                (&new, serde_json::json!({"name": "a", "image": "b"}), false),
            ] {
                assert_eq!(is_seen(&mut view, "container", "exec_died", id, &attributes), expected, "{selector} {id}");
            }
            assert!(is_seen(&mut view, "container", "create", &new, &serde_json::json!({"show": ""})));
            // Of this stream it is known from then on.
            assert!(is_seen(&mut view, "container", "exec_died", &new, &serde_json::json!({})));
            let known = [&shown, &hidden, &new].map(|id| view.visibility.knows(id));
            assert_eq!(known, [Some(true), Some(false), None], "{selector}");
        }
    }

    /// A new attribute that the table of events has must not count as a label.
    #[test]
    fn every_attribute_of_the_table_of_events_is_known() {
        let document = crate::yaml::parse("events.yaml", include_str!("../../filters/events.yaml")).unwrap();
        let kinds =
            document.mapping("").unwrap().iter().find(|(key, _)| key.name == "kinds").unwrap().1.mapping("").unwrap();
        let mut found = 0;
        for (_, kind) in kinds.iter().filter(|(key, _)| ["container", "image"].contains(&key.name.as_str())) {
            for (key, node) in kind.mapping("").unwrap() {
                let maps = match key.name.as_str() {
                    "members" => vec![node],
                    "actions" => node.mapping("").unwrap().iter().map(|(_, node)| node).collect(),
                    _ => Vec::new(),
                };
                for (name, _) in maps.iter().flat_map(|node| node.mapping("").unwrap()) {
                    assert!(SET_BY_ENGINES.contains(&name.name.as_str()), "{}", name.name);
                    found += 1;
                }
            }
        }
        assert!(found > 4, "{found}");
    }

    #[test]
    fn an_event_of_a_use_is_seen_if_what_is_used_is_visible() {
        for (kind, of) in [(ObjectKind::Network, "network"), (ObjectKind::Volume, "volume")] {
            for (selector, name, expected) in [
                ("only name=front", "front", true),
                ("only name=front", "back", false),
                ("never name=back", "back", false),
                ("never name=back", "front", true),
                // Its labels are not told.
                ("never label=hide", "front", false),
                ("only label=show", "front", false),
            ] {
                let mut view = view(kind, &[selector]);
                let (id, attributes) = if kind == ObjectKind::Network {
                    ("n1", serde_json::json!({"container": "c1", "name": name}))
                } else {
                    (name, serde_json::json!({"container": "c1", "driver": "local"}))
                };
                let is_seen = is_seen(&mut view, of, "mount", id, &attributes);
                assert_eq!(is_seen, expected, "{of} {selector} {name}");
            }
        }
    }

    #[test]
    fn events_of_a_service_are_seen_while_it_is_certainly_visible() {
        check(
            "label=a",
            &[
                ("create", "s2", "new", false),
                ("remove", "s1", "web", true),
                // Its labels may have changed.
                ("update", "s1", "web", false),
                ("remove", "s1", "web", false),
            ],
        );
        check(
            "name=web-*",
            &[("create", "s2", "web-2", true), ("update", "s1", "web-1", true), ("update", "s3", "other", false)],
        );
    }
}
