//! What is served now: the listeners, engines and limits of a running server, and how a reload replaces them.
//!
//! A reload prepares everything that can fail, and then swaps. Listeners that are in both configurations stay open, and so do
//! their connections; each request is served by the configuration that is in force when it comes.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::ServerError;
use super::client_slots::ClientSlots;
use super::clients::ListenerProxies;
use super::connection::ConnectionSettings;
use super::descriptors::{DescriptorPlan, TooFewDescriptors};
use super::listen::{BoundListener, ListenerHandle};
use super::listener_use::{ListenerShare, ListenerUse};
use super::request_reader::ClientTimeouts;
use super::slots::{SlotLimits, Slots};
use super::socket_file;
use super::status::ask_worker;
use super::status_listener;
use super::worker::{Dispatcher, ListenerEntry, WorkerCommand};
use crate::audit::AuditLog;
use crate::config::{ClientRule, Config, ConnectionMemory, DocumentMemory, Limits, Listener, Timeouts};
use crate::endpoint::{EngineAddress, EngineEndpoint};
use crate::metrics::Metrics;
use crate::proxy::{ExchangeObserver, MemoryBudget, Proxy};
use crate::quoting;
use crate::socket::{Address, SocketOwner};
use crate::upstream::{Engine, EngineTimeouts, Upstream};

/// Why a configuration cannot be put in place of another. What was served before still is.
#[derive(Debug)]
pub enum ReloadError {
    /// A listener could not be opened.
    Listen {
        /// Its address.
        address: Address,
        /// The error of the system.
        error: io::Error,
    },
    /// The mode or the owner of an open Unix socket would change.
    Owner(Address),
    /// There are not enough open descriptors.
    Descriptors(TooFewDescriptors),
    /// The audit file could not be opened.
    Audit {
        /// Its path.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The user would change.
    User,
    /// A signal stops the server.
    Stopped,
}

impl ReloadError {
    /// A listener at this address could not be opened.
    pub(super) fn listen(address: &Address, error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::Interrupted {
            return Self::Stopped;
        }
        Self::Listen { address: address.clone(), error }
    }
}

impl std::error::Error for ReloadError {}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, error } => write!(f, "cannot listen on {address}: {error}"),
            Self::Owner(address) => write!(f, "the mode or owner of {address} changes, which takes a restart"),
            Self::Descriptors(error) => write!(f, "{error}"),
            Self::Audit { path, error } => write!(f, "cannot open the audit file {}: {error}", quoting::path(path)),
            Self::User => f.write_str("the user changes, which takes a restart"),
            Self::Stopped => f.write_str("a signal stops the server"),
        }
    }
}

/// The resources of the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerCapacity {
    /// The limit of open descriptors.
    pub(super) descriptors: usize,
    /// How many workers there are.
    pub(super) workers: usize,
}

impl ServerCapacity {
    /// What the descriptors are for under a configuration, and how many connections there is memory for.
    pub(super) fn plan(self, config: &Config) -> DescriptorPlan {
        let client = config.listeners.iter().map(descriptors_at).max().unwrap_or(1);
        let engine = config.engines().into_iter().map(descriptors_of).max().unwrap_or(1);
        let plan = DescriptorPlan::new(self.descriptors, config.listeners.len(), self.workers, (client, engine));
        let plan = plan.within(&ConnectionMemory::of(config));
        plan.and(if config.observability.metrics.is_some() { status_listener::DESCRIPTORS } else { 0 })
    }
}

/// How many descriptors a connection to a listener has.
fn descriptors_at(listener: &Listener) -> usize {
    let by_container = |rules: &[ClientRule]| rules.iter().any(|rule| !rule.selector.container.is_empty());
    match (&listener.tls, &listener.clients) {
        (None, _) => 1,
        // What comes over TLS is decrypted into a pair of sockets. By another handle, it is asked whether a client is still there.
        (Some(_), Some(rules)) if by_container(rules) => 4,
        (Some(_), _) => 3,
    }
}

/// How many descriptors a connection to an engine has.
fn descriptors_of(engine: &EngineEndpoint) -> usize {
    match (&engine.address, &engine.tls) {
        (EngineAddress::Socket(_), None) => 1,
        // A pair of sockets, too.
        (EngineAddress::Socket(_), Some(_)) => 3,
        // The pair, three pipes, and the handle of the process.
        (EngineAddress::Ssh(_), _) => 6,
    }
}

/// What is served now.
#[derive(Debug)]
pub(super) struct LiveConfig {
    metrics: Arc<Metrics>,
    capacity: ServerCapacity,
    slots: Arc<Slots>,
    /// What listed clients have, in all workers.
    client_slots: Arc<ClientSlots>,
    dispatcher: Arc<Dispatcher>,
    /// The way to each worker.
    commands: Vec<mpsc::UnboundedSender<WorkerCommand>>,
    memory: (MemorySettings, Arc<MemoryBudget>),
    engines: Vec<LiveEngine>,
    listeners: Vec<LiveListener>,
    /// The number of the next listener.
    next: usize,
}

