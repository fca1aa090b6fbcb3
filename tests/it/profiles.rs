//! What the lines of the profile `dashboard` change in recorded answers.

use dockveil::api::Operation;
use dockveil::profile::{Profile, StreamFiltering};

use crate::harness::{Test, tests};
use crate::support::built_in::profile;
use crate::support::fixture::Fixture;
use crate::support::snapshot::{Snapshots, changed, check};

pub(crate) const TESTS: &[Test] = tests![
    dashboard_version,
    dashboard_info,
    dashboard_labels,
    dashboard_live_filters_documents_as_dashboard_does,
    the_groups_of_operations_are_documented_as_they_are
];

const VERSIONS: &[&str] = &[
    "docker-20.10/v1.41/system_version.json",
    "docker-29/v1.55/system_version.json",
    "podman-5.8/v1.44/system_version.json",
];
const INFOS: &[&str] =
    &["docker-20.10/v1.24/system_info.json", "docker-28.5/v1.51/system_info.json", "podman-4.3/v1.41/system_info.json"];
const LABELLED: &[&str] =
    &["docker-28.5/v1.51/container_inspect.service.json", "docker-29/v1.55/container_inspect.service.json"];

/// The snapshots of this file.
pub(crate) const SNAPSHOTS: Snapshots =
    &[("dashboard_version", VERSIONS), ("dashboard_info", INFOS), ("dashboard_labels", LABELLED)];

/// What each rule of the dashboard changes: the difference that it makes to take this rule away.
fn rule_by_rule(schema: &str, fixture: &Fixture) -> String {
    let with = profile("dashboard");
    let mut lines = Vec::new();
    for (at, rule) in with.rules.iter().enumerate() {
        let mut without = with.clone();
        without.rules.remove(at);
        if rule.on == schema {
            lines.push(format!("{} {}", rule.action.as_str(), rule.selector.as_str()));
            lines.extend(changed(&without, with, fixture));
        }
    }
    lines.join("\n")
}

fn dashboard_version() {
    check("profiles", "dashboard_version", VERSIONS, |fixture| rule_by_rule("SystemVersion", fixture));
}

fn dashboard_info() {
    check("profiles", "dashboard_info", INFOS, |fixture| rule_by_rule("SystemInfo", fixture));
}

fn dashboard_labels() {
    check("profiles", "dashboard_labels", LABELLED, |fixture| {
        let with = profile("dashboard");
        let mut without = with.clone();
        without.show.names.clear(dockveil::api::lists::LABELS);
        changed(&without, with, fixture).join("\n")
    });
}

/// So these snapshots hold for both profiles.
fn dashboard_live_filters_documents_as_dashboard_does() {
    let [dashboard, live] = ["dashboard", "dashboard-live"].map(profile);
    let written = |profile: &Profile| {
        let rules = profile.rules.iter();
        rules.map(|rule| (rule.on.clone(), rule.selector.as_str().to_owned(), rule.action.clone())).collect::<Vec<_>>()
    };
    assert_eq!(written(dashboard), written(live));
    assert_eq!(dashboard.show, live.show);
    let more: Vec<&str> = live.allow.keys().filter(|id| !dashboard.allow.contains_key(*id)).copied().collect();
    assert_eq!(more, ["ContainerLogs"]);
    let streams = |operation: &Operation| matches!(operation.response, dockveil::api::ResponseKind::Stream(_));
    assert!(more.iter().all(|id| streams(dockveil::api::operation(id).unwrap())));
    assert_eq!((dashboard.events, live.events), (StreamFiltering::Filtered, StreamFiltering::Untouched));
    assert_eq!((dashboard.stats, live.stats), (StreamFiltering::Filtered, StreamFiltering::Filtered));
}

/// The table in the documents, and what `profiles` prints, have every group with every operation, in the order of the file.
fn the_groups_of_operations_are_documented_as_they_are() {
    let groups = dockveil::api::groups::built_in().unwrap();
    let documented: Vec<&str> = include_str!("../../docs/profiles.md")
        .lines()
        .skip_while(|line| !line.starts_with("| group | what it opens"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let arguments = dockveil::cli::ProfilesArgs::default();
    let mut printed = Vec::new();
    dockveil::command::profiles(&arguments, &dockveil::cli::Environment::default(), &mut printed).unwrap();
    let printed = String::from_utf8(printed).unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let printed = words(printed.split_once("groups of operations").unwrap().1);
    let mut expected = Vec::new();
    for group in groups {
        let ids = group.operations.iter().map(|operation| operation.id).collect::<Vec<_>>().join(", ");
        assert!(printed.contains(&format!(" {} {} {ids}", group.name, group.about)), "{}: {printed}", group.name);
        expected.push(format!("| `{}` | {} | {ids} |", group.name, group.about));
    }
    assert_eq!(documented, expected);
}
