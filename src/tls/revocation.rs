//! Lists of certificates that their authority has revoked.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;

/// A list of revoked certificates (RFC 5280 §5), not yet verified to be that of an authority.
#[derive(Clone, Debug)]
pub struct RevocationList {
    der: CertificateRevocationListDer<'static>,
    /// When its authority should have made another one, if it says so.
    expires: Option<SystemTime>,
    /// Its file.
    file: PathBuf,
}

impl RevocationList {
    /// The lists in a file in PEM.
    ///
    /// # Errors
    /// There is none, or one cannot be read.
    pub fn from_pem(pem: &[u8], file: &Path) -> Result<Vec<Self>, String> {
        const WHAT: &str = "expected lists of revoked certificates in PEM (X509 CRL)";
        let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
        let found = found.ok().filter(|found| !found.is_empty()).ok_or(WHAT)?;
        let list = |der: CertificateRevocationListDer<'static>| {
            let read: CertificateList = CertificateList::from_der(&der).map_err(|_| WHAT)?;
            let expires = read.tbs_cert_list.next_update.map(|time| SystemTime::UNIX_EPOCH + time.to_unix_duration());
            Ok(Self { der, expires, file: file.to_owned() })
        };
        found.into_iter().map(list).collect()
    }

    /// The list itself.
    pub(super) fn der(&self) -> &CertificateRevocationListDer<'static> {
        &self.der
    }

    /// Its file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// When its authority should have made another one, if it says so. From then on every certificate of its authority is refused.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }
}
