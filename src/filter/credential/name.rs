//! Which names are names of credentials, and which of their values are no credential.

/// What a name says about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The value is a credential.
    Secret,
    /// The value is a credential, or a number of them: `tokens`, `secrets`.
    Plural,
    /// The value is a credential, or the way to present one: `auth`, `authorization`.
    Scheme,
    /// The same, or who is asked instead: `forward_auth`, `swag_auth`.
    Forward,
    /// The value is a credential, or a working directory: `PWD`.
    Directory,
    /// The value is a password for one time, a way to send one, or a version: `otp`.
    Code,
    /// The value is a credential if it looks random: `key`, `session`.
    Doubtful,
}

/// Words that name a credential by themselves, as the last word of a name.
const WORDS: &[(&str, Kind)] = &[
    ("password", Kind::Secret),
    ("passwords", Kind::Plural),
    ("passwd", Kind::Secret),
    ("passw", Kind::Secret),
    ("passwort", Kind::Secret),
    ("kennwort", Kind::Secret),
    ("contrasena", Kind::Secret),
    ("heslo", Kind::Secret),
    ("mdp", Kind::Secret),
    ("motdepasse", Kind::Secret),
    ("passord", Kind::Secret),
    ("salasana", Kind::Secret),
    ("senha", Kind::Secret),
    ("wachtwoord", Kind::Secret),
    ("pass", Kind::Secret),
    ("passphrase", Kind::Secret),
    ("passcode", Kind::Secret),
    ("passkey", Kind::Secret),
    ("pwd", Kind::Directory),
    ("pswd", Kind::Secret),
    ("psw", Kind::Secret),
    ("pw", Kind::Secret),
    ("passhash", Kind::Secret),
    ("passwdhash", Kind::Secret),
    ("passwordhash", Kind::Secret),
    ("adminpw", Kind::Secret),
    ("bindpw", Kind::Secret),
    ("dbpw", Kind::Secret),
    ("rootpw", Kind::Secret),
    ("userpw", Kind::Secret),
    ("secret", Kind::Secret),
    ("secrets", Kind::Plural),
    ("token", Kind::Secret),
    ("tokens", Kind::Plural),
    ("apikey", Kind::Secret),
    ("apikeys", Kind::Plural),
    ("appkey", Kind::Secret),
    ("authkey", Kind::Secret),
    ("accesskey", Kind::Secret),
    ("secretkey", Kind::Secret),
    ("privatekey", Kind::Secret),
    ("privkey", Kind::Secret),
    ("accountkey", Kind::Secret),
    ("masterkey", Kind::Secret),
    ("encryptionkey", Kind::Secret),
    ("signingkey", Kind::Secret),
    ("sessionkey", Kind::Secret),
    ("sharedkey", Kind::Secret),
    ("presharedkey", Kind::Secret),
    ("psk", Kind::Secret),
    ("auth", Kind::Scheme),
    ("basicauth", Kind::Scheme),
    ("httpauth", Kind::Scheme),
    ("oauth", Kind::Scheme),
    ("proxyauth", Kind::Scheme),
    ("redisauth", Kind::Scheme),
    ("rpcauth", Kind::Scheme),
    ("smtpauth", Kind::Scheme),
    ("authorization", Kind::Scheme),
    ("authorisation", Kind::Scheme),
    ("credential", Kind::Scheme),
    ("credentials", Kind::Scheme),
    ("cred", Kind::Scheme),
    ("creds", Kind::Scheme),
    ("bearer", Kind::Scheme),
    ("jwt", Kind::Secret),
    ("dsn", Kind::Secret),
    ("connectionstring", Kind::Secret),
    ("connstr", Kind::Secret),
    ("mnemonic", Kind::Secret),
    ("pepper", Kind::Secret),
    ("webhook", Kind::Secret),
    ("webhooks", Kind::Plural),
    ("htpasswd", Kind::Secret),
    ("pgpass", Kind::Secret),
    ("requirepass", Kind::Secret),
    ("masterauth", Kind::Secret),
    ("key", Kind::Doubtful),
    ("keys", Kind::Doubtful),
    ("cookie", Kind::Secret),
    ("jsessionid", Kind::Secret),
    ("phpsessid", Kind::Secret),
    ("sessionid", Kind::Doubtful),
    ("hmac", Kind::Doubtful),
    ("otp", Kind::Code),
    ("totp", Kind::Doubtful),
    ("salt", Kind::Doubtful),
    ("seed", Kind::Doubtful),
    ("session", Kind::Doubtful),
    ("license", Kind::Doubtful),
    ("licence", Kind::Doubtful),
    ("hook", Kind::Doubtful),
];

