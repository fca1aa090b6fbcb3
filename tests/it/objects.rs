//! What a client sees of an engine of which its profile shows only some objects: the same, whatever the others are.

mod world;
pub(crate) mod writes;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use dockveil::policy::Policy;
use dockveil::profile::Profiles;
use dockveil::socket::Address;

use self::world::{Container, Numbers, PROJECT, World, network_name, volume_name};
use crate::harness::{Test, tests};
use crate::support::built_in::{catalogue, profiles};
use crate::support::client::{Client, closing_get, status};
use crate::support::daemon::Reply;
use crate::support::proxy::{Bench, config};

pub(crate) const TESTS: &[Test] = tests![
    hidden_objects_change_nothing_that_a_client_reads,
    visible_objects_are_all_there,
    a_request_goes_up_with_the_whole_id,
    a_known_container_costs_no_lookup,
    an_operation_is_bound_to_its_objects,
    what_acts_on_all_objects_is_denied
];

/// How many pairs of engines are compared, and how many requests go to each pair.
const PAIRS: usize = 125;
const REQUESTS: usize = 40;
/// How many engines are compared at a time.
const HALVES: usize = 2;

/// Allows and shows everything.
const OPEN: &str = "allow: all\nshow: all\nparameters: {ContainerList: all}\n";
/// What the profiles of these tests show.
const BY_LABEL: &str =
    "containers: {only: [{project: shop}, {label: dashboard.show=true}], never: [{label: dashboard.hide}]}\n";
const BY_NAME: &str = "containers: {only: [{name: \"web-*\"}]}\n";
const BY_USE: &str =
    "images: {only: used}\nvolumes: {only: used}\nnetworks: {only: used}\nservices: {only: [{label: a}]}\n";

/// A container that the profiles show, by its name and its label.
fn visible(numbers: &mut Numbers, number: usize, created: usize) -> Container {
    Container::generated(numbers, &format!("web-{number}"), &[(PROJECT, "shop")], created)
}

/// A container that they hide, for one of several reasons.
fn hidden(numbers: &mut Numbers, number: usize, created: usize) -> Container {
    let labels: &[(&str, &str)] = match numbers.below(4) {
        0 => &[(PROJECT, "other")],
        1 => &[(PROJECT, "shop"), ("dashboard.hide", "")],
        2 => &[("dashboard.show", "True")],
        _ => &[],
    };
    Container::generated(numbers, &format!("secret-{number}"), labels, created)
}

/// Two engines that differ only in what is hidden: other containers, some with an id that begins like that of a visible one.
fn pair(seed: u64) -> [World; 2] {
    let mut numbers = Numbers::new(seed);
    let count = numbers.below(6);
    let shown: Vec<Container> = (0..count).map(|number| visible(&mut numbers, number, 10 * (number + 1))).collect();
    [(); 2].map(|()| {
        let count = numbers.below(7);
        let mut others: Vec<Container> = (0..count)
            .map(|number| {
                let created = numbers.below(80);
                hidden(&mut numbers, number, created)
            })
            .collect();
        for other in &mut others {
            if let Some(like) = shown.first().filter(|_| numbers.below(2) == 0) {
                other.id.replace_range(..4, &like.id[..4]);
            }
            // A name that is the start of a visible id.
            if let Some(like) = shown.last().filter(|_| numbers.below(6) == 0) {
                other.name = like.id[..6].to_owned();
            }
        }
        let mut containers = shown.clone();
        // Hidden containers are linked to visible ones.
        for container in containers.iter_mut().filter(|_| numbers.below(3) == 0) {
            container.links = others.iter().take(1).map(|other| other.name.clone()).collect();
        }
        World { containers }.with(&others)
    })
}

/// Texts that could name a container in one of the worlds, or in none.
fn names(worlds: &[World; 2], numbers: &mut Numbers) -> String {
    let all: Vec<&Container> = worlds.iter().flat_map(|world| &world.containers).collect();
    let length = 1 + numbers.below(12);
    match (all.is_empty(), numbers.below(5)) {
        (true, _) | (_, 0) => numbers.hex(length),
        (_, 1) => all[numbers.below(all.len())].name.clone(),
        (_, 2) => all[numbers.below(all.len())].id.clone(),
        (_, _) => all[numbers.below(all.len())].id[..length].to_owned(),
    }
}

