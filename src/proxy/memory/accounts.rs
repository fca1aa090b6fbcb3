//! The accounts of the memory budget: which lease has how much, and which one gets more next. Nothing waits here.
//!
//! Small leases have a part of the budget to themselves, so that they pass whatever the large ones have. The rest is shared:
//! large leases use it, and small ones for which their own part has no room.
//!
//! Leases grow while a document arrives, because its size is not known before. So that they do not all wait for each other, a
//! part of the shared rest is set aside for the oldest large lease that may still grow. It completes, and then the next one is
//! the oldest. The oldest small one can count on as much as a small lease may have.
//!
//! A lease that outgrows a small one is large from then on. If it must wait, it takes with it what it holds, so that it no longer
//! counts as a small one. If there is no room even for that, it is refused at once.

use std::collections::{BTreeMap, BTreeSet};
use std::task::Waker;

/// The largest small lease, in bytes: enough for most answers.
const SMALL: usize = 256 * 1024;
/// Small leases have one part in so many for themselves.
const SMALL_PART: usize = 8;

/// Where a lease is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeaseKind {
    Small,
    Large,
}

/// How the budget is divided, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Division {
    /// The largest small lease.
    pub(super) small: usize,
    /// What only small leases may use.
    pub(super) own: usize,
    /// What all leases may use: the rest, and the most that one may have.
    pub(super) shared: usize,
    /// What the oldest large lease can count on, and the most for which one waits.
    pub(super) set_aside: usize,
}

impl Division {
    /// Divides `total` bytes, for documents of which the largest need `largest` bytes.
    fn new(total: usize, largest: usize) -> Self {
        let own = total / SMALL_PART;
        let shared = total - own;
        // More than half, so that a document of a quarter of the budget need not be the only one.
        let set_aside = largest.min(shared - shared * 3 / 8);
        Self { small: SMALL.min(own), own, shared, set_aside }
    }
}

/// The accounts of all leases.
#[derive(Debug)]
pub(super) struct Accounts {
    division: Division,
    small: LeasePool,
    large: LeasePool,
    /// The ticket of the next lease that grows.
    next: u64,
}

/// The leases of one kind.
#[derive(Debug, Default)]
struct LeasePool {
    /// What they have, in bytes.
    used: usize,
    /// Those that may still grow, by their tickets: the oldest first.
    growing: BTreeMap<u64, Growing>,
    /// Those of them that wait.
    waiting: BTreeSet<u64>,
}

#[derive(Debug)]
struct Growing {
    /// In bytes.
    size: usize,
    /// The size that it waits for.
    wanted: usize,
    waker: Option<Waker>,
}

/// The account of one lease.
#[derive(Debug)]
pub(super) struct Account {
    kind: LeaseKind,
    /// Its place among those that grow; `None` if it does not.
    ticket: Option<u64>,
    /// As far as this account knows, in bytes.
    size: usize,
}

/// What became of a wish for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The lease has it.
    Granted,
    /// It will be told.
    Waits,
    /// There is no room in which to wait.
    Refused,
}

impl LeasePool {
    /// What is kept of `reserve` for the oldest lease that grows, or for the first that will. For the oldest itself, that is none.
    fn kept(&self, ticket: Option<u64>, reserve: usize) -> usize {
        match self.growing.first_key_value() {
            Some((oldest, _)) if Some(*oldest) == ticket => 0,
            Some((_, lease)) => reserve.saturating_sub(lease.size),
            None => reserve,
        }
    }

    /// Whether this is the oldest lease that grows.
    fn is_oldest(&self, ticket: u64) -> bool {
        self.growing.first_key_value().is_some_and(|(oldest, _)| *oldest == ticket)
    }

