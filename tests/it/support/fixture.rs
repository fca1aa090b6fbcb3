//! Recorded answers of real engines: `fixtures/<engine>/v1.NN/<operation>[.<variant>].json`.

use std::path::{Path, PathBuf};

use dockveil::api::{OPERATIONS, Operation, Response};
use serde_json::Value;

/// One recorded answer.
#[derive(Clone)]
pub(crate) struct Fixture {
    /// The file below `fixtures/`.
    pub(crate) path: String,
    /// The engine it was recorded from.
    pub(crate) engine: String,
    /// The operation it answers, as `container_inspect`.
    pub(crate) operation: String,
    /// What it says.
    pub(crate) body: Vec<u8>,
}

impl Fixture {
    /// The documents in it, each of the schema that the operation has: the elements, where that answers with an array.
    pub(crate) fn documents(&self) -> Vec<Value> {
        if self.is_array() {
            let elements: Option<Vec<Value>> = serde_json::from_slice(&self.body).unwrap();
            return elements.unwrap_or_default();
        }
        vec![serde_json::from_slice(&self.body).unwrap()]
    }

    /// The operation it answers; an error answers any.
    pub(crate) fn answered(&self) -> Option<&'static Operation> {
        OPERATIONS.iter().find(|operation| snake(operation.id) == self.operation)
    }

    /// The schema of its documents.
    pub(crate) fn schema(&self) -> &'static str {
        if self.operation == "error" {
            return "Error";
        }
        let operation = self.answered().unwrap_or_else(|| panic!("{}: no such operation", self.path));
        operation.schema().unwrap_or_else(|| panic!("{}: no schema", self.path))
    }

    fn is_array(&self) -> bool {
        self.answered().is_some_and(|operation| matches!(operation.response, Response::Array(_)))
    }
}

/// A canary of an engine.
pub(crate) struct Canary {
    /// The text to look for.
    pub(crate) token: String,
    /// The class of the field it was planted in.
    pub(crate) class: String,
    /// Where it was planted.
    pub(crate) location: String,
}

/// The folder of the fixtures.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The engines with recordings.
pub(crate) fn engines() -> Vec<String> {
    let mut engines: Vec<String> = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("canaries.tsv").exists())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    engines.sort();
    engines
}

/// All recorded JSON answers.
pub(crate) fn all() -> Vec<Fixture> {
    let mut found = Vec::new();
    for engine in engines() {
        for version in std::fs::read_dir(root().join(&engine)).unwrap() {
            let version = version.unwrap().path();
            if !version.file_name().unwrap().to_str().unwrap().starts_with('v') {
                continue;
            }
            for file in std::fs::read_dir(&version).unwrap() {
                let file = file.unwrap().path();
                let name = file.file_name().unwrap().to_str().unwrap().to_owned();
                if let Some(stem) = name.strip_suffix(".json") {
                    found.push(Fixture {
                        path: file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(),
                        engine: engine.clone(),
                        operation: stem.split('.').next().unwrap().to_owned(),
                        body: std::fs::read(&file).unwrap(),
                    });
                }
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// One recorded answer, by the file below `fixtures/`.
pub(crate) fn named(path: &str) -> Fixture {
    all().into_iter().find(|fixture| fixture.path == path).unwrap_or_else(|| panic!("no fixture {path}"))
}

/// `container_inspect` of `ContainerInspect`.
pub(crate) fn snake(id: &str) -> String {
    let mut out = String::new();
    for character in id.chars() {
        if character.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}

/// The canaries planted in an engine.
pub(crate) fn canaries(engine: &str) -> Vec<Canary> {
    let text = std::fs::read_to_string(root().join(engine).join("canaries.tsv")).unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|row| {
        let mut columns = row.split('\t').map(str::to_owned);
        let mut next = || columns.next().unwrap();
        Canary { token: next(), class: next(), location: next() }
    })
    .collect()
}
