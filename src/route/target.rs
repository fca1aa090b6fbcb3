//! The request line as the client wrote it, made canonical or refused.
//!
//! Real clients send nothing that is refused here. The daemon accepts some of it, and the daemon and the programs
//! before it have disagreed about all of it.

use std::borrow::Cow;
use std::fmt;

use super::percent;
use crate::api::{ApiVersion, VersionError};

/// The longest target, in bytes.
const LIMIT: usize = 8 * 1024;

/// A request target taken apart: version, decoded segments, and the query still raw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'r> {
    /// What stood before the path.
    version: Option<ApiVersion>,
    /// Never empty, never `.` or `..`; a slash in one was `%2F`.
    segments: Vec<Cow<'r, str>>,
    /// Whether the path ended with a slash.
    trailing_slash: bool,
    /// What followed the first `?`.
    query: &'r str,
}

impl<'r> Target<'r> {
    /// Takes a target apart. Only the origin form is one (RFC 9112 §3.2.1): a client of a proxy like ours has no reason to
    /// name an authority, and the daemon would ignore it.
    ///
    /// # Errors
    /// A [`TargetError`] for whatever has more than one reading.
    pub fn parse(raw: &'r (impl AsRef<[u8]> + ?Sized)) -> Result<Self, TargetError> {
        let raw = raw.as_ref();
        if raw.len() > LIMIT {
            return Err(TargetError::TooLong);
        }
        if !raw.iter().all(u8::is_ascii_graphic) {
            return Err(TargetError::Byte);
        }
        let raw = std::str::from_utf8(raw).map_err(|_| TargetError::Byte)?;
        if raw.contains('#') {
            return Err(TargetError::Fragment);
        }
        let (path, query) = raw.split_once('?').unwrap_or((raw, ""));
        if !path.starts_with('/') {
            return Err(TargetError::Form);
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
        // The versions of Podman's own API are Podman's: its clients should read what is wrong, and not what is wrong first.
        if target.segments.first().is_some_and(|first| first == "libpod") {
            return Err(TargetError::Libpod);
        }
        version.map(|()| target)
    }

    /// The version in front of the path.
    pub const fn version(&self) -> Option<ApiVersion> {
        self.version
    }

    /// The path, decoded and without the version.
    pub fn segments(&self) -> &[Cow<'r, str>] {
        &self.segments
    }

    /// Whether the path ended with a slash.
    pub const fn has_trailing_slash(&self) -> bool {
        self.trailing_slash
    }

    /// Whether a segment holds a slash, which the client then wrote as `%2F`.
    pub fn has_encoded_slash(&self) -> bool {
        self.segments.iter().any(|segment| segment.contains('/'))
    }

    /// What followed `?`, as the client wrote it.
    pub const fn query(&self) -> &'r str {
        self.query
    }
}

/// Decodes one segment, and refuses what a path cleaner or a second decoder would change.
fn segment(raw: &str) -> Result<Cow<'_, str>, TargetError> {
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

/// The version in front of a path, if clients may ask for it.
fn version_of(text: &str) -> Result<ApiVersion, TargetError> {
    let version = text.parse::<ApiVersion>().map_err(|error| match error {
        VersionError::Form => TargetError::Version,
        VersionError::TooLarge => TargetError::TooNew,
    })?;
    if version < ApiVersion::MIN { Err(TargetError::TooOld) } else { Ok(version) }
}

/// Whether a daemon of any age might take a segment for a version.
fn looks_like_version(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    matches!(bytes.next(), Some(b'v' | b'V')) && matches!(bytes.next(), Some(b'0'..=b'9' | b'.'))
}

/// Why a request target is refused. The fault is always the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// Longer than 8 KiB.
    TooLong,
    /// Not the origin form: it does not start with `/`.
    Form,
    /// A byte that is not visible ASCII.
    Byte,
    /// A `#`.
    Fragment,
    /// A `%` without two hexadecimal digits.
    Escape,
    /// An escape that hides another.
    DoubleEscape,
    /// An escape of a control character.
    Control,
    /// Escapes that are not UTF-8.
    NotUtf8,
    /// A backslash in the path.
    Backslash,
    /// An empty segment, `.` or `..`.
    Segment,
    /// `%2F` where the API has no name with slashes.
    EncodedSlash,
    /// A version that is not written `v1.N`.
    Version,
    /// Below [`ApiVersion::MIN`].
    TooOld,
    /// A number that no version will ever have.
    TooNew,
    /// Podman's own API, which no operation of Docker's is in.
    Libpod,
    /// A `;` in the query.
    Semicolon,
    /// A parameter that the operation does not have.
    UnknownParameter,
    /// A parameter twice that is taken once.
    RepeatedParameter,
}

impl TargetError {
    /// What the client may read. It quotes nothing, so it is fit for the log too.
    pub const fn public(self) -> &'static str {
        match self {
            Self::TooLong => "request target is too long",
            Self::Form => "request target must be a path",
            Self::Byte => "request target holds a byte that is not visible ascii",
            Self::Fragment => "request target holds a fragment",
            Self::Escape => "request target holds a malformed escape",
            Self::DoubleEscape => "request target is escaped twice",
            Self::Control => "request target holds an escaped control character",
            Self::NotUtf8 => "request target is not utf-8",
            Self::Backslash => "request path holds a backslash",
            Self::Segment => "request path holds an empty or dot segment",
            Self::EncodedSlash => "request path holds an escaped slash",
            Self::Version => "api version must be written v1.N",
            Self::TooOld => "client version is too old, the minimum supported api version is 1.24",
            Self::TooNew => "client version is too new",
            Self::Libpod => "the api under /libpod is podman's own and not served, use its docker-compatible api",
            Self::Semicolon => "request query holds a semicolon",
            Self::UnknownParameter => "request query holds a parameter that the operation does not have",
            Self::RepeatedParameter => "request query holds a parameter twice",
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.public())
    }
}

impl std::error::Error for TargetError {}
