//! Drop-in modes: the variables of another socket proxy in place of a configuration file.
//!
//! Which proxy is meant is read off the variables that are set; what each of them says is in `filters/compat`. What comes
//! of it is what a configuration file would have said: an engine, listeners, a profile.

mod table;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use table::{Means, Table, Variable, Verdict, tables};

use super::Timeouts;
use crate::api::lists;
use crate::api::{Method, operation};
use crate::cli::{LogLevel, Variables};
use crate::profile::{Profile, StreamHandling};
use crate::schema::{Class, ClassSet};
use crate::socket::Address;
use crate::yaml::{Diagnostic, Diagnostics, Location, nearest};

/// The profile that says what clients are shown that may make containers of it, or see commands.
const BASE: &str = "drop-in";
/// The profile that says what all others are shown.
const VIEW: &str = "drop-in-view";
/// Names a table, or `off`.
const CHOICE: &str = "DOCKVEIL_COMPAT";
/// Shows more classes, or `all`.
const SHOW: &str = "DOCKVEIL_SHOW";
/// Shows more labels.
const LABELS: &str = "DOCKVEIL_LABELS";
/// Shows more environment variables.
const ENV: &str = "DOCKVEIL_ENV";

/// What the variables of another proxy come to.
#[derive(Debug)]
pub struct Compat {
    /// The proxy.
    pub table: &'static Table,
    /// The engine.
    pub upstream: Address,
    /// Where clients come in.
    pub listeners: Vec<Address>,
    /// How long anything may take.
    pub timeouts: Timeouts,
    /// The user and group to become, and to give the Unix socket to.
    pub run_as: Option<RunAs>,
    /// How much to log.
    pub log: Option<LogLevel>,
    /// The operations that are open, each with the variable that opens it.
    pub allow: BTreeMap<&'static str, String>,
    /// The switches that are on.
    on: BTreeSet<&'static str>,
    /// What is shown beyond the base profile.
    pub shown: Shown,
    /// What a person who starts it should know.
    pub notes: Vec<String>,
}

/// Who the process becomes when it has opened what only root may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

/// What is shown beyond the base profile.
#[derive(Debug, Default)]
pub struct Shown {
    /// Everything, as the other proxy did.
    pub all: bool,
    classes: ClassSet,
    labels: Vec<String>,
    env: Vec<String>,
}

impl Compat {
    /// What the variables mean; `None` when they are of no other proxy.
    ///
    /// # Errors
    /// Every variable whose value cannot be read.
    pub fn find(variables: &Variables) -> Result<Option<Self>, Diagnostics> {
        match choose(variables)? {
            Some(table) => Self::read(table, variables).map(Some),
            None => {
                let mut diagnostics = Diagnostics::default();
                for name in [SHOW, LABELS, ENV].into_iter().filter(|name| variables.get(name).is_some()) {
                    let message = "is read only together with the variables of another socket proxy, \
                                   expected a profile to say what is shown";
                    diagnostics.report(&Location::file(name), message);
                }
                diagnostics.finish(None)
            }
        }
    }

