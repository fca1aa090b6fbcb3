//! The filter files: those inside the program, and those that the operator adds.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;

use super::compat::Compat;
use super::{Limits, raw};
use crate::api::{catalogue, queries};
use crate::policy::Policy;
use crate::profile::{BuiltInProfiles, Profiles};
use crate::schema::Catalogue;
use crate::yaml::{self, Diagnostic, Diagnostics, Location, Node};

/// The catalogue and the profiles of all filter files.
#[derive(Debug)]
pub struct Filters {
    /// Schemas, and the class of each field.
    pub catalogue: Catalogue,
    /// Profiles.
    pub profiles: Profiles,
}

/// Where filters come from besides the program itself.
#[derive(Debug, Default)]
pub struct FilterSources {
    /// Directories of filter files, and where the configuration file names them.
    pub(super) folders: Vec<(PathBuf, Option<Location>)>,
    /// Profiles inside the configuration file.
    pub(super) profiles: Vec<Node>,
    /// The drop-in mode, which has a profile of its own.
    pub(super) compat: Option<Compat>,
}

/// The filter files of some directories, by kind.
#[derive(Default)]
struct FilterFiles {
    classes: Vec<Node>,
    profiles: Vec<Node>,
}

impl Filters {
    /// Loads the filter files inside the program.
    ///
    /// # Errors
    /// Every error in them; none in a program whose tests pass.
    pub fn built_in() -> Result<Self, Diagnostics> {
        Self::load(&FilterSources::default())
    }

    /// Loads the filter files inside the program and adds those of `sources`. A profile or a class of a field that exists
    /// already is an error.
    ///
    /// # Errors
    /// Every error in all the files.
    pub fn load(sources: &FilterSources) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let filters = Self::load_what_is_valid(sources, None, &mut diagnostics);
        diagnostics.finish_option(filters)
    }

    /// Loads what has no errors, and reports every error in the rest. Of the built-in profiles, it loads those that are `used`, or
    /// all. `None` if the program is damaged.
    fn load_what_is_valid(
        sources: &FilterSources,
        used: Option<&BTreeSet<String>>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let mut files = FilterFiles::default();
        for (folder, location) in &sources.folders {
            let listed = raw::yaml_files(folder).map_err(|error| match location {
                Some(location) => Diagnostic::new(location, error.to_string()),
                None => error,
            });
            for path in diagnostics.ok(listed).unwrap_or_default() {
                diagnostics.ok(raw::filter_file(&path).and_then(|(name, text)| files.add(yaml::parse(&name, &text)?)));
            }
        }
        let catalogue = match diagnostics.ok(catalogue::built_in_with(&files.classes)) {
            Some(catalogue) => catalogue,
            // Profiles are checked even then.
            None => diagnostics.ok(catalogue::built_in())?,
        };
        files.profiles.extend_from_slice(&sources.profiles);
        let used = used.map(|used| {
            let base = sources.compat.as_ref().map(|compat| compat.base().to_owned());
            used.iter().cloned().chain(base).collect::<BTreeSet<String>>()
        });
        let built_in = used.as_ref().map_or(BuiltInProfiles::All, BuiltInProfiles::Named);
        let mut profiles = Profiles::read(built_in, &files.profiles, &catalogue, diagnostics);
        if let Some(compat) = &sources.compat
            && let Some(base) = profiles.get(compat.base())
        {
            profiles.add(compat.profile(base));
        }
        Some(Self { catalogue, profiles })
    }

    /// Loads what is valid of the filters for `work` and drops it after that. Returns the errors in the rest as well. Of the built-in
    /// profiles, it loads those that are `used` and those that other profiles extend.
    ///
    /// This happens in a thread of its own, because the allocator keeps the memory of each thread apart. Loading takes
    /// several times as much memory as what `work` makes of it. If both lay side by side, none of it could be given back.
    pub(super) fn during<T>(
        sources: &FilterSources,
        used: &BTreeSet<String>,
        work: impl FnOnce(&Self) -> T,
    ) -> (Option<T>, Diagnostics) {
        // This table stays for good, so it must not lie there either. Its errors are reported by whoever uses it.
        let _ = queries::built_in();
        std::thread::scope(|scope| {
            let (loaded, receiver) = channel();
            let (done, ended) = channel::<()>();
            scope.spawn(move || {
                let mut diagnostics = Diagnostics::default();
                let filters = Self::load_what_is_valid(sources, Some(used), &mut diagnostics).map(Arc::new);
                // Both fail only if `work` has panicked.
                let _ = loaded.send((filters.clone(), diagnostics));
                let _ = ended.recv();
                drop(filters);
            });
            let (filters, diagnostics) = receiver.recv().unwrap_or_default();
            let result = filters.as_deref().map(work);
            drop((filters, done));
            (result, diagnostics)
        })
    }

    /// The policy of the profile called `name`. `location` is where it is named.
    ///
    /// # Errors
    /// The profile is unknown, or its rules cannot be compiled. None if it has errors that have been reported.
    pub fn policy(&self, name: &str, location: &Location, limits: Limits) -> Result<Arc<Policy>, Diagnostics> {
        match self.profiles.get(name) {
            Some(profile) => Policy::compile_within(profile, &self.catalogue, limits.of_a_document()).map(Arc::new),
            None if self.profiles.is_broken(name) => Err(Diagnostics::default()),
            None => Err(Diagnostic::new(location, self.profiles.unknown(name)).into()),
        }
    }
}

