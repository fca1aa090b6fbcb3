//! Tokens that are known by how they begin.

use std::ops::Range;

use super::name::looks_random;

/// The characters of a token after its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alphabet {
    /// Capital letters and digits.
    Capitals,
    /// The same, and `-`.
    CapitalsAndDashes,
    /// Hexadecimal digits.
    Hex,
    /// The same, and `-`.
    HexAndDashes,
    /// Letters and digits.
    Plain,
    /// Letters, digits and `_`.
    Word,
    /// Letters, digits, `_` and `-`: base64 for URLs.
    Url,
    /// The same, and `.`.
    Dotted,
    /// The same, and `=`.
    Wide,
    /// Base64: letters, digits, `+`, `/` and `=`.
    Base64,
}

impl Alphabet {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Capitals => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::CapitalsAndDashes => Self::Capitals.has(byte) || byte == b'-',
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::HexAndDashes => Self::Hex.has(byte) || byte == b'-',
            Self::Plain => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || byte == b'_',
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'),
            Self::Wide => Self::Dotted.has(byte) || byte == b'=',
            Self::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_'),
        }
    }
}

/// Within how many bytes a token must show what makes it one. No token is as long without a digit or a capital; and a text in which one
/// prefix follows another is not looked through from each of them to its end.
pub(super) const TOLD_WITHIN: usize = 256;

/// How tokens of one kind look.
pub(super) struct Token {
    /// How they begin. Case matters.
    pub(super) prefix: &'static str,
    alphabet: Alphabet,
    /// The fewest characters after the prefix.
    least: usize,
    /// Whether there are never more.
    is_exact: bool,
    /// Whether a digit is among them, or both small and capital letters: words begin like it, too.
    is_mixed: bool,
}

const fn token(prefix: &'static str, alphabet: Alphabet, least: usize) -> Token {
    Token { prefix, alphabet, least, is_exact: false, is_mixed: false }
}

impl Token {
    const fn exact(self) -> Self {
        Self { is_exact: true, ..self }
    }

    const fn mixed(self) -> Self {
        Self { is_mixed: true, ..self }
    }

    /// Whether a byte may stand after the prefix.
    pub(super) fn has(&self, byte: u8) -> bool {
        self.alphabet.has(byte)
    }

    /// Whether what stands after the prefix, all of it of the alphabet, is a token.
    fn accepts(&self, rest: &[u8]) -> bool {
        let has = |test: fn(&u8) -> bool| rest.iter().any(test);
        let is_mixed = || has(u8::is_ascii_digit) || (has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase));
        let is_long = if self.is_exact { rest.len() == self.least } else { rest.len() >= self.least };
        is_long && (!self.is_mixed || is_mixed())
    }
}

