//! `healthcheck` asks what runs, whatever has become of the files: a container must not be started anew because of a typing error that
//! its server survives.

use std::fs;
use std::net::TcpListener;
use std::process::Output;

use crate::harness::{Test, tests};
use crate::support::authority::{Authority, Identity};
use crate::support::daemon::{Daemon, json};
use crate::support::program::{Program, command, free_port};
use crate::support::proxy::Folder;

pub(crate) const TESTS: &[Test] =
    tests![a_change_that_the_server_survives_leaves_it_healthy, a_check_without_a_server_tells_what_is_wrong];

/// A way to break the configuration, given its text.
type Break = fn(&Folder, &str) -> Option<String>;

/// What may happen to a configuration, or to the files that it names. The server goes on with what it has.
const BROKEN: &[(&str, Break)] = &[
    ("nothing", |_, text| Some(text.to_owned())),
    ("an unknown key", |_, text| Some(format!("{text}foo: 1\n"))),
    ("an unknown profile", |_, text| Some(text.replace("dashboard", "dashbord"))),
    ("no YAML", |_, text| Some(format!("{text}a: [\n"))),
    ("half of it", |_, text| Some(text[..text.len() / 2].to_owned())),
    ("empty", |_, _| Some(String::new())),
    ("not UTF-8", |folder, _| {
        fs::write(folder.path("dockveil.yaml"), b"\xff").unwrap();
        None
    }),
    ("away", |folder, _| {
        fs::remove_file(folder.path("dockveil.yaml")).unwrap();
        None
    }),
    ("an address where nobody listens", |_, text| Some(with_address(text, "tcp://127.0.0.1:1"))),
    ("an address of others", |_, text| {
        // It answers nothing until the test ends.
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        std::thread::spawn(move || other.incoming().for_each(drop));
        Some(with_address(text, &format!("tcp://127.0.0.1:{port}")))
    }),
    ("no listeners", |_, text| Some(format!("{}listeners: []\n", text.split("listeners:").next().unwrap()))),
    ("half a key", |folder, text| {
        let key = fs::read_to_string(folder.path("key.pem")).unwrap();
        fs::write(folder.path("key.pem"), &key[..key.len() / 2]).unwrap();
        Some(text.to_owned())
    }),
    ("no certificate", |folder, text| {
        fs::remove_file(folder.path("cert.pem")).unwrap();
        Some(text.to_owned())
    }),
];

/// A configuration with another address of its only listener.
fn with_address(text: &str, address: &str) -> String {
    let at = text.find("listen: \"").unwrap() + "listen: \"".len();
    let end = at + text[at..].find('"').unwrap();
    format!("{}{address}{}", &text[..at], &text[end..])
}

fn healthcheck(folder: &Folder) -> Output {
    let config = folder.path("dockveil.yaml").display().to_string();
    command(&[], &["healthcheck", "--config", &config]).output().unwrap()
}

/// What the check ends with, and all that it says.
fn checked(folder: &Folder) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = healthcheck(folder);
    (status.code(), format!("{}{}", String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap()))
}

fn a_change_that_the_server_survives_leaves_it_healthy() {
    let authority = Authority::new();
    for listener in 0..4 {
        let folder = Folder::new();
        let daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
        let Identity { certificate, key, .. } = authority.server();
        let write_keys = || {
            for (name, text) in [("cert.pem", &certificate), ("key.pem", &key), ("ca.pem", &authority.pem())] {
                fs::write(folder.path(name), text).unwrap();
            }
        };
        write_keys();
        let (port, socket) = (free_port(), folder.path("listener").display().to_string());
        let address = if listener == 0 { format!("unix://{socket}") } else { format!("tcp://127.0.0.1:{port}") };
        let tls = [
            "",
            "",
            "tls: {certificate: cert.pem, key: key.pem}, ",
            "tls: {certificate: cert.pem, key: key.pem, client_ca: ca.pem}, ",
        ];
        let text = format!(
            "watch: false\nupstream: \"unix://{}\"\nlisteners: [{{listen: \"{address}\", {}hosts: [proxy], profile: dashboard}}]\n",
            folder.path("engine").display(),
            tls[listener]
        );
        fs::write(folder.path("dockveil.yaml"), &text).unwrap();
        let config = folder.path("dockveil.yaml").display().to_string();
        let program = Program::start(command(&[("DOCKVEIL_LOG", "info")], &["serve", "--config", &config]));
        program.listening();
        for (what, change) in BROKEN {
            if let Some(text) = change(&folder, &text) {
                fs::write(folder.path("dockveil.yaml"), text).unwrap();
            }
            let (code, said) = checked(&folder);
            assert_eq!(code, Some(0), "{what} at {address}: {said}");
            assert!(said.starts_with(&format!("{address} is healthy\n")), "{what}: {said}");
            // What is wrong is told, except for profiles, which need not be read for this.
            let is_told = !["nothing", "an unknown profile"].contains(what) && !what.starts_with("an address");
            let concerns_tls = ["half a key", "no certificate"].contains(what);
            assert_eq!(said.contains("warning: "), is_told && (!concerns_tls || listener > 1), "{what}: {said}");
            write_keys();
        }
        daemon.stop();
        let is_asked = listener < 3;
        for broken in [text.clone(), format!("{text}foo: 1\n"), "a: [".to_owned()] {
            fs::write(folder.path("dockveil.yaml"), broken).unwrap();
            let (code, said) = checked(&folder);
            assert_eq!(code, Some(i32::from(is_asked)), "the engine is down: {said}");
            assert!(!is_asked || said.contains("as when the engine is down"), "{said}");
        }
        assert!(program.stop().0.success());
        fs::write(folder.path("dockveil.yaml"), &text).unwrap();
        assert_eq!(checked(&folder).0, Some(1), "nobody listens at {address}");
    }
}

fn a_check_without_a_server_tells_what_is_wrong() {
    let folder = Folder::new();
    // Nothing is known of listeners: not the default ones are asked.
    for text in [None, Some("a: ["), Some("")] {
        if let Some(text) = text {
            fs::write(folder.path("dockveil.yaml"), text).unwrap();
        }
        let (code, said) = checked(&folder);
        assert!(code == Some(78) && said.contains("dockveil.yaml"), "{text:?}: {said}");
    }
    let text = format!("foo: 1\nlisteners: [{{listen: \"unix://{}\"}}]\n", folder.path("nobody").display());
    fs::write(folder.path("dockveil.yaml"), text).unwrap();
    let (code, said) = checked(&folder);
    assert!(code == Some(1) && said.contains("unknown key \"foo\"") && said.contains("nobody"), "{said}");
}
