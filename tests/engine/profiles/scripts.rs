//! Clients in Python and Node, each at the engine and through its profile: Home Assistant's aiodocker, Ansible, systeminformation,
//! check_docker, and the requests of Uptime Kuma.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::{behind, check_canaries, check_json, hidden, is_hidden, parse};
use crate::harness::{Ignored, Outcome, Test, tests};
use crate::support::client::Connection;
use crate::support::proxy::Proxy;
use crate::support::{assert_no_canary, at_once, cli, engine, installed, now, recorded, seed};

pub(crate) const TESTS: &[Test] = tests![
    home_assistant_shows_the_same_and_switches_nothing,
    an_inventory_of_ansible_has_the_same_hosts,
    modules_of_ansible_show_the_same_but_for_what_is_hidden,
    systeminformation_shows_the_same_but_for_what_is_hidden,
    check_docker_reports_the_same,
    uptime_kuma_knows_the_same_states,
    recorded_requests_have_the_status_that_the_engine_gives_them
];

/// What a script of `tests/clients` prints, at the engine and through a proxy.
#[track_caller]
fn both(program: &[&str], engine: &Path, proxy: &Path) -> [String; 2] {
    at_once([engine, proxy], |socket| cli::stdout(socket, program))
}

/// The text without the outcomes of calls that a profile denies, and these.
#[track_caller]
fn split_outcomes(shown: &str) -> (String, Value) {
    let mut shown: Value = serde_json::from_str(shown).unwrap_or_else(|error| panic!("{error}: {shown}"));
    let outcomes = shown["denied"].take();
    (shown.to_string(), outcomes)
}

fn home_assistant_shows_the_same_and_switches_nothing() -> Outcome {
    let python = installed::client("python/bin/python")?;
    let script = installed::script("home_assistant.py");
    // Its switches work at the engine, so it has one of its own kind to switch.
    let engine = engine::read_write()?;
    let proxy = Proxy::start(&engine.socket(), "home-assistant");
    // An engine remembers 256 events, and other tests cause some: these are read at once.
    let since = now();
    seed::start(&engine.socket(), "moth", &seed::detached(&["sleep", "1000"]));
    let [direct, through] = both(&[&python, &script, &since, "web", "moth"], &engine.socket(), &proxy.socket());
    seed::remove(&engine.socket(), "moth");
    let ((direct, done), (through, denied)) = (split_outcomes(&direct), split_outcomes(&through));
    for call in ["stop", "start", "restart"] {
        assert_eq!(done[call], "done", "{done}");
        assert!(denied[call].as_str().is_some_and(|outcome| outcome.starts_with("403: ")), "{denied}");
    }
    let (before, after): (Value, Value) = (parse(&direct), parse(&through));
    assert_eq!(before["events"], json!([["container", "create", "moth"], ["container", "start", "moth"]]));
    for pointer in [
        "/version",
        "/info",
        "/usage",
        "/events",
        "/containers/web/State/Status",
        "/containers/web/State/StartedAt",
        "/containers/web/State/Health/Status",
        "/containers/web/Config/Image",
        "/containers/web/Image",
        "/containers/web/HostConfig/NetworkMode",
    ] {
        assert!(before.pointer(pointer).is_some(), "no {pointer}: {direct}");
        assert_eq!(after.pointer(pointer), before.pointer(pointer), "{pointer}");
    }
    assert!(before["list"].as_array().unwrap().len() > 2 && after["list"].as_array().unwrap().len() > 2);
    check_canaries("aiodocker 0.27.0", &direct, &through);
    Ok(())
}

/// The words before a program of Ansible: it gets a folder for what it writes.
fn ansible(program: &str, folder: &Path) -> Result<Vec<String>, Ignored> {
    let release = installed::client("ansible/release")?;
    let collections = Path::new(&release).parent().unwrap();
    Ok(vec![
        "env".to_owned(),
        "LC_ALL=C.UTF-8".to_owned(),
        format!("ANSIBLE_COLLECTIONS_PATH={}", collections.display()),
        format!("ANSIBLE_HOME={}", folder.display()),
        "ANSIBLE_LOCALHOST_WARNING=false".to_owned(),
        installed::client(&format!("python/bin/{program}"))?,
    ])
}

