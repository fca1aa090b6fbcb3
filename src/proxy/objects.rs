//! Requests about objects, for a profile that shows only some of them.
//!
//! A path is resolved at the engine before the request goes up: whatever the client wrote, a name or the start of an id, the
//! request goes up with the whole id, so it cannot reach another object if names change in between. An object that the client
//! does not see is answered like one that does not exist.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde::de::IgnoredAny;

use super::batches::{Batches, each_within};
use super::body::collect;
use super::exchange::DRAIN_LIMIT;
use super::lookup::named_in;
use super::memory::MemoryLease;
use super::message::Message;
use super::named::{is_name, reference_of};
use super::{Error, Proxy, headers, work};
use crate::api::objects::{ObjectAnswer, ObjectKind, PathObject};
use crate::api::{self, Operation, has_registry, of_docker, operation, with_tag};
use crate::filter::ExpressionWork;
use crate::policy::{Denial, Lookup};
use crate::route::{Query, Route};
use crate::stream::elements::{ArrayError, ArraySplitter};
use crate::upstream::{UpstreamBody, UpstreamRequest};
use crate::visibility::{
    LabelFilters, ObjectView, Restriction, SeenObject, SeenTask, Surroundings, VisibleContainers, container_of_exec,
    facts_memory, read_object, read_task,
};

/// The operation that returns an object of a kind.
const fn inspection_of(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Container => "ContainerInspect",
        ObjectKind::Image => "ImageInspect",
        ObjectKind::Volume => "VolumeInspect",
        ObjectKind::Network => "NetworkInspect",
        ObjectKind::Service => "ServiceInspect",
    }
}

/// For whom the engine is asked, in the log and among those who take turns.
const STREAMS: &str = "open streams";
/// How long the engine may take to tell of the subject of one stream.
const SUBJECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The operation that lists objects of a kind.
const fn list_of(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Container => "ContainerList",
        ObjectKind::Image => "ImageList",
        ObjectKind::Volume => "VolumeList",
        ObjectKind::Network => "NetworkList",
        ObjectKind::Service => "ServiceList",
    }
}

/// The reference of the image that a request pushes, with the tag that the query may name. `None` if it pushes all images of
/// that name.
fn pushed(route: &Route) -> Option<String> {
    let name = route.name.as_str();
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    let end = name.get(start..)?.find([':', '@']).map_or(name.len(), |length| start + length);
    match route.query.get("tag").filter(|tag| !tag.is_empty()) {
        Some(tag) => Some(format!("{}:{tag}", name.get(..end)?)),
        None => (end < name.len()).then(|| name.to_owned()),
    }
}

/// The start of an id: fewer than 64 hexadecimal digits.
pub(super) fn is_prefix(text: &str) -> bool {
    (1..64).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// An object that a stream is about, and that can be hidden while the stream is open.
#[derive(Debug)]
pub struct StreamSubject {
    kind: ObjectKind,
    /// Its whole id.
    id: String,
    /// The route of the stream.
    route: Route,
}

/// The objects that streams are about, by their whole ids.
pub type SubjectLookUps = Batches<(ObjectKind, String), SeenObject>;

/// Whether several objects of a kind can be called like this: one by its name and others by the start of their ids, or several
/// networks by one name.
fn may_be_of_several(kind: ObjectKind, name: &str) -> bool {
    match kind {
        ObjectKind::Container => is_prefix(name),
        // Podman looks for a name without a registry in several, its own first.
        ObjectKind::Image => is_prefix(name.strip_prefix("sha256:").unwrap_or(name)) || !has_registry(name),
        ObjectKind::Volume => false,
        ObjectKind::Network => true,
        ObjectKind::Service => {
            (1..25).contains(&name.len()) && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z'))
        }
    }
}

/// How an object is called by a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Called {
    Id,
    Name,
    /// By the start of its id.
    Start,
}

/// All ways, the strongest first.
const WAYS: [Called; 3] = [Called::Id, Called::Name, Called::Start];

/// How a text calls an object. `None` if it does not: Podman takes `_` and `%` for what stands for any digit of an id.
fn called(kind: ObjectKind, text: &str, object: &SeenObject) -> Option<Called> {
    let bare = match kind {
        ObjectKind::Container => text.strip_prefix('/').unwrap_or(text),
        ObjectKind::Image => text.strip_prefix("sha256:").unwrap_or(text),
        ObjectKind::Volume | ObjectKind::Network | ObjectKind::Service => text,
    };
    let id = object.id.strip_prefix("sha256:").unwrap_or(&object.id);
    let is_name = |name: &String| match kind {
        ObjectKind::Image => of_docker(name) == of_docker(text),
        ObjectKind::Container | ObjectKind::Volume | ObjectKind::Network | ObjectKind::Service => name == bare,
    };
    // The id of a volume of a cluster, or its start, does not call it here: whether it is one alone depends on hidden ones.
    let has_id = kind != ObjectKind::Volume;
    let is_word = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_start = has_id && is_word && id.starts_with(bare);
    if id == bare {
        Some(Called::Id)
    } else if object.facts.names.iter().any(is_name) {
        Some(Called::Name)
    } else {
        is_start.then_some(Called::Start)
    }
}

