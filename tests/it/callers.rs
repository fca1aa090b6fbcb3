//! Which policy a connection has: by the user or the group of the process, or by the address. No line, no answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dockveil::api::{OPERATIONS, Operation};
use dockveil::cli::{ConfigFiles, Environment, ServeArgs};
use dockveil::config::{ByteLimit, Config};
use dockveil::socket::Address;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::explain::profile_of;
use crate::harness::{Ignored, Outcome, Test, tests};
use crate::support::authority::Authority;
use crate::support::client::{PATIENCE, get, read_until, status};
use crate::support::daemon::{Daemon, Reply, handing, json, with_status};
use crate::support::program::{Program, command, free_port};
use crate::support::proxy::{Bench, Folder};

pub(crate) const TESTS: &[Test] = tests![
    a_process_gets_the_policy_of_the_first_line_that_names_it,
    a_process_gets_the_policy_of_its_supplementary_groups,
    a_connection_gets_the_policy_of_its_address,
    a_client_that_no_line_names_is_denied_whatever_it_asks_for,
    the_line_of_an_exchange_names_the_client,
    a_container_gets_the_policy_that_its_labels_and_names_select,
    an_address_that_went_to_another_container_is_noticed,
    what_a_container_sent_before_it_stopped_is_no_request_of_the_next_one,
    a_client_that_is_gone_without_a_word_is_not_the_container_that_has_its_address,
    a_client_whose_container_is_not_known_is_denied,
    clients_that_are_denied_do_not_keep_the_engine_busy,
    a_container_with_long_labels_keeps_no_other_from_its_policy,
    clients_that_are_looked_up_again_and_again_keep_no_other_waiting,
    who_is_looked_up_during_a_reload_has_what_is_in_force_after_it,
    neither_of_two_clients_takes_what_the_other_may_have,
    neither_of_two_users_takes_what_the_other_may_have,
    an_error_in_clients_is_exit_78_with_its_place
];

/// Two profiles of which each allows what the other does not.
const PROFILES: &str = "profiles:\n  - {profile: lists, allow: [Ping, ContainerList]}\n  - {profile: inspects, allow: [Ping, ContainerInspect]}\n";
const LIST: &str = "/containers/json";
const INSPECT: &str = "/containers/web/json";

