//! Text for people: in columns that fit the width of the terminal, or a fixed one where there is none, and harmless to it.
//!
//! A text of a file or of an argument may be somebody else's. What would paint the terminal, turn the direction of the text or not be
//! seen is shown escaped, whoever wrote it: [`Wrapped`] is the way out of every text. Where a text is put into a line, [`one_line`]
//! keeps it from making lines of its own.

use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::termios::{isatty, tcgetwinsize};

use super::colour::Colour;
pub use crate::log::one_line;

/// The width of text that goes to a file or a pipe, in columns.
pub const PIPED_WIDTH: usize = 100;
/// No terminal is taken for narrower: nothing would be left of a line beside its indentation.
const LEAST_WIDTH: usize = 40;
/// A continued line begins at most here, so that enough of it is left.
const DEEPEST_INDENT: usize = 24;

/// The width of what `stream` is connected to, in columns.
pub fn width(stream: impl AsFd) -> usize {
    let size = if isatty(&stream) { tcgetwinsize(&stream).ok() } else { None };
    let columns = size.map(|size| usize::from(size.ws_col));
    // A terminal that does not know its width says zero.
    columns.filter(|columns| *columns > 0).map_or(PIPED_WIDTH, |columns| columns.max(LEAST_WIDTH))
}

/// Wraps what is written at a width, line by line, and shows harmful characters escaped. A line that is continued is indented to
/// where its text begins, behind the label or the columns before it. Words are never broken.
pub struct Wrapped<'w> {
    out: &'w mut dyn Write,
    width: usize,
    colour: Colour,
    /// Whether it is text. A document for programs passes as it is.
    is_text: bool,
    /// The beginning of a line that is not whole yet.
    line: Vec<u8>,
}

impl<'w> Wrapped<'w> {
    /// Writes to `out`, at most `width` columns wide.
    pub fn new(out: &'w mut dyn Write, width: usize) -> Self {
        Self { out, width, colour: Colour::Never, is_text: true, line: Vec::new() }
    }

    /// Writes a document for programs to `out`, as it is.
    pub fn document(out: &'w mut dyn Write) -> Self {
        Self { is_text: false, ..Self::unbroken(out) }
    }

    /// Writes to `out` without breaking lines.
    pub fn unbroken(out: &'w mut dyn Write) -> Self {
        Self::new(out, usize::MAX)
    }

    /// The same, in colour.
    pub fn coloured(self, colour: Colour) -> Self {
        Self { colour, ..self }
    }

    /// Writes a line, in as many as it takes.
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let line = String::from_utf8_lossy(line);
        let (text, end) = line.strip_suffix('\n').map_or((&*line, ""), |text| (text, "\n"));
        for line in wrapped(&(one_line(text) + end), self.width).split_inclusive('\n') {
            self.out.write_all(self.colour.paint_line(line).as_bytes())?;
        }
        Ok(())
    }
}

impl Write for Wrapped<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_text {
            return self.out.write(bytes);
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.write_line(&line)?;
            }
        }
        Ok(bytes.len())
    }

    /// Writes a line that has no end, too.
    fn flush(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.write_line(&line)?;
        self.out.flush()
    }
}

/// One line, in as many as it takes.
fn wrapped(line: &str, width: usize) -> String {
    let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
    if columns(text) <= width {
        return line.to_owned();
    }
    let start = text.len() - text.trim_start().len();
    let indent = " ".repeat(continuation(text));
    let (mut out, mut column) = (text.get(..start).unwrap_or_default().to_owned(), start);
    let mut is_first = true;
    for word in text.get(start..).unwrap_or_default().split_inclusive(' ') {
        let length = columns(word.trim_end_matches(' '));
        if !is_first && length > 0 && column + length > width {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            out.push_str(&indent);
            column = indent.len();
        }
        out.push_str(word);
        column += columns(word);
        is_first = false;
    }
    out.truncate(out.trim_end_matches(' ').len());
    out + end
}

