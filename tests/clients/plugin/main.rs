//! A plugin for Docker: a volume driver that has no volumes. It is one static program without a runtime of its own, so that an
//! archive with nothing else in it is a plugin. It runs in the engine's process namespace (`pidhost`), where SIGTERM ends it.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Where the engine looks for the plugin's socket.
const SOCKET: &str = "/run/docker/plugins/plugin.sock";

fn main() -> std::io::Result<()> {
    std::fs::create_dir_all(Path::new(SOCKET).parent().unwrap())?;
    let _ = std::fs::remove_file(SOCKET);
    for connection in UnixListener::bind(SOCKET)?.incoming() {
        let mut connection = connection?;
        let mut request = [0; 8192];
        let length = connection.read(&mut request)?;
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        let answer = match request.split(' ').nth(1).unwrap_or_default() {
            "/Plugin.Activate" => r#"{"Implements": ["VolumeDriver"]}"#,
            "/VolumeDriver.Capabilities" => r#"{"Capabilities": {"Scope": "local"}}"#,
            "/VolumeDriver.List" => r#"{"Volumes": []}"#,
            _ => r#"{"Err": "no volumes here"}"#,
        };
        // The engine may be gone already: it connects once only to see whether somebody listens.
        let _ = write!(
            connection,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
            answer.len()
        );
    }
    Ok(())
}
