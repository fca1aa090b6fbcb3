//! The filter alone, without a network, beside simpler ways to do the same, in one run.
//!
//! ```text
//! cargo bench --bench filter [-- --runs N]
//! cargo bench --bench filter -- --apply masked|plain --rounds N
//! ```
//!
//! All figures are for lists of 100 (261 kB) and 1,000 containers (2.6 MB). Rows: `rules/…` is a plan of 34 rules,
//! `test/…` the same with a filter expression on every mount, `classes/…` the plan of a profile that shows three classes
//! and some labels. `ignored/…` is `serde_json` reading the text and dropping it: no way that refuses bad JSON with it is
//! faster. `tree/…` is a tree of values, edited at the same 34 paths and printed. `compile/…` is the slowest plan of all
//! schemas and built-in profiles, `load` reading every file in the program.
//!
//! `masked/…` is the built-in profile `dashboard` as it is, `plain/…` the same with `mask-values: false`. Their ratio is
//! the cost of masking. `as recorded` has nine of the labels that the profile lists, `29 labels` has all of them.
//!
//! The second form applies one of these two plans to 100 containers with 29 labels, and does nothing else. It is for
//! counting instructions: `valgrind --tool=callgrind` with two numbers of rounds, and the difference.

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

/// The labels that `dashboard` lists, with values as Compose, Swarm, images and dashboards write them.
const SHOWN_LABELS: [(&str, &str); 29] = [
    ("com.docker.compose.project", "shop"),
    ("com.docker.compose.service", "storefront"),
    ("com.docker.compose.container-number", "1"),
    ("com.docker.compose.oneoff", "False"),
    ("com.docker.compose.depends_on", "db:service_healthy:false,cache:service_started:true"),
    ("com.docker.compose.image", "sha256:45d64f1a8573aceddbc11e0015387e348f4b0cd5f8ca057b740786c42965240c"),
    ("com.docker.compose.network", "default"),
    ("com.docker.compose.volume", "data"),
    ("com.docker.compose.version", "2.32.4"),
    ("com.docker.stack.namespace", "shop"),
    ("com.docker.swarm.node.id", "q2lkmyn0adnivvzpcgyoj0ue6"),
    ("com.docker.swarm.service.id", "8jq1h8zdn1nqmkr6ytiwpsdxr"),
    ("com.docker.swarm.service.name", "shop_storefront"),
    ("com.docker.swarm.task.id", "0gqh0ux2t3kwxz2j3a4v5b6c7"),
    ("com.docker.swarm.task.name", "shop_storefront.1.0gqh0ux2t3kwxz2j3a4v5b6c7"),
    ("io.podman.compose.project", "shop"),
    ("io.podman.compose.service", "storefront"),
    ("org.opencontainers.image.created", "2026-06-30T21:14:08Z"),
    ("org.opencontainers.image.licenses", "Apache-2.0"),
    ("org.opencontainers.image.revision", "f567753e1b0c6c2a4f7d8e9a0b1c2d3e4f5a6b7c"),
    ("org.opencontainers.image.title", "storefront"),
    ("org.opencontainers.image.vendor", "Example Shop Ltd."),
    ("org.opencontainers.image.version", "3.14.1"),
    ("com.centurylinklabs.watchtower.enable", "true"),
    ("homepage.group", "Shop"),
    ("homepage.icon", "mdi-cart-outline"),
    ("homepage.name", "Storefront"),
    ("homepage.weight", "10"),
    ("traefik.enable", "true"),
];

/// The list of the figures with [`SHOWN_LABELS`] on every container, beside the labels it has.
fn labelled(count: usize) -> Vec<u8> {
    let mut list: Value = serde_json::from_slice(&documents::list(count)).unwrap();
    for element in list.as_array_mut().unwrap() {
        let labels = element["Labels"].as_object_mut().unwrap();
        labels.extend(SHOWN_LABELS.map(|(name, value)| (name.to_owned(), value.into())));
        // The padding of the recorded list is for its size only, and no label of it is shown.
        labels.remove("org.opencontainers.image.description");
    }
    serde_json::to_vec(&list).unwrap()
}

/// The plan of the built-in `dashboard`, as it is or without masking.
fn dashboard(is_masked: bool) -> Plan {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let profiles = Profiles::built_in(&catalogue).unwrap();
    let profile = profiles.get("dashboard").unwrap();
    assert!(profile.show.mask, "the built-in profile masks");
    let show = Show { mask: is_masked, ..profile.show.clone() };
    Plan::compile(&catalogue, "ContainerSummary", &show, &profile.rules).unwrap()
}

/// What masking costs in the built-in `dashboard`.
fn masking(figures: &mut Figures, runs: usize) {
    let (masked, plain) = (dashboard(true), dashboard(false));
    for (what, document) in [("as recorded", documents::list(100)), ("29 labels", labelled(100))] {
        let mut out = Vec::with_capacity(document.len());
        let mut rows: [Vec<f64>; 2] = Default::default();
        for _ in 0..runs {
            // In turn, so that both see the same machine.
            let (start, mut best) = (Instant::now(), [Duration::MAX; 2]);
            while start.elapsed() < 2 * LONG {
                for (best, plan) in best.iter_mut().zip([&masked, &plain]) {
                    let round = Instant::now();
                    out.clear();
                    plan.apply_array(black_box(&document), &mut out).unwrap();
                    black_box(&out);
                    *best = round.elapsed().min(*best);
                }
            }
            rows.iter_mut()
                .zip(best)
                .for_each(|(row, best)| row.push(document.len() as f64 / best.as_secs_f64() / 1e6));
        }
        let [with, without] = &rows;
        figures.add(format!("masked/100, {what}"), "MB/s", with.clone(), Goal::None);
        figures.add(format!("plain/100, {what}"), "MB/s", without.clone(), Goal::None);
        figures.add_ratio(format!("time of masked/100 ÷ plain, {what}"), without, with, Goal::AtMost(1.10, 1.05));
    }
}

/// Applies one plan to the list with 29 labels, `rounds` times.
fn apply(which: &str, rounds: usize) -> Result<(), String> {
    let plan = match which {
        "masked" => dashboard(true),
        "plain" => dashboard(false),
        other => return Err(format!("found {other:?}, expected masked or plain")),
    };
    let (document, mut out) = (labelled(100), Vec::new());
    for _ in 0..rounds {
        out.clear();
        plan.apply_array(black_box(&document), &mut out).unwrap();
        black_box(&out);
    }
    Ok(())
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

fn main() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().map_err(|_| format!("found {text:?}, expected a number"));
    match arguments[..] {
        [] => measure(5),
        ["--runs", runs] => measure(number(runs)?),
        ["--apply", which, "--rounds", rounds] => apply(which, number(rounds)?),
        _ => Err("expected --runs N, or --apply masked|plain --rounds N".to_owned()),
    }
}

/// Measures everything.
fn measure(runs: usize) -> Result<(), String> {
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
    masking(&mut figures, runs);
    start(&mut figures, runs);
    println!("{}", figures.table());
    Ok(())
}
