//! The connections and streams of each client, where a line of `clients` limits them.
//!
//! A client is whoever has the same proof of identity: a certificate's key, a user, an address. If one has as many connections
//! as it may have, its connection that has waited longest for a request gives way to a new one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::rate::{RateExceeded, RequestRate};
use super::slots::ConnectionState;
use crate::clients::CallerId;
use crate::config::{ClientLimits, RateLimit};

/// Of how many clients of one line the requests are counted for each. Those of further clients are counted together: a client
/// with many addresses takes no more memory than this, and no more requests either.
const COUNTED_CLIENTS: usize = 4096;
/// How many clients of a line are never too many to be remembered.
const FEW_CLIENTS: usize = 64;
/// How often to look for clients of a line that can be forgotten, if there are many.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A line of `clients`, or everybody at a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LineKey {
    /// The number of the listener.
    pub(super) listener: usize,
    /// The clients that the line names, as the summary says it. A reload may change what they get, and the order of lines.
    /// `None` for clients that no line names.
    pub(super) line: Option<Arc<str>>,
}

/// One client of one line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientKey {
    /// The line that names it.
    pub(super) line: LineKey,
    /// Who it is.
    pub(super) id: CallerId,
}

/// What clients have, in all workers.
#[derive(Debug, Default)]
pub(super) struct ClientSlots(Mutex<ClientTable>);

#[derive(Debug, Default)]
struct ClientTable {
    lines: HashMap<LineKey, LineUse>,
    /// The number of the next connection.
    next: u64,
}

/// What the clients of one line have.
#[derive(Debug)]
struct LineUse {
    clients: HashMap<CallerId, ClientUse>,
    /// The requests of clients that came when there were too many of them already.
    others: Arc<RequestRate>,
    /// How many clients there are when it is time to look for some that can be forgotten, but not before `sweep_at`.
    sweep_above: usize,
    sweep_at: Instant,
}

/// What one client has. A client that has nothing stays in the table for as long as its requests count.
#[derive(Debug, Default)]
struct ClientUse {
    /// Its connections, by their numbers.
    connections: BTreeMap<u64, Arc<ConnectionState>>,
    streams: usize,
    /// Its requests; `None` if nobody limits them.
    rate: Option<ClientRate>,
}

/// How many requests of a client have come, and how many may.
#[derive(Clone, Debug)]
pub(super) struct ClientRate {
    rate: Arc<RequestRate>,
    limit: RateLimit,
    /// Whether only this client is counted.
    is_own: bool,
}

impl ClientRate {
    /// Counts a request.
    ///
    /// # Errors
    /// There were too many. It is not counted.
    pub(super) fn count(&self, is_ping: bool, now: Instant) -> Result<(), RateExceeded> {
        self.rate.count(self.limit, is_ping, now)
    }

    /// Forgets a request that was counted, because something else has refused it.
    pub(super) fn forget(&self, is_ping: bool) {
        self.rate.forget(is_ping);
    }

    /// How many may come.
    pub(super) fn limit(&self) -> RateLimit {
        self.limit
    }
}

/// A client that has as many connections as it may have, and none that can give way. Its requests are counted all the same.
#[derive(Debug)]
pub(super) struct TooManyConnections(pub(super) Option<ClientRate>);

impl ClientSlots {
    /// Enters a connection of a client.
    ///
    /// # Errors
    /// It has too many.
    pub(super) fn enter(
        self: &Arc<Self>,
        key: ClientKey,
        limits: ClientLimits,
        state: &Arc<ConnectionState>,
        now: Instant,
    ) -> Result<ClientSlot, TooManyConnections> {
        let mut table = self.table();
        let number = table.next;
        table.next += 1;
        let of_client = table.client(&key, limits.requests, now);
        let rate = of_client.rate.clone();
        let is_open = |state: &&Arc<ConnectionState>| !state.is_ending();
        if limits.connections.is_some_and(|limit| of_client.connections.values().filter(is_open).count() >= limit) {
            let idle = of_client.connections.values().filter(|state| state.can_give_way());
            match idle.min_by_key(|state| state.idle_since()) {
                Some(state) => state.end(),
                None => return Err(TooManyConnections(rate)),
            }
        }
        of_client.connections.insert(number, state.clone());
        drop(table);
        Ok(ClientSlot { slots: self.clone(), key, limits, number, rate })
    }

