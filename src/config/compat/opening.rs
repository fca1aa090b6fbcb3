//! Which variables open an operation that the variables of another socket proxy leave closed.

use std::collections::BTreeMap;

use super::table::Means;
use super::{ExtraShow, LABELS, SHOW, Switches, allowed};
use crate::profile::OpeningVariables;

/// The variables that open each operation that is closed: the fewest that do, each one that is not set so far.
pub(super) fn opening(switches: &Switches, extra: &ExtraShow) -> OpeningVariables {
    let (ways, open) = (ways(switches, extra), allowed(switches, extra));
    let most = ways.iter().map(|(variables, _)| variables.len()).max().unwrap_or_default();
    let mut operations = BTreeMap::new();
    for number in 0..=most {
        for (variables, opened) in ways.iter().filter(|(variables, _)| variables.len() == number) {
            for id in opened.keys().filter(|id| !open.contains_key(*id)) {
                operations.entry(*id).or_insert_with(|| variables.join(" "));
            }
        }
    }
    OpeningVariables { operations, show: SHOW, labels: LABELS }
}

/// Settings, and the operations that are open with them.
type Way = (Vec<String>, BTreeMap<&'static str, String>);

/// One more switch, alone and with the switch for writing, and with or without showing everything.
fn ways(switches: &Switches, extra: &ExtraShow) -> Vec<Way> {
    let table = switches.table;
    let post = table.meaning(Means::Post).map(|(name, _)| name);
    let mut ways = Vec::new();
    // Switches for actions alone come first: they open the least.
    let is_action = |means: Means| means == Means::Action;
    let of_actions = |wanted: bool| table.switches().filter(move |(_, variable)| is_action(variable.means) == wanted);
    for (name, variable) in of_actions(true).chain(of_actions(false)) {
        for (with_post, with_all) in [(false, false), (true, false), (false, true), (true, true)] {
            let wanted = variable.needs.as_deref().into_iter().chain([name]).chain(post.filter(|_| with_post));
            let (mut switches, mut extra, mut settings) = (switches.clone(), extra.clone(), Vec::new());
            for name in wanted {
                if switches.turn_on(name) {
                    let on = table.variables.get(name).and_then(|variable| variable.on.first());
                    settings.push(format!("{name}={}", on.map_or("1", String::as_str)));
                }
            }
            if with_all && !extra.all {
                extra.all = true;
                settings.push(format!("{SHOW}=all"));
            }
            ways.push((settings, allowed(&switches, &extra)));
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use crate::cli::Environment;
    use crate::config::compat::Compat;
    use crate::policy::{Decision, Policy};
    use crate::profile::Profiles;
    use crate::route::find;

    fn compat(variables: &[(&str, &str)]) -> Compat {
        let variables = variables.iter().copied().collect();
        Compat::find(&Environment { variables, ..Environment::default() }).unwrap().unwrap()
    }

    /// Checks what opens an operation. Empty if nothing does.
    #[track_caller]
    fn check(variables: &[(&str, &str)], id: &str, expected: &str) {
        let compat = compat(variables);
        let opening = super::opening(&compat.switches, &compat.extra);
        assert_eq!(opening.operations.get(id).map_or("", String::as_str), expected, "{variables:?} {id}");
    }

    /// Of every closed operation of every table, whatever is set.
    #[test]
    fn the_named_variables_open_the_operation() {
        for (name, set) in [("tecnativa", "CONTAINERS"), ("linuxserver", "POST"), ("11notes", "SOCKET_PROXY_UID")] {
            let set = [("DOCKVEIL_COMPAT", name), (set, "1")];
            let compat = self::compat(&set);
            for (id, opening) in super::opening(&compat.switches, &compat.extra).operations {
                let more = opening.split(' ').map(|setting| setting.split_once('=').unwrap());
                let all: Vec<(&str, &str)> = set.into_iter().chain(more).collect();
                assert!(self::compat(&all).allow.contains_key(id), "{name} {id}: {opening}");
            }
        }
    }

    #[test]
    fn a_denial_names_the_variables() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let profiles = Profiles::built_in(&catalogue).unwrap();
        let compat = compat(&[("DOCKVEIL_COMPAT", "tecnativa"), ("CONTAINERS", "1"), ("EVENTS", "1")]);
        let policy = Policy::compile(&compat.profile(profiles.get(compat.base()).unwrap()), &catalogue).unwrap();
        for (method, target, expected) in [
            ("GET", "/info", "the profile compat:tecnativa does not allow SystemInfo (INFO=1 opens it)"),
            (
                "POST",
                "/images/a/tag",
                "the profile compat:tecnativa does not allow ImageTag (IMAGES=1 POST=1 opens it)",
            ),
            ("GET", "/debug/vars", "the profile compat:tecnativa does not allow DebugVars"),
            (
                "GET",
                "/containers/json?filters={%22label%22:[%22com.example%22]}",
                "the profile compat:tecnativa hides the label com.example that ContainerList is filtered by \
                 (DOCKVEIL_LABELS=com.example opens it)",
            ),
        ] {
            let route = find(method, target).unwrap().unwrap();
            let Decision::Deny(denial) = policy.decide(&route) else { panic!("{target} is not denied") };
            assert_eq!(policy.refusal(&route, denial).public(), format!("denied by policy: {expected}"));
        }
    }

    #[test]
    fn the_fewest_variables_that_open_an_operation_are_named() {
        let tecnativa = [("DOCKVEIL_COMPAT", "tecnativa"), ("CONTAINERS", "1")];
        check(&tecnativa, "SystemInfo", "INFO=1");
        check(&tecnativa, "ContainerCreate", "POST=1");
        check(&tecnativa, "ImageDelete", "IMAGES=1 POST=1");
        check(&tecnativa, "ContainerExport", "DOCKVEIL_SHOW=all");
        check(&tecnativa, "PutContainerArchive", "POST=1");
        check(&tecnativa, "ContainerList", "");
        check(&tecnativa, "DebugVars", "");
        check(&[("DOCKVEIL_COMPAT", "linuxserver"), ("POST", "1")], "ContainerLogs", "CONTAINERS=1 ALLOW_LOGS=1");
        check(&[("DOCKVEIL_COMPAT", "11notes")], "SecretList", "");
        check(&[("DOCKVEIL_COMPAT", "11notes")], "ContainerCreate", "");
    }
}