    /// What the variables of this proxy mean.
    ///
    /// # Errors
    /// Every variable whose value cannot be read.
    pub fn read(table: &'static Table, variables: &Variables) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let mut notes = Vec::new();
        for name in variables.names().filter(|name| table.prefixes.iter().any(|prefix| name.starts_with(prefix))) {
            if !table.variables.contains_key(name) {
                let expected = match nearest(name, table.variables.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("expected one that {} reads", table.about),
                };
                diagnostics.report(&Location::file(name), format!("unknown variable, {expected}"));
            }
        }
        let mut reader = Reader { table, variables, diagnostics: &mut diagnostics };
        let on: BTreeSet<&'static str> =
            table.switches().filter_map(|(name, variable)| reader.switch(name, variable)?.then_some(name)).collect();
        let is_on = |name: &str| on.contains(name);
        let upstream = reader.value(Means::Socket, value::engine);
        let connect = reader.value(Means::Connect, value::go_duration);
        reader.value(Means::Duration, value::go_duration);
        let log = reader.value(Means::Log, value::severity);
        let volume = reader.value(Means::Volume, value::folder);
        let user = reader.value(Means::User, value::number);
        let group = reader.value(Means::Group, value::number);
        let shown = reader.shown();
        let post = table.meaning(Means::Post).is_some_and(|(name, _)| is_on(name));
        let allow = allowed(table, is_on, post, shown.all);

        let ipv4 = table.meaning(Means::Ipv4).is_some_and(|(name, _)| is_on(name));
        let own = volume.map(|folder| Address::Unix(folder.join("docker.sock")));
        let tcp = table.listen.iter().cloned().map(|address| match address {
            Address::Tcp { port, .. } if ipv4 => Address::Tcp { host: "0.0.0.0".to_owned(), port },
            address @ (Address::Tcp { .. } | Address::Unix(_)) => address,
        });
        let listeners = own.into_iter().chain(tcp).collect();

        notes.extend(on.iter().filter_map(|name| {
            let word = variables.get(name).filter(|text| text.eq_ignore_ascii_case("true"))?;
            let switch = table.variables.get(*name)?.means != Means::Ipv4;
            switch
                .then(|| format!("{name}={word}: HAProxy takes words for 0, so this was closed there; it is open here"))
        }));
        for (name, variable) in &table.variables {
            let Verdict::Missing(why) = &variable.verdict else { continue };
            let set = variables.get(name).filter(|text| !matches!(*text, "" | "0" | "false"));
            notes.extend(set.map(|_| format!("{name}: not supported: {why}")));
        }
        if table.name == "tecnativa" && variables.get(CHOICE).is_none_or(str::is_empty) {
            notes.push(
                "linuxserver/socket-proxy reads the same variables: in its place, set DOCKVEIL_COMPAT=linuxserver, \
                 and CONTAINERS does not include logs, top and changes"
                    .to_owned(),
            );
        }
        if shown.all {
            notes.push(format!(
                "warning: DOCKVEIL_SHOW=all: every environment, command line, label, path and archive that {} let \
                 through is shown",
                table.about
            ));
        } else if allow.contains_key("ContainerCreate") {
            notes.push(
                "warning: a client that makes containers anew from what it reads (Watchtower, an edit in Portainer) \
                 makes them without what is hidden; such a client needs DOCKVEIL_SHOW=all"
                    .to_owned(),
            );
        }
        // To Go, no time at all is no limit.
        let connect = connect.map(|time| if time.is_zero() { Duration::from_secs(7 * 24 * 3600) } else { time });
        let timeouts = Timeouts { connect: connect.unwrap_or(table.timeouts.connect), ..table.timeouts };
        let run_as = user.zip(group).map(|(user, group)| RunAs { user, group }).or(table.run_as);
        let compat = upstream.map(|upstream| Self {
            table,
            upstream,
            listeners,
            timeouts,
            run_as,
            log,
            allow,
            on,
            shown,
            notes,
        });
        diagnostics.finish_option(compat)
    }

    /// The name of the profile that listeners are given.
    pub fn profile_name(&self) -> String {
        format!("compat:{}", self.table.name)
    }

    /// The variables of this proxy that are set.
    pub fn set<'v>(&self, variables: &'v Variables) -> impl Iterator<Item = &'v str> {
        variables.names().filter(|name| self.table.variables.contains_key(*name))
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.on.contains(name)
    }

    /// The name of the profile that its clients' is made from.
    pub fn base(&self) -> &'static str {
        base(self.shown.all || self.shown.classes.contains(Class::Command), |id| self.allow.contains_key(id))
    }

    /// The profile of its clients, made from the base profile.
    pub fn profile(&self, base: &Profile) -> Profile {
        let mut profile = base.clone();
        profile.name = self.profile_name();
        profile.location = Location::file(&profile.name);
        profile.about = format!("What {} let through, with the variables that are set.", self.table.about);
        profile.allow = self.allow.iter().map(|(id, variable)| (*id, Location::file(variable))).collect();
        let classes = if self.shown.all { ClassSet::ALL } else { self.shown.classes };
        for class in classes.iter() {
            profile.classes.insert(class, Location::file(SHOW));
            profile.show.classes = profile.show.classes.with(class);
        }
        if self.shown.all {
            profile.show.unknown = true;
            profile.show.mask = false;
            profile.rules.clear();
            (profile.events, profile.stats) = (StreamHandling::Untouched, StreamHandling::Untouched);
        }
        profile.show.names.extend(lists::LABELS, &self.shown.labels);
        profile.show.names.extend(lists::ENV, &self.shown.env);
        profile
    }
}

