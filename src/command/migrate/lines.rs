//! Lines of variables and arguments: an environment file, a script, or what somebody typed.

use super::container::{Located, ProxyContainer, SourceForm};
use super::interpolate::Interpolation;
use crate::yaml::{Diagnostics, Location};

/// The error of a line that a shell cannot split.
pub(super) const UNBALANCED: &str = "a quote is not closed, or the line ends with a backslash";
/// What a line should be.
const EXPECTED: &str = "expected NAME=value, an argument, or a Compose file";

/// Reads a list of variables and arguments.
///
/// # Errors
/// Every line that is neither.
pub(super) fn container(name: &str, text: &str) -> Result<ProxyContainer, Diagnostics> {
    let mut container = ProxyContainer::new(SourceForm::Lines, name, Location::file(name));
    let (mut interpolation, mut diagnostics) = (Interpolation::default(), Diagnostics::default());
    for (line, number) in text.lines().zip(1_u32..) {
        let location = Location::line(name, number);
        match read_line(line, &mut interpolation) {
            Ok(found) => {
                let located = |text: String| Located { text, location: location.clone() };
                for (name, value) in found.variables {
                    interpolation.known.insert(name.clone(), value.clone());
                    container.variables.push((name, located(value)));
                }
                container.arguments.extend(found.arguments.into_iter().map(located));
            }
            Err(message) => diagnostics.report(&location, message),
        }
    }
    container.notes = interpolation.notes;
    diagnostics.finish(container)
}

/// What one line sets.
#[derive(Debug, Default, PartialEq, Eq)]
struct Line {
    variables: Vec<(String, String)>,
    arguments: Vec<String>,
}

/// Reads a line: `NAME=value` as in an environment file or a script, `NAME: value` and `- NAME=value` as in a Compose file,
/// options of `docker run` that set variables, or arguments of the proxy.
fn read_line(line: &str, values: &mut Interpolation) -> Result<Line, &'static str> {
    let line = line.trim();
    // A command over several lines has a backslash at the end of each but the last.
    let line = line.strip_suffix('\\').unwrap_or(line).trim_end();
    let line =
        ["export ", "- "].iter().fold(line, |line, prefix| line.strip_prefix(prefix).unwrap_or(line).trim_start());
    if line.is_empty() || line.starts_with('#') {
        return Ok(Line::default());
    }
    if let Some((name, value)) = variable(line, '=').or_else(|| variable(line, ':')) {
        let value = value_of(value, name, values)?;
        return Ok(Line { variables: vec![(name.to_owned(), value)], ..Line::default() });
    }
    let words = shlex::split(line).ok_or(UNBALANCED)?;
    match words.first() {
        Some(word) if run_option(word).is_some() => {
            Ok(Line { variables: run_options(&words).ok_or(EXPECTED)?, ..Line::default() })
        }
        Some(word) if word.starts_with('-') => Ok(Line { arguments: words, ..Line::default() }),
        Some(_) | None => Err(EXPECTED),
    }
}

/// Splits `NAME=value`, or with another sign in between.
pub(super) fn variable(text: &str, sign: char) -> Option<(&str, &str)> {
    let (name, value) = text.split_once(sign)?;
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (is_name && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')).then_some((name, value))
}

/// A value as shells and Compose read it: without quotes around it, and without a comment behind it. In single quotes, a dollar
/// is a dollar.
fn value_of(text: &str, name: &str, values: &mut Interpolation) -> Result<String, &'static str> {
    const BEHIND: &str = "found a text behind the quoted value, expected only a comment";
    const NOTE: &str = "quotes and comments are read as Compose and shells do: `docker run --env-file` takes them as part of \
                        the value";
    let text = text.trim();
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let end = text.find(" #").into_iter().chain(text.find("\t#")).min().unwrap_or(text.len());
        let value = if text.starts_with('#') { "" } else { text.get(..end).unwrap_or(text).trim_end() };
        if value != text {
            values.note(NOTE.to_owned());
        }
        return Ok(values.resolve(value, name));
    };
    values.note(NOTE.to_owned());
    let mut inside = String::new();
    let mut rest = text.chars().skip(1);
    loop {
        match rest.next() {
            None => return Err(UNBALANCED),
            Some('\\') if quote == '"' => inside.extend(rest.next()),
            Some(c) if c == quote => break,
            Some(c) => inside.push(c),
        }
    }
    let behind: String = rest.collect();
    if !behind.trim().is_empty() && !behind.trim_start().starts_with('#') {
        return Err(BEHIND);
    }
    Ok(if quote == '"' { values.resolve(&inside, name) } else { inside })
}

