//! Who gets a connection when there are not enough of them, and what the start makes of the limits of the system.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dockveil::config::{Config, Listener};
use dockveil::server;
use dockveil::socket::{Address, Keepalive, connect_at_once};

use crate::callers::{ask_from, connect_from, loaded};
use crate::harness::{Ignored, Outcome, Test, note, tests};
use crate::support::client::{Client, PATIENCE, get, status};
use crate::support::daemon::{Daemon, Reply, handing, json};
use crate::support::program::{Program, UnreadProgram, between, command, command_after};
use crate::support::proxy::{Bench, Folder, config, policy};

pub(crate) const TESTS: &[Test] = tests![
    the_streams_of_one_listener_leave_slots_to_another_and_to_pings,
    a_listener_may_have_a_limit_of_its_own,
    a_connection_that_waits_longest_for_a_request_gives_way,
    a_client_that_is_turned_away_takes_no_connection_from_another,
    many_requests_that_wait_do_not_keep_a_health_check_waiting,
    halves_of_heads_do_not_keep_a_health_check_waiting,
    connections_to_one_listener_do_not_keep_those_of_another_from_giving_way,
    a_burst_of_connections_is_shared_among_the_workers,
    dead_peers_are_found_by_keepalive_on_both_sides,
    descriptors_are_used_as_far_as_they_go,
    a_socket_in_use_is_recognised_at_once_even_if_its_queue_is_full,
    the_program_serves_whether_or_not_its_output_can_be_written,
    the_directory_of_a_socket_is_open_to_its_owner_only,
    the_default_directory_must_belong_to_its_user_alone
];

/// The head of a stream, whose end never comes.
const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Answers lists at once. Holds everything else open as a stream.
fn streaming() -> impl Fn(&str) -> Reply + Send + Sync + 'static {
    let (open, connections) = handing(STREAM);
    let connections = std::sync::Mutex::new(connections);
    move |request: &str| {
        // The connections are kept until the daemon is gone.
        let _kept = &connections;
        if request.contains("/containers/json") { json("[]") } else { open(request) }
    }
}

/// Opens streams at a socket until one is refused; returns those that are open, and the refusal.
fn hold_streams(path: &Path) -> (Vec<Client>, String) {
    let mut held = Vec::new();
    loop {
        let mut client = Client::connect(path);
        client.send(get("/events"));
        let head = client.read_until("\r\n\r\n");
        if status(&head) != 200 {
            return (held, head + &client.rest());
        }
        held.push(client);
    }
}

/// Sends one request over a new connection and returns the answer.
fn ask(path: &Path, target: &str) -> String {
    let mut client = Client::connect(path);
    client.send(get(target));
    client.0.shutdown(std::net::Shutdown::Write).unwrap();
    client.rest()
}

/// As [`Bench::with`], with a second listener at `other`.
fn two_listeners(change: impl FnOnce(&mut Config)) -> Bench {
    Bench::with(streaming(), |config| {
        let Address::Unix(first) = config.listeners[0].address.clone() else { panic!("a Unix socket") };
        config.listeners.push(Listener::new(Address::Unix(first.with_file_name("other")), policy()));
        change(config);
    })
}

fn the_streams_of_one_listener_leave_slots_to_another_and_to_pings() {
    let bench = two_listeners(|config| config.limits.connections = Some(8));
    let [first, other] = ["listener", "other"].map(|name| bench.folder.path(name));
    let (held, refusal) = hold_streams(&first);
    assert_eq!(held.len(), 6);
    assert!(
        refusal.starts_with("HTTP/1.1 503 ")
            && refusal.contains("too many connections: 8 are the limit of all listeners (limits.connections)"),
        "{refusal}"
    );
    assert!(refusal.contains("retry-after: 1\r\n") && refusal.contains("connection: close\r\n"), "{refusal}");
    assert_eq!(status(&ask(&first, "/containers/json")), 503);
    // The other listener has slots, and pings need none.
    assert_eq!(status(&ask(&other, "/containers/json")), 200);
    let (others, _) = hold_streams(&other);
    assert_eq!(others.len(), 2);
    for path in [&first, &other] {
        let pings = ["/_ping", "/v1.44/_ping"].map(|target| status(&ask(path, target)));
        assert_eq!(pings, [200, 200]);
        let target = format!("unix://{}", path.display());
        assert!(command(&[], &["healthcheck", "--target", &target]).stdout(Stdio::null()).status().unwrap().success());
    }
    // Connections without a request do not shut out a ping either.
    let silent: Vec<UnixStream> = (0..300).map(|_| UnixStream::connect(&first).unwrap()).collect();
    assert_eq!(status(&ask(&first, "/_ping")), 200);
    drop((silent, held));
    assert_eq!(status(&ask(&first, "/containers/json")), 200);
}

