//! Parses the path and the query of a request target strictly: one canonical form, or a refusal.
//!
//! No real client sends what is refused here. Engines accept some of it, and engines and the proxies in front of them
//! have disagreed about the meaning of all of it.

use std::borrow::Cow;
use std::fmt;

use super::percent;
use super::query::UnknownName;
use crate::api::{ApiVersion, VersionError, errors};
use crate::stream::target::{RequestTarget, RequestTargetError};

/// The longest path, in bytes.
const PATH_LIMIT: usize = 8 * 1024;

/// A parsed request target: the version, the decoded segments of the path, and the raw query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'r> {
    /// The version in front of the path.
    version: Option<ApiVersion>,
    /// The segments of the path. None is empty, `.` or `..`. A slash inside a segment was written `%2F`.
    segments: Vec<Cow<'r, str>>,
    /// Whether the path ends with a slash.
    trailing_slash: bool,
    /// The text after the first `?`.
    query: &'r str,
}

impl<'r> Target<'r> {
    /// Parses the path and the query of a request target. A host in front of them means nothing here, nor to the engine.
    ///
    /// # Errors
    /// A [`TargetError`] if the target is malformed or ambiguous.
    pub fn parse(read: &'r RequestTarget<'_>) -> Result<Self, TargetError> {
        let raw = &*read.path_and_query;
        let (path, query) = raw.split_once('?').unwrap_or((raw, ""));
        if path.len() > PATH_LIMIT {
            return Err(TargetError::TooLong);
        }
        if path.contains("//") {
            return Err(TargetError::Segment);
        }
        let trailing_slash = path.ends_with('/');
        let mut target = Self { version: None, segments: Vec::with_capacity(8), trailing_slash, query };
        let mut version = Ok(());
        for (position, raw) in path.split('/').filter(|raw| !raw.is_empty()).enumerate() {
            let segment = segment(raw)?;
            if position == 0 && looks_like_version(&segment) {
                let written = raw.strip_prefix('v').ok_or(TargetError::Version).and_then(version_of);
                version = written.map(|written| target.version = Some(written));
            } else {
                target.segments.push(segment);
            }
        }
        // Podman's own API has versions of another form. Its clients should read that the API is not supported, rather
        // than that the version is malformed.
        if target.segments.first().is_some_and(|first| first == "libpod") {
            return Err(TargetError::Libpod);
        }
        version.map(|()| target)
    }

    /// The version in front of the path, if there is one.
    pub const fn version(&self) -> Option<ApiVersion> {
        self.version
    }

    /// The decoded segments of the path, without the version.
    pub fn segments(&self) -> &[Cow<'r, str>] {
        &self.segments
    }

    /// Whether the path ends with a slash.
    pub const fn has_trailing_slash(&self) -> bool {
        self.trailing_slash
    }

    /// Whether a segment contains a slash, which the client wrote as `%2F`.
    pub fn has_encoded_slash(&self) -> bool {
        self.segments.iter().any(|segment| segment.contains('/'))
    }

    /// The text after `?`, as the client wrote it.
    pub const fn query(&self) -> &'r str {
        self.query
    }
}

/// Decodes one segment. Refuses a segment that path cleaning or a second decoding would change.
fn segment(raw: &str) -> Result<Cow<'_, str>, TargetError> {
    // Almost every segment means itself.
    if !raw.is_empty() && raw.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return Ok(Cow::Borrowed(raw));
    }
    let segment = percent::decode_path(raw)?;
    if segment.contains('%') {
        return Err(TargetError::DoubleEscape);
    }
    if segment.contains('\\') {
        return Err(TargetError::Backslash);
    }
    if segment.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(TargetError::Segment);
    }
    Ok(segment)
}

/// Parses a version that clients can ask for.
fn version_of(text: &str) -> Result<ApiVersion, TargetError> {
    let version = text.parse::<ApiVersion>().map_err(|error| match error {
        VersionError::Form => TargetError::Version,
        VersionError::TooLarge => TargetError::TooNew,
    })?;
    if version < ApiVersion::MIN { Err(TargetError::TooOld(version)) } else { Ok(version) }
}