/// The last two words of names that name a credential together. Before `key`, these are kinds of keys, and providers that call their
/// credential one. Before that stands as well what such a key sorts, finds or opens: so no other word counts there.
const PAIRS: &[(&str, &[&str])] = &[
    (
        "key",
        &[
            "abuseipdb",
            "access",
            "account",
            "admin",
            "adyen",
            "age",
            "algolia",
            "amplitude",
            "anthropic",
            "api",
            "app",
            "application",
            "auth",
            "aws",
            "azure",
            "bazarr",
            "bitbucket",
            "borg",
            "bot",
            "bouncer",
            "braintree",
            "brevo",
            "bugsnag",
            "cf",
            "cipher",
            "client",
            "cloudflare",
            "cohere",
            "consumer",
            "cookie",
            "crowdsec",
            "crypto",
            "datadog",
            "dd",
            "decryption",
            "deepseek",
            "deploy",
            "digitalocean",
            "discord",
            "emby",
            "encrypt",
            "encryption",
            "fernet",
            "gcp",
            "gemini",
            "github",
            "gitlab",
            "google",
            "grafana",
            "groq",
            "hetzner",
            "hmac",
            "honeycomb",
            "huggingface",
            "immich",
            "ingest",
            "ingestion",
            "integration",
            "ipinfo",
            "jackett",
            "jellyfin",
            "jellyseerr",
            "jwt",
            "lastfm",
            "licence",
            "license",
            "lidarr",
            "linode",
            "mailchimp",
            "mailgun",
            "mandrill",
            "mapbox",
            "maps",
            "maptiler",
            "master",
            "maxmind",
            "meili",
            "meilisearch",
            "mistral",
            "mixpanel",
            "mollie",
            "netbird",
            "newrelic",
            "nexmo",
            "omdb",
            "openai",
            "openrouter",
            "openweather",
            "openweathermap",
            "opsgenie",
            "overseerr",
            "ovh",
            "pagerduty",
            "paypal",
            "plex",
            "posthog",
            "postmark",
            "preshared",
            "priv",
            "private",
            "prowlarr",
            "pusher",
            "pushover",
            "radarr",
            "razorpay",
            "readarr",
            "recovery",
            "reddit",
            "restic",
            "rollbar",
            "sabnzbd",
            "secret",
            "security",
            "sendgrid",
            "sentry",
            "session",
            "shared",
            "shodan",
            "shopify",
            "signing",
            "slack",
            "sonarr",
            "sops",
            "sparkpost",
            "spotify",
            "steam",
            "storage",
            "stripe",
            "subscription",
            "tailscale",
            "tautulli",
            "telegram",
            "tmdb",
            "tunnel",
            "tvdb",
            "twilio",
            "twitch",
            "typesense",
            "unlock",
            "unseal",
            "virustotal",
            "vonage",
            "vultr",
            "webhook",
            "wg",
            "widget",
            "wireguard",
            "write",
            "zerotier",
        ],
    ),
    ("keys", &["access", "api", "private", "secret", "unseal"]),
    ("auth", &["forward", "swag"]),
    ("base", &["key"]), // secret_key_base
    ("claim", &["plex"]),
    ("code", &["access", "activation", "auth", "authorization", "pairing", "pass", "recovery", "security", "unlock"]),
    ("codes", &["backup", "recovery"]),
    ("community", &["snmp"]),
    ("config", &["auth"]),
    ("data", &["key"]), // client-key-data
    ("hash", &["api"]), // of Telegram
    ("header", &["auth", "authorization"]),
    ("id", &["secret", "session"]), // an AppRole of Vault
    ("passe", &["de"]),             // mot de passe
    ("pat", &["access", "ado", "azdo", "azure", "cr", "devops", "ext", "gh", "ghcr", "git", "github", "gitlab"]),
    ("phrase", &["pass", "recovery", "secret", "seed"]),
    ("pin", &["access", "admin", "security", "sim", "user"]),
    ("salt", &["auth", "password", "secret"]),
    ("signature", &["access", "amz", "goog"]),
    ("str", &["conn", "connection"]),
    ("string", &["community", "conn", "connection"]),
    ("strings", &["connection"]),
    ("sas", &["account", "azure", "blob", "service", "storage"]),
    ("uri", &["hook", "webhook"]),
    ("url", &["apprise", "discord", "hook", "notification", "shoutrrr", "slack", "webhook"]),
    ("urls", &["apprise", "hook", "notification", "shoutrrr", "webhook"]),
    ("users", &["basicauth", "digestauth", "auth"]),
    ("word", &["pass"]),
];

