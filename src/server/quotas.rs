//! What one address may take: seats, calls, posts, and rooms that it creates.
//!
//! Addresses are the only identity that a peer without a login can't choose freely. Clients of this machine are exempt by
//! default, and so are the addresses that an operator names: a proxy has one address for all its clients.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::peer::Peer;
use crate::limits::{QUOTAS_KEPT, QUOTAS_KEPT_TIME};

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

/// A limit is reached. The time says when it is not any more, if nothing else is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    pub retry: Duration,
}

/// A token bucket.
#[derive(Debug)]
struct Bucket {
    /// Negative after something was taken that was not there.
    tokens: f64,
    at: Instant,
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

    /// Takes tokens if there are any: what is taken at once may be more than the burst.
    fn try_take(&mut self, rate: Rate, count: f64, now: Instant) -> Result<(), Exhausted> {
        self.refill(rate, now);
        let needed = count.min(rate.burst);
        if self.tokens < needed {
            return Err(Exhausted { retry: self.time_until(rate, needed) });
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
    pub fn try_post(&self, bytes: usize) -> Result<(), Exhausted> {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.seen = now;
        state.posts.try_take(self.limits.posts, 1.0, now)?;
        state.bytes.try_take(self.limits.bytes, bytes as f64, now)
    }

    /// Counts bytes to store, or refuses to store them.
    pub fn store(&self, bytes: usize) -> Result<(), Exhausted> {
        self.state.lock().stored.try_take(self.limits.stored, bytes as f64, Instant::now())
    }

    /// Counts a room to create, or refuses that.
    pub fn create_room(&self) -> Result<(), Exhausted> {
        self.state.lock().rooms.try_take(self.limits.rooms, 1.0, Instant::now())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.state.lock().clients -= 1;
    }
}
