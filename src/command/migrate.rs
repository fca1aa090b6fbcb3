//! `migrate`: what runs another socket proxy, written as a configuration of this one.
//!
//! What it writes opens no operation that the other proxy was not told to open. What cannot be said in operations is left
//! out, in a comment that says why and is ready to be made a line.

mod foreign;
mod patterns;
mod sheet;
mod source;

use std::io::{Read, Write};

use self::foreign::{foxxmd, wollomatic};
use self::sheet::Sheet;
use self::source::{Proxy, Source};
use super::{CommandError, OK};
use crate::cli;
use crate::config::Filters;
use crate::config::compat::{Compat, CompatNote, Verdict};
use crate::yaml::{Diagnostic, Diagnostics, Location};

/// How much is read.
const SIZE_LIMIT: u64 = 1 << 20;

/// Reads a Compose file, or variables and arguments, and writes a configuration to `out`.
///
/// # Errors
/// [`CommandError`].
pub fn run(arguments: &cli::MigrateArgs, input: &mut dyn Read, out: &mut dyn Write) -> Result<u8, CommandError> {
    let name = arguments.file.as_ref().map_or("standard input".to_owned(), |file| file.display().to_string());
    let mut text = String::new();
    let read = match &arguments.file {
        Some(file) => std::fs::File::open(file).and_then(|file| file.take(SIZE_LIMIT).read_to_string(&mut text)),
        None => input.take(SIZE_LIMIT).read_to_string(&mut text),
    };
    read.map_err(|error| Diagnostic::new(&Location::file(&name), format!("cannot be read: {error}")))?;
    let source = source::read(&name, &text, arguments.service.as_deref())?;
    let sheet = sheet(&source)?;
    let filters = Filters::built_in()?;
    write!(out, "{}", sheet.written(&source, &filters)?)?;
    Ok(OK)
}

/// What is to be written of what runs another proxy.
///
/// # Errors
/// What cannot be read of it.
fn sheet(source: &Source) -> Result<Sheet, Diagnostics> {
    match source.proxy {
        Proxy::Table(table) => Ok(of_table(&Compat::read(table, &source.variables)?, source)),
        Proxy::Wollomatic => wollomatic(source),
        Proxy::FoxxMd => foxxmd(source),
    }
}

/// What the variables of a drop-in mode come to.
fn of_table(compat: &Compat, source: &Source) -> Sheet {
    let mut sheet = Sheet::new(&compat.table.about, compat.upstream.clone());
    for address in &compat.listeners {
        sheet.listen(address.clone(), Some(0o600));
    }
    sheet.timeouts = compat.timeouts;
    sheet.allow = compat.allow.clone();
    // What takes DOCKVEIL_SHOW=all in a drop-in mode takes the stroke of a pen here.
    for id in &compat.table.raw {
        sheet.left_out.insert(*id, "was open: bytes from which nothing can be cut".to_owned());
    }
    let on = |name: &str| compat.allow.values().any(|by| by == name);
    for (name, variable) in compat.table.switches().filter(|(name, _)| on(name)) {
        for id in &variable.raw {
            sheet.left_out.insert(*id, format!("{name}; was open: bytes from which nothing can be cut"));
        }
    }
    if let Some(who) = compat.run_as.filter(|who| compat.table.run_as != Some(*who)) {
        sheet.user = who.user;
        sheet.differences.push(format!(
            "it started as root and became {}:{}: the `user` below needs no root at all",
            who.user, who.group
        ));
    }
    // What is closed, and was, is no difference.
    let closed = |name: &str| compat.table.switches().any(|(switch, _)| switch == name) && !compat.is_on(name);
    for name in compat.set(&source.variables).filter(|name| !closed(name)) {
        if let Some(Verdict::Different(why) | Verdict::Missing(why)) =
            compat.table.variables.get(name).map(|variable| &variable.verdict)
        {
            sheet.differences.push(format!("{name}: {why}"));
        }
    }
    let open = compat.notes.iter().filter(|note| matches!(note, CompatNote::OpenHere { .. }));
    sheet.differences.extend(open.map(ToString::to_string));
    if let Some(log) = compat.log_level {
        sheet.differences.push(format!("the log level is set by DOCKVEIL_LOG={}", log.as_str()));
    }
    if compat.allow.contains_key("ContainerCreate") {
        sheet.differences.push(
            "a client that makes containers anew from what it reads (Watchtower, an edit in Portainer) makes them \
             without what is hidden: for such a client, write `show: all` below"
                .to_owned(),
        );
    }
    sheet
}

#[cfg(test)]
mod tests;
