//! Environment files beside a Compose file: `.env`, whose values stand in for variables in the file, and those of `env_file`,
//! which are variables of the container. They are read as Compose reads them; what its versions 2.26 and 2.40 print of the
//! fixture says how. Those of `docker run --env-file` and of a quadlet are raw.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use super::container::{Located, ProxyContainer};
use super::interpolate::Interpolation;
use super::{SIZE_LIMIT, lines};
use crate::config::unreadable;
use crate::quoting;
use crate::yaml::{Diagnostic, Diagnostics, Location};

/// How the lines of a file are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// With quotes, comments and variables.
    Compose,
    /// `format: raw`, `docker run` and Podman: what is behind the first `=` is the value.
    Raw,
}

/// Adds the variables of raw files to a container. Its own come after them, so they win. The paths start in `folder`; `None` if
/// the text is in no file.
pub(super) fn add_raw(
    container: &mut ProxyContainer,
    files: &[Located],
    folder: Option<&Path>,
    diagnostics: &mut Diagnostics,
) {
    let mut found = Vec::new();
    for file in files {
        // A specifier of systemd, or a variable that is not known here, is no path.
        let path = folder.map(|folder| folder.join(&file.text)).filter(|_| !file.text.contains(['%', '$']));
        let Some(path) = path else {
            container.note(format!("{} was not read: what it sets is missing here", quoting::name(&file.text)));
            continue;
        };
        let name = path.display().to_string();
        match diagnostics.ok(read(&path)) {
            Some(Some(text)) => {
                let text = normalised(&text);
                for line in names_alone(&text) {
                    container.note(format!(
                        "{}: its value is set outside this file, and missing here",
                        quoting::value(line)
                    ));
                }
                found.extend(raw(&name, &text));
            }
            Some(None) => {
                container.note(format!("{} was not found: what it sets is missing here", quoting::name(&name)))
            }
            None => {}
        }
    }
    container.variables.splice(0..0, found);
}

/// Reads a file. `None` if there is none.
///
/// # Errors
/// It cannot be read.
pub(super) fn read(path: &Path) -> Result<Option<String>, Diagnostic> {
    let mut text = String::new();
    match std::fs::File::open(path).and_then(|file| file.take(SIZE_LIMIT).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(&path.display().to_string(), &error)),
    }
}

/// The variables in a file. `project` are those that stand in for variables in its values before the file's own do.
///
/// # Errors
/// Every line that Compose refuses. No error quotes a value.
pub(super) fn variables(
    name: &str,
    text: &str,
    format: Format,
    project: &BTreeMap<String, String>,
    values: &mut Interpolation,
) -> Result<Vec<(String, Located)>, Diagnostics> {
    let text = normalised(text);
    match format {
        Format::Raw => Ok(raw(name, &text)),
        Format::Compose => Reader { name, rest: &text, line: 1 }.all(project, values),
    }
}

/// Without a byte order mark, and with line feeds between lines.
fn normalised(text: &str) -> String {
    text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n")
}

/// The lines of a raw file that name a variable without a value.
fn names_alone(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#') && !line.contains('='))
}

/// As [`Format::Raw`].
fn raw(name: &str, text: &str) -> Vec<(String, Located)> {
    let lines = text.lines().zip(1_u32..).filter(|(line, _)| !line.trim_start().starts_with('#'));
    let pairs = lines.filter_map(|(line, number)| Some((line.trim_start().split_once('=')?, number)));
    let located = |text: &str, number| Located { text: text.to_owned(), location: Location::line(name, number) };
    pairs.map(|((key, value), number)| (key.to_owned(), located(value, number))).collect()
}

/// Reads a file from its start.
struct Reader<'t> {
    name: &'t str,
    rest: &'t str,
    line: u32,
}

impl<'t> Reader<'t> {
    /// All variables, up to the first error.
    fn all(
        mut self,
        project: &BTreeMap<String, String>,
        values: &mut Interpolation,
    ) -> Result<Vec<(String, Located)>, Diagnostics> {
        let known = values.known.clone();
        values.known.extend(project.clone());
        let mut found = Vec::new();
        let done = loop {
            match self.next(values) {
                Ok(None) => break Ok(()),
                Ok(Some((name, value))) => {
                    if !project.contains_key(&name) {
                        values.known.insert(name.clone(), value.text.clone());
                    }
                    found.push((name, value));
                }
                Err(error) => break Err(error),
            }
        };
        values.known = known;
        done.map(|()| found).map_err(Diagnostics::from)
    }

