//! What one address may take: seats, calls, posts, and rooms that it creates.
//!
//! Addresses are the only identity that a peer without a login can't choose freely.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use thiserror::Error;

use super::bucket::{Bucket, Rate};
use super::network::Source;
use super::refusals::{Limit, Refusals};
use crate::limits::{self, QUOTAS_KEPT, QUOTAS_KEPT_TIME};

/// The limits of each address.
#[derive(Clone, Debug)]
pub struct AddressLimits {
    /// How many connections it may have open.
    pub connections_max: usize,
    /// How many streams it may have at once.
    pub clients_max: usize,
    pub posts: Rate,
    /// Bytes of posts.
    pub bytes: Rate,
    /// Bytes of posts that are stored, over a longer time.
    pub stored: Rate,
    /// Rooms that its posts create.
    pub rooms: Rate,
    /// How many rooms its posts may create in all.
    pub rooms_max: usize,
}

/// The use of all addresses.
pub struct Quotas {
    refusals: Arc<Refusals>,
    // lock order: 2 (held for a lookup, a sweep, or a change of the limits)
    uses: Mutex<Uses>,
}

struct Uses {
    limits: AddressLimits,
    of: HashMap<Source, Arc<Use>>,
    /// How many rooms the forgotten addresses have created. Bound: the rooms that were created since the start.
    created: HashMap<Source, usize>,
    /// The number of addresses at which those that were not seen for a while are forgotten.
    sweep_at: usize,
}

/// What one address has taken. Its streams and calls share it.
pub struct Use {
    source: Source,
    refusals: Arc<Refusals>,
    // lock order: 3 (a leaf)
    state: Mutex<UseState>,
}

struct UseState {
    limits: AddressLimits,
    clients: usize,
    posts: Bucket,
    bytes: Bucket,
    stored: Bucket,
    rooms: Bucket,
    failed_logins: Bucket,
    /// How many rooms it has created.
    created: usize,
    seen: Instant,
}

/// How many logins of an address may fail.
const FAILED_LOGINS: Rate =
    Rate { burst: limits::FAILED_LOGINS_PER_MINUTE, per_second: limits::FAILED_LOGINS_PER_MINUTE / 60.0 };

/// A stream's place among those of its address. Dropping it frees the place.
pub struct Seat(Arc<Use>);

/// An address has reached a limit. The time is the retry time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OverQuota {
    #[error("your address posts too fast: try again in {}", in_words(.0))]
    Posts(Duration),
    #[error("your address has stored as many bytes as it may for now: try again in {}", in_words(.0))]
    Stored(Duration),
    #[error("your address has created as many rooms as it may for now: post to an existing room, or try again in {}", in_words(.0))]
    Rooms(Duration),
    #[error("your address has created {0} rooms, the maximum: post to an existing room")]
    RoomsInAll(usize),
}

impl Default for AddressLimits {
    fn default() -> Self {
        Self {
            connections_max: limits::ADDRESS_CONNECTIONS_MAX,
            clients_max: limits::CLIENTS_PER_ADDRESS_MAX,
            posts: Rate::over(limits::POSTS_PER_SECOND, limits::POSTS_BURST_TIME),
            bytes: Rate::over(limits::POST_BYTES_PER_SECOND, limits::POST_BYTES_BURST_TIME),
            stored: Rate { per_second: limits::STORED_BYTES_PER_DAY / 86_400.0, burst: limits::STORED_BYTES_PER_DAY },
            rooms: Rate { per_second: limits::ROOMS_PER_HOUR / 3_600.0, burst: limits::ROOMS_PER_HOUR },
            rooms_max: limits::ROOMS_PER_ADDRESS_MAX,
        }
    }
}

impl Quotas {
    pub fn new(limits: AddressLimits, refusals: Arc<Refusals>) -> Self {
        let uses = Uses { limits, of: HashMap::new(), created: HashMap::new(), sweep_at: 0 };
        Self { refusals, uses: Mutex::new(uses) }
    }

    /// Sets the limits, also of the addresses that are known. What they have taken stays taken.
    pub fn set_limits(&self, limits: &AddressLimits) {
        let mut uses = self.uses.lock();
        uses.limits.clone_from(limits);
        uses.of.values().for_each(|used| used.state.lock().limits.clone_from(limits));
    }

