//! Listeners, accept loop, connection limit, graceful stop.
//!
//! Each worker is one thread with a runtime of its own, its own connections to the daemon, and a share of the clients:
//! no exchange waits for another thread.

mod gate;
mod identity;
mod listen;
pub mod log;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};

use self::gate::{Gate, Patience};
use self::listen::{Acceptor, Bound};
use crate::api::ApiVersion;
use crate::config::Config;
use crate::proxy::relay::{Takeover, close, own_response};
use crate::proxy::{Outcome, Proxy};
use crate::socket::{Address, Socket};
use crate::upstream::{Engine, Upstream};

/// Descriptors kept back for everything but connections.
const RESERVED: u64 = 200;
/// More workers than this gain nothing: a worker carries gigabytes a second.
const WORKER_LIMIT: usize = 4;

/// Why the server did not start or did not go on.
#[derive(Debug)]
pub enum Error {
    /// A listener could not be opened.
    Listen {
        /// Which.
        address: Address,
        /// What the system said.
        error: io::Error,
    },
    /// The process could not become who it was to be, or cannot open the engine's socket as that.
    Identity(identity::Error),
    /// A worker could not be started.
    Worker(io::Error),
    /// The signals that stop us could not be waited for.
    Signal(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, error } => write!(f, "cannot listen on {address}: {error}"),
            Self::Identity(error) => write!(f, "{error}"),
            Self::Worker(error) => write!(f, "cannot start a worker: {error}"),
            Self::Signal(error) => write!(f, "cannot wait for signals: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// Serves until the process is told to stop (`SIGTERM`, `SIGINT`).
///
/// # Errors
/// [`Error`]; nothing is left listening.
pub fn run(config: Config) -> Result<(), Error> {
    // Before anything is opened, so that a signal during the start leaves no socket behind.
    let signals = Signals::listen()?;
    start(config)?.until_told(signals);
    Ok(())
}

/// The signals that stop the program: `SIGTERM` and `SIGINT`.
#[derive(Debug)]
pub struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over both signals. From here on they no longer end the process by themselves.
    ///
    /// # Errors
    /// [`Error::Signal`].
    pub fn listen() -> Result<Self, Error> {
        let runtime = runtime().build().map_err(Error::Signal)?;
        let entered = runtime.enter();
        let terminate = signal(SignalKind::terminate()).map_err(Error::Signal)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(Error::Signal)?;
        drop(entered);
        Ok(Self { runtime, terminate, interrupt })
    }

    /// Waits for one of them.
    fn wait(mut self) {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        });
    }
}