/// The name of the profile for clients that are shown commands or not, and may do what `allows` says.
pub fn base(commands: bool, allows: impl Fn(&str) -> bool) -> &'static str {
    let makes = ["ContainerCreate", "ServiceCreate", "ServiceUpdate"].into_iter().any(allows);
    if commands || makes { BASE } else { VIEW }
}

/// The table whose variables are set.
///
/// # Errors
/// A name that no table has, or variables of two proxies.
pub fn choose(variables: &Variables) -> Result<Option<&'static Table>, Diagnostics> {
    let tables = tables()?;
    let wrong = |message: String| Err(Diagnostic::new(&Location::file(CHOICE), message).into());
    match variables.get(CHOICE).filter(|text| !text.is_empty()) {
        Some("off") => return Ok(None),
        Some(name) => {
            let names = tables.iter().map(|table| table.name.as_str());
            return match tables.iter().find(|table| table.name == name) {
                Some(table) => Ok(Some(table)),
                None => wrong(format!("found {name:?}, expected one of {}, off", names.collect::<Vec<_>>().join(", "))),
            };
        }
        None => {}
    }
    let marked = |table: &'static Table| {
        let set = |mark: &&String| variables.get(mark).is_some_and(|text| !text.is_empty());
        table.marks.iter().find(set).map(|mark| (table, mark))
    };
    let mut found = tables.iter().filter_map(marked);
    match (found.next(), found.next()) {
        // The variables of linuxserver are those of Tecnativa and more.
        (Some((table, _)), None) => Ok(Some(table)),
        (Some((table, _)), Some((other, _))) if table.name == "linuxserver" && other.name == "tecnativa" => {
            Ok(Some(table))
        }
        (Some((table, one)), Some((other, two))) => wrong(format!(
            "{one} belongs to {} and {two} to {}, expected the variables of one, or its name here",
            table.about, other.about
        )),
        (None, _) => Ok(None),
    }
}

