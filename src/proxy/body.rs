//! The bytes that a client reads: all of them are made here.
//!
//! There are two ways to a client. Each accepts one type, and only this file can construct it:
//!
//! - The server's HTTP writer accepts a [`Filtered`] body. hyper writes the head, with the header fields that
//!   [`super::headers`] selects. By itself, hyper writes only heads without a body.
//! - [`super::Downstream`], the client's connection after the HTTP reader, accepts [`Outgoing`] bytes: the heads and bytes of
//!   streams and tunnels, and the answers to malformed requests. [`Unread`] bytes of a stream go there without being read here.
//!
//! Read the constructors of [`Filtered`], [`Outgoing`], [`Unread`], [`OutgoingBuffer`] and [`Message`] and you have read every exit.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::StatusCode;

use super::access_log::AccessLog;
use super::delivery::{Delivery, DeliveryLog};
use super::headers::HostFields;
use super::in_stream::InStreamErrors;
use super::memory::{Leased, MemoryError, MemoryLease, buffer};
use super::message::Message;
use super::request_id::RequestId;
use super::seen::{DocumentFilter, StreamFilter};
use super::window::Window;
use super::{Error, headers, versions, warnings, work};
use crate::api::{ApiRange, ApiVersion, Upgrade};
use crate::filter::{ExpressionWork, FilterError, Report};
use crate::policy::RelayReason;
use crate::socket::{Moved, Socket};
use crate::stream::elements::{ArrayError, ArraySplitter};
use crate::stream::records::{MARK, Marks, RecordSplitter};
use crate::upstream::UpstreamBody;
use crate::upstream::raw::ResponseHead;

/// A response body that policy has dealt with.
#[derive(Debug)]
pub struct Filtered {
    content: Content,
    /// Written when the body has been sent, or was given up.
    log: DeliveryLog,
    /// Since when work on it is done on a helper thread.
    working_since: Option<Instant>,
}

#[derive(Debug)]
enum Content {
    Empty,
    Whole(Bytes),
    Array(Box<ArrayRewriter>),
    Progress(Box<ProgressRewriter>),
    Relayed(Box<RelayedBody>),
    /// As it comes, within the time of the engine.
    Document(Box<RelayedBody>),
}

/// A body that passes as it comes.
#[derive(Debug)]
struct RelayedBody {
    body: UpstreamBody,
    window: Window,
}

impl RelayedBody {
    fn of(body: UpstreamBody) -> Box<Self> {
        Box::new(Self { body, window: Window::default() })
    }

    /// The next bytes; `None` is the end. If `is_timed`, within the time of the engine.
    fn poll_chunk(&mut self, cx: &mut Context<'_>, is_timed: bool) -> Poll<Option<Result<Bytes, Error>>> {
        ready!(self.window.poll_room(cx));
        let next = if is_timed {
            ready!(self.body.poll_next(cx)).transpose()
        } else {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default()))
        };
        Poll::Ready(next.map(|next| next.map(|bytes| self.window.count(bytes)).map_err(Error::Upstream)))
    }
}

/// Why a body ended early. The connection is then broken off: a client never reads a short, well-formed answer.
#[derive(Debug)]
pub struct BodyError(Error);

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for BodyError {}

/// A document that has arrived, and how it is filtered.
pub(super) struct FilteredDocument {
    document: Vec<u8>,
    filter: DocumentFilter,
    amendment: Option<Amendment>,
    memory: MemoryLease,
}

impl FilteredDocument {
    /// Reads a document. Its memory is leased until the last byte has been sent.
    ///
    /// # Errors
    /// [`Error::TooLong`] if it is longer than `limit`, [`Error::Memory`], [`Error::Upstream`].
    pub(super) async fn collect(
        body: UpstreamBody,
        filter: DocumentFilter,
        amendment: Option<Amendment>,
        limit: usize,
        mut memory: MemoryLease,
    ) -> Result<Self, Error> {
        let document = collect(body, limit, |length| filter.memory(length), &mut memory).await?;
        Ok(Self { document, filter, amendment, memory })
    }

