//! Masks what looks like a credential inside a text that is shown.
//!
//! This is an extra, not a mechanism: a text is hidden by its class. Only where a profile shows a text does this take out
//! what has the shape of a credential. A password that looks like a word stays.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// What replaces a credential.
const MASK: &str = "[redacted]";

/// The shape of a credential, and what replaces a match: the name before the credential, the mask, and what ends it.
struct CredentialShape {
    pattern: Regex,
    replacement: String,
}

/// The shapes, in the order they are looked for; `None` if one of the patterns does not compile.
static SHAPES: LazyLock<Option<Vec<CredentialShape>>> = LazyLock::new(|| compile(PATTERNS));

fn compile(patterns: &[(&str, &str, &str)]) -> Option<Vec<CredentialShape>> {
    patterns
        .iter()
        .map(|(pattern, before, after)| {
            let pattern = Regex::new(pattern).ok()?;
            Some(CredentialShape { pattern, replacement: format!("{before}{MASK}{after}") })
        })
        .collect()
}

/// The pattern of a name that introduces a credential.
macro_rules! name {
    () => {
        "(?i:[A-Za-z0-9_.-]*(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)[A-Za-z0-9_.-]*)"
    };
}

/// Each pattern, and what is written before and after the mask.
const PATTERNS: &[(&str, &str, &str)] = &[
    // PEM, from one dashed line to the other or to the end: keys, and certificates too.
    (r"-----BEGIN [A-Z0-9 ]+-----(?s:.*?)(?:-----END [A-Z0-9 ]+-----|$)", "", ""),
    // The password of a URL. In a web address a user without a password is a token.
    (r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@]*:)[^\s/?#]*@", "$1", "@"),
    (r"(https?://)[^\s/?#:@]+@", "$1", "@"),
    // Passwords hashed for basic and digest authentication. Some files double each `$`.
    (r"\$?\$(?:apr1|1|2[abxy]?|5|6|7|y|gy|sha1|argon2[a-z]*|scrypt|pbkdf2[a-z0-9-]*)\$[^\s,;'\x22]+", "", ""),
    (r"\{(?:SHA|SSHA|SHA256|SSHA256|SHA512|SSHA512|MD5|SMD5|CRYPT)\}[^\s,;'\x22]+", "", ""),
    (r"(:)[0-9a-f]{32}\b", "$1", ""),
    // A JSON Web Token.
    (r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)*", "", ""),
    // `Bearer` and `Basic` as in a header.
    (r"(?i)\b(bearer|basic)( +)[A-Za-z0-9+/=._~-]{8,}", "$1$2", ""),
    // `--password=…`, `-Dtoken=…`, `SECRET: …`, `api_key="…"`, up to a space or the closing quote.
    (
        concat!(
            "(",
            name!(),
            r#"["']?\s*[=:]\s*")[^"]*|("#,
            name!(),
            r#"["']?\s*[=:]\s*')[^']*|("#,
            name!(),
            r#"["']?\s*[=:]\s*)[^\s&"']+"#
        ),
        "$1$2$3",
        "",
    ),
    // `--password …`, `-token …`.
    (concat!(r"((?:^|\s)-", name!(), r#"\s+["']?)[^\s"'-][^\s"']*"#), "$1", ""),
    // Tokens with a prefix of their own, as forges, clouds, chats and registries issue them.
    (
        r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeprs]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{16}|dckr_pat_[A-Za-z0-9_-]{16,}|SWM(?:TKN|KEY)-1-[A-Za-z0-9+/-]+)",
        "",
        "",
    ),
];

/// The text without what looks like a credential; borrowed if there is nothing of the kind.
pub(super) fn mask(text: &str) -> Cow<'_, str> {
    mask_with(SHAPES.as_deref(), text)
}