/// An engine, with the connections of each worker to it.
#[derive(Clone, Debug)]
struct LiveEngine {
    engine: Arc<Engine>,
    workers: Vec<Upstream>,
}

/// An open listener.
#[derive(Debug)]
struct LiveListener {
    /// As configured: the port may be 0.
    address: Address,
    mode: Option<u32>,
    owner: SocketOwner,
    /// The most connections.
    connections: Option<usize>,
    bound: BoundListener,
    entry: Arc<ListenerEntry>,
    /// What its clients have.
    used: Arc<ListenerUse>,
}

/// What the memory budget depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MemorySettings {
    limits: Limits,
    timeouts: Timeouts,
}

impl MemorySettings {
    fn of(config: &Config) -> Self {
        Self { limits: config.limits, timeouts: config.timeouts }
    }

    /// The memory of all documents together.
    fn budget(self) -> Arc<MemoryBudget> {
        // The largest document, what the filter leaves of it, and its keys.
        let largest = self.limits.element.bytes().saturating_mul(4);
        let memory = DocumentMemory::of(&self.limits).bytes;
        let read_ahead = DocumentMemory::read_ahead(memory);
        Arc::new(MemoryBudget::new(memory, read_ahead, largest, self.timeouts.response))
    }
}

/// What every proxy of a configuration has in common.
struct Common<'c> {
    config: &'c Config,
    audit: Option<Arc<AuditLog>>,
    memory: Arc<MemoryBudget>,
    engines: Vec<LiveEngine>,
    settings: Arc<ConnectionSettings>,
}

impl LiveConfig {
    /// Serves a configuration, with its listeners, which are open already.
    ///
    /// # Errors
    /// A listener cannot be shared with a worker.
    pub(super) fn new(
        metrics: &Arc<Metrics>,
        capacity: ServerCapacity,
        (slots, dispatcher): (Arc<Slots>, Arc<Dispatcher>),
        commands: Vec<mpsc::UnboundedSender<WorkerCommand>>,
        (config, audit): (&Config, Option<Arc<AuditLog>>),
        bound: Vec<BoundListener>,
    ) -> Result<Self, ServerError> {
        let memory = MemorySettings::of(config);
        let mut live = Self {
            metrics: metrics.clone(),
            capacity,
            slots,
            client_slots: Arc::default(),
            dispatcher,
            commands,
            memory: (memory, memory.budget()),
            engines: Vec::new(),
            listeners: Vec::new(),
            next: 0,
        };
        let common = live.common(config, audit);
        for (listener, bound) in config.listeners.iter().zip(bound) {
            let opened = live.opened(listener, bound, &common).map_err(ServerError::Worker)?;
            live.listeners.push(opened);
        }
        live.put_engines(common.engines, config);
        let listeners: Vec<Arc<ListenerEntry>> = live.listeners.iter().map(|listener| listener.entry.clone()).collect();
        live.accept(listeners).map_err(ServerError::Worker)?;
        Ok(live)
    }

    /// The addresses of the listeners, with the ports that the system chose.
    pub(super) fn addresses(&self) -> Vec<Address> {
        self.listeners.iter().map(|listener| listener.bound.address().clone()).collect()
    }

