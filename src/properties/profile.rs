//! Profile files.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::Outcome;
use crate::api::lists;
use crate::filter::Action;
use crate::policy::{Decision, Policy};
use crate::profile::{Profile, Profiles};
use crate::route::find;
use crate::schema::{Catalogue, Class, NameList};

static CATALOGUE: LazyLock<Option<Catalogue>> = LazyLock::new(|| crate::api::catalogue::built_in().ok());

/// A container with a canary in a field of each class, and in places that no schema knows.
const CONTAINER: &str = r#"{"Id":"canary-identity","Path":"canary-command","Config":{"Env":["A=canary-secret"],"Labels":
    {"a":"canary-free-text"},"Cmd":["canary-command"],"Hostname":"canary-topology","Later":"canary-unknown"},"Driver":
    "canary-host","LogPath":"canary-host-path","State":{"Status":"canary-state"},"Later":{"a":"canary-unknown"},"Config2":
    ["canary-unknown"]}"#;

/// The input is one profile file, or several, each behind a line of three dashes. Whatever they say, a profile shows nothing
/// of a class that it does not name, unless it names the value; it allows what the profile that it extends allows; and the
/// order of the files means nothing. Files with an error open nothing, and every error has its location.
///
/// # Panics
/// If that is not so.
pub(super) fn a_profile_shows_only_its_classes(bytes: &[u8]) -> Outcome {
    let Some(catalogue) = CATALOGUE.as_ref() else { panic!("the catalogue has no errors") };
    let Ok(text) = str::from_utf8(bytes) else { return Outcome::Unusable };
    let names = ["a.yaml", "b.yaml", "c.yaml"];
    let files: Vec<(&str, &str)> = names.into_iter().zip(text.splitn(names.len(), "\n---\n")).collect();
    let backwards: Vec<(&str, &str)> = files.iter().rev().copied().collect();
    let (profiles, again) = (Profiles::parse(&files, catalogue), Profiles::parse(&backwards, catalogue));
    let profiles = match (profiles, again) {
        (Ok(profiles), Ok(again)) => {
            let printed = |profiles: &Profiles| profiles.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>();
            assert_eq!(printed(&profiles), printed(&again), "the order of files means nothing");
            profiles
        }
        (Err(diagnostics), Err(_)) => {
            assert!(!diagnostics.is_empty(), "files that are refused have an error");
            for diagnostic in diagnostics.iter() {
                let file = files.iter().find(|(name, _)| *name == &*diagnostic.location.file);
                let Some((_, text)) = file else { panic!("{diagnostic} is in no file") };
                let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
                assert!(diagnostic.location.line as usize <= lines + 1, "{diagnostic} is behind the end");
                assert!(!diagnostic.message.is_empty(), "an error is explained");
            }
            return Outcome::Refused;
        }
        (Ok(_), Err(wrong)) | (Err(wrong), Ok(_)) => panic!("only one order of the files is wrong: {wrong:?}"),
    };
    check_heirs(&profiles, &files, catalogue);
    let mut outcome = Outcome::Refused;
    for profile in profiles.iter() {
        let eager = Policy::compile_eagerly(profile, catalogue);
        match Policy::compile(profile, catalogue) {
            Ok(policy) => {
                assert!(eager.is_ok(), "a start finds every error: {:?}", eager.err());
                check(profile, &policy, text);
                outcome = Outcome::Accepted;
            }
            Err(diagnostics) => {
                assert!(!diagnostics.is_empty(), "a profile that makes no policy has a reason");
                assert_eq!(eager.err(), Some(diagnostics), "a start finds every error");
            }
        }
    }
    outcome
}

/// Profiles that extend one of the files: one that hides everything shows nothing, and one that shows everything shows it.
fn check_heirs(profiles: &Profiles, files: &[(&str, &str)], catalogue: &Catalogue) {
    let Some(parent) = profiles.iter().next() else { return };
    let extends = format!("extends: {}\n", serde_json::Value::from(parent.name.as_str()));
    let classes: Vec<&str> = Class::ALL.iter().map(|class| class.as_str()).collect();
    let closed = format!("profile: heir.closed\n{extends}hide: [{}]\nunknown: hide\n", classes.join(", "));
    let open = format!("profile: heir.open\n{extends}show: all\n");
    let again = Profiles::parse(&[files, &[("closed.yaml", &closed), ("open.yaml", &open)]].concat(), catalogue);
    let again = match again {
        Ok(again) => again,
        // The name may have what no quotes of ours can write, or be taken.
        Err(_) if parent.name.contains(|c: char| !c.is_ascii_graphic()) || parent.name.starts_with("heir") => return,
        Err(wrong) => panic!("a profile can be extended: {wrong:?}"),
    };
    for (name, shows) in [("heir.closed", false), ("heir.open", true)] {
        let Some(heir) = again.get(name) else { panic!("the profile {name} is there") };
        for class in Class::ALL {
            assert_eq!(heir.show.classes.contains(class), shows, "{name}, {class}");
        }
        assert_eq!((heir.show.unknown, heir.show.mask), (shows, !shows && parent.show.mask), "{name}");
        assert!(parent.allow.keys().all(|id| heir.allow.contains_key(id)), "{name} allows what it extends");
        assert_eq!(heir.rules, parent.rules, "{name} has the rules of what it extends");
    }
}

fn check(profile: &Profile, policy: &Policy, text: &str) {
    let operations: Vec<&str> = policy.operations().map(|operation| operation.id).collect();
    let allowed: Vec<&str> = profile.allow.keys().copied().collect();
    assert_eq!(operations, allowed, "the policy allows what the profile names");
    let Ok(Some(route)) = find("GET", "/containers/a/json") else { panic!("a container can be inspected") };
    let plan = match policy.decide(&route) {
        Decision::Filter(plan) => plan,
        Decision::Deny(_) => {
            assert!(!allowed.contains(&"ContainerInspect"), "what the profile names is allowed");
            return;
        }
        Decision::Relay(_) | Decision::Records(_) => panic!("a container is filtered"),
    };
    assert!(allowed.contains(&"ContainerInspect"), "what the profile does not name is denied");
    let mut out = Vec::new();
    assert!(plan.apply(CONTAINER.as_bytes(), &mut out).is_ok(), "a container can be filtered");
    let left = String::from_utf8_lossy(&out);
    // A rule may show a value, and the profile may hold the text itself.
    let keeps = profile.rules.iter().any(|rule| rule.action == Action::Keep);
    if keeps || text.contains("canary") {
        return;
    }
    let show = &profile.show;
    let listed = |list: NameList| !show.names.of(list).is_empty();
    let listed: BTreeMap<Class, bool> =
        BTreeMap::from([(Class::Secret, listed(lists::ENV)), (Class::FreeText, listed(lists::LABELS))]);
    for class in Class::ALL {
        let may_show = show.classes.contains(class) || listed.get(&class).copied().unwrap_or_default();
        let canary = format!("canary-{}\"", class.as_str());
        assert!(may_show || !left.contains(&canary), "{} shows {class}: {left}", profile.name);
    }
    assert!(show.unknown || !left.contains("canary-unknown"), "{} shows what is unknown: {left}", profile.name);
}
