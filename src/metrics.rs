//! Counters of what happens, in the text format of Prometheus.
//!
//! The values of labels are addresses and profiles of the configuration, operations, classes and words of this program, and
//! statuses: no client can make one of its own. So the number of series has a limit that the configuration sets.
//!
//! A series that begins with its first event has no increase at that event, and an alert on it misses that one. So those with labels
//! that are known in advance are there from the start, at zero; others are those of exchanges, which have too many outcomes.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use crate::schema::Class;

/// The upper limits of the buckets of a histogram, in seconds.
const BUCKETS: [f64; 12] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0];
/// What is counted as hidden beside the classes.
const NO_CLASS: [&str; 2] = ["unknown", "rule"];

/// The metrics of a server.
pub struct Metrics {
    registry: Registry,
    exchanges: IntCounterVec,
    own_seconds: HistogramVec,
    engine_seconds: HistogramVec,
    hidden: IntCounterVec,
    withheld: IntCounterVec,
    received_bytes: IntCounterVec,
    sent_bytes: IntCounterVec,
    connections: IntGaugeVec,
    streams: IntGaugeVec,
    engine_errors: IntCounterVec,
    handshakes: IntCounterVec,
    reloads: IntCounterVec,
    reload_successful: IntGauge,
    reload_time: Gauge,
    /// Held while the gauges are set that are looked up for each answer.
    current: Mutex<CurrentGauges>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// The gauges and counters that are looked up for each answer.
struct CurrentGauges {
    memory_used: IntGauge,
    memory_limit: IntGauge,
    engine_up: IntGaugeVec,
    engine_version: IntGaugeVec,
    expiries: GaugeVec,
    log_dropped: IntCounter,
    audit_written: IntCounter,
    audit_lost: IntCounter,
}

/// What is looked up for each answer.
#[derive(Clone, Debug, Default)]
pub struct CurrentState {
    /// The memory that documents use, and the most that they may use, in bytes.
    pub memory: (usize, usize),
    /// The engines: the address, whether it answers, and its API version if that is known.
    pub engines: Vec<(String, bool, Option<String>)>,
    /// How many lines of the log have been dropped since the start.
    pub dropped_lines: u64,
    /// How many records the audit file has got since the start, and how many have been lost.
    pub audit: (u64, u64),
    /// When files of TLS stop being good: the address of the listener or of the engine, the key that names the file, and the time.
    pub expiries: Vec<(String, &'static str, SystemTime)>,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeResult {
    /// The id of the operation; `-` if there is none.
    pub operation: &'static str,
    /// `deny`, `relay` or `filter`.
    pub decision: &'static str,
    /// The status of the answer; 0 if there is none.
    pub status: u16,
    /// Time spent on work; of a stream, until its head.
    pub own: Duration,
    /// Time spent waiting for the engine; of a stream, until its head.
    pub engine: Duration,
    /// Bytes of the client.
    pub received: u64,
    /// Bytes for the client.
    pub sent: u64,
    /// What was hidden: by class in the order of [`Class::ALL`], then unknown fields, then what rules changed.
    pub hidden: Option<([u64; Class::ALL.len()], u64, u64)>,
}

/// The metrics of the exchanges at one listener under one profile.
pub struct ExchangeMetrics {
    metrics: std::sync::Arc<Metrics>,
    listener: String,
    profile: String,
    engine: String,
    received_bytes: IntCounter,
    sent_bytes: IntCounter,
    /// The series that have been counted in, the one that was last in front: finding one by its labels takes longer than
    /// counting. There are as many as operations, decisions and statuses make.
    counted: Mutex<Vec<CountedSeries>>,
}

/// The series of the exchanges with one outcome.
struct CountedSeries {
    operation: &'static str,
    decision: &'static str,
    status: u16,
    exchanges: IntCounter,
    own_seconds: Histogram,
    /// `None` until one has waited for the engine.
    engine_seconds: Option<Histogram>,
}

impl CountedSeries {
    /// Whether it counts this.
    fn counts(&self, result: &ExchangeResult) -> bool {
        // Most are the same texts, and not only equal.
        let is_same = |one: &'static str, other: &'static str| std::ptr::eq(one, other) || one == other;
        self.status == result.status
            && is_same(self.operation, result.operation)
            && is_same(self.decision, result.decision)
    }
}

impl fmt::Debug for ExchangeMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeMetrics").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// Something that is open and counted until it is dropped.
#[derive(Debug)]
pub struct OpenCount(IntGauge);

impl OpenCount {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Makes metrics and registers them.
struct Maker<'r>(&'r Registry);

impl Maker<'_> {
    fn add<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> prometheus::Result<C> {
        let made = made?;
        self.0.register(Box::new(made.clone()))?;
        Ok(made)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help))
    }

    fn seconds(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.add(Gauge::new(name, help))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), labels))
    }
}

