//! The id of an exchange: in its log lines, in the request to the engine and in the answer to the client.
//!
//! A client may choose it, if its `X-Request-Id` is harmless wherever it is read: one value of up to 64 letters, digits, `.`,
//! `_` and `-`. Engines do not act on this field. Docker shows it to its authorisation plugins.
//!
//! An id of our own tells nothing of other exchanges: it is the keyed hash of a number, and the key is the process's.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::HeaderMap;
use hyper::header::HeaderValue;

pub(super) use crate::upstream::REQUEST_ID;

/// The longest id that a client may choose, in bytes.
const LONGEST_ID: usize = 64;

/// The id of one exchange.
#[derive(Clone, Debug)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// A new one.
    pub(super) fn new() -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let hash = KEY.hash_one(NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut digits = [0; 16];
        for (at, digit) in digits.iter_mut().enumerate() {
            let nibble = (hash >> (4 * at)) & 0xf;
            *digit = b"0123456789abcdef".get(usize::try_from(nibble).unwrap_or_default()).copied().unwrap_or(b'0');
        }
        Self(HeaderValue::from_bytes(&digits).unwrap_or(const { HeaderValue::from_static("0") }))
    }

    /// That of a client, if it is harmless; else a new one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(REQUEST_ID).iter();
        let chosen = values.next().filter(|value| values.next().is_none() && is_harmless(value.as_bytes()));
        chosen.map_or_else(Self::new, |value| Self(value.clone()))
    }

    /// As the value of the header field.
    pub(super) fn value(&self) -> HeaderValue {
        self.0.clone()
    }

    /// As text.
    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Whether an id of a client needs no escape in a header, a log line or a command line, and is short.
fn is_harmless(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=LONGEST_ID).contains(&id.len()) && id.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn chosen(values: &[&[u8]]) -> Option<String> {
        let field = |value: &&[u8]| (REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
        let headers: HeaderMap = values.iter().map(field).collect();
        let id = RequestId::of(&headers);
        values.iter().any(|value| *value == id.as_str().as_bytes()).then(|| id.as_str().to_owned())
    }

    #[test]
    fn ids_are_16_digits_and_do_not_repeat() {
        let ids: HashSet<String> = (0..1000).map(|_| RequestId::new().as_str().to_owned()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }

    #[test]
    fn only_a_harmless_id_of_a_client_is_taken() {
        let longest = "x".repeat(LONGEST_ID);
        for id in ["a", "3f2b8c1e-9d7a-4c55-8f10-aa01bb02cc03", "Root=1-2.3_4".trim_start_matches("Root="), &longest] {
            assert_eq!(chosen(&[id.as_bytes()]).as_deref(), Some(id));
        }
        let long = "x".repeat(LONGEST_ID + 1);
        for id in ["", "a b", "a=b", "a\"b", "a%0a", "a/b", "a:b", "a,b", "{}", "a\tb", &long] {
            assert_eq!(chosen(&[id.as_bytes()]), None, "{id:?}");
        }
        assert_eq!(chosen(&["ä".as_bytes()]), None);
        assert_eq!(chosen(&[b"a", b"b"]), None, "which one is meant is not certain");
        assert_eq!(chosen(&[b"a", b"a"]), None);
    }
}
