//! What a client sees of an engine of which its profile shows only some objects: the same, whatever the others are.

mod engine;
mod filters;
pub(crate) mod leaks;
mod requests;
pub(crate) mod table;
mod world;
pub(crate) mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dockveil::policy::Policy;
use dockveil::profile::Profiles;
use dockveil::socket::Address;
use serde_json::json;

use self::requests::Generated;
use self::world::{Container, Image, Network, Numbers, PROJECT, Service, Volume, World, labels};
use crate::harness::{Test, tests};
use crate::support::built_in::{catalogue, profiles};
use crate::support::client::{Client, closing_get, status};
use crate::support::daemon::{self, Daemon, Reply};
use crate::support::proxy::{Bench, Folder, config};

pub(crate) const TESTS: &[Test] = tests![
    hidden_containers_change_nothing_that_a_client_reads,
    hidden_objects_change_nothing_that_a_client_reads,
    visible_objects_are_all_there,
    a_request_goes_up_with_the_whole_id,
    a_known_container_costs_no_lookup,
    what_is_hidden_takes_the_same_requests_as_what_does_not_exist,
    what_is_hidden_is_answered_no_sooner_than_what_does_not_exist,
    a_filter_on_references_shows_no_image_that_one_of_them_hides,
    events_of_networks_alone_tell_nothing_of_names,
    an_operation_is_bound_to_its_objects,
    what_acts_on_all_objects_is_denied
];

/// How many pairs of engines each of two tests compares, and how many requests go to each pair: 5,000 in all.
const PAIRS: u64 = 63;
const REQUESTS: usize = 40;

/// Allows and shows everything.
const OPEN: &str = "allow: all\nshow: all\nparameters: {ContainerList: all}\n";
/// What the profiles of these tests show.
const BY_LABEL: &str =
    "containers: {only: [{project: shop}, {label: dashboard.show=true}], never: [{label: dashboard.hide}]}\n";
const BY_NAME: &str = "containers: {only: [{name: \"web-*\"}]}\n";
const BY_IMAGE: &str = "containers: {never: [{image: \"secret-*\"}]}\n";
const BY_USE: &str =
    "images: {only: used}\nvolumes: {only: used}\nnetworks: {only: used}\nservices: {only: [{label: a}]}\n";
const BY_CHOICE: &str = "images: {never: [{reference: \"secret-*\"}]}\nvolumes: {never: [{name: \"secret-*\"}]}\n\
                         networks: {never: [{label: hide}]}\nservices: {never: [{label: hide}]}\n";
/// The same, where labels decide about images.
const BY_LABELS: &str = "images: {never: [{label: hide}]}\nvolumes: {never: [{name: \"secret-*\"}]}\n\
                         networks: {never: [{label: hide}]}\nservices: {never: [{label: hide}]}\n";

/// In what two engines differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    /// In hidden containers, and in what those use.
    Containers,
    /// In hidden images, volumes, networks and services as well.
    Objects,
    /// As well in what visible containers were called while they were hidden.
    OldNames,
    /// Hidden containers are hidden because of their images.
    ByImage,
}

impl Difference {
    /// Whether a client of a profile must not see it.
    fn is_hidden_by(self, profile: &str) -> bool {
        let hides_all = [BY_USE, BY_CHOICE, BY_LABELS].iter().any(|keys| profile.contains(keys));
        match self {
            Self::Containers => !profile.contains(BY_IMAGE),
            Self::Objects => hides_all && !profile.contains(BY_IMAGE),
            Self::OldNames => hides_all && profile.contains(BY_NAME),
            Self::ByImage => hides_all,
        }
    }
}

/// What both engines have beside containers.
fn common(numbers: &mut Numbers) -> World {
    let image = |numbers: &mut Numbers, number: usize| Image {
        id: numbers.hex(64),
        // One has lost its name.
        tags: if number == 5 { Vec::new() } else { vec![format!("image{number}:1")] },
        labels: if number == 1 { labels(&[("a", "")]) } else { BTreeMap::new() },
        parent: None,
        created: 10 * (number + 1),
    };
    World {
        containers: Vec::new(),
        images: (0..6).map(|number| image(numbers, number)).collect(),
        volumes: (0..6).map(|number| Volume { name: format!("volume{number}"), labels: BTreeMap::new() }).collect(),
        networks: (0..4)
            .map(|number| Network {
                id: numbers.hex(64),
                name: format!("network{number}"),
                labels: BTreeMap::new(),
                driver: "bridge",
            })
            .collect(),
        services: (0..3)
            .map(|number| Service {
                id: numbers.hex(25),
                name: format!("service{number}"),
                labels: labels(&[(if number == 2 { "hide" } else { "a" }, "")]),
                task: numbers.hex(25),
            })
            .collect(),
    }
}

