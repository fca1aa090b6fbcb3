//! `tls` of a listener: its files, read at start.

use std::path::{Path, PathBuf};

use super::files;
use super::raw::unreadable;
use crate::quoting;
use crate::socket::Address;
use crate::tls::{RevocationList, ServerPem, ServerTls, TlsError};
use crate::yaml::{Diagnostics, Members, Node, Value};

/// The keys of `tls`.
const KEYS: [&str; 5] = ["certificate", "key", "client_ca", "client_certificate", "crl"];
/// Those that say something of certificates of clients.
const OF_CLIENTS: [&str; 2] = ["client_certificate", "crl"];

/// `tls` of a listener, with the files that it was read from.
#[derive(Clone, Debug)]
pub(super) struct ListenerTls {
    pub(super) tls: ServerTls,
    pub(super) files: Vec<PathBuf>,
}

/// Files in PEM that the members of a mapping name.
pub(super) struct PemFiles<'m> {
    members: &'m Members<'m>,
    folder: &'m Path,
    /// Those that were read.
    pub(super) files: Vec<PathBuf>,
}

impl<'m> PemFiles<'m> {
    /// Paths are relative to `folder`.
    pub(super) fn new(members: &'m Members<'m>, folder: &'m Path) -> Self {
        Self { members, folder, files: Vec::new() }
    }

    /// Reads the file that the member `name` of the mapping `node` names. It must be there.
    pub(super) fn read(&mut self, name: &str, node: &Node, diagnostics: &mut Diagnostics) -> Option<Vec<u8>> {
        let Some(node) = self.members.get(name) else {
            diagnostics.push(node.diagnostic(format!("expected `{name}` with a file in PEM")));
            return None;
        };
        self.read_at(node, diagnostics).map(|(_, bytes)| bytes)
    }

    /// Reads the file that a text names; returns its path, too.
    fn read_at(&mut self, node: &Node, diagnostics: &mut Diagnostics) -> Option<(PathBuf, Vec<u8>)> {
        let path = self.folder.join(diagnostics.ok(node.text("a file in PEM"))?);
        self.files.push(path.clone());
        let read = files::read_named(&path).map_err(|error| unreadable(&path.display().to_string(), &error));
        let bytes = diagnostics.ok(read.map_err(|wrong| node.diagnostic(wrong.to_string())))?;
        Some((path, bytes))
    }

    /// Reads the lists of revoked certificates, in a file or in several. `None` if one has an error.
    fn revoked(&mut self, diagnostics: &mut Diagnostics) -> Option<Vec<RevocationList>> {
        let Some(node) = self.members.get_or_empty("crl") else { return Some(Vec::new()) };
        let nodes = match &node.value {
            Value::Sequence(items) if !items.is_empty() => items.as_slice(),
            Value::Sequence(_) | Value::Scalar { .. } | Value::Mapping(_) | Value::Null => std::slice::from_ref(node),
        };
        let mut read = |node: &Node| {
            let (path, bytes) = self.read_at(node, diagnostics)?;
            let lists = RevocationList::from_pem(&bytes, &path);
            diagnostics.ok(lists.map_err(|message| node.diagnostic(format!("{}: {message}", quoting::path(&path)))))
        };
        let lists: Vec<Option<Vec<RevocationList>>> = nodes.iter().map(&mut read).collect();
        lists.into_iter().collect::<Option<Vec<_>>>().map(|lists| lists.into_iter().flatten().collect())
    }
}

/// Reads `tls` and its files. Paths are relative to `folder`.
pub(super) fn tls(node: &Node, folder: &Path, diagnostics: &mut Diagnostics) -> Option<ListenerTls> {
    let members = diagnostics.members(node, "settings of TLS", &KEYS)?;
    let mut pem = PemFiles::new(&members, folder);
    let [certificate, key] = ["certificate", "key"].map(|name| pem.read(name, node, diagnostics));
    // A key without a value is an error: without it, everybody would be let in.
    let has_ca = members.get_or_empty("client_ca").is_some();
    let client_ca = if has_ca { pem.read("client_ca", node, diagnostics).map(Some) } else { Some(None) };
    let revoked = pem.revoked(diagnostics);
    let is_optional = is_optional(&members, diagnostics);
    for (key, _) in OF_CLIENTS.iter().filter_map(|name| members.entry(name)).filter(|_| !has_ca) {
        diagnostics.report(
            &key.location,
            format!("{:?} needs `client_ca`, the authorities of clients", quoting::value(&key.name)),
        );
    }
    let made = ServerTls::from_pem(&ServerPem {
        certificate: &certificate?,
        key: &key?,
        client_ca: client_ca?.as_deref(),
        is_optional: is_optional?,
        revoked: &revoked?,
    });
    let made =
        made.map_err(|errors| errors.iter().for_each(|error| report(error, key_of(error), &members, diagnostics)));
    made.ok().map(|tls| ListenerTls { tls, files: pem.files })
}

/// Reads `client_certificate`: whether a client need not have one. `None` if that has an error.
fn is_optional(members: &Members<'_>, diagnostics: &mut Diagnostics) -> Option<bool> {
    let Some(node) = members.get_or_empty("client_certificate") else { return Some(false) };
    match diagnostics.ok(node.text("required or optional"))? {
        "required" => Some(false),
        "optional" => Some(true),
        found => {
            diagnostics
                .push(node.diagnostic(format!("found {:?}, expected required or optional", quoting::value(found))));
            None
        }
    }
}

/// The key of the file that is at fault.
fn key_of(error: &TlsError) -> &'static str {
    match error {
        TlsError::Certificate(_) => "certificate",
        TlsError::Key(_) => "key",
        TlsError::ClientCa(_) | TlsError::Ca(_) => "client_ca",
        TlsError::Crl(_) => "crl",
    }
}

/// Reports an error in a file, where the file is named: as the member called `name`.
pub(super) fn report(error: &TlsError, name: &str, members: &Members<'_>, diagnostics: &mut Diagnostics) {
    if let Some(node) = members.get(name) {
        diagnostics.push(node.diagnostic(format!(
            "{}: {}",
            quoting::name(node.text("").unwrap_or_default()),
            error.message()
        )));
    }
}

/// Reports `tls` of a Unix socket, and clients with certificates of a listener that asks for none.
pub(super) fn check(listener: &Members<'_>, address: Option<&Address>, diagnostics: &mut Diagnostics) {
    let tls = listener.get_or_empty("tls");
    if let (Some(node), Some(Address::Unix(_))) = (tls, address) {
        diagnostics.push(node.diagnostic("\"tls\" does not apply to a Unix socket"));
    }
    let clients = listener.get("clients").and_then(|node| node.list("").ok()).unwrap_or_default();
    let has_ca = tls
        .and_then(|node| node.mapping("").ok())
        .is_some_and(|tls| tls.iter().any(|(key, _)| key.name == "client_ca"));
    if let (false, Some(Address::Tcp { .. })) = (has_ca, address) {
        for (key, _) in clients.iter().filter_map(|node| node.mapping("").ok()).flatten() {
            if key.name == "certificate" {
                diagnostics.report(
                    &key.location,
                    "\"certificate\" needs `client_ca` in `tls` of the listener, with the authority of its clients",
                );
            }
        }
    }
}
