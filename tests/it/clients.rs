//! Replays the requests of the clients that have a profile. What a client reads arrives as the engine sent it, and what it
//! does not need is denied. `docs/clients.md` states how many secrets each of them got before and gets now.
//!
//! The comment of each profile states what its client requests and reads, and in which release. `tests/engine/profiles.rs`
//! runs the clients themselves, if they can be installed.

use std::collections::BTreeSet;
use std::fmt::Write;

use dockveil::schema::Class;
use jsonpath_rust::JsonPath;
use serde_json::{Value, json};

use crate::harness::{Test, tests};
use crate::support::built_in::{is_for_one_client, plan, policy, profiles};
use crate::support::canary;
use crate::support::client::{self, closing_get, status};
use crate::support::fixture;
use crate::support::stage::Stage;

pub(crate) const TESTS: &[Test] = tests![
    each_client_reads_what_it_needs,
    what_a_client_does_not_need_is_denied,
    every_client_profile_is_replayed,
    events_say_what_happened_to_which_container,
    a_hidden_image_id_is_still_a_key,
    variables_are_an_array_with_only_those_that_a_profile_names,
    glances_gets_a_command_with_one_redacted_word,
    autoheal_restarts_and_does_nothing_else,
    in_place_of_another_proxy_clients_find_their_labels_without_passwords_and_commands,
    the_table_of_clients_states_how_many_secrets_are_left
];

/// The recordings that answer: the newest version of one engine.
const ENGINE: &str = "docker-28.5";
const VERSION: &str = "v1.51";

/// Classes whose canaries are secrets. The canaries of the others are names and addresses, which clients exist to see.
const SECRET: [Class; 4] = [Class::Secret, Class::Command, Class::FreeText, Class::HostPath];

/// What one client requests and reads.
struct Usage {
    /// Its profile.
    profile: &'static str,
    /// Its requests.
    asks: &'static [Ask],
    /// Requests that the profile denies although the client can send them, as `METHOD target`.
    denied: &'static [&'static str],
}

/// One request, the recording that answers it, and the paths of the fields that the client reads in the answer.
struct Ask(&'static str, &'static str, &'static [&'static str]);

/// How Python and Rust clients negotiate a version. Those in Go read it from the ping.
const NEGOTIATED: Ask = Ask("/version", "system_version", &["$.ApiVersion", "$.MinAPIVersion"]);
/// What a monitor reads of a sample of statistics.
const SAMPLE: &[&str] = &[
    "$.read",
    "$.cpu_stats.cpu_usage.total_usage",
    "$.cpu_stats.system_cpu_usage",
    "$.precpu_stats.cpu_usage.total_usage",
    "$.memory_stats.usage",
    "$.memory_stats.limit",
    "$.memory_stats.stats",
    "$.networks.*.rx_bytes",
    "$.networks.*.tx_bytes",
];

