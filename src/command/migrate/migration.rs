//! The configuration file that replaces another proxy, with comments on what differs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use super::container::{ProxyContainer, SourceForm};
use super::rules::{Matched, RequestRule, RuleSet};
use super::source::Source;
use super::{UNFILTERABLE, is_unfilterable};
use crate::api::objects::{ObjectKind, PathObject, objects_of};
use crate::api::{Operation, RequestBody, operation, operations_named};
use crate::command::explain::explained;
use crate::command::layout::one_line;
use crate::config::compat;
use crate::config::{Filters, Timeouts, is_loopback, leads_to};
use crate::log::is_harmless;
use crate::policy::Policy;
use crate::profile::RequestContents;
use crate::schema::Class;
use crate::socket::Address;
use crate::yaml::Diagnostics;

/// The name of the profile in the file.
pub(super) const PROFILE: &str = "migrated";
/// The health check of the image.
const PROBE: [&str; 2] = ["/dockveil", "healthcheck"];
/// The number of characters that a comment shows of a text of the other proxy.
const SHORT: usize = 60;
/// The width of a comment, in characters.
const WIDTH: usize = 110;

/// The contents of the file.
#[derive(Debug)]
pub(super) struct Migration {
    about: String,
    upstream: Address,
    listeners: Vec<MigratedListener>,
    /// The number of the user that the container runs as.
    pub(super) user: u32,
    /// Limits of time.
    pub(super) timeouts: Timeouts,
    /// What the clients of the listeners may do.
    pub(super) opened: OpenedOperations,
    /// What certain clients may do in addition or instead.
    pub(super) others: Vec<OtherProfile>,
    /// What else differs.
    pub(super) differences: Vec<String>,
}

/// A listener of the file.
#[derive(Debug)]
struct MigratedListener {
    address: Address,
    mode: Option<u32>,
    /// The host names that requests may use. If empty, any.
    hosts: Vec<String>,
    /// The profile of everybody, if no clients are listed.
    profile: String,
    clients: Vec<MigratedClient>,
    /// What each client may have, as the file writes it.
    per_client: Option<String>,
}

/// A line of `clients`.
#[derive(Debug)]
pub(super) struct MigratedClient {
    /// Who it names, as the file writes it: `container: {name: "web"}`.
    pub(super) selector: String,
    /// The name of their profile.
    pub(super) profile: String,
}

/// What another proxy allowed.
#[derive(Debug, Default)]
pub(super) struct OpenedOperations {
    /// The operations that are allowed, each with what allowed it in the other proxy.
    pub(super) allow: BTreeMap<&'static str, String>,
    /// The operations that are allowed for objects of these names only, each with what allowed it in the other proxy.
    pub(super) bound: BTreeMap<&'static str, (Vec<String>, String)>,
    /// The containers that clients see, each written as the file does. Empty: all.
    pub(super) containers: Vec<String>,
    /// The operations that the other proxy allowed and this file does not, each with the reason.
    pub(super) left_out: BTreeMap<&'static str, String>,
}

/// A profile besides the main one, of certain clients.
#[derive(Debug)]
pub(super) struct OtherProfile {
    /// Its name in the file.
    pub(super) name: String,
    /// Whose it was.
    pub(super) of: String,
    pub(super) opened: OpenedOperations,
}

impl OtherProfile {
    /// The profile of a client, or one that the other proxy called so.
    pub(super) fn new(of: &str, opened: OpenedOperations) -> Self {
        let word: String =
            of.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        Self { name: format!("{PROFILE}-{}", word.trim_matches('-')), of: of.to_owned(), opened }
    }
}

impl OpenedOperations {
    /// The operations that rules allow for every name. The others are left out, and those for which `reason` has one.
    pub(super) fn of_rules(rules: &RuleSet, reason: impl Fn(&Operation) -> Option<&'static str>) -> Self {
        let mut opened = Self::default();
        for (operation, matched, RequestRule { text, .. }) in rules.operations() {
            let why = match matched {
                Matched::Nothing => continue,
                Matched::Names(names) if !is_unfilterable(operation) && can_be_bound(operation, &names) => {
                    opened.bound.insert(operation.id, (names, text.clone()));
                    continue;
                }
                Matched::Names(names) => {
                    format!("was open for some names only, such as {}", names.first().map_or("", String::as_str))
                }
                Matched::Except(name) => format!("was closed for some names, such as {name}"),
                Matched::Whole if is_unfilterable(operation) => UNFILTERABLE.to_owned(),
                Matched::Whole => match reason(operation) {
                    Some(why) => why.to_owned(),
                    None => {
                        opened.allow.insert(operation.id, text.clone());
                        continue;
                    }
                },
            };
            opened.left_out.insert(operation.id, format!("{text}; {why}"));
        }
        opened
    }

