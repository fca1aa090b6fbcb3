//! What the upstreams of the bench share: one thread, and on each connection one request after another.

use std::io;
use std::path::Path;
use std::rc::Rc;

use tokio::io::AsyncReadExt;
use tokio::net::{UnixSocket, UnixStream};
use tokio::task::LocalSet;

use super::wire;

/// How an upstream answers.
pub(crate) trait Upstream: 'static {
    /// Writes the answer to one request; returns whether another may follow.
    async fn answer(&self, method: &str, target: &str, stream: &mut UnixStream) -> io::Result<bool>;
}

/// Serves on `path` until standard input ends, which it does when the bench ends.
pub(crate) fn run(path: &Path, upstream: impl Upstream) -> io::Result<()> {
    std::thread::spawn(|| {
        io::copy(&mut io::stdin(), &mut io::sink()).unwrap_or_default();
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let upstream = Rc::new(upstream);
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        let listener = socket.listen(4096)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let upstream = Rc::clone(&upstream);
            // An error means that the client went away.
            tokio::task::spawn_local(async move { serve(&*upstream, stream).await.unwrap_or_default() });
        }
    })
}

/// Answers the requests of one connection, one after the other.
async fn serve(upstream: &impl Upstream, mut stream: UnixStream) -> io::Result<()> {
    let (mut buffer, mut filled) = (vec![0; 1024], 0);
    loop {
        let Some(end) = wire::find(&buffer[..filled], b"\r\n\r\n") else {
            if filled == buffer.len() {
                buffer.resize(filled * 2, 0);
            }
            match stream.read(&mut buffer[filled..]).await? {
                0 => return Ok(()),
                read => filled += read,
            }
            continue;
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.copy_within(end + 4..filled, 0);
        filled -= end + 4;
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if !upstream.answer(method, target, &mut stream).await? {
            return Ok(());
        }
    }
}
