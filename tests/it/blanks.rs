//! What stands in the place of a hidden value is still what typed clients expect there: those in Go, by a table of the types
//! that their module has, and bollard, by its models.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bollard_stubs::models;
use dockveil::api::operation;
use dockveil::filter::{Plan, Rule, Show, parse_rules};
use dockveil::policy::Policy;
use dockveil::profile::Profiles;
use dockveil::schema::{Blank, Catalogue, Class, ClassSet, Field};
use dockveil::yaml;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::fixture::{self, Fixture};
use crate::support::leaves::leaves;

/// One field that a Go client parses: schema, path as in class files, type.
fn typed_fields() -> Vec<[String; 3]> {
    let text = std::fs::read_to_string(fixture::root().join("go-types.tsv")).unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()).collect()
}

/// Whether Go decodes a value, or a key, into a type. Null leaves every type as it is.
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
        "uint16" => unsigned(u64::from(u16::MAX)),
        "uint32" => unsigned(u64::from(u32::MAX)),
        "uint64" => unsigned(u64::MAX),
        other => panic!("unknown type {other}"),
    }
}

/// RFC 3339 with an offset of `Z`, as Go reads it; an empty text is none.
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
        "uint16" | "uint32" | "uint64" | "time.Duration" => json!(7),
        other => panic!("unknown type {other}"),
    }
}

/// A document in which nothing is but this field.
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

/// The values of a field in a document, and whole where the field is all that is below it.
fn found(catalogue: &Catalogue, schema: &str, path: &str, document: &Value) -> Vec<Value> {
    match path.strip_suffix("..*") {
        Some(whole) => document.pointer(&whole.replace('$', "").replace('.', "/")).cloned().into_iter().collect(),
        None => {
            let all = leaves(catalogue, schema, document);
            all.into_iter().filter(|leaf| leaf.path == path).map(|leaf| leaf.value).collect()
        }
    }
}

#[test]
fn samples_and_the_judge_agree() {
    for [schema, path, kind] in typed_fields() {
        assert!(decodes(&kind, &sample(&kind)), "{schema} {path}");
        let bad = if kind.contains("int") || kind == "time.Duration" { json!("") } else { json!("?") };
        assert!(!decodes(&kind, &bad), "{schema} {path}");
    }
    assert!(!decodes("time.Time", &json!("")) && decodes("time.Time", &json!("0001-01-01T00:00:00Z")));
    assert!(!decodes("uint64", &json!(-1)) && !decodes("uint16", &json!(70_000)));
}

#[test]
fn every_blank_is_one_of_its_type() {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let mut blanks = 0;
    for [schema, path, kind] in typed_fields() {
        let document = document(&path, &kind);
        assert!(!found(&catalogue, &schema, &path, &document).is_empty(), "{schema} {path}: {document}");
        let all_but_one = Class::ALL.map(|hidden| Class::ALL.into_iter().filter(|class| *class != hidden).collect());
        let sets = all_but_one.into_iter().chain([ClassSet::EMPTY]);
        let mut plans: Vec<Plan> = sets
            .map(|classes| Plan::compile(&catalogue, &schema, &Show { classes, ..Show::default() }, &[]).unwrap())
            .collect();
        if !path.ends_with('~') && !path.ends_with("..*") {
            let show = Show { classes: ClassSet::ALL, ..Show::default() };
            plans.push(Plan::compile(&catalogue, &schema, &show, &blank(&schema, &path)).unwrap());
        }
        for plan in plans {
            let left = applied(&plan, &document);
            for value in found(&catalogue, &schema, &path, &left) {
                assert!(decodes(&kind, &value), "{schema} {path} ({kind}): {left}");
                blanks += usize::from(value != sample(&kind) && !path.ends_with('~'));
            }
        }
    }
    assert!(blanks > 200, "{blanks} blanks");
}

