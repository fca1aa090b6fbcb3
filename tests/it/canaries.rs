//! Every recorded answer of every engine, through the whole program with every built-in profile. No canary of a hidden
//! class comes out, in body, header or error, except in fields that a profile shows by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use dockveil::api::{self, Operation, lists};
use dockveil::filter::{Action, Plan, Treatment};
use dockveil::policy::Policy;
use dockveil::profile::{Profile, Profiles};
use dockveil::route;
use dockveil::schema::Class;
use serde_json::Value;

use crate::harness::{Test, tests};
use crate::support::built_in::{catalogue, is_for_one_client, policy, profiles};
use crate::support::canary::{self, Canary};
use crate::support::client::{ID, body, status, target_of};
use crate::support::fixture::{self, Fixture};
use crate::support::generated;
use crate::support::leaves::leaves;
use crate::support::stage::Stage;

pub(crate) const TESTS: &[Test] = tests![
    no_canary_of_a_hidden_class_comes_out,
    the_canaries_are_in_the_recordings,
    a_profile_that_shows_everything_lets_canaries_out,
    every_field_of_every_recording_is_in_the_catalogue
];

/// The header fields of the engine's answers. There is a canary in each but the three by which clients negotiate.
const FIELDS: &str = "Api-Version: 1.51\r\nServer: Docker/canary-server (canary-os)\r\nOstype: linux\r\n\
                      Builder-Version: canary-builder\r\nDocker-Experimental: false\r\nSwarm: canary-swarm\r\n\
                      X-Docker-Container-Path-Stat: Y2FuYXJ5LXBhdGg=\r\nX-Registry-Auth: canary-auth\r\n\
                      Warning: 199 canary-warning\r\nSet-Cookie: canary-cookie\r\nLocation: /canary-location\r\n\
                      X-Canary: canary-header\r\nLibpod-API-Version: canary-libpod";

/// What the canaries in the header fields have in common, in plain text and in Base64.
const IN_FIELDS: [&str; 2] = ["canary-", "y2fuyxj5lxbhdgg"];

/// How many profiles are tried at a time. A request and its answer keep only one thread of the program busy.
const THREADS: usize = 4;

/// Secrets in labels that are addressed to one client, whose profile shows them.
const ADDRESSED: &[(&str, &str)] =
    &[("homepage", "container.label.homepage.widget.key"), ("traefik", "container.label.traefik.basicauth")];

/// Whether a profile shows the value of a label in which this canary is, because it is addressed to its client.
pub(crate) fn is_addressed(profile: &Profile, canary: &Canary) -> bool {
    ADDRESSED.contains(&(profile.name.as_str(), canary.location.as_str()))
}

/// A request for an operation, to which the engine answers with `body`. A node is asked for by its id: the names of hosts are
/// hidden.
pub(crate) fn request(operation: &Operation, body: &[u8]) -> String {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let id = document["ID"].as_str().filter(|_| operation.template.starts_with("/nodes/"));
    let target = target_of(operation).replace(ID, id.unwrap_or(ID));
    assert!(route::find(operation.method.as_str(), &target).unwrap().is_some(), "{target}");
    format!("{} {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", operation.method.as_str())
}

/// The fields of hidden classes that a profile shows by name, with a rule, in the answers that it allows.
fn kept(profile: &Profile) -> BTreeMap<String, Class> {
    let mut kept = BTreeMap::new();
    let answers = profile.allow.keys().filter_map(|id| api::operation(id)?.schema());
    for schema in answers.collect::<BTreeSet<_>>() {
        for line in Plan::explain(catalogue(), schema, &profile.show, &profile.rules).unwrap() {
            let Some(class) = line.class.filter(|class| !profile.show.classes.contains(*class)) else { continue };
            if line.treatment == Treatment::Rule(Action::Keep) {
                kept.insert(format!("{schema} {}", line.path), class);
            }
        }
    }
    kept
}

/// All bytes that a client gets when the engine answers with `body`.
fn ask(stage: &Stage, operation: &Operation, status: &str, body: &[u8]) -> String {
    stage.answer(&format!("{status}\r\n{FIELDS}"), body);
    stage.bench.ask(request(operation, body))
}

/// The findings for one profile and one engine.
#[derive(Default)]
struct Findings {
    /// The number of answers that came back filtered.
    answers: usize,
    /// Canaries of hidden classes in the recordings.
    hidden: BTreeSet<String>,
    /// Those of them that came out in a field that is not shown by name.
    leaks: BTreeSet<String>,
    /// Those that came out in a field shown by name.
    by_name: BTreeSet<String>,
    /// Canaries of shown classes that came out.
    shown: BTreeSet<String>,
}