/// Whether an object that an engine found by a text is called so.
fn is_called(kind: ObjectKind, text: &str, object: &SeenObject) -> bool {
    match kind {
        // A link is called by two names.
        ObjectKind::Container if text.trim_start_matches('/').contains('/') => true,
        // An image is called in many ways, which depend on the engine.
        ObjectKind::Image => true,
        ObjectKind::Container | ObjectKind::Volume | ObjectKind::Network | ObjectKind::Service => {
            called(kind, text, object).is_some()
        }
    }
}

/// The id of the only object that is called like this, in the strongest way in which any is.
fn one_called<'o>(kind: ObjectKind, text: &str, objects: &'o [SeenObject]) -> Option<&'o str> {
    let in_way = |way: Called| objects.iter().filter(move |object| called(kind, text, object) == Some(way));
    let way = WAYS.into_iter().find(|way| in_way(*way).next().is_some())?;
    let mut found = in_way(way);
    found.next().filter(|_| found.next().is_none()).map(|object| object.id.as_str())
}

/// Whether a request for images asks for some references, so that the engine leaves out the others of each image.
fn filters_references(route: &Route) -> bool {
    let is_there = |name: &str| route.query.get(name).is_some_and(|text| !text.is_empty());
    is_there("filters") || is_there("filter")
}

/// What reading a document costs.
pub(super) struct Reading<M> {
    /// The work for the expressions of the plan that filters it.
    pub(super) expressions: ExpressionWork,
    /// The most memory that it takes beside a document of a length, in bytes.
    pub(super) memory: M,
}

/// A search for the object that a client names.
#[derive(Clone, Copy)]
pub(super) struct Search<'s> {
    /// The request.
    pub(super) route: &'s Route,
    /// The name of the client in the log.
    pub(super) client: &'s str,
    /// How the object must be named. `None`: in any way that the engine understands.
    lookup: Option<&'s Lookup>,
    /// The objects that the request may be about; all of these must show the one that is found.
    bound: &'s [Restriction],
}

impl<'s> Search<'s> {
    /// A search for any object that the client sees.
    pub(super) const fn new(route: &'s Route, client: &'s str) -> Self {
        Self { route, client, lookup: None, bound: &[] }
    }
}

impl Proxy {
    /// The same route with the whole ids of the objects that the request names, all of which the client sees and may use so.
    /// `client` is its name in the log.
    ///
    /// # Errors
    /// [`Error::Engine`] with the status 404 if there is no such object for this client, [`Error::Denied`] if the profile allows
    /// the operation for others only; any error of the connection to the engine.
    pub(super) async fn resolved(&self, route: Route, client: &str) -> Result<Route, Error> {
        let lookup = self.policy.lookup(&route);
        let objects = self.policy.objects(route.operation);
        let route = match objects.and_then(|objects| objects.path).filter(|path| self.is_limited(path.kind(), &route)) {
            Some(path) => match self.of_path(&route, path, lookup, client).await? {
                Some(route) => route,
                None if self.policy.bound(route.operation).is_empty() => return Err(self.absent(route.operation)),
                None => return Err(Error::Denied(self.policy.refusal(&route, Denial::Bound))),
            },
            None => match lookup {
                Some(lookup) => self.named_exactly(&route, lookup, client).await?,
                None => route,
            },
        };
        self.of_query(route, objects.and_then(|objects| objects.query.as_deref()), client).await
    }

    /// What a stream is about, if that can be hidden while the stream is open: a container by another name, a service by other
    /// labels. `route` is that of the object itself.
    pub(super) async fn subject(&self, route: &Route, client: &str) -> Result<Option<Box<StreamSubject>>, Error> {
        let Some(path) = self.policy.objects(route.operation).and_then(|objects| objects.path) else { return Ok(None) };
        let (kind, bound) = (path.kind(), self.policy.bound(route.operation));
        let by_name = || self.policy.visibility().reads_names(kind) || bound.iter().any(Restriction::reads_names);
        let can_change = match kind {
            ObjectKind::Container => by_name(),
            ObjectKind::Service => self.is_limited(kind, route),
            ObjectKind::Image | ObjectKind::Volume | ObjectKind::Network => false,
        };
        if !can_change {
            return Ok(None);
        }
        let id = match path {
            PathObject::Of(_) => Some(route.name.clone()),
            PathObject::Exec => self.read(route, "ExecInspect", &route.name, client, container_of_exec).await?,
            PathObject::Task => {
                let service = |document: &[u8]| read_task(document).map(|task| task.service);
                self.read(route, "TaskInspect", &route.name, client, service).await?
            }
        };
        Ok(id.map(|id| Box::new(StreamSubject { kind, id, route: route.clone() })))
    }

