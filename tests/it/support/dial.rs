//! What `docker system dial-stdio` does at the other end of `ssh`: this program again, in the place of the stand-in for ssh.

use std::io::{Read, Write, copy};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

/// Copies standard input to a socket and ends that direction, and the socket to standard output until it ends.
pub(crate) fn run(socket: &str) -> std::io::Result<()> {
    let mut engine = UnixStream::connect(socket)?;
    let mut to_engine = engine.try_clone()?;
    std::thread::spawn(move || {
        // The end of the other direction ends the process.
        let _ = copy(&mut std::io::stdin(), &mut to_engine);
        let _ = to_engine.shutdown(Shutdown::Write);
    });
    let (mut out, mut bytes) = (std::io::stdout(), vec![0; 64 * 1024]);
    loop {
        let length = engine.read(&mut bytes)?;
        if length == 0 {
            return Ok(());
        }
        out.write_all(&bytes[..length])?;
        out.flush()?;
    }
}
