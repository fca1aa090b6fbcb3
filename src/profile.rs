//! Profile files: what one kind of client may ask and see.

mod built_in;
mod raw;

use std::collections::BTreeMap;

use self::raw::RawProfile;
use crate::filter::{Rule, Show};
use crate::schema::{Catalogue, Class};
use crate::yaml::{self, Diagnostics, Location, Node};

/// What happens to a stream whose records could be filtered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamHandling {
    /// It passes as it is.
    #[default]
    Untouched,
    /// Each record is filtered.
    Filtered,
}

/// What one kind of client may ask and see. Every name in it is known.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name, by which listeners refer to it.
    pub name: String,
    /// Where the name is written.
    pub location: Location,
    /// What it is for, in the words of its author.
    pub about: String,
    /// The operations it allows by their ids, each with the line that says so.
    pub allow: BTreeMap<&'static str, Location>,
    /// The classes, labels and variables it shows.
    pub show: Show,
    /// For each class, the line that decides whether it is shown.
    pub classes: BTreeMap<Class, Location>,
    /// The rules that refine it, in the order written; `on` is the name of a schema.
    pub rules: Vec<Rule>,
    /// What happens to events.
    pub events: StreamHandling,
    /// What happens to statistics that come as a stream.
    pub stats: StreamHandling,
}

/// Profiles by name.
#[derive(Clone, Debug)]
pub struct Profiles {
    known: BTreeMap<String, Profile>,
}

impl Profiles {
    /// The profiles inside the program.
    ///
    /// # Errors
    /// The mistakes in the files, none in a program whose tests have passed.
    pub fn built_in(catalogue: &Catalogue) -> Result<Self, Diagnostics> {
        Self::built_in_with(&[], catalogue)
    }

    /// The profiles inside the program and those of more files, given as file name and text.
    ///
    /// # Errors
    /// Every mistake in all the files; a name that is taken is one.
    pub fn built_in_with(files: &[(&str, &str)], catalogue: &Catalogue) -> Result<Self, Diagnostics> {
        Self::parse(&[built_in::FILES, files].concat(), catalogue)
    }

    /// Reads profile files, given as file name and text.
    ///
    /// # Errors
    /// Every mistake in all the files, in the order of their places.
    pub fn parse(files: &[(&str, &str)], catalogue: &Catalogue) -> Result<Self, Diagnostics> {
        Self::read(files, &[], catalogue)
    }

    /// As [`Profiles::built_in_with`], with profiles that stand in another file.
    ///
    /// # Errors
    /// Every mistake in all of them; a name that is taken is one.
    pub fn built_in_and(
        files: &[(&str, &str)],
        documents: &[Node],
        catalogue: &Catalogue,
    ) -> Result<Self, Diagnostics> {
        Self::read(&[built_in::FILES, files].concat(), documents, catalogue)
    }