/// An id that begins like another one, sometimes.
fn like(numbers: &mut Numbers, id: &str) -> String {
    let rest = numbers.hex(id.len() - 4);
    if numbers.one_in(2) { format!("{}{rest}", &id[..4]) } else { numbers.hex(id.len()) }
}

/// Images, volumes, networks and services that the profiles hide.
fn hidden_objects(numbers: &mut Numbers, common: &World) -> World {
    let (images, networks, services) = (numbers.below(4), numbers.below(3), numbers.below(3));
    let image = |numbers: &mut Numbers, number: usize| {
        let mut tags = vec![format!("secret-image{number}:1")];
        if numbers.one_in(2) {
            tags.push(format!("extra{number}:1"));
        }
        let parent = numbers.one_in(2).then(|| numbers.of(&common.images).id.clone());
        let id = like(numbers, &common.images[number].id);
        Image { id, tags, labels: labels(&[("hide", "")]), parent, created: 5 + numbers.below(60) }
    };
    let network = |numbers: &mut Numbers, number: usize| {
        let base = numbers.of(&common.networks).clone();
        let name = if numbers.one_in(2) { base.name } else { format!("secret-net{number}") };
        Network { id: like(numbers, &base.id), name, labels: labels(&[("hide", "")]), driver: "overlay" }
    };
    let service = |numbers: &mut Numbers, number: usize| Service {
        id: like(numbers, &common.services[0].id),
        name: match numbers.one_in(3) {
            true => common.services[1].id[..6].to_owned(),
            false => format!("secret-service{number}"),
        },
        labels: labels(&[("hide", "")]),
        task: like(numbers, &common.services[0].task),
    };
    World {
        containers: Vec::new(),
        images: (0..images).map(|number| image(numbers, number)).collect(),
        volumes: (0..numbers.below(3))
            .map(|number| Volume { name: format!("secret-volume{number}"), labels: labels(&[("hide", "")]) })
            .collect(),
        networks: (0..networks).map(|number| network(numbers, number)).collect(),
        services: (0..services).map(|number| service(numbers, number)).collect(),
    }
}

/// A container that the profiles show, by its name and its label.
fn visible(numbers: &mut Numbers, world: &World, number: usize) -> Container {
    let name = format!("web-{number}");
    let mut container = Container::generated(numbers, world, &name, &[(PROJECT, "shop")], 10 * (number + 1));
    container.old_name = numbers.one_in(3).then(|| format!("web-was-{number}"));
    container
}

/// A container that they hide, for one of several reasons. `shown` are visible.
fn hidden(numbers: &mut Numbers, world: &World, shown: &[Container], number: usize) -> Container {
    let labels: &[(&str, &str)] = match numbers.below(4) {
        0 => &[(PROJECT, "other")],
        1 => &[(PROJECT, "shop"), ("dashboard.hide", "")],
        2 => &[("dashboard.show", "True")],
        _ => &[],
    };
    let created = numbers.below(80);
    let mut container = Container::generated(numbers, world, &format!("secret-{number}"), labels, created);
    if let Some(one) = shown.first().filter(|_| numbers.one_in(2)) {
        container.id.replace_range(..4, &one.id[..4]);
    }
    // A name that is the start of a visible id.
    if let Some(one) = shown.last().filter(|_| numbers.one_in(6)) {
        container.name = one.id[..6].to_owned();
    }
    // Visible containers are linked to it.
    if let Some(one) = shown.last().filter(|_| numbers.one_in(3)) {
        container.links = vec![one.name.clone()];
    }
    container
}

