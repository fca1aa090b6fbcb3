//! What a configuration exposes.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::exposure::{PolicyExposure, Remark, Remarks};
use super::json::location;
use super::layout::one_line;
use crate::api::ApiRange;
use crate::config::{
    ClientLimits, ClientRule, Config, ConnectionMemory, DocumentMemory, Expiry, Listener, ListenerLimits,
    Observability, is_loopback,
};
use crate::policy::Policy;
use crate::quoting;
use crate::socket::Address;

/// The same as a JSON document.
pub(super) fn to_json(config: &Config) -> Value {
    let listeners = config.listeners.iter().map(|listener| {
        let rules = listener.clients.iter().flat_map(|rules| rules.iter());
        let clients = rules.map(|rule| {
            json!({ "client": rule.selector.to_string(), "profile": rule.policy.name(), "at": location(&rule.location) })
        });
        let profile = listener.clients.is_none().then(|| listener.policy.name());
        let clients = listener.clients.is_some().then(|| clients.collect::<Vec<_>>());
        let mut remarks = about_access(listener);
        remarks.extend(about_expiries(&listener.expiries()));
        let [notes, warnings] = remarks.to_json();
        json!({
            "listen": listener.address.to_string(), "profile": profile, "clients": clients, "notes": notes,
            "warnings": warnings,
        })
    });
    let mut policies: Vec<&Arc<Policy>> = Vec::new();
    for policy in config.listeners.iter().flat_map(Listener::policies) {
        if !policies.iter().any(|known| Arc::ptr_eq(known, policy)) {
            policies.push(policy);
        }
    }
    let (api, observability) = (&config.api, &config.observability);
    let mut remarks = about_startup(config);
    let expiries = about_expiries(&config.expiries_of_engines());
    [about_memory(config), about_metrics(observability), expiries].into_iter().for_each(|all| remarks.extend(all));
    let [notes, warnings] = remarks.to_json();
    json!({
        "engine": config.upstream.to_string(),
        "metrics": observability.metrics.as_ref().map(ToString::to_string),
        "audit": observability.audit.as_ref().map(|file| quoting::path(file)),
        "memory": DocumentMemory::of(&config.limits).bytes,
        "api": { "min": api.min().to_string(), "max": api.max().to_string(), "pin": api.pin().map(|pin| pin.to_string()) },
        "notes": notes,
        "warnings": warnings,
        "listeners": listeners.collect::<Vec<_>>(),
        "profiles": policies.iter().map(|policy| PolicyExposure::of(policy).to_json()).collect::<Vec<_>>(),
    })
}

/// What the clients of each listener may request and see.
pub fn summary(config: &Config) -> String {
    let mut text = String::new();
    line(&mut text, format_args!("engine  {}", config.upstream));
    text.push_str(&about_expiries(&config.expiries_of_engines()).to_string());
    of_memory(&mut text, config);
    of_versions(&mut text, &config.api);
    of_observability(&mut text, &config.observability);
    for note in &config.startup.notes {
        note.lines().iter().for_each(|told| line(&mut text, format_args!("{told}")));
    }
    // Listeners that share a policy are one group.
    for listeners in config.listeners.chunk_by(|one, next| Arc::ptr_eq(&one.policy, &next.policy)) {
        text.push('\n');
        for listener in listeners {
            match &listener.clients {
                Some(rules) => of_rules(&mut text, listener, rules),
                None => {
                    line(&mut text, format_args!("listen  {}  profile {}", listener.address, listener.policy.name()))
                }
            }
        }
        let Some(first) = listeners.first() else { continue };
        if first.clients.is_none() {
            text.push_str(&PolicyExposure::of(&first.policy).to_string());
        }
        for listener in listeners {
            text.push_str(&about_access(listener).to_string());
            text.push_str(&about_expiries(&listener.expiries()).to_string());
        }
    }
    of_listed(&mut text, config);
    text.push('\n');
    text
}

