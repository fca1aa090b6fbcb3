//! What a running server says of itself: whether it is alive, whether it is ready, and its metrics.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::worker::WorkerCommand;
use crate::audit::AuditLog;
use crate::config::Expiry;
use crate::log::{self, one_line};
use crate::metrics::{CurrentState, Metrics};
use crate::proxy::MemoryBudget;
use crate::upstream::{Engine, PingFault, Upstream, UpstreamError};

/// How long an engine may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the answer of an engine counts. In this time, it is asked once at most.
const FRESH: Duration = Duration::from_secs(2);
/// How long a worker may take to answer.
const WORKER_TIMEOUT: Duration = Duration::from_secs(2);

/// What is known of a running server, for all that ask.
#[derive(Debug)]
pub(super) struct ServerStatus {
    /// What has been counted.
    pub(super) metrics: Arc<Metrics>,
    /// The way to each worker.
    workers: Vec<mpsc::UnboundedSender<WorkerCommand>>,
    state: Mutex<StatusState>,
}

/// What a reload changes.
#[derive(Debug)]
struct StatusState {
    memory: Arc<MemoryBudget>,
    engines: Vec<Arc<EngineStatus>>,
    /// When the configuration in force was loaded.
    loaded: String,
    /// When the last reload failed, and how many errors there were, if it has.
    failed: Option<(String, usize)>,
    audit: AuditStatus,
    /// What stops being good of the files of TLS.
    expiries: Vec<Expiry>,
}

/// The audit file in use, and what was counted for those before it.
#[derive(Debug, Default)]
struct AuditStatus {
    file: Option<Arc<AuditLog>>,
    before: (u64, u64),
}

impl AuditStatus {
    fn counts(&self) -> (u64, u64) {
        let (written, lost) = self.file.as_ref().map(|file| file.counts()).unwrap_or_default();
        (self.before.0 + written, self.before.1 + lost)
    }
}

/// An engine, and what it answered last.
#[derive(Debug)]
struct EngineStatus {
    upstream: Upstream,
    last: tokio::sync::Mutex<Option<(Instant, EngineHealth)>>,
}

/// How an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum EngineHealth {
    /// It answers.
    Up,
    /// It cannot be connected to.
    Down(String),
    /// It does not answer in time.
    Hangs,
    /// What it answers is no answer to a ping.
    Broken(String),
}

impl EngineHealth {
    /// What is said of it.
    fn text(&self, engine: &Engine) -> String {
        match (self, engine.version()) {
            (Self::Up, Some(version)) => format!("up, API {version}"),
            (Self::Up, None) => "up".to_owned(),
            (Self::Down(why), _) => format!("down ({why})"),
            (Self::Hangs, _) => format!("hangs (no answer within {PING_TIMEOUT:?})"),
            (Self::Broken(why), _) => format!("broken ({why})"),
        }
    }
}

impl From<Result<(), PingFault>> for EngineHealth {
    fn from(pinged: Result<(), PingFault>) -> Self {
        let error = match pinged {
            Ok(()) => return Self::Up,
            Err(PingFault::Unanswered(error)) => error,
            Err(error @ (PingFault::Status(_) | PingFault::TooLong)) => return Self::Broken(error.to_string()),
        };
        match error {
            UpstreamError::Unavailable(_) | UpstreamError::Tls(_) | UpstreamError::Ssh(_) => {
                Self::Down(error.to_string())
            }
            UpstreamError::Timeout(_) => Self::Hangs,
            UpstreamError::Broken(_)
            | UpstreamError::Unanswered
            | UpstreamError::Malformed(_)
            | UpstreamError::Version
            | UpstreamError::ClientBody => Self::Broken(error.to_string()),
        }
    }
}

impl EngineStatus {
    fn of(engine: &Arc<Engine>) -> Self {
        // A connection of its own, in the runtime of those who ask; none is kept.
        Self { upstream: Upstream::new(engine.clone(), 0), last: tokio::sync::Mutex::default() }
    }

    /// How the engine is. Those who ask at the same time wait for one answer.
    ///
    /// Cancel safety: the engine is asked again.
    async fn health(&self) -> EngineHealth {
        let mut last = self.last.lock().await;
        if let Some((at, health)) = &*last
            && at.elapsed() < FRESH
        {
            return health.clone();
        }
        let health = EngineHealth::from(self.upstream.ping(PING_TIMEOUT).await);
        *last = Some((Instant::now(), health.clone()));
        health
    }
}

/// Whether it is so, and what to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StatusReport {
    /// Whether it is.
    pub(super) is_good: bool,
    /// Lines of text.
    pub(super) text: String,
}

