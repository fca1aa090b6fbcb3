//! Drop-in modes: the environment variables of another socket proxy, in place of a configuration file.
//!
//! The variables that are set tell which proxy is replaced; `filters/compat` says what each of them means. The result is
//! what a configuration file would say: an engine, listeners, a profile.

mod note;
mod opening;
mod reader;
mod table;
mod value;

use std::collections::{BTreeMap, BTreeSet};

pub use note::CompatNote;
pub use table::{Means, SharedVariables, Table, Variable, Verdict, forks, tables};

use self::reader::VariableReader;
use super::{LONGEST_TIMEOUT, Timeouts};
use crate::api::objects::ObjectKind;
use crate::api::{Method, OPERATIONS, Operation, lists, operation};
use crate::cli::{Environment, LogLevel, Variables};
use crate::filter::NamesShown;
use crate::profile::{OpenedBy, Profile, RequestContents, StreamFiltering};
use crate::quoting;
use crate::schema::{Class, ClassSet};
use crate::socket::Address;
use crate::visibility::Restriction;
use crate::yaml::{Diagnostic, Diagnostics, Location, nearest};

/// The base profile of clients that may see commands, or create containers from what they read.
const BASE: &str = "drop-in";
/// The base profile of all other clients.
const VIEW: &str = "drop-in-view";
/// The variable that names a table, or is `off`.
const CHOICE: &str = "DOCKVEIL_COMPAT";
/// The variable of more classes to show, or `all`.
const SHOW: &str = "DOCKVEIL_SHOW";
/// The variable of more labels to show.
const LABELS: &str = "DOCKVEIL_LABELS";
/// The variable of the containers that are shown.
const CONTAINERS: &str = "DOCKVEIL_CONTAINERS";
/// The variable of more environment variables to show.
const ENV: &str = "DOCKVEIL_ENV";

/// The proxy that variables belong to.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The proxy.
    pub table: &'static Table,
    /// The variable that tells.
    pub by: &'static str,
    /// Whether the variables can belong to nothing else. One ordinary word such as `INFO` may be in any shell.
    pub certain: bool,
}

/// What the variables of another proxy amount to.
#[derive(Clone, Debug)]
pub struct Compat {
    /// The proxy.
    pub table: &'static Table,
    /// The engine.
    pub upstream: Address,
    /// Where clients connect.
    pub listeners: Vec<Address>,
    /// Limits of time.
    pub timeouts: Timeouts,
    /// The user that the process becomes, which also owns the Unix socket.
    pub run_as: Option<RunAs>,
    /// The log level.
    pub log_level: Option<LogLevel>,
    /// The operations that are allowed, each with the variable that allows it.
    pub allow: BTreeMap<&'static str, String>,
    /// The switches that are on.
    switches: Switches,
    /// What is shown in addition to the base profile.
    pub extra: ExtraShow,
    /// What the operator should know.
    pub notes: Vec<CompatNote>,
}

/// The user and group that a process started as root becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// The number of the user.
    pub user: u32,
    /// The number of the group.
    pub group: u32,
}

/// What is shown in addition to the base profile.
#[derive(Clone, Debug, Default)]
pub struct ExtraShow {
    /// Everything, as the other proxy did.
    pub all: bool,
    classes: ClassSet,
    labels: Vec<String>,
    env: Vec<String>,
    /// The containers that are shown. `None`: all.
    containers: Option<Restriction>,
}

/// The switches of a table that are on.
#[derive(Clone, Debug)]
struct Switches {
    table: &'static Table,
    on: BTreeSet<&'static str>,
}

impl Switches {
    /// Whether a switch is on.
    fn is_on(&self, name: &str) -> bool {
        self.on.contains(name)
    }

    /// Turns a switch on. Returns whether it was off.
    fn turn_on(&mut self, name: &str) -> bool {
        self.table.variables.get_key_value(name).is_some_and(|(name, _)| self.on.insert(name))
    }

