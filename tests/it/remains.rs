//! What is left of the recordings for the clients of each built-in profile: the fields with something in them, by schema and API
//! version. A dashboard without names, states and ports would be safe and of no use.
//!
//! One snapshot for each profile and schema, and for each set of API versions that leaves the same; its name ends with them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::LazyLock;

use dockveil::api::operation;
use dockveil::filter::Plan;
use dockveil::profile::{Profile, Profiles};
use dockveil::schema::Catalogue;
use serde_json::Value;

use crate::support::fixture::{self, Fixture};
use crate::support::leaves::{Leaf, leaves};
use crate::support::snapshot::folder;

/// The minor version of a recording.
fn minor(fixture: &Fixture) -> u16 {
    let version = fixture.path.split('/').nth(1).unwrap();
    version.strip_prefix("v1.").unwrap().parse().unwrap()
}

/// The recordings that stand for each API version, by their paths. A folder of an older version has only what differs from the newest one.
fn by_version() -> BTreeMap<u16, Vec<String>> {
    let name = |fixture: &Fixture| fixture.path.rsplit('/').next().unwrap().to_owned();
    let mut found: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for engine in fixture::engines() {
        let all: Vec<Fixture> = fixture::all().into_iter().filter(|fixture| fixture.engine == engine).collect();
        let versions: BTreeSet<u16> = all.iter().map(minor).collect();
        let newest = *versions.last().unwrap();
        for version in versions {
            let own: Vec<&Fixture> = all.iter().filter(|fixture| minor(fixture) == version).collect();
            let names: BTreeSet<String> = own.iter().map(|fixture| name(fixture)).collect();
            let same = all.iter().filter(|fixture| minor(fixture) == newest && !names.contains(&name(fixture)));
            let paths = own.into_iter().chain(same).map(|fixture| fixture.path.clone());
            found.entry(version).or_default().extend(paths);
        }
    }
    found
}

/// How a leaf is listed: its path, and of labels and variables, which are shown by name, the name.
fn line(leaf: &Leaf) -> String {
    let text = leaf.value.as_str().unwrap_or_default();
    match leaf.from_root.strip_suffix("Labels.*~") {
        Some(before) => format!("{before}Labels['{text}']"),
        None if leaf.from_root.ends_with(".Env[*]") => {
            format!("{} {}=", leaf.from_root, text.split('=').next().unwrap_or_default())
        }
        None => leaf.from_root.clone(),
    }
}

/// The fields that have something in them after a plan has been applied to a recording.
fn remaining(catalogue: &Catalogue, plan: &Plan, fixture: &Fixture) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for document in fixture.documents() {
        let mut out = Vec::new();
        plan.apply(document.to_string().as_bytes(), &mut out).unwrap();
        let left: Value = serde_json::from_slice(&out).unwrap();
        let mut sent: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for leaf in leaves(catalogue, fixture.schema(), &document) {
            sent.entry(leaf.from_root).or_default().push(leaf.value);
        }
        let left = leaves(catalogue, fixture.schema(), &left);
        lines.extend(left.iter().filter(|leaf| says_something(leaf, &sent[&leaf.from_root])).map(line));
    }
    lines
}

/// Whether a leaf holds what the engine said; a zero in the place of something else stands for what is hidden.
fn says_something(leaf: &Leaf, sent: &[Value]) -> bool {
    let is_zero = leaf.value == 0 || leaf.value == false || leaf.value == "0001-01-01T00:00:00Z";
    leaf.value != "" && (!is_zero || sent.iter().all(|sent| *sent == leaf.value))
}

/// The profiles of the program that are for no client by name; the live dashboard filters documents as `dashboard` does.
fn profiles(catalogue: &Catalogue) -> Vec<Profile> {
    let profiles = Profiles::built_in(catalogue).unwrap();
    let wanted = |profile: &&Profile| !profile.location.file.contains("client/") && profile.name != "dashboard-live";
    profiles.iter().filter(wanted).cloned().collect()
}

