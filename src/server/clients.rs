//! The policy of each connection: whose it is, and what that client may request and see.
//!
//! A reload replaces the [`ListenerProxies`] of a listener. The next request of each connection goes through the new ones: who
//! the client is is known, and its line of `clients` is chosen again.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client_slots::{ClientKey, ClientRate, ClientSlot, ClientSlots, LineKey, StreamSlot, TooManyConnections};
use super::connection::ConnectionSettings;
use super::listener_use::{ListenerShare, ListenerStream};
use super::rate::RateExceeded;
use super::slots::ConnectionSlot;
use super::tls::{self, HandshakeError, ProvenChain};
use super::worker::Served;
use crate::clients::{Caller, CallingContainer, ChosenLine, ClientRefusal, ClientSelector, LoggedClient};
use crate::config::{ClientLimits, ClientRule, Listener, RateLimit};
use crate::metrics::OpenCount;
use crate::proxy::{CallerLookUps, Proxy};
use crate::socket::{AcceptedSocket, Peer, Socket};
use crate::tls::ServerTls;

/// What a client reads that has as many streams as it may have.
const TOO_MANY_STREAMS: &str = "too many streams of this client";
/// How long the engine may take to say which container a client runs in.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// Within what time the answer of the engine is taken as it is. In more time, the address of a client can have gone to another container:
/// removing one and starting the next takes Docker 28.5 about half a second.
///
/// When a container has started is no proof. Docker 28.5 says a time from before it has its address (130 ms and more), 20.10 one up to 4 ms
/// after it has connected here; a network that it joins gives it an address at any time; and the engine may have another clock.
const PROMPT: Duration = Duration::from_millis(500);

/// The proxies of one listener in one worker.
#[derive(Debug)]
pub(super) struct ListenerProxies {
    /// The number of the listener.
    number: usize,
    tls: Option<ServerTls>,
    /// What holds for connections that are opened now.
    pub(super) settings: Arc<ConnectionSettings>,
    /// For everybody. If the listener lists clients, for those that no line names.
    others: Arc<Proxy>,
    /// For clients whose container is not known.
    unknown: Arc<Proxy>,
    /// The lines of `clients` in their order, each with its proxy.
    lines: Vec<ServedLine>,
    /// What each client has, in all workers.
    slots: Arc<ClientSlots>,
    /// What all its clients have together, in all workers.
    share: Arc<ListenerShare>,
    /// How the containers of clients are found.
    look_ups: CallerLookUps,
}

/// A line of `clients`: who it names, and what they get.
#[derive(Debug)]
struct ServedLine {
    selector: ClientSelector,
    /// What each of them may have.
    limits: ClientLimits,
    key: LineKey,
    proxy: Arc<Proxy>,
}

/// The client of a connection: who it is, and what it may request and see.
#[derive(Debug)]
pub(super) struct AdmittedClient {
    /// What it sends and receives.
    pub(super) socket: Arc<Socket>,
    caller: Caller,
    /// The certificate by which it has proved that, if it came over TLS; it may have none.
    chain: Option<ProvenChain>,
    /// The TCP connection below TLS, until its container is known.
    below_tls: Option<OwnedFd>,
    /// What is served at its listener.
    served: Served,
    /// Whether a line depends on its container, for which nobody has asked yet. Until then, it may request nothing.
    needs_container: bool,
    /// Whether it was not admitted any more at the last look.
    is_distrusted: bool,
    /// What it may request and see.
    pub(super) proxy: Arc<Proxy>,
    /// Who it is, for the log.
    pub(super) logged: Arc<LoggedClient>,
    /// Its place among the connections of the client.
    pub(super) place: Arc<ClientPlace>,
    /// What all clients of the listener have together.
    share: Arc<ListenerShare>,
    /// Counts it.
    _open: OpenCount,
}

/// Whose limit it is that is a client's.
const OF_CLIENT: &str = "client";

/// Why a request must wait: whose limit it exceeds.
#[derive(Debug)]
pub(super) struct TooManyRequests {
    whose: &'static str,
    limit: RateLimit,
    pub(super) exceeded: RateExceeded,
}