    /// Whether the switches for writing allow an operation, as far as its method decides.
    fn writes(&self, operation: &Operation) -> bool {
        let writing = self.table.variables.iter().filter(|(name, row)| row.means == Means::Post && self.is_on(name));
        let method = operation.method.as_str();
        writing.into_iter().any(|(_, row)| row.methods.is_empty() || row.methods.iter().any(|one| one == method))
    }

    /// Whether the one switch with this meaning is on.
    fn means(&self, means: Means) -> bool {
        self.table.meaning(means).is_some_and(|(name, _)| self.is_on(name))
    }
}

impl Compat {
    /// What the variables mean; `None` if it is not certain that they are those of another proxy.
    ///
    /// # Errors
    /// Every variable whose value cannot be read.
    pub fn find(environment: &Environment) -> Result<Option<Self>, Diagnostics> {
        let variables = &environment.variables;
        if let Some(choice) = choose(variables, environment.in_image())?.filter(|choice| choice.certain) {
            return Self::read(choice.table, variables).map(Some);
        }
        let mut diagnostics = Diagnostics::default();
        for name in [SHOW, LABELS, ENV, CONTAINERS].into_iter().filter(|name| variables.get(name).is_some()) {
            let message = "only read in place of another socket proxy: use a profile to choose what is shown";
            diagnostics.report(&Location::file(name), message);
        }
        diagnostics.finish(None)
    }

    /// What the variables of the proxy in `table` mean.
    ///
    /// # Errors
    /// Every variable whose value cannot be read.
    pub fn read(table: &'static Table, variables: &Variables) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        check_names(table, variables, &mut diagnostics);
        let mut reader = VariableReader { table, variables, diagnostics: &mut diagnostics };
        let switches = reader.switches();
        reader.check_refused(&switches);
        let upstream = reader.value(Means::Socket, value::engine).or_else(|| table.engine.clone());
        let port = reader.value(Means::Port, value::port);
        let connect = reader.value(Means::Connect, value::go_duration);
        reader.value(Means::Duration, value::go_duration);
        let log_level = reader.value(Means::Log, value::severity);
        let volume = reader.value(Means::Volume, value::folder);
        let user = reader.value(Means::User, value::number);
        let group = reader.value(Means::Group, value::number);
        let extra = reader.extra();

        // For Go, a timeout of zero is none.
        let connect = connect.map(|time| if time.is_zero() { LONGEST_TIMEOUT } else { time });
        let timeouts = Timeouts { connect: connect.unwrap_or(table.timeouts.connect), ..table.timeouts };
        let run_as = user.zip(group).map(|(user, group)| RunAs { user, group }).or(table.run_as);
        let allow = allowed(&switches, &extra);
        let mut notes = note::of_switches(&switches, variables);
        notes.extend(note::of_missing(table, variables));
        notes.extend(note::of_strangers(table, variables));
        notes.extend(note::of_table(table, variables));
        notes.extend(note::of_shown(table, &extra, &allow));
        let compat = upstream.map(|upstream| Self {
            table,
            upstream,
            listeners: listeners(volume, port, &switches),
            timeouts,
            run_as,
            log_level,
            allow,
            switches,
            extra,
            notes,
        });
        diagnostics.finish_option(compat)
    }

    /// The name of the profile of its clients.
    pub fn profile_name(&self) -> String {
        format!("compat:{}", self.table.name)
    }

