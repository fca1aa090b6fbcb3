//! `hosts` and `origins` of a listener: what can never equal a header of a request is an error.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::quoting;
use crate::yaml::{Diagnostic, Location};

/// Stands alone for any host name.
const ANY: &str = "*";
/// What a host name is, in an error.
const HOST: &str = "a host name such as dockveil, 192.0.2.1 or ::1, or \"*\" for any";
/// What an origin is, in an error.
const ORIGIN: &str = "an origin as browsers send it, such as https://app.example or http://localhost:3000";
/// The ports that browsers leave out of an origin.
const DEFAULT_PORTS: [(&str, &str); 2] = [("http", ":80"), ("https", ":443")];

/// Reads an element of `hosts`, or a name of `--hosts`, that is written at `location`. An IPv6 address comes back in its shortest
/// form, in brackets, as in a `Host` header.
///
/// # Errors
/// No `Host` header has such a name.
pub(super) fn host(text: &str, location: &Location) -> Result<String, Diagnostic> {
    if text == ANY {
        return Ok(text.to_owned());
    }
    accepted(text).ok_or_else(|| wrong(text, HOST, likely_host(text), location))
}

/// Reads an element of `origins` that is written at `location`.
///
/// # Errors
/// No `Origin` header is like this.
pub(super) fn origin(text: &str, location: &Location) -> Result<String, Diagnostic> {
    if is_origin(text) {
        return Ok(text.to_owned());
    }
    Err(wrong(text, ORIGIN, likely_origin(text), location))
}

/// The error for a text that cannot match, with what was likely meant.
fn wrong(text: &str, what: &str, meant: Option<String>, location: &Location) -> Diagnostic {
    let found = if text.is_empty() { "nothing".to_owned() } else { format!("{:?}", quoting::value(text)) };
    let meant = meant
        .filter(|_| !quoting::holds_secret(text))
        .map(|meant| format!("; did you mean {meant:?}?"))
        .unwrap_or_default();
    Diagnostic::new(location, format!("found {found}, expected {what}{meant}"))
}

/// A host name as it is compared with that of a request; `None` if it is none.
fn accepted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('[').map_or(Some(text), |rest| rest.strip_suffix(']'))?;
    if let Ok(address) = inner.parse::<Ipv6Addr>() {
        return Some(format!("[{address}]"));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let has_letter = text.bytes().any(|byte| byte.is_ascii_alphanumeric());
    // What is made of digits alone is an address, or was meant as one.
    let is_address = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_sound = text.bytes().all(is_name) && has_letter && (!is_address || text.parse::<Ipv4Addr>().is_ok());
    is_sound.then(|| text.to_owned())
}

/// The host name that is left of a text without a scheme, a path, a prefix length and a port.
fn likely_host(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split(['/', '?', '#', '%']).next().unwrap_or_default();
    let without_port = text.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    accepted(text).or_else(|| accepted(without_port?.0))
}

/// Whether a browser may send this origin: a scheme, a host in small letters, and a port that is not that of the scheme.
fn is_origin(text: &str) -> bool {
    let Some((scheme, place)) = text.split_once("://") else { return text == "null" };
    let is_small = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
    let has_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase()) && scheme.bytes().all(is_small);
    let has_place = !place.is_empty() && place.bytes().all(is_small) && !place.contains(['/', '*', '?', '#', '@']);
    has_scheme && has_place && !DEFAULT_PORTS.iter().any(|(name, port)| *name == scheme && place.ends_with(port))
}

/// The origin of a URL.
fn likely_origin(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let (scheme, place) = text.split_once("://").unwrap_or(("https", &text));
    let mut place = place.split(['/', '?', '#']).next().unwrap_or_default();
    for (name, port) in DEFAULT_PORTS {
        if name == scheme {
            place = place.strip_suffix(port).unwrap_or(place);
        }
    }
    Some(format!("{scheme}://{place}")).filter(|origin| is_origin(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(read: Result<String, Diagnostic>) -> String {
        match read {
            Ok(name) => name,
            Err(wrong) => match wrong.message.split_once("; did you mean ") {
                Some((_, meant)) => format!("error, {meant}"),
                None => "error".to_owned(),
            },
        }
    }

    #[test]
    fn a_host_name_that_no_request_can_have_is_an_error() {
        for (text, expected) in [
            ("*", "*"),
            ("dockveil", "dockveil"),
            ("Docker_proxy.internal.", "Docker_proxy.internal."),
            ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
            ("10.0.0.1", "10.0.0.1"),
            ("::1", "[::1]"),
            ("[::1]", "[::1]"),
            ("[2001:DB8:0:0::1]", "[2001:db8::1]"),
            ("dockveil:2375", "error, \"dockveil\"?"),
            ("[::1]:2375", "error, \"[::1]\"?"),
            ("http://x", "error, \"x\"?"),
            ("tcp://x:2375/path", "error, \"x\"?"),
            (" x ", "error, \"x\"?"),
            ("1.2.3.4/8", "error, \"1.2.3.4\"?"),
            ("fe80::/10", "error, \"[fe80::]\"?"),
            ("fe80::1%eth0", "error, \"[fe80::1]\"?"),
            ("1.2.3", "error"),
            ("a b", "error"),
            ("*.x", "error"),
            ("x.*", "error"),
            ("münchen.example", "error"),
            ("[x]", "error"),
            ("[::1", "error"),
            ("a,b", "error"),
            ("user@x", "error"),
            ("-", "error"),
            ("", "error"),
            (" ", "error"),
        ] {
            assert_eq!(said(host(text, &Location::file("f"))), expected, "{text:?}");
        }
        let nothing = host("", &Location::file("f")).unwrap_err().to_string();
        assert_eq!(nothing, format!("f: found nothing, expected {HOST}"));
    }

    #[test]
    fn an_origin_that_no_browser_sends_is_an_error() {
        for (text, expected) in [
            ("https://app.example", "https://app.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("app://.", "app://."),
            ("null", "null"),
            ("app.example", "error, \"https://app.example\"?"),
            ("https://app.example/", "error, \"https://app.example\"?"),
            ("https://App.Example", "error, \"https://app.example\"?"),
            ("http://app.example:80", "error, \"http://app.example\"?"),
            ("https://app.example:443/a?b", "error, \"https://app.example\"?"),
            ("https://*.example", "error"),
            ("*", "error"),
            ("a b", "error"),
            ("", "error"),
        ] {
            assert_eq!(said(origin(text, &Location::file("f"))), expected, "{text:?}");
        }
    }
}
