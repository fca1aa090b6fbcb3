//! The log: one line for each event, on standard error.
//!
//! A worker gathers its lines and writes them when it has nothing else to do, so that a line costs no system call of
//! its own under load and is out at once without it. Every other thread writes each line as it comes.

use std::cell::RefCell;
use std::fmt::{self, Debug, Write as _};
use std::io::{Write as _, stderr};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// How many bytes of lines a worker gathers at most.
const GATHERED_LIMIT: usize = 16 * 1024;

thread_local! {
    static PAGE: RefCell<Page> = RefCell::default();
}

/// Starts the log: events up to `level`, in `colours` for a terminal.
pub fn start(level: Level, colours: bool) {
    // Whoever came first keeps the log.
    if tracing::subscriber::set_global_default(Log { level, colours }).is_err() {
        return;
    }
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // The process may end here, and the lines say what led to it.
        write();
        report(panic);
    }));
}

/// From now on the lines of this thread wait for [`write`].
pub(super) fn gather() {
    let _ = PAGE.try_with(|page| page.borrow_mut().gathers = true);
}

/// Writes the lines of this thread that wait.
pub(super) fn write() {
    // A panic while a line was being made finds the page taken; that line is not whole.
    let _ = PAGE.try_with(|page| page.try_borrow_mut().map(|mut page| page.write()));
}

/// The lines of one thread that have not been written yet.
#[derive(Default)]
struct Page {
    lines: String,
    gathers: bool,
    clock: Clock,
}

impl Page {
    /// All of them in one piece, so that those of two threads do not mix.
    fn write(&mut self) {
        if !self.lines.is_empty() {
            // Where nobody reads the log there is nobody to tell.
            let _ = stderr().write_all(self.lines.as_bytes());
            self.lines.clear();
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.write();
    }
}

/// What makes lines of events. There are no spans in this program.
struct Log {
    level: Level,
    colours: bool,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level.into())
    }

    fn event(&self, event: &Event<'_>) {
        // A thread that is ending, or an event inside the text of another, has no line.
        let _ = PAGE.try_with(|page| {
            let Ok(mut page) = page.try_borrow_mut() else { return };
            let Page { lines, clock, .. } = &mut *page;
            clock.stamp(SystemTime::now(), lines);
            lines.push_str(level(*event.metadata().level(), self.colours));
            event.record(&mut Line(lines));
            lines.push('\n');
            if !page.gathers || page.lines.len() >= GATHERED_LIMIT {
                page.write();
            }
        });
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// How a level is written.
fn level(level: Level, colours: bool) -> &'static str {
    match (level, colours) {
        (Level::ERROR, false) => " ERROR",
        (Level::WARN, false) => "  WARN",
        (Level::INFO, false) => "  INFO",
        (Level::DEBUG, false) => " DEBUG",
        (Level::TRACE, false) => " TRACE",
        (Level::ERROR, true) => " \x1b[31mERROR\x1b[0m",
        (Level::WARN, true) => "  \x1b[33mWARN\x1b[0m",
        (Level::INFO, true) => "  \x1b[32mINFO\x1b[0m",
        (Level::DEBUG, true) => " \x1b[34mDEBUG\x1b[0m",
        (Level::TRACE, true) => " \x1b[35mTRACE\x1b[0m",
    }
}

/// Writes the fields of an event at the end of a line: the message as it is, others as ` name=value`.
struct Line<'p>(&'p mut String);

impl Line<'_> {
    fn name(&mut self, field: &Field) {
        self.0.push(' ');
        if field.name() != "message" {
            self.0.push_str(field.name());
            self.0.push('=');
        }
    }
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.name(field);
        // To write to a string does not fail, and a text that does not want to be written is left off.
        let _ = write!(OnOneLine(self.0), "{value:?}");
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        if value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            self.0.extend(["\"", value, "\""]);
        } else {
            let _ = write!(self.0, "{value:?}");
        }
    }
}

/// Escapes control characters, so that no text can end the line or paint the terminal.
struct OnOneLine<'p>(&'p mut String);