    /// The document, and whether it says that it is about an object which the client does not see. `client` is the name in the log
    /// of who asks for it.
    pub(super) async fn judged(self, client: &str) -> (Self, bool) {
        let is_long = work::is_long(self.document.len(), ExpressionWork::None);
        let judge = move || {
            let view = self.filter.view.as_ref();
            let is_hidden = view.is_some_and(|leased| leased.view.hides(&self.document));
            (self, is_hidden)
        };
        if is_long { work::on_helper(client, judge).await } else { judge() }
    }

    /// The names of other containers in it, of which it must be known whether the client sees them.
    pub(super) fn references(&self) -> HashSet<String> {
        // A long one has none that are shown: finding them takes time.
        let view = self.filter.view.as_ref().filter(|_| !work::is_long(self.document.len(), ExpressionWork::None));
        view.map(|leased| leased.view.unknown_references(&self.document)).unwrap_or_default()
    }

    /// Notes which of them the client sees.
    pub(super) fn know_references(&mut self, visible: HashSet<String>) {
        if let Some(leased) = &mut self.filter.view {
            leased.view.know_references(visible);
        }
    }

    /// The document, filtered, and amended if there is something to say beside that. `client` is the name in the log of who asks
    /// for it.
    ///
    /// # Errors
    /// [`Error::Filter`] if the plan cannot be applied.
    pub(super) async fn finish(self, client: &str) -> Result<(Filtered, Report), Error> {
        let Self { document, filter, amendment, memory } = self;
        let is_long = work::is_long(document.len(), filter.expressions());
        // The lease goes along, because the work goes on if nobody waits for it any more.
        let apply = move || {
            let mut out = buffer(document.len());
            let report = filter.apply(&document, &mut out)?;
            if let Some(amendment) = amendment {
                amendment.apply(&document, &mut out);
            }
            drop(document);
            Ok((Leased::new(out, memory), report))
        };
        let applied = if is_long { work::on_helper(client, apply).await } else { apply() };
        let (out, report) = applied.map_err(Error::Filter)?;
        Ok((Filtered::of(Content::Whole(Bytes::from_owner(out))), report))
    }
}

impl Filtered {
    /// No body.
    pub(super) fn empty() -> Self {
        Self::of(Content::Empty)
    }

    /// Our own text, never anything from upstream.
    pub(super) fn own(text: &'static str) -> Self {
        Self::of(Content::Whole(Bytes::from_static(text.as_bytes())))
    }

    /// An error in the engine's form, `{"message": "…"}`.
    pub(super) fn error(message: Message) -> Self {
        Self::of(Content::Whole(message.into_document().into()))
    }

    /// An array of documents, each rewritten by `filter`. The first leaves before the last has arrived.
    ///
    /// Waits for the first element, so that an answer which is no such array is withheld and not cut short. `client` is the
    /// name in the log of who asks for it.
    ///
    /// # Errors
    /// [`Error::Elements`] if it is no array or its first element is refused, [`Error::Memory`], [`Error::Upstream`].
    pub(super) async fn array(
        body: UpstreamBody,
        filter: DocumentFilter,
        limit: usize,
        memory: MemoryLease,
        client: Arc<str>,
    ) -> Result<Self, Error> {
        let mut rewriter = ArrayRewriter {
            body,
            filter: Some(ElementFilter {
                elements: Some(ArraySplitter::new(limit)),
                filter,
                report: Report::default(),
                out: ChunkedOutput::default(),
                memory,
            }),
            arrived: None,
            working: None,
            client,
        };
        // Until an element has passed, the array may still be refused.
        if let Some(first) = std::future::poll_fn(|cx| rewriter.poll_chunk(cx)).await.transpose()?
            && let Some(filter) = &mut rewriter.filter
        {
            filter.out.ready.push_front(first);
        }
        Ok(Self::of(Content::Array(Box::new(rewriter))))
    }

