//! Addresses, and the HTTP/1.1 that the engine and the load need. It is strict: anything unexpected ends the bench.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls;

/// Bytes read at a time, as much as a Unix socket holds.
const READ: usize = 256 * 1024;

/// Where a process listens.
#[derive(Clone, Debug)]
pub(crate) enum Location {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp(SocketAddr),
    /// A TCP port with TLS, and the folder of the certificates.
    Tls(SocketAddr, PathBuf),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Unix(path) => write!(f, "unix://{}", path.display()),
            Location::Tcp(address) => write!(f, "tcp://{address}"),
            Location::Tls(address, folder) => write!(f, "tls://{address}{}", folder.display()),
        }
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Location, String> {
        if let Some(path) = text.strip_prefix("unix://") {
            return Ok(Location::Unix(path.into()));
        }
        if let Some((address, folder)) = text.strip_prefix("tls://").and_then(|rest| rest.split_once('/')) {
            let address = address.parse().map_err(|error| format!("{text}: {error}"))?;
            return Ok(Location::Tls(address, PathBuf::from(format!("/{folder}"))));
        }
        let address = text.strip_prefix("tcp://").ok_or_else(|| format!("{text}: neither unix:// nor tcp://"))?;
        address.parse().map(Location::Tcp).map_err(|error| format!("{text}: {error}"))
    }
}

/// A connected socket of either kind.
pub(crate) enum Socket {
    /// To a Unix socket.
    Unix(UnixStream),
    /// To a TCP port.
    Tcp(TcpStream),
    /// To a TCP port with TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Connects to `location`.
    pub(crate) async fn connect(location: &Location) -> io::Result<Socket> {
        match location {
            Location::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
            Location::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Location::Tls(address, folder) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let connector = TlsConnector::from(tls::client(folder)?);
                let name = "localhost".try_into().map_err(io::Error::other)?;
                Ok(Socket::Tls(Box::new(connector.connect(name, stream).await?)))
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Unix(_) | Socket::Tcp(_) => Poll::Ready(Ok(())),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Nanoseconds on the clock that all processes share.
pub(crate) fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

/// A client connection with the bytes read ahead.
pub(crate) struct Connection {
    socket: Socket,
    buffer: Vec<u8>,
    /// Where the unread bytes in `buffer` begin.
    start: usize,
    /// Where they end.
    end: usize,
    body: Body,
}

impl Connection {
    /// Connects to `location`. A large `buffer` is for large bodies; there may be thousands of connections without one.
    pub(crate) async fn open(location: &Location, large: bool) -> io::Result<Connection> {
        let buffer = vec![0; if large { READ } else { 1024 }];
        Ok(Connection { socket: Socket::connect(location).await?, buffer, start: 0, end: 0, body: Body::Ended })
    }

    /// Sends a GET for `target`.
    pub(crate) async fn get(&mut self, target: &str) -> io::Result<()> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n\r\n");
        self.socket.write_all(head.as_bytes()).await?;
        self.socket.flush().await
    }

    /// Reads the head of the answer; returns its status.
    pub(crate) async fn head(&mut self) -> io::Result<u16> {
        loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            if let Some(length) = find(unread, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&unread[..length]).to_ascii_lowercase();
                self.start += length + 4;
                self.body = Body::announced(&head);
                return head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(|| broken("no status"));
            }
            self.fill().await?;
        }
    }

    /// Reads the next bytes of the body; `None` at its end.
    pub(crate) async fn body(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            match self.body.next(unread)? {
                Step::Payload { skip, length } => {
                    let at = self.start + skip;
                    self.start = at + length;
                    return Ok(Some(&self.buffer[at..at + length]));
                }
                Step::Ended { skip } => {
                    self.start += skip;
                    return Ok(None);
                }
                Step::More { skip } => self.start += skip,
            }
            self.fill().await?;
        }
    }

    /// Reads the body to its end; returns its length.
    pub(crate) async fn skip_body(&mut self) -> io::Result<u64> {
        let mut bytes = 0;
        while let Some(part) = self.body().await? {
            bytes += part.len() as u64;
        }
        Ok(bytes)
    }

    /// Reads from the socket into the buffer. The end of the connection is an error: more is expected.
    async fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            return Err(broken("head or chunk size does not fit the buffer"));
        }
        match self.socket.read(&mut self.buffer[self.end..]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.end += length;
                Ok(())
            }
        }
    }
}

/// The rest of a body.
enum Body {
    /// Nothing.
    Ended,
    /// That many bytes.
    Length(u64),
    /// The size line of a chunk.
    Size,
    /// That many bytes of a chunk, with the line end after it.
    Chunk(u64),
    /// The line end after the last chunk.
    Trailer,
}

/// The next step through a body.
enum Step {
    /// After `skip` bytes of framing, `length` bytes of body.
    Payload { skip: usize, length: usize },
    /// After `skip` bytes the body is over.
    Ended { skip: usize },
    /// `skip` bytes were framing; more are needed.
    More { skip: usize },
}

impl Body {
    /// The body announced by `head`, which is in lower case.
    fn announced(head: &str) -> Body {
        if head.contains("\r\ntransfer-encoding: chunked") {
            return Body::Size;
        }
        let length = head.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        length.and_then(|digits| digits.trim().parse().ok()).map_or(Body::Ended, Body::Length)
    }

    /// The next step through `bytes`.
    fn next(&mut self, bytes: &[u8]) -> io::Result<Step> {
        let mut skip = 0;
        loop {
            let rest = bytes.get(skip..).unwrap_or_default();
            match *self {
                Body::Ended | Body::Length(0) => {
                    *self = Body::Ended;
                    return Ok(Step::Ended { skip });
                }
                Body::Length(left) => {
                    let length = (left as usize).min(rest.len());
                    if length == 0 {
                        return Ok(Step::More { skip });
                    }
                    *self = Body::Length(left - length as u64);
                    return Ok(Step::Payload { skip, length });
                }
                Body::Size => {
                    let Some(line) = rest.iter().take(20).position(|byte| *byte == b'\n') else {
                        return Ok(Step::More { skip });
                    };
                    let digits = rest.get(..line.saturating_sub(1)).unwrap_or_default();
                    let size = hex(digits).ok_or_else(|| broken("chunk size"))?;
                    skip += line + 1;
                    *self = if size == 0 { Body::Trailer } else { Body::Chunk(size) };
                }
                Body::Chunk(0) => {
                    if rest.len() < 2 {
                        return Ok(Step::More { skip });
                    }
                    skip += 2;
                    *self = Body::Size;
                }
                Body::Chunk(left) => {
                    let length = (left as usize).min(rest.len());
                    if length == 0 {
                        return Ok(Step::More { skip });
                    }
                    *self = Body::Chunk(left - length as u64);
                    return Ok(Step::Payload { skip, length });
                }
                Body::Trailer => {
                    if rest.len() < 2 {
                        return Ok(Step::More { skip });
                    }
                    if !rest.starts_with(b"\r\n") {
                        return Err(broken("trailer"));
                    }
                    skip += 2;
                    *self = Body::Ended;
                }
            }
        }
    }
}

/// The number with these digits.
fn hex(digits: &[u8]) -> Option<u64> {
    let value = |byte: &u8| (*byte as char).to_digit(16).map(u64::from);
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, |sum, byte| Some(sum * 16 + value(byte)?)))?
}

/// Where `needle` begins in `bytes`.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// An unexpected answer.
fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
