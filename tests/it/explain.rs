//! `explain` names the line that decides: without it, the answer is another.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use dockveil::api::operation;
use dockveil::cli::{ConfigFiles, Environment, ExplainArgs, OutputArg};
use dockveil::clients::{ChosenLine, DescribedClient};
use dockveil::command;
use dockveil::config::{ConfiguredApi, configured_listeners};
use dockveil::policy::Policy;
use dockveil::profile::Profiles;
use dockveil::yaml;

use crate::harness::tests;
use crate::support::built_in::{catalogue, policy, profiles};
use crate::support::client::{body, status};
use crate::support::daemon::json;
use crate::support::proxy::Bench;

pub(crate) const TESTS: &[crate::harness::Test] = tests![
    without_the_line_that_is_named_the_answer_is_another,
    what_no_line_decides_names_none,
    a_request_line_can_be_two_words,
    every_line_that_is_named_says_what_it_is_named_for,
    the_refusal_is_the_one_that_a_client_gets,
    a_target_that_is_refused_has_the_status_of_the_server,
    what_does_not_go_to_the_engine_is_named,
    a_host_is_compared_with_those_of_the_listeners,
    without_a_profile_it_is_that_of_the_first_listener,
    the_objects_that_a_request_can_be_about_are_named,
    the_line_of_clients_that_names_a_client_is_said,
    a_client_that_no_line_names_is_denied_with_the_lines,
    of_a_client_whose_container_is_not_said_nothing_is_guessed,
    a_client_is_looked_for_at_every_listener_that_takes_it,
    a_listener_that_lists_clients_is_called_that,
    the_api_versions_of_the_configuration_hold,
];

/// The profile that `explain` finds for a client of the only listener of a file, or `None` if the client is denied.
pub(crate) fn profile_of(config: &Path, facts: &[String]) -> Option<String> {
    let files = ConfigFiles { config: Some(config.to_owned()), ..ConfigFiles::default() };
    let listeners = configured_listeners(&files, &Environment::default()).unwrap();
    let [listener] = listeners.as_slice() else { panic!("{listeners:?}") };
    let client = DescribedClient::parse(facts).unwrap();
    assert!(client.reaches(&listener.address, listener.has_tls), "{client}");
    let lines = listener.clients.as_ref().unwrap();
    match ChosenLine::find(lines.iter().map(|line| &line.selector), &client.caller(&listener.address)) {
        ChosenLine::Named(number) => Some(lines[number].profile.clone()),
        ChosenLine::Unknown(_) | ChosenLine::Nobody => None,
    }
}

/// What `explain` prints with a configuration file and with variables.
fn explained_with(config: &str, variables: &[(&str, &str)], more: ExplainArgs) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let file = std::env::temp_dir().join(format!("dockveil-explain-{}-{number}.yaml", std::process::id()));
    std::fs::write(&file, config).unwrap();
    let files = ConfigFiles { config: (!config.is_empty()).then(|| file.clone()), ..ConfigFiles::default() };
    let environment = Environment { variables: variables.iter().copied().collect(), ..Environment::default() };
    let mut out = Vec::new();
    let done = command::explain(&ExplainArgs { files, ..more }, &environment, &mut out);
    std::fs::remove_file(&file).unwrap();
    done.unwrap_or_else(|error| panic!("{error:?}"));
    String::from_utf8(out).unwrap()
}

fn asked(profile: Option<&str>, host: Option<&str>, request: &str) -> ExplainArgs {
    ExplainArgs {
        output: OutputArg::default(),
        profile: profile.map(str::to_owned),
        client: Vec::new(),
        host: host.map(str::to_owned),
        request: vec![request.to_owned()],
        files: ConfigFiles::default(),
    }
}

