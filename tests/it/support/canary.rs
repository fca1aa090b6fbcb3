//! The canaries: texts that were planted in the engines before they were recorded, each for a secret of some kind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use dockveil::schema::Class;

use super::fixture;

use crate::harness::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![exactly_the_canaries_that_a_text_contains_are_found];

/// One canary.
pub(crate) struct Canary {
    /// The text to look for, in lower case.
    pub(crate) token: String,
    /// The class of the field it was planted in.
    pub(crate) class: Class,
    /// Where it was planted.
    pub(crate) location: String,
}

/// The canaries of one engine.
struct Canaries {
    all: Vec<Canary>,
    /// The first bytes of all tokens. These few are looked for in a text in place of the many tokens.
    starts: BTreeSet<String>,
    /// The length of the longest token.
    longest: usize,
}

impl Canaries {
    fn read(engine: &str) -> Self {
        let text = std::fs::read_to_string(fixture::root().join(engine).join("canaries.tsv")).unwrap();
        let rows = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let all: Vec<Canary> = rows
            .map(|row| {
                let [token, class, location] = row.split('\t').collect::<Vec<_>>().try_into().unwrap();
                Canary {
                    token: token.to_ascii_lowercase(),
                    class: class.parse().unwrap(),
                    location: location.to_owned(),
                }
            })
            .collect();
        let starts = all.iter().map(|canary| canary.token[..4].to_owned()).collect();
        let longest = all.iter().map(|canary| canary.token.len()).max().unwrap_or_default();
        Self { all, starts, longest }
    }
}

fn of_engine(engine: &str) -> &'static Canaries {
    static ALL: LazyLock<BTreeMap<&str, Canaries>> =
        LazyLock::new(|| fixture::engines().iter().map(|engine| (engine.as_str(), Canaries::read(engine))).collect());
    &ALL[engine]
}

/// The canaries of an engine.
pub(crate) fn planted(engine: &str) -> &'static [Canary] {
    &of_engine(engine).all
}

/// The canaries of an engine that are in a text, in upper or lower case.
pub(crate) fn found(engine: &str, text: &str) -> Vec<&'static Canary> {
    let (canaries, text) = (of_engine(engine), text.to_ascii_lowercase());
    let places = canaries.starts.iter().flat_map(|start| text.match_indices(start.as_str()));
    // A sorted set of the bytes at each place: those that begin with a token follow where the token would be.
    let bytes = |at: usize| &text.as_bytes()[at..text.len().min(at + canaries.longest)];
    let candidates: BTreeSet<&[u8]> = places.map(|(at, _)| bytes(at)).collect();
    let is_found = |canary: &&Canary| {
        let token = canary.token.as_bytes();
        candidates.range(token..).next().is_some_and(|candidate| candidate.starts_with(token))
    };
    canaries.all.iter().filter(is_found).collect()
}

fn exactly_the_canaries_that_a_text_contains_are_found() {
    for engine in fixture::engines() {
        for recording in fixture::all().iter().filter(|fixture| fixture.engine == *engine) {
            let text = String::from_utf8_lossy(&recording.body).into_owned();
            let lower = text.to_lowercase();
            let contained = planted(engine).iter().filter(|canary| lower.contains(&canary.token));
            let tokens =
                |canaries: Vec<&Canary>| canaries.iter().map(|canary| canary.token.clone()).collect::<Vec<_>>();
            assert_eq!(tokens(found(engine, &text)), tokens(contained.collect()), "{}", recording.path);
        }
    }
}
