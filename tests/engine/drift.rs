//! Every operation that answers with JSON, with every parameter it has, asked of the seeded engine: what comes is in the
//! catalogue, and what goes through a built-in profile holds no canary.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use dockveil::api::{Method, OPERATIONS, Operation, Response, Stream};
use dockveil::profile::{Profile, Profiles};
use serde_json::Value;

use super::support::engine::Engine;
use super::support::leaves::leaves;
use super::support::proxy::Proxy;
use super::support::{assert_no_canary, client, engine, seed};

/// The containers of the seed that differ in what they show.
const CONTAINERS: [&str; 5] = ["web", "terminal", "story", "odd", "broken"];

/// The operations that read and answer with JSON that ends.
fn operations() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(|operation| {
        let ends = match operation.response {
            Response::Document(_) | Response::Array(_) | Response::Stream(Stream::Stats | Stream::Events) => true,
            Response::Stream(Stream::Logs | Stream::Progress | Stream::Wait)
            | Response::Ping
            | Response::Text
            | Response::Empty
            | Response::Hijack
            | Response::WebSocket
            | Response::Tar
            | Response::Octets => false,
        };
        operation.method == Method::Get && ends
    })
}

/// The paths of an operation, each with the name of something that is there.
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
            .fold(template.to_owned(), |path, location| path.replace(location, name));
        with_name.replace("{checkpoint}", "missing")
    };
    names.iter().map(filled).collect()
}

/// A value of a parameter with which it does something.
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

/// The requests for an operation: without a parameter, with each, and with all.
fn targets(operation: &Operation) -> Vec<String> {
    let fixed = match operation.response {
        Response::Stream(Stream::Stats) => "stream=0&one-shot=1",
        Response::Stream(Stream::Events) => "since=0&until=1",
        Response::Document(_)
        | Response::Array(_)
        | Response::Stream(Stream::Logs | Stream::Progress | Stream::Wait)
        | Response::Ping
        | Response::Text
        | Response::Empty
        | Response::Hijack
        | Response::WebSocket
        | Response::Tar
        | Response::Octets => "",
    };
    let mut found = Vec::new();
    for path in paths(operation) {
        if !fixed.is_empty() {
            found.push(format!("{path}?{fixed}"));
            continue;
        }
        let each: Vec<String> =
            operation.query.iter().map(|known| format!("{}={}", known.name, value(known.name))).collect();
        found.push(path.clone());
        found.extend(each.iter().map(|query| format!("{path}?{query}")));
        if each.len() > 1 {
            found.push(format!("{path}?{}", each.join("&")));
        }
    }
    found
}

fn get(socket: &Path, target: &str) -> client::Answer {
    client::exchange(socket, "GET", target, &[], b"", Duration::from_secs(5))
}

/// What an engine answers to every request of [`targets`], under several versions, held against the catalogue: the fields
/// that are in no class file, how many are, and the schemas seen.
pub(crate) fn compared(socket: &Path) -> (BTreeSet<String>, usize, BTreeSet<&'static str>) {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let (mut unknown, mut schemas, mut known) = (BTreeSet::new(), BTreeSet::new(), 0);
    for prefix in ["", "/v1.24", "/v1.40", "/v1.44"] {
        for operation in operations().filter(|operation| operation.response != Response::Stream(Stream::Events)) {
            for target in targets(operation) {
                let answer = get(socket, &format!("{prefix}{target}"));
                let Ok(document) = serde_json::from_slice::<Value>(&answer.body) else { continue };
                // Podman 5 has sent a status of 200 before it finds that a container does not run and has no figures.
                let failed = answer.status() >= 300 || document.get("cause").is_some();
                let schema = if failed { "Error" } else { operation.schema().unwrap() };
                schemas.insert(schema);
                let documents = match document {
                    Value::Array(elements) => elements,
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                        vec![document]
                    }
                };
                for leaf in documents.iter().flat_map(|document| leaves(&catalogue, schema, document)) {
                    known += usize::from(leaf.class.is_some());
                    if leaf.class.is_none() {
                        unknown.insert(format!("{prefix}{target}: {}", leaf.name()));
                    }
                }
            }
        }
    }
    (unknown, known, schemas)
}

#[test]
fn every_field_of_a_live_answer_is_in_the_catalogue() {
    let Some(engine) = engine::shared() else { return };
    let (unknown, known, schemas) = compared(&engine.socket());
    assert!(unknown.is_empty(), "{} fields in no class file: {unknown:#?}", unknown.len());
    assert!(known > 10_000 && schemas.len() > 10, "{known} leaves of {schemas:?}");
}

#[test]
fn no_operation_with_any_parameter_shows_a_canary() {
    let Some(engine) = engine::shared() else { return };
    let profiles = Profiles::built_in(&dockveil::api::catalogue::built_in().unwrap()).unwrap();
    // One sample of statistics takes an engine up to a second: each profile waits for its own.
    let answered = std::thread::scope(|scope| {
        let each = profiles.iter().map(|profile| scope.spawn(|| check_profile(engine, profile)));
        let running: Vec<_> = each.collect();
        running.into_iter().map(|one| one.join().unwrap()).sum::<usize>()
    });
    assert!(answered > 900, "{answered} answers");
}

/// Asks everything that a profile allows; answers how often the engine had an answer.
fn check_profile(engine: &Engine, profile: &Profile) -> usize {
    let (name, proxy) = (profile.name.as_str(), Proxy::start(&engine.socket(), &profile.name));
    let mut answered = 0;
    for operation in operations().filter(|operation| profile.allow.contains_key(operation.id)) {
        for target in targets(operation) {
            let answer = get(&proxy.socket(), &target);
            assert_no_canary(&format!("{name}: {target}"), &answer.text());
            assert_ne!(answer.status(), 502, "{name}: {target}: {}", answer.text());
            answered += usize::from(answer.status() == 200);
        }
    }
    answered
}
