//! The filter alone, without a network, beside simpler ways to do the same, in one run.
//!
//! ```text
//! cargo bench --bench filter [-- --runs N]
//! cargo bench --bench filter -- --apply dashboard|plain|matched|all --rounds N
//! ```
//!
//! All figures are for lists of 100 (371 kB) and 1,000 containers (3.7 MB), each with all 29 labels that `dashboard` shows.
//!
//! | row | what it is |
//! |---|---|
//! | `dashboard/…` | the built-in profile `dashboard` as it is |
//! | `plain/…` | the same with `mask-values: false`: the ratio is the cost of masking |
//! | `matched/…` | `dashboard` with a `match()` rule on every mount: the ratio is the cost of the rule |
//! | `all/…` | a profile with `show: all` |
//! | `classes/…` | a profile that shows three classes and three labels |
//! | `rules/…`, `test/…` | a plan of 34 rules; the same with a filter expression on every mount |
//! | `scan and copy/…` | [`scan_and_copy`]: no way that looks at each byte by itself is faster |
//! | `vectors/…` | counts structural bytes many at a time, and copies all: the speed of memory |
//! | `ignored/…` | `serde_json` reads the text and drops it |
//! | `tree/…` | a tree of values, edited at the same 34 paths as `rules`, and printed |
//! | `compile/…`, `load` | the slowest plan of all schemas and built-in profiles; reading every file in the program |
//!
//! The second form applies one of the first four plans to 100 containers, and does nothing else. It is for counting instructions:
//! `valgrind --tool=callgrind` with two numbers of rounds, and the difference. The bench does that itself if valgrind is there.

#![expect(clippy::unwrap_used, reason = "a bench stops at the first surprise")]
#![expect(clippy::indexing_slicing, reason = "a bench stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "a bench is there to print")]

#[expect(dead_code, reason = "one event and one inspected container are for the bench of exchanges")]
#[path = "support/documents.rs"]
mod documents;
#[path = "support/figures.rs"]
mod figures;
#[path = "support/valgrind.rs"]
mod valgrind;

use std::hint::black_box;
use std::time::{Duration, Instant};

use dockveil::api::lists::LABELS;
use dockveil::filter::{Action, NamesShown, Plan, Rule, Show};
use dockveil::profile::Profiles;
use dockveil::schema::{Class, ClassSet};
use dockveil::yaml::Location;
use figures::{Figures, Goal, machine};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// How long each measurement takes at least.
const LONG: Duration = Duration::from_millis(300);

/// What is blanked: names from the element down; `*` is every member or element.
const BLANKED: [&str; 24] = [
    "Command",
    "Ports.*.IP",
    "Labels.com.docker.compose.project",
    "Labels.com.docker.compose.config-hash",
    "Labels.com.docker.compose.project.config_files",
    "Labels.com.docker.compose.project.environment_file",
    "Labels.com.docker.compose.project.working_dir",
    "Labels.homepage.href",
    "Labels.homepage.widget.key",
    "Labels.secret",
    "Labels.traefik.http.middlewares.auth.basicauth.users",
    "Labels.traefik.http.routers.web.rule",
    "Mounts.*.Source",
    "Mounts.*.Destination",
    "Mounts.*.Mode",
    "Mounts.*.Propagation",
    "NetworkSettings.Networks.*.Gateway",
    "NetworkSettings.Networks.*.IPAddress",
    "NetworkSettings.Networks.*.IPv6Gateway",
    "NetworkSettings.Networks.*.GlobalIPv6Address",
    "NetworkSettings.Networks.*.MacAddress",
    "ImageManifestDescriptor.digest",
    "ImageManifestDescriptor.annotations.*",
    "ImageManifestDescriptor.platform.os.version",
];
/// What is removed.
const REMOVED: [&str; 10] = [
    "HostConfig.Annotations.*",
    "Labels.org.opencontainers.image.description",
    "Labels.homepage.description",
    "Labels.dev.dozzle.group",
    "Mounts.*.Driver",
    "NetworkSettings.Networks.*.DriverOpts",
    "NetworkSettings.Networks.*.DNSNames",
    "NetworkSettings.Networks.*.EndpointID",
    "SizeRw",
    "SizeRootFs",
];

/// The steps of a path. Names of labels have dots: after `Labels` there is one step.
fn steps(path: &str) -> Vec<&str> {
    match path.strip_prefix("Labels.") {
        Some(label) => vec!["Labels", label],
        None => path.split('.').collect(),
    }
}

/// The same as a rule.
fn rule(path: &str, action: Action) -> Rule {
    let step = |step: &str| if step == "*" { "[*]".to_owned() } else { format!("['{step}']") };
    let selector: String = steps(path).into_iter().map(step).collect();
    let selector = format!("${selector}").parse().unwrap();
    Rule { location: Location::file("bench"), on: "ContainerSummary".to_owned(), selector, action }
}

