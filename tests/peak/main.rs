//! How much memory the filter takes. A target of its own, because its allocator counts for the whole process.
#![deny(dead_code)]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[expect(dead_code, reason = "no test of this target is ignored")]
#[path = "../support/harness.rs"]
mod harness;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dockveil::filter::{Plan, RecordFilter, Report};
use dockveil::policy::{Decision, Policy};
use dockveil::profile::Profiles;
use harness::{Missing, Suite, Test, tests};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const TESTS: &[Test] = tests![filtering_takes_no_more_memory_than_is_leased_for_it];

fn main() -> ExitCode {
    harness::run(&Suite { tests: &[TESTS], limit: Duration::from_secs(120), threads: Some(1), missing: Missing::Fails })
}

/// Documents are of about this many bytes: enough that growing buffers matter.
const SIZE: usize = 256 << 10;
const PROFILES: &str = "\
profile: plain
about: Shows labels, masked.
allow: [ContainerInspect, SystemEvents]
events: filtered
show: [identity, state, topology, free-text]
---
profile: everything
about: Shows everything, masked.
allow: [ContainerInspect, SystemEvents]
events: filtered
show: all
---
profile: ruled
about: Shows everything that no expression hides.
allow: [ContainerInspect, SystemEvents]
events: filtered
show: all
rules:
  - {on: ContainerInspect, remove: \"$.Config[?@.a == 1]\", unknown: true}
  - {on: ContainerInspect, remove: \"$.Config.Labels[?@ == $.Id]\"}
";

/// A part repeated until it has about `SIZE` bytes, with its number in place of `#`.
fn repeated(part: &str) -> String {
    let mut text = String::new();
    for number in 0.. {
        if text.len() >= SIZE {
            break;
        }
        let comma = if number == 0 { "" } else { "," };
        text.push_str(comma);
        text.push_str(&part.replace('#', &short(number)));
    }
    text
}

/// A number in as few characters as can be.
fn short(mut number: usize) -> String {
    const DIGITS: &[u8] =
        b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!$%&'()*+,-./:;<=>?@[]^_`{|}~ ";
    let mut text = String::new();
    while number > 0 {
        text.push(char::from(DIGITS[number % DIGITS.len()]));
        number /= DIGITS.len();
    }
    text
}

/// Documents of a container: what they have many of, and the text.
fn documents() -> Vec<(&'static str, String)> {
    let config = |members: &str| format!(r#"{{"Id":"c","Config":{{{members}}}}}"#);
    vec![
        ("nothing", format!(r#"{{"Id":"{}"}}"#, "x".repeat(SIZE))),
        ("labels", config(&format!(r#""Labels":{{{}}}"#, repeated(r##""#":"""##)))),
        ("escaped labels", config(&format!(r#""Labels":{{{}}}"#, repeated(r##""\n#":"""##)))),
        ("labels with credentials", config(&format!(r#""Labels":{{{}}}"#, repeated(r##""password#":"a=b""##)))),
        ("unknown members", config(&repeated(r##""#":0"##))),
        ("equal members", config(&repeated(r#""":0"#))),
        ("objects in an unknown member", config(&format!(r#""x":[{}]"#, repeated(r#"{"a":0}"#)))),
        ("arrays in an unknown member", config(&format!(r#""x":[{}]"#, repeated("[]")))),
        ("nested arrays", config(&format!(r#""x":[{}]"#, repeated(&format!("{}{}", "[".repeat(60), "]".repeat(60)))))),
        ("variables", config(&format!(r#""Env":[{}]"#, repeated(r#""A=1""#)))),
        ("mounts", format!(r#"{{"Id":"c","Mounts":[{}]}}"#, repeated("{}"))),
        ("networks", format!(r#"{{"Id":"c","NetworkSettings":{{"Networks":{{{}}}}}}}"#, repeated(r##""#":{}"##))),
    ]
}

fn events() -> Vec<(&'static str, String)> {
    let event = |attributes: &str| {
        format!(
            r#"{{"Type":"container","Action":"start","Actor":{{"ID":"c","Attributes":{{{attributes}}}}},"time":1}}"#
        )
    };
    vec![
        ("attributes", event(&repeated(r##""#":"""##))),
        ("members", format!(r#"{{"Type":"container",{}}}"#, repeated(r##""#":0"##))),
    ]
}

/// The plan of a container, and the filter of events.
fn filters(profiles: &Profiles, name: &str) -> (Arc<Plan>, RecordFilter) {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let policy = Policy::compile(profiles.get(name).unwrap(), &catalogue).unwrap();
    match (policy.decide_operation("ContainerInspect"), policy.decide_operation("SystemEvents")) {
        (Decision::Filter(plan), Decision::Records(events)) => (plan, events),
        other => panic!("the profile filters both: {other:?}"),
    }
}

/// The most memory that filtering a document of `length` bytes takes, in bytes: what the filter needs itself, the document and
/// what is left of it. The proxy's buffer for that has addresses for more, and memory for what is written.
fn taken(length: usize, filter: impl FnOnce(&mut Vec<u8>)) -> usize {
    let mut out = Vec::with_capacity(2 * length);
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    filter(&mut out);
    ALLOCATOR.peak_usage() - before + length + out.len()
}

fn filtering_takes_no_more_memory_than_is_leased_for_it() {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let files: Vec<(&str, &str)> = ["a.yaml", "b.yaml", "c.yaml"].into_iter().zip(PROFILES.split("---\n")).collect();
    let profiles = Profiles::parse(&files, &catalogue).unwrap();
    // What is made once, and kept, is made here.
    let (plan, _) = filters(&profiles, "plain");
    for (_, document) in documents() {
        let _ = plan.apply(document.as_bytes(), &mut Vec::new());
    }
    for profile in ["plain", "everything", "ruled"] {
        let (plan, records) = filters(&profiles, profile);
        for (name, document) in documents() {
            // Where the tree of a value would be too large, the document is withheld.
            let taken = taken(document.len(), |out| {
                let _ = plan.apply(document.as_bytes(), out);
            });
            let leased = plan.memory(document.len());
            assert!(taken <= leased, "{profile}, {name}: {taken} bytes, leased {leased}");
        }
        for (name, event) in events() {
            let taken = taken(event.len(), |out| {
                let _ = records.apply(event.as_bytes(), out, &mut Report::default());
            });
            let leased = records.memory(event.len());
            assert!(taken <= leased, "{profile}, event of {name}: {taken} bytes, leased {leased}");
        }
    }
}
