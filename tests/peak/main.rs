//! How much memory the filter takes. A target of its own, because its allocator counts for the whole process.
#![deny(dead_code)]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[expect(dead_code, reason = "no test of this target is ignored")]
#[path = "../support/harness.rs"]
mod harness;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dockveil::api::objects::{ObjectAnswer, ObjectKind};
use dockveil::filter::{Plan, RecordFilter, Report};
use dockveil::policy::{Decision, Policy};
use dockveil::profile::Profiles;
use dockveil::visibility::{ObjectSelector, ObjectView, Restriction, Surroundings, VisibleContainers, VisibleObjects};
use harness::{Missing, Suite, Test, tests};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const TESTS: &[Test] = tests![
    filtering_takes_no_more_memory_than_is_leased_for_it,
    hiding_objects_takes_no_more_memory_than_is_leased_for_it
];

fn main() -> ExitCode {
    harness::run(&Suite { tests: &[TESTS], limit: Duration::from_secs(120), threads: Some(1), missing: Missing::Fails })
}

/// Documents are of about these many bytes: a few, and enough that growing buffers matter.
const SIZES: [usize; 2] = [4 << 10, 48 << 10];
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
---
profile: matched
about: The same with patterns.
allow: [ContainerInspect, SystemEvents]
events: filtered
show: all
rules:
  - {on: ContainerInspect, remove: \"$.Config[?match(@, '.*z') || match(@.a, '.*z')]\", unknown: true}
  - {on: ContainerInspect, remove: \"$.Config.Labels[?search(@, 'zz') || length(@) > 9999]\"}
  - {on: ContainerInspect, remove: \"$.Mounts[?match(@.Source, '/no/such/.*') && !@.RW]\"}
  - {on: Event, remove: \"$.Actor.Attributes[?search(@, 'zz')]\"}
---
profile: compared
about: The same with expressions that look at all of a value, or at all of a document.
allow: [ContainerInspect, SystemEvents]
events: filtered
show: all
rules:
  - {on: ContainerInspect, remove: \"$.Config[?@.a == @.b]\", unknown: true}
  - {on: ContainerInspect, remove: \"$.Config[?count(@..*) == 7 || value(@.*) == 'x']\", unknown: true}
  - {on: ContainerInspect, remove: \"$.Mounts[?@ == $.Config || @.a == $.Config.b]\"}
";

/// A part repeated until it has about `size` bytes, with its number in place of `#`.
fn repeated(size: usize, part: &str) -> String {
    let mut text = String::new();
    for number in 0.. {
        if text.len() >= size {
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

/// Documents of a container of about `size` bytes: what they have many of, and the text.
fn documents(size: usize) -> Vec<(&'static str, String)> {
    let config = |members: &str| format!(r#"{{"Id":"c","Config":{{{members}}}}}"#);
    let label = |value: &str| config(&format!(r#""Labels":{{"a":"{value}"}}"#));
    let repeated = |part: &str| repeated(size, part);
    // Looking up each member in the other object takes the square of their number.
    let few: Vec<String> = (0..500).map(|number| format!(r#""{}":0"#, short(number))).collect();
    let few = few.join(",");
    vec![
        ("nothing", format!(r#"{{"Id":"{}"}}"#, "x".repeat(size))),
        ("a long label", label(&"x".repeat(size))),
        ("a long label with an escape", label(&format!(r"{}\n", "x".repeat(size)))),
        ("a long label of escapes", label(&r"\n".repeat(size / 2))),
        ("a long member with escapes", config(&format!(r#""x":"{}""#, r"\n\u0041xx".repeat(size / 10)))),
        ("a long name with escapes", config(&format!(r#""x":{{"{}":0}}"#, r"\n\u0041xx".repeat(size / 10)))),
        ("objects in objects", config(&format!(r#""x":{}0{}"#, r#"{"":"#.repeat(100), "}".repeat(100)))),
        ("many objects in objects", config(&format!(r#""x":[{}]"#, repeated(r#"{"":{"":{"":{"":0}}}}"#)))),
        ("equal objects", config(&format!(r#""x":{{"a":{{{few}}},"b":{{{few}}}}}"#))),
        ("equal arrays", config(&format!(r#""x":{{"a":[{0}],"b":[{0}]}}"#, repeated("[]")))),
        ("equal texts", config(&format!(r#""x":{{"a":"{0}\n","b":"{0}\u000a"}}"#, "x".repeat(size / 2)))),
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

fn events(size: usize) -> Vec<(&'static str, String)> {
    let repeated = |part: &str| repeated(size, part);
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
    let names = ["a.yaml", "b.yaml", "c.yaml", "d.yaml", "e.yaml"];
    let files: Vec<(&str, &str)> = names.into_iter().zip(PROFILES.split("---\n")).collect();
    let profiles = Profiles::parse(&files, &catalogue).unwrap();
    for profile in ["plain", "everything", "ruled", "matched", "compared"] {
        let (plan, records) = filters(&profiles, profile);
        for size in SIZES {
            for (name, document) in documents(size) {
                // What is made once, and kept, is made here: above all, what patterns keep of the states that they reach.
                let _ = plan.apply(document.as_bytes(), &mut Vec::new());
                let mut result = Ok(Report::default());
                let taken = taken(document.len(), |out| result = plan.apply(document.as_bytes(), out));
                let leased = plan.memory(document.len());
                assert!(taken <= leased, "{profile}, {name}, {size}: {taken} bytes, leased {leased}");
                // Where nothing is left of them, nobody reads one or two.
                let is_refused = name == "equal members" && profile != "plain";
                assert_eq!(result.is_err(), is_refused, "{profile}, {name}, {size}: {result:?}");
            }
            for (name, event) in events(size) {
                let _ = records.apply(event.as_bytes(), &mut Vec::new(), &mut Report::default());
                let taken = taken(event.len(), |out| {
                    let _ = records.apply(event.as_bytes(), out, &mut Report::default());
                });
                let leased = records.memory(event.len());
                assert!(taken <= leased, "{profile}, event of {name}, {size}: {taken} bytes, leased {leased}");
            }
        }
    }
}

/// Answers about objects: of what, whether it is an element of a list, what they have many of, and the text. The numbers are
/// about as many entries as are read at most, and many more.
fn answers_about_objects(count: usize) -> Vec<(ObjectAnswer, bool, String, String)> {
    let many = |part: &str| (0..count).map(|number| part.replace('#', &short(number))).collect::<Vec<_>>().join(",");
    let labels = format!(r#"{{{}}}"#, many(r##""#":"""##));
    let summary = format!(
        r#"{{"Id":"c","Names":["/web","/a/b",{}],"Labels":{labels},"Mounts":[{}],"HostConfig":{{"NetworkMode":"container:x"}},"NetworkSettings":{{"Networks":{{{}}}}}}}"#,
        many(r##""/#""##),
        many(r##"{"Name":"#"}"##),
        many(r##""#":{"NetworkID":"#","Links":["a","b"]}"##),
    );
    let image =
        format!(r#"{{"Id":"i","RepoTags":[{}],"RepoDigests":[],"Labels":{labels},"Containers":1}}"#, many(r##""#""##));
    let volume = format!(r#"{{"Name":"v","Labels":{labels},"UsageData":{{"RefCount":1,"Size":1}}}}"#);
    let inspected = format!(
        r#"{{"Id":"c","Name":"/web","Config":{{"Labels":{labels}}},"HostConfig":{{"Links":[{}],"VolumesFrom":[{}]}}}}"#,
        many(r##""/#:/web/#""##),
        many(r##""#:ro""##),
    );
    let usage = |items: &str| format!(r#"{{"Images":[],"ImageUsage":{{"TotalCount":1,"Items":[{items}]}}}}"#);
    let event = format!(
        r#"{{"Type":"container","Action":"rename","Actor":{{"ID":"c","Attributes":{{"name":"web","oldName":"x",{}}}}}}}"#,
        many(r##""#":"""##)
    );
    let list = |answer, text: &str| (answer, true, "everything".to_owned(), text.to_owned());
    let document = |answer, what: &str, text: String| (answer, false, what.to_owned(), text);
    vec![
        list(ObjectAnswer::Containers, &summary),
        list(ObjectAnswer::Images, &image),
        list(ObjectAnswer::Events, &event),
        document(ObjectAnswer::Container, "labels and links", inspected),
        document(ObjectAnswer::Image, "labels", image.clone()),
        document(ObjectAnswer::Volume, "labels", volume.clone()),
        document(ObjectAnswer::Usage, "one image", usage(&image)),
        document(ObjectAnswer::Usage, "images", usage(&many(r##"{"Id":"#","RepoTags":["web:#"],"Containers":1}"##))),
        document(ObjectAnswer::Usage, "one container", format!(r#"{{"Containers":[{summary}]}}"#)),
        document(ObjectAnswer::Volumes, "one volume", format!(r#"{{"Volumes":[{volume}]}}"#)),
    ]
}

fn hiding_objects_takes_no_more_memory_than_is_leased_for_it() {
    let only = |kind, selector: &str| {
        (kind, Restriction::selected(vec![ObjectSelector::parse(kind, selector).unwrap()], Vec::new()))
    };
    let restrictions = [only(ObjectKind::Container, "name=web*"), only(ObjectKind::Image, "label=a")];
    let visibility = Arc::new(VisibleObjects::new(&restrictions));
    for count in [10, 1_000, 100_000] {
        for (answer, is_element, what, text) in answers_about_objects(count) {
            let around =
                Surroundings { containers: Some(Arc::new(VisibleContainers::default())), ..Surroundings::default() };
            let mut view = ObjectView::new(visibility.clone(), answer, around, None);
            ALLOCATOR.reset_peak_usage();
            let before = ALLOCATOR.current_usage();
            match (answer, is_element) {
                (ObjectAnswer::Events, _) => drop(view.event(text.as_bytes())),
                (_, true) => drop(view.element(text.as_bytes())),
                (_, false) => drop(view.document(text.as_bytes())),
            }
            let (taken, leased) = (ALLOCATOR.peak_usage() - before, ObjectView::memory(text.len()));
            let is_short = text.len() <= 64 << 10;
            // What is read of a short one is not leased, and little.
            let most = if is_short { leased + (4 << 20) } else { leased };
            assert!(taken <= most, "{answer:?} of {what}, {count}: {taken} bytes of {}, leased {leased}", text.len());
        }
    }
}