    /// Gives more to a lease, and wakes it if it has waited.
    fn grant(&mut self, ticket: u64, more: usize) {
        self.waiting.remove(&ticket);
        if let Some(lease) = self.growing.get_mut(&ticket) {
            self.used += more;
            lease.size += more;
            lease.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    /// The oldest lease that waits, and how much more it wants.
    fn first_waiting(&self) -> Option<(u64, usize)> {
        let ticket = *self.waiting.first()?;
        let lease = self.growing.get(&ticket)?;
        Some((ticket, lease.wanted.saturating_sub(lease.size)))
    }

    /// Takes a lease out; returns what it had.
    fn leave(&mut self, account: &mut Account) -> usize {
        let size = match account.ticket.take() {
            Some(ticket) => {
                self.waiting.remove(&ticket);
                // It may have been given more than it knows of.
                self.growing.remove(&ticket).map_or(0, |lease| lease.size)
            }
            None => account.size,
        };
        account.size = 0;
        self.used -= size;
        size
    }
}

impl Account {
    /// Of a lease that has nothing.
    pub(super) fn empty() -> Self {
        Self { kind: LeaseKind::Small, ticket: None, size: 0 }
    }

    /// In bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether the lease is in the line of those that grow.
    pub(super) fn is_growing(&self) -> bool {
        self.ticket.is_some()
    }
}

impl Accounts {
    /// No lease has anything. The largest document needs `largest` bytes.
    pub(super) fn new(total: usize, largest: usize) -> Self {
        Self {
            division: Division::new(total, largest),
            small: LeasePool::default(),
            large: LeasePool::default(),
            next: 0,
        }
    }

    /// What all leases have, in bytes.
    pub(super) fn used(&self) -> usize {
        self.small.used + self.large.used
    }

    /// How the budget is divided.
    pub(super) fn division(&self) -> Division {
        self.division
    }

    /// Asks for `size` bytes. A lease that waits needs `held` bytes until it has them.
    pub(super) fn ask(&mut self, account: &mut Account, held: usize, size: usize, waker: &Waker) -> Asked {
        self.update(account);
        if account.size >= size {
            return Asked::Granted;
        }
        let Some(ticket) = self.ticket(account, held, size) else { return Asked::Refused };
        let pool = self.pool(account.kind);
        if let Some(lease) = pool.growing.get_mut(&ticket) {
            (lease.wanted, lease.waker) = (size, Some(waker.clone()));
            pool.waiting.insert(ticket);
        }
        self.share();
        self.update(account);
        if account.size >= size {
            return Asked::Granted;
        }
        if size > self.division.set_aside.max(self.division.small) {
            // It might wait for those that wait for it.
            self.pool(account.kind).waiting.remove(&ticket);
            return Asked::Refused;
        }
        Asked::Waits
    }

    /// The ticket of a lease that asks for `size` bytes, in the pool where it is counted then; `None` if there is no room for it
    /// there.
    fn ticket(&mut self, account: &mut Account, held: usize, size: usize) -> Option<u64> {
        match account.kind {
            LeaseKind::Small if size > self.division.small => {
                // If it can wait, it takes along what it holds.
                let along = if size > self.division.set_aside { size } else { held.min(account.size) };
                return self.make_large(account, along);
            }
            LeaseKind::Large if size <= self.division.small && self.fits(LeaseKind::Small, u64::MAX, size) => {
                self.large.leave(account);
                account.kind = LeaseKind::Small;
            }
            LeaseKind::Small | LeaseKind::Large => {}
        }
        Some(account.ticket.unwrap_or_else(|| self.enter(account)))
    }

    /// Counts a small lease as a large one of `size` bytes; `None` if there is no room for it. It is then as it was.
    fn make_large(&mut self, account: &mut Account, size: usize) -> Option<u64> {
        let before = self.small.leave(account);
        account.kind = LeaseKind::Large;
        let ticket = self.enter(account);
        if self.fits(LeaseKind::Large, ticket, size) {
            self.large.grant(ticket, size);
            return Some(ticket);
        }
        self.large.leave(account);
        *account = Account { kind: LeaseKind::Small, ticket: None, size: before };
        self.small.used += before;
        None
    }

    /// Puts a lease in the line of those of its kind that grow; returns its ticket.
    fn enter(&mut self, account: &mut Account) -> u64 {
        self.next += 1;
        account.ticket = Some(self.next);
        let growing = Growing { size: account.size, wanted: account.size, waker: None };
        let ticket = self.next;
        self.pool(account.kind).growing.insert(ticket, growing);
        ticket
    }

    /// The lease has `size` bytes and does not grow any more, so nothing need be kept for it.
    pub(super) fn settle(&mut self, account: &mut Account, size: usize) {
        let pool = self.pool(account.kind);
        pool.leave(account);
        // If the filter has made it larger than expected, it is there already.
        pool.used += size;
        account.size = size;
        self.share();
    }

    /// The lease needs `size` bytes for now, which it has, and will grow again. It leaves the line, unless there would be too
    /// little for those in the line then: many that pause would wait for each other.
    pub(super) fn pause(&mut self, account: &mut Account, size: usize) {
        self.update(account);
        let size = size.min(account.size);
        let pool = self.pool(account.kind);
        pool.used -= account.size - size;
        account.size = size;
        if let Some(ticket) = account.ticket {
            pool.waiting.remove(&ticket);
            pool.growing.remove(&ticket);
            if self.is_sound(account.kind) {
                account.ticket = None;
            } else {
                let growing = Growing { size, wanted: size, waker: None };
                self.pool(account.kind).growing.insert(ticket, growing);
            }
        }
        self.share();
    }

    /// The lease waits no longer.
    pub(super) fn give_up(&mut self, account: &mut Account) {
        if let Some(ticket) = account.ticket {
            self.pool(account.kind).waiting.remove(&ticket);
        }
        self.share();
    }

    /// The lease has ended.
    pub(super) fn close(&mut self, account: &mut Account) {
        self.pool(account.kind).leave(account);
        self.share();
    }

    /// Whether a growing lease may have `more` bytes now.
    fn fits(&self, kind: LeaseKind, ticket: u64, more: usize) -> bool {
        let Self { division: Division { small, shared, set_aside, .. }, small: smalls, large: larges, .. } = self;
        match kind {
            LeaseKind::Small => {
                let used = self.beyond(more + smalls.kept(Some(ticket), *small));
                used == 0 || used + larges.used + larges.kept(None, *set_aside) <= *shared
            }
            LeaseKind::Large => {
                // The oldest always completes.
                let kept = if larges.is_oldest(ticket) { 0 } else { smalls.kept(None, *small) };
                self.beyond(kept) + larges.used + more + larges.kept(Some(ticket), *set_aside) <= *shared
            }
        }
    }

    /// Whether the oldest leases of both kinds can have what they can count on. A part of its own is enough for small ones.
    fn is_sound(&self, kind: LeaseKind) -> bool {
        let Division { small, shared, set_aside, .. } = self.division;
        let beyond = self.beyond(self.small.kept(None, small));
        let is_own = kind == LeaseKind::Small && beyond == 0;
        is_own || beyond + self.large.used + self.large.kept(None, set_aside) <= shared
    }

    /// What small leases use of the shared rest if they have `more` bytes.
    fn beyond(&self, more: usize) -> usize {
        (self.small.used + more).saturating_sub(self.division.own)
    }

    /// Gives what is free to those that wait, the oldest first. Small ones do not wait for large ones.
    fn share(&mut self) {
        for kind in [LeaseKind::Small, LeaseKind::Large] {
            while let Some((ticket, more)) = self.pool(kind).first_waiting()
                && self.fits(kind, ticket, more)
            {
                self.pool(kind).grant(ticket, more);
            }
        }
    }

    /// Reads what the lease has been given meanwhile.
    fn update(&mut self, account: &mut Account) {
        let pool = self.pool(account.kind);
        if let Some(lease) = account.ticket.and_then(|ticket| pool.growing.get(&ticket)) {
            account.size = lease.size;
        }
    }

    fn pool(&mut self, kind: LeaseKind) -> &mut LeasePool {
        match kind {
            LeaseKind::Small => &mut self.small,
            LeaseKind::Large => &mut self.large,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// In bytes: 100 are the small leases' own, 700 are shared, and of these 400 are set aside.
    const TOTAL: usize = 800;
    const LARGEST: usize = 400;
    const SMALL_LEASE: usize = 40;

    fn accounts() -> Accounts {
        let mut accounts = Accounts::new(TOTAL, LARGEST);
        accounts.division.small = SMALL_LEASE;
        accounts
    }

    /// What an exchange does next.
    #[derive(Clone, Copy, Debug)]
    enum LeaseStep {
        /// It needs so many bytes, and holds the second number until it has them.
        Grow(usize, usize),
        /// It needs so many, and will need more.
        Pause(usize),
        /// It needs so many, and no more.
        Settle(usize),
    }

    /// An exchange with what it still does.
    #[derive(Debug)]
    struct Simulated {
        account: Account,
        steps: Vec<LeaseStep>,
        next: usize,
        has_ended: bool,
    }

    impl Simulated {
        fn new(steps: Vec<LeaseStep>) -> Self {
            Self { account: Account::empty(), steps, next: 0, has_ended: false }
        }

        /// Makes the next step. Returns whether it could.
        fn go_on(&mut self, accounts: &mut Accounts) -> bool {
            if self.has_ended {
                return false;
            }
            match self.steps.get(self.next) {
                Some(LeaseStep::Grow(size, held)) => {
                    let own = accounts.small.used + size + accounts.small.kept(None, SMALL_LEASE);
                    let is_first = accounts.small.waiting.is_empty() && self.account.kind == LeaseKind::Small;
                    let must_have = is_first && *size <= SMALL_LEASE && own <= accounts.division.own;
                    let asked = accounts.ask(&mut self.account, *held, *size, Waker::noop());
                    assert!(asked == Asked::Granted || !must_have, "small leases have room: {accounts:?}");
                    assert!(asked != Asked::Refused || *size > SMALL_LEASE, "a small lease waits: {accounts:?}");
                    if asked == Asked::Waits {
                        return false;
                    }
                    self.has_ended = asked == Asked::Refused;
                }
                Some(LeaseStep::Pause(size)) => accounts.pause(&mut self.account, *size),
                Some(LeaseStep::Settle(size)) => {
                    let size = (*size).min(self.account.size);
                    accounts.settle(&mut self.account, size);
                }
                None => self.has_ended = true,
            }
            self.next += 1;
            if self.has_ended {
                accounts.close(&mut self.account);
            }
            true
        }
    }

    /// Looks whether the sums are right and the limits hold.
    #[track_caller]
    fn check_sums(accounts: &Accounts, exchanges: &[Simulated]) {
        for (kind, pool) in [(LeaseKind::Small, &accounts.small), (LeaseKind::Large, &accounts.large)] {
            let of_kind = exchanges.iter().filter(|exchange| exchange.account.kind == kind);
            let known = |exchange: &Simulated| match exchange.account.ticket {
                Some(ticket) => pool.growing[&ticket].size,
                None => exchange.account.size,
            };
            assert_eq!(pool.used, of_kind.map(known).sum::<usize>(), "{kind:?}: {accounts:?}");
        }
        assert!(accounts.small.used + accounts.large.used <= TOTAL, "{accounts:?}");
        assert!(accounts.large.used <= accounts.division.shared, "{accounts:?}");
    }

    /// A document: small at first; it grows in several steps, with pauses, and then waits to be read.
    fn document() -> impl Strategy<Value = Vec<LeaseStep>> {
        let growths = prop::collection::vec((1..LARGEST, 0..4_usize, any::<bool>()), 0..5);
        (growths, any::<bool>(), any::<bool>()).prop_map(|(mut growths, is_admitted, is_sent)| {
            growths.sort_unstable();
            let mut steps = Vec::new();
            if is_admitted {
                steps.extend([LeaseStep::Grow(SMALL_LEASE, 0), LeaseStep::Pause(SMALL_LEASE)]);
            }
            for (size, part, pauses) in growths {
                steps.push(LeaseStep::Grow(size, size / (part + 2)));
                if pauses {
                    steps.push(LeaseStep::Pause(size / (part + 1)));
                }
            }
            if is_sent {
                steps.push(LeaseStep::Settle(LARGEST));
            }
            steps
        })
    }

    proptest! {
        /// However documents take turns, some can always go on until all have ended, and small leases always have their part.
        #[test]
        fn leases_never_wait_for_each_other(
            documents in prop::collection::vec(document(), 1..40),
            turns in prop::collection::vec(any::<prop::sample::Index>(), 0..200),
        ) {
            let (mut accounts, count) = (accounts(), documents.len());
            let mut exchanges: Vec<Simulated> = documents.into_iter().map(Simulated::new).collect();
            for turn in turns {
                exchanges[turn.index(count)].go_on(&mut accounts);
                check_sums(&accounts, &exchanges);
            }
            while exchanges.iter().any(|exchange| !exchange.has_ended) {
                let mut could = false;
                for at in 0..count {
                    could |= exchanges[at].go_on(&mut accounts);
                    check_sums(&accounts, &exchanges);
                }
                prop_assert!(could, "all wait: {:?} {:?}", accounts, exchanges);
            }
            prop_assert_eq!((accounts.small.used, accounts.large.used), (0, 0));
        }
    }

    fn asked(accounts: &mut Accounts, account: &mut Account, size: usize) -> Asked {
        accounts.ask(account, 0, size, Waker::noop())
    }

    #[test]
    fn small_leases_pass_while_large_ones_have_everything_and_more_wait() {
        let mut accounts = accounts();
        let (mut full, mut waiting) = (Account::empty(), [(); 20].map(|()| Account::empty()));
        assert_eq!(asked(&mut accounts, &mut full, 700), Asked::Granted);
        for account in &mut waiting {
            assert_eq!(asked(&mut accounts, account, 100), Asked::Waits);
        }
        let (mut first, mut second, mut third) = (Account::empty(), Account::empty(), Account::empty());
        assert_eq!(asked(&mut accounts, &mut first, 40), Asked::Granted);
        assert_eq!(asked(&mut accounts, &mut second, 40), Asked::Granted);
        // There is no part of their own left.
        assert_eq!(asked(&mut accounts, &mut third, 40), Asked::Waits);
        accounts.close(&mut first);
        assert_eq!(asked(&mut accounts, &mut third, 40), Asked::Granted);
    }

    #[test]
    fn small_leases_may_use_what_is_not_set_aside() {
        let mut accounts = accounts();
        let mut smalls = [(); 20].map(|()| Account::empty());
        let mut granted = 0;
        for account in &mut smalls {
            if asked(&mut accounts, account, 40) == Asked::Granted {
                granted += 1;
                accounts.settle(account, 40);
            }
        }
        // 100 of their own, and 300 that are not set aside.
        assert_eq!(granted, 10);
        assert_eq!(asked(&mut accounts, &mut Account::empty(), 400), Asked::Granted);
    }

    #[test]
    fn a_lease_that_outgrows_a_small_one_waits_with_what_it_holds() {
        let mut accounts = accounts();
        let (mut full, mut small) = (Account::empty(), Account::empty());
        assert_eq!(asked(&mut accounts, &mut full, 650), Asked::Granted);
        assert_eq!(asked(&mut accounts, &mut small, 40), Asked::Granted);
        assert_eq!(accounts.ask(&mut small, 30, 200, Waker::noop()), Asked::Waits);
        assert_eq!((accounts.small.used, accounts.large.used), (0, 680));
        // There is no room for another one.
        let mut next = Account::empty();
        assert_eq!(asked(&mut accounts, &mut next, 40), Asked::Granted);
        assert_eq!(accounts.ask(&mut next, 30, 200, Waker::noop()), Asked::Refused);
        assert_eq!((accounts.small.used, accounts.large.used), (40, 680));
        accounts.close(&mut full);
        assert_eq!(asked(&mut accounts, &mut small, 200), Asked::Granted);
    }

    #[test]
    fn more_than_what_is_set_aside_is_granted_only_if_it_is_free() {
        let mut accounts = accounts();
        let (mut first, mut second) = (Account::empty(), Account::empty());
        assert_eq!(asked(&mut accounts, &mut first, 401), Asked::Granted);
        assert_eq!(asked(&mut accounts, &mut second, 401), Asked::Refused);
        assert_eq!(asked(&mut accounts, &mut second, 300), Asked::Waits);
        assert_eq!(asked(&mut accounts, &mut first, 600), Asked::Granted);
    }

    #[test]
    fn a_large_lease_that_needs_little_is_small_again() {
        let mut accounts = accounts();
        let mut account = Account::empty();
        assert_eq!(asked(&mut accounts, &mut account, 300), Asked::Granted);
        accounts.pause(&mut account, 10);
        assert_eq!(asked(&mut accounts, &mut account, 40), Asked::Granted);
        assert_eq!((accounts.small.used, accounts.large.used), (40, 0));
    }
}
