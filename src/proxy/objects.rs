//! Requests about objects, for a profile that shows only some of them.
//!
//! A path is resolved at the engine before the request goes up: whatever the client wrote, a name or the start of an id, the
//! request goes up with the whole id, so it cannot reach another object if names change in between. An object that the client
//! does not see is answered like one that does not exist.

use std::collections::HashSet;
use std::sync::Arc;

use http_body_util::{Either, Empty};
use hyper::{Method, Request, StatusCode};
use serde::de::IgnoredAny;

use super::body::collect;
use super::exchange::DRAIN_LIMIT;
use super::lookup::named_in;
use super::memory::MemoryLease;
use super::message::Message;
use super::{Error, Proxy, headers, work};
use crate::api::objects::{ObjectAnswer, ObjectKind, PathObject};
use crate::api::{self, Operation, operation};
use crate::policy::{Denial, Lookup};
use crate::route::{Query, Route};
use crate::stream::elements::{ArrayError, ArraySplitter};
use crate::upstream::UpstreamBody;
use crate::visibility::{
    ObjectView, Restriction, SeenObject, Surroundings, VisibleContainers, container_of_exec, read_object,
    service_of_task,
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

/// The start of an id: fewer than 64 hexadecimal digits.
fn is_prefix(text: &str) -> bool {
    (1..64).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
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
                let Some(container) = self.read(route, "ExecInspect", &route.name, client, read).await? else {
                    return Ok(None);
                };
                Ok(self.container(Search { lookup: None, ..search }, &container).await?.map(|_| route.clone()))
            }
            PathObject::Task => {
                let (asked, lookup) = (route.name.clone(), lookup.cloned());
                let read = move |document: &[u8]| {
                    let name = match &lookup {
                        Some(lookup) => named_in(document, &asked, lookup)?,
                        None => asked,
                    };
                    Some((name, service_of_task(document)?))
                };
                let Some((name, service)) = self.read(route, "TaskInspect", &route.name, client, read).await? else {
                    return Ok(None);
                };
                let kind = ObjectKind::Service;
                let read = move |document: &[u8]| read_object(kind, document);
                let service = self.read(route, inspection_of(kind), &service, client, read).await?;
                let is_visible = service.is_some_and(|service| self.allows(search, kind, &service, false));
                Ok(is_visible.then(|| Route { name, ..route.clone() }))
            }
        }
    }

    /// The route to the container in the path.
    async fn of_container(&self, search: Search<'_>) -> Result<Option<Route>, Error> {
        let route = search.route;
        // A link is that of its container: what it leads to stays as it is.
        if let Some((container, _)) = route.name.split_once('/') {
            return Ok(self.container(search, container).await?.map(|_| route.clone()));
        }
        let id = self.container(search, &route.name).await?;
        Ok(id.map(|name| Route { name, ..route.clone() }))
    }

    /// The whole id of a container that a client calls like this.
    pub(super) async fn container(&self, search: Search<'_>, name: &str) -> Result<Option<String>, Error> {
        let Search { route, client, lookup, bound } = search;
        match self.policy.visibility().knows(name).filter(|_| bound.is_empty() && lookup.is_none()) {
            Some(true) => return Ok(Some(name.to_owned())),
            Some(false) => return Ok(None),
            None => {}
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
        let (found, _memory) = self.visible_containers(route, Some(name), client).await?;
        let mut begun = found.ids().filter(|id| id.starts_with(name));
        let (Some(id), None) = (begun.next(), begun.next()) else { return Ok(None) };
        if bound.is_empty() {
            return Ok(Some(id.to_owned()));
        }
        let read = move |document: &[u8]| read_object(kind, document);
        let container = self.read(route, inspection_of(kind), id, client, read).await?;
        Ok(container.filter(|container| self.allows(search, kind, container, false)).map(|container| container.id))
    }

    /// The route to the object in the path, which is no container.
    async fn of_object(&self, search: Search<'_>, kind: ObjectKind) -> Result<Option<Route>, Error> {
        let route = search.route;
        let Some(object) = self.object(search, kind, &route.name).await? else { return Ok(None) };
        // What is removed, tagged or pushed depends on how an image is named.
        let keeps_name = kind == ObjectKind::Image && !matches!(route.operation.id, "ImageInspect" | "ImageHistory");
        let name = if keeps_name { route.name.clone() } else { object.id };
        Ok(Some(Route { name, ..route.clone() }))
    }

    /// An object, which is no container, that a client calls like this.
    pub(super) async fn object(
        &self,
        search: Search<'_>,
        kind: ObjectKind,
        name: &str,
    ) -> Result<Option<SeenObject>, Error> {
        let Search { route, client, lookup, .. } = search;
        let object = self.read(route, inspection_of(kind), name, client, of_name(kind, name, lookup)).await?;
        let Some(object) = object else { return Ok(None) };
        let is_used = if self.policy.visibility().is_by_use(kind) {
            self.visible_containers(route, None, client).await?.0.uses(kind, &object)
        } else {
            false
        };
        Ok(self.allows(search, kind, &object, is_used).then_some(object))
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

    /// The route with the whole ids of the containers that its parameters name.
    async fn of_query(&self, mut route: Route, parameter: Option<&str>, client: &str) -> Result<Route, Error> {
        if !self.policy.visibility().restricts(ObjectKind::Container) {
            return Ok(route);
        }
        let ages = ["before", "since"].into_iter().filter(|_| route.operation.id == "ContainerList");
        for name in ages.chain(parameter) {
            if let Some(text) = route.query.get(name).filter(|text| !text.is_empty()) {
                let id = self.container(Search::new(&route, client), text).await?;
                route.query.set(name, &id.ok_or_else(|| self.absent(route.operation))?);
            }
        }
        if route.operation.id == "ContainerList"
            && let Some(text) = route.query.get("filters").filter(|text| !text.is_empty())
        {
            let mut filters: serde_json::Value =
                serde_json::from_str(text).map_err(|_| self.absent(route.operation))?;
            for name in ["before", "since"] {
                if let Some(values) = filters.get_mut(name) {
                    *values = self.ids_in_filter(&route, values, client).await?;
                }
            }
            route.query.set("filters", &filters.to_string());
        }
        Ok(route)
    }

    /// The values of a filter, which name containers, with whole ids in their place. They are a list, or the keys of a map.
    async fn ids_in_filter(
        &self,
        route: &Route,
        values: &serde_json::Value,
        client: &str,
    ) -> Result<serde_json::Value, Error> {
        let names: Vec<&str> = match values {
            serde_json::Value::Array(names) => names.iter().filter_map(serde_json::Value::as_str).collect(),
            serde_json::Value::Object(names) => names.keys().map(String::as_str).collect(),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => Vec::new(),
        };
        let mut ids = Vec::new();
        for name in names {
            let id = self.container(Search::new(route, client), name).await?;
            ids.push(id.ok_or_else(|| self.absent(route.operation))?);
        }
        Ok(serde_json::json!(ids))
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
            let (containers, lease) = self.visible_containers(route, None, client).await?;
            around.containers = Some(Arc::new(containers));
            memory.push(lease);
        }
        if visibility.needs_services(answer) {
            let (services, lease) = self.visible_services(route, client).await?;
            around.services = Some(Arc::new(services));
            memory.push(lease);
        }
        let limit = if answer == ObjectAnswer::Containers { take_limit(&mut route.query) } else { None };
        let view = ObjectView::new(visibility.clone(), answer, around, limit);
        Ok(Some(LeasedView { view, _memory: Arc::new(memory) }))
    }

    /// The containers that the client sees, of those whose ids begin like this.
    async fn visible_containers(
        &self,
        route: &Route,
        prefix: Option<&str>,
        client: &str,
    ) -> Result<(VisibleContainers, MemoryLease), Error> {
        let mut query = Query::default();
        query.set("all", "1");
        if let Some(prefix) = prefix {
            query.set("filters", &serde_json::json!({ "id": [prefix] }).to_string());
        }
        let visibility = self.policy.visibility().clone();
        let add = move |found: &mut VisibleContainers, element: &[u8]| {
            found.add(&visibility, element);
            found.size()
        };
        self.each_of("ContainerList", route, query, client, (VisibleContainers::default(), add)).await
    }

    /// The ids of the services that the client sees. None if the engine is in no swarm.
    async fn visible_services(&self, route: &Route, client: &str) -> Result<(HashSet<String>, MemoryLease), Error> {
        let visibility = self.policy.visibility().clone();
        let add = move |(found, size): &mut (HashSet<String>, usize), element: &[u8]| {
            let service = read_object(ObjectKind::Service, element);
            let is_visible = |service: &SeenObject| visibility.shows(ObjectKind::Service, &service.facts, false);
            if let Some(service) = service.filter(is_visible) {
                *size += service.id.len();
                found.insert(service.id);
            }
            *size
        };
        match self.each_of("ServiceList", route, Query::default(), client, (Default::default(), add)).await {
            Err(Error::Engine { status: 503, .. }) => Ok((HashSet::new(), self.memory.lease())),
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
            let needed = reading.memory.enough(held, 2 * held) + reading.kept;
            reading.memory.grow(held + reading.kept, needed).await?;
            let is_long = work::is_long(reading.elements.due(&chunk), false);
            let push = move || reading.push(&chunk);
            reading = if is_long { work::on_helper(client, push).await } else { push() }?;
        }
        let is_long = work::is_long(reading.elements.held(), false);
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
        let operation = operation(id).ok_or(Error::Unroutable)?;
        let (version, name) = (route.version, name.to_owned());
        let inspection = Route { operation, version, name, second_name: String::new(), query: Query::default() };
        let mut memory = self.memory.admit().await?;
        let Some(body) = self.ask(&inspection).await? else { return Ok(None) };
        let document = match collect(body, self.element_limit, |length| 2 * length, &mut memory).await {
            Err(Error::TooLong { .. }) => return Ok(None),
            document => document?,
        };
        let is_long = work::is_long(document.len(), false);
        // The lease goes along, because the work goes on if nobody waits for it any more.
        let read = move || {
            let found = read(&document);
            drop((document, memory));
            found
        };
        Ok(if is_long { work::on_helper(client, read).await } else { read() })
    }

    /// Sends a request of our own. `None` if the answer is an error about the object.
    ///
    /// # Errors
    /// [`Error::Engine`] if the engine itself is at fault, or in no swarm.
    async fn ask(&self, route: &Route) -> Result<Option<UpstreamBody>, Error> {
        let mut request = Request::new(Either::Left(Empty::new()));
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.target(route).await?.parse().map_err(|_| Error::Unroutable)?;
        let mut response = self.upstream.send(request).await?;
        // An engine outside a swarm says so whatever the name is.
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            response = self.check_status(route, response).await?;
        }
        if !response.status().is_success() || !headers::is_plain_json(response.headers()) {
            let _ = response.into_body().discard(DRAIN_LIMIT).await;
            return Ok(None);
        }
        Ok(Some(response.into_body()))
    }
}

/// Reads an object of a kind, if it is called like this.
fn of_name(
    kind: ObjectKind,
    name: &str,
    lookup: Option<&Lookup>,
) -> impl FnOnce(&[u8]) -> Option<SeenObject> + Send + 'static {
    let lookup = lookup.map(|lookup| (lookup.clone(), name.to_owned()));
    move |document| {
        let is_named = lookup.is_none_or(|(lookup, name)| named_in(document, &name, &lookup).is_some());
        read_object(kind, document).filter(|_| is_named)
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

/// How much may be kept of all containers or services, in bytes: that of some ten thousand.
const KEPT_LIMIT: usize = 8 << 20;

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
