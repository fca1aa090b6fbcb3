//! TLS of a connection. It is decrypted into a pair of sockets, so that everything behind it works as without TLS: streams,
//! tunnels, and directions that end on their own.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::ready;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::slots::ConnectionSlot;
use crate::socket::Socket;
use crate::tls::{CertificateNames, ServerTls};

/// The most that is decrypted at a time, in bytes: a record of TLS.
const RECORD: usize = 16 * 1024;
/// How long a client has to end its direction once we have closed the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

thread_local! {
    // What one read takes. A connection that is silent holds no buffer.
    static DECRYPTED: RefCell<Vec<u8>> = RefCell::new(vec![0; RECORD]);
}

/// Why a connection has no TLS.
#[derive(Debug)]
pub(super) enum HandshakeError {
    /// The client did not finish in time.
    Slow,
    /// It failed, on either side.
    Failed(io::Error),
    /// The client has no certificate.
    NoCertificate,
}

impl HandshakeError {
    /// Why a handshake failed.
    fn of(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(_) | None => Self::Failed(error),
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow => f.write_str("the client did not finish in time"),
            Self::Failed(error) => write!(f, "{error}"),
            Self::NoCertificate => f.write_str("the client has no certificate"),
        }
    }
}

/// The certificate of a client that has proved that it has its key, with those that lead to its authority.
#[derive(Clone, Debug)]
pub(super) struct ProvenCertificate(Arc<[CertificateDer<'static>]>);

impl ProvenCertificate {
    /// What it says of the client.
    pub(super) fn names(&self) -> CertificateNames {
        self.0.first().map(|certificate| CertificateNames::read(certificate)).unwrap_or_default()
    }

    /// Whether a client with it could connect now.
    pub(super) fn is_accepted_by(&self, tls: &ServerTls) -> bool {
        self.0.split_first().is_some_and(|(certificate, others)| tls.accepts(certificate, others))
    }
}

/// Makes a connection one of TLS. Returns what it carries, and the client's certificate. The connection has its
/// slot until it is closed.
///
/// Cancel safety: when dropped, the connection is closed.
///
/// # Errors
/// [`HandshakeError`]; the client has been told as much as TLS tells.
pub(super) async fn accept(
    tls: &ServerTls,
    socket: TcpStream,
    timeout: Duration,
    slot: &Arc<ConnectionSlot>,
) -> Result<(Socket, ProvenCertificate), HandshakeError> {
    let handshake = TlsAcceptor::from(tls.config()).accept(socket);
    let stream = tokio::time::timeout(timeout, handshake).await.map_err(|_| HandshakeError::Slow)?;
    let stream = stream.map_err(HandshakeError::of)?;
    let (_, session) = stream.get_ref();
    let chain = session.peer_certificates().filter(|chain| !chain.is_empty()).ok_or(HandshakeError::NoCertificate)?;
    let certificate = ProvenCertificate(chain.iter().map(|one| one.clone().into_owned()).collect());
    let (ours, decrypted) = UnixStream::pair().map_err(HandshakeError::Failed)?;
    let slot = slot.clone();
    tokio::spawn(async move {
        carry(stream, Socket::Unix(ours)).await;
        drop(slot);
    });
    Ok((Socket::Decrypted(decrypted), certificate))
}

/// Carries bytes between a client and this program until both directions have ended, or the connection broke. Dropping both
/// sockets tells either side that it did.
async fn carry(client: TlsStream<TcpStream>, ours: Socket) {
    let (from_client, to_client) = tokio::io::split(client);
    let up = pass_up(from_client, &ours);
    let down = pass_down(&ours, to_client);
    tokio::pin!(up, down);
    tokio::select! {
        ended = &mut up => {
            if ended.is_ok() {
                let _ = down.await;
            }
        }
        ended = &mut down => {
            if ended.is_ok() {
                tokio::select! {
                    _ = &mut up => {}
                    // A client that is still sending can read the last bytes all the same.
                    () = ours.closed() => drop(tokio::time::timeout(CLOSE_TIMEOUT, up).await),
                }
            }
        }
    }
}

/// Passes on what a client sends, and then the end of its direction. What we refuse is discarded.
///
/// # Errors
/// The connection broke. It is also broken if it ends without an end of TLS, because somebody else may have cut it.
async fn pass_up(mut client: impl AsyncRead + Unpin, ours: &Socket) -> io::Result<()> {
    let mut is_refused = false;
    loop {
        let bytes = read(&mut client).await?;
        if bytes.is_empty() {
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
/// The connection broke.
async fn pass_down(ours: &Socket, mut client: impl AsyncWrite + Unpin) -> io::Result<()> {
    loop {
        let mut bytes = Vec::new();
        if ours.read_some(|read| bytes.extend_from_slice(read)).await? == 0 {
            return client.shutdown().await;
        }
        client.write_all(&bytes).await?;
        client.flush().await?;
    }
}

/// Reads what has arrived; nothing at the end.
async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    poll_fn(|cx| {
        DECRYPTED.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer))?;
            Ok(buffer.filled().to_vec()).into()
        })
    })
    .await
}
