//! Every operation that returns JSON, with every parameter it has: each field that an engine sends is in the catalogue, and
//! no built-in profile lets a canary through.

use std::collections::BTreeSet;
use std::path::Path;

use dockveil::api::{Method, OPERATIONS, Operation, ResponseKind, StreamKind};
use dockveil::profile::{Profile, Profiles};
use dockveil::schema::Catalogue;
use serde_json::Value;

use crate::harness::{Outcome, Test, tests};
use crate::support::engine::Engine;
use crate::support::leaves::leaves;
use crate::support::proxy::Proxy;
use crate::support::{assert_no_canary, at_once, client, engine, seed};

pub(crate) const TESTS: &[Test] =
    tests![every_field_of_a_live_answer_is_in_the_catalogue, no_operation_with_any_parameter_shows_a_canary];

/// The containers of the seed that show different fields.
const CONTAINERS: [&str; 5] = ["web", "terminal", "story", "odd", "broken"];

/// The operations that read, and return JSON that can be filtered.
fn operations() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(|operation| operation.method == Method::Get && operation.filtered_schema().is_some())
}

/// The paths of an operation, with the names of objects that exist.
fn paths(operation: &Operation) -> Vec<String> {
    let template = operation.template;
    let names: &[&str] = match template.split('/').nth(1) {
        Some("containers") => &CONTAINERS,
        Some("images" | "distribution") => &[seed::IMAGE, seed::BASE],
        Some("networks") => &["shop", "bridge", "host"],
        Some("volumes") => &["archive", "data"],
        _ => &["missing"],
    };
    if !operation.takes_name() {
        return vec![template.to_owned()];
    }
    let filled = |name: &&str| {
        let with_name = ["{id}", "{reference}", "{name}"]
            .iter()
            .fold(template.to_owned(), |path, placeholder| path.replace(placeholder, name));
        with_name.replace("{checkpoint}", "missing")
    };
    names.iter().map(filled).collect()
}

/// A value with which a parameter has an effect.
fn value(parameter: &str) -> &'static str {
    match parameter {
        "filters" => "%7B%7D",
        "since" | "before" => "web",
        "type" => "container",
        "scope" => "local",
        "platform" => "%7B%22os%22%3A%22linux%22%2C%22architecture%22%3A%22amd64%22%7D",
        "ps_args" => "eww",
        "trunc_cmd" | "stream" => "0",
        "filter" => "shop/web",
        "dir" | "path" => "/",
        _ => "1",
    }
}

/// The targets of an operation: without parameters, with each of them, and with all.
fn targets(operation: &Operation) -> Vec<String> {
    // A stream would not end without these.
    let ends = [(StreamKind::Stats, "stream=0&one-shot=1"), (StreamKind::Events, "since=0&until=1")];
    let ends = ends.into_iter().find(|(kind, _)| operation.response == ResponseKind::Stream(*kind));
    let mut found = Vec::new();
    for path in paths(operation) {
        if let Some((_, query)) = ends {
            found.push(format!("{path}?{query}"));
            continue;
        }
        let each: Vec<String> =
            operation.query.iter().map(|known| format!("{}={}", known.name, value(known.name))).collect();
        found.push(path.clone());
        found.extend(each.iter().map(|query| format!("{path}?{query}")));
        let usual = operation.query.iter().filter(|known| !known.rare).map(|known| known.name);
        let usual: Vec<String> = usual.map(|name| format!("{name}={}", value(name))).collect();
        // A profile denies a request with a parameter that few clients send, so the others come together too.
        for all in [each, usual].iter().filter(|all| all.len() > 1) {
            found.push(format!("{path}?{}", all.join("&")));
        }
    }
    found
}

/// What an engine's responses have, compared with the catalogue.
#[derive(Default)]
pub(crate) struct Compared {
    /// The fields that no class file has, each with the target.
    pub(crate) unknown: BTreeSet<String>,
    /// The number of fields that a class file has.
    pub(crate) known: usize,
    /// The schemas of the responses.
    pub(crate) schemas: BTreeSet<&'static str>,
}