const CLIENTS: &[Usage] = &[
    Usage {
        profile: "autoheal",
        asks: &[Ask(
            "/containers/json?filters=%7B%22health%22:%5B%22unhealthy%22%5D,%22label%22:%5B%22autoheal=true%22%5D%7D",
            "container_list",
            &["$[*].Id", "$[*].Names", "$[*].State"],
        )],
        denied: &["POST /containers/web/stop", "POST /containers/web/kill", "GET /containers/web/json"],
    },
    Usage {
        profile: "beszel",
        asks: &[
            Ask("/version", "system_version", &["$.Version", "$.ApiVersion"]),
            Ask("/info", "system_info", &["$.OperatingSystem", "$.KernelVersion", "$.NCPU", "$.MemTotal"]),
            Ask(
                "/containers/json",
                "container_list",
                &["$[*].Id", "$[*].Names", "$[*].Status", "$[*].State", "$[*].Image", "$[*].Ports[*].PublicPort"],
            ),
            Ask("/containers/3b7082c7fbc8/stats?stream=0&one-shot=1", "container_stats", SAMPLE),
            Ask("/containers/web/json", "container_inspect", &["$.Id", "$.Name", "$.State.Health.Status"]),
        ],
        denied: &["GET /containers/web/logs?stdout=1&stderr=1&tail=200"],
    },
    Usage {
        profile: "caddy",
        asks: &[
            Ask("/v1.51/info", "system_info", &["$.Swarm.LocalNodeState", "$.Swarm.ControlAvailable"]),
            Ask(
                "/v1.51/containers/json",
                "container_list",
                &["$[*].Id", "$[*].Names", "$[*].State", "$[*].NetworkSettings.Networks.*.IPAddress"],
            ),
            Ask("/v1.51/containers/web/json", "container_inspect", &["$.NetworkSettings.Networks.*.NetworkID"]),
            Ask("/v1.51/networks", "network_list", &["$[*].Id", "$[*].Name", "$[*].Ingress"]),
            Ask("/v1.51/networks/x", "network_inspect", &["$.Id", "$.Name", "$.Ingress"]),
            Ask("/v1.51/services", "service_list", &["$[*].Spec.Name", "$[*].Endpoint.VirtualIPs"]),
            Ask(
                "/v1.51/tasks?filters=%7B%22service%22:%7B%22x%22:true%7D%7D",
                "task_list",
                &["$[*].ServiceID", "$[*].Status.State", "$[*].NetworksAttachments[*].Addresses"],
            ),
        ],
        denied: &["GET /v1.51/configs", "GET /v1.51/configs/x"],
    },
    Usage {
        profile: "cadvisor",
        asks: &[
            NEGOTIATED,
            Ask("/v1.51/info", "system_info", &["$.Driver", "$.DriverStatus", "$.DockerRootDir", "$.KernelVersion"]),
            Ask("/v1.51/images/json", "image_list", &["$[*].Id", "$[*].RepoTags", "$[*].Size", "$[*].Created"]),
            Ask(
                "/v1.51/containers/web/json",
                "container_inspect",
                &[
                    "$.Name",
                    "$.Created",
                    "$.Config.Image",
                    "$.State.Pid",
                    "$.State.StartedAt",
                    "$.State.Running",
                    "$.RestartCount",
                    "$.HostConfig.NetworkMode",
                    "$.NetworkSettings.IPAddress",
                    "$.GraphDriver.Name",
                ],
            ),
        ],
        denied: &["GET /v1.51/containers/json"],
    },
    Usage {
        profile: "datadog",
        asks: &[
            Ask("/v1.51/info", "system_info", &["$.Name", "$.Driver", "$.Swarm.LocalNodeState", "$.ServerVersion"]),
            Ask("/v1.51/containers/json", "container_list", &["$[*].Id", "$[*].Names", "$[*].Image", "$[*].State"]),
            Ask(
                "/v1.51/containers/web/json",
                "container_inspect",
                &[
                    "$.Id",
                    "$.Name",
                    "$.Image",
                    "$.Created",
                    "$.State.Running",
                    "$.State.Status",
                    "$.State.Pid",
                    "$.State.StartedAt",
                    "$.Config.Image",
                    "$.Config.Hostname",
                    "$.Config.Labels['com.docker.compose.service']",
                    "$.NetworkSettings.Ports",
                    "$.NetworkSettings.Networks.*.IPAddress",
                ],
            ),
            Ask("/v1.51/images/json?all=1", "image_list", &["$[*].Id", "$[*].RepoTags", "$[*].RepoDigests"]),
            Ask("/v1.51/images/x/json", "image_inspect", &["$.Id", "$.RepoTags", "$.Os", "$.Architecture", "$.Size"]),
            Ask(
                "/v1.51/volumes?filters=%7B%22dangling%22:%7B%22true%22:true%7D%7D",
                "volume_list",
                &["$.Volumes[*].Name"],
            ),
            Ask("/v1.51/containers/web/stats?stream=0&one-shot=1", "container_stats", SAMPLE),
        ],
        denied: &["GET /v1.51/images/x/history", "GET /v1.51/containers/web/logs?stdout=1"],
    },
    Usage {
        profile: "diun",
        asks: &[
            NEGOTIATED,
            Ask(
                "/v1.51/containers/json?filters=%7B%22status%22:%7B%22running%22:true%7D%7D",
                "container_list",
                &["$[*].Id", "$[*].Image", "$[*].ImageID", "$[*].Status", "$[*].Labels['diun.enable']"],
            ),
            Ask("/v1.51/images/x/json", "image_inspect", &["$.RepoTags", "$.RepoDigests", "$.Os", "$.Architecture"]),
            Ask(
                "/v1.51/services",
                "service_list",
                &["$[*].ID", "$[*].Spec.Name", "$[*].Spec.TaskTemplate.ContainerSpec.Image"],
            ),
        ],
        denied: &["GET /v1.51/containers/web/json"],
    },
    Usage {
        profile: "docker-cli",
        asks: &[
            NEGOTIATED,
            Ask("/v1.51/info", "system_info", &["$.ServerVersion", "$.OperatingSystem", "$.NCPU", "$.Driver"]),
            Ask(
                "/v1.51/containers/json",
                "container_list",
                &["$[*].Id", "$[*].Names", "$[*].Image", "$[*].Status", "$[*].Ports", "$[*].Created"],
            ),
            Ask(
                "/v1.51/containers/web/json",
                "container_inspect",
                &["$.Id", "$.Name", "$.Config.Tty", "$.Config.OpenStdin", "$.NetworkSettings.Ports", "$.State.Running"],
            ),
            Ask("/v1.51/containers/web/top", "container_top.aux", &["$.Titles"]),
            Ask("/v1.51/containers/web/stats?stream=0", "container_stats", SAMPLE),
            Ask(
                "/v1.51/system/df",
                "system_data_usage",
                &["$.LayersSize", "$.Images[*].Size", "$.Volumes[*].UsageData"],
            ),
            Ask("/v1.51/images/json", "image_list", &["$[*].Id", "$[*].RepoTags", "$[*].Size"]),
            Ask("/v1.51/volumes", "volume_list", &["$.Volumes[*].Name"]),
            Ask("/v1.51/networks", "network_list", &["$[*].Id", "$[*].Name", "$[*].Scope"]),
        ],
        denied: &[
            "POST /v1.51/containers/create",
            "POST /v1.51/containers/web/exec",
            "POST /v1.51/containers/web/attach",
            "GET /v1.51/containers/web/top?ps_args=aux",
            "GET /v1.51/containers/web/archive?path=/etc/passwd",
            "GET /v1.51/containers/web/export",
        ],
    },
    Usage {
        profile: "dozzle",
        asks: &[
            NEGOTIATED,
            Ask(
                "/v1.51/info",
                "system_info",
                &["$.ID", "$.Name", "$.NCPU", "$.MemTotal", "$.ServerVersion", "$.Swarm.NodeID"],
            ),
            Ask(
                "/v1.51/containers/json?all=1",
                "container_list",
                &[
                    "$[*].Id",
                    "$[*].Names",
                    "$[*].Image",
                    "$[*].Created",
                    "$[*].State",
                    "$[*].Labels['dev.dozzle.group']",
                ],
            ),
            Ask(
                "/v1.51/containers/web/json",
                "container_inspect",
                &[
                    "$.Config.Image",
                    "$.Config.Tty",
                    "$.Config.Labels['com.docker.compose.service']",
                    "$.State.Status",
                    "$.State.StartedAt",
                    "$.State.FinishedAt",
                    "$.State.Health.Status",
                    "$.HostConfig.Memory",
                    "$.HostConfig.NanoCpus",
                    "$.HostConfig.PortBindings",
                    "$.HostConfig.RestartPolicy.Name",
                ],
            ),
        ],
        denied: &[
            "POST /v1.51/containers/web/restart",
            "POST /v1.51/containers/web/exec",
            "POST /v1.51/containers/create",
        ],
    },
    Usage {
        profile: "glances",
        asks: &[
            NEGOTIATED,
            Ask(
                "/v1.51/containers/json?limit=-1&all=0&size=0&trunc_cmd=0",
                "container_list",
                &["$[*].Id", "$[*].Names"],
            ),
            Ask(
                "/v1.51/containers/web/json",
                "container_inspect",
                &[
                    "$.Id",
                    "$.Name",
                    "$.Image",
                    "$.State.Status",
                    "$.State.StartedAt",
                    "$.Created",
                    "$.NetworkSettings.Ports",
                ],
            ),
            Ask("/v1.51/images/x/json", "image_inspect", &["$.Id", "$.RepoTags"]),
        ],
        denied: &["GET /v1.51/containers/web/logs?stdout=1"],
    },
    Usage {
        profile: "homarr",
        asks: &[
            Ask(
                "/containers/json?all=true",
                "container_list",
                &["$[*].Id", "$[*].Names", "$[*].Image", "$[*].State", "$[*].Ports", "$[*].Labels['homepage.name']"],
            ),
            Ask("/containers/x/stats?stream=false&one-shot=true", "container_stats", SAMPLE),
        ],
        denied: &["POST /containers/x/restart", "DELETE /containers/x", "GET /containers/x/json"],
    },
    Usage {
        profile: "homepage",
        asks: &[
            Ask(
                "/containers/json?all=true",
                "container_list",
                &["$[*].Id", "$[*].Names", "$[*].Labels['homepage.name']", "$[*].Labels['homepage.widget.key']"],
            ),
            Ask("/containers/x/json", "container_inspect", &["$.State.Status", "$.State.Health.Status"]),
            Ask("/containers/x/stats?stream=false", "container_stats", SAMPLE),
            Ask("/services", "service_list", &["$[*].ID", "$[*].Spec.Name"]),
            Ask("/services/x", "service_inspect", &["$.Spec.Mode"]),
            Ask(
                "/tasks?filters=%7B%22service%22:%5B%22x%22%5D,%22desired-state%22:%5B%22running%22%5D%7D",
                "task_list",
                &["$[*].Status.ContainerStatus.ContainerID", "$[*].Status.State"],
            ),
        ],
        denied: &["GET /containers/x/logs?stdout=1"],
    },
    Usage {
        profile: "mcp",
        asks: &[
            NEGOTIATED,
            Ask(
                "/v1.51/containers/json?limit=-1&all=1&size=0&trunc_cmd=0",
                "container_list",
                &["$[*].Id", "$[*].Names"],
            ),
            Ask(
                "/v1.51/containers/x/json",
                "container_inspect",
                &["$.Id", "$.Name", "$.Image", "$.State.Status", "$.State.Health.Status", "$.NetworkSettings.Ports"],
            ),
            Ask("/v1.51/images/x/json", "image_inspect", &["$.Id", "$.RepoTags"]),
            Ask("/v1.51/images/json?only_ids=0&all=0", "image_list", &["$[*].Id", "$[*].RepoTags"]),
            Ask("/v1.51/volumes", "volume_list", &["$.Volumes[*].Name"]),
            Ask("/v1.51/networks", "network_list", &["$[*].Id", "$[*].Name"]),
            Ask("/v1.51/containers/x/stats?stream=0", "container_stats", SAMPLE),
        ],
        denied: &[
            "GET /v1.51/containers/x/logs?stdout=1&stderr=1&tail=100",
            "GET /v1.51/containers/x/top",
            "POST /v1.51/containers/create",
            "POST /v1.51/containers/x/start",
            "POST /v1.51/images/create?fromImage=x",
        ],
    },
    Usage {
        profile: "netdata",
        asks: &[
            Ask(
                "/v1.51/info",
                "system_info",
                &["$.Containers", "$.ContainersRunning", "$.ContainersPaused", "$.Images"],
            ),
            Ask("/v1.51/images/json", "image_list", &["$[*].Size", "$[*].Containers"]),
            Ask(
                "/v1.51/containers/json?all=1&size=1&filters=%7B%22health%22:%7B%22healthy%22:true%7D%7D",
                "container_list",
                &["$[*].Names", "$[*].Image", "$[*].State", "$[*].SizeRw"],
            ),
            Ask("/containers/x/json", "container_inspect", &["$.Name"]),
        ],
        denied: &["GET /v1.51/containers/x/stats?stream=0"],
    },
    Usage {
        profile: "nginx-proxy",
        asks: &[
            NEGOTIATED,
            Ask("/v1.51/info", "system_info", &["$.Containers"]),
            Ask("/v1.51/containers/json?all=1", "container_list", &["$[*].Id"]),
            Ask("/v1.51/networks", "network_list", &["$[*].Name", "$[*].Internal"]),
            Ask(
                "/v1.51/containers/web/json",
                "container_inspect",
                &[
                    "$.Id",
                    "$.Name",
                    "$.Created",
                    "$.Config.Image",
                    "$.Config.Hostname",
                    "$.State.Running",
                    "$.State.Health.Status",
                    "$.HostConfig.NetworkMode",
                    "$.NetworkSettings.Ports",
                    "$.NetworkSettings.Gateway",
                    "$.NetworkSettings.IPAddress",
                    "$.NetworkSettings.Networks.*.IPAddress",
                    "$.NetworkSettings.Networks.*.Gateway",
                ],
            ),
        ],
        denied: &["POST /v1.51/containers/web/kill?signal=HUP", "POST /v1.51/containers/web/restart?t=10"],
    },
    Usage {
        profile: "portainer",
        asks: &[
            NEGOTIATED,
            Ask("/v1.51/info", "system_info", &["$.ServerVersion", "$.NCPU", "$.MemTotal", "$.Swarm.LocalNodeState"]),
            Ask(
                "/v1.51/containers/json?all=1",
                "container_list",
                &["$[*].Id", "$[*].Names", "$[*].State", "$[*].Status", "$[*].Ports", "$[*].Image"],
            ),
            Ask(
                "/v1.51/containers/x/json",
                "container_inspect",
                &[
                    "$.Id",
                    "$.Name",
                    "$.State.Status",
                    "$.Config.Labels['com.docker.compose.project']",
                    "$.NetworkSettings.Ports",
                ],
            ),
            Ask("/v1.51/images/json", "image_list", &["$[*].Id", "$[*].RepoTags", "$[*].Size"]),
            Ask("/v1.51/volumes", "volume_list", &["$.Volumes[*].Name", "$.Volumes[*].CreatedAt"]),
            Ask("/v1.51/networks", "network_list", &["$[*].Id", "$[*].Name", "$[*].IPAM.Config[*].Subnet"]),
            Ask("/v1.51/nodes", "node_list", &["$[*].Description.Hostname", "$[*].Spec.Role", "$[*].Status.State"]),
            Ask("/v1.51/services", "service_list", &["$[*].Spec.Name", "$[*].Spec.Mode", "$[*].Endpoint.Ports"]),
            Ask(
                "/v1.51/tasks",
                "task_list",
                &["$[*].ServiceID", "$[*].NodeID", "$[*].Status.State", "$[*].DesiredState"],
            ),
        ],
        denied: &[
            "POST /v1.51/containers/create",
            "POST /v1.51/containers/x/start",
            "DELETE /v1.51/containers/x",
            "POST /v1.51/containers/x/exec",
            "GET /v1.51/secrets",
            "GET /v1.51/swarm",
        ],
    },
    Usage {
        profile: "prometheus",
        asks: &[
            Ask(
                "/v1.51/containers/json",
                "container_list",
                &[
                    "$[*].Id",
                    "$[*].Names",
                    "$[*].Ports",
                    "$[*].Labels['com.docker.compose.service']",
                    "$[*].HostConfig.NetworkMode",
                    "$[*].NetworkSettings.Networks.*.NetworkID",
                    "$[*].NetworkSettings.Networks.*.IPAddress",
                ],
            ),
            Ask(
                "/v1.51/networks",
                "network_list",
                &["$[*].Id", "$[*].Name", "$[*].Scope", "$[*].Internal", "$[*].Ingress"],
            ),
        ],
        denied: &["GET /v1.51/containers/web/json"],
    },
    Usage {
        profile: "prometheus-swarm",
        asks: &[
            Ask(
                "/v1.51/services",
                "service_list",
                &["$[*].ID", "$[*].Spec.Name", "$[*].Spec.Mode", "$[*].Endpoint.Ports", "$[*].Endpoint.VirtualIPs"],
            ),
            Ask(
                "/v1.51/tasks",
                "task_list",
                &[
                    "$[*].ID",
                    "$[*].ServiceID",
                    "$[*].NodeID",
                    "$[*].Slot",
                    "$[*].DesiredState",
                    "$[*].Status.State",
                    "$[*].Status.ContainerStatus.ContainerID",
                    "$[*].NetworksAttachments[*].Addresses",
                    "$[*].NetworksAttachments[*].Network.ID",
                ],
            ),
            Ask(
                "/v1.51/nodes",
                "node_list",
                &[
                    "$[*].ID",
                    "$[*].Spec.Role",
                    "$[*].Spec.Availability",
                    "$[*].Description.Hostname",
                    "$[*].Description.Platform",
                    "$[*].Description.Engine.EngineVersion",
                    "$[*].Status.State",
                    "$[*].Status.Addr",
                    "$[*].ManagerStatus",
                ],
            ),
            Ask("/v1.51/networks", "network_list", &["$[*].Id", "$[*].Name", "$[*].Scope"]),
        ],
        denied: &["GET /v1.51/swarm"],
    },
    Usage {
        profile: "promtail",
        asks: &[
            Ask(
                "/v1.51/containers/json",
                "container_list",
                &["$[*].Id", "$[*].Names", "$[*].Ports", "$[*].NetworkSettings.Networks.*.IPAddress"],
            ),
            Ask("/v1.51/networks", "network_list", &["$[*].Id", "$[*].Name"]),
            Ask(
                "/v1.51/containers/web/json",
                "container_inspect",
                &["$.Config.Tty", "$.State.Running", "$.State.FinishedAt"],
            ),
        ],
        denied: &["POST /v1.51/containers/web/exec"],
    },
    Usage {
        profile: "telegraf",
        asks: &[
            Ask(
                "/v1.51/info",
                "system_info",
                &["$.Name", "$.ServerVersion", "$.NCPU", "$.MemTotal", "$.NFd", "$.Containers"],
            ),
            Ask(
                "/v1.51/containers/json?filters=%7B%22status%22:%7B%22running%22:true%7D%7D",
                "container_list",
                &["$[*].Id", "$[*].Names", "$[*].Image", "$[*].State"],
            ),
            Ask(
                "/v1.51/containers/x/json",
                "container_inspect",
                &[
                    "$.State.Status",
                    "$.State.OOMKilled",
                    "$.State.ExitCode",
                    "$.State.StartedAt",
                    "$.State.Health.Status",
                    "$.RestartCount",
                ],
            ),
            Ask("/v1.51/containers/x/stats?stream=0", "container_stats", SAMPLE),
            Ask(
                "/v1.51/system/df",
                "system_data_usage",
                &["$.LayersSize", "$.Images[*].Size", "$.Containers[*].SizeRootFs"],
            ),
            Ask("/v1.51/services", "service_list", &["$[*].ID", "$[*].Spec.Name", "$[*].Spec.Mode"]),
            Ask("/v1.51/tasks", "task_list", &["$[*].ServiceID", "$[*].DesiredState", "$[*].Status.State"]),
            Ask("/v1.51/nodes", "node_list", &["$[*].ID", "$[*].Status.State"]),
        ],
        denied: &["GET /v1.51/containers/x/logs?follow=1&stdout=1&timestamps=1"],
    },
    Usage {
        profile: "traefik",
        asks: &[
            NEGOTIATED,
            Ask("/v1.51/containers/json?all=1", "container_list", &["$[*].Id"]),
            Ask(
                "/v1.51/containers/web/json",
                "container_inspect",
                &[
                    "$.Id",
                    "$.Name",
                    "$.State.Status",
                    "$.State.Health.Status",
                    "$.HostConfig.NetworkMode",
                    "$.NetworkSettings.Ports",
                    "$.NetworkSettings.Networks.*.NetworkID",
                    "$.NetworkSettings.Networks.*.IPAddress",
                    "$.NetworkSettings.Networks.*.GlobalIPv6Address",
                    "$.Config.Labels['traefik.enable']",
                    "$.Config.Labels['traefik.http.routers.web.rule']",
                    "$.Config.Labels['traefik.http.middlewares.auth.basicauth.users']",
                    "$.Config.Labels['com.docker.compose.service']",
                ],
            ),
        ],
        denied: &["GET /v1.51/info", "GET /v1.51/networks"],
    },
    Usage {
        profile: "traefik-swarm",
        asks: &[
            NEGOTIATED,
            Ask(
                "/v1.51/services",
                "service_list",
                &[
                    "$[*].ID",
                    "$[*].Spec.Name",
                    "$[*].Spec.Mode",
                    "$[*].Spec.EndpointSpec.Mode",
                    "$[*].Spec.Labels['traefik.enable']",
                    "$[*].Endpoint.VirtualIPs",
                ],
            ),
            Ask(
                "/v1.51/networks?filters=%7B%22scope%22:%7B%22swarm%22:true%7D%7D",
                "network_list",
                &["$[*].Id", "$[*].Name"],
            ),
            Ask(
                "/v1.51/tasks?filters=%7B%22desired-state%22:%7B%22running%22:true%7D,%22service%22:%7B%22x%22:true%7D%7D",
                "task_list",
                &[
                    "$[*].ID",
                    "$[*].NodeID",
                    "$[*].Slot",
                    "$[*].Status.State",
                    "$[*].NetworksAttachments[*].Network.ID",
                    "$[*].NetworksAttachments[*].Addresses",
                ],
            ),
            Ask("/v1.51/nodes/zm8rht3v3zih7dq0ookh65zpn", "node_inspect", &["$.Status.Addr"]),
        ],
        denied: &["GET /v1.51/containers/json", "GET /v1.51/secrets", "GET /v1.51/configs"],
    },
    Usage {
        profile: "uptime-kuma",
        asks: &[
            // Its connection test looks only for the key.
            Ask("/containers/json?all=true", "container_list", &["$[*].State"]),
            Ask(
                "/containers/canary-web/json",
                "container_inspect",
                &["$.State.Running", "$.State.Paused", "$.State.Restarting", "$.State.Status", "$.State.Health.Status"],
            ),
        ],
        denied: &["GET /info", "GET /containers/web/logs?stdout=1"],
    },
    Usage {
        profile: "watchtower",
        asks: &[
            Ask(
                "/v1.51/containers/json?filters=%7B%22status%22:%7B%22running%22:true%7D%7D",
                "container_list",
                &["$[*].Id", "$[*].Names"],
            ),
            Ask(
                "/v1.51/containers/x/json",
                "container_inspect",
                &[
                    "$.Id",
                    "$.Name",
                    "$.Image",
                    "$.Config.Image",
                    "$.Config.Labels['com.centurylinklabs.watchtower.enable']",
                    "$.State.Running",
                    "$.HostConfig.NetworkMode",
                ],
            ),
            Ask("/v1.51/images/x/json", "image_inspect", &["$.Id", "$.RepoTags", "$.RepoDigests"]),
        ],
        denied: &[
            "POST /v1.51/containers/x/stop",
            "DELETE /v1.51/containers/x",
            "POST /v1.51/containers/create?name=x",
            "POST /v1.51/containers/x/rename?name=y",
            "POST /v1.51/containers/x/exec",
        ],
    },
    Usage {
        profile: "whats-up-docker",
        asks: &[
            Ask("/containers/json?all=true", "container_list", &["$[*].Id", "$[*].Names", "$[*].Image", "$[*].State"]),
            Ask(
                "/images/x/json",
                "image_inspect",
                &["$.Id", "$.RepoTags", "$.RepoDigests", "$.Architecture", "$.Os", "$.Created"],
            ),
            Ask("/containers/x/json", "container_inspect", &["$.Id", "$.State.Status"]),
        ],
        denied: &["POST /containers/create?name=x", "POST /containers/x/stop", "POST /images/create?fromImage=x"],
    },
    Usage {
        profile: "zabbix",
        asks: &[
            Ask(
                "/info",
                "system_info",
                &[
                    "$.Name",
                    "$.Containers",
                    "$.ContainersPaused",
                    "$.Images",
                    "$.NFd",
                    "$.NGoroutines",
                    "$.NCPU",
                    "$.MemTotal",
                    "$.ServerVersion",
                    "$.KernelVersion",
                    "$.Driver",
                    "$.LoggingDriver",
                    "$.CgroupDriver",
                    "$.MemoryLimit",
                    "$.PidsLimit",
                    "$.LiveRestoreEnabled",
                ],
            ),
            Ask("/containers/json?all=true", "container_list", &["$[*].Id", "$[*].Names", "$[*].Image", "$[*].State"]),
            Ask("/images/json", "image_list", &["$[*].Id", "$[*].RepoTags", "$[*].Created", "$[*].Size"]),
            Ask(
                "/containers/web/json",
                "container_inspect",
                &[
                    "$.Id",
                    "$.Name",
                    "$.Created",
                    "$.Image",
                    "$.RestartCount",
                    "$.State.Status",
                    "$.State.ExitCode",
                    "$.State.StartedAt",
                    "$.State.FinishedAt",
                    "$.State.Health.Status",
                ],
            ),
            Ask("/containers/web/stats?stream=false", "container_stats", SAMPLE),
            Ask(
                "/system/df",
                "system_data_usage",
                &["$.LayersSize", "$.Images[*].Size", "$.Containers[*].SizeRootFs", "$.Volumes[*].UsageData.Size"],
            ),
        ],
        denied: &["GET /version", "GET /containers/web/logs?stdout=1", "POST /containers/web/restart"],
    },
];