/// Every operation that `dashboard` denies, and what it denies of those that it allows.
fn the_refusal_is_the_one_that_a_client_gets() {
    let policy = policy("dashboard");
    let mut denied = 0;
    let targets = dockveil::api::OPERATIONS.iter().map(|operation| {
        let path = operation.template.replace(['{', '}'], "");
        (operation.method.as_str(), if operation.id == "ContainerAttachWebsocket" { path.clone() } else { path })
    });
    let queries = [("GET", "/containers/json?filters={\"label\":[\"secret=1\"]}".to_owned())];
    for (method, target) in targets.chain(queries) {
        let Ok(Some(route)) = dockveil::route::find(method, &target) else { continue };
        let dockveil::policy::Decision::Deny(denial) = policy.decide(&route) else { continue };
        let refusal = policy.refusal(&route, denial).public();
        let mut out = Vec::new();
        command::explain_request(
            &format!("{method} {target}"),
            &policy,
            catalogue(),
            &ConfiguredApi::default(),
            &mut out,
        )
        .unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(&format!("decision  403: {refusal}\n")), "{refusal}: {text}");
        denied += 1;
    }
    assert!(denied > 60, "{denied}");
    let dropin = explained_with("", &[("CONTAINERS", "1"), ("POST", "0")], asked(None, None, "/info"));
    assert!(dropin.contains("profile   compat:tecnativa\n"), "{dropin}");
    assert!(dropin.contains("does not allow SystemInfo (INFO=1 opens it)\n"), "{dropin}");
}

/// Targets of each length around a limit, and others that are refused before the policy is asked.
fn a_target_that_is_refused_has_the_status_of_the_server() {
    let bench = Bench::start(|_| json("[]"));
    let path = |length: usize| format!("/{}", "a".repeat(length - 1));
    let query = |length: usize| format!("/info?{}", "a".repeat(length - 6));
    let mut targets: Vec<(String, u16)> = Vec::new();
    targets.extend([(8192, 404), (8193, 414), (9000, 414), (65_534, 414), (65_535, 414)].map(|(n, s)| (path(n), s)));
    targets.extend(
        [(65_535, 414), (70_000, 414), (81_000, 414), (82_000, 431), (90_000, 431)].map(|(n, s)| (query(n), s)),
    );
    targets.extend([
        // The escapes that it needs make it longer.
        (format!("/{}", "\"".repeat(3000)), 414),
        (format!("/info?{}", "\"".repeat(22_000)), 414),
        (format!("http://host{}", path(9000)), 414),
        (format!("/v1.44{}", path(9000)), 414),
        ("/libpod/info".to_owned(), 404),
        ("/nothing".to_owned(), 404),
        ("/a//b".to_owned(), 400),
        ("/info#a".to_owned(), 400),
        ("/info%zz".to_owned(), 400),
        ("*".to_owned(), 400),
    ]);
    for (target, expected) in targets {
        for method in ["GET", "POST"] {
            let shown = format!("{method} {:.40} ({} bytes)", target, target.len());
            let answer = bench.ask(format!("{method} {target} HTTP/1.1\r\nHost:\r\n\r\n"));
            assert_eq!(status(&answer), expected, "{shown}");
            let text = explained("dashboard", &[&format!("{method} {target}")]);
            assert!(text.contains(&format!("\ndecision  {expected}: ")), "{shown}: {text:.200}");
            let said: serde_json::Value = serde_json::from_str(&body(&answer).0).unwrap();
            let said = said["message"].as_str().unwrap();
            assert!(expected == 404 || text.contains(said), "{shown}: {said}: {text:.200}");
        }
    }
}

fn what_does_not_go_to_the_engine_is_named() {
    let text = explained("uptime-kuma", &["/containers/x/json?size=1&t=1&canary%20x=2"]);
    let dropped: Vec<&str> = text.lines().filter(|line| line.starts_with("dropped ")).collect();
    assert_eq!(
        dropped,
        [
            "dropped   t: ContainerInspect has no such parameter",
            "dropped   a parameter: ContainerInspect has no such parameter",
            "dropped   size: the profile does not allow it, and without it the request asks for the same or for less",
        ],
        "{text}"
    );
    let text = explained("dashboard", &["/containers/json?all=1&all=0"]);
    assert!(text.contains("\ndropped   all, given again: the engine reads the first one\n"), "{text}");
    for request in ["/containers/json?all=1", "/containers/json", "/images/json?filters={}"] {
        assert!(!explained("dashboard", &[request]).contains("dropped"), "{request}");
    }
}

