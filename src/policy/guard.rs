//! Query parameters that read what the response does not show.
//!
//! A filter that matches hides or shows a row, so a client can guess a hidden value bit by bit and watch the row come
//! and go; other parameters make the engine put more into a response than its schema has. The tables below say what
//! each of them reads. A parameter is let through when the profile shows that, and a filter that no table knows is
//! never let through.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Denial;
use crate::api::Operation;
use crate::filter::{Show, looks_like_credential, without_command};
use crate::route::{Query, Route};
use crate::schema::{Class, ClassSet};

/// How long the text of `filters` may be, in bytes.
const FILTERS_LIMIT: usize = 64 * 1024;

/// What a parameter, or one key of `filters`, reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// Fields of these classes; all of them must be shown. None: nothing that is ever hidden.
    Classes(&'static [Class]),
    /// The labels that its values name, each `key` or `key=value`.
    Labels,
    /// More than can be filtered: the response is no longer the one document that the plan is for.
    Unfiltered,
    /// Actions of events, and the command line behind the colon in those values that have one.
    Actions,
}

/// One parameter of some operations.
struct Guard {
    operations: &'static [&'static str],
    parameter: &'static str,
    /// Harmless when the parameter is present but false.
    flag: bool,
    reads: Reads,
}

/// Parameters other than `filters`.
const PARAMETERS: &[Guard] = &[
    // The engine hands it to `ps` on the host, which prints environments when asked to.
    Guard {
        operations: &["ContainerTop"],
        parameter: "ps_args",
        flag: false,
        reads: Reads::Classes(&[Class::Secret, Class::Command]),
    },
    // Podman: one document after another, without end.
    Guard { operations: &["ContainerTop"], parameter: "stream", flag: true, reads: Reads::Unfiltered },
    // Each line begins with the labels and variables that the log options name.
    Guard {
        operations: &["ContainerLogs", "ServiceLogs", "TaskLogs"],
        parameter: "details",
        flag: true,
        reads: Reads::Classes(&[Class::Secret, Class::FreeText]),
    },
    // The whole in-toto document: build arguments, environment, sources.
    Guard {
        operations: &["ImageAttestations"],
        parameter: "statement",
        flag: true,
        reads: Reads::Classes(&[Class::Secret]),
    },
    // Lists, or deletes below, any directory of the host.
    Guard {
        operations: &["CheckpointList", "CheckpointDelete"],
        parameter: "dir",
        flag: false,
        reads: Reads::Classes(&[Class::HostPath]),
    },
    // Tells whether any directory of the host is there.
    Guard {
        operations: &["ContainerStart"],
        parameter: "checkpoint-dir",
        flag: false,
        reads: Reads::Classes(&[Class::HostPath]),
    },
    // The glob of old versions, over all names of an image.
    Guard { operations: &["ImageList"], parameter: "filter", flag: false, reads: Reads::Classes(&[Class::Identity]) },
    // Rows older or younger than a named one.
    Guard {
        operations: &["ContainerList"],
        parameter: "before",
        flag: false,
        reads: Reads::Classes(&[Class::Identity]),
    },
    Guard {
        operations: &["ContainerList"],
        parameter: "since",
        flag: false,
        reads: Reads::Classes(&[Class::Identity]),
    },
];

const NOTHING: Reads = Reads::Classes(&[]);
const COMMAND: Reads = Reads::Classes(&[Class::Command]);
const HOST: Reads = Reads::Classes(&[Class::Host]);
const IDENTITY: Reads = Reads::Classes(&[Class::Identity]);
const STATE: Reads = Reads::Classes(&[Class::State]);
const TOPOLOGY: Reads = Reads::Classes(&[Class::Topology]);

