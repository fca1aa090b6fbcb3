//! The header fields that pass, in either direction: those named here and no others.

use hyper::HeaderMap;
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, InvalidHeaderValue,
    ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};

use super::Error;
use crate::api::{ApiVersion, Operation, RequestBody, Upgrade};
use crate::stream::fields::{HeaderFields, visible};
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

/// What begins the names of the fields in which a client of BuildKit says which services it has for the engine.
const SESSION_PREFIX: &str = "x-docker-expose-session-";

/// The handshake of a WebSocket in a request (RFC 6455 §4.1).
const WEBSOCKET_REQUEST: [HeaderName; 4] =
    [SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_EXTENSIONS];

/// The handshake of a WebSocket in an answer (RFC 6455 §4.2.2).
const WEBSOCKET_ANSWER: [HeaderName; 3] = [SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_EXTENSIONS];

/// The media types of events. They differ only in framing, so a client may choose one.
const EVENT_TYPES: [&str; 4] =
    ["application/json", "application/jsonl", "application/x-ndjson", "application/json-seq"];

/// The media types of a hijacked connection.
const RAW_STREAM_TYPES: [&str; 2] = ["application/vnd.docker.raw-stream", "application/vnd.docker.multiplexed-stream"];

/// The media types of forms (`net/http.Request.ParseForm` and `ParseMultipartForm` in Go).
const FORM_TYPES: [&str; 2] = ["application/x-www-form-urlencoded", "multipart/form-data"];

/// About how many fields an engine's answer has.
const TYPICAL_FIELDS: usize = 12;

/// The fields of a request that go up, whether or not it has a body; see [`describe_body`].
pub(super) fn of_request(from: &HeaderMap, operation: &Operation) -> HeaderMap {
    let mut up = HeaderMap::new();
    if operation.calls_registry {
        copy(from, &FOR_REGISTRIES, &mut up);
    }
    match operation.response.upgrade() {
        Some(Upgrade::H2c) => {
            // The names of the services are one field each.
            let fields = from.iter().filter(|(name, _)| name.as_str().starts_with(SESSION_PREFIX));
            up.extend(fields.map(|(name, value)| (name.clone(), value.clone())));
        }
        Some(Upgrade::WebSocket) => copy(from, &WEBSOCKET_REQUEST, &mut up),
        Some(Upgrade::Tcp) | None => {}
    }
    up
}

/// Lets the engine keep no credentials for a registry with a service, unless the request has some. An engine takes an empty field
/// for none, and looks at the first one only.
pub(super) fn keep_no_credentials(of_request: &mut HeaderMap) {
    const FIELD: &str = "x-registry-auth";
    if of_request.get(FIELD).is_none_or(|value| value.as_bytes().trim_ascii().is_empty()) {
        // An empty object, in Base64.
        of_request.insert(FIELD, const { HeaderValue::from_static("e30=") });
    }
}

/// Refuses a request without the upgrade that its operation cannot do without. The engine would refuse it too.
///
/// # Errors
/// [`Error::NoUpgrade`].
pub(super) fn check_upgrade(headers: &HeaderMap, operation: &Operation) -> Result<(), Error> {
    let Some(protocol) = operation.response.upgrade() else { return Ok(()) };
    let has_upgrade = match protocol {
        Upgrade::Tcp => true,
        Upgrade::H2c => asks(headers, protocol),
        Upgrade::WebSocket => asks_websocket(headers),
    };
    if has_upgrade { Ok(()) } else { Err(Error::NoUpgrade(protocol)) }
}

/// Whether a request has the handshake of a WebSocket.
pub(super) fn asks_websocket(headers: &HeaderMap) -> bool {
    asks(headers, Upgrade::WebSocket)
        && headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
        && headers.get(SEC_WEBSOCKET_KEY).is_some_and(|key| key.to_str().is_ok_and(is_base64))
}

/// Whether a request asks for an upgrade to this protocol and no other.
fn asks(headers: &HeaderMap, protocol: Upgrade) -> bool {
    let values = headers.get_all(CONNECTION);
    let mut options = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let named = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    options.any(|option| option.trim().eq_ignore_ascii_case("upgrade"))
        && named.is_some_and(|name| name.eq_ignore_ascii_case(protocol.as_str()))
}

