//! The JSON Schema of the files: it accepts what the program accepts, and knows the keys that the program knows.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use dockveil::cli::{ConfigFiles, Environment, SchemaFile, ServeArgs};
use dockveil::command::schema_of;
use dockveil::config::Config;
use dockveil::yaml;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::docs;
use crate::harness::{Test, tests};
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[Test] = tests![
    examples_are_valid,
    files_with_an_error_are_invalid,
    an_unknown_key_is_invalid_everywhere,
    the_keys_are_those_that_the_program_knows
];

/// A YAML file as a JSON document, as editors read it.
fn value_of(node: &yaml::Node) -> Value {
    match &node.value {
        yaml::Value::Null => Value::Null,
        yaml::Value::Scalar { text, quoted: true } => json!(text),
        yaml::Value::Scalar { text, quoted: false } => match text.parse::<Value>() {
            Ok(plain @ (Value::Bool(_) | Value::Number(_))) => plain,
            Ok(_) | Err(_) => json!(text),
        },
        yaml::Value::Sequence(items) => items.iter().map(value_of).collect(),
        yaml::Value::Mapping(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (key.name.clone(), value_of(value))).collect())
        }
    }
}

fn documents(name: &str, text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|part| value_of(&yaml::parse(name, part).unwrap())).collect()
}

fn validator(file: SchemaFile) -> Validator {
    jsonschema::draft7::new(&schema_of(file).unwrap()).unwrap()
}

/// Every YAML file of a folder.
fn files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap())).collect()
}

/// The configurations, profiles and class files of the project and of its documents, each with the schema that it has.
fn examples() -> Vec<(SchemaFile, String, Value)> {
    let mut found = Vec::new();
    let mut add = |file, name: &str, text: &str| {
        found.extend(documents(name, text).into_iter().map(|document| (file, name.to_owned(), document)));
    };
    for folder in ["filters/profile", "filters/profile/client"] {
        for (name, text) in files(folder) {
            add(SchemaFile::Profile, &name, &text);
        }
    }
    for (name, text) in files("filters/class") {
        add(SchemaFile::Class, &name, &text);
    }
    for (name, text) in files("deploy") {
        add(SchemaFile::Config, &name, &text);
    }
    for block in docs::all_blocks().filter(|block| block.language == "yaml") {
        let name = format!("{}:{}", block.file, block.line);
        match docs::first_key(&block.text) {
            "profile" => add(SchemaFile::Profile, &name, &block.text),
            "class" => add(SchemaFile::Class, &name, &block.text),
            "services" => {}
            _ => add(SchemaFile::Config, &name, &block.text),
        }
    }
    found
}

