//! The image: the last stage of the Dockerfile, built by the engine around a static binary that exists already.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::json;

use crate::harness::{self, Outcome, Test, tests};
use crate::support::client::{self, TIMEOUT};
use crate::support::tar::Tar;
use crate::support::{assert_no_canary, engine, eventually, installed, seed};

pub(crate) const TESTS: &[Test] = tests![
    the_image_runs_unprivileged_and_filters,
    the_image_stands_in_for_another_proxy,
    the_dockerfile_makes_the_binary_that_the_tests_are_given,
];

/// A file of the repository.
fn file(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The Dockerfile from its last `FROM` on.
///
/// The stages before it make `/out/dockveil` and need a registry. An image that holds this file replaces them.
fn last_stage() -> String {
    let dockerfile = String::from_utf8(file("Dockerfile")).unwrap();
    let start = dockerfile.rfind("\nFROM scratch\n").expect("a last stage that starts from scratch");
    format!("FROM built:1 AS build\n{}", &dockerfile[start + 1..])
}

/// Builds the image `dockveil:<tag>`. `arguments` continues the query, for the build arguments.
#[track_caller]
pub(crate) fn build(socket: &Path, binary: &[u8], tag: &str, arguments: &str) {
    let built = ["out", "out/run", "out/run/dockveil"]
        .into_iter()
        .fold(Tar::default(), |tar, folder| tar.directory(folder, 0o755))
        .file("out/dockveil", 0o755, binary);
    seed::load(socket, "/images/create?fromSrc=-&repo=built&tag=1", &built.finish());
    let mut context = Tar::default().directory("deploy", 0o755).file("Dockerfile", 0o644, last_stage().as_bytes());
    for path in ["LICENSE", "deploy/dockveil.yaml"] {
        context = context.file(path, 0o644, &file(path));
    }
    seed::load(socket, &format!("/build?t=dockveil:{tag}{arguments}"), &context.finish());
}

/// Runs a shell line in a new container that shares the network of the container `proxy`. Returns its exit code and output.
#[track_caller]
fn beside(socket: &Path, proxy: &str, name: &str, line: &str) -> (i64, String) {
    let body = json!({"Image": seed::BASE, "Cmd": ["sh", "-c", line],
        "HostConfig": {"NetworkMode": format!("container:{proxy}")}});
    seed::start(socket, name, &body);
    let code = seed::wait(socket, name);
    let log = client::get(socket, &format!("/containers/{name}/logs?stdout=1&stderr=1"));
    seed::remove(socket, name);
    (code, log.text())
}

/// The seconds between the start of a container and the end of its first successful probe. Both are on one day, or the test
/// runs again.
fn healthy_after(state: &serde_json::Value) -> f64 {
    let seconds = |time: &str| {
        let (_, time) = time.split_once('T').unwrap();
        let fields = time.split(['Z', '+']).next().unwrap().split(':').map(|field| field.parse::<f64>().unwrap());
        fields.fold(0.0, |sum, field| sum * 60.0 + field)
    };
    let probes = state["Health"]["Log"].as_array().unwrap();
    let good = probes.iter().find(|probe| probe["ExitCode"] == 0).unwrap();
    seconds(good["End"].as_str().unwrap()) - seconds(state["StartedAt"].as_str().unwrap())
}

fn the_image_runs_unprivileged_and_filters() -> Outcome {
    let binary = installed::static_binary()?;
    let engine = engine::read_write()?;
    let socket = engine.socket();
    build(&socket, &fs::read(&binary).unwrap(), "test", "&buildargs=%7B%22REVISION%22%3A%22abc%22%7D");

    let image = client::get(&socket, "/images/dockveil:test/json").json();
    assert_eq!(image["Config"]["User"], "1000:1000");
    assert!(image["Size"].as_u64().unwrap() < 8_000_000, "{}", image["Size"]);
    assert_eq!(image["Config"]["Entrypoint"], json!(["/dockveil"]));

    let group = fs::metadata(&socket).unwrap().gid().to_string();
    seed::start(
        &socket,
        "veil",
        &json!({
            "Image": "dockveil:test",
            "HostConfig": {
                "Binds": [format!("{}:/var/run/docker.sock", socket.display())],
                "NetworkMode": "none", "ReadonlyRootfs": true, "CapDrop": ["ALL"], "GroupAdd": [group],
                "SecurityOpt": ["no-new-privileges"],
            },
        }),
    );
    let inspect = || client::get(&socket, "/containers/veil/json").json();
    let healthy = eventually(TIMEOUT, || inspect()["State"]["Health"]["Status"] == "healthy");
    let log = client::get(&socket, "/containers/veil/logs?stdout=1&stderr=1").text();
    assert!(healthy, "{:#}\n{log}", inspect()["State"]);
    let after = healthy_after(&inspect()["State"]);
    assert!(after < 2.0, "healthy after {after} s");
    harness::note(&format!("healthy after {after:.2} s"));
    assert_eq!(image["Config"]["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(image["Config"]["Labels"]["org.opencontainers.image.revision"], "abc");

    let (code, list) = beside(&socket, "veil", "reader", "wget -q -O - http://127.0.0.1:2375/containers/json?all=1");
    assert_eq!(code, 0, "{list}");
    assert!(list.contains("shop/web:1"), "{list}");
    assert_no_canary("the list", &list);
    let top = client::get(&socket, "/containers/veil/top?ps_args=-o%20pid,rss").json();
    let resident: u64 = top["Processes"][0][1].as_str().unwrap().parse().unwrap();
    assert!(resident < 16 * 1024, "{resident} KiB");
    harness::note(&format!("image: {} bytes; resident: {resident} KiB", image["Size"]));
    let (code, denied) =
        beside(&socket, "veil", "writer", "wget -q -O - --post-data= http://127.0.0.1:2375/containers/web/kill");
    assert_eq!(code, 1, "{denied}");
    assert!(denied.contains("403"), "{denied}");

    seed::remove(&socket, "veil");
    Ok(())
}

fn the_image_stands_in_for_another_proxy() -> Outcome {
    let binary = installed::static_binary()?;
    let engine = engine::read_write()?;
    let socket = engine.socket();
    build(&socket, &fs::read(&binary).unwrap(), "11notes", "&buildargs=%7B%22COMPAT%22%3A%2211notes%22%7D");

    let group = fs::metadata(&socket).unwrap().gid();
    // As a Compose file for the other proxy has it: its user, the socket, and a volume.
    seed::start(
        &socket,
        "swap",
        &json!({
            "Image": "dockveil:11notes", "User": format!("0:{group}"), "Env": ["TZ=Europe/Zurich"],
            "HostConfig": {
                "Binds": [format!("{}:/run/docker.sock:ro", socket.display()), "swap-proxy:/run/proxy".to_owned()],
                "NetworkMode": "none", "ReadonlyRootfs": true,
            },
        }),
    );
    let inspect = || client::get(&socket, "/containers/swap/json").json();
    let healthy = eventually(TIMEOUT, || inspect()["State"]["Health"]["Status"] == "healthy");
    let log = client::get(&socket, "/containers/swap/logs?stdout=1&stderr=1").text();
    assert!(healthy, "{:#}\n{log}", inspect()["State"]);
    assert!(log.contains("compat: 11notes") && log.contains("runs as user 1000, group 1000"), "{log}");
    let top = client::get(&socket, "/containers/swap/top?ps_args=-o%20pid,uid,gid").json();
    assert!(top["Processes"].as_array().unwrap().iter().all(|row| row[1] == "1000" && row[2] == "1000"), "{top}");

    let (code, list) = beside(&socket, "swap", "lister", "wget -q -O - http://127.0.0.1:2375/containers/json?all=1");
    assert_eq!(code, 0, "{list}");
    assert!(list.contains("shop/web:1"), "{list}");
    assert_no_canary("the list", &list);
    let (code, denied) =
        beside(&socket, "swap", "exporter", "wget -q -O - http://127.0.0.1:2375/containers/web/export");
    assert!(code == 1 && denied.contains("403"), "{denied}");

    seed::remove(&socket, "swap");
    Ok(())
}

fn the_dockerfile_makes_the_binary_that_the_tests_are_given() {
    let dockerfile = String::from_utf8(file("Dockerfile")).unwrap();
    let ci = String::from_utf8(file(".ci/run")).unwrap();
    assert!(dockerfile.contains("$(.ci/static)") && ci.contains("context/.ci/static\"\n"));
}
