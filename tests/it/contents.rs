//! What requests of an allowed operation may contain: parameters and bodies.

use dockveil::api::{Operation, RequestBody};
use dockveil::profile::RequestContents;

use crate::harness::{Test, tests};
use crate::support::built_in::{policy, profiles};
use crate::support::client::{status, target_of};
use crate::support::daemon::json;
use crate::support::proxy::Bench;
use crate::support::stage::Stage;

pub(crate) const TESTS: &[Test] = tests![
    watchtower_pulls_and_does_not_import,
    autoheal_chooses_the_time_and_not_the_signal,
    no_parameter_and_no_body_beyond_the_profile_reaches_the_daemon,
    a_profile_allows_a_parameter_and_a_body_by_name,
    no_pattern_in_the_key_of_a_label_filter_reaches_the_daemon
];

/// A tar archive: an end without a file.
const TAR: &str = "Content-Type: application/x-tar\r\nContent-Length: 4\r\n\r\n\0\0\0\0";
const EMPTY: &str = "Content-Length: 0\r\n\r\n";

/// A POST with these last fields and this body.
fn post(target: &str, rest: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n{rest}")
}

/// Sends a request and reads the answer. This direction stays open: a client that ends it has stopped listening to a stream.
fn ask(bench: &Bench, request: &str) -> String {
    let mut client = bench.client();
    client.send(request.replacen("\r\n", "\r\nConnection: close\r\n", 1));
    client.rest()
}

/// The request lines that the daemon received.
fn lines(bench: &Bench) -> Vec<String> {
    bench.daemon.requests().iter().map(|request| request.lines().next().unwrap().to_owned()).collect()
}

/// An import would replace a local image by a file, by one that the engine downloads, or by changes to its configuration.
fn watchtower_pulls_and_does_not_import() {
    let stage = Stage::new(policy("watchtower"));
    for (target, rest) in [
        ("/v1.51/images/create?fromSrc=-&repo=victim&tag=1", TAR),
        ("/v1.51/images/create?fromSrc=-&repo=victim&tag=1", EMPTY),
        ("/v1.51/images/create?fromSrc=http://192.0.2.1/a.tar&repo=victim&tag=1", EMPTY),
        ("/v1.51/images/create?fromImage=a&tag=1&changes=ENTRYPOINT+evil", EMPTY),
        ("/v1.51/images/create?fromImage=a&tag=1&message=a", EMPTY),
        ("/v1.51/images/create?fromImage=a&tag=1&%66romSrc=-", EMPTY),
        ("/v1.51/images/create?fromImage=a&tag=1&platform=linux/arm64", EMPTY),
        ("/v1.51/images/create?fromImage=&fromSrc=-&tag=1", TAR),
    ] {
        let answer = ask(&stage.bench, &post(target, rest));
        assert_eq!(status(&answer), 403, "{target}: {answer}");
    }
    assert_eq!(lines(&stage.bench), [""; 0]);
    // Without an image to pull, the engine would import from an empty address.
    for (target, rest) in [
        ("/v1.51/images/create?fromImage=a&tag=1", EMPTY),
        ("/v1.51/images/create?fromImage=a&tag=1", TAR),
        ("/v1.51/images/create?fromImage=a&tag=1&platform=&fromSrc=&repo=", TAR),
        ("/v1.51/images/create?fromImage=a&tag=1&FromSrc=-&authconfig=%7B%7D", TAR),
        ("/v1.51/images/create?fromImage=a&fromImage=b&tag=1&tag=2", EMPTY),
    ] {
        let answer = ask(&stage.bench, &post(target, rest));
        assert_eq!(status(&answer), 200, "{target}: {answer}");
        let up = stage.bench.daemon.requests().pop().unwrap();
        assert!(up.starts_with("POST /v1.51/images/create?fromImage=a&tag=1 HTTP/1.1\r\n"), "{up}");
        let up = up.to_ascii_lowercase();
        let has_no_body = !up.contains("content-length") || up.contains("content-length: 0\r\n");
        assert!(has_no_body && !up.contains("transfer-encoding") && !up.contains("content-type"), "{up}");
    }
}

fn autoheal_chooses_the_time_and_not_the_signal() {
    let stage = Stage::new(policy("autoheal"));
    for (query, rest, expected) in [
        ("?t=10", EMPTY, 200),
        ("", EMPTY, 200),
        ("?t=10&signal=SIGUSR1", EMPTY, 403),
        ("?signal=SIGKILL", EMPTY, 403),
        ("?t=10&signal=", TAR, 200),
        ("?t=10&t=20", EMPTY, 200),
        ("?t=10&timeout=1", EMPTY, 400),
    ] {
        let answer = stage.bench.ask(post(&format!("/containers/web/restart{query}"), rest));
        assert_eq!(status(&answer), expected, "{query}: {answer}");
    }
    let query = |line: &String| line.split(['?', ' ']).nth(2).unwrap().to_owned();
    assert_eq!(lines(&stage.bench).iter().map(query).collect::<Vec<_>>(), ["t=10", "HTTP/1.1", "t=10", "t=10"]);
}

