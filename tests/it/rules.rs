//! What each action of a rule changes in recorded answers. Each snapshot lists all changes.

use crate::harness::{Test, tests};
use crate::support::snapshot::{Snapshots, changed, check, profile};

const ALL_SHOWN: &str =
    "profile: case\nallow: [ContainerInspect, ContainerList, SystemInfo]\nshow: all\nunknown: show\n";
const DASHBOARD: &str = "profile: case\nextends: dashboard\n";

/// Makes a test for each rule: what it changes in the fixtures when it is added to `$base`.
macro_rules! rules {
    ($($test:ident: $base:ident, $rule:literal, [$($fixture:literal),*];)*) => {
        $(
            fn $test() {
                let with = profile(&format!("{}rules:\n  - {}\n", $base, $rule));
                check("rules", stringify!($test), &[$($fixture),*], |fixture| {
                    let lines = changed(&profile($base), &with, fixture);
                    assert!(!lines.is_empty(), "nothing changes in {}", fixture.path);
                    format!("{}\n{}", $rule, lines.join("\n"))
                });
            }
        )*
        pub(crate) const TESTS: &[Test] = tests![$($test),*];

        /// The snapshots of these tests.
        pub(crate) const SNAPSHOTS: Snapshots = &[$((stringify!($test), &[$($fixture),*])),*];
    };
}

rules! {
    keep_shows_a_field_of_a_hidden_class: DASHBOARD, "{on: ContainerInspect, keep: $.HostConfig.LogConfig.Type}",
        ["docker-20.10/v1.41/container_inspect.json", "docker-28.5/v1.51/container_inspect.splunk.json", "podman-5.8/v1.44/container_inspect.json"];
    keep_shows_elements_that_an_expression_chooses: DASHBOARD, "{on: ContainerInspect, keep: \"$.Config.Env[?match(@, 'PATH=.*')]\"}",
        ["docker-20.10/v1.41/container_inspect.json", "docker-29/v1.55/container_inspect.json", "podman-4.3/v1.41/container_inspect.json"];
    blank_puts_the_zero_of_each_type: ALL_SHOWN, "{on: ContainerInspect, blank: \"$.State.*\"}",
        ["docker-20.10/v1.24/container_inspect.json", "docker-29/v1.55/container_inspect.json", "podman-5.8/v1.44/container_inspect.json"];
    blank_empties_objects_and_arrays: ALL_SHOWN, "{on: ContainerInspect, blank: \"$.HostConfig['Binds', 'LogConfig', 'PortBindings']\"}",
        ["docker-28.5/v1.44/container_inspect.json", "podman-4.3/v1.41/container_inspect.json"];
    remove_takes_elements_away: ALL_SHOWN, "{on: ContainerInspect, remove: \"$.Mounts[?@.Type == 'volume']\"}",
        ["docker-20.10/v1.41/container_inspect.json", "docker-28.5/v1.51/container_inspect.json", "podman-5.8/v1.44/container_inspect.json"];
    remove_takes_members_away_at_any_depth: ALL_SHOWN, "{on: ContainerInspect, remove: \"$..IPAddress\"}",
        ["docker-26.1/v1.45/container_inspect.json", "docker-29/v1.55/container_inspect.json"];
    redact_puts_a_text: ALL_SHOWN, "{on: ContainerInspect, redact: \"$.Args[*]\"}",
        ["docker-20.10/v1.24/container_inspect.json", "docker-28.5/v1.51/container_inspect.json", "podman-4.3/v1.41/container_inspect.json"];
    redact_reaches_every_element_of_a_list: ALL_SHOWN, "{on: ImageSummary, redact: $.Id}",
        ["docker-20.10/v1.41/image_list.json", "docker-29/v1.55/image_list.manifests.json", "podman-5.8/v1.24/image_list.manifests.json"];
    mask_keeps_the_names_of_variables: ALL_SHOWN, "{on: ContainerInspect, mask: \"$.Config.Env[*]\"}",
        ["docker-20.10/v1.41/container_inspect.inherit.json", "docker-28.5/v1.51/container_inspect.user.json", "podman-4.3/v1.41/container_inspect.user.json"];
    hash_tells_equal_values: ALL_SHOWN, "{on: ContainerInspect, hash: \"$.Mounts[*]['Type', 'RW']\"}",
        ["docker-28.5/v1.51/container_inspect.json", "podman-5.8/v1.44/container_inspect.json"];
    replace_puts_a_value: ALL_SHOWN, "{on: ContainerInspect, replace: \"$.HostConfig.Binds[*]\", with: '{\"a\": [1, null]}'}",
        ["docker-28.5/v1.51/container_inspect.json", "docker-29/v1.40/container_inspect.json"];
    replace_puts_a_text: ALL_SHOWN, "{on: SystemInfo, replace: $.Name, with: somewhere}",
        ["docker-20.10/v1.24/system_info.json", "docker-29/v1.52/system_info.json", "podman-4.3/v1.24/system_info.json"];
}
