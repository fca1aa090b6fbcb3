//! The header fields that pass, in either direction: those named here and no others.

use hyper::HeaderMap;
use hyper::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING,
};

use crate::api::Operation;
use crate::upstream::raw::ResponseHead;

/// In every answer of the engine. Clients negotiate by them.
const FROM_ENGINE: [HeaderName; 3] = [
    HeaderName::from_static("api-version"),
    HeaderName::from_static("docker-experimental"),
    HeaderName::from_static("ostype"),
];

/// In the engine's answer to a ping; they describe the host.
const FROM_ENGINE_OF_THE_HOST: [HeaderName; 2] =
    [HeaderName::from_static("builder-version"), HeaderName::from_static("swarm")];

/// Credentials for a registry. They go up where the engine calls one.
const FOR_REGISTRIES: [HeaderName; 2] =
    [HeaderName::from_static("x-registry-auth"), HeaderName::from_static("x-registry-config")];

/// The description of a file in a container.
const PATH_STAT: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

/// The media types of events. They differ only in framing, so a client may choose one.
const EVENT_TYPES: [&str; 4] =
    ["application/json", "application/jsonl", "application/x-ndjson", "application/json-seq"];

/// The media types of a hijacked connection.
const RAW_STREAM_TYPES: [&str; 2] = ["application/vnd.docker.raw-stream", "application/vnd.docker.multiplexed-stream"];

/// About how many fields an engine's answer has.
const TYPICAL_FIELDS: usize = 12;

/// The fields of a request that go up, whether or not it has a body; see [`copy_content_type`].
pub(super) fn of_request(from: &HeaderMap, operation: &Operation) -> HeaderMap {
    // hyper reuses the map for the fields of the answer, so there is room for them.
    let mut up = HeaderMap::with_capacity(TYPICAL_FIELDS);
    if operation.calls_registry {
        copy(from, &FOR_REGISTRIES, &mut up);
    }
    up
}

/// Whether header fields that describe the host pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostFields {
    Shown,
    Hidden,
}

/// The fields of an answer that go down.
pub(super) fn of_response(from: &HeaderMap, host: HostFields) -> HeaderMap {
    let mut down = HeaderMap::with_capacity(6);
    copy(from, &FROM_ENGINE, &mut down);
    if host == HostFields::Shown {
        copy(from, &FROM_ENGINE_OF_THE_HOST, &mut down);
    }
    down
}

/// Whether a field passes in the head of a stream.
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

/// Adds the fields of an answer to a ping.
pub(super) fn describe_ping(down: &mut HeaderMap) {
    down.insert(CONTENT_TYPE, const { HeaderValue::from_static("text/plain; charset=utf-8") });
    down.insert(CACHE_CONTROL, const { HeaderValue::from_static("no-cache, no-store, must-revalidate") });
}

/// Passes on the media type of a body that is passed on, in either direction.
pub(super) fn copy_content_type(from: &HeaderMap, to: &mut HeaderMap) {
    copy(from, &[CONTENT_TYPE], to);
}

/// Passes on the description of a file.
pub(super) fn copy_path_stat(from: &HeaderMap, down: &mut HeaderMap) {
    copy(from, &[PATH_STAT], down);
}

/// Whether an answer marks the end of its body. Otherwise the connection ends it, and so does a cut.
pub(super) fn marks_end(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}

/// Whether `value` is exactly one of the media types of events.
pub(super) fn is_event_type(value: &[u8]) -> bool {
    EVENT_TYPES.iter().any(|known| known.as_bytes() == value)
}

/// The media type of a stream of JSON records; `None` if the head names none, as that of statistics does.
///
/// # Errors
/// `()` if it names another type, or the body is encoded.
pub(super) fn record_type(head: &ResponseHead) -> Result<Option<&'static str>, ()> {
    if head.field(CONTENT_ENCODING.as_str()).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(());
    }
    let Some(value) = head.field(CONTENT_TYPE.as_str()) else { return Ok(None) };
    let name = value.split(';').next().unwrap_or_default().trim();
    EVENT_TYPES.into_iter().find(|known| *known == name).map(Some).ok_or(())
}

/// Whether the head names the media type of a hijacked connection.
pub(super) fn is_raw_stream(head: &ResponseHead) -> bool {
    RAW_STREAM_TYPES.contains(&head.field(CONTENT_TYPE.as_str()).unwrap_or_default())
}

/// Whether an answer may be read as JSON: it is not encoded, and names JSON or no type.
///
/// Podman names no type for statistics and processes. The filter still reads the body, and passes nothing on that it
/// cannot read.
pub(super) fn is_plain_json(headers: &HeaderMap) -> bool {
    let encoded =
        headers.get(CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let named = headers.get(CONTENT_TYPE);
    !encoded && (named.is_none() || media_type(named) == Some("application/json"))
}

/// Whether the media type of a request is one of these.
pub(super) fn has_media_type(headers: &HeaderMap, types: &[&str]) -> bool {
    media_type(headers.get(CONTENT_TYPE)).is_some_and(|found| types.contains(&found))
}

/// The media type without its parameters. Lower case only, as every client and engine writes it.
fn media_type(value: Option<&HeaderValue>) -> Option<&str> {
    value?.to_str().ok()?.split(';').next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::operation;
    use crate::upstream::raw::BodyFraming;

    fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn only_named_fields_of_a_request_go_up() {
        let from = fields(&[
            ("accept-encoding", "gzip"),
            ("content-type", "application/json"),
            ("range", "bytes=0-"),
            ("upgrade", "h2c"),
            ("x-registry-auth", "e30="),
        ]);
        let of_request = |id| of_request(&from, operation(id).unwrap());
        assert_eq!(names(&of_request("ImageCreate")), ["x-registry-auth"]);
        assert!(of_request("ContainerCreate").is_empty());
        let mut up = of_request("ImageCreate");
        copy_content_type(&from, &mut up);
        assert_eq!(names(&up), ["x-registry-auth", "content-type"]);
    }

    #[test]
    fn the_media_type_of_records_is_a_known_one() {
        let head = |fields: &[(&str, &str)]| ResponseHead {
            status: 200,
            framing: BodyFraming::Chunked,
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        assert_eq!(record_type(&head(&[])), Ok(None));
        assert_eq!(record_type(&head(&[("Content-Type", "application/jsonl; a=b")])), Ok(Some("application/jsonl")));
        assert_eq!(record_type(&head(&[("Content-Type", "text/plain")])), Err(()));
        assert_eq!(record_type(&head(&[("Content-Encoding", "gzip")])), Err(()));
    }

    #[test]
    fn only_named_fields_of_an_answer_go_down() {
        let from = fields(&[
            ("api-version", "1.51"),
            ("server", "Docker/28"),
            ("swarm", "active/manager"),
            ("location", "/x"),
        ]);
        assert_eq!(names(&of_response(&from, HostFields::Hidden)), ["api-version"]);
        assert_eq!(names(&of_response(&from, HostFields::Shown)), ["api-version", "swarm"]);
    }

    #[test]
    fn json_has_no_other_type_and_no_coding() {
        assert!(is_plain_json(&fields(&[("content-type", "application/json; charset=utf-8")])));
        assert!(!is_plain_json(&fields(&[("content-type", "text/plain")])));
        assert!(!is_plain_json(&fields(&[("content-type", "")])));
        assert!(is_plain_json(&fields(&[])));
        assert!(!is_plain_json(&fields(&[("content-encoding", "gzip")])));
        assert!(!is_plain_json(&fields(&[("content-type", "application/json"), ("content-encoding", "gzip")])));
    }
}