/// Every built-in profile, every operation that it allows and that takes more than the profile lets through.
fn no_parameter_and_no_body_beyond_the_profile_reaches_the_daemon() {
    let (mut profiles_asked, mut counts) = (0, (0, 0));
    for profile in profiles().iter() {
        let operations: Vec<&Operation> = policy(&profile.name).operations().collect();
        let (mut denied, mut dropped) = (Vec::new(), Vec::new());
        for operation in operations {
            let contents = profile.contents(operation);
            let (method, target) = (operation.method.as_str(), target_of(operation));
            let mark = if target.contains('?') { '&' } else { '?' };
            for name in RequestContents::all(operation).beyond(&contents) {
                let request = |query: &str, rest: &str| {
                    format!("{method} {target}{query} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n{rest}")
                };
                match operation.query.iter().find(|known| known.name == name) {
                    // What only adds to the answer is dropped.
                    Some(known) if known.adds || known.is_default("1") => {
                        dropped.push(request(&format!("{mark}{name}=1"), EMPTY));
                    }
                    Some(_) => denied.push(request(&format!("{mark}{name}=1"), EMPTY)),
                    // A pull has no body, so there is nothing to deny.
                    None if operation.id == "ImageCreate" => dropped.push(request("", TAR)),
                    None => denied.push(request("", TAR)),
                }
            }
        }
        if denied.is_empty() && dropped.is_empty() {
            continue;
        }
        let stage = Stage::new(policy(&profile.name));
        for request in &denied {
            let answer = stage.bench.ask(request);
            assert_eq!(status(&answer), 403, "{} {request}: {answer}", profile.name);
        }
        assert_eq!(lines(&stage.bench), [""; 0], "{}", profile.name);
        for request in &dropped {
            let mut client = stage.bench.client();
            client.send(request);
            client.rest();
            let up = stage.bench.daemon.requests().pop().unwrap();
            let is_bare = !up.contains('?') || up.contains("?stream=0 ");
            assert!(is_bare && up.ends_with("\r\n\r\n"), "{} {request}: {up}", profile.name);
        }
        profiles_asked += 1;
        counts = (counts.0 + denied.len(), counts.1 + dropped.len());
    }
    assert!(profiles_asked > 20 && counts.0 > 60 && counts.1 > 5, "{profiles_asked} {counts:?}");
}

fn a_profile_allows_a_parameter_and_a_body_by_name() {
    let profile = "profile: test\nallow: [ImageCreate, ContainerList]\nshow: [state]\n";
    for (more, expected) in [
        ("", [403, 403, 200]),
        ("parameters: {ImageCreate: [fromSrc, repo, tag]}\n", [200, 403, 403]),
        ("parameters: {ImageCreate: [fromSrc, repo, tag, body]}\n", [200, 200, 403]),
        ("parameters: {ImageCreate: all}\n", [200, 200, 200]),
        ("parameters: {ImageCreate: []}\n", [403, 403, 403]),
    ] {
        let answer = |request: &str| json(if request.contains("/containers/json") { "[]" } else { "{}" });
        let bench = Bench::profiled(&format!("{profile}{more}"), answer);
        let import = "/images/create?fromSrc=-&repo=a&tag=1";
        let asked = [post(import, EMPTY), post(import, TAR), post("/images/create?fromImage=a", EMPTY)];
        let found = asked.map(|request| status(&ask(&bench, &request)));
        assert_eq!(found, expected, "{more}");
        // The list of another operation changes nothing for this one.
        let list = |query: &str| status(&bench.ask(format!("GET /containers/json{query} HTTP/1.1\r\nHost: d\r\n\r\n")));
        assert_eq!((list("?all=1"), list("?since=a")), (200, 403), "{more}");
    }
    assert_eq!(dockveil::api::operation("ContainerList").unwrap().body, RequestBody::None);
}

/// Podman would match it against hidden labels. Every built-in profile, every operation that it allows, every key of labels.
fn no_pattern_in_the_key_of_a_label_filter_reaches_the_daemon() {
    let table = dockveil::api::queries::built_in().unwrap();
    let mut denied = 0;
    for profile in profiles().iter() {
        let policy = policy(&profile.name);
        let mut targets = Vec::new();
        let filtered = |operation: &&Operation| profile.contents(operation).has_parameter("filters");
        for operation in policy.operations().filter(filtered) {
            for (key, _) in table.filters(operation).filter(|(key, _)| key.contains("label")) {
                for label in
                    ["traefik.http.middlewares.[a-z.addprefix.]*=guess", "com.docker.compose.*", "?", "a]", "a\\\\b"]
                {
                    let filters = format!("{{\"{key}\":[\"{label}\"]}}");
                    let escaped: String = filters.bytes().map(|byte| format!("%{byte:02x}")).collect();
                    targets.push(format!("{}?filters={escaped}", target_of(operation)));
                }
            }
        }
        if targets.is_empty() {
            continue;
        }
        let stage = Stage::new(policy);
        for target in &targets {
            let answer = stage.bench.ask(format!("GET {target} HTTP/1.1\r\nHost: d\r\n\r\n"));
            assert_eq!(status(&answer), 403, "{} {target}: {answer}", profile.name);
            assert!(
                answer.contains("the key of a label filter must not contain"),
                "{} {target}: {answer}",
                profile.name
            );
        }
        assert_eq!(lines(&stage.bench), [""; 0], "{}", profile.name);
        denied += targets.len();
    }
    assert!(denied > 200, "{denied}");
}
