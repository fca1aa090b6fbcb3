//! `healthcheck`: sends a ping to a running program.
//!
//! A listener that wants a certificate of each client cannot be pinged without one. It is healthy if it opens TLS and asks for the
//! certificate.
//!
//! The program goes on serving when its files have become wrong, and whoever checks its health must not end it for that. So what is
//! wrong in the files is told, and what runs is asked: the listener of the files if it answers, else those of the running program.

mod running;

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::layout::one_line;
use super::{CommandError, FAILED, OK, argument_error};
use crate::cli::{self, Environment};
use crate::config;
use crate::quoting;
use crate::socket::{Address, connect_at_once};
use crate::tls::Reception;
use crate::yaml::{Diagnostic, Diagnostics};

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

/// Sends a ping to the listener in `arguments`, else to one of the configuration.
///
/// # Errors
/// [`CommandError`]. If no listener is healthy, the reason is written to `err` and the exit status is [`FAILED`].
pub fn healthcheck(
    arguments: &cli::HealthcheckArgs,
    environment: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CommandError> {
    if let Some(seconds) = arguments.every {
        std::thread::sleep(wait_for(seconds, age()));
    }
    let pinged = match &arguments.target {
        Some(text) => AskedListener { name: "localhost", ..AskedListener::at(target(text)?) }.pinged(),
        None => {
            let (asked, wrong) = asked_listener(arguments, environment);
            match asked.map(AskedListener::pinged) {
                Some(Ok(address)) => {
                    tell(&wrong, err);
                    Ok(address)
                }
                refused => {
                    let running = running::listeners(&arguments.files, environment);
                    let pinged = ping_running(refused.and_then(Result::err), &running);
                    let Some(pinged) = pinged else { return Err(wrong.into()) };
                    tell(&wrong, err);
                    pinged
                }
            }
        }
    };
    // The exit status is the answer, whether or not anybody reads the text.
    match pinged {
        Ok(address) => {
            let _ = writeln!(out, "{} is healthy", one_line(&address.to_string()));
            Ok(OK)
        }
        Err((address, error)) => {
            let _ = writeln!(err, "{}", one_line(&format!("{address}: {error}")));
            Ok(FAILED)
        }
    }
}

/// The address of a listener that is healthy, or of one that is not, and why.
type Pinged = Result<Address, (Address, io::Error)>;

/// Tells what is wrong with a configuration that a program may serve without.
fn tell(wrong: &Diagnostics, err: &mut dyn Write) {
    for error in wrong.iter() {
        let _ = writeln!(err, "warning: {}", one_line(&error.to_string()));
    }
}

/// Pings the listeners of the program that runs, of which the configuration may say something else by now: one that serves the check,
/// else one that denies it. `refused` is the listener of the configuration that is not healthy, and why. `None` if there is nobody to
/// ask.
fn ping_running(refused: Option<(Address, io::Error)>, running: &[Address]) -> Option<Pinged> {
    let is_running = |(address, _): &(Address, io::Error)| running.iter().any(|other| is_same(address, other));
    let mut last = refused;
    if last.as_ref().is_some_and(is_running) {
        return last.map(Err);
    }
    for statuses in [HEALTHY, HEALTHY_OR_DENIED] {
        for address in running {
            match (AskedListener { statuses, ..AskedListener::at(address.clone()) }).pinged() {
                Ok(address) => return Some(Ok(address)),
                Err(refused) => last = Some(refused),
            }
        }
    }
    last.map(Err)
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
    text.parse().map_err(|error| argument_error("--target", format!("found {:?}, {error}", quoting::value(text))))
}

/// The listener to ask.
#[derive(Debug, PartialEq, Eq)]
struct AskedListener {
    address: Address,
    /// The host name of the request. Every listener accepts an empty one.
    name: &'static str,
    /// Whether it is known to speak TLS.
    has_tls: bool,
    /// The statuses of one that is healthy.
    statuses: &'static [&'static str],
}

/// The listener to ask: the first that serves everybody without TLS, else the first that serves everybody, else the first. One that
/// lists clients need not serve the health check, and then answers 403. Also what is wrong with the configuration.
fn asked_listener(arguments: &cli::HealthcheckArgs, environment: &Environment) -> (Option<AskedListener>, Diagnostics) {
    let (listeners, wrong) = config::checked_listeners(&arguments.files, environment);
    let listener = listeners.into_iter().min_by_key(|listener| (listener.lists_clients, listener.has_tls));
    let asked = listener.map(|listener| AskedListener {
        has_tls: listener.has_tls,
        // What runs may list clients that the file no longer names.
        statuses: if listener.lists_clients || !wrong.is_empty() { HEALTHY_OR_DENIED } else { HEALTHY },
        ..AskedListener::at(listener.address)
    });
    (asked, wrong)
}

