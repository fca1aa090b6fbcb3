//! Which listener takes which socket of the service manager.

use std::net::IpAddr;
use std::sync::Arc;

use super::files::is_same_path;
use super::is_loopback;
use super::raw::RawListener;
use crate::quoting;
use crate::socket::{Address, PassedSocket, PassedSockets, SocketOwner};
use crate::yaml::{Diagnostic, Diagnostics, Location};

/// Gives each listener the socket that was passed for it: the one of its `fd_name`, else the one with its address. Every socket
/// must have a listener, and every `fd_name` a socket.
///
/// `is_file` says whether a file says what the listeners are, and not the variables of another proxy.
pub(super) fn assign(
    listeners: &mut [RawListener],
    passed: &PassedSockets,
    is_file: bool,
    diagnostics: &mut Diagnostics,
) {
    let place = Location::file("LISTEN_FDS");
    for error in &passed.errors {
        diagnostics.report(&place, error.clone());
    }
    let mut left = passed.sockets.clone();
    for listener in &mut *listeners {
        let found = match &listener.fd_name {
            Some((name, location)) => diagnostics.ok(named(name, location, &listener.address, &left)).flatten(),
            None => left.iter().position(|socket| is_at(&listener.address, &socket.address)),
        };
        let Some(number) = found else { continue };
        listener.passed = Some(left.remove(number));
        let has_owner = listener.mode.is_some() || listener.owner != SocketOwner::default();
        if is_file && has_owner {
            let message = "the service manager has made its socket: `mode` and `owner` are those of the socket unit";
            diagnostics.report(&listener.location, message);
        }
    }
    // With another error, this may follow from that.
    if !diagnostics.is_empty() {
        return;
    }
    for socket in &left {
        let PassedSocket { name, address, .. } = &**socket;
        let message = format!(
            "the socket {:?} that was passed listens on {address}, and no listener takes it",
            quoting::value(name)
        );
        diagnostics.report(&place, message);
    }
}

/// The number of the socket with a name. It must listen where the listener does, as far as that can be told.
fn named(
    name: &str,
    location: &Location,
    address: &Address,
    left: &[Arc<PassedSocket>],
) -> Result<Option<usize>, Diagnostic> {
    let has_name = |socket: &&Arc<PassedSocket>| socket.name == name;
    let fits = |socket: &Arc<PassedSocket>| socket.name == name && may_be_at(address, &socket.address);
    if let Some(number) = left.iter().position(fits) {
        return Ok(Some(number));
    }
    let found = quoting::value(name);
    let message = match left.iter().find(has_name) {
        Some(other) => format!("the socket {found:?} listens on {}, expected {address}", other.address),
        None if left.is_empty() => format!("no socket {found:?} was passed: start dockveil by its socket unit"),
        None => {
            let names: Vec<&str> = left.iter().map(|socket| socket.name.as_str()).collect();
            format!("no socket {found:?} was passed, expected one of {}", names.join(", "))
        }
    };
    Err(Diagnostic::new(location, message))
}

/// Whether a socket listens at the address of a listener.
fn is_at(listener: &Address, socket: &Address) -> bool {
    match (listener, socket) {
        (Address::Unix(wanted), Address::Unix(found)) => is_same_path(wanted, found),
        (Address::Tcp { host, port }, Address::Tcp { host: found, port: listening }) => {
            let ip = |host: &str| host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
            let is_same = ip(host).is_some() && ip(host) == ip(found);
            port == listening && (is_same || host.eq_ignore_ascii_case("localhost") && is_loopback(found))
        }
        (Address::Unix(_), Address::Tcp { .. }) | (Address::Tcp { .. }, Address::Unix(_)) => false,
    }
}

