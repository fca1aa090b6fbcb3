//! Rules that name what the schema does not: an entry of a map, an element, a part of an opaque field, a member that no schema knows.
//!
//! The schema alone would say that nothing is hidden there. With `show: all`, an answer of which nothing is hidden passes unread, an
//! object of which nothing is hidden may be written back, and a field that is shown may be asked for. So each of these decisions has
//! to see such a rule.

use crate::harness::{Test, tests};
use crate::support::client::{ID, get, status};
use crate::support::daemon::json;
use crate::support::proxy::Bench;

pub(crate) const TESTS: &[Test] = tests![
    what_a_rule_names_comes_out_of_no_answer,
    what_a_rule_names_is_not_overwritten_by_an_update,
    what_a_rule_names_cannot_be_asked_for,
    labels_that_a_rule_hides_cannot_be_asked_for_anywhere,
    what_is_hidden_elsewhere_is_read_by_no_parameter,
    masked_commands_cannot_be_asked_for
];

/// A target, a rule, and an answer in which the rule hides the canary.
const HIDDEN: [(&str, &str, &str); 12] = [
    (
        "/containers/ID/json",
        "{on: ContainerInspect, remove: $.NetworkSettings.Networks.backend}",
        r#"{"NetworkSettings":{"Networks":{"backend":{"MacAddress":"canary"}}}}"#,
    ),
    (
        "/containers/ID/json",
        "{on: ContainerInspect, redact: \"$.NetworkSettings.Networks['backend'].MacAddress\"}",
        r#"{"NetworkSettings":{"Networks":{"backend":{"MacAddress":"canary"}}}}"#,
    ),
    (
        "/containers/ID/json",
        "{on: ContainerInspect, hash: $.NetworkSettings.Networks.backend.DriverOpts.key}",
        r#"{"NetworkSettings":{"Networks":{"backend":{"DriverOpts":{"key":"canary"}}}}}"#,
    ),
    (
        "/containers/ID/json",
        "{on: EndpointSettings, remove: $.DriverOpts.key}",
        r#"{"NetworkSettings":{"Networks":{"backend":{"DriverOpts":{"key":"canary"}}}}}"#,
    ),
    (
        "/containers/ID/json",
        "{on: ContainerInspect, remove: $.Config.NewField, unknown: true}",
        r#"{"Config":{"NewField":"canary"}}"#,
    ),
    ("/containers/ID/json", "{on: ContainerInspect, blank: $.NewSecret, unknown: true}", r#"{"NewSecret":"canary"}"#),
    (
        "/containers/ID/json",
        "{on: ContainerInspect, remove: $.Name.new, unknown: true}",
        r#"{"Name":{"new":"canary"}}"#,
    ),
    ("/containers/ID/json", "{on: ContainerInspect, remove: \"$.Config.Env[0]\"}", r#"{"Config":{"Env":["canary"]}}"#),
    (
        "/containers/json",
        "{on: ContainerSummary, remove: $.NetworkSettings.Networks.backend}",
        r#"[{"NetworkSettings":{"Networks":{"backend":{"MacAddress":"canary"}}}}]"#,
    ),
    ("/volumes/data", "{on: Volume, remove: $.Status.password}", r#"{"Status":{"password":"canary"}}"#),
    ("/volumes/data", "{on: Volume, redact: $.Status.Inner.deep}", r#"{"Status":{"Inner":{"deep":"canary"}}}"#),
    (
        "/volumes/data",
        "{on: Volume, remove: \"$.ClusterVolume.PublishStatus[*].PublishContext.password\"}",
        r#"{"ClusterVolume":{"PublishStatus":[{"PublishContext":{"password":"canary"}}]}}"#,
    ),
];

/// A profile that shows everything but what a rule hides.
fn all_but(rule: &str) -> String {
    format!(
        "profile: test\nallow: [ContainerList, ContainerInspect, VolumeInspect, ServiceUpdate, ServiceInspect]\nshow: all\nrules:\n  - \
         {rule}\n"
    )
}

fn what_a_rule_names_comes_out_of_no_answer() {
    for (target, rule, answer) in HIDDEN {
        for profile in [all_but(rule), all_but(rule).replace("show: all", "show: all\nmask-values: true")] {
            let bench = Bench::profiled(&profile, move |_| json(answer));
            let answer = bench.ask(get(&target.replace("ID", ID)));
            assert_eq!(status(&answer), 200, "{profile}: {answer}");
            assert!(!answer.contains("canary"), "{profile}: {answer}");
        }
        // Without the rule, it would come out.
        let bench = Bench::profiled(&all_but("{on: Error, remove: $.message}"), move |_| json(answer));
        assert!(bench.ask(get(&target.replace("ID", ID))).contains("canary"), "{target}");
    }
}

fn what_a_rule_names_is_not_overwritten_by_an_update() {
    const UPDATE: &str = "POST /v1.44/services/web/update?version=1 HTTP/1.1\r\nHost: d\r\nContent-Type: \
                          application/json\r\nContent-Length: 2\r\n\r\n{}";
    for (rule, expected) in [
        ("{on: Service, remove: $.Spec.TaskTemplate.ContainerSpec.Sysctls.secretknob}", 403),
        ("{on: Service, remove: $.Spec.NewSecret, unknown: true}", 403),
        ("{on: ServiceSpec, hash: $.TaskTemplate.ContainerSpec.NewSecret, unknown: true}", 403),
        ("{on: Service, remove: \"$.Spec.TaskTemplate.Networks[0]\"}", 403),
        // Something else is hidden.
        ("{on: Service, remove: $.Endpoint.NewSecret, unknown: true}", 200),
        ("{on: Error, remove: $.message}", 200),
    ] {
        let bench = Bench::profiled(&all_but(rule), |_| json("{}"));
        let mut client = bench.client();
        client.send(UPDATE);
        assert_eq!(status(&client.response()), expected, "{rule}");
    }
}

fn what_a_rule_names_cannot_be_asked_for() {
    const BY_NETWORK: &str = "/v1.47/containers/json?filters={%22network%22:[%22backend%22]}";
    for (rule, expected) in [
        ("{on: ContainerSummary, remove: $.NetworkSettings.Networks.backend}", 403),
        ("{on: ContainerSummary, redact: \"$.NetworkSettings.Networks['backend', 'other']\"}", 403),
        ("{on: ContainerSummary, remove: $.NetworkSettings.Networks}", 403),
        ("{on: ContainerSummary, remove: $.ImageID}", 200),
    ] {
        for show in ["all", "[topology, identity, state]"] {
            let profile = all_but(rule).replace("show: all", &format!("show: {show}"));
            let bench = Bench::profiled(&profile, |_| json("[]"));
            let answer = bench.ask(get(BY_NETWORK));
            assert_eq!(status(&answer), expected, "{profile}: {answer}");
            assert_eq!(bench.daemon.requests().is_empty(), expected == 403, "{profile}");
        }
    }
}

/// The operations with a filter on labels, each with its method and path. The labels that it compares may be those of objects that are
/// not in its answer.
const BY_LABEL: [(&str, &str, &str); 13] = [
    ("ContainerList", "GET", "/containers/json"),
    ("ContainerPrune", "POST", "/containers/prune"),
    ("ImageList", "GET", "/images/json"),
    ("ImagePrune", "POST", "/images/prune"),
    ("NetworkList", "GET", "/networks"),
    ("NetworkPrune", "POST", "/networks/prune"),
    ("VolumeList", "GET", "/volumes"),
    ("VolumePrune", "POST", "/volumes/prune"),
    ("ServiceList", "GET", "/services"),
    ("TaskList", "GET", "/tasks"),
    ("NodeList", "GET", "/nodes"),
    ("SecretList", "GET", "/secrets"),
    ("ConfigList", "GET", "/configs"),
];

/// The status of the answer to a request under a profile that allows one operation and has these lines.
fn asked(operation: &str, method: &str, target: &str, lines: &str) -> u16 {
    let profile = format!("profile: test\nallow: [{operation}]\n{lines}");
    let bench = Bench::profiled(&profile, |request| {
        json(if request.contains("/containers/json") || request.starts_with("GET") { "[]" } else { "{}" })
    });
    let mut client = bench.client();
    client.send(format!("{method} /v1.44{target} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n"));
    status(&client.read_until("\r\n\r\n"))
}

fn labels_that_a_rule_hides_cannot_be_asked_for_anywhere() {
    let schemas = [
        ("ContainerSummary", "$.Labels"),
        ("ContainerInspect", "$.Config.Labels"),
        ("ImageSummary", "$.Labels"),
        ("ImageInspect", "$.Config.Labels"),
        ("NetworkSummary", "$.Labels"),
        ("NetworkInspect", "$.Labels"),
        ("Volume", "$.Labels"),
        ("Service", "$.Spec.Labels"),
        ("Task", "$.Spec.ContainerSpec.Labels"),
        ("Node", "$.Spec.Labels"),
        ("Secret", "$.Spec.Labels"),
        ("Config", "$.Spec.Labels"),
    ];
    for action in ["hash", "blank"] {
        let rule = |(schema, path): &(&str, &str)| match action {
            "hash" => format!("  - {{on: {schema}, hash: \"{path}.*\"}}\n"),
            _ => format!("  - {{on: {schema}, {action}: {path}}}\n"),
        };
        let rules: String = schemas.iter().map(rule).collect();
        for (operation, method, path) in BY_LABEL {
            let target = format!("{path}?filters={{%22label%22:[%22app.note=hunter2%22]}}");
            for show in ["show: [identity, state]\nlabels: [\"app.*\"]\n", "show: all\n"] {
                assert_eq!(
                    asked(operation, method, &target, &format!("{show}rules:\n{rules}")),
                    403,
                    "{operation} {show}"
                );
                assert_ne!(asked(operation, method, &target, show), 403, "{operation} {show}");
            }
        }
    }
}

/// Some parameters make an engine read all of a class, wherever it is.
fn what_is_hidden_elsewhere_is_read_by_no_parameter() {
    let (top, logs) =
        (format!("/containers/{ID}/top?ps_args=axeww"), format!("/containers/{ID}/logs?details=1&stdout=1"));
    for (lines, expected) in [
        ("", [true, true]),
        ("env: [\"!DB_*\"]\n", [false, false]),
        ("options: [\"!key\"]\n", [false, false]),
        ("labels: [\"!key\"]\n", [true, false]),
        ("rules: [{on: ContainerInspect, blank: $.Config.Env}]\n", [false, false]),
        ("rules: [{on: ContainerSummary, remove: $.Command}]\n", [false, true]),
        ("rules: [{on: ContainerInspect, remove: \"$.Config.Env[?@ == 'a']\"}]\n", [false, false]),
        ("rules: [{on: Volume, remove: $.CreatedAt}]\n", [true, true]),
    ] {
        let passes = [("ContainerTop", &top), ("ContainerLogs", &logs)]
            .map(|(operation, target)| asked(operation, "GET", target, &format!("show: all\n{lines}")) != 403);
        assert_eq!(passes, expected, "{lines}");
    }
}

fn masked_commands_cannot_be_asked_for() {
    for (lines, event, expected) in [
        ("", "exec_create: mysql --password=h", true),
        ("mask-values: true\n", "exec_create: mysql --password=h", false),
        ("mask-values: true\n", "exec_create", true),
    ] {
        let event = event.replace(' ', "%20");
        let target = format!("/events?until=1&filters={{%22event%22:[%22{event}%22]}}");
        let profile = format!("show: all\nevents: filtered\n{lines}");
        assert_eq!(asked("SystemEvents", "GET", &target, &profile) != 403, expected, "{lines} {event}");
    }
}
