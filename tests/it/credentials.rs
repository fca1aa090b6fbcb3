//! `mask-values` on the table of credentials: each is masked as its row says, and every other text stays.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use dockveil::api::lists::{ENV, LABELS};
use dockveil::filter::{NamesShown, Plan, Show};
use serde_json::{Value, json};

use crate::harness::{Test, tests};
use crate::support::built_in::catalogue;

pub(crate) const TESTS: &[Test] = tests![
    every_credential_is_masked_exactly_as_written,
    every_other_text_stays_as_it_is,
    masking_twice_is_masking_once,
    no_row_stands_in_the_table_twice,
];

/// One row of the table.
struct Row {
    kind: String,
    /// The name of the value, if it has one.
    name: Option<String>,
    text: String,
    masked: String,
}

impl Row {
    fn is_credential(&self) -> bool {
        self.text != self.masked
    }
}

/// The rows of `fixtures/credentials.tsv`.
fn rows() -> Vec<Row> {
    let table = include_str!("../../fixtures/credentials.tsv");
    let rows = table.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let cells: Vec<String> = line.split('\t').map(|cell| cell.replace('␤', "\n")).collect();
        let [kind, name, text, masked] = cells.try_into().unwrap_or_else(|_| panic!("four columns: {line}"));
        Row { kind, name: Some(name).filter(|name| name != "-"), text, masked }
    });
    rows.collect()
}

/// What clients get of the configuration of a container if every label and variable is shown, and credentials are masked.
pub(crate) fn shown(config: &Value) -> Value {
    static PLAN: LazyLock<Plan> = LazyLock::new(|| {
        let names = NamesShown::default().with(LABELS, ["*"]).with(ENV, ["*"]);
        let show = Show { names, mask: true, ..Show::default() };
        Plan::compile(catalogue(), "ContainerConfig", &show, &[]).unwrap()
    });
    let mut out = Vec::new();
    PLAN.apply(config.to_string().as_bytes(), &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// What clients get of the text of a row as a label.
fn label(row: &Row, text: &str) -> String {
    let name = row.name.as_deref().unwrap_or("text");
    let shown = shown(&json!({"Labels": {name: text}}));
    shown["Labels"][name].as_str().unwrap().to_owned()
}

/// What clients get of the text of a row as a variable.
fn variable(row: &Row, text: &str) -> String {
    let name = row.name.as_deref().unwrap_or("TEXT");
    let shown = shown(&json!({"Env": [format!("{name}={text}")]}));
    let element = shown["Env"][0].as_str().unwrap();
    element.strip_prefix(&format!("{name}=")).unwrap_or_else(|| panic!("{element}")).to_owned()
}

/// What the masks of a row stand for.
fn secrets(row: &Row) -> Vec<&str> {
    let mut secrets = Vec::new();
    let mut rest = row.text.as_str();
    let mut parts = row.masked.split("[redacted]");
    rest = rest.strip_prefix(parts.next().unwrap()).unwrap_or_else(|| panic!("{}", row.text));
    for part in parts {
        let end = if part.is_empty() { rest.len() } else { rest.find(part).unwrap_or_else(|| panic!("{}", row.text)) };
        secrets.push(&rest[..end]);
        rest = &rest[end + part.len()..];
    }
    secrets
}

fn every_credential_is_masked_exactly_as_written() {
    let (mut wrong, mut kinds) = (Vec::new(), BTreeSet::new());
    let rows: Vec<Row> = rows().into_iter().filter(Row::is_credential).collect();
    assert!(rows.len() >= 150, "{}", rows.len());
    for row in &rows {
        kinds.insert(row.kind.as_str());
        for found in [label(row, &row.text), variable(row, &row.text)] {
            if found != row.masked {
                wrong.push(format!("{:?} {}\n  {}\n  {found}", row.name, row.text, row.masked));
            }
            assert!(!found.to_lowercase().contains("canary"), "{found}");
            for secret in secrets(row) {
                assert!(!secret.is_empty() && !found.contains(secret), "{found} holds {secret}");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(kinds.len() >= 12, "{kinds:?}");
}

fn every_other_text_stays_as_it_is() {
    let rows: Vec<Row> = rows().into_iter().filter(|row| !row.is_credential()).collect();
    assert!(rows.len() >= 150, "{}", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        for found in [label(row, &row.text), variable(row, &row.text)] {
            if found != row.text {
                wrong.push(format!("{:?} {}\n  {found}", row.name, row.text));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn masking_twice_is_masking_once() {
    for row in rows() {
        assert_eq!(label(&row, &row.masked), row.masked, "{:?}", row.name);
        assert_eq!(variable(&row, &row.masked), row.masked, "{:?}", row.name);
    }
}

fn no_row_stands_in_the_table_twice() {
    let mut seen = BTreeSet::new();
    for row in rows() {
        assert!(seen.insert((row.name.clone(), row.text.clone())), "{:?} {}", row.name, row.text);
    }
}