/// Ends of a word that name a credential whatever stands before them: `dbpassword`, `MYSQLPWD`, `clientsecret`.
const ENDINGS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "secretkey",
    "accesskey",
    "privatekey",
    "authkey",
    "credentials",
    "webhook",
    "connstr",
    "key",
    "pwd",
    "pass", // behind the words `BEFORE_PASS` only
];

/// What stands before `pass` in one word where it means a password. Other words end in `pass` as well: `bypass`.
const BEFORE_PASS: &[&str] = &[
    "admin", "api", "app", "auth", "backup", "bind", "cert", "client", "db", "email", "enc", "ftp", "http", "imap",
    "key", "ldap", "login", "mail", "master", "mongo", "my", "mysql", "pg", "priv", "proxy", "rcon", "redis", "root",
    "server", "smtp", "sql", "ssh", "store", "sudo", "super", "user", "vnc", "vpn", "web", "wifi", "zip",
];

/// Last words that say how a credential is written, or which one it is, and do not count.
const QUALIFIERS: &[&str] = &[
    "base64",
    "b64",
    "content",
    "contents",
    "current",
    "default",
    "encoded",
    "encrypted",
    "hash",
    "hashed",
    "json",
    "live",
    "new",
    "old",
    "pem",
    "plain",
    "plaintext",
    "previous",
    "primary",
    "prod",
    "production",
    "raw",
    "sandbox",
    "secondary",
    "staging",
    "value",
];

/// Words before `key` that make it a public one.
const PUBLIC: &[&str] =
    &["pub", "public", "publishable", "foreign", "primary", "partition", "cache", "sort", "authorized"];

/// The most words of a name that are looked at, from its end.
const WORDS_LIMIT: usize = 8;

/// What a name says about its value; `None` if it is not the name of a credential.
///
/// A name is split into words at everything but letters and digits, and where camel case begins a word. The last word
/// decides, or the last two. Digits at the end and [`QUALIFIERS`] do not count.
pub(super) fn kind(name: &[u8]) -> Option<Kind> {
    if may_name_credential(name) { kind_by_words(Words(name)) } else { None }
}

fn kind_by_words(mut words: Words<'_>) -> Option<Kind> {
    for _ in 0..WORDS_LIMIT {
        let whole = words.next()?;
        let digits = whole.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let text = whole.get(..whole.len() - digits)?;
        let word = Word::new(text);
        let meaning = VOCABULARY.find(word);
        // `v2` is a number too.
        let is_number = digits > 0 && (word.length <= 1 || VOCABULARY.find(Word::new(whole)).is_qualifier);
        if is_number {
            continue;
        }
        if let Some((second, firsts)) = meaning.pair.and_then(|pair| PAIRS.get(pair)) {
            let first = words.clone().next().unwrap_or_default();
            if contains(firsts, first) {
                return Some(match *second {
                    "keys" => Kind::Plural,
                    "auth" => Kind::Forward,
                    _ => Kind::Secret,
                });
            }
            if second.starts_with("key") && contains(PUBLIC, first) {
                return None;
            }
        }
        if meaning.is_qualifier {
            continue;
        }
        return meaning.kind.or_else(|| kind_by_end(word, text));
    }
    None
}

/// What the end of a word says, whatever stands before it.
fn kind_by_end(word: Word, text: &[u8]) -> Option<Kind> {
    let ending = VOCABULARY.endings.iter().find(|ending| word.ends_with(**ending))?;
    let before = text.len().checked_sub(ending.length).and_then(|at| text.get(..at))?;
    match *ending {
        PWD => Some(Kind::Directory),
        PASS => contains(BEFORE_PASS, before).then_some(Kind::Secret),
        KEY => (!contains(PUBLIC, before)).then_some(Kind::Doubtful),
        _ => Some(Kind::Secret),
    }
}

/// The ends of words that do not always mean the same.
const PWD: Word = Word::new(b"pwd");
const PASS: Word = Word::new(b"pass");
const KEY: Word = Word::new(b"key");