    /// Whether the client does not see any more what a stream is about. What is gone, or cannot be asked for, is not hidden.
    pub async fn hides(&self, subject: &StreamSubject, client: &str) -> bool {
        let StreamSubject { kind, id, route } = subject;
        let search = Search { bound: self.policy.bound(route.operation), ..Search::new(route, client) };
        let object = async |(kind, id): (ObjectKind, String)| {
            self.read(route, inspection_of(kind), &id, STREAMS, of_name(kind, &id, None)).await.ok().flatten()
        };
        let look_up = async |subjects| each_within(SUBJECT_TIMEOUT, subjects, object).await;
        let found = self.subjects.find((*kind, id.clone()), look_up).await;
        found.is_some_and(|object| !self.allows(search, *kind, &object, false))
    }

    /// Whether a request may be about some objects of a kind only.
    fn is_limited(&self, kind: ObjectKind, route: &Route) -> bool {
        self.policy.visibility().restricts(kind) || !self.policy.bound(route.operation).is_empty()
    }

    /// The answer about an object that does not exist.
    pub(super) fn absent(&self, operation: &'static Operation) -> Error {
        let message = match operation.method {
            api::Method::Head => Message::unread(&self.policy, None),
            api::Method::Get | api::Method::Post | api::Method::Put | api::Method::Delete => {
                Message::of_engine(&self.policy, operation, 404, None)
            }
        };
        Error::Engine { status: 404, operation, message }
    }

    /// The route to the object in the path. `None` if the client does not see it, or may not use it so.
    async fn of_path(
        &self,
        route: &Route,
        path: PathObject,
        lookup: Option<&Lookup>,
        client: &str,
    ) -> Result<Option<Route>, Error> {
        let search = Search { route, client, lookup, bound: self.policy.bound(route.operation) };
        match path {
            PathObject::Of(ObjectKind::Container) => self.of_container(search).await,
            PathObject::Of(kind) => self.of_object(search, kind).await,
            PathObject::Exec => {
                let read = |document: &[u8]| container_of_exec(document);
                let exec = self.read(route, "ExecInspect", &route.name, client, read).await?;
                // An exec that does not exist takes as many requests as one that is hidden.
                let container = exec.as_ref().unwrap_or(&route.name);
                let container = self.container(Search { lookup: None, ..search }, container).await?;
                Ok(exec.and(container).map(|_| route.clone()))
            }
            PathObject::Task => {
                let task = self.task(search).await?;
                Ok(task.map(|task| Route { name: task.id, ..route.clone() }))
            }
        }
    }

    /// The task that a client calls like the path does. Tasks have no names.
    async fn task(&self, search: Search<'_>) -> Result<Option<SeenTask>, Error> {
        let Search { route, client, lookup, .. } = search;
        let (asked, by_name) = (route.name.clone(), lookup.cloned());
        let read = move |document: &[u8]| {
            let is_named = by_name.is_none_or(|lookup| named_in(document, &asked, &lookup).is_some());
            read_task(document).filter(|_| is_named)
        };
        let task = self.read(route, "TaskInspect", &route.name, client, read).await?;
        // A task that does not exist takes as many requests as one that is hidden.
        let service = task.as_ref().map_or(&route.name, |task| &task.service);
        let service = self.inspected(search, ObjectKind::Service, service).await?;
        if task.is_some() && service.is_some() {
            return Ok(task);
        }
        // Others may begin like this for the engine. Only those count that the client sees.
        let kind = ObjectKind::Service;
        if lookup.is_some() || !self.policy.visibility().restricts(kind) || !may_be_of_several(kind, &route.name) {
            return Ok(None);
        }
        let (services, _memory) = self.visible_objects(route, kind, client, |_| false).await?;
        let services: HashSet<String> = services.into_iter().map(|service| service.id).collect();
        let prefix = route.name.clone();
        let add = move |(found, size): &mut (Vec<SeenTask>, usize), element: &[u8]| {
            let is_it = |task: &SeenTask| task.id.starts_with(&prefix) && services.contains(&task.service);
            if let Some(task) = read_task(element).filter(is_it) {
                *size += task.size();
                found.push(task);
            }
            *size
        };
        let ((mut found, _), _memory) =
            self.each_of("TaskList", route, Query::default(), client, (Default::default(), add)).await?;
        let (Some(task), true) = (found.pop(), found.is_empty()) else { return Ok(None) };
        // The profile may allow the operation for some of the visible services only.
        Ok(self.inspected(search, kind, &task.service).await?.map(|_| task))
    }

