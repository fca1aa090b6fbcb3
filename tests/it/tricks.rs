//! The known ways past a naive proxy. Each is refused, or filtered like the plain request.

use std::time::{Duration, Instant};

use crate::harness::{Test, tests};
use crate::support::client::{get, status};
use crate::support::daemon::json;
use crate::support::proxy::Bench;

pub(crate) const TESTS: &[Test] = tests![
    all_spellings_of_an_operation_reach_the_daemon_in_one,
    ambiguous_spellings_do_not_reach_the_daemon,
    only_the_method_of_an_operation_is_accepted,
    headers_that_change_an_answer_are_not_passed_on,
    a_name_of_an_image_is_no_place_on_the_host,
    bodies_that_hide_parameters_are_refused,
    a_client_that_expects_100_continue_gets_it_from_the_program,
    a_request_hidden_in_a_body_stays_in_the_body,
    an_idle_connection_and_an_unfinished_body_time_out
];

const BODY: &str = r#"{"Id":"1","Name":"/a","Path":"canary","State":{}}"#;

/// The program, with a daemon that answers with an array or a document, as the operation requires.
fn bench() -> Bench {
    Bench::start(|request| {
        let path = request.split([' ', '?']).nth(1).unwrap();
        let list = path.ends_with("/containers/json") || path.ends_with("/networks");
        json(&if list { format!("[{BODY}]") } else { BODY.to_owned() })
    })
}

/// The request lines that the daemon received.
fn lines(bench: &Bench) -> Vec<String> {
    bench.daemon.requests().iter().map(|request| request.lines().next().unwrap().to_owned()).collect()
}

fn all_spellings_of_an_operation_reach_the_daemon_in_one() {
    for (target, sent) in [
        ("/containers/json", "/v1.51/containers/json"),
        ("/%63ontainers/json", "/v1.51/containers/json"),
        ("/v1.44/containers/%6A%73on", "/v1.44/containers/json"),
        ("/v1.24/containers/json", "/v1.24/containers/json"),
        ("/networks", "/v1.51/networks"),
        ("/networks/", "/v1.51/networks"),
        ("/containers/json/json", "/v1.51/containers/json/json"),
        ("/images/x/history/json", "/v1.51/images/x/history/json"),
        ("/images/get/json", "/v1.51/images/get/json"),
        ("/networks/create", "/v1.51/networks/create"),
        ("/volumes/create", "/v1.51/volumes/create"),
        ("/containers/a/json", "/v1.51/containers/a/json"),
        ("http://evil/containers/json", "/v1.51/containers/json"),
        ("x:/v1.44/containers/json", "/v1.44/containers/json"),
    ] {
        let bench = bench();
        let answer = bench.ask(get(target));
        assert_eq!(status(&answer), 200, "{target}: {answer}");
        assert!(!answer.contains("canary"), "{target}: {answer}");
        assert_eq!(lines(&bench), [format!("GET {sent} HTTP/1.1")], "{target}");
    }
}

fn ambiguous_spellings_do_not_reach_the_daemon() {
    let bench = bench();
    for (expected, targets) in [
        (
            400,
            "/containers%2Fjson /v1.44./containers/json /v1.44.0/containers/json /v01.044/containers/json \
             http://a@evil/containers/json x:containers/json //containers/json http://evil/x/../containers/json /x/../containers/json /./containers/json \
             /containers/%2e%2e/containers/json /containers/a%2F..%2Fb/json /containers//json /V1.44/info \
             /containers/a%0Ab/json /services/a%2Fb /v1/info /v1..44/info /v2/info /v9.99/info /v1.23/info \
             /containers/a%/json /containers/%zz/json /info?a;b=1 /info#x /containers/json?x=%zz /containers/json?all=1&all=% \
             /%2563ontainers/json /containers/a%00/json /containers\\json /containers/%ff/json /v1.44%2Finfo \
             /v1%2E44/info /%76%31.44/info containers/json * ?all=1",
        ),
        (
            404,
            "/Containers/json /containers/json/ /info/ /v1.44/v1.43/info /networks/x/ /volumes/ /containers/a/logs/json \
             /libpod/containers/json /v4/libpod/info?x /v1.44/libpod/info /v4.3.1/%6cibpod/_ping \
             /moby.buildkit.v1.Control/Solve / /v1.44",
        ),
        (403, "/images/json /secrets/a /configs /containers/a/attach/ws /debug/pprof/ /swarm /plugins"),
    ] {
        for target in targets.split_whitespace() {
            let answer = bench.ask(get(target));
            assert_eq!(status(&answer), expected, "{target}: {answer}");
            assert!(answer.contains("\r\n\r\n{\"message\":\""), "{target}: {answer}");
            assert_eq!(answer.contains("podman's own"), target.contains("ibpod"), "{target}: {answer}");
        }
    }
    assert_eq!(lines(&bench), [""; 0]);
}

