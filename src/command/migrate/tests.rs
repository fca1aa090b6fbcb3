//! Compose files in, configurations out; every one of them is loaded as `check` does.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::api::operations_named;
use crate::cli::{ConfigFiles, Environment, ServeArgs};
use crate::config::Config;

/// The output of `migrate` for a text, or its errors.
fn migrated(text: &str, service: Option<&str>) -> Result<String, Vec<String>> {
    let arguments = cli::MigrateArgs { file: None, service: service.map(ToOwned::to_owned) };
    let mut out = Vec::new();
    match run(&arguments, &mut text.as_bytes(), &mut out) {
        Ok(code) => {
            assert_eq!(code, OK);
            Ok(String::from_utf8(out).unwrap())
        }
        Err(CommandError::Diagnostics(diagnostics)) => Err(diagnostics.iter().map(ToString::to_string).collect()),
        Err(other @ (CommandError::Io(_) | CommandError::Server(_))) => panic!("{other:?}"),
    }
}

/// Loads a configuration file with this text.
fn loaded(text: &str) -> Config {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let name = format!("dockveil-migrate-{}-{}.yaml", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let path: PathBuf = std::env::temp_dir().join(name);
    std::fs::write(&path, text).unwrap();
    let files = ConfigFiles { config: Some(path.clone()), ..ConfigFiles::default() };
    let arguments = ServeArgs { files, ..ServeArgs::default() };
    let config = Config::load(&arguments, &Environment::default());
    std::fs::remove_file(&path).unwrap();
    config.unwrap_or_else(|diagnostics| panic!("{diagnostics:#?}\n{text}"))
}

/// The operations that the first listener allows.
fn allowed(config: &Config) -> BTreeSet<&'static str> {
    config.listeners[0].policy.operations().map(|operation| operation.id).collect()
}

/// Migrates a text, loads the result, and compares engine, listeners and operations; returns the result.
#[track_caller]
fn check(text: &str, upstream: &str, listeners: &[&str], operations: &[&str]) -> String {
    let written = migrated(text, None).unwrap();
    let config = loaded(&written);
    assert_eq!(config.upstream.to_string(), upstream);
    let found: Vec<String> = config.listeners.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(found, listeners);
    let expected: BTreeSet<&str> =
        operations.iter().flat_map(|name| operations_named(name)).map(|known| known.id).collect();
    assert_eq!(allowed(&config), expected, "{written}");
    assert!(config.listeners.iter().all(|listener| !listener.policy.shows(crate::schema::Class::Secret)));
    written
}

#[track_caller]
fn check_error(text: &str, service: Option<&str>, part: &str) {
    let diagnostics = migrated(text, service).unwrap_err();
    assert!(diagnostics.iter().any(|diagnostic| diagnostic.contains(part)), "{diagnostics:?}");
}

#[test]
fn tecnativa_from_a_compose_file() {
    let text = "x-env: &env {EVENTS: 0}\nservices:\n  web:\n    image: nginx\n  dockerproxy:\n    image: \
                ghcr.io/tecnativa/docker-socket-proxy:0.3\n    environment:\n      <<: *env\n      CONTAINERS: 1\n      \
                IMAGES: ${IMAGES:-0}\n      ALLOW_START: \"true\"\n      LOG_LEVEL: warning\n";
    let written = check(
        text,
        "unix:///var/run/docker.sock",
        &["tcp://[::]:2375"],
        &[
            "SystemPing",
            "SystemVersion",
            "ContainerList",
            "ContainerInspect",
            "ContainerTop",
            "ContainerLogs",
            "ContainerChanges",
            "ContainerStats",
            "CheckpointList",
        ],
    );
    for part in [
        "service \"dockerproxy\" of standard input: Tecnativa/docker-socket-proxy",
        "- secret (environments, driver options, tokens): in ContainerInspect",
        "#  - ContainerExport",
        "ALLOW_START=true is off",
        "DOCKVEIL_LOG=warn",
        "IMAGES: IMAGES is not set in this file, its default was used",
        "timeouts: {response: 600s}",
    ] {
        assert!(written.replace("\n#   ", " ").contains(part), "{part}\n{written}");
    }
}

#[test]
fn linuxserver_has_a_variable_for_logs() {
    let text = "services:\n  p:\n    image: lscr.io/linuxserver/socket-proxy\n    environment:\n      - CONTAINERS=1\n      \
                - ALLOW_TOP=1\n      - VERSION=0\n      - SOCKET_PATH=/run/engine.sock\n      - DISABLE_IPV6=1\n";
    check(
        text,
        "unix:///run/engine.sock",
        &["tcp://0.0.0.0:2375"],
        &[
            "SystemPing",
            "SystemEvents",
            "ContainerList",
            "ContainerInspect",
            "ContainerStats",
            "CheckpointList",
            "ContainerTop",
        ],
    );
}

