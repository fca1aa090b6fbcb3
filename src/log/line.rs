//! One line of the log, written field by field into a buffer.

use std::borrow::Cow;
use std::fmt::{self, Debug, Display, Write as _};
use std::io::Write as _;

use tracing::Level;
use tracing::field::{Field, Visit};

use super::LineStyle;
use super::timestamp::TimestampWriter;

/// A line that is being written at the end of a buffer. Names of fields are those of this program, and need no escape.
#[derive(Debug)]
pub struct LogLine<'b> {
    bytes: &'b mut Vec<u8>,
    is_json: bool,
}

/// Fields that many lines have in common. They are written once, in each style.
#[derive(Clone, Debug)]
pub struct CommonFields {
    plain: Vec<u8>,
    json: Vec<u8>,
}

impl CommonFields {
    /// What `fields` adds to a line.
    pub fn new(fields: impl Fn(&mut LogLine<'_>)) -> Self {
        let written = |is_json| {
            let mut bytes = Vec::new();
            fields(&mut LogLine { bytes: &mut bytes, is_json });
            bytes
        };
        Self { plain: written(false), json: written(true) }
    }
}

impl<'b> LogLine<'b> {
    /// Begins a line with its time and its level. The message is the first field.
    pub(super) fn start(level: Level, style: LineStyle, time: &mut TimestampWriter, bytes: &'b mut Vec<u8>) -> Self {
        let is_json = style == LineStyle::Json;
        bytes.extend_from_slice(if is_json { b"{\"ts\":\"" } else { b"ts=" });
        time.push_now(bytes);
        bytes.extend_from_slice(level_field(level, style).as_bytes());
        Self { bytes, is_json }
    }

    /// Ends the line.
    pub(super) fn end(self) {
        self.bytes.extend_from_slice(if self.is_json { b"}\n" } else { b"\n" });
    }

    /// Adds the message.
    pub(super) fn message(&mut self, message: &str) {
        self.name("msg");
        self.quoted(message);
    }

    /// Adds a text.
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        if !self.is_json && is_bare(value.as_bytes()) {
            self.bytes.extend_from_slice(value.as_bytes());
        } else {
            self.quoted(value);
        }
    }

    /// Adds fields that other lines have, too.
    pub fn common(&mut self, fields: &CommonFields) {
        self.bytes.extend_from_slice(if self.is_json { &fields.json } else { &fields.plain });
    }

    /// Adds a text if there is one.
    pub fn optional_text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Adds names with their numbers, `a:1 b:2`, as a text. The names need no escape.
    pub fn counts<'n>(&mut self, name: &str, counts: impl Iterator<Item = (&'n str, u64)>) {
        self.name(name);
        let start = self.bytes.len();
        self.bytes.push(b'"');
        for (number, (counted, count)) in counts.enumerate() {
            if number > 0 {
                self.bytes.push(b' ');
            }
            self.bytes.extend_from_slice(counted.as_bytes());
            self.bytes.push(b':');
            push_number(count, self.bytes);
        }
        if !self.is_json && is_bare(self.bytes.get(start + 1..).unwrap_or_default()) {
            self.bytes.remove(start);
        } else {
            self.bytes.push(b'"');
        }
    }

    /// Adds a number.
    pub fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        push_number(value, self.bytes);
    }

    /// Adds what a value writes, as a text.
    pub fn display(&mut self, name: &str, value: &dyn Display) {
        self.name(name);
        let start = self.bytes.len();
        // Writing to a buffer does not fail.
        let _ = write!(self.bytes, "{value}");
        let text = self.bytes.get(start..).unwrap_or_default();
        if !self.is_json && is_bare(text) {
            return;
        }
        if is_plain(text) {
            self.bytes.insert(start, b'"');
            self.bytes.push(b'"');
        } else {
            let text = String::from_utf8_lossy(text).into_owned();
            self.bytes.truncate(start);
            self.quoted(&text);
        }
    }

    /// Adds what writes itself without quotes.
    fn raw(&mut self, name: &str, value: fmt::Arguments<'_>) {
        self.name(name);
        let _ = self.bytes.write_fmt(value);
    }

    fn name(&mut self, name: &str) {
        let [before, behind]: [&[u8]; 2] = if self.is_json { [b",\"", b"\":"] } else { [b" ", b"="] };
        for part in [before, name.as_bytes(), behind] {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Adds text between quotes.
    fn quoted(&mut self, text: &str) {
        self.bytes.push(b'"');
        if is_plain(text.as_bytes()) {
            self.bytes.extend_from_slice(text.as_bytes());
        } else {
            push_escaped(text, self.bytes);
        }
        self.bytes.push(b'"');
    }
}

/// Adds the fields of an event.
impl Visit for LogLine<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message(&text),
            name => self.text(name, &text),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.raw(field.name(), format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.raw(field.name(), format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message(value),
            name => self.text(name, value),
        }
    }
}

