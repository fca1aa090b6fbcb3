//! Why an exchange failed.

use std::fmt;

use super::body::ElementError;
use super::memory::MemoryError;
use super::message::Message;
use super::stream_request::StreamCut;
use crate::api::bodies::BodyFault;
use crate::api::{ApiVersion, Operation, Upgrade};
use crate::clients::ClientRefusal;
use crate::filter::{EditFault, FilterError};
use crate::policy::Refusal;
use crate::route::TargetError;
use crate::upstream::UpstreamError;

/// Why an exchange failed. Only [`super::respond`] knows the status of the answer.
#[derive(Debug)]
pub enum Error {
    /// The target is malformed or ambiguous.
    Target(TargetError),
    /// No operation has this method and path.
    NoRoute,
    /// Policy denies it.
    Denied(Refusal),
    /// The listener does not serve the client.
    Client(ClientRefusal),
    /// A web page sent it.
    Origin,
    /// It is addressed to a host name that the listener does not answer to.
    Host,
    /// A reload has taken the right to it away before all of it was received.
    Withdrawn,
    /// A stream that must be cut has not begun.
    Cut(StreamCut),
    /// A body that is a form, in which an engine would look for parameters.
    Form,
    /// A body of a media type that the engine refuses.
    BodyType,
    /// The body is longer than the limit.
    BodyTooLong,
    /// The body of an edit cannot be read with certainty.
    Edited(FilterError),
    /// An edit of what the client was shown is refused.
    Edit {
        /// What is wrong with it.
        fault: EditFault,
        /// The same in words.
        refusal: Refusal,
    },
    /// A body that names objects is refused.
    Body {
        /// What is wrong with it.
        fault: Box<BodyFault>,
        /// The same in words.
        refusal: Refusal,
    },
    /// A header field that decides something is repeated.
    Repeated,
    /// The client did not send all of the body.
    BodyBroken,
    /// The operation needs an upgrade of the connection that the request does not ask for.
    NoUpgrade(Upgrade),
    /// A stream over HTTP/1.0, which cannot tell a cut from an end.
    HttpVersion,
    /// A newer API version than the engine supports.
    NewerThanEngine {
        /// The version that the client asked for.
        client: ApiVersion,
        /// The newest of the engine that clients may use.
        engine: ApiVersion,
    },
    /// An older API version than clients may use, or than the engine accepts.
    OlderThanEngine {
        /// The version that the client asked for.
        client: ApiVersion,
        /// The oldest that is accepted.
        engine: ApiVersion,
    },
    /// The operation cannot be requested from this engine.
    Unroutable,
    /// The engine gave no usable answer.
    Upstream(UpstreamError),
    /// The engine answered with an error.
    Engine {
        /// Its status.
        status: u16,
        /// The operation.
        operation: &'static Operation,
        /// What the client reads.
        message: Message,
    },
    /// A status that no operation has: a redirect, a part of a document.
    Status,
    /// A header field of the answer is malformed or repeated.
    Field(&'static str),
    /// The answer is not plain JSON.
    NotJson,
    /// The answer is longer than the limit.
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// There is no memory for the answer.
    Memory(MemoryError),
    /// The filter could not be applied.
    Filter(FilterError),
    /// The filter could not be applied to a list.
    Elements(ElementError),
    /// The answer does not mark where it ends, or is not framed as a stream.
    Framing,
}

impl Error {
    /// Whether the fault is the engine's or ours, and not the client's. Such an error is a warning in the log.
    pub(super) fn is_server_fault(&self) -> bool {
        match self {
            Self::Target(_)
            | Self::NoRoute
            | Self::Denied(_)
            | Self::Client(_)
            | Self::Origin
            | Self::Host
            | Self::Withdrawn
            | Self::Cut(_)
            | Self::Form
            | Self::BodyType
            | Self::BodyTooLong
            | Self::Edited(_)
            | Self::Edit { .. }
            | Self::Body { .. }
            | Self::Repeated
            | Self::BodyBroken
            | Self::NoUpgrade(_)
            | Self::HttpVersion
            | Self::NewerThanEngine { .. }
            | Self::OlderThanEngine { .. }
            | Self::Engine { .. } => false,
            Self::Unroutable
            | Self::Upstream(_)
            | Self::Status
            | Self::Field(_)
            | Self::NotJson
            | Self::TooLong { .. }
            | Self::Memory(_)
            | Self::Filter(_)
            | Self::Elements(_)
            | Self::Framing => true,
        }
    }
}

impl Error {
    /// The reason in the log and in metrics, in one word.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Target(_) => "target",
            Self::NoRoute => "no-operation",
            Self::Denied(refusal) => refusal.reason(),
            Self::Client(_) => "client",
            Self::Origin => "origin",
            Self::Withdrawn => "reload",
            Self::Cut(cut) => cut.reason(),
            Self::Host => "host",
            Self::Form => "form",
            Self::BodyType => "body-type",
            Self::BodyTooLong => "body-too-long",
            Self::Edited(_) => "body-unreadable",
            Self::Edit { .. } => "edit",
            Self::Body { .. } => "body-names",
            Self::Repeated => "repeated-field",
            Self::BodyBroken => "body-incomplete",
            Self::NoUpgrade(_) => "no-upgrade",
            Self::HttpVersion => "http-version",
            Self::NewerThanEngine { .. } | Self::OlderThanEngine { .. } => "api-version",
            Self::Unroutable => "unroutable",
            Self::Upstream(error) => error.reason(),
            Self::Engine { .. } => "engine-error",
            Self::Status => "engine-status",
            Self::Field(_) => "engine-field",
            Self::NotJson => "not-json",
            Self::TooLong { .. } => "too-long",
            Self::Memory(MemoryError::Busy) => "memory-busy",
            Self::Memory(MemoryError::TooLarge { .. }) => "memory-limit",
            Self::Filter(_) | Self::Elements(_) => "unfilterable",
            Self::Framing => "framing",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(error) => write!(f, "target: {error}"),
            Self::NoRoute => f.write_str("no such operation"),
            Self::Denied(refusal) => f.write_str(refusal.logged()),
            Self::Client(refusal) => f.write_str(refusal.logged()),
            Self::Origin => f.write_str("a request from a web page"),
            Self::Withdrawn => f.write_str("the configuration has changed before all of the request was received"),
            Self::Cut(cut) => f.write_str(cut.why()),
            Self::Host => f.write_str("a request for another host name"),
            Self::Form => f.write_str("a request body that is a form"),
            Self::BodyType => f.write_str("a request body of an unsupported content type"),
            Self::BodyTooLong => f.write_str("the request body is too long"),
            Self::Edited(error) => write!(f, "the request body cannot be read with certainty: {error}"),
            Self::Edit { refusal, .. } | Self::Body { refusal, .. } => f.write_str(refusal.logged()),
            Self::Repeated => f.write_str("a header field is repeated"),
            Self::BodyBroken => f.write_str("the request body is incomplete or malformed"),
            Self::NoUpgrade(protocol) => write!(f, "no request for an upgrade to {}", protocol.as_str()),
            Self::HttpVersion => f.write_str("a stream over HTTP/1.0"),
            Self::NewerThanEngine { client, engine } => write!(f, "client API {client}, engine {engine}"),
            Self::OlderThanEngine { client, engine } => write!(f, "client API {client}, engine {engine} at least"),
            Self::Unroutable => f.write_str("the operation cannot be requested from this engine"),
            Self::Upstream(error) => write!(f, "engine: {error}"),
            Self::Engine { status, operation, .. } => write!(f, "engine: status {status} for {}", operation.id),
            Self::Status => f.write_str("engine: unexpected status"),
            Self::Field(name) => write!(f, "withheld: the header field {name} is malformed or repeated"),
            Self::NotJson => f.write_str("withheld: the answer is not plain JSON"),
            Self::TooLong { limit } => write!(f, "withheld: the answer is longer than {limit} bytes"),
            Self::Memory(error) => write!(f, "withheld: {error}"),
            Self::Filter(error) => write!(f, "withheld: {error}"),
            Self::Elements(error) => write!(f, "withheld: {error}"),
            Self::Framing => f.write_str("withheld: the answer does not mark where it ends"),
        }
    }
}

impl std::error::Error for Error {}

impl From<TargetError> for Error {
    fn from(error: TargetError) -> Self {
        Self::Target(error)
    }
}

impl From<MemoryError> for Error {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}

impl From<UpstreamError> for Error {
    fn from(error: UpstreamError) -> Self {
        if matches!(error, UpstreamError::ClientBody) { Self::BodyBroken } else { Self::Upstream(error) }
    }
}
