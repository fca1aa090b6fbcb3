//! Arguments and environment, as typed.
//!
//! Nothing here is checked beyond its shape: what a URL, a directory or a profile means is for `config` to say, which
//! can then name every mistake at once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// What a person who asks for help reads after the options.
const EXAMPLES: &str = "\
Examples:
  dockveil                                       serve with the built-in profile \"dashboard\"
  dockveil serve --config dockveil.yaml          serve what a file says
  dockveil check --config dockveil.yaml          read the file, report every mistake, list what it exposes
  dockveil profiles                              what the built-in profiles allow and show
  dockveil explain --profile dashboard 'GET /v1.44/containers/web/json'

Environment:
  DOCKER_HOST       the engine, when neither --upstream nor the file names it
  DOCKVEIL_CONFIG   the configuration file, when --config is not given
  DOCKVEIL_LOG      error, warn, info (default), debug or off
  DOCKVEIL_COMPAT   11notes, tecnativa or linuxserver: read the variables of that socket proxy, which
                    are also recognised by themselves when there is no --config and no --profile; or off
  DOCKVEIL_SHOW     with them: classes to show as well, or all
  DOCKVEIL_LABELS, DOCKVEIL_ENV
                    with them: labels and environment variables to show as well, by name
  DOCKVEIL_DEFAULT_CONFIG
                    the configuration file when nothing else says what to serve
  XDG_RUNTIME_DIR   where the default socket is made

Exit codes: 0 well, 1 unhealthy or withheld, 64 bad arguments, 70 cannot serve, 78 bad configuration.";

/// Shows a client of the Docker Engine API what it needs to see, and nothing of what is in it.
///
/// dockveil listens like a Docker engine, asks the real engine, and lets through only the operations that a profile
/// allows and only the fields that it shows. Without a subcommand it serves.
#[derive(Parser, Debug)]
#[command(
    name = "dockveil",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = EXAMPLES
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
    /// What the probe of 11notes/socket-proxy is called with.
    #[arg(long, hide = true)]
    healthcheck: bool,
}

/// One subcommand with its arguments.
#[derive(Subcommand, Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Listen, and mediate between clients and the engine (the default)
    Serve(Serve),
    /// Read a configuration, report every mistake in it, and list what it exposes
    Check(Serve),
    /// Say what happens to one request, and which line of which file decided it
    Explain(Explain),
    /// Filter the body of one response from standard input to standard output
    ///
    /// Exits with 1 when the document is withheld; the reason is on standard error.
    Filter(Filter),
    /// Ask a running dockveil for /_ping; exits with 0 when it answers, 1 when it does not
    Healthcheck(Healthcheck),
    /// List the profiles with what they allow and show
    Profiles(Profiles),
    /// Turn what runs another socket proxy into a configuration of dockveil
    Migrate(Migrate),
    /// Show what dockveil does, without Docker: an engine inside the program, and the real proxy before it
    Demo,
}

