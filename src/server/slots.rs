//! The slots for connections: how many may be open, how many are kept for each listener, and which connection gives way.
//!
//! Every listener has slots of its own, so that the clients of one cannot shut out those of another. The others are common.
//! A connection without a slot is an overflow connection. It may have a ping answered, because a health check must not fail
//! when the server is busy. Any other request waits a moment for a slot and is then refused; if many wait, it is a shorter
//! moment, so that a ping behind them has its turn. For each request that waits, a
//! connection gives way that waits for its next request or for the rest of its head: the one that has waited longest. One whose
//! client is turned away gives way before that, whatever it does.
//!
//! If there are too many overflow connections, one of those ends that wait for their first request: one from where most of them
//! come. A client that connects again and again takes the place of its own connections, and leaves others the time for a
//! handshake.
//!
//! While the engine is asked who a client is, its connection keeps its place as a rule: if it gave way to whoever comes next, no
//! look-up would come to its end. But look-ups have only half of the places of overflow connections, and a request of a client that
//! is served goes before those with a slot. The last one of where most of them come from ends: so the first one goes on.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::clients::network;
use crate::socket::AcceptedSocket;

/// How long a request of an overflow connection waits for a slot.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(1);
/// The most slots that are kept for one listener.
const KEPT_LIMIT: usize = 64;
/// How long not to look again for a connection that can give way, after none was found. There may be thousands. A request
/// that waits for a slot looks again as often.
const SEARCH_INTERVAL: Duration = Duration::from_millis(20);

/// Where a connection comes from, before it is known whose it is: its [`network`].
/// `None` for this machine over a Unix socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionOrigin(Option<IpAddr>);

impl From<&AcceptedSocket> for ConnectionOrigin {
    fn from(socket: &AcceptedSocket) -> Self {
        match socket {
            AcceptedSocket::Unix(_) => Self(None),
            AcceptedSocket::Tcp(socket) => Self(socket.peer_addr().ok().map(|peer| network(peer.ip()))),
        }
    }
}

/// How many connections may be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlotLimits {
    /// Those with a slot, of all listeners.
    pub(super) slots: usize,
    /// Overflow connections, of all listeners. When there are more, one is ended.
    pub(super) overflow: usize,
    /// For each listener by its number, the most connections with a slot; `None` for no limit of its own, 0 if it is closed.
    pub(super) listeners: Vec<Option<usize>>,
}

impl SlotLimits {
    /// The limit of each listener, and how many slots are kept for it.
    fn of_listeners(&self) -> impl Iterator<Item = (usize, usize)> {
        let open = self.listeners.iter().filter(|limit| **limit != Some(0)).count();
        let share = self.slots / (2 * open).max(1);
        self.listeners.iter().map(move |limit| {
            let limit = limit.unwrap_or(self.slots);
            (limit, share.clamp(1, KEPT_LIMIT).min(limit))
        })
    }
}

/// The slots of all listeners.
#[derive(Debug)]
pub(super) struct Slots {
    table: Mutex<SlotTable>,
    /// Notified when a slot becomes free.
    freed: Notify,
    /// How many requests wait for a slot, of all listeners.
    waiting: AtomicUsize,
    /// What times are counted from.
    started: Instant,
}

#[derive(Debug)]
struct SlotTable {
    listeners: Vec<ListenerSlots>,
    /// Slots that are not kept for a listener, and how many of them are taken.
    common: usize,
    common_taken: usize,
    overflow_limit: usize,
    /// The connections without a slot, of all listeners, by their numbers.
    overflow: BTreeMap<u64, Arc<ConnectionState>>,
    /// The number of the next connection.
    next: u64,
}

#[derive(Debug)]
struct ListenerSlots {
    /// The most that its connections may take.
    limit: usize,
    /// How many are kept for it.
    kept: usize,
    /// How many its connections have taken.
    taken: usize,
    /// Its connections with a slot, by their numbers.
    connections: BTreeMap<u64, Arc<ConnectionState>>,
    /// How many of its requests wait for a slot.
    waiting: usize,
    /// When to look again for a connection that can give way to one of them. What others look for does not count: they may
    /// not take the same slots.
    search_at: Option<Instant>,
}

impl ListenerSlots {
    fn new(limit: usize, kept: usize) -> Self {
        Self { limit, kept, taken: 0, connections: BTreeMap::new(), waiting: 0, search_at: None }
    }
}

impl Slots {
    /// All slots are free.
    pub(super) fn new(limits: &SlotLimits) -> Self {
        let mut table = SlotTable {
            listeners: Vec::new(),
            common: 0,
            common_taken: 0,
            overflow_limit: 0,
            overflow: BTreeMap::new(),
            next: 0,
        };
        table.limit(limits);
        Self { table: Mutex::new(table), freed: Notify::new(), waiting: AtomicUsize::new(0), started: Instant::now() }
    }

    /// Changes the limits. Connections that have a slot keep it, even if there are too many of them now.
    pub(super) fn limit(&self, limits: &SlotLimits) {
        self.table().limit(limits);
        self.freed.notify_waiters();
    }

