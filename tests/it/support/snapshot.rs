//! What a change of rules changes in recorded answers, one line each, and the snapshots that say so.

use std::path::{Path, PathBuf};

use dockveil::api::{OPERATIONS, Operation, Response};
use dockveil::command::diff::diff;
use dockveil::filter::Plan;
use dockveil::profile::{Profile, Profiles};
use serde_json::Value;

use super::fixture::{self, Fixture};

/// Tests of one file, each with the fixtures it looks at.
pub(crate) type Claims = &'static [(&'static str, &'static [&'static str])];

/// The key of digests in snapshots.
const HASH_KEY: [u8; 32] = [7; 32];

/// The folder of the snapshots.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots")
}

/// The end of a snapshot's name: `docker-28.5-v1.51__container_inspect`.
pub(crate) fn suffix(fixture: &str) -> String {
    let (version, file) = fixture.rsplit_once('/').unwrap();
    format!("{}__{}", version.replace('/', "-"), file.strip_suffix(".json").unwrap())
}

/// The file of a snapshot.
pub(crate) fn file_name(file: &str, test: &str, fixture: &str) -> String {
    format!("it__{file}__{test}@{}.snap", suffix(fixture))
}

/// Holds what `changed` says of each fixture against its snapshot.
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

/// The profile of a file.
pub(crate) fn profile(text: &str) -> Profile {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let profiles = Profiles::built_in_with(&[("case.yaml", text)], &catalogue).unwrap();
    profiles.get("case").unwrap().clone()
}

/// A profile of the program.
pub(crate) fn built_in(name: &str) -> Profile {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    Profiles::built_in(&catalogue).unwrap().get(name).unwrap().clone()
}

/// The operation that a fixture answers.
fn operation(fixture: &Fixture) -> &'static Operation {
    OPERATIONS.iter().find(|operation| fixture::snake(operation.id) == fixture.operation).unwrap()
}

/// What a profile makes of a fixture.
pub(crate) fn filtered(profile: &Profile, fixture: &Fixture) -> Value {
    let (catalogue, operation) = (dockveil::api::catalogue::built_in().unwrap(), operation(fixture));
    let plan = Plan::compile(&catalogue, operation.filtered_schema().unwrap(), &profile.show, &profile.rules).unwrap();
    let (plan, mut out) = (plan.with_hash_key(HASH_KEY), Vec::new());
    if matches!(operation.response, Response::Array(_)) {
        plan.apply_array(&fixture.body, &mut out).unwrap();
    } else {
        plan.apply(&fixture.body, &mut out).unwrap();
    }
    serde_json::from_slice(&out).unwrap()
}

/// What is different about a fixture filtered by one profile from what it is filtered by another.
pub(crate) fn changed(without: &Profile, with: &Profile, fixture: &Fixture) -> Vec<String> {
    diff(&filtered(without, fixture), &filtered(with, fixture))
}
