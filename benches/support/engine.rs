//! The upstream: a Docker engine with every answer prepared. It has one thread; the query of a request selects the answer.
//!
//! | request | answer |
//! |---|---|
//! | `/_ping`, `/version` | as an engine |
//! | `/containers/json?limit=N` | N of 5, 100, 1000, 10000 containers, in one chunk |
//! | `/containers/json?limit=N&all=1` | the same, its last element [`DELAY`] late |
//! | `/containers/ID/json` | one container |
//! | `/containers/FRAMING/logs?tail=N` | N MiB of frames, `FRAMING` as in [`Framing::named`] |
//! | `/events?since=N` | N lines, one every [`PACE`], each with the time it was sent |
//! | `/events` | a head and no events |
//! | `/bench/streams` | for the bench only: the number of open silent streams, and the time at which the last one closed |

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::answers::{chunk, chunked, chunked_head, ping, unversioned, version};
use super::upstream::{self, Upstream};
use super::{documents, wire};

/// How late the last element of a delayed list is.
pub(crate) const DELAY: Duration = Duration::from_millis(400);
/// Time between two event lines.
const PACE: Duration = Duration::from_millis(2);
/// The size of a write of log frames, in bytes.
const WRITE: usize = 256 * 1024;
/// The sizes of the prepared lists.
const SIZES: [usize; 4] = [5, 100, 1_000, 10_000];

/// The prepared answers, and the open streams.
struct Engine {
    ping: Vec<u8>,
    ping_head: Vec<u8>,
    version: Vec<u8>,
    inspect: Vec<u8>,
    lists: HashMap<usize, List>,
    framings: HashMap<&'static str, Framing>,
    silent: Cell<usize>,
    closed: Cell<u128>,
}

/// A list as it is written, and the position of its last element.
struct List {
    whole: Vec<u8>,
    delayed: Vec<u8>,
    last: usize,
}

/// Log frames, which are written again and again.
struct Framing {
    bytes: Vec<u8>,
    /// Bytes of log in them, with frame headers and without chunk sizes.
    log: usize,
}

/// Serves on `path` until the bench ends.
pub(crate) fn run(path: &Path) -> io::Result<()> {
    upstream::run(path, Engine::new())
}

impl Engine {
    /// Prepares the answers.
    fn new() -> Engine {
        let ping = ping();
        let ping_head = ping[..ping.len() - 2].to_vec();
        Engine {
            ping,
            ping_head,
            version: version(),
            inspect: chunked(&[&documents::inspect()]),
            lists: SIZES.into_iter().map(|size| (size, List::new(size))).collect(),
            framings: ["16k-batched", "16k-single", "128-batched", "128-single"]
                .into_iter()
                .map(|name| (name, Framing::named(name)))
                .collect(),
            silent: Cell::new(0),
            closed: Cell::new(0),
        }
    }

    /// Writes `count` events, each a chunk.
    async fn events(&self, count: usize, stream: &mut UnixStream) -> io::Result<()> {
        let mut ticks = tokio::time::interval(PACE);
        for _ in 0..count {
            ticks.tick().await;
            let line = documents::event(wire::now());
            stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).await?;
        }
        stream.write_all(b"0\r\n\r\n").await
    }

    /// Sends nothing until the client is gone.
    async fn silence(&self, stream: &mut UnixStream) {
        self.silent.set(self.silent.get() + 1);
        stream.read(&mut [0; 1]).await.unwrap_or_default();
        self.closed.set(wire::now());
        self.silent.set(self.silent.get() - 1);
    }
}

impl Upstream for Engine {
    async fn answer(&self, method: &str, target: &str, stream: &mut UnixStream) -> io::Result<bool> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let number = |name: &str| -> Option<usize> {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        };
        match unversioned(path).trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
            ["_ping"] if method == "HEAD" => stream.write_all(&self.ping_head).await?,
            ["_ping"] => stream.write_all(&self.ping).await?,
            ["version"] => stream.write_all(&self.version).await?,
            ["containers", "json"] => {
                let list = &self.lists[&number("limit").unwrap_or(100)];
                if number("all") == Some(1) {
                    stream.write_all(&list.delayed[..list.last]).await?;
                    tokio::time::sleep(DELAY).await;
                    stream.write_all(&list.delayed[list.last..]).await?;
                } else {
                    stream.write_all(&list.whole).await?;
                }
            }
            ["containers", _, "json"] => stream.write_all(&self.inspect).await?,
            ["containers", framing, "logs"] => {
                let framing = &self.framings[framing];
                let writes = number("tail").unwrap_or(1) * 1024 * 1024 / framing.log;
                stream.write_all(chunked_head("application/vnd.docker.multiplexed-stream").as_bytes()).await?;
                for _ in 0..writes {
                    stream.write_all(&framing.bytes).await?;
                }
                stream.write_all(b"0\r\n\r\n").await?;
            }
            ["events"] => {
                stream.write_all(chunked_head("application/json").as_bytes()).await?;
                match number("since") {
                    Some(count) => self.events(count, stream).await?,
                    None => {
                        self.silence(stream).await;
                        return Ok(false);
                    }
                }
            }
            ["bench", "streams"] => {
                let body = format!("{} {}", self.silent.get(), self.closed.get());
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await?;
            }
            _ => {
                stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await?;
            }
        }
        Ok(true)
    }
}

impl List {
    /// A list of that many containers.
    fn new(size: usize) -> List {
        let body = documents::list(size);
        let last = body.windows(7).rposition(|window| window == br#",{"Id":"#).unwrap_or_default();
        let delayed = chunked(&[&body[..last], &body[last..]]);
        let tail = body.len() - last + format!("\r\n{:x}\r\n\r\n0\r\n\r\n", body.len() - last).len();
        List { whole: chunked(&[&body]), last: delayed.len() - tail, delayed }
    }
}

impl Framing {
    /// `16k` or `128` is the payload of a frame. `batched`: each write is one chunk. `single`: each frame is a chunk, as
    /// from an engine that flushes each frame.
    fn named(name: &str) -> Framing {
        let payload = if name.starts_with("16k") { 16 * 1024 } else { 128 };
        let mut frame = vec![1, 0, 0, 0];
        frame.extend_from_slice(&(payload as u32).to_be_bytes());
        frame.extend((0..payload).map(|at| if at + 1 == payload { b'\n' } else { b'a' + (at % 26) as u8 }));
        let count = WRITE / payload;
        let log = count * frame.len();
        let bytes = if name.ends_with("batched") { chunk(&frame.repeat(count)) } else { chunk(&frame).repeat(count) };
        Framing { bytes, log }
    }
}
