//! Listeners, accept loop, connection limit, graceful stop.
//!
//! Each worker is a thread with its own runtime, its own connections to the engine, and a share of the clients. No exchange
//! waits for another thread.

mod connection;
mod listen;
pub mod log;
mod privileges;
mod request_reader;
mod signals;
mod worker;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;

use self::listen::BoundListener;
use self::request_reader::ClientTimeouts;
pub use self::signals::Signals;
use self::worker::{ServerState, Worker};
use crate::config::{Config, DocumentMemory};
use crate::proxy::{MemoryBudget, Proxy};
use crate::socket::Address;
use crate::upstream::{Engine, Upstream};

/// Descriptors that are not for connections.
const RESERVED_DESCRIPTORS: u64 = 200;
/// More workers than this gain nothing: one carries gigabytes a second.
const WORKER_LIMIT: usize = 4;

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
            Self::Privileges(error) => write!(f, "{error}"),
            Self::Worker(error) => write!(f, "cannot start a worker: {error}"),
            Self::Signal(error) => write!(f, "cannot wait for signals: {error}"),
        }
    }
}

impl std::error::Error for ServerError {}

/// Serves until a signal (`SIGTERM`, `SIGINT`) stops the process.
///
/// # Errors
/// [`ServerError`]; nothing is left listening.
pub fn run(config: Config) -> Result<(), ServerError> {
    // First, so that a signal during the start leaves no socket file.
    let signals = Signals::listen()?;
    start(config)?.run_until_signal(signals);
    Ok(())
}

/// Opens all listeners, drops privileges, and serves in threads of its own.
///
/// # Errors
/// [`ServerError`]; nothing is left listening.
pub fn start(config: Config) -> Result<Running, ServerError> {
    let limit = connection_limit(config.limits.connections);
    let bound = open_listeners(&config)?;
    drop_privileges(&config)?;
    // From here on there may be threads, which inherit the user.
    log::start_writer().map_err(ServerError::Worker)?;
    let addresses = bound.iter().map(|bound| bound.address().clone()).collect();
    let timeouts = &config.timeouts;
    let engine = Engine::new(config.upstream.clone(), timeouts.connect, timeouts.response);
    let client_timeouts = ClientTimeouts { head: timeouts.head, idle: timeouts.idle, write: timeouts.write };
    let state = Arc::new(ServerState::new(limit, config.limits.head.bytes(), client_timeouts, engine));
    let (stop, stopping) = watch::channel(false);
    // The largest document, and what the filter leaves of it.
    let largest = config.limits.element.bytes().saturating_mul(2);
    let memory = DocumentMemory::of(&config.limits).bytes;
    let memory = Arc::new(MemoryBudget::new(memory, largest, timeouts.response));
    let count = std::thread::available_parallelism().map_or(1, usize::from).min(WORKER_LIMIT);
    let workers = (0..count)
        .map(|number| {
            let worker = Worker {
                number,
                state: state.clone(),
                stopping: stopping.clone(),
                upstream: Upstream::new(state.engine().clone()),
                shutdown_timeout: timeouts.shutdown,
            };
            start_worker(worker, &bound, &config, &memory).map_err(ServerError::Worker)
        })
        .collect::<Result<_, _>>()?;
    Ok(Running { addresses, stop, workers, _bound: bound })
}

/// How many connections may be open: as configured, but no more than the descriptors allow.
fn connection_limit(configured: Option<usize>) -> usize {
    // Each has a descriptor on either side.
    let descriptors = raise_descriptor_limit().saturating_sub(RESERVED_DESCRIPTORS) / 2;
    let possible = usize::try_from(descriptors).unwrap_or(usize::MAX).max(1);
    configured.unwrap_or(possible).min(possible)
}

/// Raises the limit of open descriptors as far as the system allows; returns the new limit.
fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    // No limit is as good as a million.
    limit.current.unwrap_or(1 << 20)
}

fn open_listeners(config: &Config) -> Result<Vec<BoundListener>, ServerError> {
    let mut bound = Vec::with_capacity(config.listeners.len());
    for listener in &config.listeners {
        if let Some(user) = config.startup.run_as {
            privileges::give_directory(user, &listener.address).map_err(ServerError::Privileges)?;
        }
        let opened = BoundListener::open(&listener.address, listener.mode, listener.owner)
            .map_err(|error| ServerError::Listen { address: listener.address.clone(), error })?;
        bound.push(opened);
    }
    Ok(bound)
}

fn drop_privileges(config: &Config) -> Result<(), ServerError> {
    if let Some(user) = config.startup.run_as {
        privileges::drop_privileges(user, &config.upstream).map_err(ServerError::Privileges)?;
        tracing::info!("runs as {}", privileges::description());
    }
    if config.startup.must_reach_engine {
        privileges::check_engine_socket(&config.upstream, config.startup.run_as).map_err(ServerError::Privileges)?;
    }
    Ok(())
}

/// Starts the thread of a worker.
fn start_worker(
    worker: Worker,
    bound: &[BoundListener],
    config: &Config,
    memory: &Arc<MemoryBudget>,
) -> io::Result<JoinHandle<()>> {
    let mut listeners = Vec::with_capacity(bound.len());
    for (bound, listener) in bound.iter().zip(&config.listeners) {
        let proxy = Proxy {
            upstream: worker.upstream.clone(),
            policy: listener.policy.clone(),
            origins: listener.origins.as_slice().into(),
            hosts: listener.hosts.as_slice().into(),
            element_limit: config.limits.element.bytes(),
            memory: memory.clone(),
        };
        listeners.push((bound.share()?, Arc::new(proxy)));
    }
    let runtime = runtime().on_thread_park(log::hand_over).build()?;
    std::thread::Builder::new().name(format!("worker-{}", worker.number)).spawn(move || {
        log::gather();
        runtime.block_on(worker.serve(listeners));
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
    workers: Vec<JoinHandle<()>>,
    /// Removes the socket files when dropped.
    _bound: Vec<BoundListener>,
}

impl Running {
    /// The addresses of the listeners in the order of the configuration, with the ports that the system chose.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Waits for one of the signals and stops.
    pub fn run_until_signal(self, signals: Signals) {
        signals.wait();
        tracing::info!("stopping");
        self.stop();
    }

    /// Stops accepting connections, gives exchanges time to finish, cuts streams, and returns when all have ended.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        for worker in self.workers {
            // A worker that panicked has reported it.
            let _ = worker.join();
        }
        log::flush();
    }
}
