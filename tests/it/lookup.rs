//! Objects that a client cannot see, and what it learns by asking for them.

use crate::harness::{Test, tests};
use crate::support::built_in::policy;
use crate::support::client::{get, status};
use crate::support::daemon::{Reply, json};
use crate::support::proxy::{Bench, policy_of};

pub(crate) const TESTS: &[Test] = tests![
    a_client_that_sees_no_ids_cannot_find_them,
    an_object_is_found_by_its_exact_name_and_by_its_whole_id,
    what_follows_a_lookup_names_the_whole_id,
    a_hidden_host_name_finds_no_node,
    a_client_that_sees_ids_may_shorten_them
];

/// Two containers whose ids begin alike, and one whose name could be the beginning of an id.
const CONTAINERS: [(&str, &str); 3] = [("ab12", "web"), ("ab34", "db"), ("0f", "cafe")];
const NODE: &str = "0123456789abcdefghijklmno";
/// The name of a host, in the form of the id of a node.
const HOST: &str = "hosthosthosthosthosthost1";

/// The whole id that begins like this.
fn whole(start: &str) -> String {
    format!("{start:0<64}")
}

/// Answers as an engine does: by name, by id, by the beginning of an id, and with this status if several begin like that.
fn engine(request: &str, ambiguous: &str) -> Reply {
    let path = request.split([' ', '?']).nth(1).unwrap();
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    let failure = |status: &str| {
        let body = r#"{"message":"canary-message"}"#;
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
        Reply::Keep([head.as_bytes(), body.as_bytes()].concat())
    };
    match parts.as_slice() {
        ["containers", "json"] => json("[]"),
        ["containers", name, rest @ ..] => {
            let named = CONTAINERS.iter().filter(|(_, known)| known == name);
            let found: Vec<_> = match named.count() {
                0 => CONTAINERS.iter().filter(|(id, _)| whole(id).starts_with(name)).collect(),
                _ => CONTAINERS.iter().filter(|(_, known)| known == name).collect(),
            };
            match (found.as_slice(), rest) {
                ([], _) => failure("404 Not Found"),
                ([(id, name)], ["json"]) => {
                    json(&format!(r#"{{"Id":"{}","Name":"/{name}","State":{{"Status":"running"}}}}"#, whole(id)))
                }
                ([(id, name)], _) => json(&format!(r#"{{"id":"{}","name":"/{name}"}}"#, whole(id))),
                (_, _) => failure(ambiguous),
            }
        }
        ["nodes", name] if NODE.starts_with(name) || *name == HOST || *name == "manager" => {
            json(&format!(r#"{{"ID":"{NODE}","Description":{{"Hostname":"manager"}}}}"#))
        }
        _ => failure("404 Not Found"),
    }
}

/// The program with a profile, in front of that engine.
fn bench(profile: &'static str, ambiguous: &'static str) -> Bench {
    let profile = if profile.contains(':') { policy_of(profile) } else { policy(profile) };
    Bench::with(move |request| engine(request, ambiguous), |config| config.listeners[0].policy = profile)
}

/// The answer without its date, if it has one.
fn asked(bench: &Bench, target: &str) -> String {
    let answer = bench.ask(get(target));
    let lines: Vec<&str> =
        answer.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("date:")).collect();
    lines.join("\r\n")
}

/// Docker answers 400 if several ids begin like that, Podman 500, Docker until 1.13 and some other engines 409 or 300.
fn a_client_that_sees_no_ids_cannot_find_them() {
    for ambiguous in ["400 Bad Request", "500 Internal Server Error", "409 Conflict", "300 Multiple Choices"] {
        let bench = bench("uptime-kuma", ambiguous);
        let absent = asked(&bench, "/containers/missing/json");
        assert_eq!(status(&absent), 404, "{absent}");
        let digits = "0123456789abcdef".chars().map(String::from);
        let ids = CONTAINERS.map(|(id, _)| whole(id));
        let starts = ids.iter().flat_map(|id| (1..id.len()).map(|length| id[..length].to_owned()));
        for start in digits.chain(starts) {
            assert_eq!(asked(&bench, &format!("/containers/{start}/json")), absent, "{start} {ambiguous}");
        }
        for other in ["WEB", "we", "web2", "Ab12", "canary", "*", "_b", "ab_"] {
            assert_eq!(asked(&bench, &format!("/containers/{other}/json")), absent, "{other} {ambiguous}");
        }
    }
}

fn an_object_is_found_by_its_exact_name_and_by_its_whole_id() {
    let bench = bench("uptime-kuma", "400 Bad Request");
    for (id, name) in CONTAINERS {
        for target in [name.to_owned(), whole(id)] {
            let answer = asked(&bench, &format!("/containers/{target}/json"));
            assert_eq!(status(&answer), 200, "{target}: {answer}");
            assert!(answer.ends_with(r#""State":{"Status":"running"}}"#), "{target}: {answer}");
            assert!(!answer.contains(&whole(id)) && !answer.contains(name), "{target}: {answer}");
        }
    }
}

/// The container could be removed after the lookup. Then its name must not find another one whose id begins like it.
fn what_follows_a_lookup_names_the_whole_id() {
    let profile = "profile: test\nallow: [ContainerInspect, ContainerStats]\nshow: [state]\n";
    let bench = bench(profile, "400 Bad Request");
    assert_eq!(status(&bench.ask(get("/v1.44/containers/cafe/stats?stream=0"))), 200);
    assert_eq!(status(&bench.ask(get("/v1.44/containers/ab1/stats?stream=0"))), 404);
    assert_eq!(status(&bench.ask(get(&format!("/containers/{}/stats?stream=0", whole("0f"))))), 200);
    let lines: Vec<String> =
        bench.daemon.requests().iter().map(|request| request.lines().next().unwrap().to_owned()).collect();
    let id = whole("0f");
    assert_eq!(
        lines,
        [
            "GET /v1.44/containers/cafe/json HTTP/1.1".to_owned(),
            format!("GET /v1.44/containers/{id}/stats?stream=0 HTTP/1.1"),
            "GET /v1.44/containers/ab1/json HTTP/1.1".to_owned(),
            // A whole id is looked up by nobody.
            format!("GET /v1.51/containers/{id}/stats?stream=0 HTTP/1.1"),
        ]
    );
}

fn a_hidden_host_name_finds_no_node() {
    let bench = bench("profile: test\nallow: [NodeInspect]\nshow: [identity, state]\n", "500 Internal Server Error");
    for hidden in ["manager", "managers", "m", "0123", &NODE[1..], "self"] {
        let answer = asked(&bench, &format!("/nodes/{hidden}"));
        assert_eq!((status(&answer), answer.contains("use a whole id")), (403, true), "{hidden}: {answer}");
    }
    assert_eq!(bench.daemon.requests(), [""; 0]);
    assert_eq!(status(&asked(&bench, &format!("/nodes/{NODE}"))), 200);
    // The name of a host can look like an id. It finds nothing either.
    let absent = asked(&bench, "/nodes/hosthosthosthosthosthost2");
    assert_eq!((status(&absent), asked(&bench, &format!("/nodes/{HOST}"))), (404, absent));

    let shown = "profile: test\nallow: [NodeInspect]\nshow: [identity, state, topology]\n";
    let open = self::bench(shown, "500 Internal Server Error");
    assert_eq!(status(&asked(&open, "/nodes/manager")), 200);
}

/// Beszel sees the ids of containers in their list, and asks for statistics by the first twelve characters.
fn a_client_that_sees_ids_may_shorten_them() {
    let bench = bench("beszel", "400 Bad Request");
    let start = &whole("ab12")[..12];
    assert_eq!(status(&bench.ask(get(&format!("/containers/{start}/stats?stream=0")))), 200);
    assert_eq!(bench.daemon.requests().len(), 1);
}
