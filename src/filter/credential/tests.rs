use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::time_limit::cpu_time;

/// The table of credentials and of texts that are none.
const TABLE: &str = include_str!("../../../fixtures/credentials.tsv");

/// What `text` becomes as a value without a name.
#[track_caller]
fn check(text: &str, after: &str) {
    assert_eq!(mask("", text), after, "{text}");
    assert_eq!(mask("", after), after, "masking twice is masking once");
}

/// What the elements of an array become.
#[track_caller]
fn check_elements(elements: &[&str], after: &[&str]) {
    let mut arguments = Arguments::default();
    let masked: Vec<_> = elements.iter().map(|element| mask_element(&mut arguments, element)).collect();
    assert_eq!(masked, after, "{elements:?}");
    let mut arguments = Arguments::default();
    let twice: Vec<_> = after.iter().map(|element| mask_element(&mut arguments, element)).collect();
    assert_eq!(twice, after, "masking twice is masking once");
}

/// The texts of the table.
fn texts() -> Vec<String> {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|line| line.split('\t').nth(2)).map(|text| text.replace('␤', "\n")).collect()
}

#[test]
fn every_pattern_compiles() {
    assert!(COMPILED.is_some());
}

#[test]
fn a_pattern_that_does_not_compile_masks_everything() {
    let broken = pattern::Pattern { anchors: &[], expression: "(" };
    let patterns = Compiled::new(PATTERNS.iter().chain([&broken]));
    assert!(patterns.is_none());
    for text in ["harmless", "", "password=x"] {
        assert_eq!(mask_with(patterns.as_ref(), text, scan::candidates), MASK);
    }
}

#[test]
fn elements_of_an_array_are_variables_or_arguments() {
    check_elements(&["TZ=UTC", "DB_PASSWORD=a b=c"], &["TZ=UTC", "DB_PASSWORD=[redacted]"]);
    check_elements(
        &["A_TOKEN=", "B_TOKEN=true", "X=http://u:p@h"],
        &["A_TOKEN=", "B_TOKEN=true", "X=http://u:[redacted]@h"],
    );
    check_elements(&["app", "--password", "a b", "-v"], &["app", "--password", "[redacted]", "-v"]);
    check_elements(&["app", "--password", "--verbose"], &["app", "--password", "--verbose"]);
    check_elements(&["app", "--token=a", "b"], &["app", "--token=[redacted]", "b"]);
    check_elements(&["/usr/bin/mysql", "-u", "root", "-pabc"], &["/usr/bin/mysql", "-u", "root", "-p[redacted]"]);
    check_elements(&["mysqldump", "-p", "abc", "shop"], &["mysqldump", "-p", "[redacted]", "shop"]);
    check_elements(&["curl", "-u", "a:b", "http://c"], &["curl", "-u", "a:[redacted]", "http://c"]);
    check_elements(&["redis-server", "--requirepass", "a"], &["redis-server", "--requirepass", "[redacted]"]);
    check_elements(&["docker", "login", "-p", "a"], &["docker", "login", "-p", "[redacted]"]);
    check_elements(&["app", "--password", "-hunter2"], &["app", "--password", "[redacted]"]);
    check_elements(&["app", "--password", "-Hunter!"], &["app", "--password", "[redacted]"]);
    check_elements(
        &["mc", "alias", "set", "a", "http://b", "c", "d"],
        &["mc", "alias", "set", "a", "http://b", "c", "[redacted]"],
    );
    check_elements(&["vault", "operator", "unseal", "-x", "a="], &["vault", "operator", "unseal", "-x", "[redacted]"]);
    check_elements(&["consul", "agent", "-encrypt", "a="], &["consul", "agent", "-encrypt", "[redacted]"]);
    check_elements(&["az", "login", "-u", "a", "-p", "b"], &["az", "login", "-u", "a", "-p", "[redacted]"]);
    check_elements(&["sqlplus", "-s", "a/b@c", "@d/e"], &["sqlplus", "-s", "a/[redacted]@c", "@d/e"]);
    for same in [
        &["docker", "run", "-p", "80:80", "-u", "1000:1000", "nginx"][..],
        &["docker", "run", "--name", "mysql", "-p", "127.0.0.1:3306:3306", "mysql"],
        &["ssh", "-p", "2222", "a@b"],
        &["psql", "-p", "5432"],
        &["sh", "-c", "exec app -p 80"],
        &["nginx", "-g", "daemon off;"],
        &["app", "--auth", "oidc", "--no-auth"],
        &["mysql", "--password", "-h127.0.0.1", "-P3306"],
        &["app", "--password", "-verbose", "--token", "-v", "--secret", "-Dx.y=1"],
        &["mc", "alias", "ls", "a", "b", "c", "d"],
        &["mc", "set", "a", "b", "c", "d"],
        &["sqlplus", "/nolog", "@a/b.sql"],
    ] {
        check_elements(same, same);
    }
}

