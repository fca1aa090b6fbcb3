//! The parameter `filters`, applied as Docker does.
//!
//! Sources, all of moby: `daemon/internal/filters/parse.go` for how values match, `daemon/list.go` for containers,
//! `daemon/images/image_list.go`, `daemon/volume/service/convert.go`, `daemon/network/filter.go`, `daemon/events/filter.go`, and
//! `daemon/cluster/{filters,helpers,tasks}.go` for services and tasks.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;

use super::engine::{Failure, Found, flag, parameter};
use super::world::{Container, Image, Labels, NODE, Network, Service, Volume, World};

/// The keys with their values.
#[derive(Default)]
pub(crate) struct Filters(BTreeMap<String, BTreeSet<String>>);

impl Filters {
    /// Those of a query. The engine accepts these keys only.
    pub(crate) fn read(query: &str, accepted: &[&str]) -> Result<Self, Failure> {
        let Some(text) = parameter(query, "filters").filter(|text| !text.is_empty()) else {
            return Ok(Self::default());
        };
        let keys: BTreeMap<String, Value> = serde_json::from_str(&text).map_err(|_| Failure::Invalid)?;
        // It reads all of them as maps, or else all as lists.
        if !keys.values().all(Value::is_object) && !keys.values().all(Value::is_array) {
            return Err(Failure::Invalid);
        }
        let values = |value: Value| -> BTreeSet<String> {
            match value {
                Value::Array(values) => values.iter().map(|value| value.as_str().unwrap().to_owned()).collect(),
                Value::Object(values) => values.keys().cloned().collect(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => panic!("{value}"),
            }
        };
        match keys.keys().all(|key| accepted.contains(&key.as_str())) {
            true => Ok(Self(keys.into_iter().map(|(key, value)| (key, values(value))).collect())),
            false => Err(Failure::Invalid),
        }
    }

    fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.get(key).into_iter().flatten().map(String::as_str)
    }

    fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// `ExactMatch`: without values, everything matches.
    fn exact(&self, key: &str, text: &str) -> bool {
        self.0.get(key).is_none_or(|values| values.is_empty() || values.contains(text))
    }

    /// `Match`: equal, or a regular expression that matches somewhere.
    fn matches(&self, key: &str, text: &str) -> bool {
        self.exact(key, text)
            || self.values(key).any(|value| Regex::new(value).is_ok_and(|expression| expression.is_match(text)))
    }

    /// `FuzzyMatch`: equal, or the start.
    fn starts(&self, key: &str, text: &str) -> bool {
        self.exact(key, text) || self.values(key).any(|value| text.starts_with(value))
    }

    /// `MatchKVList`: all values hold, each as `key` or `key=value`.
    fn labels(&self, key: &str, labels: &Labels) -> bool {
        self.values(key).all(|value| match value.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|known| known == value),
            None => labels.contains_key(value),
        })
    }

    /// `GetBoolOrDefault`.
    fn flag(&self, key: &str) -> Result<Option<bool>, Failure> {
        let Some(values) = self.0.get(key) else { return Ok(None) };
        let has = |texts: [&str; 2]| texts.iter().any(|text| values.contains(*text));
        match (has(["1", "true"]), has(["0", "false"])) {
            (true, false) => Ok(Some(true)),
            (false, true) => Ok(Some(false)),
            (true, true) | (false, false) => Err(Failure::Invalid),
        }
    }

    /// Whether all values of a key are known words.
    fn are_words(&self, key: &str, words: &[&str]) -> Result<(), Failure> {
        if self.values(key).all(|value| words.contains(&value)) { Ok(()) } else { Err(Failure::Invalid) }
    }
}

