//! The log: every exchange is one line of logfmt, which is written at once, and the log never holds up a client.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use crate::harness::{Test, tests};
use crate::support::client::{Client, get, status, without_request_id};
use crate::support::daemon::{Daemon, Reply, handing, json};
use crate::support::program::{Program, UnreadProgram, between};
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[Test] = tests![
    the_line_of_an_exchange_is_written_at_once,
    no_line_is_lost_when_the_program_stops,
    a_request_that_is_refused_has_an_answer_and_a_line,
    the_log_holds_nothing_that_a_client_or_the_engine_chose,
    the_line_of_a_denied_request_says_who_sent_what_and_what_opens_it,
    the_line_of_a_request_for_another_object_says_why,
    every_line_can_be_an_object,
    why_it_does_not_serve_is_written_as_the_log_is,
    a_wrong_variable_of_the_log_hides_no_other_error,
    the_file_says_how_lines_are_written_and_a_reload_changes_it,
    the_line_of_an_exchange_says_where_and_how_long,
    pings_are_details_and_denials_are_warnings,
    the_libraries_say_nothing,
    a_stream_has_a_line_at_its_start_and_one_at_its_end,
    waiting_for_the_body_of_a_client_is_not_work_and_not_the_engine,
    a_list_that_does_not_come_to_its_end_says_what_was_hidden,
    a_request_without_room_says_who_and_where,
    the_id_of_a_request_goes_to_the_engine_and_back,
    a_log_that_nobody_reads_stops_no_exchange,
    a_log_that_nobody_reads_does_not_keep_the_program_from_ending
];

/// The fields of a line, which must be valid logfmt: `name=value`, where a value that is not bare is a JSON string.
#[track_caller]
fn fields(line: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=').unwrap_or_else(|| panic!("{line}"));
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name:?} in {line}");
        let (text, length) = if value.starts_with('"') {
            let mut strings = serde_json::Deserializer::from_str(value).into_iter::<String>();
            let text = strings.next().unwrap().unwrap_or_else(|error| panic!("{error}: {line}"));
            (text, strings.byte_offset())
        } else {
            let bare = value.split(' ').next().unwrap();
            assert!(!bare.is_empty() && !bare.contains(['"', '=']), "{line}");
            (bare.to_owned(), bare.len())
        };
        assert!(fields.insert(name.to_owned(), text).is_none(), "{name} twice in {line}");
        rest = &value[length..];
        rest = rest.strip_prefix(' ').unwrap_or(rest);
    }
    fields
}

/// The fields of a line that is an object.
#[track_caller]
fn json_fields(line: &str) -> BTreeMap<String, String> {
    let object: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let text = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    object.into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// The program with a log of this level and format, on the socket `listener` of a folder.
fn logging(folder: &Folder, level: &str, format: &str) -> Program {
    let mut command = between(folder);
    command.env("DOCKVEIL_LOG", level).env("DOCKVEIL_LOG_FORMAT", format);
    let program = Program::start(command);
    program.line_with("engine reached");
    program
}

fn every_line_can_be_an_object() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let mut command = between(&folder);
    command.env("DOCKVEIL_LOG_FORMAT", "json");
    let program = Program::start(command);
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &String| !line.contains("engine reached")) {
        lines.push(program.line());
    }
    let summary: Vec<String> = lines.iter().filter_map(|line| json_fields(line).remove("msg")).collect();
    assert!(summary.iter().any(|line| line.contains("dashboard")), "the summary is there: {summary:?}");
    let mut client = Client::connect(&folder.path("listener"));
    client.send(get("/version"));
    assert_eq!(status(&client.response()), 200);
    let line = program.line_with("exchange");
    let fields = json_fields(&line);
    let text = |name: &str| fields.get(name).map(String::as_str);
    assert_eq!((text("level"), text("msg"), text("status")), (Some("info"), Some("exchange"), Some("200")), "{line}");
    assert_eq!((text("operation"), text("decision")), (Some("SystemVersion"), Some("filter")));
    assert!(line.contains("\"status\":200,"), "a number stays one: {line}");
    for line in program.stop().1 {
        json_fields(&line);
    }
    let ended = command_with_format("yaml").output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(78));
    assert!(said.contains("DOCKVEIL_LOG_FORMAT: found \"yaml\", expected logfmt or json"), "{said}");
}

