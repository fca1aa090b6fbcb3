//! Command-line arguments and environment variables, as typed.
//!
//! Only their form is checked here. What a URL, a directory or a profile means is checked by `config`, which can then
//! report every error at once.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::quoting;
use crate::socket::PassedSockets;

/// Printed after the options of `--help`. No line is longer than 80 columns, so that none is wrapped in a terminal.
const EXAMPLES: &str = "\
Examples:
  dockveil                                 serve the profile \"dashboard\"
  dockveil serve --config dockveil.yaml    serve what a configuration file says
  dockveil check --config dockveil.yaml    check it and list what it exposes
  dockveil profiles                        list the built-in profiles
  dockveil explain 'GET /v1.44/containers/web/json'
                                           show what happens to one request

Environment:
  DOCKER_HOST      the engine, if neither --upstream nor the file names one
  DOCKER_TLS_VERIFY, DOCKER_TLS, DOCKER_CERT_PATH
                   TLS with the engine, as for the docker command
  DOCKVEIL_UPSTREAM, DOCKVEIL_LISTEN, DOCKVEIL_PROFILE, DOCKVEIL_HOSTS,
  DOCKVEIL_FILTERS, DOCKVEIL_API, DOCKVEIL_METRICS
                   as the arguments, which win over them; they win over the
                   file; commas between values
  DOCKVEIL_CONFIG  the configuration file, if --config is not given
  DOCKVEIL_DEFAULT_CONFIG
                   the configuration file, if nothing else says what to serve
  DOCKVEIL_AUDIT   the audit file
  DOCKVEIL_LOG     the log level: error, warn, info (default), debug or off
  DOCKVEIL_LOG_FORMAT
                   the lines of the log: logfmt (default) or json
  XDG_RUNTIME_DIR  the directory of the default socket

Environment in place of another socket proxy:
  DOCKVEIL_COMPAT  whose variables to read: 11notes, tecnativa, linuxserver, or
                   off; by default chosen by the variables that are set,
                   unless --config or --profile is given
  DOCKVEIL_SHOW    more classes to show, or all
  DOCKVEIL_LABELS  more labels to show, by name
  DOCKVEIL_ENV     more environment variables to show, by name
  DOCKVEIL_CONTAINERS
                   the containers to show, as project=shop,name=web-*; by
                   default all

Exit status:
   0  success
   1  unhealthy, or the document was withheld
  64  bad arguments
  70  cannot serve
  78  bad configuration";

/// Shows a client of the Docker Engine API what it needs to see, without the secrets.
///
/// dockveil listens like a Docker engine and forwards requests to the real one. It lets through only the operations that a
/// profile allows and only the fields that it shows. Without a subcommand it serves.
#[derive(Parser, Debug)]
#[command(
    name = "dockveil",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    after_help = EXAMPLES
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
    /// The health check of the 11notes/socket-proxy image calls its program with this flag.
    #[arg(long, hide = true)]
    healthcheck: bool,
}

/// One subcommand with its arguments.
#[derive(Subcommand, Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve clients (the default)
    Serve(ServeArgs),
    /// Check a configuration: report every error, or list what it exposes
    Check(CheckArgs),
    /// Show what happens to one request, and which line of which file decides it
    Explain(ExplainArgs),
    /// Filter the body of one response from standard input to standard output
    ///
    /// If the document is withheld, the exit status is 1 and the reason is on standard error.
    Filter(FilterArgs),
    /// Ask a running dockveil whether it is healthy
    ///
    /// Sends GET /_ping to a listener. The exit status is 0 if the answer is 200, and 1 otherwise.
    Healthcheck(HealthcheckArgs),
    /// List the profiles, with what they allow and show
    Profiles(ProfilesArgs),
    /// Convert the configuration of another socket proxy
    ///
    /// Reads a Compose file, docker run lines, a quadlet, variables and arguments, or the rules of another proxy, and writes a
    /// configuration file for dockveil. The comments in it say what differs.
    Migrate(MigrateArgs),
    /// List the schemas of the API, or the fields of one with type, class and versions
    Catalogue(CatalogueArgs),
    /// Print the JSON Schema of a file, by which editors complete and check it
    ///
    /// For the YAML language server: dockveil schema > dockveil.schema.json, and in the first line of the file
    /// # yaml-language-server: $schema=dockveil.schema.json
    Schema(SchemaArgs),
    /// Show what dockveil does, without Docker
    ///
    /// Runs the proxy in front of an engine that is part of the program.
    Demo,
    /// Print a script that completes arguments in a shell
    ///
    /// For bash: dockveil completions bash > /etc/bash_completion.d/dockveil
    Completions(CompletionsArgs),
    /// Print a page of the manual, or write all of them
    ///
    /// To read it: dockveil man | man -l -
    Man(ManArgs),
}

