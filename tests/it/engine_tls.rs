//! TLS with the engine: it must prove that it is the right one, what passes without TLS passes with it, and each fault is told to
//! the operator and not to clients.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::path::Path;

use dockveil::cli::{CheckArgs, ConfigFiles, Environment, ServeArgs};
use dockveil::command;
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};

use crate::harness::{Test, tests};
use crate::support::authority::{Authority, Identity, Names};
use crate::support::client::{Client, PATIENCE, body, closing_get, get, status};
use crate::support::daemon::{Daemon, Reply, handing, json};
use crate::support::program::{Program, command};
use crate::support::proxy::Folder;
use crate::support::tls_front::{TlsEnd, TlsFront, server_config};
use crate::support::tunnel::{ATTACH, UPGRADED, passes_both_ways};

pub(crate) const TESTS: &[Test] = tests![
    an_engine_over_tls_is_asked_by_name_and_by_address,
    each_fault_is_502_and_told_to_the_operator_only,
    a_listener_has_an_engine_with_certificates_of_its_own,
    the_variables_of_the_docker_command_are_honoured,
    each_direction_of_a_tunnel_ends_on_its_own,
    the_engine_may_end_its_direction_first,
    what_is_cut_does_not_look_complete,
    new_certificates_are_for_new_connections
];

const PROFILE: &str =
    "profiles: [{profile: all, allow: [Ping, ContainerList, ContainerLogs, ContainerAttach], show: all}]\n";
const CLIENT: Names<'_> = Names { cn: "dockveil", dns: &[], uris: &[] };

/// A daemon behind TLS, an authority, and the folder of the files.
struct EngineBench {
    folder: Folder,
    authority: Authority,
    front: TlsFront,
    _daemon: Daemon,
}

