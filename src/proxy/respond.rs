//! The answer to an error, in the engine's form.

use std::time::Duration;

use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::Error;
use super::body::Filtered;
use super::memory::MemoryError;
use super::message::Message;
use super::stream_request::RELOADED;
use crate::api::bodies::BodyFault;
use crate::api::{ApiVersion, Upgrade};
use crate::filter::{EditFault, FilterError};
use crate::route::NO_SUCH_HOST;
use crate::upstream::UpstreamError;

/// The answer for an exchange that failed.
pub(super) fn error(error: Error, engine: Option<ApiVersion>) -> Response<Filtered> {
    let lacks_memory = matches!(error, Error::Memory(MemoryError::Busy));
    let (status, message) = public(error);
    let mut response = own(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY), message, engine);
    if status == 503 {
        let seconds = if lacks_memory { 5_u64 } else { 1 };
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// The answer to a request for which there is no room. The client may try again in a second.
pub(super) fn busy(message: String, engine: Option<ApiVersion>) -> Response<Filtered> {
    let mut response = own(StatusCode::SERVICE_UNAVAILABLE, message.into(), engine);
    response.headers_mut().insert(RETRY_AFTER, const { HeaderValue::from_static("1") });
    response
}

/// The answer to a request that has come too soon after others.
pub(super) fn too_soon(message: String, wait: Duration, engine: Option<ApiVersion>) -> Response<Filtered> {
    let mut response = own(StatusCode::TOO_MANY_REQUESTS, message.into(), engine);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after(wait)));
    response
}

/// How many seconds a client should wait: whole ones, after which it is served.
pub(super) fn retry_after(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// An answer of our own. Clients negotiate by any answer, so it names the API version of the `engine`.
fn own(status: StatusCode, message: Message, engine: Option<ApiVersion>) -> Response<Filtered> {
    let length = message.unread_length();
    let mut response = Response::new(Filtered::error(message));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    if let Some(value) = engine.and_then(|version| HeaderValue::try_from(version.to_string()).ok()) {
        headers.insert("api-version", value);
    }
    response
}

/// The status of the answer to an edit that is refused.
fn status_of_edit(fault: EditFault) -> u16 {
    match fault {
        EditFault::Hidden
        | EditFault::Unknown
        | EditFault::Mask
        | EditFault::Template
        | EditFault::Destination
        | EditFault::Question => 403,
        EditFault::Spelling | EditFault::Type => 400,
        EditFault::Uncertain | EditFault::Kind | EditFault::NotAsWritten => 409,
    }
}

/// The status of the answer to a body that is refused.
fn status_of_body(fault: &BodyFault) -> u16 {
    match fault {
        BodyFault::Unread | BodyFault::TooMany => 400,
        BodyFault::Unknown(_)
        | BodyFault::Form(_)
        | BodyFault::Host(_)
        | BodyFault::Borrowed
        | BodyFault::Environment
        | BodyFault::NotShown(_) => 403,
    }
}

/// The status and the message of an error: all that a client learns.
pub(super) fn public(error: Error) -> (u16, Message) {
    let (status, text) = match error {
        Error::Engine { status, message, .. } => return (status, message),
        Error::Denied(refusal) => return (403, refusal.public().into()),
        Error::Client(refusal) => (403, refusal.public()),
        Error::Body { fault, refusal } => return (status_of_body(&fault), refusal.public().into()),
        Error::Edit { fault, refusal } => return (status_of_edit(fault), refusal.public().into()),
        Error::NewerThanEngine { client, engine } => return (400, Message::too_new(client, engine)),
        Error::OlderThanEngine { client, engine } => return (400, Message::too_old(client, engine)),
        Error::Upstream(UpstreamError::Timeout(limit)) => {
            return (504, format!("docker daemon did not answer within {limit:?}").into());
        }
        Error::TooLong { limit } | Error::Filter(FilterError::TooLarge { limit }) => {
            return (502, format!("response withheld by policy: longer than {limit} bytes (limits.element)").into());
        }
        Error::Target(error) => return (error.status(), error.public().into()),
        Error::NoRoute => (404, "page not found"),
        Error::Withdrawn => (503, RELOADED),
        Error::Cut(cut) => (503, cut.public()),
        Error::Origin => (403, "denied by policy: requests from web pages are not allowed"),
        Error::Host => (403, NO_SUCH_HOST),
        Error::Form => (400, "the request body is a form: send parameters in the query"),
        Error::BodyType => (400, "unsupported content type of the request: expected application/json"),
        Error::BodyTooLong => {
            (413, "the request body is too long: more than 1 MiB, or than `limits.memory` has room for")
        }
        Error::Edited(FilterError::TooLarge { .. }) => {
            (413, "the request body is too long: more than 4 MiB, or than `limits.memory` has room for")
        }
        Error::Edited(_) => (400, "the request body is not one JSON object, nests too deep, or has a member twice"),
        Error::Repeated => (400, "malformed request: a header field is repeated"),
        Error::BodyBroken => (400, "the request body is incomplete or malformed"),
        Error::NoUpgrade(Upgrade::Tcp) => (400, "this operation needs an upgrade of the connection"),
        Error::NoUpgrade(Upgrade::H2c) => (400, "this operation needs `Connection: Upgrade` and `Upgrade: h2c`"),
        Error::NoUpgrade(Upgrade::WebSocket) => (400, "this operation needs a WebSocket handshake, version 13"),
        Error::HttpVersion => (505, "streams need HTTP/1.1"),
        Error::Memory(MemoryError::Busy) => (503, "too many large answers at a time, try again later"),
        Error::Upstream(UpstreamError::Unavailable(_)) => (503, "docker daemon unavailable"),
        Error::Upstream(UpstreamError::Tls(_)) => (502, "no TLS connection to the docker daemon"),
        Error::Upstream(UpstreamError::Ssh(_)) => (502, "no SSH connection to the docker daemon"),
        Error::Upstream(
            UpstreamError::Broken(_)
            | UpstreamError::Unanswered
            | UpstreamError::Malformed(_)
            | UpstreamError::Version
            | UpstreamError::ClientBody,
        )
        | Error::Field(_) => (502, "invalid answer from the docker daemon"),
        Error::Unroutable
        | Error::Status
        | Error::NotJson
        | Error::Memory(MemoryError::TooLarge { .. })
        | Error::Filter(_)
        | Error::Elements(_)
        | Error::Framing => (502, "response withheld by policy"),
    };
    (status, text.into())
}