/// Whether an engine of any age could take a segment for a version.
fn looks_like_version(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    matches!(bytes.next(), Some(b'v' | b'V')) && matches!(bytes.next(), Some(b'0'..=b'9' | b'.'))
}

/// Why a request target is refused. It is always the client's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// The path is longer than 8 KiB, or what is to go up is longer than a target may be.
    TooLong,
    /// The target cannot be read: it has no path, a malformed host, or a byte that no target has.
    Unreadable(RequestTargetError),
    /// A `%` is not followed by two hexadecimal digits.
    Escape,
    /// The decoded path still contains a `%`.
    DoubleEscape,
    /// An escape stands for a control character.
    Control,
    /// The decoded target is not UTF-8.
    NotUtf8,
    /// The path contains a backslash.
    Backslash,
    /// A segment of the path is empty, `.` or `..`.
    Segment,
    /// The path contains `%2F` in a place where no operation has a name with slashes.
    EncodedSlash,
    /// The name of an image is none: it could be a place on the host.
    Reference,
    /// The version does not have the form `v1.N`.
    Version,
    /// This version is below [`ApiVersion::MIN`].
    TooOld(ApiVersion),
    /// The version number does not fit into 16 bits.
    TooNew,
    /// The path is in Podman's own API, which is not Docker's.
    Libpod,
    /// The query contains a `;`, which some servers take for a separator.
    Semicolon,
    /// The query has a parameter that the operation does not have, and that could change what the request does.
    UnknownParameter(UnknownName),
}

impl TargetError {
    /// The status of the answer.
    pub const fn status(&self) -> u16 {
        match self {
            Self::TooLong => 414,
            Self::Unreadable(error) => error.status(),
            // As Docker answers, so that a client that probes for Podman finds Docker.
            Self::Libpod => 404,
            Self::Escape
            | Self::DoubleEscape
            | Self::Control
            | Self::NotUtf8
            | Self::Backslash
            | Self::Segment
            | Self::EncodedSlash
            | Self::Reference
            | Self::Version
            | Self::TooOld(_)
            | Self::TooNew
            | Self::Semicolon
            | Self::UnknownParameter(_) => 400,
        }
    }

    /// The text for the client. Beyond [`TargetError::log`], it names the unknown parameter, or the versions.
    pub fn public(&self) -> Cow<'static, str> {
        if let Self::TooOld(version) = self {
            return Cow::Owned(errors::too_old(*version, ApiVersion::MIN));
        }
        if let Self::UnknownParameter(name) = self
            && let Some(name) = name.told()
        {
            return Cow::Owned(format!(
                "unknown query parameter {name:?}: this operation does not have it, and it could change what the request does"
            ));
        }
        Cow::Borrowed(self.log())
    }

    /// The text for the log. It quotes nothing from the request.
    pub const fn log(&self) -> &'static str {
        match self {
            Self::TooLong => "request target is too long: its path may have 8192 bytes, all of it 65534",
            Self::Unreadable(error) => error.public(),
            Self::Escape => "request target contains a malformed escape",
            Self::DoubleEscape => "request target is escaped twice",
            Self::Control => "request target contains an escaped control character",
            Self::NotUtf8 => "request target is not utf-8",
            Self::Backslash => "request path contains a backslash",
            Self::Segment => "request path contains an empty segment or a dot segment",
            Self::EncodedSlash => "request path contains an escaped slash",
            Self::Reference => {
                "invalid reference format: an image is [host[:port]/]path[:tag][@digest], without a transport such as dir: or oci: in front"
            }
            Self::Version => "api version must have the form v1.N",
            Self::TooOld(_) => "client version is too old",
            Self::TooNew => "client version is too new",
            Self::Libpod => "podman's own api under /libpod is not supported, use its docker-compatible api",
            Self::Semicolon => "request query contains a semicolon",
            Self::UnknownParameter(_) => "request query contains a parameter that the operation does not have",
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.log())
    }
}

impl std::error::Error for TargetError {}

impl From<RequestTargetError> for TargetError {
    fn from(error: RequestTargetError) -> Self {
        Self::Unreadable(error)
    }
}
