//! What a profile shows.

use std::fmt;

use crate::schema::{ClassSet, NameList};

/// What a profile shows of every document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Show {
    /// The classes that are shown.
    pub classes: ClassSet,
    /// Whether members that no schema knows are shown.
    pub unknown: bool,
    /// The entries of each list that are shown although their class is hidden.
    pub names: NamesShown,
    /// Whether what looks like a credential is masked in texts that an allow-list shows, and in shown texts of classes
    /// that may hold credentials.
    pub mask: bool,
}

/// An allow-list of names for each [`NameList`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamesShown(Vec<Globs>);

impl NamesShown {
    /// The names of a list that are shown.
    pub fn of(&self, list: NameList) -> &Globs {
        static NONE: Globs = Globs(Vec::new());
        self.0.get(list.index()).unwrap_or(&NONE)
    }

    /// Shows more names of a list, in which `*` stands for any characters.
    pub fn extend<T: AsRef<str>>(&mut self, list: NameList, names: impl IntoIterator<Item = T>) {
        if self.0.len() <= list.index() {
            self.0.resize(list.index() + 1, Globs::default());
        }
        if let Some(globs) = self.0.get_mut(list.index()) {
            globs.0.extend(names.into_iter().map(|name| Glob::new(name.as_ref())));
        }
    }

    /// Shows everything that `other` shows too.
    pub fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), Globs::default());
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.0.extend(theirs.0.iter().cloned());
        }
    }

    /// These names, and more names of a list.
    #[must_use]
    pub fn with<T: AsRef<str>>(mut self, list: NameList, names: impl IntoIterator<Item = T>) -> Self {
        self.extend(list, names);
        self
    }

    /// Shows no name of a list.
    pub fn clear(&mut self, list: NameList) {
        if let Some(globs) = self.0.get_mut(list.index()) {
            *globs = Globs::default();
        }
    }
}

/// An allow-list of names, in which `*` stands for any number of characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Globs(Vec<Glob>);

/// One name or pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Glob {
    /// A name without a star.
    Name(String),
    /// The text before the first star, between the stars, and after the last one.
    Pattern(String, Vec<String>, String),
}

impl Globs {
    /// Whether `name` is in the list. Case matters: this list shows.
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(name))
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: AsRef<str>> FromIterator<T> for Globs {
    fn from_iter<I: IntoIterator<Item = T>>(globs: I) -> Self {
        Self(globs.into_iter().map(|glob| Glob::new(glob.as_ref())).collect())
    }
}

impl fmt::Display for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, glob) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { ", " };
            match glob {
                Glob::Name(name) => write!(f, "{separator}{name}")?,
                Glob::Pattern(first, middle, last) => {
                    write!(f, "{separator}{first}*")?;
                    middle.iter().try_for_each(|part| write!(f, "{part}*"))?;
                    f.write_str(last)?;
                }
            }
        }
        Ok(())
    }
}

impl Glob {
    fn new(glob: &str) -> Self {
        let Some((first, rest)) = glob.split_once('*') else { return Self::Name(glob.to_owned()) };
        match rest.rsplit_once('*') {
            None => Self::Pattern(first.to_owned(), Vec::new(), rest.to_owned()),
            Some((middle, last)) => {
                let middle = middle.split('*').map(str::to_owned).collect();
                Self::Pattern(first.to_owned(), middle, last.to_owned())
            }
        }
    }

    /// Matches the parts between stars in turn, each at its first occurrence, and the last one at the end.
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(glob) => glob == name,
            Self::Pattern(first, middle, last) => {
                let Some(mut left) = name.strip_prefix(first.as_str()) else { return false };
                for part in middle {
                    match left.split_once(part.as_str()) {
                        Some((_, after)) => left = after,
                        None => return false,
                    }
                }
                left.ends_with(last.as_str())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(glob: &str, yes: &[&str], no: &[&str]) {
        let globs: Globs = [glob].into_iter().collect();
        for name in yes {
            assert!(globs.matches(name), "{glob} {name}");
        }
        for name in no {
            assert!(!globs.matches(name), "{glob} {name}");
        }
    }

    #[test]
    fn a_star_is_the_only_wildcard() {
        check("TZ", &["TZ"], &["tz", "TZ2", "", "XTZ"]);
        check("*", &["", "a", "a.b"], &[]);
        check("traefik.*", &["traefik.", "traefik.enable"], &["traefik", "xtraefik.enable"]);
        check("*.enable", &[".enable", "a.enable"], &["enable", "a.enabled"]);
        check("a*b*c", &["abc", "aXbYc", "abbc"], &["ab", "acb", "xabc", "abcd"]);
        check("a**b", &["ab", "axb"], &["a"]);
        check("ab*ab", &["abab", "abxab"], &["ab", "aba"]);
        check("a?[b]", &["a?[b]"], &["axb", "a?b"]);
    }

    #[test]
    fn nothing_is_in_an_empty_list() {
        assert!(!Globs::default().matches(""));
    }
}