fn why_it_does_not_serve_is_written_as_the_log_is() {
    const JSON: (&str, &str) = ("DOCKVEIL_LOG_FORMAT", "json");
    let folder = Folder::new();
    let path = folder.path("dockveil.yaml").display().to_string();
    let file = &["--config", path.as_str()][..];
    let good = "listeners: [{listen: unix:///proc/nowhere}]\n";
    // (the variables, the arguments, the file, the exit status, whether each line is an object)
    for (variables, arguments, text, code, is_json) in [
        (&[JSON][..], &["--bogus"][..], "", 64, true),
        (&[JSON], &["serve", "--listen"], "", 64, true),
        (&[JSON], &["check", "--bogus"], "", 64, false),
        (&[], &["--bogus"], "", 64, false),
        (&[JSON], &["--config", "/nowhere/dockveil.yaml"], "", 78, true),
        (&[JSON], file, "upstrem: x\nlimits: {element: big}\n", 78, true),
        (&[JSON, ("DOCKVEIL_LOG", "off")], file, "upstrem: x\n", 78, true),
        (&[JSON, ("DOCKVEIL_LOG", "loud")], file, good, 78, true),
        (&[], file, "upstrem: x\nlog: {format: json}\n", 78, true),
        (&[], file, "watch: true\nwatch: true\nlog: {format: json}\n", 78, true),
        (&[], file, "log: {format: json}\n[\n", 78, false),
        (&[("DOCKVEIL_LOG_FORMAT", "logfmt")], file, "upstrem: x\nlog: {format: json}\n", 78, false),
        (&[JSON], file, good, 70, true),
        (&[], file, &format!("{good}log: {{format: json}}\n"), 70, true),
        (&[], file, good, 70, false),
    ] {
        std::fs::write(&path, text).unwrap();
        let ended = crate::support::program::command(variables, arguments).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(code), "{arguments:?} {text}: {said}");
        let objects = said.lines().filter(|line| line.starts_with("{\"ts\":")).map(json_fields);
        let levels: Vec<String> = objects.map(|mut fields| fields.remove("level").unwrap()).collect();
        let expected = if is_json { said.lines().count() } else { 0 };
        assert_eq!(levels.len(), expected, "{variables:?} {arguments:?} {text}: {said}");
        assert_eq!(levels.iter().any(|level| level == "error"), is_json, "{said}");
    }
}

fn a_wrong_variable_of_the_log_hides_no_other_error() {
    let folder = Folder::new();
    let path = folder.path("dockveil.yaml").display().to_string();
    std::fs::write(&path, "upstrem: x\nwatch: true\nwatch: true\n").unwrap();
    for command in ["serve", "check"] {
        let variables = [("DOCKVEIL_LOG", "loud"), ("DOCKVEIL_LOG_FORMAT", "yaml")];
        let ended = crate::support::program::command(&variables, &[command, "--config", &path]).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(78), "{said}");
        for expected in [
            "DOCKVEIL_LOG: found \"loud\", expected one of",
            "DOCKVEIL_LOG_FORMAT: found \"yaml\", expected logfmt or json",
            ":1:1: unknown key \"upstrem\"",
            ":3:1: duplicate key \"watch\"",
            "dockveil: 4 errors in the configuration",
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }
}

/// A program with this configuration behind its upstream, which listens on the socket `listener` of a folder.
fn configured(folder: &Folder, text: &str, variables: &[(&str, &str)]) -> Program {
    let path = folder.path("dockveil.yaml");
    let [engine, listener] = ["engine", "listener"].map(|name| folder.path(name).display().to_string());
    std::fs::write(&path, format!("upstream: unix://{engine}\nlisteners: [{{listen: unix://{listener}}}]\n{text}"))
        .unwrap();
    let arguments = ["--config", path.to_str().unwrap()];
    Program::start(crate::support::program::command(variables, &arguments))
}

fn the_file_says_how_lines_are_written_and_a_reload_changes_it() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = configured(&folder, "log: {format: json}\n", &[]);
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &String| !line.contains("engine reached")) {
        lines.push(program.line());
    }
    for line in &lines {
        json_fields(line);
    }
    // The watch of the files sees it.
    let text = std::fs::read_to_string(folder.path("dockveil.yaml")).unwrap();
    std::fs::write(folder.path("dockveil.yaml"), text.replace("json", "logfmt")).unwrap();
    let line = program.line_with("configuration reloaded");
    assert_eq!(fields(&line).get("level").map(String::as_str), Some("info"), "{line}");
    drop(program);
    // A variable wins over the file.
    let program = configured(&folder, "log: {format: json}\n", &[("DOCKVEIL_LOG_FORMAT", "logfmt")]);
    fields(&program.line_with("engine reached"));
    drop(program);
    let ended = configured(&folder, "log: {format: yaml}\n", &[]).ended();
    assert_eq!(ended.0.code(), Some(78));
    assert!(ended.1.iter().any(|line| line.contains("found \"yaml\", expected logfmt or json")), "{ended:?}");
}

/// The first line of an exchange with these requests, at the level `debug`.
fn line_of(folder: &Folder, program: &Program, request: &str) -> BTreeMap<String, String> {
    let mut client = Client::connect(&folder.path("listener"));
    client.send(request);
    client.message(request.starts_with("HEAD"));
    fields(&program.line_with("msg=\"exchange"))
}

