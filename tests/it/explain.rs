//! `explain` names the line that decides: without it, the answer is another.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use dockveil::api::operation;
use dockveil::cli::{ConfigFiles, Environment, ExplainArgs};
use dockveil::command;
use dockveil::policy::Policy;
use dockveil::profile::Profiles;
use dockveil::yaml;

use crate::harness::tests;
use crate::support::built_in::{catalogue, policy, profiles};

pub(crate) const TESTS: &[crate::harness::Test] = tests![
    without_the_line_that_is_named_the_answer_is_another,
    what_no_line_decides_names_none,
    a_request_line_can_be_two_words,
    every_line_that_is_named_says_what_it_is_named_for,
    the_refusal_is_the_one_that_a_client_gets,
    what_does_not_go_to_the_engine_is_named,
    a_host_is_compared_with_those_of_the_listeners,
    without_a_profile_it_is_that_of_the_first_listener,
    the_objects_that_a_request_can_be_about_are_named,
];

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
        profile: profile.map(str::to_owned),
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
        command::explain_request(&format!("{method} {target}"), &policy, catalogue(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(&format!("decision  403: {refusal}\n")), "{refusal}: {text}");
        denied += 1;
    }
    assert!(denied > 60, "{denied}");
    let dropin = explained_with("", &[("CONTAINERS", "1"), ("POST", "0")], asked(None, None, "/info"));
    assert!(dropin.contains("profile   compat:tecnativa\n"), "{dropin}");
    assert!(dropin.contains("does not allow SystemInfo (INFO=1 opens it)\n"), "{dropin}");
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
        files: ConfigFiles::default(),
        profile: Some(profile.to_owned()),
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
    command::explain_request(request, &policy, catalogue, &mut out).unwrap();
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
    command::explain_request(request, &policy("dashboard"), catalogue(), &mut out).unwrap();
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
