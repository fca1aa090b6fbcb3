//! A tunnel: the connection of an attach, on which bytes pass in both directions after the heads.

use std::io::{Read, Write};
use std::net::Shutdown;

use super::client::Client;
use super::daemon::Connections;

/// The head by which an engine opens it.
pub(crate) const UPGRADED: &str = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
/// The request for it.
pub(crate) const ATTACH: &str = "POST /containers/web/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// Sends through a tunnel in both directions. The client ends its own first, and the other one goes on.
#[track_caller]
pub(crate) fn passes_both_ways(client: &mut Client, connections: &Connections) {
    client.send(ATTACH);
    assert!(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 101 "));
    let daemon = connections.next();
    client.send("in\0put");
    client.0.shutdown(Shutdown::Write).unwrap();
    let output = input_and_output(daemon);
    let read = client.rest();
    assert!(read == output, "{} bytes of {}", read.len(), output.len());
}

/// The side of the daemon: it reads `in\0put` to the end, and then writes its output, which is returned, and ends.
#[track_caller]
pub(crate) fn input_and_output(mut daemon: impl Read + Write) -> String {
    let mut input = Vec::new();
    daemon.read_to_end(&mut input).unwrap();
    assert_eq!(input, b"in\0put");
    let output = "output\0".repeat(50_000);
    daemon.write_all(output.as_bytes()).unwrap();
    output
}
