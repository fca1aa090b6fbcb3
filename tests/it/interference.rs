//! Non-interference: whatever a hidden field holds, and whether it holds anything, the client reads the same bytes.
//!
//! Every hidden location of the recorded answers is changed in every way in which a document can differ: another value, a
//! longer one, an empty one, null, another type, fewer or more members and elements, and no value where engines may leave it
//! out. All locations of an answer are changed at once. If that changes what the client reads, each is changed by itself to
//! name the one that tells.

pub(crate) mod lens;
pub(crate) mod mutation;

use std::collections::{BTreeMap, BTreeSet};

use dockveil::api::{Method, Operation};
use dockveil::filter::{DocumentLimits, Plan, RecordFilter, Report};
use dockveil::profile::Profile;
use serde_json::{Value, json};

use self::lens::{Lens, Location, Step};
use self::mutation::{MUTATIONS, Mutation};
use crate::canaries::request;
use crate::harness::{Test, tests};
use crate::support::built_in::{catalogue, is_for_one_client, policy, profiles};
use crate::support::client::status;
use crate::support::fixture::{self, Fixture};
use crate::support::stage::Stage;

pub(crate) const TESTS: &[Test] = tests![
    no_hidden_field_changes_what_the_filter_leaves,
    no_hidden_field_changes_a_byte_of_an_answer,
    the_crawl_finds_what_interferes
];

/// What a client reads of the documents of one schema.
enum Filter {
    Documents(Plan),
    Records(RecordFilter),
}

impl Filter {
    fn new(profile: &Profile, schema: &str) -> Self {
        let (show, rules) = (&profile.show, &profile.rules);
        if catalogue().variants(schema).is_some() {
            let limits = DocumentLimits::default();
            Self::Records(RecordFilter::compile(catalogue(), schema, show, rules, limits).unwrap())
        } else {
            Self::Documents(Plan::compile(catalogue(), schema, show, rules).unwrap().with_hash_key([7; 32]))
        }
    }

    fn read(&self, document: &Value) -> String {
        let (text, mut out) = (document.to_string(), Vec::new());
        let filtered = match self {
            Self::Documents(plan) => plan.apply(text.as_bytes(), &mut out).map(drop),
            Self::Records(filter) => filter.apply(text.as_bytes(), &mut out, &mut Report::default()).map(drop),
        };
        filtered.map_or_else(|error| format!("withheld: {error}"), |()| String::from_utf8(out).unwrap())
    }
}

/// One profile and one schema.
struct Subject {
    profile: &'static Profile,
    schema: &'static str,
    lens: Lens,
    filter: Filter,
}

impl Subject {
    fn new(profile: &'static Profile, schema: &'static str) -> Self {
        Self { profile, schema, lens: Lens::new(profile, schema), filter: Filter::new(profile, schema) }
    }

    fn hidden(&self, document: &Value) -> Vec<Location> {
        let mut found = self.lens.find(self.schema, document);
        if catalogue().variants(self.schema).is_some() {
            // Which attributes are shown depends on the kind of the event, and `explain` says it for each kind.
            let left: Value = serde_json::from_str(&self.filter.read(document)).unwrap_or_default();
            found.retain(|location| match location.steps.as_slice() {
                [.., Step::Member(map), Step::Member(name)] if map == "Attributes" => {
                    left["Actor"]["Attributes"].get(name).is_none()
                }
                _ => true,
            });
        }
        found
    }
}

/// The subjects of one profile, by schema.
fn subject<'s>(
    subjects: &'s mut BTreeMap<&'static str, Subject>,
    profile: &'static Profile,
    schema: &'static str,
) -> &'s Subject {
    subjects.entry(schema).or_insert_with(|| Subject::new(profile, schema))
}

