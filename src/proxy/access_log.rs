//! The access log: one line for each exchange.
//!
//! | field | meaning |
//! |---|---|
//! | `operation` | the operation of the Docker API, `-` if the request matches none |
//! | `method` | the method of the request, `-` if it is none of RFC 9110 |
//! | `api` | the API version that the client asked for; only if it named one |
//! | `decision` | `deny`, `relay` or `filter` |
//! | `reason` | why, in one word: of a denial, of a failure, of bytes that pass unchanged |
//! | `status` | the status of the answer; 0 if the client left before there was one |
//! | `received` | bytes of the body of the request; of a tunnel, all bytes of the client |
//! | `bytes` | bytes of the body sent to the client; of a stream, all bytes after the head |
//! | `hidden` | places hidden or changed by the filter |
//! | `classes` | the same by class, `secret:3 host:1`; only if there are any |
//! | `elapsed_us` | microseconds from the request head until the last byte of the answer is with the system |
//! | `own_us` | how many of them were work of this program; of a stream, until its head |
//! | `engine_us` | how many of them were spent waiting for the engine; of a stream, until its head |
//! | `client` | who sent it: the address, or the user and the process |
//! | `listener`, `profile` | the address of the listener, and the profile of the client there |
//! | `request_id` | the id of the exchange, which the engine and the client get, too |
//! | `error` | why the answer was broken off, or withheld; only then |
//!
//! The message is `exchange`, `exchange aborted by the client` or, as a warning, `exchange broken`. A stream has a line
//! `stream opened` at its start, too. Apart from sizes, times, statuses and a harmless id the line holds nothing that a client
//! or the engine chose: no name, no query, no body. The line of a request that the policy denies is a warning and says more, so
//! that an operator finds the client and what to change:
//!
//! | field | meaning |
//! |---|---|
//! | `denied` | which profile denies what, and why |
//! | `opened_by` | the key of the profile or the variable that opens it; empty if nothing does |
//! | `path` | the path of the request with its names and ids, up to its query |
//!
//! The line of a ping that was answered is at the level `debug`: health checks are many. Of the requests of a client that come too soon
//! after others, one in a minute has a line.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::{Body, Incoming};
use tracing::Level;

use super::Error;
use super::request_id::RequestId;
use crate::api::ApiVersion;
use crate::audit::{AuditLog, AuditRecord, HiddenCounts};
use crate::clients::LoggedClient;
use crate::filter::Report;
use crate::log::{self, CommonFields, LogLine};
use crate::metrics::{ExchangeMetrics, ExchangeResult, Metrics, OpenCount};
use crate::route::Route;
use crate::schema::Class;
use crate::upstream::{ClientBody, ClientMeter, UpstreamError};

/// The reasons for which answers are withheld.
const WITHHELD: [&str; 9] = [
    "engine-status",
    "engine-field",
    "not-json",
    "too-long",
    "memory-busy",
    "memory-limit",
    "unfilterable",
    "framing",
    "unroutable",
];

/// Why an exchange ends early when the program stops, in one word and in words.
const STOPPED: (&str, &str) = ("closing", "cut off: dockveil stops");

thread_local! {
    /// Whether this thread gives up its exchanges, inside [`giving_up`].
    static GIVES_UP: Cell<bool> = const { Cell::new(false) };
}

/// Ends what is left of the exchanges of this thread. Their lines say that this program ends them, and not their clients.
pub fn giving_up<T>(end: impl FnOnce() -> T) -> T {
    GIVES_UP.set(true);
    let ended = end();
    GIVES_UP.set(false);
    ended
}

/// What sees the exchanges of a proxy, and what they have in common.
#[derive(Debug)]
pub struct ExchangeObserver {
    /// The address of the listener.
    pub listener: Arc<str>,
    /// The name of the profile; `nobody` for clients that are not served.
    pub profile: Arc<str>,
    /// What counts them.
    pub metrics: ExchangeMetrics,
    /// What records them, if there is an audit file.
    pub audit: Option<Arc<AuditLog>>,
    /// The listener and the profile, as they are in each line.
    origin: CommonFields,
}