    /// A stream of progress: its records as they are, and its errors as the policy says them.
    pub(super) fn progress(body: UpstreamBody, errors: InStreamErrors, limit: usize, memory: MemoryLease) -> Self {
        let records = Some(RecordSplitter::new(Marks::Forbidden, limit));
        Self::of(Content::Progress(Box::new(ProgressRewriter {
            body,
            records,
            errors,
            arrived: None,
            memory,
            window: Window::default(),
        })))
    }

    /// The engine's bytes as they are. Policy gives the reason.
    pub(super) fn relay(body: UpstreamBody, _reason: RelayReason) -> Self {
        Self::of(Content::Relayed(RelayedBody::of(body)))
    }

    /// A document of which nothing is hidden, as the engine writes it. Policy gives the reason. If the engine is silent for too
    /// long, the answer is broken off.
    pub(super) fn document(body: UpstreamBody, _reason: RelayReason) -> Self {
        Self::of(Content::Document(RelayedBody::of(body)))
    }

    fn of(content: Content) -> Self {
        Self { content, log: DeliveryLog::default(), working_since: None }
    }

    /// The same body, which writes the log line of its exchange.
    pub(super) fn logged(mut self, log: AccessLog, delivery: &Delivery) -> Self {
        // Of an answer to `HEAD`, the HTTP writer takes the length of the body alone.
        let is_bodiless = log.is_head() || self.is_end_stream();
        let passes_through = matches!(self.content, Content::Relayed(_) | Content::Progress(_));
        self.log = delivery.of(log, passes_through);
        if is_bodiless {
            self.log.written();
        }
        self
    }

    /// As [`Self::poll_next`]; notes how long that took, and how long the engine was waited for.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if matches!(self.content, Content::Empty | Content::Whole(_)) {
            return self.poll_next(cx);
        }
        let started = self.working_since.take().unwrap_or_else(Instant::now);
        let polled = self.poll_next(cx);
        let (is_working, waited) = match &mut self.content {
            Content::Empty | Content::Whole(_) => (false, Duration::ZERO),
            Content::Array(rewriter) => (rewriter.working.is_some(), rewriter.body.take_waited()),
            Content::Progress(rewriter) => (false, rewriter.body.take_waited()),
            Content::Relayed(relayed) | Content::Document(relayed) => (false, relayed.body.take_waited()),
        };
        if is_working {
            self.working_since = Some(started);
        }
        self.log.took(if is_working { Duration::ZERO } else { started.elapsed() }, waited);
        // The list may break, or its client leave, whenever nothing is worked on.
        if let Content::Array(rewriter) = &self.content
            && let Some(filter) = &rewriter.filter
        {
            self.log.hidden(&filter.report);
        }
        polled
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        match &mut self.content {
            Content::Empty => Poll::Ready(None),
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Content::Array(rewriter) => rewriter.poll_chunk(cx),
            Content::Progress(rewriter) => rewriter.poll_chunk(cx),
            Content::Document(body) => body.poll_chunk(cx, true),
            Content::Relayed(body) => body.poll_chunk(cx, false),
        }
    }
}

impl Body for Filtered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let chunk = ready!(this.poll_chunk(cx));
        match &chunk {
            Some(Ok(bytes)) => {
                this.log.sent(bytes.len());
                // hyper does not ask a body for its end that has announced it.
                if this.is_end_stream() {
                    this.log.written();
                }
            }
            Some(Err(error)) => this.log.broken(error.reason(), error),
            None => this.log.written(),
        }
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data).map_err(BodyError)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Array(_) | Content::Progress(_) => false,
            Content::Relayed(relayed) | Content::Document(relayed) => relayed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Array(_) | Content::Progress(_) => SizeHint::default(),
            Content::Relayed(relayed) | Content::Document(relayed) => relayed.body.size_hint(),
        }
    }
}