    /// The name of the profile that its profile extends.
    fn base(&self) -> &'static str {
        compat::base(|id| self.allow.contains_key(id) || self.bound.contains_key(id))
    }
}

/// Whether the names that an operation was open for can be written: of objects that have such names, in letters that need no
/// quotes.
fn can_be_bound(operation: &Operation, names: &[String]) -> bool {
    let path = objects_of(operation).ok().flatten().and_then(|objects| objects.path);
    let is_named = matches!(path, Some(PathObject::Of(kind)) if kind != ObjectKind::Image);
    let is_plain = |name: &String| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && name.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    is_named && names.iter().all(is_plain)
}

impl Migration {
    /// Checks that no listener has the address of the engine: such a file would not load.
    ///
    /// # Errors
    /// The listeners that have it.
    pub(super) fn check_addresses(&self, source: &Source) -> Result<(), Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let addresses = self.listeners.iter().map(|listener| &listener.address);
        for (number, address) in addresses.clone().enumerate() {
            if leads_to(&self.upstream, address) {
                let message = format!("the proxy listens on {address}, which is the engine itself");
                diagnostics.report(source.location(), message);
            }
            if addresses.clone().take(number).any(|other| other == address) {
                diagnostics.report(source.location(), format!("the proxy listens on {address} twice"));
            }
        }
        diagnostics.finish(())
    }

    /// Adapts engine and listeners to the container of the proxy: where the socket is mounted, and where ports are published.
    pub(super) fn adapt_to(&mut self, container: &ProxyContainer) {
        let mounted = match &self.upstream {
            Address::Unix(path) => container.mounted_path(&path.display().to_string()),
            Address::Tcp { .. } => None,
        };
        if let Some(found) =
            mounted.and_then(|path| format!("unix://{path}").parse().ok()).filter(|found| *found != self.upstream)
        {
            self.differences
                .push(format!("the engine's socket is mounted at {found}: in that image, /run and /var/run are one"));
            self.upstream = found;
        }
        for listener in &mut self.listeners {
            let Address::Tcp { host, port } = &listener.address else { continue };
            if is_loopback(host) {
                continue;
            }
            listener.hosts = container.hosts_at(*port);
            if container.is_public(*port) {
                self.differences.push(format!(
                    "port {port} is published on every address of the host: anyone who reaches it can use it, and web pages can \
                     by DNS rebinding. Publish it as 127.0.0.1:{port}:{port}, or list `hosts`"
                ));
            }
        }
        if container.privileged {
            self.differences.push("`privileged` is not needed: remove it".to_owned());
        }
        if let Some(probe) = &container.probe {
            self.differences.push(format!(
                "the health check runs `{}`, which is not in the image of dockveil: it is replaced below",
                shortened(probe)
            ));
        }
    }

    /// Starts the migration of the proxy called `about`, in front of `upstream`. Nothing is allowed yet.
    pub(super) fn new(about: &str, upstream: Address) -> Self {
        Self {
            about: about.to_owned(),
            upstream,
            listeners: Vec::new(),
            user: 1000,
            timeouts: Timeouts::default(),
            opened: OpenedOperations::default(),
            others: Vec::new(),
            differences: Vec::new(),
        }
    }

    /// Adds a listener. `mode` applies to a Unix socket only.
    pub(super) fn listen(&mut self, address: Address, mode: Option<u32>) {
        let mode = match address {
            Address::Unix(_) => mode,
            Address::Tcp { .. } => None,
        };
        self.listeners.push(MigratedListener {
            address,
            mode,
            hosts: Vec::new(),
            profile: PROFILE.to_owned(),
            clients: Vec::new(),
            per_client: None,
        });
    }

    /// Limits what each client of the last listener may have, as the file writes it.
    pub(super) fn limit_clients(&mut self, per_client: Option<String>) {
        if let Some(listener) = self.listeners.last_mut() {
            listener.per_client = per_client;
        }
    }

    /// Lists the clients of the last listener.
    pub(super) fn list_clients(&mut self, clients: Vec<MigratedClient>) {
        if let Some(listener) = self.listeners.last_mut() {
            listener.clients = clients;
        }
    }

    /// Gives the last listener the profile of `client`, if there is one.
    pub(super) fn give_profile(&mut self, client: Option<&str>) {
        let found = self.others.iter().find(|other| client.is_some_and(|client| other.of == client));
        if let Some((listener, other)) = self.listeners.last_mut().zip(found) {
            listener.profile.clone_from(&other.name);
        }
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
        for difference in self.differences.iter().chain(&source.container.notes) {
            comment(&mut text, &format!("- {difference}"));
        }
        self.write_erasing(&mut text, filters)?;
        comment(
            &mut text,
            "- requests are matched by operation: another spelling of a path is the same operation, or is refused",
        );
        self.write_service(&mut text, &source.container);
        line(&mut text, format_args!("upstream: {}", quoted(&self.upstream.to_string())));
        line(&mut text, format_args!("listeners:"));
        for listener in &self.listeners {
            line(&mut text, format_args!("  - listen: {}", quoted(&listener.address.to_string())));
            if let Some(mode) = listener.mode {
                line(&mut text, format_args!("    mode: \"{mode:04o}\""));
            }
            if !listener.hosts.is_empty() {
                let hosts: Vec<String> = listener.hosts.iter().map(|host| quoted(host)).collect();
                line(&mut text, format_args!("    # The port is published to this machine only."));
                line(&mut text, format_args!("    hosts: [{}]", hosts.join(", ")));
            }
            if let Some(per_client) = &listener.per_client {
                line(&mut text, format_args!("    per_client: {per_client}"));
            }
            write_clients(&mut text, listener);
        }
        self.write_timeouts(&mut text);
        line(&mut text, format_args!("profiles:"));
        write_profile(&mut text, PROFILE, &format!("What {} let through.", self.about), &self.opened);
        for other in &self.others {
            write_profile(&mut text, &other.name, &format!("What {} let {} do.", self.about, other.of), &other.opened);
        }
        Ok(text)
    }

    /// The classes that its clients could read, and cannot read any more.
    fn write_exposed(&self, text: &mut String, filters: &Filters) -> Result<(), Diagnostics> {
        let mut exposed: BTreeMap<Class, BTreeSet<&str>> = BTreeMap::new();
        let base = filters.profiles.get(self.opened.base());
        let others = self.others.iter().flat_map(|other| other.opened.allow.keys());
        let ids: BTreeSet<&str> = self.opened.allow.keys().chain(others).copied().collect();
        for id in ids {
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
        let mut erasing = BTreeSet::new();
        for opened in self.others.iter().map(|other| &other.opened).chain(std::iter::once(&self.opened)) {
            let writes_back = |id: &&str| operation(id).is_some_and(|operation| !operation.writes_back.is_empty());
            let base = filters.profiles.get(opened.base()).filter(|_| opened.allow.keys().any(writes_back));
            let Some(base) = base else { continue };
            let mut profile = base.clone();
            profile.allow = opened.allow.keys().map(|id| (*id, base.location.clone())).collect();
            erasing.extend(Policy::compile(&profile, &filters.catalogue)?.erasing().map(|operation| operation.id));
        }
        if !erasing.is_empty() {
            let rest = "denied although allowed, because clients send back the whole spec that they have read, and would erase \
                        the parts that this file hides: for such a client, write `show: all` in place of `extends`";
            comment(text, &format!("- {}: {rest}", erasing.into_iter().collect::<Vec<_>>().join(", ")));
        }
        Ok(())
    }

    /// What to change where the container is written.
    fn write_service(&self, text: &mut String, container: &ProxyContainer) {
        comment(text, "");
        let user = Some(self.user).filter(|_| matches!(self.upstream, Address::Unix(_)));
        let (advice, lines) = match container.form {
            SourceForm::Run => (
                "Put this file beside you. In the command, keep volumes, networks and ports, and change:",
                run(user, container),
            ),
            SourceForm::Quadlet => (
                "Put this file beside the quadlet. Keep volumes, networks and ports, and change:",
                quadlet(user, container),
            ),
            SourceForm::Service | SourceForm::Lines | SourceForm::File => (
                "Put this file beside the Compose file. In the service, keep volumes, networks and ports, and change:",
                service(user, container),
            ),
        };
        comment(text, advice);
        for words in lines {
            line(text, format_args!("#     {words}"));
        }
    }

    /// The timeouts that differ from the defaults.
    fn write_timeouts(&self, text: &mut String) {
        let usual = Timeouts::default();
        let times = [
            ("connect", self.timeouts.connect, usual.connect),
            ("head", self.timeouts.head, usual.head),
            ("idle", self.timeouts.idle, usual.idle),
            ("response", self.timeouts.response, usual.response),
            ("work", self.timeouts.work, usual.work),
            ("shutdown", self.timeouts.shutdown, usual.shutdown),
        ];
        let changed = times.iter().filter(|(_, time, usual)| time != usual);
        let changed: Vec<String> = changed.map(|(name, time, _)| format!("{name}: {}", yaml_time(*time))).collect();
        if !changed.is_empty() {
            line(text, format_args!("timeouts: {{{}}}", changed.join(", ")));
        }
    }
}

