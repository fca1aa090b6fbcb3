//! The body of a client's request, which is passed on as it arrives.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// What has come of a client after the head of its request, and how long it was waited for.
///
/// Every body of a request is read through [`ClientBody`], whatever becomes of it. So this is the one place where waiting for a client is
/// told from work and from waiting for the engine.
#[derive(Debug, Default)]
pub struct ClientMeter {
    bytes: AtomicU64,
    waits: Mutex<ClientWaits>,
}

/// How long a client was waited for.
#[derive(Debug, Default)]
struct ClientWaits {
    /// Waits that have come to an end.
    ended: Duration,
    /// Since when it is waited for now.
    since: Option<Instant>,
}

impl ClientMeter {
    /// So many bytes more have come.
    pub fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How many bytes have come.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How long the client was waited for until now.
    pub fn waited(&self) -> Duration {
        let waits = self.waits();
        waits.ended + waits.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whether the client is waited for now.
    pub(super) fn is_waiting(&self) -> bool {
        self.waits().since.is_some()
    }

    /// The client is waited for from now on, unless it is already.
    fn wait(&self) {
        self.waits().since.get_or_insert_with(Instant::now);
    }

    /// The client is no longer waited for.
    fn end_wait(&self) {
        let mut waits = self.waits();
        if let Some(since) = waits.since.take() {
            waits.ended += since.elapsed();
        }
    }

    fn waits(&self) -> MutexGuard<'_, ClientWaits> {
        // No code that holds the lock panics.
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a client's request. Its bytes are counted as they are read, and so is the time that they take to come.
#[derive(Debug)]
pub struct ClientBody {
    incoming: Incoming,
    /// `None` if there is no body.
    meter: Option<Arc<ClientMeter>>,
}

impl ClientBody {
    /// This body, which `meter` measures.
    pub fn new(incoming: Incoming, meter: Option<Arc<ClientMeter>>) -> Self {
        Self { incoming, meter }
    }

    /// What measures it.
    pub(super) fn meter(&self) -> Option<Arc<ClientMeter>> {
        self.meter.clone()
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.incoming).poll_frame(cx);
        if let Some(meter) = &this.meter {
            match &polled {
                Poll::Pending => meter.wait(),
                Poll::Ready(frame) => {
                    meter.end_wait();
                    if let Some(Ok(frame)) = frame {
                        meter.count(frame.data_ref().map_or(0, Bytes::len));
                    }
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.end_wait();
        }
    }
}