impl Metrics {
    /// All of them, at zero. `version` is that of the program.
    ///
    /// # Errors
    /// None in a program whose tests pass: a name is malformed or there twice.
    pub fn new(version: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let make = Maker(&registry);
        let info = make.gauges("dockveil_build_info", "1, with the version of the program.", &["version"])?;
        info.with_label_values(&[version]).set(1);
        let started = make.seconds("process_start_time_seconds", "When the process started, in Unix time.")?;
        started.set(unix_time(SystemTime::now()));
        let reload_time = make.seconds(
            "dockveil_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was loaded, in Unix time.",
        )?;
        reload_time.set(unix_time(SystemTime::now()));
        let reload_successful = make.gauge(
            "dockveil_config_last_reload_successful",
            "1 if the configuration in force is that of the files as of the last reload, 0 if that failed.",
        )?;
        reload_successful.set(1);
        let by_exchange = ["listener", "profile", "operation", "decision", "status"];
        let by_operation = ["listener", "operation"];
        let current = CurrentGauges {
            memory_used: make.gauge("dockveil_memory_used_bytes", "Memory that documents use.")?,
            memory_limit: make
                .gauge("dockveil_memory_limit_bytes", "Memory that documents may use (limits.memory).")?,
            engine_up: make.gauges("dockveil_engine_up", "1 if the engine answers a ping.", &["engine"])?,
            engine_version: make.gauges(
                "dockveil_engine_info",
                "1, with the newest API version of an engine that answers.",
                &["engine", "api"],
            )?,
            expiries: make.add(GaugeVec::new(
                Opts::new(
                    "dockveil_tls_expiry_timestamp_seconds",
                    "When a certificate or a list of revoked ones expires, in Unix time; of several the first.",
                ),
                &["address", "file"],
            ))?,
            log_dropped: make.counter(
                "dockveil_log_dropped_lines_total",
                "Lines of the log that were dropped, because nobody read it fast enough or because it could not be written.",
            )?,
            audit_written: make.counter("dockveil_audit_records_total", "Records in the audit file.")?,
            audit_lost: make.counter(
                "dockveil_audit_lost_records_total",
                "Records that are not in the audit file, because it could not be written.",
            )?,
        };
        let metrics = Self {
            exchanges: make.counters("dockveil_exchanges_total", "Requests with their answers.", &by_exchange)?,
            own_seconds: make.histograms(
                "dockveil_own_seconds",
                "Time that dockveil worked on an exchange; on a stream, until its head.",
                &by_operation,
            )?,
            engine_seconds: make.histograms(
                "dockveil_engine_seconds",
                "Time that an exchange waited for the engine; a stream, until its head.",
                &by_operation,
            )?,
            hidden: make.counters("dockveil_hidden_fields_total", "Values that were hidden.", &["profile", "class"])?,
            withheld: make.counters("dockveil_withheld_total", "Answers that were withheld.", &["reason"])?,
            received_bytes: make.counters(
                "dockveil_received_bytes_total",
                "Bytes of request bodies and of tunnels, from clients.",
                &["listener"],
            )?,
            sent_bytes: make.counters(
                "dockveil_sent_bytes_total",
                "Bytes of bodies and of streams, to clients.",
                &["listener"],
            )?,
            connections: make.gauges("dockveil_connections", "Connections of clients that are open.", &["listener"])?,
            streams: make.gauges(
                "dockveil_streams",
                "Streams that are open: logs, events, statistics, attach, exec.",
                &["listener"],
            )?,
            engine_errors: make.counters(
                "dockveil_engine_errors_total",
                "Exchanges for which the engine gave no usable answer.",
                &["engine", "reason"],
            )?,
            handshakes: make.counters(
                "dockveil_tls_handshake_failures_total",
                "Connections of clients with which there was no TLS.",
                &["listener", "reason"],
            )?,
            reloads: make.counters("dockveil_reloads_total", "Reloads of the configuration.", &["result"])?,
            reload_successful,
            reload_time,
            current: Mutex::new(current),
            registry,
        };
        for result in ["ok", "failed"] {
            // Series that are there from the start have a rate from the first event.
            metrics.reloads.with_label_values(&[result]);
        }
        Ok(metrics)
    }

