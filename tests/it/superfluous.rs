//! What is superfluous in a request does not reach the daemon: parameters, second values, bodies.

use std::sync::LazyLock;

use dockveil::api::{Method, OPERATIONS, Operation, ParameterKind, RequestBody, ResponseKind};

use crate::harness::{Test, tests};
use crate::support::client::{status, target_of};
use crate::support::daemon::json;
use crate::support::proxy::Bench;

pub(crate) const TESTS: &[Test] = tests![
    unknown_parameters_are_dropped_or_refused_by_name,
    only_the_values_that_the_engine_reads_reach_the_daemon,
    a_body_that_the_engine_does_not_read_stays_here,
    a_body_that_the_engine_reads_has_the_type_that_it_expects,
    a_second_value_cannot_hide_behind_the_first,
    a_long_target_reaches_the_daemon_without_what_is_superfluous,
    a_dropped_body_has_a_limit_and_hides_no_request,
    requests_of_clients_reach_the_daemon
];

/// A profile that allows every operation, shows everything, and takes every parameter.
static OPEN: LazyLock<String> = LazyLock::new(|| {
    let ids = OPERATIONS.iter().map(|operation| operation.id).filter(|id| *id != "SystemPingHead");
    let all = |operation: &&Operation| !operation.query.is_empty() || operation.body != RequestBody::None;
    let taken: Vec<String> = OPERATIONS.iter().filter(all).map(|operation| format!("{}: all", operation.id)).collect();
    let ids: Vec<&str> = ids.collect();
    format!("profile: test\nallow: [{}]\nshow: all\nparameters: {{{}}}\n", ids.join(", "), taken.join(", "))
});

/// The operations whose requests are of one head and one body. The others are tunnels.
fn operations() -> impl Iterator<Item = &'static Operation> {
    let is_tunnel = |operation: &Operation| {
        operation.response == ResponseKind::WebSocket || ["Session", "Grpc"].contains(&operation.id)
    };
    // The program answers pings from its own.
    OPERATIONS.iter().filter(move |operation| !is_tunnel(operation) && !operation.id.starts_with("SystemPing"))
}

fn open() -> Bench {
    Bench::profiled(&OPEN, |_| json("{}"))
}

/// The answer to a request, and what reached the daemon of it.
fn asked(bench: &Bench, request: impl AsRef<[u8]>) -> (String, Option<String>) {
    let before = bench.daemon.requests().len();
    let mut client = bench.client();
    client.send(request);
    let answer = client.rest();
    let mut requests = bench.daemon.requests().split_off(before);
    assert!(requests.len() <= 1, "{requests:?}");
    (answer, requests.pop())
}

/// A request of an operation with this query, with these fields and this body behind them.
fn request(operation: &Operation, query: &[String], rest: &str) -> String {
    let target = target_of(operation).replace("{checkpoint}", "c");
    let mark = if query.is_empty() { "" } else { "?" };
    let (method, query) = (operation.method.as_str(), query.join("&"));
    let target = target.split('?').next().unwrap();
    format!("{method} {target}{mark}{query} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n{rest}")
}

/// The fields and the body that an operation cannot do without.
fn needed(operation: &Operation) -> &'static str {
    match operation.body {
        RequestBody::Json => "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        RequestBody::Tar => "Content-Length: 3\r\n\r\ntar",
        RequestBody::None | RequestBody::OptionalJson | RequestBody::OptionalTar | RequestBody::Raw => "\r\n",
    }
}

/// The query of a request that reached the daemon.
fn query_of(up: &str) -> Vec<String> {
    let target = up.split(' ').nth(1).unwrap();
    target.split_once('?').map_or(Vec::new(), |(_, query)| query.split('&').map(str::to_owned).collect())
}