/// The fields of the engine's side of a handshake that go down.
pub(super) fn of_handshake(from: &HeaderFields, protocol: Upgrade) -> HeaderMap {
    let mut down = HeaderMap::new();
    match protocol {
        Upgrade::WebSocket => copy_down(from, &WEBSOCKET_ANSWER, &mut down),
        Upgrade::Tcp | Upgrade::H2c => {}
    }
    down
}

/// Whether an answer upgrades the connection to this protocol, as far as it must say so. Docker's own goes by many names.
pub(super) fn upgrades_to(head: &ResponseHead, protocol: Upgrade) -> bool {
    let names = || head.headers.text(UPGRADE.as_str()).is_some_and(|name| name.eq_ignore_ascii_case(protocol.as_str()));
    match protocol {
        Upgrade::Tcp => true,
        Upgrade::H2c => names(),
        Upgrade::WebSocket => names() && head.headers.text(SEC_WEBSOCKET_ACCEPT.as_str()).is_some(),
    }
}

/// Whether header fields that describe the host pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostFields {
    Shown,
    Hidden,
}

/// The fields of an answer that go down.
pub(super) fn of_response(from: &HeaderFields, host: HostFields) -> HeaderMap {
    let mut down = HeaderMap::with_capacity(TYPICAL_FIELDS);
    copy_down(from, &FROM_ENGINE, &mut down);
    if host == HostFields::Shown {
        copy_down(from, &FROM_ENGINE_OF_THE_HOST, &mut down);
    }
    down
}

/// Checks the fields of an answer that decide something or pass: each is there once at most, and has the shape of its
/// kind. An answer may not be encoded, because nobody asks for it.
///
/// # Errors
/// [`Error::Field`].
pub(super) fn check_answer(headers: &HeaderFields) -> Result<(), Error> {
    let mut found = [false; OF_ANSWERS.len()];
    for (name, value) in headers.iter() {
        let mut kinds = OF_ANSWERS.iter().zip(&mut found);
        let Some(((known, is_valid), found)) = kinds.find(|((known, _), _)| known.as_bytes() == name) else { continue };
        if std::mem::replace(found, true) || !visible(value).is_some_and(is_valid) {
            return Err(Error::Field(known));
        }
    }
    Ok(())
}

/// Whether a value has the shape of its field.
type IsValid = fn(&str) -> bool;

/// The fields of an answer that decide something or pass, and their shapes.
static OF_ANSWERS: [(&str, IsValid); 12] = [
    ("api-version", |value| value.parse::<ApiVersion>().is_ok()),
    ("docker-experimental", |value| matches!(value, "true" | "false")),
    ("ostype", |value| SYSTEMS.contains(&value)),
    // These two are hidden with what is of the host.
    ("builder-version", |value| value.is_empty() || is_word(value)),
    // The state of the node, and its role: `active/manager`.
    ("swarm", |value| value.is_empty() || value.splitn(2, '/').all(is_word)),
    ("x-docker-container-path-stat", is_base64),
    ("content-type", is_media_type),
    ("content-encoding", |value| value.eq_ignore_ascii_case("identity")),
    ("upgrade", is_word),
    ("sec-websocket-accept", |value| value.len() == 28 && is_base64(value)),
    ("sec-websocket-protocol", is_word),
    ("sec-websocket-extensions", |value| value.split([',', ';', '=']).all(|part| is_word(part.trim()))),
];

/// The names of operating systems, as Go has them.
const SYSTEMS: [&str; 10] =
    ["linux", "windows", "freebsd", "darwin", "netbsd", "openbsd", "dragonfly", "illumos", "solaris", "aix"];

