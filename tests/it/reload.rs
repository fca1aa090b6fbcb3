//! The configuration is read again while clients are connected: when it is in force, for whom, and what it leaves alone.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::version::TLS13;

use crate::harness::{Test, tests};
use crate::output::remarks_in;
use crate::support::authority::{Authority, Names};
use crate::support::client::{Client, PATIENCE, closing_get, get, status};
use crate::support::daemon::{Daemon, Reply, json};
use crate::support::program::{Program, command, free_port};
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[Test] = tests![
    the_next_request_of_a_connection_is_served_by_the_new_configuration,
    a_changed_file_is_noticed_by_itself_unless_nothing_is_watched,
    a_configuration_with_an_error_changes_nothing,
    what_cannot_change_while_it_runs_is_refused_whole,
    listeners_open_and_close,
    a_socket_that_cannot_be_reached_any_more_is_opened_again,
    a_reload_tells_each_note_and_warning_that_it_adds,
    a_reload_that_fails_leaves_no_audit_file,
    a_listener_that_moves_within_its_port_says_who_has_it,
    engines_and_limits_change,
    a_stream_goes_on_unless_it_shows_less_now,
    a_request_that_is_held_back_loses_what_a_reload_takes_away,
    a_stream_is_cut_whenever_the_reload_was_noticed_that_takes_it_away,
    a_client_is_told_that_its_stream_is_cut_before_it_begins,
    streams_that_were_open_before_count_when_a_reload_limits_them,
    a_line_of_clients_is_chosen_again,
    certificates_are_replaced_without_a_cut,
    a_list_of_revoked_certificates_is_noticed_and_cuts_no_other_connection,
    no_request_fails_and_none_is_decided_wrongly_under_load
];

/// A profile that lists containers, and one that inspects them and shows events.
const PROFILES: &str = "profiles:\n  - {profile: lists, allow: [Ping, ContainerList, SystemEvents], show: [identity, state]}\n  - {profile: inspects, allow: [Ping, ContainerInspect, SystemEvents], show: [identity, state]}\n  - {profile: less, allow: [Ping, SystemEvents], show: [identity]}\n  - {profile: more, allow: [Ping, ContainerList, SystemEvents], show: [identity, state, topology]}\n";
/// What each of the two targets is answered.
const LISTS: [u16; 2] = [200, 403];
const INSPECTS: [u16; 2] = [403, 200];

/// The program as a process, with a configuration file.
pub(crate) struct Reloadable {
    program: Program,
    folder: Folder,
    daemon: Daemon,
}

/// What the daemon answers: an object for an inspection, after a second for that of an exec instance; a stream of events or of an exec
/// instance that goes on, or nothing to one of past events; an empty list for the rest.
fn answer(request: &str) -> Reply {
    if request.contains("/exec/") && request.contains("/start") {
        let head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n";
        return Reply::Keep(format!("{head}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\ntick").into_bytes());
    }
    if request.contains("/exec/") {
        std::thread::sleep(Duration::from_secs(1));
        return json(&format!("{{\"ID\":\"{}\",\"ContainerID\":\"{}\"}}", "e".repeat(64), "c".repeat(64)));
    }
    if request.contains("/events?since=") {
        return Reply::Keep(Vec::new());
    }
    if request.contains("/events") {
        let event = "{\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{\"ID\":\"c1\",\"Attributes\":{}}}\n";
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        return Reply::Keep(format!("{head}{:x}\r\n{event}\r\n", event.len()).into_bytes());
    }
    let id = "c".repeat(64);
    json(&if request.contains("/json?") || request.contains("/containers/json") {
        "[]".to_owned()
    } else {
        format!("{{\"Id\":\"{id}\",\"Name\":\"/web\",\"Config\":{{\"Image\":\"web\",\"Labels\":{{}}}}}}")
    })
}

impl Reloadable {
    /// With this configuration, in which `%` stands for the folder.
    pub(crate) fn start(config: &str) -> Self {
        let folder = Folder::new();
        let daemon = Daemon::start(&folder.path("engine"), answer);
        write(&folder, config);
        let config = folder.path("dockveil.yaml").display().to_string();
        let program = Program::start(command(&[], &["--config", &config]));
        program.listening();
        Self { program, folder, daemon }
    }

    /// Replaces the configuration, and waits until the program has read it.
    pub(crate) fn reload(&self, config: &str) -> String {
        self.replace(config);
        self.program.line_with("configuration ")
    }

    /// Replaces the configuration, and has the program read it.
    fn replace(&self, config: &str) {
        write(&self.folder, config);
        self.program.signal(Signal::HUP);
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.folder.path("listener"))
    }
}

