//! The snapshots themselves: each has a test that looks at it, and none holds what its profile hides.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dockveil::schema::Class;

use crate::support::fixture;
use crate::support::generated;
use crate::support::snapshot::{built_in, file_name, folder};
use crate::{profiles, rules};

/// All snapshots.
fn files() -> BTreeSet<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["src", "tests"].into_iter().flat_map(|folder| generated::files(&root.join(folder)));
    files.filter(|path| path.to_str().unwrap().contains(".snap")).collect()
}

#[test]
fn every_snapshot_has_a_test_and_every_test_its_snapshots() {
    let claims = [("rules", rules::CLAIMS), ("profiles", profiles::CLAIMS)];
    let claimed: BTreeSet<PathBuf> = claims
        .iter()
        .flat_map(|(file, claims)| claims.iter().map(move |(test, fixtures)| (file, test, fixtures)))
        .flat_map(|(file, test, fixtures)| {
            fixtures.iter().map(move |fixture| folder().join(file_name(file, test, fixture)))
        })
        .collect();
    let (found, none) = (files(), Vec::<&PathBuf>::new());
    assert_eq!(found.difference(&claimed).collect::<Vec<_>>(), none, "snapshots without a test");
    assert_eq!(claimed.difference(&found).collect::<Vec<_>>(), none, "snapshots that are missing");
}

/// What the dashboard hides, in any engine: no rule that is shown here keeps more of it than the rule is for.
#[test]
fn no_snapshot_holds_a_canary_of_a_hidden_class() {
    let dashboard = built_in("dashboard");
    let mut hidden = BTreeSet::new();
    for engine in fixture::engines() {
        for canary in fixture::canaries(engine) {
            if !dashboard.show.classes.contains(canary.class.parse::<Class>().unwrap()) {
                hidden.insert(canary.token.to_lowercase());
            }
        }
    }
    assert!(hidden.len() > 100, "{} canaries", hidden.len());
    let remains = generated::files(&folder().join("remains"));
    for file in files().into_iter().chain(remains) {
        let text = std::fs::read_to_string(&file).unwrap().to_lowercase();
        let found: Vec<&String> = hidden.iter().filter(|canary| text.contains(*canary)).collect();
        assert!(found.is_empty(), "{}: {found:?}", file.display());
    }
}