    /// Enters a new connection of a listener, with or without a slot. `None` if too many have none.
    ///
    /// `worker` counts the connections of its worker.
    pub(super) fn enter(
        self: &Arc<Self>,
        listener: usize,
        from: ConnectionOrigin,
        worker: &Arc<AtomicUsize>,
    ) -> Option<ConnectionSlot> {
        let mut table = self.table();
        // A slot that becomes free is for a request that waits, and not for whoever comes in that moment.
        let is_wanted = table.listeners.get(listener).is_some_and(|slots| slots.waiting > 0);
        let has_slot = !is_wanted && table.take(listener);
        if !has_slot {
            if table.overflow.len() >= table.overflow_limit * 2 {
                return None;
            }
            if table.overflow.len() >= table.overflow_limit {
                table.end_overflow();
            }
        }
        let state = Arc::new(ConnectionState::new(listener, from, self.started, has_slot));
        let number = table.next;
        table.next += 1;
        table.connections(listener, has_slot)?.insert(number, state.clone());
        worker.fetch_add(1, Ordering::Relaxed);
        Some(ConnectionSlot { slots: self.clone(), listener, number, state, worker: worker.clone() })
    }

    /// Waits until there is room for another overflow connection.
    pub(super) async fn room(&self) {
        self.until(|table| table.overflow.len() < table.overflow_limit * 2).await;
    }

    /// Whether a request waits for a slot.
    pub(super) fn is_short(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Waits until no connection is left.
    pub(super) async fn all_closed(&self) {
        self.until(|table| {
            table.overflow.is_empty() && table.listeners.iter().all(|listener| listener.connections.is_empty())
        })
        .await;
    }

    /// Waits until `is_so`, which only the end of a connection makes true.
    async fn until(&self, mut is_so: impl FnMut(&mut SlotTable) -> bool) {
        loop {
            let mut freed = pin!(self.freed.notified());
            // From here on no notification is missed.
            freed.as_mut().enable();
            if is_so(&mut self.table()) {
                return;
            }
            freed.await;
        }
    }

    fn table(&self) -> MutexGuard<'_, SlotTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotTable {
    /// As [`Slots::limit`].
    fn limit(&mut self, limits: &SlotLimits) {
        for (number, (limit, kept)) in limits.of_listeners().enumerate() {
            match self.listeners.get_mut(number) {
                Some(slots) => (slots.limit, slots.kept) = (limit, kept),
                None => self.listeners.push(ListenerSlots::new(limit, kept)),
            }
        }
        let kept = self.listeners.iter().map(|slots| slots.kept).sum();
        self.common = limits.slots.saturating_sub(kept);
        self.common_taken = self.listeners.iter().map(|slots| slots.taken.saturating_sub(slots.kept)).sum();
        self.overflow_limit = limits.overflow;
    }

    /// The connections of a listener with a slot, or those of all listeners without one.
    fn connections(&mut self, listener: usize, has_slot: bool) -> Option<&mut BTreeMap<u64, Arc<ConnectionState>>> {
        if has_slot {
            self.listeners.get_mut(listener).map(|slots| &mut slots.connections)
        } else {
            Some(&mut self.overflow)
        }
    }

    /// Takes a slot of a listener: one of its own, else a common one.
    fn take(&mut self, listener: usize) -> bool {
        let Some(slots) = self.listeners.get_mut(listener) else { return false };
        if slots.taken >= slots.limit {
            return false;
        }
        if slots.taken >= slots.kept {
            if self.common_taken >= self.common {
                return false;
            }
            self.common_taken += 1;
        }
        slots.taken += 1;
        true
    }

    /// Gives a slot back.
    fn give_back(&mut self, listener: usize) {
        let Some(slots) = self.listeners.get_mut(listener) else { return };
        if slots.taken > slots.kept {
            self.common_taken = self.common_taken.saturating_sub(1);
        }
        slots.taken = slots.taken.saturating_sub(1);
    }

    /// Ends the first connection that gives way, among those whose slot this listener could take, or a look-up if there is none. If
    /// as many are ending as requests wait, there is no need.
    fn make_room(&mut self, listener: usize) {
        let Some(of_listener) = self.listeners.get(listener) else { return };
        let now = Instant::now();
        if of_listener.search_at.is_some_and(|at| now < at) {
            return;
        }
        let (waiting, is_at_its_limit) = (of_listener.waiting, of_listener.taken >= of_listener.limit);
        let is_able = |(number, slots): &(usize, &ListenerSlots)| {
            *number == listener || !is_at_its_limit && slots.taken > slots.kept
        };
        let able = self.listeners.iter().enumerate().filter(is_able).flat_map(|(_, slots)| slots.connections.values());
        let (mut giving_way, mut first, mut look_ups) = (0, None::<&Arc<ConnectionState>>, Vec::new());
        for state in able {
            giving_way += usize::from(state.is_giving_way());
            if state.can_give_way() && first.is_none_or(|first| state.turn() < first.turn()) {
                first = Some(state);
            }
            if state.is_looked_up() {
                look_ups.push(state);
            }
        }
        if let Some(state) = first.or_else(|| last_of_most(&look_ups)).filter(|_| giving_way < waiting) {
            state.end();
        } else if let Some(of_listener) = self.listeners.get_mut(listener) {
            of_listener.search_at = Some(now + SEARCH_INTERVAL);
        }
    }

    /// Ends an overflow connection that waits for its first request: one from where most of them come, and of those the one
    /// that has waited longest. One that has proved who it is ends after those that have not, and one whose client is turned
    /// away before them all. If there are none, a request has waited for a slot for long enough: the first one of the listener
    /// where most of them wait. A look-up is none of these: [`Self::limit_look_ups`].
    fn end_overflow(&self) {
        let able = || self.overflow.values().filter(|state| !state.is_told() && !state.is_looked_up());
        let of_origins = by_origin(able().filter(|state| state.can_end()));
        let waiting = |listener: usize| self.listeners.get(listener).map_or(0, |slots| slots.waiting);
        let turn = |state: &&Arc<ConnectionState>| {
            let can_end = state.can_end();
            let of_origin = of_origins.get(&state.from).copied().unwrap_or_default();
            let most = if can_end { of_origin } else { waiting(state.listener) };
            (!state.is_turned_away(), !can_end, Reverse(most), state.is_proven())
        };
        // They are in the order in which they came, and the first of several that are alike is taken.
        if let Some(state) = able().min_by_key(turn) {
            state.end();
        }
    }

    /// Ends a look-up of an overflow connection if they have more than half of the places.
    fn limit_look_ups(&self) {
        let look_ups: Vec<_> = self.overflow.values().filter(|state| state.is_looked_up()).collect();
        if look_ups.len() > self.overflow_limit.div_ceil(2)
            && let Some(state) = last_of_most(&look_ups)
        {
            state.end();
        }
    }
}

/// Of connections in the order in which they came, the last one from where most of them come.
fn last_of_most<'s>(connections: &[&'s Arc<ConnectionState>]) -> Option<&'s Arc<ConnectionState>> {
    let of_origins = by_origin(connections.iter().copied());
    connections.iter().copied().max_by_key(|state| of_origins.get(&state.from))
}