fn the_line_of_an_exchange_says_where_and_how_long() {
    const ENGINE_TIME: Duration = Duration::from_millis(30);
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| {
        // What is measured is this time.
        std::thread::sleep(ENGINE_TIME);
        json(r#"[{"Id":"0a","Command":"canary","Labels":{"a":"canary"},"NewIn2099":"canary"}]"#)
    });
    let program = logging(&folder, "info", "logfmt");
    let fields = line_of(&folder, &program, &get("/v1.44/containers/json"));
    let text = |name: &str| fields.get(name).map_or("", String::as_str);
    let listener = format!("unix://{}", folder.path("listener").display());
    assert_eq!((text("method"), text("api"), text("profile")), ("GET", "1.44", "dashboard"), "{fields:?}");
    assert_eq!((text("listener"), text("received")), (listener.as_str(), "0"), "{fields:?}");
    assert_eq!((text("hidden"), text("classes")), ("3", "command:1 free-text:1 unknown:1"), "{fields:?}");
    let time = |name: &str| Duration::from_micros(text(name).parse().unwrap());
    assert!(time("engine_us") >= ENGINE_TIME && time("own_us") < time("elapsed_us"), "{fields:?}");
    assert!(time("own_us") + time("engine_us") <= time("elapsed_us"), "{fields:?}");
    // The bytes of a body count, read or not.
    let request = "POST /containers/0a/kill HTTP/1.1\r\nHost: d\r\nContent-Length: 6\r\n\r\ncanary";
    let fields = line_of(&folder, &program, request);
    let text = |name: &str| fields.get(name).map_or("", String::as_str);
    assert_eq!((text("received"), text("method"), text("reason")), ("6", "POST", "not-allowed"), "{fields:?}");
    assert!(!fields.contains_key("api") && !fields.contains_key("classes"), "{fields:?}");
}

fn pings_are_details_and_denials_are_warnings() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = logging(&folder, "debug", "logfmt");
    let head = "HEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\n".to_owned();
    let denied_head = "HEAD /containers/a/archive?path=/a HTTP/1.1\r\nHost: d\r\n\r\n".to_owned();
    let web_page = "GET /containers/json HTTP/1.1\r\nHost: d\r\nOrigin: http://a\r\n\r\n".to_owned();
    for (request, level, reason) in [
        (get("/_ping"), "debug", "text"),
        (head, "debug", "empty"),
        (get("/_ping?a=1"), "debug", "text"),
        (get("/version"), "info", ""),
        (get("/containers/json"), "info", ""),
        (get("/nothing"), "info", "no-operation"),
        (get("/containers/a/export"), "warn", "not-allowed"),
        (get("/images/json?filters={%22label%22:[%22a=b%22]}"), "warn", "oracle"),
        (web_page, "warn", "origin"),
        (denied_head, "warn", "not-allowed"),
    ] {
        let fields = line_of(&folder, &program, &request);
        let text = |name: &str| fields.get(name).map_or("", String::as_str);
        assert_eq!((text("level"), text("reason")), (level, reason), "{request}: {fields:?}");
        // An answer of our own to `HEAD` has no body, and is as complete.
        let fields = line_of(&folder, &program, &request.replacen("GET ", "HEAD ", 1));
        assert_eq!(fields.get("msg").map(String::as_str), Some("exchange"), "{request}: {fields:?}");
    }
}

/// The HTTP client has details of its own of each connection that it keeps or uses again.
fn the_libraries_say_nothing() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = logging(&folder, "debug", "logfmt");
    for _ in 0..3 {
        let mut client = Client::connect(&folder.path("listener"));
        client.send(get("/containers/json"));
        assert_eq!(status(&client.message(false)), 200);
    }
    let (ended, said) = program.stop();
    assert!(ended.success() && said.iter().filter(|line| line.contains("msg=\"exchange\"")).count() == 3, "{said:?}");
    let of_pool = |line: &&String| ["pool", "idle", "reuse"].iter().any(|word| line.contains(word));
    assert_eq!(said.iter().filter(of_pool).collect::<Vec<_>>(), Vec::<&String>::new());
}

