//! The baton: which thread may write to a stream, without lost wake-ups.
//!
//! Three parties have reasons to write to a stream: the fan-out (something was committed), the transport (the write
//! before is done) and the send thread (the log was read). Only the thread that holds the baton may write. Another
//! thread does not wait for the baton; it sets a mark, and the holder checks again before it gives the baton back.
//!
//! 1. A thread that makes something to read visible MUST call [`Baton::published`] after that.
//! 2. The holder of the baton MUST look for something to read after it got the baton, and again each time that giving
//!    it back fails.
//! 3. A thread that gives it back with [`Baton::rest_writing`] MUST have arranged for [`Baton::woken`] to be called
//!    when the write in flight is done.
//!
//! With these rules, everything that is published gets written: `tests/schedules.rs` checks it over many interleavings.
//! Each side also sees the earlier writes of the other, because every call here is a read-modify-write of one atomic,
//! even if it changes nothing: the calls have a total order, and each acquires what the earlier ones released.

use crate::sync::{AtomicU8, Ordering};

/// Not held. There was nothing to read at the last check.
const FREE: u8 = 0;
/// Held.
const HELD: u8 = 1;
/// Held; the holder must check again before giving it back.
const HELD_LOOK_AGAIN: u8 = 2;
/// Not held. A write is in flight; its completion will take the baton.
const WRITING: u8 = 3;

/// See the module.
pub struct Baton {
    state: AtomicU8,
}

impl Baton {
    /// A baton that the caller holds.
    pub fn held() -> Self {
        Self { state: AtomicU8::new(HELD) }
    }

    /// A baton that is not held.
    pub fn free() -> Self {
        Self { state: AtomicU8::new(FREE) }
    }

    /// There is something new to read. `true` gives the baton to the caller.
    ///
    /// While a write is in flight there is nothing to do: its completion looks for new data.
    pub fn published(&self) -> bool {
        self.take_or_mark(false)
    }

    /// The write in flight is done, or there is another reason to look. `true` gives the baton to the caller.
    pub fn woken(&self) -> bool {
        self.take_or_mark(true)
    }

    /// Gives the baton back when all was read. `false` means that the caller still holds it and must look again.
    pub fn rest(&self) -> bool {
        self.give_back(FREE)
    }

    /// Gives the baton back until the write in flight is done. `false` means that the caller still holds it and must
    /// look again.
    pub fn rest_writing(&self) -> bool {
        self.give_back(WRITING)
    }

    fn take_or_mark(&self, also_from_writing: bool) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let next = match state {
                FREE => HELD,
                WRITING if also_from_writing => HELD,
                HELD => HELD_LOOK_AGAIN,
                // Already marked, or about to be woken: both look after this.
                unchanged => unchanged,
            };
            match self.state.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return next == HELD,
                Err(actual) => state = actual,
            }
        }
    }

    fn give_back(&self, rested: u8) -> bool {
        match self.state.compare_exchange(HELD, rested, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => true,
            Err(_) => {
                let state = self.state.swap(HELD, Ordering::AcqRel);
                assert_eq!(state, HELD_LOOK_AGAIN, "the baton is given back by its holder");
                false
            }
        }
    }
}
