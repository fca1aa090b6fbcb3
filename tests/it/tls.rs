//! TLS of listeners: a client is who its certificate says, and what passes without TLS passes with it, each way to its end.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use dockveil::cli::{CheckArgs, ConfigFiles, Environment, HealthcheckArgs, ServeArgs};
use dockveil::command;
use dockveil::config::Config;
use dockveil::socket::Address;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::callers::{connect_from, loaded};
use crate::explain::profile_of;
use crate::harness::{Test, tests};
use crate::support::authority::{Authority, Identity, Names};
use crate::support::client::{PATIENCE, get, status};
use crate::support::daemon::{Reply, handing, json};
use crate::support::proxy::{Bench, Folder};
use crate::support::tunnel::{ATTACH, UPGRADED, input_and_output};

pub(crate) const TESTS: &[Test] = tests![
    a_client_gets_the_policy_of_its_certificate,
    without_a_certificate_for_clients_nothing_is_answered,
    a_tunnel_over_tls_passes_both_ways_and_each_way_ends_on_its_own,
    the_daemon_may_end_its_direction_over_tls_and_still_receive,
    a_stream_over_tls_passes_byte_for_byte,
    a_large_document_passes_over_tls_whole,
    a_client_over_tls_that_leaves_is_noticed,
    curl_is_served_over_tls,
    the_health_check_needs_no_certificate,
    a_client_may_have_so_many_streams_and_connections,
    without_authorities_of_clients_no_certificate_is_asked_for,
    an_optional_certificate_is_known_and_must_be_good,
    a_revoked_certificate_is_worth_nothing,
    what_expires_ends_open_connections,
    a_client_that_takes_nothing_loses_its_connection,
    clients_without_a_certificate_that_connect_again_and_again_shut_nobody_out
];

const PROFILES: &str = "profiles:\n  - {profile: lists, allow: [Ping, ContainerList], show: [identity]}\n  - {profile: inspects, allow: [Ping, ContainerInspect, ContainerLogs, ContainerAttach, SystemEvents], show: [identity]}\n";

/// A program with TLS at a port, its authority, and the folder of their files.
struct TlsBench {
    bench: Bench,
    authority: Authority,
    folder: Folder,
    port: u16,
}

impl TlsBench {
    /// With these `clients`, written for this authority.
    fn start(
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
        clients: impl FnOnce(&Authority) -> String,
    ) -> Self {
        Self::with(answer, "client_ca: ca.pem", |authority, _| format!("clients: {}", clients(authority)), |_| {})
    }

    /// With more in `tls`, these lines of the listener, for which files can be written, and a change of the configuration.
    fn with(
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
        tls: &str,
        lines: impl FnOnce(&Authority, &Folder) -> String,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let (authority, folder) = (Authority::new(), Folder::new());
        let Identity { certificate, key, .. } = authority.server();
        for (name, text) in [("cert.pem", certificate), ("key.pem", key), ("ca.pem", authority.pem())] {
            std::fs::write(folder.path(name), text).unwrap();
        }
        let lines = lines(&authority, &folder);
        let text = format!(
            "listeners:\n  - listen: tcp://127.0.0.1:0\n    hosts: [\"*\"]\n    tls: {{certificate: cert.pem, key: key.pem, {tls}}}\n    {lines}\n{PROFILES}"
        );
        let bench = Bench::with(answer, |config| {
            config.listeners = loaded(&folder, &text).listeners;
            change(config);
        });
        let Address::Tcp { port, .. } = bench.addresses()[0] else { panic!("no port") };
        Self { bench, authority, folder, port }
    }

    /// A connection of a client.
    fn connect(&self, config: Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let session = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
        StreamOwned::new(session, socket)
    }

    fn client(&self, identity: &Identity) -> StreamOwned<ClientConnection, TcpStream> {
        self.connect(self.authority.client_config(Some(identity), &[&TLS13, &TLS12]))
    }

