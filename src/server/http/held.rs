//! What a connection counts for: its place among all connections, and among those of its address.

use std::sync::Arc;

use crate::server::connections::{Connections, Place};

/// A place among the connections, which is given back on drop.
pub struct Held {
    pub connections: Arc<Connections>,
    pub place: Place,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connections.release(&self.place);
    }
}
