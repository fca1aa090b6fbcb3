//! Values of arguments, variables and files in messages. A URL may be in the wrong place, with its password: what may hold one is not
//! quoted. Every message that quotes such a value takes it from here.

use std::path::Path;

/// What is quoted in place of a value that may hold a password.
pub const HIDDEN: &str = "…";

/// A value, or a part of one, as a message may quote it: `…` if it may hold a password.
pub fn value(text: &str) -> &str {
    if holds_secret(text) { HIDDEN } else { text }
}

/// As [`value`], for what may well have an `@` and no password: the name of a file, or an argument.
pub fn name(text: &str) -> &str {
    if is_url_with_secret(text) { HIDDEN } else { text }
}

/// The name of an image, as a message may quote it: an `@` before a digest is no sign of a password.
pub fn image(text: &str) -> &str {
    let is_named = |name: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte);
        name.bytes().all(is_plain) && !name.contains("://")
    };
    match text.split_once("@sha256:") {
        Some((name, digest)) if is_named(name) && is_digest(digest) => text,
        Some(_) | None => value(text),
    }
}

/// The path of a file, as a message may name it.
pub fn path(path: &Path) -> String {
    name(&path.to_string_lossy()).to_owned()
}

/// What separates the parts of a list: nothing if the text looks like one URL whose password has a separator in it or beside it. No
/// part of it is quoted then.
pub fn separators<'s>(list: &str, separators: &'s [char]) -> &'s [char] {
    // Before the `@` of such a part is the one before it.
    let is_rest = |part: &str| part.trim_start().starts_with('@');
    let is_one = is_url_with_secret(list) && list.split(separators).any(|part| holds_secret(part) || is_rest(part));
    if is_one { &[] } else { separators }
}

/// Whether a text may have a password, or a token, before the `@` of a URL. Of `ssh` alone, a user is no secret. An `@` before a
/// digest is one of an image, unless a colon is before it: what is behind that may be a tag or a password.
pub fn holds_secret(text: &str) -> bool {
    let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte));
    let (scheme, place) =
        text.trim_start().split_once("://").filter(|(scheme, _)| is_scheme(scheme)).unwrap_or(("", text));
    let is_image = |host: &str| scheme.is_empty() && host.strip_prefix("sha256:").is_some_and(is_digest);
    let is_user = |host: &str| matches!(scheme, "ssh" | "unix") || is_image(host);
    let is_secret = |user: &str, host: &str| !user.is_empty() && (has(user, ':', "3a") || !is_user(host));
    match place.rsplit_once('@') {
        Some((user, host)) => has(host, '@', "40") || is_secret(user, host),
        None => has(place, '@', "40"),
    }
}

/// Whether a text is the digits of a digest.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a text with a secret also has the colon of a URL before its `@`.
fn is_url_with_secret(text: &str) -> bool {
    holds_secret(text) && has(text.rsplit_once('@').map_or(text, |(before, _)| before), ':', "3a")
}

/// Whether a text has a character, as itself or percent-encoded any number of times.
fn has(text: &str, character: char, code: &str) -> bool {
    let is_code = |rest: &str| {
        let digits = rest.trim_start_matches("25").get(..code.len());
        digits.is_some_and(|digits| digits.eq_ignore_ascii_case(code))
    };
    text.contains(character) || text.split('%').skip(1).any(is_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_hold_a_password_is_not_quoted() {
        let digits = "0f".repeat(32);
        for text in [
            "tcp://u:p@h",
            "tcp://token@h",
            " https://u:p@h/x",
            "ssh://u:p@h",
            "ssh://u%3ap@h",
            "unix://u:p@h",
            "u:p@h",
            "token@h",
            "u:p://q@h",
            "tcp://u:p@q@h:1",
            "tcp://u:a'p@h",
            "tcp://u:a b `p\"@h",
            "tcp%3A//u%3Ap%40h",
            "tcp://u%253Ap%2540h",
            "ssh://u@h/%40",
            "u:p@sha256:12",
            "/etc/u:p@h",
            "a=tcp://u:p@h",
            "u:p @ h",
            "u:p@ h",
            "u:p @h",
            &format!("u:p@sha256:{digits}"),
            &format!("tcp://u:p@sha256:{digits}"),
            &format!("tcp://token@sha256:{digits}"),
            &format!("token@sha256:{}", "xy".repeat(32)),
        ] {
            assert_eq!(value(text), "…", "{text}");
        }
        let digest = format!("web@sha256:{digits}");
        for text in
            ["", "@", "@h", "web", "web:1", "ssh://me@host", "unix:///run/a@b", "tcp://h:1", "50%", "%4", &digest]
        {
            assert_eq!((value(text), name(text)), (text, text));
        }
        for text in ["token@h", "web@prod.yaml", "/etc/dockveil/web@prod.yaml"] {
            assert_eq!((value(text), name(text)), ("…", text));
        }
        assert_eq!([name("u:p@h"), &path(Path::new("/etc/tcp://t@h")), name("u%3Ap%40h")], ["…"; 3]);
    }

    #[test]
    fn the_name_of_an_image_may_have_a_tag_and_a_digest() {
        let digest = format!("@sha256:{}", "0f".repeat(32));
        for name in ["web", "registry:5000/web:1"] {
            let text = format!("{name}{digest}");
            assert_eq!((image(name), image(&text)), (name, text.as_str()));
        }
        for name in ["tcp://u:p", "u:p q", "u:p@h"] {
            assert_eq!(image(&format!("{name}{digest}")), "…", "{name}");
        }
        assert_eq!([image("u:p@h"), image("u:p@sha256:12")], ["…"; 2]);
    }

    #[test]
    fn a_separator_inside_a_password_separates_nothing() {
        let parts = |text| -> Vec<&str> { str::split(text, separators(text, &[',', ' '])).collect() };
        assert_eq!(parts("tcp://u:p,q@h"), ["tcp://u:p,q@h"]);
        assert_eq!(parts("a u:p q@h"), ["a u:p q@h"]);
        for text in ["u:p @ h", "u:p @h", "u:p@ h", "u:p,@h", "a, tcp://u:p q, @ h"] {
            assert_eq!(parts(text), [text]);
        }
        assert_eq!(parts("a,b c"), ["a", "b", "c"]);
        assert_eq!(parts("tcp://h:1,unix:///run/a@b"), ["tcp://h:1", "unix:///run/a@b"]);
        assert_eq!(parts("/a@b,/c"), ["/a@b", "/c"]);
    }
}