impl ExchangeObserver {
    /// At the address of a listener, for the clients of a profile, in front of the engine at an address.
    pub fn new(
        metrics: &Arc<Metrics>,
        audit: Option<Arc<AuditLog>>,
        listener: &str,
        profile: &str,
        engine: &str,
    ) -> Self {
        Self::with(ExchangeMetrics::new(metrics, listener, profile, engine), audit, listener.into(), profile.into())
    }

    /// At the same listener, for the clients of another profile.
    pub fn of(&self, profile: &str) -> Self {
        Self::with(self.metrics.of(profile), self.audit.clone(), self.listener.clone(), profile.into())
    }

    fn with(metrics: ExchangeMetrics, audit: Option<Arc<AuditLog>>, listener: Arc<str>, profile: Arc<str>) -> Self {
        metrics.begin(&WITHHELD, &UpstreamError::REASONS);
        let origin = CommonFields::new(|line| {
            line.text("listener", &listener);
            line.text("profile", &profile);
        });
        Self { listener, profile, metrics, audit, origin }
    }
}

/// The log line of an exchange, written when it is dropped.
///
/// The default value writes nothing.
#[derive(Debug, Default)]
pub(super) struct AccessLog(Option<Box<Entry>>);

#[derive(Debug)]
struct Entry {
    observer: Arc<ExchangeObserver>,
    client: Arc<LoggedClient>,
    id: RequestId,
    operation: &'static str,
    is_ping: bool,
    method: &'static str,
    api: Option<ApiVersion>,
    decision: &'static str,
    reason: Option<&'static str>,
    status: u16,
    /// What the client has sent besides the head; `None` for nothing.
    received: Option<Arc<ClientMeter>>,
    bytes: u64,
    hidden: Report,
    started: Instant,
    own: Duration,
    engine: Duration,
    end: ExchangeEnd,
    /// Why the answer was withheld.
    error: Option<String>,
    denied: Option<Box<DeniedRequest>>,
    /// Counts a stream that is open.
    stream: Option<OpenCount>,
    /// Whether there is neither a line nor a record of it.
    is_counted_only: bool,
    /// How many before it have neither.
    suppressed: u64,
}

/// What the line of a denied request says in addition.
#[derive(Debug)]
pub(super) struct DeniedRequest {
    /// Why.
    pub(super) why: String,
    /// What opens it; empty if nothing does.
    pub(super) opened_by: String,
    /// Its path.
    pub(super) path: String,
}

/// How an exchange ended.
#[derive(Debug)]
enum ExchangeEnd {
    Aborted,
    Complete,
    /// Why, in one word and in words.
    Broken(&'static str, String),
}

impl AccessLog {
    /// The line of an exchange that starts now, with a client that has sent no head that could be read.
    pub(super) fn start(observer: &Arc<ExchangeObserver>, client: &Arc<LoggedClient>) -> Self {
        Self::with_id(observer, client, RequestId::new())
    }

    /// The line of the exchange that a request begins.
    pub(super) fn of_request(
        observer: &Arc<ExchangeObserver>,
        client: &Arc<LoggedClient>,
        request: &Request<Incoming>,
    ) -> Self {
        let mut log = Self::with_id(observer, client, RequestId::of(request.headers()));
        log.set(|entry| entry.method = known_method(request.method().as_str()));
        log
    }

    fn with_id(observer: &Arc<ExchangeObserver>, client: &Arc<LoggedClient>, id: RequestId) -> Self {
        Self(Some(Box::new(Entry {
            observer: observer.clone(),
            client: client.clone(),
            id,
            operation: "-",
            is_ping: false,
            method: "-",
            api: None,
            decision: "deny",
            reason: None,
            status: 0,
            received: None,
            bytes: 0,
            hidden: Report::default(),
            started: Instant::now(),
            own: Duration::ZERO,
            engine: Duration::ZERO,
            end: ExchangeEnd::Aborted,
            error: None,
            denied: None,
            stream: None,
            is_counted_only: false,
            suppressed: 0,
        })))
    }