/// Opens all listeners, becomes who it is to be, and serves in threads of its own.
///
/// # Errors
/// [`Error`]; nothing is left listening.
pub fn start(config: Config) -> Result<Running, Error> {
    let descriptors = raise_descriptor_limit();
    let by_descriptors = usize::try_from(descriptors.saturating_sub(RESERVED) / 2).unwrap_or(usize::MAX).max(1);
    let limit = config.limits.connections.unwrap_or(by_descriptors).min(by_descriptors);
    let timeouts = &config.timeouts;
    let engine = Arc::new(Engine::new(config.upstream.clone(), timeouts.connect, timeouts.response));
    let mut bound = Vec::with_capacity(config.listeners.len());
    for listener in &config.listeners {
        if let Some(who) = config.startup.run_as {
            identity::give_folder(who, &listener.address).map_err(Error::Identity)?;
        }
        let opened = Bound::open(&listener.address, listener.mode, listener.owner)
            .map_err(|error| Error::Listen { address: listener.address.clone(), error })?;
        bound.push(opened);
    }
    if let Some(who) = config.startup.run_as {
        identity::become_user(who, &config.upstream).map_err(Error::Identity)?;
        tracing::info!("runs as {}", identity::description());
    }
    if config.startup.must_reach_engine {
        identity::check_engine(&config.upstream, config.startup.run_as).map_err(Error::Identity)?;
    }
    let addresses = bound.iter().map(|bound| bound.address().clone()).collect();
    let shared = Arc::new(Shared {
        limit,
        open: AtomicUsize::new(0),
        head_limit: config.limits.head.bytes(),
        patience: Patience { head: timeouts.head, idle: timeouts.idle },
        engine,
        closed: Notify::new(),
    });
    let (stop, stopping) = watch::channel(false);
    let count = std::thread::available_parallelism().map_or(1, usize::from).min(WORKER_LIMIT);
    let mut workers = Vec::with_capacity(count);
    for number in 0..count {
        let upstream = Upstream::new(shared.engine.clone());
        let mut served = Vec::with_capacity(bound.len());
        for (bound, listener) in bound.iter().zip(&config.listeners) {
            let proxy = Proxy {
                upstream: upstream.clone(),
                policy: listener.policy.clone(),
                origins: listener.origins.as_slice().into(),
                hosts: listener.hosts.as_slice().into(),
                element_limit: config.limits.element.bytes(),
            };
            served.push((bound.share().map_err(Error::Worker)?, Arc::new(proxy)));
        }
        let worker = Worker {
            number,
            shared: shared.clone(),
            stopping: stopping.clone(),
            upstream,
            patience: timeouts.shutdown,
        };
        let runtime = runtime().on_thread_park(log::write).build().map_err(Error::Worker)?;
        let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            log::gather();
            runtime.block_on(worker.serve(served));
            // What is still open now is cut, not waited for.
            runtime.shutdown_background();
            log::write();
        });
        workers.push(thread.map_err(Error::Worker)?);
    }
    Ok(Running { addresses, stop, workers, _bound: bound })
}

/// A runtime of one thread.
fn runtime() -> tokio::runtime::Builder {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all();
    runtime
}

/// Raises the limit of open descriptors as far as the system lets us; answers what it is then.
fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    // No limit at all is as good as a million.
    limit.current.unwrap_or(1 << 20)
}

/// A server that is up.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<Address>,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    /// Holds the sockets of the file system, which go when it does.
    _bound: Vec<Bound>,
}

impl Running {
    /// Where it listens, in the order of the configuration; ports the system chose are filled in.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Serves until one of the signals comes, and then stops.
    pub fn until_told(self, signals: Signals) {
        signals.wait();
        tracing::info!("stopping");
        self.stop();
    }

    /// Stops: no new connections, what is under way may finish for a while, streams are cut. Waits until all is over.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        for worker in self.workers {
            // A worker that panicked has said so itself.
            let _ = worker.join();
        }
    }
}

/// What all workers have in common.
#[derive(Debug)]
struct Shared {
    limit: usize,
    open: AtomicUsize,
    head_limit: usize,
    patience: Patience,
    engine: Arc<Engine>,
    closed: Notify,
}

/// One of the connections the limit counts.
struct Counted(Arc<Shared>);

impl Counted {
    /// Counts one more; `None` past the limit.
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let counted = Self(shared.clone());
        // The guard is made first: dropping it takes the number back.
        (shared.open.fetch_add(1, Ordering::Relaxed) < shared.limit).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.closed.notify_one();
    }
}

struct Worker {
    number: usize,
    shared: Arc<Shared>,
    stopping: watch::Receiver<bool>,
    upstream: Upstream,
    patience: Duration,
}

impl Worker {
    async fn serve(self, listeners: Vec<(listen::Shared, Arc<Proxy>)>) {
        for (shared, proxy) in listeners {
            match shared.into_acceptor() {
                Ok(acceptor) => drop(tokio::spawn(accept(acceptor, proxy, self.shared.clone(), self.stopping.clone()))),
                Err(error) => tracing::error!(%error, "a worker cannot listen"),
            }
        }
        if self.number == 0 {
            tokio::spawn(introduce(self.upstream.clone()));
        }
        let mut stopping = self.stopping.clone();
        let _ = stopping.wait_for(|stopping| *stopping).await;
        let emptied = async {
            while self.shared.open.load(Ordering::Relaxed) > 0 {
                let _ = tokio::time::timeout(Duration::from_millis(50), self.shared.closed.notified()).await;
            }
        };
        let _ = tokio::time::timeout(self.patience, emptied).await;
    }
}

