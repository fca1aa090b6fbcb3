//! Writes that name objects, through a profile that shows only those of one project, with the docker command at a real engine.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Outcome, Test, tests};
use crate::objects::{PROJECT, start};
use crate::support::{cli, client, engine, seed};

pub(crate) const TESTS: &[Test] = tests![writes_reach_what_is_visible_and_nothing_else];

/// Allows and shows everything of one project.
const SHOP: &str = "allow: all\nshow: all\ncontainers: {only: [{project: shop}]}\nimages: {only: used}\n\
                    volumes: {only: [{project: shop}]}\nnetworks: {only: [{project: shop}]}";

/// A container that sleeps, of a project.
fn sleeper(project: &str) -> Value {
    json!({
        "Image": seed::BASE, "Cmd": ["sleep", "1000"], "StopSignal": "SIGKILL", "Labels": {PROJECT: project},
        "HostConfig": {"NetworkMode": format!("{project}-net"), "Binds": [format!("{project}-data:/data")]},
    })
}

/// Containers, networks and volumes of two projects, of which clients see one.
fn populate(socket: &Path) {
    seed::import(socket);
    client::post(socket, &format!("/images/{}/tag?repo=veiled-image&tag=1", seed::BASE), &Value::Null);
    for (project, subnet) in [("shop", "10.231.1.0/24"), ("veiled", "10.231.2.0/24")] {
        let labels = json!({ PROJECT: project });
        let config = json!([{ "Subnet": subnet }]);
        let network = json!({ "Name": format!("{project}-net"), "Labels": labels, "IPAM": {"Config": config} });
        seed::create_object(socket, "/networks/create", network);
        seed::create_object(socket, "/volumes/create", json!({ "Name": format!("{project}-data"), "Labels": labels }));
        seed::start(socket, &format!("{project}-web"), &sleeper(project));
    }
}

fn writes_reach_what_is_visible_and_nothing_else() -> Outcome {
    let engine = engine::private("object-writes")?;
    let socket = engine.socket();
    populate(&socket);
    let proxy = start(&socket, SHOP);
    let shown = |arguments: &[&str]| cli::outputs(&cli::docker(&proxy.socket(), arguments, ""));
    let inspected = |name: &str| client::get(&socket, &format!("/containers/{name}/json")).json();
    let label = format!("{PROJECT}=shop");
    let create = |options: &[&str]| {
        let with = [&["create", "--label", &label][..], options, &[seed::BASE, "sleep", "1000"]].concat();
        shown(&with)
    };

    create(&["--name", "made", "--network", "shop-net", "--network-alias", "alias", "--volume", "shop-data:/data"]);
    shown(&["start", "made"]);
    let made = inspected("made");
    assert_eq!(made["State"]["Running"], json!(true), "{made}");
    let networks: Vec<&String> = made["NetworkSettings"]["Networks"].as_object().unwrap().keys().collect();
    assert_eq!(networks, ["shop-net"]);
    assert_eq!(made["Mounts"][0]["Name"], json!("shop-data"));
    assert_eq!(made["Config"]["Image"], json!(seed::BASE));
    let web = inspected("shop-web")["Id"].as_str().unwrap().to_owned();
    create(&[
        "--name",
        "joined",
        "--network",
        "container:shop-web",
        "--volumes-from",
        "shop-web:ro",
        "--pid",
        "container:shop-web",
    ]);
    let joined = inspected("joined");
    assert_eq!(joined["HostConfig"]["NetworkMode"], json!(format!("container:{web}")), "{joined}");
    assert_eq!(joined["HostConfig"]["PidMode"], json!(format!("container:{web}")));
    assert_eq!(joined["Mounts"][0]["Name"], json!("shop-data"));
    for (command, is_on) in [("disconnect", false), ("connect", true)] {
        shown(&["network", command, "shop-net", "shop-web"]);
        assert_eq!(inspected("shop-web")["NetworkSettings"]["Networks"].get("shop-net").is_some(), is_on, "{command}");
    }
    shown(&["network", "create", "--label", &label, "--subnet", "10.231.3.0/24", "new-net"]);
    assert!(shown(&["network", "ls", "--format", "{{.Name}}"]).contains("new-net"));

    // What is hidden is absent.
    for options in [
        &["--network", "NAME-net"][..],
        &["--network", "container:NAME-web"],
        &["--pid", "container:NAME-web"],
        &["--ipc", "container:NAME-web"],
        &["--volumes-from", "NAME-web"],
        &["--link", "NAME-web:db"],
        &["--volume", "NAME-data:/data"],
        &["--mount", "type=volume,source=NAME-data,target=/data"],
    ] {
        let of = |name: &str| {
            let named: Vec<String> = options.iter().map(|option| option.replace("NAME", name)).collect();
            let named: Vec<&str> = named.iter().map(String::as_str).collect();
            let answer = [create(&[&["--name", "probe"][..], &named].concat()), shown(&["start", "probe"])].concat();
            client::delete(&socket, "/containers/probe?force=1");
            without_ids(&answer)
        };
        assert_eq!(of("veiled"), of("absent"), "{options:?}");
    }
    for command in [&["network", "connect", "shop-net"][..], &["network", "disconnect", "--force", "shop-net"]] {
        let of = |name: &str| shown(&[command, &[name]].concat()).replace(name, "NAME");
        assert_eq!(of("veiled-web"), of("absent-web"), "{command:?}");
    }
    assert!(inspected("veiled-web")["NetworkSettings"]["Networks"].get("shop-net").is_none());
    for options in [&["--volume", "/:/host"][..], &["--privileged"], &["--pid", "host"], &["--device", "/dev/null"]] {
        let denied = create(options);
        assert!(denied.contains("reaches the host, where nothing is hidden"), "{options:?}: {denied}");
    }
    Ok(())
}

/// A text without ids, which are those of new containers.
fn without_ids(text: &str) -> String {
    text.split_whitespace().filter(|word| word.len() != 64).collect::<Vec<_>>().join(" ")
}
