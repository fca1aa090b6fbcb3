//! The subcommands.
//!
//! Each writes to the streams it is given and returns an exit status, so that tests read what a person would.

mod catalogue;
pub mod colour;
pub mod demo;
pub mod diff;
mod explain;
mod exposure;
mod filter;
mod healthcheck;
mod json;
pub mod layout;
pub mod migrate;
mod schema;
mod summary;

use std::fs::File;
use std::io::{self, Read, Write, stdin};
use std::path::{Path, PathBuf};

use crate::api::{ApiVersion, OPERATIONS, Operation, groups};
use crate::cli::{self, Environment, LogFormat, Output};
use crate::config::{
    Config, FilterSources, Filters, STANDARD_INPUT_NAME, configured_log_format, files, text_of, unreadable,
};
use crate::log::{self, LoggedLines};
use crate::policy::Policy;
use crate::profile::Profile;
use crate::quoting;
use crate::server::{self, ConfigReader, ServiceManager, Signals};
use crate::yaml::{Diagnostic, Diagnostics, Location};

pub use self::catalogue::{catalogue, describe};
pub use self::explain::{explain, explain_request};
use self::exposure::{PolicyExposure, Remark};
pub use self::filter::filter;
pub use self::healthcheck::healthcheck;
use self::layout::{Wrapped, one_line};
pub use self::schema::{schema, schema_of};
pub use self::summary::summary;

/// Success.
pub const OK: u8 = 0;
/// A document was withheld, or the health check failed.
pub const FAILED: u8 = 1;
/// The arguments are wrong; `EX_USAGE` of sysexits.h.
pub const USAGE: u8 = 64;
/// The program cannot serve, or cannot read its input or write its output; `EX_SOFTWARE`.
pub const SOFTWARE: u8 = 70;
/// The configuration is wrong, or a file cannot be read; `EX_CONFIG`.
pub const CONFIGURATION: u8 = 78;

/// Why a command failed.
#[derive(Debug)]
pub enum CommandError {
    /// There are errors in the configuration, or in the values of arguments.
    Diagnostics(Diagnostics),
    /// Input could not be read or output could not be written.
    Io(io::Error),
    /// The server did not start.
    Server(crate::server::ServerError),
}

impl From<Diagnostics> for CommandError {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Diagnostics(diagnostics)
    }
}

impl From<Diagnostic> for CommandError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Diagnostics(diagnostic.into())
    }
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<crate::server::ServerError> for CommandError {
    fn from(error: crate::server::ServerError) -> Self {
        Self::Server(error)
    }
}

impl CommandError {
    /// Writes the error to `err` and returns the exit status.
    pub fn report(&self, err: &mut dyn Write) -> u8 {
        // If standard error is closed, the error cannot be reported.
        match self {
            Self::Diagnostics(diagnostics) => {
                let (place, code) = match diagnostics.are_in_arguments() {
                    true => ("arguments", USAGE),
                    false => ("configuration", CONFIGURATION),
                };
                for diagnostic in diagnostics {
                    let _ = writeln!(err, "{}", one_line(&diagnostic.to_string()));
                }
                let _ = writeln!(err, "dockveil: {} in the {place}", count(diagnostics.len()));
                code
            }
            // The reader closed the pipe because it has read enough.
            Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => OK,
            Self::Io(error) => {
                let _ = writeln!(err, "dockveil: {}", one_line(&error.to_string()));
                SOFTWARE
            }
            Self::Server(error) => {
                let _ = writeln!(err, "dockveil: {}", one_line(&error.to_string()));
                SOFTWARE
            }
        }
    }
}

/// The number of errors, in words.
fn count(errors: usize) -> String {
    if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") }
}

/// Reads the configuration, if it is in `input` or in another place that cannot be read twice, such as a pipe. Commands look into
/// the configuration more than once. `serve` reads it itself: whoever writes a pipe may be slow, and signals count meanwhile.
///
/// # Errors
/// It cannot be read, or the command reads something else there.
pub fn read_config_once(
    asked: &cli::Command,
    environment: &mut Environment,
    input: &mut dyn Read,
) -> Result<(), CommandError> {
    let Some(files) = asked.files().filter(|_| !matches!(asked, cli::Command::Serve(_))) else { return Ok(()) };
    let Some(path) = piped_config(files, environment) else { return Ok(()) };
    if is_standard_input(path) && matches!(asked, cli::Command::Filter(_)) {
        let location = match &files.config {
            Some(_) => Location::argument("--config"),
            None => Location::file("DOCKVEIL_CONFIG"),
        };
        return Err(Diagnostic::new(&location, "standard input is the document, expected a file").into());
    }
    environment.read_once = Some(read_pipe(path, input)?);
    Ok(())
}

/// The path of the configuration, if that can be read only once: standard input or a pipe.
fn piped_config<'p>(files: &'p cli::ConfigFiles, environment: &'p Environment) -> Option<&'p Path> {
    let chosen = files.config.as_ref().or(environment.config.as_ref());
    if let Some(path) = chosen.filter(|path| is_standard_input(path)) {
        return Some(path);
    }
    chosen.or(environment.default_config.as_ref()).map(PathBuf::as_path).filter(|path| files::is_read_once(path))
}