    /// What an address has taken.
    pub fn of(&self, source: Source) -> Arc<Use> {
        let now = Instant::now();
        let mut uses = self.uses.lock();
        if !uses.of.contains_key(&source) && uses.of.len() >= uses.sweep_at.max(QUOTAS_KEPT) {
            uses.forget(now);
        }
        let Uses { limits, of, created, .. } = &mut *uses;
        let begin = || {
            let created = created.remove(&source).unwrap_or(0);
            Arc::new(Use::new(source, limits.clone(), Arc::clone(&self.refusals), created, now))
        };
        Arc::clone(of.entry(source).or_insert_with(begin))
    }
}

impl Uses {
    /// Forgets the addresses that were not seen for a while, except for the rooms that they have created.
    fn forget(&mut self, now: Instant) {
        let Self { of, created, sweep_at, .. } = self;
        of.retain(|source, used| {
            let is_kept = !used.is_forgettable(now);
            match used.state.lock().created {
                count @ 1.. if !is_kept => drop(created.insert(*source, count)),
                _ => {}
            }
            is_kept
        });
        *sweep_at = 2 * of.len();
    }
}

impl Use {
    fn new(source: Source, limits: AddressLimits, refusals: Arc<Refusals>, created: usize, now: Instant) -> Self {
        let full = |rate| Bucket::new(rate, now);
        let state = UseState {
            clients: 0,
            posts: full(limits.posts),
            bytes: full(limits.bytes),
            stored: full(limits.stored),
            rooms: full(limits.rooms),
            failed_logins: full(FAILED_LOGINS),
            created,
            seen: now,
            limits,
        };
        Self { source, refusals, state: Mutex::new(state) }
    }

    /// Whether nothing would change for the address if this began anew.
    fn is_forgettable(self: &Arc<Self>, now: Instant) -> bool {
        Arc::strong_count(self) == 1 && now.saturating_duration_since(self.state.lock().seen) >= QUOTAS_KEPT_TIME
    }

    pub fn clients_max(&self) -> usize {
        self.state.lock().limits.clients_max
    }

    /// A place for one more stream; `None` if the address has its maximum.
    pub fn seat(self: &Arc<Self>) -> Option<Seat> {
        let mut state = self.state.lock();
        if state.clients >= state.limits.clients_max {
            drop(state);
            self.refusals.exceeded(Limit::AddressClients, Some(self.source));
            return None;
        }
        state.clients += 1;
        Some(Seat(Arc::clone(self)))
    }

    /// Whether it may try to log in, or how long it must wait after too many failures.
    pub fn may_log_in(&self) -> Result<(), Duration> {
        let mut state = self.state.lock();
        let wait = state.failed_logins.wait(FAILED_LOGINS, 1.0, Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        drop(state);
        self.refusals.exceeded(Limit::Logins, Some(self.source));
        Err(wait)
    }

    /// Counts a failed login.
    pub fn login_failed(&self) {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.seen = now;
        state.failed_logins.spend(FAILED_LOGINS, 1.0, now);
    }

    /// Counts posts. Returns how long their stream has to wait after them.
    pub fn posted(&self, count: usize, bytes: usize) -> Duration {
        let now = Instant::now();
        let mut state = self.state.lock();
        let UseState { limits, posts, bytes: sent, seen, .. } = &mut *state;
        *seen = now;
        let wait = posts.spend(limits.posts, count as f64, now);
        wait.max(sent.spend(limits.bytes, bytes as f64, now))
    }

    /// Counts a post that can't wait, or refuses it.
    pub fn post_at_once(&self, bytes: usize) -> Result<(), OverQuota> {
        let now = Instant::now();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.seen = now;
        let posts = state.posts.take_many(state.limits.posts, 1.0, now);
        posts
            .and_then(|()| state.bytes.take_many(state.limits.bytes, bytes as f64, now))
            .map_err(|wait| self.refuse(guard, OverQuota::Posts(wait)))
    }

    /// Counts bytes to store, or refuses to store them.
    pub fn store(&self, bytes: usize) -> Result<(), OverQuota> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let stored = state.stored.take_many(state.limits.stored, bytes as f64, Instant::now());
        stored.map_err(|wait| self.refuse(guard, OverQuota::Stored(wait)))
    }

