//! Events and stats record by record: each leaves at once and without what is hidden, and nothing ends well that is broken.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use dockveil::cli;
use dockveil::command;
use dockveil::filter::{RecordFilter, Report};
use dockveil::policy::{Decision, Policy};
use dockveil::profile::Profiles;
use dockveil::route;
use dockveil::schema::Class;
use serde_json::Value;

use crate::canaries::ADDRESSED;
use crate::support::client::{Client, get, status};
use crate::support::daemon::{Reply, json};
use crate::support::fixture;
use crate::support::proxy::Bench;

const PROFILE: &str = "profile: test\nallow: [ContainerStats, SystemEvents]\nshow: [identity, state, topology]\n\
                       labels: [\"shop.*\"]\nevents: filtered\nstats: filtered\n";

/// An event as an engine sends it, without what ends it.
const EVENT: &str = r#"{"status":"exec_start: sh -c canary-command","id":"c0","from":"web:1","Type":"container","Action":"exec_start: sh -c canary-command","Actor":{"ID":"c0","Attributes":{"canary-key":"1","execID":"0af","image":"web:1","name":"web","shop.tier":"front","token":"canary-label"}},"scope":"local","time":1,"timeNano":1000000007}"#;
/// What is left of it.
const LEFT: &str = r#"{"status":"exec_start","id":"c0","from":"web:1","Type":"container","Action":"exec_start","Actor":{"ID":"c0","Attributes":{"execID":"0af","image":"web:1","name":"web","shop.tier":"front"}},"scope":"local","time":1,"timeNano":1000000007}"#;

/// The head of a chunked stream of this type.
fn head(kind: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\n{}Server: canary\r\nTransfer-Encoding: chunked\r\n\r\n",
        if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") }
    )
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

const END: &str = "0\r\n\r\n";

/// The answer to a request for events that the engine answers with these bytes and then closes.
fn ask(request: &str, answer: String) -> String {
    let bench = Bench::profiled(PROFILE, move |_| Reply::Close(answer.clone().into_bytes()));
    let mut client = bench.client();
    client.send(request);
    let answer = client.rest();
    assert!(!answer.contains("canary"), "{answer}");
    answer
}

/// The body of a stream, and whether it came to its end.
#[track_caller]
fn body(answer: &str) -> (String, bool) {
    let (head, mut rest) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Transfer-Encoding: chunked") && head.contains("Connection: close"), "{head}");
    let mut body = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            assert_eq!(behind, "\r\n");
            return (body, true);
        }
        body.push_str(&behind[..size]);
        rest = behind[size..].strip_prefix("\r\n").unwrap();
    }
    assert_eq!(rest, "");
    (body, false)
}

/// A daemon that answers with a head and hands the connection to the test, and a client that has read the head.
fn open(bench: impl FnOnce(Box<dyn Fn(&str) -> Reply + Send + Sync>) -> Bench) -> (Bench, Client, UnixStream) {
    let (hand, taken) = mpsc::channel();
    let hand = Mutex::new(hand);
    let bench = bench(Box::new(move |_| {
        let hand = hand.lock().unwrap().clone();
        Reply::Then(head("application/json").into(), Box::new(move |stream| hand.send(stream).unwrap()))
    }));
    let mut client = bench.client();
    client.send(get("/events"));
    client.read_until("\r\n\r\n");
    let daemon = taken.recv_timeout(Duration::from_secs(5)).unwrap();
    (bench, client, daemon)
}

fn filtered() -> (Bench, Client, UnixStream) {
    open(|answer| Bench::profiled(PROFILE, answer))
}

