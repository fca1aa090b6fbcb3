//! Everything that is Docker: the one home of facts about the Docker Engine API.
//!
//! No other module names an operation's path, a schema, a field, an event type or a phrase of the engine. Tables that
//! an operator or a reviewer wants to read are data files in `filters/`; tables that only code reads are code.

pub mod catalogue;
pub mod errors;
pub mod lists;
mod method;
mod operations;
pub mod queries;
mod version;

pub use method::{Method, UnknownMethod};
pub use operations::{
    OPERATIONS, Operation, Parameter, RequestBody, Response, Stream, Versions, operation, operations_named,
    unknown_operation,
};
pub use version::{ApiVersion, VersionError};
