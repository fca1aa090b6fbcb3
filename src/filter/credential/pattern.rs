//! Shapes of credentials that take a regular expression.

use std::ops::Range;

use regex::bytes::Regex;

use super::scan::within_word;
use super::token::begins_word;

/// One shape.
pub(super) struct Pattern {
    /// Texts of which every match holds one, in lower case. A text without any of them is not searched.
    pub(super) anchors: &'static [&'static str],
    /// What is masked are its groups, or the whole match if it has none.
    pub(super) expression: &'static str,
}

/// A host, a port, a database and a user, with a colon behind each. If any port will do, so will any database, or the host has a dot.
macro_rules! database {
    () => {
        concat!(
            r"(?:[^\s:#'\x22]+:(?:(?:5432|5433|6432):[^\s:]+|\*:\*)",
            r"|(?:\*|localhost|[^\s:#'\x22]*\.[^\s:#'\x22]*):\*:[^\s:]+):[^\s:]*[^\s:0-9][^\s:]*:",
        )
    };
}

/// Every shape.
pub(super) const PATTERNS: &[Pattern] = &[
    // PEM, from one dashed line to the other or to the end, in lines or in one: keys, and certificates too.
    Pattern {
        anchors: &["-----begin "],
        expression: r"-----BEGIN [A-Z0-9 ]+-----(?s:.*?)(?:-----END [A-Z0-9 ]+-----|$)",
    },
    // Hashes of passwords, as `crypt` and its relatives write them. Some files double each `$`.
    Pattern {
        anchors: &[
            "$1$", "$2", "$5$", "$6$", "$7$", "$y$", "$gy$", "$s$", "$p$", "$h$", "$apr1$", "$sha1$", "$argon2",
            "$scrypt$", "$pbkdf2", "$bcrypt", "$sm3$",
        ],
        expression: concat!(
            r"\$?\$(?:apr1|1|2[abxy]?|5|6|7|y|gy|sha1|sm3)\$[^\s,:;'\x22\\]+",
            // With parameters that have commas between them.
            r"|\$?\$(?:argon2[a-z]*|scrypt|pbkdf2[a-z0-9-]*|bcrypt-sha256)\$+(?:[a-z]+=[^\s,$:;'\x22\\]+[,$]+)*[^\s,:;'\x22\\]+",
            r"|\$[SPH]\$[./0-9A-Za-z]{20,}",
        ),
    },
    Pattern {
        anchors: &["{sha", "{ssha", "{md5", "{smd5", "{crypt", "{pbkdf2", "{argon2", "{scram-"],
        expression: r"\{(?i:S?SHA(?:256|384|512)?|S?MD5|CRYPT|PBKDF2[A-Z0-9-]*|ARGON2|SCRAM-SHA-(?:1|256))\}[^\s,;'\x22]+",
    },
    // Of Django, PostgreSQL and MySQL.
    Pattern {
        anchors: &["pbkdf2_", "bcrypt_sha256$", "scrypt$", "argon2$", "scram-sha-256$"],
        expression: r"\b(?:pbkdf2_sha(?:1|256)|bcrypt_sha256|scrypt|argon2|SCRAM-SHA-256)\$[^\s,;'\x22]+",
    },
    Pattern { anchors: &["*"], expression: r"(?:^|[^0-9A-Za-z*])(\*[0-9A-F]{40})\b" },
    // The bots of Telegram.
    Pattern { anchors: &[":aa"], expression: r"[0-9]{6,12}:AA[A-Za-z0-9_-]{30,}" },
    // Addresses that accept whatever is sent to them.
    Pattern {
        anchors: &[
            ".slack.com/",
            "/api/webhooks/",
            ".office.com/",
            "/hooks/catch/",
            "/bot/v2/hook/",
            "/with/key/",
            "-ping.com/",
        ],
        expression: concat!(
            r"(?i:hooks\.slack\.com/(?:services|workflows|triggers)|/api/webhooks|webhook\.office\.com|/hooks/catch|/bot/v2/hook",
            r"|/with/key|hc-ping\.com)/([^\s\x22'<>`]{6,})",
        ),
    },
    Pattern {
        anchors: &["/hook/", "/hooks/", "/webhook/", "/webhooks/"],
        expression: r"(?i:/(?:web)?hooks?)/((?:[A-Za-z0-9_-]*[0-9][A-Za-z0-9_-]*[a-zA-Z]|[A-Za-z0-9_-]*[a-zA-Z][A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{14,})",
    },
    // Secrets of Azure applications, keys of Mailchimp, tokens of Terraform.
    Pattern { anchors: &["q~"], expression: r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,}" },
    Pattern { anchors: &["-us"], expression: r"\b[0-9a-f]{32}-us[0-9]{1,2}\b" },
    Pattern { anchors: &[".atlasv1."], expression: r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{40,}" },
    // `.netrc`, SQL and `chpasswd`.
    Pattern {
        anchors: &["password"],
        expression: r"(?i)\blogin\s+\S+\s+password\s+(\S+)|\bpassword\s+'([^']*)'|\bpassword\s+\x22([^\x22]*)\x22",
    },
    Pattern {
        anchors: &["identified"],
        expression: r"(?i)\bidentified\s+(?:with\s+\S+\s+)?(?:by|as)\s+['\x22]([^'\x22]*)",
    },
    Pattern {
        anchors: &["chpasswd"],
        expression: r#"(?i)echo\s+(?:-\S+\s+)*["']?[a-z_][a-z0-9_-]*:([^\s"'|]+)["']?\s*\|\s*(?:\S*/)?chpasswd"#,
    },
    Pattern { anchors: &["pass:"], expression: r"-(?:pass|passin|passout)\s+pass:(\S+)" },
    // Passwords that a program writes to another: `echo x | … login --password-stdin`, `… login <<< x`.
    Pattern {
        anchors: &["login", "sudo", "passwd"],
        expression: concat!(
            r#"\b(?:echo|printf)\s+(?:-\S+\s+)*(?:["']?%s(?:\\n)?["']?\s+)?["']?([^\s"'|$][^\s"'|]*)["']?\s*\|\s*"#,
            r"(?:\S*/)?(?:sudo\s+(?:-\S+\s+)*)?(?:sudo\s+(?:-\S*\s+)*-S|passwd\s+(?:-\S+\s+)*--stdin",
            r"|(?:docker|podman|nerdctl|buildah|skopeo|helm|crane|oras|regctl|az|gcloud|gh|glab|npm|heroku)\s+(?:\S+\s+){0,2}login)\b",
            r#"|\blogin\b[^\n|;&]*<<<\s*["']?([^\s"'$][^\s"']*)"#,
        ),
    },
    // Of Windows, as a whole line.
    Pattern {
        anchors: &["net user", "net.exe user", "net1 user"],
        expression: r"(?im)(?:^|[;&|\x22'])[ \t]*net1?(?:\.exe)?[ \t]+user[ \t]+[^\s/]+[ \t]+([^\s/*]\S*)(?:[ \t]+/\S+)*[ \t\r]*(?:$|[;&|\x22'])",
    },
    // A table of two columns: `"password","x"`.
    Pattern {
        anchors: &["password", "passwd", "secret", "token", "api"],
        expression: concat!(
            r"(?im)^[ \t]*\x22[a-z0-9_. -]*(?:password|passwd|passphrase|secret|token|api[ _-]?key)\x22[ \t]*[,;\t][ \t]*",
            r"\x22([^\x22\r\n]+)\x22[ \t\r]*$",
        ),
    },
    // Of MaxMind, of Facebook's applications, and of Laravel.
    Pattern { anchors: &["_mmk"], expression: r"\b[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk\b" },
    Pattern {
        anchors: &["|", "%7c"],
        expression: concat!(
            r"(?:\b|_|\\[nrtbf]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2})([0-9]{15,16}(?:\||%7[Cc])[0-9A-Za-z_-]{27,40}",
            r"|[0-9]{1,10}(?:\||%7[Cc])(?:[0-9A-Za-z]{48}|[0-9A-Za-z]{40})\b)",
        ),
    },
    Pattern {
        anchors: &["htpasswd"],
        expression: concat!(
            r"htpasswd\s+-[A-Za-z]*n[A-Za-z]*\s+(?:-\S+\s+)*[^\s-]\S*\s+(\S+)",
            r"|htpasswd\s+-[A-Za-z]*b[A-Za-z]*\s+(?:-\S+\s+)*[^\s-]\S*\s+\S+\s+(\S+)",
        ),
    },
    Pattern { anchors: &["openssl"], expression: r"openssl\s+passwd\s+(?:-\S+\s+)*(\S+)" },
    // As a line of its own or in a sentence, if it has a digit: `password hunter2`, `the password is hunter2`.
    Pattern {
        anchors: &["password", "passwd", "passphrase", "secret", "token", "api"],
        expression: concat!(
            r"(?im)^[ \t]*(?:password|passwd|passphrase|secret|token|api[ _-]?key)[ \t]+",
            r#"([^\s"'=:]*[0-9][^\s"'=:]{3,}|[^\s"'=:]{3,}[0-9][^\s"'=:]*)[ \t]*$"#,
            r"|\b(?:password|passwd|passphrase|secret|token|api[ _-]?key) is:?[ \t]+",
            r#"["']?([^\s"'=:]*[0-9][^\s"'=:]{3,}|[^\s"'=:]{3,}[0-9][^\s"'=:]*)"#,
            // Or if it is in quotes.
            r#"|\b(?:password|passwd|passphrase|secret|token|api[ _-]?key) is:?[ \t]+(?:"([^"\n]+)"|'([^'\n]+)')"#,
        ),
    },
    // Lines of PostgreSQL's password file.
    Pattern {
        anchors: &[":5432:", ":5433:", ":6432:", ":*:"],
        expression: concat!(
            r"(?m)^",
            database!(),
            r"([^\r\n]*[^\r\n*][^\r\n]*)|[ \t'\x22]",
            database!(),
            r"([^\s'\x22]*[^\s'\x22*][^\s'\x22]*)",
        ),
    },
    // Headers as web servers write them, without a colon. A variable of the server stays.
    Pattern {
        anchors: &["set_header", "add_header", "header_up", "header_down", "requestheader", "set-header", "add-header"],
        expression: concat!(
            r"(?i)(?:set_header|add_header|header_up|header_down|set-header|add-header",
            r"|requestheader[ \t]+(?:early[ \t]+)?(?:set|setifempty|add|append|merge))[ \t]+['\x22]?[+>?]?(?:",
            // These say how answers may be used and kept.
            r"(?:access-control-allow-credentials|(?:[a-z0-9_-]*-)?(?:cache|surrogate)-key)['\x22]?[ \t]",
            r"|(?:(?:[a-z0-9_-]*-)?(?:auth|session)-)?(?:cookie|[a-z0-9_-]*",
            r"(?:key|token|secret|auth|authorization|password|passwd|passphrase|credentials?))['\x22]?[ \t]+(?:",
            r"(?:(?:true|false|on|off|same-origin|none)|'(?:true|false|on|off|same-origin|none)'",
            r"|\\*\x22(?:true|false|on|off|same-origin|none)\\*\x22)(?:[\s;]|$)|",
            r"\\*['\x22]?(?:(?:basic|bearer|token|apikey|digest)[ \t]+)?[$%{]",
            r"|\\*\x22(?:(?:basic|bearer|token|apikey|digest)[ \t]+)?([^\x22\r\n]+?)\\*(?:[\x22\r\n]|$)",
            r"|'(?:(?:basic|bearer|token|apikey|digest)[ \t]+)?([^'\r\n]+)",
            r"|(?:(?:basic|bearer|token|apikey|digest)[ \t]+)?([^\s;'\x22][^\s;]*)))",
        ),
    },
    // Settings of applications as web servers write them, and passwords in the configuration of HAProxy.
    Pattern {
        anchors: &["gi_param"],
        expression: r"(?i)gi_param[ \t]+[a-z0-9_]*(?:password|passwd|secret|token|_key|_pass)[ \t]+['\x22]?([^\s;'\x22$][^\s;'\x22]*)",
    },
    Pattern {
        anchors: &["re-password ", "ats auth "],
        expression: r"\binsecure-password[ \t]+(\S+)|\bstats[ \t]+auth[ \t]+[^\s:]+:(\S+)",
    },
    // Of MinIO's client, as it was written before `mc alias set`.
    Pattern { anchors: &[" host add "], expression: r"config host add \S+\s+\S+\s+\S+\s+['\x22]?([^\s;'\x22]+)" },
    // Private keys as JSON, keys of PuTTY, vaults of Ansible, tokens of PayPal.
    Pattern {
        anchors: &[
            "\"d\"", "\"p\"", "\"q\"", "\"k\"", "\"dp\"", "\"dq\"", "\"qi\"", "\"d\\", "\"p\\", "\"q\\", "\"k\\",
            "\"dp\\", "\"dq\\", "\"qi\\",
        ],
        expression: r#""(?:d|p|q|dp|dq|qi|k)\\*"\s*:\s*\\*"([A-Za-z0-9_-]{40,})"#,
    },
    Pattern { anchors: &["$ansible_vault"], expression: r"(?s)\$ANSIBLE_VAULT.*" },
    Pattern { anchors: &["access_token$"], expression: r"access_token\$[a-z]+\$[0-9a-z]+\$[0-9a-f]+" },
    Pattern { anchors: &["-user-key-file"], expression: r"(?s)PuTTY-User-Key-File-.*" },
];

/// The patterns, compiled.
pub(super) struct Compiled(Vec<Regex>);

impl Compiled {
    /// Compiles patterns; `None` if one of them is wrong.
    pub(super) fn new<'p>(patterns: impl IntoIterator<Item = &'p Pattern>) -> Option<Self> {
        // Without Unicode the expressions are a fraction of the size. Characters beyond ASCII are then single bytes, none of
        // which begins or ends a match by itself.
        let compile = |pattern: &Pattern| Regex::new(&format!("(?-u){}", pattern.expression)).ok();
        patterns.into_iter().map(compile).collect::<Option<_>>().map(Self)
    }

    /// Finds what pattern number `index` masks.
    pub(super) fn find(&self, index: usize, text: &str, spans: &mut Vec<Range<usize>>) {
        let Some(pattern) = self.0.get(index) else { return spans.push(0..text.len()) };
        if pattern.captures_len() == 1 {
            return spans.extend(pattern.find_iter(text.as_bytes()).map(|found| found.range()));
        }
        for captures in pattern.captures_iter(text.as_bytes()) {
            spans.extend(captures.iter().skip(1).flatten().map(|group| group.range()));
        }
    }
}