    /// The route to the container in the path.
    async fn of_container(&self, search: Search<'_>) -> Result<Option<Route>, Error> {
        let route = search.route;
        // A link is removed by its name: that of a container, and an alias there of the one that it leads to.
        if let Some((container, _)) = route.name.split_once('/') {
            let from = self.inspected(search, ObjectKind::Container, container).await?;
            let to = self.inspected(search, ObjectKind::Container, &route.name).await?;
            let is_named = from.is_some_and(|from| from.facts.names.iter().any(|name| name == container));
            return Ok(to.filter(|_| is_named).map(|_| route.clone()));
        }
        let id = self.container(search, &route.name).await?;
        Ok(id.map(|name| Route { name, ..route.clone() }))
    }

    /// The object that the engine finds under a name, if the client sees it, other than by its use, and may use it so.
    pub(super) async fn inspected(
        &self,
        search: Search<'_>,
        kind: ObjectKind,
        name: &str,
    ) -> Result<Option<SeenObject>, Error> {
        let read = of_name(kind, name, None);
        let object = self.read(search.route, inspection_of(kind), name, search.client, read).await?;
        Ok(object.filter(|object| self.allows(search, kind, object, false)))
    }

    /// The whole id of a container that a client calls like this.
    ///
    /// What the engine is asked depends on the name and on what is visible, so that a hidden container takes as long as one that
    /// does not exist.
    pub(super) async fn container(&self, search: Search<'_>, name: &str) -> Result<Option<String>, Error> {
        let Search { route, client, lookup, bound } = search;
        // A container is also called by the name of one that is linked to it, and an alias there.
        if name.trim_start_matches('/').contains('/') {
            return Ok(None);
        }
        if bound.is_empty() && lookup.is_none() && self.policy.visibility().knows(name) == Some(true) {
            return Ok(Some(name.to_owned()));
        }
        let kind = ObjectKind::Container;
        let named = of_name(kind, name, lookup);
        if let Some(container) = self.read(route, inspection_of(kind), name, client, named).await?
            && self.allows(search, kind, &container, false)
        {
            return Ok(Some(container.id));
        }
        // Others may be called like this for the engine. Only those count that the client sees.
        if lookup.is_some() || !is_prefix(name) {
            return Ok(None);
        }
        let prefix = name.to_owned();
        let (found, _memory) = self.visible_containers(route, client, move |id| id.starts_with(&prefix)).await?;
        let mut ids = found.ids();
        let (Some(id), None) = (ids.next(), ids.next()) else { return Ok(None) };
        if bound.is_empty() {
            return Ok(Some(id.to_owned()));
        }
        Ok(self.inspected(search, kind, id).await?.map(|container| container.id))
    }

    /// The route to the object in the path, which is no container.
    async fn of_object(&self, search: Search<'_>, kind: ObjectKind) -> Result<Option<Route>, Error> {
        let mut route = search.route.clone();
        if route.operation.id == "ImagePush" {
            let named = pushed(&route);
            route.name = named.ok_or_else(|| Error::Denied(self.policy.refusal(&route, Denial::AllTags)))?;
        }
        let Some(object) = self.object(search, kind, &route.name).await? else { return Ok(None) };
        // What is removed, tagged or pushed depends on how an image is named.
        let keeps_name = kind == ObjectKind::Image && !matches!(route.operation.id, "ImageInspect" | "ImageHistory");
        // For some operations, a name without a tag means all tags of that name.
        route.name = if keeps_name { reference_of(object, &with_tag(&route.name)) } else { object.id };
        Ok(Some(route))
    }

    /// An object, which is no container, that a client calls like this.
    ///
    /// What the engine is asked depends on the name and on what is visible, as for containers.
    pub(super) async fn object(
        &self,
        search: Search<'_>,
        kind: ObjectKind,
        name: &str,
    ) -> Result<Option<SeenObject>, Error> {
        let Search { route, client, lookup, .. } = search;
        let visibility = self.policy.visibility();
        let found = self.read(route, inspection_of(kind), name, client, of_name(kind, name, lookup)).await?;
        let users = match visibility.is_by_use(kind) {
            true => Some(Arc::new(self.visible_containers(route, client, |_| true).await?)),
            false => None,
        };
        let is_used = move |object: &SeenObject| users.as_ref().is_some_and(|users| users.0.uses(kind, object));
        let is_allowed = |object: &SeenObject| self.allows(search, kind, object, is_used(object));
        if let Some(object) = found.filter(is_allowed) {
            return Ok(Some(object));
        }
        // Others may be called like this for the engine. Only those count that the client sees.
        if !visibility.restricts(kind) || !may_be_of_several(kind, name) {
            return Ok(None);
        }
        let (visible, _memory) = self.visible_objects(route, kind, client, is_used.clone()).await?;
        let Some(id) = one_called(kind, name, &visible) else { return Ok(None) };
        let object = self.read(route, inspection_of(kind), id, client, of_name(kind, name, lookup)).await?;
        Ok(object.filter(|object| self.allows(search, kind, object, is_used(object))))
    }

