//! Writes for which clients send back what they have read: refused where the profile hides any of that.

use std::collections::{BTreeMap, BTreeSet};

use dockveil::api::{DocumentPart, OPERATIONS, Operation, ResponseKind, lists};
use dockveil::cli::{Environment, ServeArgs, Variables};
use dockveil::command::summary;
use dockveil::config::Config;
use dockveil::config::compat::{Compat, Means, tables};
use dockveil::filter::{Plan, Show};
use dockveil::policy::{Decision, Denial, Policy};
use dockveil::profile::{Profile, Profiles};
use dockveil::route::find;
use dockveil::schema::Class;
use serde_json::Value;

use crate::harness::tests;
use crate::support::built_in::{catalogue, profiles};
use crate::support::fixture;

pub(crate) const TESTS: &[crate::harness::Test] = tests![
    every_update_of_a_spec_is_in_the_table,
    no_built_in_profile_lets_a_client_erase_what_it_hides,
    no_drop_in_mode_lets_a_client_erase_what_it_hides,
    each_hidden_field_of_a_spec_closes_its_update,
    what_a_profile_hides_or_masks_closes_an_update,
    what_is_shown_whole_is_left_as_it_came,
];

/// The operations in question.
fn writing_back() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(|operation| !operation.writes_back.is_empty())
}

/// What `show: all` shows.
fn everything() -> Show {
    Show { classes: Class::ALL.into_iter().collect(), unknown: true, ..Show::default() }
}

/// What a profile shows, for clients that may do just this.
fn allowing(profile: &Profile, operations: &[&'static Operation]) -> Profile {
    let mut profile = profile.clone();
    profile.allow = operations.iter().map(|operation| (operation.id, profile.location.clone())).collect();
    profile.parameters.clear();
    profile
}

/// What a policy decides about a request of an operation, with the parameters that the docker command sends.
fn decided(policy: &Policy, operation: &Operation) -> Option<Denial> {
    let path = operation.template.replace("{id}", &"a".repeat(25)).replace("{name}", "data");
    let mut targets = vec![format!("/v1.44{path}?version=7"), format!("{path}?version=7")];
    if operation.id == "ServiceUpdate" {
        targets.push(format!("/v1.44{path}?version=7&rollback=previous&registryAuthFrom=spec"));
    }
    let denials = targets.iter().map(|target| {
        let route = find(operation.method.as_str(), target).unwrap().unwrap();
        assert_eq!(route.operation.id, operation.id, "{target}");
        match policy.decide(&route) {
            Decision::Deny(denial) => Some(denial),
            Decision::Relay(_) | Decision::Filter(_) | Decision::Records(_) => None,
        }
    });
    let denials: Vec<Option<Denial>> = denials.collect();
    assert!(denials.iter().all(|denial| *denial == denials[0]), "{}: {denials:?}", operation.id);
    let without_parameters = policy.decide_operation(operation.id);
    assert_eq!(matches!(without_parameters, Decision::Deny(Denial::Erases)), denials[0] == Some(Denial::Erases));
    denials[0]
}

/// Every operation called an update, with the one reason for which it is in the table or not.
fn every_update_of_a_spec_is_in_the_table() {
    let expected: BTreeMap<&str, bool> = [
        ("ConfigUpdate", true),
        // Has only what is to change: what is left out, or zero, stays as it is.
        ("ContainerUpdate", false),
        ("NodeUpdate", true),
        ("SecretUpdate", true),
        ("ServiceUpdate", true),
        ("SwarmUpdate", true),
        ("VolumeUpdate", true),
    ]
    .into();
    let updates = OPERATIONS.iter().filter(|operation| operation.id.ends_with("Update"));
    let found: BTreeMap<&str, bool> =
        updates.map(|operation| (operation.id, !operation.writes_back.is_empty())).collect();
    assert_eq!(found, expected);
    assert_eq!(writing_back().count(), 6);
    // The engine takes an object as it is only together with the version that the client has read, so that parameter is the
    // sign. Every such operation is there, whatever its name.
    for operation in OPERATIONS {
        let has_version = operation.query.iter().any(|parameter| parameter.name == "version");
        let takes_object = has_version && operation.id != "ImageBuild";
        assert_eq!(takes_object, !operation.writes_back.is_empty(), "{}", operation.id);
    }
    // Each part is in documents that an operation returns, and the catalogue has fields for it.
    for DocumentPart { schema, path } in writing_back().flat_map(|operation| operation.writes_back) {
        let returned = |operation: &Operation| operation.response == ResponseKind::Document(schema);
        assert!(OPERATIONS.iter().any(returned), "{schema}");
        assert!(!leaves(schema, path).is_empty(), "{schema} {path:?}");
    }
}

/// Every operation × every built-in profile; then the same profile with everything shown.
fn no_built_in_profile_lets_a_client_erase_what_it_hides() {
    let operations: Vec<&Operation> = writing_back().collect();
    let mut rows = 0;
    for profile in profiles().iter() {
        let extended = allowing(profile, &operations);
        let policy = Policy::compile(&extended, catalogue()).unwrap();
        let erasing: Vec<&str> = policy.erasing().map(|operation| operation.id).collect();
        for operation in &operations {
            assert_eq!(decided(&policy, operation), Some(Denial::Erases), "{} {}", profile.name, operation.id);
            assert!(erasing.contains(&operation.id) && !policy.allows(operation.id), "{}", operation.id);
            rows += 1;
        }
        let mut open = extended;
        open.show = everything();
        open.rules.clear();
        let policy = Policy::compile(&open, catalogue()).unwrap();
        for operation in &operations {
            assert_eq!(decided(&policy, operation), None, "{} with everything shown: {}", profile.name, operation.id);
        }
    }
    assert!(rows > 150, "{rows}");
}

/// Every switch of every mode is on. What is open is denied, unless everything is shown, and the start says so.
fn no_drop_in_mode_lets_a_client_erase_what_it_hides() {
    let mut denied = BTreeSet::new();
    for table in tables().unwrap() {
        let switches = table.switches().filter(|(_, variable)| variable.means != Means::Ipv4).map(|(name, _)| name);
        let on = switches.map(|name| (name, "1")).chain([("DOCKVEIL_COMPAT", table.name.as_str())]);
        let on: Vec<(&str, &str)> = on.collect();
        for (show, is_open) in
            [("", false), ("secret,command,free-text,host-path,topology,host,identity,state", false), ("all", true)]
        {
            let variables: Variables = on.iter().copied().chain([("DOCKVEIL_SHOW", show)]).collect();
            let environment = Environment { variables, ..Environment::default() };
            let compat = Compat::find(&environment).unwrap().unwrap();
            let config = Config::load(&ServeArgs::default(), &environment).unwrap();
            let (policy, text) = (&config.listeners[0].policy, summary(&config));
            for operation in writing_back().filter(|operation| compat.allow.contains_key(operation.id)) {
                let expected = if is_open { None } else { Some(Denial::Erases) };
                assert_eq!(decided(policy, operation), expected, "{} {show:?} {}", table.name, operation.id);
                let warnings = text.lines().filter(|line| line.contains("warning: denied although allowed: "));
                let is_said = warnings.flat_map(|line| line.split([' ', ',', ':'])).any(|word| word == operation.id);
                assert_eq!(is_said, !is_open, "{} {show:?} {}: {text}", table.name, operation.id);
                denied.insert((table.name.as_str(), operation.id));
            }
        }
    }
    let of = |name: &str| denied.iter().filter(|(table, _)| *table == name).count();
    assert_eq!([of("tecnativa"), of("linuxserver"), of("11notes")], [6, 6, 0], "{denied:?}");
}

/// The fields in a part of a schema, as [`Plan::explain`] names them.
fn leaves(schema: &str, path: &[&str]) -> Vec<String> {
    let prefix = format!("$.{}", path.join("."));
    let inside = |path: &str| path.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with(['.', '[']));
    let all = Plan::explain(catalogue(), schema, &Show::default(), &[]).unwrap();
    all.into_iter().filter(|line| line.class.is_some() && inside(&line.path)).map(|line| line.path).collect()
}

