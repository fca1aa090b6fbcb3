//! Credentials made from published formats, and passwords under names of credentials, in many surroundings: `mask-values`
//! leaves no part of any.

use proptest::strategy::{Strategy, ValueTree};
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::credentials::shown;
use crate::harness::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    no_part_of_a_credential_of_a_known_format_is_left,
    what_stands_around_a_credential_stays,
    no_part_of_a_value_is_left_whose_name_says_password,
    no_part_of_a_password_in_an_address_is_left,
];

/// The longest part of a credential that may be left, in characters: fewer than the shortest telling prefix.
const REMAINDER: usize = 6;
/// The longest part of a password that may be left. The first characters of one are half of it.
const PASSWORD_REMAINDER: usize = 2;
/// How many credentials are made of each format.
const SAMPLES: usize = 3;

/// Where a credential may stand. `@` is its place.
const SURROUNDINGS: &[&str] = &[
    "@",
    "see @ for it",
    "\"@\"",
    "'@'",
    "`@`",
    "(@)",
    "[@]",
    "<@>",
    "a,@,b",
    "a;@;b",
    "X=@",
    "X=@;Y=1",
    "x: @",
    "--flag=@ --other",
    "--flag @ --other",
    "sh -c 'run @'",
    "first line\n@\nlast line",
    "https://example.test/path?x=@&y=1",
    "https://example.test/path?y=1&x=@",
    "https://example.test/a/@/b",
    "{\"x\":\"@\",\"y\":1}",
    "{\\\"x\\\":\\\"@\\\",\\\"y\\\":1}",
    "[\"a\",\"@\",\"b\"]",
];

/// How names of credentials end, as scanners of secrets list them.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "api key",
    "api token",
    "access token",
    "access key",
    "auth token",
    "client secret",
    "private key",
    "secret key",
    "encryption key",
    "credentials",
    "db password",
    "smtp pass",
    "webhook secret",
    "refresh token",
    "bearer token",
    "admin password",
    "root password",
    "jwt secret",
];

/// How a name and a value are written in a text. `#` is the name, `@` the value.
const PAIRS: &[&str] = &[
    "#=@",
    "#: @",
    "a=1 #=@ b=2",
    "a=1;#=@;b=2",
    "a=1,#=@,b=2",
    "export #=@",
    "\"#\": \"@\"",
    "{\"a\":1,\"#\":\"@\",\"b\":2}",
    "{\\\"a\\\":1,\\\"#\\\":\\\"@\\\"}",
    "'#' => '@'",
    "#=\"@\"",
    "--#=@",
    "--# @ --verbose",
    "--#=\"@\"",
    "https://example.test/?a=1&#=@&b=2",
    "<#>@</#>",
    "first: 1\n#: @\nlast: 2",
    "-D#=@",
];

/// Addresses with a user and a password. `@@` is the place of the password.
const ADDRESSES: &[&str] = &[
    "postgres://app:@@@db:5432/shop?sslmode=disable",
    "postgresql://app:@@@db/shop",
    "mysql://app:@@@db:3306/shop",
    "mariadb://app:@@@db/shop",
    "mongodb://app:@@@a:27017,b:27017/shop?replicaSet=rs0",
    "mongodb+srv://app:@@@cluster.example.test/shop",
    "redis://:@@@cache:6379/0",
    "rediss://default:@@@cache:6379",
    "amqp://app:@@@mq/vhost",
    "amqps://app:@@@mq:5671/%2f",
    "mqtt://app:@@@broker:1883",
    "nats://app:@@@nats:4222",
    "ldap://cn=app:@@@ldap:389",
    "smtp://app:@@@mail:587",
    "smtps://app%40example.test:@@@mail:465",
    "imaps://app:@@@mail",
    "ftp://app:@@@files/pub",
    "sftp://app:@@@files:22/pub",
    "clickhouse://app:@@@ch:9000/shop",
    "sqlserver://sa:@@@db:1433?database=shop",
    "jdbc:postgresql://app:@@@db/shop",
    "socks5://app:@@@proxy:1080",
    "rtsp://app:@@@camera:554/stream",
    "http://app:@@@proxy:3128",
    "https://app:@@@example.test/path",
    "git+https://app:@@@example.test/project.git",
];

/// The formats of the table: what they are, and the expression.
fn formats() -> Vec<(&'static str, &'static str)> {
    let table = include_str!("../../fixtures/secret-formats.tsv");
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| line.split_once('\t').unwrap_or_else(|| panic!("two columns: {line}"))).collect()
}

/// Texts of a format, the same in every run.
fn samples(expression: &str, count: usize) -> Vec<String> {
    let strategy = string_regex(expression).unwrap_or_else(|wrong| panic!("{expression}: {wrong}"));
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// What clients get of texts as labels and as variables without a telling name.
fn masked(texts: &[String]) -> [Vec<String>; 2] {
    let labels: serde_json::Map<_, _> =
        texts.iter().enumerate().map(|(at, text)| (format!("text{at}"), json!(text))).collect();
    let variables: Vec<String> = texts.iter().enumerate().map(|(at, text)| format!("TEXT{at}={text}")).collect();
    let left = shown(&json!({"Labels": labels, "Env": variables}));
    let labels = (0..texts.len()).map(|at| left["Labels"][format!("text{at}")].as_str().unwrap().to_owned());
    let variables = left["Env"].as_array().unwrap().iter();
    let value = |text: &str| text.split_once('=').unwrap().1.to_owned();
    [labels.collect(), variables.map(|text| value(text.as_str().unwrap())).collect()]
}

/// The longest part of `secret` that is in `text` and is longer than `most`, unless `around` has it too.
fn remainder<'s>(secret: &'s str, text: &str, around: &str, most: usize) -> Option<&'s str> {
    let starts = 0..secret.len().saturating_sub(most);
    let parts = starts.filter_map(|start| secret.get(start..=start + most));
    parts.into_iter().find(|part| text.contains(part) && !around.contains(part) && !"[redacted]".contains(part))
}