/// JSON of Ansible, without the marks of texts that are no templates.
fn without_marks(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(text) = members.get("__ansible_unsafe") {
                *value = text.clone();
            } else {
                members.values_mut().for_each(without_marks);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_marks),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn an_inventory_of_ansible_has_the_same_hosts() -> Outcome {
    let (engine, proxy) = behind("ansible")?;
    let program = ansible("ansible-inventory", proxy.folder())?;
    // The plugin takes the address from its file alone.
    let [direct, through] = at_once([("direct", engine.socket()), ("through", proxy.socket())], |(name, socket)| {
        let file = proxy.folder().join(format!("{name}.docker.yaml"));
        let inventory = format!(
            "plugin: community.docker.docker_containers\ndocker_host: unix://{}\nconnection_type: ssh\n\
             verbose_output: true\ncompose: {{ansible_host: docker_name}}\n\
             keyed_groups: [{{prefix: state, key: docker_state.Status}}]\n",
            socket.display()
        );
        std::fs::write(&file, inventory).unwrap();
        let program: Vec<&str> = program.iter().map(String::as_str).collect();
        let text = cli::stdout(&socket, &[&program[..], &["--inventory", file.to_str().unwrap(), "--list"]].concat());
        let mut value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        without_marks(&mut value);
        parse(&value.to_string())
    });
    for group in ["all", "state_running", "state_exited"] {
        assert!(direct.get(group).is_some(), "{direct}");
        assert_eq!(through[group], direct[group], "{group}");
    }
    let (direct, through) = (&direct["_meta"]["hostvars"]["web"], &through["_meta"]["hostvars"]["web"]);
    for pointer in [
        "/ansible_host",
        "/docker_name",
        "/docker_id",
        "/docker_image",
        "/docker_created",
        "/docker_state/StartedAt",
        "/docker_config/Image",
        "/docker_hostconfig/NetworkMode",
        "/docker_networksettings/Ports",
        "/docker_platform",
    ] {
        assert!(direct.pointer(pointer).is_some(), "no {pointer}: {direct}");
        assert_eq!(through.pointer(pointer), direct.pointer(pointer), "{pointer}");
    }
    let mut found = BTreeSet::new();
    hidden("$", direct, through, &mut found);
    for path in ["$.docker_config.Env", "$.docker_args", "$.docker_config.Labels.owner", "$.docker_mounts[*].Source"] {
        assert!(is_hidden(path, &found), "{path} is not hidden: {found:?}");
    }
    check_canaries("ansible-core 2.19.14, docker_containers", &direct.to_string(), &through.to_string());
    Ok(())
}

fn modules_of_ansible_show_the_same_but_for_what_is_hidden() -> Outcome {
    let python = installed::client("python/bin/python")?;
    let (engine, proxy) = behind("ansible")?;
    let program = ansible("ansible", proxy.folder())?;
    let interpreter = format!("ansible_python_interpreter={python}");
    let run = |module: &str, arguments: &str| -> [Value; 2] {
        let module = format!("community.docker.{module}");
        let host = ["localhost", "--connection", "local", "--extra-vars", &interpreter];
        let words: Vec<&str> = program.iter().map(String::as_str).chain(host).collect();
        let words = [&words[..], &["--module-name", &module, "--args", arguments]].concat();
        let shown = both(&words, &engine.socket(), &proxy.socket());
        shown.map(|text| {
            let mut value = parse(text.split_once("=> ").unwrap_or_else(|| panic!("{text}")).1);
            // An engine lists volumes in any order.
            if let Some(volumes) = value.get_mut("volumes").and_then(Value::as_array_mut) {
                volumes.sort_by_key(Value::to_string);
            }
            value
        })
    };
    let [direct, through] = run("docker_host_info", "containers=true images=true networks=true volumes=true");
    for pointer in ["/host_info/ServerVersion", "/host_info/NCPU", "/host_info/Containers", "/images", "/volumes"] {
        assert!(direct.pointer(pointer).is_some(), "no {pointer}: {direct}");
        assert_eq!(through.pointer(pointer), direct.pointer(pointer), "{pointer}");
    }
    assert_no_canary("docker_host_info", &through.to_string());
    let [direct, through] = run("docker_container_info", "name=web");
    for field in ["Id", "Name", "Created", "Image"] {
        assert_eq!(through["container"][field], direct["container"][field], "{field}");
    }
    check_canaries("ansible-core 2.19.14, docker_container_info", &direct.to_string(), &through.to_string());
    Ok(())
}

fn systeminformation_shows_the_same_but_for_what_is_hidden() -> Outcome {
    let (engine, proxy) = behind("systeminformation")?;
    let [direct, through] = both_in_node("systeminformation.js", &["web"], &engine.socket(), &proxy.socket())?;
    let (mut direct, mut through): (Value, Value) = (parse(&direct), parse(&through));
    let (processes, none) = (direct["processes"].take(), through["processes"].take());
    assert!(processes[0]["command"].is_string() && none == Value::Array(Vec::new()), "{processes} {none}");
    for side in [&mut direct, &mut through] {
        for counter in ["systemTime", "nfd", "ngoroutines", "nEventsListener"] {
            side["info"][counter] = Value::Null;
        }
    }
    check_json(
        "systeminformation 5.33.23",
        &direct.to_string(),
        &through.to_string(),
        &[
            "/info/containers",
            "/info/serverVersion",
            "/info/ncpu",
            "/info/driver",
            "/info/memoryLimit",
            "/usage",
            "/containers/web/id",
            "/containers/web/image",
            "/containers/web/state",
            "/containers/web/status",
            "/containers/web/startedAt",
            "/containers/web/ports",
            "/images/shop~1web:1/id",
            "/images/shop~1web:1/size",
            "/volumes/archive/driver",
        ],
        &[
            "$.info.dockerRootDir",
            "$.containers.web.labels.owner",
            "$.containers.web.command",
            "$.volumes.archive.mountpoint",
        ],
    );
    Ok(())
}

/// What a script of `tests/clients` in Node prints, at the engine and through a proxy.
fn both_in_node(script: &str, names: &[&str], engine: &Path, proxy: &Path) -> Result<[String; 2], Ignored> {
    let node = installed::client("python/bin/node")?;
    let package = installed::client("node_modules/systeminformation/package.json")?;
    let packages = format!("NODE_PATH={}", Path::new(&package).ancestors().nth(2).unwrap().display());
    let script = installed::script(script);
    Ok(both(&[&["env", &packages, &node, &script], names].concat(), engine, proxy))
}

/// There is no profile of its own for it: it needs no more than a dashboard.
fn check_docker_reports_the_same() -> Outcome {
    let program = installed::client("python/bin/check_docker")?;
    let (engine, proxy) = behind("dashboard")?;
    let [direct, through] = at_once([&engine.socket(), &proxy.socket()], |socket| {
        let socket = socket.to_str().unwrap();
        let checks = [
            "--status",
            "running",
            "--health",
            "--restarts",
            "1:2",
            "--memory",
            "100:100:%",
            "--image-age",
            "9000:9999",
        ];
        let arguments =
            [&[program.as_str(), "--connection", socket, "--containers", "web", "--present"], &checks[..]].concat();
        let text = cli::outputs(&cli::run(Path::new("/nowhere"), &arguments, ""));
        // What it measures differs from one time to the next, and the order of the checks, too.
        let mut checks: Vec<String> = text.split('|').next().unwrap().trim().split("; ").map(str::to_owned).collect();
        checks.sort();
        checks
    });
    assert!(direct.contains(&"OK: web is healthy".to_owned()) && direct.len() == 5, "{direct:?}");
    assert_eq!(through, direct);
    assert_no_canary("check_docker", &through.concat());
    Ok(())
}

fn uptime_kuma_knows_the_same_states() -> Outcome {
    let (engine, proxy) = behind("uptime-kuma")?;
    let names = ["web", "story", "nothing"];
    let [direct, through] = both_in_node("uptime_kuma.js", &names, &engine.socket(), &proxy.socket())?;
    let (before, after): (Value, Value) = (parse(&direct), parse(&through));
    for field in ["isDocker", "containers"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(before["isDocker"], true);
    for name in ["web", "story"] {
        assert!(before["states"][name].is_array(), "{before}");
        assert_eq!(after["states"][name], before["states"][name], "{name}");
    }
    assert!(after["states"]["nothing"].as_str().is_some_and(|text| text.starts_with("404: ")), "{after}");
    check_canaries("Uptime Kuma 2.5.3, with axios 0.32.0", &direct, &through);
    Ok(())
}

/// Requests that clients were recorded with, or that their source makes, byte for byte at the engine and through the profiles.
/// The objects that they name are not there, so of those the status is that of an absent one.
fn recorded_requests_have_the_status_that_the_engine_gives_them() -> Outcome {
    let engine = engine::read_only()?;
    let profiles: Vec<&str> = recorded::all().iter().map(|client| client.profile.as_str()).collect();
    let proxy = Proxy::start_with_all(&engine.socket(), &profiles);
    let _measuring = engine::disk_usage_lock();
    let status = |socket: &Path, bytes: &[u8]| {
        let mut connection = Connection::open(socket);
        connection.send(bytes);
        connection.read_head().status
    };
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for client in recorded::all() {
        for request in client.requests.iter().filter(|request| request.has_method("GET") || request.has_method("HEAD"))
        {
            let through = status(&proxy.socket_of(&client.profile), &request.bytes);
            let direct = if request.status == 403 { 403 } else { status(&engine.socket(), &request.bytes) };
            if through != direct {
                wrong.push(format!("{} {}: {through}, and the engine says {direct}", client.profile, request.line()));
            }
            asked += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(asked > 250, "{asked}");
    Ok(())
}
