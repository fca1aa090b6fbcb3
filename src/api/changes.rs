//! What changed between API versions, from `filters/versions.yaml`: whether a request may be sent under another version than the
//! client asked for.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::operations::{Operation, operation, unknown_operation};
use super::version::ApiVersion;
use crate::embedded;
use crate::yaml::{Diagnostic, Diagnostics, Node, unknown};

/// The file of the built-in table.
pub const FILE: &str = "versions.yaml";

/// A version from which on requests of an operation mean something else, or answers have another shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    version: ApiVersion,
    /// The parameter without which nothing changes; `None` if every request is concerned.
    parameter: Option<&'static str>,
}

/// The changes of each operation, by its id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionTable(BTreeMap<&'static str, Vec<Change>>);

/// The built-in table, read once.
static BUILT_IN: LazyLock<Result<VersionTable, Diagnostics>> =
    LazyLock::new(|| VersionTable::read(&embedded::document(FILE)?));

/// Returns the built-in table.
///
/// # Errors
/// Every error in the file. A test makes sure that there is none.
pub fn built_in() -> Result<&'static VersionTable, Diagnostics> {
    BUILT_IN.as_ref().map_err(Clone::clone)
}

impl VersionTable {
    /// Whether a request means the same under the version `sent` as under the older version `asked`, and has an answer of the
    /// same shape. `has` tells whether the request has a parameter.
    ///
    /// False if the table does not have the operation.
    pub fn is_same(
        &self,
        operation: &Operation,
        (asked, sent): (ApiVersion, ApiVersion),
        has: impl Fn(&str) -> bool,
    ) -> bool {
        let Some(changes) = self.0.get(operation.id) else { return false };
        let versions = &operation.versions;
        let exists = versions.first <= asked && versions.last.is_none_or(|last| sent <= last);
        let concerns =
            |change: &Change| asked < change.version && change.version <= sent && change.parameter.is_none_or(&has);
        exists && !changes.iter().any(concerns)
    }

    /// Reads the table.
    fn read(document: &Node) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let Some(members) = diagnostics.members(document, "changes of versions", &["changed", "unchanged"]) else {
            return Err(diagnostics);
        };
        let mut table = Self::default();
        let changed = members.get("changed").and_then(|node| diagnostics.ok(node.mapping("versions by operation")));
        for (key, node) in changed.unwrap_or_default() {
            match operation(&key.name).filter(|operation| operation.id == key.name) {
                Some(operation) => {
                    let items = diagnostics.texts(node, "versions");
                    let changes = items.iter().filter_map(|(text, item)| diagnostics.ok(change(text, item, operation)));
                    table.0.insert(operation.id, changes.collect());
                }
                None => diagnostics.report(&key.location, unknown_operation(&key.name)),
            }
        }
        for (id, item) in members.get("unchanged").map(|node| diagnostics.texts(node, "ids")).unwrap_or_default() {
            match operation(id).filter(|operation| operation.id == id) {
                Some(operation) if table.0.insert(operation.id, Vec::new()).is_some() => {
                    diagnostics.push(item.diagnostic(format!("{id} is listed already")));
                }
                Some(_) => {}
                None => diagnostics.push(item.diagnostic(unknown_operation(id))),
            }
        }
        diagnostics.finish(table)
    }
}

/// Parses a version, or a version and the name of a parameter.
fn change(text: &str, item: &Node, operation: &'static Operation) -> Result<Change, Diagnostic> {
    let (version, name) = text.split_once(' ').map_or((text, None), |(version, name)| (version, Some(name)));
    let version = version.parse().map_err(|error: super::VersionError| item.diagnostic(error.to_string()))?;
    let known = operation.query.iter().map(|parameter| parameter.name);
    let parameter = match name {
        Some(name) => {
            let found = known.clone().find(|known| *known == name);
            Some(found.ok_or_else(|| item.diagnostic(unknown("parameter", name, known)))?)
        }
        None => None,
    };
    Ok(Change { version, parameter })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::OPERATIONS;

    #[test]
    fn every_operation_is_listed_once_with_versions_that_it_has() {
        let table = built_in().unwrap();
        for operation in OPERATIONS {
            let changes = table.0.get(operation.id).unwrap_or_else(|| panic!("{} is not listed", operation.id));
            for change in changes {
                assert!(operation.versions.first < change.version, "{} {}", operation.id, change.version);
                assert!(change.version <= ApiVersion::NEWEST, "{} {}", operation.id, change.version);
            }
        }
        let text = include_str!("../../filters/versions.yaml");
        let mut twice = OPERATIONS.iter().map(|operation| text.matches(&format!("- {}\n", operation.id)).count());
        assert!(twice.all(|count| count <= 1));
    }

    #[track_caller]
    fn check(id: &str, asked: u16, sent: u16, parameters: &[&str], expected: bool) {
        let versions = (ApiVersion::new(asked), ApiVersion::new(sent));
        let operation = operation(id).unwrap();
        let same = built_in().unwrap().is_same(operation, versions, |name| parameters.contains(&name));
        assert_eq!(same, expected, "{id} from 1.{asked} to 1.{sent} with {parameters:?}");
    }

    #[test]
    fn a_request_is_the_same_until_something_changes() {
        check("ContainerInspect", 24, 44, &[], true);
        check("ContainerInspect", 24, 45, &[], false);
        check("ContainerInspect", 45, 51, &[], true);
        check("ImageList", 43, 44, &[], false);
        check("ImageList", 24, 42, &["all"], true);
        check("ImageList", 24, 42, &["filter"], false);
        check("ImageList", 40, 41, &["filter"], false);
        check("ContainerStop", 24, 44, &["t"], true);
        check("ContainerStop", 24, 44, &["signal"], false);
        check("ContainerStop", 42, 44, &["signal"], true);
        check("VolumePrune", 41, 42, &[], false);
        check("ContainerCreate", 24, 40, &[], false);
    }

    #[test]
    fn an_operation_that_a_version_does_not_have_is_not_the_same() {
        check("ConfigList", 30, 44, &[], true);
        check("ConfigList", 29, 44, &[], false);
        check("ContainerCopy", 24, 25, &[], false);
        let versions = (ApiVersion::new(24), ApiVersion::new(44));
        let operation = operation("SystemPing").unwrap();
        assert!(!VersionTable::default().is_same(operation, versions, |_| false), "an operation that is not listed");
    }

    #[test]
    fn every_error_in_a_table_is_reported() {
        let text =
            "changed:\n  ContainerLst: []\n  ContainerStop: [new, 1.42 sgnal]\nunchanged: [Ping, ContainerStop]\n";
        let wrong = VersionTable::read(&crate::yaml::parse("v.yaml", text).unwrap()).unwrap_err();
        let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        assert_eq!(
            wrong,
            [
                "v.yaml:2:3: unknown operation \"ContainerLst\", did you mean \"ContainerList\"?",
                "v.yaml:3:19: expected a version such as 1.44",
                "v.yaml:3:24: unknown parameter \"sgnal\", did you mean \"signal\"?",
                "v.yaml:4:13: unknown operation \"Ping\", expected an operation id of the Docker API such as ContainerList",
                "v.yaml:4:19: ContainerStop is listed already",
            ]
        );
    }
}
