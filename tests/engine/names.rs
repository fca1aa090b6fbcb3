//! Host names in `tcp://name:port`, resolved by the static binary in a root that holds no library and no resolver.
//!
//! Since glibc 2.34 the sources `files` and `dns` are a part of the C library, a static one included, and they are what
//! it asks where there is no `/etc/nsswitch.conf`. Before, it loaded them, and an image from scratch could not.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::support::client::{self, PATIENCE};
use super::support::{engine, eventually, variable};

/// The name that only the name server knows.
const IN_DNS: &str = "engine.in-dns.test";
/// The name that only `/etc/hosts` knows.
const IN_HOSTS: &str = "engine.in-hosts.test";

/// A directory to be the root of a process: the binary, `/etc/hosts`, `/etc/resolv.conf` and the devices that every
/// container has. Dropping it kills what was started there and removes it.
struct Root {
    directory: PathBuf,
    children: Vec<Child>,
}

impl Root {
    /// A root of which `server` is the name server, and `host` the address that `/etc/hosts` has for [`IN_HOSTS`].
    fn new(binary: &str, server: Ipv4Addr, host: Ipv4Addr) -> Root {
        let directory = std::env::temp_dir().join(format!("dockveil-root-{}", std::process::id()));
        for folder in ["dev", "etc", "run"] {
            fs::create_dir_all(directory.join(folder)).unwrap();
        }
        fs::copy(binary, directory.join("dockveil")).unwrap();
        fs::write(directory.join("etc/hosts"), format!("127.0.0.1 localhost\n{host} {IN_HOSTS}\n")).unwrap();
        fs::write(directory.join("etc/resolv.conf"), format!("nameserver {server}\noptions ndots:0\n")).unwrap();
        for (name, minor) in [("random", "8"), ("urandom", "9")] {
            let made = Command::new("mknod").arg(directory.join("dev").join(name)).args(["c", "1", minor]).status();
            assert!(made.unwrap().success());
        }
        Root { directory, children: Vec::new() }
    }

    /// Starts the program for the engine at `tcp://name:port`; the socket where it listens.
    #[track_caller]
    fn serve(&mut self, name: &str, port: u16) -> PathBuf {
        let log = fs::File::create(self.directory.join(format!("{name}.log"))).unwrap();
        let child = Command::new("chroot")
            .arg(&self.directory)
            .args(["/dockveil", "serve", "--upstream", &format!("tcp://{name}:{port}")])
            .args(["--listen", &format!("unix:///run/{name}.sock")])
            .env_clear()
            .env("PATH", variable("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.children.push(child);
        let socket = self.directory.join(format!("run/{name}.sock"));
        assert!(eventually(PATIENCE, || UnixStream::connect(&socket).is_ok()), "{}", self.log(name));
        socket
    }

    /// What the program in front of `name` has said.
    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.directory.join(format!("{name}.log"))).unwrap_or_default()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// An engine that answers whatever it is asked, at this address only, for as long as the test process lives; its port.
fn answering(address: Ipv4Addr) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK");
        }
    });
    port
}

/// A name server that knows one name, with one IPv4 address (RFC 1035 §4).
fn name_server(socket: UdpSocket, address: Ipv4Addr) {
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut query) {
            let query = &query[..length];
            // The question: labels, each behind its length, an empty one, then type and class.
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

/// The status of a ping through the program in front of `tcp://name:port`.
#[track_caller]
fn check(root: &mut Root, name: &str, port: u16, status: u16) {
    let socket = root.serve(name, port);
    let answer = client::get(&socket, "/_ping");
    assert_eq!(answer.status(), status, "{name}: {}\n{}", answer.text(), root.log(name));
}

#[test]
fn a_name_is_resolved_in_an_empty_root() {
    let Some(binary) = variable("DOCKVEIL_STATIC_BINARY") else {
        return engine::without("DOCKVEIL_STATIC_BINARY does not name a static binary");
    };
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return engine::without("an empty root needs root");
    }
    assert!(Path::new(&binary).is_absolute(), "{binary}");
    // Loopback addresses of this process's own: nobody else listens there.
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = |last| Ipv4Addr::new(127, high | 1, low, last);
    let (server, host, dns) = (address(53), address(101), address(102));
    let socket = UdpSocket::bind((server, 53)).unwrap_or_else(|error| panic!("{server}:53: {error}"));
    name_server(socket, dns);
    let (port_in_hosts, port_in_dns) = (answering(host), answering(dns));

    let mut root = Root::new(&binary, server, host);
    check(&mut root, IN_HOSTS, port_in_hosts, 200);
    check(&mut root, IN_DNS, port_in_dns, 200);
    check(&mut root, &dns.to_string(), port_in_dns, 200);
    check(&mut root, "nowhere.test", port_in_dns, 503);
}