fn rules() -> Vec<Rule> {
    let blanked = BLANKED.iter().map(|path| rule(path, Action::Blank));
    let removed = REMOVED.iter().map(|path| rule(path, Action::Remove));
    blanked.chain(removed).collect()
}

/// The plan of a profile like those for dashboards.
fn classes() -> Plan {
    let shown: ClassSet = [Class::Identity, Class::State, Class::Topology].into_iter().collect();
    let labels = ["com.docker.compose.project", "com.docker.compose.service", "traefik.enable"];
    let names = NamesShown::default().with(LABELS, labels);
    let show = Show { classes: shown, names, ..Show::default() };
    Plan::compile(&dockveil::api::catalogue::built_in().unwrap(), "ContainerSummary", &show, &[]).unwrap()
}

/// Profiles beside the built-in one, a file each: without masking, with a pattern that is compared with every mount and hides none,
/// and one that shows everything.
const PROFILES: [(&str, &str); 3] = [
    ("bench-plain.yaml", "profile: bench-plain\nextends: dashboard\nmask-values: false\n"),
    (
        "bench-matched.yaml",
        "\
profile: bench-matched
extends: dashboard
rules:
  - {on: ContainerSummary, remove: \"$.Mounts[?match(@.Source, '/no/such/.*')]\"}
",
    ),
    ("bench-all.yaml", "profile: bench-all\nallow: [ContainerList]\nshow: all\n"),
];

/// What `--apply` and the rows call the profiles of which plans are measured as users have them.
const APPLIED: [(&str, &str); 4] =
    [("dashboard", "dashboard"), ("plain", "bench-plain"), ("matched", "bench-matched"), ("all", "bench-all")];

/// The plans of [`APPLIED`] for elements of a list.
fn applied() -> [Plan; 4] {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let profiles = Profiles::built_in_with(&PROFILES, &catalogue).unwrap();
    APPLIED.map(|(_, name)| {
        let profile = profiles.get(name).unwrap();
        assert!(name != "dashboard" || profile.show.mask, "the built-in profile masks");
        Plan::compile(&catalogue, "ContainerSummary", &profile.show, &profile.rules).unwrap()
    })
}

/// Applies `edit` to everything at the end of the steps.
fn each(value: &mut Value, steps: &[&str], removes: bool) {
    let Some((step, below)) = steps.split_first() else {
        match value {
            Value::Null => {}
            Value::Bool(found) => *found = false,
            Value::Number(found) => *found = 0.into(),
            Value::String(found) => found.clear(),
            Value::Array(found) => found.clear(),
            Value::Object(found) => found.clear(),
        }
        return;
    };
    let last = removes && below.is_empty();
    match (value, *step) {
        (Value::Object(members), "*") if last => members.clear(),
        (Value::Object(members), "*") => members.values_mut().for_each(|value| each(value, below, removes)),
        (Value::Array(elements), "*") => elements.iter_mut().for_each(|value| each(value, below, removes)),
        (Value::Object(members), name) if last => {
            members.remove(name);
        }
        (Value::Object(members), name) => {
            if let Some(value) = members.get_mut(name) {
                each(value, below, removes);
            }
        }
        _ => {}
    }
}

/// Parses, edits, prints.
fn tree(document: &[u8], blanked: &[Vec<&str>], removed: &[Vec<&str>]) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(document).unwrap();
    for element in value.as_array_mut().unwrap() {
        blanked.iter().for_each(|steps| each(element, steps, false));
        removed.iter().for_each(|steps| each(element, steps, true));
    }
    serde_json::to_vec(&value).unwrap()
}

/// Copies a text and looks at each of its bytes on the way: up to the next quote or backslash, which it finds byte by byte, and
/// whether that ends a string. Whoever reads JSON without knowing more than its strings does that much.
fn scan_and_copy(document: &[u8], out: &mut Vec<u8>) -> bool {
    let (mut rest, mut is_string) = (document, false);
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) {
        let is_quote = rest[at] == b'"';
        is_string ^= is_quote;
        let (piece, behind) = rest.split_at((at + if is_quote { 1 } else { 2 }).min(rest.len()));
        out.extend_from_slice(piece);
        rest = behind;
    }
    out.extend_from_slice(rest);
    is_string
}

/// Counts the bytes that have a meaning in JSON, by a table, which compilers do many at a time; and copies all bytes at once.
fn vectors(document: &[u8], out: &mut Vec<u8>) -> usize {
    let meant: [u8; 256] = std::array::from_fn(|byte| u8::from(b"\"\\{}[],:".contains(&(byte as u8))));
    out.extend_from_slice(document);
    document.iter().map(|byte| usize::from(meant[usize::from(*byte)])).sum()
}