/// The file that stands for standard input, as an argument or in `DOCKVEIL_CONFIG`.
pub const STANDARD_INPUT: &str = "-";

impl Command {
    /// How it prints what it finds.
    pub fn output(&self) -> Output {
        match self {
            Self::Check(arguments) => arguments.output.output,
            Self::Explain(arguments) => arguments.output.output,
            Self::Profiles(arguments) => arguments.output.output,
            Self::Catalogue(arguments) => arguments.output.output,
            Self::Serve(_)
            | Self::Filter(_)
            | Self::Healthcheck(_)
            | Self::Migrate(_)
            | Self::Schema(_)
            | Self::Demo
            | Self::Completions(_)
            | Self::Man(_) => Output::Text,
        }
    }

    /// The files of the configuration; `None` for a command that reads none of them.
    pub fn files(&self) -> Option<&ConfigFiles> {
        match self {
            Self::Serve(arguments) => Some(&arguments.files),
            Self::Check(arguments) => Some(&arguments.serve.files),
            Self::Explain(arguments) => Some(&arguments.files),
            Self::Filter(arguments) => Some(&arguments.files),
            // With a target, it reads no file.
            Self::Healthcheck(arguments) => arguments.target.is_none().then_some(&arguments.files),
            Self::Profiles(arguments) => Some(&arguments.files),
            Self::Catalogue(arguments) => Some(&arguments.files),
            Self::Migrate(_) | Self::Demo | Self::Completions(_) | Self::Man(_) | Self::Schema(_) => None,
        }
    }
}

