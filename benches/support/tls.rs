//! Certificates for the part about TLS, and what a client needs of them.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Writes an authority (`ca.pem`), a server (`server.pem`, `server.key`, and both for HAProxy in `server-both.pem`) and a client
/// (`client.pem`, `client.key`) into a folder.
pub(crate) fn write_certificates(folder: &Path) -> io::Result<()> {
    let mut params = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "bench");
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let authority = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
    fs::write(folder.join("ca.pem"), authority.pem())?;
    for (name, purpose) in
        [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).map_err(io::Error::other)?;
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.signed_by(&key, &authority).map_err(io::Error::other)?.pem();
        fs::write(folder.join(format!("{name}.pem")), &certificate)?;
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
        fs::write(folder.join(format!("{name}-both.pem")), certificate + &key.serialize_pem())?;
    }
    Ok(())
}

/// What a client needs that has the certificates in a folder. No session is resumed.
pub(crate) fn client(folder: &Path) -> io::Result<Arc<ClientConfig>> {
    static KNOWN: Mutex<Option<Arc<ClientConfig>>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap();
    if let Some(known) = &*known {
        return Ok(known.clone());
    }
    let read = |name: &str| fs::read(folder.join(name));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&read("ca.pem")?).map_err(io::Error::other)?).map_err(io::Error::other)?;
    let chain = vec![CertificateDer::from_pem_slice(&read("client.pem")?).map_err(io::Error::other)?];
    let key = PrivateKeyDer::from_pem_slice(&read("client.key")?).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(io::Error::other)?;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(known.insert(Arc::new(config)).clone())
}
