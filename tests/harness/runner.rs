//! What the runner prints and returns for the suite of samples.

use std::process::Command;

use crate::SAMPLES;
use crate::harness::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    a_test_that_hangs_fails_by_name_and_the_run_ends,
    a_test_that_lacks_something_is_ignored_with_the_reason,
    a_test_that_lacks_something_fails_where_it_is_required,
    the_report_of_a_failure_holds_its_panic_and_its_notes,
    notes_are_printed_at_once_without_capture,
    filters_select_tests,
    tests_are_listed_and_not_run,
];

/// What a run of the samples has printed, its outputs one after the other, and its exit code.
struct Run {
    text: String,
    code: Option<i32>,
}

impl Run {
    /// Whether a line begins with the name of a test and ends with its outcome.
    fn has(&self, test: &str, outcome: &str) -> bool {
        let mut lines = self.text.lines();
        lines.any(|line| {
            line.strip_prefix(&format!("test {test} ")).is_some_and(|rest| rest.trim_end().ends_with(outcome))
        })
    }
}

/// Runs the samples; `value` is that of the variable.
fn samples(value: &str, arguments: &[&str]) -> Run {
    let output = Command::new(std::env::current_exe().unwrap()).env(SAMPLES, value).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    Run { text, code: output.status.code() }
}

fn a_test_that_hangs_fails_by_name_and_the_run_ends() {
    for threads in ["1", "2"] {
        let run = samples("1", &["--test-threads", threads]);
        assert_eq!(run.code, Some(101), "{}", run.text);
        assert!(run.has("samples::hangs", "... FAILED"), "{}", run.text);
        let said = "---- samples::hangs ----\nthe test exceeded its limit of 500ms\nthe note of a test that hangs\n";
        assert!(run.text.contains(said), "{}", run.text);
        assert!(run.has("samples::passes", "... ok"), "{}", run.text);
        assert!(run.text.contains("test result: FAILED. 2 passed; 2 failed; 2 ignored; "), "{}", run.text);
    }
}

fn a_test_that_lacks_something_is_ignored_with_the_reason() {
    let run = samples("1", &["s_something", "nothing"]);
    assert_eq!(run.code, Some(0), "{}", run.text);
    assert!(run.has("samples::lacks_something", "... ignored (no moon on this machine)"), "{}", run.text);
    assert!(run.has("samples::has_nothing_to_test", "... ignored (it is not Sunday)"), "{}", run.text);
    assert!(run.text.contains("test result: ok. 0 passed; 0 failed; 2 ignored; "), "{}", run.text);
}

fn a_test_that_lacks_something_fails_where_it_is_required() {
    let run = samples("require", &["s_something", "nothing"]);
    assert_eq!(run.code, Some(101), "{}", run.text);
    assert!(run.has("samples::lacks_something", "... FAILED"), "{}", run.text);
    assert!(run.text.contains("the test is required to run, and cannot: no moon on this machine"), "{}", run.text);
    assert!(run.has("samples::has_nothing_to_test", "... ignored (it is not Sunday)"), "{}", run.text);
}

fn the_report_of_a_failure_holds_its_panic_and_its_notes() {
    let run = samples("1", &["--exact", "samples::fails", "samples::passes_with_a_note"]);
    assert_eq!(run.code, Some(101), "{}", run.text);
    let (_, report) = run.text.split_once("---- samples::fails ----\n").unwrap();
    assert!(report.starts_with("the note of a test that fails\npanicked at tests/harness/samples.rs:"), "{report}");
    assert!(report.contains("\nthe message of a panic\n"), "{report}");
    assert!(!run.text.contains("the note of a test that passes"), "{}", run.text);
}

fn notes_are_printed_at_once_without_capture() {
    let run = samples("1", &["--nocapture", "passes"]);
    assert_eq!(run.code, Some(0), "{}", run.text);
    assert!(run.text.contains("the note of a test that passes\n"), "{}", run.text);
}

fn filters_select_tests() {
    let count = |arguments: &[&str]| {
        let run = samples("1", arguments);
        run.text.split_once("running ").unwrap().1.split(' ').next().unwrap().parse::<usize>().unwrap()
    };
    assert_eq!(count(&["passes"]), 2);
    assert_eq!(count(&["passes", "fails"]), 3);
    assert_eq!(count(&["--exact", "samples::passes"]), 1);
    assert_eq!(count(&["--exact", "samples::passes", "samples::fails", "samples::hang"]), 2);
    assert_eq!(count(&["--skip", "hangs", "--skip", "fails"]), 4);
    assert_eq!(count(&["no such test"]), 0);
}

fn tests_are_listed_and_not_run() {
    let run = samples("1", &["--list"]);
    assert_eq!(run.code, Some(0), "{}", run.text);
    assert_eq!(run.text.lines().filter(|line| line.ends_with(": test")).count(), 6, "{}", run.text);
    assert!(run.text.contains("samples::hangs: test\n"), "{}", run.text);
}
