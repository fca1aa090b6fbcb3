//! How many connections the limit of open descriptors and the memory allow.

use std::fmt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::ConnectionMemory;

/// Descriptors of the process that are there from the start: standard streams, signals, resolving a name, some to spare.
const PROCESS: usize = 20;
/// Descriptors of a worker, besides those for listeners and connections: of its runtime, and of the pipe for bytes that are not copied.
const WORKER: usize = 7;
/// The most overflow connections, and the most idle connections of a worker to the engine.
const OVERFLOW_LIMIT: usize = 64;
const IDLE_UPSTREAM_LIMIT: usize = 64;
/// The fewest connections that are worth a start, if there are fewer listeners.
const FEWEST_CONNECTIONS: usize = 8;

/// Raises the limit of open descriptors as far as the system allows; returns the new limit.
pub(super) fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    // No limit is as good as a million.
    limit.current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(1 << 20)
}

/// The descriptors of the process do not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFewDescriptors {
    limit: usize,
    /// How many connections are possible, how many are wanted, and the limit for that.
    possible: usize,
    wanted: usize,
    needed: usize,
}

impl fmt::Display for TooFewDescriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, possible, wanted, needed } = self;
        write!(
            f,
            "the limit of open files is {limit}, which is enough for {possible} connections and not for {wanted}: raise it to \
             {needed} (ulimit -n, LimitNOFILE= or --ulimit nofile=), or lower limits.connections"
        )
    }
}

/// What the descriptors of the process are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DescriptorPlan {
    limit: usize,
    /// How many connections there is memory for, with a slot or without.
    in_memory: usize,
    /// Descriptors for no connection.
    fixed: usize,
    /// The most overflow connections, apart from those that are ending.
    pub(super) overflow: usize,
    /// The most idle connections of a worker to the engine.
    pub(super) idle_upstream: usize,
    workers: usize,
    listeners: usize,
    /// Descriptors of a connection of a client, and of one to the engine.
    client: usize,
    engine: usize,
}

impl DescriptorPlan {
    /// Plans `limit` descriptors for this many listeners and workers, for connections of clients with `client` of them, and for
    /// connections to the engine with `engine` of them.
    pub(super) fn new(limit: usize, listeners: usize, workers: usize, (client, engine): (usize, usize)) -> Self {
        // Each worker, and the process, has a handle of each listener.
        let fixed = PROCESS + listeners + workers * (WORKER + listeners);
        let free = limit.saturating_sub(fixed);
        let overflow = (free / (8 * (client + engine))).clamp(1, OVERFLOW_LIMIT);
        let idle_upstream = (free / (8 * workers.max(1) * engine)).clamp(1, IDLE_UPSTREAM_LIMIT);
        Self { limit, in_memory: usize::MAX, fixed, overflow, idle_upstream, workers, listeners, client, engine }
    }

    /// The same with no more connections than there is memory for.
    pub(super) fn within(self, memory: &ConnectionMemory) -> Self {
        let in_memory = memory.connections();
        Self { in_memory, overflow: self.overflow.min(in_memory / 8).max(1), ..self }
    }

    /// Descriptors of a connection with a slot, on both sides.
    fn each(&self) -> usize {
        self.client + self.engine
    }

    /// Descriptors for each overflow connection: there may be twice as many for a moment. One with a ping has a connection to
    /// the engine, too.
    fn each_overflow(&self) -> usize {
        2 * self.client + self.engine
    }

    /// The same with so many descriptors more for something else.
    pub(super) fn and(self, more: usize) -> Self {
        Self { fixed: self.fixed + more, ..self }
    }

    /// Descriptors for anything but connections with a slot.
    fn reserved(&self) -> usize {
        self.fixed + self.each_overflow() * self.overflow + self.engine * self.idle_upstream * self.workers
    }

