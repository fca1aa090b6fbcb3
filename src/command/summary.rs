//! What a configuration exposes, for a person to read.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::config::Config;
use crate::policy::Policy;
use crate::route::{Operation, Response, Stream};
use crate::schema::Class;
use crate::socket::Address;

/// What clients of each listener may ask and see.
pub fn summary(config: &Config) -> String {
    let mut text = format!("engine  {}\n", config.upstream);
    for listener in &config.listeners {
        line(&mut text, format_args!("\nlisten  {}  profile {}", listener.address, listener.policy.name()));
        text.push_str(&of_policy(&listener.policy));
        if !listener.hosts.is_empty() {
            line(&mut text, format_args!("  host names: {}", listener.hosts.join(", ")));
        }
        if !listener.origins.is_empty() {
            line(&mut text, format_args!("  web pages of: {}", listener.origins.join(", ")));
        }
        if let Address::Tcp { host, .. } = &listener.address
            && !is_loopback(host)
        {
            line(
                &mut text,
                format_args!("  warning: whoever reaches {} is let in: there is no authentication", listener.address),
            );
            if listener.hosts.is_empty() {
                line(
                    &mut text,
                    format_args!(
                        "  warning: no hosts are listed, so a web page can reach it by a name it makes up (DNS rebinding)"
                    ),
                );
            }
        }
    }
    text.push('\n');
    text
}

/// What one policy allows and shows.
pub(super) fn of_policy(policy: &Policy) -> String {
    let mut text = String::new();
    let operations: Vec<&Operation> = policy.operations().collect();
    let mut ids: Vec<&str> = operations.iter().map(|operation| operation.id).collect();
    ids.sort_unstable();
    line(&mut text, format_args!("  allows: {}", ids.join(", ")));
    let classes = |shown: bool| {
        let found: Vec<&str> =
            Class::ALL.iter().filter(|class| policy.shows(**class) == shown).map(|class| class.as_str()).collect();
        if found.is_empty() { "nothing".to_owned() } else { found.join(", ") }
    };
    line(&mut text, format_args!("  shows:  {}", classes(true)));
    line(&mut text, format_args!("  hides:  {}", classes(false)));
    let show = &policy.profile().show;
    if show.unknown {
        line(&mut text, format_args!("  warning: shows fields that no class file knows"));
    }
    for (what, globs) in [
        ("labels", &show.labels),
        ("variables", &show.env),
        ("annotations", &show.annotations),
        ("options", &show.options),
    ] {
        if !globs.is_empty() {
            line(&mut text, format_args!("  {what} shown: {globs}"));
        }
    }
    let mutating: Vec<&str> =
        operations.iter().filter(|operation| operation.mutating).map(|operation| operation.id).collect();
    if !mutating.is_empty() {
        line(&mut text, format_args!("  warning: can change things: {}", mutating.join(", ")));
    }
    let untouched: BTreeSet<&str> = operations.iter().filter_map(|operation| untouched(operation)).collect();
    for shown in untouched {
        line(&mut text, format_args!("  warning: passes untouched: {shown}"));
    }
    text
}

/// What an operation shows that passes untouched.
fn untouched(operation: &Operation) -> Option<&'static str> {
    match operation.response {
        Response::Stream(Stream::Events) => {
            Some("events, with every label of every container and the command lines of execs and health probes")
        }
        Response::Stream(Stream::Logs) => Some("logs, with whatever the programs print"),
        Response::Stream(Stream::Stats) => Some("stats as a stream: numbers, names of containers and interfaces"),
        Response::Stream(Stream::Progress) => Some("progress of pulls and builds, with image names and error texts"),
        Response::Stream(Stream::Wait) => Some("the exit code a container ends with, and its error text"),
        Response::Hijack | Response::WebSocket => {
            Some("attached streams: all that a process prints, and all that the client types into it")
        }
        Response::Tar | Response::Octets => Some("archives and profiles, with files, environments and memory"),
        Response::Text if operation.id.starts_with("Debug") || operation.id.starts_with("Stray") => {
            Some("debug pages of the engine")
        }
        Response::Document(_) | Response::Array(_) | Response::Text | Response::Empty => None,
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = text.write_fmt(arguments);
    text.push('\n');
}