impl TooManyRequests {
    /// Whether they are all of one client.
    pub(super) fn is_of_client(&self) -> bool {
        self.whose == OF_CLIENT
    }
}

/// What the client reads.
impl fmt::Display for TooManyRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "too many requests: {} are the limit of this {} (requests)", self.limit, self.whose)
    }
}

/// A stream that is counted. When dropped, it is no longer.
#[derive(Debug)]
pub(super) struct OpenStream {
    /// `None` if nobody limited the streams of the client when it was opened.
    of_client: Option<StreamSlot>,
    _of_listener: ListenerStream,
}

/// A connection whose bytes can be read.
struct OpenedConnection {
    socket: Socket,
    caller: Caller,
    /// What the client has proved, over TLS.
    chain: Option<ProvenChain>,
    /// The TCP connection below TLS, if it may be asked whether the client is still there.
    below_tls: Option<OwnedFd>,
}

/// What a client gets.
#[derive(Debug)]
struct ChosenPolicy {
    proxy: Arc<Proxy>,
    place: ClientPlace,
    needs_container: bool,
}

impl AdmittedClient {
    /// As [`Self::renew`], and finds out in which container it runs, if a line depends on that.
    pub(super) async fn refresh(&mut self, slot: &Arc<ConnectionSlot>) -> bool {
        // What a reload replaces while the engine is asked counts, too.
        while self.renew(slot) {
            if !self.needs_container {
                return true;
            }
            self.find_container(slot).await;
        }
        false
    }

    /// Whether [`Self::refresh`] asks the engine.
    pub(super) fn needs_container(&self) -> bool {
        self.needs_container
    }

    /// Chooses again if a reload has replaced what is served at the listener. `false` if the client is not admitted any more:
    /// the listener trusts its certificate no longer, or has or demands TLS now and had or demanded none; or its certificate has
    /// expired, or a list that could revoke it has.
    pub(super) fn renew(&mut self, slot: &Arc<ConnectionSlot>) -> bool {
        if self.is_distrusted {
            return false;
        }
        let is_replaced = self.served.proxies.has_changed().unwrap_or_default();
        if !is_replaced && !self.chain.as_ref().is_some_and(ProvenChain::is_outdated) {
            return true;
        }
        // What is replaced from here on is for the next time.
        let proxies = &mut self.served.proxies;
        let proxies = if is_replaced { proxies.borrow_and_update().clone() } else { proxies.borrow().clone() };
        let is_trusted = match (&proxies.tls, &mut self.chain) {
            (None, None) => true,
            (Some(tls), Some(chain)) => chain.is_accepted_by(tls),
            (Some(_), None) | (None, Some(_)) => false,
        };
        // What is replaced is noticed once, so this stays.
        self.is_distrusted = !is_trusted;
        if !is_trusted || !is_replaced {
            return is_trusted;
        }
        // What is known of its container stays: its address may belong to another one meanwhile.
        if let CallingContainer::Unknown(_) = self.caller.container {
            self.caller.container = CallingContainer::Unasked;
        }
        self.choose(&proxies, slot);
        true
    }

    /// Asks the engine for its container, on which a line depends.
    async fn find_container(&mut self, slot: &Arc<ConnectionSlot>) {
        let proxies = self.served.proxies.borrow().clone();
        // In a box: streams, and clients that need it not, have no room for it.
        self.caller.container = Box::pin(proxies.ask(&self.socket, self.below_tls.as_ref(), &self.caller)).await;
        self.choose(&proxies, slot);
        self.below_tls = self.below_tls.take().filter(|_| self.needs_container);
    }

    /// Chooses what it gets.
    fn choose(&mut self, proxies: &ListenerProxies, slot: &Arc<ConnectionSlot>) {
        // Its old place is free before it takes the new one.
        self.place = Arc::new(ClientPlace::Uncounted);
        let ChosenPolicy { proxy, place, needs_container } = proxies.choose(&self.socket, &mut self.caller, slot);
        (self.proxy, self.place, self.needs_container) = (proxy, Arc::new(place), needs_container);
        (self.logged, self.share) = (Arc::new(LoggedClient::from(&self.caller)), proxies.share.clone());
    }

