//! The configuration file that replaces another proxy, with comments on what differs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use super::source::Source;
use crate::api::{Operation, operation, operations_named};
use crate::command::explain::explained;
use crate::config::compat;
use crate::config::{Filters, Timeouts, leads_to};
use crate::policy::Policy;
use crate::profile::RequestContents;
use crate::schema::Class;
use crate::socket::Address;
use crate::yaml::Diagnostics;

/// The name of the profile in the file.
const PROFILE: &str = "migrated";
/// The width of a comment, in characters.
const WIDTH: usize = 110;

/// The contents of the file.
#[derive(Debug)]
pub(super) struct Migration {
    about: String,
    upstream: Address,
    listeners: Vec<(Address, Option<u32>)>,
    /// The number of the user that the container runs as.
    pub(super) user: u32,
    /// Limits of time.
    pub(super) timeouts: Timeouts,
    /// The operations that are allowed, each with what allowed it in the other proxy.
    pub(super) allow: BTreeMap<&'static str, String>,
    /// The operations that the other proxy allowed and this file does not, each with the reason.
    pub(super) left_out: BTreeMap<&'static str, String>,
    /// What else differs.
    pub(super) differences: Vec<String>,
}

impl Migration {
    /// Checks that no listener has the address of the engine: such a file would not load.
    ///
    /// # Errors
    /// The listeners that have it.
    pub(super) fn check_addresses(&self, source: &Source) -> Result<(), Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        for (listener, _) in self.listeners.iter().filter(|(listener, _)| leads_to(&self.upstream, listener)) {
            diagnostics
                .report(&source.location, format!("the proxy listens on {listener}, which is the engine itself"));
        }
        diagnostics.finish(())
    }

    /// Starts the migration of the proxy called `about`, in front of `upstream`. Nothing is allowed yet.
    pub(super) fn new(about: &str, upstream: Address) -> Self {
        Self {
            about: about.to_owned(),
            upstream,
            listeners: Vec::new(),
            user: 1000,
            timeouts: Timeouts::default(),
            allow: BTreeMap::new(),
            left_out: BTreeMap::new(),
            differences: Vec::new(),
        }
    }

    /// Adds a listener. `mode` applies to a Unix socket only.
    pub(super) fn listen(&mut self, address: Address, mode: Option<u32>) {
        let mode = match address {
            Address::Unix(_) => mode,
            Address::Tcp { .. } => None,
        };
        self.listeners.push((address, mode));
    }

    /// Turns this into the migration of the proxy called `about` in front of this one, which is then not needed any more.
    /// The listeners are those of the proxy in front; `notes` are those about this one.
    pub(super) fn in_front(mut self, about: &str, notes: &[String]) -> Self {
        self.differences.extend_from_slice(notes);
        self.differences.push(format!(
            "{} behind it is not needed any more: dockveil connects to the engine, and allows what that proxy allowed",
            self.about
        ));
        self.about = format!("{about} in front of {}", self.about);
        self.listeners.clear();
        self
    }

    /// The name of the profile that the profile in the file extends.
    fn base(&self) -> &'static str {
        compat::base(|id| self.allow.contains_key(id))
    }

    /// The text of the file.
    ///
    /// # Errors
    /// None in a program whose tests pass.
    pub(super) fn to_yaml(&self, source: &Source, filters: &Filters) -> Result<String, Diagnostics> {
        let mut text = String::new();
        comment(&mut text, &format!("Written by `dockveil migrate` from {}: {}.", source.name, self.about));
        comment(&mut text, "");
        self.write_exposed(&mut text, filters)?;
        comment(&mut text, "");
        comment(&mut text, "Other differences:");
        for difference in self.differences.iter().chain(&source.notes) {
            comment(&mut text, &format!("- {difference}"));
        }
        self.write_erasing(&mut text, filters)?;
        comment(
            &mut text,
            "- requests are matched by operation: another spelling of a path is the same operation, or is refused",
        );
        self.write_service(&mut text);
        line(&mut text, format_args!("upstream: {}", quoted(&self.upstream.to_string())));
        line(&mut text, format_args!("listeners:"));
        for (address, mode) in &self.listeners {
            line(&mut text, format_args!("  - listen: {}", quoted(&address.to_string())));
            if let Some(mode) = mode {
                line(&mut text, format_args!("    mode: \"{mode:04o}\""));
            }
            line(&mut text, format_args!("    profile: {PROFILE}"));
        }
        self.write_timeouts(&mut text);
        line(&mut text, format_args!("profiles:\n  - profile: {PROFILE}"));
        line(&mut text, format_args!("    about: {}", quoted(&format!("What {} let through.", self.about))));
        line(
            &mut text,
            format_args!(
                "    # What is shown. With `show: all` in place of the next line, everything is, as by the other proxy."
            ),
        );
        line(&mut text, format_args!("    extends: {}", self.base()));
        self.write_operations(&mut text);
        Ok(text)
    }

    /// The classes that its clients could read, and cannot read any more.
    fn write_exposed(&self, text: &mut String, filters: &Filters) -> Result<(), Diagnostics> {
        let mut exposed: BTreeMap<Class, BTreeSet<&str>> = BTreeMap::new();
        let base = filters.profiles.get(self.base());
        for id in self.allow.keys() {
            let Some((schema, base)) = operation(id).and_then(Operation::filtered_schema).zip(base) else { continue };
            let fields = explained(base, &filters.catalogue, Some(schema))?;
            let hidden = fields.iter().filter_map(|field| field.class);
            for class in hidden.filter(|class| !base.show.classes.contains(*class)) {
                exposed.entry(class).or_default().insert(id);
            }
        }
        comment(text, "The other proxy filtered no response. Its clients could read this, and cannot with this file:");
        if exposed.is_empty() {
            comment(text, "- nothing");
        }
        for (class, ids) in exposed {
            let ids: Vec<&str> = ids.into_iter().collect();
            comment(text, &format!("- {} ({}): in {}", class.as_str(), meaning(class), ids.join(", ")));
        }
        Ok(())
    }

    /// The operations that are in `allow` and denied all the same.
    fn write_erasing(&self, text: &mut String, filters: &Filters) -> Result<(), Diagnostics> {
        let writes_back = |id: &&&str| operation(id).is_some_and(|operation| !operation.writes_back.is_empty());
        let writing: Vec<&str> = self.allow.keys().filter(writes_back).copied().collect();
        let Some(base) = filters.profiles.get(self.base()).filter(|_| !writing.is_empty()) else { return Ok(()) };
        let mut profile = base.clone();
        profile.allow = self.allow.keys().map(|id| (*id, base.location.clone())).collect();
        let erasing: Vec<&str> =
            Policy::compile(&profile, &filters.catalogue)?.erasing().map(|operation| operation.id).collect();
        if !erasing.is_empty() {
            let rest = "denied although allowed, because clients send back the whole spec that they have read, and would erase \
                        the parts that this file hides: for such a client, write `show: all` in place of `extends`";
            comment(text, &format!("- {}: {rest}", erasing.join(", ")));
        }
        Ok(())
    }

    /// What to change in the Compose file.
    fn write_service(&self, text: &mut String) {
        comment(text, "");
        comment(
            text,
            "Put this file beside the Compose file. In the service, keep volumes, networks and ports, and change:",
        );
        line(text, format_args!("#     image: dockveil"));
        if matches!(self.upstream, Address::Unix(_)) {
            let user = self.user;
            line(text, format_args!("#     user: \"{user}:991\"  # 991 stands for the group of the engine's socket"));
        }
        line(text, format_args!("#     environment: {{DOCKVEIL_CONFIG: /dockveil.yaml}}"));
        line(text, format_args!("#     volumes: [\"./dockveil.yaml:/dockveil.yaml:ro\"]"));
    }

    /// The timeouts that differ from the defaults.
    fn write_timeouts(&self, text: &mut String) {
        let usual = Timeouts::default();
        let times = [
            ("connect", self.timeouts.connect, usual.connect),
            ("head", self.timeouts.head, usual.head),
            ("idle", self.timeouts.idle, usual.idle),
            ("response", self.timeouts.response, usual.response),
            ("shutdown", self.timeouts.shutdown, usual.shutdown),
        ];
        let changed = times.iter().filter(|(_, time, usual)| time != usual);
        let changed: Vec<String> = changed.map(|(name, time, _)| format!("{name}: {}", yaml_time(*time))).collect();
        if !changed.is_empty() {
            line(text, format_args!("timeouts: {{{}}}", changed.join(", ")));
        }
    }

    /// The operations that are allowed, and those that are left out.
    fn write_operations(&self, text: &mut String) {
        // `SystemPing` stands for `SystemPingHead` as well: naming both is an error.
        let implied = |id: &str| {
            let others = self.allow.keys().filter(|name| **name != id);
            others.flat_map(|name| operations_named(name)).any(|operation| operation.id == id)
        };
        let allow: Vec<_> = self.allow.iter().filter(|(id, _)| !implied(id)).collect();
        let left_out: Vec<_> = self.left_out.iter().filter(|(id, _)| !self.allow.contains_key(*id)).collect();
        let width = allow.iter().chain(&left_out).map(|(id, _)| id.len()).max().unwrap_or_default();
        line(text, format_args!("    allow:{}", if allow.is_empty() { " []" } else { "" }));
        for (id, why) in allow {
            line(text, format_args!("      - {id:width$}  # {}", one_line(why)));
        }
        if !left_out.is_empty() {
            line(text, format_args!("    # Left out. To allow one, uncomment its line:"));
        }
        for (id, why) in left_out {
            line(text, format_args!("    #  - {id:width$}  # {}", one_line(why)));
        }
        let writes = self.allow.keys().filter_map(|id| operation(id)).filter(|operation| operation.mutating);
        let beyond = |operation: &&Operation| RequestContents::all(operation) != RequestContents::usual(operation);
        let beyond: Vec<&Operation> = writes.filter(beyond).collect();
        if !beyond.is_empty() {
            line(text, format_args!("    # Parameters that few clients send. The other proxy looked at none of them:"));
            line(text, format_args!("    parameters:"));
        }
        for operation in beyond {
            line(text, format_args!("      {}: all", operation.id));
        }
    }
}

