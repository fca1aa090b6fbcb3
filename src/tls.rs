//! TLS of listeners: what a listener proves, and what a client's certificate says of it. TLS of connections to engines ([`EngineTls`]).
//! And TLS of the health check, which is a client without a certificate.
//!
//! TLS 1.2 and 1.3 by rustls, with the cryptography of ring. A certificate of a client must be issued for clients by one of the
//! listener's authorities, and none of their lists may revoke it. No session is resumed: each connection proves whose it is.

mod engine;
mod revocation;

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme, StreamOwned,
};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};
use x509_cert::name::Name;

pub use self::engine::{EngineTls, TlsFault, server_name};
pub use self::revocation::RevocationList;

/// The protocol that clients may choose by ALPN.
const HTTP_1: &[u8] = b"http/1.1";
/// What the times in certificates and lists are counted in.
const SECOND: Duration = Duration::from_secs(1);

/// The TLS of a listener, ready to be used.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    clients: ClientCertificates,
    /// Lists of revoked certificates.
    revoked: Arc<[RevocationList]>,
    /// When its certificate stops being good, or the first of those that lead to its authority.
    expires: Option<SystemTime>,
}

/// What a listener wants of the certificates of clients.
#[derive(Clone)]
enum ClientCertificates {
    /// None is asked for.
    Unasked,
    /// Those that there are must be good.
    Optional(Arc<dyn ClientCertVerifier>),
    /// Each client must have a good one.
    Required(Arc<dyn ClientCertVerifier>),
}

/// The files of a listener, in PEM.
#[derive(Clone, Copy, Debug)]
pub struct ServerPem<'p> {
    /// The certificate with those that lead to its authority.
    pub certificate: &'p [u8],
    /// Its key.
    pub key: &'p [u8],
    /// The authorities of clients; if `None`, no client is asked for a certificate.
    pub client_ca: Option<&'p [u8]>,
    /// Whether a client need not have a certificate.
    pub is_optional: bool,
    /// Lists of revoked certificates, of each authority that issues certificates of clients. Without any, none is revoked.
    pub revoked: &'p [RevocationList],
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

/// Why files do not make a [`ServerTls`] or an [`EngineTls`]. Each says which file is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// The file of the certificate.
    Certificate(String),
    /// The file of the key.
    Key(String),
    /// The file of the authorities of clients.
    ClientCa(String),
    /// The file of the authorities of an engine.
    Ca(String),
    /// A list of revoked certificates.
    Crl(String),
}

impl TlsError {
    /// What is wrong with it.
    pub fn message(&self) -> &str {
        match self {
            Self::Certificate(message)
            | Self::Key(message)
            | Self::ClientCa(message)
            | Self::Ca(message)
            | Self::Crl(message) => message,
        }
    }
}

