//! API versions: what clients are told, and what engines newer or stricter than their clients get.

use dockveil::api::{ApiRange, ApiVersion};
use dockveil::config::Config;

use crate::harness::{Test, tests};
use crate::support::client::{get, status};
use crate::support::daemon::{Daemon, Reply};
use crate::support::proxy::{Bench, policy_of};

pub(crate) const TESTS: &[Test] = tests![
    clients_are_told_no_newer_version_than_dockveil_knows,
    the_operator_says_which_versions_clients_may_use,
    a_pinned_version_is_that_of_requests_without_one,
    an_old_client_is_served_under_the_oldest_version_of_the_engine,
    an_old_client_whose_request_has_changed_reads_which_versions_there_are,
    an_engine_that_does_not_tell_its_oldest_version_is_asked_as_before,
    an_engine_whose_oldest_version_is_unknown_to_dockveil_is_not_asked
];

/// What the daemon answers to everything: the version document of an engine of 1.`newest`.
fn document(newest: u16) -> impl Fn(&str) -> Reply + Send + Sync + 'static {
    move |request| {
        let body = if request.contains("/version HTTP/1.1") {
            format!(
                r#"{{"Platform":{{"Name":""}},"Components":[{{"Name":"Engine","Version":"1","Details":{{"ApiVersion":"1.{newest}","MinAPIVersion":"1.24"}}}}],"Version":"1","ApiVersion":"1.{newest}","MinAPIVersion":"1.24"}}"#
            )
        } else if request.contains("/containers/json") {
            "[]".to_owned()
        } else {
            "{}".to_owned()
        };
        let head = format!("HTTP/1.1 200 OK\r\nApi-Version: 1.{newest}\r\nContent-Type: application/json\r\n");
        Reply::Keep(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    }
}

/// The program in front of a daemon that accepts the versions between two minor numbers.
fn bench(versions: (u16, u16), change: impl FnOnce(&mut Config)) -> Bench {
    let policy = policy_of("profile: test\nallow: all\ndeny: [ImageList]\nshow: all\n");
    let mut bench = Bench::with(document(versions.1), |config| {
        config.listeners[0].policy = policy;
        change(config);
    });
    bench.daemon.stop();
    bench.daemon = Daemon::accepting(&bench.folder.path("engine"), versions, document(versions.1));
    // The connection to the first daemon is gone after this, and what it told is forgotten.
    let _ = bench.ask(get("/_ping"));
    bench
}

/// The versions that clients may use.
fn range(min: u16, max: u16, pin: Option<u16>) -> impl FnOnce(&mut Config) {
    let range = ApiRange::new(ApiVersion::new(min), ApiVersion::new(max), pin.map(ApiVersion::new)).unwrap();
    move |config| config.api = range
}

/// The version in the head of an answer.
fn advertised(answer: &str) -> Option<&str> {
    let field = answer.lines().find(|line| line.to_ascii_lowercase().starts_with("api-version: "));
    field.map(|line| &line["api-version: ".len()..])
}