/// What a class consists of.
fn meaning(class: Class) -> &'static str {
    match class {
        Class::Secret => "environments, driver options, tokens",
        Class::Command => "command lines, arguments, probes",
        Class::FreeText => "labels, output of probes, error texts",
        Class::HostPath => "paths, bind mounts",
        Class::Topology => "addresses, ports, networks",
        Class::Host => "kernel, hardware, daemon",
        Class::Identity => "names, images, ids",
        Class::State => "states, sizes, times",
    }
}

/// A time, as a configuration file writes it.
fn yaml_time(time: Duration) -> String {
    if time.subsec_nanos() == 0 { format!("{}s", time.as_secs()) } else { format!("{}ms", time.as_millis()) }
}

/// A text in double quotes, as YAML writes it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", one_line(text).replace('\\', "\\\\").replace('"', "\\\""))
}

/// A text without characters that end a line, and with it a comment.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}

/// Appends a comment, wrapped.
fn comment(text: &mut String, words: &str) {
    let words = one_line(words);
    let hanging = if words.starts_with("- ") { "#   " } else { "# " };
    let mut current = "#".to_owned();
    for word in words.split(' ') {
        if current.len() + 1 + word.len() > WIDTH && current.len() > hanging.len() {
            line(text, format_args!("{current}"));
            current = hanging.trim_end().to_owned();
            if hanging.len() > 2 {
                current = "#  ".to_owned();
            }
        }
        if !word.is_empty() {
            current.push(' ');
            current.push_str(word);
        }
    }
    line(text, format_args!("{current}"));
}

/// Appends a line.
fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = text.write_fmt(arguments);
    text.push('\n');
}