/// The files of a client: its authority, its certificate and its key.
fn write_files(folder: &Path, ca: &str, identity: &Identity) {
    for (name, text) in [("ca.pem", ca), ("cert.pem", &identity.certificate), ("key.pem", &identity.key)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

impl EngineBench {
    /// With a daemon that answers so, and which wants certificates of the authority.
    fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static, end: TlsEnd) -> Self {
        let (folder, authority) = (Folder::new(), Authority::new());
        let daemon = Daemon::start(&folder.path("engine"), answer);
        let config = server_config(&authority.server(), Some(&authority.pem()), &[&TLS13, &TLS12]);
        let front = TlsFront::start(&daemon.path, config, end);
        write_files(&folder.path(""), &authority.pem(), &authority.client(CLIENT));
        Self { folder, authority, front, _daemon: daemon }
    }

    /// The `upstream` with TLS.
    fn upstream(&self, host: &str) -> String {
        format!("{{address: \"tcp://{host}:{}\", ca: ca.pem, cert: cert.pem, key: key.pem}}", self.front.port)
    }

    /// The program with this `upstream`, whose files are in the folder.
    fn program(&self, upstream: &str) -> Program {
        let listener = self.folder.path("listener").display().to_string();
        let text =
            format!("upstream: {upstream}\nlisteners: [{{listen: \"unix://{listener}\", profile: all}}]\n{PROFILE}");
        std::fs::write(self.folder.path("dockveil.yaml"), text).unwrap();
        let program = Program::start(command(&[], &["--config", self.folder.path("dockveil.yaml").to_str().unwrap()]));
        program.listening();
        program
    }

    fn client(&self) -> Client {
        Client::connect(&self.folder.path("listener"))
    }

    fn ask(&self, request: &str) -> String {
        let mut client = self.client();
        client.send(request);
        client.rest()
    }
}

const LIST: &str = "/containers/json";

fn an_engine_over_tls_is_asked_by_name_and_by_address() {
    let large = format!("[{}]", vec![format!("{{\"Id\":\"{}\"}}", "a".repeat(1000)); 2000].join(","));
    let expected = large.clone();
    let bench = EngineBench::start(move |_| json(&large), TlsEnd::Proper);
    for host in ["localhost", "127.0.0.1"] {
        for version in [&TLS12, &TLS13] {
            bench.front.replace(server_config(&bench.authority.server(), Some(&bench.authority.pem()), &[version]));
            let program = bench.program(&bench.upstream(host));
            for _ in 0..3 {
                let answer = bench.ask(&closing_get(LIST));
                assert_eq!((status(&answer), body(&answer).0 == expected), (200, true), "{host} {version:?}");
            }
            let (ended, log) = program.stop();
            assert!(ended.success(), "{log:?}");
        }
    }
    assert!(bench.front.clients().iter().all(|certificate| !certificate.is_empty()));
}

/// Each fault: what the engine has, what the program has, what the operator reads.
fn each_fault_is_502_and_told_to_the_operator_only() {
    let bench = EngineBench::start(|_| json("[]"), TlsEnd::Proper);
    let (authority, other) = (&bench.authority, Authority::new());
    let ours = |ca: &Authority, identity: &Identity| write_files(&bench.folder.path(""), &ca.pem(), identity);
    let client = authority.client(CLIENT);
    let versions = [&TLS13, &TLS12];
    for (server, ca, identity, expected) in [
        (authority.server_between(2020, 2021), authority, &client, "the certificate of the engine has expired"),
        (authority.server_between(2100, 2101), authority, &client, "the certificate of the engine is not valid yet"),
        (
            authority.server_called(&["elsewhere", "127.0.0.2"]),
            authority,
            &client,
            "the certificate of the engine is for another name",
        ),
        (authority.misused_by_server(), authority, &client, "the certificate of the engine is not for servers"),
        (authority.server(), &other, &client, "no authority in `ca` has issued the certificate of the engine"),
        (authority.server(), authority, &other.client(CLIENT), "refuses our certificate"),
        (authority.server(), authority, &authority.expired(CLIENT), "refuses our certificate"),
    ] {
        // In TLS 1.3, the engine refuses a certificate after the handshake.
        let is_ours = expected.contains("our certificate");
        for version in versions.into_iter().take(if is_ours { 2 } else { 1 }) {
            bench.front.replace(server_config(&server, Some(&authority.pem()), &[version]));
            ours(ca, identity);
            check(&bench, &bench.upstream("localhost"), expected);
        }
    }
    // Without a certificate of ours.
    ours(authority, &client);
    let without = format!("{{address: \"tcp://localhost:{}\", ca: ca.pem}}", bench.front.port);
    for version in versions {
        bench.front.replace(server_config(&authority.server(), Some(&authority.pem()), &[version]));
        check(&bench, &without, "demands a certificate of clients, and none is configured");
    }
    // Who does not speak TLS.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = bench
        .upstream("localhost")
        .replace(&bench.front.port.to_string(), &plain.local_addr().unwrap().port().to_string());
    let answering = std::thread::spawn(move || {
        for _ in 0..3 {
            let (mut stream, _) = plain.accept().unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    check(&bench, &upstream, "the engine does not speak TLS at this address");
    answering.join().unwrap();
}

/// What a document and a stream answer when there is no TLS with the engine, and the log.
#[track_caller]
fn check(bench: &EngineBench, upstream: &str, expected: &str) {
    let program = bench.program(upstream);
    for target in [LIST, "/containers/web/logs?stdout=1"] {
        let answer = bench.ask(&closing_get(target));
        assert_eq!(status(&answer), 502, "{expected}: {answer}");
        assert!(
            answer.trim_end().ends_with("{\"message\":\"no TLS connection to the docker daemon\"}"),
            "{expected}: {answer}"
        );
    }
    let (_, log) = program.stop();
    let told = log.iter().filter(|line| line.contains("level=WARN") || line.contains("level=warn"));
    let told = told.filter(|line| line.contains(expected)).count();
    assert!(told >= 2, "{expected}: {log:#?}");
}

fn a_listener_has_an_engine_with_certificates_of_its_own() {
    let bench = EngineBench::start(|_| json("[]"), TlsEnd::Proper);
    let folder = bench.folder.path("");
    let second = bench.authority.client(Names { cn: "second", ..CLIENT });
    std::fs::create_dir(folder.join("second")).unwrap();
    write_files(&folder.join("second"), &bench.authority.pem(), &second);
    let own = bench.upstream("localhost");
    let other = own
        .replace("ca.pem", "second/ca.pem")
        .replace("cert.pem", "second/cert.pem")
        .replace("key.pem", "second/key.pem");
    let text = format!(
        "upstream: {own}\nlisteners:\n  - {{listen: \"unix://{0}/a\", profile: all}}\n  - {{listen: \"unix://{0}/b\", profile: all, upstream: {other}}}\n{PROFILE}",
        folder.display()
    );
    std::fs::write(folder.join("dockveil.yaml"), text).unwrap();
    let program = Program::start(command(&[], &["--config", folder.join("dockveil.yaml").to_str().unwrap()]));
    program.listening();
    program.line_with(" engine=");
    let der = CertificateDer::from_pem_slice(second.certificate.as_bytes()).unwrap().to_vec();
    for (listener, is_second) in [("a", false), ("b", true)] {
        let before = bench.front.clients().len();
        let mut client = Client::connect(&folder.join(listener));
        // A new connection to the engine.
        client.send(closing_get("/containers/web/logs?stdout=1"));
        client.rest();
        let clients = bench.front.clients();
        assert!(clients.len() > before);
        assert_eq!(clients[before] == der, is_second, "{listener}");
    }
    let arguments = ServeArgs {
        files: ConfigFiles { config: Some(folder.join("dockveil.yaml")), ..ConfigFiles::default() },
        ..ServeArgs::default()
    };
    let arguments = CheckArgs { serve: arguments, ..CheckArgs::default() };
    let mut out = Vec::new();
    command::check(&arguments, &Environment::default(), &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let port = bench.front.port;
    assert!(
        out.starts_with(&format!(
            "engine  tcp://localhost:{port} over TLS ({}/ca.pem, ",
            folder.display().to_string().trim_end_matches('/')
        )),
        "{out}"
    );
    assert!(out.contains(&format!("b: tcp://localhost:{port} over TLS (")), "{out}");
}

/// As a process, with the variables and nothing else.
fn the_variables_of_the_docker_command_are_honoured() {
    let bench = EngineBench::start(|_| json("[]"), TlsEnd::Proper);
    let folder = bench.folder.path("").display().to_string();
    let listener = format!("unix://{}", bench.folder.path("listener").display());
    let right = format!("tcp://localhost:{}", bench.front.port);
    let started = |variables: &[(&str, &str)]| {
        let program = Program::start(command(variables, &["--listen", &listener]));
        let lines = program.listening();
        let answer = bench.ask(&closing_get("/containers/json"));
        program.stop();
        (status(&answer), lines.join("\n"))
    };
    let verified = [("DOCKER_HOST", right.as_str()), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", folder.as_str())];
    let (found, said) = started(&verified);
    assert!(found == 200 && said.contains("over TLS (") && !said.contains("is taken for the engine"), "{found} {said}");
    assert!(bench.front.clients().iter().all(|certificate| !certificate.is_empty()));
    // Where the command keeps its configuration, if nothing says where the files are.
    let home = bench.folder.path("home/.docker");
    std::fs::create_dir_all(&home).unwrap();
    write_files(&home, &bench.authority.pem(), &bench.authority.client(CLIENT));
    let [config, home] = [home.display().to_string(), bench.folder.path("home").display().to_string()];
    for (name, value) in [("DOCKER_CONFIG", &config), ("HOME", &home)] {
        let (found, said) = started(&[("DOCKER_HOST", &right), ("DOCKER_TLS_VERIFY", "1"), (name, value)]);
        assert_eq!(found, 200, "{name}: {said}");
    }
    // Another engine at the address: it is refused, unless nothing demands that it proves who it is.
    let other = Authority::new().server_called(&["elsewhere"]);
    bench.front.replace(server_config(&other, Some(&bench.authority.pem()), &[&TLS13, &TLS12]));
    assert_eq!(started(&verified).0, 502);
    let (found, said) = started(&[("DOCKER_HOST", &right), ("DOCKER_TLS", "1"), ("DOCKER_CERT_PATH", &folder)]);
    assert!(
        found == 200 && said.contains(&format!("warning: whoever answers at {right} is taken for the engine")),
        "{found} {said}"
    );
    // Without a word of TLS, the connection is plain, and the engine has no answer to that.
    let (found, said) = started(&[("DOCKER_HOST", &right), ("DOCKER_CERT_PATH", &folder)]);
    assert!(
        (502..=503).contains(&found) && said.contains("warning: the connection to the engine is plain"),
        "{found} {said}"
    );
}

fn each_direction_of_a_tunnel_ends_on_its_own() {
    let (answer, connections) = handing(UPGRADED);
    let bench = EngineBench::start(answer, TlsEnd::Proper);
    let _program = bench.program(&bench.upstream("localhost"));
    let mut client = bench.client();
    passes_both_ways(&mut client, &connections);
}

fn the_engine_may_end_its_direction_first() {
    let (answer, connections) = handing(UPGRADED);
    let bench = EngineBench::start(answer, TlsEnd::Proper);
    let _program = bench.program(&bench.upstream("localhost"));
    let mut client = bench.client();
    client.send(ATTACH);
    client.read_until("\r\n\r\n");
    let mut daemon = connections.next();
    daemon.write_all(b"output").unwrap();
    daemon.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), "output");
    client.send("input");
    client.0.shutdown(Shutdown::Write).unwrap();
    daemon.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut input = String::new();
    daemon.read_to_string(&mut input).unwrap();
    assert_eq!(input, "input");
}

/// Of a body that ends with its connection, only TLS tells whether somebody has cut it.
fn what_is_cut_does_not_look_complete() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
    for (end, is_whole) in [(TlsEnd::Proper, true), (TlsEnd::Cut, false)] {
        let bench = EngineBench::start(|_| Reply::Close([HEAD.as_bytes(), &[b'x'; 5000]].concat()), end);
        let program = bench.program(&bench.upstream("localhost"));
        bench.ask(&closing_get("/containers/web/logs?stdout=1"));
        let (_, log) = program.stop();
        let ended = |line: &&String| line.contains("msg=\"exchange") && line.contains("operation=ContainerLogs");
        let line = log.iter().find(ended).unwrap_or_else(|| panic!("{log:#?}"));
        assert_eq!(!line.contains("TLS: the connection was cut"), is_whole, "{end:?}: {line}");
    }
}

fn new_certificates_are_for_new_connections() {
    let bench = EngineBench::start(|_| json("[]"), TlsEnd::Proper);
    let program = bench.program(&bench.upstream("localhost"));
    let mut client = bench.client();
    let mut ask = || {
        client.send(get(LIST));
        status(&client.message(false))
    };
    assert_eq!(ask(), 200);
    let handshakes = bench.front.clients().len();
    // Another authority for both sides, which a change of the files tells.
    let other = Authority::new();
    bench.front.replace(server_config(&other.server(), Some(&other.pem()), &[&TLS13]));
    let renewed = other.client(CLIENT);
    write_files(&bench.folder.path(""), &other.pem(), &renewed);
    program.signal(Signal::HUP);
    // The change of one file may have been read before that of the next.
    program.line_with("configuration reloaded");
    assert_eq!(ask(), 200);
    assert_eq!(bench.front.clients().len(), handshakes, "the connection that is open goes on");
    assert_eq!(status(&bench.ask(&closing_get("/containers/web/logs?stdout=1"))), 200);
    let der = CertificateDer::from_pem_slice(renewed.certificate.as_bytes()).unwrap().to_vec();
    assert_eq!(bench.front.clients()[handshakes..], [der]);
    // Files that do not fit together change nothing.
    std::fs::write(bench.folder.path("key.pem"), &other.client(CLIENT).key).unwrap();
    program.signal(Signal::HUP);
    let line = program.line_with("nothing has changed");
    assert!(line.contains("key.pem: does not belong to the certificate"), "{line}");
    assert_eq!(ask(), 200);
}
