//! A test runner for suites that need more than Rust's own test runner. It takes the same arguments and prints the same
//! lines, by the crate `libtest-mimic`, and adds three things:
//!
//! - A test can find out that it cannot run here. It is then reported as ignored, with the reason.
//! - Each test has a time limit. A test that exceeds it fails by name, the others go on, and the run ends.
//! - What a failed test has to say, its panic message included, is printed in one piece, after the others have run. With
//!   `--nocapture` it is printed at once, and so is the time that each test took.
//!
//! # Use
//!
//! A suite sets `harness = false` in `Cargo.toml`, includes this file and hands its tests over:
//!
//! ```text
//! #![deny(dead_code)]                           // a test that no list names does not compile
//! #[path = "../support/harness.rs"]
//! mod harness;
//!
//! fn main() -> ExitCode {
//!     harness::run(&Suite { tests: &[first::TESTS, second::TESTS], .. })
//! }
//! ```
//!
//! Each module of the suite lists its tests. They are plain functions without `#[test]`, which has no effect under
//! `harness = false`: the compiler would remove the function. `tests/harness` fails on a file that has it.
//!
//! ```text
//! pub(crate) const TESTS: &[Test] = tests![one_and_one_is_two, the_engine_answers];
//!
//! fn one_and_one_is_two() {
//!     assert_eq!(1 + 1, 2);
//! }
//!
//! fn the_engine_answers() -> Outcome {
//!     let engine = engine()?;                   // `Err(Ignored::Missing("no dockerd on this machine".into()))`
//!     assert!(engine.answers());
//!     Ok(())
//! }
//! ```

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// What a test returns that may find out that it cannot run here.
pub(crate) type Outcome = Result<(), Ignored>;

/// Why a test was ignored.
#[derive(Debug)]
pub(crate) enum Ignored {
    /// This machine lacks something that the test needs. Where a suite's tests are required, this is a failure.
    Missing(String),
    /// There is nothing to test in this set-up, whatever is installed.
    #[allow(dead_code, reason = "not every suite has such a test")]
    NotApplicable(String),
}

/// A function that is a test; made by [`tests!`].
#[derive(Clone, Copy)]
pub(crate) struct Test {
    /// The path of the function, the suite's name included.
    path: &'static str,
    /// Runs the test.
    run: fn() -> Outcome,
}

impl Test {
    /// A test under the path of its function.
    pub(crate) const fn new(path: &'static str, run: fn() -> Outcome) -> Test {
        Test { path, run }
    }

    /// The name under which Rust's own runner would list it: the path without the suite.
    fn name(&self) -> &'static str {
        self.path.split_once("::").map_or(self.path, |(_, name)| name)
    }
}

/// Lists tests by the names of their functions, which return [`Outcome`] or nothing.
macro_rules! tests {
    ($($function:ident),* $(,)?) => {
        &[$($crate::harness::Test::new(
            concat!(module_path!(), "::", stringify!($function)),
            || $crate::harness::IntoOutcome::into_outcome($function()),
        )),*]
    };
}
pub(crate) use tests;

/// What a test function may return.
pub(crate) trait IntoOutcome {
    /// The same as an [`Outcome`].
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Ok(())
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

/// The tests of one binary, and how they are run.
pub(crate) struct Suite<'a> {
    /// The tests, a list for each module. They start in this order: long ones first keep the whole short.
    pub(crate) tests: &'a [&'a [Test]],
    /// How long one test may take.
    pub(crate) limit: Duration,
    /// How many tests run at a time unless `--test-threads` says so; `None` for one on each core.
    pub(crate) threads: Option<usize>,
    /// What becomes of a test that lacks something.
    pub(crate) missing: Missing,
}

/// What becomes of a test for which something is missing on this machine.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Missing {
    /// It is ignored.
    Ignores,
    /// It fails.
    Fails,
}

/// The arguments of a run: those of `libtest-mimic`, and any number of filters, as Rust's own runner takes them.
#[derive(Parser)]
#[command(disable_version_flag = true)]
struct Options {
    #[command(flatten)]
    arguments: Arguments,
    /// More filters: a test runs if any of them is in its name.
    #[arg(value_name = "FILTERS")]
    more: Vec<String>,
}

