//! Services of a real swarm, their networks and images, through a profile that shows only those of one project.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Outcome, Test, tests};
use crate::objects::{PROJECT, start};
use crate::support::{cli, client, engine, eventually, seed};

pub(crate) const TESTS: &[Test] = tests![services_name_what_is_visible_and_nothing_else];

/// Allows and shows everything of one project: services by a label, the images that its containers use, and its networks.
const SHOP: &str = "allow: all\nshow: all\ncontainers: {only: [{project: shop}]}\nimages: {only: used}\n\
                    networks: {only: [{project: shop}]}\nservices: {only: [{label: stack=shop}]}";

/// A swarm with a network, a service and a running container of each of two projects, and an image of the second alone.
fn populate(socket: &Path) {
    seed::import(socket);
    let docker = |arguments: &[&str]| cli::stdout(socket, &[&["docker"], arguments].concat());
    docker(&["create", "--name", "other", seed::BASE, "sleep"]);
    docker(&["commit", "other", "veiled-image:1"]);
    docker(&["swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377"]);
    for project in ["shop", "veiled"] {
        let (label, stack) = (format!("{PROJECT}={project}"), format!("stack={project}"));
        let (network, name) = (format!("{project}-net"), format!("{project}-service"));
        docker(&["network", "create", "--driver", "overlay", "--label", &label, &network]);
        docker(&[
            "service",
            "create",
            "--detach",
            "--no-resolve-image",
            "--name",
            &name,
            "--label",
            &stack,
            "--container-label",
            &label,
            "--network",
            &network,
            "--stop-signal",
            "SIGKILL",
            seed::BASE,
            "sleep",
            "1000",
        ]);
        let list = format!("/containers/json?filters={{\"label\":[\"{label}\"]}}").replace('"', "%22");
        let runs = || !client::get(socket, &list).json().as_array().unwrap().is_empty();
        assert!(eventually(client::TIMEOUT, runs), "no task of {name} runs");
    }
}

fn services_name_what_is_visible_and_nothing_else() -> Outcome {
    let engine = engine::private("swarm-objects")?;
    let socket = engine.socket();
    populate(&socket);
    let proxy = start(&socket, SHOP);
    let shown = |arguments: &[&str]| cli::outputs(&cli::docker(&proxy.socket(), arguments, ""));
    let spec = |name: &str| client::get(&socket, &format!("/services/{name}")).json()["Spec"].clone();
    let networks = |name: &str| {
        let targets = spec(name)["TaskTemplate"]["Networks"].clone();
        let id = |target: &Value| target["Target"].as_str().unwrap().to_owned();
        targets.as_array().unwrap().iter().map(id).collect::<Vec<_>>()
    };
    let id_of = |network: &str| client::get(&socket, &format!("/networks/{network}")).json()["Id"].clone();

    // What is visible is there, by name, in lists and as a target.
    let listed = [&["service", "ls"][..], &["service", "ps", "shop-service"], &["network", "ls"], &["stack", "ls"]];
    let lists: String = listed.iter().map(|command| shown(command)).collect();
    assert!(lists.contains("shop-service") && lists.contains("shop-net") && !lists.contains("veiled"), "{lists}");
    let create = |name: &str, options: &[&str], image: &str| {
        let start = ["service", "create", "--detach", "--no-resolve-image", "--name", name, "--replicas", "0"];
        shown(&[&start[..], &["--label", "stack=shop"], options, &[image, "sleep", "1000"]].concat())
    };
    create("made", &["--network", "shop-net"], seed::BASE);
    assert_eq!(networks("made"), [id_of("shop-net").as_str().unwrap()]);
    assert_eq!(spec("made")["TaskTemplate"]["ContainerSpec"]["Image"], json!(seed::BASE));
    shown(&["service", "update", "--detach", "--no-resolve-image", "--network-rm", "shop-net", "made"]);
    assert_eq!(spec("made")["TaskTemplate"]["Networks"], Value::Null);
    shown(&["service", "update", "--detach", "--no-resolve-image", "--network-add", "shop-net", "made"]);
    assert_eq!(networks("made"), [id_of("shop-net").as_str().unwrap()]);

    // What is hidden is absent: as a target, as an image, by name and by id.
    let veiled = id_of("veiled-net");
    for (hidden, absent) in [("veiled-net", "absent-net"), (veiled.as_str().unwrap(), "0123456789abcdefghijklmno")] {
        let of = |name: &str| {
            let made = create("probe", &["--network", name], seed::BASE);
            let updated =
                shown(&["service", "update", "--detach", "--no-resolve-image", "--network-add", name, "made"]);
            client::delete(&socket, "/services/probe");
            [made, updated].concat().replace(name, "NAME")
        };
        assert_eq!(of(hidden), of(absent), "{hidden}");
        assert_eq!(networks("made"), [id_of("shop-net").as_str().unwrap()], "{hidden}");
    }
    let of_image = |image: &str| {
        let made = create("probe", &[], image);
        let updated = shown(&["service", "update", "--detach", "--no-resolve-image", "--image", image, "made"]);
        assert_eq!(client::get(&socket, "/services/probe").status(), 404, "{made}");
        [made, updated].concat().replace(image, "IMAGE")
    };
    assert_eq!(of_image("veiled-image:1"), of_image("absent-image:1"));
    assert_eq!(spec("made")["TaskTemplate"]["ContainerSpec"]["Image"], json!(seed::BASE));
    for command in [&["service", "inspect"][..], &["service", "ps"], &["service", "logs"], &["service", "rm"]] {
        let of = |name: &str| shown(&[command, &[name]].concat()).replace(name, "NAME");
        assert_eq!(of("veiled-service"), of("absent-service"), "{command:?}");
    }
    assert_eq!(spec("veiled-service")["Name"], json!("veiled-service"));
    Ok(())
}