/// What a list leases between two chunks if its elements are small, in bytes: enough for the next chunk.
const CHUNK_MEMORY: usize = 64 * 1024;

/// Reads a body to its end. Leases memory for as many bytes as it has; `worst` says what so many take at most.
pub(super) async fn collect(
    mut body: UpstreamBody,
    limit: usize,
    worst: impl Fn(usize) -> usize,
    memory: &mut MemoryLease,
) -> Result<Vec<u8>, Error> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if expected > limit {
        return Err(Error::TooLong { limit });
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await? {
        let length = bytes.len() + chunk.len();
        if length > limit {
            return Err(Error::TooLong { limit });
        }
        if memory.enough(length, worst(length)) > memory.size() {
            let expected = length.max(expected);
            memory.grow(length, memory.ahead(expected, worst(expected))).await?;
        }
        if bytes.is_empty() && body.is_end_stream() {
            return Ok(chunk.into());
        }
        if length > bytes.capacity() {
            let mut larger = buffer(length.max(expected).max(2 * bytes.len()));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Rewrites an array as it arrives.
struct ArrayRewriter {
    body: UpstreamBody,
    /// `None` while it works on a helper thread.
    filter: Option<ElementFilter>,
    /// A chunk that waits for memory.
    arrived: Option<Bytes>,
    /// Its work there.
    working: Option<Pin<Box<dyn Future<Output = FilteredChunk> + Send>>>,
    /// Who asks for the array.
    client: Arc<str>,
}

/// Filters the elements of an array.
struct ElementFilter {
    /// For what is held and what is rewritten.
    memory: MemoryLease,
    /// `None` once the array has ended.
    elements: Option<ArraySplitter>,
    filter: DocumentFilter,
    report: Report,
    out: ChunkedOutput,
}

/// The filter after a chunk.
type FilteredChunk = (ElementFilter, Result<(), ElementError>);

impl ElementFilter {
    /// Waits for the memory for a chunk of this length: for what is held then, and for what the filter leaves of it.
    fn poll_memory(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<Result<(), MemoryError>> {
        let held = self.held() + length;
        let needed = self.memory.enough(held, self.filter.memory(held));
        self.memory.poll_grow(cx, held + self.out.size(), needed)
    }

    /// How many bytes of an element are held.
    fn held(&self) -> usize {
        self.elements.as_ref().map_or(0, ArraySplitter::held)
    }

    /// Takes the next chunk; `None` is the end.
    fn push(&mut self, chunk: Option<&[u8]>) -> Result<(), ElementError> {
        let pushed = self.rewrite(chunk);
        if self.memory.size() > CHUNK_MEMORY {
            // What waits in the writer goes on counting.
            self.memory.pause(CHUNK_MEMORY.max(self.held() + self.out.size()));
        }
        pushed
    }

    /// Filters the next chunk; `None` is the end.
    fn rewrite(&mut self, chunk: Option<&[u8]>) -> Result<(), ElementError> {
        let (filter, report) = (&mut self.filter, &mut self.report);
        let ChunkedOutput { bytes: out, ends, .. } = &mut self.out;
        let mut apply = |bytes: &[u8], out: &mut Vec<u8>| {
            let start = out.len();
            let used = filter.apply_next(bytes, out, report)?;
            if used.is_some() && out.len() > start {
                ends.push(out.len());
            }
            Ok(used)
        };
        match (&mut self.elements, chunk) {
            (Some(elements), Some(chunk)) => {
                out.reserve(chunk.len());
                elements.push(chunk, out, &mut apply)?;
            }
            (elements, None) => {
                if let Some(elements) = elements.take() {
                    elements.finish(out, &mut apply)?;
                }
            }
            (None, Some(_)) => {}
        }
        self.out.cut(self.elements.is_none());
        Ok(())
    }

    /// Whether taking this chunk is long work.
    fn is_long(&self, chunk: Option<&[u8]>) -> bool {
        let due = match (&self.elements, chunk) {
            (Some(elements), Some(chunk)) => elements.due(chunk),
            (Some(_) | None, _) => self.held(),
        };
        work::is_long(due, self.filter.expressions())
    }
}

impl fmt::Debug for ArrayRewriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ArrayRewriter")
    }
}

impl ArrayRewriter {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            if let Some(working) = &mut self.working {
                let (filter, result) = ready!(working.as_mut().poll(cx));
                (self.working, self.filter) = (None, Some(filter));
                if let Err(error) = result {
                    return Poll::Ready(Some(Err(Error::Elements(error))));
                }
            }
            let Some(filter) = &mut self.filter else { return Poll::Ready(None) };
            if let Some(chunk) = filter.out.ready.pop_front() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            ready!(filter.out.window.poll_room(cx));
            if filter.elements.is_none() {
                return Poll::Ready(None);
            }
            if let Some(chunk) = &self.arrived {
                if let Err(error) = ready!(filter.poll_memory(cx, chunk.len())) {
                    return Poll::Ready(Some(Err(error.into())));
                }
                let chunk = self.arrived.take();
                if let Err(error) = self.take(chunk) {
                    return Poll::Ready(Some(Err(Error::Elements(error))));
                }
                continue;
            }
            match ready!(self.body.poll_next(cx)) {
                Ok(Some(chunk)) => self.arrived = Some(chunk),
                Err(error) => return Poll::Ready(Some(Err(Error::Upstream(error)))),
                Ok(None) => {
                    if let Err(error) = self.take(None) {
                        return Poll::Ready(Some(Err(Error::Elements(error))));
                    }
                }
            }
        }
    }

    /// Filters the next chunk, on a helper thread if that is long work; `None` is the end.
    fn take(&mut self, chunk: Option<Bytes>) -> Result<(), ElementError> {
        let Some(mut filter) = self.filter.take() else { return Ok(()) };
        if filter.is_long(chunk.as_deref()) {
            let client = self.client.clone();
            self.working = Some(Box::pin(async move {
                let push = move || {
                    let result = filter.push(chunk.as_deref());
                    (filter, result)
                };
                work::on_helper(&client, push).await
            }));
            return Ok(());
        }
        let result = filter.push(chunk.as_deref());
        self.filter = Some(filter);
        result
    }
}

