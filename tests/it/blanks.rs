//! What replaces a hidden value is what typed clients expect there: those in Go, by a table of the types in their module,
//! and bollard, by its models.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::LazyLock;

use bollard_stubs::models;
use dockveil::api::operation;
use dockveil::filter::{Plan, Rule, Show, parse_rules};
use dockveil::schema::{Blank, Class, ClassSet, Field};
use dockveil::yaml;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::{Test, tests};
use crate::support::built_in::{catalogue, plan, profiles};
use crate::support::fixture::{self, Fixture};
use crate::support::leaves::leaves;

pub(crate) const TESTS: &[Test] = tests![
    samples_decode_and_other_types_do_not,
    every_blank_is_one_of_its_type,
    the_times_are_those_that_are_parsed,
    bollard_decodes_what_every_profile_leaves,
    bollard_decodes_documents_with_any_class_hidden
];

/// One field that a Go client parses: schema, path as in class files, type.
fn typed_fields() -> Vec<[String; 3]> {
    let text = std::fs::read_to_string(fixture::root().join("go-types.tsv")).unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()).collect()
}

/// Whether Go decodes a value, or a key, into a type. It accepts null for every type.
fn decodes(kind: &str, value: &Value) -> bool {
    let text = |parse: fn(&str) -> bool| value.as_str().is_some_and(|text| text.is_empty() || parse(text));
    let unsigned = |most: u64| value.as_u64().is_some_and(|number| number <= most);
    if value.is_null() {
        return true;
    }
    match kind {
        "time.Time" => value.as_str().is_some_and(is_time),
        "time.Duration" => value.is_i64() || value.is_u64(),
        "netip.Addr" => text(|text| text.parse::<IpAddr>().is_ok()),
        "netip.Prefix" => text(is_prefix),
        "network.HardwareAddr" => text(|text| text.split(':').filter(|byte| is_hex_byte(byte)).count() == 6),
        "network.Port" => text(is_port),
        "network.PortSet" => value.as_object().is_some_and(|ports| ports.keys().all(|port| is_port(port))),
        "[]byte" => text(|text| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))),
        "uint8" => unsigned(u64::from(u8::MAX)),
        "uint16" => unsigned(u64::from(u16::MAX)),
        "uint32" | "os.FileMode" => unsigned(u64::from(u32::MAX)),
        "uint" | "uint64" => unsigned(u64::MAX),
        other => panic!("unknown type {other}"),
    }
}

/// Whether a text is a time as in RFC 3339 with the offset `Z`. Go refuses an empty text.
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let (whole, fraction) =
        shape.strip_suffix('Z').map(|shape| shape.split_once('.').unwrap_or((shape, "0"))).unwrap_or_default();
    whole == "0000-00-00T00:00:00"
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte == b'0')
        && !text.contains("-00")
}

fn is_prefix(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= most)
}

fn is_port(text: &str) -> bool {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    number.parse::<u16>().is_ok() && ["tcp", "udp", "sctp"].contains(&protocol)
}

fn is_hex_byte(text: &str) -> bool {
    text.len() == 2 && u8::from_str_radix(text, 16).is_ok()
}

/// A value of a type as an engine sends it.
fn sample(kind: &str) -> Value {
    match kind {
        "time.Time" => json!("2026-11-23T22:43:59.670053174Z"),
        "netip.Addr" => json!("10.0.0.2"),
        "netip.Prefix" => json!("10.0.0.0/24"),
        "network.HardwareAddr" => json!("02:42:ac:11:00:02"),
        "network.Port" => json!("80/tcp"),
        "network.PortSet" => json!({"80/tcp": {}}),
        "[]byte" => json!("MTIz"),
        "uint" | "uint8" | "uint16" | "uint32" | "uint64" | "os.FileMode" | "time.Duration" => json!(7),
        other => panic!("unknown type {other}"),
    }
}

/// A document that holds nothing but this field.
fn document(path: &str, kind: &str) -> Value {
    let mut value = sample(kind);
    let mut rest = path.strip_suffix("..*").unwrap_or(path);
    if let Some(map) = rest.strip_suffix(".*~") {
        value = json!({ value.as_str().unwrap(): null });
        rest = map;
    }
    while rest != "$" {
        if let Some(before) = rest.strip_suffix("[*]") {
            (value, rest) = (json!([value]), before);
        } else {
            let (before, name) = rest.rsplit_once('.').unwrap();
            let name = if name == "*" { "key" } else { name };
            (value, rest) = (json!({ name: value }), before);
        }
    }
    value
}

