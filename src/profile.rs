//! Profile files → [`Profile`]: what one kind of client can ask and see.
//!
//! A profile file is read into a raw profile, then merged with the profiles that it extends. `docs/profiles.md` describes
//! the format. The built-in profiles are in `filters/profile`.

mod built_in;
mod contents;
mod edits;
mod lines;
mod opened_by;
mod raw;

use std::collections::{BTreeMap, BTreeSet};

pub use self::contents::RequestContents;
pub use self::edits::{Edits, SettableField};
pub use self::lines::{DecidingLines, ListedName};
pub use self::opened_by::{OpenedBy, OpeningVariables};
use self::raw::RawProfiles;
use crate::api::Operation;
use crate::api::objects::ObjectKind;
use crate::filter::{Rule, Show};
use crate::schema::{Catalogue, Class};
use crate::visibility::Restriction;
use crate::yaml::{self, Diagnostics, Location, Node};

/// What a profile does to a stream of records: to events, or to stats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamFiltering {
    /// The stream passes unchanged.
    #[default]
    Untouched,
    /// Each record is filtered.
    Filtered,
}

/// What one kind of client can ask and see. Every operation, class and schema in it exists.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The name, by which listeners refer to the profile.
    pub name: String,
    /// The line of the name.
    pub location: Location,
    /// What the profile is for, in the words of its author.
    pub about: String,
    /// The allowed operations by their ids, each with the line that allows it.
    pub allow: BTreeMap<&'static str, Location>,
    /// The operations that `deny` takes away by their ids, each with the line that does. None of them is allowed.
    pub deny: BTreeMap<&'static str, Location>,
    /// What the requests of an operation may contain, by its id. Of an operation that is not listed, it is what known
    /// clients send.
    pub parameters: BTreeMap<&'static str, RequestContents>,
    /// The classes and the named entries that clients can see.
    pub show: Show,
    /// For each class, the line that decides whether it is shown.
    pub classes: BTreeMap<Class, Location>,
    /// The rules, in the order written. `on` is the name of a schema.
    pub rules: Vec<Rule>,
    /// What happens to the stream of events.
    pub events: StreamFiltering,
    /// What happens to a stream of stats. A single document of stats is always filtered.
    pub stats: StreamFiltering,
    /// Which objects clients see, by kind, each with its line. All of those of a kind must show an object.
    pub objects: Vec<(ObjectKind, Restriction, Location)>,
    /// Which objects an operation may be about, by its id. All of those of an operation must show the object.
    pub bound: BTreeMap<&'static str, Vec<Restriction>>,
    /// What happens to the writes of clients that send back what they have read.
    pub edits: Edits,
    /// Where the operator opens what it denies.
    pub opened_by: OpenedBy,
    /// The lines that decide the rest.
    pub lines: DecidingLines,
}

impl Profile {
    /// What the requests of an operation may contain.
    pub fn contents(&self, operation: &Operation) -> RequestContents {
        self.parameters.get(operation.id).cloned().unwrap_or_else(|| RequestContents::usual(operation))
    }
}

/// Profiles by their names.
#[derive(Clone, Debug)]
pub struct Profiles {
    /// By name.
    known: BTreeMap<String, Profile>,
    /// The names of profiles that have errors, or extend one that has.
    broken: BTreeSet<String>,
    /// The names of the built-in profiles that were not read.
    unread: BTreeSet<&'static str>,
}

/// Which built-in profiles are read. Those that others extend are read with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltInProfiles<'n> {
    /// None, and none can be extended.
    None,
    /// Those with these names; a name of another profile says nothing.
    Named(&'n BTreeSet<String>),
    /// All.
    All,
}

impl Profiles {
    /// Reads the built-in profiles.
    ///
    /// # Errors
    /// Every error in the files. A test makes sure that there is none.
    pub fn built_in(catalogue: &Catalogue) -> Result<Self, Diagnostics> {
        Self::built_in_with(&[], catalogue)
    }

    /// Reads the built-in profiles and more files, each given as file name and text.
    ///
    /// # Errors
    /// Every error in all the files. A duplicate name is an error.
    pub fn built_in_with(files: &[(&str, &str)], catalogue: &Catalogue) -> Result<Self, Diagnostics> {
        Self::of_texts(BuiltInProfiles::All, files, catalogue)
    }

    /// Reads profile files, each given as file name and text, without the built-in profiles.
    ///
    /// # Errors
    /// Every error in all the files, in the order of their locations. A duplicate name is an error.
    pub fn parse(files: &[(&str, &str)], catalogue: &Catalogue) -> Result<Self, Diagnostics> {
        Self::of_texts(BuiltInProfiles::None, files, catalogue)
    }