impl FilterFiles {
    /// Adds a file. Its top-level keys say what it is: `class` a class file, `profile` a profile.
    fn add(&mut self, document: Node) -> Result<(), Diagnostic> {
        let entries = document.mapping("a class file or a profile")?;
        let find = |name: &str| entries.iter().map(|(key, _)| key).find(|key| key.name == name);
        match (find("class"), find("profile")) {
            (Some(_), None) => self.classes.push(document),
            (None, Some(_)) => self.profiles.push(document),
            (Some(class), Some(profile)) => {
                let second = (&class.location).max(&profile.location);
                let message = "`class` and `profile` exclude each other: a file is a class file or a profile";
                return Err(Diagnostic::new(second, message));
            }
            (None, None) => {
                return Err(document.diagnostic("expected `class` (a class file) or `profile` (a profile)"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn added(text: &str) -> Result<FilterFiles, String> {
        let mut files = FilterFiles::default();
        files.add(yaml::parse("f.yaml", text).unwrap()).map_err(|error| error.to_string())?;
        Ok(files)
    }

    #[track_caller]
    fn check(text: &str, classes: usize, profiles: usize) {
        let files = added(text).unwrap();
        assert_eq!((files.classes.len(), files.profiles.len()), (classes, profiles), "{text}");
    }

    #[test]
    fn a_filter_file_is_recognised_by_its_top_level_keys() {
        check("class: state\nfields:\n", 1, 0);
        check("# class: state\n{fields: {}, 'class': state}\n", 1, 0);
        check("profile: p\nabout: |\n  One line is\nallow: []\n", 0, 1);
        check("{about: 'not a\n class: file', profile: p}\n", 0, 1);
    }

    #[test]
    fn a_file_of_both_kinds_or_neither_is_an_error() {
        let both = "`class` and `profile` exclude each other: a file is a class file or a profile";
        let neither = "expected `class` (a class file) or `profile` (a profile)";
        for (text, expected) in [
            ("class: state\nfields:\nprofile: p\n", format!("f.yaml:3:1: {both}")),
            ("profile: p\nclass: state\n", format!("f.yaml:2:1: {both}")),
            ("clas: state\nfields:\n", format!("f.yaml:1:1: {neither}")),
            ("- profile: p\n", "f.yaml:1:1: found a list, expected a class file or a profile".to_owned()),
            ("", "f.yaml:1:1: found nothing, expected a class file or a profile".to_owned()),
        ] {
            assert_eq!(added(text).map(|_| ()), Err(expected), "{text}");
        }
    }

    #[test]
    fn the_files_of_a_directory_are_added() {
        let folder = std::env::temp_dir().join(format!("dockveil-filters-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("class")).unwrap();
        std::fs::write(folder.join("class/own.yaml"), "{\"class\": host, fields: {SystemVersion: [$.Own]}}\n").unwrap();
        std::fs::write(folder.join("own.yml"), "{extends: dashboard, profile: own}\n").unwrap();
        std::fs::write(folder.join("note.txt"), "not a filter file\n").unwrap();
        let sources = FilterSources { folders: vec![(folder.clone(), None)], ..FilterSources::default() };
        let loaded = Filters::load(&sources);
        std::fs::write(folder.join("neither.yaml"), "about: nothing\n").unwrap();
        let refused = Filters::load(&sources);
        std::fs::remove_dir_all(&folder).unwrap();
        let filters = loaded.unwrap();
        assert!(filters.profiles.get("own").unwrap().allow.contains_key("ContainerList"));
        let leaves = filters.catalogue.schema("SystemVersion").unwrap().leaves();
        assert!(leaves.iter().any(|leaf| leaf.path == "$.Own" && leaf.class.as_str() == "host"));
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("neither.yaml:1:1: expected `class`"), "{refused}");
    }
}