fn applied(plan: &Plan, document: &Value) -> Value {
    let mut out = Vec::new();
    plan.apply(document.to_string().as_bytes(), &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// The values of a field in a document. A field that includes all below it has one, the whole.
fn found(schema: &str, path: &str, document: &Value) -> Vec<Value> {
    match path.strip_suffix("..*") {
        Some(whole) => document.pointer(&whole.replace('$', "").replace('.', "/")).cloned().into_iter().collect(),
        None => {
            let all = leaves(catalogue(), schema, document);
            all.into_iter().filter(|leaf| leaf.path == path).map(|leaf| leaf.value).collect()
        }
    }
}

fn samples_decode_and_other_types_do_not() {
    for [schema, path, kind] in typed_fields() {
        assert!(decodes(&kind, &sample(&kind)), "{schema} {path}");
        let bad = if sample(&kind).is_number() { json!("") } else { json!("?") };
        assert!(!decodes(&kind, &bad), "{schema} {path}");
    }
    assert!(!decodes("time.Time", &json!("")) && decodes("time.Time", &json!("0001-01-01T00:00:00Z")));
    assert!(!decodes("uint64", &json!(-1)) && !decodes("uint16", &json!(70_000)));
}

fn every_blank_is_one_of_its_type() {
    let mut blanks = 0;
    for [schema, path, kind] in typed_fields() {
        let document = document(&path, &kind);
        assert!(!found(&schema, &path, &document).is_empty(), "{schema} {path}: {document}");
        let compile = |classes, rules: &[Rule]| {
            Plan::compile(catalogue(), &schema, &Show { classes, ..Show::default() }, rules).unwrap()
        };
        let mut plans: Vec<Plan> =
            all_but_one().chain([ClassSet::EMPTY]).map(|classes| compile(classes, &[])).collect();
        if !path.ends_with('~') && !path.ends_with("..*") {
            plans.push(compile(ClassSet::ALL, &blank(&schema, &path)));
        }
        for plan in plans {
            let left = applied(&plan, &document);
            for value in found(&schema, &path, &left) {
                assert!(decodes(&kind, &value), "{schema} {path} ({kind}): {left}");
                blanks += usize::from(value != sample(&kind) && !path.ends_with('~'));
            }
        }
    }
    assert!(blanks > 60, "{blanks} blanks");
}

/// For each class, the set of all others.
fn all_but_one() -> impl Iterator<Item = ClassSet> {
    Class::ALL.into_iter().map(|hidden| Class::ALL.into_iter().filter(|class| *class != hidden).collect())
}

/// A rule that blanks one field.
fn blank(schema: &str, path: &str) -> Vec<Rule> {
    let text = format!("- on: {schema}\n  blank: \"{path}\"\n");
    parse_rules(&yaml::parse("rules.yaml", &text).unwrap(), |_| true).unwrap()
}

/// Times that Go keeps as text. Other clients parse them, bollard among them.
const TEXTS: [&str; 6] = [
    "ContainerInspect $.Created",
    "ContainerInspect $.State.FinishedAt",
    "ContainerInspect $.State.StartedAt",
    "ImageInspect $.Created",
    "SystemInfo $.SystemTime",
    "Volume $.CreatedAt",
];

/// `filters/blanks.yaml` and the table agree on times.
fn the_times_are_those_that_are_parsed() {
    fn times(field: &Field, way: &str, found: &mut Vec<String>) {
        if field.blank == Blank::Time {
            found.push(way.to_owned());
        }
        for (name, below) in &field.members {
            times(below, &format!("{way}.{name}"), found);
        }
        for (step, below) in [(".*", &field.any_member), ("[*]", &field.elements)] {
            below.iter().for_each(|below| times(below, &format!("{way}{step}"), found));
        }
    }
    let mut listed = Vec::new();
    for schema in catalogue().schemas() {
        times(schema.root(), &format!("{} $", schema.name()), &mut listed);
    }
    let fields = typed_fields().into_iter().filter(|[_, _, kind]| kind == "time.Time");
    let mut parsed: Vec<String> = fields.map(|[schema, path, _]| format!("{schema} {path}")).collect();
    parsed.extend(TEXTS.map(str::to_owned));
    parsed.sort();
    listed.sort();
    assert_eq!(listed, parsed);
}

/// Decodes a document with a model of bollard.
fn read<T: DeserializeOwned>(document: &[u8]) -> Result<(), String> {
    serde_json::from_slice::<T>(document).map(|_| ()).map_err(|error| error.to_string())
}

/// Decodes a document of a schema; `None` if bollard has no model for it.
fn decoded(schema: &str, document: &[u8]) -> Option<Result<(), String>> {
    Some(match schema {
        "ContainerSummary" => read::<models::ContainerSummary>(document),
        "ContainerInspect" => read::<models::ContainerInspectResponse>(document),
        "ContainerTop" => read::<models::ContainerTopResponse>(document),
        "ContainerChange" => read::<models::FilesystemChange>(document),
        "ContainerStats" => read::<models::ContainerStatsResponse>(document),
        "ImageSummary" => read::<models::ImageSummary>(document),
        "ImageInspect" => read::<models::ImageInspect>(document),
        "ImageHistory" => read::<models::ImageHistoryResponseItem>(document),
        "Volume" => read::<models::Volume>(document),
        "VolumeList" => read::<models::VolumeListResponse>(document),
        "NetworkSummary" => read::<models::NetworkSummary>(document),
        "NetworkInspect" => read::<models::NetworkInspect>(document),
        "SystemInfo" => read::<models::SystemInfo>(document),
        "SystemVersion" => read::<models::SystemVersion>(document),
        "SystemDataUsage" => read::<models::SystemDataUsageResponse>(document),
        "Service" => read::<models::Service>(document),
        "Task" => read::<models::Task>(document),
        "Node" => read::<models::Node>(document),
        "Swarm" => read::<models::Swarm>(document),
        "Secret" => read::<models::Secret>(document),
        "Config" => read::<models::Config>(document),
        "Plugin" => read::<models::Plugin>(document),
        "ExecInspect" => read::<models::ExecInspectResponse>(document),
        "Error" => read::<models::ErrorResponse>(document),
        _ => return None,
    })
}

/// A recorded document that bollard decodes as the engine sent it.
struct Decodable {
    fixture: &'static Fixture,
    document: Vec<u8>,
}

impl Decodable {
    /// Demands that bollard decodes what a plan leaves of the document, too.
    #[track_caller]
    fn check(&self, plan: &Plan, shown: &str) {
        let mut left = Vec::new();
        plan.apply(&self.document, &mut left).unwrap();
        let decoded = decoded(self.fixture.schema(), &left);
        assert!(
            decoded == Some(Ok(())),
            "{shown} {}: {decoded:?} {}",
            self.fixture.path,
            String::from_utf8_lossy(&left)
        );
    }
}

/// All of them, by schema.
fn decodable() -> &'static BTreeMap<&'static str, Vec<Decodable>> {
    static DECODABLE: LazyLock<BTreeMap<&str, Vec<Decodable>>> = LazyLock::new(|| {
        let mut found = BTreeMap::<_, Vec<_>>::new();
        for fixture in fixture::all() {
            let schema = fixture.schema();
            let documents = fixture.documents().iter().map(|document| document.to_string().into_bytes());
            let documents = documents.filter(|document| decoded(schema, document) == Some(Ok(())));
            found.entry(schema).or_default().extend(documents.map(|document| Decodable { fixture, document }));
        }
        let count: usize = found.values().map(Vec::len).sum();
        assert!(count > 300, "bollard decodes {count} documents");
        found
    });
    &DECODABLE
}

fn bollard_decodes_what_every_profile_leaves() {
    // A profile that allows nothing exists to be extended.
    for profile in profiles().iter().filter(|profile| !profile.allow.is_empty()) {
        let answers = profile.allow.keys().filter_map(|id| operation(id)?.schema());
        let mut count = 0;
        for schema in answers.chain(["Error"]).collect::<BTreeSet<_>>() {
            let plan = plan(&profile.name, schema);
            for document in decodable().get(schema).into_iter().flatten() {
                document.check(&plan, &profile.name);
                count += 1;
            }
        }
        assert!(count > 20, "{count} documents of {}", profile.name);
    }
}

fn bollard_decodes_documents_with_any_class_hidden() {
    for classes in all_but_one().chain([ClassSet::EMPTY]) {
        let show = Show { classes, ..Show::default() };
        let shown: Vec<&str> = show.classes.iter().map(Class::as_str).collect();
        for (schema, documents) in decodable() {
            let plan = Plan::compile(catalogue(), schema, &show, &[]).unwrap();
            documents.iter().for_each(|document| document.check(&plan, &shown.join(", ")));
        }
    }
}