/// The hexadecimal digits of a hash of digest authentication.
const DIGEST: usize = 32;
/// The fewest bytes of a text with such a hash.
pub(super) const DIGEST_LEAST: usize = "u:r:".len() + DIGEST;
/// The characters before, between and behind the dots of a token of a Discord bot: the fewest of each, and the most.
const BOT: [(usize, usize); 3] = [(24, 28), (6, 6), (27, usize::MAX)];

/// The fewest bytes of a text with such a token.
pub(super) const BOT_LEAST: usize = 24 + 6 + 27 + 2;

/// The hashes of digest authentication in a text, as `user:realm:hash`.
pub(super) fn digests(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let parts = parts(text, b':').skip(2);
    parts.filter_map(|(start, part)| {
        let (hash, rest) = part.split_at_checked(DIGEST)?;
        let is_joined = rest.first().is_some_and(u8::is_ascii_alphanumeric);
        (!is_joined && hash.iter().all(u8::is_ascii_hexdigit)).then(|| start..start + DIGEST)
    })
}

/// The tokens of Discord's bots in a text: three parts with dots between them.
pub(super) fn bots(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let [(least, most), (middle, _), (last, _)] = BOT;
    let is_plain = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let mut before: [&[u8]; 2] = [&[]; 2];
    parts(text, b'.').filter_map(move |(start, part)| {
        let [first, second] = before;
        before = [second, part];
        if second.len() != middle || !second.iter().all(|byte| is_plain(&byte)) {
            return None;
        }
        let head = first.iter().rev().take(most + 1).take_while(is_plain).count();
        let tail = part.iter().take_while(is_plain).count();
        let user = first.len().checked_sub(head).and_then(|at| first.get(at))?;
        let is_token = (least..=most).contains(&head) && b"MNO".contains(user) && tail >= last;
        is_token.then(|| start - second.len() - head - 2..start + tail)
    })
}

