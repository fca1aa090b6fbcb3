//! The dashboard and the alerts in `deploy/`: they name metrics that there are, and every query of them finds something in a real
//! Prometheus that reads a real dockveil.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Ignored, Outcome, Test, tests};
use crate::metrics::{names, promtool, with_tls};
use crate::support::authority::Authority;
use crate::support::client::{Client, PATIENCE, ask_port, body, get, status};
use crate::support::daemon::{Daemon, json};
use crate::support::program::{Program, command, free_port};
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[Test] = tests![
    the_dashboard_is_complete,
    alerts_pass_their_own_tests,
    every_query_finds_something_in_a_real_prometheus,
    what_grows_is_there_before_its_first_event
];

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

/// The dashboard.
fn dashboard() -> Value {
    serde_json::from_str(&std::fs::read_to_string(deploy("grafana/dockveil.json")).unwrap()).unwrap()
}

/// The queries of its panels, each with the title of its panel.
fn queries() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for panel in dashboard()["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap() {
            found.push((title.to_owned(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    assert!(found.len() > 15, "{found:?}");
    found
}

/// The expressions of the alerts, each with its name.
fn alerts() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(deploy("prometheus/rules.yml")).unwrap();
    let of = |key: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.trim().strip_prefix(key)).map(|value| value.trim().to_owned()).collect()
    };
    let (names, expressions) = (of("- alert:"), of("expr:"));
    assert!(names.len() > 5 && names.len() == expressions.len(), "{names:?} {expressions:?}");
    names.into_iter().zip(expressions).collect()
}

/// The names of metrics that a query reads, which begin with `dockveil_`.
fn metrics_of(query: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = query.split(|c: char| !is_name(c)).filter(|word| word.starts_with("dockveil_"));
    words.map(ToOwned::to_owned).collect()
}

/// The name of a series, and its labels without those that Prometheus adds and the configuration names.
fn known_part(series: &str) -> (String, BTreeSet<String>) {
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split(',').map(|label| label.trim().to_owned());
    let is_own = |label: &String| {
        !["instance=", "listener=", "engine=", "profile=", "job="].iter().any(|other| label.starts_with(other))
    };
    (name.to_owned(), labels.filter(|label| !label.is_empty()).filter(is_own).collect())
}

/// `increase()` of a series that begins with its first event misses that event. So does a test of an alert whose series begins at
/// zero, unless that of the program does.
fn what_grows_is_there_before_its_first_event() {
    let folder = Folder::new();
    let program = crate::metrics::measured(&folder, "");
    program.listening();
    let (_, text) = crate::metrics::ask(&folder.path("metrics"), "/metrics");
    let fresh: BTreeSet<(String, BTreeSet<String>)> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(known_part(line.rsplit_once(' ')?.0)))
        .collect();
    let is_fresh = |name: &str| fresh.iter().any(|(known, _)| known == name);
    let all = queries().into_iter().chain(alerts());
    let mut grows = BTreeSet::new();
    for (_, query) in all {
        for part in query.split("increase(").skip(1) {
            grows.extend(metrics_of(part.split(')').next().unwrap_or_default()));
        }
    }
    assert!(grows.len() > 4, "{grows:?}");
    for name in &grows {
        assert!(is_fresh(name), "{name} begins with its first event: {text}");
    }
    let tests = std::fs::read_to_string(deploy("prometheus/rules.test.yml")).unwrap();
    let lines: Vec<&str> = tests.lines().map(str::trim).collect();
    for pair in lines.windows(2) {
        let Some(series) = pair[0].strip_prefix("- series: '").and_then(|rest| rest.strip_suffix('\'')) else {
            continue;
        };
        let found = known_part(series);
        if grows.contains(&found.0) && pair[1].starts_with("values: \"0") {
            assert!(fresh.contains(&found), "{series} does not begin at zero: {text}");
        }
    }
}

fn the_dashboard_is_complete() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    let places: BTreeSet<String> = panels.iter().map(|panel| panel["gridPos"].to_string()).collect();
    assert_eq!(places.len(), panels.len(), "no panel hides another");
    let source = serde_json::json!({"type": "prometheus", "uid": "${datasource}"});
    for panel in panels {
        assert_eq!(panel["datasource"], source, "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"], source, "{target}");
            assert!(target["expr"].as_str().unwrap().contains("{instance=~\"$instance\""), "{target}");
        }
    }
    let variables: BTreeSet<&str> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, BTreeSet::from(["datasource", "instance"]));
}

fn alerts_pass_their_own_tests() -> Outcome {
    promtool()?;
    for arguments in [["check", "rules", "rules.yml"], ["test", "rules", "rules.test.yml"]] {
        let run = Command::new("promtool").args(arguments).current_dir(deploy("prometheus")).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success(), "{arguments:?}: {said}");
    }
    let tested = std::fs::read_to_string(deploy("prometheus/rules.test.yml")).unwrap();
    for (name, _) in alerts() {
        assert!(tested.contains(&format!("alertname: {name}\n")), "{name} has no test");
    }
    Ok(())
}

