//! Generated filter expressions on generated texts: what the expression selects is what the path library selects in the tree that
//! `serde_json` makes of the text.

use super::*;

/// How a value is written: scalars in every spelling, white space, escapes in names, and names that occur twice.
fn text() -> impl Strategy<Value = String> {
    let scalar = select(vec![
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "1.0",
        "10e-1",
        "1E+0",
        "2",
        "1.5",
        "15e-1",
        "\"\"",
        "\"x\"",
        "\"\\u0078\"",
        "\"xy\"",
        "\"a\\/b\"",
        "\"a/b\"",
        "\"\\ud83d\\ude00\"",
        "\"q\\\"\\n\u{e9}\"",
    ])
    .prop_map(str::to_owned);
    let space = || select(vec!["", "", " ", "\n\t"]);
    scalar.prop_recursive(4, 40, 5, move |inner| {
        let key = select(vec!["\"a\"", "\"\\u0061\"", "\"b\"", "\"\\u0062\"", "\"c\"", "\"d e\"", "\"d\\u0020e\""]);
        let elements = (vec(inner.clone(), 0..5), space())
            .prop_map(|(elements, space)| format!("[{space}{}{space}]", elements.join(&format!("{space},{space}"))));
        let members = (vec((key, inner), 0..5), space(), 0..8_u8).prop_map(|(mut members, space, kind)| {
            if kind > 0 {
                let mut known = BTreeSet::new();
                members.retain(|(key, _)| known.insert(serde_json::from_str::<String>(key).unwrap()));
            }
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("{key}{space}:{space}{value}")).collect();
            format!("{{{space}{}{space}}}", members.join(&format!("{space},{space}")))
        });
        prop_oneof![elements, members]
    })
}

/// A query for one value.
fn single() -> impl Strategy<Value = String> {
    let step = select(vec![".a", ".b", "['d e']", "[0]", "[1]", "[-1]", "['\\u0061']"]);
    (select(vec!["@", "@", "@", "$"]), vec(step, 0..3)).prop_map(|(start, steps)| format!("{start}{}", steps.concat()))
}

/// A query for any number of values.
fn nodes() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => single(),
        1 => (single(), select(vec![".*", "..a", "..*", "[::2]", "[1:]", "['a','b']", "..[0]"]))
            .prop_map(|(query, rest)| format!("{query}{rest}")),
        1 => select(vec!["@.a[?@ == 1]", "@.a[?@.b]", "@.b[?match(@, 'x.*') || @.a > $.a]", "@.*[?@.a == @.b]"])
            .prop_map(str::to_owned),
    ]
}

fn operand() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => single(),
        3 => select(vec!["1", "0", "-1", "1.5", "2", "'x'", "'a/b'", "'q\"'", "true", "false", "null", "''", "'\\ud83d\\ude00'"])
            .prop_map(str::to_owned),
        1 => single().prop_map(|query| format!("length({query})")),
        1 => nodes().prop_map(|query| format!("value({query})")),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    let relation = || select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let pattern = select(vec!["x.*", ".", "[a-z/]+", "x|xy", "(x|y)*", "q.*", "\\\\p{L}+"]);
    let atom = prop_oneof![
        3 => (operand(), relation(), operand()).prop_map(|(left, is, right)| format!("{left} {is} {right}")),
        2 => nodes(),
        2 => nodes().prop_map(|query| format!("!{query}")),
        3 => (select(vec!["match", "search"]), single(), pattern)
            .prop_map(|(function, query, pattern)| format!("{function}({query}, '{pattern}')")),
        1 => (nodes(), relation(), 0..4_u8).prop_map(|(query, is, count)| format!("count({query}) {is} {count}")),
    ];
    atom.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} && {right})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} || {right})")),
            inner.prop_map(|part| format!("!({part})")),
        ]
    })
}

/// Whether an object in the text has two members of one name.
fn has_duplicates(text: &str) -> bool {
    // Without rules everything is copied, and such a text is refused.
    let plan = Plan::compile_rules(&[]).unwrap();
    plan.apply(text.as_bytes(), &mut Vec::new()) == Err(FilterError::DuplicateKey)
}

#[test]
fn an_expression_selects_what_the_library_selects_however_the_text_is_written() {
    let texts = || vec(prop_oneof![vec(text(), 1..5).prop_map(|parts| format!("[{}]", parts.join(","))), text()], 4);
    run(400, (expression(), texts()), |(expression, texts)| {
        let Some(rule) = rule("redact", &format!("$[?{expression}]")) else { return 0 };
        let rules = [rule];
        let plan = Plan::compile_rules(&rules).unwrap();
        let mut compared = 0;
        for text in texts {
            let mut out = Vec::new();
            let result = plan.apply(text.as_bytes(), &mut out).map(|_| ());
            if has_duplicates(&text) {
                assert_eq!(result, Err(FilterError::DuplicateKey), "{expression} of {text}");
                continue;
            }
            let document: Value = serde_json::from_str(&text).unwrap();
            let expected = reference::left_by_rules(&rules, &document);
            let left = result.map(|()| serde_json::from_slice::<Value>(&out).unwrap());
            assert_eq!(left.map(Some), Ok(expected), "{expression} of {text}");
            compared += 1;
        }
        compared
    });
}
