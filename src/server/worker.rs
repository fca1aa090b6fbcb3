//! A worker: it accepts connections up to the limit until it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::connection;
use super::listen::{Acceptor, ListenerHandle};
use super::request_reader::ClientTimeouts;
use crate::api::ApiVersion;
use crate::proxy::{Downstream, Proxy};
use crate::socket::Socket;
use crate::upstream::{Engine, Upstream};

/// How long to wait after a connection could not be accepted.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// How often to look whether all connections have closed. The notification may go to another worker.
const CLOSED_INTERVAL: Duration = Duration::from_millis(50);

/// The state that all workers share.
#[derive(Debug)]
pub(super) struct ServerState {
    /// How many connections may be open.
    limit: usize,
    open: AtomicUsize,
    /// Notified when a connection closes.
    closed: Notify,
    head_limit: usize,
    timeouts: ClientTimeouts,
    engine: Arc<Engine>,
}

impl ServerState {
    /// No connections are open, `limit` may be. `head_limit` is the longest head of a request, in bytes.
    pub(super) fn new(limit: usize, head_limit: usize, timeouts: ClientTimeouts, engine: Engine) -> Self {
        let (open, closed) = (AtomicUsize::new(0), Notify::new());
        Self { limit, open, closed, head_limit, timeouts, engine: Arc::new(engine) }
    }

    /// The longest head of a request, in bytes.
    pub(super) fn head_limit(&self) -> usize {
        self.head_limit
    }

    /// How long to wait for a client.
    pub(super) fn timeouts(&self) -> ClientTimeouts {
        self.timeouts
    }

    /// The engine.
    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }
}

/// The right to hold a connection open: one of as many as the limit allows.
pub(super) struct ConnectionPermit(Arc<ServerState>);

impl ConnectionPermit {
    /// Takes one; `None` if there is none left.
    fn take(state: &Arc<ServerState>) -> Option<Self> {
        // The permit exists before the check: dropping it gives the number back.
        let permit = Self(state.clone());
        (state.open.fetch_add(1, Ordering::Relaxed) < state.limit).then_some(permit)
    }

    /// The state that all workers share.
    pub(super) fn state(&self) -> &Arc<ServerState> {
        &self.0
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.closed.notify_one();
    }
}

/// One of the threads that serve.
pub(super) struct Worker {
    /// Its number, from 0.
    pub(super) number: usize,
    /// The state that all workers share.
    pub(super) state: Arc<ServerState>,
    /// Becomes `true` when the server stops.
    pub(super) stopping: watch::Receiver<bool>,
    /// Its connections to the engine.
    pub(super) upstream: Upstream,
    /// How long exchanges may take to finish when the server stops.
    pub(super) shutdown_timeout: Duration,
}

impl Worker {
    /// Serves the clients of these listeners until the server stops.
    pub(super) async fn serve(self, listeners: Vec<(ListenerHandle, Arc<Proxy>)>) {
        for (listener, proxy) in listeners {
            match listener.into_acceptor() {
                Ok(acceptor) => {
                    drop(tokio::spawn(accept(acceptor, proxy, self.state.clone(), self.stopping.clone())));
                }
                Err(error) => tracing::error!(%error, "a worker cannot listen"),
            }
        }
        if self.number == 0 {
            tokio::spawn(report_engine(self.upstream.clone()));
        }
        let mut stopping = self.stopping.clone();
        let _ = stopping.wait_for(|stopping| *stopping).await;
        let all_closed = async {
            while self.state.open.load(Ordering::Relaxed) > 0 {
                let _ = tokio::time::timeout(CLOSED_INTERVAL, self.state.closed.notified()).await;
            }
        };
        let _ = tokio::time::timeout(self.shutdown_timeout, all_closed).await;
    }
}

/// Logs the API version of the engine, once at start.
async fn report_engine(upstream: Upstream) {
    let address = upstream.engine().address().to_string();
    match upstream.version().await {
        Ok(version) if version > ApiVersion::NEWEST => tracing::warn!(
            engine = address,
            api = %version,
            "the engine is newer than API {}, the newest this program knows; new fields stay hidden",
            ApiVersion::NEWEST,
        ),
        Ok(version) => tracing::info!(engine = address, api = %version, "engine reached"),
        Err(error) => {
            tracing::warn!(engine = address, "engine unreachable ({error}); answering 503 until it is back");
        }
    }
}

/// Accepts connections until the server stops.
async fn accept(acceptor: Acceptor, proxy: Arc<Proxy>, state: Arc<ServerState>, mut stopping: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok(socket) => match ConnectionPermit::take(&state) {
                Some(permit) => drop(tokio::spawn(connection::serve(socket, proxy.clone(), permit, stopping.clone()))),
                None => drop(tokio::spawn(turn_away(socket, state.engine.version()))),
            },
            Err(error) => {
                // Most likely there is no descriptor left: connections must close first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Answers a client that is over the limit.
async fn turn_away(socket: Socket, engine: Option<ApiVersion>) {
    tracing::warn!("too many connections");
    Downstream::new(Arc::new(socket), Vec::new()).refuse(503, "too many connections", engine).await;
}
