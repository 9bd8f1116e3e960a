//! The bound on calls in progress: of each connection, and of all.
//!
//! A call is in progress until the client has its response, so this also bounds the memory of responses that clients
//! don't read.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::{CallError, CallResult};

/// The slots of one kind of call.
pub struct Slots {
    each_max: usize,
    all_max: usize,
    // lock order: 3 (a leaf)
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    by_connection: HashMap<String, usize>,
    all: usize,
}

/// The place of one call. Dropping it frees the place.
pub struct Slot {
    slots: Arc<Slots>,
    connection: String,
}

impl Slots {
    pub fn new(each_max: usize, all_max: usize) -> Arc<Self> {
        Arc::new(Self { each_max, all_max, taken: Mutex::default() })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.lock().all
    }

    /// Takes a slot for a call of this connection, as the transport names it.
    pub fn take(self: &Arc<Self>, connection: String) -> CallResult<Slot> {
        let mut taken = self.taken.lock();
        if taken.all >= self.all_max {
            return Err(CallError::Busy);
        }
        let of_connection = taken.by_connection.entry(connection.clone()).or_default();
        // All connections to a Unix socket have the same name.
        if *of_connection >= self.each_max && !connection.starts_with("unix:") {
            return Err(CallError::TooManyCalls(self.each_max));
        }
        *of_connection += 1;
        taken.all += 1;
        Ok(Slot { slots: Arc::clone(self), connection })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock();
        taken.all -= 1;
        if let Some(count) = taken.by_connection.get_mut(&self.connection) {
            *count -= 1;
            if *count == 0 {
                taken.by_connection.remove(&self.connection);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_bounded_for_each_connection_and_for_all() {
        let slots = Slots::new(2, 5);
        let take = |connection: &str| slots.take(connection.to_owned());
        let mut taken = vec![take("a").unwrap(), take("a").unwrap()];
        assert_eq!(take("a").err(), Some(CallError::TooManyCalls(2)));
        taken.extend([take("b").unwrap(), take("unix:").unwrap(), take("unix:").unwrap()]);
        assert_eq!(take("c").err(), Some(CallError::Busy));
        taken.pop();
        taken.push(take("unix:").unwrap());
        drop(taken);
        let taken = slots.taken.lock();
        assert!(taken.by_connection.is_empty() && taken.all == 0);
    }
}
