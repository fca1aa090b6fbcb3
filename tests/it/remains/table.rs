//! A table of fields, each with the recordings that have it, and how it is written and read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crate::harness::{Test, tests};
use crate::support::fixture;

pub(crate) const TESTS: &[Test] = tests![
    every_set_of_recordings_is_read_back,
    a_set_of_recordings_is_written_in_few_words,
    differences_lead_from_the_base_to_the_table
];

/// Everything recorded from one engine in one version of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Recording {
    /// The engine, as `docker-28.5`.
    pub(crate) engine: &'static str,
    /// The minor version of the API.
    pub(crate) version: u16,
}

/// A set of recordings.
pub(crate) type Recordings = BTreeSet<Recording>;

/// Fields, each with the recordings that have it.
pub(crate) type Table = BTreeMap<String, Recordings>;

/// All recordings.
pub(crate) fn every_recording() -> &'static Recordings {
    static EVERY: LazyLock<Recordings> = LazyLock::new(|| {
        let fixtures = fixture::all().iter();
        fixtures.map(|fixture| Recording { engine: &fixture.engine, version: fixture.version }).collect()
    });
    &EVERY
}

/// One release of a product: `28.5` of `docker`.
struct Release {
    number: &'static str,
    recordings: Vec<Recording>,
}

impl Release {
    /// The part of its recordings that is in `recordings`.
    fn within(&self, recordings: &Recordings) -> Vec<Recording> {
        self.recordings.iter().filter(|recording| recordings.contains(recording)).copied().collect()
    }
}

/// The releases of each product, oldest first.
fn products() -> &'static BTreeMap<&'static str, Vec<Release>> {
    static PRODUCTS: LazyLock<BTreeMap<&str, Vec<Release>>> = LazyLock::new(|| {
        let mut found = BTreeMap::<&str, Vec<Release>>::new();
        for engine in fixture::engines() {
            let (product, number) = engine.split_once('-').unwrap();
            let of_engine = every_recording().iter().filter(|recording| recording.engine == engine);
            found.entry(product).or_default().push(Release { number, recordings: of_engine.copied().collect() });
        }
        let order =
            |release: &Release| release.number.split('.').map(|part| part.parse().unwrap()).collect::<Vec<u32>>();
        found.values_mut().for_each(|releases| releases.sort_by_key(order));
        found
    });
    &PRODUCTS
}

/// Lists the items that are chosen. Neighbours in `all` are written as the first and the last: `28.5-29`.
fn ranges<T>(all: &[T], is_chosen: impl Fn(&T) -> bool, name: impl Fn(&T) -> String) -> Vec<String> {
    let runs = all.chunk_by(|one, next| is_chosen(one) == is_chosen(next)).filter(|run| is_chosen(&run[0]));
    runs.map(|run| match run {
        [first, .., last] => format!("{}-{}", name(first), name(last)),
        single => name(&single[0]),
    })
    .collect()
}

/// The items of a range that [`ranges`] has written.
fn range<'t, T>(all: &'t [T], text: &str, name: impl Fn(&T) -> String) -> &'t [T] {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let position =
        |wanted: &str| all.iter().position(|item| name(item) == wanted).unwrap_or_else(|| panic!("{wanted}?"));
    &all[position(first)..=position(last)]
}

fn release_name(release: &Release) -> String {
    release.number.to_owned()
}

fn version_name(recording: &Recording) -> String {
    format!("1.{}", recording.version)
}

/// Writes a set of recordings: products, releases that are in it as a whole, and the API versions of the others.
fn write_recordings(recordings: &Recordings) -> String {
    if recordings.is_empty() {
        return "none".to_owned();
    }
    if recordings == every_recording() {
        return "all".to_owned();
    }
    let mut parts = Vec::new();
    for (product, releases) in products() {
        let is_whole = |release: &Release| release.within(recordings) == release.recordings;
        if releases.iter().all(is_whole) {
            parts.push((*product).to_owned());
            continue;
        }
        parts.extend(ranges(releases, is_whole, release_name).iter().map(|range| format!("{product} {range}")));
        for release in releases.iter().filter(|release| !is_whole(release)) {
            let versions = ranges(&release.recordings, |recording| recordings.contains(recording), version_name);
            if !versions.is_empty() {
                parts.push(format!("{product} {} ({})", release.number, versions.join(" ")));
            }
        }
    }
    parts.join(", ")
}

