//! The program in place of another socket proxy, configured with nothing but the variables of that one.

use std::collections::BTreeSet;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use dockveil::api::{OPERATIONS, lists, operations_named};
use dockveil::cli::{Environment, ServeArgs};
use dockveil::config::Config;
use dockveil::config::compat::{Compat, Table, tables};
use dockveil::filter::Plan;
use dockveil::policy::Decision;
use dockveil::route;
use dockveil::schema::Class;
use dockveil::server::{self, Running};
use dockveil::socket::Address;

use crate::harness::{Ignored, Outcome, Test, tests};
use crate::support::canary;
use crate::support::client::{Client, ask_port, get, status, target_of};
use crate::support::daemon::{Daemon, Reply, json};
use crate::support::fixture;
use crate::support::program::{Program, command};
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[Test] = tests![
    in_place_of_11notes,
    in_place_of_tecnativa,
    in_place_of_tecnativa_with_everything_that_writes,
    in_place_of_linuxserver,
    secrets_are_hidden_until_they_are_asked_for,
    with_all_shown_an_answer_is_what_the_engine_sent,
    more_labels_and_variables_are_shown_by_name,
    no_recorded_answer_shows_a_canary_in_place_of_any_of_them,
    processes_are_shown_without_their_commands,
    a_command_is_a_word_where_nobody_can_run_it,
    errors_name_the_variable_and_end_with_78,
    check_states_the_proxy_and_warns_of_what_is_shown,
    root_opens_the_listeners_and_becomes_an_ordinary_user,
    root_gives_away_no_folder_but_one_for_the_socket_alone,
    a_start_that_fails_gives_nothing_away,
    the_audit_file_may_be_in_the_folder_that_is_given,
    a_user_who_may_not_open_the_engine_reads_what_to_change,
    a_value_opens_what_haproxy_reads_as_on,
    what_hides_containers_keeps_bodies_off_the_host,
    the_document_has_the_rows_of_the_values,
    one_ordinary_word_leaves_a_default_start_as_it_is,
    variables_without_effect_are_named,
    every_variable_of_the_other_proxies_is_in_its_table,
    the_document_has_the_rows_of_the_tables,
    what_is_open_is_what_the_rules_of_the_other_proxy_open
];

/// What a container has: these variables, and the default configuration of the image.
fn in_image(variables: &[(&str, &str)]) -> Environment {
    let default_config = Some("/etc/dockveil.yaml".into());
    Environment { variables: variables.iter().copied().collect(), default_config, ..Environment::default() }
}

/// The configuration that these variables give in a container.
fn config(variables: &[(&str, &str)]) -> Config {
    Config::load(&ServeArgs::default(), &in_image(variables)).unwrap()
}

/// A recorded answer of Docker 28.5.
fn recorded(name: &str) -> String {
    std::fs::read_to_string(fixture::root().join("docker-28.5/v1.51").join(name)).unwrap()
}

/// The program in place of another proxy, on ports of the system's choice.
struct Swapped {
    running: Option<Running>,
    _daemon: Daemon,
    _folder: Folder,
}

impl Swapped {
    /// Starts it. `socket` is the variable that names the engine's socket.
    fn start(socket: &str, variables: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let daemon = Daemon::start(&folder.path("engine"), |request| {
            let path = request.split(' ').nth(1).unwrap().split('?').next().unwrap();
            let answer = json(&match path.trim_start_matches("/v1.51") {
                "/containers/json" => recorded("container_list.json"),
                "/containers/web/json" => recorded("container_inspect.json"),
                "/images/web/json" => recorded("image_inspect.json"),
                "/info" => recorded("system_info.json"),
                "/events" => recorded("system_events.ndjson"),
                "/networks" => recorded("network_list.json"),
                "/volumes" => recorded("volume_list.json"),
                _ => "{}".to_owned(),
            });
            // An engine closes the connection if the request says so.
            match answer {
                Reply::Keep(bytes) if request.contains("\r\nConnection: close\r\n") => Reply::Close(bytes),
                answer @ (Reply::Keep(_) | Reply::Close(_) | Reply::Then(..)) => answer,
            }
        });
        let (engine, volume) = (daemon.path.to_str().unwrap().to_owned(), folder.path("volume"));
        let mut all = variables.to_vec();
        all.push((socket, &engine));
        if socket == "SOCKET_PROXY_DOCKER_SOCKET" {
            all.push(("SOCKET_PROXY_VOLUME", volume.to_str().unwrap()));
        }
        let mut config = config(&all);
        for listener in &mut config.listeners {
            if let Address::Tcp { host, port } = &mut listener.address {
                // The port of the other proxy may be taken, by another test or by an engine.
                assert_eq!(std::mem::replace(port, 0), 2375);
                "127.0.0.1".clone_into(host);
            }
        }
        // Tests run in threads.
        config.startup.run_as = None;
        Self { running: Some(server::start(config).unwrap()), _daemon: daemon, _folder: folder }
    }

    /// The answer to a request. All listeners give the same.
    #[track_caller]
    fn ask(&self, method: &str, target: &str) -> String {
        self.send(method, target, "")
    }

    /// The answer to a request with a JSON document.
    #[track_caller]
    fn post(&self, target: &str, body: &str) -> String {
        self.send("POST", target, body)
    }

    #[track_caller]
    fn send(&self, method: &str, target: &str, body: &str) -> String {
        let (length, kind) = (body.len(), if body.is_empty() { "" } else { "Content-Type: application/json\r\n" });
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: d\r\n{kind}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let mut answers: Vec<String> = Vec::new();
        for address in self.running.as_ref().unwrap().addresses() {
            answers.push(match address {
                Address::Unix(path) => {
                    let mut client = Client::connect(&path);
                    client.send(&request);
                    client.rest()
                }
                Address::Tcp { port, .. } => ask_port(port, &request),
            });
        }
        assert!(answers.iter().all(|answer| status(answer) == status(&answers[0])), "{answers:?}");
        answers.swap_remove(0)
    }

    /// Demands that the `open` requests are answered and the `closed` ones denied.
    #[track_caller]
    fn check(&self, open: &[&str], closed: &[&str]) {
        for (lines, is_open) in [(open, true), (closed, false)] {
            for line in lines {
                let (method, target) = line.split_once(' ').unwrap();
                let answer = self.ask(method, target);
                assert_eq!(status(&answer) != 403, is_open, "{line}: {answer}");
                assert!(![400, 404].contains(&status(&answer)), "{line}: {answer}");
            }
        }
    }
}