/// Replaces the file at once, as most editors do.
fn write(folder: &Folder, config: &str) {
    let text = config.replace('%', &folder.path("").display().to_string());
    fs::write(folder.path("new"), text).unwrap();
    fs::rename(folder.path("new"), folder.path("dockveil.yaml")).unwrap();
}

/// A configuration with one listener, which has this profile. Files are not watched.
fn config(profile: &str) -> String {
    format!("watch: false\n{}", watched(profile))
}

/// As [`config`], with files that are watched.
fn watched(profile: &str) -> String {
    format!("upstream: unix://%engine\nlisteners: [{{listen: unix://%listener, profile: {profile}}}]\n{PROFILES}")
}

/// A configuration with one listener, which has these keys. Files are not watched.
pub(crate) fn of_listener(keys: &str) -> String {
    format!("watch: false\nupstream: unix://%engine\nlisteners: [{{listen: unix://%listener, {keys}}}]\n{PROFILES}")
}

fn statuses(client: &mut Client) -> [u16; 2] {
    let id = "c".repeat(64);
    ["/containers/json", &format!("/containers/{id}/json")].map(|target| {
        client.send(get(target));
        status(&client.message(false))
    })
}

fn the_next_request_of_a_connection_is_served_by_the_new_configuration() {
    let bench = Reloadable::start(&config("lists"));
    let mut clients = [bench.client(), bench.client(), bench.client()];
    for (profile, expected) in [("lists", LISTS), ("inspects", INSPECTS), ("lists", LISTS), ("less", [403, 403])] {
        let line = bench.reload(&config(profile));
        assert!(line.contains("msg=\"configuration reloaded\" reason=SIGHUP listeners=1"), "{line}");
        for client in &mut clients {
            assert_eq!(statuses(client), expected, "{profile}");
        }
        assert_eq!(statuses(&mut bench.client()), expected, "{profile}");
    }
    assert!(bench.program.stop().0.success());
}

fn a_changed_file_is_noticed_by_itself_unless_nothing_is_watched() {
    let bench = Reloadable::start(&watched("lists"));
    let mut client = bench.client();
    assert_eq!(statuses(&mut client), LISTS);
    write(&bench.folder, &watched("inspects"));
    let line = bench.program.line_with("configuration reloaded");
    assert!(line.contains("reason=\"files changed\""), "{line}");
    assert_eq!(statuses(&mut client), INSPECTS);
    // From here on, files are not watched.
    write(&bench.folder, &config("inspects"));
    bench.program.line_with("configuration reloaded");
    write(&bench.folder, &config("lists"));
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(statuses(&mut client), INSPECTS);
    assert!(bench.reload(&config("lists")).contains("reason=SIGHUP"));
    assert_eq!(statuses(&mut client), LISTS);
}

fn a_configuration_with_an_error_changes_nothing() {
    let bench = Reloadable::start(&config("lists"));
    let mut client = bench.client();
    let path = bench.folder.path("dockveil.yaml").display().to_string();
    for (text, expected) in [
        (config("nobody"), "unknown profile \\\"nobody\\\"".to_owned()),
        (config("lists") + "limitz: {}\n", "unknown key \\\"limitz\\\", did you mean \\\"limits\\\"?".to_owned()),
        ("{".to_owned(), format!("{path}:")),
    ] {
        let line = bench.reload(&text);
        assert!(line.contains("level=error") && line.contains("not reloaded, nothing has changed"), "{line}");
        assert!(line.contains(&expected), "{line}");
        assert_eq!(statuses(&mut client), LISTS, "{text}");
    }
    fs::remove_file(bench.folder.path("dockveil.yaml")).unwrap();
    bench.program.signal(Signal::HUP);
    assert!(bench.program.line_with("configuration ").contains("No such file"));
    assert_eq!(statuses(&mut client), LISTS);
    assert!(bench.reload(&config("inspects")).contains("configuration reloaded"));
    assert_eq!(statuses(&mut client), INSPECTS);
}

fn what_cannot_change_while_it_runs_is_refused_whole() {
    let bench = Reloadable::start(&config("lists"));
    let mut client = bench.client();
    let mode = config("inspects").replace("unix://%listener,", "unix://%listener, mode: \"0666\",");
    let line = bench.reload(&mode);
    assert!(line.contains("the mode or owner of unix://") && line.contains("takes a restart"), "{line}");
    // One listener that cannot be opened is enough; the other one is not left open.
    let two = config("inspects").replace(
        "listeners: [",
        "listeners: [{listen: unix://%second}, {listen: unix://%nowhere/../dockveil.yaml/a}, ",
    );
    let line = bench.reload(&two);
    assert!(line.contains("not reloaded") && line.contains("cannot listen on unix://"), "{line}");
    assert!(!bench.folder.path("second").exists());
    let many = config("inspects") + "limits: {connections: 1000000}\n";
    let line = bench.reload(&many);
    assert!(
        line.contains("not reloaded")
            || rustix::process::getrlimit(rustix::process::Resource::Nofile)
                .maximum
                .is_none_or(|most| most > 2_000_000),
        "{line}"
    );
    bench.reload(&config("lists"));
    assert_eq!(statuses(&mut client), LISTS);
}