/// What a crawl has done.
#[derive(Default)]
struct Counts {
    /// By profile and operation.
    operations: BTreeSet<(String, &'static str)>,
    /// Hidden fields of operations.
    fields: BTreeSet<(&'static str, String)>,
    answers: usize,
    changes: usize,
    differences: BTreeSet<String>,
}

impl Counts {
    /// Changes the hidden locations of one document in every way, and notes what changes what is left of it.
    fn document(&mut self, subject: &Subject, operation: &'static str, document: &Value) {
        let hidden = subject.hidden(document);
        let before = subject.filter.read(document);
        self.operations.insert((subject.profile.name.clone(), operation));
        self.fields.extend(hidden.iter().map(|location| (operation, location.path.clone())));
        for mutation in MUTATIONS {
            let locations: Vec<&Location> = hidden.iter().filter(|location| mutation.applies(location)).collect();
            self.answers += 1;
            self.changes += locations.len();
            let is_same =
                |locations: &[&Location]| subject.filter.read(&mutation.changed(document, locations)) == before;
            // Changes could undo each other, so some are made one by one in any case.
            let sample = locations.get(self.answers % 97).into_iter().copied();
            let suspects: Vec<&Location> = if is_same(&locations) { sample.collect() } else { locations };
            for location in suspects {
                if !is_same(&[location]) {
                    let place = format!("{} {operation} {} {mutation:?}", subject.profile.name, location.path);
                    self.differences.insert(place);
                }
            }
        }
    }

    #[track_caller]
    fn check(&self) {
        let first: Vec<&String> = self.differences.iter().take(40).collect();
        assert!(first.is_empty(), "{} differences: {first:#?}", self.differences.len());
    }
}

/// The recorded answers that a profile lets its clients read: for each operation and engine, the largest. All engines take
/// part for `dashboard`; for the other profiles, the newest of each kind.
fn answers(profile: &Profile) -> impl Iterator<Item = (&'static Operation, &'static Fixture)> {
    let mut largest: BTreeMap<(&str, &str), (&'static Operation, &'static Fixture)> = BTreeMap::new();
    for fixture in fixture::all() {
        let Some(operation) = fixture.operation else { continue };
        if !profile.allow.contains_key(operation.id) || operation.filtered_schema().is_none() {
            continue;
        }
        if profile.name != "dashboard" && !["docker-29", "podman-5.8"].contains(&fixture.engine.as_str()) {
            continue;
        }
        let entry = largest.entry((operation.id, &fixture.engine)).or_insert((operation, fixture));
        if fixture.body.len() > entry.1.body.len() {
            *entry = (operation, fixture);
        }
    }
    largest.into_values()
}

/// Recorded events, one of each kind and action.
fn events() -> Vec<Value> {
    let mut found = BTreeMap::new();
    for engine in fixture::engines() {
        for folder in std::fs::read_dir(fixture::root().join(engine)).unwrap() {
            let file = folder.unwrap().path().join("system_events.ndjson");
            for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
                let event: Value = serde_json::from_str(line).unwrap();
                found.entry((event["Type"].to_string(), event["Action"].to_string())).or_insert(event);
            }
        }
    }
    found.into_values().collect()
}

fn no_hidden_field_changes_what_the_filter_leaves() {
    let mut counts = Counts::default();
    let events = events();
    for profile in profiles().iter() {
        let mut subjects = BTreeMap::new();
        for (operation, fixture) in answers(profile) {
            let subject = subject(&mut subjects, profile, fixture.schema());
            for document in fixture.documents().iter().take(2) {
                counts.document(subject, operation.id, document);
            }
        }
        if profile.allow.contains_key("SystemEvents") {
            let subject = subject(&mut subjects, profile, "Event");
            events.iter().for_each(|event| counts.document(subject, "SystemEvents", event));
        }
    }
    counts.check();
    let numbers = [profiles().iter().count(), counts.operations.len(), counts.fields.len(), counts.changes];
    check_readme(&numbers);
}

/// The numbers in the README are those of the crawl, rounded down.
#[track_caller]
fn check_readme(numbers: &[usize]) {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, from) = readme.split_once("A test changes every hidden field").unwrap();
    let (claim, _) = from.split_once(" 0 differences").unwrap();
    let claimed: Vec<usize> = claim.replace(',', "").split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let is_rounded = |(claimed, number): (&usize, &usize)| claimed <= number && claimed * 10 >= number * 9;
    assert!(claimed.len() == numbers.len(), "{claim}");
    assert!(claimed.iter().zip(numbers).all(is_rounded), "README.md says {claimed:?}, but the crawl has {numbers:?}");
}