    /// What `explain` says of a client whose certificate says this.
    fn explained(&self, names: impl IntoIterator<Item = String>) -> [u16; 2] {
        let names = names.into_iter().map(|name| format!("certificate={name}"));
        let facts: Vec<String> = names.chain(["address=127.0.0.1".to_owned()]).collect();
        match profile_of(&self.folder.path("dockveil.yaml"), &facts).as_deref() {
            Some("lists") => LISTS,
            Some("inspects") => INSPECTS,
            None => NEITHER,
            Some(other) => panic!("{other}"),
        }
    }

    /// The statuses of a list and of an inspection.
    fn statuses(&self, config: &Arc<ClientConfig>) -> [u16; 2] {
        ["/containers/json", "/containers/web/json"].map(|target| {
            let mut client = self.connect(config.clone());
            let request = format!("GET {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
            client.write_all(request.as_bytes()).unwrap();
            // The end is one of TLS: anything else is an error here.
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            status(&answer)
        })
    }
}

const LISTS: [u16; 2] = [200, 403];
const INSPECTS: [u16; 2] = [403, 200];
const NEITHER: [u16; 2] = [403, 403];

/// A client that may inspect, attach, and read logs.
const WEB: Names<'_> = Names { cn: "web", dns: &[], uris: &[] };

fn web(_: &Authority) -> String {
    "[{certificate: {cn: web}, profile: inspects}]".to_owned()
}

fn a_client_gets_the_policy_of_its_certificate() {
    let mut pinned = None;
    let bench = TlsBench::start(
        |_| json("[]"),
        |authority| {
            let identity = authority.client(Names { cn: "anybody", ..Names::default() });
            let clients = format!(
                "[{{certificate: {{cn: traefik}}, profile: lists}}, {{certificate: {{dns: web.example}}, profile: inspects}}, \
                 {{certificate: {{spiffe: \"spiffe://example.org/web\"}}, profile: lists}}, {{certificate: {{uri: \"https://a/b\"}}, \
                 profile: inspects}}, {{certificate: {{key: \"{}\"}}, profile: lists}}, {{certificate: {{cn: here}}, address: \
                 127.0.0.0/8, profile: inspects}}, {{certificate: {{cn: there}}, address: 10.0.0.0/8, profile: inspects}}]",
                identity.pin
            );
            pinned = Some(identity);
            clients
        },
    );
    for (cn, dns, uris, expected) in [
        ("traefik", &[][..], &[][..], LISTS),
        ("Traefik", &[], &[], NEITHER),
        ("", &["traefik"], &[], NEITHER),
        ("", &["a.example", "web.example"], &[], INSPECTS),
        ("traefik", &["web.example"], &[], LISTS),
        ("web.example", &[], &[], NEITHER),
        ("", &[], &["spiffe://example.org/web"], LISTS),
        ("", &[], &["spiffe://example.org/web", "spiffe://example.org/other"], NEITHER),
        ("", &[], &["https://a/b", "https://c"], INSPECTS),
        ("anybody", &[], &[], NEITHER),
        ("here", &[], &[], INSPECTS),
        ("there", &[], &[], NEITHER),
    ] {
        let identity = bench.authority.client(Names { cn, dns, uris });
        for version in [&TLS12, &TLS13] {
            let config = bench.authority.client_config(Some(&identity), &[version]);
            assert_eq!(bench.statuses(&config), expected, "{cn:?} {dns:?} {uris:?} {version:?}");
        }
        let cn = Some(cn).filter(|cn| !cn.is_empty()).map(|cn| format!("cn={cn}"));
        let names = cn.into_iter().chain(dns.iter().map(|dns| format!("dns={dns}")));
        let names = names.chain(uris.iter().map(|uri| format!("uri={uri}")));
        assert_eq!(bench.explained(names), expected, "{dns:?} {uris:?}");
    }
    let config = bench.authority.client_config(pinned.as_ref(), &[&TLS13]);
    assert_eq!(bench.statuses(&config), LISTS);
    assert_eq!(bench.explained([format!("key={}", pinned.unwrap().pin)]), LISTS);
}

fn without_a_certificate_for_clients_nothing_is_answered() {
    let bench = TlsBench::start(|request| panic!("it reached the daemon: {request}"), web);
    let other = Authority::new();
    for (what, identity) in [
        ("none", None),
        ("of another authority", Some(other.client(WEB))),
        ("expired", Some(bench.authority.expired(WEB))),
        ("for servers", Some(bench.authority.misused(WEB))),
    ] {
        for version in [&TLS12, &TLS13] {
            let mut client = bench.connect(bench.authority.client_config(identity.as_ref(), &[version]));
            let mut answer = Vec::new();
            let sent = client.write_all(get("/containers/web/json").as_bytes());
            let read = client.read_to_end(&mut answer);
            assert!(sent.is_err() || read.is_err(), "{what} {version:?}");
            assert!(answer.is_empty(), "{what} {version:?}: {answer:?}");
        }
    }
    // Without TLS there is an alert of TLS at most.
    let mut plain = TcpStream::connect(("127.0.0.1", bench.port)).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(get("/_ping").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(answer.len() < 16 && !answer.starts_with(b"HTTP"), "{answer:?}");
    assert!(bench.bench.daemon.requests().iter().all(|request| request.contains("/_ping")));
}

/// The exit status of the health check, and what it prints.
fn checked(config: &Path) -> (u8, String) {
    let files = ConfigFiles { config: Some(config.to_owned()), ..ConfigFiles::default() };
    let arguments = HealthcheckArgs { files, ..HealthcheckArgs::default() };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = command::healthcheck(&arguments, &Environment::default(), &mut out, &mut err).unwrap();
    out.extend(err);
    (code, String::from_utf8(out).unwrap())
}

fn the_health_check_needs_no_certificate() {
    let bench = TlsBench::start(|request| panic!("it reached the daemon: {request}"), web);
    let configured = std::fs::read_to_string(bench.folder.path("dockveil.yaml")).unwrap();
    let at = |port: u16, text: &str| {
        let path = bench.folder.path("health.yaml");
        std::fs::write(&path, text.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"))).unwrap();
        checked(&path)
    };
    let everybody = configured.replace(&format!("    clients: {}\n", web(&bench.authority)), "    profile: lists\n");
    assert!(!everybody.contains("clients:"), "{everybody}");
    for text in [&configured, &everybody] {
        let (code, output) = at(bench.port, text);
        assert_eq!((code, output), (command::OK, format!("tcp://127.0.0.1:{} is healthy\n", bench.port)));
    }
    // Somebody else is at the port, without TLS, or nobody.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.read(&mut [0; 1024]);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let (code, output) = at(port, &configured);
    answering.join().unwrap();
    assert_eq!(code, command::FAILED, "{output}");
    let (code, output) = at(port, &configured);
    assert_eq!(code, command::FAILED, "{output}");
    // A listener without TLS is asked first, because it is asked for the engine as well.
    let plain = format!(
        "{}\n",
        configured.replace("listeners:\n", "listeners:\n  - {listen: \"unix:///nowhere/a\", profile: lists}\n")
    );
    let (code, output) = at(bench.port, &plain);
    assert!(code == command::FAILED && output.starts_with("unix:///nowhere/a: "), "{output}");
}

/// Reads up to and including a marker.
fn read_until(client: &mut impl Read, marker: &str) -> String {
    let (mut read, mut byte) = (Vec::new(), [0]);
    while !read.ends_with(marker.as_bytes()) {
        client.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {read:?}"));
        read.push(byte[0]);
    }
    String::from_utf8(read).unwrap()
}

fn a_tunnel_over_tls_passes_both_ways_and_each_way_ends_on_its_own() {
    let (answer, connections) = handing(UPGRADED);
    let bench = TlsBench::start(answer, web);
    let mut client = bench.client(&bench.authority.client(WEB));
    client.write_all(ATTACH.as_bytes()).unwrap();
    assert!(read_until(&mut client, "\r\n\r\n").starts_with("HTTP/1.1 101 "));
    let daemon = connections.next();
    client.write_all(b"in\0put").unwrap();
    // The client ends its direction, and TLS says so. It goes on reading.
    client.conn.send_close_notify();
    client.flush().unwrap();
    let output = input_and_output(daemon);
    let mut read = String::new();
    client.read_to_string(&mut read).unwrap();
    assert!(read == output, "{} bytes of {}", read.len(), output.len());
}

fn the_daemon_may_end_its_direction_over_tls_and_still_receive() {
    let (answer, connections) = handing(UPGRADED);
    let bench = TlsBench::start(answer, web);
    let mut client = bench.client(&bench.authority.client(WEB));
    client.write_all(ATTACH.as_bytes()).unwrap();
    read_until(&mut client, "\r\n\r\n");
    let mut daemon = connections.next();
    daemon.write_all(b"output").unwrap();
    daemon.shutdown(std::net::Shutdown::Write).unwrap();
    let mut read = String::new();
    client.read_to_string(&mut read).unwrap();
    assert_eq!(read, "output");
    client.write_all(b"input").unwrap();
    client.conn.send_close_notify();
    client.flush().unwrap();
    let mut input = String::new();
    daemon.read_to_string(&mut input).unwrap();
    assert_eq!(input, "input");
}

fn a_stream_over_tls_passes_byte_for_byte() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "3\r\nabc\r\n5\r\nd\0e\nf\r\n0\r\n\r\n";
    let bench = TlsBench::start(move |_| Reply::Close(format!("{HEAD}{body}").into_bytes()), web);
    let mut client = bench.client(&bench.authority.client(WEB));
    client.write_all(get("/containers/web/logs?stdout=1&follow=1").as_bytes()).unwrap();
    assert!(read_until(&mut client, "\r\n\r\n").starts_with("HTTP/1.1 200 "));
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, body);
}

fn a_large_document_passes_over_tls_whole() {
    let list = format!("[{}]", vec![format!("{{\"Id\":\"{}\"}}", "a".repeat(1000)); 3000].join(","));
    let clients = |_: &Authority| "[{certificate: {cn: web}, profile: lists}]".to_owned();
    let bench = TlsBench::start(move |_| json(&list), clients);
    let identity = bench.authority.client(WEB);
    for _ in 0..3 {
        let mut client = bench.client(&identity);
        let request = "GET /containers/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
        client.write_all(request.as_bytes()).unwrap();
        // A client that has ended its direction is answered all the same.
        client.conn.send_close_notify();
        client.flush().unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.len() > 3_000_000 && answer.ends_with("0\r\n\r\n"), "{} bytes", answer.len());
    }
}

