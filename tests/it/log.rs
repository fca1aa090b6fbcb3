//! The log: every exchange is one line, which is written at once, and no line is lost.

use crate::support::client::{Client, get, status};
use crate::support::daemon::{Daemon, json};
use crate::support::program::Program;
use crate::support::proxy::Folder;

#[test]
fn the_line_of_an_exchange_is_written_at_once() {
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = Program::between(&folder);
    program.listening();
    let mut client = Client::connect(&folder.path("listener"));
    // Nothing else happens that could bring a line out: neither another exchange nor the end of a connection.
    for _ in 0..3 {
        client.send(get("/_ping"));
        assert_eq!(status(&client.response()), 200);
        let line = program.line();
        assert!(
            line.contains("INFO exchange operation=\"SystemPing\" decision=\"relay\" status=200 bytes=2"),
            "{line}"
        );
    }
}

#[test]
fn no_line_is_lost_when_the_program_stops() {
    const CLIENTS: usize = 8;
    const EXCHANGES: usize = 50;
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), |_| json("[]"));
    let program = Program::between(&folder);
    program.listening();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let mut client = Client::connect(&folder.path("listener"));
            scope.spawn(move || {
                // All requests are sent at once, so that many lines are made at a time.
                client.send(get("/containers/json").repeat(EXCHANGES));
                for _ in 0..EXCHANGES {
                    assert_eq!(status(&client.read_until("\r\n\r\n")), 200);
                    client.read_until("0\r\n\r\n");
                }
            });
        }
    });
    let (ended, lines) = program.stop();
    assert!(ended.success(), "{ended}");
    let exchanges = lines.iter().filter(|line| line.contains("INFO exchange operation=\"ContainerList\""));
    assert_eq!(exchanges.count(), CLIENTS * EXCHANGES);
    assert!(lines.iter().any(|line| line.ends_with("INFO stopping")));
}
