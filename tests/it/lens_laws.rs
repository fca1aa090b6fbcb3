//! The laws of the lens: an edited view of a document, put back into the document.
//!
//! - GetPut: what is written back as it was shown changes nothing.
//! - PutGet: what is shown of the new document is what was written.
//! - Undo: writing back what was shown first brings the first document back, hidden values included.
//! - Non-interference: whatever is hidden, the same edit is refused in the same words, or leads to the same view.
//!
//! They hold for every schema, every built-in profile and a few that hide in other ways, for recorded documents, and for edits
//! of every kind in random places.

mod edit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dockveil::api::bodies::is_template;
use dockveil::api::{ELEMENT_KEYS, EditedObject, OPERATIONS, Operation};
use dockveil::filter::{Lens, Plan, PutError, ReaderOfEdits};
use dockveil::profile::{Profile, Profiles};
use serde_json::Value;

use self::edit::{Edited, Random, edited, without_empty};
use crate::harness::{Test, note, tests};
use crate::interference::lens::{Lens as HiddenPlaces, Location};
use crate::interference::mutation::MUTATIONS;
use crate::support::built_in::{catalogue, is_for_one_client, profiles};
use crate::support::fixture;

pub(crate) const TESTS: &[Test] = tests![
    what_is_written_back_as_it_was_shown_changes_nothing,
    what_was_written_is_shown_and_can_be_undone,
    the_outcome_of_an_edit_tells_nothing_about_what_is_hidden,
];

