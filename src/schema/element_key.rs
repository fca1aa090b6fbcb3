//! What tells the elements of an array from each other.

/// Which members of an object in an array say which element it is: two objects with the same values there are one element,
/// before and after an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElementKey {
    /// The name of the schema that has the array.
    pub schema: &'static str,
    /// The path of the array in that schema, as class files write it, such as `$.Ports`.
    pub path: &'static str,
    /// The members, each as names with dots between them.
    pub members: &'static [&'static str],
}
