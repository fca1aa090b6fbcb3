//! Who asks: the client that `--as` describes, the listener that it reaches, and the line of `clients` that names it.

use std::slice;

use super::super::{CommandError, argument_error};
use super::explanation::{Decided, Explanation};
use crate::clients::{ChosenLine, ClientRefusal, DescribedClient};
use crate::config::{ConfiguredClient, ConfiguredListener};
use crate::yaml::{Diagnostics, Location};

/// Whose request is explained.
pub(super) struct AskedProfile<'l> {
    /// The name of the profile, which may not exist.
    pub(super) name: String,
    /// The listeners that may have it.
    pub(super) listeners: &'l [ConfiguredListener],
}

/// Reads what `--as` says. `None` if it is not there.
///
/// # Errors
/// Every error in it.
pub(super) fn described(texts: &[String]) -> Result<Option<DescribedClient>, Diagnostics> {
    if texts.is_empty() {
        return Ok(None);
    }
    let mut diagnostics = Diagnostics::default();
    let parsed = DescribedClient::parse(texts);
    let client =
        parsed.map_err(|wrong| wrong.iter().for_each(|one| diagnostics.report(&Location::argument("--as"), one)));
    diagnostics.finish(client.ok())
}

/// The profile of the first listener. If that lists clients, it is the profile of the first line, and that is written.
pub(super) fn first<'l>(
    listeners: &'l [ConfiguredListener],
    report: &mut Explanation,
) -> Result<AskedProfile<'l>, CommandError> {
    let Some(listener) = listeners.first() else { return Ok(AskedProfile { name: String::new(), listeners }) };
    let Some(line) = listener.clients.iter().flatten().next() else {
        return Ok(AskedProfile { name: listener.profile.clone(), listeners });
    };
    let ConfiguredClient { location, selector, profile } = line;
    report
        .say("clients", format!("{} serves only those that its `clients` name, each with a profile", listener.address));
    report.detail(format!("this is what the first line says: {selector} ({location})"));
    report.detail("--as explains the request of any other client: --as uid=1000, for example");
    Ok(AskedProfile { name: profile.clone(), listeners })
}

/// The profile of a client. `None` if it is denied, which is written, with the reason.
///
/// # Errors
/// No listener takes such a client.
pub(super) fn find<'l>(
    client: &DescribedClient,
    listeners: &'l [ConfiguredListener],
    report: &mut Explanation,
) -> Result<Option<AskedProfile<'l>>, CommandError> {
    let reached = || listeners.iter().filter(|listener| client.reaches(&listener.address, listener.has_tls));
    // What a listener without a list says does not depend on the client.
    let Some(listener) = reached().find(|listener| listener.clients.is_some()).or_else(|| reached().next()) else {
        let message =
            format!("found {client}, which no listener takes: uid and gid need a Unix socket, certificate needs `tls`");
        return Err(argument_error("--as", message).into());
    };
    report.say("listener", format!("{} ({})", listener.address, listener.location));
    report.say("client", format!("{client}"));
    let name = match &listener.clients {
        Some(lines) => write_choice(client, listener, lines, report)?,
        None => {
            report.detail("served like everybody: the listener has no `clients`");
            Some(listener.profile.clone())
        }
    };
    for other in reached().filter(|other| other.address != listener.address) {
        report.detail(format!("at {}: {}", other.address, in_short(client, other)));
    }
    Ok(name.map(|name| AskedProfile { name, listeners: slice::from_ref(listener) }))
}

/// The line that names a client at a listener.
fn chosen(client: &DescribedClient, listener: &ConfiguredListener, lines: &[ConfiguredClient]) -> ChosenLine {
    ChosenLine::find(lines.iter().map(|line| &line.selector), &client.caller(&listener.address))
}

/// Writes which line names a client, or why none does. Returns the name of its profile.
fn write_choice(
    client: &DescribedClient,
    listener: &ConfiguredListener,
    lines: &[ConfiguredClient],
    report: &mut Explanation,
) -> Result<Option<String>, CommandError> {
    let unsaid = |line: &ConfiguredClient| client.unsaid(&line.selector, &listener.address).join(" and no ");
    match chosen(client, listener, lines) {
        ChosenLine::Named(number) => {
            for line in lines.iter().take(number).filter(|line| !unsaid(line).is_empty()) {
                let ConfiguredClient { location, selector, .. } = line;
                report.detail(format!("passed over {location}: {selector}; --as says no {}", unsaid(line)));
            }
            let Some(ConfiguredClient { location, selector, profile }) = lines.get(number) else { return Ok(None) };
            report.detail(format!("named by {location}: {selector}"));
            Ok(Some(profile.clone()))
        }
        ChosenLine::Unknown(number) => {
            report.decide(Decided::Refused(403), ClientRefusal::UnknownContainer.public());
            if let Some(ConfiguredClient { location, selector, .. }) = lines.get(number) {
                report.detail(format!("{location} depends on it: {selector}"));
            }
            report.detail("say it with --as container=name=web, or with --as container=none");
            Ok(None)
        }
        ChosenLine::Nobody => {
            report.decide(Decided::Refused(403), ClientRefusal::Unnamed.public());
            for line in lines {
                let ConfiguredClient { location, selector, .. } = line;
                report.detail(match unsaid(line).as_str() {
                    "" => format!("{location} names {selector}"),
                    unsaid => format!("{location} names {selector}; --as says no {unsaid}"),
                });
            }
            Ok(None)
        }
    }
}

/// What a client has at another listener.
fn in_short(client: &DescribedClient, listener: &ConfiguredListener) -> String {
    let Some(lines) = &listener.clients else { return format!("profile {}, like everybody", listener.profile) };
    let line = match chosen(client, listener, lines) {
        ChosenLine::Named(number) => lines.get(number),
        ChosenLine::Unknown(_) | ChosenLine::Nobody => None,
    };
    line.map_or("denied".to_owned(), |line| format!("profile {}, by {}", line.profile, line.location))
}