/// Every kind. Each is [`super::scan::TOKEN_LEAST`] characters or longer.
pub(super) const TOKENS: &[Token] = &[
    // Amazon: keys of users, sessions, and Bedrock.
    token("AKIA", Alphabet::Capitals, 16),
    token("ASIA", Alphabet::Capitals, 16),
    token("ABIA", Alphabet::Capitals, 16),
    token("ACCA", Alphabet::Capitals, 16),
    token("A3T", Alphabet::Capitals, 17),
    token("ABSK", Alphabet::Base64, 100),
    token("bedrock-api-key-", Alphabet::Base64, 20),
    token("IQoJb3JpZ2lu", Alphabet::Base64, 60),
    token("FwoGZXIvYXdz", Alphabet::Base64, 60),
    token("FQoGZXIvYXdz", Alphabet::Base64, 60),
    // GitHub.
    token("ghp_", Alphabet::Plain, 20),
    token("gho_", Alphabet::Plain, 20),
    token("ghu_", Alphabet::Plain, 20),
    token("ghs_", Alphabet::Plain, 20),
    token("ghr_", Alphabet::Plain, 20),
    token("v1.", Alphabet::Hex, 40),
    token("github_pat_", Alphabet::Word, 20),
    // GitLab.
    token("glpat-", Alphabet::Dotted, 16),
    token("gldt-", Alphabet::Url, 16),
    token("glrt-", Alphabet::Dotted, 16),
    token("glcbt-", Alphabet::Url, 16),
    token("glptt-", Alphabet::Url, 16),
    token("glft-", Alphabet::Url, 16),
    token("glimt-", Alphabet::Url, 16),
    token("glagent-", Alphabet::Url, 16),
    token("gloas-", Alphabet::Url, 16),
    token("glsoat-", Alphabet::Url, 16),
    token("glffct-", Alphabet::Url, 16),
    token("GR1348941", Alphabet::Url, 20),
    // Slack.
    token("xoxa-", Alphabet::Url, 11),
    token("xoxb-", Alphabet::Url, 11),
    token("xoxc-", Alphabet::Url, 11),
    token("xoxd-", Alphabet::Url, 11),
    token("xoxe-", Alphabet::Url, 11),
    token("xoxe.", Alphabet::Dotted, 11),
    token("xoxo-", Alphabet::Url, 11),
    token("xoxp-", Alphabet::Url, 11),
    token("xoxr-", Alphabet::Url, 11),
    token("xoxs-", Alphabet::Url, 11),
    token("xapp-", Alphabet::Url, 12),
    // Stripe. The keys `pk_…` are public.
    token("sk_live_", Alphabet::Plain, 16),
    token("sk_test_", Alphabet::Plain, 16),
    token("rk_live_", Alphabet::Plain, 16),
    token("rk_test_", Alphabet::Plain, 16),
    token("sk_prod_", Alphabet::Plain, 16),
    token("rk_prod_", Alphabet::Plain, 16),
    token("whsec_", Alphabet::Base64, 20),
    // Google: API keys, access tokens, client secrets.
    token("AIza", Alphabet::Url, 35),
    token("ya29.", Alphabet::Dotted, 20),
    token("1//0", Alphabet::Url, 40),
    token("APA91b", Alphabet::Url, 80),
    token("GOCSPX-", Alphabet::Url, 20),
    token("GOOG1E", Alphabet::Capitals, 40),
    // Registries of packages.
    token("npm_", Alphabet::Plain, 36),
    token("pypi-AgE", Alphabet::Url, 30),
    token("pypi-AgN", Alphabet::Url, 30),
    token("rubygems_", Alphabet::Hex, 40),
    token("dckr_pat_", Alphabet::Url, 16),
    token("dckr_oat_", Alphabet::Url, 16),
    token("AKCp", Alphabet::Plain, 60),
    token("cmVmd", Alphabet::Base64, 50),
    token("oy2", Alphabet::Plain, 43),
    token("CLOJARS_", Alphabet::Plain, 40),
    // Models.
    token("hf_", Alphabet::Plain, 30),
    token("api_org_", Alphabet::Plain, 30),
    token("sk-proj-", Alphabet::Url, 20),
    token("sk-ant-", Alphabet::Url, 20),
    token("sk-or-v1-", Alphabet::Hex, 32),
    token("sk-svcacct-", Alphabet::Url, 20),
    token("sk-admin-", Alphabet::Url, 20),
    token("sk-", Alphabet::Plain, 20),
    token("sk-lf-", Alphabet::Url, 30),
    token("sess-", Alphabet::Plain, 40),
    token("gsk_", Alphabet::Plain, 40),
    token("csk-", Alphabet::Plain, 40),
    token("pcsk_", Alphabet::Word, 40),
    token("tgp_v1_", Alphabet::Url, 40),
    token("tvly-", Alphabet::Url, 20),
    token("xai-", Alphabet::Plain, 40),
    token("pplx-", Alphabet::Plain, 40),
    token("r8_", Alphabet::Plain, 30),
    token("lsv2_", Alphabet::Word, 36),
    token("nvapi-", Alphabet::Url, 40),
    token("rpa_", Alphabet::Plain, 40),
    token("e2b_", Alphabet::Hex, 40),
    token("fw_", Alphabet::Plain, 20).mixed(),
    token("sk_", Alphabet::Hex, 48).exact(),
    token("esecret_", Alphabet::Plain, 20).mixed(),
    // Vault.
    token("hvs.", Alphabet::Url, 20),
    token("hvb.", Alphabet::Url, 20),
    token("hvr.", Alphabet::Url, 20),
    token("s.", Alphabet::Plain, 24).exact(),
    token("b.AAAA", Alphabet::Url, 80),
    // Swarms.
    token("SWMTKN-1-", Alphabet::Url, 16),
    token("SWMKEY-1-", Alphabet::Base64, 16),
    // Clouds and platforms.
    token("dop_v1_", Alphabet::Hex, 32),
    token("doo_v1_", Alphabet::Hex, 32),
    token("dor_v1_", Alphabet::Hex, 32),
    token("HRKU-", Alphabet::Url, 30),
    token("fo1_", Alphabet::Url, 40),
    token("fm1r_", Alphabet::Base64, 80),
    token("fm1a_", Alphabet::Base64, 80),
    token("fm2_", Alphabet::Base64, 80),
    token("tskey-", Alphabet::Url, 16),
    token("LTAI", Alphabet::Plain, 16),
    token("AQVN", Alphabet::Url, 35),
    token("t1.", Alphabet::Dotted, 90),
    token("rnd_", Alphabet::Plain, 28),
    token("tk-us-", Alphabet::Url, 40),
    token("sha256~", Alphabet::Url, 43),
    token("4b1d", Alphabet::Plain, 38).exact(),
    token("mdb_sa_sk_", Alphabet::Url, 36),
    token("AKID", Alphabet::Plain, 32),
    token("pscale_tkn_", Alphabet::Wide, 32),
    token("pscale_pw_", Alphabet::Wide, 32),
    token("pscale_oauth_", Alphabet::Wide, 32),
    token("sbp_", Alphabet::Hex, 40),
    token("sb_secret_", Alphabet::Url, 20),
    token("nfp_", Alphabet::Plain, 36),
    token("pul-", Alphabet::Hex, 40),
    token("dapi", Alphabet::Hex, 32),
    token("pnu_", Alphabet::Plain, 36),
    token("nbp_", Alphabet::Plain, 30),
    token("dp.pt.", Alphabet::Plain, 40),
    token("dp.st.", Alphabet::Dotted, 40),
    token("dp.ct.", Alphabet::Plain, 40),
    token("dt0c01.", Alphabet::Dotted, 60),
    token("v1.0-", Alphabet::Url, 140),
    token("pat", Alphabet::Dotted, 55),
    token("pat.", Alphabet::Dotted, 60),
    token("sat.", Alphabet::Dotted, 60),
    token("cfk_", Alphabet::Plain, 40),
    token("cfut_", Alphabet::Plain, 40),
    token("cfat_", Alphabet::Plain, 40),
    token("vcp_", Alphabet::Plain, 24).mixed(),
    token("vci_", Alphabet::Plain, 24).mixed(),
    token("vca_", Alphabet::Plain, 24).mixed(),
    token("vcr_", Alphabet::Plain, 24).mixed(),
    token("vck_", Alphabet::Plain, 24).mixed(),
    token("napi_", Alphabet::Plain, 40),
    token("ddp_", Alphabet::Plain, 36),
    token("ddo_", Alphabet::Plain, 36),
    token("essu_", Alphabet::Base64, 40).mixed(),
    token("ptr_", Alphabet::Base64, 43).mixed(),
    // Mail, messages, payment and shops.
    token("mfa.", Alphabet::Url, 60),
    token("pat-na1-", Alphabet::HexAndDashes, 36),
    token("pat-na2-", Alphabet::HexAndDashes, 36),
    token("pat-na3-", Alphabet::HexAndDashes, 36),
    token("pat-eu1-", Alphabet::HexAndDashes, 36),
    token("pat-ap1-", Alphabet::HexAndDashes, 36),
    token("claim-", Alphabet::Url, 20).exact().mixed(),
    token("sl.", Alphabet::Url, 100),
    token("sl.u.", Alphabet::Url, 100),
    token("tk_", Alphabet::Plain, 29).exact().mixed(),
    token("pdl_live_apikey_", Alphabet::Word, 50),
    token("pdl_sdbx_apikey_", Alphabet::Word, 50),
    token("pdl_ntfset_", Alphabet::Base64, 50),
    token("polar_oat_", Alphabet::Plain, 32).mixed(),
    token("polar_pat_", Alphabet::Plain, 32).mixed(),
    token("polar_whs_", Alphabet::Plain, 32).mixed(),
    token("SG.", Alphabet::Dotted, 40),
    token("key-", Alphabet::Hex, 32),
    token("xkeysib-", Alphabet::Url, 60),
    token("SK", Alphabet::Hex, 32).exact(),
    token("shpat_", Alphabet::Hex, 32),
    token("shpca_", Alphabet::Hex, 32),
    token("shppa_", Alphabet::Hex, 32),
    token("shpss_", Alphabet::Hex, 32),
    token("sq0atp-", Alphabet::Url, 20),
    token("sq0csp-", Alphabet::Url, 40),
    token("EAA", Alphabet::Plain, 80),
    token("EAAC", Alphabet::Plain, 40),
    token("EZAK", Alphabet::Plain, 54),
    token("EZTK", Alphabet::Plain, 54),
    token("EAAA", Alphabet::Url, 40),
    token("re_", Alphabet::Word, 33).exact(),
    token("FLWSECK-", Alphabet::Url, 20),
    token("FLWSECK_TEST-", Alphabet::Url, 12),
    token("shippo_live_", Alphabet::Hex, 40),
    token("shippo_test_", Alphabet::Hex, 40),
    token("duffel_live_", Alphabet::Wide, 40),
    token("duffel_test_", Alphabet::Wide, 40),
    token("fio-u-", Alphabet::Wide, 60),
    // Developers' tools and monitoring.
    token("ATATT3", Alphabet::Base64, 40),
    token("ATCTT3", Alphabet::Base64, 40),
    token("ATBB", Alphabet::Plain, 24),
    token("ATTA", Alphabet::Plain, 60),
    token("sgp_", Alphabet::Word, 40),
    token("CFPAT-", Alphabet::Url, 40),
    token("tfp_", Alphabet::Wide, 40),
    token("hcaik_", Alphabet::Plain, 40),
    token("eyJrIjoi", Alphabet::Base64, 40),
    // PASETO, and JSON Web Tokens in base64.
    token("v1.local.", Alphabet::Dotted, 32),
    token("v1.public.", Alphabet::Dotted, 32),
    token("v2.local.", Alphabet::Dotted, 32),
    token("v2.public.", Alphabet::Dotted, 32),
    token("v3.local.", Alphabet::Dotted, 32),
    token("v3.public.", Alphabet::Dotted, 32),
    token("v4.local.", Alphabet::Dotted, 32),
    token("v4.public.", Alphabet::Dotted, 32),
    token("ZXlK", Alphabet::Base64, 60),
    token("PMAK-", Alphabet::Url, 40),
    token("CCIPAT_", Alphabet::Word, 30),
    token("bkua_", Alphabet::Plain, 32),
    token("CCIPRJ_", Alphabet::Word, 30),
    token("bkaa_", Alphabet::Plain, 32),
    token("bkaj_", Alphabet::Dotted, 32).mixed(),
    token("bkct_", Alphabet::Plain, 32),
    token("tr_prod_", Alphabet::Plain, 16).mixed(),
    token("tr_stg_", Alphabet::Plain, 16).mixed(),
    token("tr_dev_", Alphabet::Plain, 16).mixed(),
    token("tr_pat_", Alphabet::Plain, 32).mixed(),
    token("signkey-prod-", Alphabet::Hex, 32),
    token("signkey-test-", Alphabet::Hex, 32),
    token("signkey-branch-", Alphabet::Hex, 32),
    token("figd_", Alphabet::Url, 30),
    token("lin_api_", Alphabet::Plain, 32),
    token("ntn_", Alphabet::Plain, 40),
    token("secret_", Alphabet::Plain, 40),
    token("glsa_", Alphabet::Word, 32),
    token("glc_", Alphabet::Base64, 32),
    token("NRAK-", Alphabet::Capitals, 20),
    token("NRII-", Alphabet::Url, 20),
    token("NRJS-", Alphabet::Hex, 16),
    token("sntrys_", Alphabet::Base64, 40),
    token("sntryu_", Alphabet::Hex, 40),
    token("sqp_", Alphabet::Hex, 40),
    token("squ_", Alphabet::Hex, 40),
    token("sqa_", Alphabet::Hex, 40),
    token("ico-", Alphabet::Plain, 32),
    token("aio_", Alphabet::Plain, 24),
    token("sk.eyJ", Alphabet::Dotted, 40),
    token("ops_eyJ", Alphabet::Base64, 20),
    token("amzn.mws.", Alphabet::Url, 30),
    token("A3-", Alphabet::CapitalsAndDashes, 30),
    token("API-", Alphabet::Capitals, 26),
    token("p8e-", Alphabet::Plain, 32),
    token("rdme_", Alphabet::Plain, 60),
    token("sm_aat_", Alphabet::Plain, 16),
    token("sm_pat_", Alphabet::Plain, 16),
    token("sm_sat_", Alphabet::Plain, 16),
    token("s-s4t2ud-", Alphabet::Hex, 60),
    token("s-s4t2af-", Alphabet::Hex, 60),
    token("waka_", Alphabet::Url, 36),
    token("phx_", Alphabet::Plain, 40),
    // Keys in base64: PEM, DER, OpenSSH; and of age.
    token("MII", Alphabet::Base64, 60),
    token("MHcCAQEE", Alphabet::Base64, 40),
    token("MC4CAQAwBQYDK2Vw", Alphabet::Base64, 20),
    token("b3BlbnNzaC1rZXktdjE", Alphabet::Base64, 20),
    token("LS0tLS1CRUdJTi", Alphabet::Base64, 16),
    token("AGE-SECRET-KEY-1", Alphabet::Capitals, 20),
    // Seeds of NATS: the kind of key, and an `A` that is always there.
    token("SUA", Alphabet::Capitals, 55).exact(),
    token("SAA", Alphabet::Capitals, 55).exact(),
    token("SOA", Alphabet::Capitals, 55).exact(),
    token("SNA", Alphabet::Capitals, 55).exact(),
    token("SCA", Alphabet::Capitals, 55).exact(),
    token("SXA", Alphabet::Capitals, 55).exact(),
    // A private key of Ethereum. Public digests are written like it there, and masked too: nothing tells them apart.
    token("0x", Alphabet::Hex, 64).exact(),
];

