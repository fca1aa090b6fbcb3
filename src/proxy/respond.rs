//! Error to response: the daemon's form, our words.
//!
//! An error text of the daemon's names hosts, paths, options and other containers, so none is passed on. Clients go by
//! the status; the words are those a client of this operation knows.

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::Error;
use super::body::Filtered;
use crate::api::{ApiVersion, Operation};
use crate::route::TargetError;
use crate::upstream::UpstreamError;

/// The answer for an exchange that failed. `engine` is the API version to name, as clients negotiate by any answer.
pub(super) fn error(error: &Error, engine: Option<ApiVersion>) -> Response<Filtered> {
    let (status, message) = public(error);
    let mut response = Response::new(Filtered::error(message));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
    if let Some(value) = engine.and_then(|version| HeaderValue::try_from(version.to_string()).ok()) {
        headers.insert("api-version", value);
    }
    response
}

/// The status and the text of an error: all that a client learns of it.
pub(super) fn public(error: &Error) -> (u16, &'static str) {
    match error {
        // Where Docker has nothing either, so that a client that looks for Podman finds none.
        Error::Target(error @ TargetError::Libpod) => (404, error.public()),
        Error::Target(error) => (400, error.public()),
        Error::NoRoute => (404, "page not found"),
        Error::Denied(denial) => (403, denial.public()),
        Error::Origin => (403, "denied by policy: requests of web pages are not allowed"),
        Error::Host => (403, "denied by policy: this listener is not known by that host name"),
        Error::Body => (400, "this operation takes no request body"),
        Error::BodyType => (400, "unsupported content type of the request body"),
        Error::BodyTooLong => (413, "the request body is too long"),
        Error::BodyBroken => (400, "the request body is incomplete"),
        Error::HttpVersion => (505, "streams need HTTP/1.1"),
        Error::NewerThanEngine => {
            (400, "client version is too new: the engine speaks the version in Api-Version at most")
        }
        Error::Upstream(UpstreamError::Unavailable(_)) => (503, "docker daemon unavailable"),
        Error::Upstream(UpstreamError::Timeout) => (504, "docker daemon did not answer in time"),
        Error::Upstream(UpstreamError::Broken(_) | UpstreamError::Version) => {
            (502, "docker daemon gave no valid answer")
        }
        Error::Engine { status, operation } => (*status, of_engine(*status, operation)),
        Error::Unroutable
        | Error::Status
        | Error::NotJson
        | Error::TooLong { .. }
        | Error::Filter(_)
        | Error::Elements(_)
        | Error::Framing => (502, "response withheld by policy"),
    }
}

/// What to say for a status of the daemon's.
fn of_engine(status: u16, operation: &Operation) -> &'static str {
    match status {
        400 => "bad parameter",
        401 | 403 => "denied by the docker daemon",
        404 => missing(operation),
        406 => "not acceptable",
        409 => "conflict with the current state",
        501 => "not implemented by the docker daemon",
        503 => "not available on this node, which may be no swarm manager",
        _ if status < 500 => "refused by the docker daemon",
        _ => "the docker daemon failed to answer",
    }
}

/// What is missing, by what the operation is about.
fn missing(operation: &Operation) -> &'static str {
    match operation.template.split('/').nth(1) {
        Some("containers") => "No such container",
        Some("images" | "distribution") => "No such image",
        Some("exec") => "No such exec instance",
        Some("networks") => "network not found",
        Some("volumes") => "no such volume",
        Some("services") => "service not found",
        Some("tasks") => "task not found",
        Some("nodes") => "node not found",
        Some("secrets") => "secret not found",
        Some("configs") => "config not found",
        Some("plugins") => "plugin not found",
        _ => "not found",
    }
}
