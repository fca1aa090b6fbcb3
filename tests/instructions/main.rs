//! Budgets of instructions: what a start, one exchange, and the filter alone cost in the program that is released.
//!
//! ```text
//! DOCKVEIL_STATIC_BINARY=$(.ci/static) cargo test --test instructions
//! ```
//!
//! prints the figures beside their budgets. Time depends on the machine and on what else runs there; the number of instructions
//! in user space hardly does, and valgrind counts them anywhere, containers included. The program has the built-in profile
//! `dashboard` as it is, and one worker. Each figure is the difference of two runs, divided by the number of rounds between them:
//! what a start and a first answer cost is in neither. Two runs of one binary differ by 2 % at most.
//!
//! One test counts how much of the program is read, which is most of the memory that it takes when it is idle.
//!
//! **When another test fails**, the change costs more than [`TOLERANCE`]. To find where, count by function:
//!
//! 1. Build the commit before and the change with `cargo build --profile bench`, which keeps the names of functions.
//! 2. Run each under `valgrind --tool=callgrind` as [`Run::command`] does, or, without a network,
//!    `target/release/deps/filter-… --apply dashboard --rounds 100`, which `cargo bench --no-run --bench filter` builds.
//! 3. Compare `callgrind_annotate` of the two.
//!
//! If the change is worth it, write the new figure into [`BUDGETS`] and the reason into the commit. If a figure is far below its
//! budget, the table says so: lower the budget, so that what was won stays won.

#![deny(dead_code)]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[path = "../../benches/support/answers.rs"]
mod answers;
mod counted;
#[expect(dead_code, reason = "events and names are for the benches")]
#[path = "../../benches/support/documents.rs"]
mod documents;
#[path = "../support/harness.rs"]
mod harness;
mod order;
#[path = "../../benches/support/valgrind.rs"]
mod valgrind;

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use counted::{Run, Valgrind};
use harness::{Missing, Outcome, Suite, Test, note, tests};

/// What something may cost, in instructions.
struct Budget {
    /// What it is.
    name: &'static str,
    /// What it costs in the program of `.ci/static`.
    instructions: u64,
    /// What most of them do.
    made_of: &'static str,
}

/// The budgets. A figure may be [`TOLERANCE`] above.
const BUDGETS: [Budget; 5] = [START, PING, INSPECT, LIST, FILTER];
const START: Budget = Budget {
    name: "start to the first answer",
    instructions: 7_820_000,
    made_of: "one built-in profile is unpacked, and the plans of one listener that have rules are compiled",
};
const PING: Budget = Budget {
    name: "ping",
    instructions: 40_900,
    made_of: "two heads read and two written, and what the metrics count",
};
const INSPECT: Budget = Budget {
    name: "inspect of 10 kB",
    instructions: 158_500,
    made_of: "as a ping, with a line in the log; every byte read, 29 labels and a variable masked",
};
const LIST: Budget = Budget {
    name: "list of 100 (371 kB)",
    instructions: 3_700_000,
    made_of: "every byte read, elements filtered as they arrive, 2,900 labels masked",
};
const FILTER: Budget = Budget {
    name: "list of 100, filter alone",
    instructions: 3_000_000,
    made_of: "the same without HTTP: the walk, the masks, the bytes copied",
};

/// How much more than its budget something may cost, in percent: what differs between two runs, and rounding.
const TOLERANCE: u64 = 3;
/// How much less makes the table suggest a lower budget, in percent.
const SLACK: u64 = 5;

/// How much of the program a start may read, and the usual exchanges, in bytes. As it is written, `.ci/first.ld` makes that 2.8 MB; each
/// change of the program adds a little.
const READ: u64 = 4 << 20;
/// A profile of a file, with streams.
const LIVE: &str = "profile: live\nextends: dashboard-live\n";
/// The linker script that says which functions come first.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/first.ld");