/// A short word, such as `websocket`.
fn is_word(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// A document in base64 (RFC 4648 §4) of up to 16 KiB: a path may have 4 KiB, and so may the target of a link.
fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    (1..=16 * 1024).contains(&text.len())
        && text.len() - digits.len() <= 2
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// The media types that most answers have.
const TYPICAL_TYPES: [&str; 4] =
    ["application/json", "text/plain; charset=utf-8", RAW_STREAM_TYPES[0], RAW_STREAM_TYPES[1]];

/// A media type and its parameters (RFC 9110 §8.3.1), such as `text/plain; charset=utf-8`; or none, as an engine may write.
fn is_media_type(text: &str) -> bool {
    TYPICAL_TYPES.contains(&text) || has_media_type_form(text)
}

/// As [`is_media_type`], whatever it is.
fn has_media_type_form(text: &str) -> bool {
    let is_token = |text: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
        !text.is_empty() && text.bytes().all(is_allowed)
    };
    let mut parts = text.split(';').map(str::trim);
    let is_type =
        parts.next().is_some_and(|name| name.split_once('/').is_some_and(|(a, b)| is_token(a) && is_token(b)));
    let is_parameter =
        |part: &str| part.split_once('=').is_some_and(|(a, b)| is_token(a) && is_token(b.trim_matches('"')));
    text.is_empty() || (text.len() <= 128 && is_type && parts.all(is_parameter))
}

/// Fields of a request that decide something, of which a second value would be one too many. `Host` and the framing are
/// checked where requests are read. A media type may be there twice, as bollard writes it: it does not go up.
static ONCE_IN_REQUESTS: [HeaderName; 4] =
    [ACCEPT, HeaderName::from_static("x-registry-auth"), HeaderName::from_static("x-registry-config"), ORIGIN];

/// Refuses a request that names twice what may be said once.
///
/// # Errors
/// [`Error::Repeated`].
pub(super) fn check_request(headers: &HeaderMap) -> Result<(), Error> {
    // With as many values as names, none is repeated.
    if headers.len() == headers.keys_len() {
        return Ok(());
    }
    let is_repeated = |name: &HeaderName| headers.get_all(name).iter().nth(1).is_some();
    if ONCE_IN_REQUESTS.iter().any(is_repeated) { Err(Error::Repeated) } else { Ok(()) }
}

fn copy(from: &HeaderMap, names: &[HeaderName], to: &mut HeaderMap) {
    for name in names {
        if let Some(value) = from.get(name) {
            to.insert(name.clone(), value.clone());
        }
    }
}

/// Passes on fields of an answer, the first of each name.
fn copy_down(from: &HeaderFields, names: &[HeaderName], down: &mut HeaderMap) {
    for name in names {
        // What could not be the value of a field was refused when the head was read.
        if let Some(value) = from.first(name.as_str()).and_then(|value| value_down(value).ok()) {
            down.insert(name.clone(), value);
        }
    }
}

/// The value of a field that goes down. Those that most engines write take no memory.
fn value_down(value: &[u8]) -> Result<HeaderValue, InvalidHeaderValue> {
    const TYPICAL: [&str; 4] = ["linux", "false", "true", "application/json"];
    match TYPICAL.into_iter().find(|typical| typical.as_bytes() == value) {
        Some(typical) => Ok(HeaderValue::from_static(typical)),
        None => HeaderValue::from_bytes(value),
    }
}

/// Adds the fields of an answer to a ping.
pub(super) fn describe_ping(down: &mut HeaderMap) {
    down.insert(CONTENT_TYPE, const { HeaderValue::from_static("text/plain; charset=utf-8") });
    down.insert(CACHE_CONTROL, const { HeaderValue::from_static("no-cache, no-store, must-revalidate") });
}

/// Names the media type of a body that goes up: the one that its reader expects, whatever the client wrote.
pub(super) fn describe_body(body: RequestBody, up: &mut HeaderMap) {
    let media_type = match body {
        RequestBody::Json | RequestBody::OptionalJson => "application/json",
        RequestBody::Tar | RequestBody::OptionalTar => "application/x-tar",
        RequestBody::None | RequestBody::Raw => return,
    };
    up.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
}

/// Whether a request says that its body is a form. Engines look for parameters in forms.
///
/// Go's `mime.ParseMediaType` takes what is before the first semicolon, trims it and ignores the case. Some letters beyond
/// ASCII have lower cases in ASCII, so a type with such letters counts as a form. Of several types it reads the first; here
/// each counts.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let is_form = |value: &HeaderValue| {
        let name = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        !name.is_ascii() || FORM_TYPES.iter().any(|form| name.eq_ignore_ascii_case(form.as_bytes()))
    };
    headers.get_all(CONTENT_TYPE).iter().any(is_form)
}

