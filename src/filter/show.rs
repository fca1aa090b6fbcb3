//! What a profile shows.

use std::borrow::Cow;
use std::fmt;

use super::credential::has_no_credential;
use crate::schema::{ClassSet, NameList};

/// The longest name that is shown without its value, in bytes.
const LONGEST_NAME: usize = 128;

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
        static NONE: Globs = Globs { shown: Vec::new(), named: Vec::new(), excluded: Vec::new() };
        self.0.get(list.index()).unwrap_or(&NONE)
    }

    /// Shows more names of a list, in which `*` stands for any characters. A name behind `!` is excluded. Of a name with `=`
    /// behind it, the name alone is shown.
    pub fn extend<T: AsRef<str>>(&mut self, list: NameList, names: impl IntoIterator<Item = T>) {
        if let Some(globs) = self.of_mut(list) {
            names.into_iter().for_each(|name| globs.add(name.as_ref()));
        }
    }

    /// Excludes one name of a list, in which `*` has no meaning.
    pub fn exclude(&mut self, list: NameList, name: &str) {
        if let Some(globs) = self.of_mut(list) {
            globs.excluded.push(Glob(GlobParts::Name(name.to_lowercase())));
        }
    }

    /// The names of every list, by its index.
    pub(super) fn all(&self) -> &[Globs] {
        &self.0
    }

    /// The names of a list, which is added if it is missing.
    fn of_mut(&mut self, list: NameList) -> Option<&mut Globs> {
        if self.0.len() <= list.index() {
            self.0.resize(list.index() + 1, Globs::default());
        }
        self.0.get_mut(list.index())
    }

    /// Shows everything that `other` shows too, and excludes what either excludes.
    pub fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), Globs::default());
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.shown.extend(theirs.shown.iter().cloned());
            mine.named.extend(theirs.named.iter().cloned());
            mine.excluded.extend(theirs.excluded.iter().cloned());
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

/// An allow-list of names, in which `*` stands for any number of characters, and exclusions from it, which win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Globs {
    shown: Vec<Glob>,
    /// Those of which the name alone is shown.
    named: Vec<Glob>,
    /// In lower case.
    excluded: Vec<Glob>,
}

/// A text, or a pattern in which `*` stands for any number of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(GlobParts);

#[derive(Clone, Debug, PartialEq, Eq)]
enum GlobParts {
    /// A text without a star.
    Name(String),
    /// The text before the first star, between the stars, and after the last one.
    Pattern(String, Vec<String>, String),
}

impl Globs {
    /// Whether `name` is in the list and not excluded. Case matters: this list shows.
    pub fn matches(&self, name: &str) -> bool {
        self.shown.iter().any(|glob| glob.matches(name)) && !self.excludes(name)
    }

    /// What is shown, without regard to exclusions.
    pub(super) fn shown(&self) -> &[Glob] {
        &self.shown
    }

    /// Whether `name`, which is UTF-8, is hidden even where everything is shown. Case does not matter: what reads the
    /// entries may ignore it.
    #[inline]
    pub fn excludes(&self, name: impl AsRef<[u8]>) -> bool {
        !self.excluded.is_empty() && self.excludes_one(name.as_ref())
    }

    fn excludes_one(&self, name: &[u8]) -> bool {
        let lower = if name.is_ascii() {
            if name.iter().any(u8::is_ascii_uppercase) {
                Cow::Owned(name.to_ascii_lowercase())
            } else {
                Cow::Borrowed(name)
            }
        } else {
            // What is not UTF-8 has no case.
            let Ok(name) = std::str::from_utf8(name) else { return true };
            Cow::Owned(name.to_lowercase().into_bytes())
        };
        self.excluded.iter().any(|glob| glob.matches(&lower))
    }

    /// Whether `name` alone is shown, and a fixed text in place of its value.
    ///
    /// A name may hold what it should not, as a value does. So it must look like one: letters, digits and `.-_/`, without the
    /// shape of a credential.
    pub fn shows_name_only(&self, name: &str) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/".contains(&byte);
        !self.named.is_empty()
            && name.len() <= LONGEST_NAME
            && name.bytes().all(is_plain)
            && self.named.iter().any(|glob| glob.matches(name))
            && !self.matches(name)
            && !self.excludes(name)
            && has_no_credential(name)
    }

    /// Whether there are names that are shown alone.
    pub fn has_names_only(&self) -> bool {
        !self.named.is_empty()
    }

    /// Whether the list shows no name.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.named.is_empty()
    }

    /// Whether any name is excluded.
    pub fn has_exclusions(&self) -> bool {
        !self.excluded.is_empty()
    }

    /// Whether `*` alone is in the list: every name that is not excluded is shown.
    pub fn shows_all(&self) -> bool {
        self.shown.iter().any(|glob| glob.to_string().bytes().all(|byte| byte == b'*'))
    }

    /// Adds a name, or with `!` before it an exclusion.
    fn add(&mut self, name: &str) {
        match name.strip_prefix('!') {
            Some(excluded) => self.excluded.push(Glob::new(&excluded.to_lowercase())),
            None => match name.strip_suffix('=') {
                Some(named) => self.named.push(Glob::new(named)),
                None => self.shown.push(Glob::new(name)),
            },
        }
    }
}

