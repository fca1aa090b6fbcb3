//! The program as a service: what it tells the service manager, and the sockets that it is passed. `tests/engine/systemd.rs`
//! runs it under systemd itself.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};

use crate::harness::{Test, tests};
use crate::support::client::{Client, PATIENCE, ask_port, get, status};
use crate::support::daemon::{Daemon, json};
use crate::support::program::{Program, command, command_after};
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[Test] = tests![
    the_service_manager_is_told_when_clients_are_served_and_when_not_any_more,
    a_reload_is_told_from_its_start_until_it_is_in_force_and_why_it_failed,
    a_sign_of_life_comes_in_time_and_only_from_the_process_that_is_watched,
    a_listener_takes_the_socket_with_its_address_or_its_name,
    a_socket_that_is_passed_is_never_closed_for_others_nor_removed,
    no_child_inherits_a_socket_that_is_passed,
    what_does_not_fit_is_an_error_of_the_configuration,
    a_count_of_sockets_that_cannot_be_is_an_error_of_the_configuration,
    sockets_of_another_process_are_left_alone,
    a_check_that_fails_is_told,
    a_reload_keeps_the_sockets_that_are_passed
];

/// A service manager that listens for messages.
struct Manager(UnixDatagram);

impl Manager {
    /// At the path `notify` of a folder.
    fn at(folder: &Folder) -> Self {
        let socket = UnixDatagram::bind(folder.path("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next message, as lines.
    #[track_caller]
    fn told(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap().lines().map(str::to_owned).collect()
    }

    /// Whether a message has come already.
    fn is_told(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let told = self.0.recv(&mut [0; 4096]).is_ok();
        self.0.set_nonblocking(false).unwrap();
        told
    }
}

const CONFIG: &str =
    "watch: false\nupstream: unix://%engine\nlisteners: [{listen: unix://%listener, profile: lists}]\n";
const PROFILES: &str = "profiles: [{profile: lists, allow: [Ping, ContainerList]}, {profile: pings, allow: [Ping]}]\n";

/// Writes the configuration, in which `%` stands for the folder.
fn write(folder: &Folder, config: &str) -> String {
    let path = folder.path("dockveil.yaml");
    fs::write(&path, (config.to_owned() + PROFILES).replace('%', &folder.path("").display().to_string())).unwrap();
    path.display().to_string()
}

/// The program with the configuration of a folder, and a service manager that listens there.
fn notifying(folder: &Folder, variables: &[(&str, &str)]) -> Program {
    let config = write(folder, CONFIG);
    let socket = folder.path("notify").display().to_string();
    let variables = [&[("NOTIFY_SOCKET", socket.as_str())], variables].concat();
    Program::start(command(&variables, &["--config", &config]))
}

/// The time by which messages are dated, in microseconds.
fn monotonic() -> u128 {
    let now = clock_gettime(ClockId::Monotonic);
    u128::try_from(now.tv_sec).unwrap() * 1_000_000 + u128::try_from(now.tv_nsec).unwrap() / 1000
}

fn the_service_manager_is_told_when_clients_are_served_and_when_not_any_more() {
    let folder = Folder::new();
    let manager = Manager::at(&folder);
    let program = notifying(&folder, &[]);
    let serving = format!("STATUS=serving unix://{}", folder.path("listener").display());
    assert_eq!(manager.told(), ["READY=1".to_owned(), serving]);
    // No engine is there, but somebody answers.
    let mut client = Client::connect(&folder.path("listener"));
    client.send(get("/containers/json"));
    assert_eq!(status(&client.message(false)), 503);
    program.signal(Signal::TERM);
    assert_eq!(manager.told(), ["STOPPING=1", "EXTEND_TIMEOUT_USEC=11000000", "STATUS=finishing what is in progress"]);
    assert!(program.ended().0.success() && !manager.is_told());
    // One without a path, and one that nobody listens at.
    let name = format!("dockveil-it-{}", std::process::id());
    let other = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    other.set_read_timeout(Some(PATIENCE)).unwrap();
    let config = folder.path("dockveil.yaml").display().to_string();
    let program = Program::start(command(&[("NOTIFY_SOCKET", &format!("@{name}"))], &["--config", &config]));
    assert_eq!(Manager(other).told()[0], "READY=1");
    assert!(program.stop().0.success());
    let program = Program::start(command(&[("NOTIFY_SOCKET", "/nowhere/notify")], &["--config", &config]));
    assert!(program.line_with("cannot be told").contains("level=warn"));
    program.listening();
    assert!(program.stop().0.success());
}

fn a_reload_is_told_from_its_start_until_it_is_in_force_and_why_it_failed() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let manager = Manager::at(&folder);
    let program = notifying(&folder, &[]);
    let serving = manager.told().remove(1);
    let mut client = Client::connect(&folder.path("listener"));
    let mut ask = || {
        client.send(get("/containers/json"));
        status(&client.message(false))
    };
    assert_eq!(ask(), 200);
    let reload = |config: &str| {
        write(&folder, config);
        let before = monotonic();
        program.signal(Signal::HUP);
        let started = manager.told();
        assert_eq!((started[0].as_str(), started[2].as_str()), ("RELOADING=1", "STATUS=reading the configuration"));
        let at: u128 = started[1].strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!((before..=monotonic()).contains(&at), "{before} {at}");
        let mut ended = manager.told();
        assert_eq!((ended.remove(0).as_str(), ended.len()), ("READY=1", 1), "{ended:?}");
        ended.remove(0)
    };
    // As soon as it is told, the next request is decided by the new configuration.
    for (profile, expected) in [("pings", 403), ("lists", 200), ("pings", 403)] {
        assert_eq!(reload(&CONFIG.replace("lists", profile)), serving);
        assert_eq!(ask(), expected);
    }
    let path = folder.path("dockveil.yaml").display().to_string();
    let told = reload(&CONFIG.replace("profile: lists", "profile: \"lots\""));
    assert!(told.starts_with("STATUS=configuration not reloaded, nothing has changed: "), "{told}");
    assert!(told.contains("unknown profile \"lots\"") && told.contains(&path), "{told}");
    assert_eq!(ask(), 403, "the one before holds");
    assert_eq!(reload(CONFIG), serving);
    assert_eq!(ask(), 200);
    drop(program);
}

fn a_sign_of_life_comes_in_time_and_only_from_the_process_that_is_watched() {
    let folder = Folder::new();
    let manager = Manager::at(&folder);
    let watchdog = Duration::from_millis(600);
    let micros = watchdog.as_micros().to_string();
    let program = notifying(&folder, &[("WATCHDOG_USEC", &micros)]);
    assert_eq!(manager.told()[0], "READY=1");
    manager.0.set_read_timeout(Some(watchdog)).unwrap();
    for _ in 0..5 {
        assert_eq!(manager.told(), ["WATCHDOG=1"]);
    }
    assert!(program.stop().0.success());
    while manager.is_told() {}
    let program = notifying(&folder, &[("WATCHDOG_USEC", &micros), ("WATCHDOG_PID", "1")]);
    manager.0.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(manager.told()[0], "READY=1");
    std::thread::sleep(watchdog);
    assert!(!manager.is_told());
    assert!(program.stop().0.success());
}

/// The program with a configuration, and these sockets as descriptors 3 and 4, called `one` and `two`.
fn passed(config: &str, first: impl Into<OwnedFd>, second: Option<OwnedFd>) -> Program {
    let count = 1 + usize::from(second.is_some());
    let shell = format!(
        "exec 3<&0 4<&1 0</dev/null 1>/dev/null; export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES=one:two"
    );
    let second = second.map_or_else(Stdio::null, Stdio::from);
    Program::start_with(command_after(&shell, &["--config", config]), Stdio::from(first.into()), second)
}

/// Asks for a list at a socket.
fn ask(folder: &Folder, name: &str) -> u16 {
    let mut client = Client::connect(&folder.path(name));
    client.send(get("/containers/json"));
    status(&client.message(false))
}

/// A listener at the path `name` of a folder.
fn unix(folder: &Folder, name: &str) -> UnixListener {
    UnixListener::bind(folder.path(name)).unwrap()
}

/// A configuration with these listeners.
fn listeners(lines: &str) -> String {
    format!("watch: false\nupstream: unix://%engine\nlisteners: [{lines}]\n")
}

fn a_listener_takes_the_socket_with_its_address_or_its_name() {
    for name in ["", ", fd_name: one"] {
        let folder = Folder::new();
        let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
        let web = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = web.local_addr().unwrap().port();
        let web_name = name.replace("one", "two");
        let config = write(
            &folder,
            &listeners(&format!(
                "{{listen: \"tcp://localhost:{port}\", profile: pings{web_name}}}, {{listen: unix://%a, profile: \
                 lists{name}}}, {{listen: unix://%b, profile: lists}}"
            )),
        );
        // A client that comes before the program waits for it.
        let a = unix(&folder, "a");
        let mut early = Client::connect(&folder.path("a"));
        early.send(get("/containers/json"));
        let program = passed(&config, a, Some(web.into()));
        assert_eq!(status(&early.message(false)), 200);
        assert_eq!([ask(&folder, "a"), ask(&folder, "b")], [200, 200]);
        let answer = ask_port(port, "GET /containers/json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(status(&answer), 403, "{answer}");
        assert!(program.stop().0.success());
    }
}

fn a_socket_that_is_passed_is_never_closed_for_others_nor_removed() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let config = write(&folder, &listeners("{listen: unix://%a, profile: lists}"));
    let socket = unix(&folder, "a");
    for _ in 0..3 {
        let program = passed(&config, socket.try_clone().unwrap(), None);
        assert_eq!(ask(&folder, "a"), 200);
        let (ended, lines) = program.stop();
        assert!(ended.success() && folder.path("a").exists(), "{lines:?}");
        // Whoever comes now is served by the successor.
        let mut client = Client::connect(&folder.path("a"));
        client.send(get("/containers/json"));
        let program = passed(&config, socket.try_clone().unwrap(), None);
        assert_eq!(status(&client.message(false)), 200);
        assert!(program.stop().0.success());
    }
}

fn no_child_inherits_a_socket_that_is_passed() {
    let folder = Folder::new();
    let config = write(&folder, &listeners("{listen: unix://%a, profile: lists}"));
    let program = passed(&config, unix(&folder, "a"), None);
    program.listening();
    let proc = format!("/proc/{}", program.id());
    assert!(fs::read_link(format!("{proc}/fd/3")).unwrap().display().to_string().starts_with("socket:"));
    // That of the socket, and of each copy that a worker accepts on: all that the program has opened since.
    let mut sockets = 0;
    for entry in fs::read_dir(format!("{proc}/fd")).unwrap() {
        let number = entry.unwrap().file_name().into_string().unwrap();
        let is_socket = |path: std::path::PathBuf| path.display().to_string().starts_with("socket:");
        // Descriptors from 10 on may be those of the shell.
        if number.len() > 1 || number == "4" || !fs::read_link(format!("{proc}/fd/{number}")).is_ok_and(is_socket) {
            continue;
        }
        let info = fs::read_to_string(format!("{proc}/fdinfo/{number}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
        assert_ne!(flags & rustix::fs::OFlags::CLOEXEC.bits(), 0, "descriptor {number} stays open on exec");
        sockets += 1;
    }
    assert!(sockets > 0, "there is none");
    drop(program);
}

fn what_does_not_fit_is_an_error_of_the_configuration() {
    #[track_caller]
    fn check(lines: &str, first: impl FnOnce(&Folder) -> OwnedFd, expected: &str) {
        let folder = Folder::new();
        let config = write(&folder, &listeners(lines));
        let first = first(&folder);
        let (ended, said) = passed(&config, first, None).ended();
        assert_eq!(ended.code(), Some(78), "{lines}: {said:?}");
        let expected = expected.replace('%', &folder.path("").display().to_string());
        assert!(said.iter().any(|line| line.contains(&expected)), "{lines}: {said:?}");
    }
    let a = |folder: &Folder| unix(folder, "a").into();
    let at_a = "{listen: unix://%a, profile: lists}";
    check(
        "{listen: unix://%b, profile: lists}",
        a,
        "LISTEN_FDS: the socket \"one\" that was passed listens on unix://%a, and no listener takes it",
    );
    check(
        "{listen: unix://%a, fd_name: docker, profile: lists}",
        a,
        "no socket \"docker\" was passed, expected one of one",
    );
    check(
        "{listen: unix://%b, fd_name: one, profile: lists}",
        a,
        "the socket \"one\" listens on unix://%a, expected unix://%b",
    );
    check(
        "{listen: unix://%a, mode: \"0660\", profile: lists}",
        a,
        "the service manager has made its socket: `mode` and `owner` are those of the socket unit",
    );
    check(
        "{listen: unix://%a, fd_name: one, owner: \"0:0\", profile: lists}",
        a,
        "\"owner\" does not apply to a socket that the service manager has made",
    );
    check(
        at_a,
        |_| UdpSocket::bind("127.0.0.1:0").unwrap().into(),
        "the socket \"one\" that was passed is no stream socket",
    );
    check(at_a, |folder| fs::File::create(folder.path("a")).unwrap().into(), "is no stream socket");
    let connected = |_: &Folder| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap().into()
    };
    check(at_a, connected, "does not listen, expected a listening socket (Accept=no)");
    let nameless = |_: &Folder| {
        let name = format!("dockveil-it-listening-{}", std::process::id());
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap().into()
    };
    check(at_a, nameless, "has no path, expected a socket in a file");
}

fn a_count_of_sockets_that_cannot_be_is_an_error_of_the_configuration() {
    let folder = Folder::new();
    let config = write(&folder, &listeners("{listen: unix://%a, profile: lists}"));
    for count in
        ["40", "4097", "1000000000", "2147483647", "4294967292", "4294967295", "18446744073709551616", "-1", "x"]
    {
        let program =
            Program::start(command_after(&format!("export LISTEN_PID=$$ LISTEN_FDS={count}"), &["--config", &config]));
        let (ended, said) = program.ended();
        assert_eq!(ended.code(), Some(78), "{count}: {ended} {said:?}");
        assert!(said.iter().any(|line| line.contains("LISTEN_FDS: ")), "{count}: {said:?}");
        assert!(!folder.path("a").exists(), "{count}");
    }
}

/// Variables may be inherited by mistake, and `check` is run by another process.
fn sockets_of_another_process_are_left_alone() {
    let folder = Folder::new();
    let config = write(&folder, &listeners("{listen: unix://%a, profile: lists}"));
    let program = Program::start(command(&[("LISTEN_PID", "1"), ("LISTEN_FDS", "1")], &["--config", &config]));
    program.listening();
    assert!(program.stop().0.success() && !folder.path("a").exists());
    let named = write(&folder, &listeners("{listen: unix://%a, fd_name: one, profile: lists}"));
    let (ended, said) = Program::start(command(&[], &["--config", &named])).ended();
    assert_eq!(ended.code(), Some(78));
    assert!(said.iter().any(|line| line.contains("start dockveil by its socket unit")), "{said:?}");
    let check = Command::new(env!("CARGO_BIN_EXE_dockveil")).args(["check", "--config", &named]).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

fn a_check_that_fails_is_told() {
    let folder = Folder::new();
    let manager = Manager::at(&folder);
    let socket = folder.path("notify").display().to_string();
    let check = |config: &str| {
        let path = write(&folder, config);
        let variables = [("NOTIFY_SOCKET", socket.as_str())];
        let output = command(&variables, &["check", "--config", &path]).output().unwrap();
        (output.status.code(), path)
    };
    let (code, path) = check(&CONFIG.replace("profile: lists", "profile: lots"));
    let told = manager.told();
    assert_eq!((code, told.len()), (Some(78), 1), "{told:?}");
    let expected = format!("STATUS=the configuration has an error: {path}:3:");
    assert!(told[0].starts_with(&expected) && told[0].contains("unknown profile \"lots\""), "{told:?}");
    assert_eq!(check(CONFIG).0, Some(0));
    assert!(!manager.is_told());
}

fn a_reload_keeps_the_sockets_that_are_passed() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let config = write(&folder, &listeners("{listen: unix://%a, profile: lists}"));
    let program = passed(&config, unix(&folder, "a"), None);
    program.listening();
    let reload = |lines: &str| {
        write(&folder, &listeners(lines));
        program.signal(Signal::HUP);
        program.line_with("configuration ")
    };
    for (lines, expected) in
        [("{listen: unix://%a, fd_name: one, profile: pings}", 403), ("{listen: unix://%a, profile: lists}", 200)]
    {
        assert!(reload(lines).contains("configuration reloaded"));
        assert_eq!(ask(&folder, "a"), expected);
    }
    // Nobody would answer there, and clients would wait.
    let line = reload("{listen: unix://%b, profile: pings}");
    assert!(line.contains("not reloaded") && line.contains("and no listener takes it"), "{line}");
    assert_eq!(ask(&folder, "a"), 200);
    drop(program);
}