/// A word without its case: its length and its last 16 letters, as a number.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word {
    length: usize,
    letters: u128,
}

impl Word {
    const fn new(word: &[u8]) -> Self {
        let length = word.len();
        let mut letters = 0;
        let mut rest = word;
        while let [first, tail @ ..] = rest {
            letters = letters << 8 | first.to_ascii_lowercase() as u128;
            rest = tail;
        }
        Self { length, letters }
    }

    /// Whether this word ends with another of at most 15 letters.
    const fn ends_with(self, end: Self) -> bool {
        self.length >= end.length && self.letters & ((1 << (8 * end.length)) - 1) == end.letters
    }

    const fn hash(self) -> usize {
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = (self.letters as u64 ^ (self.letters >> 64) as u64).wrapping_mul(MULTIPLIER);
        (mixed >> 32) as usize % SLOTS
    }
}

/// What the last word of a name can mean.
#[derive(Clone, Copy)]
struct Meaning {
    word: Word,
    kind: Option<Kind>,
    /// The index in [`PAIRS`] of the words that name a credential together with this one.
    pair: Option<usize>,
    is_qualifier: bool,
}

/// A word that means nothing.
const NOTHING: Meaning = Meaning { word: Word::new(b""), kind: None, pair: None, is_qualifier: false };

/// The number of slots of the vocabulary: a few times the number of words.
const SLOTS: usize = 512;

/// All words by their hash, with linear probing, and the ends of all words.
struct Vocabulary {
    slots: [Meaning; SLOTS],
    endings: [Word; ENDINGS.len()],
    /// A bit for each number that [`end_index`] gives for a word.
    ends: [u64; 1 << 9],
}

/// The vocabulary, made by the compiler.
static VOCABULARY: Vocabulary = Vocabulary::new();

#[expect(clippy::indexing_slicing, reason = "the compiler runs it, and stops at an index out of bounds")]
impl Vocabulary {
    const fn new() -> Self {
        let endings = [NOTHING.word; ENDINGS.len()];
        let mut all = Self { slots: [NOTHING; SLOTS], endings, ends: [0; 1 << 9] };
        let mut index = 0;
        while index < WORDS.len() {
            all.add_end(b"", WORDS[index].0.as_bytes());
            all.slot(WORDS[index].0).kind = Some(WORDS[index].1);
            index += 1;
        }
        index = 0;
        while index < PAIRS.len() {
            let (second, firsts) = PAIRS[index];
            let mut first = 0;
            while first < firsts.len() {
                all.add_end(firsts[first].as_bytes(), second.as_bytes());
                first += 1;
            }
            all.slot(second).pair = Some(index);
            index += 1;
        }
        index = 0;
        while index < QUALIFIERS.len() {
            all.add_end(b"", QUALIFIERS[index].as_bytes());
            all.slot(QUALIFIERS[index]).is_qualifier = true;
            index += 1;
        }
        index = 0;
        while index < ENDINGS.len() {
            all.endings[index] = Word::new(ENDINGS[index].as_bytes());
            all.add_end(b"", ENDINGS[index].as_bytes());
            index += 1;
        }
        all
    }

    /// The slot of a word, which is added if it is new.
    const fn slot(&mut self, word: &str) -> &mut Meaning {
        let word = Word::new(word.as_bytes());
        let mut at = word.hash();
        while self.slots[at].word.length != 0 {
            if self.slots[at].word.length == word.length && self.slots[at].word.letters == word.letters {
                return &mut self.slots[at];
            }
            at = (at + 1) % SLOTS;
        }
        self.slots[at].word = word;
        &mut self.slots[at]
    }

    /// Adds the last four characters of a word and of what is before it: `first`, joined or with anything between. What
    /// both are too short for may be anything.
    const fn add_end(&mut self, first: &[u8], word: &[u8]) {
        let mut other = 0;
        while other < 32 * 32 {
            let (wild, before) = ((other / 32) as u8, (other % 32) as u8);
            match (word, first) {
                ([.., a, b, c, d], _) => self.set_end([*a, *b, *c, *d]),
                ([a, b, c], _) => self.set_end([wild, *a, *b, *c]),
                ([a, b], []) => self.set_end([wild, before, *a, *b]),
                ([a, b], [.., y, z]) => {
                    self.set_end([*y, *z, *a, *b]);
                    self.set_end([*z, wild, *a, *b]);
                }
                (_, _) => {}
            }
            other += if word.len() < 4 && first.is_empty() { 1 } else { 32 };
        }
    }