/// The keys that `filters` may have, by operation.
const FILTERS: &[(&str, &[(&str, Reads)])] = &[
    (
        "ContainerList",
        &[
            ("ancestor", IDENTITY),
            ("before", IDENTITY),
            // Podman: a regular expression over the first argument.
            ("command", COMMAND),
            ("exited", STATE),
            ("expose", TOPOLOGY),
            ("health", STATE),
            ("id", IDENTITY),
            ("is-task", STATE),
            ("isolation", HOST),
            ("label", Reads::Labels),
            ("label!", Reads::Labels),
            ("name", IDENTITY),
            ("network", TOPOLOGY),
            ("publish", TOPOLOGY),
            ("since", IDENTITY),
            ("status", STATE),
            // The name of a volume, but also the path of a bind mount on the host or in the container.
            ("volume", Reads::Classes(&[Class::HostPath, Class::Identity])),
        ],
    ),
    ("ContainerPrune", PRUNE),
    (
        "ImageList",
        &[
            ("before", IDENTITY),
            ("dangling", STATE),
            ("label", Reads::Labels),
            ("label!", Reads::Labels),
            ("reference", IDENTITY),
            ("since", IDENTITY),
            ("until", STATE),
        ],
    ),
    ("ImagePrune", PRUNE),
    ("ImageSearch", &[("is-automated", NOTHING), ("is-official", NOTHING), ("stars", NOTHING)]),
    (
        "VolumeList",
        &[
            ("dangling", STATE),
            ("driver", HOST),
            ("label", Reads::Labels),
            ("label!", Reads::Labels),
            ("name", IDENTITY),
        ],
    ),
    ("VolumePrune", PRUNE),
    (
        "NetworkList",
        &[
            ("dangling", STATE),
            ("driver", HOST),
            ("id", TOPOLOGY),
            ("label", Reads::Labels),
            ("label!", Reads::Labels),
            ("name", TOPOLOGY),
            ("scope", STATE),
            ("type", STATE),
        ],
    ),
    ("NetworkPrune", PRUNE),
    (
        "BuildPrune",
        &[
            ("description", COMMAND),
            ("id", IDENTITY),
            ("inuse", STATE),
            ("parent", IDENTITY),
            ("private", STATE),
            ("shared", STATE),
            ("type", STATE),
            ("until", STATE),
        ],
    ),
    (
        "ServiceList",
        &[("id", IDENTITY), ("label", Reads::Labels), ("mode", STATE), ("name", IDENTITY), ("runtime", STATE)],
    ),
    (
        "TaskList",
        &[
            ("_up-to-date", STATE),
            ("desired-state", STATE),
            ("id", IDENTITY),
            ("label", Reads::Labels),
            ("name", IDENTITY),
            ("node", IDENTITY),
            ("runtime", STATE),
            ("service", IDENTITY),
        ],
    ),
    (
        "NodeList",
        &[
            ("id", IDENTITY),
            ("label", Reads::Labels),
            ("membership", STATE),
            ("name", IDENTITY),
            ("node.label", Reads::Labels),
            ("role", STATE),
        ],
    ),
    ("SecretList", NAMED),
    ("ConfigList", NAMED),
    ("PluginList", &[("capability", IDENTITY), ("enable", STATE), ("enabled", STATE)]),
    (
        "SystemEvents",
        &[
            ("config", IDENTITY),
            ("container", IDENTITY),
            // The engine compares a part of the name of its host, and of those of nodes and networks.
            ("daemon", TOPOLOGY),
            // Compared from the start, if some words are in the list: a command line can be guessed letter by letter.
            ("event", Reads::Actions),
            ("image", IDENTITY),
            ("label", Reads::Labels),
            ("network", TOPOLOGY),
            ("node", TOPOLOGY),
            ("plugin", IDENTITY),
            ("scope", STATE),
            ("secret", IDENTITY),
            ("service", IDENTITY),
            ("type", STATE),
            ("volume", IDENTITY),
        ],
    ),
];

/// What prunes have in common.
const PRUNE: &[(&str, Reads)] =
    &[("all", STATE), ("dangling", STATE), ("label", Reads::Labels), ("label!", Reads::Labels), ("until", STATE)];
/// What secrets and configs have in common.
const NAMED: &[(&str, Reads)] = &[("id", IDENTITY), ("label", Reads::Labels), ("name", IDENTITY), ("names", IDENTITY)];

/// Labels of which it says nothing that a container has one, whatever its value: Compose asks for its own containers by
/// the presence of this one. The value is a digest of the whole service, and stays hidden.
const EVERYWHERE: &[&str] = &["com.docker.compose.config-hash"];

