//! Writes whose bodies name objects, through profiles that show only some: hidden ones are absent there, too.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::engine::{Found, decoded};
use super::requests::{self, Generated};
use super::world::{Numbers, PROJECT, World};
use super::{
    BY_LABEL, BY_NAME, BY_USE, Counts, Difference, OPEN, Stage, common, hidden, pair, policies, small_world, visible,
};
use crate::harness::{Test, tests};
use crate::support::client::{closing_get, status};
use crate::support::daemon::{self, Reply};

pub(crate) const TESTS: &[Test] = tests![
    hidden_objects_change_no_write,
    names_in_bodies_go_up_as_whole_ids,
    a_body_is_written_anew,
    an_absent_name_gives_the_answer_of_the_engine,
    a_volume_must_be_there_or_shown_by_its_name,
    a_service_keeps_what_it_names,
    an_update_tells_nothing_of_hidden_names,
    a_service_reaches_the_host_only_if_the_profile_says_so,
    an_update_reaches_no_more_of_the_host_than_the_service,
    what_is_hidden_stays_as_the_service_has_it,
    a_service_mounts_no_hidden_volume_that_got_a_name_of_its_own,
    a_container_starts_in_no_hidden_network_that_got_a_name_of_its_own,
    a_container_of_an_absent_network_is_started_for_the_answer_of_the_engine,
    a_body_reaches_the_host_only_if_the_profile_says_so,
    no_body_reaches_the_host_where_objects_of_any_kind_are_hidden,
    an_exec_has_no_more_rights_than_its_container,
    an_exec_is_started_as_clients_do_it,
    a_container_is_committed_as_clients_do_it,
    a_prune_removes_what_is_visible,
    an_image_is_pushed_and_tagged_by_the_name_that_was_checked,
    only_visible_objects_count_for_a_name,
    a_container_shows_the_visible_ones_that_it_refers_to,
    what_a_body_may_not_name_it_may_not_borrow,
    an_environment_that_is_hidden_is_not_borrowed,
    a_container_that_is_hidden_lends_as_much_as_none,
    the_container_that_lends_is_the_one_that_was_looked_at,
    a_deep_or_wide_body_keeps_nobody_waiting,
    a_deep_or_wide_object_of_an_edit_keeps_nobody_waiting
];

/// How many pairs of engines are compared, and how many writes go to each.
const WRITE_PAIRS: usize = 60;
const WRITES: usize = 14;

