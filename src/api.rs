//! Everything that is Docker: the one home of facts about the Docker Engine API.
//!
//! A table is a data file in `filters/` if an operator or a reviewer reads it to learn what clients see. It is code if
//! the compiler should check it, or if the program matches on its values.
//!
//! | fact | where | why there |
//! |---|---|---|
//! | schemas and how they nest | `filters/schemas.yaml` | class files and rules refer to it |
//! | the class of each field | `filters/class/*.yaml` | a reviewer checks it line by line; operators add to it |
//! | the type and the versions of each field | `filters/fields.tsv` | generated; a value of another type is hidden |
//! | what replaces a hidden text | `filters/blanks.yaml` | a list of fields, like the classes |
//! | event types, their attributes and actions | `filters/events.yaml` | it decides what a client sees of an event |
//! | which members hold labels, variables, annotations, options | `filters/lists.yaml` | it decides what `labels: [..]` in a profile applies to |
//! | what is said of the engine's errors and warnings | `filters/errors.yaml` | a reviewer checks that no pattern lets a value through |
//! | what a query parameter or a key of `filters` reads | `filters/queries.yaml` | it decides which requests are denied |
//! | what changed from one API version to the next | `filters/versions.yaml` | it decides whether an old client is served |
//! | which operations a profile can allow by one name | `filters/groups.yaml` | it decides what `allow: [read]` opens |
//! | what objects each operation is about | `filters/objects.yaml` | it decides what a client reaches that sees only some objects |
//! | what bodies of requests hold, and which members name objects | `filters/bodies.yaml` | the same |
//! | which member tells the elements of a list from each other | [`ELEMENT_KEYS`] | a short table, and a test checks it |
//! | the lists themselves | [`lists`] | each list is a key of profile files and has an index |
//! | operations, their parameters and bodies | [`OPERATIONS`] | a row refers to the enums that `policy`, `route` and `proxy` match on |
//! | methods and API versions | [`Method`], [`ApiVersion`] | types with a parser |
//!
//! A few facts about HTTP stay with the code that speaks it: header names are in `proxy`, and the ping that asks an
//! engine for its version is in `upstream`.

pub mod bodies;
pub mod catalogue;
pub mod changes;
mod element_keys;
pub mod errors;
mod fields;
pub mod groups;
pub mod lists;
mod method;
pub mod objects;
mod operations;
pub mod queries;
mod reference;
mod version;

pub use element_keys::ELEMENT_KEYS;
pub use fields::{FieldFacts, FieldTable};
pub use method::{Method, UnknownMethod};
pub use operations::{
    DocumentPart, EditedObject, OPERATIONS, Operation, Parameter, ParameterKind, RequestBody, ResponseKind, StreamKind,
    Upgrade, Versions, operation, operations_named, unknown_operation,
};
pub use reference::{
    familiar, has_registry, has_transport, is_reference, names_no_place, of_docker, registry_of, tags_no_place,
    with_tag,
};
pub use version::{ApiRange, ApiVersion, VersionError};