#[test]
fn an_event_comes_without_what_is_hidden_in_every_framing() {
    for (kind, mark) in [
        ("application/json", ""),
        ("application/jsonl", ""),
        ("application/x-ndjson", ""),
        ("application/json-seq", "\u{1e}"),
        ("application/json; charset=utf-8", ""),
        ("", ""),
    ] {
        let record = format!("{mark}{EVENT}\n");
        let left = format!("{mark}{LEFT}\n");
        let (front, back) = record.split_at(40);
        for sent in [
            format!("{}{}{END}", chunk(&record), chunk(&record)),
            format!("{}{END}", chunk(&format!("{record}{record}"))),
            format!("{}{}{}{}{END}", chunk(front), chunk(back), chunk(front), chunk(back)),
        ] {
            let answer = ask(&get("/events"), head(kind) + &sent);
            assert_eq!(body(&answer), (format!("{left}{left}"), true), "{kind}");
            let name = kind.split(';').next().unwrap();
            assert_eq!(answer.contains(&format!("Content-Type: {name}\r\n")), !kind.is_empty(), "{answer}");
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\n"), "{answer}");
        }
        let whole = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", record.len());
        if !kind.is_empty() {
            assert_eq!(body(&ask(&get("/events?until=1"), whole + &record)), (left, true), "{kind}");
        }
    }
}

#[test]
fn a_client_chooses_among_the_framings_that_there_are() {
    for (accept, up) in
        [("application/json-seq", true), ("application/jsonl", true), ("*/*", false), ("text/event-stream", false)]
    {
        let bench = Bench::profiled(PROFILE, |_| Reply::Close((head("application/json") + END).into_bytes()));
        let mut client = bench.client();
        client.send(format!("GET /v1.24/events HTTP/1.1\r\nHost: d\r\nAccept: {accept}\r\n\r\n"));
        assert!(client.rest().ends_with(END));
        let request = bench.daemon.requests().pop().unwrap();
        assert_eq!(request.contains(&format!("Accept: {accept}\r\n")), up, "{request}");
        assert!(request.starts_with("GET /v1.24/events HTTP/1.1\r\n"), "{request}");
    }
}

#[test]
fn an_event_leaves_with_its_last_brace_however_long_it_was_silent() {
    let (_bench, mut client, mut daemon) = filtered();
    // Longer than the engine may take for a head, and than a client may be idle between requests.
    std::thread::sleep(Duration::from_millis(2500));
    for _ in 0..3 {
        let sent = Instant::now();
        // The chunk has not ended, nor has the line.
        daemon.write_all(format!("{:x}\r\n{EVENT}", EVENT.len() + 1).as_bytes()).unwrap();
        client.read_until("\"timeNano\":1000000007}\n\r\n");
        assert!(sent.elapsed() < Duration::from_millis(200));
        daemon.write_all(b"\n\r\n").unwrap();
    }
}

#[test]
fn the_head_of_a_silent_stream_is_not_held_back() {
    let started = Instant::now();
    let (_bench, _client, _daemon) = filtered();
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[test]
fn what_is_broken_never_ends_well() {
    let good = chunk(&format!("{EVENT}\n"));
    for broken in [
        // Not JSON, and JSON that cannot be filtered for certain.
        chunk("{\"Action\":canary}\n") + END,
        chunk("canary\n") + END,
        chunk("null\n") + END,
        chunk("[\"canary\"]\n") + END,
        chunk("{\"Action\":\"a\",\"Action\":\"canary\"}\n") + END,
        chunk("{\"Action\":\"a\",\"action\":\"canary\"}\n") + END,
        chunk("{\"Actor\":{\"Attributes\":{\"name\":[\"canary\"]}}}\n") + END,
        chunk("\u{1e}{\"Action\":\"canary\"}\n") + END,
        chunk(&format!("{{\"from\":\"{}\"}}\n", "a".repeat(1 << 20))) + END,
        // A record, a chunk or a body that is cut short.
        chunk("{\"Action\":\"canary") + END,
        chunk("{\"Action\":\"canary"),
        "20\r\n{\"Action\":\"canary".to_owned(),
        String::new(),
        // Not plainly chunked.
        "canary".to_owned(),
        "3;canary=1\r\n{}\n\r\n0\r\n\r\n".to_owned(),
        "0\r\nCanary: 1\r\n\r\n".to_owned(),
    ] {
        for before in ["", &good] {
            let answer = ask(&get("/events"), format!("{}{before}{broken}", head("application/json")));
            let left = if before.is_empty() { String::new() } else { format!("{LEFT}\n") };
            assert_eq!(body(&answer), (left, false), "{broken}");
        }
    }
    let short = format!("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{EVENT}\n");
    assert_eq!(body(&ask(&get("/events"), short)), (format!("{LEFT}\n"), false));
}

#[test]
fn what_is_no_stream_of_records_is_withheld() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        // The end of a connection may be a cut.
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
        "HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n",
    ] {
        assert_eq!(status(&ask(&get("/events"), format!("{head}{}", chunk(EVENT)))), 502, "{head}");
    }
    let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 20\r\n\r\n{\"message\":\"canary\"}";
    assert_eq!(status(&ask(&get("/events"), refused.to_owned())), 400);
    assert_eq!(status(&ask("GET /events HTTP/1.0\r\n\r\n", head("") + END)), 505);
}