fn a_stream_has_a_line_at_its_start_and_one_at_its_end() {
    let folder = Folder::new();
    let (answer, connections) = crate::support::daemon::handing(
        "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    let _daemon = Daemon::start(&folder.path("engine"), answer);
    let program = logging(&folder, "info", "logfmt");
    let mut client = Client::connect(&folder.path("listener"));
    client.send(get("/v1.44/events"));
    client.read_until("\r\n\r\n");
    let opened = fields(&program.line_with("stream opened"));
    let mut engine = connections.next();
    std::io::Write::write_all(&mut engine, b"0\r\n\r\n").unwrap();
    client.rest();
    let ended = fields(&program.line_with("msg=\"exchange\""));
    for name in ["operation", "decision", "status", "client", "listener", "profile", "request_id"] {
        assert_eq!(opened.get(name).unwrap(), ended.get(name).unwrap(), "{name}: {opened:?} {ended:?}");
    }
    assert_eq!(ended["operation"], "SystemEvents");
}

/// Two profiles, one of which reads the bodies of requests; the other has no profile for anybody here.
const SLOW_PROFILES: &str = "\
profiles:
  - {profile: own, allow: all, show: all}
  - {profile: some, allow: all, show: all, containers: {only: [{name: shown}]}}
";

/// Whatever becomes of the body of a request, the time that its client takes to send it is nobody else's.
fn waiting_for_the_body_of_a_client_is_not_work_and_not_the_engine() {
    const PAUSE: Duration = Duration::from_millis(400);
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |request| {
        if request.contains("/start") || request.contains("/events") {
            let head =
                "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
            return Reply::Close(head.as_bytes().to_vec());
        }
        if request.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            return Reply::Then(
                Vec::new(),
                Box::new(|mut stream| {
                    // An engine answers once it has read the body.
                    crate::support::client::read_until(&mut stream, "0\r\n\r\n").unwrap();
                    let answer = "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
                    std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
                }),
            );
        }
        json("{}")
    });
    let [engine, strict, own, some, nobody, rate, late] = ["engine", "strict", "own", "some", "nobody", "rate", "late"]
        .map(|name| format!("unix://{}", folder.path(name).display()));
    let text = format!(
        "upstream: {engine}\nlisteners:\n  - {{listen: {strict}, profile: dashboard}}\n  - {{listen: {own}, profile: own}}\n  \
         - {{listen: {some}, profile: some}}\n  - {{listen: {nobody}, clients: [{{uid: 4711, profile: own}}]}}\n  \
         - {{listen: {rate}, profile: own, requests: {{rate: 1/h, burst: 1}}}}\n  \
         - {{listen: {late}, profile: own, requests: {{rate: 1/h, burst: 1}}}}\n{SLOW_PROFILES}"
    );
    std::fs::write(folder.path("dockveil.yaml"), text).unwrap();
    let config = folder.path("dockveil.yaml").display().to_string();
    let program = Program::start(crate::support::program::command(&[("DOCKVEIL_LOG", "info")], &["--config", &config]));
    program.line_with("engine reached");
    let create = "POST /v1.44/containers/create HTTP/1.1\r\nContent-Type: application/json";
    let exec = "POST /v1.44/exec/0a/start HTTP/1.1\r\nContent-Type: application/json";
    let archive = "PUT /v1.44/containers/shown/archive?path=/ HTTP/1.1\r\nContent-Type: application/x-tar";
    // The second request at these listeners comes too soon. A third one would have no line.
    for listener in ["rate", "late"] {
        let mut first = Client::connect(&folder.path(listener));
        first.send(get("/version"));
        first.message(false);
        program.line_with("msg=\"exchange");
    }
    for (what, listener, head, body) in [
        ("dropped", "strict", "GET /v1.44/containers/json HTTP/1.1", "abcd"),
        ("denied", "strict", "POST /v1.44/containers/0a/stop HTTP/1.1", "abcd"),
        ("passed on", "own", create, "{\"Image\":\"a\"}"),
        ("uploaded", "own", archive, "abcd"),
        ("names in it are looked up", "some", create, "{\"Image\":\"a\"}"),
        ("opens a stream", "own", exec, "{\"Detach\":false}"),
        ("of nobody", "nobody", "POST /v1.44/containers/0a/stop HTTP/1.1", "abcd"),
        ("too soon", "rate", "POST /v1.44/containers/0a/stop HTTP/1.1", "abcd"),
        ("no operation", "own", "POST /v1.44/nothing HTTP/1.1", "abcd"),
    ] {
        let (start, rest) = body.split_at(2);
        for is_chunked in [false, true] {
            let framing = if is_chunked {
                "Transfer-Encoding: chunked".to_owned()
            } else {
                format!("Content-Length: {}", body.len())
            };
            let frame = |bytes: &str, end: &str| {
                if is_chunked { format!("{:x}\r\n{bytes}\r\n{end}", bytes.len()) } else { bytes.to_owned() }
            };
            let listener = if listener == "rate" && is_chunked { "late" } else { listener };
            let mut client = Client::connect(&folder.path(listener));
            client.send(format!("{head}\r\nHost: d\r\n{framing}\r\n\r\n{}", frame(start, "")));
            std::thread::sleep(PAUSE);
            client.send(frame(rest, "0\r\n\r\n"));
            let line = fields(&program.line_with("msg=\"exchange"));
            let time = |name: &str| Duration::from_micros(line[name].parse().unwrap());
            // A request that is not read is answered before its body has come.
            let elapsed = time("elapsed_us");
            assert!(what == "no operation" || elapsed >= PAUSE / 2, "{what}: {line:?}");
            let others = time("own_us") + time("engine_us");
            assert!(what == "no operation" || others < elapsed / 2, "{what}, chunked {is_chunked}: {line:?}");
        }
    }
}