/// What to change in a service of a Compose file.
fn service(user: Option<u32>, container: &ProxyContainer) -> Vec<String> {
    let mut lines = vec!["image: dockveil".to_owned()];
    lines.extend(user.map(|user| format!("user: \"{user}:991\"  # 991 stands for the group of the engine's socket")));
    lines.push("environment: {DOCKVEIL_CONFIG: /dockveil.yaml}".to_owned());
    lines.push("volumes: [\"./dockveil.yaml:/dockveil.yaml:ro\"]".to_owned());
    lines.extend(Some("command: [serve]".to_owned()).filter(|_| !container.arguments.is_empty()));
    lines.extend(Some("restart: unless-stopped".to_owned()).filter(|_| !container.restarts));
    lines.extend(container.probe.as_ref().map(|_| format!("healthcheck: {{test: [CMD, {}]}}", PROBE.join(", "))));
    lines
}

/// What to change in a `docker run`.
fn run(user: Option<u32>, container: &ProxyContainer) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(user.map(|user| format!("--user {user}:991  # 991 stands for the group of the engine's socket")));
    lines.push("--env DOCKVEIL_CONFIG=/dockveil.yaml".to_owned());
    lines.push("--volume ./dockveil.yaml:/dockveil.yaml:ro".to_owned());
    lines.extend(Some("--restart unless-stopped".to_owned()).filter(|_| !container.restarts));
    lines.extend(container.probe.as_ref().map(|_| format!("--health-cmd '{}'", PROBE.join(" "))));
    lines.push("dockveil  # the image, and no arguments behind it".to_owned());
    lines
}

