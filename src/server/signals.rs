//! The signals that the program handles.
//!
//! | signal | effect |
//! |---|---|
//! | `SIGTERM`, `SIGINT`, `SIGQUIT` | the first stops the server gracefully, the second at once |
//! | `SIGHUP` | the configuration is read again |
//! | `SIGUSR1`, `SIGUSR2` | a line in the log |
//! | `SIGXFSZ` | none: the write past the limit of file sizes fails, as on a full disk |

use std::future::{pending, poll_fn};
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::ServerError;
use super::file_watch::{FileWatch, ReloadReason};

/// The signals of the program, none of which ends the process by itself any more.
#[derive(Debug)]
pub struct Signals {
    runtime: Runtime,
    /// Those that stop the server.
    stopping: Vec<Signal>,
    /// The one that asks for a reload.
    reloading: Signal,
    /// Those that do nothing, with their names.
    ignored: Vec<(Signal, &'static str)>,
    /// The one that a write past the limit of file sizes raises. Whoever writes gets the error, so nobody waits for it.
    _file_size: Signal,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextTask {
    /// To stop: a signal has come.
    Stop,
    /// To read the configuration again.
    Reload(ReloadReason),
    /// To tell the service manager that the program is alive.
    SignOfLife,
    /// To warn of what expires.
    Expiries,
}

impl Signals {
    /// Takes over the signals.
    ///
    /// # Errors
    /// [`ServerError::Signal`].
    pub fn listen() -> Result<Self, ServerError> {
        let runtime = super::runtime().build().map_err(ServerError::Signal)?;
        let entered = runtime.enter();
        let listen = |kind| signal(kind).map_err(ServerError::Signal);
        let stopping = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()];
        let stopping = stopping.map(listen).into_iter().collect::<Result<_, _>>()?;
        let reloading = listen(SignalKind::hangup())?;
        let ignored = [(SignalKind::user_defined1(), "SIGUSR1"), (SignalKind::user_defined2(), "SIGUSR2")];
        let ignored = ignored.map(|(kind, name)| Ok((listen(kind)?, name)));
        let ignored = ignored.into_iter().collect::<Result<_, ServerError>>()?;
        let file_size = listen(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        drop(entered);
        Ok(Self { runtime, stopping, reloading, ignored, _file_size: file_size })
    }

    /// Does something that may wait for others, such as reading a pipe, in a thread of its own. `None` if a signal that stops the
    /// server comes first: the thread then lasts until the process ends.
    ///
    /// # Errors
    /// [`ServerError::Signal`]: the thread cannot be started, or it has panicked.
    pub fn unless_stopped<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, ServerError> {
        let (sender, receiver) = oneshot::channel();
        let working = std::thread::Builder::new().name("start".to_owned()).spawn(move || {
            // Nobody receives it if a signal has come.
            let _ = sender.send(work());
        });
        let working = working.map_err(ServerError::Signal)?;
        let Some(done) = self.stopped_or(receiver) else { return Ok(None) };
        // Whoever changes the user must be the only thread.
        let _ = working.join();
        done.map(Some).map_err(|_| ServerError::Signal(io::ErrorKind::Interrupted.into()))
    }

    /// Waits for what is to be done next. Logs the signals that do nothing. `alive_at` is when a sign of life is due, `look_at` when
    /// to look for what expires.
    pub(super) fn wait_or(
        &mut self,
        watch: &mut FileWatch,
        alive_at: Option<Instant>,
        look_at: Option<Instant>,
    ) -> NextTask {
        let Self { runtime, stopping, reloading, ignored, .. } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = stopped(stopping, ignored) => NextTask::Stop,
                _ = reloading.recv() => NextTask::Reload(ReloadReason::Signal),
                () = watch.changed() => NextTask::Reload(ReloadReason::Files),
                () = until(alive_at) => NextTask::SignOfLife,
                () = until(look_at) => NextTask::Expiries,
            }
        })
    }

    /// Whether a signal that stops the server has come.
    pub(super) fn has_stopped(&mut self) -> bool {
        // The runtime looks for signals before it goes on. Even the shortest sleep takes a millisecond.
        self.stopped_or(tokio::task::yield_now()).is_none()
    }

    /// Waits for `other`, whatever signals come, but not for longer than `limit`.
    pub(super) fn wait_within<T>(&mut self, limit: Duration, other: impl Future<Output = T>) {
        let _ = self.runtime.block_on(async { tokio::time::timeout(limit, other).await });
    }

    /// Waits for a signal that stops the server, or for `other`; returns what came of `other` if it was first.
    pub(super) fn stopped_or<T>(&mut self, other: impl Future<Output = T>) -> Option<T> {
        let Self { runtime, stopping, ignored, .. } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = stopped(stopping, ignored) => None,
                done = other => Some(done),
            }
        })
    }
}

/// Waits until a time, or for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

/// Waits for one of the signals that stop the server. Logs those that do nothing.
async fn stopped(stopping: &mut [Signal], ignored: &mut [(Signal, &'static str)]) {
    poll_fn(|cx| {
        log_ignored(ignored, cx);
        let mut received = stopping.iter_mut().map(|signal| signal.poll_recv(cx));
        if received.any(|received| received.is_ready()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Logs the signals that have come and do nothing.
fn log_ignored(ignored: &mut [(Signal, &'static str)], cx: &mut Context<'_>) {
    for (signal, name) in ignored {
        while signal.poll_recv(cx).is_ready() {
            tracing::info!(signal = *name, "signal ignored: SIGHUP reloads the configuration");
        }
    }
}