    const fn set_end(&mut self, end: [u8; 4]) {
        let at = end_index(end);
        self.ends[at / 64] |= 1 << (at % 64);
    }
}

impl Vocabulary {
    /// The meaning of a word.
    fn find(&self, word: Word) -> Meaning {
        let mut at = word.hash();
        // There are empty slots, whose word is empty.
        while let Some(meaning) = self.slots.get(at) {
            if meaning.word == word {
                return *meaning;
            }
            if meaning.word.length == 0 {
                break;
            }
            at = (at + 1) % SLOTS;
        }
        NOTHING
    }
}

/// A number for four letters, the same whatever their case, below 2¹⁵. Others may have the same.
const fn end_index(end: [u8; 4]) -> usize {
    const MULTIPLIER: u32 = 0x9e37_79b9;
    let folded = u32::from_le_bytes(end) & 0x1f1f_1f1f;
    (folded.wrapping_mul(MULTIPLIER) >> 17) as usize
}

/// Whether [`kind`] may know a name. Looks at its last four characters.
#[inline]
fn may_name_credential(name: &[u8]) -> bool {
    match name.last_chunk::<4>() {
        Some(end @ [.., last]) if last.is_ascii_alphabetic() => {
            let at = end_index(*end);
            VOCABULARY.ends.get(at / 64).is_none_or(|word| word & 1 << (at % 64) != 0)
        }
        Some(_) | None => true,
    }
}

/// Whether a value of a name of this kind is a credential.
pub(super) fn is_credential(kind: Kind, value: &str) -> bool {
    let value = value.trim();
    match kind {
        Kind::Secret => !is_harmless(value),
        Kind::Plural => !is_harmless(value) && !is_count(value),
        Kind::Scheme => !is_harmless(value) && !is_scheme(value),
        Kind::Forward => !is_harmless(value) && !is_scheme(value) && !contains(ASKED, value) && !is_address(value),
        Kind::Directory => !is_harmless(value) && !value.starts_with('/'),
        Kind::Code => !is_harmless(value) && !contains(WAYS, value) && !is_version(value),
        Kind::Doubtful => looks_random(value) && !LICENCES.contains(&value),
    }
}

/// Licences of SPDX whose names look random. No other one has enough digits and no dot.
const LICENCES: &[&str] = &["BSD-3-Clause-No-Nuclear-License-2014"];

/// How a password for one time is sent or made.
const WAYS: &[&str] = &["email", "sms", "totp", "hotp"];