/// What an address of a hook may keep: everything but the part that is secret.
fn secret_of(sample: &str) -> &str {
    let at = ["/services/", "/webhooks/", "webhookb2/"].iter().find_map(|part| Some(sample.find(part)? + part.len()));
    sample.get(at.unwrap_or_default()..).unwrap_or_default()
}

fn no_part_of_a_credential_of_a_known_format_is_left() {
    let mut wrong = Vec::new();
    assert!(formats().len() >= 150, "{}", formats().len());
    for (what, expression) in formats() {
        for sample in samples(expression, SAMPLES) {
            let texts: Vec<String> = SURROUNDINGS.iter().map(|around| around.replace('@', &sample)).collect();
            for left in masked(&texts) {
                for (left, around) in left.iter().zip(SURROUNDINGS) {
                    if let Some(part) = remainder(secret_of(&sample), left, around, REMAINDER) {
                        wrong.push(format!("{what} in {around:?}: {part:?} of {sample:?} is left: {left:?}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

fn what_stands_around_a_credential_stays() {
    let mut wrong = Vec::new();
    for (what, expression) in formats() {
        let [sample] = &samples(expression, 1)[..] else { panic!("{what}") };
        if secret_of(sample) != sample {
            continue;
        }
        let texts: Vec<String> = SURROUNDINGS.iter().map(|around| around.replace('@', sample)).collect();
        let [labels, _] = masked(&texts);
        for (left, around) in labels.iter().zip(SURROUNDINGS) {
            let (before, after) = around.split_once('@').unwrap();
            // Other characters are part of some formats.
            let ends = after.starts_with([' ', ',', ';', '\n', '"', '\'', '\\']);
            if !left.starts_with(before) || (ends && !left.ends_with(after)) {
                wrong.push(format!("{what} in {around:?}: {left:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// The ways to write a name of several words.
fn spellings(words: &str) -> Vec<String> {
    let words: Vec<&str> = words.split(' ').collect();
    let capital = |word: &&str| format!("{}{}", word[..1].to_uppercase(), &word[1..]);
    let title: Vec<String> = words.iter().map(capital).collect();
    let camel = format!("{}{}", words[0], title[1..].concat());
    vec![
        words.join("_"),
        words.join("-"),
        words.join("_").to_uppercase(),
        title.concat(),
        camel,
        format!("app.{}", words.join(".")),
        format!("MY_{}_2", words.join("_").to_uppercase()),
    ]
}

fn no_part_of_a_password_in_an_address_is_left() {
    let mut wrong = Vec::new();
    // Characters that RFC 3986 §3.2.1 lets a password have, and percent encoding; then those that people leave unencoded.
    let values =
        ["[A-Za-z][A-Za-z0-9._~!$&'()*+;=-]{8,24}", "([A-Za-z]|%2[0-9A-F]|%40){8,16}", "[A-Za-z][A-Za-z0-9@:!#]{8,16}"];
    let values: Vec<String> = values.iter().flat_map(|expression| samples(expression, 6)).collect();
    for address in ADDRESSES {
        for value in &values {
            let whole = address.replace("@@", value);
            // In a list and between quotes the end of a password with a comma or a quote is not certain.
            let is_plain = !value.contains(['\'', ';', ',', '(', ')']);
            let around: Vec<&str> =
                SURROUNDINGS.iter().copied().filter(|text| is_plain || *text == "@" || *text == "X=@").collect();
            let texts: Vec<String> = around.iter().map(|text| text.replace('@', &whole)).collect();
            for left in masked(&texts) {
                for (left, around) in left.iter().zip(&around) {
                    if let Some(part) = remainder(value, left, &format!("{address}{around}"), PASSWORD_REMAINDER) {
                        wrong.push(format!("{address} in {around:?}: {part:?} of {value:?} is left: {left:?}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

fn no_part_of_a_value_is_left_whose_name_says_password() {
    let mut wrong = Vec::new();
    let values = ["[A-Za-z0-9]{8,20}", "[A-Za-z][A-Za-z0-9!%*+._~^-]{9,24}", "[a-z]{8}", "[0-9]{6,12}"];
    let values: Vec<String> = values.iter().flat_map(|expression| samples(expression, 2)).collect();
    for name in NAMES.iter().flat_map(|words| spellings(words)) {
        let pairs: Vec<String> = PAIRS.iter().map(|pair| pair.replace('#', &name)).collect();
        for value in &values {
            let texts: Vec<String> = pairs.iter().map(|pair| pair.replace('@', value)).collect();
            for left in masked(&texts) {
                for (left, around) in left.iter().zip(&pairs) {
                    if let Some(part) = remainder(value, left, around, PASSWORD_REMAINDER) {
                        wrong.push(format!("{around:?}: {part:?} of {value:?} is left: {left:?}"));
                    }
                }
            }
            let named = shown(&json!({"Labels": {&name: value}, "Env": [format!("{name}={value}")]}));
            if named != json!({"Labels": {&name: "[redacted]"}, "Env": [format!("{name}=[redacted]")]}) {
                wrong.push(format!("{named}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}