/// A request with a body.
pub(super) fn post(target: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// The body of a request.
fn body_of(request: &str) -> Value {
    let body = request.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {request}"))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The containers that a body names, in the ways of the engine.
fn containers_in(body: &Value) -> Vec<String> {
    let host = &body["HostConfig"];
    let modes = ["NetworkMode", "PidMode", "IpcMode"].iter().filter_map(|mode| host[*mode].as_str());
    let modes = modes.filter_map(|mode| mode.strip_prefix("container:"));
    let listed = ["Links", "VolumesFrom"].iter().flat_map(|list| texts(&host[*list]));
    let listed = listed.filter_map(|text| text.split(':').next());
    let own = body["Container"].as_str();
    modes.chain(listed).chain(own).map(str::to_owned).collect()
}

/// What an engine with these objects answers to a write.
pub(super) fn answer(world: &World, request: &str) -> Option<Reply> {
    let target = request.strip_prefix("POST ")?.split(' ').next()?;
    let path = target.split('?').next()?;
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    let body = match parts[..] {
        ["networks", _, "connect" | "disconnect"] | [_, "create"] => body_of(request),
        _ => return None,
    };
    let has_network =
        |name: &str| matches!(name, "default" | "none" | "bridge") || matches!(world.find_network(name), Found::One(_));
    let host = &body["HostConfig"];
    let mode = host["NetworkMode"].as_str().filter(|mode| !mode.is_empty() && !mode.contains(':'));
    let endpoints = body["NetworkingConfig"]["EndpointsConfig"].as_object();
    let endpoints = endpoints.into_iter().flat_map(|endpoints| endpoints.keys().map(String::as_str));
    let ids = [&body["EndpointConfig"]["NetworkID"]].into_iter().filter_map(Value::as_str).filter(|id| !id.is_empty());
    let target = body["ConfigFrom"]["Network"].as_str();
    let image = body["Image"].as_str().filter(|image| !matches!(world.find_image(image), Found::One(_)));
    let absent = containers_in(&body).into_iter().find(|name| !matches!(world.find(name), Found::One(_)));
    let no_network = mode.into_iter().chain(endpoints).chain(ids).chain(target).find(|name| !has_network(name));
    Some(match (absent, no_network, image) {
        (Some(name), _, _) => {
            daemon::with_status("404 Not Found", &json!({"message": format!("No such container: {name}")}).to_string())
        }
        (None, Some(name), _) => {
            daemon::with_status("404 Not Found", &json!({"message": format!("network {name} not found")}).to_string())
        }
        (None, None, Some(name)) => {
            daemon::with_status("404 Not Found", &json!({"message": format!("No such image: {name}")}).to_string())
        }
        (None, None, None) if parts[1] == "create" => {
            let made = json!({"Id": "e".repeat(64), "ID": "e", "Name": body["Name"], "Warnings": []});
            daemon::with_status("201 Created", &made.to_string())
        }
        (None, None, None) => Reply::Keep(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()),
    })
}

/// A write whose body may name what is hidden.
fn write(worlds: &[World; 2], numbers: &mut Numbers) -> String {
    let container = requests::container(worlds, numbers);
    let number = numbers.below(8);
    let (network, volume, image) = (format!("network{number}"), format!("volume{number}"), format!("image{number}:1"));
    let spelled = ["Container", "container", "CONTAINER"][numbers.below(3)];
    match numbers.below(14) {
        0 => post(&format!("/networks/{network}/connect"), &json!({ spelled: container }).to_string()),
        1 => post(
            &format!("/networks/{network}/connect"),
            &json!({ spelled: container, "EndpointConfig": {"Links": [format!("{container}:a")], "NetworkID": network} }).to_string(),
        ),
        2 => post(&format!("/networks/{network}/disconnect"), &json!({ spelled: container, "Force": true }).to_string()),
        3 => post(
            "/networks/network1/connect",
            &format!(r#"{{"Container":"web-0","{spelled}":"{container}"}}"#),
        ),
        4 => post("/volumes/create", &json!({ "Name": volume }).to_string()),
        5 => post("/networks/create", &json!({ "Name": "new", "ConfigFrom": {"Network": network} }).to_string()),
        kind => {
            let mut body = json!({ "Image": image, "HostConfig": {} });
            let host = &mut body["HostConfig"];
            match kind {
                6 => host["NetworkMode"] = json!(format!("container:{container}")),
                7 => host["VolumesFrom"] = json!([format!("{container}:ro")]),
                8 => host["Links"] = json!([container]),
                9 => host["PidMode"] = json!(format!("container:{container}")),
                10 => host["Binds"] = json!([format!("{volume}:/data")]),
                11 => host["Mounts"] = json!([{"Type": "volume", "Source": volume, "Target": "/data"}]),
                12 => body["NetworkingConfig"] = json!({"EndpointsConfig": {network: {}}}),
                _ => body["networkmode"] = json!(format!("container:{container}")),
            }
            post("/containers/create?name=new", &body.to_string())
        }
    }
}

fn hidden_objects_change_no_write() {
    let texts = [format!("{OPEN}{BY_LABEL}{BY_USE}"), format!("{OPEN}{BY_LABEL}"), format!("{OPEN}{BY_NAME}{BY_USE}")];
    let stage = Stage::new(policies(&texts.each_ref().map(|text| format!("profile: p\n{text}"))));
    assert!(stage.ask(0, &closing_get("/_ping")).contains("api-version: 1.51"));
    let mut counts = Counts::default();
    for seed in 0..WRITE_PAIRS as u64 {
        let worlds = pair(seed, Difference::Containers);
        let mut numbers = Numbers::new(seed ^ 0xb0d1);
        let generated = |numbers: &mut Numbers| Generated { text: write(&worlds, numbers), filters: Vec::new() };
        let requests: Vec<(usize, Generated)> =
            (0..WRITES).map(|_| (numbers.below(3), generated(&mut numbers))).collect();
        let place = |listener: usize| format!("profile {}, seed {seed}", texts[listener]);
        counts.compare_requests(&stage, &worlds, &requests, &place);
    }
    check_sent(&stage);
    let Counts { wrong, compared, found, denied, .. } = counts;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        compared == WRITE_PAIRS * WRITES && found > compared / 10 && denied < compared / 2,
        "{compared} {found} {denied}"
    );
}

/// Every container in a body that went up is named by a whole id, which is none of a hidden one.
fn check_sent(stage: &Stage) {
    let hidden: BTreeSet<String> = (0..WRITE_PAIRS as u64)
        .flat_map(|seed| pair(seed, Difference::Containers).map(|world| world.containers))
        .flatten()
        .filter(|container| !container.name.starts_with("web-"))
        .map(|container| container.id)
        .collect();
    let requests = stage.bench.daemon.requests();
    let mut named = 0;
    for request in requests.iter().filter(|request| request.starts_with("POST ")) {
        for name in containers_in(&body_of(request)) {
            assert!(name.len() == 64 && !hidden.contains(&name), "{request}");
            named += 1;
        }
    }
    assert!(named > 100, "{named}");
}

/// The requests that went up with a body, each with its target and its body.
fn sent_bodies(stage: &Stage) -> Vec<(String, Value)> {
    let requests = stage.bench.daemon.requests();
    let posts = requests.iter().filter(|request| request.starts_with("POST "));
    posts.map(|request| (request.split(' ').nth(1).unwrap().to_owned(), body_of(request))).collect()
}

/// The text without the random digits of ids that nothing has.
fn without_random(text: &str) -> String {
    let mut parts = text.split("0000000000000000");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, rest| {
        assert!(rest.as_bytes()[..48].iter().all(u8::is_ascii_hexdigit), "{rest}");
        text + &"*".repeat(64) + &rest[48..]
    })
}

fn names_in_bodies_go_up_as_whole_ids() {
    let stage = Stage::of(&format!("{OPEN}{BY_NAME}networks: {{only: [{{name: \"network*\"}}]}}\n"));
    let world = small_world();
    stage.show(&world);
    let id = world.containers[0].id.clone();
    for name in ["web-1", "/web-1", &id[..7], &id] {
        for (target, body, pointer, expected) in [
            ("/networks/network1/connect", json!({ "Container": name }), "/Container", id.clone()),
            ("/networks/network1/disconnect", json!({ "container": name }), "/Container", id.clone()),
            (
                "/networks/network1/connect",
                json!({ "Container": "web-2", "EndpointConfig": {"Links": [format!("{name}:a")]} }),
                "/EndpointConfig/Links/0",
                // It is looked up by name, by the container that has the link.
                "web-1:a".to_owned(),
            ),
            (
                "/containers/create",
                json!({ "Image": "image1:1", "HostConfig": {"NetworkMode": format!("container:{name}")} }),
                "/HostConfig/NetworkMode",
                format!("container:{id}"),
            ),
            (
                "/containers/create",
                json!({ "Image": "image1:1", "HostConfig": {"VolumesFrom": [format!("{name}:ro")]} }),
                "/HostConfig/VolumesFrom/0",
                format!("{id}:ro"),
            ),
        ] {
            let answer = stage.ask(0, &post(target, &body.to_string()));
            assert!(status(&answer) < 300, "{target} {body}: {answer}");
            let (_, up) = sent_bodies(&stage).pop().unwrap();
            assert_eq!(up.pointer(pointer), Some(&json!(expected)), "{target} {body}: {up}");
        }
    }
    let body = json!({ "Image": "image1:1", "HostConfig": {"NetworkMode": "network1"},
                       "NetworkingConfig": {"EndpointsConfig": {"network1": {"NetworkID": "network1"}}} });
    assert_eq!(status(&stage.ask(0, &post("/containers/create", &body.to_string()))), 201);
    let (_, up) = sent_bodies(&stage).pop().unwrap();
    let network = up["HostConfig"]["NetworkMode"].as_str().unwrap().to_owned();
    assert!(network.len() == 64, "{up}");
    assert_eq!(up["NetworkingConfig"]["EndpointsConfig"][&network]["NetworkID"], json!(network), "{up}");
}

/// What the engine reads is what was looked up.
fn a_body_is_written_anew() {
    let stage = Stage::of(&format!("{OPEN}{BY_NAME}"));
    stage.show(&small_world());
    for (body, expected) in [
        (r#"{"Container":"web-1","container":"secret-1"}"#, 400),
        (r#"{"Container":"web-1","Container":"secret-1"}"#, 400),
        (r#"{"Container":"web-1"}{"Container":"secret-1"}"#, 400),
        (r#"{"Container":"web-1","Targets":["secret-1"]}"#, 403),
        (r#"["web-1"]"#, 400),
        ("null", 400),
    ] {
        let answer = stage.ask(0, &post("/networks/network1/connect", body));
        assert_eq!(status(&answer), expected, "{body}: {answer}");
        assert!(sent_bodies(&stage).is_empty(), "{body}");
    }
    let deprecated = r#"{"Image":"image1:1","HostConfig":null,"NetworkMode":"container:secret-1"}"#;
    let answer = stage.ask(0, &post("/containers/create", deprecated));
    assert!(status(&answer) == 403 && answer.contains("$.NetworkMode"), "{answer}");
    let long = format!(r#"{{"Container":"web-1","EndpointConfig":{{"Aliases":["{}"]}}}}"#, "a".repeat(2 << 20));
    assert_eq!(status(&stage.ask(0, &post("/networks/network1/connect", &long))), 413);
}

/// The status and the words are the engine's, and the same for what is hidden.
fn an_absent_name_gives_the_answer_of_the_engine() {
    let stage = Stage::of(&format!("{OPEN}{BY_LABEL}"));
    let world = small_world();
    stage.show(&world);
    let secret = &world.containers.iter().find(|one| one.name == "secret-1").unwrap().id;
    for body in [
        json!({ "Container": "NAME" }),
        json!({ "Image": "image1:1", "HostConfig": {"NetworkMode": "container:NAME"} }),
        json!({ "Image": "image1:1", "HostConfig": {"Links": ["NAME:a"]} }),
    ] {
        let target = if body["Image"].is_null() { "/networks/network1/connect" } else { "/containers/create" };
        let of = |name: &str| stage.ask(0, &post(target, &body.to_string().replace("NAME", name)));
        let absent = of("absent");
        assert!(status(&absent) == 404 && absent.contains("No such container"), "{absent}");
        for name in ["secret-1", secret, &secret[..9], "abc", "a/b", "../../info", "~", "web-1/alias"] {
            assert_eq!(of(name), absent, "{name}");
        }
    }
}

fn a_volume_must_be_there_or_shown_by_its_name() {
    let body = |volume: &str| json!({ "Image": "image1:1", "HostConfig": {"Binds": [format!("{volume}:/v")]} });
    let create = |stage: &Stage, volume: &str| {
        let made = stage.ask(0, &post("/containers/create", &body(volume).to_string()));
        let named = stage.ask(0, &post("/volumes/create", &json!({ "Name": volume }).to_string()));
        (status(&made), status(&named))
    };
    let by_use = Stage::of(&format!("{OPEN}{BY_NAME}volumes: {{only: used}}\n"));
    let world = small_world();
    by_use.show(&world);
    let shown = world.containers.iter().filter(|one| one.name.starts_with("web-"));
    let used: Vec<String> = shown.flat_map(|one| one.volumes.clone()).collect();
    let unused = (0..6).map(|number| format!("volume{number}")).find(|name| !used.contains(name)).unwrap();
    assert_eq!(create(&by_use, used.first().unwrap()), (201, 201));
    let of = |name: &str| by_use.ask(0, &post("/containers/create", &body(name).to_string()));
    assert_eq!(of(&unused), of("absent"));
    assert!(status(&of("absent")) == 403, "{}", of("absent"));
    // One without a name is new.
    assert_eq!(status(&by_use.ask(0, &post("/volumes/create", "{}"))), 201);
    let by_name = Stage::of(&format!("{OPEN}volumes: {{only: [{{name: \"volume*\"}}], never: [{{name: \"*1\"}}]}}\n"));
    by_name.show(&world);
    assert_eq!(create(&by_name, "volume-new"), (201, 201));
    assert_eq!(create(&by_name, "volume1"), (403, 403));
    assert_eq!(create(&by_name, "other"), (403, 403));
    // The volume whose name is in question, its entries, and whether it passes.
    for (volumes, passes) in [
        ("only: [{name: \"new*\"}]", true),
        ("only: [{label: x}, {project: made}, {name: \"new*\"}]", true),
        ("only: [{name: \"new*\"}, {name: other, label: x}]", true),
        ("only: [{name: \"new*\"}, {label: x}], never: [{name: old}]", true),
        // It may be hidden by a label that it has, or that it lacks.
        ("only: [{name: \"new*\"}, {label: x}], never: [{label: hide}]", false),
        ("only: [{name: \"new*\", label: x}]", false),
        ("only: [{label: x}, {project: made}]", false),
        ("only: [{label: x}, {name: other}]", false),
        ("only: [{label: x}, {name: \"new*\"}], never: [{name: newest}]", false),
    ] {
        let stage = Stage::of(&format!("{OPEN}volumes: {{{volumes}}}\n"));
        stage.show(&world);
        let expected = if passes { (201, 201) } else { (403, 403) };
        assert_eq!(create(&stage, "newest"), expected, "{volumes}");
    }
}

fn a_service_keeps_what_it_names() {
    let spec = json!({ "Name": "web", "Networks": [{"Target": "hidden-net"}],
                       "TaskTemplate": {"ContainerSpec": {"Image": "reg.test/web:1", "Mounts": [{"Type": "bind", "Source": "/srv"}]}} });
    let service = json!({ "ID": "s".repeat(25), "Version": {"Index": 7}, "Spec": spec });
    let shown = service.clone();
    let stage = Stage::answering(
        &format!("{OPEN}networks: {{only: [{{name: shop}}]}}\nimages: {{only: [{{reference: shop}}]}}\n"),
        move |request| {
            let target = request.split(' ').nth(1).unwrap();
            match target.split('?').next().unwrap().split('/').skip(2).collect::<Vec<_>>()[..] {
                ["services", _] => daemon::json(&shown.to_string()),
                ["services", _, "update"] => daemon::json(r#"{"Warnings":null}"#),
                ["networks", "shop"] => daemon::json(&json!({"Id": "b".repeat(64), "Name": "shop"}).to_string()),
                _ => daemon::with_status("404 Not Found", r#"{"message":"absent"}"#),
            }
        },
    );
    let update = |spec: &Value| stage.ask(0, &post("/v1.44/services/web/update?version=7", &spec.to_string()));
    assert_eq!(status(&update(&spec)), 200, "{}", update(&spec));
    assert_eq!(sent_bodies(&stage).pop().unwrap().1, spec);
    let mut more = spec.clone();
    more["Networks"] = json!([{"Target": "hidden-net"}, {"Target": "shop"}, {"Target": "hidden-too"}]);
    assert_eq!(status(&update(&more)), 200);
    let up = sent_bodies(&stage).pop().unwrap().1;
    assert_eq!(
        (&up["Networks"][0]["Target"], &up["Networks"][1]["Target"]),
        (&json!("hidden-net"), &json!("b".repeat(64)))
    );
    assert!(up["Networks"][2]["Target"].as_str().is_some_and(|id| id.len() == 64 && id != "b".repeat(64)), "{up}");
    let mut image = spec.clone();
    image["TaskTemplate"]["ContainerSpec"]["Image"] = json!("hidden");
    let refused = update(&image);
    assert!(status(&refused) == 403 && refused.contains("shows only some images"), "{refused}");
}

/// An engine with a service `with`, which has this specification, and one without anything special, and with an object of each kind
/// under any other name. Names tell which are hidden, by a label, or absent.
fn of_services(with: &Arc<Mutex<Value>>) -> impl Fn(&str) -> Reply + Send + Sync + use<> {
    let with = with.clone();
    move |request| {
        let (method, target) = request.split_once(' ').unwrap();
        let target = target.split([' ', '?']).next().unwrap().to_owned();
        let service = |name: &str| {
            let is_with = name.starts_with('w');
            let (id, spec) = if is_with { ("w", with.lock().unwrap().clone()) } else { ("o", plain_service()) };
            daemon::json(&json!({"ID": id.repeat(25), "Version": {"Index": 7}, "Spec": spec}).to_string())
        };
        let labels = if target.contains("hidden") { json!({"hide": ""}) } else { json!({}) };
        match (method, &target.split('/').skip(2).collect::<Vec<_>>()[..]) {
            ("GET", ["services", name]) => service(name),
            ("GET", [_, name, ..]) if name.contains("absent") => daemon::with_status("404 Not Found", "{}"),
            ("GET", ["containers", _, "json"]) => {
                daemon::json(&json!({"Id": "c".repeat(64), "Name": "/web", "Config": {"Labels": labels}}).to_string())
            }
            ("GET", ["exec", ..]) => {
                daemon::json(&json!({"ID": "e".repeat(64), "ContainerID": "c".repeat(64)}).to_string())
            }
            ("GET", ["images", ..]) => {
                let image = json!({"Id": format!("sha256:{}", "d".repeat(64)), "RepoTags": ["shop:1"]});
                daemon::json(&image.to_string())
            }
            ("GET", ["volumes", name]) => daemon::json(&json!({"Name": name, "Labels": labels}).to_string()),
            ("GET", ["networks"]) => daemon::json("[]"),
            ("GET", ["tasks"]) => daemon::json(&json!([running_task(&with.lock().unwrap())]).to_string()),
            ("GET", ["networks", name]) => {
                let name = if name.starts_with("0057") { "host" } else { name };
                daemon::json(&json!({"Id": "0057".repeat(16), "Name": name, "Labels": labels}).to_string())
            }
            ("POST", [.., "create" | "exec" | "checkpoints" | "commit"]) => {
                daemon::with_status("201 Created", r#"{"ID":"e","Id":"e","Name":"e","Warnings":[]}"#)
            }
            _ => daemon::json(r#"{"Warnings":null}"#),
        }
    }
}

/// A running task of the service `with`, which has this specification.
fn running_task(spec: &Value) -> Value {
    json!({"ID": "t".repeat(25), "ServiceID": "w".repeat(25), "Spec": spec["TaskTemplate"],
           "DesiredState": "running", "Status": {"State": "running"}})
}

/// What a client that only guesses is answered is the same for what a service names, what is hidden elsewhere, and what is absent.
fn an_update_tells_nothing_of_hidden_names() {
    let spec = json!({
        "Name": "shop",
        "Networks": [{"Target": "hidden-own"}],
        "TaskTemplate": {
            "ContainerSpec": {"Image": "shop:1", "Mounts": [{"Type": "volume", "Source": "hidden-own", "Target": "/v"}]},
            "Networks": [{"Target": "hidden-own"}],
        },
    });
    let hides = "{never: [{label: hide}]}";
    for (profile, pointer) in [
        ("show: [identity, state, topology]\nedits: restore\n", "/TaskTemplate/ContainerSpec/Mounts/0/Source"),
        (
            "show: [identity, state, topology]\nedits: {set: {ServiceUpdate: [\"$.TaskTemplate.ContainerSpec.Mounts[*].Source\"]}}\n",
            "/TaskTemplate/ContainerSpec/Mounts/0/Source",
        ),
        ("show: [identity, state]\nedits: restore\n", "/Networks/0/Target"),
    ] {
        let stage = Stage::answering(
            &format!("allow: [ServiceInspect, ServiceUpdate]\n{profile}volumes: {hides}\nnetworks: {hides}\n"),
            of_services(&Arc::new(Mutex::new(spec.clone()))),
        );
        let (shown, _) = crate::support::client::body(&stage.get("/v1.44/services/with"));
        let shown = serde_json::from_str::<Value>(&shown).unwrap()["Spec"].clone();
        let update = |spec: &Value| stage.ask(0, &post("/v1.44/services/with/update?version=7", &spec.to_string()));
        // What was shown goes up, and what was not is there again.
        let answer = update(&shown);
        assert_eq!(status(&answer), 200, "{profile}: {answer}");
        assert_eq!(sent_bodies(&stage).pop().unwrap().1, spec, "{profile}");
        let of = |name: &str| {
            let mut guess = shown.clone();
            let (above, member) = pointer.rsplit_once('/').unwrap();
            if guess.pointer(above).is_none() {
                let (list, _) = above.rsplit_once('/').unwrap();
                let (parent, list) = list.rsplit_once('/').unwrap();
                guess.pointer_mut(parent).unwrap()[list] = json!([{}]);
            }
            guess.pointer_mut(above).unwrap()[member] = json!(name);
            let before = sent_bodies(&stage).len();
            let answer = update(&guess);
            // An id that nothing has goes up for an absent network.
            let up = sent_bodies(&stage).split_off(before).pop().map(|(_, up)| up);
            let up = up.map(|up| up.pointer(pointer).and_then(Value::as_str).map(without_random));
            (answer, up)
        };
        let absent = of("absent");
        assert!(
            status(&absent.0) == 403 || absent.1.as_ref().is_some_and(|id| id.as_deref().map(str::len) == Some(64)),
            "{profile}: {absent:?}"
        );
        for name in ["hidden-own", "hidden-other"] {
            assert_eq!(of(name), absent, "{profile}: {name}");
        }
    }
}

/// What of a service reaches the host, and what could: its path, and what stands there.
fn host_parts() -> Vec<(&'static str, Value)> {
    const CONTAINER: &str = "/TaskTemplate/ContainerSpec";
    let mounts = [
        json!({"Type": "bind", "Source": "/", "Target": "/h"}),
        json!({"Type": "npipe", "Source": "/", "Target": "/h"}),
        json!({"Type": "BIND", "Source": "/", "Target": "/h"}),
        json!({"Type": "cluster", "Source": "a", "Target": "/h"}),
        // The engine takes this for a bind mount.
        json!({"Source": "/", "Target": "/h"}),
        json!({"Type": "volume", "Source": "v", "Target": "/h",
               "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": {"o": "bind", "device": "/"}}}}),
        json!({"Type": "volume", "Target": "/h", "VolumeOptions": {"DriverConfig": {"Name": "nfs"}}}),
    ];
    let of_container = [
        ("/TaskTemplate/ContainerSpec/CapabilityAdd", json!(["CAP_SYS_ADMIN"])),
        ("/TaskTemplate/ContainerSpec/Privileges/Seccomp", json!({"Mode": "unconfined"})),
        ("/TaskTemplate/ContainerSpec/Privileges/Seccomp", json!({"Mode": "custom", "Profile": "e30="})),
        ("/TaskTemplate/ContainerSpec/Privileges/AppArmor", json!({"Mode": "disabled"})),
        ("/TaskTemplate/ContainerSpec/Privileges/SELinuxContext", json!({"Disable": true})),
        ("/TaskTemplate/ContainerSpec/Privileges/SELinuxContext", json!({"Type": "spc_t"})),
        ("/TaskTemplate/ContainerSpec/Privileges/SELinuxContext", json!({"User": "a", "Role": "b", "Level": "c"})),
        ("/TaskTemplate/ContainerSpec/Privileges/CredentialSpec", json!({"File": "a"})),
        ("/TaskTemplate/ContainerSpec/Privileges/CredentialSpec", json!({"Registry": "a"})),
        ("/TaskTemplate/ContainerSpec/Privileges/CredentialSpec", json!({"Config": "a"})),
        ("/TaskTemplate/ContainerSpec/Secrets", json!([{"SecretID": "a", "SecretName": "b", "File": {"Name": "c"}}])),
        ("/TaskTemplate/ContainerSpec/Configs", json!([{"ConfigID": "a", "ConfigName": "b", "File": {"Name": "c"}}])),
        ("/TaskTemplate/ContainerSpec/Privileges/New", json!({"a": [true]})),
        ("/TaskTemplate/ContainerSpec/New", json!(["a"])),
    ];
    let devices = json!([{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}}]);
    let of_task = [
        ("/TaskTemplate/Runtime", json!("plugin")),
        ("/TaskTemplate/PluginSpec", json!({"Remote": "a", "PluginPrivilege": [{"Name": "mount", "Value": ["/"]}]})),
        ("/TaskTemplate/Networks", json!([{"Target": "host"}])),
        ("/TaskTemplate/Networks", json!([{"Target": "0057".repeat(16)}])),
        ("/TaskTemplate/Networks", json!([{"Target": "0057"}])),
        ("/TaskTemplate/Resources", json!({"Reservations": {"GenericResources": devices}})),
        ("/TaskTemplate/Resources", json!({"Limits": {"GenericResources": devices}})),
        ("/Networks", json!([{"Target": "host"}])),
        ("/Networks", json!([{"Target": "0057".repeat(16)}])),
    ];
    let mounts = mounts.into_iter().map(|mount| ("/TaskTemplate/ContainerSpec/Mounts", json!([mount])));
    assert!(of_container.iter().all(|(path, _)| path.starts_with(CONTAINER)));
    mounts.chain(of_container).chain(of_task).collect()
}

/// A service without such parts.
fn plain_service() -> Value {
    json!({"Name": "shop", "TaskTemplate": {"ContainerSpec": {"Image": "shop:1"}}})
}

/// The same, with a value at a path.
fn service_with(path: &str, value: &Value) -> Value {
    let mut service = plain_service();
    path.split('/').skip(1).fold(&mut service, |at, name| &mut at[name]).clone_from(value);
    service
}

/// The profiles that hide some objects of one kind.
fn hiding_one_kind(profile: &str) -> Vec<String> {
    let kinds = ["containers", "images", "volumes", "networks", "services"];
    kinds.map(|kind| format!("{profile}{kind}: {{never: [{{label: hide}}]}}\n")).to_vec()
}

fn a_service_reaches_the_host_only_if_the_profile_says_so() {
    const ALLOW: &str = "allow: [ServiceInspect, ServiceCreate, ServiceUpdate]\nshow: all\n";
    let whole = format!("{ALLOW}parameters: {{ServiceCreate: all, ServiceUpdate: all}}\n");
    for (profile, passes) in [(ALLOW, false), (&whole, true)] {
        for profile in hiding_one_kind(profile) {
            let stage = Stage::answering(&profile, of_services(&Arc::new(Mutex::new(plain_service()))));
            let sends = |body: &Value| {
                let targets = ["/v1.51/services/create", "/v1.51/services/w/update?version=7"];
                targets.map(|target| stage.ask(0, &post(target, &body.to_string())))
            };
            for (path, value) in host_parts() {
                let before = sent_bodies(&stage).len();
                for answer in sends(&service_with(path, &value)) {
                    assert_eq!(status(&answer) == 403, !passes, "{profile} {path} {value}: {answer}");
                    assert!(passes || answer.contains(": all} opens it)"), "{answer}");
                }
                let sent = sent_bodies(&stage).len() - before;
                assert_eq!(sent, if passes { 2 } else { 0 }, "{profile} {path} {value}");
            }
            // As clients write what they do not set.
            for (path, value) in [
                ("/TaskTemplate/ContainerSpec/CapabilityAdd", json!([])),
                ("/TaskTemplate/ContainerSpec/Secrets", json!([])),
                ("/TaskTemplate/ContainerSpec/Configs", json!(null)),
                (
                    "/TaskTemplate/ContainerSpec/Privileges",
                    json!({"CredentialSpec": null, "SELinuxContext": null, "NoNewPrivileges": true}),
                ),
                ("/TaskTemplate/ContainerSpec/Privileges/Seccomp", json!({"Mode": "default"})),
                ("/TaskTemplate/ContainerSpec/Privileges/AppArmor", json!({"Mode": "default"})),
                (
                    "/TaskTemplate/ContainerSpec/Privileges/SELinuxContext",
                    json!({"Disable": false, "User": "", "Role": "", "Type": "", "Level": ""}),
                ),
                (
                    "/TaskTemplate/ContainerSpec/Mounts",
                    json!([{"Type": "volume", "Source": "v", "Target": "/v"}, {"Type": "tmpfs", "Target": "/t"}]),
                ),
                ("/TaskTemplate/Runtime", json!("container")),
                ("/TaskTemplate/Networks", json!([{"Target": "shop"}])),
                ("/TaskTemplate/Resources", json!({"Limits": {"MemoryBytes": 1}, "Reservations": {}})),
                ("/EndpointSpec", json!({"Ports": [{"PublishedPort": 80, "TargetPort": 80}]})),
            ] {
                for answer in sends(&service_with(path, &value)) {
                    assert!(status(&answer) < 300, "{profile} {path} {value}: {answer}");
                }
            }
        }
    }
}

/// What the service has, and the client was shown, may stay or go. Nothing may be added or altered.
fn an_update_reaches_no_more_of_the_host_than_the_service() {
    let restores = "show: [identity, state, topology, host]\nedits: restore\n";
    let (mut stayed, mut hidden) = (0, 0);
    for shows in ["show: all\n", restores] {
        for profile in hiding_one_kind(&format!("allow: [ServiceInspect, ServiceUpdate]\n{shows}")) {
            let service = Arc::new(Mutex::new(plain_service()));
            let stage = Stage::answering(&profile, of_services(&service));
            let update = |name: &str, body: &Value| {
                let target = format!("/v1.51/services/{name}/update?version=7");
                stage.ask(0, &post(&target, &body.to_string()))
            };
            for (path, value) in host_parts() {
                let spec = service_with(path, &value);
                service.lock().unwrap().clone_from(&spec);
                let (shown, _) = crate::support::client::body(&stage.get("/v1.51/services/w"));
                let shown = serde_json::from_str::<Value>(&shown).unwrap()["Spec"].clone();
                let answer = update("w", &shown);
                assert_eq!(status(&answer), 200, "{profile} {shown}: {answer}");
                let (_, up) = sent_bodies(&stage).pop().unwrap();
                assert_eq!(up, spec, "{profile} {path}");
                stayed += 1;
                if shown == spec {
                    let answer = update("o", &shown);
                    assert_eq!(status(&answer), 403, "{profile} {shown}: {answer}");
                } else {
                    hidden += 1;
                }
                // What is hidden is not known to a client that has guessed it.
                let answer = update("w", &spec);
                let code = if shown == spec { 200 } else { 403 };
                assert_eq!(status(&answer), code, "{profile} {spec}: {answer}");
            }
        }
    }
    assert!(stayed > 200 && hidden > 50, "{stayed} {hidden}");
    let mounts = |mounts: Value| service_with("/TaskTemplate/ContainerSpec/Mounts", &mounts);
    let bind = |target: &str, more: Value| {
        let mut mount = json!({"Type": "bind", "Source": "/srv", "Target": target, "ReadOnly": true});
        mount.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        mount
    };
    let capabilities = |list: Value| service_with("/TaskTemplate/ContainerSpec/CapabilityAdd", &list);
    let own = mounts(json!([bind("/a", json!({})), bind("/b", json!({}))]));
    let service = Arc::new(Mutex::new(own.clone()));
    let read = &hiding_one_kind("allow: [ServiceInspect, ServiceUpdate]\nshow: all\n")[0];
    let stage = Stage::answering(read, of_services(&service));
    for (current, sent, code) in [
        (&own, mounts(json!([bind("/b", json!({}))])), 200),
        (
            &own,
            mounts(
                json!([bind("/b", json!({"Consistency": "", "BindOptions": {}})), {"Type": "tmpfs", "Target": "/t"}]),
            ),
            200,
        ),
        (&own, mounts(json!([])), 200),
        (&own, mounts(json!([bind("/a", json!({"ReadOnly": false}))])), 403),
        (&own, mounts(json!([bind("/a", json!({"readonly": false}))])), 403),
        (&own, mounts(json!([bind("/c", json!({}))])), 403),
        (&own, mounts(json!([bind("/a", json!({"Source": "/srv/.."}))])), 403),
        (&own, mounts(json!([bind("/a", json!({"BindOptions": {"Propagation": "rshared"}}))])), 403),
        (&capabilities(json!(["A", "B"])), capabilities(json!(["B"])), 200),
        (&capabilities(json!(["A", "B"])), capabilities(json!(["A", "C"])), 403),
        (&capabilities(json!(["A", "B"])), capabilities(json!("A")), 403),
    ] {
        service.lock().unwrap().clone_from(current);
        let answer = stage.ask(0, &post("/v1.51/services/w/update?version=7", &sent.to_string()));
        assert_eq!(status(&answer), code, "{sent}: {answer}");
    }
    // A client that may not read services was shown none.
    service.lock().unwrap().clone_from(&own);
    let stage = Stage::answering(&hiding_one_kind("allow: [ServiceUpdate]\nshow: all\n")[0], of_services(&service));
    assert_eq!(status(&stage.ask(0, &post("/v1.51/services/w/update?version=7", &own.to_string()))), 403);
}

/// A hidden volume or network of a service goes back as the service has it, or not at all.
fn what_is_hidden_stays_as_the_service_has_it() {
    let spec = json!({
        "Name": "shop",
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "shop:1",
                "Mounts": [
                    {"Type": "volume", "Source": "hidden-data", "Target": "/v", "ReadOnly": true},
                    {"Type": "volume", "Source": "own", "Target": "/w"},
                ],
            },
            "Networks": [{"Target": "hidden-net", "Aliases": ["shop"]}, {"Target": "own"}],
        },
    });
    let hides = "{never: [{label: hide}]}";
    let stage = Stage::answering(
        &format!("allow: [ServiceInspect, ServiceUpdate]\nshow: all\nvolumes: {hides}\nnetworks: {hides}\n"),
        of_services(&Arc::new(Mutex::new(spec.clone()))),
    );
    let update = |path: &str, value: Value| {
        let mut sent = spec.clone();
        sent.pointer_mut(path).unwrap().clone_from(&value);
        let answer = stage.ask(0, &post("/v1.51/services/w/update?version=7", &sent.to_string()));
        (status(&answer), sent_bodies(&stage).pop().map(|(_, up)| up.pointer(path).cloned()))
    };
    const MOUNTS: &str = "/TaskTemplate/ContainerSpec/Mounts";
    const NETWORKS: &str = "/TaskTemplate/Networks";
    let hidden = |target: &str, read_only: bool| json!({"Type": "volume", "Source": "hidden-data", "Target": target, "ReadOnly": read_only});
    for mounts in [
        json!([hidden("/v", true)]),
        json!([{"Target": "/v", "ReadOnly": true, "Consistency": "", "Source": "hidden-data", "Type": "volume"}]),
        json!([]),
        json!([{"Type": "volume", "Source": "own", "Target": "/elsewhere"}, hidden("/v", true)]),
    ] {
        assert_eq!(update(MOUNTS, mounts.clone()).0, 200, "{mounts}");
    }
    for mounts in [
        json!([hidden("/other", true)]),
        json!([hidden("/v", false)]),
        json!([hidden("/v", true), hidden("/other", false)]),
        json!([hidden("/other", false), hidden("/v", true)]),
        json!([{"Type": "volume", "Source": "hidden-other", "Target": "/v", "ReadOnly": true}]),
        json!([{"Type": "volume", "Source": "hidden-data", "Target": "/v", "ReadOnly": true, "VolumeOptions": {"Subpath": "a"}}]),
    ] {
        assert_eq!(update(MOUNTS, mounts.clone()).0, 403, "{mounts}");
    }
    let target = |networks: Value| {
        let (code, up) = update(NETWORKS, networks.clone());
        assert_eq!(code, 200, "{networks}");
        up.flatten().unwrap()[0]["Target"].as_str().unwrap().to_owned()
    };
    assert_eq!(target(json!([{"Target": "hidden-net", "Aliases": ["shop"]}])), "hidden-net");
    for aliases in [json!(["shop", "db"]), json!([]), Value::Null] {
        let up = target(json!([{"Target": "hidden-net", "Aliases": aliases}]));
        assert!(up.len() == 64, "{aliases}: {up}");
    }
}

/// A service without a task keeps the name of a volume that somebody else may remove and make again.
fn a_service_mounts_no_hidden_volume_that_got_a_name_of_its_own() {
    let spec = |mounts: Value| {
        json!({
            "Name": "shop",
            "Mode": {"Replicated": {"Replicas": 1}},
            "TaskTemplate": {"ContainerSpec": {"Image": "shop:1", "Mounts": mounts}, "ForceUpdate": 0},
            "UpdateConfig": {"FailureAction": "pause"},
        })
    };
    let mount = |source: &str| json!([{"Type": "volume", "Source": source, "Target": "/v"}]);
    let with = |path: &str, value: Value, spec: &Value| {
        let mut changed = spec.clone();
        *changed.pointer_mut(path).unwrap() = value;
        changed
    };
    let running = running_task(&spec(mount("hidden-data")));
    // The tasks, and whether they hold the hidden volume.
    let tasks = [
        (json!([]), false),
        (json!([running]), true),
        // It is being replaced.
        (json!([with("/DesiredState", json!("shutdown"), &running)]), true),
        (json!([with("/Status/State", json!("ready"), &running)]), true),
        (json!([with("/Status/State", json!("preparing"), &running)]), false),
        (json!([with("/Status/State", json!("complete"), &running)]), false),
        (json!([with("/Status/State", json!("shutdown"), &running)]), false),
        (json!([with("/ServiceID", json!("o".repeat(25)), &running)]), false),
        (json!([running_task(&spec(mount("hidden-other")))]), false),
        (json!([running_task(&spec(json!([])))]), false),
        (json!([{"ID": "t"}, 7, running_task(&spec(Value::Null)), running]), true),
    ];
    let hides = "allow: [ServiceInspect, ServiceUpdate]\nvolumes: {never: [{label: hide}]}\n";
    for shows in ["show: all\n", "show: [identity, state, topology, free-text]\nedits: restore\n"] {
        let engine = Arc::new(Mutex::new((json!([]), Value::Null)));
        let (answered, others) = (engine.clone(), of_services(&Arc::new(Mutex::new(plain_service()))));
        let stage = Stage::answering(&format!("{hides}{shows}"), move |request| {
            let (tasks, service) = &*answered.lock().unwrap();
            match request.split(['?', ' ']).nth(1).unwrap().split('/').skip(2).collect::<Vec<_>>()[..] {
                ["tasks"] => daemon::json(&tasks.to_string()),
                ["services", _] => daemon::json(&service.to_string()),
                _ => others(request),
            }
        });
        // Whether the service mounts the hidden volume, and whether it did before.
        let services = [(true, true), (true, false), (false, true), (false, false)];
        for ((tasks, holds), (now, before)) in
            tasks.iter().flat_map(|tasks| services.map(|service| (tasks.clone(), service)))
        {
            let of = |is_hidden: bool| spec(mount(if is_hidden { "hidden-data" } else { "own" }));
            let service =
                json!({"ID": "w".repeat(25), "Version": {"Index": 7}, "Spec": of(now), "PreviousSpec": of(before)});
            *engine.lock().unwrap() = (tasks, service);
            let (shown, _) = crate::support::client::body(&stage.get("/v1.44/services/with"));
            let shown = serde_json::from_str::<Value>(&shown).unwrap()["Spec"].clone();
            let back = |spec: &Value| with("/UpdateConfig/FailureAction", json!("rollback"), spec);
            let none = |spec: &Value| with("/Mode/Replicated/Replicas", json!(0), spec);
            // The body, the query, and whether a task of it could mount the volume.
            let mut cases = vec![
                (shown.clone(), "", now),
                (with("/Mode/Replicated/Replicas", json!(2), &shown), "", now),
                (with("/TaskTemplate/ForceUpdate", json!(1), &shown), "", now),
                (none(&shown), "", false),
                (none(&shown), "&rollback=previous", before),
                (shown.clone(), "&rollback=previous", now || before),
                (back(&none(&shown)), "", now),
            ];
            if shows.contains("all") {
                let without = with("/TaskTemplate/ContainerSpec/Mounts", json!([]), &shown);
                cases.extend([
                    (without.clone(), "", false),
                    (back(&without), "", now),
                    (without, "&rollback=previous", before),
                ]);
            }
            for (body, query, mounts_it) in cases {
                let target = format!("/v1.44/services/with/update?version=7{query}");
                let sent_before = stage.bench.daemon.requests().len();
                let answer = stage.ask(0, &post(&target, &body.to_string()));
                let expected = if mounts_it && !holds { 403 } else { 200 };
                assert_eq!(status(&answer), expected, "{shows} {query} {body}: {answer}");
                let sent = stage.bench.daemon.requests().split_off(sent_before);
                assert_eq!(sent.iter().any(|request| request.starts_with("POST ")), expected == 200);
            }
        }
    }
}

/// A container that has never been started keeps the name of a network that somebody else may remove and make again.
fn a_container_starts_in_no_hidden_network_that_got_a_name_of_its_own() {
    let by_id = json!({"NetworkID": "f".repeat(64)});
    let by_name = json!({"NetworkID": "", "EndpointID": ""});
    // The networks, and whether the container may start.
    let cases = [
        (json!({"own": by_name}), true),
        (json!({"hidden-net": by_id}), true),
        (json!({"hidden-net": by_id, "own": by_name}), true),
        (json!({"bridge": by_name}), true),
        (json!({"host": null}), true),
        (json!({}), true),
        (Value::Null, true),
        (json!({"hidden-net": by_name}), false),
        (json!({"absent-net": by_name}), false),
        (json!({"own": by_id, "hidden-net": by_name}), false),
        (json!({"hidden-net": null}), false),
        (json!({"hidden-net": {}}), false),
        (json!({"../hidden-net": by_name}), false),
        // It cannot be read.
        (json!({"hidden-net": 7}), false),
        (json!([{"hidden-net": by_name}]), false),
    ];
    let engine = Arc::new(Mutex::new(Value::Null));
    let (answered, others) = (engine.clone(), of_services(&Arc::new(Mutex::new(plain_service()))));
    let stage = Stage::answering(
        "allow: [ContainerStart, ContainerRestart, ContainerStop]\nshow: all\nnetworks: {never: [{label: hide}]}\n",
        move |request| match request.split(' ').nth(1).unwrap() {
            path if path.ends_with("/web/json") => daemon::json(&answered.lock().unwrap().to_string()),
            _ => others(request),
        },
    );
    for (networks, starts) in cases {
        *engine.lock().unwrap() = json!({"Id": "c".repeat(64), "Name": "/web", "Config": {"Labels": {}},
                                         "NetworkSettings": {"Networks": networks}});
        for (operation, passes) in [("start", starts), ("restart", starts), ("stop", true)] {
            let before = stage.bench.daemon.requests().len();
            let answer = stage.ask(0, &post(&format!("/v1.44/containers/web/{operation}"), ""));
            let expected = if passes { [200, 200] } else { [403, 404] };
            assert!(expected.contains(&status(&answer)), "{networks} {operation}: {answer}");
            let sent = stage.bench.daemon.requests().split_off(before);
            assert_eq!(sent.iter().any(|request| request.starts_with("POST ")), passes, "{networks} {operation}");
        }
    }
}

/// Who waits until a container is removed that the engine is to remove waits for the engine to fail, or for ever.
fn a_container_of_an_absent_network_is_started_for_the_answer_of_the_engine() {
    // The name that the container has of its network, and that of a hidden network.
    let (container, hidden) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(String::new())));
    let (kept, taken) = (container.clone(), hidden.clone());
    let stage = Stage::answering(
        "allow: [ContainerCreate, ContainerStart, ContainerRestart]\nshow: all\nnetworks: {never: [{label: hide}]}\n",
        move |request| {
            let target = request.split(' ').nth(1).unwrap();
            let path = target.split('?').next().unwrap();
            match path.split('/').skip(2).collect::<Vec<_>>()[..] {
                ["containers", "create"] => {
                    daemon::with_status("201 Created", &json!({"Id": "c".repeat(64), "Warnings": []}).to_string())
                }
                ["containers", _, "json"] => {
                    let networks = json!({ &*kept.lock().unwrap(): {"NetworkID": "", "EndpointID": ""} });
                    daemon::json(
                        &json!({"Id": "c".repeat(64), "Name": "/web", "Config": {"Labels": {}},
                                "NetworkSettings": {"Networks": networks}})
                        .to_string(),
                    )
                }
                ["networks", name] if name == *taken.lock().unwrap() => {
                    daemon::json(&json!({"Id": "9".repeat(64), "Name": name, "Labels": {"hide": ""}}).to_string())
                }
                _ => daemon::with_status("404 Not Found", r#"{"message":"network canary not found"}"#),
            }
        },
    );
    let starts = |networks: &str, passes: bool| {
        *container.lock().unwrap() = networks.to_owned();
        for operation in ["start", "restart"] {
            let before = written(&stage).len();
            let answer = stage.ask(0, &post(&format!("/v1.44/containers/web/{operation}"), ""));
            assert_eq!(status(&answer), if passes { 404 } else { 403 }, "{operation}: {answer}");
            assert!(!answer.contains("canary"), "{answer}");
            assert_eq!(written(&stage).len() - before, usize::from(passes), "{operation}");
        }
    };
    let mut all = BTreeSet::new();
    for (named, taken) in [("hidden-net", "hidden-net"), ("absent-net", "hidden-net"), ("absent-net", "")] {
        *hidden.lock().unwrap() = taken.to_owned();
        let body = json!({"Image": "a:1", "HostConfig": {"AutoRemove": true, "NetworkMode": named}});
        assert_eq!(status(&stage.ask(0, &post("/v1.44/containers/create?name=web", &body.to_string()))), 201);
        let requests = stage.bench.daemon.requests();
        let create = requests.iter().rfind(|request| request.contains("/containers/create")).unwrap();
        let up: Value = serde_json::from_str(create.split_once("\r\n\r\n").unwrap().1).unwrap();
        let up = up["HostConfig"]["NetworkMode"].as_str().unwrap().to_owned();
        assert!(up.len() == 64 && up != named, "{up}");
        starts(&up, true);
        // What a client reads of one is nothing of the next.
        assert!(all.insert(up.clone()), "{all:?}");
        // One of which no process knows any more.
        starts(&format!("{}{}", "0".repeat(16), "d".repeat(48)), true);
        // Somebody has called a network so.
        hidden.lock().unwrap().clone_from(&up);
        starts(&up, false);
        // Any other name, or id, may be taken at any time.
        starts("hidden-net", false);
        starts(&"d".repeat(64), false);
        starts(&up[..63], false);
    }
}

fn a_body_reaches_the_host_only_if_the_profile_says_so() {
    let body = json!({ "Image": "image1:1", "HostConfig": {"Binds": ["/:/host"], "Privileged": true} }).to_string();
    for (parameters, expected) in [("all", 201), ("[name]", 403)] {
        let profile =
            format!("allow: all\nshow: all\nparameters: {{ContainerCreate: {parameters}}}\n{BY_LABEL}{BY_USE}");
        let stage = Stage::of(&profile);
        let mut numbers = Numbers::new(3);
        let common = common(&mut numbers);
        let mut container = visible(&mut numbers, &common, 1);
        container.image = ("image1:1".to_owned(), common.images[1].id.clone());
        let other = hidden(&mut numbers, &common, &[], 1);
        stage.show(&common.with(&World { containers: vec![container, other], ..World::default() }));
        let answer = stage.ask(0, &post("/containers/create", &body));
        assert_eq!(status(&answer), expected, "{answer}");
        if expected == 403 {
            let opens = "reaches the host, where nothing is hidden (parameters: {ContainerCreate: all} opens it)";
            assert!(answer.contains(opens), "{answer}");
        }
    }
}

/// What is hidden of one kind is reached by way of the host with objects of another: a volume of its paths, for example.
fn no_body_reaches_the_host_where_objects_of_any_kind_are_hidden() {
    const OPERATIONS: [&str; 6] =
        ["ContainerCreate", "ContainerExec", "ContainerStart", "VolumeCreate", "ServiceCreate", "CheckpointCreate"];
    let bodies = [
        ("/containers/create", json!({"Image": "shop:1", "HostConfig": {"Privileged": true}})),
        ("/containers/create", json!({"Image": "shop:1", "HostConfig": {"Binds": ["/:/h"]}})),
        ("/containers/create", json!({"Image": "shop:1", "HostConfig": {"Binds": ["./../etc:/h"]}})),
        (
            "/containers/create",
            json!({"Image": "shop:1", "HostConfig": {"Binds": ["v:/h:O,upperdir=/etc,workdir=/tmp/w"]}}),
        ),
        ("/containers/create", json!({"Image": "shop:1", "Volumes": {"v:/h:O,upperdir=/etc,workdir=/tmp/w": {}}})),
        ("/containers/create", json!({"Image": "shop:1", "HostConfig": {"PidMode": "host"}})),
        ("/containers/web/exec", json!({"Cmd": ["id"], "Privileged": true})),
        ("/containers/web/checkpoints", json!({"CheckpointID": "a", "CheckpointDir": "/etc"})),
        ("/volumes/create", json!({"Name": "v", "DriverOpts": {"o": "bind", "device": "/", "type": "none"}})),
        ("/volumes/create", json!({"Name": "v", "Driver": "nfs"})),
        ("/services/create", service_with("/TaskTemplate/ContainerSpec/CapabilityAdd", &json!(["ALL"]))),
    ];
    let harmless = [
        ("/containers/create", json!({"Image": "shop:1", "HostConfig": {"Binds": ["v:/h:ro,z"]}})),
        ("/containers/web/exec", json!({"Cmd": ["id"]})),
        ("/containers/web/checkpoints", json!({"CheckpointID": "a", "Exit": true, "CheckpointDir": ""})),
        ("/volumes/create", json!({"Name": "v", "Driver": "local", "DriverOpts": {}})),
        ("/services/create", plain_service()),
    ];
    let open = "allow: all\nshow: all\n".to_owned();
    let all = OPERATIONS.map(|id| format!("{id}: all")).join(", ");
    let whole = hiding_one_kind(&format!("{open}parameters: {{{all}}}\n"));
    for (profiles, passes) in [(vec![open.clone()], true), (whole, true), (hiding_one_kind(&open), false)] {
        for profile in profiles {
            let stage = Stage::answering(&profile, of_services(&Arc::new(Mutex::new(plain_service()))));
            let ask = |target: &str, body: &Value| {
                let answer = stage.ask(0, &post(&format!("/v1.51{target}"), &body.to_string()));
                (answer, sent_bodies(&stage).len())
            };
            let mut up = 0;
            for (target, body) in &bodies {
                let (answer, sent) = ask(target, body);
                up += usize::from(passes);
                assert_eq!((status(&answer) == 403, sent), (!passes, up), "{profile} {target} {body}: {answer}");
            }
            for (target, body) in &harmless {
                let (answer, sent) = ask(target, body);
                up += 1;
                assert!(status(&answer) < 300 && sent == up, "{profile} {target} {body}: {answer}");
            }
        }
    }
}

fn an_exec_has_no_more_rights_than_its_container() {
    // As the docker command, docker-py and an attacker send it.
    let command = r#"{"User":"","Privileged":false,"Tty":true,"ConsoleSize":[24,80],"AttachStdin":true,"AttachStderr":true,"AttachStdout":true,"Detach":false,"DetachKeys":"","Env":null,"WorkingDir":"","Cmd":["id"]}"#;
    let sdk = r#"{"Container":"web-1","User":"root","Privileged":false,"Tty":false,"AttachStdin":false,"AttachStdout":true,"AttachStderr":true,"Cmd":["id"],"Env":["A=1"],"WorkingDir":"/"}"#;
    for (body, parameters, passes) in [
        (command, "", true),
        (sdk, "", true),
        (r#"{"Cmd":["id"],"Privileged":true}"#, "", false),
        (r#"{"Cmd":["id"],"privileged":true}"#, "", false),
        (r#"{"Cmd":["id"],"Privileged":false,"pRivileged":true}"#, "", false),
        (r#"{"Cmd":["id"],"Privileged":true}"#, "parameters: {ContainerExec: all}\n", true),
    ] {
        // The container must be visible, or the operation is for such containers only.
        for profile in [
            format!("allow: all\nshow: all\n{parameters}{BY_NAME}"),
            format!("allow: [{{ContainerExec: {{only: [{{name: \"web-*\"}}]}}}}]\n{parameters}"),
        ] {
            let stage = Stage::of(&profile);
            stage.show(&small_world());
            let answer = stage.ask(0, &post("/containers/web-1/exec", body));
            let sent = sent_bodies(&stage);
            assert_eq!(sent.len(), usize::from(passes), "{body} {profile}: {answer}");
            assert!(passes || matches!(status(&answer), 400 | 403), "{body}: {answer}");
            for (_, mut up) in sent {
                let mut expected: Value = serde_json::from_str(body).unwrap();
                // It goes up as the whole id.
                for body in [&mut up, &mut expected] {
                    body.as_object_mut().unwrap().remove("Container");
                }
                assert_eq!(up, expected);
            }
        }
    }
}

/// A stage whose engine has one of each, and whose profile hides some containers.
fn hiding_containers() -> Stage {
    Stage::answering(
        &hiding_one_kind("allow: all\nshow: all\n")[0],
        of_services(&Arc::new(Mutex::new(plain_service()))),
    )
}

fn an_exec_is_started_as_clients_do_it() {
    let stage = hiding_containers();
    // The docker command, docker-py, dockerode, and an attacker.
    for (body, passes) in [
        (r#"{"Detach":false,"Tty":true,"ConsoleSize":[24,80]}"#, true),
        (r#"{"Detach":true,"Tty":false,"ConsoleSize":null}"#, true),
        (r#"{"Tty":false,"Detach":false}"#, true),
        (r#"{"hijack":true,"stdin":true,"Detach":false,"Tty":false}"#, true),
        (r#"{"Detach":true,"Privileged":true}"#, false),
    ] {
        let before = sent_bodies(&stage).len();
        let answer = stage.ask(0, &post(&format!("/v1.51/exec/{}/start", "e".repeat(64)), body));
        let sent = sent_bodies(&stage).split_off(before);
        assert_eq!((status(&answer) == 403, sent.len()), (!passes, usize::from(passes)), "{body}: {answer}");
        for (_, up) in sent {
            assert_eq!(up, serde_json::from_str::<Value>(body).unwrap());
        }
    }
}

fn a_container_is_committed_as_clients_do_it() {
    // The image has the environment of the container.
    let stage = Stage::of("allow: [ImageCommit]\nshow: all\ncontainers: {never: [{label: hide}]}\n");
    let answer = stage.ask(0, &post("/v1.51/commit?container=web&repo=made", "null"));
    assert!(status(&answer) == 403 && answer.contains("environment"), "{answer}");
    let stage = hiding_containers();
    for (body, code) in [
        ("null", 201),
        (r#"{"Cmd":["a"],"Env":["A=b"],"Labels":{"a":"b"}}"#, 201),
        (r#"{"Labels":{"PODMAN_SYSTEMD_UNIT":"a"}}"#, 403),
    ] {
        let answer = stage.ask(0, &post("/v1.51/commit?container=web&repo=made", body));
        assert_eq!(status(&answer), code, "{body}: {answer}");
    }
}

/// What a container may be like that a body borrows from: a member, and what stands there.
enum Borrowable {
    /// Nobody may borrow that where anything is hidden.
    Never(&'static str, Value),
    /// Only control groups are not to be borrowed.
    ButGroups(&'static str, Value),
    /// It is a hidden object of this kind.
    Unless(&'static str, &'static str, Value),
    Always(&'static str, Value),
}

fn borrowable() -> Vec<Borrowable> {
    use Borrowable::{Always, ButGroups, Never, Unless};
    let volume = |name: &str| json!([{"Type": "volume", "Name": name, "Destination": "/v", "Driver": "local"}]);
    let network = |name: &str| json!({ name: {"NetworkID": format!("{name}-id")} });
    vec![
        Never("/HostConfig/Binds", json!(["v:/v", "/:/h:rw,rbind"])),
        Never("/HostConfig/CapAdd", json!(["SYS_ADMIN"])),
        Never("/HostConfig/DeviceRequests", json!([{"Count": -1}])),
        Never("/HostConfig/Devices", json!([{"PathOnHost": "/dev/sda"}])),
        Never("/HostConfig/IpcMode", json!("host")),
        Never("/HostConfig/IpcMode", json!("container:other")),
        Never("/HostConfig/Mounts", json!([{"Type": "bind", "Source": "/", "Target": "/h"}])),
        Never(
            "/HostConfig/Mounts",
            json!([{"Type": "volume", "Target": "/h", "VolumeOptions": {"DriverConfig": {"Options": {"device": "/"}}}}]),
        ),
        Never("/HostConfig/NetworkMode", json!("host")),
        Never("/HostConfig/NetworkMode", json!("container:other")),
        Never("/HostConfig/NetworkMode", json!("ns:/proc/1/ns/net")),
        Never("/HostConfig/PidMode", json!("host")),
        Never("/HostConfig/PidMode", json!("container:other")),
        Never("/HostConfig/Privileged", json!(true)),
        Never("/HostConfig/SecurityOpt", json!(["apparmor=unconfined"])),
        Never("/HostConfig/UTSMode", json!("host")),
        Never("/HostConfig/UsernsMode", json!("host")),
        Never("/HostConfig/VolumesFrom", json!(["other"])),
        Never("/HostConfig/New", json!(1)),
        Never("/HostConfig", json!(null)),
        Never("/Mounts", json!([{"Type": "bind", "Source": "/", "Destination": "/h"}])),
        Never("/Mounts", json!([{"Type": "npipe", "Source": "/", "Destination": "/h"}])),
        Never("/Mounts", json!([{"Source": "/", "Destination": "/h"}])),
        Never("/NetworkSettings/Networks", json!({"host": {"NetworkID": "h"}})),
        Never("/NetworkSettings", json!(null)),
        ButGroups("/HostConfig/CgroupnsMode", json!("host")),
        Unless("volumes", "/Mounts", volume("hidden-volume")),
        Unless("volumes", "/HostConfig/Binds", json!(["hidden-volume:/v:rprivate,rw,nodev,exec,nosuid,rbind"])),
        Unless("volumes", "/HostConfig/Mounts", json!([{"Type": "volume", "Source": "hidden-volume", "Target": "/v"}])),
        Unless("networks", "/HostConfig/NetworkMode", json!("hidden-network")),
        Unless("networks", "/NetworkSettings/Networks", network("hidden-network")),
        Always("/Mounts", volume("v")),
        Always("/Mounts", json!([{"Type": "tmpfs", "Destination": "/t"}])),
        Always("/HostConfig/Binds", json!(["v:/v:rprivate,rw,nodev,exec,nosuid,rbind"])),
        Always("/HostConfig/NetworkMode", json!("shop")),
        Always("/HostConfig/Links", json!(["/other:/web/alias"])),
        Always("/HostConfig/MaskedPaths", json!(["/proc/kcore"])),
        Always("/HostConfig/Runtime", json!("oci")),
        Always("/HostConfig/Annotations", json!({"io.container.manager": "libpod"})),
        Always("/NetworkSettings/Networks", network("shop")),
        Always("/NetworkSettings/Networks", json!({"bridge": {"NetworkID": ""}, "none": null})),
    ]
}

/// The ways to borrow from a container: the target, and the body.
fn borrowing(name: &str) -> Vec<(&'static str, Value)> {
    let modes = ["NetworkMode", "PidMode", "UTSMode", "UsernsMode", "CgroupnsMode", "Cgroup"];
    let joined = modes.map(|mode| json!({"Image": "shop:1", "HostConfig": {mode: format!("container:{name}")}}));
    let from = [name.to_owned(), format!("{name}:ro")];
    let from = from.map(|from| json!({"Image": "shop:1", "HostConfig": {"VolumesFrom": [from]}}));
    let task = json!({"Name": "a", "TaskTemplate": {"NetworkAttachmentSpec": {"ContainerID": name}}});
    let containers = joined.into_iter().chain(from).map(|body| ("/v1.51/containers/create", body));
    containers.chain([("/v1.51/services/create", task)]).collect()
}

/// An engine with a container `lender` that can change; see [`of_services`].
fn lending(lender: &Arc<Mutex<Value>>) -> impl Fn(&str) -> Reply + Send + Sync + use<> {
    let (lender, service) = (lender.clone(), Arc::new(Mutex::new(plain_service())));
    let others = of_services(&service);
    move |request| {
        let target = request.split(' ').nth(1).unwrap();
        let parts: Vec<&str> = target.split(['/', '?']).skip(2).collect();
        match parts[..] {
            ["containers", name, "json", ..] if ["lender", &"c".repeat(64)].contains(&name) => {
                daemon::json(&lender.lock().unwrap().to_string())
            }
            _ => others(request),
        }
    }
}

/// A container with a value at a path.
fn lender_with(path: &str, value: &Value) -> Value {
    let mut lender = json!({
        "Id": "c".repeat(64), "Name": "/lender", "Config": {"Image": "shop:1", "Labels": {}},
        "HostConfig": {"NetworkMode": "default", "IpcMode": "private", "CgroupnsMode": "private", "Binds": null},
        "Mounts": [], "NetworkSettings": {"Networks": {}},
    });
    path.split('/').skip(1).fold(&mut lender, |at, name| &mut at[name]).clone_from(value);
    lender
}

fn what_a_body_may_not_name_it_may_not_borrow() {
    // Whoever may join processes of a container may read its environment.
    const OPEN: &str = "allow: [ContainerCreate, ServiceCreate, ContainerInspect]\nshow: all\n";
    let whole = format!("{OPEN}parameters: {{ContainerCreate: all, ServiceCreate: all}}\n");
    let of = |open: &str, denies: bool| hiding_one_kind(open).into_iter().map(move |profile| (profile, denies));
    let profiles = of(OPEN, true).chain(of(&whole, false)).chain([(OPEN.to_owned(), false)]);
    for (profile, denies) in profiles {
        let lender = Arc::<Mutex<Value>>::default();
        let stage = Stage::answering(&profile, lending(&lender));
        for one in borrowable() {
            let (Borrowable::Never(path, value)
            | Borrowable::ButGroups(path, value)
            | Borrowable::Unless(_, path, value)
            | Borrowable::Always(path, value)) = &one;
            *lender.lock().unwrap() = lender_with(path, value);
            for (target, body) in borrowing("lender") {
                let of_groups =
                    !body["HostConfig"]["CgroupnsMode"].is_null() || !body["HostConfig"]["Cgroup"].is_null();
                let passes = !denies
                    || match one {
                        Borrowable::Never(..) => false,
                        Borrowable::ButGroups(..) => !of_groups,
                        Borrowable::Unless(kind, ..) => !profile.contains(&format!("{kind}:")),
                        Borrowable::Always(..) => true,
                    };
                let before = sent_bodies(&stage).len();
                let answer = stage.ask(0, &post(target, &body.to_string()));
                let place = format!("{profile} {path} {value} {body}: {answer}");
                assert_eq!(status(&answer), if passes { 201 } else { 403 }, "{place}");
                assert_eq!(sent_bodies(&stage).len() - before, usize::from(passes), "{place}");
                assert!(passes || answer.contains("borrows") && answer.contains(": all} opens it)"), "{place}");
            }
        }
    }
}

fn an_environment_that_is_hidden_is_not_borrowed() {
    let lender = Arc::new(Mutex::new(lender_with("/HostConfig/ReadonlyRootfs", &json!(true))));
    let of = |host_config: Value| json!({"Image": "shop:1", "HostConfig": host_config}).to_string();
    let links = ["lender", "lender:db", "/lender:/web/db"].map(|link| of(json!({"Links": [link]})));
    let showing: Vec<String> = links.into_iter().chain([of(json!({"PidMode": "container:lender"}))]).collect();
    let other =
        of(json!({"NetworkMode": "container:lender", "UTSMode": "container:lender", "VolumesFrom": ["lender"]}));
    for (profile, passes) in [
        ("allow: [ContainerCreate]", false),
        ("allow: [ContainerCreate]\nshow: all", false),
        ("allow: [ContainerCreate, ContainerInspect]\nshow: [command, free-text, host-path, topology]", false),
        ("allow: [ContainerCreate, ContainerInspect]\nshow: all\nrules: [{on: ContainerConfig, redact: $.Env}]", false),
        ("allow: [ContainerCreate, {ContainerInspect: {only: [{name: lender}]}}]\nshow: all", false),
        ("allow: [ContainerCreate, ContainerExec]", false),
        ("allow: [ContainerCreate, {ContainerExec: {only: [{name: lender}]}}, ExecStart]", false),
        ("allow: [ContainerCreate, ContainerExec, ExecStart]\nshow: [identity]", false),
        ("allow: [ContainerCreate, ContainerInspect]\nshow: all", true),
        ("allow: [ContainerCreate]\nshow: [identity]\nparameters: {ContainerCreate: all}", true),
    ] {
        for profile in hiding_one_kind(&format!("{profile}\n")) {
            let stage = Stage::answering(&profile, lending(&lender));
            for body in &showing {
                let before = sent_bodies(&stage).len();
                let answer = stage.ask(0, &post("/v1.51/containers/create", body));
                assert_eq!(status(&answer), if passes { 201 } else { 403 }, "{profile} {body}: {answer}");
                assert!(passes || answer.contains("shows its environment"), "{answer}");
                assert_eq!(sent_bodies(&stage).len() - before, usize::from(passes), "{profile} {body}");
            }
            assert_eq!(status(&stage.ask(0, &post("/v1.51/containers/create", &other))), 201, "{profile}");
            let commits = profile.replacen("ContainerCreate", "ContainerCreate, ImageCommit", 1);
            let stage = Stage::answering(
                &commits.replacen("{ContainerCreate: all}", "{ImageCommit: all}", 1),
                lending(&lender),
            );
            let answer = stage.ask(0, &post("/v1.51/commit?container=lender&repo=made", "null"));
            let is_denied = !passes || profile.contains("images:");
            assert_eq!(status(&answer), if is_denied { 403 } else { 201 }, "{commits}: {answer}");
        }
    }
}

/// Whatever it is like.
fn a_container_that_is_hidden_lends_as_much_as_none() {
    let lender = Arc::<Mutex<Value>>::default();
    let stage = Stage::answering(
        "allow: [ContainerCreate, ServiceCreate]\nshow: all\ncontainers: {never: [{label: hide}]}\n",
        lending(&lender),
    );
    for path in ["/HostConfig/Privileged", "/HostConfig/ReadonlyRootfs"] {
        let mut hidden = lender_with(path, &json!(true));
        hidden["Config"]["Labels"] = json!({"hide": ""});
        *lender.lock().unwrap() = hidden;
        for ((target, body), (_, absent)) in borrowing("lender").into_iter().zip(borrowing("absent")) {
            let of = |body: &Value| {
                let answer = stage.ask(0, &post(target, &body.to_string()));
                (answer, without_random(&sent_bodies(&stage).pop().unwrap().1.to_string()))
            };
            // The same goes up: an id that nothing has.
            let expected = of(&absent);
            assert!(!expected.1.contains("absent"), "{expected:?}");
            assert_eq!(of(&body), expected, "{body}");
        }
    }
}

fn the_container_that_lends_is_the_one_that_was_looked_at() {
    for kind in ["containers", "images", "volumes", "networks", "services"] {
        let lender = Arc::new(Mutex::new(lender_with("/HostConfig/ReadonlyRootfs", &json!(true))));
        let profile = format!(
            "allow: [ContainerCreate, ServiceCreate, ContainerInspect]\nshow: all\n{kind}: {{never: [{{label: hide}}]}}\n"
        );
        let stage = Stage::answering(&profile, lending(&lender));
        for (target, body) in borrowing("lender") {
            let answer = stage.ask(0, &post(target, &body.to_string()));
            assert_eq!(status(&answer), 201, "{kind} {body}: {answer}");
            let up = sent_bodies(&stage).pop().unwrap().1.to_string();
            assert!(up.contains(&"c".repeat(64)) && !up.contains("lender"), "{kind} {up}");
        }
    }
}

/// Values that nest deep or have many members, for the place of a list or of an object.
fn deep_and_wide() -> Vec<(&'static str, String)> {
    let arrays = |levels: usize| format!("[{}1{}]", "[".repeat(levels), "]".repeat(levels));
    let members: Vec<String> = (0..4_000).map(|number| format!(r#""k{number}":1"#)).collect();
    let mount = format!(r#"[{{"Type":"bind","Source":"/","Target":"/h",{}}}]"#, members.join(","));
    vec![
        ("arrays", arrays(8_000)),
        ("more arrays", arrays(100_000)),
        ("objects", format!("{}1{}", r#"{"a":"#.repeat(50_000), "}".repeat(50_000))),
        ("a mount of many members", mount),
    ]
}

/// Asks something else every few milliseconds until `work` has ended. Returns how long the slowest answer took.
fn slowest_meanwhile(stage: &Stage, work: impl FnOnce() + Send) -> Duration {
    std::thread::scope(|scope| {
        let working = scope.spawn(work);
        let mut slowest = Duration::ZERO;
        loop {
            let has_ended = working.is_finished();
            let start = Instant::now();
            assert_eq!(status(&stage.get("/_ping")), 200);
            slowest = slowest.max(start.elapsed());
            if has_ended {
                working.join().unwrap();
                return slowest;
            }
        }
    })
}

/// How long a request may take here, and others meanwhile, on a machine that does much else. Where work grows with the square of
/// what is sent, it takes minutes.
const SOON: Duration = Duration::from_secs(10);

fn a_deep_or_wide_body_keeps_nobody_waiting() {
    for parameters in ["", "parameters: {ContainerCreate: all, ServiceCreate: all}\n"] {
        let stage = Stage::answering(
            &format!("allow: all\nshow: all\n{parameters}containers: {{never: [{{label: hide}}]}}\n"),
            of_services(&Arc::new(Mutex::new(plain_service()))),
        );
        for (kind, value) in deep_and_wide() {
            for (target, body) in [
                ("containers", format!(r#"{{"Image":"a","Env":{value}}}"#)),
                ("containers", format!(r#"{{"Image":"a","New":{value}}}"#)),
                ("containers", format!(r#"{{"Image":"a","HostConfig":{{"Mounts":{value},"Devices":{value}}}}}"#)),
                ("services", format!(r#"{{"TaskTemplate":{{"ContainerSpec":{{"Mounts":{value}}}}}}}"#)),
            ] {
                let start = Instant::now();
                let slowest = slowest_meanwhile(&stage, || {
                    let answer = stage.ask(0, &post(&format!("/v1.51/{target}/create"), &body));
                    let expected = if parameters.is_empty() { 403 } else { 201 };
                    assert_eq!(status(&answer), expected, "{kind} {target}: {answer}");
                });
                assert!(start.elapsed() < SOON && slowest < SOON, "{kind} {target}: {slowest:?}");
            }
        }
    }
}

/// What the engine sends of a service is read, too.
fn a_deep_or_wide_object_of_an_edit_keeps_nobody_waiting() {
    for (kind, value) in deep_and_wide() {
        for shows in ["show: all\n", "show: [identity, state, topology, host]\nedits: restore\n"] {
            for member in ["Mounts", "New"] {
                let spec = format!(r#"{{"Name":"x","TaskTemplate":{{"ContainerSpec":{{"{member}":{value}}}}}}}"#);
                let service = format!(
                    r#"{{"ID":"{}","Version":{{"Index":7}},"Spec":{spec},"PreviousSpec":{spec}}}"#,
                    "w".repeat(25)
                );
                let stage = Stage::answering(
                    &format!(
                        "allow: [ServiceInspect, ServiceUpdate, SystemPing]\n{shows}containers: {{never: [{{label: hide}}]}}\n"
                    ),
                    move |request| daemon::json(if request.starts_with("GET") { &service } else { "{}" }),
                );
                for body in [r#"{"Name":"x"}"#, &spec] {
                    let start = Instant::now();
                    let slowest = slowest_meanwhile(&stage, || {
                        let answer = stage.ask(0, &post("/v1.51/services/x/update?version=7", body));
                        assert!([200, 403, 502].contains(&status(&answer)), "{kind} {member}: {answer}");
                    });
                    let took = start.elapsed();
                    assert!(took < SOON && slowest < SOON, "{kind} {member} {shows}: {took:?} {slowest:?}");
                }
            }
        }
    }
}

/// The targets of writes, in order.
fn written(stage: &Stage) -> Vec<String> {
    let requests = stage.bench.daemon.requests();
    let targets = requests.iter().filter(|request| !request.starts_with("GET "));
    targets.map(|request| request.split(' ').nth(1).unwrap().to_owned()).collect()
}

fn request(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

fn a_prune_removes_what_is_visible() {
    let answer = |_: &str| daemon::json(r#"{"ContainersDeleted":null,"VolumesDeleted":[],"SpaceReclaimed":0}"#);
    let prune = |profile: &str, target: &str| {
        let stage = Stage::answering(&format!("{OPEN}{profile}\n"), answer);
        let answer = stage.ask(0, &request("POST", target));
        (status(&answer), written(&stage).pop().map(|target| decoded(&target)), answer)
    };
    let shop = r#""com.docker.compose.project=shop""#;
    for (profile, target, expected) in [
        ("containers: {only: [{project: shop}]}", "/containers/prune", format!(r#"{{"label":[{shop}]}}"#)),
        (
            "containers: {only: [{project: shop}], never: [{label: keep}]}",
            "/containers/prune?filters={\"until\":[\"1h\"]}",
            format!(r#"{{"label":[{shop}],"label!":["keep"],"until":["1h"]}}"#),
        ),
        (
            "volumes: {only: [{label: a=b}]}",
            "/volumes/prune?filters={\"all\":{\"1\":true}}",
            r#"{"all":["1"],"label":["a=b"]}"#.into(),
        ),
        ("networks: {never: [{label: a}]}", "/networks/prune", r#"{"label!":["a"]}"#.into()),
    ] {
        let (status, up, answer) = prune(profile, target);
        let path = target.split('?').next().unwrap();
        assert_eq!((status, up), (200, Some(format!("/v1.51{path}?filters={expected}"))), "{profile}: {answer}");
    }
    for (profile, target) in [
        ("containers: {only: [{name: web}]}", "/containers/prune"),
        ("containers: {only: [{label: a*}]}", "/containers/prune"),
        ("containers: {never: [{label: a}]}", "/containers/prune?filters={\"label!\":[\"b\"]}"),
        ("volumes: {only: used}", "/volumes/prune"),
        // Whether hidden containers use a volume decides whether it goes.
        ("containers: {only: [{label: a}]}\nvolumes: {only: [{label: a}]}", "/volumes/prune"),
        ("containers: {only: [{label: a}]}", "/images/prune"),
    ] {
        let (status, up, answer) = prune(profile, target);
        assert_eq!((status, up), (403, None), "{profile}: {answer}");
        assert!(answer.contains("is not limited to them: "), "{answer}");
    }
}

/// An engine with two images of one name, of which one tag is secret.
fn of_images(asked: &str) -> Reply {
    let image = |number: usize, tags: &[&str]| json!({"Id": format!("sha256:{}", number.to_string().repeat(64)), "RepoTags": tags});
    let images = [image(1, &["shop:1"]), image(2, &["shop:secret", "shop:latest"])];
    let (method, target) = asked.split_once(' ').unwrap();
    let path = target.split([' ', '?']).next().unwrap().split('/').skip(2).collect::<Vec<_>>();
    let is_called = |image: &&Value, name: &str| {
        let name = if name.contains(':') { name.to_owned() } else { format!("{name}:latest") };
        image["RepoTags"].as_array().unwrap().contains(&json!(name)) || image["Id"] == json!(name)
    };
    match (method, path.as_slice()) {
        ("GET", ["images", "json"]) => daemon::json(&json!(images).to_string()),
        ("GET", ["images", name, "json"]) => match images.iter().find(|image| is_called(image, name)) {
            Some(image) => daemon::json(&image.to_string()),
            None => daemon::with_status("404 Not Found", r#"{"message":"No such image: canary"}"#),
        },
        (_, ["images", _, "push"]) => daemon::json("{}\n"),
        _ => daemon::with_status("201 Created", ""),
    }
}

fn an_image_is_pushed_and_tagged_by_the_name_that_was_checked() {
    const SHOP: &str = "{only: [{reference: \"shop:1\"}]}";
    let some = Stage::answering(&format!("{OPEN}images: {SHOP}\n"), of_images);
    let bound = Stage::answering(&format!("allow: [ImageList, {{ImagePush: {SHOP}}}]\nshow: all\n"), of_images);
    let send = |stage: &Stage, target: &str| {
        let answer = stage.ask(0, &request("POST", target));
        (status(&answer), answer)
    };
    let pattern = "{only: [{reference: \"shop:*\"}], never: [{label: a}]}";
    for (stage, target, expected) in [
        (&some, "/images/shop:1/tag?repo=shop&tag=1", 201),
        // An image that has the name already would lose it, and may be hidden.
        (&some, "/images/shop:1/tag?repo=shop&tag=2", 403),
        (&some, "/images/shop:1/tag?repo=new&tag=2", 403),
        (&some, "/images/shop:1/tag?repo=new:2", 403),
        (&some, "/images/shop:1/tag?repo=shop", 403),
        (
            &Stage::answering(&format!("{OPEN}images: {pattern}\n"), of_images),
            "/images/shop:1/tag?repo=shop&tag=2",
            403,
        ),
    ] {
        assert_eq!(send(stage, target).0, expected, "{target}");
    }
    assert_eq!(send(&bound, "/images/shop/push?tag=1").0, 200);
    assert_eq!(written(&bound).pop().unwrap(), "/v1.51/images/shop:1/push?tag=1");
    for (stage, target, expected) in [
        (&some, "/images/shop:secret/tag?repo=shop&tag=1", 404),
        (&bound, "/images/shop/push?tag=secret", 403),
        // The tag in the query counts.
        (&bound, "/images/shop:1/push?tag=secret", 403),
    ] {
        let before = written(stage).len();
        let refused = send(stage, target);
        assert_eq!(refused, send(stage, &target.replace("secret", "absent")), "{target}");
        assert_eq!((refused.0, written(stage).len()), (expected, before), "{target}");
    }
    // Without a tag, all images of the name go to the registry.
    let (code, answer) = send(&bound, "/images/shop/push");
    assert!(code == 403 && answer.contains("without a tag"), "{answer}");
    assert_eq!(send(&some, "/images/shop/push?tag=1").0, 403);
}

/// Hidden ones with the same name, or an id that begins alike, do not make a name ambiguous.
fn only_visible_objects_count_for_a_name() {
    let network = |id: &str, name: &str| json!({"Id": format!("{id:0<64}"), "Name": name, "Labels": {}});
    for others in [vec![], vec![network("abc1", "hidden")], vec![network("abc1", "shop-net"), network("abc2", "x")]] {
        let mut networks = others.clone();
        networks.push(json!({"Id": format!("{:0<64}", "abcd"), "Name": "shop-net", "Labels": {"shop": "1"}}));
        let listed = networks.clone();
        let stage = Stage::answering(&format!("{OPEN}networks: {{only: [{{label: shop}}]}}\n"), move |asked| {
            let target = asked.split(' ').nth(1).unwrap();
            let path = target.split('?').next().unwrap().split('/').skip(2).collect::<Vec<_>>();
            let found = |name: &str| -> Vec<&Value> {
                let is_called = |network: &&Value| {
                    network["Name"] == json!(name) || network["Id"].as_str().unwrap().starts_with(name)
                };
                networks.iter().filter(is_called).collect()
            };
            match path.as_slice() {
                ["networks"] => daemon::json(&json!(listed).to_string()),
                ["networks", name] => match found(name)[..] {
                    [one] => daemon::json(&one.to_string()),
                    [] => daemon::with_status("404 Not Found", "{}"),
                    _ => daemon::with_status("400 Bad Request", "{}"),
                },
                _ => daemon::with_status("404 Not Found", "{}"),
            }
        });
        for (name, expected) in
            [("shop-net", 200), ("abc", 200), ("abcd", 200), ("abc1", 404), ("hidden", 404), ("x", 404)]
        {
            let answer = stage.get(&format!("/networks/{name}"));
            assert_eq!(status(&answer), expected, "{name} {others:?}: {answer}");
            assert!(expected != 200 || answer.contains("abcd0"), "{name}: {answer}");
        }
    }
}

fn a_container_shows_the_visible_ones_that_it_refers_to() {
    let world = small_world();
    let id = |name: &str| world.containers.iter().find(|one| one.name == name).unwrap().id.clone();
    let (web, secret) = (id("web-2"), id("secret-1"));
    let shown = |target: &str, profile: &str| {
        let named = |name: &str| format!("container:{name}");
        let refers = json!({
            "Id": "f".repeat(64), "Name": "/web-0", "Config": {"Labels": {PROJECT: "shop"}},
            "HostConfig": {"NetworkMode": named(target), "PidMode": named(target), "IpcMode": "private",
                           "Links": [format!("/{target}:/web-0/db"), "/web-1:/web-0/other"], "VolumesFrom": [format!("{target}:ro")]},
            "NetworkSettings": {"Networks": {"n": {"Links": [format!("{target}:db")], "Aliases": null}}},
        });
        let (world, document) = (world.clone(), refers.to_string());
        let stage = Stage::answering(&format!("{OPEN}{profile}"), move |request| {
            if request.contains("/containers/web-0/json") || request.contains(&"f".repeat(64)) {
                return daemon::json(&document);
            }
            world.answer(request)
        });
        let (body, _) = crate::support::client::body(&stage.get("/containers/web-0/json"));
        let container: Value = serde_json::from_str(&body).unwrap();
        (container["HostConfig"].clone(), container["NetworkSettings"]["Networks"]["n"]["Links"].clone())
    };
    for profile in [BY_LABEL, BY_NAME] {
        for target in [web.as_str(), "web-2"] {
            let (host, links) = shown(target, profile);
            assert_eq!(host["NetworkMode"], json!(format!("container:{target}")), "{profile}");
            assert_eq!(host["VolumesFrom"], json!([format!("{target}:ro")]));
            assert_eq!(host["Links"], json!([format!("/{target}:/web-0/db"), "/web-1:/web-0/other"]));
            assert_eq!(links, json!([format!("{target}:db")]));
        }
        let absent = shown("absent", profile);
        assert_eq!(absent.0["NetworkMode"], json!(""));
        assert_eq!((&absent.0["VolumesFrom"], &absent.1), (&Value::Null, &Value::Null));
        assert_eq!(absent.0["Links"], json!(["/web-1:/web-0/other"]));
        // What begins with this depends on hidden containers.
        for target in [secret.as_str(), "secret-1", &secret[..12], &web[..12], "a/b", "../info"] {
            assert_eq!(shown(target, profile), absent, "{target}");
        }
    }
}