    fn read(files: &[(&str, &str)], documents: &[Node], catalogue: &Catalogue) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let mut raw_profiles: BTreeMap<String, RawProfile> = BTreeMap::new();
        let parsed: Vec<Node> =
            files.iter().filter_map(|(file, text)| diagnostics.ok(yaml::parse(file, text))).collect();
        for document in parsed.iter().chain(documents) {
            let Some(raw) = RawProfile::read(document, catalogue, &mut diagnostics) else { continue };
            match raw_profiles.get(&raw.name) {
                Some(known) => {
                    let message = format!("the profile {:?} is in {} already", raw.name, known.location);
                    diagnostics.report(&raw.location, message);
                }
                None => {
                    raw_profiles.insert(raw.name.clone(), raw);
                }
            }
        }
        let mut known = BTreeMap::new();
        for raw in raw_profiles.values() {
            if let Some(profile) = diagnostics.ok(raw.profile(&raw_profiles)) {
                known.insert(profile.name.clone(), profile);
            }
        }
        diagnostics.finish(Self { known })
    }

    /// The profile called `name`.
    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.known.get(name)
    }

    /// One more, in place of another of its name.
    pub fn add(&mut self, profile: Profile) {
        self.known.insert(profile.name.clone(), profile);
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.known.values()
    }

    /// Error text for an unknown profile.
    pub fn unknown(&self, name: &str) -> String {
        yaml::unknown("profile", name, self.known.keys().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::lists::{LABELS, OPTIONS};
    use crate::api::{OPERATIONS, Operation, Response, Stream, operation};

    fn parse(files: &[(&str, &str)]) -> Result<Profiles, Vec<String>> {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        Profiles::parse(files, &catalogue).map_err(|diagnostics| diagnostics.iter().map(ToString::to_string).collect())
    }

    #[track_caller]
    fn check_diagnostics(text: &str, expected: &[&str]) {
        assert_eq!(parse(&[("p.yaml", text)]).map(|_| ()).unwrap_err(), expected);
    }

    /// What a profile shows, as names of classes.
    fn shown(profile: &Profile) -> Vec<&'static str> {
        profile.show.classes.iter().map(Class::as_str).collect()
    }

    /// What built-in profiles allow although it changes something: it is what their clients are for.
    const WRITES: &[(&str, &str)] = &[("autoheal", "ContainerRestart"), ("watchtower", "ImageCreate")];

    #[test]
    fn the_built_in_profiles_have_no_mistakes() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let profiles = Profiles::built_in(&catalogue).unwrap();
        for profile in profiles.iter() {
            assert!(!profile.about.is_empty() && !profile.show.unknown, "{}", profile.name);
            assert!(!profile.show.classes.contains(Class::Secret), "{}", profile.name);
            // Untouched events are an exception, for a profile that says so in its name.
            let untouched = profile.allow.contains_key("SystemEvents") && profile.events == StreamHandling::Untouched;
            assert_eq!(untouched, profile.name == "dashboard-live", "{}", profile.name);
            for operation in profile.allow.keys().filter_map(|id| operation(id)) {
                let named = WRITES.contains(&(profile.name.as_str(), operation.id));
                assert!(!operation.mutating || named, "{} allows {}", profile.name, operation.id);
            }
        }
    }

    /// The files in a folder of profiles and in the folders inside it, by their names in `built_in::FILES`.
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
    fn every_profile_file_is_built_in_and_called_as_its_profile() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("filters/profile");
        let mut names: Vec<&str> =
            built_in::FILES.iter().map(|(file, _)| file.strip_prefix("built-in:profile/").unwrap()).collect();
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
    fn what_only_reads_is_allowed_by_a_built_in_profile_or_says_why_not() {
        let profiles = Profiles::built_in(&crate::api::catalogue::built_in().unwrap()).unwrap();
        for operation in OPERATIONS.iter().filter(|operation| !operation.mutating) {
            assert!(is_allowed_by_one(&profiles, operation) || !operation.about.is_empty(), "{}", operation.id);
        }
    }

    /// Logs are relayed by profiles that say so in what they are about; everything else with a reason against it, by none.
    #[test]
    fn what_cannot_be_made_safe_is_allowed_by_no_built_in_profile() {
        let profiles = Profiles::built_in(&crate::api::catalogue::built_in().unwrap()).unwrap();
        for operation in OPERATIONS.iter().filter(|operation| !operation.about.is_empty()) {
            let is_logs = operation.response == Response::Stream(Stream::Logs);
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

    #[test]
    fn a_client_that_may_write_has_a_profile_that_says_so() {
        let profiles = Profiles::built_in(&crate::api::catalogue::built_in().unwrap()).unwrap();
        for (name, id) in WRITES {
            let profile = profiles.get(name).unwrap();
            assert!(profile.allow.contains_key(id), "{name} does not allow {id}");
            let word = if *id == "ContainerRestart" { "restart" } else { "pulls" };
            assert!(profile.about.contains(word), "{}", profile.about);
        }
    }

    #[test]
    fn a_profile_without_a_word_allows_and_shows_nothing() {
        let profiles = parse(&[("p.yaml", "profile: p\n")]).unwrap();
        let profile = profiles.get("p").unwrap();
        assert!(profile.allow.is_empty() && shown(profile).is_empty() && !profile.show.unknown);
    }

    #[test]
    fn classes_are_shown_one_by_one_or_all_or_all_but_some() {
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
    fn credentials_are_masked_unless_everything_is_shown_or_the_profile_says_not() {
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
        let places: Vec<String> = profile.rules.iter().map(|rule| rule.location.file.to_string()).collect();
        assert_eq!(places, ["p.yaml", "c.yaml"]);
        assert_eq!(shown(profiles.get("parent").unwrap()), ["host", "state"]);
    }

    #[test]
    fn streams_are_untouched_unless_the_last_word_is_another() {
        use StreamHandling::{Filtered, Untouched};
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
    fn who_may_ping_may_ping_with_head() {
        let profiles = parse(&[("p.yaml", "profile: p\nallow: [Ping]\n")]).unwrap();
        let ids: Vec<&str> = profiles.get("p").unwrap().allow.keys().copied().collect();
        assert_eq!(ids, ["SystemPing", "SystemPingHead"]);
    }

    #[test]
    fn every_mistake_of_a_file_is_reported() {
        check_diagnostics(
            "profile: p\nabout: [x]\nalow: []\nallow: [ContainerLst, Everything, ContainerList, ContainerList]\n\
             show: [public, state]\nunknown: maybe\nlabels: [\"\", \"a b\", \"a?\"]\nenv: TZ\n",
            &[
                "p.yaml:2:8: found a list, expected what the profile is for",
                "p.yaml:3:1: unknown key \"alow\", did you mean \"allow\"?",
                "p.yaml:4:9: unknown operation \"ContainerLst\", did you mean \"ContainerList\"?",
                "p.yaml:4:23: unknown operation \"Everything\", expected an operation id of the Docker API such as \
                 ContainerList",
                "p.yaml:4:50: duplicate operation ContainerList: p.yaml:4:35 already lists it",
                "p.yaml:5:8: unknown class \"public\", expected one of secret, command, free-text, host-path, topology, \
                 host, identity, state",
                "p.yaml:6:10: found \"maybe\", expected `show` or `hide`",
                "p.yaml:7:10: an empty name, expected one",
                "p.yaml:7:14: ' ' in \"a b\", expected a name in which only `*` is special",
                "p.yaml:7:21: '?' in \"a?\", expected a name in which only `*` is special",
                "p.yaml:8:6: found text, expected a list of names, in which `*` stands for any text",
            ],
        );
    }

    #[test]
    fn a_profile_needs_a_name_of_its_own() {
        check_diagnostics("about: x\n", &["p.yaml:1:1: expected `profile`, the name of the profile"]);
        check_diagnostics("[]", &["p.yaml:1:1: found a list, expected a profile"]);
        let wrong = parse(&[("a.yaml", "profile: p\n"), ("b.yaml", "profile: p\n")]).unwrap_err();
        assert_eq!(wrong, ["b.yaml:1:10: the profile \"p\" is in a.yaml:1:10 already"]);
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let wrong = Profiles::built_in_with(&[("b.yaml", "profile: dashboard\n")], &catalogue).unwrap_err();
        assert_eq!(
            wrong.iter().next().map(ToString::to_string).as_deref(),
            Some("b.yaml:1:10: the profile \"dashboard\" is in built-in:profile/dashboard.yaml:6:10 already")
        );
    }

    #[test]
    fn show_and_hide_do_not_go_together() {
        check_diagnostics(
            "profile: p\nshow: [state]\nhide: [secret]\n",
            &["p.yaml:3:1: `show` and `hide` exclude each other: expected one of them"],
        );
        check_diagnostics("profile: p\nshow: some\n", &["p.yaml:2:7: found text, expected `all` or a list of classes"]);
    }

    #[test]
    fn what_is_extended_is_there_and_not_the_profile_itself() {
        check_diagnostics("profile: p\nextends: p\n", &["p.yaml:2:10: the profile \"p\" extends itself"]);
        check_diagnostics(
            "profile: some\nextends: sume\n",
            &["p.yaml:2:10: unknown profile \"sume\", did you mean \"some\"?"],
        );
        let wrong = parse(&[("a.yaml", "profile: one\nextends: two\n"), ("b.yaml", "profile: two\nextends: one\n")]);
        assert_eq!(
            wrong.map(|_| ()).unwrap_err(),
            ["a.yaml:2:10: the profile \"two\" extends itself", "b.yaml:2:10: the profile \"one\" extends itself",]
        );
    }

    #[test]
    fn a_rule_is_about_json_that_there_is() {
        check_diagnostics(
            "profile: p\nrules:\n  - {on: ContainerInspct, blank: $.Name}\n  - {on: ContainerLogs, blank: $.Name}\n\
             \x20 - {on: Volume, blank: Name}\n  - {on: Volume, blnk: $.Name}\n  - {on: Volume}\n",
            &[
                "p.yaml:3:5: unknown schema \"ContainerInspct\", did you mean \"ContainerInspect\"?",
                "p.yaml:4:5: the response of ContainerLogs is not a JSON document: no rule can apply",
                "p.yaml:5:25: bad path: expected jp_query at character 1",
                "p.yaml:6:5: expected an action: one of keep, blank, remove, redact, mask, hash, replace",
                "p.yaml:6:18: unknown key \"blnk\", expected on, with or an action: keep, blank, remove, redact, mask, hash, \
                 replace",
                "p.yaml:7:5: expected an action: one of keep, blank, remove, redact, mask, hash, replace",
            ],
        );
    }
}
