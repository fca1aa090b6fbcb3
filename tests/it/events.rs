//! Events and statistics, record by record: each leaves at once and without what is hidden, and a broken stream has no end.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use dockveil::cli;
use dockveil::command;
use dockveil::config::Config;
use dockveil::filter::{RecordFilter, Report};
use dockveil::policy::{Decision, Policy};
use dockveil::route;
use dockveil::schema::Class;
use serde_json::Value;

use crate::canaries::is_addressed;
use crate::harness::{Test, tests};
use crate::support::built_in::{policy, profiles};
use crate::support::canary::{self, Canary};
use crate::support::client::{Client, ID, PATIENCE, body, get, status};
use crate::support::daemon::{Reply, handing, json, wait_until_closed};
use crate::support::fixture;
use crate::support::proxy::{Bench, policy_of, short_timeouts};

pub(crate) const TESTS: &[Test] = tests![
    an_event_arrives_without_what_is_hidden_in_every_framing,
    a_client_chooses_among_the_framings_of_the_engine,
    an_event_leaves_with_its_last_brace_however_long_it_was_silent,
    a_broken_stream_has_no_end,
    an_answer_that_is_no_stream_of_records_is_withheld,
    the_connection_to_the_daemon_is_closed_when_the_client_leaves,
    a_slow_client_that_is_not_too_far_behind_loses_nothing,
    a_client_that_reads_gets_a_burst_larger_than_the_backlog,
    a_client_that_is_too_far_behind_is_cut_off_and_the_daemon_does_not_wait,
    stats_are_filtered_sample_by_sample,
    stats_hide_names_where_identity_is_hidden,
    filters_that_guess_hidden_values_do_not_reach_the_daemon,
    recorded_streams_come_out_record_by_record,
    the_command_filters_one_event_after_another,
    no_recorded_event_shows_a_canary_of_a_hidden_class
];

const PROFILE: &str = "profile: test\nallow: [ContainerStats, SystemEvents]\nshow: [identity, state, topology]\n\
                       labels: [\"shop.*\"]\nevents: filtered\nstats: filtered\n";

/// An event as an engine sends it, without the line feed.
const EVENT: &str = r#"{"status":"exec_start: sh -c canary-command","id":"c0","from":"web:1","Type":"container","Action":"exec_start: sh -c canary-command","Actor":{"ID":"c0","Attributes":{"canary-key":"1","execID":"0af","image":"web:1","name":"web","shop.tier":"front","token":"canary-label"}},"scope":"local","time":1,"timeNano":1000000007}"#;
/// The same event without what is hidden.
const LEFT: &str = r#"{"status":"exec_start","id":"c0","from":"web:1","Type":"container","Action":"exec_start","Actor":{"ID":"c0","Attributes":{"image":"web:1","name":"web","shop.tier":"front"}},"scope":"local","time":1,"timeNano":1000000007}"#;

/// The head of a chunked stream of this media type.
fn head(kind: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\n{}Server: canary\r\nTransfer-Encoding: chunked\r\n\r\n",
        if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") }
    )
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// The last chunk.
const END: &str = "0\r\n\r\n";

/// The response to a request if the engine answers with these bytes and closes the connection.
fn ask(request: &str, answer: impl Into<Vec<u8>>) -> String {
    let answer = answer.into();
    let bench = Bench::profiled(PROFILE, move |_| Reply::Close(answer.clone()));
    let mut client = bench.client();
    client.send(request);
    let answer = client.rest();
    assert!(!answer.contains("canary"), "{answer}");
    answer
}

/// The records of a filtered stream, and whether it came to its end.
#[track_caller]
fn records(answer: &str) -> (String, bool) {
    let (head, _) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Transfer-Encoding: chunked") && head.contains("Connection: close"), "{head}");
    body(answer)
}

