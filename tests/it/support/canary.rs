//! The canaries: texts that were planted in the engines before they were recorded, each for a secret of some kind.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use dockveil::schema::Class;

use super::fixture;

/// How many bytes of a token are looked for first.
const START: usize = 4;

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
    /// Their indices, by the start of the token. Few starts are looked for in a text in place of many tokens.
    by_start: BTreeMap<String, Vec<usize>>,
}

impl Canaries {
    fn read(engine: &str) -> Self {
        let text = std::fs::read_to_string(fixture::root().join(engine).join("canaries.tsv")).unwrap();
        let rows = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let all: Vec<Canary> = rows
            .map(|row| {
                let [token, class, location] = row.split('\t').collect::<Vec<_>>().try_into().unwrap();
                Canary { token: token.to_lowercase(), class: class.parse().unwrap(), location: location.to_owned() }
            })
            .collect();
        let mut by_start = BTreeMap::<String, Vec<usize>>::new();
        for (index, canary) in all.iter().enumerate() {
            by_start.entry(canary.token[..START].to_owned()).or_default().push(index);
        }
        Self { all, by_start }
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
    let (canaries, text) = (of_engine(engine), text.to_lowercase());
    let mut is_found = vec![false; canaries.all.len()];
    for (start, indices) in &canaries.by_start {
        for (at, _) in text.match_indices(start.as_str()) {
            for index in indices {
                is_found[*index] |= text[at..].starts_with(&canaries.all[*index].token);
            }
        }
    }
    canaries.all.iter().zip(is_found).filter_map(|(canary, is_found)| is_found.then_some(canary)).collect()
}

#[test]
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
