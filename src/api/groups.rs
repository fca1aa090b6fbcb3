//! Groups of operations, from `filters/groups.yaml`: what a profile can allow or deny by one name.

use std::sync::LazyLock;

use super::operations::{OPERATIONS, Operation, operation, operations_named, unknown_operation};
use crate::embedded;
use crate::yaml::{Diagnostics, Node, unknown_or};

/// The file of the built-in table.
const FILE: &str = "groups.yaml";

/// The names that stand for every operation.
pub const EVERYTHING: [&str; 2] = ["all", "*"];

/// Operations that a profile can allow or deny together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationGroup {
    /// The name.
    pub name: String,
    /// What the operations do.
    pub about: String,
    /// The operations, in the order of the table.
    pub operations: Vec<&'static Operation>,
}

/// The built-in table, read once.
static BUILT_IN: LazyLock<Result<Vec<OperationGroup>, Diagnostics>> =
    LazyLock::new(|| read(&embedded::document(FILE)?));

/// Returns the built-in groups, in the order of the file.
///
/// # Errors
/// Every error in the file. A test makes sure that there is none.
pub fn built_in() -> Result<&'static [OperationGroup], Diagnostics> {
    BUILT_IN.as_deref().map_err(Clone::clone)
}

/// Finds the operations that a name in `allow` or `deny` stands for: those of a group, every operation for `all` and `*`, or
/// those that [`operations_named`] finds. None if the name is unknown.
pub fn operations_called(name: &str) -> Vec<&'static Operation> {
    if EVERYTHING.contains(&name) {
        return OPERATIONS.iter().collect();
    }
    let groups = BUILT_IN.as_deref().unwrap_or_default();
    match groups.iter().find(|group| group.name == name) {
        Some(group) => group.operations.clone(),
        None => operations_named(name).collect(),
    }
}

/// Error text for a name that is neither an operation nor a group.
pub fn unknown_name(name: &str) -> String {
    let groups: Vec<&str> = BUILT_IN.as_deref().unwrap_or_default().iter().map(|group| group.name.as_str()).collect();
    let known = groups.iter().copied().chain(EVERYTHING).chain(OPERATIONS.iter().map(|operation| operation.id));
    let expected = format!("an operation id such as ContainerList, all, or a group: {}", groups.join(", "));
    unknown_or("operation or group", name, known, &expected)
}

/// Reads the table.
fn read(document: &Node) -> Result<Vec<OperationGroup>, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let mut groups = Vec::new();
    for (key, node) in diagnostics.ok(document.mapping("groups of operations")).unwrap_or_default() {
        groups.extend(group(&key.name, node, &mut diagnostics));
    }
    diagnostics.finish(groups)
}

/// Reads one group.
fn group(name: &str, node: &Node, diagnostics: &mut Diagnostics) -> Option<OperationGroup> {
    let members = diagnostics.members(node, "a group", &["about", "operations"])?;
    let about = members.get("about").and_then(|node| diagnostics.ok(node.text("what the operations do")));
    let mut operations = Vec::new();
    for (id, item) in members.get("operations").map(|node| diagnostics.texts(node, "ids")).unwrap_or_default() {
        match operation(id).filter(|operation| operation.id == id) {
            Some(operation) => operations.push(operation),
            None => diagnostics.push(item.diagnostic(unknown_operation(id))),
        }
    }
    Some(OperationGroup { name: name.to_owned(), about: about.unwrap_or_default().to_owned(), operations })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_in_exactly_one_group() {
        let groups = built_in().unwrap();
        for operation in OPERATIONS {
            let count = groups.iter().flat_map(|group| &group.operations).filter(|other| **other == operation).count();
            assert_eq!(count, 1, "{} is in {count} groups", operation.id);
        }
        assert_eq!(groups.iter().map(|group| group.operations.len()).sum::<usize>(), OPERATIONS.len());
    }

    #[test]
    fn a_group_is_named_like_no_operation_and_says_what_it_does() {
        for group in built_in().unwrap() {
            assert!(operation(&group.name).is_none() && !EVERYTHING.contains(&group.name.as_str()), "{}", group.name);
            assert!(group.name.bytes().all(|byte| byte.is_ascii_lowercase()), "{}", group.name);
            assert!(group.about.ends_with('.') && !group.operations.is_empty(), "{}", group.name);
        }
    }

    #[test]
    fn the_group_read_only_reads_what_can_be_filtered() {
        let read = operations_called("read");
        for operation in &read {
            assert!(!operation.mutating && operation.about.is_empty() && !operation.calls_out(), "{}", operation.id);
            let is_filtered = operation.filtered_schema().is_some();
            assert!(is_filtered || operation.template == "/_ping", "{}", operation.id);
        }
        // Whatever is left out has a reason, or changes something.
        for operation in OPERATIONS.iter().filter(|operation| !read.contains(operation)) {
            assert!(operation.mutating || !operation.about.is_empty(), "{}", operation.id);
        }
    }

    #[test]
    fn a_name_stands_for_a_group_for_everything_or_for_an_operation() {
        let ids = |name| operations_called(name).iter().map(|operation| operation.id).collect::<Vec<_>>();
        assert_eq!(ids("logs"), ["ContainerLogs", "ServiceLogs", "TaskLogs"]);
        assert_eq!((ids("all").len(), ids("*").len()), (OPERATIONS.len(), OPERATIONS.len()));
        assert_eq!(ids("Ping"), ["SystemPing", "SystemPingHead"]);
        assert_eq!((ids("Read"), ids("everything"), ids("")), (vec![], vec![], vec![]));
    }

    #[test]
    fn a_misspelt_name_is_told_with_the_nearest_one() {
        for (name, near) in [
            ("lifecicle", "lifecycle"),
            ("Logs", "logs"),
            ("networ", "networks"),
            ("ContainerLst", "ContainerList"),
            ("containerlist", "ContainerList"),
            ("ALL", "all"),
        ] {
            assert!(
                unknown_name(name).ends_with(&format!("{name:?}, did you mean {near:?}?")),
                "{}",
                unknown_name(name)
            );
        }
        assert!(unknown_name("anything").contains("a group: read, logs, lifecycle"), "{}", unknown_name("anything"));
    }
}