fn unknown_parameters_are_dropped_or_refused_by_name() {
    let bench = open();
    let (mut dropped, mut refused) = (0, 0);
    for operation in operations() {
        for unknown in ["later=1", "later", "Filters=%7B%7D", "force%5b%5D=1", "%FF=1", "x=%00", "=1"] {
            let (answer, up) = asked(&bench, request(operation, &[unknown.to_owned()], needed(operation)));
            let is_write = !matches!(operation.method, Method::Get | Method::Head) && operation.mutating;
            if is_write && operation.body == RequestBody::None {
                assert_eq!((status(&answer), up), (400, None), "{} {unknown}: {answer}", operation.id);
                let name = unknown.split('=').next().unwrap();
                let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !name.is_empty();
                assert_eq!(answer.contains(&format!(r#"unknown query parameter \"{name}\""#)), is_plain, "{answer}");
                refused += 1;
            } else {
                let up = up.unwrap_or_else(|| panic!("{} {unknown}: {answer}", operation.id));
                assert_eq!(query_of(&up), [""; 0], "{} {unknown}: {up}", operation.id);
                dropped += 1;
            }
        }
    }
    assert!(dropped > 500 && refused > 150, "{dropped} {refused}");
}

/// A value of a parameter that no check refuses.
fn value(name: &str, number: usize) -> String {
    let text = match name {
        "filters" => ["%7B%7D", "%7B%22x%22:%5B%5D%7D"][number],
        // Docker would pass this to a program, or leave the schema.
        "stream" => ["0", "1"][number],
        _ => ["1", "2"][number],
    };
    format!("{name}={text}")
}

fn only_the_values_that_the_engine_reads_reach_the_daemon() {
    let bench = open();
    let mut asked_for = 0;
    for operation in operations() {
        for known in operation.query {
            let twice: Vec<String> = (0..2).map(|number| value(known.name, number)).collect();
            // The name in another case, in escapes, and a second time: Podman would read all of them.
            let escaped: String = known.name.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let mut query = vec![twice[0].clone(), twice[1].replace(known.name, &escaped)];
            if operation.drops_parameter("x") {
                query.insert(0, twice[1].replace(known.name, &known.name.to_uppercase()));
                query.push(twice[1].replace(known.name, &format!("{}[]", known.name)));
            }
            let (answer, up) = asked(&bench, request(operation, &query, needed(operation)));
            let up = up.unwrap_or_else(|| panic!("{} {query:?}: {answer}", operation.id));
            let expected: &[String] = if known.kind == ParameterKind::List { &twice } else { &twice[..1] };
            let is_upper = known.name == known.name.to_uppercase();
            assert!(query_of(&up) == expected && !is_upper, "{} {query:?}: {up}", operation.id);
            asked_for += 1;
        }
    }
    assert!(asked_for > 200, "{asked_for}");
}

fn a_body_that_the_engine_does_not_read_stays_here() {
    let bench = open();
    let unread = |operation: &&Operation| operation.body == RequestBody::None || operation.id == "ImageCreate";
    let mut dropped = 0;
    for operation in operations().filter(unread) {
        for (kind, is_form) in [
            ("Content-Type: application/json\r\n", false),
            ("Content-Type: application/x-tar\r\nContent-Type: application/json\r\n", false),
            ("", false),
            ("Content-Type: application/x-www-form-urlencoded\r\n", true),
        ] {
            for body in
                ["Content-Length: 6\r\n\r\nsize=1", "Transfer-Encoding: chunked\r\n\r\n6\r\nsize=1\r\n0\r\n\r\n"]
            {
                let (answer, up) = asked(&bench, request(operation, &[], &format!("{kind}{body}")));
                match up {
                    None => assert!(is_form && status(&answer) == 400, "{} {kind}: {answer}", operation.id),
                    Some(up) => {
                        let up = up.to_lowercase();
                        assert!(!is_form && up.ends_with("\r\n\r\n"), "{} {kind}: {up}", operation.id);
                        let told = ["content-type", "transfer-encoding", "content-length: 6"];
                        assert!(!told.iter().any(|name| up.contains(name)), "{} {kind}: {up}", operation.id);
                        dropped += 1;
                    }
                }
            }
            // A form without a parameter is none.
            let (answer, up) = asked(&bench, request(operation, &[], &format!("{kind}Content-Length: 0\r\n\r\n")));
            assert!(up.is_some(), "{} {kind}: {answer}", operation.id);
        }
    }
    assert!(dropped > 400, "{dropped}");
}

fn a_body_that_the_engine_reads_has_the_type_that_it_expects() {
    let bench = open();
    let mut passed = 0;
    for operation in operations() {
        let (body, types): (_, &[&str]) = match operation.body {
            RequestBody::None | RequestBody::Raw => continue,
            RequestBody::Json | RequestBody::OptionalJson => {
                ("application/json", &["application/json", "Application/JSON;charset=utf-8"])
            }
            // As the docker command, docker-py, dockerode, bollard, curl and Compose write it.
            RequestBody::Tar | RequestBody::OptionalTar => (
                "application/x-tar",
                &["", "text/plain", "application/json", "application/tar", "application/octet-stream", "a/b; c", "x"],
            ),
        };
        let import = [value("fromSrc", 0).replace('1', "-")];
        let query = if operation.id == "ImageCreate" { &import[..] } else { &[] };
        for kind in types {
            let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
            let (answer, up) =
                asked(&bench, request(operation, query, &format!("{kind}Content-Length: 2\r\n\r\n{{}}")));
            let up = up.unwrap_or_else(|| panic!("{} {kind}: {answer}", operation.id)).to_lowercase();
            assert!(up.ends_with("\r\n\r\n{}"), "{} {kind}: {up}", operation.id);
            assert_eq!(up.matches("content-type").count(), 1, "{} {kind}: {up}", operation.id);
            assert!(up.contains(&format!("\r\ncontent-type: {body}\r\n")), "{} {kind}: {up}", operation.id);
            passed += 1;
        }
    }
    assert!(passed > 60, "{passed}");
}

/// Docker reads the first value, Podman the last; Podman does not look at the case of a name either.
fn a_second_value_cannot_hide_behind_the_first() {
    let bench = Bench::profiled(
        "profile: test\nallow: [ContainerList, ContainerStats, ContainerTop, ContainerLogs]\nshow: [identity]\nlabels: [app]\n",
        |_| json("[]"),
    );
    let (shown, hidden) = ("filters={\"label\":[\"app=1\"]}", "filters={\"label\":[\"token=1\"]}");
    for (target, expected) in [
        (
            format!("/containers/json?{shown}&{hidden}"),
            Some("/containers/json?filters=%7B%22label%22:%5B%22app%3D1%22%5D%7D"),
        ),
        (format!("/containers/json?{hidden}&{shown}"), None),
        (format!("/containers/json?%66ilters=&{hidden}"), Some("/containers/json?filters=")),
        (
            format!("/containers/json?F{}&{shown}", &hidden[1..]),
            Some("/containers/json?filters=%7B%22label%22:%5B%22app%3D1%22%5D%7D"),
        ),
        (format!("/containers/json?x=%26{hidden}"), Some("/containers/json")),
        (format!("/containers/json?x=1;{hidden}"), None),
        (format!("/containers/json?x={}&all=1", hidden.replace('=', "%3D")), Some("/containers/json?all=1")),
        ("/containers/a/top?ps_args=&ps_args=eww".to_owned(), None),
        ("/containers/a/top?PS_ARGS=eww".to_owned(), Some("/containers/a/top")),
        ("/containers/a/logs?details=0&details=1&stdout=1".to_owned(), Some("/containers/a/logs?details=0&stdout=1")),
        ("/containers/a/logs?details=1&details=0&stdout=1".to_owned(), None),
        ("/containers/a/logs?Details=1&stdout=1".to_owned(), Some("/containers/a/logs?stdout=1")),
        ("/containers/a/stats?stream=0&stream=1".to_owned(), Some("/containers/a/stats?stream=0")),
        ("/containers/a/stats?Stream=1&stream=0".to_owned(), Some("/containers/a/stats?stream=0")),
    ] {
        let (answer, up) = asked(&bench, format!("GET {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"));
        let up = up.map(|up| up.split(' ').nth(1).unwrap().trim_start_matches("/v1.51").to_owned());
        assert_eq!(up.as_deref(), expected, "{target}: {answer}");
    }
}

/// As dockerode sends it: the whole body in the query.
fn a_long_target_reaches_the_daemon_without_what_is_superfluous() {
    let bench = open();
    let ask = |length: usize, name: &str| {
        let variable = "a".repeat(length);
        let request = format!(
            "POST /containers/create?name=web&{name}=%5B%22TOKEN%3D{variable}%22%5D&Image=a HTTP/1.1\r\nHost: d\r\nConnection: \
             close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        asked(&bench, request)
    };
    for length in [10, 8 << 10, 60 << 10] {
        let (answer, up) = ask(length, "Env");
        let up = up.unwrap_or_else(|| panic!("{length}: {answer}"));
        assert!(up.starts_with("POST /v1.51/containers/create?name=web HTTP/1.1\r\n"), "{up}");
    }
    let (answer, up) = ask(65 << 10, "Env");
    assert_eq!((status(&answer), up), (414, None), "{answer}");
    // What goes up may be longer than what came.
    let (answer, up) = asked(
        &bench,
        format!(
            "GET /containers/json?filters={} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
            "(".repeat(60 << 10)
        ),
    );
    assert!(status(&answer) == 403 && up.is_none(), "{answer}");
    let (answer, up) = asked(
        &bench,
        format!(
            "GET /containers/a/top?ps_args={} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
            "(".repeat(60 << 10)
        ),
    );
    assert_eq!((status(&answer), up), (414, None), "{answer}");
}

fn a_dropped_body_has_a_limit_and_hides_no_request() {
    let bench = open();
    let stop = "POST /containers/web/stop HTTP/1.1\r\nHost: d\r\n";
    let hidden = "DELETE /containers/web?force=1 HTTP/1.1\r\nHost: d\r\n\r\n";
    let list = "GET /containers/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
    let mut client = bench.client();
    client.send(format!("{stop}Content-Length: {}\r\n\r\n{hidden}{list}", hidden.len()));
    let answers = client.rest();
    let lines: Vec<String> =
        bench.daemon.requests().iter().map(|request| request.lines().next().unwrap().to_owned()).collect();
    let expected = ["POST /v1.51/containers/web/stop HTTP/1.1", "GET /v1.51/containers/json HTTP/1.1"];
    assert_eq!(lines, expected, "{answers}");

    let (long, short) = ("x".repeat((1 << 20) + 1), "x".repeat(1 << 20));
    let (answer, up) =
        asked(&bench, format!("{stop}Connection: close\r\nContent-Length: {}\r\n\r\n{short}", short.len()));
    assert!(up.is_some() && status(&answer) == 200, "{answer}");
    let (answer, up) =
        asked(&bench, format!("{stop}Connection: close\r\nContent-Length: {}\r\n\r\n{long}", long.len()));
    assert_eq!((status(&answer), up), (413, None), "{answer}");
    // It is asked for, as the client expects, before the daemon is asked.
    let mut client = bench.client();
    client.send(format!("{stop}Expect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"));
    client.read_until("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("{}");
    assert_eq!(status(&client.rest()), 200);
}

/// As these clients write them: docker 28.5, dockerode 5.0.1 with docker-modem 5.0.7, docker-py 7.1, bollard 0.21.
fn requests_of_clients_reach_the_daemon() {
    let bench = open();
    let json = |body: &str| format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let plain = "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}".to_owned();
    let tar = |fields: &str| format!("{fields}Content-Length: 3\r\n\r\ntar");
    for (line, rest, up_line, up_body) in [
        // docker push
        ("POST /v1.51/images/a/push?tag=1", plain, "POST /v1.51/images/a/push?tag=1", ""),
        // dockerode: stop, restart, rename, resize, prune, leave, start
        (
            "POST /containers/a/stop?t=1&abortSignal=%7B%7D",
            json(r#"{"t":1,"abortSignal":{}}"#),
            "POST /v1.51/containers/a/stop?t=1",
            "",
        ),
        ("POST /containers/a/restart?t=0", json(r#"{"t":0}"#), "POST /v1.51/containers/a/restart?t=0", ""),
        ("POST /containers/a/rename?name=b", json(r#"{"name":"b"}"#), "POST /v1.51/containers/a/rename?name=b", ""),
        ("POST /containers/a/resize?h=1&w=2", json(r#"{"h":1,"w":2}"#), "POST /v1.51/containers/a/resize?h=1&w=2", ""),
        (
            "POST /containers/prune?filters=%7B%7D",
            json(r#"{"filters":{}}"#),
            "POST /v1.51/containers/prune?filters=%7B%7D",
            "",
        ),
        ("POST /swarm/leave?force=true", json(r#"{"force":true}"#), "POST /v1.51/swarm/leave?force=true", ""),
        (
            "POST /images/a/tag?repo=b&tag=1",
            json(r#"{"repo":"b","tag":"1"}"#),
            "POST /v1.51/images/a/tag?repo=b&tag=1",
            "",
        ),
        // dockerode: pull with credentials among the options
        (
            "POST /images/create?authconfig=%7B%22username%22%3A%22a%22%7D&fromImage=a&tag=1",
            json(r#"{"authconfig":{"username":"a"},"fromImage":"a","tag":"1"}"#),
            "POST /v1.51/images/create?fromImage=a&tag=1",
            "",
        ),
        // dockerode: create
        (
            "POST /containers/create?Image=a&Cmd=%5B%22sh%22%5D&name=web",
            json(r#"{"Image":"a","Cmd":["sh"],"name":"web"}"#),
            "POST /v1.51/containers/create?name=web",
            r#"{"Image":"a","Cmd":["sh"],"name":"web"}"#,
        ),
        // bollard: import
        (
            "POST /images/create?fromSrc=-&repo=a%3A1&platform=",
            tar("Content-Type: application/json\r\n"),
            "POST /v1.51/images/create?fromSrc=-&repo=a:1&platform=",
            "tar",
        ),
        // bollard: load, build
        (
            "POST /images/load?quiet=false",
            tar("Content-Type: application/json\r\nContent-Type: application/json\r\n"),
            "POST /v1.51/images/load?quiet=false",
            "tar",
        ),
        (
            "POST /build?dockerfile=a&t=b&dockerfile=a",
            tar("Content-Type: application/x-tar\r\nContent-Type: application/json\r\n"),
            "POST /v1.51/build?dockerfile=a&t=b",
            "tar",
        ),
        // docker-py: put_archive, load, create_plugin, remove a link
        ("PUT /v1.51/containers/a/archive?path=%2Fvol1", tar(""), "PUT /v1.51/containers/a/archive?path=/vol1", "tar"),
        (
            "POST /v1.51/plugins/create?name=docker-sdk-py%2Fdummy",
            tar(""),
            "POST /v1.51/plugins/create?name=docker-sdk-py/dummy",
            "tar",
        ),
        (
            "DELETE /v1.51/containers/web/db?v=False&link=True&force=False",
            "\r\n".to_owned(),
            "DELETE /v1.51/containers/web/db?v=False&link=True&force=False",
            "",
        ),
        // API 1.56
        ("POST /v1.51/containers/prune?stream=1", "\r\n".to_owned(), "POST /v1.51/containers/prune", ""),
    ] {
        let (answer, up) = asked(&bench, format!("{line} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n{rest}"));
        let up = up.unwrap_or_else(|| panic!("{line}: {answer}"));
        assert!(up.starts_with(&format!("{up_line} HTTP/1.1\r\n")), "{line}: {up}");
        assert_eq!(up.split_once("\r\n\r\n").unwrap().1, up_body, "{line}: {up}");
    }
}
