//! A worker: it accepts connections for all workers, and serves those that are assigned to it, until it is stopped.
//!
//! A listener is known by its [`ListenerEntry`]. It says what each worker serves there now: a reload replaces that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::clients::ListenerProxies;
use super::connection;
use super::listen::{Acceptor, ListenerHandle};
use super::slots::{ConnectionOrigin, ConnectionSlot, Slots};
use crate::api::ApiVersion;
use crate::socket::AcceptedSocket;
use crate::upstream::{Upstream, UpstreamError};

/// A connection for a worker.
#[derive(Debug)]
pub(super) struct AssignedConnection {
    socket: AcceptedSocket,
    slot: ConnectionSlot,
    /// What is served at its listener.
    served: Served,
}

/// What a worker serves at a listener, now and after a reload.
#[derive(Clone, Debug)]
pub(super) struct Served {
    /// The proxies that requests go through.
    pub(super) proxies: watch::Receiver<Arc<ListenerProxies>>,
    /// Becomes `true` when the listener is closed: because the server stops, or because a reload has removed it.
    pub(super) closing: watch::Receiver<bool>,
}

/// A listener, for all workers.
#[derive(Debug)]
pub(super) struct ListenerEntry {
    /// The number of its slots.
    number: usize,
    /// What each worker serves there.
    workers: Vec<watch::Sender<Arc<ListenerProxies>>>,
    closing: watch::Sender<bool>,
}

impl ListenerEntry {
    /// A listener with this number, and what each worker serves there.
    pub(super) fn new(number: usize, proxies: Vec<Arc<ListenerProxies>>) -> Self {
        let workers = proxies.into_iter().map(watch::Sender::new).collect();
        Self { number, workers, closing: watch::Sender::new(false) }
    }

    /// The number of its slots.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Replaces what each worker serves there. The next request of each connection goes through it.
    pub(super) fn replace(&self, proxies: Vec<Arc<ListenerProxies>>) {
        for (worker, proxies) in self.workers.iter().zip(proxies) {
            worker.send_replace(proxies);
        }
    }

    /// Tells everybody that the listener closes.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// What a worker serves there.
    fn served(&self, worker: usize) -> Option<Served> {
        let proxies = self.workers.get(worker)?.subscribe();
        Some(Served { proxies, closing: self.closing.subscribe() })
    }
}

/// How far the server has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StopPhase {
    /// It has not.
    Serving,
    /// Exchanges may finish.
    Stopping,
    /// Nothing is waited for.
    AtOnce,
}

/// What a worker is told.
#[derive(Debug)]
pub(super) enum WorkerCommand {
    /// To accept connections of a listener.
    Accept(ListenerHandle, Arc<ListenerEntry>),
    /// To report an engine that it has not reported.
    Report(Box<Upstream>),
    /// To answer that it is there.
    Answer(oneshot::Sender<()>),
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

    /// Gives away a connection of a listener. Worker `accepting` keeps it if no other has fewer.
    ///
    /// # Errors
    /// Returns the connection if there is no room for it. [`Dispatcher::room`] waits for it.
    pub(super) fn assign(
        &self,
        socket: AcceptedSocket,
        listener: &ListenerEntry,
        accepting: usize,
    ) -> Result<(), AcceptedSocket> {
        let open =
            |(number, worker): &(usize, &WorkerQueue)| (worker.open.load(Ordering::Relaxed), *number != accepting);
        let Some((number, worker)) = self.workers.iter().enumerate().min_by_key(open) else { return Err(socket) };
        let Some(served) = listener.served(number) else { return Err(socket) };
        let Some(slot) = self.slots.enter(listener.number, ConnectionOrigin::from(&socket), &worker.open) else {
            return Err(socket);
        };
        // A worker that is gone closes it.
        let _ = worker.sender.send(AssignedConnection { socket, slot, served });
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
    /// Its connections.
    pub(super) assigned: mpsc::UnboundedReceiver<AssignedConnection>,
    /// What it is told.
    pub(super) commands: mpsc::UnboundedReceiver<WorkerCommand>,
    /// Whether the server stops.
    pub(super) stopping: watch::Receiver<StopPhase>,
    /// How long exchanges may take to finish when the server stops.
    pub(super) shutdown_timeout: Duration,
}

impl Worker {
    /// Serves clients until the server stops.
    pub(super) async fn serve(self, dispatcher: Arc<Dispatcher>) {
        let Self { number, slots, assigned, mut commands, mut stopping, shutdown_timeout } = self;
        tokio::spawn(serve_assigned(assigned));
        loop {
            let command = tokio::select! {
                _ = stopping.wait_for(|phase| *phase > StopPhase::Serving) => break,
                command = commands.recv() => command,
            };
            match command {
                Some(WorkerCommand::Accept(listener, entry)) => match listener.into_acceptor() {
                    Ok(acceptor) => drop(tokio::spawn(accept(acceptor, dispatcher.clone(), entry, number))),
                    Err(error) => tracing::error!(%error, "a worker cannot listen"),
                },
                Some(WorkerCommand::Report(upstream)) => drop(tokio::spawn(report_engine(*upstream))),
                // Who asked may have given up.
                Some(WorkerCommand::Answer(answer)) => drop(answer.send(())),
                None => {
                    let _ = stopping.wait_for(|phase| *phase > StopPhase::Serving).await;
                    break;
                }
            }
        }
        // When nobody accepts any more, nothing more is assigned.
        drop(dispatcher);
        let closed = async {
            tokio::select! {
                () = slots.all_closed() => {}
                Ok(_) = stopping.wait_for(|phase| *phase == StopPhase::AtOnce) => {}
            }
        };
        let _ = tokio::time::timeout(shutdown_timeout, closed).await;
    }
}

/// Serves each connection that is assigned, in a task of its own.
async fn serve_assigned(mut assigned: mpsc::UnboundedReceiver<AssignedConnection>) {
    while let Some(AssignedConnection { socket, slot, served }) = assigned.recv().await {
        tokio::spawn(connection::serve(socket, served, slot));
    }
}

/// Logs the API version of an engine, once.
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
        Err(error @ (UpstreamError::Tls(_) | UpstreamError::Ssh(_))) => {
            tracing::warn!(engine = address, "no connection to the engine ({error}); answering 502 until there is one");
        }
        Err(error) => {
            tracing::warn!(engine = address, "engine unreachable ({error}); answering 503 until it is back");
        }
    }
}

/// Accepts connections, as this worker, until the listener closes.
async fn accept(acceptor: Acceptor, dispatcher: Arc<Dispatcher>, listener: Arc<ListenerEntry>, worker: usize) {
    let mut closing = listener.closing.subscribe();
    while let Some(mut socket) = acceptor.next(&mut closing).await {
        // Until there is room, further connections wait in the queue of the listener.
        while let Err(returned) = dispatcher.assign(socket, &listener, worker) {
            socket = returned;
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => return,
                () = dispatcher.room() => {}
            }
        }
    }
}