    /// Counts a room to create, or refuses that.
    pub fn create_room(&self) -> Result<(), OverQuota> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let rooms_max = state.limits.rooms_max;
        if state.created >= rooms_max {
            return Err(self.refuse(guard, OverQuota::RoomsInAll(rooms_max)));
        }
        match state.rooms.take_many(state.limits.rooms, 1.0, Instant::now()) {
            Ok(()) => {
                state.created += 1;
                Ok(())
            }
            Err(wait) => Err(self.refuse(guard, OverQuota::Rooms(wait))),
        }
    }

    /// Counts a refusal.
    fn refuse(&self, state: MutexGuard<'_, UseState>, reason: OverQuota) -> OverQuota {
        drop(state);
        let limit = match reason {
            OverQuota::Posts(_) => Limit::Posts,
            OverQuota::Stored(_) => Limit::Stored,
            OverQuota::Rooms(_) | OverQuota::RoomsInAll(_) => Limit::RoomsCreated,
        };
        self.refusals.exceeded(limit, Some(self.source));
        reason
    }
}

impl OverQuota {
    /// `None` if it is no use to try again.
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Posts(time) | Self::Stored(time) | Self::Rooms(time) => Some(time),
            Self::RoomsInAll(_) => None,
        }
    }
}

/// The time in whole seconds, at least one.
fn in_words(time: &Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(time.as_secs() + 1))
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.state.lock().clients -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> AddressLimits {
        AddressLimits { clients_max: 2, ..AddressLimits::default() }
    }

    fn source(n: u32) -> Source {
        Source::of(std::net::Ipv4Addr::from_bits(0xc000_0200 + n).into())
    }

    #[test]
    fn an_address_has_a_number_of_seats() {
        let quotas = Quotas::new(limits(), Arc::default());
        let used = quotas.of(source(1));
        let seats = [used.seat(), used.seat()];
        assert!(seats.iter().all(Option::is_some));
        assert!(quotas.of(source(1)).seat().is_none());
        assert!(quotas.of(source(2)).seat().is_some());
        drop(seats);
        assert!(used.seat().is_some());
    }

    /// An operator lowers the limits during a flood, and raises them after it.
    #[test]
    fn limits_that_change_hold_for_known_addresses_too() {
        let quotas = Quotas::new(limits(), Arc::default());
        let used = quotas.of(source(1));
        let seats = [used.seat(), used.seat()];
        let set = |clients_max, rooms_max| {
            let none = Rate::over(f64::INFINITY, 1.0);
            quotas.set_limits(&AddressLimits { clients_max, rooms_max, posts: none, ..AddressLimits::default() });
        };
        set(3, 0);
        assert_eq!((used.clients_max(), used.create_room()), (3, Err(OverQuota::RoomsInAll(0))));
        let third = used.seat();
        assert!(third.is_some() && used.seat().is_none());
        // Fewer than there are: nobody is cut off, and nobody is added.
        set(1, 1);
        drop(third);
        assert!(used.seat().is_none() && used.create_room().is_ok());
        assert_eq!(used.posted(1_000_000, 0), Duration::ZERO);
        // A limit again, after none.
        quotas.set_limits(&AddressLimits { posts: Rate::over(1.0, 5.0), ..limits() });
        assert!(used.posted(6, 0) > Duration::ZERO);
        assert_eq!(quotas.of(source(2)).clients_max(), 2);
        drop(seats);
    }

    #[test]
    fn addresses_that_were_not_seen_for_long_are_forgotten() {
        let quotas = Quotas::new(limits(), Arc::default());
        let in_use = quotas.of(source(0));
        (1..QUOTAS_KEPT as u32).for_each(|n| drop(quotas.of(source(n))));
        let long_ago = Instant::now().checked_sub(QUOTAS_KEPT_TIME).unwrap();
        quotas.uses.lock().of.values().for_each(|used| used.state.lock().seen = long_ago);
        drop(quotas.of(source(QUOTAS_KEPT as u32)));
        assert_eq!(quotas.uses.lock().of.len(), 2);
        assert!(Arc::ptr_eq(&in_use, &quotas.of(source(0))));
    }

    #[test]
    fn an_address_creates_a_number_of_rooms_in_all_also_if_it_was_forgotten() {
        let limits = AddressLimits { rooms_max: 2, ..AddressLimits::default() };
        let quotas = Quotas::new(limits, Arc::default());
        assert_eq!(quotas.of(source(1)).create_room(), Ok(()));
        quotas.of(source(1)).state.lock().seen = Instant::now().checked_sub(QUOTAS_KEPT_TIME).unwrap();
        quotas.uses.lock().forget(Instant::now());
        assert_eq!(quotas.uses.lock().of.len(), 0);
        let used = quotas.of(source(1));
        assert_eq!((used.create_room(), used.create_room()), (Ok(()), Err(OverQuota::RoomsInAll(2))));
        assert_eq!(quotas.of(source(2)).create_room(), Ok(()));
    }
}