    /// Serves this configuration from now on.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed.
    pub(super) fn replace(
        &mut self,
        config: &Config,
        audit: Option<Arc<AuditLog>>,
        is_stopped: &mut dyn FnMut() -> bool,
    ) -> Result<(), ReloadError> {
        let plan = self.capacity.plan(config);
        let slots = plan.slots(config.limits.connections).map_err(ReloadError::Descriptors)?;
        let common = self.common(config, audit);
        let mut lost: Vec<Address> =
            self.listeners.iter().filter(|open| open.bound.is_lost()).map(|open| open.address.clone()).collect();
        let mut opened = Vec::new();
        for listener in &config.listeners {
            let address = &listener.address;
            let is_lost = lost.contains(address);
            match self.open(address).filter(|_| !is_lost) {
                Some(open) if (open.mode, open.owner) != (listener.mode, listener.owner) => {
                    return Err(ReloadError::Owner(address.clone()));
                }
                Some(_) => {}
                None => match BoundListener::open(listener, SocketOwner::default(), is_stopped) {
                    Ok(bound) => {
                        let failed = |error| ReloadError::listen(address, error);
                        opened.push(self.opened(listener, bound, &common).map_err(failed)?);
                    }
                    // Whoever has taken its path must not keep the rest of the configuration from being in force.
                    Err(error) if is_lost && error.kind() != io::ErrorKind::Interrupted => {
                        socket_file::log_not_made_again(address, &error);
                        lost.retain(|lost| lost != address);
                    }
                    Err(error) => return Err(ReloadError::listen(address, error)),
                },
            }
        }
        let new: Vec<Arc<ListenerEntry>> = opened.iter().map(|listener| listener.entry.clone()).collect();
        // From here on nothing fails, except in workers that have ended.
        ConnectionMemory::of(config).buffers.use_from_now_on();
        let before = std::mem::take(&mut self.listeners);
        let (kept, removed): (Vec<_>, Vec<_>) = before.into_iter().partition(|open| {
            let is_wanted = config.listeners.iter().any(|listener| listener.address == open.address);
            is_wanted && !lost.contains(&open.address)
        });
        lost.iter().for_each(socket_file::log_made_again);
        let mut known: Vec<LiveListener> = kept.into_iter().chain(opened).collect();
        for listener in &config.listeners {
            let Some(at) = known.iter().position(|open| open.address == listener.address) else { continue };
            let mut open = known.swap_remove(at);
            open.connections = listener.connections;
            let address = open.bound.address().clone();
            open.entry.replace(self.proxies(open.entry.number(), &address, listener, &open.used, &common));
            self.listeners.push(open);
        }
        self.memory = (MemorySettings::of(config), common.memory.clone());
        self.put_engines(common.engines, config);
        let listeners = self.limits_of_listeners();
        self.slots.limit(&SlotLimits { slots, overflow: plan.overflow, listeners });
        self.client_slots.sweep(Instant::now());
        if let Err(error) = self.accept(new) {
            tracing::error!(%error, "a worker cannot listen");
        }
        removed.into_iter().for_each(|listener| self.close(listener));
        Ok(())
    }

    /// Asks all workers for a sign of life, and waits until each has answered. `false` if one has ended.
    pub(super) async fn is_alive(&self) -> bool {
        all_answer(&self.commands).await
    }

    /// Closes all listeners. What is in progress may finish.
    pub(super) fn close_all(mut self) {
        for listener in std::mem::take(&mut self.listeners) {
            self.close(listener);
        }
    }

    fn close(&self, listener: LiveListener) {
        let LiveListener { bound, entry, .. } = listener;
        // First, because a listener that has been shut down keeps those busy who accept.
        entry.close();
        // One for which there is no room is closed.
        bound.close(|socket| drop(self.dispatcher.assign(socket, &entry, 0)));
    }

    /// The open listener at an address.
    fn open(&self, address: &Address) -> Option<&LiveListener> {
        self.listeners.iter().find(|listener| listener.address == *address)
    }

    /// The most connections of each listener that there ever was, by its number; 0 for those that are closed.
    fn limits_of_listeners(&self) -> Vec<Option<usize>> {
        let open = |number| self.listeners.iter().find(|listener| listener.entry.number() == number);
        (0..self.next).map(|number| open(number).map_or(Some(0), |listener| listener.connections)).collect()
    }

