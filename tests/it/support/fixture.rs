//! Recorded answers of real engines: `fixtures/<engine>/v1.NN/<operation>[.<variant>].json`.

use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

use dockveil::api::{OPERATIONS, Operation, Response};
use serde_json::Value;

/// One recorded answer.
#[derive(Clone)]
pub(crate) struct Fixture {
    /// The file below `fixtures/`.
    pub(crate) path: String,
    /// The engine it was recorded from.
    pub(crate) engine: String,
    /// The minor version of the API it was recorded in.
    pub(crate) version: u16,
    /// The operation it answers, as `container_inspect`.
    pub(crate) operation: String,
    /// The bytes of the body.
    pub(crate) body: Vec<u8>,
    /// The documents in the body, parsed when they are first asked for.
    documents: OnceLock<Vec<Value>>,
}

impl Fixture {
    /// The name of its file, without the folder.
    pub(crate) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap()
    }

    /// The documents in its body.
    pub(crate) fn documents(&self) -> &[Value] {
        self.documents.get_or_init(|| self.documents_in(&self.body))
    }

    /// The documents in a body that answers its operation: the elements if that answers with an array, else the whole.
    pub(crate) fn documents_in(&self, body: &[u8]) -> Vec<Value> {
        if self.is_array() {
            let elements: Option<Vec<Value>> = serde_json::from_slice(body).unwrap();
            return elements.unwrap_or_default();
        }
        vec![serde_json::from_slice(body).unwrap()]
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

/// The engines with recordings, by name.
pub(crate) fn engines() -> &'static [String] {
    static ENGINES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let folders = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
        let recorded = folders.filter(|folder| folder.join("canaries.tsv").exists());
        let mut engines: Vec<String> =
            recorded.map(|folder| folder.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        engines.sort();
        engines
    });
    &ENGINES
}

/// All recorded JSON answers, by path.
pub(crate) fn all() -> &'static [Fixture] {
    static ALL: LazyLock<Vec<Fixture>> = LazyLock::new(|| {
        let mut found: Vec<Fixture> = engines().iter().flat_map(|engine| of_engine(engine)).collect();
        found.sort_by(|one, other| one.path.cmp(&other.path));
        found
    });
    &ALL
}

/// The recorded JSON answers of one engine.
fn of_engine(engine: &str) -> Vec<Fixture> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(root().join(engine)).unwrap() {
        let folder = folder.unwrap().path();
        let Some(version) = folder.file_name().unwrap().to_str().unwrap().strip_prefix("v1.") else { continue };
        let version = version.parse().unwrap();
        for file in std::fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            let Some(stem) = file.file_name().unwrap().to_str().unwrap().strip_suffix(".json") else { continue };
            found.push(Fixture {
                path: file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(),
                engine: engine.to_owned(),
                version,
                operation: stem.split('.').next().unwrap().to_owned(),
                body: std::fs::read(&file).unwrap(),
                documents: OnceLock::new(),
            });
        }
    }
    found
}

/// One recorded answer, by the file below `fixtures/`.
pub(crate) fn named(path: &str) -> &'static Fixture {
    all().iter().find(|fixture| fixture.path == path).unwrap_or_else(|| panic!("no fixture {path}"))
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