/// The configuration that a file says.
pub(crate) fn loaded(folder: &Folder, text: &str) -> Config {
    let path = folder.path("dockveil.yaml");
    std::fs::write(&path, text).unwrap();
    let files = ConfigFiles { config: Some(path), ..ConfigFiles::default() };
    let arguments = ServeArgs { files, ..ServeArgs::default() };
    Config::load(&arguments, &Environment::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// A program whose clients are these, at its only listener; at `listen` if it is not a Unix socket.
fn bench(listen: Option<&str>, clients: &str) -> Bench {
    Bench::with(
        |_| json("[]"),
        |config| {
            let folder = Folder::new();
            let Address::Unix(socket) = config.listeners[0].address.clone() else { panic!("a Unix socket") };
            let listen = listen.map_or(format!("unix://{}", socket.display()), str::to_owned);
            let text =
                format!("listeners:\n  - listen: {listen}\n    hosts: [\"*\"]\n    clients: {clients}\n{PROFILES}");
            config.listeners = loaded(&folder, &text).listeners;
        },
    )
}

/// The statuses of a list and of an inspection.
fn statuses(mut ask: impl FnMut(&str) -> String) -> [u16; 2] {
    [LIST, INSPECT].map(|target| status(&ask(target)))
}

const LISTS: [u16; 2] = [200, 403];
const INSPECTS: [u16; 2] = [403, 404];
const NEITHER: [u16; 2] = [403, 403];

fn a_process_gets_the_policy_of_the_first_line_that_names_it() {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let (other_uid, other_gid) = (uid + 1, gid + 1);
    for (clients, expected) in [
        (format!("[{{uid: {uid}, profile: lists}}]"), LISTS),
        (format!("[{{gid: {gid}, profile: inspects}}]"), INSPECTS),
        (format!("[{{uid: {uid}, gid: {gid}, profile: lists}}]"), LISTS),
        (format!("[{{uid: {uid}, profile: lists}}, {{gid: {gid}, profile: inspects}}]"), LISTS),
        (format!("[{{gid: {gid}, profile: inspects}}, {{uid: {uid}, profile: lists}}]"), INSPECTS),
        (format!("[{{uid: {other_uid}, profile: lists}}, {{gid: {gid}, profile: inspects}}]"), INSPECTS),
        (format!("[{{uid: {uid}, gid: {other_gid}, profile: lists}}]"), NEITHER),
        (format!("[{{uid: {other_uid}, gid: {gid}, profile: lists}}]"), NEITHER),
        (format!("[{{uid: {other_uid}, profile: lists}}, {{gid: {other_gid}, profile: inspects}}]"), NEITHER),
    ] {
        let bench = bench(None, &clients);
        assert_eq!(statuses(|target| bench.ask(get(target))), expected, "{clients}");
        let facts = [format!("uid={uid}"), format!("gid={gid}")];
        assert_eq!(explained("unix:///run/a", &clients, &facts), expected, "{clients}");
    }
}

/// What `explain` says of a client of a listener.
fn explained(listen: &str, clients: &str, facts: &[String]) -> [u16; 2] {
    let folder = Folder::new();
    let path = folder.path("dockveil.yaml");
    let text = format!("listeners:\n  - listen: {listen}\n    hosts: [\"*\"]\n    clients: {clients}\n{PROFILES}");
    std::fs::write(&path, text).unwrap();
    match profile_of(&path, facts).as_deref() {
        Some("lists") => LISTS,
        Some("inspects") => INSPECTS,
        None => NEITHER,
        Some(other) => panic!("{other}"),
    }
}

/// A process of another user with supplementary groups, which curl is.
fn a_process_gets_the_policy_of_its_supplementary_groups() -> Outcome {
    if !rustix::process::geteuid().is_root() {
        return Err(Ignored::Missing("a process of another user needs root".to_owned()));
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) < (Some(6), Some(5)) {
        return Err(Ignored::Missing(format!("Linux {release} does not say which process has connected")));
    }
    let bench = Bench::with(
        |_| json("[]"),
        |config| {
            let folder = Folder::new();
            let Address::Unix(socket) = config.listeners[0].address.clone() else { panic!("a Unix socket") };
            let text = format!(
                "listeners:\n  - listen: unix://{}\n    mode: \"0666\"\n    clients: [{{gid: 991, profile: lists}}, {{gid: 992, \
                 profile: inspects}}]\n{PROFILES}",
                socket.display()
            );
            config.listeners = loaded(&folder, &text).listeners;
        },
    );
    let Address::Unix(socket) = bench.addresses()[0].clone() else { panic!("a Unix socket") };
    for (groups, expected) in
        [("990,991", LISTS), ("992,4", INSPECTS), ("992,991", LISTS), ("990", NEITHER), ("1991", NEITHER)]
    {
        let ask = |target: &str| {
            let curl = ["curl", "--silent", "--include", "--max-time", "10", "--unix-socket", socket.to_str().unwrap()];
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "1000", "--regid", "1000", "--groups", groups]).args(curl);
            let output = command.arg(format!("http://d{target}")).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(statuses(ask), expected, "{groups}");
    }
    Ok(())
}

/// A connection from an address of this machine.
pub(crate) fn connect_from(source: &str, server: SocketAddr) -> TcpStream {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let client = socket(family, SocketType::STREAM, None).unwrap();
    bind(&client, &SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
    connect(&client, &server).unwrap();
    let client = TcpStream::from(client);
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// Sends one request from an address of this machine, and reads to the end.
pub(crate) fn ask_from(source: &str, server: SocketAddr, target: &str) -> String {
    let mut client = connect_from(source, server);
    client.write_all(format!("GET {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

fn a_connection_gets_the_policy_of_its_address() {
    const CLIENTS: &str =
        "[{address: 127.0.0.2, profile: inspects}, {address: [127.0.0.0/30, \"::1\"], profile: lists}]";
    // A listener for both families sees addresses of IPv4 as those of IPv6.
    for (listen, server) in
        [("tcp://127.0.0.1:0", "127.0.0.1"), ("tcp://[::]:0", "127.0.0.1"), ("tcp://[::1]:0", "::1")]
    {
        let bench = bench(Some(listen), CLIENTS);
        let Address::Tcp { port, .. } = bench.addresses()[0] else { panic!("no port") };
        let server = SocketAddr::new(server.parse().unwrap(), port);
        let sources: &[(&str, [u16; 2])] = if server.is_ipv4() {
            &[("127.0.0.1", LISTS), ("127.0.0.2", INSPECTS), ("127.0.0.3", LISTS), ("127.0.0.4", NEITHER)]
        } else {
            &[("::1", LISTS)]
        };
        for (source, expected) in sources {
            assert_eq!(statuses(|target| ask_from(source, server, target)), *expected, "{source} at {listen}");
            assert_eq!(explained(listen, CLIENTS, &[format!("address={source}")]), *expected, "{source} at {listen}");
        }
    }
}

/// A request for an operation, with names where its path has them.
fn request(operation: &Operation) -> String {
    let path: Vec<&str> =
        operation.template.split('/').map(|part| if part.starts_with('{') { "a" } else { part }).collect();
    format!("{} {} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n", operation.method.as_str(), path.join("/"))
}

fn a_client_that_no_line_names_is_denied_whatever_it_asks_for() {
    let other = rustix::process::getuid().as_raw() + 1;
    let folder = Folder::new();
    let bench = Bench::with(
        |request| panic!("it reached the daemon: {request}"),
        |config| {
            let Address::Unix(socket) = config.listeners[0].address.clone() else { panic!("a Unix socket") };
            let clients = format!("[{{uid: {other}, profile: everything}}]");
            let text = format!(
                "listeners:\n  - listen: unix://{}\n    clients: {clients}\nprofiles: [{{profile: everything, allow: all, show: all}}]\n",
                socket.display()
            );
            config.listeners = loaded(&folder, &text).listeners;
        },
    );
    let unknown = ["GET /nothing", "GET /", "OPTIONS /info", "GET /v9.99/info", "GET /containers/a%2fb/json"]
        .map(|line| format!("{line} HTTP/1.1\r\nHost: d\r\n\r\n"));
    // All over one connection: it stays as denied as it was.
    let mut client = bench.client();
    for request in OPERATIONS.iter().map(request).chain(unknown) {
        client.send(&request);
        let answer = client.message(request.starts_with("HEAD"));
        assert_eq!(status(&answer), 403, "{request}: {answer}");
        assert!(!answer.to_ascii_lowercase().contains("api-version"), "{answer}");
        if !request.starts_with("HEAD") {
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            assert_eq!(
                body, "{\"message\":\"denied by policy: no line of `clients` names this client\"}\n",
                "{request}"
            );
        }
    }
    // What is malformed is refused as such, and says as little.
    let answer = bench.ask("GET /info HTTP/1.1 \r\n\r\n");
    assert_eq!(status(&answer), 400);
    assert!(!answer.to_ascii_lowercase().contains("api-version"), "{answer}");
}

fn the_line_of_an_exchange_names_the_client() {
    let folder = Folder::new();
    let _daemon = crate::support::daemon::Daemon::start(&folder.path("engine"), |_| json("[]"));
    let uid = rustix::process::getuid().as_raw();
    let [engine, listener, other] = ["engine", "listener", "other"].map(|name| folder.path(name).display().to_string());
    let text = format!(
        "upstream: unix://{engine}\nlisteners:\n  - listen: unix://{listener}\n    clients: [{{uid: {uid}, profile: lists}}]\n  - listen: unix://{other}\n    clients: [{{uid: {}, profile: lists}}]\n{PROFILES}",
        uid + 1
    );
    std::fs::write(folder.path("dockveil.yaml"), text).unwrap();
    let config = folder.path("dockveil.yaml");
    let program = Program::start(crate::support::program::command(&[], &["--config", config.to_str().unwrap()]));
    program.listening();
    let name = format!("client=\"uid {uid} pid {}\"", std::process::id());
    for (socket, request, part) in [
        (&listener, get(LIST), " decision=filter status=200 "),
        (&listener, get("/nothing"), "decision=deny status=404 "),
        (&listener, "GET /info HTTP/1.1 \r\n\r\n".to_owned(), "decision=deny status=400 "),
        (
            &other,
            get(LIST),
            "denied=\"no line of `clients` names this client\" opened_by=\"a line of `clients`\" path=/containers/json client=",
        ),
    ] {
        let mut client = crate::support::client::Client::connect(socket.as_ref());
        client.send(&request);
        client.message(false);
        let line = program.line_with("msg=\"exchange\"");
        assert!(line.contains(&name) && line.contains(part), "{request}: {line}");
    }
}

fn an_error_in_clients_is_exit_78_with_its_place() {
    let folder = Folder::new();
    let path = folder.path("dockveil.yaml");
    let text = "listeners:\n  - listen: unix:///run/a\n    clients:\n      - {uuid: 0, profile: dashboard}\n      - {uid: 0, profile: dashbord}\n";
    std::fs::write(&path, text).unwrap();
    let output =
        crate::support::program::command(&[], &["check", "--config", path.to_str().unwrap()]).output().unwrap();
    let path = path.display();
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!(
            "{path}:4:10: unknown key \"uuid\", did you mean \"uid\"?\n{path}:5:27: unknown profile \"dashbord\", did you mean \
             \"dashboard\"?\ndockveil: 2 errors in the configuration\n"
        )
    );
}

/// A container of a list, with an address.
fn container(id: char, name: &str, address: &str, labels: &str) -> String {
    let id = id.to_string().repeat(64);
    format!(
        "{{\"Id\":\"{id}\",\"Names\":[\"/{name}\"],\"Image\":\"{name}\",\"Labels\":{{{labels}}},\"State\":\"running\",\"NetworkSettings\":{{\"Networks\":{{\"n\":{{\"IPAddress\":\"{address}\",\"GlobalIPv6Address\":\"\"}}}}}}}}"
    )
}

/// A program at a port, whose daemon lists these containers.
fn among(list: impl Fn() -> Reply + Send + Sync + 'static, clients: &str) -> (Bench, SocketAddr) {
    answering(move |_| list(), clients)
}

/// A program at a port, whose daemon answers so, with these clients and what else a listener has.
fn answering(answer: impl Fn(&str) -> Reply + Send + Sync + 'static, clients: &str) -> (Bench, SocketAddr) {
    let bench = Bench::with(answer, |config| {
        let folder = Folder::new();
        let text = format!(
            "listeners:\n  - listen: tcp://127.0.0.1:0\n    hosts: [\"*\"]\n    clients: {clients}\n{PROFILES}"
        );
        config.listeners = loaded(&folder, &text).listeners;
        config.limits.element = ByteLimit::new(16 << 20);
    });
    let Address::Tcp { port, .. } = bench.addresses()[0] else { panic!("no port") };
    (bench, SocketAddr::new("127.0.0.1".parse().unwrap(), port))
}

const OTHERS: &str = "{address: 127.0.0.0/8, profile: lists}";

/// What an operator says of the containers at these addresses.
const DESCRIBED: [(&str, &str); 4] = [
    ("127.0.0.2", "name=web"),
    ("127.0.0.3", "label=dockveil.profile=inspects"),
    ("127.0.0.4", "label=dockveil.profile=everything"),
    ("127.0.0.6", "none"),
];

fn a_container_gets_the_policy_that_its_labels_and_names_select() {
    let containers = [
        container('a', "web", "127.0.0.2", "\"com.docker.compose.project\":\"shop\""),
        container('b', "db", "127.0.0.3", "\"dockveil.profile\":\"inspects\""),
        container('c', "cache", "127.0.0.4", "\"dockveil.profile\":\"everything\""),
        container('d', "one", "127.0.0.5", ""),
        container('e', "two", "127.0.0.5", ""),
    ];
    let list = format!("[{}]", containers.join(","));
    for (clients, expected) in [
        ("[{container: {project: shop}, profile: lists}]", [LISTS, NEITHER, NEITHER, NEITHER, NEITHER]),
        ("[{container: {name: web}, profile: inspects}]", [INSPECTS, NEITHER, NEITHER, NEITHER, NEITHER]),
        ("[{container: {name: we}, profile: inspects}]", [NEITHER, NEITHER, NEITHER, NEITHER, NEITHER]),
        // The label names one of the profiles that are listed, and no other.
        (
            "[{container: {label: dockveil.profile}, profiles: [lists, inspects]}]",
            [NEITHER, INSPECTS, NEITHER, NEITHER, NEITHER],
        ),
        ("[{container: {label: dockveil.profile}, profiles: [lists]}]", [NEITHER, NEITHER, NEITHER, NEITHER, NEITHER]),
        ("[{container: {label: dockveil.profile}, profile: lists}]", [NEITHER, LISTS, LISTS, NEITHER, NEITHER]),
        (
            "[{container: {project: shop}, address: 127.0.0.9, profile: lists}]",
            [NEITHER, NEITHER, NEITHER, NEITHER, NEITHER],
        ),
        // A client outside of containers goes on to the next line. One of two containers does not.
        (
            &format!("[{{container: {{project: shop}}, profile: inspects}}, {OTHERS}]"),
            [INSPECTS, LISTS, LISTS, NEITHER, LISTS],
        ),
    ] {
        let list = list.clone();
        let (_bench, server) = among(move || json(&list), clients);
        for (source, expected) in ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"].iter().zip(expected)
        {
            assert_eq!(statuses(|target| ask_from(source, server, target)), expected, "{source}: {clients}");
            // Which of two containers it is cannot be said.
            if let Some((_, container)) = DESCRIBED.iter().find(|(address, _)| address == source) {
                let mut facts = vec![format!("address={source}"), format!("container={container}")];
                facts.extend((*container == "name=web").then(|| "container=project=shop".to_owned()));
                let found = explained("tcp://127.0.0.1:1", clients, &facts);
                assert_eq!(found, expected, "{facts:?}: {clients}");
            }
        }
    }
}

fn an_address_that_went_to_another_container_is_noticed() {
    let web = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_web = web.clone();
    let list = move || {
        let name = if is_web.load(std::sync::atomic::Ordering::SeqCst) { "web" } else { "other" };
        json(&format!("[{}]", container('a', name, "127.0.0.2", "")))
    };
    let (_bench, server) = among(list, "[{container: {name: web}, profile: lists}]");
    for is_web in [true, false, true] {
        web.store(is_web, std::sync::atomic::Ordering::SeqCst);
        let expected = if is_web { LISTS } else { NEITHER };
        assert_eq!(statuses(|target| ask_from("127.0.0.2", server, target)), expected);
    }
}

/// A container connects, sends a request, and stops. Before the engine says whose the address is, another one has it.
fn what_a_container_sent_before_it_stopped_is_no_request_of_the_next_one() {
    let (asked, is_asked) = std::sync::mpsc::channel::<std::sync::mpsc::Sender<()>>();
    let list = move || {
        let (go_on, wait) = std::sync::mpsc::channel();
        asked.send(go_on).unwrap();
        wait.recv_timeout(PATIENCE).unwrap();
        json(&format!("[{}]", container('a', "web", "127.0.0.2", "")))
    };
    let (bench, server) = among(list, "[{container: {name: web}, profile: inspects}]");
    let mut client = connect_from("127.0.0.2", server);
    client.write_all(get(INSPECT).as_bytes()).unwrap();
    let go_on = is_asked.recv_timeout(PATIENCE).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    // Only now the engine answers. The client has gone before that.
    go_on.send(()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("it is not known which container this client runs in"), "{answer}");
    drop(client);
    let requests = bench.daemon.requests();
    assert!(requests.iter().all(|request| !request.contains("/web/json")), "{requests:?}");
    // One that stays is served.
    let asking = std::thread::spawn(move || ask_from("127.0.0.2", server, INSPECT));
    is_asked.recv_timeout(PATIENCE).unwrap().send(()).unwrap();
    // The daemon says the same of whatever it is asked.
    is_asked.recv_timeout(PATIENCE).unwrap().send(()).unwrap();
    assert!(!asking.join().unwrap().contains("denied by policy"));
}

/// Sends a request from 127.0.0.2. Told to, it vanishes: as for a container that has lost its network, nothing is sent for its
/// connection any more, while what has its address knows of none.
const VANISHING: &str = "\
import socket, ssl, sys
client = socket.socket()
client.bind(('127.0.0.2', 0))
client.connect(('127.0.0.1', int(sys.argv[1])))
if sys.argv[2] == 'tls':
    client = ssl._create_unverified_context().wrap_socket(client)
client.sendall(b'GET /containers/web/json HTTP/1.1\\r\\nHost: d\\r\\n\\r\\n')
if sys.stdin.readline() == 'vanish\\n':
    client.setsockopt(socket.IPPROTO_TCP, 19, 1)
    client.close()
print('done', flush=True)
sys.stdin.readline()
";

/// Its socket is held by somebody else, so that nothing ends it, and the engine takes its time.
fn a_client_that_is_gone_without_a_word_is_not_the_container_that_has_its_address() -> Outcome {
    if !rustix::process::geteuid().is_root() {
        return Err(Ignored::Missing("a connection that vanishes needs root".to_owned()));
    }
    for listener in ["plain", "tls"] {
        let (asked, is_asked) = std::sync::mpsc::channel::<std::sync::mpsc::Sender<()>>();
        let answer = move |_: &str| {
            let (go_on, wait) = std::sync::mpsc::channel();
            let _ = asked.send(go_on);
            let _ = wait.recv_timeout(PATIENCE);
            json(&format!("[{}]", container('a', "web", "127.0.0.2", "")))
        };
        let bench = Bench::with(answer, |config| {
            let (folder, identity) = (Folder::new(), Authority::new().server());
            std::fs::write(folder.path("cert.pem"), identity.certificate).unwrap();
            std::fs::write(folder.path("key.pem"), identity.key).unwrap();
            let tls = if listener == "tls" { "    tls: {certificate: cert.pem, key: key.pem}\n" } else { "" };
            let text = format!(
                "listeners:\n  - listen: tcp://127.0.0.1:0\n    hosts: [\"*\"]\n{tls}    clients: [{{container: {{name: web}}, \
                 profile: inspects}}]\n{PROFILES}"
            );
            config.listeners = loaded(&folder, &text).listeners;
        });
        let Address::Tcp { port, .. } = bench.addresses()[0] else { panic!("no port") };
        for order in ["vanish", "stay"] {
            let mut python = Command::new("python3");
            python.args(["-c", VANISHING, &port.to_string(), listener]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let started = python.spawn();
            let Ok(mut client) = started else { return Err(Ignored::Missing("no python3 on this machine".to_owned())) };
            let (mut input, output) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
            let go_on = is_asked.recv_timeout(PATIENCE).unwrap();
            writeln!(input, "{order}").unwrap();
            let mut done = String::new();
            BufReader::new(output).read_line(&mut done).unwrap();
            assert_eq!(done, "done\n", "{listener} {order}");
            std::thread::sleep(Duration::from_millis(600));
            go_on.send(()).unwrap();
            // The request itself.
            let goes_up = is_asked.recv_timeout(Duration::from_secs(if order == "vanish" { 4 } else { 20 }));
            assert_eq!(goes_up.is_ok(), order == "stay", "{listener} {order}");
            drop((goes_up, input));
            client.wait().unwrap();
        }
    }
    Ok(())
}

fn a_client_whose_container_is_not_known_is_denied() {
    let clients = format!("[{{container: {{name: web}}, profile: inspects}}, {OTHERS}]");
    let element = container('a', "web", "127.0.0.2", "");
    let answers: [(&str, Reply); 4] = [
        ("an error", with_status("500 Internal Server Error", "{\"message\":\"x\"}")),
        ("no list", json("{}")),
        ("half a list", json(&format!("[{element},{{]"))),
        ("an element that cannot be read", json(&format!("[{element},{{\"NetworkSettings\":1}}]"))),
    ];
    for (what, answer) in answers {
        let Reply::Keep(bytes) = answer else { panic!("{what}") };
        let (_bench, server) = among(move || Reply::Keep(bytes.clone()), &clients);
        // The last line would name it.
        for source in ["127.0.0.2", "127.0.0.3"] {
            let answer = ask_from(source, server, LIST);
            assert_eq!(status(&answer), 403, "{what}: {answer}");
            assert!(answer.contains("it is not known which container this client runs in"), "{answer}");
            assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
        }
    }
    // A process that the engine does not know, and one that is in no container.
    let bench = bench(None, "[{container: {name: web}, profile: lists}]");
    assert_eq!(statuses(|target| bench.ask(get(target))), NEITHER);
}

/// From an address of no container. Who the client is, is looked up for the first request of each connection.
fn clients_that_are_denied_do_not_keep_the_engine_busy() {
    let (element, asked) = (container('a', "web", "127.0.0.2", ""), Arc::new(AtomicUsize::new(0)));
    let (count, engine) = (asked.clone(), std::sync::Mutex::new(()));
    let list = move || {
        // One list at a time.
        let _busy = engine.lock().unwrap();
        count.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(20));
        json(&format!("[{element}]"))
    };
    let (_bench, server) = among(list, "[{container: {name: web}, profile: lists}]");
    let silent: Vec<TcpStream> = (0..100).map(|_| connect_from("127.0.0.3", server)).collect();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(asked.load(Ordering::Relaxed), 0, "nothing has been requested");
    let begun = Instant::now();
    let (is_over, denied) = (AtomicBool::new(false), AtomicUsize::new(0));
    let served: Vec<(u16, Duration)> = std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(status(&ask_from("127.0.0.3", server, LIST)), 403);
                    denied.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut served = Vec::new();
        while begun.elapsed() < Duration::from_secs(3) {
            let asked = Instant::now();
            served.push((status(&ask_from("127.0.0.2", server, LIST)), asked.elapsed()));
        }
        is_over.store(true, Ordering::Relaxed);
        served
    });
    // On a machine that is so busy that an answer is late, a client must show that it is still there.
    let longest = Duration::from_millis(3000 + 2500);
    assert!(served.iter().all(|(status, took)| *status == 200 && *took < longest), "{served:?}");
    // A list counts for five times as long as it takes, and a second may be used up at once, in each worker. Those who are served
    // ask themselves, too.
    let workers = std::thread::available_parallelism().unwrap().get();
    let most = workers * usize::try_from(1 + (begun.elapsed() + Duration::from_secs(1)).as_millis() / 100).unwrap()
        + served.len();
    let (asked, denied) = (asked.load(Ordering::Relaxed), denied.load(Ordering::Relaxed));
    assert!(asked <= most && denied > asked, "{asked} lists of at most {most} for {denied} clients that were denied");
    drop(silent);
}

/// One container has labels of nine megabytes. Its client asks all the time, so it is looked up together with that of another one.
fn a_container_with_long_labels_keeps_no_other_from_its_policy() {
    let long = format!("\"a\":\"{}\"", "b".repeat(9 << 20));
    let list = format!(
        "[{},{}]",
        container('a', "long", "127.0.0.3", &long),
        container('b', "web", "127.0.0.2", "\"c\":\"d\"")
    );
    let answer = move |request: &str| {
        if request.contains("/web/json") { with_status("404 Not Found", "{\"message\":\"none\"}") } else { json(&list) }
    };
    let (_bench, server) = answering(answer, "[{container: {name: web}, profile: inspects}]");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(status(&ask_from("127.0.0.3", server, INSPECT)), 403);
                }
            });
        }
        let answers: Vec<u16> = (0..4).map(|_| status(&ask_from("127.0.0.2", server, INSPECT))).collect();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(answers, [404; 4]);
    });
}

