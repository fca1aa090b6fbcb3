//! Events without those of hidden objects.
//!
//! The events of a container carry its labels, its name and its image, so that they decide by themselves, also after it is
//! gone. A label that is called like an attribute of the engine is not told from it: if a restriction looks at such a label,
//! only the containers count that were visible when the stream began. Events of volumes and networks name the container that
//! uses them. Those of services tell their names alone.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::answers::rewritten;
use super::few::FewEntries;
use super::{ElementSeen, Facts, ObjectView};
use crate::api::objects::ObjectKind;
use crate::members::rewrite_at;

/// The attributes that engines set beside the labels of a container, of which a label can have the name.
const SET_BY_ENGINES: [&str; 9] =
    ["image", "name", "exitCode", "signal", "oldName", "execID", "podId", "containerExitCode", "execDuration"];

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
            "container" => return self.container_event(record, &actor.id, &attributes),
            "image" => self.shows_named(ObjectKind::Image, &actor.id, &attributes),
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

    fn container_event(&mut self, record: &[u8], id: &str, attributes: &BTreeMap<String, String>) -> ElementSeen {
        if !self.visibility.restricts(ObjectKind::Container) {
            return ElementSeen::Whole;
        }
        if SET_BY_ENGINES.iter().any(|name| self.visibility.reads_label(ObjectKind::Container, Some(name))) {
            // What it is called may have changed since then.
            let is_visible = !self.visibility.reads_names(ObjectKind::Container) && self.shows_container(id);
            return if is_visible { ElementSeen::Whole } else { ElementSeen::Hidden };
        }
        let is_visible = self.visibility.shows(ObjectKind::Container, &of_event(attributes, "name"), false);
        self.visibility.remember(id, is_visible);
        self.note(id, is_visible);
        match attributes.get("oldName") {
            _ if !is_visible => ElementSeen::Hidden,
            // A container that was hidden under its old name.
            Some(_) if !self.visibility.shows(ObjectKind::Container, &of_event(attributes, "oldName"), false) => {
                without_old_name(record)
            }
            Some(_) | None => ElementSeen::Whole,
        }
    }

    /// Whether the event of an object is seen that may be about a container, too.
    fn shows_use(&self, kind: ObjectKind, id: &str, attributes: &BTreeMap<String, String>) -> bool {
        match attributes.get("container") {
            // Whether it is still called as it was when the stream began is not known.
            Some(_) if self.around.lacks_events && self.visibility.reads_names(ObjectKind::Container) => false,
            Some(container) => self.shows_container(container),
            None => self.shows_named(kind, id, attributes),
        }
    }

    /// Whether the event of an object is seen, which does not tell its labels.
    fn shows_named(&self, kind: ObjectKind, id: &str, attributes: &BTreeMap<String, String>) -> bool {
        if !self.visibility.restricts(kind) {
            return true;
        }
        // What containers use now is not known.
        if self.visibility.is_by_use(kind) {
            return false;
        }
        // An event tells one of its names.
        if kind == ObjectKind::Image && self.visibility.hides_by_name(kind) {
            return false;
        }
        let name = attributes.get("name").map_or(id, String::as_str).to_owned();
        let labels = if kind == ObjectKind::Image { attributes.clone() } else { BTreeMap::new() };
        let has_all = kind == ObjectKind::Image || !self.visibility.reads_label(kind, None);
        has_all && self.visibility.shows(kind, &Facts { names: vec![name], image: None, labels }, false)
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

    /// The view of the events of an engine on which the service `s1` was visible when the stream began.
    fn view(selector: &str) -> ObjectView {
        let only = vec![ObjectSelector::parse(ObjectKind::Service, selector).unwrap()];
        let restrictions = [(ObjectKind::Service, Restriction::selected(only, Vec::new()))];
        let services = Some(Arc::new(HashSet::from(["s1".to_owned()])));
        let around = Surroundings { services, ..Surroundings::default() };
        ObjectView::new(Arc::new(VisibleObjects::new(&restrictions)), ObjectAnswer::Events, around, None)
    }

    /// Whether events of services are seen, one after another.
    #[track_caller]
    fn check(selector: &str, events: &[(&str, &str, &str, bool)]) {
        let mut view = view(selector);
        for (action, id, name, expected) in events {
            let record = serde_json::json!({"Type": "service", "Action": action,
                                            "Actor": {"ID": id, "Attributes": {"name": name}}});
            let is_seen = view.event(record.to_string().as_bytes()) == ElementSeen::Whole;
            assert_eq!(is_seen, *expected, "{selector}: {action} {id} {name}");
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
