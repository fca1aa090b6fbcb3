//! Requests with what no engine reads, as clients send them: through the program they do what they do at the engine.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Outcome, Test, tests};
use crate::support::proxy::Proxy;
use crate::support::tar::Tar;
use crate::support::{client, engine, seed};

pub(crate) const TESTS: &[Test] = tests![what_no_engine_reads_changes_nothing];

/// A body of JSON.
const JSON: &str = "Content-Type: application/json\r\n";

/// Sends a request with these fields and nothing else, and returns the status of the answer and its text.
#[track_caller]
fn ask(socket: &Path, line: &str, fields: &str, body: &[u8]) -> (u16, String) {
    let mut connection = client::Connection::open(socket);
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{line} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n{fields}{length}\r\n");
    connection.send([head.as_bytes(), body].concat());
    let head = connection.read_head();
    let (body, _) = connection.read_body(&head);
    (head.status, String::from_utf8_lossy(&body).into_owned())
}

/// What a client does with objects whose names begin with `name`, and what it finds then.
fn session(socket: &Path, name: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut note = |what: &str, value: Value| found.push((what.to_owned(), value));
    let file = Tar::default().file("note", 0o644, b"a").finish();
    let dockerfile = Tar::default().file("Dockerfile", 0o644, format!("FROM {}\n", seed::BASE).as_bytes()).finish();
    let json = |line: &str, body: &str| json!(ask(socket, line, JSON, body.as_bytes()).0);
    let of = |target: &str| json!(client::get(socket, target).status());

    // dockerode: the whole body in the query, options in the body.
    let create = format!(
        r#"{{"Image":"{}","Cmd":["sleep","1000"],"HostConfig":{{"NetworkMode":"none"}},"Tty":true}}"#,
        seed::BASE
    );
    let line =
        format!("POST /containers/create?name={name}&Image=a&Cmd=%5B%22sleep%22%5D&HostConfig=%7B%7D&name=other");
    note("create", json(&line, &create));
    note("start", json(&format!("POST /containers/{name}/start"), "{}"));
    note("resize", json(&format!("POST /containers/{name}/resize?h=10&w=20&h=x"), r#"{"h":10,"w":20}"#));
    note("rename", json(&format!("POST /containers/{name}/rename?name={name}-b&name={name}-c"), r#"{"name":"x"}"#));
    note("first name", of(&format!("/containers/{name}-b/json")));
    note("second name", of(&format!("/containers/{name}-c/json")));
    note("restart", json(&format!("POST /containers/{name}-b/restart?t=0&t=100&signal=SIGKILL"), r#"{"t":0}"#));

    // Archives of any type but a form: docker cp, docker-py, dockerode, bollard.
    for (folder, fields) in [
        ("tmp", ""),
        ("etc", "Content-Type: text/plain\r\n"),
        ("bin", JSON),
        ("", "Content-Type: application/x-tar\r\nContent-Type: application/json\r\n"),
    ] {
        let line = format!("PUT /containers/{name}-b/archive?path=/{folder}&path=/nowhere&later=1");
        note("put", json!(ask(socket, &line, fields, &file).0));
        note("is there", of(&format!("/containers/{name}-b/archive?path=/{folder}/note")));
    }
    let import = format!("POST /images/create?fromSrc=-&repo={name}&repo=other&tag=1&platform=&fromImage=");
    note("import", json!(ask(socket, &import, "Content-Type: text/plain\r\n", &file).0));
    note("imported", of(&format!("/images/{name}:1/json")));
    note("tag", json(&format!("POST /images/{name}:1/tag?repo={name}&tag=2&tag=3"), r#"{"repo":"a"}"#));
    note("first tag", of(&format!("/images/{name}:2/json")));
    note("second tag", of(&format!("/images/{name}:3/json")));
    let build = format!("POST /build?dockerfile=Dockerfile&dockerfile=none&t={name}-i:1&t={name}-i:2&Later=1");
    note("build", json!(ask(socket, &build, JSON, &dockerfile).0));
    note("both tags", json!([of(&format!("/images/{name}-i:1/json")), of(&format!("/images/{name}-i:2/json"))]));
    let commit = format!("POST /commit?container={name}-b&repo={name}-c&changes=ENV+A%3D1&changes=ENV+B%3D2&Repo=x");
    note("commit", json(&commit, "{}"));
    note("variables", client::get(socket, &format!("/images/{name}-c/json")).json()["Config"]["Env"].clone());
    // docker push: the name has no registry that could be reached.
    let push = format!("POST /images/{name}-none/push?tag=1");
    note("push", json!(ask(socket, &push, "Content-Type: text/plain\r\nX-Registry-Auth: e30=\r\n", b"{}").0));

    let list = format!(
        "GET /containers/json?all=1&all=0&ALL=0&later=%FF&filters={{\"name\":[\"{name}-b\"]}}&filters={{\"name\":[\"none\"]}}"
    );
    let (status, text) = ask(socket, &list, JSON, b"{\"all\":0}");
    let listed: Value = serde_json::from_str(&text).unwrap_or_default();
    note("list", json!([status, listed.as_array().map(Vec::len)]));
    let prune = "POST /containers/prune?filters={\"label\":[\"none\"]}&stream=1";
    note("prune", json(prune, r#"{"filters":{}}"#));
    note(
        "stop",
        json(&format!("POST /containers/{name}-b/stop?t=0&abortSignal=%7B%7D"), r#"{"t":0,"abortSignal":{}}"#),
    );

    // docker-py: remove_container(link=True).
    let linking = json!({"Image": seed::BASE, "Cmd": ["true"], "HostConfig": {"Links": [format!("{name}-b:db")]}});
    note("linking", json(&format!("POST /containers/create?name={name}-p"), &linking.to_string()));
    let unlink = format!("DELETE /containers/{name}-p/db?v=False&link=True&force=False");
    note("unlink", json!(ask(socket, &unlink, "", b"").0));
    note("unlink again", json!(ask(socket, &unlink, "", b"").0));
    note("linked", of(&format!("/containers/{name}-b/json")));
    note("remove", json(&format!("DELETE /containers/{name}-b?force=1&force=0&v=True&link=0"), "{}"));
    note("removed", of(&format!("/containers/{name}-b/json")));
    found
}

fn what_no_engine_reads_changes_nothing() -> Outcome {
    let engine = engine::private("superfluous")?;
    let direct = engine.socket();
    seed::import(&direct);
    let proxy = Proxy::start(&direct, "open");
    let (at_engine, through) = (session(&direct, "plain"), session(&proxy.socket(), "carried"));
    assert_eq!(at_engine, through);
    let failed = |(what, value): &&(String, Value)| {
        let expected = ["second name", "second tag", "unlink again", "removed"].contains(&what.as_str());
        value.as_u64().is_some_and(|status| (status >= 400) != expected)
    };
    let failed: Vec<_> = at_engine.iter().filter(failed).collect();
    assert!(failed.is_empty(), "the engine takes all of it: {failed:?}");
    let of = |what: &str| at_engine.iter().find(|(name, _)| name == what).map(|(_, value)| value.clone());
    assert_eq!(of("list"), Some(json!([200, 1])));
    assert_eq!(of("both tags"), Some(json!([200, 200])));

    // A form has two readings, and what could change a write has none that is certain.
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for (line, fields, body) in [
        ("POST /containers/web/stop", form, &b"t=5"[..]),
        ("POST /containers/web/kill?signal=0", form, b"signal=KILL"),
        ("DELETE /containers/web?depend=1", "", b""),
        ("POST /containers/prune?all=1", "", b""),
    ] {
        assert_eq!(ask(&proxy.socket(), line, fields, body).0, 400, "{line}");
    }
    Ok(())
}
