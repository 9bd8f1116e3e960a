//! What was written to streams, counted for each thread that drives them.
//!
//! Two pollers that counted in one place would take its cache line from each other with every write. A stream counts
//! where its driver does, whichever thread writes: usually that is the driver.

use crate::server::counter::Counter;

/// What was written to the streams of one driver. In a cache line of its own, and the next one, which processors fetch
/// with it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Sent {
    pub frames: Counter,
    /// The events of the log in them: messages and changes.
    pub events: Counter,
    /// Of the frames, without what the transport adds.
    pub bytes: Counter,
}

impl Sent {
    /// Counts a frame.
    pub fn count(&self, events: u64, bytes: usize) {
        self.frames.add(1);
        self.events.add(events);
        self.bytes.add(bytes as u64);
    }
}