/// The images that hidden containers are hidden for. Some have lost their names since.
fn hiding_images(numbers: &mut Numbers, world: &mut World) {
    for number in 0..2 {
        let (id, created) = (numbers.hex(64), numbers.below(60));
        let name = if numbers.one_in(2) { "moved" } else { "base" };
        let tags = vec![format!("secret-{name}{number}:1")];
        world.images.push(Image { id, tags, labels: labels(&[("hide", "")]), parent: None, created });
    }
}

/// Two engines that differ only in what is hidden.
fn pair(seed: u64, difference: Difference) -> [World; 2] {
    let mut numbers = Numbers::new(seed);
    let common = common(&mut numbers);
    let mut for_visible = common.clone();
    // Without its name, an image does not tell whether it hides a container.
    for_visible.images.retain(|image| difference != Difference::ByImage || !image.tags.is_empty());
    let count = numbers.below(5);
    let shown: Vec<Container> = (0..count).map(|number| visible(&mut numbers, &for_visible, number)).collect();
    [(); 2].map(|()| {
        let mut more = World::default();
        if difference != Difference::Containers {
            more = hidden_objects(&mut numbers, &common);
        }
        let mut for_hidden = common.with(&more);
        if difference == Difference::ByImage {
            let from = more.images.len();
            hiding_images(&mut numbers, &mut more);
            for_hidden.images = more.images[from..].to_vec();
        }
        let count = numbers.below(6);
        more.containers = (0..count).map(|number| hidden(&mut numbers, &for_hidden, &shown, number)).collect();
        for container in more.containers.iter_mut().filter(|_| difference == Difference::ByImage) {
            let number = for_hidden.images.iter().position(|image| image.id == container.image.1).unwrap();
            container.image.0 = format!("secret-base{number}:1");
        }
        let mut both = common.clone();
        both.containers = shown.clone();
        // Hidden containers are linked to visible ones.
        for container in both.containers.iter_mut().filter(|_| numbers.one_in(3)) {
            container.links = more.containers.iter().take(1).map(|other| other.name.clone()).collect();
        }
        for container in both.containers.iter_mut().filter(|_| difference == Difference::OldNames) {
            container.old_name = container.old_name.is_some().then(|| format!("secret-was-{}", numbers.hex(2)));
        }
        // Visible images are made of hidden ones, through which none is made of another.
        let roots: Vec<String> =
            more.images.iter().filter(|image| image.parent.is_none()).map(|image| image.id.clone()).collect();
        for image in &mut both.images {
            image.parent = (!roots.is_empty() && numbers.one_in(3)).then(|| numbers.of(&roots).clone());
        }
        both.with(&more)
    })
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
        Self::with(Arc::default(), vec![policy(&format!("profile: p\n{profile}"))], answer)
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
        Self::new(vec![policy(&format!("profile: p\n{profile}"))])
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

fn policy(text: &str) -> Arc<Policy> {
    policies(&[text.to_owned()]).remove(0)
}

/// The policies of profiles, each of which is called `p`.
fn policies(texts: &[String]) -> Vec<Arc<Policy>> {
    let named: Vec<(String, String)> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| {
            (format!("p{number}.yaml"), text.replacen("profile: p\n", &format!("profile: p{number}\n"), 1))
        })
        .collect();
    let files: Vec<(&str, &str)> = named.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
    let all = Profiles::built_in_with(&files, catalogue()).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    let compiled = |number| Arc::new(Policy::compile(all.get(&format!("p{number}")).unwrap(), catalogue()).unwrap());
    std::thread::scope(|scope| {
        let parts = [0, 1].map(|half| {
            let numbers = (half..texts.len()).step_by(2);
            scope.spawn(move || numbers.map(|number| (number, compiled(number))).collect::<Vec<_>>())
        });
        let mut done: Vec<_> = parts.into_iter().flat_map(|part| part.join().unwrap()).collect();
        done.sort_by_key(|(number, _)| *number);
        done.into_iter().map(|(_, policy)| policy).collect()
    })
}