fn a_client_over_tls_that_leaves_is_noticed() {
    let (answer, connections) = handing("");
    let bench = TlsBench::start(answer, web);
    let identity = bench.authority.client(WEB);
    // With the end of TLS, and cut.
    for has_end in [true, false] {
        for target in ["/containers/web/json", "/events"] {
            let mut client = bench.client(&identity);
            client.write_all(get(target).as_bytes()).unwrap();
            client.flush().unwrap();
            let daemon = connections.next();
            if has_end {
                client.conn.send_close_notify();
                let _ = client.flush();
            }
            drop(client);
            crate::support::daemon::wait_until_closed(daemon);
        }
    }
}

fn curl_is_served_over_tls() {
    let bench = TlsBench::start(|_| json("[]"), |_| "[{certificate: {cn: web}, profile: lists}]".to_owned());
    let Identity { certificate, key, .. } = bench.authority.client(WEB);
    for (name, text) in [("client.pem", certificate), ("client-key.pem", key)] {
        std::fs::write(bench.folder.path(name), text).unwrap();
    }
    let curl = |target: &str, more: &[&str]| {
        let mut command = Command::new("curl");
        let file = |name: &str| bench.folder.path(name).display().to_string();
        command.args(["--silent", "--show-error", "--max-time", "20", "--cacert", &file("ca.pem")]);
        command.args(["--write-out", " %{http_code}", &format!("https://localhost:{}{target}", bench.port)]);
        let output = command.args(more).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let file = |name: &str| bench.folder.path(name).display().to_string();
    let identity = ["--cert", &file("client.pem"), "--key", &file("client-key.pem")];
    assert_eq!(curl("/containers/json", &identity), (true, "[] 200".to_owned()));
    assert_eq!(curl("/_ping", &identity), (true, "OK 200".to_owned()));
    assert!(curl("/info", &identity).1.ends_with(" 403"));
    assert_eq!(curl("/_ping", &[]).1, " 000");
}

fn a_client_may_have_so_many_streams_and_connections() {
    let (answer, connections) =
        handing("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n");
    let clients = "[{certificate: {dns: two.example}, profile: inspects, connections: 2}, {certificate: {cn: web}, profile: inspects, streams: 2}]";
    let bench = TlsBench::start(answer, |_| clients.to_owned());
    let ask = |identity: &Identity, target: &str| {
        let mut client = bench.client(identity);
        client.write_all(get(target).as_bytes()).unwrap();
        let head = read_until(&mut client, "\r\n\r\n");
        (client, head)
    };
    let logs = "/containers/web/logs?stdout=1&follow=1";
    let of_line = |names: Names<'_>| [(); 2].map(|()| bench.authority.client(names));
    let limited = [of_line(Names { dns: &["two.example"], ..Names::default() }), of_line(WEB)];
    for (identities, expected) in
        limited.iter().zip(["too many connections of this client", "too many streams of this client"])
    {
        // Each of those that a line names has as much as the line says. A stream is never idle, so none gives way.
        let mut held = Vec::new();
        for identity in identities {
            for _ in 0..2 {
                let (client, head) = ask(identity, logs);
                assert_eq!(status(&head), 200, "{head}");
                held.push((client, connections.next()));
            }
        }
        for identity in identities {
            let (mut client, head) = ask(identity, logs);
            assert_eq!(status(&head), 503);
            assert!(read_until(&mut client, "}").contains(expected));
            // A ping is answered all the same.
            assert_eq!(status(&ask(identity, "/_ping").1), 200);
        }
        // What has ended counts no more, as soon as it is noticed.
        held.clear();
        let deadline = Instant::now() + PATIENCE;
        while status(&ask(&identities[0], logs).1) != 200 {
            assert!(Instant::now() < deadline, "{expected}");
        }
    }
}

/// The status of a list; `None` if the connection is refused.
fn listed(bench: &TlsBench, config: Arc<ClientConfig>) -> Option<u16> {
    let mut client = bench.connect(config);
    let mut answer = String::new();
    let request = "GET /containers/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).and_then(|()| client.read_to_string(&mut answer)).ok()?;
    Some(status(&answer))
}

fn without_authorities_of_clients_no_certificate_is_asked_for() {
    let bench = TlsBench::with(|_| json("[]"), "", |_, _| "profile: lists".to_owned(), |_| {});
    let stranger = Authority::new().client(WEB);
    for version in [&TLS12, &TLS13] {
        for identity in [None, Some(&stranger)] {
            assert_eq!(listed(&bench, bench.authority.client_config(identity, &[version])), Some(200), "{version:?}");
        }
    }
    // A client that was known by its certificate is not known here.
    let lines = |_: &Authority, _: &Folder| "clients: [{address: 127.0.0.1, profile: lists}]".to_owned();
    let bench = TlsBench::with(|_| json("[]"), "", lines, |_| {});
    assert_eq!(listed(&bench, bench.authority.client_config(None, &[&TLS13])), Some(200));
}

fn an_optional_certificate_is_known_and_must_be_good() {
    let lines = |_: &Authority, _: &Folder| {
        "clients: [{certificate: {cn: web}, profile: lists}, {address: 127.0.0.1, profile: inspects}]".to_owned()
    };
    let bench = TlsBench::with(|_| json("[]"), "client_ca: ca.pem, client_certificate: optional", lines, |_| {});
    let (authority, other) = (&bench.authority, Authority::new());
    for version in [&TLS12, &TLS13] {
        for (what, identity, expected) in [
            ("web", Some(authority.client(WEB)), Some(200)),
            ("another name", Some(authority.client(Names { cn: "other", ..WEB })), Some(403)),
            ("none", None, Some(403)),
            ("another authority", Some(other.client(WEB)), None),
            ("expired", Some(authority.expired(WEB)), None),
            ("for servers", Some(authority.misused(WEB)), None),
        ] {
            let config = authority.client_config(identity.as_ref(), &[version]);
            assert_eq!(listed(&bench, config), expected, "{what} {version:?}");
        }
    }
}

fn a_revoked_certificate_is_worth_nothing() {
    for (what, until, is_of_other, expected) in [
        ("a list", 2100, Some(false), [Some(200), None]),
        ("two lists", 2100, None, [Some(200), None]),
        // Who does not know says no.
        ("an old list", 2021, Some(false), [None, None]),
        ("a list of another authority", 2100, Some(true), [None, None]),
    ] {
        let mut identities = Vec::new();
        let lines = |authority: &Authority, folder: &Folder| {
            identities.extend([(); 2].map(|()| authority.client(WEB)));
            let own = authority.revocations(&[&identities[1]], until);
            let other = Authority::called("other").revocations(&[], until);
            let list = match is_of_other {
                Some(false) => own,
                Some(true) => other,
                None => other + &own,
            };
            std::fs::write(folder.path("crl.pem"), list).unwrap();
            "profile: lists".to_owned()
        };
        let bench = TlsBench::with(|_| json("[]"), "client_ca: ca.pem, crl: [crl.pem]", lines, |_| {});
        for version in [&TLS12, &TLS13] {
            let config = |identity| bench.authority.client_config(Some(identity), &[version]);
            let found: Vec<Option<u16>> = identities.iter().map(|identity| listed(&bench, config(identity))).collect();
            assert_eq!(found, expected, "{what} {version:?}");
        }
        let path = bench.folder.path("dockveil.yaml");
        let files = ConfigFiles { config: Some(path.clone()), ..ConfigFiles::default() };
        let arguments = ServeArgs { files, ..ServeArgs::default() };
        let arguments = CheckArgs { serve: arguments, ..CheckArgs::default() };
        let mut out = Vec::new();
        command::check(&arguments, &Environment::default(), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.contains("crl.pem at tcp://127.0.0.1:0 has expired: clients"), until == 2021, "{what}: {out}");
        // What is no list is an error where it is named.
        std::fs::write(bench.folder.path("crl.pem"), bench.authority.pem()).unwrap();
        let errors = command::check(&arguments, &Environment::default(), &mut Vec::new()).unwrap_err();
        let mut said = Vec::new();
        errors.report(&mut said);
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("crl.pem: expected lists of revoked certificates in PEM"), "{said}");
    }
}

