//! The signals that stop the program.

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ServerError;

/// `SIGTERM` and `SIGINT`, which no longer end the process by themselves.
#[derive(Debug)]
pub struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over both signals.
    ///
    /// # Errors
    /// [`ServerError::Signal`].
    pub fn listen() -> Result<Self, ServerError> {
        let runtime = super::runtime().build().map_err(ServerError::Signal)?;
        let entered = runtime.enter();
        let terminate = signal(SignalKind::terminate()).map_err(ServerError::Signal)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(ServerError::Signal)?;
        drop(entered);
        Ok(Self { runtime, terminate, interrupt })
    }

    /// Waits for one of them.
    pub(super) fn wait(mut self) {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        });
    }
}