/// Reads a set of recordings.
fn read_recordings(text: &str) -> Recordings {
    match text {
        "none" => Recordings::new(),
        "all" => every_recording().clone(),
        parts => parts.split(", ").flat_map(read_part).collect(),
    }
}

/// Reads a product, a range of its releases, or some versions of one release.
fn read_part(text: &str) -> Vec<Recording> {
    let (engines, versions) = match text.split_once(" (") {
        Some((engines, versions)) => (engines, Some(versions.strip_suffix(')').unwrap())),
        None => (text, None),
    };
    let (product, releases) = match engines.split_once(' ') {
        Some((product, releases)) => (product, Some(releases)),
        None => (engines, None),
    };
    let all = &products()[product];
    let releases = releases.map_or(&all[..], |text| range(all, text, release_name));
    match versions {
        None => releases.iter().flat_map(|release| release.recordings.clone()).collect(),
        Some(versions) => {
            let recordings = &releases[0].recordings;
            versions.split(' ').flat_map(|text| range(recordings, text, version_name)).copied().collect()
        }
    }
}

/// Writes a table, a line for each field.
pub(crate) fn write(table: &Table) -> String {
    table.iter().map(|(field, recordings)| format!("{} | {field}\n", write_recordings(recordings))).collect()
}

/// Reads a table that [`write`] has written.
pub(crate) fn read(text: &str) -> Table {
    let lines = text.lines().map(|line| line.split_once(" | ").unwrap_or_else(|| panic!("no field in {line:?}")));
    lines.map(|(recordings, field)| (field.to_owned(), read_recordings(recordings))).collect()
}

/// The fields of `table` that are not in `base` or differ there. Those that are only in `base` have no recordings.
pub(crate) fn differences(base: &Table, table: &Table) -> Table {
    let fields: BTreeSet<&String> = base.keys().chain(table.keys()).collect();
    let differing = fields.into_iter().filter(|field| base.get(*field) != table.get(*field));
    differing.map(|field| (field.clone(), table.get(field).cloned().unwrap_or_default())).collect()
}

/// The table that has these differences from `base`.
pub(crate) fn changed(mut base: Table, differences: Table) -> Table {
    base.extend(differences);
    base.retain(|_, recordings| !recordings.is_empty());
    base
}

fn every_set_of_recordings_is_read_back() {
    let every = every_recording();
    let mut state: u64 = 42;
    for size in 0..=4 * every.len() {
        // From few to many of them, drawn by a fixed sequence.
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % (4 * every.len()) < size
        };
        for _ in 0..20 {
            let drawn: Recordings = every.iter().filter(|_| draw()).copied().collect();
            let text = write_recordings(&drawn);
            assert_eq!(read_recordings(&text), drawn, "{text}");
        }
    }
}

fn a_set_of_recordings_is_written_in_few_words() {
    for text in [
        "all",
        "none",
        "docker",
        "docker 29, podman",
        "docker 20.10-28.5, docker 29 (1.40-1.47), podman 5.8",
        "docker 20.10 (1.24 1.41), docker 29 (1.40-1.47 1.55), podman",
    ] {
        assert_eq!(write_recordings(&read_recordings(text)), text);
    }
}

fn differences_lead_from_the_base_to_the_table() {
    let [base, table] =
        ["all | $.A\ndocker | $.B\nall | $.C\n", "all | $.A\npodman | $.B\ndocker 29 | $.D\n"].map(read);
    let differences = differences(&base, &table);
    assert_eq!(write(&differences), "podman | $.B\nnone | $.C\ndocker 29 | $.D\n");
    assert_eq!(changed(base, differences), table);
}
