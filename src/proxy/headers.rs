//! Which header fields pass, in either direction: those named here and no others.

use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};

use crate::api::Operation;

/// What the daemon says of itself in every answer, and clients negotiate by.
const FROM_ENGINE: [HeaderName; 3] = [
    HeaderName::from_static("api-version"),
    HeaderName::from_static("docker-experimental"),
    HeaderName::from_static("ostype"),
];

/// What it says of the host in an answer to a ping.
const FROM_ENGINE_OF_THE_HOST: [HeaderName; 2] =
    [HeaderName::from_static("builder-version"), HeaderName::from_static("swarm")];

/// Credentials that a client sends for the engine to use with a registry; they go up where registries are spoken to.
const FOR_REGISTRIES: [HeaderName; 2] =
    [HeaderName::from_static("x-registry-auth"), HeaderName::from_static("x-registry-config")];

/// How many fields an engine's answer has, by and large.
const FIELDS_OF_AN_ANSWER: usize = 12;

/// The fields of a request that go up with it.
pub(super) fn of_request(from: &HeaderMap, operation: &Operation, with_body: bool) -> HeaderMap {
    // The map comes back with the fields of the answer in it, for which it has room.
    let mut up = HeaderMap::with_capacity(FIELDS_OF_AN_ANSWER);
    if with_body && let Some(value) = from.get(CONTENT_TYPE) {
        up.insert(CONTENT_TYPE, value.clone());
    }
    if operation.calls_registry {
        copy(from, &FOR_REGISTRIES, &mut up);
    }
    up
}

/// The fields of an answer that go down with it; `host` adds those which describe the host.
pub(super) fn of_response(from: &HeaderMap, host: bool) -> HeaderMap {
    let mut down = HeaderMap::with_capacity(6);
    copy(from, &FROM_ENGINE, &mut down);
    if host {
        copy(from, &FROM_ENGINE_OF_THE_HOST, &mut down);
    }
    down
}

/// The same fields, of an answer whose head was read by us.
pub(super) fn passes_down(name: &str) -> bool {
    FROM_ENGINE.iter().any(|known| name.eq_ignore_ascii_case(known.as_str()))
}

fn copy(from: &HeaderMap, names: &[HeaderName], to: &mut HeaderMap) {
    for name in names {
        if let Some(value) = from.get(name) {
            to.insert(name.clone(), value.clone());
        }
    }
}

/// Whether an answer may be read as JSON: it says that it is, and is not encoded.
///
/// One that names no type may be: Podman names none for statistics and processes. What it holds is for the filter to read,
/// which passes on nothing that it cannot.
pub(super) fn is_plain_json(headers: &HeaderMap) -> bool {
    let encoded =
        headers.get(CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let named = headers.get(CONTENT_TYPE);
    !encoded && (named.is_none() || media_type(named) == Some("application/json"))
}

/// Whether a request says that its body is of one of these media types.
pub(super) fn has_media_type(headers: &HeaderMap, types: &[&str]) -> bool {
    media_type(headers.get(CONTENT_TYPE)).is_some_and(|found| types.contains(&found))
}

/// The media type without its parameters; lower case only, as every client and engine writes it.
fn media_type(value: Option<&HeaderValue>) -> Option<&str> {
    value?.to_str().ok()?.split(';').next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::operation;

    fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn a_request_takes_only_named_fields_up() {
        let from = fields(&[
            ("accept-encoding", "gzip"),
            ("content-type", "application/json"),
            ("range", "bytes=0-"),
            ("upgrade", "h2c"),
            ("x-registry-auth", "e30="),
        ]);
        let of_request = |id, with_body| of_request(&from, operation(id).unwrap(), with_body);
        assert_eq!(names(&of_request("ContainerCreate", true)), ["content-type"]);
        assert_eq!(names(&of_request("ImageCreate", false)), ["x-registry-auth"]);
        assert!(of_request("ContainerList", false).is_empty());
    }

    #[test]
    fn an_answer_brings_only_named_fields_down() {
        let from = fields(&[
            ("api-version", "1.51"),
            ("server", "Docker/28"),
            ("swarm", "active/manager"),
            ("location", "/x"),
        ]);
        assert_eq!(names(&of_response(&from, false)), ["api-version"]);
        assert_eq!(names(&of_response(&from, true)), ["api-version", "swarm"]);
    }

    #[test]
    fn json_is_what_names_no_other_type_and_no_coding() {
        assert!(is_plain_json(&fields(&[("content-type", "application/json; charset=utf-8")])));
        assert!(!is_plain_json(&fields(&[("content-type", "text/plain")])));
        assert!(!is_plain_json(&fields(&[("content-type", "")])));
        assert!(is_plain_json(&fields(&[])));
        assert!(!is_plain_json(&fields(&[("content-encoding", "gzip")])));
        assert!(!is_plain_json(&fields(&[("content-type", "application/json"), ("content-encoding", "gzip")])));
    }
}