    /// Whether the client sees an object, and the profile allows what it is searched for.
    pub(super) fn allows(&self, search: Search<'_>, kind: ObjectKind, object: &SeenObject, is_used: bool) -> bool {
        let visibility = self.policy.visibility();
        let is_visible = visibility.shows(kind, &object.facts, is_used);
        if kind == ObjectKind::Container {
            visibility.remember(&object.id, is_visible);
        }
        is_visible && search.bound.iter().all(|restriction| restriction.shows(&object.facts, is_used))
    }

    /// How the answer to a request is filtered for objects. `None` if it need not be. What the engine must not decide for all
    /// objects is taken out of the request. `client` is the name in the log of who asks.
    pub(super) async fn object_view(&self, route: &mut Route, client: &str) -> Result<Option<LeasedView>, Error> {
        let visibility = self.policy.visibility();
        let answer = self.policy.objects(route.operation).and_then(|objects| objects.answer);
        let Some(answer) = answer.filter(|answer| visibility.changes(*answer)) else { return Ok(None) };
        let mut around = Surroundings::default();
        let mut memory = Vec::new();
        if visibility.needs_containers(answer) {
            let (containers, lease) = self.visible_containers(route, client, |_| true).await?;
            around.containers = Some(Arc::new(containers));
            memory.push(lease);
        }
        if visibility.needs_services(answer) {
            let (services, lease) = self.visible_objects(route, ObjectKind::Service, client, |_| false).await?;
            around.services = Some(Arc::new(services.into_iter().map(|service| service.id).collect()));
            memory.push(lease);
        }
        if answer == ObjectAnswer::Images && visibility.restricts(ObjectKind::Image) {
            // Whether the engine leaves out an image without a name depends on all images that are made of it.
            route.query.set("all", "1");
        }
        if visibility.needs_images(answer, filters_references(route)) {
            let users = around.containers.clone();
            let is_used =
                move |image: &SeenObject| users.as_ref().is_some_and(|all| all.uses(ObjectKind::Image, image));
            let (images, lease) = self.visible_objects(route, ObjectKind::Image, client, is_used).await?;
            around.images = Some(Arc::new(images.into_iter().map(|image| image.id).collect()));
            memory.push(lease);
        }
        if answer == ObjectAnswer::Events {
            around.lacks_events = route.query.get("filters").is_some_and(|filters| !filters.is_empty());
        }
        let limit = if answer == ObjectAnswer::Containers { take_limit(&mut route.query) } else { None };
        let view = ObjectView::new(visibility.clone(), answer, around, limit);
        Ok(Some(LeasedView { view, _memory: Arc::new(memory) }))
    }

    /// Which of the containers that a document of a container refers to the client sees: some of these names. Only a whole id and
    /// a whole name refer to one for certain: what else the start of an id is depends on hidden containers.
    pub(super) async fn visible_references(
        &self,
        search: Search<'_>,
        names: HashSet<String>,
    ) -> Result<HashSet<String>, Error> {
        let mut visible = HashSet::new();
        // More than that are not looked up, and blank.
        if names.len() > REFERENCES_LIMIT {
            return Ok(visible);
        }
        let kind = ObjectKind::Container;
        for name in names.into_iter().filter(|name| is_name(name)) {
            let is_visible = match self.policy.visibility().knows(&name) {
                Some(is_visible) => is_visible,
                None => {
                    let read = move |document: &[u8]| read_object(kind, document);
                    let found = self.read(search.route, inspection_of(kind), &name, search.client, read).await?;
                    let is_it = |one: &SeenObject| one.id == name || one.facts.names.contains(&name);
                    found.is_some_and(|one| is_it(&one) && self.allows(search, kind, &one, false))
                }
            };
            if is_visible {
                visible.insert(name);
            }
        }
        Ok(visible)
    }

    /// Tells the engine to remove none but visible objects, if the request removes what is not in use.
    ///
    /// # Errors
    /// [`Error::Denied`] if that cannot be told beside the client's own filters.
    pub(super) fn limit_prune(&self, route: &mut Route) -> Result<(), Error> {
        let visibility = self.policy.visibility();
        let prune = self.policy.objects(route.operation).and_then(|objects| objects.prune);
        let Some(kind) = prune.filter(|kind| visibility.restricts(*kind)) else { return Ok(()) };
        let refused = |route: &Route| Error::Denied(self.policy.refusal(route, Denial::Unlimited(kind)));
        let Some(labels) = visibility.labels(kind) else { return Err(refused(route)) };
        match pruning(route.query.get("filters").unwrap_or_default(), labels) {
            Some(filters) => route.query.set("filters", &filters),
            None => return Err(refused(route)),
        }
        Ok(())
    }