/// From one address, there are always more connections than places, and the engine takes long to say whose they are.
fn clients_that_are_looked_up_again_and_again_keep_no_other_waiting() {
    let element = container('a', "web", "127.0.0.2", "");
    let list = move || {
        std::thread::sleep(Duration::from_millis(1_500));
        json(&format!("[{element}]"))
    };
    let clients =
        "[{address: 127.0.0.9, profile: lists}, {container: {name: web}, profile: lists}]\n    connections: 16";
    let (_bench, server) = among(list, clients);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..250 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let mut client = connect_from("127.0.0.3", server);
                    let _ = client.write_all(get(LIST).as_bytes());
                    let _ = client.read(&mut [0; 1024]);
                    // It is the places that are to be in short supply, and not the processors.
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
        std::thread::sleep(Duration::from_secs(3));
        let took = |source: &str, target: &str| {
            let begun = Instant::now();
            let answer = ask_from(source, server, target);
            (status(&answer), begun.elapsed())
        };
        let pings = [(); 3].map(|()| took("127.0.0.9", "/_ping"));
        let named = took("127.0.0.9", LIST);
        let container = took("127.0.0.2", LIST);
        is_over.store(true, Ordering::Relaxed);
        assert!(pings.iter().all(|(status, took)| *status == 200 && *took < Duration::from_secs(1)), "{pings:?}");
        assert!(named.0 == 200 && named.1 < Duration::from_secs(3), "{named:?}");
        // Its look-up may begin with the next list, and it must show that it is still there.
        assert!(container.0 == 200 && container.1 < Duration::from_secs(8), "{container:?}");
    });
}

