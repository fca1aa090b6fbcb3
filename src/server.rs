//! Listeners, accept loop, connection limit, graceful stop.
//!
//! Each worker is a thread with its own runtime, its own connections to the engine, and a share of the clients. No exchange
//! waits for another thread.

mod client_slots;
mod clients;
mod connection;
mod descriptors;
mod listen;
pub mod log;
mod privileges;
mod request_reader;
mod signals;
mod slots;
mod socket_file;
mod tls;
mod worker;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use self::clients::ListenerProxies;
use self::connection::ConnectionSettings;
use self::descriptors::DescriptorPlan;
use self::listen::BoundListener;
use self::request_reader::ClientTimeouts;
pub use self::signals::Signals;
use self::slots::{SlotLimits, Slots};
use self::worker::{Dispatcher, Worker};
use crate::config::{Config, DocumentMemory};
use crate::proxy::{MemoryBudget, Proxy};
use crate::socket::Address;
use crate::upstream::{Engine, Upstream};

/// More workers than this gain nothing: one carries gigabytes a second.
const WORKER_LIMIT: usize = 4;
/// How much longer than the shutdown timeout the workers may take to end.
const STOP_MARGIN: Duration = Duration::from_secs(1);

/// Why the server did not start or stopped.
#[derive(Debug)]
pub enum ServerError {
    /// A listener could not be opened.
    Listen {
        /// Its address.
        address: Address,
        /// The error of the system.
        error: io::Error,
    },
    /// The limit of open descriptors is too low.
    Descriptors(descriptors::TooFewDescriptors),
    /// Privileges could not be dropped, or the engine's socket cannot be opened without them.
    Privileges(privileges::PrivilegesError),
    /// A worker or the thread of the log could not be started.
    Worker(io::Error),
    /// The signals that stop the server could not be waited for.
    Signal(io::Error),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, error } => write!(f, "cannot listen on {address}: {error}"),
            Self::Descriptors(error) => write!(f, "{error}"),
            Self::Privileges(error) => write!(f, "{error}"),
            Self::Worker(error) => write!(f, "cannot start a worker: {error}"),
            Self::Signal(error) => write!(f, "cannot wait for signals: {error}"),
        }
    }
}

impl std::error::Error for ServerError {}

/// Serves until a signal stops the process. A signal that comes during the start stops that.
///
/// # Errors
/// [`ServerError`]; nothing is left listening.
pub fn run(config: Config, mut signals: Signals) -> Result<(), ServerError> {
    if let Some(running) = start_unless(config, &mut || signals.has_stopped())? {
        running.run_until_signal(signals);
    }
    Ok(())
}

/// Opens all listeners, drops privileges, and serves in threads of its own.
///
/// # Errors
/// [`ServerError`]; nothing is left listening.
pub fn start(config: Config) -> Result<Running, ServerError> {
    match start_unless(config, &mut || false)? {
        Some(running) => Ok(running),
        None => Err(ServerError::Worker(io::ErrorKind::Interrupted.into())),
    }
}