/// [`mask`] with other shapes. Without shapes nothing can be told from a credential, so everything is masked.
fn mask_with<'t>(shapes: Option<&[CredentialShape]>, text: &'t str) -> Cow<'t, str> {
    let Some(shapes) = shapes else { return Cow::Owned(MASK.to_owned()) };
    let mut masked = Cow::Borrowed(text);
    for shape in shapes {
        if let Cow::Owned(changed) = shape.pattern.replace_all(&masked, shape.replacement.as_str()) {
            masked = Cow::Owned(changed);
        }
    }
    masked
}

/// Whether masking changes a text.
pub fn looks_like_credential(text: &str) -> bool {
    matches!(mask(text), Cow::Owned(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &str, after: &str) {
        assert_eq!(mask(before), after);
        assert_eq!(mask(after), after, "masking twice is masking once");
    }

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(SHAPES.as_ref().map(Vec::len), Some(PATTERNS.len()));
    }

    #[test]
    fn a_pattern_that_does_not_compile_masks_everything() {
        let shapes = compile(&[("a+", "", ""), ("(", "", "")]);
        assert!(shapes.is_none());
        assert_eq!(mask_with(shapes.as_deref(), "harmless"), MASK);
    }

    #[test]
    fn credentials_of_a_url_go_and_the_url_stays() {
        check("postgres://app:hunter2@db:5432/shop?x=1", "postgres://app:[redacted]@db:5432/shop?x=1");
        check("amqp://:hunter2@mq", "amqp://:[redacted]@mq");
        check("redis://u:p@ss@cache", "redis://u:[redacted]@cache");
        check("https://ghx@example.com/a", "https://[redacted]@example.com/a");
        check("see http://a:b@c and http://d:e@f", "see http://a:[redacted]@c and http://d:[redacted]@f");
        for same in
            ["https://example.com:8080/a@b", "ssh://git@example.com/a", "tcp://10.0.0.1:2375", "mail@example.com"]
        {
            check(same, same);
        }
    }

    #[test]
    fn hashed_passwords_go() {
        check("admin:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/", "admin:[redacted]");
        check("a:$$2y$$05$$abcdefghijklmnopqrstuv,b:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=", "a:[redacted],b:[redacted]");
        check("a:$2y$05$abcdefghijklmnopqrstuv,b:c", "a:[redacted],b:c");
        check("test:traefik:a2688e031edb4be6a3797f3882655c05", "test:traefik:[redacted]");
        check("costs $5 or $6", "costs $5 or $6");
    }

    #[test]
    fn keys_and_tokens_go() {
        check("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nrest", "[redacted]\nrest");
        check("-----BEGIN PRIVATE KEY-----\nabc", "[redacted]");
        check("x eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl y", "x [redacted] y");
        check("curl -H 'Authorization: Bearer abcdefgh12345'", "curl -H 'Authorization: Bearer [redacted]'");
        check("glpat-abcdefghij0123456789", "[redacted]");
    }

    #[test]
    fn arguments_that_name_a_secret_keep_their_name() {
        check("mysqld --password=hunter2 --port=3306", "mysqld --password=[redacted] --port=3306");
        check("mysqld --password hunter2 -v", "mysqld --password [redacted] -v");
        check("run --db-password='a b' x", "run --db-password='[redacted]' x");
        check("sh -c 'API_KEY=abc exec app'", "sh -c 'API_KEY=[redacted] exec app'");
        check(r#"{"token": "abc", "n": 1}"#, r#"{"token": "[redacted]", "n": 1}"#);
        check("run --password --verbose", "run --password --verbose");
    }

    #[test]
    fn ordinary_labels_stay_as_they_are() {
        for same in [
            "",
            "true",
            "shop",
            "Host(`shop.example.com`) && PathPrefix(`/api`)",
            "db:service_started:false,cache:service_healthy:true",
            "sha256:45d64f1a8573aceddbc11e0015387e348f4b0cd5f8ca057b740786c42965240c",
            "https://github.com/example/app.git",
            "nginx -g daemon off;",
            "Europe/Berlin",
            "/usr/bin/tini -- /entrypoint.sh --config /etc/app.yaml",
        ] {
            check(same, same);
        }
    }
}