impl ServerTls {
    /// From these files.
    ///
    /// # Errors
    /// Every error in them.
    pub fn from_pem(pem: &ServerPem<'_>) -> Result<Self, Vec<TlsError>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates(pem.certificate).map_err(TlsError::Certificate);
        let (chain, key, clients) = match (chain, private_key(pem.key), ClientCertificates::new(pem, &provider)) {
            (Ok(chain), Ok(key), Ok(clients)) => (chain, key, clients),
            (chain, key, clients) => {
                return Err([chain.err(), key.err(), clients.err()].into_iter().flatten().collect());
            }
        };
        let expires = expiry_of(&chain);
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map(|builder| match clients.verifier() {
                Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
                None => builder.with_no_client_auth(),
            })
            .and_then(|builder| builder.with_single_cert(chain, key));
        let mut config = config.map_err(|error| vec![pair_error(&error)])?;
        config.alpn_protocols = vec![HTTP_1.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), clients, revoked: pem.revoked.into(), expires })
    }

    /// What rustls needs.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// Whether a client with these certificates could connect now: its own and those that lead to its authority, or none. That it
    /// has the key is known.
    pub fn accepts(&self, chain: &[CertificateDer<'_>]) -> bool {
        match (&self.clients, chain.split_first()) {
            (ClientCertificates::Unasked, _) | (ClientCertificates::Optional(_), None) => true,
            (ClientCertificates::Required(_), None) => false,
            (
                ClientCertificates::Optional(verifier) | ClientCertificates::Required(verifier),
                Some((certificate, others)),
            ) => verifier.verify_client_cert(certificate, others, UnixTime::now()).is_ok(),
        }
    }

    /// When to ask [`Self::accepts`] again, after `now`: one of these certificates stops being good, or a list does. `None` if nothing
    /// but another configuration changes what it says.
    pub fn accepts_until(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Option<SystemTime> {
        let lists = self.revoked.iter().filter(|_| !chain.is_empty()).filter_map(RevocationList::expires);
        // Each is good to the end of its last second.
        let ends = chain.iter().filter_map(end_of).chain(lists).filter_map(|end| end.checked_add(SECOND));
        ends.filter(|end| *end > now).min()
    }

    /// Whether clients are asked for a certificate.
    pub fn asks_for_certificates(&self) -> bool {
        self.clients.verifier().is_some()
    }

    /// Whether each client has proved who it is.
    pub fn authenticates(&self) -> bool {
        matches!(self.clients, ClientCertificates::Required(_))
    }

    /// When its certificate stops being good, or the first of those that lead to its authority.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// The lists of revoked certificates.
    pub fn revoked(&self) -> &[RevocationList] {
        &self.revoked
    }
}

impl ClientCertificates {
    /// As the files say.
    fn new(pem: &ServerPem<'_>, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let Some(client_ca) = pem.client_ca else { return Ok(Self::Unasked) };
        let roots = roots(client_ca).map_err(TlsError::ClientCa)?;
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        if !pem.revoked.is_empty() {
            // An authority without a list, or with an old one, could have revoked anything.
            let lists = pem.revoked.iter().map(|list| list.der().clone());
            builder = builder.with_crls(lists).enforce_revocation_expiration();
        }
        if pem.is_optional {
            builder = builder.allow_unauthenticated();
        }
        let verifier = builder.build().map_err(|error| match &error {
            VerifierBuilderError::InvalidCrl(error) => TlsError::Crl(format!("not usable: {error:?}")),
            VerifierBuilderError::NoRootAnchors | _ => TlsError::ClientCa(error.to_string()),
        })?;
        Ok(if pem.is_optional { Self::Optional(verifier) } else { Self::Required(verifier) })
    }

    /// Verifies the certificates of clients, if any is asked for.
    fn verifier(&self) -> Option<&Arc<dyn ClientCertVerifier>> {
        match self {
            Self::Unasked => None,
            Self::Optional(verifier) | Self::Required(verifier) => Some(verifier),
        }
    }
}

/// The private key in a file.
fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let wrong = |_| TlsError::Key("expected a private key in PEM, without a password".to_owned());
    PrivateKeyDer::from_pem_slice(pem).map_err(wrong)
}

/// Why a certificate that can be read is of no use.
const OTHER_VERSION: &str = "expected a certificate of X.509 version 3; one that is made without extensions, such as subjectAltName, \
                             has version 1";

/// What is wrong with a certificate or with its key. The texts of rustls hold nothing of either.
fn pair_error(error: &rustls::Error) -> TlsError {
    if let rustls::Error::InconsistentKeys(_) = error {
        TlsError::Key("does not belong to the certificate".to_owned())
    } else if let rustls::Error::InvalidCertificate(_) = error {
        TlsError::Certificate(OTHER_VERSION.to_owned())
    } else {
        TlsError::Key(error.to_string())
    }
}

/// The certificates in a file.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| "expected certificates in PEM".to_owned())
}

/// When the first of these certificates stops being good. One that cannot be read says nothing.
fn expiry_of(chain: &[CertificateDer<'_>]) -> Option<SystemTime> {
    chain.iter().filter_map(end_of).min()
}

/// When a certificate stops being good. One that cannot be read says nothing.
fn end_of(der: &CertificateDer<'_>) -> Option<SystemTime> {
    let certificate = Certificate::from_der(der).ok()?;
    let end = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    SystemTime::UNIX_EPOCH.checked_add(end)
}

/// The authorities in a file.
fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

/// How a TLS listener takes a client without a certificate.
#[derive(Debug)]
pub enum Reception<S: Read + Write> {
    /// It serves it over this stream.
    Served(Box<StreamOwned<ClientConnection, S>>),
    /// It asks for a certificate.
    AsksForCertificate,
}

impl<S: Read + Write> Reception<S> {
    /// Opens TLS to a listener as a client that has no certificate and nothing to hide: whose the listener is does not matter, so
    /// nothing that it says is secret or to be trusted. `host` is the name that the listener is called by.
    ///
    /// # Errors
    /// The listener does not speak TLS, or not this TLS.
    pub fn of(mut stream: S, host: &str) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let asked = Arc::<AskedForCertificate>::default();
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
            .with_client_cert_resolver(asked.clone());
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            let done = session.complete_io(&mut stream);
            if asked.0.load(Ordering::Relaxed) {
                // The listener reads that there is none, unless it has ended the connection.
                while session.wants_write() && session.write_tls(&mut stream).is_ok() {}
                return Ok(Self::AsksForCertificate);
            }
            done?;
        }
        Ok(Self::Served(Box::new(StreamOwned::new(session, stream))))
    }
}

