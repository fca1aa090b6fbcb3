//! Every recorded answer of every engine, through the whole program with every built-in profile: no canary of a hidden
//! class comes out, in body, header or error, but for the fields that a profile shows by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use dockveil::api::{OPERATIONS, Operation, lists};
use dockveil::filter::{Action, Plan, Treatment};
use dockveil::policy::Policy;
use dockveil::profile::{Profile, Profiles};
use dockveil::route::{self};
use dockveil::schema::{Catalogue, Class};

use crate::support::client::status;
use crate::support::daemon::Reply;
use crate::support::fixture::{self, Canary, Fixture};
use crate::support::generated;
use crate::support::leaves::leaves;
use crate::support::proxy::Bench;

/// What an engine may say in a head, a canary in each place but the three by which clients negotiate.
const HEAD: &str = "Api-Version: 1.51\r\nServer: Docker/canary-server (canary-os)\r\nOstype: linux\r\n\
                    Builder-Version: canary-builder\r\nDocker-Experimental: false\r\nSwarm: canary-swarm\r\n\
                    X-Docker-Container-Path-Stat: Y2FuYXJ5LXBhdGg=\r\nX-Registry-Auth: canary-auth\r\n\
                    Warning: 199 canary-warning\r\nSet-Cookie: canary-cookie\r\nLocation: /canary-location\r\n\
                    X-Canary: canary-header\r\nLibpod-API-Version: canary-libpod";

/// Secrets in labels that are addressed to the one client whose profile shows them.
pub(crate) const ADDRESSED: &[(&str, &str)] =
    &[("homepage", "container.label.homepage.widget.key"), ("traefik", "container.label.traefik.basicauth")];

/// The built-in profiles, and the catalogue they are about.
fn profiles() -> (Profiles, Catalogue) {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    (Profiles::built_in(&catalogue).unwrap(), catalogue)
}

/// A request for an operation.
fn request(operation: &Operation) -> String {
    let target = operation.template.replace("{name}", "web").replace("{id}", "web").replace("{reference}", "web");
    let target = if operation.id == "ContainerStats" { format!("{target}?stream=0") } else { target };
    assert!(route::find(operation.method.as_str(), &target).unwrap().is_some(), "{target}");
    format!("{} {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", operation.method.as_str())
}

/// The fields of hidden classes that a profile shows by name, with a rule, in the answers that it allows.
fn kept(profile: &Profile, catalogue: &Catalogue) -> BTreeMap<String, Class> {
    let mut kept = BTreeMap::new();
    let answers = profile.allow.keys().filter_map(|id| dockveil::api::operation(id)?.schema());
    for schema in answers.collect::<BTreeSet<_>>() {
        for line in Plan::explain(catalogue, schema, &profile.show, &profile.rules).unwrap() {
            let Some(class) = line.class.filter(|class| !profile.show.classes.contains(*class)) else { continue };
            if line.treatment == Treatment::Rule(Action::Keep) {
                kept.insert(format!("{schema} {}", line.path), class);
            }
        }
    }
    kept
}