    /// Whether it gets nothing but refusals and pings: it is denied, or has too many connections.
    pub(super) fn is_turned_away(&self) -> bool {
        !self.needs_container && (self.proxy.refused.is_some() || matches!(*self.place, ClientPlace::TooMany(_)))
    }

    /// Counts a request, whether or not it can be read. One of a client that is not served takes nothing from the others.
    ///
    /// # Errors
    /// There were too many, of the client or of all. It is not counted.
    pub(super) fn count_request(&self, is_ping: bool) -> Result<(), TooManyRequests> {
        let (own, now) = (self.place.rate(), Instant::now());
        if let Some(rate) = own {
            let limit = rate.limit();
            rate.count(is_ping, now).map_err(|exceeded| TooManyRequests { whose: OF_CLIENT, limit, exceeded })?;
        }
        let Some(limit) = self.share.limits.requests.filter(|_| self.proxy.refused.is_none()) else { return Ok(()) };
        self.share.used.rate.count(limit, is_ping, now).map_err(|exceeded| {
            if let Some(rate) = own {
                rate.forget(is_ping);
            }
            TooManyRequests { whose: "listener", limit, exceeded }
        })
    }

    /// Counts a stream.
    ///
    /// # Errors
    /// There are too many, of the client or of all; what the client reads.
    pub(super) fn open_stream(&self) -> Result<OpenStream, String> {
        let of_client = self.place.stream().ok_or_else(|| TOO_MANY_STREAMS.to_owned())?;
        let of_listener = self
            .share
            .stream()
            .map_err(|limit| format!("too many streams: {limit} in use, the limit of this listener (streams)"))?;
        Ok(OpenStream { of_client, _of_listener: of_listener })
    }

    /// Counts a stream that was opened when nobody limited those of the client, if somebody does now. It goes on even if there are
    /// too many.
    pub(super) fn count_stream(&self, open: &mut OpenStream) {
        if open.of_client.is_none() {
            open.of_client = self.place.stream().flatten();
        }
    }

    /// Whether it is not admitted any more, or what it gets is not what it was.
    pub(super) fn is_other(&self, before: &Arc<Proxy>) -> bool {
        self.is_distrusted || !Arc::ptr_eq(&self.proxy, before)
    }

    /// Waits until [`Self::refresh`] has something to do: a reload has replaced what is served at the listener, or something has
    /// expired. Or for ever.
    pub(super) async fn outdated(&self) {
        match &self.chain {
            None => self.replaced().await,
            // In a box: a stream without TLS has no room for it.
            Some(chain) => {
                Box::pin(async {
                    tokio::select! {
                        () = self.replaced() => {}
                        () = chain.outdated() => {}
                    }
                })
                .await;
            }
        }
    }

