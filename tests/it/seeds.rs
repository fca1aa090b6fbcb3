//! The seeds of the fuzz targets: every one keeps the promise of its property.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use dockveil::properties::{ALL, Outcome, Property};

use crate::harness::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    names_that_say_nothing_are_refused,
    every_seed_keeps_its_promise,
    every_seed_has_a_name_that_says_what_it_contains,
    every_property_has_a_target_a_corpus_and_a_dictionary,
    the_targets_are_built_of_the_same_dependencies
];

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The entries of a folder by name; none if there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The seeds of a property: of its corpus, then its regressions.
fn seeds(property: &Property) -> Vec<PathBuf> {
    ["corpus", "regressions"].iter().flat_map(|kind| entries(&fuzz().join(kind).join(property.name))).collect()
}

/// What is wrong with the name of a seed, which is to say what the seed contains.
fn fault(name: &str) -> Option<&'static str> {
    const SAY_NOTHING: [&str; 10] =
        ["crash", "example", "found", "fuzz", "input", "misc", "seed", "slow", "test", "tmp"];
    let words: Vec<&str> = name.split('_').collect();
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_hash = |word: &&str| word.len() >= 8 && word.chars().all(|c| c.is_ascii_hexdigit());
    let is_word = |word: &&str| word.len() >= 3 && word.chars().all(|c| c.is_ascii_lowercase());
    if words.iter().any(|word| word.is_empty() || !word.chars().all(is_plain)) {
        Some("expected words of small letters and digits, with _ between them")
    } else if words.iter().any(is_hash) {
        Some("a hash says nothing")
    } else if words.iter().any(|word| SAY_NOTHING.contains(word)) {
        Some("that it is an input is known")
    } else if words.len() < 2 || !words.iter().any(is_word) {
        Some("expected two words or more")
    } else {
        None
    }
}

fn names_that_say_nothing_are_refused() {
    for good in ["double_encoded_dot", "two_members_of_one_name", "nested_129_deep", "http_0_9"] {
        assert_eq!(fault(good), None, "{good}");
    }
    for bad in [
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "crash_da39a3ee",
        "crash-1",
        "seed_one",
        "a",
        "1_2",
        "Dot",
        "two__words",
        "word",
    ] {
        assert!(fault(bad).is_some(), "{bad}");
    }
}

fn every_seed_keeps_its_promise() {
    let mut broken = Vec::new();
    for property in ALL {
        let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
        for path in seeds(property) {
            let input = std::fs::read(&path).unwrap();
            let outcome = match catch_unwind(|| (property.check)(&input)) {
                Ok(Outcome::Accepted) => "accepted",
                Ok(Outcome::Refused) => "refused",
                Ok(Outcome::Unusable) => "unusable",
                Err(_) => "broken",
            };
            if matches!(outcome, "unusable" | "broken") {
                broken.push(format!("{} is {outcome}", path.display()));
            }
            *outcomes.entry(outcome).or_default() += 1;
        }
        // A property that accepts or refuses every seed may well accept or refuse everything.
        for needed in ["accepted", "refused"] {
            if outcomes.get(needed).copied().unwrap_or_default() < 3 {
                broken.push(format!("{}: fewer than three seeds are {needed}: {outcomes:?}", property.name));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

fn every_seed_has_a_name_that_says_what_it_contains() {
    let mut wrong = Vec::new();
    for property in ALL {
        let seeds = seeds(property);
        assert!(seeds.len() >= 15, "{} has {} seeds", property.name, seeds.len());
        let mut known: BTreeMap<Vec<u8>, PathBuf> = BTreeMap::new();
        for path in seeds {
            let file = path.file_name().unwrap().to_str().unwrap();
            wrong.extend(fault(file).map(|fault| format!("{}: {fault}", path.display())));
            let content = std::fs::read(&path).unwrap();
            if content.len() > 4096 {
                wrong.push(format!("{}: longer than the mutations are", path.display()));
            }
            if let Some(same) = known.insert(content, path.clone()) {
                wrong.push(format!("{}: the same as {}", path.display(), same.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn every_property_has_a_target_a_corpus_and_a_dictionary() {
    let properties: BTreeSet<String> = ALL.iter().map(|property| property.name.to_owned()).collect();
    for folder in ["fuzz_targets", "corpus", "dictionaries"] {
        let found: BTreeSet<String> = entries(&fuzz().join(folder)).iter().map(|path| name(path)).collect();
        assert_eq!(found, properties, "{folder}");
    }
    for path in entries(&fuzz().join("regressions")) {
        assert!(properties.contains(&name(&path)), "{} is of no property", path.display());
    }
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for property in &properties {
        let target = std::fs::read_to_string(fuzz().join(format!("fuzz_targets/{property}.rs"))).unwrap();
        assert!(target.contains(&format!("target!(\"{property}\")")), "{target}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{property}.rs\"")), "{property} is not built");
    }
}

/// The packages of a lock file, each with its version.
fn locked(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in text.split("[[package]]").skip(1) {
        let value = |key: &str| package.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim_matches('"');
        found.entry(value("name = ")).or_default().insert(value("version = "));
    }
    found
}

fn the_targets_are_built_of_the_same_dependencies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ours = std::fs::read_to_string(root.join("Cargo.lock")).unwrap();
    let theirs = std::fs::read_to_string(root.join("fuzz/Cargo.lock")).unwrap();
    let (ours, theirs) = (locked(&ours), locked(&theirs));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let (_, needed) = manifest.split_once("[dependencies]").unwrap();
    let (needed, _) = needed.split_once("\n[").unwrap();
    let needed = needed.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
    let mut wrong: Vec<String> = needed.filter(|name| !theirs.contains_key(name)).map(str::to_owned).collect();
    for (name, versions) in theirs {
        // Our tests may need others, too.
        if ours.get(name).is_some_and(|known| !versions.is_subset(known)) {
            wrong.push(format!("{name} {versions:?}"));
        }
    }
    assert!(wrong.is_empty(), "cargo metadata --manifest-path fuzz/Cargo.toml >/dev/null, for {wrong:?}");
}
