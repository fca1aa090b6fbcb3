//! The catalogue against what is known of the API: every field that the OpenAPI documents or recordings have is in a class file.
//!
//! The same tests make `filters/fields.tsv`, the table of all fields: see "A new API version" in CONTRIBUTING.md.

mod openapi;
pub(crate) mod table;
pub(crate) mod versions;
mod walk;

use std::path::{Path, PathBuf};

use dockveil::api::{ApiVersion, FieldTable};
use dockveil::command::describe;
use dockveil::filter::Plan;
use dockveil::profile::Profiles;
use serde_json::{Value, json};

use self::openapi::Documents;
use self::table::Sources;
use crate::harness::{Test, tests};
use crate::support::generated;

pub(crate) const TESTS: &[Test] = tests![
    the_table_has_every_field_and_every_field_has_a_class,
    a_new_api_version_takes_a_recording_a_line_and_a_command,
    a_new_field_without_a_class_is_reported_and_hidden,
    openapi_documents_become_facts_without_texts,
    an_unknown_operation_in_a_document_is_reported,
    sources_that_contradict_each_other_are_reported
];

/// The folder of the package.
fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The OpenAPI documents to add: those named in `DOCKVEIL_OPENAPI`, with colons between them.
#[expect(clippy::disallowed_methods, reason = "the program reads its environment in `cli`, a test where it is")]
fn new_documents() -> Vec<PathBuf> {
    std::env::var_os("DOCKVEIL_OPENAPI").map(|paths| std::env::split_paths(&paths).collect()).unwrap_or_default()
}

fn the_table_has_every_field_and_every_field_has_a_class() {
    let mut sources = Sources::read(package());
    for path in new_documents() {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        sources.documents.add(&path.display().to_string(), &text);
    }
    generated::check("fixtures/openapi.tsv", &sources.documents.write());
    let table =
        sources.table().unwrap_or_else(|problems| panic!("{} problems:\n{}", problems.len(), problems.join("\n")));
    assert!(table.lines().count() > 1_300, "{} lines", table.lines().count());
    generated::check("filters/fields.tsv", &table);
}

/// A copy of the files that the table is made from, in a folder that goes away with it.
struct RepositoryCopy(PathBuf);

impl RepositoryCopy {
    /// A copy for the test called `name`.
    fn new(name: &str) -> Self {
        fn copy(from: &Path, to: &Path) {
            std::fs::create_dir_all(to).unwrap();
            for entry in std::fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                let to = to.join(entry.file_name());
                if entry.path().is_dir() {
                    copy(&entry.path(), &to);
                } else {
                    std::fs::copy(entry.path(), to).unwrap();
                }
            }
        }
        let folder = std::env::temp_dir().join(format!("dockveil-{name}-{}", std::process::id()));
        for part in ["filters", "fixtures"] {
            copy(&package().join(part), &folder.join(part));
        }
        Self(folder)
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.0.join(path)).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Adds a line to a class file.
    fn classify(&self, file: &str, schema: &str, field: &str) {
        let (before, after) = (format!("\n  {schema}:\n"), format!("\n  {schema}:\n    - {field}\n"));
        let text = self.read(file);
        assert_eq!(text.matches(&before).count(), 1, "{file}");
        self.write(file, &text.replace(&before, &after));
    }
}

impl Drop for RepositoryCopy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The name of a field that no engine has, and what is in it.
const INVENTED: (&str, &str) = ("InventedField", "invented-value");

/// Adds a recording of a newer API version, whose list of containers has [`INVENTED`].
fn record_invented(copy: &RepositoryCopy, newer: ApiVersion) -> Value {
    let mut list: Value = serde_json::from_str(&copy.read("fixtures/docker-29/v1.55/container_list.json")).unwrap();
    let container = &mut list.as_array_mut().unwrap()[0];
    container.as_object_mut().unwrap().insert(INVENTED.0.to_owned(), json!(INVENTED.1));
    let container = container.clone();
    copy.write(&format!("fixtures/docker-99/v{newer}/container_list.json"), &list.to_string());
    container
}

