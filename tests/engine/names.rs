//! The static binary resolves host names in `tcp://name:port` in a root directory without libraries and configuration.
//!
//! Since glibc 2.34 the sources `files` and `dns` are part of the C library, a static one included, and it uses them if
//! there is no `/etc/nsswitch.conf`. Before, it loaded them from files, which an image from scratch does not have.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Ignored, Outcome, Test, tests};
use crate::support::client::{self, TIMEOUT};
use crate::support::process::{Folder, Process};
use crate::support::{engine, eventually, installed, loopback, variable};

pub(crate) const TESTS: &[Test] = tests![a_name_is_resolved_in_an_empty_root];

/// The name that only the name server knows.
const IN_DNS: &str = "engine.in-dns.test";
/// The name that only `/etc/hosts` knows.
const IN_HOSTS: &str = "engine.in-hosts.test";

/// A root directory with the binary, `/etc/hosts`, `/etc/resolv.conf` and the devices that every container has, and the
/// processes that run in it.
struct Root {
    processes: Vec<Process>,
    folder: Folder,
}

impl Root {
    /// Makes a root with the name server `server`, and `host` as the address of [`IN_HOSTS`].
    fn new(binary: &Path, server: Ipv4Addr, host: Ipv4Addr) -> Root {
        let folder = Folder::new("root");
        let directory = folder.path();
        for name in ["dev", "etc", "run"] {
            fs::create_dir(directory.join(name)).unwrap();
        }
        fs::copy(binary, directory.join("dockveil")).unwrap();
        fs::write(directory.join("etc/hosts"), format!("127.0.0.1 localhost\n{host} {IN_HOSTS}\n")).unwrap();
        fs::write(directory.join("etc/resolv.conf"), format!("nameserver {server}\noptions ndots:0\n")).unwrap();
        for (name, minor) in [("random", "8"), ("urandom", "9")] {
            let made = Command::new("mknod").arg(directory.join("dev").join(name)).args(["c", "1", minor]).status();
            assert!(made.unwrap().success());
        }
        Root { processes: Vec::new(), folder }
    }

    /// Starts the program for the engine at `tcp://name:port`. Returns the socket where it listens.
    #[track_caller]
    fn serve(&mut self, name: &str, port: u16) -> PathBuf {
        let log = fs::File::create(self.log_file(name)).unwrap();
        let mut command = Command::new("chroot");
        command
            .arg(self.folder.path())
            .args(["/dockveil", "serve", "--upstream", &format!("tcp://{name}:{port}")])
            .args(["--listen", &format!("unix:///run/{name}.sock")])
            .env_clear()
            .env("PATH", variable("PATH").unwrap_or_default())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.processes.push(Process::spawn(&mut command, &self.folder, name));
        let socket = self.folder.path().join(format!("run/{name}.sock"));
        assert!(eventually(TIMEOUT, || UnixStream::connect(&socket).is_ok()), "{}", self.log(name));
        socket
    }

    /// The log file of the program in front of `name`.
    fn log_file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// What the program in front of `name` has logged.
    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.log_file(name)).unwrap_or_default()
    }
}

/// Starts an engine at an address that answers every request with "OK". Returns its port.
fn answering(address: Ipv4Addr) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.set_read_timeout(Some(TIMEOUT));
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK");
        }
    });
    port
}

/// Starts a name server that knows one name, with one IPv4 address (RFC 1035 §4).
fn name_server(socket: UdpSocket, address: Ipv4Addr) {
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut query) {
            let query = &query[..length];
            // The question: labels with their lengths before them, the last one empty, then the type and the class.
            let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
            let asked: Vec<u8> =
                IN_DNS.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
            let (known, is_address) = (query[12..end - 5] == asked, query[end - 4..end] == [0, 1, 0, 1]);
            let mut answer = query[..2].to_vec();
            let (code, answers) = (if known { 0 } else { 3 }, u8::from(known && is_address));
            answer.extend([0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
            answer.extend(&query[12..end]);
            if answers == 1 {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(address.octets());
            }
            let _ = socket.send_to(&answer, client);
        }
    });
}

/// Starts the program in front of `tcp://name:port`, sends a ping, and checks the status.
#[track_caller]
fn check(root: &mut Root, name: &str, port: u16, status: u16) {
    let socket = root.serve(name, port);
    let response = client::get(&socket, "/_ping");
    assert_eq!(response.status(), status, "{name}: {}\n{}", response.text(), root.log(name));
}

fn a_name_is_resolved_in_an_empty_root() -> Outcome {
    let binary = installed::static_binary()?;
    if !engine::is_root() {
        return Err(Ignored::Missing("chroot needs root".to_owned()));
    }
    let (server, host, dns) = (loopback(53), loopback(101), loopback(102));
    let socket = UdpSocket::bind((server, 53)).unwrap_or_else(|error| panic!("{server}:53: {error}"));
    name_server(socket, dns);
    let (port_in_hosts, port_in_dns) = (answering(host), answering(dns));

    let mut root = Root::new(&binary, server, host);
    check(&mut root, IN_HOSTS, port_in_hosts, 200);
    check(&mut root, IN_DNS, port_in_dns, 200);
    check(&mut root, &dns.to_string(), port_in_dns, 200);
    check(&mut root, "nowhere.test", port_in_dns, 503);
    Ok(())
}
