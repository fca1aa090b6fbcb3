//! Colour on terminals.

use crate::cli::Environment;

/// Whether text is printed in colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Text alone.
    Never,
    /// Escape sequences of ANSI terminals.
    Ansi,
}

/// What a piece of text is to the reader, which chooses its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// A heading or a comment.
    Heading,
    /// What a client sees.
    Shown,
    /// What a client does not see, or is refused.
    Hidden,
    /// What is to be feared.
    Warning,
}

impl Colour {
    /// Colour on a terminal, unless `NO_COLOR` is set (<https://no-color.org/>) or the terminal is a dumb one.
    pub fn choose(terminal: bool, environment: &Environment) -> Self {
        let variable = |name: &str| environment.variables.get(name).unwrap_or_default();
        let plain = !variable("NO_COLOR").is_empty() || variable("TERM") == "dumb";
        if terminal && !plain { Self::Ansi } else { Self::Never }
    }

    /// The text in the colour of its tone.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Heading => "1",
            Tone::Shown => "32",
            Tone::Hidden => "31",
            Tone::Warning => "33",
        };
        match self {
            Self::Ansi if !text.trim().is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Ansi | Self::Never => text.to_owned(),
        }
    }

    /// A line of a report: its label or its warning, and what is decided, in colour.
    pub(super) fn paint_line(self, line: &str) -> String {
        let start = line.len() - line.trim_start().len();
        let (indent, text) = line.split_at_checked(start).unwrap_or(("", line));
        if let Some(rest) = text.strip_prefix("warning:") {
            return format!("{indent}{}{rest}", self.paint(Tone::Warning, "warning:"));
        }
        let Some((label, rest)) = text.split_once("  ").filter(|_| indent.is_empty()) else { return line.to_owned() };
        let tone = match rest.trim_start() {
            _ if label != "decision" => return format!("{}  {rest}", self.paint(Tone::Heading, label)),
            rest if rest.starts_with(|first: char| first.is_ascii_digit()) => Tone::Hidden,
            rest if rest.starts_with("relay") => Tone::Warning,
            _ => Tone::Shown,
        };
        format!("{}  {}", self.paint(Tone::Heading, label), self.paint(tone, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_painted_where_it_says_something() {
        for (line, expected) in [
            ("  warning: can change", "  \x1b[33mwarning:\x1b[0m can change"),
            ("decision  403: denied", "\x1b[1mdecision\x1b[0m  \x1b[31m403: denied\x1b[0m"),
            ("decision  filter", "\x1b[1mdecision\x1b[0m  \x1b[32mfilter\x1b[0m"),
            ("decision  relay: untouched", "\x1b[1mdecision\x1b[0m  \x1b[33mrelay: untouched\x1b[0m"),
            ("listen  unix:///a  profile b", "\x1b[1mlisten\x1b[0m  unix:///a  profile b"),
            ("  allows: Ping", "  allows: Ping"),
            ("", ""),
        ] {
            assert_eq!(Colour::Ansi.paint_line(line), expected);
            assert_eq!(Colour::Never.paint_line(line), line);
        }
    }
}