/// Whether a request says that its body is JSON. The case does not matter.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes))
        .is_some_and(|name| name.eq_ignore_ascii_case("application/json"))
}

/// Passes on the media type of the body of an answer.
pub(super) fn copy_content_type(from: &HeaderFields, down: &mut HeaderMap) {
    copy_down(from, &[CONTENT_TYPE], down);
}

/// Passes on the description of a file.
pub(super) fn copy_path_stat(from: &HeaderFields, down: &mut HeaderMap) {
    copy_down(from, &[PATH_STAT], down);
}

/// The length that an answer names.
pub(super) fn content_length(headers: &HeaderFields) -> Option<u64> {
    headers.text(CONTENT_LENGTH.as_str())?.parse().ok()
}

/// Whether an answer marks the end of its body. Otherwise the connection ends it, and so does a cut.
pub(super) fn marks_end(headers: &HeaderFields) -> bool {
    headers.has(CONTENT_LENGTH.as_str()) || headers.has(TRANSFER_ENCODING.as_str())
}

/// Whether `value` is exactly one of the media types of events.
pub(super) fn is_event_type(value: &[u8]) -> bool {
    EVENT_TYPES.iter().any(|known| known.as_bytes() == value)
}

/// The media type of a stream of JSON records; `None` if the head names none, as that of statistics does.
///
/// # Errors
/// `()` if it names another type.
pub(super) fn record_type(head: &ResponseHead) -> Result<Option<&'static str>, ()> {
    let Some(value) = head.headers.text(CONTENT_TYPE.as_str()) else { return Ok(None) };
    let name = value.split(';').next().unwrap_or_default().trim();
    EVENT_TYPES.into_iter().find(|known| *known == name).map(Some).ok_or(())
}

/// Whether the head names the media type of a hijacked connection.
pub(super) fn is_raw_stream(head: &ResponseHead) -> bool {
    RAW_STREAM_TYPES.contains(&head.headers.text(CONTENT_TYPE.as_str()).unwrap_or_default())
}

/// Whether an answer may be read as JSON: it names JSON or no type.
///
/// Podman names no type for statistics and processes. The filter still reads the body, and passes nothing on that it
/// cannot read.
pub(super) fn is_plain_json(headers: &HeaderFields) -> bool {
    let named = headers.first(CONTENT_TYPE.as_str());
    named.is_none() || media_type(named) == Some("application/json")
}