/// Whether a path stands for standard input.
fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == cli::STANDARD_INPUT
}

/// Reads the configuration from a pipe, or from `input` if that is what the path stands for.
///
/// # Errors
/// It cannot be read.
fn read_pipe(path: &Path, input: &mut dyn Read) -> Result<cli::ReadOnce, Diagnostic> {
    let (name, bytes) = match is_standard_input(path) {
        true => (STANDARD_INPUT_NAME.to_owned(), files::read_limited(input)),
        false => (quoting::path(path), File::open(path).and_then(files::read_limited)),
    };
    let bytes = bytes.map_err(|error| unreadable(&name, &error))?;
    Ok(cli::ReadOnce { path: path.to_owned(), text: text_of(&name, bytes)? })
}

/// `serve`: listens until a signal arrives. The summary of what is exposed goes to `err`, like the log, `width` columns wide.
///
/// # Errors
/// [`CommandError`].
pub fn serve(
    arguments: &cli::ServeArgs,
    environment: &Environment,
    width: usize,
    err: &mut dyn Write,
) -> Result<u8, CommandError> {
    // First, so that a signal during the start is not lost and leaves no socket file.
    let mut signals = Signals::listen()?;
    let mut with_pipe = environment.clone();
    if let Some(path) = piped_config(&arguments.files, environment).map(Path::to_path_buf) {
        let Some(read) = signals.unless_stopped(move || read_pipe(&path, &mut stdin()))? else { return Ok(OK) };
        with_pipe.read_once = Some(read?);
    }
    let config = Config::load(arguments, &with_pipe);
    // Errors are lines of the log, too, as far as the rest says how these are written.
    let format = config
        .as_ref()
        .map_or_else(|_| configured_log_format(arguments, &with_pipe), |config| config.observability.log_format);
    log::set_format(format);
    let config = config?;
    // Among lines of JSON, the summary is lines of JSON too.
    let mut lines = LoggedLines::default();
    let err: &mut dyn Write = if format == LogFormat::Json { &mut lines } else { err };
    // Clients are served whether or not anybody reads the summary.
    let mut text = Wrapped::new(err, width);
    let _ = write!(text, "{}", summary(&config)).and_then(|()| text.flush());
    let manager = ServiceManager::connect(environment.notify_socket.as_deref(), environment.watchdog);
    // What was in another pipe than standard input does not count again: a file may take its place.
    let keeps = with_pipe.read_once.as_ref().is_some_and(|once| is_standard_input(&once.path));
    let environment = if keeps { &with_pipe } else { environment };
    let mut source = ServedSource { arguments, environment, told: summary::remarks(&config) };
    server::run(config, manager, signals, &mut source)?;
    Ok(OK)
}

/// Where a server that runs reads its configuration again.
struct ServedSource<'a> {
    arguments: &'a cli::ServeArgs,
    environment: &'a Environment,
    /// What has been said of the configuration in force.
    told: Vec<Remark>,
}

impl ConfigReader for ServedSource<'_> {
    fn read(&mut self) -> Result<Config, String> {
        Config::load(self.arguments, self.environment).map_err(|errors| errors.to_string())
    }

    /// Logs the notes and warnings that were not told before: the summary is that of the start.
    fn in_force(&mut self, config: &Config) {
        let remarks = summary::remarks(config);
        for Remark { is_warning, text } in remarks.iter().filter(|remark| !self.told.contains(remark)) {
            if *is_warning { tracing::warn!("{text}") } else { tracing::info!("{text}") }
        }
        self.told = remarks;
    }
}

/// Reports the files of which it can be told that a start cannot make them. Returns the configuration if there are none.
fn with_possible_files(config: Config) -> Result<Config, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let files = &config.startup.files;
    for file in files {
        if let Err(error) = server::check_file(file, files) {
            diagnostics.report(&file.location, error.to_string());
        }
    }
    diagnostics.finish(config)
}

/// `check`: reports every error in the configuration, and files that a start cannot make; or what it exposes.
///
/// # Errors
/// [`CommandError`].
pub fn check(arguments: &cli::CheckArgs, environment: &Environment, out: &mut dyn Write) -> Result<u8, CommandError> {
    // The service manager passes its sockets only to the process that serves.
    let loaded = Config::load(&arguments.serve, &Environment { passed: None, ..environment.clone() })
        .and_then(with_possible_files);
    if let Err(errors) = &loaded {
        // It may run before the start or the reload of a service. Otherwise nobody is told.
        let manager = ServiceManager::connect(environment.notify_socket.as_deref(), None);
        manager.misconfigured(errors.to_string().lines().next().unwrap_or_default());
    }
    let config = loaded?;
    match arguments.output.output {
        Output::Text => write!(out, "{}", summary(&config))?,
        Output::Json => json::write(&summary::to_json(&config), out)?,
    }
    Ok(OK)
}