impl World {
    /// `filterByNameIDMatches`: the start of an id must be that of one container only.
    fn named<'w>(&'w self, filters: &Filters) -> Vec<&'w Container> {
        let newest_first = self.containers.iter().rev();
        if filters.values("name").count() + filters.values("id").count() == 0 {
            return newest_first.collect();
        }
        let mut matches = BTreeSet::new();
        for prefix in filters.values("id").filter(|prefix| !prefix.is_empty()) {
            let begun: Vec<&Container> = self.containers.iter().filter(|one| one.id.starts_with(prefix)).collect();
            if let [one] = begun[..] {
                matches.insert(one.id.as_str());
            }
        }
        let by_id = filters.values("id").next().is_some();
        if filters.values("name").next().is_some() {
            let is_match =
                |name: &String| filters.matches("name", name) || filters.matches("name", name.trim_start_matches('/'));
            let searched = self.containers.iter().filter(|one| !by_id || matches.contains(one.id.as_str()));
            let named = searched.filter(|one| one.names().iter().any(is_match));
            let named: Vec<&str> = named.map(|one| one.id.as_str()).collect();
            matches.extend(named);
        }
        newest_first.filter(|one| matches.contains(one.id.as_str())).collect()
    }

    /// `idOrNameFilter`: a whole id, or a name, which can be that of a link.
    fn aged(&self, filters: &Filters, key: &str) -> Result<Option<&str>, Failure> {
        let mut found = None;
        for value in filters.values(key) {
            let is_it = |one: &&Container| {
                one.id == value
                    || one.names().iter().any(|name| name.trim_start_matches('/') == value.trim_start_matches('/'))
            };
            found = Some(self.containers.iter().find(is_it).ok_or(Failure::Absent)?.id.as_str());
        }
        Ok(found)
    }

    /// The ids of the images that `ancestor` names and of those that are made of them.
    fn descendants(&self, filters: &Filters) -> BTreeSet<&str> {
        let mut found: BTreeSet<&str> = filters
            .values("ancestor")
            .filter_map(|name| match self.find_image(name) {
                Found::One(image) => Some(image.id.as_str()),
                Found::None | Found::Several => None,
            })
            .collect();
        loop {
            let is_made = |image: &&Image| image.parent.as_ref().is_some_and(|parent| found.contains(parent.as_str()));
            let more: Vec<&str> = self
                .images
                .iter()
                .filter(is_made)
                .map(|image| image.id.as_str())
                .filter(|id| !found.contains(id))
                .collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }

    /// The containers that a query asks for, as `foldFilter` and `includeContainerInList` choose them.
    pub(crate) fn listed(&self, query: &str) -> Result<Vec<&Container>, Failure> {
        let accepted = [
            "ancestor",
            "before",
            "exited",
            "expose",
            "health",
            "id",
            "is-task",
            "isolation",
            "label",
            "name",
            "network",
            "publish",
            "since",
            "status",
            "volume",
        ];
        let filters = Filters::read(query, &accepted)?;
        if !filters.values("exited").all(|code| code.parse::<i32>().is_ok()) {
            return Err(Failure::Invalid);
        }
        filters.are_words("status", &["created", "restarting", "running", "removing", "paused", "exited", "dead"])?;
        filters.are_words("health", &["none", "healthy", "unhealthy", "starting"])?;
        let all = flag(query, "all") || filters.values("status").next().is_some();
        let is_task = filters.flag("is-task")?;
        let (before, since) = (self.aged(&filters, "before")?, self.aged(&filters, "since")?);
        let before = before.or(self.by_parameter(query, "before")?);
        let since = since.or(self.by_parameter(query, "since")?);
        let images = filters.contains("ancestor").then(|| self.descendants(&filters));
        let ports = [ports(&filters, "publish")?, ports(&filters, "expose")?];
        let limit = parameter(query, "limit").and_then(|limit| limit.parse::<usize>().ok()).unwrap_or(0);
        let (mut found, mut waits) = (Vec::new(), before.is_some());
        for container in self.named(&filters) {
            if waits {
                waits = before != Some(container.id.as_str());
                continue;
            }
            if since == Some(container.id.as_str()) {
                break;
            }
            let is_wanted = (container.is_running() || all || limit > 0)
                && (filters.matches("name", &format!("/{}", container.name))
                    || filters.matches("name", &container.name))
                && filters.matches("id", &container.id)
                && is_task != Some(true)
                && matches(container, &filters)
                && images.as_ref().is_none_or(|images| images.contains(container.image.1.as_str()))
                && has_port(container, &ports);
            if is_wanted && (limit == 0 || found.len() < limit) {
                found.push(container);
            }
        }
        Ok(found)
    }

    /// The container that a parameter names, in old versions of the API.
    fn by_parameter(&self, query: &str, name: &str) -> Result<Option<&str>, Failure> {
        let Some(text) = parameter(query, name).filter(|text| !text.is_empty()) else { return Ok(None) };
        match self.find(&text) {
            Found::One(container) => Ok(Some(&container.id)),
            Found::None | Found::Several => Err(Failure::Absent),
        }
    }

    /// The images that a query asks for, each with the references that it asks for.
    pub(crate) fn listed_images(&self, query: &str) -> Result<Vec<Image>, Failure> {
        let filters = Filters::read(query, &["before", "dangling", "label", "reference", "since", "until"])?;
        let dangling = filters.flag("dangling")?;
        let age = |key: &str| -> Result<Vec<usize>, Failure> {
            let named = filters.values(key).map(|name| match self.find_image(name) {
                Found::One(image) => Ok(image.created),
                Found::None | Found::Several => Err(Failure::Absent),
            });
            named.collect()
        };
        let (before, since) = (age("before")?, age("since")?);
        let untils = filters.values("until").map(|text| text.parse::<usize>().map_err(|_| Failure::Invalid));
        let until: Vec<usize> = untils.collect::<Result<_, _>>()?;
        let is_parent = |image: &Image| self.images.iter().any(|one| one.parent.as_ref() == Some(&image.id));
        let mut found = Vec::new();
        for image in &self.images {
            let is_wanted = (dangling != Some(true) || !is_parent(image))
                && before.iter().chain(&until).all(|age| image.created < *age)
                && since.iter().all(|age| image.created > *age)
                && filters.labels("label", &image.labels);
            if !is_wanted {
                continue;
            }
            let mut image = image.clone();
            image.tags.retain(|tag| !filters.contains("reference") || has_reference(&filters, tag));
            let is_shown = match image.tags.is_empty() {
                true => {
                    (flag(query, "all") || !is_parent(&image))
                        && dangling != Some(false)
                        && !filters.contains("reference")
                }
                false => dangling != Some(true),
            };
            if is_shown {
                found.push(image);
            }
        }
        Ok(found)
    }

    pub(crate) fn listed_volumes(&self, query: &str) -> Result<Vec<&Volume>, Failure> {
        let filters = Filters::read(query, &["dangling", "driver", "label", "name"])?;
        let dangling = filters.flag("dangling")?;
        let is_used = |volume: &Volume| self.count(|container| container.volumes.contains(&volume.name)) > 0;
        let is_wanted = |volume: &&Volume| {
            filters.exact("driver", "local")
                && filters.matches("name", &volume.name)
                && filters.labels("label", &volume.labels)
                && dangling.is_none_or(|dangling| dangling != is_used(volume))
        };
        Ok(self.volumes.iter().filter(is_wanted).collect())
    }

    pub(crate) fn listed_networks(&self, query: &str) -> Result<Vec<&Network>, Failure> {
        let accepted = ["dangling", "driver", "id", "label", "name", "scope", "type"];
        let filters = Filters::read(query, &accepted)?;
        let dangling = filters.flag("dangling")?;
        filters.are_words("type", &["custom", "builtin"])?;
        let is_used = |network: &Network| {
            self.count(|container| container.is_running() && container.networks.iter().any(|(id, _)| *id == network.id))
                > 0
        };
        let is_wanted = |network: &&Network| {
            filters.exact("driver", network.driver)
                && filters.matches("name", &network.name)
                && filters.matches("id", &network.id)
                && filters.labels("label", &network.labels)
                && filters.exact("scope", "local")
                && filters.exact("type", "custom")
                && dangling.is_none_or(|dangling| dangling != is_used(network))
        };
        Ok(self.networks.iter().filter(is_wanted).collect())
    }

    pub(crate) fn listed_services(&self, query: &str) -> Result<Vec<&Service>, Failure> {
        let filters = Filters::read(query, &["id", "label", "mode", "name", "runtime"])?;
        filters.are_words("mode", &["replicated", "global", "replicated-job", "global-job"])?;
        let is_wanted = |service: &&Service| {
            filters.starts("id", &service.id)
                && filters.starts("name", &service.name)
                && filters.labels("label", &service.labels)
                && filters.exact("mode", "replicated")
                && filters.exact("runtime", "container")
        };
        Ok(self.services.iter().filter(is_wanted).collect())
    }

    /// The services whose tasks a query asks for. Services and the node are looked up first.
    pub(crate) fn listed_tasks(&self, query: &str) -> Result<Vec<&Service>, Failure> {
        let accepted = ["_up-to-date", "desired-state", "id", "label", "name", "node", "runtime", "service"];
        let filters = Filters::read(query, &accepted)?;
        let mut services = BTreeSet::new();
        for name in filters.values("service") {
            match self.find_service(name) {
                Found::One(service) => services.insert(service.id.as_str()),
                Found::None => return Err(Failure::Absent),
                Found::Several => return Err(Failure::Invalid),
            };
        }
        if !filters.values("node").all(|node| NODE.starts_with(node)) {
            return Err(Failure::Absent);
        }
        filters.are_words("desired-state", &["running", "shutdown", "accepted"])?;
        let is_wanted = |service: &&Service| {
            (services.is_empty() || services.contains(service.id.as_str()))
                && filters.starts("id", &service.task)
                && filters.starts("name", &format!("{}.1.{}", service.name, service.task))
                && filters.labels("label", &service.labels)
                && filters.exact("desired-state", "running")
                && filters.exact("runtime", "container")
        };
        Ok(self.services.iter().filter(is_wanted).collect())
    }

    /// The events that a query asks for.
    pub(crate) fn listed_events(&self, query: &str) -> Result<Vec<Value>, Failure> {
        let accepted = [
            "config",
            "container",
            "daemon",
            "event",
            "image",
            "label",
            "network",
            "node",
            "plugin",
            "scope",
            "secret",
            "service",
            "type",
            "volume",
        ];
        let filters = Filters::read(query, &accepted)?;
        let is_wanted = |event: &Value| {
            let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let attributes: Labels =
                serde_json::from_value(event.pointer("/Actor/Attributes").cloned().unwrap_or_default()).unwrap();
            let (action, kind, id) = (text("/Action"), text("/Type"), text("/Actor/ID"));
            let is_open =
                filters.values("event").any(|word| ["health_status", "exec_create", "exec_start"].contains(&word));
            let is_action = if is_open { filters.starts("event", action) } else { filters.exact("event", action) };
            let name = attributes.get("name").map(String::as_str).unwrap_or_default();
            let actors = ["daemon", "container", "plugin", "volume", "network", "node", "service", "secret", "config"];
            let image =
                if kind == "image" { name } else { attributes.get("image").map(String::as_str).unwrap_or_default() };
            let bare = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
            is_action
                && filters.exact("type", kind)
                && filters.exact("scope", text("/scope"))
                && actors.iter().all(|actor| filters.starts(actor, id) || filters.starts(actor, name))
                && [id, image, &bare(id), &bare(image)].iter().any(|text| filters.exact("image", text))
                && filters.labels("label", &attributes)
        };
        Ok(self.events().into_iter().filter(|event| is_wanted(event)).collect())
    }
}