/// Megabytes per second of each of the works, by the best of the rounds. They take turns, so that all see the same machine.
fn speeds<const N: usize>(bytes: usize, works: &mut [&mut dyn FnMut(); N]) -> [f64; N] {
    let (start, mut best) = (Instant::now(), [Duration::MAX; N]);
    while start.elapsed() < LONG * N as u32 {
        for (best, work) in best.iter_mut().zip(&mut *works) {
            let round = Instant::now();
            work();
            *best = round.elapsed().min(*best);
        }
    }
    best.map(|best| bytes as f64 / best.as_secs_f64() / 1e6)
}

/// How many milliseconds `work` takes.
fn milliseconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_secs_f64() * 1e3
}

/// What a start does before the first document.
fn start(figures: &mut Figures, runs: usize) {
    let load = || {
        let catalogue = dockveil::api::catalogue::built_in().unwrap();
        let profiles = Profiles::built_in(&catalogue).unwrap();
        (catalogue, profiles)
    };
    let (catalogue, profiles) = load();
    let slowest = |_| {
        let plans = profiles.iter().flat_map(|profile| catalogue.schemas().map(move |schema| (profile, schema)));
        let times = plans.map(|(profile, schema)| {
            milliseconds(|| Plan::compile(&catalogue, schema.name(), &profile.show, &profile.rules).unwrap())
        });
        times.fold(0.0, f64::max)
    };
    figures.add("compile/slowest plan", "ms", (0..runs).map(slowest).collect(), Goal::AtMost(5.0, 5.0));
    figures.add("load", "ms", (0..runs).map(|_| milliseconds(load)).collect(), Goal::AtMost(50.0, 50.0));
}

/// Applies a plan to the list of 100, `rounds` times.
fn apply(which: &str, rounds: usize) -> Result<(), String> {
    let at = APPLIED.iter().position(|(name, _)| *name == which);
    let at = at.ok_or_else(|| format!("found {which:?}, expected dashboard, plain, matched or all"))?;
    let (plan, document, mut out) = (&applied()[at], documents::list(100), Vec::new());
    for _ in 0..rounds {
        out.clear();
        plan.apply_array(black_box(&document), &mut out).unwrap();
        black_box(&out);
    }
    Ok(())
}

/// Instructions of each plan for a byte of the list of 100: the difference of two runs of this program.
fn instructions(figures: &mut Figures) {
    if let Some(program) = valgrind::missing() {
        return println!("instructions: NOT COUNTED, there is no {program}");
    }
    let counts = std::env::temp_dir().join(format!("dockveil-filter-{}", std::process::id()));
    let count = |which: &str, rounds: u64| {
        let mut command = valgrind::counting(&std::env::current_exe().unwrap(), &counts, 0);
        assert!(command.args(["--apply", which, "--rounds", &rounds.to_string()]).status().unwrap().success());
        valgrind::counted(&counts) as f64
    };
    for (which, _) in APPLIED {
        // The walk, without masks and rules, is what the goal is for.
        let goal = if which == "plain" { Goal::AtMost(8.0, 5.0) } else { Goal::None };
        let each = (count(which, 11) - count(which, 1)) / 10.0 / documents::list(100).len() as f64;
        figures.add(format!("{which}/100 instructions"), "1/byte", vec![each], goal);
    }
    std::fs::remove_file(counts).unwrap_or_default();
}

fn main() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().map_err(|_| format!("found {text:?}, expected a number"));
    match arguments[..] {
        [] => measure(5),
        ["--runs", runs] => measure(number(runs)?),
        ["--apply", which, "--rounds", rounds] => apply(which, number(rounds)?),
        _ => Err("expected --runs N, or --apply PROFILE --rounds N".to_owned()),
    }
}

/// Measures everything.
fn measure(runs: usize) -> Result<(), String> {
    println!("{}", machine());
    let mut figures = Figures::default();
    for count in [100, 1_000] {
        profiles(&mut figures, runs, count);
        rules_and_classes(&mut figures, runs, count);
    }
    instructions(&mut figures);
    start(&mut figures, runs);
    println!("{}\n{}", figures.table(), figures.goals());
    Ok(())
}