    /// The next variable that has a value.
    fn next(&mut self, values: &mut Interpolation) -> Result<Option<(String, Located)>, Diagnostic> {
        loop {
            self.skip(|c| c.is_whitespace());
            if self.rest.is_empty() {
                return Ok(None);
            }
            if self.rest.starts_with('#') {
                self.skip(|c| c != '\n');
                continue;
            }
            let location = Location::line(self.name, self.line);
            let start = self.rest.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
            self.rest = start.unwrap_or(self.rest).trim_start_matches([' ', '\t']);
            let name = self.take(|c| !matches!(c, '=' | ':' | '\n')).trim_end();
            let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']');
            if !name.chars().all(is_name) {
                let message = "expected a name without spaces and quotes before `=`";
                return Err(Diagnostic::new(&location, message));
            }
            if !self.rest.starts_with(['=', ':']) {
                values.note(format!("{}: its value is set outside this file, and missing here", quoting::value(name)));
                continue;
            }
            self.rest = self.rest.get(1..).unwrap_or_default().trim_start_matches([' ', '\t']);
            let text = self.value(name, &location, values)?;
            return Ok(Some((name.to_owned(), Located { text, location })));
        }
    }

    /// The value at the start.
    fn value(&mut self, name: &str, at: &Location, values: &mut Interpolation) -> Result<String, Diagnostic> {
        let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            let line = self.take(|c| c != '\n');
            let value = line.split_once(" #").map_or(line, |(value, _)| value).trim_end();
            return Ok(values.resolve(value, name));
        };
        self.rest = self.rest.get(1..).unwrap_or_default();
        let mut is_escaped = false;
        let inside = self.take(|c| {
            let goes_on = is_escaped || c != quote;
            is_escaped = !is_escaped && c == '\\';
            goes_on
        });
        if !self.rest.starts_with(quote) {
            return Err(Diagnostic::new(at, lines::UNBALANCED));
        }
        // What is behind the quote is a comment.
        self.skip(|c| c != '\n');
        Ok(if quote == '"' { values.resolve(&unescaped(inside), name) } else { inside.to_owned() })
    }

    /// Takes the characters at the start for which `goes_on` is true.
    fn take(&mut self, mut goes_on: impl FnMut(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !goes_on(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        let lines = taken.bytes().filter(|byte| *byte == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.rest = rest;
        taken
    }

    fn skip(&mut self, goes_on: impl FnMut(char) -> bool) {
        self.take(goes_on);
    }
}

/// A text in double quotes without its escapes. A dollar with a backslash is a dollar, which Compose writes twice.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('$') => out.push_str("$$"),
            Some(c @ ('"' | '\\')) => out.push(c),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variables in a text, `NAME=value` each, or the errors.
    fn found(text: &str, format: Format) -> Result<Vec<String>, String> {
        let project = BTreeMap::from([("A".to_owned(), "project".to_owned())]);
        let mut values = Interpolation::default();
        let found = variables("f.env", text, format, &project, &mut values).map_err(|errors| errors.to_string())?;
        assert!(values.known.is_empty(), "what a file sets is known in it only");
        Ok(found.into_iter().map(|(name, value)| format!("{name}={}", value.text)).collect())
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(found(text, Format::Compose).unwrap(), expected, "{text:?}");
    }

    /// As `docker compose config` 2.26.1 prints each of them.
    #[test]
    fn a_value_is_read_as_compose_reads_it() {
        check("B=\"two # not a comment\" # comment", &["B=two # not a comment"]);
        check("C='$A single'", &["C=$A single"]);
        check("D=$A-${NOPE:-dflt}", &["D=project-dflt"]);
        check("E=x#y\nF=x # c\nG= # c\nI: yaml\nexport J=exp", &["E=x#y", "F=x", "G=# c", "I=yaml", "J=exp"]);
        check("H=\"a\\nb\\$c\\\"d\\\\e\\td\"", &["H=a\nb$c\"d\\e\td"]);
        check("K\nL=\"multi\nline\"\nM=unq'quoted", &["L=multi\nline", "M=unq'quoted"]);
        check("P = spaced\nQ=tr\\nail  \nR=\"$A ${A}x\"", &["P=spaced", "Q=tr\\nail", "R=project projectx"]);
        check("S=\"pre\"post\nT=2\n", &["S=pre", "T=2"]);
        check("\u{feff}# c\r\n\r\na.b=dot\r\n1X=2\nX-Y=1", &["a.b=dot", "1X=2", "X-Y=1"]);
        check("V1=one\nV2=${V1}x\nA=own\nV3=$A", &["V1=one", "V2=onex", "A=own", "V3=project"]);
        check("", &[]);
    }

    #[test]
    fn a_raw_value_is_what_is_behind_the_sign() {
        let found = found("RAW1=\"q\" # c\nRAW2=$A\n# c\nRAW3\n", Format::Raw).unwrap();
        assert_eq!(found, ["RAW1=\"q\" # c", "RAW2=$A"]);
    }

    #[test]
    fn what_compose_refuses_is_an_error_with_its_line_and_no_value() {
        const NAME: &str = "expected a name without spaces and quotes before `=`";
        for (text, expected) in [
            ("A=1\nS=\"open canary\n", format!("f.env:2: {}\n", lines::UNBALANCED)),
            ("a canary=c", format!("f.env:1: {NAME}\n")),
            ("L=\"a\nb\"\nX Y", format!("f.env:3: {NAME}\n")),
        ] {
            assert_eq!(found(text, Format::Compose).unwrap_err(), expected, "{text:?}");
        }
    }
}