/// The column at which the text of a line begins, behind its label: `  allows: `, or two spaces between columns.
fn continuation(text: &str) -> usize {
    let start = text.len() - text.trim_start().len();
    let rest = text.get(start..).unwrap_or_default();
    let ends = [": ", "  "].iter().filter_map(|end| Some(rest.find(end)? + end.len()));
    let label = ends.min().unwrap_or_default();
    // Columns are padded with more spaces.
    let behind = rest.get(label..).unwrap_or_default();
    let label = label + (behind.len() - behind.trim_start_matches(' ').len());
    let column = start + rest.get(..label).map_or(0, columns);
    if label > 0 && column <= DEEPEST_INDENT { column } else { (start + 4).min(DEEPEST_INDENT) }
}

/// The number of columns of a text.
fn columns(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::is_harmless;

    #[track_caller]
    fn check(text: &str, width: usize, expected: &str) {
        let mut out = Vec::new();
        let mut writer = Wrapped::new(&mut out, width);
        // In pieces of any size it is the same.
        for piece in text.as_bytes().chunks(3) {
            writer.write_all(piece).unwrap();
        }
        writer.flush().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_line_is_continued_below_its_text() {
        check("  allows: aaa, bbb, ccc, ddd\n", 20, "  allows: aaa, bbb,\n          ccc, ddd\n");
        check("name      one two three four\n", 20, "name      one two\n          three four\n");
        check("  warning: can do: aaaa bbbb cccc\n", 24, "  warning: can do: aaaa\n           bbbb cccc\n");
        check("  no label aaa bbb ccc\n", 12, "  no label\n      aaa\n      bbb\n      ccc\n");
        check("short\n\n  short too\n", 20, "short\n\n  short too\n");
        check("without an end aaa", 14, "without an end\n    aaa");
        check("", 20, "");
    }

    #[test]
    fn what_harms_a_terminal_is_escaped_and_colours_of_our_own_stay() {
        for character in (0..=0x2_ffff).chain(0xe_0000..=0xe_0fff).filter_map(char::from_u32) {
            let mut out = Vec::new();
            let mut writer = Wrapped::unbroken(&mut out).coloured(Colour::Ansi);
            writeln!(writer, "label  a{character}b").unwrap();
            let text = String::from_utf8(out).unwrap();
            let shown = match character {
                '\n' => "a\nb".to_owned(),
                '\t' => "a\\tb".to_owned(),
                '\r' => "a\\rb".to_owned(),
                character if is_harmless(character) => format!("a{character}b"),
                character => format!("a\\u{{{:x}}}b", u32::from(character)),
            };
            assert_eq!(text, format!("\x1b[1mlabel\x1b[0m  {shown}\n"));
            assert!(one_line(&format!("a{character}")).chars().all(is_harmless), "{character:?}");
        }
        for harmful in
            "\0\u{7}\u{8}\r\u{1b}\u{7f}\u{9b}\u{200b}\u{200f}\u{2028}\u{2029}\u{202e}\u{2066}\u{feff}".chars()
        {
            assert!(!is_harmless(harmful), "{harmful:?}");
        }
        assert!("äß€日本\u{1f600}é".chars().all(is_harmless));
        // A byte that is no UTF-8 is no control character either.
        let mut out = Vec::new();
        Wrapped::unbroken(&mut out).write_all(b"a\x9bb\n").unwrap();
        assert_eq!(out, "a\u{fffd}b\n".as_bytes());
    }

    #[test]
    fn a_word_is_never_broken_and_nothing_is_lost() {
        check("  a: bbbbbbbbbbbbbbbbbbbb ccc\n", 12, "  a:\n     bbbbbbbbbbbbbbbbbbbb\n     ccc\n");
        check(
            "  $.A.Very.Long.Path.Of.A.Field.That.Ends  state\n",
            20,
            "  $.A.Very.Long.Path.Of.A.Field.That.Ends\n      state\n",
        );
        let text = "  warning: x: äöü, \u{1F600} one two  three   four: five\n";
        for width in 1..60 {
            let mut out = Vec::new();
            Wrapped::new(&mut out, width).write_all(text.as_bytes()).unwrap();
            let out = String::from_utf8(out).unwrap();
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&out), words(text), "{width}");
        }
    }

    #[test]
    fn a_file_has_the_fixed_width() {
        assert_eq!(width(std::fs::File::open("/dev/null").unwrap()), PIPED_WIDTH);
    }
}