fn a_listener_may_have_a_limit_of_its_own() {
    let bench = two_listeners(|config| {
        config.limits.connections = Some(8);
        config.listeners[0].connections = Some(3);
    });
    let (held, refusal) = hold_streams(&bench.folder.path("listener"));
    let (others, _) = hold_streams(&bench.folder.path("other"));
    assert!(refusal.contains("too many connections: 3 in use, the limit of this listener (connections)"), "{refusal}");
    // Two slots are kept for each, and the first has taken one of the others.
    assert_eq!((held.len(), others.len()), (3, 5));
}

/// However its last request arrived: whole, in pieces, or with a target that is rewritten.
fn a_connection_that_waits_longest_for_a_request_gives_way() {
    check_gives_way(|client| {
        client.send(get("/_ping"));
        assert_eq!(status(&client.response()), 200);
    });
    check_gives_way(|client| {
        for piece in ["GET /_pi", "ng HTTP/1.1\r\nHost: a\r\n", "\r\n"] {
            client.send(piece);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(status(&client.response()), 200);
    });
    check_gives_way(|client| {
        client.send("GET /v1.44/containers/json?filters={} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(status(&client.read_until("0\r\n\r\n")), 200);
    });
}

/// Of two idle connections whose clients have asked so, the one that waits longer gives way.
#[track_caller]
fn check_gives_way(ping: fn(&mut Client)) {
    let bench = Bench::with(streaming(), |config| config.limits.connections = Some(2));
    let [mut first, mut second] = [bench.client(), bench.client()];
    ping(&mut second);
    // The client has its answer a moment before the connection waits for the next request.
    std::thread::sleep(Duration::from_millis(50));
    ping(&mut first);
    // There is no slot left, but both of them wait for a request.
    let mut third = bench.client();
    third.send(get("/containers/json"));
    assert_eq!(status(&third.read_until("0\r\n\r\n")), 200);
    assert_eq!(second.rest(), "");
    ping(&mut first);
    // One that has a request in progress keeps its slot.
    first.send(get("/events"));
    assert_eq!(status(&first.read_until("\r\n\r\n")), 200);
    let (held, _) = hold_streams(&bench.folder.path("listener"));
    assert_eq!(held.len(), 1);
}

/// With half a head or half a body, on more connections than it may have or as nobody whom a line names, and again and again.
fn a_client_that_is_turned_away_takes_no_connection_from_another() {
    const HALF_A_HEAD: &str = "GET /containers/json HTTP/1.1\r\nHost: loc";
    const HALF_A_BODY: &str = "POST /containers/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{";
    for keys in
        ["per_client: {connections: 2}, profile: inventory", "clients: [{address: 127.0.0.2, profile: inventory}]"]
    {
        for sent in [HALF_A_HEAD, HALF_A_BODY] {
            check_leaves_connections(keys, sent);
        }
    }
}

/// A listener with 6 connections and these keys serves 127.0.0.2, although 127.0.0.1 has sent this on 30 of its own.
#[track_caller]
fn check_leaves_connections(keys: &str, sent: &str) {
    let bench = Bench::with(
        |_| json("[]"),
        |config| {
            let text =
                format!("listeners: [{{listen: \"tcp://127.0.0.1:0\", hosts: [\"*\"], connections: 6, {keys}}}]");
            config.listeners = loaded(&Folder::new(), &text).listeners;
            // Nothing ends by itself.
            (config.timeouts.head, config.timeouts.idle) = (PATIENCE * 3, PATIENCE * 3);
        },
    );
    let Address::Tcp { port, .. } = bench.addresses()[0] else { panic!("no port") };
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let attack = || {
        let mut client = connect_from("127.0.0.1", server);
        client.write_all(sent.as_bytes()).unwrap();
        client
    };
    let mut held: Vec<TcpStream> = (0..30).map(|_| attack()).collect();
    let deadline = Instant::now() + PATIENCE;
    let mut served = 0;
    while served < 10 {
        // On a busy machine, half a head may take longer to end than a request waits.
        match status(&ask_from("127.0.0.2", server, "/containers/json")) {
            200 => served += 1,
            status => assert!(status == 503 && Instant::now() < deadline, "{status} with {keys} and {sent}"),
        }
        held.extend((0..6).map(|_| attack()));
    }
}

fn many_requests_that_wait_do_not_keep_a_health_check_waiting() {
    /// How many connections may be without a slot, if there are enough descriptors.
    const OVERFLOW: u64 = 2 * 64;
    const WAITING: u64 = 8 * OVERFLOW;
    let bench = Bench::with(streaming(), |config| config.limits.connections = Some(2));
    let path = bench.folder.path("listener");
    let (held, _) = hold_streams(&path);
    let start = Instant::now();
    let waiting: Vec<Client> = (0..WAITING)
        .map(|_| {
            let mut client = Client::connect(&path);
            client.send(get("/events"));
            client
        })
        .collect();
    assert_eq!(status(&ask(&path, "/_ping")), 200);
    // If each of them waited for a second before the next one had its turn, it would be eight.
    assert!(start.elapsed() < Duration::from_secs(WAITING / OVERFLOW - 2), "{:?}", start.elapsed());
    for mut client in waiting {
        assert_eq!(status(&client.rest()), 503);
    }
    drop(held);
}

/// On a listener that limits no client, one connects again and again and never sends more than half a head.
fn halves_of_heads_do_not_keep_a_health_check_waiting() {
    const CONNECTIONS: usize = 1500;
    let bench = Bench::with(
        |_| json("[]"),
        |config| {
            config.limits.connections = Some(10);
            // Nothing ends by itself.
            (config.timeouts.head, config.timeouts.idle) = (PATIENCE * 3, PATIENCE * 3);
        },
    );
    let path = bench.folder.path("listener");
    let held: Vec<Client> = (0..CONNECTIONS)
        .map(|_| {
            let mut client = Client::connect(&path);
            client.send("GET /v1.44/conta");
            client
        })
        .collect();
    let start = Instant::now();
    assert_eq!(status(&ask(&path, "/_ping")), 200);
    let waited = start.elapsed();
    note(&format!("a ping took {waited:?} behind {CONNECTIONS} halves of heads"));
    // With half a second for each of them, 128 at a time, it was more than five.
    assert!(waited < Duration::from_secs(3), "{waited:?}");
    drop(held);
}

fn connections_to_one_listener_do_not_keep_those_of_another_from_giving_way() {
    let bench = two_listeners(|config| {
        config.limits.connections = Some(10);
        config.listeners.iter_mut().for_each(|listener| listener.connections = Some(5));
    });
    let [first, other] = ["listener", "other"].map(|name| bench.folder.path(name));
    let (held, _) = hold_streams(&first);
    assert_eq!(held.len(), 5);
    let ask = || {
        let mut client = Client::connect(&other);
        client.send(get("/containers/json"));
        // The connection stays, and has to give way to another one.
        (status(&client.message(false)), client)
    };
    let mut asked: Vec<(u16, Client)> = (0..5).map(|_| ask()).collect();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                drop(UnixStream::connect(&first));
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        asked.extend((0..15).map(|_| ask()));
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(asked.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200; 20]);
}

/// How many connections are a burst.
const BURST: usize = 64;

/// How many descriptors each epoll instance of a process watches.
fn watched(process: u32) -> BTreeMap<String, usize> {
    let folder = |name: &str| format!("/proc/{process}/{name}");
    let descriptors = fs::read_dir(folder("fd")).unwrap().flatten();
    let epolls =
        descriptors.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.ends_with("anon_inode:[eventpoll]")));
    let count = |name: &str| fs::read_to_string(folder("fdinfo") + "/" + name).unwrap().matches("tfd:").count();
    epolls.map(|entry| entry.file_name().into_string().unwrap()).map(|name| (name.clone(), count(&name))).collect()
}

