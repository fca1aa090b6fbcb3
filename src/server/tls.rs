//! TLS of a connection of a client. What it carries comes out of a socket, as without TLS.

use std::fmt;
use std::future::{pending, ready};
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible, PeerMisbehaved};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::slots::ConnectionSlot;
use crate::socket::{Carrier, Socket};
use crate::tls::{CertificateNames, ServerTls};

/// How often to look at the clock while a certificate is good.
const CLOCK_INTERVAL: Duration = Duration::from_secs(60);
/// How long a client has to end its direction once we have closed the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a connection has no TLS. No text says anything that the client chose, but for the number of an alert: the client may be anybody.
#[derive(Debug)]
pub(super) enum HandshakeError {
    /// The client did not finish in time.
    Slow,
    /// The client has no certificate.
    NoCertificate,
    /// The certificate of the client is not good, or the list that could revoke it is not.
    Certificate(&'static str),
    /// The client ended it, because it does not take our certificate or for another reason.
    Alert(AlertDescription),
    /// The client does not speak TLS.
    NotTls,
    /// The client has no version or no algorithm in common with us.
    NothingInCommon(PeerIncompatible),
    /// The client breaks the protocol.
    Misbehaved(PeerMisbehaved),
    /// It failed in another way, as the system says.
    System(io::Error),
    /// It failed in another way.
    Other,
}

impl HandshakeError {
    /// Every reason.
    pub(super) const REASONS: [&str; 5] = ["slow", "no-certificate", "certificate", "alert", "failed"];

    /// The reason in metrics, in one word.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::NoCertificate => "no-certificate",
            Self::Certificate(_) => "certificate",
            Self::Alert(_) => "alert",
            Self::NotTls | Self::NothingInCommon(_) | Self::Misbehaved(_) | Self::System(_) | Self::Other => "failed",
        }
    }

    /// Why a handshake failed.
    fn of(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(Error::InvalidCertificate(error)) => Self::Certificate(fault_of_certificate(error)),
            Some(Error::InvalidCertRevocationList(_)) => Self::Certificate("a list of `crl` cannot be used"),
            Some(Error::AlertReceived(alert)) => Self::Alert(*alert),
            Some(Error::InvalidMessage(_) | Error::InappropriateMessage { .. }) => Self::NotTls,
            Some(Error::PeerIncompatible(why)) => Self::NothingInCommon(why.clone()),
            Some(Error::PeerMisbehaved(why)) => Self::Misbehaved(why.clone()),
            Some(_) => Self::Other,
            None => Self::System(error),
        }
    }
}

/// What is wrong with the certificate of a client.
#[expect(clippy::wildcard_enum_match_arm, reason = "rustls may add variants")]
fn fault_of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate of the client, or one between it and its authority, has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate of the client, or one between it and its authority, is not valid yet"
        }
        CertificateError::Revoked => "the certificate of the client, or one between it and its authority, is revoked",
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no authority in `client_ca` has issued the certificate of the client"
        }
        CertificateError::UnknownRevocationStatus => "no list of `crl` is of the authority of the client's certificate",
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the list of `crl` for the authority of the client's certificate has expired"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate of the client is not for clients"
        }
        _ => "the certificate of the client is not valid",
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow => f.write_str("the client did not finish in time"),
            Self::NoCertificate => f.write_str("the client has no certificate"),
            Self::Certificate(fault) => f.write_str(fault),
            Self::Alert(alert) => write!(f, "the client ends the connection ({alert:?})"),
            Self::NotTls => f.write_str("the client does not speak TLS"),
            Self::NothingInCommon(why) => write!(f, "no version or algorithm in common with the client ({why:?})"),
            Self::Misbehaved(why) => write!(f, "the client breaks the protocol ({why:?})"),
            Self::System(error) => write!(f, "{error}"),
            Self::Other => f.write_str("it failed"),
        }
    }
}

/// The certificate of a client that has proved that it has its key, with those that lead to its authority; empty for a client
/// without a certificate.
#[derive(Clone, Debug)]
pub(super) struct ProvenChain {
    certificates: Arc<[CertificateDer<'static>]>,
    /// When it must be verified again, because something has expired.
    good_until: Option<SystemTime>,
}

impl ProvenChain {
    /// What the certificate says of the client, if it has one.
    pub(super) fn names(&self) -> Option<CertificateNames> {
        self.certificates.first().map(|certificate| CertificateNames::read(certificate))
    }

    /// Whether a client with it could connect now.
    pub(super) fn is_accepted_by(&mut self, tls: &ServerTls) -> bool {
        self.good_until = tls.accepts_until(&self.certificates, SystemTime::now());
        tls.accepts(&self.certificates)
    }

    /// Whether something has expired since it was verified.
    pub(super) fn is_outdated(&self) -> bool {
        self.good_until.is_some_and(|end| end <= SystemTime::now())
    }

    /// Waits until something has expired, or for ever. Cancel safety: nothing is lost.
    pub(super) async fn outdated(&self) {
        let Some(end) = self.good_until else { return pending().await };
        // The clock may be set meanwhile.
        while let Ok(rest) = end.duration_since(SystemTime::now())
            && !rest.is_zero()
        {
            tokio::time::sleep(rest.min(CLOCK_INTERVAL)).await;
        }
    }
}

/// Makes a connection one of TLS. Returns what it carries, and what the client has proved. The connection has its
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
) -> Result<(Socket, ProvenChain), HandshakeError> {
    let begun = SystemTime::now();
    let handshake = TlsAcceptor::from(tls.config()).accept(socket);
    let stream = tokio::time::timeout(timeout, handshake).await.map_err(|_| HandshakeError::Slow)?;
    let stream = stream.map_err(HandshakeError::of)?;
    let (_, session) = stream.get_ref();
    let chain = session.peer_certificates().unwrap_or_default();
    // rustls has verified it. A client that need not have one has none.
    if chain.is_empty() && tls.authenticates() {
        return Err(HandshakeError::NoCertificate);
    }
    if !chain.is_empty() {
        slot.state().prove();
    }
    let certificates: Arc<[_]> = chain.iter().map(|one| one.clone().into_owned()).collect();
    let chain = ProvenChain { good_until: tls.accepts_until(&certificates, begun), certificates };
    let (decrypted, carrier) = Carrier::new().map_err(HandshakeError::System)?;
    let slot = slot.clone();
    tokio::spawn(async move {
        let (from_client, to_client) = tokio::io::split(stream);
        carrier.carry(from_client, to_client, ready(Ok(())), CLOSE_TIMEOUT).await;
        drop(slot);
    });
    Ok((decrypted, chain))
}