/// A rule that compares a pattern with every mount and hides none: two in each container of the list.
const RULED: &str = "\
profile: ruled
extends: dashboard
rules:
  - {on: ContainerSummary, remove: \"$.Mounts[?match(@.Source, '/no/such/.*')]\"}
";
/// How much a list may cost with that rule, in percent of what it costs without.
const RULED_PERCENT: u64 = 125;

const TESTS: &[Test] = tests![
    a_list_keeps_to_its_budget,
    a_rule_with_a_pattern_costs_a_small_part_of_a_list,
    an_inspect_keeps_to_its_budget,
    a_ping_keeps_to_its_budget,
    the_filter_alone_keeps_to_its_budget,
    a_start_keeps_to_its_budget,
    a_start_and_exchanges_read_a_part_of_the_program,
];

/// What was counted.
static COUNTED: Mutex<Vec<(&str, u64)>> = Mutex::new(Vec::new());

fn main() -> ExitCode {
    let required = std::env::var("DOCKVEIL_INSTRUCTIONS").is_ok_and(|value| value == "require");
    let missing = if required { Missing::Fails } else { Missing::Ignores };
    let code = harness::run(&Suite { tests: &[TESTS], limit: Duration::from_secs(120), threads: None, missing });
    let counted = COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !counted.is_empty() {
        eprintln!("{}", table(&counted));
    }
    code
}

/// The figures beside their budgets, in the order of [`BUDGETS`].
fn table(counted: &[(&str, u64)]) -> String {
    let mut lines = vec![format!("{:<28} {:>12} {:>12} {:>7}", "instructions", "counted", "budget", "")];
    for Budget { name, instructions: budget, made_of } in BUDGETS {
        let Some((_, count)) = counted.iter().find(|(of, _)| *of == name) else { continue };
        let hint = if count * 100 < budget * (100 - SLACK) { "  lower the budget" } else { "" };
        let percent = *count as f64 * 100.0 / budget as f64;
        lines.push(format!("{name:<28} {count:>12} {budget:>12} {percent:>6.1}%  {made_of}{hint}"));
    }
    lines.join("\n")
}

/// Fails if a figure is above its budget.
#[track_caller]
fn check(budget: &Budget, count: u64) {
    COUNTED.lock().unwrap_or_else(PoisonError::into_inner).push((budget.name, count));
    let Budget { name, instructions, .. } = budget;
    assert!(
        count * 100 <= instructions * (100 + TOLERANCE),
        "{name}: {count} instructions, {:.1} % of the budget of {instructions}. \
         tests/instructions/main.rs says how to find the cause, and when to change the budget.",
        count as f64 * 100.0 / *instructions as f64
    );
}

/// What one round costs: two runs, and the difference.
fn of_one_round(few: u64, many: u64, count: impl Fn(u64) -> u64) -> u64 {
    (count(many) - count(few)) / (many - few)
}

fn a_start_keeps_to_its_budget() -> Outcome {
    let valgrind = Valgrind::find()?;
    check(&START, Run::of(&valgrind).exchanges("/_ping", 1));
    Ok(())
}

fn a_ping_keeps_to_its_budget() -> Outcome {
    let valgrind = Valgrind::find()?;
    check(&PING, of_one_round(50, 1_050, |rounds| Run::of(&valgrind).exchanges("/_ping", rounds)));
    Ok(())
}

fn an_inspect_keeps_to_its_budget() -> Outcome {
    let valgrind = Valgrind::find()?;
    let inspect = |rounds| Run::of(&valgrind).exchanges("/containers/web/json", rounds);
    check(&INSPECT, of_one_round(5, 205, inspect));
    Ok(())
}

fn a_list_keeps_to_its_budget() -> Outcome {
    let valgrind = Valgrind::find()?;
    check(&LIST, of_one_round(2, 12, |rounds| Run::of(&valgrind).exchanges("/containers/json", rounds)));
    Ok(())
}

fn a_rule_with_a_pattern_costs_a_small_part_of_a_list() -> Outcome {
    let valgrind = Valgrind::find()?;
    let list = |run: fn(Run<'_>) -> Run<'_>| {
        of_one_round(2, 12, |rounds| run(Run::of(&valgrind)).exchanges("/containers/json", rounds))
    };
    let (without, with) = (list(|run| run), list(|run| run.with_profile("ruled", RULED)));
    note(&format!("list of 100 with a rule: {with}, without: {without}"));
    assert!(
        with * 100 <= without * RULED_PERCENT,
        "a list with a rule takes {with} instructions, and {without} without: more than {RULED_PERCENT} %"
    );
    Ok(())
}

fn the_filter_alone_keeps_to_its_budget() -> Outcome {
    let valgrind = Valgrind::find()?;
    let filter = |hundreds| Run::of(&valgrind).filter(&documents::list(hundreds as usize * 100));
    check(&FILTER, of_one_round(1, 6, filter));
    Ok(())
}

/// Or, with `DOCKVEIL_GENERATE`, the linker script is written from what they run.
fn a_start_and_exchanges_read_a_part_of_the_program() -> Outcome {
    let valgrind = Valgrind::find()?;
    let started = Run::of(&valgrind).addresses("/_ping");
    let used = ["/containers/web/json", "/containers/json", "/events"].into_iter();
    let used = used.flat_map(|target| Run::of(&valgrind).with_profile("live", LIVE).addresses(target)).collect();
    if std::env::var_os("DOCKVEIL_GENERATE").is_some() {
        std::fs::write(SCRIPT, order::script(valgrind.binary(), &started, &used)).unwrap();
        return Ok(());
    }
    let read = order::read(&started.union(&used).copied().collect());
    note(&format!("bytes of the program that are read: {read}, by a start alone: {}", order::read(&started)));
    assert!(read <= READ, "{read} bytes are read: write .ci/first.ld with DOCKVEIL_GENERATE=1, and build again");
    Ok(())
}