/// Profiles that hide in ways in which no built-in profile does.
const OTHERS: &str = "profile: lens-masks
show: [command, free-text, host-path, topology, host, identity, state, secret]
---
profile: lens-lists
hide: [secret, free-text]
unknown: show
labels: [\"com.example.*\", \"canary.*\", \"tier\"]
env: [\"PATH\", \"CANARY*\", \"A*\"]
---
profile: lens-exclusions
show: all
labels: [\"!com.example.*\", \"!canary*\"]
env: [\"!CANARY*\", \"!SECRET*\"]
mask-values: true
---
profile: lens-rules
show: [command, topology, identity, state]
unknown: show
rules:
  - {on: ServiceSpec, redact: $.Name}
  - {on: ContainerSpec, hash: $.Image}
  - {on: ContainerSpec, mask: \"$.Args[*]\"}
  - {on: TaskSpec, blank: $.RestartPolicy.Condition}
  - {on: Node, replace: $.Spec.Role, with: \"\\\"role\\\"\"}
  - {on: Mount, keep: $.Target}
  - {on: HealthConfig, remove: \"$.Test[1:]\"}
  - {on: ServiceSpec, remove: \"$.Labels[?search(@, 'canary')]\"}
";

/// The built-in profiles and the others.
fn all_profiles() -> Vec<Profile> {
    let files: Vec<(&str, &str)> = OTHERS.split("---\n").map(|text| ("p.yaml", text)).collect();
    let others = Profiles::parse(&files, catalogue()).unwrap();
    profiles().iter().chain(others.iter()).cloned().collect()
}

/// The lens of a profile for a part of the documents of a schema.
struct Subject {
    plan: Arc<Plan>,
    lens: Lens,
    part: &'static [&'static str],
}

impl Subject {
    fn new(profile: &Profile, schema: &str, part: &'static [&'static str]) -> Self {
        let plan = Plan::compile(catalogue(), schema, &profile.show, &profile.rules).unwrap().with_hash_key([7; 32]);
        let (plan, explained) = (Arc::new(plan), Plan::explain(catalogue(), schema, &profile.show, &profile.rules));
        let mut lens = Lens::new(plan.clone(), catalogue(), (schema, part), &explained.unwrap(), ELEMENT_KEYS).unwrap();
        let edited = OPERATIONS.iter().filter_map(Operation::edits);
        if let Some(edited) = edited.into_iter().find(|edited| (edited.part.schema, edited.part.path) == (schema, part))
        {
            let EditedObject { templates, destinations, questions, kinds, .. } = edited;
            lens.read_by(ReaderOfEdits { templates, is_template, destinations, questions, kinds });
        }
        Self { plan, lens, part }
    }

    fn part_of<'v>(&self, document: &'v mut Value) -> &'v mut Value {
        self.part.iter().fold(document, |at, name| &mut at[*name])
    }

    /// What is shown of the part of a document.
    fn shown(&self, document: &Value) -> Value {
        let mut out = Vec::new();
        self.plan.apply(document.to_string().as_bytes(), &mut out).unwrap();
        let mut shown: Value = serde_json::from_slice(&out).unwrap();
        self.part_of(&mut shown).take()
    }

    /// The document with the edited part put back into it.
    fn put(&self, document: &Value, edited: &str) -> Result<Value, PutError> {
        let part = self.lens.put(document.to_string().as_bytes(), edited.as_bytes())?;
        let mut new = document.clone();
        *self.part_of(&mut new) = serde_json::from_slice(&part).unwrap();
        Ok(new)
    }
}

/// The schemas of documents that operations return, each with the parts that clients edit: of all the whole, and of some a
/// specification.
fn parts() -> Vec<(&'static str, &'static [&'static str])> {
    let specs = OPERATIONS.iter().filter_map(|operation| operation.writes_back.first());
    let specs = specs.map(|part| (part.schema, part.path));
    let schemas: BTreeSet<&str> = fixture::all().iter().map(fixture::Fixture::schema).collect();
    let whole = schemas.into_iter().filter(|schema| catalogue().variants(schema).is_none());
    whole.map(|schema| (schema, &[][..])).chain(specs).collect()
}

/// The recorded documents of a schema that are objects and have a part, without the longest: they only take longer.
fn documents(schema: &str, part: &[&str]) -> Vec<&'static Value> {
    const LENGTH: usize = 6_000;
    let of_schema = fixture::all().iter().filter(|fixture| fixture.schema() == schema);
    let has_part = |document: &&Value| part.iter().fold(*document, |at, name| &at[*name]).is_object();
    let mut found: Vec<(usize, &Value)> = of_schema
        .flat_map(fixture::Fixture::documents)
        .filter(has_part)
        .map(|document| (document.to_string().len(), document))
        .collect();
    found.sort_by_key(|(length, _)| *length);
    let shorter = found.iter().filter(|(length, _)| *length <= LENGTH).count().max(1);
    found.into_iter().take(shorter).map(|(_, document)| document).collect()
}

/// Every schema, profile and, in turns, recorded document.
fn each(limit: usize, mut visit: impl FnMut(&Profile, &str, &Subject, &Value)) {
    let profiles = all_profiles();
    for (schema, part) in parts() {
        let documents = documents(schema, part);
        // Every schema takes turns with the profiles; what clients edit meets all but those for one client every time.
        let offset = schema.len();
        let in_turn = |(number, profile): &(usize, &Profile)| match part {
            [] => (number + offset) % 14 == 0,
            _ => !is_for_one_client(profile) || (number + offset) % 4 == 0,
        };
        for (number, profile) in profiles.iter().enumerate().filter(in_turn) {
            let subject = Subject::new(profile, schema, part);
            // The parts that clients can really edit are looked at more closely.
            let limit = if part.is_empty() { limit } else { 4 * limit };
            for index in 0..limit.min(documents.len()) {
                let document = documents[(number * limit + index) % documents.len()];
                visit(profile, schema, &subject, document);
            }
        }
    }
}

/// Also with the empty members left out, as clients written in Go do.
fn what_is_written_back_as_it_was_shown_changes_nothing() {
    let (mut objects, mut hiding) = (0, 0);
    each(1, |profile, schema, subject, document| {
        let shown = subject.shown(document);
        if !shown.is_object() {
            return;
        }
        let place = || format!("{} {schema} {:?}: {shown}", profile.name, subject.part);
        assert_eq!(subject.put(document, &shown.to_string()).as_ref(), Ok(document), "{}", place());
        let plain = |value: &Value| without_empty(schema, &[], value);
        let new = subject.put(document, &without_empty(schema, subject.part, &shown).to_string());
        assert_eq!(new.map(|new| plain(&new)), Ok(plain(document)), "{}", place());
        objects += 1;
        let mut whole = document.clone();
        hiding += usize::from(*subject.part_of(&mut whole) != shown);
    });
    note(&format!("GetPut: {objects} objects, {hiding} of them with hidden values"));
    assert!(objects > 400 && hiding > 300, "{objects} {hiding}");
}

fn what_was_written_is_shown_and_can_be_undone() {
    let (mut random, mut edits, mut undone) = (Random::new(7), 0, 0);
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    each(1, |profile, schema, subject, document| {
        let shown = subject.shown(document);
        if !shown.is_object() {
            return;
        }
        for _ in 0..if subject.part.is_empty() { 2 } else { 4 } {
            let Edited { text, value, is_undoable } = edited(&mut random, schema, subject.part, &shown);
            edits += 1;
            let place = || format!("{} {schema} {:?}\n{shown}\n{text}", profile.name, subject.part);
            let new = match subject.put(document, &text) {
                Ok(new) => new,
                Err(error) => {
                    *outcomes.entry(outcome(&error)).or_default() += 1;
                    continue;
                }
            };
            *outcomes.entry("accepted".to_owned()).or_default() += 1;
            let (view, written) = (subject.shown(&new), value.unwrap());
            let plain = |value: &Value| without_empty(schema, subject.part, value);
            assert_eq!(plain(&without_staying(&view, &written)), plain(&written), "{}", place());
            if is_undoable {
                let old = subject.put(&new, &shown.to_string());
                let plain = |value: &Value| without_empty(schema, &[], value);
                assert_eq!(old.map(|old| plain(&old)), Ok(plain(document)), "{}", place());
                undone += 1;
            }
        }
    });
    note(&format!("PutGet: {edits} edits, {undone} of them undone: {outcomes:?}"));
    assert!(edits > 1_000 && undone > 100 && outcomes["accepted"] > 400, "{edits} {undone} {outcomes:?}");
    for fault in ["Hidden", "Spelling", "Uncertain", "Type", "Mask", "Edited", "Kind", "Destination"] {
        assert!(outcomes.get(fault).is_some_and(|count| *count > 0), "{fault}: {outcomes:?}");
    }
}

/// A view without the elements that nobody has written and that are shown without what tells them from others: they stay.
fn without_staying(view: &Value, written: &Value) -> Value {
    const KEYS: [(&str, &[&str]); 11] = [
        ("Configs", &["/ConfigID"]),
        ("ExternalCAs", &["/Protocol", "/URL"]),
        ("Mounts", &["/Target"]),
        ("Networks", &["/Target"]),
        ("Platforms", &["/Architecture", "/OS"]),
        ("PluginPrivilege", &["/Name"]),
        ("Ports", &["/Protocol", "/TargetPort"]),
        ("Preferences", &["/Spread/SpreadDescriptor"]),
        ("Secrets", &["/SecretID"]),
        ("Ulimits", &["/Name"]),
        ("privileges", &["/name"]),
    ];
    let Value::Object(members) = view else { return view.clone() };
    let of_member = |(name, value): (&String, &Value)| {
        let keys = KEYS.iter().find(|(list, _)| list == name).map(|(_, keys)| *keys);
        let value = match (keys, value, written.get(name)) {
            (Some(keys), Value::Array(shown), written) => {
                let mut written = written.and_then(Value::as_array).cloned().unwrap_or_default();
                let is_keyless = |element: &Value| keys.iter().any(|key| element.pointer(key).is_none());
                let mut is_written = |element: &Value| {
                    let place = written.iter().position(|one| element == one);
                    place.map(|place| written.remove(place)).is_some()
                };
                Value::from_iter(shown.iter().filter(|one| !is_keyless(one) || is_written(one)).cloned())
            }
            (_, Value::Object(_), Some(written)) => without_staying(value, written),
            _ => value.clone(),
        };
        (name.clone(), value)
    };
    members.iter().map(of_member).collect()
}

/// What a refusal is about.
fn outcome(error: &PutError) -> String {
    match error {
        PutError::Refused(refusal) => format!("{:?}", refusal.fault),
        PutError::Edited(_) => "Edited".to_owned(),
        PutError::Document(error) => panic!("{error}"),
    }
}

/// The hidden values of each document are changed in every way in which a document can differ.
fn the_outcome_of_an_edit_tells_nothing_about_what_is_hidden() {
    let (mut random, mut compared) = (Random::new(11), 0);
    for profile in profiles().iter().filter(|profile| !is_for_one_client(profile)) {
        for (schema, part) in parts().into_iter().filter(|(_, part)| !part.is_empty()) {
            let (subject, places) = (Subject::new(profile, schema, part), HiddenPlaces::new(profile, schema));
            let documents = documents(schema, part);
            let Some(document) = documents.get(random.below(documents.len().max(1))) else { continue };
            let (shown, hidden) = (subject.shown(document), places.find(schema, document));
            if !shown.is_object() {
                continue;
            }
            let edits: Vec<Edited> = (0..3).map(|_| edited(&mut random, schema, part, &shown)).collect();
            for mutation in MUTATIONS {
                let locations: Vec<&Location> = hidden.iter().filter(|location| mutation.applies(location)).collect();
                let other = mutation.changed(document, &locations);
                // The part itself may be what was changed.
                let mut of_other = other.clone();
                if !subject.part_of(&mut of_other).is_object() || subject.shown(&other) != shown {
                    continue;
                }
                for Edited { text, .. } in &edits {
                    let view = |document: &Value| subject.put(document, text).map(|new| subject.shown(&new));
                    let place = format!("{} {schema} {mutation:?}\n{shown}\n{text}", profile.name);
                    assert_eq!(view(document), view(&other), "{place}");
                    compared += 1;
                }
            }
        }
    }
    note(&format!("non-interference: {compared} outcomes"));
    assert!(compared > 1_000, "{compared}");
}