fn a_list_that_does_not_come_to_its_end_says_what_was_hidden() {
    type End = fn(&mut Client, std::os::unix::net::UnixStream);
    let folder = Folder::new();
    let element = r#"{"Id":"0a","Command":"canary","NewIn2099":"canary"}"#;
    let many = format!("[{}", [element; 200].join(","));
    let answer = format!(
        "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{many}\r\n",
        many.len()
    );
    let (answer, connections) = handing(&answer);
    let _daemon = Daemon::start(&folder.path("engine"), answer);
    let program = crate::metrics::measured(&folder, "");
    program.listening();
    let kinds: [(&str, End); 4] = [
        ("exchange broken", |_, engine| drop(engine)),
        ("exchange broken", |_, mut engine| engine.write_all(b"3\r\n,{{\r\n").unwrap()),
        ("exchange broken", |_, mut engine| engine.write_all(b"nonsense\r\n").unwrap()),
        ("exchange aborted", |client, engine| {
            client.0.shutdown(std::net::Shutdown::Both).unwrap();
            std::thread::spawn(move || std::io::Read::read(&mut &engine, &mut [0]));
        }),
    ];
    for (number, (message, end)) in kinds.iter().enumerate() {
        let mut client = Client::connect(&folder.path("listener"));
        client.send(get("/containers/json"));
        client.read_until("\r\n\r\n");
        // The first element has come.
        client.read_until("}");
        end(&mut client, connections.next());
        let line = fields(&program.line_with(message));
        let hidden: u64 = line["hidden"].parse().unwrap();
        // All but the last element, whose end the filter has not read.
        assert!(hidden >= 2 * 199, "{message} {number}: {line:?}");
        let start = "dockveil_hidden_fields_total{class=\"unknown\",profile=\"dashboard\"} ";
        let counted: u64 = crate::metrics::wait_for(&folder, start).parse().unwrap();
        assert!(counted >= 199 * (number as u64 + 1), "{message} {number}: {counted}");
    }
}

/// Too many connections or streams, of a client or of all: the answer counts, and the warning names the client and the listener.
fn a_request_without_room_says_who_and_where() {
    for (keys, limits) in [
        ("per_client: {streams: 1}", ""),
        ("streams: 1", ""),
        ("per_client: {connections: 1}", ""),
        ("connections: 1", ""),
        ("insecure: false", "limits: {connections: 1}\n"),
    ] {
        let folder = Folder::new();
        let (answer, connections) = handing(
            "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        let _daemon = Daemon::start(&folder.path("engine"), answer);
        let [engine, listener] = ["engine", "listener"].map(|name| format!("unix://{}", folder.path(name).display()));
        let keys = if keys.starts_with("insecure") { String::new() } else { format!(", {keys}") };
        let text = format!("upstream: {engine}\nlisteners: [{{listen: {listener}{keys}}}]\n{limits}");
        std::fs::write(folder.path("dockveil.yaml"), text).unwrap();
        let config = folder.path("dockveil.yaml").display().to_string();
        let program =
            Program::start(crate::support::program::command(&[("DOCKVEIL_LOG", "info")], &["--config", &config]));
        program.listening();
        let mut held = Client::connect(&folder.path("listener"));
        held.send(get("/events"));
        held.read_until("\r\n\r\n");
        let _engine = connections.next();
        let mut more = Client::connect(&folder.path("listener"));
        more.send(get("/events"));
        let answer = more.message(false);
        assert_eq!(status(&answer), 503, "{keys}{limits}: {answer}");
        let warning = fields(&program.line_with("too many"));
        let line = fields(&program.line_with("msg=\"exchange\""));
        for name in ["client", "listener"] {
            assert_eq!(warning.get(name), line.get(name), "{name}: {warning:?} {line:?}");
        }
        assert_eq!((warning["level"].as_str(), &warning["listener"]), ("warn", &listener), "{warning:?}");
        let body = crate::support::client::body(&answer).0;
        assert_eq!((line["reason"].as_str(), line["status"].as_str()), ("busy", "503"), "{line:?}");
        assert_eq!(line["bytes"], body.len().to_string(), "{keys}{limits}: {line:?}");
    }
}

fn the_id_of_a_request_goes_to_the_engine_and_back() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.path("engine"), |request| {
        if request.contains("/events") {
            return Reply::Close(b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Length: 0\r\n\r\n".to_vec());
        }
        json("[]")
    });
    let program = logging(&folder, "info", "logfmt");
    let id_in = |text: &str| -> Option<String> {
        let is_id = |line: &&str| line.to_ascii_lowercase().starts_with("x-request-id: ");
        let ids: Vec<&str> = text.lines().filter(is_id).collect();
        assert!(ids.len() <= 1, "{text}");
        ids.first().map(|line| line[14..].to_owned())
    };
    let long = "x".repeat(65);
    for target in ["/containers/json", "/events", "/nothing", "/containers/a/export", "bad request"] {
        for (sent, is_taken) in [
            (None, false),
            (Some("canary-0.A_1"), true),
            (Some("a b"), false),
            (Some("\"}"), false),
            (Some(long.as_str()), false),
            (Some("a\r\nX-Request-Id: b"), false),
        ] {
            let before = daemon.ids().len();
            let field = sent.map(|id| format!("X-Request-Id: {id}\r\n")).unwrap_or_default();
            let mut client = std::os::unix::net::UnixStream::connect(folder.path("listener")).unwrap();
            let request = format!("GET {target} HTTP/1.1\r\nHost: d\r\n{field}Connection: close\r\n\r\n");
            std::io::Write::write_all(&mut client, request.as_bytes()).unwrap();
            let mut answer = Vec::new();
            std::io::Read::read_to_end(&mut client, &mut answer).unwrap();
            let answer = String::from_utf8(answer).unwrap();
            let id = id_in(&answer).unwrap_or_else(|| panic!("{target}: {answer}"));
            // What is no request has no fields that count.
            let is_taken = is_taken && target != "bad request";
            assert_eq!(Some(id.as_str()) == sent, is_taken, "{target} {sent:?}: {answer}");
            let line = fields(&program.line_with("msg=\"exchange\""));
            assert_eq!(line.get("request_id"), Some(&id), "{target} {sent:?}");
            let asked = daemon.ids();
            let is_asked = ["/containers/json", "/events"].contains(&target);
            assert_eq!(asked.len() - before, usize::from(is_asked), "{target}");
            if is_asked {
                assert_eq!(asked.last().unwrap(), &id, "{target} {sent:?}");
            }
        }
    }
    assert!(!without_request_id(b"a: b\r\nX-Request-ID: c\r\n").contains(&b'c'));
}