/// What stands at the end of base64 of 16 and of 64 bytes. In lower case.
pub(super) const PADDED: &[&str] = &["a==", "q==", "g==", "w=="];

/// Keys of Azure's storage in a text, which are 64 bytes in base64, and tokens of Bitwarden's machines, which end in 16.
pub(super) fn padded(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let (key, short) = (86, 22);
    let pads = text.windows(2).enumerate().filter(|(_, pair)| *pair == b"==");
    pads.filter_map(move |(at, _)| {
        let before = text.get(..at)?;
        let is_base64 = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        before.last().filter(|last| b"AQgw".contains(last))?;
        // An escape before it, of five characters at most, may look like a part of it; what is four characters longer may be base64.
        let run = before.iter().rev().take(key + 6).take_while(is_base64).count();
        let is_key = |start: &usize| run == key || (run < key + 6 && run != key + 4 && begins_word(text, *start));
        if let Some(start) = at.checked_sub(key).filter(|start| run >= key && is_key(start)) {
            let rest = before.get(..start)?;
            return (!names_digest(rest)).then_some(start..at + 2);
        }
        let machine = if run == short { machine_before(before.get(..at - run)?) } else { None };
        machine.map(|start| start..at + 2)
    })
}

/// Whether a text ends in the name of a digest, with up to three marks behind it, as packages have it.
fn names_digest(text: &[u8]) -> bool {
    let marks = text.iter().rev().take(3).take_while(|byte| b"-:= \"'".contains(byte)).count();
    let before = text.get(..text.len() - marks).unwrap_or_default();
    let ends = |name: &[u8]| {
        before
            .len()
            .checked_sub(name.len())
            .and_then(|at| before.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(name))
    };
    marks > 0 && [&b"sha512"[..], b"sha-512", b"integrity", b"digest"].iter().any(|name| ends(name))
}