/// The least size of a chunk of a rewritten array, except of the first and the last one.
const CHUNK_SIZE: usize = 8 << 10;

/// A rewritten array, in chunks. Where a chunk ends depends on the rewritten bytes alone: after the first element, after each
/// element with which a chunk is as long as [`CHUNK_SIZE`], and at the end of the array. If it depended on what the engine
/// has sent, the length of a hidden value would show.
#[derive(Default)]
struct ChunkedOutput {
    /// Rewritten bytes that are in no chunk yet.
    bytes: Vec<u8>,
    /// Where elements end in `bytes`.
    ends: Vec<usize>,
    /// Whether an element is in a chunk.
    has_element: bool,
    /// Chunks to be sent.
    ready: VecDeque<Bytes>,
    /// What the writer has of them.
    window: Window,
}

impl ChunkedOutput {
    /// How many bytes have not been sent.
    fn size(&self) -> usize {
        self.bytes.len() + self.window.size()
    }

    /// Makes the chunks that end in the bytes. All that is left goes into the last chunk if the array `is_over`.
    fn cut(&mut self, is_over: bool) {
        let mut cut = vec![0];
        for end in self.ends.drain(..) {
            let start = cut.last().copied().unwrap_or_default();
            if !self.has_element || end - start >= CHUNK_SIZE {
                cut.push(end);
                self.has_element = true;
            }
        }
        let start = cut.last().copied().unwrap_or_default();
        if is_over && start < self.bytes.len() {
            cut.push(self.bytes.len());
        }
        if let [_, .., end] = *cut {
            let rest = self.bytes.split_off(end);
            let bytes = self.window.count(std::mem::replace(&mut self.bytes, rest));
            self.ready.extend(cut.array_windows().map(|[start, end]| bytes.slice(start..end)));
        }
    }
}

