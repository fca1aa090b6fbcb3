//! API versions.

use std::fmt;
use std::str::FromStr;

/// A version of the Docker Engine API: the `N` of `1.N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion(u16);

impl ApiVersion {
    /// The oldest version that clients can ask for. Older responses have shapes that the catalogue does not describe.
    pub const MIN: Self = Self(24);
    /// The newest version whose fields are all in the class files: the one that `filters/fields.tsv` names.
    pub const NEWEST: Self = Self(super::fields::NEWEST);

    /// The version 1.`minor`.
    pub const fn new(minor: u16) -> Self {
        Self(minor)
    }

    /// The `N` of `1.N`.
    pub const fn minor(self) -> u16 {
        self.0
    }
}

/// The versions that clients may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiRange {
    min: ApiVersion,
    max: ApiVersion,
    pin: Option<ApiVersion>,
}

impl Default for ApiRange {
    fn default() -> Self {
        Self { min: ApiVersion::MIN, max: ApiVersion::NEWEST, pin: None }
    }
}

impl ApiRange {
    /// The versions from `min` to `max`, and the one of requests that name none: the newest if `pin` is `None`.
    ///
    /// `None` if they are not in order, or beyond the versions that this program knows.
    pub fn new(min: ApiVersion, max: ApiVersion, pin: Option<ApiVersion>) -> Option<Self> {
        let is_known = ApiVersion::MIN <= min && max <= ApiVersion::NEWEST;
        let is_in_order = min <= max && pin.is_none_or(|pin| min <= pin && pin <= max);
        (is_known && is_in_order).then_some(Self { min, max, pin })
    }

    /// The oldest version that clients may use.
    pub const fn min(&self) -> ApiVersion {
        self.min
    }

    /// The newest version that clients may use.
    pub const fn max(&self) -> ApiVersion {
        self.max
    }

    /// The version of requests that name none; `None` for the newest that the engine has as well.
    pub const fn pin(&self) -> Option<ApiVersion> {
        self.pin
    }

    /// The newest version that clients may use, of an engine whose newest is this one.
    pub fn newest_of(&self, engine: ApiVersion) -> ApiVersion {
        engine.min(self.max)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

/// The reason why a text is not an API version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionError {
    /// It is not `1.N` with a decimal `N` that has no leading zero.
    Form,
    /// `N` does not fit into 16 bits.
    TooLarge,
}

impl fmt::Display for VersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "expected a version such as 1.44",
            Self::TooLarge => "no API version is that large",
        })
    }
}

impl std::error::Error for VersionError {}

impl FromStr for ApiVersion {
    type Err = VersionError;

    /// Reads `1.N`. The engine also accepts `1.44.0`, `01.044` and more, but no client needs a second spelling.
    ///
    /// # Errors
    /// [`VersionError`] for any other form. Versions below [`ApiVersion::MIN`] and above [`ApiVersion::NEWEST`] parse;
    /// the caller decides which of them to serve.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let minor = text.strip_prefix("1.").ok_or(VersionError::Form)?;
        let is_decimal = !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit());
        if !is_decimal || (minor.starts_with('0') && minor != "0") {
            return Err(VersionError::Form);
        }
        minor.parse().map(Self).map_err(|_| VersionError::TooLarge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_exactly_one_spelling() {
        assert_eq!("1.44".parse(), Ok(ApiVersion::new(44)));
        assert_eq!("1.0".parse(), Ok(ApiVersion::new(0)));
        for text in ["", "1", "1.", "2.0", "v1.44", "1.044", "1.44.0", "01.44", "1.4x", "1.-4", "1.+4", " 1.44"] {
            assert_eq!(text.parse::<ApiVersion>(), Err(VersionError::Form), "{text}");
        }
        assert_eq!("1.65536".parse::<ApiVersion>(), Err(VersionError::TooLarge));
    }

    #[test]
    fn a_range_is_in_order_and_known() {
        let range = |min, max, pin: Option<u16>| {
            ApiRange::new(ApiVersion::new(min), ApiVersion::new(max), pin.map(ApiVersion::new)).is_some()
        };
        let newest = ApiVersion::NEWEST.minor();
        assert!(range(24, newest, None) && range(24, 24, Some(24)) && range(30, 44, Some(41)));
        assert!(!range(23, 44, None) && !range(24, newest + 1, None) && !range(44, 43, None));
        assert!(!range(30, 44, Some(29)) && !range(30, 44, Some(45)));
        let default = ApiRange::default();
        assert_eq!(ApiRange::new(default.min(), default.max(), default.pin()), Some(default));
        assert_eq!(default.newest_of(ApiVersion::new(99)), ApiVersion::NEWEST);
        assert_eq!(default.newest_of(ApiVersion::new(30)), ApiVersion::new(30));
    }

    #[test]
    fn a_displayed_version_parses_back() {
        assert_eq!(ApiVersion::NEWEST.to_string().parse(), Ok(ApiVersion::NEWEST));
    }
}