    /// How many connections may have a slot: as many as are wanted, else as many as possible. For these there is memory, unless so
    /// few would not be worth a start.
    ///
    /// # Errors
    /// [`TooFewDescriptors`].
    pub(super) fn slots(&self, wanted: Option<usize>) -> Result<usize, TooFewDescriptors> {
        let each = self.each();
        let possible = self.limit.saturating_sub(self.reserved()) / each;
        let fewest = wanted.unwrap_or(FEWEST_CONNECTIONS.max(self.listeners));
        if possible < fewest {
            // What is reserved grows with the limit: by a quarter of it at most for overflow connections, and by an eighth.
            let rest = 16 - (2 * self.each_overflow()).div_ceil(each) - 2;
            let needed = self.fixed + fewest * each * 16 / rest + 24 * self.engine;
            let needed = needed.max(self.reserved() + fewest * each);
            return Err(TooFewDescriptors { limit: self.limit, possible, wanted: fewest, needed });
        }
        let in_memory = self.in_memory.saturating_sub(2 * self.overflow);
        Ok(wanted.unwrap_or(possible.min(in_memory.max(fewest))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::SocketBuffers;

    /// Descriptors of a connection of a client and of one to the engine: plain, over TLS, and through ssh.
    const EACH: [(usize, usize); 9] = [(1, 1), (3, 1), (4, 1), (1, 3), (3, 3), (4, 3), (1, 6), (3, 6), (4, 6)];

    #[test]
    fn every_descriptor_is_planned_for_once() {
        for limit in 0..5000 {
            for (listeners, workers) in [(1, 1), (1, 2), (3, 4), (20, 4)] {
                for (client, engine) in EACH {
                    let plan = DescriptorPlan::new(limit, listeners, workers, (client, engine));
                    let Ok(slots) = plan.slots(None) else { continue };
                    // Twice as many overflow connections as planned for a moment, each with a ping for the engine on one half.
                    let overflow = plan.overflow * (2 * client + engine);
                    let idle = workers * plan.idle_upstream * engine;
                    let used = plan.fixed + overflow + idle + (client + engine) * slots;
                    assert!(used <= limit && slots >= FEWEST_CONNECTIONS, "{plan:?}: {slots}");
                }
            }
        }
    }

    #[test]
    fn what_is_said_to_be_needed_is_enough() {
        let wanted = [None, Some(1), Some(100), Some(10_000)];
        for (wanted, each) in wanted.into_iter().flat_map(|wanted| EACH.map(|each| (wanted, each))) {
            for limit in [0, 20, 64, 200] {
                let plan = |limit| DescriptorPlan::new(limit, 2, 2, each).slots(wanted);
                if let Err(error) = plan(limit) {
                    assert!(plan(error.needed).is_ok(), "{error}");
                    assert!(error.needed > limit && error.possible < error.wanted, "{error}");
                }
            }
        }
    }

    #[test]
    fn there_is_memory_for_all_connections_that_nobody_wants() {
        const EACH: usize = 300 << 10;
        for mib in [0, 1, 8, 24, 56, 120, 500, 20_000] {
            let memory =
                ConnectionMemory { bytes: mib << 20, each: EACH, buffers: SocketBuffers::Small, is_of_group: true };
            let plan = DescriptorPlan::new(1 << 20, 2, 2, (1, 1)).within(&memory);
            let slots = plan.slots(None).unwrap();
            let is_within = (slots + 2 * plan.overflow) * EACH <= memory.bytes;
            assert!(is_within || slots == FEWEST_CONNECTIONS, "{mib} MiB: {plan:?}: {slots}");
            // Not many fewer, either.
            assert!(slots * EACH >= memory.bytes / 2, "{mib} MiB: {plan:?}: {slots}");
            assert_eq!(plan.slots(Some(5000)), Ok(5000));
        }
    }

    #[test]
    fn common_limits_are_used_well() {
        #[track_caller]
        fn check(limit: usize, expected: Option<usize>) {
            assert_eq!(DescriptorPlan::new(limit, 1, 2, (1, 1)).slots(None).ok(), expected);
        }
        check(1 << 20, Some(524_109));
        check(20_000, Some(9_821));
        check(1024, Some(341));
        check(64, Some(11));
        check(50, None);
    }
}