/// Has no certificate, and notices that it is asked for one.
#[derive(Debug, Default)]
struct AskedForCertificate(AtomicBool);

impl ResolvesClientCert for AskedForCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Takes any certificate of the other side, if that has its key.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What the certificate of a client says of it. Somebody else has verified the certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// The common name of its subject. `None` if there is none, or several.
    pub cn: Option<String>,
    /// Its DNS names, in lower case.
    pub dns: Vec<String>,
    /// Its URIs.
    pub uris: Vec<String>,
    /// Its key: the SHA-256 of the public key with its algorithm (`SubjectPublicKeyInfo`). `None` if it cannot be read.
    pub key: Option<KeyPin>,
}

impl CertificateNames {
    /// The names in a certificate. One that cannot be read has none.
    pub fn read(der: &[u8]) -> Self {
        let Ok(certificate) = Certificate::from_der(der) else { return Self::default() };
        let certificate = certificate.tbs_certificate();
        let cn = only_common_name(certificate.subject());
        let key = certificate.subject_public_key_info().to_der().ok().map(|key| KeyPin(Sha256::digest(key).into()));
        let mut names = Self { cn, key, ..Self::default() };
        if let Ok(Some((_, SubjectAltName(found)))) = certificate.get_extension::<SubjectAltName>() {
            for name in found {
                match name {
                    GeneralName::DnsName(name) => names.dns.push(name.as_str().to_ascii_lowercase()),
                    GeneralName::UniformResourceIdentifier(uri) => names.uris.push(uri.as_str().to_owned()),
                    GeneralName::OtherName(_)
                    | GeneralName::Rfc822Name(_)
                    | GeneralName::DirectoryName(_)
                    | GeneralName::EdiPartyName(_)
                    | GeneralName::IpAddress(_)
                    | GeneralName::RegisteredId(_) => {}
                }
            }
        }
        names
    }

    /// Its SPIFFE id: its only URI, if that is one.
    pub fn spiffe(&self) -> Option<&str> {
        match self.uris.as_slice() {
            [only] if only.starts_with(SPIFFE) => Some(only),
            _ => None,
        }
    }
}

/// The common name of a subject. `None` if there is none, or several: programs do not agree on which of them counts.
fn only_common_name(subject: &Name) -> Option<String> {
    let mut found = subject.iter().filter(|attribute| attribute.oid == COMMON_NAME);
    let (only, None) = (found.next()?, found.next()) else { return None };
    DirectoryString::try_from(&only.value).ok().map(String::from)
}

/// What a SPIFFE id begins with.
pub const SPIFFE: &str = "spiffe://";

/// For the log: the most telling name.
impl fmt::Display for CertificateNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.spiffe().or(self.cn.as_deref()).or(self.dns.first().map(String::as_str));
        match (name, &self.key) {
            (Some(name), _) => f.write_str(name),
            (None, Some(key)) => write!(f, "{key}"),
            (None, None) => f.write_str("without a name"),
        }
    }
}

/// The SHA-256 of a public key with its algorithm: `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyPin([u8; 32]);