/// Opens a filtered stream. Returns the program, a client that has read the head, and the daemon's side of the connection.
fn open(change: impl FnOnce(&mut Config)) -> (Bench, Client, UnixStream) {
    let (answer, connections) = handing(&head("application/json"));
    let bench = Bench::with(answer, |config| {
        config.listeners[0].policy = policy_of(PROFILE);
        change(config);
    });
    let mut client = bench.client();
    client.send(get("/events"));
    client.read_until("\r\n\r\n");
    (bench, client, connections.next())
}

fn an_event_arrives_without_what_is_hidden_in_every_framing() {
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
            assert_eq!(records(&answer), (format!("{left}{left}"), true), "{kind}");
            let name = kind.split(';').next().unwrap();
            assert_eq!(answer.contains(&format!("Content-Type: {name}\r\n")), !kind.is_empty(), "{answer}");
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\napi-version: 1.51\r\n"), "{answer}");
        }
        let whole = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", record.len());
        if !kind.is_empty() {
            assert_eq!(records(&ask(&get("/events?until=1"), whole + &record)), (left, true), "{kind}");
        }
    }
}

fn a_client_chooses_among_the_framings_of_the_engine() {
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

fn an_event_leaves_with_its_last_brace_however_long_it_was_silent() {
    let (bench, mut client, mut daemon) = open(short_timeouts);
    for _ in 0..3 {
        bench.outlast_idle();
        // Neither the chunk nor the line has ended.
        daemon.write_all(format!("{:x}\r\n{EVENT}", EVENT.len() + 1).as_bytes()).unwrap();
        client.read_until("\"timeNano\":1000000007}\n\r\n");
        daemon.write_all(b"\n\r\n").unwrap();
    }
}

fn a_broken_stream_has_no_end() {
    let good = chunk(&format!("{EVENT}\n"));
    for broken in [
        // Not JSON, and JSON whose filtering is not certain.
        chunk("{\"Action\":canary}\n") + END,
        chunk("canary\n") + END,
        chunk("null\n") + END,
        chunk("[\"canary\"]\n") + END,
        chunk("{\"Action\":\"a\",\"Action\":\"canary\"}\n") + END,
        chunk("{\"Action\":\"a\",\"action\":\"canary\"}\n") + END,
        chunk("{\"Actor\":{\"Attributes\":{\"name\":\"canary\",\"name\":\"b\"}}}\n") + END,
        chunk("\u{1e}{\"Action\":\"canary\"}\n") + END,
        chunk(&format!("{{\"from\":\"{}\"}}\n", "a".repeat(1 << 20))) + END,
        // A record, a chunk and a body that are cut short.
        chunk("{\"Action\":\"canary") + END,
        chunk("{\"Action\":\"canary"),
        "20\r\n{\"Action\":\"canary".to_owned(),
        String::new(),
        // Chunks with extensions or trailers, or none at all.
        "canary".to_owned(),
        "3;canary=1\r\n{}\n\r\n0\r\n\r\n".to_owned(),
        "0\r\nCanary: 1\r\n\r\n".to_owned(),
    ] {
        for before in ["", &good] {
            let answer = ask(&get("/events"), format!("{}{before}{broken}", head("application/json")));
            let left = if before.is_empty() { String::new() } else { format!("{LEFT}\n") };
            assert_eq!(records(&answer), (left, false), "{broken}");
        }
    }
    let short = format!("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{EVENT}\n");
    assert_eq!(records(&ask(&get("/events"), short)), (format!("{LEFT}\n"), false));
}

fn an_answer_that_is_no_stream_of_records_is_withheld() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        // The connection may have been cut: it ends as this body does.
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
        "HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n",
    ] {
        assert_eq!(status(&ask(&get("/events"), format!("{head}{}", chunk(EVENT)))), 502, "{head}");
    }
    let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 20\r\n\r\n{\"message\":\"canary\"}";
    assert_eq!(status(&ask(&get("/events"), refused.to_owned())), 400);
    assert_eq!(status(&ask("GET /events HTTP/1.0\r\n\r\n", head("") + END)), 505);
}