fn command_with_format(format: &str) -> std::process::Command {
    crate::support::program::command(&[("DOCKVEIL_LOG_FORMAT", format)], &["check"])
}

fn the_line_of_an_exchange_is_written_at_once() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("{"));
    let program = Program::between(&folder);
    program.listening();
    let mut client = Client::connect(&folder.path("listener"));
    // Nothing else happens that could bring a line out: neither another exchange nor the end of a connection.
    for _ in 0..3 {
        client.send(get("/info"));
        let answer = client.response();
        assert_eq!(status(&answer), 502);
        let line = program.line();
        let fields = fields(&line);
        let text = |name: &str| fields.get(name).map(String::as_str);
        assert_eq!((text("level"), text("msg")), (Some("warn"), Some("exchange")), "{line}");
        assert_eq!((text("operation"), text("decision")), (Some("SystemInfo"), Some("filter")), "{line}");
        assert_eq!((text("status"), text("hidden")), (Some("502"), Some("0")), "{line}");
        assert_eq!(text("reason"), Some("unfilterable"), "{line}");
        assert!(text("error").unwrap().starts_with("withheld: "), "{line}");
        assert!(text("elapsed_us").unwrap().parse::<u64>().is_ok() && text("ts").unwrap().ends_with('Z'), "{line}");
    }
}

fn no_line_is_lost_when_the_program_stops() {
    const CLIENTS: usize = 8;
    const EXCHANGES: usize = 50;
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = Program::between(&folder);
    program.listening();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let mut client = Client::connect(&folder.path("listener"));
            scope.spawn(move || {
                // All requests are sent at once, so that many lines are made at a time.
                client.send(get("/containers/json").repeat(EXCHANGES));
                for _ in 0..EXCHANGES {
                    assert_eq!(status(&client.read_until("\r\n\r\n")), 200);
                    client.read_until("0\r\n\r\n");
                }
            });
        }
    });
    let (ended, lines) = program.stop();
    assert!(ended.success(), "{ended}");
    let exchanges = lines.iter().filter(|line| line.contains("msg=\"exchange\" operation=ContainerList"));
    assert_eq!(exchanges.count(), CLIENTS * EXCHANGES);
    assert!(lines.iter().any(|line| line.ends_with("msg=\"stopping\"")));
}