    fn of_texts(
        built_in: BuiltInProfiles<'_>,
        files: &[(&str, &str)],
        catalogue: &Catalogue,
    ) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let documents: Vec<Node> =
            files.iter().filter_map(|(file, text)| yaml::parse_reporting(file, text, &mut diagnostics)).collect();
        let profiles = Self::read(built_in, &documents, catalogue, &mut diagnostics);
        diagnostics.finish(profiles)
    }

    /// Reads built-in profiles and more, which are parsed already. Reports every error in them, and returns the profiles that
    /// have none.
    pub fn read(
        built_in: BuiltInProfiles<'_>,
        documents: &[Node],
        catalogue: &Catalogue,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let raw_profiles = RawProfiles::read(built_in, documents, catalogue, diagnostics);
        let mut broken = raw_profiles.broken.clone();
        let mut known = BTreeMap::new();
        for raw in raw_profiles.by_name.values() {
            let profile = diagnostics.ok(raw.profile(&raw_profiles));
            match profile.filter(|_| !raw.ancestors(&raw_profiles).any(|name| broken.contains(name))) {
                Some(profile) => {
                    known.insert(raw.name.clone(), profile);
                }
                None => {
                    broken.insert(raw.name.clone());
                }
            }
        }
        Self { known, broken, unread: raw_profiles.unread }
    }

    /// Finds a profile by its name.
    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.known.get(name)
    }

    /// Whether a profile has errors, or extends one that has. They have been reported.
    pub fn is_broken(&self, name: &str) -> bool {
        self.broken.contains(name)
    }

    /// Adds a profile. It replaces another with the same name.
    pub fn add(&mut self, profile: Profile) {
        self.known.insert(profile.name.clone(), profile);
    }

    /// All profiles that were read, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.known.values()
    }

    /// Error text for an unknown profile.
    pub fn unknown(&self, name: &str) -> String {
        let read = self.known.keys().chain(&self.broken).map(String::as_str);
        let names: BTreeSet<&str> = read.chain(self.unread.iter().copied()).collect();
        yaml::unknown("profile", name, names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::lists::{LABELS, OPTIONS};
    use crate::api::{OPERATIONS, ResponseKind, StreamKind, operation};

    fn parse(files: &[(&str, &str)]) -> Result<Profiles, Vec<String>> {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        Profiles::parse(files, &catalogue).map_err(|diagnostics| diagnostics.iter().map(ToString::to_string).collect())
    }

    #[track_caller]
    fn check_diagnostics(text: &str, expected: &[&str]) {
        assert_eq!(parse(&[("p.yaml", text)]).map(|_| ()).unwrap_err(), expected);
    }

    /// The names of the classes that a profile shows.
    fn shown(profile: &Profile) -> Vec<&'static str> {
        profile.show.classes.iter().map(Class::as_str).collect()
    }

    /// The writing operations that built-in profiles allow, because their clients exist to do just that.
    const WRITES: &[(&str, &str)] = &[
        ("autoheal", "ContainerRestart"),
        ("sablier", "ContainerPause"),
        ("sablier", "ContainerStart"),
        ("sablier", "ContainerStop"),
        ("sablier", "ContainerUnpause"),
        ("sablier", "ContainerWait"),
        ("watchtower", "ImageCreate"),
    ];

    #[test]
    fn built_in_profiles_show_no_secret_and_write_only_as_listed() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let profiles = Profiles::built_in(&catalogue).unwrap();
        for profile in profiles.iter() {
            assert!(!profile.about.is_empty() && !profile.show.unknown, "{}", profile.name);
            assert!(!profile.show.classes.contains(Class::Secret), "{}", profile.name);
            // Untouched events are the exception, and the name of that profile says so.
            let untouched = profile.allow.contains_key("SystemEvents") && profile.events == StreamFiltering::Untouched;
            assert_eq!(untouched, profile.name == "dashboard-live", "{}", profile.name);
            for operation in profile.allow.keys().filter_map(|id| operation(id)) {
                let named = WRITES.contains(&(profile.name.as_str(), operation.id));
                assert!(!operation.mutating || named, "{} allows {}", profile.name, operation.id);
            }
        }
    }

    /// The files in a folder and in the folders inside it, named as in the program.
    fn files_below(folder: &std::path::Path, prefix: &str) -> Vec<String> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() { names.extend(files_below(&path, &format!("{name}/"))) } else { names.push(name) }
        }
        names.sort();
        names
    }

    #[test]
    fn every_profile_file_is_built_in_and_has_the_name_of_its_profile() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("filters/profile");
        let mut names: Vec<&str> = crate::embedded::names().filter_map(|file| file.strip_prefix("profile/")).collect();
        names.sort_unstable();
        assert_eq!(names, files_below(&folder, ""));
        for profile in Profiles::built_in(&crate::api::catalogue::built_in().unwrap()).unwrap().iter() {
            let file = std::path::Path::new(&*profile.location.file).file_stem().unwrap();
            assert_eq!(file.to_str(), Some(profile.name.as_str()));
        }
    }

    /// Whether a built-in profile allows an operation.
    fn is_allowed_by_one(profiles: &Profiles, operation: &Operation) -> bool {
        profiles.iter().any(|profile| profile.allow.contains_key(operation.id))
    }

    #[test]
    fn every_reading_operation_is_allowed_by_a_built_in_profile_or_has_a_reason_against_it() {
        let profiles = Profiles::built_in(&crate::api::catalogue::built_in().unwrap()).unwrap();
        for operation in OPERATIONS.iter().filter(|operation| !operation.mutating) {
            assert!(is_allowed_by_one(&profiles, operation) || !operation.about.is_empty(), "{}", operation.id);
        }
    }

    /// Logs are the exception: profiles that allow them say so in their description.
    #[test]
    fn no_built_in_profile_allows_an_operation_with_a_reason_against_it() {
        let profiles = Profiles::built_in(&crate::api::catalogue::built_in().unwrap()).unwrap();
        for operation in OPERATIONS.iter().filter(|operation| !operation.about.is_empty()) {
            let is_logs = operation.response == ResponseKind::Stream(StreamKind::Logs);
            let allowing = profiles.iter().filter(|profile| profile.allow.contains_key(operation.id));
            for profile in allowing.filter(|profile| !WRITES.contains(&(profile.name.as_str(), operation.id))) {
                assert!(is_logs && profile.about.contains("logs"), "{} allows {}", profile.name, operation.id);
            }
        }
        for id in [
            "ContainerArchive",
            "ContainerArchiveInfo",
            "PutContainerArchive",
            "ContainerExport",
            "ContainerCopy",
            "ContainerAttach",
            "ContainerAttachWebsocket",
            "ExecStart",
            "SwarmUnlockkey",
            "CheckpointList",
            "DebugVars",
            "DebugPprof",
            "StrayVars",
            "Session",
            "Grpc",
            "ImageBuild",
            "ImageGet",
            "ImageGetAll",
            "ImageSearch",
            "DistributionInspect",
            "GetPluginPrivileges",
            "SystemAuth",
        ] {
            let operation = operation(id).unwrap();
            assert!(!operation.about.is_empty() && !is_allowed_by_one(&profiles, operation), "{id}");
        }
    }

    /// Nothing in such a connection can be filtered.
    #[test]
    fn no_built_in_profile_opens_a_tunnel() {
        let profiles = Profiles::built_in(&crate::api::catalogue::built_in().unwrap()).unwrap();
        let tunnels = OPERATIONS.iter().filter(|operation| operation.response.upgrade().is_some());
        let ids: Vec<&str> = tunnels.clone().map(|operation| operation.id).collect();
        assert_eq!(ids, ["ContainerAttachWebsocket", "ContainerAttach", "ExecStart", "Session", "Grpc"]);
        for operation in tunnels {
            assert!(!is_allowed_by_one(&profiles, operation), "{}", operation.id);
        }
    }

    #[test]
    fn a_built_in_profile_that_writes_says_so_in_its_description() {
        let profiles = Profiles::built_in(&crate::api::catalogue::built_in().unwrap()).unwrap();
        for (name, id) in WRITES {
            let profile = profiles.get(name).unwrap();
            assert!(profile.allow.contains_key(id), "{name} does not allow {id}");
            let word = match *id {
                "ImageCreate" => "pulls".to_owned(),
                // It waits for what it has stopped.
                "ContainerWait" => "stop".to_owned(),
                id => id.strip_prefix("Container").unwrap().to_lowercase(),
            };
            assert!(profile.about.contains(&word), "{}: {word}", profile.about);
        }
    }

    #[test]
    fn an_empty_profile_allows_and_shows_nothing() {
        let profiles = parse(&[("p.yaml", "profile: p\n")]).unwrap();
        let profile = profiles.get("p").unwrap();
        assert!(profile.allow.is_empty() && shown(profile).is_empty() && !profile.show.unknown);
    }

    #[test]
    fn show_and_hide_choose_the_classes() {
        for (text, classes, unknown) in [
            ("show: [state, identity]", "identity state", false),
            ("show: []", "", false),
            ("show: [state]\nunknown: show", "state", true),
            ("show: all", "secret command free-text host-path topology host identity state", true),
            ("show: all\nunknown: hide", "secret command free-text host-path topology host identity state", false),
            ("hide: [secret, command]", "free-text host-path topology host identity state", true),
            ("hide: [secret]\nunknown: hide", "command free-text host-path topology host identity state", false),
        ] {
            let profiles = parse(&[("p.yaml", &format!("profile: p\n{text}\n"))]).unwrap();
            let profile = profiles.get("p").unwrap();
            assert_eq!((shown(profile).join(" ").as_str(), profile.show.unknown), (classes, unknown), "{text}");
        }
    }

    #[test]
    fn credentials_are_masked_unless_the_profile_shows_all_or_says_otherwise() {
        for (text, masked) in [
            ("show: [state, command]", true),
            ("show: all", false),
            ("show: all\nmask-values: true", true),
            ("hide: [secret]", true),
            ("labels: [a]\nmask-values: false", false),
        ] {
            let profiles = parse(&[("p.yaml", &format!("profile: p\n{text}\n"))]).unwrap();
            assert_eq!(profiles.get("p").unwrap().show.mask, masked, "{text}");
        }
        check_diagnostics("profile: p\nmask-values: no\n", &["p.yaml:2:14: found \"no\", expected `true` or `false`"]);
    }

    #[test]
    fn requests_contain_what_known_clients_send_unless_the_profile_says_otherwise() {
        let parent = "profile: parent\nallow: [ImageCreate, ContainerRestart, ContainerStart]\n\
                      parameters: {ImageCreate: [tag, fromImage], ContainerRestart: []}\n";
        let child = "profile: child\nextends: parent\nallow: [ImageLoad, VolumeCreate]\n\
                     parameters: {ImageCreate: [fromSrc, body], ImageLoad: [], ContainerStart: all, VolumeCreate: []}\n";
        let profiles = parse(&[("c.yaml", child), ("p.yaml", parent)]).unwrap();
        for (profile, id, expected) in [
            ("parent", "ImageCreate", "tag fromImage"),
            ("parent", "ContainerRestart", ""),
            ("parent", "ContainerStart", "detachKeys"),
            ("child", "ImageCreate", "fromSrc a body"),
            ("child", "ContainerRestart", ""),
            ("child", "ContainerStart", "detachKeys checkpoint checkpoint-dir"),
            // A load without a body is none.
            ("child", "ImageLoad", "a body"),
            ("child", "VolumeCreate", ""),
        ] {
            let contents = profiles.get(profile).unwrap().contents(operation(id).unwrap());
            assert_eq!(contents.names().join(" "), expected, "{profile} {id}");
        }
        let usual = RequestContents::usual(operation("ImageCreate").unwrap());
        assert_eq!(usual.names(), ["fromImage", "tag", "platform"]);
        let all = RequestContents::all(operation("ImageCreate").unwrap());
        assert_eq!(all.beyond(&usual), ["fromSrc", "repo", "message", "changes", "registry", "a body"]);
    }

    #[test]
    fn every_bad_entry_of_parameters_is_reported() {
        check_diagnostics(
            "profile: p\nallow: [ImageCreate, ContainerRestart, ContainerPause]\nparameters:\n  ImageCreat: [tag]\n  \
             ImageCreate: [fromImages, tag, tag]\n  ContainerRestart: [t, body, seconds]\n  ContainerPause: [y]\n  \
             ContainerStop: [t]\n",
            &[
                "p.yaml:4:3: unknown operation \"ImageCreat\", did you mean \"ImageCreate\"?",
                "p.yaml:5:17: unknown parameter of ImageCreate \"fromImages\", did you mean \"fromImage\"?",
                "p.yaml:5:34: duplicate parameter \"tag\"",
                "p.yaml:6:25: ContainerRestart takes no body",
                "p.yaml:6:31: unknown parameter of ContainerRestart \"seconds\", expected one of t, signal",
                "p.yaml:7:20: ContainerPause takes no parameters",
                "p.yaml:8:18: parameters of ContainerStop, which the profile does not allow",
            ],
        );
        check_diagnostics(
            "profile: p\nallow: [ImageCreate]\nparameters: {ImageCreate: some}\n",
            &["p.yaml:3:27: found \"some\", expected `all` or a list of parameters"],
        );
        check_diagnostics(
            "profile: p\nparameters: [a]\n",
            &["p.yaml:2:13: found a list, expected lists of parameters by operation"],
        );
    }

    /// What requests of profiles whose clients change something, or see next to nothing, may contain. Everything else is
    /// denied.
    const CONTENTS: &[(&str, &str, &[&str])] = &[
        ("autoheal", "ContainerList", &["filters"]),
        ("autoheal", "ContainerRestart", &["t"]),
        ("ofelia", "ContainerInspect", &[]),
        ("ofelia", "ContainerList", &["filters"]),
        ("sablier", "ContainerInspect", &[]),
        ("sablier", "ContainerList", &["all", "filters"]),
        ("sablier", "ContainerPause", &[]),
        ("sablier", "ContainerStart", &[]),
        ("sablier", "ContainerStop", &[]),
        ("sablier", "ContainerUnpause", &[]),
        ("sablier", "ContainerWait", &["condition"]),
        ("uptime-kuma", "ContainerInspect", &[]),
        ("uptime-kuma", "ContainerList", &["all"]),
        ("watchtower", "ContainerInspect", &[]),
        ("watchtower", "ContainerList", &["filters"]),
        ("watchtower", "ImageCreate", &["fromImage", "tag"]),
        ("watchtower", "ImageInspect", &[]),
    ];

    #[test]
    fn built_in_profiles_allow_no_more_in_a_request_than_their_clients_send() {
        let profiles = Profiles::built_in(&crate::api::catalogue::built_in().unwrap()).unwrap();
        for profile in profiles.iter() {
            for operation in profile.allow.keys().filter_map(|id| operation(id)) {
                let contents = profile.contents(operation);
                let beyond = contents.beyond(&RequestContents::usual(operation));
                assert!(beyond.is_empty(), "{} {}: {beyond:?}", profile.name, operation.id);
                if operation.mutating || contents.location.is_some() {
                    let row = CONTENTS.iter().find(|(name, id, _)| (*name, *id) == (&profile.name, operation.id));
                    assert_eq!(Some(contents.names().as_slice()), row.map(|row| row.2), "{}", profile.name);
                }
            }
        }
    }

    #[test]
    fn options_are_shown_by_name() {
        let profiles = parse(&[("p.yaml", "profile: p\noptions: [max-*]\n")]).unwrap();
        let show = &profiles.get("p").unwrap().show;
        assert!(show.names.of(OPTIONS).matches("max-size") && !show.names.of(OPTIONS).matches("splunk-token"));
    }

    #[test]
    fn each_class_has_the_line_that_decides_it() {
        let profiles = parse(&[("p.yaml", "profile: p\nshow:\n  - state\n  - host\n")]).unwrap();
        let location = |class| profiles.get("p").unwrap().classes.get(&class).unwrap().to_string();
        assert_eq!(location(Class::Host), "p.yaml:4:5");
        assert_eq!(location(Class::Secret), "p.yaml:2:1");
    }

    #[test]
    fn a_profile_adds_to_what_it_extends() {
        let parent = "profile: parent\nallow: [ContainerList]\nshow: [state, host]\nlabels: [a]\n\
                      rules:\n  - {on: Volume, blank: $.Name}\n";
        let child = "profile: child\nextends: parent\nallow: [VolumeList]\nshow: [identity]\nlabels: [b.*]\n\
                     rules:\n  - {on: VolumeInspect, keep: $.Name}\n";
        let grandchild = "profile: grandchild\nextends: child\nhide: [host]\nunknown: show\n";
        // The order of the files does not matter.
        let profiles = parse(&[("c.yaml", child), ("g.yaml", grandchild), ("p.yaml", parent)]).unwrap();
        let profile = profiles.get("grandchild").unwrap();
        assert_eq!(profile.allow.keys().copied().collect::<Vec<_>>(), ["ContainerList", "VolumeList"]);
        assert_eq!(shown(profile), ["identity", "state"]);
        assert!(profile.show.unknown && !profiles.get("child").unwrap().show.unknown);
        assert!(profile.show.names.of(LABELS).matches("a") && profile.show.names.of(LABELS).matches("b.c"));
        let files: Vec<String> = profile.rules.iter().map(|rule| rule.location.file.to_string()).collect();
        assert_eq!(files, ["p.yaml", "c.yaml"]);
        assert_eq!(shown(profiles.get("parent").unwrap()), ["host", "state"]);
    }

    #[test]
    fn an_exclusion_of_a_profile_holds_in_those_that_extend_it() {
        let files = [
            ("a.yaml", "profile: a\nlabels: [\"x.*\", \"!x.secret.*\"]\n"),
            ("b.yaml", "profile: b\nextends: a\nlabels: [x.secret.a, y]\n"),
            ("c.yaml", "profile: c\nextends: b\nshow: all\nlabels: [\"!y\"]\n"),
        ];
        let profiles = parse(&files).unwrap();
        let labels = |name: &str| profiles.get(name).unwrap().show.names.of(LABELS).clone();
        for name in ["a", "b", "c"] {
            assert!(labels(name).matches("x.a") && labels(name).excludes("x.secret.a"), "{name}");
            assert!(!labels(name).matches("x.secret.a"), "{name}");
        }
        assert!(labels("b").matches("y") && labels("c").excludes("y"));
        check_diagnostics(
            "profile: p\nlabels: [\"!\", a, \"!a\", \"!!b\", \"!c d\"]\n",
            &[
                "p.yaml:2:10: found \"!\", expected a name",
                "p.yaml:2:18: the list has both \"a\" and its exclusion, expected one",
                "p.yaml:2:24: found '!' in \"!!b\", expected a name in which only `*`, and `!` before it, are special",
                "p.yaml:2:31: found ' ' in \"!c d\", expected a name in which only `*`, and `!` before it, are special",
            ],
        );
    }

    #[test]
    fn a_rule_that_hides_an_entry_by_name_hides_it_everywhere() {
        let rules = "  - {on: ContainerSummary, blank: \"$.Labels['a.b']\"}\n  - {on: Volume, remove: $.Options.device}\n\
                     \x20 - {on: ContainerSummary, keep: $.Labels.kept}\n  - {on: ImageSummary, redact: $.Labels.*}\n";
        let text = format!("profile: p\nlabels: [\"*\"]\nrules:\n{rules}");
        let profiles = parse(&[("p.yaml", &text), ("q.yaml", "profile: q\nextends: p\n")]).unwrap();
        for name in ["p", "q"] {
            let names = &profiles.get(name).unwrap().show.names;
            assert!(names.of(LABELS).excludes("a.b") && names.of(OPTIONS).excludes("device"));
            assert!(names.of(LABELS).matches("kept") && names.of(LABELS).matches("other"));
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_is_an_error_unless_the_rule_says_so() {
        check_diagnostics(
            "profile: p\nrules:\n  - {on: ContainerInspect, redact: \"$.Config.Enviroment[*]\"}\n\
             \x20 - {on: ContainerInspect, redact: \"$.Config.Enviroment[*]\", unknown: false}\n",
            &[
                "p.yaml:3:36: the path matches nothing in ContainerInspect: $.Config has no member \"Enviroment\", did you \
                 mean \"Env\"?; `unknown: true` accepts it all the same",
                "p.yaml:4:71: found another value, expected `true`",
            ],
        );
        let text = "profile: p\nrules:\n  - {on: ContainerInspect, redact: \"$.Config.New\", unknown: true}\n";
        assert_eq!(parse(&[("p.yaml", text)]).unwrap().get("p").unwrap().rules.len(), 1);
    }

    #[test]
    fn a_profile_overrides_what_the_profile_it_extends_does_to_streams() {
        use StreamFiltering::{Filtered, Untouched};
        let files = [
            ("a.yaml", "profile: a\nallow: [SystemEvents, ContainerStats]\n"),
            ("b.yaml", "profile: b\nextends: a\nevents: filtered\nstats: filtered\n"),
            ("c.yaml", "profile: c\nextends: b\n"),
            ("d.yaml", "profile: d\nextends: c\nevents: untouched\n"),
        ];
        let profiles = parse(&files).unwrap();
        for (name, events, stats) in [
            ("a", Untouched, Untouched),
            ("b", Filtered, Filtered),
            ("c", Filtered, Filtered),
            ("d", Untouched, Filtered),
        ] {
            let profile = profiles.get(name).unwrap();
            assert_eq!((profile.events, profile.stats), (events, stats), "{name}");
        }
    }

    #[test]
    fn a_stream_is_untouched_or_filtered() {
        check_diagnostics(
            "profile: p\nevents: filter\nstats: [filtered]\n",
            &[
                "p.yaml:2:9: found \"filter\", expected `untouched` or `filtered`",
                "p.yaml:3:8: found a list, expected `untouched` or `filtered`",
            ],
        );
    }

    #[test]
    fn a_rule_may_name_an_operation() {
        let text =
            "profile: p\nrules:\n  - {on: ContainerList, blank: $.Names}\n  - {on: ContainerStats, blank: $.name}\n";
        let profiles = parse(&[("p.yaml", text)]).unwrap();
        let on: Vec<&str> = profiles.get("p").unwrap().rules.iter().map(|rule| rule.on.as_str()).collect();
        assert_eq!(on, ["ContainerSummary", "ContainerStats"]);
    }

    #[test]
    fn ping_also_allows_a_ping_with_head() {
        let profiles = parse(&[("p.yaml", "profile: p\nallow: [Ping]\n")]).unwrap();
        let ids: Vec<&str> = profiles.get("p").unwrap().allow.keys().copied().collect();
        assert_eq!(ids, ["SystemPing", "SystemPingHead"]);
    }

    #[test]
    fn operations_are_allowed_and_denied_by_id_by_group_or_all_together() {
        let ids = |text: &str| {
            let profiles = parse(&[("p.yaml", &format!("profile: p\n{text}\n"))]).unwrap();
            profiles.get("p").unwrap().allow.keys().copied().collect::<Vec<_>>()
        };
        let of = |name: &str| {
            let mut ids: Vec<_> =
                crate::api::groups::operations_called(name).iter().map(|operation| operation.id).collect();
            ids.sort_unstable();
            ids
        };
        for all in ["all", "\"*\"", "[all]", "[\"*\"]", "\n  - all", "[all, read]"] {
            assert_eq!(ids(&format!("allow: {all}")).len(), OPERATIONS.len(), "{all}");
        }
        assert_eq!(ids("allow: read"), of("read"));
        assert_eq!(ids("allow: [logs, VolumeList]"), ["ContainerLogs", "ServiceLogs", "TaskLogs", "VolumeList"]);
        assert_eq!(ids("allow: [logs]\ndeny: [ContainerLogs]"), ["ServiceLogs", "TaskLogs"]);
        assert_eq!(ids("allow: all\ndeny: all"), Vec::<&str>::new());
        assert_eq!(ids("allow: \"\""), Vec::<&str>::new());
        let most = ids("allow: all\ndeny: [debug, swarm, SystemAuth]");
        assert_eq!(most.len(), OPERATIONS.len() - of("debug").len() - of("swarm").len() - 1);
        assert_eq!(ids("deny: [ContainerKill]"), Vec::<&str>::new());
    }

    #[test]
    fn the_operations_that_are_printed_can_be_copied_into_a_profile() {
        for profile in Profiles::built_in(&crate::api::catalogue::built_in().unwrap()).unwrap().iter() {
            let printed = profile.allow.keys().copied().collect::<Vec<_>>().join(", ");
            let wrapped = printed.replace(", S", ",\n    S");
            for text in [format!("allow: {printed}"), format!("allow: [{printed}]"), format!("allow: {wrapped}")] {
                let copied = parse(&[("p.yaml", &format!("profile: p\n{text}\n"))]).unwrap();
                let ids = |profile: &Profile| profile.allow.keys().copied().collect::<Vec<_>>();
                assert_eq!(ids(copied.get("p").unwrap()), ids(profile), "{text}");
            }
        }
    }

    #[test]
    fn what_is_denied_stays_denied_in_profiles_that_extend_this_one() {
        let files = [
            ("a.yaml", "profile: a\nallow: [lifecycle, ContainerList]\n"),
            ("b.yaml", "profile: b\nextends: a\ndeny: [ContainerKill, ContainerList]\n"),
            ("c.yaml", "profile: c\nextends: b\nallow: [all]\n"),
        ];
        let profiles = parse(&files).unwrap();
        let allows = |name: &str, id: &str| profiles.get(name).unwrap().allow.contains_key(id);
        assert!(allows("a", "ContainerKill") && allows("b", "ContainerStop") && allows("c", "ImageBuild"));
        for id in ["ContainerKill", "ContainerList"] {
            assert!(!allows("b", id) && !allows("c", id), "{id}");
            assert_eq!(profiles.get("c").unwrap().deny[id].file.as_ref(), "b.yaml");
        }
        let files = [files[0], files[1], ("d.yaml", "profile: d\nextends: b\nallow: [lifecycle, ContainerKill]\n")];
        let wrong = parse(&files).unwrap_err();
        assert_eq!(wrong, ["d.yaml:3:20: ContainerKill is allowed here and denied at b.yaml:3:8"]);
    }

    #[test]
    fn every_contradiction_of_allow_and_deny_and_every_misspelt_group_is_reported() {
        check_diagnostics(
            "profile: p\nallow: [lifecicle, ContainerKill, ContainerStop, logs, logs]\ndeny:\n  - lifecycle\n  - read, \
             LOGS\n  - {a: b}\nparameters: {ContainerKill: [], ContainerPause: []}\n",
            &[
                "p.yaml:2:9: unknown operation or group \"lifecicle\", did you mean \"lifecycle\"?",
                "p.yaml:2:20: ContainerKill is allowed here and denied at p.yaml:4:5",
                "p.yaml:2:35: ContainerStop is allowed here and denied at p.yaml:4:5",
                "p.yaml:2:56: duplicate operation logs: p.yaml:2:50 already lists it",
                "p.yaml:5:5: unknown operation or group \"LOGS\", did you mean \"logs\"?",
                "p.yaml:6:5: found a mapping, expected one of a list of ids or groups of operations",
                "p.yaml:7:29: parameters of ContainerKill, which the profile does not allow",
                "p.yaml:7:49: parameters of ContainerPause, which the profile does not allow",
            ],
        );
    }

    #[test]
    fn every_error_in_a_file_is_reported() {
        check_diagnostics(
            "profile: p\nabout: [x]\nalow: []\nallow: [ContainerLst, Everything, ContainerList, ContainerList]\n\
             show: [public, state]\nunknown: maybe\nlabels: [\"\", \"a b\", \"a?\"]\nenv: TZ\n",
            &[
                "p.yaml:2:8: found a list, expected a description of the profile",
                "p.yaml:3:1: unknown key \"alow\", did you mean \"allow\"?",
                "p.yaml:4:9: unknown operation or group \"ContainerLst\", did you mean \"ContainerList\"?",
                "p.yaml:4:23: unknown operation or group \"Everything\", expected an operation id such as ContainerList, \
                 all, or a group: read, logs, lifecycle, containers, exec, files, checkpoints, images, registry, build, \
                 networks, volumes, plugins, swarm, services, debug",
                "p.yaml:4:50: duplicate operation ContainerList: p.yaml:4:35 already lists it",
                "p.yaml:5:8: unknown class \"public\", expected one of secret, command, free-text, host-path, topology, \
                 host, identity, state",
                "p.yaml:6:10: found \"maybe\", expected `show` or `hide`",
                "p.yaml:7:10: found \"\", expected a name",
                "p.yaml:7:14: found ' ' in \"a b\", expected a name in which only `*`, and `!` before it, are special",
                "p.yaml:7:21: found '?' in \"a?\", expected a name in which only `*`, and `!` before it, are special",
                "p.yaml:8:6: found text, expected a list of names, in which `*` stands for any text",
            ],
        );
    }

    #[test]
    fn a_profile_needs_a_unique_name() {
        check_diagnostics("about: x\n", &["p.yaml:1:1: expected `profile`, the name of the profile"]);
        check_diagnostics(
            "[]",
            &["p.yaml:1:1: found a list, expected a profile: a mapping with keys such as profile, about, extends"],
        );
        let wrong = parse(&[("a.yaml", "profile: p\n"), ("b.yaml", "profile: p\n")]).unwrap_err();
        assert_eq!(wrong, ["b.yaml:1:10: duplicate profile \"p\": a.yaml:1:10 already defines it"]);
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let wrong = Profiles::built_in_with(&[("b.yaml", "profile: dashboard\n")], &catalogue).unwrap_err();
        assert_eq!(
            wrong.iter().next().map(ToString::to_string).as_deref(),
            Some(
                "b.yaml:1:10: duplicate profile \"dashboard\": built-in:profile/dashboard.yaml:6:10 already defines it"
            )
        );
    }

    #[test]
    fn show_and_hide_exclude_each_other() {
        check_diagnostics(
            "profile: p\nshow: [state]\nhide: [secret]\n",
            &["p.yaml:3:1: `show` and `hide` exclude each other: use one of them"],
        );
        check_diagnostics("profile: p\nshow: some\n", &["p.yaml:2:7: found text, expected `all` or a list of classes"]);
    }

    #[test]
    fn a_profile_can_extend_only_another_profile_that_exists() {
        check_diagnostics("profile: p\nextends: p\n", &["p.yaml:2:10: profile \"p\" extends itself"]);
        check_diagnostics(
            "profile: some\nextends: sume\n",
            &["p.yaml:2:10: unknown profile \"sume\", did you mean \"some\"?"],
        );
        let wrong = parse(&[("a.yaml", "profile: one\nextends: two\n"), ("b.yaml", "profile: two\nextends: one\n")]);
        assert_eq!(
            wrong.map(|_| ()).unwrap_err(),
            ["a.yaml:2:10: profile \"two\" extends itself", "b.yaml:2:10: profile \"one\" extends itself",]
        );
    }

    #[test]
    fn a_rule_must_apply_to_an_answer_that_is_filtered() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let refused = |on: &str| {
            let text = format!("profile: p\nrules:\n  - {{on: {on}, blank: $}}\n");
            Profiles::parse(&[("p.yaml", &text)], &catalogue)
                .is_err_and(|wrong| wrong.to_string().contains("no rule can apply"))
        };
        let refused: Vec<&str> = catalogue.names().filter(|name| refused(name)).collect();
        assert_eq!(refused, ["Progress"]);
    }

    #[test]
    fn a_rule_must_apply_to_a_known_json_response() {
        check_diagnostics(
            "profile: p\nrules:\n  - {on: ContainerInspct, blank: $.Name}\n  - {on: ContainerLogs, blank: $.Name}\n\
             \x20 - {on: Volume, blank: Name}\n  - {on: Volume, blnk: $.Name}\n  - {on: Volume}\n",
            &[
                "p.yaml:3:5: unknown schema \"ContainerInspct\", did you mean \"ContainerInspect\"?",
                "p.yaml:4:5: the response of ContainerLogs is not a JSON document: no rule can apply",
                "p.yaml:5:25: bad path: expected `$` first, as in $.a.b[*]",
                "p.yaml:6:5: expected an action: one of keep, blank, remove, redact, mask, hash, replace",
                "p.yaml:6:18: unknown key \"blnk\", expected on, with, unknown or an action: keep, blank, remove, redact, \
                 mask, hash, replace",
                "p.yaml:7:5: expected an action: one of keep, blank, remove, redact, mask, hash, replace",
            ],
        );
    }
}