/// What a document says beside what the plan leaves of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Amendment {
    /// The API versions that it states are those of this range.
    ApiVersions(ApiRange),
    /// It says the warnings that are known.
    KnownWarnings,
}

impl Amendment {
    /// Amends what the plan has left of a document.
    fn apply(self, document: &[u8], left: &mut Vec<u8>) {
        match self {
            Self::ApiVersions(api) => versions::limit(left, &api),
            Self::KnownWarnings => warnings::add_known(document, left),
        }
    }
}

/// Rewrites the errors in a stream of progress as it arrives. A slow client makes the engine wait.
#[derive(Debug)]
struct ProgressRewriter {
    body: UpstreamBody,
    /// `None` once the stream has ended.
    records: Option<RecordSplitter>,
    errors: InStreamErrors,
    /// A chunk that waits for memory.
    arrived: Option<Bytes>,
    /// For the record that is held and what is made of it.
    memory: MemoryLease,
    window: Window,
}

impl ProgressRewriter {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        while let Some(records) = &mut self.records {
            ready!(self.window.poll_room(cx));
            if let Some(chunk) = &self.arrived {
                let held = records.held() + chunk.len();
                let needed = self.memory.enough(held, InStreamErrors::memory(held));
                if let Err(error) = ready!(self.memory.poll_grow(cx, held, needed)) {
                    return Poll::Ready(Some(Err(error.into())));
                }
                let (chunk, mut out) = (self.arrived.take().unwrap_or_default(), Vec::new());
                if records.push(&chunk, |record| self.errors.rewrite(record, &mut out)).is_err() {
                    return Poll::Ready(Some(Err(Error::NotJson)));
                }
                self.memory.pause(records.held() + out.len());
                if !out.is_empty() {
                    return Poll::Ready(Some(Ok(self.window.count(out))));
                }
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => self.arrived = frame.into_data().ok(),
                Some(Err(error)) => return Poll::Ready(Some(Err(Error::Upstream(error)))),
                None if self.records.take().is_some_and(|records| records.finish::<FilterError>().is_err()) => {
                    return Poll::Ready(Some(Err(Error::NotJson)));
                }
                None => {}
            }
        }
        Poll::Ready(None)
    }
}

/// Why the elements of an array are refused.
pub(super) type ElementError = ArrayError<FilterError>;

/// Bytes that may go to a client whose connection has left the HTTP reader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing<'b>(&'b [u8]);

impl<'b> Outgoing<'b> {
    /// The engine's bytes as they are. Policy gives the reason.
    pub(super) fn relayed(bytes: &'b [u8], _reason: RelayReason) -> Self {
        Self(bytes)
    }

    /// All but the first `count` bytes.
    pub(super) fn skip(self, count: usize) -> Self {
        Self(self.0.get(count..).unwrap_or_default())
    }

    /// The bytes, to be written.
    pub(super) fn bytes(self) -> &'b [u8] {
        self.0
    }
}

/// Bytes on the engine's connection that may go to such a client without being looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread<'e> {
    engine: &'e Socket,
    /// At most so many bytes.
    limit: usize,
}

impl<'e> Unread<'e> {
    /// The engine's next bytes as they are. Policy gives the reason.
    pub(super) fn relayed(engine: &'e Socket, limit: usize, _reason: RelayReason) -> Self {
        Self { engine, limit }
    }

