//! Names that an object keeps, and that another one may have got since.
//!
//! A service names its volumes, and a container that has never been started names its networks. Both are looked up when a task or
//! the container starts. Meanwhile somebody may remove what had the name, and make one that the client may not see. So where some
//! are hidden, what starts something passes only if each is visible, or in use under this name by now: nobody can remove that.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::body_names::BUILT_IN_MODES;
use super::exchange::ClientRequest;
use super::memory::MemoryLease;
use super::named::is_absent;
use super::objects::Search;
use super::{Error, Proxy};
use crate::api::bodies::BodyFault;
use crate::api::objects::ObjectKind;
use crate::api::{Operation, is_reference};
use crate::filter::fold;
use crate::members::{UnexpectedShape, text, try_each_element, try_each_member, value_at};
use crate::policy::Denial;
use crate::route::{Query, Route};

/// How many names are looked up.
const LIMIT: usize = 200;

/// The volumes that an edit of a service can start tasks with.
struct ServiceVolumes {
    /// Its whole id.
    id: String,
    /// Those of its specification, and of the one before.
    now: BTreeSet<String>,
    before: BTreeSet<String>,
}

impl ServiceVolumes {
    /// What the document of a service says.
    fn read(service: &str) -> Result<Self, UnexpectedShape> {
        let id = text_at(service, &["ID"])?.ok_or(UnexpectedShape)?.into_owned();
        let spec = value_at(service, &["Spec"])?.ok_or(UnexpectedShape)?;
        let before = value_at(service, &["PreviousSpec"])?.map_or_else(|| Ok(BTreeSet::new()), volumes_of)?;
        Ok(Self { id, now: volumes_of(spec)?, before })
    }
}

/// What a client has written of a service.
#[derive(Default)]
struct WrittenService {
    volumes: BTreeSet<String>,
    /// Whether the engine goes back by itself to what the service was if its tasks fail.
    goes_back: bool,
}

impl WrittenService {
    /// What a specification says.
    fn read(spec: &str) -> Result<Self, UnexpectedShape> {
        let is_at_rest = value_at(spec, &["Mode", "Replicated", "Replicas"])? == Some("0");
        let volumes = if is_at_rest { BTreeSet::new() } else { volumes_of(spec)? };
        let action = text_at(spec, &["UpdateConfig", "FailureAction"])?;
        Ok(Self { volumes, goes_back: action.is_some_and(|action| action == "rollback") })
    }
}

/// The text inside a document.
fn text_at<'d>(document: &'d str, path: &[&str]) -> Result<Option<Cow<'d, str>>, UnexpectedShape> {
    value_at(document, path)?.map(|value| text(value).ok_or(UnexpectedShape)).transpose()
}

/// The names of the volumes of the tasks of a specification.
fn volumes_of(spec: &str) -> Result<BTreeSet<String>, UnexpectedShape> {
    value_at(spec, &["TaskTemplate"])?.map_or_else(|| Ok(BTreeSet::new()), volumes_of_task)
}

/// The names of the volumes of a task.
fn volumes_of_task(task: &str) -> Result<BTreeSet<String>, UnexpectedShape> {
    let mut found = BTreeSet::new();
    if let Some(mounts) = value_at(task, &["ContainerSpec", "Mounts"])? {
        try_each_element(mounts, |mount| {
            let is_volume = text_at(mount, &["Type"])?.is_some_and(|kind| fold(&kind) == "volume");
            let name = text_at(mount, &["Source"])?.filter(|name| is_volume && !name.is_empty());
            found.extend(name.map(Cow::into_owned));
            Ok(())
        })?;
    }
    Ok(found)
}

/// The names of the volumes of a task of a service that has a container by now. One that has ended may be removed at any time.
fn volumes_in_use(task: &str, service: &str) -> Result<BTreeSet<String>, UnexpectedShape> {
    let is_of_service = text_at(task, &["ServiceID"])?.is_some_and(|id| id == service);
    let state = text_at(task, &["Status", "State"])?;
    if !is_of_service || !matches!(state.as_deref(), Some("ready" | "starting" | "running")) {
        return Ok(BTreeSet::new());
    }
    value_at(task, &["Spec"])?.map_or_else(|| Ok(BTreeSet::new()), volumes_of_task)
}