fn examples_are_valid() {
    let examples = examples();
    for (file, least) in [(SchemaFile::Config, 3), (SchemaFile::Profile, 25), (SchemaFile::Class, 8)] {
        assert!(examples.iter().filter(|(of, ..)| *of == file).count() >= least, "{file:?}");
        let (validator, mut wrong) = (validator(file), String::new());
        for (_, name, document) in examples.iter().filter(|(of, ..)| *of == file) {
            for error in validator.iter_errors(document) {
                writeln!(wrong, "{name}: {}: {error}", error.instance_path()).unwrap();
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    }
}

fn files_with_an_error_are_invalid() {
    // A validator takes longer to make than all documents take.
    let validators = [SchemaFile::Config, SchemaFile::Profile, SchemaFile::Class].map(|file| (file, validator(file)));
    for (file, text) in [
        (SchemaFile::Config, "upstream: /var/run/docker.sock"),
        (SchemaFile::Config, "listeners: {listen: unix:///a}"),
        (SchemaFile::Config, "listeners: [{profile: dashboard}]"),
        (SchemaFile::Config, "listeners: [{listen: unix:///a, mode: rw}]"),
        (SchemaFile::Config, "listeners: [{listen: unix:///a, profile: dashboard, clients: [{uid: 1, profile: a}]}]"),
        (SchemaFile::Config, "listeners: [{listen: unix:///a, clients: []}]"),
        (SchemaFile::Config, "listeners: [{listen: unix:///a, clients: [{profile: dashboard}]}]"),
        (SchemaFile::Config, "listeners: [{listen: unix:///a, clients: [{uid: me, profile: dashboard}]}]"),
        (SchemaFile::Config, "upstream: http://engine:2375"),
        (SchemaFile::Config, "upstream: \"ssh://me:password@host\""),
        (SchemaFile::Config, "upstream: {ca: ca.pem}"),
        (SchemaFile::Config, "upstream: {address: \"tcp://a:1\", ca: ca.pem, cert: cert.pem}"),
        (SchemaFile::Config, "listeners: [{listen: \"tcp://a:1\", tls: {certificate: a, key: b, crl: c}}]"),
        (SchemaFile::Config, "listeners: [{listen: \"tcp://a:1\", insecure: maybe}]"),
        (SchemaFile::Config, "limits: {element: 16MB}"),
        (SchemaFile::Config, "limits: {depth: 1000}"),
        (SchemaFile::Config, "timeouts: {head: 10}"),
        (SchemaFile::Config, "timeouts: {response: 0s}"),
        (SchemaFile::Config, "listeners: [{listen: \"tcp://a:1\", hosts: [\"a:1\"]}]"),
        (SchemaFile::Config, "listeners: [{listen: \"tcp://a:1\", hosts: [\"*.a\"]}]"),
        (SchemaFile::Config, "listeners: [{listen: \"tcp://a:1\", hosts: [\"\"]}]"),
        (SchemaFile::Config, "listeners: [{listen: \"tcp://a:1\", origins: [a.example]}]"),
        (SchemaFile::Config, "api: {pin: newest}"),
        (SchemaFile::Config, "watch: sometimes"),
        (SchemaFile::Profile, "allow: [Ping]"),
        (SchemaFile::Profile, "profile: a\nallow: [ContainerLst]"),
        (SchemaFile::Profile, "profile: a\nshow: [everything]"),
        (SchemaFile::Profile, "profile: a\nshow: everything"),
        (SchemaFile::Profile, "profile: a\nevents: hidden"),
        (SchemaFile::Profile, "profile: a\ncontainers: {only: [{volume: a}]}"),
        (SchemaFile::Profile, "profile: a\ncontainers: {only: used}"),
        (SchemaFile::Profile, "profile: a\nparameters: {ContainerLst: all}"),
        (SchemaFile::Profile, "profile: a\nrules: [{on: Event}]"),
        (SchemaFile::Profile, "profile: a\nrules: [{on: Event, keep: $.a, remove: $.b}]"),
        (SchemaFile::Profile, "profile: a\nrules: [{on: Evnt, keep: $.a}]"),
        (SchemaFile::Profile, "profile: a\nedits: sometimes"),
        (SchemaFile::Class, "class: public\nfields: {}"),
        (SchemaFile::Class, "class: state"),
    ] {
        let document = value_of(&yaml::parse("a.yaml", text).unwrap());
        let (_, validator) = validators.iter().find(|(of, _)| *of == file).unwrap();
        assert!(!validator.is_valid(&document), "{text}");
        assert_ne!(errors_of(file, text), Vec::<String>::new(), "the program takes it: {text}");
    }
}

/// What the program says of a file that it reads as part of a configuration.
fn errors_of(file: SchemaFile, text: &str) -> Vec<String> {
    let folder = Folder::new();
    let config = match file {
        SchemaFile::Config => text.to_owned(),
        SchemaFile::Profile | SchemaFile::Class => {
            let inner = if file == SchemaFile::Profile { "profile" } else { "class" };
            fs::create_dir_all(folder.path("filters").join(inner)).unwrap();
            fs::write(folder.path("filters").join(inner).join("a.yaml"), text).unwrap();
            format!("listeners: [{{listen: \"unix://{}\"}}]\nfilters: [filters]\n", folder.path("socket").display())
        }
    };
    fs::write(folder.path("a.yaml"), config).unwrap();
    let files = ConfigFiles { config: Some(folder.path("a.yaml")), ..ConfigFiles::default() };
    match Config::load(&ServeArgs { files, ..ServeArgs::default() }, &Environment::default()) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// The places of objects with known keys below a schema: the steps to each, and its keys.
fn objects(
    schema: &Value,
    definitions: &Map<String, Value>,
    steps: &mut Vec<String>,
    found: &mut Vec<(Vec<String>, BTreeSet<String>)>,
) {
    if let Some(name) = schema["$ref"].as_str() {
        return objects(&definitions[name.strip_prefix("#/definitions/").unwrap()], definitions, steps, found);
    }
    for part in ["allOf", "anyOf"].iter().filter_map(|key| schema[*key].as_array()).flatten() {
        objects(part, definitions, steps, found);
    }
    let mut below = |step: &str, schema: &Value| {
        steps.push(step.to_owned());
        objects(schema, definitions, steps, found);
        steps.pop();
    };
    if schema["items"].is_object() {
        below("[]", &schema["items"]);
    }
    if schema["additionalProperties"].is_object() {
        // Only the names of operations are keys that are not listed.
        below("ContainerInspect", &schema["additionalProperties"]);
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    for (name, schema) in properties {
        below(name, schema);
    }
    found.push((steps.clone(), properties.keys().cloned().collect()));
}

/// A document in which there is `inner` behind these steps.
fn nested(steps: &[String], inner: Value) -> Value {
    steps.iter().rev().fold(inner, |inner, step| if step == "[]" { json!([inner]) } else { json!({ step: inner }) })
}

fn places(file: SchemaFile) -> Vec<(Vec<String>, BTreeSet<String>)> {
    let schema = schema_of(file).unwrap();
    let mut found = Vec::new();
    objects(&schema, schema["definitions"].as_object().unwrap(), &mut Vec::new(), &mut found);
    found
}

fn an_unknown_key_is_invalid_everywhere() {
    for file in [SchemaFile::Config, SchemaFile::Profile, SchemaFile::Class] {
        let validator = validator(file);
        for (steps, _) in places(file) {
            let document = nested(&steps, json!({"zzzzzzzzzz": 1}));
            let says = |error: jsonschema::ValidationError<'_>| error.to_string().contains("zzzzzzzzzz");
            assert!(validator.iter_errors(&document).any(says), "{file:?}: {document}");
        }
    }
}

/// The program lists the keys that it knows if it finds another one.
fn the_keys_are_those_that_the_program_knows() {
    let mut count = 0;
    for (steps, keys) in places(SchemaFile::Config) {
        let mut text = nested(&steps, json!({"zzzzzzzzzz": 1})).to_string();
        if steps.starts_with(&["profiles".to_owned(), "[]".to_owned()]) && steps.len() > 2 {
            text = text.replacen("[{", "[{\"profile\":\"a\",", 1);
        }
        let errors = errors_of(SchemaFile::Config, &text);
        let known = errors.iter().find_map(|error| error.split_once("unknown key \"zzzzzzzzzz\", expected "));
        let (_, known) = known.unwrap_or_else(|| panic!("{text}: {errors:#?}"));
        let words = known.trim_start_matches("one of ").replace("or an action:", "").replace(',', " ");
        let known: BTreeSet<String> = words.split_whitespace().map(str::to_owned).collect();
        // Objects of several kinds can be in one place, of which the program knows one.
        assert!(keys == known || steps.contains(&"allow".to_owned()), "{text}\nschema:  {keys:?}\nprogram: {known:?}");
        count += 1;
    }
    assert!(count > 25, "{count} places");
}