/// Opens a burst of connections. No worker may have more than 60 % of them.
#[track_caller]
fn check_shares<T>(program: &Program, connect: impl Fn() -> T) {
    let before = watched(program.id());
    let burst: Vec<T> = (0..BURST).map(|_| connect()).collect();
    let deadline = Instant::now() + PATIENCE;
    let shares = loop {
        let now = watched(program.id());
        // A runtime has two descriptors of its instance.
        let more: Vec<usize> = now.iter().map(|(name, count)| count - before.get(name).unwrap_or(&0)).collect();
        if more.iter().sum::<usize>() == 2 * BURST {
            break more;
        }
        assert!(Instant::now() < deadline, "{more:?}");
        std::thread::sleep(Duration::from_millis(5));
    };
    let most = *shares.iter().max().unwrap();
    assert!(most * 10 <= BURST * 6, "{shares:?}");
    drop(burst);
    while watched(program.id()) != before {
        assert!(Instant::now() < deadline, "connections stay open");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn a_burst_of_connections_is_shared_among_the_workers() -> Outcome {
    if std::thread::available_parallelism().unwrap().get() == 1 {
        return Err(Ignored::NotApplicable("there is one worker for one processor".to_owned()));
    }
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = between(&folder);
    command.args(["--listen", &format!("tcp://127.0.0.1:{port}")]);
    let program = Program::start(command);
    program.listening();
    check_shares(&program, || UnixStream::connect(folder.path("listener")).unwrap());
    check_shares(&program, || TcpStream::connect(("127.0.0.1", port)).unwrap());
    Ok(())
}

/// The timer of the connection between two TCP ports of this machine, as its `local` side has it: what it is for (2 for
/// keepalive), and the hundredths of a second until it expires.
fn timer(local: u16, remote: u16) -> Option<(u8, u64)> {
    let ends = |field: &str, port: u16| field.ends_with(&format!(":{port:04X}"));
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (kind, left) = fields[5].split_once(':')?;
        let is_it = ends(fields[1], local) && ends(fields[2], remote);
        is_it.then(|| (u8::from_str_radix(kind, 16).unwrap(), u64::from_str_radix(left, 16).unwrap()))
    })
}

