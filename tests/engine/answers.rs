//! Statuses, lengths and errors of a real engine, as real clients read them: directly, and through the program.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Outcome, Test, tests};
use crate::support::engine::Engine;
use crate::support::proxy::Proxy;
use crate::support::{cli, client, engine, installed, seed};

pub(crate) const TESTS: &[Test] =
    tests![curl_reads_the_framing_of_the_engine, the_sdk_for_python_raises_the_same_errors];

/// The requests: a method and a path. `NAME` is the container.
const REQUESTS: [(&str, &str); 18] = [
    ("HEAD", "/_ping"),
    ("GET", "/_ping"),
    ("POST", "/containers/NAME/start"),
    ("POST", "/containers/NAME/start"),
    ("HEAD", "/containers/NAME/archive?path=/bin"),
    ("HEAD", "/containers/NAME/archive?path=/nosuch"),
    ("GET", "/containers/NAME/archive?path=/nosuch"),
    ("GET", "/containers/NAME/archive?path=/bin/busybox"),
    ("POST", "/containers/NAME/rename?name=NAME"),
    ("GET", "/containers/nosuch/json"),
    ("POST", "/containers/nosuch/attach?stream=1&stdout=1"),
    ("GET", "/networks/nosuch"),
    ("DELETE", "/containers/NAME"),
    ("POST", "/containers/NAME/stop?t=0"),
    ("POST", "/containers/NAME/stop?t=0"),
    ("POST", "/containers/NAME/resize?h=1&w=1"),
    ("DELETE", "/containers/NAME"),
    ("DELETE", "/containers/NAME"),
];

/// The header fields that say what an answer holds.
const FIELDS: [&str; 4] = ["api-version", "content-length", "content-type", "transfer-encoding"];

/// What curl reads for each request: the status, the fields, whether a file is described, and the body.
fn read_by_curl(engine: &Engine, socket: &Path, name: &str) -> Vec<String> {
    seed::create(&engine.socket(), name, &seed::detached(&["sleep", "600"]));
    let id =
        client::get(&engine.socket(), &format!("/containers/{name}/json")).json()["Id"].as_str().unwrap().to_owned();
    let mut found = Vec::new();
    for (method, path) in REQUESTS {
        let address = format!("http://docker/v1.41{}", path.replace("NAME", name));
        let how = if method == "HEAD" { "-I" } else { "-i" };
        let socket = socket.display().to_string();
        let program = ["curl", "-sS", how, "-X", method, "--max-time", "30", "--unix-socket", &socket, &address];
        let output = cli::run(&engine.socket(), &program, "");
        assert!(output.status.success(), "{method} {path}: {}", cli::outputs(&output));
        let text = String::from_utf8_lossy(&output.stdout);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: {text}"));
        let fields: BTreeMap<String, &str> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        let status = head.split(' ').nth(1).unwrap();
        let shown = FIELDS.iter().filter_map(|name| Some(format!("{name}: {}", fields.get(*name)?)));
        let is_described = fields.contains_key("x-docker-container-path-stat");
        let shown: Vec<String> = shown.collect();
        // An archive is long.
        let body = if body.len() > 1000 { "long" } else { body };
        let line = format!("{method} {path}: {status} {shown:?} {is_described} {body}");
        found.push(line.replace(name, "NAME").replace(&id, "ID"));
    }
    found
}

fn curl_reads_the_framing_of_the_engine() -> Outcome {
    let _curl = installed::program("curl")?;
    let engine = engine::read_write()?;
    let proxy = Proxy::start(&engine.socket(), "open");
    let direct = read_by_curl(engine, &engine.socket(), "framing-1");
    let through = read_by_curl(engine, &proxy.socket(), "framing-2");
    for (direct, through) in direct.iter().zip(&through) {
        // Docker writes errors of attaching as plain text; here every error is a document.
        if direct.contains("/attach") {
            assert!(through.contains(": 404 ") && through.contains("No such container: nosuch"), "{through}");
            continue;
        }
        assert_eq!(direct, through);
    }
    assert!(direct.len() == REQUESTS.len() && direct.iter().any(|line| line.contains(": 304 [")), "{direct:#?}");
    Ok(())
}

fn the_sdk_for_python_raises_the_same_errors() -> Outcome {
    let python = installed::client("python/bin/python")?;
    let engine = engine::read_write()?;
    let outcomes = |socket: &Path, name: &str| -> BTreeMap<String, Value> {
        let script = installed::script("answers.py");
        let output = cli::run(socket, &[&python, &script, name, seed::BASE], "");
        let _ = client::delete(&engine.socket(), &format!("/containers/{name}?force=1"));
        assert!(output.status.success(), "{}", cli::outputs(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let direct = outcomes(&engine.socket(), "answers-1");
    let open = Proxy::start(&engine.socket(), "open");
    assert_eq!(outcomes(&open.socket(), "answers-2"), direct);
    // Where texts are hidden, the exceptions are the same, and what clients look for in a text is there.
    let hiding = Proxy::start(&engine.socket(), "hiding");
    for (step, hidden) in outcomes(&hiding.socket(), "answers-3") {
        assert_eq!((&hidden[0], &hidden[1]), (&direct[&step][0], &direct[&step][1]), "{step}: {hidden}");
        let text = hidden[2].as_str().unwrap_or_default();
        assert!(!text.contains("hidden by the profile") && !text.contains("nosuch"), "{step}: {hidden}");
    }
    Ok(())
}