    /// The variables of this proxy that are set.
    pub fn set<'v>(&self, variables: &'v Variables) -> impl Iterator<Item = &'v str> {
        variables.names().filter(|name| self.table.variables.contains_key(*name))
    }

    /// Whether a variable allows an operation.
    pub fn allows_by(&self, variable: &str) -> bool {
        self.allow.values().any(|by| by == variable)
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.switches.is_on(name)
    }

    /// The name of the profile that the profile of its clients is made from.
    pub fn base(&self) -> &'static str {
        let commands = self.extra.all || self.extra.classes.contains(Class::Command);
        if commands { BASE } else { base(|id| self.allow.contains_key(id)) }
    }

    /// The profile of its clients, made from the base profile.
    pub fn profile(&self, base: &Profile) -> Profile {
        let mut profile = base.clone();
        profile.name = self.profile_name();
        profile.location = Location::file(&profile.name);
        profile.about = format!("What {} let through, with the variables that are set.", self.table.about);
        profile.allow = self.allow.iter().map(|(id, variable)| (*id, Location::file(variable))).collect();
        // The other proxy looked at no parameter and no body. Of reads that are filtered, the usual parameters are enough.
        let allowed = self.allow.iter().filter_map(|(id, variable)| Some((operation(id)?, variable)));
        for (operation, variable) in allowed.filter(|(operation, _)| operation.mutating || self.extra.all) {
            // Where the variables hide containers, a body must not reach these by way of the host.
            let all = RequestContents::all(operation).unsaid().decided_at(Location::file(variable));
            profile.parameters.insert(operation.id, all);
        }
        let classes = if self.extra.all { ClassSet::ALL } else { self.extra.classes };
        for class in classes.iter() {
            profile.classes.insert(class, Location::file(SHOW));
            profile.show.classes = profile.show.classes.with(class);
        }
        if self.extra.all {
            profile.show.unknown = true;
            profile.show.mask = false;
            profile.rules.clear();
            // The exclusions of the base profile, too.
            profile.show.names = NamesShown::default();
            (profile.events, profile.stats) = (StreamFiltering::Untouched, StreamFiltering::Untouched);
            profile.lines.show_all(&Location::file(SHOW));
        }
        for (list, names, variable) in [(lists::LABELS, &self.extra.labels, LABELS), (lists::ENV, &self.extra.env, ENV)]
        {
            profile.show.names.extend(list, names);
            profile.lines.list(list, names, &Location::file(variable));
        }
        let containers = self.extra.containers.clone();
        profile.objects.extend(containers.map(|shown| (ObjectKind::Container, shown, Location::file(CONTAINERS))));
        profile.opened_by = OpenedBy::Variables(opening::opening(&self.switches, &self.extra));
        profile
    }
}

/// The name of the base profile for clients that may do what `allows` says. Clients that only look are shown that there is
/// a command; those that create containers would create them with that placeholder.
pub fn base(allows: impl Fn(&str) -> bool) -> &'static str {
    let creates = OPERATIONS.iter().any(|operation| operation.creates_containers() && allows(operation.id));
    if creates { BASE } else { VIEW }
}

/// The proxy whose variables are set. In a container (`in_image`) nothing strays into the environment, so one ordinary word is
/// enough there.
///
/// # Errors
/// An unknown name in `DOCKVEIL_COMPAT`, or variables of two proxies.
pub fn choose(variables: &Variables, in_image: bool) -> Result<Option<Choice>, Diagnostics> {
    let error = |message: String| Err(Diagnostic::new(&Location::file(CHOICE), message).into());
    let chosen = variables.get(CHOICE).filter(|text| !text.is_empty());
    if chosen.is_none() && !table::any_is_told(|name| is_set(variables, name))? {
        return Ok(None);
    }
    let tables = tables()?;
    match chosen {
        Some("off") => return Ok(None),
        Some(name) => {
            let names = tables.iter().map(|table| table.name.as_str());
            return match tables.iter().find(|table| table.name == name) {
                Some(table) => Ok(Some(Choice { table, by: CHOICE, certain: true })),
                None => error(format!(
                    "found {:?}, expected one of {}, off",
                    quoting::value(name),
                    names.collect::<Vec<_>>().join(", ")
                )),
            };
        }
        None => {}
    }
    let certain = in_image || [SHOW, LABELS, ENV, CONTAINERS].iter().any(|name| is_set(variables, name));
    let found: Vec<Choice> = tables.iter().filter_map(|table| recognised(table, variables, certain)).collect();
    match found.as_slice() {
        [] => Ok(None),
        [choice] => Ok(Some(*choice)),
        [choice, other, ..] if choice.table.shares_with(other.table) => Ok(Some(*choice)),
        [one, two, ..] => error(format!(
            "{} belongs to {} and {} to {}: set the variables of one only, or name it here",
            one.by, one.table.about, two.by, two.table.about
        )),
    }
}