    /// The name of the client in the log.
    pub(super) fn client(&self) -> Arc<str> {
        self.0.as_ref().map(|entry| entry.client.name.clone()).unwrap_or_default()
    }

    /// The id of the exchange.
    pub(super) fn id(&self) -> RequestId {
        self.0.as_ref().map_or_else(RequestId::new, |entry| entry.id.clone())
    }

    /// The body of the request, whose bytes are counted.
    pub(super) fn counted(&mut self, body: Incoming) -> ClientBody {
        if body.is_end_stream() { ClientBody::new(body, None) } else { ClientBody::new(body, Some(self.received())) }
    }

    /// What measures the bytes of the client.
    pub(super) fn received(&mut self) -> Arc<ClientMeter> {
        let entry = self.0.as_mut().map(|entry| entry.received.get_or_insert_default().clone());
        entry.unwrap_or_default()
    }

    /// Sets the operation, and the API version that the client asked for.
    pub(super) fn route(&mut self, route: &Route) {
        self.set(|entry| {
            entry.operation = route.operation.id;
            entry.is_ping = route.operation.is_ping();
            entry.api = route.version;
        });
    }

    /// Says why the policy denies the request.
    pub(super) fn denied(&mut self, denied: DeniedRequest) {
        self.set(|entry| entry.denied = Some(Box::new(denied)));
    }

    /// Sets the decision, and its reason if it has one.
    pub(super) fn decision(&mut self, decision: &'static str, reason: Option<&'static str>) {
        self.set(|entry| (entry.decision, entry.reason) = (decision, reason));
    }

    /// Sets the reason of a denial.
    pub(super) fn reason(&mut self, reason: &'static str) {
        self.set(|entry| entry.reason = Some(reason));
    }

    /// The request has come too soon after others. So many of them before it are counted only; if it is not known how many, so is
    /// this one: it has neither a line nor a record.
    pub(super) fn too_soon(&mut self, suppressed: Option<u64>) {
        self.set(|entry| {
            entry.reason = Some("rate");
            (entry.suppressed, entry.is_counted_only) = (suppressed.unwrap_or_default(), suppressed.is_none());
        });
    }

    /// There is no room for the request, for a reason in one word. A line of its own says so: who it is, where, and what they read.
    pub(super) fn no_room(&mut self, reason: &'static str, said: &str) {
        self.set(|entry| {
            entry.reason = Some(reason);
            tracing::warn!(client = &*entry.client.name, listener = &*entry.observer.listener, "{said}");
        });
    }

    /// The request is answered with an error.
    pub(super) fn failed(&mut self, error: &Error) {
        self.set(|entry| {
            // That of a denial is more exact.
            if entry.denied.is_none() || entry.reason.is_none() {
                entry.reason = Some(error.reason());
            }
            if error.is_server_fault() {
                entry.error = Some(error.to_string());
            } else {
                tracing::debug!(%error, "request refused");
            }
        });
    }

    /// The stream has begun.
    pub(super) fn opened(&mut self, status: u16) {
        self.status(status);
        self.set(|entry| {
            entry.stream = Some(entry.observer.metrics.stream());
            entry.record("stream-opened");
            log::write(Level::INFO, "stream opened", |line| {
                line.text("operation", entry.operation);
                line.text("decision", entry.decision);
                line.number("status", entry.status.into());
                entry.write_origin(line);
            });
        });
    }

    /// Whether a stream has begun.
    pub(super) fn is_open(&self) -> bool {
        self.0.as_ref().is_some_and(|entry| entry.stream.is_some())
    }

    /// Whether the request is a `HEAD`, whose answer has no body.
    pub(super) fn is_head(&self) -> bool {
        self.0.as_ref().is_some_and(|entry| entry.method == "HEAD")
    }

