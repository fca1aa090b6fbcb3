//! The body of a client's request, which is passed on as it arrives.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// The body of a client's request. Its bytes are counted as they are read.
#[derive(Debug)]
pub struct ClientBody {
    incoming: Incoming,
    received: Option<Arc<AtomicU64>>,
}

impl ClientBody {
    /// This body. `received` counts its bytes.
    pub fn new(incoming: Incoming, received: Option<Arc<AtomicU64>>) -> Self {
        Self { incoming, received }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.incoming).poll_frame(cx));
        if let (Some(Ok(frame)), Some(received)) = (&frame, &this.received) {
            received.fetch_add(frame.data_ref().map_or(0, Bytes::len) as u64, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