/// A process that is killed when the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a Prometheus at a port that reads a dockveil at another, and has the alerts.
fn prometheus(folder: &Folder, port: u16, metrics: u16) -> Result<Killed, Ignored> {
    let rules = deploy("prometheus/rules.yml");
    let config = format!(
        "global: {{scrape_interval: 200ms, evaluation_interval: 200ms}}\nrule_files: [{}]\nscrape_configs: \
         [{{job_name: dockveil, static_configs: [{{targets: [\"127.0.0.1:{metrics}\"]}}]}}]\n",
        rules.display()
    );
    std::fs::write(folder.path("prometheus.yml"), config).unwrap();
    let started = Command::new("prometheus")
        .arg(format!("--config.file={}", folder.path("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.path("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let started = started.map(Killed).map_err(|_| Ignored::Missing("no prometheus on this machine".to_owned()))?;
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "prometheus does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(started)
}

/// What Prometheus finds for a query: its result, or its error.
fn query(port: u16, expression: &str) -> Result<Vec<Value>, String> {
    let escaped: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let request = format!("GET /api/v1/query?query={escaped} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = ask_port(port, &request);
    let (text, _) = body(&answer);
    let found: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {answer}"))?;
    if found["status"] != "success" {
        return Err(found["error"].to_string());
    }
    Ok(found["data"]["result"].as_array().cloned().unwrap_or_default())
}

/// Waits until a query finds something.
#[track_caller]
fn wait_for(port: u16, expression: &str) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = query(port, expression);
        match &found {
            Ok(found) if !found.is_empty() => return found.clone(),
            _ if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
            _ => panic!("{expression}: {found:?}"),
        }
    }
}

fn every_query_finds_something_in_a_real_prometheus() -> Outcome {
    let (folder, authority) = (Folder::new(), Authority::new());
    let (port, metrics) = (free_port(), free_port());
    let _prometheus = prometheus(&folder, port, metrics)?;
    let daemon = Daemon::start(&folder.path("engine"), |request| {
        json(if request.contains("/info") { "{" } else { r#"[{"Id":"0a","Command":"a","Labels":{"a":"b"}}]"# })
    });
    // What expires is told of a listener with TLS.
    let (text, _) = with_tls(&folder, &authority, &authority.server(), &authority.revocations(&[], 2100));
    let socket = format!("metrics: unix://{}", folder.path("metrics").display());
    let text = text.replace(&socket, &format!("metrics: tcp://127.0.0.1:{metrics}"));
    std::fs::write(folder.path("dockveil.yaml"), text).unwrap();
    let path = folder.path("dockveil.yaml").display().to_string();
    let program = Program::start(command(&[], &["--config", &path]));
    program.listening();
    let exchange = |target: &str| {
        let mut client = Client::connect(&folder.path("listener"));
        client.send(get(target));
        status(&client.message(false))
    };
    // Every series is there before it grows, so that it has a rate.
    let targets = [("/containers/json", 200), ("/containers/a/export", 403), ("/info", 502), ("/version", 200)];
    let all = || targets.iter().for_each(|(target, expected)| assert_eq!(exchange(target), *expected, "{target}"));
    all();
    daemon.stop();
    assert_eq!(exchange("/containers/json"), 503);
    let _daemon = Daemon::start(&folder.path("engine"), |_| json(r#"[{"Id":"0a","Command":"a"}]"#));
    wait_for(port, "dockveil_engine_errors_total");
    wait_for(port, "dockveil_withheld_total");
    assert_eq!(exchange("/containers/json"), 200);
    wait_for(port, "rate(dockveil_exchanges_total[10s]) > 0");
    for (title, expression) in queries() {
        let expression = expression.replace("$__rate_interval", "10s").replace("$instance", ".*");
        let found = wait_for(port, &expression);
        assert!(
            found.iter().all(|found| found["value"][1] != "NaN" || title.starts_with("Time")),
            "{title}: {found:?}"
        );
    }
    for (name, expression) in alerts() {
        // Without its limit it is about something that there is.
        let (left, _) = expression.rsplit_once([' ']).and_then(|(left, _)| left.rsplit_once(' ')).unwrap();
        wait_for(port, left);
        query(port, &expression).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let scraped = ask_port(metrics, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(names(&scraped).len() > 15);
    // A query of nothing is noticed.
    assert_eq!(query(port, "dockveil_canary"), Ok(Vec::new()));
    assert!(query(port, "rate(dockveil_canary)").is_err());
    Ok(())
}
