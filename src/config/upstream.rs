//! `upstream`: the address of an engine, and TLS with it, as the file says or the variables of the docker command.

use std::path::{Path, PathBuf};

use super::files;
use super::note::Note;
use super::raw::engine_address;
use super::tls::{PemFiles, report};
use crate::cli::Environment;
use crate::endpoint::{EndpointTls, EngineAddress, EngineEndpoint};
use crate::quoting;
use crate::socket::Address;
use crate::tls::{EngineTls, TlsError, server_name};
use crate::yaml::{Diagnostic, Diagnostics, Location, Node, Value};

/// The keys of `upstream` with TLS.
const KEYS: [&str; 4] = ["address", "ca", "cert", "key"];
/// What the docker command reads in a directory of certificates.
const FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

/// The variables of the docker command.
const TLS_VERIFY: &str = "DOCKER_TLS_VERIFY";
const TLS: &str = "DOCKER_TLS";
const CERT_PATH: &str = "DOCKER_CERT_PATH";
const CONFIG: &str = "DOCKER_CONFIG";

/// An engine as configured, and where that is written.
#[derive(Clone, Debug)]
pub(super) struct RawUpstream {
    pub(super) endpoint: EngineEndpoint,
    pub(super) location: Location,
}

/// Reads `upstream`: an address, or an address with the files of TLS. Paths are relative to `folder`.
pub(super) fn upstream(node: &Node, folder: &Path, diagnostics: &mut Diagnostics) -> Option<RawUpstream> {
    let location = node.location.clone();
    let endpoint = match &node.value {
        Value::Mapping(_) => with_tls(node, folder, diagnostics)?,
        Value::Scalar { .. } | Value::Sequence(_) | Value::Null => {
            EngineEndpoint { address: diagnostics.ok(address(node))?, tls: None }
        }
    };
    Some(RawUpstream { endpoint, location })
}

fn address(node: &Node) -> Result<EngineAddress, Diagnostic> {
    let text = node.text("unix:///path, tcp://host:port or ssh://user@host, or `address`, `ca`, `cert` and `key`")?;
    engine_address(text, &node.location)
}

/// Reads an address with the files of TLS.
fn with_tls(node: &Node, folder: &Path, diagnostics: &mut Diagnostics) -> Option<EngineEndpoint> {
    let members = diagnostics.members(node, "`address`, `ca`, `cert` and `key`", &KEYS)?;
    let Some(at) = members.get("address") else {
        diagnostics.push(node.diagnostic("expected `address` with tcp://host:port"));
        return None;
    };
    let address = diagnostics.ok(address(at));
    if KEYS.iter().skip(1).all(|name| members.get_or_empty(name).is_none()) {
        return address.map(|address| EngineEndpoint { address, tls: None });
    }
    let address = address.and_then(|address| diagnostics.ok(check_host(address, &at.location)));
    let mut pem = PemFiles::new(&members, folder);
    // A key without a value is an error: the engine would be reached in another way without it.
    let ca = pem.read("ca", node, diagnostics);
    let has = |name: &str| members.get_or_empty(name).is_some();
    let identity =
        (has("cert") || has("key")).then(|| [pem.read("cert", node, diagnostics), pem.read("key", node, diagnostics)]);
    let (ca, identity) = match (ca, identity) {
        (Some(ca), None) => (ca, None),
        (Some(ca), Some([Some(certificate), Some(key)])) => (ca, Some((certificate, key))),
        (None, _) | (Some(_), Some(_)) => return None,
    };
    let identity = identity.as_ref().map(|(certificate, key)| (certificate.as_slice(), key.as_slice()));
    let made = EngineTls::from_pem(Some(&ca), identity);
    let made =
        made.map_err(|errors| errors.iter().for_each(|error| report(error, key_of(error), &members, diagnostics)));
    let tls = EndpointTls { tls: made.ok()?, files: pem.files };
    Some(EngineEndpoint { address: address?, tls: Some(tls) })
}

/// The key of the file that is at fault.
fn key_of(error: &TlsError) -> &'static str {
    match error {
        TlsError::Ca(_) | TlsError::ClientCa(_) | TlsError::Crl(_) => "ca",
        TlsError::Certificate(_) => "cert",
        TlsError::Key(_) => "key",
    }
}