/// Whatever is wrong with a request, and whichever part of the program finds it.
fn a_request_that_is_refused_has_an_answer_and_a_line() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = Program::between(&folder);
    program.listening();
    let line = |line: &str| format!("{line}\r\nHost: d\r\n\r\n");
    let field = |field: &str| format!("GET /_ping HTTP/1.1\r\nHost: d\r\n{field}\r\n\r\n");
    for (request, expected) in [
        (line("GET /_ping HTTP/1.1 "), 400),
        (line("GET /_ping"), 400),
        (line(" /_ping HTTP/1.1"), 400),
        (line("G(T /_ping HTTP/1.1"), 400),
        (line("GET /_ping?a=\u{1} HTTP/1.1"), 400),
        (line("GET /_ping?a=\u{7f} HTTP/1.1"), 400),
        (line("GET /_ping?a=\0 HTTP/1.1"), 400),
        (line("GET /_ping?a=b c HTTP/1.1"), 400),
        (line("GET /_ping#a HTTP/1.1"), 400),
        (line("GET * HTTP/1.1"), 400),
        (line("GET http://a@b/_ping HTTP/1.1"), 400),
        (line("OPTIONS * HTTP/1.1"), 400),
        (line("CONNECT d:80 HTTP/1.1"), 400),
        (line("GET /networks/\u{85} HTTP/1.1"), 400),
        (line("GET /containers/a%zz/json HTTP/1.1"), 400),
        (line("GET /containers/a\\b/json HTTP/1.1"), 400),
        (line("GET /v1.1/_ping HTTP/1.1"), 400),
        (line("GET /_ping HTTP/1.2"), 505),
        (line("PRI * HTTP/2.0"), 505),
        ("GET /_ping HTTP/1.1\nHost: d\n\n".to_owned(), 400),
        ("GET /_ping HTTP/1.1\r\n\r\n".to_owned(), 400),
        (field("Host: e"), 400),
        (field(" a: b"), 400),
        (field("a b: c"), 400),
        (field("a: \0"), 400),
        (field("Content-Length: x"), 400),
        (field("Content-Length: 1\r\nTransfer-Encoding: chunked"), 400),
        (field("Transfer-Encoding: gzip"), 501),
        (field("Expect: more"), 417),
        (field(&format!("a: {}", "b".repeat(90_000))), 431),
        (field(&"a: b\r\n".repeat(100)), 431),
        (line(&format!("GET /_ping?{} HTTP/1.1", "\"".repeat(30_000))), 414),
    ] {
        let mut client = Client::connect(&folder.path("listener"));
        client.send(&request);
        let answer = client.response();
        let short: String = request.chars().take(80).collect();
        assert_eq!(status(&answer), expected, "{short:?}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}", body.len()))
                || head.contains(&format!("content-length: {}", body.len())),
            "{head}"
        );
        let message: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(message["message"].as_str().is_some_and(|text| !text.is_empty()), "{short:?}: {answer}");
        let line = program.line_with("msg=\"exchange\"");
        let fields = fields(&line);
        let text = |name: &str| fields.get(name).map(String::as_str);
        assert_eq!(text("status"), Some(expected.to_string().as_str()), "{short:?}: {line}");
        assert_eq!(text("bytes"), Some(body.len().to_string().as_str()), "{short:?}: {line}");
        assert_eq!((text("operation"), text("decision")), (Some("-"), Some("deny")), "{short:?}: {line}");
    }
}

fn the_log_holds_nothing_that_a_client_or_the_engine_chose() {
    for (level, format) in [("info", "logfmt"), ("debug", "logfmt"), ("info", "json"), ("debug", "json")] {
        check_chosen(level, format, if format == "json" { json_fields } else { fields });
    }
}

#[track_caller]
fn check_chosen(level: &str, format: &str, fields: fn(&str) -> BTreeMap<String, String>) {
    let folder = Folder::new();
    let list = r#"[{"Id":"canary-id","Names":["/canary-name"],"Command":"canary-command"}]"#;
    let _daemon = Daemon::start(&folder.path("engine"), move |_| json(list));
    let program = logging(&folder, level, format);
    let ask = |request: &str| {
        let mut client = Client::connect(&folder.path("listener"));
        client.send(request);
        client.0.shutdown(std::net::Shutdown::Write).unwrap();
        client.rest();
    };
    for target in [
        "/containers/json?limit=1&canary=1",
        "/containers/json?limit=canary",
        "/containers/canary/json",
        "/containers/%1b%5b31m/json",
        "/canary",
        "/images/json?filters=canary",
        "/events?until=canary",
    ] {
        ask(&get(target));
    }
    ask("GET /canary HTTP/1.1\nHost: canary\n\n");
    ask("POST /containers/canary/kill?signal=canary HTTP/1.1\r\nHost: canary\r\nContent-Length: 6\r\n\r\ncanary");
    let (_, lines) = program.stop();
    assert!(lines.len() > 6, "{lines:#?}");
    for line in lines {
        // Of a request that is denied, the path is logged.
        let mut fields = fields(&line);
        let path = fields.remove("path");
        assert!(
            path.is_none_or(|path| ["/containers/canary/kill", "/events", "/images/json"].contains(&path.as_str())),
            "{line}"
        );
        for (name, value) in fields {
            assert!(!value.contains("canary") && !value.contains('?'), "{name}: {line}");
        }
        assert!(!line.contains('?') && !line.contains(char::is_control), "{line}");
    }
}