/// Whether a container has what these keys ask for.
fn matches(container: &Container, filters: &Filters) -> bool {
    let is_exited = |code: &str| code == container.exit_code.to_string() && container.state == "exited";
    let is_mounted =
        |value: &str| container.volumes.iter().any(|name| value == name || value == format!("/mnt/{name}"));
    let is_connected = |value: &str| container.networks.iter().any(|(id, name)| name == value || id.starts_with(value));
    filters.labels("label", &container.labels)
        && filters.exact("isolation", "default")
        && (filters.values("exited").next().is_none() || filters.values("exited").any(is_exited))
        && filters.matches("status", container.state)
        && filters.exact("health", container.health)
        && (!filters.contains("volume") || filters.values("volume").any(is_mounted))
        && (!filters.contains("network") || filters.values("network").any(is_connected))
}

/// The ports that a key names, each as `8080`, `8080/tcp` or `8000-8080/tcp`.
fn ports(filters: &Filters, key: &str) -> Result<BTreeSet<usize>, Failure> {
    let mut found = BTreeSet::new();
    for value in filters.values(key) {
        let range = value.split('/').next().unwrap_or_default();
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else {
            return Err(Failure::Invalid);
        };
        found.extend(first..=last);
    }
    Ok(found)
}

fn has_port(container: &Container, [published, exposed]: &[BTreeSet<usize>; 2]) -> bool {
    let is_wanted = |(private, public): &(usize, usize)| published.contains(public) || exposed.contains(private);
    published.is_empty() && exposed.is_empty() || container.ports.iter().any(is_wanted)
}

/// Whether a reference matches a pattern of shells, with its tag or without.
fn has_reference(filters: &Filters, tag: &str) -> bool {
    let name = tag.split(':').next().unwrap_or_default();
    filters.values("reference").any(|pattern| {
        let expression = format!("^{}$", regex::escape(pattern).replace("\\*", "[^/]*"));
        Regex::new(&expression).is_ok_and(|expression| expression.is_match(tag) || expression.is_match(name))
    })
}