    /// The containers that the client sees, of those whose ids are `wanted`. The list has no filter: an engine finds no id by its
    /// start if several begin like that, hidden ones included.
    pub(super) async fn visible_containers(
        &self,
        route: &Route,
        client: &str,
        wanted: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<(VisibleContainers, MemoryLease), Error> {
        let mut query = Query::default();
        query.set("all", "1");
        let visibility = self.policy.visibility().clone();
        let add = move |found: &mut VisibleContainers, element: &[u8]| {
            found.add(&visibility, element, &wanted);
            found.size()
        };
        self.each_of("ContainerList", route, query, client, (VisibleContainers::default(), add)).await
    }

    /// The images, networks or services that the client sees. `is_used` says which its containers use. No services if the engine
    /// is in no swarm.
    async fn visible_objects(
        &self,
        route: &Route,
        kind: ObjectKind,
        client: &str,
        is_used: impl Fn(&SeenObject) -> bool + Send + 'static,
    ) -> Result<(Vec<SeenObject>, MemoryLease), Error> {
        let mut query = Query::default();
        if kind == ObjectKind::Image {
            query.set("all", "1");
        }
        let visibility = self.policy.visibility().clone();
        let add = move |(found, size): &mut (Vec<SeenObject>, usize), element: &[u8]| {
            let object = read_object(kind, element);
            let is_visible = |object: &SeenObject| visibility.shows(kind, &object.facts, is_used(object));
            if let Some(mut object) = object.filter(is_visible) {
                // Only how it is called is still wanted.
                object.facts.labels.clear();
                *size += object.size();
                found.push(object);
            }
            *size
        };
        match self.each_of(list_of(kind), route, query, client, (Default::default(), add)).await {
            Err(Error::Engine { status: 503, .. }) => Ok((Vec::new(), self.memory.lease())),
            listed => listed.map(|((found, _), memory)| (found, memory)),
        }
    }

    /// Asks for a list of our own, and hands over its elements one by one, with what has been kept of those before. `add` returns
    /// how much is kept, in bytes, which stays leased. `client` is the name in the log of who it is for.
    ///
    /// # Errors
    /// [`Error::NotJson`] if that is too much.
    pub(super) async fn each_of<S, A>(
        &self,
        id: &'static str,
        route: &Route,
        query: Query,
        client: &str,
        (nothing, add): (S, A),
    ) -> Result<(S, MemoryLease), Error>
    where
        S: Send + 'static,
        A: Fn(&mut S, &[u8]) -> usize + Send + 'static,
    {
        let operation = operation(id).ok_or(Error::Unroutable)?;
        let version = route.version;
        let list = Route { operation, version, name: String::new(), second_name: String::new(), query };
        let memory = self.memory.admit().await?;
        let Some(mut body) = self.ask(&list).await? else {
            return Err(Error::Engine { status: 503, operation, message: Message::from("") });
        };
        let elements = ArraySplitter::new(self.element_limit);
        let mut reading = ListReading { elements, add, found: nothing, kept: 0, memory };
        while let Some(chunk) = body.next().await? {
            let held = reading.elements.held() + chunk.len();
            let needed = reading.memory.enough(held, held + facts_memory(held)) + reading.kept;
            reading.memory.grow(held + reading.kept, needed).await?;
            let is_long = work::is_long(reading.elements.due(&chunk), ExpressionWork::None);
            let push = move || reading.push(&chunk);
            reading = if is_long { work::on_helper(client, push).await } else { push() }?;
        }
        let is_long = work::is_long(reading.elements.held(), ExpressionWork::None);
        let finish = move || reading.finish();
        if is_long { work::on_helper(client, finish).await } else { finish() }
    }

    /// Asks for the document of an object on our own and reads something in it, which is all that is kept. `None` if the engine
    /// finds no such object. `client` is the name in the log of who it is for.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        route: &Route,
        id: &'static str,
        name: &str,
        client: &str,
        read: impl FnOnce(&[u8]) -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let reading = Reading { expressions: ExpressionWork::None, memory: facts_memory };
        self.read_at_cost(route, id, name, client, reading, read).await
    }

