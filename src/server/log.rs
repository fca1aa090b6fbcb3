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

mod queue;

use std::cell::RefCell;
use std::fmt::{self, Debug, Write as _};
use std::io::{self, Write as _, stderr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use self::queue::LineQueue;
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

/// Starts the log: events up to `level`.
pub fn start(level: Level, style: LineStyle) {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .event_format(LogLine { style })
        .with_writer(|| GatheringWriter)
        .finish()
        // The libraries below have events of their own, which mean nothing to an operator.
        .with(Targets::new().with_target(env!("CARGO_CRATE_NAME"), level));
    // In tests another subscriber may be first. It keeps the log.
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        return;
    }
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // The process may end here, and the lines say what led to it.
        flush();
        report(panic);
    }));
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
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.pop_if(|byte| *byte == b'\n').is_some() {
                let line = std::mem::take(&mut self.line);
                if !line.is_empty() {
                    tracing::info!("{}", String::from_utf8_lossy(&line));
                }
            }
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the thread that writes the lines, if there are any to write. A process that is to drop its privileges must have
/// one thread, so this comes after that.
///
/// # Errors
/// The thread could not be started.
pub(super) fn start_writer() -> io::Result<()> {
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
            tracing::warn!(lines, "log lines dropped: nobody reads standard error fast enough");
            hand_over();
        });
    })?;
    Ok(())
}

/// From now on the lines of this thread wait for [`hand_over`].
pub(super) fn gather() {
    let _ = GATHERED.try_with(|gathered| gathered.borrow_mut().is_worker = true);
}

/// Hands over the lines of this thread.
pub(super) fn hand_over() {
    // A panic while a line is made finds the lines borrowed; that line is incomplete.
    let _ = GATHERED.try_with(|gathered| gathered.try_borrow_mut().map(|mut gathered| gathered.hand_over()));
}

/// How many lines have been dropped since the start, because nobody reads them fast enough.
pub(super) fn dropped_lines() -> u64 {
    QUEUE.get().map_or(0, LineQueue::dropped_since_start)
}

/// The time now, as the log writes it.
pub(super) fn time_text() -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
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
    is_worker: bool,
}

impl GatheredLines {
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

/// Adds lines to those of the thread.
struct GatheringWriter;

impl io::Write for GatheringWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A thread that is ending has no lines any more.
        let _ = GATHERED.try_with(|gathered| {
            let Ok(mut gathered) = gathered.try_borrow_mut() else { return };
            gathered.lines.extend_from_slice(line);
            if gathered.lines.len() >= GATHERED_LIMIT || !gathered.is_worker {
                gathered.hand_over();
            }
            if !gathered.is_worker
                && HAS_WRITER.load(Ordering::Relaxed)
                && let Some(queue) = QUEUE.get()
            {
                queue.wait_until_written(LINE_TIMEOUT);
            }
        });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Formats an event as a line: time, level, message and fields.
struct LogLine {
    style: LineStyle,
}

impl<S, N> FormatEvent<S, N> for LogLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let style = if WANTS_JSON.load(Ordering::Relaxed) { LineStyle::Json } else { self.style };
        line.write_str(if style == LineStyle::Json { "{\"ts\":\"" } else { "ts=" })?;
        SystemTime.format_time(&mut line)?;
        line.write_str(level(*event.metadata().level(), style))?;
        let mut fields = LineFields { line, style, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        fields.line.write_str(if style == LineStyle::Json { "}\n" } else { "\n" })
    }
}

/// The field of a level, behind the time.
fn level(level: Level, style: LineStyle) -> &'static str {
    match (level, style) {
        (Level::ERROR, LineStyle::Plain) => " level=error",
        (Level::WARN, LineStyle::Plain) => " level=warn",
        (Level::INFO, LineStyle::Plain) => " level=info",
        (Level::DEBUG, LineStyle::Plain) => " level=debug",
        (Level::TRACE, LineStyle::Plain) => " level=trace",
        (Level::ERROR, LineStyle::Json) => "\",\"level\":\"error\"",
        (Level::WARN, LineStyle::Json) => "\",\"level\":\"warn\"",
        (Level::INFO, LineStyle::Json) => "\",\"level\":\"info\"",
        (Level::DEBUG, LineStyle::Json) => "\",\"level\":\"debug\"",
        (Level::TRACE, LineStyle::Json) => "\",\"level\":\"trace\"",
        (Level::ERROR, LineStyle::Coloured) => " level=\x1b[31merror\x1b[0m",
        (Level::WARN, LineStyle::Coloured) => " level=\x1b[33mwarn\x1b[0m",
        (Level::INFO, LineStyle::Coloured) => " level=\x1b[32minfo\x1b[0m",
        (Level::DEBUG, LineStyle::Coloured) => " level=\x1b[34mdebug\x1b[0m",
        (Level::TRACE, LineStyle::Coloured) => " level=\x1b[35mtrace\x1b[0m",
    }
}

/// Writes the fields of an event as ` name=value` or `,"name":value`; the message is `msg`.
struct LineFields<'l> {
    line: Writer<'l>,
    style: LineStyle,
    result: fmt::Result,
}

impl LineFields<'_> {
    /// Writes a field: its name, and what `value` writes.
    fn field(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        let line = &mut self.line;
        // Names are those of this program, and need no escape.
        let parts = if self.style == LineStyle::Json { [",\"", name, "\":"] } else { [" ", name, "="] };
        let parts = parts.into_iter().try_for_each(|part| line.write_str(part));
        self.result = self.result.and(parts).and_then(|()| value(line));
    }

    /// Writes a field whose value is quoted.
    fn quoted(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.field(field, |line| {
            line.write_char('"')?;
            Escaping(line).write_fmt(value)?;
            line.write_char('"')
        });
    }
}

impl Visit for LineFields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.quoted(field, format_args!("{value:?}"));
        } else {
            self.record_str(field, &format!("{value:?}"));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, |line| write!(line, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, |line| write!(line, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, |line| write!(line, "{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.style != LineStyle::Json && is_bare(value) {
            self.field(field, |line| line.write_str(value));
        } else {
            self.quoted(field, format_args!("{value}"));
        }
    }
}

/// Whether a value needs no quotes.
fn is_bare(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte))
}

/// Writes text for a quoted value. Escapes quotes, backslashes and control characters as JSON does: no text can end the
/// value or the line, or paint the terminal.
struct Escaping<'l, 'w>(&'l mut Writer<'w>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Most text needs no escape. A byte of a longer character may be one of a control character (U+0080 to U+009F).
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
            return self.0.write_str(text);
        }
        for character in text.chars() {
            match character {
                '\n' => self.0.write_str("\\n")?,
                '\r' => self.0.write_str("\\r")?,
                '\t' => self.0.write_str("\\t")?,
                '"' | '\\' => write!(self.0, "\\{character}")?,
                control if control.is_control() => write!(self.0, "\\u{:04x}", u32::from(control))?,
                other => self.0.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of what `event` logs, without its time.
    fn line(style: LineStyle, event: impl FnOnce()) -> String {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::INFO)
            .event_format(LogLine { style })
            .with_writer(|| GatheringWriter)
            .finish();
        gather();
        tracing::subscriber::with_default(subscriber, event);
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