/// The files that most commands read.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigFiles {
    /// Configuration file (YAML); - is standard input
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of more profiles and classes (profile/*.yaml, class/*.yaml); repeatable
    #[arg(long, value_name = "DIR")]
    pub filters: Vec<PathBuf>,
}

/// How a command prints what it finds.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// The argument that says so.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputArg {
    /// How to print
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    pub output: Output,
}

/// The arguments of `check`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckArgs {
    /// What would be served.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// How to print it.
    #[command(flatten)]
    pub output: OutputArg,
}

/// The arguments of `serve` and `check`. They complete the configuration file, or replace it.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ServeArgs {
    /// The files to read.
    #[command(flatten)]
    pub files: ConfigFiles,
    /// Docker engine: unix:///path/to/docker.sock, tcp://host:port or ssh://user@host
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// Listen here: unix:///path or tcp://host:port; repeatable; replaces the listeners of the file
    #[arg(long, value_name = "URL")]
    pub listen: Vec<String>,
    /// Profile of every listener that names none, such as those of --listen [default: dashboard]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Host name, besides the loopback ones, that TCP listeners without `hosts` accept; repeatable; '*' accepts any
    /// [default: any, but loopback names only at a loopback address]
    #[arg(long, value_name = "NAME")]
    pub hosts: Vec<String>,
    /// API versions that clients may use: min=VERSION, max=VERSION, pin=VERSION; repeatable; each replaces that of
    /// DOCKVEIL_API and of the file
    #[arg(long, value_name = "KEY=VERSION")]
    pub api: Vec<String>,
    /// Tell metrics and health here: unix:///path or tcp://host:port
    #[arg(long, value_name = "URL")]
    pub metrics: Option<String>,
}

/// The arguments of `explain`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ExplainArgs {
    /// The files to read.
    #[command(flatten)]
    pub files: ConfigFiles,
    /// How to print it.
    #[command(flatten)]
    pub output: OutputArg,
    /// Profile of the client [default: that of the first listener]
    #[arg(long, value_name = "NAME", conflicts_with = "client")]
    pub profile: Option<String>,
    /// What is known of the client: which line of `clients` names it, and what then happens; repeatable. uid=1000, gid=990,
    /// address=172.20.0.5, certificate=cn=NAME (or dns, uri, spiffe, key), container=name=NAME (or project, label, image), or
    /// container=none
    #[arg(long = "as", value_name = "FACT")]
    pub client: Vec<String>,
    /// Host name that the request is addressed to, as in its header field `Host`
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Method and target: GET /v1.44/containers/web/json, in quotes or not; GET may be left out
    #[arg(value_name = "REQUEST", required = true, num_args = 1..=3)]
    pub request: Vec<String>,
}

/// The arguments of `catalogue`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogueArgs {
    /// The files to read.
    #[command(flatten)]
    pub files: ConfigFiles,
    /// How to print it.
    #[command(flatten)]
    pub output: OutputArg,
    /// List only fields that this API version has
    #[arg(long, value_name = "VERSION")]
    pub api: Option<String>,
    /// Schema, or an operation that returns one, such as ContainerInspect [default: list all schemas]
    #[arg(value_name = "SCHEMA")]
    pub schema: Option<String>,
}

/// The arguments of `filter`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct FilterArgs {
    /// The files to read.
    #[command(flatten)]
    pub files: ConfigFiles,
    /// Profile to apply
    #[arg(long, value_name = "NAME", default_value = "dashboard")]
    pub profile: String,
    /// Operation whose response is on standard input, such as ContainerInspect
    #[arg(long, value_name = "ID")]
    pub operation: String,
    /// API version of the document; an error if it does not have the operation
    #[arg(long, value_name = "VERSION")]
    pub api: Option<String>,
    /// Print what changed, one path per line, instead of the document
    #[arg(long)]
    pub diff: bool,
}

/// The arguments of `healthcheck`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthcheckArgs {
    /// Listener to ask: unix:///path or tcp://host:port [default: the first one of the configuration]
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// Ask at most once in this time: wait first, unless the container has just started
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub every: Option<u16>,
    /// The files to read.
    #[command(flatten)]
    pub files: ConfigFiles,
}

/// The arguments of `profiles`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfilesArgs {
    /// The files to read.
    #[command(flatten)]
    pub files: ConfigFiles,
    /// How to print it.
    #[command(flatten)]
    pub output: OutputArg,
}

/// The arguments of `migrate`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrateArgs {
    /// Compose file, script, quadlet, environment file, or rules of the other proxy [default: -, standard input]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Service or container, if several run a socket proxy
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// The proxy, whatever its image is called: tecnativa for a fork with the same variables
    #[arg(long = "as", value_name = "PROXY")]
    pub proxy: Option<String>,
}

/// The arguments of `completions`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// The arguments of `schema`.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchemaArgs {
    /// The file
    #[arg(value_name = "FILE", value_enum, default_value_t)]
    pub file: SchemaFile,
}

/// A file that has a schema.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemaFile {
    /// The configuration file
    #[default]
    Config,
    /// A profile in a directory of filters
    Profile,
    /// A class file in a directory of filters
    Class,
}

/// The arguments of `man`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ManArgs {
    /// The command that the page is about [default: all of dockveil]
    #[arg(value_name = "COMMAND", conflicts_with = "directory")]
    pub command: Option<String>,
    /// Write every page into this directory, such as ~/.local/share/man/man1
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// The names that a shell can complete besides those of options. Others can be typed all the same.
#[derive(Clone, Debug, Default)]
pub struct CompletedNames {
    /// Those of profiles, for `--profile`.
    pub profiles: Vec<&'static str>,
    /// Those of operations whose response can be filtered, for `--operation`.
    pub operations: Vec<&'static str>,
    /// Those of schemas and of operations that return one, for `catalogue`.
    pub schemas: Vec<&'static str>,
    /// Those of proxies, for `migrate --as`.
    pub proxies: Vec<&'static str>,
}

impl CompletedNames {
    /// The names for an argument of a command; `None` if no names are known for it.
    fn of(&self, command: &str, argument: &str) -> Option<&[&'static str]> {
        match (command, argument) {
            (_, "profile") => Some(&self.profiles),
            ("filter", "operation") => Some(&self.operations),
            ("catalogue", "schema") => Some(&self.schemas),
            ("migrate", "proxy") => Some(&self.proxies),
            (_, _) => None,
        }
    }
}

/// Writes the script that completes arguments in a shell.
///
/// # Errors
/// Those of `out`.
pub fn write_completions(arguments: &CompletionsArgs, names: &CompletedNames, out: &mut dyn Write) -> io::Result<()> {
    let command = CommandLine::command().mut_args(|argument| completed("", names, argument));
    let mut command = command.mut_subcommands(|sub| {
        let name = sub.get_name().to_owned();
        sub.mut_args(|argument| completed(&name, names, argument))
    });
    // `generate` panics if its output cannot be written.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "dockveil", &mut script);
    if arguments.shell == clap_complete::Shell::Fish {
        complete_positionals(&command, &mut script)?;
    }
    out.write_all(&script)
}

/// Adds to a script for fish what is no option: `clap_complete` leaves that out.
fn complete_positionals(command: &clap::Command, script: &mut Vec<u8>) -> io::Result<()> {
    for sub in command.get_subcommands() {
        let condition = format!("__fish_dockveil_using_subcommand {}", sub.get_name());
        for value in sub.get_positionals().flat_map(clap::Arg::get_possible_values) {
            writeln!(script, "complete -c dockveil -n \"{condition}\" -f -a \"{}\"", value.get_name())?;
        }
    }
    Ok(())
}

/// An argument of a command with the names that are known for it.
fn completed(command: &str, names: &CompletedNames, argument: clap::Arg) -> clap::Arg {
    match names.of(command, argument.get_id().as_str()) {
        Some(names) => argument.value_parser(PossibleValuesParser::new(names.iter().copied())),
        None => argument,
    }
}

/// Writes every page of the manual into a directory that exists, each in a file of its own.
///
/// # Errors
/// A file cannot be written.
pub fn write_manuals(directory: &Path) -> io::Result<()> {
    clap_mangen::generate_to(CommandLine::command(), directory)
}

/// Writes a page of the manual, in roff. `false` if there is no such command.
///
/// # Errors
/// It cannot be written.
pub fn write_manual(arguments: &ManArgs, out: &mut dyn Write) -> io::Result<bool> {
    let mut out = out;
    let mut command = CommandLine::command();
    command.build();
    let command = match arguments.command.as_deref() {
        None => command,
        Some(name) => match command.find_subcommand(name) {
            Some(found) => found.clone(),
            None => return Ok(false),
        },
    };
    clap_mangen::Man::new(command).render(&mut out)?;
    Ok(true)
}

/// Text to print in place of running a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EarlyExit {
    /// The help or version that was asked for; for standard output.
    Help(String),
    /// What is wrong with the arguments, and how to use them; for standard error.
    Usage(String),
}

/// Parses the arguments; the first one is the name of the program.
///
/// # Errors
/// [`EarlyExit`] if there is no command to run.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, EarlyExit> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match CommandLine::try_parse_from(&arguments) {
        Ok(CommandLine { command: Some(command), serve: _, healthcheck: _ }) => Ok(command),
        Ok(CommandLine { command: None, serve, healthcheck: true }) => {
            Ok(Command::Healthcheck(HealthcheckArgs { target: None, every: None, files: serve.files }))
        }
        Ok(CommandLine { command: None, serve, healthcheck: false }) => Ok(Command::Serve(serve)),
        Err(error) if error.use_stderr() => Err(EarlyExit::Usage(usage(&error, &arguments))),
        Err(error) => Err(EarlyExit::Help(error.render().to_string())),
    }
}

/// The text of an error about arguments, as if no URL in them had a password.
fn usage(error: &clap::Error, arguments: &[OsString]) -> String {
    let shown: Vec<OsString> = arguments.iter().map(|argument| without_password(argument)).collect();
    if shown == arguments {
        return error.render().to_string();
    }
    match CommandLine::try_parse_from(shown) {
        Err(error) if error.use_stderr() => error.render().to_string(),
        // The password was what is wrong.
        Ok(_) | Err(_) => "error: an argument is wrong, and not quoted: it may hold a password\n".to_owned(),
    }
}

/// An argument with `…` in place of its value, if that may hold a password.
fn without_password(argument: &OsStr) -> OsString {
    let text = argument.to_string_lossy();
    if quoting::name(&text) == text {
        return argument.to_owned();
    }
    // The name of an option is no secret.
    let option =
        text.split_once('=').filter(|(option, _)| option.starts_with("--") && quoting::name(option) == *option);
    option.map_or("…".to_owned(), |(option, _)| format!("{option}=…")).into()
}

/// Whether arguments with an error may have been meant to serve: they name no other command.
pub fn may_serve(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let command = CommandLine::command();
    let others: Vec<&str> =
        command.get_subcommands().map(clap::Command::get_name).filter(|name| *name != "serve").collect();
    !arguments.into_iter().skip(1).any(|argument| argument.to_str().is_some_and(|text| others.contains(&text)))
}

/// What the names of the variables of this program begin with.
pub const PREFIX: &str = "DOCKVEIL_";
/// The variables of this program, without [`PREFIX`].
pub const VARIABLES: [&str; 17] = [
    "API",
    "AUDIT",
    "COMPAT",
    "CONFIG",
    "CONTAINERS",
    "DEFAULT_CONFIG",
    "ENV",
    "FILTERS",
    "HOSTS",
    "LABELS",
    "LISTEN",
    "LOG",
    "LOG_FORMAT",
    "METRICS",
    "PROFILE",
    "SHOW",
    "UPSTREAM",
];

/// The lowest severity that is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Log nothing.
    Off,
    /// Errors.
    Error,
    /// And warnings.
    Warn,
    /// And one line per exchange.
    #[default]
    Info,
    /// And details for developers of this program.
    Debug,
}

impl LogLevel {
    /// The levels, from the quietest.
    const ALL: [Self; 5] = [Self::Off, Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// Its name in `DOCKVEIL_LOG`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// How the lines of the log are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// As logfmt.
    #[default]
    Logfmt,
    /// As objects of JSON.
    Json,
}

impl LogFormat {
    /// What may be written for it.
    pub const EXPECTED: &str = "logfmt or json";

    /// The format of this name.
    pub fn find(name: &str) -> Option<Self> {
        match name {
            "logfmt" => Some(Self::Logfmt),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// The environment variables that this program reads. An empty variable counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `DOCKER_HOST`: the engine that Docker's own clients use.
    pub docker_host: Option<OsString>,
    /// `XDG_RUNTIME_DIR`: this user's private directory for sockets.
    pub runtime_directory: Option<PathBuf>,
    /// `DOCKVEIL_CONFIG`: the configuration file, if `--config` is not given.
    pub config: Option<PathBuf>,
    /// `DOCKVEIL_DEFAULT_CONFIG`: the configuration file, if nothing else says what to serve.
    pub default_config: Option<PathBuf>,
    /// `DOCKVEIL_LOG`: the log level, parsed by [`Environment::log_level`].
    pub log: Option<OsString>,
    /// All variables, among them those of other socket proxies.
    pub variables: Variables,
    /// The configuration file, if it cannot be read twice: [`STANDARD_INPUT`], or a pipe.
    pub read_once: Option<ReadOnce>,
    /// `LISTEN_FDS`: the sockets that the service manager has passed; `None` if nobody has looked.
    pub passed: Option<PassedSockets>,
    /// `NOTIFY_SOCKET`: where the service manager is told that the program is up.
    pub notify_socket: Option<OsString>,
    /// `WATCHDOG_USEC`: after how long without a sign of life the service manager kills the program.
    pub watchdog: Option<Duration>,
}

/// A file that cannot be read twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOnce {
    /// The file, as it is named.
    pub path: PathBuf,
    /// What was in it at the start.
    pub text: String,
}

/// All environment variables by name, empty ones included. Bytes that are not UTF-8 are replaced by U+FFFD.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// The value of the variable called `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Prints names only: values may be secrets.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// The environment of this process. Takes the sockets that were passed to it.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn read() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let number = |name: &str| variable(name).and_then(|value| value.to_str()?.parse::<u64>().ok());
        let own = u64::from(std::process::id());
        // Those of another process are inherited by mistake.
        let is_watched = number("WATCHDOG_PID").is_none_or(|process| process == own);
        let watchdog = number("WATCHDOG_USEC").filter(|micros| is_watched && *micros > 0);
        let passed = number("LISTEN_FDS").filter(|_| number("LISTEN_PID") == Some(own));
        Self {
            docker_host: variable("DOCKER_HOST"),
            runtime_directory: variable("XDG_RUNTIME_DIR").map(PathBuf::from),
            config: variable("DOCKVEIL_CONFIG").map(PathBuf::from),
            default_config: variable("DOCKVEIL_DEFAULT_CONFIG").map(PathBuf::from),
            log: variable("DOCKVEIL_LOG"),
            variables: std::env::vars_os()
                .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
                .collect(),
            read_once: None,
            passed: Some(PassedSockets::take(passed)),
            notify_socket: variable("NOTIFY_SOCKET"),
            watchdog: watchdog.map(Duration::from_micros),
        }
    }

    /// Whether the program runs from its image, which names a default configuration.
    pub fn in_image(&self) -> bool {
        self.default_config.is_some()
    }

    /// How the lines of the log are written, if `DOCKVEIL_LOG_FORMAT` says so.
    ///
    /// # Errors
    /// It says something else; the message is for the user.
    pub fn log_format(&self) -> Result<Option<LogFormat>, String> {
        let text = self.variables.get("DOCKVEIL_LOG_FORMAT").map(str::trim).filter(|text| !text.is_empty());
        let wrong =
            |text| format!("DOCKVEIL_LOG_FORMAT: found {:?}, expected {}", quoting::value(text), LogFormat::EXPECTED);
        text.map(|text| LogFormat::find(text).ok_or_else(|| wrong(text))).transpose()
    }

    /// The log level that `DOCKVEIL_LOG` sets; the default if it is not set.
    ///
    /// # Errors
    /// The text of an error if it is set to anything else.
    pub fn log_level(&self) -> Result<LogLevel, String> {
        let Some(value) = &self.log else { return Ok(LogLevel::default()) };
        let value = value.to_string_lossy().to_ascii_lowercase();
        let known = LogLevel::ALL.into_iter().find(|level| level.as_str() == value);
        known.ok_or_else(|| {
            let names = LogLevel::ALL.map(LogLevel::as_str).join(", ");
            format!("DOCKVEIL_LOG: found {:?}, expected one of {names}", quoting::value(&value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, EarlyExit> {
        parse(std::iter::once("dockveil").chain(line.split_whitespace()).map(OsString::from))
    }

    #[track_caller]
    fn check(line: &str, expected: Command) {
        assert_eq!(parsed(line), Ok(expected));
    }

    #[track_caller]
    fn check_usage(line: &str, part: &str) {
        match parsed(line) {
            Err(EarlyExit::Usage(text)) => assert!(text.contains(part), "{text}"),
            other => panic!("{other:?}"),
        }
    }

    /// Wherever it stands in arguments with an error.
    #[test]
    fn no_error_quotes_the_password_of_a_url() {
        const URLS: [&str; 8] = [
            "tcp://u:PASSWORD@h",
            "tcp://PASSWORD@h:1",
            "ssh://u:PASSWORD@h",
            "u:PASSWORD@h",
            "tcp://u:a@PASSWORD@h",
            "tcp://u:a=PASSWORD'\"x@h",
            "tcp://u:PASSWORD @h",
            "tcp%3A//u%3APASSWORD%40h",
        ];
        let mut command = CommandLine::command();
        command.build();
        let names: Vec<String> = command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
        let options = |name: &str| {
            let found = command.find_subcommand(name).unwrap();
            found.get_arguments().filter_map(|option| option.get_long().map(|long| format!("--{long}"))).collect()
        };
        let mut errors = 0;
        for name in &names {
            let mut options: Vec<String> = options(name);
            options.extend(["--typo".to_owned(), "--listne".to_owned(), "-x".to_owned(), "--".to_owned()]);
            for (option, url) in options.iter().flat_map(|option| URLS.map(|url| (option, url))) {
                let joined = format!("{option}={url}");
                for arguments in [
                    vec![name, option, url],
                    vec![name, &joined],
                    vec![name, option, url, "--typo", url],
                    vec![name, &joined, url, url, url],
                    vec![name, "--output", url, option],
                    vec![option, url],
                    vec![&joined],
                    vec![url],
                    vec![&format!("-{url}"), option],
                ] {
                    let whole = std::iter::once("dockveil").chain(arguments.iter().copied()).map(OsString::from);
                    if let Err(EarlyExit::Usage(text)) = parse(whole) {
                        errors += 1;
                        assert!(!text.contains("PASSWORD"), "{arguments:?}: {text}");
                    }
                }
            }
        }
        assert!(errors > 1000, "{errors}");
        check_usage("serve tcp://u:PASSWORD@h", "'…'");
        check_usage("serve --listen a b:PASSWORD@h --typo", "'…'");
        // What has no password stays.
        check_usage("explain --typo /images/a@sha256:ab/json ssh://me@host", "--typo");
        check_usage("serve ssh://me@host", "'ssh://me@host'");
        check_usage("serve a@sha256:ab", "'a@sha256:ab'");
    }

    #[test]
    fn every_command_has_a_page_and_every_shell_a_script() {
        let mut command = CommandLine::command();
        command.build();
        let page = |name: Option<&str>| {
            let mut page = Vec::new();
            let command = name.map(str::to_owned);
            write_manual(&ManArgs { command, directory: None }, &mut page)
                .unwrap()
                .then(|| String::from_utf8(page).unwrap())
        };
        assert!(page(None).unwrap().contains(".TH dockveil 1"));
        for sub in command.get_subcommands().map(clap::Command::get_name) {
            let page = page(Some(sub)).unwrap();
            assert!(page.contains(&format!(".TH dockveil-{sub} 1")), "{page}");
        }
        assert_eq!(page(Some("nothing")), None);
        for shell in <clap_complete::Shell as clap::ValueEnum>::value_variants() {
            let mut script = Vec::new();
            let names = CompletedNames { profiles: vec!["a-profile"], ..CompletedNames::default() };
            write_completions(&CompletionsArgs { shell: *shell }, &names, &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            for word in ["healthcheck", "explain", "--upstream"] {
                let word = if *shell == clap_complete::Shell::Fish { word.trim_start_matches('-') } else { word };
                assert!(script.contains(word), "{shell} {word}");
            }
        }
    }

    #[test]
    fn without_a_subcommand_it_serves() {
        check("", Command::Serve(ServeArgs::default()));
        let serve = ServeArgs {
            upstream: Some("tcp://a:1".into()),
            listen: vec!["unix:///a".into(), "tcp://b:2".into()],
            files: ConfigFiles { config: Some("c".into()), filters: vec!["f".into()] },
            ..ServeArgs::default()
        };
        let flags = "--upstream tcp://a:1 --listen unix:///a --listen tcp://b:2 --config c --filters f";
        check(flags, Command::Serve(serve.clone()));
        check(&format!("serve {flags}"), Command::Serve(serve));
    }

    #[test]
    fn a_request_is_one_argument_or_two() {
        for words in [&["GET /_ping"][..], &["GET", "/_ping"]] {
            let arguments = ["dockveil", "explain"].iter().chain(words).map(OsString::from);
            let found = parse(arguments).unwrap();
            let Command::Explain(explain) = found else { panic!("{found:?}") };
            assert_eq!((explain.request.join(" "), explain.profile), ("GET /_ping".to_owned(), None));
        }
        check_usage("explain", "REQUEST");
    }

    #[test]
    fn a_usage_error_names_the_argument() {
        check_usage("--nonsense", "--nonsense");
        check_usage("filter", "--operation <ID>");
        check_usage("--profile a check", "check");
        check_usage("--lisen tcp://a:1", "--listen");
        check_usage("chek", "check");
        check_usage("explain", "<REQUEST>");
    }

    #[test]
    fn help_is_at_most_100_columns_wide() {
        let commands =
            ["", "serve", "check", "explain", "filter", "healthcheck", "profiles", "migrate", "catalogue", "demo"];
        for command in commands {
            let Err(EarlyExit::Help(text)) = parsed(&format!("{command} --help")) else { panic!("{command}") };
            assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        }
        assert!(EXAMPLES.lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn the_health_check_flag_of_11notes_works() {
        check("--healthcheck", Command::Healthcheck(HealthcheckArgs::default()));
    }

    #[test]
    fn debug_output_has_no_values_of_variables() {
        let variables: Variables = [("NAME", "canary")].into_iter().collect();
        assert_eq!(format!("{variables:?}"), r#"["NAME"]"#);
    }

    #[test]
    fn help_and_version_are_not_errors() {
        for line in ["--help", "--version", "explain --help", "-h", "-V"] {
            assert!(matches!(parsed(line), Err(EarlyExit::Help(_))), "{line}");
        }
    }

    #[test]
    fn the_log_level_is_one_of_five() {
        let with = |text: &str| Environment { log: Some(text.into()), ..Environment::default() }.log_level();
        assert_eq!(Environment::default().log_level(), Ok(LogLevel::Info));
        assert_eq!(with("DEBUG"), Ok(LogLevel::Debug));
        assert_eq!(with("off"), Ok(LogLevel::Off));
        assert_eq!(
            with("loud"),
            Err("DOCKVEIL_LOG: found \"loud\", expected one of off, error, warn, info, debug".into())
        );
    }
}
