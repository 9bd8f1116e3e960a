//! Bounds on connections: how many are open and how many are opened, in all and for each address.
//!
//! An address is one IPv4 address, or one IPv6 network of 64 bits. Unix sockets, the networks that the operator
//! exempts, and loopback addresses unless the operator wants them bounded, are exempt from the bounds for addresses,
//! and from the rate of new connections. The maximum of open connections applies to all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use parking_lot::Mutex;

use crate::limits::{ADDRESS_CONNECTIONS_BURST, ADDRESS_CONNECTIONS_RATE, CONNECTIONS_RATE};
use crate::server::bucket::{Bucket, Rate};
use crate::server::network::{Exempt, Source};
use crate::server::refusals::Limit;

const ADDRESS_RATE: Rate = Rate::new(ADDRESS_CONNECTIONS_BURST, ADDRESS_CONNECTIONS_RATE);

/// After how many new addresses those that have no connection and a full bucket are dropped, at least.
const SWEEP_MIN: usize = 1_024;

/// The bounds.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub all_max: usize,
    pub address_max: usize,
    pub exempt: Exempt,
}

/// The connections of a server.
#[derive(Debug)]
pub struct Connections {
    // lock order: 3 (a leaf)
    state: Mutex<ConnectionsState>,
}

#[derive(Debug)]
struct ConnectionsState {
    bounds: Bounds,
    open: usize,
    /// How many were opened since the start of the server.
    opened: u64,
    rate: Bucket,
    addresses: HashMap<Source, AddressState>,
    /// How many addresses there may be before the next sweep.
    sweep_at: usize,
}

#[derive(Debug)]
struct AddressState {
    open: usize,
    rate: Bucket,
}

/// What an open connection counts for. It must be returned with [`Connections::release`].
#[derive(Debug)]
pub struct Place {
    source: Option<Source>,
}

impl Connections {
    pub fn new(bounds: Bounds) -> Self {
        let now = Instant::now();
        let rate = Bucket::new(rate_of_all(&bounds), now);
        let state =
            ConnectionsState { bounds, open: 0, opened: 0, rate, addresses: HashMap::new(), sweep_at: SWEEP_MIN };
        Self { state: Mutex::new(state) }
    }

    /// Sets the bounds for addresses. Open connections stay open, and count as they did when they were admitted.
    pub fn set_address_bounds(&self, address_max: usize, exempt: Exempt) {
        let mut state = self.state.lock();
        state.bounds.address_max = address_max;
        let before = std::mem::replace(&mut state.bounds.exempt, exempt);
        drop(state);
        drop(before);
    }

    /// Counts a new connection, or returns the limit that it would exceed. Without an address it comes from a Unix
    /// socket. Called on a poller: does not block.
    pub fn admit(&self, address: Option<IpAddr>) -> Result<Place, Limit> {
        self.admit_at(address, Instant::now())
    }

    fn admit_at(&self, address: Option<IpAddr>, now: Instant) -> Result<Place, Limit> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let source = address.and_then(|address| state.bounds.exempt.limited(address));
        // The address comes first, so that a connection refused for its address takes nothing from the rate of all
        // connections.
        if let Some(source) = source {
            state.check_address(source, state.bounds.address_max, now)?;
        }
        if state.open >= state.bounds.all_max {
            return Err(Limit::Connections);
        }
        if source.is_some() && !state.rate.take(rate_of_all(&state.bounds), now) {
            return Err(Limit::ConnectionRate);
        }
        state.open += 1;
        state.opened += 1;
        if let Some(address) = source.and_then(|source| state.addresses.get_mut(&source)) {
            address.open += 1;
        }
        Ok(Place { source })
    }

    /// How many connections are open, and how many may be. Does not block.
    pub fn open(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.open, state.bounds.all_max)
    }

    /// How many connections were opened since the start of the server.
    pub fn opened(&self) -> u64 {
        self.state.lock().opened
    }

    /// A connection has ended.
    pub fn release(&self, place: &Place) {
        let mut state = self.state.lock();
        // Invariant: every place was counted once, and is returned once.
        state.open -= 1;
        if let Some(source) = place.source {
            let address = state.addresses.get_mut(&source).expect("an address with a connection is not swept");
            address.open -= 1;
        }
    }

    /// What the limit allows, for a client that exceeds it.
    pub fn reason(&self, limit: Limit) -> String {
        let state = self.state.lock();
        let (address_max, all_max) = (state.bounds.address_max, state.bounds.all_max);
        drop(state);
        match limit {
            Limit::AddressConnections => format!(
                "your address has {address_max} connections open, which is the maximum; close one, or ask the operator to \
                 raise --connections-per-address"
            ),
            Limit::AddressConnectionRate => format!(
                "your address opens connections too fast: {ADDRESS_CONNECTIONS_BURST} at once and \
                 {ADDRESS_CONNECTIONS_RATE} a second are allowed; try again in a second"
            ),
            Limit::Connections => {
                format!("the server is full: {all_max} connections are open, which is the maximum; try again later")
            }
            _ => "too many clients are connecting at once; try again in a second".to_owned(),
        }
    }
}

