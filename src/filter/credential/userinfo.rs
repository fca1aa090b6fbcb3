//! Credentials before the `@` of a URL or of an address without a scheme.

use std::ops::Range;

use super::name::{is_reference, looks_random};
use super::pattern::{UUID, is_uuid};

/// Texts of which one stands wherever [`find`] finds something: an `@`, or the scheme of a notifier, whose whole address is
/// a credential.
pub(super) const ANCHORS: &[&str] = &[
    "@",
    "bark://",
    "discord://",
    "gotify://",
    "gotifys://",
    "ifttt://",
    "join://",
    "mattermost://",
    "mmost://",
    "mmosts://",
    "msteams://",
    "pbul://",
    "pover://",
    "pushbullet://",
    "pushover://",
    "rocket://",
    "rocketchat://",
    "rockets://",
    "slack://",
    "teams://",
    "telegram://",
    "tgram://",
    "zulip://",
];

/// Words that stand before an address of mail, or before a package, and are no user.
const NOT_USERS: &[&str] = &[
    "acct",
    "author",
    "authors",
    "cargo",
    "catalog",
    "cc",
    "contact",
    "email",
    "file",
    "from",
    "gem",
    "go",
    "golang",
    "link",
    "mail",
    "mailto",
    "maintainer",
    "maven",
    "npm",
    "nuget",
    "owner",
    "patch",
    "pip",
    "portal",
    "pypi",
    "sip",
    "sips",
    "support",
    "to",
    "workspace",
    "xmpp",
];

/// Schemes besides those of the web in which a user without a password is a token or a password.
const TOKEN_SCHEMES: &[&str] = &["redis", "rediss", "valkey", "valkeys", "nats", "tls"];

/// What GitHub takes for a password when the user is the token.
const NO_PASSWORD: &str = "x-oauth-basic";

/// What stands before the user in the addresses of Oracle's thin driver.
const ORACLE: &str = "oracle:thin:";

/// The longest user of an address without a scheme.
const USER_LIMIT: usize = 64;

/// Finds the passwords in addresses, and users without a password where they are tokens.
pub(super) fn find(text: &str, spans: &mut Vec<Range<usize>>) {
    for word in words(text) {
        let part = text.get(word.clone()).unwrap_or_default();
        let urls = urls(part);
        let address = if urls.is_empty() { of_address(part) } else { None };
        let found = address.or_else(|| of_oracle(part)).or_else(|| of_token_id(part));
        spans.extend(found.map(|span| span.start + word.start..span.end + word.start));
        for Url { scheme, authority } in urls {
            let offset = word.start + authority.start;
            let is_last = authority.end == part.len();
            let url = part.get(authority).unwrap_or_default();
            spans.extend(of_url(scheme, url).into_iter().flatten().map(|span| span.start + offset..span.end + offset));
            if is_last && !scheme.is_empty() {
                spans.extend(with_spaces(text, offset..word.end));
            }
        }
    }
}

/// The words of a text.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let start = at + rest.find(|c: char| !c.is_ascii_whitespace())?;
        let end = text.get(start..)?.find(|c: char| c.is_ascii_whitespace()).map_or(text.len(), |found| start + found);
        at = end;
        Some(start..end)
    })
}

/// A URL in a word.
struct Url<'w> {
    scheme: &'w str,
    /// What stands behind `//`, to the end of the URL.
    authority: Range<usize>,
}

/// The URLs of a word. One ends where the next begins, or where the quote closes that it is in.
fn urls(word: &str) -> Vec<Url<'_>> {
    let mut urls: Vec<Url<'_>> = Vec::new();
    let mut at = 0;
    while let Some(slashes) = word.get(at..).and_then(|rest| rest.find("//")).map(|found| at + found) {
        at = slashes + "//".len();
        let scheme = scheme_before(word, slashes);
        let start = slashes.saturating_sub(scheme.len() + usize::from(!scheme.is_empty()));
        match urls.last_mut() {
            // Two slashes without a scheme are part of the URL before.
            Some(_) if scheme.is_empty() => continue,
            Some(last) => last.authority.end = last.authority.end.min(start).max(last.authority.start),
            None => {}
        }
        urls.push(Url { scheme, authority: at..word.len() });
    }
    for Url { scheme, authority } in &mut urls {
        let start = authority.start.saturating_sub("://".len() + scheme.len());
        let close = match start.checked_sub(1).and_then(|before| word.as_bytes().get(before)) {
            Some(quote @ (b'"' | b'\'' | b'`')) => *quote,
            Some(b'<') => b'>',
            Some(_) | None => continue,
        };
        let rest = word.as_bytes().get(authority.clone()).unwrap_or_default();
        if let Some(found) = rest.iter().position(|byte| *byte == close) {
            authority.end = authority.start + found;
        }
    }
    urls
}

/// The scheme whose colon ends at `end`; `jdbc:` is none of it.
fn scheme_before(part: &str, end: usize) -> &str {
    let before = part.get(..end).unwrap_or_default().strip_suffix(':').unwrap_or_default();
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-');
    before.rsplit(|c| !is_scheme(c)).next().unwrap_or_default()
}

