//! The lists whose entries a profile can show by name: labels, variables, annotations and options.
//!
//! `filters/lists.yaml` names the members that hold the entries of each list.

use crate::embedded;
use crate::schema::NameList;
use crate::yaml::{Diagnostic, Node};

/// The file that names the members that hold the entries of each list.
pub const FILE: &str = "lists.yaml";

/// Labels of containers, images, volumes, networks and swarm objects.
pub const LABELS: NameList = NameList::new(0, "labels", "labels");
/// Environment variables: an array of `NAME=value`, or a map.
pub const ENV: NameList = NameList::new(1, "env", "variables");
/// OCI annotations.
pub const ANNOTATIONS: NameList = NameList::new(2, "annotations", "annotations");
/// Options of drivers for volumes, networks, IP addresses, logs, storage and devices.
pub const OPTIONS: NameList = NameList::new(3, "options", "options");

/// Every list, in the order of the indexes.
pub const ALL: [NameList; 4] = [LABELS, ENV, ANNOTATIONS, OPTIONS];

/// The file, for a catalogue of other schemas.
///
/// # Errors
/// As [`embedded::document`].
pub fn document() -> Result<Node, Diagnostic> {
    embedded::document(FILE)
}
