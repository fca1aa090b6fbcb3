//! What people read fits their terminal, and a fixed width where there is none.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::process::{Command, Stdio};

use dockveil::command::layout::PIPED_WIDTH;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::harness::tests;
use crate::support::program::{Program, between};
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[crate::harness::Test] = tests![
    a_pipe_gets_lines_of_a_hundred_columns,
    a_terminal_gets_lines_of_its_own_width,
    the_summary_at_start_fits_as_well,
];

/// Commands whose lines are longer than any terminal.
const COMMANDS: &[&[&str]] = &[
    &["check", "--profile", "drop-in"],
    &["check", "--profile", "dashboard"],
    &["profiles"],
    &["explain", "GET", "/containers/web/json"],
    &["explain", "--profile", "mcp", "GET /info"],
    &["explain", "POST", "/containers/create"],
    &["catalogue"],
    &["catalogue", "ContainerInspect"],
];

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockveil"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Lines over a width that could be broken at a space.
fn too_long(text: &str, width: usize) -> Vec<&str> {
    let is_breakable = |line: &&str| line.trim_start().contains(' ');
    text.lines().filter(|line| line.chars().count() > width).filter(is_breakable).collect()
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn piped(arguments: &[&str]) -> String {
    let output = command(arguments).output().unwrap();
    assert!(output.stderr.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn a_pipe_gets_lines_of_a_hundred_columns() {
    for arguments in COMMANDS {
        let text = piped(arguments);
        assert_eq!(too_long(&text, PIPED_WIDTH), Vec::<&str>::new(), "{arguments:?}");
    }
    let text = piped(&["profiles"]);
    assert!(text.lines().any(|line| line.chars().count() > PIPED_WIDTH - 20), "lines use the width");
}

/// A text without what sets colours.
fn without_colour(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').unwrap().1)
}

/// The output of a command in a terminal with so many columns, in colour.
fn in_terminal(arguments: &[&str], columns: u16) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    tcsetwinsize(&terminal, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let other = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut child = command(arguments).stdout(other).spawn().unwrap();
    let mut text = Vec::new();
    // When the last end of the terminal is closed, reading fails.
    let _ = File::from(terminal).read_to_end(&mut text);
    assert!(child.wait().unwrap().code().is_some());
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

fn a_terminal_gets_lines_of_its_own_width() {
    for arguments in COMMANDS {
        let expected = piped(arguments);
        for columns in [60, 200] {
            let coloured = in_terminal(arguments, columns);
            assert!(coloured.contains("\x1b[") || arguments[0] == "catalogue", "{arguments:?}: no colour");
            let text = without_colour(&coloured);
            assert_eq!(too_long(&text, usize::from(columns)), Vec::<&str>::new(), "{arguments:?}");
            assert_eq!(words(&text), words(&expected), "{arguments:?} in {columns} columns");
        }
    }
    let wide = without_colour(&in_terminal(&["profiles"], 200));
    assert!(wide.lines().any(|line| line.chars().count() > 180), "lines use the width");
}

fn the_summary_at_start_fits_as_well() {
    let folder = Folder::new();
    let summary = piped(&["check", "--profile", "drop-in"]);
    let mut command = between(&folder);
    command.args(["--profile", "drop-in"]);
    let program = Program::start(command);
    let lines = program.listening();
    let is_of_summary = |line: &&String| !line.contains("level=") && !line.starts_with("listen ");
    let start: Vec<&str> = lines.iter().filter(is_of_summary).map(String::as_str).collect();
    let start = start.join("\n");
    assert_eq!(too_long(&start, PIPED_WIDTH), Vec::<&str>::new(), "{start}");
    let shown = |text: &str| {
        words(text.split("labels shown: ").nth(1).unwrap().split("variables shown:").next().unwrap()).len()
    };
    assert_eq!(shown(&start), shown(&summary), "{start}");
}