/// Says once at start what is at the other end.
async fn introduce(upstream: Upstream) {
    let address = upstream.engine().address().to_string();
    match upstream.version().await {
        Ok(version) if version > ApiVersion::NEWEST => tracing::warn!(
            "the engine at {address} speaks API {version}, newer than the {} this program knows: what is new in it stays hidden",
            ApiVersion::NEWEST,
        ),
        Ok(version) => tracing::info!("the engine at {address} speaks API {version}"),
        Err(error) => tracing::warn!("the engine at {address} is not to be had ({error}): answering 503 until it is"),
    }
}

/// Takes connections until told to stop.
async fn accept(acceptor: Acceptor, proxy: Arc<Proxy>, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok(socket) => match Counted::take(&shared) {
                Some(counted) => drop(tokio::spawn(connection(socket, proxy.clone(), counted, stopping.clone()))),
                None => drop(tokio::spawn(turn_away(socket, shared.engine.version()))),
            },
            Err(error) => {
                // Out of descriptors, most likely: what is open must close first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Answers a client for whom there is no room.
async fn turn_away(socket: Socket, engine: Option<ApiVersion>) {
    tracing::warn!("too many connections");
    let _ = socket.write_all(&own_response(503, "too many connections", engine)).await;
    close(socket).await;
}

/// Where an exchange leaves word that it opens a stream.
type Slot = Arc<Mutex<Option<Box<Takeover>>>>;

/// One connection: requests one after another, until it ends or becomes a stream.
async fn connection(socket: Socket, proxy: Arc<Proxy>, counted: Counted, mut stopping: watch::Receiver<bool>) {
    // In a box of its own, so that a connection which has become a stream no longer pays for the HTTP reader.
    let ended = Box::pin(requests(socket, proxy, counted.0.clone(), stopping.clone())).await;
    let (gate, takeover) = ended;
    let refusal = gate.refusal();
    let (socket, early) = gate.into_parts();
    if let Some(takeover) = takeover {
        tokio::spawn(async move {
            let _counted = counted;
            tokio::select! {
                () = takeover.run(socket, early) => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        });
    } else if let Some(refusal) = refusal {
        tracing::debug!(%refusal, "request refused");
        let response = own_response(refusal.status(), refusal.public(), counted.0.engine.version());
        let _ = socket.write_all(&response).await;
        close(socket).await;
    }
}

/// Answers requests until the connection ends, one is refused, or one opens a stream.
async fn requests(
    socket: Socket,
    proxy: Arc<Proxy>,
    shared: Arc<Shared>,
    mut stopping: watch::Receiver<bool>,
) -> (Gate, Option<Box<Takeover>>) {
    let slot = Slot::default();
    let service = service_fn(|request: Request<Incoming>| {
        let (proxy, slot) = (proxy.clone(), slot.clone());
        // In a box, so that the connection can be polled in place and taken apart.
        Box::pin(async move {
            match proxy.exchange(request).await {
                Outcome::Answer(response) => Ok::<_, std::convert::Infallible>(response),
                Outcome::Takeover(takeover) => {
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(takeover);
                    std::future::pending().await
                }
            }
        })
    });
    let gate = Gate::new(socket, shared.head_limit, shared.patience);
    // Half-closed is not closed: who has sent a request and ends its direction still reads the answer.
    let mut connection = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(gate), service);
    let takeover = {
        let mut told = false;
        let mut stop = pin!(stopping.wait_for(|stopping| *stopping));
        std::future::poll_fn(|cx| {
            let ended = connection.poll_without_shutdown(cx);
            if let Some(takeover) = slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Poll::Ready(Some(takeover));
            }
            if let Poll::Ready(ended) = ended {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return Poll::Ready(None);
            }
            if !told && stop.as_mut().poll(cx).is_ready() {
                told = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    };
    (connection.into_parts().io.into_inner(), takeover)
}