/// How many of these connections come from where.
fn by_origin<'s>(connections: impl Iterator<Item = &'s Arc<ConnectionState>>) -> BTreeMap<ConnectionOrigin, usize> {
    let mut of_origins = BTreeMap::new();
    connections.for_each(|state| *of_origins.entry(state.from).or_default() += 1);
    of_origins
}

/// A connection that is open, with or without a slot. When dropped, it is no longer counted.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    slots: Arc<Slots>,
    listener: usize,
    number: u64,
    state: Arc<ConnectionState>,
    /// Counts the connections of its worker.
    worker: Arc<AtomicUsize>,
}

impl ConnectionSlot {
    /// What others see and do of the connection.
    pub(super) fn state(&self) -> &Arc<ConnectionState> {
        &self.state
    }

    /// Why there is no slot: how many connections are in use, and whose limit that is.
    pub(super) fn shortage(&self) -> String {
        let table = self.slots.table();
        let all = table.common + table.listeners.iter().map(|slots| slots.kept).sum::<usize>();
        match table.listeners.get(self.listener) {
            Some(slots) if slots.taken >= slots.limit && slots.limit < all => {
                format!("too many connections: {} in use, the limit of this listener (connections)", slots.taken)
            }
            Some(_) | None => {
                format!("too many connections: {all} are the limit of all listeners (limits.connections)")
            }
        }
    }

    /// Counts its look-up: the engine is asked who its client is. [`ConnectionState::must_end`] says if it must be given up.
    pub(super) fn look_up(&self) -> LookUp<'_> {
        self.state.is_looked_up.store(true, Ordering::Relaxed);
        if !self.state.has_slot() {
            self.slots.table().limit_look_ups();
        }
        LookUp(&self.state)
    }

    /// Waits a moment for a slot. Returns whether the connection has one.
    pub(super) async fn admit(&self) -> bool {
        if self.state.has_slot() {
            return true;
        }
        let _waiting = self.waiting();
        let admitted = async {
            // Nobody tells when another connection can give way.
            let looked = || tokio::time::timeout(SEARCH_INTERVAL, self.slots.until(|table| self.try_admit(table)));
            while looked().await.is_err() {
                if self.state.is_told() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(ADMISSION_TIMEOUT, admitted).await.unwrap_or(false)
    }

    /// Counts a request that waits for a slot.
    fn waiting(&self) -> WaitingRequest<'_> {
        self.slots.waiting.fetch_add(1, Ordering::Relaxed);
        if let Some(of_listener) = self.slots.table().listeners.get_mut(self.listener) {
            of_listener.waiting += 1;
        }
        WaitingRequest(self)
    }

    /// Takes a slot for an overflow connection if there is one. If not, lets another connection give way.
    fn try_admit(&self, table: &mut SlotTable) -> bool {
        if !table.take(self.listener) {
            table.make_room(self.listener);
            return false;
        }
        table.overflow.remove(&self.number);
        if let Some(connections) = table.connections(self.listener, true) {
            connections.insert(self.number, self.state.clone());
        }
        self.state.has_slot.store(true, Ordering::Relaxed);
        true
    }

    /// Whether the connection ends with the answer that is about to be sent: it must, or others wait for a slot.
    pub(super) fn must_end_after_answer(&self) -> bool {
        if !self.state.has_slot() || self.slots.is_short() {
            self.state.end_after_exchange();
        }
        self.state.is_ending()
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut table = self.slots.table();
        let has_slot = self.state.has_slot();
        if has_slot {
            table.give_back(self.listener);
        }
        if let Some(connections) = table.connections(self.listener, has_slot) {
            connections.remove(&self.number);
        }
        drop(table);
        self.worker.fetch_sub(1, Ordering::Relaxed);
        self.slots.freed.notify_waiters();
    }
}

