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
    run_with(&cli::MigrateArgs { service: service.map(ToOwned::to_owned), ..cli::MigrateArgs::default() }, text)
}

/// The output of `migrate` with these arguments for a text, or its errors.
fn run_with(arguments: &cli::MigrateArgs, text: &str) -> Result<String, Vec<String>> {
    let mut out = Vec::new();
    match run(arguments, &mut text.as_bytes(), &mut out) {
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

/// The operations that the first listener allows to anybody.
fn allowed(config: &Config) -> BTreeSet<&'static str> {
    config.listeners[0].policies().flat_map(|policy| policy.operations()).map(|operation| operation.id).collect()
}

/// The clients of the first listener, each with its profile.
fn clients(config: &Config) -> Vec<String> {
    let rules = config.listeners[0].clients.iter().flat_map(|rules| rules.iter());
    rules.map(|rule| format!("{}: {}", rule.selector, rule.policy.name())).collect()
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
    let policies = || config.listeners.iter().flat_map(crate::config::Listener::policies);
    assert!(policies().all(|policy| !policy.shows(crate::schema::Class::Secret)));
    written
}

#[track_caller]
fn check_error(text: &str, service: Option<&str>, part: &str) {
    let diagnostics = migrated(text, service).unwrap_err();
    assert!(diagnostics.iter().any(|diagnostic| diagnostic.contains(part)), "{diagnostics:?}");
}

/// What other proxies open with containers, and can be filtered or is a stream.
const OF_CONTAINERS: [&str; 7] = [
    "ContainerList",
    "ContainerInspect",
    "ContainerTop",
    "ContainerLogs",
    "ContainerChanges",
    "ContainerStats",
    "CheckpointList",
];

#[test]
fn tecnativa_from_a_compose_file() {
    let text = "x-env: &env {EVENTS: 0}\nservices:\n  web:\n    image: nginx\n  dockerproxy:\n    image: \
                ghcr.io/tecnativa/docker-socket-proxy:0.3\n    environment:\n      <<: *env\n      CONTAINERS: 1\n      \
                IMAGES: ${IMAGES:-0}\n      ALLOW_START: \"true\"\n      LOG_LEVEL: warning\n";
    let written = check(
        text,
        "unix:///var/run/docker.sock",
        &["tcp://[::]:2375"],
        &[&["SystemPing", "SystemVersion"][..], &OF_CONTAINERS].concat(),
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
        &[&["SystemPingHead", "SystemVersion", "SystemEvents", "ContainerRestart"][..], &OF_CONTAINERS].concat(),
    );
    for part in [
        "-allowfrom=traefik",
        "-stoponwatchdog",
        "-loglevel",
        r#"- {ContainerRestart: {only: [{name: "watchtower"}, {name: "web"}]}}  # "#,
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
fn foxxmd_with_selected_containers_shows_those() {
    let text = "services:\n  filter:\n    image: foxxmd/docker-proxy-filter\n    environment:\n      - \
                PROXY_URL=http://socket-proxy:2375\n      - SCRUB_ENVS=true\n";
    let all = migrated(text, None).unwrap();
    let config = loaded(&all);
    assert_eq!(config.upstream.to_string(), "tcp://socket-proxy:2375");
    assert!(allowed(&config).contains("ContainerInspect") && !allowed(&config).contains("ContainerStart"));
    assert!(!allowed(&config).contains("ContainerExport") && all.contains("#  - ContainerExport"));
    let some =
        migrated(&format!("{text}      - CONTAINER_NAMES=web,/db\n      - CONTAINER_LABELS=a=b, c\n"), None).unwrap();
    let selected = r#"containers: {only: [{name: "*web*"}, {name: "db*"}, {label: "*a*=*b*"}, {label: "*c*"}]}"#;
    assert!(some.contains(selected), "{some}");
    let config = loaded(&some);
    let policy = &config.listeners[0].policy;
    assert_eq!(policy.unlimited().count(), 0, "{some}");
    for id in ["ContainerList", "ContainerInspect", "SystemEvents", "NetworkInspect", "ImageList"] {
        assert!(policy.allows(id), "{id}");
    }
    assert!(!policy.allows("ContainerCreate") && some.contains("#  - TaskList"), "{some}");
    // A star would stand for any text.
    let none = migrated(&format!("{text}      - CONTAINER_NAMES=we*\n"), None).unwrap();
    assert!(none.contains("the texts we* cannot be written here") && loaded(&none).listeners.len() == 1, "{none}");
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
    assert!(
        written.ends_with("    parameters:\n      CheckpointDelete: all\n      ContainerStart: all\n"),
        "{written}"
    );
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
    assert!(some.contains(r#"containers: {only: [{label: "*a*=*b*"}]}"#), "{some}");
    assert!(allowed(&loaded(&some)).contains("ContainerStart"));
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

/// A file of `fixtures/migrate`.
fn file(name: &str) -> String {
    std::fs::read_to_string(format!("{}/fixtures/migrate/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// What `migrate` writes of a fixture, after [`check`].
#[track_caller]
fn check_file(name: &str, listeners: &[&str], operations: &[&str]) -> String {
    check(&file(name), "unix:///var/run/docker.sock", listeners, operations)
}

/// What Tecnativa's proxy opens by default; CONTAINERS adds [`OF_CONTAINERS`] to it.
const DEFAULT: [&str; 3] = ["SystemPing", "SystemVersion", "SystemEvents"];

fn with_containers() -> Vec<&'static str> {
    DEFAULT.into_iter().chain(OF_CONTAINERS).collect()
}

/// Demands texts in what was written, wherever the lines of comments end.
#[track_caller]
fn check_parts(written: &str, parts: &[&str]) {
    let flat = written.replace("\n#   ", " ").replace("\n# ", " ");
    for part in parts {
        assert!(written.contains(part) || flat.contains(part), "{part}\n{written}");
    }
}

#[test]
fn an_interpolated_image_is_recognised() {
    let linuxserver: Vec<&str> =
        DEFAULT.into_iter().chain(["ContainerList", "ContainerInspect", "ContainerStats", "CheckpointList"]).collect();
    let written = check_file("image-interpolated.yaml", &["tcp://[::]:2375"], &linuxserver);
    check_parts(
        &written,
        &[
            "linuxserver/socket-proxy",
            "image: SP_IMAGE is not set in this file, its default was used",
            "CONTAINERS: SP_CONTAINERS is not set in this file, its default was used",
            "`.env` was not read: what it sets is missing here",
            "env_file was not read",
        ],
    );
}

/// What `docker compose config` 2.40.3 prints of this folder: CONTAINERS, EVENTS, IMAGES, TASKS, NETWORKS, SERVICES and SWARM are
/// 1; VOLUMES is 1, of the file, because `.env` sets no variable of a container; INFO is 0, PLUGINS and SECRETS have no value, and
/// NODES is `"1"` with its quotes, which HAProxy reads as 0.
#[test]
fn environment_files_beside_the_file_are_read() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/migrate/project");
    let arguments = cli::MigrateArgs { file: Some(folder.join("compose.yaml")), ..cli::MigrateArgs::default() };
    let written = run_with(&arguments, "").unwrap();
    let config = loaded(&written);
    let hosts = &config.listeners[0].hosts;
    assert!(
        hosts.contains(&"localhost".to_owned()),
        "the port is published to the loopback address of `.env`: {hosts:?}"
    );
    let open = allowed(&config);
    for (id, is_open) in [
        ("ContainerList", true),
        ("SystemEvents", true),
        ("ImageList", true),
        ("VolumeList", true),
        ("TaskList", true),
        ("NetworkList", true),
        ("ServiceList", true),
        ("SwarmInspect", true),
        ("SystemInfo", false),
        ("NodeList", false),
        ("PluginList", false),
        ("SecretList", false),
    ] {
        assert_eq!(open.contains(id), is_open, "{id}: {written}");
    }
    check_parts(&written, &["the values of `.env` were used", "PLUGINS: its value is set outside this file"]);
    assert!(!written.contains("none.env") && !written.contains("was not read"), "{written}");
}

#[test]
fn an_environment_file_that_is_missing_or_wrong_is_named() {
    let folder = std::env::temp_dir().join(format!("dockveil-migrate-env-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("compose.yaml");
    let compose =
        "services: {p: {image: tecnativa/docker-socket-proxy, env_file: [own.env], environment: [\"POST=${A:-0}\"]}}\n";
    std::fs::write(&path, compose).unwrap();
    let arguments = cli::MigrateArgs { file: Some(path), ..cli::MigrateArgs::default() };
    let missing = run_with(&arguments, "").unwrap();
    std::fs::write(folder.join("own.env"), "CONTAINERS=1\nPOST=\"canary\n").unwrap();
    let wrong = run_with(&arguments, "").unwrap_err();
    std::fs::write(folder.join("own.env"), "CONTAINERS=1\nPOST=1\n").unwrap();
    std::fs::write(folder.join(".env"), "A=1\n").unwrap();
    let right = run_with(&arguments, "").unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    check_parts(
        &missing,
        &["own.env was not found: what it sets is missing here", "there is no `.env` beside the file"],
    );
    assert!(wrong.len() == 1 && wrong[0].contains("own.env:2: a quote is not closed"), "{wrong:?}");
    assert!(!wrong[0].contains("canary"), "{wrong:?}");
    assert!(allowed(&loaded(&right)).contains("ContainerStart"), "{right}");
}

#[test]
fn environment_files_of_commands_and_quadlets_are_read_as_they_are() {
    let folder = std::env::temp_dir().join(format!("dockveil-migrate-raw-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("own.env"), "\u{feff}# c\r\nCONTAINERS=1\r\n IMAGES=1\nINFO=\"1\"\nEVENTS=1\nNODES\n")
        .unwrap();
    let command = "docker run -e EVENTS=0 --env-file own.env --env-file=none.env tecnativa/docker-socket-proxy\n";
    let quadlet = "[Container]\nEnvironment=EVENTS=0\nImage=tecnativa/docker-socket-proxy\nEnvironmentFile=own.env\n\
                   EnvironmentFile=%h/none.env\n";
    let mut written = Vec::new();
    for (name, text) in [("run.sh", command), ("proxy.container", quadlet)] {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        let arguments = cli::MigrateArgs { file: Some(path), ..cli::MigrateArgs::default() };
        written.push(run_with(&arguments, "").unwrap());
    }
    std::fs::remove_dir_all(&folder).unwrap();
    for written in &written {
        let config = loaded(written);
        let open = allowed(&config);
        for (id, is_open) in
            [("ContainerList", true), ("ImageList", true), ("SystemInfo", false), ("SystemEvents", false)]
        {
            assert_eq!(open.contains(id), is_open, "{id}: {written}");
        }
        check_parts(written, &["NODES: its value is set outside this file"]);
    }
    check_parts(&written[0], &["none.env was not found: what it sets is missing here"]);
    check_parts(&written[1], &["%h/none.env was not read: what it sets is missing here"]);
}

#[test]
fn of_two_services_each_gets_a_file() {
    let text = file("two-services.yaml");
    check_error(&text, None, "several services run a socket proxy (docker-proxy, docker-control), expected --service");
    let reads = migrated(&text, Some("docker-proxy")).unwrap();
    check_parts(
        &reads,
        &["LOGS is not a variable of Tecnativa/docker-socket-proxy and has no effect: CONTAINERS includes logs"],
    );
    assert!(!allowed(&loaded(&reads)).contains("ContainerStart"));
    let writes = allowed(&loaded(&migrated(&text, Some("docker-control")).unwrap()));
    assert!(writes.contains("ContainerStart") && writes.contains("ContainerCreate"));
}

#[test]
fn labels_of_other_services_are_read() {
    let operations = [
        "SystemVersion",
        "ContainerList",
        "ContainerInspect",
        "SystemEvents",
        "ContainerStart",
        "ContainerStop",
        "ContainerWait",
        "ContainerPause",
        "ContainerUnpause",
    ];
    let written = check_file("wollomatic-labels.yaml", &["tcp://0.0.0.0:2375"], &operations);
    check_parts(
        &written,
        &[
            "the labels of sablier allowed something to that container: it has the profile migrated-sablier",
            "# label socket-proxy.allow.get",
            "command: [serve]",
        ],
    );
    let of_sablier = "container label=com.docker.compose.service=sablier: migrated-sablier";
    assert_eq!(clients(&loaded(&written)), [of_sablier]);
    // Something for everybody comes behind it, for the addresses that everybody may have.
    let text =
        file("wollomatic-labels.yaml").replace("    container_name: socket-proxy\n", "      - -allowGET=/version\n");
    let config = loaded(&migrated(&text, None).unwrap());
    assert_eq!(clients(&config), [of_sablier, "address 127.0.0.1: migrated"]);
    let of_line = |number: usize| {
        let rule = &config.listeners[0].clients.as_ref().unwrap()[number];
        rule.policy.operations().map(|operation| operation.id).collect::<BTreeSet<_>>()
    };
    assert!(of_line(0).contains("ContainerPause") && of_line(0).contains("SystemVersion"));
    assert_eq!(of_line(1), BTreeSet::from(["SystemVersion"]));
    // Whom the engine calls so is known best by that name.
    let named =
        text.replace("    image: sablierapp/sablier\n", "    image: sablierapp/sablier\n    container_name: gate\n");
    let named = named.replace("-allowGET=/version", "'-allowfrom=172.20.1.0/16, traefik'\n      - -allowGET=/version");
    let written = migrated(&named, None).unwrap();
    assert_eq!(
        clients(&loaded(&written)),
        ["container name=gate: migrated-sablier", "address 172.20.0.0/16: migrated"]
    );
    check_parts(&written, &["Until you add a line with an address or a container to `clients`, traefik is denied"]);
    // A name with a star would stand for others.
    let starred = migrated(&named.replace("gate", "'ga*'").replace("172.20.1.0/16, ", ""), None).unwrap();
    assert_eq!(clients(&loaded(&starred)), ["address 127.0.0.1: migrated"]);
    check_parts(&starred, &["what the container is called is not known. Until you add a line"]);
    let written =
        migrated(&file("wollomatic-labels.yaml").replace("-proxycontainername=socket-proxy", "-logjson"), None)
            .unwrap();
    assert!(allowed(&loaded(&written)).is_empty());
    check_parts(
        &written.replace("\n#   ", " "),
        &["labels socket-proxy.allow.… had no effect: -proxycontainername is not set"],
    );
}

#[test]
fn labels_of_containers_that_a_script_runs_are_read() {
    let run = "docker run -d --name proxy wollomatic/socket-proxy -proxycontainername=proxy -listenip=0.0.0.0\n";
    let with = |options: &str| {
        format!(
            "{run}docker run -d {options} --label socket-proxy.allow.get=/version --label socket-proxy.allow.post.0=/build web\n"
        )
    };
    let written = migrated(&with("--name web"), Some("proxy")).unwrap();
    assert_eq!(clients(&loaded(&written)), ["container name=web: migrated-web"]);
    assert_eq!(allowed(&loaded(&written)), BTreeSet::from(["SystemVersion", "ImageBuild"]));
    // Without a name, the engine makes one up.
    let unnamed = migrated(&with(""), Some("proxy")).unwrap();
    check_parts(&unnamed, &["what the container is called is not known"]);
    assert!(allowed(&loaded(&unnamed)).is_empty());
}

#[test]
fn addresses_of_clients_are_lines_of_clients() {
    let of =
        |from: &str| migrated(&format!("-listenip=0.0.0.0 -allowGET=/version '-allowfrom={from}'\n"), None).unwrap();
    assert_eq!(clients(&loaded(&of("172.20.0.0/16,10.0.0.7"))), ["address 172.20.0.0/16 or 10.0.0.7: migrated"]);
    for everybody in ["0.0.0.0/0", "traefik", "172.20.0.0/16,traefik"] {
        let written = of(everybody);
        assert_eq!(clients(&loaded(&written)), Vec::<String>::new(), "{written}");
        assert_eq!(written.contains("names are not supported"), everybody != "0.0.0.0/0", "{written}");
    }
    assert_eq!(clients(&loaded(&of("127.0.0.1/32"))), Vec::<String>::new());
}

#[test]
fn an_environment_file_may_have_comments() {
    let operations: Vec<&str> = with_containers().into_iter().chain(["SystemInfo"]).collect();
    check_parts(
        &migrated(&file("comments.env"), None).unwrap(),
        &["`docker run --env-file` takes them as part of the value"],
    );
    check(&file("comments.env"), "unix:///run/user/1000/docker.sock", &["tcp://[::]:2375"], &operations);
}

#[test]
fn a_docker_run_is_read() {
    let operations: Vec<&str> = with_containers().into_iter().chain(["SystemInfo"]).collect();
    let written = check_file("run.sh", &["tcp://[::]:2375"], &operations);
    check_parts(
        &written,
        &[
            "container \"dockerproxy\" of standard input",
            "hosts: [\"localhost\", \"127.0.0.1\", \"[::1]\", \"dockerproxy\"]",
            "`privileged` is not needed",
            "#     --user 1000:991",
            "#     --restart unless-stopped",
        ],
    );
}

#[test]
fn a_quadlet_is_read() {
    let operations: Vec<&str> = DEFAULT
        .into_iter()
        .chain(["ContainerList", "ContainerInspect", "ContainerStats", "CheckpointList"])
        .chain(["ContainerRestart", "ContainerStop", "ContainerKill"])
        .collect();
    let written = check_file("socket-proxy.container", &["tcp://[::]:2375"], &operations);
    check_parts(&written, &["Image=localhost/dockveil", "UserNS=keep-id:uid=1000,gid=1000"]);
}

#[test]
fn every_form_of_a_compose_file_is_one() {
    for name in ["bom-crlf.yaml", "empty-document.yaml", "compose.json", "quoted-key.yaml"] {
        check_file(name, &["tcp://[::]:2375"], &with_containers());
    }
    check_error(
        &file("mapping-in-list.yaml"),
        None,
        "standard input:5:9: found a mapping in a list, which Compose refuses too: write `- CONTAINERS=1`, or leave out the dash",
    );
}

#[test]
fn interpolation_is_that_of_compose() {
    let operations: Vec<&str> =
        with_containers().into_iter().chain(["SystemInfo", "TaskList", "TaskInspect", "TaskLogs"]).collect();
    let written = check_file("interpolation.yaml", &["tcp://[::]:2375"], &operations);
    check_parts(
        &written,
        &[
            "POST: its value is set outside this file, and missing here",
            "NETWORKS: NETWORKS is required and not set in this file: its value is missing here",
            "VOLUMES: VOLUMES is not set in this file, and what takes its place was left out",
            "TASKS: B is not set in this file, its default was used",
            "DOCKVEIL_LOG=error",
        ],
    );
    for name in ["required.yaml", "required-path.yaml"] {
        let written = check_file(name, &["tcp://[::]:2375"], &with_containers());
        check_parts(&written, &["SOCKET_PATH: SOCK is required and not set in this file: its value is missing here"]);
    }
}

#[test]
fn a_port_that_is_published_to_loopback_answers_to_names() {
    let written = check(&file("published.yaml"), "unix:///run/docker.sock", &["tcp://[::]:2375"], &with_containers());
    let config = loaded(&written);
    assert_eq!(
        config.listeners[0].hosts,
        ["localhost", "127.0.0.1", "[::1]", "dockerproxy", "docker-proxy", "socket-proxy"]
    );
    check_parts(
        &written,
        &[
            "the engine's socket is mounted at unix:///run/docker.sock",
            "the health check runs `wget -q -O /dev/null http://localhost:2375/_ping || exit 1`, which is not in the image",
            "#     healthcheck: {test: [CMD, /dockveil, healthcheck]}",
            "#     restart: unless-stopped",
            "`privileged` is not needed",
        ],
    );
    let public = file("published.yaml").replace("${BIND:-127.0.0.1}", "0.0.0.0");
    let written = migrated(&public, None).unwrap();
    assert!(loaded(&written).listeners[0].hosts.is_empty());
    check_parts(&written, &["port 2375 is published on every address of the host"]);
    for text in [
        "services:\n  p:\n    image: 11notes/socket-proxy\n    network_mode: host\n",
        "docker run --net=host -p 127.0.0.1:2375:2375 11notes/socket-proxy\n",
        "[Container]\nImage=11notes/socket-proxy\nNetwork=host\n",
    ] {
        let written = migrated(text, None).unwrap();
        check_parts(&written, &["port 2375 is published on every address of the host"]);
        assert!(!written.contains("hosts:"), "{written}");
    }
    for probe in ["curl -f http://localhost:2375/version", "nc -z localhost 2375", "[\"CMD\", \"./healthcheck\"]"] {
        let text = format!(
            "services:\n  p:\n    image: wollomatic/socket-proxy\n    command: -allowGET=/version\n    healthcheck:\n      test: \
             {probe}\n"
        );
        check_parts(&migrated(&text, None).unwrap(), &["#     healthcheck: {test: [CMD, /dockveil, healthcheck]}"]);
    }
    let text =
        "services:\n  p:\n    image: 11notes/socket-proxy\n    restart: always\n    healthcheck: {test: [NONE]}\n";
    let written = migrated(text, None).unwrap();
    assert!(!written.contains("healthcheck") && !written.contains("restart:"), "{written}");
}

/// Migrates a service with an image and variables, and returns the operations that are allowed.
#[track_caller]
fn of_image(image: &str, variables: &str) -> BTreeSet<&'static str> {
    let text = format!("services:\n  p:\n    image: {image}\n    environment: {{{variables}}}\n");
    allowed(&loaded(&migrated(&text, None).unwrap()))
}

#[test]
fn forks_are_read_by_their_own_tables() {
    let all = "CONTAINERS: 1, POST: 1";
    let tecnativa = of_image("need4swede/docker-socket-proxy", all);
    assert!(tecnativa.contains("ContainerDelete") && tecnativa.contains("PutContainerArchive"));
    // No DELETE and no PUT by POST.
    let open = of_image("fluencelabs/docker-socket-proxy", all);
    assert!(
        open.contains("ContainerCreate") && !open.contains("ContainerDelete") && !open.contains("PutContainerArchive")
    );
    let open = of_image("fluencelabs/docker-socket-proxy", "CONTAINERS: 1, POST: 1, DELETE: 1");
    assert!(open.contains("ContainerDelete") && !open.contains("ImageDelete"));
    let open = of_image("fluencelabs/docker-socket-proxy", "CONTAINERS_START: 1, POST: 1, IMAGES_DELETE: 1");
    assert!(open.contains("ContainerStart") && !open.contains("ContainerStop") && !open.contains("ImageDelete"));
    let open = of_image("zoeyvid/docker-socket-proxy", "ALLOW_POWER: 1, POST: 1");
    assert!(open.contains("ContainerKill") && !open.contains("ContainerCreate"));
    assert!(!of_image("zoeyvid/docker-socket-proxy", "ALLOW_POWER: 1").contains("ContainerKill"));
    let text = "services:\n  p:\n    image: zoeyvid/docker-socket-proxy\n    environment:\n      NOPOST: 1\n";
    check_error(text, None, "standard input:5:15: NOPOST: it opens every read and closes every write");
    // POST means nothing there, and only 1 is on.
    let open =
        of_image("mjmccans/docker-socket-proxy", "CONTAINERS: 1, POST: 1, CONTAINERS_START: 1, NETWORKS_CONNECT: 1");
    assert!(open.contains("ContainerStart") && open.contains("ContainerList") && open.contains("NetworkDisconnect"));
    assert!(!open.contains("ContainerStop") && !open.contains("ContainerCreate") && !open.contains("NetworkConnect"));
    assert!(!of_image("mjmccans/docker-socket-proxy", "IMAGES: 2").contains("ImageList"));
    let text =
        "services:\n  p:\n    image: nextcloud/aio-docker-socket-proxy\n    environment: {NC_HAPROXY_PASSWORD: x}\n";
    let written = check(
        text,
        "unix:///var/run/docker.sock",
        &["tcp://0.0.0.0:2375"],
        &["SystemPing", "ImageInspect", "ImageCreate", "ExecStart"],
    );
    check_parts(&written, &["#  - ContainerStart ", "names begin with nc_app_ only", "dockveil asks for no password"]);
}

#[test]
fn an_unknown_image_is_read_as_the_operator_says() {
    let text = "services:\n  web:\n    image: nginx\n  p:\n    image: ghcr.io/me/docker-socket-proxy:2\n    environment: \
                {CONTAINERS: 1}\n";
    check_error(text, None, "\"ghcr.io/me/docker-socket-proxy:2\" is no known socket proxy");
    let run_as = |text: &str, service: Option<&str>, proxy: &str| {
        let service = service.map(ToOwned::to_owned);
        run_with(&cli::MigrateArgs { file: None, service, proxy: Some(proxy.to_owned()) }, text)
    };
    assert!(allowed(&loaded(&run_as(text, None, "tecnativa").unwrap())).contains("ContainerLogs"));
    assert!(!allowed(&loaded(&run_as(text, None, "linuxserver").unwrap())).contains("ContainerLogs"));
    // The name of its image says nothing, but it has the socket.
    let text = text.replace("ghcr.io/me/docker-socket-proxy:2", "me/p").replace(
        "{CONTAINERS: 1}",
        "{CONTAINERS: 1}\n    \
                volumes: [/var/run/docker.sock:/var/run/docker.sock]",
    );
    assert!(run_as(&text, None, "tecnativa").is_ok() && run_as(&text, Some("p"), "tecnativa").is_ok());
    assert!(run_as(&text, Some("x"), "tecnativa").unwrap_err()[0].contains("expected one of web, p"));
    assert!(run_as("CONTAINERS=1\n", None, "tecnativa").is_ok());
    assert!(run_as("CONTAINERS=1\n", None, "tecnatva").unwrap_err()[0].contains("--as: unknown proxy"));
}

#[test]
fn rules_of_cetusguard_are_read() {
    let written = check_file(
        "cetusguard.yaml",
        &["tcp://[::]:2375"],
        &[
            "SystemPing",
            "SystemVersion",
            "SystemInfo",
            "SystemEvents",
            "ContainerList",
            "ContainerInspect",
            "ContainerRestart",
        ],
    );
    check_parts(
        &written,
        &[
            r#"- {ContainerRestart: {only: [{name: "web"}]}}  # POST %API_PREFIX_CONTAINERS%/web/restart"#,
            "# GET %API_PREFIX_CONTAINERS%/json",
            "clients may use any API version, and Podman's own API (libpod) is refused",
        ],
    );
    let written = migrated(&file("rules.list"), None).unwrap();
    let config = loaded(&written);
    assert_eq!(config.listeners[0].address.to_string(), "tcp://127.0.0.1:2375");
    let open = allowed(&config);
    assert!(open.contains("ContainerDelete") && open.contains("ImageInspect") && !open.contains("ImageDelete"));
    check_error("GET /a(\n", None, "standard input:1: bad pattern \"/a(\"");
    let text = file("cetusguard.yaml").replace("/web/restart", "/(");
    check_error(&text, None, "standard input:17: bad pattern");
    let text = file("cetusguard.yaml").replace("CETUSGUARD_LOG_LEVEL", "CETUSGUARD_FRONTEND_TLS_CACERT");
    let written = migrated(&text, None).unwrap();
    assert_eq!(loaded(&written).listeners[0].address.to_string(), "tcp://127.0.0.1:2375");
    check_parts(&written, &["until they are added, it listens on loopback only"]);
}

#[test]
fn rules_of_sockguard_are_read() {
    let written = migrated(&file("sockguard.yaml"), None).unwrap();
    let config = loaded(&written);
    let listeners: Vec<(String, &str)> =
        config.listeners.iter().map(|one| (one.address.to_string(), one.policy.name())).collect();
    assert_eq!(
        listeners,
        [("unix:///var/run/ci.sock".to_owned(), "migrated-ci"), ("tcp://0.0.0.0:2375".to_owned(), "migrated")]
    );
    assert_eq!(allowed(&config), BTreeSet::from(["ContainerInspect", "ContainerStart"]));
    let open: BTreeSet<&str> = config.listeners[1].policy.operations().map(|operation| operation.id).collect();
    assert_eq!(open, BTreeSet::from(["SystemPing", "SystemPingHead", "ContainerList", "ImageInspect", "ImageList"]));
    check_parts(
        &written,
        &[
            "    per_client: {connections: 16, requests: {rate: 8/s, burst: 16}}",
            "clients.profiles.limits: every request counts once",
            "#  - ContainerCreate   # POST /containers/create; was open for some requests only",
            "#  - ContainerInspect          # GET /containers/**; was closed for some names, such as vault",
        ],
    );
    let text = file("sockguard.yaml").replace("action: deny\n    reason", "action: dney\n    reason");
    check_error(&text, None, "standard input:38:5: found the action \"dney\"");
    for (rate, expected) in [
        ("tokens_per_second: 0.5", "per_client: {connections: 16, requests: {rate: 30/m, burst: 16}}"),
        ("tokens_per_second: 0.01", "per_client: {connections: 16, requests: {rate: 36/h, burst: 16}}"),
        ("tokens_per_second: 0.0001", "per_client: {connections: 16, requests: {rate: 1/h, burst: 16}}"),
        ("tokens_per_second: 2.5", "per_client: {connections: 16, requests: {rate: 150/m, burst: 16}}"),
    ] {
        let written = migrated(&file("sockguard.yaml").replace("tokens_per_second: 8", rate), None).unwrap();
        check_parts(&written, &[expected]);
        let limits = loaded(&written).listeners[0].limits.per_client;
        assert_eq!((limits.connections, limits.requests.is_some()), (Some(16), true), "{rate}");
    }
    // Without a file: the variables of Tecnativa's proxy, as sockguard reads them.
    let open =
        of_image("codeswhat/sockguard", "CONTAINERS: \"yes\", ALLOW_START: 1, SOCKGUARD_LISTEN_ADDRESS: \":2375\"");
    assert!(open.contains("ContainerStart") && open.contains("ContainerTop") && !open.contains("ContainerStop"));
    let text = "services:\n  p:\n    image: codeswhat/sockguard\n    volumes: [\"./s.yaml:/etc/sockguard/sockguard.yaml:ro\"]\n";
    let written = migrated(text, None).unwrap();
    assert!(allowed(&loaded(&written)).is_empty());
    check_parts(&written, &["./s.yaml: was not read"]);
}

#[test]
fn errors_name_the_line() {
    check_error("CONTAINERS=1\n\nLOG_LEVEL=loud\n", None, "standard input:3: LOG_LEVEL: found \"loud\"");
    let text = "services:\n  p:\n    image: tecnativa/docker-socket-proxy\n    environment:\n      - LOG_LEVEL=loud\n";
    check_error(text, None, "standard input:5:9: LOG_LEVEL: found \"loud\"");
    check_error(
        "docker run \\\n  -e LOG_LEVEL=loud \\\n  tecnativa/docker-socket-proxy\n",
        None,
        "standard input:2: LOG_LEVEL",
    );
    check_error("-allowGET=/version\n-allowPOST=(\n", None, "standard input:2: bad pattern \"(\" for POST");
    check_error("SP_ALLOW_GET=/version\nSP_ALLOW_GETS=x\n", None, "standard input:2: unknown variable SP_ALLOW_GETS");
    check_error("PROXY_URL=http://a\nPORT=x\n", None, "standard input:2: PORT:");
    check_error("{\"services\": {\n", None, "standard input:2");
}
