//! No test of a suite with this runner can be forgotten.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![every_test_is_in_a_list];

/// Attributes that no file of a suite has.
const REFUSED: [&str; 5] = ["#[test]", "#[should_panic", "#[ignore", "#[allow(dead_code", "#![allow(dead_code"];

/// The folders of the suites: those whose `main.rs` includes the runner.
fn suites() -> Vec<PathBuf> {
    let folders = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path());
    folders.filter(|folder| read(&folder.join("main.rs")).contains("support/harness.rs")).collect()
}

/// The Rust files in a folder and below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    let all = fs::read_dir(folder).unwrap().flat_map(|entry| below(entry.unwrap().path()));
    all.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

/// The text of a file; empty if there is none.
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The compiler refuses a function that no list names, because it is dead code. One with `#[test]` it removes before it looks.
/// The other attributes of Rust's own runner have no effect, so that a test with one would not mean what it says.
fn every_test_is_in_a_list() {
    let suites = suites();
    assert!(suites.len() > 1, "{suites:?}");
    for suite in suites {
        assert!(read(&suite.join("main.rs")).contains("\n#![deny(dead_code)]\n"), "{}", suite.display());
        for file in files(&suite) {
            for (number, line) in (1..).zip(read(&file).lines()) {
                let line = line.trim();
                let refused = REFUSED.iter().any(|attribute| line.starts_with(attribute));
                assert!(!refused, "{}:{number}: {}", file.display(), line);
            }
        }
    }
}
