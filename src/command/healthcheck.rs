//! `healthcheck`: sends a ping to a running program.
//!
//! A listener that wants a certificate of each client cannot be pinged without one. It is healthy if it opens TLS and asks for the
//! certificate.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{CommandError, FAILED, OK, argument_error};
use crate::cli::{self, Environment, ServeArgs};
use crate::config::Config;
use crate::socket::{Address, connect_at_once};
use crate::tls::Reception;
use crate::yaml::{Diagnostic, Location};

/// The timeout for connecting, and for each read.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long a container counts as just started.
const STARTING: Duration = Duration::from_secs(10);
/// The interval of the probes of the image, which comes on top of the time that a probe waits.
const INTERVAL: Duration = Duration::from_secs(1);
/// Units of time in `/proc/PID/stat`, for each second.
const TICKS: u64 = 100;
/// The statuses of a healthy listener, and of one that need not serve the health check.
const HEALTHY: &[&str] = &["200"];
const HEALTHY_OR_DENIED: &[&str] = &["200", "403"];
/// What an alert of TLS begins with: the answer to a request without it.
const TLS_ALERT: u8 = 0x15;
/// How long to wait before connecting again to a listener whose queue is full.
const RETRY: Duration = Duration::from_millis(20);

/// Sends a ping to the listener in `arguments`, with a host name that it accepts.
///
/// # Errors
/// [`CommandError`]. If the listener is not healthy, the reason is written to `err` and the exit status is [`FAILED`].
pub fn healthcheck(
    arguments: &cli::HealthcheckArgs,
    environment: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CommandError> {
    if let Some(seconds) = arguments.every {
        std::thread::sleep(wait_for(seconds, age()));
    }
    let asked = match &arguments.target {
        Some(text) => {
            let (address, name) = (target(text)?, "localhost".to_owned());
            AskedListener { address, name, has_tls: false, statuses: HEALTHY }
        }
        None => asked_listener(arguments, environment)?,
    };
    let address = &asked.address;
    // The exit status is the answer, whether or not anybody reads the text.
    match asked.ping() {
        Ok(()) => {
            let _ = writeln!(out, "{address} is healthy");
            Ok(OK)
        }
        Err(error) => {
            let _ = writeln!(err, "{address}: {error}");
            Ok(FAILED)
        }
    }
}

/// How long a probe waits so that there is one every `seconds`. Engines before Docker 25 have one interval for a container that
/// starts and for one that runs: it is short, and a probe of a running container waits.
fn wait_for(seconds: u16, age: Option<Duration>) -> Duration {
    match age {
        Some(age) if age >= STARTING => Duration::from_secs(seconds.into()).saturating_sub(INTERVAL),
        Some(_) | None => Duration::ZERO,
    }
}

/// How long the first process of the container has run; `None` if that cannot be read.
fn age() -> Option<Duration> {
    let started = |process: &str| started(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?);
    let ticks = started("self")?.checked_sub(started("1")?)?;
    Some(Duration::from_secs(ticks / TICKS))
}

/// When a process started, of its `/proc/PID/stat`: field 22, where field 2 is a name in parentheses.
fn started(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(19)?.parse().ok()
}

/// The address that `--target` names.
fn target(text: &str) -> Result<Address, Diagnostic> {
    text.parse().map_err(|error| argument_error("--target", format!("found {text:?}, {error}")))
}

/// The listener to ask.
#[derive(Debug, PartialEq, Eq)]
struct AskedListener {
    address: Address,
    /// A host name that it accepts.
    name: String,
    has_tls: bool,
    /// The statuses of one that is healthy.
    statuses: &'static [&'static str],
}

/// The listener to ask: the first that serves everybody without TLS, else the first that serves everybody, else the first. One that
/// lists clients need not serve the health check, and then answers 403.
fn asked_listener(arguments: &cli::HealthcheckArgs, environment: &Environment) -> Result<AskedListener, CommandError> {
    let serve = ServeArgs { files: arguments.files.clone(), ..ServeArgs::default() };
    let listeners = Config::load(&serve, environment)?.listeners;
    let listener = listeners.into_iter().min_by_key(|listener| (listener.clients.is_some(), listener.tls.is_some()));
    let listener = listener.ok_or_else(|| Diagnostic::new(&Location::file("the configuration"), "no listeners"))?;
    let name = listener.hosts.into_iter().next();
    Ok(AskedListener {
        address: listener.address,
        name: name.unwrap_or_else(|| "localhost".to_owned()),
        has_tls: listener.tls.is_some(),
        statuses: if listener.clients.is_some() { HEALTHY_OR_DENIED } else { HEALTHY },
    })
}

