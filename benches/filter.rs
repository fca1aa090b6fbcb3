//! The filter alone, without a network, beside simpler ways to do the same, in one run.
//!
//! ```text
//! cargo bench --bench filter [-- --runs N]
//! ```
//!
//! All figures are for lists of 100 (261 kB) and 1,000 containers (2.6 MB). Rows: `rules/…` is a plan of 34 rules,
//! `test/…` the same with a filter expression on every mount, `classes/…` the plan of a profile that shows three classes
//! and some labels. `ignored/…` is `serde_json` reading the text and dropping it: no way that refuses bad JSON with it is
//! faster. `tree/…` is a tree of values, edited at the same 34 paths and printed. `compile/…` is the slowest plan of all
//! schemas and built-in profiles, `load` reading every file in the program.

#![expect(clippy::unwrap_used, reason = "a bench stops at the first surprise")]
#![expect(clippy::indexing_slicing, reason = "a bench stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "a bench is there to print")]

#[expect(dead_code, reason = "one event and one inspected container are for the bench of exchanges")]
#[path = "support/documents.rs"]
mod documents;
#[path = "support/figures.rs"]
mod figures;

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

/// Megabytes per second of `work`, by the best of the rounds that fit into [`LONG`].
fn speed(bytes: usize, mut work: impl FnMut()) -> f64 {
    let (start, mut best) = (Instant::now(), Duration::MAX);
    while start.elapsed() < LONG {
        let round = Instant::now();
        work();
        best = best.min(round.elapsed());
    }
    bytes as f64 / best.as_secs_f64() / 1e6
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

/// The number of runs in the arguments.
fn runs() -> Result<usize, String> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    match (arguments.next().as_deref(), arguments.next().map(|text| text.parse())) {
        (None, _) => Ok(5),
        (Some("--runs"), Some(Ok(runs))) => Ok(runs),
        (Some(other), _) => Err(format!("found {other:?}, expected --runs N")),
    }
}

fn main() -> Result<(), String> {
    let runs = runs()?;
    println!("{}", machine());
    let rules = rules();
    let plan = Plan::compile_rules(&rules).unwrap();
    let asked = Rule { selector: "$.Mounts[?@.Type=='bind']".parse().unwrap(), ..rule("Mounts", Action::Remove) };
    let tested = Plan::compile_rules(&[rules.clone(), vec![asked]].concat()).unwrap();
    let classes = classes();
    let blanked: Vec<_> = BLANKED.iter().map(|path| steps(path)).collect();
    let removed: Vec<_> = REMOVED.iter().map(|path| steps(path)).collect();
    let mut figures = Figures::default();
    for count in [100, 1_000] {
        let document = documents::list(count);
        let mut out = Vec::with_capacity(document.len());
        plan.apply_array(&document, &mut out).unwrap();
        let expected: Value = serde_json::from_slice(&tree(&document, &blanked, &removed)).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected, "both do the same work");
        let mut rows: [Vec<f64>; 5] = Default::default();
        for _ in 0..runs {
            let mut apply = |plan: &Plan| {
                speed(document.len(), || {
                    out.clear();
                    plan.apply_array(black_box(&document), &mut out).unwrap();
                    black_box(&out);
                })
            };
            let found = [
                apply(&plan),
                apply(&tested),
                apply(&classes),
                speed(document.len(), || {
                    let mut reader = serde_json::Deserializer::from_slice(black_box(&document));
                    black_box(IgnoredAny::deserialize(&mut reader).unwrap());
                }),
                speed(document.len(), || drop(black_box(tree(black_box(&document), &blanked, &removed)))),
            ];
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
    start(&mut figures, runs);
    println!("{}", figures.table());
    Ok(())
}