/// A reload takes a right away while the engine is asked who the client is.
fn who_is_looked_up_during_a_reload_has_what_is_in_force_after_it() {
    let (asked, is_asked) = std::sync::mpsc::channel::<std::sync::mpsc::Sender<()>>();
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), move |request| {
        if request.contains("/containers/json") {
            let (go_on, wait) = std::sync::mpsc::channel();
            asked.send(go_on).unwrap();
            wait.recv_timeout(PATIENCE).unwrap();
        }
        json(&format!("[{}]", container('a', "web", "127.0.0.2", "")))
    });
    let server = SocketAddr::new("127.0.0.1".parse().unwrap(), free_port());
    let write = |profile: &str| {
        let engine = folder.path("engine").display().to_string();
        let clients = format!("[{{container: {{name: web}}, profile: {profile}}}]");
        let text = format!(
            "upstream: unix://{engine}\nlisteners:\n  - listen: tcp://{server}\n    hosts: [\"*\"]\n    clients: {clients}\n{PROFILES}"
        );
        std::fs::write(folder.path("dockveil.yaml"), text).unwrap();
    };
    write("lists");
    let path = folder.path("dockveil.yaml").display().to_string();
    let program = Program::start(command(&[], &["--config", &path]));
    program.listening();
    let asking = std::thread::spawn(move || ask_from("127.0.0.2", server, LIST));
    let go_on = is_asked.recv_timeout(PATIENCE).unwrap();
    write("inspects");
    program.line_with("configuration reloaded");
    go_on.send(()).unwrap();
    let answer = asking.join().unwrap();
    assert_eq!(status(&answer), 403, "{answer}");
}