#[test]
fn the_daemon_is_left_when_the_client_leaves() {
    let (_bench, client, mut daemon) = filtered();
    daemon.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let left = Instant::now();
    drop(client);
    assert!(!matches!(daemon.read(&mut [0]), Ok(1..)));
    assert!(left.elapsed() < Duration::from_millis(500));
}

#[test]
fn a_slow_client_loses_nothing_while_it_is_not_too_far_behind() {
    const EVENTS: usize = 2000;
    let (_bench, mut client, mut daemon) = filtered();
    daemon.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let event = chunk(&format!("{EVENT}\n"));
    // The daemon is done long before the client has begun to read.
    for _ in 0..EVENTS {
        daemon.write_all(event.as_bytes()).unwrap();
    }
    daemon.write_all(END.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let rest = client.rest();
    assert_eq!(rest.matches(LEFT).count(), EVENTS);
    assert!(rest.ends_with(END));
}

#[test]
fn a_client_that_reads_gets_a_burst_larger_than_what_may_wait() {
    const EVENTS: usize = 20_000;
    let (_bench, mut client, mut daemon) = filtered();
    let sending = std::thread::spawn(move || {
        let events = chunk(&format!("{EVENT}\n")).repeat(100);
        for _ in 0..EVENTS / 100 {
            daemon.write_all(events.as_bytes()).unwrap();
        }
        daemon.write_all(END.as_bytes()).unwrap();
    });
    let mut bytes = Vec::new();
    let mut part = vec![0; 64 * 1024];
    while let read @ 1.. = client.0.read(&mut part).unwrap() {
        bytes.extend_from_slice(&part[..read]);
        std::thread::sleep(Duration::from_millis(1));
    }
    sending.join().unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap().matches(LEFT).count(), EVENTS);
}

#[test]
fn a_client_that_is_too_far_behind_is_left_and_the_daemon_never_waits_for_it() {
    let (_bench, mut client, mut daemon) = filtered();
    daemon.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let event = chunk(&format!("{EVENT}\n"));
    let (mut sent, mut longest) = (0, Duration::ZERO);
    let error = loop {
        let started = Instant::now();
        let written = daemon.write_all(event.as_bytes());
        longest = longest.max(started.elapsed());
        match written {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1_000_000, "a client that does not read is never left");
    };
    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    assert!(longest < Duration::from_secs(1), "the daemon waited {longest:?}");
    assert!(sent > 2000, "left after {sent} events");
    let rest = client.rest();
    assert!(!rest.ends_with(END) && !rest.contains("canary"));
}

#[test]
fn stats_are_filtered_sample_by_sample() {
    let bench = Bench::profiled(PROFILE, |_| {
        let sample =
            r#"{"read":"2026-01-01T00:00:00Z","pids_stats":{"current":1},"name":"/web","id":"c0","canary":"x"}"#;
        Reply::Close((head("") + &chunk(&format!("{sample}\n")) + &chunk(&format!("{sample}\n"))).into_bytes())
    });
    let mut client = bench.client();
    client.send(get("/containers/web/stats"));
    let answer = client.rest();
    let left = "{\"read\":\"2026-01-01T00:00:00Z\",\"pids_stats\":{\"current\":1},\"name\":\"/web\",\"id\":\"c0\"}\n";
    assert_eq!(body(&answer), (left.repeat(2), false));
    assert!(!answer.contains("Content-Type"), "{answer}");
}