    /// Waits until a reload has replaced what is served at the listener.
    async fn replaced(&self) {
        let mut proxies = self.served.proxies.clone();
        if proxies.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// A connection among those of its client.
#[derive(Debug)]
pub(super) enum ClientPlace {
    /// Nothing is counted.
    Uncounted,
    /// It is counted.
    Counted(ClientSlot),
    /// The client has too many.
    TooMany(TooManyConnections),
}

impl ClientPlace {
    /// Enters a stream of the client. `None` if it has as many as it may have.
    fn stream(&self) -> Option<Option<StreamSlot>> {
        match self {
            Self::Uncounted => Some(None),
            Self::Counted(slot) => slot.stream().map(Some),
            Self::TooMany(_) => None,
        }
    }

    /// The requests of the client; `None` if nobody limits them.
    fn rate(&self) -> Option<&ClientRate> {
        match self {
            Self::Uncounted => None,
            Self::Counted(slot) => slot.rate(),
            Self::TooMany(TooManyConnections(rate)) => rate.as_ref(),
        }
    }
}

impl ListenerProxies {
    /// The proxies of a listener: `proxy` has the policy of everybody, or of nobody if it lists clients.
    pub(super) fn new(
        number: usize,
        proxy: Proxy,
        listener: &Listener,
        settings: &Arc<ConnectionSettings>,
        (slots, share): (&Arc<ClientSlots>, Arc<ListenerShare>),
    ) -> Self {
        let of_line = |rule: &ClientRule| {
            let observer = Arc::new(proxy.observer.of(rule.policy.name()));
            let proxy = Proxy { policy: rule.policy.clone(), observer, ..proxy.clone() };
            let limits = rule.limits.or(share.limits.per_client);
            let key = LineKey { listener: number, line: Some(rule.selector.to_string().into()) };
            ServedLine { selector: rule.selector.clone(), limits, key, proxy: Arc::new(proxy) }
        };
        let lines = listener.clients.iter().flat_map(|rules| rules.iter()).map(of_line).collect();
        let refused = listener.clients.as_ref().map(|_| ClientRefusal::Unnamed);
        let unknown = Arc::new(Proxy { refused: Some(ClientRefusal::UnknownContainer), ..proxy.clone() });
        let others = Arc::new(Proxy { refused, ..proxy });
        let (tls, settings, slots) = (listener.tls.clone(), settings.clone(), slots.clone());
        if tls.is_some() {
            others.observer.metrics.has_tls(&HandshakeError::REASONS);
        }
        Self { number, tls, settings, others, unknown, lines, slots, share, look_ups: CallerLookUps::default() }
    }

    /// Finds out whose a connection is, without the engine. `None` if it has ended.
    ///
    /// Cancel safety: when dropped, the connection is closed.
    pub(super) async fn admit(
        &self,
        accepted: AcceptedSocket,
        served: Served,
        slot: &Arc<ConnectionSlot>,
    ) -> Option<AdmittedClient> {
        let open = self.others.observer.metrics.connection();
        let OpenedConnection { socket, mut caller, chain, below_tls } = match self.open(accepted, slot).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(%error, "cannot serve a connection");
                return None;
            }
        }?;
        let ChosenPolicy { proxy, place, needs_container } = self.choose(&socket, &mut caller, slot);
        let (logged, place) = (Arc::new(LoggedClient::from(&caller)), Arc::new(place));
        let (socket, share) = (Arc::new(socket), self.share.clone());
        let below_tls = below_tls.filter(|_| needs_container);
        let admitted = AdmittedClient {
            socket,
            caller,
            chain,
            below_tls,
            served,
            needs_container,
            is_distrusted: false,
            proxy,
            logged,
            place,
            share,
            _open: open,
        };
        Some(admitted)
    }

    /// What a client gets: what the first line says that names it. While a line depends on its container, and that is not known,
    /// it is denied, whatever the lines behind say.
    fn choose(&self, socket: &Socket, caller: &mut Caller, slot: &Arc<ConnectionSlot>) -> ChosenPolicy {
        if caller.groups.is_empty() && self.lines.iter().any(|line| line.selector.gid.is_some()) {
            caller.groups = socket.peer_groups();
        }
        let chosen = ChosenLine::find(self.lines.iter().map(|line| &line.selector), caller);
        let needs_container =
            matches!((chosen, &caller.container), (ChosenLine::Unknown(_), CallingContainer::Unasked));
        let (proxy, limits, key) = match chosen {
            ChosenLine::Named(line) => match self.lines.get(line) {
                Some(line) => (&line.proxy, line.limits, line.key.clone()),
                None => self.of_others(&self.others),
            },
            ChosenLine::Nobody => self.of_others(&self.others),
            ChosenLine::Unknown(_) => self.of_others(&self.unknown),
        };
        let proxy = proxy.clone();
        // Nothing counts before it is known for whom.
        if needs_container || limits == ClientLimits::default() {
            return ChosenPolicy { proxy, place: ClientPlace::Uncounted, needs_container };
        }
        let key = ClientKey { line: key, id: caller.id() };
        let entered = self.slots.enter(key, limits, slot.state(), Instant::now());
        let place = entered.map_or_else(ClientPlace::TooMany, ClientPlace::Counted);
        ChosenPolicy { proxy, place, needs_container }
    }