/// The media type without its parameters.
fn media_type(value: Option<&[u8]>) -> Option<&str> {
    visible(value?)?.split(';').next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::operation;
    use crate::upstream::raw::BodyFraming;

    fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    /// The same, of an answer.
    fn answer(list: &[(&str, &str)]) -> HeaderFields {
        let mut fields = HeaderFields::default();
        list.iter().for_each(|(name, value)| fields.push(name.as_bytes(), value.as_bytes()));
        fields
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
    }

    /// `http.Request.ParseForm` and `mime.ParseMediaType` of Go.
    #[test]
    fn a_form_is_what_go_takes_for_one() {
        for (value, expected) in [
            ("application/x-www-form-urlencoded", true),
            ("Application/X-WWW-Form-URLEncoded", true),
            ("application/x-www-form-urlencoded; charset=utf-8", true),
            ("\tapplication/x-www-form-urlencoded ;a", true),
            ("application/x-www-form-urlencoded;; =", true),
            ("multipart/form-data; boundary=a", true),
            ("MULTIPART/FORM-DATA", true),
            ("application/x-www-form-urlencoded, text/plain", false),
            ("application/x-www-form-urlencoded2", false),
            ("multipart/mixed; boundary=a", false),
            ("application/ x-www-form-urlencoded", false),
            ("text/plain; a=application/x-www-form-urlencoded", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_form(&fields(&[("content-type", value)])), expected, "{value:?}");
        }
        assert!(!is_form(&fields(&[])));
        let mut beyond = HeaderMap::new();
        for (value, expected) in [("APPL\u{130}CATION/x-www-form-urlencoded", true), ("text/plain; a=\u{130}", false)] {
            beyond.insert(CONTENT_TYPE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            assert_eq!(is_form(&beyond), expected, "{value}");
        }
        beyond.append(CONTENT_TYPE, HeaderValue::from_static("multipart/form-data"));
        assert!(is_form(&beyond), "the second of two");
    }

    #[test]
    fn a_body_goes_up_with_the_type_that_its_reader_expects() {
        for (id, expected) in [
            ("ContainerCreate", Some("application/json")),
            ("VolumeCreate", Some("application/json")),
            ("PutContainerArchive", Some("application/x-tar")),
            ("ImageBuild", Some("application/x-tar")),
            ("ContainerAttach", None),
            ("ContainerStart", None),
        ] {
            let mut up = HeaderMap::new();
            describe_body(operation(id).unwrap().body, &mut up);
            assert_eq!(up.get(CONTENT_TYPE).map(|value| value.to_str().unwrap()), expected, "{id}");
        }
        for (value, expected) in
            [("application/json", true), ("Application/JSON; charset=utf-8", true), ("text/json", false), ("", false)]
        {
            assert_eq!(is_json(&fields(&[("content-type", value)])), expected, "{value:?}");
        }
    }

    #[test]
    fn only_the_fields_of_its_upgrade_go_up_with_a_tunnel() {
        let mut from = fields(&[
            ("upgrade", "h2c"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
            ("sec-websocket-canary", "1"),
            ("x-docker-expose-session-uuid", "a"),
            ("x-docker-expose-canary", "1"),
            ("x-registry-auth", "e30="),
        ]);
        let method = "x-docker-expose-session-grpc-method";
        for value in ["/a/b", "/a/c"] {
            from.append(method, HeaderValue::from_static(value));
        }
        for (id, expected) in [
            ("Session", &["x-docker-expose-session-uuid", method][..]),
            ("Grpc", &["x-docker-expose-session-uuid", method]),
            ("ContainerAttachWebsocket", &["sec-websocket-key", "sec-websocket-version"]),
            ("ContainerAttach", &[]),
            ("ContainerInspect", &[]),
        ] {
            let up = of_request(&from, operation(id).unwrap());
            assert_eq!(names(&up), expected, "{id}");
            assert!(expected.contains(&method) == (up.get_all(method).iter().count() == 2), "{id}");
        }
    }

    #[test]
    fn what_needs_an_upgrade_is_asked_for_it() {
        let websocket = [("sec-websocket-version", "13"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")];
        for (id, upgrade, is_asked) in [
            ("Grpc", &[("connection", "Upgrade"), ("upgrade", "h2c")][..], true),
            ("Session", &[("connection", "keep-alive, upgrade"), ("upgrade", "h2c")], true),
            ("Grpc", &[("connection", "Upgrade"), ("upgrade", "tcp")], false),
            ("Grpc", &[("connection", "Upgrade"), ("upgrade", "h2c, tcp")], false),
            ("Grpc", &[("connection", "close"), ("upgrade", "h2c")], false),
            ("Grpc", &[("upgrade", "h2c")], false),
            ("Grpc", &[], false),
            ("ContainerAttachWebsocket", &[("connection", "Upgrade"), ("upgrade", "WebSocket")], true),
            ("ContainerAttachWebsocket", &[("connection", "Upgrade"), ("upgrade", "h2c")], false),
            ("ContainerAttachWebsocket", &[], false),
            ("ContainerAttach", &[], true),
            ("ContainerInspect", &[], true),
        ] {
            let headers = fields(&[upgrade, &websocket].concat());
            assert_eq!(check_upgrade(&headers, operation(id).unwrap()).is_ok(), is_asked, "{id} {upgrade:?}");
            // A handshake is whole.
            let is_websocket = id == "ContainerAttachWebsocket";
            let half = fields(&[upgrade, &websocket[..1]].concat());
            assert_eq!(
                check_upgrade(&half, operation(id).unwrap()).is_ok(),
                is_asked && !is_websocket,
                "{id} {upgrade:?}"
            );
        }
    }

    #[test]
    fn the_media_type_of_records_is_a_known_one() {
        let head =
            |list: &[(&str, &str)]| ResponseHead { status: 200, framing: BodyFraming::Chunked, headers: answer(list) };
        assert_eq!(record_type(&head(&[])), Ok(None));
        assert_eq!(record_type(&head(&[("content-type", "application/jsonl; a=b")])), Ok(Some("application/jsonl")));
        assert_eq!(record_type(&head(&[("content-type", "text/plain")])), Err(()));
    }

    #[test]
    fn only_named_fields_of_an_answer_go_down() {
        let from = answer(&[
            ("api-version", "1.51"),
            ("server", "Docker/28"),
            ("swarm", "active/manager"),
            ("location", "/x"),
        ]);
        assert_eq!(names(&of_response(&from, HostFields::Hidden)), ["api-version"]);
        assert_eq!(names(&of_response(&from, HostFields::Shown)), ["api-version", "swarm"]);
    }

    #[test]
    fn json_has_no_other_type() {
        assert!(is_plain_json(&answer(&[("content-type", "application/json; charset=utf-8")])));
        assert!(!is_plain_json(&answer(&[("content-type", "text/plain")])));
        assert!(!is_plain_json(&answer(&[("content-type", "")])));
        assert!(is_plain_json(&answer(&[])));
    }

    #[test]
    fn a_field_of_an_answer_has_the_shape_of_its_kind() {
        for (name, valid, invalid) in [
            ("api-version", &["1.24", "1.51"][..], &["", "1", "1.51 ", "1.51, 1.52", "v1.51", "canary"][..]),
            ("docker-experimental", &["true", "false"], &["", "True", "canary"]),
            ("ostype", &["linux", "windows", "freebsd"], &["", "Linux", "linux canary", "linux;a", "/etc", "canary"]),
            ("builder-version", &["", "1", "2"], &["1 canary", "a/b"]),
            ("swarm", &["", "inactive", "active/manager", "active/worker"], &["active/", "/", "a/b/c", "a b"]),
            ("x-docker-container-path-stat", &["eyJuYW1lIjoiYSJ9", "e30="], &["", "canary text", "{}", "e3==="]),
            (
                "content-type",
                &["", "text/plain", "application/json; charset=utf-8", "application/vnd.docker.raw-stream"],
                &["text", "text/", "text/plain; canary", "text/plain; a=b c", "text/plain, text/html"],
            ),
            ("content-encoding", &["identity"], &["gzip", "identity, gzip", ""]),
            ("upgrade", &["tcp", "h2c", "websocket"], &["", "h2c, canary", "a b"]),
            (
                "sec-websocket-accept",
                &["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
                &["", "canary", "s3pPLMBiTxaQ9kYGzzhZRbK xOo="],
            ),
            ("sec-websocket-protocol", &["chat"], &["", "chat, canary", "a b"]),
            (
                "sec-websocket-extensions",
                &["permessage-deflate; client_max_window_bits=15"],
                &["", "a b", "a;;b", "\"a\""],
            ),
        ] {
            for value in valid {
                assert!(check_answer(&answer(&[(name, value)])).is_ok(), "{name}: {value:?}");
                assert!(check_answer(&answer(&[(name, value), (name, value)])).is_err(), "{name}: {value:?} twice");
            }
            for value in invalid {
                assert!(check_answer(&answer(&[(name, value)])).is_err(), "{name}: {value:?}");
            }
        }
    }

    #[test]
    fn what_is_typical_has_the_form_of_its_kind() {
        assert!(TYPICAL_TYPES.into_iter().all(has_media_type_form));
    }

    /// The table has every field that passes.
    #[test]
    fn every_field_that_passes_has_a_shape() {
        let passing = FROM_ENGINE.into_iter().chain(FROM_ENGINE_OF_THE_HOST).chain([PATH_STAT, CONTENT_TYPE]);
        let passing = passing.chain(WEBSOCKET_ANSWER);
        for name in passing {
            assert!(OF_ANSWERS.iter().any(|(known, _)| name == *known), "{name}");
        }
    }

    #[test]
    fn what_decides_about_a_request_is_said_once() {
        for name in &ONCE_IN_REQUESTS {
            let mut headers = fields(&[("accept-language", "en")]);
            headers.append("accept-language", HeaderValue::from_static("de"));
            headers.append(name.clone(), HeaderValue::from_static("a"));
            assert!(check_request(&headers).is_ok(), "{name}");
            headers.append(name.clone(), HeaderValue::from_static("b"));
            assert!(check_request(&headers).is_err(), "{name}");
        }
    }
}