/// Each built-in profile with some containers, and some that allow and show everything.
fn texts() -> Vec<String> {
    let built_in = profiles().iter().enumerate().map(|(number, profile)| {
        let rest = if number % 2 == 0 { BY_USE } else { "" };
        format!("profile: p\nextends: {}\n{BY_LABEL}{rest}", profile.name)
    });
    let open = [
        format!("{BY_LABEL}{BY_USE}"),
        BY_LABEL.to_owned(),
        format!("events: filtered\n{BY_NAME}{BY_USE}"),
        format!("events: untouched\n{BY_NAME}{BY_CHOICE}"),
        format!("events: filtered\n{BY_LABEL}{BY_CHOICE}"),
        format!("events: untouched\n{BY_IMAGE}{BY_CHOICE}"),
        format!("events: untouched\n{BY_LABEL}{BY_LABELS}"),
    ];
    built_in.chain(open.map(|keys| format!("profile: p\n{OPEN}{keys}"))).collect()
}

/// How many of them allow everything: the last ones.
const OPEN_PROFILES: usize = 7;

fn hidden_containers_change_nothing_that_a_client_reads() {
    compare(&[Difference::Containers], &[]);
}

fn hidden_objects_change_nothing_that_a_client_reads() {
    // Whether an image has lost its name depends on all images.
    compare(&[Difference::Objects, Difference::OldNames, Difference::ByImage], &["ImageList dangling"]);
}

/// Compares pairs of engines that differ in these ways. Besides [`NEVER_FOUND`], nothing is found with the keys `never_found`.
fn compare(differences: &[Difference], never_found: &[&str]) {
    let is_hiding = |text: &String| differences.iter().any(|difference| difference.is_hidden_by(text));
    let texts: Vec<String> = texts().into_iter().filter(is_hiding).collect();
    let stage = Stage::new(policies(&texts));
    // From then on, every answer says the version of the engine.
    assert!(stage.ask(stage.listeners - 1, &closing_get("/_ping")).contains("api-version: 1.51"));
    let mut counts = Counts::default();
    for seed in 0..PAIRS {
        counts.compare(&stage, &texts, seed, differences[seed as usize % differences.len()]);
    }
    let Counts { wrong, compared, found, denied, filters } = counts;
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong[..wrong.len().min(10)].join("\n"));
    assert!(found > compared / 3 && denied < compared / 2, "{compared} {found} {denied}");
    let untried: Vec<_> = requests::keys().into_iter().filter(|key| !filters.contains_key(key)).collect();
    assert!(untried.is_empty(), "no request has {untried:?}");
    let unfound = filters.iter().filter(|(_, statuses)| !statuses.contains(&200));
    let unfound: Vec<String> = unfound.map(|((operation, key), _)| format!("{operation} {key}")).collect();
    let mut expected = [&NEVER_FOUND, never_found].concat();
    expected.sort_unstable();
    assert_eq!(unfound, expected);
}

/// The keys of filters with which no request succeeds.
const NEVER_FOUND: [&str; 38] = [
    // The builder is not limited to some images.
    "BuildPrune description",
    "BuildPrune id",
    "BuildPrune inuse",
    "BuildPrune parent",
    "BuildPrune private",
    "BuildPrune shared",
    "BuildPrune type",
    "BuildPrune until",
    // Only Podman has these.
    "ContainerList command",
    "ContainerList label!",
    // Prunes are not limited to some objects.
    "ContainerPrune all",
    "ContainerPrune dangling",
    "ContainerPrune label",
    "ContainerPrune label!",
    "ContainerPrune until",
    "ImageList label!",
    "ImagePrune all",
    "ImagePrune dangling",
    "ImagePrune label",
    "ImagePrune label!",
    "ImagePrune until",
    // This engine knows no registry.
    "ImageSearch is-automated",
    "ImageSearch is-official",
    "ImageSearch stars",
    // They tell whether hidden containers use something.
    "NetworkList dangling",
    "NetworkList label!",
    "NetworkPrune all",
    "NetworkPrune dangling",
    "NetworkPrune label",
    "NetworkPrune label!",
    "NetworkPrune until",
    "VolumeList dangling",
    "VolumeList label!",
    "VolumePrune all",
    "VolumePrune dangling",
    "VolumePrune label",
    "VolumePrune label!",
    "VolumePrune until",
];