/// The field of a level, behind the time.
fn level_field(level: Level, style: LineStyle) -> &'static str {
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

/// The bytes of a value that needs no quotes in logfmt.
const BARE: u8 = 1;
/// The bytes that need no escape between quotes.
const PLAIN: u8 = 2;
/// What each byte is.
static KINDS: [u8; 256] = kinds();

#[expect(clippy::indexing_slicing, reason = "the table has an entry for each byte")]
const fn kinds() -> [u8; 256] {
    let mut kinds = [0; 256];
    // A byte of a longer character may be one of a control character (U+0080 to U+009F).
    let mut byte = b' ';
    while byte <= b'~' {
        let is_bare = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/' | b':');
        let is_plain = byte != b'"' && byte != b'\\';
        kinds[byte as usize] = if is_bare { BARE } else { 0 } | if is_plain { PLAIN } else { 0 };
        byte += 1;
    }
    kinds
}

/// Whether all bytes are of a kind.
fn are_all(bytes: &[u8], kind: u8) -> bool {
    let common = bytes.iter().fold(kind, |common, byte| common & KINDS.get(usize::from(*byte)).copied().unwrap_or(0));
    common == kind
}

/// Whether a value needs no quotes.
fn is_bare(value: &[u8]) -> bool {
    !value.is_empty() && are_all(value, BARE)
}

/// Whether a text needs no escape.
fn is_plain(text: &[u8]) -> bool {
    are_all(text, PLAIN)
}

/// Whether a character shows as itself: it ends no line, paints no terminal, turns no direction and is not invisible.
pub(crate) fn is_harmless(character: char) -> bool {
    let is_format = matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    !character.is_control() && !is_format
}

/// A text as a part of one line: line breaks, other control characters, and those that are invisible or turn the direction are
/// escaped as in Rust, `\n` and `\u{1b}`.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        // Writing to a string does not fail.
        let _ = match character {
            '\n' | '\r' | '\t' => write!(line, "{}", character.escape_default()),
            character if is_harmless(character) => write!(line, "{character}"),
            character => write!(line, "{}", character.escape_unicode()),
        };
    }
    Cow::Owned(line)
}

/// Appends a character as JSON escapes it.
pub(crate) fn push_escape(character: char, bytes: &mut Vec<u8>) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing to a buffer does not fail.
        let _ = write!(bytes, "\\u{unit:04x}");
    }
}