fn dead_peers_are_found_by_keepalive_on_both_sides() {
    #[track_caller]
    fn check(keepalive: Keepalive) {
        let engine = TcpListener::bind("127.0.0.1:0").unwrap();
        let engine_port = engine.local_addr().unwrap().port();
        let local = |port| Address::Tcp { host: "127.0.0.1".to_owned(), port };
        let mut config = config(Path::new("/engine"), Path::new("/listener"));
        (config.upstream, config.listeners[0].address, config.keepalive) =
            (local(engine_port).into(), local(0), keepalive);
        let running = server::start(config).unwrap();
        let Address::Tcp { port, .. } = running.addresses()[0].clone() else { panic!("no port") };
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let client_port = client.local_addr().unwrap().port();
        let (upstream, from) = engine.accept().unwrap();
        let deadline = Instant::now() + PATIENCE;
        for (local, remote) in [(port, client_port), (from.port(), engine_port)] {
            let expected = u8::from(!keepalive.idle.is_zero()) * 2;
            // Another timer may run for a moment.
            let left = loop {
                match timer(local, remote) {
                    Some((kind, left)) if kind == expected => break left,
                    found => assert!(Instant::now() < deadline, "{found:?}"),
                }
                std::thread::sleep(Duration::from_millis(5));
            };
            assert!(left <= keepalive.idle.as_secs() * 100, "{left}");
            assert_eq!(left == 0, keepalive.idle.is_zero());
        }
        drop((client, upstream));
        running.stop();
    }
    check(Keepalive::default());
    check(Keepalive { idle: Duration::from_secs(7), ..Keepalive::default() });
    check(Keepalive { idle: Duration::ZERO, ..Keepalive::default() });
}