impl Drop for Swapped {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

fn in_place_of_11notes() {
    let swapped = Swapped::start("SOCKET_PROXY_DOCKER_SOCKET", &[]);
    assert_eq!(swapped.running.as_ref().unwrap().addresses().len(), 2);
    swapped.check(
        &[
            "GET /_ping",
            "HEAD /_ping",
            "GET /version",
            "GET /v1.44/containers/json",
            "GET /containers/web/json",
            "GET /containers/secrets/json",
            "GET /containers/configs/logs?stdout=1",
            "GET /images/web/json",
            "GET /images/a/b/history",
            "GET /info",
            "GET /system/df",
            "GET /networks",
            "GET /swarm",
            "GET /services",
            "GET /tasks",
            "GET /distribution/a/b/json",
        ],
        &[
            "GET /secrets",
            "GET /%73ecrets",
            "GET /v1.44/configs/a",
            "GET /swarm/unlockkey",
            "GET /images/get?names=a",
            "GET /images/web/get",
            "GET /containers/web/export",
            "GET /containers/web/%65xport",
            "GET /containers/web/archive?path=/etc",
            "HEAD /containers/web/archive?path=/etc",
            "GET /containers/web/attach/ws",
            "GET /debug/pprof/heap",
            "POST /containers/web/start",
            "POST /containers/web/wait",
            "POST /build",
            "DELETE /containers/web",
            "PUT /containers/web/archive?path=/",
        ],
    );
}

fn in_place_of_tecnativa() {
    let swapped = Swapped::start(
        "SOCKET_PATH",
        &[("CONTAINERS", "1"), ("NETWORKS", "1"), ("ALLOW_START", "1"), ("VERSION", "0"), ("VOLUMES", "true")],
    );
    swapped.check(
        &[
            "GET /_ping",
            "GET /events?until=1",
            "GET /containers/json",
            "GET /v1.44/containers/web/json",
            "GET /containers/web/logs?stdout=1",
            "GET /containers/web/top",
            "GET /networks/a",
        ],
        &[
            "GET /version",
            "GET /info",
            "GET /images/json",
            "GET /volumes",
            "GET /secrets",
            "GET /containers/web/export",
            "GET /containers/web/archive?path=/etc",
            "GET /containers/web/attach/ws",
            "POST /containers/web/start",
            "POST /containers/web/stop",
            "POST /containers/web/exec",
            "POST /networks/create",
        ],
    );
    // There, these paths are open because they begin like an open one.
    assert_eq!(status(&swapped.ask("GET", "/CONTAINERS/json")), 404);
    assert_eq!(status(&swapped.ask("GET", "/containersXYZ")), 404);
}

fn in_place_of_tecnativa_with_everything_that_writes() {
    let swapped = Swapped::start("SOCKET_PATH", &[("CONTAINERS", "1"), ("POST", "1"), ("IMAGES", "1")]);
    swapped.check(
        &[
            "POST /containers/web/stop",
            "POST /containers/web/restart",
            "DELETE /containers/web",
            "POST /images/create?fromImage=a",
            "DELETE /images/a",
        ],
        &[
            "POST /exec/a/start",
            "POST /build",
            "POST /networks/create",
            "GET /images/get?names=a",
            "POST /commit?container=a",
        ],
    );
}

fn in_place_of_linuxserver() {
    let swapped = Swapped::start(
        "SOCKET_PATH",
        &[("CONTAINERS", "1"), ("ALLOW_TOP", "1"), ("ALLOW_RESTARTS", "1"), ("INFO", "1")],
    );
    swapped.check(
        &[
            "GET /version",
            "GET /info",
            "GET /containers/json",
            "GET /containers/web/json",
            "GET /containers/web/top",
            "POST /containers/web/restart",
            "POST /containers/web/kill",
        ],
        &[
            "GET /containers/web/logs?stdout=1",
            "GET /containers/web/changes",
            "GET /containers/web/export",
            "POST /containers/web/start",
            "POST /containers/web/pause",
            "GET /images/json",
        ],
    );
}

/// How many canaries are in an answer whose class is, or is not, one of secrets.
fn canaries(answer: &str, secret: bool) -> usize {
    let is_secret = |class| matches!(class, Class::Secret | Class::Command | Class::FreeText | Class::HostPath);
    canary::found("docker-28.5", answer).into_iter().filter(|canary| is_secret(canary.class) == secret).count()
}

/// Demands that secrets are hidden with the variables of a proxy, and shown with one more.
#[track_caller]
fn check_canaries(socket: &str, variables: &[(&str, &str)]) {
    let targets = [
        "/events?until=1",
        "/containers/json",
        "/containers/web/json",
        "/images/web/json",
        "/info",
        "/networks",
        "/volumes",
    ];
    let swapped = Swapped::start(socket, variables);
    for target in targets {
        let answer = swapped.ask("GET", target);
        assert_eq!(status(&answer), 200, "{target}");
        assert_eq!(canaries(&answer, true), 0, "{target}: {answer}");
    }
    assert!(canaries(&swapped.ask("GET", "/containers/web/json"), false) > 0);
    let mut open = variables.to_vec();
    open.push(("DOCKVEIL_SHOW", "all"));
    let swapped = Swapped::start(socket, &open);
    let shown: usize = targets.iter().map(|target| canaries(&swapped.ask("GET", target), true)).sum();
    assert!(shown > 40, "{shown} canaries shown");
}

fn secrets_are_hidden_until_they_are_asked_for() {
    let sections = ["CONTAINERS", "IMAGES", "INFO", "NETWORKS", "VOLUMES"].map(|name| (name, "1"));
    check_canaries("SOCKET_PROXY_DOCKER_SOCKET", &[]);
    check_canaries("SOCKET_PATH", &sections);
    check_canaries("SOCKET_PATH", &[&sections[..], &[("ALLOW_LOGS", "1")]].concat());
}

fn with_all_shown_an_answer_is_what_the_engine_sent() {
    let swapped = Swapped::start("SOCKET_PATH", &[("CONTAINERS", "1"), ("DOCKVEIL_SHOW", "all")]);
    let answer = swapped.ask("GET", "/containers/web/json");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(body.contains(recorded("container_inspect.json").trim()), "{body}");
    let shows = config(&[("IMAGES", "1"), ("DOCKVEIL_SHOW", "all")]).listeners[0].policy.profile().show.clone();
    assert!(shows.unknown && !shows.mask);
    let header = "traefik.http.services.web.loadbalancer.healthcheck.headers.Authorization";
    let labels = |variables: &[(&str, &str)]| {
        config(variables).listeners[0].policy.profile().show.names.of(dockveil::api::lists::LABELS).clone()
    };
    assert!(labels(&[("CONTAINERS", "1")]).excludes(header));
    assert!(labels(&[("CONTAINERS", "1"), ("DOCKVEIL_LABELS", "traefik.*")]).excludes(header));
    assert!(!labels(&[("CONTAINERS", "1"), ("DOCKVEIL_SHOW", "all")]).excludes(header));
    assert!(
        labels(&[("CONTAINERS", "1"), ("DOCKVEIL_SHOW", "all"), ("DOCKVEIL_LABELS", "!secret")]).excludes("secret")
    );
}

fn more_labels_and_variables_are_shown_by_name() {
    let variables = [("CONTAINERS", "1"), ("DOCKVEIL_LABELS", "traefik.*, homepage.*"), ("DOCKVEIL_SHOW", "command")];
    let config = config(&variables);
    let show = &config.listeners[0].policy.profile().show;
    assert!(
        show.names.of(lists::LABELS).matches("traefik.http.middlewares.a.basicauth.users")
            && show.names.of(lists::LABELS).matches("homepage.widget.key")
    );
    assert!(show.classes.contains(Class::Command) && !show.classes.contains(Class::Secret) && !show.unknown);
    let config = self::config(&[("CONTAINERS", "1"), ("DOCKVEIL_ENV", "APP_*")]);
    let show = &config.listeners[0].policy.profile().show;
    assert!(show.names.of(lists::ENV).matches("APP_NAME") && !show.names.of(lists::ENV).matches("PASSWORD"));
    for label in ["traefik.http.middlewares.a.basicauth.users", "homepage.widget.key", "caddy_1.basicauth.bob"] {
        assert!(!show.names.of(lists::LABELS).matches(label), "{label}");
    }
    assert!(show.names.of(lists::LABELS).matches("traefik.http.routers.web.rule"));
}

fn no_recorded_answer_shows_a_canary_in_place_of_any_of_them() {
    let all_of = |table: &'static Table| -> Vec<(&'static str, &'static str)> {
        let mut variables: Vec<_> = table.switches().map(|(name, _)| (name, "1")).collect();
        variables.push(("DOCKVEIL_COMPAT", table.name.as_str()));
        variables
    };
    let mut filtered = 0;
    let mut leaks = BTreeSet::new();
    for table in tables().unwrap() {
        let config = config(&all_of(table));
        let policy = &config.listeners[0].policy;
        for fixture in fixture::all() {
            let Some(operation) = fixture.operation else { continue };
            let route = route::find(operation.method.as_str(), &target_of(operation)).unwrap().unwrap();
            let Decision::Filter(plan) = policy.decide(&route) else { continue };
            filtered += 1;
            let left = String::from_utf8(fixture.filtered(&plan)).unwrap();
            let hidden = canary::found(&fixture.engine, &left).into_iter().filter(|canary| !policy.shows(canary.class));
            leaks.extend(hidden.map(|canary| format!("{} {} {}", table.name, fixture.path, canary.token)));
        }
    }
    assert!(filtered > 600, "{filtered} answers filtered");
    assert!(leaks.is_empty(), "{leaks:#?}");
}

