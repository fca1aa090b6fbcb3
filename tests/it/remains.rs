//! What reaches the clients of each built-in profile: the fields that still hold a value after the recordings have been filtered.
//! A dashboard without names, states and ports would be safe and useless.
//!
//! `tests/it/snapshots/remains/<profile>/<schema>.txt` lists these fields, one a line, each with the engines and API versions
//! whose recordings leave it: `docker 20.10-28.5, docker 29 (1.40-1.47), podman | $.Image`. A file with the line
//! `like dashboard` lists only what differs from the file of that profile, and `none` stands for a field that only that one has.
//!
//! `DOCKVEIL_GENERATE=1 cargo test --test it remains::` writes the files.

pub(crate) mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use dockveil::api::operation;
use dockveil::filter::Plan;
use dockveil::profile::Profile;
use serde_json::Value;

use self::table::{Recordings, Table, every_recording};
use crate::harness::{Test, tests};
use crate::support::built_in::{catalogue, is_for_one_client, plan, profiles};
use crate::support::fixture::{self, Fixture};
use crate::support::generated;
use crate::support::leaves::{Leaf, leaves};

pub(crate) const TESTS: &[Test] =
    tests![what_remains_is_what_the_files_say, a_dashboard_still_gets_names_states_images_health_ports_and_labels];

/// The folder of the files, below the package.
const FOLDER: &str = "tests/it/snapshots/remains";

/// The profile whose files are written whole. So are those of other profiles for schemas that this one does not allow.
const FIRST: &str = "dashboard";

/// A table for each profile and schema.
type Remains = BTreeMap<(&'static str, &'static str), Table>;

/// The recordings that a file stands for: its own, and if it is of the newest version of its engine, those of the older
/// versions that have no file of its name. The folder of an older version has only what differs from the newest one.
fn stands_for(fixture: &Fixture) -> Recordings {
    let of_engine = every_recording().iter().filter(|recording| recording.engine == fixture.engine);
    let newest = of_engine.clone().map(|recording| recording.version).max();
    let has_its_own = |version: u16| {
        let path = format!("{}/v1.{version}/{}", fixture.engine, fixture.file_name());
        fixture::all().iter().any(|other| other.path == path)
    };
    let stands = of_engine.filter(|recording| {
        recording.version == fixture.version || Some(fixture.version) == newest && !has_its_own(recording.version)
    });
    stands.copied().collect()
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

/// The fields that hold a value after a plan has been applied to a recording.
fn remaining(plan: &Plan, fixture: &Fixture) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for document in fixture.documents() {
        let mut out = Vec::new();
        plan.apply(document.to_string().as_bytes(), &mut out).unwrap();
        let left: Value = serde_json::from_slice(&out).unwrap();
        let mut sent: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for leaf in leaves(catalogue(), fixture.schema(), document) {
            sent.entry(leaf.from_root).or_default().push(leaf.value);
        }
        let left = leaves(catalogue(), fixture.schema(), &left);
        let is_sent = |leaf: &&Leaf| sent.get(&leaf.from_root).is_some_and(|sent| holds_a_value(leaf, sent));
        lines.extend(left.iter().filter(is_sent).map(line));
    }
    lines
}

/// Whether a leaf holds a value of the engine. A zero that replaces something else stands for what is hidden.
fn holds_a_value(leaf: &Leaf, sent: &[Value]) -> bool {
    let is_zero = leaf.value == 0 || leaf.value == false || leaf.value == "0001-01-01T00:00:00Z";
    leaf.value != "" && (!is_zero || sent.iter().all(|sent| *sent == leaf.value))
}

/// The built-in profiles that are not for one client. `dashboard-live` filters documents as `dashboard` does.
fn general_profiles() -> impl Iterator<Item = &'static Profile> {
    profiles().iter().filter(|profile| !is_for_one_client(profile) && profile.name != "dashboard-live")
}

fn remains() -> &'static Remains {
    static REMAINS: LazyLock<Remains> = LazyLock::new(|| {
        let mut found = Remains::new();
        for profile in general_profiles() {
            let schemas: BTreeSet<&str> = profile.allow.keys().filter_map(|id| operation(id)?.schema()).collect();
            for fixture in fixture::all().iter().filter(|fixture| schemas.contains(fixture.schema())) {
                let table = found.entry((&profile.name, fixture.schema())).or_default();
                let recordings = stands_for(fixture);
                for line in remaining(&plan(&profile.name, fixture.schema()), fixture) {
                    table.entry(line).or_default().extend(&recordings);
                }
            }
        }
        found
    });
    &REMAINS
}

/// The profile whose table of `schema` is written whole: the others are differences from it.
fn base(remains: &Remains, schema: &str) -> &'static str {
    let having = || remains.keys().filter(|(_, of)| *of == schema).map(|(profile, _)| *profile);
    having().find(|profile| *profile == FIRST).or_else(|| having().next()).unwrap()
}

/// The files, by their paths in the folder.
fn written(remains: &Remains) -> BTreeMap<String, String> {
    let files = remains.iter().map(|((profile, schema), table)| {
        let base = base(remains, schema);
        let about = format!(
            "# Fields of {schema} that reach clients of the profile {profile}, and from which engines. See tests/it/remains.rs.\n"
        );
        let lines = if base == *profile {
            table::write(table)
        } else {
            let differences = table::differences(&remains[&(base, *schema)], table);
            format!("like {base}\n{}", table::write(&differences))
        };
        (format!("{profile}/{schema}.txt"), about + &lines)
    });
    files.collect()
}

/// The table of one profile and schema, from the text of its file and of the file that it is like.
fn read(profile: &str, schema: &str) -> Table {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER).join(profile).join(format!("{schema}.txt"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let (_about, lines) = text.split_once('\n').unwrap();
    match lines.strip_prefix("like ").map(|rest| rest.split_once('\n').unwrap()) {
        Some((base, differences)) => table::changed(read(base, schema), table::read(differences)),
        None => table::read(lines),
    }
}

/// The files are up to date, there are no others, and nothing is lost in writing them.
fn what_remains_is_what_the_files_say() {
    generated::check_folder(FOLDER, &written(remains()));
    assert!(remains().len() > 50, "{} tables", remains().len());
    for ((profile, schema), table) in remains() {
        assert_eq!(read(profile, schema), *table, "{profile} {schema}");
    }
}

/// Kept apart from the files, which a hasty reviewer accepts.
fn a_dashboard_still_gets_names_states_images_health_ports_and_labels() {
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
            let table = &remains()[&(profile, schema)];
            for path in paths.split(' ') {
                let found = table.get(path).cloned().unwrap_or_default();
                let missing: Vec<_> = every_recording().difference(&found).collect();
                assert!(missing.is_empty(), "{profile} {schema}: no {path} from {missing:?}");
            }
        }
    }
}
