//! The log: one line of logfmt or of JSON for each event, on standard error.
//!
//! ```text
//! ts=2026-01-31T23:59:59.123456Z level=info msg="exchange" operation=ContainerList decision=filter status=200 …
//! {"ts":"2026-01-31T23:59:59.123456Z","level":"info","msg":"exchange","operation":"ContainerList","status":200, …}
//! ```
//!
//! The log never holds up a client, nor the start and the end of the server. A worker gathers its lines and hands them over
//! when it is idle; the log's own thread writes them. If nobody reads standard error, lines wait in the [`queue`]. When it is
//! full, further lines are dropped and counted.

mod line;
mod queue;
mod timestamp;
mod whole_lines;

use std::cell::RefCell;
use std::io::{self, Write as _, stderr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

pub use self::line::{CommonFields, LogLine, one_line};
pub(crate) use self::line::{is_harmless, push_escape};
use self::queue::LineQueue;
pub(crate) use self::timestamp::{TimestampWriter, time_text};
pub(crate) use self::whole_lines::{count_lines, write_lines};
use crate::cli::LogFormat;

/// How many bytes of lines a worker gathers before it hands them over.
const GATHERED_LIMIT: usize = 16 * 1024;
/// How long a thread that is no worker waits until its line is written, so that it stays in order with other output.
const LINE_TIMEOUT: Duration = Duration::from_millis(100);
/// How long the end of the program waits for the last lines.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(1);

/// The lines that wait to be written by the log's thread. Without a queue, every line is written at once.
static QUEUE: OnceLock<LineQueue> = OnceLock::new();
/// Whether the log's thread has been started.
static HAS_WRITER: AtomicBool = AtomicBool::new(false);

thread_local! {
    static GATHERED: RefCell<GatheredLines> = RefCell::default();
}

/// Whether the configuration wants objects of JSON, whatever the style at the start was.
static WANTS_JSON: AtomicBool = AtomicBool::new(false);

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineStyle {
    /// As logfmt.
    Plain,
    /// As logfmt with a level in colour, for a terminal.
    Coloured,
    /// As an object of JSON.
    Json,
}

/// The log of this process.
static LOG: OnceLock<EventLog> = OnceLock::new();

/// Starts the log: lines up to `level`.
pub fn start(level: Level, style: LineStyle) {
    let log = *LOG.get_or_init(|| EventLog { level, style });
    // In tests another subscriber may be first. It keeps the events.
    if tracing::subscriber::set_global_default(log).is_err() {
        return;
    }
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // The process may end here, and the lines say what led to it.
        flush();
        report(panic);
    }));
}