impl AskedListener {
    /// Sends a ping, and expects one of the statuses.
    fn ping(&self) -> io::Result<()> {
        match &self.address {
            Address::Unix(path) => {
                let stream = connect_unix(path)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                self.ping_over(stream)
            }
            Address::Tcp { host, port } => {
                let stream = connect_tcp(host, *port)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                if !self.has_tls {
                    return self.ping_over(stream);
                }
                match Reception::of(stream, "localhost")? {
                    Reception::Served(stream) => self.ping_over(*stream),
                    Reception::AsksForCertificate => Ok(()),
                }
            }
        }
    }

    /// Sends the request over a connected stream.
    fn ping_over(&self, mut stream: impl Read + Write) -> io::Result<()> {
        let name = &self.name;
        stream.write_all(format!("GET /_ping HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut answer = [0; 12];
        let mut read = 0;
        while let Some(rest) = answer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            read += match stream.read(rest)? {
                0 => break,
                more => more,
            };
            if answer.first() == Some(&TLS_ALERT) {
                break;
            }
        }
        let answer = answer.get(..read).unwrap_or_default();
        if self.statuses.iter().any(|status| answer.ends_with(format!(" {status}").as_bytes())) {
            return Ok(());
        }
        let why = match answer {
            [TLS_ALERT, ..] => {
                return Err(io::Error::other("it speaks TLS: leave out --target, and name its --config"));
            }
            [] => return Err(io::ErrorKind::UnexpectedEof.into()),
            answer if answer.ends_with(b" 503") => ", as when the engine is down",
            _ => "",
        };
        Err(io::Error::other(format!("unexpected answer {:?}{why}", String::from_utf8_lossy(answer))))
    }
}

/// Connects over TCP. A listener on all addresses is reached at the loopback address. Containers often have none for IPv6.
fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let hosts: &[&str] = match host {
        "0.0.0.0" => &["127.0.0.1"],
        "::" => &["::1", "127.0.0.1"],
        host => &[host],
    };
    let mut addresses = Vec::new();
    for host in hosts {
        addresses.extend((*host, port).to_socket_addrs()?);
    }
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Connects to a Unix socket within [`TIMEOUT`].
fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match connect_at_once(path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                std::thread::sleep(RETRY);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "its queue of connections is full"));
            }
            connected => return connected,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::time_limit::within_time_limit;

    /// The request that the check sends to a listener that answers with `status`, its exit status and its output.
    fn checked(status: &'static str, hosts: &str) -> (String, u8, String) {
        checked_with(status, hosts, "")
    }

    /// As [`checked`], of a listener with more lines.
    fn checked_with(status: &'static str, hosts: &str, more: &str) -> (String, u8, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answering = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            // The check leaves once it has read the status.
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
            String::from_utf8(request).unwrap()
        });
        let file = std::env::temp_dir().join(format!("dockveil-health-{}-{port}.yaml", std::process::id()));
        let text = format!(
            "upstream: unix:///nowhere.sock\nlisteners:\n  - listen: tcp://127.0.0.1:{port}\n    hosts: [{hosts}]\n{more}"
        );
        std::fs::write(&file, text).unwrap();
        let files = cli::ConfigFiles { config: Some(file.clone()), ..cli::ConfigFiles::default() };
        let arguments = cli::HealthcheckArgs { files, ..cli::HealthcheckArgs::default() };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = healthcheck(&arguments, &Environment::default(), &mut out, &mut err).unwrap();
        std::fs::remove_file(&file).unwrap();
        out.extend(err);
        (answering.join().unwrap(), code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_probe_waits_unless_the_container_has_just_started() {
        let after = |seconds: u64| wait_for(30, Some(Duration::from_secs(seconds))).as_secs();
        assert_eq!((after(0), after(9), after(10), after(3600)), (0, 0, 29, 29));
        assert_eq!((wait_for(1, Some(STARTING)), wait_for(30, None)), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn the_age_of_a_container_is_that_of_its_first_process() {
        assert_eq!(started("1 (a) b) S 0 1 1 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 777 23 24"), Some(777));
        assert_eq!(started("1 (a"), None);
        assert!(age().is_some_and(|age| age < Duration::from_secs(400 * 24 * 3600)));
    }

    #[test]
    fn it_uses_a_host_name_that_the_listener_accepts() {
        within_time_limit(|| {
            let (request, code, output) = checked("200 OK", "proxy.internal, other");
            assert!(request.contains("Host: proxy.internal\r\n"), "{request}");
            assert_eq!(code, OK, "{output}");
        });
    }

    #[test]
    fn any_other_answer_is_unhealthy() {
        within_time_limit(|| {
            let (request, code, output) = checked("503 Service Unavailable", "");
            assert!(request.contains("Host: localhost\r\n"), "{request}");
            assert!(code == FAILED && output.contains("503"), "{output}");
        });
    }

    #[test]
    fn a_listener_that_does_not_serve_the_check_is_healthy() {
        const CLIENTS: &str = "    clients: [{address: 10.0.0.1, profile: dashboard}]\n";
        within_time_limit(|| {
            for (status, more, expected) in [
                ("403 Forbidden", CLIENTS, OK),
                ("200 OK", CLIENTS, OK),
                ("503 Service Unavailable", CLIENTS, FAILED),
                ("403 Forbidden", "", FAILED),
            ] {
                let (_, code, output) = checked_with(status, "", more);
                assert_eq!(code, expected, "{status}: {output}");
            }
        });
    }

    #[test]
    fn the_listener_that_serves_everybody_is_asked() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        within_time_limit(move || {
            let first = format!(
                "  - listen: tcp://127.0.0.1:{port}\n    clients: [{{address: 10.0.0.1, profile: dashboard}}]\n"
            );
            let file = std::env::temp_dir().join(format!("dockveil-asked-{}.yaml", std::process::id()));
            std::fs::write(
                &file,
                format!("listeners:\n{first}  - listen: unix:///nowhere/b\n  - listen: unix:///nowhere/c\n"),
            )
            .unwrap();
            let files = cli::ConfigFiles { config: Some(file.clone()), ..cli::ConfigFiles::default() };
            let arguments = cli::HealthcheckArgs { files, ..cli::HealthcheckArgs::default() };
            let asked = asked_listener(&arguments, &Environment::default()).unwrap();
            std::fs::remove_file(&file).unwrap();
            assert_eq!((asked.address.to_string().as_str(), asked.statuses), ("unix:///nowhere/b", HEALTHY));
        });
    }

    #[test]
    fn what_speaks_tls_is_called_that() {
        within_time_limit(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let target = format!("tcp://{}", listener.local_addr().unwrap());
            let answering = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(b"\x15\x03\x03\x00\x02\x02\x0a").unwrap();
                // Until the check leaves.
                let _ = stream.read_to_end(&mut Vec::new());
            });
            let arguments = cli::HealthcheckArgs { target: Some(target), ..cli::HealthcheckArgs::default() };
            let (mut err, environment) = (Vec::new(), Environment::default());
            let code = healthcheck(&arguments, &environment, &mut Vec::new(), &mut err).unwrap();
            answering.join().unwrap();
            let err = String::from_utf8(err).unwrap();
            assert!(code == FAILED && err.contains("it speaks TLS: leave out --target"), "{err}");
        });
    }

    #[test]
    fn no_listener_is_unhealthy() {
        within_time_limit(|| {
            let nobody = format!("unix:///nowhere/dockveil-{}.sock", std::process::id());
            let arguments = cli::HealthcheckArgs { target: Some(nobody), ..cli::HealthcheckArgs::default() };
            let mut err = Vec::new();
            let code = healthcheck(&arguments, &Environment::default(), &mut Vec::new(), &mut err).unwrap();
            assert!(code == FAILED && !err.is_empty());
        });
    }
}