/// What to change in a quadlet.
fn quadlet(user: Option<u32>, container: &ProxyContainer) -> Vec<String> {
    let mut lines = vec!["Image=localhost/dockveil".to_owned()];
    lines.extend(user.map(|user| format!("UserNS=keep-id:uid={user},gid={user}")));
    lines.push("Environment=DOCKVEIL_CONFIG=/dockveil.yaml".to_owned());
    lines.push("Volume=./dockveil.yaml:/dockveil.yaml:ro".to_owned());
    lines.extend(Some("Exec=serve".to_owned()).filter(|_| !container.arguments.is_empty()));
    lines.extend(container.probe.as_ref().map(|_| format!("HealthCmd={}", PROBE.join(" "))));
    lines
}

/// Writes the clients of a listener, or the profile of everybody.
fn write_clients(text: &mut String, listener: &MigratedListener) {
    if listener.clients.is_empty() {
        return line(text, format_args!("    profile: {}", listener.profile));
    }
    line(text, format_args!("    # The first line that names a client decides. All others are denied."));
    line(text, format_args!("    clients:"));
    for MigratedClient { selector, profile } in &listener.clients {
        line(text, format_args!("      - {{{selector}, profile: {profile}}}"));
    }
}

/// Writes a profile.
fn write_profile(text: &mut String, name: &str, about: &str, opened: &OpenedOperations) {
    line(text, format_args!("  - profile: {name}"));
    line(text, format_args!("    about: {}", quoted(about)));
    line(
        text,
        format_args!(
            "    # What is shown. With `show: all` in place of the next line, everything is, as by the other proxy."
        ),
    );
    line(text, format_args!("    extends: {}", opened.base()));
    if !opened.containers.is_empty() {
        line(
            text,
            format_args!(
                "    # Whole containers, wherever they are named. Without the stars, texts are compared exactly."
            ),
        );
        line(text, format_args!("    containers: {{only: [{}]}}", opened.containers.join(", ")));
    }
    write_operations(text, opened);
}