/// The address, if there can be TLS with an engine there.
fn check_host(address: EngineAddress, location: &Location) -> Result<EngineAddress, Diagnostic> {
    let wrong = match &address {
        EngineAddress::Socket(Address::Tcp { host, .. }) if server_name(host).is_some() => return Ok(address),
        EngineAddress::Socket(Address::Tcp { host, .. }) => {
            format!("found {:?}, for which no certificate can be", quoting::value(host))
        }
        EngineAddress::Socket(Address::Unix(_)) => format!("{address} is a Unix socket, which has no TLS"),
        EngineAddress::Ssh(_) => format!("{address} is reached by ssh, which needs no TLS"),
    };
    Err(Diagnostic::new(location, format!("{wrong}, expected tcp://host:2376")))
}

/// An engine with TLS as the variables of the docker command say. TLS of the file wins over them.
///
/// As for the docker command: `DOCKER_TLS_VERIFY` with any value demands a certificate of the engine; `DOCKER_TLS` alone does not;
/// the files are in `DOCKER_CERT_PATH`, else where the command keeps its configuration; `ssh` needs none of it.
pub(super) fn with_variables(
    endpoint: EngineEndpoint,
    environment: &Environment,
    notes: &mut Vec<Note>,
    diagnostics: &mut Diagnostics,
) -> Option<EngineEndpoint> {
    let variable = |name: &str| environment.variables.get(name).filter(|value| !value.is_empty());
    if endpoint.tls.is_some() || matches!(endpoint.address, EngineAddress::Ssh(_)) {
        return Some(endpoint);
    }
    let is_verified = variable(TLS_VERIFY).is_some();
    let by = match (is_verified, variable(TLS)) {
        (true, _) => TLS_VERIFY,
        (false, Some(_)) => TLS,
        (false, None) => {
            let is_tcp = endpoint.socket_path().is_none();
            notes.extend(variable(CERT_PATH).filter(|_| is_tcp).map(|_| Note::CertificatesUnused));
            return Some(endpoint);
        }
    };
    let named = variable(CERT_PATH).map(PathBuf::from);
    let of_command =
        || variable(CONFIG).map(PathBuf::from).or(variable("HOME").map(|home| Path::new(home).join(".docker")));
    let location = Location::file(if named.is_some() { CERT_PATH } else { by });
    let address = diagnostics.ok(check_host(endpoint.address, &Location::file(by)))?;
    let Some(folder) = named.or_else(of_command) else {
        diagnostics.report(&location, format!("expected {CERT_PATH} with a directory of {}", FILES.join(", ")));
        return None;
    };
    let tls = diagnostics.ok(in_folder(&folder, is_verified).map_err(|messages| {
        messages.into_iter().fold(Diagnostics::default(), |mut all, message| {
            all.report(&location, message);
            all
        })
    }))?;
    if !is_verified {
        notes.push(Note::EngineUnverified(address.to_string()));
    }
    Some(EngineEndpoint { address, tls: Some(tls) })
}

/// TLS with the files of a directory. Only `ca.pem` must exist, if the engine is verified.
fn in_folder(folder: &Path, is_verified: bool) -> Result<EndpointTls, Vec<String>> {
    let files: Vec<PathBuf> = FILES.iter().map(|name| folder.join(name)).collect();
    let mut errors = Vec::new();
    let mut read = |path: &PathBuf, must_exist: bool| match files::read_named(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if !must_exist && error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            errors.push(format!("{}: cannot be read: {error}", quoting::path(path)));
            None
        }
    };
    let found = match files.as_slice() {
        [ca, certificate, key] => {
            let ca = if is_verified { read(ca, true) } else { None };
            [ca, read(certificate, false), read(key, false)]
        }
        _ => [None, None, None],
    };
    let [ca, certificate, key] = &found;
    if certificate.is_some() != key.is_some() && errors.is_empty() {
        errors.push(format!("{}: expected cert.pem and key.pem, or neither", quoting::path(folder)));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let identity = certificate.as_deref().zip(key.as_deref());
    let of_file = |error: TlsError| match error {
        TlsError::Ca(message) | TlsError::ClientCa(message) | TlsError::Crl(message) => {
            format!("{}/ca.pem: {message}", quoting::path(folder))
        }
        TlsError::Certificate(message) => format!("{}/cert.pem: {message}", quoting::path(folder)),
        TlsError::Key(message) => format!("{}/key.pem: {message}", quoting::path(folder)),
    };
    let tls = EngineTls::from_pem(ca.as_deref(), identity);
    let tls = tls.map_err(|errors| errors.into_iter().map(of_file).collect::<Vec<_>>())?;
    Ok(EndpointTls { tls, files })
}