/// As [`start`]; `None` if `is_stopped` says between two steps that nobody wants the server any more.
fn start_unless(config: Config, is_stopped: &mut dyn FnMut() -> bool) -> Result<Option<Running>, ServerError> {
    let count = std::thread::available_parallelism().map_or(1, usize::from).min(WORKER_LIMIT);
    // What comes over TLS is decrypted into a pair of sockets.
    let each = if config.listeners.iter().any(|listener| listener.tls.is_some()) { 4 } else { 2 };
    let plan = DescriptorPlan::new(descriptors::raise_limit(), config.listeners.len(), count, each);
    let slots = plan.slots(config.limits.connections).map_err(ServerError::Descriptors)?;
    let Some(bound) = open_listeners(&config, is_stopped)? else { return Ok(None) };
    drop_privileges(&config)?;
    if is_stopped() {
        return Ok(None);
    }
    // From here on there may be threads, which inherit the user.
    log::start_writer().map_err(ServerError::Worker)?;
    let listeners = config.listeners.iter().map(|listener| listener.connections).collect();
    let slots = Arc::new(Slots::new(&SlotLimits { slots, overflow: plan.overflow, listeners }));
    let client_slots = Arc::<client_slots::ClientSlots>::default();
    let (dispatcher, assigned) = Dispatcher::new(slots.clone(), count);
    let (stop, stopping) = watch::channel(false);
    let (ending, ended) = mpsc::channel(1);
    let settings = Arc::new(connection_settings(&config));
    let engines = Engines::new(&config);
    let memory = Arc::new(memory_budget(&config));
    let dispatcher = Arc::new(dispatcher);
    let mut workers = Vec::with_capacity(count);
    for (number, assigned) in assigned.into_iter().enumerate() {
        let worker = Worker {
            number,
            slots: slots.clone(),
            client_slots: client_slots.clone(),
            settings: settings.clone(),
            assigned,
            stopping: stopping.clone(),
            upstreams: engines.upstreams(plan.idle_upstream),
            shutdown_timeout: config.timeouts.shutdown,
        };
        let started = start_worker(worker, dispatcher.clone(), &bound, &config, &memory, ending.clone());
        workers.push(started.map_err(ServerError::Worker)?);
    }
    let addresses = bound.iter().map(|bound| bound.address().clone()).collect();
    let limit = config.timeouts.shutdown + STOP_MARGIN;
    Ok(Some(Running { addresses, stop, limit, workers, ended, dispatcher, bound }))
}

/// The memory of all documents together.
fn memory_budget(config: &Config) -> MemoryBudget {
    // The largest document, what the filter leaves of it, and its keys.
    let largest = config.limits.element.bytes().saturating_mul(4);
    MemoryBudget::new(DocumentMemory::of(&config.limits).bytes, largest, config.timeouts.response)
}

/// What holds for every connection.
fn connection_settings(config: &Config) -> ConnectionSettings {
    let timeouts = &config.timeouts;
    ConnectionSettings {
        head_limit: config.limits.head.bytes(),
        timeouts: ClientTimeouts { head: timeouts.head, idle: timeouts.idle, write: timeouts.write },
        keepalive: config.keepalive,
    }
}

/// The engines, each once, and which listener has which.
struct Engines {
    engines: Vec<Arc<Engine>>,
    /// For each listener, the number of its engine.
    of_listeners: Vec<usize>,
}

impl Engines {
    /// Those of a configuration.
    fn new(config: &Config) -> Self {
        let (timeouts, addresses) = (&config.timeouts, config.engines());
        let engine = |address: &&Address| {
            let address = (*address).clone();
            Arc::new(Engine::new(address, timeouts.connect, timeouts.response, config.keepalive, config.api))
        };
        let of_listener = |listener| addresses.iter().position(|known| *known == config.engine_of(listener));
        let of_listeners = config.listeners.iter().map(|listener| of_listener(listener).unwrap_or_default()).collect();
        Self { engines: addresses.iter().map(engine).collect(), of_listeners }
    }

    /// The connections of one worker to the engine of each listener. At most `idle_limit` are kept open while they are idle.
    fn upstreams(&self, idle_limit: usize) -> Vec<Upstream> {
        let each = (idle_limit / self.engines.len().max(1)).max(1);
        let upstreams: Vec<Upstream> = self.engines.iter().map(|engine| Upstream::new(engine.clone(), each)).collect();
        self.of_listeners.iter().filter_map(|number| upstreams.get(*number).cloned()).collect()
    }
}

/// Opens all listeners; `None` if `is_stopped` says so in between. Nothing is then left listening.
fn open_listeners(
    config: &Config,
    is_stopped: &mut dyn FnMut() -> bool,
) -> Result<Option<Vec<BoundListener>>, ServerError> {
    let mut bound = Vec::with_capacity(config.listeners.len());
    for listener in &config.listeners {
        if is_stopped() {
            return Ok(None);
        }
        if let Some(user) = config.startup.run_as {
            privileges::give_directory(user, &listener.address).map_err(ServerError::Privileges)?;
        }
        match BoundListener::open(listener, is_stopped) {
            Ok(opened) => bound.push(opened),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(None),
            Err(error) => return Err(ServerError::Listen { address: listener.address.clone(), error }),
        }
    }
    Ok(Some(bound))
}

