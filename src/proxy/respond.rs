//! Error to response: the daemon's form, our words.
//!
//! No error text of the daemon's is passed on: see [`errors`].

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::Error;
use super::body::Filtered;
use crate::api::{ApiVersion, errors};
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
        Error::Engine { status, operation } => (*status, errors::phrase(*status, operation)),
        Error::Unroutable
        | Error::Status
        | Error::NotJson
        | Error::TooLong { .. }
        | Error::Filter(_)
        | Error::Elements(_)
        | Error::Framing => (502, "response withheld by policy"),
    }
}
