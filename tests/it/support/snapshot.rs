//! Snapshots of what a change of rules changes in recorded answers, a line for each change.

use std::path::{Path, PathBuf};

use dockveil::command::diff::diff;
use dockveil::filter::Plan;
use dockveil::profile::{Profile, Profiles};
use serde_json::Value;

use super::built_in::catalogue;
use super::fixture::{self, Fixture};

/// The tests of one file that have snapshots, each with its fixtures. There is one snapshot for each.
pub(crate) type Snapshots = &'static [(&'static str, &'static [&'static str])];

/// The key of digests in snapshots.
const HASH_KEY: [u8; 32] = [7; 32];

/// The folder of the snapshots.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots")
}

/// The end of a snapshot's name: `docker-28.5-v1.51__container_inspect`.
fn suffix(fixture: &str) -> String {
    let (version, file) = fixture.rsplit_once('/').unwrap();
    format!("{}__{}", version.replace('/', "-"), file.strip_suffix(".json").unwrap())
}

/// The file of a snapshot.
pub(crate) fn file_name(file: &str, test: &str, fixture: &str) -> String {
    format!("it__{file}__{test}@{}.snap", suffix(fixture))
}

/// Compares what `changed` says of each fixture with its snapshot.
#[track_caller]
pub(crate) fn check(file: &str, test: &str, fixtures: &[&str], changed: impl Fn(&Fixture) -> String) {
    for path in fixtures {
        let mut settings = insta::Settings::new();
        settings.set_snapshot_path(folder());
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.set_snapshot_suffix(suffix(path));
        let lines = changed(fixture::named(path));
        settings.bind(|| insta::assert_snapshot!(format!("it__{file}__{test}"), lines));
    }
}

/// The profile `case` in a text. It may extend the built-in ones.
pub(crate) fn profile(text: &str) -> Profile {
    let profiles = Profiles::built_in_with(&[("case.yaml", text)], catalogue()).unwrap();
    profiles.get("case").unwrap().clone()
}

/// A fixture as a profile leaves it.
fn filtered(profile: &Profile, fixture: &Fixture) -> Value {
    let plan = Plan::compile(catalogue(), fixture.schema(), &profile.show, &profile.rules).unwrap();
    serde_json::from_slice(&fixture.filtered(&plan.with_hash_key(HASH_KEY))).unwrap()
}

/// The differences between a fixture as one profile leaves it and as another does.
pub(crate) fn changed(without: &Profile, with: &Profile, fixture: &Fixture) -> Vec<String> {
    diff(&filtered(without, fixture), &filtered(with, fixture))
}