/// The credentials of a URL, given what stands behind its `//`.
fn of_url(scheme: &str, url: &str) -> [Option<Range<usize>>; 2] {
    let is_notifier =
        |anchor: &&str| anchor.strip_suffix("://").is_some_and(|known| known.eq_ignore_ascii_case(scheme));
    if ANCHORS.iter().any(is_notifier) {
        return [(!url.is_empty()).then_some(0..url.len()), None];
    }
    let is_web = ["http", "https", "ws", "wss"]
        .iter()
        .any(|web| scheme.rsplit('+').next().is_some_and(|scheme| scheme.eq_ignore_ascii_case(web)));
    let authority = url.find(['/', '?', '#']).unwrap_or(url.len());
    let is_v6 = url.strip_prefix('[').is_some_and(|host| host.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':'));
    let colon = url.find(':').filter(|colon| *colon < authority && !is_v6);
    if let Some(colon) = colon {
        let password = colon + 1;
        let is_raw = url.get(password..authority).is_some_and(|rest| !rest.contains('@'));
        let digits = url.bytes().skip(password).take_while(u8::is_ascii_digit).count();
        let is_port = is_raw && is_web && (1..=5).contains(&digits) && password + digits == authority;
        if let (Some(end), false) = (url.rfind('@').filter(|end| *end >= password), is_port) {
            let found = url.get(password..end).unwrap_or_default();
            let is_token = is_web && (found.is_empty() || found.eq_ignore_ascii_case(NO_PASSWORD));
            return [(colon > 0 && is_token).then_some(0..colon), (!found.is_empty()).then_some(password..end)];
        }
    }
    // A user alone.
    let end = url.get(..authority).and_then(|host| host.find('@')).filter(|end| *end > 0);
    let is_token = |end: &usize| {
        let takes_token = is_web || TOKEN_SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known));
        takes_token || url.get(..*end).is_some_and(looks_random)
    };
    [end.filter(is_token).map(|end| 0..end), None]
}

/// The longest part of a password behind the first space in it.
const SPACED_LIMIT: usize = 128;

/// The password of a URL that has a space in it: `https://user:pass word@host/`. At `url` is what stands behind the `//`, up to the space.
fn with_spaces(text: &str, url: Range<usize>) -> Option<Range<usize>> {
    let before = text.get(url.clone())?;
    let authority = before.split(['/', '?', '#']).next()?;
    let colon = authority.find(':').filter(|_| !authority.starts_with('[') && !before.contains('@'))?;
    let first = before.get(colon + 1..)?;
    // What ends a sentence, or a part of it, may stand behind a port.
    let port = authority.get(colon + 1..)?.trim_end_matches([',', '.', ';', ':', ')', ']', '}', '\'', '|', '!', '?']);
    let is_port =
        (port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit())) || port.eq_ignore_ascii_case("port");
    let is_reference = port.starts_with("${") || port.starts_with("{{") || port.starts_with("$(") || is_reference(port);
    if first.is_empty() || is_port || is_reference {
        return None;
    }
    // The last `@` of the word that has the first one.
    let rest = text.as_bytes().get(url.end..)?;
    let ends = |byte: &&u8| !matches!(byte, b'\n' | b'\r' | b'"' | b'`' | b'<' | b'>');
    let line = rest.iter().take(SPACED_LIMIT).take_while(ends).count();
    let line = rest.get(..line)?;
    let at = line.iter().position(|byte| *byte == b'@')?;
    if line.get(..at)?.windows(3).any(|part| part == b"://") {
        return None;
    }
    let word = line.get(at..)?.iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
    let last = at + line.get(at..at + word)?.iter().rposition(|byte| *byte == b'@')?;
    let has_host = rest.get(last + 1).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'[');
    has_host.then_some(url.start + colon + 1..url.end + last)
}

/// The secret of a token of Proxmox: `user@realm!name=uuid`.
fn of_token_id(word: &str) -> Option<Range<usize>> {
    let bang = word.rfind('!')?;
    let (user, _) = word.get(..bang)?.rsplit_once('@')?;
    let secret = bang + 1 + word.get(bang + 1..)?.find(['=', ':'])? + 1;
    let is_secret = word.as_bytes().get(secret..secret + UUID).is_some_and(is_uuid);
    (!user.is_empty() && is_secret).then_some(secret..secret + UUID)
}

/// The password of `user/password@host` behind `jdbc:oracle:thin:`.
fn of_oracle(word: &str) -> Option<Range<usize>> {
    let at = word.rfind('@')?;
    let start = word.find(ORACLE)? + ORACLE.len();
    let slash = start + word.get(start..at)?.find('/')?;
    (slash + 1 < at).then_some(slash + 1..at)
}

/// The password of `user:password@host`.
fn of_address(word: &str) -> Option<Range<usize>> {
    let at = word.rfind('@')?;
    let host = word.get(at + 1..)?;
    let before_at = word.get(..at)?;
    let is_dialled = ["tcp(", "unix(", "tcp:", "unix:"].iter().any(|dialled| host.starts_with(dialled));
    let is_digest = ["sha256:", "sha512:"].iter().any(|algorithm| host.starts_with(algorithm));
    if is_digest || !host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') {
        return None;
    }
    before_at.match_indices(':').map(|(colon, _)| colon).find(|colon| is_user(before_at, *colon)).and_then(|colon| {
        let password = before_at.get(colon + 1..)?;
        let is_path = password.contains('/') && !is_dialled;
        (!password.is_empty() && !is_path).then_some(colon + 1..at)
    })
}

/// Whether a user of an address ends at `colon`.
fn is_user(text: &str, colon: usize) -> bool {
    let is_user = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-');
    let user = text.get(..colon).and_then(|before| before.rsplit(|c| !is_user(c)).next()).unwrap_or_default();
    let before = text.get(..colon - user.len()).and_then(|before| before.chars().next_back());
    user.len() <= USER_LIMIT
        && user.contains(|c: char| c.is_ascii_alphabetic())
        && !NOT_USERS.iter().any(|known| user.eq_ignore_ascii_case(known))
        && !matches!(before, Some('/' | '@' | ':' | '\\'))
}
