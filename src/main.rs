//! The `dockveil` program: parses the arguments, runs the command, and returns its exit status.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::process::ExitCode;

use dockveil::cli::{self, Command, EarlyExit, Environment, LogFormat, LogLevel, Output, ServeArgs};
use dockveil::command::colour::Colour;
use dockveil::command::layout::{self, Wrapped};
use dockveil::command::{self, CommandError};
use dockveil::config::compat;
use dockveil::log::{self, JsonErrors, LineStyle, QueuedOutput};

fn main() -> ExitCode {
    let mut environment = Environment::read();
    let (mut out, mut standard_error) = (stdout(), stderr());
    let mut err = Wrapped::unbroken(&mut standard_error);
    let code = match cli::parse(std::env::args_os()) {
        Ok(asked) => match started_log(&asked, &environment) {
            Ok(()) => match command::read_config_once(&asked, &mut environment, &mut stdin()) {
                Ok(()) => run(&asked, &environment, &mut out, &mut err),
                Err(error) => error.report(&mut err),
            },
            Err(message) => {
                let _ = writeln!(err, "dockveil: {}", layout::one_line(&message));
                command::CONFIGURATION
            }
        },
        Err(EarlyExit::Help(text)) => {
            let _ = write!(out, "{text}");
            command::OK
        }
        Err(EarlyExit::Usage(text)) => {
            let text = usage_in_lines(text);
            let is_json = cli::may_serve(std::env::args_os()) && writes_json(&environment);
            let _ = if is_json { write!(JsonErrors::default(), "{text}") } else { write!(err, "{text}") };
            // The text may have no end.
            let _ = err.flush();
            command::USAGE
        }
    };
    ExitCode::from(code)
}

/// The text of an error about arguments, as if they were written escaped: none of them makes lines of its own.
fn usage_in_lines(text: String) -> String {
    let escaped = |argument: OsString| match layout::one_line(&argument.to_string_lossy()) {
        Cow::Borrowed(_) => argument,
        Cow::Owned(escaped) => escaped.into(),
    };
    match cli::parse(std::env::args_os().map(escaped)) {
        Err(EarlyExit::Usage(text)) => text,
        Err(EarlyExit::Help(_)) | Ok(_) => text,
    }
}

/// Whether a program that should serve writes in JSON why it does not: as the log is written, if that is known.
fn writes_json(environment: &Environment) -> bool {
    log::writes_json() || environment.log_format() == Ok(Some(LogFormat::Json))
}

/// Starts the log as the variables say. A command that reads the whole configuration reports errors in them with all others.
fn started_log(asked: &Command, environment: &Environment) -> Result<(), String> {
    let reports = matches!(asked, Command::Serve(_) | Command::Check(_));
    let level =
        log_level(asked, environment).or_else(|error| if reports { Ok(LogLevel::default()) } else { Err(error) });
    let style = line_style(environment).or_else(|error| if reports { Ok(LineStyle::Plain) } else { Err(error) });
    start_log(level?, style?);
    Ok(())
}

/// The log level: of `DOCKVEIL_LOG`, else of the variables of another proxy. The demo does not log its own requests.
fn log_level(asked: &Command, environment: &Environment) -> Result<LogLevel, String> {
    if *asked == Command::Demo && environment.log.is_none() {
        return Ok(LogLevel::Warn);
    }
    match compat::log_level(environment) {
        Some(level) if environment.log.is_none() => Ok(level),
        Some(_) | None => environment.log_level(),
    }
}

/// How the lines of the log are written: as `DOCKVEIL_LOG_FORMAT` says, and in colour on a terminal.
fn line_style(environment: &Environment) -> Result<LineStyle, String> {
    if environment.log_format()? == Some(LogFormat::Json) {
        return Ok(LineStyle::Json);
    }
    Ok(match Colour::choose(stderr().is_terminal(), environment) {
        Colour::Ansi => LineStyle::Coloured,
        Colour::Never => LineStyle::Plain,
    })
}

/// Runs a command; returns the exit status.
fn run(asked: &Command, environment: &Environment, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let colour = Colour::choose(stdout().is_terminal(), environment);
    // What people read fits their terminal.
    let report = |out| match asked.output() {
        Output::Text => Wrapped::new(out, layout::width(stdout())).coloured(colour),
        Output::Json => Wrapped::document(out),
    };
    let done = match asked {
        Command::Serve(arguments) => return serve(arguments, environment),
        Command::Check(arguments) => command::check(arguments, environment, &mut report(out)),
        Command::Explain(arguments) => command::explain(arguments, environment, &mut report(out)),
        Command::Profiles(arguments) => command::profiles(arguments, environment, &mut report(out)),
        Command::Catalogue(arguments) => command::catalogue(arguments, environment, &mut report(out)),
        Command::Filter(arguments) if arguments.diff => {
            command::filter(arguments, environment, &mut stdin(), &mut Wrapped::unbroken(out), err)
        }
        Command::Filter(arguments) => command::filter(arguments, environment, &mut stdin(), out, err),
        Command::Healthcheck(arguments) => {
            command::healthcheck(arguments, environment, &mut Wrapped::unbroken(out), err)
        }
        Command::Migrate(arguments) => command::migrate::run(arguments, &mut stdin(), &mut Wrapped::unbroken(out)),
        Command::Completions(arguments) => command::completions(arguments, out),
        Command::Man(arguments) => command::man(arguments, out),
        Command::Schema(arguments) => command::schema(arguments, out),
        Command::Demo => command::demo::run(colour, out),
    };
    if let (Err(CommandError::Diagnostics(errors)), Output::Json) = (&done, asked.output()) {
        // If it cannot be written, they are still on standard error.
        let _ = command::write_errors(errors, out);
    }
    match done {
        Ok(code) => code,
        Err(error) => error.report(err),
    }
}

/// Serves. The text on standard error goes through the log, because nobody may read it.
fn serve(arguments: &ServeArgs, environment: &Environment) -> u8 {
    let mut err = QueuedOutput::open();
    let width = layout::width(stderr());
    let done = command::serve(arguments, environment, width, &mut err);
    let code = done.unwrap_or_else(|error| {
        // What waits in the queue of the log comes first.
        if log::writes_json() {
            error.report(&mut JsonErrors::default())
        } else {
            error.report(&mut Wrapped::unbroken(&mut err))
        }
    });
    log::flush();
    code
}

/// Starts the log on standard error.
fn start_log(level: LogLevel, style: LineStyle) {
    let level = match level {
        LogLevel::Off => return,
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
    };
    log::start(level, style);
}
