//! The audit file: what is in it, who may read it, and what becomes of it when it is moved or cannot be written.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Test, tests};
use crate::metrics::{ask, measured, measured_with_some, wait_for};
use crate::support::client::{Client, PATIENCE, get, status};
use crate::support::daemon::{Daemon, handing, json};
use crate::support::program::{Program, command};
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[Test] = tests![
    each_exchange_has_a_record_with_the_members_of_the_document,
    a_record_holds_nothing_that_is_hidden,
    the_file_is_of_its_user_alone_and_follows_a_rotation,
    a_file_that_cannot_be_written_costs_records_and_is_told,
    a_file_that_cannot_be_opened_stops_the_start_and_a_reload,
    a_reload_counts_no_record_twice,
    a_line_that_was_cut_costs_no_record,
    what_a_stop_cuts_off_has_a_line_and_a_record
];

/// What is appended to a configuration with an audit file in a folder of its own.
const AUDIT: &str = "audit: {file: audit/audit.jsonl}\n";

/// A program that writes `audit/audit.jsonl` in a folder.
fn audited(folder: &Folder, more: &str) -> Program {
    std::fs::create_dir_all(folder.path("audit")).unwrap();
    measured(folder, &format!("{AUDIT}{more}"))
}

/// The records in a file, once there are so many.
#[track_caller]
fn records(path: &Path, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= count && text.ends_with('\n') {
            let record = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            return text.lines().map(record).collect();
        }
        assert!(Instant::now() < deadline, "{count} records are not in {text}");
        std::thread::yield_now();
    }
}

/// A stop cuts off exchanges when `timeouts.shutdown` is over, or at a second signal. They are recorded as such.
fn what_a_stop_cuts_off_has_a_line_and_a_record() {
    for (shutdown, signals) in [("10m", 2), ("200ms", 1), ("0s", 1)] {
        let folder = Folder::new();
        let (answer, connections) = handing("");
        let many = format!("[{}]", [r#"{"Id":"0a"}"#; 200_000].join(","));
        let _daemon = Daemon::start(&folder.path("engine"), move |request| {
            if request.contains("/images/json") { json(&many) } else { answer(request) }
        });
        let program = audited(&folder, &format!("timeouts: {{shutdown: {shutdown}}}\n"));
        program.listening();
        let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(&folder.path("listener"))).collect();
        // One waits for the engine, one does not read its answer, and one has not sent all of its request.
        clients[0].send(get("/containers/json"));
        let _engine = connections.next();
        clients[1].send(get("/images/json"));
        clients[1].read_until("\r\n\r\n");
        clients[2].send("GET /info HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\n\r\nab");
        // The metrics show when that request is under way: its connection is one of three.
        wait_for(
            &folder,
            &format!("dockveil_connections{{listener=\"unix://{}\"}} 3", folder.path("listener").display()),
        );
        // Its head has come with it.
        std::thread::sleep(Duration::from_millis(100));
        let since = Instant::now();
        program.signal(Signal::TERM);
        program.line_with("stopping");
        if signals == 2 {
            program.signal(Signal::TERM);
        }
        let (ended, lines) = program.ended();
        assert!(ended.success() && since.elapsed() < PATIENCE / 2, "{shutdown}: {ended} {lines:?}");
        let records = records(&folder.path("audit/audit.jsonl"), 3);
        for operation in ["ContainerList", "ImageList", "SystemInfo"] {
            let of_it =
                |line: &&String| line.contains("exchange broken") && line.contains(&format!("operation={operation} "));
            let line = lines.iter().find(of_it).unwrap_or_else(|| panic!("{shutdown} {operation}: {lines:?}"));
            assert!(line.contains("reason=closing") && line.contains("dockveil stops"), "{line}");
            let record = records.iter().find(|record| record["operation"] == operation);
            let record = record.unwrap_or_else(|| panic!("{shutdown} {operation}: {records:?}"));
            assert_eq!((&record["end"], &record["reason"]), (&"broken".into(), &"closing".into()), "{record}");
        }
        assert!(!lines.iter().any(|line| line.contains("aborted by the client")), "{lines:?}");
    }
}

fn a_reload_counts_no_record_twice() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = audited(&folder, "watch: false\n");
    program.listening();
    for _ in 0..3 {
        assert_eq!(send(&folder, &get("/containers/json")), 200);
        program.signal(Signal::HUP);
        program.line_with("configuration reloaded");
    }
    records(&folder.path("audit/audit.jsonl"), 3);
    assert_eq!(wait_for(&folder, "dockveil_audit_records_total 3"), "");
}

