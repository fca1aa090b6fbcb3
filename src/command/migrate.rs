//! `migrate`: converts the configuration of another socket proxy.
//!
//! The result allows only operations that the other proxy allows. What cannot be expressed as operations is
//! left out, in a comment that says why and only has to be uncommented.

mod cetusguard;
mod compose;
mod container;
mod environment_file;
mod foxxmd;
mod interpolate;
mod lines;
mod migration;
mod proxies;
mod quadlet;
mod rules;
mod run;
mod sockguard;
mod source;
mod wollomatic;

use std::io::{Read, Write};
use std::path::Path;

use self::migration::Migration;
use self::proxies::KnownProxy;
pub(super) use self::proxies::names as proxy_names;
use self::source::{Selection, Source};
use super::{CommandError, OK};
use crate::api::{Operation, ResponseKind};
use crate::cli;
use crate::config::compat::{Compat, CompatNote, Means, Verdict};
use crate::config::{Filters, unreadable};
use crate::yaml::Diagnostics;

/// The number of bytes that are read at most.
const SIZE_LIMIT: u64 = 1 << 20;
/// Why an operation whose response [`is_unfilterable`] is left out.
const UNFILTERABLE: &str = "was open: its response cannot be filtered";

/// Reads a Compose file, or another text that runs a proxy or configures it, and writes a configuration file to `out`.
///
/// # Errors
/// [`CommandError`].
pub fn run(arguments: &cli::MigrateArgs, input: &mut dyn Read, out: &mut dyn Write) -> Result<u8, CommandError> {
    let file = arguments.file.as_ref().filter(|file| file.as_os_str() != cli::STANDARD_INPUT);
    let name = file.map_or("standard input".to_owned(), |file| file.display().to_string());
    let mut text = String::new();
    let read = match file {
        Some(file) => std::fs::File::open(file).and_then(|file| file.take(SIZE_LIMIT).read_to_string(&mut text)),
        None => input.take(SIZE_LIMIT).read_to_string(&mut text),
    };
    read.map_err(|error| unreadable(&name, &error))?;
    let proxy = arguments.proxy.as_deref().map(proxies::named).transpose()?;
    let folder = file.map(|file| file.parent().unwrap_or(Path::new("")));
    let selection = Selection { service: arguments.service.as_deref(), proxy, folder };
    let source = source::read(&name, &text, selection)?;
    let mut migration = migration_of(&source)?;
    migration.adapt_to(&source.container);
    migration.check_addresses(&source)?;
    write!(out, "{}", migration.to_yaml(&source, &Filters::built_in()?)?)?;
    Ok(OK)
}

/// The migration of the proxy that `source` runs.
///
/// # Errors
/// Every variable or argument that cannot be read.
fn migration_of(source: &Source) -> Result<Migration, Diagnostics> {
    match source.proxy {
        KnownProxy::Table(table) => {
            let compat = Compat::read(table, &source.variables).map_err(|errors| source.located(errors))?;
            Ok(of_compat(&compat, source))
        }
        KnownProxy::Wollomatic => wollomatic::migration(source),
        KnownProxy::FoxxMd => foxxmd::migration(source),
        KnownProxy::CetusGuard => cetusguard::migration(source),
        KnownProxy::SockGuard => sockguard::migration(source),
    }
}

/// The migration of a proxy that has a drop-in mode.
fn of_compat(compat: &Compat, source: &Source) -> Migration {
    let mut migration = Migration::new(&compat.table.about, compat.upstream.clone());
    for address in &compat.listeners {
        migration.listen(address.clone(), Some(0o600));
    }
    migration.timeouts = compat.timeouts;
    migration.opened.allow = compat.allow.clone();
    let left_out = &mut migration.opened.left_out;
    left_out.extend(compat.table.partly.iter().map(|(id, why)| (*id, why.clone())));
    // A drop-in mode allows these with DOCKVEIL_SHOW=all. Here the operator uncomments them.
    left_out.extend(compat.table.raw.iter().map(|id| (*id, UNFILTERABLE.to_owned())));
    for (name, variable) in compat.table.switches().filter(|(name, _)| compat.allows_by(name)) {
        left_out.extend(variable.raw.iter().map(|id| (*id, format!("{name}; {UNFILTERABLE}"))));
    }
    if let Some(who) = compat.run_as.filter(|who| compat.table.run_as != Some(*who)) {
        migration.user = who.user;
        migration.differences.push(format!(
            "it started as root and became {}:{}: with the `user` below it is never root",
            who.user, who.group
        ));
    }
    migration.differences.extend(differences(compat, source));
    migration
}

/// What else differs from a proxy that has a drop-in mode.
fn differences(compat: &Compat, source: &Source) -> Vec<String> {
    let mut differences = Vec::new();
    // If a switch is off, it makes no difference.
    let off = |name: &str| compat.table.switches().any(|(switch, _)| switch == name) && !compat.is_on(name);
    for name in compat.set(&source.variables).filter(|name| !off(name)) {
        match compat.table.variables.get(name).map(|variable| &variable.verdict) {
            Some(Verdict::Different(why) | Verdict::Missing(why)) => differences.push(format!("{name}: {why}")),
            Some(Verdict::Same(_)) | None => {}
        }
    }
    let values = compat.notes.iter().filter(|note| note.is_about_a_value());
    differences.extend(values.map(ToString::to_string));
    let names_level = compat.table.meaning(Means::Log).is_some_and(|(name, _)| source.variables.get(name).is_some());
    if let Some(level) = compat.log_level.filter(|_| names_level) {
        differences.push(format!("the log level is set by DOCKVEIL_LOG={}", level.as_str()));
    }
    if compat.notes.contains(&CompatNote::LosesHidden) {
        differences.push(
            "a client that re-creates containers from what it reads (updates by Watchtower, edits in Portainer, \
             outposts of authentik) loses what is hidden: for such a client, write `show: all` in place of `extends`"
                .to_owned(),
        );
    }
    differences
}

/// Whether a response cannot be filtered, and no profile of a drop-in mode allows its operation by itself. Logs and attached
/// streams cannot be filtered either, but their operations say so by their names.
fn is_unfilterable(operation: &Operation) -> bool {
    let raw = match operation.response {
        ResponseKind::Tar | ResponseKind::Octets | ResponseKind::WebSocket | ResponseKind::Text => true,
        ResponseKind::Document(_)
        | ResponseKind::Array(_)
        | ResponseKind::Ping
        | ResponseKind::Empty
        | ResponseKind::Stream(_)
        | ResponseKind::Hijack
        | ResponseKind::Http2 => false,
    };
    raw || operation.path_stat || operation.is_debug_page()
}

#[cfg(test)]
mod tests;
