//! What a rule does to the value it matches.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::Sha256;

/// What replaces a redacted value.
pub(super) const REDACTED: &[u8] = b"\"[redacted]\"";
/// The number of bytes of a digest that are shown.
const DIGEST_BYTES: usize = 8;

/// What a rule does to the value it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Shows the value and everything below it, although its class is hidden. Later rules may hide what is below.
    Keep,
    /// Replaces the value with the zero of its type: `""`, `0`, `false`, `[]`, `{}`; null stays.
    Blank,
    /// Removes the member or element. A whole document becomes `null`.
    Remove,
    /// Replaces the value with the text `[redacted]`.
    Redact,
    /// Keeps the name of a text `name=value` and redacts the rest. Redacts anything else as a whole; null stays.
    Mask,
    /// Replaces the value with a keyed digest: equal values stay equal; null stays.
    Hash,
    /// Replaces the value with one of the operator's.
    Replace(Replacement),
}

impl Action {
    /// The action that filter files call `name`; `replacement` is for `replace`. Returns `None` if there is no such
    /// action, or no replacement for `replace`.
    pub fn named(name: &str, replacement: Option<Replacement>) -> Option<Self> {
        match name {
            "keep" => Some(Self::Keep),
            "blank" => Some(Self::Blank),
            "remove" => Some(Self::Remove),
            "redact" => Some(Self::Redact),
            "mask" => Some(Self::Mask),
            "hash" => Some(Self::Hash),
            "replace" => replacement.map(Self::Replace),
            _ => None,
        }
    }

    /// Its name in filter files.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Blank => "blank",
            Self::Remove => "remove",
            Self::Redact => "redact",
            Self::Mask => "mask",
            Self::Hash => "hash",
            Self::Replace(_) => "replace",
        }
    }

    /// Whether it hides what it matches.
    pub fn hides(&self) -> bool {
        match self {
            Self::Keep => false,
            Self::Blank | Self::Remove | Self::Redact | Self::Mask | Self::Hash | Self::Replace(_) => true,
        }
    }

    /// Writes what replaces `value`, the text of one valid JSON value.
    pub(super) fn write(&self, value: &[u8], key: &HashKey, out: &mut Vec<u8>) {
        match self {
            Self::Keep => out.extend_from_slice(value),
            Self::Remove => out.extend_from_slice(b"null"),
            Self::Blank => write_zero(value, out),
            Self::Redact => out.extend_from_slice(REDACTED),
            Self::Mask => mask(value, out),
            Self::Hash => hash(value, key, out),
            Self::Replace(replacement) => out.extend_from_slice(replacement.0.as_bytes()),
        }
    }
}

/// The value that `replace` writes: the text of one JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement(String);

impl Replacement {
    /// A text.
    pub fn text(text: &str) -> Self {
        Self(Value::from(text).to_string())
    }

    /// Its JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl FromStr for Replacement {
    type Err = BadReplacement;

    fn from_str(json: &str) -> Result<Self, BadReplacement> {
        // Parsing a tree as well refuses what nests too deep and what no reader can decode.
        serde_json::from_str::<Value>(json).map_err(|_| BadReplacement)?;
        let value: Box<RawValue> = serde_json::from_str(json).map_err(|_| BadReplacement)?;
        Ok(Self(value.get().to_owned()))
    }
}

/// The error for a replacement that is not one JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadReplacement;

impl fmt::Display for BadReplacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected one JSON value")
    }
}

impl std::error::Error for BadReplacement {}

/// The key of the digests of one process. Nobody else can compute the digest of a guess.
#[derive(Clone)]
pub(super) struct HashKey([u8; 32]);

impl HashKey {
    /// A random key.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self(key))
    }

    /// A known key, for tests.
    pub(super) fn known(key: [u8; 32]) -> Self {
        Self(key)
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey")
    }
}

/// Writes the zero of the type of `value`.
fn write_zero(value: &[u8], out: &mut Vec<u8>) {
    let zero: &[u8] = match value.first() {
        Some(b'"') => b"\"\"",
        Some(b'{') => b"{}",
        Some(b'[') => b"[]",
        Some(b't' | b'f') => b"false",
        Some(b'n') | None => b"null",
        Some(_) => b"0",
    };
    out.extend_from_slice(zero);
}

fn mask(value: &[u8], out: &mut Vec<u8>) {
    match value.first() {
        Some(b'n') => out.extend_from_slice(value),
        Some(b'"') => match equals_sign(value) {
            Some((name, _)) => {
                out.extend_from_slice(name);
                out.extend_from_slice(b"=[redacted]\"");
            }
            None => out.extend_from_slice(REDACTED),
        },
        Some(_) | None => out.extend_from_slice(REDACTED),
    }
}