fn descriptors_are_used_as_far_as_they_go() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), streaming());
    let [engine, listener] = ["engine", "listener"].map(|name| format!("unix://{}", folder.path(name).display()));
    let arguments = ["--upstream", &engine, "--listen", &listener, "--profile", "dashboard-live"];
    let streams = |limit: &str| {
        let program = Program::start(command_after(limit, &arguments));
        program.listening();
        let (held, refusal) = hold_streams(&folder.path("listener"));
        assert!(refusal.starts_with("HTTP/1.1 503 "), "{refusal}");
        let (ended, log) = program.stop();
        assert!(ended.success() && !log.iter().any(|line| line.contains("cannot accept")), "{log:?}");
        held.len()
    };
    // The number of workers, of which each takes some, depends on the machine.
    let few = streams("ulimit -n 100");
    assert!((8..30).contains(&few), "{few}");
    let more = streams("ulimit -Sn 100 && ulimit -Hn 300");
    assert!((60..130).contains(&more), "{more}");
    let (ended, log) = Program::start(command_after("ulimit -n 30", &arguments)).ended();
    let error = log.last().unwrap();
    assert!(ended.code() == Some(70) && error.contains("the limit of open files is 30"), "{ended}: {error}");
    assert!(!folder.path("listener").exists());
}

fn a_socket_in_use_is_recognised_at_once_even_if_its_queue_is_full() {
    let folder = Folder::new();
    let path = folder.path("listener");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    let mut waiting = Vec::new();
    let error = loop {
        match connect_at_once(&path) {
            Ok(stream) => waiting.push(stream),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    let (ended, log) = Program::between(&folder).ended();
    let error = log.last().unwrap();
    assert!(ended.code() == Some(70) && error.ends_with("another process listens there"), "{ended}: {error}");
    // Its health check ends too.
    let target = format!("unix://{}", path.display());
    let (ended, log) = Program::start(command(&[], &["healthcheck", "--target", &target])).ended();
    assert!(ended.code() == Some(1) && log.concat().contains("queue of connections is full"), "{ended}: {log:?}");
    assert!(path.exists());
}

fn the_program_serves_whether_or_not_its_output_can_be_written() {
    let check = |err: Stdio| {
        let folder = Folder::new();
        let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
        let program = UnreadProgram::start(between(&folder), err);
        let mut client = Client::connect_when_listening(&folder.path("listener"));
        client.send(get("/_ping"));
        assert_eq!(status(&client.response()), 200);
        assert!(program.stop_within(PATIENCE).success());
        assert!(!folder.path("listener").exists());
    };
    // Nobody can read it.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    check(writer.into());
    // It is full, and nobody reads it.
    let (_reader, mut writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    check(writer.into());
    check(fs::File::open("/dev/null").unwrap().into());
}

fn the_directory_of_a_socket_is_open_to_its_owner_only() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let [engine, listener] = ["engine", "a/b/listener"].map(|name| format!("unix://{}", folder.path(name).display()));
    let program = Program::start(command_after("umask 0", &["--upstream", &engine, "--listen", &listener]));
    program.listening();
    let mode = |name: &str| fs::metadata(folder.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(["a", "a/b", "a/b/listener"].map(mode), [0o755, 0o755, 0o660]);
    program.stop();
}

/// Where the default socket is, anybody may have made a directory before.
fn the_default_directory_must_belong_to_its_user_alone() -> Outcome {
    if !rustix::process::geteuid().is_root() {
        return Err(Ignored::Missing("these tests do not run as root".to_owned()));
    }
    const USER: &str = "7003";
    let path = Path::new("/tmp/dockveil-7003");
    let elsewhere = Folder::new();
    // A test that failed may have left it.
    let _ = fs::remove_dir(path).or_else(|_| fs::remove_file(path));
    // It is opened before the port of the other default listener.
    let run = || {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid", USER, "--regid", USER, "--clear-groups", env!("CARGO_BIN_EXE_dockveil")]);
        let ended = setpriv.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    let owned_by = |user| std::os::unix::fs::chown(path, Some(user), Some(user)).unwrap();
    let with_mode = |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let check = |expected: &str| {
        let (code, said) = run();
        let last = said.lines().last().unwrap_or_default();
        let begin =
            "dockveil: cannot listen on unix:///tmp/dockveil-7003/docker.sock: its directory /tmp/dockveil-7003 ";
        assert!(code == Some(70) && last.starts_with(begin) && last.contains(expected), "{expected}: {code:?} {said}");
    };
    fs::create_dir(path).unwrap();
    with_mode(0o777);
    check("belongs to user 0");
    owned_by(7003);
    check("has the mode 0777");
    fs::remove_dir(path).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(""), path).unwrap();
    check("is a link");
    fs::remove_file(path).unwrap();
    Ok(())
}