/// The networks of which a container has only the names. Of one that it has been in, it has the id, and starts in no other.
fn networks_by_name(container: &str) -> Result<Vec<String>, UnexpectedShape> {
    let mut found = Vec::new();
    if let Some(networks) = value_at(container, &["NetworkSettings", "Networks"])? {
        try_each_member(networks, |name, used| {
            let id = if used == "null" { None } else { text_at(used, &["NetworkID"])? };
            if id.is_none_or(|id| id.is_empty()) && !BUILT_IN_MODES.contains(&name) {
                found.push(name.to_owned());
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// What `read` finds in a document.
fn reading<T: 'static>(
    read: fn(&str) -> Result<T, UnexpectedShape>,
) -> impl FnOnce(&[u8]) -> Option<T> + Send + 'static {
    move |document| str::from_utf8(document).ok().and_then(|text| read(text).ok())
}

impl Proxy {
    /// Whether a request can start something with a hidden object that has got its name since.
    pub(super) fn may_reuse_names(&self, operation: &Operation) -> bool {
        let restricts = |kind| self.policy.visibility().restricts(kind);
        match operation.id {
            "ServiceUpdate" => restricts(ObjectKind::Volume),
            "ContainerStart" | "ContainerRestart" => restricts(ObjectKind::Network),
            _ => false,
        }
    }

    /// Checks that a request starts nothing with a hidden object that has got its name since.
    ///
    /// # Errors
    /// [`Error::Denied`] if it could; any error of the connection to the engine.
    pub(super) async fn check_reused_names(
        &self,
        route: &Route,
        request: &ClientRequest,
        client: &str,
    ) -> Result<(), Error> {
        if !self.may_reuse_names(route.operation) {
            return Ok(());
        }
        let search = Search::new(route, client);
        let tick = self.start_tick().await;
        let checked = match route.operation.id {
            "ServiceUpdate" => self.check_volumes(search, request).await,
            _ => self.check_networks(search).await,
        };
        if let Some(tick) = tick
            && checked.is_err()
        {
            // How long the engine takes tells a hidden object from none.
            self.wait_for_tick(tick).await;
        }
        checked
    }

    /// Checks the networks of a container that starts.
    async fn check_networks(&self, search: Search<'_>) -> Result<(), Error> {
        let Search { route, client, .. } = search;
        let read = reading(networks_by_name);
        let networks = self.read(route, "ContainerInspect", &route.name, client, read).await?;
        let networks = networks.ok_or_else(|| self.absent(route.operation))?;
        if networks.len() > LIMIT {
            return Err(self.reused(route, ObjectKind::Network));
        }
        for name in networks {
            // What the client named when it made the container was hidden, or absent. The engine says so itself, and removes a
            // container that it is to remove when it ends: who waits for that would wait for ever.
            if is_absent(&name) {
                let read = reading(|_| Ok(Vec::<String>::new()));
                if self.read(route, "NetworkInspect", &name, client, read).await?.is_none() {
                    continue;
                }
            }
            if !is_reference(&name) || self.object(search, ObjectKind::Network, &name).await?.is_none() {
                return Err(self.reused(route, ObjectKind::Network));
            }
        }
        Ok(())
    }

    fn reused(&self, route: &Route, kind: ObjectKind) -> Error {
        Error::Denied(self.policy.refusal(route, Denial::Reused(kind)))
    }

    /// Checks the volumes of the tasks that an edit of a service can start.
    async fn check_volumes(&self, search: Search<'_>, request: &ClientRequest) -> Result<(), Error> {
        let written = match request.restored.as_deref() {
            None => WrittenService::default(),
            Some(body) => reading(WrittenService::read)(body)
                .ok_or_else(|| self.body_error(search.route.operation, BodyFault::Unread))?,
        };
        // Old engines do not read the parameter, and take the body.
        let is_rollback = search.route.query.get("rollback").is_some_and(|to| !to.is_empty());
        let WrittenService { volumes: mut names, goes_back } = written;
        if names.is_empty() && !is_rollback && !goes_back {
            return Ok(());
        }
        let read = reading(ServiceVolumes::read);
        let service = self.read(search.route, "ServiceInspect", &search.route.name, search.client, read).await?;
        let service = service.ok_or_else(|| self.absent(search.route.operation))?;
        if goes_back {
            names.extend(service.now);
        }
        if is_rollback {
            names.extend(service.before);
        }
        if names.is_empty() {
            return Ok(());
        }
        if names.len() > LIMIT {
            return Err(self.body_error(search.route.operation, BodyFault::TooMany));
        }
        let (names, _memory) = self.not_mounted(search, service.id, names).await?;
        for name in names {
            if self.volume_in_body(search, &name).await?.is_none() {
                return Err(self.reused(search.route, ObjectKind::Volume));
            }
        }
        Ok(())
    }

    /// Those of these volumes that no running task of a service mounts.
    async fn not_mounted(
        &self,
        search: Search<'_>,
        service: String,
        names: BTreeSet<String>,
    ) -> Result<(BTreeSet<String>, MemoryLease), Error> {
        let mut query = Query::default();
        let filters = serde_json::json!({"service": [service]});
        query.set("filters", &filters.to_string());
        let add = move |left: &mut BTreeSet<String>, element: &[u8]| {
            let task = str::from_utf8(element).ok();
            for name in task.and_then(|task| volumes_in_use(task, &service).ok()).into_iter().flatten() {
                left.remove(&name);
            }
            left.iter().map(String::len).sum()
        };
        self.each_of("TaskList", search.route, query, search.client, (names, add)).await
    }
}
