//! The table of what happens to each operation under a profile that shows only some objects, in `docs/objects.md`.

use std::fmt::Write as _;

use dockveil::api::objects::{ObjectKind, ParameterRule, objects_of};
use dockveil::api::{OPERATIONS, Operation};
use dockveil::policy::Policy;

use super::{OPEN, policy};
use crate::harness::{Test, tests};
use crate::support::generated;

pub(crate) const TESTS: &[Test] = tests![the_table_says_what_happens_to_each_operation];

const HEAD: &str = "# What happens to each operation where only some objects are shown

A profile can show [only some objects](profiles.md#only-some-objects). Each column is about a profile that selects objects of this kind
by a label, and shows all others. A test writes this file from `filters/objects.yaml` and `filters/bodies.yaml`.

| word | meaning |
|---|---|
| one | the path names an object, and one that is hidden is absent |
| query | a parameter names a container, and one that is hidden is absent |
| body | every name in the body is looked up, and what reaches the host or is not known is denied |
| host | the body names no such object, and what reaches the host or is not known is denied |
| answer | the answer has no trace of hidden objects |
| parameter | a parameter that reaches the host is denied |
| labels | the engine is told the labels of what it may touch; without such labels, denied |
| denied | the operation is not limited to visible objects, or tells of others; `dockveil explain` says why |
| closed | the operation reaches the host, or everything on it: denied unless the profile says `parameters: {ID: all}` |

A visible object names what it uses, hidden or not: a container its image, volumes and networks, a service and its tasks their networks
and addresses there. This is so in lists and where it is inspected. Only references to containers are looked up, and events.

Who may exec into a visible container, attach to it or copy its files has what that container has: its volumes and networks, hidden or
not, and the host if it reaches that. A profile that shows such a container and allows these operations opens all of it. A new container
or a service borrows less: of one that reaches the host, uses a hidden volume or network, or borrows itself, it has neither the volumes
nor a namespace. A link to a container, and joining its processes, show its environment: that needs a profile that shows environments
whole. A new container shows the environment of its image, whatever the profile hides. Configs and secrets of a swarm are everybody's,
as the host is: a service that asks for one could read what is in it, so that needs `parameters: {ServiceCreate: all}`. What a service
has already may be sent back.

";

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
    let mut text = HEAD.to_owned();
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