fn drop_privileges(config: &Config) -> Result<(), ServerError> {
    let engines = config.engines();
    if let Some(user) = config.startup.run_as {
        privileges::drop_privileges(user, &engines).map_err(ServerError::Privileges)?;
        tracing::info!("runs as {}", privileges::description());
    }
    let check = |engine: &&Address| privileges::check_engine_socket(engine, config.startup.run_as);
    engines.iter().try_for_each(check).map_err(ServerError::Privileges)
}

/// Starts the thread of a worker. It holds `ending` until it ends.
fn start_worker(
    worker: Worker,
    dispatcher: Arc<Dispatcher>,
    bound: &[BoundListener],
    config: &Config,
    memory: &Arc<MemoryBudget>,
    ending: mpsc::Sender<()>,
) -> io::Result<JoinHandle<()>> {
    let mut listeners = Vec::with_capacity(bound.len());
    for ((bound, listener), upstream) in bound.iter().zip(&config.listeners).zip(&worker.upstreams) {
        let proxy = Proxy {
            upstream: upstream.clone(),
            policy: listener.policy.clone(),
            origins: listener.origins.as_slice().into(),
            hosts: listener.hosts.as_slice().into(),
            element_limit: config.limits.element.bytes(),
            memory: memory.clone(),
            listener: bound.address().to_string().into(),
            refused: None,
        };
        let proxies = ListenerProxies::new(listeners.len(), proxy, listener, &worker.client_slots);
        listeners.push((bound.share()?, Arc::new(proxies)));
    }
    let runtime = runtime().on_thread_park(log::hand_over).build()?;
    std::thread::Builder::new().name(format!("worker-{}", worker.number)).spawn(move || {
        let _ending = ending;
        log::gather();
        runtime.block_on(worker.serve(dispatcher, listeners));
        // Connections that are still open are cut.
        runtime.shutdown_background();
        log::hand_over();
    })
}

/// A runtime of one thread.
fn runtime() -> tokio::runtime::Builder {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all();
    runtime
}

/// A server that is up.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<Address>,
    stop: watch::Sender<bool>,
    /// How long a stop may take.
    limit: Duration,
    workers: Vec<JoinHandle<()>>,
    /// Closed when all workers have ended.
    ended: mpsc::Receiver<()>,
    dispatcher: Arc<Dispatcher>,
    bound: Vec<BoundListener>,
}

impl Running {
    /// The addresses of the listeners in the order of the configuration, with the ports that the system chose.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Waits for a signal and stops. A second signal ends the wait for exchanges in progress. So does a worker that takes
    /// too long. Their threads end with the process.
    pub fn run_until_signal(self, mut signals: Signals) {
        signals.wait();
        tracing::info!("stopping");
        let limit = self.limit;
        let (_, mut ended) = self.close();
        let ended = signals.wait_or(async { tokio::time::timeout(limit, ended.recv()).await });
        match ended {
            Some(Ok(_)) => {}
            Some(Err(_)) => tracing::warn!("stopping at once: a worker is busy"),
            None => tracing::warn!("stopping at once: a second signal"),
        }
        log::flush();
    }

    /// Stops accepting connections, gives exchanges time to finish, cuts streams, and returns when all have ended.
    pub fn stop(self) {
        let (workers, _) = self.close();
        for worker in workers {
            // A worker that panicked has reported it.
            let _ = worker.join();
        }
        log::flush();
    }

    /// Closes the listeners and tells the workers to stop. Returns what tells when they have.
    fn close(self) -> (Vec<JoinHandle<()>>, mpsc::Receiver<()>) {
        let Self { stop, workers, ended, dispatcher, bound, .. } = self;
        let _ = stop.send(true);
        for (number, listener) in bound.into_iter().enumerate() {
            // One for which there is no room is closed.
            listener.close(|socket| drop(dispatcher.assign(socket, number, 0)));
        }
        (workers, ended)
    }
}