/// The start of `0.`, a UUID, a dot, 30 letters and digits and a colon at the end of a text.
fn machine_before(text: &[u8]) -> Option<usize> {
    let start = text.len().checked_sub(2 + UUID + 1 + 30 + 1)?;
    let (id, secret) = text.get(start..)?.strip_prefix(b"0.")?.strip_suffix(b":")?.split_at_checked(UUID)?;
    let is_secret = secret.strip_prefix(b".")?.iter().all(u8::is_ascii_alphanumeric);
    (is_uuid(id) && is_secret && begins_word(text, start)).then_some(start)
}

/// The characters of a UUID.
pub(super) const UUID: usize = 36;

/// Whether a text is a UUID.
pub(super) fn is_uuid(text: &[u8]) -> bool {
    let is_part = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == UUID && text.iter().enumerate().all(is_part)
}

/// The fewest bytes of a text with one of [`long_words`].
pub(super) const LONG_LEAST: usize = 81;

/// Tokens of Azure DevOps and of Sanity in a text. They are known by nothing at their start: one is a word of 84 letters and
/// digits with a mark near its end, the other a longer word that begins with `sk`.
pub(super) fn long_words(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    // Of every 64 bytes, sixteen are looked at: a word of this length has such sixteen in it.
    const STEP: usize = 64;
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric();
    let mut at = 0;
    let words = std::iter::from_fn(move || {
        while !within_word(text.get(at..)?.first_chunk()?) {
            at += STEP;
        }
        let (before, behind) = text.split_at_checked(at)?;
        let start = at - before.iter().rev().take_while(is_part).count();
        let end = at + behind.iter().take_while(is_part).count();
        at = end.next_multiple_of(STEP);
        // The end of an escape is none of the word.
        let escape = match (text.get(..start), text.get(start..)) {
            (Some([.., b'\\']), Some([b'u', ..])) => 5,
            (Some([.., b'\\']), _) => 1,
            (Some([.., b'%']), _) => 2,
            _ => 0,
        };
        Some(start + escape..end)
    });
    words.filter(|word| {
        let word = text.get(word.clone()).unwrap_or_default();
        let is_devops = word.len() == 84 && word.get(76..80) == Some(b"AZDO");
        let is_sanity = || {
            word.starts_with(b"sk")
                && [u8::is_ascii_uppercase, u8::is_ascii_digit].iter().all(|test| word.iter().any(test))
        };
        is_devops || (word.len() >= LONG_LEAST && is_sanity())
    })
}

/// Whether a whole text is a token of ngrok: 27 letters and digits with the time in front, `_`, and 21 more.
pub(super) fn is_tunnel(text: &[u8]) -> bool {
    let (before, after) = (27, 21);
    if text.len() != before + 1 + after || text.get(before) != Some(&b'_') {
        return false;
    }
    let has = |test: fn(&u8) -> bool| text.iter().any(test);
    text.first().is_some_and(|first| (b'1'..=b'3').contains(first))
        && text.iter().enumerate().all(|(at, byte)| at == before || byte.is_ascii_alphanumeric())
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
}

/// The parts of a text between `separator`, each with its start.
fn parts(text: &[u8], separator: u8) -> impl Iterator<Item = (usize, &[u8])> {
    let mut start = 0;
    memchr::memchr_iter(separator, text).chain([text.len()]).map(move |end| {
        let part = (start, text.get(start..end).unwrap_or_default());
        start = end + 1;
        part
    })
}