fn only_the_method_of_an_operation_is_accepted() {
    let bench = bench();
    for line in [
        "HEAD /info",
        "HEAD /containers/json",
        "get /info",
        "Get /containers/json",
        "OPTIONS /containers/json",
        "PATCH /containers/json",
        "TRACE /containers/json",
        "POST /containers/json",
        "PROPFIND /",
        "CONNECT /info",
    ] {
        assert_eq!(status(&bench.ask(format!("{line} HTTP/1.1\r\nHost: d\r\n\r\n"))), 404, "{line}");
    }
    for line in ["OPTIONS *", "CONNECT d:80", "GET *"] {
        assert_eq!(status(&bench.ask(format!("{line} HTTP/1.1\r\nHost: d\r\n\r\n"))), 400, "{line}");
    }
    for field in ["X-HTTP-Method-Override: DELETE", "X-Original-URL: /secrets", "X-Rewrite-URL: /secrets"] {
        let answer = bench.ask(format!("GET /containers/a/json HTTP/1.1\r\nHost: d\r\n{field}\r\n\r\n"));
        assert_eq!(status(&answer), 200, "{field}");
    }
    assert_eq!(lines(&bench), ["GET /v1.51/containers/a/json HTTP/1.1"; 3]);
}

/// The engine receives a clean request, without the fields of the client.
fn headers_that_change_an_answer_are_not_passed_on() {
    let fields = "Accept-Encoding: gzip\r\nTE: trailers\r\nRange: bytes=0-1\r\nIf-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
                  Accept: application/json-seq\r\nContent-Type: application/grpc\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\
                  Connection: Upgrade, HTTP2-Settings, X-Hop\r\nX-Hop: 1\r\nX-Registry-Auth: e30=\r\nX-Meta-A: b\r\n\
                  Authorization: Basic YQ==\r\nProxy-Authorization: a\r\nForwarded: for=a\r\nX-Forwarded-For: a\r\n";
    for target in ["/containers/a/json", "/containers/json", "/containers/a/stats?stream=0"] {
        let bench = bench();
        let answer = bench.ask(format!("GET {target} HTTP/1.1\r\nHost: evil\r\n{fields}\r\n"));
        assert_eq!(status(&answer), 200, "{target}: {answer}");
        assert!(!answer.contains("canary"), "{target}: {answer}");
        assert_eq!(bench.daemon.requests(), [format!("GET /v1.51{target} HTTP/1.1\r\nhost: docker\r\n\r\n")]);
    }
    // So it is with streams, except that a client chooses the framing of events.
    let bench = bench();
    let ask = |target: &str| {
        let mut client = bench.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: evil\r\n{fields}\r\n"));
        assert_eq!(status(&client.response()), 200, "{target}");
    };
    for target in ["/containers/a/logs?stdout=1", "/containers/a/stats"] {
        ask(target);
        let sent = bench.daemon.requests().pop().unwrap();
        assert_eq!(sent, format!("GET /v1.51{target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"));
    }
    ask("/events");
    let sent = bench.daemon.requests().pop().unwrap();
    assert!(sent.contains("Accept: application/json-seq\r\n") && !sent.contains("gzip"), "{sent}");
}

/// For Podman, many texts are the name of an image: what opens a store or reads an archive on its host is one.
fn a_name_of_an_image_is_no_place_on_the_host() {
    let names = [
        "containers-storage:[overlay@/etc/a+/run/a:x=y]docker.io/library/x:1",
        "containers-storage:x",
        "docker-archive:/srv/a.tar",
        "docker-archive:/srv/a.tar:x:1",
        "docker-daemon:x:1",
        "dir:/etc",
        "dir:a",
        "oci:/srv/a:x",
        "oci:a",
        "oci-archive:/srv/a.tar",
        "ostree:x@/srv",
        "sif:/srv/a",
        "tarball:/srv/a.tar",
        "atomic:h/a/b:1",
        "docker://h/a",
        "new-transport:/etc/a",
    ];
    let escape = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let (dashboard, open) = (bench(), Bench::profiled("profile: test\nallow: [all]\nshow: all\n", |_| json(BODY)));
    let hiding =
        Bench::profiled("profile: test\nallow: [all]\nshow: all\ncontainers: {never: [{label: a}]}", |_| json(BODY));
    let mut refused = 0;
    for operation in dockveil::api::OPERATIONS {
        let method = operation.method.as_str();
        let ask = |target: &str, body: Option<String>| {
            let body = body.map_or_else(String::new, |body| {
                format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            });
            let ending = if body.is_empty() { "\r\n" } else { "" };
            for bench in [&dashboard, &open, &hiding] {
                let answer = bench.ask(format!("{method} {target} HTTP/1.1\r\nHost: d\r\n{body}{ending}"));
                assert!([400, 403].contains(&status(&answer)), "{method} {target} {body}: {answer}");
                assert_eq!(lines(bench), [""; 0], "{method} {target} {body}");
            }
        };
        let plain = operation.template.replace("{reference}", "x").replace("{id}", "x").replace("{checkpoint}", "x");
        for name in names {
            let written = escape(name);
            if operation.template.contains("{reference}") {
                ask(&operation.template.replace("{reference}", &written), None);
                // Unescaped, where that is a target.
                ask(&operation.template.replace("{reference}", &name.replace("//", "/")), None);
                refused += 1;
            }
            for parameter in operation.query {
                match parameter.name {
                    "fromImage" | "repo" | "names" => ask(&format!("{plain}?{}={written}", parameter.name), None),
                    // Podman puts it behind the name and a colon.
                    "tag" if name.starts_with("containers-storage:[") => {
                        let (transport, rest) = name.split_once(':').unwrap();
                        let of = ["fromImage", "repo"]
                            .into_iter()
                            .filter(|of| operation.query.iter().any(|parameter| parameter.name == *of));
                        for of in of {
                            ask(&format!("{plain}?{of}={transport}&tag={}", escape(rest)), None);
                            ask(&format!("{plain}?{of}={transport}&tag=x"), None);
                            ask(&format!("{plain}?{of}=x&tag={}", escape(rest)), None);
                        }
                    }
                    "filters" if !name.starts_with("new-") => {
                        for key in ["ancestor", "before", "since", "reference", "image"] {
                            let filters = serde_json::json!({ key: [name] }).to_string();
                            ask(&format!("{plain}?filters={}", escape(&filters)), None);
                        }
                    }
                    _ => continue,
                }
                refused += 1;
            }
        }
    }
    assert!(refused > 200, "{refused}");
    for name in names {
        for body in [
            serde_json::json!({"Image": name}),
            serde_json::json!({"Image": "x", "HostConfig": {"Mounts": [{"Type": "image", "Source": name, "Target": "/a"}]}}),
        ] {
            let body = body.to_string();
            let head = format!("POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n", body.len());
            let answer = hiding.ask(format!("{head}Content-Type: application/json\r\n\r\n{body}"));
            assert_eq!((status(&answer), lines(&hiding).len()), (403, 0), "{body}: {answer}");
        }
    }
}

