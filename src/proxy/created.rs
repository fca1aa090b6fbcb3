//! Containers that are made with volumes, for a profile that shows only some of these.
//!
//! A volume goes up by its name. After it was looked up, somebody may remove it and make another one of that name, which the client
//! may not see. What a container has been made with, nobody can remove any more. So the volumes are looked up once more before the
//! client gets its answer, and a container with one that is hidden is removed.

use std::collections::BTreeSet;
use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;

use hyper::{Method, StatusCode};

use super::body::collect;
use super::exchange::{ClientRequest, DRAIN_LIMIT};
use super::memory::MemoryLease;
use super::named::is_name;
use super::objects::Search;
use super::seen::DocumentFilter;
use super::{Error, Proxy, headers};
use crate::api::bodies::BodyFault;
use crate::api::objects::ObjectKind;
use crate::api::operation;
use crate::members::{member, text};
use crate::route::{Query, Route};
use crate::stream::fields::HeaderFields;
use crate::upstream::{self, EngineAnswer, UpstreamRequest};

/// What the engine answers that has made a container.
pub(super) struct MadeContainer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderFields,
    pub(super) document: Vec<u8>,
    pub(super) memory: MemoryLease,
}

impl Proxy {
    /// Has the engine make a container. It stays only if the client sees the volumes that the request names.
    ///
    /// Cancel safety: when dropped, the work goes on. A client that leaves keeps no such container.
    pub(super) async fn make(
        &self,
        route: &Route,
        request: ClientRequest,
        filter: &DocumentFilter,
        memory: MemoryLease,
        client: Arc<str>,
    ) -> Result<MadeContainer, Error> {
        let (proxy, route, filter) = (self.clone(), route.clone(), filter.clone());
        let work = async move {
            let made = proxy.make_to_the_end(&route, request, &filter, memory, &client);
            upstream::measured(made).await
        };
        match tokio::spawn(work).await {
            Ok((made, waited)) => {
                upstream::also_waited(waited);
                made
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The program ends.
                Err(_) => pending().await,
            },
        }
    }

    async fn make_to_the_end(
        &self,
        route: &Route,
        mut request: ClientRequest,
        filter: &DocumentFilter,
        mut memory: MemoryLease,
        client: &str,
    ) -> Result<MadeContainer, Error> {
        let volumes = std::mem::take(&mut request.volumes);
        let EngineAnswer { status, headers, body } = self.send(route, request).await?;
        if !headers::is_plain_json(&headers) {
            return Err(Error::NotJson);
        }
        let document = collect(body, self.element_limit, |length| filter.memory(length), &mut memory).await?;
        let id = id_in(&document).ok_or(Error::NotJson)?;
        if let Err(error) = self.check_mounted(route, &id, volumes, client).await {
            self.remove_container(route, id).await;
            return Err(error);
        }
        Ok(MadeContainer { status, headers, document, memory })
    }

    /// Checks that the client sees these volumes, which a container has been made with. Its own use of them makes none visible.
    async fn check_mounted(
        &self,
        route: &Route,
        id: &str,
        volumes: BTreeSet<String>,
        client: &str,
    ) -> Result<(), Error> {
        let search = Search::new(route, client).besides(id);
        for name in volumes {
            if self.volume_in_body(search, &name).await?.is_none() {
                return Err(self.body_error(route.operation, BodyFault::NotShown(ObjectKind::Volume)));
            }
        }
        Ok(())
    }

    /// Removes a container that was made a moment ago, and none of its volumes.
    async fn remove_container(&self, route: &Route, id: String) {
        let Some(operation) = operation("ContainerDelete") else { return };
        let mut query = Query::default();
        query.set("force", "1");
        query.set("v", "0");
        let deletion = Route { operation, version: route.version, name: id, second_name: String::new(), query };
        let removed = async {
            let target = self.target(&deletion).await?;
            let request = UpstreamRequest { method: Method::DELETE, ..UpstreamRequest::get(target) };
            let answer = self.upstream.send(request).await?;
            let is_removed = answer.status.is_success();
            let _ = answer.body.discard(DRAIN_LIMIT).await;
            Ok::<bool, Error>(is_removed)
        };
        if matches!(removed.await, Ok(true)) {
            tracing::warn!("removed a container that was made with a volume that its client does not see");
        } else {
            tracing::error!("cannot remove a container that was made with a volume that its client does not see");
        }
    }
}

/// The id of a container in the answer of the engine that has made it.
fn id_in(document: &[u8]) -> Option<String> {
    let id = member(str::from_utf8(document).ok()?, "Id").ok().flatten().and_then(text)?;
    is_name(&id).then(|| id.into_owned())
}
