//! Query parameters that read what the response does not show.
//!
//! A filter that matches hides or shows a row, so a client can guess a hidden value bit by bit and watch the row come
//! and go; other parameters make the engine put more into a response than its schema has. The tables below say what
//! each of them reads. A parameter is let through when the profile shows that, and a filter that no table knows is
//! never let through.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Denial;
use crate::filter::Show;
use crate::route::{Query, Route};
use crate::schema::Class;

/// How long the text of `filters` may be, in bytes.
const FILTERS_LIMIT: usize = 64 * 1024;

/// What a parameter, or one key of `filters`, reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// Fields of these classes; all of them must be shown. None: nothing that is ever hidden.
    Classes(&'static [Class]),
    /// The labels that its values name, each `key` or `key=value`.
    Labels,
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
        operations: &["ContainerCheckpointList", "ContainerCheckpointDelete", "CheckpointList", "CheckpointDelete"],
        parameter: "dir",
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
];

/// What prunes have in common.
const PRUNE: &[(&str, Reads)] =
    &[("all", STATE), ("dangling", STATE), ("label", Reads::Labels), ("label!", Reads::Labels), ("until", STATE)];
/// What secrets and configs have in common.
const NAMED: &[(&str, Reads)] = &[("id", IDENTITY), ("label", Reads::Labels), ("name", IDENTITY), ("names", IDENTITY)];

/// Operations whose filters read nothing that is hidden: what they select is relayed untouched.
const UNTOUCHED: &[&str] = &["SystemEvents"];

/// Whether the parameters of `route` read only what `show` shows.
///
/// # Errors
/// [`Denial::Oracle`] if one reads more, or is a filter that is not known; [`Denial::Filters`] if the filters cannot be
/// read.
pub(super) fn check(route: &Route, show: &Show) -> Result<(), Denial> {
    let id = route.operation.id;
    for guard in PARAMETERS.iter().filter(|guard| guard.operations.contains(&id)) {
        let used = values(&route.query, guard.parameter).next().is_some();
        let harmless = guard.flag && !values(&route.query, guard.parameter).any(is_true);
        if used && !harmless && !guard.reads.only_shown(&[], show) {
            return Err(Denial::Oracle);
        }
    }
    if UNTOUCHED.contains(&id) {
        return Ok(());
    }
    let known = FILTERS.iter().find(|(operation, _)| *operation == id).map_or(&[][..], |(_, keys)| keys);
    for text in values(&route.query, "filters").filter(|text| !text.is_empty()) {
        for (key, values) in parse(text)? {
            let reads = known.iter().find(|(name, _)| *name == key).map(|(_, reads)| reads);
            if !reads.is_some_and(|reads| reads.only_shown(&values, show)) {
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

impl Reads {
    /// Whether all that is read is shown.
    fn only_shown(self, values: &[String], show: &Show) -> bool {
        match self {
            Self::Classes(classes) => classes.iter().all(|class| show.classes.contains(*class)),
            Self::Labels => {
                let key = |value: &str| value.split('=').next().unwrap_or_default().to_owned();
                show.classes.contains(Class::FreeText) || values.iter().all(|value| show.labels.matches(&key(value)))
            }
        }
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
