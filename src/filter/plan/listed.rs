//! Allow-lists as a plan asks them: about every entry of every list.

use super::names::{KeyDigest, Names};
use super::tables::Listing;
use crate::filter::show::{Glob, Globs, NamesShown};

/// All allow-lists of a plan.
#[derive(Clone, Debug)]
pub(super) struct ListIndex(Vec<IndexedNames>);

/// One allow-list. Names without a star are found by their bytes; only what is left is compared one by one.
#[derive(Clone, Debug)]
struct IndexedNames {
    globs: Globs,
    /// The shown names without a star.
    names: Names,
    /// The shown patterns with a star.
    patterns: Vec<Glob>,
}

impl ListIndex {
    pub(super) fn new(shown: &NamesShown) -> Self {
        Self(shown.all().iter().map(IndexedNames::new).collect())
    }

    /// Whether a location shows the entry called `name`, which is UTF-8 and has this digest.
    #[inline]
    pub(super) fn shows(&self, Listing { list, is_open }: Listing, digest: KeyDigest, name: &[u8]) -> bool {
        match self.0.get(list.index()) {
            Some(list) => list.shows(is_open, digest, name),
            None => is_open,
        }
    }

    /// Whether a list shows the name of the entry `name` alone.
    pub(super) fn shows_name_only(&self, listing: Listing, name: &str) -> bool {
        self.0.get(listing.list.index()).is_some_and(|list| list.globs.shows_name_only(name))
    }
}

impl IndexedNames {
    fn new(globs: &Globs) -> Self {
        let (names, patterns): (Vec<&Glob>, Vec<&Glob>) =
            globs.shown().iter().partition(|glob| glob.only_match().is_some());
        let names = names.into_iter().filter_map(Glob::only_match).map(str::to_owned).collect();
        Self { globs: globs.clone(), names: Names::new(names), patterns: patterns.into_iter().cloned().collect() }
    }

    #[inline]
    fn shows(&self, is_open: bool, digest: KeyDigest, name: &[u8]) -> bool {
        let is_shown = is_open
            || self.names.find_digest(digest, name).is_some()
            || self.patterns.iter().any(|pattern| pattern.matches(name));
        is_shown && !self.globs.excludes(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::lists::LABELS;

    #[test]
    fn it_shows_what_the_patterns_show_one_by_one() {
        let patterns =
            ["a", "a.b", "a.b", "homepage.*", "*.enable", "x*y*z", "!homepage.widget.*", "!*.Secret", "!a.b"];
        let shown = NamesShown::default().with(LABELS, patterns);
        let lists = ListIndex::new(&shown);
        let words =
            ["a", "a.b", "A", "homepage.", "homepage.widget.x", "homepage.WIDGET.x", "b.enable", "xyz", "xy", "é"];
        let ends = ["", ".enable", ".secret", ".SECRET", "z", ".\u{212a}"];
        for name in words.iter().flat_map(|word| ends.map(|end| format!("{word}{end}"))) {
            let globs = shown.of(LABELS);
            for (is_open, expected) in [(false, globs.matches(&name)), (true, !globs.excludes(&name))] {
                let listing = Listing { list: LABELS, is_open };
                let name = name.as_bytes();
                assert_eq!(lists.shows(listing, KeyDigest::of(name), name), expected, "{listing:?}");
            }
        }
        for is_open in [false, true] {
            let listing = Listing { list: LABELS, is_open };
            assert_eq!(ListIndex::new(&NamesShown::default()).shows(listing, KeyDigest::of(b"a"), b"a"), is_open);
        }
    }
}
