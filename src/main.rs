//! The `dockveil` program: turns arguments into a command, and its result into an exit code.

use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::process::ExitCode;

use dockveil::cli::{self, Command, EarlyExit, Environment, LogLevel};
use dockveil::command;
use dockveil::command::demo::Colour;
use dockveil::config::compat;
use dockveil::server::{self, log::LevelStyle};

fn main() -> ExitCode {
    let environment = Environment::read();
    let (mut out, mut err) = (stdout(), stderr());
    let code = match cli::parse(std::env::args_os()) {
        Ok(asked) => match log(&asked, &environment) {
            Ok(log) => run(&asked, &environment, log, &mut out, &mut err),
            Err(message) => {
                let _ = writeln!(err, "dockveil: {message}");
                command::CONFIGURATION
            }
        },
        Err(EarlyExit::Help(text)) => {
            let _ = write!(out, "{text}");
            command::OK
        }
        Err(EarlyExit::Usage(text)) => {
            let _ = write!(err, "{text}");
            command::USAGE
        }
    };
    ExitCode::from(code)
}

/// How much is logged: as `DOCKVEIL_LOG` says, else as the variable of another proxy says. The demo's text is no log.
fn log(asked: &Command, environment: &Environment) -> Result<LogLevel, String> {
    if *asked == Command::Demo && environment.log.is_none() {
        return Ok(LogLevel::Warn);
    }
    match compat::log_level(&environment.variables) {
        Some(log) if environment.log.is_none() => Ok(log),
        Some(_) | None => environment.log_level(),
    }
}

fn run(asked: &Command, environment: &Environment, log: LogLevel, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    start_log(log, Colour::choose(stderr().is_terminal(), environment));
    let done = match asked {
        Command::Serve(arguments) => command::serve(arguments, environment, err),
        Command::Check(arguments) => command::check(arguments, environment, out),
        Command::Explain(arguments) => command::explain(arguments, environment, out),
        Command::Filter(arguments) => command::filter(arguments, environment, &mut stdin(), out, err),
        Command::Healthcheck(arguments) => command::healthcheck(arguments, environment, out, err),
        Command::Profiles(arguments) => command::profiles(arguments, environment, out),
        Command::Migrate(arguments) => command::migrate::run(arguments, &mut stdin(), out),
        Command::Catalogue(arguments) => command::catalogue(arguments, environment, out),
        Command::Demo => command::demo::run(Colour::choose(stdout().is_terminal(), environment), out),
    };
    match done {
        Ok(code) => code,
        Err(error) => error.report(err),
    }
}

fn start_log(log: LogLevel, colour: Colour) {
    let level = match log {
        LogLevel::Off => return,
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
    };
    let style = match colour {
        Colour::Ansi => LevelStyle::Coloured,
        Colour::Never => LevelStyle::Plain,
    };
    server::log::start(level, style);
}