/// Whether two addresses may be one listener, as far as their texts tell.
fn is_same(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Tcp { port: one, .. }, Address::Tcp { port: other, .. }) => one == other,
        (one, other) => one == other,
    }
}

impl AskedListener {
    /// A listener of which only the address is known.
    fn at(address: Address) -> Self {
        Self { address, name: "", has_tls: false, statuses: HEALTHY }
    }

    /// Sends a ping, over TLS if the listener speaks that.
    fn pinged(self) -> Pinged {
        match self.ping() {
            Ok(()) => Ok(self.address),
            Err(error) => Err((self.address, error)),
        }
    }

    /// Sends a ping, and expects one of the statuses.
    fn ping(&self) -> io::Result<()> {
        match &self.address {
            Address::Unix(path) => {
                let stream = connect_unix(path)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                self.ping_over(stream)?;
            }
            Address::Tcp { host, port } => {
                let connect = || {
                    let stream = connect_tcp(host, *port)?;
                    stream.set_read_timeout(Some(TIMEOUT))?;
                    Ok::<_, io::Error>(stream)
                };
                let pinged = if self.has_tls { Err(PingError::Tls) } else { self.ping_over(connect()?) };
                match pinged {
                    Err(PingError::Tls) => match Reception::of(connect()?, "localhost")? {
                        Reception::Served(stream) => self.ping_over(*stream)?,
                        Reception::AsksForCertificate => {}
                    },
                    pinged => pinged?,
                }
            }
        }
        Ok(())
    }

    /// Sends the request over a connected stream.
    fn ping_over(&self, mut stream: impl Read + Write) -> Result<(), PingError> {
        let name = self.name;
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
            [TLS_ALERT, ..] => return Err(PingError::Tls),
            [] => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            answer if answer.ends_with(b" 503") => ", as when the engine is down",
            _ => "",
        };
        Err(io::Error::other(format!("unexpected answer {:?}{why}", String::from_utf8_lossy(answer))).into())
    }
}

/// Why a ping has no good answer.
enum PingError {
    /// The listener speaks TLS.
    Tls,
    /// Another reason.
    Other(io::Error),
}

impl From<io::Error> for PingError {
    fn from(error: io::Error) -> Self {
        Self::Other(error)
    }
}

impl From<PingError> for io::Error {
    fn from(error: PingError) -> Self {
        match error {
            PingError::Tls => Self::other("it speaks TLS within TLS, or over a Unix socket"),
            PingError::Other(error) => error,
        }
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
    fn it_names_no_host_because_every_listener_accepts_that() {
        within_time_limit(|| {
            let (request, code, output) = checked("200 OK", "proxy.internal, other");
            assert!(request.contains("Host: \r\n"), "{request}");
            assert_eq!(code, OK, "{output}");
        });
    }

    #[test]
    fn any_other_answer_is_unhealthy() {
        within_time_limit(|| {
            let (request, code, output) = checked("503 Service Unavailable", "");
            assert!(request.contains("Host: \r\n"), "{request}");
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
            let asked = asked_listener(&arguments, &Environment::default()).0.unwrap();
            std::fs::remove_file(&file).unwrap();
            assert_eq!((asked.address.to_string().as_str(), asked.statuses), ("unix:///nowhere/b", HEALTHY));
        });
    }

    #[test]
    fn tls_is_tried_with_a_listener_that_speaks_it() {
        within_time_limit(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let target = format!("tcp://{}", listener.local_addr().unwrap());
            let answering = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(b"\x15\x03\x03\x00\x02\x02\x0a").unwrap();
                // Until the check leaves.
                let _ = stream.read_to_end(&mut Vec::new());
                let mut hello = [0; 1];
                listener.accept().unwrap().0.read_exact(&mut hello).unwrap();
                hello
            });
            let arguments = cli::HealthcheckArgs { target: Some(target), ..cli::HealthcheckArgs::default() };
            let code = healthcheck(&arguments, &Environment::default(), &mut Vec::new(), &mut Vec::new()).unwrap();
            // A handshake begins with a record of the type 22.
            assert_eq!((code, answering.join().unwrap()), (FAILED, [22]));
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