/// What users have, beside a scan and copy of the same bytes.
fn profiles(figures: &mut Figures, runs: usize, count: usize) {
    let ([dashboard, plain, matched, all], document) = (applied(), documents::list(count));
    // Each writes to a buffer of its own, which has the size already.
    let mut buffers: [Vec<u8>; 6] = std::array::from_fn(|_| Vec::with_capacity(document.len()));
    let mut rows: [Vec<f64>; 6] = Default::default();
    for _ in 0..runs {
        let [first, second, third, fourth, fifth, sixth] = &mut buffers;
        let apply = |plan: &Plan, out: &mut Vec<u8>| {
            out.clear();
            plan.apply_array(black_box(&document), out).unwrap();
        };
        let found = speeds(
            document.len(),
            &mut [
                &mut || apply(&dashboard, first),
                &mut || apply(&plain, second),
                &mut || apply(&matched, third),
                &mut || apply(&all, fourth),
                &mut || {
                    fifth.clear();
                    black_box(scan_and_copy(black_box(&document), fifth));
                },
                &mut || {
                    sixth.clear();
                    black_box(vectors(black_box(&document), sixth));
                },
            ],
        );
        rows.iter_mut().zip(found).for_each(|(row, found)| row.push(found));
    }
    assert!(buffers[4] == document && buffers[5] == document, "a copy is the same");
    let names = ["dashboard", "plain", "matched", "all", "scan and copy", "vectors"];
    for (name, row) in names.iter().zip(&rows) {
        figures.add(format!("{name}/{count}"), "MB/s", row.clone(), Goal::None);
    }
    let [dashboard, plain, matched, all, scanned, counted] = &rows;
    let goal = if count == 1_000 { Goal::AtLeast(0.5, 0.8) } else { Goal::None };
    figures.add_ratio(format!("dashboard/{count} ÷ scan and copy"), dashboard, scanned, goal);
    figures.add_ratio(format!("dashboard/{count} ÷ vectors"), dashboard, counted, Goal::None);
    figures.add_ratio(format!("all/{count} ÷ scan and copy"), all, scanned, Goal::None);
    figures.add_ratio(format!("masking/{count}, time ÷ plain"), plain, dashboard, Goal::AtMost(1.10, 1.03));
    figures.add_ratio(format!("match()/{count}, time ÷ without"), dashboard, matched, Goal::AtMost(1.5, 1.2));
}

/// Plans of rules and of classes, beside simpler ways to do the same.
fn rules_and_classes(figures: &mut Figures, runs: usize, count: usize) {
    let rules = rules();
    let plan = Plan::compile_rules(&rules).unwrap();
    let asked = Rule { selector: "$.Mounts[?@.Type=='bind']".parse().unwrap(), ..rule("Mounts", Action::Remove) };
    let tested = Plan::compile_rules(&[rules, vec![asked]].concat()).unwrap();
    let classes = classes();
    let blanked: Vec<_> = BLANKED.iter().map(|path| steps(path)).collect();
    let removed: Vec<_> = REMOVED.iter().map(|path| steps(path)).collect();
    let document = documents::list(count);
    let mut out = Vec::with_capacity(document.len());
    plan.apply_array(&document, &mut out).unwrap();
    let expected: Value = serde_json::from_slice(&tree(&document, &blanked, &removed)).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected, "both do the same work");
    let (mut second, mut third) = (out.clone(), out.clone());
    let apply = |plan: &Plan, out: &mut Vec<u8>| {
        out.clear();
        plan.apply_array(black_box(&document), out).unwrap();
    };
    let mut rows: [Vec<f64>; 5] = Default::default();
    for _ in 0..runs {
        let found = speeds(
            document.len(),
            &mut [
                &mut || apply(&plan, &mut out),
                &mut || apply(&tested, &mut second),
                &mut || apply(&classes, &mut third),
                &mut || {
                    let mut reader = serde_json::Deserializer::from_slice(black_box(&document));
                    black_box(IgnoredAny::deserialize(&mut reader).unwrap());
                },
                &mut || drop(black_box(tree(black_box(&document), &blanked, &removed))),
            ],
        );
        rows.iter_mut().zip(found).for_each(|(row, found)| row.push(found));
    }
    let [ruled, tested, classed, ignored, tree] = &rows;
    let enough = Goal::AtLeast(600.0, 1_200.0);
    figures.add(format!("rules/{count}"), "MB/s", ruled.clone(), enough);
    figures.add(format!("classes/{count}"), "MB/s", classed.clone(), enough);
    figures.add(format!("test/{count}"), "MB/s", tested.clone(), Goal::None);
    figures.add(format!("ignored/{count}"), "MB/s", ignored.clone(), Goal::None);
    figures.add(format!("tree/{count}"), "MB/s", tree.clone(), Goal::None);
    figures.add_ratio(format!("rules/{count} ÷ ignored"), ruled, ignored, Goal::None);
    figures.add_ratio(format!("classes/{count} ÷ ignored"), classed, ignored, Goal::None);
    figures.add_ratio(format!("rules/{count} ÷ tree"), ruled, tree, Goal::AtLeast(5.0, 8.0));
    figures.add_ratio(format!("classes/{count} ÷ tree"), classed, tree, Goal::AtLeast(5.0, 8.0));
}