fn the_connection_to_the_daemon_is_closed_when_the_client_leaves() {
    let (_bench, client, daemon) = open(|_| {});
    drop(client);
    wait_until_closed(daemon);
}

fn a_slow_client_that_is_not_too_far_behind_loses_nothing() {
    const EVENTS: usize = 2000;
    let (_bench, mut client, mut daemon) = open(|_| {});
    daemon.set_write_timeout(Some(PATIENCE)).unwrap();
    let event = chunk(&format!("{EVENT}\n"));
    // The client does not read until the daemon has sent everything.
    for _ in 0..EVENTS {
        daemon.write_all(event.as_bytes()).unwrap();
    }
    daemon.write_all(END.as_bytes()).unwrap();
    let rest = client.rest();
    assert_eq!(rest.matches(LEFT).count(), EVENTS);
    assert!(rest.ends_with(END));
}

fn a_client_that_reads_gets_a_burst_larger_than_the_backlog() {
    const EVENTS: usize = 20_000;
    let (_bench, mut client, mut daemon) = open(|_| {});
    let sending = std::thread::spawn(move || {
        let events = chunk(&format!("{EVENT}\n")).repeat(100);
        for _ in 0..EVENTS / 100 {
            daemon.write_all(events.as_bytes()).unwrap();
        }
        daemon.write_all(END.as_bytes()).unwrap();
    });
    let mut bytes = Vec::new();
    // It reads in small pieces, so that it falls behind.
    let mut part = [0; 4096];
    while let read @ 1.. = client.0.read(&mut part).unwrap() {
        bytes.extend_from_slice(&part[..read]);
    }
    sending.join().unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap().matches(LEFT).count(), EVENTS);
}

fn a_client_that_is_too_far_behind_is_cut_off_and_the_daemon_does_not_wait() {
    let (_bench, mut client, mut daemon) = open(|_| {});
    // A write that waits for longer fails with another error.
    daemon.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let event = chunk(&format!("{EVENT}\n"));
    let mut sent = 0;
    let error = loop {
        match daemon.write_all(event.as_bytes()) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1_000_000, "a client that does not read is never cut off");
    };
    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    assert!(sent > 2000, "cut off after {sent} events");
    let rest = client.rest();
    assert!(!rest.ends_with(END) && !rest.contains("canary"));
}

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
    assert_eq!(records(&answer), (left.repeat(2), false));
    assert!(!answer.contains("Content-Type"), "{answer}");
}

