//! Every recorded answer of every engine, through every built-in profile: no canary of a hidden class comes out.

use std::collections::BTreeSet;

use dockveil::filter::Plan;
use dockveil::policy::{Decision, Policy, Profiles};
use dockveil::route::{self, OPERATIONS, Operation, Response};
use dockveil::schema::{Catalogue, Class};

use crate::support::fixture;

fn policies() -> Vec<Policy> {
    let catalogue = Catalogue::built_in().unwrap();
    Profiles::built_in(&catalogue)
        .unwrap()
        .iter()
        .map(|profile| Policy::compile(profile, &catalogue).unwrap())
        .collect()
}

/// The plan a policy filters an operation with, if it does.
fn plan(policy: &Policy, operation: &Operation) -> Option<std::sync::Arc<Plan>> {
    let target = operation.template.replace("{name}", "web").replace("{id}", "web").replace("{reference}", "web");
    let target = if operation.id == "ContainerStats" { format!("{target}?stream=0") } else { target };
    let route = route::find(operation.method.as_str(), &target).ok()??;
    match policy.decide(&route) {
        Decision::Filter(plan) => Some(plan),
        // Streams of records are in `events`.
        Decision::Deny(_) | Decision::Relay(_) | Decision::Records(_) => None,
    }
}

/// Secrets in labels that are addressed to the one client whose profile shows them.
pub(crate) const ADDRESSED: &[(&str, &str)] =
    &[("homepage", "container.label.homepage.widget.key"), ("traefik", "container.label.traefik.basicauth")];

/// The classes of which some field is shown: all of them, or one that a rule keeps.
fn shown(policy: &Policy, catalogue: &Catalogue) -> BTreeSet<Class> {
    let profile = policy.profile();
    let schemas: BTreeSet<_> = policy.operations().filter_map(Operation::schema).collect();
    let explained = schemas
        .into_iter()
        .flat_map(|schema| Plan::explain(catalogue, schema, &profile.show, &profile.rules).unwrap().into_iter());
    let kept = explained.filter(|line| line.outcome == "rule: keep").filter_map(|line| line.class);
    kept.chain(Class::ALL.into_iter().filter(|class| policy.shows(*class))).collect()
}

#[test]
fn no_canary_of_a_hidden_class_comes_out() {
    let fixtures = fixture::all();
    assert!(fixtures.len() > 300, "{} fixtures", fixtures.len());
    let mut leaks = BTreeSet::new();
    let mut filtered = 0;
    let catalogue = Catalogue::built_in().unwrap();
    for policy in policies() {
        let shown = shown(&policy, &catalogue);
        for engine in fixture::engines() {
            let hidden: Vec<_> = fixture::canaries(&engine)
                .into_iter()
                .filter(|canary| !shown.contains(&canary.class.parse::<Class>().unwrap()))
                .filter(|canary| !ADDRESSED.contains(&(policy.name(), canary.place.as_str())))
                .collect();
            assert!(hidden.len() > 20, "{engine} has {} canaries of hidden classes", hidden.len());
            for fixture in fixtures.iter().filter(|fixture| fixture.engine == engine) {
                for operation in OPERATIONS.iter().filter(|operation| fixture::snake(operation.id) == fixture.operation)
                {
                    let Some(plan) = plan(&policy, operation) else { continue };
                    let mut out = Vec::new();
                    let applied = if matches!(operation.response, Response::Array(_)) {
                        plan.apply_array(&fixture.body, &mut out)
                    } else {
                        plan.apply(&fixture.body, &mut out)
                    };
                    applied.unwrap_or_else(|error| panic!("{}: {error}", fixture.path));
                    filtered += 1;
                    let text = String::from_utf8(out).unwrap().to_lowercase();
                    for canary in hidden.iter().filter(|canary| text.contains(&canary.token.to_lowercase())) {
                        leaks.insert(format!(
                            "{} {} {} ({}, {})",
                            policy.name(),
                            fixture.path,
                            canary.token,
                            canary.class,
                            canary.place
                        ));
                    }
                }
            }
        }
    }
    assert!(filtered > 400, "{filtered} answers filtered");
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_canaries_are_in_the_recordings() {
    let fixtures = fixture::all();
    for engine in fixture::engines() {
        let bodies: Vec<String> = fixtures
            .iter()
            .filter(|fixture| fixture.engine == engine)
            .map(|fixture| String::from_utf8_lossy(&fixture.body).to_lowercase())
            .collect();
        let canaries = fixture::canaries(&engine);
        let seen =
            canaries.iter().filter(|canary| bodies.iter().any(|body| body.contains(&canary.token.to_lowercase())));
        let seen = seen.count();
        assert!(
            seen * 10 >= canaries.len() * 8,
            "{engine}: only {seen} of {} canaries are in a recording",
            canaries.len()
        );
    }
}

/// Without this, the test above could pass because it looks at nothing.
#[test]
fn a_profile_that_shows_everything_lets_canaries_out() {
    let catalogue = Catalogue::built_in().unwrap();
    let file = "profile: open\nabout: Shows all.\nallow: [ContainerInspect]\nshow: all\n";
    let profiles = Profiles::parse(&[("open.yaml", file)], &catalogue).unwrap();
    let policy = Policy::compile(profiles.get("open").unwrap(), &catalogue).unwrap();
    let inspect = route::operation("ContainerInspect").unwrap();
    let plan = plan(&policy, inspect).unwrap();
    let fixtures = fixture::all();
    let web = fixtures.iter().find(|fixture| fixture.path == "docker-28.5/v1.51/container_inspect.json").unwrap();
    let mut out = Vec::new();
    plan.apply(&web.body, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let shown = fixture::canaries("docker-28.5").into_iter().filter(|canary| text.contains(&canary.token)).count();
    assert!(shown > 20, "{shown} canaries shown");
}