/// The program with one profile, before an engine that answers with whatever is in the hand.
struct Stage {
    bench: Bench,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Stage {
    fn new(policy: Policy) -> Self {
        let answer = Arc::new(Mutex::new(Vec::new()));
        let given = answer.clone();
        let bench = Bench::with(
            move |_| Reply::Close(given.lock().unwrap().clone()),
            |config| config.listeners[0].policy = Arc::new(policy),
        );
        Self { bench, answer }
    }

    /// All that a client gets when the engine answers with `body`.
    fn ask(&self, operation: &Operation, status: &str, body: &[u8]) -> String {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\n{HEAD}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        *self.answer.lock().unwrap() = [head.as_bytes(), body].concat();
        self.bench.ask(request(operation))
    }
}

/// The body of an answer, chunks put together.
fn body(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let (mut whole, mut rest) = (String::new(), body);
    loop {
        let (size, after) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
}

/// What was found of one profile and one engine.
#[derive(Default)]
struct Cell {
    /// Answers that came back filtered.
    answers: usize,
    /// Canaries of hidden classes in what the engine said.
    hidden: BTreeSet<String>,
    /// Those of them that came out, and are in no field that is shown by name.
    leaks: BTreeSet<String>,
    /// Those that came out in a field shown by name.
    by_name: BTreeSet<String>,
    /// Canaries of classes that the profile shows, and that came out.
    shown: BTreeSet<String>,
}

impl Cell {
    /// Looks at one answer.
    fn look(
        &mut self,
        answer: &str,
        fixture: &Fixture,
        canaries: &[(Canary, bool)],
        kept: &BTreeMap<String, Class>,
        catalogue: &Catalogue,
    ) {
        let said = String::from_utf8_lossy(&fixture.body).to_lowercase();
        let (head, _) = answer.split_once("\r\n\r\n").unwrap();
        let text = body(answer).to_lowercase();
        for (canary, shown) in canaries {
            let token = canary.token.to_lowercase();
            if !shown && said.contains(&token) {
                self.hidden.insert(token.clone());
            }
            if head.to_lowercase().contains(&token) {
                self.leaks.insert(format!("{} in a header: {}", fixture.path, canary.location));
            }
            match (text.contains(&token), shown) {
                (false, _) => {}
                (true, true) => drop(self.shown.insert(token)),
                (true, false) if is_in_kept(&body(answer), &token, fixture, kept, catalogue) => {
                    self.by_name.insert(token);
                }
                (true, false) => {
                    self.leaks.insert(format!("{}: {} ({}, {})", fixture.path, token, canary.class, canary.location));
                }
            }
        }
        for marker in ["canary-", "y2fuyxj5lxbhdgg"] {
            if head.to_lowercase().contains(marker) {
                self.leaks.insert(format!("{}: a header of the engine", fixture.path));
            }
        }
    }
}

/// Whether a token is in an answer only in fields that are shown by name.
fn is_in_kept(
    body: &str,
    token: &str,
    fixture: &Fixture,
    kept: &BTreeMap<String, Class>,
    catalogue: &Catalogue,
) -> bool {
    fixture.documents_in(body.as_bytes()).iter().all(|document| {
        leaves(catalogue, fixture.schema(), document)
            .iter()
            .filter(|leaf| leaf.value.to_string().to_lowercase().contains(token))
            .all(|leaf| kept.contains_key(&format!("{} {}", fixture.schema(), leaf.from_root)))
    })
}

/// One profile before one engine.
fn cell(stage: &Stage, profile: &Profile, engine: &str, fixtures: &[Fixture], catalogue: &Catalogue) -> Cell {
    let canaries: Vec<(Canary, bool)> = fixture::canaries(engine)
        .into_iter()
        .map(|canary| {
            let addressed = ADDRESSED.contains(&(profile.name.as_str(), canary.location.as_str()));
            let shown = addressed || profile.show.classes.contains(canary.class.parse::<Class>().unwrap());
            (canary, shown)
        })
        .collect();
    let kept = kept(profile, catalogue);
    let mut cell = Cell::default();
    let mut denied = BTreeSet::new();
    let any = OPERATIONS.iter().find(|operation| operation.id == "ContainerList").unwrap();
    for fixture in fixtures.iter().filter(|fixture| fixture.engine == engine) {
        let (operation, status_line) = match fixture.answered() {
            Some(operation) => (operation, "200 OK"),
            None => (any, "404 Not Found"),
        };
        let allowed = profile.allow.contains_key(operation.id);
        if !allowed && !denied.insert(operation.id) {
            continue;
        }
        let answer = stage.ask(operation, status_line, &fixture.body);
        let expected = match (allowed, fixture.answered().is_some()) {
            (true, true) => 200,
            (true, false) => 404,
            (false, _) => 403,
        };
        assert!(status(&answer) == expected, "{} {}: {answer}", profile.name, fixture.path);
        cell.answers += usize::from(expected != 403);
        cell.look(&answer, fixture, &canaries, &kept, catalogue);
    }
    cell
}

#[test]
fn no_canary_of_a_hidden_class_comes_out() {
    let (profiles, catalogue) = profiles();
    let fixtures = fixture::all();
    assert!(fixtures.len() > 300, "{} fixtures", fixtures.len());
    let engines = fixture::engines();
    let mut leaks = BTreeSet::new();
    let mut rows = String::new();
    let mut names = String::new();
    // One that allows nothing is there to be extended: `compat.rs` asks by what extends it.
    for profile in profiles.iter().filter(|profile| !profile.allow.is_empty()) {
        let stage = Stage::new(Policy::compile(profile, &catalogue).unwrap());
        write!(rows, "| `{}` |", profile.name).unwrap();
        let mut by_name = BTreeSet::new();
        for engine in engines {
            let cell = cell(&stage, profile, engine, fixtures, &catalogue);
            assert!(cell.hidden.len() > 20, "{engine} has {} canaries of hidden classes", cell.hidden.len());
            // A profile of one client allows little, shows single names, and may be for a swarm, which Podman has not.
            let broad = !profile.location.file.contains("/client/");
            let answered = cell.answers > 5 && !cell.shown.is_empty();
            assert!(answered || !broad, "{} shows nothing of {engine}", profile.name);
            leaks.extend(cell.leaks.iter().map(|leak| format!("{}: {leak}", profile.name)));
            by_name.extend(cell.by_name.clone());
            let withheld = cell.hidden.difference(&cell.by_name).count();
            write!(rows, " {} of {withheld} |", cell.leaks.len()).unwrap();
        }
        rows.push('\n');
        write!(names, "\n## {}\n\n", profile.name).unwrap();
        let hidden = Class::ALL.into_iter().filter(|class| !profile.show.classes.contains(*class));
        let hidden: Vec<&str> = hidden.map(Class::as_str).collect();
        writeln!(names, "Hides {}.", hidden.join(", ")).unwrap();
        for (what, globs) in [
            ("Labels", profile.show.names.of(lists::LABELS)),
            ("Variables", profile.show.names.of(lists::ENV)),
            ("Annotations", profile.show.names.of(lists::ANNOTATIONS)),
            ("Options", profile.show.names.of(lists::OPTIONS)),
        ] {
            if !globs.is_empty() {
                let line = format!("{what} shown by name: `{}`.", globs.to_string().replace(", ", "`, `"));
                writeln!(names, "\n{}", generated::wrapped(line.split(' '))).unwrap();
            }
        }
        let kept = kept(profile, &catalogue);
        if !kept.is_empty() {
            names.push_str("\nFields shown by name:\n\n");
            kept.iter().for_each(|(field, class)| writeln!(names, "- `{field}` ({class})").unwrap());
        }
        if !by_name.is_empty() {
            writeln!(names, "\nCanaries that came out in these fields: {}.", by_name.len()).unwrap();
        }
    }
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.into_iter().collect::<Vec<_>>().join("\n"));
    let head = format!("| profile | {} |\n|---|{}\n", engines.join(" | "), "---|".repeat(engines.len()));
    generated::check("fixtures/canaries.md", &format!("{ABOUT}{head}{rows}{names}"));
}

/// How the generated file begins.
const ABOUT: &str = "# What comes out of the recordings\n\n\
    Generated by `tests/it/canaries.rs`, which fails when this file is out of date. Every recording in this folder goes through the\n\
    whole program with every built-in profile, as the answer to its operation; errors are answers with status 404. The head of each\n\
    answer has a canary in every header except the three that clients use to negotiate. A cell counts the canaries of hidden classes\n\
    that came out, of all that the recordings have. Neither number includes canaries in fields that a profile shows by name; these\n\
    fields are listed below. Streams and text are not tested here.\n\n";

#[test]
fn the_canaries_are_in_the_recordings() {
    let fixtures = fixture::all();
    for engine in fixture::engines() {
        let bodies: Vec<String> = fixtures
            .iter()
            .filter(|fixture| fixture.engine == *engine)
            .map(|fixture| String::from_utf8_lossy(&fixture.body).to_lowercase())
            .collect();
        let canaries = fixture::canaries(engine);
        let seen =
            canaries.iter().filter(|canary| bodies.iter().any(|body| body.contains(&canary.token.to_lowercase())));
        let seen = seen.count();
        assert!(
            seen * 10 >= canaries.len() * 8,
            "{engine}: only {seen} of {} canaries are in a recording",
            canaries.len()
        );
    }
}

/// Without this, the first test could pass because it looks at nothing.
#[test]
fn a_profile_that_shows_everything_lets_canaries_out() {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let file = "profile: open\nabout: Shows all.\nallow: [ContainerInspect, ContainerList]\nshow: all\n";
    let profiles = Profiles::parse(&[("open.yaml", file)], &catalogue).unwrap();
    let stage = Stage::new(Policy::compile(profiles.get("open").unwrap(), &catalogue).unwrap());
    let fixtures = fixture::all();
    let web = fixtures.iter().find(|fixture| fixture.path == "docker-28.5/v1.51/container_inspect.json").unwrap();
    let answer = body(&stage.ask(web.answered().unwrap(), "200 OK", &web.body));
    let shown = fixture::canaries("docker-28.5").into_iter().filter(|canary| answer.contains(&canary.token)).count();
    assert!(shown > 20, "{shown} canaries shown");
}

/// Flattening a real answer finds no field that no class file has.
#[test]
fn every_field_of_every_recording_is_in_the_catalogue() {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let (mut unknown, mut known) = (BTreeSet::new(), 0);
    for fixture in fixture::all() {
        for document in fixture.documents() {
            for leaf in leaves(&catalogue, fixture.schema(), document) {
                match leaf.class {
                    Some(_) => known += 1,
                    None => drop(unknown.insert(format!("{}: {}", fixture.path, leaf.name()))),
                }
            }
        }
    }
    assert!(known > 10_000, "{known} leaves");
    assert!(unknown.is_empty(), "{} unknown:\n{}", unknown.len(), unknown.into_iter().collect::<Vec<_>>().join("\n"));
}
