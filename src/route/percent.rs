//! Percent-encoding (RFC 3986 §2.1): decodes exactly once, and encodes in one canonical form.
//!
//! This code is ours because it must be strict: it refuses what the usual crates pass through, such as a `%` without two
//! digits.

use std::borrow::Cow;

use super::TargetError;

/// Decodes a segment of a path. A `+` stays a plus.
///
/// # Errors
/// As [`decode`].
pub(super) fn decode_path(raw: &str) -> Result<Cow<'_, str>, TargetError> {
    decode(raw, b'+')
}

/// Decodes a name or value of a query. A `+` becomes a space.
///
/// # Errors
/// As [`decode`].
pub(super) fn decode_query(raw: &str) -> Result<Cow<'_, str>, TargetError> {
    decode(raw, b' ')
}

/// Decodes once. A `+` becomes `plus`.
///
/// # Errors
/// [`TargetError::Escape`] if a `%` is not followed by two hexadecimal digits; [`TargetError::NotUtf8`] or
/// [`TargetError::Control`] if the decoded text is not UTF-8 or contains a control character.
fn decode(raw: &str, plus: u8) -> Result<Cow<'_, str>, TargetError> {
    if !raw.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => digit(rest.next())? << 4 | digit(rest.next())?,
            b'+' => plus,
            plain => plain,
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| TargetError::NotUtf8)?;
    if text.chars().any(char::is_control) {
        return Err(TargetError::Control);
    }
    Ok(Cow::Owned(text))
}

/// Checks that every `%` is followed by two hexadecimal digits, of a text that is not needed.
///
/// # Errors
/// [`TargetError::Escape`].
pub(super) fn check_escapes(raw: &str) -> Result<(), TargetError> {
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            digit(rest.next())?;
            digit(rest.next())?;
        }
    }
    Ok(())
}

/// Returns the value of a hexadecimal digit.
fn digit(byte: Option<u8>) -> Result<u8, TargetError> {
    match byte {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        Some(_) | None => Err(TargetError::Escape),
    }
}

/// Appends a name, or a part of a query, in canonical form.
///
/// Escapes every byte except the unreserved characters (RFC 3986 §2.3) and `/`, `:` and `@`, which need no escape in a
/// path or a query.
pub(super) fn encode(text: &str, out: &mut String) {
    out.reserve(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b'@' => {
                out.push(char::from(byte));
            }
            other => out.extend(['%', hexadecimal(other >> 4), hexadecimal(other & 0x0F)]),
        }
    }
}

/// Returns the upper-case digit of a number below sixteen.
fn hexadecimal(number: u8) -> char {
    match number {
        0..=9 => char::from(b'0' + number),
        more => char::from(b'A' + (more - 10)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, path: Result<&str, TargetError>, query: Result<&str, TargetError>) {
        assert_eq!(decode_path(raw).as_deref(), path.as_ref().copied(), "{raw} in a path");
        assert_eq!(decode_query(raw).as_deref(), query.as_ref().copied(), "{raw} in a query");
    }

    #[test]
    fn decoding_happens_once_and_strictly() {
        check("plain", Ok("plain"), Ok("plain"));
        check("%61%6C%6c", Ok("all"), Ok("all"));
        check("a+b", Ok("a+b"), Ok("a b"));
        check("a%2Bb", Ok("a+b"), Ok("a+b"));
        check("%2561", Ok("%61"), Ok("%61"));
        check("%C3%A9", Ok("é"), Ok("é"));
        for bad in ["%", "%4", "%zz", "a%", "%+1", "%%41", "% 1"] {
            check(bad, Err(TargetError::Escape), Err(TargetError::Escape));
        }
        for bad in ["%FF", "%C3", "%C0%AF", "%ED%A0%80"] {
            check(bad, Err(TargetError::NotUtf8), Err(TargetError::NotUtf8));
        }
        for bad in ["%00", "%0a", "%1F", "%7F", "%C2%85"] {
            check(bad, Err(TargetError::Control), Err(TargetError::Control));
        }
    }

    #[test]
    fn encoding_is_the_inverse_of_decoding() {
        let every: String = (' '..='~').chain("é漢\u{1F40B}".chars()).collect();
        let mut written = String::new();
        encode(&every, &mut written);
        assert_eq!(decode_path(&written).as_deref(), Ok(every.as_str()));
        assert_eq!(decode_query(&written).as_deref(), Ok(every.as_str()));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:@%".contains(&byte);
        assert!(written.bytes().all(plain), "{written}");
    }
}