#[test]
fn variables_of_11notes_on_standard_input() {
    let written =
        migrated("SOCKET_PROXY_VOLUME=/run/p/\nexport SOCKET_PROXY_TIMEOUT='5s'\nTZ=Europe/Zurich\n", None).unwrap();
    let config = loaded(&written);
    assert_eq!(config.listeners[0].address.to_string(), "unix:///run/p/docker.sock");
    assert_eq!(config.listeners[0].mode, Some(0o600));
    assert_eq!(config.listeners[1].address.to_string(), "tcp://0.0.0.0:2375");
    assert_eq!(config.timeouts.connect, std::time::Duration::from_secs(5));
    assert!(allowed(&config).contains("ImageAttestations") && !allowed(&config).contains("SecretList"));
    assert!(!allowed(&config).contains("DebugPprofNamed") && written.contains("#  - DebugPprofNamed"));
    assert!(written.contains("#     user: \"1000:991\""), "{written}");
}

#[test]
fn patterns_of_wollomatic() {
    let text = "services:\n  proxy:\n    image: wollomatic/socket-proxy:1\n    command:\n      - '-loglevel=debug'\n      \
                - '-listenip=0.0.0.0'\n      - '-allowfrom=traefik'\n      - \
                '-allowGET=/v1\\..{1,2}/(version|containers/.*|events.*)'\n      - \
                '-allowHEAD=/_ping'\n      - '-allowPOST=/v1\\..{2}/containers/(watchtower|web)/restart'\n      - \
                '-shutdowngracetime=5'\n      - '-stoponwatchdog'\n";
    let written = check(
        text,
        "unix:///var/run/docker.sock",
        &["tcp://0.0.0.0:2375"],
        &[
            "SystemPingHead",
            "SystemVersion",
            "SystemEvents",
            "ContainerList",
            "ContainerInspect",
            "ContainerTop",
            "ContainerLogs",
            "ContainerChanges",
            "ContainerStats",
            "CheckpointList",
        ],
    );
    for part in [
        "-allowfrom=traefik",
        "-stoponwatchdog",
        "-loglevel",
        "was open for some names only, such as watchtower",
        "#  - ContainerExport",
    ] {
        assert!(written.contains(part), "{part}\n{written}");
    }
    assert_eq!(loaded(&written).timeouts.shutdown, std::time::Duration::from_secs(5));
}

#[test]
fn arguments_of_wollomatic_override_its_variables() {
    let text = "SP_ALLOW_GET=/version\nSP_ALLOW_GET_0=/info\nSP_ALLOW_POST=/containers/create\n\
                SP_ALLOWBINDMOUNTFROM=/srv\nSP_PROXYSOCKETENDPOINT=/run/p.sock\nSP_SOCKETPATH=/run/e.sock\n";
    let written = check(text, "unix:///run/e.sock", &["unix:///run/p.sock"], &["SystemVersion", "SystemInfo"]);
    assert!(written.contains("#  - ContainerCreate"), "{written}");
    check(&format!("{text}-allowGET=/_ping\n"), "unix:///run/e.sock", &["unix:///run/p.sock"], &["SystemPing"]);
}

#[test]
fn wollomatic_for_loopback_clients_listens_on_loopback() {
    check(
        "-allowGET=/version -listenip 0.0.0.0\n",
        "unix:///var/run/docker.sock",
        &["tcp://127.0.0.1:2375"],
        &["SystemVersion"],
    );
}

#[test]
fn foxxmd_with_selected_containers_shows_none() {
    let text = "services:\n  filter:\n    image: foxxmd/docker-proxy-filter\n    environment:\n      - \
                PROXY_URL=http://socket-proxy:2375\n      - SCRUB_ENVS=true\n";
    let all = migrated(text, None).unwrap();
    let config = loaded(&all);
    assert_eq!(config.upstream.to_string(), "tcp://socket-proxy:2375");
    assert!(allowed(&config).contains("ContainerInspect") && !allowed(&config).contains("ContainerStart"));
    assert!(!allowed(&config).contains("ContainerExport") && all.contains("#  - ContainerExport"));
    let some = migrated(&format!("{text}      - CONTAINER_NAMES=web\n"), None).unwrap();
    let config = loaded(&some);
    for id in ["ContainerList", "ContainerInspect", "ContainerLogs", "SystemEvents", "NetworkInspect"] {
        assert!(!allowed(&config).contains(id), "{id}");
        assert!(some.contains(&format!("#  - {id} ")), "{id}\n{some}");
    }
    assert!(allowed(&config).contains("ImageList"));
}