/// Whether a socket may listen at the address of a listener. What a host name means is not asked, and the path of the service
/// manager may be none here: with another root.
fn may_be_at(listener: &Address, socket: &Address) -> bool {
    match (listener, socket) {
        (Address::Tcp { host, port }, Address::Tcp { port: listening, .. }) if host.parse::<IpAddr>().is_err() => {
            port == listening
        }
        (Address::Unix(_), Address::Unix(found)) if std::fs::symlink_metadata(found).is_err() => true,
        (listener, socket) => is_at(listener, socket),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::socket::PassedListener;
    use crate::time_limit::within_time_limit;

    fn listener(address: &str, name: Option<&str>) -> RawListener {
        let fd_name = name.map(|name| (name.to_owned(), Location::file("name")));
        RawListener { fd_name, ..RawListener::at(address.parse().unwrap(), Location::file("listener")) }
    }

    /// What becomes of listeners and sockets, each with a name and an address: the name of the socket of each listener.
    fn assigned(mut listeners: Vec<RawListener>, sockets: &[(&str, &str)]) -> Result<Vec<Option<String>>, Vec<String>> {
        let socket = |(name, address): &(&str, &str)| {
            let listener = PassedListener::Tcp(TcpListener::bind("127.0.0.1:0").unwrap());
            Arc::new(PassedSocket { name: (*name).to_owned(), address: address.parse().unwrap(), listener })
        };
        let passed = PassedSockets { sockets: sockets.iter().map(socket).collect(), errors: Vec::new() };
        let mut diagnostics = Diagnostics::default();
        assign(&mut listeners, &passed, true, &mut diagnostics);
        let names = listeners.iter().map(|one| one.passed.as_ref().map(|socket| socket.name.clone())).collect();
        diagnostics.finish(names).map_err(|wrong| wrong.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_listener_takes_the_socket_with_its_address() {
        within_time_limit(|| {
            for (listen, socket, is_taken) in [
                ("unix:///run/a", "unix:///run/a", true),
                ("unix:///run/a", "unix:///run/b", false),
                ("unix:///usr/../proc/self/status", "unix:///proc/self/status", true),
                ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1", true),
                ("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", false),
                ("tcp://localhost:1", "tcp://127.0.0.1:1", true),
                ("tcp://localhost:1", "tcp://[::1]:1", true),
                ("tcp://localhost:1", "tcp://0.0.0.0:1", false),
                // A socket for all addresses shows more than one for some.
                ("tcp://127.0.0.1:1", "tcp://0.0.0.0:1", false),
                ("tcp://0.0.0.0:1", "tcp://[::]:1", false),
                ("tcp://[::ffff:10.0.0.1]:1", "tcp://10.0.0.1:1", true),
                ("tcp://dockveil:1", "tcp://10.0.0.1:1", false),
                ("tcp://127.0.0.1:1", "unix:///run/a", false),
            ] {
                let found = assigned(vec![listener(listen, None)], &[("docker", socket)]);
                let expected = if is_taken {
                    Ok(vec![Some("docker".to_owned())])
                } else {
                    let message = "and no listener takes it";
                    Err(vec![format!(
                        "LISTEN_FDS: the socket \"docker\" that was passed listens on {socket}, {message}"
                    )])
                };
                assert_eq!(found, expected, "{listen}");
            }
            // Others are opened as always.
            let two = vec![listener("unix:///run/b", None), listener("unix:///run/a", None)];
            assert_eq!(assigned(two, &[("docker", "unix:///run/a")]), Ok(vec![None, Some("docker".to_owned())]));
            assert_eq!(assigned(vec![listener("unix:///run/a", None)], &[]), Ok(vec![None]));
        });
    }

    #[test]
    fn a_name_must_be_that_of_a_socket_at_the_same_address() {
        within_time_limit(|| {
            let sockets = [("a", "unix:///run/a"), ("b", "tcp://10.0.0.1:1"), ("b", "tcp://10.0.0.2:1")];
            let all = |names: [Option<&str>; 3]| {
                let addresses = ["tcp://10.0.0.2:1", "unix:///run/a", "tcp://dockveil:1"];
                addresses.into_iter().zip(names).map(|(address, name)| listener(address, name)).collect::<Vec<_>>()
            };
            let taken = assigned(all([Some("b"), Some("a"), Some("b")]), &sockets).unwrap();
            assert_eq!(taken, ["b", "a", "b"].map(|name| Some(name.to_owned())));
            // With another root, its path is another one, or none.
            let elsewhere = assigned(vec![listener("unix:///run/a", Some("a"))], &[("a", "unix:///nowhere/run/a")]);
            assert_eq!(elsewhere, Ok(vec![Some("a".to_owned())]));
            let wrong = |address: &str, name: &str, sockets: &[(&str, &str)]| {
                assigned(vec![listener(address, Some(name))], sockets).unwrap_err().join("; ")
            };
            assert_eq!(
                wrong("unix:///run/a", "a", &[]),
                "name: no socket \"a\" was passed: start dockveil by its socket unit"
            );
            assert_eq!(
                wrong("unix:///run/a", "c", &sockets),
                "name: no socket \"c\" was passed, expected one of a, b, b"
            );
            assert_eq!(
                wrong("unix:///run/c", "a", &[("a", "unix:///proc/self/status")]),
                "name: the socket \"a\" listens on unix:///proc/self/status, expected unix:///run/c"
            );
            assert_eq!(
                wrong("tcp://dockveil:2", "b", &sockets[1..2]),
                "name: the socket \"b\" listens on tcp://10.0.0.1:1, expected tcp://dockveil:2"
            );
        });
    }

    #[test]
    fn a_socket_that_was_passed_has_its_mode_and_owner() {
        within_time_limit(|| {
            let with = |mode, owner| RawListener { mode, owner, ..listener("unix:///run/a", None) };
            let owned = SocketOwner { user: Some(1), group: None };
            for (listener, count) in [
                (with(None, SocketOwner::default()), 0),
                (with(Some(0o660), SocketOwner::default()), 1),
                (with(None, owned), 1),
            ] {
                let found = assigned(vec![listener], &[("a", "unix:///run/a")]);
                assert_eq!(found.map_or_else(|wrong| wrong.len(), |_| 0), count);
            }
        });
    }
}