fn a_host_is_compared_with_those_of_the_listeners() {
    const CONFIG: &str = "listeners:\n  - {listen: \"tcp://0.0.0.0:1\", profile: dashboard, hosts: [proxy]}\n  \
                          - {listen: \"tcp://0.0.0.0:2\", profile: monitoring}\n";
    const REFUSED: &str = "decision  403: denied by policy: this listener does not answer to that host name\n";
    let of = |profile: &str, host: Option<&str>, request: &str| {
        explained_with(CONFIG, &[], asked(Some(profile), host, request))
    };
    let text = of("dashboard", Some("PROXY:2375"), "/info");
    assert!(text.starts_with("host      tcp://0.0.0.0:1 answers to PROXY:2375  (`hosts`: proxy)\nroute "), "{text}");
    let denied = of("dashboard", Some("evil.example"), "/info");
    assert!(denied.contains(" does not answer to evil.example ") && denied.ends_with(REFUSED), "{denied}");
    // Of the absolute form, the host in the target counts as well.
    let denied = of("dashboard", None, "GET http://evil.example/info");
    assert!(denied.contains(" does not answer to evil.example ") && denied.ends_with(REFUSED), "{denied}");
    let any = of("monitoring", Some("evil.example"), "/info");
    assert!(any.contains("(`hosts`: any)") && any.contains("decision  filter"), "{any}");
    let none = of("traefik", Some("proxy"), "/version");
    assert!(none.starts_with("host      no listener of the configuration has the profile traefik\n"), "{none}");
}

fn without_a_profile_it_is_that_of_the_first_listener() {
    const CONFIG: &str = "listeners:\n  - {listen: \"tcp://127.0.0.1:1\", profile: traefik}\n  \
                          - {listen: \"tcp://127.0.0.1:2\", profile: monitoring}\n";
    let text = explained_with(CONFIG, &[], asked(None, None, "/info"));
    assert!(text.starts_with("profile   traefik\n"), "{text}");
    let text = explained_with("", &[("DOCKER_HOST", "ssh://elsewhere")], asked(None, None, "/info"));
    assert!(text.starts_with("route     SystemInfo ") && text.contains(":profile/dashboard.yaml:"), "{text}");
}

/// What `explain` prints.
fn explained(profile: &str, request: &[&str]) -> String {
    let arguments = ExplainArgs {
        output: OutputArg::default(),
        files: ConfigFiles::default(),
        profile: Some(profile.to_owned()),
        client: Vec::new(),
        host: None,
        request: request.iter().map(|word| (*word).to_owned()).collect(),
    };
    let mut out = Vec::new();
    command::explain(&arguments, &Environment::default(), &mut out)
        .unwrap_or_else(|error| panic!("{request:?}: {error:?}"));
    String::from_utf8(out).unwrap()
}

/// The number of the line `text` in a file.
#[track_caller]
fn number(file: &str, text: &str) -> usize {
    let found: Vec<usize> = file.lines().zip(1..).filter(|(line, _)| *line == text).map(|(_, number)| number).collect();
    assert_eq!(found.len(), 1, "{text:?} in {file}");
    found[0]
}

/// The first row that begins like this, without the places that are named.
fn row(text: &str, start: &str) -> String {
    let row = text.lines().find(|row| row.trim_start().starts_with(start)).unwrap_or("none");
    row.split("  (").next().unwrap().split("  by ").next().unwrap().to_owned()
}