    /// What the proxies of a configuration have in common. Engines and memory that do not change are those of before.
    fn common<'c>(&self, config: &'c Config, audit: Option<Arc<AuditLog>>) -> Common<'c> {
        let settings = MemorySettings::of(config);
        let memory = if settings == self.memory.0 { self.memory.1.clone() } else { settings.budget() };
        let timeouts = &config.timeouts;
        let settings = Arc::new(ConnectionSettings {
            head_limit: config.limits.head.bytes(),
            timeouts: ClientTimeouts { head: timeouts.head, idle: timeouts.idle, write: timeouts.write },
            keepalive: config.keepalive,
        });
        let endpoints = config.engines();
        let idle = (self.capacity.plan(config).idle_upstream / endpoints.len().max(1)).max(1);
        let engine_timeouts =
            EngineTimeouts { connect: timeouts.connect, response: timeouts.response, work: timeouts.work };
        let engine = |endpoint: &EngineEndpoint| {
            let engine = Engine::new(endpoint.clone(), engine_timeouts, config.keepalive, config.api);
            if let Some(known) = self.engines.iter().find(|known| known.engine.is_like(&engine)) {
                return known.clone();
            }
            let engine = Arc::new(engine);
            let workers = (0..self.capacity.workers).map(|_| Upstream::new(engine.clone(), idle)).collect();
            LiveEngine { engine, workers }
        };
        Common { config, audit, memory, engines: endpoints.into_iter().map(engine).collect(), settings }
    }

    /// A listener that has been opened.
    fn opened(&mut self, listener: &Listener, bound: BoundListener, common: &Common<'_>) -> io::Result<LiveListener> {
        let used = Arc::new(ListenerUse::new());
        let proxies = self.proxies(self.next, bound.address(), listener, &used, common);
        let entry = Arc::new(ListenerEntry::new(self.next, proxies));
        self.next += 1;
        let Listener { address, mode, owner, connections, .. } = listener;
        Ok(LiveListener {
            address: address.clone(),
            mode: *mode,
            owner: *owner,
            connections: *connections,
            bound,
            entry,
            used,
        })
    }

    /// The proxies of a listener, for each worker.
    fn proxies(
        &self,
        number: usize,
        address: &Address,
        listener: &Listener,
        used: &Arc<ListenerUse>,
        common: &Common<'_>,
    ) -> Vec<Arc<ListenerProxies>> {
        let Common { config, memory, engines, settings, .. } = common;
        let wanted = config.engine_of(listener);
        let upstreams =
            engines.iter().find(|known| known.engine.endpoint().has_same_names(wanted)).map(|known| &known.workers);
        let proxies = upstreams.into_iter().flatten().map(|upstream| {
            let proxy = Proxy {
                upstream: upstream.clone(),
                policy: listener.policy.clone(),
                origins: listener.origins.as_slice().into(),
                hosts: listener.hosts.as_slice().into(),
                element_limit: config.limits.element.bytes(),
                memory: memory.clone(),
                observer: Arc::new(self.observer(common, address, listener)),
                refused: None,
                subjects: Arc::default(),
                absent_tick: config.timeouts.absent_tick,
            };
            let share = Arc::new(ListenerShare { limits: listener.limits, used: used.clone() });
            Arc::new(ListenerProxies::new(number, proxy, listener, settings, (&self.client_slots, share)))
        });
        proxies.collect()
    }

    /// What sees the exchanges at a listener.
    fn observer(&self, common: &Common<'_>, address: &Address, listener: &Listener) -> ExchangeObserver {
        let (profile, engine) = (listener.policy.name(), common.config.engine_of(listener).address.to_string());
        ExchangeObserver::new(&self.metrics, common.audit.clone(), &address.to_string(), profile, &engine)
    }

    /// The memory of documents.
    pub(super) fn memory(&self) -> Arc<MemoryBudget> {
        self.memory.1.clone()
    }

    /// The engines of the listeners.
    pub(super) fn engines(&self) -> impl Iterator<Item = Arc<Engine>> {
        self.engines.iter().map(|live| live.engine.clone())
    }

    /// Puts these engines of a configuration in place of those of before, and reports the new ones. Those that stay open new
    /// connections with the certificates that are in their files now.
    fn put_engines(&mut self, engines: Vec<LiveEngine>, config: &Config) {
        for (live, endpoint) in engines.iter().zip(config.engines()) {
            live.engine.renew(endpoint);
        }
        for new in &engines {
            let is_known = self.engines.iter().any(|known| Arc::ptr_eq(&known.engine, &new.engine));
            if let (false, Some(worker), Some(upstream)) = (is_known, self.commands.first(), new.workers.first()) {
                // A worker that is gone reports nothing.
                let _ = worker.send(WorkerCommand::Report(Box::new(upstream.clone())));
            }
        }
        self.engines = engines;
    }

    /// Lets every worker accept connections of these listeners.
    ///
    /// # Errors
    /// A listener cannot be shared with a worker.
    fn accept(&self, listeners: Vec<Arc<ListenerEntry>>) -> io::Result<()> {
        for entry in listeners {
            let Some(listener) = self.listeners.iter().find(|open| Arc::ptr_eq(&open.entry, &entry)) else { continue };
            for worker in &self.commands {
                let handle: ListenerHandle = listener.bound.share()?;
                // A worker that is gone accepts nothing.
                let _ = worker.send(WorkerCommand::Accept(handle, entry.clone()));
            }
        }
        Ok(())
    }
}

/// Asks all workers, and waits until each has answered. `false` if one has ended.
async fn all_answer(workers: &[mpsc::UnboundedSender<WorkerCommand>]) -> bool {
    let answers: Vec<_> = workers.iter().map(ask_worker).collect();
    for answer in answers {
        if answer.await.is_err() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::time::{Duration, timeout};

    use super::*;
    use crate::time_limit::within_time_limit;

    /// How long to wait for what does not come.
    const SHORT: Duration = Duration::from_millis(20);
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn workers_are_alive_if_each_answers() {
        within_time_limit(|| {
            let (first, mut asked) = mpsc::unbounded_channel();
            let (second, other) = mpsc::unbounded_channel();
            let workers = [first, second];
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let mut all = pin!(all_answer(&workers));
                assert!(timeout(SHORT, all.as_mut()).await.is_err());
                let Some(WorkerCommand::Answer(sender)) = asked.recv().await else { panic!("it was not asked") };
                sender.send(()).unwrap();
                assert!(timeout(SHORT, all.as_mut()).await.is_err(), "one does not answer");
                drop(other);
                assert_eq!(timeout(PATIENCE, all).await, Ok(false), "one has ended");
            });
        });
    }
}
