//! A worker: it accepts connections for all workers, and serves those that are assigned to it, until it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::client_slots::ClientSlots;
use super::clients::ListenerProxies;
use super::connection::{self, ConnectionSettings};
use super::listen::{Acceptor, ListenerHandle};
use super::slots::{ConnectionSlot, Slots};
use crate::api::ApiVersion;
use crate::socket::AcceptedSocket;
use crate::upstream::Upstream;

/// How long to wait after a connection could not be accepted.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// A connection for a worker.
#[derive(Debug)]
pub(super) struct AssignedConnection {
    socket: AcceptedSocket,
    slot: ConnectionSlot,
    /// The number of its listener.
    listener: usize,
}

/// Gives each connection to the worker that has the fewest.
#[derive(Debug)]
pub(super) struct Dispatcher {
    slots: Arc<Slots>,
    workers: Vec<WorkerQueue>,
}

/// The way to a worker.
#[derive(Debug)]
struct WorkerQueue {
    /// How many connections it has.
    open: Arc<AtomicUsize>,
    sender: mpsc::UnboundedSender<AssignedConnection>,
}

impl Dispatcher {
    /// For `count` workers; returns what each of them receives, too.
    pub(super) fn new(slots: Arc<Slots>, count: usize) -> (Self, Vec<mpsc::UnboundedReceiver<AssignedConnection>>) {
        let (workers, receivers) = (0..count)
            .map(|_| {
                let (sender, receiver) = mpsc::unbounded_channel();
                (WorkerQueue { open: Arc::default(), sender }, receiver)
            })
            .unzip();
        (Self { slots, workers }, receivers)
    }

    /// Gives away a connection of the listener with this number. Worker `accepting` keeps it if no other has fewer.
    ///
    /// # Errors
    /// Returns the connection if there is no room for it. [`Dispatcher::room`] waits for it.
    pub(super) fn assign(
        &self,
        socket: AcceptedSocket,
        listener: usize,
        accepting: usize,
    ) -> Result<(), AcceptedSocket> {
        let open =
            |(number, worker): &(usize, &WorkerQueue)| (worker.open.load(Ordering::Relaxed), *number != accepting);
        let Some((_, worker)) = self.workers.iter().enumerate().min_by_key(open) else { return Err(socket) };
        let Some(slot) = self.slots.enter(listener, &worker.open) else { return Err(socket) };
        // A worker that is gone closes it.
        let _ = worker.sender.send(AssignedConnection { socket, slot, listener });
        Ok(())
    }

    /// Waits until there is room for a connection. Cancel safety: nothing is lost.
    async fn room(&self) {
        self.slots.room().await;
    }
}

/// One of the threads that serve.
pub(super) struct Worker {
    /// Its number, from 0.
    pub(super) number: usize,
    /// The connections of all workers.
    pub(super) slots: Arc<Slots>,
    /// What listed clients have, in all workers.
    pub(super) client_slots: Arc<ClientSlots>,
    /// What holds for each connection.
    pub(super) settings: Arc<ConnectionSettings>,
    /// Its connections.
    pub(super) assigned: mpsc::UnboundedReceiver<AssignedConnection>,
    /// Becomes `true` when the server stops.
    pub(super) stopping: watch::Receiver<bool>,
    /// Its connections to the engine of each listener.
    pub(super) upstreams: Vec<Upstream>,
    /// How long exchanges may take to finish when the server stops.
    pub(super) shutdown_timeout: Duration,
}

impl Worker {
    /// Serves clients until the server stops. The listeners and their proxies are in the order of the configuration.
    pub(super) async fn serve(
        self,
        dispatcher: Arc<Dispatcher>,
        listeners: Vec<(ListenerHandle, Arc<ListenerProxies>)>,
    ) {
        let mut proxies = Vec::with_capacity(listeners.len());
        for (number, (listener, proxy)) in listeners.into_iter().enumerate() {
            proxies.push(proxy);
            match listener.into_acceptor() {
                Ok(acceptor) => {
                    let at = AcceptingAt { worker: self.number, listener: number };
                    tokio::spawn(accept(acceptor, dispatcher.clone(), at, self.stopping.clone()));
                }
                Err(error) => tracing::error!(%error, "a worker cannot listen"),
            }
        }
        // When nobody accepts any more, nothing more is assigned.
        drop(dispatcher);
        if self.number == 0 {
            report_engines(&self.upstreams);
        }
        tokio::spawn(serve_assigned(self.assigned, proxies, self.settings, self.stopping.clone()));
        let mut stopping = self.stopping;
        let _ = stopping.wait_for(|stopping| *stopping).await;
        let _ = tokio::time::timeout(self.shutdown_timeout, self.slots.all_closed()).await;
    }
}

/// Serves each connection that is assigned, in a task of its own.
async fn serve_assigned(
    mut assigned: mpsc::UnboundedReceiver<AssignedConnection>,
    proxies: Vec<Arc<ListenerProxies>>,
    settings: Arc<ConnectionSettings>,
    stopping: watch::Receiver<bool>,
) {
    while let Some(AssignedConnection { socket, slot, listener }) = assigned.recv().await {
        let Some(proxy) = proxies.get(listener).cloned() else { continue };
        tokio::spawn(connection::serve(socket, proxy, slot, settings.clone(), stopping.clone()));
    }
}

/// Reports each engine once.
fn report_engines(upstreams: &[Upstream]) {
    for (number, upstream) in upstreams.iter().enumerate() {
        let is_known = |known: &Upstream| Arc::ptr_eq(known.engine(), upstream.engine());
        if !upstreams.iter().take(number).any(is_known) {
            tokio::spawn(report_engine(upstream.clone()));
        }
    }
}

/// Logs the API version of an engine, once at start.
async fn report_engine(upstream: Upstream) {
    let address = upstream.engine().address().to_string();
    match upstream.version().await {
        Ok(version) if version > ApiVersion::NEWEST => tracing::warn!(
            engine = address,
            api = %version,
            "the engine is newer than API {}, the newest this program knows: clients are told {}",
            ApiVersion::NEWEST,
            upstream.engine().api().max(),
        ),
        Ok(version) => tracing::info!(engine = address, api = %version, "engine reached"),
        Err(error) => {
            tracing::warn!(engine = address, "engine unreachable ({error}); answering 503 until it is back");
        }
    }
}

/// Who accepts, and where.
#[derive(Clone, Copy)]
struct AcceptingAt {
    worker: usize,
    listener: usize,
}

/// Accepts connections until the server stops.
async fn accept(acceptor: Acceptor, dispatcher: Arc<Dispatcher>, at: AcceptingAt, mut stopping: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            // In this order: a listener that has been shut down is always ready, and keeps the task busy.
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return,
            accepted = acceptor.accept() => accepted,
        };
        match accepted {
            Ok(mut socket) => {
                // Until there is room, further connections wait in the queue of the listener.
                while let Err(returned) = dispatcher.assign(socket, at.listener, at.worker) {
                    socket = returned;
                    tokio::select! {
                        _ = stopping.wait_for(|stopping| *stopping) => return,
                        () = dispatcher.room() => {}
                    }
                }
            }
            // The listener is closed when the server stops.
            Err(_) if *stopping.borrow() => return,
            Err(error) => {
                // Most likely there is no descriptor left: connections must close first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}