    /// Counts a reload, which has succeeded or not.
    pub fn count_reload(&self, has_succeeded: bool) {
        self.reloads.with_label_values(&[if has_succeeded { "ok" } else { "failed" }]).inc();
        self.reload_successful.set(i64::from(has_succeeded));
        if has_succeeded {
            self.reload_time.set(unix_time(SystemTime::now()));
        }
    }

    /// All metrics as text.
    ///
    /// # Errors
    /// None in a program whose tests pass.
    pub fn text(&self, state: &CurrentState) -> Result<Vec<u8>, prometheus::Error> {
        // No code that holds the lock panics.
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.set(state);
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        drop(current);
        Ok(text)
    }
}

impl CurrentGauges {
    fn set(&self, state: &CurrentState) {
        let number = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.memory_used.set(number(state.memory.0));
        self.memory_limit.set(number(state.memory.1));
        // An engine that a reload has taken away is gone.
        self.engine_up.reset();
        self.engine_version.reset();
        for (address, is_up, version) in &state.engines {
            self.engine_up.with_label_values(&[address]).set(i64::from(*is_up));
            if let (true, Some(version)) = (is_up, version) {
                self.engine_version.with_label_values(&[address, version]).set(1);
            }
        }
        self.expiries.reset();
        for (address, file, _) in &state.expiries {
            // Of several files, the first that expires.
            let of_file = state.expiries.iter().filter(|(other, kind, _)| (other, kind) == (address, file));
            if let Some(first) = of_file.map(|(_, _, at)| *at).min() {
                self.expiries.with_label_values(&[address.as_str(), file]).set(unix_time(first));
            }
        }
        for (counter, count) in [
            (&self.log_dropped, state.dropped_lines),
            (&self.audit_written, state.audit.0),
            (&self.audit_lost, state.audit.1),
        ] {
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}

impl ExchangeMetrics {
    /// Those of a listener, a profile and an engine, by their names.
    pub fn new(metrics: &std::sync::Arc<Metrics>, listener: &str, profile: &str, engine: &str) -> Self {
        // They are there from the start, at zero.
        metrics.connections.with_label_values(&[listener]);
        metrics.streams.with_label_values(&[listener]);
        for class in hidden_kinds() {
            metrics.hidden.with_label_values(&[profile, class]);
        }
        Self {
            received_bytes: metrics.received_bytes.with_label_values(&[listener]),
            sent_bytes: metrics.sent_bytes.with_label_values(&[listener]),
            metrics: metrics.clone(),
            listener: listener.to_owned(),
            profile: profile.to_owned(),
            engine: engine.to_owned(),
            counted: Mutex::default(),
        }
    }

    /// Those of the same listener and engine under another profile.
    pub fn of(&self, profile: &str) -> Self {
        Self::new(&self.metrics, &self.listener, profile, &self.engine)
    }

    /// Counts an exchange.
    pub fn count(&self, result: &ExchangeResult) {
        let ExchangeResult { operation, own, engine, received, sent, hidden, .. } = *result;
        // No code that holds the lock panics.
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        match counted.iter().position(|series| series.counts(result)) {
            Some(at) => counted.swap(0, at),
            None => counted.insert(0, self.series(result)),
        }
        if let Some(series) = counted.first_mut() {
            series.exchanges.inc();
            series.own_seconds.observe(own.as_secs_f64());
            if !engine.is_zero() {
                let labels = [self.listener.as_str(), operation];
                let seconds = || self.metrics.engine_seconds.with_label_values(&labels);
                series.engine_seconds.get_or_insert_with(seconds).observe(engine.as_secs_f64());
            }
        }
        drop(counted);
        self.received_bytes.inc_by(received);
        self.sent_bytes.inc_by(sent);
        if let Some((by_class, unknown, by_rule)) = hidden {
            for (class, count) in hidden_kinds().zip(by_class.into_iter().chain([unknown, by_rule])) {
                if count > 0 {
                    self.metrics.hidden.with_label_values(&[self.profile.as_str(), class]).inc_by(count);
                }
            }
        }
    }

    /// The series of exchanges with this outcome.
    fn series(&self, result: &ExchangeResult) -> CountedSeries {
        let ExchangeResult { operation, decision, status, .. } = *result;
        let mut digits = [0; 3];
        let status_text = status_text(status, &mut digits);
        let labels = [self.listener.as_str(), &self.profile, operation, decision, status_text];
        CountedSeries {
            operation,
            decision,
            status,
            exchanges: self.metrics.exchanges.with_label_values(&labels),
            own_seconds: self.metrics.own_seconds.with_label_values(&[self.listener.as_str(), operation]),
            engine_seconds: None,
        }
    }

    /// Begins to count what is counted by these reasons, at zero.
    pub fn begin(&self, withheld: &[&str], engine_errors: &[&str]) {
        for reason in withheld {
            self.metrics.withheld.with_label_values(&[reason]);
        }
        for reason in engine_errors {
            self.metrics.engine_errors.with_label_values(&[self.engine.as_str(), reason]);
        }
    }

    /// Counts an answer that was withheld.
    pub fn count_withheld(&self, reason: &'static str) {
        self.metrics.withheld.with_label_values(&[reason]).inc();
    }

    /// Counts an error of the engine.
    pub fn count_engine_error(&self, reason: &'static str) {
        self.metrics.engine_errors.with_label_values(&[self.engine.as_str(), reason]).inc();
    }

    /// The listener has TLS, whose handshakes may fail for these reasons. They are there from the start, at zero.
    pub fn has_tls(&self, reasons: &[&'static str]) {
        for reason in reasons {
            self.metrics.handshakes.with_label_values(&[self.listener.as_str(), reason]);
        }
    }

    /// Counts a client with which there was no TLS.
    pub fn count_handshake(&self, reason: &'static str) {
        self.metrics.handshakes.with_label_values(&[self.listener.as_str(), reason]).inc();
    }

    /// Counts a connection as long as the result is held.
    pub fn connection(&self) -> OpenCount {
        OpenCount::new(self.metrics.connections.with_label_values(&[self.listener.as_str()]))
    }

    /// Counts a stream as long as the result is held.
    pub fn stream(&self) -> OpenCount {
        OpenCount::new(self.metrics.streams.with_label_values(&[self.listener.as_str()]))
    }
}

/// What is counted as hidden: the classes, and what has none.
fn hidden_kinds() -> impl Iterator<Item = &'static str> {
    Class::ALL.map(Class::as_str).into_iter().chain(NO_CLASS)
}

/// A status of three digits as text; `-` if there is none.
fn status_text(status: u16, digits: &mut [u8; 3]) -> &str {
    if !(100..1000).contains(&status) {
        return "-";
    }
    for (digit, power) in digits.iter_mut().zip([100, 10, 1]) {
        *digit = b'0' + u8::try_from(status / power % 10).unwrap_or_default();
    }
    str::from_utf8(digits).unwrap_or("-")
}

/// A time in seconds since 1970.
fn unix_time(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn lines(metrics: &Metrics, state: &CurrentState) -> Vec<String> {
        let text = String::from_utf8(metrics.text(state).unwrap()).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    const RESULT: ExchangeResult = ExchangeResult {
        operation: "ContainerList",
        decision: "filter",
        status: 200,
        own: Duration::from_micros(200),
        engine: Duration::from_millis(2),
        received: 3,
        sent: 40,
        hidden: Some(([5, 0, 0, 0, 0, 0, 0, 1], 2, 0)),
    };

    #[test]
    fn what_happens_is_counted_where_it_happens() {
        let metrics = Arc::new(Metrics::new("1.2.3").unwrap());
        let of_listener = ExchangeMetrics::new(&metrics, "unix:///a", "p", "unix:///e");
        of_listener.begin(&["not-json", "framing"], &["engine-down", "engine-tls"]);
        of_listener.count(&RESULT);
        of_listener.of("q").count(&ExchangeResult { status: 0, engine: Duration::ZERO, hidden: None, ..RESULT });
        of_listener.count_withheld("not-json");
        of_listener.count_engine_error("engine-down");
        let (connection, stream) = (of_listener.connection(), of_listener.stream());
        drop(stream);
        let state = CurrentState {
            memory: (1, 2),
            engines: vec![("unix:///e".into(), true, Some("1.44".into())), ("unix:///f".into(), false, None)],
            dropped_lines: 7,
            audit: (9, 8),
            expiries: [3, 1, 2]
                .map(|at| ("tcp://a".into(), "crl", UNIX_EPOCH + Duration::from_secs(at)))
                .into_iter()
                .collect(),
        };
        let found = lines(&metrics, &state);
        for expected in [
            "dockveil_build_info{version=\"1.2.3\"} 1",
            "dockveil_exchanges_total{decision=\"filter\",listener=\"unix:///a\",operation=\"ContainerList\",profile=\"p\",status=\"200\"} 1",
            "dockveil_exchanges_total{decision=\"filter\",listener=\"unix:///a\",operation=\"ContainerList\",profile=\"q\",status=\"-\"} 1",
            "dockveil_own_seconds_bucket{listener=\"unix:///a\",operation=\"ContainerList\",le=\"0.0001\"} 0",
            "dockveil_own_seconds_bucket{listener=\"unix:///a\",operation=\"ContainerList\",le=\"0.0003\"} 2",
            "dockveil_own_seconds_count{listener=\"unix:///a\",operation=\"ContainerList\"} 2",
            "dockveil_engine_seconds_count{listener=\"unix:///a\",operation=\"ContainerList\"} 1",
            "dockveil_hidden_fields_total{class=\"secret\",profile=\"p\"} 5",
            "dockveil_hidden_fields_total{class=\"state\",profile=\"p\"} 1",
            "dockveil_hidden_fields_total{class=\"unknown\",profile=\"p\"} 2",
            "dockveil_hidden_fields_total{class=\"command\",profile=\"p\"} 0",
            "dockveil_hidden_fields_total{class=\"rule\",profile=\"q\"} 0",
            "dockveil_withheld_total{reason=\"framing\"} 0",
            "dockveil_engine_errors_total{engine=\"unix:///e\",reason=\"engine-tls\"} 0",
            "dockveil_received_bytes_total{listener=\"unix:///a\"} 6",
            "dockveil_sent_bytes_total{listener=\"unix:///a\"} 80",
            "dockveil_withheld_total{reason=\"not-json\"} 1",
            "dockveil_engine_errors_total{engine=\"unix:///e\",reason=\"engine-down\"} 1",
            "dockveil_connections{listener=\"unix:///a\"} 1",
            "dockveil_streams{listener=\"unix:///a\"} 0",
            "dockveil_memory_used_bytes 1",
            "dockveil_memory_limit_bytes 2",
            "dockveil_engine_up{engine=\"unix:///e\"} 1",
            "dockveil_engine_up{engine=\"unix:///f\"} 0",
            "dockveil_engine_info{api=\"1.44\",engine=\"unix:///e\"} 1",
            "dockveil_tls_expiry_timestamp_seconds{address=\"tcp://a\",file=\"crl\"} 1",
            "dockveil_log_dropped_lines_total 7",
            "dockveil_audit_records_total 9",
            "dockveil_audit_lost_records_total 8",
            "dockveil_reloads_total{result=\"ok\"} 0",
            "dockveil_config_last_reload_successful 1",
        ] {
            assert!(found.iter().any(|line| line == expected), "{expected} is not in {found:#?}");
        }
        drop(connection);
        metrics.count_reload(false);
        let found = lines(&metrics, &CurrentState { dropped_lines: 7, ..CurrentState::default() });
        for expected in [
            "dockveil_connections{listener=\"unix:///a\"} 0",
            "dockveil_reloads_total{result=\"failed\"} 1",
            "dockveil_config_last_reload_successful 0",
            "dockveil_log_dropped_lines_total 7",
        ] {
            assert!(found.iter().any(|line| line == expected), "{expected} is not in {found:#?}");
        }
        assert!(!found.iter().any(|line| line.starts_with("dockveil_engine_up")), "{found:#?}");
    }

    #[test]
    fn a_status_is_three_digits_or_none() {
        for (status, expected) in [(0, "-"), (99, "-"), (100, "100"), (204, "204"), (999, "999"), (1000, "-")] {
            assert_eq!(status_text(status, &mut [0; 3]), expected);
        }
    }
}
