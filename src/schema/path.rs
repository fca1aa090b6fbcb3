//! The paths of class files: a small dialect of JSONPath that says where a field is in every document of a schema.
//!
//! | written | means |
//! |---|---|
//! | `$` | the document itself |
//! | `.Name`, `['any name']` | the member of that name |
//! | `.*` | each member's value of a map, whatever its key |
//! | `[*]` | each element of an array |
//! | `.*~`, at the end | the keys of a map |
//! | `..*`, at the end | the value, of whatever shape, and all that is in it, keys too |

use std::fmt;
use std::str::FromStr;

/// Where a field is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// The way there from the document.
    pub(crate) steps: Vec<Step>,
    /// What is meant of the value found there.
    pub(crate) part: Part,
}

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To a member by name.
    Member(String),
    /// To each member's value.
    AnyMember,
    /// To each element.
    Elements,
}

/// What a path means of the value it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The value.
    Value,
    /// The keys of the map it is.
    Keys,
    /// All of it, whatever it is.
    Everything,
}

/// Text that is no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathError {
    /// Characters before the place.
    offset: usize,
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
                    return fail(after, "a name, `*`, or `.*` to end with");
                }
                steps.push(Step::Member(name.to_owned()));
                rest = after_name;
            } else {
                return fail(rest, "`.name`, `['name']`, `.*` or `[*]`");
            }
        }
    }
}

/// A name up to `']`, in which `\'` and `\\` stand for the second character, and what comes after.
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

/// Whether a name can be written after a dot.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(name) if is_plain(name) => write!(f, ".{name}"),
            Self::Member(name) => write!(f, "['{}']", name.replace('\\', "\\\\").replace('\'', "\\'")),
            Self::AnyMember => f.write_str(".*"),
            Self::Elements => f.write_str("[*]"),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value => "",
            Self::Keys => ".*~",
            Self::Everything => "..*",
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.steps {
            step.fmt(f)?;
        }
        self.part.fmt(f)
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
    fn paths_read_back_as_written() {
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
    fn a_plain_name_in_brackets_is_the_same_member() {
        assert_eq!("$['Config']".parse::<Path>(), "$.Config".parse());
    }

    #[test]
    fn bad_paths_are_refused() {
        check_refused("", "`$` at character 1");
        check_refused("Config", "`$` at character 1");
        check_refused("$.", "a name, `*`, or `.*` to end with at character 3");
        check_refused("$..Env", "a name, `*`, or `.*` to end with at character 3");
        check_refused("$.os.1", "a name, `*`, or `.*` to end with at character 6");
        check_refused("$.os-version", "`.name`, `['name']`, `.*` or `[*]` at character 5");
        check_refused("$.a[0]", "`.name`, `['name']`, `.*` or `[*]` at character 4");
        check_refused("$.a['b", "a name that ends with `']` at character 6");
        check_refused(r"$['\n']", "a name that ends with `']` at character 4");
        check_refused("$.a..*.b", "a name, `*`, or `.*` to end with at character 5");
        check_refused("$.*~.b", "`.name`, `['name']`, `.*` or `[*]` at character 4");
        check_refused("$.a~", "`.name`, `['name']`, `.*` or `[*]` at character 4");
        check_refused("$.a ", "`.name`, `['name']`, `.*` or `[*]` at character 4");
    }
}