/// What `explain` prints of a profile in a file `own.yaml`, with a class file `class.yaml`.
fn explained_of(profile: &str, class: &str, request: &str) -> String {
    let own;
    let catalogue = if class.is_empty() {
        catalogue()
    } else {
        own = dockveil::api::catalogue::built_in_with(&[yaml::parse("class.yaml", class).unwrap()]).unwrap();
        &own
    };
    let files = [("own.yaml", profile)];
    let extends = profile.contains("extends:");
    let known = if extends { Profiles::built_in_with(&files, catalogue) } else { Profiles::parse(&files, catalogue) };
    let known = known.unwrap_or_else(|error| panic!("{error}: {profile}"));
    let policy = Policy::compile(known.get("own").unwrap(), catalogue).unwrap();
    let mut out = Vec::new();
    command::explain_request(request, &policy, catalogue, &ConfiguredApi::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Checks that `explain` names the line `deciding` of a profile (or of a class file, if that has it), and that without the
/// line the row that begins with `answer` is another.
#[track_caller]
fn check(profile: &str, class: &str, request: &str, deciding: &str, answer: &str) {
    let of_class = class.lines().any(|line| line == deciding);
    let (name, file) = if of_class { ("class.yaml", class) } else { ("own.yaml", profile) };
    let place = format!("{name}:{}:", number(file, deciding));
    let before = explained_of(profile, class, request);
    let start = before.lines().take(60).collect::<Vec<_>>().join("\n");
    assert!(before.contains(&place), "{request}: {deciding:?} is not named ({place}):\n{start}");
    let rest: String = file.lines().filter(|line| *line != deciding).map(|line| format!("{line}\n")).collect();
    let after = if of_class { explained_of(profile, &rest, request) } else { explained_of(&rest, class, request) };
    assert_ne!(row(&before, answer), row(&after, answer), "{request}: {deciding:?} changes nothing:\n{start}");
}

fn without_the_line_that_is_named_the_answer_is_another() {
    const LABEL: &str = "/containers/json?filters={%22label%22:[%22app=1%22]}";
    const STATUS: &str = "/containers/json?filters={%22status%22:[%22running%22]}";
    let own = |lines: &str| format!("profile: own\n{lines}");
    let check =
        |lines: &str, request: &str, deciding: &str, answer: &str| check(&own(lines), "", request, deciding, answer);
    let decision = "decision";
    // Operations.
    let lists = "allow:\n  - ContainerList\n  - VolumeList\n";
    check(lists, "/containers/json", "  - ContainerList", decision);
    check("allow:\n  - logs\n  - read\n", "/containers/x/logs?stdout=1", "  - logs", decision);
    check("allow: all\ndeny:\n  - ContainerList\n  - VolumeList\n", "/containers/json", "  - ContainerList", decision);
    check(
        "extends: dashboard\nallow:\n  - ContainerLogs\n  - ContainerTop\n",
        "/containers/x/logs",
        "  - ContainerLogs",
        decision,
    );
    // Streams: not the entry of `allow`, which both answers have.
    check("allow: [SystemEvents]\nevents: filtered\n", "/events", "events: filtered", decision);
    check("extends: dashboard\nevents: untouched\n", "/events", "events: untouched", decision);
    check("allow: [ContainerStats]\nstats: filtered\n", "/containers/x/stats", "stats: filtered", decision);
    // Parameters and filters.
    let limited = "allow: [ContainerList, VolumeList]\nparameters:\n  VolumeList: []\n  ContainerList: [all]\n";
    check(limited, "/containers/json?filters={}", "  ContainerList: [all]", decision);
    let hiding = "allow: [ContainerList]\nshow: [state]\nrules:\n  - {on: ContainerSummary, blank: $.State}\n  - {on: ContainerSummary, keep: $.Image}\n";
    check(hiding, STATUS, "  - {on: ContainerSummary, blank: $.State}", decision);
    let labels = "allow: [ContainerList]\nshow: [identity]\nlabels:\n  - app\n  - other\n";
    check(labels, LABEL, "  - app", decision);
    let excluding = "allow: [ContainerList]\nlabels:\n  - \"*\"\n  - \"!app\"\n";
    check(excluding, LABEL, "  - \"!app\"", decision);
    // Fields: by class, by name, by a rule, or unknown.
    let shown = "allow: [ContainerList]\nshow:\n  - identity\n  - state\nlabels:\n  - app\n  - other\n";
    check(shown, "/containers/json", "  - state", "$.State ");
    check(shown, "/containers/json", "  - app", "app ");
    check("allow: [ContainerList]\nhide:\n  - command\n  - secret\n", "/containers/json", "  - command", "$.Command ");
    check("allow: [ContainerList]\nshow: all\n", "/containers/json", "show: all", "$.Command ");
    check("allow: [ContainerList]\nunknown: show\nshow: []\n", "/containers/json", "unknown: show", "unknown ");
    check(
        "allow: [ContainerList]\nmask-values: false\nshow: [command]\n",
        "/containers/json",
        "mask-values: false",
        "$.Command ",
    );
    for (action, answer) in [("keep: $.Command", "$.Command "), ("hash: $.Id", "$.Id "), ("blank: $.State", "$.State ")]
    {
        let rule = format!("  - {{on: ContainerSummary, {action}}}");
        let rules = format!(
            "allow: [ContainerList]\nshow: [identity, state]\nrules:\n{rule}\n  - {{on: Volume, keep: $.Driver}}\n"
        );
        check(&rules, "/containers/json", &rule, answer);
    }
    // A write that would erase what a rule hides.
    let erasing =
        "allow: [NodeUpdate]\nshow: all\nrules:\n  - {on: Node, hash: $.Spec.Name}\n  - {on: Volume, keep: $.Driver}\n";
    check(erasing, "POST /nodes/x/update?version=1", "  - {on: Node, hash: $.Spec.Name}", decision);
    // A class of one's own.
    let class = "class: state\nfields:\n  ContainerSummary:\n    - $.Mine\n    - $.Other\n";
    let profile = own("allow: [ContainerList]\nshow: [state]\n");
    self::check(&profile, class, "/containers/json", "    - $.Mine", "$.Mine ");
}

/// What `explain` prints of a request through `dashboard`.
fn of_dashboard(request: &str) -> String {
    let mut out = Vec::new();
    command::explain_request(request, &policy("dashboard"), catalogue(), &ConfiguredApi::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// A route that does not exist, a version that is none, a request with two readings: no file decides.
fn what_no_line_decides_names_none() {
    for (request, decision) in [
        ("GET /nope", "404"),
        ("GET /v9/info", "400"),
        ("GET /libpod/info", "404"),
        ("GET /containers%2fjson", "4"),
        ("BREW /info", "4"),
    ] {
        let text = of_dashboard(request);
        assert!(text.contains(&format!("decision  {decision}")), "{request}: {text}");
        assert!(!text.contains(".yaml"), "{request}: {text}");
    }
    // An operation that nothing allows: the profile is named, which is where to allow it.
    let text = of_dashboard("POST /containers/x/start");
    assert!(text.contains("403") && text.contains("built-in:profile/dashboard.yaml:"), "{text}");
    // Whatever the version, the operation is the same.
    assert_eq!(of_dashboard("GET /v1.24/info").replace("API 1.24", "API of the engine"), of_dashboard("GET /info"));
}

fn a_request_line_can_be_two_words() {
    let expected = explained("dashboard", &["GET /v1.44/containers/web/json"]);
    assert!(expected.starts_with("route     ContainerInspect  GET /containers/{id}/json  API 1.44\n"), "{expected}");
    for words in [
        &["GET", "/v1.44/containers/web/json"][..],
        &["/v1.44/containers/web/json"],
        &["GET", "/v1.44/containers/web/json", "HTTP/1.1"],
        &["GET /v1.44/containers/web/json HTTP/1.1"],
        &["  GET   /v1.44/containers/web/json  "],
    ] {
        assert_eq!(explained("dashboard", words), expected, "{words:?}");
    }
    let filters = r#"/containers/json?filters={"label":["a b"]}"#;
    assert_eq!(of_dashboard(&format!("GET {filters}")), of_dashboard(filters));
}

/// The text at a place such as `built-in:profile/dashboard.yaml:15:5`.
fn text_at(place: &str) -> String {
    let mut parts = place.trim_start_matches("built-in:").rsplitn(3, ':');
    let (column, line, file) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("filters").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{place}: {error}"));
    let line = text.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap();
    line.chars().skip(column.parse::<usize>().unwrap() - 1).collect()
}

/// In every built-in profile: what stands at a place that is named for an operation, a stream, a class or a label is that
/// operation, stream, class or label.
fn every_line_that_is_named_says_what_it_is_named_for() {
    let mut checked = 0;
    for profile in profiles().iter() {
        for (id, location) in &profile.allow {
            let text = text_at(&location.to_string());
            let is_short = |short: &str| text.starts_with(short) && id.contains(short);
            assert!(
                text.starts_with(id) || is_short("Ping") || is_short("SystemPing"),
                "{} {id}: {text}",
                profile.name
            );
            assert!(operation(id).is_some());
            checked += 1;
        }
        for named in &profile.lines.names {
            let text = text_at(&named.location.to_string());
            let is_rule = text.starts_with("on:") && named.name.starts_with('!');
            assert!(
                text.trim_start_matches('"').starts_with(&named.name) || is_rule,
                "{}: {named:?}: {text}",
                profile.name
            );
            checked += 1;
        }
        for class in profile.show.classes.iter() {
            let text = text_at(&profile.classes[&class].to_string());
            assert!(text.starts_with(class.as_str()), "{} {class}: {text}", profile.name);
            checked += 1;
        }
        for (key, line) in [("filtered", &profile.lines.events), ("filtered", &profile.lines.stats)] {
            let text = line.as_ref().map(|line| text_at(&line.to_string()));
            assert!(text.is_none_or(|text| text.starts_with(key) || text.starts_with("untouched")), "{}", profile.name);
        }
        for rule in &profile.rules {
            assert!(text_at(&rule.location.to_string()).starts_with("on: "), "{}", profile.name);
            checked += 1;
        }
    }
    assert!(checked > 1000, "{checked}");
}

fn the_objects_that_a_request_can_be_about_are_named() {
    let config = "upstream: unix:///engine\nlisteners: [{listen: \"unix:///l\", profile: p}]\nprofiles:\n  - profile: p\n    \
                  allow: [ContainerList, ContainerInspect, {ContainerRestart: {only: [{name: amuled}]}}]\n    containers: {only: \
                  [{project: shop}]}\n";
    let explained = |request: &str| explained_with(config, &[], asked(None, None, request));
    let shown = ["containers: only project=shop (", "others are answered like none"];
    for (request, parts) in [
        ("GET /containers/web/json", &shown[..]),
        ("POST /containers/web/restart", &[shown[0], "objects   only name=amuled (", "others are denied"]),
        ("GET /containers/json", &["the answer has no trace of objects"]),
    ] {
        let text = explained(request);
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in parts {
            assert!(flat.contains(&part.split_whitespace().collect::<Vec<_>>().join(" ")), "{part}: {text}");
        }
    }
}

const LISTED: &str = "\
listeners:
  - listen: unix:///run/a
    clients:
      - {gid: 5, uid: 7, profile: monitoring}
      - {uid: 1000, profile: docker-cli}
      - {gid: 990, profile: traefik}
      - {container: {label: dockveil.profile}, profiles: [homepage, dozzle]}
      - {uid: 1001, profile: read-only}
  - listen: tcp://0.0.0.0:2375
    hosts: [proxy]
    clients:
      - {address: 172.20.0.5, profile: traefik}
      - {container: {project: shop}, address: 172.20.0.0/16, profile: dashboard}
";

/// What `explain` prints of a client with these facts, with the name of the file taken out, and without what follows the route.
fn explained_as(config: &str, facts: &[&str], request: &str) -> String {
    let client = facts.iter().map(|fact| (*fact).to_owned()).collect();
    let text = explained_with(config, &[], ExplainArgs { client, ..asked(None, None, request) });
    let file = text.find("/dockveil-explain-").map(|at| {
        let start = text[..at].rfind('(').map_or(0, |start| start + 1);
        text[start..at + text[at..].find(".yaml").unwrap()].to_owned() + ".yaml"
    });
    let text = file.map_or(text.clone(), |file| text.replace(&file, "file"));
    text.split("\nroute ").next().unwrap().trim_end().to_owned()
}

fn the_line_of_clients_that_names_a_client_is_said() {
    for (facts, expected) in [
        (
            &["uid=1000", "gid=990"][..],
            "listener  unix:///run/a (file:2:5)\nclient    uid=1000, gid=990\n          named by file:5:9: uid 1000\nprofile   \
             docker-cli",
        ),
        (
            &["gid=990"],
            "listener  unix:///run/a (file:2:5)\nclient    gid=990\n          passed over file:5:9: uid 1000; --as says no \
             uid\n          named by file:6:9: gid 990\nprofile   traefik",
        ),
        (
            &["uid=1", "container=label=dockveil.profile=dozzle"],
            "listener  unix:///run/a (file:2:5)\nclient    uid=1, container=label=dockveil.profile=dozzle\n          passed over \
             file:6:9: gid 990; --as says no gid\n          named by file:7:9: container label=dockveil.profile, container \
             label=dockveil.profile=dozzle\nprofile   dozzle",
        ),
        (
            &["address=172.20.0.5"],
            "listener  tcp://0.0.0.0:2375 (file:9:5)\nclient    address=172.20.0.5\n          named by file:12:9: address \
             172.20.0.5\nprofile   traefik",
        ),
        (
            &["address=172.20.0.6", "container=project=shop", "container=name=web"],
            "listener  tcp://0.0.0.0:2375 (file:9:5)\nclient    address=172.20.0.6, container=project=shop, \
             container=name=web\n          named by file:13:9: address 172.20.0.0/16, container project=shop\nprofile   dashboard",
        ),
    ] {
        assert_eq!(explained_as(LISTED, facts, "/containers/web/json"), expected, "{facts:?}");
    }
    // Then the request is explained with that profile, at that listener only.
    let text = |facts: &[&str], host, request: &str| {
        let client = facts.iter().map(|fact| (*fact).to_owned()).collect();
        explained_with(LISTED, &[], ExplainArgs { client, ..asked(None, host, request) })
    };
    let stopped = text(&["uid=1000"], None, "POST /containers/web/stop");
    assert!(stopped.contains("\ndecision  403: denied by policy: the profile docker-cli does not allow"), "{stopped}");
    let listed = text(&["address=172.20.0.5"], Some("proxy"), "/containers/json");
    assert!(
        listed.contains("\nhost      tcp://0.0.0.0:2375 answers to proxy") && listed.contains("decision  filter"),
        "{listed}"
    );
}

fn a_client_that_no_line_names_is_denied_with_the_lines() {
    assert_eq!(
        explained_as(LISTED, &["uid=7", "container=none"], "/info"),
        "listener  unix:///run/a (file:2:5)\nclient    uid=7, container=none\ndecision  403: denied by policy: no line of `clients` \
         names this client\n          file:4:9 names uid 7, gid 5; --as says no gid\n          file:5:9 names uid 1000\n          \
         file:6:9 names gid 990; --as says no gid\n          file:7:9 names container label=dockveil.profile, container \
         label=dockveil.profile=homepage\n          file:7:9 names container label=dockveil.profile, container \
         label=dockveil.profile=dozzle\n          file:8:9 names uid 1001"
    );
    for (facts, expected) in [
        (&["uid=1001", "container=none"][..], Some("read-only")),
        (&["uid=1001", "container=label=dockveil.profile=other"], Some("read-only")),
        (&["container=label=dockveil.profile"], None),
        (&["address=172.21.0.5", "container=project=shop"], None),
        (&["address=172.20.0.6", "container=project=other"], None),
    ] {
        let text = explained_as(LISTED, facts, "/info");
        let found = text.lines().find_map(|line| line.strip_prefix("profile   "));
        assert_eq!(found, expected, "{text}");
    }
}

fn of_a_client_whose_container_is_not_said_nothing_is_guessed() {
    let expected = "decision  403: denied by policy: it is not known which container this client runs in\n          file:7:9 depends \
                    on it: container label=dockveil.profile, container label=dockveil.profile=homepage\n          say it with --as \
                    container=name=web, or with --as container=none";
    let text = explained_as(LISTED, &["uid=1001"], "/info");
    assert!(text.ends_with(expected), "{text}");
}

fn a_client_is_looked_for_at_every_listener_that_takes_it() {
    let more = format!(
        "listeners:\n  - {{listen: \"unix:///run/first\", profile: traefik}}\n{}  - listen: unix:///run/b\n    clients: [{{uid: 1000, \
         profile: monitoring}}]\n  - listen: unix:///run/c\n    clients: [{{uid: 1, profile: monitoring}}]\n",
        LISTED.replace("listeners:\n", "")
    );
    let text = explained_as(&more, &["uid=1000"], "/info");
    assert_eq!(
        text,
        "listener  unix:///run/a (file:3:5)\nclient    uid=1000\n          named by file:6:9: uid 1000\n          at unix:///run/first: \
         profile traefik, like everybody\n          at unix:///run/b: profile monitoring, by file:16:15\n          at unix:///run/c: \
         denied\nprofile   docker-cli"
    );
    let everybody = "listeners:\n  - {listen: \"unix:///run/first\", profile: traefik}\n";
    let text = explained_as(everybody, &["uid=1000"], "/info");
    assert!(text.ends_with("served like everybody: the listener has no `clients`\nprofile   traefik"), "{text}");
    // Without TLS, nobody has a certificate.
    for (facts, expected) in [
        (
            &["certificate=cn=a"][..],
            "--as: found certificate=cn=a, which no listener takes: uid and gid need a Unix socket",
        ),
        (&["uid=1", "gid=x"], "--as: gid: found \"x\", expected a number"),
    ] {
        let config = crate::support::proxy::Folder::new();
        std::fs::write(config.path("dockveil.yaml"), LISTED).unwrap();
        let files = ConfigFiles { config: Some(config.path("dockveil.yaml")), ..ConfigFiles::default() };
        let client = facts.iter().map(|fact| (*fact).to_owned()).collect();
        let arguments = ExplainArgs { files, client, ..asked(None, None, "/info") };
        let error = command::explain(&arguments, &Environment::default(), &mut Vec::new()).unwrap_err();
        let mut text = Vec::new();
        assert_eq!(error.report(&mut text), command::USAGE);
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with(expected), "{text}");
    }
}

fn a_listener_that_lists_clients_is_called_that() {
    assert_eq!(
        explained_as(LISTED, &[], "/info"),
        "clients   unix:///run/a serves only those that its `clients` name, each with a profile\n          this is what the first line \
         says: uid 7, gid 5 (file:4:9)\n          --as explains the request of any other client: --as uid=1000, for example\nprofile   \
         monitoring"
    );
    let first = "listeners:\n  - {listen: \"unix:///run/first\", profile: traefik}\n";
    assert_eq!(explained_as(&LISTED.replace("listeners:\n", first), &[], "/info"), "profile   traefik");
}

fn the_api_versions_of_the_configuration_hold() {
    const LISTENER: &str = "listeners: [{listen: \"unix:///l\"}]\n";
    let explained = |api: &str, variables: &[(&str, &str)], request: &str| {
        explained_with(&format!("{LISTENER}{api}"), variables, asked(None, None, request))
    };
    let limited = "api: {min: 1.30, max: 1.44, pin: 1.41}\n";
    for (request, parts) in [
        (
            "/v1.45/info",
            &[
                "decision  400: client version 1.45 is too new. Maximum supported API version is 1.44\n",
                ".yaml:2:23 (`api: {max}`)\n",
            ][..],
        ),
        (
            "/v1.29/info",
            &[
                "decision  400: client version 1.29 is too old. Minimum supported API version is 1.30, ",
                ".yaml:2:12 (`api: {min}`)\n",
            ],
        ),
        ("/v1.30/info", &["  API 1.30\n", "\ndecision  filter\n"]),
        (
            "/info",
            &[
                "  API 1.41, or that of the engine if it is older (`api: {pin}`, ",
                ".yaml:2:34)\n",
                "\ndecision  filter\n",
            ],
        ),
        // What is denied is denied in any version.
        ("POST /v1.45/containers/a/stop", &["\ndecision  403: "]),
    ] {
        let text = explained(limited, &[], request);
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    let text = explained("api: {max: 1.44}\n", &[], "/info");
    assert!(
        text.contains("  API of the engine, 1.44 at most (`api: {max}`, ") && text.contains(".yaml:2:12)\n"),
        "{text}"
    );
    let text = explained(limited, &[("DOCKVEIL_API", "max=1.43")], "/v1.44/info");
    assert!(
        text.contains("Maximum supported API version is 1.43\n          by DOCKVEIL_API (`api: {max}`)\n"),
        "{text}"
    );
    let text = explained("", &[], "/v1.99/info");
    assert!(
        text.contains("decision  400: client version 1.99 is too new. ")
            && text.contains(" is the newest version that this program knows\n"),
        "{text}"
    );
    assert!(explained("", &[], "/info").contains("  API of the engine\n"));
}
