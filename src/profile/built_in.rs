//! The built-in profiles.

/// Makes a list of files in `filters/profile` from their names, each as file name and text.
macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$((
            concat!("built-in:profile/", $name, ".yaml"),
            include_str!(concat!("../../filters/profile/", $name, ".yaml")),
        )),*]
    };
}

/// The built-in profile files, each as file name and text. A test compares this list with the folder.
pub(super) const FILES: &[(&str, &str)] = built_in![
    "dashboard",
    "dashboard-live",
    "discovery",
    "drop-in",
    "drop-in-view",
    "inventory",
    "monitoring",
    "read-only",
    "client/ansible",
    "client/arcane",
    "client/authentik",
    "client/autoheal",
    "client/beszel",
    "client/caddy",
    "client/cadvisor",
    "client/crowdsec",
    "client/ctop",
    "client/datadog",
    "client/diun",
    "client/docker-cli",
    "client/dockge",
    "client/dockhand",
    "client/dozzle",
    "client/glances",
    "client/homarr",
    "client/home-assistant",
    "client/homepage",
    "client/lazydocker",
    "client/mcp",
    "client/netdata",
    "client/nginx-proxy",
    "client/ofelia",
    "client/portainer",
    "client/prometheus",
    "client/prometheus-swarm",
    "client/promtail",
    "client/sablier",
    "client/systeminformation",
    "client/telegraf",
    "client/traefik",
    "client/traefik-swarm",
    "client/uptime-kuma",
    "client/watchtower",
    "client/whats-up-docker",
    "client/zabbix",
];