impl Findings {
    /// Adds what one answer to a recording holds.
    fn add(&mut self, profile: &Profile, kept: &BTreeMap<String, Class>, fixture: &Fixture, answer: &str) {
        let is_shown = |canary: &Canary| profile.show.classes.contains(canary.class) || is_addressed(profile, canary);
        let hidden = fixture.canaries().iter().filter(|canary| !is_shown(canary));
        self.hidden.extend(hidden.map(|canary| canary.token.clone()));
        let (head, _) = answer.split_once("\r\n\r\n").unwrap();
        for canary in canary::found(&fixture.engine, head) {
            self.leaks.insert(format!("{} in a header: {}", fixture.path, canary.location));
        }
        if IN_FIELDS.iter().any(|canary| head.to_lowercase().contains(canary)) {
            self.leaks.insert(format!("{}: a header of the engine", fixture.path));
        }
        let (body, _) = body(answer);
        for canary in canary::found(&fixture.engine, &body) {
            if is_shown(canary) {
                self.shown.insert(canary.token.clone());
            } else if is_only_in(kept, &canary.token, fixture, &body) {
                self.by_name.insert(canary.token.clone());
            } else {
                let Canary { token, class, location } = canary;
                self.leaks.insert(format!("{}: {token} ({class}, {location})", fixture.path));
            }
        }
    }
}

/// Whether a token is in an answer, and only in fields that are shown by name.
fn is_only_in(kept: &BTreeMap<String, Class>, token: &str, fixture: &Fixture, body: &str) -> bool {
    let (schema, documents) = (fixture.schema(), fixture.documents_in(body.as_bytes()));
    let leaves = documents.iter().flat_map(|document| leaves(catalogue(), schema, document));
    let holding: Vec<_> = leaves.filter(|leaf| leaf.value.to_string().to_lowercase().contains(token)).collect();
    !holding.is_empty() && holding.iter().all(|leaf| kept.contains_key(&format!("{schema} {}", leaf.from_root)))
}

/// Sends all recordings of one engine through one profile. Of answers that it does not allow, one of each kind is tried.
fn findings(stage: &Stage, profile: &Profile, kept: &BTreeMap<String, Class>, engine: &str) -> Findings {
    let mut findings = Findings::default();
    let mut denied = BTreeSet::new();
    let any = api::operation("ContainerList").unwrap();
    for fixture in fixture::all().iter().filter(|fixture| fixture.engine == engine) {
        let operation = fixture.operation.unwrap_or(any);
        let allowed = profile.allow.contains_key(operation.id);
        if !allowed && !denied.insert(operation.id) {
            continue;
        }
        let (sent, expected) = match (fixture.operation, allowed) {
            (Some(_), true) => ("200 OK", 200),
            (Some(_), false) => ("200 OK", 403),
            (None, true) => ("404 Not Found", 404),
            (None, false) => ("404 Not Found", 403),
        };
        let answer = ask(stage, operation, sent, &fixture.body);
        assert!(status(&answer) == expected, "{} {}: {answer}", profile.name, fixture.path);
        findings.answers += usize::from(allowed);
        findings.add(profile, kept, fixture, &answer);
    }
    findings
}

/// What `fixtures/canaries.md` says of one profile, and the leaks.
struct Report {
    row: String,
    section: String,
    leaks: BTreeSet<String>,
}

/// Sends the recordings of all engines through one profile.
fn report(profile: &Profile) -> Report {
    let (stage, kept) = (Stage::new(policy(&profile.name)), kept(profile));
    let (mut row, mut by_name, mut leaks) = (format!("| `{}` |", profile.name), BTreeSet::new(), BTreeSet::new());
    for engine in fixture::engines() {
        let found = findings(&stage, profile, &kept, engine);
        assert!(found.hidden.len() > 20, "{engine} has {} canaries of hidden classes", found.hidden.len());
        // A profile for one client allows little, shows single names, and may need a swarm, which Podman does not have.
        let is_answered = found.answers > 5 && !found.shown.is_empty();
        assert!(is_answered || is_for_one_client(profile), "{} shows nothing of {engine}", profile.name);
        write!(row, " {} of {} |", found.leaks.len(), found.hidden.difference(&found.by_name).count()).unwrap();
        leaks.extend(found.leaks.iter().map(|leak| format!("{}: {leak}", profile.name)));
        by_name.extend(found.by_name);
    }
    Report { row: row + "\n", section: section(profile, &kept, by_name.len()), leaks }
}

