//! The table of what happens to each operation under a profile that shows only some objects, at the end of `docs/objects.md`.

use std::fmt::Write as _;

use dockveil::api::objects::{ObjectKind, ParameterRule, objects_of};
use dockveil::api::{OPERATIONS, Operation};
use dockveil::policy::Policy;

use super::{OPEN, policy};
use crate::harness::{Test, tests};
use crate::support::generated;

pub(crate) const TESTS: &[Test] = tests![the_table_says_what_happens_to_each_operation];

/// What happens to an operation under a profile that restricts objects of one kind.
fn cell(operation: &Operation, kind: ObjectKind, policy: &Policy) -> String {
    if policy.unlimited().any(|(denied, _)| denied.id == operation.id) {
        return "denied".to_owned();
    }
    if policy.reaching_host().any(|denied| denied.id == operation.id) {
        return "closed".to_owned();
    }
    let objects = objects_of(operation).unwrap().unwrap();
    let has_rule =
        objects.parameters.values().any(|rule| !matches!(rule, ParameterRule::Any | ParameterRule::NewImage));
    let body = policy.body(operation);
    let names = body.is_some_and(|body| body.kinds().contains(&kind));
    let words = [
        (objects.path.is_some_and(|path| path.kind() == kind), "one"),
        (objects.query.is_some() && kind == ObjectKind::Container, "query"),
        (names, "body"),
        (body.is_some() && !names, "host"),
        (has_rule, "parameter"),
        (objects.prune == Some(kind), "labels"),
        (objects.answer.is_some_and(|answer| policy.visibility().changes(answer)), "answer"),
    ];
    words.iter().filter(|(is_so, _)| *is_so).map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
}

fn the_table_says_what_happens_to_each_operation() {
    let kinds = ObjectKind::ALL;
    let policies = kinds.map(|kind| policy(&format!("profile: p\n{OPEN}{}: {{only: [{{label: a}}]}}\n", kind.key())));
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/objects.md")).unwrap();
    // What stands before the table is written by hand.
    let mut text = document.split_once("| operation | ").unwrap().0.to_owned();
    let row = |text: &mut String, cells: &[String]| writeln!(text, "| {} |", cells.join(" | ")).unwrap();
    let head: Vec<String> = ["operation"].into_iter().chain(kinds.map(ObjectKind::key)).map(str::to_owned).collect();
    row(&mut text, &head);
    writeln!(text, "|{}", "---|".repeat(head.len())).unwrap();
    let mut untouched = Vec::new();
    for operation in OPERATIONS {
        let cells: Vec<String> =
            kinds.iter().zip(&policies).map(|(kind, policy)| cell(operation, *kind, policy)).collect();
        if cells.iter().all(String::is_empty) {
            untouched.push(operation.id);
            continue;
        }
        row(&mut text, &[vec![operation.id.to_owned()], cells].concat());
    }
    assert!(untouched.len() > 20 && untouched.len() < OPERATIONS.len() / 2, "{}", untouched.len());
    let others = generated::wrapped(untouched.into_iter());
    writeln!(text, "\nThese are about none of these objects:\n{}", others.trim_end()).unwrap();
    generated::check("docs/objects.md", &text);
}
