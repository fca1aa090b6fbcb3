//! Samples of what a test can do, for the tests of the runner.

use crate::harness::{Ignored, Outcome, Test, note, tests};

pub(crate) const TESTS: &[Test] =
    tests![hangs, passes, passes_with_a_note, fails, lacks_something, has_nothing_to_test];

fn passes() {}

fn passes_with_a_note() -> Outcome {
    note("the note of a test that passes");
    Ok(())
}

fn fails() {
    note("the note of a test that fails");
    panic!("the message of a panic");
}

fn lacks_something() -> Outcome {
    Err(Ignored::Missing("no moon on this machine".to_owned()))
}

fn has_nothing_to_test() -> Outcome {
    Err(Ignored::NotApplicable("it is not Sunday".to_owned()))
}

fn hangs() {
    note("the note of a test that hangs");
    loop {
        std::thread::park();
    }
}