    /// Moves what has arrived of them to the client's connection, as [`Socket::poll_move_some`]. Returns their number, zero at the
    /// end, and those for which there is no room; `None` if the system cannot do that.
    ///
    /// # Errors
    /// The error of the engine's connection.
    pub(super) fn poll_move(
        self,
        cx: &mut Context<'_>,
        client: &Socket,
    ) -> Poll<io::Result<Option<(usize, OutgoingBuffer)>>> {
        Poll::Ready(match ready!(self.engine.poll_move_some(cx, client, self.limit))? {
            Moved::Bytes { taken, unsent } => Ok(Some((taken, OutgoingBuffer { bytes: unsent, sent: 0 }))),
            Moved::Unsupported => Ok(None),
        })
    }
}

/// Outgoing bytes that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct OutgoingBuffer {
    bytes: Vec<u8>,
    /// How many bytes at the front have been sent.
    sent: usize,
}

/// How the body of a stream is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamFraming {
    /// The connection is upgraded to this protocol: 101, and then its bytes.
    Upgraded(Upgrade),
    /// Raw bytes to the end of the connection, without `Connection: close`. That is how Docker hijacks a connection.
    Hijacked,
    /// Chunks.
    Chunked,
    /// This many bytes.
    Length(u64),
    /// All bytes to the end of the connection.
    UntilClose,
}

impl OutgoingBuffer {
    /// A whole error response. The connection closes after it. The client may try again after so many seconds.
    pub(super) fn error_response(
        status: u16,
        retry_after: Option<u64>,
        message: Message,
        engine: Option<ApiVersion>,
        id: &RequestId,
    ) -> Self {
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let body = message.into_document();
        let version = engine.map(|version| format!("Api-Version: {version}\r\n")).unwrap_or_default();
        let retry = retry_after.map(|seconds| format!("Retry-After: {seconds}\r\n")).unwrap_or_default();
        let head = format!(
            "HTTP/1.1 {status} {}\r\n{version}{retry}Content-Type: application/json\r\nX-Request-Id: {}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            reason.unwrap_or("Error"),
            id.as_str(),
            body.len(),
        );
        Self { bytes: [head.into_bytes(), body].concat(), sent: 0 }
    }

    /// The head of a stream: our own status line and framing, and those fields of the engine's that may pass.
    pub(super) fn stream_head(
        from: &ResponseHead,
        content_type: Option<&str>,
        framing: StreamFraming,
        id: &RequestId,
    ) -> Self {
        let mut bytes = Vec::with_capacity(512);
        let mut line = |parts: &[&str]| {
            for part in parts {
                bytes.extend_from_slice(part.as_bytes());
            }
            bytes.extend_from_slice(b"\r\n");
        };
        line(&[match framing {
            StreamFraming::Upgraded(Upgrade::Tcp) => "HTTP/1.1 101 UPGRADED",
            StreamFraming::Upgraded(Upgrade::H2c | Upgrade::WebSocket) => "HTTP/1.1 101 Switching Protocols",
            StreamFraming::Hijacked | StreamFraming::Chunked | StreamFraming::Length(_) | StreamFraming::UntilClose => {
                "HTTP/1.1 200 OK"
            }
        }]);
        for (name, value) in &headers::of_response(&from.headers, HostFields::Hidden) {
            line(&[name.as_str(), ": ", value.to_str().unwrap_or_default()]);
        }
        if let Some(content_type) = content_type {
            line(&["Content-Type: ", content_type]);
        }
        line(&["X-Request-Id: ", id.as_str()]);
        match framing {
            StreamFraming::Upgraded(protocol) => {
                for (name, value) in &headers::of_handshake(&from.headers, protocol) {
                    line(&[name.as_str(), ": ", value.to_str().unwrap_or_default()]);
                }
                line(&["Connection: Upgrade\r\nUpgrade: ", protocol.as_str()]);
            }
            StreamFraming::Hijacked => {}
            StreamFraming::Chunked => line(&["Transfer-Encoding: chunked\r\nConnection: close"]),
            StreamFraming::Length(length) => line(&["Content-Length: ", &length.to_string(), "\r\nConnection: close"]),
            StreamFraming::UntilClose => line(&["Connection: close"]),
        }
        line(&[]);
        Self { bytes, sent: 0 }
    }