/// A connection that is kept has no more rights than one that is opened now.
fn what_expires_ends_open_connections() {
    std::thread::scope(|scope| {
        for (what, is_list, is_gone) in
            [("a list", true, true), ("a certificate", false, true), ("neither", false, false)]
        {
            scope.spawn(move || ends_when_it_expires(what, is_list, is_gone));
        }
    });
}

fn ends_when_it_expires(what: &str, is_list: bool, is_gone: bool) {
    let end = SystemTime::now() + Duration::from_secs(if is_gone { 4 } else { 3_600 });
    let mut found = None;
    let lines = |authority: &Authority, folder: &Folder| {
        let identity = if is_list { authority.client(WEB) } else { authority.client_until(WEB, end) };
        let far = SystemTime::now() + Duration::from_secs(3_600);
        let list = authority.revocations_until(&[], if is_list { end } else { far });
        std::fs::write(folder.path("crl.pem"), list).unwrap();
        found = Some(identity);
        "profile: inspects".to_owned()
    };
    let (answer, streams) =
        handing("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n");
    let bench = TlsBench::with(answer, "client_ca: ca.pem, crl: [crl.pem]", lines, |_| {});
    let identity = found.unwrap();
    let ask = |client: &mut StreamOwned<ClientConnection, TcpStream>, target: &str| {
        client.write_all(get(target).as_bytes()).unwrap();
        status(&read_until(client, "\r\n\r\n"))
    };
    // A ping needs no certificate of a client that is served, and it is refused all the same.
    let (mut kept, mut stream) = (bench.client(&identity), bench.client(&identity));
    assert_eq!(ask(&mut kept, "/_ping"), 200, "{what}");
    let _ = read_until(&mut kept, "OK");
    assert_eq!(ask(&mut stream, "/containers/web/logs?stdout=1&follow=1"), 200, "{what}");
    let held = streams.next();
    std::thread::sleep(end.duration_since(SystemTime::now()).unwrap().min(Duration::from_secs(4)));
    std::thread::sleep(Duration::from_millis(1_500));
    let refused = ask(&mut kept, "/_ping");
    stream.sock.set_read_timeout(Some(if is_gone { PATIENCE } else { Duration::from_millis(100) })).unwrap();
    let left = stream.read(&mut [0; 64]).map_err(|error| error.kind());
    if is_gone {
        assert_eq!(refused, 503, "{what}");
        assert!(matches!(left, Ok(0) | Err(ErrorKind::UnexpectedEof)), "{what}: {left:?}");
    } else {
        assert_eq!((refused, left), (200, Err(ErrorKind::WouldBlock)), "{what}");
    }
    assert_eq!(ask_new(&bench, &identity), !is_gone, "{what}");
    drop(held);
}

