//! The lists of which a profile may show entries by name.
//!
//! Which members of which schemas hold their entries is in `filters/lists.yaml`. The lists themselves are code, because
//! a profile has a key for each.

use crate::schema::NameList;

/// The file inside the program that says which members hold entries of which list.
pub const FILE: (&str, &str) = ("built-in:lists.yaml", include_str!("../../filters/lists.yaml"));

/// Labels of containers, images, volumes, networks and swarm objects.
pub const LABELS: NameList = NameList::new(0, "labels", "labels");
/// Environment variables, as texts `NAME=value` or as a map.
pub const ENV: NameList = NameList::new(1, "env", "variables");
/// OCI annotations.
pub const ANNOTATIONS: NameList = NameList::new(2, "annotations", "annotations");
/// Options of drivers: for volumes, networks, addresses, logs, storage and devices.
pub const OPTIONS: NameList = NameList::new(3, "options", "options");

/// All of them, by their indexes.
pub const ALL: [NameList; 4] = [LABELS, ENV, ANNOTATIONS, OPTIONS];