/// A request that waits for a slot. When dropped, it is no longer counted.
struct WaitingRequest<'s>(&'s ConnectionSlot);

impl Drop for WaitingRequest<'_> {
    fn drop(&mut self) {
        let ConnectionSlot { slots, listener, .. } = self.0;
        slots.waiting.fetch_sub(1, Ordering::Relaxed);
        if let Some(of_listener) = slots.table().listeners.get_mut(*listener) {
            of_listener.waiting = of_listener.waiting.saturating_sub(1);
        }
    }
}

/// A look-up in progress. When dropped, it is no longer counted.
pub(super) struct LookUp<'s>(&'s ConnectionState);

impl Drop for LookUp<'_> {
    fn drop(&mut self) {
        self.0.is_looked_up.store(false, Ordering::Relaxed);
    }
}

/// What a connection is doing, for those that want its slot.
#[derive(Debug)]
pub(super) struct ConnectionState {
    /// The number of its listener.
    listener: usize,
    /// Where it comes from.
    from: ConnectionOrigin,
    /// What times are counted from.
    origin: Instant,
    /// Since when it waits for a request, or for the rest of its head, in microseconds from `origin`; 0 if it does not.
    idle_since: AtomicU64,
    has_slot: AtomicBool,
    /// Whether its client has proved who it is, by a certificate.
    is_proven: AtomicBool,
    /// Whether its client gets nothing here but refusals and pings.
    is_turned_away: AtomicBool,
    /// Whether the engine is asked who its client is.
    is_looked_up: AtomicBool,
    is_ending: AtomicBool,
    /// Whether a part of the request in progress is yet to be received.
    is_receiving: AtomicBool,
    /// Whether it has been told to end.
    is_told: AtomicBool,
    /// Notified when it must end.
    must_end: Notify,
    /// Whether a request has come, and what is notified of the first one.
    is_used: AtomicBool,
    first_request: Notify,
}

impl ConnectionState {
    fn new(listener: usize, from: ConnectionOrigin, origin: Instant, has_slot: bool) -> Self {
        let state = Self {
            listener,
            from,
            origin,
            idle_since: AtomicU64::new(0),
            has_slot: AtomicBool::new(has_slot),
            is_proven: AtomicBool::new(false),
            is_turned_away: AtomicBool::new(false),
            is_looked_up: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            is_receiving: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            must_end: Notify::new(),
            is_used: AtomicBool::new(false),
            first_request: Notify::new(),
        };
        state.mark_idle();
        state
    }

    /// The state of a connection that has a slot.
    #[cfg(test)]
    pub(super) fn for_test() -> Self {
        Self::new(0, ConnectionOrigin::default(), Instant::now(), true)
    }

    /// The state of an overflow connection.
    #[cfg(test)]
    pub(super) fn of_overflow() -> Self {
        Self::new(0, ConnectionOrigin::default(), Instant::now(), false)
    }

    /// From now on it waits for a request, or for the rest of its head.
    pub(super) fn mark_idle(&self) {
        let since = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
        self.idle_since.store(since, Ordering::Relaxed);
    }

    /// The whole head of a request has come.
    pub(super) fn mark_busy(&self) {
        self.idle_since.store(0, Ordering::Relaxed);
        if !self.is_used.swap(true, Ordering::Relaxed) {
            self.first_request.notify_one();
        }
    }

    /// Waits until the first request has come.
    pub(super) async fn first_request(&self) {
        if !self.is_used.load(Ordering::Relaxed) {
            self.first_request.notified().await;
        }
    }

    /// Says whether a part of the request in progress is yet to be received.
    pub(super) fn receive(&self, is_receiving: bool) {
        self.is_receiving.store(is_receiving, Ordering::Relaxed);
    }

    /// Whether a part of the request in progress is yet to be received.
    pub(super) fn is_receiving(&self) -> bool {
        self.is_receiving.load(Ordering::Relaxed)
    }

