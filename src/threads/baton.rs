//! The baton: who may write to a stream, and how nobody's wake-up is lost.
//!
//! Three parties have reasons to write to a stream: the fan-out (something was committed), the transport (the write
//! before is done) and the send thread (the log was read). One at a time may: the one
//! that holds the baton. Who comes meanwhile does not wait; it leaves a mark, and the holder looks again before it
//! gives the baton back.
//!
//! 1. Who makes something to read visible MUST call [`Baton::published`] after that.
//! 2. Who holds the baton MUST look for something to read after it got the baton, and again each time that giving it
//!    back fails.
//! 3. Who gives it back with [`Baton::rest_writing`] MUST have arranged for [`Baton::woken`] to be called when the
//!    write in flight is done.
//!
//! With these, whatever is published gets written: `tests/schedules.rs` checks it over many interleavings. That each
//! side also sees what the other wrote before is due to every call here being a read-modify-write of one atomic, even
//! where it changes nothing: they stand in one order, and each acquires what those before it released.

use crate::sync::{AtomicU8, Ordering};

/// Nobody holds it. There was nothing to read at the last look.
const FREE: u8 = 0;
/// Somebody holds it.
const HELD: u8 = 1;
/// Somebody holds it and must look again before giving it back.
const HELD_LOOK_AGAIN: u8 = 2;
/// Nobody holds it. A write is in flight; its end will take the baton.
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

    /// A baton that nobody holds.
    pub fn free() -> Self {
        Self { state: AtomicU8::new(FREE) }
    }

    /// There is something new to read. `true` gives the baton to the caller.
    ///
    /// While a write is in flight there is nothing to do: its end looks for what is there to read.
    pub fn published(&self) -> bool {
        self.take_or_mark(false)
    }

    /// The write in flight is done, or there is another reason to look. `true` gives the baton to the caller.
    pub fn woken(&self) -> bool {
        self.take_or_mark(true)
    }

    /// Gives the baton back when all was read. `false` says to look again: the caller still holds it.
    pub fn rest(&self) -> bool {
        self.give_back(FREE)
    }

    /// Gives the baton back until the write in flight is done. `false` says to look again: the caller still holds it.
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
                // Marked already, or about to be woken: both will look later than this.
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