/// How many answers were compared, were found, and were denied.
#[derive(Default)]
struct Counts {
    compared: usize,
    found: usize,
    denied: usize,
    /// What differs.
    wrong: Vec<String>,
    /// The statuses of the answers to requests with each key of `filters`.
    filters: BTreeMap<(&'static str, String), BTreeSet<u16>>,
}

impl Counts {
    /// Compares the answers to the requests of one pair.
    fn compare(&mut self, stage: &Stage, texts: &[String], seed: u64, difference: Difference) {
        let worlds = pair(seed, difference);
        let mut numbers = Numbers::new(seed ^ 0x5eed);
        let hiding: Vec<usize> =
            (0..texts.len()).filter(|listener| difference.is_hidden_by(&texts[*listener])).collect();
        let open: Vec<usize> =
            hiding.iter().copied().filter(|listener| listener + OPEN_PROFILES >= texts.len()).collect();
        let requests: Vec<(usize, Generated)> = (0..REQUESTS)
            .map(|number| {
                let listener = *numbers.of(if number % 4 == 0 { &hiding } else { &open });
                let turn = (number % 8 == 1).then_some(seed as usize * REQUESTS / 8 + number / 8);
                (listener, requests::generated(&worlds, &mut numbers, turn))
            })
            .collect();
        let place = |listener: usize| format!("profile {}, seed {seed}, {difference:?}", texts[listener]);
        self.compare_requests(stage, &worlds, &requests, &place);
    }