impl Compared {
    /// Adds the response to a target of an operation.
    fn add(&mut self, catalogue: &Catalogue, operation: &Operation, target: &str, response: &client::Response) {
        let Ok(document) = serde_json::from_slice::<Value>(&response.body) else { return };
        // Podman 5 sends the status 200 before it finds that a container does not run and has no statistics.
        let failed = response.status() >= 300 || document.get("cause").is_some();
        let schema = if failed { "Error" } else { operation.schema().unwrap() };
        self.schemas.insert(schema);
        let documents = match document {
            Value::Array(elements) => elements,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => vec![document],
        };
        for leaf in documents.iter().flat_map(|document| leaves(catalogue, schema, document)) {
            self.known += usize::from(leaf.class.is_some());
            if leaf.class.is_none() {
                self.unknown.insert(format!("{target}: {}", leaf.name()));
            }
        }
    }
}

/// Compares the responses of an engine to all [`targets`], in several versions, with the catalogue.
pub(crate) fn compared(socket: &Path) -> Compared {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    // The engine takes up to two seconds for a sample of statistics: the versions wait at the same time.
    let each = at_once(["", "/v1.24", "/v1.40", "/v1.44"], |prefix| {
        let mut found = Compared::default();
        for operation in operations().filter(|operation| operation.response != ResponseKind::Stream(StreamKind::Events))
        {
            for target in targets(operation) {
                let target = format!("{prefix}{target}");
                found.add(&catalogue, operation, &target, &client::get(socket, &target));
            }
        }
        found
    });
    each.into_iter().fold(Compared::default(), |mut all, one| {
        all.unknown.extend(one.unknown);
        all.known += one.known;
        all.schemas.extend(one.schemas);
        all
    })
}

fn every_field_of_a_live_answer_is_in_the_catalogue() -> Outcome {
    let engine = engine::read_only()?;
    let Compared { unknown, known, schemas } = compared(&engine.socket());
    assert!(unknown.is_empty(), "{} fields in no class file: {unknown:#?}", unknown.len());
    assert!(known > 10_000 && schemas.len() > 10, "{known} leaves of {schemas:?}");
    Ok(())
}

fn no_operation_with_any_parameter_shows_a_canary() -> Outcome {
    let engine = engine::read_only()?;
    let profiles = Profiles::built_in(&dockveil::api::catalogue::built_in().unwrap()).unwrap();
    // The engine takes up to a second for a sample of statistics: the profiles wait at the same time.
    let answered = std::thread::scope(|scope| {
        let each = profiles.iter().map(|profile| scope.spawn(|| check_profile(engine, profile)));
        let running: Vec<_> = each.collect();
        running.into_iter().map(|one| one.join().unwrap()).sum::<usize>()
    });
    assert!(answered > 900, "{answered} responses");
    Ok(())
}

/// The text of an answer without the paths that a profile shows: `mcp` says where in a container something is mounted.
fn without_shown_paths(profile: &str, text: String) -> String {
    fn clear(value: &mut Value) {
        match value {
            Value::Object(members) => {
                if members.contains_key("Propagation") {
                    members.remove("Destination");
                }
                members.values_mut().for_each(clear);
            }
            Value::Array(elements) => elements.iter_mut().for_each(clear),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let (head, body) = text.split_once("\n\n").unwrap_or_default();
    match serde_json::from_str(body) {
        Ok(mut value) if profile == "mcp" => {
            clear(&mut value);
            format!("{head}\n\n{value}")
        }
        Ok(_) | Err(_) => text,
    }
}

/// Requests everything that a profile allows. Returns the number of requests with the status 200.
fn check_profile(engine: &Engine, profile: &Profile) -> usize {
    let (name, proxy) = (profile.name.as_str(), Proxy::start(&engine.socket(), &profile.name));
    let mut answered = 0;
    for operation in operations().filter(|operation| profile.allow.contains_key(operation.id)) {
        for target in targets(operation) {
            let response = client::get(&proxy.socket(), &target);
            assert_no_canary(&format!("{name}: {target}"), &without_shown_paths(name, response.text()));
            assert_ne!(response.status(), 502, "{name}: {target}: {}", response.text());
            answered += usize::from(response.status() == 200);
        }
    }
    answered
}