/// The sets of fields that remain, for each profile and schema, each with the API versions that leave it.
type Remains = BTreeMap<(String, &'static str), BTreeMap<BTreeSet<String>, Vec<u16>>>;

fn remains() -> &'static Remains {
    static REMAINS: LazyLock<Remains> = LazyLock::new(|| {
        let catalogue = dockveil::api::catalogue::built_in().unwrap();
        let versions = by_version();
        let fixtures = fixture::all();
        let mut found = Remains::new();
        for profile in profiles(&catalogue) {
            let schemas: BTreeSet<&str> = profile.allow.keys().filter_map(|id| operation(id)?.schema()).collect();
            for schema in schemas {
                let plan = Plan::compile(&catalogue, schema, &profile.show, &profile.rules).unwrap();
                let of_schema = fixtures.iter().filter(|fixture| fixture.schema() == schema);
                let lines: BTreeMap<&str, BTreeSet<String>> =
                    of_schema.map(|fixture| (fixture.path.as_str(), remaining(&catalogue, &plan, fixture))).collect();
                if lines.is_empty() {
                    // Events are recorded as streams.
                    continue;
                }
                let groups = found.entry((profile.name.clone(), schema)).or_default();
                for (version, fixtures) in &versions {
                    let lines = fixtures.iter().filter_map(|path| lines.get(path.as_str())).flatten().cloned();
                    groups.entry(lines.collect()).or_default().push(*version);
                }
            }
        }
        found
    });
    &REMAINS
}

/// The end of a snapshot's name: `v1.24_v1.35`.
fn suffix(versions: &[u16]) -> String {
    versions.iter().map(|version| format!("v1.{version}")).collect::<Vec<_>>().join("_")
}

/// The snapshots of this file, which `snapshots` holds against the folder.
pub(crate) fn files() -> BTreeSet<PathBuf> {
    let names = remains().iter().flat_map(|((profile, schema), groups)| {
        groups.values().map(move |versions| format!("it__remains__{profile}__{schema}@{}.snap", suffix(versions)))
    });
    names.map(|name| folder().join("remains").join(name)).collect()
}

#[test]
fn what_remains_is_what_a_client_needs() {
    for ((profile, schema), groups) in remains() {
        for (lines, versions) in groups {
            let mut settings = insta::Settings::new();
            settings.set_snapshot_path(folder().join("remains"));
            settings.set_prepend_module_to_snapshot(false);
            settings.set_omit_expression(true);
            settings.set_snapshot_suffix(suffix(versions));
            let text = lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
            settings.bind(|| insta::assert_snapshot!(format!("it__remains__{profile}__{schema}"), text));
        }
    }
}

/// Held apart from the snapshots, which a hasty reviewer accepts.
#[test]
fn a_dashboard_still_gets_names_states_images_health_ports_and_labels() {
    let remains = remains();
    let needed = [
        ("ContainerSummary", "$.Names[*] $.State $.Status $.Image $.ImageID $.Ports[*].PublicPort $.Created"),
        ("ContainerSummary", "$.Labels['com.docker.compose.project']"),
        (
            "ContainerInspect",
            "$.Name $.State.Status $.State.Health.Status $.Config.Image $.RestartCount $.State.StartedAt",
        ),
        ("ContainerInspect", "$.NetworkSettings.Networks.*.IPAddress $.HostConfig.RestartPolicy.Name"),
        ("ImageSummary", "$.RepoTags[*] $.Size $.Id"),
        ("NetworkSummary", "$.Name $.Id"),
        ("SystemVersion", "$.ApiVersion $.Version"),
        ("SystemInfo", "$.Containers $.NCPU $.MemTotal"),
    ];
    for profile in ["dashboard", "monitoring", "read-only"] {
        for (schema, paths) in needed {
            for (lines, versions) in &remains[&(profile.to_owned(), schema)] {
                for path in paths.split(' ') {
                    assert!(lines.contains(path), "{profile} {schema} {versions:?}: no {path}");
                }
            }
        }
    }
}
