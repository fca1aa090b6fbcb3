//! A connection that is not one socket, such as TLS or the two pipes of a process, as a socket of its own: its bytes are carried
//! through a pair of Unix sockets within this process. So everything works as without it: streams, tunnels, and directions that
//! end on their own.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::ready;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;

use super::{Socket, SocketBuffers};

/// The most that is read at a time, in bytes: a record of TLS.
const RECORD: usize = 16 * 1024;
/// The most that is written at a time, in bytes.
const PIECE: usize = 64 * 1024;
/// How long the other side may take nothing once the socket has been dropped: nobody else limits that any more.
const STALL: Duration = Duration::from_secs(3);
/// How long to wait for the reason once nothing is taken any more.
const CAUSE_TIMEOUT: Duration = Duration::from_secs(3);

thread_local! {
    // What one read takes. A connection that is silent holds no buffer.
    static RECEIVED: RefCell<Vec<u8>> = RefCell::new(vec![0; RECORD]);
}

/// Why a connection broke that is carried; nothing while it has not. Its socket reports that in place of an end.
#[derive(Clone, Debug, Default)]
pub struct Breakage(Arc<OnceLock<BrokenConnection>>);

impl Breakage {
    /// The error in place of an end, if the connection broke.
    pub(super) fn error(&self) -> Option<io::Error> {
        let broken = self.0.get()?;
        Some(io::Error::new(broken.kind, broken.clone()))
    }
}

/// Why a connection broke that is carried. Its source is the error.
#[derive(Clone, Debug)]
pub struct BrokenConnection {
    kind: io::ErrorKind,
    error: Arc<dyn Error + Send + Sync>,
}

impl fmt::Display for BrokenConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)
    }
}

impl Error for BrokenConnection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

/// Carries bytes between a connection and its socket.
#[derive(Debug)]
pub struct Carrier {
    /// The other end of the socket.
    ours: Socket,
    breakage: Breakage,
}

impl Carrier {
    /// A socket, and what carries its bytes.
    ///
    /// # Errors
    /// The error of the system.
    pub fn new() -> io::Result<(Socket, Self)> {
        let (ours, carried) = UnixStream::pair()?;
        SocketBuffers::apply_to_unix(&ours);
        SocketBuffers::apply_to_unix(&carried);
        let breakage = Breakage::default();
        Ok((Socket::Carried(carried, breakage.clone()), Self { ours: Socket::Unix(ours), breakage }))
    }

    /// Carries bytes until both directions have ended, or the connection broke. `end` says whether the end of `from` is a proper
    /// one. Once the socket has been dropped, the other side has `linger` to end its direction.
    ///
    /// Cancel safety: when dropped, the connection is closed.
    pub async fn carry(
        self,
        from: impl AsyncRead + Unpin,
        to: impl AsyncWrite + Unpin,
        end: impl Future<Output = io::Result<()>>,
        linger: Duration,
    ) {
        let Self { ours, breakage } = &self;
        if let Err(error) = carry(ours, (from, to), end, linger).await {
            let kind = error.kind();
            let error: Arc<dyn Error + Send + Sync> = match error.into_inner() {
                Some(inner) => inner.into(),
                None => Arc::new(io::Error::from(kind)),
            };
            // Before the socket is closed, which is read as an end.
            let _ = breakage.0.set(BrokenConnection { kind, error });
        }
    }
}

/// Carries bytes in both directions.
///
/// # Errors
/// The connection broke.
async fn carry(
    ours: &Socket,
    (from, to): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    end: impl Future<Output = io::Result<()>>,
    linger: Duration,
) -> io::Result<()> {
    let up = pass_in(from, ours, end);
    let down = pass_out(ours, to);
    tokio::pin!(up, down);
    tokio::select! {
        ended = &mut up => {
            ended?;
            down.await
        }
        ended = &mut down => match ended {
            Ok(()) => tokio::select! {
                ended = &mut up => ended,
                // Who is still sending can read the last bytes all the same.
                () = ours.closed() => tokio::time::timeout(linger, up).await.unwrap_or(Ok(())),
            },
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(error),
            // What comes last may say why nothing is taken any more.
            Err(error) => match tokio::time::timeout(CAUSE_TIMEOUT, up).await {
                Ok(Err(cause)) => Err(cause),
                Ok(Ok(())) | Err(_) => Err(error),
            },
        }
    }
}

/// Passes on what the connection brings, and then its end. What we refuse is discarded.
///
/// # Errors
/// The connection broke. It is also broken if TLS ends without saying so, because somebody else may have cut it.
async fn pass_in(
    mut from: impl AsyncRead + Unpin,
    ours: &Socket,
    end: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let mut is_refused = false;
    loop {
        let bytes = read(&mut from).await?;
        if bytes.is_empty() {
            end.await?;
            // It fails only on a connection that has ended.
            let _ = ours.finish();
            return Ok(());
        }
        is_refused = is_refused || ours.write_all(&bytes).await.is_err();
    }
}

/// Passes on what we send, and then the end of our direction.
///
/// # Errors
/// The connection broke, or takes nothing any more.
async fn pass_out(ours: &Socket, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    loop {
        let mut bytes = Vec::new();
        if ours.read_some(|read| bytes.extend_from_slice(read)).await? == 0 {
            return unless_abandoned(ours, to.shutdown()).await;
        }
        for piece in bytes.chunks(PIECE) {
            let written = async {
                to.write_all(piece).await?;
                to.flush().await
            };
            unless_abandoned(ours, written).await?;
        }
    }
}

/// Waits for a write. Once the socket has been dropped, a piece has [`STALL`] to leave.
///
/// # Errors
/// The connection broke, or takes nothing any more.
async fn unless_abandoned(ours: &Socket, written: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::select! {
        // In this order: a write that takes no time starts no timer.
        biased;
        written = written => written,
        () = abandoned(ours) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Waits until the socket has been dropped for a while.
async fn abandoned(ours: &Socket) {
    loop {
        tokio::time::sleep(STALL).await;
        if tokio::time::timeout(Duration::ZERO, ours.closed()).await.is_ok() {
            return;
        }
    }
}

/// Reads what has arrived; nothing at the end.
async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    poll_fn(|cx| {
        RECEIVED.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer))?;
            Ok(buffer.filled().to_vec()).into()
        })
    })
    .await
}