#[test]
fn stats_hide_names_where_identity_is_hidden() {
    let profile = "profile: test\nallow: [ContainerStats]\nshow: [state]\nstats: filtered\n";
    let bench = Bench::profiled(profile, |_| {
        let sample =
            r#"{"pids_stats":{"current":1},"name":"/canary","id":"canary","networks":{"canary":{"rx_bytes":1}}}"#;
        Reply::Close((head("application/json") + &chunk(sample) + END).into_bytes())
    });
    let mut client = bench.client();
    client.send(get("/containers/web/stats"));
    let answer = client.rest();
    assert!(!answer.contains("canary") && answer.contains(r#""pids_stats":{"current":1}"#), "{answer}");
}

#[test]
fn filters_that_guess_at_what_is_hidden_do_not_reach_the_daemon() {
    let bench = Bench::profiled(PROFILE, |_| json("{}"));
    for filters in [
        r#"{"label":["token=a"]}"#,
        r#"{"label":["execID=0af"]}"#,
        r#"{"event":["exec_start","exec_start: sh -c c"]}"#,
        r#"{"event":{"exec_create: s":true,"health_status":true}}"#,
        r#"{"other":["a"]}"#,
        "{",
    ] {
        let escaped: String = filters.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(status(&bench.ask(get(&format!("/events?filters={escaped}")))), 403, "{filters}");
    }
    assert!(bench.daemon.requests().is_empty());
}

#[test]
fn what_engines_sent_comes_out_record_by_record() {
    let mut events = 0;
    for engine in fixture::engines() {
        let recorded = std::fs::read(fixture::root().join(engine).join("wire/events_follow.txt")).unwrap();
        let marker = b"=== response\n";
        let start = recorded.windows(marker.len()).position(|window| window == marker).unwrap() + marker.len();
        let response = recorded[start..].to_vec();
        let before = String::from_utf8_lossy(&response).matches("\"Action\":").count();
        let bench = Bench::profiled(PROFILE, move |_| Reply::Close(response.clone()));
        let mut client = bench.client();
        client.send(get("/events"));
        // The recordings were ended by the client, so none has an end.
        let (after, ended) = body(&client.rest());
        assert!(!ended, "{engine}");
        assert_eq!(after.lines().count(), before, "{engine}");
        events += before;
        for event in after.lines() {
            let event: Value = serde_json::from_str(event).unwrap();
            let action = event["Action"].as_str().unwrap();
            assert!(!action.contains(':') || action.starts_with("health_status: "), "{engine}: {action}");
            let attributes = event["Actor"]["Attributes"].as_object().unwrap();
            assert!(!attributes.keys().any(|key| key.contains("traefik") || key.contains("CANARY")), "{event:#}");
        }
    }
    assert!(events > 10, "{events} events");
}

#[test]
fn the_command_filters_events_one_behind_the_other() {
    let filter = |text: &str| {
        let arguments = cli::FilterArgs {
            profile: "dashboard".to_owned(),
            operation: "SystemEvents".to_owned(),
            files: cli::ConfigFiles::default(),
            api: None,
            diff: false,
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = command::filter(&arguments, &cli::Environment::default(), &mut text.as_bytes(), &mut out, &mut err)
            .unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    };
    let left = LEFT.replace(r#","shop.tier":"front""#, "");
    assert_eq!(filter(&format!("{EVENT}\n{EVENT}")), (0, format!("{left}\n{left}\n"), String::new()));
    for broken in ["canary", "{\"Action\":1}", "[\"canary\"]"] {
        let (code, out, err) = filter(&format!("{EVENT}\n{broken}"));
        assert_eq!(code, 1, "{broken}");
        assert!(err.starts_with("withheld: ") && !(out + &err).contains("canary"), "{err}");
    }
}

/// What the policy of a built-in profile does with events.
fn event_filter(policy: &Policy) -> Option<RecordFilter> {
    let route = route::find("GET", "/events").unwrap().unwrap();
    match policy.decide(&route) {
        Decision::Records(filter) => Some(filter),
        Decision::Deny(_) | Decision::Relay(_) | Decision::Filter(_) => None,
    }
}

/// Every recorded event, with the engine and the file it is from.
fn recorded() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for engine in fixture::engines() {
        for folder in std::fs::read_dir(fixture::root().join(engine)).unwrap() {
            let folder = folder.unwrap().path();
            let file = folder.join("system_events.ndjson");
            if let Ok(text) = std::fs::read_to_string(&file) {
                let lines = text.lines().filter(|line| !line.is_empty());
                found.extend(lines.map(|line| (engine.clone(), file.display().to_string(), line.to_owned())));
            }
            let wire = folder.join("events_follow.txt");
            if let Ok(text) = std::fs::read_to_string(&wire) {
                let lines = text.lines().filter(|line| line.starts_with('{'));
                found.extend(lines.map(|line| (engine.clone(), wire.display().to_string(), line.to_owned())));
            }
        }
    }
    found
}

#[test]
fn no_recorded_event_shows_a_canary_of_a_hidden_class() {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let profiles = Profiles::built_in(&catalogue).unwrap();
    let events = recorded();
    assert!(events.len() > 100, "{} events", events.len());
    let mut leaks = BTreeSet::new();
    let (mut filtering, mut actions, mut canaries) = (Vec::new(), BTreeSet::new(), 0);
    for profile in profiles.iter() {
        let policy = Policy::compile(profile, &catalogue).unwrap();
        let Some(filter) = event_filter(&policy) else { continue };
        filtering.push(profile.name.as_str());
        // A profile of one client shows single names, which are canaries here, and no events of networks.
        let names = policy.shows(Class::Identity) && policy.shows(Class::Topology);
        let is_name = |class: Class| matches!(class, Class::Identity | Class::Topology | Class::Host);
        for engine in fixture::engines() {
            let hidden: Vec<_> = fixture::canaries(engine)
                .into_iter()
                .filter(|canary| {
                    let class = canary.class.parse::<Class>().unwrap();
                    !policy.shows(class) && (names || !is_name(class))
                })
                .filter(|canary| !ADDRESSED.contains(&(profile.name.as_str(), canary.location.as_str())))
                .collect();
            for (_, file, event) in events.iter().filter(|(known, ..)| known == engine) {
                let mut out = Vec::new();
                let left = filter.apply(event.as_bytes(), &mut out, &mut Report::default()).unwrap();
                let text = String::from_utf8(out).unwrap();
                let before: Value = serde_json::from_str(event).unwrap();
                assert!(left || !names, "{file}: {before}");
                if !left {
                    assert_eq!(text, "", "{file}: {before}");
                    continue;
                }
                let after: Value = serde_json::from_str(&text).unwrap();
                // A dashboard still knows what happened, to what, and when.
                let mut same = vec!["/Type", "/scope", "/time", "/timeNano"];
                if names {
                    same.extend(["/Actor/ID", "/id", "/from"]);
                }
                if names && before["Type"] == "container" {
                    same.extend(["/Actor/Attributes/name", "/Actor/Attributes/image", "/Actor/Attributes/exitCode"]);
                }
                for path in same {
                    assert_eq!(after.pointer(path), before.pointer(path), "{file}: {path}");
                }
                actions.insert(after["Action"].as_str().unwrap().to_owned());
                let (text, event) = (text.to_lowercase(), event.to_lowercase());
                for canary in &hidden {
                    let token = canary.token.to_lowercase();
                    canaries += usize::from(event.contains(&token));
                    if text.contains(&token) {
                        leaks.insert(format!(
                            "{} {file} {} ({}, {})",
                            profile.name, canary.token, canary.class, canary.location
                        ));
                    }
                }
            }
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
    assert!(filtering.contains(&"dashboard"), "{filtering:?}");
    assert!(canaries > 100, "only {canaries} canaries were in the way");
    for action in ["exec_create", "exec_start", "exec_die", "health_status: healthy", "start", "mount"] {
        assert!(actions.contains(action), "{actions:?}");
    }
}
