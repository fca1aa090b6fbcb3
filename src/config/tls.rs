//! `tls` of a listener: its files, read at start.

use std::path::{Path, PathBuf};

use super::raw::unreadable;
use crate::socket::Address;
use crate::tls::{ServerTls, TlsError};
use crate::yaml::{Diagnostics, Members, Node};

/// The keys of `tls`.
const KEYS: [&str; 3] = ["certificate", "key", "client_ca"];

/// `tls` of a listener, with the files that it was read from.
#[derive(Clone, Debug)]
pub(super) struct ListenerTls {
    pub(super) tls: ServerTls,
    pub(super) files: Vec<PathBuf>,
}

/// Reads `tls` and its files. Paths are relative to `folder`.
pub(super) fn tls(node: &Node, folder: &Path, diagnostics: &mut Diagnostics) -> Option<ListenerTls> {
    let members = diagnostics.members(node, "`certificate`, `key` and `client_ca`", &KEYS)?;
    let mut files = Vec::new();
    let mut file = |name: &str| -> Option<Vec<u8>> {
        let Some(node) = members.get(name) else {
            diagnostics.push(node.diagnostic(format!("expected `{name}` with a file in PEM")));
            return None;
        };
        let path = folder.join(diagnostics.ok(node.text("a file in PEM"))?);
        files.push(path.clone());
        let read = std::fs::read(&path).map_err(|error| unreadable(&path.display().to_string(), &error));
        diagnostics.ok(read.map_err(|wrong| node.diagnostic(wrong.to_string())))
    };
    let [certificate, key, client_ca] = KEYS.map(&mut file);
    let made = ServerTls::from_pem(&certificate?, &key?, &client_ca?);
    let made = made.map_err(|errors| errors.into_iter().for_each(|error| report(&error, &members, diagnostics)));
    made.ok().map(|tls| ListenerTls { tls, files })
}

/// Reports an error in a file, where the file is named.
fn report(error: &TlsError, members: &Members<'_>, diagnostics: &mut Diagnostics) {
    let (name, message) = match error {
        TlsError::Certificate(message) => ("certificate", message),
        TlsError::Key(message) => ("key", message),
        TlsError::ClientCa(message) => ("client_ca", message),
    };
    if let Some(node) = members.get(name) {
        diagnostics.push(node.diagnostic(format!("{}: {message}", node.text("").unwrap_or_default())));
    }
}

/// Reports `tls` of a Unix socket, and clients with certificates of a listener without `tls`.
pub(super) fn check(listener: &Members<'_>, address: Option<&Address>, diagnostics: &mut Diagnostics) {
    let tls = listener.get_or_empty("tls");
    if let (Some(node), Some(Address::Unix(_))) = (tls, address) {
        diagnostics.push(node.diagnostic("\"tls\" does not apply to a Unix socket"));
    }
    let clients = listener.get("clients").and_then(|node| node.list("").ok()).unwrap_or_default();
    if let (None, Some(Address::Tcp { .. })) = (tls, address) {
        for (key, _) in clients.iter().filter_map(|node| node.mapping("").ok()).flatten() {
            if key.name == "certificate" {
                diagnostics.report(
                    &key.location,
                    "\"certificate\" needs `tls` of the listener, with the authority of its clients",
                );
            }
        }
    }
}