const LOGS: &str = "/containers/web/logs?stdout=1&follow=1";
/// What a stream begins with, whose end never comes.
const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
const OF_LOGS: &str = "profiles: [{profile: reads, allow: [Ping, ContainerLogs], show: [identity]}]\n";

/// What a line of `clients` may limit, how much of it the tests allow, and what a client reads that wants more.
const LIMITS: [(&str, usize, u16, &str); 3] = [
    ("connections: 2", 2, 503, "too many connections of this client"),
    ("streams: 1", 1, 503, "too many streams of this client"),
    ("requests: 2/h", 2, 429, "too many requests: 2/h are the limit of this client"),
];

/// Answers lists of containers with `list`, and opens everything else as a stream, which is never ended.
fn streaming(list: &str) -> impl Fn(&str) -> Reply + Send + Sync + 'static {
    let (open, connections) = handing(STREAM);
    let (list, connections) = (list.to_owned(), std::sync::Mutex::new(connections));
    move |request: &str| {
        // The connections are kept until the daemon is gone.
        let _kept = &connections;
        if request.contains("/containers/json") { json(&list) } else { open(request) }
    }
}

/// The clients are told apart by their addresses, or by their containers, one of which has two addresses. That of
/// certificates is in `tls.rs`.
fn neither_of_two_clients_takes_what_the_other_may_have() {
    let list: Vec<String> = [('a', "127.0.0.2"), ('b', "127.0.0.3")]
        .iter()
        .map(|(id, address)| container(*id, "web", address, "\"caller\":\"\""))
        .collect();
    let both = list.join(",").replacen("}}}}", "},\"m\":{\"IPAddress\":\"127.0.0.4\"}}}}", 1);
    for (selector, own, other) in [
        ("address: 127.0.0.0/8", ["127.0.0.2", "127.0.0.2"], "127.0.0.3"),
        ("container: {label: caller}", ["127.0.0.2", "127.0.0.4"], "127.0.0.3"),
    ] {
        for (limit, count, code, refusal) in LIMITS {
            let bench = Bench::with(streaming(&format!("[{both}]")), |config| {
                let folder = Folder::new();
                let text = format!(
                    "listeners:\n  - listen: tcp://127.0.0.1:0\n    hosts: [\"*\"]\n    clients: [{{{selector}, {limit}, profile: \
                     reads}}]\n{OF_LOGS}"
                );
                config.listeners = loaded(&folder, &text).listeners;
            });
            let Address::Tcp { port, .. } = bench.addresses()[0] else { panic!("no port") };
            let server = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
            let open = |source: &str| {
                let mut client = connect_from(source, server);
                client.write_all(get(LOGS).as_bytes()).unwrap();
                let (head, _) = read_until(&mut client, "\r\n\r\n").unwrap();
                let head = String::from_utf8(head).unwrap();
                let rest = if status(&head) == 200 { String::new() } else { ask_from(source, server, LOGS) };
                (client, status(&head), rest)
            };
            let held: Vec<_> = own.iter().cycle().take(count).map(|source| open(source)).collect();
            assert!(held.iter().all(|(_, status, _)| *status == 200), "{selector}, {limit}");
            for source in own {
                let (_, status, rest) = open(source);
                assert!(status == code && rest.contains(refusal), "{selector}, {limit}: {status} {rest}");
            }
            let others: Vec<_> = (0..count).map(|_| open(other)).collect();
            assert!(others.iter().all(|(_, status, _)| *status == 200), "{selector}, {limit}");
            assert_eq!(open(other).1, code, "{selector}, {limit}");
        }
    }
}

