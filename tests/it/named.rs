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
    what_a_rule_names_cannot_be_asked_for
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