/// A rule that blanks one field.
fn blank(schema: &str, path: &str) -> Vec<Rule> {
    let text = format!("- on: {schema}\n  blank: \"{path}\"\n");
    parse_rules(&yaml::parse("rules.yaml", &text).unwrap(), |_| true).unwrap()
}

/// Times that Go keeps as text. Others parse them, bollard among them.
const TEXTS: [&str; 6] = [
    "ContainerInspect $.Created",
    "ContainerInspect $.State.FinishedAt",
    "ContainerInspect $.State.StartedAt",
    "ImageInspect $.Created",
    "SystemInfo $.SystemTime",
    "Volume $.CreatedAt",
];

/// `filters/blanks.yaml` and the table say the same of times.
#[test]
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
    for schema in dockveil::api::catalogue::built_in().unwrap().schemas() {
        times(schema.root(), &format!("{} $", schema.name()), &mut listed);
    }
    let fields = typed_fields().into_iter().filter(|[_, _, kind]| kind == "time.Time");
    let mut parsed: Vec<String> = fields.map(|[schema, path, _]| format!("{schema} {path}")).collect();
    parsed.extend(TEXTS.map(str::to_owned));
    parsed.sort();
    listed.sort();
    assert_eq!(listed, parsed);
}

/// What bollard makes of a document; an error in words.
fn read<T: DeserializeOwned>(document: &Value) -> Result<(), String> {
    serde_json::from_value::<T>(document.clone()).map(|_| ()).map_err(|error| error.to_string())
}

/// What bollard makes of a document of a schema; `None` where it has no model of it.
fn decoded(schema: &str, document: &Value) -> Option<Result<(), String>> {
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

/// The documents that bollard decodes as the engine sends them, with the recording and its schema.
fn decodable() -> Vec<(&'static Fixture, &'static str, &'static Value)> {
    let mut found = Vec::new();
    for fixture in fixture::all() {
        let schema = fixture.schema();
        for document in fixture.documents() {
            if decoded(schema, document) == Some(Ok(())) {
                found.push((fixture, schema, document));
            }
        }
    }
    assert!(found.len() > 300, "bollard decodes {} documents", found.len());
    found
}

#[test]
fn bollard_decodes_what_every_profile_leaves() {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let profiles = Profiles::built_in(&catalogue).unwrap();
    let documents = decodable();
    // One that allows nothing is there to be extended.
    for profile in profiles.iter().filter(|profile| !profile.allow.is_empty()) {
        Policy::compile(profile, &catalogue).unwrap();
        let schemas: Vec<&str> =
            profile.allow.keys().filter_map(|id| operation(id)?.schema()).chain(["Error"]).collect();
        let mut read = 0;
        for schema in &schemas {
            let plan = Plan::compile(&catalogue, schema, &profile.show, &profile.rules).unwrap();
            for (fixture, _, document) in documents.iter().filter(|(_, of, _)| of == schema) {
                let left = applied(&plan, document);
                assert_eq!(decoded(schema, &left), Some(Ok(())), "{} {}: {left}", profile.name, fixture.path);
                read += 1;
            }
        }
        assert!(read > 100, "{} documents of {}", read, profile.name);
    }
}

#[test]
fn bollard_decodes_documents_with_any_class_hidden() {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let documents = decodable();
    let all_but_one = Class::ALL.map(|hidden| Class::ALL.into_iter().filter(|class| *class != hidden).collect());
    for classes in all_but_one.into_iter().chain([ClassSet::EMPTY]) {
        let show = Show { classes, ..Show::default() };
        let mut plans = BTreeMap::new();
        for (fixture, schema, document) in &documents {
            let plan = plans.entry(*schema).or_insert_with(|| Plan::compile(&catalogue, schema, &show, &[]).unwrap());
            let left = applied(plan, document);
            let shown: Vec<&str> = show.classes.iter().map(Class::as_str).collect();
            assert_eq!(decoded(schema, &left), Some(Ok(())), "{} shows {shown:?}: {left}", fixture.path);
        }
    }
}