/// A document as a plan leaves it, in lower case.
fn applied(plan: &Plan, document: &str) -> String {
    let mut out = Vec::new();
    plan.apply(document.as_bytes(), &mut out).unwrap();
    String::from_utf8(out).unwrap().to_lowercase()
}

fn processes_are_shown_without_their_commands() {
    let config = config(&[("CONTAINERS", "1")]);
    let shown = |rows: &str| {
        let route = route::find("GET", "/containers/web/top").unwrap().unwrap();
        let Decision::Filter(plan) = config.listeners[0].policy.decide(&route) else { panic!("not filtered") };
        let said = applied(&plan, &format!("{{\"Processes\":{rows}}}"));
        said.strip_prefix("{\"processes\":").unwrap().strip_suffix('}').unwrap().to_owned()
    };
    // As procps, BusyBox and Podman write them.
    for (row, expected) in [
        (r#"["root","7","1","0","10:00","?","00:00:00","canary"]"#, r#"["root","7","1","0","10:00","?","00:00:00"]"#),
        (r#"["7","root","0:00","canary"]"#, r#"["7","root","0:00"]"#),
        // Podman has one column, or as many as there are tabs in the command line.
        (r#"["1 root     sh -c canary"]"#, ""),
        (r#"["1 root     sh","canary","canary","canary"]"#, ""),
        (r#"["1 root     sh","canary","canary","canary","canary","canary","canary","canary"]"#, ""),
        (r#"["root","7 sh","canary","canary","canary","canary","canary","canary"]"#, ""),
        (r#"["root","7","1","0.000","1h","?","0s","sh","canary"]"#, ""),
        (r#"["root","7","canary"]"#, ""),
        (r#"["canary"]"#, ""),
        ("[]", ""),
        ("null", ""),
    ] {
        assert_eq!(shown(&format!("[{row}]")), format!("[{expected}]"));
    }
}

fn a_command_is_a_word_where_nobody_can_run_it() {
    let commands = |variables: &[(&str, &str)]| -> String {
        let config = config(variables);
        let route = route::find("GET", "/containers/web/json").unwrap().unwrap();
        let Decision::Filter(plan) = config.listeners[0].policy.decide(&route) else { panic!("not filtered") };
        applied(&plan, r#"{"Config":{"Cmd":["sh","canary"],"Entrypoint":["canary"]}}"#)
    };
    let word = r#"{"config":{"cmd":["[redacted]"],"entrypoint":[]}}"#;
    assert_eq!(commands(&[("CONTAINERS", "1")]), word);
    assert_eq!(commands(&[("CONTAINERS", "1"), ("IMAGES", "1"), ("POST", "0")]), word);
    assert_eq!(commands(&[("SOCKET_PROXY_UID", "1000")]), word);
    // Whoever makes a container of what it reads makes it with the command of its image.
    let none = r#"{"config":{"cmd":[],"entrypoint":[]}}"#;
    assert_eq!(commands(&[("CONTAINERS", "1"), ("POST", "1")]), none);
    assert_eq!(commands(&[("CONTAINERS", "1"), ("SERVICES", "1"), ("POST", "1")]), none);
    let shown = r#"{"config":{"cmd":["sh","canary"],"entrypoint":["canary"]}}"#;
    assert_eq!(commands(&[("CONTAINERS", "1"), ("DOCKVEIL_SHOW", "command")]), shown);
    assert_eq!(commands(&[("CONTAINERS", "1"), ("DOCKVEIL_SHOW", "all")]), shown);
}

/// The variables of the other proxy say nothing of bodies: they do not say that these may reach the host.
fn what_hides_containers_keeps_bodies_off_the_host() {
    let bodies = [
        ("/containers/create", r#"{"Image":"a","HostConfig":{"Privileged":true}}"#),
        ("/containers/create", r#"{"Image":"a","HostConfig":{"NetworkMode":"host"}}"#),
        ("/containers/create", r#"{"Image":"a","HostConfig":{"Binds":["/:/h"]}}"#),
        ("/containers/create", r#"{"Image":"a","HostConfig":{"LogConfig":{"Config":{"path":"/a"}}}}"#),
        ("/volumes/create", r#"{"DriverOpts":{"type":"none","o":"bind","device":"/"}}"#),
    ];
    let open = [("CONTAINERS", "1"), ("VOLUMES", "1"), ("POST", "1"), ("DOCKVEIL_COMPAT", "tecnativa")];
    for extra in [
        &[][..],
        &[("DOCKVEIL_CONTAINERS", "label=mine")],
        &[("DOCKVEIL_CONTAINERS", "label=mine"), ("DOCKVEIL_SHOW", "all")],
    ] {
        let swapped = Swapped::start("SOCKET_PATH", &[&open[..], extra].concat());
        for (target, body) in bodies {
            let answer = swapped.post(target, body);
            assert_eq!(status(&answer) == 403, !extra.is_empty(), "{extra:?} {target} {body}: {answer}");
            assert!(extra.is_empty() || answer.contains("reaches the host, where nothing is hidden\""), "{answer}");
        }
        assert!(status(&swapped.post("/containers/create", r#"{"Image":"a"}"#)) < 300);
    }
}

fn errors_name_the_variable_and_end_with_78() {
    let variables = [
        ("CONTAINERS", "1"),
        ("IMAGES", "1"),
        ("LOG_LEVEL", "loud"),
        ("ALLOW_STRAT", "1"),
        ("DOCKVEIL_SHOWS", "all"),
        ("DOCKVEIL_PROFIL", "mcp"),
    ];
    let ended = command(&variables, &[]).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(78), "{said}");
    for expected in [
        "LOG_LEVEL: found \"loud\"",
        "ALLOW_STRAT: unknown variable, did you mean ALLOW_START?",
        "DOCKVEIL_SHOWS: unknown variable, did you mean DOCKVEIL_SHOW?",
        "DOCKVEIL_PROFIL: unknown variable, did you mean DOCKVEIL_PROFILE?",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

fn check_states_the_proxy_and_warns_of_what_is_shown() {
    let check = |variables: &[(&str, &str)], arguments: &[&str]| {
        let ended = command(variables, arguments).output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
        // In one line: where lines are wrapped is for other tests.
        String::from_utf8(ended.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let said = check(&[("SOCKET_PROXY_KEEPALIVE", "5s")], &["check"]);
    assert!(said.contains(" compat: 11notes ") && said.contains("SOCKET_PROXY_KEEPALIVE: not supported"), "{said}");
    assert!(!said.contains("DOCKVEIL_SHOW=all"), "{said}");
    // 11notes lets every GET through, also those with which the engine calls another host.
    let calls = "warning: makes the engine call hosts that a client names: DistributionInspect, GetPluginPrivileges, \
                 ImageSearch";
    assert!(said.contains(calls), "{said}");
    let creates = "warning: a client can create a container that mounts the whole host, and read everything";
    for (post, expected) in [("1", true), ("0", false), ("true", false)] {
        let said = check(&[("CONTAINERS", "1"), ("POST", post)], &["check"]);
        assert_eq!(said.contains(creates), expected, "{said}");
        assert_eq!(said.contains("warning: ContainerStart can have more than known clients send"), expected, "{said}");
    }
    let said = check(&[("CONTAINERS", "1"), ("POST", "1"), ("DOCKVEIL_CONTAINERS", "label=mine")], &["check"]);
    assert!(!said.contains(creates) && said.contains("what reaches the host is denied in them"), "{said}");
    let said = check(&[("IMAGES", "1"), ("DOCKVEIL_SHOW", "all")], &["check"]);
    assert!(said.contains("compat: tecnativa") && said.contains("warning: DOCKVEIL_SHOW=all"), "{said}");
    let said = check(&[("IMAGES", "1"), ("POST", "0")], &["check", "--profile", "dashboard"]);
    assert!(!said.contains("compat:") && said.contains("note: the variables of Tecnativa"), "{said}");
    let said = check(&[("IMAGES", "1"), ("DOCKVEIL_DEFAULT_CONFIG", "/etc/x.yaml")], &["check"]);
    assert!(said.contains("compat: tecnativa") && said.contains("/etc/x.yaml is not read"), "{said}");
    let said = check(&[("IMAGES", "1")], &["explain", "--profile", "compat:tecnativa", "GET /images/json"]);
    assert!(said.contains("allowed by IMAGES"), "{said}");
}

/// Only root can become another user.
fn require_root() -> Result<(), Ignored> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Ignored::Missing("these tests do not run as root".to_owned()))
}

fn root_opens_the_listeners_and_becomes_an_ordinary_user() -> Outcome {
    require_root_and_network()?;
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    // Distributions give the socket to root and a group.
    std::os::unix::fs::chown(&daemon.path, Some(0), Some(7991)).unwrap();
    std::fs::set_permissions(&daemon.path, std::os::unix::fs::PermissionsExt::from_mode(0o660)).unwrap();
    let volume = folder.path("proxy");
    let variables = [
        ("SOCKET_PROXY_DOCKER_SOCKET", daemon.path.to_str().unwrap()),
        ("SOCKET_PROXY_VOLUME", volume.to_str().unwrap()),
        ("SOCKET_PROXY_UID", "7001"),
        ("SOCKET_PROXY_GID", "7002"),
    ];
    let socket = volume.join("docker.sock");
    // The port of the other proxy may be taken, so this one opens it in a network namespace of its own.
    let program = Program::start(as_root(&variables, &[]));
    let mut log = program.listening();
    let mut client = Client::connect(&socket);
    client.send(get("/containers/json"));
    let answer = client.read_until("[]");
    let threads: Vec<String> = std::fs::read_dir(format!("/proc/{}/task", program.id()))
        .unwrap()
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap())
        .collect();
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&socket).unwrap());
    let probed = command(&variables, &["--healthcheck"]).output().unwrap();
    let (ended, rest) = program.stop();
    log.extend(rest);
    let log = log.join("\n");

    assert_eq!(status(&answer), 200, "{log}");
    assert!(threads.len() > 1, "{threads:?}");
    for status in threads {
        for line in [
            "Uid:\t7001\t7001\t7001\t7001\n",
            "Gid:\t7002\t7002\t7002\t7002\n",
            "Groups:\t7991 \n",
            "CapEff:\t0000000000000000\n",
            "CapPrm:\t0000000000000000\n",
            "NoNewPrivs:\t1\n",
        ] {
            assert!(status.contains(line), "{line:?} in {status}");
        }
    }
    assert_eq!(owner, 7001);
    assert_eq!(probed.status.code(), Some(0), "{}", String::from_utf8_lossy(&probed.stderr));
    assert!(ended.success() && !socket.exists(), "{log}");
    assert!(log.contains("compat: 11notes"), "{log}");
    assert!(log.contains("runs as user 7001, group 7002, supplementary groups 7991"), "{log}");
    Ok(())
}

/// The user and the group of a file, and its mode.
fn owner_and_mode(path: &Path) -> (u32, u32, u32) {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::symlink_metadata(path).unwrap();
    (found.uid(), found.gid(), found.mode() & 0o7777)
}

/// The program as root, in place of another proxy, in a network of its own.
fn as_root(variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", env!("CARGO_BIN_EXE_dockveil")]).args(arguments);
    unshare.env_clear().envs(variables.iter().copied()).env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    unshare
}

fn require_root_and_network() -> Result<(), Ignored> {
    require_root()?;
    if Command::new("unshare").args(["--net", "true"]).output().is_ok_and(|ended| ended.status.success()) {
        return Ok(());
    }
    Err(Ignored::Missing("no network namespace can be made here".to_owned()))
}

fn root_gives_away_no_folder_but_one_for_the_socket_alone() -> Outcome {
    require_root_and_network()?;
    type Make = fn(&Path);
    fn with_mode(path: &Path, mode: u32) {
        std::fs::create_dir(path).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    fn owned_by(path: &Path, user: u32) {
        std::os::unix::fs::chown(path, Some(user), Some(user)).unwrap();
    }
    // What is at the path of the folder, whether it is given if a variable names it for the socket, and whether it is otherwise.
    let cases: [(&str, Make, bool, bool); 8] = [
        ("nothing", |_| {}, true, true),
        ("an empty folder", |path| with_mode(path, 0o755), true, false),
        ("a sticky folder", |path| with_mode(path, 0o1777), false, false),
        (
            "a folder with a file of root",
            |path| {
                with_mode(path, 0o755);
                std::fs::write(path.join("theirs"), "").unwrap();
            },
            false,
            false,
        ),
        (
            "a folder with a file of another user",
            |path| {
                with_mode(path, 0o755);
                std::fs::write(path.join("theirs"), "").unwrap();
                owned_by(&path.join("theirs"), 7004);
            },
            false,
            false,
        ),
        (
            "a folder with a file of that user",
            |path| {
                with_mode(path, 0o755);
                std::fs::write(path.join("own"), "").unwrap();
                owned_by(&path.join("own"), 1000);
            },
            true,
            false,
        ),
        (
            "the folder of another user",
            |path| {
                with_mode(path, 0o755);
                owned_by(path, 7004);
            },
            false,
            false,
        ),
        (
            "a link to a folder",
            |path| {
                with_mode(&path.with_extension("target"), 0o755);
                std::os::unix::fs::symlink(path.with_extension("target"), path).unwrap();
            },
            false,
            false,
        ),
    ];
    for (what, make, is_given_for_socket, is_given_otherwise) in cases {
        for kind in ["volume", "listen", "metrics"] {
            let place = Folder::new();
            let daemon = Daemon::start(&place.path("engine"), |_| json("[]"));
            std::fs::set_permissions(&daemon.path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
            let (folder, other) = (place.path("folder"), place.path("other"));
            make(&folder);
            let before = folder.exists().then(|| owner_and_mode(&folder.canonicalize().unwrap()));
            let engine = daemon.path.to_str().unwrap();
            let (socket, other) = (folder.join("docker.sock"), other.join("docker.sock"));
            let [listen, elsewhere] = [&socket, &other].map(|path| format!("unix://{}", path.display()));
            let volume = folder.to_str().unwrap();
            let program = Program::start(match kind {
                "volume" => {
                    as_root(&[("SOCKET_PROXY_DOCKER_SOCKET", engine), ("SOCKET_PROXY_VOLUME", volume)], &["serve"])
                }
                "listen" => {
                    as_root(&[("CONTAINERS", "1"), ("POST", "0"), ("SOCKET_PATH", engine)], &["--listen", &listen])
                }
                _ => as_root(
                    &[("CONTAINERS", "1"), ("POST", "0"), ("SOCKET_PATH", engine), ("DOCKVEIL_METRICS", &listen)],
                    &["--listen", &elsewhere],
                ),
            });
            program.listening();
            let is_given = if kind == "volume" { is_given_for_socket } else { is_given_otherwise };
            let found = owner_and_mode(&folder.canonicalize().unwrap());
            match before {
                _ if is_given => assert_eq!((found.0, found.1), (1000, 1000), "{what}, {kind}"),
                Some(before) => assert_eq!(found, before, "{what}, {kind}"),
                None => assert_eq!(found.0, 0, "{what}, {kind}"),
            }
            // Whoever it is, he serves from it: its clients are those of that user.
            let mode = if kind == "volume" { 0o600 } else { 0o660 };
            assert_eq!(owner_and_mode(&socket), (1000, 1000, mode), "{what}, {kind}");
            // The owner has not become another one to a reload.
            program.signal(rustix::process::Signal::HUP);
            program.line_with("configuration reloaded");
            let (ended, log) = program.stop();
            assert!(ended.success(), "{what}, {kind}: {log:?}");
            // The user may remove it from his own folder, and his own file from a sticky one.
            assert_eq!(!socket.exists(), is_given || found.2 & 0o1000 != 0, "{what}, {kind}");
        }
    }
    Ok(())
}

/// What keeps a program that is started as root from serving, and leaves the folder of its socket to its owner.
fn a_start_that_fails_gives_nothing_away() -> Outcome {
    require_root_and_network()?;
    for what in
        ["no engine", "an engine of its owner", "metrics in use", "an audit file that cannot be opened", "no threads"]
    {
        let place = Folder::new();
        let folder = place.path("folder");
        std::fs::create_dir(&folder).unwrap();
        let engine = place.path("engine");
        let daemon = (what != "no engine").then(|| Daemon::start(&engine, |_| json("[]")));
        let mode = if what == "an engine of its owner" { 0o600 } else { 0o666 };
        if let Some(daemon) = &daemon {
            std::fs::set_permissions(&daemon.path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
        let metrics = format!("unix://{}", place.path("metrics").display());
        let _other = (what == "metrics in use").then(|| UnixListener::bind(place.path("metrics")).unwrap());
        let audit = place.path("audit.jsonl");
        let mut variables = vec![
            ("SOCKET_PROXY_DOCKER_SOCKET", engine.to_str().unwrap()),
            ("SOCKET_PROXY_VOLUME", folder.to_str().unwrap()),
            ("DOCKVEIL_METRICS", &metrics),
        ];
        if what == "an audit file that cannot be opened" {
            variables.push(("DOCKVEIL_AUDIT", audit.to_str().unwrap()));
        }
        let mut command = as_root(&variables, &["serve"]);
        if what == "no threads" {
            // The limit is that of a user, and root has none.
            let mut limited = Command::new("prlimit");
            limited.arg("--nproc=1").arg(command.get_program()).args(command.get_args());
            limited.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command = limited;
        }
        let ended = command.output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(70), "{what}: {said}");
        assert_eq!(owner_and_mode(&folder).0, 0, "{what}: {said}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{what}: a socket is left: {said}");
    }
    Ok(())
}

/// The user can make it only once the folder is his.
fn the_audit_file_may_be_in_the_folder_that_is_given() -> Outcome {
    require_root_and_network()?;
    let place = Folder::new();
    let daemon = Daemon::start(&place.path("engine"), |_| json("[]"));
    std::fs::set_permissions(&daemon.path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let (folder, audit) = (place.path("folder"), place.path("folder/audit.jsonl"));
    std::fs::create_dir(&folder).unwrap();
    let variables = [
        ("SOCKET_PROXY_DOCKER_SOCKET", daemon.path.to_str().unwrap()),
        ("SOCKET_PROXY_VOLUME", folder.to_str().unwrap()),
        ("DOCKVEIL_AUDIT", audit.to_str().unwrap()),
    ];
    let program = Program::start(as_root(&variables, &["serve"]));
    program.listening();
    assert_eq!((owner_and_mode(&folder).0, owner_and_mode(&audit).0), (1000, 1000));
    let (ended, log) = program.stop();
    assert!(ended.success(), "{log:?}");
    Ok(())
}

fn a_user_who_may_not_open_the_engine_reads_what_to_change() -> Outcome {
    require_root()?;
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    std::os::unix::fs::chown(&daemon.path, Some(0), Some(7991)).unwrap();
    std::fs::set_permissions(&daemon.path, std::os::unix::fs::PermissionsExt::from_mode(0o660)).unwrap();
    let listen =
        format!("unix://{}", std::env::temp_dir().join(format!("dockveil-denied-{}", std::process::id())).display());
    let engine = daemon.path.to_str().unwrap();
    let file = std::env::temp_dir().join(format!("dockveil-denied-{}.yaml", std::process::id()));
    std::fs::write(&file, format!("upstream: unix://{engine}\nlisteners:\n  - listen: {listen}\n")).unwrap();
    let run = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid=7001", "--regid=7002", "--clear-groups", env!("CARGO_BIN_EXE_dockveil")]);
        setpriv.args(arguments).env_clear().envs(variables.iter().copied());
        let ended = setpriv.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").output().unwrap();
        assert_eq!(ended.status.code(), Some(70), "{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stderr).unwrap()
    };
    // Each variable that names the engine, the arguments, and a file.
    let compat = |name, socket| [("DOCKVEIL_COMPAT", name), (socket, engine)];
    let upstream = format!("unix://{engine}");
    let ordinary = [
        run(&[], &["--upstream", &upstream, "--listen", &listen]),
        run(&[("DOCKER_HOST", &upstream)], &["--listen", &listen]),
        run(&[("DOCKVEIL_CONFIG", file.to_str().unwrap())], &[]),
    ];
    let in_place = [
        run(&compat("tecnativa", "SOCKET_PATH"), &["--listen", &listen]),
        run(&compat("linuxserver", "SOCKET_PATH"), &["--listen", &listen]),
        run(&compat("11notes", "SOCKET_PROXY_DOCKER_SOCKET"), &["--listen", &listen]),
    ];
    std::fs::remove_file(&file).unwrap();
    for (said, user) in ordinary.iter().map(|said| (said, 7001)).chain(in_place.iter().map(|said| (said, 1000))) {
        for part in
            ["belongs to 0:7991", "group_add: [\"7991\"]", &format!("user: \"{user}:7991\""), "--group-add 7991"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    Ok(())
}

/// A value, and whether HAProxy reads it as on.
fn values() -> Vec<(String, bool)> {
    let recorded = std::fs::read_to_string(fixture::root().join("haproxy-bool.tsv")).unwrap();
    let rows = recorded.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let (value, read) = row.split_once('\t').unwrap();
        (serde_json::from_str(value).unwrap(), read == "on")
    })
    .collect()
}

/// Every switch of both proxies, with every value.
fn a_value_opens_what_haproxy_reads_as_on() {
    let values = values();
    assert!(values.len() > 40);
    for table in tables().unwrap() {
        let sections = table.switches().filter(|(name, row)| *name != "DISABLE_IPV6" && !row.allow.is_empty());
        for (name, row) in sections {
            // The switch that it needs, and nothing else that opens the same.
            let needed = row.needs.as_deref().unwrap_or("POST");
            for (value, on) in &values {
                let set =
                    [("DOCKVEIL_COMPAT", table.name.as_str()), ("DOCKVEIL_SHOW", "all"), (needed, "1"), (name, value)];
                let compat = Compat::find(&in_image(&set)).unwrap().unwrap();
                let open = row.allow.iter().any(|id| compat.allow.get(id).is_some_and(|by| by == name));
                assert_eq!(open, *on, "{} {name}={value:?}", table.name);
            }
        }
        for (value, on) in &values {
            let set = [("DOCKVEIL_COMPAT", table.name.as_str()), ("CONTAINERS", "1"), ("POST", value)];
            let compat = Compat::find(&in_image(&set)).unwrap().unwrap();
            let writes = compat.allow.contains_key("ContainerCreate");
            assert_eq!(writes, *on && table.name != "11notes", "{} POST={value:?}", table.name);
        }
    }
}

/// The rows of `docs/drop-in.md` about values: what each switch of the other proxies is with it, there and here.
fn rows_of_values() -> String {
    let mut text =
        "| value | any other switch: there | here | `DISABLE_IPV6`: Tecnativa | here | linuxserver | here |\n\
                    |---|---|---|---|---|---|---|\n"
            .to_owned();
    let word = |on: bool| if on { "on" } else { "off" };
    let all = values();
    let shown =
        ["1", "0", "", "true", "yes", "on", "false", " 1", "\"1\"", "2", "-1", "01", "1x", "1 # needed", "1.0", "0x1"];
    for (value, on) in all.iter().filter(|(value, _)| shown.contains(&value.as_str())) {
        let compat = |name: &str| {
            let set = [("DOCKVEIL_COMPAT", name), ("INFO", value), ("POST", value), ("DISABLE_IPV6", value)];
            Compat::find(&in_image(&set)).unwrap().unwrap()
        };
        let here = ["tecnativa", "linuxserver"].map(|name| {
            let compat = compat(name);
            let is_info = compat.allow.contains_key("SystemInfo");
            assert!(["POST", "INFO"].iter().all(|switch| compat.is_on(switch) == is_info), "{name}: {value:?}");
            let is_ipv4 = compat.listeners[0].to_string() == "tcp://0.0.0.0:2375";
            (is_info, is_ipv4, compat.notes.iter().any(|note| note.to_string().contains("INFO")))
        });
        assert_eq!((here[0].0, here[0].2), (here[1].0, here[1].2), "both are HAProxy: {value:?}");
        // The scripts in front of HAProxy: Tecnativa's lets through three words in any case, linuxserver's one.
        let ipv4 = [["1", "true", "yes"].contains(&value.to_lowercase().as_str()), value == "1"];
        let says = if here[0].2 { ", and says so" } else { "" };
        let cell = if value.is_empty() { "nothing".to_owned() } else { format!("`{value}`") };
        text += &format!(
            "| {cell} | {} | {}{says} | {} | {} | {} | {} |\n",
            word(*on),
            word(here[0].0),
            word(ipv4[0]),
            word(here[0].1),
            word(ipv4[1]),
            word(here[1].1),
        );
        assert_eq!((*on, ipv4[0], ipv4[1]), (here[0].0, here[0].1, here[1].1), "the same, there and here: {value:?}");
    }
    text
}

fn the_document_has_the_rows_of_the_values() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/drop-in.md")).unwrap();
    assert!(document.contains(&rows_of_values()), "docs/drop-in.md must have these rows:\n{}", rows_of_values());
}

/// The addresses of a start without a configuration, and what the summary says.
fn started(variables: &[(&str, &str)], profile: Option<&str>) -> (Vec<String>, String) {
    let environment = Environment { variables: variables.iter().copied().collect(), ..Environment::default() };
    let arguments = ServeArgs { profile: profile.map(ToOwned::to_owned), ..ServeArgs::default() };
    let config = Config::load(&arguments, &environment).unwrap();
    let addresses = config.listeners.iter().map(|listener| listener.address.to_string()).collect();
    (addresses, dockveil::command::summary(&config))
}

fn one_ordinary_word_leaves_a_default_start_as_it_is() {
    let (usual, _) = started(&[], None);
    let words = tables().unwrap().iter().flat_map(|table| &table.words);
    for (word, value) in words.zip(["1", "0", "true", "some text"].into_iter().cycle()) {
        let stray = [(word.as_str(), value), ("VERSION", "1"), ("LOG_LEVEL", "loud"), ("SOCKET_PATH", "x")];
        let (addresses, said) = started(&stray, None);
        assert_eq!(addresses, usual, "{word}={value}");
        let note = format!(
            "note: {word} is set and ignored: one variable does not tell that Tecnativa/docker-socket-proxy is replaced; if it \
             is, set DOCKVEIL_COMPAT=tecnativa\n"
        );
        assert!(said.contains(&note), "{said}");
    }
    // It can be certain in three ways.
    for more in [("CONTAINERS", "0"), ("DOCKVEIL_COMPAT", "tecnativa"), ("DOCKVEIL_LABELS", "a.*")] {
        assert_eq!(started(&[("INFO", "1"), more], None).0, ["tcp://[::]:2375"], "{more:?}");
    }
    // The profile can be named. It does not open a port.
    let (addresses, said) = started(&[("INFO", "1")], Some("compat:tecnativa"));
    assert_eq!(addresses, usual);
    assert!(said.contains("SystemInfo") && !said.contains("ContainerList"), "{said}");
}

fn variables_without_effect_are_named() {
    let said = |variables: &[(&str, &str)]| started(variables, None).1;
    let tecnativa = said(&[
        ("CONTAINERS", "1"),
        ("POST", "0"),
        ("DELETE", "1"),
        ("LOGS", "0"),
        ("IMAGE", "1"),
        ("CONTAINERS_CREATE", "1"),
        ("SOCKET_PROXY_UIDS", "1"),
        ("DOCKVEIL_SERVICE_HOST", "10.0.0.1"),
        ("HOME", "/root"),
        ("SHLVL", "1"),
        ("COLUMNS", "80"),
        ("CI", "true"),
    ]);
    let stranger = |name: &str, hint: &str| {
        format!("  warning: {name} is not a variable of Tecnativa/docker-socket-proxy and has no effect: {hint}\n")
    };
    for line in [
        stranger("DELETE", "POST opens every method, also DELETE"),
        stranger("LOGS", "CONTAINERS includes logs"),
        stranger("IMAGE", "did you mean IMAGES?"),
        stranger(
            "CONTAINERS_CREATE",
            "CONTAINERS opens that part of the API as a whole, with POST also what it writes",
        ),
        "warning: DOCKVEIL_SERVICE_HOST is not a variable of dockveil and has no effect\n".to_owned(),
    ] {
        assert!(tecnativa.contains(&line), "{line}{tecnativa}");
    }
    assert_eq!(tecnativa.matches("has no effect").count(), 5, "{tecnativa}");
    let linuxserver = said(&[("ALLOW_TOP", "1"), ("CONTAINERS", "1"), ("LOGS", "1")]);
    assert!(linuxserver.contains("has no effect: did you mean ALLOW_LOGS?\n"), "{linuxserver}");
    let notes = said(&[("DOCKVEIL_COMPAT", "11notes"), ("POST", "1")]);
    assert!(notes.contains("POST is not a variable of 11notes/socket-proxy and has no effect"), "{notes}");
    assert!(notes.contains("it is one of Tecnativa/docker-socket-proxy"), "{notes}");
}

/// The variables that the other proxies read.
const READ: &[(&str, &str)] = &[
    (
        "11notes",
        "DEBUG SOCKET_PROXY_DOCKER_SOCKET SOCKET_PROXY_GID SOCKET_PROXY_KEEPALIVE SOCKET_PROXY_TIMEOUT \
         SOCKET_PROXY_UID SOCKET_PROXY_VOLUME TZ",
    ),
    (
        "linuxserver",
        "ALLOW_ARCHIVE ALLOW_CHANGES ALLOW_EXPORT ALLOW_LOGS ALLOW_PAUSE ALLOW_RESTARTS ALLOW_START ALLOW_STOP \
         ALLOW_TOP ALLOW_UNPAUSE AUTH BUILD COMMIT CONFIGS CONTAINERS DISABLE_IPV6 DISTRIBUTION EVENTS EXEC GRPC \
         IMAGES INFO LIBPOD_ALLOW_PAUSE LIBPOD_ALLOW_POD_PAUSE LIBPOD_ALLOW_POD_RESTARTS LIBPOD_ALLOW_POD_START \
         LIBPOD_ALLOW_POD_STOP LIBPOD_ALLOW_POD_UNPAUSE LIBPOD_ALLOW_RESTARTS LIBPOD_ALLOW_START LIBPOD_ALLOW_STOP \
         LIBPOD_ALLOW_UNPAUSE LIBPOD_CONTAINERS LIBPOD_EVENTS LIBPOD_EXEC LIBPOD_GENERATE LIBPOD_IMAGES LIBPOD_INFO \
         LIBPOD_MANIFESTS LIBPOD_NETWORKS LIBPOD_PING LIBPOD_PLAY LIBPOD_PODS LIBPOD_SECRETS LIBPOD_SYSTEM \
         LIBPOD_VERSION LIBPOD_VOLUMES LOG_LEVEL NETWORKS NODES PING PLUGINS POST SECRETS SERVICES SESSION \
         SOCKET_PATH SWARM SYSTEM TASKS TZ VERSION VOLUMES",
    ),
    (
        "tecnativa",
        "ALLOW_RESTARTS ALLOW_START ALLOW_STOP AUTH BIND_CONFIG BUILD COMMIT CONFIGS CONTAINERS DISABLE_IPV6 \
         DISTRIBUTION EVENTS EXEC GRPC IMAGES INFO LOG_LEVEL NETWORKS NODES PING PLUGINS POST SECRETS SERVICES \
         SESSION SOCKET_PATH SWARM SYSTEM TASKS VERSION VOLUMES",
    ),
];

fn every_variable_of_the_other_proxies_is_in_its_table() {
    for (name, variables) in READ {
        let table = tables().unwrap().iter().find(|table| table.name == *name).unwrap();
        let found: Vec<&str> = table.variables.keys().map(String::as_str).collect();
        assert_eq!(found, variables.split_whitespace().collect::<Vec<_>>(), "{name}");
    }
}

/// The rows of `docs/drop-in.md` that follow from the tables.
fn rows() -> String {
    let tables = tables().unwrap();
    let names: BTreeSet<&str> = tables.iter().flat_map(|table| table.variables.keys()).map(String::as_str).collect();
    let heads: Vec<&str> = tables.iter().map(|table| table.about.as_str()).collect();
    let mut text = format!("| variable | {} |\n|---|{}\n", heads.join(" | "), "---|".repeat(tables.len()));
    for name in names {
        let cells: Vec<String> = tables
            .iter()
            .map(|table| match table.variables.get(name) {
                None => "–".to_owned(),
                Some(variable) => {
                    let (verdict, why) = variable.verdict.words();
                    let default = if variable.default.is_empty() { "none" } else { &variable.default };
                    format!("`{default}`: **{verdict}**, {why}")
                }
            })
            .collect();
        text += &format!("| `{name}` | {} |\n", cells.join(" | "));
    }
    text
}

fn the_document_has_the_rows_of_the_tables() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/drop-in.md")).unwrap();
    assert!(document.contains(&rows()), "docs/drop-in.md must have these rows:\n{}", rows());
}

/// Whether the proxy of Tecnativa or of linuxserver lets a request through with these variables on. Both consist of rules for
/// HAProxy. A variable that is on opens the paths that begin with its name, and `PING` that of the ping.
fn haproxy(linuxserver: bool, on: &BTreeSet<&str>, method: &str, path: &str) -> bool {
    // The patterns match prefixes.
    let object = |words: &str| {
        let rest = path.strip_prefix("/containers/").and_then(|rest| rest.split_once('/'));
        rest.is_some_and(|(_, rest)| words.split('|').any(|word| rest.starts_with(word)))
    };
    let is_on = |name: &str| on.contains(name);
    let acts = (is_on("ALLOW_RESTARTS") && object("stop|restart|kill"))
        || (is_on("ALLOW_START") && object("start"))
        || (is_on("ALLOW_STOP") && object("stop"))
        || (linuxserver && is_on("ALLOW_PAUSE") && object("pause"))
        || (linuxserver && is_on("ALLOW_UNPAUSE") && object("unpause"));
    let apart = [
        ("ALLOW_ARCHIVE", "archive"),
        ("ALLOW_CHANGES", "change"),
        ("ALLOW_EXPORT", "export"),
        ("ALLOW_LOGS", "logs"),
        ("ALLOW_TOP", "top"),
    ];
    if linuxserver && apart.iter().any(|(name, word)| !is_on(name) && object(word)) {
        return false;
    }
    let may_write = ["GET", "HEAD"].contains(&method) || is_on("POST");
    if linuxserver && acts {
        return true;
    }
    let section = |name: &&str| {
        let prefix = if *name == "PING" { "_ping".to_owned() } else { name.to_lowercase() };
        path.strip_prefix('/').is_some_and(|path| path.starts_with(&prefix))
    };
    may_write && (acts || on.iter().any(section))
}

/// Whether 11notes/socket-proxy lets a request through.
fn eleven_notes(method: &str, path: &str) -> bool {
    let of_container = |word: &str| path.starts_with("/containers/") && path.contains(&format!("/{word}"));
    let denied = ["attach/ws", "export", "archive"].into_iter().any(of_container)
        || ["secrets", "configs", "swarm/unlockkey", "images/get"].iter().any(|word| path.contains(word));
    ["GET", "HEAD"].contains(&method) && !denied
}

/// Intended differences: the other proxy, the operation, and whether it is open here.
const INTENDED: &[(&str, &str, bool)] = &[
    // A hole of that proxy: the archive of one image has its name in front.
    ("11notes", "ImageGet", false),
    // A GET request that writes to a process.
    ("tecnativa", "ContainerAttachWebsocket", false),
    ("linuxserver", "ContainerAttachWebsocket", false),
];

fn what_is_open_is_what_the_rules_of_the_other_proxy_open() {
    let mut seen = BTreeSet::new();
    for table in tables().unwrap() {
        let switches: Vec<&str> =
            table.switches().map(|(name, _)| name).filter(|name| *name != "DISABLE_IPV6").collect();
        // Every variable alone and a hundred sets of them, each with and without POST. All is shown, so that archives count.
        let mut sets: Vec<BTreeSet<&str>> = switches.iter().map(|name| BTreeSet::from([*name])).collect();
        let mut state: u64 = 42;
        for _ in 0..if switches.is_empty() { 1 } else { 100 } {
            let mut draw = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state >> 62 == 0
            };
            sets.push(switches.iter().copied().filter(|_| draw()).collect());
        }
        for mut on in sets.into_iter().flat_map(|set| [set.clone(), &set | &BTreeSet::from(["POST"])]) {
            on.retain(|name| switches.contains(name) || *name == "POST");
            let mut variables: Vec<(&str, &str)> =
                switches.iter().map(|name| (*name, if on.contains(name) { "1" } else { "0" })).collect();
            variables.extend([("DOCKVEIL_COMPAT", table.name.as_str()), ("DOCKVEIL_SHOW", "all")]);
            if table.variables.contains_key("POST") {
                variables.push(("POST", if on.contains("POST") { "1" } else { "0" }));
            }
            let compat = Compat::find(&in_image(&variables)).unwrap().unwrap();
            let open: BTreeSet<&str> =
                compat.allow.keys().copied().flat_map(operations_named).map(|one| one.id).collect();
            for operation in OPERATIONS {
                let path = operation.template.replace("{id}", "web").replace(['{', '}'], "");
                let method = operation.method.as_str();
                let there = match table.name.as_str() {
                    "11notes" => eleven_notes(method, &path),
                    name => haproxy(name == "linuxserver", &on, method, &path),
                };
                let here = open.contains(operation.id);
                if here == there {
                    continue;
                }
                let known = (table.name.as_str(), operation.id, here);
                assert!(INTENDED.contains(&known), "{known:?}, with {on:?}");
                seen.insert(known);
            }
        }
    }
    assert_eq!(seen.len(), INTENDED.len(), "only these differ: {seen:?}");
}
