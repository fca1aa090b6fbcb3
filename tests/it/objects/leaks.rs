//! Ways in which a whole container, image, volume, network or service could show that is hidden. `docs/leaks.md` lists them.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dockveil::api::OPERATIONS;
use dockveil::api::objects::{ObjectKind, PathObject, objects_of};
use serde_json::{Value, json};

use super::engine::parameter;
use super::world::{World, exec_of, labels};
use super::{
    BY_CHOICE, BY_LABEL, BY_NAME, BY_USE, Image, Network, OPEN, Service, Stage, sent, small_world,
    world_with_hidden_objects,
};
use crate::harness::{Test, tests};
use crate::support::client::{Client, body, status};
use crate::support::daemon;

pub(crate) const TESTS: &[Test] = tests![
    every_operation_on_a_hidden_container_is_answered_as_on_none,
    what_shares_the_start_of_its_id_with_a_hidden_object_is_found,
    filters_that_name_objects_go_up_in_the_form_in_which_they_came,
    a_pattern_of_ids_names_nothing,
    a_volume_is_called_by_its_name_alone,
    a_stream_ends_when_what_it_is_about_is_hidden,
    many_streams_ask_the_engine_together,
    a_stream_is_cut_although_the_engine_hangs_about_another,
    a_hidden_image_takes_no_short_name,
    users_are_counted_without_hidden_containers,
    no_event_tells_of_a_hidden_container,
    a_visible_container_names_no_other,
    a_link_of_a_hidden_container_names_nothing,
    an_answer_about_an_object_that_is_hidden_by_then_is_not_shown,
    tasks_and_services_tell_nothing_of_containers,
    a_task_tells_no_more_of_networks_than_their_names,
    an_image_tells_nothing_of_those_that_it_is_made_of,
    an_image_names_no_container_that_it_was_made_from,
    what_is_not_restricted_stays_beside_what_is,
    no_event_names_a_hidden_network_or_volume,
    the_deletion_of_a_hidden_image_is_not_told,
    an_archive_has_no_other_image_of_the_same_name,
    what_tells_of_hidden_containers_by_its_outcome_is_denied,
    a_container_is_judged_by_the_answer_that_shows_it,
    the_engines_own_text_about_objects_is_not_passed_on
];

fn json_of(stage: &Stage, target: &str) -> Value {
    let answer = stage.get(target);
    assert_eq!(status(&answer), 200, "{target}: {answer}");
    serde_json::from_str(&body(&answer).0).unwrap()
}