impl fmt::Write for OnOneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !text.contains(char::is_control) {
            self.0.push_str(text);
            return Ok(());
        }
        for character in text.chars() {
            if character.is_control() {
                self.0.extend(character.escape_default());
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}

/// Writes times; the part down to the second is made once per second.
#[derive(Default)]
struct Clock {
    second: u64,
    text: String,
}

impl Clock {
    /// Appends a time as `2026-01-31T23:59:59.123456Z`.
    fn stamp(&mut self, time: SystemTime, line: &mut String) {
        // A clock that stands before 1970 is not set, and what it shows does not matter.
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != since.as_secs() || self.text.is_empty() {
            self.second = since.as_secs();
            let (year, month, day) = date(self.second / 86_400);
            let (hour, minute, second) = (self.second / 3_600 % 24, self.second / 60 % 60, self.second % 60);
            self.text.clear();
            let _ = write!(self.text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.");
        }
        line.push_str(&self.text);
        let _ = write!(line, "{:06}Z", since.subsec_micros());
    }
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // Years are counted from a first of March, so that the leap day is the last of them, and in turns of 400 years.
    let days = days + 719_468;
    let (turn, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (turn * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check_time(micros: u64, expected: &str) {
        let mut line = String::new();
        Clock::default().stamp(UNIX_EPOCH + Duration::from_micros(micros), &mut line);
        assert_eq!(line, expected);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        check_time(0, "1970-01-01T00:00:00.000000Z");
        check_time(951_782_399_000_001, "2000-02-28T23:59:59.000001Z");
        check_time(951_782_400_000_000, "2000-02-29T00:00:00.000000Z");
        check_time(951_868_800_000_000, "2000-03-01T00:00:00.000000Z");
        check_time(1_767_225_599_999_999, "2025-12-31T23:59:59.999999Z");
        check_time(1_767_225_600_000_000, "2026-01-01T00:00:00.000000Z");
        check_time(4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn the_second_is_never_an_old_one() {
        let (mut clock, mut line) = (Clock::default(), String::new());
        for second in [5, 5, 6, 5] {
            clock.stamp(UNIX_EPOCH + Duration::from_secs(second), &mut line);
        }
        let seconds: Vec<&str> = line.split_terminator(".000000Z").map(|time| &time[17..]).collect();
        assert_eq!(seconds, ["05", "05", "06", "05"]);
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let length = |year: u64, month: u64| match month {
            2 if year.is_multiple_of(400) || (year.is_multiple_of(4) && !year.is_multiple_of(100)) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let mut expected = (1970, 1, 1);
        for days in 0..146_097 {
            assert_eq!(date(days), expected);
            let (year, month, day) = expected;
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                _ if day == length(year, month) => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }

    /// The line of what `event` says, without its time.
    fn line(event: impl FnOnce()) -> String {
        let log = Log { level: Level::INFO, colours: false };
        PAGE.with_borrow_mut(|page| page.gathers = true);
        tracing::subscriber::with_default(log, event);
        let lines = PAGE.with_borrow_mut(|page| std::mem::take(&mut page.lines));
        lines.split_once('Z').map(|(_, line)| line.to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_line_has_level_message_and_fields() {
        let error = std::io::Error::other("it broke");
        assert_eq!(
            line(|| tracing::info!(operation = "Ping", bytes = 2, %error, "exchange")),
            "  INFO exchange operation=\"Ping\" bytes=2 error=it broke\n"
        );
        assert_eq!(line(|| tracing::debug!("more than was asked for")), "");
    }

    #[test]
    fn no_text_ends_the_line_or_paints_the_terminal() {
        let error = std::io::Error::other("a\nb\x1b[31m");
        assert_eq!(line(|| tracing::warn!(%error, "bad")), "  WARN bad error=a\\nb\\u{1b}[31m\n");
        assert_eq!(line(|| tracing::warn!(text = "a\n\"", "bad\r")), "  WARN bad\\r text=\"a\\n\\\"\"\n");
    }
}