/// Whether a new connection of a client is answered.
fn ask_new(bench: &TlsBench, identity: &Identity) -> bool {
    let mut client = bench.client(identity);
    let mut answer = [0; 12];
    client.write_all(get("/_ping").as_bytes()).and_then(|()| client.read_exact(&mut answer)).is_ok()
}

/// Its slot is free again soon after the connection has been given up, although nobody has closed it.
fn a_client_that_takes_nothing_loses_its_connection() {
    let list = format!("[{}]", vec![format!("{{\"Id\":\"{}\"}}", "a".repeat(1000)); 30_000].join(","));
    let bench = TlsBench::with(
        move |_| json(&list),
        "client_ca: ca.pem",
        |_, _| "profile: lists\n    connections: 1".to_owned(),
        |config| {
            config.limits.element = dockveil::config::ByteLimit::new(64 << 20);
            config.timeouts.write = std::time::Duration::from_millis(300);
        },
    );
    let identity = bench.authority.client(WEB);
    let mut silent = bench.client(&identity);
    silent.write_all(get("/containers/json").as_bytes()).unwrap();
    silent.flush().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while listed(&bench, bench.authority.client_config(Some(&identity), &[&TLS13])) != Some(200) {
        assert!(Instant::now() < deadline, "its slot is taken");
    }
    drop(silent);
}

