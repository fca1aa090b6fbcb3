//! TLS of connections to an engine: what we prove, whom we trust, and why there was no TLS.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error};
use sha2::{Digest, Sha256};

use super::{AnyServer, HTTP_1, TlsError, certificates, expiry_of, pair_error, private_key, roots};

/// The TLS of connections to an engine, ready to be used.
#[derive(Clone)]
pub struct EngineTls {
    config: Arc<ClientConfig>,
    verifies: bool,
    has_certificate: bool,
    /// When our certificate stops being good, or the first of those that lead to its authority.
    expires: Option<SystemTime>,
    /// Of all that it was made of.
    digest: [u8; 32],
}

impl fmt::Debug for EngineTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineTls").field("verifies", &self.verifies).finish_non_exhaustive()
    }
}

impl PartialEq for EngineTls {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for EngineTls {}

impl EngineTls {
    /// From files in PEM: the authorities of the engine, and our certificate (with those that lead to its authority) and its key.
    /// Without authorities, any engine is taken for the right one, as the docker command does if `DOCKER_TLS` is set and
    /// `DOCKER_TLS_VERIFY` is not.
    ///
    /// # Errors
    /// Every error in them.
    pub fn from_pem(ca: Option<&[u8]>, identity: Option<(&[u8], &[u8])>) -> Result<Self, Vec<TlsError>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = ca.map(roots).transpose().map_err(TlsError::Ca);
        let chain = identity.map(|(certificate, _)| certificates(certificate)).transpose();
        let key = identity.map(|(_, key)| private_key(key)).transpose();
        let (roots, chain, key) = match (roots, chain.map_err(TlsError::Certificate), key) {
            (Ok(roots), Ok(chain), Ok(key)) => (roots, chain, key),
            (roots, chain, key) => {
                return Err([roots.err(), chain.err(), key.err()].into_iter().flatten().collect());
            }
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| vec![TlsError::Ca(error.to_string())])?;
        let builder = match roots {
            Some(roots) => builder.with_root_certificates(roots),
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider))),
        };
        let expires = chain.as_deref().and_then(expiry_of);
        let mut config = match chain.zip(key) {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain, key).map_err(|error| vec![pair_error(&error)])?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![HTTP_1.to_vec()];
        config.resumption = Resumption::disabled();
        let (verifies, has_certificate, digest) = (ca.is_some(), identity.is_some(), digest(ca, identity));
        Ok(Self { config: Arc::new(config), verifies, has_certificate, expires, digest })
    }

    /// What rustls needs.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    /// What it means if the connection breaks after the handshake before anything has been read.
    pub fn fault_at_once(&self, error: &io::Error) -> TlsFault {
        match self.fault(error) {
            None | Some(TlsFault::Cut) => TlsFault::EndsAtOnce { has_certificate: self.has_certificate },
            Some(fault) => fault,
        }
    }

    /// Why there is no TLS, or no TLS any more, with the engine. `None` if the error is not about TLS.
    pub fn fault(&self, error: &io::Error) -> Option<TlsFault> {
        let fault = TlsFault::of(error)?;
        // In TLS 1.2, no certificate is a bad one.
        let is_refused = matches!(fault, TlsFault::RefusesCertificate(_));
        Some(if is_refused && !self.has_certificate { TlsFault::WantsCertificate } else { fault })
    }

    /// When our certificate stops being good, if we have one.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// Whether the engine must prove that it is the right one.
    pub fn verifies(&self) -> bool {
        self.verifies
    }
}

/// A digest of files.
fn digest(ca: Option<&[u8]>, identity: Option<(&[u8], &[u8])>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for file in [ca, identity.map(|(certificate, _)| certificate), identity.map(|(_, key)| key)] {
        digest.update(file.map_or(u64::MAX, |file| file.len() as u64).to_le_bytes());
        digest.update(file.unwrap_or_default());
    }
    digest.finalize().into()
}

/// The name that an engine at this host must prove to have. `None` if no certificate can be for it.
pub fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).ok()
}

/// Why there is no TLS with an engine. No text says anything that the engine sent, but for the number of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// No certificate can be for its host.
    Host,
    /// Its certificate has expired.
    Expired,
    /// Its certificate is not valid yet.
    NotYetValid,
    /// None of our authorities has issued its certificate.
    UnknownAuthority,
    /// Its certificate is for another name.
    WrongName,
    /// Its certificate is not for servers.
    NotForServers,
    /// Its certificate is wrong in another way.
    BadCertificate,
    /// It demands a certificate of us, and we have none.
    WantsCertificate,
    /// It refuses our certificate, with this alert.
    RefusesCertificate(AlertDescription),
    /// It ended the connection after the handshake, before it sent anything. In TLS 1.3, a client with the wrong certificate or
    /// with none learns no more if the end arrives before the alert.
    EndsAtOnce {
        /// Whether we have a certificate.
        has_certificate: bool,
    },
    /// It ends TLS with this alert.
    Alert(AlertDescription),
    /// It does not speak TLS.
    NotTls,
    /// We have no version or no algorithm in common.
    NothingInCommon,
    /// The connection ended before TLS said so.
    Cut,
    /// Something else.
    Other,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TLS: ")?;
        f.write_str(match self {
            Self::Host => "no certificate can be for the host name of the engine",
            Self::Expired => "the certificate of the engine has expired",
            Self::NotYetValid => "the certificate of the engine is not valid yet",
            Self::UnknownAuthority => "no authority in `ca` has issued the certificate of the engine",
            Self::WrongName => "the certificate of the engine is for another name than that of its address",
            Self::NotForServers => "the certificate of the engine is not for servers",
            Self::BadCertificate => "the certificate of the engine is not valid",
            Self::WantsCertificate => "it demands a certificate of clients, and none is configured",
            Self::RefusesCertificate(alert) => return write!(f, "the engine refuses our certificate ({alert:?})"),
            Self::EndsAtOnce { has_certificate: true } => {
                "the engine ends the connection after the handshake: probably it refuses our certificate"
            }
            Self::EndsAtOnce { has_certificate: false } => {
                "the engine ends the connection after the handshake: probably it demands a certificate of clients, and none \
                 is configured"
            }
            Self::Alert(alert) => return write!(f, "the engine ends the connection ({alert:?})"),
            Self::NotTls => "the engine does not speak TLS at this address",
            Self::NothingInCommon => "no version or algorithm of TLS in common with the engine",
            Self::Cut => "the connection was cut",
            Self::Other => "it failed",
        })
    }
}

impl std::error::Error for TlsFault {}

impl TlsFault {
    /// The fault that is in an error, of the handshake or of a later read. `None` if it is not about TLS.
    fn of(error: &io::Error) -> Option<Self> {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Some(Self::of_rustls(error)),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Some(Self::Cut),
            None => None,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls may add variants")]
    fn of_rustls(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::AlertReceived(alert) => Self::of_alert(*alert),
            Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => Self::NotTls,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::NothingInCommon,
            _ => Self::Other,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls may add variants")]
    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::NotForServers,
            _ => Self::BadCertificate,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls may add variants")]
    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::CertificateRequired => Self::WantsCertificate,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            // A certificate of another authority with the same name.
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied => Self::RefusesCertificate(alert),
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity
            | AlertDescription::NoApplicationProtocol => Self::NothingInCommon,
            _ => Self::Alert(alert),
        }
    }
}