/// Somebody may have cut the file, or its disk was full.
fn a_line_that_was_cut_costs_no_record() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let path = folder.path("audit/audit.jsonl");
    std::fs::create_dir_all(folder.path("audit")).unwrap();
    std::fs::write(&path, "{\"cut").unwrap();
    let program = audited(&folder, "");
    program.listening();
    let text = |lines: usize| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if text.lines().count() >= lines && text.ends_with('\n') {
                return text;
            }
            assert!(Instant::now() < deadline, "{text}");
            std::thread::yield_now();
        }
    };
    assert_eq!(send(&folder, &get("/containers/json")), 200);
    assert!(text(2).starts_with("{\"cut\n{\"v"), "{}", text(2));
    // A new file begins with a record.
    std::fs::rename(&path, folder.path("audit/old.jsonl")).unwrap();
    program.signal(Signal::HUP);
    program.line_with("configuration reloaded");
    assert_eq!(send(&folder, &get("/containers/json")), 200);
    assert!(text(1).starts_with("{\"v"), "{}", text(1));
}

/// Sends a request over a connection of its own.
fn send(folder: &Folder, request: &str) -> u16 {
    let mut client = Client::connect_when_listening(&folder.path("listener"));
    client.send(request);
    status(&client.message(request.starts_with("HEAD")))
}