impl ConnectionsState {
    fn check_address(&mut self, source: Source, open_max: usize, now: Instant) -> Result<(), Limit> {
        if self.addresses.len() >= self.sweep_at && !self.addresses.contains_key(&source) {
            self.addresses.retain(|_, address| address.open > 0 || !address.rate.is_full(ADDRESS_RATE, now));
            self.sweep_at = SWEEP_MIN.max(2 * self.addresses.len());
        }
        let new = || AddressState { open: 0, rate: Bucket::new(ADDRESS_RATE, now) };
        let address = self.addresses.entry(source).or_insert_with(new);
        if address.open >= open_max {
            return Err(Limit::AddressConnections);
        }
        if address.rate.take(ADDRESS_RATE, now) { Ok(()) } else { Err(Limit::AddressConnectionRate) }
    }
}

fn rate_of_all(bounds: &Bounds) -> Rate {
    let burst = u32::try_from(bounds.all_max).unwrap_or(u32::MAX).max(CONNECTIONS_RATE);
    Rate::new(burst, CONNECTIONS_RATE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn bounds() -> Bounds {
        let exempt = Exempt { networks: vec!["10.0.0.0/8".parse().unwrap()], limits_loopback: false };
        Bounds { all_max: 50, address_max: 5, exempt }
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_has_so_many_connections_and_gets_others_back_when_they_end() {
        let connections = Connections::new(bounds());
        let mut places: Vec<_> = (0..5).map(|_| connections.admit(address("192.0.2.1")).unwrap()).collect();
        assert_eq!(connections.admit(address("192.0.2.1")).unwrap_err(), Limit::AddressConnections);
        let other = connections.admit(address("192.0.2.2")).unwrap();
        connections.release(&places.pop().unwrap());
        places.push(connections.admit(address("192.0.2.1")).unwrap());
        places.iter().chain([&other]).for_each(|place| connections.release(place));
        assert_eq!(connections.state.lock().open, 0);
    }

    #[test]
    fn the_bounds_for_addresses_change_while_connections_are_open() {
        let connections = Connections::new(bounds());
        let admit = |text| connections.admit(address(text));
        let limited: Vec<_> = (0..5).map(|_| admit("192.0.2.1").unwrap()).collect();
        let exempt = admit("10.0.0.1").unwrap();
        let networks = vec!["192.0.2.0/24".parse().unwrap()];
        connections.set_address_bounds(1, Exempt { networks, limits_loopback: false });
        let more = [admit("192.0.2.1").unwrap(), admit("10.0.0.1").unwrap()];
        assert_eq!(admit("10.0.0.1").unwrap_err(), Limit::AddressConnections);
        assert!(connections.reason(Limit::AddressConnections).contains("has 1 connections open"));
        // Each is returned as it was counted.
        limited.iter().chain([&exempt]).chain(&more).for_each(|place| connections.release(place));
        let state = connections.state.lock();
        assert!(state.open == 0 && state.addresses.values().all(|address| address.open == 0));
    }

    #[test]
    fn an_address_opens_so_many_connections_a_second() {
        let (connections, start) = (Connections::new(bounds()), Instant::now());
        let come = |at: Instant, count: usize| {
            let admitted = (0..count).filter_map(|_| connections.admit_at(address("192.0.2.1"), at).ok());
            admitted.inspect(|place| connections.release(place)).count()
        };
        assert_eq!(come(start, 100), ADDRESS_CONNECTIONS_BURST as usize);
        assert_eq!(come(start + Duration::from_secs(1), 100), ADDRESS_CONNECTIONS_RATE as usize);
        let refused = connections.admit_at(address("192.0.2.1"), start + Duration::from_secs(1));
        assert_eq!(refused.unwrap_err(), Limit::AddressConnectionRate);
    }

    #[test]
    fn the_exempt_have_only_the_maximum_of_open_connections() {
        for exempt in [None, address("127.0.0.1"), address("::1"), address("10.1.2.3"), address("::ffff:127.0.0.9")] {
            let connections = Connections::new(bounds());
            let admitted: Vec<_> = (0..200).map_while(|_| connections.admit(exempt).ok()).collect();
            assert_eq!(admitted.len(), 50, "{exempt:?}");
            assert_eq!(connections.admit(address("192.0.2.1")).unwrap_err(), Limit::Connections);
            admitted.iter().for_each(|place| connections.release(place));
            for _ in 0..10 * CONNECTIONS_RATE {
                connections.release(&connections.admit(exempt).unwrap());
            }
        }
        let bounded =
            Connections::new(Bounds { exempt: Exempt { limits_loopback: true, ..Exempt::default() }, ..bounds() });
        assert_eq!((0..200).map_while(|_| bounded.admit(address("127.0.0.1")).ok()).count(), 5);
    }

    #[test]
    fn all_together_open_so_many_connections_a_second() {
        let (connections, start) = (Connections::new(bounds()), Instant::now());
        // Each from an address of its own.
        let come = |at: Instant| {
            let sources = (0..1_000_u32).map(|number| Some(IpAddr::V4(number.into())));
            let admitted = sources.map_while(|source| connections.admit_at(source, at).ok());
            admitted.inspect(|place| connections.release(place)).count()
        };
        assert_eq!(come(start), CONNECTIONS_RATE as usize);
        assert_eq!(come(start + Duration::from_millis(100)), CONNECTIONS_RATE as usize / 10);
        assert_eq!(connections.admit_at(address("192.0.2.1"), start).unwrap_err(), Limit::ConnectionRate);
    }

    /// Addresses cost nothing, above all with IPv6.
    #[test]
    fn addresses_without_connections_are_forgotten() {
        let (connections, start) = (Connections::new(Bounds { all_max: 100_000, ..bounds() }), Instant::now());
        for number in 0..50_000_u128 {
            let source = std::net::Ipv6Addr::from_bits(0x2001_u128 << 112 | number << 64);
            let at = start + Duration::from_millis(number as u64);
            let place = connections.admit_at(Some(source.into()), at).unwrap();
            connections.release(&place);
        }
        assert!(connections.state.lock().addresses.len() <= 2 * SWEEP_MIN);
    }

    proptest! {
        /// However connections come and go, the counts are those of a naive model.
        #[test]
        fn counts_are_exact(steps in prop::collection::vec((0_u8..4, any::<bool>(), 0_u8..60), 1..400)) {
            let (connections, start) = (Connections::new(bounds()), Instant::now());
            let mut open: Vec<(u8, Place)> = Vec::new();
            for (step, (last, comes, choice)) in steps.into_iter().enumerate() {
                if comes {
                    let address = IpAddr::from([192, 0, 2, last]);
                    // So late that no rate is exceeded.
                    let at = start + Duration::from_secs(step as u64);
                    let of_address = open.iter().filter(|(other, _)| *other == last).count();
                    match connections.admit_at(Some(address), at) {
                        Ok(place) => {
                            prop_assert!(of_address < 5 && open.len() < 50);
                            open.push((last, place));
                        }
                        Err(Limit::AddressConnections) => prop_assert_eq!(of_address, 5),
                        Err(limit) => prop_assert!(false, "{limit:?}"),
                    }
                } else if !open.is_empty() {
                    let (_, place) = open.swap_remove(usize::from(choice) % open.len());
                    connections.release(&place);
                }
                prop_assert_eq!(connections.state.lock().open, open.len());
            }
        }
    }
}