impl ServerStatus {
    /// Of a server with these workers, whose configuration has just been loaded.
    pub(super) fn new(
        metrics: Arc<Metrics>,
        workers: Vec<mpsc::UnboundedSender<WorkerCommand>>,
        memory: Arc<MemoryBudget>,
        engines: impl Iterator<Item = Arc<Engine>>,
    ) -> Self {
        let engines = engines.map(|engine| Arc::new(EngineStatus::of(&engine))).collect();
        let (loaded, audit) = (log::time_text(), AuditStatus::default());
        let state = StatusState { memory, engines, loaded, failed: None, audit, expiries: Vec::new() };
        Self { metrics, workers, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, StatusState> {
        // No code that holds the lock panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another configuration is in force, with this memory and these engines.
    pub(super) fn replace(&self, memory: Arc<MemoryBudget>, engines: impl Iterator<Item = Arc<Engine>>) {
        let mut state = self.state();
        let known = std::mem::take(&mut state.engines);
        let status_of = |engine: Arc<Engine>| {
            let is_it = |status: &&Arc<EngineStatus>| Arc::ptr_eq(status.upstream.engine(), &engine);
            known.iter().find(is_it).cloned().unwrap_or_else(|| Arc::new(EngineStatus::of(&engine)))
        };
        state.engines = engines.map(status_of).collect();
        state.memory = memory;
        (state.loaded, state.failed) = (log::time_text(), None);
        drop(state);
        self.metrics.count_reload(true);
    }

    /// This audit file is in use from now on, if any. Returns the one before.
    pub(super) fn use_audit(&self, file: Option<Arc<AuditLog>>) -> Option<Arc<AuditLog>> {
        let mut state = self.state();
        // After a reload it may be the same, whose counts go on.
        if let (Some(one), Some(other)) = (&file, &state.audit.file)
            && Arc::ptr_eq(one, other)
        {
            return file;
        }
        let before = state.audit.counts();
        std::mem::replace(&mut state.audit, AuditStatus { file, before }).file
    }

    /// This stops being good of the files of TLS in use.
    pub(super) fn use_expiries(&self, expiries: Vec<Expiry>) {
        self.state().expiries = expiries;
    }

    /// The audit file in use.
    pub(super) fn audit(&self) -> Option<Arc<AuditLog>> {
        self.state().audit.file.clone()
    }

    /// A reload has failed with so many errors: the configuration of before is still in force.
    pub(super) fn reload_failed(&self, errors: usize) {
        self.state().failed = Some((log::time_text(), errors));
        self.metrics.count_reload(false);
    }

    /// Whether each worker answers.
    pub(super) async fn liveness(&self) -> StatusReport {
        let mut text = String::new();
        let deadline = Instant::now() + WORKER_TIMEOUT;
        let answers: Vec<_> = self.workers.iter().map(ask_worker).collect();
        for (number, answer) in answers.into_iter().enumerate() {
            if !matches!(tokio::time::timeout_at(deadline, answer).await, Ok(Ok(()))) {
                // Writing to a string does not fail.
                let _ = writeln!(text, "worker {number}: no answer within {WORKER_TIMEOUT:?}");
            }
        }
        let is_good = text.is_empty();
        StatusReport { is_good, text: format!("{}\n{text}", if is_good { "live" } else { "not live" }) }
    }

    /// Whether every engine answers. `is_verbose` asks for more text.
    pub(super) async fn readiness(&self, is_verbose: bool) -> StatusReport {
        let (mut text, mut is_good) = (String::new(), true);
        for (engine, health) in self.health().await {
            is_good &= health == EngineHealth::Up;
            if is_verbose || health != EngineHealth::Up {
                let line = format!("engine {}: {}", engine.address(), health.text(&engine));
                // A path may hold anything, and so may what `ssh` says last.
                let _ = writeln!(text, "{}", one_line(&line));
            }
        }
        if is_verbose {
            let state = self.state();
            let (used, limit) = state.memory.usage();
            let _ = writeln!(text, "memory of documents: {used} of {limit} bytes");
            let _ = writeln!(text, "configuration: loaded {}", state.loaded);
            if let Some((at, errors)) = &state.failed {
                let _ = writeln!(text, "reload: failed {at}, errors: {errors}, see the log; nothing has changed");
            }
        }
        StatusReport { is_good, text: format!("{}\n{text}", if is_good { "ready" } else { "not ready" }) }
    }

    /// The metrics as text.
    ///
    /// # Errors
    /// None in a program whose tests pass.
    pub(super) async fn metrics(&self) -> Result<Vec<u8>, String> {
        let engines = self.health().await.into_iter().map(|(engine, health)| {
            let version = engine.version().map(|version| version.to_string());
            (engine.address().to_string(), health == EngineHealth::Up, version)
        });
        let engines = engines.collect();
        let (memory, audit, expiries) = {
            let state = self.state();
            let expiries = state.expiries.iter().map(|expiry| (expiry.address.clone(), expiry.what.key(), expiry.at));
            (state.memory.usage(), state.audit.counts(), expiries.collect())
        };
        let state = CurrentState { memory, engines, dropped_lines: log::dropped_lines(), audit, expiries };
        self.metrics.text(&state).map_err(|error| error.to_string())
    }

    /// How each engine is. They are asked at the same time.
    async fn health(&self) -> Vec<(Arc<Engine>, EngineHealth)> {
        let engines = self.state().engines.clone();
        let ask = |status: Arc<EngineStatus>| {
            tokio::spawn(async move { (status.upstream.engine().clone(), status.health().await) })
        };
        let asked: Vec<_> = engines.into_iter().map(ask).collect();
        let mut found = Vec::with_capacity(asked.len());
        for health in asked {
            // A task that panicked has reported it.
            found.extend(health.await);
        }
        found
    }
}

/// Asks a worker for an answer.
pub(super) fn ask_worker(worker: &mpsc::UnboundedSender<WorkerCommand>) -> oneshot::Receiver<()> {
    let (answer, answered) = oneshot::channel();
    // One that has ended gives no answer.
    let _ = worker.send(WorkerCommand::Answer(answer));
    answered
}
