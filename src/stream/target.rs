//! The request target (RFC 9112 §3.2) as clients write it, in the one form that the rest of the program reads.
//!
//! Go's server accepts more than RFC 3986 allows, and clients use it: `autoheal` sends `filters={"health":["unhealthy"]}` as it
//! stands here, and npm's `systeminformation` sends `GET http:/info HTTP/1.0`. So each byte that a URI cannot hold becomes a
//! percent-escape, which means the same to the engine, and the scheme and the authority are taken off, which it ignores. This
//! happens once, before anything else reads the target.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

/// The longest target in this form, in bytes: 64 KiB less two. Hyper reads none that is longer.
pub const LONGEST: usize = 65_534;

/// A request target: a path and a query, and the host in front of them if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTarget<'r> {
    /// The host of the absolute form, without its port. The engine ignores it.
    pub host: Option<&'r str>,
    /// The path, which begins with a slash, and the query. All bytes may be in a URI.
    pub path_and_query: Cow<'r, str>,
}

/// Why a request target cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestTargetError {
    /// It has no path that begins with a slash: `*`, an authority, or a path without a slash.
    Path,
    /// It contains a space or a control character.
    Byte,
    /// It contains a `#`.
    Fragment,
    /// The authority has a user name, or a host or port that is malformed.
    Authority,
    /// It is longer than 65,534 bytes once each byte that needs it is escaped.
    TooLong,
}

impl RequestTargetError {
    /// The status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::TooLong => 414,
            Self::Path | Self::Byte | Self::Fragment | Self::Authority => 400,
        }
    }

    /// The text for the client.
    pub const fn public(self) -> &'static str {
        match self {
            Self::Path => "request target must be a path",
            Self::Byte => "request target contains a space or a control character",
            Self::Fragment => "request target contains a fragment",
            Self::Authority => "request target names a malformed host",
            Self::TooLong => "request target is too long: more than 65534 bytes",
        }
    }
}

impl fmt::Display for RequestTargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.public())
    }
}

impl<'r> RequestTarget<'r> {
    /// Parses a target in origin form or in absolute form, with any scheme.
    ///
    /// Reading [what was written](Self::to_text) changes nothing.
    ///
    /// # Errors
    /// [`RequestTargetError`].
    pub fn parse(raw: &'r [u8]) -> Result<Self, RequestTargetError> {
        // Almost every target: a path, and no byte that changes.
        if raw.starts_with(b"/")
            && raw.len() <= LONGEST
            && let Some(text) = plain(raw)
        {
            return Ok(Self { host: None, path_and_query: Cow::Borrowed(text) });
        }
        if raw.iter().any(|byte| byte.is_ascii_control() || *byte == b' ') {
            return Err(RequestTargetError::Byte);
        }
        if raw.contains(&b'#') {
            return Err(RequestTargetError::Fragment);
        }
        let (host, rest) = split_host(raw)?;
        if !rest.starts_with(b"/") {
            return Err(RequestTargetError::Path);
        }
        let target = Self { host, path_and_query: escaped(rest) };
        if target.host.map_or(0, |host| ORIGIN.len() + host.len()) + target.path_and_query.len() > LONGEST {
            return Err(RequestTargetError::TooLong);
        }
        Ok(target)
    }

    /// The target as a URI: a path and a query, behind `http://` and the host if there is one.
    pub fn to_text(&self) -> String {
        match self.host {
            Some(host) => format!("{ORIGIN}{host}{}", self.path_and_query),
            None => self.path_and_query.clone().into_owned(),
        }
    }
}

/// What stands before the host. The engine does not look at the scheme.
const ORIGIN: &str = "http://";

/// Takes the scheme and the authority off, as Go does: `scheme:` and then `//authority`. Returns the host, if it is not empty,
/// and the rest.
fn split_host(raw: &[u8]) -> Result<(Option<&str>, &[u8]), RequestTargetError> {
    let Some(rest) = without_scheme(raw) else { return Ok((None, raw)) };
    let Some(rest) = rest.strip_prefix(b"//") else { return Ok((None, rest)) };
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.is_empty() {
        return Ok((None, rest));
    }
    host_of(authority).map(|host| (Some(host), rest)).ok_or(RequestTargetError::Authority)
}

/// What follows a scheme (RFC 3986 §3.1) and its colon.
fn without_scheme(raw: &[u8]) -> Option<&[u8]> {
    let colon = raw.iter().position(|byte| *byte == b':')?;
    let (scheme, rest) = raw.split_at(colon);
    let is_scheme = scheme.first()?.is_ascii_alphabetic()
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    is_scheme.then(|| rest.get(1..).unwrap_or_default())
}

/// The host of an authority without a user name: a name, or an address. Its port must be a number, or empty.
fn host_of(authority: &[u8]) -> Option<&str> {
    let authority = std::str::from_utf8(authority).ok()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            rest.get(..end)?.parse::<Ipv6Addr>().ok()?;
            authority.split_at_checked(end + 2)?
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()));
    let is_name = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    (is_port && !host.is_empty() && (host.starts_with('[') || is_name(host))).then_some(host)
}

/// Escapes each byte that a URI cannot hold. Escapes stay as they are, and so does a `%` that begins none.
fn escaped(raw: &[u8]) -> Cow<'_, str> {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    if let Some(text) = plain(raw) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(raw.len() + 64);
    for byte in raw {
        if is_plain(*byte) {
            text.push(char::from(*byte));
        } else {
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
            text.extend(['%', digit(byte >> 4), digit(byte & 0x0F)]);
        }
    }
    Cow::Owned(text)
}

