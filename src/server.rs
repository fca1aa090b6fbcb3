//! Listeners, accept loop, connection limit, graceful stop.
//!
//! Each worker is a thread with its own runtime, its own connections to the engine, and a share of the clients. No exchange
//! waits for another thread.

mod client_slots;
mod clients;
mod connection;
mod descriptors;
mod file_watch;
mod listen;
mod listener_use;
mod live;
mod privileges;
mod rate;
mod request_reader;
mod service_manager;
mod signals;
mod slots;
mod socket_file;
mod status;
mod status_listener;
mod tls;
mod worker;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};

use self::file_watch::{FileWatch, ReloadReason};
use self::listen::BoundListener;
pub use self::live::ReloadError;
use self::live::{LiveConfig, ServerCapacity};
pub use self::service_manager::ServiceManager;
use self::signals::NextTask;
pub use self::signals::Signals;
use self::slots::{SlotLimits, Slots};
use self::socket_file::SocketFile;
use self::status::ServerStatus;
use self::status_listener::StatusListener;
use self::worker::{Dispatcher, StopPhase, Worker};
use crate::audit::AuditLog;
use crate::config::{Config, ConfigFileSet, ConnectionMemory, Expiry, MadeFile, RunAs, expiry, files};
use crate::endpoint::EngineEndpoint;
use crate::log;
use crate::metrics::Metrics;
use crate::proxy;
use crate::quoting;
use crate::socket::{Address, SocketOwner};

/// More workers than this gain nothing: one carries gigabytes a second.
const WORKER_LIMIT: usize = 4;
/// The threads of the log, the audit file and the metrics.
const OTHER_THREADS: usize = 3;
/// How long the end of the program waits for the last records of the audit file.
const LAST_RECORDS_TIMEOUT: Duration = Duration::from_secs(1);
/// How much longer than the shutdown timeout the workers may take to end.
const STOP_MARGIN: Duration = Duration::from_secs(1);

/// What is said of a configuration with an error.
const NOT_RELOADED: &str = "configuration not reloaded, nothing has changed";

/// Why a reload did not put a configuration in place.
enum ReloadFault {
    /// It has an error. This is the first one.
    Wrong(String),
    /// A signal stops the server.
    Stopped,
}

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
    /// The audit file could not be opened.
    Audit {
        /// Its path.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The metrics could not be made, which no tested program does.
    Metrics(String),
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
            Self::Audit { path, error } => write!(f, "cannot open the audit file {}: {error}", quoting::path(path)),
            Self::Metrics(error) => write!(f, "cannot make the metrics: {error}"),
            Self::Worker(error) => write!(f, "cannot start a worker: {error}"),
            Self::Signal(error) => write!(f, "cannot wait for signals: {error}"),
        }
    }
}

impl std::error::Error for ServerError {}

/// What reads the configuration of a server that runs, and is told which one is in force.
pub trait ConfigReader {
    /// Reads it again.
    ///
    /// # Errors
    /// The text for the log, a line for each error.
    fn read(&mut self) -> Result<Config, String>;

    /// A reload has put this one in force.
    fn in_force(&mut self, config: &Config);
}

/// A configuration that is in no file.
struct FixedConfig;

impl ConfigReader for FixedConfig {
    fn read(&mut self) -> Result<Config, String> {
        Err("it is in no file".to_owned())
    }

    fn in_force(&mut self, _: &Config) {}
}