fn stats_hide_names_where_identity_is_hidden() {
    let profile = "profile: test\nallow: [ContainerStats]\nshow: [state]\nstats: filtered\n";
    let bench = Bench::profiled(profile, |_| {
        let sample =
            r#"{"pids_stats":{"current":1},"name":"/canary","id":"canary","networks":{"canary":{"rx_bytes":1}}}"#;
        Reply::Close((head("application/json") + &chunk(sample) + END).into_bytes())
    });
    let mut client = bench.client();
    client.send(get(&format!("/containers/{ID}/stats")));
    let answer = client.rest();
    assert!(!answer.contains("canary") && answer.contains(r#""pids_stats":{"current":1}"#), "{answer}");
}

fn filters_that_guess_hidden_values_do_not_reach_the_daemon() {
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

fn recorded_streams_come_out_record_by_record() {
    let mut events = 0;
    for engine in fixture::engines() {
        let recorded = std::fs::read(fixture::root().join(engine).join("wire/events_follow.txt")).unwrap();
        let marker = b"=== response\n";
        let start = recorded.windows(marker.len()).position(|window| window == marker).unwrap() + marker.len();
        let response = recorded[start..].to_vec();
        let before = String::from_utf8_lossy(&response).matches("\"Action\":").count();
        // The recordings have no end, because a client closed the connection.
        let bench = Bench::profiled(PROFILE, move |_| Reply::Close(response.clone()));
        let mut client = bench.client();
        client.send(get("/events"));
        let (after, ended) = records(&client.rest());
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

fn the_command_filters_one_event_after_another() {
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
    for broken in ["canary", "{\"Action\":1,\"Action\":2}", "[\"canary\"]"] {
        let (code, out, err) = filter(&format!("{EVENT}\n{broken}"));
        assert_eq!(code, 1, "{broken}");
        assert!(err.starts_with("withheld: ") && !(out + &err).contains("canary"), "{err}");
    }
}

/// The filter of a policy for events; `None` if it denies them or passes them untouched.
fn event_filter(policy: &Policy) -> Option<RecordFilter> {
    let route = route::find("GET", "/events").unwrap().unwrap();
    match policy.decide(&route) {
        Decision::Records(filter) => Some(filter),
        Decision::Deny(_) | Decision::Relay(_) | Decision::Filter(_) => None,
    }
}

/// Every recorded event, with its engine and file.
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

/// Whether a policy shows the names of objects. A profile of one client may show single ones, and no events of networks.
fn shows_names(policy: &Policy) -> bool {
    policy.shows(Class::Identity) && policy.shows(Class::Topology)
}

/// Demands that an event still says what happened, to what, and when.
#[track_caller]
fn check_essentials(policy: &Policy, before: &Value, after: &Value, file: &str) {
    let mut same = vec!["/Type", "/scope", "/time", "/timeNano"];
    if shows_names(policy) {
        same.extend(["/Actor/ID", "/id", "/from"]);
        if before["Type"] == "container" {
            same.extend(["/Actor/Attributes/name", "/Actor/Attributes/image"]);
        }
    }
    for path in same {
        assert_eq!(after.pointer(path), before.pointer(path), "{file}: {path}");
    }
}

fn no_recorded_event_shows_a_canary_of_a_hidden_class() {
    let events = recorded();
    assert!(events.len() > 100, "{} events", events.len());
    let mut leaks = BTreeSet::new();
    let (mut filtering, mut actions, mut canaries) = (Vec::new(), BTreeSet::new(), 0);
    for profile in profiles().iter() {
        let policy = policy(&profile.name);
        let Some(filter) = event_filter(&policy) else { continue };
        filtering.push(profile.name.as_str());
        let is_hidden = |canary: &&Canary| {
            // Names are canaries here, too.
            let is_name = matches!(canary.class, Class::Identity | Class::Topology | Class::Host);
            !policy.shows(canary.class) && (shows_names(&policy) || !is_name) && !is_addressed(profile, canary)
        };
        for (engine, file, event) in &events {
            let mut out = Vec::new();
            let is_left = filter.apply(event.as_bytes(), &mut out, &mut Report::default()).unwrap();
            let text = String::from_utf8(out).unwrap();
            let before: Value = serde_json::from_str(event).unwrap();
            assert!(is_left || !shows_names(&policy), "{file}: {before}");
            if !is_left {
                assert_eq!(text, "", "{file}: {before}");
                continue;
            }
            let after: Value = serde_json::from_str(&text).unwrap();
            check_essentials(&policy, &before, &after, file);
            actions.insert(after["Action"].as_str().unwrap().to_owned());
            canaries += canary::found(engine, event).iter().filter(|canary| is_hidden(canary)).count();
            for Canary { token, class, location } in canary::found(engine, &text).into_iter().filter(is_hidden) {
                leaks.insert(format!("{} {file} {token} ({class}, {location})", profile.name));
            }
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
    assert!(filtering.contains(&"dashboard"), "{filtering:?}");
    assert!(canaries > 100, "the events have only {canaries} canaries of hidden classes");
    for action in ["exec_create", "exec_start", "exec_die", "health_status: healthy", "start", "mount"] {
        assert!(actions.contains(action), "{actions:?}");
    }
}