/// A text, if a URI can hold all its bytes.
fn plain(raw: &[u8]) -> Option<&str> {
    if raw.iter().all(|byte| is_plain(*byte)) { str::from_utf8(raw).ok() } else { None }
}

/// Whether a URI can hold a byte in its path or its query: a character of RFC 3986 §2, but no `#`.
fn is_plain(byte: u8) -> bool {
    static PLAIN: [bool; 256] = plain_bytes();
    PLAIN.get(usize::from(byte)).copied().unwrap_or(false)
}

#[expect(clippy::indexing_slicing, reason = "the table has an entry for each byte")]
const fn plain_bytes() -> [bool; 256] {
    let marks = b"-._~!$&'()*+,;=:@/?%[]";
    let mut plain = [false; 256];
    let mut byte = b'0';
    while byte <= b'z' {
        plain[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < marks.len() {
        plain[marks[at] as usize] = true;
        at += 1;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The target as it is read on, or why it is refused.
    fn read(raw: &[u8]) -> Result<String, RequestTargetError> {
        RequestTarget::parse(raw).map(|target| target.to_text())
    }

    #[track_caller]
    fn check(raw: &str, expected: &str) {
        assert_eq!(read(raw.as_bytes()).as_deref(), Ok(expected), "{raw}");
        assert_eq!(read(expected.as_bytes()).as_deref(), Ok(expected), "reading {expected} again");
    }

    #[test]
    fn bytes_that_a_uri_cannot_hold_become_escapes() {
        check(
            r#"/containers/json?filters={"health":["unhealthy"],"label":["autoheal=true"]}"#,
            "/containers/json?filters=%7B%22health%22:[%22unhealthy%22],%22label%22:[%22autoheal=true%22]%7D",
        );
        check("/a?b=|^`<>\\", "/a?b=%7C%5E%60%3C%3E%5C");
        check("/networks/é?a=漢", "/networks/%C3%A9?a=%E6%BC%A2");
        for plain in ["/", "/?", "/a?b=%22%zz%", "/a%2Fb/c;d=(e)!*'?x=1,2&y=$+z@[~]", "/a:b//c"] {
            check(plain, plain);
        }
    }

    #[test]
    fn each_byte_is_plain_or_escaped_or_refused() {
        for byte in 0..=u8::MAX {
            for place in [&b"/a"[..], b"/a?b="] {
                let raw = [place, &[byte], b"c"].concat();
                let place = String::from_utf8(place.to_vec()).unwrap();
                let expected = match byte {
                    0..=b' ' | 0x7F => Err(RequestTargetError::Byte),
                    b'#' => Err(RequestTargetError::Fragment),
                    plain if is_plain(plain) => Ok(format!("{place}{}c", char::from(plain))),
                    other => Ok(format!("{place}%{other:02X}c")),
                };
                assert_eq!(read(&raw), expected, "{byte}");
            }
        }
    }

    #[test]
    fn scheme_and_authority_are_taken_off() {
        for (raw, host, rest) in [
            ("http:/info", None, "/info"),
            ("http:///info", None, "/info"),
            ("x:/containers/json", None, "/containers/json"),
            ("http://localhost/info?a", Some("localhost"), "/info?a"),
            ("https://h:99/info", Some("h"), "/info"),
            ("tcp://docker_1.lan:/info", Some("docker_1.lan"), "/info"),
            ("HTTP://[::1]:2375/info", Some("[::1]"), "/info"),
            ("http:////info", None, "//info"),
            ("http://a//info", Some("a"), "//info"),
            ("/http://a/info", None, "/http://a/info"),
            ("//a/info", None, "//a/info"),
            ("/a?http://b/", None, "/a?http://b/"),
        ] {
            let target = RequestTarget::parse(raw.as_bytes()).unwrap();
            assert_eq!((target.host, &*target.path_and_query), (host, rest), "{raw}");
            assert_eq!(read(target.to_text().as_bytes()), Ok(target.to_text()), "{raw}");
        }
    }

    #[test]
    fn a_target_without_a_path_or_with_a_malformed_host_is_refused() {
        for raw in
            ["", "*", "h:80", "x:containers/json", "containers/json", "?a", "%2Finfo", "user@host/info", "é", "1:/a"]
        {
            assert_eq!(read(raw.as_bytes()), Err(RequestTargetError::Path), "{raw}");
        }
        for raw in ["http://a", "http://a?/info", "http:", "http:?/info", ":/info", "http//a/info"] {
            assert_eq!(read(raw.as_bytes()), Err(RequestTargetError::Path), "{raw}");
        }
        for raw in [
            "http://user@a/info",
            "http://user:pass@a/info",
            "http://localhost@evil/info",
            "http://a\\@b/info",
            "http://:80/info",
            "http://a:b/info",
            "http://a:123456/info",
            "http://a:1:2/info",
            "http://[::1/info",
            "http://[::1]a/info",
            "http://[::1%25lo]/info",
            "http://[a]/info",
            "http://a%2Fb/info",
            "http://é/info",
            "unix://%2Frun%2Fdocker.sock/info",
        ] {
            assert_eq!(read(raw.as_bytes()), Err(RequestTargetError::Authority), "{raw}");
        }
    }

    #[test]
    fn a_target_is_no_longer_than_a_uri() {
        let of = |length: usize, byte: u8| [vec![b'/'], vec![byte; length]].concat();
        assert!(read(&of(LONGEST - 1, b'a')).is_ok() && read(&of(LONGEST / 3 - 1, b'"')).is_ok());
        assert_eq!(read(&of(LONGEST, b'a')), Err(RequestTargetError::TooLong));
        assert_eq!(read(&of(LONGEST / 3 + 1, b'"')), Err(RequestTargetError::TooLong));
    }
}