/// Serves until a signal stops the process. A signal that comes during the start stops that. `reader` reads the configuration
/// again.
///
/// # Errors
/// [`ServerError`]; nothing is left listening.
pub fn run(
    config: Config,
    manager: ServiceManager,
    mut signals: Signals,
    reader: &mut dyn ConfigReader,
) -> Result<(), ServerError> {
    let watched = config.files.clone();
    if let Some(running) = start_unless(config, &mut || signals.has_stopped())? {
        running.reload_until_signal(signals, manager, watched, reader);
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
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKER_LIMIT);
    let capacity = ServerCapacity { descriptors: descriptors::raise_limit(), workers };
    let plan = capacity.plan(&config);
    ConnectionMemory::of(&config).buffers.use_from_now_on();
    let slots = plan.slots(config.limits.connections).map_err(ServerError::Descriptors)?;
    let Some(bound) = open_listeners(&config, is_stopped)? else { return Ok(None) };
    let mut status_listener = open_status_listener(&config, is_stopped)?;
    let of_status = status_listener.as_ref().and_then(StatusListener::file);
    let sockets: Vec<&SocketFile> = bound.iter().filter_map(BoundListener::file).chain(of_status).collect();
    // Whoever has stopped the start finds everything as it was.
    if is_stopped() {
        return Ok(None);
    }
    drop_privileges(&config, workers, &sockets)?;
    if is_stopped() {
        return Ok(None);
    }
    // From here on there may be threads, which inherit the user.
    log::start_writer().map_err(ServerError::Worker)?;
    let audit = open_audit(&config).map_err(|(path, error)| ServerError::Audit { path, error })?;
    let listeners = config.listeners.iter().map(|listener| listener.connections).collect();
    let slots = Arc::new(Slots::new(&SlotLimits { slots, overflow: plan.overflow, listeners }));
    let (dispatcher, assigned) = Dispatcher::new(slots.clone(), workers);
    let dispatcher = Arc::new(dispatcher);
    let (stop, stopping) = watch::channel(StopPhase::Serving);
    let (ending, ended) = mpsc::channel(1);
    let shutdown_timeout = config.timeouts.shutdown;
    let (mut threads, mut commands) = (Vec::with_capacity(workers), Vec::with_capacity(workers));
    for (number, assigned) in assigned.into_iter().enumerate() {
        let (command, received) = mpsc::unbounded_channel();
        commands.push(command);
        let (slots, stopping) = (slots.clone(), stopping.clone());
        let worker = Worker { number, slots, assigned, commands: received, stopping, shutdown_timeout };
        let started = start_worker(worker, dispatcher.clone(), ending.clone());
        threads.push(started.map_err(ServerError::Worker)?);
    }
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION")).map_err(|error| ServerError::Metrics(error.to_string()))?;
    let metrics = Arc::new(metrics);
    let live =
        LiveConfig::new(&metrics, capacity, (slots, dispatcher), commands.clone(), (&config, audit.clone()), bound)?;
    let status = Arc::new(ServerStatus::new(metrics, commands, live.memory(), live.engines()));
    status.use_audit(audit);
    let expiries = WatchedExpiries::of(&config);
    status.use_expiries(expiries.expiries.clone());
    if let Some(listener) = &mut status_listener {
        listener.start(status.clone()).map_err(ServerError::Worker)?;
    }
    let (limit, run_as) = (shutdown_timeout + STOP_MARGIN, config.startup.run_as);
    Ok(Some(Running { stop, limit, workers: threads, ended, live, status, status_listener, expiries, run_as }))
}

/// Opens all listeners; `None` if `is_stopped` says so in between. Nothing is then left listening.
fn open_listeners(
    config: &Config,
    is_stopped: &mut dyn FnMut() -> bool,
) -> Result<Option<Vec<BoundListener>>, ServerError> {
    let mut bound = Vec::with_capacity(config.listeners.len());
    let user = privileges::socket_owner(config.startup.run_as);
    for listener in &config.listeners {
        if is_stopped() {
            return Ok(None);
        }
        match BoundListener::open(listener, user, is_stopped) {
            Ok(opened) => bound.push(opened),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(None),
            Err(error) => return Err(ServerError::Listen { address: listener.address.clone(), error }),
        }
    }
    Ok(Some(bound))
}

/// Checks what can be told, without making anything, of a file that a start makes. `all` are all of these files.
///
/// # Errors
/// A start would fail.
pub fn check_file(file: &MadeFile, all: &[MadeFile]) -> Result<(), ServerError> {
    let path = &file.path;
    match file.socket {
        Some(folder) => socket_file::check_place(path, folder)
            .map_err(|error| ServerError::Listen { address: Address::Unix(path.clone()), error }),
        None => {
            // Sockets are made before it, with their directories and those above these.
            let makes = |directory: &Path| {
                let directory = files::resolved(directory);
                let mut sockets = all.iter().filter(|file| file.socket.is_some());
                sockets.any(|socket| {
                    socket.path.parent().is_some_and(|made| files::resolved(made).starts_with(&directory))
                })
            };
            AuditLog::check_place(path, makes).map_err(|error| ServerError::Audit { path: path.clone(), error })
        }
    }
}