/// Writes errors for a program that reads what a command prints.
///
/// # Errors
/// Those of `out`.
pub fn write_errors(errors: &Diagnostics, out: &mut dyn Write) -> io::Result<()> {
    json::write(&json::errors(errors), out)
}

/// `profiles`: lists the profiles, with what each allows and shows, and the groups of operations.
///
/// # Errors
/// [`CommandError`].
pub fn profiles(
    arguments: &cli::ProfilesArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<u8, CommandError> {
    let filters = load(&arguments.files, environment)?;
    let policies = filters.profiles.iter().map(|profile| Policy::compile(profile, &filters.catalogue));
    let policies: Vec<Policy> = policies.collect::<Result<_, _>>()?;
    if arguments.output.output == Output::Json {
        let profiles: Vec<_> = policies.iter().map(PolicyExposure::of).map(|exposure| exposure.to_json()).collect();
        json::write(&serde_json::json!({ "profiles": profiles, "groups": groups_to_json()? }), out)?;
        return Ok(OK);
    }
    for policy in &policies {
        let profile = policy.profile();
        writeln!(out, "{}", one_line(&format!("{}  ({})", profile.name, profile.location)))?;
        writeln!(out, "  {}", one_line(profile.about.trim_end()))?;
        writeln!(out, "{}", PolicyExposure::of(policy))?;
    }
    write_groups(out)?;
    Ok(OK)
}

/// The groups of operations that profiles can allow or deny.
fn groups_to_json() -> Result<serde_json::Value, CommandError> {
    let groups = groups::built_in()?.iter().map(|group| {
        let ids: Vec<&str> = group.operations.iter().map(|operation| operation.id).collect();
        serde_json::json!({ "name": group.name, "about": group.about, "operations": ids })
    });
    Ok(groups.collect())
}

/// Writes the groups of operations that profiles can allow or deny.
fn write_groups(out: &mut dyn Write) -> Result<(), CommandError> {
    writeln!(out, "groups of operations, for `allow` and `deny`")?;
    for group in groups::built_in()? {
        let ids: Vec<&str> = group.operations.iter().map(|operation| operation.id).collect();
        writeln!(out, "  {}  {}\n    {}", group.name, group.about, ids.join(", "))?;
    }
    writeln!(out, "  all  Every operation, and those that dockveil learns later.")?;
    Ok(())
}

/// `completions`: writes the script that completes arguments in a shell, with the names that are inside the program.
///
/// # Errors
/// [`CommandError::Io`].
pub fn completions(arguments: &cli::CompletionsArgs, out: &mut dyn Write) -> Result<u8, CommandError> {
    let filters = Filters::built_in()?;
    let ids = |is_one: fn(&Operation) -> bool| {
        OPERATIONS.iter().filter(move |operation| is_one(operation)).map(|operation| operation.id)
    };
    let mut names = cli::CompletedNames::default();
    // The parser of arguments takes only names that stay. The program ends after this.
    let kept = |name: &str| -> &'static str { name.to_owned().leak() };
    names.profiles.extend(filters.profiles.iter().map(|profile| kept(&profile.name)));
    names.operations.extend(ids(|operation| operation.filtered_schema().is_some()));
    names.schemas.extend(filters.catalogue.names().map(kept));
    for id in ids(|operation| operation.schema().is_some()) {
        // Many have the name of their schema.
        if !names.schemas.contains(&id) {
            names.schemas.push(id);
        }
    }
    names.proxies.extend(migrate::proxy_names());
    cli::write_completions(arguments, &names, out)?;
    // What is buffered behind the last line feed.
    out.flush()?;
    Ok(OK)
}

/// `man`: writes a page of the manual, or all of them into a directory.
///
/// # Errors
/// [`CommandError`], also if there is no such command.
pub fn man(arguments: &cli::ManArgs, out: &mut dyn Write) -> Result<u8, CommandError> {
    if let Some(directory) = &arguments.directory {
        std::fs::create_dir_all(directory)
            .and_then(|()| cli::write_manuals(directory))
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", quoting::path(directory))))?;
        return Ok(OK);
    }
    if cli::write_manual(arguments, out)? {
        return Ok(OK);
    }
    let name = arguments.command.as_deref().unwrap_or_default();
    Err(argument_error("COMMAND", format!("there is no command {:?}", quoting::value(name))).into())
}

/// Loads the filter files that the arguments, the environment and the configuration file name.
fn load(files: &cli::ConfigFiles, environment: &Environment) -> Result<Filters, Diagnostics> {
    Filters::load(&FilterSources::find(files, environment)?)
}

/// The profile that `--profile` names.
fn profile_named<'f>(filters: &'f Filters, name: &str) -> Result<&'f Profile, Diagnostic> {
    filters.profiles.get(name).ok_or_else(|| argument_error("--profile", filters.profiles.unknown(name)))
}

/// The API version that `--api` names.
fn api_version(text: &str) -> Result<ApiVersion, Diagnostic> {
    text.parse().map_err(|_| {
        argument_error("--api", format!("found {:?}, expected a version such as 1.44", quoting::value(text)))
    })
}

/// An error in the value of an argument.
fn argument_error(argument: &str, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(&Location::argument(argument), message)
}