/// The path that the daemon got last.
fn sent(bench: &Bench) -> String {
    let request = bench.daemon.requests().pop().unwrap_or_default();
    request.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn clients_are_told_no_newer_version_than_dockveil_knows() {
    let newest = ApiVersion::NEWEST;
    let engine = newest.minor() + 5;
    let bench = bench((24, engine), |_| {});
    for (target, expected) in [
        ("/_ping", 200),
        ("/version", 200),
        ("/containers/json", 200),
        ("/images/json", 403),
        ("/nothing", 404),
        ("/containers/%zz/json", 400),
        ("*", 400),
        ("/events", 200),
    ] {
        let mut client = bench.client();
        client.send(get(target));
        let answer = client.read_until("\r\n\r\n");
        assert_eq!(
            (status(&answer), advertised(&answer)),
            (expected, Some(&*newest.to_string())),
            "{target}: {answer}"
        );
    }
    let answer = bench.ask(get("/version"));
    assert_eq!(sent(&bench), format!("/v{newest}/version"), "a client that names no version gets the newest known");
    let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let details = &body["Components"][0]["Details"];
    assert_eq!((&body["ApiVersion"], &details["ApiVersion"]), (&newest.to_string().into(), &newest.to_string().into()));
    let before = bench.daemon.requests().len();
    let answer = bench.ask(get(&format!("/v1.{engine}/containers/json")));
    let message = format!("client version 1.{engine} is too new. Maximum supported API version is {newest}");
    assert!(status(&answer) == 400 && answer.contains(&message), "{answer}");
    assert_eq!(bench.daemon.requests().len(), before);
}

fn the_operator_says_which_versions_clients_may_use() {
    let bench = bench((24, 51), range(30, 44, None));
    for (target, expected, version) in [
        ("/containers/json", 200, "/v1.44/"),
        ("/v1.44/containers/json", 200, "/v1.44/"),
        ("/v1.30/containers/json", 200, "/v1.30/"),
        ("/v1.29/containers/json", 400, ""),
        ("/v1.45/containers/json", 400, ""),
        ("/v1.51/containers/json", 400, ""),
    ] {
        let before = bench.daemon.requests().len();
        let answer = bench.ask(get(target));
        assert_eq!((status(&answer), advertised(&answer)), (expected, Some("1.44")), "{target}: {answer}");
        let sent = if bench.daemon.requests().len() > before { sent(&bench) } else { String::new() };
        assert!(sent.starts_with(version) && sent.is_empty() == version.is_empty(), "{target}: {sent}");
    }
    let answer = bench.ask(get("/v1.40/version"));
    assert!(!answer.contains("1.51") && !answer.contains("1.24"), "{answer}");
    assert!(answer.matches(r#""ApiVersion":"1.44""#).count() == 2, "{answer}");
    assert!(answer.matches(r#""MinAPIVersion":"1.30""#).count() == 2, "{answer}");
}

fn a_pinned_version_is_that_of_requests_without_one() {
    let pinned = bench((24, 51), range(24, 44, Some(41)));
    for (target, version) in [("/containers/json", 41), ("/v1.44/containers/json", 44), ("/v1.24/containers/json", 24)]
    {
        assert_eq!(status(&pinned.ask(get(target))), 200, "{target}");
        assert_eq!(sent(&pinned), format!("/v1.{version}/containers/json"), "{target}");
    }
    // An engine that is older than the pinned version gets its own newest.
    let older = bench((24, 40), range(24, 44, Some(41)));
    assert_eq!(status(&older.ask(get("/containers/json"))), 200);
    assert_eq!(sent(&older), "/v1.40/containers/json");
}

fn an_old_client_is_served_under_the_oldest_version_of_the_engine() {
    let bench = bench((44, 51), |_| {});
    for (target, sent_as) in [
        ("/v1.24/containers/json?all=1", "/v1.44/containers/json?all=1"),
        ("/v1.43/containers/json", "/v1.44/containers/json"),
        ("/v1.44/containers/json", "/v1.44/containers/json"),
        ("/v1.45/containers/json", "/v1.45/containers/json"),
        ("/containers/json", "/v1.51/containers/json"),
        ("/v1.24/containers/web/json", "/v1.44/containers/web/json"),
        ("/v1.24/version", "/v1.44/version"),
    ] {
        let answer = bench.ask(get(target));
        assert_eq!((status(&answer), advertised(&answer)), (200, Some("1.51")), "{target}: {answer}");
        assert_eq!(sent(&bench), sent_as, "{target}");
    }
    assert_eq!(status(&bench.ask(get("/v1.24/_ping"))), 200);
    let mut client = bench.client();
    client.send(get("/v1.24/events"));
    assert_eq!(status(&client.read_until("\r\n\r\n")), 200);
    assert_eq!(sent(&bench), "/v1.44/events");
}

fn an_old_client_whose_request_has_changed_reads_which_versions_there_are() {
    let bench = bench((44, 51), |_| {});
    let post = |target: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}")
    };
    for (request, client) in [
        (get("/v1.24/images/a/json"), "1.24"),
        (get("/v1.27/networks"), "1.27"),
        (post("/v1.43/containers/create"), "1.43"),
        (get("/v1.40/containers/web/stats?stream=0&one-shot=1"), "1.40"),
    ] {
        let answer = bench.ask(&request);
        assert_eq!((status(&answer), advertised(&answer)), (400, Some("1.51")), "{request}: {answer}");
        let message = format!("client version {client} is too old. Minimum supported API version is 1.44, ");
        assert!(answer.contains(&message), "{request}: {answer}");
    }
    assert_eq!(bench.daemon.requests(), [""; 0]);
    assert_eq!(status(&bench.ask(get("/v1.40/containers/web/stats?stream=0"))), 200);
}

fn an_engine_that_does_not_tell_its_oldest_version_is_asked_as_before() {
    // The versions in the document of the daemon are no versions then.
    for oldest in [0, 99] {
        let bench = bench((oldest, 51), |_| {});
        let expected = if oldest == 0 { (200, "/v1.24/containers/json") } else { (400, "") };
        assert_eq!((status(&bench.ask(get("/v1.24/containers/json"))), &*sent(&bench)), expected, "{oldest}");
    }
}

/// Nothing is known about what changed after the newest known version.
fn an_engine_whose_oldest_version_is_unknown_to_dockveil_is_not_asked() {
    let newest = ApiVersion::NEWEST.minor();
    let bench = bench((newest + 1, newest + 2), |_| {});
    for target in ["/containers/json", "/v1.44/containers/json", &format!("/v1.{newest}/containers/json")] {
        let answer = bench.ask(get(target));
        assert_eq!(status(&answer), 400, "{target}: {answer}");
    }
    assert_eq!(bench.daemon.requests(), [""; 0]);
}