/// The prefixes of tokens that may have nothing but small letters and digits.
pub(super) const PLAIN_PREFIXES: &[&str] = &["0x", "4b1d", "dapi", "oy2"];

/// The characters of the secret of an Amazon key, which often stands beside it.
const AMAZON_SECRET: usize = 40;

/// Whether a word begins at `start`: no letter or digit stands before it, or one that ends an escape: `\\n`, `\\u0022`, `%20`.
pub(super) fn begins_word(text: &[u8], start: usize) -> bool {
    let before = text.get(..start).unwrap_or_default();
    match before {
        [.., b'\\', b'n' | b't' | b'r' | b'b' | b'f'] => true,
        [.., b'%', one, two] if one.is_ascii_hexdigit() && two.is_ascii_hexdigit() => true,
        [.., b'\\', b'u', one, two, three, four]
            if [one, two, three, four].iter().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            true
        }
        [.., last] => !last.is_ascii_alphanumeric(),
        [] => true,
    }
}

/// The token that begins at `start`, of the kind `token`.
pub(super) fn at(text: &str, start: usize, token: &Token) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let rest = bytes.get(start..)?.strip_prefix(token.prefix.as_bytes())?;
    let before = start.checked_sub(1).and_then(|before| bytes.get(before));
    // `cache-key-…` is the name of a cache.
    let is_name = token.prefix.starts_with("key") && before.is_some_and(|byte| b"_-".contains(byte));
    if is_name || !begins_word(bytes, start) {
        return None;
    }
    // Airtable's have a dot behind 14 letters, and Resend's a mark behind 8.
    let inside = match token.prefix {
        "pat" => Some((14, b'.')),
        "re_" => Some((8, b'_')),
        _ => None,
    };
    if inside.is_some_and(|(at, mark)| rest.get(at) != Some(&mark)) {
        return None;
    }
    let of_alphabet = |bytes: &[u8]| bytes.iter().take_while(|byte| token.alphabet.has(**byte)).count();
    let first = of_alphabet(rest.get(..TOLD_WITHIN).unwrap_or(rest));
    let is_random = match token.prefix {
        "sk-" => looks_random(text.get(start..start + token.prefix.len() + first)?),
        // What a cluster claims is named so, in small letters.
        "claim-" => rest.iter().take(first).any(u8::is_ascii_uppercase),
        _ => true,
    };
    if !is_random || !token.accepts(rest.get(..first)?) {
        return None;
    }
    let end = start + token.prefix.len() + first + of_alphabet(rest.get(first..)?);
    Some(start..if token.least == 16 && token.alphabet == Alphabet::Capitals { with_secret(bytes, end) } else { end })
}