/// The operations that are open, each with the variable that opens it.
fn allowed(table: &Table, is_on: impl Fn(&str) -> bool, post: bool, all: bool) -> BTreeMap<&'static str, String> {
    let mut allow = BTreeMap::new();
    let reads =
        |id: &str| operation(id).is_some_and(|operation| matches!(operation.method, Method::Get | Method::Head));
    let raw = |ids: &[&'static str]| -> Vec<&'static str> {
        ids.iter().copied().filter(|id| all && (post || reads(id))).collect()
    };
    for id in table.allow.iter().copied().chain(raw(&table.raw)) {
        allow.insert(id, table.about.clone());
    }
    for (name, variable) in table.switches() {
        if !is_on(name) || variable.needs.as_deref().is_some_and(|needed| !is_on(needed)) {
            continue;
        }
        let with_post = variable.with_post.iter().filter(|_| post);
        for id in variable.allow.iter().chain(with_post).copied().chain(raw(&variable.raw)) {
            allow.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    allow
}

/// Reads values, and keeps what is wrong with them.
struct Reader<'r> {
    table: &'static Table,
    variables: &'r Variables,
    diagnostics: &'r mut Diagnostics,
}

impl Reader<'_> {
    /// Whether a switch is on. Empty is off, as it was there.
    fn switch(&mut self, name: &str, variable: &Variable) -> Option<bool> {
        let text = self.variables.get(name).unwrap_or(&variable.default);
        let words = variable.means == Means::Ipv4;
        let read = value::switch(text, words);
        self.diagnostics.ok(read.map_err(|expected| wrong(name, text, expected)))
    }

    /// The value of the variable with this meaning; empty is as if it were not set.
    fn value<T>(&mut self, means: Means, read: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        let (name, variable) = self.table.meaning(means)?;
        let text = self.variables.get(name).filter(|text| !text.is_empty()).unwrap_or(&variable.default);
        self.diagnostics.ok(read(text).map_err(|expected| wrong(name, text, expected)))
    }

    /// What is shown beyond the base profile.
    fn shown(&mut self) -> Shown {
        let list = |name: &str| -> Vec<String> {
            let text = self.variables.get(name).unwrap_or_default();
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(ToOwned::to_owned).collect()
        };
        let mut shown = Shown { labels: list(LABELS), env: list(ENV), ..Shown::default() };
        for (variable, names) in [(LABELS, &shown.labels), (ENV, &shown.env)] {
            let odd = names.iter().filter(|name| name.contains(|c: char| "?[]{}=".contains(c) || c.is_whitespace()));
            let odd = odd.map(|name| wrong(variable, name, "a name in which only `*` is special"));
            self.diagnostics.extend(odd);
        }
        for item in list(SHOW) {
            match item.parse::<Class>() {
                Ok(class) => shown.classes = shown.classes.with(class),
                Err(_) if item == "all" => shown.all = true,
                Err(_) => {
                    let names: Vec<&str> = Class::ALL.iter().map(|class| class.as_str()).collect();
                    let message = format!("found {item:?}, expected `all` or classes: {}", names.join(", "));
                    self.diagnostics.report(&Location::file(SHOW), message);
                }
            }
        }
        shown
    }
}

fn wrong(name: &str, text: &str, expected: &str) -> Diagnostic {
    Diagnostic::new(&Location::file(name), format!("found {text:?}, expected {expected}"))
}