/// From another address, with nothing or with the start of a handshake.
fn clients_without_a_certificate_that_connect_again_and_again_shut_nobody_out() {
    let bench = TlsBench::with(
        |_| json("[]"),
        "client_ca: ca.pem",
        |_, _| "profile: lists".to_owned(),
        |config| {
            config.limits.connections = Some(8);
        },
    );
    let server = SocketAddr::from(([127, 0, 0, 1], bench.port));
    let config = bench.authority.client_config(Some(&bench.authority.client(WEB)), &[&TLS13]);
    for sent in [&b""[..], &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..]] {
        let (is_over, opened) = (AtomicBool::new(false), AtomicUsize::new(0));
        let statuses: Vec<Option<u16>> = std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    // More than there is room for, so that each new one takes the place of another.
                    let mut held = VecDeque::new();
                    while !is_over.load(Ordering::Relaxed) {
                        let mut client = connect_from("127.0.0.2", server);
                        let _ = client.write_all(sent);
                        held.push_back(client);
                        if held.len() > 200 {
                            held.pop_front();
                        }
                        opened.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let deadline = Instant::now() + PATIENCE;
            while opened.load(Ordering::Relaxed) < 600 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            let statuses = (0..10).map(|_| listed(&bench, config.clone())).collect();
            is_over.store(true, Ordering::Relaxed);
            statuses
        });
        assert_eq!(statuses, [Some(200); 10], "{} connections, each with {sent:?}", opened.load(Ordering::Relaxed));
    }
}