/// The target of a request.
fn target(worlds: &[World; 2], numbers: &mut Numbers) -> String {
    let name = names(worlds, numbers);
    let number = numbers.below(8);
    match numbers.below(24) {
        0 => "/containers/json".to_owned(),
        1 => "/containers/json?all=1".to_owned(),
        2 => format!("/containers/json?limit={number}"),
        3 => format!("/containers/json?all=1&before={name}"),
        4 => format!("/containers/json?all=1&filters={{\"since\":[\"{name}\"]}}"),
        5 => format!("/containers/json?all=1&filters={{\"before\":{{\"{name}\":true}}}}"),
        6..=8 => format!("/containers/{name}/json"),
        9 => format!("/containers/{name}/top"),
        10 => format!("/containers/{name}/stats?stream=0"),
        11 => format!("/containers/{name}/logs?stdout=1"),
        12 => format!("/containers/{name}/changes"),
        13 => format!("/exec/{}/json", name.chars().rev().collect::<String>()),
        14 => "/images/json".to_owned(),
        15 => format!("/images/image{number}:1/json"),
        16 => "/volumes".to_owned(),
        17 => format!("/volumes/{}", volume_name(number)),
        18 => "/networks".to_owned(),
        19 => format!("/networks/{}", network_name(number)),
        20 => "/system/df".to_owned(),
        21 => "/info".to_owned(),
        22 => "/events?since=1&until=2".to_owned(),
        _ => format!("/containers/{name}/json?size=1"),
    }
}

/// An engine that can change, and listeners with these profiles in front of it.
struct Stage {
    bench: Bench,
    world: Arc<Mutex<World>>,
    listeners: usize,
}

impl Stage {
    fn new(policies: Vec<Arc<Policy>>) -> Self {
        let world = Arc::<Mutex<World>>::default();
        let shared = world.clone();
        let answer = move |request: &str| {
            let world = shared.lock().unwrap();
            writes::answer(&world, request).unwrap_or_else(|| world.answer(request))
        };
        Self::with(world, policies, answer)
    }

    /// Another engine.
    fn answering(profile: &str, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(Arc::default(), vec![policy(&format!("profile: p\n{profile}"), "p")], answer)
    }

    fn with(
        world: Arc<Mutex<World>>,
        policies: Vec<Arc<Policy>>,
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listeners = policies.len();
        let bench = Bench::with(answer, |start| {
            let Address::Unix(path) = start.listeners.remove(0).address else { panic!("no socket") };
            for (number, policy) in policies.into_iter().enumerate() {
                let path = path.with_file_name(format!("listener{number}"));
                let mut listener = config(&path, &path).listeners.remove(0);
                listener.policy = policy;
                start.listeners.push(listener);
            }
        });
        Self { bench, world, listeners }
    }

    fn of(profile: &str) -> Self {
        Self::new(vec![policy(&format!("profile: p\n{profile}"), "p")])
    }

    fn show(&self, world: &World) {
        *self.world.lock().unwrap() = world.clone();
    }

    /// The whole answer, byte for byte, without its date.
    fn ask(&self, listener: usize, request: &str) -> String {
        let path = self.bench.folder.path(&format!("listener{listener}"));
        ask(&path, request)
    }

    fn get(&self, target: &str) -> String {
        self.ask(0, &closing_get(target))
    }
}

fn ask(path: &Path, request: &str) -> String {
    let mut client = Client::connect_when_listening(path);
    client.send(request);
    let answer = client.rest();
    let lines = answer.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
    lines.collect::<Vec<_>>().join("\r\n")
}

fn policy(text: &str, name: &str) -> Arc<Policy> {
    let all = Profiles::built_in_with(&[("p.yaml", text)], catalogue()).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    Arc::new(Policy::compile(all.get(name).unwrap(), catalogue()).unwrap())
}

/// Each built-in profile with some containers, and two that allow and show everything.
fn policies() -> Vec<Arc<Policy>> {
    let mut texts: Vec<String> = profiles()
        .iter()
        .enumerate()
        .map(|(number, profile)| {
            let rest = if number % 2 == 0 { BY_USE } else { "" };
            format!("profile: p\nextends: {}\n{BY_LABEL}{rest}", profile.name)
        })
        .collect();
    texts.push(format!("profile: p\n{OPEN}{BY_LABEL}{BY_USE}"));
    texts.push(format!("profile: p\n{OPEN}{BY_LABEL}"));
    texts.push(format!("profile: p\n{OPEN}events: filtered\n{BY_NAME}{BY_USE}"));
    texts.iter().map(|text| policy(text, "p")).collect()
}