/// Whether the parameters of `route` read only what is shown: what `show` shows and no rule hides again. `ruled` are the
/// classes of the fields that rules hide in the rows of this operation. Where the response passes `untouched`, its filters
/// select from what is shown anyway.
///
/// # Errors
/// [`Denial::Oracle`] if one reads more, or is a filter that is not known; [`Denial::Filters`] if the filters cannot be
/// read.
pub(super) fn check(route: &Route, show: &Show, ruled: ClassSet, untouched: bool) -> Result<(), Denial> {
    let id = route.operation.id;
    let shown = Shown { show, ruled };
    for guard in PARAMETERS.iter().filter(|guard| guard.operations.contains(&id)) {
        let used = values(&route.query, guard.parameter).next().is_some();
        let harmless = guard.flag && !values(&route.query, guard.parameter).any(is_true);
        if used && !harmless && !shown.all(guard.reads, &[]) {
            return Err(Denial::Oracle);
        }
    }
    if untouched && id == "SystemEvents" {
        return Ok(());
    }
    let known = FILTERS.iter().find(|(operation, _)| *operation == id).map_or(&[][..], |(_, keys)| keys);
    for text in values(&route.query, "filters").filter(|text| !text.is_empty()) {
        for (key, values) in parse(text)? {
            let reads = known.iter().find(|(name, _)| *name == key).map(|(_, reads)| reads);
            if !reads.is_some_and(|reads| shown.all(*reads, &values)) {
                return Err(Denial::Oracle);
            }
        }
    }
    Ok(())
}

/// The values of every parameter called `name`, in any case: some engines do not mind the case.
fn values<'q>(query: &'q Query, name: &str) -> impl Iterator<Item = &'q str> {
    query.pairs().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The engine's reading of a flag.
fn is_true(value: &str) -> bool {
    !matches!(value.trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
}

/// What a client can see in the rows of one operation.
struct Shown<'p> {
    show: &'p Show,
    ruled: ClassSet,
}

impl Shown<'_> {
    /// Whether all that is read is shown.
    fn all(&self, reads: Reads, values: &[String]) -> bool {
        match reads {
            Reads::Classes(classes) => classes.iter().all(|class| self.whole(*class)),
            Reads::Unfiltered => false,
            Reads::Labels if self.ruled.contains(Class::FreeText) => false,
            Reads::Labels => {
                let listed = |value: &String| value.split('=').next().is_some_and(|key| self.show.labels.matches(key));
                // A guess that hits what is masked has its shape.
                let masked = |value: &String| {
                    self.show.mask && value.split_once('=').is_some_and(|(_, guess)| looks_like_credential(guess))
                };
                let harmless = |value: &String| EVERYWHERE.contains(&value.as_str()) || listed(value);
                !values.iter().any(masked) && (self.whole(Class::FreeText) || values.iter().all(harmless))
            }
            Reads::Actions => {
                let bare = |value: &String| without_command(value) == value;
                self.whole(Class::State) && (self.whole(Class::Command) || values.iter().all(bare))
            }
        }
    }

    /// Whether every field of a class is shown.
    fn whole(&self, class: Class) -> bool {
        self.show.classes.contains(class) && !self.ruled.contains(class)
    }
}

/// Reads `filters`: `{"key": ["value"]}`, or `{"key": {"value": true}}` of older clients.
///
/// A key or value that stands there twice is given twice, so that it does not matter which of them the engine takes.
fn parse(text: &str) -> Result<Vec<(String, Vec<String>)>, Denial> {
    if text.len() > FILTERS_LIMIT {
        return Err(Denial::Filters);
    }
    serde_json::from_str::<Filters>(text).map(|filters| filters.0).map_err(|_| Denial::Filters)
}

/// The keys of `filters` with their values.
struct Filters(Vec<(String, Vec<String>)>);

impl<'de> Deserialize<'de> for Filters {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Filters;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of filters")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Filters, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, Values(values))) = map.next_entry()? {
                    keys.push((key, values));
                }
                Ok(Filters(keys))
            }
        }
        from.deserialize_map(Keys)
    }
}

/// The values of one key.
struct Values(Vec<String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of values, or an object of values that are true")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Values, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = items.next_element()? {
                    values.push(value);
                }
                Ok(Values(values))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Values, A::Error> {
                let mut values = Vec::new();
                // The engine does not look at the booleans.
                while let Some((value, _)) = map.next_entry::<String, bool>()? {
                    values.push(value);
                }
                Ok(Values(values))
            }
        }
        from.deserialize_any(Either)
    }
}