/// Whether a value is numbers with dots between them.
fn is_version(value: &str) -> bool {
    value.contains('.')
        && value.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a value is a number, as `128k` is.
fn is_count(value: &str) -> bool {
    let thousands = value.strip_suffix(['k', 'K', 'm', 'M']).filter(|number| (1..=4).contains(&number.len()));
    thousands.unwrap_or(value).bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a value is a way to present a credential, or where one is needed: `/secret/*`, `same-origin`.
fn is_scheme(value: &str) -> bool {
    let is_folder = |path: &str| path.ends_with('/') && is_path(path);
    contains(SCHEMES, value) || value == "same-origin" || value.strip_suffix('*').is_some_and(is_folder)
}

/// What `swag_auth` may name, besides [`SCHEMES`].
const ASKED: &[&str] = &["authelia", "authentik", "tinyauth"];

/// Whether a value is a host and a port.
fn is_address(value: &str) -> bool {
    let is_host = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    value.split_once(':').is_some_and(|(host, port)| {
        host.starts_with(|first: char| first.is_ascii_lowercase())
            && host.bytes().all(is_host)
            && port.len() >= 2
            && port.parse::<u16>().is_ok_and(|number| number.to_string() == port)
    })
}

/// Values that switch something, or stand for no value.
const SWITCHES: &[&str] = &[
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "enable",
    "enabled",
    "disable",
    "disabled",
    "null",
    "nil",
    "none",
    "~",
    "undefined",
    "required",
    "optional",
    "always",
    "never",
];

/// Ways to present a credential.
pub(super) const SCHEMES: &[&str] = &[
    "anonymous",
    "apikey",
    "basic",
    "bearer",
    "certificate",
    "cert",
    "cram-md5",
    "digest",
    "external",
    "forward",
    "gssapi",
    "internal",
    "jwt",
    "kerberos",
    "ldap",
    "ldaps",
    "local",
    "login",
    "mtls",
    "negotiate",
    "ntlm",
    "oauth",
    "oauth2",
    "oidc",
    "openid",
    "pam",
    "password",
    "plain",
    "proxy",
    "radius",
    "saml",
    "scram",
    "scram-sha-256",
    "session",
    "tls",
    "token",
    "xoauth2",
];

/// Whether a value is no credential, whatever its name: nothing, a switch, a number below 1000, a reference to a
/// variable, the path of a file, or masked already.
fn is_harmless(value: &str) -> bool {
    value.is_empty()
        || value == super::MASK
        || contains(SWITCHES, value)
        || (value.len() <= 3 && value.bytes().all(|byte| byte.is_ascii_digit()))
        || value.bytes().all(|byte| byte == b'*')
        || is_reference(value)
        || is_path(value)
}

/// `$NAME`, `${NAME}`, `{{ … }}`, `<name>`.
pub(super) fn is_reference(value: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    if let Some(name) = value.strip_prefix("$$").or_else(|| value.strip_prefix('$')) {
        return is_name(name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name));
    }
    let inside = |open: &str, close: &str| value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    let is_plain = |byte: u8| byte.is_ascii_alphabetic() || b" ._-".contains(&byte);
    inside("{{", "}}").or_else(|| inside("<", ">")).is_some_and(|name| name.bytes().all(is_plain))
}

/// An absolute path of two parts or more.
fn is_path(value: &str) -> bool {
    if ["/run/secrets/", "/var/run/secrets/"].iter().any(|folder| value.starts_with(folder)) {
        return value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    }
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"/._-".contains(&byte);
    value.strip_prefix('/').is_some_and(|rest| rest.contains('/')) && value.bytes().all(is_plain)
}

/// Whether a value has the look of a generated credential: one long word of letters and digits.
pub(super) fn looks_random(value: &str) -> bool {
    let (mut letters, mut digits) = (0, 0);
    for byte in value.bytes() {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'a'..=b'z' | b'A'..=b'Z' => letters += 1,
            b'+' | b'/' | b'=' | b'_' | b'-' => {}
            _ => return false,
        }
    }
    letters + digits >= 16 && letters >= 2 && digits >= 2 && !value.starts_with('/')
}

/// Whether `word` is one of `words`, whatever its case.
fn contains(words: &[&str], word: impl AsRef<[u8]>) -> bool {
    words.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word.as_ref()))
}

/// The words of a name, the last one first.
#[derive(Clone)]
struct Words<'n>(&'n [u8]);

impl<'n> Iterator for Words<'n> {
    type Item = &'n [u8];

