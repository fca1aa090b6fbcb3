//! Why an exchange has no answer of the daemon's.

use std::fmt;

use super::body::ElementError;
use crate::api::Operation;
use crate::filter::FilterError;
use crate::policy::Denial;
use crate::route::TargetError;
use crate::upstream::UpstreamError;

/// Why an exchange failed. Only [`super::respond`] knows what status that is.
#[derive(Debug)]
pub enum Error {
    /// The target cannot be read in one way only.
    Target(TargetError),
    /// There is no such operation.
    NoRoute,
    /// Policy says no.
    Denied(Denial),
    /// A web page sent it.
    Origin,
    /// It is addressed to a name we do not answer to.
    Host,
    /// A body where the operation takes none.
    Body,
    /// A body of a media type the operation does not take.
    BodyType,
    /// The body is longer than may be.
    BodyTooLong,
    /// The client did not send all of the body.
    BodyBroken,
    /// A stream was asked for over HTTP/1.0, in which a cut cannot be told from an end.
    HttpVersion,
    /// The client asks for a newer API version than the daemon speaks.
    NewerThanEngine,
    /// The route cannot be written as a target.
    Unroutable,
    /// The daemon gave no usable answer.
    Upstream(UpstreamError),
    /// The daemon said no.
    Engine {
        /// With this status.
        status: u16,
        /// To this operation.
        operation: &'static Operation,
    },
    /// A status that no operation answers with: a redirect, a part of a document.
    Status,
    /// The answer does not say that it is plain JSON.
    NotJson,
    /// The answer is longer than may be.
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The filter could not be applied.
    Filter(FilterError),
    /// The filter could not be applied to a list.
    Elements(ElementError),
    /// The answer to a request for a stream is framed in no way that a stream is.
    Framing,
}

impl Error {
    /// Whether an operator should know of it: nothing the client did.
    pub(super) fn is_ours_or_the_engines(&self) -> bool {
        match self {
            Self::Target(_)
            | Self::NoRoute
            | Self::Denied(_)
            | Self::Origin
            | Self::Host
            | Self::Body
            | Self::BodyType
            | Self::BodyTooLong
            | Self::BodyBroken
            | Self::HttpVersion
            | Self::NewerThanEngine
            | Self::Engine { .. } => false,
            Self::Unroutable
            | Self::Upstream(_)
            | Self::Status
            | Self::NotJson
            | Self::TooLong { .. }
            | Self::Filter(_)
            | Self::Elements(_)
            | Self::Framing => true,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(error) => write!(f, "target: {error}"),
            Self::NoRoute => f.write_str("no such operation"),
            Self::Denied(denial) => f.write_str(denial.public()),
            Self::Origin => f.write_str("a request of a web page"),
            Self::Host => f.write_str("addressed to another host name"),
            Self::Body => f.write_str("a body where the operation takes none"),
            Self::BodyType => f.write_str("a body of a type the operation does not take"),
            Self::BodyTooLong => f.write_str("the body of the request is too long"),
            Self::BodyBroken => f.write_str("the body of the request broke off"),
            Self::HttpVersion => f.write_str("a stream over HTTP/1.0"),
            Self::NewerThanEngine => f.write_str("an API version newer than the daemon's"),
            Self::Unroutable => f.write_str("the route cannot be written as a target"),
            Self::Upstream(error) => write!(f, "upstream: {error}"),
            Self::Engine { status, operation } => write!(f, "upstream: status {status} to {}", operation.id),
            Self::Status => f.write_str("upstream: a status that no operation answers with"),
            Self::NotJson => f.write_str("withheld: the answer is not plain JSON"),
            Self::TooLong { limit } => write!(f, "withheld: the answer is longer than {limit} bytes"),
            Self::Filter(error) => write!(f, "withheld: {error}"),
            Self::Elements(error) => write!(f, "withheld: {error}"),
            Self::Framing => f.write_str("withheld: the answer is not framed as a stream"),
        }
    }
}

impl std::error::Error for Error {}

impl From<TargetError> for Error {
    fn from(error: TargetError) -> Self {
        Self::Target(error)
    }
}

impl From<UpstreamError> for Error {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}