    /// As [`Self::read`], with what reading costs.
    pub(super) async fn read_at_cost<T: Send + 'static>(
        &self,
        route: &Route,
        id: &'static str,
        name: &str,
        client: &str,
        reading: Reading<impl Fn(usize) -> usize + Send + Sync>,
        read: impl FnOnce(&[u8]) -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let Reading { expressions, memory: beside } = reading;
        let document = self.document(route, id, name, &beside).await?;
        let Some((document, memory)) = document else { return Ok(None) };
        let is_long = work::is_long(document.len(), expressions);
        // The lease goes along, because the work goes on if nobody waits for it any more.
        let read = move || {
            let found = read(&document);
            drop((document, memory));
            found
        };
        Ok(if is_long { work::on_helper(client, read).await } else { read() })
    }

    /// The document of an object, with the memory that it and `beside` take. `None` if the engine finds no such object.
    ///
    /// What is common to all readers is here, and in the program once.
    async fn document(
        &self,
        route: &Route,
        id: &'static str,
        name: &str,
        beside: &(dyn Fn(usize) -> usize + Send + Sync),
    ) -> Result<Option<(Vec<u8>, MemoryLease)>, Error> {
        let operation = operation(id).ok_or(Error::Unroutable)?;
        let (version, name) = (route.version, name.to_owned());
        let inspection = Route { operation, version, name, second_name: String::new(), query: Query::default() };
        let mut memory = self.memory.admit().await?;
        let Some(body) = self.ask(&inspection).await? else { return Ok(None) };
        let worst = |length: usize| length.saturating_add(beside(length));
        match collect(body, self.element_limit, worst, &mut memory).await {
            Err(Error::TooLong { .. }) => Ok(None),
            document => Ok(Some((document?, memory))),
        }
    }

    /// Sends a request of our own. `None` if the answer is an error about the object.
    ///
    /// # Errors
    /// [`Error::Engine`] if the engine itself is at fault, or in no swarm.
    async fn ask(&self, route: &Route) -> Result<Option<UpstreamBody>, Error> {
        let request = UpstreamRequest::get(self.target(route).await?);
        let mut response = self.upstream.send(request).await?;
        // An engine outside a swarm says so whatever the name is.
        if response.status == StatusCode::SERVICE_UNAVAILABLE {
            response = self.check_status(route, response).await?;
        }
        if !response.status.is_success() || !headers::is_plain_json(&response.headers) {
            let _ = response.body.discard(DRAIN_LIMIT).await;
            return Ok(None);
        }
        Ok(Some(response.body))
    }
}

/// Reads an object of a kind, if it is called like this.
fn of_name(
    kind: ObjectKind,
    name: &str,
    lookup: Option<&Lookup>,
) -> impl FnOnce(&[u8]) -> Option<SeenObject> + Send + 'static {
    let (lookup, name) = (lookup.cloned(), name.to_owned());
    move |document| {
        let is_named = lookup.is_none_or(|lookup| named_in(document, &name, &lookup).is_some());
        read_object(kind, document).filter(|object| is_named && is_called(kind, &name, object))
    }
}

/// A list of our own while it is read.
struct ListReading<S, A> {
    elements: ArraySplitter,
    /// Adds an element to what is kept, and returns how much that then is, in bytes.
    add: A,
    found: S,
    kept: usize,
    memory: MemoryLease,
}

impl<S, A: Fn(&mut S, &[u8]) -> usize> ListReading<S, A> {
    /// Takes the next chunk.
    fn push(mut self, chunk: &[u8]) -> Result<Self, Error> {
        let Self { elements, add, found, kept, .. } = &mut self;
        elements.push(chunk, &mut Vec::new(), |bytes, _| take(bytes, found, add, kept)).map_err(not_a_list)?;
        Ok(self)
    }

    /// Ends the list. Returns what has been kept.
    fn finish(self) -> Result<(S, MemoryLease), Error> {
        let Self { elements, add, mut found, mut kept, mut memory } = self;
        let element = |bytes: &[u8], _: &mut Vec<u8>| take(bytes, &mut found, &add, &mut kept);
        elements.finish(&mut Vec::new(), element).map_err(not_a_list)?;
        memory.settle(kept);
        Ok((found, memory))
    }
}

/// Hands over the element at the start of `bytes`. Returns its length, or `None` if it does not end in them.
fn take<S>(
    bytes: &[u8],
    found: &mut S,
    add: &impl Fn(&mut S, &[u8]) -> usize,
    kept: &mut usize,
) -> Result<Option<usize>, ListError> {
    let Some(end) = end_of_value(bytes)? else { return Ok(None) };
    *kept = add(found, bytes.get(..end).unwrap_or_default());
    if *kept > KEPT_LIMIT { Err(ListError) } else { Ok(Some(end)) }
}

/// How an answer is filtered for objects, with the memory of what must be known for that.
#[derive(Clone, Debug)]
pub(super) struct LeasedView {
    pub(super) view: ObjectView,
    _memory: Arc<Vec<MemoryLease>>,
}

/// How many references of a container to others are looked up.
const REFERENCES_LIMIT: usize = 32;