fn listeners_open_and_close() {
    let bench = Reloadable::start(&config("lists"));
    let second = bench.folder.path("second");
    let mut first = bench.client();
    assert_eq!(statuses(&mut first), LISTS);
    let two = config("lists").replace("listeners: [", "listeners: [{listen: unix://%second, profile: inspects}, ");
    for round in 0..5 {
        let line = bench.reload(&two);
        assert!(line.contains("listeners=2"), "{line}");
        let mut there: Vec<Client> = (0..8).map(|_| Client::connect(&second)).collect();
        for client in &mut there {
            assert_eq!(statuses(client), INSPECTS, "round {round}");
        }
        let mut stream = Client::connect(&second);
        stream.send(get("/events"));
        stream.read_until("c1");
        let line = bench.reload(&config("lists"));
        assert!(line.contains("listeners=1"), "{line}");
        assert!(!second.exists() && UnixStream::connect(&second).is_err(), "round {round}");
        for client in there.iter_mut().chain([&mut stream]) {
            client.rest();
        }
        assert_eq!(statuses(&mut first), LISTS, "round {round}");
    }
    assert!(bench.program.stop().0.success());
}

/// Somebody has removed the file of a socket, or put another one in its place.
fn a_socket_that_cannot_be_reached_any_more_is_opened_again() {
    let config = format!("metrics: unix://%metrics\n{}", config("lists"));
    let bench = Reloadable::start(&config);
    for name in ["listener", "metrics"] {
        let path = bench.folder.path(name);
        let answers = || {
            let mut client = Client::connect(&path);
            client.send(closing_get(if name == "metrics" { "/livez" } else { "/_ping" }));
            assert_eq!(status(&client.rest()), 200, "{name}");
        };
        let told = |expected: &str| {
            bench.program.signal(Signal::HUP);
            let address = format!("address=unix://{}", path.display());
            let mut lines = std::iter::from_fn(|| Some(bench.program.line_with("the path of a socket")));
            let line = lines.find(|line| line.contains(&address)).unwrap();
            assert!(line.contains(expected), "{line}");
            bench.program.line_with("configuration reloaded");
        };
        for _ in 0..2 {
            answers();
            fs::remove_file(&path).unwrap();
            told("msg=\"the path of a socket did not lead to it any more: the socket is made again\"");
        }
        answers();
        // What somebody else has put there stays, and the configuration is in force all the same.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        told("a file that is not a socket exists there");
        told("cannot be made again");
        assert_eq!(fs::read(&path).unwrap(), b"", "{name}");
        fs::remove_file(&path).unwrap();
        told("is made again");
        answers();
        fs::remove_file(&path).unwrap();
        let successor = std::os::unix::net::UnixListener::bind(&path).unwrap();
        told("another process listens there");
        let connected = UnixStream::connect(&path).unwrap();
        // The first is the question whether somebody is there.
        successor.accept().unwrap();
        successor.accept().unwrap();
        drop(connected);
    }
    // The socket of a successor stays.
    assert!(bench.program.stop().0.success() && bench.folder.path("metrics").exists());
}