impl<T: AsRef<str>> FromIterator<T> for Globs {
    fn from_iter<I: IntoIterator<Item = T>>(globs: I) -> Self {
        let mut all = Self::default();
        globs.into_iter().for_each(|glob| all.add(glob.as_ref()));
        all
    }
}

impl fmt::Display for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.shown.iter().map(|glob| ("", glob, ""));
        let named = self.named.iter().map(|glob| ("", glob, "="));
        let excluded = self.excluded.iter().map(|glob| ("!", glob, ""));
        for (number, (before, glob, behind)) in shown.chain(named).chain(excluded).enumerate() {
            let separator = if number == 0 { "" } else { ", " };
            write!(f, "{separator}{before}{glob}{behind}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            GlobParts::Name(name) => f.write_str(name),
            GlobParts::Pattern(first, middle, last) => {
                write!(f, "{first}*")?;
                middle.iter().try_for_each(|part| write!(f, "{part}*"))?;
                f.write_str(last)
            }
        }
    }
}

impl Glob {
    /// The pattern written like this.
    pub fn new(glob: &str) -> Self {
        Self(match glob.split_once('*') {
            None => GlobParts::Name(glob.to_owned()),
            Some((first, rest)) => match rest.rsplit_once('*') {
                None => GlobParts::Pattern(first.to_owned(), Vec::new(), rest.to_owned()),
                Some((middle, last)) => {
                    let middle = middle.split('*').map(str::to_owned).collect();
                    GlobParts::Pattern(first.to_owned(), middle, last.to_owned())
                }
            },
        })
    }

    /// The only text that matches. `None` if there is a star.
    pub fn only_match(&self) -> Option<&str> {
        match &self.0 {
            GlobParts::Name(name) => Some(name),
            GlobParts::Pattern(..) => None,
        }
    }

    /// Whether a text matches: the parts between stars in turn, each at its first occurrence, and the last one at the end.
    pub fn matches(&self, name: impl AsRef<[u8]>) -> bool {
        let name = name.as_ref();
        match &self.0 {
            GlobParts::Name(glob) => glob.as_bytes() == name,
            GlobParts::Pattern(first, middle, last) => {
                let Some(mut left) = name.strip_prefix(first.as_bytes()) else { return false };
                for part in middle.iter().filter(|part| !part.is_empty()) {
                    let found = left.windows(part.len()).position(|place| place == part.as_bytes());
                    let Some(after) = found.and_then(|at| left.get(at + part.len()..)) else { return false };
                    left = after;
                }
                left.ends_with(last.as_bytes())
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
    fn an_exclusion_wins_whatever_its_place_and_case() {
        for names in [["homepage.*", "!homepage.widget.*"], ["!Homepage.Widget.*", "homepage.*"]] {
            let globs: Globs = names.into_iter().collect();
            for name in ["homepage.name", "homepage.widget", "homepage.widgets.a"] {
                assert!(globs.matches(name) && !globs.excludes(name), "{name}");
            }
            for name in ["homepage.widget.key", "homepage.Widget.KEY", "homepage.widget."] {
                assert!(!globs.matches(name) && globs.excludes(name), "{name}");
            }
            // The Kelvin sign is a `k` in lower case.
            assert!(["homepage.*", "!homepage.key"].into_iter().collect::<Globs>().excludes("homepage.\u{212a}ey"));
            assert!(!globs.matches("other") && !globs.excludes("other"));
        }
        let mut names = NamesShown::default().with(LIST, ["a*"]);
        names.exclude(LIST, "a*B");
        assert!(names.of(LIST).matches("axb") && names.of(LIST).excludes("A*b"));
        assert_eq!(names.of(LIST).to_string(), "a*, !a*b");
        let mut merged = NamesShown::default().with(LIST, ["a*b"]);
        merged.merge(&names);
        assert!(merged.of(LIST).excludes("a*b") && merged.of(LIST).matches("axb"));
    }

    #[test]
    fn a_name_with_a_sign_behind_it_is_shown_alone() {
        let globs: Globs = ["app.shown", "*.*=", "!*.secret"].into_iter().collect();
        let long = format!("a.{}", "b".repeat(LONGEST_NAME));
        for name in ["app.other", "a.b", "com.example/a-b_c.1", "app.token"] {
            assert!(globs.shows_name_only(name) && !globs.matches(name), "{name}");
        }
        for name in [
            "app.shown",
            "app.secret",
            "app.SECRET",
            "plain",
            "a.b c",
            "a.\u{e9}",
            "a.\"b\"",
            "",
            long.as_str(),
            "caddy.ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        ] {
            assert!(!globs.shows_name_only(name), "{name}");
        }
        assert!(globs.has_names_only() && !globs.is_empty() && !globs.shows_all());
        assert_eq!(globs.to_string(), "app.shown, *.*=, !*.secret");
        let alone: Globs = ["a.*="].into_iter().collect();
        assert!(!alone.is_empty() && !alone.matches("a.b"));
    }

    const LIST: NameList = NameList::new(0, "list", "names");

    #[test]
    fn nothing_is_in_an_empty_list() {
        assert!(!Globs::default().matches(""));
    }
}