/// The API versions that clients may use, if the configuration says so.
fn of_versions(text: &mut String, api: &ApiRange) {
    if *api != ApiRange::default() {
        let pin = api.pin().map(|pin| format!(", {pin} for requests that name none")).unwrap_or_default();
        line(text, format_args!("api     {} to {}{pin}", api.min(), api.max()));
    }
}

/// Where metrics are told, and the audit file.
fn of_observability(text: &mut String, observability: &Observability) {
    let Observability { metrics, audit, .. } = observability;
    if let Some(address) = metrics {
        line(text, format_args!("metrics {address}"));
    }
    text.push_str(&about_metrics(observability).to_string());
    if let Some(file) = audit {
        line(text, format_args!("audit   {}", quoting::path(file)));
    }
}

/// Who can read the metrics.
fn about_metrics(Observability { metrics, .. }: &Observability) -> Remarks {
    let mut remarks = Remarks::default();
    if let Some(address @ Address::Tcp { host, .. }) = metrics
        && !is_loopback(host)
    {
        remarks.note(format!("anyone who reaches {address} can read the metrics"));
    }
    remarks
}

/// How much memory documents may use, and connections.
fn of_memory(text: &mut String, config: &Config) {
    line(text, format_args!("memory  {}", DocumentMemory::of(&config.limits)));
    let of_connections = ConnectionMemory::of(config);
    if of_connections.is_of_group {
        line(text, format_args!("        {of_connections}"));
    }
    text.push_str(&about_memory(config).to_string());
}

/// What there is to know about the start.
fn about_startup(config: &Config) -> Remarks {
    let mut remarks = Remarks::default();
    for note in &config.startup.notes {
        if note.is_warning() { remarks.warn(note.text()) } else { remarks.note(note.text()) }
    }
    remarks
}

/// Whether the memory is enough for what the limits allow.
fn about_memory(config: &Config) -> Remarks {
    let (limits, of_connections) = (&config.limits, ConnectionMemory::of(config));
    let mut remarks = Remarks::default();
    let possible = of_connections.connections();
    if let Some(wanted) = limits.connections
        && wanted > possible
    {
        remarks.warn(format!(
            "`connections` is {wanted}, and there is memory for {possible}: {of_connections}; the program may be killed"
        ));
    }
    if DocumentMemory::of(limits).longest_document() < limits.element.bytes() {
        remarks
            .warn("a document of more than a third of the memory of documents is withheld, whatever `element` allows");
    }
    remarks
}

/// The notes and warnings of the summary, each with what it is about. The log tells those that a reload adds. Of what expires, the
/// server tells by itself.
pub(super) fn remarks(config: &Config) -> Vec<Remark> {
    let of_all = [about_startup(config), about_memory(config), about_metrics(&config.observability)];
    let mut found: Vec<Remark> = of_all.iter().flat_map(Remarks::iter).cloned().collect();
    for listener in &config.listeners {
        found.extend(about_access(listener).iter().cloned());
        for policy in listener.policies() {
            let exposure = PolicyExposure::of(policy);
            let (address, name) = (&listener.address, policy.name());
            let at_listener = |Remark { is_warning, text }: &Remark| Remark {
                is_warning: *is_warning,
                text: format!("{address} profile {name}: {text}"),
            };
            found.extend(exposure.remarks().iter().map(at_listener));
        }
    }
    found
}

/// The clients that a listener lists, in the order in which their lines are looked at.
fn of_rules(text: &mut String, listener: &Listener, rules: &[ClientRule]) {
    line(text, format_args!("listen  {}  its clients:", listener.address));
    for rule in rules {
        line(text, format_args!("  {rule}"));
    }
    line(text, format_args!("  all others are denied"));
}