impl KeyPin {
    /// Parses `sha256:…`; digits may be separated by colons. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text
            .strip_prefix("sha256:")?
            .bytes()
            .filter(|byte| *byte != b':')
            .map(|byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()?;
        let (pairs, []) = digits.as_chunks::<2>() else { return None };
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for KeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    use super::*;

    /// The names in a certificate for itself, of which only the names matter.
    fn names(cn: &[&str], dns: &[&str], uris: &[&str]) -> CertificateNames {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        // Two of one type replace each other, unless their types are called by different names.
        let types = [DnType::CommonName, DnType::CustomDnType(vec![2, 5, 4, 3])];
        for (name, kind) in cn.iter().zip(types) {
            params.distinguished_name.push(kind, DnValue::Utf8String((*name).to_owned()));
        }
        let dns = dns.iter().map(|name| SanType::DnsName((*name).try_into().unwrap()));
        params.subject_alt_names = dns.chain(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()))).collect();
        CertificateNames::read(params.self_signed(&key).unwrap().der())
    }

    #[test]
    fn the_names_of_a_certificate_are_read() {
        let found = names(&["traefik"], &["Web.Example", "b"], &["spiffe://a/b"]);
        assert_eq!(found.cn.as_deref(), Some("traefik"));
        assert_eq!(
            (found.dns.as_slice(), found.spiffe()),
            (&["web.example".to_owned(), "b".to_owned()][..], Some("spiffe://a/b"))
        );
        assert_eq!(found.to_string(), "spiffe://a/b");
        // Several URIs are no SPIFFE id.
        assert_eq!(names(&["a"], &[], &["spiffe://a/b", "spiffe://a/c"]).spiffe(), None);
        assert_eq!(names(&["a"], &[], &["https://a/b"]).spiffe(), None);
        // Of several common names none counts.
        assert_eq!(names(&["a", "b"], &[], &[]).cn, None);
        let unnamed = names(&[], &[], &[]);
        assert_eq!((unnamed.cn.as_deref(), unnamed.dns.len(), unnamed.uris.len()), (None, 0, 0));
        assert!(unnamed.to_string().starts_with("sha256:"));
    }

    #[test]
    fn what_is_no_certificate_has_no_names() {
        for bytes in [&b""[..], b"\x30\x00", b"-----BEGIN CERTIFICATE-----", &[0x30; 400]] {
            assert_eq!(CertificateNames::read(bytes), CertificateNames::default());
        }
        assert_eq!(CertificateNames::default().to_string(), "without a name");
    }

    #[test]
    fn a_pin_is_displayed_as_it_parses() {
        let text = format!("sha256:{}", "0f".repeat(32));
        assert_eq!(KeyPin::parse(&text).unwrap().to_string(), text);
        let separated = format!("sha256:{}", vec!["0F"; 32].join(":"));
        assert_eq!(KeyPin::parse(&separated).unwrap().to_string(), text);
        for wrong in [
            "",
            "sha256:",
            "sha256:0f",
            "0f",
            &text.replace("sha256", "sha1"),
            &format!("{text}0f"),
            &text.replace('f', "g"),
        ] {
            assert_eq!(KeyPin::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_error_in_the_files_is_reported() {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
        let (key, other) = (key.serialize_pem(), KeyPair::generate().unwrap().serialize_pem());
        let read = |certificate: &str, key: &str, ca: &str| {
            let [certificate, key, ca] = [certificate, key, ca].map(str::as_bytes);
            let pem = ServerPem { certificate, key, client_ca: Some(ca), is_optional: false, revoked: &[] };
            ServerTls::from_pem(&pem).map(|_| ())
        };
        assert_eq!(read(&certificate, &key, &certificate), Ok(()));
        let no_certificates = "expected certificates in PEM".to_owned();
        assert_eq!(
            read("", &certificate, &key),
            Err(vec![
                TlsError::Certificate(no_certificates.clone()),
                TlsError::Key("expected a private key in PEM, without a password".to_owned()),
                TlsError::ClientCa(no_certificates),
            ])
        );
        assert_eq!(
            read(&certificate, &other, &certificate),
            Err(vec![TlsError::Key("does not belong to the certificate".to_owned())])
        );
        assert_eq!(read(VERSION_1, &key, &certificate), Err(vec![TlsError::Certificate(OTHER_VERSION.to_owned())]));
    }

    /// What `openssl x509 -req` makes without a file of extensions.
    const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBEzCBuwIUaWMmQfUgzx51Hu4DC99ghDpHpdswCgYIKoZIzj0EAwIwDDEKMAgG
A1UEAwwBYTAgFw0yNjExMjcyMjU4MDdaGA8yMTI2MTEwMzIyNTgwN1owDDEKMAgG
A1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEb/aYmWafgTcSaoHiDu
eIlU5PKUUqNYrnvHqmCzTNQyaczr5uFvGo+T6Zfus+9NpLKQI8yiRNblxx1fNw/H
MFgwCgYIKoZIzj0EAwIDRwAwRAIgaZtKnZlfDL9A5PgvEHdzd9JGB7Z8gHStULlz
Ek3pBxgCIDqDxDqzQ6qFafFiGmPQ/+DnU2CvZs1jPkjE/liXNx2W
-----END CERTIFICATE-----
";
}