/// The program with the profile of a client.
fn stage(profile: &str) -> Stage {
    Stage::new(policy(profile))
}

/// The body that a client gets when the engine answers with `body`.
#[track_caller]
fn ask(stage: &Stage, target: &str, body: &str) -> String {
    stage.answer("200 OK\r\nApi-Version: 1.51", body.as_bytes());
    // This direction stays open: a client that ends it has stopped listening to events.
    let mut client = stage.bench.client();
    client.send(closing_get(target));
    let answer = client.rest();
    assert_eq!(status(&answer), 200, "GET {target}: {answer}");
    let (body, is_whole) = client::body(&answer);
    assert!(is_whole, "GET {target}: {answer}");
    body
}

/// The recorded answer to an operation.
fn recorded(operation: &str) -> String {
    let path = fixture::root().join(ENGINE).join(VERSION).join(format!("{operation}.json"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The canaries in a text that are secrets.
fn secrets(text: &str) -> BTreeSet<String> {
    let found = canary::found(ENGINE, text).into_iter();
    found.filter(|canary| SECRET.contains(&canary.class)).map(|canary| canary.token.clone()).collect()
}

fn each_client_reads_what_it_needs() {
    for client in CLIENTS {
        let stage = stage(client.profile);
        for Ask(target, operation, reads) in client.asks {
            let sent = recorded(operation);
            let before: Value = serde_json::from_str(&sent).unwrap();
            let after: Value = serde_json::from_str(&ask(&stage, target, &sent)).unwrap();
            for path in *reads {
                let (before, after) = (before.query(path).unwrap(), after.query(path).unwrap());
                assert!(!before.is_empty(), "{}: {operation} has no {path}", client.profile);
                assert_eq!(after, before, "{}: {path} of GET {target}", client.profile);
            }
        }
    }
}

fn what_a_client_does_not_need_is_denied() {
    for client in CLIENTS {
        let stage = stage(client.profile);
        for request in client.denied {
            let answer = stage.bench.ask(format!("{request} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n"));
            assert_eq!(status(&answer), 403, "{} {request}: {answer}", client.profile);
        }
        assert_eq!(stage.bench.daemon.requests(), [""; 0], "{}", client.profile);
    }
}

fn every_client_profile_is_replayed() {
    let clients = profiles().iter().filter(|profile| is_for_one_client(profile));
    let replayed: Vec<&str> = CLIENTS.iter().map(|client| client.profile).collect();
    assert_eq!(replayed, clients.map(|profile| profile.name.as_str()).collect::<Vec<_>>());
}

/// What a client acts on arrives, and no label that is not addressed to it.
fn events_say_what_happened_to_which_container() {
    let type_container = "filters=%7B%22type%22:%7B%22container%22:true%7D%7D";
    let since = "since=1&until=2";
    for (profile, query) in [
        ("caddy", type_container),
        ("datadog", since),
        ("docker-cli", since),
        ("dozzle", since),
        ("nginx-proxy", ""),
        ("portainer", since),
        ("traefik", type_container),
        ("whats-up-docker", type_container),
    ] {
        let path = fixture::root().join(ENGINE).join(VERSION).join("system_events.ndjson");
        let sent = std::fs::read_to_string(path).unwrap();
        let shown = ask(&stage(profile), &format!("/v1.51/events?{query}"), &sent);
        let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let of_containers = |event: &Value| event["Type"] == "container";
        let before: Vec<Value> = sent.lines().map(parse).filter(of_containers).collect();
        let after: Vec<Value> = shown.lines().map(parse).filter(of_containers).collect();
        assert!(before.len() >= 5 && after.len() == before.len(), "{profile}: {shown}");
        for (before, after) in before.iter().zip(&after) {
            for field in ["id", "Type", "time", "timeNano", "scope"] {
                assert_eq!(after[field], before[field], "{profile} {field}: {after}");
            }
            assert_eq!(after["Actor"]["ID"], before["Actor"]["ID"], "{profile}: {after}");
            for field in ["Action", "status"] {
                let (before, after) = (before[field].as_str().unwrap(), after[field].as_str().unwrap());
                let word = if before.starts_with("exec_") { before.split(':').next().unwrap() } else { before };
                assert_eq!(after, word, "{profile} {field}");
            }
        }
        let mut left = secrets(&shown);
        left.remove("canary_containerlabeltraefikbasicauth_37");
        assert!(!secrets(&sent).is_empty() && left.is_empty(), "{profile}: {left:?}");
    }
}

/// Uptime Kuma takes an answer for a list of containers if its first row has this key, whatever its value.
fn a_hidden_image_id_is_still_a_key() {
    let list: Value =
        serde_json::from_str(&ask(&stage("uptime-kuma"), "/containers/json", &recorded("container_list"))).unwrap();
    assert_eq!(list[0]["ImageID"], "");
    assert_eq!(list[0]["Names"], serde_json::json!([]));
}

/// Netdata's script fails on a `null` here; docker-gen reads variables by name.
fn variables_are_an_array_with_only_those_that_a_profile_names() {
    let inspect =
        r#"{"Id":"1","Name":"/web","Config":{"Env":["VIRTUAL_HOST=a.test","TOKEN=canary-env","NOMAD_JOB_NAME=j"]}}"#;
    for (profile, expected) in
        [("nginx-proxy", r#"["VIRTUAL_HOST=a.test"]"#), ("netdata", r#"["NOMAD_JOB_NAME=j"]"#), ("dozzle", "[]")]
    {
        let answer: Value = serde_json::from_str(&ask(&stage(profile), "/containers/web/json", inspect)).unwrap();
        assert_eq!(answer["Config"]["Env"].to_string(), expected, "{profile}");
    }
}

/// Glances joins the words of the command and fails if there are none.
fn glances_gets_a_command_with_one_redacted_word() {
    let inspect = r#"{"Id":"1","Config":{"Cmd":["sh","-c","canary-command"],"Entrypoint":["canary-entrypoint"]}}"#;
    let answer = ask(&stage("glances"), "/containers/web/json", inspect);
    assert_eq!(answer, r#"{"Id":"1","Config":{"Cmd":["[redacted]"],"Entrypoint":[]}}"#);
}

fn autoheal_restarts_and_does_nothing_else() {
    let stage = stage("autoheal");
    let answer = stage.bench.ask("POST /containers/web/restart?t=10 HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status(&answer), 200, "{answer}");
    let asked = stage.bench.daemon.requests();
    assert!(asked.len() == 1 && asked[0].starts_with("POST /v1.51/containers/web/restart?t=10 "), "{asked:?}");
}

/// Labels by which clients are configured, and whether they are shown in place of another socket proxy.
const LABELS: &[(&str, bool)] = &[
    ("com.getarcaneapp.arcane.icon", true),
    ("com.getarcaneapp.arcane.updater", true),
    ("crowdsec.enable", true),
    ("crowdsec.labels.type", true),
    ("dev.dozzle.name", true),
    ("dockhand.port.8080.url", true),
    ("dockhand.update", true),
    ("docker-volume-backup.archive-pre", false),
    ("docker-volume-backup.copy-post", false),
    ("docker-volume-backup.exec-label", true),
    ("docker-volume-backup.stop-during-backup", true),
    ("io.goauthentik.outpost-uuid", true),
    ("io.hass.type", true),
    ("ofelia.enabled", true),
    ("ofelia.job-exec.backup.command", false),
    ("ofelia.job-exec.backup.environment", false),
    ("ofelia.job-exec.backup.schedule", true),
    ("ofelia.job-run.backup.volume", false),
    ("ofelia.slack-webhook", false),
    ("ofelia.smtp-password", false),
    ("sablier.enable", true),
    ("sablier.group", true),
    ("supervisor_managed", true),
    ("tsdproxy.authkey", false),
    ("tsdproxy.authkeyfile", false),
    ("tsdproxy.dash.visible", true),
    ("tsdproxy.enable", true),
    ("tsdproxy.port.1", true),
];

/// In lists and inspections, for clients that create containers and for those that only look.
fn in_place_of_another_proxy_clients_find_their_labels_without_passwords_and_commands() {
    let labels: Value = LABELS.iter().map(|(name, _)| ((*name).to_owned(), Value::from("a"))).collect();
    for profile in ["drop-in", "drop-in-view"] {
        for (schema, pointer) in [("ContainerSummary", "/Labels"), ("ContainerInspect", "/Config/Labels")] {
            let document = json!({"Labels": labels, "Config": {"Labels": labels}}).to_string();
            let mut out = Vec::new();
            plan(profile, schema).apply(document.as_bytes(), &mut out).unwrap();
            let shown: Value = serde_json::from_slice(&out).unwrap();
            for (name, is_shown) in LABELS {
                let value = shown.pointer(pointer).unwrap().get(*name).and_then(Value::as_str);
                assert_eq!(value, is_shown.then_some("a"), "{profile} {schema} {name}");
            }
        }
    }
}

fn the_table_of_clients_states_how_many_secrets_are_left() {
    let table = include_str!("../../docs/clients.md");
    let (mut wrong, mut before_all, mut after_all) = (String::new(), 0, 0);
    for client in CLIENTS {
        let stage = stage(client.profile);
        let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
        for Ask(target, operation, _) in client.asks {
            let sent = recorded(operation);
            after.extend(secrets(&ask(&stage, target, &sent)));
            before.extend(secrets(&sent));
        }
        let end = format!("| {} → {} |", before.len(), after.len());
        let row = table.lines().find(|line| line.contains(&format!("| `{}` |", client.profile)));
        if !row.is_some_and(|row| row.ends_with(&end)) {
            writeln!(wrong, "{}: {row:?} should end in {end} {after:?}", client.profile).unwrap();
        }
        before_all += before.len();
        after_all += after.len();
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(before_all > 300 && after_all == 2, "{before_all} → {after_all}");
}