    /// Sets the status of the answer.
    pub(super) fn status(&mut self, status: u16) {
        self.set(|entry| entry.status = status);
    }

    /// The time up to now: so much of it was spent waiting for the engine, some on waiting for the client, and the rest on work.
    pub(super) fn spent(&mut self, engine: Duration) {
        self.set(|entry| {
            entry.engine += engine;
            let client = entry.received.as_ref().map(|received| received.waited()).unwrap_or_default();
            entry.own = entry.started.elapsed().saturating_sub(entry.engine + client);
        });
    }

    /// Adds to the time spent on work and on waiting for the engine.
    pub(super) fn took(&mut self, own: Duration, engine: Duration) {
        self.set(|entry| {
            entry.own += own;
            entry.engine += engine;
        });
    }

    /// Sets the number of hidden places.
    pub(super) fn hidden(&mut self, report: &Report) {
        self.set(|entry| entry.hidden = *report);
    }

    /// Adds to the number of bytes sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.set(|entry| entry.bytes += bytes as u64);
    }

    /// The answer was sent to its end.
    pub(super) fn complete(&mut self) {
        self.set(|entry| entry.end = ExchangeEnd::Complete);
    }

    /// The answer was broken off, by us or by the engine. The reason is one word.
    pub(super) fn broken(&mut self, reason: &'static str, error: &impl ToString) {
        self.set(|entry| entry.end = ExchangeEnd::Broken(reason, error.to_string()));
    }

    fn set(&mut self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = &mut self.0 {
            change(entry);
        }
    }
}

/// A method, if it is one of those of RFC 9110 §9.3 and RFC 5789.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("-")
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        if let Some(mut entry) = self.0.take() {
            // What is no longer there when a thread ends gives up nothing.
            if matches!(entry.end, ExchangeEnd::Aborted) && GIVES_UP.try_with(Cell::get).unwrap_or_default() {
                let (reason, why) = STOPPED;
                entry.end = ExchangeEnd::Broken(reason, why.to_owned());
            }
            if let ExchangeEnd::Broken(reason, _) = entry.end {
                entry.reason = Some(reason);
            }
            entry.count();
            if !entry.is_counted_only {
                entry.write_line();
                entry.record("exchange");
            }
        }
    }
}

impl Entry {
    /// Counts the exchange.
    fn count(&self) {
        let hidden = Some(&self.hidden).filter(|report| report.hidden() > 0);
        let metrics = &self.observer.metrics;
        metrics.count(&ExchangeResult {
            operation: self.operation,
            decision: self.decision,
            status: self.status,
            own: self.own,
            engine: self.engine,
            received: self.received_bytes(),
            sent: self.bytes,
            hidden: hidden.map(|report| (report.by_class, report.unknown, report.by_rule)),
        });
        match self.reason {
            Some(reason) if WITHHELD.contains(&reason) => metrics.count_withheld(reason),
            Some(reason) if UpstreamError::REASONS.contains(&reason) => metrics.count_engine_error(reason),
            Some(_) | None => {}
        }
    }

    /// The level of the line, and its message.
    fn head(&self) -> (Level, &'static str) {
        match &self.end {
            ExchangeEnd::Broken(..) => (Level::WARN, "exchange broken"),
            ExchangeEnd::Aborted => (Level::INFO, "exchange aborted by the client"),
            ExchangeEnd::Complete if self.is_denied() || self.error.is_some() => (Level::WARN, "exchange"),
            ExchangeEnd::Complete if self.is_ping && self.status == 200 => (Level::DEBUG, "exchange"),
            ExchangeEnd::Complete => (Level::INFO, "exchange"),
        }
    }

    /// Whether the policy or the listener denies the request.
    fn is_denied(&self) -> bool {
        self.denied.is_some() || self.decision == "deny" && self.status == 403
    }

