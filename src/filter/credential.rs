//! What looks like a credential inside a text that is shown.
//!
//! An extra, no mechanism: a text is hidden by its class, and only where a profile shows labels, variables, options or
//! command lines this takes out of them what has the shape of a credential. A password that looks like a word stays.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// What stands for a credential.
const MASK: &str = "[redacted]";

/// A shape, with what stays of a match: the name that introduces a credential, and what ends it.
struct Shape {
    pattern: Regex,
    with: String,
}

/// The shapes, in the order they are looked for. None of the patterns can fail: a test compiles them all.
static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    PATTERNS
        .iter()
        .filter_map(|(pattern, before, after)| {
            Some(Shape { pattern: Regex::new(pattern).ok()?, with: format!("{before}{MASK}{after}") })
        })
        .collect()
});

/// The pattern of a name that introduces a credential.
macro_rules! name {
    () => {
        "(?i:[A-Za-z0-9_.-]*(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)[A-Za-z0-9_.-]*)"
    };
}

/// Each pattern with what is written before and after the mask.
const PATTERNS: &[(&str, &str, &str)] = &[
    // PEM, from one dashed line to the other or to the end: keys, and certificates with them.
    (r"-----BEGIN [A-Z0-9 ]+-----(?s:.*?)(?:-----END [A-Z0-9 ]+-----|$)", "", ""),
    // The password of a URL; of a web address also a user without one, which is a token.
    (r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@]*:)[^\s/?#]*@", "$1", "@"),
    (r"(https?://)[^\s/?#:@]+@", "$1", "@"),
    // Passwords hashed for basic and digest authentication, each `$` perhaps doubled for Compose.
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
    // Tokens with a prefix of their own: GitHub, GitLab, Slack, AWS, Docker, the swarm.
    (
        r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeprs]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{16}|dckr_pat_[A-Za-z0-9_-]{16,}|SWM(?:TKN|KEY)-1-[A-Za-z0-9+/-]+)",
        "",
        "",
    ),
];

/// The text without what looks like a credential; borrowed if there is nothing.
pub(super) fn mask(text: &str) -> Cow<'_, str> {
    let mut masked = Cow::Borrowed(text);
    for shape in &*SHAPES {
        if let Cow::Owned(changed) = shape.pattern.replace_all(&masked, shape.with.as_str()) {
            masked = Cow::Owned(changed);
        }
    }
    masked
}

/// Whether something in a text is masked where a profile says so.
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
        assert_eq!(SHAPES.len(), PATTERNS.len());
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