    /// Whether it waits for a request, or for the rest of its head.
    pub(super) fn is_idle(&self) -> bool {
        self.idle_since.load(Ordering::Relaxed) != 0
    }

    /// Whether it has a slot.
    pub(super) fn has_slot(&self) -> bool {
        self.has_slot.load(Ordering::Relaxed)
    }

    /// Whether it ends after the exchange in progress, or now if there is none.
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    /// Its client has proved who it is, by a certificate.
    pub(super) fn prove(&self) {
        self.is_proven.store(true, Ordering::Relaxed);
    }

    fn is_proven(&self) -> bool {
        self.is_proven.load(Ordering::Relaxed)
    }

    /// Whether its client gets nothing here but refusals and pings.
    pub(super) fn is_turned_away(&self) -> bool {
        self.is_turned_away.load(Ordering::Relaxed)
    }

    /// Says whether its client gets nothing here but refusals and pings. It may know better after a reload.
    pub(super) fn turn_away(&self, is_turned_away: bool) {
        self.is_turned_away.store(is_turned_away, Ordering::Relaxed);
    }

    /// Whether the engine is asked who its client is, and it has not been told to end.
    fn is_looked_up(&self) -> bool {
        self.is_looked_up.load(Ordering::Relaxed) && !self.is_told()
    }

    /// Since when it waits for a request, or for the rest of its head, in microseconds from a common origin.
    pub(super) fn idle_since(&self) -> u64 {
        self.idle_since.load(Ordering::Relaxed)
    }

    /// Whether another connection can have its slot.
    pub(super) fn can_give_way(&self) -> bool {
        self.has_slot() && self.can_end()
    }

    /// Whether it would end if it were told: no request of somebody who is served is in progress.
    fn can_end(&self) -> bool {
        !self.is_told() && (self.is_turned_away() || self.is_idle() && !self.is_ending())
    }

    /// The one with the least gives way first.
    fn turn(&self) -> (bool, bool, u64) {
        (!self.is_turned_away(), !self.is_idle(), self.idle_since())
    }

    /// Whether it has been told to end, and its slot will be free in a moment: no request has come in the meantime, or one whose
    /// look-up is given up.
    fn is_giving_way(&self) -> bool {
        self.is_told() && (self.is_turned_away() || self.is_idle() || self.is_looked_up.load(Ordering::Relaxed))
    }

    fn is_told(&self) -> bool {
        self.is_told.load(Ordering::Relaxed)
    }

    /// Lets the task of the connection end it: after the exchange in progress, or now if there is none or its client is turned
    /// away.
    pub(super) fn end(&self) {
        self.is_told.store(true, Ordering::Relaxed);
        self.end_after_exchange();
        self.must_end.notify_waiters();
    }