fn bodies_that_hide_parameters_are_refused() {
    let bench = bench();
    let lines_of_requests = [
        "POST /containers/a/attach?logs=0",
        "POST /exec/a/start",
        "POST /containers/a/wait",
        "POST /containers/create",
        "GET /containers/a/json",
    ];
    for (kind, body) in [
        ("application/x-www-form-urlencoded", "logs=1&stdout=1"),
        ("Application/X-WWW-Form-URLencoded ; charset=utf-8", "logs=1&stdout=1"),
        ("application/x-tar\r\nContent-Type: application/x-www-form-urlencoded", "logs=1&stdout=1"),
        ("multipart/form-data; boundary=a", "--a--"),
    ] {
        for line in lines_of_requests {
            let head = format!("{line} HTTP/1.1\r\nHost: d\r\nContent-Type: {kind}\r\n");
            let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
            for rest in [
                format!("Content-Length: {}\r\n\r\n{body}", body.len()),
                format!("Transfer-Encoding: chunked\r\n\r\n{chunk}"),
            ] {
                let answer = bench.ask(format!("{head}{rest}"));
                assert_eq!(status(&answer), 400, "{head:?}: {answer}");
                assert!(answer.contains("the request body is a form"), "{head:?}: {answer}");
            }
        }
    }
    // The engine takes nothing but JSON here.
    for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: application/grpc\r\n"] {
        for line in ["POST /exec/a/start", "POST /containers/create"] {
            let answer = bench.ask(format!("{line} HTTP/1.1\r\nHost: d\r\n{kind}Content-Length: 2\r\n\r\n{{}}"));
            assert_eq!(status(&answer), 400, "{line} {kind}: {answer}");
        }
    }
    assert_eq!(lines(&bench), [""; 0]);
}

fn a_client_that_expects_100_continue_gets_it_from_the_program() {
    let bench = bench();
    let mut client = bench.client();
    client.send(
        "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    client.read_until("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(lines(&bench).len(), 0);
    client.send("{}");
    assert_eq!(status(&client.response()), 200);
    let sent = bench.daemon.requests().pop().unwrap();
    assert!(sent.ends_with("\r\n\r\n{}") && !sent.to_lowercase().contains("expect"), "{sent}");
    // A denied request is denied before its body arrives.
    let mut client = bench.client();
    client.send("POST /containers/a/stop HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(status(&client.response()), 403);
}

fn a_request_hidden_in_a_body_stays_in_the_body() {
    let bench = bench();
    let hidden = "GET /secrets HTTP/1.1\r\nHost: d\r\n\r\n";
    let answers = bench.ask(format!(
        "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{hidden}{}",
        hidden.len(),
        get("/containers/a/json"),
    ));
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    assert_eq!(lines(&bench).len(), 2);
    assert_eq!(lines(&bench)[1], "GET /v1.51/containers/a/json HTTP/1.1");
}

fn an_idle_connection_and_an_unfinished_body_time_out() {
    let patience = Duration::from_millis(100);
    let bench = Bench::with(|_| json("{}"), move |config| config.timeouts.idle = patience);
    let started = Instant::now();
    assert_eq!(bench.client().rest(), "");
    assert!(started.elapsed() >= patience);
    let mut client = bench.client();
    client.send(
        "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"Im",
    );
    assert!(!client.rest().contains("200 OK"));
}
