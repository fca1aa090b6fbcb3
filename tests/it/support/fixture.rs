//! Recorded answers of real engines: `fixtures/<engine>/v1.NN/<operation>[.<variant>].json`.

use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

use dockveil::api::{OPERATIONS, Operation, ResponseKind};
use dockveil::filter::Plan;
use serde_json::Value;

use super::built_in::catalogue;
use super::canary::{self, Canary};
use super::leaves::{Leaf, leaves};

/// One recorded answer.
pub(crate) struct Fixture {
    /// The file, below `fixtures/`.
    pub(crate) path: String,
    /// The engine it was recorded from.
    pub(crate) engine: String,
    /// The minor version of the API it was recorded in.
    pub(crate) version: u16,
    /// The operation it answers; `None` for an error, which answers any.
    pub(crate) operation: Option<&'static Operation>,
    /// The bytes of the body.
    pub(crate) body: Vec<u8>,
    documents: OnceLock<Vec<Value>>,
    leaves: OnceLock<Vec<Leaf>>,
    canaries: OnceLock<Vec<&'static Canary>>,
}

impl Fixture {
    /// The recording in a file that is called `name`.
    fn read(file: &Path, name: &str, engine: &str, version: u16) -> Self {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let stem = name.split('.').next().unwrap();
        let operation = OPERATIONS.iter().find(|operation| snake(operation.id) == stem);
        assert!(operation.is_some() || stem == "error", "{path}: no such operation");
        Self {
            path,
            engine: engine.to_owned(),
            version,
            operation,
            body: std::fs::read(file).unwrap(),
            documents: OnceLock::new(),
            leaves: OnceLock::new(),
            canaries: OnceLock::new(),
        }
    }

    /// The name of its file, without the folder.
    pub(crate) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap()
    }

    /// Whether it answers the operation with this id.
    pub(crate) fn answers(&self, id: &str) -> bool {
        self.operation.is_some_and(|operation| operation.id == id)
    }

    /// The schema of its documents.
    pub(crate) fn schema(&self) -> &'static str {
        let schema = self.operation.map_or(Some("Error"), Operation::schema);
        schema.unwrap_or_else(|| panic!("{}: no schema", self.path))
    }

    /// Whether its body is an array of documents.
    fn is_array(&self) -> bool {
        self.operation.is_some_and(|operation| matches!(operation.response, ResponseKind::Array(_)))
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

    /// The leaves of its documents.
    pub(crate) fn leaves(&self) -> &[Leaf] {
        let of_all =
            |documents: &[Value]| documents.iter().flat_map(|one| leaves(catalogue(), self.schema(), one)).collect();
        self.leaves.get_or_init(|| of_all(self.documents()))
    }

    /// The canaries in its body.
    pub(crate) fn canaries(&self) -> &[&'static Canary] {
        self.canaries.get_or_init(|| canary::found(&self.engine, &String::from_utf8_lossy(&self.body)))
    }

    /// Its body as a plan leaves it.
    pub(crate) fn filtered(&self, plan: &Plan) -> Vec<u8> {
        let mut out = Vec::new();
        let done =
            if self.is_array() { plan.apply_array(&self.body, &mut out) } else { plan.apply(&self.body, &mut out) };
        done.unwrap_or_else(|error| panic!("{}: {error}", self.path));
        out
    }
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
            if let Some(name) = file.file_name().unwrap().to_str().unwrap().strip_suffix(".json") {
                found.push(Fixture::read(&file, name, engine, version));
            }
        }
    }
    found
}

/// One recorded answer, by the file below `fixtures/`.
pub(crate) fn named(path: &str) -> &'static Fixture {
    all().iter().find(|fixture| fixture.path == path).unwrap_or_else(|| panic!("no fixture {path}"))
}

/// `container_inspect` for `ContainerInspect`.
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