/// What the profile `dashboard` leaves of a container in a list.
fn through_dashboard(sources: &Sources, container: &Value) -> String {
    let profiles = Profiles::built_in(&sources.catalogue).unwrap();
    let dashboard = profiles.get("dashboard").unwrap();
    let plan = Plan::compile(&sources.catalogue, "ContainerSummary", &dashboard.show, &dashboard.rules).unwrap();
    let mut out = Vec::new();
    plan.apply(container.to_string().as_bytes(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What `dockveil catalogue --api VERSION ContainerSummary` writes with another table.
fn described(sources: &Sources, table: &str, version: ApiVersion) -> String {
    let schema = sources.catalogue.schema("ContainerSummary").unwrap();
    let mut out = Vec::new();
    describe(&sources.catalogue, &FieldTable::parse(table), schema, Some(version), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What CONTRIBUTING.md promises: a recording, a line in a class file, and the generator.
fn a_new_api_version_takes_a_recording_a_line_and_a_command() {
    let known = Sources::read(package()).table().unwrap();
    let newest: ApiVersion = known.lines().next().unwrap().strip_prefix("# API 1.24 to ").unwrap().parse().unwrap();
    let newer = ApiVersion::new(newest.minor() + 1);
    let line = format!("ContainerSummary\t$.{}\tstring\t{newer}\t\tsometimes", INVENTED.0);
    for (class, is_shown) in [("state", true), ("secret", false)] {
        let copy = RepositoryCopy::new(&format!("new-version-{class}"));
        let container = record_invented(&copy, newer);

        copy.classify(&format!("filters/class/{class}.yaml"), "ContainerSummary", &format!("$.{}", INVENTED.0));
        let sources = Sources::read(&copy.0);
        let table = sources.table().unwrap();

        let new: Vec<&str> = table.lines().filter(|line| !known.lines().any(|known| known == *line)).collect();
        assert_eq!(new, [format!("# API 1.24 to {newer}"), line.clone()]);
        assert_eq!(table.lines().count(), known.lines().count() + 1);
        let [before, after] = [newest, newer].map(|version| described(&sources, &table, version));
        assert!(!before.contains(INVENTED.0), "{before}");
        let of_field = after.lines().find(|line| line.contains(INVENTED.0)).unwrap();
        let of_field: Vec<&str> = of_field.split_whitespace().collect();
        assert_eq!(of_field, [&format!("$.{}", INVENTED.0), "string", class, &format!("{newer}+")]);
        assert_eq!(through_dashboard(&sources, &container).contains(INVENTED.1), is_shown, "{class}");
    }
}

fn a_new_field_without_a_class_is_reported_and_hidden() {
    let newer = ApiVersion::new(99);
    let copy = RepositoryCopy::new("no-class");
    let container = record_invented(&copy, newer);
    let sources = Sources::read(&copy.0);
    let file = format!("docker-99/v{newer}/container_list.json");
    assert_eq!(
        sources.table(),
        Err(vec![format!("ContainerSummary $.{} is in {file} and in no class file", INVENTED.0)])
    );
    let left = through_dashboard(&sources, &container);
    assert!(!left.contains(INVENTED.0) && !left.contains(INVENTED.1), "{left}");
}

/// An OpenAPI document as its authors write them: with a bracket and a quoted text that are continued at the margin.
const DOCUMENT: &str = r##"
swagger: "2.0"
info:
  version: "1.VERSION"
  description: |
    Not read: {
paths:
  /containers/json:
    get:
      summary: "A text
      over two lines"
      responses:
        200:
          description: "no error"
          schema:
            type: "array"
            items:
              $ref: "#/definitions/ContainerSummary"
        400:
          description: "bad parameter"
          schema:
            $ref: "#/definitions/ErrorResponse"
  /containers/{name}/export:
    get:
      responses:
        200:
          description: "an archive"
          schema:
            type: "string"
definitions:
  ContainerSummary:
    allOf:
      - $ref: "#/definitions/Sizes"
      - type: "object"
        required: ["Id"]
        properties:
          Id:
            type: "string"
          Labels:
            type: "object"
            additionalProperties:
              type: "string"
            example: {
              "a": "b"
            }
          os.version:
            type: ["string", "array"]
  Sizes:
    properties:
      SizeRw:
        type: "integer"
        format: "int64"
  ErrorResponse:
    type: "object"
    required: [message]
    properties:
      message:
        type: "string"
  NotReferredTo:
    type: "object"
"##;

/// What is kept of the facts of some documents, without the comments.
fn facts(documents: &Documents) -> Vec<String> {
    let text = documents.write();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.replace('\t', " ").trim_end().to_owned())
        .collect()
}

fn openapi_documents_become_facts_without_texts() {
    let document = |version: &str| DOCUMENT.replace("VERSION", version);
    let mut documents = Documents::default();
    documents.add("v1.40.yaml", &document("40"));
    let expected = [
        "ContainerSummary $ Sizes 1.40+",
        "ContainerSummary $ object 1.40+",
        "ContainerSummary $.Id string 1.40+ 1.40+",
        "ContainerSummary $.Labels object 1.40+",
        "ContainerSummary $.Labels.* string 1.40+",
        "ContainerSummary $['os.version'] string|array 1.40+",
        "ErrorResponse $ object 1.40+",
        "ErrorResponse $.message string 1.40+ 1.40+",
        "GET /containers/json $ array 1.40+",
        "GET /containers/json $[*] ContainerSummary 1.40+",
        "Sizes $ object 1.40+",
        "Sizes $.SizeRw integer 1.40+",
        "error $ ErrorResponse 1.40+",
    ];
    assert_eq!(facts(&documents), expected);
    assert_eq!(Documents::parse(&documents.write()), documents);

    let newer = document("41").replace("SizeRw", "SizeRootFs").replace("[\"Id\"]", "[]");
    documents.add("v1.41.yaml", &newer);
    let changed: Vec<String> =
        facts(&documents).into_iter().filter(|fact| !expected.contains(&fact.as_str())).collect();
    assert_eq!(
        changed,
        ["ContainerSummary $.Id string 1.40+ 1.40", "Sizes $.SizeRootFs integer 1.41+", "Sizes $.SizeRw integer 1.40"]
    );
    let both = documents.clone();
    documents.add("v1.41.yaml", &newer);
    assert_eq!(documents, both, "a document that is read again changes nothing");
}

fn an_unknown_operation_in_a_document_is_reported() {
    let document = DOCUMENT.replace("VERSION", "40").replace("/{name}/export", "/{name}/invented");
    let panic = std::panic::catch_unwind(|| Documents::default().add("v1.40.yaml", &document)).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.ends_with("operations that src does not list: [\"GET /containers/{name}/invented\"]"), "{message}");
}

fn sources_that_contradict_each_other_are_reported() {
    let mut sources = Sources::read(package());
    let mut problems = |line: &str| {
        let known = sources.overrides.len();
        sources.overrides.extend(table::overrides(line));
        let problems = sources.table().err().unwrap_or_default();
        sources.overrides.truncate(known);
        problems
    };
    let expected = [
        // Documents or class files have overtaken an override.
        ("ContainerSummary\t$.Id\t\t1.24\t", "override ContainerSummary $.Id: the documents say the same without it"),
        ("ContainerSummary\t$.Idd\tstring\t1.24\t", "override ContainerSummary $.Idd: no class file has this field"),
        ("Volume\t$.Idd\terror\t1.24\t1.30", "override Volume $.Idd: the documents do not have this error"),
        // Recordings show that an override is wrong.
        (
            "ContainerSummary\t$.Id\t\t1.24\t1.54",
            "ContainerSummary $.Id is in docker-29/v1.55/container_list.json, but only 1.24-1.54 has it",
        ),
        (
            "ContainerSummary\t$.State\tinteger\t1.24\t",
            "ContainerSummary $.State is string in docker-20.10/v1.24/container_list.json, expected integer",
        ),
    ];
    for (line, problem) in expected {
        let found = problems(line);
        assert!(found.iter().any(|found| found == problem), "{line:?}: {found:#?}");
    }
    assert_eq!(problems(""), Vec::<String>::new());
    let mut claims = |field: &str| {
        let name = ("ContainerSummary".to_owned(), field.to_owned());
        sources.always.insert(name.clone(), (24, None));
        let problems = sources.table().err().unwrap_or_default();
        sources.always.remove(&name);
        problems
    };
    assert_eq!(
        claims("$.SizeRw")[0],
        "ContainerSummary $.SizeRw is in always.tsv, but not in every object of docker-20.10/v1.41/container_list.json"
    );
    assert_eq!(claims("$.Idd"), ["ContainerSummary $.Idd is in always.tsv and in no class file"]);
}
