//! What one address may take: seats, calls, posts, and rooms that it creates.
//!
//! Addresses are the only identity that a peer without a login can't choose freely. Clients of this machine are exempt by
//! default, and so are the addresses that an operator names: a proxy has one address for all its clients.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use thiserror::Error;

use super::peer::Peer;
use crate::limits::{self, QUOTAS_KEPT, QUOTAS_KEPT_TIME};

/// The limits of each address.
#[derive(Clone, Debug)]
pub struct AddressLimits {
    /// How many streams it may have at once.
    pub clients_max: usize,
    pub posts: Rate,
    /// Bytes of posts.
    pub bytes: Rate,
    /// Bytes of posts that are stored, over a longer time.
    pub stored: Rate,
    /// Rooms that its posts create.
    pub rooms: Rate,
    /// Whether all this is limited for clients of this machine too.
    pub loopback: bool,
}

/// A token bucket's rate, and how much may be taken at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub per_second: f64,
    pub burst: f64,
}

/// The use of all addresses.
pub struct Quotas {
    limits: AddressLimits,
    // lock order: 3 (a leaf)
    uses: Mutex<Uses>,
}

#[derive(Default)]
struct Uses {
    of: HashMap<Peer, Arc<Use>>,
    /// The number of peers at which those that were not seen for a while are forgotten.
    sweep_at: usize,
}

/// What one address has taken. Its streams and calls share it.
pub struct Use {
    limits: AddressLimits,
    // lock order: 3 (a leaf)
    state: Mutex<UseState>,
}

struct UseState {
    clients: usize,
    posts: Bucket,
    bytes: Bucket,
    stored: Bucket,
    rooms: Bucket,
    seen: Instant,
}

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
}

/// A token bucket.
#[derive(Debug)]
struct Bucket {
    /// Negative after something was taken that was not there.
    tokens: f64,
    at: Instant,
}

impl Default for AddressLimits {
    fn default() -> Self {
        Self {
            clients_max: limits::CLIENTS_PER_ADDRESS_MAX,
            posts: Rate::per_second(limits::POSTS_PER_SECOND, limits::POSTS_BURST_TIME),
            bytes: Rate::per_second(limits::POST_BYTES_PER_SECOND, limits::POST_BYTES_BURST_TIME),
            stored: Rate { per_second: limits::STORED_BYTES_PER_DAY / 86_400.0, burst: limits::STORED_BYTES_PER_DAY },
            rooms: Rate { per_second: limits::ROOMS_PER_HOUR / 3_600.0, burst: limits::ROOMS_PER_HOUR },
            loopback: false,
        }
    }
}

