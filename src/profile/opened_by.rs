//! Where an operator opens what a profile denies, in the operator's own words.

use std::collections::BTreeMap;

/// Where an operator opens what a profile denies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OpenedBy {
    /// By a key of the profile.
    #[default]
    Keys,
    /// By an environment variable: the profile is made from those of another socket proxy.
    Variables(OpeningVariables),
}

/// The environment variables that open what a profile denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpeningVariables {
    /// For an operation, the variables to set, as in `CONTAINERS=1 POST=1`. No variable opens an operation without an entry.
    pub operations: BTreeMap<&'static str, String>,
    /// The variable of classes to show.
    pub show: &'static str,
    /// The variable of labels to show.
    pub labels: &'static str,
}