#[test]
fn a_quote_ends_a_value_only_if_it_was_open_before() {
    check("sh -c 'TOKEN=abc exec app'", "sh -c 'TOKEN=[redacted] exec app'");
    check("don't: PASSWORD=ab'cd x", "don't: PASSWORD=[redacted] x");
    check("PASSWORD=ab\"cd x", "PASSWORD=[redacted] x");
    check("sh -c 'PASSWORD=' x", "sh -c 'PASSWORD=' x");
    check(r#"{"a":"token=abc","b":1}"#, r#"{"a":"token=[redacted]","b":1}"#);
    check(r#"{"token":"a\\","b":1}"#, r#"{"token":"[redacted]","b":1}"#);
    check(r#"{"token":"abc"#, r#"{"token":"[redacted]"#);
}

#[test]
fn masks_are_left_alone() {
    for same in
        ["[redacted]", "password=[redacted]", "http://a:[redacted]@b", "--token [redacted] x", "Bearer [redacted]"]
    {
        check(same, same);
    }
    check("password=[redacted]abc", "password=[redacted]");
    check("token ghp_0123456789abcdefghij[redacted]", "token [redacted]");
}

#[test]
fn words_that_are_not_ascii_are_kept_whole() {
    check("naïve password=crème x", "naïve password=[redacted] x");
    check("пароль password: тайна дальше", "пароль password: [redacted] дальше");
    check("😀:😀@😀 token=😀", "😀:😀@😀 token=[redacted]");
}

#[test]
fn every_word_that_names_a_credential_has_an_anchor() {
    for word in name::tests::words() {
        assert!(name::kind(word.as_bytes()).is_some(), "{word}");
        let text = format!("{word}=0123456789abcdef0123");
        assert!(scan::candidates(text.as_bytes()).has(Candidates::PAIR), "{word}");
    }
}

#[test]
fn every_token_is_long_enough_for_the_scan() {
    for (prefix, least) in token::tests::shortest() {
        assert!(prefix.len() + least >= scan::TOKEN_LEAST, "{prefix}");
        // Airtable's have a dot.
        let is_plain = prefix != "pat" && prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        assert_eq!(is_plain, token::PLAIN_PREFIXES.contains(&prefix), "{prefix}");
    }
}

#[test]
fn the_work_on_a_long_text_grows_with_its_length() {
    // Each of these makes some part look far ahead, or back, if it does so for every match.
    for part in [
        "password=",
        "key=",
        "auth=basic&",
        "token: {{a ",
        "pass='",
        "key=\\\"",
        "a:b@",
        "://",
        "<http://",
        "sk-ant-",
        "pat.",
        "eyJ.",
        "Basic ",
        "--password '",
        "mysql -p ",
        "login a password ",
        ":0123456789abcdef0123456789abcdef,",
        "[redacted]",
        "-----BEGIN A-----",
        "a:b:",
        "M.aaaaaa.",
        "password: |\n ",
        "token:1/",
        "token:1:",
        "token:1,",
        "token:latest-",
        "(\"token\",",
        "$2$",
        "=\"",
        "{\"password\":[",
        "PASSWORD 'a",
        "--token1:14:0a",
        "pwd=/a:",
        "?pwd=/a",
        "password=/run/secrets/a:",
        ";u=a;p=",
        "echo a|",
        "net user a ",
        "\"password\",\"a",
        "g==",
        "aQ== ",
        "0123456789abcdefg==",
        "0x0123456789abcdef",
        "1|",
        "1|a",
        "sk",
        "skA0",
        "tk_1",
        "claim-A",
        "sl.",
        "SUA",
        "eyJhIjoi",
        "0123456789abcdefghijABCDEFGHIJ ",
        "a://b:c ",
        "a://b:c d@",
        "a@b!c=",
        "a@!",
        "mc alias set ",
        "sqlplus a/b@",
        "vault operator unseal ; ",
        "vault operator unseal \\\n",
        "http://a:80, a@b ",
        "/password:ro,",
        "*:*:*:a:*",
        "sha512=",
        "vault login\n",
        "vault login\na ",
        "password:\\n  ",
        "\\n  password:\\n    a",
        "\"password\":\n  \"",
        "\"password\":\\n \\\"",
        "mc alias set --api ",
        "az login -p",
        "\\u0022g==",
        "%3D1|a_",
        "\\u0022sk",
        "\n-password:\n  a ",
        "--password -a1b2 ",
        "a:*:b:",
        "\na:5432:b:c:",
        "add_header a-key ",
        "add_header a-key \"",
        "config host add a b ",
        "password:\n a",
        "password:\n ",
        "password:\n",
        " password:\n\"",
        "PASSWORD=$(",
        "/password:",
        "otp=",
        "password: # a\n",
        "password: # ",
        "password:\n\n ",
        "password:\\n\\n",
        "password: &a ",
        "password: !",
        "password: |2 ",
        "password: |2 #\n a",
        "[\"vault\",\"login\",\"",
        "\",\"",
        "sqlplus -s ",
        "stats auth a",
        "_param token ",
        "add_header a-cache-key ",
        "password='auth:' ",
        "auth:' ",
        "\"auth:\" ",
        "\"auth:\" \"",
        "'auth:' a",
    ] {
        let text = part.repeat(TEXT_LIMIT / part.len());
        // A quadratic part takes ten times that, or more.
        check_work(&text, part, Duration::from_secs(4));
    }
}

/// Masks a text made of this part twice within this CPU time.
#[track_caller]
fn check_work(text: &str, part: &str, limit: Duration) {
    let start = cpu_time();
    let masked = mask("", text);
    assert_eq!(mask("", &masked), masked);
    assert!(cpu_time() - start < limit, "{part:?}: {:?}", cpu_time() - start);
}

#[test]
fn no_prefix_of_a_token_is_looked_behind_from_each_of_many() {
    for (prefix, least) in token::tests::shortest() {
        assert!(least < token::TOLD_WITHIN, "{prefix}");
        for behind in ["", "a", "A", "1", "-", "_", "."] {
            let part = format!("{prefix}{behind}");
            // A quadratic part takes ten times that, or more.
            check_work(&part.repeat(32 * 1024 / part.len()), &part, Duration::from_millis(500));
        }
    }
}

#[test]
fn a_text_that_is_too_long_to_search_is_masked_as_a_whole_if_it_may_hold_a_credential() {
    let long = "a b ".repeat(TEXT_LIMIT / 4 + 1);
    assert_eq!(mask("", &long), long);
    assert_eq!(mask("", &format!("{long} auth")), MASK);
    assert_eq!(mask("", "a b auth"), "a b auth");
}

/// Texts made of pieces of the table, of its punctuation, and of anything.
fn pieces() -> impl Strategy<Value = String> {
    let texts = texts();
    let piece = prop_oneof![
        6 => (prop::sample::select(texts.clone()), any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(|(text, one, two)| {
            let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let (one, two) = (*one.get(&ends), *two.get(&ends));
            text[one.min(two)..one.max(two)].to_owned()
        }),
        4 => prop::sample::select(texts),
        2 => prop::sample::select(vec![";p", "&P", "\"p\"", "%3D", "\t", "=", ":", " ", "\n", "\"", "'", "\\", "@", "//", "://", "&", "?", "-", ",", ".", "$", "{", "}", "[redacted]", "sha256:"]).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9]{0,40}",
        // A user and a password in base64 that has small letters and digits alone.
        1 => "cjox([a-e][yz0-2][dhlptx159][a-z0-9]){3,12}",
        1 => "\\PC{0,8}",
        1 => "[0-9TZ:.+-]{0,40}",
    ];
    prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_short_word_has_no_shape(text in "[a-zA-Z0-9._/:@ *=+-]{0,16}", behind in "[a-z@ ]{16}") {
        let around = format!("{text}{behind}");
        let chunk = around.as_bytes().first_chunk().unwrap();
        let scanned = is_clean(text.as_bytes());
        prop_assert!(scanned || !is_short_word(chunk, text.len()), "{text:?}");
        // Most are told.
        let is_word = text.len() < 16 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte));
        prop_assert_eq!(is_short_word(chunk, text.len()), is_word);
    }

    #[test]
    fn the_scan_misses_nothing(text in pieces()) {
        let patterns = COMPILED.as_ref();
        let with = mask_with(patterns, &text, scan::candidates);
        let without = mask_with(patterns, &text, |_| Candidates::ALL);
        prop_assert_eq!(&with, &without, "{:?}", text);
        prop_assert_eq!(mask_shapes(&with), with.as_ref());
        if matches!(with, Cow::Owned(_)) {
            prop_assert!(!is_clean(text.as_bytes()));
        }
    }

    #[test]
    fn the_scan_misses_nothing_in_a_text_without_separators(text in pieces()) {
        let is_word = |c: &char| c.is_ascii_alphanumeric() || "._/-".contains(*c);
        let words: String = text.chars().filter(is_word).collect();
        let marks: String = text.chars().map(|c| if is_word(&c) { c } else { '.' }).collect();
        for text in [words, marks] {
            let without = mask_with(COMPILED.as_ref(), &text, |_| Candidates::ALL);
            prop_assert_eq!(mask_shapes(&text), without, "{:?}", text);
        }
    }

    #[test]
    fn what_a_value_in_quotes_holds_hides_no_later_setting(
        name in prop::sample::select(vec!["password", "API_TOKEN", "-p.auth", "otp", "note", "/pass"]),
        separator in prop::sample::select(vec!["=", ": ", ":", " = "]),
        quote in prop::sample::select(vec!['"', '\'']),
        content in prop::collection::vec((
            prop::sample::select(vec!["auth", "token", "a", ""]),
            prop::sample::select(vec![":", "=", "=>", " ", "{", "[", "(", "/", "//", "@", "%3D", ";", "&", "?", ",", "<", ">", "|", "$", "--", "-p", "#", ""]),
        ), 0..3),
        between in prop::sample::select(vec![" ", "\n", ", ", "; ", ",", ";", " and "]),
        later in prop::sample::select(vec!["token=\"canary\"", "API_KEY='canary'", "db.password: canary", "secret=canary"]),
    ) {
        let content: String = content.iter().flat_map(|(word, mark)| [*word, *mark]).collect();
        let text = format!("{name}{separator}{quote}{content}{quote}{between}{later}");
        let masked = mask("", &text);
        prop_assert!(!masked.contains("canary"), "{text:?} {masked:?}");
    }

    #[test]
    fn a_masked_text_is_the_text_with_masks(text in pieces(), name in "[a-z._]{0,12}") {
        let masked = mask(&name, &text);
        // What is left stands in the text in this order.
        let mut rest = text.as_str();
        for part in masked.split(MASK) {
            let at = rest.find(part);
            prop_assert!(at.is_some(), "{text:?} {masked:?}");
            rest = &rest[at.unwrap() + part.len()..];
        }
        prop_assert_eq!(mask(&name, &masked), masked.as_ref());
    }
}