/// The end of an Amazon key, with the secret that stands beside it.
fn with_secret(text: &[u8], end: usize) -> usize {
    let rest = text.get(end..).unwrap_or_default();
    let gap = rest.iter().take(4).take_while(|byte| b" :;,|/\t\n\"'".contains(byte)).count();
    let secret = rest.get(gap..).unwrap_or_default();
    let is_secret = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    match secret.iter().take_while(is_secret).count() {
        AMAZON_SECRET if gap > 0 => end + gap + AMAZON_SECRET,
        _ => end,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The prefix of each token, and the fewest characters behind it.
    pub(in crate::filter::credential) fn shortest() -> impl Iterator<Item = (&'static str, usize)> {
        TOKENS.iter().map(|token| (token.prefix, token.least))
    }

    #[test]
    fn a_token_begins_a_word_and_is_long_enough() {
        for token in TOKENS {
            let has = |byte: &u8| token.alphabet.has(*byte);
            let letters: String = b"a1B2".iter().filter(|byte| has(byte)).map(|byte| char::from(*byte)).collect();
            let mut run = letters.repeat(token.least);
            run.truncate(token.least);
            match token.prefix {
                "pat" => run.replace_range(14..15, "."),
                "re_" => run.replace_range(8..9, "_"),
                _ => {}
            }
            let text = format!("{}{run}", token.prefix);
            assert_eq!(at(&text, 0, token), Some(0..text.len()), "{text}");
            assert_eq!(at(&format!("x{text}"), 1, token), None, "{text}");
            assert_eq!(at(&text[..text.len() - 1], 0, token), None, "{text}");
            let longer = at(&format!("{text}1"), 0, token);
            assert_eq!(longer, (!token.is_exact).then_some(0..text.len() + 1), "{text}");
        }
    }

    #[test]
    fn a_token_that_words_begin_like_is_none_of_small_letters_alone() {
        for token in TOKENS.iter().filter(|token| token.is_mixed) {
            let text = format!("{}{}", token.prefix, "a".repeat(token.least));
            assert_eq!(at(&text, 0, token), None, "{text}");
        }
    }
}