/// The arguments of `serve` and `check`: they complete the configuration file, or stand in for it.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Serve {
    /// Configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The engine: unix:///path/to/docker.sock or tcp://host:port
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// Where to listen, unix:///path or tcp://host:port; repeatable; takes the place of the file's listeners
    #[arg(long, value_name = "URL")]
    pub listen: Vec<String>,
    /// The profile of the listeners given by --listen, and of every listener that names none
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Directory with more profiles and classes: profile/*.yaml, class/*.yaml; repeatable
    #[arg(long, value_name = "DIR")]
    pub filters: Vec<PathBuf>,
}

/// The arguments of `explain`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Explain {
    /// Configuration file, for the filter directories that it names
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory with more profiles and classes; repeatable
    #[arg(long, value_name = "DIR")]
    pub filters: Vec<PathBuf>,
    /// The profile to explain
    #[arg(long, value_name = "NAME", default_value = "dashboard")]
    pub profile: String,
    /// Method and target, in one argument: 'GET /v1.44/containers/web/json'
    #[arg(value_name = "REQUEST")]
    pub request: String,
}

/// The arguments of `filter`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Configuration file, for the filter directories that it names
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory with more profiles and classes; repeatable
    #[arg(long, value_name = "DIR")]
    pub filters: Vec<PathBuf>,
    /// The profile to apply
    #[arg(long, value_name = "NAME", default_value = "dashboard")]
    pub profile: String,
    /// The operation whose response is on standard input, such as ContainerInspect
    #[arg(long, value_name = "ID")]
    pub operation: String,
    /// The API version that the document was read with; refused when the operation does not exist there
    #[arg(long, value_name = "VERSION")]
    pub api: Option<String>,
    /// Print what changed, one path per line, in place of the document
    #[arg(long)]
    pub diff: bool,
}

/// The arguments of `healthcheck`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// The listener to ask, unix:///path or tcp://host:port; by default the first one of the configuration
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory with more profiles and classes; repeatable
    #[arg(long, value_name = "DIR")]
    pub filters: Vec<PathBuf>,
}

/// The arguments of `profiles`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Profiles {
    /// Configuration file, for the filter directories that it names
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory with more profiles and classes; repeatable
    #[arg(long, value_name = "DIR")]
    pub filters: Vec<PathBuf>,
}

/// The arguments of `migrate`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrate {
    /// The Compose file, or a list of variables and arguments, one per line; standard input when it is not given
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The service of the Compose file, when several run a socket proxy
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
}

/// Why there is no command to run: help or a version was asked for, or the arguments are wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Text that was asked for; belongs on standard output.
    Help(String),
    /// What is wrong with the arguments, and how they are used.
    Usage(String),
}

/// Reads the arguments; the first one is the name of the program.
///
/// # Errors
/// [`Stop`] when there is nothing to run.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Stop> {
    match Arguments::try_parse_from(arguments) {
        Ok(Arguments { command: Some(command), serve: _, healthcheck: _ }) => Ok(command),
        Ok(Arguments { command: None, serve, healthcheck: true }) => {
            let Serve { config, filters, .. } = serve;
            Ok(Command::Healthcheck(Healthcheck { target: None, config, filters }))
        }
        Ok(Arguments { command: None, serve, healthcheck: false }) => Ok(Command::Serve(serve)),
        Err(error) if error.use_stderr() => Err(Stop::Usage(error.render().to_string())),
        Err(error) => Err(Stop::Help(error.render().to_string())),
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Log {
    /// Nothing.
    Off,
    /// What went wrong.
    Error,
    /// What looks wrong.
    Warn,
    /// One line per exchange.
    #[default]
    Info,
    /// What a developer of this program wants to know.
    Debug,
}

/// The environment variables that this program reads. An empty variable counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `DOCKER_HOST`: the engine that Docker's own clients would ask.
    pub docker_host: Option<OsString>,
    /// `XDG_RUNTIME_DIR`: a directory for sockets that belongs to this user alone.
    pub runtime_directory: Option<PathBuf>,
    /// `DOCKVEIL_CONFIG`: the configuration file when `--config` is not given.
    pub config: Option<PathBuf>,
    /// `DOCKVEIL_DEFAULT_CONFIG`: the configuration file when nothing else says what to serve.
    pub default_config: Option<PathBuf>,
    /// `DOCKVEIL_LOG`: what [`Environment::log`] reads.
    pub log: Option<OsString>,
    /// All of them, for those that other socket proxies read.
    pub variables: Variables,
}

/// Environment variables by name. An empty one is there. What is not UTF-8 is read as far as it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// The value of the variable called `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The names of all of them, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Names only: values may be secrets of whoever started us.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// The environment of this process.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn read() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            docker_host: variable("DOCKER_HOST"),
            runtime_directory: variable("XDG_RUNTIME_DIR").map(PathBuf::from),
            config: variable("DOCKVEIL_CONFIG").map(PathBuf::from),
            default_config: variable("DOCKVEIL_DEFAULT_CONFIG").map(PathBuf::from),
            log: variable("DOCKVEIL_LOG"),
            variables: std::env::vars_os()
                .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
                .collect(),
        }
    }

    /// How much is to be logged.
    ///
    /// # Errors
    /// Text for the person who set the variable to something else.
    pub fn log(&self) -> Result<Log, String> {
        match self.log.as_ref().map(|value| value.to_string_lossy().to_ascii_lowercase()).as_deref() {
            None => Ok(Log::default()),
            Some("off") => Ok(Log::Off),
            Some("error") => Ok(Log::Error),
            Some("warn") => Ok(Log::Warn),
            Some("info") => Ok(Log::Info),
            Some("debug") => Ok(Log::Debug),
            Some(other) => Err(format!("DOCKVEIL_LOG: found {other:?}, expected one of off, error, warn, info, debug")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, Stop> {
        parse(std::iter::once("dockveil").chain(line.split_whitespace()).map(OsString::from))
    }

    #[track_caller]
    fn check(line: &str, expected: Command) {
        assert_eq!(parsed(line), Ok(expected));
    }

    #[track_caller]
    fn check_usage(line: &str, part: &str) {
        match parsed(line) {
            Err(Stop::Usage(text)) => assert!(text.contains(part), "{text}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_a_subcommand_it_serves() {
        check("", Command::Serve(Serve::default()));
        let serve = Serve {
            upstream: Some("tcp://a:1".into()),
            listen: vec!["unix:///a".into(), "tcp://b:2".into()],
            filters: vec!["f".into()],
            ..Serve::default()
        };
        let flags = "--upstream tcp://a:1 --listen unix:///a --listen tcp://b:2 --filters f";
        check(flags, Command::Serve(serve.clone()));
        check(&format!("serve {flags}"), Command::Serve(serve));
    }

    #[test]
    fn a_request_is_one_argument() {
        let found = parse(["dockveil", "explain", "GET /_ping"].map(OsString::from)).unwrap();
        let Command::Explain(explain) = found else { panic!("{found:?}") };
        assert_eq!((explain.request.as_str(), explain.profile.as_str()), ("GET /_ping", "dashboard"));
    }

    #[test]
    fn bad_arguments_say_what_is_wrong() {
        check_usage("--nonsense", "--nonsense");
        check_usage("filter", "--operation <ID>");
        check_usage("--profile a check", "check");
        check_usage("explain", "<REQUEST>");
    }

    #[test]
    fn the_probe_of_11notes_is_a_healthcheck() {
        check("--healthcheck", Command::Healthcheck(Healthcheck::default()));
    }

    #[test]
    fn values_of_variables_are_not_printed() {
        let variables: Variables = [("NAME", "canary")].into_iter().collect();
        assert_eq!(format!("{variables:?}"), r#"["NAME"]"#);
    }

    #[test]
    fn help_and_version_are_not_mistakes() {
        for line in ["--help", "--version", "explain --help", "-h", "-V"] {
            assert!(matches!(parsed(line), Err(Stop::Help(_))), "{line}");
        }
    }

    #[test]
    fn the_log_level_is_one_of_five() {
        let with = |text: &str| Environment { log: Some(text.into()), ..Environment::default() }.log();
        assert_eq!(Environment::default().log(), Ok(Log::Info));
        assert_eq!(with("DEBUG"), Ok(Log::Debug));
        assert_eq!(with("off"), Ok(Log::Off));
        assert_eq!(
            with("loud"),
            Err("DOCKVEIL_LOG: found \"loud\", expected one of off, error, warn, info, debug".into())
        );
    }
}