    /// Forgets the clients that have nothing and whose requests no longer count.
    pub(super) fn sweep(&self, now: Instant) {
        self.table().lines.retain(|_, line| {
            let limit = line.clients.values().find_map(|of_client| of_client.rate.as_ref()).map(|rate| rate.limit);
            line.sweep(now);
            !line.clients.is_empty() || limit.is_some_and(|limit| !line.others.is_unused(limit, now))
        });
    }

    fn table(&self) -> MutexGuard<'_, ClientTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what a client has, and forgets it if that is nothing.
    fn change(&self, key: &ClientKey, change: impl FnOnce(&mut ClientUse)) {
        let mut table = self.table();
        let Some(line) = table.lines.get_mut(&key.line) else { return };
        let Some(of_client) = line.clients.get_mut(&key.id) else { return };
        change(of_client);
        if of_client.is_nothing(Instant::now()) {
            line.clients.remove(&key.id);
        }
    }
}

impl ClientTable {
    /// A client, which may be new.
    fn client(&mut self, key: &ClientKey, limit: Option<RateLimit>, now: Instant) -> &mut ClientUse {
        let line = self.lines.entry(key.line.clone()).or_insert_with(|| LineUse {
            clients: HashMap::new(),
            others: Arc::new(RequestRate::new(now)),
            sweep_above: FEW_CLIENTS,
            sweep_at: now,
        });
        let rate = limit.map(|limit| line.rate(&key.id, limit, now));
        let of_client = line.clients.entry(key.id.clone()).or_default();
        of_client.rate = rate;
        of_client
    }
}

impl LineUse {
    /// The requests of a client, which may be new: its own, or those of all for which there is no room.
    fn rate(&mut self, id: &CallerId, limit: RateLimit, now: Instant) -> ClientRate {
        if let Some(known) = self.clients.get(id).and_then(|of_client| of_client.rate.clone()) {
            return ClientRate { limit, ..known };
        }
        if self.clients.len() >= self.sweep_above && now >= self.sweep_at {
            self.sweep(now);
        }
        if self.clients.len() < COUNTED_CLIENTS {
            ClientRate { rate: Arc::new(RequestRate::new(now)), limit, is_own: true }
        } else {
            ClientRate { rate: self.others.clone(), limit, is_own: false }
        }
    }

    /// Forgets the clients that have nothing and whose requests no longer count. If there is still no room, those that have been
    /// told of lately are forgotten, too, and may be told of again: before that, as many requests of theirs are served as of somebody
    /// new.
    fn sweep(&mut self, now: Instant) {
        self.clients.retain(|_, of_client| !of_client.is_nothing(now));
        if self.clients.len() >= COUNTED_CLIENTS {
            self.clients.retain(|_, of_client| !of_client.has_nothing(|rate| rate.rate.is_full(rate.limit, now)));
        }
        self.sweep_above = (2 * self.clients.len()).clamp(FEW_CLIENTS, COUNTED_CLIENTS);
        self.sweep_at = now + SWEEP_INTERVAL;
    }
}

impl ClientUse {
    /// Whether it can be forgotten.
    fn is_nothing(&self, now: Instant) -> bool {
        self.has_nothing(|rate| rate.rate.is_unused(rate.limit, now))
    }

    /// Whether it has no connections and streams, and its requests, if they are counted for it alone, are like this.
    fn has_nothing(&self, is_so: impl FnOnce(&ClientRate) -> bool) -> bool {
        let rate = self.rate.as_ref().filter(|rate| rate.is_own);
        self.connections.is_empty() && self.streams == 0 && rate.is_none_or(is_so)
    }
}

/// A connection of a client. When dropped, it is no longer counted.
#[derive(Debug)]
pub(super) struct ClientSlot {
    slots: Arc<ClientSlots>,
    key: ClientKey,
    limits: ClientLimits,
    number: u64,
    /// Its requests; `None` if nobody limits them.
    rate: Option<ClientRate>,
}