/// Whether a profile with these lines and everything else shown lets a client update an object.
#[track_caller]
fn is_open(operation: &Operation, lines: &str) -> bool {
    let text = format!("profile: p\nallow: [{}]\n{lines}", operation.id);
    let profiles = Profiles::parse(&[("p.yaml", &text)], catalogue()).unwrap_or_else(|error| panic!("{error}: {text}"));
    let policy = Policy::compile(profiles.get("p").unwrap(), catalogue()).unwrap();
    decided(&policy, operation).is_none()
}

/// Everything is shown but one field: the smallest thing that a profile can hide.
fn each_hidden_field_of_a_spec_closes_its_update() {
    let mut closed = 0;
    for operation in writing_back() {
        for DocumentPart { schema, path } in operation.writes_back {
            let mut rules = String::new();
            for (leaf, action) in leaves(schema, path).iter().zip(["remove", "blank", "hash"].iter().cycle()) {
                let field = leaf.trim_end_matches('~').trim_end_matches("..*");
                rules.push_str(&format!("  - {{on: {schema}, {action}: \"{field}\", unknown: true}}\n"));
                // An entry of a map, and members that no schema knows.
                let parent = field.rsplit_once('.').map_or("$", |(parent, _)| parent);
                for named in [field.replace(".*", "['key']"), format!("{parent}.Unheard")] {
                    if !named.contains('[') || named.contains("['key']") {
                        rules.push_str(&format!("  - {{on: {schema}, {action}: \"{named}\", unknown: true}}\n"));
                    }
                }
                // Whether this hides anything depends on the document.
                if let Some(array) = field.strip_suffix("[*]") {
                    rules.push_str(&format!("  - {{on: {schema}, remove: \"{array}[3]\", unknown: true}}\n"));
                }
            }
            let text = format!("profile: p\nrules:\n{rules}");
            let profiles = Profiles::parse(&[("p.yaml", &text)], catalogue()).unwrap();
            for rule in &profiles.get("p").unwrap().rules {
                let plan = Plan::compile(catalogue(), schema, &everything(), std::slice::from_ref(rule)).unwrap();
                assert!(!plan.shows_whole(catalogue(), schema, path), "{schema} {}", rule.selector);
                closed += 1;
            }
        }
    }
    assert!(closed > 300, "{closed}");
}