/// If a word is an option of `docker run` that sets a variable: the text after its name.
fn run_option(word: &str) -> Option<&str> {
    match word {
        "-e" | "--env" => Some(""),
        word => word.strip_prefix("--env="),
    }
}

/// The variables of `-e NAME=value`, `--env NAME=value` and `--env=NAME=value`; `None` if there is anything else.
fn run_options(words: &[String]) -> Option<Vec<(String, String)>> {
    let mut variables = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = match run_option(word)? {
            "" => words.next()?,
            text => text,
        };
        let (name, value) = variable(text, '=')?;
        variables.push((name.to_owned(), value.to_owned()));
    }
    Some(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Line, &'static str> {
        read_line(line, &mut Interpolation::default())
    }

    #[track_caller]
    fn check_line(line: &str, variables: &[(&str, &str)], arguments: &[&str]) {
        let found = read(line).unwrap();
        let pairs: Vec<_> = found.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, variables, "{line}");
        assert_eq!(found.arguments, arguments, "{line}");
    }

    #[test]
    fn a_line_sets_variables_or_arguments() {
        check_line("CONTAINERS=1", &[("CONTAINERS", "1")], &[]);
        check_line("  export TIMEOUT='5 s'", &[("TIMEOUT", "5 s")], &[]);
        check_line("- LABELS=a b", &[("LABELS", "a b")], &[]);
        check_line("http_proxy=x", &[("http_proxy", "x")], &[]);
        check_line("      CONTAINERS: 1", &[("CONTAINERS", "1")], &[]);
        check_line("-e A=1 --env B=2 --env=C='x y' \\", &[("A", "1"), ("B", "2"), ("C", "x y")], &[]);
        check_line(r#"-a='b c' "-d e" f\ g  "" "#, &[], &["-a=b c", "-d e", "f g", ""]);
        check_line("- '-allowGET=/v1\\..+'", &[], &["-allowGET=/v1\\..+"]);
        check_line("# a comment", &[], &[]);
        check_line("", &[], &[]);
    }

    #[test]
    fn a_value_has_quotes_and_a_comment_behind_it() {
        check_line("A=1   # needed", &[("A", "1")], &[]);
        check_line("A=a#b\t# c", &[("A", "a#b")], &[]);
        check_line("A= # nothing", &[("A", "")], &[]);
        check_line("A=\"1 # in quotes\" # behind", &[("A", "1 # in quotes")], &[]);
        check_line(r#"A="a\"b\\""#, &[("A", "a\"b\\")], &[]);
        check_line("A='a\\'", &[("A", "a\\")], &[]);
        check_line("A='${B:-1}'", &[("A", "${B:-1}")], &[]);
        check_line("A=${B:-1}", &[("A", "1")], &[]);
        assert!(read("A='1' 2").is_err() && read("A=\"1").is_err());
    }

    #[test]
    fn a_variable_is_known_in_the_lines_below_it() {
        let container = container("f", "\nA=1\r\nB=${A:-0}$C\n").unwrap();
        let (name, value) = container.variables.last().unwrap();
        assert_eq!((name.as_str(), value.text.as_str(), value.location.to_string().as_str()), ("B", "1", "f:3"));
        assert_eq!(container.notes, ["B: ${C} is not set in this file and was removed"]);
    }

    #[test]
    fn any_other_line_is_an_error() {
        for line in ["hello", "1A=1", "-e", "-e a", "-e A=1 -p 1:1", "a-b=1"] {
            assert!(read(line).is_err(), "{line}");
        }
        assert_eq!(read("-a='b"), Err(UNBALANCED));
        let errors = container("f", "A=1\nhello\n").unwrap_err();
        assert_eq!(errors.iter().next().unwrap().to_string(), format!("f:2: {EXPECTED}"));
    }
}
