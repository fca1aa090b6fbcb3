//! The snapshot files: each belongs to a test, none is missing, and none holds a secret.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::harness::{Test, tests};
use crate::support::built_in::profile;
use crate::support::snapshot::{file_name, folder};
use crate::support::{canary, fixture, generated};
use crate::{profiles, rules};

pub(crate) const TESTS: &[Test] =
    tests![every_snapshot_has_a_test_and_every_test_its_snapshots, no_snapshot_holds_a_canary_of_a_hidden_class];

/// All snapshots.
fn files() -> BTreeSet<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["src", "tests"].into_iter().flat_map(|folder| generated::files(&root.join(folder)));
    files.filter(|path| path.to_str().unwrap().contains(".snap")).collect()
}

fn every_snapshot_has_a_test_and_every_test_its_snapshots() {
    let mut expected = BTreeSet::new();
    for (file, tests) in [("rules", rules::SNAPSHOTS), ("profiles", profiles::SNAPSHOTS)] {
        for (test, fixtures) in tests {
            expected.extend(fixtures.iter().map(|fixture| folder().join(file_name(file, test, fixture))));
        }
    }
    let (found, none) = (files(), Vec::<&PathBuf>::new());
    assert_eq!(found.difference(&expected).collect::<Vec<_>>(), none, "snapshots without a test");
    assert_eq!(expected.difference(&found).collect::<Vec<_>>(), none, "missing snapshots");
}

/// Rules that show more than the dashboard does show no canary of a class that it hides.
fn no_snapshot_holds_a_canary_of_a_hidden_class() {
    let shown = profile("dashboard").show.classes;
    let hidden = |engine| canary::planted(engine).iter().filter(|canary| !shown.contains(canary.class)).count();
    for file in files().into_iter().chain(generated::files(&folder().join("remains"))) {
        let text = std::fs::read_to_string(&file).unwrap();
        for engine in fixture::engines() {
            assert!(hidden(engine) > 20, "{engine} has {} canaries of hidden classes", hidden(engine));
            let found = canary::found(engine, &text).into_iter().filter(|canary| !shown.contains(canary.class));
            let found: Vec<&String> = found.map(|canary| &canary.token).collect();
            assert!(found.is_empty(), "{}: {found:?}", file.display());
        }
    }
}