#[test]
fn foxxmd_and_the_proxy_behind_it_become_one() {
    let text = "services:\n  filter:\n    image: foxxmd/docker-proxy-filter\n    environment:\n      - \
                PROXY_URL=http://socket-proxy:2375\n  behind:\n    container_name: socket-proxy\n    image: \
                tecnativa/docker-socket-proxy\n    environment: {CONTAINERS: 1, POST: 1, SOCKET_PATH: /run/e.sock, \
                IMAGES: \"${IMAGES}\"}\n";
    let written = migrated(text, None).unwrap();
    let config = loaded(&written);
    assert_eq!(config.upstream.to_string(), "unix:///run/e.sock");
    let listeners: Vec<String> = config.listeners.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(listeners, ["tcp://0.0.0.0:2375"]);
    let open = allowed(&config);
    assert!(open.contains("ContainerStart") && open.contains("ContainerInspect") && !open.contains("ImageList"));
    assert!(written.ends_with("    parameters:\n      ContainerStart: all\n"), "{written}");
    let start = crate::api::operation("ContainerStart").unwrap();
    assert!(config.listeners[0].policy.profile().contents(start).has_parameter("checkpoint"));
    let flat = written.replace("\n#   ", " ").replace("\n# ", " ");
    for part in [
        "FoxxMD/docker-proxy-filter in front of Tecnativa/docker-socket-proxy.",
        "- Tecnativa/docker-socket-proxy behind it is not needed any more",
        "- IMAGES: ${IMAGES} is not set in this file",
        "- CONTAINERS: exports and archives",
    ] {
        assert!(flat.contains(part), "{part}\n{written}");
    }
    let some = migrated(&text.replace("2375\n", "2375\n      - CONTAINER_LABELS=a=b\n"), None).unwrap();
    let open = allowed(&loaded(&some));
    assert!(!open.iter().any(|id| id.starts_with("Container")), "{open:?}");
    assert!(some.contains("#  - ContainerStart "), "{some}");
    // Each by itself, if it is named.
    assert!(allowed(&loaded(&migrated(text, Some("behind")).unwrap())).contains("ContainerStart"));
    assert!(allowed(&loaded(&migrated(text, Some("filter")).unwrap())).contains("ContainerStart"));
}

#[test]
fn a_switch_that_is_off_is_no_difference() {
    let written = migrated("CONTAINERS=1\nALLOW_LOGS=0\nALLOW_START=0\nALLOW_RESTARTS=1\n", None).unwrap();
    assert!(written.contains("# - ALLOW_RESTARTS: ") && !written.contains("# - ALLOW_START: "), "{written}");
}

#[test]
fn errors_say_what_was_expected() {
    check_error("services:\n  web:\n    image: nginx\n", None, "2:3: no service runs a known socket proxy");
    let two = "services:\n  a:\n    image: 11notes/socket-proxy\n  b:\n    image: wollomatic/socket-proxy\n";
    check_error(two, None, "several services run a socket proxy (a, b), expected --service");
    check_error(two, Some("c"), "service \"c\" runs no known socket proxy, expected one of a, b");
    assert!(migrated(two, Some("a")).is_ok());
    check_error("hello\n", None, "standard input:1: expected NAME=value");
    check_error("SOCKET_PROXY_VOLUME=/run\n", None, "unix:///run/docker.sock, which is the engine itself");
    check_error("FOO=1\n", None, "no variable of a known socket proxy");
    check_error("CONTAINERS=1\nLOG_LEVEL=loud\n", None, "LOG_LEVEL: found \"loud\"");
    check_error("-allowGET=(\n", None, "bad pattern \"(\" for GET");
    check_error("-alowGET=/version\n", None, "unknown argument -alowGET, did you mean -allowGET?");
    check_error("SP_ALLOW_GETS=/version\n", None, "unknown variable SP_ALLOW_GETS");
    check_error("PROXY_URL=/run/docker.sock\n", None, "PROXY_URL: found \"/run/docker.sock\"");
    check_error("services:\n  - a\n b: [\n", None, "not YAML");
    let json = r#"{"services": {"p": {"image": "11notes/socket-proxy"}}}"#;
    assert!(migrated(json, None).is_ok());
}

#[test]
fn no_text_of_the_input_can_end_a_comment() {
    let text = "services:\n  \"p\\nupstream: tcp://evil:1\":\n    image: 11notes/socket-proxy\n";
    let config = loaded(&migrated(text, None).unwrap());
    assert_eq!(config.upstream.to_string(), "unix:///run/docker.sock");
    let text = "-allowGET=/version\n'-allowfrom=a\u{85}listeners: []'\n";
    assert_eq!(loaded(&migrated(text, None).unwrap()).listeners.len(), 1);
}

#[test]
fn operations_that_would_erase_what_is_hidden_are_named() {
    let written = migrated("SERVICES=1\nNODES=1\nPOST=1\nDOCKVEIL_COMPAT=tecnativa\n", None).unwrap();
    let comment: String = written.lines().map(|line| line.trim_start_matches(['#', ' '])).collect::<Vec<_>>().join(" ");
    assert!(comment.contains("- NodeUpdate, ServiceUpdate: denied although allowed, because"), "{written}");
    let config = loaded(&written);
    assert!(!allowed(&config).contains("ServiceUpdate") && allowed(&config).contains("ServiceCreate"));
    // As the comment says.
    let shown = written.replace("    extends: drop-in\n", "    show: all\n");
    assert!(allowed(&loaded(&shown)).contains("ServiceUpdate"), "{shown}");
    let reading = migrated("SERVICES=1\nNODES=1\nDOCKVEIL_COMPAT=tecnativa\n", None).unwrap();
    assert!(!reading.contains("denied although allowed"), "{reading}");
}