    /// What clients get that no line names.
    fn of_others<'p>(&self, proxy: &'p Arc<Proxy>) -> (&'p Arc<Proxy>, ClientLimits, LineKey) {
        (proxy, self.share.limits.per_client, LineKey { listener: self.number, line: None })
    }

    /// Asks the engine for the container of a client.
    ///
    /// An address belongs to a container while that runs. A client that has ended its direction may have stopped, and what it
    /// has sent could be taken for a request of the container that has its address now. One that has stopped need not end its
    /// direction: another process can hold its socket. But whoever has its address then refuses what is sent there for it. So if there
    /// was time enough for that until the answer, with the pause before the engine was asked, the client must show that it is still there.
    async fn ask(&self, socket: &Socket, below_tls: Option<&OwnedFd>, caller: &Caller) -> CallingContainer {
        let asked = async {
            let begun = Instant::now();
            let asked = self.others.calling_container(&caller.peer, &self.look_ups);
            let Ok(found) = tokio::time::timeout(ASK_TIMEOUT, asked).await else {
                return CallingContainer::Unknown("the engine did not answer in time");
            };
            let is_certain = match (&caller.peer, &found) {
                (Peer::Process { .. } | Peer::Gone, _)
                | (_, CallingContainer::Unknown(_) | CallingContainer::Unasked) => true,
                (Peer::Address(_), _) if begun.elapsed() < PROMPT => true,
                (Peer::Address(_), CallingContainer::Inside { .. } | CallingContainer::Outside) => {
                    self.is_still_there(socket, below_tls).await
                }
            };
            if is_certain {
                found
            } else {
                CallingContainer::Unknown("it cannot be asked whether the client is still there")
            }
        };
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
            found = asked => found,
        };
        // What has been found is that of its process only if its number has been its own all the time.
        let is_other = matches!(found, CallingContainer::Inside { .. }) && socket.has_peer_ended();
        let found = if is_other { CallingContainer::Unknown("its process has ended") } else { found };
        if let CallingContainer::Unknown(why) = found {
            tracing::warn!(client = %caller, listener = &*self.others.observer.listener, why, "the container of a client is not known");
        }
        found
    }

    /// Waits until a client must have shown that it is still at the other end of its TCP connection; that has ended if it is not.
    /// `false` if that cannot be found out.
    async fn is_still_there(&self, socket: &Socket, below_tls: Option<&OwnedFd>) -> bool {
        let connection = match (socket, below_tls) {
            (Socket::Tcp(_), _) => socket.as_fd(),
            (Socket::Carried(..), Some(below)) => below.as_fd(),
            (Socket::Carried(..), None) | (Socket::Unix(_), _) => return false,
        };
        self.settings.keepalive.prove(connection).await.is_ok()
    }

    /// The connection in the runtime of this thread, decrypted if the listener has TLS, and what is known of the client. `None`
    /// if there is no TLS with it, which has been logged.
    async fn open(&self, accepted: AcceptedSocket, slot: &Arc<ConnectionSlot>) -> io::Result<Option<OpenedConnection>> {
        let settings = &self.settings;
        let socket = Socket::accepted(accepted, settings.keepalive)?;
        let mut caller = Caller::from(socket.peer());
        match (&self.tls, socket) {
            (None, socket) => Ok(Some(OpenedConnection { socket, caller, chain: None, below_tls: None })),
            (Some(tls), Socket::Tcp(socket)) => {
                let by_container = self.lines.iter().any(|line| !line.selector.container.is_empty());
                let below_tls = by_container.then(|| socket.as_fd().try_clone_to_owned()).transpose()?;
                match tls::accept(tls, socket, settings.timeouts.head, slot).await {
                    Ok((socket, chain)) => {
                        caller.certificate = chain.names().map(Box::new);
                        Ok(Some(OpenedConnection { socket, caller, chain: Some(chain), below_tls }))
                    }
                    // The health check of this machine has none.
                    Err(error @ HandshakeError::NoCertificate) if caller.is_loopback() => {
                        tracing::debug!(client = %caller, listener = &*self.others.observer.listener, %error, "no TLS with a client");
                        Ok(None)
                    }
                    Err(error) => {
                        self.others.observer.metrics.count_handshake(error.reason());
                        tracing::info!(client = %caller, listener = &*self.others.observer.listener, %error, "no TLS with a client");
                        Ok(None)
                    }
                }
            }
            (Some(_), Socket::Unix(_) | Socket::Carried(..)) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}