/// What other keys of a profile make of an update.
fn what_a_profile_hides_or_masks_closes_an_update() {
    for operation in writing_back() {
        let id = operation.id;
        assert!(is_open(operation, "show: all\n"), "{id}");
        assert!(is_open(operation, "show: all\nrules: [{on: Error, remove: $.message}]\n"), "{id}");
        assert!(!is_open(operation, "show: all\nunknown: hide\n"), "{id}: fields of newer engines");
        let classes: BTreeSet<Class> = classes_of(operation).into_iter().collect();
        let is_masked = classes.iter().any(|class| class.may_hold_credentials());
        assert_eq!(is_open(operation, "show: all\nmask-values: true\n"), !is_masked, "{id}: masked");
        for class in Class::ALL {
            let open = is_open(operation, &format!("hide: [{}]\nmask-values: false\n", class.as_str()));
            assert_eq!(open, !classes.contains(&class), "{id} {class}");
        }
        // Nothing is shown by its class, but a rule keeps the part. Then only fields of newer engines are missing.
        let keep = |part: &DocumentPart| format!("{{on: {}, keep: \"$.{}\"}}", part.schema, part.path.join("."));
        let kept: Vec<String> = operation.writes_back.iter().map(keep).collect();
        let kept = format!("rules: [{}]\n", kept.join(", "));
        assert!(!is_open(operation, &kept), "{id}: {kept}");
        assert!(is_open(operation, &format!("unknown: show\n{kept}")), "{id}: {kept}");
    }
    for list in [lists::LABELS, lists::ENV] {
        let rule = format!("show: all\n{}: [\"!never\"]\n", list.key());
        let service = OPERATIONS.iter().find(|operation| operation.id == "ServiceUpdate").unwrap();
        assert!(!is_open(service, &rule), "{rule}");
    }
}

/// The classes of the fields that an operation sends back.
fn classes_of(operation: &Operation) -> Vec<Class> {
    let mut found = Vec::new();
    for DocumentPart { schema, path } in operation.writes_back {
        let known: BTreeSet<String> = leaves(schema, path).into_iter().collect();
        let all = Plan::explain(catalogue(), schema, &Show::default(), &[]).unwrap();
        found.extend(all.into_iter().filter(|line| known.contains(&line.path)).filter_map(|line| line.class));
    }
    found
}

/// Where the update is open, the recorded objects keep every byte of what is sent back; where it is closed by a built-in
/// profile, some of them would lose something.
fn what_is_shown_whole_is_left_as_it_came() {
    let mut compared = 0;
    let mut lost = BTreeSet::new();
    for operation in writing_back() {
        for DocumentPart { schema, path } in operation.writes_back {
            let whole = Plan::compile(catalogue(), schema, &everything(), &[]).unwrap();
            assert!(whole.shows_whole(catalogue(), schema, path));
            let part = |document: &Value| path.iter().fold(document.clone(), |at, name| at[*name].clone());
            for fixture in
                fixture::all().iter().filter(|fixture| fixture.operation.is_some() && fixture.schema() == *schema)
            {
                for document in fixture.documents().iter().filter(|document| !part(document).is_null()) {
                    let text = document.to_string();
                    let filtered = |plan: &Plan| -> Value {
                        let mut out = Vec::new();
                        plan.apply(text.as_bytes(), &mut out).unwrap();
                        serde_json::from_slice(&out).unwrap()
                    };
                    assert_eq!(part(&filtered(&whole)), part(document), "{}", fixture.path);
                    compared += 1;
                    let plan = crate::support::built_in::plan("read-only", schema);
                    assert!(!plan.shows_whole(catalogue(), schema, path));
                    if part(&filtered(&plan)) != part(document) {
                        lost.insert(operation.id);
                    }
                }
            }
        }
    }
    assert!(compared > 10, "{compared}");
    let expected: BTreeSet<&str> =
        ["ConfigUpdate", "NodeUpdate", "SecretUpdate", "ServiceUpdate", "SwarmUpdate"].into();
    assert_eq!(lost, expected, "recorded objects that would lose something");
}
