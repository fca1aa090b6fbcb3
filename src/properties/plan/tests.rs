//! Generated documents, rules and catalogues for the properties of plans.

use super::*;
use crate::api::lists;
use crate::filter::{Action, NamesShown};
use crate::schema::{CatalogueFiles, Class, ClassSet};
use crate::yaml::Location as Line;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

mod expressions;

/// Documents per set of rules: compiling rules takes longer than applying them.
const DOCUMENTS: usize = 2;

/// Runs `test` on generated values. `test` returns how many documents it compared; rules without a plan compare none, and
/// `cases` documents are expected at least.
fn run<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> usize) {
    let compared = std::cell::Cell::new(0);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let result = TestRunner::new(config).run(&strategy, |value| {
        compared.set(compared.get() + test(value));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(compared.get() >= cases as usize, "compared only {} documents in {cases} cases", compared.get());
}

fn name() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "c", "d e", "Labels", "Env", "Options"]).prop_map(str::to_owned)
}

fn document() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..4_i64).prop_map(Value::from),
        select(vec![1.5, -2.0e30, 7.0]).prop_map(Value::from),
        select(vec!["", "x", "a", "A=1", "TZ=2", "TZ", "q\"\\\n=\u{e9}", "=",]).prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((name(), inner), 0..5).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn bound() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), (-4..5_i64).prop_map(|bound| bound.to_string())]
}

fn expression() -> impl Strategy<Value = String> {
    select(vec![
        "@.a",
        "!@.b",
        "@.a == 1",
        "@ == 'x'",
        "@.b != null",
        "@.a < 2 && @.b",
        "@.c || @ > 0",
        "@[0] == 1",
        "@['d e']",
        "match(@, '[a-z]')",
        "search(@.a, 'A|x')",
        "length(@) >= 2",
        "value(@..a) == 1",
        "@.a == $.a",
        "!($.b)",
        "@.*",
        "@..c",
        "@.a[?@ == 1]",
        "@ != @.a",
        "@.a == @.b",
        "@.a <= @.b",
        "@[-1] == 1",
        "@[::2]",
        "@[1:]",
        "count(@['a','a']) == 2",
        "count(@..*) > 2",
        "value(@.*) == 1",
        "@.a..[?@ > 0]",
        "match(@.a, 'A.|x') || search(@, '^[.x]$')",
        "length(@.a) < 2",
        "!(@.a && !@.b)",
    ])
    .prop_map(|expression| format!("?{expression}"))
}

fn pick() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => name().prop_map(|name| format!("'{name}'")),
        2 => Just("*".to_owned()),
        2 => (-3..4_i64).prop_map(|index| index.to_string()),
        1 => (bound(), bound()).prop_map(|(start, end)| format!("{start}:{end}")),
        1 => (bound(), bound(), -3..4_i64).prop_map(|(start, end, step)| format!("{start}:{end}:{step}")),
        1 => expression(),
    ]
}

fn segment() -> impl Strategy<Value = String> {
    let picks = prop_oneof![4 => vec(pick(), 1..2), 1 => vec(pick(), 2..4)];
    (prop_oneof![4 => Just(""), 1 => Just("..")], picks)
        .prop_map(|(descendant, picks)| format!("{descendant}[{}]", picks.join(",")))
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Keep),
        2 => Just(Action::Blank),
        2 => Just(Action::Remove),
        2 => Just(Action::Redact),
        2 => Just(Action::Mask),
        1 => Just(Action::Hash),
        1 => Just(Action::Replace("{\"a\":[1]}".parse().unwrap())),
    ]
}

fn rules(on: &'static [&'static str], count: usize) -> impl Strategy<Value = Vec<Rule>> {
    let rule = (vec(segment(), 0..4), action(), select(on)).prop_map(|(segments, action, on)| Rule {
        location: Line::file("case"),
        on: on.to_owned(),
        selector: format!("${}", segments.concat()).parse().unwrap(),
        action,
    });
    vec(rule, 0..count)
}

#[test]
fn rules_do_what_the_reference_does() {
    run(800, (rules(&["A"], 6), vec(document(), DOCUMENTS)), |(rules, documents)| {
        documents.iter().filter(|document| rules_agree_with_the_reference(&rules, document)).count()
    });
}

/// A catalogue of random lines of class files; lines that contradict earlier ones are dropped.
fn catalogue() -> impl Strategy<Value = Catalogue> {
    let step = prop_oneof![
        4 => name().prop_map(|name| format!("['{name}']")),
        1 => Just(".*".to_owned()),
        2 => Just("[*]".to_owned()),
    ];
    let suffix = prop_oneof![6 => Just(""), 1 => Just("..*"), 1 => Just(".*~")];
    let line = (any::<bool>(), select(vec!["A", "A", "B"]), vec(step, 0..4), suffix)
        .prop_map(|(state, schema, steps, suffix)| (state, schema, format!("${}{suffix}", steps.concat())));
    vec(line, 0..9).prop_map(|lines| {
        let mut found = read(&[]).unwrap();
        let mut good = Vec::new();
        for line in lines {
            good.push(line);
            match read(&good) {
                Some(catalogue) => found = catalogue,
                None => {
                    good.pop();
                }
            }
        }
        found
    })
}