    fn next(&mut self) -> Option<&'n [u8]> {
        let other = self.0.iter().rev().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
        let name = self.0.get(..self.0.len() - other)?;
        let is = |at: usize, test: fn(&u8) -> bool| name.get(at).is_some_and(test);
        let mut start = name.len();
        while start > 0 && is(start - 1, u8::is_ascii_alphanumeric) {
            start -= 1;
            let begins_word = is(start, u8::is_ascii_uppercase)
                && start > 0
                && (is(start - 1, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                    || (is(start - 1, u8::is_ascii_uppercase) && is(start + 1, u8::is_ascii_lowercase)));
            if begins_word {
                break;
            }
        }
        let (rest, word) = name.split_at_checked(start)?;
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A name for every word that names a credential.
    pub(in crate::filter::credential) fn words() -> Vec<String> {
        let mut names: Vec<String> = WORDS.iter().map(|(word, _)| (*word).to_owned()).collect();
        for (second, firsts) in PAIRS {
            names.extend(firsts.iter().map(|first| format!("{first}_{second}")));
        }
        names.extend(ENDINGS.iter().filter(|ending| **ending != "pass").map(|ending| format!("x{ending}")));
        names.extend(BEFORE_PASS.iter().map(|before| format!("{before}pass")));
        names.extend(QUALIFIERS.iter().map(|qualifier| format!("password_{qualifier}")));
        names
    }

    #[track_caller]
    fn check(name: &str, kind: Option<Kind>) {
        assert_eq!(super::kind(name.as_bytes()), kind, "{name}");
    }

    #[test]
    fn the_last_word_of_a_name_decides() {
        for name in ["password", "db.password", "DB_PASSWORD", "dbPassword", "db/password", "db-password", "DBPassword"]
        {
            check(name, Some(Kind::Secret));
        }
        for name in ["password.length", "PASSWORD_FILE", "passwordFile", "auth.type", "token.ttl", "secret-name", ""] {
            check(name, None);
        }
    }

    #[test]
    fn words_count_in_any_case_and_with_a_number_or_a_qualifier_behind_them() {
        for name in words() {
            let kind = super::kind(name.as_bytes());
            assert!(kind.is_some(), "{name}");
            check(&name.to_uppercase(), kind);
            check(&format!("com.example.{name}"), kind);
            check(&format!("{name}_2"), kind);
            check(&format!("{name}_old"), kind);
        }
        check("password_v2", Some(Kind::Secret));
        check("2", None);
        check("password_old_2_v3_b64_old_2_v3_b64", None);
    }

    #[test]
    fn a_word_that_only_holds_such_a_word_is_none() {
        for name in [
            "bypass",
            "compass",
            "author",
            "authority",
            "tokenizer",
            "monkey",
            "keyboard",
            "secretary",
            "dsnow",
            "license",
        ] {
            let kind = super::kind(name.as_bytes());
            assert!(matches!(kind, None | Some(Kind::Doubtful)), "{name}");
        }
    }

    #[test]
    fn a_key_counts_by_the_word_before_it() {
        check("api_key", Some(Kind::Secret));
        check("apiKeys", Some(Kind::Plural));
        check("x.key", Some(Kind::Doubtful));
        check("ssh_public_key", None);
        check("sortKey", None);
    }

    #[test]
    fn who_is_asked_for_a_credential_may_be_the_value_of_some_names() {
        check("caddy.forward_auth", Some(Kind::Forward));
        check("swag_auth", Some(Kind::Forward));
        check("caddy.basicauth", Some(Kind::Scheme));
    }

    #[test]
    fn harmless_values_stay() {
        for value in [
            "",
            " ",
            "true",
            "Off",
            "7",
            "999",
            "***",
            "${NAME}",
            "$NAME",
            "$$NAME",
            "{{ a.b }}",
            "<password>",
            "[redacted]",
        ] {
            assert!(!is_credential(Kind::Secret, value), "{value}");
        }
        for value in ["/run/secrets/DB", "/etc/app/token.txt"] {
            assert!(!is_credential(Kind::Secret, value), "{value}");
        }
        for value in [
            "/run/secrets/a:b",
            "/run/secrets/a b",
            "1000",
            "a",
            "$ecret",
            "$ECRET!",
            "/abc",
            "/aB/c+d=",
            "truely",
            "{{a}}b",
            "<1234>",
        ] {
            assert!(is_credential(Kind::Secret, value), "{value}");
        }
        assert!(!is_credential(Kind::Plural, "4096") && is_credential(Kind::Plural, "a,b"));
        assert!(!is_credential(Kind::Plural, "128k") && is_credential(Kind::Plural, "12345k"));
        assert!(is_credential(Kind::Plural, "k"));
        assert!(!is_credential(Kind::Scheme, "Basic") && is_credential(Kind::Scheme, "Basic YTpi"));
        assert!(!is_credential(Kind::Scheme, "/a/*") && is_credential(Kind::Scheme, "/a*"));
        assert!(!is_credential(Kind::Forward, "a:80") && is_credential(Kind::Scheme, "a:80"));
        for value in ["a", "a:", "a:1", "a:080", "a:99999", "A:80", "a:80x", "1:80", "a b:80", "a:b:80"] {
            assert!(is_credential(Kind::Forward, value), "{value}");
        }
        assert!(!is_credential(Kind::Directory, "/srv") && is_credential(Kind::Directory, "srv"));
    }

    #[test]
    fn a_doubtful_value_is_masked_if_it_looks_random() {
        for value in ["0123456789abcdef", "AbCdEfGh12345678+/==", "a1b2c3d4-e5f6-a7b8"] {
            assert!(looks_random(value), "{value}");
        }
        for value in [
            "created_at",
            "0123456789012345",
            "abcdefghijklmnop",
            "/a1/b2/c3/d4/e5/f6/g7/h8",
            "a1b2 c3d4 e5f6 g7h8",
            "a1b2",
        ] {
            assert!(!looks_random(value), "{value}");
        }
    }
}
