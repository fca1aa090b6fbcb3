//! What a run starts is gone when the run is, even if a test hangs or the run is killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::harness::{self, Missing, Outcome, Suite, Test, tests};
use crate::support::client::TIMEOUT;
use crate::support::engine::Engine;
use crate::support::proxy::Proxy;
use crate::support::{engine, eventually, seed};

pub(crate) const TESTS: &[Test] =
    tests![a_test_that_hangs_leaves_no_engine_behind, a_run_that_is_killed_leaves_no_engine_behind];

/// The variable that makes this binary a suite of one test, which hangs: `end` if it exceeds its limit at once.
pub(crate) const VARIABLE: &str = "DOCKVEIL_HANGING_ENGINE_TEST";

/// The test that hangs.
const HANGING: &[Test] = tests![hangs];

/// What it holds: an engine with a container, and a program in front of it.
static HELD: Mutex<Option<(Engine, Proxy)>> = Mutex::new(None);

fn hangs() {
    let _held = HELD.lock().unwrap().take();
    loop {
        std::thread::park();
    }
}

/// Runs the suite of the test that hangs. It prints the folder of the engine first.
pub(crate) fn hang() -> ExitCode {
    let Ok(engine) = engine::private("hanging") else { return ExitCode::FAILURE };
    seed::import(&engine.socket());
    seed::start(&engine.socket(), "sleeper", &seed::detached(&["sleep", "1000"]));
    let _ = writeln!(std::io::stdout(), "{}", engine.folder().display());
    let proxy = Proxy::start(&engine.socket(), "dashboard");
    *HELD.lock().unwrap() = Some((engine, proxy));
    let limit = if crate::variable(VARIABLE).as_deref() == Some("end") { Duration::from_millis(100) } else { TIMEOUT };
    harness::run(&Suite { tests: &[HANGING], limit, threads: None, missing: Missing::Fails })
}

/// Whether a process, or a control group, has this text in its command line or name.
fn is_left(name: &str) -> bool {
    let processes =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    let mut lines = processes.map(|line| String::from_utf8_lossy(&line).into_owned());
    let groups = Command::new("find").args(["/sys/fs/cgroup", "-path", &format!("*{name}*")]).output().unwrap();
    lines.any(|line| line.contains(name) && !line.starts_with("find")) || !groups.stdout.is_empty()
}

/// Starts the suite of the test that hangs, ends it with `end`, and waits until nothing of it is left.
#[track_caller]
fn check(mode: &str, end: impl FnOnce(&mut Child, &mut dyn Read)) -> Outcome {
    engine::check("dockerd")?;
    let mut run = Command::new(std::env::current_exe().unwrap())
        .args(["--test-threads", "2"])
        .env(VARIABLE, mode)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(run.stdout.take().unwrap());
    let mut folder = String::new();
    output.read_line(&mut folder).unwrap();
    let folder = PathBuf::from(folder.trim());
    // The folder of the run: its name is in every command line and in every name of a control group.
    let folder = folder.parent().unwrap();
    let name = folder.file_name().unwrap().to_str().unwrap();
    assert!(is_left(name), "{name} is not found while it runs");
    end(&mut run, &mut output);
    run.wait().unwrap();
    assert!(eventually(TIMEOUT, || !folder.exists() && !is_left(name)), "{name} is left");
    Ok(())
}

fn a_test_that_hangs_leaves_no_engine_behind() -> Outcome {
    check("end", |run, output| {
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert!(text.contains("test cleanup::hangs ... FAILED"), "{text}");
        assert!(text.contains("the test exceeded its limit of 100ms"), "{text}");
        assert_eq!(run.wait().unwrap().code(), Some(101));
    })
}

fn a_run_that_is_killed_leaves_no_engine_behind() -> Outcome {
    check("wait", |run, _| run.kill().unwrap())
}