/// The operations that are allowed, and those that are left out.
fn write_operations(text: &mut String, opened: &OpenedOperations) {
    // `SystemPing` stands for `SystemPingHead` as well: naming both is an error.
    let implied = |id: &str| {
        let others = opened.allow.keys().filter(|name| **name != id);
        others.flat_map(|name| operations_named(name)).any(|operation| operation.id == id)
    };
    let allow: Vec<_> = opened.allow.iter().filter(|(id, _)| !implied(id)).collect();
    let left_out: Vec<_> = opened.left_out.iter().filter(|(id, _)| !opened.allow.contains_key(*id)).collect();
    let width = allow.iter().chain(&left_out).map(|(id, _)| id.len()).max().unwrap_or_default();
    let is_empty = allow.is_empty() && opened.bound.is_empty();
    line(text, format_args!("    allow:{}", if is_empty { " []" } else { "" }));
    for (id, why) in allow {
        line(text, format_args!("      - {id:width$}  # {}", in_comment(why)));
    }
    for (id, (names, why)) in &opened.bound {
        let names: Vec<String> = names.iter().map(|name| format!("{{name: {}}}", quoted(name))).collect();
        let names = names.join(", ");
        line(text, format_args!("      - {{{id}: {{only: [{names}]}}}}  # {}", in_comment(why)));
    }
    if !left_out.is_empty() {
        line(text, format_args!("    # Left out. To allow one, uncomment its line:"));
    }
    for (id, why) in left_out {
        line(text, format_args!("    #  - {id:width$}  # {}", in_comment(why)));
    }
    let writes = opened
        .allow
        .keys()
        .chain(opened.bound.keys())
        .filter_map(|id| operation(id))
        .filter(|operation| operation.mutating);
    let beyond =
        |operation: &&Operation| !RequestContents::all(operation).beyond(&RequestContents::usual(operation)).is_empty();
    let beyond: Vec<&Operation> = writes.filter(beyond).collect();
    if !beyond.is_empty() {
        line(text, format_args!("    # Parameters that few clients send. The other proxy looked at none of them:"));
        line(text, format_args!("    parameters:"));
    }
    for operation in beyond {
        // Under `all`, a body may reach the host, on which nothing is hidden.
        let is_limited = !opened.containers.is_empty() || opened.bound.contains_key(operation.id);
        let names = operation.query.iter().map(|parameter| parameter.name);
        let body = (operation.body != RequestBody::None).then_some("body");
        let names: Vec<&str> = names.chain(body).collect();
        let contents = if is_limited { format!("[{}]", names.join(", ")) } else { "all".to_owned() };
        line(text, format_args!("      {}: {contents}", operation.id));
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
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if is_harmless(character) => quoted.push(character),
            // YAML 1.2.2 §5.7.
            character => quoted.push_str(&format!("\\U{:08x}", u32::from(character))),
        }
    }
    quoted + "\""
}

/// The start of a text that may be long.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

/// A text in a comment, which is broken into lines elsewhere.
fn in_comment(text: &str) -> String {
    one_line(&text.replace(['\n', '\r', '\t'], " ")).into_owned()
}

/// Appends a comment, wrapped.
fn comment(text: &mut String, words: &str) {
    let words = in_comment(words);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_quotes_is_harmless_and_means_itself() {
        let all = (0..=0x2fff).chain(0xe0000..=0xe00ff).chain(0x1_f600..=0x1_f610).filter_map(char::from_u32);
        let text: String = all.collect();
        let quoted = quoted(&text);
        assert!(quoted.chars().all(is_harmless));
        let read = crate::yaml::parse("f.yaml", &quoted).unwrap();
        assert_eq!(read.text("a text").unwrap(), text);
        assert_eq!(in_comment("a\nb\tc\u{1b}d\u{202e}"), "a b c\\u{1b}d\\u{202e}");
    }
}
