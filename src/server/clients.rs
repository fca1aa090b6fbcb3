//! The policy of each connection: whose it is, and what that client may request and see.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::client_slots::{ClientKey, ClientSlot, ClientSlots, StreamSlot};
use super::connection::ConnectionSettings;
use super::slots::ConnectionSlot;
use super::tls::{self, HandshakeError};
use crate::clients::{Caller, CallingContainer, ChosenLine, ClientRefusal};
use crate::config::{ClientRule, Listener};
use crate::proxy::Proxy;
use crate::socket::{AcceptedSocket, Peer, Socket};
use crate::tls::ServerTls;

/// How long the engine may take to say which container a client runs in.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// The proxies of one listener in one worker.
#[derive(Debug)]
pub(super) struct ListenerProxies {
    /// The number of the listener.
    number: usize,
    tls: Option<ServerTls>,
    /// For everybody. If the listener lists clients, for those that no line names.
    others: Arc<Proxy>,
    /// For clients whose container is not known.
    unknown: Arc<Proxy>,
    /// The lines of `clients` in their order, each with its proxy.
    lines: Vec<(ClientRule, Arc<Proxy>)>,
    /// What clients have, in all workers.
    slots: Arc<ClientSlots>,
}

/// A connection of which it is known whose it is.
#[derive(Debug)]
pub(super) struct AdmittedClient {
    /// What it sends and receives.
    pub(super) socket: Socket,
    /// What it may request and see.
    pub(super) proxy: Arc<Proxy>,
    /// Who it is, for the log.
    pub(super) name: Arc<str>,
    /// Its place among the connections of the client.
    pub(super) place: ClientPlace,
}

/// A connection among those of its client.
#[derive(Debug)]
pub(super) enum ClientPlace {
    /// Nothing is counted.
    Uncounted,
    /// It is counted.
    Counted(ClientSlot),
    /// The client has too many.
    TooMany,
}

impl ClientPlace {
    /// Enters a stream of the client. `None` if it has as many as it may have.
    pub(super) fn stream(&self) -> Option<Option<StreamSlot>> {
        match self {
            Self::Uncounted => Some(None),
            Self::Counted(slot) => slot.stream().map(Some),
            Self::TooMany => None,
        }
    }
}

impl ListenerProxies {
    /// The proxies of a listener: `proxy` has the policy of everybody, or of nobody if it lists clients.
    pub(super) fn new(number: usize, proxy: Proxy, listener: &Listener, slots: &Arc<ClientSlots>) -> Self {
        let of_line = |rule: &ClientRule| {
            let proxy = Proxy { policy: rule.policy.clone(), ..proxy.clone() };
            (rule.clone(), Arc::new(proxy))
        };
        let lines = listener.clients.iter().flat_map(|rules| rules.iter()).map(of_line).collect();
        let refused = listener.clients.as_ref().map(|_| ClientRefusal::Unnamed);
        let unknown = Arc::new(Proxy { refused: Some(ClientRefusal::UnknownContainer), ..proxy.clone() });
        let others = Arc::new(Proxy { refused, ..proxy });
        Self { number, tls: listener.tls.clone(), others, unknown, lines, slots: slots.clone() }
    }

