//! TLS of a connection to the engine. What it carries comes out of a socket, as without TLS.

use std::future::ready;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio_rustls::TlsConnector;

use super::UpstreamError;
use crate::socket::{Address, Carrier, Socket};
use crate::tls::{EngineTls, TlsFault, server_name};

/// Opens TLS to the engine at `address` over a connected socket.
///
/// Cancel safety: when dropped, the connection is closed.
///
/// # Errors
/// [`UpstreamError::Tls`], or [`UpstreamError::Unavailable`] if the connection broke.
pub(super) async fn open(tls: &EngineTls, address: &Address, socket: Socket) -> Result<Socket, UpstreamError> {
    let Address::Tcp { host, .. } = address else { return Err(UpstreamError::Tls(TlsFault::Host)) };
    let name = server_name(host).ok_or(UpstreamError::Tls(TlsFault::Host))?;
    let failed = |error: io::Error| match tls.fault(&error) {
        Some(fault) => UpstreamError::Tls(fault),
        None => UpstreamError::unavailable(&error),
    };
    let stream = TlsConnector::from(tls.config()).connect(name, socket).await.map_err(failed)?;
    let (carried, carrier) = Carrier::new().map_err(|error| UpstreamError::unavailable(&error))?;
    let tls = tls.clone();
    tokio::spawn(async move {
        let (from, to) = tokio::io::split(stream);
        carrier.carry(ExplainedReader { from, tls, has_read: false }, to, ready(Ok(())), Duration::ZERO).await;
    });
    Ok(carried)
}

/// Reads what the engine sends. An error about TLS is a fault: in TLS 1.3, the engine refuses a certificate after the handshake.
struct ExplainedReader<R> {
    from: R,
    tls: EngineTls,
    /// Whether the engine has sent anything.
    has_read: bool,
}

impl<R: AsyncRead + Unpin> AsyncRead for ExplainedReader<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = ready!(Pin::new(&mut this.from).poll_read(cx, buf));
        let (tls, has_read) = (&this.tls, std::mem::replace(&mut this.has_read, true));
        Poll::Ready(read.map_err(|error| {
            let fault = if has_read { tls.fault(&error) } else { Some(tls.fault_at_once(&error)) };
            match fault {
                Some(fault) => io::Error::new(error.kind(), UpstreamError::Tls(fault)),
                None => error,
            }
        }))
    }
}