/// How much the variables of another proxy say is logged; what is wrong with them is for [`Compat::find`] to say.
pub fn log(variables: &Variables) -> Option<LogLevel> {
    Compat::find(variables).ok().flatten()?.log
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Result<Option<Compat>, Vec<String>> {
        let found = Compat::find(&variables.iter().copied().collect());
        found.map_err(|diagnostics| diagnostics.iter().map(ToString::to_string).collect())
    }

    fn compat(variables: &[(&str, &str)]) -> Compat {
        found(variables).unwrap().unwrap()
    }

    #[track_caller]
    fn check_choice(variables: &[(&str, &str)], expected: Option<&str>) {
        let name = found(variables).unwrap().map(|compat| compat.table.name.as_str());
        assert_eq!(name, expected, "{variables:?}");
    }

    #[track_caller]
    fn check_diagnostics(variables: &[(&str, &str)], expected: &[&str]) {
        assert_eq!(found(variables).map(|_| ()).unwrap_err(), expected);
    }

    #[test]
    fn the_proxy_is_read_off_its_variables() {
        check_choice(&[], None);
        check_choice(&[("VERSION", "1.2"), ("TZ", "UTC"), ("LOG_LEVEL", "loud"), ("BUILD", "x")], None);
        check_choice(&[("CONTAINERS", "")], None);
        check_choice(&[("SOCKET_PROXY_UID", "1000")], Some("11notes"));
        check_choice(&[("CONTAINERS", "1")], Some("tecnativa"));
        check_choice(&[("CONTAINERS", "1"), ("ALLOW_LOGS", "1")], Some("linuxserver"));
        check_choice(&[("CONTAINERS", "1"), (CHOICE, "linuxserver")], Some("linuxserver"));
        check_choice(&[(CHOICE, "11notes")], Some("11notes"));
        check_choice(&[("CONTAINERS", "1"), (CHOICE, "off")], None);
        check_diagnostics(
            &[("CONTAINERS", "1"), ("SOCKET_PROXY_GID", "1")],
            &["DOCKVEIL_COMPAT: SOCKET_PROXY_GID belongs to 11notes/socket-proxy and CONTAINERS to \
               Tecnativa/docker-socket-proxy, expected the variables of one, or its name here"],
        );
        check_diagnostics(
            &[(CHOICE, "haproxy")],
            &["DOCKVEIL_COMPAT: found \"haproxy\", expected one of 11notes, linuxserver, tecnativa, off"],
        );
    }

    #[test]
    fn every_value_that_cannot_be_read_is_named() {
        check_diagnostics(
            &[
                ("CONTAINERS", "yes"),
                ("IMAGES", "2"),
                ("LOG_LEVEL", "loud"),
                ("SOCKET_PATH", "x"),
                ("ALLOW_STRAT", "1"),
                (SHOW, "secrets"),
            ],
            &[
                "ALLOW_STRAT: unknown variable, did you mean ALLOW_START?",
                "CONTAINERS: found \"yes\", expected 1, 0, true or false",
                "DOCKVEIL_SHOW: found \"secrets\", expected `all` or classes: secret, command, free-text, host-path, \
                 topology, host, identity, state",
                "IMAGES: found \"2\", expected 1, 0, true or false",
                "LOG_LEVEL: found \"loud\", expected one of emerg, alert, crit, err, warning, notice, info, debug",
                "SOCKET_PATH: found \"x\", expected the path of a socket, or host:port",
            ],
        );
        check_diagnostics(
            &[
                ("SOCKET_PROXY_UID", "root"),
                ("SOCKET_PROXY_TIMEOUT", "30"),
                ("SOCKET_PROXY_KEEPALIVE", "soon"),
                ("SOCKET_PROXY_VOLUME", "run"),
            ],
            &[
                "SOCKET_PROXY_KEEPALIVE: found \"soon\", expected a time such as 500ms, 30s or 1m30s",
                "SOCKET_PROXY_TIMEOUT: found \"30\", expected a time such as 500ms, 30s or 1m30s",
                "SOCKET_PROXY_UID: found \"root\", expected a number such as 1000",
                "SOCKET_PROXY_VOLUME: found \"run\", expected the absolute path of a folder, short enough for a socket in it",
            ],
        );
        check_diagnostics(
            &[("IMAGES", "1"), (LABELS, "a.*, b=1"), (ENV, "A B")],
            &[
                "DOCKVEIL_ENV: found \"A B\", expected a name in which only `*` is special",
                "DOCKVEIL_LABELS: found \"b=1\", expected a name in which only `*` is special",
            ],
        );
        check_diagnostics(
            &[(SHOW, "all")],
            &[
                "DOCKVEIL_SHOW: is read only together with the variables of another socket proxy, expected a profile to \
               say what is shown",
            ],
        );
    }

    #[test]
    fn defaults_are_those_of_the_other_proxy() {
        let eleven = compat(&[(CHOICE, "11notes")]);
        let listeners: Vec<String> = eleven.listeners.iter().map(ToString::to_string).collect();
        assert_eq!(listeners, ["unix:///run/proxy/docker.sock", "tcp://0.0.0.0:2375"]);
        assert_eq!(eleven.upstream.to_string(), "unix:///run/docker.sock");
        assert_eq!(eleven.run_as, Some(RunAs { user: 1000, group: 1000 }));
        assert_eq!(eleven.timeouts.connect, Duration::from_secs(30));
        let tecnativa = compat(&[(CHOICE, "tecnativa")]);
        let open: Vec<&str> = tecnativa.allow.keys().copied().collect();
        assert_eq!(open, ["SystemEvents", "SystemPing", "SystemPingHead", "SystemVersion"]);
        assert_eq!(
            (tecnativa.listeners[0].to_string().as_str(), tecnativa.run_as),
            ("tcp://[::]:2375", Some(RunAs { user: 1000, group: 1000 }))
        );
        assert_eq!(tecnativa.upstream.to_string(), "unix:///var/run/docker.sock");
        assert_eq!(
            compat(&[("DISABLE_IPV6", "yes"), (CHOICE, "tecnativa")]).listeners[0].to_string(),
            "tcp://0.0.0.0:2375"
        );
    }

    /// Whether the variables open an operation.
    #[track_caller]
    fn check(variables: &[(&str, &str)], open: &[&str], closed: &[&str]) {
        let compat = compat(variables);
        for id in open {
            assert!(compat.allow.contains_key(id), "{id} with {variables:?}");
        }
        for id in closed {
            assert!(!compat.allow.contains_key(id), "{id} with {variables:?}");
        }
    }

    #[test]
    fn writing_takes_the_switch_for_it_and_that_of_the_section() {
        check(
            &[("CONTAINERS", "1")],
            &["ContainerList", "ContainerLogs"],
            &["ContainerStart", "ContainerAttachWebsocket"],
        );
        check(&[("POST", "1")], &["SystemPing"], &["ContainerStart", "ImageBuild"]);
        check(&[("POST", "true"), ("CONTAINERS", "TRUE")], &["ContainerStart", "ContainerExec"], &["ExecStart"]);
        check(
            &[("ALLOW_RESTARTS", "1")],
            &["ContainerRestart", "ContainerStop", "ContainerKill"],
            &["ContainerStart", "ContainerList"],
        );
        check(
            &[("EVENTS", "0"), ("PING", ""), ("VERSION", "false")],
            &[],
            &["SystemEvents", "SystemPing", "SystemVersion"],
        );
    }

    #[test]
    fn linuxserver_has_switches_inside_a_section() {
        let chosen = (CHOICE, "linuxserver");
        check(
            &[("CONTAINERS", "1"), chosen],
            &["ContainerList"],
            &["ContainerLogs", "ContainerTop", "ContainerExport"],
        );
        check(&[("CONTAINERS", "1"), ("ALLOW_LOGS", "1")], &["ContainerLogs"], &["ContainerTop"]);
        check(&[("ALLOW_LOGS", "1")], &[], &["ContainerLogs", "ContainerList"]);
        check(&[("ALLOW_PAUSE", "1")], &["ContainerPause"], &["ContainerUnpause"]);
        check(&[("CONTAINERS", "1"), ("ALLOW_ARCHIVE", "1")], &["ContainerArchive"], &["PutContainerArchive"]);
    }

    #[test]
    fn archives_take_a_loud_word() {
        let raw = ["ContainerExport", "ContainerArchive", "ContainerArchiveInfo"];
        check(&[("CONTAINERS", "1")], &[], &raw);
        check(&[("CONTAINERS", "1"), (SHOW, "all")], &raw, &["ContainerCopy", "ImageGet"]);
        check(&[("CONTAINERS", "1"), ("POST", "1"), (SHOW, "all")], &["ContainerCopy"], &[]);
        check(&[(CHOICE, "11notes")], &["ContainerLogs"], &["DebugPprofNamed", "ContainerExport", "SecretList"]);
        check(&[(CHOICE, "11notes"), (SHOW, "all")], &["DebugPprofNamed"], &["ContainerExport", "ImageGet"]);
        let notes = compat(&[("CONTAINERS", "1"), (SHOW, "all")]).notes;
        assert!(notes.iter().any(|note| note.starts_with("warning: DOCKVEIL_SHOW=all")), "{notes:?}");
    }

    #[test]
    fn what_is_not_supported_is_said() {
        let notes = compat(&[("LIBPOD_IMAGES", "1"), ("LIBPOD_INFO", "0"), ("TZ", "UTC"), ("CONTAINERS", "true")])
            .notes
            .join("\n");
        for part in ["LIBPOD_IMAGES: not supported", "TZ: not supported", "CONTAINERS=true: HAProxy takes words for 0"]
        {
            assert!(notes.contains(part), "{part} in {notes}");
        }
        assert!(!notes.contains("LIBPOD_INFO"), "{notes}");
    }
}
