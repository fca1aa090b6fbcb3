//! Names that an object keeps, and that another one may have got since.
//!
//! A service names its volumes, and a container that has never been started names its networks. Both are looked up when a task or
//! the container starts. Meanwhile somebody may remove what had the name, and make one that the client may not see. So where some
//! are hidden, what starts something passes only if each is visible, or in use under this name by now: nobody can remove that.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::body_names::BUILT_IN_MODES;
use super::exchange::ClientRequest;
use super::memory::MemoryLease;
use super::objects::Search;
use super::{Error, Proxy};
use crate::api::bodies::BodyFault;
use crate::api::objects::ObjectKind;
use crate::api::{Operation, is_reference};
use crate::filter::fold;
use crate::policy::Denial;
use crate::route::{Query, Route};

/// How many names are looked up.
const LIMIT: usize = 200;

/// A service.
#[derive(Deserialize)]
struct EditedService {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Spec")]
    spec: WantedService,
    #[serde(rename = "PreviousSpec")]
    previous: Option<WantedService>,
}

/// What a service is to be.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WantedService {
    task_template: Option<WantedTask>,
    mode: Option<WantedMode>,
    update_config: Option<WantedUpdate>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WantedTask {
    container_spec: Option<WantedContainer>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WantedContainer {
    mounts: Option<Vec<NamedMount>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NamedMount {
    r#type: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WantedMode {
    replicated: Option<WantedReplicas>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WantedReplicas {
    replicas: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WantedUpdate {
    failure_action: Option<String>,
}

/// A task.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RunningTask {
    #[serde(rename = "ServiceID")]
    service: Option<String>,
    status: Option<StatusOfTask>,
    spec: Option<WantedTask>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StatusOfTask {
    state: Option<String>,
}

/// A container that is to be started.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartedContainer {
    network_settings: Option<StartedNetworks>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartedNetworks {
    networks: Option<BTreeMap<String, Option<StartedEndpoint>>>,
}

#[derive(Deserialize)]
struct StartedEndpoint {
    #[serde(rename = "NetworkID")]
    network: Option<String>,
}

impl StartedContainer {
    /// The networks of which it has only the names. Of one that it has been in, Docker has the id, and starts it in no other. Podman has
    /// the name there, and keeps a network as long as a container has it.
    fn networks_by_name(self) -> impl Iterator<Item = String> {
        let networks = self.network_settings.unwrap_or_default().networks.unwrap_or_default();
        let has_id = |used: &StartedEndpoint| used.network.as_ref().is_some_and(|id| !id.is_empty());
        let by_name = networks.into_iter().filter(move |(_, used)| !used.as_ref().is_some_and(has_id));
        by_name.map(|(name, _)| name).filter(|name| !BUILT_IN_MODES.contains(&name.as_str()))
    }
}

impl RunningTask {
    /// Whether it is of this service and has a container by now. One that has ended may be removed at any time.
    fn runs_for(&self, service: &str) -> bool {
        let state = self.status.as_ref().and_then(|status| status.state.as_deref());
        self.service.as_deref() == Some(service) && matches!(state, Some("ready" | "starting" | "running"))
    }
}

impl WantedTask {
    /// The names of its volumes.
    fn volumes(self) -> impl Iterator<Item = String> {
        let mounts = self.container_spec.and_then(|container| container.mounts).unwrap_or_default();
        let is_volume = |mount: &NamedMount| mount.r#type.as_deref().is_some_and(|one| fold(one) == "volume");
        let names = mounts.into_iter().filter(is_volume).filter_map(|mount| mount.source);
        names.filter(|name| !name.is_empty())
    }
}

impl WantedService {
    /// Whether it has no tasks.
    fn is_at_rest(&self) -> bool {
        let replicated = self.mode.as_ref().and_then(|mode| mode.replicated.as_ref());
        replicated.is_some_and(|replicated| replicated.replicas == Some(0))
    }

    /// Whether the engine goes back by itself to what the service was if its tasks fail.
    fn goes_back(&self) -> bool {
        let action = self.update_config.as_ref().and_then(|update| update.failure_action.as_deref());
        action == Some("rollback")
    }

    /// The names of the volumes of its tasks.
    fn volumes(self) -> impl Iterator<Item = String> {
        self.task_template.unwrap_or_default().volumes()
    }
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
        let read = |document: &[u8]| serde_json::from_slice::<StartedContainer>(document).ok();
        let container = self.read(route, "ContainerInspect", &route.name, client, read).await?;
        let container = container.ok_or_else(|| self.absent(route.operation))?;
        let networks: Vec<String> = container.networks_by_name().take(LIMIT + 1).collect();
        if networks.len() > LIMIT {
            return Err(self.reused(route, ObjectKind::Network));
        }
        for name in networks {
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
            None => WantedService::default(),
            Some(body) => {
                serde_json::from_slice(body).map_err(|_| self.body_error(search.route.operation, BodyFault::Unread))?
            }
        };
        // Old engines do not read the parameter, and take the body.
        let is_rollback = search.route.query.get("rollback").is_some_and(|to| !to.is_empty());
        let goes_back = written.goes_back();
        let mut names = BTreeSet::new();
        if !written.is_at_rest() {
            names.extend(written.volumes());
        }
        if names.is_empty() && !is_rollback && !goes_back {
            return Ok(());
        }
        let read = |document: &[u8]| serde_json::from_slice::<EditedService>(document).ok();
        let service = self.read(search.route, "ServiceInspect", &search.route.name, search.client, read).await?;
        let service = service.ok_or_else(|| self.absent(search.route.operation))?;
        if goes_back {
            names.extend(service.spec.volumes());
        }
        if let Some(previous) = service.previous.filter(|_| is_rollback) {
            names.extend(previous.volumes());
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
            let task = serde_json::from_slice::<RunningTask>(element).ok().filter(|task| task.runs_for(&service));
            for name in task.and_then(|task| task.spec).into_iter().flat_map(WantedTask::volumes) {
                left.remove(&name);
            }
            left.iter().map(String::len).sum()
        };
        self.each_of("TaskList", search.route, query, search.client, (names, add)).await
    }
}
