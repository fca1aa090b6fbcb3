//! TLS in front of a scripted daemon, as an engine has it with `--tlsverify`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::authority::Identity;

/// How connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsEnd {
    /// TLS says so.
    Proper,
    /// Somebody cuts the connection once the daemon has ended its direction.
    Cut,
}

/// A port with TLS, in front of the socket of a daemon.
pub(crate) struct TlsFront {
    /// The port.
    pub(crate) port: u16,
    /// The certificates that clients had, one for each handshake; empty for none.
    clients: Arc<Mutex<Vec<Vec<u8>>>>,
    config: Arc<Mutex<Arc<ServerConfig>>>,
}

impl TlsFront {
    /// Proves that it is `server`. Clients must have a certificate of `client_ca`, in PEM, if there is one.
    pub(crate) fn start(daemon: &Path, config: Arc<ServerConfig>, end: TlsEnd) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let (clients, config) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::new(Mutex::new(config)));
        let (seen, current, daemon) = (clients.clone(), config.clone(), daemon.to_owned());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((socket, _)) = listener.accept().await {
                    let (seen, daemon) = (seen.clone(), daemon.clone());
                    let acceptor = TlsAcceptor::from(current.lock().unwrap().clone());
                    tokio::spawn(async move {
                        let Ok(client) = acceptor.accept(socket).await else { return };
                        let certificates = client.get_ref().1.peer_certificates().unwrap_or_default();
                        let first = certificates.first().map(|certificate| certificate.to_vec()).unwrap_or_default();
                        seen.lock().unwrap().push(first);
                        carry(client, &daemon, end).await;
                    });
                }
            });
        });
        Self { port, clients, config }
    }

    /// Has another configuration from the next connection on.
    pub(crate) fn replace(&self, config: Arc<ServerConfig>) {
        *self.config.lock().unwrap() = config;
    }

    /// The certificates of clients, one for each handshake.
    pub(crate) fn clients(&self) -> Vec<Vec<u8>> {
        self.clients.lock().unwrap().clone()
    }
}

/// Carries bytes between a client and the daemon.
async fn carry(mut client: TlsStream<TcpStream>, daemon: &PathBuf, end: TlsEnd) {
    let Ok(mut daemon) = UnixStream::connect(daemon).await else { return };
    if end == TlsEnd::Proper {
        let _ = copy_bidirectional(&mut client, &mut daemon).await;
        return;
    }
    let ((mut from_client, mut to_client), (mut from_daemon, mut to_daemon)) =
        (tokio::io::split(client), daemon.split());
    tokio::select! {
        _ = copy(&mut from_client, &mut to_daemon) => {}
        _ = copy(&mut from_daemon, &mut to_client) => {}
    }
    let _ = to_client.flush().await;
    // Without an end of TLS.
}

/// What a server needs that proves that it is `server`, and whose clients need a certificate of `client_ca` if there is one.
pub(crate) fn server_config(
    server: &Identity,
    client_ca: Option<&str>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).unwrap();
    let builder = match client_ca {
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let chain = vec![CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap()];
    Arc::new(builder.with_single_cert(chain, PrivateKeyDer::from_pem_slice(server.key.as_bytes()).unwrap()).unwrap())
}
