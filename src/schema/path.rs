//! Paths in class files: a small dialect of JSONPath that tells where a field is in the documents of a schema.
//!
//! | syntax | selects |
//! |---|---|
//! | `$` | the document |
//! | `.Name`, `['any name']` | the member with that name |
//! | `.*` | every member of a map |
//! | `[*]` | every element of an array |
//! | `.*~`, at the end | the keys of a map |
//! | `..*`, at the end | the value with everything inside it, keys included, whatever its shape |

use std::fmt;
use std::str::FromStr;

/// The path of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The steps from the document to the value.
    pub(crate) steps: Vec<Step>,
    /// Which part of that value the path selects.
    pub(crate) part: Part,
}

impl Path {
    /// The steps to the member that holds the value: of elements, and of the keys and values of a map, the array or map.
    pub(crate) fn member(&self) -> &[Step] {
        let last = self.steps.iter().rposition(|step| matches!(step, Step::Member(_)));
        self.steps.get(..last.map_or(0, |last| last + 1)).unwrap_or_default()
    }
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To the member with this name.
    Member(String),
    /// To every member.
    AnyMember,
    /// To every element.
    Elements,
}

/// The part of a value that a path selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The value, if it is a scalar.
    Value,
    /// The keys of a map.
    Keys,
    /// The value with everything inside it, whatever its shape.
    Everything,
}

/// The error for a text that is not a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// The number of characters before the error.
    offset: usize,
    /// What the parser expected there.
    expected: &'static str,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad path: expected {} at character {}", self.expected, self.offset + 1)
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut steps = Vec::new();
        let mut rest = text;
        let fail =
            |rest: &str, expected| Err(PathError { offset: text.chars().count() - rest.chars().count(), expected });
        match rest.strip_prefix('$') {
            Some(after) => rest = after,
            None => return fail(rest, "`$`"),
        }
        loop {
            if rest.is_empty() {
                return Ok(Self { steps, part: Part::Value });
            }
            if rest == "..*" {
                return Ok(Self { steps, part: Part::Everything });
            }
            if rest == ".*~" {
                return Ok(Self { steps, part: Part::Keys });
            }
            if let Some(after) = rest.strip_prefix(".*") {
                steps.push(Step::AnyMember);
                rest = after;
            } else if let Some(after) = rest.strip_prefix("[*]") {
                steps.push(Step::Elements);
                rest = after;
            } else if let Some(after) = rest.strip_prefix("['") {
                let Some((name, after)) = quoted(after) else {
                    return fail(after, "a name that ends with `']`");
                };
                steps.push(Step::Member(name));
                rest = after;
            } else if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                let (name, after_name) = after.split_at(end);
                if !is_plain(name) {
                    return fail(after, "a name, `*` or a final `.*`");
                }
                steps.push(Step::Member(name.to_owned()));
                rest = after_name;
            } else {
                return fail(rest, "`.name`, `['name']`, `.*` or `[*]`");
            }
        }
    }
}

/// Parses a name up to `']`, in which `\'` and `\\` stand for their second character. Returns the name and the rest.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '\\' => match characters.next()? {
                escaped @ ('\'' | '\\') => name.push(escaped),
                _ => return None,
            },
            '\'' => return characters.as_str().strip_prefix(']').map(|after| (name, after)),
            other => name.push(other),
        }
    }
}

/// Whether a name can follow a dot without quotes.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

impl Step {
    /// Adds the step to the text of a path.
    pub(crate) fn write_to(&self, path: &mut String) {
        match self {
            Self::Member(name) => write_member(name, path),
            Self::AnyMember => path.push_str(".*"),
            Self::Elements => path.push_str("[*]"),
        }
    }
}

/// Adds the step to the member called `name` to the text of a path.
pub(crate) fn write_member(name: &str, path: &mut String) {
    if is_plain(name) {
        path.push('.');
        path.push_str(name);
    } else {
        path.push_str("['");
        path.push_str(&name.replace('\\', "\\\\").replace('\'', "\\'"));
        path.push_str("']");
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write_to(&mut text);
        f.write_str(&text)
    }
}

impl Part {
    /// What a path ends with that selects this part.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Value => "",
            Self::Keys => ".*~",
            Self::Everything => "..*",
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = "$".to_owned();
        self.steps.iter().for_each(|step| step.write_to(&mut text));
        text.push_str(self.part.as_str());
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_same(text: &str) {
        assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
    }

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        assert_eq!(text.parse::<Path>().unwrap_err().to_string(), format!("bad path: expected {expected}"));
    }

    #[test]
    fn a_path_is_displayed_as_it_was_written() {
        check_same("$");
        check_same("$.Config.Env[*]");
        check_same("$.NetworkSettings.Networks.*.DriverOpts.*");
        check_same("$.Labels.*~");
        check_same("$.*~");
        check_same("$.memstats..*");
        check_same("$..*");
        check_same("$['os.version']");
        check_same("$[' Parents'][*]");
        check_same(r"$['it\'s \\'].a");
        check_same("$.Ports.*[*].HostIp");
    }

    #[test]
    fn a_plain_name_in_brackets_means_the_same_as_after_a_dot() {
        assert_eq!("$['Config']".parse::<Path>(), "$.Config".parse());
    }

    #[test]
    fn a_malformed_path_is_refused() {
        check_refused("", "`$` at character 1");
        check_refused("Config", "`$` at character 1");
        check_refused("$.", "a name, `*` or a final `.*` at character 3");
        check_refused("$..Env", "a name, `*` or a final `.*` at character 3");
        check_refused("$.os.1", "a name, `*` or a final `.*` at character 6");
        check_refused("$.os-version", "`.name`, `['name']`, `.*` or `[*]` at character 5");
        check_refused("$.a[0]", "`.name`, `['name']`, `.*` or `[*]` at character 4");
        check_refused("$.a['b", "a name that ends with `']` at character 6");
        check_refused(r"$['\n']", "a name that ends with `']` at character 4");
        check_refused("$.a..*.b", "a name, `*` or a final `.*` at character 5");
        check_refused("$.*~.b", "`.name`, `['name']`, `.*` or `[*]` at character 4");
        check_refused("$.a~", "`.name`, `['name']`, `.*` or `[*]` at character 4");
        check_refused("$.a ", "`.name`, `['name']`, `.*` or `[*]` at character 4");
    }
}