fn no_canary_of_a_hidden_class_comes_out() {
    assert!(fixture::all().len() > 300, "{} fixtures", fixture::all().len());
    // A profile that allows nothing exists to be extended. `compat.rs` tests those that extend it.
    let profiles: Vec<&Profile> = profiles().iter().filter(|profile| !profile.allow.is_empty()).collect();
    let reports: Vec<Report> = std::thread::scope(|scope| {
        let parts = profiles.chunks(profiles.len().div_ceil(THREADS));
        let threads: Vec<_> =
            parts.map(|part| scope.spawn(|| part.iter().map(|profile| report(profile)).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let leaks: Vec<&str> = reports.iter().flat_map(|report| &report.leaks).map(String::as_str).collect();
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    let engines = fixture::engines();
    let mut text = format!("{ABOUT}| profile | {} |\n|---|{}\n", engines.join(" | "), "---|".repeat(engines.len()));
    text.extend(reports.iter().map(|report| report.row.as_str()));
    text.extend(reports.iter().map(|report| report.section.as_str()));
    generated::check("fixtures/canaries.md", &text);
}

/// What `fixtures/canaries.md` says of one profile below the table.
fn section(profile: &Profile, kept: &BTreeMap<String, Class>, canaries: usize) -> String {
    let mut text = format!("\n## {}\n\n", profile.name);
    let hidden = Class::ALL.into_iter().filter(|class| !profile.show.classes.contains(*class));
    let hidden: Vec<&str> = hidden.map(Class::as_str).collect();
    writeln!(text, "Hides {}.", hidden.join(", ")).unwrap();
    for (what, list) in [
        ("Labels", lists::LABELS),
        ("Variables", lists::ENV),
        ("Annotations", lists::ANNOTATIONS),
        ("Options", lists::OPTIONS),
    ] {
        let globs = profile.show.names.of(list);
        if !globs.is_empty() {
            let line = format!("{what} shown by name: `{}`.", globs.to_string().replace(", ", "`, `"));
            writeln!(text, "\n{}", generated::wrapped(line.split(' '))).unwrap();
        }
    }
    if !kept.is_empty() {
        text.push_str("\nFields shown by name:\n\n");
        kept.iter().for_each(|(field, class)| writeln!(text, "- `{field}` ({class})").unwrap());
    }
    if canaries > 0 {
        writeln!(text, "\nCanaries that came out in these fields: {canaries}.").unwrap();
    }
    text
}

/// How the generated file begins.
const ABOUT: &str = "# What comes out of the recordings\n\n\
    Generated by `tests/it/canaries.rs`, which fails when this file is out of date. Every recording in this folder goes through the\n\
    whole program with every built-in profile, as the answer to its operation; errors are answers with status 404. The head of each\n\
    answer has a canary in every header except the three that clients use to negotiate. A cell counts the canaries of hidden classes\n\
    that came out, of all that the recordings have. Neither number includes canaries in fields that a profile shows by name; these\n\
    fields are listed below. Streams and text are not tested here.\n\n";

fn the_canaries_are_in_the_recordings() {
    for engine in fixture::engines() {
        let recorded = fixture::all().iter().filter(|fixture| fixture.engine == *engine);
        let seen: BTreeSet<&str> = recorded.flat_map(Fixture::canaries).map(|canary| canary.token.as_str()).collect();
        let (seen, planted) = (seen.len(), canary::planted(engine).len());
        assert!(seen * 10 >= planted * 8, "{engine}: only {seen} of {planted} canaries are in a recording");
    }
}

/// Without this, the first test could pass because it finds nothing anywhere.
fn a_profile_that_shows_everything_lets_canaries_out() {
    let file = "profile: open\nabout: Shows all.\nallow: [ContainerInspect, ContainerList]\nshow: all\n";
    let profiles = Profiles::parse(&[("open.yaml", file)], catalogue()).unwrap();
    let policy = Policy::compile(profiles.get("open").unwrap(), catalogue()).unwrap();
    let stage = Stage::new(Arc::new(policy));
    let web = fixture::named("docker-28.5/v1.51/container_inspect.json");
    let shown = canary::found("docker-28.5", &ask(&stage, web.operation.unwrap(), "200 OK", &web.body)).len();
    assert!(shown > 20, "{shown} canaries shown");
}

fn every_field_of_every_recording_is_in_the_catalogue() {
    let (mut unknown, mut known) = (BTreeSet::new(), 0);
    for fixture in fixture::all() {
        for leaf in fixture.leaves() {
            match leaf.class {
                Some(_) => known += 1,
                None => drop(unknown.insert(format!("{}: {}", fixture.path, leaf.name()))),
            }
        }
    }
    assert!(known > 10_000, "{known} leaves");
    assert!(unknown.is_empty(), "{} unknown:\n{}", unknown.len(), unknown.into_iter().collect::<Vec<_>>().join("\n"));
}
