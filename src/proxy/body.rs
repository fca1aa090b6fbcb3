//! What may leave: the only place where a response body is made.
//!
//! Read the constructors of [`Filtered`] and you have read every exit.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::Error;
use super::trace::Trace;
use crate::filter::{FilterError, Plan, Report};
use crate::stream::elements::{ArrayError, ArraySplitter};
use crate::upstream::{UpstreamBody, UpstreamError};

/// A response body that policy has dealt with.
#[derive(Debug)]
pub struct Filtered {
    inner: Inner,
    /// Writes the line of the exchange when the body has left, or was given up.
    trace: Option<Trace>,
}

#[derive(Debug)]
enum Inner {
    Empty,
    Whole(Bytes),
    Rewritten(Box<Rewriter>),
    Relayed(Box<UpstreamBody>),
}

/// Why a body ended before its end. The connection breaks: never a short, well-formed answer.
#[derive(Debug)]
pub struct Broken(Error);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for Broken {}

impl Filtered {
    /// Nothing.
    pub fn empty() -> Self {
        Self { inner: Inner::Empty, trace: None }
    }

    /// Text of our own making, never anything from upstream.
    pub fn own(text: &'static str) -> Self {
        Self { inner: Inner::Whole(Bytes::from_static(text.as_bytes())), trace: None }
    }

    /// An error in the daemon's own form, `{"message": "…"}`.
    pub fn error(message: &'static str) -> Self {
        Self { inner: Inner::Whole(error_document(message)), trace: None }
    }

    /// One document, rewritten by `plan`.
    ///
    /// # Errors
    /// [`Error::Filter`] if it is longer than `limit` or the plan cannot be applied; [`Error::Upstream`].
    pub(super) async fn document(body: UpstreamBody, plan: &Plan, limit: usize) -> Result<(Self, Report), Error> {
        let document = body.collect(limit).await?.ok_or(Error::TooLong { limit })?;
        let mut out = Vec::with_capacity(document.len());
        let report = plan.apply(&document, &mut out).map_err(Error::Filter)?;
        Ok((Self { inner: Inner::Whole(out.into()), trace: None }, report))
    }

    /// An array of documents, each rewritten by `plan`; the first leaves before the last has arrived.
    ///
    /// Waits for the first of them, so that an answer which is no such array is withheld and not cut short.
    ///
    /// # Errors
    /// [`Error::Elements`] if it is no array, or its first element is refused; [`Error::Upstream`].
    pub(super) async fn array(
        body: UpstreamBody,
        plan: Arc<Plan>,
        limit: usize,
        stall: Duration,
    ) -> Result<Self, Error> {
        let mut rewriter = Rewriter {
            body,
            elements: Some(ArraySplitter::new(limit)),
            plan,
            report: Report::default(),
            out: Vec::new(),
            stall,
            alarm: None,
        };
        // The opening bracket alone says nothing about what follows it.
        let mut first = Vec::new();
        while first.len() <= 1
            && let Some(chunk) = std::future::poll_fn(|cx| rewriter.poll_chunk(cx)).await
        {
            first.extend_from_slice(&chunk?);
        }
        if rewriter.elements.is_none() {
            return Ok(Self { inner: Inner::Whole(first.into()), trace: None });
        }
        rewriter.out = first;
        Ok(Self { inner: Inner::Rewritten(Box::new(rewriter)), trace: None })
    }

    /// Bytes that policy lets through as they are.
    pub(super) fn relay(body: UpstreamBody) -> Self {
        Self { inner: Inner::Relayed(Box::new(body)), trace: None }
    }

    /// The same body, which ends the line of its exchange.
    pub(super) fn traced(mut self, mut trace: Trace) -> Self {
        if self.is_end_stream() {
            trace.done();
        }
        self.trace = Some(trace);
        self
    }
}

/// `{"message":"…"}` and a line feed, as the daemon writes it.
pub(super) fn error_document(message: &'static str) -> Bytes {
    let mut text = String::with_capacity(message.len() + 16);
    text.push_str("{\"message\":\"");
    for character in message.chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push_str("\"}\n");
    text.into()
}

/// An array that is rewritten as it arrives.
struct Rewriter {
    body: UpstreamBody,
    /// Gone once the array has ended.
    elements: Option<ArraySplitter>,
    plan: Arc<Plan>,
    report: Report,
    /// Rewritten and not yet handed on.
    out: Vec<u8>,
    stall: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl fmt::Debug for Rewriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rewriter")
    }
}

impl Rewriter {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            if !self.out.is_empty() {
                return Poll::Ready(Some(Ok(std::mem::take(&mut self.out).into())));
            }
            let Some(elements) = &mut self.elements else { return Poll::Ready(None) };
            let (plan, report) = (&self.plan, &mut self.report);
            let mut apply = |bytes: &[u8], out: &mut Vec<u8>| plan.apply_next(bytes, out, report);
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.alarm = None;
                    let Ok(chunk) = frame.into_data() else { continue };
                    self.out.reserve(chunk.len());
                    if let Err(error) = elements.push(&chunk, &mut self.out, &mut apply) {
                        return Poll::Ready(Some(Err(Error::Elements(error))));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(Error::Upstream(error)))),
                Poll::Ready(None) => {
                    if let Some(elements) = self.elements.take()
                        && let Err(error) = elements.finish(&mut self.out, &mut apply)
                    {
                        return Poll::Ready(Some(Err(Error::Elements(error))));
                    }
                }
                Poll::Pending => {
                    let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.stall)));
                    if alarm.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Some(Err(Error::Upstream(UpstreamError::Timeout))));
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Body for Filtered {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let polled = match &mut this.inner {
            Inner::Empty => Poll::Ready(None),
            Inner::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inner::Whole(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Inner::Rewritten(rewriter) => rewriter.poll_chunk(cx),
            Inner::Relayed(body) => match Pin::new(&mut **body).poll_frame(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame.into_data().unwrap_or_default()))),
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Error::Upstream(error)))),
            },
        };
        if let Some(trace) = &mut this.trace {
            match &polled {
                Poll::Ready(Some(Ok(bytes))) => {
                    trace.sent(bytes.len());
                    // A body that is whole is not asked for its end.
                    if matches!(this.inner, Inner::Whole(_)) {
                        trace.done();
                    }
                }
                Poll::Ready(Some(Err(error))) => trace.broke(error),
                Poll::Ready(None) => {
                    if let Inner::Rewritten(rewriter) = &this.inner {
                        trace.hid(&rewriter.report);
                    }
                    trace.done();
                }
                Poll::Pending => {}
            }
        }
        polled.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data).map_err(Broken)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Empty => true,
            Inner::Whole(bytes) => bytes.is_empty(),
            Inner::Rewritten(_) => false,
            Inner::Relayed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Rewritten(_) => SizeHint::default(),
            Inner::Relayed(body) => body.size_hint(),
        }
    }
}

/// What the elements of an array are refused for.
pub(super) type ElementError = ArrayError<FilterError>;