    /// Finds out whose a connection is. `None` if it has ended.
    ///
    /// Cancel safety: when dropped, the connection is closed.
    pub(super) async fn admit(
        &self,
        accepted: AcceptedSocket,
        slot: &Arc<ConnectionSlot>,
        settings: &ConnectionSettings,
    ) -> Option<AdmittedClient> {
        let (socket, caller) = match self.open(accepted, slot, settings).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(%error, "cannot serve a connection");
                return None;
            }
        }?;
        let (proxy, place, caller) = self.choose(&socket, caller, slot).await;
        Some(AdmittedClient { socket, proxy: proxy.clone(), name: caller.to_string().into(), place })
    }

    /// The proxy of a client: that of the first line that names it. If a line depends on its container, the engine is asked for
    /// that. While it is not known, the client is denied, whatever the lines behind say.
    async fn choose(
        &self,
        socket: &Socket,
        mut caller: Caller,
        slot: &Arc<ConnectionSlot>,
    ) -> (&Arc<Proxy>, ClientPlace, Caller) {
        let mut chosen = self.find(&caller);
        if let (ChosenLine::Unknown(_), CallingContainer::Unasked) = (chosen, &caller.container) {
            caller.container = self.ask(socket, &caller).await;
            chosen = self.find(&caller);
        }
        match chosen {
            ChosenLine::Nobody => (&self.others, ClientPlace::Uncounted, caller),
            ChosenLine::Unknown(_) => (&self.unknown, ClientPlace::Uncounted, caller),
            ChosenLine::Named(line) => {
                let Some((rule, proxy)) = self.lines.get(line) else {
                    return (&self.others, ClientPlace::Uncounted, caller);
                };
                let key = ClientKey { listener: self.number, line, id: caller.id() };
                let slot = self.slots.enter(key, rule.limits, slot.state());
                (proxy, slot.map_or(ClientPlace::TooMany, ClientPlace::Counted), caller)
            }
        }
    }

    fn find(&self, caller: &Caller) -> ChosenLine {
        ChosenLine::find(self.lines.iter().map(|(rule, _)| &rule.selector), caller)
    }

    /// Asks the engine for the container of a client.
    ///
    /// An address belongs to a container while that runs. A client that has ended its direction may have stopped, and what it
    /// has sent could be taken for a request of the container that has its address now.
    async fn ask(&self, socket: &Socket, caller: &Caller) -> CallingContainer {
        let asked = tokio::time::timeout(ASK_TIMEOUT, self.others.calling_container(&caller.peer));
        let has_ended = async {
            match caller.peer {
                Peer::Address(_) => socket.ended().await,
                Peer::Process { .. } | Peer::Gone => std::future::pending().await,
            }
        };
        let found = tokio::select! {
            // In this order: the end counts even if the answer is there.
            biased;
            () = has_ended => CallingContainer::Unknown("the client has ended its direction of the connection"),
            found = asked => found.unwrap_or(CallingContainer::Unknown("the engine did not answer in time")),
        };
        // What has been found is that of its process only if its number has been its own all the time.
        let is_other = matches!(found, CallingContainer::Inside { .. }) && socket.has_peer_ended();
        let found = if is_other { CallingContainer::Unknown("its process has ended") } else { found };
        if let CallingContainer::Unknown(why) = found {
            tracing::warn!(client = %caller, listener = %self.others.listener, why, "the container of a client is not known");
        }
        found
    }

    /// The connection in the runtime of this thread, decrypted if the listener has TLS, and what is known of the client. `None`
    /// if there is no TLS with it, which has been logged.
    async fn open(
        &self,
        accepted: AcceptedSocket,
        slot: &Arc<ConnectionSlot>,
        settings: &ConnectionSettings,
    ) -> io::Result<Option<(Socket, Caller)>> {
        let socket = Socket::accepted(accepted, settings.keepalive)?;
        let mut caller = Caller::from(socket.peer());
        if self.lines.iter().any(|(rule, _)| rule.selector.gid.is_some()) {
            caller.groups = socket.peer_groups();
        }
        match (&self.tls, socket) {
            (None, socket) => Ok(Some((socket, caller))),
            (Some(tls), Socket::Tcp(socket)) => match tls::accept(tls, socket, settings.timeouts.head, slot).await {
                Ok((socket, names)) => {
                    caller.certificate = Some(names);
                    Ok(Some((socket, caller)))
                }
                // The health check of this machine has none.
                Err(error @ HandshakeError::NoCertificate) if caller.is_loopback() => {
                    tracing::debug!(client = %caller, listener = %self.others.listener, %error, "no TLS with a client");
                    Ok(None)
                }
                Err(error) => {
                    tracing::info!(client = %caller, listener = %self.others.listener, %error, "no TLS with a client");
                    Ok(None)
                }
            },
            (Some(_), Socket::Unix(_) | Socket::Decrypted(_)) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}