/// Whether a table of this file is about the rows of an operation.
pub(super) fn concerns(operation: &Operation) -> bool {
    let filters = FILTERS.iter().any(|(id, _)| *id == operation.id);
    filters || PARAMETERS.iter().any(|guard| guard.operations.contains(&operation.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{OPERATIONS, operation};
    use crate::filter::Globs;
    use crate::route::find;

    /// What `show` with these classes says to `parameters` of an operation.
    fn said(id: &str, parameters: &[(&str, &str)], classes: &[Class], ruled: &[Class]) -> Result<(), Denial> {
        let operation = operation(id).unwrap();
        let path = operation.template.replace("{id}", "x").replace("{reference}", "x").replace("{checkpoint}", "y");
        let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let query: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        let target = format!("/v1.44{path}?{}", query.join("&"));
        let route = find(operation.method.as_str(), &target).unwrap().unwrap();
        assert_eq!(route.operation.id, id, "{target}");
        let show = Show {
            classes: classes.iter().copied().collect(),
            labels: Globs::from_iter(["app", "com.example.*"]),
            ..Show::default()
        };
        check(&route, &show, ruled.iter().copied().collect(), false)
    }

    /// `parameters` pass when exactly these classes are shown, and not when one of them is hidden.
    #[track_caller]
    fn check_needs(id: &str, parameters: &[(&str, &str)], needs: &[Class]) {
        assert_eq!(said(id, parameters, needs, &[]), Ok(()), "{id} {parameters:?} shown");
        for missing in needs {
            let others: Vec<Class> = Class::ALL.into_iter().filter(|class| class != missing).collect();
            assert_eq!(said(id, parameters, &others, &[]), Err(Denial::Oracle), "{id} {parameters:?} hides {missing}");
            assert_eq!(
                said(id, parameters, &Class::ALL, &[*missing]),
                Err(Denial::Oracle),
                "{id} {parameters:?}, {missing} hidden by a rule"
            );
        }
    }

    #[track_caller]
    fn check_filter(id: &str, filters: &str, expected: Result<(), Denial>) {
        let classes = [Class::Identity, Class::State, Class::Topology];
        assert_eq!(said(id, &[("filters", filters)], &classes, &[]), expected, "{id} {filters}");
    }

    #[test]
    fn every_filter_needs_the_classes_it_reads() {
        use Class::{Command, Host, HostPath, Identity, State, Topology};
        let rows: &[(&str, &str, &[Class])] = &[
            ("ContainerList", "ancestor before id name since", &[Identity]),
            ("ContainerList", "exited health is-task status", &[State]),
            ("ContainerList", "expose network publish", &[Topology]),
            ("ContainerList", "command", &[Command]),
            ("ContainerList", "isolation", &[Host]),
            ("ContainerList", "volume", &[HostPath, Identity]),
            ("ImageList", "before reference since", &[Identity]),
            ("ImageList", "dangling until", &[State]),
            ("VolumeList", "name", &[Identity]),
            ("VolumeList", "dangling", &[State]),
            ("VolumeList", "driver", &[Host]),
            ("NetworkList", "id name", &[Topology]),
            ("NetworkList", "dangling scope type", &[State]),
            ("NetworkList", "driver", &[Host]),
            ("ServiceList", "id name", &[Identity]),
            ("ServiceList", "mode runtime", &[State]),
            ("TaskList", "id name node service", &[Identity]),
            ("TaskList", "_up-to-date desired-state runtime", &[State]),
            ("NodeList", "id name", &[Identity]),
            ("NodeList", "membership role", &[State]),
            ("SecretList", "id name names", &[Identity]),
            ("ConfigList", "id name names", &[Identity]),
            ("PluginList", "capability", &[Identity]),
            ("PluginList", "enable enabled", &[State]),
            ("ContainerPrune", "all dangling until", &[State]),
            ("ImagePrune", "all dangling until", &[State]),
            ("VolumePrune", "all dangling until", &[State]),
            ("NetworkPrune", "all dangling until", &[State]),
            ("BuildPrune", "description", &[Command]),
            ("BuildPrune", "id parent", &[Identity]),
            ("BuildPrune", "inuse private shared type until", &[State]),
            ("ImageSearch", "is-automated is-official stars", &[]),
            ("SystemEvents", "config container image plugin secret service volume", &[Identity]),
            ("SystemEvents", "daemon network node", &[Topology]),
            ("SystemEvents", "event scope type", &[State]),
        ];
        for (id, keys, needs) in rows {
            for key in keys.split(' ') {
                check_needs(id, &[("filters", &format!("{{\"{key}\":[\"x\"]}}"))], needs);
                check_needs(id, &[("filters", &format!("{{\"{key}\":{{\"x\":true}}}}"))], needs);
            }
        }
        let tested = |id: &str, key: &str| {
            rows.iter().any(|(known, keys, _)| *known == id && keys.split(' ').any(|one| one == key))
        };
        for (id, keys) in FILTERS {
            for (key, reads) in *keys {
                assert!(*reads == Reads::Labels || tested(id, key), "{id} {key} has no row above");
            }
        }
    }

    #[test]
    fn a_label_that_is_masked_cannot_be_guessed() {
        let target = "/containers/json?filters={%22label%22:[%22app=http%3A%2F%2Fu%3Aguess%40db%22]}";
        let route = find("GET", target).unwrap().unwrap();
        for classes in [ClassSet::EMPTY, ClassSet::EMPTY.with(Class::FreeText)] {
            for (mask, expected) in [(true, Err(Denial::Oracle)), (false, Ok(()))] {
                let show = Show { classes, labels: Globs::from_iter(["app"]), mask, ..Show::default() };
                assert_eq!(check(&route, &show, ClassSet::EMPTY, false), expected, "{classes:?} {mask}");
            }
        }
    }

    #[test]
    fn labels_are_compared_by_the_keys_that_are_shown() {
        for id in [
            "ContainerList",
            "ImageList",
            "VolumeList",
            "NetworkList",
            "ServiceList",
            "TaskList",
            "NodeList",
            "SecretList",
            "ConfigList",
            "ContainerPrune",
            "ImagePrune",
            "VolumePrune",
            "NetworkPrune",
            "SystemEvents",
        ] {
            check_filter(id, r#"{"label":["app"]}"#, Ok(()));
            check_filter(id, r#"{"label":["app=x=y","com.example.a"]}"#, Ok(()));
            check_filter(id, r#"{"label":{"app=x":true}}"#, Ok(()));
            check_filter(id, r#"{"label":["app","com.docker.compose.config-hash"]}"#, Ok(()));
            check_filter(id, r#"{"label":["com.docker.compose.config-hash=a"]}"#, Err(Denial::Oracle));
            check_filter(id, r#"{"label":["com.docker.compose.config-hash="]}"#, Err(Denial::Oracle));
            check_filter(id, r#"{"label":["token"]}"#, Err(Denial::Oracle));
            check_filter(id, r#"{"label":["token=a"]}"#, Err(Denial::Oracle));
            check_filter(id, r#"{"label":["app","token=a"]}"#, Err(Denial::Oracle));
            check_filter(id, r#"{"label":{"token=a":false}}"#, Err(Denial::Oracle));
            check_filter(id, r#"{"label":["App"]}"#, Err(Denial::Oracle));
            check_filter(id, r#"{"label":[""]}"#, Err(Denial::Oracle));
            let token = [("filters", r#"{"label":["token=a"]}"#)];
            assert_eq!(said(id, &token, &[Class::FreeText], &[]), Ok(()), "{id}");
            assert_eq!(said(id, &token, &Class::ALL, &[Class::FreeText]), Err(Denial::Oracle), "{id}");
        }
        check_filter("ContainerList", r#"{"label!":["token"]}"#, Err(Denial::Oracle));
        check_filter("NodeList", r#"{"node.label":["token"]}"#, Err(Denial::Oracle));
        check_filter("NodeList", r#"{"node.label":["app=1"]}"#, Ok(()));
    }

    #[test]
    fn what_stands_there_twice_is_checked_twice() {
        check_filter("ContainerList", r#"{"label":["token"],"label":["app"]}"#, Err(Denial::Oracle));
        check_filter("ContainerList", r#"{"label":["app"],"label":["token"]}"#, Err(Denial::Oracle));
        check_filter("ContainerList", r#"{"name":["a"],"\u006cabel":["token"]}"#, Err(Denial::Oracle));
    }

    #[test]
    fn unknown_filters_are_denied_even_when_all_is_shown() {
        let unknown = [("filters", r#"{"environment":["x"]}"#)];
        for (id, _) in FILTERS {
            assert_eq!(said(id, &unknown, &Class::ALL, &[]), Err(Denial::Oracle), "{id}");
        }
    }

    #[test]
    fn filters_that_cannot_be_read_are_denied() {
        for text in [
            "x",
            "null",
            "[]",
            "1",
            r#"{"name":"a"}"#,
            r#"{"name":[1]}"#,
            r#"{"name":null}"#,
            r#"{"name":{"a":1}}"#,
            r#"{"name":["a"]} x"#,
            r#"{"name":[["a"]]}"#,
            r#"{"name":["a"],}"#,
        ] {
            check_filter("ContainerList", text, Err(Denial::Filters));
        }
        let long = format!("{{\"name\":[\"{}\"]}}", "a".repeat(FILTERS_LIMIT));
        assert!(parse(&long).is_err_and(|denial| denial == Denial::Filters));
        for text in ["", "{}", r#"{"name":[]}"#, r#"{"name":{}}"#] {
            check_filter("ContainerList", text, Ok(()));
        }
    }

    #[test]
    fn other_parameters_need_the_classes_they_read() {
        use Class::{Command, FreeText, HostPath, Identity, Secret};
        for value in ["aux", "axeww", ""] {
            check_needs("ContainerTop", &[("ps_args", value)], &[Secret, Command]);
        }
        check_needs("ContainerTop", &[], &[]);
        for (value, expected) in
            [("true", Err(Denial::Oracle)), ("1", Err(Denial::Oracle)), ("0", Ok(())), ("false", Ok(()))]
        {
            assert_eq!(said("ContainerTop", &[("stream", value)], &Class::ALL, &[]), expected, "stream={value}");
        }
        for id in ["ContainerLogs", "ServiceLogs", "TaskLogs"] {
            for value in ["1", "true", "off", "yes"] {
                check_needs(id, &[("details", value)], &[Secret, FreeText]);
            }
            for value in ["", "0", "false", " No ", "NONE"] {
                check_needs(id, &[("details", value)], &[]);
            }
            check_needs(id, &[("stdout", "1"), ("follow", "1")], &[]);
        }
        check_needs("ImageAttestations", &[("statement", "1")], &[Secret]);
        check_needs("ImageAttestations", &[("statement", "0")], &[]);
        check_needs("CheckpointList", &[("dir", "/etc")], &[HostPath]);
        check_needs("CheckpointDelete", &[("dir", "/etc")], &[HostPath]);
        check_needs("ContainerStart", &[("checkpoint-dir", "/etc")], &[HostPath]);
        check_needs("ImageList", &[("filter", "a*")], &[Identity]);
        check_needs("ContainerList", &[("before", "a")], &[Identity]);
        check_needs("ContainerList", &[("since", "a")], &[Identity]);
        check_needs("ContainerList", &[("all", "1"), ("limit", "1"), ("size", "1")], &[]);
        check_needs("NetworkInspect", &[("verbose", "1")], &[]);
    }

    #[test]
    fn the_events_that_are_asked_for_have_no_command_line() {
        use Class::{Command, State};
        for events in [r#"["exec_start"]"#, r#"["die","health_status: unhealthy"]"#, "[]", r#"{"start":true}"#] {
            check_filter("SystemEvents", &format!("{{\"event\":{events}}}"), Ok(()));
        }
        for events in [
            r#"["exec_start","exec_create: /bin/sh -c ech"]"#,
            r#"["exec_create:"]"#,
            r#"["exec_start\u003a a"]"#,
            r#"["health_status: h"]"#,
            r#"{"exec_start: a":false}"#,
        ] {
            let filters = format!("{{\"event\":{events}}}");
            check_filter("SystemEvents", &filters, Err(Denial::Oracle));
            assert_eq!(said("SystemEvents", &[("filters", &filters)], &[State, Command], &[]), Ok(()), "{events}");
            let ruled = said("SystemEvents", &[("filters", &filters)], &[State, Command], &[Command]);
            assert_eq!(ruled, Err(Denial::Oracle), "{events}");
        }
    }

    #[test]
    fn the_tables_know_every_operation_that_has_filters() {
        for operation in OPERATIONS.iter().filter(|one| one.query.iter().any(|parameter| parameter.name == "filters")) {
            assert!(concerns(operation), "{}", operation.id);
        }
        for guard in PARAMETERS {
            for id in guard.operations {
                let found = operation(id).unwrap_or_else(|| panic!("{id}"));
                assert!(found.query.iter().any(|parameter| parameter.name == guard.parameter), "{id}");
            }
        }
        for (id, _) in FILTERS {
            assert!(operation(id).is_some(), "{id}");
        }
    }
}