    /// Compares the answers to requests. `place` says of which listener one is.
    fn compare_requests(
        &mut self,
        stage: &Stage,
        worlds: &[World; 2],
        requests: &[(usize, Generated)],
        place: &dyn Fn(usize) -> String,
    ) {
        let answers = worlds.each_ref().map(|world| {
            stage.show(world);
            requests.iter().map(|(listener, request)| stage.ask(*listener, &request.text)).collect::<Vec<_>>()
        });
        for (((listener, request), one), other) in requests.iter().zip(&answers[0]).zip(&answers[1]) {
            let line = request.text.lines().next().unwrap();
            let place = || format!("{}: {line}", place(*listener));
            if one != other {
                let at = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
                let part = |text: &str| text.chars().skip(at.saturating_sub(60)).take(200).collect::<String>();
                self.wrong.push(format!("{}:\n{}\n{}", place(), part(one), part(other)));
            }
            if ["secret-", "canary"].iter().any(|word| one.contains(word) && !line.contains(word)) {
                self.wrong.push(format!("{}:\n{one}", place()));
            }
            self.compared += 1;
            self.found += usize::from(status(one) < 300);
            self.denied += usize::from(status(one) == 403);
            for key in &request.filters {
                self.filters.entry(key.clone()).or_default().insert(status(one));
            }
        }
    }
}

/// The world of the other tests: two visible containers and a hidden one.
fn small_world() -> World {
    let mut numbers = Numbers::new(7);
    let common = common(&mut numbers);
    let mut containers = vec![visible(&mut numbers, &common, 1), visible(&mut numbers, &common, 2)];
    containers.push(Container::generated(&mut numbers, &common, "secret-1", &[(PROJECT, "other")], 25));
    containers[0].state = "running";
    containers[1].state = "exited";
    containers[2].state = "running";
    containers.iter_mut().for_each(|container| container.old_name = None);
    common.with(&World { containers, ..World::default() })
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
    let images: BTreeSet<&str> = [&first, &second].iter().map(|id| by_id(&world, id).image.1.as_str()).collect();
    assert_eq!(info["Images"].as_u64(), Some(images.len() as u64));
    let events = stage.get("/events?since=1&until=2");
    for container in &world.containers {
        let is_there = events.matches(&format!(r#""ID":"{}""#, container.id)).count();
        assert_eq!(is_there, if container.name == "secret-1" { 0 } else { 5 }, "{}: {events}", container.name);
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

/// A world with a hidden object of each kind.
fn world_with_hidden_objects() -> World {
    let hidden = labels(&[("hide", "")]);
    let image = |number: &str, tags: &[&str]| Image {
        id: number.repeat(64),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        labels: hidden.clone(),
        parent: None,
        created: 1,
    };
    let network = Network { id: "b".repeat(64), name: "secret-net".into(), labels: hidden.clone(), driver: "bridge" };
    let service =
        Service { id: "b".repeat(25), name: "secret-service".into(), labels: hidden.clone(), task: "c".repeat(25) };
    small_world().with(&World {
        containers: Vec::new(),
        images: vec![image("b", &["secret-image:1", "extra:1"])],
        volumes: vec![Volume { name: "secret-volume".into(), labels: hidden.clone() }],
        networks: vec![network],
        services: vec![service],
    })
}

/// So the time that an answer takes tells little. Names in paths are left out.
fn what_is_hidden_takes_the_same_requests_as_what_does_not_exist() {
    let world = world_with_hidden_objects();
    let hidden = &world.containers.iter().find(|container| container.name == "secret-1").unwrap();
    let (id, exec) = (hidden.id.as_str(), world::exec_of(hidden));
    let of_images = format!("sha256:{}", "b".repeat(64));
    let cases: [(&str, &[&str], &str); 18] = [
        ("/containers/NAME/json", &["secret-1", id], "absent"),
        ("/containers/NAME/logs?stdout=1", &["secret-1", id], &"e".repeat(64)),
        ("/containers/NAME/json", &[&id[..5]], "eeeee"),
        ("/exec/NAME/json", &[&exec], &"e".repeat(64)),
        ("/images/NAME/json", &["secret-image:1"], "absent"),
        ("/images/NAME/history", &[&of_images, &of_images[7..]], &"e".repeat(64)),
        ("/images/NAME/json", &["bbbbb"], "eeeee"),
        ("/volumes/NAME", &["secret-volume"], "absent"),
        ("/networks/NAME", &["secret-net", "bbbb"], "absent"),
        ("/services/NAME", &["secret-service"], "absent-service"),
        ("/services/NAME", &["bbbb", &"b".repeat(24)], "eeee"),
        ("/tasks/NAME", &[&"c".repeat(25)], &"e".repeat(25)),
        ("/tasks/NAME", &["cccc"], "eeee"),
        ("/containers/json?before=NAME", &["secret-1", id, "secret-1/alias"], "absent"),
        ("/containers/json?filters={\"id\":[\"NAME\"]}", &[&id[..5]], "eeeee"),
        ("/containers/json?filters={\"ancestor\":[\"NAME\"]}", &["secret-image:1"], "absent"),
        ("/images/json?filters={\"since\":[\"NAME\"]}", &["secret-image:1", &of_images], "absent"),
        ("/tasks?filters={\"service\":[\"NAME\"]}", &["secret-service"], "absent-service"),
    ];
    for profile in [format!("{BY_LABEL}{BY_USE}"), format!("{BY_NAME}{BY_USE}"), format!("{BY_LABEL}{BY_CHOICE}")] {
        let stage = Stage::of(&format!("{OPEN}{profile}"));
        stage.show(&world);
        let asked = |target: &str| {
            let before = sent(&stage).len();
            let answer = stage.get(target);
            (answer, sent(&stage)[before..].iter().map(|line| without_name(line)).collect::<Vec<_>>())
        };
        // What is known of containers makes no difference.
        for list in ["/_ping", "/containers/json?all=1"] {
            stage.get(list);
            for (target, names, absent) in cases {
                let (expected, sequence) = asked(&target.replace("NAME", absent));
                for name in names {
                    // Of a link, nothing is asked.
                    let sequence = if name.contains('/') { Vec::new() } else { sequence.clone() };
                    let target = target.replace("NAME", name);
                    assert_eq!(asked(&target), (expected.clone(), sequence), "{profile} {target}");
                }
            }
        }
    }
}

/// Both at the next tick, however long the look-up took.
fn what_is_hidden_is_answered_no_sooner_than_what_does_not_exist() {
    let tick = Duration::from_millis(50);
    let id = "a".repeat(64);
    let document = json!({ "Id": id, "Name": "/secret", "Config": {"Image": "a", "Labels": {}} }).to_string();
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.path("engine"), move |request| match request.contains("/secret/") {
        true => daemon::json(&document),
        false => daemon::with_status("404 Not Found", "{}"),
    });
    let mut start = config(&daemon.path, &folder.path("listener"));
    start.listeners[0].policy = policy(&format!("profile: p\n{OPEN}{BY_LABEL}"));
    start.timeouts.absent_tick = tick;
    let running = dockveil::server::start(start).unwrap();
    for name in ["secret", "absent", "secret", "absent"] {
        let asked = Instant::now();
        let answer = ask(&folder.path("listener"), &closing_get(&format!("/containers/{name}/json")));
        assert!(status(&answer) == 404 && asked.elapsed() >= tick, "{name}: {:?} {answer}", asked.elapsed());
        // A name in a body, too: the engine is not asked before.
        for (target, body) in [
            ("/networks/n/connect", json!({ "Container": name })),
            ("/networks/n/disconnect", json!({ "Container": name })),
            ("/containers/create", json!({"Image": "a", "HostConfig": {"Links": [name]}})),
            ("/containers/create", json!({"Image": "a", "HostConfig": {"UTSMode": format!("container:{name}")}})),
            ("/containers/create", json!({"Image": "a", "HostConfig": {"VolumesFrom": [name]}})),
        ] {
            let body = body.to_string();
            let head =
                format!("POST {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/json\r\n");
            let asked = Instant::now();
            let answer = ask(&folder.path("listener"), &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
            assert!(
                status(&answer) == 404 && asked.elapsed() >= tick,
                "{target} {body}: {:?} {answer}",
                asked.elapsed()
            );
        }
    }
    running.stop();
}

/// A request line without the name in the path, and without the values of filters.
fn without_name(line: &str) -> String {
    let target = line.split(' ').nth(1).unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<&str> = path.split('/').collect();
    let is_list = parts.len() == 3 || parts[3] == "json";
    let path: Vec<&str> =
        parts.iter().enumerate().map(|(at, part)| if at == 3 && !is_list { "*" } else { part }).collect();
    let query: Vec<&str> = query.split('&').map(|pair| pair.split('=').next().unwrap()).collect();
    format!("{}?{}", path.join("/"), query.join("&"))
}

/// Docker lists only the references of an image that the filter asks for.
fn a_filter_on_references_shows_no_image_that_one_of_them_hides() {
    let stage = Stage::of(&format!("{OPEN}{BY_CHOICE}"));
    stage.show(&world_with_hidden_objects());
    for (pattern, is_found) in [("extra*", false), ("secret*", false), ("image0*", true)] {
        let answer = stage.get(&format!("/images/json?filters={{\"reference\":[\"{pattern}\"]}}"));
        assert_eq!((status(&answer), answer.contains("RepoTags")), (200, is_found), "{pattern}: {answer}");
    }
}

/// A client that leaves out the events of containers does not learn when one is called otherwise, and neither does dockveil.
fn events_of_networks_alone_tell_nothing_of_names() {
    let mut world = small_world();
    let network = (world.networks[0].id.clone(), world.networks[0].name.clone());
    world.containers.iter_mut().for_each(|container| container.networks = vec![network.clone()]);
    for (profile, expected) in [(BY_NAME, 0), (BY_LABEL, 2)] {
        let stage = Stage::of(&format!("{OPEN}{profile}"));
        stage.show(&world);
        let connects =
            |filters: &str| stage.get(&format!("/events?since=1&until=2{filters}")).matches("connect").count();
        assert_eq!(connects(""), 2, "{profile}");
        assert_eq!(connects("&filters={\"type\":[\"network\"]}"), expected, "{profile}");
    }
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
    let open = policy(&format!("profile: p\n{OPEN}{BY_LABEL}{BY_USE}"));
    let denied: Vec<&str> = open.unlimited().map(|(operation, _)| operation.id).collect();
    for id in [
        "ContainerPrune",
        "ContainerRename",
        "VolumeDelete",
        "ImagePrune",
        "ImageBuild",
        "BuildPrune",
        "Session",
        "Grpc",
    ] {
        assert!(denied.contains(&id) && !open.allows(id), "{id}");
    }
    // Services and tasks tell what the containers of all services do.
    let alone = policy(&format!("profile: p\n{OPEN}{BY_LABEL}"));
    for id in ["TaskList", "TaskInspect", "TaskLogs", "ServiceLogs"] {
        assert!(!alone.allows(id) && open.allows(id), "{id}");
    }
    let stage = Stage::of(&format!("{OPEN}{BY_LABEL}"));
    let request = "POST /containers/prune HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = stage.ask(0, request);
    assert!(status(&answer) == 403 && answer.contains("shows only some containers"), "{answer}");
    assert!(sent(&stage).is_empty());
}