impl ClientSlot {
    /// Its requests; `None` if nobody limits them.
    pub(super) fn rate(&self) -> Option<&ClientRate> {
        self.rate.as_ref()
    }

    /// Enters a stream of the client. `None` if it has as many as it may have.
    pub(super) fn stream(&self) -> Option<StreamSlot> {
        let mut is_entered = false;
        self.slots.change(&self.key, |of_client| {
            is_entered = self.limits.streams.is_none_or(|limit| of_client.streams < limit);
            of_client.streams += usize::from(is_entered);
        });
        is_entered.then(|| StreamSlot { slots: self.slots.clone(), key: self.key.clone() })
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        let number = self.number;
        self.slots.change(&self.key, |of_client| drop(of_client.connections.remove(&number)));
    }
}

/// A stream of a client. When dropped, it is no longer counted.
#[derive(Debug)]
pub(super) struct StreamSlot {
    slots: Arc<ClientSlots>,
    key: ClientKey,
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.slots.change(&self.key, |of_client| of_client.streams = of_client.streams.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: ClientLimits = ClientLimits { connections: Some(2), streams: Some(1), requests: None };

    fn key(user: u32) -> ClientKey {
        ClientKey { line: LineKey { listener: 0, line: None }, id: CallerId::User(user) }
    }

    fn busy() -> Arc<ConnectionState> {
        let state = Arc::new(ConnectionState::for_test());
        state.mark_busy();
        state
    }

    fn enter(slots: &Arc<ClientSlots>, user: u32, limits: ClientLimits) -> Option<ClientSlot> {
        slots.enter(key(user), limits, &busy(), Instant::now()).ok()
    }

    fn remembered(slots: &ClientSlots) -> usize {
        slots.table().lines.values().map(|line| line.clients.len()).sum()
    }

    #[test]
    fn each_client_has_its_own_connections_and_streams() {
        let slots = Arc::new(ClientSlots::default());
        let enter = |user| enter(&slots, user, TWO);
        let (first, second) = (enter(1).unwrap(), enter(1).unwrap());
        assert!(enter(1).is_none());
        let other = enter(2).unwrap();
        let stream = first.stream().unwrap();
        assert!(first.stream().is_none() && second.stream().is_none());
        assert!(other.stream().is_some(), "streams of others do not count");
        drop(stream);
        assert!(second.stream().is_some());
        drop(first);
        let third = enter(1).unwrap();
        drop((second, third, other));
        assert_eq!(remembered(&slots), 0, "nobody is remembered");
    }

    #[test]
    fn a_stream_counts_until_it_ends_even_without_its_connection() {
        let slots = Arc::new(ClientSlots::default());
        let connection = enter(&slots, 1, TWO).unwrap();
        let stream = connection.stream().unwrap();
        drop(connection);
        let connection = enter(&slots, 1, TWO).unwrap();
        assert!(connection.stream().is_none());
        drop(stream);
        assert!(connection.stream().is_some());
    }

    #[test]
    fn the_connection_of_a_client_that_has_waited_longest_gives_way() {
        let slots = Arc::new(ClientSlots::default());
        let states = [busy(), busy(), busy()];
        let now = Instant::now();
        let _first = slots.enter(key(1), TWO, &states[0], now).unwrap();
        let _second = slots.enter(key(1), TWO, &states[1], now).unwrap();
        states[1].mark_idle();
        let _third = slots.enter(key(1), TWO, &states[2], now).unwrap();
        assert_eq!(states.each_ref().map(|state| state.is_ending()), [false, true, false]);
        // It is no longer counted, and nobody else is idle.
        assert!(enter(&slots, 1, TWO).is_none());
    }

    #[test]
    fn without_limits_nothing_is_refused() {
        let slots = Arc::new(ClientSlots::default());
        let held: Vec<ClientSlot> = (0..100).map(|_| enter(&slots, 1, ClientLimits::default()).unwrap()).collect();
        let streams: Vec<StreamSlot> = held.iter().map(|slot| slot.stream().unwrap()).collect();
        assert_eq!(streams.len(), 100);
    }

    /// Limits of requests alone.
    fn rate(text: &str, burst: u32) -> ClientLimits {
        ClientLimits { requests: RateLimit::parse(text, Some(burst)), ..ClientLimits::default() }
    }

    /// Sends requests of a client over one connection until one is refused; returns how many were not.
    fn send(slots: &Arc<ClientSlots>, user: u32, limits: ClientLimits, now: Instant) -> usize {
        let slot = slots.enter(key(user), limits, &busy(), now).unwrap();
        let rate = slot.rate().unwrap();
        (0..1000).take_while(|_| rate.count(false, now).is_ok()).count()
    }

    #[test]
    fn a_new_connection_or_another_limit_gives_a_client_no_new_requests() {
        let (slots, start) = (Arc::new(ClientSlots::default()), Instant::now());
        assert_eq!(send(&slots, 1, rate("1/h", 5), start), 5);
        assert_eq!(send(&slots, 1, rate("1/h", 5), start), 0);
        assert_eq!(send(&slots, 2, rate("1/h", 5), start), 5, "requests of others do not count");
        slots.sweep(start);
        assert_eq!(send(&slots, 1, rate("1/h", 7), start), 2);
        assert_eq!(send(&slots, 1, rate("1/h", 7), start + Duration::from_secs(3601)), 1);
        // A client that has too many connections is counted all the same.
        let none = ClientLimits { connections: Some(1), ..rate("1/h", 7) };
        let held = slots.enter(key(1), none, &busy(), start).unwrap();
        let refused = slots.enter(key(1), none, &busy(), start).unwrap_err();
        assert!(refused.0.unwrap().count(false, start).is_err());
        drop(held);
    }

    #[test]
    fn a_client_is_forgotten_when_its_requests_no_longer_count() {
        let (slots, start) = (Arc::new(ClientSlots::default()), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        for user in 0..100 {
            assert_eq!(send(&slots, user, rate("1/s", 5), start), 5);
        }
        slots.sweep(after(4));
        assert_eq!(remembered(&slots), 100);
        slots.sweep(after(6));
        assert_eq!(remembered(&slots), 100, "the last refusal has been told for a minute");
        slots.sweep(after(61));
        assert_eq!((remembered(&slots), slots.table().lines.len()), (0, 0));
        // It happens by itself, too.
        for user in 0..10_000 {
            send(&slots, user, rate("1000/s", 1), after(70 + 60 * u64::from(user)));
        }
        assert!(remembered(&slots) <= FEW_CLIENTS, "{}", remembered(&slots));
    }

    #[test]
    fn clients_with_many_addresses_take_no_more_memory_and_no_more_requests() {
        let (slots, start) = (Arc::new(ClientSlots::default()), Instant::now());
        let limits = rate("1/h", 3);
        let first: usize = (0..4096).map(|user| send(&slots, user, limits, start)).sum();
        assert_eq!((first, remembered(&slots)), (3 * 4096, 4096));
        // All others share one bucket, and are not remembered.
        let others: usize = (4096..100_000).map(|user| send(&slots, user, limits, start)).sum();
        assert_eq!((others, remembered(&slots)), (3, 4096));
        // Those that were there keep their own.
        let after = start + Duration::from_secs(3601);
        assert_eq!([0, 4095].map(|user| send(&slots, user, limits, after)), [1, 1]);
    }

    #[test]
    fn clients_that_were_refused_keep_out_no_other_when_their_requests_no_longer_count() {
        let (slots, start) = (Arc::new(ClientSlots::default()), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        // Each of them is told of, and the next one takes what all others share.
        assert_eq!((0..4097).map(|user| send(&slots, user, rate("1/s", 3), start)).sum::<usize>(), 3 * 4097);
        assert_eq!(send(&slots, 5000, rate("1/s", 3), after(1)), 1);
        assert_eq!((send(&slots, 5001, rate("1/s", 3), after(4)), remembered(&slots)), (3, 1));
    }
}