/// The profiles of clients that listeners list, each once.
fn of_listed(text: &mut String, config: &Config) {
    let mut known: Vec<&Arc<Policy>> = Vec::new();
    for policy in config.listeners.iter().filter(|listener| listener.clients.is_some()).flat_map(Listener::policies) {
        if !known.iter().any(|known| Arc::ptr_eq(known, policy)) {
            known.push(policy);
            text.push('\n');
            line(text, format_args!("profile {}", policy.name()));
            text.push_str(&PolicyExposure::of(policy).to_string());
        }
    }
}

/// How a listener may be reached.
fn about_access(listener: &Listener) -> Remarks {
    let mut remarks = Remarks::default();
    let address = &listener.address;
    if !listener.hosts.is_empty() {
        remarks.note(format!("host names at {address}: {}", listener.hosts.join(", ")));
    }
    if let Some(engine) = &listener.upstream {
        remarks.note(format!("engine of {address}: {engine}"));
    }
    if let Some(connections) = listener.connections {
        remarks.note(format!("connections at {address}: {connections} at most"));
    }
    let ListenerLimits { streams, requests, per_client } = &listener.limits;
    if let Some(streams) = streams {
        remarks.note(format!("streams at {address}: {streams} at most"));
    }
    if let Some(requests) = requests {
        remarks.note(format!("requests at {address}: {requests} at most"));
    }
    if *per_client != ClientLimits::default() {
        remarks.note(format!("each client at {address}: {per_client}"));
    }
    if !listener.origins.is_empty() {
        remarks.note(format!("origins at {address}: {}", listener.origins.join(", ")));
    }
    let Address::Tcp { .. } = address else { return remarks };
    match &listener.clients {
        None if listener.is_open() && !listener.insecure => {
            let rest = "it is neither on loopback nor does it ask who they are (`insecure: true` silences this)";
            remarks.warn(format!("anyone who reaches {address} can use it: {rest}"));
        }
        Some(rules) if rules.iter().any(|rule| !rule.selector.addresses.is_empty()) => {
            let rest = "whoever can send from such an address, or forge it, is that client";
            remarks.warn(format!("an address is no proof of identity: {rest}"));
        }
        Some(_) | None => {}
    }
    if listener.hosts.is_empty() {
        let rest = "a web page can reach it by DNS rebinding";
        remarks.warn(format!("{address} accepts any host name, because no `hosts` are listed: {rest}"));
    }
    remarks
}

/// What has expired or is soon to. The log tells it from time to time.
fn about_expiries(expiries: &[Expiry]) -> Remarks {
    let (mut remarks, now) = (Remarks::default(), SystemTime::now());
    expiries.iter().filter_map(|expiry| expiry.warning(now)).for_each(|text| remarks.warn(text));
    remarks
}

/// Appends one line, whatever is in it.
fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.push_str(&one_line(&arguments.to_string()));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profiles;

    #[test]
    fn a_listener_that_is_open_to_others_is_warned_of_once() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let profiles = Profiles::parse(&[("p.yaml", "profile: p\nallow: [Ping]\n")], &catalogue).unwrap();
        let policy = Arc::new(Policy::compile(profiles.get("p").unwrap(), &catalogue).unwrap());
        let warned = |address: &str, insecure: bool, clients: Option<Arc<[ClientRule]>>| {
            let listener = Listener { insecure, clients, ..Listener::new(address.parse().unwrap(), policy.clone()) };
            let [_, warnings] = about_access(&listener).to_json();
            warnings.to_string().matches("anyone who reaches").count()
        };
        for (address, expected) in [
            ("tcp://0.0.0.0:1", 1),
            ("tcp://[::]:1", 1),
            ("tcp://192.0.2.1:1", 1),
            ("tcp://dockveil:1", 1),
            ("tcp://127.0.0.1:1", 0),
            ("tcp://[::1]:1", 0),
            ("tcp://localhost:1", 0),
            ("unix:///a", 0),
        ] {
            assert_eq!(warned(address, false, None), expected, "{address}");
            assert_eq!(warned(address, true, None), 0, "{address}");
            assert_eq!(warned(address, false, Some(Arc::from(Vec::new()))), 0, "{address}");
        }
    }
}