/// The members that the document lists, in its order, with what it says of their types.
fn documented() -> Vec<(String, String)> {
    let document = include_str!("../../docs/operating.md");
    let section = document.split("\n## The audit file\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells.map(|cells| (cells[0].trim_matches('`').to_owned(), cells[1].to_owned())).collect()
}

fn each_exchange_has_a_record_with_the_members_of_the_document() {
    let folder = Folder::new();
    let (answer, connections) = handing(
        "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    let _daemon = Daemon::start(&folder.path("engine"), move |request| {
        if request.contains("/events") {
            return answer(request);
        }
        json(if request.contains("/info") { "{" } else { r#"[{"Id":"0a","Command":"a","Labels":{"a":"b"}}]"# })
    });
    let program = audited(&folder, "");
    assert_eq!(send(&folder, &get("/v1.44/containers/json")), 200);
    assert_eq!(send(&folder, &get("/containers/0a/export")), 403);
    assert_eq!(send(&folder, &get("/info")), 502);
    assert_eq!(send(&folder, "GET /info HTTP/1.1 \r\n\r\n"), 400);
    let mut stream = Client::connect(&folder.path("listener"));
    stream.send(get("/events"));
    stream.read_until("\r\n\r\n");
    let path = folder.path("audit/audit.jsonl");
    records(&path, 5);
    drop((stream, connections));
    let found = records(&path, 6);
    let uid = rustix::process::getuid().as_raw();
    let documented = documented();
    let names: Vec<&str> = documented.iter().map(|(name, _)| name.as_str()).collect();
    for (record, line) in found.iter().zip(std::fs::read_to_string(&path).unwrap().lines()) {
        let object = record.as_object().unwrap();
        // The order is that of the document, too.
        let order: BTreeMap<usize, &str> = names
            .iter()
            .map(|name| (line.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{name}: {line}")), *name))
            .collect();
        assert_eq!(order.into_values().collect::<Vec<_>>(), names, "{line}");
        assert_eq!(object.len(), names.len(), "{line}");
        for (name, kind) in &documented {
            let is_of_kind = kind.split(" or ").any(|kind| match kind {
                "text" => record[name].is_string(),
                "number" => record[name].is_u64(),
                "object" => record[name].is_object(),
                "null" => record[name].is_null(),
                other => panic!("{name}: {other}"),
            });
            assert!(is_of_kind, "{name} is no {kind}: {line}");
        }
        assert_eq!((&record["version"], &record["client"]["uid"]), (&1.into(), &uid.into()), "{line}");
        assert!(record["client"]["address"].is_null() && record["client"]["pid"].is_u64(), "{line}");
    }
    // Those of several workers come in any order.
    const EXPECTED: [(&str, &str); 6] = [
        ("ContainerList", "exchange"),
        ("ContainerExport", "exchange"),
        ("SystemInfo", "exchange"),
        ("-", "exchange"),
        ("SystemEvents", "stream-opened"),
        ("SystemEvents", "exchange"),
    ];
    let of = |at: usize, name: &str| {
        let (operation, event) = EXPECTED[at];
        let record = found.iter().find(|record| record["operation"] == operation && record["event"] == event);
        record.unwrap_or_else(|| panic!("{operation} {event}: {found:#?}"))[name].clone()
    };
    assert_eq!(
        (of(0, "operation"), of(0, "api"), of(0, "status")),
        ("ContainerList".into(), "1.44".into(), 200.into())
    );
    assert_eq!(of(0, "hidden"), serde_json::json!({"command": 1, "free-text": 1}));
    assert_eq!(
        (of(1, "decision"), of(1, "reason"), of(1, "path")),
        ("deny".into(), "not-allowed".into(), "/containers/0a/export".into())
    );
    assert_eq!((of(2, "reason"), of(2, "end")), ("unfilterable".into(), "complete".into()));
    assert!(of(2, "error").as_str().unwrap().starts_with("withheld: "));
    assert_eq!((of(3, "status"), of(3, "operation"), of(3, "reason")), (400.into(), "-".into(), "malformed".into()));
    assert_eq!((of(4, "event"), of(4, "end")), ("stream-opened".into(), Value::Null));
    assert_eq!((of(5, "event"), of(5, "operation")), ("exchange".into(), "SystemEvents".into()));
    assert_eq!(of(4, "request_id"), of(5, "request_id"));
    let (ended, _) = program.stop();
    assert!(ended.success());
}

fn a_record_holds_nothing_that_is_hidden() {
    let folder = Folder::new();
    let list =
        r#"[{"Id":"canary-id","Names":["/canary-name"],"Command":"canary-command","Labels":{"canary":"canary"}}]"#;
    let _daemon = Daemon::start(&folder.path("engine"), move |_| json(list));
    std::fs::create_dir_all(folder.path("audit")).unwrap();
    let program = measured_with_some(&folder, AUDIT);
    let requests = [
        get("/containers/json?limit=1&canary=1"),
        get("/containers/canary/json"),
        get("/canary"),
        get("/images/json?filters={%22label%22:[%22canary=canary%22]}"),
        get("/events?until=canary"),
        "CANARY /canary HTTP/1.1\r\nHost: canary\r\nX-Canary: canary\r\nX-Request-Id: canary canary\r\n\r\n".to_owned(),
        "POST /containers/canary/kill?signal=canary HTTP/1.1\r\nHost: canary\r\nUser-Agent: canary\r\nContent-Length: 6\r\n\r\ncanary".to_owned(),
        "GET /canary HTTP/1.1\nHost: canary\n\n".to_owned(),
    ];
    for (request, listener) in requests.iter().flat_map(|request| [(request, "listener"), (request, "some")]) {
        let mut client = Client::connect_when_listening(&folder.path(listener));
        client.send(request);
        client.0.shutdown(std::net::Shutdown::Write).unwrap();
        client.rest();
    }
    for mut record in records(&folder.path("audit/audit.jsonl"), 2 * requests.len()) {
        // Of a request that is denied, the path is recorded.
        let path = record.as_object_mut().unwrap().remove("path").unwrap();
        let known = ["/containers/canary/kill", "/events", "/images/json"];
        assert!(path.as_str().is_none_or(|path| known.contains(&path)), "{path}");
        assert!(!record.to_string().to_ascii_lowercase().contains("canary"), "{record}");
    }
    drop(program);
}

fn the_file_is_of_its_user_alone_and_follows_a_rotation() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = audited(&folder, "watch: false\n");
    let (path, moved) = (folder.path("audit/audit.jsonl"), folder.path("audit/audit.jsonl.1"));
    send(&folder, &get("/version"));
    assert_eq!(records(&path, 1).len(), 1);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    // Moved, and nobody says so.
    std::fs::rename(&path, &moved).unwrap();
    send(&folder, &get("/containers/json"));
    assert_eq!(records(&path, 1)[0]["operation"], "ContainerList");
    assert_eq!((records(&moved, 1).len(), mode(&path)), (1, 0o600));
    // Moved, and told by a signal, even if the configuration has an error.
    std::fs::rename(&path, &moved).unwrap();
    let config = std::fs::read_to_string(folder.path("dockveil.yaml")).unwrap();
    std::fs::write(folder.path("dockveil.yaml"), format!("{config}canary: 1\n")).unwrap();
    program.signal(Signal::HUP);
    program.line_with("configuration not reloaded");
    let deadline = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < deadline, "the file is not opened again");
    }
    // Another file by a reload.
    let elsewhere = folder.path("elsewhere.jsonl");
    std::fs::write(folder.path("dockveil.yaml"), config.replace("audit/audit.jsonl", "elsewhere.jsonl")).unwrap();
    program.signal(Signal::HUP);
    program.line_with("configuration reloaded");
    send(&folder, &get("/containers/json"));
    assert_eq!(records(&elsewhere, 1).len(), 1);
    assert!(ask(&folder.path("metrics"), "/metrics").1.contains("\ndockveil_audit_records_total 3\n"));
}

fn a_file_that_cannot_be_written_costs_records_and_is_told() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = audited(&folder, "");
    assert_eq!(send(&folder, &get("/version")), 200);
    records(&folder.path("audit/audit.jsonl"), 1);
    // Where its folder was, there is a file: none can be made.
    std::fs::rename(folder.path("audit"), folder.path("away")).unwrap();
    std::fs::write(folder.path("audit"), "").unwrap();
    for number in 1..=3 {
        assert_eq!(send(&folder, &get("/containers/json")), 200, "clients are served");
        let lost = |count: u64| {
            ask(&folder.path("metrics"), "/metrics")
                .1
                .contains(&format!("\ndockveil_audit_lost_records_total {count}\n"))
        };
        let deadline = Instant::now() + PATIENCE;
        while !lost(number) {
            assert!(Instant::now() < deadline, "nothing is counted");
        }
    }
    let line = program.line_with("the audit file cannot be written");
    assert!(line.contains("level=error"), "{line}");
    std::fs::remove_file(folder.path("audit")).unwrap();
    std::fs::rename(folder.path("away"), folder.path("audit")).unwrap();
    assert_eq!(send(&folder, &get("/info")), 200);
    assert_eq!(records(&folder.path("audit/audit.jsonl"), 2).len(), 2);
    let (_, lines) = program.stop();
    let said = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(said("the audit file cannot be written"), 0, "it is said once: {lines:#?}");
    assert_eq!(said("the audit file can be written again"), 1, "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("written again") && line.contains("lost=3")), "{lines:#?}");
}

fn a_file_that_cannot_be_opened_stops_the_start_and_a_reload() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    // Its folder is missing.
    let (ended, lines) = measured(&folder, AUDIT).ended();
    assert_eq!(ended.code(), Some(70));
    assert!(lines.iter().any(|line| line.contains("cannot open the audit file ")), "{lines:#?}");
    let program = measured(&folder, "");
    program.listening();
    let config = std::fs::read_to_string(folder.path("dockveil.yaml")).unwrap();
    std::fs::write(folder.path("dockveil.yaml"), format!("{config}{AUDIT}")).unwrap();
    let line = program.line_with("configuration not reloaded");
    assert!(line.contains("cannot open the audit file "), "{line}");
    drop(program);
    // A variable wins over the file.
    let path = folder.path("dockveil.yaml").display().to_string();
    let audit = folder.path("variable.jsonl").display().to_string();
    let program = Program::start(command(&[("DOCKVEIL_AUDIT", &audit)], &["--config", &path]));
    send(&folder, &get("/version"));
    assert_eq!(records(&folder.path("variable.jsonl"), 1).len(), 1);
    drop(program);
    for text in ["audit: {}\n", "audit: a\n", "audit: {path: a}\n"] {
        let (ended, lines) = measured(&folder, text).ended();
        assert_eq!(ended.code(), Some(78), "{text}: {lines:#?}");
    }
}