fn hidden_objects_change_nothing_that_a_client_reads() {
    let compare_half = |half: usize| {
        let stage = Stage::new(policies());
        // From then on, every answer says the version of the engine.
        assert!(stage.ask(stage.listeners - 1, &closing_get("/_ping")).contains("api-version: 1.51"));
        let mut counts = Counts::default();
        (0..PAIRS as u64).filter(|seed| *seed as usize % HALVES == half).for_each(|seed| counts.compare(&stage, seed));
        counts
    };
    let counts = std::thread::scope(|scope| {
        let halves = [0, 1].map(|half| scope.spawn(move || compare_half(half)));
        halves.map(|half| half.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let all = |count: fn(&Counts) -> usize| counts.iter().map(count).sum::<usize>();
    let [compared, found, denied] = [all(|one| one.compared), all(|one| one.found), all(|one| one.denied)];
    assert!(
        compared == PAIRS * REQUESTS && found > compared / 3 && denied < compared / 2,
        "{compared} {found} {denied}"
    );
}

/// How many answers were compared, were found, and were denied.
#[derive(Default)]
struct Counts {
    compared: usize,
    found: usize,
    denied: usize,
}

impl Counts {
    /// Compares the answers to the requests of one pair.
    fn compare(&mut self, stage: &Stage, seed: u64) {
        let worlds = pair(seed);
        let mut numbers = Numbers::new(seed ^ 0x5eed);
        let requests: Vec<(usize, String)> = (0..REQUESTS)
            .map(|number| {
                // The last profiles allow everything.
                let all = stage.listeners;
                let listener = if number % 2 == 0 { numbers.below(all) } else { all - 1 - numbers.below(3) };
                (listener, closing_get(&target(&worlds, &mut numbers)))
            })
            .collect();
        self.compare_requests(stage, &worlds, &requests, seed);
    }

    fn compare_requests(&mut self, stage: &Stage, worlds: &[World; 2], requests: &[(usize, String)], seed: u64) {
        let answers = worlds.each_ref().map(|world| {
            stage.show(world);
            requests.iter().map(|(listener, request)| stage.ask(*listener, request)).collect::<Vec<_>>()
        });
        for (((listener, request), one), other) in requests.iter().zip(&answers[0]).zip(&answers[1]) {
            let line = request.lines().next().unwrap();
            assert_eq!(one, other, "profile {listener}, seed {seed}: {line}");
            for word in ["secret-", "canary"] {
                assert!(!one.contains(word) || line.contains(word), "profile {listener}, seed {seed}: {line}: {one}");
            }
            self.compared += 1;
            self.found += usize::from([200, 201].contains(&status(one)));
            self.denied += usize::from(status(one) == 403);
        }
    }
}

/// The world of the other tests: two visible containers and a hidden one.
fn small_world() -> World {
    let mut numbers = Numbers::new(7);
    let mut containers = vec![visible(&mut numbers, 1, 1), visible(&mut numbers, 2, 3)];
    containers.push(Container::generated(&mut numbers, "secret-1", &[(PROJECT, "other")], 2));
    containers[0].state = "running";
    containers[1].state = "exited";
    containers[2].state = "running";
    World::default().with(&containers)
}

/// The bodies of requests to the engine, without those of our own that ask for an object or a list.
fn sent(stage: &Stage) -> Vec<String> {
    let requests = stage.bench.daemon.requests();
    requests.iter().map(|request| request.lines().next().unwrap().to_owned()).collect()
}

fn visible_objects_are_all_there() {
    let stage = Stage::of(&format!("{OPEN}{BY_LABEL}{BY_USE}"));
    let world = small_world();
    stage.show(&world);
    let by_name = |name: &str| world.containers.iter().find(|container| container.name == name).unwrap();
    let ids = |answer: &str| -> Vec<String> {
        let (body, _) = crate::support::client::body(answer);
        let list: serde_json::Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {answer}"));
        list.as_array()
            .unwrap_or_else(|| panic!("{answer}"))
            .iter()
            .map(|container| container["Id"].as_str().unwrap().to_owned())
            .collect()
    };
    let (first, second) = (by_name("web-1").id.clone(), by_name("web-2").id.clone());
    for (target, expected) in [
        ("/containers/json".to_owned(), vec![first.clone()]),
        ("/containers/json?all=1".to_owned(), vec![second.clone(), first.clone()]),
        ("/containers/json?limit=1".to_owned(), vec![second.clone()]),
        ("/containers/json?limit=2".to_owned(), vec![second.clone(), first.clone()]),
        ("/containers/json?limit=-1".to_owned(), vec![first.clone()]),
        (format!("/containers/json?all=1&before={second}"), vec![first.clone()]),
        ("/containers/json?all=1&filters={\"since\":[\"web-1\"]}".to_owned(), vec![second.clone()]),
    ] {
        assert_eq!(ids(&stage.get(&target)), expected, "{target}");
    }
    for name in ["web-1", &first, &first[..8]] {
        assert_eq!(status(&stage.get(&format!("/containers/{name}/json"))), 200, "{name}");
    }
    let info: serde_json::Value = serde_json::from_str(&crate::support::client::body(&stage.get("/info")).0).unwrap();
    let counts = ["Containers", "ContainersRunning", "ContainersStopped"].map(|name| info[name].as_u64());
    assert_eq!(counts, [Some(2), Some(1), Some(1)], "{info}");
    let images: BTreeSet<usize> = [&first, &second].iter().map(|id| by_id(&world, id).image).collect();
    assert_eq!(info["Images"].as_u64(), Some(images.len() as u64));
    let events = stage.get("/events?since=1&until=2");
    for container in &world.containers {
        let is_there = events.matches(&format!(r#""ID":"{}""#, container.id)).count();
        assert_eq!(is_there, if container.name == "secret-1" { 0 } else { 4 }, "{}: {events}", container.name);
    }
}

fn by_id<'w>(world: &'w World, id: &str) -> &'w Container {
    world.containers.iter().find(|container| container.id == id).unwrap()
}

/// So a container that takes over the name in between is not reached.
fn a_request_goes_up_with_the_whole_id() {
    let stage = Stage::of(&format!("{OPEN}{BY_NAME}"));
    let world = small_world();
    stage.show(&world);
    let id = world.containers[0].id.clone();
    for (method, path) in [("POST", "restart"), ("GET", "logs?stdout=1"), ("POST", "stop"), ("GET", "top")] {
        for name in ["web-1", &id[..6], &id] {
            let request =
                format!("{method} /v1.44/containers/{name}/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = stage.ask(0, &request);
            assert!(status(&answer) < 300, "{request}: {answer}");
            let up = sent(&stage).pop().unwrap();
            assert_eq!(up, format!("{method} /v1.44/containers/{id}/{path} HTTP/1.1"));
        }
        // Nothing goes up to the one that is hidden.
        let before = sent(&stage).len();
        let request =
            format!("{method} /v1.44/containers/secret-1/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(status(&stage.ask(0, &request)), 404);
        assert_eq!(sent(&stage)[before..], ["GET /v1.44/containers/secret-1/json HTTP/1.1"]);
    }
}

fn a_known_container_costs_no_lookup() {
    let world = small_world();
    let id = world.containers[0].id.clone();
    let asks = |restriction: &str| {
        let stage = Stage::of(&format!("{OPEN}{restriction}"));
        stage.show(&world);
        stage.get("/containers/json");
        assert_eq!(sent(&stage).len(), 1, "a list costs no more than itself");
        assert_eq!(status(&stage.get(&format!("/containers/{id}/top"))), 200);
        sent(&stage).len() - 1
    };
    assert_eq!(asks(BY_LABEL), 1);
    // Names change, so what depends on them is asked for.
    assert_eq!(asks(BY_NAME), 2);
}

fn an_operation_is_bound_to_its_objects() {
    let stage = Stage::of(
        "allow: [ContainerList, ContainerInspect, {ContainerRestart: {only: [{name: web-1}]}}, {ContainerLogs: {never: [{label: \
         dashboard.hide}]}}]\nshow: all\n",
    );
    stage.show(&small_world());
    let restart = |name: &str| {
        let request = format!("POST /containers/{name}/restart HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stage.ask(0, &request)
    };
    assert_eq!(status(&restart("web-1")), 204);
    let denied = restart("web-2");
    assert_eq!(status(&denied), 403, "{denied}");
    for name in ["secret-1", "absent", "abc"] {
        assert_eq!(restart(name), denied, "{name}");
    }
    assert!(denied.contains("allows ContainerRestart for some objects only"), "{denied}");
    assert_eq!(status(&stage.get("/containers/secret-1/json")), 200);
    assert_eq!(status(&stage.get("/containers/web-2/logs?stdout=1")), 200);
}

/// Of every operation, whether a profile with some objects lets it through.
fn what_acts_on_all_objects_is_denied() {
    let open = policy(&format!("profile: p\n{OPEN}{BY_LABEL}{BY_USE}"), "p");
    let denied: Vec<&str> = open.unlimited().map(|(operation, _)| operation.id).collect();
    for id in ["ContainerPrune", "ImagePrune", "ImageBuild", "BuildPrune", "Session", "Grpc"] {
        assert!(denied.contains(&id) && !open.allows(id), "{id}");
    }
    // Services and tasks tell what the containers of all services do.
    let alone = policy(&format!("profile: p\n{OPEN}{BY_LABEL}"), "p");
    for id in ["TaskList", "TaskInspect", "TaskLogs", "ServiceLogs"] {
        assert!(!alone.allows(id) && open.allows(id), "{id}");
    }
    let stage = Stage::of(&format!("{OPEN}{BY_LABEL}"));
    let request = "POST /containers/prune HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = stage.ask(0, request);
    assert!(status(&answer) == 403 && answer.contains("shows only some containers"), "{answer}");
    assert!(sent(&stage).is_empty());
}
