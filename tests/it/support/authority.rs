//! An authority for TLS, and what it issues.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use sha2::{Digest, Sha256};

/// An authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a client could write into a log by a certificate of its own.
pub(crate) const SECRET_NUMBER: u64 = 4_242_424_242;

/// A certificate with its key, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
    /// `sha256:` and the digest of its public key.
    pub(crate) pin: String,
    serial: SerialNumber,
}

/// What a certificate says.
#[derive(Clone, Copy, Default)]
pub(crate) struct Names<'n> {
    pub(crate) cn: &'n str,
    pub(crate) dns: &'n [&'n str],
    pub(crate) uris: &'n [&'n str],
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        Self::called("authority")
    }

    /// A new one with this name.
    pub(crate) fn called(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate in PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate of the server at 127.0.0.1 and localhost.
    pub(crate) fn server(&self) -> Identity {
        self.server_called(&["localhost", "127.0.0.1"])
    }

    /// A certificate of a server with these names.
    pub(crate) fn server_called(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.issue(CertificateParams::new(names).unwrap(), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate of the server that was valid between two years.
    pub(crate) fn server_between(&self, first: i32, last: i32) -> Identity {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(first, 1, 1), date_time_ymd(last, 1, 1));
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate of the server that is valid until then.
    pub(crate) fn server_until(&self, end: SystemTime) -> Identity {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(end);
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate of a client.
    pub(crate) fn client(&self, names: Names<'_>) -> Identity {
        self.issue(params(names), ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A certificate of a client that is good until then.
    pub(crate) fn client_until(&self, names: Names<'_>, end: SystemTime) -> Identity {
        let mut params = params(names);
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(1970, 1, 1) + since_epoch(end));
        self.issue(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A certificate of a client that has expired.
    pub(crate) fn expired(&self, names: Names<'_>) -> Identity {
        let mut params = params(names);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.issue(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A certificate that is for servers only.
    pub(crate) fn misused(&self, names: Names<'_>) -> Identity {
        self.issue(params(names), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate that is for these many things of which nobody else knows.
    pub(crate) fn for_anything_else(&self, names: Names<'_>, purposes: u64) -> Identity {
        let mut params = params(names);
        let purpose = |number| ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 4, 1, SECRET_NUMBER, number]);
        params.extended_key_usages = (0..purposes).map(purpose).collect();
        self.issue_for(params)
    }

    /// A certificate of the server that is for clients only.
    pub(crate) fn misused_by_server(&self) -> Identity {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        self.issue(CertificateParams::new(names).unwrap(), ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A list of revoked certificates in PEM, which is good until that year.
    pub(crate) fn revocations(&self, revoked_certs: &[&Identity], until: i32) -> String {
        self.revocations_until(revoked_certs, date_time_ymd(until, 1, 1).into())
    }

    /// The same, which is good until then.
    pub(crate) fn revocations_until(&self, revoked_certs: &[&Identity], end: SystemTime) -> String {
        let revoked = |identity: &&Identity| RevokedCertParams {
            serial_number: identity.serial.clone(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(1970, 1, 1) + since_epoch(end),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }

    fn issue(&self, mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> Identity {
        params.extended_key_usages = vec![purpose];
        self.issue_for(params)
    }

    /// What `params` says, for the purposes in it.
    fn issue_for(&self, mut params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let digest = Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&key));
        let serial = SerialNumber::from_slice(&[&[1], &digest[..8]].concat());
        params.serial_number = Some(serial.clone());
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        let pin = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Identity { certificate, key: key.serialize_pem(), pin: format!("sha256:{pin}"), serial }
    }

    /// What a client needs that trusts this authority and has an identity, or none.
    pub(crate) fn client_config(
        &self,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(roots);
        Arc::new(match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key, .. }) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
            }
        })
    }
}

/// What certificates count from their origin.
fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

fn params(Names { cn, dns, uris }: Names<'_>) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if !cn.is_empty() {
        params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String(cn.to_owned()));
    }
    let dns = dns.iter().map(|name| SanType::DnsName((*name).try_into().unwrap()));
    let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
    params.subject_alt_names = dns.chain(uris).collect();
    params
}