/// Runs the tests that the command line selects. The result is that of the process.
pub(crate) fn run(suite: &Suite) -> ExitCode {
    let Options { mut arguments, more } = Options::parse();
    let mut tests: Vec<Test> = suite.tests.concat();
    if !more.is_empty() {
        let filters: Vec<String> = arguments.filter.take().into_iter().chain(more).collect();
        let selects =
            |name: &str, filter: &String| if arguments.exact { name == filter } else { name.contains(filter) };
        tests.retain(|test| filters.iter().any(|filter| selects(test.name(), filter)));
    }
    arguments.test_threads = arguments.test_threads.or(suite.threads);
    let (limit, missing, capture) = (suite.limit, suite.missing, !arguments.nocapture);
    if capture {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| record(info).unwrap_or_else(|| default(info))));
    }
    let times = Times::default();
    let trial = |test: Test| {
        let times = times.clone();
        let timed = move || {
            let start = Instant::now();
            let outcome = run_one(test, limit, missing, capture);
            times.lock().unwrap_or_else(PoisonError::into_inner).push((start.elapsed(), test.name()));
            outcome
        };
        Trial::ignorable_test(test.name(), timed)
    };
    let conclusion = libtest_mimic::run(&arguments, tests.into_iter().map(trial).collect());
    print_slowest(&times);
    conclusion.exit_code()
}

/// How long tests have taken.
type Times = Arc<Mutex<Vec<(Duration, &'static str)>>>;

/// Prints the tests that took longest, of those that took over a second.
fn print_slowest(times: &Times) {
    let mut times = times.lock().unwrap_or_else(PoisonError::into_inner).clone();
    times.retain(|(time, _)| *time > Duration::from_secs(1));
    times.sort();
    let slowest = times.iter().rev().take(8).map(|(time, name)| format!("{name} {:.1} s", time.as_secs_f32()));
    let slowest: Vec<String> = slowest.collect();
    if !slowest.is_empty() {
        eprintln!("slowest tests: {}", slowest.join(", "));
    }
}

/// Runs one test on a thread of its own, which is left behind if the test exceeds its limit.
fn run_one(test: Test, limit: Duration, missing: Missing, capture: bool) -> Result<Completion, Failed> {
    let report = Report::default();
    let (sender, ended) = mpsc::channel();
    let of_thread = capture.then(|| report.clone());
    thread::Builder::new().name(test.name().to_owned()).spawn(move || {
        REPORT.set(of_thread);
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(test.run));
        note(&format!("{} took {:.1} s", test.name(), start.elapsed().as_secs_f32()));
        // Nobody receives the outcome of a test that has exceeded its limit.
        let _ = sender.send(outcome);
    })?;
    match ended.recv_timeout(limit) {
        Ok(Ok(Ok(()))) => Ok(Completion::Completed),
        Ok(Ok(Err(Ignored::Missing(reason)))) if missing == Missing::Fails => {
            Err(format!("the test is required to run, and cannot: {reason}").into())
        }
        Ok(Ok(Err(Ignored::Missing(reason) | Ignored::NotApplicable(reason)))) => Ok(Completion::ignored_with(reason)),
        // A panic was printed at once if it is not in the report.
        Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Err(report.text().into()),
        Err(RecvTimeoutError::Timeout) => {
            Err(format!("the test exceeded its limit of {limit:?}\n{}", report.text()).into())
        }
    }
}

/// What a running test has said so far, shared by its thread and the one that waits for it.
#[derive(Clone, Default)]
struct Report(Arc<Mutex<String>>);

impl Report {
    fn push(&self, line: &str) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(line);
        text.push('\n');
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

thread_local! {
    /// The report of the test that runs on this thread; `None` on other threads, and with `--nocapture`.
    static REPORT: RefCell<Option<Report>> = const { RefCell::new(None) };
}

/// Adds a line to the report of the test that runs on this thread. It is printed if the test fails; at once with
/// `--nocapture`, and on threads that a test has started.
#[allow(dead_code, reason = "not every suite has such a test")]
pub(crate) fn note(line: &str) {
    let report = REPORT.with_borrow(Clone::clone);
    match report {
        Some(report) => report.push(line),
        None => eprintln!("{line}"),
    }
}

/// Adds a panic to the report of this thread's test; `None` if there is none.
fn record(info: &PanicHookInfo) -> Option<()> {
    let report = REPORT.with_borrow(Clone::clone)?;
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    report.push(&format!("panicked at {location}:\n{}", info.payload_as_str().unwrap_or("no message")));
    Some(())
}