impl Rate {
    /// This many a second, and at once what comes in `seconds`.
    pub const fn per_second(per_second: f64, seconds: f64) -> Self {
        Self { per_second, burst: per_second * seconds }
    }
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { tokens: rate.burst, at: now }
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let time = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + time * rate.per_second).min(rate.burst);
        self.at = now;
    }

    /// Takes tokens, also those that are not there yet. Returns how long it takes until they are.
    fn take(&mut self, rate: Rate, count: f64, now: Instant) -> Duration {
        self.refill(rate, now);
        self.tokens -= count;
        self.time_until(rate, 0.0)
    }

    /// Takes tokens, or returns in what time there will be enough. More than the burst is taken from a full bucket.
    fn try_take(&mut self, rate: Rate, count: f64, now: Instant) -> Result<(), Duration> {
        self.refill(rate, now);
        let needed = count.min(rate.burst);
        if self.tokens < needed {
            return Err(self.time_until(rate, needed));
        }
        self.tokens -= count;
        Ok(())
    }

    fn time_until(&self, rate: Rate, tokens: f64) -> Duration {
        let missing = (tokens - self.tokens).max(0.0);
        // Not longer than a day, so that a rate of 0 makes no infinite time.
        Duration::try_from_secs_f64(missing / rate.per_second).map_or(DAY, |time| time.min(DAY))
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Quotas {
    pub fn new(limits: AddressLimits) -> Self {
        Self { limits, uses: Mutex::default() }
    }

    /// What the peer has taken; `None` if it is exempt.
    pub fn of(&self, peer: &Peer) -> Option<Arc<Use>> {
        if let Peer::Local(_) = peer
            && !self.limits.loopback
        {
            return None;
        }
        let now = Instant::now();
        // All connections of this machine are one address.
        let peer = match peer {
            Peer::Local(_) => Peer::Local(String::new()),
            peer => peer.clone(),
        };
        let mut uses = self.uses.lock();
        if !uses.of.contains_key(&peer) && uses.of.len() >= uses.sweep_at.max(QUOTAS_KEPT) {
            uses.of.retain(|_, used| !used.is_forgettable(now));
            uses.sweep_at = 2 * uses.of.len();
        }
        let used = uses.of.entry(peer).or_insert_with(|| Arc::new(Use::new(self.limits.clone(), now)));
        Some(Arc::clone(used))
    }
}

impl Use {
    fn new(limits: AddressLimits, now: Instant) -> Self {
        let full = |rate| Bucket::full(rate, now);
        let state = UseState {
            clients: 0,
            posts: full(limits.posts),
            bytes: full(limits.bytes),
            stored: full(limits.stored),
            rooms: full(limits.rooms),
            seen: now,
        };
        Self { limits, state: Mutex::new(state) }
    }

    /// Whether nothing would change for the address if this began anew.
    fn is_forgettable(self: &Arc<Self>, now: Instant) -> bool {
        Arc::strong_count(self) == 1 && now.saturating_duration_since(self.state.lock().seen) >= QUOTAS_KEPT_TIME
    }

    pub fn clients_max(&self) -> usize {
        self.limits.clients_max
    }

    /// A place for one more stream; `None` if the address has its maximum.
    pub fn seat(self: &Arc<Self>) -> Option<Seat> {
        let mut state = self.state.lock();
        if state.clients >= self.limits.clients_max {
            return None;
        }
        state.clients += 1;
        Some(Seat(Arc::clone(self)))
    }

    /// Counts posts. Returns how long their stream has to wait after them.
    pub fn posted(&self, count: usize, bytes: usize) -> Duration {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.seen = now;
        let wait = state.posts.take(self.limits.posts, count as f64, now);
        wait.max(state.bytes.take(self.limits.bytes, bytes as f64, now))
    }

    /// Counts a post that can't wait, or refuses it.
    pub fn post_at_once(&self, bytes: usize) -> Result<(), OverQuota> {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.seen = now;
        let posts = state.posts.try_take(self.limits.posts, 1.0, now);
        posts.and_then(|()| state.bytes.try_take(self.limits.bytes, bytes as f64, now)).map_err(OverQuota::Posts)
    }

    /// Counts bytes to store, or refuses to store them.
    pub fn store(&self, bytes: usize) -> Result<(), OverQuota> {
        let stored = self.state.lock().stored.try_take(self.limits.stored, bytes as f64, Instant::now());
        stored.map_err(OverQuota::Stored)
    }

    /// Counts a room to create, or refuses that.
    pub fn create_room(&self) -> Result<(), OverQuota> {
        let created = self.state.lock().rooms.try_take(self.limits.rooms, 1.0, Instant::now());
        created.map_err(OverQuota::Rooms)
    }
}

impl OverQuota {
    pub fn retry_after(self) -> Duration {
        match self {
            Self::Posts(time) | Self::Stored(time) | Self::Rooms(time) => time,
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

    fn remote() -> Peer {
        Peer::new("ipv4:192.0.2.1:5000".to_owned())
    }

    #[test]
    fn a_bucket_refills_up_to_its_burst() {
        let (rate, start) = (Rate { per_second: 10.0, burst: 20.0 }, Instant::now());
        let mut bucket = Bucket::full(rate, start);
        assert_eq!(bucket.take(rate, 20.0, start), Duration::ZERO);
        assert_eq!(bucket.try_take(rate, 5.0, start), Err(Duration::from_millis(500)));
        let later = start + Duration::from_millis(500);
        assert_eq!(bucket.try_take(rate, 5.0, later), Ok(()));
        assert_eq!(bucket.take(rate, 100.0, later), Duration::from_secs(10));
        let much_later = later + Duration::from_secs(3600);
        assert_eq!(bucket.take(rate, 21.0, much_later), Duration::from_millis(100));
    }

    #[test]
    fn more_than_the_burst_is_taken_from_a_full_bucket_only() {
        let (rate, start) = (Rate { per_second: 1.0, burst: 10.0 }, Instant::now());
        let mut bucket = Bucket::full(rate, start);
        assert_eq!(bucket.try_take(rate, 30.0, start), Ok(()));
        assert_eq!(bucket.try_take(rate, 30.0, start), Err(Duration::from_secs(30)));
        // A rate of nothing is no division by zero.
        assert_eq!(bucket.try_take(Rate { per_second: 0.0, burst: 1.0 }, 1.0, start), Err(DAY));
    }

    #[test]
    fn an_address_has_a_number_of_seats() {
        let quotas = Quotas::new(limits());
        let used = quotas.of(&remote()).unwrap();
        let seats = [used.seat(), used.seat()];
        assert!(seats.iter().all(Option::is_some));
        assert!(quotas.of(&Peer::new("ipv4:192.0.2.1:5001".to_owned())).unwrap().seat().is_none());
        assert!(quotas.of(&Peer::new("ipv4:192.0.2.2:5000".to_owned())).unwrap().seat().is_some());
        drop(seats);
        assert!(used.seat().is_some());
    }

    #[test]
    fn this_machine_is_exempt_unless_it_is_limited_too() {
        let local = |port: u16| Peer::new(format!("ipv4:127.0.0.1:{port}"));
        assert!(Quotas::new(limits()).of(&local(1)).is_none());
        let quotas = Quotas::new(AddressLimits { loopback: true, ..limits() });
        let seats = [1, 2, 3].map(|port| quotas.of(&local(port)).unwrap().seat());
        assert_eq!(seats.iter().filter(|seat| seat.is_some()).count(), 2);
    }

    #[test]
    fn addresses_that_were_not_seen_for_long_are_forgotten() {
        let quotas = Quotas::new(limits());
        let peer = |n: usize| Peer::new(format!("ipv4:10.{}.{}.{}:1", n >> 16, (n >> 8) & 255, n & 255));
        let in_use = quotas.of(&peer(0)).unwrap();
        (1..QUOTAS_KEPT).for_each(|n| drop(quotas.of(&peer(n))));
        let long_ago = Instant::now().checked_sub(QUOTAS_KEPT_TIME).unwrap();
        quotas.uses.lock().of.values().for_each(|used| used.state.lock().seen = long_ago);
        drop(quotas.of(&peer(QUOTAS_KEPT)));
        assert_eq!(quotas.uses.lock().of.len(), 2);
        assert!(Arc::ptr_eq(&in_use, &quotas.of(&peer(0)).unwrap()));
    }
}