/// Whether variables are those of the proxy in `table`, and the variable that tells. One word is enough if it is `certain` that
/// another proxy is replaced.
fn recognised(table: &'static Table, variables: &Variables, certain: bool) -> Option<Choice> {
    if let Some(mark) = table.marks.iter().find(|mark| is_set(variables, mark)) {
        return Some(Choice { table, by: mark, certain: true });
    }
    let by = table.words.iter().find(|word| is_set(variables, word))?;
    let switches = table.words.iter().filter_map(|word| variables.get(word));
    let switches = switches.filter(|text| !text.is_empty() && value::is_switch(text)).count();
    Some(Choice { table, by, certain: certain || switches > 1 })
}

/// Whether a variable has a value.
fn is_set(variables: &Variables, name: &str) -> bool {
    variables.get(name).is_some_and(|text| !text.is_empty())
}

/// The log level that the variables of another proxy set. Errors in them are reported by [`Compat::find`].
pub fn log_level(environment: &Environment) -> Option<LogLevel> {
    Compat::find(environment).ok().flatten()?.log_level
}

/// Reports variables that look like those of a table and are not in it.
fn check_names(table: &Table, variables: &Variables, diagnostics: &mut Diagnostics) {
    let prefixed = |name: &&str| table.prefixes.iter().any(|prefix| name.starts_with(prefix));
    for name in variables.names().filter(prefixed).filter(|name| !table.variables.contains_key(*name)) {
        let expected = match nearest(name, table.variables.keys().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("expected one that {} reads", table.about),
        };
        diagnostics.report(&Location::file(name), format!("unknown variable, {expected}"));
    }
}