    fn write_line(&self) {
        let (level, message) = self.head();
        log::write(level, message, |line| {
            line.text("operation", self.operation);
            line.text("decision", self.decision);
            line.number("status", self.status.into());
            line.number("bytes", self.bytes);
            let hidden = self.hidden.hidden();
            line.number("hidden", hidden);
            line.number("elapsed_us", micros(self.started.elapsed()));
            line.text("method", self.method);
            if let Some(version) = self.api {
                line.display("api", &version);
            }
            line.optional_text("reason", self.reason);
            line.number("received", self.received_bytes());
            if hidden > 0 {
                line.counts("classes", class_counts(&self.hidden));
            }
            line.number("own_us", micros(self.own));
            line.number("engine_us", micros(self.engine));
            if let Some(denied) = &self.denied {
                line.text("denied", &denied.why);
                line.text("opened_by", &denied.opened_by);
                line.text("path", &denied.path);
            }
            self.write_origin(line);
            line.optional_text(
                "error",
                match &self.end {
                    ExchangeEnd::Broken(_, error) => Some(error.as_str()),
                    ExchangeEnd::Aborted | ExchangeEnd::Complete => self.error.as_deref(),
                },
            );
        });
    }

    /// Adds where the request comes from, and its id.
    fn write_origin(&self, line: &mut LogLine<'_>) {
        line.text("client", &self.client.name);
        line.common(&self.observer.origin);
        line.text("request_id", self.id.as_str());
    }

    /// Adds a record to the audit file, if there is one.
    fn record(&self, event: &'static str) {
        let Some(audit) = &self.observer.audit else { return };
        let Report { by_class, unknown, by_rule } = self.hidden;
        let denied = self.denied.as_deref();
        let [elapsed_us, own_us, engine_us] = [self.started.elapsed(), self.own, self.engine].map(micros);
        let (end, error) = match &self.end {
            ExchangeEnd::Complete => ("complete", self.error.as_deref()),
            ExchangeEnd::Aborted => ("aborted", self.error.as_deref()),
            ExchangeEnd::Broken(_, error) => ("broken", Some(error.as_str())),
        };
        audit.push(&AuditRecord {
            event,
            request_id: self.id.as_str(),
            client: &self.client.identity,
            listener: &self.observer.listener,
            profile: &self.observer.profile,
            method: self.method,
            operation: self.operation,
            api: self.api.map(|version| version.to_string()),
            decision: self.decision,
            reason: self.reason,
            denied: denied.map(|denied| denied.why.as_str()),
            opened_by: denied.map(|denied| denied.opened_by.as_str()),
            path: denied.map(|denied| denied.path.as_str()),
            status: self.status,
            received_bytes: self.received_bytes(),
            sent_bytes: self.bytes,
            hidden: HiddenCounts { by_class, unknown, by_rule },
            elapsed_us,
            own_us,
            engine_us,
            end: (event == "exchange").then_some(end),
            error,
            suppressed: self.suppressed,
        });
    }

    /// How many bytes the client has sent after the head.
    fn received_bytes(&self) -> u64 {
        self.received.as_ref().map_or(0, |received| received.bytes())
    }
}

/// A time in microseconds.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What was hidden, by class. What a rule changed counts as `rule`.
fn class_counts(hidden: &Report) -> impl Iterator<Item = (&'static str, u64)> {
    let classes = Class::ALL.map(Class::as_str).into_iter().zip(hidden.by_class);
    classes.chain([("unknown", hidden.unknown), ("rule", hidden.by_rule)]).filter(|(_, count)| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_counted_by_name() {
        let mut report = Report { unknown: 2, by_rule: 1, ..Report::default() };
        report.by_class[Class::Host.index()] = 7;
        assert!(class_counts(&report).eq([("host", 7), ("unknown", 2), ("rule", 1)]));
        assert_eq!(class_counts(&Report::default()).count(), 0);
    }

    #[test]
    fn a_method_is_one_that_is_known() {
        assert_eq!(["GET", "get", "CANARY", ""].map(known_method), ["GET", "-", "-", "-"]);
    }
}