/// The start of a program prints a summary. What a reload adds to that is in the log, once.
fn a_reload_tells_each_note_and_warning_that_it_adds() {
    let bench = Reloadable::start(&config("lists"));
    let checked = |text: &str| {
        write(&bench.folder, text);
        let config = bench.folder.path("dockveil.yaml").display().to_string();
        let output = command(&[], &["check", "--output", "json", "--config", &config]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        remarks_in(&serde_json::from_slice(&output.stdout).unwrap(), &["notes", "warnings"])
    };
    let port = free_port();
    let opened = config("lists")
        .replace("listeners: [", "listeners: [{listen: \"tcp://0.0.0.0:0\", profile: dashboard-live}, ")
        + &format!("metrics: tcp://0.0.0.0:{port}\nlimits: {{memory: 8MiB}}\n");
    // Another profile at the same listener, though it has been in use elsewhere.
    let swapped = opened.replace("%listener, profile: lists", "%listener, profile: dashboard-live");
    let told = || {
        bench.program.signal(Signal::HUP);
        let lines = std::iter::from_fn(|| Some(bench.program.line()));
        lines.take_while(|line| !line.contains("configuration reloaded")).collect::<Vec<_>>()
    };
    let before = checked(&config("lists"));
    for (number, text) in [opened, swapped].iter().enumerate() {
        let added: Vec<String> = checked(text).into_iter().filter(|remark| !before.contains(remark)).collect();
        assert!(added.len() > 4, "{added:#?}");
        let at_once = told();
        // The lines come after that which says that it is reloaded.
        let lines = told();
        assert!(number > 0 || !at_once.iter().any(|line| line.contains("level=warn")), "{at_once:#?}");
        for remark in added.iter().filter(|_| number == 0) {
            let escaped = serde_json::to_string(remark).unwrap();
            let escaped = escaped.trim_matches('"');
            assert!(lines.iter().any(|line| line.contains(escaped)), "{remark}: {lines:#?}");
        }
        if number == 1 {
            let path = bench.folder.path("listener");
            let start = format!("msg=\"unix://{} profile dashboard-live: ", path.display());
            assert!(lines.iter().any(|line| line.contains(&start) && line.contains("level=warn")), "{lines:#?}");
        }
        let again = told();
        assert!(!again.iter().any(|line| line.contains("level=warn") || line.contains("profile")), "{again:#?}");
    }
}

/// Nothing has changed: no file is made that nobody writes to.
fn a_reload_that_fails_leaves_no_audit_file() {
    let bench = Reloadable::start(&config("lists"));
    let wrong = config("lists").replace("listeners: [", "listeners: [{listen: unix:///proc/nowhere}, ");
    let line = bench.reload(&format!("audit: {{file: audit.jsonl}}\n{wrong}"));
    assert!(line.contains("nothing has changed: cannot listen on unix:///proc/nowhere"), "{line}");
    assert!(!bench.folder.path("audit.jsonl").exists());
    bench.reload(&format!("audit: {{file: audit.jsonl}}\n{}", config("lists")));
    assert!(bench.folder.path("audit.jsonl").exists());
}

/// The old listener has the port until the new one is open.
fn a_listener_that_moves_within_its_port_says_who_has_it() {
    let port = free_port();
    let at = |host: &str| {
        config("lists").replace("listeners: [", &format!("listeners: [{{listen: \"tcp://{host}:{port}\"}}, "))
    };
    let bench = Reloadable::start(&at("0.0.0.0"));
    let line = bench.reload(&at("127.0.0.1"));
    let expected = format!("tcp://0.0.0.0:{port} has the port until a restart");
    assert!(line.contains("nothing has changed") && line.contains(&expected), "{line}");
    // So it is with the metrics.
    let port = free_port();
    let metrics = |host: &str| format!("metrics: tcp://{host}:{port}\n{}", config("lists"));
    assert!(bench.reload(&metrics("0.0.0.0")).contains("configuration reloaded"));
    let line = bench.reload(&metrics("127.0.0.1"));
    let expected = format!("tcp://0.0.0.0:{port} has the port until a restart");
    assert!(line.contains("nothing has changed") && line.contains(&expected), "{line}");
}

fn engines_and_limits_change() {
    let bench = Reloadable::start(&config("lists"));
    let other =
        Daemon::start(&bench.folder.path("other"), |_| json(&format!("[{{\"Id\":\"other{}\"}}]", "x".repeat(2_000))));
    let mut client = bench.client();
    client.send(get("/containers/json"));
    assert!(!client.message(false).contains("other"));
    bench.reload(&config("lists").replace("%engine", "%other"));
    client.send(get("/containers/json"));
    assert!(client.message(false).contains("other"));
    let small = config("lists").replace("%engine", "%other") + "limits: {element: 1KiB}\n";
    assert!(bench.reload(&small).contains("configuration reloaded"));
    client.send(get("/containers/json"));
    assert_eq!(status(&client.message(false)), 502, "{:?}", other.requests());
    bench.reload(&config("lists"));
    client.send(get("/containers/json"));
    assert_eq!(status(&client.message(false)), 200);
}

fn a_stream_goes_on_unless_it_shows_less_now() {
    let bench = Reloadable::start(&config("lists"));
    // (before, after, whether it goes on)
    let own = |text: &str| {
        let profile = format!("{{profile: own, allow: [Ping, SystemEvents], show: [state], {text}}}");
        config("own").replace("profiles:\n", &format!("profiles:\n  - {profile}\n"))
    };
    // The same profile, but another class of a field of events.
    let classed = |class: &str| {
        fs::create_dir_all(bench.folder.path(class).join("class")).unwrap();
        let file = format!("class: {class}\nfields:\n  Event: [\"$.NewField\"]\n");
        fs::write(bench.folder.path(class).join("class/new.yaml"), file).unwrap();
        format!("filters: [%{class}]\n{}", own("events: filtered"))
    };
    for (before, after, goes_on) in [
        (classed("state"), classed("state"), true),
        (classed("state"), classed("secret"), false),
        (config("lists"), config("lists"), true),
        (config("lists"), config("inspects"), true),
        (config("lists"), config("more"), true),
        (config("more"), config("lists"), false),
        (config("lists"), config("less"), false),
        (own("events: untouched"), own("events: filtered"), false),
        (own("events: filtered"), own("events: untouched"), true),
        (own("events: filtered"), own("events: filtered, rules: [{on: Event, remove: \"$.Action\"}]"), false),
        (own("events: filtered"), own("events: filtered, containers: {only: [{name: a}]}"), false),
        (own("events: filtered, labels: [\"a.*\"]"), own("events: filtered, labels: [\"b.*\"]"), false),
        (
            own("events: filtered"),
            own("events: filtered").replace("SystemEvents], show: [state], ", "SystemInfo], show: [state], "),
            false,
        ),
        // What the listener lets in.
        (of_listener("profile: lists, hosts: [d]"), of_listener("profile: lists, hosts: [a, d]"), true),
        (of_listener("profile: lists, hosts: [d]"), of_listener("profile: lists, hosts: [\"*\"]"), true),
        (of_listener("profile: lists, hosts: [d, a]"), of_listener("profile: lists, hosts: [a]"), false),
        (of_listener("profile: lists, origins: [\"http://a\"]"), config("lists"), false),
        (config("lists"), of_listener("profile: lists, origins: [\"http://a\"]"), true),
        (config("lists"), format!("api: {{max: \"1.40\"}}\n{}", config("lists")), false),
        (format!("api: {{max: \"1.40\"}}\n{}", config("lists")), config("lists"), true),
        (config("lists"), config("lists").replace("%engine", "%other"), false),
        (config("lists"), format!("timeouts: {{response: 50s}}\n{}", config("lists")), true),
    ] {
        assert!(bench.reload(&before).contains("configuration reloaded"), "{before}");
        let mut stream = bench.client();
        stream.send(get("/events"));
        stream.read_until("\n\r\n");
        bench.replace(&after);
        // The two lines come in any order.
        let (mut is_reloaded, mut cut) = (false, None);
        while !is_reloaded || !goes_on && cut.is_none() {
            let line = bench.program.line();
            is_reloaded |= line.contains("configuration reloaded");
            cut = cut.or(Some(line).filter(|line| line.contains("exchange broken")));
        }
        assert_eq!(cut.is_some(), !goes_on, "{before} to {after}");
        assert!(cut.is_none_or(|line| line.contains("reason=reload") && line.contains("it shows less now")));
        if goes_on {
            // What the engine sent after the first event may come late.
            stream.0.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let error = stream.0.read_to_end(&mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{before} to {after}");
        } else {
            assert!(!stream.rest().ends_with("0\r\n\r\n"), "a cut stream does not look whole");
        }
    }
    // Nor is the client blamed if everything ends.
    bench.reload(&config("lists"));
    let mut stream = bench.client();
    stream.send(get("/events"));
    stream.read_until("\n\r\n");
    let (status, lines) = bench.program.stop();
    let is_told = lines.iter().any(|line| line.contains("reason=closing"));
    assert!(status.success() && is_told, "{lines:#?}");
}

/// Nobody keeps the right to a request by sending its body slowly.
fn a_request_that_is_held_back_loses_what_a_reload_takes_away() {
    const BODY: &str = "{\"Image\":\"a:1\"}";
    let creates = |more: &str| {
        let profile = format!("{{profile: own, allow: [Ping, ContainerCreate, ImageLoad], show: [state]{more}}}");
        config("own").replace("profiles:\n", &format!("profiles:\n  - {profile}\n"))
    };
    let bench = Reloadable::start(&creates(""));
    for (after, expected) in [
        (creates(""), 200),
        (creates(", deny: [PluginList]"), 200),
        (creates(", containers: {only: [{label: nothing}]}"), 503),
        (config("lists"), 503),
        (config("lists").replace("%engine", "%other"), 503),
    ] {
        for target in ["/containers/create", "/images/load"] {
            assert!(bench.reload(&creates("")).contains("configuration reloaded"));
            let before = bench.daemon.requests().len();
            let mut client = bench.client();
            let (media, length) = (if target == "/images/load" { "x-tar" } else { "json" }, BODY.len());
            client.send(format!("POST {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/{media}\r\nContent-Length: {length}\r\n\r\n"));
            client.send(&BODY[..5]);
            // The head has been decided by then.
            std::thread::sleep(Duration::from_millis(100));
            bench.replace(&after);
            // The two lines come in any order.
            let (mut is_reloaded, mut is_told) = (false, expected == 200);
            while !is_reloaded || !is_told {
                let line = bench.program.line();
                is_reloaded |= line.contains("configuration reloaded");
                is_told |= line.contains("status=503") && line.contains("reason=reload");
            }
            if expected == 200 {
                client.send(&BODY[5..]);
            }
            let answer = client.message(false);
            assert_eq!(status(&answer), expected, "{target} {after}: {answer}");
            let sent = bench.daemon.requests().split_off(before);
            let is_sent = sent.iter().any(|request| request.contains(BODY));
            assert_eq!(is_sent, expected == 200, "{target} {after}: {sent:?}");
        }
    }
}

/// While the exec instance is looked up, the request is whole, and no longer what a reload may take away: but the stream is.
fn a_stream_is_cut_whenever_the_reload_was_noticed_that_takes_it_away() {
    const BODY: &str = "{\"Detach\":false,\"Tty\":true}";
    let own = |more: &str| {
        let profile = format!("{{profile: own, allow: [Ping{more}], containers: {{only: [{{name: web}}]}}}}");
        config("own").replace("profiles:\n", &format!("profiles:\n  - {profile}\n"))
    };
    let bench = Reloadable::start(&own(", ExecStart"));
    for (after, goes_on) in [(own(""), false), (own(", ExecStart, ContainerList"), true)] {
        for is_late in [true, false] {
            assert!(bench.reload(&own(", ExecStart")).contains("configuration reloaded"));
            let mut client = bench.client();
            let (id, length) = ("e".repeat(64), BODY.len());
            let head = format!(
                "POST /exec/{id}/start HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {length}\r\n\r\n"
            );
            if is_late {
                client.send(head);
                std::thread::sleep(Duration::from_millis(100));
                client.send(BODY);
            } else {
                client.send(format!("{head}{BODY}"));
            }
            // The engine is asked about the exec instance.
            std::thread::sleep(Duration::from_millis(200));
            bench.replace(&after);
            if goes_on {
                bench.program.line_with("configuration reloaded");
                client.read_until("tick");
                client.0.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                let error = client.0.read_to_end(&mut Vec::new()).unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "late: {is_late}");
            } else {
                let line = bench.program.line_with("operation=ExecStart");
                assert!(line.contains("reason=reload") && line.contains("status=503"), "late: {is_late}: {line}");
                assert_eq!(status(&client.rest()), 503);
            }
        }
    }
}

/// The engine has not answered yet, so there is nothing that could look whole.
fn a_client_is_told_that_its_stream_is_cut_before_it_begins() {
    let told = "the configuration of this listener has changed: send the request again";
    let closed = "this listener closes: connect again";
    for (after, reason, message) in [
        (Some(config("less")), "reload", told),
        (Some(config("lists").replace("%engine", "%other")), "reload", told),
        (Some(config("lists").replace("%listener", "%elsewhere")), "closing", closed),
        (None, "closing", closed),
    ] {
        let bench = Reloadable::start(&config("lists"));
        let mut client = bench.client();
        client.send(get("/events?since=1"));
        let deadline = Instant::now() + PATIENCE;
        while !bench.daemon.requests().iter().any(|request| request.contains("since=1")) {
            assert!(Instant::now() < deadline, "the engine is asked");
            std::thread::yield_now();
        }
        match &after {
            Some(after) => bench.replace(after),
            None => bench.program.signal(Signal::TERM),
        }
        let line = bench.program.line_with("operation=SystemEvents");
        assert!(line.contains("status=503") && line.contains(&format!("reason={reason}")), "{line}");
        let answer = client.rest();
        assert!(status(&answer) == 503 && answer.contains("Retry-After: 1\r\n"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{{\"message\":\"{message}\"}}\n")), "{answer}");
        if after.is_none() {
            assert!(bench.program.ended().0.success());
        }
    }
}

fn streams_that_were_open_before_count_when_a_reload_limits_them() {
    let bench = Reloadable::start(&config("lists"));
    let open = || {
        let mut stream = bench.client();
        stream.send(get("/events"));
        stream.read_until("\r\n\r\n");
        stream
    };
    let held = [open(), open(), open()];
    assert!(bench.reload(&of_listener("profile: lists, per_client: {streams: 2}")).contains("configuration reloaded"));
    let refused = || {
        let mut client = bench.client();
        client.send(get("/events"));
        client.read_until("\r\n").contains("503")
    };
    // Each stream notices the reload by itself.
    let deadline = Instant::now() + PATIENCE;
    while !refused() {
        assert!(Instant::now() < deadline, "three streams are open, and another one of two");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(held);
}

fn a_line_of_clients_is_chosen_again() {
    let uid = rustix::process::getuid().as_raw();
    let clients = |lines: &str| of_listener(&format!("clients: [{lines}]"));
    let of = |uid: u32, profile: &str| format!("{{uid: {uid}, profile: {profile}}}");
    let bench = Reloadable::start(&clients(&of(uid, "lists")));
    let mut client = bench.client();
    assert_eq!(statuses(&mut client), LISTS);
    for (lines, expected) in [
        (of(uid, "inspects"), INSPECTS),
        (of(uid + 1, "lists"), [403, 403]),
        (format!("{}, {}", of(uid + 1, "inspects"), of(uid, "lists")), LISTS),
        (format!("{{uid: {uid}, profile: inspects, connections: 1}}"), INSPECTS),
    ] {
        assert!(bench.reload(&clients(&lines)).contains("reloaded"));
        assert_eq!(statuses(&mut client), expected, "{lines}");
    }
    // A line is the first that looks at groups: the client was known without them.
    let gid = rustix::process::getgid().as_raw();
    for lines in [of(uid, "lists"), format!("{{gid: {gid}, profile: inspects}}, {}", of(uid, "lists"))] {
        assert!(bench.reload(&clients(&lines)).contains("reloaded"));
        assert_eq!(statuses(&mut client), if lines.contains("gid") { INSPECTS } else { LISTS }, "{lines}");
    }
    bench.reload(&clients(&format!("{{uid: {uid}, profile: inspects, connections: 1}}")));
    assert_eq!(statuses(&mut client), INSPECTS);
    // The one connection that it may have is this one. It gives way as soon as the program knows that it waits.
    let deadline = Instant::now() + PATIENCE;
    let mut other = bench.client();
    while {
        other.send(get("/containers/json"));
        status(&other.message(false)) == 503
    } {
        assert!(Instant::now() < deadline, "it does not give way");
        other = bench.client();
    }
    assert_eq!(statuses(&mut other), INSPECTS);
    assert_eq!(client.rest(), "", "it has given way");
}

fn certificates_are_replaced_without_a_cut() {
    let (authority, other) = (Authority::new(), Authority::new());
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.path("engine"), answer);
    let pem = |server: &Authority, ca: &Authority| {
        let server = server.server();
        for (name, text) in [("cert.pem", server.certificate), ("key.pem", server.key), ("ca.pem", ca.pem())] {
            fs::write(folder.path(name), text).unwrap();
        }
    };
    pem(&authority, &authority);
    let port = crate::support::program::free_port();
    write(
        &folder,
        &format!(
            "watch: false\nupstream: unix://%engine\nlisteners:\n  - {{listen: \"tcp://127.0.0.1:{port}\", profile: lists, hosts: [\"*\"], \
             tls: {{certificate: cert.pem, key: key.pem, client_ca: ca.pem}}}}\n{PROFILES}"
        ),
    );
    let config = folder.path("dockveil.yaml").display().to_string();
    let program = Program::start(command(&[], &["--config", &config]));
    program.listening();
    let identity = authority.client(Names { cn: "one", ..Names::default() });
    let connect = |trusted: &Authority| {
        let socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let client = trusted.client_config(Some(&identity), &[&TLS13]);
        rustls::StreamOwned::new(
            rustls::ClientConnection::new(client, "localhost".try_into().unwrap()).unwrap(),
            socket,
        )
    };
    let ask = |client: &mut rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>| {
        client.write_all(get("/_ping").as_bytes()).and_then(|()| {
            let mut bytes = [0; 4096];
            let length = client.read(&mut bytes)?;
            if length == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            Ok(status(&String::from_utf8_lossy(&bytes[..length])))
        })
    };
    let reload = || {
        program.signal(Signal::HUP);
        let line = program.line_with("configuration ");
        assert!(line.contains("configuration reloaded"), "{line}");
    };
    let mut before = connect(&authority);
    assert_eq!(ask(&mut before).unwrap(), 200);
    // Another certificate of the server: the connection goes on, and new ones see it.
    pem(&other, &authority);
    reload();
    assert_eq!(ask(&mut before).unwrap(), 200);
    assert!(ask(&mut connect(&authority)).is_err(), "the certificate is not the new one");
    assert_eq!(ask(&mut connect(&other)).unwrap(), 200);
    // Another authority of clients: the certificate of this one is worth nothing any more.
    pem(&other, &other);
    reload();
    assert_eq!(ask(&mut before).unwrap(), 503);
    assert!(ask(&mut before).is_err(), "the connection is open");
    drop(daemon);
}

fn a_list_of_revoked_certificates_is_noticed_and_cuts_no_other_connection() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let _daemon = Daemon::start(&folder.path("engine"), answer);
    let server = authority.server();
    let [one, other] = [(); 2].map(|()| authority.client(Names { cn: "one", ..Names::default() }));
    for (name, text) in [
        ("cert.pem", &server.certificate),
        ("key.pem", &server.key),
        ("ca.pem", &authority.pem()),
        ("crl.pem", &authority.revocations(&[], 2100)),
    ] {
        fs::write(folder.path(name), text).unwrap();
    }
    let port = crate::support::program::free_port();
    write(
        &folder,
        &format!(
            "upstream: unix://%engine\nlisteners:\n  - {{listen: \"tcp://127.0.0.1:{port}\", profile: lists, hosts: [\"*\"], tls: \
             {{certificate: cert.pem, key: key.pem, client_ca: ca.pem, crl: crl.pem}}}}\n{PROFILES}"
        ),
    );
    let config = folder.path("dockveil.yaml").display().to_string();
    let program = Program::start(command(&[], &["--config", &config]));
    program.listening();
    let connect = |identity| {
        let socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let client = authority.client_config(Some(identity), &[&TLS13]);
        rustls::StreamOwned::new(
            rustls::ClientConnection::new(client, "localhost".try_into().unwrap()).unwrap(),
            socket,
        )
    };
    let ask = |client: &mut rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>| {
        client.write_all(get("/_ping").as_bytes()).ok()?;
        let mut bytes = [0; 4096];
        let length = client.read(&mut bytes).ok().filter(|length| *length > 0)?;
        Some(status(&String::from_utf8_lossy(&bytes[..length])))
    };
    let (mut kept, mut revoked) = (connect(&one), connect(&other));
    assert_eq!([ask(&mut kept), ask(&mut revoked)], [Some(200), Some(200)]);
    fs::write(folder.path("crl.pem"), authority.revocations(&[&other], 2100)).unwrap();
    let line = program.line_with("configuration ");
    assert!(line.contains("configuration reloaded") && line.contains("files changed"), "{line}");
    assert_eq!([ask(&mut kept), ask(&mut revoked)], [Some(200), Some(503)]);
    let line = program.line_with("status=503");
    assert!(line.contains("reason=not-admitted"), "{line}");
    assert_eq!([ask(&mut kept), ask(&mut revoked)], [Some(200), None]);
    assert_eq!([ask(&mut connect(&one)), ask(&mut connect(&other))], [Some(200), None]);
}

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "how long it takes is up to whoever runs it")]
fn no_request_fails_and_none_is_decided_wrongly_under_load() {
    const CONNECTIONS: usize = 64;
    // With a hundred, this takes a while in a build for tests.
    let reloads = std::env::var("DOCKVEIL_RELOADS").map_or(15, |text| text.parse().unwrap());
    let bench = Reloadable::start(&config("lists"));
    // Which profile is in force: of requests that begin and end while one is, the decision is certain.
    let (epoch, has_ended, answered) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicUsize::new(0));
    let listener: PathBuf = bench.folder.path("listener");
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut client = Client::connect(&listener);
                while !has_ended.load(Ordering::SeqCst) {
                    let before = epoch.load(Ordering::SeqCst);
                    let found = statuses(&mut client);
                    let after = epoch.load(Ordering::SeqCst);
                    for (found, (lists, inspects)) in found.into_iter().zip(LISTS.into_iter().zip(INSPECTS)) {
                        assert!([lists, inspects].contains(&found), "a request failed: {found}");
                    }
                    // An odd number: a reload is under way.
                    if before == after && before % 2 == 0 {
                        let expected = if before % 4 == 0 { LISTS } else { INSPECTS };
                        assert_eq!(found, expected, "after {before} steps");
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for round in 1..=reloads {
            epoch.fetch_add(1, Ordering::SeqCst);
            let profile = if round % 2 == 0 { "lists" } else { "inspects" };
            assert!(bench.reload(&config(profile)).contains("configuration reloaded"));
            epoch.fetch_add(1, Ordering::SeqCst);
            let certain = answered.load(Ordering::Relaxed);
            while answered.load(Ordering::Relaxed) < certain + CONNECTIONS / 8 && started.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        has_ended.store(true, Ordering::SeqCst);
    });
    let answered = answered.into_inner();
    println!("{reloads} reloads, {answered} pairs of decisions were certain, all of them right");
    assert!(answered >= reloads, "hardly a decision was certain");
}