/// The filters of a request that removes what is not in use, with the labels of what it may remove. `None` if both cannot hold.
fn pruning(written: &str, labels: LabelFilters) -> Option<String> {
    let mut filters: serde_json::Map<String, serde_json::Value> =
        if written.is_empty() { serde_json::Map::new() } else { serde_json::from_str(written).ok()? };
    let texts = |values: &serde_json::Value| -> Option<Vec<String>> {
        match values {
            serde_json::Value::Array(texts) => texts.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
            // Old clients send the texts as keys, and whether they count.
            serde_json::Value::Object(texts) => texts
                .iter()
                .map(|(text, counts)| counts.as_bool().filter(|counts| *counts).map(|_| text.clone()))
                .collect(),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => None,
        }
    };
    // In Go, the last of two keys counts, in whatever case; filters are a map, in which case matters.
    let mut with = filters.get("label").map_or_else(|| Some(Vec::new()), texts)?;
    with.extend(labels.with);
    if let Some(without) = labels.without {
        // What has all of several such labels is left out, and what has one is not.
        if filters.contains_key("label!") {
            return None;
        }
        filters.insert("label!".to_owned(), serde_json::json!([without]));
    }
    if !with.is_empty() {
        filters.insert("label".to_owned(), serde_json::json!(with));
    }
    // An engine reads all filters in one form.
    let all: Option<serde_json::Map<String, serde_json::Value>> =
        filters.iter().map(|(key, values)| Some((key.clone(), serde_json::json!(texts(values)?)))).collect();
    serde_json::to_string(&all?).ok()
}

/// How much may be kept of all containers or services, in bytes: that of some ten thousand.
pub(super) const KEPT_LIMIT: usize = 8 << 20;

/// A list that cannot be read, or of which too much would be kept.
struct ListError;

fn not_a_list(_: ArrayError<ListError>) -> Error {
    Error::NotJson
}

/// Where the value ends at the start of `bytes`. `None` if it does not end in them.
fn end_of_value(bytes: &[u8]) -> Result<Option<usize>, ListError> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    match values.next() {
        None => Ok(None),
        Some(Ok(_)) => Ok(Some(values.byte_offset())),
        Some(Err(error)) if error.is_eof() => Ok(None),
        Some(Err(_)) => Err(ListError),
    }
}

/// Takes the limit out of a query for containers: the engine would count hidden ones. Returns how many are wanted. A limit
/// also asks for containers that do not run.
fn take_limit(query: &mut Query) -> Option<usize> {
    let limit = query.get("limit")?.parse::<i64>().ok()?;
    query.retain(|name, _| name != "limit");
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0)?;
    query.set("all", "1");
    Some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::find;

    #[test]
    fn a_push_is_of_the_image_that_goes_up() {
        for (target, expected) in [
            ("/images/web/push?tag=1", Some("web:1")),
            ("/images/web:2/push?tag=1", Some("web:1")),
            ("/images/reg.test:5000/a/web/push?tag=1", Some("reg.test:5000/a/web:1")),
            ("/images/reg.test:5000/a/web/push", None),
            ("/images/reg.test:5000/a/web:2/push", Some("reg.test:5000/a/web:2")),
            ("/images/web/push?tag=", None),
            ("/images/web/push", None),
        ] {
            let route = find("POST", target).unwrap().unwrap();
            assert_eq!(pushed(&route).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn a_prune_has_the_labels_of_the_profile_beside_its_own() {
        let labels = |with: &[&str], without: Option<&str>| LabelFilters {
            with: with.iter().map(|text| (*text).to_owned()).collect(),
            without: without.map(str::to_owned),
        };
        for (written, of_profile, expected) in [
            ("", labels(&["a=b"], None), Some(r#"{"label":["a=b"]}"#)),
            ("{}", labels(&["a=b"], Some("c")), Some(r#"{"label":["a=b"],"label!":["c"]}"#)),
            (r#"{"label":["x"]}"#, labels(&["a=b"], None), Some(r#"{"label":["x","a=b"]}"#)),
            (r#"{"label":{"x":true}}"#, labels(&["a"], None), Some(r#"{"label":["x","a"]}"#)),
            (r#"{"until":{"1h":true}}"#, labels(&["a"], None), Some(r#"{"label":["a"],"until":["1h"]}"#)),
            (r#"{"label!":["x"]}"#, labels(&["a"], None), Some(r#"{"label":["a"],"label!":["x"]}"#)),
            // The engine leaves out what has both labels.
            (r#"{"label!":["x"]}"#, labels(&["a"], Some("c")), None),
            (r#"{"label":{"x":false}}"#, labels(&["a"], None), None),
            (r#"{"label":"x"}"#, labels(&["a"], None), None),
            (r#"[]"#, labels(&["a"], None), None),
        ] {
            assert_eq!(pruning(written, of_profile).as_deref(), expected, "{written}");
        }
    }
}