    /// As [`ConnectionState::end`], within the task of the connection.
    pub(super) fn end_after_exchange(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// Waits until the connection must end, or has been told so.
    pub(super) async fn must_end(&self) {
        let mut told = pin!(self.must_end.notified());
        // From here on no notification is missed.
        told.as_mut().enable();
        if !self.is_told() {
            told.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time_limit::within_time_limit;

    struct FilledSlots {
        slots: Arc<Slots>,
        worker: Arc<AtomicUsize>,
    }

    impl FilledSlots {
        fn new(slots: usize, overflow: usize, listeners: &[Option<usize>]) -> Self {
            let limits = SlotLimits { slots, overflow, listeners: listeners.to_vec() };
            Self { slots: Arc::new(Slots::new(&limits)), worker: Arc::default() }
        }

        fn enter(&self, listener: usize) -> Option<ConnectionSlot> {
            self.enter_from(listener, "10.0.0.1")
        }

        fn enter_from(&self, listener: usize, address: &str) -> Option<ConnectionSlot> {
            self.slots.enter(listener, ConnectionOrigin(Some(network(address.parse().unwrap()))), &self.worker)
        }

        /// Looks for a slot for a request that waits, whenever it was looked for last. There is none.
        #[track_caller]
        fn search(&self, slot: &ConnectionSlot) {
            let mut table = self.slots.table();
            table.listeners[slot.listener].search_at = None;
            assert!(!slot.try_admit(&mut table));
        }

        /// Fills a listener with busy connections; returns those with a slot.
        fn fill(&self, listener: usize) -> Vec<ConnectionSlot> {
            let mut held = Vec::new();
            loop {
                let slot = self.enter(listener).unwrap();
                if !slot.state().has_slot() {
                    return held;
                }
                slot.state().mark_busy();
                held.push(slot);
            }
        }
    }

    #[test]
    fn each_listener_keeps_slots_that_the_others_cannot_take() {
        #[track_caller]
        fn check(slots: usize, listeners: &[Option<usize>], first: usize, others: &[usize]) {
            let slots = FilledSlots::new(slots, 1, listeners);
            let held = slots.fill(0);
            assert_eq!(held.len(), first);
            let held: Vec<_> = (1..listeners.len()).map(|listener| slots.fill(listener)).collect();
            assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), others);
            drop(held);
        }
        check(10, &[None], 10, &[]);
        check(10, &[None, None], 8, &[2]);
        check(2, &[None, None], 1, &[1]);
        check(10, &[Some(3), None], 3, &[7]);
        check(10, &[Some(1), Some(4), None], 1, &[4, 5]);
        check(1000, &[None, None, None], 872, &[64, 64]);
    }

    #[test]
    fn a_shortage_says_whose_limit_it_is() {
        for (listeners, expected) in [
            (&[Some(3), None][..], "too many connections: 3 in use, the limit of this listener (connections)"),
            (&[None, None], "too many connections: 10 are the limit of all listeners (limits.connections)"),
            (&[Some(10)], "too many connections: 10 are the limit of all listeners (limits.connections)"),
        ] {
            let slots = FilledSlots::new(10, 1, listeners);
            let held = slots.fill(0);
            assert_eq!(slots.enter(0).unwrap().shortage(), expected);
            drop(held);
        }
    }

    #[test]
    fn slots_come_back_in_any_order() {
        let slots = FilledSlots::new(10, 4, &[None, None]);
        for round in 0..50_usize {
            let mut held = [slots.fill(round % 2), slots.fill((round + 1) % 2)].concat_slots();
            assert_eq!(held.len(), 10, "round {round}");
            for turn in 0..held.len() {
                held.swap_remove((turn * 7 + round) % held.len());
            }
            let table = slots.slots.table();
            assert_eq!((table.common_taken, table.overflow.len()), (0, 0));
        }
        assert_eq!(slots.worker.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn limits_change_while_slots_are_taken() {
        let slots = FilledSlots::new(10, 2, &[None, None]);
        let (first, second) = (slots.fill(0), slots.fill(1));
        assert_eq!((first.len(), second.len()), (8, 2));
        // The second listener closes, and a third one opens.
        slots.slots.limit(&SlotLimits { slots: 8, overflow: 2, listeners: vec![Some(4), Some(0), None] });
        assert!(!slots.enter(0).unwrap().state().has_slot() && !slots.enter(1).unwrap().state().has_slot());
        let third = slots.fill(2);
        assert_eq!(third.len(), 2, "what is kept for it");
        drop((first, second));
        assert_eq!(slots.slots.table().common_taken, 0);
        let first = slots.fill(0);
        assert_eq!(first.len(), 4);
        let more = slots.fill(2);
        assert_eq!(third.len() + more.len(), 4);
        drop((first, third, more));
        let table = slots.slots.table();
        assert_eq!((table.common, table.common_taken), (4, 0));
        assert!(table.listeners.iter().all(|listener| listener.taken == 0 && listener.connections.is_empty()));
    }

    trait ConcatSlots {
        fn concat_slots(self) -> Vec<ConnectionSlot>;
    }

    impl ConcatSlots for [Vec<ConnectionSlot>; 2] {
        fn concat_slots(self) -> Vec<ConnectionSlot> {
            self.into_iter().flatten().collect()
        }
    }

    #[test]
    fn the_connection_that_has_waited_longest_gives_way() {
        let slots = FilledSlots::new(3, 3, &[None]);
        let held = slots.fill(0);
        for (number, since) in [(1, 10), (0, 20)] {
            held[number].state().idle_since.store(since, Ordering::Relaxed);
        }
        let ending = || held.iter().map(|slot| slot.state().is_ending()).collect::<Vec<_>>();
        let (first, second) = (slots.enter(0).unwrap(), slots.enter(0).unwrap());
        assert_eq!(ending(), [false; 3], "without a request, nobody gives way");
        let waiting = first.waiting();
        for _ in 0..3 {
            // However often it looks, one is enough.
            slots.search(&first);
            assert_eq!(ending(), [false, true, false]);
        }
        let waiting = (waiting, second.waiting());
        slots.search(&second);
        assert_eq!(ending(), [true, true, false]);
        drop(waiting);
        assert_eq!(slots.slots.table().listeners[0].waiting, 0);
    }

    #[test]
    fn a_connection_whose_client_is_turned_away_gives_way_before_others() {
        let slots = FilledSlots::new(4, 3, &[None]);
        let held = slots.fill(0);
        held[0].state().mark_idle();
        held[1].state().turn_away(true);
        held[2].state().turn_away(true);
        held[2].state().mark_idle();
        let overflow: Vec<ConnectionSlot> = (0..3).map(|_| slots.enter(0).unwrap()).collect();
        let mut waiting = Vec::new();
        // Those that do nothing, then those that do something, then those of others, and none that are served.
        let ended = [2, 1, 0].map(|next| {
            waiting.push(overflow[next].waiting());
            slots.search(&overflow[next]);
            (0..held.len()).map(|number| held[number].state().is_ending()).collect::<Vec<_>>()
        });
        let expected = [[false, false, true, false], [false, true, true, false], [true, true, true, false]];
        assert_eq!(ended, expected.map(Vec::from));
    }

    #[test]
    fn a_slot_that_becomes_free_is_for_a_request_that_waits() {
        let slots = FilledSlots::new(1, 3, &[None]);
        let held = slots.fill(0);
        let overflow = slots.enter(0).unwrap();
        let waiting = overflow.waiting();
        drop(held);
        assert!(!slots.enter(0).unwrap().state().has_slot());
        assert!(overflow.try_admit(&mut slots.slots.table()));
        drop(waiting);
        drop(overflow);
        assert!(slots.enter(0).unwrap().state().has_slot());
    }

    #[test]
    fn a_request_in_the_place_of_one_that_should_give_way_makes_another_one_give_way() {
        let slots = FilledSlots::new(2, 1, &[None]);
        let held = slots.fill(0);
        held[0].state().mark_idle();
        let overflow = slots.enter(0).unwrap();
        let _waiting = overflow.waiting();
        slots.search(&overflow);
        held[0].state().mark_busy();
        held[1].state().mark_idle();
        slots.search(&overflow);
        assert!(held.iter().all(|slot| slot.state().is_ending()));
    }

    #[test]
    fn a_request_that_waits_looks_again() {
        within_time_limit(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let slots = FilledSlots::new(1, 1, &[None]);
            let held = slots.fill(0);
            let overflow = slots.enter(0).unwrap();
            let giving_way = async {
                // It has looked once, and found none.
                held[0].state().mark_idle();
                held[0].state().must_end().await;
                drop(held);
            };
            let (admitted, ()) = runtime.block_on(async { tokio::join!(biased; overflow.admit(), giving_way) });
            assert!(admitted && overflow.state().has_slot());
        });
    }

    #[test]
    fn a_search_of_one_listener_does_not_put_off_that_of_another() {
        let slots = FilledSlots::new(10, 4, &[Some(5), Some(5)]);
        let (_first, second) = (slots.fill(0), slots.fill(1));
        let [of_first, of_second] = [0, 1].map(|listener| slots.enter(listener).unwrap());
        let _waiting = (of_first.waiting(), of_second.waiting());
        second[3].state().mark_idle();
        for slot in [&of_first, &of_second] {
            assert!(!slot.try_admit(&mut slots.slots.table()));
        }
        assert!(second[3].state().is_ending());
    }

    #[test]
    fn a_listener_makes_no_room_among_slots_that_others_keep() {
        let slots = FilledSlots::new(4, 3, &[None, None]);
        let first = slots.fill(0);
        let second = slots.fill(1);
        assert_eq!((first.len(), second.len()), (3, 1));
        second[0].state().mark_idle();
        let [of_first, of_second] = [0, 1].map(|listener| slots.enter(listener).unwrap());
        let waiting = of_first.waiting();
        slots.search(&of_first);
        assert!(!second[0].state().is_ending());
        drop(waiting);
        first[0].state().mark_idle();
        let _waiting = of_second.waiting();
        slots.search(&of_second);
        assert!(second[0].state().is_ending() != first[0].state().is_ending());
    }

    #[test]
    fn where_most_requests_wait_the_first_one_waits_no_longer_when_there_are_too_many() {
        let slots = FilledSlots::new(2, 4, &[None, None]);
        let _held = (slots.fill(0), slots.fill(1));
        let overflow = [1, 0, 0, 1].map(|listener| slots.enter(listener).unwrap());
        overflow.iter().for_each(|slot| slot.state().mark_busy());
        let _waiting = [0, 1, 2].map(|number: usize| overflow[number].waiting());
        let ending = || overflow.each_ref().map(|slot| slot.state().is_ending());
        let next = slots.enter(0).unwrap();
        assert_eq!(ending(), [false, true, false, false]);
        // One that waits for its first request ends before the next of those.
        let _another = slots.enter(0).unwrap();
        assert!(next.state().is_ending() && ending() == [false, true, false, false]);
        within_time_limit(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let slots = FilledSlots::new(1, 1, &[None]);
            let _held = slots.fill(0);
            let slot = slots.enter(0).unwrap();
            slot.state().end();
            let start = Instant::now();
            assert!(!runtime.block_on(slot.admit()));
            assert!(start.elapsed() < ADMISSION_TIMEOUT);
        });
    }

    /// Connects 1,000 times from `attackers` in turn; returns whether a connection from each of `others`, which is opened before
    /// that, is still there.
    fn outlasts(attackers: &[&str], others: &[&str], has_proved: bool) -> Vec<bool> {
        let slots = FilledSlots::new(1, 8, &[None]);
        let _held = slots.fill(0);
        let mut open: Vec<ConnectionSlot> =
            attackers.iter().cycle().take(6).map(|address| slots.enter_from(0, address).unwrap()).collect();
        let others: Vec<ConnectionSlot> = others.iter().map(|address| slots.enter_from(0, address).unwrap()).collect();
        others.iter().filter(|_| has_proved).for_each(|slot| slot.state().prove());
        for address in attackers.iter().cycle().take(1000) {
            open.push(slots.enter_from(0, address).unwrap());
            // A connection that must end does so at once.
            open.retain(|slot| !slot.state().is_ending());
        }
        others.iter().map(|slot| !slot.state().is_ending()).collect()
    }

    #[test]
    fn a_client_that_connects_again_and_again_ends_its_own_connections() {
        assert_eq!(outlasts(&["10.0.0.2"], &["10.0.0.1", "10.0.0.3"], false), [true, true]);
        // As one client: the addresses of a network of IPv6, and an address of IPv4 however it is written.
        for same in [["2001:db8::1", "2001:db8::ffff:1"], ["10.0.0.2", "::ffff:10.0.0.2"]] {
            assert_eq!(outlasts(&same, &["2001:db8:0:1::1", "10.0.0.1"], false), [true, true], "{same:?}");
        }
        // From the same address, only what a client has proved tells it from others.
        assert_eq!(outlasts(&["10.0.0.2"], &["10.0.0.2"], false), [false]);
        assert_eq!(outlasts(&["10.0.0.2"], &["10.0.0.2"], true), [true]);
        // A proof gives nobody the time of others.
        let slots = FilledSlots::new(1, 3, &[None]);
        let _held = slots.fill(0);
        let proven = ["10.0.0.2", "10.0.0.2"].map(|address| slots.enter_from(0, address).unwrap());
        proven.iter().for_each(|slot| slot.state().prove());
        let other = slots.enter_from(0, "10.0.0.1").unwrap();
        let _next = slots.enter_from(0, "10.0.0.2").unwrap();
        assert!(proven[0].state().is_ending() && !other.state().is_ending());
    }

    /// Looks up a connection from each of these addresses, which have no slot; returns which of them go on.
    fn looked_up_from(addresses: &[&str]) -> Vec<bool> {
        let slots = FilledSlots::new(1, 6, &[None]);
        let _held = slots.fill(0);
        let mut open: Vec<ConnectionSlot> =
            addresses.iter().map(|address| slots.enter_from(0, address).unwrap()).collect();
        let looked_up = open.iter_mut().map(|slot| {
            slot.state().mark_busy();
            slot.look_up()
        });
        let looked_up: Vec<LookUp<'_>> = looked_up.collect();
        looked_up.iter().map(|look_up| !look_up.0.is_told()).collect()
    }

    #[test]
    fn look_ups_have_half_of_the_places_and_the_first_ones_go_on() {
        assert_eq!(looked_up_from(&["10.0.0.1"; 6]), [true, true, true, false, false, false]);
        assert_eq!(
            looked_up_from(&["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.1"]),
            [true, true, false, true, false]
        );
        // None of them ends for one that connects.
        let slots = FilledSlots::new(1, 2, &[None]);
        let _held = slots.fill(0);
        let asked = slots.enter(0).unwrap();
        asked.state().mark_busy();
        let looked_up = asked.look_up();
        let mut others = Vec::new();
        for _ in 0..100 {
            others.push(slots.enter(0).unwrap());
            others.retain(|slot| !slot.state().is_ending());
        }
        assert!(!asked.state().is_ending());
        drop(looked_up);
    }

    #[test]
    fn a_request_that_waits_ends_the_last_look_up_from_where_most_come() {
        let slots = FilledSlots::new(4, 3, &[None]);
        let held = ["10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.3"].map(|from| slots.enter_from(0, from).unwrap());
        held.iter().for_each(|slot| slot.state().mark_busy());
        let ending = || held.each_ref().map(|slot| slot.state().is_ending());
        let overflow = [slots.enter(0).unwrap(), slots.enter(0).unwrap()];
        let _waiting = overflow[0].waiting();
        slots.search(&overflow[0]);
        assert_eq!(ending(), [false; 4], "requests of clients that are known");
        let looked_up = held.each_ref().map(ConnectionSlot::look_up);
        slots.search(&overflow[0]);
        slots.search(&overflow[0]);
        assert_eq!(ending(), [false, false, true, false], "one request waits");
        // What is idle goes first.
        held[0].state().mark_idle();
        let _another = overflow[1].waiting();
        slots.search(&overflow[1]);
        assert_eq!(ending(), [true, false, true, false]);
        drop(looked_up);
    }

    #[test]
    fn the_oldest_overflow_connection_ends_when_there_are_too_many() {
        let slots = FilledSlots::new(1, 2, &[None]);
        let _held = slots.fill(0);
        let overflow: Vec<ConnectionSlot> = (0..4).map_while(|_| slots.enter(0)).collect();
        let ending: Vec<bool> = overflow.iter().map(|slot| slot.state().is_ending()).collect();
        assert_eq!(ending, [true, true, false, false]);
        assert!(slots.enter(0).is_none(), "they have not ended yet");
        drop(overflow);
        // One whose client is turned away is before it.
        let overflow: Vec<ConnectionSlot> = (0..2).map(|_| slots.enter(0).unwrap()).collect();
        overflow[1].state().turn_away(true);
        let third = slots.enter(0).unwrap();
        assert!(!overflow[0].state().is_ending() && overflow[1].state().is_ending());
        drop(third);
    }
}