/// Appends text for a quoted value. Escapes quotes, backslashes and what is not harmless as JSON does: no text can end the value or
/// the line, or paint the terminal.
fn push_escaped(text: &str, bytes: &mut Vec<u8>) {
    for character in text.chars() {
        match character {
            '\n' => bytes.extend_from_slice(b"\\n"),
            '\r' => bytes.extend_from_slice(b"\\r"),
            '\t' => bytes.extend_from_slice(b"\\t"),
            '"' => bytes.extend_from_slice(b"\\\""),
            '\\' => bytes.extend_from_slice(b"\\\\"),
            other if !is_harmless(other) => push_escape(other, bytes),
            other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// The decimal digits of the largest number.
const MOST_DIGITS: usize = 20;

/// Appends a number in decimal digits.
pub(super) fn push_number(number: u64, bytes: &mut Vec<u8>) {
    push_digits(number, 1, bytes);
}

/// Appends a number in decimal digits, of which there are `least` at least.
pub(super) fn push_digits(mut number: u64, least: usize, bytes: &mut Vec<u8>) {
    let mut digits = [b'0'; MOST_DIGITS];
    let mut start = MOST_DIGITS;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        start -= 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    bytes.extend_from_slice(digits.get(start.min(MOST_DIGITS - least)..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_as_something_else_is_escaped() {
        for (text, expected) in [
            ("é… ü–\u{4e2d}😀", "é… ü–\u{4e2d}😀"),
            ("a\u{85}b\u{2028}c\u{7f}", "a\\u0085b\\u2028c\\u007f"),
            ("\u{202e}\u{200b}\u{feff}\u{e0041}", "\\u202e\\u200b\\ufeff\\udb40\\udc41"),
        ] {
            let mut bytes = Vec::new();
            push_escaped(text, &mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        }
    }

    #[test]
    fn numbers_are_those_of_the_standard_library() {
        let ends = (0..64).flat_map(|bits| [(1_u64 << bits) - 1, 1 << bits, (1 << bits) + 1]);
        let tens = (0..20).flat_map(|power| [10_u64.pow(power) - 1, 10_u64.pow(power)]);
        for number in ends.chain(tens).chain([u64::MAX]) {
            let mut bytes = Vec::from(*b"=");
            push_number(number, &mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), format!("={number}"));
        }
    }

    #[test]
    fn numbers_have_the_digits_that_they_must_have() {
        for (number, least, expected) in [(7, 2, "07"), (0, 6, "000000"), (123_456, 6, "123456"), (123, 1, "123")] {
            let mut bytes = Vec::new();
            push_digits(number, least, &mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        }
    }

    #[test]
    fn counts_are_quoted_if_there_are_several() {
        let line = |style, counts: &[(&str, u64)]| written(style, |line| line.counts("f", counts.iter().copied()));
        let (one, two) = ([("secret", 3)], [("secret", 3), ("host", 20)]);
        assert_eq!(line(LineStyle::Plain, &one), " f=secret:3\n");
        assert_eq!(line(LineStyle::Plain, &two), " f=\"secret:3 host:20\"\n");
        assert_eq!(line(LineStyle::Json, &one), ",\"f\":\"secret:3\"}\n");
        assert_eq!(line(LineStyle::Json, &two), ",\"f\":\"secret:3 host:20\"}\n");
    }

    #[test]
    fn common_fields_are_written_as_others_are() {
        let fields = |line: &mut LogLine<'_>| {
            line.text("listener", "unix:///run/a b.sock");
            line.text("profile", "dashboard");
            line.number("n", 7);
        };
        let common = CommonFields::new(fields);
        for style in [LineStyle::Plain, LineStyle::Coloured, LineStyle::Json] {
            let direct = written(style, fields);
            assert_eq!(written(style, |line| line.common(&common)), direct);
            assert!(direct.contains("a b.sock\""), "{direct}");
        }
    }

    /// The line of some fields, without its time and its level.
    fn written(style: LineStyle, fields: impl FnOnce(&mut LogLine<'_>)) -> String {
        let mut bytes = Vec::new();
        let mut line = LogLine { bytes: &mut bytes, is_json: style == LineStyle::Json };
        fields(&mut line);
        line.end();
        String::from_utf8(bytes).unwrap()
    }

    /// Each character is written alone, between letters, and by both ways of writing a text.
    #[test]
    fn every_character_is_written_in_one_way_and_can_be_read() {
        let characters = (0..=0x2030).chain([0xfeff, 0xfffd, 0x1_f600, 0x10_ffff]).filter_map(char::from_u32);
        let texts = characters.flat_map(|character| [character.to_string(), format!("a{character}b")]);
        for text in texts.chain(["".into(), "a b".into(), "unix:///run/x.sock".into()]) {
            for style in [LineStyle::Plain, LineStyle::Json] {
                let as_text = written(style, |line| line.text("f", &text));
                assert_eq!(written(style, |line| line.display("f", &text)), as_text, "{text:?}");
                assert!(as_text.trim_end().chars().all(|character| !character.is_control()), "{text:?}");
                assert_eq!(as_text.lines().count(), 1, "{text:?}");
            }
            let json = written(LineStyle::Json, |line| line.text("f", &text));
            let json = json.trim_end().strip_prefix(',').unwrap_or_default().to_owned();
            let read: serde_json::Value = serde_json::from_str(&format!("{{{json}")).unwrap();
            assert_eq!(read, serde_json::json!({ "f": text }));
            let plain = written(LineStyle::Plain, |line| line.text("f", &text));
            let value = plain.trim_end().strip_prefix(" f=").unwrap_or_default();
            let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
            let needs_none = !text.is_empty() && text.bytes().all(is_bare);
            assert_eq!(!value.starts_with('"'), needs_none, "{text:?}");
            if value.starts_with('"') {
                assert_eq!(serde_json::from_str::<String>(value).unwrap(), text);
            } else {
                assert_eq!(value, text);
            }
        }
    }
}