/// Opens the audit file, if there is to be one.
///
/// # Errors
/// Its path, and the error of the system.
fn open_audit(config: &Config) -> Result<Option<Arc<AuditLog>>, (PathBuf, io::Error)> {
    let Some(path) = &config.observability.audit else { return Ok(None) };
    let opened = AuditLog::open(path).map_err(|error| (path.clone(), error))?;
    Ok(Some(Arc::new(opened)))
}

/// Opens the listener of metrics, if there is to be one.
fn open_status_listener(
    config: &Config,
    is_stopped: &mut dyn FnMut() -> bool,
) -> Result<Option<StatusListener>, ServerError> {
    let Some(address) = &config.observability.metrics else { return Ok(None) };
    let opened = StatusListener::open(address, privileges::socket_owner(config.startup.run_as), is_stopped);
    opened.map(Some).map_err(|error| ServerError::Listen { address: address.clone(), error })
}

/// Becomes the user that is to serve, who gets the directories of `sockets` that are for them alone. Checks before that what a start
/// takes as that user.
fn drop_privileges(config: &Config, workers: usize, sockets: &[&SocketFile]) -> Result<(), ServerError> {
    let engines = config.engines();
    let check = || {
        let check = |engine: &&EngineEndpoint| privileges::check_engine_socket(engine, config.startup.run_as);
        engines.iter().try_for_each(check).map_err(ServerError::Privileges)
    };
    let Some(user) = config.startup.run_as else { return check() };
    // A start that fails must not have given anything away.
    let check_all = || {
        check()?;
        privileges::check_threads(workers + OTHER_THREADS).map_err(ServerError::Worker)?;
        let Some(path) = &config.observability.audit else { return Ok(()) };
        // In a directory that he gets, he may make it.
        if sockets.iter().any(|socket| socket.may_give_directory_of(path)) {
            return Ok(());
        }
        AuditLog::check(path).map_err(|error| ServerError::Audit { path: path.clone(), error })
    };
    privileges::drop_privileges(user, &engines, sockets, &check_all)?;
    tracing::info!("runs as {}", privileges::description());
    check()
}

/// Starts the thread of a worker. It holds `ending` until it ends.
fn start_worker(worker: Worker, dispatcher: Arc<Dispatcher>, ending: mpsc::Sender<()>) -> io::Result<JoinHandle<()>> {
    let runtime = runtime().on_thread_park(log::hand_over).build()?;
    std::thread::Builder::new().name(format!("worker-{}", worker.number)).spawn(move || {
        let _ending = ending;
        log::gather();
        runtime.block_on(worker.serve(dispatcher));
        // Connections that are still open are cut.
        proxy::giving_up(|| runtime.shutdown_background());
        log::hand_over();
    })
}

/// A runtime of one thread.
fn runtime() -> tokio::runtime::Builder {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all();
    runtime
}

/// Waits until the last records and the last lines are written, but not for ever.
fn flush(audit: Option<Arc<AuditLog>>) {
    if let Some(audit) = audit {
        audit.flush(LAST_RECORDS_TIMEOUT);
    }
    log::flush();
}

/// What stops being good of the files of TLS, and when to look at that again.
#[derive(Debug)]
struct WatchedExpiries {
    expiries: Vec<Expiry>,
    look_at: Option<Instant>,
}

impl WatchedExpiries {
    /// Those of a configuration. They are warned of now.
    fn of(config: &Config) -> Self {
        let mut watched = Self { expiries: config.expiries(), look_at: None };
        watched.warn();
        watched
    }

    /// Logs what has expired, or is soon to.
    fn warn(&mut self) {
        let now = SystemTime::now();
        for text in self.expiries.iter().filter_map(|expiry| expiry.warning(now)) {
            tracing::warn!("{text}");
        }
        self.look_at = expiry::next_look(&self.expiries, now).map(|wait| Instant::now() + wait);
    }
}

/// A server that is up.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<StopPhase>,
    /// How long a stop may take.
    limit: Duration,
    workers: Vec<JoinHandle<()>>,
    /// Closed when all workers have ended.
    ended: mpsc::Receiver<()>,
    live: LiveConfig,
    status: Arc<ServerStatus>,
    /// Where metrics and health are told.
    status_listener: Option<StatusListener>,
    expiries: WatchedExpiries,
    /// The user that the process has become.
    run_as: Option<RunAs>,
}

