//! Changes the settings that a running server can change. All others need a restart.

use std::sync::{Arc, Weak};

use super::append_queue::Order;
use super::config::ServerConfig;
use super::connections::Connections;
use super::hub::Hub;
use super::reserve::ReserveSize;

/// A handle to what can be changed. It does not keep the server alive.
#[derive(Clone)]
pub struct Adjuster {
    hub: Weak<Hub>,
    connections: Weak<Connections>,
    reserve: Arc<ReserveSize>,
}

impl Adjuster {
    pub(super) fn new(hub: &Arc<Hub>, connections: &Arc<Connections>, reserve: &Arc<ReserveSize>) -> Self {
        Self { hub: Arc::downgrade(hub), connections: Arc::downgrade(connections), reserve: Arc::clone(reserve) }
    }

    /// Puts these settings to use: the limits of addresses and who is exempt from them, the disk reserve, and the maximum of
    /// rooms. Each is exchanged at once; between them, a client may meet the old value of one and the new value of another.
    /// A server that drains keeps what it has.
    pub fn apply(&self, config: &ServerConfig) {
        let (Some(hub), Some(connections)) = (self.hub.upgrade(), self.connections.upgrade()) else { return };
        hub.set_address_limits(&config.address_limits, config.exempt.clone());
        connections.set_address_bounds(config.address_limits.connections_max, config.exempt.clone());
        self.reserve.set(config.disk_reserve);
        // The writer applies it, and logs if it can't.
        if let Some(lane) = hub.open_lane(None) {
            let _ = lane.push_unbounded(Order::RoomsMax(config.rooms_max));
        }
    }
}