/// Splits the text of a JSON string at its first `=`, which may be an escape.
fn equals_sign(string: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        let rest = string.get(at..)?;
        match rest {
            [b'=', ..] => return string.split_at_checked(at),
            [b'\\', b'u', b'0', b'0', b'3', b'd' | b'D', ..] => return string.split_at_checked(at),
            [b'\\', _, ..] => at += 2,
            [_, ..] => at += 1,
            [] => return None,
        }
    }
}

fn hash(value: &[u8], key: &HashKey, out: &mut Vec<u8>) {
    if value.first() == Some(&b'n') {
        return out.extend_from_slice(value);
    }
    let mut compacted = Vec::with_capacity(value.len());
    compact(value, &mut compacted);
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut digest = Hmac::<Sha256>::new_from_slice(&key.0).expect("a key of any length");
    digest.update(&compacted);
    out.extend_from_slice(b"\"hash:");
    for byte in digest.finalize().into_bytes().iter().take(DIGEST_BYTES) {
        for digit in [byte >> 4, byte & 15] {
            out.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
        }
    }
    out.push(b'"');
}

/// Copies the text of a JSON value without the whitespace between its tokens.
fn compact(value: &[u8], out: &mut Vec<u8>) {
    let (mut inside, mut escaped) = (false, false);
    for &byte in value {
        if inside {
            inside = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            inside = byte == b'"';
        }
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(action: &Action, before: &str, after: &str) {
        let mut out = Vec::new();
        action.write(before.as_bytes(), &HashKey::known([7; 32]), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), after, "{before}");
    }

    #[test]
    fn blank_is_the_zero_of_the_type_found() {
        for (before, after) in [
            (r#""x""#, r#""""#),
            ("-1.5e3", "0"),
            ("7", "0"),
            ("true", "false"),
            ("[1]", "[]"),
            (r#"{"a":1}"#, "{}"),
            ("null", "null"),
        ] {
            check(&Action::Blank, before, after);
        }
    }

    #[test]
    fn redact_is_a_text_for_every_type() {
        for before in [r#""x""#, "1", "true", "[1]", r#"{"a":1}"#, "null"] {
            check(&Action::Redact, before, r#""[redacted]""#);
        }
    }

    #[test]
    fn mask_keeps_the_name_of_a_variable() {
        for (before, after) in [
            (r#""A=1""#, r#""A=[redacted]""#),
            (r#""A=b=c""#, r#""A=[redacted]""#),
            (r#""=x""#, r#""=[redacted]""#),
            (r#""A\"\\=x""#, r#""A\"\\=[redacted]""#),
            (r#""A\u003dx=y""#, r#""A=[redacted]""#),
            (r#""A\u003Dx""#, r#""A=[redacted]""#),
            (r#""A\\u003dx""#, r#""[redacted]""#),
            (r#""PLAIN""#, r#""[redacted]""#),
            (r#""""#, r#""[redacted]""#),
            ("1", r#""[redacted]""#),
            ("false", r#""[redacted]""#),
            (r#"["A=1"]"#, r#""[redacted]""#),
            ("null", "null"),
        ] {
            check(&Action::Mask, before, after);
        }
    }

    #[test]
    fn hash_is_keyed_and_takes_no_notice_of_whitespace() {
        let digest = |key: u8, value: &str| {
            let mut out = Vec::new();
            Action::Hash.write(value.as_bytes(), &HashKey::known([key; 32]), &mut out);
            String::from_utf8(out).unwrap()
        };
        let one = digest(1, r#"{"a":[1,"x y\" z"]}"#);
        assert_eq!(one, digest(1, "{ \"a\" :\n[1,\t\"x y\\\" z\"] }"));
        assert_ne!(one, digest(2, r#"{"a":[1,"x y\" z"]}"#));
        assert_ne!(one, digest(1, r#"{"a":[1,"xy\" z"]}"#));
        assert!(one.starts_with("\"hash:") && one.len() == 2 + "hash:".len() + 2 * DIGEST_BYTES, "{one}");
        check(&Action::Hash, "null", "null");
    }

    #[test]
    fn a_digest_is_hmac_sha256() {
        // RFC 4231 test case 1 has the key 20 × 0x0b; this key is padded with zeros, which HMAC does as well.
        let mut key = [0; 32];
        key.iter_mut().take(20).for_each(|byte| *byte = 0x0b);
        let mut digest = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        digest.update(b"Hi There");
        assert_eq!(digest.finalize().into_bytes().get(..4), Some(&[0xb0, 0x34, 0x4c, 0x61][..]));
    }

    #[test]
    fn a_replacement_is_json() {
        assert_eq!(" {\"a\": 1.0e5} ".parse::<Replacement>().unwrap().as_json(), "{\"a\": 1.0e5}");
        assert_eq!("x".parse::<Replacement>(), Err(BadReplacement));
        assert_eq!("1 2".parse::<Replacement>(), Err(BadReplacement));
        assert_eq!(Replacement::text("a\"b").as_json(), r#""a\"b""#);
    }
}