impl Running {
    /// The addresses of the listeners in the order of the configuration, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<Address> {
        self.live.addresses()
    }

    /// The address at which metrics and health are told, with the port that the system chose.
    pub fn metrics_address(&self) -> Option<Address> {
        self.status_listener.as_ref().map(|listener| listener.address().clone())
    }

    /// As [`Self::reload_until_signal`], with a configuration that is in no file.
    pub fn run_until_signal(self, signals: Signals) {
        self.reload_until_signal(signals, ServiceManager::default(), ConfigFileSet::default(), &mut FixedConfig);
    }

    /// Waits for a signal and stops. A second signal ends the wait for exchanges in progress. So does a worker that takes
    /// too long. Their threads end with the process.
    ///
    /// Until then, `reader` reads the configuration again when `SIGHUP` comes or one of `files` changes.
    fn reload_until_signal(
        mut self,
        mut signals: Signals,
        mut manager: ServiceManager,
        files: ConfigFileSet,
        reader: &mut dyn ConfigReader,
    ) {
        let mut watch = FileWatch::start(files);
        manager.ready(&self.status());
        loop {
            match signals.wait_or(&mut watch, manager.next_sign_of_life(), self.expiries.look_at) {
                NextTask::Stop => break,
                NextTask::Reload(reason) => {
                    manager.reloading();
                    match self.reload(reason, &mut watch, reader, &mut || signals.has_stopped()) {
                        Ok(()) => manager.ready(&self.status()),
                        Err(ReloadFault::Stopped) => break,
                        Err(ReloadFault::Wrong(error)) => manager.ready(&format!("{NOT_RELOADED}: {error}")),
                    }
                }
                NextTask::Expiries => {
                    self.expiries.warn();
                    log::hand_over();
                }
                NextTask::SignOfLife => {
                    let alive = async { tokio::time::timeout(manager.patience(), self.live.is_alive()).await };
                    let Some(alive) = signals.stopped_or(alive) else { break };
                    manager.sign_of_life(alive.unwrap_or_default());
                    log::hand_over();
                }
            }
        }
        tracing::info!("stopping");
        let (limit, audit) = (self.limit, self.status.audit());
        manager.stopping(limit);
        let (stop, _, mut ended) = self.close();
        let waited = signals.stopped_or(async { tokio::time::timeout(limit, ended.recv()).await });
        match waited {
            Some(Ok(_)) => {}
            Some(Err(_)) => tracing::warn!("stopping at once: a worker is busy"),
            None => {
                tracing::warn!("stopping at once: a second signal");
                let _ = stop.send(StopPhase::AtOnce);
                // What is open still gets its line and its record, unless that takes long.
                signals.wait_within(LAST_RECORDS_TIMEOUT, ended.recv());
            }
        }
        flush(audit);
    }

    /// What it does, for the service manager.
    fn status(&self) -> String {
        let addresses: Vec<String> = self.addresses().iter().map(ToString::to_string).collect();
        format!("serving {}", addresses.join(", "))
    }

    /// Puts the configuration in place that is in the files now.
    ///
    /// # Errors
    /// The first error in it; nothing has changed. All of them are logged. Or `is_stopped` says that nobody wants it any more.
    fn reload(
        &mut self,
        reason: ReloadReason,
        watch: &mut FileWatch,
        reader: &mut dyn ConfigReader,
        is_stopped: &mut dyn FnMut() -> bool,
    ) -> Result<(), ReloadFault> {
        // Whoever rotates it sends a signal, whatever is in the files.
        if let Some(audit) = self.status.audit() {
            audit.reopen();
        }
        let readable = match watch.files().pipe() {
            Some(pipe) => Err(format!("{} can be read only once", pipe.display())),
            None => Ok(()),
        };
        let read = readable.and_then(|()| reader.read());
        let done = match read.map(|config| (self.replace_unless(&config, is_stopped), config)) {
            Ok((Ok(()), config)) => Ok(config),
            Ok((Err(ReloadError::Stopped), _)) => return Err(ReloadFault::Stopped),
            Ok((Err(error), _)) => Err(error.to_string()),
            Err(errors) => Err(errors),
        };
        match &done {
            Ok(config) => {
                watch.replace(config.files.clone());
                tracing::info!(%reason, listeners = self.live.addresses().len(), "configuration reloaded");
                reader.in_force(config);
            }
            Err(errors) => {
                self.status.reload_failed(errors.lines().count());
                for error in errors.lines() {
                    tracing::error!(%reason, "{NOT_RELOADED}: {error}");
                }
            }
        }
        log::hand_over();
        let first = |errors: String| ReloadFault::Wrong(errors.lines().next().unwrap_or_default().to_owned());
        done.map(drop).map_err(first)
    }

    /// Serves this configuration from now on. Connections stay open, and the next request of each is served by it. So are
    /// streams that are open, unless it shows their clients less.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed.
    pub fn replace(&mut self, config: &Config) -> Result<(), ReloadError> {
        self.replace_unless(config, &mut || false)
    }

    /// As [`Self::replace`], unless `is_stopped` says meanwhile that nobody wants the server any more.
    fn replace_unless(&mut self, config: &Config, is_stopped: &mut dyn FnMut() -> bool) -> Result<(), ReloadError> {
        if config.startup.run_as != self.run_as {
            return Err(ReloadError::User);
        }
        let wanted = config.observability.metrics.as_ref();
        let is_same = self.status_listener.as_ref().map(StatusListener::configured) == wanted;
        let is_lost = is_same && self.status_listener.as_ref().is_some_and(StatusListener::is_lost);
        let opened = match self.opened_status_listener(wanted.filter(|_| !is_same || is_lost), is_stopped) {
            Err(ReloadError::Listen { address, error }) if is_lost => {
                socket_file::log_not_made_again(&address, &error);
                None
            }
            opened => opened.map_err(|error| self.explained(error))?,
        };
        let mut opened_audit = None;
        let audit = match self.status.audit() {
            Some(audit) if Some(audit.path()) == config.observability.audit.as_deref() => Some(audit),
            Some(_) | None => {
                opened_audit = open_audit(config).map_err(|(path, error)| ReloadError::Audit { path, error })?;
                opened_audit.clone()
            }
        };
        if let Err(error) = self.live.replace(config, audit.clone(), is_stopped) {
            // Nothing has changed: an audit file that nobody has written to is not left behind.
            if let Some(audit) = opened_audit {
                audit.remove_made();
            }
            return Err(self.explained(error));
        }
        drop(self.status.use_audit(audit));
        if is_lost && let Some(listener) = &opened {
            socket_file::log_made_again(listener.configured());
        }
        if !is_same || opened.is_some() {
            self.status_listener = opened;
        }
        self.status.replace(self.live.memory(), self.live.engines());
        self.expiries = WatchedExpiries::of(config);
        self.status.use_expiries(self.expiries.expiries.clone());
        log::set_format(config.observability.log_format);
        self.limit = config.timeouts.shutdown + STOP_MARGIN;
        Ok(())
    }

    /// The error with the reason, if a port is our own until the new listener is open.
    fn explained(&self, error: ReloadError) -> ReloadError {
        let ReloadError::Listen { address, error } = error else { return error };
        let own = self.addresses().into_iter().chain(self.metrics_address());
        let holder =
            own.into_iter().find(|own| error.kind() == io::ErrorKind::AddrInUse && own.is_in_the_way_of(&address));
        let error = match holder {
            Some(own) => io::Error::new(error.kind(), format!("{error}: {own} has the port until a restart")),
            None => error,
        };
        ReloadError::Listen { address, error }
    }

    /// A new listener of metrics at this address, which answers.
    fn opened_status_listener(
        &self,
        address: Option<&Address>,
        is_stopped: &mut dyn FnMut() -> bool,
    ) -> Result<Option<StatusListener>, ReloadError> {
        let Some(address) = address else { return Ok(None) };
        let mut opened = StatusListener::open(address, SocketOwner::default(), is_stopped);
        if let Ok(listener) = &mut opened
            && let Err(error) = listener.start(self.status.clone())
        {
            opened = Err(error);
        }
        opened.map(Some).map_err(|error| ReloadError::listen(address, error))
    }

    /// Stops accepting connections, gives exchanges time to finish, cuts streams, and returns when all have ended.
    pub fn stop(self) {
        let audit = self.status.audit();
        let (_stop, workers, _) = self.close();
        for worker in workers {
            // A worker that panicked has reported it.
            let _ = worker.join();
        }
        flush(audit);
    }

    /// Closes the listeners and tells the workers to stop. Returns what tells them more, and what tells when they have stopped.
    fn close(self) -> (watch::Sender<StopPhase>, Vec<JoinHandle<()>>, mpsc::Receiver<()>) {
        let Self { stop, workers, ended, live, .. } = self;
        live.close_all();
        let _ = stop.send(StopPhase::Stopping);
        (stop, workers, ended)
    }
}