/// The operations that are allowed, each with the variable that allows it.
fn allowed(switches: &Switches, extra: &ExtraShow) -> BTreeMap<&'static str, String> {
    let table = switches.table;
    let writes = |id: &str| operation(id).is_some_and(|operation| switches.writes(operation));
    let reads =
        |id: &str| operation(id).is_some_and(|operation| matches!(operation.method, Method::Get | Method::Head));
    let raw = |ids: &[&'static str]| -> Vec<&'static str> {
        ids.iter().copied().filter(|id| extra.all && (writes(id) || reads(id))).collect()
    };
    let mut allow = BTreeMap::new();
    for id in table.allow.iter().copied().chain(raw(&table.raw)) {
        allow.insert(id, table.about.clone());
    }
    for (name, variable) in table.switches() {
        if !switches.is_on(name) || variable.needs.as_deref().is_some_and(|needed| !switches.is_on(needed)) {
            continue;
        }
        // What reads by its method and writes all the same needs the switch for POST.
        let post = switches.means(Means::Post);
        let with_post = variable.with_post.iter().filter(|id| writes(id) || (post && reads(id)));
        for id in variable.allow.iter().chain(with_post).copied().chain(raw(&variable.raw)) {
            allow.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    allow
}

/// The addresses that the other proxy listened on: a socket in its folder, if it had one, and TCP.
fn listeners(folder: Option<std::path::PathBuf>, port: Option<u16>, switches: &Switches) -> Vec<Address> {
    let socket = folder.map(|folder| Address::Unix(folder.join("docker.sock")));
    let with_port = |address: Address| match (address, port) {
        (Address::Tcp { host, .. }, Some(port)) => Address::Tcp { host, port },
        (address, _) => address,
    };
    let tcp = switches.table.listen.iter().cloned().map(with_port).map(|address| match address {
        Address::Tcp { port, .. } if switches.means(Means::Ipv4) => Address::Tcp { host: "0.0.0.0".to_owned(), port },
        address @ (Address::Tcp { .. } | Address::Unix(_)) => address,
    });
    socket.into_iter().chain(tcp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What variables mean in a container.
    fn found(variables: &[(&str, &str)]) -> Result<Option<Compat>, Vec<String>> {
        let default_config = Some("/etc/dockveil.yaml".into());
        let variables = variables.iter().copied().collect();
        let found = Compat::find(&Environment { variables, default_config, ..Environment::default() });
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
    fn the_variables_tell_which_proxy_is_replaced() {
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
               Tecnativa/docker-socket-proxy: set the variables of one only, or name it here"],
        );
        check_diagnostics(
            &[(CHOICE, "haproxy")],
            &["DOCKVEIL_COMPAT: found \"haproxy\", expected one of 11notes, linuxserver, tecnativa, off"],
        );
    }

    #[test]
    fn every_bad_value_is_reported() {
        check_diagnostics(
            &[
                ("CONTAINERS", "1"),
                ("LOG_LEVEL", "loud"),
                ("SOCKET_PATH", "x"),
                ("ALLOW_STRAT", "1"),
                (SHOW, "secrets"),
            ],
            &[
                "ALLOW_STRAT: unknown variable, did you mean ALLOW_START?",
                "DOCKVEIL_SHOW: found \"secrets\", expected `all` or classes: secret, command, free-text, host-path, \
                 topology, host, identity, state",
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
                "DOCKVEIL_ENV: found \"A B\", expected a name in which only `*`, and `!` before it, are special",
                "DOCKVEIL_LABELS: found \"b=1\", expected a name in which only `*`, and `!` before it, are special",
            ],
        );
        check_diagnostics(
            &[("IMAGES", "1"), (CONTAINERS, "projct=shop, web, !nam=a")],
            &[
                "DOCKVEIL_CONTAINERS: found \"web\", expected one of project, label, name, image, then `=` and a pattern",
                "DOCKVEIL_CONTAINERS: unknown key \"nam\", did you mean \"name\"?",
                "DOCKVEIL_CONTAINERS: unknown key \"projct\", did you mean \"project\"?",
            ],
        );
        check_diagnostics(
            &[(SHOW, "all")],
            &["DOCKVEIL_SHOW: only read in place of another socket proxy: use a profile to choose what is shown"],
        );
    }

    #[test]
    fn defaults_are_those_of_the_other_proxy() {
        let eleven = compat(&[(CHOICE, "11notes")]);
        let listeners: Vec<String> = eleven.listeners.iter().map(ToString::to_string).collect();
        assert_eq!(listeners, ["unix:///run/proxy/docker.sock", "tcp://0.0.0.0:2375"]);
        assert_eq!(eleven.upstream.to_string(), "unix:///run/docker.sock");
        assert_eq!(eleven.run_as, Some(RunAs { user: 1000, group: 1000 }));
        assert_eq!(eleven.timeouts.connect, std::time::Duration::from_secs(30));
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
        check(&[("POST", "2"), ("CONTAINERS", "1")], &["ContainerStart", "ContainerExec"], &["ExecStart"]);
        check(&[("POST", "true"), ("CONTAINERS", "1")], &["ContainerList"], &["ContainerStart", "ContainerCreate"]);
        check(
            &[("ALLOW_RESTARTS", "1"), ("POST", "1")],
            &["ContainerRestart", "ContainerStop", "ContainerKill"],
            &["ContainerStart", "ContainerList"],
        );
        check(&[("ALLOW_RESTARTS", "1"), ("ALLOW_START", "1")], &[], &["ContainerRestart", "ContainerStart"]);
        check(&[("ALLOW_RESTARTS", "1"), (CHOICE, "linuxserver")], &["ContainerRestart"], &["ContainerStart"]);
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
        let all = compat(&[("CONTAINERS", "1"), (SHOW, "all")]);
        assert!(all.notes.contains(&CompatNote::ShowsAll { proxy: &all.table.about }), "{:?}", all.notes);
    }

    #[test]
    fn one_ordinary_word_tells_nothing_outside_a_container() {
        let certain = |variables: &[(&str, &str)]| {
            let variables = variables.iter().copied().collect();
            choose(&variables, false).unwrap().map(|choice| (choice.table.name.as_str(), choice.certain))
        };
        for word in tables().unwrap().iter().flat_map(|table| &table.words) {
            assert_eq!(certain(&[(word, "1")]), Some(("tecnativa", false)), "{word}");
            assert_eq!(certain(&[(word, "1"), (CHOICE, "tecnativa")]), Some(("tecnativa", true)), "{word}");
            assert_eq!(certain(&[(word, "1"), ("VERSION", "1.2"), ("LOG_LEVEL", "info")]), Some(("tecnativa", false)));
        }
        for mark in tables().unwrap().iter().flat_map(|table| &table.marks) {
            assert!(certain(&[(mark, "1")]).unwrap().1, "{mark}");
        }
        assert_eq!(certain(&[("INFO", "1"), ("POST", "0")]), Some(("tecnativa", true)));
        assert_eq!(certain(&[("INFO", "1"), ("POST", "")]), Some(("tecnativa", false)));
        assert_eq!(certain(&[("INFO", "a text"), ("SECRETS", "/srv/secrets")]), Some(("tecnativa", false)));
        assert_eq!(certain(&[("INFO", "1"), (SHOW, "all")]), Some(("tecnativa", true)));
        assert_eq!(certain(&[("VERSION", "1"), ("BUILD", "1")]), None);
    }

    #[test]
    fn notes_are_about_what_is_not_as_it_was() {
        let found = compat(&[
            ("LIBPOD_IMAGES", "1"),
            ("LIBPOD_INFO", "0"),
            ("TZ", "UTC"),
            ("CONTAINERS", "True"),
            ("IMAGES", "1x"),
            ("SECRETS", "hunter2"),
            ("ALLOW_TOP", "1"),
            ("INFO", "off"),
        ]);
        let said: Vec<String> = found.notes.iter().map(ToString::to_string).collect();
        for expected in [
            "CONTAINERS=True is off, as in linuxserver/socket-proxy, which reads only a number other than 0 as on: \
             write CONTAINERS=1",
            "SECRETS is off, as in linuxserver/socket-proxy, which reads only a number other than 0 as on: write \
             SECRETS=1",
            "IMAGES starts with a number that is not 0, so it is on, as in linuxserver/socket-proxy",
            "ALLOW_TOP has no effect without CONTAINERS=1, there and here",
        ] {
            assert!(said.iter().any(|said| said == expected), "{expected}: {said:#?}");
        }
        assert!(!said.iter().any(|said| said.contains("INFO") || said.contains("hunter2")), "{said:#?}");
        let notes = found.notes;
        let missing: Vec<&str> = notes
            .iter()
            .filter_map(
                |note| if let CompatNote::NotSupported { variable, .. } = note { Some(*variable) } else { None },
            )
            .collect();
        assert_eq!(missing, ["LIBPOD_IMAGES", "TZ"]);
    }

    #[test]
    fn shared_variables_are_noted_unless_the_proxy_is_named() {
        let shared = |variables: &[(&str, &str)]| {
            compat(variables).notes.iter().any(|note| matches!(note, CompatNote::SharedVariables { .. }))
        };
        assert!(shared(&[("CONTAINERS", "1")]));
        assert!(!shared(&[("CONTAINERS", "1"), (CHOICE, "tecnativa")]));
        assert!(!shared(&[("CONTAINERS", "1"), ("ALLOW_LOGS", "1")]));
    }

    #[test]
    fn creating_containers_is_warned_about_unless_everything_is_shown() {
        let create = [("CONTAINERS", "1"), ("POST", "1")];
        assert!(compat(&create).notes.contains(&CompatNote::LosesHidden));
        assert!(!compat(&[create[0], create[1], (SHOW, "all")]).notes.contains(&CompatNote::LosesHidden));
        assert!(!compat(&create[..1]).notes.contains(&CompatNote::LosesHidden));
    }
}