/// The body of an answer with every hidden location of each of its documents changed.
fn changed_body(subject: &Subject, body: &Value, is_array: bool, mutation: Mutation) -> Value {
    let changed = |document: &Value| {
        let hidden = subject.hidden(document);
        let locations: Vec<&Location> = hidden.iter().filter(|location| mutation.applies(location)).collect();
        mutation.changed(document, &locations)
    };
    if let (Value::Array(documents), true) = (body, is_array) {
        documents.iter().map(changed).collect()
    } else {
        changed(body)
    }
}

/// Through the whole program: status, head, body, and where chunks end.
fn no_hidden_field_changes_a_byte_of_an_answer() {
    let (mut operations, mut answers_read) = (BTreeSet::new(), 0);
    for profile in profiles().iter() {
        let stage = Stage::new(policy(&profile.name));
        let mut subjects = BTreeMap::new();
        let of_one_engine = |fixture: &Fixture| fixture.engine == "docker-29";
        for (operation, fixture) in answers(profile).filter(|(_, fixture)| of_one_engine(fixture)) {
            if operation.method != Method::Get {
                continue;
            }
            let subject = subject(&mut subjects, profile, fixture.schema());
            let body: Value = serde_json::from_slice(&fixture.body).unwrap();
            let is_array = body.is_array();
            let request = request(operation, &fixture.body);
            let ask = |body: &Value| {
                stage.answer("200 OK", body.to_string().as_bytes());
                // The date of an answer is the time of the answer.
                let answer = stage.bench.ask(&request);
                answer.lines().filter(|line| !line.starts_with("date: ")).collect::<Vec<_>>().join("\r\n")
            };
            let before = ask(&body);
            assert_eq!(status(&before), 200, "{} {}: {before}", profile.name, operation.id);
            // The plans of all profiles get every change above. What is left to test is how answers are sent: for profiles of
            // one client, a few changes of each answer are enough, in turns.
            let step = if is_for_one_client(profile) { 4 } else { 1 };
            for mutation in MUTATIONS.into_iter().skip(operations.len() % step).step_by(step) {
                let after = ask(&changed_body(subject, &body, is_array, mutation));
                assert!(after == before, "{} {} {mutation:?}:\n{before}\n{after}", profile.name, operation.id);
                answers_read += 1;
            }
            operations.insert((profile.name.clone(), operation.id));
        }
    }
    assert!(operations.len() > 100 && answers_read > 1_200, "{} {answers_read}", operations.len());
}

/// The crawl is not blind: a member that is blanked by its own type, as a rule does without a schema, is found.
fn the_crawl_finds_what_interferes() {
    let profile = profiles().get("dashboard").unwrap();
    let rule = dockveil::filter::Rule {
        location: dockveil::yaml::Location::file("test"),
        on: String::new(),
        selector: "$.HostConfig.MaskedPaths".parse().unwrap(),
        action: dockveil::filter::Action::Blank,
    };
    let filter = Filter::Documents(Plan::compile_rules(&[rule]).unwrap());
    let subject = Subject { filter, ..Subject::new(profile, "ContainerInspect") };
    let mut counts = Counts::default();
    counts.document(&subject, "ContainerInspect", &json!({"HostConfig": {"MaskedPaths": ["/proc"]}}));
    let found: Vec<&str> = counts.differences.iter().map(|place| place.rsplit(' ').next().unwrap()).collect();
    for name in ["Null", "Text", "Number", "Boolean", "Object"] {
        assert!(found.contains(&name), "{found:?}");
    }
}