/// Writes a line without an event of `tracing`, which costs more. `fields` adds the fields in their order. It is not called if the log
/// leaves out this level.
pub fn write(level: Level, message: &str, fields: impl FnOnce(&mut LogLine<'_>)) {
    let Some(log) = LOG.get().filter(|log| level <= log.level) else { return };
    with_gathered(|gathered| {
        let mut line = LogLine::start(level, log.style(), &mut gathered.time, &mut gathered.lines);
        line.message(message);
        fields(&mut line);
        line.end();
        gathered.added();
    });
}

/// Writes lines in this format from now on. Those that started as JSON stay JSON.
pub fn set_format(format: LogFormat) {
    WANTS_JSON.store(format == LogFormat::Json, Ordering::Relaxed);
}

/// Standard error for a process that serves: what is written waits in the queue of the log, and in its order.
#[derive(Debug)]
pub struct QueuedOutput(());

impl QueuedOutput {
    /// From now on the lines of the log wait too. [`start_writer`] or [`flush`] writes them.
    pub fn open() -> Self {
        QUEUE.get_or_init(LineQueue::default);
        Self(())
    }
}

impl io::Write for QueuedOutput {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        hand_over();
        if let Some(queue) = QUEUE.get() {
            queue.push(text);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Text that is written line by line to the log, as messages.
#[derive(Debug, Default)]
pub struct LoggedLines {
    /// The start of a line.
    line: Vec<u8>,
}

impl io::Write for LoggedLines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        split_lines(&mut self.line, text, |line| tracing::info!("{line}"));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Text that is written line by line as objects of JSON, at the level of errors: why the program does not serve. Whoever reads the log
/// with a machine reads this too, whatever the level of the log is.
#[derive(Debug, Default)]
pub struct JsonErrors {
    /// The start of a line.
    line: Vec<u8>,
}

impl io::Write for JsonErrors {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        hand_over();
        split_lines(&mut self.line, text, |message| {
            let (mut bytes, mut time) = (Vec::with_capacity(256), TimestampWriter::default());
            let mut line = LogLine::start(Level::ERROR, LineStyle::Json, &mut time, &mut bytes);
            line.message(message);
            line.end();
            match QUEUE.get() {
                Some(queue) => queue.push(&bytes),
                None => drop(stderr().write_all(&bytes)),
            }
        });
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Calls `work` with each whole line that is not empty. `start` keeps the start of one.
fn split_lines(start: &mut Vec<u8>, text: &[u8], mut work: impl FnMut(&str)) {
    for piece in text.split_inclusive(|byte| *byte == b'\n') {
        start.extend_from_slice(piece);
        if start.pop_if(|byte| *byte == b'\n').is_some() {
            let line = std::mem::take(start);
            if !line.is_empty() {
                work(&String::from_utf8_lossy(&line));
            }
        }
    }
}

/// Whether lines are written as objects of JSON.
pub fn writes_json() -> bool {
    WANTS_JSON.load(Ordering::Relaxed) || LOG.get().is_some_and(|log| log.style == LineStyle::Json)
}

/// Starts the thread that writes the lines, if there are any to write. A process that is to drop its privileges must have
/// one thread, so this comes after that.
///
/// # Errors
/// The thread could not be started.
pub(crate) fn start_writer() -> io::Result<()> {
    if QUEUE.get().is_none() && LevelFilter::current() == LevelFilter::OFF {
        return Ok(());
    }
    if HAS_WRITER.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let queue = QUEUE.get_or_init(LineQueue::default);
    std::thread::Builder::new().name("log".to_owned()).spawn(move || {
        gather();
        queue.write_to(stderr(), |lines| {
            tracing::warn!(lines, "log lines dropped: standard error is not read fast enough, or could not be written");
            hand_over();
        });
    })?;
    Ok(())
}

/// From now on the lines of this thread wait for [`hand_over`].
pub(crate) fn gather() {
    with_gathered(|gathered| gathered.is_worker = true);
}

/// Hands over the lines of this thread.
pub(crate) fn hand_over() {
    with_gathered(GatheredLines::hand_over);
}

/// How many lines have been dropped since the start, because nobody reads them fast enough.
pub(crate) fn dropped_lines() -> u64 {
    QUEUE.get().map_or(0, LineQueue::dropped_since_start)
}

/// Hands over the lines of this thread, and waits until all lines are written, but not for ever.
pub fn flush() {
    hand_over();
    if let Some(queue) = QUEUE.get() {
        // The start may have failed before there was a thread.
        if start_writer().is_ok() {
            queue.wait_until_written(LAST_LINES_TIMEOUT);
        }
    }
}

/// The lines of one thread that have not been handed over.
#[derive(Default)]
struct GatheredLines {
    lines: Vec<u8>,
    time: TimestampWriter,
    is_worker: bool,
}

impl GatheredLines {
    /// A line has been added.
    fn added(&mut self) {
        if self.lines.len() >= GATHERED_LIMIT || !self.is_worker {
            self.hand_over();
        }
        if !self.is_worker
            && HAS_WRITER.load(Ordering::Relaxed)
            && let Some(queue) = QUEUE.get()
        {
            queue.wait_until_written(LINE_TIMEOUT);
        }
    }

    /// All of them at once, so that the lines of two threads do not mix.
    fn hand_over(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        match QUEUE.get() {
            Some(queue) => queue.push(&self.lines),
            // An error of the log cannot be logged.
            None => drop(stderr().write_all(&self.lines)),
        }
        self.lines.clear();
    }
}

impl Drop for GatheredLines {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// Calls `work` with the lines of this thread.
///
/// Nothing is called if the thread is ending, or if it is already making a line.
fn with_gathered(work: impl FnOnce(&mut GatheredLines)) {
    let _ = GATHERED.try_with(|gathered| {
        if let Ok(mut gathered) = gathered.try_borrow_mut() {
            work(&mut gathered);
        }
    });
}

/// Makes a line of each event: time, level, message and fields.
#[derive(Clone, Copy, Debug)]
struct EventLog {
    level: Level,
    style: LineStyle,
}

impl EventLog {
    /// How a line is written now.
    fn style(self) -> LineStyle {
        if WANTS_JSON.load(Ordering::Relaxed) { LineStyle::Json } else { self.style }
    }
}

impl Subscriber for EventLog {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The libraries below have events of their own, which mean nothing to an operator.
        let path = metadata.target().strip_prefix(env!("CARGO_CRATE_NAME"));
        let is_ours = path.is_some_and(|path| path.is_empty() || path.starts_with("::"));
        metadata.is_event() && is_ours && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level.into())
    }

    fn event(&self, event: &Event<'_>) {
        // Not into the lines of the thread: a value of a field may log something itself, or panic.
        let mut bytes = Vec::with_capacity(256);
        let mut line =
            LogLine::start(*event.metadata().level(), self.style(), &mut TimestampWriter::default(), &mut bytes);
        event.record(&mut line);
        line.end();
        with_gathered(|gathered| {
            gathered.lines.extend_from_slice(&bytes);
            gathered.added();
        });
    }

    // There are no spans.

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of what `event` logs, without its time.
    fn line(style: LineStyle, event: impl FnOnce()) -> String {
        gather();
        tracing::subscriber::with_default(EventLog { level: Level::INFO, style }, event);
        let lines = GATHERED.with_borrow_mut(|gathered| std::mem::take(&mut gathered.lines));
        let line = String::from_utf8(lines).unwrap();
        let behind = if style == LineStyle::Json { "Z\"," } else { "Z " };
        line.split_once(behind).map(|(_, line)| line.to_owned()).unwrap_or_default()
    }

    #[track_caller]
    fn check(event: impl FnOnce(), expected: &str) {
        assert_eq!(line(LineStyle::Plain, event), expected);
    }

    #[test]
    fn a_line_has_level_message_and_fields() {
        let error = std::io::Error::other("it broke");
        check(
            || tracing::info!(operation = "Ping", bytes = 2, %error, "exchange"),
            "level=info msg=\"exchange\" operation=Ping bytes=2 error=\"it broke\"\n",
        );
        check(|| tracing::debug!("more than is logged"), "");
    }

    #[test]
    fn a_value_is_quoted_where_it_must_be() {
        check(|| tracing::info!(a = "unix:///run/x.sock", b = "", c = "a b", d = %1.5, "m"), {
            "level=info msg=\"m\" a=unix:///run/x.sock b=\"\" c=\"a b\" d=1.5\n"
        });
        check(|| tracing::info!(a = "x=y", b = "\"", c = true, d = -1, "m"), {
            "level=info msg=\"m\" a=\"x=y\" b=\"\\\"\" c=true d=-1\n"
        });
    }

    #[test]
    fn no_text_ends_the_line_or_paints_the_terminal() {
        let error = std::io::Error::other("a\nb\x1b[31m\u{85}");
        check(|| tracing::warn!(%error, "bad"), "level=warn msg=\"bad\" error=\"a\\nb\\u001b[31m\\u0085\"\n");
        check(|| tracing::warn!(text = "a\n\"", "bad\r"), "level=warn msg=\"bad\\r\" text=\"a\\n\\\"\"\n");
    }

    #[test]
    fn a_line_of_json_has_the_same_fields() {
        let error = std::io::Error::other("a\nb\x1b[31m\u{85}\u{2028} ü");
        let text = line(LineStyle::Json, || {
            tracing::warn!(a = 1_u64, b = -2, c = true, d = "x y", e = "", f = %1.5, %error, "bad\"{}", "\\");
        });
        let read: serde_json::Value = serde_json::from_str(&format!("{{{text}")).unwrap();
        let expected = serde_json::json!({
            "level": "warn", "msg": "bad\"\\", "a": 1, "b": -2, "c": true, "d": "x y", "e": "", "f": "1.5",
            "error": "a\nb\u{1b}[31m\u{85}\u{2028} ü",
        });
        assert_eq!(read, expected, "{text}");
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains(['\x1b', '\u{85}']), "{text}");
        let whole = |level| {
            let text = line(LineStyle::Json, || match level {
                "error" => tracing::error!("m"),
                _ => tracing::info!("m"),
            });
            assert_eq!(text, format!("\"level\":\"{level}\",\"msg\":\"m\"}}\n"));
        };
        whole("error");
        whole("info");
    }

    #[test]
    fn only_the_level_is_coloured() {
        let text = line(LineStyle::Coloured, || tracing::error!(a = 1, "m"));
        assert_eq!(text, "level=\x1b[31merror\x1b[0m msg=\"m\" a=1\n");
    }
}