/// All processes of a user are one client.
fn neither_of_two_users_takes_what_the_other_may_have() -> Outcome {
    if !rustix::process::geteuid().is_root() {
        return Err(Ignored::Missing("a process of another user needs root".to_owned()));
    }
    let gid = rustix::process::getgid().as_raw();
    for (limit, count, code, refusal) in LIMITS {
        let bench = Bench::with(streaming("[]"), |config| {
            let folder = Folder::new();
            let Address::Unix(socket) = config.listeners[0].address.clone() else { panic!("a Unix socket") };
            let text = format!(
                "listeners:\n  - listen: unix://{}\n    mode: \"0666\"\n    clients: [{{gid: {gid}, {limit}, profile: reads}}]\n{OF_LOGS}",
                socket.display()
            );
            config.listeners = loaded(&folder, &text).listeners;
        });
        let path = bench.folder.path("listener").display().to_string();
        let held: Vec<_> = (0..count)
            .map(|_| {
                let mut client = bench.client();
                client.send(get(LOGS));
                assert_eq!(status(&client.read_until("\r\n\r\n")), 200, "{limit}");
                client
            })
            .collect();
        let ask = |uid: &str| {
            let gid = gid.to_string();
            let mut command = Command::new("setpriv");
            command.args(["--reuid", uid, "--regid", &gid, "--clear-groups", "curl", "--silent", "--include"]);
            // A stream goes on: the head is enough.
            command.args(["--max-time", "1", "--unix-socket", &path, &format!("http://d{LOGS}")]);
            String::from_utf8(command.output().unwrap().stdout).unwrap()
        };
        let same = ask("0");
        assert!(status(&same) == code && same.contains(refusal), "{limit}: {same}");
        assert_eq!(status(&ask("1000")), 200, "{limit}");
        drop(held);
    }
    Ok(())
}