fn the_line_of_a_denied_request_says_who_sent_what_and_what_opens_it() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = Program::between(&folder);
    program.listening();
    let listener = format!("unix://{}", folder.path("listener").display());
    let client = format!("uid {} pid {}", rustix::process::getuid().as_raw(), std::process::id());
    let label = "/v1.41/containers/json?filters={%22label%22:[%22canary.label=canary%22]}";
    for (request, path, denied, opened_by) in [
        (
            get("/v1.41/containers/web%2d1/export"),
            "/v1.41/containers/web%2d1/export",
            "the profile dashboard does not allow ContainerExport",
            "allow: [ContainerExport] in a profile that extends it",
        ),
        (
            get(label),
            "/v1.41/containers/json",
            "the profile dashboard hides a label that ContainerList is filtered by",
            "labels: [\"NAME\"] in a profile that extends it",
        ),
    ] {
        let mut connection = Client::connect(&folder.path("listener"));
        connection.send(&request);
        let answer = connection.response();
        let line = program.line_with("msg=\"exchange\"");
        assert_eq!(status(&answer), 403, "{answer}");
        let fields = fields(&line);
        let text = |name: &str| fields.get(name).map_or("", String::as_str);
        assert_eq!((text("decision"), text("status")), ("deny", "403"), "{line}");
        assert_eq!((text("path"), text("denied"), text("opened_by")), (path, denied, opened_by), "{line}");
        assert_eq!((text("client"), text("listener")), (client.as_str(), listener.as_str()), "{line}");
        assert!(!line.contains("canary"), "{line}");
    }
}

/// It is denied only after the object has been looked up.
fn the_line_of_a_request_for_another_object_says_why() {
    let folder = Folder::new();
    let web = serde_json::json!({"Id": "a".repeat(64), "Name": "/db", "Config": {"Image": "a:1", "Labels": {"a": "canary"}}, "State": {}, "NetworkSettings": {"Networks": {}}}).to_string();
    let _daemon = Daemon::start(&folder.path("engine"), move |request| {
        json(if request.contains("/containers/json") { "[]" } else { &web })
    });
    let profile =
        "profiles: [{profile: p, show: all, allow: [ContainerInspect, {ContainerRestart: {only: [{name: web}]}}]}]\n";
    let path = folder.path("dockveil.yaml");
    let [engine, listener] = ["engine", "listener"].map(|name| folder.path(name).display().to_string());
    std::fs::write(
        &path,
        format!("upstream: unix://{engine}\nlisteners: [{{listen: unix://{listener}, profile: p}}]\n{profile}"),
    )
    .unwrap();
    let program = Program::start(crate::support::program::command(&[], &["--config", path.to_str().unwrap()]));
    program.listening();
    let mut client = Client::connect(&folder.path("listener"));
    client.send("POST /containers/db/restart HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n");
    let answer = client.response();
    assert_eq!(status(&answer), 403, "{answer}");
    let line = program.line_with("msg=\"exchange\"");
    let fields = fields(&line);
    for name in ["denied", "path"] {
        assert!(fields.get(name).is_some_and(|text| !text.is_empty()), "{name}: {line}");
    }
    assert_eq!(fields.get("reason").map(String::as_str), Some("bound"), "{line}");
    assert!(!line.contains("canary"), "{line}");
}

/// More lines than the pipe and the queue of the log hold.
const EXCHANGES: usize = 6_000;

/// A program whose log nobody reads, after [`EXCHANGES`].
fn unread(folder: &Folder) -> UnreadProgram {
    const AT_ONCE: usize = 200;
    let program = Program::between_unread(folder);
    let mut client = Client::connect_when_listening(&folder.path("listener"));
    for _ in 0..EXCHANGES / AT_ONCE {
        client.send(get("/containers/json").repeat(AT_ONCE));
        for _ in 0..AT_ONCE {
            client.read_until("0\r\n\r\n");
        }
    }
    program
}

fn a_log_that_nobody_reads_does_not_keep_the_program_from_ending() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = unread(&folder);
    // The last lines are waited for, but not for long. Exchanges in progress would be waited for longer.
    let ended = program.stop_within(Duration::from_secs(8));
    assert!(ended.success(), "{ended}");
    assert!(!folder.path("listener").exists());
}

fn a_log_that_nobody_reads_stops_no_exchange() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = unread(&folder);
    // When it is read at last, it tells how many lines are missing.
    let program = program.read();
    let mut exchanges = 0;
    let dropped = loop {
        let line = program.line();
        if !line.starts_with("ts=") {
            // What the start prints for people is no log.
            continue;
        }
        let fields = fields(&line);
        match (fields.get("lines"), fields.get("msg").map(String::as_str)) {
            (Some(dropped), _) => break dropped.parse::<usize>().unwrap(),
            (None, Some("exchange")) => exchanges += 1,
            (None, _) => {}
        }
    };
    assert!(dropped > 0 && exchanges > 0, "{dropped} dropped, {exchanges} written");
    let (_, rest) = program.stop();
    exchanges += rest.iter().filter(|line| line.contains("msg=\"exchange\"")).count();
    assert_eq!(exchanges + dropped, EXCHANGES);
}