fn request(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

fn id_of(world: &World, name: &str) -> String {
    world.containers.iter().find(|container| container.name == name).unwrap().id.clone()
}

/// Of a hidden container, only its look-up reaches the engine.
fn every_operation_on_a_hidden_container_is_answered_as_on_none() {
    let stage = Stage::of(&format!("{OPEN}{BY_LABEL}"));
    let world = small_world();
    stage.show(&world);
    let hidden = world.containers.iter().find(|container| container.name == "secret-1").unwrap();
    let exec = exec_of(hidden);
    let mut count = 0;
    for operation in OPERATIONS {
        let names = match objects_of(operation).unwrap().and_then(|objects| objects.path) {
            Some(PathObject::Of(ObjectKind::Container)) => vec!["secret-1", &hidden.id, &hidden.id[..6]],
            Some(PathObject::Exec) => vec![exec.as_str()],
            _ => continue,
        };
        let method = operation.method.as_str();
        let of = |name: &str| {
            let path = operation.template.replace("{id}", name).replace("{name}", "other");
            let required = if operation.id == "ContainerArchive" { "?path=/" } else { "" };
            stage.ask(0, &request(method, &format!("{path}{required}")))
        };
        // The start of an id is looked up in a list.
        let absent = of(&"e".repeat(64));
        assert!([400, 403, 404, 415].contains(&status(&absent)), "{}: {absent}", operation.id);
        for name in names {
            let before = sent(&stage).len();
            assert_eq!(of(name), absent, "{} {name}", operation.id);
            for line in &sent(&stage)[before..] {
                assert!(line.starts_with("GET ") && line.contains("/json"), "{}: {line}", operation.id);
            }
        }
        count += usize::from(status(&absent) == 404);
    }
    assert!(count > 20, "{count}");
}

/// The engine finds none by what several have in common, or the hidden one whose name it is.
fn what_shares_the_start_of_its_id_with_a_hidden_object_is_found() {
    let mut world = world_with_hidden_objects();
    let shared = |of: &str| format!("abcd{}", of.repeat(60));
    let hide = labels(&[("hide", "")]);
    let tags = |tag: &str| vec![tag.to_owned()];
    let image = world.images.iter_mut().find(|image| image.tags == ["image0:1"]).unwrap();
    image.id = shared("1");
    world.images.push(Image {
        id: shared("2"),
        tags: tags("secret-too:1"),
        labels: hide.clone(),
        parent: None,
        created: 1,
    });
    world.images.push(Image {
        id: shared("3"),
        tags: tags("abcd:latest"),
        labels: hide.clone(),
        parent: None,
        created: 1,
    });
    world.images.last_mut().unwrap().tags.push("secret-three:1".to_owned());
    world.networks[0].id = shared("1");
    let name = world.networks[1].name.clone();
    let other = |id: String, name: &str| Network { id, name: name.to_owned(), labels: hide.clone(), driver: "bridge" };
    world.networks.extend([other(shared("2"), "abcd"), other("c".repeat(64), &name)]);
    world.services[0].id = format!("abcd{}", "1".repeat(21));
    let service = Service {
        id: format!("abcd{}", "2".repeat(21)),
        name: "abcd".into(),
        labels: hide.clone(),
        task: format!("abcd{}", "2".repeat(21)),
    };
    world.services[0].task = format!("abcd{}", "1".repeat(21));
    world.services.push(service);
    let (web, secret) = (id_of(&world, "web-1"), id_of(&world, "secret-1"));
    for container in &mut world.containers {
        for (from, to) in [(&web, shared("1")), (&secret, shared("2"))] {
            if container.id == *from {
                container.id = to;
            }
        }
    }
    let mut named = world.containers.iter().find(|container| container.id == shared("2")).unwrap().clone();
    (named.id, named.name) = ("d".repeat(64), "abcd".to_owned());
    world.containers.push(named);
    let stage = Stage::of(&format!("{OPEN}{BY_LABEL}{BY_CHOICE}"));
    stage.show(&world);
    for (target, pointer, expected) in [
        ("/containers/abcd/json", "/Id", shared("1")),
        ("/images/abcd/json", "/Id", format!("sha256:{}", shared("1"))),
        ("/networks/abcd", "/Id", shared("1")),
        (&*format!("/networks/{name}"), "/Id", world.networks[1].id.clone()),
        ("/services/abcd", "/ID", world.services[0].id.clone()),
        ("/tasks/abcd", "/ID", world.services[0].task.clone()),
        ("/containers/json?all=1&filters={\"id\":[\"abcd\"]}", "/0/Id", shared("1")),
    ] {
        assert_eq!(json_of(&stage, target).pointer(pointer), Some(&json!(expected)), "{target}");
    }
}

/// An engine reads the filters of a request as maps or as lists, and nothing of both.
fn filters_that_name_objects_go_up_in_the_form_in_which_they_came() {
    let world = small_world();
    let web = |name: &str| world.containers.iter().find(|container| container.name == name).unwrap();
    let stage = Stage::of(&format!(
        "{OPEN}{BY_LABEL}images: {{never: [{{label: hide}}]}}\nservices: {{only: [{{label: a}}]}}\n"
    ));
    stage.show(&world);
    let (id, image) = (web("web-1").id[..9].to_owned(), "image1:1".to_owned());
    let containers: [(&str, &[(&str, &str)]); 4] = [
        ("since", &[("before", "web-2"), ("status", "exited"), ("label", "a")]),
        ("before", &[("status", "running"), ("label", "a")]),
        ("ancestor", &[("status", "running"), ("since", "web-1"), ("name", "web")]),
        ("id", &[("status", "running"), ("ancestor", "image1:1")]),
    ];
    let images: [(&str, &[(&str, &str)]); 2] = [
        ("since", &[("label", "a"), ("reference", "image*"), ("before", "image3:1")]),
        ("before", &[("label", "a"), ("reference", "image*")]),
    ];
    let tasks: [(&str, &[(&str, &str)]); 1] = [("service", &[("desired-state", "running"), ("name", "service0")])];
    let value = |path: &str, key: &str| match (path, key) {
        ("/containers/json", "since") => "web-1".to_owned(),
        ("/containers/json", "before") => "web-2".to_owned(),
        ("/containers/json", "id") => id.clone(),
        ("/tasks", _) => "service0".to_owned(),
        _ => image.clone(),
    };
    for (path, cases) in [("/containers/json", &containers[..]), ("/images/json", &images), ("/tasks", &tasks)] {
        for (key, others) in cases {
            for (other, text) in *others {
                let named = value(path, key);
                let ask = |filters: Value, is_map: bool| {
                    let answer = stage.get(&format!("{path}?all=1&filters={filters}"));
                    assert_eq!(status(&answer), 200, "{path} {filters}: {answer}");
                    let target = sent(&stage).pop().unwrap();
                    let (_, query) = target.split(' ').nth(1).unwrap().split_once('?').unwrap();
                    let up: Value = serde_json::from_str(&parameter(query, "filters").unwrap()).unwrap();
                    let up = up.as_object().unwrap();
                    assert!(up.len() == 2 && up.values().all(|values| values.is_object() == is_map), "{up:?}");
                    let texts = |values: &Value| -> Vec<String> {
                        match values.as_object() {
                            Some(map) => map.keys().cloned().collect(),
                            None => serde_json::from_value(values.clone()).unwrap(),
                        }
                    };
                    assert_ne!(texts(&up[*key])[0], named, "it went up with a whole id: {up:?}");
                    (answer, up.iter().map(|(key, values)| (key.clone(), texts(values))).collect::<Vec<_>>())
                };
                let as_lists = ask(json!({*key: [named], *other: [text]}), false);
                let as_maps = ask(json!({*key: {&named: true}, *other: {*text: true}}), true);
                assert_eq!(as_lists, as_maps, "{path} {key} {other}");
            }
        }
    }
}

/// In lists, in what is inspected, and in disk usage in both of its shapes.
/// Podman 5 looks ids up with `LIKE`, in which `_` is any digit and `%` any number of them, and finds what only one has.
fn a_pattern_of_ids_names_nothing() {
    let patterns = ["9_", "_", "%25", "9%25", "9_b", "%25a", "%5F", "9c_"];
    let bodies = ["9_", "_", "%", "9%", "9_b", "%a", "9c_"];
    let document = |id: &str| json!({ "Id": id, "Name": "/web", "Config": {"Image": "a", "Labels": {}} }).to_string();
    let mut answers = Vec::new();
    for (has_hidden, rule) in [(false, BY_LABEL), (true, BY_LABEL), (false, BY_NAME), (true, BY_NAME)] {
        let id = format!("9cb4{}", "1".repeat(60));
        let one = document(&id);
        let stage = Stage::answering(&format!("{OPEN}{rule}"), move |request| {
            let name = request.split([' ', '?']).nth(1).unwrap().split('/').nth(3).unwrap_or_default().to_owned();
            match name.contains(['_', '%']) {
                // As it says of several.
                true if has_hidden => daemon::with_status("404 Not Found", r#"{"message":"several"}"#),
                _ if request.starts_with("GET /v1.51/containers/") => daemon::json(&one),
                _ => daemon::with_status("404 Not Found", r#"{"message":"none"}"#),
            }
        });
        let mut all = Vec::new();
        for pattern in patterns {
            for (method, target) in [
                ("GET", format!("/containers/{pattern}/json")),
                ("GET", format!("/containers/{pattern}/logs?stdout=1")),
                ("POST", format!("/containers/{pattern}/stop")),
                ("POST", format!("/commit?container={pattern}&repo=a")),
            ] {
                let answer = stage.ask(0, &request(method, &target));
                assert!([400, 403, 404].contains(&status(&answer)), "{target}: {answer}");
                all.push(answer);
            }
        }
        for pattern in bodies {
            let body = json!({ "Container": pattern }).to_string();
            let head = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
            let connect =
                format!("POST /networks/a/connect HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}\r\n{body}");
            all.push(stage.ask(0, &connect));
            let up = stage.bench.daemon.requests().pop().unwrap();
            assert!(up.starts_with("POST") && !up.contains(&id) && !up.contains(&body), "{up}");
        }
        answers.push(all);
    }
    for pair in answers.chunks(2) {
        assert_eq!(pair[0], pair[1], "a hidden container changes an answer");
    }
}

/// Podman looks for a name without a registry among its own images first.
fn a_hidden_image_takes_no_short_name() {
    let (shown, hidden) = (format!("sha256:{}", "a".repeat(64)), format!("sha256:{}", "b".repeat(64)));
    let of = |id: &str, tag: &str, labels: Value| json!({"Id": id, "RepoTags": [tag], "Labels": labels, "Config": {"Labels": labels}});
    let visible = of(&shown, "docker.io/library/foo:1", json!({}));
    for has_hidden in [false, true] {
        let mut images = vec![visible.clone()];
        if has_hidden {
            images.insert(0, of(&hidden, "localhost/foo:1", json!({"hide": ""})));
        }
        let stage = Stage::answering("allow: all\nshow: all\nimages: {never: [{label: hide}]}\n", move |request| {
            let (method, target) = request.split_once(' ').unwrap();
            let path = target.split([' ', '?']).next().unwrap().trim_start_matches("/v1.51/images/");
            let name = path.trim_end_matches("/json").trim_end_matches("/get");
            let is_it = |image: &&Value, name: &str| image["Id"] == name || image["RepoTags"][0] == name;
            let found = ["", "localhost/", "docker.io/library/"]
                .iter()
                .find_map(|start| images.iter().find(|image| is_it(image, &format!("{start}{name}"))));
            match (method, found) {
                ("GET", _) if path == "json" => daemon::json(&json!(images).to_string()),
                ("GET", Some(image)) => daemon::json(&image.to_string()),
                ("GET", None) => daemon::with_status("404 Not Found", "{}"),
                _ => daemon::json("[]"),
            }
        });
        for name in ["foo:1", "docker.io/library/foo:1", &shown] {
            assert_eq!(json_of(&stage, &format!("/images/{name}/json"))["Id"], shown, "{name} {has_hidden}");
            let answer = stage.get(&format!("/images/{name}/get"));
            assert_eq!(status(&answer), 200, "{name}: {answer}");
            let up = stage.bench.daemon.requests().pop().unwrap();
            let gone = if name == shown { &shown } else { "docker.io/library/foo:1" };
            assert!(up.starts_with(&format!("GET /v1.51/images/{gone}/get ")), "{name}: {up}");
        }
        for name in ["localhost/foo:1", "foo:2", "foo"] {
            assert_eq!(status(&stage.get(&format!("/images/{name}/json"))), 404, "{name} {has_hidden}");
        }
    }
}

fn users_are_counted_without_hidden_containers() {
    let mut world = small_world();
    let (image, volume, network) = (world.images[0].clone(), world.volumes[0].name.clone(), world.networks[0].clone());
    for container in &mut world.containers {
        container.image = (image.tags[0].clone(), image.id.clone());
        container.volumes = vec![volume.clone()];
        container.networks = vec![(network.id.clone(), network.name.clone())];
    }
    let stage = Stage::of(&format!("{OPEN}{BY_LABEL}{BY_USE}"));
    stage.show(&world);
    let secret = id_of(&world, "secret-1");
    for (target, pointers) in [
        ("/images/json", &["/0/Containers"][..]),
        ("/system/df", &["/Images/0/Containers", "/Volumes/0/UsageData/RefCount", "/ImageUsage/Items/0/Containers"]),
    ] {
        let answer = json_of(&stage, target);
        for pointer in pointers {
            assert_eq!(answer.pointer(pointer), Some(&json!(2)), "{target} {pointer}: {answer}");
        }
        assert!(!answer.to_string().contains(&secret), "{answer}");
    }
    let usage = json_of(&stage, "/system/df");
    assert_eq!(usage["Containers"].as_array().unwrap().len(), 2);
    assert_eq!(usage["ContainerUsage"]["Items"].as_array().unwrap().len(), 2);
    for name in ["/ContainerUsage/TotalCount", "/ImageUsage/ActiveCount", "/VolumeUsage/Reclaimable", "/LayersSize"] {
        assert_eq!(usage.pointer(name).and_then(Value::as_u64), None, "{name}");
    }
    let network = json_of(&stage, &format!("/networks/{}", network.name));
    assert_eq!(network["Containers"].as_object().unwrap().len(), 2, "{network}");
    let info = json_of(&stage, "/info");
    assert_eq!((info["Containers"].as_u64(), info["Images"].as_u64()), (Some(2), Some(1)), "{info}");
    for name in ["NFd", "NGoroutines", "NEventsListener"] {
        assert_eq!(info[name].as_u64().unwrap_or(0), 0, "{name}");
    }
    assert_eq!(info["DriverStatus"], json!([["Backing Filesystem", "extfs"]]), "{info}");
}

/// Neither its own, nor those of volumes and networks that name it, nor what a prune counts.
fn no_event_tells_of_a_hidden_container() {
    let mut world = small_world();
    let network = (world.networks[0].id.clone(), world.networks[0].name.clone());
    for container in &mut world.containers {
        (container.volumes, container.networks) = (vec!["volume0".to_owned()], vec![network.clone()]);
    }
    let secret = id_of(&world, "secret-1");
    for profile in [format!("{OPEN}{BY_LABEL}"), format!("{OPEN}events: untouched\n{BY_NAME}")] {
        let stage = Stage::of(&profile);
        stage.show(&world);
        for filters in
            ["", "&filters={\"type\":[\"container\",\"network\",\"volume\"]}", "&filters={\"event\":[\"connect\"]}"]
        {
            let events = stage.get(&format!("/events?since=1&until=2{filters}"));
            assert!(status(&events) == 200 && !events.contains(&secret) && !events.contains("reclaimed"), "{events}");
        }
        let events = stage.get("/events?since=1&until=2");
        assert_eq!((events.matches("connect").count(), events.matches("mount\"").count()), (2, 2), "{events}");
    }
}

/// Not as what a visible container uses, either.
fn no_event_names_a_hidden_network_or_volume() {
    let mut world = small_world();
    let network = |number: usize, name: &str| (world.networks[number].id.clone(), name.to_owned());
    let networks = vec![network(0, "front"), network(1, "backnet")];
    for container in &mut world.containers {
        container.volumes = vec!["pub".to_owned(), "secretvol".to_owned()];
        container.networks = networks.clone();
    }
    let containers = world.containers.len();
    for (rest, expected) in [("", containers), (BY_LABEL, 2)] {
        let by_name = "networks: {only: [{name: front}]}\nvolumes: {only: [{name: pub}]}\n";
        let stage = Stage::of(&format!("{OPEN}{by_name}{rest}"));
        stage.show(&world);
        let events = stage.get("/events?since=1&until=2");
        assert!(!events.contains(&networks[1].0) && !events.contains("backnet"), "{events}");
        assert!(!events.contains("secretvol"), "{events}");
        assert_eq!((events.matches("connect").count(), events.matches("mount\"").count()), (expected, expected));
    }
}

/// Docker finds no labels of an image that is gone, and Podman never tells them.
fn the_deletion_of_a_hidden_image_is_not_told() {
    let mut world = world_with_hidden_objects();
    world.images[0].labels = labels(&[("show", "")]);
    for (restriction, expected) in
        [("never: [{label: hide}]", world.images.len() - 1), ("only: [{label: show}]", 1), ("only: []", 0)]
    {
        let stage = Stage::of(&format!("{OPEN}images: {{{restriction}}}\n"));
        stage.show(&world);
        let events = stage.get("/events?since=1&until=2");
        assert_eq!(events.matches("\"delete\"").count(), expected, "{restriction}: {events}");
        assert!(
            !events.contains(&format!("sha256:{}", "b".repeat(64))) && !events.contains("secret-image"),
            "{restriction}: {events}"
        );
    }
}

/// Containers that nothing hides are still those of a network, of an image and of a volume.
fn what_is_not_restricted_stays_beside_what_is() {
    let mut world = small_world();
    let network = (world.networks[0].id.clone(), world.networks[0].name.clone());
    for container in &mut world.containers {
        container.image = (world.images[0].tags[0].clone(), world.images[0].id.clone());
        (container.volumes, container.networks) = (vec!["volume0".to_owned()], vec![network.clone()]);
    }
    let containers = world.containers.len();
    for (kind, target, pointer) in [
        ("services", format!("/networks/{}", network.1), "/Containers"),
        ("images", "/images/json".to_owned(), "/0/Manifests/0/ImageData/Containers"),
    ] {
        let stage = Stage::of(&format!("{OPEN}{kind}: {{never: [{{label: other}}]}}\n"));
        stage.show(&world);
        let answer = json_of(&stage, &target);
        let found = answer.pointer(pointer).unwrap();
        let count = found.as_object().map(|map| map.len()).or(found.as_array().map(Vec::len));
        assert_eq!(count, Some(containers), "{target}: {answer}");
    }
    let stage = Stage::of(&format!("{OPEN}volumes: {{never: [{{label: other}}]}}\n"));
    stage.show(&world);
    let volumes = json_of(&stage, "/volumes");
    assert_eq!(volumes.pointer("/Volumes/0/UsageData/RefCount"), Some(&json!(containers)), "{volumes}");
}

/// Not as a link, nor as one whose namespace or volumes it shares.
fn a_visible_container_names_no_other() {
    let id = "a".repeat(64);
    let modes = ["NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode", "CgroupnsMode", "Cgroup"];
    let copied = "/var/lib/docker/containers/veiled/hosts";
    let mut host: serde_json::Map<String, Value> =
        modes.iter().map(|mode| ((*mode).to_owned(), json!("container:veiled"))).collect();
    host.insert("Links".to_owned(), json!(["/veiled:/web/db"]));
    host.insert("VolumesFrom".to_owned(), json!(["veiled:ro"]));
    let networks = json!({ "Networks": {"net": {"NetworkID": "n", "Links": ["veiled:db"]}} });
    let inspected = json!({ "Id": id, "Name": "/web", "HostnamePath": copied, "HostsPath": copied, "ResolvConfPath": copied,
                            "Config": {"Image": "a", "Labels": {"com.docker.compose.project": "shop"}, "Hostname": "veiled",
                                       "Domainname": "veiled.test"},
                            "HostConfig": host, "NetworkSettings": networks });
    let listed = json!([{ "Id": id, "Names": ["/veiled/db", "/web"], "Image": "a", "ImageID": "i", "State": "running",
                          "Labels": {"com.docker.compose.project": "shop"}, "HostConfig": {"NetworkMode": "container:veiled"},
                          "NetworkSettings": networks }]);
    let stage = Stage::answering(&format!("{OPEN}{BY_LABEL}"), move |request| {
        let target = request.split(' ').nth(1).unwrap();
        match target.split('?').next().unwrap().split('/').skip(2).collect::<Vec<_>>()[..] {
            ["containers", "json"] => daemon::json(&listed.to_string()),
            ["system", "df"] => {
                daemon::json(&json!({"Containers": listed, "ContainerUsage": {"Items": listed}}).to_string())
            }
            _ => daemon::json(&inspected.to_string()),
        }
    });
    for target in ["/containers/json", "/containers/web/json", "/system/df"] {
        let answer = stage.get(target);
        assert!(status(&answer) == 200 && answer.contains("web") && !answer.contains("veiled"), "{target}: {answer}");
    }
}

fn a_link_of_a_hidden_container_names_nothing() {
    let mut world = small_world();
    let web = world.containers.iter_mut().find(|container| container.name == "web-1").unwrap();
    web.links = vec!["secret-1".to_owned(), "web-2".to_owned()];
    let id = web.id.clone();
    world.containers.iter_mut().find(|container| container.name == "secret-1").unwrap().links =
        vec!["web-2".to_owned()];
    let stage = Stage::of(&format!("{OPEN}{BY_LABEL}"));
    stage.show(&world);
    let absent = stage.get("/containers/json?since=absent");
    assert_eq!(status(&absent), 404);
    for target in [
        "/containers/json?since=secret-1/alias",
        "/containers/json?before=secret-1/alias",
        "/containers/json?filters={\"since\":[\"secret-1/alias\"]}",
        "/containers/json?filters={\"before\":{\"/secret-1/alias\":true}}",
    ] {
        assert_eq!(stage.get(target), absent, "{target}");
    }
    let by_name = stage.get("/containers/json?all=1&filters={\"name\":[\"secret\"]}");
    assert!(by_name.contains("\r\n[]\r\n"), "{by_name}");
    let remove = |name: &str| stage.ask(0, &request("DELETE", &format!("/containers/{name}/alias?link=1")));
    assert_eq!(status(&remove("web-2")), 404, "it leads to web-1 and to secret-1");
    assert_eq!(remove("secret-1"), remove("absent"));
    assert_eq!(remove(&id[..6]), remove("absent"));
}

fn tasks_and_services_tell_nothing_of_containers() {
    let world = small_world();
    let stage = Stage::of(&format!("{OPEN}{BY_LABEL}"));
    stage.show(&world);
    let services = json_of(&stage, "/services?status=1");
    assert!(services.to_string().contains("service2") && !services.to_string().contains("RunningTasks"), "{services}");
    assert_eq!(status(&stage.get("/tasks")), 403);
    let stage = Stage::of(&format!("{OPEN}{BY_LABEL}{BY_USE}"));
    stage.show(&world);
    let tasks = json_of(&stage, "/tasks");
    assert_eq!(tasks.as_array().unwrap().len(), 2, "{tasks}");
    assert!(!tasks.to_string().contains("ContainerID"), "{tasks}");
}

/// A volume of a cluster has an id, and the start of one finds it as long as no hidden one has the same.
fn a_volume_is_called_by_its_name_alone() {
    let volume =
        json!({"Name": "cvshop", "Driver": "csi", "Labels": {}, "ClusterVolume": {"ID": "aclyn4rv"}}).to_string();
    let stage =
        Stage::answering(&format!("{OPEN}volumes: {{never: [{{label: hide}}]}}\n"), move |_| daemon::json(&volume));
    let asked = |name: &str| stage.get(&format!("/volumes/{name}"));
    for name in ["a", "ac", "aclyn4rv", "cv", "cvshop2"] {
        let answer = asked(name);
        assert_eq!((status(&answer), &answer), (404, &asked("absent")), "{name}");
    }
    assert_eq!(status(&stage.get("/volumes/cvshop")), 200);
    assert_eq!(status(&stage.ask(0, &request("DELETE", "/volumes/a"))), 404);
}

/// A container has another name, a service other labels. What is merely gone ends its streams by itself.
fn a_stream_ends_when_what_it_is_about_is_hidden() {
    const HEAD: &str =
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let id = "1".repeat(64);
    let documents = |is_hidden: bool| {
        let (name, labels) = if is_hidden { ("/secret-1", json!({"hide": "1"})) } else { ("/web-1", json!({})) };
        let container = json!({"Id": id, "Name": name, "Config": {"Image": "a:1", "Labels": {}}}).to_string();
        let service = json!({"ID": "abc", "Spec": {"Name": "shop", "Labels": labels}}).to_string();
        let exec = json!({"ID": "e1", "ContainerID": id}).to_string();
        let task = json!({"ID": "t1", "ServiceID": "abc"}).to_string();
        [container, service, exec, task]
    };
    let cases: Vec<(&str, &str)> = vec![
        (BY_NAME, "/containers/web-1/logs?stdout=1&follow=1"),
        (BY_NAME, "/containers/web-1/stats"),
        ("services: {never: [{label: hide}]}\n", "/services/shop/logs?stdout=1&follow=1"),
        ("services: {never: [{label: hide}]}\n", "/tasks/t1/logs?stdout=1&follow=1"),
        // Labels of containers do not change.
        (BY_LABEL, "/events"),
    ];
    let documents = [false, true].map(documents);
    std::thread::scope(|scope| {
        for (rule, target) in &cases {
            for later in ["hidden", "gone", "as before"] {
                let documents = documents.clone();
                scope.spawn(move || {
                    let ends = later == "hidden" && *target != "/events";
                    let state = Arc::new(AtomicUsize::new(0));
                    let now = state.clone();
                    let stage = Stage::answering(&format!("{OPEN}{rule}"), move |request| {
                        let path = request.split([' ', '?']).nth(1).unwrap().to_owned();
                        if ["logs", "stats", "events"].iter().any(|stream| path.ends_with(stream)) {
                            let head = if path.ends_with("logs") {
                                HEAD.to_owned()
                            } else {
                                HEAD.replace("vnd.docker.raw-stream", "json")
                            };
                            return daemon::Reply::Keep(head.into());
                        }
                        let state = now.load(Ordering::Relaxed);
                        if state == 2 {
                            return daemon::with_status("404 Not Found", r#"{"message":"none"}"#);
                        }
                        let [container, service, exec, task] = &documents[state];
                        let is = |kind: &str| path.contains(kind);
                        let lists = if is("/json") && !is("web-1") && !is("1111") {
                            "[]".to_owned()
                        } else {
                            container.clone()
                        };
                        daemon::json(&if is("/services") {
                            service.clone()
                        } else if is("/exec") {
                            exec.clone()
                        } else if is("/tasks") {
                            task.clone()
                        } else {
                            lists
                        })
                    });
                    let mut client = Client::connect_when_listening(&stage.bench.folder.path("listener0"));
                    client.send(format!("GET {target} HTTP/1.1\r\nHost: d\r\n\r\n"));
                    let head = client.read_until("\r\n\r\n");
                    assert!(head.contains(" 200 "), "{target}: {head}");
                    state.store(
                        ["as before", "hidden", "gone"].iter().position(|name| *name == later).unwrap(),
                        Ordering::Relaxed,
                    );
                    client.0.set_read_timeout(Some(Duration::from_secs(if ends { 20 } else { 4 }))).unwrap();
                    let ended = client.0.read_to_end(&mut Vec::new()).is_ok();
                    assert_eq!(ended, ends, "{target} {later}");
                });
            }
        }
    });
}

/// For each worker, one has asked when the others come, and they ask together.
fn many_streams_ask_the_engine_together() {
    const STREAMS: usize = 40;
    const HEAD: &str =
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let id = "1".repeat(64);
    let container = json!({"Id": id, "Name": "/web-1", "Config": {"Image": "a:1", "Labels": {}}}).to_string();
    let stage = Stage::answering(&format!("{OPEN}{BY_NAME}"), move |request| {
        if request.contains("/logs") { daemon::Reply::Keep(HEAD.into()) } else { daemon::json(&container) }
    });
    let open = || {
        let mut client = Client::connect_when_listening(&stage.bench.folder.path("listener0"));
        client.send("GET /containers/web-1/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n");
        assert!(client.read_until("\r\n\r\n").contains(" 200 "));
        client
    };
    let _streams: Vec<Client> = (0..STREAMS).map(|_| open()).collect();
    let asked = || stage.bench.daemon.requests().iter().filter(|request| request.contains(&id)).count();
    let before = asked();
    std::thread::sleep(Duration::from_secs(5));
    let (asked, workers) = (asked() - before, std::thread::available_parallelism().unwrap().get());
    // Two or three looks.
    assert!((1..=3 * 2 * workers).contains(&asked), "{asked} questions for {STREAMS} streams");
}

/// The engine does not answer about the one, and the other one gets a hidden name.
fn a_stream_is_cut_although_the_engine_hangs_about_another() {
    const HEAD: &str =
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let is_later = std::sync::Arc::new(AtomicUsize::new(0));
    let later = is_later.clone();
    let stage = Stage::answering(&format!("{OPEN}{BY_NAME}"), move |request| {
        if request.contains("/logs") {
            return daemon::Reply::Keep(HEAD.into());
        }
        let (is_first, is_later) =
            (["web-1", &"1".repeat(64)].iter().any(|name| request.contains(name)), later.load(Ordering::Relaxed) > 0);
        if is_first && is_later {
            std::thread::sleep(Duration::from_secs(12));
        }
        let (digit, name) = match (is_first, is_later) {
            (true, _) => ("1", "/web-1"),
            (false, false) => ("2", "/web-2"),
            (false, true) => ("2", "/hidden"),
        };
        daemon::json(
            &json!({"Id": digit.repeat(64), "Name": name, "Config": {"Image": "a:1", "Labels": {}}}).to_string(),
        )
    });
    let open = |name: &str| {
        let mut client = Client::connect_when_listening(&stage.bench.folder.path("listener0"));
        client.send(format!("GET /containers/{name}/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n"));
        assert!(client.read_until("\r\n\r\n").contains(" 200 "));
        client
    };
    // In each worker, there are streams of both.
    let of_first: Vec<Client> = (0..8).map(|_| open("web-1")).collect();
    let of_second: Vec<Client> = (0..8).map(|_| open("web-2")).collect();
    let begun = Instant::now();
    is_later.store(1, Ordering::Relaxed);
    for mut client in of_second {
        assert!(client.0.read_to_end(&mut Vec::new()).is_ok());
    }
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    drop(of_first);
}

/// A name can be that of another object by the time of the request, and what has only a name goes up by it.
fn an_answer_about_an_object_that_is_hidden_by_then_is_not_shown() {
    let id = "1".repeat(64);
    let labels = |is_hidden: bool| if is_hidden { json!({"hide": "canary"}) } else { json!({}) };
    let document = |kind: &str, is_hidden: bool| {
        let labels = labels(is_hidden);
        match kind {
            "containers" => json!({"Id": id, "Name": "/web", "Config": {"Image": "a:1", "Labels": labels}}),
            "images" => json!({"Id": format!("sha256:{id}"), "RepoTags": ["web:latest"], "Config": {"Labels": labels}}),
            _ => json!({"Name": "web", "Driver": "local", "Labels": labels}),
        }
    };
    // A network goes up by its id, and never has other labels.
    for kind in ["containers", "images", "volumes"] {
        for is_hidden_later in [false, true] {
            let (asked, answers) =
                (AtomicUsize::new(0), [false, is_hidden_later].map(|is| document(kind, is).to_string()));
            let stage = Stage::answering(&format!("{OPEN}{kind}: {{never: [{{label: hide}}]}}\n"), move |_| {
                daemon::json(&answers[asked.fetch_add(1, Ordering::Relaxed).min(1)])
            });
            let target = if matches!(kind, "containers" | "images") {
                format!("/{kind}/web/json")
            } else {
                format!("/{kind}/web")
            };
            let answer = stage.get(&target);
            assert_eq!(status(&answer), if is_hidden_later { 404 } else { 200 }, "{kind}: {answer}");
            assert!(!answer.contains("canary"), "{answer}");
        }
    }
}

/// A task has whole documents of the networks that it is on.
fn a_task_tells_no_more_of_networks_than_their_names() {
    let mut world = small_world();
    world.networks[0].labels = [("hide".to_owned(), "canary-label".to_owned())].into();
    let network = &world.networks[0];
    let expected =
        json!([{"Network": {"ID": network.id, "Spec": {"Name": network.name}}, "Addresses": ["10.9.0.5/24"]}]);
    let task = format!("/tasks/{}", world.services[0].task);
    for (restriction, is_cut) in
        [("networks: {never: [{label: hide}]}\n", true), ("volumes: {never: [{label: hide}]}\n", false)]
    {
        let stage = Stage::of(&format!("{OPEN}{restriction}"));
        stage.show(&world);
        for found in [json_of(&stage, &task), json_of(&stage, "/tasks")[0].clone()] {
            assert_eq!(found["NetworksAttachments"] == expected, is_cut, "{found}");
            assert_eq!(found.to_string().contains("canary"), !is_cut, "{found}");
        }
    }
}

/// Their ids and tags are in the history of the image that is made of them, and in its parent.
fn an_image_tells_nothing_of_those_that_it_is_made_of() {
    let mut world = world_with_hidden_objects();
    let secret = world.images.iter().find(|image| image.tags.contains(&"extra:1".to_owned())).unwrap().id.clone();
    world.images[0].parent = Some(secret.clone());
    let stage = Stage::of(&format!("{OPEN}{BY_CHOICE}"));
    stage.show(&world);
    for target in ["/images/image0:1/json", "/images/image0:1/history", "/images/json", "/system/df"] {
        let answer = stage.get(target);
        let is_clean = !answer.contains(&secret) && !answer.contains("secret-image") && answer.contains("image0:1");
        assert!(status(&answer) == 200 && is_clean, "{target}: {answer}");
    }
    let made = |name: &str| stage.get(&format!("/containers/json?all=1&filters={{\"ancestor\":[\"{name}\"]}}"));
    assert_eq!(made("secret-image:1"), made("absent"));
    assert_eq!(made("extra:1"), made("absent"));
}

/// An image that was made from a container tells the id of that, and the name of its host.
fn an_image_names_no_container_that_it_was_made_from() {
    let mut world = small_world();
    for container in &mut world.containers {
        container.image = (world.images[0].tags[0].clone(), world.images[0].id.clone());
    }
    let (shown, hidden) = (id_of(&world, "web-1"), id_of(&world, "secret-1"));
    for (restriction, maker, is_told) in [
        (BY_LABEL, &shown, true),
        (BY_LABEL, &hidden, false),
        (BY_NAME, &shown, true),
        (BY_NAME, &hidden, false),
        (BY_CHOICE, &hidden, true),
    ] {
        let (world, maker_id) = (world.clone(), maker.clone());
        let stage = Stage::answering(&format!("{OPEN}{restriction}"), move |request| {
            if !request.contains("/images/") {
                return world.answer(request);
            }
            let config = json!({"Hostname": maker_id[..12], "Domainname": maker_id[..12], "Image": "sha256:parent", "Labels": {}});
            daemon::json(
                &json!({"Id": "sha256:a", "RepoTags": ["a:1"], "Container": maker_id, "ContainerConfig": config, "Config": config})
                    .to_string(),
            )
        });
        let answer = json_of(&stage, "/images/a:1/json");
        assert_eq!(answer.to_string().matches(&maker[..12]).count(), if is_told { 5 } else { 0 }, "{answer}");
        let names_parent = answer.to_string().contains("sha256:parent");
        assert_eq!(names_parent, restriction != BY_CHOICE, "where images are restricted: {answer}");
    }
}

/// Docker exports all tags of a name without one: `parseNames` in `image/tarexport/save.go` of moby.
fn an_archive_has_no_other_image_of_the_same_name() {
    let id = format!("sha256:{}", "a".repeat(64));
    let of = id.clone();
    let engine = move |asked: &str| {
        let target = asked.split(' ').nth(1).unwrap().split('?').next().unwrap();
        let path: Vec<&str> = target.splitn(4, '/').skip(2).collect();
        let image = json!({"Id": of, "RepoTags": ["shop:latest"], "RepoDigests": []});
        match (path.first(), path.get(1).and_then(|rest| rest.rsplit_once('/'))) {
            (Some(&"images"), None) => daemon::json(&json!([image]).to_string()),
            (_, Some(("shop:veiled", "json"))) => daemon::with_status("404 Not Found", "{}"),
            (_, Some((_, "json"))) => daemon::json(&image.to_string()),
            (_, Some((name, "get"))) => {
                let tags = if name.contains(':') { name } else { "shop:latest shop:veiled" };
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-tar";
                daemon::Reply::Keep(format!("{head}\r\nContent-Length: {}\r\n\r\n{tags}", tags.len()).into_bytes())
            }
            _ => daemon::with_status("201 Created", ""),
        }
    };
    for profile in [
        "allow: [read, ImageGet]\nshow: all\nimages: {only: [{reference: shop}]}\n",
        "allow: [read, ImageGet]\nshow: all\nimages: {never: [{label: hide}]}\n",
        "allow: [read, {ImageGet: {only: [{reference: shop}]}}]\nshow: all\n",
    ] {
        let stage = Stage::answering(profile, engine.clone());
        for (name, expected) in [
            ("shop", "shop:latest"),
            ("shop:latest", "shop:latest"),
            ("docker.io/library/shop", "docker.io/library/shop:latest"),
            ("aaaa", id.as_str()),
            (&id, &id),
        ] {
            let answer = stage.get(&format!("/images/{name}/get"));
            assert_eq!((status(&answer), body(&answer).0.as_str()), (200, expected), "{profile} {name}");
        }
        assert!([403, 404].contains(&status(&stage.get("/images/shop:veiled/get"))), "{profile}");
        assert_eq!(status(&stage.get("/images/get?names=shop")), 403, "{profile}");
    }
}

/// The engine refuses a name that is taken, and the removal of what is in use.
fn what_tells_of_hidden_containers_by_its_outcome_is_denied() {
    let stage = Stage::of(&format!("{OPEN}{BY_LABEL}"));
    stage.show(&small_world());
    for (method, target) in [
        ("POST", "/containers/web-1/rename?name=secret-1"),
        ("DELETE", "/images/image0:1"),
        ("DELETE", "/volumes/volume0"),
        ("DELETE", "/networks/network0"),
        ("POST", "/containers/prune"),
        ("POST", "/images/prune"),
        ("POST", "/volumes/prune"),
        ("POST", "/networks/prune"),
        ("GET", "/volumes?filters={\"dangling\":[\"true\"]}"),
        ("GET", "/networks?filters={\"dangling\":[\"true\"]}"),
    ] {
        let answer = stage.ask(0, &request(method, target));
        assert!(status(&answer) == 403 && answer.contains("shows only some containers"), "{target}: {answer}");
    }
    assert!(sent(&stage).is_empty());
}

/// Not by what a list said before, or an event.
fn a_container_is_judged_by_the_answer_that_shows_it() {
    let id = "a".repeat(64);
    let document = |labels: Value| json!({"Id": id, "Name": "/web", "Image": "sha256:1", "Config": {"Labels": labels, "Image": "web", "Env": ["S=canary"]}});
    let listed = json!([{"Id": id, "Names": ["/web"], "Image": "web", "Labels": {}}]);
    let event = json!({"Type": "container", "Action": "exec_die",
                       "Actor": {"ID": id, "Attributes": {"name": "web", "image": "web", "execID": "e"}}});
    for (labels, expected) in [(json!({"hide": ""}), 404), (json!({"other": ""}), 200)] {
        let (document, listed, event) = (document(labels).to_string(), listed.to_string(), event.to_string());
        let stage = Stage::answering(
            &format!("{OPEN}events: filtered\ncontainers: {{never: [{{label: hide}}]}}\n"),
            move |request| match request.split(' ').nth(1).unwrap().split('?').next().unwrap().rsplit('/').next() {
                Some("json") if request.contains(&"a".repeat(64)) => daemon::json(&document),
                Some("json") => daemon::json(&listed),
                Some("events") => daemon::json(&event),
                _ => daemon::with_status("404 Not Found", r#"{"message":"absent"}"#),
            },
        );
        let inspect = || status(&stage.get(&format!("/containers/{id}/json")));
        assert!(stage.get("/containers/json").contains(&id));
        // The list has made it known.
        assert!(stage.get("/events?since=1&until=2").contains("exec_die"));
        assert_eq!((inspect(), inspect()), (expected, expected));
        let answer = stage.get(&format!("/containers/{id}/json"));
        assert_eq!(answer.contains("canary"), expected == 200, "{answer}");
    }
}

/// It names what is in the way, and nothing tells whether that is visible.
fn the_engines_own_text_about_objects_is_not_passed_on() {
    let stage = Stage::answering(&format!("{OPEN}volumes: {{only: [{{name: data}}]}}\n"), |request| {
        match request.starts_with("GET ") {
            true => daemon::json(&json!({"Name": "data", "Driver": "local", "Labels": null}).to_string()),
            false => daemon::with_status("409 Conflict", r#"{"message":"volume is in use - [veiled-id]"}"#),
        }
    });
    let answer = stage.ask(0, &request("DELETE", "/volumes/data"));
    assert!(status(&answer) == 409 && !answer.contains("veiled"), "{answer}");
}