fn read(lines: &[(bool, &str, String)]) -> Option<Catalogue> {
    let class = |class: &str, state: bool| {
        let paths = |schema: &str| {
            let lines = lines.iter().filter(|line| line.0 == state && line.1 == schema);
            lines.map(|(_, _, path)| format!("\n    - \"{path}\"")).collect::<String>()
        };
        let fields = ["A", "B"].map(|schema| (schema, paths(schema)));
        let fields = fields.iter().filter(|(_, paths)| !paths.is_empty());
        let fields: String = fields.map(|(schema, paths)| format!("\n  {schema}:{paths}")).collect();
        format!("class: {class}\nfields:{fields}\n")
    };
    let schemas = "schemas:\n  A:\n    - $.b: B\n    - $.c[*]: B\n  B:\n";
    let (state, secret) = (class("state", true), class("secret", false));
    // Types and presence follow from the text of a path, so that every case has some of each.
    const TYPES: [&str; 6] = ["string", "number", "boolean|string", "object", "array|string", "any"];
    let mut fields = String::new();
    for (_, schema, path) in lines {
        let seed = path.bytes().fold(path.len(), |seed, byte| seed.wrapping_mul(31) ^ usize::from(byte));
        fields.push_str(&format!("{schema}\t{path}\t{}\n", TYPES.get(seed % 7).copied().unwrap_or("B")));
        if seed % 3 != 0 {
            let ends = path.match_indices(']').map(|(end, _)| end + 1);
            fields.extend(ends.map(|end| format!("{schema}\t{}\tB\t\t\talways\n", &path[..end])));
        }
    }
    let lists_file = lists::document().ok()?;
    Catalogue::parse_files(CatalogueFiles {
        schemas: ("schemas", schemas),
        classes: &[("state", &state), ("secret", &secret)],
        lists: Some((&lists_file, &lists::ALL)),
        fields: Some(("fields", &fields)),
        ..CatalogueFiles::default()
    })
    .ok()
}

fn show() -> impl Strategy<Value = Show> {
    let classes = prop_oneof![
        6 => Just(ClassSet::EMPTY.with(Class::State)),
        1 => Just(ClassSet::EMPTY),
        1 => Just(ClassSet::ALL),
    ];
    let globs = || {
        select(vec![
            vec![],
            vec!["a", "T*"],
            vec!["*"],
            vec!["*", "!a"],
            vec!["!A", "!t*"],
            vec!["*=", "T*", "!a"],
            vec!["a="],
        ])
    };
    (classes, any::<bool>(), globs(), globs()).prop_map(|(classes, unknown, labels, env)| Show {
        classes,
        unknown,
        names: NamesShown::default()
            .with(lists::LABELS, labels)
            .with(lists::OPTIONS, env.clone())
            .with(lists::ENV, env),
        ..Show::default()
    })
}

#[test]
fn classes_do_what_the_reference_does() {
    run(600, (catalogue(), show(), vec(document(), DOCUMENTS)), |(catalogue, show, documents)| {
        let agrees = |document: &&Value| classes_agree_with_the_reference(&catalogue, "A", &show, &[], document);
        documents.iter().filter(agrees).count()
    });
}

#[test]
fn classes_and_rules_do_what_the_reference_does() {
    let strategy = (catalogue(), show(), rules(&["A", "A", "B"], 5), vec(document(), DOCUMENTS));
    run(600, strategy, |(catalogue, show, rules, documents)| {
        let agrees = |document: &&Value| classes_agree_with_the_reference(&catalogue, "A", &show, &rules, document);
        documents.iter().filter(agrees).count()
    });
}

#[test]
fn bytes_of_any_kind_are_survived() {
    let pieces = vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"b\"",
        "\"\\u0061\"",
        "1",
        "-",
        "1.5e",
        "tru",
        "true",
        "null",
        " ",
        "\n",
        "\"",
        "\\",
        "\u{e9}",
        "\u{0}",
    ];
    let text = vec(select(pieces), 0..14).prop_map(|pieces| pieces.concat().into_bytes());
    let whole = document().prop_map(|document| document.to_string().into_bytes());
    let cut = (document(), any::<prop::sample::Index>()).prop_map(|(document, at)| {
        let mut bytes = document.to_string().into_bytes();
        bytes.truncate(at.index(bytes.len() + 1));
        bytes
    });
    let strategy = (rules(&["A"], 3), vec(prop_oneof![2 => text, 1 => whole, 1 => cut], 8));
    run(100, strategy, |(rules, texts)| {
        let Ok(plan) = Plan::compile_rules(&rules) else { return 0 };
        texts.iter().for_each(|text| any_bytes_are_survived(&plan, text));
        texts.len()
    });
}