    /// Adds bytes that may leave.
    pub(super) fn push(&mut self, bytes: Outgoing<'_>) {
        self.bytes.extend_from_slice(bytes.0);
    }

    /// Adds what the filter leaves of a record, as a chunk of its own.
    ///
    /// # Errors
    /// [`FilterError`]; nothing is added.
    pub(super) fn push_record(
        &mut self,
        record: &[u8],
        marks: Marks,
        filter: &mut StreamFilter,
        report: &mut Report,
    ) -> Result<(), FilterError> {
        let start = self.bytes.len();
        if marks == Marks::Required {
            self.bytes.push(MARK);
        }
        let kept = filter.apply(record, &mut self.bytes, report);
        if !matches!(kept, Ok(true)) {
            self.bytes.truncate(start);
            return kept.map(drop);
        }
        self.bytes.push(b'\n');
        let size = format!("{:x}\r\n", self.bytes.len() - start);
        self.bytes.extend_from_slice(size.as_bytes());
        if let Some(chunk) = self.bytes.get_mut(start..) {
            chunk.rotate_right(size.len());
        }
        self.bytes.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Adds what another buffer holds.
    pub(super) fn append(&mut self, mut other: Self) {
        if self.is_empty() {
            *self = other;
        } else {
            self.bytes.extend(other.bytes.drain(other.sent..));
        }
    }

    /// Adds the last chunk.
    pub(super) fn push_last_chunk(&mut self) {
        self.bytes.extend_from_slice(b"0\r\n\r\n");
    }

    /// What has not been sent.
    pub(super) fn unsent(&self) -> Outgoing<'_> {
        Outgoing(self.bytes.get(self.sent..).unwrap_or_default())
    }

    /// How many bytes have not been sent.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Whether everything has been sent.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `count` unsent bytes have been sent. An empty buffer holds no memory.
    pub(super) fn mark_sent(&mut self, count: usize) {
        self.sent += count;
        if self.is_empty() {
            *self = Self::default();
        } else if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::stream::fields::HeaderFields;

    #[test]
    fn what_has_been_sent_is_forgotten() {
        let mut buffer = OutgoingBuffer::default();
        buffer.push(Outgoing::relayed(b"abcdef", RelayReason::Stream));
        buffer.mark_sent(2);
        assert_eq!((buffer.unsent().bytes(), buffer.len()), (&b"cdef"[..], 4));
        buffer.mark_sent(3);
        buffer.push(Outgoing::relayed(b"g", RelayReason::Stream).skip(0));
        assert_eq!(buffer.unsent().bytes(), b"fg");
        buffer.mark_sent(2);
        assert!(buffer.is_empty() && buffer.bytes.capacity() == 0);
    }

    #[test]
    fn a_head_has_our_framing_and_only_named_fields() {
        let mut fields = HeaderFields::default();
        for (name, value) in [("api-version", "1.51"), ("server", "canary"), ("transfer-encoding", "chunked")] {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        let head = ResponseHead { status: 200, framing: crate::upstream::raw::BodyFraming::Chunked, headers: fields };
        let id = RequestId::of(
            &[("x-request-id", "7")]
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .into_iter()
                .collect(),
        );
        let text = |framing| {
            let buffer = OutgoingBuffer::stream_head(&head, Some("text/x"), framing, &id);
            String::from_utf8(buffer.unsent().bytes().to_vec()).unwrap()
        };
        assert_eq!(
            text(StreamFraming::Length(5)),
            "HTTP/1.1 200 OK\r\napi-version: 1.51\r\nContent-Type: text/x\r\nX-Request-Id: 7\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(
            text(StreamFraming::Upgraded(Upgrade::Tcp)),
            "HTTP/1.1 101 UPGRADED\r\napi-version: 1.51\r\nContent-Type: text/x\r\nX-Request-Id: 7\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        );
    }
}
