//! The connections and streams of each client, where a line of `clients` limits them.
//!
//! A client is whoever has the same proof of identity: a certificate's key, a user, an address. If one has as many connections
//! as it may have, its connection that has waited longest for a request gives way to a new one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::slots::ConnectionState;
use crate::clients::CallerId;
use crate::config::ClientLimits;

/// One client of one line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientKey {
    /// The number of the listener.
    pub(super) listener: usize,
    /// The number of the line.
    pub(super) line: usize,
    /// Who it is.
    pub(super) id: CallerId,
}

/// What clients have, in all workers.
#[derive(Debug, Default)]
pub(super) struct ClientSlots(Mutex<ClientTable>);

#[derive(Debug, Default)]
struct ClientTable {
    clients: HashMap<ClientKey, ClientUse>,
    /// The number of the next connection.
    next: u64,
}

/// What one client has. Only clients that have something are in the table.
#[derive(Debug, Default)]
struct ClientUse {
    /// Its connections, by their numbers.
    connections: BTreeMap<u64, Arc<ConnectionState>>,
    streams: usize,
}

impl ClientSlots {
    /// Enters a connection of a client. `None` if it has as many as it may have, and none that can give way.
    pub(super) fn enter(
        self: &Arc<Self>,
        key: ClientKey,
        limits: ClientLimits,
        state: &Arc<ConnectionState>,
    ) -> Option<ClientSlot> {
        let mut table = self.table();
        let number = table.next;
        table.next += 1;
        let of_client = table.clients.entry(key.clone()).or_default();
        let is_open = |state: &&Arc<ConnectionState>| !state.is_ending();
        if limits.connections.is_some_and(|limit| of_client.connections.values().filter(is_open).count() >= limit) {
            let idle = of_client.connections.values().filter(|state| state.can_give_way());
            idle.min_by_key(|state| state.idle_since())?.end();
        }
        of_client.connections.insert(number, state.clone());
        drop(table);
        Some(ClientSlot { slots: self.clone(), key, limits, number })
    }

    fn table(&self) -> MutexGuard<'_, ClientTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what a client has, and forgets it if that is nothing.
    fn change(&self, key: &ClientKey, change: impl FnOnce(&mut ClientUse)) {
        let mut table = self.table();
        let Some(of_client) = table.clients.get_mut(key) else { return };
        change(of_client);
        if of_client.connections.is_empty() && of_client.streams == 0 {
            table.clients.remove(key);
        }
    }
}

/// A connection of a client. When dropped, it is no longer counted.
#[derive(Debug)]
pub(super) struct ClientSlot {
    slots: Arc<ClientSlots>,
    key: ClientKey,
    limits: ClientLimits,
    number: u64,
}

impl ClientSlot {
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

    const TWO: ClientLimits = ClientLimits { connections: Some(2), streams: Some(1) };

    fn key(user: u32) -> ClientKey {
        ClientKey { listener: 0, line: 0, id: CallerId::User(user) }
    }

    fn busy() -> Arc<ConnectionState> {
        let state = Arc::new(ConnectionState::for_test());
        state.mark_busy();
        state
    }

    #[test]
    fn each_client_has_its_own_connections_and_streams() {
        let slots = Arc::new(ClientSlots::default());
        let enter = |user| slots.enter(key(user), TWO, &busy());
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
        assert!(slots.table().clients.is_empty(), "nobody is remembered");
    }

    #[test]
    fn a_stream_counts_until_it_ends_even_without_its_connection() {
        let slots = Arc::new(ClientSlots::default());
        let connection = slots.enter(key(1), TWO, &busy()).unwrap();
        let stream = connection.stream().unwrap();
        drop(connection);
        let connection = slots.enter(key(1), TWO, &busy()).unwrap();
        assert!(connection.stream().is_none());
        drop(stream);
        assert!(connection.stream().is_some());
    }

    #[test]
    fn the_connection_of_a_client_that_has_waited_longest_gives_way() {
        let slots = Arc::new(ClientSlots::default());
        let states = [busy(), busy(), busy()];
        let _first = slots.enter(key(1), TWO, &states[0]).unwrap();
        let _second = slots.enter(key(1), TWO, &states[1]).unwrap();
        states[1].mark_idle();
        let _third = slots.enter(key(1), TWO, &states[2]).unwrap();
        assert_eq!(states.each_ref().map(|state| state.is_ending()), [false, true, false]);
        // It is no longer counted, and nobody else is idle.
        assert!(slots.enter(key(1), TWO, &busy()).is_none());
    }

    #[test]
    fn without_limits_nothing_is_refused() {
        let slots = Arc::new(ClientSlots::default());
        let held: Vec<ClientSlot> =
            (0..100).map(|_| slots.enter(key(1), ClientLimits::default(), &busy()).unwrap()).collect();
        let streams: Vec<StreamSlot> = held.iter().map(|slot| slot.stream().unwrap()).collect();
        assert_eq!(streams.len(), 100);
    }
}
