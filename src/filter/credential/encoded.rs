//! Credentials in base64: basic authentication, JSON Web Tokens, and JSON that holds a credential. Bearer tokens too.

use std::ops::Range;

use super::token::begins_word;

/// Texts of which one stands wherever [`find`] finds something. In lower case.
pub(super) const ANCHORS: &[&str] = &["eyj", "basic ", "bearer ", "basic%20", "bearer%20"];

/// The fewest characters of each part of a JSON Web Token.
const PART: usize = 6;
/// The fewest characters of a token behind `Bearer`.
const BEARER: usize = 8;
/// The fewest characters of JSON in base64 that is decoded.
const JSON_LEAST: usize = 16;
/// The most characters of JSON in base64 that is decoded. Longer JSON is masked.
const JSON_MOST: usize = 64 * 1024;

/// Finds them. `is_masked` tells whether a decoded text holds a credential.
pub(super) fn find(text: &str, spans: &mut Vec<Range<usize>>, is_masked: impl Fn(&str) -> bool) {
    web_tokens(text, spans, is_masked);
    headers(text, spans);
}

/// Whether a whole text is a user and a password in base64, as in basic authentication.
#[inline(never)]
pub(super) fn is_basic(text: &[u8]) -> bool {
    // Most texts are told by their length.
    if !text.len().is_multiple_of(4) {
        return false;
    }
    let is_padded = text.ends_with(b"=");
    let (least, most) = (if is_padded { BEARER } else { super::scan::TOKEN_LEAST }, JSON_MOST);
    let word = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let is_printable = |byte: &u8| (b'!'..=b'~').contains(byte);
    let is_user = |byte: &u8| byte.is_ascii_alphanumeric() || b"._@%+-".contains(byte);
    // Of ASCII, each three bytes begin with a zero bit.
    let is_ascii = |first: &u8| matches!(first, b'A'..=b'Z' | b'a'..=b'f');
    (least..most).contains(&text.len())
        && word.iter().step_by(4).all(is_ascii)
        && word.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        // Numbers and dates are none.
        && word.iter().any(u8::is_ascii_lowercase)
        && decode(word).is_some_and(|decoded| {
            let user = decoded.iter().take_while(|byte| is_user(byte)).count();
            user > 0 && decoded.get(user) == Some(&b':') && decoded.iter().all(is_printable)
        })
}

/// The end of the run of bytes from `start` that `test` accepts.
fn end_of(text: &[u8], start: usize, test: impl Fn(u8) -> bool) -> usize {
    start + text.get(start..).unwrap_or_default().iter().take_while(|byte| test(**byte)).count()
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/')
}

/// What begins like JSON in base64: tokens of two parts and more, and JSON with a credential in it.
fn web_tokens(text: &str, spans: &mut Vec<Range<usize>>, is_masked: impl Fn(&str) -> bool) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(start) = text.get(at..).and_then(|rest| rest.find("eyJ")).map(|found| at + found) {
        let first = end_of(bytes, start, is_base64);
        at = first;
        if !begins_word(bytes, start) {
            continue;
        }
        let second = end_of(bytes, first + 1, is_base64);
        if first - start > PART && bytes.get(first) == Some(&b'.') && second - first > PART {
            at = end_of(bytes, second, |byte| is_base64(byte) || byte == b'.');
            spans.push(start..at);
        } else if first - start >= JSON_LEAST {
            let json = bytes.get(start..first).filter(|encoded| encoded.len() <= JSON_MOST).map(decode);
            let holds_credential = match json {
                Some(Some(decoded)) => is_tunnel(&decoded) || is_masked(&String::from_utf8_lossy(&decoded)),
                Some(None) => false,
                // Too long to decode.
                None => true,
            };
            if holds_credential {
                spans.push(start..end_of(bytes, first, |byte| byte == b'='));
            }
        }
    }
}

/// Whether decoded JSON is the token of a tunnel of Cloudflare: an account, a tunnel and a secret.
fn is_tunnel(json: &[u8]) -> bool {
    let has = |member: &[u8]| json.windows(member.len()).any(|part| part == member);
    json.starts_with(b"{\"a\":\"") && has(b"\"t\":\"") && has(b"\"s\":\"")
}

/// `Basic …` and `Bearer …`, as in a header.
fn headers(text: &str, spans: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices([' ', '%']) {
        let before = bytes.get(..at).unwrap_or_default();
        let ends_with = |word: &[u8]| {
            let start = before.len().checked_sub(word.len());
            let is_word = start.and_then(|start| before.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(word));
            is_word && start.is_some_and(|start| begins_word(before, start))
        };
        let (is_basic, is_bearer) = (ends_with(b"basic"), ends_with(b"bearer"));
        if !is_basic && !is_bearer {
            continue;
        }
        let start = match bytes.get(at..) {
            Some([b' ', ..]) => end_of(bytes, at, |byte| byte == b' '),
            Some([b'%', b'2', b'0', ..]) => at + 3,
            Some(_) | None => continue,
        };
        let end = end_of(bytes, start, |byte| is_base64(byte) || matches!(byte, b'=' | b'.' | b'~'));
        let value = text.get(start..end).unwrap_or_default();
        let is_credential = if is_basic {
            decode(value.trim_end_matches('=').as_bytes()).is_some_and(|decoded| is_user_and_password(&decoded))
        } else {
            let has_digit = value.bytes().any(|byte| byte.is_ascii_digit());
            value.len() >= BEARER && (has_digit || value.len() >= 4 * BEARER)
        };
        if is_credential {
            spans.push(start..end);
        }
    }
}

/// Whether decoded bytes are a user, a colon and a password.
fn is_user_and_password(decoded: &[u8]) -> bool {
    let colon = decoded.iter().position(|byte| *byte == b':');
    let user = colon.and_then(|colon| decoded.get(..colon));
    user.is_some_and(|user| !user.is_empty() && user.iter().all(|byte| (b' '..=b'~').contains(byte)))
}

/// Decodes base64 without its padding; `None` if it is none.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.chunks(4) {
        let mut bits = 0_u32;
        for byte in chunk {
            let six = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(six);
        }
        let [_, one, two, three] = (bits << (6 * (4 - chunk.len()))).to_be_bytes();
        match chunk.len() {
            4 => out.extend([one, two, three]),
            3 => out.extend([one, two]),
            2 => out.push(one),
            _ => return None,
        }
    }
    Some(out)
}
